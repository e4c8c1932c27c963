/* SPF: one record, well-formed, cheap enough, with all that sends and no more. */
#include "doctor_spf_terms.h"

enum {
	ATTEMPTS_MAX = 16,
	COSTS_MAX = 32,
	SHOWN_MAX = 500,
	LOOKUPS_MANY = 9 /* of 10 */
};

/* One domain. */
struct spf {
	struct doctor *d;
	struct pn_str domain;
	struct pn_strs records; /* that call themselves SPF */
	struct pn_strs terms; /* of all of them but all, that may stay */
	struct pn_strs faults; /* words on each term that may not */
	struct pn_str proposal;
	size_t problems, last; /* findings that the proposal mends */
};

/* Nobody's address: no term but all matches it, so that every term is looked at. */
static const unsigned char nobody4[16] = { [10] = 0xff, [11] = 0xff }, nobody6[16];

static struct pn_spf_answer
ask_spf(struct doctor *d, const struct pn_dns *dns, const unsigned char client[16], struct pn_str sender)
{
	struct pn_spf_question question = {
		.helo = d->hostname, .sender = sender, .receiver = PN_STR_EMPTY, .now = d->now
	};
	struct pn_spf_answer answer;

	memcpy(question.client, client, 16);
	pn_spf_check(&question, dns, d->arena, &answer);
	return answer;
}

struct pn_spf_answer
doctor_relay_spf(
    struct doctor *d, const struct pn_dns *dns, const struct pn_relay *relay, struct pn_str sender)
{
	struct pn_spf_answer answer = { .result = PN_SPF_NONE };
	struct pn_error err = { "" };
	struct pn_strs addresses;
	enum pn_status st = doctor_relay_addresses(d, relay, &addresses, &err);

	if (st != PN_OK) {
		answer.result = st == PN_NOT_FOUND ? PN_SPF_NONE : PN_SPF_TEMPERROR;
		answer.reason = pn_arena_dup(d->arena, pn_str_c(err.text));
		return answer;
	}
	for (size_t i = 0; i < addresses.n; i++) {
		answer = ask_spf(d, dns, (const unsigned char *)addresses.v[i].p, sender);
		answer.reason = pn_arena_printf(d->arena, PN_STR_FMT ": " PN_STR_FMT,
		    PN_STR_ARG(doctor_address_text(addresses.v[i], d->arena)), PN_STR_ARG(answer.reason));
		if (answer.result != PN_SPF_PASS)
			break;
	}
	return answer;
}

/* -- the record to publish ------------------------------------------------------------------------ */

static struct pn_str
joined(struct spf *s, struct pn_strs terms, char ending)
{
	return pn_arena_printf(s->d->arena, "v=spf1%s" PN_STR_FMT "%s", terms.n > 0 ? " " : "",
	    PN_STR_ARG(pn_strs_join(terms, PN_STR(" "), s->d->arena)),
	    ending == '-'                                                 ? " -all"
		: ending == 'r' && doctor_spf_has_term(terms, "redirect") ? ""
									  : " ~all");
}

/* All terms of all records, each once.  Of several, a redirect= would take its record's place: it is
 * included. */
static struct pn_strs
merged(struct spf *s)
{
	struct pn_strs_builder terms = { .arena = s->d->arena };
	struct pn_str word;

	for (size_t i = 0; i < s->records.n; i++) {
		struct pn_str rest = pn_str_from(s->records.v[i], 6);

		while (doctor_spf_next_word(&rest, &word))
			if (s->records.n > 1 && pn_str_starts_nocase(word, PN_STR("redirect=")))
				pn_strs_add(&terms,
				    pn_arena_printf(s->d->arena, "include:" PN_STR_FMT,
					PN_STR_ARG(pn_str_from(word, 9))));
			else if (doctor_spf_all_of(word) == '\0')
				pn_strs_add(&terms, word);
	}
	return pn_strs_unique(terms.list, s->d->arena);
}

