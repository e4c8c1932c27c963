#include "charges.h"

static void
health_key(struct pn_key *key, struct pn_str relay)
{
	pn_key_init(key);
	pn_key_add_byte(key, 'H');
	pn_key_add(key, relay);
}

struct learning {
	struct pn_store *store;
	struct pn_str relay;
	enum pn_health_event event;
	struct pn_str text;
	int64_t now_ms;
	struct pn_health health;
	bool changed;
};

static int
get_txn(MDB_txn *txn, void *ctx)
{
	struct learning *l = ctx;
	struct pn_str value;
	struct pn_key key;
	int rc;

	health_key(&key, l->relay);
	rc = pn_row_get(txn, l->store->state.dbi[S_RELAYS], pn_key_str(&key), &value);
	if (rc == MDB_NOTFOUND || (rc == 0 && !pn_health_decode(value, &l->health))) {
		l->health = (struct pn_health){ .failures = 0 };
		return 0;
	}
	return rc;
}

static int
put_txn(MDB_txn *txn, void *ctx)
{
	struct learning *l = ctx;
	struct pn_key key;
	struct pn_buf buf;
	int rc;

	health_key(&key, l->relay);
	pn_buf_init(&buf, PN_RECORD_MAX);
	pn_health_encode(&buf, &l->health);
	rc = pn_row_put(txn, l->store->state.dbi[S_RELAYS], pn_key_str(&key), pn_buf_str(&buf));
	pn_buf_done(&buf);
	return rc;
}

static int
learn_txn(MDB_txn *txn, void *ctx)
{
	struct learning *l = ctx;
	bool was_closed;
	int rc = get_txn(txn, l);

	if (rc != 0)
		return rc;
	was_closed = pn_health_is_closed(&l->health, l->now_ms);
	pn_health_note(&l->health, l->event, l->text, l->now_ms);
	l->changed = was_closed != pn_health_is_closed(&l->health, l->now_ms);
	return put_txn(txn, l);
}

enum pn_status
pn_health_learn(struct pn_store *store, struct pn_str relay, enum pn_health_event event, struct pn_str text,
    int64_t now_ms, bool *changed, struct pn_error *err)
{
	struct learning l = { .store = store, .relay = relay, .event = event, .text = text,
	    .now_ms = now_ms };
	enum pn_status st = pn_quota_check(relay, NULL, 0, now_ms, err);

	if (st == PN_OK)
		st = pn_state_write(store, now_ms / 1000, learn_txn, &l, err);
	if (st == PN_OK && changed != NULL)
		*changed = l.changed;
	return st;
}

enum pn_status
pn_health_get(struct pn_store *store, struct pn_str relay, struct pn_health *out, struct pn_error *err)
{
	struct learning l = { .store = store, .relay = relay };
	enum pn_status st = pn_quota_check(relay, NULL, 0, 0, err);

	if (st == PN_OK)
		st = pn_env_status(&store->state, pn_env_read(&store->state, get_txn, &l), err);
	if (st == PN_OK)
		*out = l.health;
	return st;
}

enum pn_status
pn_health_set(struct pn_store *store, struct pn_str relay, const struct pn_health *health,
    struct pn_error *err)
{
	struct learning l = { .store = store, .relay = relay, .health = *health };
	enum pn_status st = pn_quota_check(relay, NULL, 0, 0, err);

	return st == PN_OK ? pn_state_write(store, 0, put_txn, &l, err) : st;
}

/* -- the port of the core ---------------------------------------------------------- */

static struct pn_str
explain_limit(const struct pn_limit *limit, struct pn_arena *arena)
{
	static const struct {
		uint64_t ms;
		const char *name;
	} units[] = { { 3600000, "h" }, { 60000, "min" }, { 1000, "s" }, { 1, "ms" } };
	unsigned long long most = limit->most, n;
	size_t i = 0;

	if (limit->window_ms == 0)
		return pn_arena_printf(arena, "takes at most %llu recipients of one message", most);
	while (limit->window_ms % units[i].ms != 0)
		i++;
	n = limit->window_ms / units[i].ms;
	return pn_arena_printf(arena, "%llu recipients in %llu %s%s are used up", most, n, units[i].name,
	    limit->clock ? " of the clock" : "");
}

static enum pn_status
ask(void *ctx, const struct pn_relay *relay, uint64_t recipients, struct pn_arena *arena,
    struct pn_relay_status *out, struct pn_error *err)
{
	const struct pn_relay_lookup *lookup = ctx;
	const struct pn_charge charge = { .relay = relay->name, .limits = relay->limits,
		.limit_count = relay->limit_count, .recipients = recipients, .mail = lookup->mail,
		.queue_id = lookup->queue_id, .now_ms = lookup->now_ms, .look_only = true };
	struct pn_charge_result result;
	struct pn_health health;
	enum pn_status st = pn_health_get(lookup->store, relay->name, &health, err);

	if (st == PN_OK && pn_health_is_closed(&health, lookup->now_ms)) {
		*out = (struct pn_relay_status){ health.closed_by_provider ? PN_RELAY_SPENT : PN_RELAY_DOWN,
			health.closed_until_ms == PN_HEALTH_UNTIL_OPENED ? 0 : health.closed_until_ms,
			pn_arena_dup(arena, pn_str_c(health.reason)) };
		return PN_OK;
	}
	if (st == PN_OK)
		st = pn_quota_charge(lookup->store, &charge, &result, err);
	if (st != PN_OK)
		return st;
	if (result.answer == PN_CHARGED_SPENT)
		*out = (struct pn_relay_status){ PN_RELAY_SPENT, result.opens_ms,
			explain_limit(&relay->limits[result.which], arena) };
	else
		*out = (struct pn_relay_status){ PN_RELAY_OPEN, 0, PN_STR_EMPTY };
	return PN_OK;
}

struct pn_relay_states
pn_relay_states_in(struct pn_relay_lookup *lookup)
{
	return (struct pn_relay_states){ lookup, ask };
}
