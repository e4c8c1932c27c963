#include "load.h"

/* -- postern config -n ------------------------------------------------------------ */

static void
print_values(struct pn_buf *out, const struct pn_conf_key *k)
{
	pn_buf_addf(out, PN_STR_FMT " %s ", PN_STR_ARG(k->name), k->append ? "+=" : "=");
	if (k->list)
		pn_buf_add_char(out, '{');
	for (size_t i = 0; i < k->values.n; i++) {
		if (i > 0)
			pn_buf_add_c(out, ", ");
		pn_conf_quote(out, k->values.v[i], false);
	}
	pn_buf_add_c(out, k->list ? "}\n" : "\n");
}

/* The lines of one key: the last assignment and what is appended to it. */
static void
print_key(struct pn_buf *out, const struct pn_conf_section *section, const char *name, const char *indent)
{
	size_t from = section->key_count;

	for (size_t i = 0; i < section->key_count; i++)
		if (pn_str_eq(section->keys[i].name, pn_str_c(name)) &&
		    (!section->keys[i].append || from == section->key_count))
			from = i;
	for (size_t i = from; i < section->key_count; i++)
		if (pn_str_eq(section->keys[i].name, pn_str_c(name))) {
			pn_buf_add_c(out, indent);
			print_values(out, &section->keys[i]);
		}
}

static void
print_section(struct pn_buf *out, const struct pn_conf_section *section, const struct pn_key_table *table)
{
	bool inside = section->kind.n > 0;

	if (inside) {
		pn_buf_addf(out, "%s ", table->section);
		pn_conf_quote(out, section->title, true);
		pn_buf_add_c(out, " {\n");
	}
	for (size_t i = 0; i < table->n; i++)
		print_key(out, section, table->v[i].name, inside ? "\t" : "");
	if (inside)
		pn_buf_add_c(out, "}\n");
}

static enum pn_status
print_set(const char *path, struct pn_arena *arena, struct pn_buf *out, struct pn_config_report *report)
{
	struct pn_conf_files files;
	struct pn_conf_tree tree;
	enum pn_status st = pn_conf_files_read(path, arena, &files, report);

	pn_conf_tree_init(&tree, arena);
	for (size_t i = 0; i < files.n; i++)
		if (!files.v[i].is_table)
			pn_conf_read(&tree, files.v[i].text, files.v[i].name, arena, report);
	for (size_t t = 0; t < PN_COUNT(pn_key_tables); t++)
		for (size_t i = 0; i < tree.n; i++)
			if (pn_str_eq(tree.sections[i].kind, pn_str_c(pn_key_tables[t].section)) &&
			    (t == 0) == (i == 0))
				print_section(out, &tree.sections[i], &pn_key_tables[t]);
	for (size_t i = 0; i < files.n; i++)
		if (files.v[i].is_table)
			pn_buf_addf(out, "# alias table %s\n", files.v[i].name);
	pn_report_finish(report);
	return st != PN_OK ? st : report->errors == 0 ? PN_OK : PN_INVALID;
}

/* -- postern config -d ------------------------------------------------------------ */

static void
print_defaults(struct pn_buf *out)
{
	for (size_t t = 0; t < PN_COUNT(pn_key_tables); t++) {
		const struct pn_key_table *table = &pn_key_tables[t];
		const char *indent = t > 0 ? "\t" : "";

		if (t > 0)
			pn_buf_addf(out, "%s \"%s\" {\n", table->section, table->title_name);
		for (size_t i = 0; i < table->n; i++)
			if (table->v[i].standard != NULL)
				pn_buf_addf(out, "%s%s = %s\n", indent, table->v[i].name,
				    table->v[i].standard);
			else
				pn_buf_addf(out, "%s# %s must be set\n", indent, table->v[i].name);
		if (t > 0)
			pn_buf_add_c(out, "}\n");
	}
}

