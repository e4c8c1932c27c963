#include "internal.h"

/* One window that will be written: its place in the buffer of all of them. */
struct counted {
	struct pn_hash hash;
	int64_t filed;
	bool is_new;
	size_t from, n;
};

struct admit {
	struct pn_store *store;
	const struct pn_admission *admission;
	uint64_t threshold;
	struct pn_hash message;		/* (gateway, Message-ID) */
	struct pn_hash learned;		/* the same of the thread to be learned */
	uint64_t mail;			/* the same, short; 0: no Message-ID */
	struct pn_hash *hashes;		/* of the windows */
	struct pn_buf buf;		/* new values of the windows, one behind the other */
	struct counted *counted;
	size_t counted_n;
	struct pn_lease lease;		/* to be written when takes_lease */
	bool takes_lease;
	bool in_thread;			/* it lies in the thread that is learned, else on its own */
	enum pn_admitted result;
	size_t which;
};

static struct pn_hash
hash_window(const struct admit *admit, const struct pn_window_key *key)
{
	const struct pn_str parts[] = { admit->admission->gateway, key->model, key->record, key->sender };

	return pn_hash_parts(admit->store, parts, PN_COUNT(parts));
}

/* -- the lease ------------------------------------------------------------------ */

static bool
is_held(const struct pn_lease *lease, int64_t now)
{
	return lease->expires > now && lease->taken <= now + PN_CLOCK_SLACK_MS;
}

static void
check_held(struct admit *admit, const struct pn_lease *lease)
{
	if (is_held(lease, admit->admission->now_ms))
		admit->result = PN_ADMITTED_TWIN;
}

