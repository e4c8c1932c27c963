/* postern bounces - who could not be reached, and why. */
#include "cli.h"

enum { LIMIT_DEFAULT = 100 };

static const struct column columns[] = {
	{ "time", false },
	{ "gateway", false },
	{ "recipient", false },
	{ "status", false },
	{ "model", false },
	{ "record", true },
	{ "message_id", false },
	{ "reason", false },
};

struct listing {
	struct cli *cli;
	struct rows rows;
	uint64_t limit;
};

static bool
show(void *ctx, const struct pn_bounce_event *event)
{
	struct listing *l = ctx;

	rows_time(&l->rows, event->time);
	rows_text(&l->rows, event->gateway);
	rows_text(&l->rows, event->recipient);
	rows_text(&l->rows, event->status);
	rows_text(&l->rows, event->model);
	rows_number(&l->rows, event->res_id);
	rows_text(&l->rows, event->message_id);
	rows_text(&l->rows, event->reason);
	return l->limit == 0 || l->rows.count < l->limit;
}

int
cmd_bounces(struct cli *cli)
{
	struct listing l = { .cli = cli, .limit = LIMIT_DEFAULT };
	const struct option_row options[] = { { .name = "--limit", .number = &l.limit } };
	struct pn_str name = PN_STR_EMPTY;
	const struct pn_gateway *gateway;
	struct pn_error err = { "" };
	int code = options_take(cli, options, PN_COUNT(options), 1, 2);
	enum pn_status st;

	if (code == EX_OK && !pn_str_eq(cli->args.v[0], PN_STR("list")))
		return cli_misuse(
		    cli, "no \"" PN_STR_FMT "\" here", PN_STR_ARG(text_shown(cli->args.v[0], cli->arena)));
	if (code == EX_OK)
		code = cli_look(cli);
	if (code == EX_OK && cli->args.n == 2)
		name = cli->args.v[1];
	if (code == EX_OK)
		code = cli_gateway(cli, name, &gateway);
	if (code != EX_OK)
		return code;
	rows_begin(&l.rows, cli, columns, PN_COUNT(columns));
	st = pn_bounce_each(cli->store, name, show, &l, &err);
	rows_end(&l.rows);
	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}