/* Which of them may stay. */
static void
sort_out(struct spf *s)
{
	struct pn_strs_builder good = { .arena = s->d->arena }, faults = { .arena = s->d->arena };
	struct pn_strs all = merged(s);

	for (size_t i = 0; i < all.n; i++) {
		const char *why = i < COSTS_MAX ? doctor_spf_fault_of(s->d, s->domain, all.v[i]) : NULL;

		if (why == NULL)
			pn_strs_add(&good, all.v[i]);
		else
			pn_strs_add(&faults,
			    pn_arena_printf(s->d->arena, "\"" PN_STR_FMT "\": %s",
				PN_STR_ARG(pn_str_head(all.v[i], SHOWN_MAX)), why));
	}
	s->terms = good.list;
	s->faults = faults.list;
}

static struct pn_strs
without(struct spf *s, struct pn_strs terms, struct pn_str term)
{
	struct pn_strs_builder left = { .arena = s->d->arena };

	for (size_t i = 0; i < terms.n; i++)
		if (!pn_str_eq(terms.v[i], term))
			pn_strs_add(&left, terms.v[i]);
	return left.list;
}

/* A term of the domain's own record that cannot be, as its reason begins. */
static bool
is_own_term(struct spf *s, const struct pn_spf_answer *answer)
{
	struct pn_str begin = pn_arena_printf(s->d->arena, "\"" PN_STR_FMT "\" of " PN_STR_FMT ":",
	    PN_STR_ARG(answer->term), PN_STR_ARG(s->domain));

	return answer->result == PN_SPF_PERMERROR && answer->term.n > 0
	    && pn_str_starts(answer->reason, begin);
}

/* SPF as it were with this record. */
static struct pn_spf_answer
try_record(struct spf *s, struct pn_str record, const struct pn_relay *relay)
{
	struct doctor *d = s->d;
	struct pn_dns dns = doctor_planned(d);
	struct pn_str sender = pn_arena_printf(d->arena, "postmaster@" PN_STR_FMT, PN_STR_ARG(s->domain));
	struct doctor_finding ignored;
	struct pn_spf_answer answer;

	doctor_publish(d, &ignored, s->domain, record);
	answer = relay == NULL ? ask_spf(d, &dns, nobody4, sender) : doctor_relay_spf(d, &dns, relay, sender);
	d->plan_count--;
	return answer;
}

static char
wanted_ending(const struct spf *s)
{
	char ending = s->records.n > 0 ? doctor_spf_ending_of(s->records.v[0]) : '~';

	return ending == '-' || (ending == 'r' && s->records.n == 1) ? ending : '~';
}

static bool
sends_as(const struct spf *s, const struct doctor_route *route, size_t i)
{
	if (!pn_str_eq(route->envelope_domain, s->domain))
		return false;
	for (size_t j = 0; j < i; j++)
		if (s->d->routes[j].relay == route->relay
		    && pn_str_eq(s->d->routes[j].envelope_domain, s->domain))
			return false;
	return true;
}

/* Does a record of these terms not let the relay send?  One that receivers cannot use is taken term by term,
 * as far as that goes.  A relay without any address is not missed. */
static bool
misses(struct spf *s, struct pn_strs terms, char ending, const struct pn_relay *relay)
{
	struct pn_spf_answer answer = try_record(s, joined(s, terms, ending), relay);

	for (size_t i = 0; answer.result == PN_SPF_PERMERROR && i < terms.n; i++) {
		struct pn_str alone =
		    pn_arena_printf(s->d->arena, "v=spf1 " PN_STR_FMT, PN_STR_ARG(terms.v[i]));

		if (i >= COSTS_MAX || try_record(s, alone, relay).result == PN_SPF_PASS)
			return false;
	}
	return answer.result != PN_SPF_PASS && answer.result != PN_SPF_NONE;
}

/* What is published, without what is wrong in it, with the relays that it forgot (not those that have no
 * address at all).  False: receivers could not use that either. */
