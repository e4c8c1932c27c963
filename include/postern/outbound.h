/* outbound.h - one mail that leaves: which relay, under which sender, and what
 * Postfix is told.
 *
 * The core's choice (relay.h, sender.h) with the store's facts: quotas and
 * health are asked, and the mail is counted for the relay it leaves by.  Asked
 * by the milter, which knows the header From, and by the policy service, which
 * knows the envelope.
 *
 * Thread-safe as far as the store and the configuration are.  Results live in
 * the arena.
 */
#ifndef POSTERN_OUTBOUND_H
#define POSTERN_OUTBOUND_H

#include "postern/facts.h"
#include "postern/quota.h"
#include "postern/sender.h"
#include "postern/verdict.h"

struct pn_outbound_mail {
	struct pn_str email_from;	/* From as it reads back; the policy service: the envelope sender */
	struct pn_str sender;		/* MAIL FROM without <>; "" = null sender */
	struct pn_str return_path;	/* its address in the header; "" = none */
	struct pn_str message_id;
	struct pn_str user;		/* SASL login; "" = none */
	struct pn_str queue_id;		/* "" = not known */
	struct pn_str instance;		/* of the policy request; "" = none */
	struct pn_strs recipients;	/* those that leave */
	uint64_t recipient_count;	/* the same; the policy service knows nothing more */
	bool header;			/* the header is known and may be changed */
	bool by_login;			/* a relay's sasl_users come first */
	bool mass_mailing;
	bool mixed;			/* others of its recipients stay here: no FILTER, and not counted yet */
	bool live;			/* asked by the map `route`: counted when it is delivered */
	bool may_refuse;
	bool dry_run;			/* nothing is counted */
	int64_t now_ms;
};

enum pn_outbound_answer {
	PN_OUTBOUND_DEFAULT,	/* no relay takes part: Postfix's own route */
	PN_OUTBOUND_ROUTE,	/* leaves by .route */
	PN_OUTBOUND_WAIT,	/* every relay is closed: .route waits for the first that opens */
	PN_OUTBOUND_DEFER,	/* 4xx */
	PN_OUTBOUND_REFUSE,	/* 5xx */
};
const char *pn_outbound_answer_name(enum pn_outbound_answer answer);

struct pn_outbound {
	enum pn_outbound_answer answer;
	struct pn_reply reply;			/* DEFER, REFUSE */
	struct pn_str route;			/* for FILTER; "" where it must not be set (mixed, live) */
	bool live;				/* left to the map `route`, and not counted yet */
	const struct pn_relay *relay;		/* chosen, or waited for; NULL: none */
	enum pn_relay_step step;
	struct pn_relay_choice choice;		/* every candidate and its state, for explain */
	const struct pn_gateway *gateway;	/* whose mail it is; NULL: nobody's of ours */
	struct pn_str notification;		/* its notification address; "" = none */
	struct pn_sender sender;		/* From and envelope sender it leaves with */
	bool counted_before;			/* the same mail has come again */
	bool trouble;				/* the store cannot say now */
	struct pn_str reason;			/* for the log and explain */
};

/* Never fails: what cannot be found out is 451 4.3.0, or the default route where
 * nothing may be refused. */
void pn_outbound_decide(const struct pn_gate *gate, const struct pn_outbound_mail *mail,
    struct pn_arena *arena, struct pn_outbound *out);

/* The gateway that a login is bound to (its `logins`): it sends for that one alone,
 * whatever the mail says.  NULL: it is bound to none. */
const struct pn_gateway *pn_outbound_gateway_of_login(const struct pn_config *config, struct pn_str user);

/* The live route of a sender, for sender_dependent_default_transport_maps: as
 * above, not counted.  A relay with limits is given by its waiting transport, which
 * counts each recipient as it is delivered.
 * PN_OK         *route
 * PN_NOT_FOUND  no relay takes part
 * PN_TEMPFAIL   cannot say now */
PN_CHECK enum pn_status pn_outbound_route(const struct pn_gate *gate, struct pn_str sender, int64_t now_ms,
    struct pn_arena *arena, struct pn_str *route, struct pn_error *err);

/* Is this the address of a mailbox on this host: at its own name, in local_domains,
 * or without a domain?  Where Postfix does not say which transport takes the mail. */
bool pn_outbound_is_local(const struct pn_config *config, struct pn_str address, struct pn_arena *arena);

#endif
