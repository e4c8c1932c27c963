/* Groups: many charges in one transaction, all of them or none. */
#include "store_tool.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "postern/quota.h"

#define NOW_MS ((int64_t)1700000000 * 1000)
#define MINUTE ((int64_t)60000)

#ifdef PN_SAN
enum { KILLS = 20 };
#else
enum { KILLS = 60 };
#endif

enum { GROUP = 8 };

/* Charges one recipient of a mail of its own. */
static enum pn_status
charge(struct tool *tool, const struct pn_limit *limit, uint64_t number, int64_t now_ms,
    struct pn_charge_result *out)
{
	char id[32];
	const struct pn_charge c = { .relay = PN_STR("a"), .limits = limit, .limit_count = 1, .recipients = 1,
		.queue_id = pn_str_n(id, (size_t)snprintf(id, sizeof(id), "Q%llu", (unsigned long long)number)),
		.now_ms = now_ms };

	return pn_quota_charge(tool->store, &c, out, &tool->err);
}

static enum pn_charged
charged(struct tool *tool, const struct pn_limit *limit, uint64_t number, int64_t now_ms)
{
	struct pn_charge_result result;

	tool_must(tool, charge(tool, limit, number, now_ms, &result));
	return result.answer;
}

static uint64_t
used(struct tool *tool, const struct pn_limit *limit, int64_t now_ms)
{
	const struct pn_relay relay = { .name = PN_STR("a"), .limits = { *limit }, .limit_count = 1 };
	struct pn_quota_use use[PN_RELAY_LIMITS_MAX];

	tool_must(tool, pn_quota_usage(tool->store, &relay, now_ms, use, &tool->err));
	return use[0].used;
}

static const struct pn_limit per_minute = { UINT32_MAX, MINUTE, false };

static void
each_sees_those_before(void **state)
{
	static const struct pn_limit three = { 3, MINUTE, false };
	static const struct {
		const char *name;
		uint64_t mail;
		enum pn_charged answer;
	} cases[] = {
		{ "the first", 1, PN_CHARGED }, { "another", 2, PN_CHARGED },
		{ "the first again", 1, PN_CHARGED_BEFORE }, { "the last that fits", 3, PN_CHARGED },
		{ "one too many", 4, PN_CHARGED_SPENT }, { "which was counted", 2, PN_CHARGED_BEFORE },
		{ "refused again", 4, PN_CHARGED_SPENT },
	};
	struct tool *tool = *state;

	/* a group that is given up, then the same one kept */
	for (int keep = 0; keep <= 1; keep++) {
		pn_quota_group_begin(tool->store);
		for (size_t i = 0; i < PN_COUNT(cases); i++)
			if (charged(tool, &three, cases[i].mail, NOW_MS) != cases[i].answer)
				fail_msg("%s, keep %d", cases[i].name, keep);
		assert_int_equal(used(tool, &three, NOW_MS), 3);
		tool_must(tool, pn_quota_group_end(tool->store, keep, &tool->err));
		assert_int_equal(used(tool, &three, NOW_MS), keep ? 3 : 0);
	}
	assert_int_equal(charged(tool, &three, 4, NOW_MS), PN_CHARGED_SPENT);
	assert_int_equal(charged(tool, &three, 1, NOW_MS), PN_CHARGED_BEFORE);
}

static void
without_a_change_nothing_is_written(void **state)
{
	struct tool *tool = *state;

	pn_quota_group_begin(tool->store);
	tool_must(tool, pn_quota_group_end(tool->store, true, &tool->err));
	pn_quota_group_begin(tool->store);
	assert_int_equal(used(tool, &per_minute, NOW_MS), 0);
	tool_must(tool, pn_quota_group_end(tool->store, true, &tool->err));
	assert_int_equal(tool_usage(tool).charges, 0);
}

