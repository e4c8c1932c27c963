/* What token endpoints answer, which accounts there are and when each is due, and the files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../broker/account.h"
#include "../../broker/answer.h"
#include "../../broker/keep.h"
#include "../../broker/wipe.h"
#include "postern/token.h"

#define S PN_STR
enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

/* -- answers -------------------------------------------------------------------------- */

#define GOOD "\"access_token\":\"ya29.x\",\"token_type\":\"Bearer\""

static const struct {
	const char *name;
	long http;
	struct pn_str body;
	enum pn_status st;
	const char *text;		/* the token, or a part of the error */
	uint64_t lifetime;
	const char *refresh;
} answers[] = {
	{ "Google's", 200, S("{" GOOD ",\"expires_in\":3599,\"scope\":\"https://mail.google.com/\"}"), PN_OK,
	    "ya29.x", 3599, "" },
	{ "with a new refresh token", 200, S("{" GOOD ",\"expires_in\":3599,\"refresh_token\":\"0.AX\"}"),
	    PN_OK,
	    "ya29.x", 3599, "0.AX" },
	{ "number as a string", 200, S("{" GOOD ",\"expires_in\":\"3599\"}"), PN_OK, "ya29.x", 3599, "" },
	{ "no lifetime", 200, S("{" GOOD "}"), PN_OK, "ya29.x", ANSWER_LIFETIME_UNSAID, "" },
	{ "lifetime no number", 200, S("{" GOOD ",\"expires_in\":\"soon\"}"), PN_OK, "ya29.x",
	    ANSWER_LIFETIME_UNSAID, "" },
	{ "lifetime below 0", 200, S("{" GOOD ",\"expires_in\":-1}"), PN_OK, "ya29.x", ANSWER_LIFETIME_UNSAID,
	    "" },
	{ "lifetime 0", 200, S("{" GOOD ",\"expires_in\":0}"), PN_OK, "ya29.x", 1, "" },
	{ "lifetime without end", 200, S("{" GOOD ",\"expires_in\":9223372036854775807}"), PN_OK, "ya29.x",
	    ANSWER_LIFETIME_MAX, "" },
	{ "lower case", 200, S("{\"access_token\":\"t\",\"token_type\":\"bearer\",\"expires_in\":5}"), PN_OK,
	    "t", 5,
	    "" },
	{ "another type", 200, S("{\"access_token\":\"t\",\"token_type\":\"mac\"}"), PN_INVALID, "no bearer",
	    0, "" },
	{ "no type", 200, S("{\"access_token\":\"t\"}"), PN_INVALID, "no bearer", 0, "" },
	{ "empty token", 200, S("{\"access_token\":\"\",\"token_type\":\"Bearer\"}"), PN_TEMPFAIL, "no token",
	    0, "" },
	{ "token of two lines", 200, S("{\"access_token\":\"a\\nb\",\"token_type\":\"Bearer\"}"), PN_TEMPFAIL,
	    "no token", 0, "" },
	{ "token with a NUL", 200, S("{\"access_token\":\"a\\u0000b\",\"token_type\":\"Bearer\"}"),
	    PN_TEMPFAIL,
	    "no token", 0, "" },
	{ "refresh token with a blank", 200, S("{" GOOD ",\"refresh_token\":\"a b\"}"), PN_TEMPFAIL,
	    "no token", 0,
	    "" },
	{ "token no string", 200, S("{\"access_token\":1,\"token_type\":\"Bearer\"}"), PN_TEMPFAIL,
	    "no token", 0, "" },
	{ "twice the same key", 200, S("{" GOOD "," GOOD "}"), PN_TEMPFAIL, "no token", 0, "" },
	{ "an array", 200, S("[]"), PN_TEMPFAIL, "no token", 0, "" },
	{ "nothing", 200, S(""), PN_TEMPFAIL, "no token", 0, "" },
	{ "a portal's page", 200, S("<html>log in</html>"), PN_TEMPFAIL, "no token", 0, "" },
	{ "redirected", 302, S(""), PN_TEMPFAIL, "302", 0, "" },
	{ "revoked", 400,
	    S("{\"error\":\"invalid_grant\",\"error_description\":\"Token has been revoked.\"}"),
	    PN_INVALID, "log in again", 0, "" },
	{ "its words", 400, S("{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS70008: expired\"}"),
	    PN_INVALID, "invalid_grant AADSTS70008: expired", 0, "" },
	{ "wrong secret", 401, S("{\"error\":\"invalid_client\"}"), PN_INVALID, "oauth_client_secret_file", 0,
	    "" },
	{ "error with 200", 200, S("{\"error\":\"invalid_scope\"}"), PN_INVALID, "oauth_scope", 0, "" },
	{ "an error of its own", 400, S("{\"error\":\"interaction_required\"}"), PN_INVALID,
	    "interaction_required", 0,
	    "" },
	{ "busy", 400, S("{\"error\":\"temporarily_unavailable\"}"), PN_TEMPFAIL, "temporarily_unavailable",
	    0, "" },
	{ "too many", 429, S("{\"error\":\"invalid_grant\"}"), PN_TEMPFAIL, "429", 0, "" },
	{ "down", 503, S("<html>busy</html>"), PN_TEMPFAIL, "503", 0, "" },
	{ "no such page", 404, S("<html>no</html>"), PN_INVALID, "oauth_token_url", 0, "" },
};

