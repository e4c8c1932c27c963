#include "charges.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)

struct charging {
	struct pn_store *store;
	const struct pn_charge *charge;
	struct pn_arena *arena;
	size_t most;			/* rows passed in one transaction */
	bool advance_only;
	struct pn_account account;
	struct pn_earlier earlier;
	struct pn_charge_result result;
	struct pn_quota_use *use;	/* only that is asked for; else NULL */
	bool behind;
};

/* Which of the earlier charges is as good as a new one; PN_STR_NONE: none.  One
 * that left every window says nothing of those to come. */
static size_t
find_same(const struct charging *c)
{
	const struct pn_without *charges = &c->earlier.charges;
	int64_t now = c->account.now_ms, longest = DAY_MS;

	for (size_t i = 0; i < c->charge->limit_count; i++)
		if ((int64_t)c->charge->limits[i].window_ms > longest)
			longest = (int64_t)c->charge->limits[i].window_ms;
	for (size_t i = 0; i < charges->n; i++)
		if (pn_str_eq(charges->place[i].relay, c->charge->relay)
		    && charges->recipients[i] == c->charge->recipients
		    && charges->place[i].time_ms > now - longest
		    && charges->place[i].time_ms <= now + PN_CLOCK_SLACK_MS)
			return i;
	return PN_STR_NONE;
}

/* When and why it does not fit: of several limits the one that opens last. */
static int
check_limits(struct charging *c)
{
	const struct pn_charge *charge = c->charge;
	struct pn_charge_result *result = &c->result;
	int rc = 0;

	for (size_t i = 0; i < charge->limit_count && rc == 0; i++) {
		const struct pn_limit *limit = &charge->limits[i];
		const struct pn_without *without = &c->earlier.charges;
		uint64_t used = limit->window_ms == 0 ? 0 : pn_account_used(&c->account, limit, without);
		int64_t opens = 0;

		if (charge->recipients <= limit->most && used <= limit->most - charge->recipients)
			continue;
		if (limit->window_ms > 0)
			rc = pn_account_opens(&c->account, limit, charge->recipients, without, &opens);
		if (result->answer == PN_CHARGED_SPENT && opens != 0
		    && (result->opens_ms == 0 || opens <= result->opens_ms))
			continue;
		*result = (struct pn_charge_result){ PN_CHARGED_SPENT, i, opens };
	}
	return rc;
}

/* The earlier charges go, but for the one that is kept. */
static int
remove_earlier(struct charging *c, MDB_txn *txn, size_t kept, bool *changed)
{
	const struct pn_without *charges = &c->earlier.charges;
	int rc = 0;

	for (size_t i = 0; i < charges->n && rc == 0; i++) {
		const struct pn_place *place = &charges->place[i];

		if (i == kept)
			continue;
		*changed = true;
		if (pn_str_eq(place->relay, c->charge->relay))
			rc = pn_account_take(&c->account, place, UINT64_MAX);
		else
			rc = pn_charge_take(c->store, txn, place, UINT64_MAX);
	}
	return rc;
}

static int
write_charge(struct charging *c, MDB_txn *txn, size_t same)
{
	bool unnamed = !c->charge->mail.set && c->charge->queue_id.n == 0;
	struct pn_place place = { c->charge->relay, c->account.now_ms, unnamed ? PN_CHARGE_UNNAMED : 0 };
	bool changed = same == PN_STR_NONE || c->account.rows > PN_ACCOUNT_LOOK;
	int rc = remove_earlier(c, txn, same, &changed);

	if (same != PN_STR_NONE)
		place = c->earlier.charges.place[same];
	else if (rc == 0)
		rc = pn_account_add(&c->account, &place, c->charge->recipients);
	if (rc == 0)
		rc = pn_earlier_note(c->store, txn, &c->earlier, c->charge, &place, c->account.now_ms,
		    &changed);
	if (rc == 0)
		rc = changed ? pn_account_save(&c->account) : PN_TXN_UNCHANGED;
	return rc;
}

/* -- use -- */

