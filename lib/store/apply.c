/* The table of aliases, replaced by difference. */
#include "internal.h"

#include <stdlib.h>

#include "postern/clock.h"

/* One difference.  row NULL: removed; old.n == 0: added; both: changed. */
struct op {
	const struct pn_alias_row *row;
	struct pn_str gateway, full;
	struct pn_str old;		/* the record that was there */
};

struct apply {
	struct pn_store *store;
	enum pn_source source;
	struct pn_str gateway;
	const struct pn_alias_row **rows;	/* in order of their keys */
	size_t n;
	struct pn_arena *arena;
	struct pn_buf buf;
	struct op *ops;
	size_t op_count, op_cap;
	const struct pn_alias_row **by_id;	/* NULL until somebody asks */
	struct pn_directory_changes changes;
};

/* -- the rows handed in --------------------------------------------------------- */

static enum pn_status
check_row(const struct pn_alias_row *row, enum pn_source source, struct pn_str gateway, struct pn_error *err)
{
	const struct pn_alias *alias = &row->alias;
	struct pn_key key, local;
	enum pn_status st = pn_gateway_check(row->gateway, err);

	if (st != PN_OK)
		return st;
	if (gateway.n > 0 && !pn_str_eq(row->gateway, gateway))
		return pn_fail(err, PN_INVALID, "alias \"" PN_STR_FMT "\" is of gateway " PN_STR_FMT ", not "
		    PN_STR_FMT, PN_STR_ARG(pn_str_head(alias->full, 64)), PN_STR_ARG(row->gateway),
		    PN_STR_ARG(gateway));
	pn_alias_key(&key, source, row->gateway, alias->full);
	pn_local_key(&local, source, row->gateway, alias->local, alias->full);
	if (alias->full.n == 0 || key.bad || local.bad || alias->local.n > PN_TEXT_MAX
	    || alias->model.n > PN_TEXT_MAX || alias->parent_model.n > PN_TEXT_MAX
	    || (unsigned)alias->contact > PN_CONTACT_EMPLOYEES)
		return pn_fail(err, PN_INVALID, "alias \"" PN_STR_FMT "\": empty, too long, or holds a NUL",
		    PN_STR_ARG(pn_str_head(alias->full, 64)));
	return PN_OK;
}

static int
compare_rows(const void *a, const void *b)
{
	const struct pn_alias_row *x = *(const struct pn_alias_row *const *)a;
	const struct pn_alias_row *y = *(const struct pn_alias_row *const *)b;
	int order = pn_str_cmp(x->gateway, y->gateway);

	return order != 0 ? order : pn_str_cmp(x->alias.full, y->alias.full);
}

static enum pn_status
sort_rows(struct apply *apply, const struct pn_alias_row *rows, struct pn_error *err)
{
	enum pn_status st = PN_OK;
	bool sorted = true;

	apply->rows = PN_ARENA_ARRAY(apply->arena, const struct pn_alias_row *, apply->n);
	for (size_t i = 0; i < apply->n && st == PN_OK; i++) {
		apply->rows[i] = &rows[i];
		st = check_row(&rows[i], apply->source, apply->gateway, err);
		sorted = sorted && (i == 0 || compare_rows(&apply->rows[i - 1], &apply->rows[i]) < 0);
	}
	if (st != PN_OK || sorted)
		return st;
	qsort(apply->rows, apply->n, sizeof(*apply->rows), compare_rows);
	for (size_t i = 1; i < apply->n; i++)
		if (compare_rows(&apply->rows[i - 1], &apply->rows[i]) == 0)
			return pn_fail(err, PN_INVALID,
			    "two aliases \"" PN_STR_FMT "\" in gateway " PN_STR_FMT,
			    PN_STR_ARG(apply->rows[i]->alias.full), PN_STR_ARG(apply->rows[i]->gateway));
	return PN_OK;
}

/* -- the difference --------------------------------------------------------------- */

static struct op *
new_op(struct apply *apply)
{
	apply->ops = pn_arena_grow(apply->arena, apply->ops, apply->op_count, &apply->op_cap,
	    apply->op_count + 1, sizeof(*apply->ops));
	return &apply->ops[apply->op_count++];
}

