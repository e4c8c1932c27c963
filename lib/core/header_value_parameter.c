/* The parameters of MIME header fields: RFC 2045 section 5.1 and RFC 2231. */
#include "header_value_internal.h"

enum { INT_DIGITS_MAX = 4300 };	/* longer numbers make Python's int() raise */

struct parameter {
	struct pn_wide name;
	struct pn_wide section;		/* digits without leading zeros */
	struct pn_wide charset;
	struct pn_wide value;
	bool named;			/* the name was readable */
	bool valued;			/* value is set */
	bool empty_value;		/* Python raises where it needs the value */
	bool extended;			/* "name*=": percent-encoded */
	bool has_charset;
	bool done;			/* written, or part of what was */
};

/* A value: what it says, and the same with a blank for each CFWS. */
struct value {
	struct pn_wide plain;
	struct pn_wide full;
};

struct parameters {
	struct parameter *p;
	size_t n;
	size_t cap;
};

static enum pn_status
read_value(struct pn_hv *r, struct value *out)
{
	struct pn_hv_word word;
	struct pn_wide before;
	enum pn_status st;

	if (pn_hv_done(r))
		return PN_NOT_FOUND;
	st = pn_hv_cfws(r, &before);
	if (st != PN_OK)
		return st;
	st = pn_hv_at(r) == '"' ? pn_hv_quoted_string(r, &word) : pn_hv_token(r, PN_HV_ENDS_EXTENDED, &word);
	if (st != PN_OK)
		return st;
	if (before.n > 0)
		word.before = before;
	out->plain = word.value;
	out->full = pn_hv_word_value(r, &word);
	return PN_OK;
}

/* The first value of a parameter is the one that counts. */
static void
set_value(struct parameter *param, struct pn_wide value)
{
	if (!param->valued)
		param->value = value;
	param->valued = true;
}

static bool
at_digit(const struct pn_hv *r)
{
	return pn_hv_at(r) < 128 && pn_is_digit((char)pn_hv_at(r));
}

/* "*12" behind the name; "*" alone is left for the caller. */
static enum pn_status
read_section(struct pn_hv *r, struct parameter *param)
{
	size_t from = r->pos + 1;

	r->pos++;
	if (!at_digit(r)) {
		r->pos--;
		return PN_OK;
	}
	while (at_digit(r))
		r->pos++;
	if (r->pos - from > INT_DIGITS_MAX)
		return PN_INVALID;
	while (from < r->pos && r->text[from] == '0')
		from++;
	param->section = pn_hv_since(r, from);
	return PN_OK;
}

/* Attribute characters, without CFWS around them. */
static bool
skip_run(struct pn_hv *r, unsigned ends)
{
	size_t from = r->pos;

	while (!pn_hv_done(r) && !pn_hv_at_class(r, ends))
		r->pos++;
	return r->pos > from;
}

/* Some put an extended value in quotes.  *inside: the content of this one is
 * what should have been written.  PN_NOT_FOUND: it is no parameter at all. */
static enum pn_status
is_extended_in_quotes(const struct pn_hv *r, const struct parameter *param, struct pn_wide content,
    bool *inside)
{
	struct pn_hv inner = pn_hv_inner(r, content);

	if (param->section.n > 0) {
		*inside = skip_run(&inner, PN_HV_ENDS_EXTENDED) && pn_hv_done(&inner);
		return PN_OK;
	}
	*inside = pn_hv_at(&inner) == '\'';
	if (*inside)
		return PN_OK;
	if (!skip_run(&inner, PN_HV_ENDS_ATTRIBUTE))
		return PN_NOT_FOUND;
	*inside = pn_hv_at(&inner) == '\'';
	return PN_OK;
}

/* "charset'language'" from the first quote on. */
static enum pn_status
skip_language(struct pn_hv *r)
{
	if (pn_hv_at(r) != '\'')
		return PN_NOT_FOUND;
	r->pos++;
	if (!pn_hv_done(r) && pn_hv_at(r) != '\''
	    && (!skip_run(r, PN_HV_ENDS_ATTRIBUTE) || pn_hv_at(r) != '\''))
		return PN_NOT_FOUND;
	if (!pn_hv_done(r))
		r->pos++;
	return PN_OK;
}

/* The rest of a value that came out of quotes: nothing in it is special any more. */
static void
quoted_rest(struct pn_hv *r, struct parameter *param)
{
	struct pn_wide_buf buf = { .arena = r->scratch };

	if (pn_hv_done(r) && !param->valued)
		param->empty_value = true;
	while (!pn_hv_done(r)) {
		if (pn_hv_at_class(r, PN_HV_BLANK)) {
			pn_hv_skip_space(r);
			pn_wide_add(&buf, ' ');
		} else if (pn_hv_at(r) == '"') {
			pn_wide_add(&buf, '"');
			r->pos++;
		} else
			pn_hv_pairs_text(r, '"', '"', &buf);
	}
	set_value(param, pn_wide_of(&buf));
}

