/* Postfix's side: does every mail pass Postern, once, and does what it redirects get away? */
#include "check.h"

static const struct pn_str transport = { "postern-redirect", 16 };

/* -- one entry of smtpd_milters ------------------------------------------------------- */

struct milter {
	struct pn_str address;		/* "unix:postern/milter.sock" */
	struct pn_str default_action;	/* its own, "" = milter_default_action */
};

static struct milter
read_milter(struct pn_str word, struct pn_arena *arena)
{
	struct pn_strs parts = postfix_words(postfix_unbraced(word), arena);
	struct milter m = { .address = PN_STR_EMPTY };

	for (size_t i = 0; i < parts.n; i++) {
		size_t equals = pn_str_find(parts.v[i], '=');

		if (i == 0)
			m.address = parts.v[i];
		else if (equals != PN_STR_NONE && pn_str_eq(pn_str_trim(pn_str_head(parts.v[i], equals)),
		    PN_STR("default_action")))
			m.default_action = pn_str_trim(pn_str_from(parts.v[i], equals + 1));
	}
	return m;
}

bool
check_is_own_socket(const struct check *check, struct pn_str address, struct pn_str own, bool chroot)
{
	struct pn_str path = pn_str_starts(own, PN_STR("unix:")) ? pn_str_from(own, 5) : own;

	return postfix_same_file(postfix_socket_path(&check->postfix, address, chroot), path, check->arena);
}

/* Where ours stands in the list; PN_STR_NONE: nowhere. */
static size_t
own_place(const struct check *check, struct pn_strs words, bool chroot, struct milter *out)
{
	for (size_t i = 0; i < words.n; i++) {
		*out = read_milter(words.v[i], check->arena);
		if (check_is_own_socket(check, out->address, check->cli->config->milter_socket, chroot))
			return i;
	}
	return PN_STR_NONE;
}

/* What main.cf should say. */
static struct pn_str
wanted_milter(const struct check *check)
{
	struct pn_str queue = postfix_get(&check->postfix, "queue_directory");
	struct pn_str path = pn_str_from(check->cli->config->milter_socket, 5);

	if (pn_str_starts(path, queue) && path.n > queue.n + 1)
		path = pn_str_from(path, queue.n + 1);
	return pn_arena_printf(
	    check->arena, "{ unix:" PN_STR_FMT ", default_action=tempfail }", PN_STR_ARG(path));
}

static void
check_default_action(struct check *check, const char *where, const struct milter *m)
{
	struct pn_str action = m->default_action.n > 0 ? m->default_action
	    : postfix_get(&check->postfix, "milter_default_action");

	if (pn_str_eq(action, PN_STR("tempfail")))
		return;
	finding(check, pn_str_eq(action, PN_STR("accept")) ? LEVEL_ERROR : LEVEL_WARNING, "postfix",
	    PN_STR("write default_action=tempfail behind its address"),
	    "%s: default_action of Postern is " PN_STR_FMT ": while it is down mail %s", where,
	    PN_STR_ARG(action),
	    pn_str_eq(action, PN_STR("accept")) ? "passes unfiltered, and aliases are not redirected"
						: "is not kept waiting at its sender");
}

static struct pn_str
show_chroot(struct pn_str address, bool chroot)
{
	return chroot && pn_str_starts(address, PN_STR("unix:/"))
	    ? PN_STR(", and this service is chrooted: the path counts from the queue directory")
	    : PN_STR_EMPTY;
}

static void
complain_missing(struct check *check, const char *where, struct pn_strs words, bool chroot)
{
	struct pn_str hint = PN_STR_EMPTY;

	for (size_t i = 0; i < words.n; i++) {
		struct milter m = read_milter(words.v[i], check->arena);

		if (pn_str_starts(m.address, PN_STR("inet:")))
			hint = PN_STR(" (Postern listens at a unix socket, never at inet:)");
		else if (show_chroot(m.address, chroot).n > 0)
			hint = pn_arena_printf(check->arena, " (" PN_STR_FMT " is there" PN_STR_FMT ")",
			    PN_STR_ARG(m.address), PN_STR_ARG(show_chroot(m.address, chroot)));
	}
	finding(check, LEVEL_ERROR, "postfix",
	    pn_arena_printf(
		check->arena, "add " PN_STR_FMT " as the last milter", PN_STR_ARG(wanted_milter(check))),
	    "%s: Postern is not among the milters%.*s", where, PN_STR_ARG(hint));
}

