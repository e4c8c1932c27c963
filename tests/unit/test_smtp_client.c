/* Replies, logins, and what never gets into a text.  The conversation itself is tested with real servers
 * in tests/cli/test_relay_command.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "../../lib/client/smtp.h"
#include "postern/token.h"

#define S PN_STR

/* -- replies -------------------------------------------------------------------------- */

/* What comes out of a stream: "code:text|" for each reply, and how it ends. */
static const struct {
	const char *name;
	struct pn_str in, out;
	enum pn_status end;
	bool partial;
} streams[] = {
	{ "one line", S("220 mx.test ESMTP\r\n"), S("220:mx.test ESMTP|"), PN_NOT_FOUND, false },
	{ "several lines", S("250-mx.test\r\n250-SIZE 10\r\n250 HELP\r\n"), S("250:mx.test\nSIZE 10\nHELP|"),
	    PN_NOT_FOUND, false },
	{ "two replies", S("250 a\r\n354 b\r\n"), S("250:a|354:b|"), PN_NOT_FOUND, false },
	{ "line ends of LF", S("250-a\n250 b\n"), S("250:a\nb|"), PN_NOT_FOUND, false },
	{ "code alone", S("250\r\n"), S("250:|"), PN_NOT_FOUND, false },
	{ "no text", S("250 \r\n"), S("250:|"), PN_NOT_FOUND, false },
	{ "empty line inside", S("250-\r\n250 b\r\n"), S("250:\nb|"), PN_NOT_FOUND, false },
	{ "any byte", S("250 a\0\r\xff\r\n"), S("250:a\0\r\xff|"), PN_NOT_FOUND, false },
	{ "nothing", S(""), S(""), PN_NOT_FOUND, false },
	{ "no line end yet", S("250 a"), S(""), PN_NOT_FOUND, true },
	{ "the last line is missing", S("250-a\r\n"), S(""), PN_NOT_FOUND, true },
	{ "CR without LF", S("250 a\r"), S(""), PN_NOT_FOUND, true },
	{ "another code inside", S("250-a\r\n251 b\r\n"), S(""), PN_INVALID, false },
	{ "no code", S("hello\r\n"), S(""), PN_INVALID, false },
	{ "an empty line", S("\r\n"), S(""), PN_INVALID, false },
	{ "two digits", S("25 a\r\n"), S(""), PN_INVALID, false },
	{ "four digits", S("2500 a\r\n"), S(""), PN_INVALID, false },
	{ "code below 200", S("100 a\r\n"), S(""), PN_INVALID, false },
	{ "code above 599", S("600 a\r\n"), S(""), PN_INVALID, false },
	{ "a sign", S("+25 a\r\n"), S(""), PN_INVALID, false },
	{ "good, then garbage", S("220 a\r\nHTTP/1.1 400\r\n"), S("220:a|"), PN_INVALID, false },
	{ "TLS", S("\x15\x03\x01\x00\x02\x02\x46\n"), S(""), PN_INVALID, false },
};

static enum pn_status
run(struct pn_smtp_reply *reply, struct pn_str in, size_t step, struct pn_buf *out)
{
	enum pn_status st = PN_NOT_FOUND;

	for (size_t at = 0; at < in.n && st == PN_NOT_FOUND; at += step) {
		struct pn_str piece = pn_str_head(pn_str_from(in, at), step);

		while ((st = pn_smtp_reply_push(reply, &piece)) == PN_OK) {
			pn_buf_addf(out, "%u:", reply->code);
			pn_buf_add(out, pn_buf_str(&reply->text));
			pn_buf_add_char(out, '|');
		}
	}
	return st;
}

static void
test_replies_in_pieces_of_any_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(streams); i++)
		for (size_t step = 1; step <= streams[i].in.n + 1; step++) {
			struct pn_smtp_reply reply;
			struct pn_buf out;
			enum pn_status st;

			pn_smtp_reply_init(&reply);
			pn_buf_init(&out, 4096);
			st = run(&reply, streams[i].in, step, &out);
			if (st != streams[i].end || !pn_str_eq(pn_buf_str(&out), streams[i].out)
			    || (st == PN_NOT_FOUND && pn_smtp_reply_is_partial(&reply) != streams[i].partial))
				fail_msg("%s, %zu bytes at a time: %s \"" PN_STR_FMT "\"", streams[i].name,
				    step, pn_status_name(st), PN_STR_ARG(pn_buf_str(&out)));
			pn_buf_done(&out);
			pn_smtp_reply_done(&reply);
		}
}

static enum pn_status
push_lines(struct pn_str line, size_t n)
{
	struct pn_smtp_reply reply;
	enum pn_status st = PN_NOT_FOUND;

	pn_smtp_reply_init(&reply);
	for (size_t i = 0; i < n && st == PN_NOT_FOUND; i++) {
		struct pn_str in = line;

		st = pn_smtp_reply_push(&reply, &in);
	}
	if (st == PN_LIMIT) {
		struct pn_str good = S("250 a\r\n");

		assert_int_equal(pn_smtp_reply_push(&reply, &good), PN_INVALID);
	}
	pn_smtp_reply_done(&reply);
	return st;
}

