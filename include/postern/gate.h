/* gate.h - one mail through the gate: facts from the store, the core's
 * decision for each gateway, admission, and the list of changes.
 *
 * What the milter does at the end of a message, without a milter: `postern
 * explain` and the fuzzers go the same way.  Writes no log.
 *
 * Thread-safe as far as the store and the configuration are; a mail, its arena
 * and its result belong to one session.
 */
#ifndef POSTERN_GATE_H
#define POSTERN_GATE_H

#include "postern/config.h"
#include "postern/authenticate.h"
#include "postern/facts.h"
#include "postern/outbound.h"
#include "postern/proof.h"

struct pn_gate_mail {
	const struct pn_envelope_rcpt *rcpts;	/* accepted at RCPT, ours and others */
	size_t rcpt_count;
	struct pn_fields fields;
	struct pn_mime_result mime;
	struct pn_str sender;	/* MAIL FROM, without <> */
	bool null_sender;
	bool smtp;		/* false: sendmail(1): nothing may be refused */
	bool outbound;		/* from a client that may send for our domains */
	bool authenticated;
	struct pn_str user;	/* as whom; "" = not authenticated */
	bool takes_relay;	/* the relay is chosen on this listener */
	struct pn_str queue_id;
	const unsigned char *body_hash;	/* PN_DKIM_HASH_SIZE bytes, for signing; NULL: not hashed */
	size_t body_longest;	/* bytes of its longest line, where it was hashed */
	struct pn_proof proof;	/* of its author */
	const struct pn_authentication *auth;	/* what Authentication-Results tells; NULL: nothing was verified */
	bool over_limit;	/* its headers went over header_limit: not parsed */
	bool own_header_flood;	/* more fields of ours than are taken out (PN_OWN_HEADERS_MAX) */
	bool dry_run;		/* explain: nothing is written */
	int64_t now_ms;
};

/* One gateway's part. */
struct pn_gate_part {
	const struct pn_gateway *gateway;
	struct pn_verdict verdict;	/* as carried out */
	struct pn_verdict decided;	/* before it was softened for the others' sake */
	struct pn_decision decision;
	bool has_decision;
	struct pn_strs delivered_to;	/* fields added so that Odoo sees the recipient */
	struct pn_loop_windows windows;	/* it was counted in */
	const struct pn_window_key *window_keys;	/* the same, as they are stored */
	uint64_t *window_fill;		/* dry_run: mails in each window already */
	uint64_t threshold;		/* of these windows */
};

struct pn_gate_result {
	struct pn_closing closing;
	struct pn_gate_part *parts;
	size_t part_count;
	struct pn_message message;
	bool parsed;
	struct pn_str unreadable;	/* what Odoo's parser gives up on; "" = nothing */
	size_t learned;			/* threads learned from outbound mail */
	struct pn_str learn_error;	/* they could not be stored; the mail passes */
	bool departed;			/* somebody gets it through a relay: .outbound says which */
	struct pn_outbound outbound;
	struct pn_str signed_by;	/* domains and selectors; "" = not signed */
	struct pn_str not_signed;	/* why a key that should have did not; "" = nothing to tell */
};

/* Never fails: trouble is a verdict (451 4.3.0). */
void pn_gate_decide(const struct pn_gate *gate, const struct pn_gate_mail *mail,
    struct pn_arena *arena, struct pn_gate_result *out);

/* Is it mail of ours on its way out?  A client that may send; not what carries our stamp,
 * nor, without a login, a Received field of another host. */
bool pn_gate_is_outbound(const struct pn_config *config, const struct pn_gate_mail *mail);

/* RCPT: as pn_recipient_classify() with the store's facts. */
PN_CHECK enum pn_status pn_gate_recipient(const struct pn_gate *gate, struct pn_str address,
    int64_t now, struct pn_arena *arena, struct pn_rcpt *out, struct pn_error *err);

/* The directory follows the configuration: aliases by diff, renamed bounce and
 * catchall addresses retired.  changes may be NULL. */
PN_CHECK enum pn_status pn_gate_apply(const struct pn_gate *gate, int64_t now,
    struct pn_directory_changes *changes, struct pn_error *err);

/* Threads that an outbound mail teaches: its Message-Id and every id Odoo would
 * later match (odoo-behaviour 16).  *gateway: whose From it carries.
 * PN_OK, PN_NOT_FOUND (nothing to learn). */
PN_CHECK enum pn_status pn_gate_outbound_threads(const struct pn_directory *directory,
    struct pn_fields fields, const struct pn_message *message, struct pn_arena *arena,
    const struct pn_gateway **gateway, struct pn_thread **threads, size_t *n);

#endif
