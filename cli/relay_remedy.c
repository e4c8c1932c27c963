/* One table: what the server says or what we saw, and what to do about it. */
#include "relay_remedy.h"

#define TOGETHER "port = 465 and security = ssl_strict belong together, 587 and 2525 go with starttls_strict"
#define UNCHECKED "; security = starttls (or ssl) accepts it unchecked"

/* What the relay is like; a row counts where all of its bits are set. */
enum {
	IMPLICIT_TLS = 1,
	UNENCRYPTED = 2,
	PORT_465 = 4,
	BY_TOKEN = 8,
	BY_CERTIFICATE = 16,
	WITH_USER = 32,
};

static unsigned
nature_of(const struct pn_relay *relay)
{
	bool implicit = relay->security == PN_SECURITY_SSL || relay->security == PN_SECURITY_SSL_STRICT;

	return (implicit ? IMPLICIT_TLS : 0) | (relay->security == PN_SECURITY_NONE ? UNENCRYPTED : 0)
	    | (relay->port == 465 ? PORT_465 : 0) | (relay->login == PN_LOGIN_OAUTH ? BY_TOKEN : 0)
	    | (relay->login == PN_LOGIN_CERTIFICATE ? BY_CERTIFICATE : 0)
	    | (relay->user.n > 0 ? WITH_USER : 0);
}

struct row {
	enum pn_smtp_cause cause;
	enum pn_smtp_failure failure;	/* PN_SMTP_FINE: any */
	unsigned code;			/* 0: any; 4: any 4xx */
	const char *words;		/* in the text, lower case; NULL: any */
	unsigned nature;
	const char *remedy;
};

#define WHEN(cause) PN_SMTP_CAUSE_##cause, PN_SMTP_FINE, 0, NULL
#define REPLY(failure) PN_SMTP_CAUSE_REPLY, PN_SMTP_##failure

