/* dkim_sign.h - signs a mail that leaves (RFC 6376; RSA: RFC 8301, Ed25519: RFC 8463).
 *
 * The body is hashed while it passes; the fields are signed at the end, as they leave, with any number of
 * keys. There is no l=; each field of the usual list is signed, and one more of those that must not be
 * added later: From, Reply-To, Subject, To and Cc always, others where they are.
 */
#ifndef POSTERN_DKIM_SIGN_H
#define POSTERN_DKIM_SIGN_H

#include "postern/dkim_key.h"
#include "postern/message.h"

/* -- the hash of the body (bh=), of one thread at a time -- */

struct pn_dkim_body;

struct pn_dkim_body *pn_dkim_body_new(bool relaxed);
void pn_dkim_body_free(struct pn_dkim_body *body);	/* NULL is fine */

/* In pieces of any size.  LF alone ends a line as CRLF does: so it is on the wire. */
void pn_dkim_body_add(struct pn_dkim_body *body, struct pn_str chunk);

/* Bytes of the longest line so far, without its end.  One of more than PN_DKIM_LINE_MAX is broken on its way,
 * and the signature with it: such a mail is not to be signed (RFC 5321 section 4.5.3.1.6). */
enum { PN_DKIM_LINE_MAX = 998 };
size_t pn_dkim_body_longest(const struct pn_dkim_body *body);

/* Once. */
void pn_dkim_body_end(struct pn_dkim_body *body, unsigned char hash[PN_DKIM_HASH_SIZE]);

/* -- the signatures -- */

struct pn_dkim_signer {
	struct pn_str domain;		/* d= */
	struct pn_str selector;		/* s= */
	struct pn_str identity;		/* i=, below the domain; "" = none */
	const struct pn_dkim_key *key;
};

struct pn_dkim_signing {
	bool relaxed_header, relaxed_body;	/* the body as it was hashed */
	int64_t now;				/* t=, seconds since 1970 */
	int64_t lifetime;			/* seconds until x=; 0 = no x= */
	bool dates_change;			/* a relay replaces Date and Message-ID: not signed */
};

/* One field for each signer, in their order: each is to be put above all others.  The name is
 * "DKIM-Signature"; raw has its leading blank and folds of LF and tab.  In the arena.  Where a key does not
 * sign, as another process may have it, the name is "".
 *
 * PN_OK        at least one signs; err says why the first that does not, does not
 * PN_INVALID   no From, a signer's names are none, or its identity is outside of its domain
 * PN_LIMIT     fields that cannot all be signed: one name occurs too often, the header is too large, or a line
 *              of it too long
 * PN_TEMPFAIL  no key signs: pn_dkim_key_sign() */
PN_CHECK enum pn_status pn_dkim_sign(struct pn_fields fields, const unsigned char body[PN_DKIM_HASH_SIZE],
    const struct pn_dkim_signer *signers, size_t n, const struct pn_dkim_signing *how, struct pn_arena *arena,
    struct pn_field *out, struct pn_error *err);

#endif
