#include "place.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MARK_BYTES = 256, PATH_SIZE = 4096, FIELDS = 5 };

/* -- the note --------------------------------------------------------------------------- */

bool
place_load(const char *path, struct place *out)
{
	char text[256];
	uint64_t v[FIELDS];
	struct pn_str rest, field;
	size_t n = 0;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return false;
	rest = pn_str_trim(pn_str_n(text, fread(text, 1, sizeof(text), file)));
	(void)fclose(file);
	while (n < FIELDS && pn_str_split(&rest, ' ', &field))
		if (!pn_str_to_u64(field, INT64_MAX, &v[n++]))
			return false;
	if (n < FIELDS || rest.p != NULL)
		return false;
	*out = (struct place) { (dev_t)v[0], (ino_t)v[1], v[2], v[3], (int64_t)v[4] };
	return true;
}

bool
place_save(const char *path, const struct place *place)
{
	char fresh[PATH_SIZE];
	FILE *file;
	bool ok;

	if (snprintf(fresh, sizeof(fresh), "%s.new", path) >= (int)sizeof(fresh))
		return false;
	file = fopen(fresh, "we");
	if (file == NULL)
		return false;
	ok = fprintf(file, "%llu %llu %llu %llu %lld\n", (unsigned long long)place->device,
		 (unsigned long long)place->inode, (unsigned long long)place->offset,
		 (unsigned long long)place->mark, (long long)place->time)
	    > 0;
	ok = fclose(file) == 0 && ok;
	return ok && rename(fresh, path) == 0;
}

/* -- the file ----------------------------------------------------------------------------- */

/* FNV-1a, of 63 bits: what is noted is read as a number that has a sign elsewhere. */
void
place_mark(struct place *place, int fd)
{
	char bytes[MARK_BYTES];
	size_t want = place->offset < sizeof(bytes) ? (size_t)place->offset : sizeof(bytes);
	ssize_t n = pread(fd, bytes, want, (off_t)(place->offset - want));
	uint64_t hash = 14695981039346656037u;

	for (ssize_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * 1099511628211u;
	place->mark = hash >> 1;
}

static int
open_if_same(const struct place *place, const char *path)
{
	struct place there = *place;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	place_mark(&there, fd);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == place->inode
	    && st.st_dev == place->device && (uint64_t)st.st_size >= place->offset
	    && there.mark == place->mark)
		return fd;
	(void)close(fd);
	return -1;
}

static int
find_beside(const struct place *place, const char *log)
{
	struct pn_str whole = pn_str_c(log);
	size_t slash = pn_str_find_last(whole, '/');
	struct pn_str folder = pn_str_head(whole, slash + 1), name = pn_str_from(whole, slash + 1);
	char path[PATH_SIZE];
	struct dirent *entry;
	int fd = -1;
	DIR *dir;

	if (snprintf(path, sizeof(path), PN_STR_FMT, PN_STR_ARG(folder)) >= (int)sizeof(path)
	    || (dir = opendir(path)) == NULL)
		return -1;
	while (fd < 0 && (entry = readdir(dir)) != NULL)
		if (entry->d_ino == place->inode && pn_str_starts(pn_str_c(entry->d_name), name)
		    && snprintf(path, sizeof(path), PN_STR_FMT "%s", PN_STR_ARG(folder), entry->d_name)
			< (int)sizeof(path))
			fd = open_if_same(place, path);
	(void)closedir(dir);
	return fd;
}

int
place_find(const struct place *place, const char *log)
{
	int fd = open_if_same(place, log);

	return fd >= 0 ? fd : find_beside(place, log);
}
