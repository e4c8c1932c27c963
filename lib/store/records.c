/* Records of `state` that expire: filed in the index by time, bounded in number. */
#include "charges.h"

enum { LEASE_LIMIT = 1000000, EVICT_STEPS = 8, SWEEP_STEP = 500,
    INDEX_KEY = 1 + PN_U64_BYTES + PN_HASH_BYTES };

/* Every record has `filed` there: behind its version. */
enum { FILED_AT = 1 };

static MDB_dbi
table_of(const struct pn_store *store, enum pn_kind kind)
{
	switch (kind) {
	case PN_KIND_HELD:
	case PN_KIND_THREAD: return store->state.dbi[S_THREADS];
	case PN_KIND_LEASE: return store->state.dbi[S_LEASES];
	case PN_KIND_TRACE: return store->state.dbi[S_TRACES];
	case PN_KIND_WINDOW:
	case PN_KINDS: break;
	}
	return store->state.dbi[S_WINDOWS];
}

static uint64_t
limit_of(const struct pn_store *store, enum pn_kind kind)
{
	switch (kind) {
	case PN_KIND_HELD:
	case PN_KIND_THREAD: return store->options.thread_limit;
	case PN_KIND_LEASE: return LEASE_LIMIT;
	case PN_KIND_TRACE: return store->options.charge_limit;
	case PN_KIND_WINDOW:
	case PN_KINDS: break;
	}
	return store->options.window_limit;
}

/* Records whose time is not later than this have expired: at `now` seconds, or
 * at `settled`, the sweeper's own clock, where losing them would matter. */
static int64_t
cutoff_of(const struct pn_store *store, enum pn_kind kind, int64_t now, int64_t settled)
{
	if (kind == PN_KIND_THREAD)
		return settled - (int64_t)store->options.thread_lifetime;
	return (kind == PN_KIND_TRACE ? settled : now) * 1000;
}

struct times {
	int64_t filed;	/* where the index has it */
	int64_t last;	/* where it belongs by now */
	struct pn_thread_record thread;	/* of a thread only */
};

static bool
decode_times(enum pn_kind kind, struct pn_str value, struct times *out)
{
	struct pn_thread_record *thread = &out->thread;
	struct pn_lease_record lease;
	struct pn_window_record window;
	struct pn_trace trace;

	switch (kind) {
	case PN_KIND_HELD:
	case PN_KIND_THREAD:
		if (!pn_thread_decode(value, thread))
			return false;
		out->filed = kind == PN_KIND_HELD ? thread->lease.expires : thread->filed;
		out->last = kind == PN_KIND_HELD ? thread->lease.expires : thread->thread.seen;
		return true;
	case PN_KIND_LEASE:
		if (!pn_lease_decode(value, &lease))
			return false;
		out->filed = lease.filed;
		out->last = lease.lease.expires;
		return true;
	case PN_KIND_TRACE:
		if (!pn_trace_decode(value, &trace))
			return false;
		out->filed = trace.filed;
		out->last = trace.expires;
		return true;
	case PN_KIND_WINDOW:
	case PN_KINDS:
		break;
	}
	if (!pn_window_decode(value, &window))
		return false;
	out->filed = window.filed;
	out->last = window.expires;
	return true;
}

static void
index_key(struct pn_key *key, enum pn_kind kind, int64_t filed, const struct pn_hash *hash)
{
	pn_key_init(key);
	pn_key_add_byte(key, (unsigned char)kind);
	pn_key_add_u64(key, filed < 0 ? 0 : (uint64_t)filed);
	pn_key_add(key, pn_hash_str(hash));
}

static int
file_record(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, const struct pn_hash *hash,
    int64_t filed)
{
	struct pn_key key;

	index_key(&key, kind, filed, hash);
	return pn_row_put(txn, store->state.dbi[S_INDEX], pn_key_str(&key), PN_STR_EMPTY);
}

struct entry {
	enum pn_kind kind;
	int64_t filed;
	struct pn_hash hash;
};

