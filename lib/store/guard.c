/* After a power cut, a file written without fsync may hold pages of different
 * ages.  LMDB does not notice before it trips over one, so the first program
 * that opens such a file after the machine has started walks all of it, in a
 * child that may crash.  What is damaged is moved away: losing what was
 * learned is better than stopping the mail. */
#include "env.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BOOT_ID_MAX = 64 };

static bool
read_text(int fd, char *text, size_t size)
{
	ssize_t n = read(fd, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* What the kernel calls the time since the machine started. */
static bool
boot_id(char *text, size_t size)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && read_text(fd, text, size);

	if (fd >= 0)
		(void)close(fd);
	return ok;
}

/* -- in the child -- */

/* All keys in order, as many as the table says, every value readable. */
static bool
walk_table(MDB_txn *txn, MDB_dbi dbi, bool plain_order, uint64_t *pages)
{
	struct pn_str key = PN_STR_EMPTY, last = PN_STR_EMPTY, value;
	volatile char seen;
	MDB_cursor *cursor;
	MDB_stat stat;
	uint64_t n = 0;
	int rc;

	if (mdb_stat(txn, dbi, &stat) != 0 || mdb_cursor_open(txn, dbi, &cursor) != 0)
		return false;
	while ((rc = pn_row_seek(cursor, MDB_NEXT, &key, &value)) == 0 && n < stat.ms_entries) {
		if (plain_order && n > 0 && pn_str_cmp(last, key) >= 0)
			break;
		for (size_t i = 0; i < value.n; i += 512)
			seen = value.p[i];
		last = key;
		n++;
	}
	(void)seen;
	mdb_cursor_close(cursor);
	*pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
	return rc == MDB_NOTFOUND && n == stat.ms_entries;
}

static bool
walk_tables(MDB_env *mdb, MDB_txn *txn, const struct pn_env_options *options)
{
	uint64_t pages = 2, unused = 0;
	MDB_envinfo info;
	MDB_dbi dbi;

	if (mdb_dbi_open(txn, NULL, 0, &dbi) != 0 || !walk_table(txn, 0, false, &pages)
	    || !walk_table(txn, dbi, true, &pages))
		return false;
	for (size_t i = 0; i < options->table_count; i++) {
		int rc = mdb_dbi_open(txn, options->tables[i], 0, &dbi);

		if (rc == MDB_NOTFOUND && i > 0)
			continue;	/* the file is older than the table */
		if (rc != 0 || !walk_table(txn, dbi, true, &pages))
			return false;
	}
	return pn_env_count_free(txn, &unused) == 0 && mdb_env_info(mdb, &info) == 0
	    && pages + unused <= (uint64_t)info.me_last_pgno + 1;
}

static bool
walk_file(const char *folder, const struct pn_env_options *options)
{
	MDB_env *mdb;
	MDB_txn *txn;

	return mdb_env_create(&mdb) == 0 && mdb_env_set_maxdbs(mdb, PN_ENV_TABLES) == 0
	    && mdb_env_open(mdb, folder, MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0) == 0
	    && mdb_txn_begin(mdb, NULL, MDB_RDONLY, &txn) == 0 && walk_tables(mdb, txn, options);
}

static _Noreturn void
check_and_exit(const char *folder, const struct pn_env_options *options, int report)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };
	struct rlimit no_core = { 0, 0 };
	int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (size_t i = 0; i < PN_COUNT(crashes); i++)
		(void)signal(crashes[i], SIG_DFL);	/* a crash is an answer, not the program's business */
	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (quiet >= 0)
		(void)dup2(quiet, STDERR_FILENO);
	_exit(walk_file(folder, options) && write(report, "k", 1) == 1 ? 0 : 1);
}

/* -- in the program -- */

/* 0: sound; MDB_CORRUPTED; or why it could not be found out. */
static int
check_file(const char *folder, const struct pn_env_options *options)
{
	int report[2], status;
	ssize_t got;
	pid_t child;
	char byte;

	if (pipe2(report, O_CLOEXEC) != 0)
		return errno;
	child = fork();
	if (child == 0)
		check_and_exit(folder, options, report[1]);
	(void)close(report[1]);
	do
		got = child < 0 ? -1 : read(report[0], &byte, 1);
	while (got < 0 && child > 0 && errno == EINTR);
	(void)close(report[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return child < 0 ? EAGAIN : got == 1 ? 0 : MDB_CORRUPTED;
}

static int
move_away(const char *folder)
{
	char from[4096], to[4096];

	if ((size_t)snprintf(from, sizeof(from), "%s/data.mdb", folder) >= sizeof(from)
	    || (size_t)snprintf(to, sizeof(to), "%s/data.mdb.damaged", folder) >= sizeof(to))
		return ENAMETOOLONG;
	return rename(from, to) == 0 ? 0 : errno;
}

static int
check_if_new_boot(const char *folder, const struct pn_env_options *options, bool has_data, int fd)
{
	char now[BOOT_ID_MAX], before[BOOT_ID_MAX];
	int rc = 0;

	if (!boot_id(now, sizeof(now)))
		return 0;
	if (read_text(fd, before, sizeof(before)) && strcmp(now, before) == 0)
		return 0;
	if (has_data)
		rc = check_file(folder, options);
	if (rc == MDB_CORRUPTED)
		rc = move_away(folder);
	if (rc == 0 && (ftruncate(fd, 0) != 0 || pwrite(fd, now, strlen(now), 0) < 0))
		rc = errno;
	return rc;
}

int
pn_env_guard(const char *folder, const struct pn_env_options *options, bool has_data)
{
	char path[4096];
	struct stat owner;
	int fd, rc;

	if ((size_t)snprintf(path, sizeof(path), "%s/boot", folder) >= sizeof(path))
		return ENAMETOOLONG;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0660);
	if (fd < 0)
		return errno;
	/* One program checks, the others wait for it. */
	while ((rc = flock(fd, LOCK_EX)) != 0 && errno == EINTR)
		continue;
	rc = rc != 0 ? errno : 0;
	if (stat(folder, &owner) == 0 && (geteuid() != 0 || fchown(fd, owner.st_uid, owner.st_gid) == 0))
		(void)fchmod(fd, 0660);
	if (rc == 0)
		rc = check_if_new_boot(folder, options, has_data, fd);
	(void)close(fd);
	return rc;
}
