/* smtp_client.h - tries a relay as Odoo's "Test Connection" does, step by step.
 *
 * Connects, encrypts as the relay's security says, logs in, and goes as far as
 * DATA.  No mail is sent: the connection is closed after 354, which an SMTP
 * server takes as a mail that never was (RFC 5321 section 4.1.1.4).
 *
 * Blocks until its deadlines, also while the name is looked up; bounds what it
 * reads.  Thread-safe: nothing is shared between two calls.
 *
 * The password or token is never in a result: what was sent of it, also in
 * base64, is replaced in the server's words.  Its copies are wiped.
 */
#ifndef POSTERN_SMTP_CLIENT_H
#define POSTERN_SMTP_CLIENT_H

#include "postern/relay.h"

enum pn_smtp_step {			/* in order; STARTTLS and TLS stand where the security says */
	PN_SMTP_STEP_RESOLVE,
	PN_SMTP_STEP_CONNECT,
	PN_SMTP_STEP_GREETING,
	PN_SMTP_STEP_EHLO,		/* again after STARTTLS */
	PN_SMTP_STEP_STARTTLS,
	PN_SMTP_STEP_TLS,
	PN_SMTP_STEP_LOGIN,
	PN_SMTP_STEP_MAIL,
	PN_SMTP_STEP_RCPT,
	PN_SMTP_STEP_DATA,
	PN_SMTP_STEP_QUIT,		/* instead of DATA, when it goes no farther than the login */
};
const char *pn_smtp_step_name(enum pn_smtp_step step);	/* "resolve", "connect", ... */

/* What the failure says about the relay. */
enum pn_smtp_failure {
	PN_SMTP_FINE,
	PN_SMTP_NO_CONNECTION,
	PN_SMTP_NO_TLS,
	PN_SMTP_NO_LOGIN,
	PN_SMTP_LIMITED,		/* pn_health_is_limit() */
	PN_SMTP_REFUSED_SENDER,
	PN_SMTP_REFUSED_RECIPIENT,
	PN_SMTP_NO_SERVICE,		/* 421, no greeting, closed, no SMTP */
	PN_SMTP_UNUSABLE,		/* not the relay's fault: our addresses or files */
};
const char *pn_smtp_failure_name(enum pn_smtp_failure failure);	/* "fine", "no_connection", ... */

/* What exactly happened. */
enum pn_smtp_cause {
	PN_SMTP_CAUSE_NONE,
	PN_SMTP_CAUSE_REPLY,		/* the server's reply says it */
	PN_SMTP_CAUSE_NO_NAME,
	PN_SMTP_CAUSE_NOBODY_LISTENS,
	PN_SMTP_CAUSE_UNREACHABLE,
	PN_SMTP_CAUSE_TIMEOUT,
	PN_SMTP_CAUSE_CLOSED,
	PN_SMTP_CAUSE_NOT_SMTP,
	PN_SMTP_CAUSE_NO_STARTTLS,	/* not offered */
	PN_SMTP_CAUSE_INJECTED,		/* bytes between the 220 of STARTTLS and TLS */
	PN_SMTP_CAUSE_NOT_TLS,		/* it speaks in the clear where TLS begins */
	PN_SMTP_CAUSE_HANDSHAKE,
	PN_SMTP_CAUSE_EXPIRED,		/* its certificate, or it is not valid yet */
	PN_SMTP_CAUSE_WRONG_NAME,
	PN_SMTP_CAUSE_ISSUER,
	PN_SMTP_CAUSE_CERTIFICATE,	/* anything else that is wrong with it */
	PN_SMTP_CAUSE_NO_MECHANISM,	/* to log in with */
	PN_SMTP_CAUSE_OWN_FILE,		/* our certificate, key or CA file */
	PN_SMTP_CAUSE_OWN_ADDRESS,	/* that SMTP cannot carry */
};

struct pn_smtp_result {
	enum pn_smtp_step step;
	enum pn_smtp_failure failure;	/* PN_SMTP_FINE: the step is done */
	enum pn_smtp_cause cause;
	unsigned code;			/* of the server's reply; 0: the words are ours */
	struct pn_str text;		/* all lines, "\n" between; the server's bytes; in the arena */
	int64_t ms;
};

struct pn_smtp_plan {
	const struct pn_relay *relay;
	struct pn_str secret;		/* password or token; the caller wipes it */
	struct pn_str helo;
	struct pn_str sender, recipient;	/* without <>; needed for MAIL and RCPT */
	enum pn_smtp_step last;		/* PN_SMTP_STEP_TLS: no login; _LOGIN: then QUIT; _DATA: all */
	int64_t step_ms, total_ms;	/* the time for each step and for all */
	/* After each step; NULL: nobody asks. */
	void *ctx;
	void (*report)(void *ctx, const struct pn_smtp_result *result);
};

/* The failure of the last step.  *last is the result of that step, and may be NULL. */
enum pn_smtp_failure pn_smtp_try(const struct pn_smtp_plan *plan, struct pn_arena *arena,
    struct pn_smtp_result *last);

#endif
