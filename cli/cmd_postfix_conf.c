/* postern postfix-conf - the fragments of postfix-conf/ with the names of this host. */
#include "fragments.h"
#include "postern/address.h"
#include "postfix.h"
#include "relay_services.h"

enum { OUTPUT_MAX = 64 << 20 };

struct plan {
	struct cli *cli;
	struct pn_arena *arena;
	struct postfix postfix;
	bool has_postfix;
	struct pn_strs ours, mixed, targets;
	bool keeps;			/* a domain of ours stays on this host */
	struct pn_str milter_socket, map_socket;	/* as Postfix names them */
	struct relay_services services;	/* none: no relay is configured */
	struct pn_str senders;
	bool restrictions_shown, outbound;
	struct pn_buf out;
};

/* -- what the configuration says ------------------------------------------------------ */

static void
sort_domains(struct plan *plan)
{
	const struct pn_directory *directory = &plan->cli->config->directory;
	struct pn_strs_builder ours = { .arena = plan->arena }, mixed = { .arena = plan->arena };

	for (size_t i = 0; i < directory->domain_count; i++) {
		const struct pn_domain *d = &directory->domains[i];

		pn_strs_add(d->unknown == PN_UNKNOWN_PASS ? &mixed : &ours, d->ascii);
		plan->keeps = plan->keeps
		    || (d->unknown != PN_UNKNOWN_PASS && d->gateway->target == PN_TARGET_KEEP);
	}
	plan->ours = ours.list;
	plan->mixed = mixed.list;
	plan->targets = cli_target_domains(plan->cli->config, plan->arena);
}

/* "unix:postern/milter.sock": relative to the queue directory where it can be. */
static struct pn_str
relative_socket(const struct plan *plan, struct pn_str address)
{
	struct pn_str queue = plan->has_postfix ? postfix_get(&plan->postfix, "queue_directory")
	    : PN_STR("/var/spool/postfix");
	struct pn_str path = pn_str_from(address, 5);

	if (pn_str_starts(path, queue) && path.n > queue.n + 1 && path.p[queue.n] == '/')
		path = pn_str_from(path, queue.n + 1);
	return pn_arena_printf(plan->arena, "unix:" PN_STR_FMT, PN_STR_ARG(path));
}

/* -- what Postfix has already --------------------------------------------------------- */

static bool
is_ours_already(const struct plan *plan, struct pn_str word)
{
	return pn_str_contains(word, plan->milter_socket) || pn_str_contains(word, plan->map_socket)
	    || pn_str_contains(word, PN_STR("postern-redirect"))
	    || pn_str_contains(word, PN_STR("X-Postern-Relay")) || pn_strs_has(plan->ours, word);
}

/* The words that stay in front of ours, with ", " behind each.  A "$" is in a value
 * only where main.cf has two. */
static struct pn_str
present(const struct plan *plan, const char *name)
{
	const struct fragment_change dollar = { PN_STR("$"), PN_STR("$$") };
	struct pn_strs_builder kept = { .arena = plan->arena };
	struct pn_strs words;

	if (!plan->has_postfix || !postfix_is_set(&plan->postfix, name))
		return PN_STR_EMPTY;
	words = postfix_words(postfix_get(&plan->postfix, name), plan->arena);
	for (size_t i = 0; i < words.n; i++)
		if (!is_ours_already(plan, words.v[i]))
			pn_strs_add(&kept, words.v[i]);
	if (kept.list.n == 0)
		return PN_STR_EMPTY;
	pn_strs_add(&kept, PN_STR_EMPTY);
	return fragment_fill(pn_strs_join(kept.list, PN_STR(", "), plan->arena), &dollar, 1, plan->arena);
}

static struct pn_str
relayhost(const struct plan *plan)
{
	return plan->has_postfix && plan->services.n == 0 && postfix_is_set(&plan->postfix, "relayhost")
	    && pn_str_eq(postfix_get(&plan->postfix, "default_transport"), PN_STR("smtp"))
	    ? postfix_get(&plan->postfix, "relayhost") : PN_STR_EMPTY;
}

