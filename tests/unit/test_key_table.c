#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "postern/clock.h"
#include "postern/key_table.h"

enum { ARENA_LIMIT = 64 * 1024 * 1024 };

static const char keys_text[] = "# name\tdomain:selector:key\n"
    "k1 example.org:s1:/etc/keys/example.org.pem\n"
    "k2\texample.net:s2:/etc/keys/%/private	# a comment\r\n"
    "k1 other.org:never:/first/line/counts\n"
    "any %:s3:/keys/%.pem\n"
    "example.org example.org:named:/keys/named\n"
    "inline example.org:s4:QUJD+/==\n"
    "  indented example.org:s5:./relative:with:colons  \n"
    "\n#\n   # nothing\n";

static const struct {
	const char *name, *signing;
	bool patterns, all;
	const char *address;
	const char *want;	/* domain selector key identity| ... or the error */
} cases[] = {
	{ "user", "ann@example.org k1\nexample.org k2\n* k2", false, false, "ann@example.org",
	    "example.org s1 /etc/keys/example.org.pem |" },
	{ "case does not count", "Ann@Example.ORG k1", false, false, "aNN@exampLE.org",
	    "example.org s1 /etc/keys/example.org.pem |" },
	{ "host", "* k1\nexample.org k2", false, false, "ann@example.org",
	    "example.net s2 /etc/keys/example.net/private |" },
	{ "user above", "* k2\n.example.org k2\nann@.example.org k1", false, false, "ann@a.b.example.org",
	    "example.org s1 /etc/keys/example.org.pem |" },
	{ "nearer before user", "ann@.org k2\n.example.org k1", false, false, "ann@a.example.org",
	    "example.org s1 /etc/keys/example.org.pem |" },
	{ "host itself is not above", ".example.org k1", false, false, "ann@example.org", "nobody" },
	{ "user anywhere", "* k2\nann@* k1", false, false, "ann@x.test",
	    "example.org s1 /etc/keys/example.org.pem |" },
	{ "everybody", "* k1", false, false, "ann@x.test", "example.org s1 /etc/keys/example.org.pem |" },
	{ "nobody", "example.org k1", false, false, "ann@x.test", "nobody" },
	{ "no patterns in a file", "*@example.org k1", false, false, "ann@example.org", "nobody" },
	{ "all of a file", "ann@example.org k1\nann@example.org inline\nexample.org k2\n* k1", false, true,
	    "ann@example.org", "example.org s1 /etc/keys/example.org.pem |example.org s4 QUJD+/== |"
	    "example.net s2 /etc/keys/example.net/private |example.org s1 /etc/keys/example.org.pem |" },
	{ "pattern", "*@example.org k1", true, false, "ann@example.org",
	    "example.org s1 /etc/keys/example.org.pem |" },
	{ "pattern is whole", "*@example.org k1", true, false, "ann@example.org.evil.test", "nobody" },
	{ "a dot is a dot", "*@example.org k1", true, false, "ann@exampleXorg.test", "nobody" },
	{ "order of lines", "*@*.org k2\n*@example.org k1", true, false, "ann@example.org",
	    "example.net s2 /etc/keys/example.net/private |" },
	{ "all patterns", "*@*.org k2\n*@x.test k1\n*@example.org k1", true, true, "ann@example.org",
	    "example.net s2 /etc/keys/example.net/private |example.org s1 /etc/keys/example.org.pem |" },
	{ "star in the middle", "a*n@ex*le.org k1", true, false, "ann@example.org",
	    "example.org s1 /etc/keys/example.org.pem |" },
	{ "star is also nothing", "ann*@*example.org* k1", true, false, "ann@example.org",
	    "example.org s1 /etc/keys/example.org.pem |" },
	{ "author's domain", "* any", false, false, "ann@x.test", "x.test s3 /keys/x.test.pem |" },
	{ "key by the author's domain", "* %", false, false, "ann@example.org",
	    "example.org named /keys/named |" },
	{ "colons in the path", "* indented", false, false, "a@x.test",
	    "example.org s5 ./relative:with:colons |" },
	{ "identity", "* any:@mail.%", false, false, "ann@x.test",
	    "x.test s3 /keys/x.test.pem @mail.x.test|" },
	{ "identity elsewhere is none", "* k1:ann@evil.test", false, false, "ann@x.test",
	    "example.org s1 /etc/keys/example.org.pem |" },
	{ "unknown key", "\n* nope", false, false, "ann@x.test", "line 2: there is no key of that name" },
	{ "no key", "* ", true, false, "ann@x.test", "line 1: write author name-of-key" },
	{ "path of another folder", "* any", false, false, "ann@../../etc", "no address" },
	{ "no address", "* k1", false, false, "ann", "no address" },
	{ "two at signs", "* any", false, false, "\"a@b.test\"@x.test", "x.test s3 /keys/x.test.pem |" },
};

