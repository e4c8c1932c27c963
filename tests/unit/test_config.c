/* From the text of postern.conf and of alias tables to a checked configuration. */
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

/* table NULL: none. */
static void
load_text(struct loaded *l, struct pn_str text, struct pn_str table)
{
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	struct pn_conf_files files = { .n = 0 };

	l->config = (struct pn_config){ .arena = arena };
	pn_config_report_init(&l->report);
	pn_conf_files_add(&files, (struct pn_conf_file){ "f", text, false }, arena);
	if (table.p != NULL)
		pn_conf_files_add(&files, (struct pn_conf_file){ "t", table, true }, arena);
	l->status = pn_conf_load(files, "f", &l->config, &l->report);
}

static void
done(struct loaded *l)
{
	pn_config_report_done(&l->report);
	pn_arena_free(l->config.arena);
}

static const struct pn_str no_table = { NULL, 0 };

#define assert_str(s, text) assert_true(pn_str_eq((s), pn_str_c(text)))

/* -- numbers, times, choices ----------------------------------------------------- */

#define LOOPBACK "is no address of loopback; write 127.0.0.1:PORT or [::1]:PORT\n"
static const struct {
	const char *text;
	size_t offset;
	uint64_t value;
	const char *report;	/* NULL: good */
} values[] = {
#define G(f) offsetof(struct pn_config, f)
	{ "max_sessions = 1", G(max_sessions), 1, NULL },
	{ "max_sessions = 100000", G(max_sessions), 100000, NULL },
	{ "max_sessions = 0", 0, 0, "f:1: max_sessions: \"0\" is out of range; it must be 1 to 100000\n" },
	{ "max_sessions = -1", 0, 0, "f:1: max_sessions: \"-1\" is not a number; write digits\n" },
	{ "max_sessions = 1k", 0, 0, "f:1: max_sessions: \"1k\" is not a number; write digits\n" },
	{ "max_sessions = \"\"", 0, 0, "f:1: max_sessions: \"\" is not a number; write digits\n" },
	{ "max_sessions = 18446744073709551617", 0, 0,
	    "f:1: max_sessions: \"18446744073709551617\" is not a number; write digits\n" },
	{ "header_limit = 65536", G(header_limit), 65536, NULL },
	{ "header_limit = 64k", G(header_limit), 65536, NULL },
	{ "header_limit = 64K", G(header_limit), 65536, NULL },
	{ "header_limit = 16M", G(header_limit), 16 << 20, NULL },
	{ "header_limit = 63k", 0, 0, "f:1: header_limit: \"63k\" is out of range; it must be 64k to 16M\n" },
	{ "header_limit = 17M", 0, 0, "f:1: header_limit: \"17M\" is out of range; it must be 64k to 16M\n" },
	{ "header_limit = 1X", 0, 0,
	    "f:1: header_limit: \"1X\" is not a number; write bytes, or with k, M or G behind it\n" },
	{ "header_limit = 99999999999999999G", 0, 0,
	    "f:1: header_limit: \"99999999999999999G\" is not a number; write bytes, or with k, M or G behind it\n" },
	{ "thread_lifetime = 3600", G(store.thread_lifetime), 3600, NULL },
	{ "thread_lifetime = 7200s", G(store.thread_lifetime), 7200, NULL },
	{ "thread_lifetime = 90m", G(store.thread_lifetime), 5400, NULL },
	{ "thread_lifetime = 2h", G(store.thread_lifetime), 7200, NULL },
	{ "thread_lifetime = 3d", G(store.thread_lifetime), 3 * 86400, NULL },
	{ "thread_lifetime = 2w", G(store.thread_lifetime), 14 * 86400, NULL },
	{ "thread_lifetime = 2W", 0, 0,
	    "f:1: thread_lifetime: \"2W\" is not a number; write seconds, or with s, m, h, d or w behind it\n" },
	{ "thread_lifetime = 1m", 0, 0,
	    "f:1: thread_lifetime: \"1m\" is out of range; it must be 1h to 36500d\n" },
	{ "socket_mode = 0666", G(socket_mode), 0666, NULL },
	{ "socket_mode = 600", G(socket_mode), 0600, NULL },
	{ "socket_mode = 0678", 0, 0,
	    "f:1: socket_mode: \"0678\" is not a number; write octal digits like 0660\n" },
	{ "socket_mode = 1777", 0, 0, "f:1: socket_mode: \"1777\" is out of range; it must be 0000 to 0777\n" },
	{ "max_sessions = {1}", 0, 0, "f:1: max_sessions: takes one value, not a list; remove the braces\n" },
	{ "max_sessions += 1", 0, 0, "f:1: max_sessions: takes one value; write = instead of +=\n" },
	{ "debug = maybe", 0, 0, "f:1: debug: \"maybe\" is neither; write yes or no\n" },
	{ "mixed = both", 0, 0, "f:1: mixed: \"both\" is not known; write one of: hand_over separate\n" },
	{ "state_directory = \"\"", 0, 0, "f:1: state_directory: is empty; it needs a value\n" },
	{ "hostname = \"a b\"", 0, 0,
	    "f:1: hostname: \"a b\" is no host name; write one like mail.acme.example\n" },
	{ "milter_socket = inet:8891@localhost", 0, 0,
	    "f:1: milter_socket: \"inet:8891@localhost\" is not a socket; write unix:/path\n" },
	{ "map_socket = unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789", 0, 0,
	    "f:1: map_socket: the path has 111 bytes; a socket's may have 107, use a shorter one\n" },
	{ "outbound_networks = {1.2.3.4/33}", 0, 0, "f:1: outbound_networks: \"1.2.3.4/33\" has a prefix that "
	    "cannot be; write 0 to 32 for IPv4, 0 to 128 for IPv6\n" },
	{ "outbound_networks = {1.2.3.4/8}", 0, 0, "f:1: outbound_networks: \"1.2.3.4/8\" has bits set behind "
	    "its prefix; set them to 0 or write a longer prefix\n" },
	{ "outbound_networks = {localhost}", 0, 0, "f:1: outbound_networks: \"localhost\" is no network; write "
	    "one like 192.0.2.0/24 or 2001:db8::/32\n" },
	{ "max_session = 1", 0, 0, "f:1: no such key as \"max_session\"; did you mean max_sessions?\n" },
	{ "colour = red", 0, 0,
	    "f:1: no such key as \"colour\"; remove it (postern config -d lists all keys)\n" },
	{ "twin_lease = 60", 0, 0, "f:1: \"twin_lease\" is a key of a gateway section; move it into one\n" },
	{ "server \"x\" { }", 0, 0,
	    "f:1: there is no section \"server\"; use gateway, domain, alias, relay or model\n" },
	{ "policy_socket = inet:1@127.0.0.1", 0, 0,
	    "f:1: policy_socket: \"inet:1@127.0.0.1\" is not a socket; write unix:/path\n" },
	{ "policy_tcp = 192.0.2.1:10031", 0, 0, "f:1: policy_tcp: \"192.0.2.1:10031\" " LOOPBACK },
	{ "policy_tcp = 0.0.0.0:10031", 0, 0, "f:1: policy_tcp: \"0.0.0.0:10031\" " LOOPBACK },
	{ "policy_tcp = 127.0.0.1", 0, 0, "f:1: policy_tcp: \"127.0.0.1\" " LOOPBACK },
	{ "policy_tcp = 127.0.0.1:0", 0, 0, "f:1: policy_tcp: \"127.0.0.1:0\" " LOOPBACK },
	{ "policy_tcp = 127.0.0.1:65536", 0, 0, "f:1: policy_tcp: \"127.0.0.1:65536\" " LOOPBACK },
	{ "policy_tcp = ::1:10031", 0, 0, "f:1: policy_tcp: \"::1:10031\" " LOOPBACK },
	{ "policy_tcp = \"[::1]:65535\"", G(policy_tcp.n), 11, NULL },
	{ "policy_tcp = 127.0.0.1:1", G(policy_tcp.n), 11, NULL },
	{ "when_spent = wait", 0, 0, "f:1: when_spent: \"wait\" is not known; write one of: queue refuse\n" },
	{ "mass_mailing_senders = {a@b.example, news}", 0, 0,
	    "f:1: mass_mailing_senders: \"news\" is not one address; write local@domain\n" },
	{ "mail.default.from_filter = \"a.example, @b.example\"", 0, 0, "f:1: warning: "
	    "mail.default.from_filter: \"@b.example\" never matches; leave the @ out to name a domain\n" },
	{ "domian \"x\" { }", 0, 0, "f:1: there is no section \"domian\"; did you mean domain?\n" },
	{ "model { }", 0, 0, "f:1: model: the section needs a name; write model \"...\" {\n" },
};

