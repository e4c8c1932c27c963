#include "internal.h"

enum { LEARN_STEP = 1000 };	/* threads per transaction */

/* synced beats outbound beats inbound */
static int
rank(enum pn_thread_origin origin)
{
	switch (origin) {
	case PN_THREAD_INBOUND: return 0;
	case PN_THREAD_OUTBOUND: return 1;
	case PN_THREAD_SYNCED: return 2;
	}
	return 0;
}

/* What is known of a message after it was seen once more.  Odoo's own table
 * (synced) is right in everything; of the others a better one may correct a
 * record, but no one takes a known record away. */
static void
merge(struct pn_thread *known, const struct pn_thread *seen, int64_t now)
{
	bool better = rank(seen->origin) > rank(known->origin);
	bool fills = known->res_id == 0 && seen->res_id != 0;

	if (seen->origin == PN_THREAD_SYNCED || fills || (better && (known->res_id == 0
	    || seen->res_id != 0))) {
		known->model = seen->model;
		known->res_id = seen->res_id;
	}
	if (better)
		known->origin = seen->origin;
	if (now > known->seen)
		known->seen = now;
}

int
pn_thread_find(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, struct pn_str gateway,
    struct pn_str message_id, struct pn_thread_record *out)
{
	struct pn_str value;
	int rc = pn_record_get(store, txn, PN_KIND_THREAD, hash, &value);

	if (rc == 0 && (!pn_thread_decode(value, out) || !pn_str_eq(out->gateway, gateway)
	    || !pn_str_eq(out->thread.message_id, message_id)))
		return MDB_NOTFOUND;
	return rc;
}

bool
pn_thread_is_learnable(const struct pn_thread *thread)
{
	return thread->message_id.n > 0 && thread->message_id.n <= PN_MESSAGE_ID_MAX
	    && thread->model.n <= PN_TEXT_MAX;
}

static int
add(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, struct pn_thread_record *record,
    struct pn_buf *buf)
{
	int64_t now = record->filed, expires = record->lease.expires;
	int rc = pn_sequence_next(store, txn, 1, &record->thread.sequence);

	if (rc != 0)
		return rc;
	pn_thread_encode(buf, record);
	if (expires != 0)
		return pn_record_add(store, txn, PN_KIND_HELD, hash, expires, now, pn_buf_str(buf));
	return pn_record_add(store, txn, PN_KIND_THREAD, hash, now, now, pn_buf_str(buf));
}

static int
replace(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, struct pn_thread_record *record,
    const struct pn_lease *lease, struct pn_buf *buf)
{
	int64_t before = record->lease.expires;
	int rc;

	if (lease != NULL)
		record->lease = *lease;
	pn_thread_encode(buf, record);
	rc = pn_record_replace(store, txn, PN_KIND_THREAD, hash, pn_buf_str(buf));
	return rc != 0 || lease == NULL ? rc : pn_record_hold(store, txn, hash, before, lease->expires);
}

int
pn_thread_put(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, struct pn_str gateway,
    const struct pn_thread *thread, const struct pn_lease *lease, int64_t now)
{
	struct pn_thread_record record;
	struct pn_buf buf;
	int rc;

	if (!pn_thread_is_learnable(thread))
		return 0;
	pn_buf_init(&buf, PN_RECORD_MAX);
	rc = pn_thread_find(store, txn, hash, gateway, thread->message_id, &record);
	if (rc == 0) {
		merge(&record.thread, thread, now);
		rc = replace(store, txn, hash, &record, lease, &buf);
	} else if (rc == MDB_NOTFOUND) {
		record = (struct pn_thread_record){ .filed = now, .gateway = gateway, .thread = *thread };
		record.thread.seen = now;
		if (lease != NULL)
			record.lease = *lease;
		rc = add(store, txn, hash, &record, &buf);
	}
	pn_buf_done(&buf);
	return rc;
}

struct learn {
	struct pn_store *store;
	struct pn_str gateway;
	const struct pn_thread *threads;
	size_t n;
	int64_t now;
};

