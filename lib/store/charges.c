#include "charges.h"

enum { OPENS_ROWS = 100000 };	/* passed at most in search of the time */

/* -- one row -- */

static void
charge_key(struct pn_key *key, struct pn_str relay, int64_t time_ms, uint64_t sequence)
{
	pn_key_init(key);
	pn_key_add_part(key, relay);
	pn_key_add_u64(key, time_ms < 0 ? 0 : (uint64_t)time_ms);
	pn_key_add_u64(key, sequence);
}

bool
pn_charge_split_key(struct pn_str key, struct pn_place *out)
{
	struct pn_str rest;

	if (!pn_key_split(key, &out->relay, &rest) || rest.n != 2 * PN_U64_BYTES)
		return false;
	out->time_ms = (int64_t)pn_u64_get(rest.p);
	out->sequence = pn_u64_get(rest.p + PN_U64_BYTES);
	return true;
}

int
pn_charge_get(struct pn_store *store, MDB_txn *txn, const struct pn_place *place, uint64_t *recipients)
{
	struct pn_str value;
	struct pn_key key;
	int rc;

	charge_key(&key, place->relay, place->time_ms, place->sequence);
	rc = pn_row_get(txn, store->state.dbi[S_CHARGES], pn_key_str(&key), &value);
	return rc == 0 && !pn_u64_decode(value, recipients) ? MDB_NOTFOUND : rc;
}

static int
put_row(struct pn_account *account, const struct pn_place *place, uint64_t recipients)
{
	char bytes[PN_U64_BYTES];
	struct pn_key key;

	charge_key(&key, account->relay, place->time_ms, place->sequence);
	pn_u64_put(bytes, recipients);
	return pn_row_put(account->txn, account->store->state.dbi[S_CHARGES], pn_key_str(&key),
	    pn_str_n(bytes, sizeof(bytes)));
}

/* A walk over the rows of a relay with a time after `from`. */
struct walk {
	MDB_cursor *cursor;
	struct pn_str relay;
	struct pn_str key, value;
	struct pn_place place;
	uint64_t recipients;
	int rc;
};

/* False at the end, and when something is wrong (rc). */
static bool
accept(struct walk *walk)
{
	if (walk->rc == MDB_NOTFOUND || (walk->rc == 0 && (!pn_charge_split_key(walk->key, &walk->place)
	    || !pn_str_eq(walk->place.relay, walk->relay)))) {
		walk->rc = 0;
		return false;
	}
	if (walk->rc == 0 && !pn_u64_decode(walk->value, &walk->recipients))
		walk->recipients = 0;
	return walk->rc == 0;
}

static bool
walk_first(struct walk *walk, const struct pn_account *account, int64_t from)
{
	struct pn_key key;

	*walk = (struct walk){ .relay = account->relay };
	walk->rc = mdb_cursor_open(account->txn, account->store->state.dbi[S_CHARGES], &walk->cursor);
	if (walk->rc != 0)
		return false;
	charge_key(&key, account->relay, from + 1, 0);
	walk->key = pn_key_str(&key);
	walk->rc = pn_row_seek(walk->cursor, MDB_SET_RANGE, &walk->key, &walk->value);
	return accept(walk);
}

static bool
walk_next(struct walk *walk)
{
	walk->rc = pn_row_seek(walk->cursor, MDB_NEXT, &walk->key, &walk->value);
	return accept(walk);
}

static int
walk_end(struct walk *walk)
{
	if (walk->cursor != NULL)
		mdb_cursor_close(walk->cursor);
	return walk->rc;
}

/* -- accounts -- */

static void
account_key(struct pn_key *key, struct pn_str relay)
{
	pn_key_init(key);
	pn_key_add_byte(key, 'A');
	pn_key_add(key, relay);
}

