#include "postern/resolver.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unbound.h>
#include <unistd.h>

#include "dns_cache.h"
#include "dns_rdata.h"
#include "postern/buf.h"
#include "postern/clock.h"

enum {
	TIMEOUT_MS = 5000,
	CACHE_ENTRIES = 50000,
	CACHE_BYTES = 64 * 1024 * 1024,
	/* also those that nobody waits for any more: where no server answers libunbound is long in giving up */
	FLYING_MAX = 4000,
	FLYING_EARLY_MAX = FLYING_MAX / 2,	/* the others are for those who wait */
	CLASS_IN = 1,
	/* seconds an answer is kept */
	TTL_MIN = 5,
	TTL_MAX = 86400,
	TTL_NEGATIVE_MAX = 900,
	TTL_FAILURE = 30,
};

struct pn_resolver {
	struct ub_ctx *unbound;
	int64_t timeout_us;
	pthread_t dispatcher;
	int stop;			/* an eventfd */
	pthread_mutex_t lock;		/* of all below, and of the entries until they have landed */
	struct dns_cache cache;
	struct pn_resolver_counts counts;
};

/* -- answers -- */

static uint32_t
clamp_ttl(int ttl, uint32_t max)
{
	return ttl < TTL_MIN ? TTL_MIN : (uint32_t)ttl > max ? max : (uint32_t)ttl;
}

static void
keep_records(struct dns_entry *entry, const struct ub_result *result)
{
	size_t total = 0, at = 0;
	char *p;

	for (int i = 0; result->data[i] != NULL; i++)
		total += 2 + (size_t)result->len[i];
	p = malloc(total + 1);
	if (p == NULL)
		pn_out_of_memory();
	for (int i = 0; result->data[i] != NULL; i++) {
		size_t n = (size_t)result->len[i];

		p[at] = (char)(n >> 8);
		p[at + 1] = (char)n;
		memcpy(p + at + 2, result->data[i], n);
		at += 2 + n;
	}
	entry->rdata = pn_str_n(p, total);
}

static uint32_t
set_failure(struct dns_entry *entry, const char *why, const char *detail)
{
	entry->status = PN_TEMPFAIL;
	(void)snprintf(entry->why, sizeof(entry->why), "%s%s", why, detail);
	return TTL_FAILURE;
}

/* Returns how long it may be kept. */
static uint32_t
read_result(struct dns_entry *entry, int failed, const struct ub_result *result)
{
	char code[16];

	if (failed != 0)
		return set_failure(entry, "resolver: ", ub_strerror(failed));
	if (result->bogus)
		return set_failure(entry, "bogus: ", result->why_bogus == NULL ? "" : result->why_bogus);
	entry->secure = result->secure;
	if (result->havedata) {
		entry->alias = result->canonname != NULL && strcasecmp(result->canonname, result->qname) != 0;
		keep_records(entry, result);
		entry->status = PN_OK;
		return clamp_ttl(result->ttl, TTL_MAX);
	}
	if (result->rcode == 0 || result->nxdomain) {
		entry->status = PN_NOT_FOUND;
		entry->nxdomain = result->nxdomain;
		return clamp_ttl(result->ttl, TTL_NEGATIVE_MAX);
	}
	(void)snprintf(code, sizeof(code), "%d", result->rcode);
	return result->rcode == 2 ? set_failure(entry, "SERVFAIL", "") : set_failure(entry, "rcode ", code);
}

/* Of libunbound, in the dispatcher. */
static void
on_answer(void *data, int failed, struct ub_result *result)
{
	struct dns_entry *entry = data;
	struct pn_resolver *resolver = entry->owner;
	uint32_t ttl;

	(void)pthread_mutex_lock(&resolver->lock);
	ttl = read_result(entry, failed, result);
	entry->expires = pn_clock_mono_us() + (int64_t)ttl * 1000000;
	dns_cache_land(&resolver->cache, entry);
	(void)pthread_mutex_unlock(&resolver->lock);
	ub_resolve_free(result);
}

