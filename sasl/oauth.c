/* libpostern_oauth - XOAUTH2 (Google's, Microsoft's) and OAUTHBEARER (RFC 7628) for clients of Cyrus SASL.
 *
 * What the application gives as the password is the access token.  Both mechanisms send the user as the
 * identity to act as, so both ask for it (SASL_CB_USER): Postfix answers that only where its
 * send_cyrus_sasl_authzid = yes, and so nothing changes for the logins of other transports when this library
 * is installed.
 *
 * Loaded by libsasl2, which calls sasl_client_plug_init().  No state but one context per login: any number of
 * threads.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <sasl/sasl.h>
#include <sasl/saslplug.h>

enum {
	TEXT_MAX = 8192,	/* of the first response: in base64 it fits a line (RFC 4954 section 4: 12288) */
	USER_MAX = 1024,
};

struct login {
	bool refused;		/* the server has described its error, and was answered */
	unsigned n;
	char text[TEXT_MAX];	/* the first response, wiped at the end */
};

/* What one mechanism sends; returns what snprintf() does. */
typedef int compose_message(const sasl_client_params_t *params, const char *user, const sasl_secret_t *token,
    char text[TEXT_MAX]);

struct mechanism {
	compose_message *compose;
	const char *resigned;	/* the answer to an error's description, after which the server says no */
	unsigned resigned_length;
};

/* -- messages ------------------------------------------------------------------------- */

static int
compose_xoauth2(const sasl_client_params_t *params, const char *user, const sasl_secret_t *token,
    char text[TEXT_MAX])
{
	(void)params;
	return snprintf(text, TEXT_MAX, "user=%s\1auth=Bearer %.*s\1\1", user, (int)token->len, token->data);
}

/* A saslname (RFC 5801 section 4): "=" and "," have another meaning there. */
static void
write_saslname(const char *name, char out[3 * USER_MAX + 1])
{
	for (; *name != '\0'; name++)
		if (*name == '=' || *name == ',') {
			memcpy(out, *name == '=' ? "=3D" : "=2C", 3);
			out += 3;
		} else
			*out++ = *name;
	*out = '\0';
}

/* RFC 7628 section 3.1; the port is not known here, and may be left out. */
static int
compose_oauthbearer(const sasl_client_params_t *params, const char *user, const sasl_secret_t *token,
    char text[TEXT_MAX])
{
	char name[3 * USER_MAX + 1];

	write_saslname(user, name);
	return snprintf(text, TEXT_MAX, "n,a=%s,\1host=%s\1auth=Bearer %.*s\1\1", name,
	    params->serverFQDN == NULL ? "" : params->serverFQDN, (int)token->len, token->data);
}

static const struct mechanism xoauth2 = { compose_xoauth2, "", 0 };
static const struct mechanism oauthbearer = { compose_oauthbearer, "\1", 1 };

/* -- what the application knows --------------------------------------------------------- */

typedef void any_function(void);

/* NULL: the application does not answer that. */
static any_function *
find_callback(const sasl_client_params_t *params, unsigned long id, void **context)
{
	sasl_callback_ft call = NULL;

	if (params->utils->getcallback(params->utils->conn, id, &call, context) != SASL_OK)
		return NULL;
	return (any_function *)call;
}

/* No control characters and no blanks: nothing that could end the field it stands in. */
static bool
is_field(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return false;
	return n > 0;
}

static int
ask_user(const sasl_client_params_t *params, const char **user)
{
	void *context;
	sasl_getsimple_t *ask = (sasl_getsimple_t *)find_callback(params, SASL_CB_USER, &context);
	unsigned n = 0;

	if (ask == NULL || ask(context, SASL_CB_USER, user, &n) != SASL_OK || *user == NULL)
		return SASL_FAIL;
	n = (unsigned)strnlen(*user, USER_MAX + 1);
	return n <= USER_MAX && is_field(*user, n) ? SASL_OK : SASL_BADPARAM;
}

static int
ask_token(const sasl_client_params_t *params, sasl_secret_t **token)
{
	void *context;
	sasl_getsecret_t *ask = (sasl_getsecret_t *)find_callback(params, SASL_CB_PASS, &context);

	if (ask == NULL || ask(params->utils->conn, context, SASL_CB_PASS, token) != SASL_OK
	    || *token == NULL)
		return SASL_FAIL;
	return (*token)->len < TEXT_MAX && is_field((const char *)(*token)->data, (*token)->len)
	    ? SASL_OK : SASL_BADPARAM;
}