enum pn_status
pn_config_print(const char *path, enum pn_config_print what, struct pn_buf *out,
    struct pn_config_report *report)
{
	struct pn_arena *arena;
	enum pn_status st = PN_OK;

	switch (what) {
	case PN_CONFIG_SET:
		arena = pn_arena_new(SIZE_MAX);
		st = print_set(path, arena, out, report);
		pn_arena_free(arena);
		break;
	case PN_CONFIG_DEFAULTS:
		print_defaults(out);
		break;
	}
	return pn_buf_failed(out) ? PN_LIMIT : st;
}

/* -- the sample file ---------------------------------------------------------------- */

/* A comment, broken at 78 columns. */
static void
print_comment(struct pn_buf *out, const char *indent, const char *text)
{
	struct pn_str rest = pn_str_c(text), word;
	size_t column = 0;

	while (pn_str_split(&rest, ' ', &word)) {
		if (column > 0 && column + 1 + word.n > 76) {
			pn_buf_add_char(out, '\n');
			column = 0;
		}
		if (column == 0)
			pn_buf_addf(out, "%s# ", indent);
		else
			pn_buf_add_char(out, ' ');
		pn_buf_add(out, word);
		column += 1 + word.n;
	}
	pn_buf_add_c(out, ".\n");
}

static void
sample_key(struct pn_buf *out, const struct pn_key *key, const char *indent)
{
	const char *value = key->example != NULL ? key->example : key->standard;

	pn_buf_add_char(out, '\n');
	print_comment(out, indent, key->help);
	if (key->words != NULL)
		pn_buf_addf(out, "%s# One of: %s.\n", indent, key->words);
	if (key->example != NULL && key->standard != NULL)
		pn_buf_addf(out, "%s# Default: %s\n", indent, key->standard);
	pn_buf_addf(out, "%s%s%s = %s\n", indent, key->standard != NULL ? "#" : "", key->name, value);
}

void
pn_config_sample(struct pn_buf *out)
{
	pn_buf_add_c(out,
	    "# postern.conf - made from the table of keys (lib/config/keys.c).\n"
	    "#\n"
	    "# What is commented out shows its default or an example.  Files *.conf in\n"
	    "# conf.d/ beside this one are read after it, in name order; tables of aliases\n"
	    "# go into aliases.d/, one alias per line:\n"
	    "#\n"
	    "#     sales@acme.example  crm.lead  contact=everyone\n"
	    "#\n"
	    "# Then: postern check; postern config -n shows what is set, -d the defaults.\n");
	for (size_t t = 0; t < PN_COUNT(pn_key_tables); t++) {
		const struct pn_key_table *table = &pn_key_tables[t];

		if (t > 0) {
			pn_buf_add_char(out, '\n');
			print_comment(out, "", table->help);
			pn_buf_addf(out, "%s%s \"%s\" {", table->optional ? "#" : "", table->section,
			    table->title);
		}
		for (size_t i = 0; i < table->n; i++)
			sample_key(out, &table->v[i], t > 0 ? "\t" : "");
		if (t > 0)
			pn_buf_add_c(out, table->optional ? "#}\n" : "}\n");
	}
}

/* -- the manual page ------------------------------------------------------------------ */

/* Text that mdoc takes as text: no line of it begins a macro, each sentence begins
 * a line. */
static void
print_mdoc(struct pn_buf *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\\')
			pn_buf_add_c(out, "\\e");
		else if (*p == '"')
			pn_buf_add_c(out, "\\(dq");
		else if (*p == '-')
			pn_buf_add_c(out, "\\-");
		else if (*p == ' ' && p > text && p[-1] == '.' && pn_is_upper(p[1]))
			pn_buf_add_char(out, '\n');
		else if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n'))
			pn_buf_addf(out, "\\&%c", *p);
		else
			pn_buf_add_char(out, *p);
	}
}

