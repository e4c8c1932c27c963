#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/fields.h"

/* Fields are written "name=raw", joined by "|"; line ends as they come. */
static const struct {
	const char *name, *text, *fields, *body;
} rows[] = {
	{ "CRLF", "A: 1\r\nB: 2\r\n\r\nbody\r\n", "A= 1|B= 2", "body\r\n" },
	{ "LF", "A: 1\nB: 2\n\nbody\n", "A= 1|B= 2", "body\n" },
	{ "CR", "A: 1\rB: 2\r\rbody\r", "A= 1|B= 2", "body\r" },
	{ "a mixture", "A: 1\rB: 2\nC: 3\r\n\n\r\nbody", "A= 1|B= 2|C= 3", "\r\nbody" },
	{ "nothing", "", "", "" },
	{ "no body", "A: 1\r\n", "A= 1", "" },
	{ "cut off", "A: 1", "A= 1", "" },
	{ "no headers", "\r\nbody", "", "body" },
	{ "folded", "A: 1\r\n 2\r\n\t3\r\nB: x\r\n\r\n", "A= 1\r\n 2\r\n\t3|B= x", "" },
	{ "folded over a blank line", "A: 1\r\n \r\n 2\r\n\r\nb", "A= 1\r\n \r\n 2", "b" },
	{ "empty value", "A:\r\nB:\r\n\r\n", "A=|B=", "" },
	{ "no blank behind the colon", "A:1\r\n\r\n", "A=1", "" },
	{ "body without a blank line", "A: 1\r\nno header\r\nB: 2\r\n", "A= 1", "no header\r\nB: 2\r\n" },
	{ "blank in the name", "A: 1\r\nB c: 2\r\n\r\n", "A= 1", "B c: 2\r\n\r\n" },
	{ "blank before the colon", "A: 1\r\nB : 2\r\n\r\n", "A= 1", "B : 2\r\n\r\n" },
	{ "no name", ": x\r\nA: 1\r\n\r\n", "A= 1", "" },
	{ "mbox line at the head", "From me now\nA: 1\n\nb", "A= 1", "b" },
	{ "continuation at the head", " x\nA: 1\n\nb", "A= 1", "b" },
	{ "8-bit name", "A: 1\nB\xc3\xa9: 2\n\n", "A= 1", "B\xc3\xa9: 2\n\n" },
	{ "colons in the value", "A: b: c\n\n", "A= b: c", "" },
	{ "two of a name", "A: 1\nA: 2\n\n", "A= 1|A= 2", "" },
};

static struct pn_str
joined(struct pn_fields fields, struct pn_arena *arena)
{
	struct pn_strs_builder out = { .arena = arena };

	for (size_t i = 0; i < fields.n; i++)
		pn_strs_add(&out, pn_arena_printf(arena, PN_STR_FMT "=" PN_STR_FMT,
		    PN_STR_ARG(fields.v[i].name), PN_STR_ARG(fields.v[i].raw)));
	return pn_strs_join(out.list, PN_STR("|"), arena);
}

static void
headers_and_body(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_fields fields;
		struct pn_str body, got;

		assert_int_equal(pn_fields_split(pn_str_c(rows[i].text), arena, &fields, &body), PN_OK);
		got = joined(fields, arena);
		if (!pn_str_eq(got, pn_str_c(rows[i].fields)))
			fail_msg("%s: fields \"" PN_STR_FMT "\"", rows[i].name, PN_STR_ARG(got));
		if (!pn_str_eq(body, pn_str_c(rows[i].body)))
			fail_msg("%s: body \"" PN_STR_FMT "\"", rows[i].name, PN_STR_ARG(body));
		pn_arena_free(arena);
	}
}

static void
more_fields_than_the_arena_allows(void **state)
{
	static char text[3 * 20000];
	struct pn_arena *arena = pn_arena_new(1 << 12);
	struct pn_fields fields;
	struct pn_str body;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i += 3)
		memcpy(text + i, "a:\n", 3);
	assert_int_equal(pn_fields_split(pn_str_n(text, sizeof(text)), arena, &fields, &body), PN_LIMIT);
	pn_arena_free(arena);
	arena = pn_arena_new(1 << 24);
	assert_int_equal(pn_fields_split(pn_str_n(text, sizeof(text)), arena, &fields, &body), PN_OK);
	assert_int_equal(fields.n, 20000);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_and_body),
		cmocka_unit_test(more_fields_than_the_arena_allows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
