#include "internal.h"

#include <stdlib.h>

#define OR_DEFAULT(value, otherwise) ((value) != 0 ? (value) : (otherwise))
#define DAYS(n) ((uint64_t)(n) * 86400)
#define GIB(n) ((uint64_t)(n) << 30)

static const char *const directory_tables[] = {
	[D_META] = "meta",
	[D_ALIASES] = "aliases",
	[D_LOCALS] = "locals",
	[D_RETIRED] = "retired",
	[D_GATEWAYS] = "gateways",
};

static const char *const state_tables[] = {
	[S_META] = "meta",
	[S_THREADS] = "threads",
	[S_LEASES] = "leases",
	[S_WINDOWS] = "windows",
	[S_INDEX] = "index",
	[S_BOUNCES] = "bounces",
	[S_COUNTERS] = "counters",
	[S_CHARGES] = "charges",
	[S_RELAYS] = "relays",
	[S_TRACES] = "traces",
};

/* Times are counted with signs: a lifetime without end must not overflow them. */
#define LIFETIME_MAX ((uint64_t)1 << 48)

static uint64_t
at_most(uint64_t value, uint64_t most)
{
	return value < most ? value : most;
}

static void
set_options(struct pn_store *store, const struct pn_store_options *options)
{
	struct pn_store_options *o = &store->options;

	*o = *options;
	o->path = NULL;
	o->directory_map_size = OR_DEFAULT(o->directory_map_size, GIB(16));
	o->state_map_size = OR_DEFAULT(o->state_map_size, GIB(16));
	o->thread_lifetime = at_most(OR_DEFAULT(o->thread_lifetime, DAYS(400)), LIFETIME_MAX);
	o->bounce_lifetime = at_most(OR_DEFAULT(o->bounce_lifetime, DAYS(90)), LIFETIME_MAX);
	o->thread_limit = OR_DEFAULT(o->thread_limit, 10000000);
	o->window_limit = OR_DEFAULT(o->window_limit, 1000000);
	o->bounce_limit = OR_DEFAULT(o->bounce_limit, 1000000);
	o->charge_limit = OR_DEFAULT(o->charge_limit, 2000000);
	o->clock_step = at_most(OR_DEFAULT(o->clock_step, 10), LIFETIME_MAX);
}

static enum pn_status
open_environments(struct pn_store *store, const char *path, struct pn_error *err)
{
	struct pn_env_options directory = {
		.parent = path, .name = "directory", .kind = 'd', .version = 1,
		.map_size = store->options.directory_map_size,
		.read_only = store->options.read_only,
		.tables = directory_tables, .table_count = PN_COUNT(directory_tables),
		.full_remedy = "raise directory_map_size",
	};
	/* No fsync per mail: pn_store_sync() does it once a second. */
	struct pn_env_options state = {
		.parent = path, .name = "state", .kind = 's', .version = 2,
		.map_size = store->options.state_map_size,
		.flags = store->options.read_only ? 0 : MDB_NOSYNC,
		.read_only = store->options.read_only,
		.tables = state_tables, .table_count = PN_COUNT(state_tables),
		.full_remedy = "raise state_map_size, or lower the limits and lifetimes of state",
	};
	enum pn_status st = pn_env_open(&store->directory, &directory, err);

	return st == PN_OK ? pn_env_open(&store->state, &state, err) : st;
}

enum pn_status
pn_store_open(const struct pn_store_options *options, struct pn_store **out, struct pn_error *err)
{
	struct pn_store *store = calloc(1, sizeof(*store));
	enum pn_status st;

	if (store == NULL)
		pn_out_of_memory();
	set_options(store, options);
	store->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (store->sha256 == NULL)
		st = pn_fail(err, PN_TEMPFAIL, "OpenSSL offers no SHA256");
	else
		st = open_environments(store, options->path, err);
	if (st != PN_OK) {
		pn_store_close(store);
		return st;
	}
	*out = store;
	return PN_OK;
}

void
pn_store_close(struct pn_store *store)
{
	if (store == NULL)
		return;
	if (store->state.mdb != NULL && !store->options.read_only)
		(void)mdb_env_sync(store->state.mdb, 1);
	pn_env_close(&store->state);
	pn_env_close(&store->directory);
	EVP_MD_free(store->sha256);
	free(store);
}

enum pn_status
pn_store_sync(struct pn_store *store, struct pn_error *err)
{
	int rc;

	if (store->options.read_only)
		return PN_OK;
	(void)pthread_rwlock_rdlock(&store->state.lock);
	rc = mdb_env_sync(store->state.mdb, 1);
	(void)pthread_rwlock_unlock(&store->state.lock);
	return pn_env_status(&store->state, rc, err);
}

/* -- usage -- */

struct usage {
	struct pn_store *store;
	struct pn_store_usage *out;
};

static int
count_directory(MDB_txn *txn, void *ctx)
{
	struct usage *usage = ctx;
	const MDB_dbi *dbi = usage->store->directory.dbi;

	usage->out->aliases = pn_row_count(txn, dbi[D_ALIASES]);
	usage->out->retired = pn_row_count(txn, dbi[D_RETIRED]);
	return pn_generation_get(usage->store, txn, &usage->out->generation);
}

