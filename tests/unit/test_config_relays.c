/* Relays in postern.conf: what their keys become, presets, what does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "../../lib/config/load.h"

struct loaded {
	struct pn_config config;
	struct pn_config_report report;
	enum pn_status status;
};

#define HEAD "gateway g { target = keep }\ndomain a.example { default_from = info }\n"

static void
load_text(struct loaded *l, const char *text)
{
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	struct pn_conf_files files = { .n = 0 };
	struct pn_str head = PN_STR(HEAD);

	l->config = (struct pn_config){ .arena = arena };
	pn_config_report_init(&l->report);
	pn_conf_files_add(&files, (struct pn_conf_file){ "head", head, false }, arena);
	pn_conf_files_add(&files, (struct pn_conf_file){ "f", pn_str_c(text), false }, arena);
	l->status = pn_conf_load(files, "/etc/p/f", &l->config, &l->report);
}

static void
done(struct loaded *l)
{
	pn_config_report_done(&l->report);
	pn_arena_free(l->config.arena);
}

#define assert_str(s, text) assert_true(pn_str_eq((s), pn_str_c(text)))

/* -- what is wrong -------------------------------------------------------------------- */

#define HOST "host = r.example "
#define OAUTH HOST "authentication = oauth user = u "
#define OAUTH_URL "oauth_token_url = \"https://t.example/\" "
#define NO_HOST "is no host; write a name like smtp.acme.example, or an IP address without brackets\n"
#define NO_NAME "is no name; use 1 to 32 of a-z, 0-9 and -, and no word like plain, starttls, smtps, redirect " \
	"or wait, which transports have\n"
#define NO_LIMIT "is no limit; write N/day, N/hour, N/minute or N/message\n"
#define NO_URL "f:1: oauth_token_url: is no address to fetch tokens from; write one like " \
	"https://oauth2.googleapis.com/token\n"
#define IN_THE_CLEAR "f:1: security: the password would cross the network in the clear; write starttls_strict " \
	"or ssl_strict\n"
#define NO_ADDRESS "f:1: warning: host: Postfix compares a certificate with names, not with addresses; " \
	"write the name of the host, or security = starttls or ssl\n"
#define ONE_ADDRESS "f:1: from_filter: a personal server sends from one address; write that of its owner and " \
	"nothing else\n"
