/* The state: threads, admission, bounce events, counters, expiry and bounds. */
#include "store_tool.h"

#include "postern/quota.h"

#define NOW 1700000000
#define NOW_MS ((int64_t)NOW * 1000)

static const struct pn_str main_gateway = { "main", 4 };

/* -- threads -- */

static void
learn(struct tool *tool, const char *gateway, const char *id, const char *model, uint64_t res_id,
    enum pn_thread_origin origin, int64_t now)
{
	struct pn_thread thread = { .message_id = pn_str_c(id), .model = pn_str_c(model), .res_id = res_id,
		.origin = origin };

	tool_must(tool, pn_thread_learn(tool->store, pn_str_c(gateway), &thread, 1, now, &tool->err));
}

/* The newest of ids separated by blanks; message_id "" when there is none. */
static struct pn_thread
newest(struct tool *tool, const char *gateway, const char *ids)
{
	struct pn_str rest = pn_str_c(ids), v[16];
	struct pn_thread thread = { .message_id = PN_STR_EMPTY, .model = PN_STR_EMPTY };
	struct pn_strs list = { v, 0 };
	enum pn_status st;

	while (list.n < PN_COUNT(v) && pn_str_split(&rest, ' ', &v[list.n]))
		list.n++;
	st = pn_thread_newest(tool->store, pn_str_c(gateway), list, tool->arena, &thread, &tool->err);
	if (st != PN_NOT_FOUND)
		tool_must(tool, st);
	return thread;
}

static void
the_newest_thread_wins(void **state)
{
	static const struct { const char *name, *gateway, *ids, *wanted; } cases[] = {
		{ "only one", "main", "<1@x>", "<1@x>" },
		{ "the later learned", "main", "<1@x> <3@x> <2@x>", "<3@x>" },
		{ "unknown ones beside it", "main", "<9@x> <1@x> <8@x>", "<1@x>" },
		{ "learned again keeps its place", "main", "<1@x> <2@x>", "<2@x>" },
		{ "none known", "main", "<9@x>", "" },
		{ "no ids", "main", "", "" },
		{ "other case", "main", "<1@X>", "" },
		{ "without brackets", "main", "1@x", "" },
		{ "another gateway", "other", "<1@x>", "" },
		{ "its own gateway", "other", "<4@x> <1@x>", "<4@x>" },
	};
	struct tool *tool = *state;

	learn(tool, "main", "<1@x>", "crm.lead", 1, PN_THREAD_OUTBOUND, NOW);
	learn(tool, "main", "<2@x>", "crm.lead", 2, PN_THREAD_OUTBOUND, NOW);
	learn(tool, "main", "<3@x>", "crm.lead", 3, PN_THREAD_INBOUND, NOW);
	learn(tool, "other", "<4@x>", "crm.lead", 4, PN_THREAD_INBOUND, NOW);
	learn(tool, "main", "<1@x>", "crm.lead", 1, PN_THREAD_OUTBOUND, NOW + 5);
	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		struct pn_thread got = newest(tool, cases[i].gateway, cases[i].ids);

		if (!pn_str_eq(got.message_id, pn_str_c(cases[i].wanted)))
			fail_msg("%s: got " PN_STR_FMT, cases[i].name, PN_STR_ARG(got.message_id));
	}
	assert_int_equal(tool_usage(tool).threads, 4);
}

static void
what_is_known_of_a_thread_improves(void **state)
{
#define OUT PN_THREAD_OUTBOUND
#define IN PN_THREAD_INBOUND
#define SYNC PN_THREAD_SYNCED
	static const struct {
		const char *name;
		struct { const char *model; uint64_t res_id; enum pn_thread_origin origin; } a, b, wanted;
	} cases[] = {
		{ "the record is filled in", { "m", 0, IN }, { "m", 5, IN }, { "m", 5, IN } },
		{ "an outbound mail knows more", { "m", 0, IN }, { "n", 5, OUT }, { "n", 5, OUT } },
		{ "it corrects too", { "m", 4, IN }, { "n", 5, OUT }, { "n", 5, OUT } },
		{ "it takes no record away", { "m", 4, IN }, { "m", 0, OUT }, { "m", 4, OUT } },
		{ "an inbound mail corrects nothing", { "m", 4, OUT }, { "n", 5, IN }, { "m", 4, OUT } },
		{ "but fills in", { "m", 0, OUT }, { "m", 5, IN }, { "m", 5, OUT } },
		{ "equals do not correct", { "m", 4, OUT }, { "n", 5, OUT }, { "m", 4, OUT } },
		{ "Odoo's table is right", { "m", 4, OUT }, { "n", 5, SYNC }, { "n", 5, SYNC } },
		{ "even without a record", { "m", 4, OUT }, { "", 0, SYNC }, { "", 0, SYNC } },
		{ "and when it changed", { "m", 4, SYNC }, { "n", 5, SYNC }, { "n", 5, SYNC } },
		{ "and stays right", { "m", 4, SYNC }, { "n", 5, OUT }, { "m", 4, SYNC } },
	};
	struct tool *tool = *state;

	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		char id[32];
		struct pn_thread got;

		(void)snprintf(id, sizeof(id), "<%zu@x>", i);
		learn(tool, "main", id, cases[i].a.model, cases[i].a.res_id, cases[i].a.origin, NOW);
		learn(tool, "main", id, cases[i].b.model, cases[i].b.res_id, cases[i].b.origin, NOW + 9);
		got = newest(tool, "main", id);
		if (!pn_str_eq(got.model, pn_str_c(cases[i].wanted.model))
		    || got.res_id != cases[i].wanted.res_id
		    || got.origin != cases[i].wanted.origin || got.sequence != i + 1 || got.seen != NOW + 9)
			fail_msg("%s: " PN_STR_FMT " %u %d", cases[i].name, PN_STR_ARG(got.model),
			    (unsigned)got.res_id, got.origin);
	}
}

