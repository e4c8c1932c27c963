/* smtp_reply.h - what an SMTP server answers (RFC 5321 section 4.2).
 *
 * A push parser: bytes go in as they arrive, a reply comes out when its last
 * line is complete.  Lines may end in LF alone; all lines of a reply must have
 * the same code.
 *
 * Pure but for the memory of the reply, which is bounded.  Not thread-safe.
 */
#ifndef POSTERN_SMTP_REPLY_H
#define POSTERN_SMTP_REPLY_H

#include "postern/buf.h"
#include "postern/error.h"

enum {
	PN_SMTP_LINE_MAX = 1024,	/* twice what the RFC allows */
	PN_SMTP_TEXT_MAX = 8192,	/* of all lines together */
};

struct pn_smtp_reply {
	unsigned code;			/* 200-599; 0: no line yet */
	struct pn_buf text;		/* the lines without their codes, "\n" between; any byte */
	struct pn_buf line;		/* the one that is not complete yet */
	size_t lines;
	bool complete;			/* the next byte begins another reply */
	bool broken;
};

void pn_smtp_reply_init(struct pn_smtp_reply *reply);
void pn_smtp_reply_done(struct pn_smtp_reply *reply);	/* wipes it; may be repeated */

/* Takes bytes off the front of *in.
 *
 * PN_OK         reply->code and reply->text, valid until the next call; *in is what follows
 * PN_NOT_FOUND  all bytes are taken, the reply is not complete
 * PN_INVALID    this is not SMTP; it stays so
 * PN_LIMIT      a line or the reply is too long; every later call gives PN_INVALID */
PN_CHECK enum pn_status pn_smtp_reply_push(struct pn_smtp_reply *reply, struct pn_str *in);

/* Has a byte of a reply come that is not complete? */
bool pn_smtp_reply_is_partial(const struct pn_smtp_reply *reply);

/* What a reply to EHLO offers, of what the client uses. */
enum {
	PN_SMTP_STARTTLS = 1,
	PN_SMTP_PLAIN = 2,
	PN_SMTP_LOGIN = 4,
	PN_SMTP_XOAUTH2 = 8,
	PN_SMTP_OAUTHBEARER = 16,
};
/* text: of the reply; its first line names the server.  "AUTH=" is read as "AUTH ". */
unsigned pn_smtp_offers(struct pn_str text);

#endif