/* An earlier mail with this id may have taken it in either place. */
static int
check_lease(struct admit *admit, MDB_txn *txn)
{
	const struct pn_admission *a = admit->admission;
	struct pn_thread_record thread;
	struct pn_lease_record own;
	int rc;

	if (a->message_id.n == 0 || a->lease_ms == 0)
		return 0;
	admit->takes_lease = true;
	admit->lease = (struct pn_lease){ a->now_ms, a->now_ms + (int64_t)a->lease_ms };
	rc = pn_thread_find(admit->store, txn, &admit->message, a->gateway, a->message_id, &thread);
	if (rc == 0)
		check_held(admit, &thread.lease);
	else if (rc != MDB_NOTFOUND)
		return rc;
	rc = pn_lease_find(admit->store, txn, &admit->message, &own);
	if (rc == 0)
		check_held(admit, &own.lease);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
write_lease(struct admit *admit, MDB_txn *txn)
{
	const struct pn_admission *a = admit->admission;
	struct pn_lease_record record = { 0, admit->lease, a->gateway, a->message_id, a->sender };

	if (!admit->takes_lease || admit->in_thread)
		return 0;
	return pn_lease_put(admit->store, txn, &admit->message, &record, a->now_ms / 1000);
}

/* The thread, with the lease where it is the same mail's. */
static int
write_thread(struct admit *admit, MDB_txn *txn)
{
	const struct pn_admission *a = admit->admission;
	bool leased = admit->takes_lease && admit->in_thread;

	if (a->learn == NULL)
		return 0;
	return pn_thread_put(admit->store, txn, &admit->learned, a->gateway, a->learn,
	    leased ? &admit->lease : NULL, a->now_ms / 1000);
}

/* -- the windows (rule 9.2) ------------------------------------------------------ */

/* Adds the mails that are still in the window to the buffer; *again when this
 * mail is among them. */
static uint64_t
copy_live(struct admit *admit, const struct pn_ring *ring, bool *again)
{
	int64_t now = admit->admission->now_ms, span = (int64_t)admit->admission->window_ms;
	uint64_t live = 0;

	for (size_t i = 0; i < ring->n; i++) {
		struct pn_mail mail = pn_ring_at(ring, i);

		/* what was counted before the clock was set back proves nothing */
		if (mail.time_ms <= now - span || mail.time_ms > now + PN_CLOCK_SLACK_MS)
			continue;
		if (mail.id != 0 && mail.id == admit->mail)
			*again = true;
		pn_mail_encode(&admit->buf, &mail);
		live++;
	}
	return live;
}

/* Decides on one window; what is to be written is prepared in the buffer. */
static int
check_window(struct admit *admit, MDB_txn *txn, size_t i)
{
	const struct pn_admission *a = admit->admission;
	int64_t expires = a->now_ms + (int64_t)a->window_ms;
	struct pn_window_record old = { .ring = { "", 0 } }, record;
	struct counted counted = { admit->hashes[i], expires, true, admit->buf.n, 0 };
	struct pn_mail mail = { a->now_ms, admit->mail };
	struct pn_str value;
	bool again = false;
	uint64_t live;
	int rc = pn_record_get(admit->store, txn, PN_KIND_WINDOW, &counted.hash, &value);

	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	if (rc == 0 && pn_window_decode(value, &old)) {
		counted.is_new = false;
		counted.filed = old.filed;
		if (old.expires > expires)
			expires = old.expires;	/* counted meanwhile with a later time */
	}
	record = (struct pn_window_record){ counted.filed, expires, a->gateway, a->windows[i], { "", 0 } };
	pn_window_encode(&admit->buf, &record);
	live = copy_live(admit, &old.ring, &again);
	if (a->fill != NULL)
		a->fill[i] = live;
	if (again && admit->threshold > 0)
		return 0;
	if (live >= admit->threshold) {
		if (admit->result == PN_ADMITTED) {
			admit->result = PN_ADMITTED_LOOP;
			admit->which = i;
		}
		return 0;
	}
	pn_mail_encode(&admit->buf, &mail);
	counted.n = admit->buf.n - counted.from;
	admit->counted[admit->counted_n++] = counted;
	return 0;
}

static int
write_window(struct admit *admit, MDB_txn *txn, const struct counted *counted)
{
	struct pn_str value = pn_str_n(admit->buf.p + counted->from, counted->n);

	if (!counted->is_new)
		return pn_record_replace(admit->store, txn, PN_KIND_WINDOW, &counted->hash, value);
	return pn_record_add(admit->store, txn, PN_KIND_WINDOW, &counted->hash, counted->filed,
	    admit->admission->now_ms / 1000, value);
}

/* -- both ------------------------------------------------------------------------ */

static void
start(struct admit *admit)
{
	pn_buf_reset(&admit->buf);
	admit->counted_n = 0;
	admit->takes_lease = false;
	admit->result = PN_ADMITTED;
	admit->which = 0;
}

/* All questions first: the values asked for lie in pages that the first write may move. */
static int
admit_txn(MDB_txn *txn, void *ctx)
{
	struct admit *admit = ctx;
	const struct pn_admission *a = admit->admission;
	int rc;

	start(admit);
	rc = check_lease(admit, txn);
	/* whoever wants to see how full they are sees all of them */
	for (size_t i = 0; i < a->window_count && rc == 0; i++)
		if (admit->result == PN_ADMITTED || a->fill != NULL)
			rc = check_window(admit, txn, i);
	if (rc == 0 && pn_buf_failed(&admit->buf))
		rc = MDB_BAD_VALSIZE;
	if (rc != 0 || admit->result != PN_ADMITTED || a->look_only)
		return rc != 0 ? rc : PN_TXN_UNCHANGED;

	for (size_t i = 0; i < admit->counted_n && rc == 0; i++)
		rc = write_window(admit, txn, &admit->counted[i]);
	if (rc == 0)
		rc = write_lease(admit, txn);
	if (rc == 0)
		rc = write_thread(admit, txn);
	if (rc == 0 && admit->counted_n == 0 && !admit->takes_lease && a->learn == NULL)
		return PN_TXN_UNCHANGED;
	return rc;
}

static enum pn_status
check_admission(const struct pn_admission *a, struct pn_error *err)
{
	enum { WINDOWS_MAX = 1000 };

	if (a->window_count > WINDOWS_MAX)
		return pn_fail(err, PN_INVALID, "%zu loop windows for one mail; at most %d", a->window_count,
		    WINDOWS_MAX);
	if (a->lease_ms > INT32_MAX || a->window_ms > INT64_MAX / 4 || a->now_ms < 0
	    || a->now_ms > INT64_MAX / 4)
		return pn_fail(err, PN_INVALID, "lease, window or time out of bounds");
	return pn_gateway_check(a->gateway, err);
}

/* What can be done before the other writers have to wait. */
static void
prepare(struct admit *admit, struct pn_arena *arena)
{
	const struct pn_admission *a = admit->admission;

	admit->threshold = a->threshold < PN_RING_MAX ? a->threshold : PN_RING_MAX;
	admit->counted = PN_ARENA_ARRAY(arena, struct counted, a->window_count);
	admit->hashes = PN_ARENA_ARRAY(arena, struct pn_hash, a->window_count);
	for (size_t i = 0; i < a->window_count; i++)
		admit->hashes[i] = hash_window(admit, &a->windows[i]);
	pn_buf_init(&admit->buf, (a->window_count + 1) * PN_RECORD_MAX);
	if (a->message_id.n > 0) {
		admit->message = pn_hash_message(admit->store, a->gateway, a->message_id);
		admit->mail = pn_u64_get(admit->message.b) | 1;		/* never 0 */
	}
	if (a->learn == NULL)
		return;
	admit->in_thread = pn_thread_is_learnable(a->learn) && pn_str_eq(a->learn->message_id, a->message_id);
	admit->learned = admit->in_thread ? admit->message
	    : pn_hash_message(admit->store, a->gateway, a->learn->message_id);
}

static enum pn_status
look(struct pn_store *store, struct admit *admit, struct pn_error *err)
{
	int rc = pn_env_read(&store->state, admit_txn, admit);

	return pn_env_status(&store->state, rc == PN_TXN_UNCHANGED ? 0 : rc, err);
}

enum pn_status
pn_store_admit(struct pn_store *store, const struct pn_admission *admission, enum pn_admitted *out,
    size_t *which, struct pn_error *err)
{
	struct admit admit = { .store = store, .admission = admission };
	enum pn_status st = check_admission(admission, err);
	struct pn_arena *arena;

	if (st != PN_OK)
		return st;
	arena = pn_arena_new(SIZE_MAX);
	prepare(&admit, arena);
	if (admission->look_only)
		st = look(store, &admit, err);
	else
		st = pn_state_write(store, admission->now_ms / 1000, admit_txn, &admit, err);
	if (st == PN_OK) {
		*out = admit.result;
		*which = admit.which;
	}
	pn_buf_done(&admit.buf);
	pn_arena_free(arena);
	return st;
}
