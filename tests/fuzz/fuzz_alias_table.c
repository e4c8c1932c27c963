/* A table of aliases.d/: any bytes are read without harm, and what is taken can be
 * an alias. */
#include <assert.h>

#include "../../lib/config/load.h"
#include "postern/alias_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAIN_FILE "gateway g { target = keep }\ngateway h { target = keep }\n" \
	"domain a.example { gateway = g }\ndomain \"b\xc3\xbcro.example\" { gateway = h }\n"
static const struct pn_str main_file = { MAIN_FILE, sizeof(MAIN_FILE) - 1 };

static void
check_row(const struct pn_config *config, const struct pn_alias_row *row)
{
	size_t at = pn_str_find(row->alias.full, '@');

	assert(pn_directory_gateway(&config->directory, row->gateway) != NULL);
	assert(pn_is_dot_atom(row->alias.local));
	assert(pn_str_eq(pn_str_head(row->alias.full, at), row->alias.local));
	assert(row->alias.model.n > 0 && row->alias.contact <= PN_CONTACT_EMPLOYEES);
	assert((row->alias.parent_model.n > 0) == (row->alias.parent_id > 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	struct pn_config config = { .arena = arena };
	struct pn_conf_files files = { .n = 0 };
	struct pn_config_report report;
	enum pn_status st;

	pn_config_report_init(&report);
	pn_conf_files_add(&files, (struct pn_conf_file){ "f", main_file, false }, arena);
	pn_conf_files_add(&files, (struct pn_conf_file){ "t", pn_str_n((const char *)data, size), true }, arena);
	st = pn_conf_load(files, "f", &config, &report);
	assert((st == PN_OK) == (report.errors == 0));
	for (size_t i = 0; st == PN_OK && i < config.alias_count; i++)
		check_row(&config, &config.aliases[i]);
	pn_config_report_done(&report);
	pn_arena_free(arena);
	return 0;
}
