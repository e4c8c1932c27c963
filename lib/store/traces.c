/* Which mail was charged where, by what is known of it: its key, the queue id. */
#include "charges.h"

#include <stdlib.h>

#define HOUR_MS ((int64_t)3600 * 1000)
#define TRACE_MS (6 * 24 * HOUR_MS)	/* a day more than Postfix keeps a mail */

static int
compare(const void *a, const void *b)
{
	const struct pn_str *x = a, *y = b;

	return pn_str_cmp(*x, *y);
}

struct pn_mail_key
pn_mail_key(struct pn_str message_id, struct pn_str envelope_sender, struct pn_strs recipients)
{
	struct pn_mail_key key = { .set = message_id.n > 0 };
	struct pn_arena *arena;
	struct pn_hash hash;
	struct pn_str *parts;
	size_t n = 2;

	if (!key.set)
		return key;
	arena = pn_arena_new(SIZE_MAX);
	parts = PN_ARENA_ARRAY(arena, struct pn_str, recipients.n + 2);
	parts[0] = message_id;
	parts[1] = envelope_sender;
	if (recipients.n > 0)
		memcpy(parts + 2, recipients.v, recipients.n * sizeof(*parts));
	qsort(parts + 2, recipients.n, sizeof(*parts), compare);
	for (size_t i = 2; i < recipients.n + 2; i++)
		if (n == 2 || !pn_str_eq(parts[i], parts[n - 1]))
			parts[n++] = parts[i];
	hash = pn_hash_with(EVP_sha256(), parts, n);
	pn_arena_free(arena);
	memcpy(key.v, hash.b, sizeof(key.v));
	return key;
}

static bool
same_key(const struct pn_mail_key *a, const struct pn_mail_key *b)
{
	return a->set == b->set && (!a->set || memcmp(a->v, b->v, sizeof(a->v)) == 0);
}

static struct pn_hash
hash_mail(struct pn_store *store, const struct pn_mail_key *key)
{
	const struct pn_str parts[] = { PN_STR("mail"), pn_str_n((const char *)key->v, sizeof(key->v)) };

	return pn_hash_parts(store, parts, PN_COUNT(parts));
}

struct pn_hash
pn_hash_queue(struct pn_store *store, struct pn_str queue_id)
{
	const struct pn_str parts[] = { PN_STR("queue"), queue_id };

	return pn_hash_parts(store, parts, PN_COUNT(parts));
}

static uint64_t
hash_instance(struct pn_store *store, struct pn_str instance)
{
	struct pn_hash hash;

	if (instance.n == 0)
		return 0;
	hash = pn_hash_parts(store, &instance, 1);
	return pn_u64_get(hash.b) | 1;	/* never 0 */
}

int
pn_trace_find(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, struct pn_arena *arena,
    struct pn_trace *out)
{
	struct pn_str value;
	int rc = pn_record_get(store, txn, PN_KIND_TRACE, hash, &value);

	if (rc == 0 && !pn_trace_decode(value, out))
		return MDB_NOTFOUND;
	if (rc == 0)
		out->place.relay = pn_arena_dup(arena, out->place.relay);
	return rc;
}

int
pn_trace_put(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, const struct pn_trace *found,
    struct pn_trace *trace, int64_t now_ms)
{
	struct pn_buf buf;
	int rc;

	trace->expires = now_ms + TRACE_MS;
	trace->filed = found != NULL ? found->filed : trace->expires;
	pn_buf_init(&buf, PN_RECORD_MAX);
	pn_trace_encode(&buf, trace);
	if (found != NULL)
		rc = pn_record_replace(store, txn, PN_KIND_TRACE, hash, pn_buf_str(&buf));
	else
		rc = pn_record_add(store, txn, PN_KIND_TRACE, hash, trace->filed, now_ms / 1000,
		    pn_buf_str(&buf));
	pn_buf_done(&buf);
	return rc;
}

/* -- earlier charges -- */

/* Postfix uses a queue id again, some hours later.  Where the header was not
 * known to both, an hour is as long as the hooks of one message can be apart. */
