/* mime.h - walks a message as Odoo does: can Odoo read it, and what does a
 * bounce tell.
 *
 * Odoo decodes every text part while it parses (Odoo rule 2.1), and one part
 * that cannot be decoded makes the whole mail fail.  Of a bounce it reads the
 * embedded mail and the delivery report (Odoo rules 4.1, 4.2).  Both are
 * answered here as Python 3.11's email package does: RFC 2046 boundaries with
 * that parser's treatment of what is broken, RFC 2231 parameters, RFC 3464
 * reports, CRLF, LF, CR or mixed line ends.
 *
 * A push parser: headers one by one, then the body in pieces cut anywhere.
 * Memory is bounded (a few MB at the very worst) whatever the message holds.  Past a
 * limit - 100 open containers, a boundary of 2,000 bytes, a value of 64 kB
 * that would have to be read - the answers become PN_UNKNOWN, never wrong.
 * So they do in a few odd corners: text in punycode, undecodable text that is
 * uuencoded, long headers in a message/partial and its like that Python would
 * have to fold (a delivery report's first block is one), RFC 2231 pieces that
 * only an encoded word brought into a Content-Type.
 *
 * Pure: no I/O, no clock.  Not thread-safe: one parser belongs to one session
 * at a time.
 */
#ifndef POSTERN_MIME_H
#define POSTERN_MIME_H

#include "postern/arena.h"
#include "postern/error.h"
#include "postern/known.h"

struct pn_mime;

struct pn_mime_result {
	/* Of the top part, lower case: "text/plain" where there is none or a
	 * broken one.  "multipart/report" makes the mail a bounce (Odoo rule 4.1).
	 * Empty when Python raises on the header, or a limit was hit before. */
	struct pn_str top_type;

	/* Would Odoo fail on it (exit 70)?  As a bounce it reads less of the
	 * text, but needs the report's structure (Odoo rule 2.1). */
	enum pn_known unreadable_as_mail;
	enum pn_known unreadable_as_bounce;

	/* What follows says nothing when this is true, or when the mail is
	 * surely unreadable as a bounce: the walk may have ended early. */
	bool limit_hit;

	/* A report with a second block; the first report of the message counts.
	 * final_recipient: behind the first ";", trimmed, not normalised; empty
	 * when there is none.  The others are for people, decoded and trimmed. */
	bool has_dsn;
	struct pn_str final_recipient;
	struct pn_str action;
	struct pn_str status;
	struct pn_str diagnostic;

	/* The mail that bounced, or what Odoo takes for it.  The decoded headers
	 * of that name, joined by blanks; empty when there is none. */
	bool has_embedded;
	struct pn_str embedded_message_id_text;	/* Message-Id */
	struct pn_str embedded_ms_id_text;		/* X-Microsoft-Original-Message-ID */
	/* False when the embedded headers are in an encoding that is not read
	 * here (UTF-16, uuencode, ...): the two texts above say nothing then. */
	bool embedded_known;
};

struct pn_mime *pn_mime_new(void);
void pn_mime_free(struct pn_mime *mime);	/* NULL is fine */

/* Forgets the message; keeps the memory. */
void pn_mime_reset(struct pn_mime *mime);

/* A header of the top, in order.  raw_value is what stands behind the colon,
 * folded as it came.  A name that Python does not take for one (a blank in
 * it) ends the header there: the rest is body, as for Odoo. */
void pn_mime_header(struct pn_mime *mime, struct pn_str name, struct pn_str raw_value);

/* The end of the headers; the first pn_mime_body() does it as well. */
void pn_mime_end_of_headers(struct pn_mime *mime);

/* The next bytes behind the blank line.  May be left out while
 * pn_mime_wants_body() is false. */
void pn_mime_body(struct pn_mime *mime, struct pn_str chunk);

/* False when nothing in the rest of the body can change an answer; true
 * before pn_mime_end_of_headers(). */
bool pn_mime_wants_body(const struct pn_mime *mime);

/* A whole message in pieces, headers included, in place of the functions above. */
void pn_mime_raw(struct pn_mime *mime, struct pn_str chunk);

/* The message is over.  The texts are copied into the arena.  To be called
 * once; pn_mime_reset() comes next. */
void pn_mime_end(struct pn_mime *mime, struct pn_arena *arena, struct pn_mime_result *out);

#endif
