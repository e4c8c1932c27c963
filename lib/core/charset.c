#include "charset_internal.h"

enum {
	UNREADABLE = 0xfffd,	/* stands for a character we have no table for */
	ESCAPED = 0xdc00,	/* plus the byte that could not be decoded */
	SURROGATES = 0xd800,
	LOW_SURROGATES = 0xdc00,
	SURROGATES_END = 0xe000,
	LAST_CHARACTER = 0x10ffff,
	ESC = 0x1b,
};

struct decoder {
	const unsigned char *in;
	size_t at;
	size_t n;
	uint32_t *out;
	size_t used;
};

static void
put(struct decoder *d, uint32_t c, size_t bytes)
{
	d->out[d->used++] = c;
	d->at += bytes;
}

/* What the error handler does with up to n bytes it is shown: those from 0x80
 * on are escaped until one is not; it gives up when the first is not. */
static bool
escape(struct decoder *d, size_t n)
{
	size_t done = 0;

	while (done < n && done < 4 && d->in[d->at] >= 0x80) {
		put(d, ESCAPED + d->in[d->at], 1);
		done++;
	}
	return done > 0;
}

/* How many bytes the well-formed UTF-8 character at the front has; 0 for none. */
static size_t
utf8_length(const unsigned char *p, size_t n, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t need = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (need == 0 || need > n)
		return 0;
	*c = p[0] & (0xffu >> (need + 1));
	for (size_t i = 1; i < need; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (p[i] & 0x3fu);
	}
	return *c < least[need] || *c > LAST_CHARACTER || (*c >= SURROGATES && *c < SURROGATES_END)
	    ? 0 : need;
}

static bool
decode_utf8(struct decoder *d)
{
	while (d->at < d->n) {
		uint32_t c = d->in[d->at];
		size_t n = c < 0x80 ? 1 : utf8_length(d->in + d->at, d->n - d->at, &c);

		if (n > 0)
			put(d, c, n);
		else
			put(d, ESCAPED + d->in[d->at], 1);
	}
	return true;
}

static bool
decode_table(struct decoder *d, const uint16_t table[256])
{
	while (d->at < d->n) {
		uint32_t c = table[d->in[d->at]];

		if (c != PN_CHARSET_NONE)
			put(d, c, 1);
		else if (!escape(d, 1))
			return false;
	}
	return true;
}

/* Bytes from 0x80 on are themselves, escaped, or some character we do not know. */
static bool
decode_bytes(struct decoder *d, enum pn_charset_kind kind)
{
	while (d->at < d->n) {
		unsigned char c = d->in[d->at];

		put(d, c < 0x80 || kind == PN_CHARSET_LATIN1 ? c
		    : kind == PN_CHARSET_ASCII ? ESCAPED + (uint32_t)c : UNREADABLE, 1);
	}
	return true;
}

static uint32_t
unit(const struct decoder *d, size_t at, size_t size, bool big)
{
	uint32_t u = 0;

	for (size_t i = 0; i < size; i++)
		u |= (uint32_t)d->in[at + i] << 8 * (big ? size - 1 - i : i);
	return u;
}

/* Without a byte order mark Python takes the machine's order: Odoo's is little-endian. */
static bool
big_endian(struct decoder *d, size_t size, bool marked, bool big)
{
	if (!marked || d->n < size)
		return big;
	big = unit(d, 0, size, true) == 0xfeff;
	if (big || unit(d, 0, size, false) == 0xfeff)
		d->at = size;
	return big;
}

static bool
decode_utf16(struct decoder *d, bool marked, bool big)
{
	big = big_endian(d, 2, marked, big);
	while (d->at < d->n) {
		size_t left = d->n - d->at;
		uint32_t c = left < 2 ? LOW_SURROGATES : unit(d, d->at, 2, big), low;

		if (c < SURROGATES || c >= SURROGATES_END) {
			put(d, c, 2);
			continue;
		}
		if (c < LOW_SURROGATES && left >= 4) {
			low = unit(d, d->at + 2, 2, big);
			if (low >= LOW_SURROGATES && low < SURROGATES_END) {
				put(d, 0x10000 + ((c - SURROGATES) << 10) + (low - LOW_SURROGATES), 4);
				continue;
			}
		}
		if (!escape(d, c < LOW_SURROGATES && left < 4 ? left : left < 2 ? left : 2))
			return false;
	}
	return true;
}

