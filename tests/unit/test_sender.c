#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/buf.h"
#include "postern/header_value.h"
#include "postern/sender.h"

#define S PN_STR

static const char notification[] = "notifications@acme.example", bounce[] = "bounce@acme.example";

static const struct {
	const char *name, *sender, *from, *bounce, *filter;
	const char *header_from;	/* NULL: stays */
	const char *envelope;		/* NULL: none can be had */
} rows[] = {
	{ "own domain", "joe@acme.example", "joe@acme.example", bounce, "acme.example", NULL, bounce },
	{ "13.1: as N, the name of M", notification, "\"Joe, X\" <joe@x.example>", bounce, "acme.example",
	    "\"Joe, X\" <notifications@acme.example>", bounce },
	{ "13.1: without a name its local part", notification, "joe@x.example", bounce, "acme.example",
	    "\"joe\" <notifications@acme.example>", bounce },
	{ "13.1: quotes in a name", notification, "\"say \\\"hi\\\"\" <joe@x.example>", bounce, "",
	    "\"say \\\"hi\\\"\" <notifications@acme.example>", bounce },
	{ "13.1: words without an address", notification, "\"not an address\"", bounce, "",
	    "\"not an address\" <notifications@acme.example>", bounce },
	{ "M is N under a name: From becomes S as given", notification, "N <Notifications@acme.example>",
	    bounce, "",
	    notification, bounce },
	{ "S is N in another case", "Notifications@ACME.example", "joe@x.example", bounce, "",
	    "\"joe\" <notifications@acme.example>", bounce },
	{ "no From: the plain address", notification, "", bounce, "acme.example", notification, bounce },
	{ "several in M: the first one's name", notification, "A <a@x.example>, b@x.example", bounce, "",
	    "\"A\" <notifications@acme.example>", bounce },
	{ "no S: M", "", "joe@x.example", bounce, "", NULL, bounce },
	{ "13.2: the bounce address is not covered", "ceo@acme.example", "ceo@acme.example", bounce,
	    "ceo@acme.example",
	    NULL, "ceo@acme.example" },
	{ "13.2: no filter covers it", "joe@x.example", "joe@x.example", bounce, "", NULL, bounce },
	{ "13.2: a filter of blanks covers nothing", "joe@x.example", "joe@x.example", bounce, " ", NULL,
	    "joe@x.example" },
	{ "13.2: envelope of the rewritten From", notification, "joe@x.example", "bounce@y.example",
	    "acme.example",
	    "\"joe\" <notifications@acme.example>", notification },
	{ "no bounce address: the From", "Joe <joe@x.example>", "Joe <joe@x.example>", "", "", NULL,
	    "joe@x.example" },
	{ "no bounce address: M, before it is rewritten", notification, "joe@x.example", "", "x.example",
	    "\"joe\" <notifications@acme.example>", "joe@x.example" },
	{ "13.3: a name in it", "joe@x.example", "joe@x.example", "B <bounce@acme.example>", "", NULL,
	    bounce },
	{ "13.3: the last one", "joe@x.example", "joe@x.example", "a@x.example, b@x.example", "", NULL,
	    "b@x.example" },
	{ "13.3: A-labels", "joe@x.example", "joe@x.example", "b@\xc3\xbc.example", "", NULL,
	    "b@xn--tda.example" },
	{ "13.3: a quoted local part", "\"q\"@x.example", "\"q\"@x.example", "", "", NULL, NULL },
	{ "13.3: none at all", "Joe", "Joe", "", "", NULL, NULL },
	{ "a line end in it", "joe@x.example", "joe@x.example", "b@x.example\r\nRCPT", "", NULL, NULL },
	{ "a bracket in it", "joe@x.example", "joe@x.example", "b>c@x.example", "", NULL, NULL },
};

static void
decides(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct pn_sender_question q = {
			.sender = pn_str_c(rows[i].sender), .header_from = pn_str_c(rows[i].from),
			.notification = pn_str_c(notification), .bounce = pn_str_c(rows[i].bounce),
			.from_filter = pn_str_c(rows[i].filter),
		};
		struct pn_sender out = { .rewritten = false };
		struct pn_error err = { "" };
		enum pn_status st = pn_sender_decide(&q, arena, &out, &err);
		struct pn_str from = rows[i].header_from == NULL ? q.header_from
		    : pn_str_c(rows[i].header_from);

		if (st != (rows[i].envelope == NULL ? PN_NOT_FOUND : PN_OK))
			fail_msg("%s: %s", rows[i].name, pn_status_name(st));
		if (st == PN_OK && (!pn_str_eq(out.header_from, from)
		    || out.rewritten != (rows[i].header_from != NULL)
		    || !pn_str_eq(out.envelope, pn_str_c(rows[i].envelope))))
			fail_msg("%s: " PN_STR_FMT ", " PN_STR_FMT, rows[i].name, PN_STR_ARG(out.header_from),
			    PN_STR_ARG(out.envelope));
		if (st == PN_NOT_FOUND)
			assert_int_not_equal(err.text[0], '\0');
		pn_arena_free(arena);
	}
}

