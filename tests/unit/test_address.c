#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "postern/address.h"
#include "postern/address_list.h"

enum { ARENA_LIMIT = 64 * 1024 * 1024 };

static struct pn_str
joined(struct pn_arena *arena, struct pn_str list, const char *between, struct pn_str s)
{
	return list.n == 0 ? s : pn_arena_printf(arena, PN_STR_FMT "%s" PN_STR_FMT, PN_STR_ARG(list), between,
	    PN_STR_ARG(s));
}

static void
expect(const char *name, struct pn_str got, const char *want)
{
	if (!pn_str_eq(got, pn_str_c(want)))
		fail_msg("%s: want \"%s\", got \"" PN_STR_FMT "\"", name, want, PN_STR_ARG(got));
}

/* "name=address" of each, joined by "|" */
static const struct {
	const char *name, *text, *want;
} splits[] = {
	{ "nothing", "", "" },
	{ "no address", "Jane", "" },
	{ "bare", "a@b.c", "=a@b.c" },
	{ "named", "Jane Doe <a@b.c>", "Jane Doe=a@b.c" },
	{ "quoted comma", "\"Doe, Jane\" <a@b.c>", "Doe, Jane=a@b.c" },
	{ "quoted pair", "\"J\\\"D\" <a@b.c>", "J\"D=a@b.c" },
	{ "two", "a@b.c, d@e.f", "=a@b.c|=d@e.f" },
	{ "empty pieces", ",a@b.c,,,d@e.f,", "=a@b.c|=d@e.f" },
	{ "comment behind", "a@b.c (Jane)", "Jane=a@b.c" },
	{ "comment in front", "(Jane) a@b.c", "Jane=a@b.c" },
	{ "comment in the middle counts twice", "a (x) @b.c", "x x=a@b.c" },
	{ "comment beside a name", "Jane (x) <a@b.c>", "Jane (x)=a@b.c" },
	{ "nested comment", "a@b.c (x(y)z)", "xyz=a@b.c" },
	{ "open comment", "a@b.c (x(y", "xy=a@b.c" },
	{ "group", "g: a@b.c, d@e.f;", "=a@b.c|=d@e.f" },
	{ "group in a group", "g: h: a@b.c;, d@e.f;, i@j.k", "=a@b.c|=d@e.f|=i@j.k" },
	{ "empty group", "undisclosed-recipients:;", "" },
	{ "route", "Name <@r:a@b.c>", "Name=a@b.c" },
	{ "route of two relays is beyond Python", "<@r,@s:a@b.c>", "=@s|=a@b.c" },
	{ "semicolon between", "J <j@x.y>; k@x.y", "J=j@x.y|=k@x.y" },
	{ "open angle", "Name <a@b.c", "Name=a@b.c" },
	{ "open quote", "\"unterminated <a@b.c>", "unterminated=a@b.c" },
	{ "literal", "a@[10.0.0.1]", "=a@[10.0.0.1]" },
	{ "blank before the domain", "a @b.c", "=a@b.c" },
	{ "blank before a dot", "a .b@c.d", "=a.b@c.d" },
	{ "quoted local part", "very.\"(),:;<>[]\".VERY@x.y", "=very.\"(),:;<>[]\".VERY@x.y" },
	{ "blanks are commas for Odoo", "Jane Doe a@b.c", "Jane Doe=a@b.c" },
	{ "the last of them wins", "\"Jane a@b c@d\"", "Jane=c@d" },
	{ "blank in angles stays with a name", "Name <a b@c.d>", "Name=a b@c.d" },
	{ "headless: the text is searched", "@b.c x@y.zz-1, a@b.museum_", "=x@y.zz|=a@b.museum" },
	{ "headless: nothing found", "@b.c", "=@b.c" },
	{ "second @ is no domain", "a@b@c.d", "=@c.d" },
	{ "CR ends a quote", "\"a\r b <c@d.e>", "a b=c@d.e" },
	{ "non-breaking blank is a letter of a word", "a\xc2\xa0" "b@c.d", "=a\xc2\xa0" "b@c.d" },
	{ "but dropped before a dot", "a.\xc2\xa0@c.d", "=a.@c.d" },
	{ "not UTF-8", "\xff\xfe <\xff@b.c>", "\xff\xfe=\xff@b.c" },
};

