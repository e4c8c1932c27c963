#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "postern/from_identity.h"

enum { ARENA_LIMIT = 64 * 1024 * 1024, ONE_MEGABYTE = 1 << 20 };

#define V PN_STR

/* The domains joined by blanks; "?" before them: not one, beyond doubt. */
static const struct {
	const char *name;
	struct pn_str from[3];	/* p NULL: no more fields */
	const char *want;
} cases[] = {
	{ "no field", { { NULL, 0 } }, "?" },
	{ "bare", { V(" a@x.net") }, "x.net" },
	{ "in brackets", { V("<a@x.net>") }, "x.net" },
	{ "with a name", { V("Anna B <a@x.net>") }, "x.net" },
	{ "a name with dots", { V("John Q. Public <a@x.net>") }, "x.net" },
	{ "a quoted name", { V("\"B, Anna\" <a@x.net>") }, "x.net" },
	{ "an encoded name", { V("=?utf-8?q?=C3=BC?= <a@x.net>") }, "x.net" },
	{ "encoded names", { V("=?utf-8?b?YQ==?= =?utf-8?q?b?=<a@x.net>") }, "x.net" },
	{ "an encoded name with an at", { V("=?utf-8?q?b=40victim=2Ecom?= <a@x.net>") }, "x.net" },
	{ "a name in raw UTF-8", { V("\xc3\xbc <a@x.net>") }, "x.net" },
	{ "a comment", { V("a@x.net (Anna)") }, "x.net" },
	{ "a nested comment", { V("(a (b) \\) c) a@x.net") }, "x.net" },
	{ "folded", { V("Anna\r\n <a@x.net>") }, "x.net" },
	{ "folded with LF and a tab", { V("Anna\n\t<a@x.net>") }, "x.net" },
	{ "blanks inside the brackets", { V("< a@x.net >") }, "x.net" },
	{ "an empty name", { V("\"\" <a@x.net>") }, "x.net" },
	{ "a quoted local part", { V("\"a b\"@x.net") }, "x.net" },
	{ "upper case", { V("a@X.NET") }, "x.net" },
	{ "U-labels", { V("a@b\xc3\xbc" "cher.example") }, "xn--bcher-kva.example" },
	{ "its own address as name", { V("\"a@x.net\" <a@x.net>") }, "x.net" },
	{ "the same without quotes", { V("a@x.net <a@x.net>") }, "x.net" },
	{ "in brackets twice over", { V("\"A <a@x.net>\" <a@x.net>") }, "x.net" },
	{ "another address as quoted name", { V("\"b@victim.com\" <a@x.net>") }, "x.net" },
	{ "via somebody", { V("\"'b@victim.com' via List\" <a@x.net>") }, "x.net" },
	{ "square brackets in a name", { V("[Team] A <a@x.net>") }, "x.net" },
	{ "two of one domain", { V("a@x.net, b@X.net") }, "x.net" },

	{ "empty", { V("") }, "?" },
	{ "blank", { V(" \r\n ") }, "?" },
	{ "only a name", { V("Anna") }, "?" },
	{ "the null address", { V("<>") }, "?" },
	{ "an empty group", { V("undisclosed-recipients:;") }, "?" },
	{ "a literal", { V("a@[192.0.2.1]") }, "?" },
	{ "no local part", { V("@x.net") }, "?x.net" },
	{ "no domain", { V("a@") }, "?" },
	{ "a dot at the end", { V("a@x.net.") }, "?x.net" },
	{ "an empty label", { V("a@x..net") }, "?" },

	{ "two domains", { V("a@x.net, b@victim.com") }, "?x.net victim.com" },
	{ "two domains in brackets", { V("<a@x.net>, <b@victim.com>") }, "?x.net victim.com" },
	{ "four domains", { V("a@a, a@b, a@c, a@d") }, "?a b c d" },
	{ "five domains", { V("a@a, a@b, a@c, a@d, a@e") }, "?a b c d+" },
	{ "two fields", { V("a@x.net"), V("b@victim.com") }, "?x.net victim.com" },
	{ "two fields, the second is empty", { V("a@x.net"), V("") }, "?x.net" },
	{ "the same field twice", { V("a@x.net"), V("a@x.net") }, "?x.net" },

	{ "a group", { V("team: a@x.net;") }, "?x.net" },
	{ "a group without an end", { V("team: a@x.net") }, "?x.net" },
	{ "a group and more", { V("team: b@victim.com;, a@x.net") }, "?victim.com x.net" },
	{ "a route", { V("<@x.net:b@victim.com>") }, "?x.net victim.com" },
	{ "a route of several", { V("<@a,@b:c@victim.com>") }, "?a b victim.com" },
	{ "two ats", { V("<b@victim.com@x.net>") }, "?victim.com x.net" },
	{ "two ats without brackets", { V("b@victim.com@x.net") }, "?victim.com x.net" },
	{ "an at in a quoted local part", { V("\"b@victim.com\"@x.net") }, "?x.net victim.com" },
	{ "the same in brackets", { V("<\"b@victim.com\"@x.net>") }, "?x.net victim.com" },
	{ "the same behind a blank", { V("\"b@victim.com\" @x.net") }, "?victim.com x.net" },
	{ "two in a row", { V("a@x.net b@victim.com") }, "?x.net victim.com" },
	{ "a word behind brackets", { V("<a@x.net> A") }, "?x.net" },
	{ "an at behind an address", { V("a@x.net @") }, "?x.net" },
	{ "a word before an address", { V("A a@x.net") }, "?x.net" },
	{ "a tail behind brackets", { V("<a@x.net> b@victim.com") }, "?x.net victim.com" },
	{ "two brackets", { V("<a@x.net> <b@victim.com>") }, "?x.net victim.com" },
	{ "two brackets without a blank", { V("<a@x.net><b@victim.com>") }, "?x.net victim.com" },
	{ "brackets in brackets", { V("<<a@x.net>>") }, "?x.net" },
	{ "brackets without an end", { V("<a@x.net") }, "?x.net" },
	{ "another address as bare name", { V("b@victim.com <a@x.net>") }, "?victim.com x.net" },
	{ "brackets in a quoted name", { V("\"<b@victim.com>\" <a@x.net>") }, "?x.net victim.com" },
	{ "brackets in an encoded name", { V("=?utf-8?q?=3Cb=40victim=2Ecom=3E?= <a@x.net>") },
	    "?x.net victim.com" },
	{ "brackets in base64", { V("=?utf-8?b?PGJAdmljdGltLmNvbT4=?= <a@x.net>") }, "?x.net victim.com" },
	{ "brackets in a word of another charset", { V("\"=?utf-16?q?<b@victim.com>?=\" <a@x.net>") },
	    "?x.net victim.com" },
	{ "brackets in a comment", { V("(<b@victim.com>) a@x.net") }, "?x.net victim.com" },
	{ "an address in a comment", { V("a@x.net (b@victim.com)") }, "?x.net victim.com" },
	{ "a comment inside an address", { V("b@victim.com(@)x.net") }, "?victim.com" },
	{ "a comment that cuts the domain", { V("<b@victim.com(>,<a@x.net>)>") }, "?victim.com x.net" },
	{ "a comment without an end", { V("a@x.net (") }, "?x.net" },
	{ "a quote in a comment", { V("(\") b@victim.com (\") <a@x.net>") }, "?victim.com x.net" },
	{ "a quote without an end", { V("\"A <a@x.net>, b@victim.com") }, "?x.net victim.com" },
	{ "an escaped quote", { V("\"A\\\" <b@victim.com>\" <a@x.net>") }, "?x.net victim.com" },
	{ "an address out of an encoded word", { V("=?us-ascii?q?b=40victim=2Ecom=2C?= a@x.net") },
	    "?x.net victim.com" },
	{ "an encoded word as address", { V("=?us-ascii?q?b=40victim=2Ecom?=") }, "?victim.com" },
	{ "a name with a comma and no quotes", { V("B, Anna <a@x.net>") }, "?x.net" },
	{ "a name without an address", { V("b, a@x.net") }, "?x.net" },
	{ "a name without an address, behind", { V("a@x.net, b") }, "?x.net" },
	{ "an address out of half a word", { V("b=?utf-8?b?QHZpY3RpbS5jb20?=, a@x.net") }, "?x.net" },
	{ "an address out of a whole word", { V("=?utf-8?q?b=40victim=2Ecom?=, a@x.net") }, "?x.net victim.com" },
	{ "a line separator that ends Odoo's domain", { V("\"b@victim.com\"\xe2\x80\xa8]<a@x.net>") }, "?x.net" },
	{ "a control that ends Odoo's domain", { V("\"b@victim.com\xc2\x80\"]<a@x.net>") }, "?x.net" },
	{ "a comma at the end", { V("a@x.net,") }, "?x.net" },
	{ "a comma at the end, behind an encoded at", { V("=?utf-8?q?b=40victim=2Ecom?= <a@x.net>,") }, "?x.net" },
	{ "half a word in a name", { V("b=?utf-8?b?QHZpY3RpbS5jb20?= <a@x.net>") }, "?x.net" },
	{ "a word with a tail", { V("=?utf-8?q?b=40victim=2Ecom?=] <a@x.net>") }, "?x.net victim.com" },
	{ "two words in one", { V("=?utf-8?q?b?==?utf-8?q?=40victim=2Ecom?= <a@x.net>") }, "?x.net" },
	{ "a word without an end", { V("=?utf-8?q?b <a@x.net>") }, "?x.net" },
	{ "a bracket beside an address in quotes", { V("\"b@victim.com, \"] <a@x.net>") }, "?x.net victim.com" },
	{ "an encoded domain", { V("b@=?us-ascii?q?victim=2Ecom?=") }, "?victim.com" },
	{ "a NUL", { V("a@x.net\0b@victim.com") }, "?x.net victim.com" },
	{ "a NUL in the domain", { V("b@victim.com\0.x.net") }, "?victim.com" },
	{ "a bare CR", { V("a@x.net\r,b@victim.com") }, "?x.net victim.com" },
	{ "a line end that is no fold", { V("a@x.net\r\nb@victim.com") }, "?x.net victim.com" },
	{ "a form feed", { V("a@x.net\f") }, "?x.net" },
	{ "blanks around the at", { V("b @ victim.com") }, "?victim.com" },
	{ "a fold in the domain", { V("b@victim.\r\n com") }, "?victim victim.com" },
	{ "a semicolon as comma", { V("a@x.net; b@victim.com") }, "?x.net victim.com" },
	{ "a percent sign as at", { V("b%victim.com@x.net") }, "x.net" },
};

