/* postern-broker - keeps the access tokens of the relays fresh. */
#include <sysexits.h>

#include "broker.h"
#include "postern/daemon.h"
#include "postern/log.h"

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
	struct pn_daemon_options options;
	struct pn_config *config;
	enum pn_status st;
	int code, signals;

	if (!pn_daemon_options(&program, argc, argv, &options, &code))
		return code;
	pn_daemon_keep_secrets();
	config = pn_daemon_config(&program, options.config);
	if (config == NULL)
		return EX_CONFIG;
	pn_log_open(program.name, config->log_syslog ? PN_LOG_SYSLOG : PN_LOG_STDERR, PN_LOG_INFO);
	signals = pn_signals_open();
	if (signals < 0) {
		pn_log(PN_LOG_ERROR, "no signals can be waited for");
		return EX_OSERR;
	}
	st = broker_run(options.config, config, signals, options.once, &err);
	if (err.text[0] != '\0')
		pn_log(PN_LOG_ERROR, "%s", err.text);
	else if (!options.once)
		pn_log(PN_LOG_INFO, "stopped");
	return exit_code(st);
}
