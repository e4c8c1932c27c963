#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "postern/charset.h"
#include "postern/header_value.h"

/* Expected values are those of Python 3.11.2's email package, policy SMTP. */
struct row {
	const char *title;
	const char *name;
	const char *raw;
	const char *want;	/* NULL: PN_INVALID */
};

static const struct row addresses[] = {
	{ "plain", "To", " a@b.example", "a@b.example" },
	{ "empty", "To", "", "" },
	{ "name", "From", " Anna B <a@b.example>\r\n", "Anna B <a@b.example>" },
	{ "name of any case", "rEsent-tO", " (c) a@b.example", "a@b.example" },
	{ "folded", "To", " a@b.example,\r\n\tc@d.example", "a@b.example, c@d.example" },
	{ "a comma in an encoded word", "To", " =?utf-8?q?=C3=BC=2C?= <a@b.c>", "\"\xc3\xbc,\" <a@b.c>" },
	{ "quotes only where needed", "To", "\"Anna\" <a@b.c>, \"B, C\" <d@e.f>", "Anna <a@b.c>, \"B, C\" <d@e.f>" },
	{ "raw UTF-8", "To", "\xc3\xa9 <a@b.c>", "\xc3\xa9 <a@b.c>" },
	{ "raw bytes that are not UTF-8", "To", "\xe9\xe2\x82 <a@b.c>", "\xef\xbf\xbd\xef\xbf\xbd <a@b.c>" },
	{ "comments", "To", "(x) Anna (y (z)) B (w) <a@b.c> (v)", "Anna B <a@b.c>" },
	{ "group", "To", "Team: a@b.c, Joe <d@e.f>;", "Team: a@b.c, Joe <d@e.f>;" },
	{ "empty group", "To", "undisclosed-recipients:;", "undisclosed-recipients:;" },
	{ "group without an end", "To", "Team: a@b.c", "Team: a@b.c;" },
	{ "group before an address", "To", "Team: a@b.c;, d@e.f", "Team: a@b.c;, d@e.f" },
	{ "route", "To", "<@a,@b:c@d.e>", "c@d.e" },
	{ "white space around dots and signs", "To", "a . b @ c . d", "a.b@c.d" },
	{ "blank in a local part", "To", "a b@c.d", "\"a b\"@c.d" },
	{ "quoted local part", "To", "\"a\\\"b\"@c.d", "\"a\\\"b\"@c.d" },
	{ "domain literal", "To", "a@[ 192.0.2.1 ] (x)", "a@[192.0.2.1]" },
	{ "junk behind an address", "To", "a@b.c junk, d@e.f", "a@b.c, d@e.f" },
	{ "no address", "To", "a@b@c, d@e.f", "<>, d@e.f" },
	{ "nothing between commas", "To", ",, a@b.c, ,", "a@b.c" },
	{ "null address", "To", "Anna <>", "Anna <>" },
	{ "no end of the angle", "To", "<a@b.c", "a@b.c" },
	{ "blank between encoded words of a name stays", "To", "=?utf-8?q?a?= =?utf-8?q?b?= <c@d>", "a b <c@d>" },
	{ "blank between encoded words in quotes goes", "To", "\"=?utf-8?q?a?= =?utf-8?q?b?=\" <c@d>", "ab <c@d>" },
	{ "an address out of an encoded word", "To", "=?utf-8?q?a=2Cb=40c?=d", "a, b@cd" },
	{ "nothing behind the at", "To", " sales@", NULL },
	{ "the same at the end of a list", "To", "a@b.example, x@", NULL },
	{ "but before a comma it is no address", "To", "x@, a@b.c", "<>, a@b.c" },
	{ "junk behind a group", "To", "Team: a@b.example; c@d.example", NULL },
	{ "two semicolons", "To", "undisclosed-recipients:;;", NULL },
	{ "a leading dot behind a blank", "To", "a@b.example, .c@d.example", NULL },
	{ "a leading dot", "To", ".c@d.example", ".c@d.example" },
	{ "a name that ends in a dot", "To", "John Q.<a@b.c>", NULL },
	{ "the same with a blank", "To", "John Q. <a@b.c>", "\"John Q.\" <a@b.c>" },
	{ "an angle alone", "To", "Anna <", NULL },
	{ "an open domain literal", "To", "a@[b", NULL },
	{ "a line end in a name", "To", "=?utf-8?q?a=0Ab?= <c@d>", NULL },
	{ "an empty encoded word as local part", "To", "=?utf-8?q?" "?= <a@b>, =?utf-8?q?" "?=@c", NULL },
	{ "an open quote alone", "To", "\"", NULL },
	{ "a group named by a comment", "To", "(x): a@b.c;", NULL },
};