static void
test_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(splits); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_str got = PN_STR_EMPTY;
		struct pn_mailboxes found;

		assert_int_equal(pn_address_split(pn_str_c(splits[i].text), arena, &found), PN_OK);
		for (size_t k = 0; k < found.n; k++)
			got = joined(arena, got, "|", pn_arena_printf(arena, PN_STR_FMT "=" PN_STR_FMT,
			    PN_STR_ARG(found.v[k].name), PN_STR_ARG(found.v[k].addr)));
		expect(splits[i].name, got, splits[i].want);
		pn_arena_free(arena);
	}
}

static void
test_nul_is_a_letter(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_mailboxes found;

	(void)state;
	assert_int_equal(pn_address_split(PN_STR("a\0b@c.d"), arena, &found), PN_OK);
	assert_int_equal(found.n, 1);
	assert_true(pn_str_eq(found.v[0].addr, PN_STR("a\0b@c.d")));
	pn_arena_free(arena);
}

/* want NULL: no address */
static const struct {
	const char *name, *text, *strict, *loose, *domain;
} normals[] = {
	{ "nothing", "", NULL, NULL, NULL },
	{ "case", "Jane.DOE@Acme.EXAMPLE", "jane.doe@acme.example", "jane.doe@acme.example", "acme.example" },
	{ "two", "A@b.c, d@e.f", NULL, "a@b.c", NULL },
	{ "local part of others keeps its case", "\xc3\x9cX@B.C", "\xc3\x9cX@b.c", "\xc3\x9cX@b.c", "b.c" },
	{ "domain of others does not", "A@\xc3\x9c.C", "a@\xc3\xbc.c", "a@\xc3\xbc.c", "\xc3\xbc.c" },
	{ "plus stays", "a+b@c.d", "a+b@c.d", "a+b@c.d", "c.d" },
	{ "quoted @", "\"a@b\"@c.d", "\"a@b\"@c.d", "\"a@b\"@c.d", "b\"" },
	{ "trailing dot stays", "a@b.c.", "a@b.c.", "a@b.c.", "b.c." },
};

static void
expect_status(const char *name, enum pn_status status, struct pn_str got, const char *want)
{
	if (want == NULL) {
		if (status != PN_NOT_FOUND)
			fail_msg("%s: %s", name, pn_status_name(status));
		return;
	}
	if (status != PN_OK)
		fail_msg("%s: %s", name, pn_status_name(status));
	expect(name, got, want);
}

static void
test_normalize(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(normals); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_str text = pn_str_c(normals[i].text), out = PN_STR_EMPTY;
		enum pn_status status = pn_address_normalize(text, true, arena, &out);

		expect_status(normals[i].name, status, out, normals[i].strict);
		status = pn_address_normalize(text, false, arena, &out);
		expect_status(normals[i].name, status, out, normals[i].loose);
		status = pn_address_domain(text, arena, &out);
		expect_status(normals[i].name, status, out, normals[i].domain);
		pn_arena_free(arena);
	}
}

static void
test_parts(void **state)
{
	(void)state;
	expect("local", pn_address_local(PN_STR("a@b@c")), "a");
	expect("after", pn_address_after_local(PN_STR("a@b@c")), "b@c");
	expect("no @: all is local", pn_address_local(PN_STR("a")), "a");
	expect("no @: no domain", pn_address_after_local(PN_STR("a")), "");
}

/* want NULL: Odoo raises */
static const struct {
	const char *label, *name, *addr, *utf8, *ascii;
} formats[] = {
	{ "no name", "", "j@x.y", "j@x.y", "j@x.y" },
	{ "name", "Joe", "j@x.y", "\"Joe\" <j@x.y>", "\"Joe\" <j@x.y>" },
	{ "quotes", "J\"o\\e", "j@x.y", "\"J\\\"o\\\\e\" <j@x.y>", "\"J\\\"o\\\\e\" <j@x.y>" },
	{ "accent", "J\xc3\xb6", "j@x.y", "\"J\xc3\xb6\" <j@x.y>", "=?utf-8?b?SsO2?= <j@x.y>" },
	{ "base64 of one", "\xc3\xb6", "j@x.y", "\"\xc3\xb6\" <j@x.y>", "=?utf-8?b?w7Y=?= <j@x.y>" },
	{ "base64 of two", "Jo\xc3\xa9", "j@x.y", "\"Jo\xc3\xa9\" <j@x.y>", "=?utf-8?b?Sm/DqQ==?= <j@x.y>" },
	{ "domain", "", "j@\xc3\xbc.c", "j@\xc3\xbc.c", "j@xn--tda.c" },
	{ "capital domain", "", "j@\xc3\x9c.c", "j@\xc3\x9c.c", NULL },
	{ "local part", "", "\xc3\xbc@x.y", "\xc3\xbc@x.y", "\xc3\xbc@x.y" },
	{ "no @", "Joe", "", "\"Joe\" <@>", "\"Joe\" <@>" },
	{ "several @", "J, K", "a@b@c", "\"J, K\" <a@b@c>", "\"J, K\" <a@b@c>" },
};

