/* The way out: does Postfix ask Postern for the relay, its password and its TLS, and wait when it must? */
#include "check.h"
#include "relay_services.h"

/* -- one service of master.cf ------------------------------------------------------------ */

enum { SENDERS_MOST = 100 };

#define UNCOUNTED "a connection that is used again asks nothing: what waits is not counted"
#define LOGINS "plain text logins are refused, or anonymous ones allowed"

/* What it means when a setting is not the one of postfix-conf/master.cf. */
static const struct setting {
	const char *name;
	enum level level;
	const char *means;
} settings[] = {
	{ "syslog_name", LEVEL_WARNING, "Postern does not find it in the log" },
	{ "smtp_tls_security_level", LEVEL_ERROR, "a relay that the map does not know would get less TLS" },
	{ "smtp_tls_wrappermode", LEVEL_ERROR, "the first byte decides between TLS and plain text" },
	{ "smtp_tls_policy_maps", LEVEL_ERROR,
	    "Postern is not asked for the level, and counts nothing of what waits" },
	{ "smtp_tls_CAfile", LEVEL_ERROR, "certificates of relays are held against other authorities" },
	{ "smtp_tls_cert_file", LEVEL_ERROR, "the relay asks for the certificate of postern.conf" },
	{ "smtp_tls_key_file", LEVEL_ERROR, "the relay asks for the certificate of postern.conf" },
	{ "smtp_sasl_auth_enable", LEVEL_ERROR, "it does not log in" },
	{ "smtp_sasl_password_maps", LEVEL_ERROR, "Postern is not asked for the password" },
	{ "smtp_sasl_security_options", LEVEL_ERROR, LOGINS },
	{ "smtp_sasl_tls_security_options", LEVEL_ERROR, LOGINS },
	{ "smtp_sender_dependent_authentication", LEVEL_WARNING,
	    "the password follows the sender, not the relay" },
	{ "smtp_reply_filter", LEVEL_WARNING, "a relay's \"daily limit exceeded\" bounces mail" },
	{ "smtp_fallback_relay", LEVEL_ERROR, "mail can leave by a relay that Postern did not choose" },
	{ "smtp_connection_cache_on_demand", LEVEL_ERROR, UNCOUNTED },
	{ "smtp_connection_cache_destinations", LEVEL_ERROR, UNCOUNTED },
};

static const struct setting *
setting_of(struct pn_str name)
{
	static const struct setting other = { "", LEVEL_WARNING, "postfix-conf has another value" };

	for (size_t i = 0; i < PN_COUNT(settings); i++)
		if (pn_str_eq(name, pn_str_c(settings[i].name)))
			return &settings[i];
	return &other;
}

/* "socketmap:unix:/var/spool/postfix/postern/map.sock:sasl" is as good as the relative name. */
static bool
is_same_map(const struct check *check, struct pn_str wanted, struct pn_str value)
{
	return pn_str_starts(wanted, PN_STR("socketmap:"))
	    && check_is_own_map(check, value, pn_str_from(wanted, pn_str_find_last(wanted, ':') + 1));
}

/* Stricter is in order, and so is a table somewhere else. */
static bool
is_as_good(const struct check *check, struct pn_str name, struct pn_str wanted, struct pn_str value)
{
	if (pn_str_eq(wanted, value) || is_same_map(check, wanted, value))
		return true;
	if (pn_str_eq(name, PN_STR("smtp_tls_security_level")) && pn_str_eq(wanted, PN_STR("encrypt")))
		return pn_str_eq(value, PN_STR("verify")) || pn_str_eq(value, PN_STR("secure"));
	if (pn_str_eq(name, PN_STR("smtp_tls_CAfile")) && pn_str_starts(wanted, PN_STR("/etc/ssl/certs/")))
		return value.n > 0;
	return pn_str_eq(name, PN_STR("smtp_reply_filter")) && value.n > 0;
}

