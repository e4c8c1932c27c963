/* Outbound, step by step: whose mail, which relay, which sender, counted. */
#include "postern/outbound.h"

#include <time.h>

#include "postern/address.h"

struct leaving {
	const struct pn_gate *gate;
	const struct pn_outbound_mail *mail;
	struct pn_arena *arena;
	struct pn_outbound *out;
	struct pn_relay_lookup lookup;
	bool found_open;
	struct pn_str bounce;		/* B of rule 13 */
};

const char *
pn_outbound_answer_name(enum pn_outbound_answer answer)
{
	switch (answer) {
	case PN_OUTBOUND_DEFAULT:
		return "default_route";
	case PN_OUTBOUND_ROUTE:
		return "route";
	case PN_OUTBOUND_WAIT:
		return "wait";
	case PN_OUTBOUND_DEFER:
		return "defer";
	case PN_OUTBOUND_REFUSE:
		return "refuse";
	}
	return "?";
}

/* -- whose mail --------------------------------------------------------------------- */

static const struct pn_domain *
domain_of(const struct leaving *l, struct pn_str address)
{
	size_t at = pn_str_find_last(address, '@');
	struct pn_str ascii;

	if (at == PN_STR_NONE || pn_domain_to_ascii(pn_str_from(address, at + 1), l->arena, &ascii) != PN_OK)
		return NULL;
	return pn_directory_domain(&l->gate->config->directory, ascii);
}

/* Odoo takes the notification address of the record's alias domain.  That domain
 * shows in the bounce address, which it writes as Return-Path and as envelope
 * sender; else the From tells. */
static const struct pn_domain *
domain_of_mail(const struct leaving *l)
{
	const struct pn_directory *directory = &l->gate->config->directory;
	const struct pn_domain *domain = domain_of(l, l->mail->sender);
	const struct pn_domain *named = domain_of(l, l->mail->return_path);
	struct pn_str from;

	if (named != NULL && (domain == NULL || domain->gateway == named->gateway))
		domain = named;
	if (domain == NULL && pn_address_normalize(l->mail->email_from, true, l->arena, &from) == PN_OK)
		domain = domain_of(l, from);
	if (domain == NULL && directory->gateway_count == 1)
		domain = &directory->gateways[0].domains[0];
	return domain;
}

const struct pn_gateway *
pn_outbound_gateway_of_login(const struct pn_config *config, struct pn_str user)
{
	const struct pn_directory *directory = &config->directory;

	for (size_t i = 0; i < directory->gateway_count && user.n > 0; i++)
		for (size_t k = 0; k < directory->gateways[i].logins.n; k++)
			if (pn_str_eq_nocase(directory->gateways[i].logins.v[k], user))
				return &directory->gateways[i];
	return NULL;
}

static bool
is_of(const struct leaving *l, struct pn_str address, const struct pn_gateway *gateway)
{
	const struct pn_domain *domain = domain_of(l, address);

	return domain != NULL && domain->gateway == gateway;
}

static void
find_owner(struct leaving *l)
{
	const struct pn_gateway *bound = pn_outbound_gateway_of_login(l->gate->config, l->mail->user);
	const struct pn_domain *domain = domain_of_mail(l);
	const struct pn_outbound_mail *mail = l->mail;

	if (bound != NULL && (domain == NULL || domain->gateway != bound))
		domain = &bound->domains[0];
	l->bounce = mail->sender;
	if (domain == NULL)
		return;
	l->out->gateway = domain->gateway;
	l->out->notification = domain->default_from;
	if (is_of(l, mail->return_path, domain->gateway))
		l->bounce = mail->return_path;
	else if (mail->sender.n == 0 || (domain_of(l, mail->sender) != NULL && !is_of(l, mail->sender, domain->gateway)))
		l->bounce = domain->bounce;
}

/* -- which relay --------------------------------------------------------------------- */

/* The first relay that is well is charged next, which tells whether it is spent:
 * so it is asked for its health only. */
static enum pn_status
ask_state(void *ctx, const struct pn_relay *relay, uint64_t recipients, struct pn_arena *arena,
    struct pn_relay_status *out, struct pn_error *err)
{
	struct leaving *l = ctx;
	struct pn_relay_states states = pn_relay_states_in(&l->lookup);
	enum pn_status st = states.ask(states.ctx, relay, l->found_open ? recipients : 0, arena, out, err);

	if (st == PN_OK && out->state == PN_RELAY_OPEN)
		l->found_open = true;
	return st;
}

