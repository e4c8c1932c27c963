#include "internal.h"

struct each {
	bool (*each)(void *ctx, const struct pn_window *window);
	void *ctx;
};

static bool
each_row(void *ctx, struct pn_str key, struct pn_str value)
{
	const struct each *each = ctx;
	struct pn_window_record record;
	struct pn_window window;

	(void)key;
	if (!pn_window_decode(value, &record))
		return true;
	window = (struct pn_window){ record.gateway, record.key, record.ring.n, 0, 0 };
	for (size_t i = 0; i < record.ring.n; i++) {
		int64_t time = pn_ring_at(&record.ring, i).time_ms;

		if (i == 0 || time < window.oldest_ms)
			window.oldest_ms = time;
		if (i == 0 || time > window.newest_ms)
			window.newest_ms = time;
	}
	return each->each(each->ctx, &window);
}

enum pn_status
pn_window_each(struct pn_store *store, bool (*each)(void *ctx, const struct pn_window *window), void *ctx,
    struct pn_error *err)
{
	struct each walk = { each, ctx };
	struct pn_env *env = &store->state;

	return pn_env_status(env, pn_env_walk(env, env->dbi[S_WINDOWS], PN_STR_EMPTY, false, each_row, &walk),
	    err);
}

/* -- clearing: found by reading, removed in small transactions -- */

enum { CLEAR_STEP = 256 };

struct clear {
	struct pn_store *store;
	struct pn_str gateway, sender;
	struct {
		struct pn_hash hash;
		int64_t filed;
	} found[CLEAR_STEP];
	size_t n;
	uint64_t cleared;
	enum pn_status status;
	struct pn_error *err;
};

static int
remove_txn(MDB_txn *txn, void *ctx)
{
	const struct clear *clear = ctx;
	int rc = 0;

	for (size_t i = 0; i < clear->n && rc == 0; i++)
		rc = pn_record_remove(clear->store, txn, PN_KIND_WINDOW, &clear->found[i].hash,
		    clear->found[i].filed);
	return rc;
}

static bool
remove_found(struct clear *clear)
{
	struct pn_env *env = &clear->store->state;

	if (clear->n > 0)
		clear->status = pn_env_status(env, pn_env_write(env, remove_txn, clear), clear->err);
	if (clear->status == PN_OK)
		clear->cleared += clear->n;
	clear->n = 0;
	return clear->status == PN_OK;
}

static bool
find_row(void *ctx, struct pn_str key, struct pn_str value)
{
	struct clear *clear = ctx;
	struct pn_window_record record;

	if (key.n != PN_HASH_BYTES || !pn_window_decode(value, &record))
		return true;
	if (clear->gateway.n > 0 && !pn_str_eq(clear->gateway, record.gateway))
		return true;
	if (clear->sender.n > 0 && !pn_str_eq(pn_str_head(clear->sender, PN_TEXT_MAX), record.key.sender))
		return true;
	memcpy(clear->found[clear->n].hash.b, key.p, PN_HASH_BYTES);
	clear->found[clear->n++].filed = record.filed;
	return clear->n < CLEAR_STEP || remove_found(clear);
}

enum pn_status
pn_window_clear(struct pn_store *store, struct pn_str gateway, struct pn_str sender, uint64_t *cleared,
    struct pn_error *err)
{
	struct clear clear = { .store = store, .gateway = gateway, .sender = sender, .err = err };
	struct pn_env *env = &store->state;
	int rc = pn_env_walk(env, env->dbi[S_WINDOWS], PN_STR_EMPTY, false, find_row, &clear);

	if (rc != 0)
		return pn_env_status(env, rc, err);
	if (clear.status == PN_OK)
		(void)remove_found(&clear);
	*cleared = clear.cleared;
	return clear.status;
}
