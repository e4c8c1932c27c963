/* The table of answers (docs/answers.md). */
#include "postern/verdict.h"

const char *
pn_action_name(enum pn_action action)
{
	switch (action) {
	case PN_ACTION_ACCEPT: return "accept";
	case PN_ACTION_HAND_OVER: return "hand_over";
	case PN_ACTION_REFUSE: return "refuse";
	case PN_ACTION_DEFER: return "defer";
	case PN_ACTION_DISCARD: return "discard";
	case PN_ACTION_HOLD: return "hold";
	}
	return "?";
}

static struct pn_verdict
accept_as(struct pn_verdict v, struct pn_str reason)
{
	v.action = PN_ACTION_ACCEPT;
	v.reason = reason;
	return v;
}

static struct pn_verdict
hand_over(struct pn_verdict v, struct pn_str reason)
{
	v.action = PN_ACTION_HAND_OVER;
	v.reason = reason;
	return v;
}

static struct pn_verdict
refuse(struct pn_verdict v, const char *code, const char *xcode, struct pn_str text)
{
	v.action = code[0] == '4' ? PN_ACTION_DEFER : PN_ACTION_REFUSE;
	v.reply = (struct pn_reply){ code, xcode, text };
	v.reason = text;
	return v;
}

static struct pn_verdict
discard(struct pn_verdict v, struct pn_str reason)
{
	v.action = PN_ACTION_DISCARD;
	v.reason = reason;
	return v;
}

/* -- one answer per outcome ------------------------------------------------------ */

static struct pn_str
joined(struct pn_arena *arena, const char *before, unsigned doubts)
{
	struct pn_str text = pn_doubts_text(doubts, arena);

	return pn_arena_printf(arena, "%s; not known: " PN_STR_FMT, before, PN_STR_ARG(text));
}

static struct pn_verdict
catchall(struct pn_verdict v, const struct pn_message *message, unsigned doubts, struct pn_arena *arena)
{
	const struct pn_domain *domain = NULL;
	struct pn_str text;

	/* a reference nobody here knows may be Odoo's: it was a reply then */
	if (doubts & PN_DOUBT_THREAD)
		return hand_over(v, joined(arena, "written to the catchall, perhaps a reply", doubts));
	if ((doubts & PN_DOUBT_ALIAS) && v.rule == PN_RULE_CATCHALL_MIXED)
		return hand_over(v, joined(arena, "written to the catchall and to an unknown address", doubts));
	for (size_t i = 0; i < message->to.n && domain == NULL; i++)
		domain = pn_gateway_catchall(v.gateway, pn_arena_lower(arena, message->to.v[i]));
	if (domain == NULL)
		domain = &v.gateway->domains[0];
	text = domain->write_to.n > 0 ? domain->write_to : domain->human;
	if (text.n > 0)
		text = pn_arena_printf(arena, "<" PN_STR_FMT "> only takes replies to mail you received; "
		    "please write to <" PN_STR_FMT "> instead", PN_STR_ARG(domain->catchall), PN_STR_ARG(text));
	else
		text = pn_arena_printf(arena, "<" PN_STR_FMT "> only takes replies to mail you received; "
		    "please write to the address of the person or department you want to reach",
		    PN_STR_ARG(domain->catchall));
	return refuse(v, "550", "5.7.1", text);
}

static struct pn_verdict
alias_refused(struct pn_verdict v, const struct pn_decision *decision, struct pn_arena *arena)
{
	const struct pn_notice *bad = NULL, *refusal = &decision->notices[0];

	for (size_t i = 0; i < decision->notice_count; i++)
		if (decision->notices[i].kind == PN_NOTICE_ALIAS_INVALID && bad == NULL)
			bad = &decision->notices[i];
	if (decision->doubts & (PN_DOUBT_THREAD | PN_DOUBT_ALIAS))
		return hand_over(v, joined(arena, "the aliases known here refuse this sender", decision->doubts));
	if (bad != NULL)
		return refuse(v, "451", "4.3.5", pn_arena_printf(arena, "<" PN_STR_FMT "> is misconfigured: it takes "
		    "mail from followers, but of no record", PN_STR_ARG(bad->alias->full)));
	return refuse(v, "550", "5.7.1", pn_arena_printf(arena, "<" PN_STR_FMT "> only takes mail from %s",
	    PN_STR_ARG(refusal->alias->full),
	    refusal->alias->contact == PN_CONTACT_FOLLOWERS ? "followers" : "known contacts"));
}