int
pn_account_open(struct pn_account *account, struct pn_store *store, MDB_txn *txn, struct pn_str relay)
{
	struct pn_str value;
	struct pn_key key;
	int rc;

	*account = (struct pn_account){ .store = store, .txn = txn, .relay = relay };
	account_key(&key, relay);
	rc = pn_row_get(txn, store->state.dbi[S_RELAYS], pn_key_str(&key), &value);
	if (rc == 0 && !pn_account_decode(value, &account->record))
		account->record.n = 0;
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int
pn_account_save(struct pn_account *account)
{
	struct pn_key key;
	struct pn_buf buf;
	int rc;

	account_key(&key, account->relay);
	pn_buf_init(&buf, PN_RECORD_MAX);
	pn_account_encode(&buf, &account->record);
	rc = pn_row_put(account->txn, account->store->state.dbi[S_RELAYS], pn_key_str(&key),
	    pn_buf_str(&buf));
	pn_buf_done(&buf);
	return rc;
}

/* The last millisecond before the window that ends now. */
static int64_t
before_window(uint64_t window_ms, bool clock, int64_t now_ms)
{
	int64_t span = (int64_t)window_ms;

	return clock ? now_ms - now_ms % span - 1 : now_ms - span;
}

static bool
is_of(const struct pn_account_window *window, const struct pn_limit *limit)
{
	return window->window_ms == limit->window_ms && window->clock == limit->clock;
}

static const struct pn_account_window *
window_of(const struct pn_account *account, const struct pn_limit *limit)
{
	for (size_t i = 0; i < account->record.n; i++)
		if (is_of(&account->record.v[i], limit))
			return &account->record.v[i];
	return NULL;
}

static bool
is_wanted(const struct pn_account_window *window, const struct pn_limit *limits, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_of(window, &limits[i]))
			return true;
	return false;
}

/* Programs with an old and a new configuration run side by side for a while:
 * a window that is not asked for stays, as long as there is room. */
static void
add_window(struct pn_account *account, const struct pn_limit *limits, size_t n, size_t which)
{
	struct pn_account_record *record = &account->record;
	int64_t start = before_window(limits[which].window_ms, limits[which].clock, account->now_ms);
	size_t at = 0;

	if (record->n < PN_COUNT(record->v))
		at = record->n++;
	else
		while (is_wanted(&record->v[at], limits, n))
			at++;
	record->v[at] = (struct pn_account_window){ limits[which].window_ms, limits[which].clock, start,
	    start, 0 };
}

/* Moves *at to `to` over the rows between, as far as it may. */
static int
pass(struct pn_account *account, int64_t *at, int64_t to, size_t most, uint64_t *sum)
{
	struct walk walk;
	int64_t last = *at;
	bool more;

	if (*at >= to)
		return 0;
	for (more = walk_first(&walk, account, *at); more && walk.place.time_ms <= to;
	    more = walk_next(&walk)) {
		/* rows of one millisecond are passed together */
		if (account->rows >= most && walk.place.time_ms > last && last > *at)
			break;
		last = walk.place.time_ms;
		*sum += walk.recipients;
		account->rows++;
	}
	if (more && walk.place.time_ms <= to) {
		account->behind = true;
		*at = last;
	} else
		*at = to;
	return walk_end(&walk);
}

static int
move_window(struct pn_account *account, struct pn_account_window *window, size_t most)
{
	int64_t start = before_window(window->window_ms, window->clock, account->now_ms);
	uint64_t came = 0, left = 0;
	int rc = pass(account, &window->head, account->now_ms + PN_CLOCK_SLACK_MS, most, &came);

	window->used += came;
	if (rc == 0 && !account->behind)
		rc = pass(account, &window->low, start, most, &left);
	window->used -= left < window->used ? left : window->used;
	return rc;
}

int
pn_account_advance(struct pn_account *account, const struct pn_limit *limits, size_t n, int64_t now_ms,
    size_t most)
{
	struct pn_account_record *record = &account->record;
	int rc = 0;

	if (now_ms < record->at_ms - PN_CLOCK_SLACK_MS)
		*record = (struct pn_account_record){ .at_ms = now_ms };
	if (now_ms > record->at_ms)
		record->at_ms = now_ms;
	account->now_ms = record->at_ms;
	for (size_t i = 0; i < n; i++)
		if (limits[i].window_ms > 0 && window_of(account, &limits[i]) == NULL)
			add_window(account, limits, n, i);
	for (size_t i = 0; i < record->n && rc == 0; i++)
		if (is_wanted(&record->v[i], limits, n))
			rc = move_window(account, &record->v[i], most);
	return rc;
}

