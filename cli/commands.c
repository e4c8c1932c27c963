/* The table of commands: help, the list of commands and the suggestions come from it. */
#include "cli.h"

#include "postern/nearest.h"

#define GATEWAY_OPERAND "GATEWAY is a gateway's name; without one all are shown.\n"

const struct command cli_commands[] = {
	{ "aliases", "show, apply or find aliases", "[list [GATEWAY]] | apply | find ADDRESS",
	    "list    the aliases in the directory, of the configuration and synchronised ones\n"
	    "apply   makes the directory follow the configuration, as starting a daemon does\n"
	    "find    whose an envelope recipient is; exits with 1 when it is refused or not "
	    "ours\n" GATEWAY_OPERAND,
	    cmd_aliases },
	{ "bounces", "show the bounces that came in", "list [GATEWAY] [--limit N]",
	    "Newest first.  " GATEWAY_OPERAND "\n"
	    "  --limit N    at most so many (100); 0 is all\n",
	    cmd_bounces },
	{ "check", "look for mistakes in configuration, state, sockets and Postfix",
	    "[--postfix-config DIR | --no-postfix]",
	    "One line for each finding: ok, warning or error, and what to do.  Exits with 1 when\n"
	    "there is an error.\n\n"
	    "  --postfix-config DIR   the folder of main.cf and master.cf\n"
	    "  --no-postfix           leaves Postfix out\n",
	    cmd_check },
	{ "config", "print the configuration", "[-n | -d | --sample | --manual]",
	    "  -n           what the files set (this is the default)\n"
	    "  -d           every key with its default\n"
	    "  --sample     a file that explains every key\n"
	    "  --manual     the keys as postern.conf(5) describes them, in mdoc\n",
	    cmd_config },
	{ "doctor", "say what is wrong with the DNS of our domains, and what to publish",
	    "[--dns SERVER] [DOMAIN ...]",
	    "SPF, DKIM, DMARC, MX and reverse names, and what a receiver would say to each From by each\n"
	    "relay.  Without DOMAIN: those of domain sections, from_filters and keys.  Exits with 0 when\n"
	    "all is well, 1 with warnings, 2 with errors, 75 when the DNS cannot say.\n\n"
	    "  --dns SERVER   asks this name server, ADDRESS or ADDRESS@PORT\n",
	    cmd_doctor },
	{ "explain", "show what would happen to a mail, and why",
	    "FILE --from ADDRESS --to ADDRESS ... [--outbound]",
	    "Runs the mail in FILE (\"-\" is standard input) through the gate without changing anything.\n\n"
	    "  --from ADDRESS   the envelope sender; \"<>\" is the null sender of bounces\n"
	    "  --to ADDRESS     an envelope recipient; may be given several times\n"
	    "  --outbound       from a client that may send for our domains\n"
	    "  --client IP --helo NAME\n"
	    "                   who brings it: SPF, DKIM and DMARC are looked at\n"
	    "  --user LOGIN     from a client that has logged in: --outbound, with its personal relays\n"
	    "  --sendmail       handed in with sendmail(1): nothing can be refused\n",
	    cmd_explain },
	{ "help", "show this list, or the help of a command", "[COMMAND]", "", cmd_help },
	{ "keys", "make, show, check and rotate the keys of DKIM",
	    "make DOMAIN | show DOMAIN | check [DOMAIN] | rotate DOMAIN | list [DOMAIN]",
	    "make    a private key, its lines in both tables, and the record to publish (or: generate)\n"
	    "show    what to publish, for zone files and panels\n"
	    "check   is the published key the private key's other half?  Exits with 1 when one is not\n"
	    "rotate  the next step from one key to another; run it again for the one after\n"
	    "list    all keys\n\n"
	    "  --selector S     of the new key (the date)\n"
	    "  --type T         make: rsa, ed25519 or both (rsa)\n"
	    "  --bits N         make: of RSA (2048)\n"
	    "  --directory DIR  where private keys are (/etc/postern/keys)\n"
	    "  --print          make: changes no table, prints the lines\n"
	    "  --keep DAYS      rotate: how long the old record stays (7)\n"
	    "  --continue       rotate: goes on with what is under way, and begins nothing\n"
	    "  --after DAYS     rotate: begins only when a key that signs is that old\n"
	    "  --dns SERVER     asks this name server, ADDRESS or ADDRESS@PORT\n",
	    cmd_keys },
	{ "loops", "show or clear the windows in which senders are counted",
	    "list [SENDER] | clear SENDER | clear --all  [--gateway GATEWAY]",
	    "  --gateway G  only this gateway's\n"
	    "  --all        clears the windows of every sender\n",
	    cmd_loops },
	{ "postfix-conf", "print what Postfix needs for this configuration",
	    "[main | master | reply_filter] [--postfix-config DIR | --no-postfix]",
	    "Lines for main.cf and master.cf, each explained; reply_filter is a table beside them.\n\n"
	    "What Postfix has already is kept: its milters, tables and domains stay in front.\n\n"
	    "  --postfix-config DIR   the folder of main.cf and master.cf\n"
	    "  --no-postfix           does not ask Postfix\n",
	    cmd_postfix_conf },
	{ "relays", "show how the relays are, open and close them",
	    "[--open NAME | --close NAME [--for TIME] | --reset NAME | --presets]",
	    "Each relay with its state, how much of its limits is used, and when it opens again.\n\n"
	    "  --open NAME    opens a relay that was taken out\n"
	    "  --close NAME   takes a relay out, until it is opened\n"
	    "  --for TIME     or for so long: 90s, 30m, 2h, 7d\n"
	    "  --reset NAME   forgets what it has sent\n"
	    "  --presets      what is known of the usual providers\n",
	    cmd_relays },
	{ "retire", "let a renamed address go on working", "OLD NEW | --list | --end OLD",
	    "Mail to OLD is treated as mail to NEW.\n\n"
	    "  --list       the retired addresses\n"
	    "  --end OLD    OLD stops working\n"
	    "  --gateway G  where the domain of OLD is not configured any more\n",
	    cmd_retire },
	{ "stats", "show sizes and counters", "[--prometheus]",
	    "  --prometheus   in the text format that Prometheus reads\n", cmd_stats },
	{ "test-relay", "try a relay, step by step, without sending a mail",
	    "[--from ADDRESS] [--to ADDRESS] [--no-login] [--timeout SECONDS] NAME ... | --all",
	    "As Odoo's Test Connection: connects, encrypts, logs in, and goes as far as DATA.  One line\n"
	    "for each step with the server's words, and what to do when one fails.  Exits with 1 then.\n\n"
	    "  --from ADDRESS     the sender (one that the relay's from_filter covers)\n"
	    "  --to ADDRESS       the recipient (the sender)\n"
	    "  --no-login         only connects and encrypts\n"
	    "  --timeout SECONDS  for each step (20); all of them may take four times as long\n"
	    "  --all              every active relay\n",
	    cmd_test_relay },
	{ "threads", "show the messages that replies are recognised by",
	    "[GATEWAY] [--id MESSAGE-ID] [--limit N]",
	    "Newest first.  " GATEWAY_OPERAND "\n"
	    "  --id ID      only this message; exits with 1 when it is not known\n"
	    "  --limit N    at most so many (100); 0 is all\n",
	    cmd_threads },
};
const size_t cli_command_count = PN_COUNT(cli_commands);