static void
check_options(struct check *check, const struct relay_service *wanted, const struct postfix_service *service)
{
	struct pn_str text = relay_service_text(wanted, PN_STR("unix:postern/map.sock"), check->arena), name,
		      value;

	while (relay_service_option(&text, &name, &value)) {
		struct pn_str live =
		    postfix_service_get(&check->postfix, service, pn_arena_cstr(check->arena, name), NULL);
		const struct setting *s = setting_of(name);

		if (!is_as_good(check, name, value, live))
			finding(check, s->level, "relays",
			    pn_arena_printf(check->arena, "add -o { " PN_STR_FMT " = " PN_STR_FMT " } to it",
				PN_STR_ARG(name), PN_STR_ARG(value)),
			    "master.cf, " PN_STR_FMT ": " PN_STR_FMT " = " PN_STR_FMT ": %s",
			    PN_STR_ARG(wanted->name), PN_STR_ARG(name), PN_STR_ARG(live), s->means);
	}
}

/* A table that cannot be read is no answer for smtp(8): it takes each reply for an error of this host. */
static void
check_reply_filter(struct check *check, struct pn_str tables)
{
	struct pn_str remedy = PN_STR("put there what postern postfix-conf reply_filter prints");
	struct pn_str value = PN_STR_EMPTY;
	enum pn_status st = postfix_lookup(
	    &check->postfix, tables, PN_STR("550 5.4.5 Daily user sending limit exceeded"), &value);

	if (st == PN_TEMPFAIL)
		finding(check, LEVEL_ERROR, "relays", remedy,
		    "smtp_reply_filter = " PN_STR_FMT ": it cannot be read, and no relay gets any mail",
		    PN_STR_ARG(tables));
	else if (!pn_str_starts(value, PN_STR("4")))
		finding(check, LEVEL_WARNING, "relays", remedy,
		    "smtp_reply_filter = " PN_STR_FMT ": a relay's \"daily limit exceeded\" bounces mail",
		    PN_STR_ARG(tables));
}

static void
check_reply_filters(struct check *check, const struct relay_services *services)
{
	struct pn_strs_builder tables = { .arena = check->arena };
	struct pn_strs list;

	for (size_t i = 0; i < services->n; i++) {
		const struct postfix_service *service = postfix_service(&check->postfix, services->v[i].name);

		if (service != NULL)
			pn_strs_add(&tables,
			    postfix_service_get(&check->postfix, service, "smtp_reply_filter", NULL));
	}
	list = pn_strs_unique(tables.list, check->arena);
	for (size_t i = 0; i < list.n; i++)
		if (list.v[i].n > 0)
			check_reply_filter(check, list.v[i]);
}

/* qmgr(8) splits the mail, and it sees main.cf only. */
static void
check_recipient_limit(struct check *check, const struct relay_service *wanted)
{
	struct pn_str name = pn_arena_printf(
	    check->arena, PN_STR_FMT "_destination_recipient_limit", PN_STR_ARG(wanted->name));
	struct pn_str value = postfix_get(&check->postfix, name.p);
	struct pn_str remedy =
	    pn_arena_printf(check->arena, "%s = %llu", name.p, (unsigned long long)wanted->most);
	uint64_t most = 0;

	if (wanted->most == 0)
		return;
	if (value.n == 0 || pn_str_starts(value, PN_STR("$")))
		value = postfix_get(&check->postfix, "default_destination_recipient_limit");
	if (pn_str_to_u64(value, UINT32_MAX, &most) && most > 0 && most <= wanted->most)
		return;
	finding(check, wanted->waiting ? LEVEL_ERROR : LEVEL_WARNING, "relays", remedy,
	    "main.cf: " PN_STR_FMT " takes " PN_STR_FMT " recipients at once: %s", PN_STR_ARG(wanted->name),
	    PN_STR_ARG(value),
	    wanted->waiting ? "of them one is counted" : "a relay allows fewer in one message");
}

