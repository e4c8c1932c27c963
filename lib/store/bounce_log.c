#include "internal.h"

struct add {
	struct pn_store *store;
	int64_t time;
	struct pn_str value;
};

/* Events lie in order of time, so the oldest is the first. */
static int
drop_oldest(MDB_txn *txn, MDB_dbi table)
{
	struct pn_str key = PN_STR_EMPTY, value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, table, &cursor);

	if (rc != 0)
		return rc;
	rc = pn_row_seek(cursor, MDB_FIRST, &key, &value);
	if (rc == 0)
		rc = mdb_cursor_del(cursor, 0);
	mdb_cursor_close(cursor);
	return rc;
}

static int
add_txn(MDB_txn *txn, void *ctx)
{
	const struct add *add = ctx;
	MDB_dbi table = add->store->state.dbi[S_BOUNCES];
	uint64_t sequence;
	struct pn_key key;
	int rc = 0;

	if (pn_row_count(txn, table) >= add->store->options.bounce_limit)
		rc = drop_oldest(txn, table);
	if (rc == 0)
		rc = pn_sequence_next(add->store, txn, 1, &sequence);
	if (rc != 0)
		return rc;
	pn_key_init(&key);
	pn_key_add_u64(&key, add->time < 0 ? 0 : (uint64_t)add->time);
	pn_key_add_u64(&key, sequence);
	return pn_row_put(txn, table, pn_key_str(&key), add->value);
}

enum pn_status
pn_bounce_add(struct pn_store *store, const struct pn_bounce_event *event, struct pn_error *err)
{
	enum pn_status st = pn_gateway_check(event->gateway, err);
	struct pn_buf buf;
	struct add add;

	if (st != PN_OK)
		return st;
	pn_buf_init(&buf, PN_RECORD_MAX);
	pn_bounce_encode(&buf, event);
	add = (struct add){ store, event->time, pn_buf_str(&buf) };
	st = pn_state_write(store, event->time, add_txn, &add, err);
	pn_buf_done(&buf);
	return st;
}

struct each {
	struct pn_str gateway;
	bool (*each)(void *ctx, const struct pn_bounce_event *event);
	void *ctx;
};

static bool
each_row(void *ctx, struct pn_str key, struct pn_str value)
{
	const struct each *each = ctx;
	struct pn_bounce_event event;

	(void)key;
	if (!pn_bounce_decode(value, &event) || (each->gateway.n > 0 && !pn_str_eq(each->gateway,
	    event.gateway)))
		return true;
	return each->each(each->ctx, &event);
}

enum pn_status
pn_bounce_each(struct pn_store *store, struct pn_str gateway,
    bool (*each)(void *ctx, const struct pn_bounce_event *event), void *ctx, struct pn_error *err)
{
	struct each walk = { gateway, each, ctx };
	struct pn_env *env = &store->state;

	return pn_env_status(env, pn_env_walk(env, env->dbi[S_BOUNCES], PN_STR_EMPTY, true, each_row, &walk),
	    err);
}
