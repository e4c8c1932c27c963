/* postern-policy - what Postfix asks instead of its own tables. */
#include <getopt.h>
#include <sysexits.h>

#include "postern/log.h"
#include "postern/program.h"
#include "server.h"

enum { OWN_FILES = 64 };	/* descriptors besides connections */

static const struct pn_program program = {
	.name = "postern-policy",
	.synopsis = "[-c FILE] [-v]",
	.purpose = "Answers Postfix's socketmap questions: is this recipient one of ours?",
	.options =
	    "  -c FILE    the configuration (" PN_CONFIG_DEFAULT_PATH ")\n"
	    "  -v         log every question\n"
	    "  --help     this text\n"
	    "  --version  the version\n"
	    "It stays in the foreground.  SIGUSR1 (or SIGHUP) reads the configuration again; SIGTERM stops it.\n",
};

struct arguments {
	const char *config;
	bool verbose;
};

/* False: *code is what to exit with. */
static bool
parse_arguments(int argc, char **argv, struct arguments *out, int *code)
{
	static const struct option longs[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*out = (struct arguments){ .config = PN_CONFIG_DEFAULT_PATH };
	*code = EX_OK;
	while ((c = getopt_long(argc, argv, ":c:v", longs, NULL)) != -1)
		switch (c) {
		case 'c':
			out->config = optarg;
			break;
		case 'v':
			out->verbose = true;
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

static void
started(void)
{
	pn_log(PN_LOG_INFO, "started version=" PN_VERSION);
	pn_notify("READY=1");
}

/* The socket comes first: a second instance must not touch the state. */
static int
run(struct pn_config *config, const struct arguments *arguments)
{
	struct pn_error err = { "" };
	struct service service;
	struct pn_socket bound;
	enum pn_status st;
	int fd;

	server_hold_signals();
	st = pn_socket_listen(&bound, config->map_socket, config->socket_group, (unsigned)config->socket_mode,
	    &fd, &err);
	if (st != PN_OK) {
		pn_log(PN_LOG_ERROR, "%s", err.text);
		pn_config_free(config);
		return exit_code(st);
	}
	service_init(&service, arguments->config, config, arguments->verbose);
	st = server_run(&service, &protocol_socketmap, fd, &server_default_limits, started, &err);
	pn_socket_done(&bound);
	service_done(&service);
	if (st != PN_OK) {
		pn_log(PN_LOG_ERROR, "%s", err.text);
		return EX_OSERR;
	}
	pn_log(PN_LOG_INFO, "stopped");
	return EX_OK;
}

int
main(int argc, char **argv)
{
	uint64_t files = server_default_limits.max + OWN_FILES;
	struct arguments arguments;
	struct pn_config *config;
	int code;

	if (!parse_arguments(argc, argv, &arguments, &code))
		return code;
	config = load_config(arguments.config);
	if (config == NULL)
		return EX_CONFIG;
	pn_log_open(program.name, config->log_syslog ? PN_LOG_SYSLOG : PN_LOG_STDERR, PN_LOG_INFO);
	if (pn_raise_open_files(files) < files)
		pn_log(PN_LOG_WARN, "too few open files are allowed for %zu connections",
		    server_default_limits.max);
	return run(config, &arguments);
}
