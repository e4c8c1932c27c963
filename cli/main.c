/* postern - the operator's command; see postern(1). */
#include <errno.h>
#include <stdlib.h>

#include "cli.h"
#include "postern/clock.h"

enum { ARENA_LIMIT = 1 << 30 };		/* never asked: a command holds what it shows */

static int
unknown(const struct cli *cli, struct pn_str name)
{
	const char *nearest = command_nearest(name);
	struct pn_str shown = text_shown(pn_str_head(name, 64), cli->arena);

	if (pn_str_starts(name, PN_STR("-")))
		return cli_misuse(cli, "no option " PN_STR_FMT " here", PN_STR_ARG(shown));
	if (nearest != NULL)
		return cli_misuse(
		    cli, "no command \"" PN_STR_FMT "\"; is it \"%s\"?", PN_STR_ARG(shown), nearest);
	return cli_misuse(cli, "no command \"" PN_STR_FMT "\"", PN_STR_ARG(shown));
}

static int
run(struct cli *cli)
{
	if (cli->args.n == 0) {
		if (!cli->help)
			return cli_misuse(cli, "which command?");
		cli->command = command_find(PN_STR("help"));
		return cmd_help(cli);
	}
	cli->command = command_find(cli->args.v[0]);
	if (cli->command == NULL)
		return unknown(cli, cli->args.v[0]);
	cli->args = (struct pn_strs){ cli->args.v + 1, cli->args.n - 1 };
	if (cli->help) {
		command_help(cli->command);
		return EX_OK;
	}
	return cli->command->run(cli);
}

/* A reader that has seen enough is no error; a full disk is. */
static int
finish_output(int code)
{
	int error;

	errno = 0;
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return code;
	error = errno;
	if (error == EPIPE || error == 0)
		return code;
	(void)fprintf(stderr, "postern: the output cannot be written: %s\n", strerror(error));
	return EX_IOERR;
}

int
main(int argc, char **argv)
{
	struct cli cli = { .arena = pn_arena_new(ARENA_LIMIT), .started_us = pn_clock_mono_us() };
	int code = options_common(&cli, argc, argv);

	if (code < 0)
		code = run(&cli);
	progress_done(&cli);
	cli_done(&cli);
	code = finish_output(code);
	pn_arena_free(cli.arena);
	return code;
}
