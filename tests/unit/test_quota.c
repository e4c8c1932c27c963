/* What relays have sent: windows, the same mail, deliveries, health, the port. */
#include "store_tool.h"

#include <lmdb.h>

#include "postern/quota.h"

#define NOW 1700000000
#define NOW_MS ((int64_t)NOW * 1000)		/* 20 s after a full minute */
#define MINUTE ((int64_t)60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static const struct pn_limit per_day = { 500, DAY, false };

static struct pn_mail_key
key_of(const char *id)
{
	struct pn_str rcpt = PN_STR("joe@x.org");

	return pn_mail_key(pn_str_c(id), PN_STR("me@example.com"), (struct pn_strs){ &rcpt, 1 });
}

static struct pn_charge_result
charge_with(struct tool *tool, const char *relay, const struct pn_limit *limits, size_t n,
    uint64_t recipients,
    int64_t now_ms, bool look_only)
{
	const struct pn_charge charge = { .relay = pn_str_c(relay), .limits = limits, .limit_count = n,
		.recipients = recipients, .now_ms = now_ms, .look_only = look_only };
	struct pn_charge_result result;

	tool_must(tool, pn_quota_charge(tool->store, &charge, &result, &tool->err));
	return result;
}

static uint64_t
used(struct tool *tool, const char *relay, struct pn_limit limit, int64_t now_ms)
{
	const struct pn_relay r = { .name = pn_str_c(relay), .limits = { limit }, .limit_count = 1 };
	struct pn_quota_use use[PN_RELAY_LIMITS_MAX];

	tool_must(tool, pn_quota_usage(tool->store, &r, now_ms, use, &tool->err));
	assert_int_equal(use[0].most, limit.most);
	return use[0].used;
}

static int64_t
opens(struct tool *tool, const char *relay, struct pn_limit limit, int64_t now_ms)
{
	const struct pn_relay r = { .name = pn_str_c(relay), .limits = { limit }, .limit_count = 1 };
	struct pn_quota_use use[PN_RELAY_LIMITS_MAX];

	tool_must(tool, pn_quota_usage(tool->store, &r, now_ms, use, &tool->err));
	return use[0].opens_ms;
}

static size_t
sweep(struct tool *tool, int64_t now, size_t most)
{
	size_t removed;

	tool_must(tool, pn_store_sweep(tool->store, now, most, &removed, &tool->err));
	return removed;
}

/* -- windows -- */

static void
windows_are_exact(void **state)
{
	static const struct pn_limit limits[] = { { 10, MINUTE, false }, { 25, HOUR, false }, { 8, 0,
	    false } };
	static const struct {
		const char *name;
		int64_t at;
		uint64_t recipients;
		enum pn_charged answer;
		size_t which;
		int64_t opens;	/* after NOW_MS */
	} cases[] = {
		{ "more than one message may have", 0, 9, PN_CHARGED_SPENT, 2, -NOW_MS },
		{ "as many as it may have", 0, 8, PN_CHARGED, 0, 0 },
		{ "nobody", 0, 0, PN_CHARGED, 0, 0 },
		{ "too many for the minute", 1000, 3, PN_CHARGED_SPENT, 0, MINUTE },
		{ "up to the limit", 1000, 2, PN_CHARGED, 0, 0 },
		{ "none is left", 59999, 1, PN_CHARGED_SPENT, 0, MINUTE },
		{ "as many as left", 60000, 8, PN_CHARGED, 0, 0 },
		{ "two leave a second later", 60000, 1, PN_CHARGED_SPENT, 0, 61000 },
		{ "and fit", 61000, 2, PN_CHARGED, 0, 0 },
		{ "three need both of the first", 119999, 3, PN_CHARGED_SPENT, 0, 120000 },
		{ "up to the hour's limit", 121000, 5, PN_CHARGED, 0, 0 },
		{ "the hour opens later than the minute", 122000, 6, PN_CHARGED_SPENT, 1, HOUR },
		{ "a millisecond before", HOUR - 1, 1, PN_CHARGED_SPENT, 1, HOUR },
		{ "the first have left", HOUR, 8, PN_CHARGED, 0, 0 },
		{ "both open at once: the first is told", HOUR + 1000, 3, PN_CHARGED_SPENT, 0, HOUR + 60000 },
	};
	struct tool *tool = *state;

	for (size_t i = 0; i < PN_COUNT(cases); i++)
		for (int look = 1; look >= 0; look--) {
			struct pn_charge_result got = charge_with(tool, "a", limits, PN_COUNT(limits),
			    cases[i].recipients, NOW_MS + cases[i].at, look);

			if (got.answer != cases[i].answer || (got.answer == PN_CHARGED_SPENT
			    && (got.which != cases[i].which || got.opens_ms != NOW_MS + cases[i].opens)))
				fail_msg("%s: %d, limit %zu, opens %lld", cases[i].name, got.answer,
				    got.which,
				    (long long)(got.opens_ms - NOW_MS));
		}
	assert_int_equal(used(tool, "b", limits[0], NOW_MS), 0);	/* of another relay */
}

