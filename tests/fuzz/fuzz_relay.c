/* Any bytes as name, host and port of relays: the builder refuses, or what it
 * builds satisfies the rules by which Postfix's smtp(8) reads a nexthop, written
 * down here a second time.  And any bytes as a route. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "postern/relay.h"

static void
must(bool true_or_fatal)
{
	if (!true_or_fatal)
		abort();
}

/* valid_hostname(3). */
static bool
is_hostname(const char *host)
{
	size_t n = strlen(host), label = 0;
	bool letters = false;

	for (size_t i = 0; i < n; i++) {
		char c = host[i], next = host[i + 1];

		if (c == '.') {
			if (label == 0 || next == '\0')
				return false;
			label = 0;
			continue;
		}
		if (!pn_is_alnum(c) && c != '_' && c != '-')
			return false;
		if (c == '-' && (label == 0 || next == '\0' || next == '.'))
			return false;
		letters = letters || !pn_is_digit(c);
		if (++label > 63)
			return false;
	}
	return letters && n > 0 && n <= 255;
}

static bool
is_address(const char *host)
{
	unsigned char address[16];

	if (inet_pton(AF_INET6, host, address) == 1)
		return true;
	return inet_pton(AF_INET, host, address) == 1 && (address[0] != 0 || strcmp(host, "0.0.0.0") == 0);
}

/* host_port(3) for one "[host]:port". */
static void
take_nexthop(const char *text, char *host, unsigned *port)
{
	int used = 0;

	must(sscanf(text, "[%256[^]]]:%5u%n", host, port, &used) == 2 && text[used] == '\0');
	must(is_hostname(host) || is_address(host));
	must(*port >= 1 && *port <= 65535);
}

static void
check_route(const char *text)
{
	const char *colon = strchr(text, ':');
	char host[257], part[1024];
	unsigned port;

	must(colon != NULL && strncmp(text, "postern-", 8) == 0);
	for (const char *p = text; p < colon; p++)
		must(pn_is_digit(*p) || *p == '-' || (*p >= 'a' && *p <= 'z'));
	for (const char *p = colon + 1, *end; p != NULL; p = end == NULL ? NULL : end + 2) {
		size_t n = (end = strstr(p, ", ")) == NULL ? strlen(p) : (size_t)(end - p);

		must(n < sizeof(part));
		memcpy(part, p, n);
		part[n] = '\0';
		take_nexthop(part, host, &port);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_str rest = pn_str_n((const char *)data, size), name, host, route;
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_relay relays[8];
	struct pn_relay_candidate v[8];
	struct pn_relay_choice choice = { .v = v };

	if (pn_relay_route_is_safe(rest))
		check_route(pn_arena_cstr(arena, rest));
	/* lines of two bytes for port and flags, name, blank, host */
	while (choice.n < PN_COUNT(v) && rest.n > 2) {
		unsigned flags = (unsigned char)rest.p[0], low = (unsigned char)rest.p[1];

		rest = pn_str_from(rest, 2);
		pn_str_split(&rest, '\n', &host);
		if (!pn_str_split(&host, ' ', &name) || host.p == NULL)
			host = PN_STR_EMPTY;
		relays[choice.n] = (struct pn_relay){
			.name = name, .host = host, .port = (uint16_t)((flags >> 4) << 12 | low),
			.security = (enum pn_security)(flags % 5), .own_transport = flags & 8,
		};
		v[choice.n] = (struct pn_relay_candidate){ .relay = &relays[choice.n],
		    .sender = PN_STR_EMPTY };
		choice.n++;
	}
	if (pn_relay_route(&choice, size % 2, arena, &route, NULL) == PN_OK) {
		must(pn_relay_route_is_safe(route));
		must(memchr(route.p, '\0', route.n) == NULL);
		check_route(pn_arena_cstr(arena, route));
	}
	pn_arena_free(arena);
	return 0;
}
