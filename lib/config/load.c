#include "load.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "postern/address.h"
#include "postern/alias_name.h"
#include "postern/idn.h"
#include "postern/nearest.h"

/* -- sections ------------------------------------------------------------------ */

const struct pn_key_table *
pn_section_table(struct pn_str kind)
{
	for (size_t i = 0; i < PN_COUNT(pn_key_tables); i++)
		if (pn_str_eq(kind, pn_str_c(pn_key_tables[i].section)))
			return &pn_key_tables[i];
	return NULL;
}

struct pn_place
pn_section_place(const struct pn_conf_section *section, const char *key)
{
	struct pn_place place = section->place;

	for (size_t i = 0; i < section->key_count; i++)
		if (pn_str_eq(section->keys[i].name, pn_str_c(key)))
			place = section->keys[i].place;
	return place;
}

static void
note_repetition(struct pn_loader *l, const struct pn_conf_key *key, const struct pn_conf_key *before)
{
	/* a file of conf.d may well override the main one */
	if (before != NULL && !key->append && before->place.file == key->place.file)
		pn_report_warning(l->report, key->place, key->name,
		    "was set in line %u already and the last one counts; remove one", before->place.line);
}

void
pn_section_apply(struct pn_loader *l, const struct pn_conf_section *section,
    const struct pn_key_table *table, void *draft)
{
	const struct pn_conf_key *seen[64] = { NULL };
	struct pn_error err;

	for (size_t i = 0; i < section->key_count; i++) {
		const struct pn_conf_key *k = &section->keys[i];
		const struct pn_key *key = pn_key_find(table, k->name);

		if (key == NULL) {
			pn_key_unknown(table, k->place, k->name, l->arena, l->report);
			continue;
		}
		note_repetition(l, k, seen[key - table->v]);
		seen[key - table->v] = k;
		if (pn_key_set(key, k->values, k->list, k->append, draft, l->arena, &err) != PN_OK)
			pn_report_error(l->report, k->place, k->name, "%s", err.text);
	}
	for (size_t i = 0; i < table->n; i++)
		if (table->v[i].standard == NULL && seen[i] == NULL)
			pn_report_error(l->report, section->place, section->kind,
			    "%s has no %s; add a line like: %s = %s", pn_show(section->title, l->arena),
			    table->v[i].name, table->v[i].name, table->v[i].example);
}

struct pn_named *
pn_sections_of(struct pn_loader *l, const char *kind, size_t *count)
{
	struct pn_named *names = PN_ARENA_ARRAY(l->arena, struct pn_named, l->tree.n);
	size_t n = 0;

	for (size_t i = 1; i < l->tree.n; i++) {
		const struct pn_conf_section *s = &l->tree.sections[i];

		if (pn_str_eq(s->kind, pn_str_c(kind)) && s->title.n > 0)
			names[n++] = (struct pn_named){ s->title, s->place, i };
	}
	*count = n;
	return names;
}

static int
by_name(const void *a, const void *b)
{
	const struct pn_named *x = a, *y = b;
	int order = pn_str_cmp(x->name, y->name);

	return order != 0 ? order : (x->i > y->i) - (x->i < y->i);
}

void
pn_names_unique(struct pn_loader *l, struct pn_named *v, size_t n, const char *what, bool *twice)
{
	size_t first = 0;

	if (n > 0)
		qsort(v, n, sizeof(*v), by_name);
	for (size_t i = 1; i < n; i++) {
		if (!pn_str_eq(v[i].name, v[first].name)) {
			first = i;
			continue;
		}
		pn_report_error(l->report, v[i].place, PN_STR_EMPTY,
		    "the %s %s stands in %s:%u already; remove one or put both together", what,
		    pn_show(v[i].name, l->arena), v[first].place.file, v[first].place.line);
		if (twice != NULL)
			twice[v[i].i] = true;
	}
}

