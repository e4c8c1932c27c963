#include "key_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 20, READ_STEP = 64 << 10 };

/* -- files ------------------------------------------------------------------------------------- */

enum pn_status
file_read(const char *path, struct pn_arena *arena, struct pn_str *out, struct pn_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char chunk[READ_STEP];
	struct pn_buf text;
	ssize_t n;

	if (fd < 0)
		return pn_fail(err, errno == ENOENT ? PN_NOT_FOUND : PN_TEMPFAIL, "%s: %s", path,
		    strerrordesc_np(errno));
	pn_buf_init(&text, FILE_MAX);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		pn_buf_add(&text, pn_str_n(chunk, (size_t)n));
	(void)close(fd);
	if (n == 0 && !pn_buf_failed(&text))
		*out = pn_arena_dup(arena, pn_buf_str(&text));
	else
		n = -1;
	pn_buf_done(&text);
	return n == 0 ? PN_OK : pn_fail(err, PN_TEMPFAIL, "%s: cannot be read, or is too large", path);
}

static bool
write_all(int fd, struct pn_str text)
{
	while (text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno != EINTR)
			return false;
		text = pn_str_from(text, n < 0 ? 0 : (size_t)n);
	}
	return fsync(fd) == 0;
}

/* The new name is on the disk too. */
static void
sync_folder(const char *path, struct pn_arena *arena)
{
	struct pn_str folder = pn_str_head(pn_str_c(path), pn_str_find_last(pn_str_c(path), '/') + 1);
	int fd = open(pn_arena_cstr(arena, folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)fsync(fd);
	(void)close(fd);
}

static bool
replace(const char *path, struct pn_str text, struct pn_arena *arena)
{
	char *temporary = (char *)(uintptr_t)pn_arena_printf(arena, "%s.XXXXXX", path).p;
	int fd = mkostemp(temporary, O_CLOEXEC);
	struct stat old;
	bool done;

	if (fd < 0)
		return false;
	if (stat(path, &old) == 0)
		done = fchown(fd, old.st_uid, old.st_gid) == 0 && fchmod(fd, old.st_mode & 07777) == 0;
	else
		done = fchmod(fd, 0644) == 0;
	done = write_all(fd, text) && done;
	(void)close(fd);
	done = done && rename(temporary, path) == 0;
	if (done)
		sync_folder(path, arena);
	else
		(void)unlink(temporary);
	return done;
}

enum pn_status
file_replace(const char *path, struct pn_str text, struct pn_error *err)
{
	struct pn_arena *arena = pn_arena_new(FILE_MAX);
	char *real = realpath(path, NULL); /* a link stays one */
	bool done = replace(real != NULL ? real : path, text, arena);
	int error = errno;

	free(real);
	pn_arena_free(arena);
	return done ? PN_OK : pn_fail(err, PN_TEMPFAIL, "%s: %s", path, strerrordesc_np(error));
}

/* -- lines --------------------------------------------------------------------------------------- */

struct pn_str
text_with_line(struct pn_str text, struct pn_str line, struct pn_arena *arena)
{
	bool ended = text.n == 0 || text.p[text.n - 1] == '\n';

	return pn_arena_printf(
	    arena, PN_STR_FMT "%s" PN_STR_FMT "\n", PN_STR_ARG(text), ended ? "" : "\n", PN_STR_ARG(line));
}

static const struct line_edit *
edit_of(const struct line_edit *edits, size_t n, size_t number)
{
	for (size_t i = 0; i < n; i++)
		if (edits[i].number == number)
			return &edits[i];
	return NULL;
}

struct pn_str
text_edited(struct pn_str text, const struct line_edit *edits, size_t n, struct pn_arena *arena)
{
	struct pn_strs_builder lines = { .arena = arena };
	struct pn_str line;

	for (size_t number = 1; pn_str_split(&text, '\n', &line); number++) {
		const struct line_edit *edit = edit_of(edits, n, number);

		if (edit == NULL || edit->line.n > 0)
			pn_strs_add(&lines, edit == NULL ? line : edit->line);
	}
	return pn_strs_join(lines.list, PN_STR("\n"), arena);
}

/* -- the tables ------------------------------------------------------------------------------------ */

static enum pn_status
read_table(const char *path, struct pn_arena *arena, struct pn_str *out, struct pn_error *err)
{
	enum pn_status st = PN_NOT_FOUND;

	*out = PN_STR_EMPTY;
	if (path[0] != '\0')
		st = file_read(path, arena, out, err);
	return st == PN_NOT_FOUND ? PN_OK : st;
}

static enum pn_status
read_tables(struct key_files *f, bool patterns, struct pn_error *err)
{
	enum pn_status st = read_table(f->key_path, f->arena, &f->key_text, err);

	if (st == PN_OK)
		st = read_table(f->signing_path, f->arena, &f->signing_text, err);
	if (st == PN_OK && (st = pn_key_table_parse(f->key_text, f->arena, &f->keys, err)) != PN_OK)
		return pn_fail_in(err, st, "%s", f->key_path);
	if (st == PN_OK
	    && (st = pn_signing_table_parse(f->signing_text, patterns, f->arena, &f->signing, err)) != PN_OK)
		return pn_fail_in(err, st, "%s", f->signing_path);
	return st;
}

int
key_files_open(struct cli *cli, struct key_files *out)
{
	const struct pn_sign_config *sign = &cli->config->sign;
	struct pn_str signing = sign->signing_table;
	bool patterns = pn_str_starts(signing, PN_STR("refile:"));
	struct pn_error err = { "" };
	enum pn_status st;

	if (patterns || pn_str_starts(signing, PN_STR("file:")))
		signing = pn_str_from(signing, pn_str_find(signing, ':') + 1);
	*out = (struct key_files) { .arena = cli->arena,
		.key_path = pn_arena_cstr(cli->arena, sign->key_table),
		.signing_path = pn_arena_cstr(cli->arena, signing) };
	st = read_tables(out, patterns, &err);
	if (st != PN_OK)
		return cli_fail(st, "%s", err.text);
	out->ring = pn_key_ring_new(pn_config_secret);
	return EX_OK;
}

void
key_files_close(struct key_files *files)
{
	pn_key_ring_free(files->ring);
}
