/* postern test-relay - Odoo's Test Connection, for relays. */
#include "cli.h"

#include "postern/address.h"
#include "postern/clock.h"
#include "postern/daemon.h"
#include "postern/token.h"
#include "relay_remedy.h"

enum { PATIENCE_SECONDS = 20, STEPS_IN_ALL = 4, MOST_SECONDS = 600 };

struct test {
	struct cli *cli;
	struct pn_str from, to;		/* as given; "" = chosen for each relay */
	bool no_login;
	uint64_t seconds;		/* for one step */
	/* one relay */
	const struct pn_relay *relay;
	struct pn_smtp_plan plan;
	json_t *steps;
	const char *waiting;		/* said when a step takes long */
};

/* -- addresses ------------------------------------------------------------------------ */

/* With its domain as SMTP carries it. */
static struct pn_str
as_envelope(const struct test *t, struct pn_str address)
{
	size_t at = pn_str_find_last(address, '@');
	struct pn_str domain;

	if (at == PN_STR_NONE
	    || pn_domain_to_ascii(pn_str_from(address, at + 1), t->cli->arena, &domain) != PN_OK)
		return address;
	return pn_arena_printf(t->cli->arena, PN_STR_FMT PN_STR_FMT, PN_STR_ARG(pn_str_head(address, at + 1)),
	    PN_STR_ARG(domain));
}

static bool
serves(const struct pn_relay *relay, const struct pn_domain *domain)
{
	return relay->gateway.n == 0 || pn_str_eq(relay->gateway, domain->gateway->name);
}

/* The notification address that Odoo would send as, if the filter has its domain (rule 12, step 2b). */
static struct pn_str
notification(const struct test *t, struct pn_str entry)
{
	const struct pn_directory *directory = &t->cli->config->directory;

	for (size_t i = 0; i < directory->domain_count; i++) {
		const struct pn_domain *domain = &directory->domains[i];

		if (serves(t->relay, domain) && domain->default_from.n > 0
		    && (entry.n == 0
			|| pn_str_eq_nocase(entry, pn_address_after_local(domain->default_from))))
			return domain->default_from;
	}
	return PN_STR_EMPTY;
}

/* For a relay without a filter. */
static struct pn_str
any_sender(const struct test *t)
{
	const struct pn_directory *directory = &t->cli->config->directory;
	struct pn_str address = notification(t, PN_STR_EMPTY);

	for (size_t i = 0; i < directory->domain_count && address.n == 0; i++)
		if (serves(t->relay, &directory->domains[i]))
			address = pn_arena_printf(
			    t->cli->arena, "noreply@" PN_STR_FMT, PN_STR_ARG(directory->domains[i].name));
	return address;
}

/* What the filter covers: its first address, else the notification address, else
 * noreply in its first domain; "" when nothing passes it. */
static struct pn_str
default_sender(const struct test *t)
{
	struct pn_str rest = t->relay->from_filter, entry, address;
	struct pn_str domain = PN_STR_EMPTY, ours = PN_STR_EMPTY;

	if (rest.n == 0)
		return any_sender(t);
	while (pn_str_split(&rest, ',', &entry)) {
		entry = pn_str_trim(entry);
		if (pn_address_normalize(entry, true, t->cli->arena, &address) == PN_OK)
			return address;
		if (entry.n == 0 || pn_str_find(entry, '@') != PN_STR_NONE)
			continue;
		if (domain.n == 0)
			domain = entry;
		if (ours.n == 0)
			ours = notification(t, entry);
	}
	if (ours.n > 0 || domain.n == 0)
		return ours;
	return pn_arena_printf(t->cli->arena, "noreply@" PN_STR_FMT, PN_STR_ARG(domain));
}

/* -- the secret ------------------------------------------------------------------------- */

static enum pn_status
read_secret(const struct test *t, struct pn_str *out, struct pn_error *err)
{
	const struct pn_config *config = t->cli->config;
	const struct pn_relay *relay = t->relay;
	struct pn_token token;
	enum pn_status st;

	if (t->no_login || relay->user.n == 0 || relay->login == PN_LOGIN_CERTIFICATE)
		return PN_OK;
	if (relay->login == PN_LOGIN_PASSWORD)
		return pn_config_secret(
		    pn_arena_cstr(t->cli->arena, relay->password_file), t->cli->arena, out, err);
	st = pn_token_read(config->state_directory, relay->name, pn_clock_now(), t->cli->arena, &token, err);
	if (st == PN_OK)
		*out = token.text;
	return st;
}

