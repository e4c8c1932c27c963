#include "dkim_tags.h"

#include <openssl/evp.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* No tag that is defined has capitals.  libopendkim takes "L=" for "l=": better nobody sees it. */
static bool
is_tag_name(struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (pn_is_upper(name.p[i]) || (!pn_is_alpha(name.p[i])
		    && (i == 0 || (!pn_is_digit(name.p[i]) && name.p[i] != '_'))))
			return false;
	return name.n > 0;
}

static bool
is_tag_value(struct pn_str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (!is_blank(value.p[i]) && (value.p[i] <= ' ' || value.p[i] > '~'))
			return false;
	return true;
}

enum pn_status
pn_dkim_tags_parse(struct pn_str text, struct pn_dkim_tags *out)
{
	struct pn_str rest = text, piece;

	out->n = 0;
	while (pn_str_split(&rest, ';', &piece)) {
		size_t equals = pn_str_find(piece, '=');
		struct pn_str name = pn_str_trim(pn_str_head(piece, equals));
		struct pn_str value = PN_STR_EMPTY;

		/* a semicolon may end the list */
		if (rest.p == NULL && name.n == 0 && equals == PN_STR_NONE)
			break;
		if (equals != PN_STR_NONE)
			value = pn_str_trim(pn_str_from(piece, equals + 1));
		if (equals == PN_STR_NONE || !is_tag_name(name) || !is_tag_value(value)
		    || out->n == PN_DKIM_TAGS_MAX)
			return PN_INVALID;
		for (size_t i = 0; i < out->n; i++)
			if (pn_str_eq(out->v[i].name, name))
				return PN_INVALID;
		out->v[out->n].name = name;
		out->v[out->n++].value = value;
	}
	return out->n > 0 ? PN_OK : PN_INVALID;
}

const struct pn_str *
pn_dkim_tag(const struct pn_dkim_tags *tags, const char *name)
{
	for (size_t i = 0; i < tags->n; i++)
		if (pn_str_eq(tags->v[i].name, pn_str_c(name)))
			return &tags->v[i].value;
	return NULL;
}

struct pn_str
pn_dkim_tag_packed(const struct pn_dkim_tags *tags, const char *name, struct pn_arena *arena)
{
	const struct pn_str *value = pn_dkim_tag(tags, name);
	char *p;
	size_t n = 0;

	if (value == NULL)
		return PN_STR_EMPTY;
	p = pn_arena_alloc(arena, value->n + 1);
	for (size_t i = 0; i < value->n; i++)
		if (!is_blank(value->p[i]))
			p[n++] = value->p[i];
	return pn_str_n(p, n);
}

bool
pn_dkim_list_has(struct pn_str list, struct pn_str word)
{
	struct pn_str item;

	while (pn_str_split(&list, ':', &item))
		if (pn_str_eq_nocase(pn_str_trim(item), word))
			return true;
	return false;
}

bool
pn_dkim_is_name(struct pn_str name)
{
	struct pn_str rest = name, label;

	if (name.n == 0 || name.n > 253)
		return false;
	while (pn_str_split(&rest, '.', &label)) {
		if (label.n == 0 || label.n > 63)
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!pn_is_alnum(label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
				return false;
	}
	return true;
}

enum pn_status
pn_dkim_base64(struct pn_str text, struct pn_arena *arena, struct pn_str *out)
{
	size_t n = text.n, padding;
	char *padded;
	unsigned char *bytes;

	while (n > 0 && text.n - n < 2 && text.p[n - 1] == '=')
		n--;
	padding = (4 - n % 4) % 4;
	if (n == 0 || n > INT32_MAX || padding == 3 || (n < text.n && text.n % 4 != 0))
		return PN_INVALID;
	for (size_t i = 0; i < n; i++)
		if (!pn_is_alnum(text.p[i]) && text.p[i] != '+' && text.p[i] != '/')
			return PN_INVALID;
	padded = pn_arena_alloc(arena, n + padding);
	memcpy(padded, text.p, n);
	memset(padded + n, '=', padding);
	bytes = pn_arena_alloc(arena, (n + padding) / 4 * 3);
	if (EVP_DecodeBlock(bytes, (const unsigned char *)padded, (int)(n + padding)) < 0)
		return PN_INVALID;
	*out = pn_str_n((const char *)bytes, (n + padding) / 4 * 3 - padding);
	return PN_OK;
}
