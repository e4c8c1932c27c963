#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/fields.h"

#define S PN_STR

static enum pn_status
parse(const char *text, struct pn_arena *arena, struct pn_message *out, struct pn_error *err)
{
	struct pn_mime_result mime = { .top_type = S("text/plain") };
	struct pn_fields fields;
	struct pn_str body;

	assert_int_equal(pn_fields_split(pn_str_c(text), arena, &fields, &body), PN_OK);
	return pn_message_parse(fields, &mime, false, arena, out, err);
}

static const struct {
	const char *name, *text;
	const char *from, *sender, *to, *cc, *recipients, *id;
} rows[] = {
	{ "plain", "From: j@x.test\nTo: a@b.test\nMessage-Id: <1@x>\n\n", "j@x.test", "j@x.test", "a@b.test",
	    "", "a@b.test", "<1@x>" },
	{ "names", "From: \"J, D\" <J@X.test>\nTo: A <a@b.test>\n\n", "\"J, D\" <J@X.test>", "j@x.test",
	    "a@b.test", "", "a@b.test", "" },
	{ "several From", "From: J <j@x.test>, k@x.test\nFrom: l@x.test\n\n", "\"J\" <j@x.test>", "j@x.test",
	    "", "", "", "" },
	{ "no From", "To: a@b.test\n\n", "", "", "a@b.test", "", "a@b.test", "" },
	{ "From without address", "From: Jane\n\n", "Jane", "", "", "", "", "" },
	{ "all kinds of recipients", "Cc: c@x\nResent-Cc: rc@x\nTo: t@x\nDelivered-To: d@x\nResent-To: "
	    "rt@x\nBcc: b@x\nX-Original-To: x@x\n\n", "", "", "d@x,t@x", "c@x", "d@x,t@x,c@x,rt@x,rc@x", "" },
	{ "each address once", "To: a@b, a@b\nDelivered-To: a@b\n\n", "", "", "a@b", "", "a@b", "" },
	{ "but in Cc", "Cc: a@b, a@b\n\n", "", "", "", "a@b,a@b", "a@b", "" },
	{ "but not with another name", "To: A <a@b>, a@b, B <a@b>, A <a@b>\nCc: A <a@b>, C <a@b>\n\n", "", "",
	    "a@b,a@b,a@b", "a@b,a@b", "a@b,a@b,a@b,a@b", "" },
	{ "quoted parts, in To only", "To: \"a;b\"@x, c@d\nCc: c@d, e@f\n\n", "", "", "\"a;b\"@x,c@d", "c@d,e@f",
	    "\"a;b\"@x,c@d,e@f", "" },
	{ "a line end in a name hides", "Delivered-To: =?utf-8?q?=22x=0Dy=22?= <a@b>, c@d\nTo: e@f\n\n", "", "",
	    "e@f", "", "e@f", "" },
	{ "no local part", "Delivered-To: @b.test, c@d.test\nTo: e@f.test\n\n", "", "", "c@d.test,e@f.test", "",
	    "c@d.test,e@f.test", "" },
	{ "several To", "To: a@b\nTo:\nTo: c@d\n\n", "", "", "a@b,c@d", "", "a@b,c@d", "" },
	{ "group", "To: Team: a@b, c@d;\n\n", "", "", "a@b,c@d", "", "a@b,c@d", "" },
	{ "encoded name", "From: =?utf-8?q?J=C3=B6?= <j@x.test>\n\n", "\"J\xc3\xb6\" <j@x.test>", "j@x.test",
	    "", "", "", "" },
	{ "folded", "To: a@b,\n c@d\n\n", "", "", "a@b,c@d", "", "a@b,c@d", "" },
	{ "id with blanks around", "Message-Id:   <1@x>  \n\n", "", "", "", "", "", "<1@x>" },
	{ "the first id", "Message-Id: <1@x>\nMESSAGE-ID: <2@x>\n\n", "", "", "", "", "", "<1@x>" },
};

