#include "postern/key_table.h"

#include <stdlib.h>

#include "dkim_signature.h"
#include "dkim_tags.h"
#include "postern/buf.h"

enum { ADDRESS_SIZE = 320, PATH_SIZE = 4096 };

bool
pn_key_is_path(struct pn_str key)
{
	return pn_str_starts(key, PN_STR("/")) || pn_str_starts(key, PN_STR("./"))
	    || pn_str_starts(key, PN_STR("../"));
}

/* -- lines -- */

struct reader {
	struct pn_str rest;
	size_t line;
};

/* The next line that has something, as its first word and the rest. */
static bool
next_pair(struct reader *reader, struct pn_str *first, struct pn_str *value)
{
	struct pn_str line;
	size_t n;

	while (pn_str_split(&reader->rest, '\n', &line)) {
		reader->line++;
		line = pn_str_trim(pn_str_head(line, pn_str_find(line, '#')));
		for (n = 0; n < line.n && !pn_is_space(line.p[n]); n++)
			continue;
		*first = pn_str_head(line, n);
		*value = pn_str_trim(pn_str_from(line, n));
		if (n > 0)
			return true;
	}
	return false;
}

static int
by_name(const void *a, const void *b)
{
	const struct pn_key_entry *x = a, *y = b;
	int order = pn_str_cmp(x->name, y->name);

	return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static int
by_author(const void *a, const void *b)
{
	const struct pn_signing_entry *x = a, *y = b;
	int order = pn_str_cmp(x->author, y->author);

	return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

enum pn_status
pn_key_table_parse(struct pn_str text, struct pn_arena *arena, struct pn_key_table *out, struct pn_error *err)
{
	struct reader reader = { .rest = text };
	struct pn_key_table table = { 0 };
	struct pn_key_entry entry;
	struct pn_str value;
	size_t cap = 0;

	while (next_pair(&reader, &entry.name, &value)) {
		entry.line = reader.line;
		if (!pn_str_split(&value, ':', &entry.domain) || !pn_str_split(&value, ':', &entry.selector)
		    || value.n == 0 || value.p == NULL)
			return pn_fail(err, PN_INVALID, "line %zu: write name domain:selector:key",
			    reader.line);
		entry.key = value;
		if (!pn_str_eq(entry.domain, PN_STR("%")) && !pn_dkim_is_name(entry.domain))
			return pn_fail(err, PN_INVALID, "line %zu: the domain is no host name", reader.line);
		if (!pn_dkim_is_name(entry.selector))
			return pn_fail(err, PN_INVALID, "line %zu: the selector is no host name",
			    reader.line);
		table.v = pn_arena_grow(arena, table.v, table.n, &cap, table.n + 1, sizeof(*table.v));
		table.v[table.n++] = entry;
		if (pn_arena_exhausted(arena))
			return pn_fail(err, PN_LIMIT, "line %zu: the table is too large", reader.line);
	}
	if (table.n > 0)
		qsort(table.v, table.n, sizeof(*table.v), by_name);
	*out = table;
	return PN_OK;
}

enum pn_status
pn_signing_table_parse(struct pn_str text, bool patterns, struct pn_arena *arena,
    struct pn_signing_table *out, struct pn_error *err)
{
	struct pn_signing_table table = { .patterns = patterns };
	struct reader reader = { .rest = text };
	struct pn_signing_entry entry;
	struct pn_str author, value;
	size_t cap = 0;

	while (next_pair(&reader, &author, &value)) {
		entry.line = reader.line;
		entry.author = pn_arena_lower(arena, author);
		if (!pn_str_split(&value, ':', &entry.key_name) || entry.key_name.n == 0)
			return pn_fail(err, PN_INVALID, "line %zu: write author name-of-key", reader.line);
		entry.identity = value.p == NULL ? PN_STR_EMPTY : value;
		table.v = pn_arena_grow(arena, table.v, table.n, &cap, table.n + 1, sizeof(*table.v));
		table.v[table.n++] = entry;
		if (pn_arena_exhausted(arena))
			return pn_fail(err, PN_LIMIT, "line %zu: the table is too large", reader.line);
	}
	if (!patterns && table.n > 0)
		qsort(table.v, table.n, sizeof(*table.v), by_author);
	*out = table;
	return PN_OK;
}

/* -- who signs -- */

struct search {
	const struct pn_signing_table *signing;
	const struct pn_key_table *keys;
	struct pn_str user, domain;	/* lower case */
	bool all;
	struct pn_arena *arena;
	struct pn_signing_key *out;
	size_t n;
	struct pn_error *err;
};

static bool
is_done(const struct search *s)
{
	return s->n >= (s->all ? (size_t)PN_SIGNING_KEYS : 1);
}

static struct pn_str
fill_in(struct pn_str text, struct pn_str domain, struct pn_arena *arena)
{
	struct pn_str result;
	struct pn_buf buf;

	pn_buf_init(&buf, PATH_SIZE);
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '%')
			pn_buf_add(&buf, domain);
		else
			pn_buf_add_char(&buf, text.p[i]);
	result = pn_arena_dup(arena, pn_buf_failed(&buf) ? PN_STR_EMPTY : pn_buf_str(&buf));
	pn_buf_done(&buf);
	return result;
}

static const struct pn_key_entry *
find_key(const struct pn_key_table *keys, struct pn_str name)
{
	size_t low = 0, high = keys->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (pn_str_cmp(keys->v[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < keys->n && pn_str_eq(keys->v[low].name, name) ? &keys->v[low] : NULL;
}

/* What the line gives for an author's domain, or for its own. */
static enum pn_status
key_for(const struct pn_key_entry *entry, struct pn_str domain, struct pn_arena *arena, struct pn_signing_key *out,
    struct pn_error *err)
{
	*out = (struct pn_signing_key){ .name = entry->name, .selector = entry->selector };
	out->domain = pn_str_eq(entry->domain, PN_STR("%")) ? domain : entry->domain;
	if (!pn_dkim_is_name(out->domain))
		return pn_fail(err, PN_INVALID, "KeyTable, line %zu: the author's domain is no host name",
		    entry->line);
	out->key = pn_key_is_path(entry->key) ? fill_in(entry->key, out->domain, arena) : entry->key;
	if (out->key.n == 0)
		return pn_fail(err, PN_INVALID, "KeyTable, line %zu: the path is too long", entry->line);
	return PN_OK;
}

enum pn_status
pn_key_table_find(const struct pn_key_table *keys, struct pn_str name, struct pn_str domain, struct pn_arena *arena,
    struct pn_signing_key *out, struct pn_error *err)
{
	const struct pn_key_entry *entry = find_key(keys, name);
	struct pn_signing_key found;
	enum pn_status st = PN_NOT_FOUND;

	if (entry != NULL)
		st = key_for(entry, domain, arena, &found, err);
	if (st == PN_NOT_FOUND || (st == PN_OK && !pn_str_eq(found.domain, domain)))
		return pn_fail(err, PN_NOT_FOUND, "there is no key of that name and domain");
	if (st == PN_OK)
		*out = found;
	return st;
}

static enum pn_status
take(struct search *s, const struct pn_signing_entry *entry)
{
	bool own = pn_str_eq(entry->key_name, PN_STR("%"));
	const struct pn_key_entry *key = find_key(s->keys, own ? s->domain : entry->key_name);
	struct pn_signing_key *out = &s->out[s->n];
	struct pn_str identity = fill_in(entry->identity, s->domain, s->arena);
	size_t at = pn_str_find_last(identity, '@');
	enum pn_status st;

	if (key == NULL)
		return pn_fail(s->err, PN_INVALID, "SigningTable, line %zu: there is no key of that name",
		    entry->line);
	st = key_for(key, s->domain, s->arena, out, s->err);
	if (st != PN_OK)
		return st;
	if (at != PN_STR_NONE && pn_dkim_is_below(pn_str_from(identity, at + 1), out->domain))
		out->identity = identity;
	s->n++;
	return PN_OK;
}

/* * stands for any text; each star is tried again from the last one only. */
static bool
matches(struct pn_str pattern, struct pn_str text)
{
	size_t p = 0, t = 0, star = PN_STR_NONE, from = 0;

	while (t < text.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			from = t;
		} else if (p < pattern.n && pattern.p[p] == text.p[t]) {
			p++;
			t++;
		} else if (star != PN_STR_NONE) {
			p = star + 1;
			t = ++from;
		} else
			return false;
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

static enum pn_status
find_patterns(struct search *s, struct pn_str address)
{
	enum pn_status st = PN_OK;

	for (size_t i = 0; st == PN_OK && i < s->signing->n && !is_done(s); i++)
		if (matches(s->signing->v[i].author, address))
			st = take(s, &s->signing->v[i]);
	return st;
}

static enum pn_status
find_author(struct search *s, struct pn_str author)
{
	const struct pn_signing_table *table = s->signing;
	size_t low = 0, high = table->n;
	enum pn_status st = PN_OK;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (pn_str_cmp(table->v[middle].author, author) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; st == PN_OK && low < table->n && pn_str_eq(table->v[low].author, author) && !is_done(s); low++)
		st = take(s, &table->v[low]);
	return st;
}

/* In the order of opendkim(8), which is not quite that of its manual. */
static enum pn_status
find_names(struct search *s, struct pn_str address)
{
	struct pn_str user_at = pn_str_head(address, s->user.n + 1), above = s->domain;
	enum pn_status st = find_author(s, address);
	size_t dot;

	if (st == PN_OK)
		st = find_author(s, s->domain);
	while (st == PN_OK && (dot = pn_str_find(above, '.')) != PN_STR_NONE) {
		above = pn_str_from(above, dot);
		st = find_author(s, pn_arena_printf(s->arena, PN_STR_FMT PN_STR_FMT, PN_STR_ARG(user_at),
		    PN_STR_ARG(above)));
		if (st == PN_OK)
			st = find_author(s, above);
		above = pn_str_from(above, 1);
	}
	if (st == PN_OK)
		st = find_author(s, pn_arena_printf(s->arena, PN_STR_FMT "*", PN_STR_ARG(user_at)));
	return st == PN_OK ? find_author(s, PN_STR("*")) : st;
}

enum pn_status
pn_signing_find(const struct pn_signing_table *signing, const struct pn_key_table *keys,
    struct pn_str address,
    bool all, struct pn_arena *arena, struct pn_signing_key out[PN_SIGNING_KEYS], size_t *n,
    struct pn_error *err)
{
	size_t at = pn_str_find_last(address, '@');
	struct search s = { .signing = signing, .keys = keys, .all = all, .arena = arena, .out = out,
		.err = err };
	enum pn_status st;

	if (at == PN_STR_NONE || address.n > ADDRESS_SIZE || !pn_dkim_is_name(pn_str_from(address, at + 1)))
		return pn_fail(err, PN_INVALID, "no address whose domain is a host name");
	address = pn_arena_lower(arena, address);
	s.user = pn_str_head(address, at);
	s.domain = pn_str_from(address, at + 1);
	st = signing->patterns ? find_patterns(&s, address) : find_names(&s, address);
	if (st == PN_OK && s.n == 0)
		st = pn_fail(err, PN_NOT_FOUND, "nobody signs for this author");
	if (st == PN_OK)
		*n = s.n;
	return st;
}
