#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../signer/confine.h"
#include "postern/str.h"

/* Made before: a process that was confined has those that it had. */
static int inet_socket, ends[2];

static const struct sockaddr_in nowhere = { .sin_family = AF_INET, .sin_port = 0x0100 };

static long
try_socket_inet(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static long
try_socket_inet6(void)
{
	return socket(AF_INET6, SOCK_DGRAM, 0);
}

static long
try_socket_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long
try_socket_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long
try_socketpair(void)
{
	int pair[2];

	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static long
try_connect(void)
{
	return connect(inet_socket, (const struct sockaddr *)(const void *)&nowhere, sizeof(nowhere));
}

static long
try_bind(void)
{
	return bind(inet_socket, (const struct sockaddr *)(const void *)&nowhere, sizeof(nowhere));
}

static long
try_listen(void)
{
	return listen(inet_socket, 1);
}

static long
try_recvmsg(void)
{
	struct msghdr message = { .msg_name = NULL };

	return recvmsg(ends[0], &message, MSG_DONTWAIT);
}

static long
try_execve(void)
{
	char name[] = "true", *argv[] = { name, NULL }, *none[] = { NULL };

	return execve("/bin/true", argv, none);
}

static long
try_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long
try_read_parent(void)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { &inet_socket, 1 };

	return process_vm_readv(getppid(), &here, 1, &there, 1, 0);
}

static long
try_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL);
}

static long
try_open_for_writing(void)
{
	return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static long
try_open_for_both(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static long
try_old_open(void)
{
#ifdef SYS_open
	return syscall(SYS_open, "/dev/null", O_WRONLY);
#else
	return try_open_for_writing();
#endif
}

static long
try_create(void)
{
	return open("/tmp/postern-confined", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long
try_truncate(void)
{
	return open("/dev/null", O_RDONLY | O_TRUNC | O_CLOEXEC);
}

static long
try_rename(void)
{
	return rename("/tmp/postern-confined", "/tmp/postern-confined-2");
}

static long
try_chmod(void)
{
	return chmod("/tmp/postern-confined", 0777);
}

static long
read_file(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static long
talk(void)
{
	char byte = 'x';

	return send(ends[0], &byte, 1, MSG_NOSIGNAL) == 1 ? recv(ends[1], &byte, 1, 0) : -1;
}

static long
draw(void)
{
	char byte;

	return getrandom(&byte, 1, 0);
}

static void *
try_in_thread(void *data)
{
	*(long *)data = try_socket_inet() == -1 ? errno : 0;
	return NULL;
}

/* What is started later is confined, too. */
static long
try_socket_in_thread(void)
{
	pthread_t thread;
	long error = 0;

	if (pthread_create(&thread, NULL, try_in_thread, &error) != 0 || pthread_join(thread, NULL) != 0)
		return 0;
	errno = (int)error;
	return error == 0 ? 0 : -1;
}

static const struct {
	const char *name;
	long (*try)(void);
	int error;
} rows[] = {
	{ "a socket of the network", try_socket_inet, EPERM },
	{ "of IPv6", try_socket_inet6, EPERM },
	{ "of this host", try_socket_unix, EPERM },
	{ "of the kernel", try_socket_netlink, EPERM },
	{ "a pair", try_socketpair, EPERM },
	{ "connect one that is there", try_connect, EPERM },
	{ "bind one", try_bind, EPERM },
	{ "listen on one", try_listen, EPERM },
	{ "be handed one", try_recvmsg, EPERM },
	{ "in a thread", try_socket_in_thread, EPERM },
	{ "run a program", try_execve, EPERM },
	{ "trace", try_ptrace, EPERM },
	{ "read another process", try_read_parent, EPERM },
	{ "go round the filter", try_io_uring, EPERM },
	{ "write to a file", try_open_for_writing, EPERM },
	{ "read and write", try_open_for_both, EPERM },
	{ "by the old call", try_old_open, EPERM },
	{ "make a file", try_create, EPERM },
	{ "empty a file", try_truncate, EPERM },
	{ "rename a file", try_rename, EPERM },
	{ "open it to others", try_chmod, EPERM },
	{ "read a file", read_file, 0 },
	{ "speak on a connection", talk, 0 },
	{ "draw a number", draw, 0 },
};

static int
outcome(long (*try)(void), bool confined)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		struct pn_error err = { "" };

		if (confined && confine(&err) != PN_OK) {
			(void)fprintf(stderr, "%s\n", err.text);
			_exit(255);
		}
		_exit(try() == -1 ? errno : 0);
	}
	assert_true(child > 0 && waitpid(child, &status, 0) == child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		int got = outcome(rows[i].try, true);

		if (got != rows[i].error)
			fail_msg("%s: %d, not %d", rows[i].name, got, rows[i].error);
		/* who runs the tests could */
		if (outcome(rows[i].try, false) == EPERM)
			fail_msg("%s: refused without a cage, too", rows[i].name);
	}
}

/* As a service of systemd, whose filter has no seccomp(2): what a process is started with. */
static bool
refuse_seccomp(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { PN_COUNT(code), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static long
confine_inside(void)
{
	struct pn_error err = { "" };

	if (refuse_seccomp() && confine(&err) == PN_OK)
		return try_socket_unix();
	errno = ENOSYS;
	return -1;
}

static void
test_inside_another(void **state)
{
	(void)state;
	assert_int_equal(outcome(confine_inside, false), EPERM);
}

static long
look_at_self(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_SECCOMP) == 2 ? 0 : -1;
}

static void
test_state(void **state)
{
	(void)state;
	assert_int_equal(outcome(look_at_self, true), 0);
}

static int
make(void **state)
{
	(void)state;
	inet_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return inet_socket < 0 ? -1 : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_inside_another),
		cmocka_unit_test(test_state),
	};

	return cmocka_run_group_tests(tests, make, NULL);
}
