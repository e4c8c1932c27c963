/* dkim_signature.h - a DKIM-Signature field, read strictly before a library sees it (RFC 6376 section 3.5).
 *
 * Internal to lib/auth.  Pure; safe from any thread.
 */
#ifndef LIB_AUTH_DKIM_SIGNATURE_H
#define LIB_AUTH_DKIM_SIGNATURE_H

#include "postern/dkim.h"

/* Seconds since 1970, in 2001; the tolerance that libopendkim is told for its own clock, too: ours decides, and
 * what it would take for the future otherwise is a t= below its tolerance. */
enum { PN_DKIM_FIRST_TIME = 1000000000 };

struct pn_dkim_limits {
	int64_t now;
	int64_t drift;
};

/* Fills what can be read.  The result is PN_DKIM_NONE as long as nothing speaks against it; else the
 * verdict and its reason: PN_DKIM_NEUTRAL for what is not well formed, PN_DKIM_POLICY for what is.
 * *others: how often h= names a DKIM-Signature, which is another one. */
void pn_dkim_signature_read(struct pn_str raw, const struct pn_dkim_limits *limits, struct pn_arena *arena,
    struct pn_dkim_signature *out, size_t *others);

/* The domain of i=, or d= without one. */
struct pn_str pn_dkim_identity_domain(const struct pn_dkim_signature *signature);

/* Is `domain` the other one or below it?  Case does not count. */
bool pn_dkim_is_below(struct pn_str domain, struct pn_str parent);

#endif