static const struct row unstructured[] = {
	{ "text as it is", "Subject", " a  b\tc", "a  b\tc" },
	{ "unfolded", "References", " <a@b>\r\n\t<c@d>\n", "<a@b>\t<c@d>" },
	{ "encoded words join", "Subject", "=?utf-8?q?a?=\r\n =?utf-8?b?Yg==?= c", "ab c" },
	{ "encoded word without blanks around it", "Subject", "x=?utf-8?q?a?=y", "xay" },
	{ "in the second charset", "Subject", "=?iso-8859-15?q?=A4?= =?windows-1252?q?=80=81?=", "\xe2\x82\xac\xe2\x82\xac\xef\xbf\xbd" },
	{ "koi8-r, by another name", "Subject", "=?csKOI8R?q?=C1?=", "\xd0\xb0" },
	{ "utf-16", "Subject", "=?utf-16be?q?=00a=20=AC?=", "a\xe2\x82\xac" },
	{ "unknown charset: bytes", "Subject", "=?bogus?q?=C3=A9?=", "\xc3\xa9" },
	{ "a codec that is no charset", "Subject", "=?hex?q?41?=", "41" },
	{ "a charset of Odoo's own", "Subject", "=?iso-8859-8-i?q?=E0?=", "\xd7\x90" },
	{ "the end of an encoded word mistaken", "Subject", "=?utf-8?q?=41?=", "A" },
	{ "broken base64", "Subject", "=?utf-8?b?YWI?= =?utf-8?b?Y?= =?utf-8?b?Y*W=I=?=", "abYab" },
	{ "no encoded word", "Subject", "=?utf-8?x?a?= =?utf-8?q?a", "=?utf-8?x?a?= =?utf-8?q?a" },
	{ "blanks inside", "Subject", "=?utf-8?q?a b?=", "a b" },
	{ "bytes of one character in two words", "Subject", "=?us-ascii?q?=C3?= =?us-ascii?q?=A9?=", "\xc3\xa9" },
	{ "Delivered-To", "Delivered-To", " sales@", "sales@" },
};

