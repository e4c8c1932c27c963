#include "postern/relay.h"

/* Postfix reads a nexthop with its host_port(3) and valid_hostname(3), and ends
 * smtp(8) when it cannot.  What is taken here is a part of what it takes. */

/* -- hosts ------------------------------------------------------------------------- */

static bool
is_octet(struct pn_str s)
{
	uint64_t value;

	return s.n <= 3 && pn_str_to_u64(s, 255, &value) && (s.n == 1 || s.p[0] != '0');
}

static bool
is_ipv4(struct pn_str host)
{
	struct pn_str octet;
	size_t n = 0;

	if (pn_str_starts(host, PN_STR("0.")))
		return false;
	for (; pn_str_split(&host, '.', &octet); n++)
		if (!is_octet(octet))
			return false;
	return n == 4;
}

static bool
is_group(struct pn_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!pn_is_digit(s.p[i]) && !(pn_to_lower(s.p[i]) >= 'a' && pn_to_lower(s.p[i]) <= 'f'))
			return false;
	return s.n >= 1 && s.n <= 4;
}

/* How many groups there are; PN_STR_NONE for what is none.  Nothing at all has none. */
static size_t
groups(struct pn_str s)
{
	struct pn_str group;
	size_t n = 0;

	if (s.n == 0)
		return 0;
	for (; pn_str_split(&s, ':', &group); n++)
		if (!is_group(group))
			return PN_STR_NONE;
	return n;
}

/* RFC 4291 section 2.2, without IPv4 at the end.  Postfix does not let "::" stand
 * for nothing, and RFC 5952 not for one group. */
static bool
is_ipv6(struct pn_str host)
{
	size_t gap = pn_str_find_str(host, PN_STR("::")), before, after;

	if (gap == PN_STR_NONE)
		return groups(host) == 8;
	before = groups(pn_str_head(host, gap));
	after = groups(pn_str_from(host, gap + 2));
	return before <= 6 && after <= 6 && before + after <= 6;
}

