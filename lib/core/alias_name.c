#include "postern/alias_name.h"

#include "postern/unicode.h"

/* What a dot-atom may hold beside letters, digits and dots. */
static bool
is_atom_sign(char c)
{
	return c != '\0' && memchr("!#$%&'*+-/=?^_`{|}~", c, 19) != NULL;
}

/* One dot for each run of dots, none at the ends; p is as long as text. */
static struct pn_str
squeeze_dots(struct pn_str text, char *p)
{
	size_t used = 0;

	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '.' || (used > 0 && p[used - 1] != '.'))
			p[used++] = text.p[i];
	if (used > 0 && p[used - 1] == '.')
		used--;
	return pn_str_n(p, used);
}

/* "-" for each run of what may not be, "?" for each letter that is not ASCII. */
static struct pn_str
replace_foreign(struct pn_str text, char *p)
{
	size_t used = 0, n;
	bool bad = false;

	for (size_t at = 0; at < text.n; at += n) {
		uint32_t c;
		char put;

		n = pn_utf8_next(pn_str_from(text, at), &c);
		put = n == 1 ? text.p[at] : '?';
		if (pn_is_word(c) || (c < 0x80 && (c == '.' || is_atom_sign((char)c)))) {
			p[used++] = put;
			bad = false;
		} else if (!bad) {
			p[used++] = '-';
			bad = true;
		}
	}
	return pn_str_n(p, used);
}

enum pn_status
pn_alias_name_sanitize(struct pn_str name, bool is_email, struct pn_arena *arena, struct pn_str *out)
{
	struct pn_str text = pn_text_strip(name), right = PN_STR_EMPTY;
	char *p;

	if (is_email && pn_str_find(text, '@') != PN_STR_NONE) {
		right = pn_text_lower(text, arena);
		right = pn_str_from(right, pn_str_find(right, '@') + 1);
	}
	text = pn_text_lower(pn_text_without_marks(text, arena), arena);
	text = pn_str_head(text, pn_str_find(text, '@'));
	p = pn_arena_alloc(arena, text.n + right.n + 2);
	text = squeeze_dots(text, p);
	text = replace_foreign(text, p);
	if (text.n == 0)
		return PN_NOT_FOUND;
	if (right.n > 0) {
		p[text.n] = '@';
		memcpy(p + text.n + 1, right.p, right.n);
		text.n += 1 + right.n;
	}
	*out = text;
	return PN_OK;
}

bool
pn_is_dot_atom(struct pn_str text)
{
	bool dot = true;

	for (size_t i = 0; i < text.n; i++) {
		bool is_dot = text.p[i] == '.';

		if ((is_dot && dot) || (!is_dot && !pn_is_alnum(text.p[i]) && !is_atom_sign(text.p[i])))
			return false;
		dot = is_dot;
	}
	return !dot;
}