static const struct row others[] = {
	{ "message id", "Message-ID", " <a.b@c.d> junk", "<a.b@c.d> " },
	{ "message id with comments", "Message-Id", "(x) <a@b> (y)", "(x) <a@b> (y)" },
	{ "message id in an old form", "Message-ID", "<a.@b>", "<a.@b>" },
	{ "message id, literal", "Message-ID", "<a@[x y]>", "<a@[x y]>" },
	{ "message id without brackets", "Message-ID", "a@b =?utf-8?q?c?=", "a@b c" },
	{ "message id without a right side", "Message-ID", "<a>", "<a>" },
	{ "empty brackets", "Message-ID", "<>", NULL },
	{ "nothing behind the at", "Message-ID", "<a@", NULL },
	{ "blank in a literal", "Message-ID", "<a@[ x]>", NULL },
	{ "content type", "Content-Type", " text/plain; charset=utf-8", "text/plain; charset=\"utf-8\"" },
	{ "content type without type", "Content-Type", "", "" },
	{ "content type with comments", "Content-Type", "text (a) / plain (b);x=y", "text (a) / plain (b); x=\"y\"" },
	{ "parts of a parameter", "Content-Type", "a/b; n*1=y; n*0=x; m=\"q\\\"r\"", "a/b; n=\"xy\"; m=\"q\\\"r\"" },
	{ "RFC 2231", "Content-Disposition", "attachment; filename*=utf-8''%E2%82%AC%20x", "attachment; filename=\"\xe2\x82\xac x\"" },
	{ "RFC 2231 in quotes", "Content-Disposition", "inline; filename*=\"utf-8''%41\"", "inline; filename=\"A\"" },
	{ "parts in percent", "Content-Type", "a/b; n*0*=utf-8'en'%41; n*1*=%42; n*2=%43", "a/b; n=\"AB%43\"" },
	{ "twice the same", "Content-Type", "a/b; n=x; n=y", "a/b; n=\"x\"" },
	{ "no value", "Content-Type", "a/b; n", "a/b; n" },
	{ "junk", "Content-Type", "multipart /mixed foo; a=b; =c;; d=e f", "multipart /mixed foo; a=\"b\"; d=\"e\"" },
	{ "a star at the end", "Content-Type", "a/b; n*", NULL },
	{ "quotes around nothing extended", "Content-Type", "a/b; n*=\"utf-8''\"", NULL },
	{ "encoding", "Content-Transfer-Encoding", " Base64 (x) y", "Base64 (x) y" },
	{ "version", "MIME-Version", " 1.0 (a)", "1.0 (a)" },
	{ "date", "Date", " Mon, 1 Jan 2024 10:00:00 +0100", "Mon, 01 Jan 2024 10:00:00 +0100" },
	{ "date of old", "Date", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 +0000" },
	{ "date in another order", "Date", "Feb 29 10:00 2024 -0000", "Thu, 29 Feb 2024 10:00:00 -0000" },
	{ "not a date", "Date", " 30 Feb 2024 10:00 +0000 ", "30 Feb 2024 10:00 +0000 " },
	{ "a year too large", "Date", "1 Jan 99999999999 10:00:00 +0000", NULL },
};

static void
run(const struct row *rows, size_t n)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);

	for (size_t i = 0; i < n; i++) {
		struct pn_str out = PN_STR("untouched");
		enum pn_status st = pn_header_value(pn_str_c(rows[i].name), pn_str_c(rows[i].raw), arena, &out);

		if (st != (rows[i].want == NULL ? PN_INVALID : PN_OK)
		    || !pn_str_eq(out, pn_str_c(rows[i].want == NULL ? "untouched" : rows[i].want)))
			fail_msg("%s: %s \"" PN_STR_FMT "\"", rows[i].title, pn_status_name(st), PN_STR_ARG(out));
		pn_arena_reset(arena);
	}
	pn_arena_free(arena);
}

static void
address_lists(void **state)
{
	(void)state;
	run(addresses, PN_COUNT(addresses));
}

static void
unstructured_values(void **state)
{
	(void)state;
	run(unstructured, PN_COUNT(unstructured));
}

static void
other_kinds(void **state)
{
	(void)state;
	run(others, PN_COUNT(others));
}

static void
nul_is_a_character(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_str out;

	(void)state;
	assert_int_equal(pn_header_value(PN_STR("To"), PN_STR("a\0b@c.d"), arena, &out), PN_OK);
	assert_true(pn_str_eq(out, PN_STR("a\0b@c.d")));
	pn_arena_free(arena);
}

/* Under the sanitizers each allocation is costly. */
#ifdef PN_SAN
enum { MUCH = 1 << 16 };
#else
enum { MUCH = 1 << 20 };
#endif

/* The piece over and over. */
static struct pn_str
much_of(struct pn_arena *arena, const char *piece)
{
	size_t n = MUCH, step = strlen(piece);
	char *p = pn_arena_alloc(arena, n);

	for (size_t i = 0; i + step <= n; i += step)
		memcpy(p + i, piece, step);
	return pn_str_n(p, n - n % step);
}

