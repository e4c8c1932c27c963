#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "../../lib/auth/dns_cache.h"
#include "../../lib/auth/dns_rdata.h"
#include "postern/clock.h"
#include "postern/dns_zone.h"
#include "postern/resolver.h"

enum { ARENA_LIMIT = 4 * 1024 * 1024, SECOND = 1000000 };

/* "ok a|b", "not found nxdomain", "temporary failure: SERVFAIL" */
static struct pn_str
ask(struct pn_dns dns, const char *name, enum pn_dns_type type, struct pn_arena *arena)
{
	struct pn_dns_answer answer = { .nxdomain = false };
	struct pn_error err = { "" };
	enum pn_status st = dns.query(dns.ctx, pn_str_c(name), type, arena, &answer, &err);

	if (st == PN_OK)
		return pn_arena_printf(arena, "ok " PN_STR_FMT,
		    PN_STR_ARG(pn_strs_join(answer.records, PN_STR("|"), arena)));
	if (st == PN_NOT_FOUND)
		return pn_str_c(answer.nxdomain ? "nxdomain" : "not found");
	return pn_arena_printf(arena, "%s: %s", pn_status_name(st), err.text);
}

static void
check(const char *name, struct pn_str got, const char *want)
{
	if (!pn_str_eq(got, pn_str_c(want)))
		fail_msg("%s: got \"" PN_STR_FMT "\", not \"%s\"", name, PN_STR_ARG(got), want);
}

/* -- the zone -- */

static const char *const zone_lines[] = {
	"# a comment", "",
	"example.org A 65.66.67.68",
	"example.org A 97.98.99.100",
	"Example.ORG. MX 20 second.example.org.",
	"example.org MX 10 first.example.org",
	"example.org MX 20 third.example.org",
	"example.org TXT \"one \" two \"\"  \\116hree\\\"",
	"example.org TXT other",
	"www.example.org CNAME here.example.org.",
	"here.example.org CNAME example.org",
	"lost.example.org CNAME gone.example.org",
	"loop.example.org CNAME pool.example.org",
	"pool.example.org CNAME loop.example.org",
	"slow.example.org A 65.66.67.68",
	"slow.example.org TIMEOUT",
	"odd.example.org SERVFAIL TXT",
	"a.b.deep.example.org A 65.66.67.68",
	"\"a b\\\\c.example.org\" A 65.66.67.68",
	"null.example.org MX 0 .",
	"six.example.org AAAA 4142:4344:4546:4748:494a:4b4c:4d4e:4f50",
};

static const struct {
	const char *name, *question;
	enum pn_dns_type type;
	const char *want;
} zone_cases[] = {
	{ "addresses", "example.org", PN_DNS_A, "ok ABCD|abcd" },
	{ "IPv6", "six.example.org", PN_DNS_AAAA, "ok ABCDEFGHIJKLMNOP" },
	{ "case and last dot", "EXAMPLE.org.", PN_DNS_A, "ok ABCD|abcd" },
	{ "MX by preference", "example.org", PN_DNS_MX,
	    "ok first.example.org|second.example.org|third.example.org" },
	{ "texts", "example.org", PN_DNS_TXT, "ok one twothree\"|other" },
	{ "CNAME chain", "www.example.org", PN_DNS_A, "ok ABCD|abcd" },
	{ "CNAME to nowhere", "lost.example.org", PN_DNS_A, "nxdomain" },
	{ "CNAME loop", "loop.example.org", PN_DNS_A, "temporary failure: CNAME loop" },
	{ "what is there is answered", "slow.example.org", PN_DNS_A, "ok ABCD" },
	{ "the rest is not", "slow.example.org", PN_DNS_TXT, "temporary failure: time-out" },
	{ "one type fails", "odd.example.org", PN_DNS_TXT, "temporary failure: SERVFAIL" },
	{ "the others do not", "odd.example.org", PN_DNS_A, "not found" },
	{ "no such type", "example.org", PN_DNS_AAAA, "not found" },
	{ "no such name", "nobody.example.org", PN_DNS_A, "nxdomain" },
	{ "a name below is", "deep.example.org", PN_DNS_A, "not found" },
	{ "half a label is not", "eep.example.org", PN_DNS_A, "nxdomain" },
	{ "any byte", "a b\\c.example.org", PN_DNS_A, "ok ABCD" },
	{ "null MX", "null.example.org", PN_DNS_MX, "ok " },
	{ "no name", "", PN_DNS_A, "invalid: no name that can be asked for" },
	{ "empty label", "a..example.org", PN_DNS_A, "invalid: no name that can be asked for" },
	{ "only a dot", ".", PN_DNS_A, "invalid: no name that can be asked for" },
	{ "label of 64", "a123456789012345678901234567890123456789012345678901234567890123.org", PN_DNS_A,
	    "invalid: no name that can be asked for" },
	{ "label of 63", "a12345678901234567890123456789012345678901234567890123456789012.org", PN_DNS_A,
	    "nxdomain" },
};

