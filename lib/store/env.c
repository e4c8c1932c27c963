#include "env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_READERS = 4096,	/* callbacks that look at once, for microseconds each, over all processes */
	REMAP_SECONDS = 5,	/* how long others may take to end their transactions */
};

/* -- opening ----------------------------------------------------------------- */

static char *
join(const char *folder, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s", folder, name) < 0)
		pn_out_of_memory();
	return path;
}

/* Programs of several users share the files through the group: mode and owner
 * of what is new follow the state directory, whatever the umask. */
static void
share_file(const char *path, mode_t mode, const struct stat *parent)
{
	if (geteuid() == 0 && chown(path, parent->st_uid, parent->st_gid) != 0)
		return;
	(void)chmod(path, mode);
}

static void
share_files(const struct pn_env *env, const struct stat *parent)
{
	static const char *const names[] = { "data.mdb", "lock.mdb" };

	for (size_t i = 0; i < PN_COUNT(names); i++) {
		char *path = join(env->path, names[i]);

		share_file(path, 0660, parent);
		free(path);
	}
}

static enum pn_status
make_folder(struct pn_env *env, const struct pn_env_options *options, struct stat *parent,
    struct pn_error *err)
{
	if (stat(options->parent, parent) != 0)
		return pn_fail(err, PN_TEMPFAIL, "state directory %s: %s", options->parent, strerror(errno));
	if (options->read_only || mkdir(env->path, 02770) != 0) {
		if (!options->read_only && errno != EEXIST)
			return pn_fail(err, PN_TEMPFAIL, "cannot make %s: %s", env->path, strerror(errno));
		return PN_OK;
	}
	share_file(env->path, 02770, parent);
	return PN_OK;
}

static int
open_tables(MDB_txn *txn, struct pn_env *env, const struct pn_env_options *options, unsigned flags)
{
	int rc = mdb_dbi_open(txn, NULL, 0, &env->names);

	for (size_t i = 0; i < options->table_count && rc == 0; i++)
		rc = mdb_dbi_open(txn, options->tables[i], flags, &env->dbi[i]);
	return rc;
}

/* Which environment this is and in what shape its records are. */
static int
check_schema(MDB_txn *txn, struct pn_env *env, const struct pn_env_options *options)
{
	const char wanted[] = { 'p', 'n', options->kind, options->version };
	struct pn_str value;
	int rc = pn_row_get(txn, env->dbi[0], PN_STR("schema"), &value);

	if (rc != 0)
		return rc == MDB_NOTFOUND ? MDB_INVALID : rc;
	if (value.n != sizeof(wanted) || memcmp(value.p, wanted, 3) != 0)
		return MDB_INVALID;
	return value.p[3] == wanted[3] ? 0 : MDB_VERSION_MISMATCH;
}

/* The file is new, or older than some of the tables: those and the schema
 * record in one transaction. */
static int
create_tables(struct pn_env *env, const struct pn_env_options *options)
{
	const char schema[] = { 'p', 'n', options->kind, options->version };
	MDB_txn *txn;
	MDB_stat stat;
	int rc = mdb_txn_begin(env->mdb, NULL, 0, &txn);

	if (rc != 0)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &env->names);
	if (rc == 0)
		rc = mdb_stat(txn, env->names, &stat);
	if (rc == 0 && stat.ms_entries == 0) {
		rc = open_tables(txn, env, options, MDB_CREATE);
		if (rc == 0)
			rc = pn_row_put(txn, env->dbi[0], PN_STR("schema"), pn_str_n(schema, sizeof(schema)));
	} else if (rc == 0) {
		rc = mdb_dbi_open(txn, options->tables[0], 0, &env->dbi[0]);
		if (rc == 0)
			rc = check_schema(txn, env, options);
		if (rc == MDB_NOTFOUND)
			rc = MDB_INVALID;	/* somebody else's tables */
		if (rc == 0)
			rc = open_tables(txn, env, options, MDB_CREATE);
	}
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