static void
test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(values); i++) {
		struct pn_buf text;
		struct loaded l;
		uint64_t value;

		pn_buf_init(&text, 1000);
		pn_buf_addf(&text, "%s\ngateway g { target = keep }\ndomain a.example {}\n", values[i].text);
		load_text(&l, pn_buf_str(&text), no_table);
		if (strcmp(values[i].report == NULL ? "" : values[i].report, pn_buf_c(&l.report.text)) != 0)
			fail_msg("%s: %s", values[i].text, pn_buf_c(&l.report.text));
		assert_int_equal(l.status, l.report.errors == 0 ? PN_OK : PN_INVALID);
		memcpy(&value, (const char *)&l.config + values[i].offset, sizeof(value));
		if (values[i].report == NULL && value != values[i].value)
			fail_msg("%s: %llu", values[i].text, (unsigned long long)value);
		done(&l);
		pn_buf_done(&text);
	}
}

static void
test_defaults(void **state)
{
	struct loaded l;
	const struct pn_config *c = &l.config;

	(void)state;
	load_text(&l, PN_STR_EMPTY, no_table);
	assert_int_equal(l.status, PN_OK);
	assert_int_equal(l.report.warnings, 1);		/* no gateway */
	assert_str(c->state_directory, "/var/lib/postern");
	assert_string_equal(c->store.path, "/var/lib/postern");
	assert_str(c->milter_socket, "unix:/var/spool/postfix/postern/milter.sock");
	assert_str(c->map_socket, "unix:/var/spool/postfix/postern/map.sock");
	assert_str(c->socket_group, "postfix");
	assert_int_equal(c->socket_mode, 0660);
	assert_true(c->hostname.n > 0);
	assert_false(c->log_syslog || c->log_debug || c->outbound_sendmail || c->store.read_only);
	assert_int_equal(c->max_sessions, 2000);
	assert_int_equal(c->outbound_daemons.n, 1);
	assert_str(c->outbound_daemons.v[0], "ORIGINATING");
	assert_int_equal(c->outbound_networks.n, 0);
	assert_str(c->policy_socket, "unix:/var/spool/postfix/postern/policy.sock");
	assert_int_equal(c->policy_tcp.n + c->default_from_filter.n + c->relays.n, 0);
	assert_int_equal(c->policy_contexts.n, 1);
	assert_str(c->policy_contexts.v[0], "submission");
	assert_int_equal(c->when_spent, PN_WHEN_SPENT_QUEUE);
	assert_true(c->rewrite && c->personal_relays);
	assert_int_equal(c->mass.headers.n + c->mass.senders.n, 0);
	assert_str(c->mail_log, "/var/log/mail.log");
	assert_str(c->postfix_user, "postfix");
	assert_int_equal(c->mixed, PN_MIXED_HAND_OVER);
	assert_int_equal(c->header_limit, 256 << 10);
	assert_int_equal(c->recipient_limit, 1000);
	assert_int_equal(c->store.thread_lifetime, 400 * 86400);
	assert_int_equal(c->store.bounce_lifetime, 90 * 86400);
	assert_int_equal(c->store.thread_limit, 10000000);
	assert_int_equal(c->store.window_limit, 1000000);
	assert_int_equal(c->store.bounce_limit, 1000000);
	assert_true(c->store.state_map_size == (uint64_t)16 << 30);
	assert_true(c->store.directory_map_size == (uint64_t)16 << 30);
	assert_int_equal(c->directory.models.n, pn_models_odoo19.n);
	done(&l);
}

