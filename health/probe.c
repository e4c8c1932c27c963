#include "probe.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "learn.h"
#include "postern/clock.h"
#include "postern/log.h"
#include "postern/quota.h"
#include "postern/smtp_client.h"
#include "postern/token.h"

enum {
	STEP_MS = 10000,
	TOTAL_MS = 30000,
	SECRET_LIMIT = 1 << 20,
	ILL_SECONDS = 60, /* between two probes of a relay with failures */
	AGAIN_SECONDS = 5, /* of one whose pause is over, when it could not be tried */
	JITTER = 5, /* a fifth of the interval, up or down */
	STACK_SIZE = 512 * 1024,
};

struct probe {
	struct shared *shared; /* NULL: this place is free */
	const struct pn_relay *relay;
	bool login;
	pthread_t thread;
	/* the thread's, until it is done */
	atomic_bool done;
	bool tried; /* else the text says why not */
	enum pn_smtp_failure failure;
	char text[256];
};

struct probes {
	struct shared *shared;
	int64_t *due; /* of each relay: seconds on the steady clock */
	struct probe v[PROBES_MAX];
};

struct shared *
shared_new(struct pn_config *config)
{
	struct shared *shared = calloc(1, sizeof(*shared));

	if (shared == NULL)
		pn_out_of_memory();
	*shared = (struct shared) { config, 1 };
	return shared;
}

void
shared_release(struct shared *shared)
{
	if (shared == NULL || --shared->users > 0)
		return;
	pn_config_free(shared->config);
	free(shared);
}

/* -- one probe, in its thread --------------------------------------------------------------- */

static enum pn_status
read_secret(const struct probe *p, struct pn_arena *arena, struct pn_str *out, struct pn_error *err)
{
	const struct pn_relay *relay = p->relay;
	struct pn_token token;
	enum pn_status st;

	*out = PN_STR_EMPTY;
	if (!p->login || relay->user.n == 0 || relay->login == PN_LOGIN_CERTIFICATE)
		return PN_OK;
	if (relay->login == PN_LOGIN_PASSWORD)
		return pn_config_secret(pn_arena_cstr(arena, relay->password_file), arena, out, err);
	st = pn_token_read(
	    p->shared->config->state_directory, relay->name, pn_clock_now(), arena, &token, err);
	if (st == PN_OK)
		*out = token.text;
	return st;
}

static void
try_relay(struct probe *p, struct pn_arena *arena)
{
	struct pn_smtp_result last;
	struct pn_str secret;
	struct pn_error err = { "" };
	struct pn_smtp_plan plan = { .relay = p->relay,
		.helo = p->shared->config->hostname,
		.last = p->login ? PN_SMTP_STEP_LOGIN : PN_SMTP_STEP_TLS,
		.step_ms = STEP_MS,
		.total_ms = TOTAL_MS };

	p->tried = read_secret(p, arena, &secret, &err) == PN_OK;
	if (!p->tried) {
		(void)snprintf(p->text, sizeof(p->text), "%.255s", err.text);
		return;
	}
	plan.secret = secret;
	p->failure = pn_smtp_try(&plan, arena, &last);
	/* it is in the arena; only its type says that it is borrowed */
	explicit_bzero((void *)(uintptr_t)secret.p, secret.n);
	(void)snprintf(p->text, sizeof(p->text), "probe: %s: " PN_STR_FMT, pn_smtp_step_name(last.step),
	    PN_STR_ARG(pn_str_head(last.text, 200)));
}

static void *
run(void *ctx)
{
	struct probe *p = ctx;
	struct pn_arena *arena = pn_arena_new(SECRET_LIMIT);

	try_relay(p, arena);
	pn_arena_free(arena);
	atomic_store(&p->done, true);
	return NULL;
}

static bool
start_thread(struct probe *p)
{
	pthread_attr_t attributes;
	bool ok;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
	ok = pthread_create(&p->thread, &attributes, run, p) == 0;
	(void)pthread_attr_destroy(&attributes);
	return ok;
}

/* False: all places are taken. */
static bool
begin(struct probes *probes, const struct pn_relay *relay, bool login)
{
	for (size_t i = 0; i < PROBES_MAX; i++) {
		struct probe *p = &probes->v[i];

		if (p->shared != NULL)
			continue;
		*p = (struct probe) { .shared = probes->shared, .relay = relay, .login = login };
		if (!start_thread(p)) {
			p->shared = NULL;
			return false;
		}
		p->shared->users++;
		return true;
	}
	return false;
}

/* -- what it has found ------------------------------------------------------------------------ */

/* False: it says nothing of the relay's health. */
static bool
event_of(const struct probe *p, enum pn_health_event *out)
{
	switch (p->failure) {
	case PN_SMTP_FINE: *out = PN_HEALTH_SUCCESS; return p->login;
	case PN_SMTP_NO_CONNECTION: *out = PN_HEALTH_NO_CONNECTION; return true;
	case PN_SMTP_NO_TLS: *out = PN_HEALTH_NO_TLS; return true;
	case PN_SMTP_NO_LOGIN: *out = PN_HEALTH_NO_LOGIN; return true;
	case PN_SMTP_LIMITED: *out = PN_HEALTH_LIMIT; return true;
	case PN_SMTP_NO_SERVICE: *out = PN_HEALTH_NO_SERVICE; return true;
	case PN_SMTP_REFUSED_SENDER:
	case PN_SMTP_REFUSED_RECIPIENT:
	case PN_SMTP_UNUSABLE: break;
	}
	return false;
}

