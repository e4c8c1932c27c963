#include "load.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>

#include "postern/address.h"

enum { MINUTE_MS = 60 * 1000, LIMIT_MAX = 1000000000, PERSONAL_MINUTES = 30, PERSONAL_MINUTES_OUTLOOK = 10 };

/* -- presets ----------------------------------------------------------------------- */

static bool
set_key(struct pn_loader *l, const char *name, struct pn_strs values, struct pn_draft_relay *draft)
{
	const struct pn_key *key = pn_key_find(&pn_key_tables[PN_KEYS_RELAY], pn_str_c(name));

	return pn_key_set(key, values, key->type == PN_KEY_LIST, false, draft, l->arena, NULL) == PN_OK;
}

/* The keys of the section count before those of its preset. */
static void
apply_preset(struct pn_loader *l, const struct pn_conf_section *section, struct pn_draft_relay *draft)
{
	/* a preset that is none is reported when all keys are set */
	for (size_t i = 0; i < section->key_count; i++)
		if (pn_str_eq(section->keys[i].name, PN_STR("preset")))
			(void)set_key(l, "preset", section->keys[i].values, draft);

	const struct pn_preset *preset = &pn_presets[draft->preset];
	const struct { const char *key, *value; } rows[] = {
		{ "host", preset->own_host ? "" : preset->host }, { "port", preset->port },
		{ "security", preset->security }, { "authentication", preset->authentication },
		{ "limits", preset->limits },
	};
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_str value = pn_str_c(rows[i].value);
		bool good = set_key(l, rows[i].key, (struct pn_strs){ &value, 1 }, draft);

		assert(good);
	}
}

/* -- limits ------------------------------------------------------------------------- */

/* "500/day": blanks and case do not matter. */
static bool
parse_limit(struct pn_str text, struct pn_limit *out)
{
	static const struct { const char *name; uint64_t window_ms; } units[] = { { "message", 0 },
		{ "minute", MINUTE_MS }, { "hour", 60 * MINUTE_MS }, { "day", 24 * 60 * MINUTE_MS } };
	size_t slash = pn_str_find(text, '/');
	struct pn_str unit = pn_str_trim(pn_str_from(text, slash == PN_STR_NONE ? text.n : slash + 1));
	struct pn_limit limit = { .clock = false };

	if (!pn_str_to_u64(pn_str_trim(pn_str_head(text, slash)), LIMIT_MAX, &limit.most) || limit.most == 0)
		return false;
	for (size_t i = 0; i < PN_COUNT(units); i++)
		if (pn_str_eq_nocase(unit, pn_str_c(units[i].name))) {
			limit.window_ms = units[i].window_ms;
			*out = limit;
			return true;
		}
	return false;
}

static struct pn_limit *
limit_of(struct pn_relay *relay, uint64_t window_ms)
{
	for (size_t i = 0; i < relay->limit_count; i++)
		if (relay->limits[i].window_ms == window_ms)
			return &relay->limits[i];
	return NULL;
}

static void
load_limits(struct pn_loader *l, const struct pn_conf_section *section, struct pn_strs list,
    struct pn_relay *relay)
{
	struct pn_str rest = pn_strs_join(list, PN_STR(","), l->arena), entry;
	struct pn_place place = pn_section_place(section, "limits");

	while (pn_from_filter_next(&rest, &entry)) {
		struct pn_limit limit;

		if (!parse_limit(entry, &limit))
			pn_report_error(l->report, place, PN_STR("limits"),
			    "%s is no limit; write N/day, N/hour, N/minute or N/message",
			    pn_show(entry, l->arena));
		else if (limit_of(relay, limit.window_ms) != NULL)
			pn_report_error(l->report, place, PN_STR("limits"),
			    "%s is the second limit of its unit; remove one", pn_show(entry, l->arena));
		else
			relay->limits[relay->limit_count++] = limit;	/* one per unit: there is room */
	}
}

/* -- filters ------------------------------------------------------------------------- */

/* Odoo's text.  A list without entries must not become Odoo's "no filter". */
static struct pn_str
filter_text(struct pn_strs list, struct pn_arena *arena)
{
	struct pn_str text = pn_strs_join(list, PN_STR(","), arena), rest = text, entry;

	if ((list.n > 0 && text.n == 0) || pn_from_filter_next(&rest, &entry))
		return text;
	return PN_STR(",");
}

/* Odoo rule 12: entries that look right and never match. */
static void
check_filter(struct pn_loader *l, const struct pn_conf_section *section, const char *key,
    struct pn_str filter)
{
	struct pn_place place = pn_section_place(section, key);
	struct pn_str entry, ignored;

