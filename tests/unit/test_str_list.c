#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/str_list.h"

static struct pn_strs
list_of(const char *text, struct pn_arena *arena)
{
	struct pn_strs_builder out = { .arena = arena };
	struct pn_str rest = pn_str_c(text), word;

	while (rest.n > 0 && pn_str_split(&rest, ' ', &word))
		pn_strs_add(&out, word);
	return out.list;
}

static void
each_once_where_it_stood_first(void **state)
{
	static const struct { const char *list, *want; } rows[] = {
		{ "", "" }, { "a", "a" }, { "b a", "b,a" }, { "a a", "a" }, { "c a b a c", "c,a,b" }, { "A a",
		    "A,a" },
		{ "aa a aaa a aa", "aa,a,aaa" },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_str got = pn_strs_join(pn_strs_unique(list_of(rows[i].list, arena), arena),
		    PN_STR(","), arena);

		if (!pn_str_eq(got, pn_str_c(rows[i].want)))
			fail_msg("%s: " PN_STR_FMT, rows[i].list, PN_STR_ARG(got));
		pn_arena_free(arena);
	}
}

static void
joins(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct pn_strs list = list_of("a bc d", arena);

	(void)state;
	assert_true(pn_str_eq(pn_strs_join(list, PN_STR(", "), arena), PN_STR("a, bc, d")));
	assert_true(pn_str_eq(pn_strs_join(list, PN_STR(""), arena), PN_STR("abcd")));
	list.n = 1;
	assert_true(pn_str_eq(pn_strs_join(list, PN_STR(", "), arena), PN_STR("a")));
	list.n = 0;
	assert_int_equal(pn_strs_join(list, PN_STR(", "), arena).n, 0);
	pn_arena_free(arena);
}

static void
has(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct pn_strs list = list_of("a bc", arena);

	(void)state;
	assert_true(pn_strs_has(list, PN_STR("bc")));
	assert_false(pn_strs_has(list, PN_STR("b")));
	assert_false(pn_strs_has(list, PN_STR("BC")));
	assert_false(pn_strs_has(list, PN_STR("")));
	pn_arena_free(arena);
}

/* 200,000 different ones, each twice: quadratic work would take minutes. */
static void
long_lists_cost_little(void **state)
{
	struct pn_arena *arena = pn_arena_new((size_t)1 << 30);
	struct pn_strs_builder out = { .arena = arena };
	struct pn_strs once;

	(void)state;
	for (unsigned i = 0; i < 400000; i++)
		pn_strs_add(&out, pn_arena_printf(arena, "%u", i % 200000));
	once = pn_strs_unique(out.list, arena);
	assert_int_equal(once.n, 200000);
	assert_true(pn_str_eq(once.v[199999], PN_STR("199999")));
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_once_where_it_stood_first),
		cmocka_unit_test(joins),
		cmocka_unit_test(has),
		cmocka_unit_test(long_lists_cost_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