/* -- each smtpd of master.cf ---------------------------------------------------------- */

static bool
is_loopback(struct pn_str name)
{
	return pn_str_starts(name, PN_STR("127.")) || pn_str_starts(name, PN_STR("localhost:"))
	    || pn_str_starts(name, PN_STR("[::1]:"));
}

static bool
skips_milters(const struct check *check, const struct postfix_service *service)
{
	return pn_str_contains(
	    postfix_service_get(&check->postfix, service, "receive_override_options", NULL),
	    PN_STR("no_milters"));
}

/* A content filter gives mail back at a port of this host: it passed us already,
 * unless relays are chosen there. */
static bool
is_reinjection(const struct check *check, const struct postfix_service *service)
{
	struct pn_str filter;
	bool own;

	if (pn_strs_has(check->cli->config->relay_daemons,
	    postfix_service_get(&check->postfix, service, "milter_macro_daemon_name", NULL)))
		return false;
	filter = postfix_service_get(&check->postfix, service, "content_filter", &own);

	return is_loopback(service->name) && own && filter.n == 0
	    && postfix_get(&check->postfix, "content_filter").n > 0;
}

static void
check_reinjection(struct check *check, const char *where, bool has_ours)
{
	if (has_ours)
		finding(check, LEVEL_ERROR, "postfix", PN_STR("add -o smtpd_milters= to it"),
		    "%s: mail comes back here from the content filter and would pass Postern twice", where);
}

/* A milter is not told what those behind it answer to RCPT. */
static void
check_order(struct check *check, const char *where, size_t place, size_t n)
{
	if (place + 1 < n)
		finding(check, LEVEL_ERROR, "postfix",
		    PN_STR("put it last in smtpd_milters; milters that judge recipients stand before it"),
		    "%s: Postern is milter %zu of %zu: a recipient that one behind it refuses is redirected "
		    "and delivered all the same", where, place + 1, n);
}

static void
check_smtpd(struct check *check, const struct postfix_service *service)
{
	const char *where = pn_arena_printf(check->arena, "master.cf, " PN_STR_FMT " " PN_STR_FMT,
	    PN_STR_ARG(service->name), PN_STR_ARG(service->type)).p;
	bool own, skips = skips_milters(check, service);
	struct pn_str value = postfix_service_get(&check->postfix, service, "smtpd_milters", &own);
	struct pn_strs words = postfix_words(value, check->arena);
	struct milter m;
	size_t place = own_place(check, words, service->chroot, &m);

	if (is_reinjection(check, service)) {
		check_reinjection(check, where, place != PN_STR_NONE && !skips);
		return;
	}
	if (skips) {
		finding(check, is_loopback(service->name) ? LEVEL_WARNING : LEVEL_ERROR, "postfix",
		    PN_STR("take no_milters out of its receive_override_options"),
		    "%s: no milter is asked about mail that comes in here", where);
		return;
	}
	if (place != PN_STR_NONE) {
		finding(check, LEVEL_OK, "postfix", NO_REMEDY, "%s: asks Postern", where);
		check_default_action(check, where, &m);
		check_order(check, where, place, words.n);
	} else if (own && words.n == 0) {
		finding(check, is_loopback(service->name) ? LEVEL_WARNING : LEVEL_ERROR, "postfix",
		    PN_STR("take -o smtpd_milters= away, unless a content filter gives mail back here"),
		    "%s: smtpd_milters is empty here, so Postern does not see what comes in", where);
	} else {
		complain_missing(check, where, words, service->chroot);
	}
}

