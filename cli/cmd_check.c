/* postern check - every mistake that can be found without a mail. */
#include "check.h"

#include <stdarg.h>

static const char *
level_name(enum level level)
{
	switch (level) {
	case LEVEL_OK: return "ok";
	case LEVEL_WARNING: return "warning";
	case LEVEL_ERROR: return "error";
	}
	return "?";
}

void
finding(
    struct check *check, enum level level, const char *about, struct pn_str remedy, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	check->v =
	    pn_arena_grow(check->arena, check->v, check->n, &check->cap, check->n + 1, sizeof(*check->v));
	check->v[check->n++] = (struct finding){ level, about, pn_arena_dup(check->arena,
	    pn_str_n(text, n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1)), remedy };
	check->count[level]++;
}

/* -- configuration -------------------------------------------------------------------- */

static void
add_report(struct check *check, const struct pn_config_report *report)
{
	struct pn_str rest = pn_buf_str(&report->text), line;

	while (rest.n > 0 && pn_str_split(&rest, '\n', &line)) {
		bool warning = pn_str_contains(line, PN_STR("warning: "));

		if (line.n > 0)
			finding(check, warning ? LEVEL_WARNING : LEVEL_ERROR, "config", NO_REMEDY, PN_STR_FMT,
			    PN_STR_ARG(line));
	}
}

static bool
check_config(struct check *check)
{
	struct cli *cli = check->cli;
	struct pn_config_report report;
	enum pn_status st;

	pn_config_report_init(&report);
	st = pn_config_load(cli->config_path, &cli->config, &report);
	add_report(check, &report);
	pn_config_report_done(&report);
	if (st != PN_OK)
		return false;
	finding(check, LEVEL_OK, "config", NO_REMEDY, "%s: %zu gateways, %zu domains, %zu aliases",
	    cli->config_path, cli->config->directory.gateway_count, cli->config->directory.domain_count,
	    cli->config->alias_count);
	if (cli->config->directory.domain_count == 0)
		finding(check, LEVEL_WARNING, "config", PN_STR("add a domain section"),
		    "no domain is configured, so no mail is ours");
	return true;
}

/* -- output --------------------------------------------------------------------------- */

static void
print_findings(const struct check *check)
{
	for (size_t i = 0; i < check->n; i++) {
		const struct finding *f = &check->v[i];

		(void)printf("%-8s %-8s " PN_STR_FMT "%s" PN_STR_FMT "\n", level_name(f->level), f->about,
		    PN_STR_ARG(text_shown(f->text, check->arena)), f->remedy.n > 0 ? "; " : "",
		    PN_STR_ARG(text_shown(f->remedy, check->arena)));
	}
	(void)printf("%zu errors, %zu warnings\n", check->count[LEVEL_ERROR], check->count[LEVEL_WARNING]);
}

static void
print_json(const struct check *check)
{
	json_t *findings = json_array();

	for (size_t i = 0; i < check->n; i++) {
		const struct finding *f = &check->v[i];

		(void)json_array_append_new(findings,
		    json_pack("{s:s, s:s, s:o, s:o}", "level", level_name(f->level), "about", f->about,
			"text", json_text(f->text), "remedy", json_text(f->remedy)));
	}
	json_print(json_pack("{s:o, s:o, s:o}", "errors", json_number(check->count[LEVEL_ERROR]), "warnings",
	    json_number(check->count[LEVEL_WARNING]), "findings", findings));
}

/* -- Postfix -------------------------------------------------------------------------- */

static void
check_postfix_side(struct check *check, const char *folder)
{
	struct pn_error err = { "" };

	switch (postfix_read(&check->postfix, check->cli, folder, &err)) {
	case PN_OK:
		check_postfix(check);
		check_domains(check);
		check_relays(check);
		return;
	case PN_NOT_FOUND:
		finding(check, LEVEL_WARNING, "postfix", PN_STR("run this on the host that has it"),
		    "there is no Postfix here: %s", err.text);
		return;
	case PN_INVALID:
	case PN_TEMPFAIL:
	case PN_LIMIT:
		break;
	}
	finding(check, LEVEL_ERROR, "postfix", PN_STR("mend it, or name its folder with --postfix-config"),
	    "%s", err.text);
}

int
cmd_check(struct cli *cli)
{
	struct check check = { .cli = cli, .arena = cli->arena };
	struct pn_str folder = PN_STR_EMPTY;
	bool no_postfix = false;
	const struct option_row options[] = {
		{ .name = "--postfix-config", .text = &folder },
		{ .name = "--no-postfix", .flag = &no_postfix },
	};
	int code = options_take(cli, options, PN_COUNT(options), 0, 0);

	if (code != EX_OK)
		return code;
	if (check_config(&check)) {
		check_state(&check);
		check_sockets(&check);
		check_secrets(&check);
		if (!no_postfix)
			check_postfix_side(&check, folder.n > 0 ? pn_arena_cstr(cli->arena, folder) : NULL);
	}
	progress_done(cli);
	if (cli->json)
		print_json(&check);
	else
		print_findings(&check);
	return check.count[LEVEL_ERROR] > 0 ? EXIT_ANSWER_NO : EX_OK;
}
