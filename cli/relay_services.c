#include "relay_services.h"

#include "fragments.h"

/* -- which ---------------------------------------------------------------------------- */

static uint64_t
most_at_once(const struct pn_relay *relay)
{
	for (size_t i = 0; i < relay->limit_count; i++)
		if (relay->limits[i].window_ms == 0)
			return relay->limits[i].most;
	return 0;
}

static void
add(struct relay_services *services, const struct pn_relay *relay, bool waiting, struct pn_arena *arena)
{
	struct pn_str name = pn_relay_transport(relay, waiting, arena);
	uint64_t most = waiting ? 1 : most_at_once(relay);
	struct relay_service *s = services->v;

	while (s < services->v + services->n && !pn_str_eq(s->name, name))
		s++;
	if (s == services->v + services->n) {
		*s = (struct relay_service) { name, relay, waiting, most };
		services->n++;
	} else if (most > 0 && (s->most == 0 || most < s->most))
		s->most = most;
}

struct relay_services
relay_services(struct pn_relays relays, struct pn_arena *arena)
{
	struct relay_services services = { PN_ARENA_ARRAY(arena, struct relay_service, 2 * relays.n + 1), 0 };

	for (int waiting = 0; waiting <= 1; waiting++)
		for (size_t i = 0; i < relays.n; i++)
			if (relays.v[i].active)
				add(&services, &relays.v[i], waiting != 0, arena);
	return services;
}

/* -- how ------------------------------------------------------------------------------ */

/* The service of that name in the fragment, with its options. */
static struct pn_str
find_block(struct pn_str name)
{
	struct pn_str text = fragment_master(), line;

	while (text.n > 0) {
		struct pn_str block = text;

		(void)pn_str_split(&text, '\n', &line);
		if (!pn_str_starts(line, name) || line.n <= name.n || line.p[name.n] != ' ')
			continue;
		while (pn_str_starts(text, PN_STR(" ")))
			(void)pn_str_split(&text, '\n', &line);
		return pn_str_head(block, (size_t)(text.p - block.p));
	}
	return PN_STR_EMPTY;
}

static struct pn_str
option_line(const char *name, struct pn_str value, struct pn_arena *arena)
{
	if (value.n == 0)
		return PN_STR_EMPTY;
	return pn_arena_printf(arena, "  -o { %s = " PN_STR_FMT " }\n", name, PN_STR_ARG(value));
}

/* A token must never be sent as if it were a password; our SASL plugin is for these only. */
static const char token_options[] = "  -o smtp_sasl_mechanism_filter=xoauth2,oauthbearer\n"
    "  -o send_cyrus_sasl_authzid=yes\n";

struct pn_str
relay_service_text(const struct relay_service *service, struct pn_str map_socket, struct pn_arena *arena)
{
	const struct pn_relay *relay = service->relay;
	struct pn_relay shared = { .security = relay->security };
	struct pn_str kind = pn_relay_transport(&shared, service->waiting, arena);
	bool own = !pn_str_eq(kind, service->name);
	struct pn_str suffix =
	    own ? pn_arena_printf(arena, "-" PN_STR_FMT, PN_STR_ARG(relay->name)) : PN_STR_EMPTY;
	struct pn_str trusted = PN_STR("  -o smtp_tls_CAfile=/etc/ssl/certs/ca-certificates.crt\n");
	bool trusts = own && relay->ca_file.n > 0;
	const struct fragment_change changes[] = {
		{ kind, service->name },
		{ PN_STR("unix:postern/map.sock"), map_socket },
		{ PN_STR(":sasl\n"), pn_arena_printf(arena, ":sasl" PN_STR_FMT "\n", PN_STR_ARG(suffix)) },
		{ PN_STR(":tls\n"), pn_arena_printf(arena, ":tls" PN_STR_FMT "\n", PN_STR_ARG(suffix)) },
		{ PN_STR(":wait\n"), pn_arena_printf(arena, ":wait" PN_STR_FMT "\n", PN_STR_ARG(suffix)) },
		{ trusted, trusts ? option_line("smtp_tls_CAfile", relay->ca_file, arena) : trusted },
	};
	struct pn_str text = fragment_fill(find_block(kind), changes, PN_COUNT(changes), arena);

	if (!own)
		return text;
	return pn_arena_printf(arena, PN_STR_FMT PN_STR_FMT PN_STR_FMT "%s", PN_STR_ARG(text),
	    PN_STR_ARG(option_line("smtp_tls_cert_file", relay->certificate_file, arena)),
	    PN_STR_ARG(option_line("smtp_tls_key_file", relay->key_file, arena)),
	    relay->login == PN_LOGIN_OAUTH ? token_options : "");
}

bool
relay_service_option(struct pn_str *text, struct pn_str *name, struct pn_str *value)
{
	struct pn_str line;

	while (text->n > 0 && pn_str_split(text, '\n', &line)) {
		line = pn_str_trim(line);
		if (!pn_str_starts(line, PN_STR("-o ")))
			continue;
		line = pn_str_trim(pn_str_from(line, 3));
		if (pn_str_starts(line, PN_STR("{")) && pn_str_ends(line, PN_STR("}")))
			line = pn_str_n(line.p + 1, line.n - 2);
		if (!pn_str_split(&line, '=', name))
			continue;
		*name = pn_str_trim(*name);
		*value = pn_str_trim(line);
		return true;
	}
	return false;
}