static int
use_of(struct charging *c, const struct pn_limit *limit, struct pn_quota_use *out)
{
	static const struct pn_without nothing = { .n = 0 };

	*out = (struct pn_quota_use){ .most = limit->most };
	if (limit->window_ms == 0)
		return 0;
	out->used = pn_account_used(&c->account, limit, &nothing);
	return out->used < out->most ? 0 : pn_account_opens(&c->account, limit, 1, &nothing, &out->opens_ms);
}

static int
find_use(struct charging *c)
{
	int rc = 0;

	for (size_t i = 0; i < c->charge->limit_count && rc == 0; i++)
		rc = use_of(c, &c->charge->limits[i], &c->use[i]);
	return rc;
}

/* -- both -- */

/* To be called again while it is behind. */
static int
charge_txn(MDB_txn *txn, void *ctx)
{
	struct charging *c = ctx;
	const struct pn_charge *charge = c->charge;
	size_t same;
	int rc = pn_account_open(&c->account, c->store, txn, charge->relay);

	c->result = (struct pn_charge_result){ .answer = PN_CHARGED };
	if (rc == 0)
		rc = pn_account_advance(&c->account, charge->limits, charge->limit_count, charge->now_ms,
		    c->most);
	c->behind = c->account.behind;
	if (rc == 0 && c->behind && (!charge->look_only || c->advance_only))
		rc = pn_env_alone(&c->store->state);
	if (rc == 0 && (c->behind || c->advance_only))
		return charge->look_only && !c->advance_only ? 0 : pn_account_save(&c->account);
	if (rc == 0 && c->use != NULL)
		return find_use(c);
	if (rc == 0) {
		pn_arena_reset(c->arena);
		rc = pn_earlier_find(c->store, txn, charge, c->arena, &c->earlier);
	}
	if (rc != 0)
		return rc;
	same = find_same(c);
	if (same != PN_STR_NONE)
		c->result.answer = PN_CHARGED_BEFORE;
	else
		rc = check_limits(c);
	if (rc != 0 || charge->look_only)
		return rc;
	if (c->result.answer == PN_CHARGED_SPENT)
		return c->account.rows > PN_ACCOUNT_LOOK ? pn_account_save(&c->account) : PN_TXN_UNCHANGED;
	return write_charge(c, txn, same);
}

enum pn_status
pn_quota_check(struct pn_str relay, const struct pn_limit *limits, size_t n, int64_t now_ms,
    struct pn_error *err)
{
	if (!pn_relay_name_is_valid(relay))
		return pn_fail(err, PN_INVALID, "no name of a relay: \"" PN_STR_FMT "\"",
		    PN_STR_ARG(pn_str_head(relay, 64)));
	if (n > PN_RELAY_LIMITS_MAX || now_ms < 0 || now_ms > INT64_MAX / 4)
		return pn_fail(err, PN_INVALID, "more than %d limits, or a time out of bounds",
		    PN_RELAY_LIMITS_MAX);
	for (size_t i = 0; i < n; i++)
		if (limits[i].window_ms > INT64_MAX / 4)
			return pn_fail(err, PN_INVALID, "a window out of bounds");
	return PN_OK;
}

/* In as many transactions as it takes to catch up with time. */
static enum pn_status
catch_up(struct charging *c, struct pn_error *err)
{
	struct pn_store *store = c->store;
	bool look = c->charge->look_only;
	enum pn_status st;

	do {
		c->advance_only = look && c->behind;
		c->most = !look || c->advance_only ? PN_ACCOUNT_STEP
		    : store->options.read_only ? SIZE_MAX : PN_ACCOUNT_LOOK;
		if (look && !c->advance_only)
			st = pn_env_status(&store->state, pn_env_read(&store->state, charge_txn, c), err);
		else
			st = pn_state_write(store, c->charge->now_ms / 1000, charge_txn, c, err);
	} while (st == PN_OK && (c->behind || c->advance_only));
	return st;
}

static bool
is_counted(const struct pn_charge *charge)
{
	for (size_t i = 0; i < charge->limit_count; i++)
		if (charge->limits[i].window_ms > 0)
			return true;
	return false;
}