static void
headers_are_read_as_odoo_does(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct pn_error err = { "" };
		struct pn_message m;
		struct {
			const char *what, *want;
			struct pn_str got;
		} texts[6];

		if (parse(rows[i].text, arena, &m, &err) != PN_OK)
			fail_msg("%s: %s", rows[i].name, err.text);
		texts[0].what = "from", texts[0].want = rows[i].from, texts[0].got = m.email_from;
		texts[1].what = "sender", texts[1].want = rows[i].sender, texts[1].got = m.sender;
		texts[2].what = "to", texts[2].want = rows[i].to, texts[2].got = pn_strs_join(m.to, S(","),
		    arena);
		texts[3].what = "cc", texts[3].want = rows[i].cc, texts[3].got = pn_strs_join(m.cc, S(","),
		    arena);
		texts[4].what = "recipients", texts[4].want = rows[i].recipients;
		texts[4].got = pn_strs_join(m.recipients, S(","), arena);
		texts[5].what = "id", texts[5].want = rows[i].id, texts[5].got = m.message_id;
		for (size_t j = 0; j < PN_COUNT(texts); j++)
			if (!pn_str_eq(texts[j].got, pn_str_c(texts[j].want)))
				fail_msg("%s: %s \"" PN_STR_FMT "\"", rows[i].name, texts[j].what,
				    PN_STR_ARG(texts[j].got));
		pn_arena_free(arena);
	}
}

static void
what_is_answered(void **state)
{
	static const struct { const char *name, *text, *want; } table[] = {
		{ "nothing", "\n", "" },
		{ "References", "References: <1@x> <2@x>\n\n", "<1@x> <2@x>" },
		{ "hides In-Reply-To", "References: <1@x>\nIn-Reply-To: <2@x>\n\n", "<1@x>" },
		{ "even as junk", "References: junk\nIn-Reply-To: <2@x>\n\n", "" },
		{ "but not when empty", "References:\nIn-Reply-To: <2@x>\n\n", "<2@x>" },
		{ "two fields", "References: <1@x>\nReferences: <2@x>\n\n", "<1@x> <2@x>" },
		{ "reply_to anywhere", "References: <a-openerp-reply_to@x> <2@x> <reply_to_x@y>\n\n",
		    "<2@x>" },
		{ "folded inside", "References: <1@\n x>\n\n", "<1@x>" },
	};
	(void)state;
	for (size_t i = 0; i < PN_COUNT(table); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct pn_error err = { "" };
		struct pn_message m;
		struct pn_str got;

		assert_int_equal(parse(table[i].text, arena, &m, &err), PN_OK);
		got = pn_strs_join(m.answered_ids, S(" "), arena);
		if (!pn_str_eq(got, pn_str_c(table[i].want)))
			fail_msg("%s: " PN_STR_FMT, table[i].name, PN_STR_ARG(got));
		pn_arena_free(arena);
	}
}

static void
only_the_last_ids_count(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 24);
	char text[40 * 20 + 64] = "References:";
	struct pn_error err = { "" };
	struct pn_message m;

	(void)state;
	for (int i = 0; i < 40; i++)
		(void)snprintf(text + strlen(text), 20, " <%d@x>", i);
	(void)snprintf(text + strlen(text), 20, " <reply_to@x>\n\n");
	assert_int_equal(parse(text, arena, &m, &err), PN_OK);
	assert_int_equal(m.reference_ids.n, 41);
	assert_int_equal(m.answered_ids.n, 32);
	assert_true(pn_str_eq(m.answered_ids.v[0], S("<8@x>")));
	assert_true(pn_str_eq(m.answered_ids.v[31], S("<39@x>")));
	pn_arena_free(arena);
}

static void
what_odoo_gives_up_on_is_named(void **state)
{
	static const struct { const char *text, *says; } table[] = {
		{ "To: sales@\n\n", "To cannot be read" }, { "Cc: Team: a@b; c@d\n\n", "Cc cannot be read" },
		{ "From: a@b.test, .c@d.test\n\n", "From cannot be read" }, { "Resent-To: a@\n\n",
		    "Resent-To cannot be read" },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(table); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct pn_error err = { "" };
		struct pn_message m = { .automatic = true };

		assert_int_equal(parse(table[i].text, arena, &m, &err), PN_INVALID);
		if (strstr(err.text, table[i].says) == NULL)
			fail_msg("%s: %s", table[i].text, err.text);
		pn_arena_free(arena);
	}
}

