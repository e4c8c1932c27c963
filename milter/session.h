/* session.h - one milter conversation: a connection, and on it one mail after
 * another.
 *
 * libmilter moves a conversation between threads, one callback at a time:
 * everything that lives longer than a callback is here, nothing in thread-local
 * storage, no lock and no LMDB transaction.
 */
#ifndef POSTERN_MILTER_SESSION_H
#define POSTERN_MILTER_SESSION_H

#include <libmilter/mfapi.h>

#include "shared.h"
#include "postern/gate.h"

struct session {
	bool trusted_network;		/* the client is in outbound_networks */
	bool outbound_daemon;		/* {daemon_name} is in outbound_daemons */
	bool relay_daemon;		/* relays are chosen on this listener */
	unsigned char client[16];
	char helo[256];
	unsigned long steps;		/* negotiated SMFIP_* flags */
	bool admitted;			/* one of max_sessions */

	/* the mail, from MAIL to its end or ABORT; .snapshot is NULL outside */
	struct snapshot *snapshot;
	struct pn_arena *arena;
	struct pn_mime *mime;
	struct pn_auth_check *auth;	/* NULL: not verified */
	bool verifies;			/* it is to be, from the end of the headers on */
	struct pn_dkim_body *body;	/* hashed to be signed; NULL: not signed */
	unsigned char body_hash[PN_DKIM_HASH_SIZE];
	struct pn_gate_mail mail;
	struct pn_envelope_rcpt *rcpts;
	size_t rcpt_cap;
	size_t field_cap;
	size_t ours;			/* recipients of ours */
	size_t header_bytes;
	size_t own_headers;		/* fields that arrived under our names */
	struct pn_str sender;		/* MAIL FROM as given, with <> */
	int64_t started_us;
};

struct session *session_new(void);
void session_free(struct session *session);	/* NULL is fine */

/* A mail begins: takes a snapshot of the configuration.  user: SASL login; "" = none. */
void session_begin(struct session *session, struct pn_str sender, bool smtp, struct pn_str user);
/* It is over, whatever became of it. */
void session_end(struct session *session);

/* Where the mail server sends a recipient: {rcpt_mailer} and {rcpt_host}; "" where it does not say. */
struct next_hop {
	struct pn_str transport, host;
};

/* RCPT TO: classified, and noted when it is accepted.  taken_for: {rcpt_addr},
 * what the mail server made of the address; "" where it does not say. */
enum session_rcpt { RCPT_ACCEPTED, RCPT_REFUSED, RCPT_TROUBLE, RCPT_LATER, RCPT_TOO_MANY };
enum session_rcpt session_rcpt(struct session *session, char **argv, struct pn_str taken_for,
    struct next_hop hop, struct pn_error *err);

void session_header(struct session *session, struct pn_str name, struct pn_str raw);
void session_end_of_headers(struct session *session);
void session_body(struct session *session, struct pn_str chunk);

/* The end of the message: the decision; the result lives in session->arena. */
void session_decide(struct session *session, struct pn_str queue_id, struct pn_gate_result *result);

#endif
