/* from_identity.h - whose domain a mail claims to come from (RFC 9989 section 5.3.1, RFC 7489 section 6.6.1).
 *
 * The author domain is what DMARC checks, what the application shows and what "who may
 * write to this alias" asks about, so all readers of the mail must agree on it.  It is
 * *one* domain only if there is one From field, its addresses are written as RFC 5322
 * section 3.4 has them, each between its commas, and Odoo's reading and those of careless
 * programs (which look for brackets in names, comments and encoded words, for an @ in a
 * quoted local part, or decode before they parse) find no other.  In every other case all
 * domains that anybody could see are listed: none of them may pass, each may be protected.
 *
 * Linear in the length of the fields; no recursion.  Pure; safe from any thread.
 */
#ifndef POSTERN_FROM_IDENTITY_H
#define POSTERN_FROM_IDENTITY_H

#include "postern/message.h"

enum {
	PN_FROM_DOMAINS_MAX = 4,	/* more are not listed */
	PN_FROM_BYTES_MAX = 64 * 1024,	/* of all From fields; what is behind is not read */
};

struct pn_from_identity {
	bool one;		/* exactly one author domain, beyond doubt */
	bool more;		/* there were more than PN_FROM_DOMAINS_MAX */
	struct pn_strs domains;	/* A-labels, lower case, each once; one: exactly one */
	const char *why;	/* not one: what is wrong, for people; else NULL */
};

/* fields: all of the mail; which are From is seen here.
 *
 * PN_OK     *out
 * PN_LIMIT  arena exhausted */
PN_CHECK enum pn_status pn_from_identity(struct pn_fields fields, struct pn_arena *arena,
    struct pn_from_identity *out);

#endif