static void
test_replies_have_limits(void **state)
{
	(void)state;
	assert_int_equal(push_lines(S("250-0123456789\r\n"), 500), PN_NOT_FOUND);
	assert_int_equal(push_lines(S("250-0123456789\r\n"), 1000), PN_LIMIT);
	assert_int_equal(push_lines(S("250-\r\n"), 10000), PN_LIMIT);
	assert_int_equal(push_lines(S("250 a"), 204), PN_NOT_FOUND);
	assert_int_equal(push_lines(S("250 a"), 206), PN_LIMIT);
}

static const struct {
	const char *name;
	struct pn_str text;
	unsigned offers;
} greetings[] = {
	{ "nothing", S("mx.test"), 0 },
	{ "the name is no offer", S("STARTTLS"), 0 },
	{ "STARTTLS", S("mx.test\nSIZE 100\nSTARTTLS\nHELP"), PN_SMTP_STARTTLS },
	{ "any case", S("mx.test\nstarttls\nauth plain"), PN_SMTP_STARTTLS | PN_SMTP_PLAIN },
	{ "a longer word", S("mx.test\nSTARTTLSX\nXSTARTTLS"), 0 },
	{ "mechanisms", S("mx.test\nAUTH LOGIN CRAM-MD5 PLAIN"), PN_SMTP_LOGIN | PN_SMTP_PLAIN },
	{ "tokens", S("mx.test\nAUTH XOAUTH2 OAUTHBEARER"), PN_SMTP_XOAUTH2 | PN_SMTP_OAUTHBEARER },
	{ "old spelling", S("mx.test\nAUTH=LOGIN"), PN_SMTP_LOGIN },
	{ "blanks at the end", S("mx.test\nAUTH PLAIN  LOGIN \nSTARTTLS "),
	    PN_SMTP_STARTTLS | PN_SMTP_PLAIN | PN_SMTP_LOGIN },
	{ "no mechanism", S("mx.test\nAUTH"), 0 },
	{ "part of a word", S("mx.test\nAUTH PLAINER OAUTH"), 0 },
	{ "no text", S(""), 0 },
};

static void
test_offers(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(greetings); i++)
		if (pn_smtp_offers(greetings[i].text) != greetings[i].offers)
			fail_msg("%s: %u", greetings[i].name, pn_smtp_offers(greetings[i].text));
}

/* -- logins --------------------------------------------------------------------------- */

static const struct pn_relay relay = { .host = S("smtp.test"), .port = 587, .user = S("a=b,c@x.test") };

static const struct {
	const char *name;
	unsigned mechanism;
	struct pn_str message;
} messages[] = {
	{ "RFC 4616", PN_SMTP_PLAIN, S("\0a=b,c@x.test\0geheim") },
	{ "LOGIN", PN_SMTP_LOGIN, S("geheim") },
	{ "XOAUTH2", PN_SMTP_XOAUTH2, S("user=a=b,c@x.test\1auth=Bearer geheim\1\1") },
	{ "RFC 7628", PN_SMTP_OAUTHBEARER,
	    S("n,a=a=3Db=2Cc@x.test,\1host=smtp.test\1port=587\1auth=Bearer geheim\1\1") },
};

static void
test_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(messages); i++) {
		struct smtp_secret message = smtp_auth_message(messages[i].mechanism, &relay, S("geheim"));

		if (!pn_str_eq(pn_str_n(message.p, message.n), messages[i].message))
			fail_msg("%s: %.*s", messages[i].name, (int)message.n, message.p);
		smtp_secret_free(&message);
		smtp_secret_free(&message);
	}
}

static void
test_base64(void **state)
{
	static const struct {
		struct pn_str in, out;
	} rows[] = { { S(""), S("") }, { S("f"), S("Zg==") }, { S("fo"), S("Zm8=") }, { S("foo"), S("Zm9v") },
		{ S("\0a\0b"), S("AGEAYg==") } };

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct smtp_secret out = smtp_base64(rows[i].in);

		assert_true(pn_str_eq(pn_str_n(out.p, out.n), rows[i].out));
		smtp_secret_free(&out);
	}
}

static const struct {
	const char *name;
	unsigned offers;
	enum pn_login login;
	unsigned mechanism;
} choices[] = {
	{ "PLAIN first", PN_SMTP_LOGIN | PN_SMTP_PLAIN | PN_SMTP_XOAUTH2, PN_LOGIN_PASSWORD, PN_SMTP_PLAIN },
	{ "LOGIN", PN_SMTP_LOGIN | PN_SMTP_STARTTLS, PN_LOGIN_PASSWORD, PN_SMTP_LOGIN },
	{ "a password is no token", PN_SMTP_XOAUTH2 | PN_SMTP_OAUTHBEARER, PN_LOGIN_PASSWORD, 0 },
	{ "XOAUTH2 first", PN_SMTP_OAUTHBEARER | PN_SMTP_XOAUTH2 | PN_SMTP_PLAIN, PN_LOGIN_OAUTH,
	    PN_SMTP_XOAUTH2 },
	{ "OAUTHBEARER", PN_SMTP_OAUTHBEARER | PN_SMTP_PLAIN, PN_LOGIN_OAUTH, PN_SMTP_OAUTHBEARER },
	{ "a token is no password", PN_SMTP_PLAIN | PN_SMTP_LOGIN, PN_LOGIN_OAUTH, 0 },
	{ "nothing offered", PN_SMTP_STARTTLS, PN_LOGIN_PASSWORD, 0 },
};

