/* files.h - the files of a configuration, read into memory.
 *
 * Internal to lib/config.
 */
#ifndef LIB_CONFIG_FILES_H
#define LIB_CONFIG_FILES_H

#include "report.h"

struct pn_conf_file {
	const char *name;	/* as it is shown */
	struct pn_str text;
	bool is_table;		/* of aliases.d/ */
};

/* In the order in which they count: the main file, conf.d, aliases.d. */
struct pn_conf_files {
	struct pn_conf_file *v;
	size_t n, cap;
};

/* The main file, then conf.d/ and aliases.d/ beside it in name order.  A file or
 * directory that cannot be read is reported, the others are read all the same.
 *
 * path and what is in the arena must live as long as the files.
 *
 * PN_OK        *out
 * PN_INVALID   one is not a regular file, or absurdly large
 * PN_TEMPFAIL  one could not be read */
PN_CHECK enum pn_status pn_conf_files_read(const char *path, struct pn_arena *arena,
    struct pn_conf_files *out, struct pn_config_report *report);

void pn_conf_files_add(struct pn_conf_files *files, struct pn_conf_file file, struct pn_arena *arena);

/* `name` as seen from the directory of `path`; an absolute one stays as it is. */
struct pn_str pn_path_beside(const char *path, struct pn_str name, struct pn_arena *arena);

#endif
