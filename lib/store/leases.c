/* Leases that have a record of their own: of mails that are no thread, or whose
 * thread had to make room. */
#include "internal.h"

int
pn_lease_find(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, struct pn_lease_record *out)
{
	struct pn_str value;
	int rc = pn_record_get(store, txn, PN_KIND_LEASE, hash, &value);

	return rc == 0 && !pn_lease_decode(value, out) ? MDB_NOTFOUND : rc;
}

int
pn_lease_put(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, struct pn_lease_record *record,
    int64_t now)
{
	struct pn_lease_record old;
	struct pn_buf buf;
	int rc = pn_lease_find(store, txn, hash, &old);
	bool is_new = rc == MDB_NOTFOUND;

	if (rc != 0 && !is_new)
		return rc;
	record->filed = is_new ? record->lease.expires : old.filed;
	pn_buf_init(&buf, PN_RECORD_MAX);
	pn_lease_encode(&buf, record);
	if (is_new)
		rc = pn_record_add(store, txn, PN_KIND_LEASE, hash, record->filed, now, pn_buf_str(&buf));
	else
		rc = pn_record_replace(store, txn, PN_KIND_LEASE, hash, pn_buf_str(&buf));
	pn_buf_done(&buf);
	return rc;
}

int
pn_lease_save(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash,
    const struct pn_thread_record *thread, int64_t now)
{
	struct pn_lease_record record = { .lease = thread->lease, .gateway = thread->gateway,
		.message_id = thread->thread.message_id, .sender = PN_STR_EMPTY };

	return thread->lease.expires / 1000 < now ? 0 : pn_lease_put(store, txn, hash, &record, now);
}