static void
clock_minutes(void **state)
{
	const struct pn_limit limit = { 30, MINUTE, true };
	const int64_t full = NOW_MS / MINUTE * MINUTE + MINUTE;
	struct tool *tool = *state;
	struct pn_charge_result got;

	assert_int_equal(charge_with(tool, "me", &limit, 1, 30, full - 1, false).answer, PN_CHARGED);
	got = charge_with(tool, "me", &limit, 1, 1, full - 1, false);
	assert_int_equal(got.answer, PN_CHARGED_SPENT);
	assert_int_equal(got.opens_ms, full);
	assert_int_equal(opens(tool, "me", limit, full - 1), full);
	assert_int_equal(charge_with(tool, "me", &limit, 1, 30, full, false).answer, PN_CHARGED);
	assert_int_equal(used(tool, "me", limit, full + MINUTE - 1), 30);
	assert_int_equal(opens(tool, "me", limit, full + MINUTE - 1), full + MINUTE);
	assert_int_equal(used(tool, "me", limit, full + MINUTE), 0);
	assert_int_equal(opens(tool, "me", limit, full + MINUTE), 0);
	got = charge_with(tool, "me", &limit, 1, 31, full + MINUTE, false);
	assert_int_equal(got.answer, PN_CHARGED_SPENT);
	assert_int_equal(got.opens_ms, 0);
}

static void
opens_when_enough_have_left(void **state)
{
	struct tool *tool = *state;

	for (int i = 0; i < 500; i++)
		(void)charge_with(tool, "a", &per_day, 1, 1, NOW_MS + i * 1000, false);
	for (uint64_t n = 1; n <= 500; n++) {
		struct pn_charge_result got = charge_with(tool, "a", &per_day, 1, n, NOW_MS + HOUR, true);
		int64_t wanted = NOW_MS + (int64_t)(n - 1) * 1000 + DAY;

		assert_int_equal(got.answer, PN_CHARGED_SPENT);
		assert_int_equal(got.opens_ms, wanted);
		assert_int_equal(charge_with(tool, "a", &per_day, 1, n, wanted - 1, true).answer,
		    PN_CHARGED_SPENT);
		assert_int_equal(charge_with(tool, "a", &per_day, 1, n, wanted, true).answer, PN_CHARGED);
	}
}

/* Other windows in the configuration, and back: counted from the charges. */
static void
limits_may_change(void **state)
{
	struct tool *tool = *state;

	for (int i = 0; i < 100; i++)
		(void)charge_with(tool, "a", &per_day, 1, 2, NOW_MS + i * MINUTE, false);
	for (uint64_t hours = 1; hours <= 20; hours++) {
		const struct pn_limit limit = { 7, hours * HOUR, hours % 2 == 0 };
		int64_t now = NOW_MS + 99 * MINUTE;
		int64_t start = limit.clock ? now - now % (int64_t)limit.window_ms - 1
		    : now - (int64_t)limit.window_ms;
		uint64_t wanted = 0;

		for (int i = 0; i < 100; i++)
			wanted += NOW_MS + i * MINUTE > start ? 2 : 0;
		assert_int_equal(used(tool, "a", limit, now), wanted);
		(void)charge_with(tool, "a", &limit, 1, 8, now, false);	/* writes nothing */
		(void)charge_with(tool, "b", &limit, 1, 1, now, false);
		assert_int_equal(used(tool, "a", limit, now), wanted);
	}
	(void)charge_with(tool, "a", &per_day, 1, 300, NOW_MS + 99 * MINUTE, false);
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 99 * MINUTE), 500);
}

/* The window of charges 1,000 a second is passed in several transactions. */
static void
many_charges_leave_at_once(void **state)
{
	const struct pn_limit limits[] = { { 1000000, HOUR, false }, { 1000000, DAY, false } };
	struct tool *tool = *state;
	struct pn_charge_result got;

	for (int i = 0; i < 20000; i++)
		(void)charge_with(tool, "a", limits, 2, 3, NOW_MS + i / 10, false);
	assert_int_equal(used(tool, "a", limits[1], NOW_MS + 3000), 60000);
	assert_int_equal(used(tool, "a", limits[0], NOW_MS + HOUR + 999), 30000);
	got = charge_with(tool, "a", limits, 2, 1, NOW_MS + HOUR + 1500, false);
	assert_int_equal(got.answer, PN_CHARGED);
	assert_int_equal(used(tool, "a", limits[0], NOW_MS + HOUR + 1500), (20000 - 15010) * 3 + 1);
	assert_int_equal(used(tool, "a", limits[1], NOW_MS + 2 * HOUR), 60001);
	tool_close(tool);
	tool->options.read_only = true;		/* who may not write looks all the same */
	tool_open(tool);
	assert_int_equal(used(tool, "a", limits[0], NOW_MS + 3 * HOUR), 0);
	assert_int_equal(used(tool, "a", limits[1], NOW_MS + 3 * HOUR), 60001);
}

static void
a_wrong_clock(void **state)
{
	static const struct { const char *name; int64_t at; uint64_t recipients; uint64_t used; } cases[] = {
		{ "right", 0, 100, 100 },
		{ "a year ahead", 365 * DAY, 200, 200 },
		{ "right again: what was counted counts", 1000, 0, 100 },
		{ "and goes on", 1000, 50, 150 },
		{ "a year back", -365 * DAY, 10, 10 },
		{ "right again", 2000, 0, 150 },
		{ "half a minute back", 2000 - 30000, 1, 151 },
		{ "two minutes back: both are ahead", 2000 - 120000, 1, 1 },
		{ "right again", 3000, 0, 152 },
		{ "a day later", DAY + 3000, 0, 0 },
		{ "the year has passed", 365 * DAY, 0, 200 },
	};
	struct tool *tool = *state;

	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		uint64_t got;

		assert_int_equal(charge_with(tool, "a", &per_day, 1, cases[i].recipients,
		    NOW_MS + cases[i].at,
		    false).answer, PN_CHARGED);
		got = used(tool, "a", per_day, NOW_MS + cases[i].at);
		if (got != cases[i].used)
			fail_msg("%s: %u", cases[i].name, (unsigned)got);
	}
}

/* -- random charges against a list of all of them -- */

