#include "codec.h"

/* Raised when a record changes shape: records of another version do not decode. */
enum { VERSION = 1, THREAD_VERSION = 2 };

struct reader {
	struct pn_str rest;
	bool bad;
};

void
pn_u64_put(void *to, uint64_t value)
{
	unsigned char *p = to;

	for (int i = 7; i >= 0; i--, value >>= 8)
		p[i] = (unsigned char)value;
}

uint64_t
pn_u64_get(const void *from)
{
	const unsigned char *p = from;
	uint64_t value = 0;

	for (int i = 0; i < PN_U64_BYTES; i++)
		value = value << 8 | p[i];
	return value;
}

bool
pn_u64_decode(struct pn_str record, uint64_t *out)
{
	if (record.n != PN_U64_BYTES)
		return false;
	*out = pn_u64_get(record.p);
	return true;
}

static void
put_u8(struct pn_buf *buf, unsigned value)
{
	pn_buf_add_char(buf, (char)(unsigned char)value);
}

static void
put_u64(struct pn_buf *buf, uint64_t value)
{
	char bytes[PN_U64_BYTES];

	pn_u64_put(bytes, value);
	pn_buf_add(buf, pn_str_n(bytes, sizeof(bytes)));
}

static void
put_i64(struct pn_buf *buf, int64_t value)
{
	put_u64(buf, (uint64_t)value);
}

/* Text beyond its limit is cut: the decoder must accept what is written. */
static void
put_str(struct pn_buf *buf, struct pn_str s, size_t most)
{
	s = pn_str_head(s, most);
	put_u8(buf, (unsigned)(s.n >> 8));
	put_u8(buf, (unsigned)(s.n & 0xff));
	pn_buf_add(buf, s);
}

static struct pn_str
get_bytes(struct reader *reader, size_t n)
{
	struct pn_str bytes;

	if (reader->bad || n > reader->rest.n) {
		reader->bad = true;
		return PN_STR_EMPTY;
	}
	bytes = pn_str_head(reader->rest, n);
	reader->rest = pn_str_from(reader->rest, n);
	return bytes;
}

/* A number below `end`. */
static unsigned
get_u8(struct reader *reader, unsigned end)
{
	struct pn_str bytes = get_bytes(reader, 1);
	unsigned value = bytes.n == 0 ? 0 : (unsigned char)bytes.p[0];

	if (value >= end)
		reader->bad = true;
	return reader->bad ? 0 : value;
}

static uint64_t
get_u64(struct reader *reader)
{
	struct pn_str bytes = get_bytes(reader, PN_U64_BYTES);

	return bytes.n == 0 ? 0 : pn_u64_get(bytes.p);
}

static int64_t
get_i64(struct reader *reader)
{
	return (int64_t)get_u64(reader);
}

static struct pn_str
get_str(struct reader *reader, size_t most)
{
	size_t n = (size_t)get_u8(reader, 256) << 8;

	n |= get_u8(reader, 256);
	if (n > most)
		reader->bad = true;
	return get_bytes(reader, n);
}

static struct reader
start_version(struct pn_str record, unsigned version)
{
	struct reader reader = { .rest = record };

	if (get_u8(&reader, 256) != version)
		reader.bad = true;
	return reader;
}

static struct reader
start(struct pn_str record)
{
	return start_version(record, VERSION);
}

static bool
at_end(const struct reader *reader)
{
	return !reader->bad && reader->rest.n == 0;
}

void
pn_alias_encode(struct pn_buf *buf, const struct pn_alias *alias)
{
	put_u8(buf, VERSION);
	put_u64(buf, alias->id);
	put_u64(buf, alias->force_thread_id);
	put_u64(buf, alias->parent_id);
	put_u8(buf, (unsigned)alias->contact);
	put_u8(buf, (unsigned)alias->incoming_local | (unsigned)alias->require_dmarc << 1);
	put_str(buf, alias->local, PN_TEXT_MAX);
	put_str(buf, alias->model, PN_TEXT_MAX);
	put_str(buf, alias->parent_model, PN_TEXT_MAX);
}

