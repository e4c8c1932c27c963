#include "load.h"

#include "postern/alias_name.h"

enum { ADDRESS_MAX = 320 };

/* The stored form of the name (Odoo rule 6.1). */
static bool
load_name(struct pn_loader *l, struct pn_place place, struct pn_str name, struct pn_str *out)
{
	if (name.n > ADDRESS_MAX || pn_alias_name_sanitize(name, false, l->arena, out) != PN_OK ||
	    !pn_is_dot_atom(*out)) {
		pn_report_error(l->report, place, PN_STR("alias"),
		    "%s is no alias name; write letters, digits and dots", pn_show(name, l->arena));
		return false;
	}
	return true;
}

/* The managed domain of an alias; NULL: reported. */
static const struct pn_domain *
load_domain(struct pn_loader *l, struct pn_place place, struct pn_str domain)
{
	const struct pn_domain *found = NULL;
	struct pn_str ascii;

	if (pn_conf_domain(domain, l->arena, &ascii))
		found = pn_directory_domain(&l->config->directory, ascii);
	if (found == NULL && !l->domains_missing)
		pn_report_error(l->report, place, PN_STR("alias"),
		    "there is no domain %s; add a section domain \"...\" { } for it, or correct the address",
		    pn_show(domain, l->arena));
	return found;
}

/* Fills in full name and gateway. */
static bool
load_address(struct pn_loader *l, struct pn_draft_alias *draft, struct pn_str address)
{
	struct pn_alias *a = &draft->row.alias;
	size_t at = pn_str_find(address, '@');
	const struct pn_gateway *gateway;
	const struct pn_domain *domain;

	if (!load_name(l, draft->place, pn_str_head(address, at), &a->local))
		return false;
	if (at == PN_STR_NONE) {
		gateway = pn_gateway_wanted(l, draft->row.gateway, draft->place);
		if (gateway == NULL)
			return false;
		a->full = a->local;
		draft->row.gateway = gateway->name;
		return true;
	}
	domain = load_domain(l, draft->place, pn_str_from(address, at + 1));
	if (domain == NULL)
		return false;
	if (draft->row.gateway.n > 0 && !pn_str_eq(draft->row.gateway, domain->gateway->name))
		pn_report_error(l->report, draft->place, PN_STR("gateway"),
		    "%s is not the gateway of the domain, which is " PN_STR_FMT "; remove the key",
		    pn_show(draft->row.gateway, l->arena), PN_STR_ARG(domain->gateway->name));
	a->full = pn_arena_printf(l->arena, PN_STR_FMT "@" PN_STR_FMT, PN_STR_ARG(a->local),
	    PN_STR_ARG(domain->name));
	draft->row.gateway = domain->gateway->name;
	if (pn_str_eq(a->full, domain->bounce) || pn_str_eq(a->full, domain->catchall))
		pn_report_error(l->report, draft->place, PN_STR("alias"),
		    "%s is the %s address of its domain; rename one of them", pn_show(a->full, l->arena),
		    pn_str_eq(a->full, domain->bounce) ? "bounce" : "catchall");
	return true;
}