enum { STEPS = 100000, MODEL_RELAYS = 3, MODEL_LIMITS = 3, MODEL_ROWS = 4096 };

struct model {
	struct { int64_t time; uint64_t recipients; } rows[MODEL_ROWS];	/* the last so many */
	size_t n;
};

static const struct pn_limit model_limits[MODEL_LIMITS] = { { 40, 2000, false }, { 100, 9000, false },
	{ 25, 1000, true } };

static uint64_t
model_used(const struct model *model, const struct pn_limit *limit, int64_t now)
{
	int64_t span = (int64_t)limit->window_ms, start = limit->clock ? now - now % span - 1 : now - span;
	uint64_t sum = 0;

	for (size_t i = model->n; i > 0 && i + MODEL_ROWS > model->n; i--) {
		size_t at = (i - 1) % MODEL_ROWS;

		if (model->rows[at].time <= start)
			break;
		sum += model->rows[at].recipients;
	}
	return sum;
}

static bool
model_fits(const struct model *model, uint64_t recipients, int64_t now)
{
	for (size_t i = 0; i < MODEL_LIMITS; i++)
		if (model_used(model, &model_limits[i], now) + recipients > model_limits[i].most)
			return false;
	return true;
}

static void
as_a_naive_count(void **state)
{
	static const char *const names[MODEL_RELAYS] = { "a", "ab", "b" };
	struct tool *tool = *state;
	struct model *models = test_calloc(MODEL_RELAYS, sizeof(*models));
	int64_t now = NOW_MS;
	unsigned seed = 4711, spent = 0;

	for (unsigned step = 0; step < STEPS; step++) {
		unsigned relay = (unsigned)rand_r(&seed) % MODEL_RELAYS;
		uint64_t recipients = 1 + (unsigned)rand_r(&seed) % 12;
		struct model *model = &models[relay];
		bool look = rand_r(&seed) % 4 == 0, fits;
		struct pn_charge_result got;

		now += rand_r(&seed) % 500 == 0 ? rand_r(&seed) % 20000 : rand_r(&seed) % 120;
		fits = model_fits(model, recipients, now);
		got = charge_with(tool, names[relay], model_limits, MODEL_LIMITS, recipients, now, look);
		if ((got.answer == PN_CHARGED) != fits)
			fail_msg("step %u: %d, the count says %d", step, got.answer, fits);
		if (!fits) {
			spent++;
			if (!model_fits(model, recipients, got.opens_ms)
			    || model_fits(model, recipients, got.opens_ms - 1))
				fail_msg("step %u: it opens at another time", step);
		}
		if (fits && !look) {
			model->rows[model->n % MODEL_ROWS].time = now;
			model->rows[model->n++ % MODEL_ROWS].recipients = recipients;
		}
		if (step % 97 == 0)
			assert_int_equal(used(tool, names[relay], model_limits[step % 3], now),
			    model_used(model, &model_limits[step % 3], now));
		if (step % 1000 == 0)
			(void)sweep(tool, now / 1000, 100);
	}
	assert_in_range(spent, STEPS / 10, STEPS - STEPS / 10);
	test_free(models);
}

/* -- the same mail -- */

static void
keys_of_mails(void **state)
{
	struct pn_str abc[] = { PN_STR("a@x"), PN_STR("b@x"), PN_STR("c@x") };
	struct pn_str cab[] = { PN_STR("c@x"), PN_STR("a@x"), PN_STR("b@x"), PN_STR("a@x") };
	struct pn_str ab_c[] = { PN_STR("a@xb@x"), PN_STR("c@x") };
	const struct { const char *name, *id, *sender; struct pn_strs rcpts; bool same; } cases[] = {
		{ "itself", "<1@x>", "me@x", { abc, 3 }, true },
		{ "another order, one twice", "<1@x>", "me@x", { cab, 4 }, true },
		{ "one recipient less", "<1@x>", "me@x", { abc, 2 }, false },
		{ "glued recipients", "<1@x>", "me@x", { ab_c, 2 }, false },
		{ "another sender", "<1@x>", "", { abc, 3 }, false },
		{ "another id", "<2@x>", "me@x", { abc, 3 }, false },
		{ "no recipient", "<1@x>", "me@x", { NULL, 0 }, false },
	};
	const struct pn_mail_key first = pn_mail_key(PN_STR("<1@x>"), PN_STR("me@x"), cases[0].rcpts);

	(void)state;
	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		struct pn_mail_key key = pn_mail_key(pn_str_c(cases[i].id), pn_str_c(cases[i].sender),
		    cases[i].rcpts);

		if (!key.set || (memcmp(key.v, first.v, sizeof(key.v)) == 0) != cases[i].same)
			fail_msg("%s", cases[i].name);
	}
	assert_false(pn_mail_key(PN_STR(""), PN_STR("me@x"), cases[0].rcpts).set);
}

struct hook {
	const char *relay, *mail, *queue, *instance;
	int64_t at;
	uint64_t recipients;
	enum pn_charged answer;
};

static enum pn_charged
call_hook(struct tool *tool, const struct hook *hook, const struct pn_limit *limit, bool look)
{
	const struct pn_charge charge = { .relay = pn_str_c(hook->relay), .limits = limit, .limit_count = 1,
		.recipients = hook->recipients, .mail = key_of(hook->mail), .queue_id = pn_str_c(hook->queue),
		.instance = pn_str_c(hook->instance), .now_ms = NOW_MS + hook->at, .look_only = look };
	struct pn_charge_result result;

	tool_must(tool, pn_quota_charge(tool->store, &charge, &result, &tool->err));
	return result.answer;
}