static void
test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(answers); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_error err = { "" };
		struct answer answer;

		print_message("%s\n", answers[i].name);
		assert_int_equal(answer_read(answers[i].http, answers[i].body, arena, &answer, &err),
		    answers[i].st);
		if (answers[i].st == PN_OK) {
			assert_true(pn_str_eq(answer.token, pn_str_c(answers[i].text)));
			assert_true(pn_str_eq(answer.refresh, pn_str_c(answers[i].refresh)));
			assert_int_equal(answer.lifetime, answers[i].lifetime);
		} else
			assert_non_null(strstr(err.text, answers[i].text));
		pn_arena_free(arena);
	}
}

static enum pn_status
read_long_token(size_t n)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct answer answer;
	struct pn_buf body;
	enum pn_status st;

	pn_buf_init(&body, 2 * ANSWER_MAX);
	pn_buf_add_c(&body, "{\"token_type\":\"Bearer\",\"access_token\":\"");
	while (n-- > 0)
		pn_buf_add_char(&body, 't');
	pn_buf_add_c(&body, "\"}");
	st = answer_read(200, pn_buf_str(&body), arena, &answer, NULL);
	pn_buf_done(&body);
	pn_arena_free(arena);
	return st;
}

static void
test_long_tokens(void **state)
{
	(void)state;
	assert_int_equal(read_long_token(ANSWER_TOKEN_MAX), PN_OK);
	assert_int_equal(read_long_token(ANSWER_TOKEN_MAX + 1), PN_INVALID);
	assert_int_equal(read_long_token(ANSWER_MAX), PN_TEMPFAIL);
}

/* -- accounts ------------------------------------------------------------------------- */

#define OAUTH(n, u, i, s, r, c) { .name = S(n), .active = true, .login = PN_LOGIN_OAUTH, \
	.oauth_token_url = S(u), .oauth_client_id = S(i), .oauth_client_secret_file = S(s), \
	.oauth_refresh_token_file = S(r), .oauth_scope = S(c) }

static const struct pn_relay relays[] = {
	{ .name = S("password"), .active = true },
	OAUTH("a", "u", "i", "s", "r", "c"),
	OAUTH("same", "u", "i", "s", "r", "c"),
	OAUTH("url", "U", "i", "s", "x", "c"),
	OAUTH("id", "u", "I", "s", "y", "c"),
	OAUTH("scope", "u", "i", "s", "r", "C"),
	OAUTH("app", "u", "i", "s", "", "c"),
	OAUTH("app-scope", "u", "i", "s", "", "C"),
	{ .name = S("off"), .login = PN_LOGIN_OAUTH },
	OAUTH("same-again", "u", "i", "s", "r", "c"),
};

static struct account *
named(struct accounts accounts, const char *name)
{
	for (size_t i = 0; i < accounts.n; i++)
		if (pn_str_eq(accounts.v[i].relay->name, pn_str_c(name)))
			return &accounts.v[i];
	return NULL;
}