static void
without_a_notification_address(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_sender_question q = { .sender = S("joe@x.example"), .header_from = S("joe@x.example"),
	    .notification = S(""), .bounce = S(""), .from_filter = S("") };
	struct pn_sender out;

	(void)state;
	assert_int_equal(pn_sender_decide(&q, arena, &out, NULL), PN_OK);
	assert_false(out.rewritten);
	pn_arena_free(arena);
}

static void
an_envelope_that_smtp_does_not_carry(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_str local = pn_arena_printf(arena, "%0*d", PN_ENVELOPE_MAX - 2, 0);
	struct pn_sender_question q = {
	    .header_from = pn_arena_printf(arena, PN_STR_FMT "@x", PN_STR_ARG(local)),
	    .sender = S(""), .notification = S(""), .bounce = S(""), .from_filter = S("") };
	struct pn_sender out;

	(void)state;
	assert_int_equal(pn_sender_decide(&q, arena, &out, NULL), PN_OK);
	q.header_from = pn_arena_printf(arena, "0" PN_STR_FMT "@x", PN_STR_ARG(local));
	assert_int_equal(pn_sender_decide(&q, arena, &out, NULL), PN_NOT_FOUND);
	pn_arena_free(arena);
}

/* -- writing it ------------------------------------------------------------------------ */

static const struct {
	const char *name, *from;
	const char *field;	/* NULL: refused */
} fields[] = {
	{ "an address", "n@acme.example", "n@acme.example" },
	{ "a name", "\"Joe X\" <n@acme.example>", "\"Joe X\" <n@acme.example>" },
	{ "a name with marks", "\"Joe, \\\"X\\\" \\\\\" <n@acme.example>",
	    "\"Joe, \\\"X\\\" \\\\\" <n@acme.example>" },
	{ "a name of other letters", "\"J\xc3\xb6rg\" <n@acme.example>",
	    "=?utf-8?q?J=C3=B6rg?=\n <n@acme.example>" },
	{ "an IDN", "n@\xc3\xbc.example", "n@xn--tda.example" },
	{ "an address in the name", "\"x@y.example\" <n@acme.example>", "\"x@y.example\" <n@acme.example>" },
	{ "what looks encoded", "\"=?utf-8?q?a?=\" <n@acme.example>",
	    "=?utf-8?q?=3D=3Futf=2D8=3Fq=3Fa=3F=3D?=\n <n@acme.example>" },
	{ "a line end in the name", "\"a\nBcc: x\" <n@acme.example>",
	    "=?utf-8?q?a=0ABcc=3A_x?=\n <n@acme.example>" },
	{ "a CR, which ends the name for Odoo", "\"a\rBcc: x\" <n@acme.example>", NULL },
	{ "as much as a word takes",
	    "\"\xc3\xb6 b23456789012345678901234567890123456789012345\" <n@acme.example>",
	    "=?utf-8?q?=C3=B6_b23456789012345678901234567890123456789012345?=\n <n@acme.example>" },
	{ "two words, letters whole",
	    "\"\xc3\xb6 b2345678901234567890123456789012345678901234\xc3\xb6\xc3\xb6\""
	    " <n@acme.example>",
	    "=?utf-8?q?=C3=B6_b2345678901234567890123456789012345678901234=C3=B6?=\n =?utf-8?q?=C3=B6?="
	    "\n <n@acme.example>" },
	{ "a long name", "\"a2345678901234567890123456789012345678901234567890123456789x\" <n@acme.example>",
	    "\"a2345678901234567890123456789012345678901234567890123456789x\" <n@acme.example>" },
	{ "a longer one",
	    "\"a2345678901234567890123456789012345678901234567890123456789xy\" <n@acme.example>",
	    "=?utf-8?q?a234567890123456789012345678901234567890123456789012?=\n =?utf-8?q?3456789xy?="
	    "\n <n@acme.example>" },
	{ "no address", "Joe", NULL },
	{ "nothing", "", NULL },
	{ "a control character in the address", "<n\x01@acme.example>", NULL },
	{ "no such domain", "n@\xc3\xbc..example", NULL },
};

static void
writes(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(fields); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct pn_str field = S("refused");
		enum pn_status st = pn_sender_field(pn_str_c(fields[i].from), arena, &field, NULL);
		const char *want = fields[i].field == NULL ? "refused" : fields[i].field;

		if (st != (fields[i].field == NULL ? PN_INVALID : PN_OK) || !pn_str_eq(field, pn_str_c(want)))
			fail_msg("%s: %s, " PN_STR_FMT, fields[i].name, pn_status_name(st),
			    PN_STR_ARG(field));
		pn_arena_free(arena);
	}
}