static bool
count_threads(void *ctx, struct pn_str gateway, const struct pn_thread *thread)
{
	size_t *n = ctx;

	assert_true(gateway.n > 0 && thread->message_id.n > 0);
	return ++*n < 2000;
}

static void
threads_in_bulk(void **state)
{
	enum { N = 2500 };
	struct tool *tool = *state;
	struct pn_thread *threads = PN_ARENA_ARRAY(tool->arena, struct pn_thread, N);
	size_t n = 0;

	for (size_t i = 0; i < N; i++)
		threads[i] = (struct pn_thread){ .message_id = pn_arena_printf(tool->arena, "<%zu@x>", i),
			.model = PN_STR("m"), .res_id = i, .origin = PN_THREAD_SYNCED };
	tool_must(tool, pn_thread_learn(tool->store, main_gateway, threads, N, NOW, &tool->err));
	assert_int_equal(tool_usage(tool).threads, N);
	assert_int_equal(newest(tool, "main", "<2499@x> <2498@x>").res_id, 2499);
	tool_must(tool, pn_thread_each(tool->store, main_gateway, count_threads, &n, &tool->err));
	assert_int_equal(n, 2000);
	n = 0;
	tool_must(tool, pn_thread_each(tool->store, PN_STR("other"), count_threads, &n, &tool->err));
	assert_int_equal(n, 0);
}

/* An id that nobody sends by accident is not learned: its mail is handed over. */
static void
endless_ids_are_not_learned(void **state)
{
	static char id[100000];
	struct tool *tool = *state;
	struct pn_thread threads[] = { { .message_id = pn_str_n(id, sizeof(id)), .model = PN_STR("m") },
		{ .message_id = PN_STR_EMPTY, .model = PN_STR("m") } };
	struct pn_strs ids = { &threads[0].message_id, 1 };
	struct pn_thread out;

	memset(id, 'x', sizeof(id));
	tool_must(tool, pn_thread_learn(tool->store, main_gateway, threads, 2, NOW, &tool->err));
	assert_int_equal(tool_usage(tool).threads, 0);
	assert_int_equal(pn_thread_newest(tool->store, main_gateway, ids, tool->arena, &out, &tool->err),
	    PN_NOT_FOUND);
	assert_int_equal(pn_thread_learn(tool->store, PN_STR(""), threads, 1, NOW, &tool->err), PN_INVALID);
}

/* -- admission -- */

static const struct pn_window_key joe = { { "crm.lead", 8 }, { "", 0 }, { "joe@x.org", 9 } };

static struct pn_admission
admission(const char *id, int64_t now_ms)
{
	return (struct pn_admission){ .gateway = main_gateway, .message_id = pn_str_c(id),
		.sender = PN_STR("joe@x.org"), .lease_ms = 60000, .windows = &joe, .window_count = 1,
		.threshold = 3, .window_ms = 10000, .now_ms = now_ms };
}

static enum pn_admitted
admit(struct tool *tool, const struct pn_admission *a, size_t *which)
{
	enum pn_admitted out = PN_ADMITTED_LOOP;
	size_t unused;

	tool_must(tool, pn_store_admit(tool->store, a, &out, which != NULL ? which : &unused, &tool->err));
	return out;
}

/* One window of 3 mails in 10 seconds; each step is one mail. */
static void
windows_are_exact(void **state)
{
	static const struct { const char *name, *id; int64_t at; enum pn_admitted wanted; } steps[] = {
		{ "first", "<1>", 0, PN_ADMITTED },
		{ "second", "<2>", 1, PN_ADMITTED },
		{ "third", "<3>", 2, PN_ADMITTED },
		{ "fourth", "<4>", 3, PN_ADMITTED_LOOP },
		{ "a refused one was not counted", "<5>", 9999, PN_ADMITTED_LOOP },
		{ "the first is out at exactly its end", "<6>", 10000, PN_ADMITTED },
		{ "full again", "<7>", 10000, PN_ADMITTED_LOOP },
		{ "the second is out", "<7>", 10001, PN_ADMITTED },
		{ "the third is not", "<8>", 10001, PN_ADMITTED_LOOP },
		{ "empty after a while", "<9>", 30000, PN_ADMITTED },
	};
	struct tool *tool = *state;

	for (size_t i = 0; i < PN_COUNT(steps); i++) {
		struct pn_admission a = admission(steps[i].id, NOW_MS + steps[i].at);

		a.lease_ms = 0;
		if (admit(tool, &a, NULL) != steps[i].wanted)
			fail_msg("%s", steps[i].name);
	}
	assert_int_equal(tool_usage(tool).windows, 1);
	assert_int_equal(tool_usage(tool).leases, 0);
}

/* Mails counted while the clock was a month ahead do not count when it is right
 * again; two machines' worth of difference does. */
static void
a_clock_set_back_is_no_loop(void **state)
{
	struct tool *tool = *state;
	struct pn_admission ahead = admission("", NOW_MS + 30LL * 86400 * 1000);
	struct pn_admission now = admission("", NOW_MS);

	for (int i = 0; i < 3; i++)
		assert_int_equal(admit(tool, &ahead, NULL), PN_ADMITTED);
	assert_int_equal(admit(tool, &ahead, NULL), PN_ADMITTED_LOOP);
	for (int i = 0; i < 3; i++)
		assert_int_equal(admit(tool, &now, NULL), PN_ADMITTED);
	now.now_ms -= 5000;
	assert_int_equal(admit(tool, &now, NULL), PN_ADMITTED_LOOP);
}

