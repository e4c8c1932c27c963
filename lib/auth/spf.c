/* check_host() of RFC 7208 section 4: which record, which term, which result. */
#include "spf_internal.h"

#include "postern/idn.h"

enum {
	LOOKUPS_MAX = 10,
	SENDER_MAX = 1024,	/* macros repeat it */
	EXPLANATION_MAX = 1024,
	SHOWN_MAX = 253,
};

const char *
pn_spf_result_name(enum pn_spf_result result)
{
	switch (result) {
	case PN_SPF_NONE: return "none";
	case PN_SPF_NEUTRAL: return "neutral";
	case PN_SPF_PASS: return "pass";
	case PN_SPF_FAIL: return "fail";
	case PN_SPF_SOFTFAIL: return "softfail";
	case PN_SPF_TEMPERROR: return "temperror";
	case PN_SPF_PERMERROR: return "permerror";
	}
	return "?";
}

/* -- reasons -- */

static bool
is_printable(struct pn_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

/* Names are cut to a length that people read, and may hold any byte. */
static struct pn_str
shown(struct spf *spf, struct pn_str s)
{
	struct pn_str head = pn_str_head(s, SHOWN_MAX);
	char *text = pn_arena_alloc(spf->arena, head.n + 1);

	for (size_t i = 0; i < head.n; i++)
		text[i] = is_printable(pn_str_n(head.p + i, 1)) ? head.p[i] : '?';
	return pn_str_n(text, head.n);
}

void
spf_explain_error(struct spf *spf, const char *why, struct pn_str about)
{
	about = shown(spf, about);
	spf->reason = pn_arena_printf(spf->arena, "%s " PN_STR_FMT, why, PN_STR_ARG(about));
}

/* The term that decided, and what about it. */
static void
explain_term(struct spf *spf, const char *what)
{
	struct pn_str term = shown(spf, spf->term), domain = shown(spf, spf->domain);

	spf->reason = pn_arena_printf(spf->arena, "\"" PN_STR_FMT "\" of " PN_STR_FMT ": %s", PN_STR_ARG(term),
	    PN_STR_ARG(domain), what);
}

void
spf_explain_failure(struct spf *spf, const struct pn_error *err, enum pn_dns_type type, struct pn_str name)
{
	spf_explain_error(spf, pn_arena_printf(spf->arena, "%s: %s of", err->text, pn_dns_type_name(type)).p, name);
}

bool
spf_count_lookup(struct spf *spf)
{
	if (++spf->lookups <= LOOKUPS_MAX)
		return true;
	spf_explain_error(spf, "more than 10 terms that ask the DNS, the last in the record of", spf->domain);
	return false;
}

/* -- records -- */

/* PN_SPF_PASS: there is one record, and it is well-formed. */
static enum pn_spf_result
select_record(struct spf *spf, struct pn_strs texts, struct spf_record *out)
{
	struct pn_str text = { NULL, 0 }, culprit;
	const char *why;

	for (size_t i = 0; i < texts.n; i++) {
		if (!spf_is_record(texts.v[i]))
			continue;
		if (text.p != NULL) {
			spf_explain_error(spf, "more than one SPF record at", spf->domain);
			return PN_SPF_PERMERROR;
		}
		text = texts.v[i];
	}
	if (text.p == NULL) {
		spf_explain_error(spf, "no SPF record at", spf->domain);
		return PN_SPF_NONE;
	}
	why = spf_parse(text, out, &culprit);
	if (why == NULL)
		return PN_SPF_PASS;
	spf->term = culprit;
	explain_term(spf, why);
	return PN_SPF_PERMERROR;
}

static enum pn_spf_result
fetch_record(struct spf *spf, struct spf_record *out)
{
	struct pn_dns_answer answer;
	struct pn_error err = { "" };

	switch (spf->dns->query(spf->dns->ctx, spf->domain, PN_DNS_TXT, spf->arena, &answer, &err)) {
	case PN_OK:
		return select_record(spf, answer.records, out);
	case PN_NOT_FOUND:
	case PN_INVALID:
		spf_explain_error(spf, "no SPF record at", spf->domain);
		return PN_SPF_NONE;
	case PN_TEMPFAIL:
	case PN_LIMIT:
		break;
	}
	spf_explain_failure(spf, &err, PN_DNS_TXT, spf->domain);
	return PN_SPF_TEMPERROR;
}

/* PN_SPF_NONE: nothing matches. */
static enum pn_spf_result
evaluate(struct spf *spf, const struct spf_record *record)
{
	struct pn_str terms = record->terms;
	struct spf_term term;

	while (spf_next_term(&terms, &term)) {
		enum spf_match match = spf_match(spf, &term);

		if (match == SPF_NO_MATCH)
			continue;
		spf->term = term.text;
		if (match != SPF_MATCH)
			return match == SPF_TEMPERROR ? PN_SPF_TEMPERROR : PN_SPF_PERMERROR;
		explain_term(spf, "matches");
		return term.result;
	}
	return PN_SPF_NONE;
}

/* Where redirect= leads; its target must have a record. */
static enum pn_spf_result
follow_redirect(struct spf *spf, const struct spf_record *record)
{
	struct pn_str name;

	if (!spf_count_lookup(spf) || spf_target(spf, record->redirect, &name) != PN_OK)
		return PN_SPF_PERMERROR;
	spf->domain = name;
	return PN_SPF_PASS;
}

enum pn_spf_result
spf_check_host(struct spf *spf, struct pn_str domain)
{
	enum pn_spf_result result;
	bool redirected = false;

	for (spf->domain = domain;; redirected = true) {
		struct spf_record record;

		result = fetch_record(spf, &record);
		if (result == PN_SPF_NONE && redirected)
			return PN_SPF_PERMERROR;
		if (result != PN_SPF_PASS)
			return result;
		result = evaluate(spf, &record);
		spf->exp = record.exp;	/* and not that of a record that was included */
		if (result != PN_SPF_NONE)
			return result;
		spf->term = PN_STR_EMPTY;
		if (record.redirect.p == NULL) {
			spf_explain_error(spf, "nothing matches in the record of", spf->domain);
			return PN_SPF_NEUTRAL;
		}
		result = follow_redirect(spf, &record);
		if (result != PN_SPF_PASS)
			return result;
	}
}

/* -- explanation (section 6.2) -- */

/* Anything wrong with it: as if there was none. */
static struct pn_str
explain(struct spf *spf, struct pn_arena *arena)
{
	struct pn_str name, text = PN_STR_EMPTY;
	struct pn_dns_answer answer;
	struct pn_buf buf;

	if (spf->exp.p == NULL || spf_target(spf, spf->exp, &name) != PN_OK
	    || spf->dns->query(spf->dns->ctx, name, PN_DNS_TXT, spf->arena, &answer, NULL) != PN_OK
	    || answer.records.n != 1 || !spf_macro_is_valid(answer.records.v[0], SPF_IN_EXPLANATION))
		return PN_STR_EMPTY;
	pn_buf_init(&buf, EXPLANATION_MAX);
	spf_macro_expand(spf, answer.records.v[0], SPF_IN_EXPLANATION, &buf);
	if (!pn_buf_failed(&buf))
		text = pn_arena_dup(arena, pn_buf_str(&buf));
	pn_buf_done(&buf);
	return text;
}

/* -- the question -- */

/* Section 4.3: what is missing of the sender, and whether there is a domain to ask. */
static bool
read_sender(struct spf *spf)
{
	struct pn_str sender = spf->q->sender, helo = spf->q->helo, ascii;
	size_t at = pn_str_find_last(sender, '@');
	struct pn_str domain = at == PN_STR_NONE ? sender : pn_str_from(sender, at + 1);

	if (sender.n == 0)
		domain = helo;
	if (sender.n > SENDER_MAX || helo.n > SENDER_MAX || pn_str_starts(domain, PN_STR("["))
	    || pn_domain_to_ascii(domain, spf->arena, &ascii) != PN_OK
	    || pn_str_find(ascii, '.') == PN_STR_NONE)
		return false;
	spf->local = at == PN_STR_NONE || at == 0 ? PN_STR("postmaster") : pn_str_head(sender, at);
	spf->sender_domain = ascii;
	spf->sender = pn_strs_join((struct pn_strs){ (struct pn_str[]){ spf->local, ascii }, 2 }, PN_STR("@"),
	    spf->arena);
	return true;
}

void
pn_spf_check(const struct pn_spf_question *question, const struct pn_dns *dns, struct pn_arena *arena,
    struct pn_spf_answer *out)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct spf spf = {
		.q = question, .dns = dns, .arena = pn_arena_new_like(arena),
		.is_ip4 = memcmp(question->client, mapped, sizeof(mapped)) == 0,
		.sender_domain = PN_STR_EMPTY, .term = PN_STR_EMPTY,
		.reason = PN_STR("no domain that could have a record"),
	};

	*out = (struct pn_spf_answer){ .result = PN_SPF_NONE, .explanation = PN_STR_EMPTY };
	if (read_sender(&spf))
		out->result = spf_check_host(&spf, spf.sender_domain);
	out->domain = pn_arena_dup(arena, spf.sender_domain);
	out->term = pn_arena_dup(arena, pn_str_head(spf.term, SHOWN_MAX));
	out->reason = pn_arena_dup(arena, spf.reason);
	out->lookups = spf.lookups;
	out->voids = spf.voids;
	if (out->result == PN_SPF_FAIL && question->explain)
		out->explanation = explain(&spf, arena);
	out->explanation_is_printable = is_printable(out->explanation);
	pn_arena_free(spf.arena);
}