static void
check_section(struct pn_loader *l, const struct pn_conf_section *section)
{
	const char *words[PN_KEYS_SECTIONS - 1], *nearest = NULL;

	if (section->kind.n > 0 && pn_section_table(section->kind) != NULL) {
		if (section->title.n == 0)
			pn_report_error(l->report, section->place, section->kind,
			    "the section needs a name; write " PN_STR_FMT " \"...\" {",
			    PN_STR_ARG(section->kind));
		return;
	}
	for (size_t i = 0; i < PN_COUNT(words); i++)
		words[i] = pn_key_tables[i + 1].section;
	if (pn_report_has_room(l->report))
		nearest = pn_nearest(section->kind, words, PN_COUNT(words));
	if (nearest != NULL)
		pn_report_error(l->report, section->place, PN_STR_EMPTY,
		    "there is no section %s; did you mean %s?", pn_show(section->kind, l->arena), nearest);
	else
		pn_report_error(l->report, section->place, PN_STR_EMPTY,
		    "there is no section %s; use gateway, domain, alias, relay or model",
		    pn_show(section->kind, l->arena));
}

/* -- what stands outside sections ----------------------------------------------- */

bool
pn_conf_domain(struct pn_str text, struct pn_arena *arena, struct pn_str *out)
{
	struct pn_str ascii;

	if (pn_domain_to_ascii(text, arena, &ascii) != PN_OK || ascii.p[0] == '[')
		return false;
	for (size_t i = 0; i < ascii.n; i++)
		if (!pn_is_alnum(ascii.p[i]) && memchr("-._", ascii.p[i], 3) == NULL)
			return false;
	*out = ascii;
	return true;
}

bool
pn_conf_address(struct pn_str text, struct pn_arena *arena, struct pn_str *out, const char **why)
{
	size_t at = pn_str_find_last(text, '@');
	struct pn_str domain;

	if (at == PN_STR_NONE || at == 0)
		*why = "is no address; write local@domain";
	else if (at > 64 || !pn_is_dot_atom(pn_str_head(text, at)))
		*why = "has a local part that cannot be used; write letters, digits and dots";
	else if (!pn_conf_domain(pn_str_from(text, at + 1), arena, &domain))
		*why = "has a domain that cannot be; write one like acme.example";
	else {
		*out = pn_arena_printf(arena, PN_STR_FMT "@" PN_STR_FMT, PN_STR_ARG(pn_str_head(text, at)),
		    PN_STR_ARG(domain));
		return true;
	}
	return false;
}

void
pn_load_addresses(struct pn_loader *l, const struct pn_conf_section *section, const char *key,
    struct pn_strs *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (pn_address_normalize(list->v[i], true, l->arena, &list->v[i]) != PN_OK)
			pn_report_error(l->report, pn_section_place(section, key), pn_str_c(key),
			    "%s is not one address; write local@domain", pn_show(list->v[i], l->arena));
}

/* "192.0.2.0/24", "2001:db8::1" */
static const char *
parse_network(struct pn_str text, struct pn_arena *arena, struct pn_network *out)
{
	size_t slash = pn_str_find(text, '/');
	const char *address = pn_arena_cstr(arena, pn_str_head(text, slash));
	struct pn_network net = { .prefix = 128 };
	bool v4 = inet_pton(AF_INET, address, net.address + 12) == 1;
	uint64_t bits = v4 ? 32 : 128;

	if (!v4 && inet_pton(AF_INET6, address, net.address) != 1)
		return "is no network; write one like 192.0.2.0/24 or 2001:db8::/32";
	if (slash != PN_STR_NONE && !pn_str_to_u64(pn_str_from(text, slash + 1), bits, &bits))
		return "has a prefix that cannot be; write 0 to 32 for IPv4, 0 to 128 for IPv6";
	if (v4) {
		net.address[10] = net.address[11] = 0xff;
		bits += 96;
	}
	net.prefix = (unsigned)bits;
	for (unsigned i = net.prefix; i < 128; i++)
		if (net.address[i / 8] & (0x80 >> i % 8))
			return "has bits set behind its prefix; set them to 0 or write a longer prefix";
	*out = net;
	return NULL;
}

