/* Which aliases a mail addresses, in Odoo's order. */
#include "decide.h"

#include <stdlib.h>

#include "postern/address.h"

/* Aliases one message may address: each of them is a route, and some steps
 * compare routes with each other. */
enum { ALIASES_MAX = 1000 };

bool
decide_local_counts(const struct pn_gateway *gateway, struct pn_str address)
{
	struct pn_str domain = pn_address_after_local(address);

	return domain.n > 0 && pn_address_local(address).n > 0 && pn_gateway_local_counts(gateway, domain);
}

/* Rule 5.2: does this alias stand for the address? */
bool
decide_alias_has(const struct pn_alias *alias, struct pn_str address)
{
	return pn_str_eq(alias->full, address)
	    || (alias->incoming_local && pn_str_eq(alias->local, pn_address_local(address)));
}

/* An alias with the key it is sorted by (rule 6.3). */
struct ranked {
	struct pn_alias alias;
	bool mail_thread;
	struct pn_str label;
};

struct ranking {
	struct ranked *v;
	size_t n, cap;
};

static int
compare_identity(const struct pn_alias *a, const struct pn_alias *b)
{
	int order = (a->id > b->id) - (a->id < b->id);

	return order != 0 ? order : pn_str_cmp(a->full, b->full);
}

/* Mail-enabled models first, then the model's label, then the name. */
static int
by_rank(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	int order = (int)b->mail_thread - (int)a->mail_thread;

	if (order == 0)
		order = pn_str_cmp(a->label, b->label);
	if (order == 0)
		order = pn_str_cmp(a->alias.local, b->alias.local);
	return order != 0 ? order : compare_identity(&a->alias, &b->alias);
}

static void
add_ranked(const struct pn_route_question *q, struct pn_arena *arena, struct ranking *ranking,
    const struct pn_aliases *found)
{
	for (size_t i = 0; i < found->n; i++) {
		const struct pn_model *model = pn_model_find(q->models, found->v[i].model);

		ranking->v = pn_arena_grow(arena, ranking->v, ranking->n, &ranking->cap, ranking->n + 1,
		    sizeof(*ranking->v));
		ranking->v[ranking->n++] = (struct ranked){
			.alias = found->v[i],
			.mail_thread = model == NULL || model->is_mail_thread,
			.label = model == NULL ? found->v[i].model : model->label,
		};
	}
}

/* Only addresses at the gateway's own domains can be a full name. */
static bool
may_be_full_name(const struct pn_gateway *gateway, struct pn_str address)
{
	size_t at = pn_str_find_last(address, '@');

	for (size_t i = 0; at != PN_STR_NONE && i < gateway->domain_count; i++)
		if (pn_str_eq(gateway->domains[i].name, pn_str_from(address, at + 1)))
			return true;
	return false;
}

static enum pn_status
collect(const struct pn_route_question *q, struct pn_str address, struct pn_arena *arena,
    struct ranking *ranking)
{
	struct pn_aliases found;
	enum pn_status st = PN_NOT_FOUND;

	if (may_be_full_name(q->gateway, address)) {
		st = q->aliases.by_full(q->aliases.ctx, address, arena, &found);
		if (st == PN_OK)
			add_ranked(q, arena, ranking, &found);
	}
	if (st != PN_TEMPFAIL && decide_local_counts(q->gateway, address)) {
		st = q->aliases.by_local(q->aliases.ctx, pn_address_local(address), arena, &found);
		if (st == PN_OK)
			add_ranked(q, arena, ranking, &found);
	}
	return st == PN_NOT_FOUND ? PN_OK : st;
}

enum pn_status
pn_route_match(const struct pn_route_question *q, struct pn_strs addresses, struct pn_arena *arena,
    struct pn_aliases *out)
{
	struct pn_strs distinct = pn_strs_unique(addresses, arena);
	struct ranking ranking = { .n = 0 };
	struct pn_alias *v;
	size_t n = 0;

	for (size_t i = 0; i < distinct.n; i++) {
		enum pn_status st = collect(q, distinct.v[i], arena, &ranking);

		if (st != PN_OK)
			return st;
	}
	if (ranking.n > ALIASES_MAX)
		return PN_LIMIT;
	if (ranking.n > 1)
		qsort(ranking.v, ranking.n, sizeof(*ranking.v), by_rank);
	v = PN_ARENA_ARRAY(arena, struct pn_alias, ranking.n);
	for (size_t i = 0; i < ranking.n; i++)
		if (n == 0 || compare_identity(&v[n - 1], &ranking.v[i].alias) != 0)
			v[n++] = ranking.v[i].alias;
	*out = (struct pn_aliases){ v, n };
	return PN_OK;
}

struct pn_aliases
decide_match(struct decider *d, struct pn_strs addresses)
{
	struct pn_aliases found = { NULL, 0 };

	switch (pn_route_match(d->q, addresses, d->arena, &found)) {
	case PN_OK:
		break;
	case PN_LIMIT:
		d->limit = true;
		break;
	case PN_NOT_FOUND:
	case PN_INVALID:
	case PN_TEMPFAIL:
		d->trouble = true;
	}
	return found;
}
