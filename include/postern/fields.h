/* fields.h - splits a message file into header fields and body.
 *
 * As Odoo's parser does it (odoo-behaviour 2), for messages that come as bytes:
 * explain, the conformance runner, the fuzzers.  In the milter Postfix has
 * split them already.  CRLF, LF, CR or a mixture end a line; an mbox "From "
 * line at the head is skipped; the first line that cannot be a header begins
 * the body.
 *
 * Pure.  Everything is borrowed from the text.
 */
#ifndef POSTERN_FIELDS_H
#define POSTERN_FIELDS_H

#include "postern/message.h"

/* PN_OK, or PN_LIMIT when the arena is exhausted. */
PN_CHECK enum pn_status pn_fields_split(struct pn_str text, struct pn_arena *arena,
    struct pn_fields *fields, struct pn_str *body);

#endif
