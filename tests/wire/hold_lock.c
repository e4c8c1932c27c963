/* hold_lock - keeps the one writer's lock of an LMDB environment, as a slow disk would.
 *
 *   hold_lock DIRECTORY HOLD_MS GAP_MS TIMES
 *
 * Says "held" when it has it for the first time. */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void
check(int rc)
{
	if (rc == 0)
		return;
	(void)fprintf(stderr, "hold_lock: %s\n", mdb_strerror(rc));
	exit(1);
}

static void
pause_ms(const char *text)
{
	long ms = strtol(text, NULL, 10);
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

int
main(int argc, char **argv)
{
	MDB_env *env;
	MDB_txn *txn;
	long times;

	if (argc != 5)
		return 64;
	times = strtol(argv[4], NULL, 10);
	check(mdb_env_create(&env));
	check(mdb_env_open(env, argv[1], MDB_NOSYNC, 0660));
	for (long i = 0; i < times; i++) {
		check(mdb_txn_begin(env, NULL, 0, &txn));
		if (i == 0)
			(void)puts("held");
		(void)fflush(stdout);
		pause_ms(argv[2]);
		mdb_txn_abort(txn);
		pause_ms(argv[3]);
	}
	mdb_env_close(env);
	return 0;
}
