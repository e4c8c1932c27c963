/* header_value.h - the text of a header field as Odoo reads it.
 *
 * Odoo parses mail with Python's email package (3.11, policy SMTP), and works
 * with the text of the parsed header: encoded words decoded (RFC 2047),
 * addresses rewritten in a normal form (RFC 5322 section 3.4), comments gone,
 * MIME parameters joined (RFC 2231).  Some spellings end Python's parser with
 * an exception; Odoo cannot take such a mail at all (Odoo rule 2.1).
 *
 * The kind of header follows from its name, as in Python's header registry:
 * address lists (To, Cc, Bcc, From, Reply-To, Sender, Resent-*), Message-ID,
 * Date, MIME-Version, Content-Type, Content-Disposition,
 * Content-Transfer-Encoding; everything else is unstructured.
 *
 * Time and memory are linear in the length of the value, whatever it holds.
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_HEADER_VALUE_H
#define POSTERN_HEADER_VALUE_H

#include "postern/arena.h"
#include "postern/error.h"

enum {
	PN_HEADER_VALUE_MAX = 1 << 21,		/* bytes of one value */
	PN_HEADER_COMMENT_DEPTH_MAX = 100,	/* comments inside comments */
	PN_HEADER_WORDS_MAX = 20000,		/* words of one name, local part or domain */
	PN_HEADER_PARAMETERS_MAX = 500,		/* parameters of one MIME header */
};

/* name: as it stands before the colon, any case.
 * raw: the bytes after the colon, with its folds (CRLF, LF or CR); any byte.
 *
 * PN_OK       *out is UTF-8 in the arena; what could not be decoded became U+FFFD.
 *             It may hold any character, NUL and line ends out of encoded words included.
 * PN_INVALID  Python raises on this spelling
 * PN_LIMIT    more than the limits above, or the arena is exhausted.  What Odoo
 *             does with so deep a nesting depends on the depth of its own stack.
 *
 * Known differences: in encoded words and MIME parameters of idna, punycode and
 * the unicode-escape charsets, only ASCII is decoded, and the characters of
 * utf-7 and of the multi-byte charsets of East Asia become U+FFFD, one each. */
PN_CHECK enum pn_status pn_header_value(struct pn_str name, struct pn_str raw,
    struct pn_arena *arena, struct pn_str *out);

#endif
