#include "tools.h"

#include "postern/address.h"
#include "postern/address_list.h"
#include "postern/alias_name.h"
#include "postern/references.h"

/* What an answer may be made of. */
enum { ARENA_LIMIT = 256 * 1024 * 1024 };

/* A JSON string as it is; anything else (null, false) counts as no text. */
static struct pn_str
text_of(json_t *json)
{
	if (!json_is_string(json))
		return PN_STR_EMPTY;
	return pn_str_n(json_string_value(json), json_string_length(json));
}

static json_t *
string_of(struct pn_str s)
{
	return json_stringn_nocheck(s.p, s.n);
}

static json_t *
value(json_t *json)
{
	return json_pack("{s:o}", "value", json);
}

static json_t *
failure(enum pn_status status)
{
	return json_pack("{s:s}", "error", pn_status_name(status));
}

/* Odoo's False, shown as null, for what is not found. */
static json_t *
answer(enum pn_status status, struct pn_str s)
{
	if (status == PN_OK)
		return value(string_of(s));
	return status == PN_NOT_FOUND ? value(json_null()) : failure(status);
}

static json_t *
answer_list(enum pn_status status, struct pn_strs list)
{
	json_t *array;

	if (status != PN_OK)
		return failure(status);
	array = json_array();
	for (size_t i = 0; i < list.n; i++)
		json_array_append_new(array, string_of(list.v[i]));
	return value(array);
}

static json_t *
pair_of(struct pn_str name, struct pn_str addr)
{
	json_t *pair = json_array();

	json_array_append_new(pair, string_of(name));
	json_array_append_new(pair, string_of(addr));
	return pair;
}

static json_t *
call_normalize(json_t *arg, struct pn_arena *arena)
{
	struct pn_str out = PN_STR_EMPTY;
	enum pn_status status = pn_address_normalize(text_of(arg), true, arena, &out);

	return answer(status, out);
}

static json_t *
call_normalize_loose(json_t *arg, struct pn_arena *arena)
{
	struct pn_str out = PN_STR_EMPTY;
	enum pn_status status = pn_address_normalize(text_of(arg), false, arena, &out);

	return answer(status, out);
}

static json_t *
call_split(json_t *arg, struct pn_arena *arena)
{
	struct pn_mailboxes found;
	enum pn_status status = pn_address_split(text_of(arg), arena, &found);
	json_t *array;

	if (status != PN_OK)
		return failure(status);
	array = json_array();
	for (size_t i = 0; i < found.n; i++)
		json_array_append_new(array, pair_of(found.v[i].name, found.v[i].addr));
	return value(array);
}

static bool
add_pair(void *ctx, struct pn_str name, struct pn_str addr)
{
	json_array_append_new(ctx, pair_of(name, addr));
	return true;
}

static json_t *
call_pairs(json_t *arg, struct pn_arena *arena)
{
	json_t *array = json_array();

	(void)arena;
	pn_address_list_each(text_of(arg), add_pair, array);
	return value(array);
}

static json_t *
call_split_and_format(json_t *arg, struct pn_arena *arena)
{
	struct pn_strs list = { NULL, 0 };
	enum pn_status status = pn_address_split_and_format(text_of(arg), arena, &list);

	return answer_list(status, list);
}

static json_t *
call_domain(json_t *arg, struct pn_arena *arena)
{
	struct pn_str out = PN_STR_EMPTY;
	enum pn_status status = pn_address_domain(text_of(arg), arena, &out);

	return answer(status, out);
}

static json_t *
format(json_t *arg, bool ascii, struct pn_arena *arena)
{
	struct pn_mailbox box = { text_of(json_array_get(arg, 0)), text_of(json_array_get(arg, 1)) };
	struct pn_str out = PN_STR_EMPTY;
	enum pn_status status = pn_address_format(box, ascii, arena, &out);

	return answer(status, out);
}

static json_t *
call_format(json_t *arg, struct pn_arena *arena)
{
	return format(arg, false, arena);
}

static json_t *
call_format_ascii(json_t *arg, struct pn_arena *arena)
{
	return format(arg, true, arena);
}

static json_t *
call_encapsulate(json_t *arg, struct pn_arena *arena)
{
	struct pn_str out = PN_STR_EMPTY;
	enum pn_status status = pn_address_encapsulate(text_of(json_array_get(arg, 0)),
	    text_of(json_array_get(arg, 1)), arena, &out);

	return answer(status, out);
}

static json_t *
call_references(json_t *arg, struct pn_arena *arena)
{
	struct pn_strs list = { NULL, 0 };
	enum pn_status status = pn_references_ids(text_of(arg), arena, &list);

	return answer_list(status, list);
}

static json_t *
call_extract_smtp(json_t *arg, struct pn_arena *arena)
{
	struct pn_strs list = { NULL, 0 };
	enum pn_status status = pn_address_extract_smtp(text_of(arg), arena, &list);

	return answer_list(status, list);
}

static json_t *
call_from_filter(json_t *arg, struct pn_arena *arena)
{
	bool match = false;
	enum pn_status status = pn_from_filter_match(text_of(json_array_get(arg, 0)),
	    text_of(json_array_get(arg, 1)), arena, &match);

	return status == PN_OK ? value(json_boolean(match)) : failure(status);
}

static json_t *
call_allowed_domains(json_t *arg, struct pn_arena *arena)
{
	struct pn_str out = PN_STR_EMPTY;
	enum pn_status status = pn_allowed_domains_sanitize(text_of(arg), arena, &out);

	return answer(status, out);
}

static json_t *
call_lower(json_t *arg, struct pn_arena *arena)
{
	return value(string_of(pn_text_lower(text_of(arg), arena)));
}

static const struct {
	const char *fn;
	json_t *(*call)(json_t *arg, struct pn_arena *arena);
} tools[] = {
	{ "email_normalize", call_normalize },
	{ "email_normalize_loose", call_normalize_loose },
	{ "email_split", call_split },
	{ "email_split_and_format_normalize", call_split_and_format },
	{ "email_domain_extract", call_domain },
	{ "formataddr", call_format },
	{ "formataddr_ascii", call_format_ascii },
	{ "encapsulate_email", call_encapsulate },
	{ "unfold_references", call_references },
	{ "extract_rfc2822_addresses", call_extract_smtp },
	{ "match_from_filter", call_from_filter },
	{ "sanitize_allowed_domains", call_allowed_domains },
	/* Python's own, for the differential test */
	{ "getaddresses", call_pairs },
	{ "lower", call_lower },
};

json_t *
pn_tools_call(const char *fn, json_t *arg)
{
	struct pn_arena *arena;
	json_t *result;

	for (size_t i = 0; i < PN_COUNT(tools); i++) {
		if (strcmp(tools[i].fn, fn) != 0)
			continue;
		arena = pn_arena_new(ARENA_LIMIT);
		result = tools[i].call(arg, arena);
		pn_arena_free(arena);
		return result;
	}
	return NULL;
}

json_t *
pn_sanitize_call(json_t *sanitize_case)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_str out = PN_STR_EMPTY;
	enum pn_status status = pn_alias_name_sanitize(text_of(json_object_get(sanitize_case, "name")),
	    json_is_true(json_object_get(sanitize_case, "is_email")), arena, &out);
	json_t *result = json_pack("{s:o}", "name", status == PN_OK ? string_of(out) : json_null());

	pn_arena_free(arena);
	return result;
}
