/* What a receiver makes of each From and relay: SPF, DKIM and DMARC as it would evaluate them. */
#include "doctor.h"

#include "postern/dkim_key.h"

enum { IDENTIFIERS_MAX = PN_SIGNING_KEYS + 2 };

static bool
replaces_envelope(const struct doctor_route *route)
{
	const struct doctor_provider *provider = doctor_provider_of(route->relay);

	return provider != NULL && provider->own_envelope;
}

struct judgement {
	struct doctor *d;
	const struct pn_dns *dns;
	const struct doctor_route *route;
	struct pn_dmarc_identifier v[IDENTIFIERS_MAX];
	size_t n;
	struct pn_strs_builder dkim; /* words on each signature */
};

static void
evaluate(struct judgement *j, const struct pn_dns *dns, const struct pn_dmarc_identifier *v, size_t n,
    struct pn_dmarc *out)
{
	struct pn_str author = j->route->author_domain;
	struct pn_dmarc_question question = { .mode = j->d->config->auth.mode,
		.psl = j->d->psl,
		.dns = dns,
		.from = { .one = true, .domains = { &author, 1 } },
		.identifiers = v,
		.identifier_count = n };

	pn_dmarc_evaluate(&question, j->d->arena, out);
}

/* Asked alone: of several, what does not matter any more is left open. */
static bool
is_aligned(struct judgement *j, struct pn_str domain, bool dkim)
{
	struct doctor *d = j->d;
	struct pn_dmarc_identifier one = { .domain = domain, .dkim = dkim };
	struct pn_dns planned = doctor_planned(d);
	struct doctor_finding ignored;
	struct pn_dmarc dmarc;

	evaluate(j, j->dns, &one, 1, &dmarc);
	if (dmarc.result == PN_DMARC_PASS || dmarc.result == PN_DMARC_FAIL)
		return dmarc.result == PN_DMARC_PASS;
	/* no record that could be applied */
	doctor_publish(d, &ignored,
	    pn_arena_printf(d->arena, "_dmarc." PN_STR_FMT, PN_STR_ARG(j->route->author_domain)),
	    PN_STR("v=DMARC1; p=none"));
	evaluate(j, &planned, &one, 1, &dmarc);
	d->plan_count--;
	return dmarc.result == PN_DMARC_PASS;
}

static void
add(struct judgement *j, struct pn_str domain, bool dkim, bool unsure)
{
	j->v[j->n++] = (struct pn_dmarc_identifier) { .domain = domain, .dkim = dkim, .unsure = unsure };
}

/* A provider that puts its own envelope sender in: whether a domain of the author's was set there instead, or
 * keys that we do not know, only the provider could say. */
static void
add_spf(struct judgement *j, struct doctor_outcome *out)
{
	struct pn_spf_answer answer = doctor_relay_spf(j->d, j->dns, j->route->relay, j->route->envelope);

	out->spf = answer.result;
	out->spf_why = answer.reason;
	out->envelope_aligned = is_aligned(j, j->route->envelope_domain, false);
	if (replaces_envelope(j->route)) {
		out->spf_why =
		    pn_arena_printf(j->d->arena, PN_STR_FMT "; but %s replaces this envelope sender",
			PN_STR_ARG(answer.reason), doctor_provider_of(j->route->relay)->name);
		out->envelope_aligned = false;
		add(j, j->route->author_domain, false, true);
	} else if (answer.result == PN_SPF_PASS || answer.result == PN_SPF_TEMPERROR)
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
	struct doctor_outcome out = { .spf = PN_SPF_NONE };
	struct pn_dmarc dmarc;

	add_spf(&j, &out);
	add_dkim(&j, &out);
	evaluate(&j, dns, j.v, j.n, &dmarc);
	for (size_t i = 0; i < j.n; i++) {
		out.dkim_unsure = out.dkim_unsure || (j.v[i].dkim && j.v[i].unsure);
		out.dkim_aligned = out.dkim_aligned
		    || (j.v[i].dkim && !j.v[i].unsure && is_aligned(&j, j.v[i].domain, true));
	}
	out.spf_aligned = out.envelope_aligned && out.spf == PN_SPF_PASS;
	out.dmarc = dmarc.result;
	out.disposition = dmarc.disposition;
	out.dmarc_why = dmarc.reason;
	if (dmarc.result == PN_DMARC_TEMPERROR && dmarc.policy_domain.n > 0 && replaces_envelope(route)
	    && !out.dkim_unsure)
		out.dmarc_why = "it depends on what is set at the provider, which the DNS does not tell";
	return out;
}

/* What would make it pass. */
static struct pn_str
remedy_of(const struct doctor_verdict *verdict, struct pn_arena *arena)
{
	const struct doctor_route *route = verdict->route;
	const struct doctor_outcome *then = &verdict->then;

	if (then->dmarc == PN_DMARC_PASS)
		return PN_STR("publish the records above");
	if (replaces_envelope(route))
		return pn_arena_printf(arena,
		    "%s replaces the envelope sender by its own: sign with DKIM, or set a return "
		    "path in " PN_STR_FMT " there",
		    doctor_provider_of(route->relay)->name, PN_STR_ARG(route->author_domain));
	if (then->dmarc == PN_DMARC_TEMPERROR)
		return PN_STR("publish the records above");
	if (then->dmarc == PN_DMARC_RESULT_NONE || then->dmarc == PN_DMARC_PERMERROR)
		return pn_arena_printf(arena,
		    "postern doctor " PN_STR_FMT " says which DMARC record to publish",
		    PN_STR_ARG(route->author_domain));
	if (then->envelope_aligned)
		return pn_arena_printf(arena,
		    "mend the SPF record of " PN_STR_FMT " (see above), or sign with DKIM",
		    PN_STR_ARG(route->envelope_domain));
	return PN_STR("sign with a key of the From's domain, or send with an envelope sender in it");
}

static enum doctor_level
judge_pass(const struct doctor_verdict *verdict, struct pn_str *remedy)
{
	if (verdict->now.dkim_aligned || !verdict->now.spf_aligned)
		return DOCTOR_OK;
	if (verdict->now.dkim_unsure)
		return DOCTOR_UNKNOWN;
	*remedy = verdict->then.dkim_aligned
	    ? PN_STR("publish the records above")
	    : PN_STR("rests on SPF alone, which forwarding breaks: sign with DKIM");
	return DOCTOR_WARNING;
}

static enum doctor_level
judge_level(const struct doctor_verdict *verdict, struct pn_str *remedy, struct pn_arena *arena)
{
	switch (verdict->now.dmarc) {
	case PN_DMARC_PASS: return judge_pass(verdict, remedy);
	case PN_DMARC_TEMPERROR:
		if (replaces_envelope(verdict->route))
			*remedy = remedy_of(verdict, arena);
		return DOCTOR_UNKNOWN;
	case PN_DMARC_RESULT_NONE:
		*remedy = remedy_of(verdict, arena);
		return verdict->now.spf == PN_SPF_TEMPERROR ? DOCTOR_UNKNOWN : DOCTOR_WARNING;
	case PN_DMARC_FAIL:
	case PN_DMARC_PERMERROR: break;
	}
	*remedy = remedy_of(verdict, arena);
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