static void
check_service(struct check *check, const struct relay_service *wanted)
{
	const struct postfix_service *service = postfix_service(&check->postfix, wanted->name);

	if (service == NULL) {
		finding(check, LEVEL_ERROR, "relays",
		    PN_STR("add the service; postern postfix-conf master prints it"),
		    "master.cf: there is no service " PN_STR_FMT
		    ", by which mail leaves for relay " PN_STR_FMT,
		    PN_STR_ARG(wanted->name), PN_STR_ARG(wanted->relay->name));
		return;
	}
	check_options(check, wanted, service);
	check_recipient_limit(check, wanted);
}

/* -- main.cf ------------------------------------------------------------------------------ */

static void
check_header_checks(struct check *check)
{
	struct pn_str value = PN_STR_EMPTY, route = PN_STR("postern-starttls:[smtp.acme.example]:587");
	struct pn_str key = pn_arena_printf(check->arena, "X-Postern-Relay: " PN_STR_FMT, PN_STR_ARG(route));
	struct pn_str wanted = pn_arena_printf(check->arena, "FILTER " PN_STR_FMT, PN_STR_ARG(route));

	if (postfix_lookup(&check->postfix, postfix_get(&check->postfix, "milter_header_checks"), key, &value)
		!= PN_OK
	    || !pn_str_eq(value, wanted))
		finding(check, LEVEL_ERROR, "relays",
		    PN_STR("add the table that postern postfix-conf main prints"),
		    "milter_header_checks: the milter's choice of a relay is not followed");
}

/* Do the tables before the map leave this sender to it? */
static void
check_sender(struct check *check, struct pn_str before, struct pn_str domain)
{
	struct pn_str sender = pn_arena_printf(check->arena, "postern@" PN_STR_FMT, PN_STR_ARG(domain));
	struct pn_str value;

	if (postfix_lookup(&check->postfix, before, sender, &value) == PN_OK)
		finding(check, LEVEL_ERROR, "relays",
		    PN_STR("replace the tables by those that postern postfix-conf main prints"),
		    "sender_dependent_default_transport_maps: mail from " PN_STR_FMT
		    " does not ask the map route, and waits in vain where only that can lead it",
		    PN_STR_ARG(domain));
}

static void
check_senders(struct check *check, struct pn_str before)
{
	const struct pn_directory *directory = &check->cli->config->directory;
	struct pn_relays relays = check->cli->config->relays;
	struct pn_strs_builder domains = { .arena = check->arena };
	struct pn_strs list;

	for (size_t i = 0; i < directory->domain_count; i++)
		pn_strs_add(&domains, directory->domains[i].ascii);
	for (size_t i = 0; i < relays.n; i++)
		for (size_t k = 0; k < relays.v[i].filter.n && relays.v[i].active; k++)
			if (pn_relay_host_is_valid(relays.v[i].filter.v[k].domain))
				pn_strs_add(&domains, relays.v[i].filter.v[k].domain);
	list = pn_strs_unique(domains.list, check->arena);
	for (size_t i = 0; i < list.n && i < SENDERS_MOST; i++)
		check_sender(check, before, list.v[i]);
}

static void
check_live_routes(struct check *check)
{
	struct pn_strs words = postfix_words(
	    postfix_get(&check->postfix, "sender_dependent_default_transport_maps"), check->arena);
	struct pn_str before = PN_STR_EMPTY, value;
	size_t i = 0;

	for (; i < words.n && !check_is_own_map(check, words.v[i], PN_STR("route")); i++)
		before = pn_arena_printf(
		    check->arena, PN_STR_FMT " " PN_STR_FMT, PN_STR_ARG(before), PN_STR_ARG(words.v[i]));
	if (i == words.n) {
		finding(check, LEVEL_ERROR, "relays",
		    PN_STR("add the tables that postern postfix-conf main prints"),
		    "sender_dependent_default_transport_maps: Postern's map route is not among them: mail "
		    "with "
		    "recipients of ours beside others has no relay");
		return;
	}
	/* Postfix asks for the null sender in quotes first, and all tables at once */
	if (postfix_lookup(&check->postfix, before, PN_STR("\"<>\""), &value) == PN_NOT_FOUND)
		finding(check, LEVEL_ERROR, "relays",
		    PN_STR("put the table that postern postfix-conf main prints before it"),
		    "sender_dependent_default_transport_maps: this host's bounces ask the map route, and "
		    "wait "
		    "while postern-policy is away");
	if (postfix_lookup(&check->postfix, before, PN_STR("ann@sender.invalid"), &value) == PN_NOT_FOUND)
		finding(check, LEVEL_WARNING, "relays",
		    PN_STR("put the table that postern postfix-conf main prints before it"),
		    "sender_dependent_default_transport_maps: redirected mail of strangers asks the map "
		    "route, "
		    "and waits while postern-policy is away");
	check_senders(check, before);
}

