/* What Postfix's log tells of mails that were charged, or should have been. */
#include "charges.h"

struct delivery {
	struct pn_store *store;
	struct pn_str queue_id, recipient, relay;
	enum pn_delivery what;
	int64_t now_ms;
	struct pn_arena *arena;
	struct pn_hash queue_hash;
	bool look;
	bool matters;		/* there is something to write */
};

/* One recipient of one message: queue ids are used again. */
static struct pn_hash
hash_recipient(const struct delivery *d, const struct pn_trace *queue)
{
	char sequence[PN_U64_BYTES];
	const struct pn_str parts[] = { PN_STR("recipient"), d->queue_id, pn_str_n(sequence,
	    sizeof(sequence)),
		d->recipient };

	pn_u64_put(sequence, queue->place.sequence);
	return pn_hash_parts(d->store, parts, PN_COUNT(parts));
}

static int
add_charge(struct delivery *d, MDB_txn *txn, struct pn_place *place)
{
	*place = (struct pn_place){ d->relay, d->now_ms, 0 };
	return d->relay.n > 0 ? pn_charge_add(d->store, txn, place, 1) : 0;
}

static int
note_recipient(struct delivery *d, MDB_txn *txn, const struct pn_trace *queue)
{
	struct pn_hash hash = hash_recipient(d, queue);
	struct pn_trace trace = { .place = queue->place };

	return pn_trace_put(d->store, txn, &hash, NULL, &trace, d->now_ms);
}

/* Nobody counted this mail. */
static int
begin_queue_id(struct delivery *d, MDB_txn *txn)
{
	struct pn_trace queue = { .from_log = true };
	int rc = add_charge(d, txn, &queue.place);

	if (rc == 0)
		rc = pn_trace_put(d->store, txn, &d->queue_hash, NULL, &queue, d->now_ms);
	return rc == 0 ? note_recipient(d, txn, &queue) : rc;
}

static int
correct(struct delivery *d, MDB_txn *txn, const struct pn_trace *queue)
{
	struct pn_place place;
	int rc = queue->from_log ? 0 : pn_charge_take(d->store, txn, &queue->place, 1);

	if (rc == 0 && d->what == PN_DELIVERY_SENT)
		rc = add_charge(d, txn, &place);
	return rc == 0 ? note_recipient(d, txn, queue) : rc;
}

/* Most of what the log tells is known: that is found out without writing. */
static int
deliver_txn(MDB_txn *txn, void *ctx)
{
	struct delivery *d = ctx;
	bool sent = d->what == PN_DELIVERY_SENT;
	struct pn_trace queue = { .from_log = true }, told;
	struct pn_hash hash;
	int rc, told_rc = MDB_NOTFOUND;

	pn_arena_reset(d->arena);
	rc = pn_trace_find(d->store, txn, &d->queue_hash, d->arena, &queue);
	if (rc == 0) {
		hash = hash_recipient(d, &queue);
		told_rc = pn_trace_find(d->store, txn, &hash, d->arena, &told);
	}
	if ((rc != 0 && rc != MDB_NOTFOUND) || (told_rc != 0 && told_rc != MDB_NOTFOUND))
		return rc != 0 ? rc : told_rc;
	d->matters = told_rc == MDB_NOTFOUND
	    && (queue.from_log ? sent && d->relay.n > 0 : !sent || !pn_str_eq(d->relay, queue.place.relay));
	if (d->look || !d->matters)
		return d->look ? 0 : PN_TXN_UNCHANGED;
	return rc == MDB_NOTFOUND ? begin_queue_id(d, txn) : correct(d, txn, &queue);
}

enum pn_status
pn_quota_delivered(struct pn_store *store, struct pn_str queue_id, struct pn_str recipient,
    struct pn_str relay,
    enum pn_delivery delivery, int64_t now_ms, struct pn_error *err)
{
	struct delivery d = { .store = store, .queue_id = queue_id, .recipient = recipient, .relay = relay,
		.what = delivery, .now_ms = now_ms, .look = true };
	enum pn_status st = relay.n == 0 ? PN_OK : pn_quota_check(relay, NULL, 0, now_ms, err);

	if (st != PN_OK || delivery == PN_DELIVERY_DEFERRED || queue_id.n == 0)
		return st;
	d.queue_hash = pn_hash_queue(store, queue_id);
	d.arena = pn_arena_new(SIZE_MAX);
	st = pn_env_status(&store->state, pn_env_read(&store->state, deliver_txn, &d), err);
	d.look = false;
	if (st == PN_OK && d.matters)
		st = pn_state_write(store, now_ms / 1000, deliver_txn, &d, err);
	pn_arena_free(d.arena);
	return st;
}

/* -- what was counted before it was tried -- */

struct attempt {
	struct pn_store *store;
	struct pn_str relay;
	struct pn_hash hash;
	struct pn_arena *arena;
	int64_t now_ms;
};

static int
give_back_txn(MDB_txn *txn, void *ctx)
{
	struct attempt *a = ctx;
	struct pn_trace trace = { .from_log = true };
	int rc;

	pn_arena_reset(a->arena);
	rc = pn_trace_find(a->store, txn, &a->hash, a->arena, &trace);
	if (rc == 0)
		return PN_TXN_UNCHANGED;
	if (rc == MDB_NOTFOUND)
		rc = pn_charge_newest_unnamed(a->store, txn, a->relay, &trace.place);
	if (rc == MDB_NOTFOUND)
		return PN_TXN_UNCHANGED;
	if (rc == 0)
		rc = pn_charge_take(a->store, txn, &trace.place, 1);
	return rc == 0 ? pn_trace_put(a->store, txn, &a->hash, NULL, &trace, a->now_ms) : rc;
}

enum pn_status
pn_quota_undelivered(struct pn_store *store, struct pn_str relay, struct pn_str attempt, int64_t now_ms,
    struct pn_error *err)
{
	const struct pn_str parts[] = { PN_STR("attempt"), relay, attempt };
	struct attempt a = { .store = store, .relay = relay, .now_ms = now_ms };
	enum pn_status st = pn_quota_check(relay, NULL, 0, now_ms, err);

	if (st != PN_OK)
		return st;
	a.hash = pn_hash_parts(store, parts, PN_COUNT(parts));
	a.arena = pn_arena_new(SIZE_MAX);
	st = pn_state_write(store, now_ms / 1000, give_back_txn, &a, err);
	pn_arena_free(a.arena);
	return st;
}
