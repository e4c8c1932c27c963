/* Values in the log: what comes from mail cannot end or forge one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "postern/log.h"

static void
values_are_escaped(void **state)
{
	static const struct { const char *name, *value, *key, *text, *address; } cases[] = {
		{ "plain", "crm.lead-7_+", "k=crm.lead-7_+", "k=\"crm.lead-7_+\"", "k=<crm.lead-7_+>" },
		{ "empty", "", "k=", "k=\"\"", "k=<>" },
		{ "brackets", "<a@b>", "k=\\x3ca@b\\x3e", "k=\"<a@b>\"", "k=<a@b>" },
		{ "one bracket", "<", "k=\\x3c", "k=\"<\"", "k=<\\x3c>" },
		{ "blank and sign", "a b=c", "k=a\\x20b\\x3dc", "k=\"a b=c\"", "k=<a\\x20b\\x3dc>" },
		{ "quote, backslash", "\"\\", "k=\\x22\\x5c", "k=\"\\x22\\x5c\"", "k=<\\x22\\x5c>" },
		{ "controls", "a\r\nb\x7f", "k=a\\x0d\\x0ab\\x7f", "k=\"a\\x0d\\x0ab\\x7f\"",
		    "k=<a\\x0d\\x0ab\\x7f>" },
		{ "letters of other scripts", "Jos\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!",
		    "k=Jos\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!",
		    "k=\"Jos\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!\"",
		    "k=<Jos\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!>" },
		{ "broken ones", "\xff\xc3z\xe2\x82", "k=\\xff\\xc3z\\xe2\\x82",
		    "k=\"\\xff\\xc3z\\xe2\\x82\"",
		    "k=<\\xff\\xc3z\\xe2\\x82>" },
		{ "C1 control", "\xc2\x85x", "k=\\xc2\\x85x", "k=\"\\xc2\\x85x\"", "k=<\\xc2\\x85x>" },
	};
	struct pn_buf line;

	(void)state;
	pn_buf_init(&line, 4096);
	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		struct pn_str value = pn_str_c(cases[i].value);

		pn_buf_reset(&line);
		pn_log_key(&line, "k", value);
		if (!pn_str_eq(pn_buf_str(&line), pn_str_c(cases[i].key)))
			fail_msg("%s, key: " PN_STR_FMT, cases[i].name, PN_STR_ARG(pn_buf_str(&line)));
		pn_buf_reset(&line);
		pn_log_key_text(&line, "k", value);
		if (!pn_str_eq(pn_buf_str(&line), pn_str_c(cases[i].text)))
			fail_msg("%s, text: " PN_STR_FMT, cases[i].name, PN_STR_ARG(pn_buf_str(&line)));
		pn_buf_reset(&line);
		pn_log_key_address(&line, "k", value);
		if (!pn_str_eq(pn_buf_str(&line), pn_str_c(cases[i].address)))
			fail_msg("%s, address: " PN_STR_FMT, cases[i].name, PN_STR_ARG(pn_buf_str(&line)));
	}
	pn_buf_done(&line);
}

/* NUL is no end, and long values are cut to 256 bytes. */
static void
any_bytes_of_any_length(void **state)
{
	char value[1000];
	struct pn_buf line;

	(void)state;
	memset(value, 'x', sizeof(value));
	value[1] = '\0';
	pn_buf_init(&line, 4096);
	pn_log_key(&line, "a", pn_str_n(value, 3));
	pn_log_key(&line, "b", pn_str_n(value + 2, 256));
	pn_log_key(&line, "c", pn_str_n(value + 2, 257));
	assert_true(pn_str_starts(pn_buf_str(&line), PN_STR("a=x\\x00x b=xxx")));
	assert_int_equal(line.n, 8 + 3 + 256 + 3 + 256 + 3);
	assert_memory_equal(line.p + line.n - 4, "x...", 4);
	pn_buf_done(&line);
}

/* A pipe that keeps writes apart shows what each of them was. */
static void
many_lines_are_few_writes(void **state)
{
	enum { LINES = 300 };
	int ends[2], own_stderr = dup(STDERR_FILENO), shown = 0, writes = 0;
	char got[PIPE_BUF + 8192], wanted[64];
	struct pn_buf text;
	ssize_t n;

	(void)state;
	pn_buf_init(&text, LINES * 64);
	for (int i = 0; i < LINES; i++)
		pn_buf_addf(&text, "\nline=%d and some words more\n", i);
	assert_int_equal(pipe2(ends, O_DIRECT), 0);
	(void)fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	(void)dup2(ends[1], STDERR_FILENO);
	(void)unsetenv("JOURNAL_STREAM");
	pn_log_open("test", PN_LOG_STDERR, PN_LOG_INFO);
	pn_log_lines(PN_LOG_DEBUG, pn_buf_str(&text));
	pn_log_lines(PN_LOG_WARN, pn_buf_str(&text));
	(void)dup2(own_stderr, STDERR_FILENO);
	(void)close(own_stderr);
	(void)close(ends[1]);
	for (; (n = read(ends[0], got, sizeof(got))) > 0; writes++) {
		struct pn_str rest = pn_str_n(got, (size_t)n), line;

		assert_true(n <= PIPE_BUF && got[n - 1] == '\n');
		rest.n--;
		while (pn_str_split(&rest, '\n', &line)) {
			(void)snprintf(wanted, sizeof(wanted), "test[%d]: warning: line=%d and some words more",
			    (int)getpid(), shown++);
			if (!pn_str_eq(line, pn_str_c(wanted)))
				fail_msg("got " PN_STR_FMT ", wanted %s", PN_STR_ARG(line), wanted);
		}
	}
	assert_int_equal(shown, LINES);
	assert_in_range(writes, 3, 8);
	(void)close(ends[0]);
	pn_buf_done(&text);
}

/* Lines that are longer than what a pipe takes at once. */
static void
long_lines_have_room(void **state)
{
	enum { LINES = 5, LENGTH = 8000 };
	char letters[LENGTH + 1], got[LINES * (LENGTH + 64)];
	FILE *file = tmpfile();
	int own_stderr = dup(STDERR_FILENO);
	struct pn_str rest, line;
	struct pn_buf text;

	(void)state;
	pn_buf_init(&text, sizeof(got));
	memset(letters, 'x', LENGTH);
	letters[LENGTH] = '\n';
	for (int i = 0; i < LINES; i++)
		pn_buf_add(&text, pn_str_n(letters, sizeof(letters)));
	(void)dup2(fileno(file), STDERR_FILENO);
	pn_log_open("test", PN_LOG_STDERR, PN_LOG_INFO);
	pn_log_lines(PN_LOG_INFO, pn_buf_str(&text));
	(void)dup2(own_stderr, STDERR_FILENO);
	(void)close(own_stderr);
	rewind(file);
	rest = pn_str_n(got, fread(got, 1, sizeof(got), file));
	for (int i = 0; i < LINES; i++) {
		assert_true(pn_str_split(&rest, '\n', &line));
		assert_true(pn_str_ends(line, pn_str_n(letters, LENGTH)));
	}
	assert_int_equal(rest.n, 0);
	(void)fclose(file);
	pn_buf_done(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_escaped),
		cmocka_unit_test(any_bytes_of_any_length),
		cmocka_unit_test(many_lines_are_few_writes),
		cmocka_unit_test(long_lines_have_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
