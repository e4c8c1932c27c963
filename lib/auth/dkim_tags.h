/* dkim_tags.h - "name=value; name=value" of signatures and key records (RFC 6376 section 3.2).
 *
 * Internal to lib/auth.  Pure; safe from any thread.
 */
#ifndef LIB_AUTH_DKIM_TAGS_H
#define LIB_AUTH_DKIM_TAGS_H

#include "postern/arena.h"
#include "postern/error.h"

enum { PN_DKIM_TAGS_MAX = 32 };

struct pn_dkim_tags {
	struct {
		struct pn_str name, value;	/* borrowed; without white space at their ends */
	} v[PN_DKIM_TAGS_MAX];
	size_t n;
};

/* PN_OK       *out; as far as it came, otherwise
 * PN_INVALID  no tag list, a tag that occurs twice, or more than PN_DKIM_TAGS_MAX */
PN_CHECK enum pn_status pn_dkim_tags_parse(struct pn_str text, struct pn_dkim_tags *out);

/* NULL: there is no such tag. */
const struct pn_str *pn_dkim_tag(const struct pn_dkim_tags *tags, const char *name);

/* Its value without any white space, in the arena; "" when there is none. */
struct pn_str pn_dkim_tag_packed(const struct pn_dkim_tags *tags, const char *name, struct pn_arena *arena);

/* Is `word` an item of the list "a:b:c"?  Case does not count. */
bool pn_dkim_list_has(struct pn_str list, struct pn_str word);

/* Letters, digits, "-" and "_" in labels of 1 to 63 bytes, at most 253 in all: what may become part
 * of a DNS name and of our own headers. */
bool pn_dkim_is_name(struct pn_str name);

/* Base64 without white space, decoded into the arena.  RFC 6376 allows the padding to be missing. 
 * PN_INVALID: anything else in it, or nothing. */
PN_CHECK enum pn_status pn_dkim_base64(struct pn_str text, struct pn_arena *arena, struct pn_str *out);

#endif
