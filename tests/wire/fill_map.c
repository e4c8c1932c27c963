/* fill_map - writes into an LMDB environment until its map is full.
 *
 *   fill_map DIRECTORY
 *
 * Says "full", waits for the end of its input, and removes what it wrote. */
#include <limits.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
check(int rc)
{
	if (rc == 0)
		return;
	(void)fprintf(stderr, "fill_map: %s\n", mdb_strerror(rc));
	exit(1);
}

/* Rows of this many bytes until there is no room for another. */
static void
fill(MDB_env *env, MDB_dbi dbi, unsigned *key, size_t size)
{
	char *junk = calloc(1, size);
	int rc;

	if (junk == NULL)
		exit(1);
	do {
		MDB_val k = { sizeof(*key), key }, v = { size, junk };
		MDB_txn *txn;

		check(mdb_txn_begin(env, NULL, 0, &txn));
		rc = mdb_put(txn, dbi, &k, &v, 0);
		if (rc == 0)
			rc = mdb_txn_commit(txn);
		else
			mdb_txn_abort(txn);
		(*key)++;
	} while (rc == 0);
	free(junk);
	if (rc != MDB_MAP_FULL)
		check(rc);
}

/* Removing needs some room as well: less than what the programs keep free. */
static void
reserve(MDB_env *env, MDB_dbi dbi, bool take)
{
	static char junk[1 << 17];
	unsigned key = UINT_MAX;
	MDB_val k = { sizeof(key), &key }, v = { sizeof(junk), junk };
	MDB_txn *txn;

	check(mdb_txn_begin(env, NULL, 0, &txn));
	check(take ? mdb_put(txn, dbi, &k, &v, 0) : mdb_del(txn, dbi, &k, NULL));
	check(mdb_txn_commit(txn));
}

int
main(int argc, char **argv)
{
	unsigned key = 0;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	if (argc != 2)
		return 64;
	check(mdb_env_create(&env));
	check(mdb_env_set_maxdbs(env, 1));
	check(mdb_env_open(env, argv[1], MDB_NOSYNC, 0660));
	check(mdb_txn_begin(env, NULL, 0, &txn));
	check(mdb_dbi_open(txn, "fill_map", MDB_CREATE, &dbi));
	check(mdb_txn_commit(txn));
	reserve(env, dbi, true);
	fill(env, dbi, &key, 1 << 20);
	fill(env, dbi, &key, 1 << 17);
	reserve(env, dbi, false);
	(void)puts("full");
	(void)fflush(stdout);
	while (getchar() != EOF)
		continue;
	check(mdb_txn_begin(env, NULL, 0, &txn));
	check(mdb_drop(txn, dbi, 1));
	check(mdb_txn_commit(txn));
	mdb_env_close(env);
	return 0;
}