static struct pn_dns_zone *
new_zone(const char *const *lines, size_t n)
{
	struct pn_dns_zone *zone = pn_dns_zone_new();
	struct pn_error err;

	for (size_t i = 0; i < n; i++)
		if (pn_dns_zone_add(zone, pn_str_c(lines[i]), &err) != PN_OK)
			fail_msg("%s: %s", lines[i], err.text);
	return zone;
}

static void
test_zone(void **state)
{
	struct pn_dns_zone *zone = new_zone(zone_lines, PN_COUNT(zone_lines));
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);

	(void)state;
	for (size_t i = 0; i < PN_COUNT(zone_cases); i++)
		check(zone_cases[i].name, ask(pn_dns_zone_port(zone), zone_cases[i].question,
		    zone_cases[i].type, arena), zone_cases[i].want);
	pn_arena_free(arena);
	pn_dns_zone_free(zone);
}

static void
test_bad_lines(void **state)
{
	static const char *const lines[] = {
		"example.org",
		"example.org A",
		"example.org A 1.2.3",
		"example.org A 1.2.3.4 5",
		"example.org AAAA 1.2.3.4",
		"example.org MX mail",
		"example.org MX 65536 mail",
		"example.org WHAT",
		"example.org TIMEOUT WHAT",
		"example.org TXT \"open",
		"example.org TXT \\",
		"example.org TXT \\25",
		"example.org TXT \\256",
		"example.org CNAME",
	};
	struct pn_dns_zone *zone = pn_dns_zone_new();
	struct pn_error err;

	(void)state;
	for (size_t i = 0; i < PN_COUNT(lines); i++)
		if (pn_dns_zone_add(zone, pn_str_c(lines[i]), &err) != PN_INVALID)
			fail_msg("taken: %s", lines[i]);
	pn_dns_zone_free(zone);
}

/* -- data from the wire -- */

static const struct {
	const char *name;
	enum pn_dns_type type;
	struct pn_str data[3];
	const char *want;
} rdata_cases[] = {
	{ "address", PN_DNS_A, { PN_STR("ABCD"), PN_STR("abcd") }, "ABCD|abcd" },
	{ "address cut", PN_DNS_A, { PN_STR("ABC"), PN_STR("abcd") }, "abcd" },
	{ "IPv6 of four bytes", PN_DNS_AAAA, { PN_STR("ABCD") }, "" },
	{ "strings are joined", PN_DNS_TXT, { PN_STR("\2ab\0\1c") }, "abc" },
	{ "string over the end", PN_DNS_TXT, { PN_STR("\2ab\3c"), PN_STR("\1d") }, "d" },
	{ "name", PN_DNS_PTR, { PN_STR("\4mail\7example\0") }, "mail.example" },
	{ "name without an end", PN_DNS_PTR, { PN_STR("\4mail\7example") }, "" },
	{ "name with something behind", PN_DNS_PTR, { PN_STR("\4mail\0x") }, "" },
	{ "pointer", PN_DNS_PTR, { PN_STR("\4mail\300\14") }, "" },
	{ "label over the end", PN_DNS_PTR, { PN_STR("\5mail\0") }, "" },
	{ "dot in a label", PN_DNS_PTR, { PN_STR("\14mail.example\0") }, "" },
	{ "byte no host has", PN_DNS_PTR, { PN_STR("\4ma\nl\0"), PN_STR("\2ok\0") }, "ok" },
	{ "nothing", PN_DNS_PTR, { PN_STR("\0"), PN_STR("\2ok\0") }, "|ok" },
	{ "MX in order", PN_DNS_MX, { PN_STR("\1\0\1c\0"), PN_STR("\0\2\1b\0"), PN_STR("\0\1\1a\0") },
	    "a|b|c" },
	{ "MX, equal ones as they came", PN_DNS_MX,
	    { PN_STR("\0\5\1c\0"), PN_STR("\0\5\1b\0"), PN_STR("\0\1\1a\0") }, "a|c|b" },
	{ "MX cut", PN_DNS_MX, { PN_STR("\1") }, "" },
};

