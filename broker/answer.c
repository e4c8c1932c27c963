#include "answer.h"

#include <jansson.h>

static struct pn_str
text_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) ? pn_str_n(json_string_value(value), json_string_length(value))
	    : PN_STR_EMPTY;
}

/* RFC 6749 appendix A.12 and A.17; without the blank, that no bearer token has (RFC 6750 section 2.1). */
static bool
is_token(struct pn_str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] > '~')
			return false;
	return text.n > 0 && text.n <= ANSWER_TOKEN_MAX;
}

/* Some servers write the number as a string. */
static uint64_t
lifetime_of(const json_t *object)
{
	const json_t *value = json_object_get(object, "expires_in");
	struct pn_str text = text_of(object, "expires_in");
	uint64_t seconds = ANSWER_LIFETIME_UNSAID;

	if (json_is_integer(value) && json_integer_value(value) >= 0)
		seconds = (uint64_t)json_integer_value(value);
	else if (text.n > 0 && !pn_str_to_u64(text, UINT64_MAX, &seconds))
		seconds = ANSWER_LIFETIME_UNSAID;
	if (seconds > ANSWER_LIFETIME_MAX)
		return ANSWER_LIFETIME_MAX;
	return seconds == 0 ? 1 : seconds;
}

static enum pn_status
read_tokens(const json_t *object, struct pn_arena *arena, struct answer *out, struct pn_error *err)
{
	struct pn_str token = text_of(object, "access_token"), refresh = text_of(object, "refresh_token");

	if (token.n > ANSWER_TOKEN_MAX || refresh.n > ANSWER_TOKEN_MAX)
		return pn_fail(err, PN_INVALID,
		    "the token is longer than %d bytes: ask for a smaller oauth_scope",
		    ANSWER_TOKEN_MAX);
	if (!is_token(token) || (refresh.n > 0 && !is_token(refresh)))
		return pn_fail(err, PN_TEMPFAIL, "the answer holds no token");
	if (!pn_str_eq_nocase(text_of(object, "token_type"), PN_STR("bearer")))
		return pn_fail(err, PN_INVALID, "the token is no bearer token: no mail server takes it");
	*out = (struct answer){ pn_arena_dup(arena, token), pn_arena_dup(arena, refresh),
	    lifetime_of(object) };
	return PN_OK;
}

/* What the operator can do about an error of RFC 6749 section 5.2. */
static const struct { const char *error, *remedy; } remedies[] = {
	{ "invalid_grant",
	    "the refresh token is not good any longer (revoked, expired, or of another application): log in "
	    "again, write the new one into oauth_refresh_token_file, and send SIGUSR1" },
	{ "invalid_client",
	    "look at oauth_client_id and at the secret in oauth_client_secret_file (it may have "
	    "expired)" },
	{ "unauthorized_client",
	    "the provider does not allow this application to do so: look at its registration" },
	{ "invalid_scope", "look at oauth_scope" },
	{ "unsupported_grant_type", "the provider wants a login: set oauth_refresh_token_file" },
};

/* RFC 6749 section 4.1.2.1 has the first two, RFC 8628 the third. */
static const char *const transient[] = { "temporarily_unavailable", "server_error", "slow_down" };

static enum pn_status
refused(const json_t *object, struct pn_str error, struct pn_error *err)
{
	struct pn_str said = pn_str_head(text_of(object, "error_description"), 200);
	const char *remedy = "the request is refused: look at the keys oauth_*";

	error = pn_str_head(error, 60);
	for (size_t i = 0; i < PN_COUNT(transient); i++)
		if (pn_str_eq(error, pn_str_c(transient[i])))
			return pn_fail(err, PN_TEMPFAIL, PN_STR_FMT ": " PN_STR_FMT, PN_STR_ARG(error),
			    PN_STR_ARG(said));
	for (size_t i = 0; i < PN_COUNT(remedies); i++)
		if (pn_str_eq(error, pn_str_c(remedies[i].error)))
			remedy = remedies[i].remedy;
	return pn_fail(err, PN_INVALID, "%s; the server says: " PN_STR_FMT " " PN_STR_FMT, remedy,
	    PN_STR_ARG(error), PN_STR_ARG(said));
}

static enum pn_status
read_object(long status, const json_t *object, struct pn_arena *arena, struct answer *out,
    struct pn_error *err)
{
	struct pn_str error = text_of(object, "error");

	if (status >= 500 || status == 429)
		return pn_fail(err, PN_TEMPFAIL, "the server answers %ld", status);
	if (error.n > 0)
		return refused(object, error, err);
	if (status == 200)
		return read_tokens(object, arena, out, err);
	if (status >= 400)
		return pn_fail(err, PN_INVALID, "the server answers %ld: look at oauth_token_url", status);
	return pn_fail(err, PN_TEMPFAIL, "the server answers %ld without a token", status);
}

enum pn_status
answer_read(long status, struct pn_str body, struct pn_arena *arena, struct answer *out,
    struct pn_error *err)
{
	json_t *object = body.n > ANSWER_MAX ? NULL
	    : json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
	enum pn_status st = read_object(status, object, arena, out, err);

	json_decref(object);
	return st;
}
