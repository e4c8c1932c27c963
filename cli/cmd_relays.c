/* postern relays - how the relays are, and what they have sent. */
#include "cli.h"

#include "postern/clock.h"
#include "postern/quota.h"

#define BY_OPERATOR "closed by the operator"

static const struct column columns[] = {
	{ "name", false },
	{ "address", false },
	{ "security", false },
	{ "state", false },
	{ "until", false },
	{ "used", false },
	{ "last_success", false },
	{ "last_failure", false },
	{ "reason", false },
};

static const struct column preset_columns[] = {
	{ "preset", false },
	{ "host", false },
	{ "port", true },
	{ "other_ports", false },
	{ "security", false },
	{ "authentication", false },
	{ "limits", false },
	{ "login", false },
};

static const char *const securities[] = {
	[PN_SECURITY_NONE] = "none",
	[PN_SECURITY_STARTTLS] = "starttls",
	[PN_SECURITY_STARTTLS_STRICT] = "starttls_strict",
	[PN_SECURITY_SSL] = "ssl",
	[PN_SECURITY_SSL_STRICT] = "ssl_strict",
};

struct status {
	const char *state;
	int64_t until_ms; /* 0: not closed, or nobody knows */
	struct pn_str reason;
};

/* -- the table ------------------------------------------------------------------------ */

static const char *
unit_name(const struct pn_limit *limit)
{
	static const struct {
		uint64_t ms;
		const char *name;
	} units[] = { { 60000, "minute" }, { 3600000, "hour" }, { 86400000, "day" } };

	for (size_t i = 0; i < PN_COUNT(units); i++)
		if (limit->window_ms == units[i].ms)
			return units[i].name;
	return "window";
}

static struct pn_str
shown_use(const struct pn_relay *relay, const struct pn_quota_use *use, struct pn_arena *arena)
{
	struct pn_strs_builder parts = { .arena = arena };

	for (size_t i = 0; i < relay->limit_count; i++)
		if (relay->limits[i].window_ms > 0)
			pn_strs_add(&parts,
			    pn_arena_printf(arena, "%llu/%llu %s", (unsigned long long)use[i].used,
				(unsigned long long)use[i].most, unit_name(&relay->limits[i])));
	return pn_strs_join(parts.list, PN_STR(", "), arena);
}

/* Of several limits that are used up the one that opens last. */
static void
find_spent(const struct pn_relay *relay, const struct pn_quota_use *use, struct status *out)
{
	for (size_t i = 0; i < relay->limit_count; i++)
		if (relay->limits[i].window_ms > 0 && use[i].used >= use[i].most
		    && use[i].opens_ms >= out->until_ms) {
			out->state = "spent";
			out->until_ms = use[i].opens_ms;
		}
}

static struct status
status_of(const struct pn_relay *relay, const struct pn_health *health, const struct pn_quota_use *use,
    int64_t now_ms)
{
	struct status status = { "open", 0, PN_STR_EMPTY };
	bool by_operator = strcmp(health->reason, BY_OPERATOR) == 0;

	if (!relay->active)
		status.state = "inactive";
	else if (pn_health_is_closed(health, now_ms)) {
		bool for_ever = health->closed_until_ms == PN_HEALTH_UNTIL_OPENED;

		status.state = by_operator || for_ever ? "closed"
		    : health->closed_by_provider       ? "spent"
						       : "down";
		status.until_ms = for_ever ? 0 : health->closed_until_ms;
		status.reason = pn_str_c(health->reason);
	} else {
		find_spent(relay, use, &status);
		if (health->failures > 0)
			status.reason = pn_str_c(health->reason);
	}
	return status;
}

static struct pn_str
shown_address(const struct pn_relay *relay, struct pn_arena *arena)
{
	bool literal = pn_str_find(relay->host, ':') != PN_STR_NONE;

	return pn_arena_printf(arena, "%s" PN_STR_FMT "%s:%u", literal ? "[" : "", PN_STR_ARG(relay->host),
	    literal ? "]" : "", (unsigned)relay->port);
}

static enum pn_status
show(struct cli *cli, struct rows *rows, const struct pn_relay *relay, struct pn_error *err)
{
	struct pn_quota_use use[PN_RELAY_LIMITS_MAX];
	int64_t now_ms = pn_clock_now_ms();
	struct pn_health health;
	struct status status;
	enum pn_status st = pn_health_get(cli->store, relay->name, &health, err);

	if (st == PN_OK)
		st = pn_quota_usage(cli->store, relay, now_ms, use, err);
	if (st != PN_OK)
		return st;
	status = status_of(relay, &health, use, now_ms);
	rows_text(rows, relay->name);
	rows_text(rows, shown_address(relay, cli->arena));
	rows_text(rows, pn_str_c(securities[relay->security]));
	rows_text(rows, pn_str_c(status.state));
	rows_time(rows, (status.until_ms + 999) / 1000);
	rows_text(rows, shown_use(relay, use, cli->arena));
	rows_time(rows, health.last_success_ms / 1000);
	rows_time(rows, health.last_failure_ms / 1000);
	rows_text(rows, status.reason);
	return PN_OK;
}

