/* psl.h - the organisational domain by the Public Suffix List (RFC 7489 section 3.2).
 *
 * A list is never changed once it is loaded, and may be used from any thread.
 */
#ifndef POSTERN_PSL_H
#define POSTERN_PSL_H

#include "postern/error.h"

struct pn_psl;

/* path: a list of publicsuffix.org (.dat) or its compiled form (.dafsa); NULL: the newest
 * of Debian's and the one inside libpsl.
 *
 * PN_OK       *out, for pn_psl_free()
 * PN_INVALID  no such file, or no list */
PN_CHECK enum pn_status pn_psl_load(const char *path, struct pn_psl **out, struct pn_error *err);
void pn_psl_free(struct pn_psl *psl);	/* NULL is fine */

/* The public suffix of the domain and one label more, borrowed from the domain; "" when the domain is
 * itself a public suffix.  domain: as pn_domain_to_ascii() has it. */
struct pn_str pn_psl_organisational(const struct pn_psl *psl, struct pn_str domain);

#endif
