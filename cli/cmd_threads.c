/* postern threads - the messages that replies are recognised by. */
#include "cli.h"
#include "newest.h"

enum { LIMIT_DEFAULT = 100 };

static const struct column columns[] = {
	{ "gateway", false }, { "model", false }, { "record", true }, { "origin", false }, { "seen", false },
	{ "message_id", false },
};

static const char *
origin_name(enum pn_thread_origin origin)
{
	switch (origin) {
	case PN_THREAD_OUTBOUND: return "outbound";
	case PN_THREAD_INBOUND: return "inbound";
	case PN_THREAD_SYNCED: return "synced";
	}
	return "?";
}

struct row {
	struct pn_str gateway;
	struct pn_thread thread;
};

static void *
copy_row(struct pn_arena *arena, const void *value)
{
	struct row *row = PN_ARENA_NEW(arena, struct row);

	*row = *(const struct row *)value;
	row->gateway = pn_arena_dup(arena, row->gateway);
	row->thread.message_id = pn_arena_dup(arena, row->thread.message_id);
	row->thread.model = pn_arena_dup(arena, row->thread.model);
	return row;
}

struct listing {
	struct cli *cli;
	struct newest newest;
	uint64_t seen;
};

static bool
collect(void *ctx, struct pn_str gateway, const struct pn_thread *thread)
{
	struct listing *l = ctx;
	struct row row = { gateway, *thread };

	progress(l->cli, "threads read", ++l->seen);
	newest_add(&l->newest, thread->sequence, thread->message_id, &row);
	return true;
}

static void
show(struct rows *rows, const struct row *row)
{
	const struct pn_thread *t = &row->thread;

	rows_text(rows, row->gateway);
	rows_text(rows, t->model);
	rows_number(rows, t->res_id);
	rows_text(rows, pn_str_c(origin_name(t->origin)));
	rows_time(rows, t->seen);
	rows_text(rows, t->message_id);
}

static int
list(struct cli *cli, struct pn_str gateway, uint64_t limit)
{
	struct listing l = { .cli = cli };
	struct pn_error err = { "" };
	struct rows rows;
	enum pn_status st;

	newest_init(&l.newest, (size_t)limit, copy_row);
	st = pn_thread_each(cli->store, gateway, collect, &l, &err);
	newest_finish(&l.newest);
	progress_done(cli);
	rows_begin(&rows, cli, columns, PN_COUNT(columns));
	for (size_t i = 0; st == PN_OK && i < l.newest.n; i++)
		show(&rows, l.newest.v[i].value);
	rows_end(&rows);
	newest_done(&l.newest);
	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}

/* People leave the angle brackets out, but they are part of what is stored. */
static struct pn_str
with_brackets(struct pn_str id, struct pn_arena *arena)
{
	return pn_str_starts(id, PN_STR("<")) ? id
					      : pn_arena_printf(arena, "<" PN_STR_FMT ">", PN_STR_ARG(id));
}

static int
find(struct cli *cli, struct pn_str gateway, struct pn_str id)
{
	struct pn_strs one = { &id, 1 };
	struct pn_error err = { "" };
	enum pn_status st = PN_OK;
	struct rows rows;

	id = with_brackets(id, cli->arena);
	rows_begin(&rows, cli, columns, PN_COUNT(columns));
	for (size_t i = 0; i < cli->config->directory.gateway_count; i++) {
		struct row row = { .gateway = cli->config->directory.gateways[i].name };

		if (gateway.n > 0 && !pn_str_eq(gateway, row.gateway))
			continue;
		st = pn_thread_newest(cli->store, row.gateway, one, cli->arena, &row.thread, &err);
		if (st == PN_OK)
			show(&rows, &row);
		else if (st != PN_NOT_FOUND)
			break;
	}
	rows_end(&rows);
	if (st != PN_OK && st != PN_NOT_FOUND)
		return cli_fail(st, "%s", err.text);
	return rows.count > 0 ? EX_OK : EXIT_ANSWER_NO;
}

int
cmd_threads(struct cli *cli)
{
	struct pn_str id = PN_STR_EMPTY, name = PN_STR_EMPTY;
	uint64_t limit = LIMIT_DEFAULT;
	const struct option_row options[] = {
		{ .name = "--id", .text = &id },
		{ .name = "--limit", .number = &limit },
	};
	const struct pn_gateway *gateway;
	int code = options_take(cli, options, PN_COUNT(options), 0, 1);

	if (code == EX_OK)
		code = cli_look(cli);
	if (code == EX_OK && cli->args.n == 1)
		name = cli->args.v[0];
	if (code == EX_OK)
		code = cli_gateway(cli, name, &gateway);
	if (code != EX_OK)
		return code;
	return id.n > 0 ? find(cli, name, id) : list(cli, name, limit);
}
