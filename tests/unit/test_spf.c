#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <glob.h>

#include "postern/buf.h"
#include "postern/clock.h"
#include "spf_cases.h"

enum { ARENA_LIMIT = 16 * 1024 * 1024, SECOND = 1000000, FILES_MIN = 7 };

static void
test_cases(void **state)
{
	unsigned passed = 0, failed = 0;
	glob_t files;

	(void)state;
	assert_int_equal(glob("tests/data/spf/*.cases", 0, NULL, &files), 0);
	assert_true(files.gl_pathc >= FILES_MIN);
	for (size_t i = 0; i < files.gl_pathc; i++)
		spf_cases_run(files.gl_pathv[i], &passed, &failed);
	globfree(&files);
	if (failed > 0)
		fail_msg("%u passed, %u failed", passed, failed);
}

/* -- records that are built -- */

/* What a zone would not hold in a line: one TXT for every name, of hostile length. */
struct world {
	struct pn_str record, explanation;
	unsigned questions;
};

static enum pn_status
ask_world(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
    struct pn_dns_answer *out, struct pn_error *err)
{
	static const char *const hosts[] = { "a.test", "b.test", "c.test", "d.test", "e.test", "f.test",
		"g.test", "h.test", "i.test", "j.test" };
	struct world *world = ctx;
	struct pn_strs_builder records = { .arena = arena };

	world->questions++;
	*out = (struct pn_dns_answer){ .ttl = 1 };
	if (!pn_dns_name(name, &name))
		return pn_fail(err, PN_INVALID, "no name");
	switch (type) {
	case PN_DNS_TXT:
		pn_strs_add(&records,
		    pn_str_starts(name, PN_STR("exp.")) ? world->explanation : world->record);
		break;
	case PN_DNS_MX:
	case PN_DNS_PTR:
		for (size_t i = 0; i < PN_COUNT(hosts); i++)
			pn_strs_add(&records, pn_str_c(hosts[i]));
		break;
	case PN_DNS_A:
		pn_strs_add(&records, PN_STR("\300\0\2\143"));
		break;
	case PN_DNS_AAAA:
	case PN_DNS_NS:
		return pn_fail(err, PN_NOT_FOUND, "no such record");
	}
	out->records = records.list;
	return PN_OK;
}

static void
repeat(struct pn_buf *buf, const char *text, size_t times)
{
	for (size_t i = 0; i < times; i++)
		pn_buf_add_c(buf, text);
}