static int
list(struct cli *cli)
{
	struct pn_error err = { "" };
	enum pn_status st = PN_OK;
	struct rows rows;
	int code = cli_look(cli);

	if (code != EX_OK)
		return code;
	rows_begin(&rows, cli, columns, PN_COUNT(columns));
	for (size_t i = 0; i < cli->config->relays.n && st == PN_OK; i++)
		st = show(cli, &rows, &cli->config->relays.v[i], &err);
	rows_end(&rows);
	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}

static int
list_presets(const struct cli *cli)
{
	struct rows rows;

	rows_begin(&rows, cli, preset_columns, PN_COUNT(preset_columns));
	for (size_t i = 0; i < pn_preset_count; i++) {
		const struct pn_preset *preset = &pn_presets[i];
		const char *const cells[] = { preset->name, preset->host, preset->port, preset->other_ports,
			preset->security, preset->authentication, preset->limits, preset->login };

		for (size_t j = 0; j < PN_COUNT(cells); j++)
			rows_text(&rows, pn_str_c(cells[j]));
	}
	rows_end(&rows);
	return EX_OK;
}

/* -- the operator's word ----------------------------------------------------------------- */

/* "90s", "30m", "2h", "7d"; without a unit seconds. */
static bool
parse_duration(struct pn_str text, int64_t *out_ms)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	int64_t factor = 1;
	uint64_t n;

	for (size_t i = 0; i < PN_COUNT(units) && text.n > 0; i++)
		if (text.p[text.n - 1] == units[i].unit) {
			factor = units[i].seconds;
			text = pn_str_head(text, text.n - 1);
			break;
		}
	if (!pn_str_to_u64(text, 366 * 86400, &n) || n == 0)
		return false;
	*out_ms = (int64_t)n * factor * 1000;
	return true;
}

static enum pn_status
set_health(struct cli *cli, struct pn_str name, bool close, int64_t for_ms, struct pn_error *err)
{
	struct pn_health health;
	enum pn_status st = pn_health_get(cli->store, name, &health, err);

	health.failures = 0;
	health.pauses = 0;
	health.closed_until_ms = 0;
	health.closed_by_provider = false;
	health.reason[0] = '\0';
	if (close) {
		health.closed_until_ms = for_ms > 0 ? pn_clock_now_ms() + for_ms : PN_HEALTH_UNTIL_OPENED;
		health.closed_by_provider = for_ms > 0; /* no success opens it before */
		memcpy(health.reason, BY_OPERATOR, sizeof(BY_OPERATOR));
	}
	return st == PN_OK ? pn_health_set(cli->store, name, &health, err) : st;
}

struct wish {
	struct pn_str open, close, reset;
	struct pn_str period;
	int64_t period_ms;
	bool presets;
};

static int
change(struct cli *cli, const struct wish *wish)
{
	struct pn_str name = wish->open.n > 0 ? wish->open : wish->close.n > 0 ? wish->close : wish->reset;
	struct pn_error err = { "" };
	enum pn_status st;
	int code = cli_load(cli);

	if (code == EX_OK && pn_relay_named(cli->config->relays, name) == NULL)
		return cli_misuse(cli, "no relay \"" PN_STR_FMT "\"; postern relays lists them",
		    PN_STR_ARG(text_shown(name, cli->arena)));
	if (code == EX_OK)
		code = cli_open(cli);
	if (code != EX_OK)
		return code;
	if (wish->reset.n > 0)
		st = pn_quota_clear(cli->store, name, &err);
	else
		st = set_health(cli, name, wish->close.n > 0, wish->period_ms, &err);
	if (st == PN_OK)
		st = pn_store_sync(cli->store, &err);
	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}

int
cmd_relays(struct cli *cli)
{
	struct wish wish = { PN_STR_EMPTY, PN_STR_EMPTY, PN_STR_EMPTY, PN_STR_EMPTY, 0, false };
	const struct option_row options[] = {
		{ .name = "--open", .text = &wish.open },
		{ .name = "--close", .text = &wish.close },
		{ .name = "--for", .text = &wish.period },
		{ .name = "--reset", .text = &wish.reset },
		{ .name = "--presets", .flag = &wish.presets },
	};
	int code = options_take(cli, options, PN_COUNT(options), 0, 0);
	int wishes = (wish.open.n > 0) + (wish.close.n > 0) + (wish.reset.n > 0) + wish.presets;

	if (code != EX_OK)
		return code;
	if (wishes > 1)
		return cli_misuse(cli, "one of --open, --close, --reset and --presets at a time");
	if (wish.period.n > 0 && (wish.close.n == 0 || !parse_duration(wish.period, &wish.period_ms)))
		return cli_misuse(cli, "--for goes with --close and takes a time, as 90s, 30m, 2h or 7d");
	if (wish.presets)
		return list_presets(cli);
	return wishes > 0 ? change(cli, &wish) : list(cli);
}
