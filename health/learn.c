#include "learn.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "postern/clock.h"
#include "postern/log.h"
#include "postern/log_line.h"
#include "postern/quota.h"
#include "postern/token.h"
#include "stamp.h"

enum {
	SLOTS = 512, /* processes of smtp(8) that are remembered */
	TEXT_SIZE = 256,
	OLD_FOR_HEALTH = 600, /* seconds */
	OLD = 24 * 3600,
};

struct failure {
	enum pn_health_event event;
	char text[TEXT_SIZE]; /* NUL-terminated */
};

/* What one process said since its last delivery, and of which message that was. */
struct slot {
	uint32_t pid;
	const struct pn_relay *waiting; /* it failed, so far; NULL: none */
	struct failure failure;
	const struct pn_relay *told; /* failed at the end of a delivery */
	char queue_id[32]; /* of that */
	bool tried[PN_RELAYS_MAX]; /* by a waiting service, in this delivery and in vain: by index in known */
};

/* Since the last flush.  What failed before a success counts for nothing. */
struct tally {
	bool succeeded;
	uint32_t failures;
	struct failure failure; /* the last one */
	bool limited;
	char limit[TEXT_SIZE];
};

struct known {
	const struct pn_relay *relay;
	struct pn_str transport, waiting;
	struct tally tally;
};

struct learn {
	const struct pn_config *config;
	struct pn_store *store;
	struct pn_arena *arena;
	struct known *v;
	size_t n;
	struct slot slots[SLOTS];
};

struct learn *
learn_new(const struct pn_config *config, struct pn_store *store)
{
	struct learn *l = calloc(1, sizeof(*l));

	if (l == NULL)
		pn_out_of_memory();
	l->config = config;
	l->store = store;
	l->arena = pn_arena_new(SIZE_MAX);
	l->v = PN_ARENA_ARRAY(l->arena, struct known, config->relays.n + 1);
	for (size_t i = 0; i < config->relays.n; i++) {
		const struct pn_relay *relay = &config->relays.v[i];

		if (relay->active)
			l->v[l->n++] = (struct known) { .relay = relay,
				.transport = pn_relay_transport(relay, false, l->arena),
				.waiting = pn_relay_transport(relay, true, l->arena) };
	}
	return l;
}

void
learn_free(struct learn *l)
{
	if (l == NULL)
		return;
	pn_arena_free(l->arena);
	free(l);
}

/* -- whose line it is --------------------------------------------------------------------- */

static bool
uses(const struct known *known, struct pn_str transport)
{
	return pn_str_eq(known->transport, transport) || pn_str_eq(known->waiting, transport);
}

static bool
is_waiting(const struct learn *l, struct pn_str transport)
{
	for (size_t i = 0; i < l->n; i++)
		if (pn_str_eq(l->v[i].waiting, transport))
			return true;
	return false;
}

static bool
is_ours(const struct learn *l, struct pn_str transport)
{
	for (size_t i = 0; i < l->n; i++)
		if (uses(&l->v[i], transport))
			return true;
	return false;
}

/* Without a port the host must tell; NULL: it is none of ours, or could be two. */
static const struct pn_relay *
find_relay(const struct learn *l, const struct pn_log_line *line)
{
	const struct pn_relay *found = NULL;

	for (size_t i = 0; i < l->n; i++) {
		const struct pn_relay *relay = l->v[i].relay;

		if (!uses(&l->v[i], line->transport) || !pn_str_eq_nocase(relay->host, line->host)
		    || (line->port != 0 && line->port != relay->port))
			continue;
		if (found != NULL)
			return NULL;
		found = relay;
	}
	return found;
}

/* -- gathering ---------------------------------------------------------------------------- */

static size_t
index_of(const struct learn *l, const struct pn_relay *relay)
{
	size_t i = 0;

	while (l->v[i].relay != relay)
		i++;
	return i;
}

static struct tally *
tally_of(struct learn *l, const struct pn_relay *relay)
{
	return &l->v[index_of(l, relay)].tally;
}

static void
copy_words(char to[TEXT_SIZE], struct pn_str text)
{
	(void)snprintf(to, TEXT_SIZE, PN_STR_FMT, PN_STR_ARG(pn_str_head(text, TEXT_SIZE - 1)));
}

static struct failure
failure_of(const struct pn_log_line *line)
{
	struct failure failure = { .event = line->event };

	copy_words(failure.text, line->text);
	return failure;
}