static int
find_tables(struct pn_env *env, const struct pn_env_options *options)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn);

	if (rc == MDB_MAP_RESIZED) {
		rc = mdb_env_set_mapsize(env->mdb, 0);
		if (rc == 0)
			rc = mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn);
	}
	if (rc != 0)
		return rc;
	rc = open_tables(txn, env, options, 0);
	if (rc == 0)
		rc = check_schema(txn, env, options);
	if (rc == 0)
		return mdb_txn_commit(txn);	/* keeps the handles */
	mdb_txn_abort(txn);
	return rc;
}

/* A file that was cut off has pages that are not there: reading one would end
 * the process (SIGBUS).  The last few may honestly never have been written. */
static bool
is_cut_off(const struct pn_env *env)
{
	MDB_envinfo info;
	MDB_stat layout;
	struct stat st;
	int fd;

	if (mdb_env_get_fd(env->mdb, &fd) != 0 || fstat(fd, &st) != 0
	    || mdb_env_info(env->mdb, &info) != 0 || mdb_env_stat(env->mdb, &layout) != 0)
		return true;
	return (uint64_t)st.st_size < (uint64_t)(info.me_last_pgno + 1) / 2 * layout.ms_psize;
}

static int
open_file(struct pn_env *env, const struct pn_env_options *options)
{
	unsigned flags = options->flags | MDB_NOTLS | (options->read_only ? MDB_RDONLY : 0);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int rc = mdb_env_create(&env->mdb);

	if (rc == 0)
		rc = mdb_env_set_maxreaders(env->mdb, MAX_READERS);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(env->mdb, PN_ENV_TABLES);
	if (rc == 0)
		rc = mdb_env_set_mapsize(env->mdb, (options->map_size + page - 1) / page * page);
	if (rc == 0)
		rc = mdb_env_open(env->mdb, env->path, flags, 0660);
	if (rc == 0 && is_cut_off(env))
		rc = MDB_CORRUPTED;
	return rc;
}

static int
open_all(struct pn_env *env, const struct pn_env_options *options, const struct stat *parent)
{
	char *data = join(env->path, "data.mdb");
	bool is_new;
	int rc = 0;

	if (!options->read_only && (options->flags & MDB_NOSYNC) != 0)
		rc = pn_env_guard(env->path, options, access(data, F_OK) == 0);
	is_new = access(data, F_OK) != 0;
	free(data);
	if (rc == 0)
		rc = open_file(env, options);
	if (is_new && env->mdb != NULL && !options->read_only)
		share_files(env, parent);
	if (rc == 0) {
		int dead;

		(void)mdb_reader_check(env->mdb, &dead);
		rc = find_tables(env, options);
		if (rc == MDB_NOTFOUND && !options->read_only)
			rc = create_tables(env, options);
	}
	return rc;
}

enum pn_status
pn_env_open(struct pn_env *env, const struct pn_env_options *options, struct pn_error *err)
{
	struct stat parent;
	enum pn_status st;
	int rc;

	*env = (struct pn_env){ .full_remedy = options->full_remedy, .read_only = options->read_only };
	env->path = join(options->parent, options->name);
	env->map_size = options->map_size;
	if (pthread_rwlock_init(&env->lock, NULL) != 0)
		pn_out_of_memory();
	st = make_folder(env, options, &parent, err);
	if (st == PN_OK) {
		rc = open_all(env, options, &parent);
		if (rc == MDB_NOTFOUND || (rc == ENOENT && options->read_only))
			st = pn_fail(err, PN_TEMPFAIL,
			    "%s: no state yet; it is made when postern-milter starts",
			    env->path);
		else
			st = pn_env_status(env, rc, err);
	}
	if (st != PN_OK)
		pn_env_close(env);
	return st;
}

void
pn_env_close(struct pn_env *env)
{
	if (env->path == NULL)
		return;
	if (env->mdb != NULL)
		mdb_env_close(env->mdb);
	(void)pthread_rwlock_destroy(&env->lock);
	free(env->path);
	*env = (struct pn_env){ .path = NULL };
}