/* -- filling in ----------------------------------------------------------------------- */

static struct pn_str
transport_entries(const struct plan *plan)
{
	struct pn_strs_builder entries = { .arena = plan->arena };

	for (size_t i = 0; i < plan->targets.n; i++)
		pn_strs_add(&entries, pn_arena_printf(plan->arena, "{" PN_STR_FMT " = postern-redirect:}",
		    PN_STR_ARG(plan->targets.v[i])));
	return pn_strs_join(entries.list, PN_STR(",\n    "), plan->arena);
}

/* As an extended regular expression; left out where braces and slashes around it would not bear it. */
static void
add_quoted(struct pn_strs_builder *list, const char *before, struct pn_str text)
{
	const struct fragment_change special[] = {
		{ PN_STR("."), PN_STR("\\.") },
		{ PN_STR("+"), PN_STR("\\+") },
	};

	for (size_t i = 0; i < text.n; i++)
		if (!pn_is_alnum(text.p[i]) && (unsigned char)text.p[i] < 0x80
		    && memchr("@.-_+", text.p[i], 5) == NULL)
			return;
	text = fragment_fill(text, special, PN_COUNT(special), list->arena);
	pn_strs_add(list, pn_arena_printf(list->arena, "%s" PN_STR_FMT, before, PN_STR_ARG(text)));
}

/* Whose envelope senders may ask for a relay: our domains, and what the filters name. */
static struct pn_str
senders(const struct plan *plan)
{
	const struct pn_directory *directory = &plan->cli->config->directory;
	struct pn_strs_builder list = { .arena = plan->arena };

	for (size_t i = 0; i < directory->domain_count; i++) {
		add_quoted(&list, "@", directory->domains[i].ascii);
		add_quoted(&list, "@", directory->domains[i].name);
	}
	for (size_t i = 0; i < plan->cli->config->relays.n; i++) {
		struct pn_str rest = plan->cli->config->relays.v[i].from_filter, entry;

		while (pn_from_filter_next(&rest, &entry))
			add_quoted(&list, pn_str_find(entry, '@') == PN_STR_NONE ? "@" : "^", entry);
	}
	return pn_strs_join(pn_strs_unique(list.list, plan->arena), PN_STR("|"), plan->arena);
}

static struct pn_str
first_of(struct pn_strs list, struct pn_str otherwise)
{
	return list.n > 0 ? list.v[0] : otherwise;
}

/* A line of main.cf with a setting; `domains` are those that the fragment is about. */
static struct pn_str
fill_setting(const struct plan *plan, struct pn_str line, struct pn_strs domains)
{
	const struct fragment_change changes[] = {
		{ PN_STR("relay_domains = "),
		    pn_arena_printf(plan->arena, "relay_domains = " PN_STR_FMT,
			PN_STR_ARG(present(plan, "relay_domains"))) },
		{ PN_STR("smtpd_milters = "),
		    pn_arena_printf(plan->arena, "smtpd_milters = " PN_STR_FMT,
			PN_STR_ARG(present(plan, "smtpd_milters"))) },
		{ PN_STR("transport_maps = inline"),
		    pn_arena_printf(plan->arena, "transport_maps = " PN_STR_FMT "inline",
			PN_STR_ARG(present(plan, "transport_maps"))) },
		{ PN_STR("milter_header_checks = "),
		    pn_arena_printf(plan->arena, "milter_header_checks = " PN_STR_FMT,
			PN_STR_ARG(present(plan, "milter_header_checks"))) },
		{ PN_STR("{acme.odoo.example = postern-redirect:}"), transport_entries(plan) },
		{ PN_STR("@acme\\.example"), plan->senders },
		{ PN_STR("acme.example"), pn_strs_join(domains, PN_STR(",\n    "), plan->arena) },
		{ PN_STR("unix:postern/milter.sock"), plan->milter_socket },
		{ PN_STR("unix:postern/map.sock"), plan->map_socket },
	};

	/* the table in front of ours is an example */
	if (pn_str_starts(line, PN_STR("virtual_alias_maps = ")))
		line = pn_arena_printf(plan->arena, "virtual_alias_maps = " PN_STR_FMT PN_STR_FMT,
		    PN_STR_ARG(present(plan, "virtual_alias_maps")),
		    PN_STR_ARG(pn_str_from(line, pn_str_find_str(line, PN_STR("socketmap:")))));
	return fragment_fill(line, changes, PN_COUNT(changes), plan->arena);
}

