/* message.h - a mail as Odoo reads it (message_parse, odoo-behaviour 2).
 *
 * Built from the header fields in the order they stand in the mail and from
 * what the MIME walk found.  Everything here is what Odoo will see, not what
 * the envelope said: a recipient counts only when a header names it.
 *
 * Pure.  All text lives in the arena.
 */
#ifndef POSTERN_MESSAGE_H
#define POSTERN_MESSAGE_H

#include "postern/arena.h"
#include "postern/error.h"
#include "postern/known.h"
#include "postern/mime.h"
#include "postern/str_list.h"

/* One header field as it came: `raw` is all after the colon, folds included. */
struct pn_field {
	struct pn_str name;
	struct pn_str raw;
};

struct pn_fields {
	struct pn_field *v;
	size_t n;
};

struct pn_message {
	struct pn_str message_id;	/* the first one, stripped; "" = none */
	struct pn_str email_from;	/* first address of all From fields, formatted; else their text */
	struct pn_str sender;		/* email_from normalised (strict); "" = not exactly one address */
	struct pn_strs to;		/* addresses of Delivered-To and To */
	struct pn_strs cc;
	struct pn_strs recipients;	/* ... and of Cc, Resent-To, Resent-Cc */
	struct pn_str references;
	struct pn_str in_reply_to;	/* stripped */
	struct pn_strs reference_ids;	/* ids of References, in order */
	struct pn_strs answered_ids;	/* rule 5.1: ids that routing looks up, at most 32 */
	struct pn_strs in_reply_to_ids;
	struct pn_mime_result mime;
	bool automatic;			/* written by a program: see pn_message_automatic() */
};

enum { PN_REFERENCES_USED = 32 };	/* rule 5.1: the last ids that count */

/* PN_OK       *out
 * PN_INVALID  Odoo's parser gives up on a header (rule 2.1); err names it
 * PN_LIMIT    more than the arena allows
 * null_sender: the envelope sender is <>. */
PN_CHECK enum pn_status pn_message_parse(struct pn_fields fields, const struct pn_mime_result *mime,
    bool null_sender, struct pn_arena *arena, struct pn_message *out, struct pn_error *err);

/* All values of a field as Odoo reads them, joined; "" = none (decode_message_header). */
PN_CHECK enum pn_status pn_message_value(struct pn_fields fields, struct pn_str name,
    struct pn_str separator, struct pn_arena *arena, struct pn_str *out);

/* Did a program write it?  Auto-Submitted (RFC 3834) other than "no",
 * Precedence bulk|junk|list, X-Auto-Response-Suppress, any List-* field (RFC
 * 2369, 2919), or the null sender.  Decides only how a loop is answered. */
bool pn_message_automatic(struct pn_fields fields, bool null_sender);

/* Odoo would fail on the body or structure of this mail (rule 2.1). */
enum pn_known pn_message_unreadable(const struct pn_message *message, bool is_bounce);

#endif