static void
test_gateway_defaults(void **state)
{
	struct loaded l;
	const struct pn_gateway *g;
	const struct pn_domain *d;

	(void)state;
	load_text(&l, PN_STR("gateway g { target = keep }\ndomain a.example {}"), no_table);
	assert_string_equal(pn_buf_c(&l.report.text), "");
	g = &l.config.directory.gateways[0];
	assert_int_equal(g->target, PN_TARGET_KEEP);
	assert_int_equal(g->bounce_target.n + g->target_value.n, 0);
	assert_false(g->complete || g->unreadable_reject);
	assert_int_equal(g->stale_after, 3600);
	assert_int_equal(g->loop_minutes, 120);
	assert_int_equal(g->loop_threshold, 20);
	assert_int_equal(g->loop_person, PN_LOOP_DEFER);
	assert_int_equal(g->loop_automatic, PN_LOOP_REFUSE);
	assert_int_equal(g->twin_lease, 60);
	assert_int_equal(g->allowed_senders.n + g->allowed_domains.n, 0);
	assert_int_equal(g->domain_count, 1);
	d = &g->domains[0];
	assert_ptr_equal(d->gateway, g);
	assert_str(d->bounce, "bounce@a.example");
	assert_str(d->catchall, "catchall@a.example");
	assert_str(d->default_from, "notifications@a.example");
	assert_int_equal(d->unknown, PN_UNKNOWN_HAND_OVER);
	assert_int_equal(d->human.n, 0);
	done(&l);
}

/* -- a whole configuration ---------------------------------------------------------- */

static const struct pn_alias_row *
alias_of(const struct pn_config *c, const char *full)
{
	for (size_t i = 0; i < c->alias_count; i++)
		if (pn_str_eq(c->aliases[i].alias.full, pn_str_c(full)))
			return &c->aliases[i];
	fail_msg("no alias %s", full);
	return NULL;
}

static void
check_global(const struct pn_config *c)
{
	static const unsigned char in[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 200 };
	static const unsigned char out[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1 };

	assert_str(c->state_directory, "tests/data/config/state");
	assert_str(c->milter_socket, "unix:tests/data/config/run/milter.sock");
	assert_true(c->log_syslog && c->log_debug);
	assert_int_equal(c->mixed, PN_MIXED_SEPARATE);
	assert_int_equal(c->outbound_networks.n, 3);
	assert_true(pn_networks_have(c->outbound_networks, in));
	assert_false(pn_networks_have(c->outbound_networks, out));
}