static void
test_rdata(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rdata_cases); i++) {
		struct pn_str v[3];
		struct pn_strs rdata = { v, 0 };
		struct pn_dns_answer answer;

		while (rdata.n < 3 && rdata_cases[i].data[rdata.n].p != NULL) {
			v[rdata.n] = rdata_cases[i].data[rdata.n];
			rdata.n++;
		}
		dns_rdata_read(rdata_cases[i].type, rdata, arena, &answer);
		check(rdata_cases[i].name, pn_strs_join(answer.records, PN_STR("|"), arena),
		    rdata_cases[i].want);
	}
	pn_arena_free(arena);
}

static void
test_long_name(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_str data = { NULL, 257 };
	char name[257];
	struct pn_dns_answer answer;

	(void)state;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 64 == 0 ? 63 : 'x';
	name[256] = '\0';
	data.p = name;
	dns_rdata_read(PN_DNS_PTR, (struct pn_strs){ &data, 1 }, arena, &answer);
	assert_int_equal(answer.records.n, 0);
	name[192] = 61;	/* 253 in all */
	name[254] = '\0';
	data.n = 255;
	dns_rdata_read(PN_DNS_PTR, (struct pn_strs){ &data, 1 }, arena, &answer);
	assert_int_equal(answer.records.n, 1);
	assert_int_equal(answer.records.v[0].n, 253);
	pn_arena_free(arena);
}

/* -- the budget -- */

static void
test_budget(void **state)
{
	struct pn_dns_zone *zone = new_zone(zone_lines, PN_COUNT(zone_lines));
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_dns_budget budget;
	struct pn_dns dns = pn_dns_budget_port(&budget);

	(void)state;
	pn_dns_budget_init(&budget, pn_dns_zone_port(zone), 3, pn_clock_mono_us() + 60 * SECOND);
	check("first", ask(dns, "example.org", PN_DNS_A, arena), "ok ABCD|abcd");
	check("not asked", ask(dns, "a..b", PN_DNS_A, arena), "invalid: no name that can be asked for");
	check("void", ask(dns, "gone.example.org", PN_DNS_A, arena), "nxdomain");
	check("failed", ask(dns, "odd.example.org", PN_DNS_TXT, arena), "temporary failure: SERVFAIL");
	check("one more", ask(dns, "example.org", PN_DNS_A, arena),
	    "limit exceeded: too many DNS questions for one message");
	assert_int_equal(budget.questions, 3);
	assert_int_equal(budget.voids, 1);

	pn_dns_budget_init(&budget, pn_dns_zone_port(zone), 3, pn_clock_mono_us());
	check("too late", ask(dns, "example.org", PN_DNS_A, arena),
	    "limit exceeded: the time for DNS questions is used up");
	assert_int_equal(budget.questions, 0);
	pn_arena_free(arena);
	pn_dns_zone_free(zone);
}

/* -- the cache -- */

static struct dns_entry *
take(struct dns_cache *cache, const char *name, int64_t now, bool *is_new)
{
	return dns_cache_take(cache, pn_str_c(name), PN_DNS_A, now, is_new);
}

