#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "postern/clock.h"

enum { AGAIN_SECONDS = 10, OVERLAP_SECONDS = 2 };

struct journal {
	int64_t since;
	pid_t child; /* 0: none */
	int fd;
	int64_t started_us; /* 0: never */
};

struct journal *
journal_new(int64_t since)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (j == NULL)
		pn_out_of_memory();
	j->since = since;
	j->fd = -1;
	return j;
}

static int
end_child(struct journal *j)
{
	int status = 0;

	if (j->fd >= 0)
		(void)close(j->fd);
	if (j->child > 0) {
		(void)kill(j->child, SIGTERM);
		while (waitpid(j->child, &status, 0) < 0 && errno == EINTR)
			;
	}
	j->fd = -1;
	j->child = 0;
	return status;
}

void
journal_free(struct journal *j)
{
	if (j == NULL)
		return;
	(void)end_child(j);
	free(j);
}

/* Our blocked signals are not the child's. */
static int
spawn(pid_t *child, int out, char *const argv[])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int failed;

	(void)sigemptyset(&none);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	failed = posix_spawnp(child, argv[0], &actions, &attributes, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	return failed;
}

enum pn_status
journal_open(struct journal *j, int *fd, struct pn_error *err)
{
	char program[] = "journalctl", follow[] = "--follow", quiet[] = "--quiet", all[] = "--no-tail",
	     mail[] = "--facility=mail", form[] = "--output=short-iso", from[64] = "--lines=0";
	char *argv[] = { program, follow, quiet, mail, form, from, NULL, NULL };
	int64_t now = pn_clock_mono_us();
	int pipes[2], failed;

	if (j->started_us != 0 && now - j->started_us < (int64_t)AGAIN_SECONDS * 1000000)
		return pn_fail(err, PN_TEMPFAIL, "journalctl has ended and is not started again yet");
	j->started_us = now;
	if (j->since > 0) {
		(void)snprintf(from, sizeof(from), "--since=@%lld", (long long)j->since);
		argv[6] = all;
	}
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return pn_fail(err, PN_TEMPFAIL, "no pipe for journalctl");
	failed = spawn(&j->child, pipes[1], argv);
	(void)close(pipes[1]);
	if (failed != 0) {
		j->child = 0;
		(void)close(pipes[0]);
		return pn_fail(err, PN_TEMPFAIL, "cannot start journalctl: errno %d", failed);
	}
	(void)fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	j->since = time(NULL);
	*fd = j->fd = pipes[0];
	return PN_OK;
}

enum pn_status
journal_ended(struct journal *j, struct pn_error *err)
{
	int status = end_child(j);

	j->since = time(NULL) - OVERLAP_SECONDS;
	return pn_fail(err, PN_TEMPFAIL,
	    "journalctl has ended with status %d; may this user read the journal?",
	    WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}