static void
the_same_mail_counts_once(void **state)
{
#define NEW PN_CHARGED
#define AGAIN PN_CHARGED_BEFORE
#define SPENT PN_CHARGED_SPENT
	static const struct {
		const char *name;
		struct hook hooks[4];
		uint64_t a, b;		/* what is counted at the end */
	} cases[] = {
		{ "no id: each mail counts", { { "a", "", "", "", 0, 5, NEW }, { "a", "", "", "", 1, 5,
		    NEW } }, 10, 0 },
		{ "the same Message-ID", { { "a", "<1>", "Q1", "", 0, 5, NEW }, { "a", "<1>", "Q2", "", 9, 5,
		    AGAIN } },
		    5, 0 },
		{ "another one", { { "a", "<1>", "Q1", "", 0, 5, NEW }, { "a", "<2>", "Q2", "", 9, 5, NEW } },
		    10, 0 },
		{ "policy, then milter", { { "a", "", "Q1", "i1", 0, 5, NEW }, { "a", "<1>", "Q1", "", 9, 5,
		    AGAIN },
		    { "a", "<1>", "Q2", "", 19, 5, AGAIN } }, 5, 0 },
		{ "milter, then policy", { { "a", "<1>", "Q1", "", 0, 5, NEW }, { "a", "", "Q1", "i1", 9, 5,
		    AGAIN } },
		    5, 0 },
		{ "policy retries", { { "a", "", "Q1", "i1", 0, 5, NEW }, { "a", "", "Q1", "i1", 9, 5,
		    AGAIN } }, 5, 0 },
		{ "another instance", { { "a", "", "Q1", "i1", 0, 5, NEW }, { "a", "", "Q1", "i2", 9, 5,
		    NEW } },
		    10, 0 },
		{ "the second hook knows another relay", { { "a", "", "Q1", "i1", 0, 5, NEW },
		    { "b", "<1>", "Q1", "", 9, 5, NEW }, { "b", "<1>", "Q1", "", 10, 5, AGAIN } }, 0, 5 },
		{ "it knows another number", { { "a", "", "Q1", "i1", 0, 5, NEW }, { "a", "<1>", "Q1", "", 9,
		    3, NEW } },
		    3, 0 },
		{ "the mail goes by another relay", { { "a", "<1>", "Q1", "", 0, 5, NEW },
		    { "b", "<1>", "Q2", "", 9, 5, NEW }, { "a", "<1>", "Q3", "", 10, 5, NEW } }, 5, 0 },
		{ "it comes again: what the policy counted is too much", { { "a", "<1>", "Q1", "", 0, 5,
		    NEW },
		    { "a", "", "Q2", "i2", 8, 5, NEW }, { "a", "<1>", "Q2", "", 9, 5, AGAIN } }, 5, 0 },
		{ "again by another relay: both go", { { "a", "<1>", "Q1", "", 0, 5, NEW },
		    { "a", "", "Q2", "i2", 8, 5, NEW }, { "b", "<1>", "Q2", "", 9, 5, NEW } }, 0, 5 },
		{ "the queue id is used again: other mail", { { "a", "<1>", "Q1", "", 0, 5, NEW },
		    { "a", "<2>", "Q1", "", 9, 5, NEW } }, 10, 0 },
		{ "used again: after an hour", { { "a", "", "Q1", "", 0, 5, NEW }, { "a", "", "Q1", "", HOUR,
		    5, NEW } },
		    10, 0 },
		{ "within the hour", { { "a", "", "Q1", "", 0, 5, NEW }, { "a", "", "Q1", "", HOUR - 1, 5,
		    AGAIN } },
		    5, 0 },
		{ "the same mail after hours", { { "a", "<1>", "Q1", "", 0, 5, NEW },
		    { "a", "<1>", "Q1", "", 9 * HOUR, 5, AGAIN } }, 5, 0 },
		{ "the same mail when it has left the window", { { "a", "<1>", "Q1", "", 0, 5, NEW },
		    { "a", "<1>", "Q2", "", DAY, 5, NEW } }, 5, 0 },
		{ "counted before, though spent", { { "a", "<1>", "Q1", "", 0, 500, NEW },
		    { "a", "<2>", "Q2", "", 9, 1, SPENT }, { "a", "<1>", "Q3", "", 10, 500, AGAIN } }, 500,
		    0 },
		{ "a number that fits only without the first", { { "a", "<1>", "Q1", "", 0, 400, NEW },
		    { "a", "", "Q1", "", 1, 450, NEW } }, 450, 0 },
		{ "a spent relay leaves it where it is", { { "b", "<1>", "Q1", "", 0, 500, NEW },
		    { "a", "<2>", "Q2", "", 1, 5, NEW }, { "b", "<2>", "Q2", "", 2, 5, SPENT } }, 5, 500 },
	};
	struct tool *tool = *state;

	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		int64_t end = 0;

		for (size_t k = 0; k < PN_COUNT(cases[i].hooks) && cases[i].hooks[k].relay != NULL; k++) {
			const struct hook *hook = &cases[i].hooks[k];

			for (int look = 1; look >= 0; look--)
				if (call_hook(tool, hook, &per_day, look) != hook->answer)
					fail_msg("%s: hook %zu%s", cases[i].name, k + 1, look ? ", looking"
					    : "");
			end = NOW_MS + hook->at;
		}
		if (used(tool, "a", per_day, end) != cases[i].a || used(tool, "b", per_day,
		    end) != cases[i].b)
			fail_msg("%s: %u and %u", cases[i].name, (unsigned)used(tool, "a", per_day, end),
			    (unsigned)used(tool, "b", per_day, end));
		tool_free(tool);	/* each case in a state of its own */
		(void)tool_setup(state);
		tool = *state;
	}
}