/* Everything behind the "=".  quoted: r reads the content of a quoted string. */
static enum pn_status
read_assigned(struct pn_hv *r, struct parameter *param, bool quoted)
{
	struct value value = { { NULL, 0 }, { NULL, 0 } };
	bool have = pn_hv_at(r) != '\'';
	enum pn_status st = have ? read_value(r, &value) : PN_OK;

	if (st != PN_OK)
		return st;
	if ((!param->extended || param->section.n > 0) && pn_hv_at(r) != '\'') {
		set_value(param, value.plain);
		return quoted && !pn_hv_done(r) ? PN_INVALID : PN_OK;
	}
	if (pn_hv_done(r)) {
		set_value(param, value.plain);
		if (!quoted)
			return PN_OK;
	} else {
		if (have) {
			param->charset = value.full;
			param->has_charset = true;
		}
		st = skip_language(r);
		if (st != PN_OK)
			return st;
	}
	if (quoted) {
		quoted_rest(r, param);
		return PN_OK;
	}
	st = read_value(r, &value);
	if (st == PN_OK)
		set_value(param, value.plain);
	return st;
}

/* An extended value that starts with a quote. */
static enum pn_status
read_quoted(struct pn_hv *r, struct parameter *param)
{
	struct pn_hv_mark mark = pn_hv_mark(r);
	struct pn_hv_word word;
	struct pn_hv inner;
	bool inside;
	enum pn_status st = pn_hv_quoted_string(r, &word);

	if (st == PN_OK)
		st = is_extended_in_quotes(r, param, word.value, &inside);
	if (st != PN_OK)
		return st;
	if (!inside) {
		pn_hv_rewind(r, mark);
		return read_assigned(r, param, false);
	}
	inner = pn_hv_inner(r, word.value);
	return read_assigned(&inner, param, true);
}

static struct pn_wide
strip(struct pn_wide text)
{
	while (text.n > 0 && pn_is_text_space(text.p[text.n - 1]))
		text.n--;
	while (text.n > 0 && pn_is_text_space(text.p[0])) {
		text.p++;
		text.n--;
	}
	return text;
}

static enum pn_status
read_parameter(struct pn_hv *r, struct parameter *param)
{
	struct pn_hv_word word;
	struct pn_wide gap;
	enum pn_status st = pn_hv_token(r, PN_HV_ENDS_ATTRIBUTE, &word);

	*param = (struct parameter){ .named = true };
	if (st != PN_OK)
		return st;
	param->name = strip(word.value);
	if (pn_hv_done(r) || pn_hv_at(r) == ';')
		return PN_OK;
	if (pn_hv_at(r) == '*') {
		st = read_section(r, param);
		if (st != PN_OK)
			return st;
		param->extended = pn_hv_at(r) == '*';
		r->pos += param->extended;
		if (param->extended && pn_hv_done(r))
			return PN_INVALID;
	}
	if (pn_hv_at(r) != '=')
		return PN_NOT_FOUND;
	r->pos++;
	st = pn_hv_cfws(r, &gap);
	if (st != PN_OK)
		return st;
	return param->extended && pn_hv_at(r) == '"' ? read_quoted(r, param) : read_assigned(r, param, false);
}

static enum pn_status
read_parameters(struct pn_hv *r, struct parameters *list)
{
	enum pn_status st = PN_OK;

	while (st == PN_OK && !pn_hv_done(r)) {
		struct pn_hv_mark mark = pn_hv_mark(r);
		struct parameter param;
		struct pn_wide gap;

		st = read_parameter(r, &param);
		if (st == PN_OK) {
			if (list->n == PN_HEADER_PARAMETERS_MAX)
				return PN_LIMIT;
			list->p = pn_arena_grow(r->scratch, list->p, list->n, &list->cap, list->n + 1,
			    sizeof(param));
			list->p[list->n++] = param;
		} else if (st == PN_NOT_FOUND) {
			pn_hv_rewind(r, mark);
			st = pn_hv_cfws(r, &gap);
		}
		if (st == PN_OK)
			st = pn_hv_junk(r, ';', ';', NULL);
		if (pn_hv_at(r) == ';')
			r->pos++;
	}
	return st;
}

static int
hex_value(uint32_t c)
{
	if (c < 128 && pn_is_digit((char)c))
		return (int)c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (int)c - 'a' + 10 : -1;
}

