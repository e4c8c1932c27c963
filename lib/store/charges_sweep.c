/* Which charges go: too old, too many, to be forgotten, or to be given back. */
#include "charges.h"

/* The oldest charge of a relay.  Rows are about to change: the name is copied. */
struct oldest {
	struct pn_place place;
	char relay[PN_RELAY_NAME_MAX];
};

/* Of the relay of this name (after 0), or of the next in order of names (after 1).
 * MDB_NOTFOUND: there is none. */
static int
find_oldest(struct pn_store *store, MDB_txn *txn, struct pn_str relay, unsigned char after,
    struct oldest *out)
{
	struct pn_str value, found;
	struct pn_place place;
	struct pn_key key;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, store->state.dbi[S_CHARGES], &cursor);

	if (rc != 0)
		return rc;
	pn_key_init(&key);
	pn_key_add(&key, relay);
	pn_key_add_byte(&key, after);
	found = pn_key_str(&key);
	rc = pn_row_seek(cursor, MDB_SET_RANGE, &found, &value);
	mdb_cursor_close(cursor);
	if (rc != 0)
		return rc;
	if (!pn_charge_split_key(found, &place) || place.relay.n > sizeof(out->relay))
		return MDB_CORRUPTED;
	if (after == 0 && !pn_str_eq(place.relay, relay))
		return MDB_NOTFOUND;
	out->place = place;
	memcpy(out->relay, place.relay.p, place.relay.n);
	out->place.relay.p = out->relay;
	return 0;
}

static int
next_relay(struct pn_store *store, MDB_txn *txn, struct oldest *oldest)
{
	return find_oldest(store, txn, oldest->place.relay, 1, oldest);
}

static int
oldest_of_all(struct pn_store *store, MDB_txn *txn, struct oldest *out)
{
	struct oldest next = { .place = { .relay = PN_STR_EMPTY } };
	bool found = false;
	int rc;

	while ((rc = next_relay(store, txn, &next)) == 0)
		if (!found || next.place.time_ms < out->place.time_ms) {
			*out = next;
			out->place.relay.p = out->relay;
			found = true;
		}
	return rc == MDB_NOTFOUND && found ? 0 : rc;
}

static bool
is_surplus(struct pn_store *store, MDB_txn *txn, uint64_t more)
{
	return pn_row_count(txn, store->state.dbi[S_CHARGES]) + more > store->options.charge_limit;
}

int
pn_charges_make_room(struct pn_account *account)
{
	struct oldest oldest;
	int rc;

	if (!is_surplus(account->store, account->txn, 1))
		return 0;
	rc = oldest_of_all(account->store, account->txn, &oldest);
	if (rc != 0)
		return rc == MDB_NOTFOUND ? 0 : rc;
	if (pn_str_eq(oldest.place.relay, account->relay))
		return pn_account_take(account, &oldest.place, UINT64_MAX);
	return pn_charge_take(account->store, account->txn, &oldest.place, UINT64_MAX);
}

/* Removes the oldest of a relay, those with a time up to `until`. */
static int
remove_oldest(struct pn_account *account, int64_t until, size_t most, size_t *done)
{
	size_t before = *done;
	struct oldest oldest;
	int rc = 0;

	while (rc == 0 && *done < most) {
		rc = find_oldest(account->store, account->txn, account->relay, 0, &oldest);
		if (rc == 0 && oldest.place.time_ms > until)
			break;
		if (rc == 0)
			rc = pn_account_take(account, &oldest.place, UINT64_MAX);
		if (rc == 0)
			++*done;
	}
	if (rc == MDB_NOTFOUND)
		rc = 0;
	return rc == 0 && *done > before ? pn_account_save(account) : rc;
}

int
pn_charges_clear(struct pn_store *store, MDB_txn *txn, struct pn_str relay, size_t most, size_t *done)
{
	struct oldest oldest = { .place = { .relay = relay } };
	struct pn_account account;
	int rc = 0;

	*done = 0;
	do {
		if (relay.n == 0)
			rc = next_relay(store, txn, &oldest);
		if (rc == 0)
			rc = pn_account_open(&account, store, txn, oldest.place.relay);
		if (rc == 0)
			rc = remove_oldest(&account, INT64_MAX, most, done);
	} while (rc == 0 && *done < most && relay.n == 0);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* An hour longer than any window needs them. */
static int64_t
expired_at(const struct pn_account *account, int64_t now)
{
	const int64_t hour = 3600 * 1000;
	int64_t longest = 24 * hour;

	for (size_t i = 0; i < account->record.n; i++)
		if ((int64_t)account->record.v[i].window_ms > longest)
			longest = (int64_t)account->record.v[i].window_ms;
	return now * 1000 - longest - hour;
}

static int
sweep_surplus(struct pn_store *store, MDB_txn *txn, size_t most, size_t *done)
{
	struct oldest oldest;
	int rc = 0;

	while (rc == 0 && *done < most && is_surplus(store, txn, 0)) {
		rc = oldest_of_all(store, txn, &oldest);
		if (rc == 0)
			rc = pn_charge_take(store, txn, &oldest.place, UINT64_MAX);
		++*done;
	}
	return rc;
}

int
pn_charges_sweep(struct pn_store *store, MDB_txn *txn, int64_t now, size_t most, size_t *done)
{
	struct oldest oldest = { .place = { .relay = PN_STR_EMPTY } };
	struct pn_account account;
	int rc = 0;

	while (rc == 0 && *done < most && (rc = next_relay(store, txn, &oldest)) == 0) {
		rc = pn_account_open(&account, store, txn, oldest.place.relay);
		if (rc == 0 && oldest.place.time_ms <= expired_at(&account, now))
			rc = remove_oldest(&account, expired_at(&account, now), most, done);
	}
	return rc == 0 || rc == MDB_NOTFOUND ? sweep_surplus(store, txn, most, done) : rc;
}

/* -- to be given back -- */

/* The last row before those of the next name. */
static int
seek_newest(MDB_cursor *cursor, struct pn_str relay, struct pn_str *found, struct pn_str *value)
{
	struct pn_key next;
	int rc;

	pn_key_init(&next);
	pn_key_add(&next, relay);
	pn_key_add_byte(&next, 1);
	*found = pn_key_str(&next);
	rc = pn_row_seek(cursor, MDB_SET_RANGE, found, value);
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	return pn_row_seek(cursor, rc == 0 ? MDB_PREV : MDB_LAST, found, value);
}

int
pn_charge_newest_unnamed(struct pn_store *store, MDB_txn *txn, struct pn_str relay, struct pn_place *out)
{
	struct pn_str found, value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, store->state.dbi[S_CHARGES], &cursor);

	if (rc != 0)
		return rc;
	rc = seek_newest(cursor, relay, &found, &value);
	for (size_t rows = 0; rc == 0; rows++) {
		if (rows == PN_ACCOUNT_STEP || !pn_charge_split_key(found, out) || !pn_str_eq(out->relay, relay))
			rc = MDB_NOTFOUND;
		else if ((out->sequence & PN_CHARGE_UNNAMED) != 0)
			break;
		else
			rc = pn_row_seek(cursor, MDB_PREV, &found, &value);
	}
	mdb_cursor_close(cursor);
	out->relay = relay; /* rows are about to change */
	return rc;
}