static void
the_same_mail_counts_once(void **state)
{
	static const struct { const char *name, *id; int64_t at; enum pn_admitted wanted; } steps[] = {
		{ "first", "<1>", 0, PN_ADMITTED },
		{ "again, after its lease", "<1>", 2000, PN_ADMITTED },
		{ "and again", "<1>", 4000, PN_ADMITTED },
		{ "second", "<2>", 4001, PN_ADMITTED },
		{ "third", "<3>", 4002, PN_ADMITTED },
		{ "fourth", "<4>", 4003, PN_ADMITTED_LOOP },
		{ "the first comes back to a full window", "<1>", 6000, PN_ADMITTED },
		{ "it counts with its first time", "<4>", 10000, PN_ADMITTED },
		{ "so now it is new, and one too many", "<1>", 10001, PN_ADMITTED_LOOP },
	};
	struct tool *tool = *state;

	for (size_t i = 0; i < PN_COUNT(steps); i++) {
		struct pn_admission a = admission(steps[i].id, NOW_MS + steps[i].at);

		a.lease_ms = 1000;
		if (admit(tool, &a, NULL) != steps[i].wanted)
			fail_msg("%s", steps[i].name);
	}
}

static void
mails_without_id_all_count(void **state)
{
	struct tool *tool = *state;
	struct pn_admission a = admission("", NOW_MS);

	for (int i = 0; i < 3; i++)
		assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED_LOOP);
	assert_int_equal(tool_usage(tool).leases, 0);
}

static void
twins_wait_for_the_lease(void **state)
{
	static const struct { const char *name, *gateway,
	    *id; int64_t at; enum pn_admitted wanted; } steps[] = {
		{ "first", "main", "<1>", 0, PN_ADMITTED },
		{ "its twin", "main", "<1>", 0, PN_ADMITTED_TWIN },
		{ "in another gateway", "other", "<1>", 0, PN_ADMITTED },
		{ "another mail", "main", "<2>", 0, PN_ADMITTED },
		{ "still held", "main", "<1>", 59999, PN_ADMITTED_TWIN },
		{ "just over", "main", "<1>", 60000, PN_ADMITTED },
		{ "the new lease holds", "main", "<1>", 60001, PN_ADMITTED_TWIN },
		{ "the clock was set back a bit", "main", "<1>", 0, PN_ADMITTED_TWIN },
		{ "the clock was set back by hours", "main", "<1>", -7200000, PN_ADMITTED },
	};
	struct tool *tool = *state;

	for (size_t i = 0; i < PN_COUNT(steps); i++) {
		struct pn_admission a = admission(steps[i].id, NOW_MS + steps[i].at);

		a.gateway = pn_str_c(steps[i].gateway);
		a.window_count = 0;
		if (admit(tool, &a, NULL) != steps[i].wanted)
			fail_msg("%s", steps[i].name);
	}
	assert_int_equal(tool_usage(tool).leases, 3);
}

static void
sweep_at(struct tool *tool, int64_t now)
{
	size_t removed;

	tool_must(tool, pn_store_sweep(tool->store, now, 1000, &removed, &tool->err));
}

/* One mail that comes again and again; wherever an earlier one left its lease, it holds. */
static void
leases_lie_in_threads(void **state)
{
	static const struct {
		const char *name;
		const char *learned;	/* id of the thread; NULL: none */
		int64_t at;
		bool swept;		/* before it */
		enum pn_admitted wanted;
		uint64_t threads, leases;
	} steps[] = {
		{ "first", "<1>", 0, false, PN_ADMITTED, 1, 1 },
		{ "its twin", "<1>", 1, false, PN_ADMITTED_TWIN, 1, 1 },
		{ "a twin that teaches nothing", NULL, 59999, false, PN_ADMITTED_TWIN, 1, 1 },
		{ "still held after a sweep", "<1>", 59999, true, PN_ADMITTED_TWIN, 1, 1 },
		{ "over, and taken anew", "<1>", 60000, false, PN_ADMITTED, 1, 1 },
		{ "held anew", "<1>", 119999, true, PN_ADMITTED_TWIN, 1, 1 },
		{ "taken anew after a sweep", "<1>", 121000, true, PN_ADMITTED, 1, 1 },
		{ "by a mail that teaches nothing", NULL, 182000, true, PN_ADMITTED, 1, 1 },
		{ "that holds too", "<1>", 190000, false, PN_ADMITTED_TWIN, 1, 1 },
		{ "by one that teaches another thread", "<2>", 243000, true, PN_ADMITTED, 2, 1 },
		{ "that holds as well", "<1>", 243001, true, PN_ADMITTED_TWIN, 2, 1 },
		{ "both places in turn", "<1>", 303000, false, PN_ADMITTED, 2, 2 },
		{ "the older one expires", "<1>", 310000, true, PN_ADMITTED_TWIN, 2, 1 },
		{ "the clock was set back by hours", "<1>", -7200000, false, PN_ADMITTED, 2, 1 },
	};
	struct tool *tool = *state;

	for (size_t i = 0; i < PN_COUNT(steps); i++) {
		struct pn_thread thread = { .message_id = pn_str_c(steps[i].learned), .model = PN_STR("m") };
		struct pn_admission a = admission("<1>", NOW_MS + steps[i].at);
		struct pn_store_usage usage;

		a.window_count = 0;
		a.learn = steps[i].learned != NULL ? &thread : NULL;
		if (steps[i].swept)
			sweep_at(tool, a.now_ms / 1000);
		if (admit(tool, &a, NULL) != steps[i].wanted)
			fail_msg("%s", steps[i].name);
		usage = tool_usage(tool);
		if (usage.threads != steps[i].threads || usage.leases != steps[i].leases)
			fail_msg("%s: %u threads, %u leases", steps[i].name, (unsigned)usage.threads,
			    (unsigned)usage.leases);
	}
}

