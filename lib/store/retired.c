/* Addresses that go on working under another name. */
#include "internal.h"

enum { HOPS_MAX = 16 };	/* renames followed: a -> b -> c ... */

/* Is the address that of an alias, whoever says so? */
static int
is_alias(struct pn_store *store, MDB_txn *txn, struct pn_str gateway, struct pn_str address, bool *out)
{
	static const enum pn_source sources[] = { PN_SOURCE_CONFIG, PN_SOURCE_SYNC };
	struct pn_str value;

	*out = false;
	for (size_t i = 0; i < PN_COUNT(sources) && !*out; i++) {
		struct pn_key key;
		int rc;

		pn_alias_key(&key, sources[i], gateway, address);
		if (key.bad)
			return 0;
		rc = pn_row_get(txn, store->directory.dbi[D_ALIASES], pn_key_str(&key), &value);
		if (rc != 0 && rc != MDB_NOTFOUND)
			return rc;
		*out = rc == 0;
	}
	return 0;
}

int
pn_retire_end(struct pn_store *store, MDB_txn *txn, struct pn_str gateway, struct pn_str address,
    bool *changed)
{
	MDB_dbi table = store->directory.dbi[D_RETIRED];
	struct pn_str value;
	struct pn_key key;
	int rc;

	pn_retired_key(&key, gateway, address);
	if (key.bad)
		return 0;
	rc = pn_row_get(txn, table, pn_key_str(&key), &value);
	if (rc != 0)
		return rc == MDB_NOTFOUND ? 0 : rc;
	*changed = true;
	return pn_row_del(txn, table, pn_key_str(&key));
}

/* A rename and back again must not lead in a circle: what was renamed to this
 * address and is now its successor is in use. */
static int
break_circle(struct pn_store *store, MDB_txn *txn, const struct pn_retired *row, bool *changed)
{
	struct pn_retired next;
	struct pn_str value;
	struct pn_key key;
	int rc;

	pn_retired_key(&key, row->gateway, row->successor);
	rc = pn_row_get(txn, store->directory.dbi[D_RETIRED], pn_key_str(&key), &value);
	if (rc == MDB_NOTFOUND || (rc == 0 && (!pn_retired_decode(value, &next)
	    || !pn_str_eq_nocase(next.successor, row->address))))
		return 0;
	return rc == 0 ? pn_retire_end(store, txn, row->gateway, row->successor, changed) : rc;
}

int
pn_retire(struct pn_store *store, MDB_txn *txn, const struct pn_retired *row, bool *changed)
{
	MDB_dbi table = store->directory.dbi[D_RETIRED];
	struct pn_retired known;
	struct pn_str value;
	struct pn_key key;
	struct pn_buf buf;
	bool in_use;
	int rc = is_alias(store, txn, row->gateway, row->address, &in_use);

	pn_retired_key(&key, row->gateway, row->address);
	if (rc != 0 || in_use || key.bad)
		return rc;
	rc = pn_row_get(txn, table, pn_key_str(&key), &value);
	if (rc == 0 && pn_retired_decode(value, &known) && pn_str_eq(known.successor, row->successor))
		return 0;
	if (rc == 0 || rc == MDB_NOTFOUND)
		rc = break_circle(store, txn, row, changed);
	if (rc != 0)
		return rc;
	pn_buf_init(&buf, PN_RECORD_MAX);
	pn_retired_encode(&buf, row);
	rc = pn_row_put(txn, table, pn_key_str(&key), pn_buf_str(&buf));
	pn_buf_done(&buf);
	*changed = true;
	return rc;
}

struct change {
	struct pn_store *store;
	const struct pn_retired *row;
	bool in_use;
	bool changed;
};

static int
put_txn(MDB_txn *txn, void *ctx)
{
	struct change *change = ctx;
	int rc;

	change->changed = false;
	rc = is_alias(change->store, txn, change->row->gateway, change->row->address, &change->in_use);
	if (rc != 0 || change->in_use)
		return rc != 0 ? rc : PN_TXN_UNCHANGED;
	rc = pn_retire(change->store, txn, change->row, &change->changed);
	if (rc == 0 && change->changed)
		return pn_generation_grow(change->store, txn);
	return rc == 0 ? PN_TXN_UNCHANGED : rc;
}

