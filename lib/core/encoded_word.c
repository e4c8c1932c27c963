/* Encoded words, RFC 2047 section 2, as Python's email._encoded_words takes them. */
#include "header_value_internal.h"

enum { ESCAPED = 0xdc00 };

/* The characters as the bytes they stand for.  False: there are others. */
static bool
to_bytes(struct pn_arena *arena, const uint32_t *p, size_t n, struct pn_str *out)
{
	char *bytes = pn_arena_alloc(arena, n + 1);

	for (size_t i = 0; i < n; i++) {
		if (p[i] >= 0x80 && (p[i] < ESCAPED + 0x80 || p[i] > ESCAPED + 0xff))
			return false;
		bytes[i] = (char)p[i];
	}
	*out = pn_str_n(bytes, n);
	return true;
}

static int
hex_value(char c)
{
	if (pn_is_digit(c))
		return c - '0';
	c = pn_to_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct pn_str
decode_q(struct pn_arena *arena, struct pn_str s)
{
	char *out = pn_arena_alloc(arena, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '=' && s.n - i > 2 && hex_value(s.p[i + 1]) >= 0
		    && hex_value(s.p[i + 2]) >= 0) {
			out[n++] = (char)(hex_value(s.p[i + 1]) * 16 + hex_value(s.p[i + 2]));
			i += 2;
		} else
			out[n++] = s.p[i] == '_' ? ' ' : s.p[i];
	}
	return pn_str_n(out, n);
}

static int
base64_value(char c)
{
	if (pn_is_upper(c))
		return c - 'A';
	if (pn_is_alpha(c))
		return c - 'a' + 26;
	if (pn_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Other characters are skipped.  Where the last group is one digit too short
 * there is no way to read it, and the text stays as it is. */
static struct pn_str
decode_b(struct pn_arena *arena, struct pn_str s)
{
	char *out = pn_arena_alloc(arena, s.n + 1);
	unsigned group = 0, digits = 0, pads = 0;
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		int v = base64_value(s.p[i]);

		if (s.p[i] == '=') {
			if (digits >= 2 && digits + ++pads >= 4)
				return pn_str_n(out, n);
			continue;
		}
		if (v < 0)
			continue;
		pads = 0;
		group = (group << 6 | (unsigned)v) & 0xffff;
		if (digits > 0)
			out[n++] = (char)(group >> (6 - 2 * digits));
		digits = (digits + 1) % 4;
	}
	return digits == 1 ? s : pn_str_n(out, n);
}

/* PN_NOT_FOUND: Python raises a ValueError, so this is no encoded word. */
static enum pn_status
decode_word(struct pn_arena *arena, struct pn_wide charset, bool base64, struct pn_wide data,
    struct pn_wide *out)
{
	const struct pn_charset *found = NULL;
	struct pn_str bytes, name;

	if (!to_bytes(arena, data.p, data.n, &bytes))
		return PN_NOT_FOUND;
	bytes = base64 ? decode_b(arena, bytes) : decode_q(arena, bytes);
	for (size_t i = 0; i < charset.n; i++)
		if (charset.p[i] == '*')
			charset.n = i;	/* a language, RFC 2231 section 5 */
	if (to_bytes(arena, charset.p, charset.n, &name) && pn_str_is_ascii(name)) {
		if (pn_str_find(name, '\0') != PN_STR_NONE)
			return PN_NOT_FOUND;
		found = pn_charset_find(name);
	}
	return pn_charset_decode(found, bytes, arena, out) == PN_OK ? PN_OK : PN_NOT_FOUND;
}

static bool
is_hex_digit(uint32_t c)
{
	return c < 128 && hex_value((char)c) >= 0;
}

/* Where the word that starts with "=?" at the position ends: *end is before its
 * "?=", *behind is behind it.  Only three question marks are ever looked at. */
static bool
find_end(struct pn_hv *r, size_t marks[3], size_t *end, size_t *behind)
{
	size_t from = r->pos + 2, n = 0;

	*end = pn_hv_find_close(r, from);
	if (*end == r->end)
		return false;
	*behind = *end + 2;
	for (size_t i = from; i < *end && n < 3; i++)
		if (r->text[i] == '?')
			marks[n++] = i;
	if (n < 2 && r->end - *behind > 1 && is_hex_digit(r->text[*behind])
	    && is_hex_digit(r->text[*behind + 1])) {
		/* "?q?=41": the first "?=" was a question mark and an escaped byte. */
		size_t next = pn_hv_find_close(r, *behind);

		for (size_t i = *end; i < next && n < 3; i++)
			if (r->text[i] == '?')
				marks[n++] = i;
		*end = next;
		*behind = next < r->end ? next + 2 : r->end;
	}
	if (n != 2)
		marks[0] = SIZE_MAX;
	return true;
}

enum pn_status
pn_hv_encoded_word(struct pn_hv *r, struct pn_wide *text, bool *malformed)
{
	const uint32_t *p = r->text;
	size_t marks[3], from = r->pos + 2, end, behind;
	enum pn_status st;

	*malformed = false;
	if (!find_end(r, marks, &end, &behind))
		return PN_NOT_FOUND;
	*malformed = true;
	if (marks[0] == SIZE_MAX || marks[1] != marks[0] + 2
	    || p[marks[0] + 1] >= 128 || strchr("qQbB", (int)p[marks[0] + 1]) == NULL || p[marks[0] + 1] == 0)
		return PN_NOT_FOUND;
	st = decode_word(r->scratch, (struct pn_wide){ p + from, marks[0] - from },
	    pn_to_lower((char)p[marks[0] + 1]) == 'b',
	    (struct pn_wide){ p + marks[1] + 1, end - marks[1] - 1 }, text);
	if (st == PN_OK)
		r->pos = behind;
	return st;
}