static void
check_milters(struct check *check)
{
	const struct postfix *pf = &check->postfix;
	bool any = false;

	for (size_t i = 0; i < pf->service_count; i++)
		if (pn_str_eq(pf->services[i].command, PN_STR("smtpd"))) {
			check_smtpd(check, &pf->services[i]);
			any = true;
		}
	if (!any)
		finding(check, LEVEL_ERROR, "postfix", PN_STR("switch the smtp service on"),
		    "master.cf has no smtpd: no mail comes in");
}

static void
check_non_smtpd(struct check *check)
{
	const struct pn_config *config = check->cli->config;
	struct pn_strs words = postfix_words(postfix_get(&check->postfix, "non_smtpd_milters"), check->arena);
	const struct postfix_service *cleanup = postfix_service(&check->postfix, PN_STR("cleanup"));
	struct milter m;

	if (own_place(check, words, cleanup != NULL && cleanup->chroot, &m) != PN_STR_NONE)
		check_default_action(check, "non_smtpd_milters", &m);
	else
		finding(check, config->outbound_sendmail ? LEVEL_ERROR : LEVEL_WARNING, "postfix",
		    PN_STR("non_smtpd_milters = $smtpd_milters"),
		    "non_smtpd_milters: Postern does not see mail that is handed to sendmail(1): %s",
		    config->outbound_sendmail ? "outbound_sendmail learns nothing"
					      : "what is written to aliases on this host is not redirected");
}

/* -- the way out ---------------------------------------------------------------------- */

static void
check_target(struct check *check, struct pn_str domain)
{
	const struct postfix *pf = &check->postfix;
	bool plain = postfix_get(pf, "relayhost").n == 0
	    && pn_str_eq(postfix_get(pf, "default_transport"), PN_STR("smtp"));
	struct pn_str remedy =
	    pn_arena_printf(check->arena, "add to transport_maps: " PN_STR_FMT " " PN_STR_FMT ":",
		PN_STR_ARG(domain), PN_STR_ARG(transport));
	struct pn_str value = PN_STR_EMPTY;

	switch (postfix_lookup(pf, postfix_get(pf, "transport_maps"), domain, &value)) {
	case PN_OK:
		if (!pn_str_starts(value, transport))
			finding(check, LEVEL_WARNING, "postfix", remedy,
			    "transport_maps: mail for " PN_STR_FMT " leaves by " PN_STR_FMT
			    ", which may ask for a relay or a password",
			    PN_STR_ARG(domain), PN_STR_ARG(value));
		else
			finding(check, LEVEL_OK, "postfix", NO_REMEDY,
			    "transport_maps: " PN_STR_FMT " leaves by " PN_STR_FMT, PN_STR_ARG(domain),
			    PN_STR_ARG(value));
		return;
	case PN_NOT_FOUND:
		finding(check, plain ? LEVEL_WARNING : LEVEL_ERROR, "postfix", remedy,
		    "transport_maps: redirected mail for " PN_STR_FMT
		    " takes the route of your own outgoing mail",
		    PN_STR_ARG(domain));
		return;
	case PN_INVALID:
	case PN_TEMPFAIL:
	case PN_LIMIT:
		break;
	}
	finding(check, LEVEL_WARNING, "postfix", remedy, "transport_maps: whether " PN_STR_FMT
	    " has an entry cannot be seen from here", PN_STR_ARG(domain));
}

static void
check_redirect(struct check *check)
{
	enum { TARGETS_MOST = 50 };
	const struct postfix *pf = &check->postfix;
	const struct postfix_service *service = postfix_service(pf, transport);
	struct pn_strs targets = cli_target_domains(check->cli->config, check->arena);

	if (targets.n == 0)
		return;
	if (service == NULL)
		finding(check, LEVEL_ERROR, "postfix",
		    PN_STR("add the service; postern postfix-conf master prints it"),
		    "master.cf: there is no service " PN_STR_FMT, PN_STR_ARG(transport));
	else if (pn_str_eq(postfix_service_get(pf, service, "smtp_sasl_auth_enable", NULL), PN_STR("yes")))
		finding(check, LEVEL_WARNING, "postfix", PN_STR("add -o smtp_sasl_auth_enable=no to it"),
		    "master.cf, " PN_STR_FMT ": it would show your passwords to the target",
		    PN_STR_ARG(transport));
	for (size_t i = 0; i < targets.n && i < TARGETS_MOST; i++)
		check_target(check, targets.v[i]);
	if (targets.n > TARGETS_MOST)
		finding(check, LEVEL_OK, "postfix", NO_REMEDY,
		    "transport_maps: %zu more targets were not looked up", targets.n - TARGETS_MOST);
}