/* -- transactions ------------------------------------------------------------- */

/* Another process made the file larger than our map.  Mapping it anew needs
 * the environment without transactions of this process; no new one can begin
 * meanwhile, so that waiting is short.  The time limit is for a caller that
 * still has a view open itself. */
static int
map_anew(struct pn_env *env)
{
	struct timespec until;
	int rc;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += REMAP_SECONDS;
	if (pthread_rwlock_timedwrlock(&env->lock, &until) != 0)
		return MDB_MAP_RESIZED;
	rc = mdb_env_set_mapsize(env->mdb, 0);
	(void)pthread_rwlock_unlock(&env->lock);
	return rc;
}

static int
cure(struct pn_env *env, int rc)
{
	int dead;

	if (rc == MDB_MAP_RESIZED)
		return map_anew(env);
	if (rc == MDB_READERS_FULL)
		return mdb_reader_check(env->mdb, &dead);
	return rc;
}

int
pn_env_begin(struct pn_env *env, bool write, MDB_txn **out)
{
	int rc;

	for (int tries = 0;; tries++) {
		(void)pthread_rwlock_rdlock(&env->lock);
		rc = mdb_txn_begin(env->mdb, NULL, write ? 0 : MDB_RDONLY, out);
		if (rc == 0)
			return 0;
		(void)pthread_rwlock_unlock(&env->lock);
		if (tries == 3 || cure(env, rc) != 0)
			return rc;
	}
}

int
pn_env_commit(struct pn_env *env, MDB_txn *txn)
{
	int rc = mdb_txn_commit(txn);

	(void)pthread_rwlock_unlock(&env->lock);
	return rc;
}

void
pn_env_abort(struct pn_env *env, MDB_txn *txn)
{
	mdb_txn_abort(txn);
	(void)pthread_rwlock_unlock(&env->lock);
}

int
pn_env_write(struct pn_env *env, pn_txn_fn *fn, void *ctx)
{
	MDB_txn *txn;
	int rc;

	if (env->read_only)
		return EROFS;
	if (env->group.open)
		return pn_env_group_run(env, true, fn, ctx);
	rc = pn_env_begin(env, true, &txn);
	if (rc != 0)
		return rc;
	rc = fn(txn, ctx);
	if (rc == 0)
		return pn_env_commit(env, txn);
	/* After a failed put the transaction is of no use: LMDB answers MDB_BAD_TXN. */
	pn_env_abort(env, txn);
	return rc == PN_TXN_UNCHANGED ? 0 : rc;
}

int
pn_env_read(struct pn_env *env, pn_txn_fn *fn, void *ctx)
{
	MDB_txn *txn;
	int rc;

	if (env->group.open)
		return pn_env_group_run(env, false, fn, ctx);
	rc = pn_env_begin(env, false, &txn);
	if (rc != 0)
		return rc;
	rc = fn(txn, ctx);
	pn_env_abort(env, txn);
	return rc;
}

/* -- size ---------------------------------------------------------------------- */

bool
pn_env_is_full(int rc)
{
	/* EIO: so LMDB calls a write that the disk took only the first part of. */
	return rc == MDB_MAP_FULL || rc == MDB_TXN_FULL || rc == ENOSPC || rc == EDQUOT || rc == EFBIG
	    || rc == EIO;
}

