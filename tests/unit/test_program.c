#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "postern/program.h"

#define S PN_STR

static char folder[] = "/tmp/pn-program.XXXXXX";

static int
setup(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(folder);	/* fails when a test, or the module, left something behind */
}

/* folder/name; the text is the caller's. */
static struct pn_str
in_folder(const char *name, char *text, size_t size)
{
	return pn_str_n(text, (size_t)snprintf(text, size, "%s/%s", folder, name));
}

static int
listen_at(const char *path, int backlog)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), result;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	result = connect(fd, (struct sockaddr *)&address, sizeof(address));
	(void)close(fd);
	return result;
}

static bool
exists(const char *name)
{
	char path[100];
	struct stat st;

	(void)in_folder(name, path, sizeof(path));
	return lstat(path, &st) == 0;
}

/* -- paths --------------------------------------------------------------------- */

#define TEN "/123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct {
	const char *name;
	struct pn_str address;
	const char *path;	/* NULL = PN_INVALID */
} paths[] = {
	{ "with unix:", S("unix:/run/a.sock"), "/run/a.sock" },
	{ "plain", S("/run/a.sock"), "/run/a.sock" },
	{ "107 bytes", S("unix:" HUNDRED "/123456"), HUNDRED "/123456" },
	{ "108 bytes", S("unix:" HUNDRED "/1234567"), NULL },
	{ "relative", S("unix:postern/a.sock"), NULL },
	{ "network", S("inet:127.0.0.1:10025"), NULL },
	{ "nothing", S(""), NULL },
	{ "unix: and nothing", S("unix:"), NULL },
	{ "NUL", S("/run/a\0b"), NULL },
};

static void
test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(paths); i++) {
		char path[PN_SOCKET_PATH_SIZE] = "";
		struct pn_error err = { "" };
		enum pn_status st = pn_socket_path(paths[i].address, path, &err);

		if ((st == PN_OK) != (paths[i].path != NULL) || (st != PN_OK && (st != PN_INVALID
		    || err.text[0] == '\0'))
		    || (st == PN_OK && strcmp(path, paths[i].path) != 0))
			fail_msg("%s: %s \"%s\"", paths[i].name, pn_status_name(st), path);
	}
}

/* -- sockets ------------------------------------------------------------------- */