/* Asks and answers at once: kept until `expires`. */
static bool
put(struct dns_cache *cache, const char *name, size_t bytes, int64_t now, int64_t expires)
{
	bool is_new;
	struct dns_entry *entry = take(cache, name, now, &is_new);

	assert_non_null(entry);
	if (is_new) {
		entry->rdata = pn_str_n(calloc(1, bytes), bytes);
		entry->expires = expires;
		dns_cache_land(cache, entry);
	}
	dns_cache_release(entry);
	return is_new;
}

static void
test_cache_bounds(void **state)
{
	struct dns_cache cache;
	char name[16];

	(void)state;
	dns_cache_init(&cache, 3, 1 << 20, 10);
	assert_true(put(&cache, "a", 1, 0, 100));
	assert_true(put(&cache, "b", 1, 0, 100));
	assert_true(put(&cache, "c", 1, 0, 100));
	assert_false(put(&cache, "a", 1, 1, 100));	/* asked for again: b is the oldest now */
	assert_true(put(&cache, "d", 1, 1, 100));
	assert_int_equal(cache.entries, 3);
	assert_false(put(&cache, "a", 1, 2, 100));
	assert_true(put(&cache, "b", 1, 2, 100));
	assert_true(put(&cache, "a", 1, 100, 200));	/* expired */
	assert_int_equal(cache.entries, 3);
	dns_cache_done(&cache);

	dns_cache_init(&cache, 1000, 10000, 10);
	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "n%u", i);
		assert_true(put(&cache, name, 1000, 0, 100));
		assert_true(cache.bytes <= 10000);
	}
	assert_true(cache.entries >= 5 && cache.entries < 10);
	assert_true(put(&cache, "larger than all of it", 20000, 0, 100));
	assert_int_equal(cache.entries, 0);
	assert_int_equal(cache.bytes, 0);
	dns_cache_done(&cache);
}

static void
test_cache_flying(void **state)
{
	struct dns_cache cache;
	struct dns_entry *first, *second, *other;
	bool is_new;

	(void)state;
	dns_cache_init(&cache, 1, 1 << 20, 2);
	first = take(&cache, "a", 0, &is_new);
	assert_true(is_new);
	second = take(&cache, "a", 0, &is_new);
	assert_false(is_new);
	assert_ptr_equal(first, second);
	other = dns_cache_take(&cache, PN_STR("a"), PN_DNS_TXT, 0, &is_new);
	assert_true(is_new);
	assert_null(take(&cache, "b", 0, &is_new));
	dns_cache_release(second);

	/* What lands is kept, what was longest unused goes, and who holds it may still read it. */
	first->expires = other->expires = 100;
	dns_cache_land(&cache, first);
	dns_cache_land(&cache, other);
	assert_int_equal(cache.entries, 1);
	assert_true(first->landed);
	dns_cache_release(first);
	dns_cache_release(other);

	/* One that never lands is forgotten with the cache. */
	dns_cache_release(take(&cache, "b", 0, &is_new));
	assert_true(is_new);
	dns_cache_done(&cache);
}

/* -- the resolver, on a name server of a few lines -- */

struct server {
	int fd, stop[2];
	pthread_t thread;
	struct pn_str forwarder;
	char address[32];
	atomic_uint questions;
};

/* By the first letter: s(ilent), l(ate), f(ailure), n(xdomain); else 65.66.67.68. */
static ssize_t
answer_question(unsigned char *packet, ssize_t n)
{
	static const unsigned char record[] = "\300\014\0\1\0\1\0\0\0\74\0\4ABCD";
	size_t end = 12;

	if (n < 17 || packet[13] == 's')
		return 0;
	if (packet[13] == 'l')
		(void)usleep(150000);
	while (end < (size_t)n && packet[end] != 0)
		end += packet[end] + 1u;
	end += 5;
	packet[2] = 0x84 | (packet[2] & 1);
	packet[3] = packet[13] == 'f' ? 2 : packet[13] == 'n' ? 3 : 0x80;
	memset(packet + 6, 0, 6);
	if ((packet[3] & 15) == 0 && packet[end - 3] == PN_DNS_A) {
		packet[7] = 1;
		memcpy(packet + end, record, sizeof(record) - 1);
		end += sizeof(record) - 1;
	}
	return (ssize_t)end;
}