static void *
dispatch(void *data)
{
	struct pn_resolver *resolver = data;
	struct pollfd fds[] = {
		{ .fd = ub_fd(resolver->unbound), .events = POLLIN },
		{ .fd = resolver->stop, .events = POLLIN },
	};

	while (fds[1].revents == 0) {
		int n = poll(fds, PN_COUNT(fds), -1);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && fds[0].revents != 0)
			(void)ub_process(resolver->unbound);
	}
	return NULL;
}

/* -- questions -- */

/* In the form libunbound reads: any byte but letters, digits, hyphens and underscores is escaped. */
static const char *
presentation(struct pn_str name, struct pn_buf *buf)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (pn_is_alnum(c) || c == '-' || c == '_' || c == '.')
			pn_buf_add_char(buf, c);
		else
			pn_buf_addf(buf, "\\%03u", (unsigned)(unsigned char)c);
	}
	return pn_buf_c(buf);
}

static void
send_question(struct pn_resolver *resolver, struct dns_entry *entry)
{
	struct pn_buf buf;
	int failed;

	pn_buf_init(&buf, 4 * 256);
	failed = ub_resolve_async(resolver->unbound, presentation(entry->name, &buf), (int)entry->type,
	    CLASS_IN, entry, on_answer, NULL);
	pn_buf_done(&buf);
	if (failed != 0)
		on_answer(entry, failed, NULL);
}

/* Held for the caller; NULL when too much is on its way. */
static struct dns_entry *
start(struct pn_resolver *resolver, struct pn_str name, enum pn_dns_type type)
{
	char lower[256];
	struct dns_entry *entry;
	bool is_new;

	for (size_t i = 0; i < name.n; i++)
		lower[i] = pn_to_lower(name.p[i]);
	(void)pthread_mutex_lock(&resolver->lock);
	entry = dns_cache_take(&resolver->cache, pn_str_n(lower, name.n), type, pn_clock_mono_us(), &is_new);
	if (entry != NULL && is_new) {
		entry->owner = resolver;
		resolver->counts.asked++;
	} else if (entry != NULL) {
		resolver->counts.hits += entry->landed;
		resolver->counts.joined += !entry->landed;
	}
	(void)pthread_mutex_unlock(&resolver->lock);
	if (entry != NULL && is_new)
		send_question(resolver, entry);
	return entry;
}

static void
release(struct pn_resolver *resolver, struct dns_entry *entry)
{
	(void)pthread_mutex_lock(&resolver->lock);
	dns_cache_release(entry);
	(void)pthread_mutex_unlock(&resolver->lock);
}

static bool
wait_for(struct pn_resolver *resolver, struct dns_entry *entry, int64_t deadline)
{
	struct timespec until = { .tv_sec = deadline / 1000000, .tv_nsec = deadline % 1000000 * 1000 };
	bool landed;

	(void)pthread_mutex_lock(&resolver->lock);
	while (!entry->landed
	    && pthread_cond_timedwait(&entry->landed_now, &resolver->lock, &until) != ETIMEDOUT)
		continue;
	landed = entry->landed;
	(void)pthread_mutex_unlock(&resolver->lock);
	return landed;
}

static struct pn_strs
split_rdata(struct pn_str rdata, struct pn_arena *arena)
{
	struct pn_strs_builder list = { .arena = arena };

	while (rdata.n > 0) {
		size_t n = (size_t)(unsigned char)rdata.p[0] << 8 | (unsigned char)rdata.p[1];

		pn_strs_add(&list, pn_str_n(rdata.p + 2, n));
		rdata = pn_str_from(rdata, 2 + n);
	}
	return list.list;
}

static enum pn_status
read_entry(const struct dns_entry *entry, struct pn_arena *arena, struct pn_dns_answer *out,
    struct pn_error *err)
{
	int64_t left = (entry->expires - pn_clock_mono_us()) / 1000000;
	struct pn_dns_answer answer = {
		.nxdomain = entry->nxdomain, .secure = entry->secure, .alias = entry->alias,
		.ttl = left > 0 ? (uint32_t)left : 0,
	};