/* What is learned of a message meanwhile keeps its lease, and the other way round. */
static void
leases_and_learning(void **state)
{
	struct tool *tool = *state;
	struct pn_thread thread = { .message_id = PN_STR("<1@x>"), .model = PN_STR("m") };
	struct pn_admission a = admission("<1@x>", NOW_MS);

	a.learn = &thread;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);
	learn(tool, "main", "<1@x>", "m", 7, PN_THREAD_OUTBOUND, NOW + 1);
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED_TWIN);
	assert_int_equal(newest(tool, "main", "<1@x>").res_id, 7);

	learn(tool, "main", "<2@x>", "m", 8, PN_THREAD_OUTBOUND, NOW);
	a.message_id = thread.message_id = PN_STR("<2@x>");
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED_TWIN);
	assert_int_equal(newest(tool, "main", "<1@x> <2@x>").res_id, 8);
	assert_int_equal(tool_usage(tool).threads, 2);
	assert_int_equal(tool_usage(tool).leases, 2);
}

/* TWIN and LOOP change nothing: no lease, no count, no thread. */
static void
a_refusal_leaves_no_trace(void **state)
{
	const struct pn_window_key keys[] = { { PN_STR("crm.lead"), PN_STR(""), PN_STR("ann@x.org") }, joe };
	const struct pn_thread thread = { .message_id = PN_STR("<4>"), .model = PN_STR("crm.lead") };
	struct tool *tool = *state;
	struct pn_admission a;
	size_t which = 9;

	for (int i = 0; i < 3; i++) {
		a = admission("", NOW_MS);
		assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);
	}
	a = admission("<4>", NOW_MS);
	a.windows = keys;
	a.window_count = 2;
	a.learn = &thread;
	assert_int_equal(admit(tool, &a, &which), PN_ADMITTED_LOOP);
	assert_int_equal(which, 1);
	assert_int_equal(tool_usage(tool).leases, 0);
	assert_int_equal(tool_usage(tool).windows, 1);
	assert_int_equal(tool_usage(tool).threads, 0);
	a.window_count = 1;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);	/* ann's window had nothing in it */
	assert_int_equal(tool_usage(tool).leases, 1);
	assert_int_equal(tool_usage(tool).threads, 1);
	a.learn = NULL;
	a.windows = &joe;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED_TWIN);	/* asked before the full window */
}

static void
thresholds(void **state)
{
	struct tool *tool = *state;
	struct pn_admission a = admission("<1>", NOW_MS);

	a.threshold = 0;
	a.lease_ms = 0;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED_LOOP);
	a.window_count = 0;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);	/* nothing to be limited in */
	a.window_count = 1;
	a.threshold = 3;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);
	a.threshold = 1;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);	/* counted already */
	a.threshold = 0;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED_LOOP);
	a.threshold = UINT64_MAX;				/* counts as 10,000 */
	a.message_id = PN_STR_EMPTY;
	for (int i = 1; i < 10000; i++)
		if (admit(tool, &a, NULL) != PN_ADMITTED)
			fail_msg("mail %d", i);
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED_LOOP);
}

static void
windows_are_per_key(void **state)
{
	const struct { const char *name; struct pn_str gateway; struct pn_window_key key; } others[] = {
		{ "gateway", PN_STR("other"), joe },
		{ "model", main_gateway, { PN_STR("crm.team"), joe.record, joe.sender } },
		{ "record", main_gateway, { joe.model, PN_STR("7"), joe.sender } },
		{ "sender", main_gateway, { joe.model, joe.record, PN_STR("ann@x.org") } },
		{ "borders of parts", main_gateway, { PN_STR("crm.leadj"), PN_STR(""), PN_STR("oe@x.org") } },
	};
	struct tool *tool = *state;
	struct pn_admission a = admission("", NOW_MS);

	a.threshold = 1;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED_LOOP);
	for (size_t i = 0; i < PN_COUNT(others); i++) {
		a.gateway = others[i].gateway;
		a.windows = &others[i].key;
		if (admit(tool, &a, NULL) != PN_ADMITTED || admit(tool, &a, NULL) != PN_ADMITTED_LOOP)
			fail_msg("%s", others[i].name);
	}
}

static void
bad_admissions(void **state)
{
	struct tool *tool = *state;
	struct pn_admission a = admission("<1>", NOW_MS);
	enum pn_admitted out;
	size_t which;

	a.gateway = PN_STR_EMPTY;
	assert_int_equal(pn_store_admit(tool->store, &a, &out, &which, &tool->err), PN_INVALID);
	a = admission("<1>", NOW_MS);
	a.window_ms = UINT64_MAX;
	assert_int_equal(pn_store_admit(tool->store, &a, &out, &which, &tool->err), PN_INVALID);
	a = admission("<1>", -1);
	assert_int_equal(pn_store_admit(tool->store, &a, &out, &which, &tool->err), PN_INVALID);
}

