#include "maps.h"

/* Postfix asks for whatever somebody wrote as a recipient; an address that
 * anybody knows is far below KEY_MAX. */
enum { KEY_MAX = 2048 };

/* A value of virtual_alias_maps is a list of addresses: a key that Postfix would
 * read as anything but itself is never given back. */
static bool
reads_as_itself(struct pn_str key)
{
	bool quoted = key.n > 0 && key.p[0] == '"', escaped = false;
	size_t i = quoted ? 1 : 0, ats = 0;

	for (; i < key.n && quoted; i++) {
		unsigned char c = (unsigned char)key.p[i];

		if (c < ' ' || c == 0x7f)
			return false;
		if (c == '"' && !escaped)
			quoted = false;
		escaped = c == '\\' && !escaped;
	}
	/* After a quoted string there is nothing but the domain. */
	if (quoted || (i > 1 && (i >= key.n || key.p[i] != '@')))
		return false;
	for (; i < key.n; i++) {
		unsigned char c = (unsigned char)key.p[i];

		if (c <= ' ' || c == 0x7f || memchr("\"\\,;:<>()[]", c, 11) != NULL)
			return false;
		if (c == '@')
			ats++;
	}
	return ats == 1;
}

/* So that Postfix accepts them beside the people of a mixed domain.  It also
 * asks for "local" and "@domain": a whole address is the only thing that can be
 * known. */
enum pn_status
map_recipient(const struct map_request *request, struct pn_error *err)
{
	struct pn_rcpt rcpt;
	enum pn_status st;

	if (request->key.n > KEY_MAX || !reads_as_itself(request->key))
		return PN_NOT_FOUND;
	st = service_classify(request->service, request->key, &rcpt, err);
	if (st == PN_INVALID || (st == PN_OK && rcpt.answer != PN_RCPT_OURS))
		return PN_NOT_FOUND;
	if (st == PN_OK)
		pn_buf_add(request->value, request->key);
	return st;
}

/* .own: there is one of this kind for each relay with a transport of its own. */
static const struct {
	struct pn_str name;
	bool own;
	struct map map;
} maps[] = {
	{ { "recipient", 9 }, false, { map_recipient, false } },
	{ { "sasl", 4 }, true, { map_sasl, true } },
	{ { "tls", 3 }, true, { map_tls, false } },
	{ { "wait", 4 }, true, { map_wait, false } },
	{ { "route", 5 }, false, { map_route, false } },
};

const struct map *
map_find(struct pn_str name)
{
	for (size_t i = 0; i < PN_COUNT(maps); i++) {
		struct pn_str kind = maps[i].name;

		if (pn_str_eq(name, kind))
			return &maps[i].map;
		if (maps[i].own && pn_str_starts(name, kind) && name.n > kind.n + 1 && name.p[kind.n] == '-')
			return &maps[i].map;
	}
	return NULL;
}
