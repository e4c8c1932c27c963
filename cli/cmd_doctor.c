/* postern doctor - what is wrong with the DNS of our domains, in the words of who edits the zone. */
#include "dns_text.h"
#include "doctor.h"
#include "key_files.h"
#include "postern/clock.h"
#include "postern/idn.h"

enum { DOMAINS_MAX = 1000, EXIT_WARNINGS = 1, EXIT_ERRORS = 2 };

static void
tell(struct pn_str domain, const char *what)
{
	(void)fprintf(stderr, "postern: " PN_STR_FMT ": %s\n", PN_STR_ARG(domain), what);
}

/* -- for people ----------------------------------------------------------------------------------- */

static void
print_indented(const char *what, struct pn_str text, struct pn_arena *arena)
{
	struct pn_str line;

	while (pn_str_split(&text, '\n', &line)) {
		(void)printf("%-18s%s" PN_STR_FMT "\n", what, what[0] == '\0' ? "    " : "",
		    PN_STR_ARG(text_shown(pn_str_trim(line), arena)));
		what = "";
	}
}

static void
print_finding(const struct doctor_finding *f, struct pn_arena *arena)
{
	(void)printf("  %-8s %-8s" PN_STR_FMT "\n", doctor_level_name(f->level), f->about,
	    PN_STR_ARG(text_shown(f->text, arena)));
	if (f->remedy.n > 0)
		print_indented("        remedy", f->remedy, arena);
	if (f->record.n > 0)
		print_indented("        publish", txt_zone_line(f->name, f->record, arena), arena);
}

/* Findings of one domain stand together, in the order they were found. */
static void
print_domain(const struct doctor *d, size_t first)
{
	for (size_t i = 0; i < first; i++)
		if (pn_str_eq(d->v[i].domain, d->v[first].domain))
			return;
	(void)printf(PN_STR_FMT "\n", PN_STR_ARG(text_shown(d->v[first].domain, d->arena)));
	for (size_t i = first; i < d->n; i++)
		if (pn_str_eq(d->v[i].domain, d->v[first].domain))
			print_finding(&d->v[i], d->arena);
	(void)printf("\n");
}

static const char *
consequence(const struct doctor_outcome *o)
{
	if (o->dmarc != PN_DMARC_FAIL)
		return "";
	return o->disposition == PN_DMARC_REJECT    ? ", refused"
	    : o->disposition == PN_DMARC_QUARANTINE ? ", put aside as spam"
						    : ", delivered all the same (p=none)";
}

static void
print_verdict(const struct doctor_verdict *v, struct pn_arena *arena)
{
	const struct doctor_route *r = v->route;
	const struct doctor_outcome *o = &v->now;

	(void)printf("  %-8s " PN_STR_FMT " by " PN_STR_FMT ": DMARC %s%s; %s\n", doctor_level_name(v->level),
	    PN_STR_ARG(r->from), PN_STR_ARG(r->relay->name), pn_dmarc_result_name(o->dmarc), consequence(o),
	    o->dmarc_why);
	if (!pn_str_eq(r->from, r->author))
		(void)printf("                  From becomes " PN_STR_FMT "\n",
		    PN_STR_ARG(text_shown(r->author, arena)));
	(void)printf("                  SPF %s%s for " PN_STR_FMT ": " PN_STR_FMT "\n",
	    pn_spf_result_name(o->spf),
	    o->spf_aligned              ? ", aligned,"
		: o->spf == PN_SPF_PASS ? ", not aligned,"
					: "",
	    PN_STR_ARG(r->envelope), PN_STR_ARG(text_shown(o->spf_why, arena)));
	(void)printf("                  DKIM %s" PN_STR_FMT "\n", o->dkim_aligned ? "aligned: " : "",
	    PN_STR_ARG(text_shown(o->dkim_why, arena)));
	if (v->then.dmarc != o->dmarc || v->then.spf != o->spf)
		(void)printf("                  with the records above: SPF %s, DMARC %s%s\n",
		    pn_spf_result_name(v->then.spf), pn_dmarc_result_name(v->then.dmarc),
		    consequence(&v->then));
	if (v->remedy.n > 0)
		print_indented("        remedy", v->remedy, arena);
}

static void
print_all(const struct doctor *d)
{
	size_t count[DOCTOR_ERROR + 1] = { 0 };

	for (size_t i = 0; i < d->n; i++) {
		print_domain(d, i);
		count[d->v[i].level]++;
	}
	(void)printf("what a receiver would say\n");
	for (size_t i = 0; i < d->verdict_count; i++) {
		print_verdict(&d->verdicts[i], d->arena);
		count[d->verdicts[i].level]++;
	}
	(void)printf("\n%zu errors, %zu warnings, %zu not known\n", count[DOCTOR_ERROR],
	    count[DOCTOR_WARNING], count[DOCTOR_UNKNOWN]);
}

/* -- for programs ---------------------------------------------------------------------------------- */

