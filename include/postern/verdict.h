/* verdict.h - what a decision means in SMTP (docs/answers.md).
 *
 * Two steps, both pure.  pn_verdict() turns one gateway's decision into an
 * answer; pn_transaction_close() joins the answers of all gateways and the
 * recipients that are nobody's of ours into the one reply that the end of a
 * message has, and the list of changes to make.  The milter replays that list.
 */
#ifndef POSTERN_VERDICT_H
#define POSTERN_VERDICT_H

#include "postern/loop.h"
#include "postern/recipient.h"

/* -- one gateway ------------------------------------------------------------------ */

enum pn_action {
	PN_ACTION_ACCEPT,	/* redirected as decided */
	PN_ACTION_HAND_OVER,	/* redirected; Odoo decides */
	PN_ACTION_REFUSE,	/* 5xx */
	PN_ACTION_DEFER,	/* 4xx */
	PN_ACTION_DISCARD,	/* 250 and thrown away: ours are removed */
	PN_ACTION_HOLD,		/* 250 into Postfix's hold queue */
};
const char *pn_action_name(enum pn_action action);

/* An SMTP reply: "550", "5.7.1", text in one line. */
struct pn_reply {
	const char *code;
	const char *xcode;
	struct pn_str text;
};

struct pn_verdict {
	enum pn_action action;
	enum pn_rule rule;
	struct pn_reply reply;		/* REFUSE, DEFER */
	struct pn_str reason;		/* for the log and explain */
	bool to_bounce;			/* redirect to the target's bounce address */
	bool automatic;			/* the mail was written by a program */
	const struct pn_gateway *gateway;
	const struct pn_decision *decision;	/* NULL where there is none */
};

struct pn_verdict pn_verdict(const struct pn_gateway *gateway, const struct pn_message *message,
    const struct pn_decision *decision, struct pn_arena *arena);

/* Ready answers for what happens outside the decision. */
struct pn_verdict pn_verdict_twin(const struct pn_gateway *gateway, const struct pn_decision *decision);
struct pn_verdict pn_verdict_trouble(const struct pn_gateway *gateway, struct pn_str reason);
struct pn_verdict pn_verdict_stamp(const struct pn_gateway *gateway);
/* Handed over without being understood: over a limit. */
struct pn_verdict pn_verdict_hand_over(const struct pn_gateway *gateway, enum pn_rule rule, struct pn_str reason);

/* May this verdict take the lease and count in the loop windows? */
bool pn_verdict_admits(const struct pn_verdict *verdict);

/* -- the whole transaction ------------------------------------------------------------ */

/* An accepted envelope recipient, as RCPT TO had it. */
struct pn_envelope_rcpt {
	struct pn_str raw;		/* as the client wrote it, maybe with <>: what is to be deleted */
	struct pn_str address;		/* what the mail server takes it for, where that is another; else "" */
	struct pn_str notify;		/* NOTIFY= value, "" = none */
	struct pn_str orcpt;		/* ORCPT= value, "" = none */
	struct pn_rcpt who;
	bool leaves;			/* nobody's of ours, and the mail server sends it on to another host */
};

struct pn_edit {
	enum pn_edit_kind {
		PN_EDIT_DELETE_RCPT,	/* text */
		PN_EDIT_ADD_RCPT,	/* text, args ("" = none) */
		PN_EDIT_INSERT_HEADER,	/* name, text: above all others */
		PN_EDIT_ADD_HEADER,	/* name, text: below all others */
		PN_EDIT_CHANGE_HEADER,	/* name, index from 1, text */
		PN_EDIT_DELETE_HEADER,	/* name, index from 1 */
		PN_EDIT_CHANGE_SENDER,	/* text, without <> */
		PN_EDIT_QUARANTINE,	/* text */
	} kind;
	struct pn_str name;
	struct pn_str text;
	struct pn_str args;
	uint32_t index;
};

struct pn_transaction {
	const struct pn_envelope_rcpt *rcpts;
	size_t rcpt_count;
	enum pn_mixed mixed;
	bool smtp;			/* false: sendmail(1), where nothing may be refused */
	struct pn_str hostname;		/* for the stamp */
	struct pn_fields fields;	/* for the headers of ours that arrived */
};

struct pn_closing {
	enum pn_action action;		/* ACCEPT, REFUSE, DEFER, DISCARD or HOLD of the whole message */
	struct pn_reply reply;
	struct pn_edit *edits;		/* in the order to make them: additions first */
	size_t edit_count;
};

/* Fields of ours that may arrive: no honest mail has that many, and the mail
 * server suffers from each that is deleted. */
enum { PN_OWN_HEADERS_MAX = 20 };
/* Is it one of our three names (X-Postern-Relay, -Route, -Stamp)? */
bool pn_is_own_header(struct pn_str name);
/* 550 5.6.0 for a mail with more. */
struct pn_closing pn_closing_flood(void);

/* True when the transaction has recipients that are not the gateway's: another
 * gateway's, nobody's of ours, or postmaster. */
bool pn_transaction_mixed(const struct pn_transaction *transaction, const struct pn_gateway *gateway);

/* An answer that would hit recipients it does not concern is softened here:
 * handed over (or, for automatic mail in a loop and what carries our stamp,
 * only ours are removed).  Also where nothing may be refused. */
struct pn_verdict pn_verdict_soften(const struct pn_transaction *transaction, struct pn_verdict verdict);

/* verdicts: one per gateway that has a recipient, softened.  Never leaves the
 * message without a recipient: then the closing is DISCARD. */
struct pn_closing pn_transaction_close(const struct pn_transaction *transaction,
    const struct pn_verdict *verdicts, size_t n, struct pn_arena *arena);

/* Where a recipient of ours goes; the address unchanged for "keep". */
struct pn_str pn_target_for(const struct pn_envelope_rcpt *rcpt, bool to_bounce, struct pn_arena *arena);

/* The Delivered-To fields with which Odoo sees recipients of this gateway that
 * no header names (docs/answers.md); none in mixed transactions.  Values
 * are addresses.  To be decided with; to be added to the mail only when the
 * target leaves this host: pipe(8) and local(8) add their own there, and would
 * take ours for a loop. */
struct pn_strs pn_delivered_to(const struct pn_transaction *transaction, const struct pn_gateway *gateway,
    const struct pn_message *message, struct pn_arena *arena);

/* Does the mail carry our stamp for this gateway? */
bool pn_stamped(struct pn_fields fields, struct pn_str hostname, const struct pn_gateway *gateway);

#endif