/* It is ours, in the arena; only its type says that it is borrowed. */
static void
wipe(struct pn_str secret)
{
	explicit_bzero((void *)(uintptr_t)secret.p, secret.n);
}

/* -- output ----------------------------------------------------------------------------- */

/* The lines of a reply as one. */
static struct pn_str
one_line(struct pn_str text, struct pn_arena *arena)
{
	struct pn_strs_builder lines = { .arena = arena };
	struct pn_str line;

	while (pn_str_split(&text, '\n', &line))
		pn_strs_add(&lines, text_shown(pn_str_trim(line), arena));
	return pn_strs_join(lines.list, PN_STR(" / "), arena);
}

static void
show(const struct test *t, const struct pn_smtp_result *result, const char *remedy)
{
	struct pn_arena *arena = t->cli->arena;
	struct pn_str code = result->code > 0 ? pn_arena_printf(arena, "%u ", result->code) : PN_STR_EMPTY;

	(void)printf("  %-6s  %-8s  %6lld ms  " PN_STR_FMT PN_STR_FMT "\n",
	    result->failure == PN_SMTP_FINE ? "ok" : "FAILED", pn_smtp_step_name(result->step),
	    (long long)result->ms, PN_STR_ARG(code), PN_STR_ARG(one_line(result->text, arena)));
	if (remedy[0] != '\0')
		(void)printf("          remedy: %s\n", remedy);
	(void)fflush(stdout);
}

static json_t *
lines_json(struct pn_str text)
{
	json_t *lines = json_array();
	struct pn_str line;

	while (pn_str_split(&text, '\n', &line))
		(void)json_array_append_new(lines, json_text(line));
	return lines;
}

static void
on_step(void *ctx, const struct pn_smtp_result *result)
{
	struct test *t = ctx;

	progress_done(t->cli);
	if (!t->cli->json)
		show(t, result, relay_remedy(t->relay, result, t->cli->arena));
	(void)json_array_append_new(t->steps,
	    json_pack("{s:s, s:b, s:o, s:o, s:o}", "step", pn_smtp_step_name(result->step), "ok",
		result->failure == PN_SMTP_FINE, "ms", json_number((uint64_t)result->ms), "code",
		result->code > 0 ? json_number(result->code) : json_null(), "text",
		lines_json(result->text)));
	progress_begin(t->cli, t->waiting);
}

static json_t *
relay_json(const struct test *t, const char *failure, const char *remedy)
{
	return json_pack("{s:o, s:o, s:i, s:o, s:o, s:s, s:o, s:O}", "relay", json_text(t->relay->name),
	    "host", json_text(t->relay->host), "port", (int)t->relay->port, "from", json_text(t->plan.sender),
	    "to", json_text(t->plan.recipient), "failure", failure, "remedy",
	    json_text(pn_str_c(remedy)), "steps", t->steps);
}

/* -- one relay -------------------------------------------------------------------------- */

/* What keeps us from asking the relay at all, and tells what to do itself. */
static json_t *
not_asked(const struct test *t, const char *failure, const char *text)
{
	if (!t->cli->json)
		(void)printf("  %-6s  " PN_STR_FMT "\n", "FAILED",
		    PN_STR_ARG(text_shown(pn_str_c(text), t->cli->arena)));
	return relay_json(t, failure, text);
}

/* *fine is left alone or made false. */
static json_t *
try_relay(struct test *t, bool *fine)
{
	struct pn_str secret = PN_STR_EMPTY;
	struct pn_smtp_result last;
	struct pn_error err = { "" };

	if (t->plan.sender.n == 0 && !t->no_login) {
		*fine = false;
		return not_asked(t, pn_smtp_failure_name(PN_SMTP_UNUSABLE),
		    "no From passes its from_filter: list addresses or domains there, or name one with "
		    "--from");
	}
	if (read_secret(t, &secret, &err) != PN_OK) {
		*fine = false;
		return not_asked(t, "no_secret", err.text);
	}
	t->plan.secret = secret;
	progress_begin(t->cli, t->waiting);
	*fine = pn_smtp_try(&t->plan, t->cli->arena, &last) == PN_SMTP_FINE && *fine;
	progress_done(t->cli);
	wipe(secret);
	return relay_json(
	    t, pn_smtp_failure_name(last.failure), relay_remedy(t->relay, &last, t->cli->arena));
}

