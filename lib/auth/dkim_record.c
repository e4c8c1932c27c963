#include "dkim_tags.h"
#include "postern/dkim_key.h"

enum { STRING_MAX = 255 };

static enum pn_status
parse_type(const struct pn_dkim_tags *tags, struct pn_dkim_record *record, struct pn_error *err)
{
	const struct pn_str *k = pn_dkim_tag(tags, "k");

	if (k == NULL || pn_str_eq(*k, PN_STR("rsa")))
		record->type = PN_DKIM_RSA;
	else if (pn_str_eq(*k, PN_STR("ed25519")))
		record->type = PN_DKIM_ED25519;
	else
		return pn_fail(err, PN_INVALID, "key type k=" PN_STR_FMT " is not known",
		    PN_STR_ARG(pn_str_head(*k, 32)));
	return PN_OK;
}

static bool
list_allows(const struct pn_dkim_tags *tags, const char *name, struct pn_str word)
{
	const struct pn_str *list = pn_dkim_tag(tags, name);

	return list == NULL || pn_dkim_list_has(*list, word);
}

static enum pn_status
parse_key(const struct pn_dkim_tags *tags, struct pn_arena *arena, struct pn_dkim_record *record,
    struct pn_error *err)
{
	struct pn_str bytes;

	if (pn_dkim_tag(tags, "p") == NULL)
		return pn_fail(err, PN_INVALID, "key record without p=");
	record->key = pn_dkim_tag_packed(tags, "p", arena);
	if (record->key.n > 0 && pn_dkim_base64(record->key, arena, &bytes) != PN_OK)
		return pn_fail(err, PN_INVALID, "p= of the key record is not base64");
	return PN_OK;
}

enum pn_status
pn_dkim_record_parse(struct pn_str text, struct pn_arena *arena, struct pn_dkim_record *out,
    struct pn_error *err)
{
	struct pn_dkim_record record = { 0 };
	struct pn_dkim_tags tags;
	enum pn_status st = pn_dkim_tags_parse(text, &tags);
	const struct pn_str *v = pn_dkim_tag(&tags, "v"), *t;

	if (v != NULL && v == &tags.v[0].value && !pn_str_eq(*v, PN_STR("DKIM1")))
		return pn_fail(err, PN_NOT_FOUND, "a record of another kind");
	if (st != PN_OK)
		return pn_fail(err, PN_INVALID, "key record with a syntax error");
	if (v != NULL && v != &tags.v[0].value)
		return pn_fail(err, PN_INVALID, "key record whose v= is not its first tag");
	if (!list_allows(&tags, "h", PN_STR("sha256")))
		return pn_fail(err, PN_INVALID, "key record whose h= does not allow sha256");
	if (!list_allows(&tags, "s", PN_STR("*")) && !list_allows(&tags, "s", PN_STR("email")))
		return pn_fail(err, PN_INVALID, "key record whose s= does not allow mail");
	st = parse_type(&tags, &record, err);
	if (st == PN_OK)
		st = parse_key(&tags, arena, &record, err);
	if (st != PN_OK)
		return st;
	t = pn_dkim_tag(&tags, "t");
	record.testing = t != NULL && pn_dkim_list_has(*t, PN_STR("y"));
	record.strict_identity = t != NULL && pn_dkim_list_has(*t, PN_STR("s"));
	*out = record;
	return PN_OK;
}

/* The only one of them that is a key record at all. */
static enum pn_status
parse_answer(struct pn_strs texts, struct pn_arena *arena, struct pn_dkim_record *out, struct pn_error *err)
{
	enum pn_status found = PN_NOT_FOUND, st;

	for (size_t i = 0; i < texts.n; i++) {
		st = pn_dkim_record_parse(texts.v[i], arena, out, err);
		if (st == PN_NOT_FOUND)
			continue;
		if (found != PN_NOT_FOUND)
			return pn_fail(err, PN_INVALID, "several key records");
		found = st;
	}
	return found;
}

enum pn_status
pn_dkim_record_find(const struct pn_dns *dns, struct pn_str domain, struct pn_str selector,
    struct pn_arena *arena, struct pn_dkim_record *out, struct pn_error *err)
{
	struct pn_str name = pn_arena_printf(arena, PN_STR_FMT "._domainkey." PN_STR_FMT,
	    PN_STR_ARG(selector), PN_STR_ARG(domain));
	struct pn_dkim_record record;
	struct pn_dns_answer answer;
	enum pn_status st;

	if (!pn_dkim_is_name(name) || !pn_dkim_is_name(selector) || !pn_dkim_is_name(domain))
		return pn_fail(err, PN_INVALID, "no such name can be asked for");
	st = dns->query(dns->ctx, name, PN_DNS_TXT, arena, &answer, err);
	if (st == PN_LIMIT)
		st = PN_TEMPFAIL;
	if (st == PN_OK)
		st = parse_answer(answer.records, arena, &record, err);
	if (st == PN_OK)
		*out = record;
	if (st == PN_NOT_FOUND)
		(void)pn_fail(err, st, "no key at " PN_STR_FMT, PN_STR_ARG(name));
	return st;
}

struct pn_str
pn_dkim_zone_line(struct pn_str domain, struct pn_str selector, struct pn_str record, struct pn_arena *arena)
{
	struct pn_strs_builder lines = { .arena = arena };

	do {
		struct pn_str piece = pn_str_head(record, STRING_MAX);

		pn_strs_add(&lines, pn_arena_printf(arena, "\"" PN_STR_FMT "\"", PN_STR_ARG(piece)));
		record = pn_str_from(record, piece.n);
	} while (record.n > 0);
	return pn_arena_printf(arena, PN_STR_FMT "._domainkey." PN_STR_FMT ". IN TXT ( " PN_STR_FMT " )",
	    PN_STR_ARG(selector), PN_STR_ARG(domain),
	    PN_STR_ARG(pn_strs_join(lines.list, PN_STR("\n\t"), arena)));
}
