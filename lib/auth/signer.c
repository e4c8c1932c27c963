#include "postern/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "postern/buf.h"
#include "postern/clock.h"

enum {
	TABLE_MAX = 64 << 20,
	READ_STEP = 64 << 10,
	LOOK_SECONDS = 3,	/* for what is published for the keys of one mail */
};

struct pn_signer {
	struct pn_sign_config config;
	struct pn_dns dns;
	bool has_dns;
	struct pn_arena *arena;		/* of the tables */
	struct pn_key_table keys;
	struct pn_signing_table signing;
	struct pn_key_service service;
	struct pn_key_ring *ring;	/* of the service, where there is one */
};

/* -- the tables --------------------------------------------------------------------- */

static enum pn_status
read_file(struct pn_str name, struct pn_arena *arena, struct pn_str *out, struct pn_error *err)
{
	const char *path = pn_arena_cstr(arena, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char chunk[READ_STEP];
	struct pn_buf text;
	ssize_t n;

	if (fd < 0)
		return pn_fail(err, PN_TEMPFAIL, "%s: %s", path, strerrordesc_np(errno));
	pn_buf_init(&text, TABLE_MAX);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		pn_buf_add(&text, pn_str_n(chunk, (size_t)n));
	(void)close(fd);
	*out = pn_arena_dup(arena, pn_buf_str(&text));
	if (pn_buf_failed(&text))
		n = -1;
	pn_buf_done(&text);
	return n < 0 ? pn_fail(err, PN_INVALID, "%s: is no table, or larger than %d MB", path, TABLE_MAX >> 20) : PN_OK;
}

static enum pn_status
read_tables(struct pn_signer *s, struct pn_error *err)
{
	struct pn_str name = s->config.signing_table, text;
	bool patterns = pn_str_starts(name, PN_STR("refile:"));
	enum pn_status st;

	if (patterns || pn_str_starts(name, PN_STR("file:")))
		name = pn_str_from(name, pn_str_find(name, ':') + 1);
	st = read_file(name, s->arena, &text, err);
	if (st == PN_OK && (st = pn_signing_table_parse(text, patterns, s->arena, &s->signing, err)) != PN_OK)
		return pn_fail_in(err, st, PN_STR_FMT, PN_STR_ARG(name));
	if (st == PN_OK)
		st = read_file(s->config.key_table, s->arena, &text, err);
	if (st == PN_OK && (st = pn_key_table_parse(text, s->arena, &s->keys, err)) != PN_OK)
		return pn_fail_in(err, st, PN_STR_FMT, PN_STR_ARG(s->config.key_table));
	return st;
}

static enum pn_status
read_key(struct pn_signer *s, struct pn_str name, struct pn_error *err)
{
	const struct pn_dkim_key *key;

	if (s->config.socket.n > 0 && !pn_key_is_path(name))
		return pn_fail(err, PN_INVALID, "the key itself stands here, for postern-milter to read; put it "
		    "into a file, or leave signer_socket empty");
	if (s->service.ask != NULL || pn_str_find(name, '%') != PN_STR_NONE)
		return PN_OK;
	return pn_key_ring_get(s->ring, name, &key, err);
}

static enum pn_status
read_keys(struct pn_signer *s, struct pn_error *err)
{
	for (size_t i = 0; i < s->keys.n; i++) {
		enum pn_status st = read_key(s, s->keys.v[i].key, err);

		if (st != PN_OK)
			return pn_fail_in(err, st == PN_NOT_FOUND ? PN_INVALID : st, PN_STR_FMT ":%zu",
			    PN_STR_ARG(s->config.key_table), s->keys.v[i].line);
	}
	return PN_OK;
}

static void
close_service(const struct pn_key_service *service)
{
	if (service->close != NULL)
		service->close(service->ctx);
}

enum pn_status
pn_signer_open(const struct pn_sign_config *config, const struct pn_dns *dns, const struct pn_key_service *service,
    struct pn_signer **out, struct pn_error *err)
{
	struct pn_signer *s;
	enum pn_status st;

	*out = NULL;
	if (config->signing_table.n == 0) {
		if (service != NULL)
			close_service(service);
		return PN_OK;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		pn_out_of_memory();
	s->config = *config;
	s->has_dns = dns != NULL && config->check_published;
	if (dns != NULL)
		s->dns = *dns;
	s->arena = pn_arena_new(SIZE_MAX);
	s->config.key_table = pn_arena_dup(s->arena, config->key_table);
	s->config.signing_table = pn_arena_dup(s->arena, config->signing_table);
	if (service != NULL)
		s->service = *service;
	s->ring = service != NULL ? pn_key_ring_of_service(&s->service) : pn_key_ring_new(config->read_key);
	st = read_tables(s, err);
	if (st == PN_OK)
		st = read_keys(s, err);
	if (st == PN_OK)
		*out = s;
	else
		pn_signer_close(s);
	return st;
}

void
pn_signer_close(struct pn_signer *s)
{
	if (s == NULL)
		return;
	pn_key_ring_free(s->ring);
	close_service(&s->service);
	pn_arena_free(s->arena);
	free(s);
}

bool
pn_signer_relaxed_body(const struct pn_signer *s)
{
	return s->config.relaxed_body;
}

/* -- one key ------------------------------------------------------------------------------- */

static enum pn_status
get_key(struct pn_signer *s, const struct pn_signing_key *k, struct pn_arena *arena, const struct pn_dkim_key **out,
    struct pn_error *err)
{
	struct pn_str name = k->key;

	if (s->service.ask != NULL)
		name = pn_arena_printf(arena, PN_STR_FMT " " PN_STR_FMT " " PN_STR_FMT, PN_STR_ARG(k->name),
		    PN_STR_ARG(k->domain), PN_STR_ARG(k->selector));
	return pn_key_ring_get(s->ring, name, out, err);
}

enum pn_status
pn_signer_key(struct pn_signer *s, struct pn_str name, struct pn_str domain, struct pn_str selector,
    struct pn_arena *arena, const struct pn_dkim_key **out, struct pn_error *err)
{
	struct pn_signing_key key;
	enum pn_status st = pn_key_table_find(&s->keys, name, domain, arena, &key, err);

	if (st == PN_OK && !pn_str_eq(key.selector, selector))
		st = pn_fail(err, PN_NOT_FOUND, "the key of that name has another selector");
	return st == PN_OK ? get_key(s, &key, arena, out, err) : st;
}

/* -- one mail ------------------------------------------------------------------------------ */

/* The world must be able to verify it: what the DNS does not tell is no reason not
 * to sign. */
static bool
is_published(const struct pn_dns *dns, const struct pn_signing_key *k, const struct pn_dkim_key *key,
    struct pn_arena *arena, struct pn_error *err)
{
	return dns == NULL || pn_dkim_key_matches(key, k->domain, k->selector, dns, arena, err) != PN_NO;
}

/* Those that may sign, and why the others may not. */
static size_t
usable_keys(struct pn_signer *s, const struct pn_signing_key *keys, size_t n, struct pn_arena *arena,
    struct pn_dkim_signer *signers, struct pn_strs_builder *refused)
{
	struct pn_dns_budget budget;
	struct pn_dns dns;
	struct pn_error err = { "" };
	size_t used = 0;

	pn_dns_budget_init(&budget, s->dns, PN_SIGNING_KEYS, pn_clock_mono_us() + LOOK_SECONDS * 1000000);
	dns = pn_dns_budget_port(&budget);
	for (size_t i = 0; i < n; i++) {
		const struct pn_dkim_key *key;

		if (get_key(s, &keys[i], arena, &key, &err) != PN_OK
		    || !is_published(s->has_dns ? &dns : NULL, &keys[i], key, arena, &err)) {
			if (!pn_strs_has(refused->list, pn_str_c(err.text)))
				pn_strs_add(refused, pn_arena_dup(arena, pn_str_c(err.text)));
			continue;
		}
		signers[used++] = (struct pn_dkim_signer){ keys[i].domain, keys[i].selector, keys[i].identity, key };
	}
	return used;
}

/* The fields of those that signed, and who they are. */
static void
collect(const struct pn_dkim_signer *signers, size_t n, struct pn_field *fields, struct pn_arena *arena,
    struct pn_signed *out)
{
	struct pn_strs_builder domains = { .arena = arena };

	out->fields = fields;
	for (size_t i = 0; i < n; i++) {
		if (fields[i].name.n == 0)
			continue;
		out->fields[out->n++] = fields[i];
		pn_strs_add(&domains, pn_arena_printf(arena, PN_STR_FMT "/" PN_STR_FMT, PN_STR_ARG(signers[i].domain),
		    PN_STR_ARG(signers[i].selector)));
	}
	out->domains = pn_strs_join(domains.list, PN_STR(", "), arena);
}

enum pn_status
pn_signer_sign(struct pn_signer *s, struct pn_fields fields, const unsigned char body[PN_DKIM_HASH_SIZE],
    struct pn_str from, bool dates_change, int64_t now, struct pn_arena *arena, struct pn_signed *out,
    struct pn_error *err)
{
	struct pn_dkim_signing how = { .relaxed_header = s->config.relaxed_header, .relaxed_body = s->config.relaxed_body,
		.now = now, .dates_change = dates_change };
	struct pn_signing_key keys[PN_SIGNING_KEYS];
	struct pn_dkim_signer signers[PN_SIGNING_KEYS];
	struct pn_strs_builder refused = { .arena = arena };
	struct pn_field *made;
	struct pn_error why = { "" };
	enum pn_status st;
	size_t n;

	*out = (struct pn_signed){ .n = 0 };
	st = pn_signing_find(&s->signing, &s->keys, from, s->config.all, arena, keys, &n, err);
	if (st != PN_OK)
		return st;
	n = usable_keys(s, keys, n, arena, signers, &refused);
	made = PN_ARENA_ARRAY(arena, struct pn_field, n);
	st = n == 0 ? PN_OK : pn_dkim_sign(fields, body, signers, n, &how, arena, made, &why);
	if (st != PN_OK && st != PN_TEMPFAIL)
		return pn_fail(err, st, "%s", why.text);
	collect(signers, n, made, arena, out);
	if (out->n < n)
		pn_strs_add(&refused, pn_arena_dup(arena, pn_str_c(why.text)));
	out->refused = pn_strs_join(refused.list, PN_STR("; "), arena);
	return PN_OK;
}