static struct pn_verdict
loop(struct pn_verdict v, const struct pn_message *message)
{
	static const struct pn_str text = { "too many mails from this sender in a short time, looks like a loop", 66 };
	enum pn_loop_answer answer = message->automatic ? v.gateway->loop_automatic : v.gateway->loop_person;

	switch (answer) {
	case PN_LOOP_DEFER:
		return refuse(v, "451", "4.7.1", text);
	case PN_LOOP_REFUSE:
		return refuse(v, "550", "5.4.6", text);
	case PN_LOOP_DISCARD:
		return discard(v, text);
	case PN_LOOP_HOLD:
		v.action = PN_ACTION_HOLD;
		v.reason = text;
		break;
	}
	return v;
}

static struct pn_verdict
no_route(struct pn_verdict v, unsigned doubts, struct pn_arena *arena)
{
	if (doubts & (PN_DOUBT_THREAD | PN_DOUBT_ALIAS)) {
		if (doubts & PN_DOUBT_ALIAS)
			v.rule = PN_RULE_UNKNOWN;
		return hand_over(v, joined(arena, "no route", doubts));
	}
	return refuse(v, "550", "5.1.1", PN_STR("no such address, and not a reply to anything known"));
}

static struct pn_verdict
failing(struct pn_verdict v, unsigned doubts)
{
	/* of a reply the alias would not be asked, and a good alias beside it must not wait */
	if (v.rule == PN_RULE_ROUTE_CHECK && !(doubts & PN_DOUBT_THREAD) && !v.decision->others_matched)
		return refuse(v, "451", "4.3.5", PN_STR("this address is misconfigured: its model takes no mail"));
	if (v.rule == PN_RULE_PARSE && v.gateway->unreadable_reject)
		return refuse(v, "550", "5.6.0", PN_STR("this mail cannot be read by the application it is for"));
	return hand_over(v, v.rule == PN_RULE_PARSE ? PN_STR("the application will probably fail to read it")
	    : PN_STR("the application will probably fail on it"));
}

struct pn_verdict
pn_verdict(const struct pn_gateway *gateway, const struct pn_message *message,
    const struct pn_decision *decision, struct pn_arena *arena)
{
	struct pn_verdict v = {
		.rule = decision->rule,
		.gateway = gateway,
		.decision = decision,
		.automatic = message != NULL && message->automatic,
	};

	switch (decision->outcome) {
	case PN_ROUTED:
		return accept_as(v, decision->doubts == 0 ? PN_STR("routed") : joined(arena, "routed", decision->doubts));
	case PN_BOUNCE_HANDLED:
		v.to_bounce = true;
		return accept_as(v, PN_STR("a bounce"));
	case PN_BOUNCED:
		return decision->rule == PN_RULE_CATCHALL_DIRECT || decision->rule == PN_RULE_CATCHALL_MIXED
		    ? catchall(v, message, decision->doubts, arena) : alias_refused(v, decision, arena);
	case PN_LOOP_DETECTED:
		return loop(v, message);
	case PN_DROPPED:
		return discard(v, decision->rule == PN_RULE_DUPLICATE ? PN_STR("the application has this Message-ID already")
		    : PN_STR("an answer to a loop notice"));
	case PN_NO_ROUTE:
		return no_route(v, decision->doubts, arena);
	case PN_ERROR:
		return failing(v, decision->doubts);
	}
	return v;
}

/* -- outside the decision ----------------------------------------------------------- */

struct pn_verdict
pn_verdict_twin(const struct pn_gateway *gateway, const struct pn_decision *decision)
{
	struct pn_verdict v = { .rule = PN_RULE_TWIN, .gateway = gateway, .decision = decision };

	return refuse(v, "451", "4.7.1", PN_STR("a mail with this Message-ID was taken a moment ago, try again later"));
}

struct pn_verdict
pn_verdict_trouble(const struct pn_gateway *gateway, struct pn_str reason)
{
	struct pn_verdict v = { .rule = PN_RULE_TROUBLE, .gateway = gateway };

	v = refuse(v, "451", "4.3.0", PN_STR("cannot decide about this mail now, try again later"));
	v.reason = reason;
	return v;
}

struct pn_verdict
pn_verdict_stamp(const struct pn_gateway *gateway)
{
	struct pn_verdict v = { .rule = PN_RULE_STAMP, .gateway = gateway };

	return refuse(v, "554", "5.4.6", PN_STR("mail loop: this mail was redirected here before"));
}

struct pn_verdict
pn_verdict_hand_over(const struct pn_gateway *gateway, enum pn_rule rule, struct pn_str reason)
{
	struct pn_verdict v = { .rule = rule, .gateway = gateway };

	return hand_over(v, reason);
}

bool
pn_verdict_admits(const struct pn_verdict *verdict)
{
	return verdict->action == PN_ACTION_ACCEPT || verdict->action == PN_ACTION_HAND_OVER;
}