static void
test_find(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_signing_key found[PN_SIGNING_KEYS];
		struct pn_error err = { "" };
		struct pn_str got = PN_STR_EMPTY;
		struct pn_signing_table signing;
		struct pn_key_table keys;
		size_t n = 0;

		assert_int_equal(pn_key_table_parse(pn_str_c(keys_text), arena, &keys, &err), PN_OK);
		if (pn_signing_table_parse(pn_str_c(cases[i].signing), cases[i].patterns, arena, &signing,
		    &err) == PN_OK
		    && pn_signing_find(&signing, &keys, pn_str_c(cases[i].address), cases[i].all, arena,
		    found, &n,
		    &err) == PN_OK)
			for (size_t k = 0; k < n; k++)
				got = pn_arena_printf(arena,
				    PN_STR_FMT PN_STR_FMT " " PN_STR_FMT " " PN_STR_FMT " "
				    PN_STR_FMT "|", PN_STR_ARG(got), PN_STR_ARG(found[k].domain),
				    PN_STR_ARG(found[k].selector), PN_STR_ARG(found[k].key),
				    PN_STR_ARG(found[k].identity));
		if (n > 0 ? !pn_str_eq(got, pn_str_c(cases[i].want))
		    : !pn_str_contains(pn_str_c(err.text), pn_str_c(cases[i].want)))
			fail_msg("%s: got " PN_STR_FMT " %s", cases[i].name, PN_STR_ARG(got), err.text);
		pn_arena_free(arena);
	}
}

static void
test_bad_key_tables(void **state)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "no value", "a\n", "line 1: write" },
		{ "two parts", "\na example.org:s\n", "line 2: write" },
		{ "no path", "a example.org:s:\n", "line 1: write" },
		{ "domain", "a exa;mple:s:/k\n", "line 1: the domain" },
		{ "selector", "a example.org:%:/k\n", "line 1: the selector" },
	};
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_key_table keys;
	struct pn_error err;

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++)
		if (pn_key_table_parse(pn_str_c(rows[i].text), arena, &keys, &err) != PN_INVALID
		    || !pn_str_starts(pn_str_c(err.text), pn_str_c(rows[i].want)))
			fail_msg("%s: %s", rows[i].name, err.text);
	pn_arena_free(arena);
}

/* Stars that match everywhere cost no more than pattern times address. */
static void
test_hostile_pattern(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	char pattern[2001], address[321];
	struct pn_signing_key found[PN_SIGNING_KEYS];
	struct pn_signing_table signing;
	struct pn_key_table keys;
	int64_t before = pn_clock_mono_us();
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(pattern) - 1; i++)
		pattern[i] = i % 2 ? 'a' : '*';
	memcpy(pattern + 1990, " k        ", 10);
	memset(address, 'a', sizeof(address));
	memcpy(address + 300, "@x.test", 8);
	assert_int_equal(pn_key_table_parse(PN_STR("k example.org:s:/k"), arena, &keys, NULL), PN_OK);
	assert_int_equal(pn_signing_table_parse(pn_str_n(pattern, 2000), true, arena, &signing, NULL), PN_OK);
	assert_int_equal(pn_signing_find(&signing, &keys, pn_str_n(address, 307), false, arena, found, &n,
	    NULL),
	    PN_NOT_FOUND);
	assert_true(pn_clock_mono_us() - before < 1000000);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_bad_key_tables),
		cmocka_unit_test(test_hostile_pattern),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
