#include "keys.h"

#include <assert.h>

#include "postern/nearest.h"

/* offsetof that fails to compile where the field has another type. */
#define FIELD(draft, field, type) \
	(offsetof(struct draft, field) + 0 * sizeof(_Generic(((struct draft *)0)->field, type: 1)))

#define TEXT(d, f) PN_KEY_TEXT, FIELD(d, f, struct pn_str)
#define LIST(d, f) PN_KEY_LIST, FIELD(d, f, struct pn_strs)
#define BOOL(d, f) PN_KEY_BOOL, FIELD(d, f, bool)
#define NUMBER(d, f) PN_KEY_NUMBER, FIELD(d, f, uint64_t)
#define SIZE(d, f) PN_KEY_SIZE, FIELD(d, f, uint64_t)
#define TIME(d, f) PN_KEY_TIME, FIELD(d, f, uint64_t)
#define MODE(d, f) PN_KEY_MODE, FIELD(d, f, uint64_t)
#define CHOICE(d, f, e) PN_KEY_CHOICE, FIELD(d, f, e)

#define K(n) ((uint64_t)(n) << 10)
#define M(n) ((uint64_t)(n) << 20)
#define G(n) ((uint64_t)(n) << 30)
#define DAYS(n) ((uint64_t)(n) * 86400)
#define ANY UINT64_MAX
#define ID_MAX ((uint64_t)INT64_MAX)