/* -- one login -------------------------------------------------------------------------- */

static int
login_new(void *mechanism, sasl_client_params_t *params, void **out)
{
	struct login *login = params->utils->malloc(sizeof(*login));

	(void)mechanism;
	if (login == NULL)
		return SASL_NOMEM;
	memset(login, 0, sizeof(*login));
	*out = login;
	return SASL_OK;
}

static void
login_free(void *context, const sasl_utils_t *utils)
{
	if (context == NULL)
		return;
	utils->erasebuffer(context, sizeof(struct login));
	utils->free(context);
}

static int
first_step(const struct mechanism *mechanism, struct login *login, sasl_client_params_t *params,
    sasl_out_params_t *result)
{
	const char *user = NULL;
	sasl_secret_t *token = NULL;
	int n, status = ask_user(params, &user);

	if (status == SASL_OK)
		status = ask_token(params, &token);
	if (status == SASL_OK)
		status = params->canon_user(params->utils->conn, user, 0, SASL_CU_AUTHID | SASL_CU_AUTHZID,
		    result);
	if (status != SASL_OK)
		return status;
	n = mechanism->compose(params, user, token, login->text);
	if (n < 0 || n >= TEXT_MAX)
		return SASL_BADPARAM;
	login->n = (unsigned)n;
	return SASL_OK;
}

/* The first response says everything.  A challenge after it can only be the description of an error: once
 * answered, the server refuses in its own words, which must come to whoever reads the log. */
static int
step(const struct mechanism *mechanism, struct login *login, sasl_client_params_t *params,
    const char **out, unsigned *out_length, sasl_out_params_t *result)
{
	int status;

	if (login->n > 0) {
		if (login->refused)
			return SASL_BADPROT;
		login->refused = true;
		*out = mechanism->resigned;
		*out_length = mechanism->resigned_length;
		return SASL_OK;
	}
	status = first_step(mechanism, login, params, result);
	if (status == SASL_OK) {
		*out = login->text;
		*out_length = login->n;
	}
	return status;
}

static int
step_xoauth2(void *login, sasl_client_params_t *params, const char *in, unsigned in_length,
    sasl_interact_t **prompts, const char **out, unsigned *out_length, sasl_out_params_t *result)
{
	(void)in, (void)in_length, (void)prompts;
	return step(&xoauth2, login, params, out, out_length, result);
}

static int
step_oauthbearer(void *login, sasl_client_params_t *params, const char *in, unsigned in_length,
    sasl_interact_t **prompts, const char **out, unsigned *out_length, sasl_out_params_t *result)
{
	(void)in, (void)in_length, (void)prompts;
	return step(&oauthbearer, login, params, out, out_length, result);
}

/* -- what libsasl2 loads ------------------------------------------------------------------ */

static const unsigned long prompts_needed[] = { SASL_CB_USER, SASL_CB_PASS, SASL_CB_LIST_END };

#define PLUG(name, steps) { .mech_name = name, \
	.security_flags = SASL_SEC_NOANONYMOUS | SASL_SEC_PASS_CREDENTIALS, \
	.features = SASL_FEAT_WANT_CLIENT_FIRST, .required_prompts = prompts_needed, \
	.mech_new = login_new, .mech_step = steps, .mech_dispose = login_free }

/* libsasl2 takes it as not constant, and does not change it */
static sasl_client_plug_t plugs[] = {
	PLUG("XOAUTH2", step_xoauth2),
	PLUG("OAUTHBEARER", step_oauthbearer),
};

sasl_client_plug_init_t sasl_client_plug_init;

int
sasl_client_plug_init(const sasl_utils_t *utils, int max_version, int *version, sasl_client_plug_t **list,
    int *count)
{
	(void)utils;
	if (max_version < SASL_CLIENT_PLUG_VERSION)
		return SASL_BADVERS;
	*version = SASL_CLIENT_PLUG_VERSION;
	*list = plugs;
	*count = sizeof(plugs) / sizeof(plugs[0]);
	return SASL_OK;
}