	while (pn_from_filter_next(&filter, &entry)) {
		const char *why = NULL;

		if (entry.p[0] == '@')
			why = "leave the @ out to name a domain";
		else if (pn_str_find(entry, '*') != PN_STR_NONE)
			why = "there are no wildcards, name each domain or address";
		else if (pn_str_find(entry, '@') == PN_STR_NONE && !pn_conf_domain(entry, l->arena, &ignored))
			why = "write a domain like acme.example";
		else if (pn_str_find(entry, '@') != PN_STR_NONE &&
		    pn_address_normalize(entry, true, l->arena, &ignored) != PN_OK)
			why = "write one address, local@domain";
		if (why != NULL)
			pn_report_warning(l->report, place, pn_str_c(key), "%s never matches; %s",
			    pn_show(entry, l->arena), why);
	}
}

/* -- personal servers (Odoo rule 14) ----------------------------------------------- */

static void
check_personal_address(struct pn_loader *l, const struct pn_conf_section *section, struct pn_str filter)
{
	struct pn_place place = pn_section_place(section, "from_filter");
	const struct pn_directory *directory = &l->config->directory;
	struct pn_str entry, more, address;

	if (!pn_from_filter_next(&filter, &entry) || pn_from_filter_next(&filter, &more) ||
	    pn_str_find(entry, '@') == PN_STR_NONE ||
	    pn_address_normalize(entry, true, l->arena, &address) != PN_OK) {
		pn_report_error(l->report, place, PN_STR("from_filter"),
		    "a personal server sends from one address; write that of its owner and nothing else");
		return;
	}
	for (size_t i = 0; i < directory->domain_count; i++)
		if (pn_str_eq(directory->domains[i].default_from, address))
			pn_report_error(l->report, place, PN_STR("from_filter"),
			    "%s is the default_from of a domain, which no personal server may send from; "
			    "remove the owner, or give the domain another default_from",
			    pn_show(address, l->arena));
}

/* Odoo's limit holds whatever else is set; a lower one of the relay's own stays. */
static void
limit_personal(struct pn_loader *l, const struct pn_draft_relay *draft, struct pn_relay *relay)
{
	bool outlook = strcmp(pn_presets[draft->preset].name, "microsoft365") == 0;
	uint64_t most = outlook ? l->personal.minutes_outlook : l->personal.minutes;
	struct pn_limit *minute = limit_of(relay, MINUTE_MS);

	if (most == 0)
		most = outlook ? PERSONAL_MINUTES_OUTLOOK : PERSONAL_MINUTES;
	if (minute == NULL) {
		minute = &relay->limits[relay->limit_count++];
		*minute = (struct pn_limit){ .most = most, .window_ms = MINUTE_MS };
	}
	if (minute->most > most)
		minute->most = most;
	minute->clock = true;
}

/* -- one relay ----------------------------------------------------------------------- */

static void
load_host(struct pn_loader *l, const struct pn_conf_section *section, const struct pn_preset *preset,
    struct pn_str *host)
{
	struct pn_place place = pn_section_place(section, "host");
	bool v6 = pn_str_find(*host, ':') != PN_STR_NONE;

	if (host->n == 0)
		pn_report_error(l->report, place, PN_STR("host"), "is not set; add a line like: host = %s",
		    preset->host);
	else if ((!v6 && pn_domain_to_ascii(*host, l->arena, host) != PN_OK) ||
	    !pn_relay_host_is_valid(*host))
		pn_report_error(l->report, place, PN_STR("host"),
		    "%s is no host; write a name like smtp.acme.example, or an IP address without brackets",
		    pn_show(*host, l->arena));
}

static void
load_gateway(struct pn_loader *l, const struct pn_conf_section *section, struct pn_str *name)
{
	const struct pn_gateway *gateway;

	if (name->n == 0)
		return;
	gateway = pn_gateway_wanted(l, *name, pn_section_place(section, "gateway"));
	if (gateway != NULL)
		*name = gateway->name;
}

static void
load_files(struct pn_loader *l, struct pn_relay *r)
{
	struct pn_str *const files[] = { &r->password_file, &r->certificate_file, &r->key_file, &r->ca_file,
		&r->oauth_client_secret_file, &r->oauth_refresh_token_file };

	for (size_t i = 0; i < PN_COUNT(files); i++)
		if (files[i]->n > 0)
			*files[i] = pn_path_beside(l->path, *files[i], l->arena);
}

