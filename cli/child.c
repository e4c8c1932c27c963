#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "postern/clock.h"

extern char **environ;

enum { OUTPUT_MAX = 4 << 20, PATIENCE_US = 15000000, POLL_MS = 200 };

struct child {
	pid_t pid;
	int fd[2];		/* its stdout and stderr; -1 = at its end */
	struct pn_buf text[2];
};

static int
spawn(const char *const *argv, const int pipes[2][2], pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	char path[128];
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc != 0)
		return rc;
	(void)snprintf(path, sizeof(path), "/usr/sbin/%s", argv[0]);
	(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, pipes[0][1], STDOUT_FILENO);
	(void)posix_spawn_file_actions_adddup2(&actions, pipes[1][1], STDERR_FILENO);
	rc = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	if (rc == ENOENT)
		rc = posix_spawn(pid, path, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static void
close_one(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static enum pn_status
start(struct child *child, const char *const *argv, struct pn_error *err)
{
	int pipes[2][2] = { { -1, -1 }, { -1, -1 } };
	int rc = 0;

	if (pipe2(pipes[0], O_CLOEXEC) != 0 || pipe2(pipes[1], O_CLOEXEC) != 0)
		rc = errno;
	if (rc == 0)
		rc = spawn(argv, (const int (*)[2])pipes, &child->pid);
	for (int i = 0; i < 2; i++) {
		close_one(&pipes[i][1]);
		child->fd[i] = pipes[i][0];
		if (rc != 0)
			close_one(&child->fd[i]);
	}
	if (rc == 0)
		return PN_OK;
	return pn_fail(
	    err, rc == ENOENT ? PN_NOT_FOUND : PN_TEMPFAIL, "%s cannot be run: %s", argv[0], strerror(rc));
}

/* What is there now; at the end of the stream the descriptor is closed. */
static void
take(struct child *child, int i)
{
	char chunk[16384];
	ssize_t n = read(child->fd[i], chunk, sizeof(chunk));

	if (n > 0)
		pn_buf_add(&child->text[i], pn_str_n(chunk, (size_t)n));
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		close_one(&child->fd[i]);
}

static enum pn_status
read_output(struct cli *cli, struct child *child, const char *name, struct pn_error *err)
{
	int64_t until = pn_clock_mono_us() + PATIENCE_US;

	while (child->fd[0] >= 0 || child->fd[1] >= 0) {
		struct pollfd fds[2] = { { child->fd[0], POLLIN, 0 }, { child->fd[1], POLLIN, 0 } };

		if (poll(fds, 2, POLL_MS) < 0 && errno != EINTR)
			return pn_fail(err, PN_TEMPFAIL, "%s: %s", name, strerror(errno));
		for (int i = 0; i < 2; i++)
			if (fds[i].revents != 0)
				take(child, i);
		if (pn_buf_failed(&child->text[0]) || pn_buf_failed(&child->text[1]))
			return pn_fail(err, PN_LIMIT, "%s prints more than %d MB", name, OUTPUT_MAX >> 20);
		if (pn_clock_mono_us() > until)
			return pn_fail(err, PN_TEMPFAIL, "%s did not end within %d seconds", name,
			    PATIENCE_US / 1000000);
		progress(cli, "asking Postfix", 0);
	}
	return PN_OK;
}

enum pn_status
child_run(struct cli *cli, const char *const *argv, struct child_output *out, struct pn_error *err)
{
	struct child child = { .fd = { -1, -1 } };
	enum pn_status st = start(&child, argv, err);
	int status = 0;

	if (st != PN_OK)
		return st;
	pn_buf_init(&child.text[0], OUTPUT_MAX);
	pn_buf_init(&child.text[1], OUTPUT_MAX);
	st = read_output(cli, &child, argv[0], err);
	if (st != PN_OK)
		(void)kill(child.pid, SIGKILL);
	while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR)
		;
	if (st == PN_OK)
		*out = (struct child_output){ WIFEXITED(status) ? WEXITSTATUS(status) : -1,
			pn_arena_dup(cli->arena, pn_buf_str(&child.text[0])),
			pn_arena_dup(cli->arena, pn_buf_str(&child.text[1])) };
	for (int i = 0; i < 2; i++) {
		close_one(&child.fd[i]);
		pn_buf_done(&child.text[i]);
	}
	return st;
}
