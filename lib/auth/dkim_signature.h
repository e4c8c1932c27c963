/* dkim_signature.h - a DKIM-Signature field, read strictly before a library sees it (RFC 6376 section 3.5).
 *
 * Internal to lib/auth.  Pure; safe from any thread.
 */
#ifndef LIB_AUTH_DKIM_SIGNATURE_H
#define LIB_AUTH_DKIM_SIGNATURE_H

#include "postern/dkim.h"

struct pn_dkim_limits {
	int64_t now;
	int64_t drift;
};

/* Fills what can be read.  The result is PN_DKIM_NONE as long as nothing speaks against it; else the
 * verdict and its reason: PN_DKIM_NEUTRAL for what is not well formed, PN_DKIM_POLICY for what is. */
void pn_dkim_signature_read(struct pn_str raw, const struct pn_dkim_limits *limits, struct pn_arena *arena,
    struct pn_dkim_signature *out);

/* The domain of i=, or d= without one. */
struct pn_str pn_dkim_identity_domain(const struct pn_dkim_signature *signature);

/* Is `domain` the other one or below it?  Case does not count. */
bool pn_dkim_is_below(struct pn_str domain, struct pn_str parent);

#endif