static int
learn_txn(MDB_txn *txn, void *ctx)
{
	const struct learn *learn = ctx;
	int rc = 0;

	for (size_t i = 0; i < learn->n && rc == 0; i++) {
		const struct pn_thread *thread = &learn->threads[i];
		struct pn_hash hash = pn_hash_message(learn->store, learn->gateway, thread->message_id);

		rc = pn_thread_put(learn->store, txn, &hash, learn->gateway, thread, NULL, learn->now);
	}
	return rc;
}

enum pn_status
pn_thread_learn(struct pn_store *store, struct pn_str gateway, const struct pn_thread *threads, size_t n,
    int64_t now, struct pn_error *err)
{
	enum pn_status st = pn_gateway_check(gateway, err);

	for (size_t i = 0; i < n && st == PN_OK; i += LEARN_STEP) {
		struct learn learn = { store, gateway, threads + i, n - i < LEARN_STEP ? n - i : LEARN_STEP,
		    now };

		st = pn_state_write(store, now, learn_txn, &learn, err);
	}
	return st;
}

struct newest {
	struct pn_store *store;
	struct pn_str gateway;
	struct pn_strs ids;
	struct pn_arena *arena;
	struct pn_thread *out;
};

static int
newest_txn(MDB_txn *txn, void *ctx)
{
	const struct newest *newest = ctx;
	struct pn_thread best = { .sequence = 0 };
	bool found = false;

	for (size_t i = 0; i < newest->ids.n; i++) {
		struct pn_str id = newest->ids.v[i];
		struct pn_thread_record record;
		struct pn_hash hash;
		int rc;

		if (id.n == 0 || id.n > PN_MESSAGE_ID_MAX)
			continue;
		hash = pn_hash_message(newest->store, newest->gateway, id);
		rc = pn_thread_find(newest->store, txn, &hash, newest->gateway, id, &record);
		if (rc != 0 && rc != MDB_NOTFOUND)
			return rc;
		if (rc == 0 && (!found || record.thread.sequence > best.sequence)) {
			best = record.thread;
			found = true;
		}
	}
	if (!found)
		return MDB_NOTFOUND;
	*newest->out = best;
	newest->out->message_id = pn_arena_dup(newest->arena, best.message_id);
	newest->out->model = pn_arena_dup(newest->arena, best.model);
	return 0;
}

enum pn_status
pn_thread_newest(struct pn_store *store, struct pn_str gateway, struct pn_strs ids, struct pn_arena *arena,
    struct pn_thread *out, struct pn_error *err)
{
	struct newest newest = { store, gateway, ids, arena, out };
	int rc;

	if (ids.n == 0)
		return PN_NOT_FOUND;
	rc = pn_env_read(&store->state, newest_txn, &newest);
	return rc == MDB_NOTFOUND ? PN_NOT_FOUND : pn_env_status(&store->state, rc, err);
}

struct each {
	struct pn_str gateway;
	bool (*each)(void *ctx, struct pn_str gateway, const struct pn_thread *thread);
	void *ctx;
};

static bool
each_row(void *ctx, struct pn_str key, struct pn_str value)
{
	const struct each *each = ctx;
	struct pn_thread_record record;

	(void)key;
	if (!pn_thread_decode(value, &record) || (each->gateway.n > 0 && !pn_str_eq(each->gateway,
	    record.gateway)))
		return true;
	return each->each(each->ctx, record.gateway, &record.thread);
}

enum pn_status
pn_thread_each(struct pn_store *store, struct pn_str gateway,
    bool (*each)(void *ctx, struct pn_str gateway, const struct pn_thread *thread), void *ctx,
    struct pn_error *err)
{
	struct each walk = { gateway, each, ctx };
	struct pn_env *env = &store->state;

	return pn_env_status(env, pn_env_walk(env, env->dbi[S_THREADS], PN_STR_EMPTY, false, each_row, &walk),
	    err);
}
