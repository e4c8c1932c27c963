/* sender.h - From header and envelope sender of outbound mail (odoo-behaviour 13).
 *
 * Pure; safe from any thread.  Results in the arena or borrowed.
 */
#ifndef POSTERN_SENDER_H
#define POSTERN_SENDER_H

#include "postern/arena.h"
#include "postern/error.h"
#include "postern/message.h"
#include "postern/str_list.h"

struct pn_sender_question {
	struct pn_str sender;		/* S: of pn_relay_choose() */
	struct pn_str header_from;	/* M: the From header as it reads back (pn_message_value) */
	struct pn_str notification;	/* N; "" = none */
	struct pn_str bounce;		/* B; "" = none: the From is used */
	struct pn_str from_filter;	/* of the relay, or the default one */
};

struct pn_sender {
	struct pn_str header_from;	/* what the From becomes, decoded; equal to M when it stays */
	bool rewritten;			/* it is not M: pn_sender_field() writes it */
	struct pn_str envelope;		/* without <>, domain as A-labels */
};

enum { PN_ENVELOPE_MAX = 320 };		/* 64 + 1 + 255 bytes (RFC 5321 section 4.5.3.1) */

/* PN_OK
 * PN_NOT_FOUND  no usable envelope address: mail_from_invalid (rule 13.3); or one that
 *               is longer than SMTP allows or has controls or <> in it
 * PN_LIMIT      arena exhausted */
PN_CHECK enum pn_status pn_sender_decide(const struct pn_sender_question *question,
    struct pn_arena *arena, struct pn_sender *out, struct pn_error *err);

enum { PN_SENDER_NAME_MAX = 4096 };	/* bytes of a name; libmilter takes 64 KB of a field */

/* One mailbox as the value of a From field: the name quoted or, where it is not
 * printable ASCII or long, in encoded words (RFC 2047), the domain as A-labels,
 * folded with LF as libmilter wants it.  No byte of the name can end the field.
 *
 * PN_OK       *out
 * PN_INVALID  no address, or one that cannot be written
 * PN_LIMIT    arena exhausted */
PN_CHECK enum pn_status pn_sender_field(struct pn_str header_from, struct pn_arena *arena, struct pn_str *out,
    struct pn_error *err);

/* Odoo's marks of mass mailing (rule 15): List-Unsubscribe with Precedence, or one
 * of the operator's own: "Name" (there is such a field) or "Name: value" (compared
 * without case, unfolded values only); senders are addresses of the From, normalised. */
struct pn_mass_marks {
	struct pn_strs headers;
	struct pn_strs senders;
};
/* from: the address of the From, normalised; "" = none. */
bool pn_is_mass_mailing(struct pn_fields fields, struct pn_str from, const struct pn_mass_marks *marks);

/* Fields that never leave: Return-Path, Bcc, Resent-Bcc, Odoo's X-Forge-To and X-Msg-To-...,
 * and all our X-Postern-... (rules 13.4, 16). */
bool pn_never_leaves(struct pn_str field_name);

#endif