static void
check_fixed_services(struct check *check)
{
	static const char *const names[] = { "postern-none", "postern-rewrite" };
	const struct postfix_service *rewrite = postfix_service(&check->postfix, PN_STR("postern-rewrite"));

	for (size_t i = 0; i < PN_COUNT(names); i++)
		if (postfix_service(&check->postfix, pn_str_c(names[i])) == NULL)
			finding(check, LEVEL_ERROR, "relays",
			    PN_STR("add the service; postern postfix-conf master prints it"),
			    "master.cf: there is no service %s", names[i]);
	if (rewrite != NULL
	    && postfix_service_get(
		   &check->postfix, rewrite, "sender_dependent_default_transport_maps", NULL)
		    .n > 0)
		finding(check, LEVEL_WARNING, "relays",
		    PN_STR("add -o sender_dependent_default_transport_maps= to it"),
		    "master.cf, postern-rewrite: clients are told 451 while postern-policy is away, "
		    "and Odoo does not send such mail again");
}

static void
check_default_transport(struct check *check)
{
	struct pn_str value = postfix_get(&check->postfix, "default_transport");
	struct pn_str remedy =
	    PN_STR("default_transport = postern-none:unix:postern/no-relay-may-carry-this");
	struct pn_str service = pn_str_head(value, pn_str_find(value, ':'));

	if (pn_str_eq(service, PN_STR("retry")) || pn_str_eq(service, PN_STR("error")))
		finding(check, LEVEL_WARNING, "relays", remedy,
		    "default_transport = " PN_STR_FMT ": smtpd tells the client, and Odoo does not send such "
		    "mail again",
		    PN_STR_ARG(value));
	else if (!pn_str_contains(value, PN_STR(":unix:")))
		finding(check, LEVEL_WARNING, "relays", remedy,
		    "default_transport = " PN_STR_FMT ": mail that no relay was chosen for leaves by it",
		    PN_STR_ARG(value));
}

/* -- where mail comes in --------------------------------------------------------------------- */

static struct pn_str
daemon_name(const struct check *check, const struct postfix_service *service)
{
	return postfix_service_get(&check->postfix, service, "milter_macro_daemon_name", NULL);
}

static bool
is_outbound(const struct check *check, const struct postfix_service *service)
{
	return pn_str_eq(postfix_service_get(&check->postfix, service, "smtpd_sasl_auth_enable", NULL),
		   PN_STR("yes"))
	    || pn_strs_has(check->cli->config->outbound_daemons, daemon_name(check, service));
}

static bool
chooses_relays(const struct check *check, const struct postfix_service *service)
{
	struct pn_strs daemons = check->cli->config->relay_daemons;

	return daemons.n == 0 || pn_strs_has(daemons, daemon_name(check, service));
}