static struct pn_str
summary(const struct pn_from_identity *identity, struct pn_arena *arena)
{
	struct pn_str domains = pn_strs_join(identity->domains, PN_STR(" "), arena);

	return pn_arena_printf(arena, "%s" PN_STR_FMT "%s", identity->one ? "" : "?", PN_STR_ARG(domains),
	    identity->more ? "+" : "");
}

static void
test_readers(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_field fields[5] = { { V("Subject"), V("b@victim.com") }, { V("Sender"),
		    V("b@victim.com") } };
		struct pn_from_identity identity;
		struct pn_str got;
		size_t n = 2;

		for (size_t k = 0; k < 3 && cases[i].from[k].p != NULL; k++)
			fields[n++] = (struct pn_field){ V("From"), cases[i].from[k] };
		assert_int_equal(pn_from_identity((struct pn_fields){ fields, n }, arena, &identity), PN_OK);
		got = summary(&identity, arena);
		if (!pn_str_eq(got, pn_str_c(cases[i].want))) {
			print_error("%s: got " PN_STR_FMT ", want %s\n", cases[i].name, PN_STR_ARG(got),
			    cases[i].want);
			wrong++;
		}
		assert_int_equal(identity.one, identity.why == NULL);
		assert_true(!identity.one || identity.domains.n == 1);
		pn_arena_free(arena);
	}
	assert_int_equal(wrong, 0);
}