static void *
serve(void *data)
{
	struct server *server = data;
	struct pollfd fds[] = { { .fd = server->fd, .events = POLLIN },
		{ .fd = server->stop[0], .events = POLLIN } };
	unsigned char packet[1024];

	while (poll(fds, 2, -1) > 0 && fds[1].revents == 0) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(server->fd, packet, 512, 0, (struct sockaddr *)&from, &size);

		atomic_fetch_add(&server->questions, 1);
		n = answer_question(packet, n);
		if (n > 0)
			(void)sendto(server->fd, packet, (size_t)n, 0, (struct sockaddr *)&from, size);
	}
	return NULL;
}

static void
start_server(struct server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	server->fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &size), 0);
	(void)snprintf(server->address, sizeof(server->address), "127.0.0.1@%u", ntohs(address.sin_port));
	server->forwarder = pn_str_c(server->address);
	atomic_init(&server->questions, 0);
	assert_int_equal(pipe(server->stop), 0);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void
stop_server(struct server *server)
{
	(void)close(server->stop[1]);
	(void)pthread_join(server->thread, NULL);
	(void)close(server->stop[0]);
	(void)close(server->fd);
}

static struct pn_resolver *
open_resolver(struct server *server, unsigned timeout_ms)
{
	struct pn_resolver_options options = { .forwarders = { &server->forwarder, 1 },
		.timeout_ms = timeout_ms };
	struct pn_resolver *resolver;
	struct pn_error err;

	if (pn_resolver_open(&options, &resolver, &err) != PN_OK)
		fail_msg("%s", err.text);
	return resolver;
}

static void
test_resolver_cache(void **state)
{
	static const struct {
		const char *name, *question, *want;
	} rows[] = {
		{ "answer", "host.example", "ok ABCD" },
		{ "negative", "none.example", "nxdomain" },
		{ "failure", "fails.example", "temporary failure: SERVFAIL" },
	};
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct server server;
	struct pn_resolver *resolver;

	(void)state;
	start_server(&server);
	resolver = open_resolver(&server, 10000);
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		unsigned before;

		check(rows[i].name, ask(pn_resolver_port(resolver), rows[i].question, PN_DNS_A, arena),
		    rows[i].want);
		before = atomic_load(&server.questions);
		check(rows[i].name, ask(pn_resolver_port(resolver), rows[i].question, PN_DNS_A, arena),
		    rows[i].want);
		assert_int_equal(atomic_load(&server.questions), before);
		assert_int_equal(pn_resolver_count(resolver).asked, i + 1);
		assert_int_equal(pn_resolver_count(resolver).hits, i + 1);
	}
	assert_int_equal(pn_resolver_count(resolver).entries, PN_COUNT(rows));
	pn_resolver_close(resolver);
	stop_server(&server);
	pn_arena_free(arena);
}

static void *
ask_late(void *resolver)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_str got = ask(pn_resolver_port(resolver), "late.example", PN_DNS_A, arena);
	bool good = pn_str_eq(got, PN_STR("ok ABCD"));

	pn_arena_free(arena);
	return good ? resolver : NULL;
}

static void
test_single_flight(void **state)
{
	enum { THREADS = 20 };
	struct server server;
	struct pn_resolver *resolver;
	pthread_t threads[THREADS];

	(void)state;
	start_server(&server);
	resolver = open_resolver(&server, 10000);
	pn_resolver_start(resolver, PN_STR("late.example"), PN_DNS_A);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_late, resolver), 0);
	for (size_t i = 0; i < THREADS; i++) {
		void *good;

		(void)pthread_join(threads[i], &good);
		assert_non_null(good);
	}
	assert_int_equal(pn_resolver_count(resolver).asked, 1);
	assert_int_equal(pn_resolver_count(resolver).hits + pn_resolver_count(resolver).joined, THREADS);
	assert_int_equal(atomic_load(&server.questions), 1);
	pn_resolver_close(resolver);
	stop_server(&server);
}

