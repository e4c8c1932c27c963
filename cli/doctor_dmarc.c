/* DMARC: a record, its tags, and whether those who get reports want them. */
#include "doctor.h"

#include <stdlib.h>

enum { REPORTS_MAX = 10, SHOWN_MAX = 500, RECORD_MAX = 512 * 1024 };

static enum pn_dmarc_mode
mode_of(const struct doctor *d)
{
	return d->config->auth.mode;
}

/* -- addresses for reports --------------------------------------------------------------------------- */

/* Without scheme, size limit and header fields. */
static struct pn_str
address_of(struct pn_str uri)
{
	size_t end = 0;

	if (pn_str_starts_nocase(uri, PN_STR("mailto:")))
		uri = pn_str_from(uri, 7);
	while (end < uri.n && uri.p[end] != '!' && uri.p[end] != '?')
		end++;
	return pn_str_head(uri, end);
}

/* As A-labels; "" = nobody can send mail there. */
static struct pn_str
domain_of(struct doctor *d, struct pn_str address)
{
	size_t at = pn_str_find_last(address, '@');
	struct pn_str domain;

	for (size_t i = 0; i < address.n; i++)
		if (address.p[i] <= ' ' || address.p[i] >= 0x7f)
			return PN_STR_EMPTY;
	if (at == PN_STR_NONE || at == 0)
		return PN_STR_EMPTY;
	domain = doctor_domain_of(pn_str_from(address, at + 1), d->arena);
	return pn_str_find(domain, '.') != PN_STR_NONE && pn_dns_name(domain, &domain) ? domain
										       : PN_STR_EMPTY;
}

/* "!10m" */
static bool
is_size(struct pn_str text)
{
	uint64_t size;

	text = pn_str_from(text, 1);
	if (text.n > 1 && pn_str_contains(PN_STR("kmgtKMGT"), pn_str_from(text, text.n - 1)))
		text.n--;
	return pn_str_to_u64(text, UINT64_MAX, &size);
}

/* What was meant by a word of rua= or ruf=; "" = nothing that is of use. */
static struct pn_str
mended(struct doctor *d, struct pn_str word)
{
	struct pn_str address = address_of(word), more;

	if (domain_of(d, address).n == 0)
		return PN_STR_EMPTY;
	more = pn_str_from(word, (size_t)(address.p - word.p) + address.n);
	if (pn_str_starts(more, PN_STR("!")) && !is_size(more))
		more = PN_STR_EMPTY;
	return pn_arena_printf(
	    d->arena, "mailto:" PN_STR_FMT PN_STR_FMT, PN_STR_ARG(address), PN_STR_ARG(more));
}

/* Commas separate; so may blanks have been meant to. */
static struct pn_strs
reports_of(struct doctor *d, struct pn_str list)
{
	struct pn_strs_builder reports = { .arena = d->arena };
	struct pn_str piece, word;

	while (pn_str_split(&list, ',', &piece))
		while (pn_str_split(&piece, ' ', &word)) {
			word = mended(d, pn_str_trim(word));
			if (word.n > 0)
				pn_strs_add(&reports, word);
		}
	return pn_strs_unique(reports.list, d->arena);
}

/* Finds what nobody can use, and says how much. */
static size_t
judge_uris(struct doctor *d, struct pn_str domain, const char *tag, struct pn_str list)
{
	struct pn_str uri;
	size_t n = 0;

	while (n < REPORTS_MAX && pn_str_split(&list, ',', &uri)) {
		bool is_other;

		uri = pn_str_trim(uri);
		if (uri.n == 0 || pn_str_eq_nocase(mended(d, uri), uri))
			continue;
		is_other =
		    pn_str_find(uri, ':') != PN_STR_NONE && !pn_str_starts_nocase(uri, PN_STR("mailto:"));
		doctor_find(d, DOCTOR_WARNING, "dmarc", domain, NO_REMEDY, "%s=" PN_STR_FMT ": %s", tag,
		    PN_STR_ARG(pn_str_head(uri, SHOWN_MAX)),
		    is_other ? "receivers use mailto only" : "nobody can send reports there");
		n++;
	}
	return n;
}

/* -- the record to publish ------------------------------------------------------------------------- */