static const struct {
	const char *name, *text, *report;
} misfits[] = {
	{ "the least", "relay r { " HOST "}", "" },
	{ "no title", "relay { " HOST "}", "f:1: relay: the section needs a name; write relay \"...\" {\n" },
	{ "capitals in the name", "relay \"Mass\" { " HOST "}", "f:1: relay: \"Mass\" " NO_NAME },
	{ "name of a transport", "relay starttls { " HOST "}", "f:1: relay: \"starttls\" " NO_NAME },
	{ "a long name", "relay a23456789012345678901234567890123 { " HOST "}",
	    "f:1: relay: \"a23456789012345678901234567890123\" " NO_NAME },
	{ "two of a name", "relay r { " HOST "}\nrelay r { host = s.example active = no }",
	    "f:2: the relay \"r\" stands in f:1 already; remove one or put both together\n" },
	{ "no host", "relay r { }", "f:1: host: is not set; add a line like: host = smtp.acme.example\n" },
	{ "no host of the region", "relay r { preset = amazon-ses }",
	    "f:1: host: is not set; add a line like: host = email-smtp.REGION.amazonaws.com\n" },
	{ "host with a blank", "relay r { host = \"a b\" }", "f:1: host: \"a b\" " NO_HOST },
	{ "host with a port", "relay r { host = a.example:587 }", "f:1: host: \"a.example:587\" " NO_HOST },
	{ "host in brackets", "relay r { host = \"[192.0.2.1]\" }", "f:1: host: \"[192.0.2.1]\" " NO_HOST },
	{ "host with a comma", "relay r { host = \"a.example,b.example\" }",
	    "f:1: host: \"a.example,b.example\" " NO_HOST },
	{ "IPv4", "relay r { host = 192.0.2.1 security = starttls }", "" },
	{ "IPv6", "relay r { host = \"2001:db8::1\" security = starttls }", "" },
	{ "a certificate for IPv4", "relay r { host = 192.0.2.1 port = 465 security = ssl_strict }",
	    NO_ADDRESS },
	{ "a certificate for IPv6", "relay r { host = \"2001:db8::1\" }", NO_ADDRESS },
	{ "port 0", "relay r { " HOST "port = 0 }", "f:1: port: \"0\" is out of range; it must be 1 to 65535\n" },
	{ "port too high", "relay r { " HOST "port = 65536 }",
	    "f:1: port: \"65536\" is out of range; it must be 1 to 65535\n" },
	{ "465 with STARTTLS", "relay r { " HOST "port = 465 security = starttls }",
	    "f:1: warning: port: 465 is for TLS from the first byte; write security = ssl_strict, or port = 587\n" },
	{ "587 with TLS", "relay r {\n" HOST "security = ssl\n}",
	    "f:1: warning: port: 587 begins without TLS; write security = starttls_strict, or port = 465\n" },
	{ "25 with TLS", "relay r {\n" HOST "\nport = 25 security = ssl_strict\n}",
	    "f:3: warning: port: 25 begins without TLS; write security = starttls_strict, or port = 465\n" },
	{ "other ports are anybody's", "relay r { " HOST "port = 2465 security = ssl }", "" },
	{ "unknown security", "relay r { " HOST "security = tls }", "f:1: security: \"tls\" is not known; write one "
	    "of: none starttls starttls_strict ssl ssl_strict\n" },
	{ "unknown preset", "relay r { " HOST "preset = yahoo }", "f:1: preset: \"yahoo\" is not known; write one of: "
	    "custom gmail microsoft365 amazon-ses mailjet mailgun sendgrid\n" },
	{ "unknown gateway", "relay r { " HOST "gateway = gg }",
	    "f:1: gateway: there is no gateway \"gg\"; did you mean g?\n" },
	{ "user without password", "relay r { " HOST "user = u }", "f:1: user: has no password; add a line like: "
	    "password_file = /etc/postern/secrets/NAME\n" },
	{ "password without user", "relay r { " HOST "password_file = p }",
	    "f:1: password_file: belongs to no user; add user, or remove it\n" },
	{ "colon in the user", "relay r { " HOST "user = \"u:v\" password_file = p }",
	    "f:1: user: has a colon, where Postfix expects the password to begin; use another name\n" },
	{ "password in the clear", "relay r { " HOST "security = none user = u password_file = p }", IN_THE_CLEAR },
	{ "a name that begins like loopback", "relay r { host = 127.evil.example security = none user = u "
	    "password_file = p }", IN_THE_CLEAR },
	{ "in the clear without login", "relay r { " HOST "security = none }", "" },
	{ "in the clear on this host", "relay r { host = 127.0.0.2 security = none user = u password_file = p }\n"
	    "relay s { host = \"::1\" security = none user = u password_file = p }\n"
	    "relay t { host = localhost security = none user = u password_file = p }", "" },
	{ "certificate without key", "relay r { " HOST "authentication = certificate certificate_file = c }",
	    "f:1: certificate_file: certificate_file and key_file belong together; write both or neither\n" },
	{ "key without certificate", "relay r { " HOST "key_file = c }",
	    "f:1: certificate_file: certificate_file and key_file belong together; write both or neither\n" },
	{ "no certificate", "relay r { " HOST "authentication = certificate }",
	    "f:1: authentication: there is no certificate; add certificate_file and key_file\n" },
	{ "certificate without TLS", "relay r { " HOST "authentication = certificate security = none "
	    "certificate_file = c key_file = k }",
	    "f:1: security: a certificate is shown over TLS only; write starttls_strict or ssl_strict\n" },
	{ "oauth", "relay r { " OAUTH OAUTH_URL "oauth_client_id = i oauth_refresh_token_file = t }", "" },
	{ "oauth without anything", "relay r { " HOST "authentication = oauth }",
	    "f:1: authentication: oauth needs a user; add user, the address of the mailbox\n" NO_URL
	    "f:1: oauth_client_id: is not set; write the id that the provider gave this application\n"
	    "f:1: authentication: oauth needs a secret; add oauth_client_secret_file, oauth_refresh_token_file or "
	    "both\n" },
	{ "token in the clear", "relay r { " OAUTH "oauth_token_url = \"http://t.example/\" oauth_client_id = i "
	    "oauth_client_secret_file = s }", NO_URL },
	{ "a host that begins like loopback", "relay r { " OAUTH "oauth_token_url = \"http://127.0.0.1.t.example/\" "
	    "oauth_client_id = i oauth_client_secret_file = s }", NO_URL },
	{ "loopback in the user part", "relay r { " OAUTH "oauth_token_url = \"http://localhost:1@t.example/\" "
	    "oauth_client_id = i oauth_client_secret_file = s }", NO_URL },
	{ "token server on this host", "relay r { " OAUTH "oauth_token_url = \"http://127.0.0.1:1/token\" "
	    "oauth_client_id = i oauth_client_secret_file = s }", "" },
	{ "oauth in the clear", "relay r { " OAUTH OAUTH_URL "security = none oauth_client_id = i "
	    "oauth_client_secret_file = s }", IN_THE_CLEAR },
	{ "filters that never match", "relay r { " HOST
	    "from_filter = {\"@acme.example\", \"*.b.example, x y\", \"a@\", \"Ann <a@b.example>\", b.example} }",
	    "f:1: warning: from_filter: \"@acme.example\" never matches; leave the @ out to name a domain\n"
	    "f:1: warning: from_filter: \"*.b.example\" never matches; there are no wildcards, name each domain or "
	    "address\n"
	    "f:1: warning: from_filter: \"x y\" never matches; write a domain like acme.example\n"
	    "f:1: warning: from_filter: \"a@\" never matches; write one address, local@domain\n" },
	{ "limits", "relay r { " HOST "limits = {\"0/day\", \"5/week\", \"5\", \"/day\", \"-1/day\", \"1/\", "
	    "\"99999999999/day\"} }",
	    "f:1: limits: \"0/day\" " NO_LIMIT "f:1: limits: \"5/week\" " NO_LIMIT "f:1: limits: \"5\" " NO_LIMIT
	    "f:1: limits: \"/day\" " NO_LIMIT "f:1: limits: \"-1/day\" " NO_LIMIT "f:1: limits: \"1/\" " NO_LIMIT
	    "f:1: limits: \"99999999999/day\" " NO_LIMIT },
	{ "two limits of a unit", "relay r { " HOST "limits = {\"1/day\", \"2 / DAY\"} }",
	    "f:1: limits: \"2 / DAY\" is the second limit of its unit; remove one\n" },
	{ "personal without filter", "relay r { " HOST "owner = ann }", ONE_ADDRESS },
	{ "personal for a domain", "relay r { " HOST "owner = ann from_filter = {b.example} }", ONE_ADDRESS },
	{ "personal for two", "relay r { " HOST "owner = ann from_filter = {a@b.example, c@b.example} }", ONE_ADDRESS },
	{ "personal as default_from", "relay r { " HOST "owner = ann from_filter = {Info@A.example} }",
	    "f:1: from_filter: \"info@a.example\" is the default_from of a domain, which no personal server may send "
	    "from; remove the owner, or give the domain another default_from\n" },
	{ "two of an owner", "relay r { " HOST "owner = ann from_filter = {a@b.example} }\n"
	    "relay s { host = s.example\nowner = ann from_filter = {b@b.example} }",
	    "f:3: the personal server of \"ann\" stands in f:1 already; remove one or put both together\n" },
	{ "one of them archived", "relay r { " HOST "owner = ann from_filter = {a@b.example} active = no }\n"
	    "relay s { host = s.example\nowner = ann from_filter = {b@b.example} }", "" },
	{ "a key of another section", "relay r { " HOST "target = keep }",
	    "f:1: \"target\" is a key of a gateway section; move it into one\n" },
};

