#include "header_value_internal.h"

#define B (PN_HV_BLANK | PN_HV_COMMENT | PN_HV_ENDS_ATOM | PN_HV_ENDS_TOKEN | A)
#define S (PN_HV_SPECIAL | PN_HV_ENDS_ATOM)
#define P PN_HV_ENDS_PHRASE
#define A (PN_HV_ENDS_ATTRIBUTE | PN_HV_ENDS_EXTENDED)
#define T (PN_HV_ENDS_TOKEN | A)

const unsigned char pn_hv_classes[128] = {
	[' '] = B, ['\t'] = B,
	['('] = S | T | PN_HV_COMMENT, ['"'] = S | T, ['.'] = S,
	[')'] = S | P | T, ['<'] = S | P | T, ['>'] = S | P | T, ['@'] = S | P | T,
	[','] = S | P | T, [':'] = S | P | T, [';'] = S | P | T, ['\\'] = S | P | T,
	['['] = S | P | T, [']'] = S | P | T,
	['/'] = T, ['?'] = T, ['='] = T,
	['*'] = A, ['\''] = A, ['%'] = PN_HV_ENDS_ATTRIBUTE,
};

struct pn_hv_undo {
	size_t at;
	struct pn_wide text;
};

void
pn_wide_add(struct pn_wide_buf *buf, uint32_t c)
{
	if (buf->n == buf->cap)
		buf->p = pn_arena_grow(buf->arena, buf->p, buf->n, &buf->cap, buf->n + 1, sizeof(c));
	buf->p[buf->n++] = c;
}

void
pn_wide_add_text(struct pn_wide_buf *buf, struct pn_wide text)
{
	if (text.n == 0)
		return;
	buf->p = pn_arena_grow(buf->arena, buf->p, buf->n, &buf->cap, buf->n + text.n, sizeof(*buf->p));
	memcpy(buf->p + buf->n, text.p, text.n * sizeof(*text.p));
	buf->n += text.n;
}

void
pn_wide_add_c(struct pn_wide_buf *buf, const char *text)
{
	while (*text != '\0')
		pn_wide_add(buf, (unsigned char)*text++);
}

void
pn_wide_add_quoted(struct pn_wide_buf *buf, struct pn_wide text)
{
	pn_wide_add(buf, '"');
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '"' || text.p[i] == '\\')
			pn_wide_add(buf, '\\');
		pn_wide_add(buf, text.p[i]);
	}
	pn_wide_add(buf, '"');
}

bool
pn_wide_has(struct pn_wide text, unsigned classes)
{
	for (size_t i = 0; i < text.n; i++)
		if (pn_hv_is(text.p[i], classes))
			return true;
	return false;
}

bool
pn_wide_has_char(struct pn_wide text, uint32_t c)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == c)
			return true;
	return false;
}

struct pn_wide
pn_wide_copy(struct pn_arena *arena, const uint32_t *p, size_t n)
{
	uint32_t *copy;

	if (n == 0)
		return (struct pn_wide){ NULL, 0 };
	copy = PN_ARENA_ARRAY(arena, uint32_t, n);
	memcpy(copy, p, n * sizeof(*p));
	return (struct pn_wide){ copy, n };
}

static bool
is_escaped_byte(uint32_t c)
{
	return c >= 0xdc80 && c <= 0xdcff;
}

/* How many bytes at p (n > 0, p[0] >= 0x80) are the start of a character that
 * goes wrong behind them: they become one U+FFFD together (Unicode 3.9, U+FFFD
 * substitution of maximal subparts).  *whole: they are a character. */
static size_t
utf8_subpart(const unsigned char *p, size_t n, bool *whole)
{
	size_t need = p[0] < 0xc2 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 1;
	size_t got = 1;
	unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
	unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;

	while (got < need && got < n && p[got] >= low && p[got] <= high) {
		got++;
		low = 0x80;
		high = 0xbf;
	}
	*whole = need > 1 && got == need;
	return got;
}

/* The length; out may be NULL. */
static size_t
replace(struct pn_str s, char *out)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t used = 0, n;

	for (size_t at = 0; at < s.n; at += n) {
		bool whole = true;

		n = p[at] < 0x80 ? 1 : utf8_subpart(p + at, s.n - at, &whole);
		if (out != NULL)
			memcpy(out + used, whole ? s.p + at : "\xef\xbf\xbd", whole ? n : 3);
		used += whole ? n : 3;
	}
	return used;
}