static void
automatic_mail(void **state)
{
	static const struct { const char *text; bool automatic; } table[] = {
		{ "Subject: x\n\n", false }, { "Auto-Submitted: auto-replied\n\n", true }, {
		    "Auto-Submitted: no\n\n", false },
		{ "auto-submitted: AUTO-generated (x)\n\n", true }, { "Precedence: bulk\n\n", true }, {
		    "Precedence: LIST\n\n", true },
		{ "Precedence: junk\n\n", true }, { "Precedence: first-class\n\n", false }, {
		    "X-Auto-Response-Suppress: OOF\n\n", true },
		{ "List-Id: <x>\n\n", true }, { "LIST-UNSUBSCRIBE: <x>\n\n", true }, { "Listen: x\n\n",
		    false }, { "X-Loop: x\n\n", false },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(table); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_fields fields;
		struct pn_str body;

		assert_int_equal(pn_fields_split(pn_str_c(table[i].text), arena, &fields, &body), PN_OK);
		if (pn_message_automatic(fields, false) != table[i].automatic)
			fail_msg("%s", table[i].text);
		assert_true(pn_message_automatic(fields, true));
		pn_arena_free(arena);
	}
}

/* 100,000 recipients, and as many as there is memory for. */
static void
long_lists_end(void **state)
{
	static char text[14 * 100000 + 16] = "To: ";
	struct pn_arena *arena = pn_arena_new((size_t)1 << 30);
	struct pn_error err = { "" };
	struct pn_message m;
	size_t n = 4;

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "u%u@x.test,", i);
	text[n - 1] = '\n';
	assert_int_equal(parse(text, arena, &m, &err), PN_OK);
	assert_int_equal(m.recipients.n, 100000);
	pn_arena_free(arena);
	arena = pn_arena_new(4 << 20);
	assert_int_equal(parse(text, arena, &m, &err), PN_LIMIT);
	assert_non_null(strstr(err.text, "more than one message may"));
	pn_arena_free(arena);
}

/* Whatever is written into it, an address field of 250 kB asks for at most 30
 * bytes a byte. */
static void
memory_is_in_proportion(void **state)
{
	static const struct { const char *name, *field, *unit; } table[] = {
		{ "short", "To: ", "a@b," }, { "named", "To: ", "A <a@b>," }, { "quoted", "To: ", "\"a b\"@c," },
		{ "group", "To: ", "g:a@b;," }, { "encoded", "Cc: ", "=?utf-8?q?=C3=A9?= <a@b>," },
		{ "route", "To: <", "@a," }, { "comments", "To: ", "(a)" }, { "8-bit", "To: ", "\xc3\xa9@b," },
		{ "no local part", "Delivered-To: ", "@b.cd," }, { "ids", "References: ", "<a@b>" },
		{ "names only", "Delivered-To: ", "a b@c," },
	};
	enum { SIZE = 250000 };
	static char text[SIZE + 100];

	(void)state;
	for (size_t i = 0; i < PN_COUNT(table); i++) {
		struct pn_arena *arena = pn_arena_new((size_t)30 * SIZE);
		struct pn_error err = { "" };
		struct pn_message m;
		size_t n = strlen(table[i].field);

		memcpy(text, table[i].field, n + 1);
		for (; n < SIZE; n += strlen(table[i].unit))
			memcpy(text + n, table[i].unit, strlen(table[i].unit) + 1);
		memcpy(text + n, "\n\n", 3);
		if (parse(text, arena, &m, &err) != PN_OK)
			fail_msg("%s: %s", table[i].name, err.text);
		pn_arena_free(arena);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_read_as_odoo_does),
		cmocka_unit_test(what_is_answered),
		cmocka_unit_test(only_the_last_ids_count),
		cmocka_unit_test(what_odoo_gives_up_on_is_named),
		cmocka_unit_test(automatic_mail),
		cmocka_unit_test(long_lists_end),
		cmocka_unit_test(memory_is_in_proportion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