/* -- what Postfix's log says -- */

struct line {
	const char *queue, *rcpt, *relay;
	enum pn_delivery what;
	uint64_t a, b;		/* counted after it */
};

static void
deliveries_correct_the_count(void **state)
{
#define SENT PN_DELIVERY_SENT
#define REFUSED PN_DELIVERY_REFUSED
	static const struct line lines[] = {
		{ "Q1", "joe@x", "a", PN_DELIVERY_DEFERRED, 3, 0 },
		{ "Q1", "joe@x", "a", SENT, 3, 0 },
		{ "Q1", "ann@x", "b", SENT, 2, 1 },	/* moved */
		{ "Q1", "ann@x", "b", SENT, 2, 1 },	/* read again */
		{ "Q1", "bob@x", "a", REFUSED, 1, 1 },	/* given back */
		{ "Q1", "bob@x", "a", REFUSED, 1, 1 },
		{ "Q1", "eve@x", "", SENT, 0, 1 },	/* by none of ours */
		{ "Q1", "tom@x", "a", REFUSED, 0, 1 },	/* more than were counted */
		{ "Q9", "joe@x", "", SENT, 0, 1 },
		{ "Q9", "joe@x", "a", REFUSED, 0, 1 },
		{ "Q9", "joe@x", "a", SENT, 1, 1 },	/* nobody counted it */
		{ "Q9", "joe@x", "a", SENT, 1, 1 },
		{ "Q9", "ann@x", "a", SENT, 2, 1 },
		{ "Q9", "bob@x", "b", SENT, 2, 2 },
		{ "Q9", "eve@x", "b", REFUSED, 2, 2 },
		{ "", "joe@x", "a", SENT, 2, 2 },
	};
	const struct hook hook = { "a", "<1>", "Q1", "", 0, 3, PN_CHARGED };
	struct tool *tool = *state;

	assert_int_equal(call_hook(tool, &hook, &per_day, false), PN_CHARGED);
	for (size_t i = 0; i < PN_COUNT(lines); i++) {
		const struct line *l = &lines[i];

		tool_must(tool, pn_quota_delivered(tool->store, pn_str_c(l->queue), pn_str_c(l->rcpt),
		    pn_str_c(l->relay), l->what, NOW_MS + 10 + (int64_t)i, &tool->err));
		if (used(tool, "a", per_day, NOW_MS + 50) != l->a || used(tool, "b", per_day,
		    NOW_MS + 50) != l->b)
			fail_msg("line %zu: %u and %u", i + 1, (unsigned)used(tool, "a", per_day,
			    NOW_MS + 50),
			    (unsigned)used(tool, "b", per_day, NOW_MS + 50));
	}
	/* all of it was given back: the mail is charged anew; a queue id from the log is nobody's */
	assert_int_equal(call_hook(tool, &hook, &per_day, false), PN_CHARGED);
	assert_int_equal(call_hook(tool, &(struct hook){ "a", "", "Q9", "", 60, 1, PN_CHARGED }, &per_day,
	    false),
	    PN_CHARGED);
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 60), 6);
}

static void
undelivered(struct tool *tool, const char *relay, const char *attempt, int64_t now_ms)
{
	tool_must(tool,
	    pn_quota_undelivered(tool->store, pn_str_c(relay), pn_str_c(attempt), now_ms, &tool->err));
}

static void
what_was_tried_in_vain_is_given_back(void **state)
{
	static const struct {
		const char *name, *relay, *attempt;
		uint64_t a, b;
	} tries[] = {
		{ "the newest", "a", "line 1", 6, 1 },
		{ "the same line again", "a", "line 1", 6, 1 },
		{ "of another relay", "b", "line 1", 6, 0 },
		{ "nothing is left of it", "b", "line 2", 6, 0 },
		{ "one of two at once", "a", "line 2", 5, 0 },
		{ "the other", "a", "line 3", 4, 0 },
		{ "what has a name stays", "a", "line 4", 4, 0 },
		{ "of nobody", "c", "line 4", 4, 0 },
	};
	const struct hook hooks[] = {
		{ "a", "<1>", "Q1", "", 1, 2, PN_CHARGED },
		{ "a", "", "Q2", "", 3, 1, PN_CHARGED },
		{ "a", "<3>", "", "", 6, 1, PN_CHARGED },
	};
	struct tool *tool = *state;

	(void)charge_with(tool, "a", &per_day, 1, 2, NOW_MS, false);
	for (size_t i = 0; i < PN_COUNT(hooks); i++)
		assert_int_equal(call_hook(tool, &hooks[i], &per_day, false), PN_CHARGED);
	(void)charge_with(tool, "a", &per_day, 1, 1, NOW_MS + 4, false);
	(void)charge_with(tool, "b", &per_day, 1, 1, NOW_MS + 5, false);
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 50), 7);
	for (size_t i = 0; i < PN_COUNT(tries); i++) {
		undelivered(tool, tries[i].relay, tries[i].attempt, NOW_MS + 10);
		if (used(tool, "a", per_day, NOW_MS + 50) != tries[i].a
		    || used(tool, "b", per_day, NOW_MS + 50) != tries[i].b)
			fail_msg("%s: %u", tries[i].name, (unsigned)used(tool, "a", per_day, NOW_MS + 50));
	}
	/* where nothing was found nothing was told */
	(void)charge_with(tool, "b", &per_day, 1, 1, NOW_MS + 60, false);
	(void)charge_with(tool, "b", &per_day, 1, 1, NOW_MS + MINUTE + 60, false);
	undelivered(tool, "b", "line 2", NOW_MS + MINUTE + 70);
	assert_int_equal(used(tool, "b", per_day, NOW_MS + MINUTE + 80), 1);
	assert_int_equal(used(tool, "b", (struct pn_limit){ 500, MINUTE, false }, NOW_MS + MINUTE + 80), 0);
	assert_int_equal(pn_quota_undelivered(tool->store, PN_STR("no name"), PN_STR("x"), NOW_MS, &tool->err),
	    PN_INVALID);
}

