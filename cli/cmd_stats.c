/* postern stats - how much there is, and how often what was decided. */
#include "cli.h"

struct figure {
	const char *name;
	uint64_t value;
	const char *help;
};

static void
figures_of(const struct pn_store_usage *u, struct figure out[static 10])
{
	const struct figure rows[10] = {
		{ "generation", u->generation, "Changes of the directory so far" },
		{ "aliases", u->aliases, "Aliases in the directory" },
		{ "retired", u->retired, "Retired addresses" },
		{ "threads", u->threads, "Messages that replies are recognised by" },
		{ "leases", u->leases, "Message-IDs taken a moment ago" },
		{ "windows", u->windows, "Windows in which senders are counted" },
		{ "bounces", u->bounces, "Bounce events" },
		{ "directory_bytes", u->directory_bytes, "Bytes used by the directory" },
		{ "state_bytes", u->state_bytes, "Bytes used by the state" },
		{ "state_map_bytes", u->state_map, "Bytes the state may use" },
	};

	memcpy(out, rows, sizeof(rows));
}

/* -- for people and programs ---------------------------------------------------------- */

struct counting {
	const struct cli *cli;
	json_t *object;
	struct pn_str last;		/* the metric whose TYPE line is out */
};

static bool
add_counter(void *ctx, const struct pn_counter *counter)
{
	struct counting *c = ctx;

	if (c->cli->json)
		(void)json_object_setn_new(
		    c->object, counter->name.p, counter->name.n, json_number(counter->value));
	else
		(void)printf("%-44.*s %llu\n", PN_STR_ARG(text_shown(counter->name, c->cli->arena)),
		    (unsigned long long)counter->value);
	return true;
}

static enum pn_status
show(struct cli *cli, const struct figure *figures, size_t n, struct pn_error *err)
{
	struct counting c = { .cli = cli, .object = json_object() };
	json_t *sizes = json_object();
	enum pn_status st;

	for (size_t i = 0; i < n; i++) {
		if (cli->json)
			(void)json_object_set_new(sizes, figures[i].name, json_number(figures[i].value));
		else
			(void)printf("%-44s %llu\n", figures[i].name, (unsigned long long)figures[i].value);
	}
	st = pn_counters_each(cli->store, add_counter, &c, err);
	if (cli->json && st == PN_OK)
		json_print(json_pack("{s:O, s:O}", "sizes", sizes, "counters", c.object));
	json_decref(sizes);
	json_decref(c.object);
	return st;
}

/* -- for Prometheus ------------------------------------------------------------------- */

static bool
is_metric_name(struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!pn_is_alnum(name.p[i]) && name.p[i] != '_')
			return false;
	return name.n > 0;
}

/* "verdict_hand_over_loop_new": which of its underscores ends the action? */
static bool
split_verdict(struct pn_str name, struct pn_str *action, struct pn_str *rule)
{
	name = pn_str_from(name, 8);
	for (int a = PN_ACTION_ACCEPT; a <= PN_ACTION_HOLD; a++) {
		*action = pn_str_c(pn_action_name((enum pn_action)a));
		if (pn_str_starts(name, *action) && name.n > action->n && name.p[action->n] == '_') {
			*rule = pn_str_from(name, action->n + 1);
			return true;
		}
	}
	return false;
}

static bool
export_counter(void *ctx, const struct pn_counter *counter)
{
	struct counting *c = ctx;
	struct pn_str action, rule;

	if (!is_metric_name(counter->name))
		return true;
	if (pn_str_starts(counter->name, PN_STR("verdict_"))
	    && split_verdict(counter->name, &action, &rule)) {
		if (c->last.n == 0)
			(void)fputs("# HELP postern_verdicts_total Verdicts by action and rule\n"
			    "# TYPE postern_verdicts_total counter\n", stdout);
		c->last = PN_STR("verdicts");
		(void)printf("postern_verdicts_total{action=\"" PN_STR_FMT "\",rule=\"" PN_STR_FMT
			     "\"} %llu\n",
		    PN_STR_ARG(action), PN_STR_ARG(rule), (unsigned long long)counter->value);
		return true;
	}
	(void)printf("# TYPE postern_" PN_STR_FMT "_total counter\npostern_" PN_STR_FMT "_total %llu\n",
	    PN_STR_ARG(counter->name), PN_STR_ARG(counter->name), (unsigned long long)counter->value);
	return true;
}

static enum pn_status export(struct cli *cli, const struct figure *figures, size_t n, struct pn_error *err) {
	struct counting c = { .cli = cli };

	for (size_t i = 0; i < n; i++)(void)
	    printf("# HELP postern_%s %s\n# TYPE postern_%s gauge\npostern_%s %llu\n", figures[i].name,
		figures[i].help, figures[i].name, figures[i].name, (unsigned long long)figures[i].value);
	return pn_counters_each(cli->store, export_counter, &c, err);
}

int
cmd_stats(struct cli *cli)
{
	bool prometheus = false;
	const struct option_row options[] = { { .name = "--prometheus", .flag = &prometheus } };
	struct pn_store_usage usage;
	struct figure figures[10];
	struct pn_error err = { "" };
	int code = options_take(cli, options, PN_COUNT(options), 0, 0);
	enum pn_status st;

	if (code == EX_OK)
		code = cli_look(cli);
	if (code != EX_OK)
		return code;
	st = pn_store_usage(cli->store, &usage, &err);
	if (st == PN_OK) {
		figures_of(&usage, figures);
		st = prometheus ? export(cli, figures, PN_COUNT(figures), &err)
		    : show(cli, figures, PN_COUNT(figures), &err);
	}
	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}