bool
pn_alias_decode(struct pn_str record, struct pn_alias *out)
{
	struct reader r = start(record);
	struct pn_alias alias = { .full = PN_STR_EMPTY };
	unsigned flags;

	alias.id = get_u64(&r);
	alias.force_thread_id = get_u64(&r);
	alias.parent_id = get_u64(&r);
	alias.contact = (enum pn_contact)get_u8(&r, PN_CONTACT_EMPLOYEES + 1);
	flags = get_u8(&r, 4);
	alias.incoming_local = (flags & 1) != 0;
	alias.require_dmarc = (flags & 2) != 0;
	alias.local = get_str(&r, PN_TEXT_MAX);
	alias.model = get_str(&r, PN_TEXT_MAX);
	alias.parent_model = get_str(&r, PN_TEXT_MAX);
	if (!at_end(&r))
		return false;
	*out = alias;
	return true;
}

void
pn_retired_encode(struct pn_buf *buf, const struct pn_retired *row)
{
	put_u8(buf, VERSION);
	put_i64(buf, row->since);
	put_str(buf, row->successor, PN_TEXT_MAX);
}

bool
pn_retired_decode(struct pn_str record, struct pn_retired *out)
{
	struct reader r = start(record);
	struct pn_retired row = { .gateway = PN_STR_EMPTY, .address = PN_STR_EMPTY };

	row.since = get_i64(&r);
	row.successor = get_str(&r, PN_TEXT_MAX);
	if (!at_end(&r))
		return false;
	*out = row;
	return true;
}

void
pn_domain_note_encode(struct pn_buf *buf, const struct pn_domain_note *note)
{
	put_u8(buf, VERSION);
	put_str(buf, note->bounce, PN_TEXT_MAX);
	put_str(buf, note->catchall, PN_TEXT_MAX);
}

bool
pn_domain_note_decode(struct pn_str record, struct pn_domain_note *out)
{
	struct reader r = start(record);
	struct pn_domain_note note;

	note.bounce = get_str(&r, PN_TEXT_MAX);
	note.catchall = get_str(&r, PN_TEXT_MAX);
	if (!at_end(&r))
		return false;
	*out = note;
	return true;
}

static void
put_lease(struct pn_buf *buf, const struct pn_lease *lease)
{
	put_i64(buf, lease->taken);
	put_i64(buf, lease->expires);
}

static struct pn_lease
get_lease(struct reader *reader)
{
	struct pn_lease lease;

	lease.taken = get_i64(reader);
	lease.expires = get_i64(reader);
	return lease;
}

void
pn_thread_encode(struct pn_buf *buf, const struct pn_thread_record *record)
{
	const struct pn_thread *thread = &record->thread;

	put_u8(buf, THREAD_VERSION);
	put_i64(buf, record->filed);
	put_lease(buf, &record->lease);
	put_u8(buf, (unsigned)thread->origin);
	put_u64(buf, thread->sequence);
	put_i64(buf, thread->seen);
	put_u64(buf, thread->res_id);
	put_str(buf, record->gateway, PN_GATEWAY_MAX);
	put_str(buf, thread->model, PN_TEXT_MAX);
	put_str(buf, thread->message_id, PN_MESSAGE_ID_MAX);
}

bool
pn_thread_decode(struct pn_str record, struct pn_thread_record *out)
{
	struct reader r = start_version(record, THREAD_VERSION);
	struct pn_thread_record row;

	row.filed = get_i64(&r);
	row.lease = get_lease(&r);
	row.thread.origin = (enum pn_thread_origin)get_u8(&r, PN_THREAD_SYNCED + 1);
	row.thread.sequence = get_u64(&r);
	row.thread.seen = get_i64(&r);
	row.thread.res_id = get_u64(&r);
	row.gateway = get_str(&r, PN_GATEWAY_MAX);
	row.thread.model = get_str(&r, PN_TEXT_MAX);
	row.thread.message_id = get_str(&r, PN_MESSAGE_ID_MAX);
	if (!at_end(&r))
		return false;
	*out = row;
	return true;
}