static bool
is_loopback(struct pn_str host, struct pn_arena *arena)
{
	struct in_addr v4;

	return pn_str_eq(host, PN_STR("localhost")) || pn_str_eq(host, PN_STR("::1")) ||
	    (pn_str_starts(host, PN_STR("127.")) && inet_pton(AF_INET, pn_arena_cstr(arena, host), &v4) == 1);
}

/* A token is as good as a password: it does not cross the network in the clear. */
static bool
is_token_url(struct pn_str url)
{
	static const char *const here[] = { "http://127.0.0.1:", "http://[::1]:", "http://localhost:" };
	struct pn_str https = PN_STR("https://");

	for (size_t i = 0; i < PN_COUNT(here); i++) {
		struct pn_str port = pn_str_from(url, strlen(here[i]));
		uint64_t number;

		if (pn_str_starts(url, pn_str_c(here[i])) &&
		    pn_str_to_u64(pn_str_head(port, pn_str_find(port, '/')), UINT16_MAX, &number))
			return true;
	}
	return pn_str_starts(url, https) && url.n > https.n;
}

static void
check_login(struct pn_loader *l, const struct pn_conf_section *section, const struct pn_relay *r)
{
	bool password = r->login == PN_LOGIN_PASSWORD, oauth = r->login == PN_LOGIN_OAUTH;
	bool certificate = r->login == PN_LOGIN_CERTIFICATE, open = r->security == PN_SECURITY_NONE;
	const struct { bool wrong; const char *key, *text; } rows[] = {
		{ password && r->user.n > 0 && r->password_file.n == 0, "user",
		    "has no password; add a line like: password_file = /etc/postern/secrets/NAME" },
		{ r->user.n == 0 && r->password_file.n > 0, "password_file",
		    "belongs to no user; add user, or remove it" },
		{ pn_str_find(r->user, ':') != PN_STR_NONE, "user",
		    "has a colon, where Postfix expects the password to begin; use another name" },
		{ (r->certificate_file.n > 0) != (r->key_file.n > 0), "certificate_file",
		    "certificate_file and key_file belong together; write both or neither" },
		{ certificate && r->certificate_file.n + r->key_file.n == 0, "authentication",
		    "there is no certificate; add certificate_file and key_file" },
		{ certificate && open, "security",
		    "a certificate is shown over TLS only; write starttls_strict or ssl_strict" },
		{ !certificate && open && r->user.n > 0 && !is_loopback(r->host, l->arena),
		    "security",
		    "the password would cross the network in the clear; write starttls_strict or "
		    "ssl_strict" },
		{ oauth && r->user.n == 0, "authentication",
		    "oauth needs a user; add user, the address of the mailbox" },
		{ oauth && !is_token_url(r->oauth_token_url), "oauth_token_url",
		    "is no address to fetch tokens from; write one like "
		    "https://oauth2.googleapis.com/token" },
		{ oauth && r->oauth_client_id.n == 0, "oauth_client_id",
		    "is not set; write the id that the provider gave this application" },
		{ oauth && r->oauth_client_secret_file.n + r->oauth_refresh_token_file.n == 0,
		    "authentication",
		    "oauth needs a secret; add oauth_client_secret_file, oauth_refresh_token_file or both" },
	};

	for (size_t i = 0; i < PN_COUNT(rows); i++)
		if (rows[i].wrong)
			pn_report_error(l->report, pn_section_place(section, rows[i].key),
			    pn_str_c(rows[i].key), "%s", rows[i].text);
}

static void
check_port(struct pn_loader *l, const struct pn_conf_section *section, const struct pn_relay *r)
{
	bool ssl = r->security == PN_SECURITY_SSL || r->security == PN_SECURITY_SSL_STRICT;
	struct pn_place place = pn_section_place(section, "port");

	if (r->port == 465 && !ssl)
		pn_report_warning(l->report, place, PN_STR("port"),
		    "465 is for TLS from the first byte; write security = ssl_strict, or port = 587");
	if ((r->port == 25 || r->port == 587) && ssl)
		pn_report_warning(l->report, place, PN_STR("port"),
		    "%u begins without TLS; write security = starttls_strict, or port = 465", r->port);
}

/* Postfix looks for no address in a certificate: at most the common name happens to be one. */
static void
check_name(struct pn_loader *l, const struct pn_conf_section *section, const struct pn_relay *r)
{
	bool strict = r->security == PN_SECURITY_STARTTLS_STRICT || r->security == PN_SECURITY_SSL_STRICT;
	struct in_addr v4;

	if (strict && pn_relay_host_is_valid(r->host) && (pn_str_find(r->host, ':') != PN_STR_NONE ||
	    inet_pton(AF_INET, pn_arena_cstr(l->arena, r->host), &v4) == 1))
		pn_report_warning(l->report, pn_section_place(section, "host"), PN_STR("host"),
		    "Postfix compares a certificate with names, not with addresses; write the name of the "
		    "host, or security = starttls or ssl");
}