static void
test_format(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(formats); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_mailbox box = { pn_str_c(formats[i].name), pn_str_c(formats[i].addr) };
		struct pn_str out = PN_STR_EMPTY;

		assert_int_equal(pn_address_format(box, false, arena, &out), PN_OK);
		expect(formats[i].label, out, formats[i].utf8);
		if (formats[i].ascii == NULL) {
			assert_int_equal(pn_address_format(box, true, arena, &out), PN_INVALID);
		} else {
			assert_int_equal(pn_address_format(box, true, arena, &out), PN_OK);
			expect(formats[i].label, out, formats[i].ascii);
		}
		pn_arena_free(arena);
	}
}

/* want NULL: no domain */
static const struct {
	const char *name, *domain, *compare, *encode;
} domains[] = {
	{ "plain", "acme.example", "acme.example", "acme.example" },
	{ "case", "Acme.EXAMPLE", "acme.example", "Acme.EXAMPLE" },
	{ "trailing dot", "acme.example.", "acme.example", "acme.example." },
	{ "umlaut", "b\xc3\xbc" "cher.example", "xn--bcher-kva.example", "xn--bcher-kva.example" },
	{ "capital umlaut", "B\xc3\x9c" "CHER.example", "xn--bcher-kva.example", NULL },
	{ "sharp s survives", "stra\xc3\x9f" "e.example", "xn--strae-oqa.example", "xn--strae-oqa.example" },
	{ "ideographic dot", "a\xe3\x80\x82\xc3\xbc", "a.xn--tda", "a.xn--tda" },
	{ "A-label", "XN--TDA.c", "xn--tda.c", "XN--TDA.c" },
	{ "broken A-label", "xn--a-\xc3\xbc.c", NULL, NULL },
	{ "underscore", "_a.example", "_a.example", NULL },
	{ "empty", "", NULL, NULL },
	{ "dot", ".", NULL, NULL },
	{ "empty label", "a..b", NULL, NULL },
	{ "leading hyphen", "-a.example", "-a.example", NULL },
	{ "literal", "[IPv6:FE80::1]", "[ipv6:fe80::1]", NULL },
	{ "blank", "a b", NULL, NULL },
	{ "not UTF-8", "\xff.example", NULL, NULL },
	{ "two kinds of digits", "\xd7\x91\xd9\xa2" "9", "xn--9-1hc94b", NULL },
};

static void
test_domains(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(domains); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_str domain = pn_str_c(domains[i].domain), out = PN_STR_EMPTY;
		enum pn_status status = pn_domain_to_ascii(domain, arena, &out);

		if (status == PN_INVALID)
			status = PN_NOT_FOUND;
		expect_status(domains[i].name, status, out, domains[i].compare);
		status = pn_domain_encode(domain, arena, &out);
		if (status == PN_INVALID)
			status = PN_NOT_FOUND;
		expect_status(domains[i].name, status, out, domains[i].encode);
		pn_arena_free(arena);
	}
}

static void
test_domain_lengths(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	char text[255];
	struct pn_str out;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 50 == 49 ? '.' : 'a';
	assert_int_equal(pn_domain_to_ascii(pn_str_n(text, 253), arena, &out), PN_OK);
	assert_int_equal(pn_domain_to_ascii(pn_str_n(text, 254), arena, &out), PN_INVALID);
	assert_int_equal(pn_domain_encode(pn_str_n(text, 253), arena, &out), PN_OK);
	assert_int_equal(pn_domain_encode(pn_str_n(text, 254), arena, &out), PN_INVALID);
	memset(text, 'a', sizeof(text));
	assert_int_equal(pn_domain_to_ascii(pn_str_n(text, 63), arena, &out), PN_OK);
	assert_int_equal(pn_domain_to_ascii(pn_str_n(text, 64), arena, &out), PN_INVALID);
	pn_arena_free(arena);
}

static const struct {
	const char *name, *text, *want;
} envelopes[] = {
	{ "bare", "A@B.C", "A@B.C" },
	{ "named", "Name <a@b.c>", "a@b.c" },
	{ "in the name too", "\"d@e.f\" <a@b.c>", "d@e.f|a@b.c" },
	{ "quoted local part cannot", "\"a b\"@c.d", "" },
	{ "idn", "x <a@\xc3\xbc.c>, b@\xc3\x9c.c", "a@xn--tda.c" },
	{ "several @", "a@@b", "a@@b" },
	{ "no domain", "a@ b@", "" },
};