#define D pn_draft_global
static const struct pn_key global_keys[] = {
	{ "state_directory", TEXT(D, config.state_directory), "/var/lib/postern", 1, 4000, NULL,
	    "Where Postern keeps what it learned and counts; a relative name is taken from the "
	    "directory of this file", NULL },
	{ "milter_socket", TEXT(D, config.milter_socket), "unix:/var/spool/postfix/postern/milter.sock",
	    6, 4000, NULL, "Where postern-milter listens for Postfix", NULL },
	{ "map_socket", TEXT(D, config.map_socket), "unix:/var/spool/postfix/postern/map.sock", 6, 4000,
	    NULL, "Where postern-policy answers socketmap questions", NULL },
	{ "policy_socket", TEXT(D, config.policy_socket), "unix:/var/spool/postfix/postern/policy.sock", 0,
	    4000, NULL, "Where postern-policy answers policy requests; \"\" is nowhere", NULL },
	{ "policy_tcp", TEXT(D, config.policy_tcp), "\"\"", 0, 64, NULL,
	    "The same on TCP, on loopback only: 127.0.0.1:PORT or [::1]:PORT; \"\" is nowhere",
	    "\"127.0.0.1:10031\"" },
	{ "socket_group", TEXT(D, config.socket_group), "postfix", 0, 64, NULL,
	    "Group that the sockets are given to; \"\" leaves it alone", NULL },
	{ "socket_mode", MODE(D, config.socket_mode), "0660", 0, 0777, NULL,
	    "Mode of the sockets, octal", NULL },
	{ "hostname", TEXT(D, config.hostname), "\"\"", 0, 255, NULL,
	    "Name in the X-Postern-Stamp header; \"\" is the name of this host", NULL },
	{ "log", CHOICE(D, log, enum pn_log_target), "stderr", 0, 0, "stderr syslog",
	    "Where the log goes; stderr is what a journal reads", NULL },
	{ "debug", BOOL(D, config.log_debug), "no", 0, 0, NULL, "Log each step of each message", NULL },
	{ "max_sessions", NUMBER(D, config.max_sessions), "2000", 1, 100000, NULL,
	    "SMTP sessions served at once; more are told 451", NULL },
	{ "outbound_daemons", LIST(D, config.outbound_daemons), "{\"ORIGINATING\"}", 0, 100, NULL,
	    "Mail from a listener whose milter_macro_daemon_name is one of these is outbound", NULL },
	{ "outbound_networks", LIST(D, networks), "{}", 0, 1000, NULL,
	    "Mail from these networks (CIDR) is outbound; loopback only when it is listed",
	    "{\"192.0.2.0/24\", \"2001:db8::/32\"}" },
	{ "outbound_sendmail", BOOL(D, config.outbound_sendmail), "no", 0, 0, NULL,
	    "Mail handed to sendmail(1) on this host is outbound", NULL },
	{ "relay_daemons", LIST(D, config.relay_daemons), "{}", 0, 100, NULL,
	    "Relays are chosen on listeners with one of these as milter_macro_daemon_name, beside a content "
	    "filter on the one that takes its mail back; empty is wherever mail is outbound", "{\"REINJECT\"}" },
	{ "leaving_transports", LIST(D, config.leaving_transports), "{\"smtp\", \"retry\"}", 0, 100, NULL,
	    "Postfix transports by which outbound mail leaves this host, beside those named postern-*: what goes "
	    "by another stays, and is given no relay", NULL },
	{ "local_domains", LIST(D, config.local_domains), "{\"localhost\"}", 0, 1000, NULL,
	    "Domains of mailboxes on this host that are not ours: for sendmail(1), of whose mail Postfix does not "
	    "say where it goes", "{\"people.example\"}" },
	{ "live_routes", BOOL(D, config.live_routes), "no", 0, 0, NULL,
	    "Where the map route names the same relay, leave it to that map: each retry asks again, and a relay "
	    "of another TLS mode can take over", NULL },
	{ "dmarc", CHOICE(D, config.auth.use, enum pn_dmarc_use), "mark", 0, 0, "off mark enforce",
	    "Verify SPF, DKIM and DMARC of mail that comes in: not at all; tell the results in "
	    "Authentication-Results; and refuse what its domain wants refused", NULL },
	{ "dmarc_quarantine", CHOICE(D, config.auth.quarantine, enum pn_quarantine), "hold", 0, 0,
	    "mark hold refuse", "With dmarc = enforce: what p=quarantine means here", NULL },
	{ "dmarc_method", CHOICE(D, config.auth.mode, enum pn_dmarc_mode), "rfc7489", 0, 0, "rfc7489 rfc9989",
	    "How the organisational domain is found: by the Public Suffix List, or by asking the DNS", NULL },
	{ "dmarc_forwarders", LIST(D, forwarders), "{}", 0, 1000, NULL,
	    "Networks (CIDR) whose mail is exempt from dmarc = enforce, as they forward other people's",
	    "{\"192.0.2.0/24\"}" },
	{ "dmarc_exempt_lists", BOOL(D, config.auth.exempt_lists), "no", 0, 0, NULL,
	    "What mailing lists send (List-Id, List-Post) is exempt from dmarc = enforce: anybody can write such "
	    "a field", NULL },
	{ "authserv_id", TEXT(D, config.auth.authserv_id), "\"\"", 0, 255, NULL,
	    "Name under which results are told; what arrives under it is removed; \"\" is postern.HOSTNAME", NULL },
	{ "trusted_relays", LIST(D, trusted_relays), "{}", 0, 1000, NULL,
	    "Networks (CIDR) of a backup MX or a filtering service in front: who sent a mail is taken from their "
	    "Received field", "{\"192.0.2.25\", \"2001:db8::/32\"}" },
	{ "trust_authserv", LIST(D, config.auth.trust_authserv), "{}", 0, 100, NULL,
	    "Names of earlier filters whose SPF and DKIM results are taken over; they must remove what others "
	    "write under their name", "{\"filter.acme.example\"}" },
	{ "auth_trouble", CHOICE(D, config.auth.trouble, enum pn_auth_trouble), "defer", 0, 0, "hand_over defer",
	    "Mail that must pass DMARC while the DNS does not answer: hand it over, or 451", NULL },
	{ "dkim_min_bits", NUMBER(D, config.auth.dkim_min_bits), "1024", 512, 16384, NULL,
	    "RSA keys below this do not count", NULL },
	{ "dkim_accept_testing", BOOL(D, config.auth.dkim_accept_testing), "no", 0, 0, NULL,
	    "Signatures of a key in testing (t=y) count", NULL },
	{ "public_suffix_list", TEXT(D, config.auth.public_suffix_list), "\"\"", 0, 4000, NULL,
	    "File with the Public Suffix List; \"\" is Debian's", "/usr/share/publicsuffix/public_suffix_list.dafsa" },
	{ "dns_servers", LIST(D, config.auth.dns_servers), "{\"system\"}", 0, 16, NULL,
	    "Resolvers to ask, \"ADDRESS\" or \"ADDRESS@PORT\"; system is those of /etc/resolv.conf, and none asks "
	    "the root servers and those below",
	    "{\"127.0.0.1@53\"}" },
	{ "dns_trust_anchor", TEXT(D, config.auth.dns_trust_anchor), "\"\"", 0, 4000, NULL,
	    "File with the key of the root zone, for DNSSEC; \"\" does not look at it", "/usr/share/dns/root.key" },
	{ "dns_timeout", TIME(D, config.auth.dns_timeout), "5s", 1, 60, NULL, "How long one question may take",
	    NULL },
	{ "dns_budget", TIME(D, config.auth.dns_budget), "10s", 1, 50, NULL,
	    "How long all questions of one mail may take; what is open then is a temporary error", NULL },
	{ "dns_questions", NUMBER(D, config.auth.dns_questions), "100", 10, 10000, NULL,
	    "How many questions one mail may cause", NULL },
	{ "sign_table", TEXT(D, config.sign.signing_table), "\"\"", 0, 4000, NULL,
	    "OpenDKIM's SigningTable: which authors' mail is signed with which keys; with refile: in front, "
	    "authors are patterns; \"\" signs nothing", "\"refile:/etc/postern/signing.table\"" },
	{ "sign_key_table", TEXT(D, config.sign.key_table), "\"\"", 0, 4000, NULL,
	    "OpenDKIM's KeyTable: domain, selector and private key of each name", "/etc/postern/key.table" },
	{ "sign_canonicalization", CHOICE(D, canonicalization, enum pn_canonicalization), "relaxed/relaxed", 0, 0,
	    "relaxed/relaxed relaxed/simple simple/relaxed simple/simple",
	    "How much a mail may change on its way: header and body", NULL },
	{ "sign_all", BOOL(D, config.sign.all), "no", 0, 0, NULL,
	    "Sign with every key that matches, as RSA and Ed25519, not only with the first", NULL },
	{ "sign_check_published", BOOL(D, config.sign.check_published), "yes", 0, 0, NULL,
	    "Do not sign with a key while the DNS has another one in its place", NULL },
	{ "signer_socket", TEXT(D, config.sign.socket), "\"\"", 0, 4000, NULL,
	    "Where postern-signer signs for postern-milter, which then needs no private key; with \"\" postern-milter "
	    "reads the keys itself", "unix:/run/postern/signer.sock" },
	{ "policy_contexts", LIST(D, config.policy_contexts), "{\"submission\"}", 0, 100, NULL,
	    "Policy requests with one of these as policy_context are answered; others are told DUNNO", NULL },
	{ "when_spent", CHOICE(D, config.when_spent, enum pn_when_spent), "queue", 0, 0, "queue refuse",
	    "Mail that no open relay may carry: leave it to Postfix's queue until one opens, or refuse it "
	    "with 450 and the time, for clients that have a queue of their own (Odoo has none)", NULL },
	{ "rewrite", BOOL(D, config.rewrite), "yes", 0, 0, NULL,
	    "A From that no relay may carry is put inside the notification address, as Odoo does; no refuses "
	    "such mail", NULL },
	{ "mass_mailing_headers", LIST(D, config.mass.headers), "{}", 0, 100, NULL,
	    "More marks of mass mailing, \"Name\" or \"Name: value\", beside Odoo's own, which is "
	    "List-Unsubscribe and Precedence in one mail: digests have only the first, out-of-office "
	    "programs only the second",
	    "{\"X-Campaign\", \"Feedback-ID: news\"}" },
	{ "mass_mailing_senders", LIST(D, config.mass.senders), "{}", 0, 10000, NULL,
	    "What these addresses send is mass mailing", "{\"news@acme.example\"}" },
	{ "mail.default.from_filter", TEXT(D, config.default_from_filter), "\"\"", 0, 100000, NULL,
	    "Odoo's parameter: which From may stay when there is no relay at all, comma separated; \"\" is "
	    "any",
	    "acme.example" },
	{ "mail.server.personal.limit.minutes", NUMBER(D, personal.minutes), "30", 0, 1000000, NULL,
	    "Odoo's parameter: recipients of a personal server in one minute of the clock; 0 is 30", NULL },
	{ "mail.server.personal.limit.minutes_outlook", NUMBER(D, personal.minutes_outlook), "10", 0, 1000000,
	    NULL, "Odoo's parameter: the same with preset = microsoft365; 0 is 10", NULL },
	{ "mail.disable_personal_mail_servers", BOOL(D, personal.disabled), "no", 0, 0, NULL,
	    "Odoo's parameter: relays with an owner are not used", NULL },
	{ "mail_log", TEXT(D, config.mail_log), "/var/log/mail.log", 0, 4000, NULL,
	    "Postfix's log, which tells how relays do and which one took a mail: a file, or journal; \"\" "
	    "is not read", NULL },
	{ "probe_interval", TIME(D, config.probe_interval), "5m", 0, DAYS(1), NULL,
	    "How often postern-health connects to each relay to see how it is; it logs in only to try one that was "
	    "down; 0 is never", NULL },
	{ "postfix_user", TEXT(D, config.postfix_user), "postfix", 1, 64, NULL,
	    "User that Postfix asks as: credentials are given to nobody else but root", NULL },
	{ "mixed", CHOICE(D, config.mixed, enum pn_mixed), "hand_over", 0, 0, "hand_over separate",
	    "When a refusal would hit recipients that are not concerned: hand ours to Odoo, or have the "
	    "later kind come back in its own transaction (452 at RCPT)", NULL },
	{ "header_limit", SIZE(D, config.header_limit), "256k", K(64), M(16), NULL,
	    "Bytes of all headers of one message; one with more is handed over unread", NULL },
	{ "recipient_limit", NUMBER(D, config.recipient_limit), "1000", 1, 100000, NULL,
	    "Envelope recipients of ours in one message; more are told 452", NULL },
	{ "thread_lifetime", TIME(D, config.store.thread_lifetime), "400d", 3600, DAYS(36500), NULL,
	    "How long a message is remembered after it was last seen", NULL },
	{ "bounce_lifetime", TIME(D, config.store.bounce_lifetime), "90d", 3600, DAYS(36500), NULL,
	    "How long bounce events are kept", NULL },
	{ "thread_limit", NUMBER(D, config.store.thread_limit), "10000000", 1000, 10000000000, NULL,
	    "Messages remembered over all gateways; the oldest go first", NULL },
	{ "window_limit", NUMBER(D, config.store.window_limit), "1000000", 1000, 1000000000, NULL,
	    "Loop windows kept; the oldest go first", NULL },
	{ "bounce_limit", NUMBER(D, config.store.bounce_limit), "1000000", 1000, 1000000000, NULL,
	    "Bounce events kept; the oldest go first", NULL },
	{ "state_map_size", SIZE(D, config.store.state_map_size), "16G", M(16), G(16384), NULL,
	    "Address space for the state; a file grows only as it is used", NULL },
	{ "directory_map_size", SIZE(D, config.store.directory_map_size), "16G", M(16), G(16384), NULL,
	    "Address space for the directory", NULL },
};
#undef D

