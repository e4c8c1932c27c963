/* sender.h - From header and envelope sender of outbound mail (odoo-behaviour 13).
 *
 * Pure; safe from any thread.  Results in the arena or borrowed.
 */
#ifndef POSTERN_SENDER_H
#define POSTERN_SENDER_H

#include "postern/arena.h"
#include "postern/error.h"
#include "postern/message.h"

struct pn_sender_question {
	struct pn_str sender;		/* S: of pn_relay_find() */
	struct pn_str header_from;	/* M: the From header as it reads back (pn_message_value) */
	struct pn_str notification;	/* N; "" = none */
	struct pn_str bounce;		/* B; "" = none: the From is used */
	struct pn_str from_filter;	/* of the relay, or the default one */
};

struct pn_sender {
	struct pn_str header_from;	/* what the From becomes; equal to M when it stays */
	bool rewritten;			/* it is not M */
	struct pn_str envelope;		/* without <>, domain as A-labels */
};

/* PN_OK
 * PN_NOT_FOUND  no usable envelope address: mail_from_invalid (rule 13.3)
 * PN_INVALID    the From cannot be written
 * PN_LIMIT      arena exhausted */
PN_CHECK enum pn_status pn_sender_decide(const struct pn_sender_question *question,
    struct pn_arena *arena, struct pn_sender *out, struct pn_error *err);

/* Odoo's marks of mass mailing (rule 15): List-Unsubscribe with Precedence, or one
 * of the operator's own: "Name" (there is such a field) or "Name: value" (compared
 * without case); senders are addresses of the From, normalised. */
struct pn_mass_marks {
	struct pn_strs headers;
	struct pn_strs senders;
};
bool pn_is_mass_mailing(struct pn_fields fields, struct pn_str from, const struct pn_mass_marks *marks);

/* Fields that never leave: Return-Path, Bcc, Resent-Bcc, X-Forge-To, X-Msg-To-Add and our
 * signals are for the gate only (rules 13.4, 16). */
bool pn_never_leaves(struct pn_str field_name);

#endif
