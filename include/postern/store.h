/* store.h - the state directory: two LMDB environments behind one face.
 *
 *   directory   read-mostly: aliases, retired addresses, what was synced when.
 *               On disk when a call returns (fsync).  Has a generation number.
 *   state       threads, leases, loop windows, bounce events, counters, what
 *               relays have sent and how they are (quota.h).
 *               No fsync per mail: a crash of a process loses nothing, a power
 *               cut may lose the last second.  If it left the file damaged,
 *               the first program opened after it moves that away
 *               (state/data.mdb.damaged) and begins with an empty one.
 *
 * One pn_store per process, opened once, after fork() and before threads are
 * started; a path that is open already must not be opened again in the same
 * process (LMDB's locks would be lost).  All functions are thread-safe; no
 * transaction outlives a call, except a group (quota.h) and a pn_directory_view,
 * which lives within one callback: its thread asks the store to change nothing in
 * the directory while the view is open.  Everything in `state` has an expiry and a bound;
 * pn_store_sweep() enforces both in small steps, and what is added to a full
 * table replaces the oldest.  A lease lies in the thread that its mail taught;
 * when that thread has to make room earlier, the lease stays.
 *
 * Every fallible call: PN_OK; PN_NOT_FOUND where it says so; PN_TEMPFAIL when
 * the store cannot say now (unreadable, map full, disk full, a change while
 * opened for reading only) - the text names file and remedy; PN_INVALID for a
 * key or value out of bounds.  A gateway's name has 1 to 128 bytes and no NUL.
 * Text that comes from mail never is out of bounds: where it is only shown it
 * is cut (512 bytes; 1,000 of a reason), and no thread is learned or found
 * for a Message-ID of more than 2,000 bytes.
 */
#ifndef POSTERN_STORE_H
#define POSTERN_STORE_H

#include "postern/directory.h"

struct pn_store;

struct pn_store_options {
	const char *path;		/* state directory; must exist; read at opening only */
	uint64_t directory_map_size;	/* bytes of address space; 0 = 16 GiB */
	uint64_t state_map_size;	/* bytes of address space; 0 = 16 GiB */
	uint64_t thread_lifetime;	/* seconds since a thread was last seen; 0 = 400 days */
	uint64_t bounce_lifetime;	/* seconds; 0 = 90 days */
	uint64_t thread_limit;		/* entries over all gateways; 0 = 10,000,000 */
	uint64_t window_limit;		/* loop windows; 0 = 1,000,000 */
	uint64_t bounce_limit;		/* bounce events; 0 = 1,000,000 */
	uint64_t charge_limit;		/* charges, and as many traces of them (quota.h); 0 = 2,000,000 */
	uint64_t clock_step;		/* seconds; see pn_store_sweep(); 0 = 10 */
	bool read_only;			/* for commands that only look; fails if there is no state yet */
};

PN_CHECK enum pn_status pn_store_open(const struct pn_store_options *options,
    struct pn_store **out, struct pn_error *err);
void pn_store_close(struct pn_store *store);	/* syncs; NULL is fine */

/* Flushes `state` to disk; the milter calls it once a second. */
PN_CHECK enum pn_status pn_store_sync(struct pn_store *store, struct pn_error *err);

/* One small step of housekeeping: removes at most `most` expired or surplus
 * entries, in transactions of at most 500, and dead reader slots.  Entries that
 * only had to be filed anew count as removed: *removed is below `most` when
 * there is nothing left to do.  now: seconds.
 *
 * One wrong clock does not make it forget what was learned.  For threads,
 * bounce events and charges the sweeper has a clock of its own in `state`,
 * which a call moves towards `now` by clock_step at most, either way; they
 * expire when both clocks say so.  Called once a second it keeps up with time,
 * catches up with a pause ten times as fast, and a clock that stands 400 days
 * ahead has to stand there for forty. */
PN_CHECK enum pn_status pn_store_sweep(struct pn_store *store, int64_t now, size_t most,
    size_t *removed, struct pn_error *err);

struct pn_store_usage {
	uint64_t generation;
	uint64_t aliases, retired;
	uint64_t threads, leases, windows, bounces;	/* leases: until the sweeper finds them expired */
	uint64_t charges;
	uint64_t directory_bytes, state_bytes;	/* pages in use */
	uint64_t directory_map, state_map;	/* bytes of map */
};
PN_CHECK enum pn_status pn_store_usage(struct pn_store *store, struct pn_store_usage *out,
    struct pn_error *err);

/* -- directory -------------------------------------------------------------- */

/* Who said so: rows of one source never remove those of another; of two rows
 * for one address the lower value wins. */
enum pn_source { PN_SOURCE_CONFIG, PN_SOURCE_SYNC };

struct pn_alias_row {
	struct pn_str gateway;
	struct pn_alias alias;
};

struct pn_directory_changes {
	uint64_t added, changed, removed;
};