struct pn_str
pn_hv_replace_broken_utf8(struct pn_str s, struct pn_arena *arena)
{
	char *p;

	if (pn_str_is_ascii(s))
		return s;
	p = pn_arena_alloc(arena, replace(s, NULL));
	return pn_str_n(p, replace(s, p));
}

static size_t
utf8_length(uint32_t c)
{
	return c < 0x80 || is_escaped_byte(c) ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

enum pn_status
pn_wide_to_utf8(struct pn_wide text, struct pn_arena *arena, struct pn_str *out)
{
	bool escaped = false;
	size_t used = 0, size = 0;
	char *p;

	for (size_t i = 0; i < text.n; i++)
		size += utf8_length(text.p[i]);
	p = pn_arena_alloc(arena, size + 1);

	for (size_t i = 0; i < text.n; i++) {
		uint32_t c = text.p[i];

		if (c < 0x80) {
			p[used++] = (char)c;
		} else if (is_escaped_byte(c)) {
			p[used++] = (char)(c - 0xdc00);
			escaped = true;
		} else if (c >= 0xd800 && c < 0xe000) {
			return PN_INVALID;
		} else
			used += pn_utf8_put(p + used, c);
	}
	*out = pn_str_n(p, used);
	if (escaped)
		*out = pn_hv_replace_broken_utf8(*out, arena);
	return PN_OK;
}

struct pn_hv
pn_hv_inner(const struct pn_hv *r, struct pn_wide text)
{
	struct pn_hv inner = { .keep = r->keep, .scratch = r->scratch, .end = text.n, .close_from = SIZE_MAX };

	inner.text = PN_ARENA_ARRAY(r->scratch, uint32_t, text.n + 1);
	if (text.n > 0)
		memcpy(inner.text, text.p, text.n * sizeof(*text.p));
	return inner;
}

struct pn_hv_mark
pn_hv_mark(const struct pn_hv *r)
{
	return (struct pn_hv_mark){ r->pos, r->undo_n };
}

/* The text before `end` has changed: what is known about "?=" holds behind it only. */
static void
forget_close(struct pn_hv *r, size_t end)
{
	if (r->close_from < end)
		r->close_from = r->close_at >= end ? end : SIZE_MAX;
}

void
pn_hv_rewind(struct pn_hv *r, struct pn_hv_mark mark)
{
	while (r->undo_n > mark.undo_n) {
		const struct pn_hv_undo *undo = &r->undo[--r->undo_n];

		memcpy(r->text + undo->at, undo->text.p, undo->text.n * sizeof(*r->text));
		forget_close(r, undo->at + undo->text.n);
	}
	r->pos = mark.pos;
}

enum pn_status
pn_hv_push_back(struct pn_hv *r, struct pn_wide text)
{
	struct pn_hv_undo *undo;

	if (text.n > r->pos)
		return PN_LIMIT;
	if (text.n == 0)
		return PN_OK;
	forget_close(r, r->pos);
	r->pos -= text.n;
	r->undo = pn_arena_grow(r->scratch, r->undo, r->undo_n, &r->undo_cap, r->undo_n + 1,
	    sizeof(*r->undo));
	undo = &r->undo[r->undo_n++];
	undo->at = r->pos;
	undo->text = pn_wide_copy(r->scratch, r->text + r->pos, text.n);
	memcpy(r->text + r->pos, text.p, text.n * sizeof(*r->text));
	return PN_OK;
}

void
pn_hv_forget(struct pn_hv *r)
{
	pn_arena_reset(r->scratch);
	r->undo = NULL;
	r->undo_n = r->undo_cap = 0;
}

struct pn_wide
pn_hv_since(const struct pn_hv *r, size_t from)
{
	return pn_wide_copy(r->scratch, r->text + from, r->pos - from);
}

size_t
pn_hv_find_close(struct pn_hv *r, size_t from)
{
	bool known = from <= r->close_at && r->close_from != SIZE_MAX;
	size_t stop = known ? (r->close_from > from ? r->close_from : from) : r->end, at;

	for (at = from; at < stop; at++)
		if (r->text[at] == '?' && at + 1 < r->end && r->text[at + 1] == '=')
			break;
	if (at == stop)
		at = known ? r->close_at : r->end;
	r->close_from = from;
	r->close_at = at;
	return at;
}

void
pn_hv_skip_space(struct pn_hv *r)
{
	while (r->pos < r->end && pn_is_text_space(r->text[r->pos]))
		r->pos++;
}