void
pn_lease_encode(struct pn_buf *buf, const struct pn_lease_record *record)
{
	put_u8(buf, VERSION);
	put_i64(buf, record->filed);
	put_lease(buf, &record->lease);
	put_str(buf, record->gateway, PN_GATEWAY_MAX);
	put_str(buf, record->message_id, PN_TEXT_MAX);
	put_str(buf, record->sender, PN_TEXT_MAX);
}

bool
pn_lease_decode(struct pn_str record, struct pn_lease_record *out)
{
	struct reader r = start(record);
	struct pn_lease_record row;

	row.filed = get_i64(&r);
	row.lease = get_lease(&r);
	row.gateway = get_str(&r, PN_GATEWAY_MAX);
	row.message_id = get_str(&r, PN_TEXT_MAX);
	row.sender = get_str(&r, PN_TEXT_MAX);
	if (!at_end(&r))
		return false;
	*out = row;
	return true;
}

void
pn_window_encode(struct pn_buf *buf, const struct pn_window_record *record)
{
	put_u8(buf, VERSION);
	put_i64(buf, record->filed);
	put_i64(buf, record->expires);
	put_str(buf, record->gateway, PN_GATEWAY_MAX);
	put_str(buf, record->key.model, PN_TEXT_MAX);
	put_str(buf, record->key.record, PN_TEXT_MAX);
	put_str(buf, record->key.sender, PN_TEXT_MAX);
	pn_buf_add(buf, pn_str_n(record->ring.p, record->ring.n * PN_RING_ENTRY));
}

void
pn_mail_encode(struct pn_buf *buf, const struct pn_mail *mail)
{
	put_i64(buf, mail->time_ms);
	put_u64(buf, mail->id);
}

bool
pn_window_decode(struct pn_str record, struct pn_window_record *out)
{
	struct reader r = start(record);
	struct pn_window_record row;

	row.filed = get_i64(&r);
	row.expires = get_i64(&r);
	row.gateway = get_str(&r, PN_GATEWAY_MAX);
	row.key.model = get_str(&r, PN_TEXT_MAX);
	row.key.record = get_str(&r, PN_TEXT_MAX);
	row.key.sender = get_str(&r, PN_TEXT_MAX);
	if (r.bad || r.rest.n % PN_RING_ENTRY != 0 || r.rest.n / PN_RING_ENTRY > PN_RING_MAX)
		return false;
	row.ring = (struct pn_ring){ r.rest.p, r.rest.n / PN_RING_ENTRY };
	*out = row;
	return true;
}

struct pn_mail
pn_ring_at(const struct pn_ring *ring, size_t i)
{
	const char *p = ring->p + i * PN_RING_ENTRY;

	return (struct pn_mail){ (int64_t)pn_u64_get(p), pn_u64_get(p + PN_U64_BYTES) };
}

void
pn_bounce_encode(struct pn_buf *buf, const struct pn_bounce_event *event)
{
	put_u8(buf, VERSION);
	put_i64(buf, event->time);
	put_u64(buf, event->res_id);
	put_str(buf, event->gateway, PN_GATEWAY_MAX);
	put_str(buf, event->recipient, PN_TEXT_MAX);
	put_str(buf, event->message_id, PN_MESSAGE_ID_MAX);
	put_str(buf, event->status, PN_TEXT_MAX);
	put_str(buf, event->reason, PN_REASON_MAX);
	put_str(buf, event->model, PN_TEXT_MAX);
}

bool
pn_bounce_decode(struct pn_str record, struct pn_bounce_event *out)
{
	struct reader r = start(record);
	struct pn_bounce_event event;

	event.time = get_i64(&r);
	event.res_id = get_u64(&r);
	event.gateway = get_str(&r, PN_GATEWAY_MAX);
	event.recipient = get_str(&r, PN_TEXT_MAX);
	event.message_id = get_str(&r, PN_MESSAGE_ID_MAX);
	event.status = get_str(&r, PN_TEXT_MAX);
	event.reason = get_str(&r, PN_REASON_MAX);
	event.model = get_str(&r, PN_TEXT_MAX);
	if (!at_end(&r))
		return false;
	*out = event;
	return true;
}