static struct pn_str
written(struct doctor *d, const struct pn_dmarc_record *r, struct pn_str domain)
{
	struct pn_str rua = pn_strs_join(reports_of(d, r->rua), PN_STR(","), d->arena),
		      ruf = pn_strs_join(reports_of(d, r->ruf), PN_STR(","), d->arena);
	struct pn_buf buf;
	struct pn_str text;

	pn_buf_init(&buf, RECORD_MAX);
	pn_buf_addf(&buf, "v=DMARC1; p=%s", r->p == PN_DMARC_UNSET ? "none" : pn_dmarc_policy_name(r->p));
	if (r->sp != PN_DMARC_UNSET && r->sp != r->p)
		pn_buf_addf(&buf, "; sp=%s", pn_dmarc_policy_name(r->sp));
	if (r->np != PN_DMARC_UNSET && r->np != r->p)
		pn_buf_addf(&buf, "; np=%s", pn_dmarc_policy_name(r->np));
	pn_buf_addf(&buf, "%s%s", r->strict_dkim ? "; adkim=s" : "", r->strict_spf ? "; aspf=s" : "");
	if (rua.n == 0)
		rua = pn_arena_printf(d->arena, "mailto:postmaster@" PN_STR_FMT, PN_STR_ARG(domain));
	pn_buf_addf(&buf, "; rua=" PN_STR_FMT, PN_STR_ARG(rua));
	if (ruf.n > 0)
		pn_buf_addf(&buf, "; ruf=" PN_STR_FMT, PN_STR_ARG(ruf));
	text = pn_arena_dup(d->arena, pn_buf_str(&buf));
	pn_buf_done(&buf);
	return text;
}

static void
publish(struct doctor *d, struct doctor_finding *f, const struct pn_dmarc_record *record)
{
	doctor_publish(d, f, pn_arena_printf(d->arena, "_dmarc." PN_STR_FMT, PN_STR_ARG(f->domain)),
	    written(d, record, f->domain));
}

/* -- reports that go elsewhere (RFC 7489 section 7.1) ------------------------------------------------ */

static void
judge_report(struct doctor *d, struct pn_str domain, struct pn_str address, struct pn_str ext)
{
	struct pn_str name = pn_arena_printf(
	    d->arena, PN_STR_FMT "._report._dmarc." PN_STR_FMT, PN_STR_ARG(domain), PN_STR_ARG(ext));
	struct pn_dns_answer answer;
	struct pn_error err = { "" };
	struct doctor_finding *f;

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
	    PN_STR_ARG(pn_str_head(address, SHOWN_MAX)), PN_STR_ARG(ext));
	f->remedy =
	    pn_arena_printf(d->arena, "whoever runs " PN_STR_FMT " must publish this", PN_STR_ARG(ext));
	f->name = name;
	f->record = PN_STR("v=DMARC1");
}

/* Each domain outside is asked about once. */
static void
judge_reports(struct doctor *d, struct pn_str domain, struct pn_str list, struct pn_strs_builder *asked)
{
	struct pn_str org = pn_psl_organisational(d->psl, domain);
	struct pn_strs reports = reports_of(d, list);

	for (size_t i = 0; i < reports.n && asked->list.n < REPORTS_MAX; i++) {
		struct pn_str address = address_of(reports.v[i]), ext = domain_of(d, address);

		if (pn_str_eq(pn_psl_organisational(d->psl, ext), org) || pn_strs_has(asked->list, ext))
			continue;
		pn_strs_add(asked, ext);
		judge_report(d, domain, address, ext);
	}
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
	struct pn_strs_builder asked = { .arena = d->arena };

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
	if (judge_uris(d, domain, "rua", record->rua) + judge_uris(d, domain, "ruf", record->ruf) > 0)
		publish(d, &d->v[d->n - 1], record);
	judge_reports(d, domain, record->rua, &asked);
	judge_reports(d, domain, record->ruf, &asked);
}

/* -- is there one? -------------------------------------------------------------------------------------- */

/* meant: by what only looks like a record */
static void
judge_inherited(struct doctor *d, struct pn_str domain, const struct pn_dmarc_record *meant)
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
		    meant);
}

static void
judge_record(struct doctor *d, struct pn_str domain, struct pn_str text, const struct pn_dmarc_record *record)
{
	size_t before = d->n;

	if (!record->usable)
		publish(d,
		    doctor_find(d, DOCTOR_ERROR, "dmarc", domain, NO_REMEDY,
			"the record has no valid policy: " PN_STR_FMT,
			PN_STR_ARG(pn_str_head(text, SHOWN_MAX))),
		    record);
	else
		judge_tags(d, domain, text, record);
	if (d->n == before)
		doctor_find(d, DOCTOR_OK, "dmarc", domain, NO_REMEDY, PN_STR_FMT,
		    PN_STR_ARG(pn_str_head(text, SHOWN_MAX)));
}