#define D pn_draft_gateway
static const struct pn_key gateway_keys[] = {
	{ "target", TEXT(D, target), NULL, 1, 400, NULL,
	    "Where its mail goes: \"redirect to ADDRESS\", \"redirect to DOMAIN\" (same local part), or "
	    "keep (address unchanged, a transport of Postfix takes it from there); never to a domain of ours",
	    "\"redirect to acme.odoo.example\"" },
	{ "bounce_target", TEXT(D, row.bounce_target), "\"\"", 0, 320, NULL,
	    "Address that bounces are redirected to, not in a domain of ours; \"\" derives it from the target",
	    "bounce@acme.odoo.example" },
	{ "complete", BOOL(D, row.complete), "no", 0, 0, NULL,
	    "The aliases listed here are all there are: what is not among them is known not to exist", NULL },
	{ "stale_after", TIME(D, row.stale_after), "1h", 60, DAYS(30), NULL,
	    "How long a synchronised table counts as complete", NULL },
	{ "mail.gateway.loop.minutes", NUMBER(D, row.loop_minutes), "120", 1, 525600, NULL,
	    "Odoo's parameter: the window in which the mails of a sender are counted", NULL },
	{ "mail.gateway.loop.threshold", NUMBER(D, row.loop_threshold), "20", 0, 10000, NULL,
	    "Odoo's parameter: mails of one sender in the window; 0 stops every mail that creates a record",
	    NULL },
	{ "mail.gateway.allowed", LIST(D, row.allowed_senders), "{}", 0, 100000, NULL,
	    "Odoo's list of senders that are never taken for a loop", "{\"monitoring@acme.example\"}" },
	{ "mail.catchall.domain.allowed", LIST(D, allowed_domains), "{}", 0, 10000, NULL,
	    "Odoo's parameter: domains in which the left part alone finds an alias with incoming_local; "
	    "empty is any domain", "{\"acme.example\"}" },
	{ "loop_person", CHOICE(D, row.loop_person, enum pn_loop_answer), "defer", 0, 0,
	    "defer refuse hold discard", "Answer to a loop of mail that a person wrote: 451, 550, accept "
	    "into the hold queue, or accept and throw away", NULL },
	{ "loop_automatic", CHOICE(D, row.loop_automatic, enum pn_loop_answer), "refuse", 0, 0,
	    "defer refuse hold discard", "Answer to a loop of automatic mail", NULL },
	{ "unreadable", CHOICE(D, unreadable, enum pn_conf_unreadable), "hand_over", 0, 0, "hand_over reject",
	    "Mail that Odoo fails on: hand it over, or refuse it with 550 5.6.0", NULL },
	{ "require_dmarc", CHOICE(D, row.require_dmarc, enum pn_require_dmarc), "no", 0, 0, "no contacts all",
	    "Whose mail must pass DMARC: nobody's; mail to aliases that only partners, followers or employees may "
	    "write to; or all", NULL },
	{ "logins", LIST(D, row.logins), "{}", 0, 10000, NULL,
	    "SASL logins whose outbound mail is this gateway's alone: it leaves by no relay of another one, whatever "
	    "its From and its sender say", "{\"odoo-acme\"}" },
	{ "twin_lease", TIME(D, row.twin_lease), "60s", 0, 3600, NULL,
	    "How long the same Message-ID is told to come back later (451) after it was accepted; 0 never",
	    NULL },
};
#undef D