static struct pn_str
fill_comment(const struct plan *plan, struct pn_str line, struct pn_strs domains)
{
	const struct fragment_change changes[] = {
		{ PN_STR("acme.odoo.example"), first_of(plan->targets, PN_STR("acme.odoo.example")) },
		{ PN_STR("acme.example"), first_of(domains, PN_STR("acme.example")) },
	};

	if (relayhost(plan).n > 0 && pn_str_starts(line, PN_STR("# default_transport = ")))
		return pn_arena_printf(
		    plan->arena, "default_transport = smtp:" PN_STR_FMT, PN_STR_ARG(relayhost(plan)));
	return fragment_fill(line, changes, PN_COUNT(changes), plan->arena);
}

/* What is the operator's own stays a comment. */
static bool
is_only_shown(struct plan *plan, struct pn_str line)
{
	if (pn_str_starts(line, PN_STR("virtual_mailbox_")))
		return true;
	if (pn_str_starts(line, PN_STR("relay_transport = ")))
		return plan->keeps;
	/* main.cf.outbound has them, too */
	if (pn_str_starts(line, PN_STR("sender_dependent_default_transport_maps = "))
	    || pn_str_starts(line, PN_STR("relayhost =")))
		return plan->services.n > 0 && !plan->outbound;
	if (pn_str_starts(line, PN_STR("smtpd_relay_restrictions = "))) {
		bool shown = plan->restrictions_shown;

		plan->restrictions_shown = true;
		return shown
		    || (plan->has_postfix && postfix_is_set(&plan->postfix, "smtpd_relay_restrictions"));
	}
	return false;
}

/* In place of the example's. */
static void
add_recipient_limits(struct plan *plan)
{
	for (size_t i = 0; i < plan->services.n; i++)
		if (plan->services.v[i].most > 0)
			pn_buf_addf(&plan->out, PN_STR_FMT "_destination_recipient_limit = %llu\n",
			    PN_STR_ARG(plan->services.v[i].name),
			    (unsigned long long)plan->services.v[i].most);
}

static void
add_main(struct plan *plan, struct pn_str fragment, struct pn_strs domains)
{
	struct pn_str line;

	while (fragment.n > 0 && pn_str_split(&fragment, '\n', &line)) {
		bool comment = pn_str_starts(line, PN_STR("#"));

		if (pn_str_starts(line, PN_STR("postern-wait-")))
			continue;
		if (!comment && is_only_shown(plan, line))
			pn_buf_add_c(&plan->out, "# ");
		pn_buf_add(&plan->out,
		    comment ? fill_comment(plan, line, domains) : fill_setting(plan, line, domains));
		pn_buf_add_char(&plan->out, '\n');
	}
	if (plan->outbound)
		add_recipient_limits(plan);
	pn_buf_add_char(&plan->out, '\n');
}

/* The first service is new; the others are there already and get the marked lines only. */
static void
add_services(struct plan *plan, struct pn_str fragment)
{
	bool ours = false;
	struct pn_str line;

	while (fragment.n > 0 && pn_str_split(&fragment, '\n', &line)) {
		bool service = line.n > 0 && line.p[0] != '#' && !pn_is_space(line.p[0]);

		if (service)
			ours = pn_str_starts(line, PN_STR("postern-redirect "));
		if (line.n > 0 && line.p[0] != '#' && (!ours || plan->targets.n + plan->services.n == 0))
			pn_buf_add_c(&plan->out, "# ");
		pn_buf_add(&plan->out, line);
		pn_buf_add_char(&plan->out, '\n');
	}
}

