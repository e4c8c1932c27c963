/* The order of decisions (message_process and message_route, odoo-behaviour 1 and 3). */
#include "decide.h"

#include <stdarg.h>
#include <stdio.h>

#include "postern/address.h"

static const char *const rule_names[] = {
	[PN_RULE_NONE] = "none",
	[PN_RULE_REPLY] = "reply",
	[PN_RULE_ALIAS] = "alias",
	[PN_RULE_FALLBACK] = "fallback",
	[PN_RULE_CATCHALL_DIRECT] = "catchall_direct",
	[PN_RULE_CATCHALL_MIXED] = "catchall_mixed",
	[PN_RULE_ALIAS_SECURITY] = "alias_security",
	[PN_RULE_ALIAS_INVALID] = "alias_invalid",
	[PN_RULE_LOOP_NEW] = "loop_new",
	[PN_RULE_LOOP_UPDATE] = "loop_update",
	[PN_RULE_DUPLICATE] = "duplicate_message_id",
	[PN_RULE_LOOP_HEADERS] = "loop_headers",
	[PN_RULE_IS_BOUNCE] = "is_bounce",
	[PN_RULE_PARSE] = "parse",
	[PN_RULE_ROUTE_CHECK] = "route_check",
	[PN_RULE_ROUTING] = "routing",
	[PN_RULE_PROCESSING] = "processing",
	[PN_RULE_UNKNOWN] = "unknown_address",
	[PN_RULE_ROLE] = "role_address",
	[PN_RULE_STAMP] = "stamp",
	[PN_RULE_TWIN] = "twin",
	[PN_RULE_DMARC] = "dmarc",
	[PN_RULE_RELAY] = "relay",
	[PN_RULE_LIMIT] = "limit",
	[PN_RULE_TROUBLE] = "trouble",
};

const char *
pn_rule_name(enum pn_rule rule)
{
	return rule_names[rule];
}

const char *
pn_outcome_name(enum pn_outcome outcome)
{
	switch (outcome) {
	case PN_ROUTED: return "routed";
	case PN_BOUNCED: return "bounced";
	case PN_BOUNCE_HANDLED: return "bounce_handled";
	case PN_LOOP_DETECTED: return "loop_detected";
	case PN_DROPPED: return "dropped";
	case PN_NO_ROUTE: return "no_route";
	case PN_ERROR: return "error";
	}
	return "?";
}

struct pn_str
pn_doubts_text(unsigned doubts, struct pn_arena *arena)
{
	static const struct { unsigned bit; struct pn_str name; } names[] = {
		{ PN_DOUBT_THREAD, { "thread", 6 } },
		{ PN_DOUBT_ALIAS, { "alias", 5 } },
		{ PN_DOUBT_PARTNER, { "partner", 7 } },
		{ PN_DOUBT_RECORD, { "record", 6 } },
		{ PN_DOUBT_READABLE, { "readable", 8 } },
	};
	struct pn_strs_builder words = { .arena = arena };

	for (size_t i = 0; i < PN_COUNT(names); i++)
		if (doubts & names[i].bit)
			pn_strs_add(&words, names[i].name);
	return pn_strs_join(words.list, PN_STR(","), arena);
}

void
decide_step(struct decider *d, const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	if (!d->q->explain)
		return;
	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n > 0)
		pn_strs_add(&d->steps, pn_arena_dup(d->arena, pn_str_n(text, (size_t)n < sizeof(text) ? (size_t)n
		    : sizeof(text) - 1)));
}

static void
end(struct decider *d, enum pn_outcome outcome, enum pn_rule rule)
{
	d->out->outcome = outcome;
	d->out->rule = rule;
	decide_step(d, "decided: %s by %s", pn_outcome_name(outcome), pn_rule_name(rule));
}

/* An exception in Odoo rolls everything back. */
static void
fail(struct decider *d, enum pn_rule rule)
{
	d->out->route_count = 0;
	end(d, PN_ERROR, rule);
}

static bool
stands_for(const struct pn_aliases *aliases, struct pn_str address)
{
	for (size_t i = 0; i < aliases->n; i++)
		if (decide_alias_has(&aliases->v[i], address))
			return true;
	return false;
}