static void
test_accounts(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct accounts accounts = accounts_of((struct pn_relays){ relays, PN_COUNT(relays) }, arena);
	const char *const names[] = { "a", "url", "id", "scope", "app", "app-scope" };

	(void)state;
	assert_int_equal(accounts.n, PN_COUNT(names));
	for (size_t i = 0; i < PN_COUNT(names); i++)
		assert_non_null(named(accounts, names[i]));
	assert_true(pn_str_eq(pn_strs_join(named(accounts, "a")->names, S(","), arena),
	    S("a,same,same-again")));
	accounts_done(&accounts);
	pn_arena_free(arena);
}

/* A refresh token is never used twice at once; client credentials may be. */
static void
test_who_is_due(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct accounts accounts = accounts_of((struct pn_relays){ relays, PN_COUNT(relays) }, arena);
	const char *const order[] = { "a", "url", "id", "app", "app-scope" };
	struct fetch *some = (struct fetch *)arena;

	(void)state;
	for (size_t i = 0; i < PN_COUNT(order); i++) {
		struct account *a = accounts_due(&accounts, 0);

		assert_ptr_equal(a, named(accounts, order[i]));
		a->fetch = some;
	}
	assert_null(accounts_due(&accounts, 0));
	assert_int_equal(accounts_next_ms(&accounts), 0);
	named(accounts, "a")->fetch = NULL;
	account_succeeded(named(accounts, "a"), 100, 1000);
	assert_ptr_equal(accounts_due(&accounts, 1000), named(accounts, "scope"));
	named(accounts, "scope")->due_ms = INT64_MAX;
	assert_null(accounts_due(&accounts, 80 * SECOND + 999));
	assert_int_equal(accounts_next_ms(&accounts), 81 * SECOND);
	assert_ptr_equal(accounts_due(&accounts, 81 * SECOND), named(accounts, "a"));
	accounts_done(&accounts);
	pn_arena_free(arena);
}

static void
test_pauses(void **state)
{
	static const struct { enum pn_status st; int64_t retry_after; int64_t pauses[6]; } rows[] = {
		{ PN_TEMPFAIL, 0, { 5 * SECOND, 10 * SECOND, 20 * SECOND, 40 * SECOND, 80 * SECOND,
		    160 * SECOND } },
		{ PN_TEMPFAIL, 30 * SECOND, { 30 * SECOND, 30 * SECOND, 30 * SECOND, 40 * SECOND, 80 * SECOND,
		    160 * SECOND } },
		{ PN_TEMPFAIL, 5 * HOUR, { HOUR, HOUR, HOUR, HOUR, HOUR, HOUR } },
		{ PN_INVALID, 0, { 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 40 * MINUTE, HOUR, HOUR } },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct account a = { .due_ms = 0 };

		for (size_t k = 0; k < PN_COUNT(rows[i].pauses); k++) {
			account_failed(&a, rows[i].st, rows[i].retry_after, 7);
			assert_int_equal(a.due_ms - 7, rows[i].pauses[k]);
		}
		for (int k = 0; k < 100; k++)
			account_failed(&a, rows[i].st, 0, 7);
		assert_int_equal(a.due_ms - 7, rows[i].st == PN_INVALID ? HOUR : 5 * MINUTE);
		account_succeeded(&a, 10, 7);
		assert_int_equal(a.due_ms - 7, 8 * SECOND);
		account_failed(&a, PN_TEMPFAIL, 0, 7);
		assert_int_equal(a.due_ms - 7, 5 * SECOND);
	}
}

static void
test_refused(void **state)
{
	static int some;
	static const struct { const char *name; struct account before; int64_t now, due; } rows[] = {
		{ "at once", { .due_ms = HOUR }, 7, 7 },
		{ "not twice within 5 minutes", { .due_ms = HOUR, .refused_ms = 7 }, 8, 7 + 5 * MINUTE },
		{ "again after 5 minutes", { .due_ms = HOUR, .refused_ms = 7 }, 8 + 5 * MINUTE, 8 + 5 * MINUTE },
		{ "due sooner anyway", { .due_ms = 9, .refused_ms = 7 }, 8, 0 },
		{ "it is due", { .due_ms = 7 }, 7, 0 },
		{ "a request is on its way", { .due_ms = HOUR, .fetch = (struct fetch *)&some }, 7, 0 },
		{ "a pause after a failure", { .due_ms = HOUR, .failures = 1 }, 7, 0 },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct account a = rows[i].before;

		print_message("%s\n", rows[i].name);
		assert_int_equal(account_refused(&a, rows[i].now), rows[i].due != 0);
		assert_int_equal(a.due_ms, rows[i].due != 0 ? rows[i].due : rows[i].before.due_ms);
	}
}