/* What is asked ahead leaves room for those who wait. */
static void
test_early(void **state)
{
	enum { EARLY = 5000, HALF = 2000 };
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct server server;
	struct pn_resolver *resolver;

	(void)state;
	start_server(&server);
	resolver = open_resolver(&server, 10000);
	for (int i = 0; i < EARLY; i++)
		pn_resolver_start(resolver, pn_arena_printf(arena, "silent%d.example", i), PN_DNS_TXT);
	assert_int_equal(pn_resolver_count(resolver).asked, HALF);
	check("who waits", ask(pn_resolver_port(resolver), "host.example", PN_DNS_A, arena), "ok ABCD");
	assert_int_equal(pn_resolver_count(resolver).asked, HALF + 1);
	pn_resolver_close(resolver);
	stop_server(&server);
	pn_arena_free(arena);
}

static void
test_deadlines(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct server server;
	struct pn_resolver *resolver;
	struct pn_dns_budget budget;
	int64_t started = pn_clock_mono_us();

	(void)state;
	start_server(&server);
	resolver = open_resolver(&server, 100);
	check("own", ask(pn_resolver_port(resolver), "silent.example", PN_DNS_A, arena),
	    "temporary failure: time-out");
	assert_in_range(pn_clock_mono_us() - started, 100000, 3 * SECOND);
	pn_resolver_close(resolver);	/* with the question still on its way */

	resolver = open_resolver(&server, 60000);
	started = pn_clock_mono_us();
	pn_dns_budget_init(&budget, pn_resolver_port(resolver), 10, started + 100000);
	check("the message's", ask(pn_dns_budget_port(&budget), "silent.example", PN_DNS_A, arena),
	    "temporary failure: time-out");
	assert_in_range(pn_clock_mono_us() - started, 100000, 3 * SECOND);
	check("then nothing is asked", ask(pn_dns_budget_port(&budget), "host.example", PN_DNS_A, arena),
	    "limit exceeded: the time for DNS questions is used up");

	/* Who comes later finds the answer that the first did not wait for. */
	pn_dns_budget_init(&budget, pn_resolver_port(resolver), 10, pn_clock_mono_us() + 20000);
	check("left", ask(pn_dns_budget_port(&budget), "late.example", PN_DNS_A, arena),
	    "temporary failure: time-out");
	check("kept", ask(pn_resolver_port(resolver), "late.example", PN_DNS_A, arena), "ok ABCD");
	assert_int_equal(pn_resolver_count(resolver).asked, 2);
	pn_resolver_close(resolver);
	stop_server(&server);
	pn_arena_free(arena);
}

static void
test_bad_options(void **state)
{
	struct pn_str forwarder = PN_STR("dns.example");
	struct pn_resolver_options options = { .forwarders = { &forwarder, 1 } };
	struct pn_resolver *resolver;
	struct pn_error err;

	(void)state;
	assert_int_equal(pn_resolver_open(&options, &resolver, &err), PN_INVALID);
	assert_string_equal(err.text, "no address of a name server: \"dns.example\"");
	options = (struct pn_resolver_options){ .trust_anchor = PN_STR("/nowhere/root.key") };
	assert_int_equal(pn_resolver_open(&options, &resolver, &err), PN_INVALID);
	assert_string_equal(err.text, "cannot read the trust anchor /nowhere/root.key");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zone), cmocka_unit_test(test_bad_lines), cmocka_unit_test(test_rdata),
		cmocka_unit_test(test_long_name), cmocka_unit_test(test_budget),
		cmocka_unit_test(test_cache_bounds), cmocka_unit_test(test_cache_flying),
		cmocka_unit_test(test_resolver_cache), cmocka_unit_test(test_single_flight),
		cmocka_unit_test(test_early), cmocka_unit_test(test_deadlines), cmocka_unit_test(test_bad_options),
	};

	return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}
