#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 16 << 20, TABLE_MAX = 512 << 20 };

struct pn_str
pn_path_beside(const char *path, struct pn_str name, struct pn_arena *arena)
{
	struct pn_str whole = pn_str_c(path);
	size_t slash = pn_str_find_last(whole, '/');
	struct pn_str dir = slash == PN_STR_NONE ? PN_STR_EMPTY : pn_str_head(whole, slash + 1);

	if (pn_str_starts(name, PN_STR("/")))
		return pn_arena_dup(arena, name);
	return pn_arena_printf(arena, PN_STR_FMT PN_STR_FMT, PN_STR_ARG(dir), PN_STR_ARG(name));
}

void
pn_conf_files_add(struct pn_conf_files *files, struct pn_conf_file file, struct pn_arena *arena)
{
	files->v = pn_arena_grow(arena, files->v, files->n, &files->cap, files->n + 1, sizeof(*files->v));
	files->v[files->n++] = file;
}

static enum pn_status
cannot_read(const char *name, int error, struct pn_config_report *report)
{
	pn_report_error(report, (struct pn_place){ name, 0 }, PN_STR_EMPTY, "cannot be read: %s; %s",
	    strerrordesc_np(error), error == ENOENT ? "create it or name another one with -c" :
	    error == EACCES ? "let the user postern read it" : "look at its file system");
	return PN_TEMPFAIL;
}

/* Exactly the bytes that fstat promised; a file that grows meanwhile is cut there. */
static enum pn_status
read_all(int fd, size_t size, const char *name, struct pn_arena *arena, struct pn_str *out,
    struct pn_config_report *report)
{
	char *p = pn_arena_alloc(arena, size + 1);
	size_t n = 0;

	while (n < size) {
		ssize_t got = read(fd, p + n, size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return cannot_read(name, errno, report);
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*out = pn_str_n(p, n);
	return PN_OK;
}

static enum pn_status
read_open(int fd, const char *name, bool is_table, struct pn_arena *arena, struct pn_str *out,
    struct pn_config_report *report)
{
	struct pn_place place = { name, 0 };
	struct stat st;

	if (fstat(fd, &st) != 0)
		return cannot_read(name, errno, report);
	if (!S_ISREG(st.st_mode)) {
		pn_report_error(report, place, PN_STR_EMPTY, "is not a regular file; replace it by one");
		return PN_INVALID;
	}
	if (st.st_size > (is_table ? TABLE_MAX : FILE_MAX)) {
		pn_report_error(report, place, PN_STR_EMPTY, "is larger than %d MB; split it",
		    (is_table ? TABLE_MAX : FILE_MAX) >> 20);
		return PN_INVALID;
	}
	return read_all(fd, (size_t)st.st_size, name, arena, out, report);
}

static enum pn_status
read_file(const char *name, bool is_table, struct pn_arena *arena, struct pn_conf_files *files,
    struct pn_config_report *report)
{
	struct pn_conf_file file = { .name = name, .is_table = is_table };
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	enum pn_status st;

	if (fd < 0)
		return cannot_read(name, errno, report);
	st = read_open(fd, name, is_table, arena, &file.text, report);
	(void)close(fd);
	if (st == PN_OK)
		pn_conf_files_add(files, file, arena);
	return st;
}

static int
is_conf(const struct dirent *entry)
{
	struct pn_str name = pn_str_c(entry->d_name);

	return name.p[0] != '.' && pn_str_ends(name, PN_STR(".conf"));
}

/* Everything but what editors and packages leave behind. */
static int
is_alias_table(const struct dirent *entry)
{
	struct pn_str name = pn_str_c(entry->d_name);

	return name.p[0] != '.' && name.p[0] != '#' && !pn_str_ends(name, PN_STR("~")) &&
	    !pn_str_ends(name, PN_STR(".bak")) && !pn_str_contains(name, PN_STR(".dpkg-")) &&
	    !pn_str_contains(name, PN_STR(".rpm"));
}

static int
by_bytes(const struct dirent **a, const struct dirent **b)
{
	return pn_str_cmp(pn_str_c((*a)->d_name), pn_str_c((*b)->d_name));
}

static enum pn_status
worse(enum pn_status a, enum pn_status b)
{
	return a == PN_TEMPFAIL || b == PN_OK ? a : b;
}

static enum pn_status
read_directory(const char *path, const char *name, bool is_table, struct pn_arena *arena,
    struct pn_conf_files *files, struct pn_config_report *report)
{
	struct pn_str dir = pn_path_beside(path, pn_str_c(name), arena);
	enum pn_status st = PN_OK;
	struct dirent **entries;
	int n = scandir(dir.p, &entries, is_table ? is_alias_table : is_conf, by_bytes);

	if (n < 0)
		return errno == ENOENT ? PN_OK : cannot_read(dir.p, errno, report);
	for (int i = 0; i < n; i++) {
		struct pn_str file = pn_arena_printf(arena, PN_STR_FMT "/%s", PN_STR_ARG(dir),
		    entries[i]->d_name);

		st = worse(st, read_file(file.p, is_table, arena, files, report));
		free(entries[i]);
	}
	free(entries);
	return st;
}

enum pn_status
pn_conf_files_read(const char *path, struct pn_arena *arena, struct pn_conf_files *out,
    struct pn_config_report *report)
{
	struct pn_conf_files files = { .n = 0 };
	enum pn_status st;

	st = read_file(path, false, arena, &files, report);
	st = worse(st, read_directory(path, "conf.d", false, arena, &files, report));
	st = worse(st, read_directory(path, "aliases.d", true, arena, &files, report));
	*out = files;
	return st;
}
