/* codec.h - the records of the store as bytes, and back.
 *
 * A record starts with a version byte; numbers are big-endian, text is preceded
 * by its length.  What is read from disk counts as outside data: a decoder
 * accepts exactly what its encoder writes (same version, text within its
 * limit, no byte left over), returns false for the rest, and its text is
 * borrowed from the record.
 *
 * The records of `state` that have an index entry (threads, leases, windows,
 * traces)
 * carry, right behind the version, the time under which they are filed there.
 *
 * Pure; any thread.
 */
#ifndef POSTERN_STORE_CODEC_H
#define POSTERN_STORE_CODEC_H

#include "postern/buf.h"
#include "postern/quota.h"

/* Longest texts in a record, in bytes. */
enum {
	PN_GATEWAY_MAX = 128,
	PN_TEXT_MAX = 512,		/* addresses, models, names */
	PN_MESSAGE_ID_MAX = 2000,
	PN_REASON_MAX = 1000,
	PN_RING_MAX = 10000,		/* mails in one window */
	PN_RING_ENTRY = 16,		/* bytes of one of them */
	PN_RELAY_NAME_MAX = 64,
	PN_ACCOUNT_WINDOWS = 8,
};

/* One longest text of each kind, and a full ring. */
#define PN_RECORD_MAX ((size_t)(8 * PN_MESSAGE_ID_MAX + PN_RING_MAX * PN_RING_ENTRY))

/* Whose Message-ID is taken, in milliseconds; expires 0: nobody took it. */
struct pn_lease {
	int64_t taken, expires;
};

struct pn_thread_record {
	int64_t filed;			/* seconds */
	struct pn_lease lease;		/* of the mail the thread was learned from */
	struct pn_str gateway;
	struct pn_thread thread;
};

struct pn_lease_record {
	int64_t filed;			/* milliseconds */
	struct pn_lease lease;
	struct pn_str gateway, message_id, sender;	/* for people: may be cut */
};

/* The mails in a window: PN_RING_ENTRY bytes each, oldest count first. */
struct pn_ring {
	const char *p;
	size_t n;
};

struct pn_mail {
	int64_t time_ms;
	uint64_t id;			/* hash of the Message-ID; 0 = it had none */
};

struct pn_window_record {
	int64_t filed;			/* milliseconds */
	int64_t expires;
	struct pn_str gateway;
	struct pn_window_key key;	/* for people: may be cut */
	struct pn_ring ring;
};

/* Where a mail was charged: the key of the charge. */
struct pn_place {
	struct pn_str relay;
	int64_t time_ms;
	uint64_t sequence;
};

/* What is known of a mail, of a queue id, or of one of its recipients. */
struct pn_trace {
	int64_t filed, expires;		/* milliseconds */
	struct pn_place place;
	struct pn_mail_key mail;	/* of a queue id */
	uint64_t instance;		/* the same, hashed; 0: none */
	bool from_log;			/* only Postfix's log told of this queue id */
};

/* used: recipients of the charges with low < time <= head. */
struct pn_account_window {
	uint64_t window_ms;
	bool clock;
	int64_t low, head;
	uint64_t used;
};

struct pn_account_record {
	int64_t at_ms;			/* when somebody asked last */
	size_t n;
	struct pn_account_window v[PN_ACCOUNT_WINDOWS];
};

struct pn_domain_note {
	struct pn_str bounce, catchall;
};

/* Without .full, which is in the key. */
void pn_alias_encode(struct pn_buf *buf, const struct pn_alias *alias);
PN_CHECK bool pn_alias_decode(struct pn_str record, struct pn_alias *out);

/* Without gateway and address, which are in the key. */
void pn_retired_encode(struct pn_buf *buf, const struct pn_retired *row);
PN_CHECK bool pn_retired_decode(struct pn_str record, struct pn_retired *out);

void pn_domain_note_encode(struct pn_buf *buf, const struct pn_domain_note *note);
PN_CHECK bool pn_domain_note_decode(struct pn_str record, struct pn_domain_note *out);

void pn_thread_encode(struct pn_buf *buf, const struct pn_thread_record *record);
PN_CHECK bool pn_thread_decode(struct pn_str record, struct pn_thread_record *out);

void pn_lease_encode(struct pn_buf *buf, const struct pn_lease_record *record);
PN_CHECK bool pn_lease_decode(struct pn_str record, struct pn_lease_record *out);

/* Text and ring; further mails are added with pn_mail_encode(). */
void pn_window_encode(struct pn_buf *buf, const struct pn_window_record *record);
void pn_mail_encode(struct pn_buf *buf, const struct pn_mail *mail);
PN_CHECK bool pn_window_decode(struct pn_str record, struct pn_window_record *out);
struct pn_mail pn_ring_at(const struct pn_ring *ring, size_t i);	/* i < n */

void pn_bounce_encode(struct pn_buf *buf, const struct pn_bounce_event *event);
PN_CHECK bool pn_bounce_decode(struct pn_str record, struct pn_bounce_event *out);

void pn_trace_encode(struct pn_buf *buf, const struct pn_trace *trace);
PN_CHECK bool pn_trace_decode(struct pn_str record, struct pn_trace *out);

void pn_account_encode(struct pn_buf *buf, const struct pn_account_record *record);
PN_CHECK bool pn_account_decode(struct pn_str record, struct pn_account_record *out);

void pn_health_encode(struct pn_buf *buf, const struct pn_health *health);
PN_CHECK bool pn_health_decode(struct pn_str record, struct pn_health *out);

/* Numbers alone: counters, the generation, times. */
enum { PN_U64_BYTES = 8 };
void pn_u64_put(void *to, uint64_t value);
uint64_t pn_u64_get(const void *from);
PN_CHECK bool pn_u64_decode(struct pn_str record, uint64_t *out);

#endif