static bool
is_label(struct pn_str label)
{
	for (size_t i = 0; i < label.n; i++)
		if (!pn_is_alnum(label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
			return false;
	return label.n >= 1 && label.n <= 63 && label.p[0] != '-' && label.p[label.n - 1] != '-';
}

static bool
is_dns_name(struct pn_str host)
{
	bool numeric = true;
	struct pn_str label;

	if (host.n > 253)
		return false;
	for (size_t i = 0; i < host.n; i++)
		numeric = numeric && (pn_is_digit(host.p[i]) || host.p[i] == '.');
	while (pn_str_split(&host, '.', &label))
		if (!is_label(label))
			return false;
	return !numeric;
}

bool
pn_relay_host_is_valid(struct pn_str host)
{
	if (host.n == 0)
		return false;
	return pn_str_find(host, ':') != PN_STR_NONE ? is_ipv6(host) : is_dns_name(host) || is_ipv4(host);
}

/* -- transports ---------------------------------------------------------------------- */

static const struct pn_str modes[] = {
	[PN_SECURITY_NONE] = { "plain", 5 },
	[PN_SECURITY_STARTTLS] = { "starttls", 8 },
	[PN_SECURITY_STARTTLS_STRICT] = { "starttls", 8 },
	[PN_SECURITY_SSL] = { "smtps", 5 },
	[PN_SECURITY_SSL_STRICT] = { "smtps", 5 },
};

static bool
is_mode(struct pn_str name)
{
	for (size_t i = 0; i < PN_COUNT(modes); i++)
		if (pn_str_eq(modes[i], name))
			return true;
	return false;
}

bool
pn_relay_name_is_valid(struct pn_str name)
{
	/* postern-... in master.cf */
	static const struct pn_str services[] = { { "redirect", 8 }, { "rewrite", 7 }, { "none", 4 }, { "wait", 4 } };

	for (size_t i = 0; i < name.n; i++)
		if (!pn_is_digit(name.p[i]) && !(name.p[i] >= 'a' && name.p[i] <= 'z')
		    && (name.p[i] != '-' || i == 0))
			return false;
	for (size_t i = 0; i < PN_COUNT(services); i++)
		if (pn_str_eq(name, services[i]))
			return false;
	return name.n >= 1 && name.n <= 32 && !is_mode(name) && !pn_str_starts(name, PN_STR("wait-"));
}

struct pn_str
pn_relay_transport(const struct pn_relay *relay, bool waiting, struct pn_arena *arena)
{
	struct pn_str name = relay->own_transport ? relay->name : modes[relay->security];
	const struct pn_str parts[] = { PN_STR("postern-"), waiting ? PN_STR("wait-") : PN_STR_EMPTY, name };

	return pn_arena_join(arena, parts, PN_COUNT(parts));
}

struct pn_str
pn_relay_nexthop(const struct pn_relay *relay, struct pn_arena *arena)
{
	return pn_arena_printf(arena, "[" PN_STR_FMT "]:%u", PN_STR_ARG(relay->host), (unsigned)relay->port);
}

/* -- routes ---------------------------------------------------------------------------- */

static bool
is_transport(struct pn_str transport)
{
	if (!pn_str_starts(transport, PN_STR("postern-")))
		return false;
	transport = pn_str_from(transport, 8);
	if (pn_str_starts(transport, PN_STR("wait-")))
		transport = pn_str_from(transport, 5);
	return is_mode(transport) || pn_relay_name_is_valid(transport);
}

static bool
is_nexthop(struct pn_str nexthop)
{
	size_t end = pn_str_find_last(nexthop, ']');
	uint64_t port;

	return pn_str_starts(nexthop, PN_STR("[")) && end != PN_STR_NONE
	    && pn_relay_host_is_valid(pn_str_n(nexthop.p + 1, end - 1))
	    && pn_str_starts(pn_str_from(nexthop, end), PN_STR("]:"))
	    && !pn_str_starts(pn_str_from(nexthop, end), PN_STR("]:0"))
	    && pn_str_to_u64(pn_str_from(nexthop, end + 2), UINT16_MAX, &port);
}

bool
pn_relay_route_is_safe(struct pn_str route)
{
	struct pn_str transport, nexthop;

	if (route.n > PN_RELAY_ROUTE_MAX || !pn_str_split(&route, ':', &transport) || !is_transport(transport)
	    || route.p == NULL)
		return false;
	for (bool first = true; pn_str_split(&route, ',', &nexthop); first = false) {
		if (!first && !pn_str_starts(nexthop, PN_STR(" ")))
			return false;
		if (!is_nexthop(pn_str_from(nexthop, first ? 0 : 1)))
			return false;
	}
	return true;
}

static bool
is_sound(const struct pn_relay *relay)
{
	return pn_relay_name_is_valid(relay->name) && pn_relay_host_is_valid(relay->host) && relay->port != 0;
}

static bool
may_follow(const struct pn_relay_candidate *first, const struct pn_relay_candidate *c, bool waiting)
{
	return (waiting || c->status.state == PN_RELAY_OPEN) && !first->relay->own_transport && !c->relay->own_transport
	    && pn_str_eq(modes[c->relay->security], modes[first->relay->security])
	    && pn_str_eq(c->sender, first->sender) && pn_str_eq(c->envelope, first->envelope);
}

enum pn_status
pn_relay_route(const struct pn_relay_choice *choice, bool waiting, struct pn_arena *arena, struct pn_str *out,
    struct pn_error *err)
{
	size_t at = choice->chosen < choice->n ? choice->chosen : choice->opens_first;
	const struct pn_relay_candidate *first = &choice->v[at];
	struct pn_str route = PN_STR_EMPTY;

	if (choice->n == 0)
		return pn_fail(err, PN_NOT_FOUND, "no relay may carry this mail");
	/* those before the chosen one are closed: they are waited for like those behind it */
	for (size_t k = 0; k < choice->n; k++) {
		const struct pn_relay_candidate *c = &choice->v[(at + k) % choice->n];
		const struct pn_relay *relay = c->relay;
		struct pn_str longer[3];

		if (k > 0 && !may_follow(first, c, waiting))
			continue;
		if (!is_sound(relay))
			return pn_fail(err, PN_INVALID, "Postfix would not take relay \"" PN_STR_FMT "\"",
			    PN_STR_ARG(relay->name));
		longer[0] = k == 0 ? pn_relay_transport(relay, waiting, arena) : route;
		longer[1] = k == 0 ? PN_STR(":") : PN_STR(", ");
		longer[2] = pn_relay_nexthop(relay, arena);
		if (longer[0].n + longer[1].n + longer[2].n > PN_RELAY_ROUTE_MAX)
			break;
		route = pn_arena_join(arena, longer, PN_COUNT(longer));
	}
	if (!pn_relay_route_is_safe(route))
		return pn_fail(err, PN_INVALID, "Postfix would not take \"" PN_STR_FMT "\"",
		    PN_STR_ARG(route));
	*out = route;
	return PN_OK;
}