static void
outside_text_of_any_length(void **state)
{
	static char text[100000];
	struct tool *tool = *state;
	struct pn_window_key key = { PN_STR("m"), pn_str_n(text, sizeof(text)), pn_str_n(text,
	    sizeof(text)) };
	struct pn_admission a = admission("", NOW_MS);
	uint64_t cleared;

	memset(text, 'y', sizeof(text));
	a.message_id = a.sender = pn_str_n(text, sizeof(text));
	a.windows = &key;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED_TWIN);
	a.message_id = pn_str_n(text, sizeof(text) - 1);
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);
	tool_must(tool, pn_window_clear(tool->store, main_gateway, key.sender, &cleared, &tool->err));
	assert_int_equal(cleared, 1);
}

struct windows {
	size_t n;
	uint64_t count;
	int64_t oldest, newest;
};

static bool
see_window(void *ctx, const struct pn_window *window)
{
	struct windows *seen = ctx;

	seen->n++;
	seen->count += window->count;
	seen->oldest = window->oldest_ms;
	seen->newest = window->newest_ms;
	assert_str(window->gateway, "main");
	assert_str(window->key.model, "crm.lead");
	return true;
}

static void
windows_are_listed_and_cleared(void **state)
{
	struct tool *tool = *state;
	struct pn_admission a = admission("", NOW_MS);
	struct pn_window_key key = joe;
	struct windows seen = { 0, 0, 0, 0 };
	uint64_t cleared;

	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);
	a.now_ms += 7;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);
	tool_must(tool, pn_window_each(tool->store, see_window, &seen, &tool->err));
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.oldest, NOW_MS);
	assert_int_equal(seen.newest, NOW_MS + 7);
	a.windows = &key;
	for (int i = 0; i < 1000; i++) {
		key.sender = pn_arena_printf(tool->arena, "s%d@x.org", i);
		(void)admit(tool, &a, NULL);
	}
	tool_must(tool, pn_window_clear(tool->store, PN_STR("other"), PN_STR(""), &cleared, &tool->err));
	assert_int_equal(cleared, 0);
	tool_must(tool, pn_window_clear(tool->store, PN_STR(""), joe.sender, &cleared, &tool->err));
	assert_int_equal(cleared, 1);
	tool_must(tool, pn_window_clear(tool->store, main_gateway, PN_STR(""), &cleared, &tool->err));
	assert_int_equal(cleared, 1000);
	assert_int_equal(tool_usage(tool).windows, 0);
	a.windows = &joe;
	a.threshold = 1;
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED);
}

/* -- expiry and bounds -- */

static size_t
sweep(struct tool *tool, int64_t now, size_t most)
{
	size_t removed;

	tool_must(tool, pn_store_sweep(tool->store, now, most, &removed, &tool->err));
	return removed;
}

static void
reopen_with(struct tool *tool, const struct pn_store_options *options)
{
	tool_close(tool);
	tool->options = *options;
	tool->options.clock_step = 1000000000;
	tool->options.directory_map_size = tool->options.state_map_size = 1 << 28;
	tool_open(tool);
}

static void
expired_records_go(void **state)
{
	struct tool *tool = *state;
	struct pn_admission a = admission("<1>", NOW_MS);
	struct pn_bounce_event event = { .gateway = main_gateway, .time = NOW };

	reopen_with(tool, &(struct pn_store_options){ .thread_lifetime = 1000, .bounce_lifetime = 500 });
	learn(tool, "main", "<1>", "m", 1, PN_THREAD_OUTBOUND, NOW);
	tool_must(tool, pn_bounce_add(tool->store, &event, &tool->err));
	(void)admit(tool, &a, NULL);	/* a lease of 60 s, a window of 10 s */
	assert_int_equal(sweep(tool, NOW + 9, 100), 0);
	assert_int_equal(sweep(tool, NOW + 10, 100), 1);
	assert_int_equal(tool_usage(tool).windows, 0);
	assert_int_equal(sweep(tool, NOW + 59, 100), 0);
	assert_int_equal(sweep(tool, NOW + 60, 100), 1);
	assert_int_equal(tool_usage(tool).leases, 0);
	assert_int_equal(sweep(tool, NOW + 499, 100), 0);
	assert_int_equal(sweep(tool, NOW + 500, 100), 1);
	assert_int_equal(tool_usage(tool).bounces, 0);
	assert_int_equal(sweep(tool, NOW + 999, 100), 0);
	assert_int_equal(sweep(tool, NOW + 1000, 100), 1);
	assert_int_equal(tool_usage(tool).threads, 0);
	assert_int_equal(sweep(tool, NOW + 100000, 100), 0);
}

static void
refreshed_records_stay(void **state)
{
	struct tool *tool = *state;
	struct pn_admission a = admission("<1>", NOW_MS);

	reopen_with(tool, &(struct pn_store_options){ .thread_lifetime = 1000 });
	learn(tool, "main", "<1>", "m", 1, PN_THREAD_OUTBOUND, NOW);
	learn(tool, "main", "<1>", "m", 1, PN_THREAD_OUTBOUND, NOW + 600);
	(void)admit(tool, &a, NULL);
	a = admission("<2>", NOW_MS + 9000);
	(void)admit(tool, &a, NULL);
	(void)sweep(tool, NOW + 11, 100);
	assert_int_equal(tool_usage(tool).windows, 1);	/* the second mail is in it till 19 */
	(void)sweep(tool, NOW + 19, 100);
	assert_int_equal(tool_usage(tool).windows, 0);
	(void)sweep(tool, NOW + 1599, 100);
	assert_int_equal(tool_usage(tool).threads, 1);
	(void)sweep(tool, NOW + 1600, 100);
	assert_int_equal(tool_usage(tool).threads, 0);
}

