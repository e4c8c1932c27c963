#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/config.h"

enum { PATH_SIZE = 4096, TEXT_SIZE = 8192 };

static enum pn_status
fail_errno(struct pn_error *err, const char *what, const char *path)
{
	return pn_fail(err, PN_TEMPFAIL, "cannot %s %s: %s", what, path, strerrordesc_np(errno));
}

/* -- the folder --------------------------------------------------------------------- */

static enum pn_status
lock_folder(int fd, const char *path, struct pn_error *err)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return PN_OK;
	if (errno == EWOULDBLOCK)
		return pn_fail(err, PN_TEMPFAIL, "%s: another postern-broker is at work", path);
	return fail_errno(err, "lock", path);
}

/* Root leaves nothing behind that the daemon cannot replace: all is the owner's of the state directory. */
static enum pn_status
follow_owner(int folder, const char *path, struct pn_error *err)
{
	struct stat parent;

	if (geteuid() != 0 || (fstatat(folder, "..", &parent, 0) == 0
	    && fchown(folder, parent.st_uid, parent.st_gid) == 0))
		return PN_OK;
	return fail_errno(err, "give away", path);
}

enum pn_status
keep_open(struct keep *out, struct pn_str state_directory, struct pn_error *err)
{
	char path[PATH_SIZE];
	enum pn_status st;
	int fd;

	if (state_directory.n >= sizeof(path) - 8)
		return pn_fail(err, PN_TEMPFAIL, "the name of the state directory is too long");
	(void)snprintf(path, sizeof(path), PN_STR_FMT "/tokens", PN_STR_ARG(state_directory));
	if (mkdir(path, 0750) != 0 && errno != EEXIST)
		return fail_errno(err, "make", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail_errno(err, "open", path);
	st = lock_folder(fd, path, err);
	if (st == PN_OK)
		st = follow_owner(fd, path, err);
	if (st != PN_OK)
		(void)close(fd);
	else
		out->folder = fd;
	return st;
}

void
keep_close(struct keep *keep)
{
	(void)close(keep->folder);
	keep->folder = -1;
}

/* -- files -------------------------------------------------------------------------- */

/* As pn_config_secret() wants it.  like: whose owner and group it gets. */
static bool
set_access(int fd, const struct stat *like)
{
	struct stat st;

	/* whoever may not give files away keeps them */
	if (fchown(fd, like->st_uid, like->st_gid) != 0 && errno != EPERM)
		return false;
	return fstat(fd, &st) == 0 && fchmod(fd, pn_config_is_our_group(st.st_gid) ? 0640 : 0600) == 0;
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
	return true;
}

/* In the folder: first under the name with a dot in front and ~ behind, which a broker that died may have
 * left there. */
static enum pn_status
write_file(int folder, const char *name, struct pn_str text, const struct stat *like, struct pn_error *err)
{
	char draft[PATH_SIZE];
	bool good;
	int fd;

	(void)snprintf(draft, sizeof(draft), ".%s~", name);
	(void)unlinkat(folder, draft, 0);
	fd = openat(folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno(err, "write a file beside", name);
	good = set_access(fd, like) && write_all(fd, text) && fsync(fd) == 0;
	if (close(fd) != 0 || !good || renameat(folder, draft, folder, name) != 0) {
		(void)fail_errno(err, "write", name);
		(void)unlinkat(folder, draft, 0);
		return PN_TEMPFAIL;
	}
	/* the file is there; that its name is on disk too only a power cut would tell */
	(void)fsync(folder);
	return PN_OK;
}

enum pn_status
keep_token(const struct keep *keep, struct pn_str relay, struct pn_str token, int64_t expires,
    struct pn_error *err)
{
	char name[64], text[TEXT_SIZE];
	int n = snprintf(text, sizeof(text), "%lld\n" PN_STR_FMT "\n", (long long)expires, PN_STR_ARG(token));
	struct stat folder;
	enum pn_status st;

	if (n < 0 || n >= (int)sizeof(text))
		return pn_fail(err, PN_TEMPFAIL, "the token is too long");
	if (fstat(keep->folder, &folder) != 0)
		return fail_errno(err, "look at", "tokens");
	(void)snprintf(name, sizeof(name), PN_STR_FMT, PN_STR_ARG(relay));
	st = write_file(keep->folder, name, pn_str_n(text, (size_t)n), &folder, err);
	explicit_bzero(text, sizeof(text));
	return st == PN_OK ? PN_OK : pn_fail_in(err, st, "tokens");
}

enum pn_status
keep_secret(const char *path, struct pn_str secret, struct pn_error *err)
{
	/* a link stays one: the file behind it is replaced */
	char *real = realpath(path, NULL), *slash = real == NULL ? NULL : strrchr(real, '/');
	enum pn_status st = PN_TEMPFAIL;
	struct stat like;
	int folder;

	if (slash == NULL || stat(real, &like) != 0) {
		free(real);
		return fail_errno(err, "find", path);
	}
	*slash = '\0';
	folder = open(slash == real ? "/" : real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		(void)fail_errno(err, "open", real);
	else {
		st = write_file(folder, slash + 1, secret, &like, err);
		(void)close(folder);
	}
	free(real);
	return st;
}
