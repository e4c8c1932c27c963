/* dkim_canon.h - header fields in canonical form (RFC 6376 sections 3.4.1, 3.4.2).  The body: dkim_body.c.
 *
 * Internal to lib/auth.  Pure.
 */
#ifndef LIB_AUTH_DKIM_CANON_H
#define LIB_AUTH_DKIM_CANON_H

#include "postern/buf.h"
#include "postern/message.h"

/* Appends the field and its CRLF.  Folds may be LF: they leave as CRLF. */
void pn_dkim_canon_field(const struct pn_field *field, bool relaxed, struct pn_buf *out);

#endif