#define D pn_draft_domain
static const struct pn_key domain_keys[] = {
	{ "gateway", TEXT(D, gateway), "\"\"", 0, 64, NULL,
	    "The gateway it belongs to; may be left out where there is only one", "main" },
	{ "bounce_alias", TEXT(D, bounce), "bounce", 1, 64, NULL,
	    "Odoo's bounce alias: the local part that bounces come back to", NULL },
	{ "catchall_alias", TEXT(D, catchall), "catchall", 1, 64, NULL,
	    "Odoo's catchall alias: the local part that replies come back to", NULL },
	{ "default_from", TEXT(D, default_from), "notifications", 0, 320, NULL,
	    "Odoo's default From alias, a local part or an address; \"\" is none", NULL },
	{ "unknown", CHOICE(D, row.unknown, enum pn_unknown_policy), "hand_over", 0, 0,
	    "hand_over pass reject",
	    "Addresses that are none of ours: hand them to Odoo, let Postfix go on (the domain has human "
	    "mailboxes too), or refuse them while the alias table is complete", NULL },
	{ "human", TEXT(D, row.human), "\"\"", 0, 320, NULL,
	    "Address that takes postmaster@ and abuse@ where these are no aliases; not in a domain of ours, "
	    "unless that has unknown = pass", "postmaster@people.example" },
	{ "write_to", TEXT(D, row.write_to), "\"\"", 0, 320, NULL,
	    "Address to name to those who write to the catchall directly; \"\" names human",
	    "sales@acme.example" },
	{ "sequence", NUMBER(D, sequence), "10", 0, INT32_MAX, NULL,
	    "Odoo's order of alias domains, lowest first", NULL },
};
#undef D