/* Any address that none of the known aliases stands for may be an alias nobody
 * told us: by its full name, or by its left part alone (rule 6.2). */
static void
doubt_aliases(struct decider *d, struct pn_strs recipients, const struct pn_aliases *known)
{
	if (d->q->aliases_complete)
		return;
	for (size_t i = 0; i < recipients.n; i++)
		if (pn_gateway_catchall(d->q->gateway, recipients.v[i]) == NULL && !stands_for(known, recipients.v[i])) {
			d->out->doubts |= PN_DOUBT_ALIAS;
			return;
		}
}

static void
end_refused(struct decider *d, struct pn_strs recipients, const struct pn_aliases *known)
{
	enum pn_notice_kind last = d->out->notices[d->out->notice_count - 1].kind;

	doubt_aliases(d, recipients, known);
	end(d, PN_BOUNCED, last == PN_NOTICE_ALIAS_INVALID ? PN_RULE_ALIAS_INVALID : PN_RULE_ALIAS_SECURITY);
}

/* -- replies (rule 5) ----------------------------------------------------------- */

/* Rule 5.1.  Ids that nobody here knows may be Odoo's all the same. */
static bool
find_answered(struct decider *d, struct pn_stored *stored)
{
	struct pn_strs ids = d->q->message->answered_ids;
	struct pn_odoo *odoo = d->q->odoo;
	enum pn_known known = PN_UNKNOWN;

	if (ids.n == 0)
		return false;
	if (odoo->newest != NULL)
		known = odoo->newest(odoo, ids, d->arena, stored);
	/* a newer message that is not known would win over the one that is */
	if (known == PN_UNKNOWN || (known == PN_YES && stored->others_unknown))
		d->out->doubts |= PN_DOUBT_THREAD;
	decide_step(d, "reply: %zu referenced ids, %s", ids.n, known == PN_YES ? "one is known"
	    : known == PN_NO ? "none is Odoo's" : "none is known here");
	return known == PN_YES;
}

/* Rule 5.2: an alias of another model in To or Delivered-To makes it a forward;
 * only the recipients of such aliases count from then on. */
static bool
is_forward(struct decider *d, const struct pn_stored *stored, struct pn_strs *recipients)
{
	struct pn_aliases aliases = decide_match(d, d->to);
	struct pn_strs_builder kept = { .arena = d->arena };
	bool forward = false;

	for (size_t i = 0; i < aliases.n; i++)
		forward = forward || !pn_str_eq(aliases.v[i].model, stored->model);
	if (!forward)
		return false;
	for (size_t i = 0; i < recipients->n; i++)
		for (size_t j = 0; j < aliases.n; j++)
			if (!pn_str_eq(aliases.v[j].model, stored->model)
			    && decide_alias_has(&aliases.v[j], recipients->v[i])) {
				pn_strs_add(&kept, recipients->v[i]);
				break;
			}
	*recipients = kept.list;
	decide_step(d, "forward: addressed to an alias of another model than " PN_STR_FMT, PN_STR_ARG(stored->model));
	return true;
}

/* Rule 5.3.  True when the mail ends here. */
static bool
route_reply(struct decider *d, const struct pn_stored *stored)
{
	struct pn_aliases aliases = decide_match(d, d->recipients);
	struct pn_route route = {
		.model = stored->model,
		.thread_id = stored->res_id,
		.thread_unknown = !stored->record_known,
		.thread = stored->thread,
		.counts_as_new = true,
	};

	for (size_t i = 0; i < aliases.n && route.alias == NULL; i++)
		if (pn_str_eq(aliases.v[i].model, stored->model))
			route.alias = &aliases.v[i];
	switch (decide_check(d, &route, false)) {
	case CHECK_STOP:
		end_refused(d, d->recipients, &aliases);
		return true;
	case CHECK_MISSING:
		fail(d, PN_RULE_ROUTING);
		return true;
	case CHECK_ROUTE:
		route.user = decide_user(d, route.alias);
		decide_add_route(d, &route);
		end(d, PN_ROUTED, PN_RULE_REPLY);
		return true;
	case CHECK_UNAVAILABLE:
	case CHECK_SKIP:
		break;
	}
	decide_step(d, "reply: model " PN_STR_FMT " takes no mail", PN_STR_ARG(stored->model));
	return false;
}