static bool
is_same_message(const struct pn_earlier *e, const struct pn_charge *charge)
{
	const struct pn_trace *queue = &e->queue;

	if (queue->from_log)
		return false;
	if (queue->mail.set && charge->mail.set)
		return same_key(&queue->mail, &charge->mail);
	if (queue->instance != 0 && e->instance != 0 && queue->instance != e->instance)
		return false;
	return charge->now_ms - queue->place.time_ms < HOUR_MS
	    && charge->now_ms - queue->place.time_ms > -HOUR_MS;
}

/* The charge a trace tells of, if it is there and not the one found before. */
static int
add_charge(struct pn_store *store, MDB_txn *txn, const struct pn_trace *trace, struct pn_without *out)
{
	uint64_t recipients;
	int rc;

	if (out->n > 0 && out->place[0].sequence == trace->place.sequence)
		return 0;
	rc = pn_charge_get(store, txn, &trace->place, &recipients);
	if (rc != 0)
		return rc == MDB_NOTFOUND ? 0 : rc;
	out->recipients[out->n] = recipients;
	out->place[out->n++] = trace->place;
	return 0;
}

static int
find(struct pn_store *store, MDB_txn *txn, const struct pn_hash *hash, struct pn_arena *arena,
    struct pn_trace *out, bool *there)
{
	int rc = pn_trace_find(store, txn, hash, arena, out);

	*there = rc == 0;
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int
pn_earlier_find(struct pn_store *store, MDB_txn *txn, const struct pn_charge *charge, struct pn_arena *arena,
    struct pn_earlier *out)
{
	int rc = 0;

	*out = (struct pn_earlier){ .key = charge->mail, .instance = hash_instance(store, charge->instance) };
	if (charge->queue_id.n > 0) {
		out->queue_hash = pn_hash_queue(store, charge->queue_id);
		rc = find(store, txn, &out->queue_hash, arena, &out->queue, &out->has_queue);
		out->same_queue = rc == 0 && out->has_queue && is_same_message(out, charge);
	}
	if (out->same_queue) {
		if (!out->key.set)
			out->key = out->queue.mail;
		if (out->instance == 0)
			out->instance = out->queue.instance;
		rc = add_charge(store, txn, &out->queue, &out->charges);
	}
	if (rc != 0 || !out->key.set)
		return rc;
	out->mail_hash = hash_mail(store, &out->key);
	rc = find(store, txn, &out->mail_hash, arena, &out->mail, &out->has_mail);
	if (rc == 0 && out->has_mail)
		rc = add_charge(store, txn, &out->mail, &out->charges);
	return rc;
}

static bool
says_the_same(const struct pn_trace *a, const struct pn_trace *b)
{
	return a->place.sequence == b->place.sequence && pn_str_eq(a->place.relay, b->place.relay)
	    && same_key(&a->mail, &b->mail) && a->instance == b->instance && a->from_log == b->from_log;
}

int
pn_earlier_note(struct pn_store *store, MDB_txn *txn, const struct pn_earlier *earlier,
    const struct pn_charge *charge, const struct pn_place *place, int64_t now_ms, bool *changed)
{
	struct pn_trace mail = { .place = *place };
	struct pn_trace queue = { .place = *place, .mail = earlier->key, .instance = earlier->instance };
	int rc = 0;

	if (earlier->key.set && !(earlier->has_mail && says_the_same(&earlier->mail, &mail))) {
		rc = pn_trace_put(store, txn, &earlier->mail_hash, earlier->has_mail ? &earlier->mail : NULL,
		    &mail, now_ms);
		*changed = true;
	}
	if (rc == 0 && charge->queue_id.n > 0
	    && !(earlier->has_queue && says_the_same(&earlier->queue, &queue))) {
		rc = pn_trace_put(store, txn, &earlier->queue_hash,
		    earlier->has_queue ? &earlier->queue : NULL, &queue, now_ms);
		*changed = true;
	}
	return rc;
}
