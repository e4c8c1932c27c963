#include "postern/daemon.h"

#include <getopt.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "postern/log.h"

static bool
has_option(const struct pn_program *program, const char *name)
{
	return pn_str_contains(pn_str_c(program->synopsis), pn_str_c(name));
}

bool
pn_daemon_options(const struct pn_program *program, int argc, char **argv, struct pn_daemon_options *out, int *code)
{
	static const struct option longs[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "once", no_argument, NULL, '1' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*out = (struct pn_daemon_options){ .config = PN_CONFIG_DEFAULT_PATH };
	*code = EX_OK;
	while ((c = getopt_long(argc, argv, ":c:vhV", longs, NULL)) != -1) {
		if (c == 'c') {
			out->config = optarg;
		} else if (c == 'v' && has_option(program, "-v")) {
			out->verbose = true;
		} else if (c == '1' && has_option(program, "--once")) {
			out->once = true;
		} else if (c == 'h') {
			pn_program_help(program, stdout);
			return false;
		} else if (c == 'V') {
			pn_program_version(program, stdout);
			return false;
		} else {
			*code = pn_program_misuse(program, "%s %s", c == ':' ? "no value for" : "no such option:",
			    argv[optind - 1]);
			return false;
		}
	}
	if (optind < argc)
		*code = pn_program_misuse(program, "too many arguments: %s", argv[optind]);
	return optind == argc;
}

struct pn_config *
pn_daemon_config(const struct pn_program *program, const char *path)
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
	(void)fprintf(stderr, "%s: %s: not started\n", program->name, path);
	return NULL;
}

struct pn_config *
pn_daemon_config_again(const char *path)
{
	struct pn_config_report report;
	struct pn_config *config = NULL;
	enum pn_status st;

	pn_config_report_init(&report);
	st = pn_config_load(path, &config, &report);
	pn_log_lines(report.errors > 0 ? PN_LOG_ERROR : PN_LOG_WARN, pn_buf_str(&report.text));
	pn_config_report_done(&report);
	return st == PN_OK ? config : NULL;
}

void
pn_daemon_keep_secrets(void)
{
#ifndef PN_SAN
	(void)prctl(PR_SET_DUMPABLE, 0);
#endif
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}
