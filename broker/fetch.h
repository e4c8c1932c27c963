/* fetch.h - one request to a token endpoint (RFC 6749 sections 4.4 and 6), over libcurl. */
#ifndef BROKER_FETCH_H
#define BROKER_FETCH_H

#include <curl/curl.h>

#include "account.h"
#include "answer.h"

struct fetch {
	struct account *account;
	CURL *easy;
	int64_t began;			/* seconds since 1970: a token's lifetime is counted from here */
	struct pn_buf form;		/* secret */
	struct pn_buf body;		/* secret */
	char trouble[CURL_ERROR_SIZE];
};

/* Reads the secrets of the account and makes a request that is ready for curl_multi_add_handle();
 * CURLOPT_PRIVATE is the fetch.
 *
 * PN_OK        *out, to be freed by fetch_free()
 * PN_INVALID   a secret is missing or refused; err says what to do
 * PN_TEMPFAIL  a secret could not be read */
PN_CHECK enum pn_status fetch_new(struct account *account, struct fetch **out, struct pn_error *err);
void fetch_free(struct fetch *fetch);	/* wipes */

/* What came of it; retry_after_ms: as the server asked, or 0.  Status as answer_read(). */
PN_CHECK enum pn_status fetch_result(struct fetch *fetch, CURLcode done, struct pn_arena *arena,
    struct answer *out, int64_t *retry_after_ms, struct pn_error *err);

#endif
