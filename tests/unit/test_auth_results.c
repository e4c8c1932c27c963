#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "postern/auth_results.h"

enum { ARENA_LIMIT = 64 * 1024 * 1024, ONE_MEGABYTE = 1 << 20, COLUMNS_MAX = 78, NAME_COLUMNS = 24 };

#define V PN_STR
#define OURS V("postern.mx.example")

/* -- writing ------------------------------------------------------------------------------ */

/* mail_from is the hostile part; want is what stands behind smtp.mailfrom= (or all). */
static const struct {
	const char *name;
	struct pn_str mail_from;
	const char *want;
} values[] = {
	{ "an address", V("a.b+c@example.net"), "a.b+c@example.net" },
	{ "a domain", V("example.net"), "example.net" },
	{ "a blank", V("a b@example.net"), "\"a b@example.net\"" },
	{ "a semicolon", V("a; dkim=pass@example.net"), "\"a; dkim=pass@example.net\"" },
	{ "an equals sign", V("a=b@example.net"), "\"a=b@example.net\"" },
	{ "a quote", V("a\"; dmarc=pass@example.net"), "\"a\\\"; dmarc=pass@example.net\"" },
	{ "a backslash", V("a\\"), "\"a\\\\\"" },
	{ "a backslash and a quote", V("a\\\"b"), "\"a\\\\\\\"b\"" },
	{ "a comment", V("a(b)c"), "\"a(b)c\"" },
	{ "a line end", V("a\r\n\tdkim=pass"), "\"a???dkim=pass\"" },
	{ "a NUL", V("a\0b"), "\"a?b\"" },
	{ "UTF-8", V("\xc3\xbc@example.net"), "\"??@example.net\"" },
	{ "a slash", V("a/b"), "\"a/b\"" },
	{ "two ats", V("a@b@example.net"), "\"a@b@example.net\"" },
	{ "no domain", V("a@"), "\"a@\"" },
	{ "an at alone", V("@"), "\"@\"" },
	{ "an identity of DKIM", V("@example.net"), "@example.net" },
};

static struct pn_str
unfolded(struct pn_str text, struct pn_arena *arena)
{
	char *out = pn_arena_alloc(arena, text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\n')
			out[n++] = text.p[i] == '\t' ? ' ' : text.p[i];
	return pn_str_n(out, n);
}

static void
test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(values); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_auth_results results;
		struct pn_str got, want = pn_arena_printf(arena,
		    "postern.mx.example; spf=fail smtp.mailfrom=%s", values[i].want);

		pn_auth_results_begin(&results, OURS, arena);
		pn_auth_results_add_spf(&results, V("fail"), values[i].mail_from, PN_STR_EMPTY, arena);
		got = unfolded(pn_auth_results_write(&results, arena), arena);
		if (!pn_str_eq(got, want))
			fail_msg("%s: got " PN_STR_FMT, values[i].name, PN_STR_ARG(got));
		pn_arena_free(arena);
	}
}

static void
test_none(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_auth_results results;

	(void)state;
	pn_auth_results_begin(&results, OURS, arena);
	assert_true(pn_str_eq(pn_auth_results_write(&results, arena), V("postern.mx.example; none")));
	pn_arena_free(arena);
}

static void
test_whole_field(void **state)
{
	static const char want[] = "postern.mx.example;\n"
	    "\tspf=pass smtp.mailfrom=bounce@example.net;\n"
	    "\tdkim=pass header.d=example.com header.i=@mail.example.com\n"
	    "\theader.a=rsa-sha256 header.s=2026 header.b=\"abc/defg\";\n"
	    "\tdkim=policy reason=\"key too small\" header.d=example.com header.b=x;\n"
	    "\tdmarc=fail reason=\"no aligned identifier passed\"\n"
	    "\theader.from=victim.com policy.domain=victim.com\n"
	    "\tpolicy.published=reject policy.dmarc=quarantine";
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_auth_results results;
	struct pn_dmarc dmarc = { .result = PN_DMARC_FAIL, .disposition = PN_DMARC_QUARANTINE,
	    .policy = PN_DMARC_REJECT, .author = V("victim.com"), .policy_domain = V("victim.com"),
	    .reason = "no aligned identifier passed" };
	struct pn_str e = PN_STR_EMPTY, got;

	(void)state;
	pn_auth_results_begin(&results, OURS, arena);
	pn_auth_results_add_spf(&results, V("pass"), V("bounce@example.net"), V("mail.example.net"), arena);
	pn_auth_results_add_dkim(&results, V("pass"), e, V("example.com"), V("@mail.example.com"),
	    V("rsa-sha256"),
	    V("2026"), V("abc/defghijk"), arena);
	pn_auth_results_add_dkim(&results, V("policy"), V("key too small"), V("example.com"), e, e, e, V("x"),
	    arena);
	pn_auth_results_add_dmarc(&results, &dmarc, arena);
	got = pn_auth_results_write(&results, arena);
	if (!pn_str_eq(got, pn_str_c(want)))
		fail_msg("got\n" PN_STR_FMT, PN_STR_ARG(got));
	pn_arena_free(arena);
}