static void
test_misfits(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(misfits); i++) {
		struct loaded l;

		load_text(&l, misfits[i].text);
		if (strcmp(misfits[i].report, pn_buf_c(&l.report.text)) != 0)
			fail_msg("%s:\n%s", misfits[i].name, pn_buf_c(&l.report.text));
		assert_int_equal(l.status, l.report.errors == 0 ? PN_OK : PN_INVALID);
		done(&l);
	}
}

/* -- what the keys become --------------------------------------------------------------- */

static struct pn_relay
only_relay(struct loaded *l, const char *text)
{
	load_text(l, text);
	if (l->report.text.n > 0)
		fail_msg("%s:\n%s", text, pn_buf_c(&l->report.text));
	assert_int_equal(l->config.relays.n, 1);
	return l->config.relays.v[0];
}

static void
test_defaults(void **state)
{
	struct loaded l;
	struct pn_relay r = only_relay(&l, "relay r { host = \"B\xc3\xbcro.Example.\" }");

	(void)state;
	assert_str(r.name, "r");
	assert_str(r.host, "xn--bro-hoa.example");
	assert_int_equal(r.port, 587);
	assert_int_equal(r.security, PN_SECURITY_STARTTLS_STRICT);
	assert_int_equal(r.login, PN_LOGIN_PASSWORD);
	assert_int_equal(r.priority, 10);
	assert_true(r.active);
	assert_false(r.mass_mailing || r.own_transport);
	assert_int_equal(r.gateway.n + r.user.n + r.password_file.n + r.certificate_file.n + r.key_file.n +
	    r.ca_file.n + r.from_filter.n + r.owner.n + r.sasl_users.n + r.limit_count, 0);
	done(&l);
}