static int
by_text(const void *a, const void *b)
{
	return pn_str_cmp(*(const struct pn_str *)a, *(const struct pn_str *)b);
}

/* The strictest policy, and who gets reports by the first that says so; in any order of the answer. */
static struct pn_dmarc_record
merged(struct doctor *d, struct pn_strs texts)
{
	struct pn_dmarc_record record = { .rua = PN_STR_EMPTY, .ruf = PN_STR_EMPTY }, one;
	struct pn_str rua = PN_STR_EMPTY, ruf = PN_STR_EMPTY;

	if (texts.n > 0)
		qsort(texts.v, texts.n, sizeof(*texts.v), by_text);
	for (size_t i = 0; i < texts.n; i++) {
		if (pn_dmarc_record_parse(texts.v[i], mode_of(d), &one) != PN_OK)
			continue;
		if (one.p > record.p)
			record = one;
		rua = rua.n > 0 ? rua : one.rua;
		ruf = ruf.n > 0 ? ruf : one.ruf;
	}
	record.rua = record.rua.n > 0 ? record.rua : rua;
	record.ruf = record.ruf.n > 0 ? record.ruf : ruf;
	return record;
}

/* A TXT record with DMARC in it that is none: the version is not the first tag, or not in capitals ...  What
 * its tags say. */
static bool
is_similar(struct doctor *d, struct pn_str text, struct pn_dmarc_record *meant)
{
	struct pn_strs_builder pieces = { .arena = d->arena };
	struct pn_str piece, rest = text;

	if (!pn_str_contains(pn_arena_lower(d->arena, text), PN_STR("dmarc")))
		return false;
	pn_strs_add(&pieces, PN_STR("v=DMARC1"));
	while (pn_str_split(&rest, ';', &piece))
		if (!pn_str_starts_nocase(pn_str_trim(piece), PN_STR("v")))
			pn_strs_add(&pieces, piece);
	return pn_dmarc_record_parse(pn_strs_join(pieces.list, PN_STR(";"), d->arena), mode_of(d), meant)
	    == PN_OK;
}

void
doctor_dmarc(struct doctor *d, struct pn_str domain)
{
	struct pn_str name = pn_arena_printf(d->arena, "_dmarc." PN_STR_FMT, PN_STR_ARG(domain));
	struct pn_dmarc_record meant = { .p = PN_DMARC_NONE, .rua = PN_STR_EMPTY, .ruf = PN_STR_EMPTY },
			       record;
	struct pn_strs_builder texts = { .arena = d->arena };
	struct pn_dns_answer answer = { .ttl = 0 };
	struct pn_error err = { "" };
	enum pn_status st = doctor_ask(d, name, PN_DNS_TXT, &answer, &err);

	if (st == PN_TEMPFAIL) {
		doctor_find(d, DOCTOR_UNKNOWN, "dmarc", domain, NO_REMEDY, "%s", err.text);
		return;
	}
	for (size_t i = 0; st == PN_OK && i < answer.records.n; i++)
		if (pn_dmarc_record_parse(answer.records.v[i], mode_of(d), &record) == PN_OK)
			pn_strs_add(&texts, answer.records.v[i]);
		else if (is_similar(d, answer.records.v[i], &meant))
			doctor_find(d, DOCTOR_WARNING, "dmarc", domain,
			    PN_STR("take it out: a record begins with v=DMARC1 and a semicolon"),
			    "this looks like a DMARC record, and receivers do not see one in it: " PN_STR_FMT,
			    PN_STR_ARG(pn_str_head(answer.records.v[i], SHOWN_MAX)));
	record = merged(d, texts.list);
	if (texts.list.n == 0)
		judge_inherited(d, domain, &meant);
	else if (texts.list.n == 1)
		judge_record(d, domain, texts.list.v[0], &record);
	else
		publish(d,
		    doctor_find(d, DOCTOR_ERROR, "dmarc", domain, PN_STR("replace them all by this"),
			"there are %zu DMARC records: receivers use none of them", texts.list.n),
		    &record);
}
