/* postern loops - the windows in which senders are counted. */
#include "cli.h"

#include <stdlib.h>

#include "postern/clock.h"

static const struct column columns[] = {
	{ "gateway", false }, { "sender", false }, { "model", false }, { "record", false }, { "count", true },
	{ "threshold", true }, { "full", false }, { "oldest", false }, { "newest", false },
};

struct listing {
	struct cli *cli;
	struct pn_str gateway, sender;
	struct pn_window *v;
	size_t n, cap;
	uint64_t seen;
};

static bool
collect(void *ctx, const struct pn_window *window)
{
	struct listing *l = ctx;
	struct pn_arena *arena = l->cli->arena;
	struct pn_window *copy;

	progress(l->cli, "windows read", ++l->seen);
	if (l->gateway.n > 0 && !pn_str_eq(l->gateway, window->gateway))
		return true;
	if (l->sender.n > 0 && !pn_str_eq(l->sender, window->key.sender))
		return true;
	l->v = pn_arena_grow(arena, l->v, l->n, &l->cap, l->n + 1, sizeof(*l->v));
	copy = &l->v[l->n++];
	*copy = *window;
	copy->gateway = pn_arena_dup(arena, window->gateway);
	copy->key.model = pn_arena_dup(arena, window->key.model);
	copy->key.record = pn_arena_dup(arena, window->key.record);
	copy->key.sender = pn_arena_dup(arena, window->key.sender);
	return true;
}

static int
by_name(const void *a, const void *b)
{
	const struct pn_window *x = a, *y = b;
	int order = pn_str_cmp(x->gateway, y->gateway);

	if (order == 0)
		order = pn_str_cmp(x->key.sender, y->key.sender);
	if (order == 0)
		order = pn_str_cmp(x->key.model, y->key.model);
	return order != 0 ? order : pn_str_cmp(x->key.record, y->key.record);
}

/* Mails that have left the window since it was last counted are not known one
 * by one; when the newest has left, all have. */
static uint64_t
count_now(const struct pn_window *window, const struct pn_gateway *gateway, int64_t now_ms)
{
	if (gateway != NULL && window->newest_ms <= now_ms - (int64_t)(gateway->loop_minutes * 60 * 1000))
		return 0;
	return window->count;
}

static void
show(struct listing *l, struct rows *rows, const struct pn_window *window, int64_t now_ms)
{
	const struct pn_gateway *gateway = pn_directory_gateway(&l->cli->config->directory, window->gateway);
	uint64_t threshold = gateway == NULL ? 0 : gateway->loop_threshold;
	uint64_t count = count_now(window, gateway, now_ms);

	rows_text(rows, window->gateway);
	rows_text(rows, window->key.sender);
	rows_text(rows, window->key.model);
	rows_text(rows, window->key.record.n > 0 ? window->key.record : PN_STR("new"));
	rows_number(rows, count);
	rows_number(rows, threshold);
	rows_text(rows, gateway != NULL && count >= threshold && count > 0 ? PN_STR("yes") : PN_STR("no"));
	rows_time(rows, window->oldest_ms / 1000);
	rows_time(rows, window->newest_ms / 1000);
}

static int
list(struct cli *cli, struct pn_str gateway, struct pn_str sender)
{
	struct listing l = { .cli = cli, .gateway = gateway, .sender = sender };
	int64_t now_ms = pn_clock_now_ms();
	struct pn_error err = { "" };
	enum pn_status st = pn_window_each(cli->store, collect, &l, &err);
	struct rows rows;

	progress_done(cli);
	if (st != PN_OK)
		return cli_fail(st, "%s", err.text);
	if (l.n > 0)
		qsort(l.v, l.n, sizeof(*l.v), by_name);
	rows_begin(&rows, cli, columns, PN_COUNT(columns));
	for (size_t i = 0; i < l.n; i++)
		show(&l, &rows, &l.v[i], now_ms);
	rows_end(&rows);
	return EX_OK;
}

static int
clear(struct cli *cli, struct pn_str gateway, struct pn_str sender)
{
	struct pn_error err = { "" };
	uint64_t cleared = 0;
	enum pn_status st = pn_window_clear(cli->store, gateway, sender, &cleared, &err);

	if (st == PN_OK)
		st = pn_store_sync(cli->store, &err);
	if (st != PN_OK)
		return cli_fail(st, "%s", err.text);
	if (cli->json)
		json_print(json_pack("{s:o}", "cleared", json_number(cleared)));
	else
		(void)printf("%llu windows cleared\n", (unsigned long long)cleared);
	return cleared > 0 || sender.n == 0 ? EX_OK : EXIT_ANSWER_NO;
}

int
cmd_loops(struct cli *cli)
{
	struct pn_str gateway = PN_STR_EMPTY, sender = PN_STR_EMPTY, what;
	bool all = false, clears;
	const struct option_row options[] = {
		{ .name = "--gateway", .text = &gateway },
		{ .name = "--all", .flag = &all },
	};
	const struct pn_gateway *found;
	int code = options_take(cli, options, PN_COUNT(options), 1, 2);

	if (code != EX_OK)
		return code;
	what = cli->args.v[0];
	clears = pn_str_eq(what, PN_STR("clear"));
	if (cli->args.n > 1)
		sender = cli->args.v[1];
	if (!clears && !pn_str_eq(what, PN_STR("list")))
		return cli_misuse(
		    cli, "no \"" PN_STR_FMT "\" here", PN_STR_ARG(text_shown(what, cli->arena)));
	if (clears && all == (sender.n > 0))
		return cli_misuse(cli, "clear takes a sender, or --all");
	code = cli_load(cli);
	if (code == EX_OK)
		code = clears && cli_has_state(cli->config) ? cli_open(cli) : cli_look(cli);
	if (code == EX_OK)
		code = cli_gateway(cli, gateway, &found);
	if (code != EX_OK)
		return code;
	return clears ? clear(cli, gateway, sender) : list(cli, gateway, sender);
}
