/* What a receiver makes of each From and relay: SPF, DKIM and DMARC as it would evaluate them. */
#include "doctor.h"

#include "postern/dkim_key.h"

enum { IDENTIFIERS_MAX = PN_SIGNING_KEYS + 2 };

struct judgement {
	struct doctor *d;
	const struct pn_dns *dns;
	const struct doctor_route *route;
	struct pn_dmarc_identifier v[IDENTIFIERS_MAX];
	size_t n;
	struct pn_strs_builder dkim; /* words on each signature */
};

static void
add(struct judgement *j, struct pn_str domain, bool dkim, bool unsure)
{
	j->v[j->n++] = (struct pn_dmarc_identifier) { .domain = domain, .dkim = dkim, .unsure = unsure };
}

static void
add_spf(struct judgement *j, struct doctor_outcome *out)
{
	struct pn_spf_answer answer = doctor_relay_spf(j->d, j->dns, j->route->relay, j->route->envelope);

	out->spf = answer.result;
	out->spf_why = answer.reason;
	if (answer.result == PN_SPF_PASS || answer.result == PN_SPF_TEMPERROR)
		add(j, j->route->envelope_domain, false, answer.result == PN_SPF_TEMPERROR);
}

/* A key that is not published does not sign (sign_check_published), or signs what nobody can verify. */
static void
add_own_key(struct judgement *j, const struct pn_signing_key *key)
{
	struct doctor *d = j->d;
	struct pn_str words = pn_arena_printf(
	    d->arena, "d=" PN_STR_FMT " s=" PN_STR_FMT, PN_STR_ARG(key->domain), PN_STR_ARG(key->selector));
	const struct pn_dkim_key *private;
	struct pn_error err = { "" };
	enum pn_known known = PN_NO;

	if (pn_key_ring_get(d->ring, key->key, &private, &err) == PN_OK)
		known = pn_dkim_key_matches(private, key->domain, key->selector, j->dns, d->arena, &err);
	if (known != PN_NO)
		add(j, key->domain, true, known == PN_UNKNOWN);
	pn_strs_add(&j->dkim,
	    known == PN_YES ? words
			    : pn_arena_printf(d->arena, PN_STR_FMT " (%s)", PN_STR_ARG(words), err.text));
}

/* A provider that has its key published for the author's domain signs for it. */
static void
add_provider_key(struct judgement *j)
{
	const struct doctor_provider *provider = doctor_provider_of(j->route->relay);
	struct pn_dkim_record record;

	if (provider == NULL || provider->selector == NULL
	    || pn_dkim_record_find(
		   j->dns, j->route->author_domain, pn_str_c(provider->selector), j->d->arena, &record, NULL)
		!= PN_OK
	    || record.key.n == 0)
		return;
	add(j, j->route->author_domain, true, false);
	pn_strs_add(&j->dkim,
	    pn_arena_printf(j->d->arena, "%s's own, d=" PN_STR_FMT " s=%s", provider->name,
		PN_STR_ARG(j->route->author_domain), provider->selector));
}

static void
add_dkim(struct judgement *j, struct doctor_outcome *out)
{
	struct doctor *d = j->d;
	struct pn_signing_key keys[PN_SIGNING_KEYS];
	size_t n = 0;

	if (pn_signing_find(
		&d->signing, &d->keys, j->route->author, d->config->sign.all, d->arena, keys, &n, NULL)
	    != PN_OK)
		n = 0;
	for (size_t i = 0; i < n; i++)
		add_own_key(j, &keys[i]);
	add_provider_key(j);
	out->dkim_why =
	    j->dkim.list.n == 0 ? PN_STR("not signed") : pn_strs_join(j->dkim.list, PN_STR(", "), d->arena);
}

static struct doctor_outcome
receive(struct doctor *d, const struct pn_dns *dns, const struct doctor_route *route)
{
	struct judgement j = { .d = d, .dns = dns, .route = route, .dkim = { .arena = d->arena } };
	struct pn_str author = route->author_domain;
	struct doctor_outcome out = { .spf = PN_SPF_NONE };
	struct pn_dmarc_question question = { .mode = d->config->auth.mode,
		.psl = d->psl,
		.dns = dns,
		.from = { .one = true, .domains = { &author, 1 } },
		.identifiers = j.v };
	struct pn_dmarc dmarc;

	add_spf(&j, &out);
	add_dkim(&j, &out);
	question.identifier_count = j.n;
	pn_dmarc_evaluate(&question, d->arena, &dmarc);
	for (size_t i = 0; i < j.n; i++) {
		bool aligned =
		    (dmarc.alignments[i] == PN_DMARC_STRICT || dmarc.alignments[i] == PN_DMARC_RELAXED)
		    && !j.v[i].unsure;

		out.dkim_unsure = out.dkim_unsure || (j.v[i].dkim && j.v[i].unsure);
		out.dkim_aligned = out.dkim_aligned || (aligned && j.v[i].dkim);
		out.spf_aligned = out.spf_aligned || (aligned && !j.v[i].dkim);
	}
	out.dmarc = dmarc.result;
	out.disposition = dmarc.disposition;
	out.dmarc_why = dmarc.reason;
	return out;
}

static enum doctor_level
judge_pass(const struct doctor_route *route, const struct doctor_outcome *outcome, struct pn_str *remedy,
    struct pn_arena *arena)
{
	const struct doctor_provider *provider = doctor_provider_of(route->relay);

	if (outcome->dkim_aligned || !outcome->spf_aligned)
		return DOCTOR_OK;
	if (outcome->dkim_unsure)
		return DOCTOR_UNKNOWN;
	if (provider != NULL && provider->own_envelope)
		*remedy = pn_arena_printf(arena,
		    "%s replaces the envelope sender by its own: sign with DKIM, or set a return "
		    "path in " PN_STR_FMT " there",
		    provider->name, PN_STR_ARG(route->author_domain));
	else
		*remedy = PN_STR("rests on SPF alone, which forwarding breaks: sign with DKIM");
	return DOCTOR_WARNING;
}

static enum doctor_level
judge_level(const struct doctor_verdict *verdict, struct pn_str *remedy, struct pn_arena *arena)
{
	switch (verdict->now.dmarc) {
	case PN_DMARC_PASS: return judge_pass(verdict->route, &verdict->now, remedy, arena);
	case PN_DMARC_TEMPERROR: return DOCTOR_UNKNOWN;
	case PN_DMARC_RESULT_NONE:
		return verdict->now.spf == PN_SPF_TEMPERROR ? DOCTOR_UNKNOWN : DOCTOR_WARNING;
	case PN_DMARC_FAIL:
	case PN_DMARC_PERMERROR: break;
	}
	*remedy = verdict->then.dmarc == PN_DMARC_PASS
	    ? PN_STR("publish the records above")
	    : PN_STR("sign with a key of the From's domain, or send with an envelope sender in it");
	return DOCTOR_ERROR;
}

void
doctor_judge(struct doctor *d)
{
	struct pn_dns planned = doctor_planned(d);

	d->verdicts = PN_ARENA_ARRAY(d->arena, struct doctor_verdict, d->route_count);
	for (size_t i = 0; i < d->route_count; i++) {
		struct doctor_verdict *verdict = &d->verdicts[d->verdict_count++];

		*verdict = (struct doctor_verdict) { .route = &d->routes[i],
			.remedy = PN_STR_EMPTY,
			.now = receive(d, &d->dns, &d->routes[i]) };
		verdict->then = d->plan_count > 0 ? receive(d, &planned, &d->routes[i]) : verdict->now;
		verdict->level = judge_level(verdict, &verdict->remedy, d->arena);
	}
}
