/* postern-broker - keeps the access tokens of the relays fresh. */
#include <getopt.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "broker.h"
#include "postern/log.h"
#include "postern/program.h"

static const struct pn_program program = {
	.name = "postern-broker",
	.synopsis = "[-c FILE] [--once]",
	.purpose = "Fetches the OAuth tokens of relays, and each again before it ends.",
	.options =
	    "  -c FILE    the configuration (" PN_CONFIG_DEFAULT_PATH ")\n"
	    "  --once     fetch each token once, and end\n"
	    "  --help     this text\n"
	    "  --version  the version\n"
	    "It stays in the foreground.  SIGUSR1 (or SIGHUP) reads the configuration again and fetches all\n"
	    "tokens; SIGTERM stops it.\n",
};

struct arguments {
	const char *config;
	bool once;
};

/* False: *code is what to exit with. */
static bool
parse_arguments(int argc, char **argv, struct arguments *out, int *code)
{
	static const struct option longs[] = {
		{ "once", no_argument, NULL, '1' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*out = (struct arguments){ .config = PN_CONFIG_DEFAULT_PATH };
	*code = EX_OK;
	while ((c = getopt_long(argc, argv, ":c:", longs, NULL)) != -1)
		switch (c) {
		case 'c':
			out->config = optarg;
			break;
		case '1':
			out->once = true;
			break;
		case 'h':
			pn_program_help(&program, stdout);
			return false;
		case 'V':
			pn_program_version(&program, stdout);
			return false;
		default:
			*code = pn_program_misuse(&program, "%s %s",
			    c == ':' ? "no value for" : "no such option:", argv[optind - 1]);
			return false;
		}
	if (optind < argc) {
		*code = pn_program_misuse(&program, "too many arguments: %s", argv[optind]);
		return false;
	}
	return true;
}

/* At the start the findings go to whoever started us, as they are. */
static struct pn_config *
load_config(const char *path)
{
	struct pn_config_report report;
	struct pn_config *config = NULL;
	enum pn_status st;

	pn_config_report_init(&report);
	st = pn_config_load(path, &config, &report);
	(void)fputs(pn_buf_c(&report.text), stderr);
	pn_config_report_done(&report);
	if (st == PN_OK)
		return config;
	(void)fprintf(stderr, "%s: %s: not started\n", program.name, path);
	return NULL;
}

/* No core dump, and nobody reads this memory. */
static void
keep_secrets(void)
{
#ifndef PN_SAN
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}

static int
exit_code(enum pn_status st)
{
	switch (st) {
	case PN_OK:
		return EX_OK;
	case PN_NOT_FOUND:
	case PN_INVALID:
		return EX_CONFIG;
	case PN_TEMPFAIL:
	case PN_LIMIT:
		break;
	}
	return EX_UNAVAILABLE;
}

int
main(int argc, char **argv)
{
	struct pn_error err = { "" };
	struct arguments arguments;
	struct pn_config *config;
	enum pn_status st;
	int code;

	if (!parse_arguments(argc, argv, &arguments, &code))
		return code;
	broker_hold_signals();
	keep_secrets();
	config = load_config(arguments.config);
	if (config == NULL)
		return EX_CONFIG;
	pn_log_open(program.name, config->log_syslog ? PN_LOG_SYSLOG : PN_LOG_STDERR, PN_LOG_INFO);
	st = broker_run(arguments.config, config, arguments.once, &err);
	if (err.text[0] != '\0')
		pn_log(PN_LOG_ERROR, "%s", err.text);
	else if (!arguments.once)
		pn_log(PN_LOG_INFO, "stopped");
	return exit_code(st);
}