/* The oldest entry of a kind. MDB_NOTFOUND: there is none. */
static int
oldest(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, struct entry *out)
{
	const char first[] = { (char)kind };
	struct pn_str key = pn_str_n(first, sizeof(first)), value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, store->state.dbi[S_INDEX], &cursor);

	if (rc != 0)
		return rc;
	rc = pn_row_seek(cursor, MDB_SET_RANGE, &key, &value);
	if (rc == 0 && (key.n != INDEX_KEY || key.p[0] != (char)kind))
		rc = MDB_NOTFOUND;
	if (rc == 0) {
		out->kind = kind;
		out->filed = (int64_t)pn_u64_get(key.p + 1);
		memcpy(out->hash.b, key.p + 1 + PN_U64_BYTES, PN_HASH_BYTES);
	}
	mdb_cursor_close(cursor);
	return rc;
}

static int
unfile(struct pn_store *store, MDB_txn *txn, const struct entry *entry)
{
	struct pn_key key;

	index_key(&key, entry->kind, entry->filed, &entry->hash);
	return pn_row_del(txn, store->state.dbi[S_INDEX], pn_key_str(&key));
}

/* The oldest one of those that make a table too large: when no thread is filed
 * as one yet, those that are held. */
static int
oldest_surplus(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, struct entry *out)
{
	int rc = oldest(store, txn, kind, out);

	return rc == MDB_NOTFOUND && kind == PN_KIND_THREAD ? oldest(store, txn, PN_KIND_HELD, out) : rc;
}

/* Moves the index entry of a record to where it belongs by now. */
static int
refile(struct pn_store *store, MDB_txn *txn, const struct entry *entry, int64_t last, struct pn_str value)
{
	struct pn_buf copy;
	int rc = unfile(store, txn, entry);

	if (rc == 0)
		rc = file_record(store, txn, entry->kind, &entry->hash, last);
	if (rc != 0)
		return rc;
	pn_buf_init(&copy, PN_RECORD_MAX);
	pn_buf_add(&copy, value);
	pn_u64_put(copy.p + FILED_AT, (uint64_t)last);
	rc = pn_row_put(txn, table_of(store, entry->kind), pn_hash_str(&entry->hash), pn_buf_str(&copy));
	pn_buf_done(&copy);
	return rc;
}

/* The lease of a thread has ended: it is filed among the others. */
static int
file_held(struct pn_store *store, MDB_txn *txn, const struct entry *entry, int64_t filed)
{
	int rc = unfile(store, txn, entry);

	return rc == 0 ? file_record(store, txn, PN_KIND_THREAD, &entry->hash, filed) : rc;
}

/* A thread goes, but not a lease on it that is held yet. */
static int
release(struct pn_store *store, MDB_txn *txn, const struct entry *entry,
    const struct pn_thread_record *thread, int64_t now)
{
	const struct entry held = { PN_KIND_HELD, thread->lease.expires, entry->hash };
	int rc = pn_lease_save(store, txn, &entry->hash, thread, now);

	return rc == 0 ? unfile(store, txn, &held) : rc;
}

/* One step at the oldest end of the index: the entry is dangling (its record
 * was removed or is filed elsewhere too), to be moved, or goes with its record. */
struct limits {
	int64_t now;		/* seconds */
	int64_t cutoff;		/* what is not later has expired */
	bool surplus;		/* there are too many, expired or not */
};