/* -- asking -- */

static bool
is_inside(const struct pn_account_window *window, int64_t time_ms)
{
	return window->low < time_ms && time_ms <= window->head;
}

uint64_t
pn_account_used(const struct pn_account *account, const struct pn_limit *limit,
    const struct pn_without *without)
{
	const struct pn_account_window *window = window_of(account, limit);
	uint64_t used = window->used;

	for (size_t i = 0; i < without->n; i++)
		if (pn_str_eq(without->place[i].relay, account->relay)
		    && is_inside(window, without->place[i].time_ms))
			used -= without->recipients[i] < used ? without->recipients[i] : used;
	return used;
}

static bool
is_without(const struct pn_without *without, uint64_t sequence)
{
	for (size_t i = 0; i < without->n; i++)
		if (without->place[i].sequence == sequence)
			return true;
	return false;
}

int
pn_account_opens(struct pn_account *account, const struct pn_limit *limit, uint64_t recipients,
    const struct pn_without *without, int64_t *opens_ms)
{
	const struct pn_account_window *window = window_of(account, limit);
	uint64_t used = pn_account_used(account, limit, without), left = 0;
	int64_t span = (int64_t)limit->window_ms;
	struct walk walk;

	*opens_ms = 0;
	if (recipients > limit->most)
		return 0;
	*opens_ms = window->low + 1 + span;
	if (limit->clock)
		return 0;
	/* past so many rows the time is one at which it is worth asking again */
	for (bool more = walk_first(&walk, account, window->low);
	    more && used - left > limit->most - recipients && account->rows < OPENS_ROWS;
	    more = walk_next(&walk)) {
		account->rows++;
		if (is_without(without, walk.place.sequence))
			continue;
		left += walk.recipients < used - left ? walk.recipients : used - left;
		*opens_ms = walk.place.time_ms + span;
	}
	return walk_end(&walk);
}

/* -- changing -- */

static void
count(struct pn_account *account, int64_t time_ms, uint64_t more, uint64_t less)
{
	for (size_t i = 0; i < account->record.n; i++) {
		struct pn_account_window *window = &account->record.v[i];

		if (!is_inside(window, time_ms))
			continue;
		window->used += more;
		window->used -= less < window->used ? less : window->used;
	}
}

int
pn_account_take(struct pn_account *account, const struct pn_place *place, uint64_t recipients)
{
	uint64_t before;
	struct pn_key key;
	int rc = pn_charge_get(account->store, account->txn, place, &before);

	if (rc != 0)
		return rc == MDB_NOTFOUND ? 0 : rc;
	if (recipients > before)
		recipients = before;
	count(account, place->time_ms, 0, recipients);
	if (recipients < before)
		return put_row(account, place, before - recipients);
	charge_key(&key, account->relay, place->time_ms, place->sequence);
	return pn_row_del(account->txn, account->store->state.dbi[S_CHARGES], pn_key_str(&key));
}

int
pn_charge_take(struct pn_store *store, MDB_txn *txn, const struct pn_place *place, uint64_t recipients)
{
	struct pn_account account;
	int rc = pn_account_open(&account, store, txn, place->relay);

	if (rc == 0)
		rc = pn_account_take(&account, place, recipients);
	return rc == 0 ? pn_account_save(&account) : rc;
}

int
pn_account_add(struct pn_account *account, struct pn_place *place, uint64_t recipients)
{
	uint64_t sequence = 0;
	int rc = pn_charges_make_room(account);

	if (rc == 0)
		rc = pn_sequence_next(account->store, account->txn, 1, &sequence);
	place->sequence |= sequence;
	if (rc == 0)
		rc = put_row(account, place, recipients);
	count(account, place->time_ms, recipients, 0);
	return rc;
}

int
pn_charge_add(struct pn_store *store, MDB_txn *txn, struct pn_place *place, uint64_t recipients)
{
	struct pn_account account;
	int rc = pn_account_open(&account, store, txn, place->relay);

	if (rc == 0)
		rc = pn_account_add(&account, place, recipients);
	return rc == 0 ? pn_account_save(&account) : rc;
}