#define D pn_draft_alias
static const struct pn_key alias_keys[] = {
	{ "model", TEXT(D, row.alias.model), NULL, 1, 128, NULL, "Model of the records it creates or updates",
	    "crm.lead" },
	{ "contact", CHOICE(D, row.alias.contact, enum pn_contact), "everyone", 0, 0,
	    "everyone partners followers employees", "Who may write to it", NULL },
	{ "force_thread_id", NUMBER(D, row.alias.force_thread_id), "0", 0, ID_MAX, NULL,
	    "Id of the record that all its mail goes to; 0 makes a new one for each", NULL },
	{ "incoming_local", BOOL(D, row.alias.incoming_local), "no", 0, 0, NULL,
	    "The left part alone finds it, whatever the domain", NULL },
	{ "require_dmarc", BOOL(D, row.alias.require_dmarc), "no", 0, 0, NULL,
	    "Only mail that passes DMARC: what it says of its author is proven", NULL },
	{ "parent_model", TEXT(D, row.alias.parent_model), "\"\"", 0, 128, NULL,
	    "Model of the record that owns it, for contact = followers", "project.project" },
	{ "parent_id", NUMBER(D, row.alias.parent_id), "0", 0, ID_MAX, NULL,
	    "Id of the record that owns it; 0 is none", "7" },
	{ "id", NUMBER(D, row.alias.id), "0", 0, ID_MAX, NULL,
	    "Odoo's id of the alias: a rename is then noticed and the old address goes on working", NULL },
	{ "gateway", TEXT(D, row.gateway), "\"\"", 0, 64, NULL,
	    "The gateway it belongs to, for a name without domain; may be left out where there is only one",
	    "main" },
};
#undef D