/* -- aliases, fallback, catchall (rules 6, 7, 8) ---------------------------------- */

static bool
every_to_is_catchall(struct decider *d)
{
	for (size_t i = 0; i < d->to_normal.n; i++)
		if (pn_gateway_catchall(d->q->gateway, d->to_normal.v[i]) == NULL)
			return false;
	return d->to_normal.n > 0;
}

static bool
any_to_is_catchall(struct decider *d)
{
	for (size_t i = 0; i < d->to_normal.n; i++)
		if (pn_gateway_catchall(d->q->gateway, d->to_normal.v[i]) != NULL)
			return true;
	return false;
}

/* Rule 6: one route per matching alias.  True when the mail ends here. */
static bool
route_aliases(struct decider *d, struct pn_strs recipients)
{
	struct pn_aliases aliases = decide_match(d, recipients);

	for (size_t i = 0; i < aliases.n; i++) {
		const struct pn_alias *alias = &aliases.v[i];
		struct pn_route route = {
			.model = alias->model,
			.thread_id = alias->force_thread_id,
			.counts_as_new = alias->force_thread_id == 0,
			.alias = alias,
		};

		decide_step(d, "alias: " PN_STR_FMT " of " PN_STR_FMT, PN_STR_ARG(alias->full), PN_STR_ARG(alias->model));
		switch (decide_check(d, &route, true)) {
		case CHECK_ROUTE:
			route.user = decide_user(d, alias);
			decide_add_route(d, &route);
			break;
		case CHECK_UNAVAILABLE:
			d->out->others_matched = aliases.n > 1;
			fail(d, PN_RULE_ROUTE_CHECK);
			return true;
		case CHECK_MISSING:
			fail(d, PN_RULE_ROUTING);
			return true;
		case CHECK_SKIP:
		case CHECK_STOP:
			break;
		}
	}
	if (aliases.n == 0) {
		decide_step(d, "alias: none matches");
		return false;
	}
	if (d->out->route_count > 0)
		end(d, PN_ROUTED, PN_RULE_ALIAS);
	else
		end_refused(d, recipients, &aliases);
	return true;
}

/* Rule 8 */
static bool
route_fallback(struct decider *d)
{
	struct pn_route route = {
		.model = d->q->fallback_model,
		.thread_id = d->q->fallback_thread_id,
	};

	if (route.model.n == 0)
		return false;
	if (decide_check(d, &route, true) != CHECK_ROUTE) {
		fail(d, PN_RULE_ROUTE_CHECK);
		return true;
	}
	route.user = decide_user(d, NULL);
	decide_add_route(d, &route);
	end(d, PN_ROUTED, PN_RULE_FALLBACK);
	return true;
}

static void
end_catchall(struct decider *d, enum pn_rule rule)
{
	decide_add_notice(d, PN_NOTICE_CATCHALL, NULL, NULL);
	end(d, PN_BOUNCED, rule);
}

/* Rule 3, steps 2 to 9. */
static void
route(struct decider *d)
{
	static const struct pn_aliases none = { NULL, 0 };
	struct pn_strs recipients = d->recipients;
	struct pn_stored stored;
	bool reply = find_answered(d, &stored) && stored.model.n > 0;

	if (reply && (stored.res_id != 0 || !stored.record_known))
		reply = !is_forward(d, &stored, &recipients);
	if (reply && route_reply(d, &stored))
		return;
	if (d->recipients.n > 0 && every_to_is_catchall(d)) {
		end_catchall(d, PN_RULE_CATCHALL_DIRECT);
		return;
	}
	if (d->recipients.n > 0 && route_aliases(d, recipients))
		return;
	if (route_fallback(d))
		return;
	doubt_aliases(d, recipients, &none);
	if (d->recipients.n > 0 && any_to_is_catchall(d))
		end_catchall(d, PN_RULE_CATCHALL_MIXED);
	else
		end(d, PN_NO_ROUTE, PN_RULE_NONE);
}