/* "v=spf1 ", before, unit as often as said, after; the same unit is the explanation. */
static const struct {
	const char *name, *before, *unit;
	size_t times;
	const char *tail;
	size_t tail_times;
	const char *after, *want;
} hostile[] = {
	{ "exists: 127 macros and 4,000 bytes", "exists:", "%{d}", 127, "x", 4100, ".test -all", "pass" },
	{ "a: 127 macros and 4,000 bytes", "a:", "%{d}", 127, "x", 4100, ".test -all", "fail" },
	{ "redirect: 127 macros and 4,000 bytes", "redirect=", "%{d}", 127, "x", 4100, ".test", "permerror" },
	{ "exp: 127 macros and 4,000 bytes", "-all exp=", "%{d}", 127, "x", 4100, ".test", "fail" },
	{ "explanation: 127 macros and 20 bytes", "-all exp=exp.%{d} x=", "%{d}", 127, "y", 20, "", "fail" },
	{ "explanation: as many as there is room for", "-all exp=exp.%{d} x=", "%{s}", 16000, "y", 20, "",
	    "fail" },
	{ "as many macros as there is room for", "exists:", "%{s}", 16000, "", 0, " -all", "permerror" },
	{ "macros that leave nothing", "exists:", "%{l1r-}", 9000, "", 0, ".test -all", "pass" },
	{ "delimiters", "exists:%{d", ".", 60000, "", 0, "}.test -all", "pass" },
	{ "digits", "exists:%{d", "9", 60000, "", 0, "}.test -all", "pass" },
	{ "percent signs", "exists:", "%%", 30000, "", 0, ".test -all", "permerror" },
	{ "dots", "a:", ".", 60000, "", 0, "test -all", "permerror" },
	{ "one long label", "a:", "x", 60000, "", 0, ".test -all", "permerror" },
	{ "100 networks", "", "ip4:198.51.100.1 ", 100, "", 0, "ip4:192.0.2.1 -all", "pass" },
	{ "3,000 networks", "", "ip4:198.51.100.1 ", 3000, "", 0, "ip4:192.0.2.1 -all", "pass" },
	{ "2,000 IPv6 networks", "", "ip6:2001:db8::1/64 ", 2000, "", 0, "ip4:192.0.2.1 -all", "pass" },
	{ "blanks", "", " ", 60000, "", 0, "-all", "fail" },
	{ "terms", "", "?a ", 20000, "", 0, "-all", "permerror" },
	{ "MX terms", "", "?mx ", 10, "", 0, "-all", "fail" },
	{ "modifiers", "", "x=%{d} ", 9000, "", 0, "-all", "fail" },
	{ "includes itself", "", "include:%{d} ", 9000, "", 0, "-all", "permerror" },
	{ "names of the client", "", "exists:%{p}.%{p}.%{p}.test ", 5, "", 0, "-all", "pass" },
	{ "over 64 kB", "", "ip4:192.0.2.1 ", 5000, "", 0, "-all", "permerror" },
	{ "1 MB", "", "ip4:192.0.2.1 ", 75000, "", 0, "-all", "permerror" },
	{ "open brace", "exists:", "%{", 30000, "", 0, ".test", "permerror" },
	{ "slashes", "a:x.test", "/", 60000, "", 0, "", "permerror" },
	{ "zeros in a prefix", "ip4:192.0.2.1/", "0", 60000, "", 0, "", "permerror" },
	{ "colons in ip6", "ip6:", ":", 60000, "", 0, "", "permerror" },
};

static struct pn_spf_question
question(struct pn_str sender)
{
	struct pn_spf_question q = { .client = { [10] = 0xff, 0xff, 192, 0, 2, 1 }, .helo = PN_STR("h.test"),
		.sender = sender, .explain = true };

	return q;
}

/* A sender as long as one may be makes the most of each macro. */
static struct pn_str
long_sender(struct pn_buf *buf)
{
	pn_buf_init(buf, 4096);
	repeat(buf, "a-", 500);
	pn_buf_add_c(buf, "a@sender.test");
	return pn_buf_str(buf);
}

static void
test_hostile(void **state)
{
	struct pn_buf sender;
	struct pn_spf_question q = question(long_sender(&sender));

	(void)state;
	for (size_t i = 0; i < PN_COUNT(hostile); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_buf record, explanation;
		struct world world = { .questions = 0 };
		struct pn_dns dns = { .ctx = &world, .query = ask_world };
		struct pn_spf_answer answer;
		int64_t started = pn_clock_mono_us();

		pn_buf_init(&record, 2 << 20);
		pn_buf_init(&explanation, 2 << 20);
		pn_buf_addf(&record, "v=spf1 %s", hostile[i].before);
		repeat(&record, hostile[i].unit, hostile[i].times);
		repeat(&record, hostile[i].tail, hostile[i].tail_times);
		pn_buf_add_c(&record, hostile[i].after);
		repeat(&explanation, hostile[i].unit, hostile[i].times);
		repeat(&explanation, hostile[i].tail, hostile[i].tail_times);
		world.record = pn_buf_str(&record);
		world.explanation = pn_buf_str(&explanation);
		pn_spf_check(&q, &dns, arena, &answer);
		if (strcmp(pn_spf_result_name(answer.result), hostile[i].want) != 0)
			fail_msg("%s: %s: " PN_STR_FMT, hostile[i].name, pn_spf_result_name(answer.result),
			    PN_STR_ARG(answer.reason));
		if (pn_clock_mono_us() - started > 3 * SECOND)
			fail_msg("%s: takes too long", hostile[i].name);
		assert_true(answer.reason.n < 1024 && answer.term.n <= 253 && answer.explanation.n <= 1024);
		assert_true(world.questions <= 1 + 10 * 11 + 11 + 1);
		pn_buf_done(&record);
		pn_buf_done(&explanation);
		pn_arena_free(arena);
	}
	pn_buf_done(&sender);
}

