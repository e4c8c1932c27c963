#include "load.h"

#include <stdlib.h>

#include "postern/alias_name.h"

/* A domain with what is needed to put it in order. */
struct loaded {
	struct pn_domain row;
	uint64_t sequence;
	struct pn_place place, human_place;
	size_t order;
};

/* Odoo rule 6.1: the same sanitising as for aliases, then local@name. */
static struct pn_str
local_address(struct pn_loader *l, const struct pn_conf_section *section, const char *key,
    struct pn_str text, bool is_email)
{
	struct pn_str clean;
	size_t at;

	if (pn_alias_name_sanitize(text, is_email, l->arena, &clean) != PN_OK) {
		pn_report_error(l->report, pn_section_place(section, key), pn_str_c(key),
		    "%s leaves no name; write letters and digits", pn_show(text, l->arena));
		return PN_STR_EMPTY;
	}
	at = pn_str_find(clean, '@');
	if (!pn_is_dot_atom(pn_str_head(clean, at)) ||
	    (at != PN_STR_NONE && !pn_is_dot_atom(pn_str_from(clean, at + 1)))) {
		pn_report_error(l->report, pn_section_place(section, key), pn_str_c(key),
		    "%s cannot stand in an address; write letters, digits and dots", pn_show(text, l->arena));
		return PN_STR_EMPTY;
	}
	if (at != PN_STR_NONE)
		return clean;
	return pn_arena_printf(l->arena, PN_STR_FMT "@" PN_STR_FMT, PN_STR_ARG(clean),
	    PN_STR_ARG(section->title));
}

static bool
has_capitals(struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (pn_is_upper(name.p[i]))
			return true;
	return false;
}

static void
check_domain(struct pn_loader *l, const struct pn_conf_section *section, const struct pn_domain *d)
{
	struct pn_place place = pn_section_place(section, "catchall_alias");
	const char *why;
	struct pn_str write_to;

	if (d->write_to.n > 0 && !pn_conf_address(d->write_to, l->arena, &write_to, &why))
		pn_report_error(l->report, pn_section_place(section, "write_to"), PN_STR("write_to"), "%s %s",
		    pn_show(d->write_to, l->arena), why);
	if (d->bounce.n > 0 && pn_str_eq(d->bounce, d->catchall))
		pn_report_error(l->report, place, PN_STR("catchall_alias"),
		    "is the bounce alias as well, so replies would vanish; give them different names");
	if (has_capitals(d->name))
		pn_report_warning(l->report, section->place, PN_STR("domain"),
		    "%s has capitals: Odoo compares lower case and never matches it; write it in lower case, "
		    "in Odoo too", pn_show(d->name, l->arena));
}

/* When all domains are known.  A recipient that we add is delivered as it is: in a
 * domain of ours only Postfix's own mailboxes can take it. */
static void
check_human(struct pn_loader *l, const struct loaded *loaded)
{
	const struct pn_domain *d = &loaded->row, *managed;
	struct pn_str human, domain, local;
	const char *why;

	if (d->human.n == 0)
		return;
	if (!pn_conf_address(d->human, l->arena, &human, &why)) {
		pn_report_error(l->report, loaded->human_place, PN_STR("human"), "%s %s",
		    pn_show(d->human, l->arena), why);
		return;
	}
	domain = pn_str_from(human, pn_str_find_last(human, '@') + 1);
	local = pn_str_head(human, human.n - domain.n - 1);
	managed = pn_directory_domain(&l->config->directory, domain);
	if (managed != NULL && managed->unknown != PN_UNKNOWN_PASS)
		pn_report_error(l->report, loaded->human_place, PN_STR("human"),
		    "%s is in a domain of ours, where no person has a mailbox; name one elsewhere, or set unknown "
		    "= pass for that domain if people have mailboxes there", pn_show(d->human, l->arena));
	else if (pn_str_eq(domain, d->ascii) &&
	    (pn_str_eq_nocase(local, PN_STR("postmaster")) || pn_str_eq_nocase(local, PN_STR("abuse"))))
		pn_report_error(l->report, loaded->human_place, PN_STR("human"),
		    "%s stands for itself; name the mailbox of a person", pn_show(d->human, l->arena));
}