static int
settle(struct pn_store *store, MDB_txn *txn, const struct entry *entry, const struct limits *limits,
    bool *gone)
{
	MDB_dbi table = table_of(store, entry->kind);
	struct pn_str value;
	struct times times;
	int rc = pn_row_get(txn, table, pn_hash_str(&entry->hash), &value);

	*gone = false;
	if (rc == MDB_NOTFOUND)
		return unfile(store, txn, entry);
	if (rc != 0)
		return rc;
	if (decode_times(entry->kind, value, &times)) {
		int64_t filed = times.filed < 0 ? 0 : times.filed;

		if (filed != entry->filed)
			return unfile(store, txn, entry);
		if (entry->kind == PN_KIND_HELD)
			return file_held(store, txn, entry, times.thread.filed);
		if (times.last > filed && (times.last > limits->cutoff || limits->surplus))
			return refile(store, txn, entry, times.last, value);
		if (entry->kind == PN_KIND_THREAD)
			rc = release(store, txn, entry, &times.thread, limits->now);
	}
	*gone = true;
	if (rc == 0)
		rc = unfile(store, txn, entry);
	return rc == 0 ? pn_row_del(txn, table, pn_hash_str(&entry->hash)) : rc;
}

int
pn_record_remove(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, const struct pn_hash *hash,
    int64_t filed)
{
	const struct entry entry = { kind, filed, *hash };
	int rc = unfile(store, txn, &entry);

	return rc == 0 ? pn_row_del(txn, table_of(store, kind), pn_hash_str(hash)) : rc;
}

/* Makes room for one more at `now`.  Where only refreshed records are met in a
 * few steps, the bound is passed by one until the next call. */
