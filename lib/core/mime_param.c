/* mime_param.c - Content-Type and Content-Disposition as Python's
 * email.message takes them apart: not the grammar of RFC 2045, but splitting
 * the header's text at ";" and "=" (_splitparam, _parseparam, decode_params). */
#include "mime_private.h"
#include "postern/unicode.h"

struct pn_str
pn_mime_type(struct pn_str text, struct pn_arena *arena)
{
	struct pn_str type = pn_text_strip(pn_str_head(text, pn_str_find(text, ';')));
	size_t slash = pn_str_find(type, '/');

	if (slash == PN_STR_NONE || pn_str_find(pn_str_from(type, slash + 1), '/') != PN_STR_NONE)
		return PN_STR("text/plain");
	return pn_text_lower(type, arena);
}

struct pn_str
pn_mime_rstrip(struct pn_str s)
{
	struct pn_str stripped = pn_text_strip(s);

	/* strip() of a text that starts with a letter takes from its end only. */
	return stripped.n == 0 ? stripped : pn_str_n(s.p, (size_t)(stripped.p + stripped.n - s.p));
}

bool
pn_mime_breaks_line(struct pn_str s)
{
	while (s.n > 0) {
		uint32_t c;

		s = pn_str_from(s, pn_utf8_next(s, &c));
		if ((c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 ||
		    c == 0x2028 || c == 0x2029)
			return true;
	}
	return false;
}

/* Takes the backslash from every pair of `escaped`, a character behind one. */
static size_t
unescape(char *p, size_t n, char escaped)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\\' && i + 1 < n && p[i + 1] == escaped)
			i++;
		p[out++] = p[i];
	}
	return out;
}

struct pn_str
pn_mime_unquote(struct pn_str s, struct pn_arena *arena)
{
	char *p;
	size_t n;

	if (s.n < 2)
		return s;
	if (s.p[0] == '<' && s.p[s.n - 1] == '>')
		return pn_str_n(s.p + 1, s.n - 2);
	if (s.p[0] != '"' || s.p[s.n - 1] != '"')
		return s;
	n = s.n - 2;
	p = pn_arena_alloc(arena, n + 1);
	memcpy(p, s.p + 1, n);
	n = unescape(p, n, '\\');
	n = unescape(p, n, '"');
	return pn_str_n(p, n);
}

/* Takes the piece before the next ";" that is not within quotes off *rest.
 * A quote behind a backslash does not count, whatever is before that. */
static bool
next_piece(struct pn_str *rest, struct pn_str *piece)
{
	bool quoted = false;

	if (rest->p == NULL)
		return false;
	for (size_t i = 0; i < rest->n; i++) {
		if (rest->p[i] == '"' && !(i > 0 && rest->p[i - 1] == '\\'))
			quoted = !quoted;
		/* An empty piece ends at once. */
		if (rest->p[i] == ';' && !quoted) {
			*piece = pn_str_n(rest->p, i);
			*rest = pn_str_from(*rest, i + 1);
			return true;
		}
	}
	*piece = *rest;
	*rest = (struct pn_str){ NULL, 0 };
	return true;
}

/* name*, name*0, name*0*: a piece of a value by RFC 2231. */
static bool
is_rfc2231(struct pn_str name)
{
	size_t star = pn_str_find(name, '*');
	struct pn_str tail;

	if (star == PN_STR_NONE || star == 0)
		return false;
	for (size_t i = 0; i < star; i++)
		if (!pn_is_alnum(name.p[i]) && name.p[i] != '_')
			return false;
	tail = pn_str_from(name, star + 1);
	if (tail.n > 0 && !pn_is_digit(tail.p[0]))
		return false;
	while (tail.n > 0 && pn_is_digit(tail.p[0]))
		tail = pn_str_from(tail, 1);
	return tail.n == 0 || pn_str_eq(tail, PN_STR("*"));
}

enum pn_mime_found
pn_mime_param(struct pn_str text, struct pn_str name, struct pn_arena *arena, struct pn_str *value)
{
	struct pn_str rest = text, piece;
	enum pn_mime_found found = PN_MIME_ABSENT;

	for (bool first = true; next_piece(&rest, &piece); first = false) {
		size_t equals = pn_str_find(piece, '=');
		struct pn_str key = pn_text_strip(pn_str_head(piece, equals));

		if (!first && is_rfc2231(key))
			return PN_MIME_ODD;
		if (found == PN_MIME_FOUND || !pn_str_eq_nocase(key, name))
			continue;
		found = PN_MIME_FOUND;
		*value = equals == PN_STR_NONE ? PN_STR_EMPTY :
		    pn_mime_unquote(pn_text_strip(pn_str_from(piece, equals + 1)), arena);
	}
	return found;
}