/* Threads that were filed as held till their lease ended expire as all others. */
static void
threads_outlive_their_lease(void **state)
{
	struct tool *tool = *state;
	struct pn_thread thread = { .message_id = PN_STR("<1>"), .model = PN_STR("m") };
	struct pn_admission a = admission("<1>", NOW_MS);

	reopen_with(tool, &(struct pn_store_options){ .thread_lifetime = 1000 });
	a.learn = &thread;
	a.window_count = 0;
	(void)admit(tool, &a, NULL);
	assert_int_equal(sweep(tool, NOW + 59, 100), 0);
	assert_int_equal(tool_usage(tool).leases, 1);
	assert_int_equal(sweep(tool, NOW + 60, 100), 1);
	assert_int_equal(tool_usage(tool).leases, 0);
	assert_int_equal(sweep(tool, NOW + 999, 100), 0);
	assert_str(newest(tool, "main", "<1>").message_id, "<1>");
	assert_int_equal(sweep(tool, NOW + 1000, 100), 1);
	assert_int_equal(tool_usage(tool).threads, 0);
	a.now_ms += 2000000;
	(void)admit(tool, &a, NULL);
	assert_int_equal(sweep(tool, NOW + 4000, 100), 2);	/* after a pause, both at once */
	assert_int_equal(tool_usage(tool).threads, 0);
	assert_int_equal(tool_usage(tool).leases, 0);
}

/* More threads within a lease than there is room for: the oldest go, their leases hold. */
static void
leases_outlive_their_thread(void **state)
{
	enum { LIMIT = 10, N = 40 };
	struct tool *tool = *state;
	char id[32];

	reopen_with(tool, &(struct pn_store_options){ .thread_limit = LIMIT });
	for (int asked = 0; asked < 2; asked++) {
		for (int i = 0; i < N; i++) {
			struct pn_thread thread = { .model = PN_STR("m") };
			struct pn_admission a = admission("", NOW_MS + i);

			(void)snprintf(id, sizeof(id), "<%d>", i);
			a.message_id = thread.message_id = pn_str_c(id);
			a.learn = &thread;
			a.window_count = 0;
			if (admit(tool, &a, NULL) != (asked ? PN_ADMITTED_TWIN : PN_ADMITTED))
				fail_msg("mail %d, asked for the %dth time", i, asked + 1);
		}
		assert_int_equal(tool_usage(tool).threads, LIMIT);
		assert_int_equal(tool_usage(tool).leases, N);
	}
	assert_str(newest(tool, "main", "<29>").message_id, "");
	assert_str(newest(tool, "main", "<30>").message_id, "<30>");
	while (sweep(tool, NOW + 61, 7) == 7)
		continue;
	assert_int_equal(tool_usage(tool).threads, LIMIT);
	assert_int_equal(tool_usage(tool).leases, 0);
	reopen_with(tool, &(struct pn_store_options){ .thread_limit = 3 });
	while (sweep(tool, NOW + 61, 3) == 3)
		continue;
	assert_int_equal(tool_usage(tool).threads, 3);
	assert_str(newest(tool, "main", "<36>").message_id, "");
	assert_str(newest(tool, "main", "<37>").message_id, "<37>");
}

/* A window cleared and made anew is filed anew: the old entry must not take it along. */
static void
old_index_entries_harm_nobody(void **state)
{
	struct tool *tool = *state;
	struct pn_admission a = admission("", NOW_MS);
	uint64_t cleared;

	(void)admit(tool, &a, NULL);
	tool_must(tool, pn_window_clear(tool->store, PN_STR(""), PN_STR(""), &cleared, &tool->err));
	a.now_ms += 5000;
	(void)admit(tool, &a, NULL);
	(void)sweep(tool, NOW + 14, 100);
	assert_int_equal(tool_usage(tool).windows, 1);
	(void)sweep(tool, NOW + 15, 100);
	assert_int_equal(tool_usage(tool).windows, 0);
	assert_int_equal(sweep(tool, NOW + 1000, 100), 0);
}

/* -- the sweeper and a wrong clock -- */

#define DAYS ((int64_t)86400)

static void
sweep_often(struct tool *tool, int64_t now, int64_t times)
{
	while (times-- > 0)
		(void)sweep(tool, now, 100);
}

static bool
is_there(struct tool *tool, const char *id)
{
	return newest(tool, "main", id).message_id.n > 0;
}

