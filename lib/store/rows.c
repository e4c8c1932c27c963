/* Rows of a table as borrowed bytes, and walks over many of them. */
#include "env.h"

#include "postern/arena.h"

enum { PAGE_ROWS = 256, PAGE_BYTES = 256 * 1024 };

/* LMDB's keys and values are not const, though it only reads them. */
static MDB_val
to_val(struct pn_str s)
{
	return (MDB_val){ s.n, (void *)(uintptr_t)s.p };
}

int
pn_row_get(MDB_txn *txn, MDB_dbi dbi, struct pn_str key, struct pn_str *value)
{
	MDB_val k = to_val(key), v;
	int rc = mdb_get(txn, dbi, &k, &v);

	if (rc == 0)
		*value = pn_str_n(v.mv_data, v.mv_size);
	return rc;
}

int
pn_row_put(MDB_txn *txn, MDB_dbi dbi, struct pn_str key, struct pn_str value)
{
	MDB_val k = to_val(key), v = to_val(value);

	return mdb_put(txn, dbi, &k, &v, 0);
}

int
pn_row_del(MDB_txn *txn, MDB_dbi dbi, struct pn_str key)
{
	MDB_val k = to_val(key);
	int rc = mdb_del(txn, dbi, &k, NULL);

	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* *key is where MDB_SET_RANGE starts, and what was found. */
int
pn_row_seek(MDB_cursor *cursor, MDB_cursor_op op, struct pn_str *key, struct pn_str *value)
{
	MDB_val k = to_val(*key), v;
	int rc = mdb_cursor_get(cursor, &k, &v, op);

	if (rc == 0) {
		*key = pn_str_n(k.mv_data, k.mv_size);
		*value = pn_str_n(v.mv_data, v.mv_size);
	}
	return rc;
}

uint64_t
pn_row_count(MDB_txn *txn, MDB_dbi dbi)
{
	MDB_stat stat;

	return mdb_stat(txn, dbi, &stat) == 0 ? stat.ms_entries : 0;
}

struct row {
	struct pn_str key, value;
};

struct page {
	MDB_dbi dbi;
	struct pn_str prefix;
	bool backwards;
	bool started;
	char last[512];		/* the last key handed over; LMDB's are not longer */
	size_t last_n;
	struct pn_arena *arena;
	struct row rows[PAGE_ROWS];
	size_t n;
};

/* To the first row of the page: beyond `last`, or where the prefix begins. */
static int
seek_first(MDB_cursor *cursor, const struct page *page, struct row *row)
{
	struct pn_str from = page->started ? pn_str_n(page->last, page->last_n) : page->prefix;
	int rc;

	row->key = from;
	if (page->backwards) {
		if (!page->started)
			return pn_row_seek(cursor, MDB_LAST, &row->key, &row->value);
		rc = pn_row_seek(cursor, MDB_SET_RANGE, &row->key, &row->value);
		return pn_row_seek(cursor, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV, &row->key, &row->value);
	}
	if (from.n == 0)
		return pn_row_seek(cursor, MDB_FIRST, &row->key, &row->value);
	rc = pn_row_seek(cursor, MDB_SET_RANGE, &row->key, &row->value);
	if (rc == 0 && page->started && pn_str_eq(row->key, from))
		rc = pn_row_seek(cursor, MDB_NEXT, &row->key, &row->value);
	return rc;
}

static int
read_page(MDB_txn *txn, void *ctx)
{
	struct page *page = ctx;
	size_t bytes = 0;
	struct row row;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, page->dbi, &cursor);

	page->n = 0;
	if (rc != 0)
		return rc;
	rc = seek_first(cursor, page, &row);
	while (rc == 0 && page->n < PAGE_ROWS && bytes < PAGE_BYTES && pn_str_starts(row.key, page->prefix)) {
		page->rows[page->n].key = pn_arena_dup(page->arena, row.key);
		page->rows[page->n++].value = pn_arena_dup(page->arena, row.value);
		bytes += row.key.n + row.value.n;
		rc = pn_row_seek(cursor, page->backwards ? MDB_PREV : MDB_NEXT, &row.key, &row.value);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static bool
hand_over(const struct page *page, pn_row_fn *fn, void *ctx)
{
	for (size_t i = 0; i < page->n; i++)
		if (!fn(ctx, page->rows[i].key, page->rows[i].value))
			return false;
	return page->n > 0;
}

int
pn_env_walk(struct pn_env *env, MDB_dbi dbi, struct pn_str prefix, bool backwards,
    pn_row_fn *fn, void *ctx)
{
	struct page page = { .dbi = dbi, .prefix = prefix, .backwards = backwards };
	int rc;

	page.arena = pn_arena_new(SIZE_MAX);
	do {
		pn_arena_reset(page.arena);
		rc = pn_env_read(env, read_page, &page);
		if (rc == 0 && page.n > 0) {
			struct pn_str last = pn_str_head(page.rows[page.n - 1].key, sizeof(page.last));

			memcpy(page.last, last.p, last.n);
			page.last_n = last.n;
			page.started = true;
		}
	} while (rc == 0 && hand_over(&page, fn, ctx));
	pn_arena_free(page.arena);
	return rc;
}
