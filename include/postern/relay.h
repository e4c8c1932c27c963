/* relay.h - which relay may carry this From (odoo-behaviour 12, 14, 15).
 *
 * pn_relay_choose() is Odoo's _find_mail_server, and adds what Odoo has not:
 * quotas, health and relays for mass mailing; pn_relay_default_sender() is its last step.
 *
 * Relays stand in one order everywhere: by priority, then as they were listed.
 * The state of a relay (spent, down) comes through a port.
 *
 * Pure; a table of relays is immutable: any number of threads.
 */
#ifndef POSTERN_RELAY_H
#define POSTERN_RELAY_H

#include "postern/arena.h"
#include "postern/error.h"
#include "postern/str_list.h"

/* Odoo's smtp_encryption. */
enum pn_security {
	PN_SECURITY_NONE,
	PN_SECURITY_STARTTLS,		/* encrypted, the certificate is not looked at */
	PN_SECURITY_STARTTLS_STRICT,	/* and the certificate must be valid for the host */
	PN_SECURITY_SSL,		/* TLS from the first byte */
	PN_SECURITY_SSL_STRICT,
};

/* Odoo's smtp_authentication. */
enum pn_login {
	PN_LOGIN_PASSWORD,		/* user and password_file; without user: no login */
	PN_LOGIN_CERTIFICATE,		/* certificate_file and key_file */
	PN_LOGIN_OAUTH,			/* user and a token that postern-broker keeps fresh */
};

/* So many recipients in any such window; a limit per message has no window. */
struct pn_limit {
	uint64_t most;
	uint64_t window_ms;		/* 0: per message */
	bool clock;			/* counted per clock minute (personal servers, rule 14), not rolling */
};

enum { PN_RELAY_LIMITS_MAX = 4, PN_RELAYS_MAX = 256 };

/* A filter, read: an entry is compared as an address or as a domain; p NULL: it is none. */
struct pn_from_filter {
	const struct pn_filter_entry {
		struct pn_str address;
		struct pn_str domain;
	} *v;
	size_t n;
};

struct pn_relay {
	struct pn_str name;		/* [a-z0-9-], 1 to 32 bytes: also a transport's and a map's name */
	size_t index;			/* in its table */
	struct pn_str gateway;		/* the only one it serves; "" = all */
	struct pn_str host;		/* a DNS name in A-labels or an IP address, validated */
	uint16_t port;
	enum pn_security security;
	enum pn_login login;
	struct pn_str user;
	struct pn_str password_file;
	struct pn_str certificate_file;
	struct pn_str key_file;
	struct pn_str ca_file;		/* "" = the system's */
	struct pn_str from_filter;	/* Odoo's text: comma separated; "" = no filter */
	struct pn_from_filter filter;	/* the same by pn_relay_read_filter(); v NULL: each question reads it */
	uint64_t priority;		/* Odoo's sequence: lowest first */
	bool active;
	bool mass_mailing;
	struct pn_str owner;		/* SASL login whose personal server it is; "" = nobody's */
	struct pn_strs sasl_users;	/* logins whose mail the policy service sends here */
	struct pn_limit limits[PN_RELAY_LIMITS_MAX];
	size_t limit_count;
	bool dates_change;		/* it replaces Date and Message-ID, which no signature can cover then */
	bool own_transport;		/* its host and port, certificates or kind of login need a service of Postfix's for it alone */
	/* PN_LOGIN_OAUTH */
	struct pn_str oauth_token_url;
	struct pn_str oauth_client_id;
	struct pn_str oauth_client_secret_file;
	struct pn_str oauth_refresh_token_file;	/* "" = client credentials */
	struct pn_str oauth_scope;
};

struct pn_relays {
	const struct pn_relay *v;	/* in order */
	size_t n;
};

const struct pn_relay *pn_relay_named(struct pn_relays relays, struct pn_str name);

/* Reads a filter once, for many questions. */
struct pn_from_filter pn_relay_read_filter(struct pn_str from_filter, struct pn_arena *arena);

/* -- the question ------------------------------------------------------------- */

enum pn_relay_step {			/* the rows of rule 12's table */
	PN_RELAY_FROM_ADDRESS,		/* 1a */
	PN_RELAY_FROM_DOMAIN,		/* 1b */
	PN_RELAY_NOTIFICATION_ADDRESS,	/* 2a */
	PN_RELAY_NOTIFICATION_DOMAIN,	/* 2b */
	PN_RELAY_NO_FILTER,		/* 3 */
	PN_RELAY_ANY,			/* 4 */
	PN_RELAY_FORCED,		/* named by the mail or, for mass mailing, by us: From stays */
	PN_RELAY_USER,			/* the policy service: by SASL login */
};
const char *pn_relay_step_name(enum pn_relay_step step);	/* "from_address", ... */

struct pn_relay_question {
	struct pn_relays relays;
	struct pn_str gateway;		/* whose mail it is: relays of other gateways are not looked at; "" = nobody's */
	struct pn_str email_from;	/* text of the From, a name allowed; "" = none */
	struct pn_str notification;	/* N of rule 12, normalised; "" = none */
	struct pn_str user;		/* SASL login: its personal relays take part in 1a and 1b; "" = none */
};

/* -- the choice ------------------------------------------------------------------ */

