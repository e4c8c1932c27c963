#include "postern/unicode.h"

#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

enum {
	CAPITAL_SIGMA = 0x3a3,
	SMALL_SIGMA = 0x3c3,
	FINAL_SIGMA = 0x3c2,
	CAPITAL_I_DOT = 0x130,
	COMBINING_DOT = 0x307,
};

size_t
pn_utf8_next(struct pn_str s, uint32_t *character)
{
	ucs4_t c;
	int n;

	if ((unsigned char)s.p[0] < 0x80) {
		*character = (unsigned char)s.p[0];
		return 1;
	}
	n = u8_mbtoucr(&c, (const uint8_t *)s.p, s.n < 4 ? s.n : 4);
	*character = n > 0 ? c : PN_NO_CHARACTER;
	return n > 0 ? (size_t)n : 1;
}

size_t
pn_utf8_put(char *p, uint32_t character)
{
	uint8_t bytes[6];
	int n = u8_uctomb(bytes, character, sizeof(bytes));

	if (n <= 0)
		return 0;
	memcpy(p, bytes, (size_t)n);
	return (size_t)n;
}

/* The character that ends at the end of s (not empty), as pn_utf8_next(). */
static size_t
utf8_last(struct pn_str s, uint32_t *character)
{
	for (size_t n = 1; n <= 4 && n <= s.n; n++)
		if (((unsigned char)s.p[s.n - n] & 0xc0) != 0x80) {
			if (pn_utf8_next(pn_str_from(s, s.n - n), character) == n)
				return n;
			break;
		}
	*character = PN_NO_CHARACTER;
	return 1;
}

/* Is the first character that is not ignored in casing a cased one? */
static bool
cased_before(struct pn_str s)
{
	uint32_t c;

	while (s.n > 0) {
		s.n -= utf8_last(s, &c);
		if (!uc_is_property_case_ignorable(c))
			return uc_is_property_cased(c);
	}
	return false;
}

static bool
cased_after(struct pn_str s)
{
	uint32_t c;

	while (s.n > 0) {
		s = pn_str_from(s, pn_utf8_next(s, &c));
		if (!uc_is_property_case_ignorable(c))
			return uc_is_property_cased(c);
	}
	return false;
}

/* Sigmas end each other's look around, so all looks together are linear. */
static uint32_t
lower_sigma(struct pn_str text, size_t at, size_t end)
{
	return cased_before(pn_str_head(text, at)) && !cased_after(pn_str_from(text, end))
	    ? FINAL_SIGMA : SMALL_SIGMA;
}

struct pn_str
pn_text_lower(struct pn_str text, struct pn_arena *arena)
{
	size_t used = 0, n;
	char *p;

	if (pn_str_is_ascii(text))
		return pn_arena_lower(arena, text);
	/* No small letter needs more than twice the bytes of its capital. */
	p = pn_arena_alloc_array(arena, text.n + 1, 2);
	for (size_t at = 0; at < text.n; at += n) {
		uint32_t c;

		n = pn_utf8_next(pn_str_from(text, at), &c);
		if (n == 1) {
			p[used++] = pn_to_lower(text.p[at]);
			continue;
		}
		if (c == CAPITAL_I_DOT) {
			p[used++] = 'i';
			c = COMBINING_DOT;
		} else if (c == CAPITAL_SIGMA)
			c = lower_sigma(text, at, at + n);
		else
			c = uc_tolower(c);
		used += pn_utf8_put(p + used, c);
	}
	return pn_str_n(p, used);
}

bool
pn_is_text_space(uint32_t c)
{
	if (c < 0x80)
		return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
	return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028
	    || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static struct pn_str
strip_left(struct pn_str text)
{
	while (text.n > 0) {
		uint32_t c;
		size_t n = pn_utf8_next(text, &c);

		if (!pn_is_text_space(c))
			break;
		text = pn_str_from(text, n);
	}
	return text;
}

struct pn_str
pn_text_strip(struct pn_str text)
{
	text = strip_left(text);
	while (text.n > 0) {
		uint32_t c;
		size_t n = utf8_last(text, &c);

		if (!pn_is_text_space(c))
			break;
		text.n -= n;
	}
	return text;
}

bool
pn_text_is_blank(struct pn_str text)
{
	return strip_left(text).n == 0;
}

bool
pn_is_word(uint32_t c)
{
	if (c < 0x80)
		return c == '_' || pn_is_alnum((char)c);
	/* Ideographs with a numeric value are letters already. */
	return uc_is_general_category_withtable(c, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_N);
}

/* The full compatibility decomposition without marks.  Returns the bytes
 * written: at most 18 characters come of one. */
static size_t
put_without_marks(char *p, uint32_t character)
{
	ucs4_t pending[2 * UC_DECOMPOSITION_MAX_LENGTH];
	size_t n = 1, used = 0;

	pending[0] = character;
	while (n > 0) {
		ucs4_t c = pending[--n], parts[UC_DECOMPOSITION_MAX_LENGTH];
		int tag, count = uc_decomposition(c, &tag, parts);

		if (count > 0 && n + (size_t)count <= PN_COUNT(pending)) {
			while (count > 0)
				pending[n++] = parts[--count];
		} else if (uc_combining_class(c) == 0)
			used += pn_utf8_put(p + used, c);
	}
	return used;
}

struct pn_str
pn_text_without_marks(struct pn_str text, struct pn_arena *arena)
{
	enum { MOST = 4 * 2 * UC_DECOMPOSITION_MAX_LENGTH };
	size_t cap = text.n + MOST, used = 0;
	char *p;

	if (pn_str_is_ascii(text))
		return text;
	p = pn_arena_alloc(arena, cap);
	while (text.n > 0) {
		uint32_t c;
		size_t n = pn_utf8_next(text, &c);

		p = pn_arena_grow(arena, p, used, &cap, used + MOST, 1);
		if (c < 0x80 || (n == 1 && c == PN_NO_CHARACTER))
			p[used++] = text.p[0];
		else
			used += put_without_marks(p + used, c);
		text = pn_str_from(text, n);
	}
	return pn_str_n(p, used);
}