static bool
propose(struct spf *s)
{
	struct pn_strs_builder terms = { .arena = s->d->arena };
	struct pn_strs kept = s->terms;
	char ending = wanted_ending(s);
	struct pn_spf_answer answer;

	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		answer = try_record(s, joined(s, kept, ending), NULL);
		if (!is_own_term(s, &answer))
			break;
		kept = without(s, kept, answer.term);
	}
	for (size_t i = 0; i < kept.n; i++)
		pn_strs_add(&terms, kept.v[i]);
	for (size_t i = 0; i < s->d->route_count; i++) {
		const struct doctor_route *route = &s->d->routes[i];

		if (sends_as(s, route, i) && misses(s, terms.list, ending, route->relay))
			pn_strs_add(&terms, doctor_relay_term(route->relay, s->d->arena));
	}
	s->proposal = joined(s, pn_strs_unique(terms.list, s->d->arena), ending);
	return try_record(s, s->proposal, NULL).result != PN_SPF_PERMERROR;
}

/* -- what is wrong -------------------------------------------------------------------------------- */

#define PROBLEM(s, level, remedy, ...)                                                                       \
	((s)->problems++, (s)->last = (s)->d->n,                                                             \
	    doctor_find((s)->d, level, "spf", (s)->domain, remedy, __VA_ARGS__))

/* What each term costs by itself: includes are looked into. */
static struct pn_str
costs_of(struct spf *s, struct pn_str record)
{
	struct pn_strs_builder costs = { .arena = s->d->arena };
	struct pn_str word, rest = pn_str_from(record, 6);

	while (doctor_spf_next_word(&rest, &word) && costs.list.n < COSTS_MAX) {
		struct pn_spf_answer answer =
		    try_record(s, pn_arena_printf(s->d->arena, "v=spf1 " PN_STR_FMT, PN_STR_ARG(word)), NULL);

		if (answer.lookups > 0)
			pn_strs_add(&costs,
			    pn_arena_printf(s->d->arena, PN_STR_FMT " %s%u", PN_STR_ARG(word),
				answer.lookups > 10 ? "more than " : "",
				answer.lookups > 10 ? 10 : answer.lookups));
	}
	return pn_strs_join(costs.list, PN_STR(", "), s->d->arena);
}

static struct pn_str
how_to_save(struct spf *s, struct pn_str record)
{
	return pn_arena_printf(s->d->arena,
	    "look-ups by term: " PN_STR_FMT "; take out includes of "
	    "services that no longer send, or write ip4: and ip6: for a and mx",
	    PN_STR_ARG(costs_of(s, record)));
}

/* What a receiver counts.  It stops at the first one too many. */
static struct pn_str
counts_of(struct spf *s, const struct pn_spf_answer *four, const struct pn_spf_answer *six)
{
	struct pn_str over6 = PN_STR_EMPTY;

	if (six->voids != four->voids)
		over6 = pn_arena_printf(s->d->arena, ", %u over IPv6", six->voids);
	return pn_arena_printf(s->d->arena, "(%u of 10 look-ups, %u of 2 void" PN_STR_FMT ")", four->lookups,
	    four->voids, PN_STR_ARG(over6));
}

static void
judge_permerror(struct spf *s, const struct pn_spf_answer *answer, struct pn_str counts)
{
	struct doctor_finding *f = PROBLEM(s, DOCTOR_ERROR, NO_REMEDY,
	    "receivers cannot use the SPF record (permerror): " PN_STR_FMT " " PN_STR_FMT,
	    PN_STR_ARG(answer->reason), PN_STR_ARG(counts));

	if (s->faults.n > 0 || answer->lookups > 10 || is_own_term(s, answer))
		return;
	f->remedy = answer->voids > 2
	    ? PN_STR(
		"the names that do not exist are in records that are included: tell their owners, or take "
		"the includes out")
	    : PN_STR("the fault is in a record that is included: tell its owner, or take the include out");
}

