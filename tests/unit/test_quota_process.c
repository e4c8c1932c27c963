/* Charges by several processes and threads at once, and by some that are killed. */
#include "store_tool.h"

#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include "postern/quota.h"

#define NOW_MS ((int64_t)1700000000 * 1000)

#ifdef PN_SAN
enum { KILLS = 40 };
#else
enum { KILLS = 150 };
#endif

enum { PROCESSES = 2, MAILS = 100, LIMIT = 2001, COUNTED = 0, SHARED = 1 };

static const struct pn_limit limits[] = { { LIMIT, 86400000, false }, { UINT32_MAX, 60000, false } };

static struct pn_charge
charge_of(uint64_t recipients, int64_t now_ms)
{
	return (struct pn_charge){ .relay = PN_STR("a"), .limits = limits, .limit_count = PN_COUNT(limits),
		.recipients = recipients, .now_ms = now_ms };
}

/* -- races -- */

/* Every thread charges mails of its own, and all charge one and the same. */
static void *
charge_mails(void *ctx)
{
	const struct tool_race *race = ctx;
	struct pn_charge_result result;
	struct pn_charge charge;

	for (uint64_t i = 0; i < MAILS; i++) {
		charge = charge_of(1 + i % 3, NOW_MS + (int64_t)i * 10);
		if (pn_quota_charge(race->store, &charge, &result, NULL) != PN_OK)
			_exit(3);
		if (result.answer == PN_CHARGED)
			(void)__atomic_add_fetch(&race->counts[COUNTED], charge.recipients, __ATOMIC_SEQ_CST);
	}
	charge = charge_of(1, NOW_MS + MAILS * 10);
	charge.relay = PN_STR("b");
	charge.mail = pn_mail_key(PN_STR("<1@x>"), PN_STR("me@x"), (struct pn_strs){ NULL, 0 });
	charge.queue_id = PN_STR("Q1");
	if (pn_quota_charge(race->store, &charge, &result, NULL) != PN_OK)
		_exit(3);
	if (result.answer == PN_CHARGED)
		(void)__atomic_add_fetch(&race->counts[SHARED], 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void
usage_of(struct tool *tool, struct pn_quota_use use[PN_RELAY_LIMITS_MAX], int64_t now_ms)
{
	const struct pn_relay relay = { .name = PN_STR("a"), .limits = { limits[0], limits[1] },
	    .limit_count = 2 };

	tool_must(tool, pn_quota_usage(tool->store, &relay, now_ms, use, &tool->err));
}

static void
nobody_exceeds_a_limit(void **state)
{
	struct tool *tool = tool_new();
	struct pn_quota_use use[PN_RELAY_LIMITS_MAX];
	uint64_t counts[2];

	(void)state;
	tool_race(tool, charge_mails, PROCESSES, counts);
	tool_open(tool);
	usage_of(tool, use, NOW_MS + MAILS * 10);
	assert_int_equal(counts[COUNTED], LIMIT);
	assert_int_equal(counts[SHARED], 1);
	assert_int_equal(use[0].used, LIMIT);
	assert_int_equal(use[1].used, LIMIT);
	tool_free(tool);
}

/* -- kill -9 -- */

static void
charge_until_killed(struct tool *tool, uint64_t first, int report)
{
	struct pn_store *store;

	if (pn_store_open(&tool->options, &store, NULL) != PN_OK)
		_exit(2);
	for (uint64_t n = first;; n++) {
		char id[32];
		struct pn_charge charge = charge_of(1, NOW_MS + (int64_t)n / 8);
		struct pn_charge_result result;

		charge.limits++;	/* the one that is never used up */
		charge.limit_count = 1;
		charge.queue_id = pn_str_n(id, (size_t)snprintf(id, sizeof(id), "Q%llu",
		    (unsigned long long)n));
		if (pn_quota_charge(store, &charge, &result, NULL) != PN_OK || result.answer != PN_CHARGED)
			_exit(3);
		if (write(report, &n, sizeof(n)) != sizeof(n))
			_exit(5);
	}
}

static uint64_t
last_reported(int report, uint64_t last)
{
	uint64_t numbers[1024];
	ssize_t got;

	while ((got = read(report, numbers, sizeof(numbers))) > 0)
		last = numbers[got / (ssize_t)sizeof(numbers[0]) - 1];
	return last;
}

static void
what_was_charged_survives_kill_9(void **state)
{
	struct tool *tool = tool_new();
	uint64_t last = 0;
	unsigned seed = 99;

	(void)state;
	tool->options.path = tool->path;
	for (int i = 0; i < KILLS; i++) {
		struct timespec pause = { 0, 200000 + (long)(rand_r(&seed) % 12000) * 1000 };
		struct pn_quota_use use[PN_RELAY_LIMITS_MAX];
		int report[2], status;
		pid_t child;

		assert_int_equal(pipe(report), 0);
		(void)fcntl(report[1], F_SETPIPE_SZ, 1 << 20);
		child = fork();
		if (child == 0) {
			(void)close(report[0]);
			charge_until_killed(tool, last + 1, report[1]);
		}
		(void)close(report[1]);
		(void)nanosleep(&pause, NULL);
		(void)kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFSIGNALED(status))
			fail_msg("kill %d: it ended by itself: 0x%x", i, (unsigned)status);
		last = last_reported(report[0], last);
		(void)close(report[0]);

		tool_open(tool);
		usage_of(tool, use, NOW_MS + (int64_t)last / 8);
		if (use[0].used < last || use[0].used > last + 1 || use[1].used != use[0].used)
			fail_msg("kill %d: %llu were reported, %llu and %llu are counted", i,
			    (unsigned long long)last,
			    (unsigned long long)use[0].used, (unsigned long long)use[1].used);
		last = use[0].used;
		tool_close(tool);
	}
	assert_true(last > (uint64_t)KILLS);
	print_message("    %d kills, %llu charges, none lost\n", KILLS, (unsigned long long)last);
	tool_free(tool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_exceeds_a_limit),
		cmocka_unit_test(what_was_charged_survives_kill_9),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
