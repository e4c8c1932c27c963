/* DMARC: a record, its tags, and whether those who get reports want them. */
#include "doctor.h"

enum { REPORTS_MAX = 10 };

static enum pn_dmarc_mode
mode_of(const struct doctor *d)
{
	return d->config->auth.mode;
}

/* -- the record to publish ------------------------------------------------------------------------- */

static struct pn_str
written(struct doctor *d, const struct pn_dmarc_record *r, struct pn_str rua)
{
	struct pn_buf buf;
	struct pn_str text;

	pn_buf_init(&buf, 4096);
	pn_buf_addf(&buf, "v=DMARC1; p=%s", r->p == PN_DMARC_UNSET ? "none" : pn_dmarc_policy_name(r->p));
	if (r->sp != PN_DMARC_UNSET && r->sp != r->p)
		pn_buf_addf(&buf, "; sp=%s", pn_dmarc_policy_name(r->sp));
	if (r->np != PN_DMARC_UNSET && r->np != r->p)
		pn_buf_addf(&buf, "; np=%s", pn_dmarc_policy_name(r->np));
	pn_buf_addf(&buf, "%s%s", r->strict_dkim ? "; adkim=s" : "", r->strict_spf ? "; aspf=s" : "");
	pn_buf_addf(&buf, "; rua=" PN_STR_FMT, PN_STR_ARG(rua));
	if (r->ruf.n > 0)
		pn_buf_addf(&buf, "; ruf=" PN_STR_FMT, PN_STR_ARG(r->ruf));
	text = pn_arena_dup(d->arena, pn_buf_str(&buf));
	pn_buf_done(&buf);
	return text;
}

static void
publish(struct doctor *d, struct doctor_finding *f, const struct pn_dmarc_record *record)
{
	struct pn_str rua = record->rua.n > 0
	    ? record->rua
	    : pn_arena_printf(d->arena, "mailto:postmaster@" PN_STR_FMT, PN_STR_ARG(f->domain));

	doctor_publish(d, f, pn_arena_printf(d->arena, "_dmarc." PN_STR_FMT, PN_STR_ARG(f->domain)),
	    written(d, record, rua));
}

/* -- reports that go elsewhere (RFC 7489 section 7.1) ------------------------------------------------ */

static void
judge_report(struct doctor *d, struct pn_str domain, struct pn_str uri)
{
	struct pn_str address = pn_str_from(uri, 7), ext, name;
	size_t end = 0;
	struct pn_dns_answer answer;
	struct pn_error err = { "" };
	struct doctor_finding *f;

	while (end < address.n && address.p[end] != '!' && address.p[end] != '?')
		end++;
	ext = doctor_domain_of(pn_str_head(address, end), d->arena);
	if (ext.n == 0
	    || pn_str_eq(pn_psl_organisational(d->psl, ext), pn_psl_organisational(d->psl, domain)))
		return;
	name = pn_arena_printf(
	    d->arena, PN_STR_FMT "._report._dmarc." PN_STR_FMT, PN_STR_ARG(domain), PN_STR_ARG(ext));
	switch (doctor_ask(d, name, PN_DNS_TXT, &answer, &err)) {
	case PN_OK:
		for (size_t i = 0; i < answer.records.n; i++)
			if (pn_str_starts(answer.records.v[i], PN_STR("v=DMARC1")))
				return;
		break;
	case PN_TEMPFAIL:
	case PN_LIMIT: doctor_find(d, DOCTOR_UNKNOWN, "dmarc", domain, NO_REMEDY, "%s", err.text); return;
	case PN_NOT_FOUND:
	case PN_INVALID: break;
	}
	f = doctor_find(d, DOCTOR_WARNING, "dmarc", domain, NO_REMEDY,
	    "reports are to go to " PN_STR_FMT ", and " PN_STR_FMT
	    " has not agreed to take them: nobody sends any",
	    PN_STR_ARG(pn_str_head(address, end)), PN_STR_ARG(ext));
	f->remedy =
	    pn_arena_printf(d->arena, "whoever runs " PN_STR_FMT " must publish this", PN_STR_ARG(ext));
	f->name = name;
	f->record = PN_STR("v=DMARC1");
}