static bool
is_address(struct pn_str s)
{
	return s.n <= PN_TEXT_MAX / 2 && pn_str_find(s, '@') != PN_STR_NONE && pn_str_find(s,
	    '\0') == PN_STR_NONE;
}

enum pn_status
pn_retired_put(struct pn_store *store, const struct pn_retired *row, struct pn_error *err)
{
	struct change change = { store, row, false, false };
	enum pn_status st = pn_gateway_check(row->gateway, err);

	if (st != PN_OK)
		return st;
	if (!is_address(row->address) || !is_address(row->successor))
		return pn_fail(err, PN_INVALID, "both must be addresses of at most %d bytes: \"" PN_STR_FMT
		    "\" and \"" PN_STR_FMT "\"", PN_TEXT_MAX / 2, PN_STR_ARG(pn_str_head(row->address, 64)),
		    PN_STR_ARG(pn_str_head(row->successor, 64)));
	if (pn_str_eq_nocase(row->address, row->successor))
		return pn_fail(err, PN_INVALID, "\"" PN_STR_FMT "\" cannot be retired in favour of itself",
		    PN_STR_ARG(row->address));
	st = pn_directory_write(store, put_txn, &change, err);
	if (st == PN_OK && change.in_use)
		return pn_fail(err, PN_INVALID, "\"" PN_STR_FMT "\" is the address of an alias",
		    PN_STR_ARG(row->address));
	return st;
}

struct removal {
	struct pn_store *store;
	struct pn_str gateway, address;
	bool changed;
};

static int
remove_txn(MDB_txn *txn, void *ctx)
{
	struct removal *removal = ctx;
	int rc;

	removal->changed = false;
	rc = pn_retire_end(removal->store, txn, removal->gateway, removal->address, &removal->changed);
	if (rc == 0 && removal->changed)
		return pn_generation_grow(removal->store, txn);
	return rc == 0 ? PN_TXN_UNCHANGED : rc;
}

enum pn_status
pn_retired_remove(struct pn_store *store, struct pn_str gateway, struct pn_str address, struct pn_error *err)
{
	struct removal removal = { store, gateway, address, false };
	enum pn_status st = pn_directory_write(store, remove_txn, &removal, err);

	if (st == PN_OK && !removal.changed)
		return pn_fail(err, PN_NOT_FOUND, "\"" PN_STR_FMT "\" is not retired in gateway " PN_STR_FMT,
		    PN_STR_ARG(address), PN_STR_ARG(gateway));
	return st;
}

/* -- looking -- */

int
pn_retired_find(struct pn_store *store, MDB_txn *txn, struct pn_str gateway, struct pn_str address,
    struct pn_arena *arena, struct pn_retired *out)
{
	struct pn_retired first = { .since = 0 };
	struct pn_str at = address, value;

	for (int hop = 0; hop < HOPS_MAX; hop++) {
		struct pn_retired row;
		struct pn_key key;
		int rc;

		pn_retired_key(&key, gateway, at);
		if (key.bad)
			break;
		rc = pn_row_get(txn, store->directory.dbi[D_RETIRED], pn_key_str(&key), &value);
		if (rc != 0 && rc != MDB_NOTFOUND)
			return rc;
		if (rc == MDB_NOTFOUND || !pn_retired_decode(value, &row))
			break;
		if (hop == 0)
			first = row;
		first.successor = at = row.successor;
	}
	if (at.p == address.p)
		return MDB_NOTFOUND;
	out->gateway = pn_arena_dup(arena, gateway);
	out->address = pn_arena_lower(arena, address);
	out->successor = pn_arena_dup(arena, first.successor);
	out->since = first.since;
	return 0;
}

struct each {
	bool (*each)(void *ctx, const struct pn_retired *row);
	void *ctx;
};

static bool
each_row(void *ctx, struct pn_str key, struct pn_str value)
{
	const struct each *each = ctx;
	struct pn_retired row;

	if (!pn_retired_decode(value, &row) || !pn_key_split(key, &row.gateway, &row.address))
		return true;
	return each->each(each->ctx, &row);
}

enum pn_status
pn_directory_each_retired(struct pn_store *store, bool (*each)(void *ctx, const struct pn_retired *row),
    void *ctx, struct pn_error *err)
{
	struct each walk = { each, ctx };
	struct pn_env *env = &store->directory;

	return pn_env_status(env, pn_env_walk(env, env->dbi[D_RETIRED], PN_STR_EMPTY, false, each_row, &walk),
	    err);
}
