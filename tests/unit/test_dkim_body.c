/* The hash of a body as we sign it: what is in it, wherever a piece ends, and how long its lines are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "postern/dkim_sign.h"

/* bh= of RFC 6376 section 3.4.5's body and of the empty one (sections 3.4.3, 3.4.4). */
static void
test_body_hash(void **state)
{
	static const struct {
		const char *name, *text;
		bool relaxed;
		const char *same_as;	/* in simple form */
	} rows[] = {
		{ "relaxed", " C \r\nD \t E\r\n\r\n\r\n", true, " C\r\nD E\r\n" },
		{ "simple", " C \r\nD \t E\r\n\r\n\r\n", false, " C \r\nD \t E\r\n" },
		{ "a CR alone is text", "a\rb \r c \r", true, "a\rb \r c \r" },
		{ "two of them", "a\r\r\n", true, "a\r\r\n" },
		{ "long line", "x\tx", true, "x x" },
	};
	unsigned char a[PN_DKIM_HASH_SIZE], b[PN_DKIM_HASH_SIZE];
	struct pn_dkim_body *body;

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		body = pn_dkim_body_new(rows[i].relaxed);
		pn_dkim_body_add(body, pn_str_c(rows[i].text));
		pn_dkim_body_end(body, a);
		pn_dkim_body_free(body);
		body = pn_dkim_body_new(false);
		pn_dkim_body_add(body, pn_str_c(rows[i].same_as));
		pn_dkim_body_end(body, b);
		pn_dkim_body_free(body);
		if (memcmp(a, b, sizeof(a)) != 0)
			fail_msg("%s", rows[i].name);
	}
	/* the hash of nothing, which only relaxed can give */
	body = pn_dkim_body_new(true);
	pn_dkim_body_add(body, PN_STR(" \r\n\r\n"));
	pn_dkim_body_end(body, a);
	pn_dkim_body_free(body);
	assert_memory_equal(a, "\xe3\xb0\xc4\x42\x98\xfc\x1c\x14", 8);
}

static void
hash_in_steps(struct pn_str text, bool relaxed, size_t step, unsigned char hash[PN_DKIM_HASH_SIZE])
{
	struct pn_dkim_body *body = pn_dkim_body_new(relaxed);

	for (; text.n > 0; text = pn_str_from(text, step))
		pn_dkim_body_add(body, pn_str_head(text, step));
	pn_dkim_body_end(body, hash);
	pn_dkim_body_free(body);
}

/* Long text is looked at many bytes at once, single bytes are not: what is odd is seen wherever it stands. */
static void
test_body_places(void **state)
{
	static const struct pn_str odd[] = { PN_STR(" "), PN_STR("  "), PN_STR("\t"), PN_STR(" \t"), PN_STR(" \r\n"),
		PN_STR("\r\n "), PN_STR("\r\n\r\n"), PN_STR("\r"), PN_STR(" \r"), PN_STR(" \n"), PN_STR(" \1"),
		PN_STR("\xff") };
	unsigned char whole[PN_DKIM_HASH_SIZE], bytes[PN_DKIM_HASH_SIZE];
	char text[128];

	(void)state;
	for (size_t i = 0; i < PN_COUNT(odd); i++)
		for (size_t at = 0; at < 80; at++)
			for (int relaxed = 0; relaxed <= 1; relaxed++) {
				struct pn_str all = pn_str_n(text, at < 40 ? 80 : at + odd[i].n);

				memset(text, 'x', sizeof(text));
				memcpy(text + at, odd[i].p, odd[i].n);
				hash_in_steps(all, relaxed, all.n, whole);
				hash_in_steps(all, relaxed, 1, bytes);
				if (memcmp(whole, bytes, sizeof(whole)) != 0)
					fail_msg("row %zu at %zu, %s", i, at, relaxed ? "relaxed" : "simple");
			}
}

/* Lines of any canonical form are as long as they are on the wire. */
static void
test_longest(void **state)
{
	static const struct {
		const char *name, *text;
		size_t longest;
	} rows[] = {
		{ "none", "", 0 },
		{ "empty", "\r\n\r\n", 0 },
		{ "first", "12345\r\n123\r\n", 5 },
		{ "last, without an end", "123\r\n12345", 5 },
		{ "LF alone", "1234\n12345\n", 5 },
		{ "blanks", "1  \t5\r\n12 \t \r\n", 5 },
		{ "CR inside", "12\r45\r\n", 5 },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++)
		for (size_t step = 1; step < 8; step++) {
			struct pn_dkim_body *body = pn_dkim_body_new(step % 2 == 0);

			for (struct pn_str rest = pn_str_c(rows[i].text); rest.n > 0; rest = pn_str_from(rest, step))
				pn_dkim_body_add(body, pn_str_head(rest, step));
			if (pn_dkim_body_longest(body) != rows[i].longest)
				fail_msg("%s: %zu", rows[i].name, pn_dkim_body_longest(body));
			pn_dkim_body_free(body);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_body_hash),
		cmocka_unit_test(test_body_places),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