static void
judge_reports(struct doctor *d, struct pn_str domain, struct pn_str list)
{
	struct pn_str uri;

	for (int i = 0; i < REPORTS_MAX && pn_str_split(&list, ',', &uri); i++)
		if (pn_str_starts_nocase(pn_str_trim(uri), PN_STR("mailto:")))
			judge_report(d, domain, pn_str_trim(uri));
}

/* -- tags ---------------------------------------------------------------------------------------------- */

static size_t
faults_of(struct pn_str text)
{
	struct pn_dmarc_record psl, tree;

	return pn_dmarc_record_parse(text, PN_DMARC_PSL, &psl) != PN_OK
		|| pn_dmarc_record_parse(text, PN_DMARC_TREE, &tree) != PN_OK
	    ? 1
	    : psl.faults + tree.faults;
}

/* The first tag that is wrong by itself. */
static struct pn_str
culprit_of(struct doctor *d, struct pn_str text)
{
	struct pn_str piece, rest = text;

	(void)pn_str_split(&rest, ';', &piece);
	while (pn_str_split(&rest, ';', &piece))
		if (faults_of(pn_arena_printf(d->arena, "v=DMARC1;" PN_STR_FMT, PN_STR_ARG(piece))) > 0)
			return pn_str_trim(piece);
	return PN_STR("a tag occurs twice");
}

static void
judge_tags(struct doctor *d, struct pn_str domain, struct pn_str text, const struct pn_dmarc_record *record)
{
	struct pn_dmarc_record psl = *record, tree = *record;

	if (pn_dmarc_record_parse(text, PN_DMARC_PSL, &psl) != PN_OK
	    || pn_dmarc_record_parse(text, PN_DMARC_TREE, &tree) != PN_OK)
		return;
	if (faults_of(text) > 0)
		publish(d,
		    doctor_find(d, DOCTOR_ERROR, "dmarc", domain, NO_REMEDY,
			"a tag is not what receivers can use: " PN_STR_FMT, PN_STR_ARG(culprit_of(d, text))),
		    record);
	if (tree.psd == 'y')
		doctor_find(d, DOCTOR_ERROR, "dmarc", domain, PN_STR("take psd=y out"),
		    "psd=y says that others register domains below this one");
	if (record->p == PN_DMARC_NONE)
		doctor_find(d, DOCTOR_WARNING, "dmarc", domain,
		    PN_STR("when the reports show only your own mail passing, write p=quarantine, then "
			   "p=reject"),
		    "p=none: forged mail is delivered like your own");
	if (record->sp != PN_DMARC_UNSET && record->sp < record->p)
		doctor_find(d, DOCTOR_WARNING, "dmarc", domain, PN_STR("take sp= out"),
		    "sp=%s leaves the subdomains weaker than p=%s", pn_dmarc_policy_name(record->sp),
		    pn_dmarc_policy_name(record->p));
	if (tree.np != PN_DMARC_UNSET && tree.np < record->p)
		doctor_find(d, DOCTOR_WARNING, "dmarc", domain, PN_STR("take np= out"),
		    "np=%s leaves names that do not exist weaker than p=%s", pn_dmarc_policy_name(tree.np),
		    pn_dmarc_policy_name(record->p));
	if (psl.pct < 100)
		doctor_find(d, DOCTOR_WARNING, "dmarc", domain, PN_STR("take pct= out"),
		    "pct=%u: some receivers apply it to that share of mail, newer "
		    "ones ignore it (RFC 9989)",
		    (unsigned)psl.pct);
	if (tree.testing)
		doctor_find(d, DOCTOR_WARNING, "dmarc", domain,
		    PN_STR("take t=y out when the tests are over"),
		    "t=y: the policy is being tested and applied one step milder");
	if (record->rua.n == 0)
		publish(d,
		    doctor_find(d, DOCTOR_WARNING, "dmarc", domain, NO_REMEDY,
			"no rua=: nobody tells you who sends as " PN_STR_FMT, PN_STR_ARG(domain)),
		    record);
	judge_reports(d, domain, record->rua);
	judge_reports(d, domain, record->ruf);
}

