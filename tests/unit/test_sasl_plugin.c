/* The plugin as libsasl2 drives it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>

sasl_client_plug_init_t sasl_client_plug_init;

struct application {
	const char *user;
	sasl_secret_t *token;
};

static int
get_user(void *ctx, int id, const char **result, unsigned *n)
{
	const struct application *application = ctx;

	assert_int_equal(id, SASL_CB_USER);
	*result = application->user;
	if (n != NULL)
		*n = (unsigned)strlen(application->user);
	return SASL_OK;
}

static int
get_token(sasl_conn_t *conn, void *ctx, int id, sasl_secret_t **result)
{
	const struct application *application = ctx;

	(void)conn;
	assert_int_equal(id, SASL_CB_PASS);
	*result = application->token;
	return SASL_OK;
}

/* As long as it says and not a byte more: no NUL behind it. */
static sasl_secret_t *
secret_of(const char *text, size_t n)
{
	sasl_secret_t *secret = malloc(offsetof(sasl_secret_t, data) + n);

	assert_non_null(secret);
	secret->len = n;
	memcpy(secret->data, text, n);
	return secret;
}

struct login {
	struct application application;
	sasl_callback_t callbacks[3];
	sasl_conn_t *conn;
};

static void
begin(struct login *login, const char *user, const char *token, size_t n)
{
	*login = (struct login){ .application = { user, secret_of(token, n) } };
	login->callbacks[0] = (sasl_callback_t){ SASL_CB_USER, (int (*)(void))(void (*)(void))get_user,
		&login->application };
	login->callbacks[1] = (sasl_callback_t){ SASL_CB_PASS, (int (*)(void))(void (*)(void))get_token,
		&login->application };
	login->callbacks[2] = (sasl_callback_t){ SASL_CB_LIST_END, NULL, NULL };
	assert_int_equal(sasl_client_new("smtp", "mx.test", NULL, NULL, login->callbacks, 0, &login->conn),
	    SASL_OK);
}

static void
end(struct login *login)
{
	sasl_dispose(&login->conn);
	free(login->application.token);
}

static const struct {
	const char *name, *mechanisms, *user, *token;
	int status;
	const char *chosen, *first, *resigned;
} logins[] = {
	{ "XOAUTH2", "XOAUTH2", "u@x.test", "ya29.a-b_c~d+e/f==", SASL_OK, "XOAUTH2",
	    "user=u@x.test\1auth=Bearer ya29.a-b_c~d+e/f==\1\1", "" },
	{ "OAUTHBEARER", "OAUTHBEARER", "u@x.test", "tok", SASL_OK, "OAUTHBEARER",
	    "n,a=u@x.test,\1host=mx.test\1auth=Bearer tok\1\1", "\1" },
	{ "both and another", "GSSAPI OAUTHBEARER XOAUTH2", "u", "tok", SASL_OK, "XOAUTH2",
	    "user=u\1auth=Bearer tok\1\1", "" },
	{ "= and , in a user", "OAUTHBEARER", "a=b,c", "tok", SASL_OK, "OAUTHBEARER",
	    "n,a=a=3Db=2Cc,\1host=mx.test\1auth=Bearer tok\1\1", "\1" },
	{ "UTF-8 in a user", "XOAUTH2", "j\303\266rg@x.test", "tok", SASL_OK, "XOAUTH2",
	    "user=j\303\266rg@x.test\1auth=Bearer tok\1\1", "" },
	{ "no user", "XOAUTH2", "", "tok", SASL_BADPARAM, NULL, NULL, NULL },
	{ "no token", "XOAUTH2", "u", "", SASL_BADPARAM, NULL, NULL, NULL },
	{ "a field in a user", "XOAUTH2", "u\1auth=Bearer x", "tok", SASL_BADPARAM, NULL, NULL, NULL },
	{ "a field in a token", "OAUTHBEARER", "u", "tok\1x=y", SASL_BADPARAM, NULL, NULL, NULL },
	{ "a blank in a token", "XOAUTH2", "u", "a b", SASL_BADPARAM, NULL, NULL, NULL },
	{ "a line end in a token", "XOAUTH2", "u", "a\n", SASL_BADPARAM, NULL, NULL, NULL },
	{ "not offered", "SCRAM-SHA-1", "u", "tok", SASL_NOMECH, NULL, NULL, NULL },
};

static void
test_logins(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
		const char *out = NULL, *mechanism = NULL;
		struct login login;
		unsigned n = 0;
		int status;

		print_message("%s\n", logins[i].name);
		begin(&login, logins[i].user, logins[i].token, strlen(logins[i].token));
		status = sasl_client_start(login.conn, logins[i].mechanisms, NULL, &out, &n, &mechanism);
		assert_int_equal(status, logins[i].status);
		if (status == SASL_OK) {
			assert_string_equal(mechanism, logins[i].chosen);
			assert_int_equal(n, strlen(logins[i].first));
			assert_memory_equal(out, logins[i].first, n);
			/* the server describes an error: it is answered once */
			assert_int_equal(sasl_client_step(login.conn, "{}", 2, NULL, &out, &n), SASL_OK);
			assert_int_equal(n, strlen(logins[i].resigned));
			assert_memory_equal(out, logins[i].resigned, n);
			assert_int_equal(sasl_client_step(login.conn, "{}", 2, NULL, &out, &n), SASL_BADPROT);
		}
		end(&login);
	}
}

/* The longest that fits, and one byte more. */
static void
test_limits(void **state)
{
	static const struct { size_t user, token; int status; } rows[] = {
		{ 1024, 4000, SASL_OK }, { 1025, 1, SASL_BADPARAM }, { 1, 8191 - 21, SASL_OK },
		{ 1, 8192 - 21, SASL_BADPARAM }, { 1, 100000, SASL_BADPARAM },
	};
	char *user = calloc(1, 2000), *token = calloc(1, 100001);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *out, *mechanism;
		struct login login;
		unsigned n;

		memset(user, 0, 2000);
		memset(user, 'u', rows[i].user);
		memset(token, 't', 100000);
		begin(&login, user, token, rows[i].token);
		assert_int_equal(sasl_client_start(login.conn, "XOAUTH2", NULL, &out, &n, &mechanism),
		    rows[i].status);
		end(&login);
	}
	free(user);
	free(token);
}

/* Without SASL_CB_USER (Postfix: send_cyrus_sasl_authzid = no) the mechanisms are not there. */
static void
test_nothing_changes_for_others(void **state)
{
	const char *out, *mechanism;
	struct login login;
	sasl_conn_t *conn;
	unsigned n;

	(void)state;
	begin(&login, "u", "tok", 3);
	assert_int_equal(sasl_client_new("smtp", "mx.test", NULL, NULL, login.callbacks + 1, 0, &conn),
	    SASL_OK);
	assert_int_equal(sasl_client_start(conn, "XOAUTH2 OAUTHBEARER", NULL, &out, &n, &mechanism),
	    SASL_NOMECH);
	sasl_dispose(&conn);
	end(&login);
}

/* No plugins but ours. */
static int
no_path(void *ctx, const char **path)
{
	(void)ctx;
	*path = "/nonexistent";
	return SASL_OK;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logins),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_nothing_changes_for_others),
	};
	const sasl_callback_t callbacks[] = {
		{ SASL_CB_GETPATH, (int (*)(void))(void (*)(void))no_path, NULL }, { SASL_CB_LIST_END, NULL,
		    NULL },
	};
	int failed;

	if (sasl_client_init(callbacks) != SASL_OK
	    || sasl_client_add_plugin("postern", sasl_client_plug_init) != SASL_OK)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	sasl_client_done();
	return failed;
}