static bool
decode_utf32(struct decoder *d, bool marked, bool big)
{
	big = big_endian(d, 4, marked, big);
	while (d->at < d->n) {
		size_t left = d->n - d->at;
		uint32_t c = left < 4 ? SURROGATES : unit(d, d->at, 4, big);

		if (c <= LAST_CHARACTER && (c < SURROGATES || c >= SURROGATES_END))
			put(d, c, 4);
		else if (!escape(d, left < 4 ? left : 4))
			return false;
	}
	return true;
}

static bool
between(unsigned c, unsigned low, unsigned high)
{
	return c >= low && c <= high;
}

/* How many bytes the character at the front has, judged by its form; 0 for none. */
static size_t
pair_length(const struct decoder *d, enum pn_charset_kind kind)
{
	const unsigned char *p = d->in + d->at;
	size_t left = d->n - d->at;

	if (kind == PN_CHARSET_SHIFT_JIS && between(p[0], 0xa1, 0xdf))
		return 1;
	if (left < 2 || !between(p[0], 0x81, 0xfe) || p[1] == 0x7f || p[1] == 0xff)
		return kind == PN_CHARSET_EUC_JP && p[0] == 0x80 ? 1 : 0;
	if (kind == PN_CHARSET_EUC_JP && p[0] == 0x8f)
		return left >= 3 && p[1] >= 0xa1 && p[2] >= 0xa1 ? 3 : 0;
	if (kind == PN_CHARSET_EUC_JP)
		return p[1] >= 0xa1 ? 2 : 0;
	if (kind == PN_CHARSET_GB18030 && between(p[1], '0', '9'))
		return left >= 4 && between(p[2], 0x81, 0xfe) && between(p[3], '0', '9') ? 4 : 0;
	return p[1] >= 0x31 && (p[1] >= 0x40 || kind == PN_CHARSET_PAIRS) ? 2 : 0;
}

static bool
decode_pairs(struct decoder *d, enum pn_charset_kind kind)
{
	while (d->at < d->n) {
		size_t n;

		if (d->in[d->at] < 0x80) {
			put(d, d->in[d->at], 1);
			continue;
		}
		n = pair_length(d, kind);
		if (n > 0)
			put(d, UNREADABLE, n);
		else if (!escape(d, 1))
			return false;
	}
	return true;
}

/* ESC sequences choose between one and two bytes a character (RFC 1468, 1557). */
static bool
decode_iso2022(struct decoder *d)
{
	bool pairs = false;

	while (d->at < d->n) {
		const unsigned char *p = d->in + d->at;
		size_t left = d->n - d->at, n = 1;

		if (p[0] == ESC) {
			while (n < left && between(p[n], 0x20, 0x2f))
				n++;
			if (left < 3 && n >= left)
				return false;
			if (p[1] == '$')
				pairs = true;
			else if (p[1] == '(')
				pairs = false;
			d->at += n < left && p[n] >= 0x30 ? n + 1 : n;
		} else if (p[0] == '\n') {
			pairs = false;
			put(d, '\n', 1);
		} else if (p[0] == 0x0e || p[0] == 0x0f) {
			pairs = p[0] == 0x0e;
			d->at++;
		} else if (pairs && left >= 2 && p[0] > 0x20 && p[0] < 0x7f)
			put(d, UNREADABLE, 2);
		else if (p[0] < 0x80)
			put(d, p[0], 1);
		else if (!escape(d, 1))
			return false;
	}
	return true;
}

/* "~{" and "~}" do (RFC 1843). */
static bool
decode_hz(struct decoder *d)
{
	bool pairs = false;

	while (d->at < d->n) {
		const unsigned char *p = d->in + d->at;
		size_t left = d->n - d->at;

		if (p[0] >= 0x80) {
			if (!escape(d, 1))
				return false;
		} else if (p[0] == '~') {
			if (left < 2)
				return false;
			if (p[1] == '~')
				put(d, '~', 2);
			else if (p[1] == '\n')
				d->at += 2;
			else if (p[1] == (pairs ? '}' : '{')) {
				pairs = !pairs;
				d->at += 2;
			} else
				return false;
		} else if (pairs && left >= 2 && p[0] > 0x20)
			put(d, UNREADABLE, 2);
		else
			put(d, p[0], 1);
	}
	return true;
}