static void
test_extract_smtp(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(envelopes); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_str got = PN_STR_EMPTY;
		struct pn_strs found;

		assert_int_equal(pn_address_extract_smtp(pn_str_c(envelopes[i].text), arena, &found), PN_OK);
		for (size_t k = 0; k < found.n; k++)
			got = joined(arena, got, "|", found.v[k]);
		expect(envelopes[i].name, got, envelopes[i].want);
		pn_arena_free(arena);
	}
}

static void
test_split_and_format(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_strs found;

	(void)state;
	assert_int_equal(pn_address_split_and_format(PN_STR("J \"K\" <A@B.C>, D@e.F"), arena, &found), PN_OK);
	assert_int_equal(found.n, 2);
	expect("named", found.v[0], "\"J K\" <a@b.c>");
	expect("bare", found.v[1], "d@e.f");
	pn_arena_free(arena);
}

static const struct {
	const char *name, *old, *wrapper, *want;
} wraps[] = {
	{ "local part", "admin@gmail.example", "\"N\" <notif@x.y>", "\"admin\" <notif@x.y>" },
	{ "name", "Jane <admin@gmail.example>", "notif@x.y", "\"Jane\" <notif@x.y>" },
	{ "first of several", "a@b.c, d@e.f", "notif@x.y", "\"a\" <notif@x.y>" },
	{ "no address", "Admin", "notif@x.y", "\"Admin\" <notif@x.y>" },
	{ "nothing to wrap", "", "notif@x.y", "" },
	{ "nothing to wrap in", "a@b.c", "", NULL },
	{ "no piece of either", ",", "notif@x.y", "notif@x.y" },
};

static void
test_encapsulate(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(wraps); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_str out = PN_STR_EMPTY;
		enum pn_status status = pn_address_encapsulate(pn_str_c(wraps[i].old),
		    pn_str_c(wraps[i].wrapper), arena, &out);

		expect_status(wraps[i].name, status, out, wraps[i].want);
		pn_arena_free(arena);
	}
}

static const struct {
	const char *name, *from, *filter;
	bool want;
} filters[] = {
	{ "empty takes all", "x@acme.example", "", true },
	{ "blanks and commas take none", "x@acme.example", " , ", false },
	{ "address", "X@Acme.example", "x@ACME.example", true },
	{ "named address", "x@acme.example", "N <x@acme.example>", true },
	{ "other address", "x@acme.example", "y@acme.example", false },
	{ "domain", "N <x@acme.example>", "other.example, ACME.example ", true },
	{ "no subdomains", "x@sub.acme.example", "acme.example", false },
	{ "no wildcards", "x@acme.example", "*", false },
	{ "no bare @", "x@acme.example", "@acme.example", false },
	{ "two senders are none", "x@acme.example, y@acme.example", "acme.example", false },
	{ "idn", "x@\xc3\xa4" "cme.example", "\xc3\x84" "cme.example", true },
};

static void
test_from_filter(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(filters); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		bool match = !filters[i].want;

		assert_int_equal(pn_from_filter_match(pn_str_c(filters[i].from), pn_str_c(filters[i].filter),
		    arena, &match), PN_OK);
		if (match != filters[i].want)
			fail_msg("%s", filters[i].name);
		pn_arena_free(arena);
	}
}

static void
test_allowed_domains(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_str out;

	(void)state;
	assert_int_equal(pn_allowed_domains_sanitize(PN_STR(" A.example,,\xc3\x9c.c\t"), arena, &out), PN_OK);
	expect("allowed", out, "a.example,\xc3\xbc.c");
	assert_int_equal(pn_allowed_domains_sanitize(PN_STR(" , "), arena, &out), PN_INVALID);
	pn_arena_free(arena);
}

static const struct {
	const char *name, *text, *want;
} lowers[] = {
	{ "ascii", "AbC1", "abc1" },
	{ "umlaut", "\xc3\x9c", "\xc3\xbc" },
	{ "dotted I", "\xc4\xb0", "i\xcc\x87" },
	{ "final sigma", "\xce\x91\xce\xa3", "\xce\xb1\xcf\x82" },
	{ "sigma alone", "\xce\xa3", "\xcf\x83" },
	{ "sigma before a letter", "\xce\x91\xce\xa3\xce\x91", "\xce\xb1\xcf\x83\xce\xb1" },
	{ "sigma before a dot and a letter", "\xce\x91\xce\xa3.a", "\xce\xb1\xcf\x83.a" },
	{ "kelvin", "\xe2\x84\xaa", "k" },
	{ "longer than its capital", "\xc8\xba", "\xe2\xb1\xa5" },
	{ "not UTF-8", "\xc3" "A\xff", "\xc3" "a\xff" },
};