/* "%41" at i: the byte, or -1. */
static int
percent_byte(struct pn_wide text, size_t i)
{
	int high, low;

	if (text.p[i] != '%' || text.n - i < 3)
		return -1;
	high = hex_value(text.p[i + 1]);
	low = hex_value(text.p[i + 2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Percent-decoding to characters (Python's fallback for a value that holds
 * undecoded bytes): ISO 8859-1. */
static struct pn_wide
unquote_latin1(struct pn_hv *r, struct pn_wide text)
{
	struct pn_wide_buf buf = { .arena = r->scratch };

	for (size_t i = 0; i < text.n; i++) {
		int byte = percent_byte(text, i);

		pn_wide_add(&buf, byte < 0 ? text.p[i] : (uint32_t)byte);
		if (byte >= 0)
			i += 2;
	}
	return pn_wide_of(&buf);
}

static struct pn_str
unquote_bytes(struct pn_hv *r, struct pn_wide text)
{
	char *p = pn_arena_alloc_array(r->scratch, text.n + 1, 4);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		int byte = percent_byte(text, i);

		if (byte >= 0) {
			p[n++] = (char)byte;
			i += 2;
		} else
			n += pn_utf8_put(p + n, text.p[i]);
	}
	return pn_str_n(p, n);
}

/* PN_INVALID: a NUL in the name. */
static enum pn_status
find_charset(struct pn_hv *r, const struct parameter *param, const struct pn_charset **out)
{
	char *p = pn_arena_alloc(r->scratch, param->charset.n + 1);
	bool ascii = true;

	*out = NULL;
	for (size_t i = 0; i < param->charset.n; i++) {
		ascii = ascii && param->charset.p[i] < 0x80;
		p[i] = (char)param->charset.p[i];
	}
	if (!ascii || !param->has_charset)
		return PN_OK;
	*out = pn_charset_find(pn_str_n(p, param->charset.n));
	return pn_str_find(pn_str_n(p, param->charset.n), '\0') == PN_STR_NONE ? PN_OK : PN_INVALID;
}

/* charset: of the first part of this parameter. */
static enum pn_status
write_part(struct pn_hv *r, const struct parameter *first, const struct parameter *param,
    struct pn_wide_buf *out)
{
	const struct pn_charset *charset;
	struct pn_wide text = param->value;
	enum pn_status st = PN_OK;
	bool escaped = false;

	if (param->empty_value)
		return PN_INVALID;
	for (size_t i = 0; i < text.n; i++)
		escaped = escaped || (text.p[i] >= 0xd800 && text.p[i] < 0xe000);
	if (param->extended && escaped)
		text = unquote_latin1(r, text);
	else if (param->extended) {
		st = find_charset(r, first, &charset);
		if (st == PN_OK)
			st = pn_charset_decode(charset, unquote_bytes(r, text), r->scratch, &text);
	}
	if (st == PN_OK)
		pn_wide_add_text(out, text);
	return st;
}

static int
compare_sections(struct pn_wide a, struct pn_wide b)
{
	if (a.n != b.n)
		return a.n < b.n ? -1 : 1;
	for (size_t i = 0; i < a.n; i++)
		if (a.p[i] != b.p[i])
			return a.p[i] < b.p[i] ? -1 : 1;
	return 0;
}

/* Is the section this number? */
static bool
is_section(struct pn_wide section, size_t number)
{
	size_t value = 0;

	if (section.n > 6)
		return false;
	for (size_t i = 0; i < section.n; i++)
		value = value * 10 + (section.p[i] - '0');
	return value == number;
}

static bool
same_name(const struct parameter *a, const struct parameter *b)
{
	return a->name.n == b->name.n
	    && (a->name.n == 0 || memcmp(a->name.p, b->name.p, a->name.n * sizeof(*a->name.p)) == 0);
}

/* The parts of the parameter at index `first`, in the order of their sections. */
static size_t
collect(struct parameters *list, size_t first, struct parameter *parts[])
{
	size_t n = 0;

	for (size_t i = first; i < list->n; i++) {
		struct parameter *param = &list->p[i];
		size_t at = n;

		if (param->done || !same_name(param, &list->p[first]))
			continue;
		param->done = true;
		for (; at > 0 && compare_sections(parts[at - 1]->section, param->section) > 0; at--)
			parts[at] = parts[at - 1];
		parts[at] = param;
		n++;
	}
	if (n > 1 && !parts[0]->extended && parts[1]->section.n == 0)
		n = 1;	/* a second one without number is ignored */
	return n;
}

static enum pn_status
write_parameter(struct pn_hv *r, struct parameter *parts[], size_t n, struct pn_wide_buf *out)
{
	struct pn_wide_buf value = { .arena = r->scratch };
	size_t number = 0;

	for (size_t i = 0; i < n; i++) {
		enum pn_status st;

		if (!is_section(parts[i]->section, number) && !parts[i]->extended)
			continue;
		number++;
		st = write_part(r, parts[0], parts[i], &value);
		if (st != PN_OK)
			return st;
	}
	pn_wide_add_text(out, parts[0]->name);
	if (value.n > 0) {
		pn_wide_add(out, '=');
		pn_wide_add_quoted(out, pn_wide_of(&value));
	}
	return PN_OK;
}

enum pn_status
pn_hv_parameters(struct pn_hv *r, struct pn_wide_buf *out)
{
	struct parameters list = { 0 };
	enum pn_status st = read_parameters(r, &list);
	struct parameter **parts = PN_ARENA_ARRAY(r->scratch, struct parameter *, list.n);
	size_t start = out->n;

	for (size_t i = 0; st == PN_OK && i < list.n; i++) {
		if (list.p[i].done)
			continue;
		pn_wide_add_c(out, out->n == start ? " " : "; ");
		st = write_parameter(r, parts, collect(&list, i, parts), out);
	}
	if (out->n == start + 1)
		out->n = start;
	return st;
}