static void
load_domain(struct pn_loader *l, const struct pn_conf_section *section,
    const struct pn_draft_domain *defaults, struct loaded *out)
{
	struct pn_draft_domain draft = *defaults;
	struct pn_domain *d = &draft.row;

	pn_section_apply(l, section, &pn_key_tables[PN_KEYS_DOMAIN], &draft);
	d->name = section->title;
	if (!pn_conf_domain(section->title, l->arena, &d->ascii)) {
		pn_report_error(l->report, section->place, PN_STR("domain"),
		    "%s is no domain; write one like acme.example", pn_show(section->title, l->arena));
		d->ascii = section->title;
	}
	d->gateway = pn_gateway_wanted(l, draft.gateway, pn_section_place(section, "gateway"));
	d->bounce = local_address(l, section, "bounce_alias", draft.bounce, false);
	d->catchall = local_address(l, section, "catchall_alias", draft.catchall, false);
	d->default_from = PN_STR_EMPTY;
	if (draft.default_from.n > 0)
		d->default_from = local_address(l, section, "default_from", draft.default_from, true);
	check_domain(l, section, d);
	*out = (struct loaded){ *d, draft.sequence, section->place, pn_section_place(section, "human"), 0 };
}

static int
by_ascii(const void *a, const void *b)
{
	const struct pn_domain *x = a, *y = b;

	return pn_str_cmp(x->ascii, y->ascii);
}

/* By gateway, then as Odoo orders alias domains. */
static int
by_sequence(const void *a, const void *b)
{
	const struct loaded *x = a, *y = b;
	size_t gx = x->row.gateway->index, gy = y->row.gateway->index;

	if (gx != gy)
		return gx > gy ? 1 : -1;
	if (x->sequence != y->sequence)
		return x->sequence > y->sequence ? 1 : -1;
	return (x->order > y->order) - (x->order < y->order);
}

/* v: the good ones.  Each gateway gets its part of one array. */
static void
hand_out(struct pn_loader *l, struct loaded *v, size_t n)
{
	struct pn_domain *ordered = PN_ARENA_ARRAY(l->arena, struct pn_domain, n);
	struct pn_domain *all = PN_ARENA_ARRAY(l->arena, struct pn_domain, n);

	if (n > 0)
		qsort(v, n, sizeof(*v), by_sequence);
	for (size_t i = 0; i < n; i++) {
		struct pn_gateway *g = &l->gateways[v[i].row.gateway->index];

		ordered[i] = all[i] = v[i].row;
		if (g->domain_count++ == 0)
			g->domains = &ordered[i];
	}
	if (n > 0)
		qsort(all, n, sizeof(*all), by_ascii);
	l->config->directory.domains = all;
	l->config->directory.domain_count = n;
}

void
pn_load_domains(struct pn_loader *l)
{
	struct loaded *v = PN_ARENA_ARRAY(l->arena, struct loaded, l->tree.n);
	struct loaded *kept = PN_ARENA_ARRAY(l->arena, struct loaded, l->tree.n);
	struct pn_named *names = PN_ARENA_ARRAY(l->arena, struct pn_named, l->tree.n);
	bool *twice = PN_ARENA_ARRAY(l->arena, bool, l->tree.n);
	struct pn_draft_domain defaults = { .sequence = 0 };
	size_t n = 0, good = 0;

	pn_keys_defaults(&pn_key_tables[PN_KEYS_DOMAIN], &defaults, l->arena);
	for (size_t i = 1; i < l->tree.n; i++) {
		const struct pn_conf_section *s = &l->tree.sections[i];

		if (!pn_str_eq(s->kind, PN_STR("domain")) || s->title.n == 0)
			continue;
		load_domain(l, s, &defaults, &v[n]);
		v[n].order = n;
		names[n] = (struct pn_named){ v[n].row.ascii, s->place, n };
		n++;
	}
	pn_names_unique(l, names, n, "domain", twice);
	for (size_t i = 0; i < n; i++)
		if (!twice[i] && v[i].row.gateway != NULL)
			kept[good++] = v[i];
	l->domains_missing = good < n;
	hand_out(l, kept, good);
	for (size_t i = 0; i < n; i++)
		check_human(l, &v[i]);
}
