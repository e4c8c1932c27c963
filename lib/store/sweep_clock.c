/* The sweeper's clock: one that stands wrong for a while is not believed. */
#include "internal.h"

/* When a thread was filed last; MDB_NOTFOUND: never. */
static int
newest_thread(struct pn_store *store, MDB_txn *txn, int64_t *out)
{
	static const char end[] = { PN_KIND_THREAD + 1 };
	struct pn_str key = pn_str_n(end, sizeof(end)), value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, store->state.dbi[S_INDEX], &cursor);

	if (rc != 0)
		return rc;
	rc = pn_row_seek(cursor, MDB_SET_RANGE, &key, &value);
	rc = pn_row_seek(cursor, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV, &key, &value);
	if (rc == 0 && (key.n <= PN_U64_BYTES || key.p[0] != PN_KIND_THREAD))
		rc = MDB_NOTFOUND;
	if (rc == 0)
		*out = (int64_t)pn_u64_get(key.p + 1);
	mdb_cursor_close(cursor);
	return rc;
}

/* A state without a clock takes the time of its newest thread: at that time
 * nothing was to be lost.  While it keeps up it is written twice in a step only. */
int
pn_sweep_clock(struct pn_store *store, MDB_txn *txn, int64_t now, bool *move, int64_t *out)
{
	int64_t step = (int64_t)store->options.clock_step, clock = now;
	uint64_t noted;
	int rc = pn_number_get(txn, store->state.dbi[S_META], PN_STR("clock"), &noted);

	if (rc != 0)
		return rc;
	if (noted != 0)
		clock = (int64_t)noted;
	else if ((rc = newest_thread(store, txn, &clock)) != 0 && rc != MDB_NOTFOUND)
		return rc;
	*out = now < clock + step ? now : clock + step;
	if (now - clock > step / 2)
		clock = *out;
	else if (clock - now > step / 2)
		clock = now > clock - step ? now : clock - step;
	*move = *move && clock > 0 && (uint64_t)clock != noted;
	if (!*move)
		return 0;
	return pn_number_put(txn, store->state.dbi[S_META], PN_STR("clock"), (uint64_t)clock);
}