#define D pn_draft_relay
static const struct pn_key relay_keys[] = {
	{ "gateway", TEXT(D, row.gateway), "\"\"", 0, 64, NULL,
	    "The only gateway whose mail it takes; \"\" is all", "main" },
	{ "preset", CHOICE(D, preset, unsigned), "custom", 0, 0,
	    "custom gmail microsoft365 amazon-ses mailjet mailgun sendgrid",
	    "The provider: gives the keys below that are not set here", "gmail" },
	{ "host", TEXT(D, row.host), "\"\"", 0, 255, NULL,
	    "Name of the server or its IP address; must be set unless the preset gives it",
	    "smtp.gmail.com" },
	{ "port", NUMBER(D, port), "587", 1, 65535, NULL, "Port of the server", NULL },
	{ "security", CHOICE(D, row.security, enum pn_security), "starttls_strict", 0, 0,
	    "none starttls starttls_strict ssl ssl_strict",
	    "Encryption: STARTTLS or TLS from the first byte (ssl), strict with a valid certificate", NULL },
	{ "authentication", CHOICE(D, row.login, enum pn_login), "login", 0, 0, "login certificate oauth",
	    "By user and password, by a certificate of ours, or by user and a token", NULL },
	{ "user", TEXT(D, row.user), "\"\"", 0, 320, NULL, "Who logs in; \"\" is nobody",
	    "odoo@acme.example" },
	{ "password_file", TEXT(D, row.password_file), "\"\"", 0, 4000, NULL,
	    "File with the password of user", "/etc/postern/secrets/gmail" },
	{ "certificate_file", TEXT(D, row.certificate_file), "\"\"", 0, 4000, NULL,
	    "Our certificate and its chain, PEM", "/etc/postern/secrets/client.pem" },
	{ "key_file", TEXT(D, row.key_file), "\"\"", 0, 4000, NULL, "Private key of our certificate, PEM",
	    "/etc/postern/secrets/client.key" },
	{ "ca_file", TEXT(D, row.ca_file), "\"\"", 0, 4000, NULL,
	    "Who may have signed the server's certificate, PEM; \"\" is whom this host trusts",
	    "/etc/postern/relay-ca.pem" },
	{ "from_filter", LIST(D, from_filter), "{\"\"}", 0, 1000, NULL,
	    "Odoo's filter: addresses and domains (without their subdomains) that may be sent from; not set "
	    "is no filter, an empty list is one that nothing passes", "{\"acme.example\"}" },
	{ "priority", NUMBER(D, row.priority), "10", 0, INT32_MAX, NULL,
	    "Odoo's order, lowest first; equal ones as they stand here", NULL },
	{ "active", BOOL(D, row.active), "yes", 0, 0, NULL, "It is used; no is Odoo's archived", NULL },
	{ "mass_mailing", BOOL(D, row.mass_mailing), "no", 0, 0, NULL,
	    "It is for mass mailing, which then leaves by no other", NULL },
	{ "owner", TEXT(D, row.owner), "\"\"", 0, 320, NULL,
	    "SASL login whose personal server it is: only for mail of that login and from the one address in "
	    "from_filter; \"\" is nobody's", NULL },
	{ "sasl_users", LIST(D, row.sasl_users), "{}", 0, 10000, NULL,
	    "Logins whose mail the policy service sends here", "{\"odoo\"}" },
	{ "limits", LIST(D, limits), "{}", 0, 16, NULL,
	    "Recipients at most, N/day, N/hour, N/minute (rolling) and N/message",
	    "{\"500/day\", \"30/minute\", \"100/message\"}" },
	{ "oauth_token_url", TEXT(D, row.oauth_token_url), "\"\"", 0, 2000, NULL,
	    "Where tokens are fetched, for authentication = oauth",
	    "\"https://oauth2.googleapis.com/token\"" },
	{ "oauth_client_id", TEXT(D, row.oauth_client_id), "\"\"", 0, 1000, NULL,
	    "Id that the provider gave this application", "postern.apps.example" },
	{ "oauth_client_secret_file", TEXT(D, row.oauth_client_secret_file), "\"\"", 0, 4000, NULL,
	    "File with the application's secret", "/etc/postern/secrets/client" },
	{ "oauth_refresh_token_file", TEXT(D, row.oauth_refresh_token_file), "\"\"", 0, 4000, NULL,
	    "File with the refresh token; \"\" asks for a token as the application itself",
	    "/etc/postern/secrets/refresh" },
	{ "oauth_scope", TEXT(D, row.oauth_scope), "\"\"", 0, 1000, NULL, "What the token is for",
	    "\"https://mail.google.com/\"" },
};
#undef D