/* Makes the rows of `source` be exactly `rows`, by diff, in one transaction:
 * readers see the old or the new table.  gateway "" = all gateways, else only
 * that one's rows are compared.  A row whose alias.id (not 0) was there under
 * another address retires that address in favour of the new one (where both
 * have a domain and no other alias has the old one); an address that is an
 * alias again is no longer retired.  Order of rows does not matter, but rows
 * in order of (gateway, full) need no sorting; two rows of one (gateway, full)
 * are PN_INVALID.  changes may be NULL.  The generation grows when anything
 * changed. */
PN_CHECK enum pn_status pn_directory_apply(struct pn_store *store, enum pn_source source,
    struct pn_str gateway, const struct pn_alias_row *rows, size_t n,
    struct pn_directory_changes *changes, struct pn_error *err);

/* The tables of which it matters whether they are complete. */
enum pn_table { PN_TABLE_ALIASES, PN_TABLE_THREADS, PN_TABLE_PARTNERS };

/* Notes that `table` of the gateway equals Odoo's as of `now`. */
PN_CHECK enum pn_status pn_directory_synced(struct pn_store *store, struct pn_str gateway,
    enum pn_table table, int64_t now, struct pn_error *err);

/* The addresses a gateway's domain used last time: when the configuration
 * names others now, the old ones are retired in favour of the new.  bounce and
 * catchall are whole addresses, "" = none.  Idempotent: mostly just a look. */
PN_CHECK enum pn_status pn_directory_remember_domain(struct pn_store *store,
    struct pn_str gateway, struct pn_str domain, struct pn_str bounce, struct pn_str catchall,
    int64_t now, struct pn_error *err);

/* Which configuration the rows of PN_SOURCE_CONFIG come from
 * (pn_directory_fingerprint); 0: none yet.  Two programs that have read
 * different versions of the files notice by it. */
PN_CHECK enum pn_status pn_directory_set_fingerprint(struct pn_store *store, uint64_t fingerprint,
    struct pn_error *err);

struct pn_retired {
	struct pn_str gateway;
	struct pn_str address;		/* lower-cased, local@domain */
	struct pn_str successor;
	int64_t since;
};
/* PN_INVALID also when the address is that of an alias. */
PN_CHECK enum pn_status pn_retired_put(struct pn_store *store, const struct pn_retired *row,
    struct pn_error *err);
/* PN_NOT_FOUND: it was not retired. */
PN_CHECK enum pn_status pn_retired_remove(struct pn_store *store, struct pn_str gateway,
    struct pn_str address, struct pn_error *err);

/* A consistent look at the directory, within one callback. */
struct pn_directory_view;
PN_CHECK enum pn_status pn_directory_open(struct pn_store *store, struct pn_directory_view **out,
    struct pn_error *err);
void pn_directory_close(struct pn_directory_view *view);	/* NULL is fine */

uint64_t pn_directory_generation(struct pn_directory_view *view);
uint64_t pn_directory_configured(struct pn_directory_view *view);	/* the fingerprint noted last */
/* The aliases of one gateway as the core's port; lives as long as the view.
 * Rows are copied into the arena handed to the port. */
struct pn_alias_source pn_directory_aliases(struct pn_directory_view *view, struct pn_str gateway,
    struct pn_arena *arena);
/* PN_OK / PN_NOT_FOUND. out in arena.  Case of the address does not matter; a
 * successor that was renamed itself is followed to the last one. */
PN_CHECK enum pn_status pn_directory_retired(struct pn_directory_view *view, struct pn_str gateway,
    struct pn_str address, struct pn_arena *arena, struct pn_retired *out, struct pn_error *err);
/* When the table was last synced; 0: never. */
int64_t pn_directory_synced_at(struct pn_directory_view *view, struct pn_str gateway, enum pn_table table);

/* Walks: the callback gets borrowed rows; false stops the walk.  Each page of
 * rows is read in a transaction of its own, so a slow reader pins nothing.
 * Aliases come by source, then gateway and address, also those of a source
 * that another one overrides; gateway "" = all. */
PN_CHECK enum pn_status pn_directory_each_alias(struct pn_store *store, struct pn_str gateway,
    bool (*each)(void *ctx, const struct pn_alias_row *row, enum pn_source source), void *ctx,
    struct pn_error *err);
PN_CHECK enum pn_status pn_directory_each_retired(struct pn_store *store,
    bool (*each)(void *ctx, const struct pn_retired *row), void *ctx, struct pn_error *err);

/* -- threads ---------------------------------------------------------------- */

enum pn_thread_origin {
	PN_THREAD_OUTBOUND,	/* left through us: Odoo has it */
	PN_THREAD_INBOUND,	/* we passed it on: Odoo should have it */
	PN_THREAD_SYNCED,	/* read from Odoo's database */
};

/* One message that Odoo knows (mail.message), as far as we do. */
struct pn_thread {
	struct pn_str message_id;	/* with its angle brackets, exact */
	struct pn_str model;		/* "" = without a record ("private discussion") */
	uint64_t res_id;		/* 0 = not known yet (or none when model is "") */
	enum pn_thread_origin origin;
	uint64_t sequence;		/* grows: later learned = newer message (rule 5.1) */
	int64_t seen;			/* seconds */
};

