#include "load.h"

#include <stdlib.h>

bool
pn_is_model_name(struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!pn_is_alnum(name.p[i]) && name.p[i] != '_' && name.p[i] != '.')
			return false;
	return name.n > 0 && name.n <= 128;
}

/* What the keys start from: the built-in row, so that a section changes only
 * what it sets. */
static struct pn_draft_model
base_of(struct pn_loader *l, struct pn_str name)
{
	const struct pn_model *known = pn_model_find(&pn_models_odoo19, name);
	struct pn_draft_model draft = { .accepts = true };

	pn_keys_defaults(&pn_key_tables[PN_KEYS_MODEL], &draft, l->arena);
	draft.row.name = name;
	if (known != NULL) {
		draft.row = *known;
		draft.accepts = known->is_mail_thread || known->message_new || known->message_update;
		draft.creates = known->message_new;
		draft.updates = known->message_update;
	}
	return draft;
}

static struct pn_model
model_of(const struct pn_draft_model *draft, const struct pn_model *known)
{
	struct pn_model row = draft->row;

	row.exists = true;
	row.is_mail_thread = draft->accepts && (known == NULL || known->is_mail_thread);
	row.message_new = draft->accepts && draft->creates;
	row.message_update = draft->accepts && draft->updates;
	if (row.label.n == 0)
		row.label = row.name;
	return row;
}

static int
by_name(const void *a, const void *b)
{
	const struct pn_model *x = a, *y = b;

	return pn_str_cmp(x->name, y->name);
}

static size_t
load_sections(struct pn_loader *l, struct pn_model *v, struct pn_named *names)
{
	size_t n = 0;

	for (size_t i = 1; i < l->tree.n; i++) {
		const struct pn_conf_section *section = &l->tree.sections[i];
		struct pn_draft_model draft;

		if (!pn_str_eq(section->kind, PN_STR("model")) || section->title.n == 0)
			continue;
		if (!pn_is_model_name(section->title))
			pn_report_error(l->report, section->place, PN_STR("model"),
			    "%s is no model; write its technical name like crm.lead",
			    pn_show(section->title, l->arena));
		draft = base_of(l, section->title);
		pn_section_apply(l, section, &pn_key_tables[PN_KEYS_MODEL], &draft);
		v[n] = model_of(&draft, pn_model_find(&pn_models_odoo19, section->title));
		names[n] = (struct pn_named){ section->title, section->place, n };
		n++;
	}
	return n;
}

void
pn_load_models(struct pn_loader *l)
{
	const struct pn_models *built_in = &pn_models_odoo19;
	struct pn_model *v = PN_ARENA_ARRAY(l->arena, struct pn_model, built_in->n + l->tree.n);
	struct pn_named *names = PN_ARENA_ARRAY(l->arena, struct pn_named, l->tree.n);
	size_t n = load_sections(l, v, names), own = n;

	pn_names_unique(l, names, n, "model", NULL);
	if (own > 0)
		qsort(v, own, sizeof(*v), by_name);
	for (size_t i = 0; i < built_in->n; i++)
		if (pn_model_find(&(struct pn_models){ v, own }, built_in->v[i].name) == NULL)
			v[n++] = built_in->v[i];
	qsort(v, n, sizeof(*v), by_name);
	l->config->directory.models = (struct pn_models){ v, n };
}
