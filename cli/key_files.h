/* key_files.h - the tables of DKIM keys, read and changed as files. */
#ifndef POSTERN_CLI_KEY_FILES_H
#define POSTERN_CLI_KEY_FILES_H

#include "cli.h"
#include "postern/key_ring.h"
#include "postern/key_table.h"

struct key_files {
	const char *key_path, *signing_path; /* "" = not configured */
	struct pn_str key_text, signing_text; /* "" where there is no file yet */
	struct pn_key_table keys;
	struct pn_signing_table signing;
	struct pn_key_ring *ring;
	struct pn_arena *arena;
};

/* EX_OK, or what to exit with: said. */
int key_files_open(struct cli *cli, struct key_files *out);
void key_files_close(struct key_files *files);

/* Takes the place of a file in one step, with its owner and mode; a new one is 0644.  Both tables are for
 * anybody's eyes.  PN_OK or PN_TEMPFAIL. */
PN_CHECK enum pn_status file_replace(const char *path, struct pn_str text, struct pn_error *err);
/* PN_OK, PN_NOT_FOUND, PN_TEMPFAIL */
PN_CHECK enum pn_status
file_read(const char *path, struct pn_arena *arena, struct pn_str *out, struct pn_error *err);

/* The text with one more line. */
struct pn_str text_with_line(struct pn_str text, struct pn_str line, struct pn_arena *arena);
/* The text with other lines in the place of some; "" takes one out. */
struct line_edit {
	size_t number;
	struct pn_str line;
};
struct pn_str
text_edited(struct pn_str text, const struct line_edit *edits, size_t n, struct pn_arena *arena);

#endif