/* `way_out`: the fragment from there on. */
static void
add_relay_services(struct plan *plan, struct pn_str way_out)
{
	size_t services = pn_str_find_str(way_out, PN_STR("\n\n"));
	size_t none = pn_str_find_str(way_out, PN_STR("# Where mail waits"));

	pn_buf_add(&plan->out, pn_str_head(way_out, services));
	pn_buf_add_c(&plan->out, "\n\n");
	for (size_t i = 0; i < plan->services.n; i++) {
		pn_buf_add(&plan->out,
		    relay_service_text(&plan->services.v[i], plan->map_socket, plan->arena));
		pn_buf_add_char(&plan->out, '\n');
	}
	pn_buf_add(&plan->out, pn_str_from(way_out, none));
}

static void
add_master(struct plan *plan)
{
	struct pn_str fragment = fragment_master();
	size_t way_out = pn_str_find_str(fragment, PN_STR("# The way out"));

	add_services(plan, pn_str_head(fragment, way_out));
	if (plan->services.n > 0)
		add_relay_services(plan, pn_str_from(fragment, way_out));
}

static void
make_text(struct plan *plan, bool main_cf, bool master_cf)
{
	if (main_cf) {
		if (plan->ours.n > 0)
			add_main(plan, fragment_own_domains(), plan->ours);
		if (plan->mixed.n > 0)
			add_main(plan, fragment_mixed_domains(), plan->mixed);
		if (plan->targets.n > 0)
			add_main(plan, fragment_redirect(), plan->ours);
		add_main(plan, fragment_milter(), plan->ours);
		plan->outbound = plan->services.n > 0;
		if (plan->outbound)
			add_main(plan, fragment_outbound(), plan->ours);
	}
	if (master_cf)
		add_master(plan);
}

int
cmd_postfix_conf(struct cli *cli)
{
	struct plan plan = { .cli = cli, .arena = cli->arena };
	struct pn_str folder = PN_STR_EMPTY, part;
	bool no_postfix = false;
	const struct option_row options[] = {
		{ .name = "--postfix-config", .text = &folder },
		{ .name = "--no-postfix", .flag = &no_postfix },
	};
	struct pn_error err = { "" };
	int code = options_take(cli, options, PN_COUNT(options), 0, 1);

	if (code != EX_OK)
		return code;
	part = cli->args.n > 0 ? cli->args.v[0] : PN_STR_EMPTY;
	if (pn_str_eq(part, PN_STR("reply_filter"))) {
		(void)fwrite(fragment_reply_filter().p, 1, fragment_reply_filter().n, stdout);
		return EX_OK;
	}
	if (part.n > 0 && !pn_str_eq(part, PN_STR("main")) && !pn_str_eq(part, PN_STR("master")))
		return cli_misuse(
		    cli, "no \"" PN_STR_FMT "\" here", PN_STR_ARG(text_shown(part, cli->arena)));
	code = cli_load(cli);
	if (code != EX_OK)
		return code;
	plan.has_postfix = !no_postfix && postfix_read(&plan.postfix, cli,
	    folder.n > 0 ? pn_arena_cstr(cli->arena, folder) : NULL, &err) == PN_OK;
	progress_done(cli);
	if (!no_postfix && !plan.has_postfix)
		(void)fprintf(
		    stderr, "postern: warning: Postfix's own settings are not known: %s\n", err.text);
	sort_domains(&plan);
	plan.milter_socket = relative_socket(&plan, cli->config->milter_socket);
	plan.map_socket = relative_socket(&plan, cli->config->map_socket);
	plan.services = relay_services(cli->config->relays, cli->arena);
	plan.senders = senders(&plan);
	pn_buf_init(&plan.out, OUTPUT_MAX);
	make_text(&plan, part.n == 0 || pn_str_eq(part, PN_STR("main")),
	    part.n == 0 || pn_str_eq(part, PN_STR("master")));
	(void)fwrite(pn_buf_c(&plan.out), 1, plan.out.n, stdout);
	pn_buf_done(&plan.out);
	return EX_OK;
}