static void
test_lower(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(lowers); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);

		expect(lowers[i].name, pn_text_lower(pn_str_c(lowers[i].text), arena), lowers[i].want);
		pn_arena_free(arena);
	}
}

static void
test_arena_limit(void **state)
{
	struct pn_arena *arena = pn_arena_new(64);
	struct pn_str text = PN_STR("a@b.c, d@e.f, g@h.i, j@k.l, m@n.o"), out;
	struct pn_mailboxes found = { NULL, 77 };

	(void)state;
	assert_int_equal(pn_address_split(text, arena, &found), PN_LIMIT);
	assert_int_equal(found.n, 77);
	assert_int_equal(pn_address_normalize(text, false, arena, &out), PN_LIMIT);
	pn_arena_free(arena);
}

/* A megabyte of each must not take noticeably longer than a megabyte of the
 * simplest: anything quadratic would take minutes. */
static const struct {
	const char *name, *piece;
} floods[] = {
	{ "recipients", "a@bbb.cc, " }, { "named", "\"N, M\" <a@b.c>," }, { "quotes", "\"" },
	{ "empty quotes", "\"\"" }, { "comments", "(" }, { "closed comments", "()" }, { "blanks", " " },
	{ "commas", "," }, { "angles", "<" }, { "closed angles", "<>" }, { "at", "@" }, { "a at", "a@" },
	{ "headless", "@a.b " }, { "groups", "a:" }, { "closed groups", "a:;" }, { "colons", ":" },
	{ "literals", "a@[" }, { "dots", "." }, { "dotted domains", "@a.b.c.d.e.f" }, { "backslashes", "\\" },
	{ "words", "a " }, { "words and an address", "a b c@d.e <" }, { "blanks inside", "<a b@c.d>" },
	{ "quoted blanks", "\"a b@c\"@d.e " }, { "lines", "\r\n" }, { "quote and CR", "\"\r" },
	{ "routes", "<@a,@b:c@d.e>," }, { "sigmas", "\xce\xa3'" }, { "marks", "\xcc\x81" },
	{ "non-breaking blanks", "\xc2\xa0 " }, { "comment and word", "(a)b@c" },
};

static double
seconds_for(const char *piece, char *text, size_t size)
{
	struct pn_arena *arena = pn_arena_new(4 * (size_t)ARENA_LIMIT);
	struct pn_str whole = pn_str_n(text, size), out;
	struct pn_mailboxes found;
	struct pn_strs list;
	struct timespec from, to;
	size_t n = strlen(piece);
	bool match;

	for (size_t i = 0; i < size; i++)
		text[i] = piece[i % n];
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	(void)!pn_address_split(whole, arena, &found);
	(void)!pn_address_normalize(whole, false, arena, &out);
	(void)!pn_address_extract_smtp(whole, arena, &list);
	(void)!pn_from_filter_match(PN_STR("a@b.c"), whole, arena, &match);
	(void)!pn_domain_to_ascii(whole, arena, &out);
	(void)!pn_domain_encode(whole, arena, &out);
	(void)pn_text_lower(whole, arena);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	pn_arena_free(arena);
	return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

static void
test_floods(void **state)
{
#ifdef PN_SAN
	enum { SIZE = 200000 };
#else
	enum { SIZE = 1000000 };
#endif
	char *text = malloc(SIZE);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < PN_COUNT(floods); i++) {
		double seconds = seconds_for(floods[i].piece, text, SIZE);

		if (getenv("SHOW_TIMES") != NULL)
			print_message("%8.1f ms  %s\n", seconds * 1e3, floods[i].name);
		/* 0.01 to 0.2 s here; room for busy machines and sanitizers */
		if (seconds > 5)
			fail_msg("%s: %.1f s for a megabyte", floods[i].name, seconds);
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_nul_is_a_letter),
		cmocka_unit_test(test_normalize),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_domain_lengths),
		cmocka_unit_test(test_extract_smtp),
		cmocka_unit_test(test_split_and_format),
		cmocka_unit_test(test_encapsulate),
		cmocka_unit_test(test_from_filter),
		cmocka_unit_test(test_allowed_domains),
		cmocka_unit_test(test_lower),
		cmocka_unit_test(test_arena_limit),
		cmocka_unit_test(test_floods),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
