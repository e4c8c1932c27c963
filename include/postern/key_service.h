/* key_service.h - keys that another process holds: what is asked for, and what is answered.
 *
 * postern-signer has the private keys, postern-milter asks it.  A key is named by its line of the KeyTable,
 * with the domain and selector that it gives: never by a file.  Who wants a signature says which public half
 * it knows, so that no other key signs under that name.
 *
 *	public NAME DOMAIN SELECTOR		OK RECORD, as it is to be published
 *	sign NAME DOMAIN SELECTOR P HASH	OK SIGNATURE
 *
 * P is p= of the record; HASH (32 bytes) and SIGNATURE are bytes as they are.  Any other answer is NOTFOUND,
 * TEMP or PERM with a text.  On the wire each is one netstring.
 *
 * Pure.
 */
#ifndef POSTERN_KEY_SERVICE_H
#define POSTERN_KEY_SERVICE_H

#include "postern/buf.h"
#include "postern/error.h"

enum { PN_KEY_REQUEST_MAX = 4096, PN_KEY_ANSWER_MAX = 4096 };	/* bytes */

struct pn_key_request {
	struct pn_str name, domain, selector;
	struct pn_str published;	/* sign: p= of the key; else "" */
	struct pn_str hash;		/* sign: SHA-256; else "" */
};

/* PN_INVALID: it is none. */
PN_CHECK enum pn_status pn_key_request_parse(struct pn_str text, struct pn_key_request *out, struct pn_error *err);

/* What st is on the wire: value for PN_OK, else the text of err. */
void pn_key_answer_write(enum pn_status st, struct pn_str value, const struct pn_error *err, struct pn_buf *out);

/* The same way back.  PN_TEMPFAIL also for what is no answer. */
PN_CHECK enum pn_status pn_key_answer_parse(struct pn_str text, struct pn_str *value, struct pn_error *err);

/* The way to the other process: pn_key_client_open().  Thread-safe.
 * ask: one request; PN_OK: *answer is what came.  PN_TEMPFAIL: nothing did. */
struct pn_key_service {
	enum pn_status (*ask)(void *ctx, struct pn_str request, struct pn_buf *answer, struct pn_error *err);
	void (*close)(void *ctx);
	void *ctx;
};

#endif
