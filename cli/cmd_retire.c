/* postern retire - a renamed address goes on working. */
#include "cli.h"

#include "postern/clock.h"
#include "postern/unicode.h"

static const struct column columns[] = {
	{ "gateway", false }, { "address", false }, { "successor", false }, { "since", false },
};

static bool
show(void *ctx, const struct pn_retired *row)
{
	struct rows *rows = ctx;

	rows_text(rows, row->gateway);
	rows_text(rows, row->address);
	rows_text(rows, row->successor);
	rows_time(rows, row->since);
	return true;
}

static int
list(struct cli *cli)
{
	struct pn_error err = { "" };
	int code = cli_look(cli);
	struct rows rows;
	enum pn_status st;

	if (code != EX_OK)
		return code;
	rows_begin(&rows, cli, columns, PN_COUNT(columns));
	st = pn_directory_each_retired(cli->store, show, &rows, &err);
	rows_end(&rows);
	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}

static int
gateway_for(struct cli *cli, struct pn_str name, struct pn_str address, const struct pn_gateway **out)
{
	return name.n > 0 ? cli_gateway(cli, name, out) : cli_gateway_of(cli, address, out);
}

static int
end(struct cli *cli, struct pn_str name, struct pn_str address)
{
	const struct pn_gateway *gateway;
	struct pn_error err = { "" };
	int code = cli_open(cli);
	enum pn_status st;

	if (code == EX_OK)
		code = gateway_for(cli, name, address, &gateway);
	if (code != EX_OK)
		return code;
	st = pn_retired_remove(cli->store, gateway->name, pn_text_lower(address, cli->arena), &err);
	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}

/* A successor that nobody knows is no error - it may come with the next
 * configuration - but rarely what was meant. */
static void
warn_unknown(struct cli *cli, struct pn_str successor)
{
	struct pn_gate gate = { .config = cli->config, .store = cli->store };
	struct pn_error err = { "" };
	struct pn_rcpt who;

	if (pn_gate_recipient(&gate, successor, pn_clock_now(), cli->arena, &who, &err) != PN_OK
	    || who.kind == PN_RCPT_FOREIGN || who.kind == PN_RCPT_UNKNOWN)
		(void)fprintf(stderr,
		    "postern: warning: " PN_STR_FMT " is no alias, catchall or bounce address here\n",
		    PN_STR_ARG(text_shown(successor, cli->arena)));
}

static int
put(struct cli *cli, struct pn_str name)
{
	struct pn_retired row = { .since = pn_clock_now() };
	const struct pn_gateway *gateway;
	struct pn_error err = { "" };
	int code = cli_open(cli);
	enum pn_status st;

	if (code == EX_OK)
		code = gateway_for(cli, name, cli->args.v[0], &gateway);
	if (code != EX_OK)
		return code;
	row.gateway = gateway->name;
	row.address = pn_text_lower(cli->args.v[0], cli->arena);
	row.successor = pn_text_lower(cli->args.v[1], cli->arena);
	warn_unknown(cli, row.successor);
	st = pn_retired_put(cli->store, &row, &err);
	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}

int
cmd_retire(struct cli *cli)
{
	struct pn_str ended = PN_STR_EMPTY, gateway = PN_STR_EMPTY;
	bool listing = false;
	const struct option_row options[] = {
		{ .name = "--list", .flag = &listing },
		{ .name = "--end", .text = &ended },
		{ .name = "--gateway", .text = &gateway },
	};
	int code = options_take(cli, options, PN_COUNT(options), 0, 2);
	size_t wanted = listing || ended.n > 0 ? 0 : 2;

	if (code != EX_OK)
		return code;
	if (cli->args.n != wanted || (listing && ended.n > 0))
		return cli_misuse(cli, "either OLD and NEW, or --list, or --end OLD");
	if (listing)
		return list(cli);
	return ended.n > 0 ? end(cli, gateway, ended) : put(cli, gateway);
}
