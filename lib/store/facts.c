#include "postern/facts.h"

static struct pn_alias_source
aliases_of(void *ctx, const struct pn_gateway *gateway)
{
	struct pn_facts *facts = ctx;

	return pn_directory_aliases(facts->view, gateway->name, facts->arena);
}

static enum pn_status
retired_of(void *ctx, const struct pn_gateway *gateway, struct pn_str address, struct pn_arena *arena,
    struct pn_str *successor)
{
	struct pn_facts *facts = ctx;
	struct pn_retired row;
	enum pn_status st;

	st = pn_directory_retired(facts->view, gateway->name, address, arena, &row, NULL);
	if (st == PN_OK)
		*successor = row.successor;
	return st;
}

static bool
complete_for(void *ctx, const struct pn_gateway *gateway)
{
	const struct pn_facts *facts = ctx;

	return pn_facts_complete(facts, gateway, PN_TABLE_ALIASES);
}

enum pn_status
pn_facts_open(struct pn_facts *facts, const struct pn_gate *gate, struct pn_arena *arena, int64_t now,
    struct pn_error *err)
{
	struct pn_directory_view *view = NULL;
	enum pn_status st = pn_directory_open(gate->store, &view, err);

	*facts = (struct pn_facts){ .view = st == PN_OK ? view : NULL, .arena = arena, .now = now };
	facts->recipient = (struct pn_recipient_facts){ facts, aliases_of, retired_of, complete_for };
	facts->other_configuration = st == PN_OK && pn_directory_configured(view) != gate->config->fingerprint;
	return st;
}

void
pn_facts_close(struct pn_facts *facts)
{
	pn_directory_close(facts->view);
	facts->view = NULL;
}

bool
pn_facts_complete(const struct pn_facts *facts, const struct pn_gateway *gateway, enum pn_table table)
{
	int64_t synced;

	if (facts->other_configuration)
		return false;
	/* What an operator can declare is the list of addresses, nothing else. */
	if (table == PN_TABLE_ALIASES && gateway->complete)
		return true;
	synced = pn_directory_synced_at(facts->view, gateway->name, table);
	/* A sync in the future is a clock that was put back: nobody knows its age. */
	return synced > 0 && synced <= facts->now && (uint64_t)(facts->now - synced) < gateway->stale_after;
}
