/* postern postfix-conf - the fragments of postfix-conf/ with the names of this host. */
#include "fragments.h"
#include "postfix.h"

enum { OUTPUT_MAX = 64 << 20 };

struct plan {
	struct cli *cli;
	struct pn_arena *arena;
	struct postfix postfix;
	bool has_postfix;
	struct pn_strs ours, mixed, targets;
	bool keeps;			/* a domain of ours stays on this host */
	struct pn_str milter_socket, map_socket;	/* as Postfix names them */
	bool restrictions_shown;
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
	    || pn_str_contains(word, PN_STR("postern-redirect")) || pn_strs_has(plan->ours, word);
}

/* The words that stay in front of ours, with ", " behind each. */
static struct pn_str
present(const struct plan *plan, const char *name)
{
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
	return pn_arena_printf(plan->arena, PN_STR_FMT ", ",
	    PN_STR_ARG(pn_strs_join(kept.list, PN_STR(", "), plan->arena)));
}

static struct pn_str
relayhost(const struct plan *plan)
{
	return plan->has_postfix && postfix_is_set(&plan->postfix, "relayhost")
	    && pn_str_eq(postfix_get(&plan->postfix, "default_transport"), PN_STR("smtp"))
	    ? postfix_get(&plan->postfix, "relayhost") : PN_STR_EMPTY;
}

/* -- filling in ----------------------------------------------------------------------- */

struct change {
	struct pn_str from, to;
};

/* At each place the first change that fits; everything else as it is. */
static struct pn_str
replace(const struct plan *plan, struct pn_str line, const struct change *changes, size_t n)
{
	struct pn_buf out;
	struct pn_str result;

	pn_buf_init(&out, OUTPUT_MAX);
	while (line.n > 0) {
		size_t i = 0;

		while (i < n && !pn_str_starts(line, changes[i].from))
			i++;
		pn_buf_add(&out, i < n ? changes[i].to : pn_str_head(line, 1));
		line = pn_str_from(line, i < n ? changes[i].from.n : 1);
	}
	result = pn_arena_dup(plan->arena, pn_buf_str(&out));
	pn_buf_done(&out);
	return result;
}

static struct pn_str
transport_entries(const struct plan *plan)
{
	struct pn_strs_builder entries = { .arena = plan->arena };

	for (size_t i = 0; i < plan->targets.n; i++)
		pn_strs_add(&entries, pn_arena_printf(plan->arena, "{" PN_STR_FMT " = postern-redirect:}",
		    PN_STR_ARG(plan->targets.v[i])));
	return pn_strs_join(entries.list, PN_STR(",\n    "), plan->arena);
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
	const struct change changes[] = {
		{ PN_STR("relay_domains = "),
		    pn_arena_printf(plan->arena, "relay_domains = " PN_STR_FMT,
			PN_STR_ARG(present(plan, "relay_domains"))) },
		{ PN_STR("smtpd_milters = "),
		    pn_arena_printf(plan->arena, "smtpd_milters = " PN_STR_FMT,
			PN_STR_ARG(present(plan, "smtpd_milters"))) },
		{ PN_STR("transport_maps = inline"),
		    pn_arena_printf(plan->arena, "transport_maps = " PN_STR_FMT "inline",
			PN_STR_ARG(present(plan, "transport_maps"))) },
		{ PN_STR("{acme.odoo.example = postern-redirect:}"), transport_entries(plan) },
		{ PN_STR("acme.example"), pn_strs_join(domains, PN_STR(",\n    "), plan->arena) },
		{ PN_STR("unix:postern/milter.sock"), plan->milter_socket },
		{ PN_STR("unix:postern/map.sock"), plan->map_socket },
	};

	/* the table in front of ours is an example */
	if (pn_str_starts(line, PN_STR("virtual_alias_maps = ")))
		line = pn_arena_printf(plan->arena, "virtual_alias_maps = " PN_STR_FMT PN_STR_FMT,
		    PN_STR_ARG(present(plan, "virtual_alias_maps")),
		    PN_STR_ARG(pn_str_from(line, pn_str_find_str(line, PN_STR("socketmap:")))));
	return replace(plan, line, changes, PN_COUNT(changes));
}

static struct pn_str
fill_comment(const struct plan *plan, struct pn_str line, struct pn_strs domains)
{
	const struct change changes[] = {
		{ PN_STR("acme.odoo.example"), first_of(plan->targets, PN_STR("acme.odoo.example")) },
		{ PN_STR("acme.example"), first_of(domains, PN_STR("acme.example")) },
	};

	if (relayhost(plan).n > 0 && pn_str_starts(line, PN_STR("# default_transport = ")))
		return pn_arena_printf(
		    plan->arena, "default_transport = smtp:" PN_STR_FMT, PN_STR_ARG(relayhost(plan)));
	return replace(plan, line, changes, PN_COUNT(changes));
}

/* What is the operator's own stays a comment. */
static bool
is_only_shown(struct plan *plan, struct pn_str line)
{
	if (pn_str_starts(line, PN_STR("virtual_mailbox_")))
		return true;
	if (pn_str_starts(line, PN_STR("relay_transport = ")))
		return plan->keeps;
	if (pn_str_starts(line, PN_STR("smtpd_relay_restrictions = "))) {
		bool shown = plan->restrictions_shown;

		plan->restrictions_shown = true;
		return shown
		    || (plan->has_postfix && postfix_is_set(&plan->postfix, "smtpd_relay_restrictions"));
	}
	return false;
}

static void
add_main(struct plan *plan, struct pn_str fragment, struct pn_strs domains)
{
	struct pn_str line;

	while (fragment.n > 0 && pn_str_split(&fragment, '\n', &line)) {
		bool comment = pn_str_starts(line, PN_STR("#"));

		if (!comment && is_only_shown(plan, line))
			pn_buf_add_c(&plan->out, "# ");
		pn_buf_add(&plan->out,
		    comment ? fill_comment(plan, line, domains) : fill_setting(plan, line, domains));
		pn_buf_add_char(&plan->out, '\n');
	}
	pn_buf_add_char(&plan->out, '\n');
}

/* The first service is new; the others are there already and get the marked lines only. */
static void
add_master(struct plan *plan)
{
	struct pn_str fragment = fragment_master(), line;
	bool ours = false;

	while (fragment.n > 0 && pn_str_split(&fragment, '\n', &line)) {
		bool service = line.n > 0 && line.p[0] != '#' && !pn_is_space(line.p[0]);

		if (service)
			ours = pn_str_starts(line, PN_STR("postern-redirect "));
		if (line.n > 0 && line.p[0] != '#' && (!ours || plan->targets.n == 0))
			pn_buf_add_c(&plan->out, "# ");
		pn_buf_add(&plan->out, line);
		pn_buf_add_char(&plan->out, '\n');
	}
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
	pn_buf_init(&plan.out, OUTPUT_MAX);
	make_text(&plan, part.n == 0 || pn_str_eq(part, PN_STR("main")),
	    part.n == 0 || pn_str_eq(part, PN_STR("master")));
	(void)fwrite(pn_buf_c(&plan.out), 1, plan.out.n, stdout);
	pn_buf_done(&plan.out);
	return EX_OK;
}
