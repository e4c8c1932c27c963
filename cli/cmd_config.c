/* postern config - the configuration as postconf(1) shows Postfix's. */
#include "cli.h"

enum { OUTPUT_MAX = 256 << 20 };

static int
print(struct cli *cli, enum pn_config_print what, struct pn_buf *out)
{
	struct pn_config_report report;
	enum pn_status st;

	pn_config_report_init(&report);
	st = pn_config_print(cli->config_path, what, out, &report);
	(void)fputs(pn_buf_c(&report.text), stderr);
	pn_config_report_done(&report);
	return st == PN_OK ? EX_OK : EX_CONFIG;
}

/* What the files set is shown as it is; whether it can be used is told beside it. */
static int
print_set(struct cli *cli, struct pn_buf *out)
{
	int code = cli_load(cli);
	struct pn_config_report report;
	enum pn_status st;

	if (code == EX_OK)
		return print(cli, PN_CONFIG_SET, out);
	pn_config_report_init(&report);
	st = pn_config_print(cli->config_path, PN_CONFIG_SET, out, &report);
	pn_config_report_done(&report);
	return st == PN_LIMIT ? EX_DATAERR : code;
}

int
cmd_config(struct cli *cli)
{
	bool set = false, defaults = false, sample = false, manual = false;
	const struct option_row options[] = {
		{ .name = "-n", .flag = &set },
		{ .name = "-d", .flag = &defaults },
		{ .name = "--sample", .flag = &sample },
		{ .name = "--manual", .flag = &manual },
	};
	int code = options_take(cli, options, PN_COUNT(options), 0, 0);
	struct pn_buf out;

	if (code == EX_OK && set + defaults + sample + manual > 1)
		return cli_misuse(cli, "only one of them at a time");
	if (code != EX_OK)
		return code;
	pn_buf_init(&out, OUTPUT_MAX);
	if (sample)
		pn_config_sample(&out);
	else if (manual)
		pn_config_manual(&out);
	else
		code = defaults ? print(cli, PN_CONFIG_DEFAULTS, &out) : print_set(cli, &out);
	(void)fwrite(pn_buf_c(&out), 1, out.n, stdout);
	pn_buf_done(&out);
	return code;
}