static void
a_delivery_counts_when_it_happens(void **state)
{
	struct tool *tool = *state;
	const struct hook hook = { "a", "<1>", "Q1", "", 0, 2, PN_CHARGED };

	assert_int_equal(call_hook(tool, &hook, &per_day, false), PN_CHARGED);
	(void)sweep(tool, NOW + 2 * 86400, 1000);
	assert_int_equal(tool_usage(tool).charges, 0);
	tool_must(tool, pn_quota_delivered(tool->store, PN_STR("Q1"), PN_STR("joe@x"), PN_STR("b"), SENT,
	    NOW_MS + 2 * DAY, &tool->err));
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 2 * DAY), 0);
	assert_int_equal(used(tool, "b", per_day, NOW_MS + 2 * DAY), 1);
	/* its own relay was told already, two days ago */
	tool_must(tool, pn_quota_delivered(tool->store, PN_STR("Q1"), PN_STR("ann@x"), PN_STR("a"), SENT,
	    NOW_MS + 2 * DAY, &tool->err));
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 2 * DAY), 0);
}

/* -- clearing, bounds, sweeping -- */

/* What left by a relay with limits and now leaves by one without is given back. */
static void
without_limits_nothing_is_counted(void **state)
{
	static const struct pn_limit per_message = { 5, 0, false };
	const struct hook first = { "a", "<1>", "Q1", "", 0, 3, PN_CHARGED };
	const struct hook then = { "b", "<1>", "Q1", "", 1000, 3, PN_CHARGED };
	struct tool *tool = *state;

	assert_int_equal(charge_with(tool, "b", &per_message, 1, 6, NOW_MS, false).answer, PN_CHARGED_SPENT);
	assert_int_equal(charge_with(tool, "b", &per_message, 1, 5, NOW_MS, false).answer, PN_CHARGED);
	assert_int_equal(charge_with(tool, "b", NULL, 0, 5, NOW_MS, false).answer, PN_CHARGED);
	assert_int_equal(tool_usage(tool).charges, 0);
	assert_int_equal(call_hook(tool, &first, &per_day, false), PN_CHARGED);
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 2000), 3);
	assert_int_equal(call_hook(tool, &then, &per_message, false), PN_CHARGED);
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 2000), 0);
}

static void
clearing(void **state)
{
	struct tool *tool = *state;
	const struct hook hook = { "ab", "<1>", "Q1", "", 0, 3, PN_CHARGED };
	const struct pn_limit plenty = { 100000, DAY, false };

	for (int i = 0; i < 1200; i++)
		(void)charge_with(tool, "a", &plenty, 1, 1, NOW_MS + i, false);
	assert_int_equal(call_hook(tool, &hook, &per_day, false), PN_CHARGED);
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 2000), 1200);
	tool_must(tool, pn_quota_clear(tool->store, PN_STR("a"), &tool->err));
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 2000), 0);
	assert_int_equal(used(tool, "ab", per_day, NOW_MS + 2000), 3);
	tool_must(tool, pn_quota_clear(tool->store, PN_STR(""), &tool->err));
	assert_int_equal(tool_usage(tool).charges, 0);
	assert_int_equal(used(tool, "ab", per_day, NOW_MS + 2000), 0);
	assert_int_equal(call_hook(tool, &hook, &per_day, false), PN_CHARGED);	/* forgotten means new */
}

static void
old_charges_are_swept(void **state)
{
	const struct pn_limit week = { 1000, 7 * DAY, false };
	struct tool *tool = *state;

	for (int i = 0; i < 10; i++) {
		(void)charge_with(tool, "a", &per_day, 1, 1, NOW_MS + i * 1000, false);
		(void)charge_with(tool, "week", &week, 1, 1, NOW_MS + i * 1000, false);
	}
	assert_int_equal(tool_usage(tool).charges, 20);
	assert_int_equal(sweep(tool, NOW + 25 * 3600 - 1, 100), 0);
	assert_int_equal(sweep(tool, NOW + 25 * 3600 + 4, 3), 3);
	assert_int_equal(sweep(tool, NOW + 25 * 3600 + 4, 100), 2);
	assert_int_equal(sweep(tool, NOW + 25 * 3600 + 4, 100), 0);
	assert_int_equal(used(tool, "week", week, NOW_MS + 6 * DAY), 10);
	assert_int_equal(sweep(tool, NOW + 7 * 86400 + 3599, 100), 5);
	assert_int_equal(sweep(tool, NOW + 7 * 86400 + 3700, 100), 10);
	assert_int_equal(tool_usage(tool).charges, 0);
}

static void
what_is_known_of_a_mail_is_swept(void **state)
{
	const struct hook hook = { "a", "<1>", "Q1", "", 0, 3, PN_CHARGED };
	struct tool *tool = *state;

	assert_int_equal(call_hook(tool, &hook, &per_day, false), PN_CHARGED);
	assert_int_equal(sweep(tool, NOW + 6 * 86400 - 1, 100), 1);		/* the charge */
	tool_must(tool, pn_quota_delivered(tool->store, PN_STR("Q1"), PN_STR("joe@x"), PN_STR("a"), SENT,
	    NOW_MS + 6 * DAY - 1, &tool->err));
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 6 * DAY), 0);	/* still known */
	assert_int_equal(sweep(tool, NOW + 6 * 86400, 100), 2);			/* mail and queue id */
	tool_must(tool, pn_quota_delivered(tool->store, PN_STR("Q1"), PN_STR("joe@x"), PN_STR("a"), SENT,
	    NOW_MS + 6 * DAY, &tool->err));
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 6 * DAY), 1);
}