/* The first row that fits. */
static const struct row rows[] = {
	/* what providers say at the login */
	{ REPLY(NO_LOGIN), 534, "5.7.9", 0,
	    "the account wants an app password: make one at https://myaccount.google.com/apppasswords and "
	    "put it into password_file" },
	{ REPLY(NO_LOGIN), 0, "application-specific password", 0,
	    "the account wants an app password: make one in its security settings and put it into "
	    "password_file" },
	{ REPLY(NO_LOGIN), 0, "5.7.139", 0,
	    "Microsoft does not take a password here: use authentication = oauth, or have the administrator "
	    "switch SMTP AUTH on for this mailbox" },
	{ REPLY(NO_LOGIN), 0, "web browser", 0,
	    "the provider distrusts this login: log in once with a browser and confirm it, then try again" },
	{ REPLY(NO_LOGIN), 530, NULL, WITH_USER, "the server wants another login: look at what it says" },
	{ REPLY(NO_LOGIN), 530, NULL, 0, "the relay wants a login: set user and password_file" },
	{ REPLY(NO_LOGIN), 4, NULL, 0, "the server cannot check logins now: try again later" },
	{ REPLY(NO_LOGIN), 0, NULL, BY_TOKEN,
	    "the token is refused: look at user, oauth_scope and what the provider allows this application" },
	{ REPLY(NO_LOGIN), 535, "google", 0,
	    "user or password is wrong; with two-step verification it must be an app password, see "
	    "https://myaccount.google.com/apppasswords" },
	{ REPLY(NO_LOGIN), 0, NULL, 0,
	    "user or password is wrong: compare user and the content of password_file with what the provider "
	    "gave you" },
	{ WHEN(NO_MECHANISM), UNENCRYPTED,
	    "many servers offer a login only after encryption: set security = starttls_strict" },
	{ WHEN(NO_MECHANISM), BY_TOKEN, "the server takes no tokens: use authentication = login" },
	{ WHEN(NO_MECHANISM), 0, "the server takes no password here: look at the port, or leave user unset" },
	/* the mail itself */
	{ REPLY(LIMITED), 0, "login", 0,
	    "the provider counts too many logins: wait an hour, then try again" },
	{ REPLY(LIMITED), 0, NULL, 0,
	    "the provider's sending limit is used up: wait, or have it raised; limits in the relay section "
	    "keep below it" },
	{ REPLY(REFUSED_SENDER), 4, NULL, 0, "the relay does not take this sender now: try again later" },
	{ REPLY(REFUSED_SENDER), 0, "verified", 0,
	    "verify the sender's address or domain with the provider, or try another one with --from" },
	{ REPLY(REFUSED_SENDER), 0, NULL, 0,
	    "the relay does not carry mail from this address: name in from_filter only what it carries, or "
	    "try another one with --from" },
	{ REPLY(REFUSED_RECIPIENT), 0, NULL, 0,
	    "the relay does not take this recipient: try another one with --to" },
	{ REPLY(NO_TLS), 530, NULL, 0, "the relay wants encryption: set security = starttls_strict" },
	{ REPLY(NO_TLS), 0, NULL, 0, "the server cannot encrypt now: try again later" },
	{ REPLY(NO_SERVICE), 554, NULL, 0,
	    "the relay does not serve this host: ask the provider whether its address is blocked" },
	{ REPLY(NO_SERVICE), 0, NULL, 0, "the relay does not serve us now: try again later" },
	/* the way there */
	{ WHEN(NO_NAME), 0, "look at host, and at the name servers in /etc/resolv.conf" },
	{ WHEN(NOBODY_LISTENS), 0, "nothing listens there: look at host and port; " TOGETHER },
	{ WHEN(UNREACHABLE), 0, "there is no way to this host: look at the network and the firewall" },
	{ PN_SMTP_CAUSE_TIMEOUT, PN_SMTP_NO_CONNECTION, 0, NULL, PORT_465,
	    "the port is blocked on the way: try port 587 or 2525 with security = starttls_strict" },
	{ PN_SMTP_CAUSE_TIMEOUT, PN_SMTP_NO_CONNECTION, 0, NULL, 0,
	    "the port is blocked on the way: try port 465 with security = ssl_strict, or port 2525 where the "
	    "provider has it" },
	{ WHEN(NOT_SMTP), 0, "look at host and port: this is no mail server; " TOGETHER },
	/* encryption */
	{ WHEN(NO_STARTTLS), 0,
	    "try port 465 with security = ssl_strict; if the server offers STARTTLS elsewhere, a firewall "
	    "here removes it" },
	{ WHEN(INJECTED), 0,
	    "somebody on the way or the server itself is not to be trusted: do not send here" },
	{ WHEN(NOT_TLS), IMPLICIT_TLS, TOGETHER },
	{ WHEN(NOT_TLS), 0, "the server breaks off its own STARTTLS: ask the provider" },
	{ WHEN(HANDSHAKE), BY_CERTIFICATE, "does the provider know certificate_file?" },
	{ WHEN(HANDSHAKE), 0,
	    "the server must know TLS 1.2 or newer; or it wants a certificate of ours (authentication = "
	    "certificate)" },
	{ WHEN(EXPIRED), 0, "tell the provider, and look at the clock of this host" UNCHECKED },
	{ WHEN(WRONG_NAME), 0, "set host to a name that the certificate is for" UNCHECKED },
	{ WHEN(ISSUER), 0, "set ca_file to the certificate of its issuer, if you trust it" UNCHECKED },
	{ WHEN(CERTIFICATE), 0, "ask the provider for a valid certificate" UNCHECKED },
	/* ours */
	{ WHEN(OWN_FILE), 0, "mend this first: the relay was not asked for more" },
	{ WHEN(OWN_ADDRESS), 0, "choose others with --from and --to" },
	/* silence, and closed connections */
	{ WHEN(TIMEOUT), PORT_465 | IMPLICIT_TLS, "the server is slow or overloaded: try again later" },
	{ WHEN(TIMEOUT), IMPLICIT_TLS, "the server says nothing to TLS: " TOGETHER },
	{ WHEN(TIMEOUT), 0,
	    "the server is slow (try a longer --timeout), or waits for TLS: " TOGETHER },
	{ WHEN(CLOSED), PORT_465 | IMPLICIT_TLS, "try again later, or ask the provider" },
	{ WHEN(CLOSED), PORT_465, "the server wants TLS at once: " TOGETHER },
	{ WHEN(CLOSED), 0,
	    "try again later, or ask the provider whether it takes connections from this host" },
};

static bool
has_code(const struct row *row, unsigned code)
{
	return row->code == 0 || row->code == code || row->code == code / 100;
}

static bool
fits(const struct row *row, const struct pn_smtp_result *result, struct pn_str text, unsigned nature)
{
	return row->cause == result->cause
	    && (row->failure == PN_SMTP_FINE || row->failure == result->failure)
	    && has_code(row, result->code)
	    && (row->words == NULL || pn_str_contains(text, pn_str_c(row->words)))
	    && (nature & row->nature) == row->nature;
}

const char *
relay_remedy(const struct pn_relay *relay, const struct pn_smtp_result *result, struct pn_arena *arena)
{
	struct pn_str text = pn_arena_lower(arena, result->text);
	unsigned nature = nature_of(relay);

	for (size_t i = 0; i < PN_COUNT(rows); i++)
		if (fits(&rows[i], result, text, nature))
			return rows[i].remedy;
	return "";
}
