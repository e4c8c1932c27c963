/* The store under several processes: races, kill -9, full maps and disks. */
#include "store_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define NOW 1700000000
#define NOW_MS ((int64_t)NOW * 1000)

#ifdef PN_SAN
enum { KILLS = 60 };
#else
enum { KILLS = 200 };
#endif

static const struct pn_str main_gateway = { "main", 4 };

static struct pn_thread
numbered(char *text, size_t size, unsigned n)
{
	(void)snprintf(text, size, "<%u@x>", n);
	return (struct pn_thread){ .message_id = pn_str_c(text), .model = PN_STR("m"), .res_id = n };
}

static bool
is_known(struct tool *tool, unsigned n)
{
	char text[32];
	struct pn_thread wanted = numbered(text, sizeof(text), n), got;
	struct pn_strs ids = { &wanted.message_id, 1 };
	enum pn_status st = pn_thread_newest(tool->store, main_gateway, ids, tool->arena, &got, &tool->err);

	if (st != PN_NOT_FOUND)
		tool_must(tool, st);
	return st == PN_OK && got.res_id == n;
}

static void
learn(struct tool *tool, unsigned n)
{
	char text[32];
	struct pn_thread thread = numbered(text, sizeof(text), n);

	tool_must(tool, pn_thread_learn(tool->store, main_gateway, &thread, 1, NOW, &tool->err));
}

/* -- admission ------------------------------------------------------------------ */

enum { PROCESSES = 4, MAILS = 40, THRESHOLD = 100, ADMITTED = 0, TWINS = 1 };

