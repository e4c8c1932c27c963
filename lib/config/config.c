#include "load.h"

enum pn_status
pn_config_load(const char *path, struct pn_config **out, struct pn_config_report *report)
{
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	struct pn_config *config = PN_ARENA_NEW(arena, struct pn_config);
	const char *name = pn_arena_cstr(arena, pn_str_c(path));
	struct pn_conf_files files;
	enum pn_status read, st;

	config->arena = arena;
	read = pn_conf_files_read(name, arena, &files, report);
	/* without the main file everything else would only look wrong */
	st = read;
	if (files.n > 0 && files.v[0].name == name) {
		st = pn_conf_load(files, name, config, report);
		st = read == PN_OK ? st : read;
	}
	if (st == PN_OK) {
		config->fingerprint = pn_directory_fingerprint(&config->directory);
		*out = config;
	} else {
		pn_config_free(config);
	}
	return st;
}

void
pn_config_free(struct pn_config *config)
{
	/* it lives in its own arena */
	if (config != NULL)
		pn_arena_free(config->arena);
}