static int
count_state(MDB_txn *txn, void *ctx)
{
	struct usage *usage = ctx;
	const MDB_dbi *dbi = usage->store->state.dbi;
	int rc;

	usage->out->threads = pn_row_count(txn, dbi[S_THREADS]);
	usage->out->windows = pn_row_count(txn, dbi[S_WINDOWS]);
	usage->out->bounces = pn_row_count(txn, dbi[S_BOUNCES]);
	usage->out->charges = pn_row_count(txn, dbi[S_CHARGES]);
	rc = pn_record_count_held(usage->store, txn, &usage->out->leases);
	usage->out->leases += pn_row_count(txn, dbi[S_LEASES]);
	return rc;
}

enum pn_status
pn_store_usage(struct pn_store *store, struct pn_store_usage *out, struct pn_error *err)
{
	struct pn_store_usage result = { .generation = 0 };
	struct usage usage = { store, &result };
	struct pn_env_size directory, state;
	int rc = pn_env_read(&store->directory, count_directory, &usage);

	if (rc == 0)
		rc = pn_env_size(&store->directory, &directory);
	if (rc != 0)
		return pn_env_status(&store->directory, rc, err);
	rc = pn_env_read(&store->state, count_state, &usage);
	if (rc == 0)
		rc = pn_env_size(&store->state, &state);
	if (rc != 0)
		return pn_env_status(&store->state, rc, err);
	result.directory_bytes = directory.used;
	result.directory_map = directory.map;
	result.state_bytes = state.used;
	result.state_map = state.map;
	*out = result;
	return PN_OK;
}

/* -- what the other files share -- */

enum pn_status
pn_gateway_check(struct pn_str gateway, struct pn_error *err)
{
	if (gateway.n == 0 || gateway.n > PN_GATEWAY_MAX || pn_str_find(gateway, '\0') != PN_STR_NONE)
		return pn_fail(err, PN_INVALID, "a gateway's name has 1 to %d bytes: \"" PN_STR_FMT "\"",
		    PN_GATEWAY_MAX, PN_STR_ARG(pn_str_head(gateway, 64)));
	return PN_OK;
}

enum pn_status
pn_directory_write(struct pn_store *store, pn_txn_fn *fn, void *ctx, struct pn_error *err)
{
	return pn_env_status(&store->directory, pn_env_write(&store->directory, fn, ctx), err);
}

int
pn_number_get(MDB_txn *txn, MDB_dbi dbi, struct pn_str key, uint64_t *out)
{
	struct pn_str value;
	int rc = pn_row_get(txn, dbi, key, &value);

	*out = 0;
	if (rc == MDB_NOTFOUND || (rc == 0 && !pn_u64_decode(value, out)))
		return 0;
	return rc;
}

int
pn_number_put(MDB_txn *txn, MDB_dbi dbi, struct pn_str key, uint64_t number)
{
	char bytes[PN_U64_BYTES];

	pn_u64_put(bytes, number);
	return pn_row_put(txn, dbi, key, pn_str_n(bytes, sizeof(bytes)));
}

int
pn_generation_get(struct pn_store *store, MDB_txn *txn, uint64_t *out)
{
	return pn_number_get(txn, store->directory.dbi[D_META], PN_STR("generation"), out);
}

int
pn_generation_grow(struct pn_store *store, MDB_txn *txn)
{
	uint64_t generation;
	int rc = pn_generation_get(store, txn, &generation);

	if (rc != 0)
		return rc;
	return pn_number_put(txn, store->directory.dbi[D_META], PN_STR("generation"), generation + 1);
}

/* -- whose rows these are -- */

struct fingerprint {
	struct pn_store *store;
	uint64_t value;
};

int
pn_fingerprint_get(struct pn_store *store, MDB_txn *txn, uint64_t *out)
{
	return pn_number_get(txn, store->directory.dbi[D_META], PN_STR("fingerprint"), out);
}

static int
set_fingerprint(MDB_txn *txn, void *ctx)
{
	struct fingerprint *f = ctx;
	uint64_t before;
	int rc = pn_fingerprint_get(f->store, txn, &before);

	if (rc != 0 || before == f->value)
		return rc != 0 ? rc : PN_TXN_UNCHANGED;
	return pn_number_put(txn, f->store->directory.dbi[D_META], PN_STR("fingerprint"), f->value);
}

enum pn_status
pn_directory_set_fingerprint(struct pn_store *store, uint64_t fingerprint, struct pn_error *err)
{
	struct fingerprint f = { store, fingerprint };

	return pn_directory_write(store, set_fingerprint, &f, err);
}

int
pn_sequence_next(struct pn_store *store, MDB_txn *txn, uint64_t n, uint64_t *first)
{
	uint64_t last;
	int rc = pn_number_get(txn, store->state.names, PN_STR("sequence"), &last);

	if (rc != 0)
		return rc;
	*first = last + 1;
	return pn_number_put(txn, store->state.names, PN_STR("sequence"), last + n);
}

enum pn_status
pn_state_write(struct pn_store *store, int64_t now, pn_txn_fn *fn, void *ctx, struct pn_error *err)
{
	enum { SWEEP_AT_ONCE = 1000 };
	size_t removed;
	int rc;

	for (int tries = 0;; tries++) {
		rc = pn_env_room(&store->state);
		if (rc == 0)
			rc = pn_env_write(&store->state, fn, ctx);
		if (!pn_env_is_full(rc) || tries == 1)
			return pn_env_status(&store->state, rc, err);
		if (pn_sweep_run(store, now, false, SWEEP_AT_ONCE, &removed) != 0 || removed == 0)
			return pn_env_status(&store->state, rc, err);
	}
}