static void
check_gateways(const struct pn_directory *d)
{
	const struct pn_gateway *g = pn_directory_gateway(d, PN_STR("online"));

	assert_int_equal(d->gateway_count, 2);
	assert_int_equal(g->index, 0);
	assert_int_equal(g->target, PN_TARGET_DOMAIN);
	assert_str(g->target_value, "acme.odoo.example");
	assert_str(g->bounce_target, "bounce@acme.odoo.example");
	assert_true(g->complete && g->unreadable_reject);
	assert_int_equal(g->loop_minutes, 60);
	assert_int_equal(g->loop_threshold, 5);
	assert_int_equal(g->loop_person, PN_LOOP_HOLD);
	assert_int_equal(g->twin_lease, 120);
	assert_int_equal(g->allowed_senders.n, 1);
	assert_str(g->allowed_senders.v[0], "mon@acme.example");
	assert_int_equal(g->allowed_domains.n, 2);
	assert_str(g->allowed_domains.v[0], "acme.example");
	assert_str(g->allowed_domains.v[1], "other.example");
	/* by sequence, not by place in the file */
	assert_int_equal(g->domain_count, 2);
	assert_str(g->domains[0].name, "acme.example");
	assert_str(g->domains[1].name, "beta.example");
	assert_int_equal(pn_directory_gateway(d, PN_STR("onpremise"))->target, PN_TARGET_KEEP);
}

static void
check_domains(const struct pn_directory *d)
{
	const struct pn_domain *beta = pn_directory_domain(d, PN_STR("beta.example"));
	const struct pn_domain *idn = pn_directory_domain(d, PN_STR("xn--bro-hoa.example"));

	assert_int_equal(d->domain_count, 3);
	assert_str(beta->bounce, "bounce@beta.example");
	assert_str(beta->catchall, "all@beta.example");
	assert_str(beta->default_from, "hello@other.example");
	assert_str(idn->name, "b\xc3\xbcro.example");
	assert_int_equal(idn->default_from.n, 0);
	assert_str(idn->gateway->name, "onpremise");
	assert_int_equal(pn_directory_domain(d, PN_STR("acme.example"))->unknown, PN_UNKNOWN_PASS);
}

static void
check_models(const struct pn_models *models)
{
	const struct pn_model *ticket = pn_model_find(models, PN_STR("x_helpdesk.ticket"));
	const struct pn_model *partner = pn_model_find(models, PN_STR("res.partner"));
	const struct pn_model *lead = pn_model_find(models, PN_STR("crm.lead"));

	assert_int_equal(models->n, pn_models_odoo19.n + 1);
	assert_true(ticket->exists && ticket->is_mail_thread && ticket->message_update);
	assert_false(ticket->message_new || ticket->blacklist || ticket->has_company);
	assert_str(ticket->label, "Ticket");
	assert_str(ticket->primary_email, "email_from");
	assert_false(partner->message_new || partner->message_update || partner->is_mail_thread);
	assert_true(partner->blacklist);	/* what is not set stays as built in */
	assert_str(lead->label, "Piste");
	assert_true(lead->message_new && lead->blacklist && lead->has_company);
}

static void
check_aliases(const struct pn_config *c)
{
	const struct pn_alias_row *row = alias_of(c, "sales@acme.example");

	assert_str(row->gateway, "online");
	assert_str(row->alias.local, "sales");
	assert_str(row->alias.model, "crm.lead");
	assert_int_equal(row->alias.contact, PN_CONTACT_EVERYONE);
	row = alias_of(c, "group@acme.example");
	assert_int_equal(row->alias.contact, PN_CONTACT_FOLLOWERS);
	assert_int_equal(row->alias.force_thread_id, 16);
	assert_str(row->alias.parent_model, "project.project");
	assert_int_equal(row->alias.parent_id, 14);
	assert_int_equal(row->alias.id, 4);
	row = alias_of(c, "local");
	assert_str(row->gateway, "onpremise");
	assert_true(row->alias.incoming_local);
}

static void
check_relays(const struct pn_relays *relays)
{
	assert_int_equal(relays->n, 2);
	assert_str(relays->v[0].name, "transactional");
	assert_str(relays->v[0].host, "smtp.gmail.com");
	assert_int_equal(relays->v[0].gateway.n, 0);
	assert_str(relays->v[0].password_file, "tests/data/config/secrets/gmail");
	assert_str(relays->v[0].from_filter, "acme.example,B\xc3\xbcro <buero@beta.example>");
	assert_int_equal(relays->v[0].limit_count, 2);
	assert_str(relays->v[1].name, "mass");
	assert_str(relays->v[1].gateway, "online");
	assert_int_equal(relays->v[1].security, PN_SECURITY_SSL_STRICT);
	assert_true(relays->v[1].mass_mailing);
	assert_int_equal(relays->v[1].limits[0].most, 50);
}

static void
test_two_gateways(void **state)
{
	struct pn_config_report report;
	struct pn_config *c;

	(void)state;
	pn_config_report_init(&report);
	if (pn_config_load("tests/data/config/two-gateways.conf", &c, &report) != PN_OK)
		fail_msg("%s", pn_buf_c(&report.text));
	assert_string_equal(pn_buf_c(&report.text), "tests/data/config/two-gateways.conf:58: warning: model: "
	    "\"x_helpdesk.ticket\" creates no records from mail, so Odoo fails on this alias; give it another "
	    "model\n");
	check_global(c);
	check_gateways(&c->directory);
	check_domains(&c->directory);
	check_models(&c->directory.models);
	check_aliases(c);
	check_relays(&c->relays);
	pn_config_free(c);
	pn_config_report_done(&report);
}

/* -- what does not fit together --------------------------------------------------------- */

