/* postern.conf: any bytes are read without harm, and what was read survives
 * being printed and read again. */
#include <assert.h>

#include "../../lib/config/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The whole tree as text, in the syntax it was read from. */
static void
print_tree(const struct pn_conf_tree *tree, struct pn_buf *out)
{
	for (size_t i = 0; i < tree->n; i++) {
		const struct pn_conf_section *s = &tree->sections[i];

		if (i > 0) {
			pn_conf_quote(out, s->kind, true);
			pn_buf_add_char(out, ' ');
			if (s->has_title)
				pn_conf_quote(out, s->title, true);
			pn_buf_add_c(out, " {\n");
		}
		for (size_t k = 0; k < s->key_count; k++) {
			pn_conf_quote(out, s->keys[k].name, true);
			pn_buf_add_c(out, s->keys[k].append ? " += " : " = ");
			if (s->keys[k].list)
				pn_buf_add_char(out, '{');
			for (size_t v = 0; v < s->keys[k].values.n; v++) {
				if (v > 0)
					pn_buf_add_char(out, ',');
				pn_conf_quote(out, s->keys[k].values.v[v], v % 2 == 0);
			}
			pn_buf_add_c(out, s->keys[k].list ? "}\n" : "\n");
		}
		if (i > 0)
			pn_buf_add_c(out, "}\n");
	}
}

/* Reads the text and prints what was read. */
static size_t
read_and_print(struct pn_str text, struct pn_buf *out)
{
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	struct pn_config_report report;
	struct pn_conf_tree tree;
	size_t errors;

	pn_config_report_init(&report);
	pn_conf_tree_init(&tree, arena);
	pn_conf_read(&tree, text, "f", arena, &report);
	print_tree(&tree, out);
	errors = report.errors;
	pn_config_report_done(&report);
	pn_arena_free(arena);
	return errors;
}

static void
load(struct pn_str text)
{
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	struct pn_config config = { .arena = arena };
	struct pn_conf_files files = { .n = 0 };
	struct pn_config_report report;
	enum pn_status st;

	pn_config_report_init(&report);
	pn_conf_files_add(&files, (struct pn_conf_file){ "f", text, false }, arena);
	st = pn_conf_load(files, "f", &config, &report);
	assert((st == PN_OK) == (report.errors == 0));
	assert((report.text.n == 0) == (report.errors + report.warnings == 0));
	for (size_t i = 0; i < config.directory.domain_count; i++)
		assert(pn_directory_domain(&config.directory, config.directory.domains[i].ascii) ==
		    &config.directory.domains[i]);
	pn_config_report_done(&report);
	pn_arena_free(arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_str text = pn_str_n((const char *)data, size);
	struct pn_buf once, twice;
	size_t errors;

	pn_buf_init(&once, 64 << 20);
	pn_buf_init(&twice, 64 << 20);
	(void)read_and_print(text, &once);
	errors = read_and_print(pn_buf_str(&once), &twice);
	assert(errors == 0);
	assert(pn_str_eq(pn_buf_str(&once), pn_buf_str(&twice)));
	pn_buf_done(&once);
	pn_buf_done(&twice);
	load(text);
	return 0;
}
