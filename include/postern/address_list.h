/* address_list.h - the addresses of a header text, as Python finds them.
 *
 * This is email.utils.getaddresses(strict=False) of Python 3.11.2 with all its
 * leniency: RFC 822 routes, groups and comments, quoted words, domain literals,
 * blanks where they do not belong.  What Odoo sees of an address header comes
 * from here, so it is the reference, not RFC 5322 section 3.4.
 *
 * Linear in the length of the text, no recursion: comments and groups may be
 * nested as deep as they like.  (Python gives up after some hundred levels.)
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_ADDRESS_LIST_H
#define POSTERN_ADDRESS_LIST_H

#include "postern/str.h"

/* One address; both parts are borrowed until the function returns.  Either may
 * be empty: for a piece that is no address Python has a pair of two empty
 * strings.  Returns false to stop. */
typedef bool pn_address_pair_fn(void *ctx, struct pn_str name, struct pn_str addr);

void pn_address_list_each(struct pn_str text, pn_address_pair_fn *fn, void *ctx);

#endif