#define HEAD "gateway g { target = keep }\ndomain a.example {}\n"
#define NOT_AGAIN "and what is redirected there is not redirected again; name the domain that Odoo itself has\n"
#define NO_MAILBOX "is in a domain of ours, where no person has a mailbox; name one elsewhere, or set unknown = " \
	"pass for that domain if people have mailboxes there\n"
static const struct {
	const char *name, *text, *report;
} misfits[] = {
	{ "gateway without target", "gateway g { }\ndomain a.example {}",
	    "f:1: gateway: \"g\" has no target; add a line like: target = \"redirect to acme.odoo.example\"\n" },
	{ "strange target", "gateway g { target = \"forward to x\" }\ndomain a.example {}",
	    "f:1: target: \"forward to x\" is not known; write \"redirect to ADDRESS\", \"redirect to DOMAIN\" or "
	    "keep\n" },
	{ "target without domain", "gateway g { target = \"redirect to x@\" }\ndomain a.example {}",
	    "f:1: target: \"x@\" has a domain that cannot be; write one like acme.example\n" },
	{ "target with a blank", "gateway g { target = \"redirect to x y\" }\ndomain a.example {}",
	    "f:1: target: \"x y\" has a domain that cannot be; write one like acme.odoo.example\n" },
	{ "target comes back", "gateway g { target = \"redirect to all@A.example\" }\ndomain a.example {}",
	    "f:1: target: the domain of \"all@a.example\" is one of ours, " NOT_AGAIN },
	{ "target of a mixed domain", "gateway g { target = \"redirect to a.example\" }\n"
	    "domain a.example { unknown = pass }",
	    "f:1: target: the domain of \"a.example\" is one of ours, " NOT_AGAIN },
	{ "target belongs to another gateway", "gateway g { target = \"redirect to x@b.example\" }\n"
	    "gateway h { target = \"redirect to c.example\" }\n"
	    "domain a.example { gateway = g }\ndomain b.example { gateway = h }",
	    "f:1: target: the domain of \"x@b.example\" is one of ours, " NOT_AGAIN },
	{ "target in an international domain of ours", "gateway g { target = \"redirect to x@B\xc3\xbcro.example\" }\n"
	    "domain \"b\xc3\xbcro.example\" {}",
	    "f:1: target: the domain of \"x@xn--bro-hoa.example\" is one of ours, " NOT_AGAIN },
	{ "a subdomain is not ours", "gateway g { target = \"redirect to odoo.a.example\" }\ndomain a.example {}", "" },
	{ "bounces come back", "gateway g { target = keep bounce_target = x@a.example }\ndomain a.example {}",
	    "f:1: bounce_target: the domain of \"x@a.example\" is one of ours, " NOT_AGAIN },
	{ "bounces go to another gateway", "gateway g { target = keep bounce_target = x@B.example }\n"
	    "gateway h { target = keep }\ndomain a.example { gateway = g }\ndomain b.example { gateway = h }",
	    "f:1: bounce_target: the domain of \"x@b.example\" is one of ours, " NOT_AGAIN },
	{ "two gateways of a name", HEAD "gateway g { target = keep }",
	    "f:3: the gateway \"g\" stands in f:1 already; remove one or put both together\n" },
	{ "name of a gateway", "gateway \"g h\" { target = keep }\ndomain a.example {}",
	    "f:1: gateway: \"g h\" is no name; use at most 64 letters, digits, - _ and .\n" },
	{ "gateway without domain", "gateway g { target = keep }",
	    "f:1: warning: gateway: \"g\" has no domain, so no mail goes there; add a section domain \"...\" { "
	    "gateway = g }\n" },
	{ "allowed sender", "gateway g { target = keep mail.gateway.allowed = {a@b.example, \"c\"} }\n"
	    "domain a.example {}",
	    "f:1: mail.gateway.allowed: \"c\" is not one address; write local@domain\n" },
	{ "allowed domains", "gateway g { target = keep mail.catchall.domain.allowed = \" , \" }\n"
	    "domain a.example {}", "f:1: mail.catchall.domain.allowed: \" , \" names no domain; write one or "
	    "remove the key\n" },
	{ "two domains of a name", HEAD "domain \"A.example.\" {}",
	    "f:3: warning: domain: \"A.example.\" has capitals: Odoo compares lower case and never matches it; "
	    "write it in lower case, in Odoo too\n"
	    "f:3: the domain \"a.example\" stands in f:2 already; remove one or put both together\n" },
	{ "no gateway for a domain", "domain a.example {}",
	    "f: warning: there is no gateway, all mail passes untouched; add a section gateway \"main\" { ... }\n"
	    "f:1: gateway: there is no gateway \"\"; add a section gateway \"main\" { ... }\n" },
	{ "unknown gateway", HEAD "domain b.example { gateway = zzzzzzzz }",
	    "f:3: gateway: there is no gateway \"zzzzzzzz\"; add a section gateway \"NAME\" { ... }\n" },
	{ "which gateway", HEAD "gateway h { target = keep }\ndomain b.example { gateway = h }\n"
	    "domain c.example { }",
	    "f:2: gateway: there are 2 gateways; say which one with gateway = NAME\n"
	    "f:5: gateway: there are 2 gateways; say which one with gateway = NAME\n"
	    "f:1: warning: gateway: \"g\" has no domain, so no mail goes there; add a section domain \"...\" { "
	    "gateway = g }\n" },
	{ "bounce is catchall", "gateway g { target = keep }\ndomain a.example { catchall_alias = Bounce }",
	    "f:2: catchall_alias: is the bounce alias as well, so replies would vanish; give them different "
	    "names\n" },
	{ "no bounce alias", "gateway g { target = keep }\ndomain a.example { bounce_alias = \"...\" }",
	    "f:2: bounce_alias: \"...\" leaves no name; write letters and digits\n" },
	{ "human in a domain that is all ours", "gateway g { target = keep }\ndomain a.example { human = joe@A.example }",
	    "f:2: human: \"joe@A.example\" " NO_MAILBOX },
	{ "human in another domain of ours", HEAD "domain b.example { human = joe@a.example unknown = pass }",
	    "f:3: human: \"joe@a.example\" " NO_MAILBOX },
	{ "human in a domain of another gateway", "gateway g { target = keep }\ngateway h { target = keep }\n"
	    "domain a.example { gateway = g\nhuman = joe@b.example }\ndomain b.example { gateway = h unknown = reject }",
	    "f:4: human: \"joe@b.example\" " NO_MAILBOX },
	{ "human in a domain with mailboxes", HEAD
	    "domain b.example { unknown = pass human = joe@b.example }\ndomain c.example { human = joe@b.example }", "" },
	{ "human elsewhere", "gateway g { target = keep }\ndomain a.example { human = postmaster@people.example }", "" },
	{ "human is no address", "gateway g { target = keep }\ndomain a.example { human = joe }",
	    "f:2: human: \"joe\" is no address; write local@domain\n" },
	{ "human stands for itself", "gateway g { target = keep }\n"
	    "domain a.example { unknown = pass human = Abuse@A.example }",
	    "f:2: human: \"Abuse@A.example\" stands for itself; name the mailbox of a person\n" },
	{ "not a domain", "gateway g { target = keep }\ndomain \"a b\" {}",
	    "f:2: domain: \"a b\" is no domain; write one like acme.example\n" },
	{ "alias without model", HEAD "alias x@a.example {}",
	    "f:3: alias: \"x@a.example\" has no model; add a line like: model = crm.lead\n" },
	{ "alias of another domain", HEAD "alias x@b.example { model = crm.lead }",
	    "f:3: alias: there is no domain \"b.example\"; add a section domain \"...\" { } for it, or correct "
	    "the address\n" },
	{ "alias with two @", HEAD "alias x@y@a.example { model = crm.lead }",
	    "f:3: alias: there is no domain \"y@a.example\"; add a section domain \"...\" { } for it, or correct "
	    "the address\n" },
	{ "alias without a letter", HEAD "alias \"..@a.example\" { model = crm.lead }",
	    "f:3: alias: \"..\" is no alias name; write letters, digits and dots\n" },
	{ "two aliases of a name", HEAD "alias x@a.example { model = crm.lead }\n"
	    "alias \"  X@A.example\" { model = res.partner }",
	    "f:4: the alias \"x@a.example\" stands in f:3 already; remove one or put both together\n" },
	{ "alias is bounce", HEAD "alias Bounce@a.example { model = crm.lead }",
	    "f:3: alias: \"bounce@a.example\" is the bounce address of its domain; rename one of them\n" },
	{ "alias is catchall", HEAD "alias catchall@a.example { model = crm.lead }",
	    "f:3: alias: \"catchall@a.example\" is the catchall address of its domain; rename one of them\n" },
	{ "alias of another gateway", HEAD "gateway h { target = keep }\ndomain b.example { gateway = h }\n"
	    "alias x@b.example { model = crm.lead gateway = g }",
	    "f:2: gateway: there are 2 gateways; say which one with gateway = NAME\n"
	    "f:1: warning: gateway: \"g\" has no domain, so no mail goes there; add a section domain \"...\" { "
	    "gateway = g }\n"
	    "f:5: gateway: \"g\" is not the gateway of the domain, which is h; remove the key\n" },
	{ "half an owner", HEAD "alias x@a.example { model = crm.lead parent_id = 3 }",
	    "f:3: parent_id: parent_model and parent_id belong together; write both or neither\n" },
	{ "followers of nothing", HEAD "alias x@a.example { model = crm.lead contact = followers }",
	    "f:3: warning: contact: followers of nothing: Odoo takes the alias for misconfigured; add "
	    "parent_model and parent_id\n" },
	{ "proof that nobody can give", "dmarc = off\n" HEAD "alias x@a.example { model = crm.lead require_dmarc = yes }",
	    "f:4: require_dmarc: nothing can pass while dmarc = off; set dmarc = mark\n" },
	{ "alias nobody reaches", HEAD "alias x { model = crm.lead }",
	    "f:3: warning: alias: \"x\" has no domain, so nothing can reach it; add one, or incoming_local = "
	    "yes\n" },
	{ "not a model", HEAD "model \"crm lead\" {}",
	    "f:3: model: \"crm lead\" is no model; write its technical name like crm.lead\n" },
	{ "two models of a name", HEAD "model x.y {}\nmodel x.y {}",
	    "f:4: the model \"x.y\" stands in f:3 already; remove one or put both together\n" },
	{ "a key twice", "debug = yes\ndebug = no\n" HEAD,
	    "f:2: warning: debug: was set in line 1 already and the last one counts; remove one\n" },
	{ "an alias of a domain that is wrong itself", "gateway g { target = keep }\n"
	    "domain a.example { gateway = gg }\nalias x@a.example { model = crm.lead }",
	    "f:2: gateway: there is no gateway \"gg\"; did you mean g?\n"
	    "f:1: warning: gateway: \"g\" has no domain, so no mail goes there; add a section domain \"...\" { "
	    "gateway = g }\n" },
};

