#include "postern/dns_zone.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum { ZONE_LIMIT = 64 * 1024 * 1024, CNAMES_MAX = 16, TTL = 300 };

/* Beside the types of the DNS. */
enum kind { ANY = 0, CNAME = 5, FAILURE = 1000 };

struct record {
	struct pn_str name;	/* lower case */
	unsigned type;		/* enum pn_dns_type or enum kind */
	unsigned covers;	/* FAILURE: the type that fails, or ANY */
	uint16_t preference;
	struct pn_str data;
	const char *why;	/* FAILURE */
};

struct pn_dns_zone {
	struct pn_arena *arena;
	struct record *v;
	size_t n, cap;
};

struct pn_dns_zone *
pn_dns_zone_new(void)
{
	struct pn_dns_zone *zone = calloc(1, sizeof(*zone));

	if (zone == NULL)
		pn_out_of_memory();
	zone->arena = pn_arena_new(ZONE_LIMIT);
	return zone;
}

void
pn_dns_zone_free(struct pn_dns_zone *zone)
{
	if (zone == NULL)
		return;
	pn_arena_free(zone->arena);
	free(zone);
}

/* -- text -- */

/* The byte that an escape stands for; *s begins behind the backslash. */
static bool
read_escape(struct pn_str *s, char *out)
{
	uint64_t value;

	if (s->n == 0)
		return false;
	if (!pn_is_digit(s->p[0])) {
		*out = s->p[0];
		*s = pn_str_from(*s, 1);
		return true;
	}
	if (s->n < 3 || !pn_str_to_u64(pn_str_head(*s, 3), 255, &value))
		return false;
	*out = (char)value;
	*s = pn_str_from(*s, 3);
	return true;
}

/* One word off the front of *s, which begins with it; `text` has room for it. */
static bool
read_word(struct pn_str *s, char *text, struct pn_str *out)
{
	bool quoted = s->p[0] == '"';
	size_t n = 0;

	if (quoted)
		*s = pn_str_from(*s, 1);
	while (s->n > 0 && (quoted ? s->p[0] != '"' : !pn_is_space(s->p[0]))) {
		char c = s->p[0];

		*s = pn_str_from(*s, 1);
		if (c == '\\' && !read_escape(s, &c))
			return false;
		text[n++] = c;
	}
	if (quoted && s->n == 0)
		return false;
	*s = pn_str_from(*s, quoted ? 1 : 0);
	*out = pn_str_n(text, n);
	return true;
}

enum pn_status
pn_dns_zone_words(struct pn_str line, struct pn_arena *arena, struct pn_strs *out)
{
	struct pn_strs_builder words = { .arena = arena };
	char *text = pn_arena_alloc(arena, line.n + 1);

	for (line = pn_str_trim(line); line.n > 0 && line.p[0] != '#'; line = pn_str_trim(line)) {
		struct pn_str word;

		if (!read_word(&line, text, &word))
			return PN_INVALID;
		text += word.n;
		pn_strs_add(&words, word);
	}
	*out = words.list;
	return PN_OK;
}

static struct pn_str
without_dot(struct pn_str name)
{
	return pn_str_ends(name, PN_STR(".")) ? pn_str_head(name, name.n - 1) : name;
}

static unsigned
type_of(struct pn_str word)
{
	static const enum pn_dns_type types[] = {
		PN_DNS_A, PN_DNS_NS, PN_DNS_PTR, PN_DNS_MX, PN_DNS_TXT, PN_DNS_AAAA,
	};

	for (size_t i = 0; i < PN_COUNT(types); i++)
		if (pn_str_eq(word, pn_str_c(pn_dns_type_name(types[i]))))
			return types[i];
	return pn_str_eq(word, PN_STR("CNAME")) ? CNAME : ANY;
}

static bool
parse_address(struct pn_dns_zone *zone, int family, struct pn_str word, struct pn_str *out)
{
	unsigned char bytes[16];

	if (inet_pton(family, pn_arena_cstr(zone->arena, word), bytes) != 1)
		return false;
	*out = pn_arena_dup(zone->arena, pn_str_n((const char *)bytes, family == AF_INET ? 4 : 16));
	return true;
}

/* What follows the type. */
static bool
parse_data(struct pn_dns_zone *zone, struct pn_strs words, struct record *r)
{
	uint64_t preference;

	if (r->type == PN_DNS_TXT) {
		r->data = pn_strs_join(words, PN_STR_EMPTY, zone->arena);
		return true;
	}
	if (r->type == PN_DNS_MX) {
		if (words.n != 2 || !pn_str_to_u64(words.v[0], UINT16_MAX, &preference))
			return false;
		r->preference = (uint16_t)preference;
		r->data = without_dot(words.v[1]);
		return true;
	}
	if (words.n != 1)
		return false;
	if (r->type == PN_DNS_A || r->type == PN_DNS_AAAA)
		return parse_address(zone, r->type == PN_DNS_A ? AF_INET : AF_INET6, words.v[0], &r->data);
	r->data = without_dot(words.v[0]);
	return true;
}

