/* What the store can do: `name value unit` a line. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "postern/arena.h"
#include "postern/clock.h"
#include "postern/quota.h"

enum { LOOKUPS = 300000, UPDATES = 100000, SENDERS = 50000 };

static const struct pn_str gateway = { "main", 4 };

static void
must(enum pn_status st, const struct pn_error *err)
{
	if (st == PN_OK)
		return;
	(void)fprintf(stderr, "bench_store: %s\n", err->text);
	exit(1);
}

static void
print_rate(const char *name, uint64_t n, int64_t us, const char *unit)
{
	(void)printf("%s %.0f %s\n", name, (double)n * 1e6 / (double)(us < 1 ? 1 : us), unit);
}

static struct pn_alias_row *
make_rows(struct pn_arena *arena, size_t n)
{
	struct pn_alias_row *rows = PN_ARENA_ARRAY(arena, struct pn_alias_row, n);

	for (size_t i = 0; i < n; i++) {
		struct pn_str local = pn_arena_printf(arena, "user%zu", i);

		rows[i] = (struct pn_alias_row){ gateway, { .id = i + 1, .local = local,
		    .model = PN_STR("crm.lead"),
		    .full = pn_arena_printf(arena, "user%zu@example.org", i), .parent_model = PN_STR("") } };
	}
	return rows;
}

/* Milliseconds that bringing the table to these rows takes, fsync included. */
static void
apply(struct pn_store *store, const char *name, const struct pn_alias_row *rows, size_t n)
{
	struct pn_error err;
	int64_t start = pn_clock_mono_us();

	must(pn_directory_apply(store, PN_SOURCE_SYNC, gateway, rows, n, NULL, &err), &err);
	(void)printf("%s %.1f ms\n", name, (double)(pn_clock_mono_us() - start) / 1000);
}

/* Microseconds per look-up, each with a view of its own as the programs do it. */
static double
look_up_once(struct pn_store *store, size_t aliases)
{
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	struct pn_error err;
	unsigned seed = 1;
	int64_t start = pn_clock_mono_us(), us;

	for (int i = 0; i < LOOKUPS; i++) {
		struct pn_directory_view *view;
		struct pn_alias_source source;
		struct pn_aliases found;
		char text[64];
		int n = snprintf(text, sizeof(text), "user%zu@example.org", (size_t)rand_r(&seed) % aliases);

		must(pn_directory_open(store, &view, &err), &err);
		source = pn_directory_aliases(view, gateway, arena);
		if (source.by_full(source.ctx, pn_str_n(text, (size_t)n), arena, &found) != PN_OK)
			exit(1);
		pn_directory_close(view);
		pn_arena_reset(arena);
	}
	us = pn_clock_mono_us() - start;
	pn_arena_free(arena);
	return (double)us / LOOKUPS;
}

/* The best of several rounds: the first maps the file's pages, others may be disturbed. */
static double
look_up(struct pn_store *store, const char *name, size_t aliases)
{
	double best = look_up_once(store, aliases);

	for (int i = 0; i < 4; i++) {
		double us = look_up_once(store, aliases);

		if (us < best)
			best = us;
	}
	(void)printf("%s %.0f look-ups/s\n", name, 1e6 / best);
	return best;
}

static void
bench_directory(struct pn_store *store)
{
	enum { SMALL = 1000, MIDDLE = 100000, LARGE = 1000000, CHANGED = 1000 };
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	struct pn_alias_row *rows = make_rows(arena, LARGE);
	double small, large;

	apply(store, "apply_1000", rows, SMALL);
	small = look_up(store, "lookup_1000", SMALL);
	apply(store, "apply_100000", rows, MIDDLE);
	apply(store, "apply_1000000", rows, LARGE);
	for (size_t i = 0; i < CHANGED; i++)
		rows[i * (LARGE / CHANGED)].alias.parent_id++;
	apply(store, "apply_1000_changes_of_1000000", rows, LARGE);
	large = look_up(store, "lookup_1000000", LARGE);
	(void)printf("lookup_ratio %.2f x\n", large / small);
	pn_arena_free(arena);
}

struct worker {
	struct pn_store *store;
	unsigned seed;
	int updates;
};

static void *
update_windows(void *ctx)
{
	struct worker *worker = ctx;
	struct pn_error err;

	for (int i = 0; i < worker->updates; i++) {
		char sender[64];
		int n = snprintf(sender, sizeof(sender), "u%d@example.org", rand_r(&worker->seed) % SENDERS);
		struct pn_window_key key = { PN_STR("crm.lead"), PN_STR(""), pn_str_n(sender, (size_t)n) };
		struct pn_admission a = { .gateway = gateway, .windows = &key, .window_count = 1,
		    .threshold = 20,
			.window_ms = 7200000, .now_ms = pn_clock_now_ms() };
		enum pn_admitted out;
		size_t which;

		must(pn_store_admit(worker->store, &a, &out, &which, &err), &err);
	}
	return NULL;
}