static void
test_all_keys(void **state)
{
	struct loaded l;
	struct pn_relay r = only_relay(&l, "relay r {\ngateway = g host = r.example port = 2525 security = starttls\n"
	    "authentication = certificate user = u password_file = secrets/p\n"
	    "certificate_file = /c key_file = k ca_file = ca from_filter = {a.example, \"B <b@c.example>\"}\n"
	    "priority = 3 active = no mass_mailing = yes sasl_users = {u, v}\n"
	    "oauth_token_url = \"https://t/\" oauth_client_id = i oauth_client_secret_file = s\n"
	    "oauth_refresh_token_file = t oauth_scope = o }");

	(void)state;
	assert_str(r.gateway, "g");
	assert_int_equal(r.port, 2525);
	assert_int_equal(r.security, PN_SECURITY_STARTTLS);
	assert_int_equal(r.login, PN_LOGIN_CERTIFICATE);
	assert_str(r.user, "u");
	assert_str(r.password_file, "/etc/p/secrets/p");
	assert_str(r.certificate_file, "/c");
	assert_str(r.key_file, "/etc/p/k");
	assert_str(r.ca_file, "/etc/p/ca");
	assert_str(r.from_filter, "a.example,B <b@c.example>");
	assert_int_equal(r.priority, 3);
	assert_false(r.active);
	assert_true(r.mass_mailing);
	assert_int_equal(r.sasl_users.n, 2);
	assert_str(r.oauth_token_url, "https://t/");
	assert_str(r.oauth_client_id, "i");
	assert_str(r.oauth_client_secret_file, "/etc/p/s");
	assert_str(r.oauth_refresh_token_file, "/etc/p/t");
	assert_str(r.oauth_scope, "o");
	done(&l);
}

/* Odoo rule 12: no filter takes everything, one without entries nothing. */
static void
test_filters(void **state)
{
	static const struct { const char *key, *filter; } rows[] = {
		{ "", "" },
		{ "from_filter = \"\"", "" },
		{ "from_filter = {}", "," },
		{ "from_filter = \"  \"", "," },
		{ "from_filter = \",\"", "," },
		{ "from_filter = {\"\", \"\"}", "," },
		{ "from_filter = a.example", "a.example" },
		{ "from_filter = \"a.example, b@c.example\"", "a.example, b@c.example" },
		{ "from_filter = {\" \", a.example}", " ,a.example" },
		{ "from_filter = {a.example} from_filter += {b.example}", "a.example,b.example" },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_relay r;
		struct loaded l;
		char text[200];

		(void)snprintf(text, sizeof(text), "relay r { " HOST "%s }", rows[i].key);
		r = only_relay(&l, text);
		if (!pn_str_eq(r.from_filter, pn_str_c(rows[i].filter)))
			fail_msg("%s: " PN_STR_FMT, rows[i].key, PN_STR_ARG(r.from_filter));
		done(&l);
	}
}

/* "500/86400000 ..."; a limit of the clock has a c. */
static void
show_limits(const struct pn_relay *r, struct pn_buf *out)
{
	for (size_t i = 0; i < r->limit_count; i++)
		pn_buf_addf(out, "%s%llu/%llu%s", i > 0 ? " " : "", (unsigned long long)r->limits[i].most,
		    (unsigned long long)r->limits[i].window_ms, r->limits[i].clock ? "c" : "");
}