static struct pn_relay
load_relay(struct pn_loader *l, const struct pn_conf_section *section,
    const struct pn_draft_relay *defaults)
{
	struct pn_draft_relay draft = *defaults;
	struct pn_relay *r = &draft.row;

	apply_preset(l, section, &draft);
	pn_section_apply(l, section, &pn_key_tables[PN_KEYS_RELAY], &draft);
	r->name = section->title;
	r->port = (uint16_t)draft.port;
	r->from_filter = filter_text(draft.from_filter, l->arena);
	r->filter = pn_relay_read_filter(r->from_filter, l->arena);
	if (!pn_relay_name_is_valid(r->name))
		pn_report_error(l->report, section->place, PN_STR("relay"),
		    "%s is no name; use 1 to 32 of a-z, 0-9 and -, and no word like plain, starttls, smtps, "
		    "redirect or wait, which transports have", pn_show(r->name, l->arena));
	load_host(l, section, &pn_presets[draft.preset], &r->host);
	/* Amazon SES does, whether its preset is named or not */
	r->dates_change = pn_presets[draft.preset].dates_change || pn_str_ends(r->host, PN_STR(".amazonaws.com"));
	load_gateway(l, section, &r->gateway);
	load_files(l, r);
	load_limits(l, section, draft.limits, r);
	check_login(l, section, r);
	check_port(l, section, r);
	check_name(l, section, r);
	check_filter(l, section, "from_filter", r->from_filter);
	if (r->owner.n > 0) {
		check_personal_address(l, section, r->from_filter);
		limit_personal(l, &draft, r);
	}
	return *r;
}

/* -- all of them ---------------------------------------------------------------------- */

static int
by_priority(const void *a, const void *b)
{
	const struct pn_relay *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? 1 : -1;
	return (x->index > y->index) - (x->index < y->index);
}

static void
put_in_order(struct pn_relay *v, size_t n)
{
	if (n > 0)
		qsort(v, n, sizeof(*v), by_priority);
	for (size_t i = 0; i < n; i++)
		v[i].index = i;
}

/* Postfix knows a login and a level by host and port; certificates and the kind of
 * login are settings of a service. */
static void
find_own_transports(struct pn_relay *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		v[i].own_transport = v[i].ca_file.n > 0 || v[i].certificate_file.n > 0 || v[i].login == PN_LOGIN_OAUTH;
		for (size_t k = 0; k < n; k++)
			v[i].own_transport |= k != i && v[i].active && v[k].active && v[i].port == v[k].port
			    && pn_str_eq(v[i].host, v[k].host);
	}
}

void
pn_load_relays(struct pn_loader *l)
{
	bool *twice = PN_ARENA_ARRAY(l->arena, bool, l->tree.n);
	struct pn_draft_relay defaults = { .preset = 0 };
	size_t wanted, n = 0, owned = 0;
	struct pn_named *names = pn_sections_of(l, "relay", &wanted);
	struct pn_named *owners = PN_ARENA_ARRAY(l->arena, struct pn_named, wanted);
	struct pn_relay *v = PN_ARENA_ARRAY(l->arena, struct pn_relay, PN_RELAYS_MAX);

	pn_names_unique(l, names, wanted, "relay", twice);
	pn_keys_defaults(&pn_key_tables[PN_KEYS_RELAY], &defaults, l->arena);
	check_filter(l, l->tree.sections, "mail.default.from_filter", l->config->default_from_filter);
	for (size_t i = 1; i < l->tree.n && n < PN_RELAYS_MAX; i++) {
		const struct pn_conf_section *s = &l->tree.sections[i];

		if (twice[i] || !pn_str_eq(s->kind, PN_STR("relay")) || s->title.n == 0)
			continue;
		v[n] = load_relay(l, s, &defaults);
		v[n].index = n;
		if (v[n].active && v[n].owner.n > 0)
			owners[owned++] = (struct pn_named){ v[n].owner, pn_section_place(s, "owner"), n };
		n++;
	}
	if (wanted > PN_RELAYS_MAX)
		pn_report_error(l->report, (struct pn_place){ l->path, 0 }, PN_STR("relay"),
		    "%zu relays are too many; at most %d fit on a host", wanted, PN_RELAYS_MAX);
	pn_names_unique(l, owners, owned, "personal server of", NULL);
	put_in_order(v, n);
	find_own_transports(v, n);
	l->config->relays = (struct pn_relays){ v, n };
}
