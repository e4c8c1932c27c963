/* internal.h - what the files of lib/store share.
 *
 * Tables of `directory`; keys are readable, parts end in NUL:
 *   meta      "schema", "generation"
 *   aliases   source gateway 0 full                 -> alias
 *   locals    source gateway 0 local 0 full         -> nothing; incoming_local aliases only
 *   retired   gateway 0 address                     -> successor
 *   gateways  "S" table gateway / "D" gateway 0 domain -> time of sync / addresses used last time
 *
 * Tables of `state`; keys that outside text goes into are hashes:
 *   meta      "schema", "clock" (the sweeper's)
 *   threads   hash of (gateway, Message-ID)         -> thread, and the lease of its mail
 *   leases    hash of (gateway, Message-ID)         -> lease of a mail that is no thread
 *   windows   hash of (gateway, model, record, sender) -> window with its mails
 *   index     kind time key                         -> nothing; the oldest of each kind first
 *   bounces   time sequence                         -> event
 *   counters  name                                  -> number
 *   charges   relay 0 time sequence                 -> recipients
 *   relays    "A" relay / "H" relay                 -> account (sums of its charges) / health
 *   traces    hash of a mail, a queue id or a recipient of one -> where it was charged
 *
 * An index entry stays where it was filed while its record is refreshed; who
 * meets it at the old place moves it.  So a refresh costs no second write.  A
 * thread that comes with a lease is filed once only, as held, till the lease
 * ends: then the sweeper files it among the threads.
 *
 * What a mail costs is the pages its transaction copies: each table and each
 * place in it is two or three.  Therefore the lease lies in the thread, and
 * "sequence" among LMDB's names of tables, a page that every commit writes.
 */
#ifndef POSTERN_STORE_INTERNAL_H
#define POSTERN_STORE_INTERNAL_H

#include <openssl/evp.h>

#include "codec.h"
#include "env.h"

#include "postern/arena.h"

enum { D_META, D_ALIASES, D_LOCALS, D_RETIRED, D_GATEWAYS, D_TABLES };
enum { S_META, S_THREADS, S_LEASES, S_WINDOWS, S_INDEX, S_BOUNCES, S_COUNTERS,
    S_CHARGES, S_RELAYS, S_TRACES, S_TABLES };

/* What is of a time further ahead than this was written before the clock was set back. */
enum { PN_CLOCK_SLACK_MS = 60 * 1000 };

struct pn_store {
	struct pn_env directory, state;
	struct pn_store_options options;	/* defaults filled in; path is not kept */
	EVP_MD *sha256;
};

/* -- keys -- */

enum { PN_KEY_MAX = 511, PN_HASH_BYTES = 16 };

struct pn_key {
	char b[PN_KEY_MAX];
	size_t n;
	bool bad;	/* too long, or a NUL within a part */
};

void pn_key_init(struct pn_key *key);
void pn_key_add_byte(struct pn_key *key, unsigned char byte);
void pn_key_add_u64(struct pn_key *key, uint64_t value);
void pn_key_add(struct pn_key *key, struct pn_str bytes);	/* as they are */
void pn_key_add_part(struct pn_key *key, struct pn_str part);	/* with a NUL behind */
void pn_key_add_lower(struct pn_key *key, struct pn_str text);	/* A-Z lower-cased; no NUL in it */

static inline struct pn_str
pn_key_str(const struct pn_key *key)
{
	return pn_str_n(key->b, key->n);
}

/* source gateway 0 full */
void pn_alias_key(struct pn_key *key, enum pn_source source, struct pn_str gateway, struct pn_str full);
/* source gateway 0 local 0 full */
void pn_local_key(struct pn_key *key, enum pn_source source, struct pn_str gateway, struct pn_str local,
    struct pn_str full);
/* gateway 0 address, lower-cased */
void pn_retired_key(struct pn_key *key, struct pn_str gateway, struct pn_str address);
/* Takes "gateway 0 rest" apart; false: it is no such key. */
PN_CHECK bool pn_key_split(struct pn_str key, struct pn_str *gateway, struct pn_str *rest);

struct pn_hash {
	char b[PN_HASH_BYTES];
};

/* Of the parts and their lengths: no two lists of parts look alike. */
struct pn_hash pn_hash_with(const EVP_MD *md, const struct pn_str *parts, size_t n);
struct pn_hash pn_hash_parts(struct pn_store *store, const struct pn_str *parts, size_t n);
struct pn_hash pn_hash_message(struct pn_store *store, struct pn_str gateway, struct pn_str message_id);

static inline struct pn_str
pn_hash_str(const struct pn_hash *hash)
{
	return pn_str_n(hash->b, sizeof(hash->b));
}

/* -- transactions -- */

enum pn_status pn_directory_write(struct pn_store *store, pn_txn_fn *fn, void *ctx, struct pn_error *err);
int pn_generation_grow(struct pn_store *store, MDB_txn *txn);
int pn_fingerprint_get(struct pn_store *store, MDB_txn *txn, uint64_t *out);
int pn_generation_get(struct pn_store *store, MDB_txn *txn, uint64_t *out);