static void
test_field_names(void **state)
{
	static const struct pn_str names[] = { V("From"), V("fROM"), V("From "), V("From\t") };

	(void)state;
	for (size_t i = 0; i < PN_COUNT(names); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_field fields[] = { { V("From"), V("a@x.net") }, { names[i], V("b@victim.com") },
		    { V("Resent-From"), V("c@y.net") }, { V("X-From"), V("d@z.net") } };
		struct pn_from_identity identity;

		assert_int_equal(pn_from_identity((struct pn_fields){ fields, PN_COUNT(fields) }, arena,
		    &identity), PN_OK);
		assert_true(pn_str_eq(summary(&identity, arena), V("?x.net victim.com")));
		pn_arena_free(arena);
	}
}

/* A megabyte of what is dear to other parsers is read up to the limit, and never believed. */
static void
test_large(void **state)
{
	static const char *const pieces[] = { "(", ")", "\"", "<", "<>", "\\", "@", "a@b.c,", "a@b <",
	    "\"@\".",
	    "=?utf-8?q?a?= ", "a:", ";", "\xc3\xbc@\xc3\xbc,", " ", "\r\n ", "\"a\"@", "@@@@<", "a@x.net " };
	char *text = malloc(ONE_MEGABYTE);
	clock_t started = clock();

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < PN_COUNT(pieces); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_str piece = pn_str_c(pieces[i]);
		struct pn_from_identity identity = { 0 };
		struct pn_field field = { V("From"), { text, 0 } };

		for (; field.raw.n + piece.n <= ONE_MEGABYTE; field.raw.n += piece.n)
			memcpy(text + field.raw.n, piece.p, piece.n);
		if (pn_from_identity((struct pn_fields){ &field, 1 }, arena, &identity) == PN_OK)
			assert_false(identity.one);
		pn_arena_free(arena);
	}
	free(text);
	assert_true((double)(clock() - started) / CLOCKS_PER_SEC < 20);
}

/* What is behind the limit is not read, so nothing before it counts. */
static void
test_limit(void **state)
{
	struct pn_field field = { V("From"), { NULL, 0 } };
	char *text = malloc(PN_FROM_BYTES_MAX);

	(void)state;
	assert_non_null(text);
	memset(text, ' ', PN_FROM_BYTES_MAX);
	memcpy(text, "a@x.net", 7);
	for (size_t n = PN_FROM_BYTES_MAX - 1; n <= PN_FROM_BYTES_MAX; n++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_from_identity identity;

		field.raw = pn_str_n(text, n);
		assert_int_equal(pn_from_identity((struct pn_fields){ &field, 1 }, arena, &identity), PN_OK);
		assert_int_equal(identity.one, n < PN_FROM_BYTES_MAX);
		pn_arena_free(arena);
	}
	free(text);
}

static void
test_exhausted(void **state)
{
	struct pn_arena *arena = pn_arena_new(16);
	struct pn_field field = { V("From"), V("a@x.net, b@y.net") };
	struct pn_from_identity identity;

	(void)state;
	assert_int_equal(pn_from_identity((struct pn_fields){ &field, 1 }, arena, &identity), PN_LIMIT);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_readers),
		cmocka_unit_test(test_field_names),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_exhausted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
