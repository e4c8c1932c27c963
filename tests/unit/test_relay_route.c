#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/relay.h"

#define S PN_STR

static const struct {
	const char *host;
	bool valid;
} hosts[] = {
	{ "smtp.gmail.com", true }, { "localhost", true }, { "LOCALHOST", true }, { "smtp_1.example", true },
	{ "xn--mx-eka.example", true }, { "a.12", true }, { "1a", true }, { "127.0.0.1", true },
	{ "255.255.255.255", true }, { "::1", true }, { "::", true }, { "2001:db8::1", true },
	{ "2001:DB8:0:0:0:0:0:1", true }, { "1:2:3:4:5:6::", true },
	{ "", false }, { ".", false }, { "a.", false }, { ".a", false }, { "a..b", false }, { "-a.b", false },
	{ "a-.b", false }, { "a b", false }, { "a\tb", false }, { "[a]", false }, { "a]:25, [b", false },
	{ "a,b", false }, { "a;b", false }, { "m\xc3\xbc.example", false }, { "1.2.3", false }, 
	{ "12", false },
	{ "1.2.3.4.5", false }, { "256.1.1.1", false }, { "01.2.3.4", false }, { "0.1.2.3", false },
	{ "1.2.3.", false }, { ":", false }, { ":::", false }, { "1::2::3", false }, 
	{ "1:2:3:4:5:6:7", false },
	{ "1:2:3:4:5:6:7:8:9", false }, { "1:2:3:4:5:6:7::", false }, { "::12345", false }, { "::g", false },
	{ "fe80::1%eth0", false }, { "ipv6:::1", false }, { "::ffff:1.2.3.4", false }, { "a:25", false },
	{ "1:2:3:4:5:6:7:", false },
	{ "a123456789a123456789a123456789a123456789a123456789a123456789abc.example", true },
	{ "a123456789a123456789a123456789a123456789a123456789a123456789abcd.example", false },
};

static void
hosts_that_postfix_takes(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct pn_str label = S("a123456789a123456789a123456789a123456789a123456789."), four;

	(void)state;
	for (size_t i = 0; i < PN_COUNT(hosts); i++)
		if (pn_relay_host_is_valid(pn_str_c(hosts[i].host)) != hosts[i].valid)
			fail_msg("\"%s\"", hosts[i].host);
	assert_false(pn_relay_host_is_valid(S("a\0b")));
	assert_false(pn_relay_host_is_valid(S("a\n")));
	four = pn_arena_printf(arena, "%s%s%s%s%s", label.p, label.p, label.p, label.p, label.p);
	assert_true(pn_relay_host_is_valid(pn_str_head(four, 253)));
	assert_false(pn_relay_host_is_valid(pn_str_head(four, 254)));
	pn_arena_free(arena);
}

static void
names_that_are_no_transport_of_ours(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} rows[] = {
		{ "gmail", true }, { "a", true }, { "1", true }, { "mass-2", true }, { "waiter", true },
		    { "plain2", true },
		{ "a2345678901234567890123456789012", true }, { "a23456789012345678901234567890123", false },
		{ "", false }, { "-a", false }, { "A", false }, { "a_b", false }, { "a.b", false }, 
		{ "a b", false },
		{ "a:b", false }, { "\xc3\xbc", false }, { "plain", false }, { "starttls", false },
		    { "smtps", false },
		{ "redirect", false }, { "rewrite", false }, { "none", false }, { "nonesuch", true }, { "wait", false }, { "wait-a", false },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++)
		if (pn_relay_name_is_valid(pn_str_c(rows[i].name)) != rows[i].valid)
			fail_msg("\"%s\"", rows[i].name);
}

#define RELAY(n, h, p, s, shared) \
	{ .name = S(n), .host = S(h), .port = p, .security = s, .own_transport = shared }