/* -- the rest ------------------------------------------------------------------------- */

/* Bounces of this host have no sender, so no relay is chosen for them. */
static void
check_null_sender(struct check *check)
{
	const struct postfix *pf = &check->postfix;
	struct pn_str value = PN_STR_EMPTY, transport_now = postfix_get(pf, "default_transport");
	enum pn_status st = postfix_lookup(
	    pf, postfix_get(pf, "sender_dependent_default_transport_maps"), PN_STR("<>"), &value);
	bool held =
	    pn_str_starts(transport_now, PN_STR("retry")) || pn_str_starts(transport_now, PN_STR("error"));

	if (st == PN_NOT_FOUND && held)
		finding(check, LEVEL_WARNING, "postfix",
		    PN_STR("sender_dependent_default_transport_maps = inline:{ {<> = postern-redirect:} }"),
		    "default_transport holds mail back, and this host's own bounces with it");
	if (st == PN_OK && pn_str_ends(value, PN_STR(":")) && postfix_get(pf, "relayhost").n > 0)
		finding(check, LEVEL_WARNING, "postfix",
		    pn_arena_printf(check->arena, "default_transport = smtp:" PN_STR_FMT " and relayhost =",
			PN_STR_ARG(postfix_get(pf, "relayhost"))),
		    "relayhost fills the empty next hop of the null "
		    "sender's route: bounces go to the relay without its password");
}

static void
check_main(struct check *check)
{
	const struct postfix *pf = &check->postfix;
	uint64_t protocol = 0;

	if (!pn_str_to_u64(postfix_get(pf, "milter_protocol"), 100, &protocol) || protocol < 6)
		finding(check, LEVEL_ERROR, "postfix", PN_STR("milter_protocol = 6"),
		    "milter_protocol: Postern needs version 6, here it is " PN_STR_FMT,
		    PN_STR_ARG(postfix_get(pf, "milter_protocol")));
	if (pn_str_eq(postfix_get(pf, "soft_bounce"), PN_STR("yes")))
		finding(check, LEVEL_WARNING, "postfix", PN_STR("soft_bounce = no"),
		    "soft_bounce: refusals become \"try again later\", so senders never learn");
	if (pn_str_contains(postfix_get(pf, "receive_override_options"), PN_STR("no_milters")))
		finding(check, LEVEL_ERROR, "postfix", PN_STR("set it for single services in master.cf only"),
		    "receive_override_options: no_milters in main.cf switches Postern off everywhere");
	check_null_sender(check);
}

static void
add_complaints(struct check *check)
{
	enum { MOST = 5 };
	struct pn_str rest = check->postfix.complaints, line;

	for (int i = 0; i < MOST && rest.n > 0 && pn_str_split(&rest, '\n', &line);)
		if (line.n > 0) {
			finding(check, LEVEL_WARNING, "postfix", NO_REMEDY, PN_STR_FMT, PN_STR_ARG(line));
			i++;
		}
}

void
check_postfix(struct check *check)
{
	struct pn_str queue = postfix_get(&check->postfix, "queue_directory");
	struct pn_str path = pn_str_from(check->cli->config->milter_socket, 5);

	if (!pn_str_starts(path, queue) || path.n <= queue.n || path.p[queue.n] != '/')
		finding(check, LEVEL_WARNING, "postfix",
		    pn_arena_printf(check->arena, "milter_socket = unix:" PN_STR_FMT "/postern/milter.sock",
			PN_STR_ARG(queue)),
		    "milter_socket is outside the queue directory " PN_STR_FMT
		    ": a chrooted smtpd cannot reach it",
		    PN_STR_ARG(queue));
	add_complaints(check);
	check_main(check);
	check_milters(check);
	check_non_smtpd(check);
	check_redirect(check);
}
