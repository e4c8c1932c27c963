/* quota.h - what relays have sent and how they are, in the state directory.
 *
 * Recipients are counted per relay in rolling windows, exact and atomic over
 * all threads and processes, once per mail.  "The same mail" is one Message-ID,
 * envelope sender and set of recipients (docs/answers.md), or one queue id; a
 * mail that comes again is counted where it was counted, one that now leaves by
 * another relay, or with another number of recipients, is moved.  Postfix uses
 * queue ids again: one is another mail's when both keys are known and differ,
 * else when both instances are and do, else after an hour.  A charge that
 * has left every window counts for nothing: then the mail is charged anew.
 *
 * Without a limit over time nothing is counted, and nothing written: only what
 * the same mail was counted for on another relay is taken back.
 *
 * A recipient is in a window while its time is > now - window_ms, in one of the
 * clock since the last multiple of it (UTC).  Charges of more than a minute
 * ahead are of a clock that stood wrong: they wait there, and what was counted
 * before is counted again when the clock is right.
 *
 * Part of the store: its rules of statuses, expiry and bounds hold.  Charges are
 * kept an hour longer than the longest window, at least 25 hours; what is known
 * of a mail, 6 days.
 */
#ifndef POSTERN_QUOTA_H
#define POSTERN_QUOTA_H

#include "postern/health.h"
#include "postern/store.h"

/* 16 bytes that stand for one mail; without a Message-ID there are none: each
 * mail counts.  The order of recipients does not matter, nor one that is named
 * twice.  Pure. */
struct pn_mail_key {
	unsigned char v[16];
	bool set;
};
struct pn_mail_key pn_mail_key(struct pn_str message_id, struct pn_str envelope_sender,
    struct pn_strs recipients);

struct pn_charge {
	struct pn_str relay;
	const struct pn_limit *limits;
	size_t limit_count;
	uint64_t recipients;
	struct pn_mail_key mail;	/* not set by the policy service, which does not see the header */
	struct pn_str queue_id;		/* Postfix's, the same in both hooks of a message; "" = not known */
	struct pn_str instance;		/* of a policy request; "" = none */
	int64_t now_ms;
	bool look_only;			/* explain, and asking for the state: nothing is written */
};

enum pn_charged {
	PN_CHARGED,
	PN_CHARGED_BEFORE,		/* the same mail, on the same relay: not counted again */
	PN_CHARGED_SPENT,		/* nothing was written */
};

struct pn_charge_result {
	enum pn_charged answer;
	size_t which;			/* SPENT: the limit that is used up */
	int64_t opens_ms;		/* SPENT: when so many recipients will fit; 0: never (more than the
					 * limit).  Of several limits, the one that opens last.  Exact up to
					 * 100,000 charges that have to leave; beyond, not before then */
};

/* PN_OK; PN_TEMPFAIL: cannot say now; PN_INVALID: no name of a relay, or a number
 * out of bounds. */
PN_CHECK enum pn_status pn_quota_charge(struct pn_store *store, const struct pn_charge *charge,
    struct pn_charge_result *out, struct pn_error *err);

/* What Postfix's log says of one recipient of a queue id.  SENT by another relay
 * than it was counted for: moved; REFUSED: given back; SENT of a mail nobody
 * counted: counted.  relay "" = none of ours: it is given back.  Told once per
 * recipient: the same line read again changes nothing.  What only confirms the
 * charge costs no write. */
enum pn_delivery { PN_DELIVERY_SENT, PN_DELIVERY_REFUSED, PN_DELIVERY_DEFERRED };
PN_CHECK enum pn_status pn_quota_delivered(struct pn_store *store, struct pn_str queue_id,
    struct pn_str recipient, struct pn_str relay, enum pn_delivery delivery, int64_t now_ms,
    struct pn_error *err);

/* A recipient that was counted without mail key and queue id, before it was tried,
 * was not delivered: it is taken off the newest such charge.  attempt: bytes that
 * tell this attempt from others, the line of the log.  Told once per relay and
 * attempt; where there is no such charge, nothing is written. */
PN_CHECK enum pn_status pn_quota_undelivered(struct pn_store *store, struct pn_str relay,
    struct pn_str attempt, int64_t now_ms, struct pn_error *err);

/* Recipients in the window that ends now. */
struct pn_quota_use {
	uint64_t used;
	uint64_t most;
	int64_t opens_ms;		/* when one recipient will fit; 0: now, or never (most is 0) */
};
PN_CHECK enum pn_status pn_quota_usage(struct pn_store *store, const struct pn_relay *relay, int64_t now_ms,
    struct pn_quota_use use[PN_RELAY_LIMITS_MAX], struct pn_error *err);
/* Forgets what was counted for a relay ("" = all). */
PN_CHECK enum pn_status pn_quota_clear(struct pn_store *store, struct pn_str relay, struct pn_error *err);

/* -- groups ------------------------------------------------------------------------ */

/* For a program with one thread, which has many mails to decide about at once: what
 * is asked and changed of `state` from begin to end is one transaction.  Each call
 * sees what those before it did.  Nothing that the store promises of them is true
 * before pn_quota_group_end().  Open for microseconds: other writers wait meanwhile.
 *
 * PN_OK        all is written; with keep false, nothing is
 * PN_TEMPFAIL  nothing is: one call failed, or would have taken long, or the whole
 *              could not be written.  Outside of a group each may still succeed. */
void pn_quota_group_begin(struct pn_store *store);
PN_CHECK enum pn_status pn_quota_group_end(struct pn_store *store, bool keep, struct pn_error *err);

/* -- health ------------------------------------------------------------------------ */

/* One transaction: read, pn_health_note(), write.  changed: opened or closed by it; may be NULL. */
PN_CHECK enum pn_status pn_health_learn(struct pn_store *store, struct pn_str relay,
    enum pn_health_event event,
    struct pn_str text, int64_t now_ms, bool *changed, struct pn_error *err);
/* PN_OK; a relay nothing is known of is well. */
PN_CHECK enum pn_status pn_health_get(struct pn_store *store, struct pn_str relay, struct pn_health *out,
    struct pn_error *err);
/* The operator: open again (0), or closed until, also PN_HEALTH_UNTIL_OPENED. */
PN_CHECK enum pn_status pn_health_set(struct pn_store *store, struct pn_str relay,
    const struct pn_health *health,
    struct pn_error *err);

/* The port of pn_relay_choose(): health first, then quotas (look_only). */
struct pn_relay_lookup {
	struct pn_store *store;
	struct pn_mail_key mail;
	struct pn_str queue_id;
	int64_t now_ms;
};
struct pn_relay_states pn_relay_states_in(struct pn_relay_lookup *lookup);

#endif