static struct pn_networks
load_networks(struct pn_loader *l, const char *key, struct pn_strs networks)
{
	struct pn_network *v = PN_ARENA_ARRAY(l->arena, struct pn_network, networks.n);
	size_t n = 0;

	for (size_t i = 0; i < networks.n; i++) {
		const char *why = parse_network(networks.v[i], l->arena, &v[n]);

		if (why == NULL)
			n++;
		else
			pn_report_error(l->report, pn_section_place(l->tree.sections, key), pn_str_c(key), "%s %s",
			    pn_show(networks.v[i], l->arena), why);
	}
	return (struct pn_networks){ v, n };
}

static void
load_socket(struct pn_loader *l, const char *key, struct pn_str *socket)
{
	struct pn_place place = pn_section_place(l->tree.sections, key);
	struct pn_str path = pn_str_from(*socket, 5);

	if (!pn_str_starts(*socket, PN_STR("unix:")) || path.n == 0) {
		pn_report_error(l->report, place, pn_str_c(key), "%s is not a socket; write unix:/path",
		    pn_show(*socket, l->arena));
		return;
	}
	path = pn_path_beside(l->path, path, l->arena);
	if (path.n >= sizeof(((struct sockaddr_un *)0)->sun_path))
		pn_report_error(l->report, place, pn_str_c(key),
		    "the path has %zu bytes; a socket's may have %zu, use a shorter one", path.n,
		    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	*socket = pn_arena_printf(l->arena, "unix:" PN_STR_FMT, PN_STR_ARG(path));
}

/* Policy requests name users and senders: they stay on the host. */
static void
check_loopback(struct pn_loader *l, const char *key, struct pn_str address)
{
	size_t colon = pn_str_find_last(address, ':');
	struct pn_str host = pn_str_head(address, colon);
	uint64_t port = 0;
	bool good = colon != PN_STR_NONE && pn_str_to_u64(pn_str_from(address, colon + 1), 65535, &port);

	if (address.n > 0 && !(good && port > 0 &&
	    (pn_str_eq(host, PN_STR("127.0.0.1")) || pn_str_eq(host, PN_STR("[::1]")))))
		pn_report_error(l->report, pn_section_place(l->tree.sections, key), pn_str_c(key),
		    "%s is no address of loopback; write 127.0.0.1:PORT or [::1]:PORT",
		    pn_show(address, l->arena));
}

static void
load_hostname(struct pn_loader *l, struct pn_str *hostname)
{
	char name[256];

	if (hostname->n == 0) {
		if (gethostname(name, sizeof(name)) != 0)
			name[0] = '\0';
		name[sizeof(name) - 1] = '\0';
		*hostname = pn_arena_dup(l->arena, name[0] == '\0' ? PN_STR("localhost") : pn_str_c(name));
	} else if (!pn_conf_domain(*hostname, l->arena, hostname))
		pn_report_error(l->report, pn_section_place(l->tree.sections, "hostname"),
		    PN_STR("hostname"), "%s is no host name; write one like mail.acme.example",
		    pn_show(*hostname, l->arena));
}

/* A name of our own: another program on this host writes results under its name. */
static void
load_authserv_id(struct pn_loader *l, struct pn_str *id)
{
	if (id->n == 0)
		*id = pn_arena_printf(l->config->arena, "postern." PN_STR_FMT, PN_STR_ARG(l->config->hostname));
	else if (!pn_conf_domain(*id, l->arena, id))
		pn_report_error(l->report, pn_section_place(l->tree.sections, "authserv_id"), PN_STR("authserv_id"),
		    "%s is no name for Authentication-Results; write one like postern.mail.acme.example",
		    pn_show(*id, l->arena));
}

static void
load_signing(struct pn_loader *l, enum pn_canonicalization canonicalization)
{
	struct pn_sign_config *sign = &l->config->sign;
	struct pn_arena *arena = l->config->arena;
	struct pn_str kind = PN_STR_EMPTY, path = sign->signing_table;

	sign->relaxed_header = canonicalization == PN_RELAXED_RELAXED || canonicalization == PN_RELAXED_SIMPLE;
	sign->relaxed_body = canonicalization == PN_RELAXED_RELAXED || canonicalization == PN_SIMPLE_RELAXED;
	sign->read_key = pn_config_secret;
	if (sign->socket.n > 0)
		load_socket(l, "signer_socket", &sign->socket);
	if (path.n == 0)
		return;
	if (sign->key_table.n == 0)
		pn_report_error(l->report, pn_section_place(l->tree.sections, "sign_table"), PN_STR("sign_table"),
		    "names keys, and there is no sign_key_table to find them in; set it");
	if (pn_str_starts(path, PN_STR("refile:")) || pn_str_starts(path, PN_STR("file:"))) {
		kind = pn_str_head(path, pn_str_find(path, ':') + 1);
		path = pn_str_from(path, kind.n);
	}
	path = pn_path_beside(l->path, path, arena);
	sign->signing_table = pn_arena_printf(arena, PN_STR_FMT PN_STR_FMT, PN_STR_ARG(kind), PN_STR_ARG(path));
	if (pn_str_starts(sign->key_table, PN_STR("file:")))
		sign->key_table = pn_str_from(sign->key_table, 5);
	sign->key_table = pn_path_beside(l->path, sign->key_table, arena);
}

void
pn_load_globals(struct pn_loader *l)
{
	const struct pn_key_table *table = &pn_key_tables[PN_KEYS_GLOBAL];
	struct pn_draft_global draft = { .log = PN_LOG_STDERR };
	struct pn_arena *arena = l->config->arena;

	pn_keys_defaults(table, &draft, l->arena);
	pn_section_apply(l, &l->tree.sections[0], table, &draft);
	*l->config = draft.config;
	l->config->arena = arena;
	l->config->path = pn_arena_dup(arena, pn_str_c(l->path));
	l->config->log_syslog = draft.log == PN_LOG_SYSLOG;
	l->config->state_directory = pn_path_beside(l->path, l->config->state_directory, arena);
	l->config->store.path = l->config->state_directory.p;
	load_socket(l, "milter_socket", &l->config->milter_socket);
	load_socket(l, "map_socket", &l->config->map_socket);
	if (l->config->policy_socket.n > 0)
		load_socket(l, "policy_socket", &l->config->policy_socket);
	check_loopback(l, "policy_tcp", l->config->policy_tcp);
	if (l->config->mail_log.n > 0 && !pn_str_eq(l->config->mail_log, PN_STR("journal")))
		l->config->mail_log = pn_path_beside(l->path, l->config->mail_log, arena);
	pn_load_addresses(l, l->tree.sections, "mass_mailing_senders", &l->config->mass.senders);
	l->config->personal_relays = !draft.personal.disabled;
	l->personal = draft.personal;
	load_hostname(l, &l->config->hostname);
	l->config->outbound_networks = load_networks(l, "outbound_networks", draft.networks);
	l->config->auth.trusted_relays = load_networks(l, "trusted_relays", draft.trusted_relays);
	l->config->auth.forwarders = load_networks(l, "dmarc_forwarders", draft.forwarders);
	load_authserv_id(l, &l->config->auth.authserv_id);
	load_signing(l, draft.canonicalization);
}

/* -- all of it ------------------------------------------------------------------- */

enum pn_status
pn_conf_load(struct pn_conf_files files, const char *path, struct pn_config *config,
    struct pn_config_report *report)
{
	struct pn_loader l = { .path = path, .arena = config->arena, .config = config, .report = report };

	pn_conf_tree_init(&l.tree, l.arena);
	l.tree.sections[0].place = (struct pn_place){ path, 0 };
	for (size_t i = 0; i < files.n; i++)
		if (!files.v[i].is_table)
			pn_conf_read(&l.tree, files.v[i].text, files.v[i].name, l.arena, report);
	for (size_t i = 1; i < l.tree.n; i++)
		check_section(&l, &l.tree.sections[i]);
	pn_load_globals(&l);
	pn_load_models(&l);
	pn_load_gateways(&l);
	pn_load_domains(&l);
	pn_check_targets(&l);
	pn_load_relays(&l);
	pn_load_alias_sections(&l);
	for (size_t i = 0; i < files.n; i++)
		if (files.v[i].is_table)
			pn_load_alias_table(&l, &files.v[i]);
	pn_finish_aliases(&l);
	pn_report_finish(report);
	return report->errors == 0 ? PN_OK : PN_INVALID;
}
