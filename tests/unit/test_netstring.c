#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/netstring.h"

#define S PN_STR

/* What comes out of a stream: the contents joined by "|", and how it ends. */
static const struct {
	const char *name;
	struct pn_str in, out;
	size_t max;
	enum pn_status end;
	bool partial;
} streams[] = {
	{ "one", S("5:hello,"), S("hello|"), 100, PN_NOT_FOUND, false },
	{ "empty content", S("0:,"), S("|"), 100, PN_NOT_FOUND, false },
	{ "three", S("1:a,2:bc,0:,"), S("a|bc||"), 100, PN_NOT_FOUND, false },
	{ "any byte", S("5:a\0,:\n,"), S("a\0,:\n|"), 100, PN_NOT_FOUND, false },
	{ "nothing", S(""), S(""), 100, PN_NOT_FOUND, false },
	{ "length without colon yet", S("12"), S(""), 100, PN_NOT_FOUND, true },
	{ "content not complete", S("1:a,5:hel"), S("a|"), 100, PN_NOT_FOUND, true },
	{ "comma not there yet", S("5:hello"), S(""), 100, PN_NOT_FOUND, true },
	{ "as long as the maximum", S("4:abcd,"), S("abcd|"), 4, PN_NOT_FOUND, false },
	{ "one more than the maximum", S("5:abcde,"), S(""), 4, PN_LIMIT, false },
	{ "huge length", S("999999999999999999999999:a,"), S(""), 2048, PN_LIMIT, false },
	{ "would wrap a 64-bit length", S("18446744073709551617:a,"), S(""), 999999999, PN_LIMIT, false },
	{ "leading zero", S("05:hello,"), S(""), 100, PN_INVALID, false },
	{ "zeros", S("00:,"), S(""), 100, PN_INVALID, false },
	{ "no length", S(":,"), S(""), 100, PN_INVALID, false },
	{ "negative", S("-1:a,"), S(""), 100, PN_INVALID, false },
	{ "blank in the length", S("1 :a,"), S(""), 100, PN_INVALID, false },
	{ "no comma", S("5:hello;"), S(""), 100, PN_INVALID, false },
	{ "longer than announced", S("4:hello,"), S(""), 100, PN_INVALID, false },
	{ "another protocol", S("GET / HTTP/1.0\r\n"), S(""), 100, PN_INVALID, false },
	{ "good, then garbage", S("1:a,x"), S("a|"), 100, PN_INVALID, false },
};

static enum pn_status
run(struct pn_netstring *netstring, struct pn_str in, size_t step, struct pn_buf *out)
{
	enum pn_status st = PN_NOT_FOUND;
	struct pn_str content;

	for (size_t at = 0; at < in.n && st == PN_NOT_FOUND; at += step) {
		struct pn_str piece = pn_str_head(pn_str_from(in, at), step);

		while ((st = pn_netstring_push(netstring, &piece, &content)) == PN_OK) {
			pn_buf_add(out, content);
			pn_buf_add_char(out, '|');
		}
	}
	return st;
}

static void
test_streams_in_pieces_of_any_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(streams); i++)
		for (size_t step = 1; step <= streams[i].in.n + 1; step++) {
			struct pn_netstring netstring;
			struct pn_buf out;
			enum pn_status st;

			pn_netstring_init(&netstring, streams[i].max);
			pn_buf_init(&out, 4096);
			st = run(&netstring, streams[i].in, step, &out);
			if (st != streams[i].end || !pn_str_eq(pn_buf_str(&out), streams[i].out)
			    || pn_netstring_is_partial(&netstring) != streams[i].partial)
				fail_msg("%s, %zu bytes at a time: %s \"" PN_STR_FMT "\"", streams[i].name,
				    step,
				    pn_status_name(st), PN_STR_ARG(pn_buf_str(&out)));
			pn_buf_done(&out);
			pn_netstring_done(&netstring);
		}
}

static void
test_broken_stays_broken(void **state)
{
	struct pn_netstring netstring;
	struct pn_str in = PN_STR("x"), more = PN_STR("1:a,"), content;

	(void)state;
	pn_netstring_init(&netstring, 10);
	assert_int_equal(pn_netstring_push(&netstring, &in, &content), PN_INVALID);
	assert_int_equal(pn_netstring_push(&netstring, &more, &content), PN_INVALID);
	pn_netstring_done(&netstring);
}

static void
test_rest_is_left_to_the_caller(void **state)
{
	struct pn_netstring netstring;
	struct pn_str in = PN_STR("1:a,2:bc,"), content;

	(void)state;
	pn_netstring_init(&netstring, 10);
	assert_int_equal(pn_netstring_push(&netstring, &in, &content), PN_OK);
	assert_true(pn_str_eq(in, PN_STR("2:bc,")));
	pn_netstring_done(&netstring);
}

static void
test_written_is_read(void **state)
{
	static const struct pn_str contents[] = { S(""), S("OK sales@custom.test"), S("a\0b"),
	    S("12:nested,") };
	struct pn_netstring netstring;
	struct pn_buf out;

	(void)state;
	pn_buf_init(&out, 4096);
	for (size_t i = 0; i < PN_COUNT(contents); i++)
		pn_netstring_add(&out, contents[i]);
	assert_true(pn_str_starts(pn_buf_str(&out), PN_STR("0:,20:OK sales@custom.test,3:a")));
	pn_netstring_init(&netstring, 4096);
	struct pn_str in = pn_buf_str(&out), content;
	for (size_t i = 0; i < PN_COUNT(contents); i++) {
		assert_int_equal(pn_netstring_push(&netstring, &in, &content), PN_OK);
		assert_true(pn_str_eq(content, contents[i]));
	}
	assert_int_equal(in.n, 0);
	pn_netstring_done(&netstring);
	pn_buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams_in_pieces_of_any_size),
		cmocka_unit_test(test_broken_stays_broken),
		cmocka_unit_test(test_rest_is_left_to_the_caller),
		cmocka_unit_test(test_written_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
