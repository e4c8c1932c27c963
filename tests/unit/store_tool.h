/* store_tool.h - a state directory of their own for the tests of the store. */
#ifndef POSTERN_TESTS_STORE_TOOL_H
#define POSTERN_TESTS_STORE_TOOL_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "postern/arena.h"
#include "postern/store.h"

struct tool {
	char path[64];
	struct pn_store_options options;
	struct pn_store *store;
	struct pn_arena *arena;
	struct pn_error err;
};

static inline void
tool_must(struct tool *tool, enum pn_status st)
{
	if (st != PN_OK)
		fail_msg("%s: %s", pn_status_name(st), tool->err.text);
}

static inline void
tool_open(struct tool *tool)
{
	tool->options.path = tool->path;
	tool_must(tool, pn_store_open(&tool->options, &tool->store, &tool->err));
}

static inline void
tool_close(struct tool *tool)
{
	pn_store_close(tool->store);
	tool->store = NULL;
}

static inline struct tool *
tool_new(void)
{
	struct tool *tool = test_calloc(1, sizeof(*tool));

	(void)snprintf(tool->path, sizeof(tool->path), "/tmp/postern-store-XXXXXX");
	assert_non_null(mkdtemp(tool->path));
	tool->arena = pn_arena_new(SIZE_MAX);
	/* Small maps: a sanitizer would have to shadow 32 GiB. */
	tool->options = (struct pn_store_options){ .directory_map_size = 1 << 28, .state_map_size = 1 << 28 };
	tool->options.clock_step = 1000000000;	/* tests go through years in a few calls */
	return tool;
}

static inline void
tool_unlink(struct tool *tool, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", tool->path, name);
	if (unlink(path) != 0)
		(void)rmdir(path);
}

static inline void
tool_free(struct tool *tool)
{
	static const char *const names[] = { "directory/data.mdb", "directory/lock.mdb", "directory",
		"state/data.mdb", "state/data.mdb.damaged",
		"state/lock.mdb", "state/boot", "state", "" };

	tool_close(tool);
	for (size_t i = 0; i < PN_COUNT(names); i++)
		tool_unlink(tool, names[i]);
	pn_arena_free(tool->arena);
	test_free(tool);
}

/* Setup and teardown of one test, with the store open. */
static inline int
tool_setup(void **state)
{
	struct tool *tool = tool_new();

	tool_open(tool);
	*state = tool;
	return 0;
}

static inline int
tool_teardown(void **state)
{
	tool_free(*state);
	return 0;
}

static inline struct pn_store_usage
tool_usage(struct tool *tool)
{
	struct pn_store_usage usage;

	tool_must(tool, pn_store_usage(tool->store, &usage, &tool->err));
	return usage;
}

/* -- several processes and threads on one store ------------------------------------------ */

enum { TOOL_THREADS = 8 };

struct tool_race {
	struct tool *tool;
	struct pn_store *store;		/* of the process */
	void *(*run)(void *race);	/* in each thread; what fails ends the process: _exit() */
	uint64_t *counts;		/* shared by all processes */
};

static inline void
tool_must_exit_well(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("child ended with status 0x%x", (unsigned)status);
}

static inline void
tool_race_in_a_process(struct tool_race race)
{
	pthread_t threads[TOOL_THREADS];

	if (pn_store_open(&race.tool->options, &race.store, NULL) != PN_OK)
		_exit(2);
	for (size_t i = 0; i < TOOL_THREADS; i++)
		if (pthread_create(&threads[i], NULL, race.run, &race) != 0)
			_exit(4);
	for (size_t i = 0; i < TOOL_THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	pn_store_close(race.store);
	_exit(0);
}

/* counts: from 0; what they are in the end. */
static inline void
tool_race(struct tool *tool, void *(*run)(void *race), size_t processes, uint64_t counts[2])
{
	void *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct tool_race race = { tool, NULL, run, shared };
	pid_t children[8];

	assert_true(shared != MAP_FAILED && processes <= PN_COUNT(children));
	tool->options.path = tool->path;
	for (size_t i = 0; i < processes; i++) {
		children[i] = fork();
		if (children[i] == 0)
			tool_race_in_a_process(race);
	}
	for (size_t i = 0; i < processes; i++)
		tool_must_exit_well(children[i]);
	memcpy(counts, shared, 2 * sizeof(*counts));
	(void)munmap(shared, 4096);
}

static inline void
assert_str(struct pn_str got, const char *wanted)
{
	if (!pn_str_eq(got, pn_str_c(wanted)))
		fail_msg("got \"" PN_STR_FMT "\", wanted \"%s\"", PN_STR_ARG(got), wanted);
}

#endif