#define D pn_draft_model
static const struct pn_key model_keys[] = {
	{ "label", TEXT(D, row.label), "\"\"", 0, 256, NULL,
	    "Display name in the language the gateway's user has; routes are ordered by it", "\"Ticket\"" },
	{ "accepts_mail", BOOL(D, accepts), "yes", 0, 0, NULL, "Mail can be routed to it at all", NULL },
	{ "creates", BOOL(D, creates), "yes", 0, 0, NULL, "A mail may create a record of it", NULL },
	{ "updates", BOOL(D, updates), "yes", 0, 0, NULL, "A mail may be added to a record of it", NULL },
	{ "primary_email", TEXT(D, row.primary_email), "\"\"", 0, 128, NULL,
	    "Field that senders are counted on; \"\" never takes its mail for a loop", "email_from" },
	{ "blacklist", BOOL(D, row.blacklist), "no", 0, 0, NULL,
	    "It has Odoo's blacklist mixin: senders are counted by equality, not by substring", NULL },
	{ "company", BOOL(D, row.has_company), "no", 0, 0, NULL, "It has a company field", NULL },
};
#undef D

const struct pn_key_table pn_key_tables[PN_KEYS_SECTIONS] = {
	[PN_KEYS_GLOBAL] = { "", "", "", "The whole host", global_keys, PN_COUNT(global_keys), false },
	[PN_KEYS_GATEWAY] = { "gateway", "main", "NAME",
	    "One application behind Postfix, usually one Odoo database", gateway_keys,
	    PN_COUNT(gateway_keys), false },
	[PN_KEYS_DOMAIN] = { "domain", "acme.example", "DOMAIN",
	    "A domain whose mail goes to a gateway: one of Odoo's alias domains", domain_keys,
	    PN_COUNT(domain_keys), false },
	[PN_KEYS_ALIAS] = { "alias", "sales@acme.example", "ADDRESS",
	    "One of Odoo's aliases; many go better into a table in aliases.d/", alias_keys,
	    PN_COUNT(alias_keys), false },
	[PN_KEYS_RELAY] = { "relay", "transactional", "NAME",
	    "A server that outbound mail leaves by: one of Odoo's Outgoing Mail Servers", relay_keys,
	    PN_COUNT(relay_keys), true },
	[PN_KEYS_MODEL] = { "model", "x_helpdesk.ticket", "MODEL",
	    "What mail can do with an Odoo model; those of a standard Odoo 19 are built in and only what a "
	    "section sets is changed. A model that is not listed accepts mail", model_keys,
	    PN_COUNT(model_keys), false },
};