static void
test_null_sender(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_auth_results results;

	(void)state;
	pn_auth_results_begin(&results, OURS, arena);
	pn_auth_results_add_spf(&results, V("none"), PN_STR_EMPTY, V("mail.example.net"), arena);
	assert_true(pn_str_eq(unfolded(pn_auth_results_write(&results, arena), arena),
	    V("postern.mx.example; spf=none smtp.helo=mail.example.net")));
	pn_arena_free(arena);
}

/* However many and long: lines are short where values are, and nothing is written beyond the limits. */
static void
test_bounds(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_str d = V("a-domain-of-thirty-bytes.test."), text, line;
	struct pn_auth_results results;
	bool first = true;
	char *huge = malloc(ONE_MEGABYTE);

	(void)state;
	assert_non_null(huge);
	memset(huge, ';', ONE_MEGABYTE);
	pn_auth_results_begin(&results, OURS, arena);
	for (size_t i = 0; i < 2 * PN_AUTH_RESULTS_MAX; i++)
		pn_auth_results_add_dkim(&results, V("pass"), PN_STR_EMPTY, d, d, V("rsa-sha256"), d,
		    V("12345678"), arena);
	assert_int_equal(results.n, PN_AUTH_RESULTS_MAX);
	text = pn_auth_results_write(&results, arena);
	while (pn_str_split(&text, '\n', &line)) {
		size_t columns = line.n + (first ? NAME_COLUMNS : 7);

		assert_true(columns < COLUMNS_MAX);
		first = false;
	}
	pn_auth_results_begin(&results, OURS, arena);
	pn_auth_results_add_spf(&results, V("pass"), pn_str_n(huge, ONE_MEGABYTE), PN_STR_EMPTY, arena);
	text = pn_auth_results_write(&results, arena);
	assert_true(text.n < 700);
	while (pn_str_split(&text, '\n', &line))
		assert_true(line.n < 998);
	free(huge);
	pn_arena_free(arena);
}

/* -- reading -------------------------------------------------------------------------------- */

static struct pn_str
shown(const struct pn_auth_results *results, struct pn_arena *arena)
{
	struct pn_str text = results->authserv_id;

	for (size_t i = 0; i < results->n; i++) {
		const struct pn_auth_result *r = &results->v[i];

		text = pn_arena_printf(arena, PN_STR_FMT "|" PN_STR_FMT "=" PN_STR_FMT, PN_STR_ARG(text),
		    PN_STR_ARG(r->method), PN_STR_ARG(r->result));
		if (r->reason.n > 0)
			text = pn_arena_printf(arena, PN_STR_FMT ",reason=" PN_STR_FMT, PN_STR_ARG(text),
			    PN_STR_ARG(r->reason));
		for (size_t k = 0; k < r->n; k++)
			text = pn_arena_printf(arena, PN_STR_FMT "," PN_STR_FMT "." PN_STR_FMT "=" PN_STR_FMT,
			    PN_STR_ARG(text), PN_STR_ARG(r->properties[k].type),
			    PN_STR_ARG(r->properties[k].name),
			    PN_STR_ARG(r->properties[k].value));
	}
	return text;
}