/* Learns threads of one gateway.  A message already known keeps its sequence;
 * its record is filled in when it was not known; synced beats outbound beats
 * inbound, but only synced takes a known record away.  sequence is assigned
 * here, in order of the array, and the time of expiry is counted anew.  Many
 * threads are learned in several transactions. */
PN_CHECK enum pn_status pn_thread_learn(struct pn_store *store, struct pn_str gateway,
    const struct pn_thread *threads, size_t n, int64_t now, struct pn_error *err);

/* The newest of these ids (highest sequence).  PN_NOT_FOUND: none is there. */
PN_CHECK enum pn_status pn_thread_newest(struct pn_store *store, struct pn_str gateway,
    struct pn_strs ids, struct pn_arena *arena, struct pn_thread *out, struct pn_error *err);

PN_CHECK enum pn_status pn_thread_each(struct pn_store *store, struct pn_str gateway,
    bool (*each)(void *ctx, struct pn_str gateway, const struct pn_thread *thread), void *ctx,
    struct pn_error *err);

/* -- admission: leases and loop windows -------------------------------------- */

/* One window to count in (rule 9.2): per gateway, model, record and sender. */
struct pn_window_key {
	struct pn_str model;
	struct pn_str record;	/* "" = new records of the model; else the record's id or thread */
	struct pn_str sender;
};

struct pn_admission {
	struct pn_str gateway;
	struct pn_str message_id;	/* "" = none: no twin rule, each mail counts */
	struct pn_str sender;		/* noted with a lease that lies in no thread */
	uint64_t lease_ms;		/* 0: no twin rule (mixed transaction) */
	const struct pn_window_key *windows;
	size_t window_count;
	uint64_t threshold;		/* mails per window, 10,000 at most; 0 stops every mail */
	uint64_t window_ms;
	const struct pn_thread *learn;	/* learned in the same transaction; NULL: none */
	int64_t now_ms;
	bool look_only;			/* explain: the answer it would get; nothing is written */
	uint64_t *fill;			/* NULL, or room for the mails in each window before this one */
};

enum pn_admitted {
	PN_ADMITTED,
	PN_ADMITTED_TWIN,	/* the Message-ID is within another's lease */
	PN_ADMITTED_LOOP,	/* *which window is full; asked after the lease */
};

/* Atomic over all threads and processes: takes the lease and counts in every
 * window, or - TWIN, LOOP - changes nothing.  A Message-ID already counted in
 * a window is not counted again and is admitted though the window is full
 * (the same mail after a refusal behind us).  A mail is in the window while
 * its time is > now - window_ms. */
PN_CHECK enum pn_status pn_store_admit(struct pn_store *store, const struct pn_admission *admission,
    enum pn_admitted *out, size_t *which, struct pn_error *err);

struct pn_window {
	struct pn_str gateway;
	struct pn_window_key key;
	uint64_t count;			/* mails in it when last counted */
	int64_t oldest_ms, newest_ms;
};
PN_CHECK enum pn_status pn_window_each(struct pn_store *store,
    bool (*each)(void *ctx, const struct pn_window *window), void *ctx, struct pn_error *err);
/* Empties the windows of a sender ("" = all) in a gateway ("" = all). */
PN_CHECK enum pn_status pn_window_clear(struct pn_store *store, struct pn_str gateway,
    struct pn_str sender, uint64_t *cleared, struct pn_error *err);

/* -- bounce events ------------------------------------------------------------ */

struct pn_bounce_event {
	struct pn_str gateway;
	struct pn_str recipient;	/* the address that bounced; "" = not told */
	struct pn_str message_id;	/* of the mail that bounced; "" = not told */
	struct pn_str status;		/* RFC 3463 code; "" = not told */
	struct pn_str reason;		/* Diagnostic-Code; "" = not told */
	struct pn_str model;		/* of the affected message, where known */
	uint64_t res_id;
	int64_t time;			/* seconds */
};
PN_CHECK enum pn_status pn_bounce_add(struct pn_store *store, const struct pn_bounce_event *event,
    struct pn_error *err);
/* Newest first. */
PN_CHECK enum pn_status pn_bounce_each(struct pn_store *store, struct pn_str gateway,
    bool (*each)(void *ctx, const struct pn_bounce_event *event), void *ctx, struct pn_error *err);

/* -- counters ----------------------------------------------------------------- */

/* Adds to named counters (the programs flush theirs once a second).  Names
 * have 1 to 255 bytes; there are at most 4,096 (PN_INVALID). */
struct pn_counter {
	struct pn_str name;
	uint64_t value;
};
PN_CHECK enum pn_status pn_counters_add(struct pn_store *store, const struct pn_counter *counters,
    size_t n, struct pn_error *err);
PN_CHECK enum pn_status pn_counters_each(struct pn_store *store,
    bool (*each)(void *ctx, const struct pn_counter *counter), void *ctx, struct pn_error *err);

#endif