static void
note_added(struct apply *apply, const struct pn_alias_row *row)
{
	struct op *op = new_op(apply);

	*op = (struct op){ row, row->gateway, row->alias.full, PN_STR_EMPTY };
	apply->changes.added++;
}

static void
note_removed(struct apply *apply, struct pn_str key, struct pn_str value)
{
	struct op *op = new_op(apply);

	*op = (struct op){ .old = pn_arena_dup(apply->arena, value) };
	key = pn_arena_dup(apply->arena, pn_str_from(key, 1));
	if (!pn_key_split(key, &op->gateway, &op->full))
		op->full = PN_STR_EMPTY;
	apply->changes.removed++;
}

static void
note_if_changed(struct apply *apply, const struct pn_alias_row *row, struct pn_str value)
{
	struct op *op;

	pn_buf_reset(&apply->buf);
	pn_alias_encode(&apply->buf, &row->alias);
	if (pn_str_eq(pn_buf_str(&apply->buf), value))
		return;
	op = new_op(apply);
	*op = (struct op){ row, row->gateway, row->alias.full, pn_arena_dup(apply->arena, value) };
	apply->changes.changed++;
}

/* Both sides in order of keys, side by side. */
static int
compare_tables(struct apply *apply, MDB_cursor *cursor)
{
	struct pn_str key, value;
	struct pn_key prefix, row;
	size_t i = 0;
	int rc;

	pn_key_init(&prefix);
	pn_key_add_byte(&prefix, (unsigned char)apply->source);
	if (apply->gateway.n > 0)
		pn_key_add_part(&prefix, apply->gateway);
	key = pn_key_str(&prefix);
	rc = pn_row_seek(cursor, MDB_SET_RANGE, &key, &value);
	while (rc == 0 && pn_str_starts(key, pn_key_str(&prefix))) {
		int order = -1;

		if (i < apply->n) {
			pn_alias_key(&row, apply->source, apply->rows[i]->gateway,
			    apply->rows[i]->alias.full);
			order = pn_str_cmp(key, pn_key_str(&row));
		}
		if (order > 0) {
			note_added(apply, apply->rows[i++]);
			continue;
		}
		if (order == 0)
			note_if_changed(apply, apply->rows[i++], value);
		else
			note_removed(apply, key, value);
		rc = pn_row_seek(cursor, MDB_NEXT, &key, &value);
	}
	while (i < apply->n)
		note_added(apply, apply->rows[i++]);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* -- writing it -------------------------------------------------------------------- */

static int
drop_local(struct apply *apply, MDB_txn *txn, const struct op *op)
{
	struct pn_alias old;
	struct pn_key key;

	if (op->old.n == 0 || !pn_alias_decode(op->old, &old) || !old.incoming_local)
		return 0;
	pn_local_key(&key, apply->source, op->gateway, old.local, op->full);
	return pn_row_del(txn, apply->store->directory.dbi[D_LOCALS], pn_key_str(&key));
}

static int
put_alias(struct apply *apply, MDB_txn *txn, const struct op *op)
{
	const MDB_dbi *dbi = apply->store->directory.dbi;
	const struct pn_alias *alias = &op->row->alias;
	bool changed;
	struct pn_key key;
	int rc;

	pn_buf_reset(&apply->buf);
	pn_alias_encode(&apply->buf, alias);
	pn_alias_key(&key, apply->source, op->gateway, op->full);
	rc = pn_row_put(txn, dbi[D_ALIASES], pn_key_str(&key), pn_buf_str(&apply->buf));
	if (rc == 0 && alias->incoming_local) {
		pn_local_key(&key, apply->source, op->gateway, alias->local, op->full);
		rc = pn_row_put(txn, dbi[D_LOCALS], pn_key_str(&key), PN_STR_EMPTY);
	}
	return rc == 0 ? pn_retire_end(apply->store, txn, op->gateway, op->full, &changed) : rc;
}

static int
write_op(struct apply *apply, MDB_txn *txn, const struct op *op)
{
	struct pn_key key;
	int rc = drop_local(apply, txn, op);

	if (rc != 0)
		return rc;
	if (op->row != NULL)
		return put_alias(apply, txn, op);
	pn_alias_key(&key, apply->source, op->gateway, op->full);
	return pn_row_del(txn, apply->store->directory.dbi[D_ALIASES], pn_key_str(&key));
}

/* -- renames ------------------------------------------------------------------------ */

static int
compare_ids(const void *a, const void *b)
{
	const struct pn_alias_row *x = *(const struct pn_alias_row *const *)a;
	const struct pn_alias_row *y = *(const struct pn_alias_row *const *)b;

	if (x->alias.id != y->alias.id)
		return x->alias.id < y->alias.id ? -1 : 1;
	return pn_str_cmp(x->gateway, y->gateway);
}

static const struct pn_alias_row *
find_id(struct apply *apply, struct pn_str gateway, uint64_t id)
{
	const struct pn_alias_row wanted = { .gateway = gateway, .alias.id = id }, *key = &wanted, **found;

	if (apply->n == 0)
		return NULL;
	if (apply->by_id == NULL) {
		apply->by_id = PN_ARENA_ARRAY(apply->arena, const struct pn_alias_row *, apply->n);
		memcpy(apply->by_id, apply->rows, apply->n * sizeof(*apply->rows));
		qsort(apply->by_id, apply->n, sizeof(*apply->by_id), compare_ids);
	}
	found = bsearch(&key, apply->by_id, apply->n, sizeof(*apply->by_id), compare_ids);
	return found == NULL ? NULL : *found;
}

/* An alias that is gone under this address and there under another was renamed. */
static int
retire_if_renamed(struct apply *apply, MDB_txn *txn, const struct op *op)
{
	const struct pn_alias_row *now;
	struct pn_retired row;
	struct pn_alias old;
	bool changed;

	if (op->row != NULL || !pn_alias_decode(op->old, &old) || old.id == 0)
		return 0;
	now = find_id(apply, op->gateway, old.id);
	if (now == NULL || pn_str_find(op->full, '@') == PN_STR_NONE
	    || pn_str_find(now->alias.full, '@') == PN_STR_NONE)
		return 0;
	row = (struct pn_retired){ op->gateway, pn_arena_lower(apply->arena, op->full),
	    pn_arena_lower(apply->arena, now->alias.full), pn_clock_now() };
	return pn_retire(apply->store, txn, &row, &changed);
}

/* -- all of it ----------------------------------------------------------------------- */

static int
apply_txn(MDB_txn *txn, void *ctx)
{
	struct apply *apply = ctx;
	MDB_cursor *cursor;
	int rc;

	apply->op_count = 0;
	apply->changes = (struct pn_directory_changes){ 0, 0, 0 };
	rc = mdb_cursor_open(txn, apply->store->directory.dbi[D_ALIASES], &cursor);
	if (rc != 0)
		return rc;
	rc = compare_tables(apply, cursor);
	mdb_cursor_close(cursor);
	if (rc != 0 || apply->op_count == 0)
		return rc != 0 ? rc : PN_TXN_UNCHANGED;
	for (size_t i = 0; i < apply->op_count && rc == 0; i++)
		rc = write_op(apply, txn, &apply->ops[i]);
	/* Only now is it known which addresses are in use. */
	for (size_t i = 0; i < apply->op_count && rc == 0; i++)
		rc = retire_if_renamed(apply, txn, &apply->ops[i]);
	return rc == 0 ? pn_generation_grow(apply->store, txn) : rc;
}

enum pn_status
pn_directory_apply(struct pn_store *store, enum pn_source source, struct pn_str gateway,
    const struct pn_alias_row *rows, size_t n, struct pn_directory_changes *changes, struct pn_error *err)
{
	struct apply apply = { .store = store, .source = source, .gateway = gateway, .n = n };
	enum pn_status st = gateway.n == 0 ? PN_OK : pn_gateway_check(gateway, err);

	if (st != PN_OK)
		return st;
	apply.arena = pn_arena_new(SIZE_MAX);
	pn_buf_init(&apply.buf, PN_RECORD_MAX);
	st = sort_rows(&apply, rows, err);
	if (st == PN_OK)
		st = pn_directory_write(store, apply_txn, &apply, err);
	if (st == PN_OK && changes != NULL)
		*changes = apply.changes;
	pn_buf_done(&apply.buf);
	pn_arena_free(apply.arena);
	return st;
}