const struct command *
command_find(struct pn_str name)
{
	for (size_t i = 0; i < cli_command_count; i++)
		if (pn_str_eq(name, pn_str_c(cli_commands[i].name)))
			return &cli_commands[i];
	return NULL;
}

const char *
command_nearest(struct pn_str name)
{
	const char *names[PN_COUNT(cli_commands)];

	for (size_t i = 0; i < cli_command_count; i++)
		names[i] = cli_commands[i].name;
	return pn_nearest(name, names, cli_command_count);
}

void
command_help(const struct command *command)
{
	(void)printf("usage: postern %s %s\n\n%s%s", command->name, command->synopsis, command->details,
	    command->details[0] != '\0' ? "\n" : "");
	(void)fputs("Everywhere:\n"
	    "  -c FILE      the configuration (" PN_CONFIG_DEFAULT_PATH ")\n"
	    "  --json       output for programs\n"
	    "  -v           tells how far it is\n"
	    "  --help       this text\n", stdout);
}

int
cmd_help(struct cli *cli)
{
	const struct command *command;
	int code = options_take(cli, NULL, 0, 0, 1);

	if (code != EX_OK)
		return code;
	if (cli->args.n == 1) {
		command = command_find(cli->args.v[0]);
		if (command == NULL)
			return cli_misuse(cli, "no command \"" PN_STR_FMT "\"", PN_STR_ARG(cli->args.v[0]));
		command_help(command);
		return EX_OK;
	}
	(void)fputs("usage: postern [-c FILE] [--json] [-v] COMMAND ...\n\n"
	    "The operator's side of Postern: which mail goes where, and why.\n\n", stdout);
	for (size_t i = 0; i < cli_command_count; i++)
		(void)printf("  %-14s %s\n", cli_commands[i].name, cli_commands[i].purpose);
	(void)fputs(
	    "\npostern help COMMAND says more; so does the manual page postern-COMMAND(1).\n", stdout);
	return EX_OK;
}