static void
judge_all(struct spf *s, struct pn_str record)
{
	char ending = doctor_spf_ending_of(record);

	if (ending == '+')
		PROBLEM(s, DOCTOR_ERROR, NO_REMEDY, "+all lets the whole world send as " PN_STR_FMT,
		    PN_STR_ARG(s->domain));
	else if (ending == '?')
		PROBLEM(s, DOCTOR_WARNING, NO_REMEDY, "?all says nothing about who may not send");
	else if (ending == '\0')
		PROBLEM(s, DOCTOR_WARNING, NO_REMEDY,
		    "the record does not end in ~all or -all: who may not send is left open");
	if (doctor_spf_has_term(s->terms, "ptr"))
		doctor_find(s->d, DOCTOR_WARNING, "spf", s->domain,
		    PN_STR("name the hosts with a:, ip4: or ip6: (RFC 7208 section 5.5)"),
		    "ptr is slow, and many receivers ignore it");
}

static void
judge_relays(struct spf *s)
{
	for (size_t i = 0; i < s->d->route_count; i++) {
		const struct doctor_route *route = &s->d->routes[i];
		struct pn_spf_answer answer;

		if (!sends_as(s, route, i))
			continue;
		answer = doctor_relay_spf(s->d, &s->d->dns, route->relay, route->envelope);
		if (answer.result == PN_SPF_TEMPERROR)
			doctor_find(s->d, DOCTOR_UNKNOWN, "spf", s->domain, NO_REMEDY,
			    "relay " PN_STR_FMT ": " PN_STR_FMT, PN_STR_ARG(route->relay->name),
			    PN_STR_ARG(answer.reason));
		else if (answer.result == PN_SPF_NONE)
			doctor_find(s->d, DOCTOR_ERROR, "spf", s->domain, PN_STR("mend its host"),
			    "relay " PN_STR_FMT ": " PN_STR_FMT, PN_STR_ARG(route->relay->name),
			    PN_STR_ARG(answer.reason));
		else if (answer.result == PN_SPF_PERMERROR
		    && misses(s, s->terms, wanted_ending(s), route->relay))
			PROBLEM(s, DOCTOR_ERROR, NO_REMEDY,
			    "relay " PN_STR_FMT " sends as " PN_STR_FMT ", and no term lets it: " PN_STR_FMT
			    " is missing",
			    PN_STR_ARG(route->relay->name), PN_STR_ARG(route->envelope),
			    PN_STR_ARG(doctor_relay_term(route->relay, s->d->arena)));
		else if (answer.result != PN_SPF_PASS && answer.result != PN_SPF_PERMERROR)
			PROBLEM(s, DOCTOR_ERROR, NO_REMEDY,
			    "relay " PN_STR_FMT " sends as " PN_STR_FMT " and may not: %s, " PN_STR_FMT,
			    PN_STR_ARG(route->relay->name), PN_STR_ARG(route->envelope),
			    pn_spf_result_name(answer.result), PN_STR_ARG(answer.reason));
	}
}

static void
judge_terms(struct spf *s)
{
	for (size_t i = 0; i < s->faults.n; i++)
		PROBLEM(s, DOCTOR_WARNING, NO_REMEDY, PN_STR_FMT, PN_STR_ARG(s->faults.v[i]));
}

