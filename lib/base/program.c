#include "postern/program.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum { FIRST_PASSED_FD = 3, NO_LOCK = -1, LOCK_NAME_SIZE = PN_SOCKET_PATH_SIZE + 8 };

/* -- usage ------------------------------------------------------------------ */

void
pn_program_help(const struct pn_program *program, FILE *to)
{
	(void)fprintf(to, "usage: %s %s\n\n%s\n\n%s", program->name, program->synopsis, program->purpose,
	    program->options);
}

void
pn_program_version(const struct pn_program *program, FILE *to)
{
	(void)fprintf(to, "%s " PN_VERSION "\n", program->name);
}

int
pn_program_misuse(const struct pn_program *program, const char *format, ...)
{
	va_list args;

	(void)fprintf(stderr, "%s: ", program->name);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fprintf(stderr, "\nusage: %s %s\n", program->name, program->synopsis);
	return EX_USAGE;
}

/* -- unix sockets ------------------------------------------------------------ */

/* The text of errno, as the last words of an error. */
static enum pn_status
fail_errno(struct pn_error *err, enum pn_status st, const char *what, const char *path)
{
	char text[128];

	return pn_fail(err, st, "%s %s: %s", what, path, strerror_r(errno, text, sizeof(text)));
}

enum pn_status
pn_socket_path(struct pn_str address, char path[PN_SOCKET_PATH_SIZE], struct pn_error *err)
{
	struct pn_str p = pn_str_starts(address, PN_STR("unix:")) ? pn_str_from(address, 5) : address;

	if (p.n == 0 || p.p[0] != '/' || pn_str_find(p, '\0') != PN_STR_NONE)
		return pn_fail(err, PN_INVALID, "\"" PN_STR_FMT "\" is no socket: write unix:/path",
		    PN_STR_ARG(pn_str_head(address, 200)));
	if (p.n >= PN_SOCKET_PATH_SIZE)
		return pn_fail(err, PN_INVALID, "the path of a socket has at most %d bytes: " PN_STR_FMT,
		    PN_SOCKET_PATH_SIZE - 1, PN_STR_ARG(pn_str_head(p, 200)));
	memcpy(path, p.p, p.n);
	path[p.n] = '\0';
	return PN_OK;
}

/* "" is no change: (gid_t)-1 for chown(2). */
static enum pn_status
find_group(struct pn_str name, gid_t *out, struct pn_error *err)
{
	char text[64], room[16384];
	struct group entry, *found = NULL;

	*out = (gid_t)-1;
	if (name.n == 0)
		return PN_OK;
	if (name.n < sizeof(text)) {
		memcpy(text, name.p, name.n);
		text[name.n] = '\0';
		if (getgrnam_r(text, &entry, room, sizeof(room), &found) == 0 && found != NULL) {
			*out = entry.gr_gid;
			return PN_OK;
		}
	}
	return pn_fail(err, PN_INVALID, "there is no group \"" PN_STR_FMT "\"",
	    PN_STR_ARG(pn_str_head(name, 200)));
}

static enum pn_status
make_folder(const char *path, gid_t group, struct pn_error *err)
{
	char folder[PN_SOCKET_PATH_SIZE];
	const char *end = strrchr(path, '/');
	struct stat st;

	if (end == path)
		return PN_OK;
	memcpy(folder, path, (size_t)(end - path));
	folder[end - path] = '\0';
	if (stat(folder, &st) == 0)
		return S_ISDIR(st.st_mode) ? PN_OK : pn_fail(err, PN_INVALID, "%s is no directory", folder);
	/* Made closed, opened once it has its group. */
	if (mkdir(folder, 0700) != 0)
		return errno == EEXIST ? PN_OK : fail_errno(err, PN_TEMPFAIL, "cannot make", folder);
	if (chown(folder, (uid_t)-1, group) == 0 && chmod(folder, 0750) == 0)
		return PN_OK;
	(void)fail_errno(err, PN_TEMPFAIL, "cannot give the socket's group to", folder);
	(void)rmdir(folder);
	return PN_TEMPFAIL;
}

static void
lock_name(const char *path, char name[LOCK_NAME_SIZE])
{
	(void)snprintf(name, LOCK_NAME_SIZE, "%s.lock", path);
}