static void
note_failure(struct learn *l, const struct pn_relay *relay, const struct failure *failure)
{
	struct tally *tally = tally_of(l, relay);

	if (failure->event == PN_HEALTH_LIMIT) {
		tally->limited = true;
		memcpy(tally->limit, failure->text, sizeof(tally->limit));
		return;
	}
	tally->failures++;
	tally->failure = *failure;
}

static void
note_success(struct learn *l, const struct pn_relay *relay)
{
	struct tally *tally = tally_of(l, relay);

	tally->succeeded = true;
	tally->failures = 0;
}

static struct slot *
slot_of(struct learn *l, uint32_t pid)
{
	struct slot *slot = &l->slots[pid % SLOTS];

	if (slot->pid != pid)
		*slot = (struct slot) { .pid = pid };
	return slot;
}

/* smtp(8) has gone on from the relay it spoke of, so that has failed. */
static void
give_up_waiting(struct learn *l, struct slot *slot, const struct pn_relay *now_with)
{
	if (slot->waiting != NULL && slot->waiting != now_with)
		note_failure(l, slot->waiting, &slot->failure);
	if (slot->waiting != now_with)
		slot->waiting = NULL;
}

static void
learn_trouble(struct learn *l, const struct pn_log_line *line, const struct pn_relay *relay)
{
	struct slot *slot = slot_of(l, line->pid);
	struct failure failure = failure_of(line);

	if (relay == NULL)
		return;
	give_up_waiting(l, slot, relay);
	if (line->event == PN_HEALTH_LIMIT) {
		note_failure(l, relay, &failure);
		return;
	}
	slot->waiting = relay;
	slot->failure = failure;
}

/* All recipients of one delivery are told of one by one. */
static bool
is_told(struct slot *slot, const struct pn_log_line *line, const struct pn_relay *relay)
{
	char id[sizeof(slot->queue_id)];

	(void)snprintf(id, sizeof(id), PN_STR_FMT, PN_STR_ARG(line->queue_id));
	if (slot->told == relay && strcmp(slot->queue_id, id) == 0)
		return true;
	slot->told = relay;
	memcpy(slot->queue_id, id, sizeof(id));
	return false;
}

static void
learn_outcome(struct learn *l, const struct pn_log_line *line, const struct pn_relay *relay)
{
	struct slot *slot = slot_of(l, line->pid);
	struct failure failure = failure_of(line);

	give_up_waiting(l, slot, relay);
	/* "Server certificate not verified" does not say why; what came before does */
	if (slot->waiting != NULL && slot->failure.event == line->event)
		failure = slot->failure;
	slot->waiting = NULL;
	if (relay == NULL)
		return;
	if (line->status == PN_LOG_SENT) {
		slot->told = NULL;
		note_success(l, relay);
	} else if (line->failed && !is_told(slot, line, relay))
		note_failure(l, relay, &failure);
}

/* -- quotas ------------------------------------------------------------------------------- */

static enum pn_status
learn_delivery(struct learn *l, const struct pn_log_line *line, const struct pn_relay *relay, int64_t at_ms,
    struct pn_error *err)
{
	enum pn_delivery what = line->status == PN_LOG_SENT ? PN_DELIVERY_SENT : PN_DELIVERY_REFUSED;
	enum pn_status st;

	if (line->status == PN_LOG_TROUBLE || line->status == PN_LOG_DEFERRED)
		return PN_OK;
	/* it was counted when the relay was asked for */
	if (line->status == PN_LOG_SENT && is_waiting(l, line->transport))
		return PN_OK;
	st = pn_quota_delivered(l->store, line->queue_id, line->recipient,
	    relay == NULL ? PN_STR_EMPTY : relay->name, what, at_ms, err);
	if (st == PN_INVALID) { /* asking again is useless */
		pn_log(PN_LOG_WARN, "%s", err->text);
		return PN_OK;
	}
	return st;
}

/* Its name was not found: it was not even asked for. */
static bool
was_looked_up_only(const struct pn_log_line *line)
{
	return line->failed && line->event == PN_HEALTH_NO_CONNECTION && line->port == 0;
}

/* A waiting service counts before it connects: what was tried in vain is given back
 * at the end of the delivery, whose line is no other's. */
static enum pn_status
learn_attempts(struct learn *l, const struct pn_log_line *line, const struct pn_relay *relay,
    struct pn_str text, int64_t at_ms, struct pn_error *err)
{
	struct slot *slot = slot_of(l, line->pid);
	enum pn_status st = PN_OK;