static const char *
value_name(enum pn_key_type type)
{
	switch (type) {
	case PN_KEY_TEXT:
		return "text";
	case PN_KEY_LIST:
		return "list";
	case PN_KEY_BOOL:
		return "yes | no";
	case PN_KEY_NUMBER:
		return "number";
	case PN_KEY_SIZE:
		return "size";
	case PN_KEY_TIME:
		return "time";
	case PN_KEY_MODE:
		return "mode";
	case PN_KEY_CHOICE:
		return "choice";
	}
	return "";
}

static void
manual_choices(struct pn_buf *out, const char *words)
{
	struct pn_str rest = pn_str_c(words), word;

	pn_buf_add_c(out, "One of\n");
	while (pn_str_split(&rest, ' ', &word))
		pn_buf_addf(out, ".Cm " PN_STR_FMT "%s\n", PN_STR_ARG(word), rest.p == NULL ? " ." : " ,");
}

static void
manual_key(struct pn_buf *out, const struct pn_key *key)
{
	bool number = key->type == PN_KEY_NUMBER || key->type == PN_KEY_SIZE || key->type == PN_KEY_TIME ||
	    key->type == PN_KEY_MODE;

	pn_buf_addf(out, ".It Ic %s No = Ar %s\n", key->name, value_name(key->type));
	print_mdoc(out, key->help);
	pn_buf_add_c(out, ".\n");
	if (key->words != NULL)
		manual_choices(out, key->words);
	if (number && key->max < INT64_MAX) {
		pn_buf_add_c(out, "From ");
		pn_key_format(out, key->type, key->min);
		pn_buf_add_c(out, " to ");
		pn_key_format(out, key->type, key->max);
		pn_buf_add_c(out, ".\n");
	}
	if (key->standard == NULL) {
		pn_buf_add_c(out, "It must be set.\n");
		return;
	}
	pn_buf_add_c(out, "Default: ");
	print_mdoc(out, key->standard);
	pn_buf_add_c(out, ".\n");
}

static void
manual_preset(struct pn_buf *out, const struct pn_preset *preset)
{
	const struct { const char *name, *value; } rows[] = {
		{ preset->own_host ? "host, to be set, like" : "host", preset->host },
		{ "port", preset->port },
		{ "other ports", preset->other_ports },
		{ "security", preset->security },
		{ "authentication", preset->authentication },
		{ "limits", preset->limits },
	};

	pn_buf_addf(out, ".It Cm %s\n", preset->name);
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		if (*rows[i].value == '\0')
			continue;
		pn_buf_addf(out, "%s%s ", i > 0 ? ";\n" : "", rows[i].name);
		print_mdoc(out, rows[i].value);
	}
	pn_buf_add_c(out, ".\n");
	print_mdoc(out, preset->login);
	pn_buf_add_char(out, '\n');
}

static void
manual_presets(struct pn_buf *out)
{
	pn_buf_add_c(out, ".Ss Presets of relays\n"
	    "What a preset gives to the keys that a relay does not set.\n"
	    "Limits are those of a plain account; one's own go into\n.Ic limits .\n"
	    ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < pn_preset_count; i++)
		manual_preset(out, &pn_presets[i]);
	pn_buf_add_c(out, ".El\n");
}

void
pn_config_manual(struct pn_buf *out)
{
	for (size_t t = 0; t < PN_COUNT(pn_key_tables); t++) {
		const struct pn_key_table *table = &pn_key_tables[t];

		if (t == 0)
			pn_buf_add_c(out, ".Ss Outside sections\n");
		else
			pn_buf_addf(out, ".Ss Section %s Qq Ar %s\n", table->section, table->title_name);
		print_mdoc(out, table->help);
		pn_buf_add_c(out, ".\n.Bl -tag -width Ds\n");
		for (size_t i = 0; i < table->n; i++)
			manual_key(out, &table->v[i]);
		pn_buf_add_c(out, ".El\n");
	}
	manual_presets(out);
}