/* Every thread offers mails of its own to one window, and all offer one mail. */
static void *
offer_mails(void *ctx)
{
	const struct tool_race *race = ctx;
	struct pn_window_key key = { PN_STR("m"), PN_STR(""), PN_STR("joe@x.org") };
	struct pn_admission a = { .gateway = main_gateway, .lease_ms = 60000, .windows = &key,
	    .window_count = 1,
		.threshold = THRESHOLD, .window_ms = 1000000, .now_ms = NOW_MS };
	enum pn_admitted out;
	size_t which;

	for (int i = 0; i < MAILS; i++) {
		if (pn_store_admit(race->store, &a, &out, &which, NULL) != PN_OK)
			_exit(3);
		if (out == PN_ADMITTED)
			(void)__atomic_add_fetch(&race->counts[ADMITTED], 1, __ATOMIC_SEQ_CST);
	}
	a.message_id = PN_STR("<the-same@x>");
	a.window_count = 0;
	if (pn_store_admit(race->store, &a, &out, &which, NULL) != PN_OK)
		_exit(3);
	if (out == PN_ADMITTED)
		(void)__atomic_add_fetch(&race->counts[TWINS], 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void
nobody_gets_past_a_full_window(void **state)
{
	struct tool *tool = tool_new();
	uint64_t counts[2];

	(void)state;
	tool_race(tool, offer_mails, PROCESSES, counts);
	assert_int_equal(counts[ADMITTED], THRESHOLD);
	assert_int_equal(counts[TWINS], 1);
	tool_free(tool);
}

/* -- kill -9 --------------------------------------------------------------------- */

/* Writes numbered records and reports each as soon as its call has returned. */
static void
write_until_killed(struct tool *tool, unsigned first, int report)
{
	struct pn_store *store;
	struct pn_window_key key = { PN_STR("m"), PN_STR(""), PN_STR("joe@x.org") };

	if (pn_store_open(&tool->options, &store, NULL) != PN_OK)
		_exit(2);
	for (unsigned n = first;; n++) {
		char text[32];
		struct pn_thread thread = numbered(text, sizeof(text), n);
		struct pn_admission a = { .gateway = main_gateway, .message_id = thread.message_id,
			.lease_ms = 1000, .windows = &key, .window_count = 1, .threshold = 10000,
			.window_ms = 1000, .learn = &thread, .now_ms = NOW_MS + n };
		enum pn_admitted out;
		size_t which, removed;

		if (pn_store_admit(store, &a, &out, &which, NULL) != PN_OK || out != PN_ADMITTED)
			_exit(3);
		if (n % 64 == 0 && pn_store_sweep(store, NOW + n / 1000, 20, &removed, NULL) != PN_OK)
			_exit(4);
		if (write(report, &n, sizeof(n)) != sizeof(n))
			_exit(5);
	}
}

static unsigned
last_reported(int report, unsigned last)
{
	unsigned numbers[1024];
	ssize_t got;

	while ((got = read(report, numbers, sizeof(numbers))) > 0)
		last = numbers[got / (ssize_t)sizeof(numbers[0]) - 1];
	return last;
}

static void
what_was_written_survives_kill_9(void **state)
{
	struct tool *tool = tool_new();
	unsigned last = 0, checked = 0, seed = 12345;

	(void)state;
	tool->options.path = tool->path;
	for (int i = 0; i < KILLS; i++) {
		struct timespec pause = { 0, 200000 + (long)(rand_r(&seed) % 12000) * 1000 };
		int report[2], status;
		pid_t child;

		assert_int_equal(pipe(report), 0);
		(void)fcntl(report[1], F_SETPIPE_SZ, 1 << 20);
		child = fork();
		if (child == 0) {
			(void)close(report[0]);
			write_until_killed(tool, last + 1, report[1]);
		}
		(void)close(report[1]);
		(void)nanosleep(&pause, NULL);
		(void)kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFSIGNALED(status))
			fail_msg("kill %d: the writer ended by itself: 0x%x", i, (unsigned)status);
		last = last_reported(report[0], last);
		(void)close(report[0]);

		tool_open(tool);
		for (; checked < last; checked++)
			if (!is_known(tool, checked + 1))
				fail_msg("kill %d: record %u of %u is lost", i, checked + 1, last);
		learn(tool, ++last);	/* the lock of the dead is not in the way */
		tool_close(tool);
	}
	assert_true(last > (unsigned)KILLS);
	print_message("    %d kills, %u records, none lost\n", KILLS, last);
	tool_free(tool);
}

/* The same with other processes at work all the time, in both environments. */
static void
apply_until_killed(struct tool *tool)
{
	struct pn_alias_row rows[64];
	char names[64][32];
	struct pn_store *store;

	if (pn_store_open(&tool->options, &store, NULL) != PN_OK)
		_exit(2);
	for (unsigned round = 0;; round++) {
		for (unsigned i = 0; i < PN_COUNT(rows); i++) {
			(void)snprintf(names[i], sizeof(names[i]), "a%u@x.org", i);
			rows[i] = (struct pn_alias_row){ main_gateway, { .id = i + 1, .local = PN_STR("a"),
			    .full = pn_str_c(names[i]), .model = PN_STR("m"), .parent_id = round,
			    .parent_model = PN_STR(""), .incoming_local = round % 2 == 0 } };
		}
		if (pn_directory_apply(store, PN_SOURCE_SYNC, main_gateway, rows, PN_COUNT(rows), NULL,
		    NULL) != PN_OK)
			_exit(3);
	}
}

/* All 64 rows or none, all of one round. */
static void
check_table(struct tool *tool)
{
	struct pn_directory_view *view;
	struct pn_alias_source source;
	struct pn_aliases found;
	uint64_t round = 0;
	size_t n = 0;

	tool_must(tool, pn_directory_open(tool->store, &view, &tool->err));
	source = pn_directory_aliases(view, main_gateway, tool->arena);
	for (unsigned i = 0; i < 64; i++) {
		struct pn_str name = pn_arena_printf(tool->arena, "a%u@x.org", i);

		if (source.by_full(source.ctx, name, tool->arena, &found) != PN_OK)
			continue;
		assert_true(n == 0 || found.v[0].parent_id == round);
		round = found.v[0].parent_id;
		n++;
	}
	assert_true(n == 0 || n == 64);
	if (n == 64)
		assert_int_equal(source.by_local(source.ctx, PN_STR("a"), tool->arena, &found),
		    round % 2 == 0 ? PN_OK : PN_NOT_FOUND);
	pn_directory_close(view);
}

static void
tables_are_never_half(void **state)
{
	struct tool *tool = tool_new();
	unsigned seed = 4711;

	(void)state;
	tool_open(tool);
	for (int i = 0; i < KILLS / 4; i++) {
		struct timespec pause = { 0, 1000000 + (long)(rand_r(&seed) % 20000) * 1000 };
		pid_t child = fork();

		/* The child must not use the parent's environments: it opens the path anew. */
		if (child == 0)
			apply_until_killed(tool);
		(void)nanosleep(&pause, NULL);
		check_table(tool);
		(void)kill(child, SIGKILL);
		(void)waitpid(child, NULL, 0);
		check_table(tool);
	}
	assert_true(tool_usage(tool).generation > 0);
	tool_free(tool);
}

/* -- a reader killed ---------------------------------------------------------------- */

/* One row changes again and again. */
static void
write_on(struct tool *tool)
{
	struct pn_alias_row alias = { main_gateway, { .local = PN_STR("a"), .full = PN_STR("a@x.org"),
	    .model = PN_STR("m"), .parent_model = PN_STR("") } };

	for (unsigned i = 0; i < 100; i++) {
		alias.alias.id = tool_usage(tool).generation;
		tool_must(tool, pn_directory_apply(tool->store, PN_SOURCE_SYNC, main_gateway, &alias, 1, NULL,
		    &tool->err));
	}
}

static void
look_until_killed(struct tool *tool, int ready)
{
	struct pn_directory_view *view;

	if (pn_store_open(&tool->options, &tool->store, NULL) != PN_OK
	    || pn_directory_open(tool->store, &view, NULL) != PN_OK || write(ready, "x", 1) != 1)
		_exit(1);
	for (;;)
		(void)pause();
}

static uint64_t
file_size(struct tool *tool)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/directory/data.mdb", tool->path);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static void
a_killed_reader_pins_nothing(void **state)
{
	struct tool *tool = tool_new();
	uint64_t start, pinned, swept;
	size_t removed;
	int ready[2];
	char byte;
	pid_t child;

	(void)state;
	tool->options.path = tool->path;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0)
		look_until_killed(tool, ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	tool_open(tool);
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
	start = file_size(tool);
	write_on(tool);
	pinned = file_size(tool);
	assert_true(pinned > start + 100 * 4096);	/* its slot still counts */
	tool_must(tool, pn_store_sweep(tool->store, NOW, 10, &removed, &tool->err));
	write_on(tool);
	swept = file_size(tool);
	assert_true(swept < pinned + 20 * 4096);
	(void)close(ready[0]);
	(void)close(ready[1]);
	tool_free(tool);
}

/* -- full ------------------------------------------------------------------------------ */

/* Fills the state with leases that live for 60 s till nothing more goes in. */
static unsigned
fill(struct tool *tool, int64_t now_ms)
{
	enum pn_admitted out;
	size_t which;

	for (unsigned n = 0; n < 1000000; n++) {
		struct pn_admission a = { .gateway = main_gateway, .lease_ms = 60000, .threshold = 1,
			.now_ms = now_ms + n };
		char text[300];

		memset(text, 'x', sizeof(text));
		(void)snprintf(text, sizeof(text), "<%u-%d", n, (int)(now_ms % 1000000));
		a.message_id = pn_str_n(text, sizeof(text));
		switch (pn_store_admit(tool->store, &a, &out, &which, &tool->err)) {
		case PN_OK:
			break;
		case PN_TEMPFAIL:
			return n;
		case PN_NOT_FOUND:
		case PN_INVALID:
		case PN_LIMIT:
			fail_msg("%s", tool->err.text);
		}
	}
	fail_msg("never full");
	return 0;
}

static void
sweep_all(struct tool *tool, int64_t now)
{
	size_t removed;

	do
		tool_must(tool, pn_store_sweep(tool->store, now, 1000, &removed, &tool->err));
	while (removed == 1000);
}

static void
full_and_swept(uint64_t size, int rounds)
{
	struct tool *tool = tool_new();
	unsigned first;

	tool->options.state_map_size = size;
	tool_open(tool);
	first = fill(tool, NOW_MS);
	assert_true(first > 300);
	assert_non_null(strstr(tool->err.text, "state/data.mdb is full"));
	assert_non_null(strstr(tool->err.text, "state_map_size"));
	assert_int_equal(fill(tool, NOW_MS + 1), 0);	/* and it stays full */
	for (int round = 1; round <= rounds; round++) {	/* but not for good: sweeping has room */
		int64_t now = NOW + round * 1000;

		sweep_all(tool, now);
		assert_int_equal(tool_usage(tool).leases, 0);
		if (fill(tool, now * 1000) < first * 3 / 4)
			fail_msg("round %d: room is lost", round);
	}
	assert_true(tool_usage(tool).state_bytes <= size);
	tool_free(tool);
}

static void
a_full_map_recovers(void **state)
{
	(void)state;
	full_and_swept(1 << 20, 20);
	full_and_swept(6 << 20,
	    3);	/* where a step of the sweeper touches more pages than are kept back */
}

/* What has expired gives way at once, without the sweeper. */
static void
a_full_map_sweeps_itself(void **state)
{
	struct tool *tool = tool_new();
	unsigned first;

	(void)state;
	tool->options.state_map_size = 1 << 20;
	tool_open(tool);
	first = fill(tool, NOW_MS);
	assert_true(fill(tool, NOW_MS + 61000) > first / 2);
	tool_free(tool);
}

static void
a_full_directory_says_so(void **state)
{
	struct tool *tool = tool_new();
	struct pn_alias_row *rows = PN_ARENA_ARRAY(tool->arena, struct pn_alias_row, 20000);

	(void)state;
	tool->options.directory_map_size = 1 << 20;
	tool_open(tool);
	for (size_t i = 0; i < 20000; i++)
		rows[i] = (struct pn_alias_row){ main_gateway, { .id = i, .local = PN_STR("a"),
		    .model = PN_STR("m"),
		    .full = pn_arena_printf(tool->arena, "a-long-name-%zu@example.org", i),
		    .parent_model = PN_STR("") } };
	tool_must(tool, pn_directory_apply(tool->store, PN_SOURCE_SYNC, main_gateway, rows, 100, NULL,
	    &tool->err));
	assert_int_equal(pn_directory_apply(tool->store, PN_SOURCE_SYNC, main_gateway, rows, 20000, NULL,
	    &tool->err),
	    PN_TEMPFAIL);
	assert_non_null(strstr(tool->err.text, "directory/data.mdb is full"));
	assert_int_equal(tool_usage(tool).aliases, 100);
	tool_must(tool, pn_directory_apply(tool->store, PN_SOURCE_SYNC, main_gateway, rows, 200, NULL,
	    &tool->err));
	assert_int_equal(tool_usage(tool).aliases, 200);
	tool_free(tool);
}

static void
fill_then_make_room(struct tool *tool, bool (*make_room)(struct tool *tool))
{
	unsigned n = fill(tool, NOW_MS);

	if (strstr(tool->err.text, "make room") == NULL)
		fail_msg("%s", tool->err.text);
	assert_true(n > 10);
	assert_true(is_known(tool, 1));		/* reading goes on */
	assert_true(make_room(tool));
	learn(tool, 2);
	assert_true(is_known(tool, 2));
	assert_true(fill(tool, NOW_MS + 1) > 10);
}

static bool
raise_file_limit(struct tool *tool)
{
	struct rlimit limit = { 1 << 21, RLIM_INFINITY };

	(void)tool;
	return setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

/* A limit on the size of files is a full disk for who is under it. */
static void
a_file_size_limit(void **state)
{
	struct tool *tool = tool_new();
	struct rlimit before, limit;
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	(void)state;
	assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	tool_open(tool);
	learn(tool, 1);
	limit = (struct rlimit){ 1 << 20, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	fill_then_make_room(tool, raise_file_limit);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	tool_free(tool);
}

static bool
enlarge_disk(struct tool *tool)
{
	return mount("tmpfs", tool->path, "tmpfs", MS_REMOUNT, "size=4m") == 0;
}

static void
a_full_disk(void **state)
{
	struct tool *tool = tool_new();

	(void)state;
	if (mount("tmpfs", tool->path, "tmpfs", 0, "size=1m") != 0) {
		tool_free(tool);
		print_message("    no right to mount a small disk: %s\n", strerror(errno));
		skip();
	}
	tool_open(tool);
	learn(tool, 1);
	fill_then_make_room(tool, enlarge_disk);
	tool_close(tool);
	assert_int_equal(umount(tool->path), 0);
	tool_free(tool);
}

/* -- a power cut ----------------------------------------------------------------------- */

static void
put_bytes(struct tool *tool, const char *name, off_t at, size_t n)
{
	static char noise[65536];
	char path[128];
	int fd;

	memset(noise, 'n', sizeof(noise));
	(void)snprintf(path, sizeof(path), "%s/%s", tool->path, name);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, noise, n, at), n);
	(void)close(fd);
}

static void
learn_many(struct tool *tool)
{
	for (unsigned n = 1; n <= 2000; n++)
		learn(tool, n);
}

/* After a start of the machine the file is looked through before it is used. */
static void
damage_by_a_power_cut(void **state)
{
	static const struct { const char *name; off_t at; size_t n; bool sound; } cases[] = {
		{ "nothing happened", 0, 0, true },
		{ "pages of noise", 10 * 4096, 40000, false },
		{ "one page", 30 * 4096, 4096, false },
		{ "both heads", 0, 8192, false },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		struct tool *tool = tool_new();
		char path[128];

		tool_open(tool);
		learn_many(tool);
		tool_close(tool);
		put_bytes(tool, "state/data.mdb", cases[i].at, cases[i].n);
		put_bytes(tool, "state/boot", 0, 4);	/* as if another boot had written it */
		tool_open(tool);
		(void)snprintf(path, sizeof(path), "%s/state/data.mdb.damaged", tool->path);
		if (is_known(tool, 1000) != cases[i].sound || (access(path, F_OK) != 0) != cases[i].sound)
			fail_msg("%s", cases[i].name);
		learn(tool, 3000);
		tool_close(tool);
		tool_open(tool);			/* asked once for each boot */
		assert_true(is_known(tool, 3000));
		tool_free(tool);
	}
}

/* -- another version ------------------------------------------------------------------ */

/* The schema record is made to tell of version 1. */
static void
make_older(struct tool *tool)
{
	static const char schema[] = { 'p', 'n', 's', 2 };
	char path[128], *map, *at;
	struct stat st;
	size_t n = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/state/data.mdb", tool->path);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	while ((at = memmem(map, (size_t)st.st_size, schema, sizeof(schema))) != NULL) {
		at[3] = 1;
		n++;
	}
	assert_true(n > 0);
	(void)munmap(map, (size_t)st.st_size);
	(void)close(fd);
}