/* Those before the failure are gone with it; alone each gets an answer. */
static void
a_full_state_undoes_the_group(void **state)
{
	struct tool *tool = tool_new();
	struct pn_charge_result result;
	uint64_t groups = 0, n = 0;
	enum pn_status st = PN_OK;

	(void)state;
	tool->options.state_map_size = 1 << 20;
	tool_open(tool);
	while (st == PN_OK) {
		pn_quota_group_begin(tool->store);
		for (int i = 0; i < GROUP && st == PN_OK; i++)
			st = charge(tool, &per_minute, n++, NOW_MS, &result);
		if (st == PN_OK) {
			tool_must(tool, pn_quota_group_end(tool->store, true, &tool->err));
			groups++;
		}
		assert_true(groups < 100000);
	}
	assert_int_equal(st, PN_TEMPFAIL);
	/* no matter what it is asked for: the group has failed */
	assert_int_equal(charge(tool, &per_minute, 0, NOW_MS, &result), PN_TEMPFAIL);
	assert_int_equal(pn_quota_group_end(tool->store, true, &tool->err), PN_TEMPFAIL);
	assert_true(groups > 10);
	assert_int_equal(used(tool, &per_minute, NOW_MS), groups * GROUP);
	assert_int_equal(charged(tool, &per_minute, 0, NOW_MS), PN_CHARGED_BEFORE);
	tool_free(tool);
}

/* After a pause with many charges to pass the lock is not kept for all of them. */
static void
what_takes_long_is_done_alone(void **state)
{
	struct tool *tool = *state;
	struct pn_charge_result result;
	uint64_t n;

	pn_quota_group_begin(tool->store);
	for (n = 0; n < 5000; n++)
		assert_int_equal(charged(tool, &per_minute, n, NOW_MS + (int64_t)n), PN_CHARGED);
	tool_must(tool, pn_quota_group_end(tool->store, true, &tool->err));
	pn_quota_group_begin(tool->store);
	assert_int_equal(charge(tool, &per_minute, n, NOW_MS + 2 * MINUTE, &result), PN_TEMPFAIL);
	assert_int_equal(pn_quota_group_end(tool->store, true, &tool->err), PN_TEMPFAIL);
	assert_int_equal(charged(tool, &per_minute, n, NOW_MS + 2 * MINUTE), PN_CHARGED);
	pn_quota_group_begin(tool->store);
	assert_int_equal(charged(tool, &per_minute, n + 1, NOW_MS + 2 * MINUTE), PN_CHARGED);
	tool_must(tool, pn_quota_group_end(tool->store, true, &tool->err));
	assert_int_equal(used(tool, &per_minute, NOW_MS + 2 * MINUTE), 2);
}

/* -- kill -9 -- */

static void
charge_until_killed(struct tool *tool, uint64_t first, int report)
{
	if (pn_store_open(&tool->options, &tool->store, NULL) != PN_OK)
		_exit(2);
	for (uint64_t n = first;;) {
		struct pn_charge_result result;

		pn_quota_group_begin(tool->store);
		for (uint64_t last = n + GROUP; n < last; n++)
			if (charge(tool, &per_minute, n, NOW_MS, &result) != PN_OK || result.answer != PN_CHARGED)
				_exit(3);
		if (pn_quota_group_end(tool->store, true, NULL) != PN_OK)
			_exit(4);
		if (pwrite(report, &n, sizeof(n), 0) != sizeof(n))
			_exit(5);
	}
}

static void
kill_9_leaves_all_or_nothing(void **state)
{
	struct tool *tool = tool_new();
	uint64_t counted = 0;
	unsigned seed = 7;

	(void)state;
	tool->options.path = tool->path;
	for (int i = 0; i < KILLS; i++) {
		struct timespec pause = { 0, 100000000 + (long)(rand_r(&seed) % 10000) * 1000 };
		FILE *report = tmpfile();
		uint64_t reported = counted;
		int status;
		pid_t child = fork();

		if (child == 0)
			charge_until_killed(tool, counted, fileno(report));
		(void)nanosleep(&pause, NULL);
		(void)kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFSIGNALED(status))
			fail_msg("kill %d: it ended by itself: 0x%x", i, (unsigned)status);
		assert_true(pread(fileno(report), &reported, sizeof(reported), 0) >= 0);
		(void)fclose(report);

		tool_open(tool);
		counted = used(tool, &per_minute, NOW_MS);
		tool_close(tool);
		if (counted % GROUP != 0 || counted < reported || counted > reported + GROUP)
			fail_msg("kill %d: %llu were reported, %llu are counted", i,
			    (unsigned long long)reported, (unsigned long long)counted);
	}
	assert_true(counted > (uint64_t)KILLS);
	print_message("    %d kills, %llu charges, none lost\n", KILLS, (unsigned long long)counted);
	tool_free(tool);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, tool_setup, tool_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(each_sees_those_before),
		WITH_STORE(without_a_change_nothing_is_written),
		cmocka_unit_test(a_full_state_undoes_the_group),
		WITH_STORE(what_takes_long_is_done_alone),
		cmocka_unit_test(kill_9_leaves_all_or_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