static bool
decode(struct decoder *d, const struct pn_charset *charset)
{
	switch (charset->kind) {
	case PN_CHARSET_ASCII:
	case PN_CHARSET_ASCII_ONLY:
	case PN_CHARSET_LATIN1:
	case PN_CHARSET_UTF7:
		return decode_bytes(d, charset->kind);
	case PN_CHARSET_TABLE:
		return decode_table(d, pn_charset_tables[charset->table]);
	case PN_CHARSET_UNDEFINED:
		return d->n == 0;
	case PN_CHARSET_UTF8_SIG:
		if (d->n >= 3 && memcmp(d->in, "\xef\xbb\xbf", 3) == 0)
			d->at = 3;
		return decode_utf8(d);
	case PN_CHARSET_UTF8:
		return decode_utf8(d);
	case PN_CHARSET_UTF16:
	case PN_CHARSET_UTF16_LE:
	case PN_CHARSET_UTF16_BE:
		return decode_utf16(d, charset->kind == PN_CHARSET_UTF16,
		    charset->kind == PN_CHARSET_UTF16_BE);
	case PN_CHARSET_UTF32:
	case PN_CHARSET_UTF32_LE:
	case PN_CHARSET_UTF32_BE:
		return decode_utf32(d, charset->kind == PN_CHARSET_UTF32,
		    charset->kind == PN_CHARSET_UTF32_BE);
	case PN_CHARSET_PAIRS:
	case PN_CHARSET_GB18030:
	case PN_CHARSET_EUC_JP:
	case PN_CHARSET_SHIFT_JIS:
		return decode_pairs(d, charset->kind);
	case PN_CHARSET_ISO2022:
		return decode_iso2022(d);
	case PN_CHARSET_HZ:
		return decode_hz(d);
	}
	return false;
}

enum pn_status
pn_charset_decode(const struct pn_charset *charset, struct pn_str bytes, struct pn_arena *arena,
    struct pn_wide *out)
{
	static const struct pn_charset ascii = { .kind = PN_CHARSET_ASCII };
	struct decoder d = { .in = (const unsigned char *)bytes.p, .n = bytes.n };

	d.out = PN_ARENA_ARRAY(arena, uint32_t, bytes.n + 1);
	if (!decode(&d, charset == NULL ? &ascii : charset))
		return PN_INVALID;
	*out = (struct pn_wide){ d.out, d.used };
	return PN_OK;
}

/* Small letters, digits and dots stay; what is between them becomes one "_". */
static struct pn_str
normal_name(struct pn_str name, char buf[PN_CHARSET_NAME_MAX + 1])
{
	bool gap = false;
	size_t n = 0;

	for (size_t i = 0; i < name.n; i++) {
		char c = pn_to_lower(name.p[i]);

		if (!pn_is_alnum(c) && c != '.') {
			gap = n > 0;
			continue;
		}
		if (n + gap >= PN_CHARSET_NAME_MAX)
			break;	/* longer than any name there is */
		if (gap)
			buf[n++] = '_';
		buf[n++] = c;
		gap = false;
	}
	return pn_str_n(buf, n);
}

static const struct pn_charset *
look_up(struct pn_str name)
{
	size_t low = 0, high = pn_charset_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = pn_str_cmp(name, pn_str_c(pn_charsets[mid].name));

		if (order == 0)
			return &pn_charsets[mid];
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* Odoo's own rule: iso-8859-8-i, iso-8859-8e and whatever else starts so. */
static bool
is_hebrew_variant(struct pn_str normal)
{
	static const struct pn_str heads[] = { PN_STR("iso_8859_8"), PN_STR("iso8859_8") };

	for (size_t i = 0; i < PN_COUNT(heads); i++) {
		struct pn_str rest = pn_str_from(normal, heads[i].n);

		if (!pn_str_starts(normal, heads[i]))
			continue;
		if (rest.n > 0 && rest.p[0] == '_')
			rest = pn_str_from(rest, 1);
		return rest.n > 0 && (rest.p[0] == 'i' || rest.p[0] == 'e');
	}
	return false;
}

const struct pn_charset *
pn_charset_find(struct pn_str name)
{
	char buf[PN_CHARSET_NAME_MAX + 1];
	struct pn_str normal = normal_name(name, buf);
	const struct pn_charset *found = look_up(normal);

	if (found == NULL && is_hebrew_variant(normal))
		return look_up(PN_STR("iso8859_8"));
	if (found != NULL || pn_str_find(normal, '.') == PN_STR_NONE)
		return found;
	for (size_t i = 0; i < normal.n; i++)
		if (buf[i] == '.')
			buf[i] = '_';
	found = look_up(normal);
	return found != NULL && found->alias ? found : NULL;
}