static void
megabytes_take_linear_time(void **state)
{
	static const char *const names[] = { "To", "Subject", "Message-ID", "Content-Type", "Date" };
	static const char *const pieces[] = {
		"(", "\"", "<", "@", ",", ".", " ", "[", "\\", "a ", "a b,", "a@b,", "=?", "=?a ", "=?a,", "<@a,",
		"a:b,", "a@[,", "(a),", "=?utf-8?q?a?= ", "a=?utf-8?q?a?=", "=?utf-8?q?\"?=x@y,", "a;", "a*0=b;",
		"=?utf-8?q?a?= =?b,", "\xff",
	};
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);

	(void)state;
	for (size_t i = 0; i < PN_COUNT(names) * PN_COUNT(pieces); i++) {
		const char *name = names[i % PN_COUNT(names)], *piece = pieces[i / PN_COUNT(names)];
		struct pn_str raw = much_of(arena, piece), out;
		clock_t begin = clock(), spent;
		enum pn_status st = pn_header_value(pn_str_c(name), raw, arena, &out);

		spent = (clock() - begin) / (CLOCKS_PER_SEC / 1000);
		assert_true(st == PN_OK || st == PN_INVALID || st == PN_LIMIT);
#ifndef PN_SAN
		/* Far above what it takes, far below what a square would. */
		if (spent > 3000)
			fail_msg("%s: %s takes %ld ms", name, piece, (long)spent);
#else
		(void)spent;
#endif
		pn_arena_reset(arena);
	}
	pn_arena_free(arena);
}

static void
limits(void **state)
{
	struct pn_arena *arena = pn_arena_new(16u << 20), *small = pn_arena_new(64);
	struct pn_str dots = much_of(arena, "."), long_text = much_of(arena, "abcdefgh"), out;
	char deep[2 * PN_HEADER_COMMENT_DEPTH_MAX + 8] = "";

	(void)state;
	memset(deep, '(', PN_HEADER_COMMENT_DEPTH_MAX);
	memset(deep + PN_HEADER_COMMENT_DEPTH_MAX, ')', PN_HEADER_COMMENT_DEPTH_MAX);
	memcpy(deep + 2 * PN_HEADER_COMMENT_DEPTH_MAX, "a@b", 3);
	assert_int_equal(pn_header_value(PN_STR("To"), pn_str_c(deep), arena, &out), PN_OK);
	assert_true(pn_str_eq(out, PN_STR("a@b")));
	memset(deep, '(', PN_HEADER_COMMENT_DEPTH_MAX + 1);
	assert_int_equal(pn_header_value(PN_STR("To"), pn_str_c(deep), arena, &out), PN_LIMIT);
	assert_int_equal(pn_header_value(PN_STR("To"), dots, arena, &out), PN_LIMIT);
	assert_int_equal(pn_header_value(PN_STR("Content-Type"), much_of(arena, "a;"), arena, &out), PN_LIMIT);
	assert_int_equal(pn_header_value(PN_STR("Subject"), long_text, small, &out), PN_LIMIT);
	assert_int_equal(pn_header_value(PN_STR("X"), pn_str_n(dots.p, PN_HEADER_VALUE_MAX + 1), arena, &out), PN_LIMIT);
	pn_arena_free(small);
	pn_arena_free(arena);
}

static void
charset_names(void **state)
{
	static const struct {
		const char *name;
		bool known;
	} rows[] = {
		{ "utf-8", true }, { "UTF_8", true }, { " u8 ", true }, { "ISO-8859-1", true }, { "iso8859_1", true },
		{ "latin 1", true }, { "l1", true }, { "ansi_x3.4-1968", true }, { "iso.8859.1", true }, { "cp-850", true },
		{ "874", true }, { "windows-874", true }, { "iso-8859-8-i", true }, { "ISO-8859-8e", true },
		{ "gb2312", true }, { "idna", true }, { "", false }, { "-", false }, { "bogus", false }, { "hex", false },
		{ "rot13", false }, { "mbcs", false }, { "x-user-defined", false }, { "unknown-8bit", false },
		{ "utf8mb4", false }, { "utf.8", false }, { "iso-8859-8-x", false },
		{ "iso-8859-8-implicit-and-whatever-may-follow-it", true },
		{ "utf-8utf-8utf-8utf-8utf-8utf-8utf-8utf-8", false },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++)
		if ((pn_charset_find(pn_str_c(rows[i].name)) != NULL) != rows[i].known)
			fail_msg("charset \"%s\"", rows[i].name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_lists),
		cmocka_unit_test(unstructured_values),
		cmocka_unit_test(other_kinds),
		cmocka_unit_test(nul_is_a_character),
		cmocka_unit_test(limits),
		cmocka_unit_test(charset_names),
		cmocka_unit_test(megabytes_take_linear_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