/* The list is table 0 of LMDB's own: each row starts with the number of pages in it. */
int
pn_env_count_free(MDB_txn *txn, void *ctx)
{
	uint64_t *pages = ctx;
	struct pn_str key, value;
	MDB_cursor *cursor;
	size_t n;
	int rc = mdb_cursor_open(txn, 0, &cursor);

	*pages = 0;
	if (rc != 0)
		return rc;
	while ((rc = pn_row_seek(cursor, MDB_NEXT, &key, &value)) == 0 && value.n >= sizeof(n)) {
		memcpy(&n, value.p, sizeof(n));
		*pages += n;
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

struct pages {
	uint64_t size, map, last;
};

static struct pages
page_numbers(struct pn_env *env)
{
	MDB_envinfo info;
	MDB_stat layout;

	(void)pthread_rwlock_rdlock(&env->lock);
	(void)mdb_env_info(env->mdb, &info);
	(void)mdb_env_stat(env->mdb, &layout);
	(void)pthread_rwlock_unlock(&env->lock);
	return (struct pages){ layout.ms_psize, info.me_mapsize / layout.ms_psize, info.me_last_pgno + 1 };
}

int
pn_env_room(struct pn_env *env)
{
	struct pages pages = page_numbers(env);
	uint64_t available, reserve = 64 + pages.map / 64;
	int rc;

	if (pages.last + 2 * reserve < pages.map)
		return 0;
	rc = pn_env_read(env, pn_env_count_free, &available);
	if (rc != 0)
		return rc;
	if (pages.map > pages.last)
		available += pages.map - pages.last;
	return available < reserve ? MDB_MAP_FULL : 0;
}

int
pn_env_size(struct pn_env *env, struct pn_env_size *out)
{
	struct pages pages = page_numbers(env);
	uint64_t unused;
	int rc = pn_env_read(env, pn_env_count_free, &unused);

	if (rc != 0)
		return rc;
	out->file = pages.last * pages.size;
	out->used = (pages.last - (unused < pages.last ? unused : pages.last)) * pages.size;
	out->map = pages.map * pages.size;
	return 0;
}

/* -- errors -------------------------------------------------------------------- */

static enum pn_status
fail_full(struct pn_env *env, int rc, struct pn_error *err)
{
	struct pages pages = page_numbers(env);
	unsigned long long kib = (unsigned long long)(pages.last * pages.size / 1024);

	if (rc == MDB_MAP_FULL || rc == MDB_TXN_FULL)
		return pn_fail(err, PN_TEMPFAIL, "%s/data.mdb is full (%llu KiB of a map of %llu KiB): %s",
		    env->path, kib, (unsigned long long)(pages.map * pages.size / 1024), env->full_remedy);
	return pn_fail(err, PN_TEMPFAIL,
	    "%s/data.mdb (%llu KiB) cannot grow: %s; make room on its file system%s",
	    env->path, kib, strerror(rc), rc == EIO ? ", or if there is enough, look for disk errors" : "");
}

enum pn_status
pn_env_status(struct pn_env *env, int rc, struct pn_error *err)
{
	if (rc == 0)
		return PN_OK;
	if (pn_env_is_full(rc) && env->mdb != NULL)
		return fail_full(env, rc, err);
	switch (rc) {
	case EACCES:
	case EPERM:
		return pn_fail(err, PN_TEMPFAIL,
		    "%s: %s; run this as root or as a member of the group that owns it", env->path,
		    strerror(rc));
	case EROFS:
		return pn_fail(err, PN_TEMPFAIL, "%s: opened for reading only", env->path);
	case MDB_VERSION_MISMATCH:
		return pn_fail(err, PN_TEMPFAIL,
		    "%s/data.mdb is of another version of Postern: run one version everywhere, or stop all "
		    "programs, move the file away and start them again", env->path);
	case MDB_INVALID:
		return pn_fail(err, PN_TEMPFAIL,
		    "%s/data.mdb is not Postern's: stop all programs, move it away and start them again",
		    env->path);
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_PANIC:
		return pn_fail(err, PN_TEMPFAIL,
		    "%s/data.mdb is damaged (%s): stop all programs, move it away and start them again",
		    env->path, mdb_strerror(rc));
	case MDB_READERS_FULL:
		return pn_fail(err, PN_TEMPFAIL, "%s: more than %d transactions at once", env->path,
		    MAX_READERS);
	default:
		return pn_fail(err, PN_TEMPFAIL, "%s: %s", env->path, mdb_strerror(rc));
	}
}