static struct pn_relay_request
request_of(struct leaving *l)
{
	const struct pn_config *config = l->gate->config;

	return (struct pn_relay_request){
		.question = {
			.relays = config->relays,
			.gateway = l->out->gateway == NULL ? PN_STR_EMPTY : l->out->gateway->name,
			.email_from = l->mail->email_from,
			.notification = l->out->notification,
			.user = config->personal_relays ? l->mail->user : PN_STR_EMPTY,
		},
		.recipients = l->mail->recipient_count,
		.mass_mailing = l->mail->mass_mailing,
		/* the policy service cannot change a From; the map speaks for mail whose From was changed */
		.rewrite = config->rewrite && (l->mail->header || l->mail->live),
		.by_login = l->mail->by_login,
		.states = { l, ask_state },
	};
}

/* Counts it for the chosen relay.  One that is spent is closed, and the next is tried. */
static enum pn_status
count(struct leaving *l, struct pn_error *err)
{
	struct pn_relay_choice *choice = &l->out->choice;
	enum pn_status st = PN_OK;

	while (st == PN_OK && choice->chosen < choice->n) {
		struct pn_relay_candidate *c = &choice->v[choice->chosen];
		struct pn_charge charge = {
			.relay = c->relay->name,
			.limits = c->relay->limits,
			.limit_count = c->relay->limit_count,
			.recipients = l->mail->recipient_count,
			.mail = l->lookup.mail,
			.queue_id = l->mail->queue_id,
			.instance = l->mail->instance,
			.now_ms = l->mail->now_ms,
			.look_only = l->mail->dry_run,
		};
		struct pn_charge_result charged;

		st = pn_quota_charge(l->gate->store, &charge, &charged, err);
		if (st != PN_OK)
			return st;
		l->out->counted_before = charged.answer == PN_CHARGED_BEFORE;
		if (charged.answer != PN_CHARGED_SPENT)
			return PN_OK;
		st = ask_state(l, c->relay, charge.recipients, l->arena, &c->status, err);
		if (st == PN_OK && c->status.state == PN_RELAY_OPEN)
			c->status = (struct pn_relay_status){ PN_RELAY_SPENT, charged.opens_ms,
				PN_STR("used up just now") };
		pn_relay_choice_settle(choice);
	}
	return st;
}

/* -- under which sender ---------------------------------------------------------------- */

static enum pn_status
sender_by(struct leaving *l, const struct pn_relay_candidate *c, struct pn_str bounce, struct pn_sender *out)
{
	struct pn_sender_question question = {
		.sender = c->sender,
		.header_from = l->mail->email_from,
		.notification = l->out->notification,
		.bounce = bounce,
		.from_filter = c->relay->from_filter,
	};
	struct pn_error ignored;

	return pn_sender_decide(&question, l->arena, out, &ignored);
}

/* A bounce address that cannot be one does not save a From that must be changed. */
static void
decide_sender(struct leaving *l, const struct pn_relay_candidate *c, struct pn_sender *out)
{
	const struct pn_outbound_mail *mail = l->mail;

	*out = (struct pn_sender){ .header_from = mail->email_from, .envelope = mail->sender };
	if (!mail->header || !l->gate->config->rewrite || c->step == PN_RELAY_FORCED
	    || (sender_by(l, c, l->bounce, out) != PN_OK && sender_by(l, c, PN_STR_EMPTY, out) != PN_OK))
		return;
	/* a mail about mail stays without a sender */
	if (mail->sender.n == 0)
		out->envelope = PN_STR_EMPTY;
}

/* Those behind the first one in a list must be able to send it as that one does. */
static void
decide_envelopes(struct leaving *l)
{
	struct pn_relay_choice *choice = &l->out->choice;
	size_t at = choice->chosen < choice->n ? choice->chosen : choice->opens_first;
	struct pn_sender first, own;

	if (choice->n > 0)
		decide_sender(l, &choice->v[at], &first);
	for (size_t i = 0; i < choice->n; i++) {
		struct pn_relay_candidate *c = &choice->v[i];
		bool covered = false;

		if (i != at && (pn_from_filter_match(first.envelope, c->relay->from_filter, l->arena, &covered) != PN_OK
		    || !covered))
			decide_sender(l, c, &own);
		else
			own = first;
		c->envelope = own.envelope;
	}
}

/* -- the answer --------------------------------------------------------------------------- */

static void
refuse(struct leaving *l, enum pn_outbound_answer answer, const char *code, const char *xcode, struct pn_str text)
{
	l->out->reason = text;
	if (!l->mail->may_refuse)
		return;
	l->out->answer = answer;
	l->out->live = false;
	l->out->reply = (struct pn_reply){ code, xcode, text };
}

