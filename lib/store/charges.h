/* charges.h - how many recipients have left by each relay, and when.
 *
 * A charge is a row of its own, in order of relay and time.  The account of a
 * relay holds, for each window that was asked for, the sum of the charges in
 * it: recipients of those with low < time <= head.  Time goes on, low and head
 * follow row by row, so that asking costs the rows that came or left since.
 * Whoever adds or removes a row sees to the sums that it is in; rows out of
 * their reach, also those of a clock that stood ahead, are met in passing.
 *
 * All within a transaction of the caller.
 */
#ifndef POSTERN_STORE_CHARGES_H
#define POSTERN_STORE_CHARGES_H

#include "internal.h"

enum {
	PN_ACCOUNT_STEP = 4096,		/* rows passed in one transaction that writes */
	PN_ACCOUNT_LOOK = 256,		/* rows passed by one that only looks */
};

struct pn_account {
	struct pn_store *store;
	MDB_txn *txn;
	struct pn_str relay;
	struct pn_account_record record;
	int64_t now_ms;
	size_t rows;		/* passed so far */
	bool behind;		/* there are more to pass: save it, and go on in another transaction */
};

/* As it was saved; a relay without one has an empty one. */
int pn_account_open(struct pn_account *account, struct pn_store *store, MDB_txn *txn, struct pn_str relay);
int pn_account_save(struct pn_account *account);

/* Brings the windows of these limits to now, passing `most` rows or a few more.  A clock
 * that went back by more than the slack has all counted anew. */
int pn_account_advance(struct pn_account *account, const struct pn_limit *limits, size_t n, int64_t now_ms,
    size_t most);

/* Charges that are to be thought away, by sequence. */
struct pn_without {
	struct pn_place place[2];
	uint64_t recipients[2];
	size_t n;
};

/* Recipients in the limit's window, after pn_account_advance(). */
uint64_t pn_account_used(const struct pn_account *account, const struct pn_limit *limit,
    const struct pn_without *without);
/* When so many fit, if no others come; 0: never. */
int pn_account_opens(struct pn_account *account, const struct pn_limit *limit, uint64_t recipients,
    const struct pn_without *without, int64_t *opens_ms);

/* Mark in the sequence of a charge: it belongs to no mail that is known. */
#define PN_CHARGE_UNNAMED ((uint64_t)1 << 63)

/* Adds a charge in its place, whose sequence is set here (a mark in it stays);
 * when there are too many, the oldest of all goes. */
int pn_account_add(struct pn_account *account, struct pn_place *place, uint64_t recipients);
/* Takes so many recipients off a charge, and one without any away. */
int pn_account_take(struct pn_account *account, const struct pn_place *place, uint64_t recipients);

/* False: it is not the key of a charge.  The name is borrowed. */
PN_CHECK bool pn_charge_split_key(struct pn_str key, struct pn_place *out);
/* MDB_NOTFOUND: there is no such charge (any more). */
int pn_charge_get(struct pn_store *store, MDB_txn *txn, const struct pn_place *place, uint64_t *recipients);
/* The same as the calls of accounts, for a relay whose account is not open. */
int pn_charge_add(struct pn_store *store, MDB_txn *txn, struct pn_place *place, uint64_t recipients);
int pn_charge_take(struct pn_store *store, MDB_txn *txn, const struct pn_place *place, uint64_t recipients);

/* The newest unnamed charge of a relay.  MDB_NOTFOUND: there is none among the newest
 * PN_ACCOUNT_STEP charges. */
int pn_charge_newest_unnamed(struct pn_store *store, MDB_txn *txn, struct pn_str relay,
    struct pn_place *out);
/* The oldest of all goes when there is no room for one more. */
int pn_charges_make_room(struct pn_account *account);
/* Removes charges of a relay ("" = all), `most` at once; *done of them were there. */
int pn_charges_clear(struct pn_store *store, MDB_txn *txn, struct pn_str relay, size_t most, size_t *done);
/* Removes those that are in no window any more, or too many; *done grows to `most` at most.
 * now: seconds. */
int pn_charges_sweep(struct pn_store *store, MDB_txn *txn, int64_t now, size_t most, size_t *done);

/* PN_INVALID unless they can be asked about. */
enum pn_status pn_quota_check(struct pn_str relay, const struct pn_limit *limits, size_t n, int64_t now_ms,
    struct pn_error *err);

/* -- traces: where a mail was charged ------------------------------------------ */

/* A mail that may have been charged before. */
struct pn_earlier {
	struct pn_hash queue_hash, mail_hash;
	struct pn_trace queue, mail;
	bool has_queue, has_mail;	/* there is such a trace */
	bool same_queue;		/* and that of the queue id is of the same message */
	struct pn_mail_key key;		/* the charge's, or that of the same message */
	uint64_t instance;		/* the same */
	struct pn_without charges;	/* as what it is counted; there may be two */
};

/* MDB_NOTFOUND: there is none that can be read.  Texts in the arena. */
int pn_trace_find(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, struct pn_arena *arena,
    struct pn_trace *out);
/* Adds it, or replaces the one that was found (NULL: none); filed and expires are set here. */
int pn_trace_put(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash,
    const struct pn_trace *found,
    struct pn_trace *trace, int64_t now_ms);
struct pn_hash pn_hash_queue(struct pn_store *store, struct pn_str queue_id);

int pn_earlier_find(struct pn_store *store, MDB_txn *txn, const struct pn_charge *charge,
    struct pn_arena *arena, struct pn_earlier *out);
/* Notes that the mail is charged at `place`. */
int pn_earlier_note(struct pn_store *store, MDB_txn *txn, const struct pn_earlier *earlier,
    const struct pn_charge *charge, const struct pn_place *place, int64_t now_ms, bool *changed);

#endif