/* -- before routing (rule 1) --------------------------------------------------------- */

static bool
answers_loop_notice(const struct pn_message *m)
{
	static const struct pn_str mark = { "-loop-detection-bounce-email@", 29 };

	for (size_t i = 0; i < m->reference_ids.n; i++)
		if (pn_str_contains(m->reference_ids.v[i], mark))
			return true;
	return pn_str_contains(m->in_reply_to, mark);
}

static bool
is_duplicate(struct decider *d)
{
	struct pn_odoo *odoo = d->q->odoo;

	return d->q->message->message_id.n > 0 && odoo->duplicate != NULL
	    && odoo->duplicate(odoo, d->q->message->message_id) == PN_YES;
}

static bool
is_unreadable(struct decider *d, bool bounce)
{
	switch (pn_message_unreadable(d->q->message, bounce)) {
	case PN_YES:
		return true;
	case PN_UNKNOWN:
		d->out->doubts |= PN_DOUBT_READABLE;
		break;
	case PN_NO:
		break;
	}
	return false;
}

static void
decide(struct decider *d)
{
	bool bounce;

	decide_parent(d);
	bounce = decide_is_bounce(d);
	if (is_unreadable(d, bounce)) {
		fail(d, PN_RULE_PARSE);
		return;
	}
	if (bounce)
		decide_read_bounce(d);
	if (is_duplicate(d))
		end(d, PN_DROPPED, PN_RULE_DUPLICATE);
	else if (answers_loop_notice(d->q->message))
		end(d, PN_DROPPED, PN_RULE_LOOP_HEADERS);
	else if (bounce)
		end(d, PN_BOUNCE_HANDLED, PN_RULE_IS_BOUNCE);
	else
		route(d);
	if (d->out->outcome == PN_ROUTED)
		decide_final_author(d);
	if (d->out->outcome == PN_ROUTED && d->q->gateway->loop_unusable
	    && !pn_strs_has(d->q->gateway->allowed_senders, d->q->message->sender)
	    && d->q->message->email_from.n > 0)
		fail(d, PN_RULE_PROCESSING);
}

static struct pn_strs
lowered(struct pn_strs addresses, struct pn_arena *arena)
{
	struct pn_strs_builder out = { .arena = arena };

	for (size_t i = 0; i < addresses.n; i++)
		pn_strs_add(&out, pn_text_lower(addresses.v[i], arena));
	return out.list;
}

static struct pn_strs
normalised(struct pn_strs addresses, struct pn_arena *arena)
{
	struct pn_strs_builder out = { .arena = arena };

	for (size_t i = 0; i < addresses.n; i++) {
		struct pn_str one;

		if (pn_address_normalize(addresses.v[i], true, arena, &one) != PN_OK)
			one = addresses.v[i];
		pn_strs_add(&out, one);
	}
	return out.list;
}

enum pn_status
pn_route_decide(const struct pn_route_question *question, struct pn_arena *arena,
    struct pn_decision *out, struct pn_error *err)
{
	struct pn_decision decision = { .doubts = 0 };
	struct decider d = {
		.q = question,
		.arena = arena,
		.out = &decision,
		.recipients = lowered(question->message->recipients, arena),
		.to = lowered(question->message->to, arena),
		.to_normal = normalised(question->message->to, arena),
		.steps = { .arena = arena },
	};

	if (pn_arena_exhausted(arena))
		return pn_fail(err, PN_LIMIT, "more recipients than one message may have");
	decide(&d);
	if (d.trouble || question->odoo->trouble)
		return pn_fail(err, PN_TEMPFAIL, "the facts for gateway " PN_STR_FMT " cannot be read now",
		    PN_STR_ARG(question->gateway->name));
	if (d.limit || pn_arena_exhausted(arena))
		return pn_fail(err, PN_LIMIT, "more than one message may ask for");
	decision.steps = d.steps.list;
	*out = decision;
	return PN_OK;
}

struct pn_decision
pn_route_unreadable(void)
{
	return (struct pn_decision){ .outcome = PN_ERROR, .rule = PN_RULE_PARSE };
}