void
pn_trace_encode(struct pn_buf *buf, const struct pn_trace *trace)
{
	put_u8(buf, VERSION);
	put_i64(buf, trace->filed);
	put_i64(buf, trace->expires);
	put_i64(buf, trace->place.time_ms);
	put_u64(buf, trace->place.sequence);
	put_u64(buf, trace->instance);
	put_u8(buf, trace->from_log);
	put_u8(buf, trace->mail.set);
	pn_buf_add(buf, pn_str_n((const char *)trace->mail.v, trace->mail.set ? sizeof(trace->mail.v) : 0));
	put_str(buf, trace->place.relay, PN_RELAY_NAME_MAX);
}

bool
pn_trace_decode(struct pn_str record, struct pn_trace *out)
{
	struct reader r = start(record);
	struct pn_trace trace = { .filed = 0 };
	struct pn_str mail;

	trace.filed = get_i64(&r);
	trace.expires = get_i64(&r);
	trace.place.time_ms = get_i64(&r);
	trace.place.sequence = get_u64(&r);
	trace.instance = get_u64(&r);
	trace.from_log = get_u8(&r, 2) != 0;
	trace.mail.set = get_u8(&r, 2) != 0;
	mail = get_bytes(&r, trace.mail.set ? sizeof(trace.mail.v) : 0);
	if (mail.n > 0)
		memcpy(trace.mail.v, mail.p, mail.n);
	trace.place.relay = get_str(&r, PN_RELAY_NAME_MAX);
	if (!at_end(&r))
		return false;
	*out = trace;
	return true;
}

void
pn_account_encode(struct pn_buf *buf, const struct pn_account_record *record)
{
	put_u8(buf, VERSION);
	put_i64(buf, record->at_ms);
	put_u8(buf, (unsigned)record->n);
	for (size_t i = 0; i < record->n; i++) {
		put_u64(buf, record->v[i].window_ms);
		put_u8(buf, record->v[i].clock);
		put_i64(buf, record->v[i].low);
		put_i64(buf, record->v[i].head);
		put_u64(buf, record->v[i].used);
	}
}

bool
pn_account_decode(struct pn_str record, struct pn_account_record *out)
{
	struct reader r = start(record);
	struct pn_account_record row = { .at_ms = 0 };

	row.at_ms = get_i64(&r);
	row.n = get_u8(&r, PN_ACCOUNT_WINDOWS + 1);
	for (size_t i = 0; i < row.n; i++) {
		row.v[i].window_ms = get_u64(&r);
		row.v[i].clock = get_u8(&r, 2) != 0;
		row.v[i].low = get_i64(&r);
		row.v[i].head = get_i64(&r);
		row.v[i].used = get_u64(&r);
	}
	if (!at_end(&r) || row.at_ms < 0)
		return false;
	*out = row;
	return true;
}

void
pn_health_encode(struct pn_buf *buf, const struct pn_health *health)
{
	put_u8(buf, VERSION);
	put_u64(buf, health->failures);
	put_u64(buf, health->pauses);
	put_i64(buf, health->closed_until_ms);
	put_u8(buf, health->closed_by_provider);
	put_i64(buf, health->last_success_ms);
	put_i64(buf, health->last_failure_ms);
	put_str(buf, pn_str_n(health->reason, strnlen(health->reason, sizeof(health->reason))),
	    sizeof(health->reason) - 1);
}

static uint32_t
get_u32(struct reader *reader)
{
	uint64_t value = get_u64(reader);

	if (value > UINT32_MAX)
		reader->bad = true;
	return (uint32_t)value;
}

bool
pn_health_decode(struct pn_str record, struct pn_health *out)
{
	struct reader r = start(record);
	struct pn_health health = { .failures = 0 };
	struct pn_str reason;

	health.failures = get_u32(&r);
	health.pauses = get_u32(&r);
	health.closed_until_ms = get_i64(&r);
	health.closed_by_provider = get_u8(&r, 2) != 0;
	health.last_success_ms = get_i64(&r);
	health.last_failure_ms = get_i64(&r);
	reason = get_str(&r, sizeof(health.reason) - 1);
	if (!at_end(&r) || pn_str_find(reason, '\0') != PN_STR_NONE)
		return false;
	memcpy(health.reason, reason.p, reason.n);
	*out = health;
	return true;
}