static void
test_listens_and_leaves_nothing(void **state)
{
	char path[100];
	struct pn_str address = in_folder("a.sock", path, sizeof(path));
	struct pn_error err = { "" };
	struct pn_socket s;
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(pn_socket_listen(&s, address, S(""), 0660, &fd, &err), PN_OK);
	assert_int_equal(connect_to(path), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(exists("a.sock.lock"));
	(void)close(fd);
	pn_socket_done(&s);
	pn_socket_done(&s);
	assert_false(exists("a.sock"));
	assert_false(exists("a.sock.lock"));
}

static void
test_umask_is_given_back(void **state)
{
	char path[100];
	struct pn_socket s;
	mode_t before = umask(027);
	int fd;

	(void)state;
	assert_int_equal(pn_socket_listen(&s, in_folder("u", path, sizeof(path)), S(""), 0600, &fd, NULL),
	    PN_OK);
	assert_int_equal(umask(before), 027);
	(void)close(fd);
	pn_socket_done(&s);
}

static void
test_a_live_one_is_not_stolen(void **state)
{
	char path[100];
	struct pn_str address = in_folder("live.sock", path, sizeof(path));
	int other = listen_at(path, 5);
	struct pn_error err = { "" };
	struct pn_socket s;

	(void)state;
	assert_int_equal(pn_socket_prepare(&s, address, S(""), &err), PN_TEMPFAIL);
	assert_non_null(strstr(err.text, "another process serves it"));
	pn_socket_done(&s);
	assert_int_equal(connect_to(path), 0);
	assert_false(exists("live.sock.lock"));
	(void)close(other);
	(void)unlink(path);
}

static void
test_a_busy_one_is_alive(void **state)
{
	char path[100];
	struct pn_str address = in_folder("busy.sock", path, sizeof(path));
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int other = listen_at(path, 0), waiting[4];
	struct pn_socket s;

	(void)state;
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	for (size_t i = 0; i < PN_COUNT(waiting); i++) {
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(waiting[i], (struct sockaddr *)&to, sizeof(to));
	}
	assert_int_equal(pn_socket_prepare(&s, address, S(""), NULL), PN_TEMPFAIL);
	assert_true(exists("busy.sock"));
	for (size_t i = 0; i < PN_COUNT(waiting); i++)
		(void)close(waiting[i]);
	(void)close(other);
	(void)unlink(path);
}

static void
test_a_dead_one_is_removed(void **state)
{
	char path[100];
	struct pn_str address = in_folder("dead.sock", path, sizeof(path));
	struct pn_socket s;

	(void)state;
	(void)close(listen_at(path, 5));
	assert_true(exists("dead.sock"));
	assert_int_equal(pn_socket_prepare(&s, address, S(""), NULL), PN_OK);
	assert_false(exists("dead.sock"));
	pn_socket_done(&s);
	assert_false(exists("dead.sock.lock"));
}

static void
test_lock_covers_the_time_before_bind(void **state)
{
	char path[100];
	struct pn_str address = in_folder("lock.sock", path, sizeof(path));
	struct pn_socket first, second;

	(void)state;
	assert_int_equal(pn_socket_prepare(&first, address, S(""), NULL), PN_OK);
	assert_int_equal(pn_socket_prepare(&second, address, S(""), NULL), PN_TEMPFAIL);
	pn_socket_done(&second);
	assert_true(exists("lock.sock.lock"));
	pn_socket_done(&first);
	assert_int_equal(pn_socket_prepare(&second, address, S(""), NULL), PN_OK);
	pn_socket_done(&second);
}

static void
test_a_killed_one_frees_its_lock(void **state)
{
	char path[100];
	struct pn_str address = in_folder("k.sock", path, sizeof(path));
	struct pn_socket s;
	pid_t child = fork();
	int status, fd;

	(void)state;
	if (child == 0)
		_exit(pn_socket_listen(&s, address, S(""), 0600, &fd, NULL) != PN_OK);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(exists("k.sock") && exists("k.sock.lock"));
	assert_int_equal(pn_socket_listen(&s, address, S(""), 0600, &fd, NULL), PN_OK);
	(void)close(fd);
	pn_socket_done(&s);
}

static void
test_what_is_no_socket_stays(void **state)
{
	char path[100];
	struct pn_str address = in_folder("file", path, sizeof(path));
	struct pn_error err = { "" };
	struct pn_socket s;

	(void)state;
	(void)close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(pn_socket_prepare(&s, address, S(""), &err), PN_INVALID);
	assert_non_null(strstr(err.text, "no socket"));
	assert_true(exists("file"));
	assert_false(exists("file.lock"));
	(void)unlink(path);
}

static void
test_the_last_folder_is_made(void **state)
{
	char path[100], sub[100];
	struct group *own = getgrgid(getegid());
	struct pn_str group = pn_str_c(own == NULL ? "" : own->gr_name);
	struct pn_str address = in_folder("sub/a.sock", path, sizeof(path));
	struct pn_socket s;
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(pn_socket_listen(&s, address, group, 0660, &fd, NULL), PN_OK);
	(void)in_folder("sub", sub, sizeof(sub));
	assert_int_equal(lstat(sub, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(st.st_gid, getegid());
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_gid, getegid());
	(void)close(fd);
	pn_socket_done(&s);
	assert_int_equal(rmdir(sub), 0);
	address = in_folder("no/such/a.sock", path, sizeof(path));
	assert_int_equal(pn_socket_listen(&s, address, S(""), 0660, &fd, NULL), PN_TEMPFAIL);
}

static void
test_unknown_group(void **state)
{
	char path[100];
	struct pn_str address = in_folder("g.sock", path, sizeof(path));
	struct pn_error err = { "" };
	struct pn_socket s;
	int fd;

	(void)state;
	assert_int_equal(pn_socket_listen(&s, address, S("no-such-group"), 0660, &fd, &err), PN_INVALID);
	assert_string_equal(err.text, "there is no group \"no-such-group\"");
	assert_false(exists("g.sock") || exists("g.sock.lock"));
}

/* -- passed by systemd ----------------------------------------------------------- */

static const struct {
	const char *name;
	struct pn_str address;
	bool own_pid, listening;
	const char *count;
	enum pn_status st;
} passed[] = {
	{ "the first one", S("fd:3"), true, true, "1", PN_OK },
	{ "for another process", S("fd:3"), false, true, "1", PN_INVALID },
	{ "more than were passed", S("fd:4"), true, true, "1", PN_INVALID },
	{ "none was passed", S("fd:3"), true, true, NULL, PN_INVALID },
	{ "does not listen", S("fd:3"), true, false, "1", PN_INVALID },
	{ "standard error", S("fd:2"), true, true, "1", PN_INVALID },
	{ "no number", S("fd:x"), true, true, "1", PN_INVALID },
};

static int
inherit_in_child(size_t i, const char *path)
{
	int s = listen_at(path, passed[i].listening ? 5 : -1), fd = -1;
	char pid[32];
	struct pn_socket out;
	enum pn_status st;

	if (s != 3 && dup2(s, 3) != 3)
		return 1;
	(void)snprintf(pid, sizeof(pid), "%ld", (long)getpid() + (passed[i].own_pid ? 0 : 1));
	(void)setenv("LISTEN_PID", pid, 1);
	if (passed[i].count != NULL)
		(void)setenv("LISTEN_FDS", passed[i].count, 1);
	st = pn_socket_listen(&out, passed[i].address, S(""), 0600, &fd, NULL);
	if (st != passed[i].st || (st == PN_OK && (fd != 3 || !(fcntl(3, F_GETFL) & O_NONBLOCK))))
		return 2;
	pn_socket_done(&out);	/* removes nothing: systemd owns the path */
	return connect_to(path) == 0 ? 0 : passed[i].listening;
}

static void
test_passed_descriptors(void **state)
{
	char path[100];
	int status;

	(void)state;
	(void)in_folder("p.sock", path, sizeof(path));
	for (size_t i = 0; i < PN_COUNT(passed); i++) {
		pid_t child = fork();

		if (child == 0)
			_exit(inherit_in_child(i, path));
		assert_int_equal(waitpid(child, &status, 0), child);
		(void)unlink(path);
		if (status != 0)
			fail_msg("%s: %d", passed[i].name, WEXITSTATUS(status));
	}
}

static void
notify_and_receive(const struct sockaddr_un *address, socklen_t size, const char *name)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	char text[64] = "";

	assert_int_equal(bind(fd, (const struct sockaddr *)address, size), 0);
	(void)setenv("NOTIFY_SOCKET", name, 1);
	pn_notify("READY=1");
	assert_int_equal(recv(fd, text, sizeof(text) - 1, 0), 7);
	assert_string_equal(text, "READY=1");
	(void)unsetenv("NOTIFY_SOCKET");
	pn_notify("STOPPING=1");
	assert_int_equal(recv(fd, text, sizeof(text), 0), -1);
	(void)close(fd);
}

static void
test_notify(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char name[108];
	int n;

	(void)state;
	(void)in_folder("notify", address.sun_path, sizeof(address.sun_path));
	notify_and_receive(&address, sizeof(address), address.sun_path);
	(void)unlink(address.sun_path);

	n = snprintf(name, sizeof(name), "@pn-notify-%ld", (long)getpid());
	memset(&address.sun_path, 0, sizeof(address.sun_path));
	memcpy(address.sun_path + 1, name + 1, (size_t)n - 1);
	notify_and_receive(&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n), name);

	(void)setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
	pn_notify("READY=1");	/* nobody there: no harm */
	(void)unsetenv("NOTIFY_SOCKET");
}