static void
test_misfits(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(misfits); i++) {
		struct loaded l;

		load_text(&l, pn_str_c(misfits[i].text), no_table);
		if (strcmp(misfits[i].report, pn_buf_c(&l.report.text)) != 0)
			fail_msg("%s:\n%s", misfits[i].name, pn_buf_c(&l.report.text));
		assert_int_equal(l.status, l.report.errors == 0 ? PN_OK : PN_INVALID);
		done(&l);
	}
}

/* -- alias tables ----------------------------------------------------------------------- */

static const struct {
	const char *name, *text, *report;
	size_t count;
} tables[] = {
	{ "plain", "# ours\n\nsales@a.example crm.lead\nSUPPORT@a.example\thelpdesk.ticket  contact=partners\r\n"
	    "  x@a.example crm.lead # a comment\n", "", 3 },
	{ "byte order mark, no newline", "\xef\xbb\xbfsales@a.example crm.lead", "", 1 },
	{ "all keys", "x@a.example crm.lead contact=followers force_thread_id=1 incoming_local=yes "
	    "parent_model=crm.team parent_id=2 id=3 gateway=g", "", 1 },
	{ "no model", "\nsales@a.example\n",
	    "t:2: model: is missing; write address model, for example: \"sales@a.example\" crm.lead\n", 0 },
	{ "no equals sign", "x@a.example crm.lead everyone\ny@a.example crm.lead",
	    "t:1: \"everyone\" is not a setting; write address model key=value ...\n", 2 },
	{ "unknown key", "x@a.example crm.lead contakt=everyone",
	    "t:1: no such key as \"contakt\"; did you mean contact?\n", 1 },
	{ "bad value", "x@a.example crm.lead contact=all",
	    "t:1: contact: \"all\" is not known; write one of: everyone partners followers employees\n", 1 },
	{ "key twice", "x@a.example crm.lead id=1 id=2", "t:1: id: stands twice in the line; remove one\n", 1 },
	{ "model twice", "x@a.example crm.lead model=crm.team",
	    "t:1: model: stands twice in the line; remove one\n", 1 },
	{ "in the file as well", "main@a.example crm.lead",
	    "t:1: the alias \"main@a.example\" stands in f:3 already; remove one or put both together\n", 2 },
	{ "not UTF-8", "x@a.example crm.lead\n\xff@a.example crm.lead",
	    "t:2: the byte \\xff is not UTF-8; save the file as UTF-8\n", 0 },
};