static bool
parse_failure(struct pn_strs words, struct record *r)
{
	r->why = pn_str_eq(words.v[1], PN_STR("TIMEOUT")) ? "time-out"
	    : pn_str_eq(words.v[1], PN_STR("SERVFAIL")) ? "SERVFAIL" : NULL;
	r->type = FAILURE;
	if (words.n > 2)
		r->covers = type_of(words.v[2]);
	return r->why != NULL && (words.n == 2 || (words.n == 3 && r->covers != ANY));
}

enum pn_status
pn_dns_zone_add(struct pn_dns_zone *zone, struct pn_str line, struct pn_error *err)
{
	struct record r = { .type = ANY };
	struct pn_strs words;

	if (pn_dns_zone_words(line, zone->arena, &words) != PN_OK)
		return pn_fail(err, PN_INVALID, "an open quote or a bad escape");
	if (words.n == 0)
		return PN_OK;
	if (words.n < 2)
		return pn_fail(err, PN_INVALID, "a name without a record");
	r.name = pn_arena_lower(zone->arena, without_dot(words.v[0]));
	r.type = type_of(words.v[1]);
	if (r.type == ANY ? !parse_failure(words, &r)
	    : !parse_data(zone, (struct pn_strs){ words.v + 2, words.n - 2 }, &r))
		return pn_fail(err, PN_INVALID, "no record this zone knows: " PN_STR_FMT, PN_STR_ARG(line));
	zone->v = pn_arena_grow(zone->arena, zone->v, zone->n, &zone->cap, zone->n + 1, sizeof(*zone->v));
	zone->v[zone->n++] = r;
	return PN_OK;
}

/* -- questions -- */

static const struct record *
find(const struct pn_dns_zone *zone, struct pn_str name, unsigned type, unsigned covers)
{
	for (size_t i = 0; i < zone->n; i++)
		if (zone->v[i].type == type && zone->v[i].covers == covers
		    && pn_str_eq(zone->v[i].name, name))
			return &zone->v[i];
	return NULL;
}

static bool
exists(const struct pn_dns_zone *zone, struct pn_str name)
{
	for (size_t i = 0; i < zone->n; i++) {
		struct pn_str owner = zone->v[i].name;

		if (pn_str_ends(owner, name) && (owner.n == name.n || owner.p[owner.n - name.n - 1] == '.'))
			return true;
	}
	return false;
}

static int
by_preference(const void *a, const void *b)
{
	const struct record *x = *(const struct record *const *)a, *y = *(const struct record *const *)b;

	return x->preference != y->preference
	    ? (x->preference > y->preference) - (x->preference < y->preference)
	    : (x > y) - (x < y);
}

static size_t
collect(const struct pn_dns_zone *zone, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
    struct pn_dns_answer *out)
{
	const struct record **found = PN_ARENA_ARRAY(arena, const struct record *, zone->n + 1);
	struct pn_strs_builder records = { .arena = arena };
	uint16_t *preferences;
	size_t n = 0;

	for (size_t i = 0; i < zone->n; i++)
		if (zone->v[i].type == type && pn_str_eq(zone->v[i].name, name))
			found[n++] = &zone->v[i];
	qsort(found, n, sizeof(*found), by_preference);
	preferences = PN_ARENA_ARRAY(arena, uint16_t, n + 1);
	for (size_t i = 0; i < n; i++) {
		preferences[i] = found[i]->preference;
		pn_strs_add(&records, pn_arena_dup(arena, found[i]->data));
	}
	out->records = records.list;
	out->preferences = type == PN_DNS_MX ? preferences : NULL;
	return n;
}

static enum pn_status
zone_query(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
    struct pn_dns_answer *out, struct pn_error *err)
{
	const struct pn_dns_zone *zone = ctx;
	struct pn_dns_answer answer = { .ttl = TTL };

	for (int i = 0; i < CNAMES_MAX; i++) {
		const struct record *r;

		if (!pn_dns_name(name, &name))
			return pn_fail(err, PN_INVALID, "no name that can be asked for");
		name = pn_arena_lower(arena, name);
		if (collect(zone, name, type, arena, &answer) > 0) {
			*out = answer;
			return PN_OK;
		}
		if ((r = find(zone, name, FAILURE, type)) != NULL
		    || (r = find(zone, name, FAILURE, ANY)) != NULL)
			return pn_fail(err, PN_TEMPFAIL, "%s", r->why);
		if ((r = find(zone, name, CNAME, ANY)) == NULL) {
			answer.nxdomain = !exists(zone, name);
			answer.alias = false;
			*out = answer;
			return pn_fail(err, PN_NOT_FOUND, answer.nxdomain ? "NXDOMAIN" : "no such record");
		}
		name = r->data;
		answer.alias = true;
	}
	return pn_fail(err, PN_TEMPFAIL, "CNAME loop");
}

struct pn_dns
pn_dns_zone_port(struct pn_dns_zone *zone)
{
	return (struct pn_dns){ .ctx = zone, .query = zone_query };
}
