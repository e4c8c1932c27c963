/* address.h - names and addresses as Odoo reads and writes them.
 *
 * Two ways of comparing must not be mixed up: matching aliases uses
 * pn_text_lower() on each address of pn_address_split() (Odoo rule 6.2);
 * bounce, catchall, sender and relay tests use pn_address_normalize() (Odoo
 * rules 4.1, 7, 9.2, 12).
 *
 * Text is a decoded header: UTF-8 without folding.  Broken UTF-8 passes
 * through.  Everything is linear in the length of the text.  Results are in the
 * arena or borrowed from the text, which must live as long.
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_ADDRESS_H
#define POSTERN_ADDRESS_H

#include "postern/arena.h"
#include "postern/error.h"
#include "postern/idn.h"
#include "postern/str_list.h"
#include "postern/unicode.h"

struct pn_mailbox {
	struct pn_str name;	/* "" when there is none */
	struct pn_str addr;	/* has an @, maybe more; not normalised */
};

struct pn_mailboxes {
	struct pn_mailbox *v;
	size_t n;
};

/* email_split_tuples (Odoo rule 2, "Address splitting").  No address is an
 * empty list, not an error.
 *
 * PN_OK     *out
 * PN_LIMIT  arena exhausted */
PN_CHECK enum pn_status pn_address_split(struct pn_str text, struct pn_arena *arena,
    struct pn_mailboxes *out);

/* The lower case of one address: the domain (after the last @) always, the
 * local part only where it is ASCII (Odoo rule 2, "Normalising"). */
struct pn_str pn_address_lower(struct pn_str addr, struct pn_arena *arena);

/* email_normalize.  strict: the text must hold exactly one address; otherwise
 * the first one is taken.
 *
 * PN_OK         *out
 * PN_NOT_FOUND  no address, or several where one is wanted
 * PN_LIMIT      arena exhausted */
PN_CHECK enum pn_status pn_address_normalize(struct pn_str text, bool strict, struct pn_arena *arena,
    struct pn_str *out);

/* email_domain_extract: what stands between the first and the second @ of the
 * normalised address, so a quoted @ in the local part spoils it, as in Odoo.
 * Status as above. */
PN_CHECK enum pn_status pn_address_domain(struct pn_str text, struct pn_arena *arena, struct pn_str *out);

/* The parts around the first @: that is how aliases are matched by their left
 * part (Odoo rule 6.2).  Without an @ everything is local. */
struct pn_str pn_address_local(struct pn_str addr);
struct pn_str pn_address_after_local(struct pn_str addr);

/* formataddr: `"name" <local@domain>`, without a name just the address.  ascii:
 * a domain that is not ASCII becomes A-labels, a name that is not becomes an
 * encoded word (RFC 2047); a local part stays as it is.
 *
 * PN_OK       *out
 * PN_INVALID  ascii only: no such domain can be written (Odoo raises) */
PN_CHECK enum pn_status pn_address_format(struct pn_mailbox mailbox, bool ascii, struct pn_arena *arena,
    struct pn_str *out);

/* email_split_and_format_normalize: each address in lower case, with its name.
 * PN_OK, PN_LIMIT. */
PN_CHECK enum pn_status pn_address_split_and_format(struct pn_str text, struct pn_arena *arena,
    struct pn_strs *out);

/* encapsulate_email (Odoo rule 13.1): the address of `wrapper` under the name of
 * `old`, or under its local part.
 *
 * PN_OK         *out; `old` itself when it is empty
 * PN_NOT_FOUND  `wrapper` is empty */
PN_CHECK enum pn_status pn_address_encapsulate(struct pn_str old, struct pn_str wrapper,
    struct pn_arena *arena, struct pn_str *out);

/* extract_rfc2822_addresses (Odoo rule 13.3): what can be used as an envelope
 * address, found by a pattern that knows no quoting; the domain as A-labels,
 * left out where it cannot be.  PN_OK, PN_LIMIT. */
PN_CHECK enum pn_status pn_address_extract_smtp(struct pn_str text, struct pn_arena *arena,
    struct pn_strs *out);

/* May `from` be sent through a server with this from_filter (Odoo rule 12)?  An
 * empty filter takes everything, one of blanks and commas nothing.
 *
 * PN_OK         *out
 * PN_LIMIT      arena exhausted */
PN_CHECK enum pn_status pn_from_filter_match(struct pn_str from, struct pn_str filter,
    struct pn_arena *arena, bool *out);

/* Takes the next entry that is not blank off *rest, trimmed. */
bool pn_from_filter_next(struct pn_str *rest, struct pn_str *entry);

/* mail.catchall.domain.allowed as Odoo stores it (Odoo rule 6.2).
 *
 * PN_OK       *out: "a.example,b.example"
 * PN_INVALID  nothing in it */
PN_CHECK enum pn_status pn_allowed_domains_sanitize(struct pn_str text, struct pn_arena *arena,
    struct pn_str *out);

#endif