	if (entry->status == PN_TEMPFAIL)
		return pn_fail(err, PN_TEMPFAIL, "%s", entry->why);
	if (entry->status == PN_OK)
		dns_rdata_read(entry->type, split_rdata(entry->rdata, arena), arena, &answer);
	*out = answer;
	if (answer.records.n > 0)
		return PN_OK;
	return pn_fail(err, PN_NOT_FOUND, entry->nxdomain ? "NXDOMAIN" : "no such record");
}

static enum pn_status
resolver_query_until(void *ctx, struct pn_str name, enum pn_dns_type type, int64_t deadline,
    struct pn_arena *arena, struct pn_dns_answer *out, struct pn_error *err)
{
	struct pn_resolver *resolver = ctx;
	int64_t own = pn_clock_mono_us() + resolver->timeout_us;
	struct dns_entry *entry;
	enum pn_status st;

	if (!pn_dns_name(name, &name))
		return pn_fail(err, PN_INVALID, "no name that can be asked for");
	entry = start(resolver, name, type);
	if (entry == NULL)
		return pn_fail(err, PN_TEMPFAIL, "too many DNS questions at once");
	if (wait_for(resolver, entry, own < deadline ? own : deadline))
		st = read_entry(entry, arena, out, err);
	else
		st = pn_fail(err, PN_TEMPFAIL, "time-out");
	release(resolver, entry);
	return st;
}

static enum pn_status
resolver_query(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
    struct pn_dns_answer *out, struct pn_error *err)
{
	return resolver_query_until(ctx, name, type, INT64_MAX, arena, out, err);
}

struct pn_dns
pn_resolver_port(struct pn_resolver *resolver)
{
	return (struct pn_dns){
		.ctx = resolver, .query = resolver_query, .query_until = resolver_query_until,
	};
}

void
pn_resolver_start(struct pn_resolver *resolver, struct pn_str name, enum pn_dns_type type)
{
	struct dns_entry *entry = NULL;
	bool busy;

	(void)pthread_mutex_lock(&resolver->lock);
	busy = resolver->cache.flying >= FLYING_EARLY_MAX;
	(void)pthread_mutex_unlock(&resolver->lock);
	if (!busy && pn_dns_name(name, &name))
		entry = start(resolver, name, type);
	if (entry != NULL)
		release(resolver, entry);
}

struct pn_resolver_counts
pn_resolver_count(struct pn_resolver *resolver)
{
	struct pn_resolver_counts counts;

	(void)pthread_mutex_lock(&resolver->lock);
	counts = resolver->counts;
	counts.entries = resolver->cache.entries;
	counts.bytes = resolver->cache.bytes;
	(void)pthread_mutex_unlock(&resolver->lock);
	return counts;
}

/* -- open and close -- */

static int
set_options(struct ub_ctx *unbound, const char *const (*options)[2], size_t n)
{
	int failed = 0;

	for (size_t i = 0; failed == 0 && i < n; i++)
		failed = ub_ctx_set_option(unbound, options[i][0], options[i][1]);
	return failed;
}

/* They are asked for everything: what libunbound would answer by itself (private addresses, "test") may well
 * be known to them. */
static enum pn_status
use_forwarders(struct ub_ctx *unbound, struct pn_strs forwarders, struct pn_error *err)
{
	static const char *const options[][2] = {
		{ "do-not-query-localhost:", "no" },
		{ "unblock-lan-zones:", "yes" },
	};
	static const char *const zones[] = { "test.", "home.arpa." };
	char text[256];
	int failed = set_options(unbound, options, PN_COUNT(options));

	for (size_t i = 0; failed == 0 && i < forwarders.n; i++) {
		(void)snprintf(text, sizeof(text), PN_STR_FMT, PN_STR_ARG(forwarders.v[i]));
		if (strcmp(text, "system") == 0) {
			if (ub_ctx_resolvconf(unbound, NULL) != 0)
				return pn_fail(err, PN_TEMPFAIL, "cannot read /etc/resolv.conf; mend it, or set dns_servers");
		} else if (ub_ctx_set_fwd(unbound, text) != 0)
			return pn_fail(err, PN_INVALID, "no address of a name server: \"%s\"", text);
	}
	/* the last step: nothing can be set after it */
	for (size_t i = 0; failed == 0 && i < PN_COUNT(zones); i++)
		failed = ub_ctx_zone_add(unbound, zones[i], "transparent");
	return failed == 0 ? PN_OK : pn_fail(err, PN_TEMPFAIL, "libunbound: %s", ub_strerror(failed));
}

