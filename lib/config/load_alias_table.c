#include "load.h"

/* One line of a table: fields between blanks. */
static bool
next_field(struct pn_str *line, struct pn_str *field)
{
	size_t n = 0;

	while (n < line->n && (line->p[n] == ' ' || line->p[n] == '\t'))
		n++;
	*line = pn_str_from(*line, n);
	for (n = 0; n < line->n && line->p[n] != ' ' && line->p[n] != '\t'; n++)
		;
	*field = pn_str_head(*line, n);
	*line = pn_str_from(*line, n);
	return field->n > 0 && field->p[0] != '#';
}

/* key=value; false: reported. */
static bool
apply_field(struct pn_loader *l, struct pn_str field, uint64_t *seen, struct pn_draft_alias *draft)
{
	const struct pn_key_table *table = &pn_key_tables[PN_KEYS_ALIAS];
	size_t equals = pn_str_find(field, '=');
	struct pn_str name = pn_str_head(field, equals), value = pn_str_from(field, name.n + 1);
	const struct pn_key *key = pn_key_find(table, name);
	struct pn_error err;

	if (equals == PN_STR_NONE) {
		pn_report_error(l->report, draft->place, PN_STR_EMPTY,
		    "%s is not a setting; write address model key=value ...", pn_show(field, l->arena));
		return false;
	}
	if (key == NULL) {
		pn_key_unknown(table, draft->place, name, l->arena, l->report);
		return false;
	}
	if (*seen & (uint64_t)1 << (key - table->v)) {
		pn_report_error(l->report, draft->place, name, "stands twice in the line; remove one");
		return false;
	}
	*seen |= (uint64_t)1 << (key - table->v);
	if (pn_key_set(key, (struct pn_strs){ &value, 1 }, false, false, draft, l->arena, &err) == PN_OK)
		return true;
	pn_report_error(l->report, draft->place, name, "%s", err.text);
	return false;
}

static void
read_line(struct pn_loader *l, struct pn_str line, struct pn_place place,
    const struct pn_draft_alias *defaults)
{
	const struct pn_key_table *table = &pn_key_tables[PN_KEYS_ALIAS];
	const struct pn_key *model = pn_key_find(table, PN_STR("model"));
	struct pn_draft_alias draft = *defaults;
	uint64_t seen = (uint64_t)1 << (model - table->v);
	struct pn_str address, field;
	struct pn_error err;

	draft.place = place;
	if (!next_field(&line, &address))
		return;
	if (!next_field(&line, &field)) {
		pn_report_error(l->report, place, PN_STR("model"),
		    "is missing; write address model, for example: %s crm.lead", pn_show(address, l->arena));
		return;
	}
	if (pn_key_set(model, (struct pn_strs){ &field, 1 }, false, false, &draft, l->arena, &err) != PN_OK)
		pn_report_error(l->report, place, PN_STR("model"), "%s", err.text);
	while (next_field(&line, &field))
		if (!apply_field(l, field, &seen, &draft))
			break;
	pn_alias_add(l, draft, address);
}

void
pn_load_alias_table(struct pn_loader *l, const struct pn_conf_file *file)
{
	struct pn_str rest = pn_conf_skip_bom(file->text), line;
	struct pn_draft_alias defaults = { .place = { file->name, 0 } };

	if (!pn_conf_is_text(file->text, file->name, l->report))
		return;
	pn_keys_defaults(&pn_key_tables[PN_KEYS_ALIAS], &defaults, l->arena);
	for (unsigned n = 1; pn_str_split(&rest, '\n', &line); n++)
		read_line(l, pn_str_trim(line), (struct pn_place){ file->name, n }, &defaults);
}