static int
evict(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, int64_t now)
{
	const struct limits limits = { now, INT64_MIN, true };
	bool gone = false;
	struct entry entry;
	int rc = 0;

	for (int i = 0; i < EVICT_STEPS && !gone && rc == 0; i++) {
		rc = oldest_surplus(store, txn, kind, &entry);
		if (rc == 0)
			rc = settle(store, txn, &entry, &limits, &gone);
	}
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int
pn_record_add(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, const struct pn_hash *hash,
    int64_t filed, int64_t now, struct pn_str value)
{
	MDB_dbi table = table_of(store, kind);
	int rc = 0;

	if (pn_row_count(txn, table) >= limit_of(store, kind))
		rc = evict(store, txn, kind == PN_KIND_HELD ? PN_KIND_THREAD : kind, now);
	if (rc == 0)
		rc = file_record(store, txn, kind, hash, filed);
	return rc == 0 ? pn_row_put(txn, table, pn_hash_str(hash), value) : rc;
}

int
pn_record_replace(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, const struct pn_hash *hash,
    struct pn_str value)
{
	return pn_row_put(txn, table_of(store, kind), pn_hash_str(hash), value);
}

int
pn_record_get(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, const struct pn_hash *hash,
    struct pn_str *value)
{
	return pn_row_get(txn, table_of(store, kind), pn_hash_str(hash), value);
}

int
pn_record_hold(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, int64_t before,
    int64_t expires)
{
	const struct entry entry = { PN_KIND_HELD, before, *hash };
	int rc = before != 0 ? unfile(store, txn, &entry) : 0;

	return rc == 0 ? file_record(store, txn, PN_KIND_HELD, hash, expires) : rc;
}

int
pn_record_count_held(struct pn_store *store, MDB_txn *txn, uint64_t *out)
{
	static const char first[] = { PN_KIND_HELD };
	struct pn_str key = pn_str_n(first, sizeof(first)), value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, store->state.dbi[S_INDEX], &cursor);

	*out = 0;
	if (rc != 0)
		return rc;
	rc = pn_row_seek(cursor, MDB_SET_RANGE, &key, &value);
	for (; rc == 0 && key.p[0] == first[0]; (*out)++)
		rc = pn_row_seek(cursor, MDB_NEXT, &key, &value);
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* -- the sweeper -------------------------------------------------------------- */

struct sweep {
	struct pn_store *store;
	int64_t now;
	int64_t settled;
	bool moves_clock;	/* in the first transaction of a call */
	size_t most, done;
};

static int
sweep_kind(struct sweep *sweep, MDB_txn *txn, enum pn_kind kind)
{
	struct pn_store *store = sweep->store;
	struct limits limits = { sweep->now, cutoff_of(store, kind, sweep->now, sweep->settled), false };
	struct entry entry;
	bool gone;

	while (sweep->done < sweep->most) {
		int rc;

		limits.surplus = kind != PN_KIND_HELD
		    && pn_row_count(txn, table_of(store, kind)) > limit_of(store, kind);
		rc = limits.surplus ? oldest_surplus(store, txn, kind, &entry)
		    : oldest(store, txn, kind, &entry);
		if (rc == MDB_NOTFOUND || (rc == 0 && !limits.surplus && entry.filed > limits.cutoff))
			return 0;
		if (rc == 0)
			rc = settle(store, txn, &entry, &limits, &gone);
		if (rc != 0)
			return rc;
		sweep->done++;
	}
	return 0;
}

/* Events lie in order of time: the oldest is the first. */
static int
sweep_bounces(struct sweep *sweep, MDB_txn *txn)
{
	const struct pn_store *store = sweep->store;
	int64_t cutoff = sweep->settled - (int64_t)store->options.bounce_lifetime;
	MDB_dbi table = store->state.dbi[S_BOUNCES];
	struct pn_str key = PN_STR_EMPTY, value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, table, &cursor);

	if (rc != 0)
		return rc;
	while (sweep->done < sweep->most && (rc = pn_row_seek(cursor, MDB_FIRST, &key, &value)) == 0) {
		bool expired = key.n < PN_U64_BYTES || (int64_t)pn_u64_get(key.p) <= cutoff;

		if (!expired && pn_row_count(txn, table) <= store->options.bounce_limit)
			break;
		rc = mdb_cursor_del(cursor, 0);
		if (rc != 0)
			break;
		sweep->done++;
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
sweep_txn(MDB_txn *txn, void *ctx)
{
	struct sweep *sweep = ctx;
	bool moved = sweep->moves_clock;
	int rc = pn_sweep_clock(sweep->store, txn, sweep->now, &moved, &sweep->settled);

	sweep->done = 0;
	for (int kind = 0; kind < PN_KINDS && rc == 0; kind++)
		rc = sweep_kind(sweep, txn, (enum pn_kind)kind);
	if (rc == 0)
		rc = sweep_bounces(sweep, txn);
	if (rc == 0)
		rc = pn_charges_sweep(sweep->store, txn, sweep->settled, sweep->most, &sweep->done);
	return rc == 0 && sweep->done == 0 && !moved ? PN_TXN_UNCHANGED : rc;
}

/* Slots of readers that died pin pages until somebody looks. */
static void
clear_dead_readers(struct pn_env *env)
{
	int dead;

	(void)pthread_rwlock_rdlock(&env->lock);
	(void)mdb_reader_check(env->mdb, &dead);
	(void)pthread_rwlock_unlock(&env->lock);
}

int
pn_sweep_run(struct pn_store *store, int64_t now, bool moves_clock, size_t most, size_t *removed)
{
	struct sweep sweep = { .store = store, .now = now, .moves_clock = moves_clock };
	size_t step = SWEEP_STEP;
	int rc;

	*removed = 0;
	clear_dead_readers(&store->state);
	while (*removed < most) {
		sweep.most = most - *removed < step ? most - *removed : step;
		rc = pn_env_write(&store->state, sweep_txn, &sweep);
		if (pn_env_is_full(rc) && step > 1) {
			step = step < 8 ? 1 : step / 8;	/* removing takes pages too: fewer at once */
			continue;
		}
		if (rc != 0)
			return rc;
		*removed += sweep.done;
		sweep.moves_clock = false;
		if (sweep.done < sweep.most)
			break;
	}
	return 0;
}

enum pn_status
pn_store_sweep(struct pn_store *store, int64_t now, size_t most, size_t *removed, struct pn_error *err)
{
	size_t done = 0;
	int rc;

	clear_dead_readers(&store->directory);
	rc = pn_sweep_run(store, now, true, most, &done);
	*removed = done;
	return pn_env_status(&store->state, rc, err);
}