static enum pn_status
learn_probe(const struct probe *p, struct pn_store *store, struct pn_error *err)
{
	enum pn_health_event event;
	bool changed = false;
	enum pn_status st;

	if (!p->tried) {
		pn_log(PN_LOG_WARN, "relay=" PN_STR_FMT " cannot be tried: %s", PN_STR_ARG(p->relay->name),
		    p->text);
		return PN_OK;
	}
	if (!event_of(p, &event))
		return PN_OK;
	st = pn_health_learn(
	    store, p->relay->name, event, pn_str_c(p->text), pn_clock_now_ms(), &changed, err);
	if (changed)
		learn_report(store, p->relay->name);
	if (st == PN_OK && event == PN_HEALTH_NO_LOGIN)
		learn_refused_login(p->shared->config, p->relay);
	return st;
}

static bool
is_done(struct probe *p)
{
	return p->shared != NULL && atomic_load(&p->done);
}

static void
clear(struct probe *p)
{
	(void)pthread_join(p->thread, NULL);
	shared_release(p->shared);
	p->shared = NULL;
}

static enum pn_status
reap(struct probes *probes, struct pn_store *store, struct pn_error *err)
{
	enum pn_status st = PN_OK;

	for (size_t i = 0; i < PROBES_MAX && st == PN_OK; i++) {
		struct probe *p = &probes->v[i];

		if (!is_done(p))
			continue;
		st = learn_probe(p, store, err);
		if (st == PN_OK)
			clear(p);
	}
	return st;
}

/* -- when --------------------------------------------------------------------------------------- */

static int64_t
now_seconds(void)
{
	return pn_clock_mono_us() / 1000000;
}

static uint64_t
random_below(uint64_t n)
{
	uint64_t value = 0;

	if (n == 0 || getrandom(&value, sizeof(value), GRND_NONBLOCK) != (ssize_t)sizeof(value))
		return 0;
	return value % n;
}

static bool
is_running(const struct probes *probes, struct pn_str relay)
{
	for (size_t i = 0; i < PROBES_MAX; i++)
		if (probes->v[i].shared != NULL && pn_str_eq(probes->v[i].relay->name, relay))
			return true;
	return false;
}

static int64_t
pause_after(const struct pn_health *health, uint64_t interval)
{
	if (health->closed_until_ms != 0)
		return AGAIN_SECONDS;
	if (health->failures > 0 && interval > ILL_SECONDS)
		interval = ILL_SECONDS;
	return (int64_t)(interval - interval / JITTER + random_below(2 * interval / JITTER + 1));
}

/* A relay that was down is tried at once when its pause is over. */
static enum pn_status
consider(struct probes *probes, size_t i, struct pn_store *store, struct pn_error *err)
{
	const struct pn_config *config = probes->shared->config;
	const struct pn_relay *relay = &config->relays.v[i];
	int64_t now = now_seconds();
	struct pn_health health;
	enum pn_status st;
	bool half_open;

	if (!relay->active || is_running(probes, relay->name))
		return PN_OK;
	st = pn_health_get(store, relay->name, &health, err);
	if (st != PN_OK || pn_health_is_closed(&health, pn_clock_now_ms()))
		return st;
	half_open = health.closed_until_ms != 0 && !health.closed_by_provider;
	if (now < probes->due[i] && !(half_open && now + AGAIN_SECONDS < probes->due[i]))
		return PN_OK;
	if (begin(probes, relay, half_open))
		probes->due[i] = now + pause_after(&health, config->probe_interval);
	return PN_OK;
}

enum pn_status
probes_tick(struct probes *probes, struct pn_store *store, struct pn_error *err)
{
	const struct pn_config *config = probes->shared->config;
	enum pn_status st = reap(probes, store, err);

	for (size_t i = 0; i < config->relays.n && config->probe_interval > 0 && st == PN_OK; i++)
		st = consider(probes, i, store, err);
	return st;
}

/* -- life --------------------------------------------------------------------------------------- */

struct probes *
probes_new(void)
{
	struct probes *probes = calloc(1, sizeof(*probes));

	if (probes == NULL)
		pn_out_of_memory();
	return probes;
}

void
probes_follow(struct probes *probes, struct shared *shared)
{
	const struct pn_config *config = shared->config;

	free(probes->due);
	probes->due = calloc(config->relays.n + 1, sizeof(*probes->due));
	if (probes->due == NULL)
		pn_out_of_memory();
	probes->shared = shared;
	for (size_t i = 0; i < config->relays.n; i++)
		probes->due[i] = now_seconds() + (int64_t)random_below(config->probe_interval + 1);
}

bool
probes_free(struct probes *probes)
{
	bool idle = true;

	for (size_t i = 0; i < PROBES_MAX; i++)
		if (is_done(&probes->v[i]))
			clear(&probes->v[i]);
		else if (probes->v[i].shared != NULL)
			idle = false;
	if (!idle)
		return false;
	free(probes->due);
	free(probes);
	return true;
}