/* A FILTER takes the place of content_filter: the mail would leave unfiltered. */
static void
check_content_filter(struct check *check, const struct postfix_service *service)
{
	struct pn_str filter = postfix_service_get(&check->postfix, service, "content_filter", NULL);

	if (filter.n > 0 && chooses_relays(check, service))
		finding(check, LEVEL_ERROR, "relays",
		    PN_STR(
			"set relay_daemons to the name of the listener that the filter gives mail back to"),
		    "master.cf, " PN_STR_FMT " " PN_STR_FMT
		    ": a relay's FILTER overrides content_filter = " PN_STR_FMT
		    ": such mail leaves unfiltered",
		    PN_STR_ARG(service->name), PN_STR_ARG(service->type), PN_STR_ARG(filter));
}

/* smtpd asks about each recipient; what it is told then, Odoo hears. */
static void
check_rewrite_service(struct check *check, const struct postfix_service *service)
{
	if (pn_str_eq(postfix_service_get(&check->postfix, service, "rewrite_service_name", NULL),
		PN_STR("rewrite")))
		finding(check, LEVEL_WARNING, "relays",
		    PN_STR("add -o rewrite_service_name=postern-rewrite to it"),
		    "master.cf, " PN_STR_FMT " " PN_STR_FMT
		    ": clients are told 451 while postern-policy is away, "
		    "and Odoo does not send such mail again",
		    PN_STR_ARG(service->name), PN_STR_ARG(service->type));
}

static void
check_listeners(struct check *check)
{
	const struct pn_config *config = check->cli->config;
	bool outbound = config->outbound_networks.n > 0 || config->outbound_sendmail, chosen = false;

	for (size_t i = 0; i < check->postfix.service_count; i++) {
		const struct postfix_service *service = &check->postfix.services[i];

		if (!pn_str_eq(service->command, PN_STR("smtpd")))
			continue;
		chosen = chosen || chooses_relays(check, service);
		if (is_outbound(check, service)) {
			outbound = true;
			check_content_filter(check, service);
			check_rewrite_service(check, service);
		}
	}
	if (!outbound)
		finding(check, LEVEL_ERROR, "relays",
		    PN_STR(
			"add -o smtpd_sasl_auth_enable=yes or -o milter_macro_daemon_name=ORIGINATING to the "
			"submission service"),
		    "master.cf: no listener takes outbound mail, so no relay is ever chosen");
	if (!chosen)
		finding(check, LEVEL_ERROR, "relays",
		    PN_STR("name a listener's milter_macro_daemon_name in it"),
		    "relay_daemons: no listener has one of these names, so no relay is ever chosen");
}

/* -- whose mail ------------------------------------------------------------------------------ */

/* Where there is more than one tenant: a From, and an envelope sender, are quickly written. */
static void
check_tenants(struct check *check)
{
	const struct pn_directory *directory = &check->cli->config->directory;
	struct pn_relays relays = check->cli->config->relays;

	if (directory->gateway_count < 2)
		return;
	for (size_t i = 0; i < relays.n; i++)
		if (relays.v[i].active && relays.v[i].gateway.n == 0)
			finding(check, LEVEL_WARNING, "relays", PN_STR("set gateway in its section"),
			    "relay " PN_STR_FMT ": it takes the mail of every gateway",
			    PN_STR_ARG(relays.v[i].name));
	for (size_t i = 0; i < directory->gateway_count; i++)
		if (directory->gateways[i].logins.n == 0)
			finding(check, LEVEL_WARNING, "relays",
			    PN_STR("set logins in its section to the logins of its users"),
			    "gateway " PN_STR_FMT
			    ": whose mail it is, its sender and From tell, which clients of others can write",
			    PN_STR_ARG(directory->gateways[i].name));
}

void
check_relays(struct check *check)
{
	struct relay_services services = relay_services(check->cli->config->relays, check->arena);

	if (services.n == 0)
		return;
	for (size_t i = 0; i < services.n; i++)
		check_service(check, &services.v[i]);
	check_reply_filters(check, &services);
	check_header_checks(check);
	check_live_routes(check);
	check_default_transport(check);
	check_fixed_services(check);
	check_listeners(check);
	check_tenants(check);
	finding(check, LEVEL_OK, "relays", NO_REMEDY,
	    "%zu services of master.cf were compared with the relays", services.n);
}