/* A write to `state`: when it is full, expired entries are removed (as of now,
 * seconds) and the write is tried once more. */
enum pn_status pn_state_write(struct pn_store *store, int64_t now, pn_txn_fn *fn, void *ctx,
    struct pn_error *err);

/* PN_INVALID unless the name can be one of a gateway. */
enum pn_status pn_gateway_check(struct pn_str gateway, struct pn_error *err);

/* -- state: sequence, expiry, bounds -- */

/* Numbers among the meta data; 0 when it is not there. */
int pn_number_get(MDB_txn *txn, MDB_dbi dbi, struct pn_str key, uint64_t *out);
int pn_number_put(MDB_txn *txn, MDB_dbi dbi, struct pn_str key, uint64_t number);

int pn_sequence_next(struct pn_store *store, MDB_txn *txn, uint64_t n, uint64_t *first);

/* Kinds of entries in the index, in the order of the sweeper: first those whose
 * removal makes room. */
enum pn_kind {
	PN_KIND_LEASE,		/* by their end, milliseconds */
	PN_KIND_WINDOW,		/* the same */
	PN_KIND_HELD,		/* threads by the end of their lease, milliseconds */
	PN_KIND_THREAD,		/* by when they were seen, seconds */
	PN_KIND_TRACE,		/* by their end, milliseconds */
	PN_KINDS
};

/* Adds a record and files it; the oldest of its kind gives way when there are
 * too many.  filed is the time that its encoded value carries; of a held
 * thread that is the end of its lease.  now: seconds. */
int pn_record_add(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, const struct pn_hash *hash,
    int64_t filed, int64_t now, struct pn_str value);
/* Replaces one that was filed before, with the same time. */
int pn_record_replace(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, const struct pn_hash *hash,
    struct pn_str value);
int pn_record_get(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, const struct pn_hash *hash,
    struct pn_str *value);
int pn_record_remove(struct pn_store *store, MDB_txn *txn, enum pn_kind kind, const struct pn_hash *hash,
    int64_t filed);

/* Files a thread as held, no longer where an earlier lease had it (0: nowhere). */
int pn_record_hold(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, int64_t before,
    int64_t expires);
/* How many threads are filed as held. */
int pn_record_count_held(struct pn_store *store, MDB_txn *txn, uint64_t *out);

/* What time it surely is: `now`, unless that is more than a step ahead of the
 * sweeper's own clock.  *move: it may be moved; then whether it was. */
int pn_sweep_clock(struct pn_store *store, MDB_txn *txn, int64_t now, bool *move, int64_t *out);

/* Removes what expired before `now`, in small transactions, until `most` are
 * done.  moves_clock: the sweeper's own clock comes nearer to `now` by a step. */
int pn_sweep_run(struct pn_store *store, int64_t now, bool moves_clock, size_t most, size_t *removed);

/* -- directory: retired addresses, shared by all who rename -- */

/* Retires the address unless it is that of an alias. *changed is set when
 * something was written. */
int pn_retire(struct pn_store *store, MDB_txn *txn, const struct pn_retired *row, bool *changed);
/* The address is in use (again). */
int pn_retire_end(struct pn_store *store, MDB_txn *txn, struct pn_str gateway, struct pn_str address,
    bool *changed);
/* MDB_NOTFOUND: not retired.  Follows renames of renames; *out in the arena. */
int pn_retired_find(struct pn_store *store, MDB_txn *txn, struct pn_str gateway, struct pn_str address,
    struct pn_arena *arena, struct pn_retired *out);
/* Sets *out to 0 and returns MDB_NOTFOUND when it never was. */
int pn_synced_find(struct pn_store *store, MDB_txn *txn, struct pn_str gateway, enum pn_table table,
    int64_t *out);

/* -- leases with a record of their own, within another's transaction -- */

/* MDB_NOTFOUND: there is none that can be read. */
int pn_lease_find(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash,
    struct pn_lease_record *out);
/* Adds or replaces it; where it is filed is set here. */
int pn_lease_put(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash,
    struct pn_lease_record *record, int64_t now);
/* A thread goes: if its lease may be held at `now` (seconds) it gets a record. */
int pn_lease_save(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash,
    const struct pn_thread_record *thread, int64_t now);

/* -- threads, within another's transaction -- */

/* False: an id or model that no thread is kept of. */
bool pn_thread_is_learnable(const struct pn_thread *thread);
/* MDB_NOTFOUND: there is none that can be read.  *out is borrowed from the table. */
int pn_thread_find(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, struct pn_str gateway,
    struct pn_str message_id, struct pn_thread_record *out);
/* Learns one; hash is that of the message.  lease NULL: it stays as it is. */
int pn_thread_put(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, struct pn_str gateway,
    const struct pn_thread *thread, const struct pn_lease *lease, int64_t now);

#endif