static void
bench_windows(struct pn_store *store, const char *name, size_t threads)
{
	struct worker workers[8];
	pthread_t ids[8];
	int64_t start = pn_clock_mono_us();

	for (size_t i = 0; i < threads; i++) {
		workers[i] = (struct worker){ store, (unsigned)(i + 1 + threads), UPDATES / (int)threads };
		if (pthread_create(&ids[i], NULL, update_windows, &workers[i]) != 0)
			exit(1);
	}
	for (size_t i = 0; i < threads; i++)
		(void)pthread_join(ids[i], NULL);
	print_rate(name, UPDATES, pn_clock_mono_us() - start, "updates/s");
}

/* All that one accepted mail asks of the state: lease, window, a learned thread. */
static void
bench_mails(struct pn_store *store)
{
	struct pn_error err;
	int64_t start = pn_clock_mono_us();

	for (int i = 0; i < UPDATES; i++) {
		char id[64], sender[64];
		struct pn_window_key key = { PN_STR("crm.lead"), PN_STR(""), PN_STR("") };
		struct pn_thread thread = { .model = PN_STR("crm.lead"), .origin = PN_THREAD_INBOUND };
		struct pn_admission a = { .gateway = gateway, .windows = &key, .window_count = 1,
		    .threshold = 20,
			.window_ms = 7200000, .now_ms = pn_clock_now_ms(), .lease_ms = 60000,
			    .learn = &thread };
		enum pn_admitted out;
		size_t which;

		thread.message_id = a.message_id = pn_str_n(id, (size_t)snprintf(id, sizeof(id), "<%d@x.org>",
		    i));
		key.sender = pn_str_n(sender, (size_t)snprintf(sender, sizeof(sender), "m%d@x.org",
		    i % SENDERS));
		must(pn_store_admit(store, &a, &out, &which, &err), &err);
	}
	print_rate("admit_lease_window_thread", UPDATES, pn_clock_mono_us() - start, "mails/s");
}

/* Mails in queue ids of their own; the same ones if it is called again. */
static void
bench_charges(struct pn_store *store, const char *name, size_t limits)
{
	static const struct pn_limit both[] = { { 900000000, 86400000, false }, { 900000000, 60000, false } };
	struct pn_error err;
	int64_t start = pn_clock_mono_us();

	for (int i = 0; i < UPDATES; i++) {
		char id[64];
		struct pn_charge charge = { .relay = limits > 0 ? PN_STR("limited") : PN_STR("free"), .limits = both,
			.limit_count = limits, .recipients = 1, .now_ms = pn_clock_now_ms() };
		struct pn_charge_result out;

		charge.queue_id = pn_str_n(id, (size_t)snprintf(id, sizeof(id), "%s%d", limits > 0 ? "L" : "F", i));
		must(pn_quota_charge(store, &charge, &out, &err), &err);
	}
	print_rate(name, UPDATES, pn_clock_mono_us() - start, "charges/s");
}

static void
remove_files(const char *path)
{
	static const char *const names[] = { "directory/data.mdb", "directory/lock.mdb", "directory",
		"state/data.mdb", "state/lock.mdb", "state/boot", "state", "" };

	for (size_t i = 0; i < PN_COUNT(names); i++) {
		char name[256];

		(void)snprintf(name, sizeof(name), "%s/%s", path, names[i]);
		if (unlink(name) != 0)
			(void)rmdir(name);
	}
}

/* bench_store [FOLDER]: where the state is to be, /tmp otherwise. */
int
main(int argc, char **argv)
{
	char path[200];
	struct pn_store_options options = { .path = path };
	struct pn_store *store;
	struct pn_error err;

	(void)snprintf(path, sizeof(path), "%s/postern-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (mkdtemp(path) == NULL) {
		perror(path);
		return 1;
	}
	must(pn_store_open(&options, &store, &err), &err);
	bench_directory(store);
	bench_windows(store, "window_updates_1_thread", 1);
	bench_windows(store, "window_updates_8_threads", 8);
	bench_mails(store);
	bench_charges(store, "charge_new", 2);
	bench_charges(store, "charge_again", 2);
	bench_charges(store, "charge_unlimited", 0);
	pn_store_close(store);
	remove_files(path);
	return 0;
}
