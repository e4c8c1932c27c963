/* The directory as its readers see it. */
#include "internal.h"

#include <stdlib.h>

static const enum pn_source sources[] = { PN_SOURCE_CONFIG, PN_SOURCE_SYNC };

struct pn_directory_view {
	struct pn_store *store;
	MDB_txn *txn;
	uint64_t generation;
	uint64_t fingerprint;
};

enum pn_status
pn_directory_open(struct pn_store *store, struct pn_directory_view **out, struct pn_error *err)
{
	struct pn_directory_view *view = calloc(1, sizeof(*view));
	int rc;

	if (view == NULL)
		pn_out_of_memory();
	view->store = store;
	rc = pn_env_begin(&store->directory, false, &view->txn);
	if (rc == 0) {
		rc = pn_generation_get(store, view->txn, &view->generation);
		if (rc == 0)
			rc = pn_fingerprint_get(store, view->txn, &view->fingerprint);
		if (rc != 0)
			pn_env_abort(&store->directory, view->txn);
	}
	if (rc != 0) {
		free(view);
		return pn_env_status(&store->directory, rc, err);
	}
	*out = view;
	return PN_OK;
}

void
pn_directory_close(struct pn_directory_view *view)
{
	if (view == NULL)
		return;
	pn_env_abort(&view->store->directory, view->txn);
	free(view);
}

uint64_t
pn_directory_generation(struct pn_directory_view *view)
{
	return view->generation;
}

uint64_t
pn_directory_configured(struct pn_directory_view *view)
{
	return view->fingerprint;
}

/* -- aliases ---------------------------------------------------------------------- */

struct source_ctx {
	struct pn_directory_view *view;
	struct pn_str gateway;
};

/* The alias with this full name: the one of the source that counts first.  A
 * record that cannot be read is as good as none. */
static int
find_full(const struct source_ctx *ctx, struct pn_str full, struct pn_alias *out, enum pn_source *source)
{
	MDB_dbi table = ctx->view->store->directory.dbi[D_ALIASES];

	for (size_t i = 0; i < PN_COUNT(sources); i++) {
		struct pn_str value;
		struct pn_key key;
		int rc;

		pn_alias_key(&key, sources[i], ctx->gateway, full);
		if (key.bad || full.n == 0)
			return MDB_NOTFOUND;
		rc = pn_row_get(ctx->view->txn, table, pn_key_str(&key), &value);
		if (rc != 0 && rc != MDB_NOTFOUND)
			return rc;
		if (rc == 0 && pn_alias_decode(value, out)) {
			out->full = full;
			*source = sources[i];
			return 0;
		}
	}
	return MDB_NOTFOUND;
}

static void
copy_alias(struct pn_arena *arena, struct pn_alias *alias)
{
	alias->full = pn_arena_dup(arena, alias->full);
	alias->local = pn_arena_dup(arena, alias->local);
	alias->model = pn_arena_dup(arena, alias->model);
	alias->parent_model = pn_arena_dup(arena, alias->parent_model);
}

static enum pn_status
to_status(int rc)
{
	return rc == 0 ? PN_OK : rc == MDB_NOTFOUND ? PN_NOT_FOUND : PN_TEMPFAIL;
}

static enum pn_status
by_full(void *ctx, struct pn_str address, struct pn_arena *arena, struct pn_aliases *out)
{
	enum pn_source source;
	struct pn_alias alias, *copy;
	int rc = find_full(ctx, address, &alias, &source);

	if (rc != 0)
		return to_status(rc);
	copy = PN_ARENA_NEW(arena, struct pn_alias);
	*copy = alias;
	copy_alias(arena, copy);
	*out = (struct pn_aliases){ copy, 1 };
	return PN_OK;
}

struct found {
	struct pn_alias *v;
	size_t n, cap;
};

/* Adds the aliases of one source with this local part, but for those that
 * another source overrides. */