enum { A, B, C, TLS, SHARED1, SHARED2, SIX, BAD_HOST, BAD_PORT, BAD_NAME, NUL };
static const struct pn_relay relays[] = {
	[A] = RELAY("a", "a.example", 587, PN_SECURITY_STARTTLS, false),
	[B] = RELAY("b", "b.example", 2525, PN_SECURITY_STARTTLS_STRICT, false),
	[C] = RELAY("c", "10.0.0.1", 25, PN_SECURITY_NONE, false),
	[TLS] = RELAY("tls", "t.example", 465, PN_SECURITY_SSL, false),
	[SHARED1] = RELAY("gmail-1", "smtp.gmail.com", 587, PN_SECURITY_STARTTLS, true),
	[SHARED2] = RELAY("gmail-2", "smtp.gmail.com", 587, PN_SECURITY_STARTTLS, true),
	[SIX] = RELAY("six", "2001:db8::1", 25, PN_SECURITY_NONE, false),
	[BAD_HOST] = RELAY("bad", "a.example]:1, smtp:[evil.example", 587, PN_SECURITY_STARTTLS, false),
	[BAD_PORT] = RELAY("bad", "a.example", 0, PN_SECURITY_STARTTLS, false),
	[BAD_NAME] = RELAY("wait-a", "a.example", 587, PN_SECURITY_STARTTLS, true),
	[NUL] = RELAY("nul", "a\0.evil.example", 587, PN_SECURITY_STARTTLS, false),
};

#define OPEN(r) { .relay = &relays[r], .sender = S("joe@x"), .status = { .state = PN_RELAY_OPEN } }
#define AS_N(r) { .relay = &relays[r], .sender = S("n@x"), .status = { .state = PN_RELAY_OPEN } }
#define SPENT(r) { .relay = &relays[r], .sender = S("joe@x"), .status = { .state = PN_RELAY_SPENT } }

static const struct {
	const char *name;
	struct pn_relay_candidate v[4];
	size_t n, chosen, opens_first;
	bool waiting;
	const char *route;	/* NULL: refused */
} rows[] = {
	{ "one", { OPEN(A) }, 1, 0, 0, false, "postern-starttls:[a.example]:587" },
	{ "two of one mode", { OPEN(A), OPEN(B) }, 2, 0, 0, false,
	    "postern-starttls:[a.example]:587, [b.example]:2525" },
	{ "another mode is left out", { OPEN(A), OPEN(TLS), OPEN(C), OPEN(B) }, 4, 0, 0, false,
	    "postern-starttls:[a.example]:587, [b.example]:2525" },
	{ "a closed one is left out", { OPEN(A), SPENT(B) }, 2, 0, 0, false,
	    "postern-starttls:[a.example]:587" },
	{ "another sender is left out", { OPEN(A), AS_N(B) }, 2, 0, 0, false,
	    "postern-starttls:[a.example]:587" },
	{ "what is before the chosen one too", { SPENT(A), OPEN(B) }, 2, 1, 0, false,
	    "postern-starttls:[b.example]:2525" },
	{ "a shared address is alone", { OPEN(SHARED1), OPEN(A), OPEN(SHARED2) }, 3, 0, 0, false,
	    "postern-gmail-1:[smtp.gmail.com]:587" },
	{ "and in no list", { OPEN(A), OPEN(SHARED1), OPEN(B) }, 3, 0, 0, false,
	    "postern-starttls:[a.example]:587, [b.example]:2525" },
	{ "plain, IPv6", { OPEN(C), OPEN(SIX) }, 2, 0, 0, false,
	    "postern-plain:[10.0.0.1]:25, [2001:db8::1]:25" },
	{ "implicit TLS", { OPEN(TLS) }, 1, 0, 0, false, "postern-smtps:[t.example]:465" },
	{ "waiting", { OPEN(A) }, 1, 0, 0, true, "postern-wait-starttls:[a.example]:587" },
	{ "waiting, shared", { OPEN(SHARED2) }, 1, 0, 0, true, "postern-wait-gmail-2:[smtp.gmail.com]:587" },
	{ "all closed: the one that opens first, then the others", { SPENT(A), SPENT(B) }, 2, 2, 1, true,
	    "postern-wait-starttls:[b.example]:2525, [a.example]:587" },
	{ "waiting under the same sender, at the same transport", { SPENT(A), SPENT(SHARED1), SPENT(TLS), SPENT(B) }, 4, 4,
	    0, true, "postern-wait-starttls:[a.example]:587, [b.example]:2525" },
	{ "a host that ends the nexthop", { OPEN(BAD_HOST) }, 1, 0, 0, false, NULL },
	{ "such a host behind a good one", { OPEN(A), OPEN(BAD_HOST) }, 2, 0, 0, false, NULL },
	{ "no port", { OPEN(BAD_PORT) }, 1, 0, 0, false, NULL },
	{ "a name of ours", { OPEN(BAD_NAME) }, 1, 0, 0, false, NULL },
	{ "a host with NUL", { OPEN(NUL) }, 1, 0, 0, false, NULL },
};