/* -- is there one? -------------------------------------------------------------------------------------- */

static void
judge_inherited(struct doctor *d, struct pn_str domain)
{
	struct pn_dns dns = d->dns;
	struct pn_dmarc_question question = { .mode = mode_of(d),
		.psl = d->psl,
		.dns = &dns,
		.from = { .one = true, .domains = { &domain, 1 } } };
	struct pn_dmarc dmarc;

	pn_dmarc_evaluate(&question, d->arena, &dmarc);
	if (dmarc.result == PN_DMARC_TEMPERROR)
		doctor_find(d, DOCTOR_UNKNOWN, "dmarc", domain, NO_REMEDY, "%s", dmarc.reason);
	else if (dmarc.policy_domain.n > 0)
		doctor_find(d, DOCTOR_OK, "dmarc", domain, NO_REMEDY,
		    "the record of " PN_STR_FMT " applies: %s", PN_STR_ARG(dmarc.policy_domain),
		    pn_dmarc_policy_name(dmarc.policy));
	else
		publish(d,
		    doctor_find(d, DOCTOR_WARNING, "dmarc", domain, NO_REMEDY,
			"there is no DMARC record: large receivers want one, and anybody can forge this "
			"domain"),
		    &(struct pn_dmarc_record) {
			.p = PN_DMARC_NONE, .rua = PN_STR_EMPTY, .ruf = PN_STR_EMPTY });
}

static void
judge_record(struct doctor *d, struct pn_str domain, struct pn_str text, const struct pn_dmarc_record *record)
{
	size_t before = d->n;

	if (!record->usable)
		publish(d,
		    doctor_find(d, DOCTOR_ERROR, "dmarc", domain, NO_REMEDY,
			"the record has no valid policy: " PN_STR_FMT, PN_STR_ARG(pn_str_head(text, 500))),
		    record);
	else
		judge_tags(d, domain, text, record);
	if (d->n == before)
		doctor_find(
		    d, DOCTOR_OK, "dmarc", domain, NO_REMEDY, PN_STR_FMT, PN_STR_ARG(pn_str_head(text, 500)));
}

void
doctor_dmarc(struct doctor *d, struct pn_str domain)
{
	struct pn_str name = pn_arena_printf(d->arena, "_dmarc." PN_STR_FMT, PN_STR_ARG(domain)),
		      text = PN_STR_EMPTY;
	struct pn_dmarc_record record = { .rua = PN_STR_EMPTY, .ruf = PN_STR_EMPTY }, one;
	struct pn_dns_answer answer = { .ttl = 0 };
	struct pn_error err = { "" };
	size_t n = 0;
	enum pn_status st = doctor_ask(d, name, PN_DNS_TXT, &answer, &err);

	if (st == PN_TEMPFAIL) {
		doctor_find(d, DOCTOR_UNKNOWN, "dmarc", domain, NO_REMEDY, "%s", err.text);
		return;
	}
	for (size_t i = 0; st == PN_OK && i < answer.records.n; i++)
		if (pn_dmarc_record_parse(answer.records.v[i], mode_of(d), &one) == PN_OK && n++ == 0) {
			record = one;
			text = answer.records.v[i];
		}
	if (n == 0)
		judge_inherited(d, domain);
	else if (n == 1)
		judge_record(d, domain, text, &record);
	else
		publish(d,
		    doctor_find(d, DOCTOR_ERROR, "dmarc", domain, NO_REMEDY,
			"there are %zu DMARC records: receivers use none of them; keep one", n),
		    &record);
}