static int
add_locals(const struct source_ctx *ctx, enum pn_source source, struct pn_str local, struct pn_arena *arena,
    MDB_cursor *cursor, struct found *found)
{
	struct pn_str at, unused;
	struct pn_key prefix;
	int rc;

	pn_local_key(&prefix, source, ctx->gateway, local, PN_STR_EMPTY);
	if (prefix.bad)
		return 0;
	at = pn_key_str(&prefix);
	rc = pn_row_seek(cursor, MDB_SET_RANGE, &at, &unused);
	while (rc == 0 && pn_str_starts(at, pn_key_str(&prefix))) {
		enum pn_source whose;
		struct pn_alias alias;

		rc = find_full(ctx, pn_str_from(at, prefix.n), &alias, &whose);
		if (rc == 0 && whose == source && alias.incoming_local && pn_str_eq(alias.local, local)) {
			found->v = pn_arena_grow(arena, found->v, found->n, &found->cap, found->n + 1,
			    sizeof(*found->v));
			copy_alias(arena, &alias);
			found->v[found->n++] = alias;
		}
		if (rc == 0 || rc == MDB_NOTFOUND)
			rc = pn_row_seek(cursor, MDB_NEXT, &at, &unused);
	}
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static enum pn_status
by_local(void *ctx, struct pn_str local, struct pn_arena *arena, struct pn_aliases *out)
{
	const struct source_ctx *source = ctx;
	struct pn_directory_view *view = source->view;
	struct found found = { NULL, 0, 0 };
	MDB_cursor *cursor;
	int rc;

	if (local.n == 0)
		return PN_NOT_FOUND;
	rc = mdb_cursor_open(view->txn, view->store->directory.dbi[D_LOCALS], &cursor);
	if (rc != 0)
		return to_status(rc);
	for (size_t i = 0; i < PN_COUNT(sources) && rc == 0; i++)
		rc = add_locals(source, sources[i], local, arena, cursor, &found);
	mdb_cursor_close(cursor);
	if (rc != 0 || found.n == 0)
		return rc != 0 ? to_status(rc) : PN_NOT_FOUND;
	*out = (struct pn_aliases){ found.v, found.n };
	return PN_OK;
}

struct pn_alias_source
pn_directory_aliases(struct pn_directory_view *view, struct pn_str gateway, struct pn_arena *arena)
{
	struct source_ctx *ctx = PN_ARENA_NEW(arena, struct source_ctx);

	*ctx = (struct source_ctx){ view, pn_arena_dup(arena, gateway) };
	return (struct pn_alias_source){ ctx, by_full, by_local };
}

enum pn_status
pn_directory_retired(struct pn_directory_view *view, struct pn_str gateway, struct pn_str address,
    struct pn_arena *arena, struct pn_retired *out, struct pn_error *err)
{
	int rc = pn_retired_find(view->store, view->txn, gateway, address, arena, out);

	return rc == MDB_NOTFOUND ? PN_NOT_FOUND : pn_env_status(&view->store->directory, rc, err);
}

int64_t
pn_directory_synced_at(struct pn_directory_view *view, struct pn_str gateway, enum pn_table table)
{
	int64_t time;

	return pn_synced_find(view->store, view->txn, gateway, table, &time) == 0 ? time : 0;
}

struct each {
	bool (*each)(void *ctx, const struct pn_alias_row *row, enum pn_source source);
	void *ctx;
	enum pn_source source;
	bool stopped;
};

static bool
each_row(void *ctx, struct pn_str key, struct pn_str value)
{
	struct each *each = ctx;
	struct pn_alias_row row;
	struct pn_str full;

	if (!pn_alias_decode(value, &row.alias) || !pn_key_split(pn_str_from(key, 1), &row.gateway, &full))
		return true;
	row.alias.full = full;
	each->stopped = !each->each(each->ctx, &row, each->source);
	return !each->stopped;
}

enum pn_status
pn_directory_each_alias(struct pn_store *store, struct pn_str gateway,
    bool (*each)(void *ctx, const struct pn_alias_row *row, enum pn_source source), void *ctx,
    struct pn_error *err)
{
	struct each walk = { .each = each, .ctx = ctx };
	struct pn_env *env = &store->directory;
	int rc = 0;

	for (size_t i = 0; i < PN_COUNT(sources) && rc == 0 && !walk.stopped; i++) {
		struct pn_key prefix;

		pn_key_init(&prefix);
		pn_key_add_byte(&prefix, (unsigned char)sources[i]);
		if (gateway.n > 0)
			pn_key_add_part(&prefix, gateway);
		if (prefix.bad)
			return PN_OK;	/* no gateway has such a name */
		walk.source = sources[i];
		rc = pn_env_walk(env, env->dbi[D_ALIASES], pn_key_str(&prefix), false, each_row, &walk);
	}
	return pn_env_status(env, rc, err);
}