static void
test_choices(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(choices); i++)
		if (smtp_auth_choose(choices[i].offers, choices[i].login) != choices[i].mechanism)
			fail_msg("%s", choices[i].name);
}

/* The secrets: "AGEAc2VjcmV0cGFzcw==", which is \0a\0secretpass, and "secretpass". */
static const struct {
	const char *name;
	struct pn_str in, out;
} texts[] = {
	{ "nothing secret", S("5.7.8 wrong user or password"), S("5.7.8 wrong user or password") },
	{ "the password", S("no user a with secretpass"), S("no user a with ***") },
	{ "most of it", S("secretpas?"), S("***?") },
	{ "seven bytes of it", S("a secretp"), S("a secretp") },
	{ "base64", S("AUTH PLAIN AGEAc2VjcmV0cGFzcw== failed"), S("AUTH PLAIN *** failed") },
	{ "base64, cut off", S("bad: AGEAc2Vjcm..."), S("bad: ***...") },
	{ "base64, folded", S("AGEAc2VjcmV0\ncGFzcw=="), S("***\n***") },
	{ "twice", S("secretpasssecretpass"), S("******") },
	{ "empty", S(""), S("") },
};

static void
test_secrets_are_not_shown(void **state)
{
	static const struct pn_str secrets[] = { S("AGEAc2VjcmV0cGFzcw=="), S("secretpass"), S("") };
	struct pn_arena *arena = pn_arena_new(1 << 20);

	(void)state;
	for (size_t i = 0; i < PN_COUNT(texts); i++) {
		struct pn_str out = smtp_redact(texts[i].in, secrets, PN_COUNT(secrets), arena);

		if (!pn_str_eq(out, texts[i].out))
			fail_msg("%s: " PN_STR_FMT, texts[i].name, PN_STR_ARG(out));
	}
	assert_true(pn_str_eq(smtp_redact(S("abcabx"), &S("ab"), 1, arena), S("***c***x")));
	pn_arena_free(arena);
}

/* -- tokens --------------------------------------------------------------------------- */

static const struct {
	const char *name;
	struct pn_str file;
	unsigned mode;
	enum pn_status status;
	struct pn_str token;
} tokens[] = {
	{ "good", S("1001\nya29.token\n"), 0600, PN_OK, S("ya29.token") },
	{ "expired now", S("1000\nya29.token\n"), 0600, PN_TEMPFAIL, S("") },
	{ "readable by others", S("1001\nya29.token\n"), 0644, PN_INVALID, S("") },
	{ "no token", S("1001\n"), 0600, PN_INVALID, S("") },
	{ "no time", S("ya29.token\n"), 0600, PN_INVALID, S("") },
	{ "a time that is none", S("soon\nya29.token\n"), 0600, PN_INVALID, S("") },
	{ "the time of no clock", S("99999999999999999999\nya29.token\n"), 0600, PN_INVALID, S("") },
	{ "a line too many", S("1001\nya29.token\nmore\n"), 0600, PN_INVALID, S("") },
	{ "empty", S(""), 0600, PN_INVALID, S("") },
};

static void
write_file(const char *path, struct pn_str text, unsigned mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text.p, 1, text.n, file), text.n);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void
test_tokens(void **state)
{
	char folder[] = "/tmp/test_tokens.XXXXXX", tokens_folder[64], path[80];
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_token token;
	struct pn_error err;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(tokens_folder, sizeof(tokens_folder), "%s/tokens", folder);
	(void)snprintf(path, sizeof(path), "%s/gmail", tokens_folder);
	assert_int_equal(mkdir(tokens_folder, 0700), 0);
	assert_int_equal(
	    pn_token_read(pn_str_c(folder), S("gmail"), 1000, arena, &token, &err), PN_NOT_FOUND);
	for (size_t i = 0; i < PN_COUNT(tokens); i++) {
		enum pn_status st;

		write_file(path, tokens[i].file, tokens[i].mode);
		st = pn_token_read(pn_str_c(folder), S("gmail"), 1000, arena, &token, &err);
		if (st != tokens[i].status
		    || (st == PN_OK && (!pn_str_eq(token.text, tokens[i].token) || token.expires != 1001)))
			fail_msg("%s: %s", tokens[i].name, pn_status_name(st));
	}
	(void)unlink(path);
	(void)rmdir(tokens_folder);
	(void)rmdir(folder);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies_in_pieces_of_any_size),
		cmocka_unit_test(test_replies_have_limits),
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_choices),
		cmocka_unit_test(test_secrets_are_not_shown),
		cmocka_unit_test(test_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
