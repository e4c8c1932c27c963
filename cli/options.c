/* Options may stand before or behind the command and its operands. */
#include "cli.h"

#include <stdarg.h>

/* -- saying what is wrong ------------------------------------------------------------- */

int
cli_misuse(const struct cli *cli, const char *format, ...)
{
	const struct command *command = cli->command;
	va_list args;

	(void)fputs("postern: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	if (command == NULL)
		(void)fputs(
		    "\nusage: postern [-c FILE] COMMAND ...; postern help lists the commands\n", stderr);
	else
		(void)fprintf(stderr, "\nusage: postern %s %s\n", command->name, command->synopsis);
	return EX_USAGE;
}

/* What a status means to whoever called the command. */
int
cli_exit_code(enum pn_status st)
{
	switch (st) {
	case PN_OK:
		return EX_OK;
	case PN_NOT_FOUND:
		return EXIT_ANSWER_NO;
	case PN_INVALID:
	case PN_LIMIT:
		return EX_DATAERR;
	case PN_TEMPFAIL:
		break;
	}
	return EX_UNAVAILABLE;
}

int
cli_fail(enum pn_status st, const char *format, ...)
{
	va_list args;

	(void)fputs("postern: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	return cli_exit_code(st);
}

/* -- taking options ------------------------------------------------------------------- */

/* Walks over arguments of our own process: they end in NUL. */
struct walk {
	struct pn_strs in;
	size_t at;
	struct pn_str name;		/* of the option, without "=value" */
	struct pn_str inline_value;	/* behind the "="; p is NULL without one */
	struct pn_strs_builder left;
	bool ended;			/* behind "--" */
};

/* The next argument.  True: it is an option, in w->name. */
static bool
next_is_option(struct walk *w)
{
	struct pn_str arg = w->in.v[w->at++];
	size_t equals;

	if (w->ended || arg.n < 2 || arg.p[0] != '-') {
		pn_strs_add(&w->left, arg);
		return false;
	}
	w->name = arg;
	w->inline_value = pn_str_n(NULL, 0);
	equals = pn_str_starts(arg, PN_STR("--")) ? pn_str_find(arg, '=') : PN_STR_NONE;
	if (equals != PN_STR_NONE) {
		w->name = pn_str_head(arg, equals);
		w->inline_value = pn_str_from(arg, equals + 1);
	}
	return true;
}

static bool
take_value(struct walk *w, struct pn_str *out)
{
	if (w->inline_value.p != NULL)
		*out = w->inline_value;
	else if (w->at < w->in.n)
		*out = w->in.v[w->at++];
	else
		return false;
	return true;
}

static int
take_flag(const struct cli *cli, const struct walk *w, bool *flag)
{
	if (w->inline_value.p != NULL)
		return cli_misuse(cli, PN_STR_FMT " takes no value", PN_STR_ARG(w->name));
	*flag = true;
	return EX_OK;
}

static int
take_option(const struct cli *cli, struct walk *w, const struct option_row *row)
{
	struct pn_str value;

	if (row->flag != NULL)
		return take_flag(cli, w, row->flag);
	if (!take_value(w, &value))
		return cli_misuse(cli, "%s needs a value", row->name);
	if (row->text != NULL)
		*row->text = value;
	else if (row->list != NULL)
		pn_strs_add(row->list, value);
	else if (!pn_str_to_u64(value, UINT64_MAX, row->number))
		return cli_misuse(
		    cli, "%s takes a number, not \"" PN_STR_FMT "\"", row->name, PN_STR_ARG(value));
	return EX_OK;
}

static const struct option_row *
find_row(const struct option_row *rows, size_t n, struct pn_str name)
{
	for (size_t i = 0; i < n; i++)
		if (pn_str_eq(name, pn_str_c(rows[i].name)))
			return &rows[i];
	return NULL;
}

int
options_take(struct cli *cli, const struct option_row *rows, size_t n, size_t least, size_t most)
{
	struct walk w = { .in = cli->args, .left = { .arena = cli->arena } };
	int code = EX_OK;

	while (w.at < w.in.n && code == EX_OK) {
		const struct option_row *row;

		if (!w.ended && pn_str_eq(w.in.v[w.at], PN_STR("--"))) {
			w.ended = true;
			w.at++;
			continue;
		}
		if (!next_is_option(&w))
			continue;
		row = find_row(rows, n, w.name);
		if (row == NULL)
			return cli_misuse(cli, "no option " PN_STR_FMT " here", PN_STR_ARG(w.name));
		code = take_option(cli, &w, row);
	}
	cli->args = w.left.list;
	if (code == EX_OK && cli->args.n < least)
		return cli_misuse(cli, "an operand is missing");
	if (code == EX_OK && cli->args.n > most)
		return cli_misuse(cli, "too many operands: " PN_STR_FMT, PN_STR_ARG(cli->args.v[most]));
	return code;
}

/* -- the common ones ------------------------------------------------------------------ */

struct common {
	bool version;
	struct pn_str config;
};

static const char *
long_name(struct pn_str name)
{
	static const struct { struct pn_str is; const char *means; } names[] = {
		{ { "-c", 2 }, "--config" }, { { "-v", 2 }, "--verbose" }, { { "-h", 2 }, "--help" },
		{ { "-V", 2 }, "--version" },
	};

	for (size_t i = 0; i < PN_COUNT(names); i++)
		if (pn_str_eq(name, names[i].is))
			return names[i].means;
	return NULL;
}

/* Options that are not common stay where they are: only the command knows
 * whether they take a value. */
static int
take_common(struct cli *cli, struct walk *w, struct common *common)
{
	const struct option_row rows[] = {
		{ .name = "--config", .text = &common->config },
		{ .name = "--json", .flag = &cli->json },
		{ .name = "--verbose", .flag = &cli->verbose },
		{ .name = "--help", .flag = &cli->help },
		{ .name = "--version", .flag = &common->version },
	};
	int code = EX_OK;

	while (w->at < w->in.n && code == EX_OK) {
		struct pn_str whole = w->in.v[w->at];
		const struct option_row *row;

		w->ended = w->ended || pn_str_eq(whole, PN_STR("--"));
		if (!next_is_option(w))
			continue;
		if (long_name(w->name) != NULL)
			w->name = pn_str_c(long_name(w->name));
		row = find_row(rows, PN_COUNT(rows), w->name);
		if (row != NULL)
			code = take_option(cli, w, row);
		else
			pn_strs_add(&w->left, whole);
	}
	return code;
}

int
options_common(struct cli *cli, int argc, char **argv)
{
	struct walk w = { .left = { .arena = cli->arena } };
	struct pn_strs_builder in = { .arena = cli->arena };
	struct common common = { .config = PN_STR(PN_CONFIG_DEFAULT_PATH) };
	int code;

	for (int i = 1; i < argc; i++)
		pn_strs_add(&in, pn_str_c(argv[i]));
	w.in = in.list;
	code = take_common(cli, &w, &common);
	if (code != EX_OK)
		return code;
	cli->config_path = pn_arena_cstr(cli->arena, common.config);
	cli->args = w.left.list;
	if (common.version) {
		(void)printf("postern %s\n", PN_VERSION);
		return EX_OK;
	}
	return -1;
}