static void
test_long_sender(void **state)
{
	struct world world = { .record = PN_STR("v=spf1 +all") };
	struct pn_dns dns = { .ctx = &world, .query = ask_world };
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_spf_answer answer;
	struct pn_spf_question q;
	struct pn_buf buf;

	(void)state;
	pn_buf_init(&buf, 2 << 20);
	repeat(&buf, "x", 1 << 20);
	pn_buf_add_c(&buf, "@sender.test");
	q = question(pn_buf_str(&buf));
	pn_spf_check(&q, &dns, arena, &answer);
	assert_int_equal(answer.result, PN_SPF_NONE);
	q = question(PN_STR("a@sender.test"));
	pn_spf_check(&q, &dns, arena, &answer);
	assert_int_equal(answer.result, PN_SPF_PASS);
	q.helo = pn_buf_str(&buf);
	pn_spf_check(&q, &dns, arena, &answer);
	assert_int_equal(answer.result, PN_SPF_NONE);
	assert_int_equal(world.questions, 1);
	pn_buf_done(&buf);
	pn_arena_free(arena);
}

/* A message that has no questions left cannot be judged, and that is no verdict on the sender. */
static void
test_budget(void **state)
{
	struct world world = { .record = PN_STR("v=spf1 mx mx -all") };
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_spf_question q = question(PN_STR("a@sender.test"));
	struct pn_spf_answer answer;
	struct pn_dns_budget budget;
	struct pn_dns dns = pn_dns_budget_port(&budget);

	(void)state;
	pn_dns_budget_init(&budget, (struct pn_dns){ .ctx = &world, .query = ask_world }, 15,
	    pn_clock_mono_us() + 60 * SECOND);
	pn_spf_check(&q, &dns, arena, &answer);
	assert_int_equal(answer.result, PN_SPF_TEMPERROR);
	assert_int_equal(world.questions, 15);
	assert_true(pn_str_starts(answer.reason, PN_STR("too many DNS questions for one message")));

	pn_dns_budget_init(&budget, (struct pn_dns){ .ctx = &world, .query = ask_world }, 15, 0);
	pn_spf_check(&q, &dns, arena, &answer);
	assert_int_equal(answer.result, PN_SPF_TEMPERROR);
	assert_int_equal(world.questions, 15);
	pn_arena_free(arena);
}

static void
test_printable(void **state)
{
	static const struct {
		const char *name;
		struct pn_str sender;
		bool printable;
	} rows[] = {
		{ "plain", PN_STR("a@sender.test"), true },
		{ "line end", PN_STR("a\r\nb@sender.test"), false },
		{ "8-bit", PN_STR("a\303\274@sender.test"), false },
		{ "DEL", PN_STR("a\177@sender.test"), false },
	};
	struct world world = { .record = PN_STR("v=spf1 -all exp=exp.%{d}"),
		.explanation = PN_STR("not %{s}") };
	struct pn_dns dns = { .ctx = &world, .query = ask_world };
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_spf_question q = question(rows[i].sender);
		struct pn_spf_answer answer;

		pn_spf_check(&q, &dns, arena, &answer);
		if (answer.explanation_is_printable != rows[i].printable || answer.explanation.n < 10)
			fail_msg("%s", rows[i].name);
		q.explain = false;
		world.questions = 0;
		pn_spf_check(&q, &dns, arena, &answer);
		assert_int_equal(answer.result, PN_SPF_FAIL);
		assert_int_equal(answer.explanation.n, 0);
		assert_int_equal(world.questions, 1);
	}
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_long_sender),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_printable),
	};

	return cmocka_run_group_tests_name("spf", tests, NULL, NULL);
}
