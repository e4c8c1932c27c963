/* authenticate.h - who sent this mail: SPF, DKIM and DMARC together, one result.
 *
 * What the milter does with an inbound mail: at the end of the headers a check is
 * begun, the body passes through it, and at the end everything is asked of the DNS
 * within one budget.  The result is facts; what is done with them is decided in
 * lib/gate.
 *
 * A pn_authenticator is one per process and thread-safe; a check belongs to one
 * session.  Results live in the arena of the mail.
 */
#ifndef POSTERN_AUTHENTICATE_H
#define POSTERN_AUTHENTICATE_H

#include "postern/auth_config.h"
#include "postern/auth_results.h"
#include "postern/dkim.h"
#include "postern/dmarc.h"
#include "postern/proof.h"
#include "postern/resolver.h"
#include "postern/spf.h"

struct pn_authenticator;

/* PN_INVALID: a setting is wrong; PN_TEMPFAIL: the system refuses something. */
PN_CHECK enum pn_status pn_authenticator_open(const struct pn_auth_config *config, struct pn_authenticator **out,
    struct pn_error *err);
/* The same with a DNS of the caller's, for tests and `explain`: it must outlive the authenticator. */
PN_CHECK enum pn_status pn_authenticator_open_with(const struct pn_auth_config *config, struct pn_dns dns,
    struct pn_authenticator **out, struct pn_error *err);
void pn_authenticator_close(struct pn_authenticator *authenticator);	/* NULL is fine */
/* Its DNS, for others to ask too; valid as long as it is. */
struct pn_dns pn_authenticator_dns(const struct pn_authenticator *authenticator);

struct pn_auth_mail {
	unsigned char client[16];	/* IPv4 as IPv4-mapped; all zero: not known */
	struct pn_str helo;
	struct pn_str sender;		/* MAIL FROM without <>; "" = null sender */
	struct pn_str receiver;		/* our name */
	struct pn_fields fields;	/* raw as on the wire */
	bool cut;			/* there were more: signatures and authors are not looked at */
	int64_t now;			/* seconds */
};

struct pn_authentication {
	struct pn_from_identity from;
	struct pn_spf_answer spf;
	struct pn_dkim_signatures dkim;
	struct pn_dmarc dmarc;
	bool relayed;			/* a trusted relay handed it in: the client is the one before it */
	bool client_unknown;		/* it could not be found out: SPF is none, DMARC never refuses */
	bool exempt;			/* from dmarc = enforce: trusted relay, listed forwarder, mailing list */
	struct pn_str reused;		/* the earlier filter whose results were taken, the first one; "" = none */
	/* Value of our Authentication-Results; "" = forged ones could not be looked for, and none may be told. */
	struct pn_str header;
	size_t *forged;			/* fields of ours that others wrote, as pn_auth_results_forged() */
	size_t forged_count;
};

/* At the end of the headers.  config: of this mail; it and the arena outlive the check. */
struct pn_auth_check *pn_auth_check_new(struct pn_authenticator *authenticator, const struct pn_auth_config *config,
    const struct pn_auth_mail *mail, struct pn_arena *arena);
bool pn_auth_check_wants_body(const struct pn_auth_check *check);
void pn_auth_check_body(struct pn_auth_check *check, struct pn_str chunk);
/* Once.  Blocks for the DNS, at most as long as the budget says, of which SPF, DKIM and DMARC have a share
 * each.  There is always an answer. */
void pn_auth_check_end(struct pn_auth_check *check, struct pn_authentication *out);
void pn_auth_check_free(struct pn_auth_check *check);	/* NULL is fine; at any time */

/* What a decision needs of it; config: of this mail. */
struct pn_proof pn_authentication_proof(const struct pn_authentication *auth, const struct pn_auth_config *config);

/* The client and its HELO name, as a Received field tells them (RFC 5321 section 4.4): "from HELO (NAME
 * [ADDRESS])", and the ways in which Exim, Exchange, qmail and sendmail write it.
 * PN_OK, or PN_INVALID: it does not, or not in a form that is sure. */
PN_CHECK enum pn_status pn_received_client(struct pn_str raw, unsigned char client[16], struct pn_str *helo);

#endif
