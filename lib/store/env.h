/* env.h - one LMDB environment: opening, transactions, what its errors mean.
 *
 * Within lib/store, calls return LMDB's codes (0, MDB_*, errno) and
 * pn_env_status() turns the last one into a status with a text.  No
 * transaction outlives the call that began it, but for a directory view and a group.
 *
 * A process may have a path open once only (LMDB's locks are the process's,
 * and the first close would drop them), and an environment is useless after
 * fork().
 *
 * Thread-safe after pn_env_open().
 */
#ifndef POSTERN_STORE_ENV_H
#define POSTERN_STORE_ENV_H

#include <lmdb.h>
#include <pthread.h>

#include "postern/error.h"

enum { PN_ENV_TABLES = 12 };

/* Several calls in one transaction, of a program with one thread. */
struct pn_env_group {
	bool open;
	bool writes;
	int rc;				/* the first failure: it comes to nothing */
	MDB_txn *txn;			/* NULL: not needed yet */
};

struct pn_env {
	MDB_env *mdb;
	pthread_rwlock_t lock;		/* shared by transactions; alone for mapping the file anew */
	char *path;
	const char *full_remedy;	/* what to do when the map is full */
	MDB_dbi dbi[PN_ENV_TABLES];
	MDB_dbi names;			/* LMDB's table of tables: written by every transaction anyway */
	uint64_t map_size;
	bool read_only;
	struct pn_env_group group;
};

struct pn_env_options {
	const char *parent, *name;	/* the folder is parent/name */
	uint64_t map_size;		/* bytes */
	unsigned flags;			/* of mdb_env_open, beyond MDB_NOTLS */
	bool read_only;
	char kind;			/* letter in the schema record: which environment */
	char version;			/* number in it: the shape of its tables and records */
	const char *const *tables;	/* table 0 holds the schema record */
	size_t table_count;
	const char *full_remedy;
};

PN_CHECK enum pn_status pn_env_open(struct pn_env *env, const struct pn_env_options *options,
    struct pn_error *err);
void pn_env_close(struct pn_env *env);	/* one that was not opened (all zero) is fine */

/* Begins a transaction: to read, or to write (waits for the other writers of
 * all processes).  A map grown by another process and full reader slots are
 * dealt with here. */
int pn_env_begin(struct pn_env *env, bool write, MDB_txn **out);
int pn_env_commit(struct pn_env *env, MDB_txn *txn);
void pn_env_abort(struct pn_env *env, MDB_txn *txn);

/* What a function in a transaction returns to have nothing written, though it
 * went well: saves the commit. */
#define PN_TXN_UNCHANGED 1000001

/* Runs one function in a transaction and ends it.  May be called again with
 * the same ctx after a failure: it starts from nothing each time. */
typedef int pn_txn_fn(MDB_txn *txn, void *ctx);
int pn_env_write(struct pn_env *env, pn_txn_fn *fn, void *ctx);
int pn_env_read(struct pn_env *env, pn_txn_fn *fn, void *ctx);

/* From begin to end both run their functions in one transaction, which is begun when
 * it is needed and becomes one that writes when that is.  The first failure is that
 * of the group (MDB_NOTFOUND of a look is none).  keep: commit it. */
void pn_env_group_begin(struct pn_env *env);
int pn_env_group_end(struct pn_env *env, bool keep);
/* For what takes long: 0, or in a group its failure. */
int pn_env_alone(struct pn_env *env);
/* What the two above do while a group is open. */
int pn_env_group_run(struct pn_env *env, bool write, pn_txn_fn *fn, void *ctx);

/* Map full, disk full, quota or file size limit reached. */
bool pn_env_is_full(int rc);

/* MDB_MAP_FULL when what is left of the map should be kept for removing
 * entries: in a copy-on-write file that takes pages too. */
int pn_env_room(struct pn_env *env);

/* Checks a file that is written without fsync, once after the machine has
 * started; what is damaged becomes data.mdb.damaged.  The caller has not
 * opened it yet. */
int pn_env_guard(const char *folder, const struct pn_env_options *options, bool has_data);

/* Pages on LMDB's list of free ones: a pn_txn_fn with a uint64_t as ctx. */
int pn_env_count_free(MDB_txn *txn, void *pages);

struct pn_env_size {
	uint64_t used;		/* bytes of pages in use */
	uint64_t file;		/* bytes of pages ever in use */
	uint64_t map;
};
int pn_env_size(struct pn_env *env, struct pn_env_size *out);

/* PN_OK for 0, else PN_TEMPFAIL and a text with the file and the remedy. */
enum pn_status pn_env_status(struct pn_env *env, int rc, struct pn_error *err);

/* The tables' rows as borrowed bytes. */
int pn_row_get(MDB_txn *txn, MDB_dbi dbi, struct pn_str key, struct pn_str *value);
int pn_row_put(MDB_txn *txn, MDB_dbi dbi, struct pn_str key, struct pn_str value);
int pn_row_del(MDB_txn *txn, MDB_dbi dbi, struct pn_str key);	/* 0 when it was not there */
int pn_row_seek(MDB_cursor *cursor, MDB_cursor_op op, struct pn_str *key, struct pn_str *value);
uint64_t pn_row_count(MDB_txn *txn, MDB_dbi dbi);

/* Each row whose key starts with `prefix`, in order of keys or against it.
 * Rows are copied page by page, each page in a transaction of its own, and
 * handed over outside of it; false ends the walk.  Backwards goes with an
 * empty prefix only. */
typedef bool pn_row_fn(void *ctx, struct pn_str key, struct pn_str value);
int pn_env_walk(struct pn_env *env, MDB_dbi dbi, struct pn_str prefix, bool backwards,
    pn_row_fn *row, void *ctx);

#endif
