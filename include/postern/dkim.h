/* dkim.h - the signatures of a mail that comes in, and which of them count (RFC 6376, 8301, 8463).
 *
 * libopendkim verifies; what its verdict is worth is decided here, for each signature alone:
 *
 *	pass		the key's owner signed this mail as it is: counts for DMARC
 *	fail		the mail or its signature was changed, or the key is another one
 *	policy		perhaps valid, but not accepted: rsa-sha1, an RSA key below the minimum,
 *			l=, expired or from the future, a key that is only tested (t=y), more
 *			than PN_DKIM_CHECKED signatures
 *	neutral		not a signature that can be worked with: syntax, an unknown algorithm, a
 *			header field with NUL, VT or FF, a CR that ends no line, too many or too large
 *			fields; or it signs other signatures that are not verified
 *	temperror	the DNS cannot say
 *	permerror	there is no usable key: none, revoked, broken
 *
 * One signature never changes the result of another.
 */
#ifndef POSTERN_DKIM_H
#define POSTERN_DKIM_H

#include "postern/dns.h"
#include "postern/message.h"

enum pn_dkim_result {
	PN_DKIM_NONE,		/* no signature */
	PN_DKIM_PASS,
	PN_DKIM_FAIL,
	PN_DKIM_POLICY,
	PN_DKIM_NEUTRAL,
	PN_DKIM_TEMPERROR,
	PN_DKIM_PERMERROR,
};
const char *pn_dkim_result_name(enum pn_dkim_result result);	/* as RFC 8601 section 2.7.1 writes it */

/* Of what cannot be read the text is "". */
struct pn_dkim_signature {
	struct pn_str domain;		/* d=, lower case; a plain host name, or "" */
	struct pn_str selector;		/* s=, likewise */
	struct pn_str identity;		/* i= as it stands, without white space; any visible ASCII */
	struct pn_str algorithm;	/* a= */
	struct pn_str b;		/* the first 8 characters of b= */
	enum pn_dkim_result result;
	struct pn_str reason;		/* for people; "" for a pass */
	unsigned key_bits;		/* of an RSA key that was used; else 0 */
	bool testing;			/* the key says t=y */
};

enum {
	PN_DKIM_CHECKED = 8,		/* signatures that are verified; the others are "policy" */
	PN_DKIM_LISTED = 64,		/* signatures in the result; more are not mentioned */
};

struct pn_dkim_signatures {
	struct pn_dkim_signature *v;	/* in the order of the fields */
	size_t n;
	size_t unlisted;		/* further signature fields, not looked at */
};

struct pn_dkim_policy {
	unsigned min_rsa_bits;		/* 0: 1024 (RFC 8301 section 3.2) */
	unsigned clock_drift;		/* seconds by which t= may lie ahead and x= behind */
	bool accept_testing;		/* t=y may pass; else it is as if unsigned (RFC 6376 section 3.6.1) */
};

struct pn_dkim_verifier;

/* One for the process, before there are threads; any number of threads may verify with it. */
struct pn_dkim_verifier *pn_dkim_verifier_new(const struct pn_dkim_policy *policy);
void pn_dkim_verifier_free(struct pn_dkim_verifier *verifier);	/* NULL is fine */

/* One mail, of one thread at a time. */
struct pn_dkim_check;

/* At the end of the headers.  The fields in the order of the mail, raw as on the wire: leading blanks and
 * folds included, folds as CRLF or LF.  from: the author's domain, whose signatures are verified first;
 * "" = not known.  now: seconds since 1970.  Fields are not kept; the arena must live until
 * pn_dkim_check_free(). */
struct pn_dkim_check *pn_dkim_check_new(struct pn_dkim_verifier *verifier, struct pn_fields fields,
    struct pn_str from, int64_t now, struct pn_arena *arena);

/* Where the keys are that will be asked for at the end and may be the author's: whoever can asks for them now.
 * In the arena. */
struct pn_strs pn_dkim_check_keys(const struct pn_dkim_check *check);

/* Is there a signature that needs the body? */
bool pn_dkim_check_wants_body(const struct pn_dkim_check *check);

/* The body as on the wire, in pieces of any size. */
void pn_dkim_check_body(struct pn_dkim_check *check, struct pn_str chunk);

/* At the end of the body, once: asks for the keys and verifies.  In the arena. */
struct pn_dkim_signatures pn_dkim_check_end(struct pn_dkim_check *check, const struct pn_dns *dns);

void pn_dkim_check_free(struct pn_dkim_check *check);	/* NULL is fine; at any time */

#endif