/* PATH.lock, flock(2)ed.  Whoever stops removes the file while holding the lock,
 * so a lock is only good if the file is still there under its name. */
static enum pn_status
take_lock(const char *path, int *out, struct pn_error *err)
{
	char name[LOCK_NAME_SIZE];
	struct stat held, there;

	lock_name(path, name);
	for (int i = 0; i < 100; i++) {
		int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

		if (fd < 0)
			return fail_errno(err, PN_TEMPFAIL, "cannot open", name);
		if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
			bool busy = errno == EWOULDBLOCK;

			(void)close(fd);
			return busy ? pn_fail(err, PN_TEMPFAIL, "%s: another process serves it already", path)
			    : fail_errno(err, PN_TEMPFAIL, "cannot lock", name);
		}
		if (fstat(fd, &held) == 0 && lstat(name, &there) == 0 && held.st_ino == there.st_ino
		    && held.st_dev == there.st_dev) {
			*out = fd;
			return PN_OK;
		}
		(void)close(fd);
	}
	return pn_fail(err, PN_TEMPFAIL, "%s changes all the time", name);
}

static void
drop_lock(const struct pn_socket *s)
{
	char name[LOCK_NAME_SIZE];

	lock_name(s->path, name);
	(void)unlink(name);
	(void)close(s->lock);
}

static struct sockaddr_un
unix_address(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, path, strnlen(path, sizeof(address.sun_path) - 1));
	return address;
}

/* Removes a socket that refuses connections.  The lock keeps our own programs
 * apart; the test is for whatever else may serve there. */