static int
earlier_txn(MDB_txn *txn, void *ctx)
{
	struct charging *c = ctx;
	MDB_stat charges;
	int rc = mdb_stat(txn, c->store->state.dbi[S_CHARGES], &charges);

	if (rc != 0 || charges.ms_entries == 0)
		return rc;
	return pn_earlier_find(c->store, txn, c->charge, c->arena, &c->earlier);
}

/* A relay whose recipients nobody counts costs no write, unless the mail was
 * counted for another one. */
static enum pn_status
run(struct charging *c, struct pn_error *err)
{
	enum pn_status st = PN_OK;

	if (is_counted(c->charge))
		return catch_up(c, err);
	if (!c->charge->look_only)
		st = pn_env_status(&c->store->state, pn_env_read(&c->store->state, earlier_txn, c), err);
	if (st == PN_OK && c->earlier.charges.n > 0)
		return catch_up(c, err);
	return st == PN_OK && check_limits(c) != 0 ? PN_TEMPFAIL : st;
}

enum pn_status
pn_quota_charge(struct pn_store *store, const struct pn_charge *charge, struct pn_charge_result *out,
    struct pn_error *err)
{
	struct charging c = { .store = store, .charge = charge };
	enum pn_status st = pn_quota_check(charge->relay, charge->limits, charge->limit_count,
	    charge->now_ms, err);

	if (st == PN_OK && charge->recipients > UINT32_MAX)
		st = pn_fail(err, PN_INVALID, "more recipients than a mail can have");
	if (st != PN_OK)
		return st;
	if (charge->recipients == 0) {
		*out = (struct pn_charge_result){ .answer = PN_CHARGED };
		return PN_OK;
	}
	c.arena = pn_arena_new(SIZE_MAX);
	st = run(&c, err);
	if (st == PN_OK)
		*out = c.result;
	pn_arena_free(c.arena);
	return st;
}

enum pn_status
pn_quota_usage(struct pn_store *store, const struct pn_relay *relay, int64_t now_ms,
    struct pn_quota_use use[PN_RELAY_LIMITS_MAX], struct pn_error *err)
{
	struct pn_charge charge = { .relay = relay->name, .limits = relay->limits,
		.limit_count = relay->limit_count, .now_ms = now_ms, .look_only = true };
	struct pn_quota_use found[PN_RELAY_LIMITS_MAX];
	struct charging c = { .store = store, .charge = &charge, .use = found };
	enum pn_status st = pn_quota_check(relay->name, relay->limits, relay->limit_count, now_ms, err);

	if (st == PN_OK)
		st = catch_up(&c, err);
	if (st == PN_OK)
		memcpy(use, found, relay->limit_count * sizeof(*use));
	return st;
}

/* -- groups -- */

void
pn_quota_group_begin(struct pn_store *store)
{
	pn_env_group_begin(&store->state);
}

enum pn_status
pn_quota_group_end(struct pn_store *store, bool keep, struct pn_error *err)
{
	return pn_env_status(&store->state, pn_env_group_end(&store->state, keep), err);
}

/* -- clearing: in small transactions -- */

enum { CLEAR_STEP = 500 };

struct clearing {
	struct pn_store *store;
	struct pn_str relay;
	size_t done;
};

static int
clear_txn(MDB_txn *txn, void *ctx)
{
	struct clearing *clearing = ctx;

	return pn_charges_clear(clearing->store, txn, clearing->relay, CLEAR_STEP, &clearing->done);
}

enum pn_status
pn_quota_clear(struct pn_store *store, struct pn_str relay, struct pn_error *err)
{
	struct clearing clearing = { .store = store, .relay = relay };
	enum pn_status st = relay.n == 0 ? PN_OK : pn_quota_check(relay, NULL, 0, 0, err);

	do
		if (st == PN_OK)
			st = pn_env_status(&store->state, pn_env_write(&store->state, clear_txn, &clearing),
			    err);
	while (st == PN_OK && clearing.done == CLEAR_STEP);
	return st;
}
