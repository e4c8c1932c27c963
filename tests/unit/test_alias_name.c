#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "postern/alias_name.h"

enum { ARENA_LIMIT = 64 * 1024 * 1024 };

/* NULL: no name is left */
static const struct {
	const char *label, *name, *plain, *email;
} cases[] = {
	{ "nothing", "", NULL, NULL },
	{ "blanks", " \t\xc2\xa0", NULL, NULL },
	{ "dots", "..", NULL, NULL },
	{ "lower", " Sales ", "sales", "sales" },
	{ "dots squeezed", "..sa..les..", "sa.les", "sa.les" },
	{ "address", "Hello World@Other.Example ", "hello-world", "hello-world@other.example" },
	{ "no local part", "@acme", NULL, NULL },
	{ "no domain", "sales@", "sales", "sales" },
	{ "several @", "a@b@c", "a", "a@b@c" },
	{ "accents", "\xc3\x9cn\xc3\xaf" "c\xc3\xb6" "d\xc3\xa9", "unicode", "unicode" },
	{ "accent in the domain stays", "a@\xc3\x89.x", "a", "a@\xc3\xa9.x" },
	{ "combining mark", "e\xcc\x81", "e", "e" },
	{ "full width", "\xef\xbc\xa6\xef\xbc\xb5", "fu", "fu" },
	{ "full width @ cuts, but is no @ of an address", "a\xef\xbc\xa0" "b", "a", "a" },
	{ "ligature", "\xef\xac\x81n", "fin", "fin" },
	{ "dotted I", "\xc4\xb0", "i", "i" },
	{ "other letters", "sales\xe6\x97\xa5\xe6\x9c\xac", "sales??", "sales??" },
	{ "symbol", "x\xf0\x9f\x98\x80y", "x-y", "x-y" },
	{ "runs of others", "a,b;; c", "a-b-c", "a-b-c" },
	{ "all of an atom", "a!#$%&'*+-/=?^_`{|}~b", "a!#$%&'*+-/=?^_`{|}~b", "a!#$%&'*+-/=?^_`{|}~b" },
	{ "not UTF-8", "a\xff\xff" "b", "a-b", "a-b" },
};

static void
check(const char *label, const char *name, bool is_email, const char *want)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_str got = PN_STR_EMPTY;
	enum pn_status status = pn_alias_name_sanitize(pn_str_c(name), is_email, arena, &got);

	if (status != (want == NULL ? PN_NOT_FOUND : PN_OK) || !pn_str_eq(got, pn_str_c(want)))
		fail_msg("%s: %s, \"" PN_STR_FMT "\"", label, pn_status_name(status), PN_STR_ARG(got));
	pn_arena_free(arena);
}

static void
test_sanitize(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		check(cases[i].label, cases[i].name, false, cases[i].plain);
		check(cases[i].label, cases[i].name, true, cases[i].email);
	}
}

static void
test_megabyte(void **state)
{
	static const char *const pieces[] = { ".", "\xef\xb7\xba", "\xce\xa3'", "-", "a@" };
	enum { SIZE = 1000000 };
	char *text = malloc(SIZE);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < PN_COUNT(pieces); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_str out;
		size_t n = strlen(pieces[i]);

		for (size_t k = 0; k < SIZE; k++)
			text[k] = pieces[i][k % n];
		(void)!pn_alias_name_sanitize(pn_str_n(text, SIZE), true, arena, &out);
		pn_arena_free(arena);
	}
	free(text);
}

static const struct {
	const char *text;
	bool want;
} atoms[] = {
	{ "a", true }, { "a.b", true }, { "a+b.c-d", true }, { "", false }, { ".", false }, { ".a", false },
	{ "a.", false }, { "a..b", false }, { "a b", false }, { "a@b", false }, { "\xc3\xbc", false },
	{ "a,b", false },
};

static void
test_dot_atom(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(atoms); i++)
		if (pn_is_dot_atom(pn_str_c(atoms[i].text)) != atoms[i].want)
			fail_msg("\"%s\"", atoms[i].text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sanitize),
		cmocka_unit_test(test_megabyte),
		cmocka_unit_test(test_dot_atom),
	};

	return cmocka_run_group_tests_name("alias_name", tests, NULL, NULL);
}