enum pn_relay_state { PN_RELAY_OPEN, PN_RELAY_SPENT, PN_RELAY_DOWN };
struct pn_relay_status {
	enum pn_relay_state state;
	int64_t until_ms;		/* when it may open; 0: not known */
	struct pn_str reason;		/* "500/day used up", "login refused: 535 ..." */
};

/* Where the state of relays comes from.  PN_OK or PN_TEMPFAIL. */
struct pn_relay_states {
	void *ctx;
	enum pn_status (*ask)(void *ctx, const struct pn_relay *relay, uint64_t recipients,
	    struct pn_arena *arena, struct pn_relay_status *out, struct pn_error *err);
};

/* As if all were open. */
extern const struct pn_relay_states pn_relay_all_open;

struct pn_relay_request {
	struct pn_relay_question question;
	uint64_t recipients;		/* that leave through the relay */
	bool mass_mailing;		/* pn_is_mass_mailing() */
	bool rewrite;			/* From may be encapsulated; else only 1a, 1b and 3, From kept */
	bool by_login;			/* relays whose sasl_users name the user, if any, and no other */
	struct pn_relay_states states;
};

/* One relay of those that may carry the mail, in the order they are tried. */
struct pn_relay_candidate {
	const struct pn_relay *relay;
	enum pn_relay_step step;
	struct pn_str sender;
	struct pn_str envelope;		/* under which it would leave by this one, where the caller knows */
	struct pn_relay_status status;
	bool too_many;			/* recipients, for one of its limits: this mail will never fit in one piece */
};

struct pn_relay_choice {
	struct pn_relay_candidate *v;
	size_t n;			/* 0: none may carry it */
	size_t chosen;			/* the first open one; n: all are closed */
	size_t opens_first;		/* when all are closed: the one to wait for */
	bool warning;			/* step 4: none matches */
	bool limited_per_message;	/* none takes so many recipients at once */
};

/* Candidates: the first group of rule 12 that has a relay - 1a, 1b, then 3; else
 * 2a, 2b, then 3; else 3; else 4.  A relay that is spent or down gives way to
 * the next of its group and never to one that may not carry the mail.  Relays
 * for mass mailing take ordinary mail only by 1a and 1b; where there is one,
 * mass mailing takes no other, and leaves with its From as it is (rule 15): those
 * of 1a, 1b and 3, else, forced, all of them.
 *
 * A relay whose limit per message is too low is spent, for ever (until_ms 0),
 * and its state is not asked for.  The one to wait for is the one that opens
 * first; one of which that is not known comes after, one that never opens last.
 *
 * PN_OK        *out
 * PN_TEMPFAIL  a state cannot be had
 * PN_LIMIT     arena exhausted */
PN_CHECK enum pn_status pn_relay_choose(const struct pn_relay_request *request, struct pn_arena *arena,
    struct pn_relay_choice *out, struct pn_error *err);

/* Step 5, where there is no relay at all: as whom the mail is sent, From or N, by the filter
 * that Odoo's parameter mail.default.from_filter gives ("" = any From may stay).
 * warning: neither of them matches.
 *
 * PN_OK     *sender, borrowed from the question
 * PN_LIMIT  arena exhausted */
PN_CHECK enum pn_status pn_relay_default_sender(const struct pn_relay_question *question, struct pn_str default_filter,
    struct pn_arena *arena, struct pn_str *sender, bool *warning);

/* Sets .chosen and .opens_first by the candidates' states, after one has changed. */
void pn_relay_choice_settle(struct pn_relay_choice *choice);

/* -- what Postfix is told ------------------------------------------------------------- */

/* The transport of a relay: postern-plain, postern-starttls, postern-smtps, or
 * postern-NAME for one that shares host and port.  waiting: the one that asks
 * before each recipient (postern-wait-...). */
struct pn_str pn_relay_transport(const struct pn_relay *relay, bool waiting, struct pn_arena *arena);
/* "[host]:port": key of the maps `sasl` and `tls`, and an element of a route. */
struct pn_str pn_relay_nexthop(const struct pn_relay *relay, struct pn_arena *arena);

enum { PN_RELAY_ROUTE_MAX = 900 };	/* bytes: a line of a header takes 998 (RFC 5322 section 2.1.1) */

/* "transport:[host]:port, [host]:port": the chosen relay (when all are closed, the
 * one that opens first) and the open ones after it that have the same transport
 * and send the mail under the same sender and envelope, as many as fit.  waiting: the closed
 * ones as well, as each is asked for in turn, and the mail leaves by whichever
 * opens first.
 * Everything in it was validated when it was configured and is looked at again
 * here: a malformed value would stop Postfix's smtp(8).
 *
 * PN_OK         *out
 * PN_NOT_FOUND  no candidate
 * PN_INVALID    a part that Postfix would not take */
PN_CHECK enum pn_status pn_relay_route(const struct pn_relay_choice *choice, bool waiting,
    struct pn_arena *arena, struct pn_str *out, struct pn_error *err);

/* May this text be given to Postfix as FILTER?  What the builder holds itself to. */
bool pn_relay_route_is_safe(struct pn_str route);
/* A host as Postfix's nexthop takes it: a DNS name in A-labels, IPv4, or IPv6 (without []). */
bool pn_relay_host_is_valid(struct pn_str host);
/* [a-z0-9-], 1 to 32 bytes, a letter or digit first, and no name of a transport of
 * ours: plain, starttls, smtps, redirect, rewrite, none, wait, wait-... */
bool pn_relay_name_is_valid(struct pn_str name);

#endif