static json_t *
finding_json(const struct doctor_finding *f, struct pn_arena *arena)
{
	json_t *publish = json_null();

	if (f->record.n > 0)
		publish = json_pack("{s:o, s:s, s:o, s:o}", "name", json_text(f->name), "type", "TXT", "text",
		    json_text(f->record), "zone", json_text(txt_zone_line(f->name, f->record, arena)));
	return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o}", "domain", json_text(f->domain), "about", f->about,
	    "level", doctor_level_name(f->level), "text", json_text(f->text), "remedy", json_text(f->remedy),
	    "publish", publish);
}

static json_t *
outcome_json(const struct doctor_outcome *o)
{
	return json_pack("{s:s, s:b, s:o, s:b, s:o, s:s, s:s, s:s}", "spf", pn_spf_result_name(o->spf),
	    "spf_aligned", o->spf_aligned, "spf_reason", json_text(o->spf_why), "dkim_aligned",
	    o->dkim_aligned, "dkim", json_text(o->dkim_why), "dmarc", pn_dmarc_result_name(o->dmarc),
	    "disposition", pn_dmarc_policy_name(o->disposition), "reason", o->dmarc_why);
}

static json_t *
verdict_json(const struct doctor_verdict *v)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "relay",
	    json_text(v->route->relay->name), "from", json_text(v->route->from), "header_from",
	    json_text(v->route->author), "envelope", json_text(v->route->envelope), "level",
	    doctor_level_name(v->level), "remedy", json_text(v->remedy), "now", outcome_json(&v->now),
	    "published", outcome_json(&v->then));
}

static void
print_json(const struct doctor *d)
{
	json_t *findings = json_array(), *verdicts = json_array();

	for (size_t i = 0; i < d->n; i++)
		(void)json_array_append_new(findings, finding_json(&d->v[i], d->arena));
	for (size_t i = 0; i < d->verdict_count; i++)
		(void)json_array_append_new(verdicts, verdict_json(&d->verdicts[i]));
	json_print(json_pack("{s:s, s:o, s:o}", "level", doctor_level_name(doctor_worst(d)), "findings",
	    findings, "verdicts", verdicts));
}

/* -- the command ------------------------------------------------------------------------------------ */

static int
exit_code(enum doctor_level level)
{
	switch (level) {
	case DOCTOR_OK: return EX_OK;
	case DOCTOR_WARNING: return EXIT_WARNINGS;
	case DOCTOR_UNKNOWN: return EX_TEMPFAIL;
	case DOCTOR_ERROR: break;
	}
	return EXIT_ERRORS;
}

static int
named_domains(struct cli *cli, struct pn_strs *out)
{
	struct pn_strs_builder list = { .arena = cli->arena };
	struct pn_str ascii;

	for (size_t i = 0; i < cli->args.n; i++)
		if (pn_domain_to_ascii(cli->args.v[i], cli->arena, &ascii) != PN_OK
		    || !pn_dns_name(ascii, &ascii))
			return cli_misuse(cli, "\"" PN_STR_FMT "\" is no domain",
			    PN_STR_ARG(text_shown(cli->args.v[i], cli->arena)));
		else
			pn_strs_add(&list, ascii);
	*out = pn_strs_unique(list.list, cli->arena);
	return EX_OK;
}

static int
examine(struct cli *cli, struct doctor *d, struct pn_strs domains)
{
	if (domains.n == 0)
		domains = doctor_domains(d);
	if (domains.n == 0)
		return cli_misuse(cli, "no domain is configured: name one");
	doctor_run(d, domains);
	if (cli->json)
		print_json(d);
	else
		print_all(d);
	return exit_code(doctor_worst(d));
}

static int
with_lists(struct cli *cli, struct pn_resolver *resolver, struct pn_strs domains)
{
	struct pn_str path = cli->config->auth.public_suffix_list;
	struct key_files files;
	struct pn_psl *psl;
	struct pn_error err = { "" };
	enum pn_status st = pn_psl_load(path.n > 0 ? pn_arena_cstr(cli->arena, path) : NULL, &psl, &err);
	int code;

	if (st != PN_OK)
		return cli_fail(st, "%s", err.text);
	code = key_files_open(cli, &files);
	if (code == EX_OK) {
		struct doctor d = { .config = cli->config,
			.dns = pn_resolver_port(resolver),
			.psl = psl,
			.hostname = dns_hostname(cli),
			.keys = files.keys,
			.signing = files.signing,
			.ring = files.ring,
			.arena = cli->arena,
			.now = pn_clock_now(),
			.progress = tell };

		code = examine(cli, &d, domains);
		key_files_close(&files);
	}
	pn_psl_free(psl);
	return code;
}

int
cmd_doctor(struct cli *cli)
{
	struct pn_str server = PN_STR_EMPTY;
	struct pn_strs domains;
	const struct option_row options[] = { { .name = "--dns", .text = &server } };
	struct pn_resolver *resolver;
	int code = options_take(cli, options, PN_COUNT(options), 0, DOMAINS_MAX);

	if (code == EX_OK)
		code = named_domains(cli, &domains);
	if (code == EX_OK)
		code = cli_load(cli);
	if (code == EX_OK)
		code = dns_open(cli, server, &resolver);
	if (code != EX_OK)
		return code;
	code = with_lists(cli, resolver, domains);
	pn_resolver_close(resolver);
	return code;
}