#define OUTLOOK "preset = microsoft365 authentication = login "
#define PERSONAL "owner = ann from_filter = {x@b.example} "
static const struct {
	const char *globals, *keys, *limits;
} limits[] = {
	{ "", HOST, "" },
	{ "", HOST "limits = {\"500/day\", \" 30 / Minute \", \"7/HOUR\", 100/message}",
	    "500/86400000 30/60000 7/3600000 100/0" },
	{ "", HOST "limits = \"500/day, 30/minute\"", "500/86400000 30/60000" },
	{ "", "preset = gmail", "500/86400000 100/0" },
	{ "", "preset = gmail limits = {\"2000/day\"}", "2000/86400000" },
	{ "", "preset = gmail limits += {\"9/minute\"}", "500/86400000 100/0 9/60000" },
	{ "", "preset = gmail limits = {}", "" },
	{ "", HOST PERSONAL, "30/60000c" },
	{ "", HOST PERSONAL "limits = {\"5/minute\", 9/day}", "5/60000c 9/86400000" },
	{ "", HOST PERSONAL "limits = {\"50/minute\", 9/day, 8/hour, 7/message}",
	    "30/60000c 9/86400000 8/3600000 7/0" },
	{ "", "preset = gmail " PERSONAL, "500/86400000 100/0 30/60000c" },
	{ "", OUTLOOK PERSONAL, "10000/86400000 10/60000c 500/0" },
	{ "mail.server.personal.limit.minutes = 12", HOST PERSONAL, "12/60000c" },
	{ "mail.server.personal.limit.minutes = 0", HOST PERSONAL, "30/60000c" },
	{ "mail.server.personal.limit.minutes = 12", OUTLOOK "limits = {} " PERSONAL,
	    "10/60000c" },
	{ "mail.server.personal.limit.minutes_outlook = 20",
	    OUTLOOK "limits = {} " PERSONAL, "20/60000c" },
	{ "mail.server.personal.limit.minutes_outlook = 0",
	    OUTLOOK "limits = {} " PERSONAL, "10/60000c" },
};

static void
test_limits(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(limits); i++) {
		struct pn_relay r;
		struct pn_buf shown;
		struct loaded l;
		char text[400];

		(void)snprintf(text, sizeof(text), "%s\nrelay r { %s }", limits[i].globals, limits[i].keys);
		r = only_relay(&l, text);
		pn_buf_init(&shown, 1000);
		show_limits(&r, &shown);
		if (strcmp(pn_buf_c(&shown), limits[i].limits) != 0)
			fail_msg("%s: %s", limits[i].keys, pn_buf_c(&shown));
		pn_buf_done(&shown);
		done(&l);
	}
}

/* -- presets ------------------------------------------------------------------------------ */

/* Each preset by its name: the words of the key stand in the order of the table. */
static void
test_presets(void **state)
{
	(void)state;
	for (size_t i = 0; i < pn_preset_count; i++) {
		const struct pn_preset *p = &pn_presets[i];
		struct pn_relay r;
		struct loaded l;
		char text[400];

		(void)snprintf(text, sizeof(text), "relay r { %s user = u password_file = p preset = %s " OAUTH_URL
		    "oauth_client_id = i oauth_client_secret_file = s }", p->own_host ? HOST : "", p->name);
		r = only_relay(&l, text);
		assert_str(r.host, p->own_host ? "r.example" : p->host);
		assert_int_equal(r.port, atoi(p->port));
		assert_int_equal(r.security, PN_SECURITY_STARTTLS_STRICT);
		assert_int_equal(r.login, strcmp(p->name, "microsoft365") == 0 ? PN_LOGIN_OAUTH : PN_LOGIN_PASSWORD);
		assert_int_equal(r.limit_count > 0, *p->limits != '\0');
		assert_int_equal(r.dates_change, strcmp(p->name, "amazon-ses") == 0);
		assert_true(strlen(p->login) > 0);
		done(&l);
	}
	assert_int_equal(pn_preset_count, 7);
}

/* What Amazon SES does to a mail does not depend on the preset. */
static void
test_dates(void **state)
{
	static const struct { const char *host; bool change; } hosts[] = {
		{ "email-smtp.us-east-1.amazonaws.com", true }, { "Email-SMTP.eu-west-1.AmazonAWS.com", true },
		{ "r.example", false }, { "notamazonaws.com", false },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(hosts); i++) {
		struct loaded l;
		char text[200];

		(void)snprintf(text, sizeof(text), "relay r { host = %s }", hosts[i].host);
		assert_int_equal(only_relay(&l, text).dates_change, hosts[i].change);
		done(&l);
	}
}

/* What the relay sets counts, wherever preset stands. */
static void
test_preset_gives_way(void **state)
{
	struct loaded l;
	struct pn_relay r = only_relay(&l, "relay r { port = 2465 security = ssl host = eu.example preset = gmail }");

	(void)state;
	assert_str(r.host, "eu.example");
	assert_int_equal(r.port, 2465);
	assert_int_equal(r.security, PN_SECURITY_SSL);
	done(&l);
}

