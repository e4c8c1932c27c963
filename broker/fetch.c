#include "fetch.h"

#include <stdlib.h>

#include "postern/clock.h"
#include "postern/config.h"
#include "wipe.h"

enum { FORM_MAX = 32 * 1024, CONNECT_SECONDS = 10, WHOLE_SECONDS = 20 };

/* -- secrets -------------------------------------------------------------------------- */

static enum pn_status
read_secret(struct pn_str file, const char *key, struct pn_arena *arena, struct pn_str *out,
    struct pn_error *err)
{
	enum pn_status st = pn_config_secret(pn_arena_cstr(arena, file), arena, out, err);

	/* it may come while we run, but not by itself */
	return st == PN_OK ? st : pn_fail_in(err, st == PN_NOT_FOUND ? PN_INVALID : st, "%s", key);
}

/* -- the form ------------------------------------------------------------------------- */

/* application/x-www-form-urlencoded; everything but the unreserved characters is escaped. */
static void
add_field(struct pn_buf *form, const char *name, struct pn_str value)
{
	if (value.n == 0)
		return;
	pn_buf_addf(form, "%s%s=", form->n > 0 ? "&" : "", name);
	for (size_t i = 0; i < value.n; i++)
		if (pn_is_alnum(value.p[i]) || memchr("-._~", value.p[i], 4) != NULL)
			pn_buf_add_char(form, value.p[i]);
		else
			pn_buf_addf(form, "%%%02X", (unsigned char)value.p[i]);
}

static enum pn_status
write_form(const struct account *account, struct pn_arena *arena, struct pn_buf *form, struct pn_error *err)
{
	const struct pn_relay *relay = account->relay;
	struct pn_str secret = { NULL, 0 }, refresh = { account->unsaved.p, account->unsaved.n };
	enum pn_status st = PN_OK;

	if (relay->oauth_client_secret_file.n > 0)
		st = read_secret(relay->oauth_client_secret_file, "oauth_client_secret_file", arena, &secret,
		    err);
	if (st == PN_OK && relay->oauth_refresh_token_file.n > 0 && refresh.n == 0)
		st = read_secret(relay->oauth_refresh_token_file, "oauth_refresh_token_file", arena, &refresh,
		    err);
	if (st == PN_OK) {
		add_field(form, "grant_type",
		    refresh.n > 0 ? PN_STR("refresh_token") : PN_STR("client_credentials"));
		add_field(form, "client_id", relay->oauth_client_id);
		add_field(form, "client_secret", secret);
		add_field(form, "refresh_token", refresh);
		add_field(form, "scope", relay->oauth_scope);
	}
	wipe_text(secret);
	if (refresh.p != account->unsaved.p)
		wipe_text(refresh);
	return st;
}

/* -- the request ---------------------------------------------------------------------- */

static size_t
on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct pn_buf *body = ctx;

	pn_buf_add(body, pn_str_n(p, size * n));
	return pn_buf_failed(body) ? 0 : size * n;	/* 0: libcurl gives up */
}

/* A server that redirects is not one to give a secret to, and so is one without TLS elsewhere than on this
 * host, which the configuration has refused. */
static bool
set_up(struct fetch *fetch, const char *url)
{
	const char *authorities = getenv("SSL_CERT_FILE");
	CURL *easy = fetch->easy = curl_easy_init();

	return easy != NULL && curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http") == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK
	    && (authorities == NULL || curl_easy_setopt(easy, CURLOPT_CAINFO, authorities) == CURLE_OK)
	    && curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS) == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)WHOLE_SECONDS) == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_USERAGENT, "postern-broker") == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)fetch->form.n) == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_POSTFIELDS, fetch->form.p) == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_WRITEDATA, &fetch->body) == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->trouble) == CURLE_OK
	    && curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch) == CURLE_OK;
}

enum pn_status
fetch_new(struct account *account, struct fetch **out, struct pn_error *err)
{
	struct pn_arena *arena = pn_arena_new(64 * 1024);
	struct fetch *fetch = calloc(1, sizeof(*fetch));
	enum pn_status st;

	if (fetch == NULL)
		pn_out_of_memory();
	fetch->account = account;
	fetch->began = pn_clock_now();
	pn_buf_init(&fetch->form, FORM_MAX);
	pn_buf_init(&fetch->body, ANSWER_MAX);
	st = write_form(account, arena, &fetch->form, err);
	if (st == PN_OK && pn_buf_failed(&fetch->form))
		st = pn_fail(err, PN_INVALID, "the request is too long");
	if (st == PN_OK && !set_up(fetch, pn_arena_cstr(arena, account->relay->oauth_token_url)))
		pn_out_of_memory();
	pn_arena_free(arena);
	if (st == PN_OK)
		*out = fetch;
	else
		fetch_free(fetch);
	return st;
}

void
fetch_free(struct fetch *fetch)
{
	curl_easy_cleanup(fetch->easy);
	wipe_buf(&fetch->form);
	wipe_buf(&fetch->body);
	free(fetch);
}

/* -- the answer ----------------------------------------------------------------------- */

enum pn_status
fetch_result(struct fetch *fetch, CURLcode done, struct pn_arena *arena, struct answer *out,
    int64_t *retry_after_ms, struct pn_error *err)
{
	curl_off_t seconds = 0;
	long status = 0;

	*retry_after_ms = 0;
	if (pn_buf_failed(&fetch->body))
		return pn_fail(err, PN_TEMPFAIL, "the answer is longer than %d bytes", ANSWER_MAX);
	if (done != CURLE_OK)
		return pn_fail(err, PN_TEMPFAIL, "%s",
		    fetch->trouble[0] != '\0' ? fetch->trouble : curl_easy_strerror(done));
	(void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(fetch->easy, CURLINFO_RETRY_AFTER, &seconds);
	if (seconds > 0 && seconds < 86400)
		*retry_after_ms = (int64_t)seconds * 1000;
	return answer_read(status, pn_buf_str(&fetch->body), arena, out, err);
}
