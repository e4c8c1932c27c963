#include "postern/proof.h"

/* An alias asks for proof by itself, or because not everybody may write to it. */
static bool
alias_asks(const struct pn_gateway *gateway, const struct pn_alias *alias)
{
	return alias != NULL && (alias->require_dmarc
	    || (gateway->require_dmarc == PN_REQUIRE_DMARC_CONTACTS && alias->contact != PN_CONTACT_EVERYONE));
}

/* Where one of several routes would take the mail as it is, Odoo deals with the rest. */
static bool
is_asked(const struct pn_gateway *gateway, const struct pn_decision *decision)
{
	if (gateway->require_dmarc == PN_REQUIRE_DMARC_ALL)
		return true;
	if (decision == NULL || decision->outcome != PN_ROUTED || decision->route_count == 0)
		return false;
	for (size_t i = 0; i < decision->route_count; i++)
		if (!alias_asks(gateway, decision->routes[i].alias))
			return false;
	return true;
}

static struct pn_str
author_of(const struct pn_proof *proof)
{
	return proof->author.n > 0 ? proof->author : PN_STR("nobody");
}

static struct pn_verdict
refuse(struct pn_verdict v, const struct pn_proof *proof, const char *text, struct pn_arena *arena)
{
	v.action = PN_ACTION_REFUSE;
	v.reply = (struct pn_reply){ "550", "5.7.1", pn_arena_printf(arena, "%s (DMARC, " PN_STR_FMT ")", text,
	    PN_STR_ARG(author_of(proof))) };
	v.reason = v.reply.text;
	return v;
}

static struct pn_verdict
defer(struct pn_verdict v)
{
	v.action = PN_ACTION_DEFER;
	v.reply = (struct pn_reply){ "451", "4.7.0", PN_STR("cannot find out now whether the sender is genuine, try again later") };
	v.reason = v.reply.text;
	return v;
}

struct pn_verdict
pn_verdict_prove(struct pn_verdict verdict, const struct pn_decision *decision, const struct pn_proof *proof,
    struct pn_arena *arena)
{
	struct pn_verdict v = verdict;

	if (!pn_verdict_admits(&verdict) || proof->proven == PN_YES)
		return verdict;
	v.rule = PN_RULE_DMARC;
	if (is_asked(verdict.gateway, decision)) {
		if (proof->never_refuse || ((proof->proven == PN_UNKNOWN || !proof->checked) && !proof->defer))
			return verdict;
		if (proof->proven == PN_UNKNOWN || !proof->checked)
			return defer(v);
		return refuse(v, proof, "this address takes mail from proven senders only", arena);
	}
	if (!proof->checked || proof->never_refuse || proof->proven != PN_NO)
		return verdict;
	switch (proof->wanted) {
	case PN_UNPROVEN_ACCEPT:
		break;
	case PN_UNPROVEN_HOLD:
		v.action = PN_ACTION_HOLD;
		v.reason = PN_STR("its domain wants unproven mail quarantined");
		return v;
	case PN_UNPROVEN_REFUSE:
		return refuse(v, proof, "this mail does not come from where it says", arena);
	}
	return verdict;
}
