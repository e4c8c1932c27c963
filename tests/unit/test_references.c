#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "postern/references.h"

enum { ARENA_LIMIT = 64 * 1024 * 1024 };

/* ids joined by "|" */
static const struct {
	const char *name, *text, *want;
} cases[] = {
	{ "nothing", "", "" },
	{ "one", "<a@b>", "<a@b>" },
	{ "without brackets", "a@b", "" },
	{ "open", "<a@b", "" },
	{ "closed only", "a@b>", "" },
	{ "empty", "<>", "" },
	{ "text around", "x <a@b> y", "<a@b>" },
	{ "no blank between", "<a@b><c@d>", "<a@b>|<c@d>" },
	{ "comma between", "<a@b>,<c@d>", "<a@b>|<c@d>" },
	{ "order and repetition stay", "<c@d> <a@b> <c@d>", "<c@d>|<a@b>|<c@d>" },
	{ "inner bracket", "<<a@b>>", "<a@b>" },
	{ "cut id", "<a@b <c@d>", "<c@d>" },
	{ "folded", "<a\r\n @b>", "<a@b>" },
	{ "blanks and tabs", "< a\t@ b >", "<a@b>" },
	{ "only blanks", "< >", "<>" },
	{ "other white space stays", "<a\v@b>", "<a\v@b>" },
	{ "no @ needed", "<x>", "<x>" },
	{ "not UTF-8", "<\xff@b>", "<\xff@b>" },
};

static void
test_ids(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_str got = PN_STR_EMPTY;
		struct pn_strs ids;

		assert_int_equal(pn_references_ids(pn_str_c(cases[i].text), arena, &ids), PN_OK);
		for (size_t k = 0; k < ids.n; k++)
			got = pn_arena_printf(arena, PN_STR_FMT "%s" PN_STR_FMT, PN_STR_ARG(got),
			    k > 0 ? "|" : "", PN_STR_ARG(ids.v[k]));
		if (!pn_str_eq(got, pn_str_c(cases[i].want)))
			fail_msg("%s: got " PN_STR_FMT, cases[i].name, PN_STR_ARG(got));
		pn_arena_free(arena);
	}
}

static void
test_last(void **state)
{
	struct pn_str v[] = { PN_STR("a"), PN_STR("b"), PN_STR("c") };
	struct pn_strs list = { v, 3 };

	(void)state;
	assert_int_equal(pn_strs_last(list, 32).n, 3);
	assert_int_equal(pn_strs_last(list, 2).n, 2);
	assert_ptr_equal(pn_strs_last(list, 2).v, v + 1);
	assert_int_equal(pn_strs_last(list, 0).n, 0);
}

static void
test_many(void **state)
{
	enum { MANY = 100000 };
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	char *text = malloc(MANY * 4);
	struct pn_strs ids;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < MANY; i++)
		memcpy(text + 4 * i, "< a>", 4);
	assert_int_equal(pn_references_ids(pn_str_n(text, MANY * 4), arena, &ids), PN_OK);
	assert_int_equal(ids.n, MANY);
	memset(text, '<', MANY * 4);
	assert_int_equal(pn_references_ids(pn_str_n(text, MANY * 4), arena, &ids), PN_OK);
	assert_int_equal(ids.n, 0);
	pn_arena_free(arena);
	free(text);
}

static void
test_limit(void **state)
{
	struct pn_arena *arena = pn_arena_new(64);
	struct pn_strs ids = { NULL, 77 };

	(void)state;
	assert_int_equal(pn_references_ids(PN_STR("<a><b><c><d><e><f>"), arena, &ids), PN_LIMIT);
	assert_int_equal(ids.n, 77);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_last),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests_name("references", tests, NULL, NULL);
}