static void
test_complaints(void **state)
{
	struct account a = { .due_ms = 0 };

	(void)state;
	assert_true(account_complains(&a, "x", 0));
	assert_false(account_complains(&a, "x", HOUR - 1));
	assert_true(account_complains(&a, "y", HOUR - 1));
	assert_false(account_complains(&a, "y", HOUR));
	assert_true(account_complains(&a, "y", 2 * HOUR));
	account_succeeded(&a, 10, 2 * HOUR);
	assert_true(account_complains(&a, "y", 2 * HOUR));
}

/* -- files ---------------------------------------------------------------------------- */

static void
remove_tree(const char *path)
{
	char command[256];

	(void)snprintf(command, sizeof(command), "rm -rf %s", path);
	assert_int_equal(system(command), 0);
}

static unsigned
mode_of(const char *folder, const char *name)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* What the broker writes, Postfix's side reads. */
static void
test_tokens(void **state)
{
	char folder[] = "/tmp/pn-keep.XXXXXX";
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct pn_str where, longest;
	struct pn_token token;
	struct pn_error err;
	struct keep keep, other;
	char many[ANSWER_TOKEN_MAX];

	(void)state;
	assert_non_null(mkdtemp(folder));
	where = pn_str_c(folder);
	memset(many, 't', sizeof(many));
	longest = pn_str_n(many, sizeof(many));
	assert_int_equal(keep_open(&keep, where, &err), PN_OK);
	assert_int_equal(keep_open(&other, where, &err), PN_TEMPFAIL);
	assert_non_null(strstr(err.text, "another postern-broker"));
	assert_int_equal(pn_token_read(where, S("gmail"), 10, arena, &token, &err), PN_NOT_FOUND);
	assert_int_equal(keep_token(&keep, S("gmail"), S("old"), 15, &err), PN_OK);
	assert_int_equal(keep_token(&keep, S("gmail"), longest, 20, &err), PN_OK);
	assert_int_equal(pn_token_read(where, S("gmail"), 19, arena, &token, &err), PN_OK);
	assert_true(pn_str_eq(token.text, longest));
	assert_int_equal(token.expires, 20);
	assert_int_equal(pn_token_read(where, S("gmail"), 20, arena, &token, &err), PN_TEMPFAIL);
	assert_int_equal(mode_of(folder, "tokens"), 0750);
	assert_int_equal(mode_of(folder, "tokens/gmail"), 0600);
	assert_false(pn_token_take_refusal(where, S("gmail")));
	assert_int_equal(pn_token_note_refusal(where, S("gmail"), &err), PN_OK);
	assert_int_equal(pn_token_note_refusal(where, S("gmail"), &err), PN_OK);
	assert_false(pn_token_take_refusal(where, S("other")));
	assert_true(pn_token_take_refusal(where, S("gmail")));
	assert_false(pn_token_take_refusal(where, S("gmail")));
	assert_int_equal(pn_token_note_refusal(S("/nonexistent"), S("gmail"), &err), PN_OK);
	keep_close(&keep);
	assert_int_equal(keep_open(&other, where, &err), PN_OK);
	keep_close(&other);
	remove_tree(folder);
	pn_arena_free(arena);
}

static void
test_refresh_tokens(void **state)
{
	char folder[] = "/tmp/pn-keep.XXXXXX", path[64], link[64];
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct pn_error err;
	struct pn_str secret;
	struct stat st;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/refresh", folder);
	(void)snprintf(link, sizeof(link), "%s/link", folder);
	assert_int_equal(keep_secret(path, S("new"), &err), PN_TEMPFAIL);	/* not where none was */
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs("old\n", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(symlink("refresh", link), 0);
	assert_int_equal(keep_secret(link, S("new"), &err), PN_OK);
	assert_int_equal(pn_config_secret(path, arena, &secret, &err), PN_OK);
	assert_true(pn_str_eq(secret, S("new")));
	assert_int_equal(mode_of(folder, "refresh"), 0600);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	remove_tree(folder);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_long_tokens),
		cmocka_unit_test(test_accounts),
		cmocka_unit_test(test_who_is_due),
		cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_complaints),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_refresh_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