static void
a_file_of_another_version_is_refused(void **state)
{
	struct tool *tool = tool_new();

	(void)state;
	tool_open(tool);
	learn(tool, 1);
	tool_close(tool);
	make_older(tool);
	for (int read_only = 0; read_only < 2; read_only++) {
		tool->options.read_only = read_only;
		assert_int_equal(pn_store_open(&tool->options, &tool->store, &tool->err), PN_TEMPFAIL);
		assert_non_null(strstr(tool->err.text, "state/data.mdb is of another version"));
		assert_non_null(strstr(tool->err.text, "move the file away"));
	}
	tool->options.read_only = false;
	tool_unlink(tool, "state/data.mdb");
	tool_open(tool);
	learn(tool, 2);
	assert_false(is_known(tool, 1));
	tool_free(tool);
}

/* -- another process with a larger map ---------------------------------------------------- */

/* What a thread of the old process does meanwhile. */
static void *
read_on(void *ctx)
{
	struct tool *tool = ctx;
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	struct pn_str id = PN_STR("<1@x>");
	struct pn_strs ids = { &id, 1 };
	struct pn_thread out;

	for (int i = 0; i < 2000; i++) {
		if (pn_thread_newest(tool->store, main_gateway, ids, arena, &out, NULL) != PN_OK)
			return ctx;
		pn_arena_reset(arena);
	}
	pn_arena_free(arena);
	return NULL;
}