static void
test_tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(tables); i++) {
		bool second = strstr(tables[i].name, "as well") != NULL;
		struct loaded l;

		load_text(&l, second ? PN_STR(HEAD "alias main@a.example { model = crm.lead }\n") : PN_STR(HEAD),
		    pn_str_c(tables[i].text));
		if (strcmp(tables[i].report, pn_buf_c(&l.report.text)) != 0)
			fail_msg("%s:\n%s", tables[i].name, pn_buf_c(&l.report.text));
		assert_int_equal(l.config.alias_count, tables[i].count);
		done(&l);
	}
}

static void
test_many_aliases(void **state)
{
	struct timespec from, to;
	struct pn_buf text;
	struct loaded l;
	long ms;

	(void)state;
	pn_buf_init(&text, 64 << 20);
	for (unsigned i = 0; i < 100000; i++)
		pn_buf_addf(&text, "Alias.%u@a.example crm.lead contact=partners id=%u\n", i * 7919 % 100003, i + 1);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	load_text(&l, PN_STR(HEAD), pn_buf_str(&text));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
	print_message("100,000 aliases: %ld ms\n", ms);
	assert_string_equal(pn_buf_c(&l.report.text), "");
	assert_int_equal(l.config.alias_count, 100000);
#ifndef PN_SAN
	assert_true(ms < 1000);
#endif
	done(&l);
	pn_buf_done(&text);
}

static void
test_many_errors(void **state)
{
	struct pn_buf text;
	struct loaded l;

	(void)state;
	pn_buf_init(&text, 64 << 20);
	for (unsigned i = 0; i < 5000; i++)
		pn_buf_addf(&text, "x%u@b.example crm.lead\n", i);
	load_text(&l, PN_STR(HEAD), pn_buf_str(&text));
	assert_int_equal(l.report.errors, 5000);
	assert_true(pn_str_contains(pn_buf_str(&l.report.text), PN_STR("\nt:100: ")));
	assert_false(pn_str_contains(pn_buf_str(&l.report.text), PN_STR("\nt:101: ")));
	assert_true(pn_str_ends(pn_buf_str(&l.report.text), PN_STR("\nand 4900 more errors\n")));
	done(&l);
	pn_buf_done(&text);
}

