/* postern aliases - what the directory knows, and whose an address is. */
#include "cli.h"

#include "postern/clock.h"

/* -- list ----------------------------------------------------------------------------- */

static const struct column alias_columns[] = {
	{ "gateway", false }, { "address", false }, { "model", false }, { "contact", false },
	{ "record", true }, { "owner", false }, { "any_domain", false }, { "source", false },
};

static const char *
contact_name(enum pn_contact contact)
{
	switch (contact) {
	case PN_CONTACT_EVERYONE: return "everyone";
	case PN_CONTACT_PARTNERS: return "partners";
	case PN_CONTACT_FOLLOWERS: return "followers";
	case PN_CONTACT_EMPLOYEES: return "employees";
	}
	return "?";
}

struct listing {
	struct cli *cli;
	struct rows rows;
};

static bool
show_alias(void *ctx, const struct pn_alias_row *row, enum pn_source source)
{
	struct listing *l = ctx;
	const struct pn_alias *a = &row->alias;
	char owner[512] = "";

	if (a->parent_model.n > 0)
		(void)snprintf(owner, sizeof(owner), PN_STR_FMT " %llu",
		    PN_STR_ARG(pn_str_head(a->parent_model, 400)), (unsigned long long)a->parent_id);
	rows_text(&l->rows, row->gateway);
	rows_text(&l->rows, a->full);
	rows_text(&l->rows, a->model);
	rows_text(&l->rows, pn_str_c(contact_name(a->contact)));
	rows_number(&l->rows, a->force_thread_id);
	rows_text(&l->rows, pn_str_c(owner));
	rows_text(&l->rows, a->incoming_local ? PN_STR("yes") : PN_STR("no"));
	rows_text(&l->rows, source == PN_SOURCE_CONFIG ? PN_STR("config") : PN_STR("sync"));
	return true;
}

static int
list(struct cli *cli, struct pn_str name)
{
	struct listing l = { .cli = cli };
	const struct pn_gateway *gateway;
	struct pn_error err = { "" };
	int code = cli_look(cli);
	enum pn_status st;

	if (code == EX_OK)
		code = cli_gateway(cli, name, &gateway);
	if (code != EX_OK)
		return code;
	rows_begin(&l.rows, cli, alias_columns, PN_COUNT(alias_columns));
	st = pn_directory_each_alias(cli->store, name, show_alias, &l, &err);
	rows_end(&l.rows);
	return st == PN_OK ? EX_OK : cli_fail(st, "%s", err.text);
}

/* -- apply ---------------------------------------------------------------------------- */

static int
apply(struct cli *cli)
{
	struct pn_directory_changes changes = { 0, 0, 0 };
	struct pn_error err = { "" };
	struct pn_gate gate;
	int code = cli_open(cli);
	enum pn_status st;

	if (code != EX_OK)
		return code;
	progress_begin(cli, "writing the directory");
	gate = (struct pn_gate){ .config = cli->config, .store = cli->store };
	st = pn_gate_apply(&gate, pn_clock_now(), &changes, &err);
	progress_done(cli);
	if (st != PN_OK)
		return cli_fail(st, "%s", err.text);
	if (cli->json)
		json_print(json_pack("{s:o, s:o, s:o}", "added", json_number(changes.added), "changed",
		    json_number(changes.changed), "removed", json_number(changes.removed)));
	else
		(void)printf("aliases: %llu added, %llu changed, %llu removed\n",
		    (unsigned long long)changes.added, (unsigned long long)changes.changed,
		    (unsigned long long)changes.removed);
	return EX_OK;
}

/* -- find ----------------------------------------------------------------------------- */

static const char *
answer_name(enum pn_rcpt_answer answer)
{
	switch (answer) {
	case PN_RCPT_OURS: return "ours";
	case PN_RCPT_PASS: return "pass";
	case PN_RCPT_REJECT: return "reject";
	}
	return "?";
}

static void
print_found(struct cli *cli, const struct pn_rcpt *who)
{
	const struct { const char *key; struct pn_str value; } parts[] = {
		{ "address", who->address },
		{ "kind", pn_str_c(pn_rcpt_kind_name(who->kind)) },
		{ "answer", pn_str_c(answer_name(who->answer)) },
		{ "gateway", who->gateway != NULL ? who->gateway->name : PN_STR_EMPTY },
		{ "domain", who->domain != NULL ? who->domain->name : PN_STR_EMPTY },
		{ "alias", who->alias },
		{ "model", who->model },
		{ "successor", who->successor },
		{ "human", who->human },
	};
	json_t *object = json_object();

	for (size_t i = 0; i < PN_COUNT(parts); i++) {
		if (parts[i].value.n == 0)
			continue;
		if (cli->json)
			(void)json_object_set_new(object, parts[i].key, json_text(parts[i].value));
		else
			(void)printf("%-10s " PN_STR_FMT "\n", parts[i].key,
			    PN_STR_ARG(text_shown(parts[i].value, cli->arena)));
	}
	if (cli->json)
		json_print(object);
	else
		json_decref(object);
}

static int
find(struct cli *cli, struct pn_str address)
{
	struct pn_error err = { "" };
	struct pn_rcpt who;
	struct pn_gate gate;
	int code = cli_look(cli);
	enum pn_status st;

	if (code != EX_OK)
		return code;
	gate = (struct pn_gate){ .config = cli->config, .store = cli->store };
	st = pn_gate_recipient(&gate, address, pn_clock_now(), cli->arena, &who, &err);
	if (st != PN_OK)
		return cli_fail(st, "%s", err.text);
	print_found(cli, &who);
	return who.answer == PN_RCPT_OURS ? EX_OK : EXIT_ANSWER_NO;
}

int
cmd_aliases(struct cli *cli)
{
	int code = options_take(cli, NULL, 0, 0, 2);
	struct pn_str what = PN_STR("list"), operand = PN_STR_EMPTY;

	if (code != EX_OK)
		return code;
	if (cli->args.n > 0)
		what = cli->args.v[0];
	if (cli->args.n > 1)
		operand = cli->args.v[1];
	if (pn_str_eq(what, PN_STR("list")))
		return list(cli, operand);
	if (pn_str_eq(what, PN_STR("apply")))
		return operand.n > 0 ? cli_misuse(cli, "apply takes no operand") : apply(cli);
	if (!pn_str_eq(what, PN_STR("find")))
		return cli_misuse(
		    cli, "no \"" PN_STR_FMT "\" here", PN_STR_ARG(text_shown(what, cli->arena)));
	return operand.n == 0 ? cli_misuse(cli, "which address?") : find(cli, operand);
}