/* libunbound would open it only with the first question, and then answer none. */
static enum pn_status
use_trust_anchor(struct ub_ctx *unbound, struct pn_str file, struct pn_error *err)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), PN_STR_FMT, PN_STR_ARG(file));
	if (access(path, R_OK) != 0 || ub_ctx_add_ta_file(unbound, path) != 0)
		return pn_fail(err, PN_INVALID, "cannot read the trust anchor %s", path);
	return PN_OK;
}

static enum pn_status
configure(struct ub_ctx *unbound, const struct pn_resolver_options *options, struct pn_error *err)
{
	bool validate = options->trust_anchor.n > 0;
	const char *const always[][2] = {
		{ "module-config:", validate ? "validator iterator" : "iterator" },
		/* more than FLYING_MAX: else questions wait behind those that no server answers */
		{ "num-queries-per-thread:", "4096" },
		{ "outgoing-range:", "4096" },
		/* a server that was away is tried again at once */
		{ "infra-keep-probing:", "yes" },
		{ "infra-cache-max-rtt:", "4000" },
	};
	int failed = set_options(unbound, always, PN_COUNT(always));
	enum pn_status st = PN_OK;

	if (failed != 0 || (failed = ub_ctx_async(unbound, 1)) != 0)
		return pn_fail(err, PN_TEMPFAIL, "libunbound: %s", ub_strerror(failed));
	if (validate)
		st = use_trust_anchor(unbound, options->trust_anchor, err);
	if (st == PN_OK && options->forwarders.n > 0)
		st = use_forwarders(unbound, options->forwarders, err);
	return st;
}

/* Signals are for the program's own threads. */
static bool
start_dispatcher(struct pn_resolver *resolver)
{
	sigset_t all, before;
	int failed;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&resolver->dispatcher, NULL, dispatch, resolver);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed == 0;
}

static void
dispose(struct pn_resolver *resolver)
{
	if (resolver->unbound != NULL)
		ub_ctx_delete(resolver->unbound);
	dns_cache_done(&resolver->cache);
	if (resolver->stop >= 0)
		(void)close(resolver->stop);
	(void)pthread_mutex_destroy(&resolver->lock);
	free(resolver);
}

enum pn_status
pn_resolver_open(const struct pn_resolver_options *options, struct pn_resolver **out, struct pn_error *err)
{
	struct pn_resolver *resolver = calloc(1, sizeof(*resolver));
	enum pn_status st;

	if (resolver == NULL)
		pn_out_of_memory();
	(void)pthread_mutex_init(&resolver->lock, NULL);
	dns_cache_init(&resolver->cache, options->cache_entries > 0 ? options->cache_entries : CACHE_ENTRIES,
	    options->cache_bytes > 0 ? options->cache_bytes : CACHE_BYTES, FLYING_MAX);
	resolver->timeout_us = (options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS) * INT64_C(1000);
	resolver->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	resolver->unbound = ub_ctx_create();
	st = resolver->stop < 0 || resolver->unbound == NULL
	    ? pn_fail(err, PN_TEMPFAIL, "cannot start libunbound")
	    : configure(resolver->unbound, options, err);
	if (st == PN_OK && !start_dispatcher(resolver))
		st = pn_fail(err, PN_TEMPFAIL, "cannot start a thread");
	if (st == PN_OK)
		*out = resolver;
	else
		dispose(resolver);
	return st;
}

void
pn_resolver_close(struct pn_resolver *resolver)
{
	if (resolver == NULL)
		return;
	(void)eventfd_write(resolver->stop, 1);
	(void)pthread_join(resolver->dispatcher, NULL);
	dispose(resolver);
}
