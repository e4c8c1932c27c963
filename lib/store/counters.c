#include "internal.h"

enum { NAME_MAX_BYTES = 255, NAMES_MAX = 4096 };

struct add {
	struct pn_store *store;
	const struct pn_counter *counters;
	size_t n;
	bool too_many;
};

static int
add_txn(MDB_txn *txn, void *ctx)
{
	struct add *add = ctx;
	MDB_dbi table = add->store->state.dbi[S_COUNTERS];
	int rc = 0;

	add->too_many = false;
	for (size_t i = 0; i < add->n && rc == 0; i++) {
		char bytes[PN_U64_BYTES];
		uint64_t sum = 0;
		struct pn_str value;

		rc = pn_row_get(txn, table, add->counters[i].name, &value);
		if (rc == MDB_NOTFOUND && pn_row_count(txn, table) >= NAMES_MAX) {
			add->too_many = true;
			return PN_TXN_UNCHANGED;
		}
		if ((rc == 0 && !pn_u64_decode(value, &sum)) || rc == MDB_NOTFOUND)
			sum = 0;
		else if (rc != 0)
			return rc;
		pn_u64_put(bytes, sum + add->counters[i].value);
		rc = pn_row_put(txn, table, add->counters[i].name, pn_str_n(bytes, sizeof(bytes)));
	}
	return rc;
}

enum pn_status
pn_counters_add(struct pn_store *store, const struct pn_counter *counters, size_t n, struct pn_error *err)
{
	struct add add = { store, counters, n, false };
	enum pn_status st;

	for (size_t i = 0; i < n; i++)
		if (counters[i].name.n == 0 || counters[i].name.n > NAME_MAX_BYTES)
			return pn_fail(err, PN_INVALID, "a counter's name has 1 to %d bytes", NAME_MAX_BYTES);
	if (n == 0)
		return PN_OK;
	st = pn_state_write(store, 0, add_txn, &add, err);
	if (st == PN_OK && add.too_many)
		return pn_fail(err, PN_INVALID, "more than %d counters", NAMES_MAX);
	return st;
}

struct each {
	bool (*each)(void *ctx, const struct pn_counter *counter);
	void *ctx;
};

static bool
each_row(void *ctx, struct pn_str key, struct pn_str value)
{
	const struct each *each = ctx;
	struct pn_counter counter = { .name = key };

	return !pn_u64_decode(value, &counter.value) || each->each(each->ctx, &counter);
}

enum pn_status
pn_counters_each(struct pn_store *store, bool (*each)(void *ctx, const struct pn_counter *counter), void *ctx,
    struct pn_error *err)
{
	struct each walk = { each, ctx };
	struct pn_env *env = &store->state;

	return pn_env_status(env, pn_env_walk(env, env->dbi[S_COUNTERS], PN_STR_EMPTY, false, each_row,
	    &walk), err);
}