static const struct {
	const char *name;
	struct pn_str raw;
	const char *want;	/* NULL: PN_INVALID */
} readings[] = {
	{ "no result", V(" mx.test; none"), "mx.test" },
	{ "no result, a comment", V("mx.test; none (x)"), "mx.test" },
	{ "one", V("mx.test; spf=pass"), "mx.test|spf=pass" },
	{ "with a property", V("mx.test; spf=pass smtp.mailfrom=a@b.test"),
	    "mx.test|spf=pass,smtp.mailfrom=a@b.test" },
	{ "several", V("mx.test;\r\n\tspf=pass;\r\n\tdkim=fail header.d=b.test header.i=@b.test"),
	    "mx.test|spf=pass|dkim=fail,header.d=b.test,header.i=@b.test" },
	{ "a version", V("mx.test 1; spf=pass"), "mx.test|spf=pass" },
	{ "another version", V("mx.test 2; spf=pass"), NULL },
	{ "a version of a method", V("mx.test; spf/1=pass"), "mx.test|spf=pass" },
	{ "another version of a method", V("mx.test; spf/2=pass"), NULL },
	{ "comments everywhere",
	    V("(a)mx.test(b)1(c);(d)spf(e)=(f)pass(g)reason(h)=(i)\"x y\"(j)smtp(k).(l)helo(m)=(n)z(o)"),
	    "mx.test|spf=pass,reason=x y,smtp.helo=z" },
	{ "nested comments", V("mx.test (a (b) \\) c); spf=pass"), "mx.test|spf=pass" },
	{ "a result in a comment is none", V("mx.test; spf=fail (; dkim=pass)"), "mx.test|spf=fail" },
	{ "a result in quotes is none", V("mx.test; spf=fail smtp.helo=\"; dkim=pass\""),
	    "mx.test|spf=fail,smtp.helo=; dkim=pass" },
	{ "an escaped quote", V("mx.test; spf=fail smtp.helo=\"a\\\"; dkim=pass\""),
	    "mx.test|spf=fail,smtp.helo=a\"; dkim=pass" },
	{ "a quoted local part", V("mx.test; spf=pass smtp.mailfrom=\"a b\"@c.test"),
	    "mx.test|spf=pass,smtp.mailfrom=a b@c.test" },
	{ "a quoted name", V("\"mx.test\"; spf=pass"), "mx.test|spf=pass" },
	{ "values of the wild", V("mx.test; dkim=pass header.b=ab/c+= smtp.mailfrom=<>"),
	    "mx.test|dkim=pass,header.b=ab/c+=,smtp.mailfrom=<>" },
	{ "a semicolon at the end", V("mx.test; spf=pass;"), "mx.test|spf=pass" },
	{ "an empty reason", V("mx.test; spf=pass reason=\"\""), "mx.test|spf=pass" },
	{ "empty", V(""), NULL },
	{ "only a name", V("mx.test"), NULL },
	{ "a name and a semicolon", V("mx.test;"), NULL },
	{ "no name", V("; spf=pass"), NULL },
	{ "two names", V("mx.test other.test; spf=pass"), NULL },
	{ "no semicolon", V("mx.test spf=pass"), NULL },
	{ "no result behind the method", V("mx.test; spf="), NULL },
	{ "no method", V("mx.test; =pass"), NULL },
	{ "nothing between semicolons", V("mx.test;; spf=pass"), NULL },
	{ "none and more", V("mx.test; none; spf=pass"), NULL },
	{ "a comment without an end", V("mx.test; spf=pass (x"), NULL },
	{ "a quote without an end", V("mx.test; spf=pass smtp.helo=\"x"), NULL },
	{ "a backslash at the end", V("mx.test; spf=pass smtp.helo=\"x\\"), NULL },
	{ "a property without a value", V("mx.test; spf=pass smtp.helo="), NULL },
	{ "a property without a type", V("mx.test; spf=pass helo=x"), NULL },
	{ "a comma", V("mx.test; spf=pass, dkim=pass"), NULL },
	{ "a NUL", V("mx.test; spf=pass smtp.helo=a\0b"), NULL },
	{ "a NUL in quotes", V("mx.test; spf=pass smtp.helo=\"a\0b\""), NULL },
};

static void
test_readings(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(readings); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_auth_results results;
		enum pn_status status = pn_auth_results_parse(readings[i].raw, arena, &results);

		if (readings[i].want == NULL)
			assert_int_equal(status, PN_INVALID);
		else if (status != PN_OK || !pn_str_eq(shown(&results, arena), pn_str_c(readings[i].want)))
			fail_msg("%s", readings[i].name);
		pn_arena_free(arena);
	}
}