static void
judge_record(struct spf *s)
{
	struct doctor *d = s->d;
	struct pn_str sender = pn_arena_printf(d->arena, "postmaster@" PN_STR_FMT, PN_STR_ARG(s->domain));
	struct pn_spf_answer answer = ask_spf(d, &d->dns, nobody4, sender);
	struct pn_spf_answer six = ask_spf(d, &d->dns, nobody6, sender);
	struct pn_str record = s->records.v[0], counts = counts_of(s, &answer, &six);
	bool many = answer.lookups >= LOOKUPS_MANY;

	if (answer.result == PN_SPF_TEMPERROR || six.result == PN_SPF_TEMPERROR)
		doctor_find(d, DOCTOR_UNKNOWN, "spf", s->domain, NO_REMEDY, PN_STR_FMT " " PN_STR_FMT,
		    PN_STR_ARG(answer.result == PN_SPF_TEMPERROR ? answer.reason : six.reason),
		    PN_STR_ARG(counts));
	else if (answer.result == PN_SPF_PERMERROR)
		judge_permerror(s, &answer, counts);
	else if (six.result == PN_SPF_PERMERROR)
		doctor_find(d, DOCTOR_WARNING, "spf", s->domain,
		    PN_STR("write ip4: for the hosts that have no IPv6 address"),
		    "permerror for mail over IPv6: " PN_STR_FMT " " PN_STR_FMT, PN_STR_ARG(six.reason),
		    PN_STR_ARG(counts));
	else
		doctor_find(d, many ? DOCTOR_WARNING : DOCTOR_OK, "spf", s->domain,
		    many ? how_to_save(s, record) : NO_REMEDY, "%s" PN_STR_FMT " " PN_STR_FMT,
		    many ? "there is hardly room for another service: " : "",
		    PN_STR_ARG(pn_str_head(record, SHOWN_MAX)), PN_STR_ARG(counts));
	judge_terms(s);
	judge_all(s, record);
	judge_relays(s);
}

static void
judge_several(struct spf *s)
{
	judge_terms(s);
	PROBLEM(s, DOCTOR_ERROR, PN_STR("replace them all by one"),
	    "there are %zu SPF records: receivers use none of them (permerror)", s->records.n);
}

static void
judge_none(struct spf *s)
{
	if (doctor_is_envelope(s->d, s->domain))
		PROBLEM(s, DOCTOR_ERROR, NO_REMEDY,
		    "there is no SPF record, and mail leaves with envelope senders of this domain");
	else
		doctor_find(s->d, DOCTOR_OK, "spf", s->domain, NO_REMEDY,
		    "there is no SPF record, and none is needed: no mail leaves with an envelope sender of "
		    "this domain");
}

/* With the relays that are missing a record can cost too much, though it does not now. */
static void
propose_or_say(struct spf *s, struct doctor_finding *last)
{
	if (!propose(s)) {
		if (last->remedy.n == 0 && try_record(s, s->proposal, NULL).lookups > 10)
			last->remedy = how_to_save(s, s->proposal);
	} else if (s->records.n != 1 || !pn_str_eq(s->records.v[0], s->proposal))
		doctor_publish(s->d, last, s->domain, s->proposal);
}

void
doctor_spf(struct doctor *d, struct pn_str domain)
{
	struct pn_strs_builder records = { .arena = d->arena };
	struct spf s = { .d = d, .domain = domain };
	struct pn_dns_answer answer = { .ttl = 0 };
	struct pn_error err = { "" };
	enum pn_status st = doctor_ask(d, domain, PN_DNS_TXT, &answer, &err);

	if (st == PN_TEMPFAIL) {
		doctor_find(d, DOCTOR_UNKNOWN, "spf", domain, NO_REMEDY, "%s", err.text);
		return;
	}
	for (size_t i = 0; st == PN_OK && i < answer.records.n; i++)
		if (doctor_spf_is_record(answer.records.v[i]))
			pn_strs_add(&records, answer.records.v[i]);
		else if (doctor_spf_is_similar(answer.records.v[i]))
			doctor_find(d, DOCTOR_WARNING, "spf", domain,
			    PN_STR("take it out: a record begins with v=spf1 and a blank"),
			    "this looks like an SPF record, and receivers do not see one in it: " PN_STR_FMT,
			    PN_STR_ARG(pn_str_head(answer.records.v[i], SHOWN_MAX)));
	s.records = records.list;
	sort_out(&s);
	if (s.records.n == 0)
		judge_none(&s);
	else if (s.records.n > 1)
		judge_several(&s);
	else
		judge_record(&s);
	if (s.problems > 0)
		propose_or_say(&s, &d->v[s.last]);
}