static void
a_wrong_clock_forgets_nothing(void **state)
{
	const struct pn_bounce_event bounce = { .gateway = main_gateway, .time = NOW };
	const struct pn_limit limit = { .most = 10, .window_ms = 1000 };
	const struct pn_charge charge = { .relay = PN_STR("a"), .limits = &limit, .limit_count = 1, .recipients = 1,
		.now_ms = NOW_MS };
	struct pn_charge_result charged;
	struct tool *tool = *state;

	tool_close(tool);
	tool->options.clock_step = 0;
	tool_open(tool);
	learn(tool, "main", "<1@x>", "m", 1, PN_THREAD_OUTBOUND, NOW);
	tool_must(tool, pn_bounce_add(tool->store, &bounce, &tool->err));
	tool_must(tool, pn_quota_charge(tool->store, &charge, &charged, &tool->err));
	sweep_often(tool, NOW + 500 * DAYS, 100);	/* the first time that the sweeper sees */
	tool_close(tool);
	tool_open(tool);				/* starting again does not help it */
	sweep_often(tool, NOW + 500 * DAYS, 100);
	sweep_often(tool, 0, 100);
	assert_true(is_there(tool, "<1@x>"));
	assert_int_equal(tool_usage(tool).bounces, 1);
	assert_int_equal(tool_usage(tool).charges, 1);
	tool_close(tool);
	tool->options.clock_step = DAYS;
	tool_open(tool);
	sweep_often(tool, NOW + 399 * DAYS, 450);	/* the programs stood still for a year */
	assert_true(is_there(tool, "<1@x>"));
	assert_int_equal(tool_usage(tool).bounces, 0);
	assert_int_equal(tool_usage(tool).charges, 0);
	sweep_often(tool, NOW + 400 * DAYS - 1, 3);
	assert_true(is_there(tool, "<1@x>"));
	sweep_often(tool, NOW + 400 * DAYS, 1);		/* to the second, where the clocks agree */
	assert_false(is_there(tool, "<1@x>"));
}

static void
sweeping_goes_in_steps(void **state)
{
	struct tool *tool = *state;

	for (int i = 0; i < 25; i++) {
		struct pn_admission a = admission("", NOW_MS);

		a.message_id = pn_arena_printf(tool->arena, "<%d>", i);
		a.window_count = 0;
		(void)admit(tool, &a, NULL);
	}
	assert_int_equal(sweep(tool, NOW + 1000, 10), 10);
	assert_int_equal(tool_usage(tool).leases, 15);
	assert_int_equal(sweep(tool, NOW + 1000, 10), 10);
	assert_int_equal(sweep(tool, NOW + 1000, 10), 5);
	assert_int_equal(tool_usage(tool).leases, 0);
}

static void
the_oldest_give_way(void **state)
{
	struct tool *tool = *state;
	struct pn_bounce_event event = { .gateway = main_gateway };
	char id[32];

	reopen_with(tool, &(struct pn_store_options){ .thread_limit = 10, .window_limit = 10,
	    .bounce_limit = 10 });
	for (int i = 0; i < 40; i++) {
		struct pn_admission a = admission("", NOW_MS + i);
		struct pn_window_key key = joe;

		(void)snprintf(id, sizeof(id), "<%d>", i);
		learn(tool, "main", id, "m", 1, PN_THREAD_OUTBOUND, NOW + i);
		learn(tool, "main", "<0>", "m", 1, PN_THREAD_OUTBOUND,
		    NOW + i);	/* seen again and again */
		key.sender = pn_str_c(id);
		a.windows = &key;
		(void)admit(tool, &a, NULL);
		event.time = NOW + i;
		tool_must(tool, pn_bounce_add(tool->store, &event, &tool->err));
	}
	assert_int_equal(tool_usage(tool).threads, 10);
	assert_int_equal(tool_usage(tool).windows, 10);
	assert_int_equal(tool_usage(tool).bounces, 10);
	assert_str(newest(tool, "main", "<0>").message_id, "<0>");
	assert_str(newest(tool, "main", "<39>").message_id, "<39>");
	assert_str(newest(tool, "main", "<31>").message_id, "<31>");
	assert_str(newest(tool, "main", "<30>").message_id, "");
	reopen_with(tool, &(struct pn_store_options){ .thread_limit = 3, .window_limit = 4,
	    .bounce_limit = 5 });
	while (sweep(tool, NOW, 3) == 3)
		continue;
	assert_int_equal(tool_usage(tool).threads, 3);
	assert_int_equal(tool_usage(tool).windows, 4);
	assert_int_equal(tool_usage(tool).bounces, 5);
	assert_str(newest(tool, "main", "<0>").message_id, "<0>");
	assert_str(newest(tool, "main", "<37>").message_id, "");
}

/* -- bounces, counters -- */

struct texts {
	char text[2048];
	size_t stop_at, n;
};

static bool
see_bounce(void *ctx, const struct pn_bounce_event *event)
{
	struct texts *seen = ctx;

	(void)snprintf(seen->text + strlen(seen->text), sizeof(seen->text) - strlen(seen->text),
	    PN_STR_FMT "|" PN_STR_FMT "|" PN_STR_FMT "|" PN_STR_FMT "|" PN_STR_FMT "|%u|%d ",
	    PN_STR_ARG(event->recipient), PN_STR_ARG(event->message_id), PN_STR_ARG(event->status),
	    PN_STR_ARG(event->reason), PN_STR_ARG(event->model), (unsigned)event->res_id,
	    (int)(event->time - NOW));
	return ++seen->n != seen->stop_at;
}