static void
test_reading_limits(void **state)
{
	static const struct {
		const char *head, *piece;
		size_t times;
		enum pn_status want;
	} rows[] = {
		{ "mx.test", "; spf=pass", PN_AUTH_RESULTS_MAX, PN_OK },
		{ "mx.test", "; spf=pass", PN_AUTH_RESULTS_MAX + 1, PN_LIMIT },
		{ "mx.test; spf=pass", " smtp.helo=a", PN_AUTH_PROPERTIES_MAX, PN_OK },
		{ "mx.test; spf=pass", " smtp.helo=a", PN_AUTH_PROPERTIES_MAX + 1, PN_LIMIT },
		{ "mx.test; none", " ", ONE_MEGABYTE, PN_LIMIT },
		{ "mx.test; spf=pass ", "(", 60000, PN_INVALID },
		{ "mx.test; spf=pass smtp.helo=\"", "\\\"", 30000, PN_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_str piece = pn_str_c(rows[i].piece), head = pn_str_c(rows[i].head);
		struct pn_str raw = { pn_arena_alloc(arena, head.n + piece.n * rows[i].times), 0 };
		char *text = (char *)(uintptr_t)raw.p;
		struct pn_auth_results results;

		memcpy(text, head.p, head.n);
		for (raw.n = head.n; raw.n < head.n + piece.n * rows[i].times; raw.n += piece.n)
			memcpy(text + raw.n, piece.p, piece.n);
		assert_int_equal(pn_auth_results_parse(raw, arena, &results), rows[i].want);
		pn_arena_free(arena);
	}
}

/* -- whose name ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	struct pn_str raw;
	bool want;
} claims[] = {
	{ "ours", V(" postern.mx.example; dmarc=pass"), true },
	{ "any case", V("Postern.MX.Example; dmarc=pass"), true },
	{ "a version", V("postern.mx.example 1; dmarc=pass"), true },
	{ "another version", V("postern.mx.example 2; dmarc=pass"), true },
	{ "a version behind a slash", V("postern.mx.example/1; dmarc=pass"), true },
	{ "folded before", V("\r\n\tpostern.mx.example; dmarc=pass"), true },
	{ "folded inside", V("postern.mx\r\n .example; dmarc=pass"), true },
	{ "folded inside, with a version", V("postern.mx.exam\n\tple 1; dmarc=pass"), true },
	{ "a comment before", V("(other.test) postern.mx.example; dmarc=pass"), true },
	{ "a comment behind", V("postern.mx.example(other.test); dmarc=pass"), true },
	{ "a comment inside", V("postern(x).mx.example; dmarc=pass"), true },
	{ "comments in comments inside", V("postern((x)\\)).mx(;).example; dmarc=pass"), true },
	{ "a semicolon in a comment before", V("(a; b) postern.mx.example; dmarc=pass"), true },
	{ "a comment without an end", V("(x postern.mx.example; dmarc=pass"), true },
	{ "only in a comment", V("other.test (postern.mx.example); dmarc=pass"), true },
	{ "in quotes", V("\"postern.mx.example\"; dmarc=pass"), true },
	{ "quotes inside", V("postern\".mx.\"example; dmarc=pass"), true },
	{ "escaped", V("\"postern\\.mx.example\"; dmarc=pass"), true },
	{ "a quote without an end", V("\"postern.mx.example; dmarc=pass"), true },
	{ "a semicolon in quotes before", V("\";\" postern.mx.example; dmarc=pass"), true },
	{ "a dot at the end", V("postern.mx.example.; dmarc=pass"), true },
	{ "behind another name", V("other.test postern.mx.example; dmarc=pass"), true },
	{ "behind a comma", V("other.test,postern.mx.example; dmarc=pass"), true },
	{ "in brackets", V("<postern.mx.example>; dmarc=pass"), true },
	{ "without a result", V("postern.mx.example"), true },
	{ "no semicolon", V("postern.mx.example dmarc=pass"), true },
	{ "controls", V("\001postern.mx.example\002; dmarc=pass"), true },
	{ "a NUL behind", V("postern.mx.example\0.test; dmarc=pass"), true },
	{ "a NUL inside", V("postern\0.mx.example; dmarc=pass"), true },
	{ "an encoded word", V("=?us-ascii?q?postern=2Emx=2Eexample?=; dmarc=pass"), true },
	{ "an encoded word in base64", V("=?utf-8?b?cG9zdGVybi5teC5leGFtcGxl?=; dmarc=pass"), true },
	{ "a comment in an encoded word", V("=?utf-8?b?cG9zdGVybih4KS5teC5leGFtcGxl?=; dmarc=pass"), true },
	{ "an encoded word in a comment", V("(=?us-ascii?q?=28?=) postern(x).mx.example; dmarc=pass"), true },
	{ "full-width letters", V("\xef\xbd\x90ostern.mx.example; dmarc=pass"), true },
	{ "an ideographic full stop", V("postern\xe3\x80\x82mx.example; dmarc=pass"), true },
	{ "a soft hyphen", V("post\xc2\xad" "ern.mx.example; dmarc=pass"), true },
	{ "many foreign words",
	    V("\xc3\xa9 \xc3\xa9 \xc3\xa9 \xc3\xa9 \xc3\xa9 \xc3\xa9 \xc3\xa9 \xc3\xa9 \xc3\xa9; x=y"),
	    true },
	{ "another", V("other.test; dmarc=pass"), false },
	{ "below ours", V("a.postern.mx.example; dmarc=pass"), false },
	{ "ours below", V("postern.mx.example.test; dmarc=pass"), false },
	{ "a longer label", V("postern.mx.examples; dmarc=pass"), false },
	{ "a label before", V("my-postern.mx.example; dmarc=pass"), false },
	{ "the host", V("mx.example; dmarc=pass"), false },
	{ "named in a result", V("other.test; spf=pass smtp.helo=postern.mx.example"), false },
	{ "a foreign name", V("b\xc3\xbc" "cher.example; dmarc=pass"), false },
	{ "empty", V(""), false },
};

static void
test_claims(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(claims); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);

		if (pn_auth_results_claims(claims[i].raw, OURS, arena) != claims[i].want)
			fail_msg("%s", claims[i].name);
		pn_arena_free(arena);
	}
}

static void
test_large_claims(void **state)
{
	static const char *const pieces[] = { "(", "\"", "p ", "postern.mx.exampl ", "\\", "=?utf-8?q?a?= ",
	    "\xc3\xa9 " };
	char *text = malloc(ONE_MEGABYTE);
	clock_t started = clock();

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < PN_COUNT(pieces); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_str raw = { text, 0 }, piece = pn_str_c(pieces[i]);

		for (; raw.n + piece.n <= ONE_MEGABYTE; raw.n += piece.n)
			memcpy(text + raw.n, piece.p, piece.n);
		assert_true(pn_auth_results_claims(raw, OURS, arena));
		pn_arena_free(arena);
	}
	free(text);
	assert_true((double)(clock() - started) / CLOCKS_PER_SEC < 5);
}

/* The last one first, counted among the fields of that name. */
static void
test_forged(void **state)
{
	struct pn_field fields[] = {
		{ V("authentication-results"), V(" postern.mx.example; dmarc=pass") },		/* 1 */
		{ V("Authentication-Results"), V(" other.test; dmarc=pass") },			/* 2 */
		{ V("ARC-Authentication-Results"), V(" i=1; postern.mx.example; dmarc=pass") },
		{ V("Subject"), V("postern.mx.example; dmarc=pass") },
		{ V("Authentication-Results "), V(" (x) Postern.mx.example 1; dmarc=pass") },	/* 3 */
		{ V("Authentication-Results"), V(" ") },					/* 4 */
		{ V("AUTHENTICATION-RESULTS"), V("\"postern.mx.example\"; none") },		/* 5 */
	};
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	size_t *indexes, n;

	(void)state;
	assert_int_equal(pn_auth_results_forged((struct pn_fields){ fields, PN_COUNT(fields) }, OURS, arena,
	    &indexes, &n),
	    PN_OK);
	assert_int_equal(n, 3);
	assert_int_equal(indexes[0], 5);
	assert_int_equal(indexes[1], 3);
	assert_int_equal(indexes[2], 1);
	assert_int_equal(pn_auth_results_forged((struct pn_fields){ NULL, 0 }, OURS, arena, &indexes, &n),
	    PN_OK);
	assert_int_equal(n, 0);
	pn_arena_free(arena);
	arena = pn_arena_new(8);
	assert_int_equal(pn_auth_results_forged((struct pn_fields){ fields, PN_COUNT(fields) }, OURS, arena,
	    &indexes, &n),
	    PN_LIMIT);
	pn_arena_free(arena);
}

static const struct {
	const char *name;
	struct pn_str first, second;
	enum pn_status want;
} trusts[] = {
	{ "the first one of the name", V("other.test; dmarc=fail"), V("filter.test; dmarc=pass"), PN_OK },
	{ "any case", V("Filter.Test; dmarc=pass"), V(""), PN_OK },
	{ "none", V("other.test; dmarc=pass"), V("xfilter.test; dmarc=pass"), PN_NOT_FOUND },
	{ "a broken one hides those below", V("filter.test; dmarc"), V("filter.test; dmarc=pass"),
	    PN_INVALID },
	{ "so does a near miss", V("filter.test. ; dmarc=fail"), V("filter.test; dmarc=pass"), PN_INVALID },
};

static void
test_trusted(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(trusts); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_field fields[] = { { V("Authentication-Results"), trusts[i].first },
		    { V("Authentication-Results"), trusts[i].second } };
		struct pn_auth_results results;
		enum pn_status got = pn_auth_results_trusted((struct pn_fields){ fields, 2 },
		    V("filter.test"), arena,
		    &results);

		if (got != trusts[i].want || (got == PN_OK && !pn_str_eq(results.v[0].result, V("pass"))))
			fail_msg("%s", trusts[i].name);
		pn_arena_free(arena);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_whole_field),
		cmocka_unit_test(test_null_sender),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_readings),
		cmocka_unit_test(test_reading_limits),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_large_claims),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_trusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
