/* What is noted of a gateway beside its aliases: when its tables were right,
 * and which addresses its domains used. */
#include "internal.h"

/* -- when a table was synced -- */

static void
synced_key(struct pn_key *key, struct pn_str gateway, enum pn_table table)
{
	pn_key_init(key);
	pn_key_add_byte(key, 'S');
	pn_key_add_byte(key, (unsigned char)table);
	pn_key_add_part(key, gateway);
}

struct synced {
	struct pn_store *store;
	struct pn_key key;
	int64_t now;
};

static int
synced_txn(MDB_txn *txn, void *ctx)
{
	const struct synced *synced = ctx;
	char bytes[PN_U64_BYTES];

	pn_u64_put(bytes, (uint64_t)synced->now);
	return pn_row_put(txn, synced->store->directory.dbi[D_GATEWAYS], pn_key_str(&synced->key),
	    pn_str_n(bytes, sizeof(bytes)));
}

enum pn_status
pn_directory_synced(struct pn_store *store, struct pn_str gateway, enum pn_table table, int64_t now,
    struct pn_error *err)
{
	struct synced synced = { .store = store, .now = now };
	enum pn_status st = pn_gateway_check(gateway, err);

	if (st != PN_OK)
		return st;
	synced_key(&synced.key, gateway, table);
	return pn_directory_write(store, synced_txn, &synced, err);
}

int
pn_synced_find(struct pn_store *store, MDB_txn *txn, struct pn_str gateway, enum pn_table table, int64_t *out)
{
	struct pn_str value;
	struct pn_key key;
	uint64_t time = 0;
	int rc;

	*out = 0;
	synced_key(&key, gateway, table);
	if (key.bad)
		return MDB_NOTFOUND;
	rc = pn_row_get(txn, store->directory.dbi[D_GATEWAYS], pn_key_str(&key), &value);
	if (rc == 0 && pn_u64_decode(value, &time))
		*out = (int64_t)time;
	return rc;
}

/* -- the addresses of a domain -- */

struct remember {
	struct pn_store *store;
	struct pn_str gateway;
	struct pn_key key;
	struct pn_domain_note now;
	int64_t time;
};

/* *same when the note says already what it should. */
static int
compare_note(MDB_txn *txn, const struct remember *r, struct pn_domain_note *before, bool *same)
{
	struct pn_str value;
	int rc = pn_row_get(txn, r->store->directory.dbi[D_GATEWAYS], pn_key_str(&r->key), &value);

	*before = (struct pn_domain_note){ PN_STR_EMPTY, PN_STR_EMPTY };
	*same = false;
	if (rc == MDB_NOTFOUND || (rc == 0 && !pn_domain_note_decode(value, before)))
		return 0;
	*same = rc == 0 && pn_str_eq(before->bounce, r->now.bounce) && pn_str_eq(before->catchall,
	    r->now.catchall);
	return rc;
}

static int
look_txn(MDB_txn *txn, void *ctx)
{
	struct pn_domain_note before;
	bool same;
	int rc = compare_note(txn, ctx, &before, &same);

	return rc == 0 && !same ? MDB_NOTFOUND : rc;
}

static int
replace_address(struct remember *r, MDB_txn *txn, struct pn_str before, struct pn_str now, bool *changed)
{
	struct pn_retired row = { r->gateway, before, now, r->time };
	int rc = 0;

	if (now.n > 0)
		rc = pn_retire_end(r->store, txn, r->gateway, now, changed);
	if (rc != 0 || before.n == 0 || now.n == 0 || pn_str_eq(before, r->now.bounce)
	    || pn_str_eq(before, r->now.catchall))
		return rc;
	return pn_retire(r->store, txn, &row, changed);
}

static int
remember_txn(MDB_txn *txn, void *ctx)
{
	struct remember *r = ctx;
	struct pn_domain_note before;
	struct pn_arena *arena;
	struct pn_buf buf;
	bool same, changed = false;
	int rc = compare_note(txn, r, &before, &same);

	if (rc != 0 || same)
		return rc != 0 ? rc : PN_TXN_UNCHANGED;
	arena = pn_arena_new(SIZE_MAX);
	before.bounce = pn_arena_dup(arena, before.bounce);	/* writing moves the page it is in */
	before.catchall = pn_arena_dup(arena, before.catchall);
	pn_buf_init(&buf, PN_RECORD_MAX);
	pn_domain_note_encode(&buf, &r->now);
	rc = pn_row_put(txn, r->store->directory.dbi[D_GATEWAYS], pn_key_str(&r->key), pn_buf_str(&buf));
	if (rc == 0)
		rc = replace_address(r, txn, before.bounce, r->now.bounce, &changed);
	if (rc == 0)
		rc = replace_address(r, txn, before.catchall, r->now.catchall, &changed);
	if (rc == 0 && changed)
		rc = pn_generation_grow(r->store, txn);
	pn_buf_done(&buf);
	pn_arena_free(arena);
	return rc;
}

static enum pn_status
check_remember(const struct remember *r, struct pn_error *err)
{
	enum pn_status st = pn_gateway_check(r->gateway, err);

	if (st != PN_OK)
		return st;
	if (r->key.bad || r->now.bounce.n > PN_TEXT_MAX / 2 || r->now.catchall.n > PN_TEXT_MAX / 2)
		return pn_fail(err, PN_INVALID,
		    "gateway " PN_STR_FMT ": a domain or its addresses are too long",
		    PN_STR_ARG(r->gateway));
	return PN_OK;
}

enum pn_status
pn_directory_remember_domain(struct pn_store *store, struct pn_str gateway, struct pn_str domain,
    struct pn_str bounce, struct pn_str catchall, int64_t now, struct pn_error *err)
{
	struct remember r = { .store = store, .gateway = gateway, .time = now };
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	enum pn_status st;
	int rc;

	r.now = (struct pn_domain_note){ pn_arena_lower(arena, bounce), pn_arena_lower(arena, catchall) };
	pn_key_init(&r.key);
	pn_key_add_byte(&r.key, 'D');
	pn_key_add_part(&r.key, gateway);
	pn_key_add_lower(&r.key, domain);
	st = check_remember(&r, err);
	if (st == PN_OK) {
		/* Asked at each start: mostly nothing changed, then nobody waits for the disk. */
		rc = pn_env_read(&store->directory, look_txn, &r);
		if (rc == MDB_NOTFOUND)
			st = pn_directory_write(store, remember_txn, &r, err);
		else
			st = pn_env_status(&store->directory, rc, err);
	}
	pn_arena_free(arena);
	return st;
}