static void
the_oldest_make_room(void **state)
{
	struct tool *tool = *state;

	tool_close(tool);
	tool->options.charge_limit = 10;
	tool_open(tool);
	for (int i = 0; i < 40; i++) {
		struct hook hook = { i % 4 == 0 ? "b" : "a", "", "", "", i, 1, PN_CHARGED };
		char id[16];

		(void)snprintf(id, sizeof(id), "<%d>", i);
		hook.mail = id;
		assert_int_equal(call_hook(tool, &hook, &per_day, false), PN_CHARGED);
		assert_int_equal(tool_usage(tool).charges, i < 10 ? i + 1 : 10);
	}
	/* of the last ten, 32 and 36 are b's */
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 50), 8);
	assert_int_equal(used(tool, "b", per_day, NOW_MS + 50), 2);
	tool_close(tool);
	tool->options.charge_limit = 4;		/* lowered: the sweeper sees to it */
	tool_open(tool);
	assert_int_equal(sweep(tool, NOW, 100), 12);		/* as many traces */
	assert_int_equal(tool_usage(tool).charges, 4);
	assert_int_equal(used(tool, "a", per_day, NOW_MS + 50), 3);
	assert_int_equal(used(tool, "b", per_day, NOW_MS + 50), 1);
}

/* -- an older state -- */

static void
drop_tables(struct tool *tool)
{
	static const char *const names[] = { "charges", "relays", "traces" };
	char path[128];
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	(void)snprintf(path, sizeof(path), "%s/state", tool->path);
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 16), 0);
	assert_int_equal(mdb_env_set_mapsize(env, 1 << 28), 0);
	assert_int_equal(mdb_env_open(env, path, 0, 0660), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	for (size_t i = 0; i < PN_COUNT(names); i++) {
		assert_int_equal(mdb_dbi_open(txn, names[i], 0, &dbi), 0);
		assert_int_equal(mdb_drop(txn, dbi, 1), 0);
	}
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static void
a_state_without_charges_goes_on(void **state)
{
	const struct pn_thread thread = { .message_id = PN_STR("<1@x>"), .model = PN_STR("m"), .res_id = 5 };
	struct tool *tool = *state;
	struct pn_thread got;

	tool_must(tool, pn_thread_learn(tool->store, PN_STR("main"), &thread, 1, NOW, &tool->err));
	tool_close(tool);
	drop_tables(tool);
	tool_unlink(tool, "state/boot");	/* checked as after a start of the machine, too */
	tool_open(tool);
	tool_must(tool, pn_thread_newest(tool->store, PN_STR("main"),
	    (struct pn_strs){ &(struct pn_str){ "<1@x>", 5 }, 1 }, tool->arena, &got, &tool->err));
	assert_int_equal(got.res_id, 5);
	assert_int_equal(charge_with(tool, "a", &per_day, 1, 500, NOW_MS, false).answer, PN_CHARGED);
	assert_int_equal(charge_with(tool, "a", &per_day, 1, 1, NOW_MS, false).answer, PN_CHARGED_SPENT);
}

static void
bad_questions(void **state)
{
	static const struct { const char *name, *relay; int64_t now; uint64_t recipients,
	    window; } cases[] = {
		{ "no name", "", NOW_MS, 1, DAY },
		{ "a name that is none", "A B", NOW_MS, 1, DAY },
		{ "a long name", "a-name-that-is-longer-than-a-relay-may-have", NOW_MS, 1, DAY },
		{ "before all time", "a", -1, 1, DAY },
		{ "after all time", "a", INT64_MAX, 1, DAY },
		{ "more than there are people", "a", NOW_MS, UINT64_MAX, DAY },
		{ "a window without end", "a", NOW_MS, 1, UINT64_MAX },
	};
	struct tool *tool = *state;

	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		const struct pn_limit limit = { 5, cases[i].window, false };
		const struct pn_charge charge = { .relay = pn_str_c(cases[i].relay), .limits = &limit,
			.limit_count = 1, .recipients = cases[i].recipients, .now_ms = cases[i].now };
		struct pn_charge_result result;

		if (pn_quota_charge(tool->store, &charge, &result, &tool->err) != PN_INVALID)
			fail_msg("%s", cases[i].name);
	}
}

/* -- health and the port -- */