static void
check(struct pn_loader *l, const struct pn_draft_alias *draft)
{
	const struct pn_alias *a = &draft->row.alias;
	const struct pn_model *model = pn_model_find(&l->config->directory.models, a->model);

	if (a->model.n > 0 && !pn_is_model_name(a->model))
		pn_report_error(l->report, draft->place, PN_STR("model"),
		    "%s is no model; write its technical name like crm.lead", pn_show(a->model, l->arena));
	if (a->parent_model.n > 0 && !pn_is_model_name(a->parent_model))
		pn_report_error(l->report, draft->place, PN_STR("parent_model"),
		    "%s is no model; write its technical name like project.project",
		    pn_show(a->parent_model, l->arena));
	if ((a->parent_model.n > 0) != (a->parent_id > 0))
		pn_report_error(l->report, draft->place, PN_STR("parent_id"),
		    "parent_model and parent_id belong together; write both or neither");
	/* Odoo rule 6.5 */
	if (model != NULL && !model->message_new && a->force_thread_id == 0)
		pn_report_warning(l->report, draft->place, PN_STR("model"),
		    "%s creates no records from mail, so Odoo fails on this alias; give it another model",
		    pn_show(a->model, l->arena));
	/* Odoo rule 6.4 */
	if (a->contact == PN_CONTACT_FOLLOWERS && a->force_thread_id == 0 && a->parent_id == 0)
		pn_report_warning(l->report, draft->place, PN_STR("contact"),
		    "followers of nothing: Odoo takes the alias for misconfigured; add parent_model and "
		    "parent_id");
	if (a->require_dmarc && l->config->auth.use == PN_DMARC_OFF)
		pn_report_error(l->report, draft->place, PN_STR("require_dmarc"),
		    "nothing can pass while dmarc = off; set dmarc = mark");
	/* Odoo rule 6.2 */
	if (pn_str_find(a->full, '@') == PN_STR_NONE && !a->incoming_local)
		pn_report_warning(l->report, draft->place, PN_STR("alias"),
		    "%s has no domain, so nothing can reach it; add one, or incoming_local = yes",
		    pn_show(a->full, l->arena));
}

void
pn_alias_add(struct pn_loader *l, struct pn_draft_alias draft, struct pn_str address)
{
	if (!load_address(l, &draft, address))
		return;
	check(l, &draft);
	if (draft.row.alias.full.n > ADDRESS_MAX)
		pn_report_error(l->report, draft.place, PN_STR("alias"),
		    "%s has %zu bytes; an address may have %d", pn_show(draft.row.alias.full, l->arena),
		    draft.row.alias.full.n, ADDRESS_MAX);
	l->aliases = pn_arena_grow(l->arena, l->aliases, l->alias_count, &l->alias_cap, l->alias_count + 1,
	    sizeof(*l->aliases));
	l->aliases[l->alias_count++] = draft;
}

void
pn_load_alias_sections(struct pn_loader *l)
{
	const struct pn_key_table *table = &pn_key_tables[PN_KEYS_ALIAS];
	struct pn_draft_alias defaults = { .place = { NULL, 0 } };

	pn_keys_defaults(table, &defaults, l->arena);
	for (size_t i = 1; i < l->tree.n; i++) {
		const struct pn_conf_section *s = &l->tree.sections[i];
		struct pn_draft_alias draft = defaults;

		if (!pn_str_eq(s->kind, PN_STR("alias")) || s->title.n == 0)
			continue;
		draft.place = s->place;
		pn_section_apply(l, s, table, &draft);
		pn_alias_add(l, draft, pn_str_trim(s->title));
	}
}

void
pn_finish_aliases(struct pn_loader *l)
{
	struct pn_alias_row *rows = PN_ARENA_ARRAY(l->arena, struct pn_alias_row, l->alias_count);
	struct pn_named *names = PN_ARENA_ARRAY(l->arena, struct pn_named, l->alias_count);

	for (size_t i = 0; i < l->alias_count; i++) {
		const struct pn_draft_alias *draft = &l->aliases[i];
		struct pn_str full = draft->row.alias.full;

		/* a name without domain may be used once in each gateway */
		if (pn_str_find(full, '@') == PN_STR_NONE)
			full = pn_arena_printf(l->arena, PN_STR_FMT " of " PN_STR_FMT, PN_STR_ARG(full),
			    PN_STR_ARG(draft->row.gateway));
		rows[i] = draft->row;
		names[i] = (struct pn_named){ full, draft->place, i };
	}
	pn_names_unique(l, names, l->alias_count, "alias", NULL);
	l->config->aliases = rows;
	l->config->alias_count = l->alias_count;
}
