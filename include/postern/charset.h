/* charset.h - bytes to characters, for the charsets that Python knows.
 *
 * Names are compared as Python's codec registry does: case and punctuation do
 * not matter.  Only text encodings count; the four names that Odoo adds
 * (cp-850, 874, windows-874, iso-8859-8-i and -e) are known as well.
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_CHARSET_H
#define POSTERN_CHARSET_H

#include "postern/arena.h"
#include "postern/error.h"

/* Characters, one per element, borrowed.  U+DC80..U+DCFF stand for the bytes
 * 0x80..0xff that could not be decoded (Python's "surrogateescape"). */
struct pn_wide {
	const uint32_t *p;
	size_t n;
};

struct pn_charset;

/* NULL: Python has no text encoding of that name. */
const struct pn_charset *pn_charset_find(struct pn_str name);

/* bytes.decode(charset, "surrogateescape"); charset NULL is ASCII.
 *
 * PN_OK       *out is in the arena, never longer than the bytes
 * PN_INVALID  Python raises: a byte below 0x80 that cannot be decoded */
PN_CHECK enum pn_status pn_charset_decode(const struct pn_charset *charset, struct pn_str bytes,
    struct pn_arena *arena, struct pn_wide *out);

#endif