static json_t *
test_relay(struct test *t, const struct pn_relay *relay, bool *fine)
{
	struct pn_str sender;
	json_t *result;

	t->relay = relay;
	sender = as_envelope(t, t->from.n > 0 ? t->from : default_sender(t));
	t->plan = (struct pn_smtp_plan){ .relay = relay, .helo = t->cli->config->hostname, .sender = sender,
		.recipient = t->to.n > 0 ? as_envelope(t, t->to) : sender,
		.last = t->no_login ? PN_SMTP_STEP_TLS : PN_SMTP_STEP_DATA,
		.step_ms = (int64_t)t->seconds * 1000, .total_ms = (int64_t)t->seconds * STEPS_IN_ALL * 1000,
		.ctx = t, .report = on_step };
	t->steps = json_array();
	t->waiting = pn_arena_printf(t->cli->arena, "waiting for " PN_STR_FMT, PN_STR_ARG(relay->name)).p;
	if (!t->cli->json)
		(void)printf(PN_STR_FMT ": " PN_STR_FMT " port %u, from " PN_STR_FMT " to " PN_STR_FMT "\n",
		    PN_STR_ARG(relay->name), PN_STR_ARG(relay->host), (unsigned)relay->port,
		    PN_STR_ARG(text_shown(t->plan.sender, t->cli->arena)),
		    PN_STR_ARG(text_shown(t->plan.recipient, t->cli->arena)));
	(void)fflush(stdout);
	result = try_relay(t, fine);
	json_decref(t->steps);
	return result;
}

/* -- the command ------------------------------------------------------------------------ */

static struct pn_str
relay_names(const struct cli *cli)
{
	struct pn_strs_builder names = { .arena = cli->arena };

	for (size_t i = 0; i < cli->config->relays.n && i < 20; i++)
		pn_strs_add(&names, cli->config->relays.v[i].name);
	return pn_strs_join(names.list, PN_STR(", "), cli->arena);
}

static int
check_names(const struct cli *cli)
{
	if (cli->config->relays.n == 0)
		return cli_misuse(cli, "no relay is configured; add a relay section");
	for (size_t i = 0; i < cli->args.n; i++)
		if (pn_relay_named(cli->config->relays, cli->args.v[i]) == NULL)
			return cli_misuse(cli, "no relay \"" PN_STR_FMT "\"; there are: " PN_STR_FMT,
			    PN_STR_ARG(cli->args.v[i]), PN_STR_ARG(relay_names(cli)));
	return EX_OK;
}

/* As it was given; "" was not. */
static int
check_address(const struct cli *cli, struct pn_str address)
{
	size_t at = pn_str_find_last(address, '@');

	if (address.n == 0 || (at != PN_STR_NONE && at > 0 && at + 1 < address.n))
		return EX_OK;
	return cli_misuse(cli, "\"" PN_STR_FMT "\" is no address; write local@domain", PN_STR_ARG(address));
}

static bool
is_wanted(const struct cli *cli, const struct pn_relay *relay)
{
	return cli->args.n > 0 ? pn_strs_has(cli->args, relay->name) : relay->active;
}

static int
check_usage(const struct test *t, bool all)
{
	const struct cli *cli = t->cli;
	int code;

	if ((cli->args.n == 0) != all)
		return cli_misuse(cli, "either names of relays or --all");
	if (t->seconds == 0 || t->seconds > MOST_SECONDS)
		return cli_misuse(cli, "--timeout takes 1 to %d seconds", MOST_SECONDS);
	code = check_address(cli, t->from);
	return code == EX_OK ? check_address(cli, t->to) : code;
}

int
cmd_test_relay(struct cli *cli)
{
	struct test t = { .cli = cli, .from = PN_STR_EMPTY, .to = PN_STR_EMPTY, .seconds = PATIENCE_SECONDS };
	bool all = false, fine = true;
	const struct option_row options[] = {
		{ .name = "--from", .text = &t.from },
		{ .name = "--to", .text = &t.to },
		{ .name = "--no-login", .flag = &t.no_login },
		{ .name = "--timeout", .number = &t.seconds },
		{ .name = "--all", .flag = &all },
	};
	int code = options_take(cli, options, PN_COUNT(options), 0, SIZE_MAX);
	json_t *results;

	if (code == EX_OK)
		code = check_usage(&t, all);
	if (code == EX_OK)
		code = cli_load(cli);
	if (code == EX_OK)
		code = check_names(cli);
	if (code != EX_OK)
		return code;
	pn_daemon_keep_secrets();	/* passwords are in memory from here on */
	results = json_array();
	for (size_t i = 0; i < cli->config->relays.n; i++)
		if (is_wanted(cli, &cli->config->relays.v[i]))
			(void)json_array_append_new(results, test_relay(&t, cli->config->relays.v + i, &fine));
	if (cli->json)
		json_print(results);
	else
		json_decref(results);
	return fine ? EX_OK : EXIT_ANSWER_NO;
}