static void
trouble(struct leaving *l, const struct pn_error *err)
{
	refuse(l, PN_OUTBOUND_DEFER, "451", "4.3.0", PN_STR("cannot choose a relay now, try again later"));
	l->out->trouble = true;
	l->out->reason = pn_arena_dup(l->arena, pn_str_c(err->text));
}

static struct pn_str
opening_time(const struct leaving *l, int64_t until_ms)
{
	time_t until = (time_t)((until_ms + 59999) / 60000 * 60);
	struct tm tm;

	if (until_ms == 0 || gmtime_r(&until, &tm) == NULL)
		return PN_STR_EMPTY;
	return pn_arena_printf(l->arena, " until %04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday, tm.tm_hour, tm.tm_min);
}

/* The policy service, which sees no From, leaves the last word to others where a From
 * may be changed. */
static void
nobody_carries(struct leaving *l)
{
	struct pn_str text = PN_STR("no relay may carry this From");

	l->out->live = false;
	if (l->mail->header || !l->gate->config->rewrite)
		refuse(l, PN_OUTBOUND_REFUSE, "550", "5.7.1", text);
	else
		l->out->reason = text;
}

/* Every relay that may carry it is closed. */
static void
wait_for_one(struct leaving *l)
{
	struct pn_outbound *out = l->out;
	const struct pn_relay_candidate *c = &out->choice.v[out->choice.opens_first];
	struct pn_str text = pn_arena_printf(l->arena, "relay " PN_STR_FMT ": " PN_STR_FMT PN_STR_FMT,
	    PN_STR_ARG(c->relay->name), PN_STR_ARG(c->status.reason), PN_STR_ARG(opening_time(l, c->status.until_ms)));

	out->relay = c->relay;
	out->step = c->step;
	out->answer = PN_OUTBOUND_WAIT;
	decide_sender(l, c, &out->sender);
	out->reason = text;
	if (l->gate->config->when_spent != PN_WHEN_SPENT_REFUSE || l->mail->mixed)
		return;
	if (out->choice.limited_per_message)
		refuse(l, PN_OUTBOUND_REFUSE, "550", "5.5.3", PN_STR("too many recipients for every relay that may carry this From"));
	else
		refuse(l, PN_OUTBOUND_DEFER, "450", "4.7.1", text);
}

static void
leave(struct leaving *l)
{
	struct pn_outbound *out = l->out;
	const struct pn_relay_candidate *c = &out->choice.v[out->choice.chosen];

	out->answer = PN_OUTBOUND_ROUTE;
	out->relay = c->relay;
	out->step = c->step;
	out->reason = pn_str_c(pn_relay_step_name(c->step));
	decide_sender(l, c, &out->sender);
}

static void
write_route(struct leaving *l)
{
	struct pn_outbound *out = l->out;
	struct pn_error err = { "" };

	bool waiting = out->answer == PN_OUTBOUND_WAIT || (l->mail->live && out->relay != NULL && out->relay->limit_count > 0);

	if ((out->answer != PN_OUTBOUND_ROUTE && out->answer != PN_OUTBOUND_WAIT) || out->live)
		return;
	decide_envelopes(l);
	if (pn_relay_route(&out->choice, waiting, l->arena, &out->route, &err) != PN_OK) {
		out->answer = PN_OUTBOUND_DEFAULT;
		trouble(l, &err);
	}
}

/* What the map `route` says of this mail, which it knows by its envelope only. */
static const struct pn_relay *
relay_of_map(struct leaving *l, struct pn_str envelope)
{
	struct pn_outbound_mail mail = { .email_from = envelope, .sender = envelope, .recipient_count = 1, .live = true,
		.dry_run = true, .now_ms = l->mail->now_ms };
	struct pn_outbound live;

	if (envelope.n == 0)
		return NULL;
	pn_outbound_decide(l->gate, &mail, l->arena, &live);
	return live.relay;
}

/* Can one list name them all?  Else what waits would be tied to some of them. */
static bool
fit_one_list(const struct leaving *l)
{
	const struct pn_relay_choice *choice = &l->out->choice;

	for (size_t i = 1; i < choice->n; i++)
		if (!pn_str_eq(pn_relay_transport(choice->v[i].relay, true, l->arena),
		    pn_relay_transport(choice->v[0].relay, true, l->arena)))
			return false;
	return true;
}

/* Is it left to the map `route`, which Postfix asks again at each retry?  Mail with
 * recipients that stay here, as FILTER would take those along; where the operator
 * wants it and the map names the same relay; and what waits for relays that no one
 * list can name. */
static bool
is_live(struct leaving *l)
{
	const struct pn_relay_choice *choice = &l->out->choice;
	size_t at = choice->chosen < choice->n ? choice->chosen : choice->opens_first;
	const struct pn_relay *relay;
	bool waits = choice->chosen == choice->n;

	if (l->mail->mixed)
		return true;
	if (choice->n == 0 || !l->mail->header || (waits ? fit_one_list(l) : !l->gate->config->live_routes))
		return false;
	relay = relay_of_map(l, choice->v[at].envelope);
	if (!waits)
		return relay == choice->v[at].relay;
	for (size_t i = 0; i < choice->n; i++)
		if (choice->v[i].relay == relay)
			return true;
	return false;
}

/* No relay at all: it goes where Postfix sends it, with a From that the default filter lets stay. */
static void
leave_by_default(struct leaving *l)
{
	struct pn_relay none = { .from_filter = l->gate->config->default_from_filter };
	struct pn_relay_candidate c = { .relay = &none, .step = PN_RELAY_ANY };
	struct pn_relay_request request = request_of(l);
	bool warning;

	if (none.from_filter.n > 0 && pn_relay_default_sender(&request.question, none.from_filter, l->arena,
	    &c.sender, &warning) == PN_OK)
		decide_sender(l, &c, &l->out->sender);
}

static bool
has_relays(const struct leaving *l)
{
	struct pn_relays relays = l->gate->config->relays;

	for (size_t i = 0; i < relays.n; i++)
		if (relays.v[i].active && (relays.v[i].gateway.n == 0 || (l->out->gateway != NULL
		    && pn_str_eq(relays.v[i].gateway, l->out->gateway->name))))
			return true;
	return false;
}

void
pn_outbound_decide(const struct pn_gate *gate, const struct pn_outbound_mail *mail, struct pn_arena *arena,
    struct pn_outbound *out)
{
	struct leaving l = { .gate = gate, .mail = mail, .arena = arena, .out = out };
	struct pn_relay_request request;
	struct pn_error err = { "" };

	*out = (struct pn_outbound){ .answer = PN_OUTBOUND_DEFAULT,
		.sender = { .header_from = mail->email_from, .envelope = mail->sender } };
	find_owner(&l);
	if (!has_relays(&l)) {
		leave_by_default(&l);
		return;
	}
	l.lookup = (struct pn_relay_lookup){ .store = gate->store, .queue_id = mail->queue_id, .now_ms = mail->now_ms };
	if (mail->message_id.n > 0)
		l.lookup.mail = pn_mail_key(mail->message_id, mail->sender, mail->recipients);
	request = request_of(&l);
	if (pn_relay_choose(&request, arena, &out->choice, &err) != PN_OK) {
		trouble(&l, &err);
		return;
	}
	decide_envelopes(&l);
	out->live = is_live(&l);
	/* what the map routes is counted recipient by recipient, when it is delivered */
	if (!out->live && count(&l, &err) != PN_OK) {
		trouble(&l, &err);
		return;
	}
	/* counting may have closed the last one */
	out->live = out->live || is_live(&l);
	if (out->choice.n == 0)
		nobody_carries(&l);
	else if (out->choice.chosen == out->choice.n)
		wait_for_one(&l);
	else
		leave(&l);
	write_route(&l);
}

bool
pn_outbound_is_local(const struct pn_config *config, struct pn_str address, struct pn_arena *arena)
{
	size_t at = pn_str_find_last(address, '@');
	struct pn_str domain = at == PN_STR_NONE ? config->hostname
	    : pn_arena_lower(arena, pn_str_from(address, at + 1));

	return pn_str_eq_nocase(domain, config->hostname) || pn_strs_has(config->local_domains, domain);
}

enum pn_status
pn_outbound_route(const struct pn_gate *gate, struct pn_str sender, int64_t now_ms, struct pn_arena *arena,
    struct pn_str *route, struct pn_error *err)
{
	struct pn_outbound_mail mail = { .email_from = sender, .sender = sender, .recipient_count = 1,
		.live = true, .dry_run = true, .now_ms = now_ms };
	struct pn_outbound out;

	pn_outbound_decide(gate, &mail, arena, &out);
	if (out.route.n > 0) {
		*route = out.route;
		return PN_OK;
	}
	return out.trouble ? pn_fail(err, PN_TEMPFAIL, PN_STR_FMT, PN_STR_ARG(out.reason)) : PN_NOT_FOUND;
}
