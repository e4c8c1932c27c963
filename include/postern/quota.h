/* quota.h - what relays have sent and how they are, in the state directory.
 *
 * Recipients are counted per relay in rolling windows, exact and atomic over
 * all threads and processes, once per mail.  "The same mail" is one Message-ID,
 * envelope sender and set of recipients (docs/answers.md); a mail that comes
 * again is counted where it was counted, one that now leaves by another relay
 * is moved.  Part of the store: its rules of statuses, expiry and bounds hold.
 */
#ifndef POSTERN_QUOTA_H
#define POSTERN_QUOTA_H

#include "postern/health.h"
#include "postern/store.h"

/* 16 bytes that stand for one mail; "" (n = 0) is none: each mail counts. */
struct pn_mail_key {
	unsigned char v[16];
	bool set;
};
struct pn_mail_key pn_mail_key(struct pn_str message_id, struct pn_str envelope_sender, struct pn_strs recipients);

struct pn_charge {
	struct pn_str relay;
	const struct pn_limit *limits;
	size_t limit_count;
	uint64_t recipients;
	struct pn_mail_key mail;	/* not set by the policy service, which does not see the header */
	struct pn_str queue_id;		/* Postfix's; "" = not known.  Both hooks of one message have the same */
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
	int64_t opens_ms;		/* SPENT: when so many recipients will fit; 0: never (per message) */
};

/* PN_OK, or PN_TEMPFAIL: cannot say now. */
PN_CHECK enum pn_status pn_quota_charge(struct pn_store *store, const struct pn_charge *charge,
    struct pn_charge_result *out, struct pn_error *err);

/* What Postfix's log says of one recipient of a queue id.  SENT by another relay
 * than it was counted for: moved; REFUSED: given back; SENT of a mail nobody
 * counted: counted.  Told once per recipient: the same line read again changes nothing. */
enum pn_delivery { PN_DELIVERY_SENT, PN_DELIVERY_REFUSED, PN_DELIVERY_DEFERRED };
PN_CHECK enum pn_status pn_quota_delivered(struct pn_store *store, struct pn_str queue_id,
    struct pn_str recipient, struct pn_str relay, enum pn_delivery delivery, int64_t now_ms,
    struct pn_error *err);

/* Recipients in the window that ends now. */
struct pn_quota_use {
	uint64_t used;
	uint64_t most;
	int64_t opens_ms;		/* when one recipient will fit; 0: it fits now */
};
PN_CHECK enum pn_status pn_quota_usage(struct pn_store *store, const struct pn_relay *relay, int64_t now_ms,
    struct pn_quota_use use[PN_RELAY_LIMITS_MAX], struct pn_error *err);
/* Forgets what was counted for a relay ("" = all). */
PN_CHECK enum pn_status pn_quota_clear(struct pn_store *store, struct pn_str relay, struct pn_error *err);

/* -- health ------------------------------------------------------------------------ */

/* One transaction: read, pn_health_note(), write.  changed: opened or closed by it; may be NULL. */
PN_CHECK enum pn_status pn_health_learn(struct pn_store *store, struct pn_str relay, enum pn_health_event event,
    struct pn_str text, int64_t now_ms, bool *changed, struct pn_error *err);
/* PN_OK; a relay nothing is known of is well. */
PN_CHECK enum pn_status pn_health_get(struct pn_store *store, struct pn_str relay, struct pn_health *out,
    struct pn_error *err);
/* The operator: open again, or closed until (0 = until opened). */
PN_CHECK enum pn_status pn_health_set(struct pn_store *store, struct pn_str relay, const struct pn_health *health,
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