static void
health_is_remembered(void **state)
{
	struct tool *tool = *state;
	struct pn_health health;
	bool changed = true;

	tool_must(tool, pn_health_get(tool->store, PN_STR("a"), &health, &tool->err));
	assert_int_equal(health.failures, 0);
	for (int i = 1; i <= PN_HEALTH_FAILURES; i++) {
		tool_must(tool, pn_health_learn(tool->store, PN_STR("a"), PN_HEALTH_NO_LOGIN,
		    PN_STR("535 no"), NOW_MS + i,
		    &changed, &tool->err));
		assert_int_equal(changed, i == PN_HEALTH_FAILURES);
	}
	tool_close(tool);
	tool_open(tool);
	tool_must(tool, pn_health_get(tool->store, PN_STR("a"), &health, &tool->err));
	assert_int_equal(health.failures, PN_HEALTH_FAILURES);
	assert_true(pn_health_is_closed(&health, NOW_MS + 100));
	assert_string_equal(health.reason, "535 no");
	tool_must(tool, pn_health_get(tool->store, PN_STR("b"), &health, &tool->err));
	assert_false(pn_health_is_closed(&health, NOW_MS + 100));
	tool_must(tool, pn_health_learn(tool->store, PN_STR("a"), PN_HEALTH_SUCCESS, PN_STR(""), NOW_MS + 200,
	    &changed,
	    &tool->err));
	assert_true(changed);
	health = (struct pn_health){ .closed_until_ms = PN_HEALTH_UNTIL_OPENED, .reason = "by the operator" };
	tool_must(tool, pn_health_set(tool->store, PN_STR("a"), &health, &tool->err));
	tool_must(tool, pn_health_learn(tool->store, PN_STR("a"), PN_HEALTH_SUCCESS, PN_STR(""), NOW_MS + 300,
	    NULL,
	    &tool->err));
	tool_must(tool, pn_health_get(tool->store, PN_STR("a"), &health, &tool->err));
	assert_true(pn_health_is_closed(&health, NOW_MS + 400));
}

static void
the_port_says_why(void **state)
{
	static const struct {
		const char *name;
		struct pn_limit limit;
		uint64_t charged, recipients;
		struct pn_health health;
		enum pn_relay_state state;
		int64_t until;		/* after NOW_MS */
		const char *reason;
	} cases[] = {
		{ "open", { 500, DAY, false }, 499, 1, { .failures = 2 }, PN_RELAY_OPEN, -NOW_MS, "" },
		{ "spent", { 500, DAY, false }, 500, 1, { .failures = 0 }, PN_RELAY_SPENT, DAY,
		    "500 recipients in 24 h are used up" },
		{ "of the clock", { 30, MINUTE, true }, 30, 1, { .failures = 0 }, PN_RELAY_SPENT, 40000,
		    "30 recipients in 1 min of the clock are used up" },
		{ "seconds", { 3, 90000, false }, 3, 1, { .failures = 0 }, PN_RELAY_SPENT, 90000,
		    "3 recipients in 90 s are used up" },
		{ "too many at once", { 50, 0, false }, 0, 51, { .failures = 0 }, PN_RELAY_SPENT, -NOW_MS,
		    "takes at most 50 recipients of one message" },
		{ "down", { 500, DAY, false }, 0, 1, { .closed_until_ms = NOW_MS + 60000,
		    .reason = "no route" },
		    PN_RELAY_DOWN, 60000, "no route" },
		{ "its pause is over", { 500, DAY, false }, 0, 1, { .closed_until_ms = NOW_MS,
		    .reason = "no route" },
		    PN_RELAY_OPEN, -NOW_MS, "" },
		{ "the provider's word", { 500, DAY, false }, 0, 1, { .closed_until_ms = NOW_MS + 9,
		    .closed_by_provider = true, .reason = "daily limit" }, PN_RELAY_SPENT, 9, "daily limit" },
		{ "the operator's", { 500, DAY, false }, 0, 1, { .closed_until_ms = PN_HEALTH_UNTIL_OPENED,
		    .reason = "closed" }, PN_RELAY_DOWN, -NOW_MS, "closed" },
	};
	struct tool *tool = *state;

	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		struct pn_relay_lookup lookup = { .store = tool->store, .now_ms = NOW_MS };
		struct pn_relay_states states = pn_relay_states_in(&lookup);
		char name[8];
		const struct pn_relay relay = { .name = pn_str_n(name, (size_t)snprintf(name, sizeof(name),
		    "r%zu", i)),
			.limits = { cases[i].limit }, .limit_count = 1 };
		struct pn_relay_status status;

		tool_must(tool, pn_health_set(tool->store, relay.name, &cases[i].health, &tool->err));
		assert_int_equal(charge_with(tool, name, &cases[i].limit, 1, cases[i].charged, NOW_MS,
		    false).answer,
		    PN_CHARGED);
		tool_must(tool, states.ask(states.ctx, &relay, cases[i].recipients, tool->arena, &status,
		    &tool->err));
		if (status.state != cases[i].state || status.until_ms != NOW_MS + cases[i].until
		    || !pn_str_eq(status.reason, pn_str_c(cases[i].reason)))
			fail_msg("%s: %d, until %lld, " PN_STR_FMT, cases[i].name, status.state,
			    (long long)(status.until_ms - NOW_MS), PN_STR_ARG(status.reason));
	}
	assert_int_equal(used(tool, "r1", per_day, NOW_MS), 500);	/* asking counted nothing */
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, tool_setup, tool_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(windows_are_exact),
		WITH_STORE(clock_minutes),
		WITH_STORE(opens_when_enough_have_left),
		WITH_STORE(limits_may_change),
		WITH_STORE(many_charges_leave_at_once),
		WITH_STORE(a_wrong_clock),
		WITH_STORE(as_a_naive_count),
		cmocka_unit_test(keys_of_mails),
		WITH_STORE(the_same_mail_counts_once),
		WITH_STORE(deliveries_correct_the_count),
		WITH_STORE(what_was_tried_in_vain_is_given_back),
		WITH_STORE(a_delivery_counts_when_it_happens),
		WITH_STORE(without_limits_nothing_is_counted),
		WITH_STORE(clearing),
		WITH_STORE(old_charges_are_swept),
		WITH_STORE(what_is_known_of_a_mail_is_swept),
		WITH_STORE(the_oldest_make_room),
		WITH_STORE(a_state_without_charges_goes_on),
		WITH_STORE(bad_questions),
		WITH_STORE(health_is_remembered),
		WITH_STORE(the_port_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