static void
test_hostile(void **state)
{
	static const struct {
		const char *name, *again;
		bool table;
	} rows[] = {
		{ "unknown keys", "unknown_key=1\n", false },
		{ "gateways", "gateway g {}\n", false },
		{ "domains", "domain a.example {}\n", false },
		{ "models", "model m.m {}\n", false },
		{ "relays", "relay r {}\n", false },
		{ "aliases", "alias a@a.example {}\n", false },
		{ "appended lists", "outbound_daemons += {a}\n", false },
		{ "a long line", "x", true },
		{ "long fields", "x@a.example crm.lead ", true },
		{ "combining marks", "\xcc\x81", true },
		{ "short lines", "x\n", true },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct timespec from, to;
		struct pn_buf text;
		struct loaded l;

		pn_buf_init(&text, 4 << 20);
		for (size_t n = 0; n < 1 << 20; n += strlen(rows[i].again))
			pn_buf_add_c(&text, rows[i].again);
		clock_gettime(CLOCK_MONOTONIC, &from);
		if (rows[i].table)
			load_text(&l, PN_STR(HEAD), pn_buf_str(&text));
		else
			load_text(&l, pn_buf_str(&text), no_table);
		clock_gettime(CLOCK_MONOTONIC, &to);
		if (to.tv_sec - from.tv_sec > 10)
			fail_msg("%s: takes %ld s", rows[i].name, (long)(to.tv_sec - from.tv_sec));
		assert_true(l.report.errors > 0);
		assert_true(l.report.text.n < 128 * 1024);
		done(&l);
		pn_buf_done(&text);
	}
}

/* -- what a reload cannot change --------------------------------------------------------- */

static const struct {
	const char *name, *before, *now, *changed;
} reloads[] = {
	{ "nothing", "log = syslog", "log = syslog", "" },
	{ "the default written out", "", "log = stderr\nmax_sessions = 2000\nsocket_mode = 0660\nthread_lifetime = 400d",
	    "" },
	{ "what is followed", "", "debug = yes\nheader_limit = 1M\nrecipient_limit = 5\nmixed = separate\n"
	    "hostname = x.example\noutbound_sendmail = yes\noutbound_daemons = {x}\noutbound_networks = {192.0.2.1}\n"
	    "mail_log = journal\nprobe_interval = 1h\npolicy_contexts = {x}\nwhen_spent = refuse\nrewrite = no\nrelay r { host = r.example }", "" },
	{ "one of each kind", "", "milter_socket = unix:/m\nlog = syslog\nsocket_mode = 0666\nthread_lifetime = 1d",
	    "milter_socket\nsocket_mode\nlog\nthread_lifetime\n" },
	{ "name servers", "dns_servers = {192.0.2.1}", "dns_servers = {192.0.2.1, 192.0.2.2}\ndkim_min_bits = 2048",
	    "dkim_min_bits\ndns_servers\n" },
	{ "the same ones", "dns_servers = {192.0.2.1}", "dns_servers = {\"192.0.2.1\"}", "" },
	{ "back again", "log = syslog\nsocket_group = mail", "", "socket_group\nlog\n" },
	{ "all", "", "directory_map_size = 1G\nstate_map_size = 1G\nbounce_limit = 1000\nwindow_limit = 1000\n"
	    "thread_limit = 1000\nbounce_lifetime = 1d\nthread_lifetime = 1d\nmax_sessions = 1\nlog = syslog\n"
	    "socket_mode = 0600\nsocket_group = \"\"\nmap_socket = unix:/p\nmilter_socket = unix:/m\n"
	    "policy_socket = unix:/q\npolicy_tcp = 127.0.0.1:1\n"
	    "state_directory = /s",
	    "state_directory\nmilter_socket\nmap_socket\npolicy_socket\npolicy_tcp\nsocket_group\nsocket_mode\n"
	    "log\nmax_sessions\n"
	    "thread_lifetime\nbounce_lifetime\nthread_limit\nwindow_limit\nbounce_limit\nstate_map_size\n"
	    "directory_map_size\n" },
};

static void
test_start_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(reloads); i++) {
		struct loaded before, now;
		struct pn_buf changed;

		load_text(&before, pn_str_c(reloads[i].before), no_table);
		load_text(&now, pn_str_c(reloads[i].now), no_table);
		assert_int_equal(before.status, PN_OK);
		assert_int_equal(now.status, PN_OK);
		pn_buf_init(&changed, 4096);
		pn_config_start_only_changes(&before.config, &now.config, &changed);
		if (strcmp(pn_buf_c(&changed), reloads[i].changed) != 0)
			fail_msg("%s:\n%s", reloads[i].name, pn_buf_c(&changed));
		pn_buf_done(&changed);
		done(&before);
		done(&now);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_gateway_defaults),
		cmocka_unit_test(test_two_gateways),
		cmocka_unit_test(test_misfits),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_many_aliases),
		cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_start_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
