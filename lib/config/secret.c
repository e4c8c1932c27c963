#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/config.h"

enum { SECRET_MAX = 4096 };

bool
pn_config_is_our_group(gid_t gid)
{
	struct group group, *found = NULL;
	char names[16384];

	return getgrnam_r("postern", &group, names, sizeof(names), &found) == 0 && found != NULL &&
	    found->gr_gid == gid;
}

static bool
is_user(const char *name, uid_t uid)
{
	struct passwd user, *found = NULL;
	char names[16384];

	return getpwnam_r(name, &user, names, sizeof(names), &found) == 0 && found != NULL && found->pw_uid == uid;
}

bool
pn_config_is_our_user(uid_t uid)
{
	return uid == 0 || uid == geteuid() || is_user("postern", uid) || is_user("postern-signer", uid);
}

static enum pn_status
check_file(const char *path, const struct stat *st, struct pn_error *err)
{
	mode_t open_to = st->st_mode & 077;

	if (!S_ISREG(st->st_mode))
		return pn_fail(err, PN_INVALID, "%s: is not a regular file; put the secret into one", path);
	if (!pn_config_is_our_user(st->st_uid))
		return pn_fail(err, PN_INVALID, "%s: belongs to user %u; chown it to root", path,
		    (unsigned)st->st_uid);
	if (open_to == 040 && pn_config_is_our_group(st->st_gid))
		open_to = 0;
	if (open_to != 0)
		return pn_fail(err, PN_INVALID,
		    "%s: has mode %04o, so others than its owner may use it; chmod 0600, or 0640 with group "
		    "postern", path, (unsigned)st->st_mode & 07777);
	if (st->st_size > SECRET_MAX)
		return pn_fail(err, PN_INVALID,
		    "%s: is larger than %d bytes; it must hold nothing but the secret", path, SECRET_MAX);
	return PN_OK;
}

static enum pn_status
read_secret(int fd, const char *path, struct pn_arena *arena, struct pn_str *out, struct pn_error *err)
{
	char text[SECRET_MAX + 1];
	struct pn_str secret;
	struct stat st;
	enum pn_status status;
	ssize_t n;

	if (fstat(fd, &st) != 0)
		return pn_fail(err, PN_TEMPFAIL, "%s: %s", path, strerrordesc_np(errno));
	status = check_file(path, &st, err);
	if (status != PN_OK)
		return status;
	n = read(fd, text, sizeof(text));
	if (n < 0)
		return pn_fail(err, PN_TEMPFAIL, "%s: %s", path, strerrordesc_np(errno));
	secret = pn_str_n(text, (size_t)n);
	while (secret.n > 0 && (secret.p[secret.n - 1] == '\n' || secret.p[secret.n - 1] == '\r'))
		secret.n--;
	if (secret.n == 0)
		status = pn_fail(err, PN_INVALID, "%s: is empty; write the secret into it", path);
	else if ((size_t)n > SECRET_MAX || memchr(secret.p, '\0', secret.n) != NULL)
		status = pn_fail(err, PN_INVALID, "%s: holds no secret but something larger or binary", path);
	else
		*out = pn_arena_dup(arena, secret);
	explicit_bzero(text, sizeof(text));
	return status;
}

enum pn_status
pn_config_secret(const char *path, struct pn_arena *arena, struct pn_str *out, struct pn_error *err)
{
	/* O_NONBLOCK: a FIFO must not hold us up before it is refused */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	enum pn_status st;

	if (fd < 0)
		return pn_fail(err, errno == ENOENT ? PN_NOT_FOUND : PN_TEMPFAIL, "%s: %s", path,
		    strerrordesc_np(errno));
	st = read_secret(fd, path, arena, out, err);
	(void)close(fd);
	return st;
}