static enum pn_status
remove_dead(const char *path, struct pn_error *err)
{
	struct sockaddr_un address = unix_address(path);
	struct stat st;
	int fd, failed;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? PN_OK : fail_errno(err, PN_TEMPFAIL, "cannot look at", path);
	if (!S_ISSOCK(st.st_mode))
		return pn_fail(err, PN_INVALID,
		    "%s is there and is no socket: remove it, or choose another path", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno(err, PN_TEMPFAIL, "no socket for", path);
	failed = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
	(void)close(fd);
	if (failed == ENOENT)
		return PN_OK;
	if (failed != ECONNREFUSED)
		return pn_fail(err, PN_TEMPFAIL, "%s: another process serves it already", path);
	if (unlink(path) != 0 && errno != ENOENT)
		return fail_errno(err, PN_TEMPFAIL, "cannot remove the old socket", path);
	return PN_OK;
}

enum pn_status
pn_socket_prepare(struct pn_socket *out, struct pn_str address, struct pn_str group, struct pn_error *err)
{
	struct pn_socket s = { .lock = NO_LOCK };
	enum pn_status st;
	gid_t gid;

	*out = s;
	if ((st = pn_socket_path(address, s.path, err)) != PN_OK
	    || (st = find_group(group, &gid, err)) != PN_OK
	    || (st = make_folder(s.path, gid, err)) != PN_OK
	    || (st = take_lock(s.path, &s.lock, err)) != PN_OK)
		return st;
	st = remove_dead(s.path, err);
	if (st != PN_OK) {
		/* What stands there is not ours: only the lock goes. */
		drop_lock(&s);
		return st;
	}
	*out = s;
	return PN_OK;
}

enum pn_status
pn_socket_finish(const struct pn_socket *bound, struct pn_str group, unsigned mode, struct pn_error *err)
{
	enum pn_status st;
	gid_t gid;

	st = find_group(group, &gid, err);
	if (st != PN_OK)
		return st;
	if (gid != (gid_t)-1 && lchown(bound->path, (uid_t)-1, gid) != 0)
		return fail_errno(err, PN_TEMPFAIL, "cannot set the group of", bound->path);
	if (chmod(bound->path, mode & 0777) != 0)
		return fail_errno(err, PN_TEMPFAIL, "cannot set the mode of", bound->path);
	return PN_OK;
}

/* An inherited descriptor must be one that systemd passed to this very process,
 * and listen. */
static enum pn_status
inherit(struct pn_str number, int *fd, struct pn_error *err)
{
	uint64_t n, count, pid;
	int listens = 0, flags;
	socklen_t size = sizeof(listens);

	if (!pn_str_to_u64(number, 1023, &n) || n < FIRST_PASSED_FD)
		return pn_fail(err, PN_INVALID, "\"fd:" PN_STR_FMT "\": the first one passed is fd:3",
		    PN_STR_ARG(pn_str_head(number, 40)));
	if (!pn_str_to_u64(pn_str_c(getenv("LISTEN_PID")), INT32_MAX, &pid) || pid != (uint64_t)getpid()
	    || !pn_str_to_u64(pn_str_c(getenv("LISTEN_FDS")), 1024, &count) || n - FIRST_PASSED_FD >= count)
		return pn_fail(err, PN_INVALID,
		    "fd:%d was not passed to this process (LISTEN_PID, LISTEN_FDS)", (int)n);
	flags = fcntl((int)n, F_GETFL);
	if (getsockopt((int)n, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || !listens || flags < 0)
		return pn_fail(err, PN_INVALID, "fd:%d is no listening socket", (int)n);
	(void)fcntl((int)n, F_SETFL, flags | O_NONBLOCK);
	(void)fcntl((int)n, F_SETFD, FD_CLOEXEC);
	*fd = (int)n;
	return PN_OK;
}

static enum pn_status
bind_and_listen(const struct pn_socket *s, struct pn_str group, unsigned mode, int fd, struct pn_error *err)
{
	struct sockaddr_un address = unix_address(s->path);
	mode_t before = umask(0177);
	int failed = bind(fd, (struct sockaddr *)&address, sizeof(address));
	enum pn_status st;

	(void)umask(before);
	if (failed != 0)
		return fail_errno(err, PN_TEMPFAIL, "cannot bind", s->path);
	st = pn_socket_finish(s, group, mode, err);
	if (st == PN_OK && listen(fd, SOMAXCONN) != 0)
		st = fail_errno(err, PN_TEMPFAIL, "cannot listen on", s->path);
	return st;
}

enum pn_status
pn_socket_listen(struct pn_socket *out, struct pn_str address, struct pn_str group, unsigned mode, int *fd,
    struct pn_error *err)
{
	enum pn_status st;
	int s;

	*out = (struct pn_socket){ .lock = NO_LOCK };
	if (pn_str_starts(address, PN_STR("fd:")))
		return inherit(pn_str_from(address, 3), fd, err);
	st = pn_socket_prepare(out, address, group, err);
	if (st != PN_OK)
		return st;
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	st = s < 0 ? fail_errno(err, PN_TEMPFAIL, "no socket for", out->path)
	    : bind_and_listen(out, group, mode, s, err);
	if (st != PN_OK) {
		if (s >= 0)
			(void)close(s);
		pn_socket_done(out);
		return st;
	}
	*fd = s;
	return PN_OK;
}

void
pn_socket_done(struct pn_socket *bound)
{
	struct stat st;

	if (bound->lock < 0)
		return;
	if (lstat(bound->path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(bound->path);
	drop_lock(bound);
	*bound = (struct pn_socket){ .lock = NO_LOCK };
}

/* -- the system --------------------------------------------------------------- */

void
pn_notify(const char *state)
{
	struct pn_str name = pn_str_c(getenv("NOTIFY_SOCKET"));
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (name.n < 2 || name.n >= sizeof(address.sun_path) || (name.p[0] != '/' && name.p[0] != '@'))
		return;
	memcpy(address.sun_path, name.p, name.n);
	if (name.p[0] == '@')
		address.sun_path[0] = '\0';	/* the abstract namespace */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* Nobody can be told of a failure but the supervisor, and it does not listen. */
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name.n));
	(void)close(fd);
}

int
pn_signals_open(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGUSR1);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

enum pn_signal
pn_signals_next(int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return PN_SIGNAL_NONE;
	return info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT ? PN_SIGNAL_STOP : PN_SIGNAL_RELOAD;
}

uint64_t
pn_raise_open_files(uint64_t want)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	if (limit.rlim_cur < want) {
		limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		(void)getrlimit(RLIMIT_NOFILE, &limit);
	}
	return limit.rlim_cur;
}
