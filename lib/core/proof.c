#include "postern/proof.h"

/* Odoo asks nobody for proof: one route that does is enough.  Of a mail that was not
 * read, or not understood, the recipients must tell. */
static bool
is_asked(const struct pn_gateway *gateway, const struct pn_decision *decision, const struct pn_proof *proof)
{
	if (gateway->require_dmarc == PN_REQUIRE_DMARC_ALL || proof->asked)
		return true;
	if (decision == NULL || decision->outcome == PN_ERROR)
		return gateway->require_dmarc == PN_REQUIRE_DMARC_CONTACTS;
	for (size_t i = 0; i < decision->route_count; i++)
		if (decision->routes[i].alias != NULL && pn_alias_asks_proof(gateway, decision->routes[i].alias))
			return true;
	return false;
}

static struct pn_str
author_of(const struct pn_proof *proof)
{
	return proof->author.n > 0 ? proof->author : PN_STR("no author");
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
	bool known = proof->checked && proof->proven != PN_UNKNOWN, asked = is_asked(verdict.gateway, decision, proof);
	struct pn_verdict v = verdict;

	if (!pn_verdict_admits(&verdict) || proof->proven == PN_YES || proof->never_refuse)
		return verdict;
	if (!asked && (!proof->checked || proof->wanted == PN_UNPROVEN_ACCEPT))
		return verdict;
	v.rule = PN_RULE_DMARC;
	if (!known || (!asked && proof->wanted == PN_UNPROVEN_WAIT))
		return proof->defer ? defer(v) : verdict;
	if (asked)
		return refuse(v, proof, "this address takes mail from proven senders only", arena);
	if (proof->wanted == PN_UNPROVEN_REFUSE)
		return refuse(v, proof, "this mail does not come from where it says", arena);
	v.action = PN_ACTION_HOLD;
	v.reason = PN_STR("its domain wants unproven mail quarantined");
	return v;
}