const struct pn_key *
pn_key_find(const struct pn_key_table *table, struct pn_str name)
{
	for (size_t i = 0; i < table->n; i++)
		if (pn_str_eq(name, pn_str_c(table->v[i].name)))
			return &table->v[i];
	return NULL;
}

static const struct pn_key_table *
elsewhere(const struct pn_key_table *table, struct pn_str name)
{
	for (size_t i = 0; i < PN_COUNT(pn_key_tables); i++)
		if (&pn_key_tables[i] != table && pn_key_find(&pn_key_tables[i], name) != NULL)
			return &pn_key_tables[i];
	return NULL;
}

void
pn_key_unknown(const struct pn_key_table *table, struct pn_place place, struct pn_str name,
    struct pn_arena *arena, struct pn_config_report *report)
{
	const struct pn_key_table *other;
	const char *words[64], *nearest;

	if (!pn_report_has_room(report)) {
		pn_report_error(report, place, name, "no such key");
		return;
	}
	assert(table->n <= PN_COUNT(words));
	for (size_t i = 0; i < table->n; i++)
		words[i] = table->v[i].name;
	nearest = pn_nearest(name, words, table->n);
	other = elsewhere(table, name);
	if (other != NULL && *other->section != '\0')
		pn_report_error(report, place, PN_STR_EMPTY,
		    "%s is a key of a %s section; move it into one", pn_show(name, arena), other->section);
	else if (other != NULL)
		pn_report_error(report, place, PN_STR_EMPTY,
		    "%s stands outside sections; move it out of this one", pn_show(name, arena));
	else if (nearest != NULL)
		pn_report_error(report, place, PN_STR_EMPTY, "no such key as %s; did you mean %s?",
		    pn_show(name, arena), nearest);
	else
		pn_report_error(report, place, PN_STR_EMPTY,
		    "no such key as %s; remove it (postern config -d lists all keys)", pn_show(name, arena));
}
