/* Threads are learned or synced; partners, followers and records only synced. */
#include "odoo.h"

/* A learned index: is there one of the ids that it does not have?  Asked one by
 * one, at most 32 of them. */
static bool
has_unknown(struct odoo_facts *facts, struct pn_strs ids)
{
	struct pn_thread ignored;

	if (facts->threads_complete || ids.n < 2)
		return false;
	for (size_t i = 0; i < ids.n; i++) {
		struct pn_strs one = { &ids.v[i], 1 };

		if (pn_thread_newest(facts->store, facts->gateway, one, facts->arena, &ignored, NULL) != PN_OK)
			return true;
	}
	return false;
}

static enum pn_known
newest(struct pn_odoo *odoo, struct pn_strs ids, struct pn_arena *arena, struct pn_stored *out)
{
	struct odoo_facts *facts = odoo->ctx;
	struct pn_thread thread;

	switch (pn_thread_newest(facts->store, facts->gateway, ids, arena, &thread, &facts->err)) {
	case PN_OK:
		*out = (struct pn_stored){
			.model = thread.model,
			.res_id = thread.res_id,
			.record_known = thread.res_id != 0 || thread.model.n == 0,
			.thread = thread.message_id,
			.others_unknown = has_unknown(facts, ids),
		};
		return PN_YES;
	case PN_NOT_FOUND:
		return facts->threads_complete ? PN_NO : PN_UNKNOWN;
	case PN_INVALID:
	case PN_TEMPFAIL:
	case PN_LIMIT:
		break;
	}
	odoo->trouble = true;
	return PN_UNKNOWN;
}

/* Our own earlier "accept" proves nothing: only what was read from Odoo counts. */
static enum pn_known
duplicate(struct pn_odoo *odoo, struct pn_str message_id)
{
	struct odoo_facts *facts = odoo->ctx;
	struct pn_strs one = { &message_id, 1 };
	struct pn_thread thread;
	enum pn_known known = PN_UNKNOWN;

	switch (pn_thread_newest(facts->store, facts->gateway, one, facts->arena, &thread, &facts->err)) {
	case PN_OK:
		known = thread.origin == PN_THREAD_SYNCED ? PN_YES : PN_UNKNOWN;
		break;
	case PN_NOT_FOUND:
		known = facts->threads_complete ? PN_NO : PN_UNKNOWN;
		break;
	case PN_INVALID:
	case PN_TEMPFAIL:
	case PN_LIMIT:
		odoo->trouble = true;
	}
	return known;
}

void
odoo_facts_init(struct odoo_facts *facts, struct pn_store *store, const struct pn_gateway *gateway,
    const struct pn_facts *directory)
{
	*facts = (struct odoo_facts){
		.store = store,
		.gateway = gateway->name,
		.arena = directory->arena,
		.threads_complete = pn_facts_complete(directory, gateway, PN_TABLE_THREADS),
		.odoo = { .ctx = facts, .newest = newest, .duplicate = duplicate },
	};
}
