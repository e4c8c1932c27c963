/* idn.h - domains in A-label form (RFC 5890).
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_IDN_H
#define POSTERN_IDN_H

#include "postern/arena.h"
#include "postern/error.h"

/* For comparing domains of envelopes and of the configuration: A-labels in
 * lower case, without a trailing dot (UTS 46, non-transitional, so that "ß" and
 * final sigma survive).  ASCII is only lower-cased: what SMTP carries is not
 * judged here.  A domain literal stays one.
 *
 * PN_OK       *out, in the arena
 * PN_INVALID  no domain: empty, a label that is empty or over 63 bytes, over 253
 *             bytes, blanks or controls, or characters IDNA does not allow */
PN_CHECK enum pn_status pn_domain_to_ascii(struct pn_str domain, struct pn_arena *arena,
    struct pn_str *out);

/* What Odoo does where a header must be ASCII: IDNA 2008 without any mapping
 * (RFC 5891 section 4), as Python's idna.encode().  "Ü" is refused, "ü" is not;
 * ASCII labels keep their case but must be letters, digits and hyphens; one
 * trailing dot stays.
 *
 * PN_OK       *out, in the arena
 * PN_INVALID  where Python raises */
PN_CHECK enum pn_status pn_domain_encode(struct pn_str domain, struct pn_arena *arena,
    struct pn_str *out);

#endif