static struct pn_str
without_blanks(struct pn_str text, struct pn_arena *arena)
{
	char *p = pn_arena_alloc(arena, text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != ' ')
			p[n++] = text.p[i];
	return pn_str_n(p, n);
}

/* Odoo reads the same in it, but for a blank that its Python leaves between the
 * words of a name; no line is long. */
static void
long_names_are_folded(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 22);
	struct pn_buf from;
	struct pn_str field, line, want, have;

	(void)state;
	pn_buf_init(&from, 1 << 20);
	pn_buf_add_char(&from, '"');
	for (unsigned i = 0; i < 1000; i++)
		pn_buf_add_c(&from, i % 3 ? "x" : "\xe2\x82\xac");
	pn_buf_add_c(&from, "\" <n@acme.example>");
	assert_int_equal(pn_sender_field(pn_buf_str(&from), arena, &field, NULL), PN_OK);
	assert_int_equal(pn_header_value(S("From"), pn_buf_str(&from), arena, &want), PN_OK);
	assert_int_equal(pn_header_value(S("From"), field, arena, &have), PN_OK);
	if (!pn_str_eq(without_blanks(have, arena), without_blanks(want, arena)))
		fail_msg(PN_STR_FMT "\n" PN_STR_FMT, PN_STR_ARG(have), PN_STR_ARG(want));
	while (pn_str_split(&field, '\n', &line))
		assert_in_range(line.n, 1, 76);
	pn_buf_done(&from);
	pn_arena_free(arena);
}

static void
names_without_end_are_cut(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 24);
	size_t n = 1 << 20;
	char *from = malloc(n);
	struct pn_str field;

	(void)state;
	assert_non_null(from);
	memset(from, 0xc3, n);
	from[0] = from[n - 8] = '"';
	memcpy(from + n - 7, " <n@x.y", 7);
	assert_int_equal(pn_sender_field(pn_str_n(from, n), arena, &field, NULL), PN_OK);
	assert_in_range(field.n, PN_SENDER_NAME_MAX, 8 * PN_SENDER_NAME_MAX);
	assert_true(pn_str_ends(field, S("\n <n@x.y>")));
	free(from);
	pn_arena_free(arena);
}

/* -- marks ----------------------------------------------------------------------------------- */

static void
marks_of_mass_mailing(void **state)
{
	static const struct {
		const char *name;
		struct pn_field fields[2];
		const char *from;
		bool mass;
	} mails[] = {
		{ "Odoo's", { { S("list-unsubscribe"), S(" <https://x>") },
		    { S("Precedence"), S(" list") } }, "", true },
		{ "one of the two", { { S("List-Unsubscribe"), S(" <https://x>") } }, "", false },
		{ "the other", { { S("Precedence"), S(" list") } }, "", false },
		{ "a configured field", { { S("X-Campaign"), S(" 7") } }, "", true },
		{ "a configured value", { { S("x-kind"), S("  NEWS\r\n") } }, "", true },
		{ "another value", { { S("X-Kind"), S(" newsletter") } }, "", false },
		{ "a configured sender", { { S("Subject"), S(" x") } }, "news@acme.example", true },
		{ "another sender", { { S("Subject"), S(" x") } }, "joe@acme.example", false },
	};
	struct pn_str headers[] = { S("X-Campaign"), S("X-Kind: news") },
	    senders[] = { S("news@acme.example"), S("") };
	struct pn_mass_marks marks = { { headers, 2 }, { senders, 2 } };

	(void)state;
	for (size_t i = 0; i < PN_COUNT(mails); i++) {
		struct pn_fields of = { (struct pn_field *)(uintptr_t)mails[i].fields, 2 };

		if (mails[i].fields[1].name.p == NULL)
			of.n = 1;
		if (pn_is_mass_mailing(of, pn_str_c(mails[i].from), &marks) != mails[i].mass)
			fail_msg("%s", mails[i].name);
	}
}

static void
what_never_leaves(void **state)
{
	static const char *const stays[] = { "return-path", "BCC", "Resent-Bcc", "X-Forge-To", "X-Msg-To-Add",
	    "X-Msg-To-Consolidate", "X-Postern-Relay", "x-postern-anything" };
	static const char *const leaves[] = { "To", "From", "Bc", "Bccx", "X-Postern", "X-Odoo-Objects", "" };

	(void)state;
	for (size_t i = 0; i < PN_COUNT(stays); i++)
		assert_true(pn_never_leaves(pn_str_c(stays[i])));
	for (size_t i = 0; i < PN_COUNT(leaves); i++)
		assert_false(pn_never_leaves(pn_str_c(leaves[i])));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decides),
		cmocka_unit_test(without_a_notification_address),
		cmocka_unit_test(an_envelope_that_smtp_does_not_carry),
		cmocka_unit_test(writes),
		cmocka_unit_test(long_names_are_folded),
		cmocka_unit_test(names_without_end_are_cut),
		cmocka_unit_test(marks_of_mass_mailing),
		cmocka_unit_test(what_never_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