static void
grow_the_file(struct tool *tool)
{
	struct tool child = *tool;

	child.options.state_map_size = child.options.directory_map_size = 1 << 26;
	child.arena = pn_arena_new(SIZE_MAX);
	if (pn_store_open(&child.options, &child.store, NULL) != PN_OK)
		_exit(2);
	for (unsigned n = 2; n < 8000; n++) {
		char text[32];
		struct pn_thread thread = numbered(text, sizeof(text), n);

		if (pn_thread_learn(child.store, main_gateway, &thread, 1, NOW, NULL) != PN_OK)
			_exit(3);
	}
	pn_store_close(child.store);
	_exit(0);
}

static void
a_map_grown_elsewhere_is_followed(void **state)
{
	struct tool *tool = tool_new();
	pthread_t threads[4];
	int go[2];
	char byte;
	pid_t child;

	(void)state;
	tool->options.path = tool->path;
	tool->options.state_map_size = 1 << 20;
	assert_int_equal(pipe(go), 0);
	child = fork();
	if (child == 0) {
		if (read(go[0], &byte, 1) != 1)
			_exit(1);
		grow_the_file(tool);
	}
	tool_open(tool);
	learn(tool, 1);
	assert_int_equal(write(go[1], "x", 1), 1);
	for (size_t i = 0; i < PN_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, tool), 0);
	tool_must_exit_well(child);
	for (size_t i = 0; i < PN_COUNT(threads); i++) {
		void *failed;

		(void)pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_true(is_known(tool, 7999));
	learn(tool, 8000);
	assert_true(tool_usage(tool).state_map > 1 << 20);
	(void)close(go[0]);
	(void)close(go[1]);
	tool_free(tool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_gets_past_a_full_window),
		cmocka_unit_test(what_was_written_survives_kill_9),
		cmocka_unit_test(tables_are_never_half),
		cmocka_unit_test(a_killed_reader_pins_nothing),
		cmocka_unit_test(a_full_map_recovers),
		cmocka_unit_test(a_full_map_sweeps_itself),
		cmocka_unit_test(a_full_directory_says_so),
		cmocka_unit_test(a_file_size_limit),
		cmocka_unit_test(a_full_disk),
		cmocka_unit_test(damage_by_a_power_cut),
		cmocka_unit_test(a_file_of_another_version_is_refused),
		cmocka_unit_test(a_map_grown_elsewhere_is_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
