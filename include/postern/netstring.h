/* netstring.h - "5:hello,": the frames of Postfix's socketmap protocol.
 *
 * A push parser: bytes are fed as they arrive, in pieces of any size; each
 * byte is looked at once.  The maximum is known before the content is read, so
 * nobody makes us keep more than that.
 *
 * Pure apart from the memory of its buffer.  One user at a time.
 * Format: http://cr.yp.to/proto/netstrings.txt, socketmap_table(5).
 */
#ifndef POSTERN_NETSTRING_H
#define POSTERN_NETSTRING_H

#include "postern/buf.h"
#include "postern/error.h"

struct pn_netstring {
	enum { PN_NETSTRING_LENGTH, PN_NETSTRING_CONTENT, PN_NETSTRING_DONE, PN_NETSTRING_BROKEN } state;
	unsigned digits;	/* of the length, so far */
	size_t length;
	struct pn_buf content;
};

/* max: bytes of content, at most 999,999,999. */
void pn_netstring_init(struct pn_netstring *netstring, size_t max);
void pn_netstring_done(struct pn_netstring *netstring);	/* may be repeated */

/* Takes bytes off the front of *in, up to the end of one netstring.
 *
 * PN_OK         *content is the next one, borrowed until the next push; what
 *               follows it is still in *in
 * PN_NOT_FOUND  *in is used up; the rest has not arrived yet
 * PN_INVALID    not a netstring (no digits, leading zero, no comma)
 * PN_LIMIT      announced to be longer than max
 *
 * After PN_INVALID and PN_LIMIT every further push is PN_INVALID: nobody knows
 * where the next frame would begin. */
PN_CHECK enum pn_status pn_netstring_push(struct pn_netstring *netstring, struct pn_str *in,
    struct pn_str *content);

/* A netstring has begun and is not complete. */
bool pn_netstring_is_partial(const struct pn_netstring *netstring);

/* Writes one. */
void pn_netstring_add(struct pn_buf *out, struct pn_str content);

#endif