static void
routes(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_relay_choice choice = {
			.v = (struct pn_relay_candidate *)(uintptr_t)rows[i].v,
			.n = rows[i].n, .chosen = rows[i].chosen, .opens_first = rows[i].opens_first,
		};
		struct pn_str route = S("?");
		enum pn_status st = pn_relay_route(&choice, rows[i].waiting, arena, &route, NULL);

		if (st != (rows[i].route == NULL ? PN_INVALID : PN_OK)
		    || !pn_str_eq(route, rows[i].route == NULL ? S("?") : pn_str_c(rows[i].route)))
			fail_msg("%s: %s, " PN_STR_FMT, rows[i].name, pn_status_name(st), PN_STR_ARG(route));
		pn_arena_free(arena);
	}
}

static void
no_candidate_no_route(void **state)
{
	struct pn_relay_choice none = { .n = 0 };
	struct pn_str route;

	(void)state;
	assert_int_equal(pn_relay_route(&none, false, NULL, &route, NULL), PN_NOT_FOUND);
}

static void
a_route_fits_a_line(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_relay_candidate v[PN_RELAYS_MAX];
	struct pn_relay_choice choice = { .v = v, .n = PN_COUNT(v) };
	struct pn_str route;

	(void)state;
	for (size_t i = 0; i < PN_COUNT(v); i++)
		v[i] = (struct pn_relay_candidate)OPEN(A);
	assert_int_equal(pn_relay_route(&choice, false, arena, &route, NULL), PN_OK);
	assert_in_range(route.n, PN_RELAY_ROUTE_MAX - 20, PN_RELAY_ROUTE_MAX);
	pn_arena_free(arena);
}

static void
safe_routes(void **state)
{
	static const struct {
		const char *route;
		bool safe;
	} texts[] = {
		{ "postern-plain:[a]:25", true }, { "postern-starttls:[a]:25, [b]:26", true },
		{ "postern-smtps:[::1]:465", true }, { "postern-wait-plain:[a]:25", true },
		{ "postern-gmail-1:[a]:587", true }, { "postern-wait-gmail-1:[a]:587", true },
		{ "postern-plain:[a]:65535", true },
		{ "", false }, { "postern-plain", false }, { "postern-plain:", false },
		    { "postern-plain:a:25", false },
		{ "postern-plain:[a]", false }, { "postern-plain:[a]:", false }, 
		{ "postern-plain:[a]:0", false },
		{ "postern-plain:[a]:025", false }, { "postern-plain:[a]:65536", false },
		{ "postern-plain:[a]:smtp", false }, { "postern-plain:[a]:25,", false },
		{ "postern-plain:[a]:25, ", false }, { "postern-plain:[a]:25,[b]:25", false },
		{ "postern-plain:[a]:25,  [b]:25", false }, { "postern-plain:[a]:25 ", false },
		{ "postern-plain: [a]:25", false }, { " postern-plain:[a]:25", false }, 
		{ "smtp:[a]:25", false },
		{ "postern-:[a]:25", false }, { "postern-wait-:[a]:25", false },
		    { "postern-redirect:[a]:25", false },
		{ "postern-wait-wait-a:[a]:25", false }, { "postern-PLAIN:[a]:25", false },
		{ "postern-plain:[a]:25, postern-plain:[b]:25", false }, { "postern-plain:{[a]:25}", false },
		{ "postern-plain:[]:25", false }, { "postern-plain:]:25", false },
		    { "postern-plain:[a]]:25", false },
		{ "retry:4.3.0", false },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(texts); i++)
		if (pn_relay_route_is_safe(pn_str_c(texts[i].route)) != texts[i].safe)
			fail_msg("\"%s\"", texts[i].route);
	assert_false(pn_relay_route_is_safe(S("postern-plain:[a]:25\0")));
	assert_false(pn_relay_route_is_safe(S("postern-plain:[a]:25\n")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_that_postfix_takes),
		cmocka_unit_test(names_that_are_no_transport_of_ours),
		cmocka_unit_test(routes),
		cmocka_unit_test(no_candidate_no_route),
		cmocka_unit_test(a_route_fits_a_line),
		cmocka_unit_test(safe_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