/* -- the table ------------------------------------------------------------------------------ */

static void
test_order(void **state)
{
	static const char *const wanted[] = { "c", "a", "d", "b" };
	struct loaded l;

	(void)state;
	load_text(&l, "relay a { host = a.example }\nrelay b { host = b.example priority = 20 }\n"
	    "relay c { host = c.example priority = 0 }\nrelay d { host = d.example }");
	assert_int_equal(l.config.relays.n, PN_COUNT(wanted));
	for (size_t i = 0; i < PN_COUNT(wanted); i++) {
		assert_str(l.config.relays.v[i].name, wanted[i]);
		assert_int_equal(l.config.relays.v[i].index, i);
	}
	done(&l);
}

static void
test_shared_addresses(void **state)
{
	struct loaded l;

	(void)state;
	load_text(&l, "relay a { host = X.example }\nrelay b { host = x.example priority = 1 }\n"
	    "relay c { host = x.example port = 25 }\nrelay d { host = x.example active = no }\n"
	    "relay e { host = e.example }\nrelay f { host = e.example active = no }");
	assert_int_equal(l.status, PN_OK);
	for (size_t i = 0; i < l.config.relays.n; i++) {
		const struct pn_relay *r = &l.config.relays.v[i];

		assert_int_equal(r->own_transport, r->name.p[0] == 'a' || r->name.p[0] == 'b');
	}
	done(&l);
}

static void
test_personal_disabled(void **state)
{
	struct loaded l;

	(void)state;
	(void)only_relay(&l, "relay r { " HOST PERSONAL "}");
	assert_true(l.config.personal_relays);
	done(&l);
	(void)only_relay(&l, "mail.disable_personal_mail_servers = yes\nrelay r { " HOST PERSONAL "}");
	assert_false(l.config.personal_relays);
	done(&l);
}

static void
test_too_many(void **state)
{
	struct pn_buf text;
	struct loaded l;

	(void)state;
	pn_buf_init(&text, 1 << 20);
	for (int i = 0; i < PN_RELAYS_MAX; i++)
		pn_buf_addf(&text, "relay r%d { host = x.example }\n", i);
	load_text(&l, pn_buf_c(&text));
	assert_int_equal(l.status, PN_OK);
	assert_int_equal(l.config.relays.n, PN_RELAYS_MAX);
	done(&l);
	pn_buf_add_c(&text, "relay one-more { host = x.example }\n");
	load_text(&l, pn_buf_c(&text));
	assert_int_equal(l.status, PN_INVALID);
	assert_string_equal(pn_buf_c(&l.report.text),
	    "/etc/p/f: relay: 257 relays are too many; at most 256 fit on a host\n");
	assert_int_equal(l.config.relays.n, PN_RELAYS_MAX);
	done(&l);
	pn_buf_done(&text);
}

/* A megabyte of the same in one key costs little. */
static void
test_hostile(void **state)
{
	static const struct { const char *name, *before, *again, *after; } rows[] = {
		{ "entries of a filter", "from_filter = \"", "@x,", "\"" },
		{ "domains of a filter", "from_filter = \"", "a.example,", "\"" },
		{ "a long entry", "from_filter = \"", "a@", "\"" },
		{ "limits", "limits = \"", "1/day,", "\"" },
		{ "presets", "", "preset=gmail\n", "" },
		{ "appended limits", "", "limits += {\"1/day\"}\n", "" },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct timespec from, to;
		struct pn_buf text;
		struct loaded l;

		pn_buf_init(&text, 4 << 20);
		pn_buf_addf(&text, "relay r { " HOST "%s", rows[i].before);
		while (text.n < 1 << 20)
			pn_buf_add_c(&text, rows[i].again);
		pn_buf_addf(&text, "%s }", rows[i].after);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
		load_text(&l, pn_buf_c(&text));
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
		if (to.tv_sec - from.tv_sec > 5)
			fail_msg("%s: takes %ld s", rows[i].name, (long)(to.tv_sec - from.tv_sec));
		assert_true(l.report.text.n < 128 * 1024);
		done(&l);
		pn_buf_done(&text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_misfits),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all_keys),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_presets),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_preset_gives_way),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_shared_addresses),
		cmocka_unit_test(test_personal_disabled),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