static void
test_open_files(void **state)
{
	struct rlimit before, low;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(pn_raise_open_files(32), 64);
	assert_int_equal(pn_raise_open_files(200), 200);
	assert_int_equal(pn_raise_open_files(UINT64_MAX), before.rlim_max);
	(void)setrlimit(RLIMIT_NOFILE, &before);
}

/* -- usage ------------------------------------------------------------------------ */

static void
test_usage(void **state)
{
	static const struct pn_program program = { "postern-x", "[-c FILE]", "Does x.",
	    "  -c FILE   reads it\n" };
	char text[256] = "";
	FILE *to = fmemopen(text, sizeof(text), "w");

	(void)state;
	pn_program_help(&program, to);
	pn_program_version(&program, to);
	(void)fclose(to);
	assert_string_equal(text, "usage: postern-x [-c FILE]\n\nDoes x.\n\n  -c FILE   reads it\n"
	    "postern-x " PN_VERSION "\n");
	assert_int_equal(pn_program_misuse(&program, "no such option: -%c", 'q'), EX_USAGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_listens_and_leaves_nothing),
		cmocka_unit_test(test_umask_is_given_back),
		cmocka_unit_test(test_a_live_one_is_not_stolen),
		cmocka_unit_test(test_a_busy_one_is_alive),
		cmocka_unit_test(test_a_dead_one_is_removed),
		cmocka_unit_test(test_lock_covers_the_time_before_bind),
		cmocka_unit_test(test_a_killed_one_frees_its_lock),
		cmocka_unit_test(test_what_is_no_socket_stays),
		cmocka_unit_test(test_the_last_folder_is_made),
		cmocka_unit_test(test_unknown_group),
		cmocka_unit_test(test_passed_descriptors),
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_open_files),
		cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