static void
bounces_newest_first(void **state)
{
	struct tool *tool = *state;
	struct pn_bounce_event events[] = {
		{ main_gateway, PN_STR("a@x"), PN_STR("<1>"), PN_STR("5.1.1"), PN_STR("gone"), PN_STR("m"), 7,
		    NOW },
		{ main_gateway, PN_STR("b@x"), PN_STR(""), PN_STR(""), PN_STR(""), PN_STR(""), 0, NOW + 5 },
		{ PN_STR("other"), PN_STR("c@x"), PN_STR(""), PN_STR(""), PN_STR(""), PN_STR(""), 0,
		    NOW + 3 },
		{ main_gateway, PN_STR("d@x"), PN_STR(""), PN_STR(""), PN_STR(""), PN_STR(""), 0, NOW + 5 },
	};
	struct texts seen = { .text = "" };

	for (size_t i = 0; i < PN_COUNT(events); i++)
		tool_must(tool, pn_bounce_add(tool->store, &events[i], &tool->err));
	tool_must(tool, pn_bounce_each(tool->store, main_gateway, see_bounce, &seen, &tool->err));
	assert_string_equal(seen.text, "d@x|||||0|5 b@x|||||0|5 a@x|<1>|5.1.1|gone|m|7|0 ");
	seen = (struct texts){ .stop_at = 1 };
	tool_must(tool, pn_bounce_each(tool->store, PN_STR(""), see_bounce, &seen, &tool->err));
	assert_int_equal(seen.n, 1);
	events[0].gateway = PN_STR_EMPTY;
	assert_int_equal(pn_bounce_add(tool->store, &events[0], &tool->err), PN_INVALID);
	for (int i = 0; i < 700; i++)
		tool_must(tool, pn_bounce_add(tool->store, &events[1], &tool->err));
	seen = (struct texts){ .n = 0 };
	tool_must(tool, pn_bounce_each(tool->store, PN_STR(""), see_bounce, &seen, &tool->err));
	assert_int_equal(seen.n, 704);
}

static bool
see_counter(void *ctx, const struct pn_counter *counter)
{
	struct texts *seen = ctx;

	(void)snprintf(seen->text + strlen(seen->text), sizeof(seen->text) - strlen(seen->text),
	    PN_STR_FMT "=%u ",
	    PN_STR_ARG(counter->name), (unsigned)counter->value);
	return true;
}

static void
counters_add_up(void **state)
{
	struct tool *tool = *state;
	const struct pn_counter counters[] = { { PN_STR("mail"), 3 }, { PN_STR("loop"), 1 }, { PN_STR("mail"),
	    4 } };
	const struct pn_counter nameless = { PN_STR(""), 1 };
	struct texts seen = { .text = "" };

	tool_must(tool, pn_counters_add(tool->store, counters, 3, &tool->err));
	tool_must(tool, pn_counters_add(tool->store, counters, 2, &tool->err));
	tool_must(tool, pn_counters_add(tool->store, NULL, 0, &tool->err));
	tool_must(tool, pn_counters_each(tool->store, see_counter, &seen, &tool->err));
	assert_string_equal(seen.text, "loop=2 mail=10 ");
	assert_int_equal(pn_counters_add(tool->store, &nameless, 1, &tool->err), PN_INVALID);
}

static void
counters_are_bounded(void **state)
{
	enum { N = 4097 };
	struct tool *tool = *state;
	struct pn_counter *counters = PN_ARENA_ARRAY(tool->arena, struct pn_counter, N);

	for (size_t i = 0; i < N; i++)
		counters[i] = (struct pn_counter){ pn_arena_printf(tool->arena, "%zu", i), 1 };
	tool_must(tool, pn_counters_add(tool->store, counters, N - 1, &tool->err));
	assert_int_equal(pn_counters_add(tool->store, counters + N - 1, 1, &tool->err), PN_INVALID);
	tool_must(tool, pn_counters_add(tool->store, counters, 5, &tool->err));
}

static void
usage_and_reopening(void **state)
{
	struct tool *tool = *state;
	struct pn_admission a = admission("<1>", NOW_MS);
	struct pn_store_usage usage;

	(void)admit(tool, &a, NULL);
	learn(tool, "main", "<1>", "m", 1, PN_THREAD_OUTBOUND, NOW);
	tool_must(tool, pn_store_sync(tool->store, &tool->err));
	tool_close(tool);
	tool_open(tool);
	usage = tool_usage(tool);
	assert_int_equal(usage.threads, 1);
	assert_int_equal(usage.leases, 1);
	assert_int_equal(usage.windows, 1);
	assert_int_equal(usage.state_map, 1 << 28);
	assert_true(usage.state_bytes > 0 && usage.state_bytes < 1 << 20);
	assert_int_equal(admit(tool, &a, NULL), PN_ADMITTED_TWIN);
	assert_str(newest(tool, "main", "<1>").model, "m");
	pn_store_close(NULL);
}

#define WITH_STORE(f) cmocka_unit_test_setup_teardown(f, tool_setup, tool_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(the_newest_thread_wins),
		WITH_STORE(what_is_known_of_a_thread_improves),
		WITH_STORE(threads_in_bulk),
		WITH_STORE(endless_ids_are_not_learned),
		WITH_STORE(windows_are_exact),
		WITH_STORE(a_clock_set_back_is_no_loop),
		WITH_STORE(the_same_mail_counts_once),
		WITH_STORE(mails_without_id_all_count),
		WITH_STORE(twins_wait_for_the_lease),
		WITH_STORE(leases_lie_in_threads),
		WITH_STORE(leases_and_learning),
		WITH_STORE(a_refusal_leaves_no_trace),
		WITH_STORE(thresholds),
		WITH_STORE(windows_are_per_key),
		WITH_STORE(bad_admissions),
		WITH_STORE(outside_text_of_any_length),
		WITH_STORE(windows_are_listed_and_cleared),
		WITH_STORE(expired_records_go),
		WITH_STORE(refreshed_records_stay),
		WITH_STORE(threads_outlive_their_lease),
		WITH_STORE(leases_outlive_their_thread),
		WITH_STORE(old_index_entries_harm_nobody),
		WITH_STORE(a_wrong_clock_forgets_nothing),
		WITH_STORE(sweeping_goes_in_steps),
		WITH_STORE(the_oldest_give_way),
		WITH_STORE(bounces_newest_first),
		WITH_STORE(counters_add_up),
		WITH_STORE(counters_are_bounded),
		WITH_STORE(usage_and_reopening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
