/* The same transaction for many functions. */
#include "env.h"

#include <errno.h>

void
pn_env_group_begin(struct pn_env *env)
{
	env->group = (struct pn_env_group){ .open = true };
}

int
pn_env_group_end(struct pn_env *env, bool keep)
{
	struct pn_env_group group = env->group;

	env->group = (struct pn_env_group){ .open = false };
	if (group.txn == NULL)
		return group.rc;
	if (group.rc == 0 && keep && group.writes)
		return pn_env_commit(env, group.txn);
	pn_env_abort(env, group.txn);
	return group.rc;
}

int
pn_env_alone(struct pn_env *env)
{
	if (env->group.open && env->group.rc == 0)
		env->group.rc = EAGAIN;
	return env->group.open ? EAGAIN : 0;
}

/* One that has only been read in is given up for one that writes. */
static int
group_txn(struct pn_env *env, bool write)
{
	struct pn_env_group *group = &env->group;

	if (group->rc == 0 && group->txn != NULL && write && !group->writes) {
		pn_env_abort(env, group->txn);
		group->txn = NULL;
	}
	if (group->rc == 0 && group->txn == NULL) {
		group->writes = write;
		group->rc = pn_env_begin(env, write, &group->txn);
		if (group->rc != 0)
			group->txn = NULL;
	}
	return group->rc;
}

int
pn_env_group_run(struct pn_env *env, bool write, pn_txn_fn *fn, void *ctx)
{
	int rc = group_txn(env, write);

	if (rc != 0)
		return rc;
	rc = fn(env->group.txn, ctx);
	if (write && rc == PN_TXN_UNCHANGED)
		rc = 0;
	/* what it has written before it failed must not stay */
	if (env->group.rc == 0 && (write || rc != MDB_NOTFOUND))
		env->group.rc = rc;
	return rc;
}