	if (!is_waiting(l, line->transport))
		return PN_OK;
	if (relay != NULL && !was_looked_up_only(line))
		slot->tried[index_of(l, relay)] = line->status != PN_LOG_SENT;
	if (line->status == PN_LOG_TROUBLE)
		return PN_OK;
	for (size_t i = 0; i < l->n && st == PN_OK; i++)
		if (slot->tried[i])
			st = pn_quota_undelivered(l->store, l->v[i].relay->name, text, at_ms, err);
	if (st == PN_OK)
		memset(slot->tried, 0, sizeof(slot->tried));
	return st;
}

enum pn_status
learn_line(void *learn, struct pn_str text, struct pn_error *err)
{
	struct learn *l = learn;
	const struct pn_relay *relay;
	struct pn_log_line line;
	enum pn_status st;
	int64_t age, at_ms;

	if (!pn_log_line_parse(text, &line) || !is_ours(l, line.transport))
		return PN_OK;
	age = stamp_age(line.time, time(NULL));
	if (age > OLD)
		return PN_OK;
	relay = find_relay(l, &line);
	at_ms = pn_clock_now_ms() - age * 1000;
	st = learn_delivery(l, &line, relay, at_ms, err);
	if (st == PN_OK)
		st = learn_attempts(l, &line, relay, text, at_ms, err);
	if (st != PN_OK || age > OLD_FOR_HEALTH)
		return st;
	if (line.status != PN_LOG_TROUBLE)
		learn_outcome(l, &line, relay);
	else if (line.failed)
		learn_trouble(l, &line, relay);
	return PN_OK;
}

/* -- writing ------------------------------------------------------------------------------ */

void
learn_report(struct pn_store *store, struct pn_str relay)
{
	int64_t now_ms = pn_clock_now_ms();
	struct pn_health health;
	struct pn_error err;
	struct pn_buf line;

	if (pn_health_get(store, relay, &health, &err) != PN_OK)
		return;
	pn_buf_init(&line, 2048);
	pn_log_key(&line, "relay", relay);
	if (!pn_health_is_closed(&health, now_ms))
		pn_buf_add_c(&line, " state=open");
	else {
		pn_buf_addf(&line, " state=%s seconds=%lld", health.closed_by_provider ? "spent" : "down",
		    (long long)((health.closed_until_ms - now_ms) / 1000));
		pn_log_key_text(&line, "reason", pn_str_c(health.reason));
	}
	pn_log_line(PN_LOG_INFO, pn_buf_str(&line));
	pn_buf_done(&line);
}

void
learn_refused_login(const struct pn_config *config, const struct pn_relay *relay)
{
	struct pn_error err;

	if (relay->login == PN_LOGIN_OAUTH
	    && pn_token_note_refusal(config->state_directory, relay->name, &err) != PN_OK)
		pn_log(PN_LOG_WARN, "%s", err.text);
}

struct writing {
	struct learn *learn;
	struct pn_str relay;
	bool changed;
	enum pn_status st;
	struct pn_error *err;
};

static void
write_event(struct writing *w, enum pn_health_event event, const char *text)
{
	bool changed = false;

	if (w->st == PN_OK)
		w->st = pn_health_learn(
		    w->learn->store, w->relay, event, pn_str_c(text), pn_clock_now_ms(), &changed, w->err);
	w->changed = w->changed || changed;
}

/* The success comes first: failures before it were dropped. */
static enum pn_status
flush_one(struct learn *l, struct known *known, struct pn_error *err)
{
	struct writing w = { .learn = l, .relay = known->relay->name, .st = PN_OK, .err = err };
	const struct tally *tally = &known->tally;

	if (tally->succeeded)
		write_event(&w, PN_HEALTH_SUCCESS, "");
	for (uint32_t i = 0; i < tally->failures && i < PN_HEALTH_FAILURES; i++)
		write_event(&w, tally->failure.event, tally->failure.text);
	if (tally->limited)
		write_event(&w, PN_HEALTH_LIMIT, tally->limit);
	if (w.changed)
		learn_report(l->store, known->relay->name);
	if (w.st == PN_OK && tally->failures > 0 && tally->failure.event == PN_HEALTH_NO_LOGIN)
		learn_refused_login(l->config, known->relay);
	if (w.st == PN_OK)
		known->tally = (struct tally) { .failures = 0 };
	return w.st;
}

enum pn_status
learn_flush(struct learn *l, struct pn_error *err)
{
	for (size_t i = 0; i < l->n; i++) {
		enum pn_status st = flush_one(l, &l->v[i], err);

		if (st != PN_OK)
			return st;
	}
	return PN_OK;
}
