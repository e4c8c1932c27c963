/* The small constructs of RFC 5322 section 3.2, in the generous reading of Python's email package. */
#include "header_value_internal.h"

enum pn_status
pn_hv_add_word(struct pn_hv *r, struct pn_hv_words *words, struct pn_hv_word word)
{
	if (words->n >= PN_HEADER_WORDS_MAX)
		return PN_LIMIT;
	words->p = pn_arena_grow(r->scratch, words->p, words->n, &words->cap, words->n + 1,
	    sizeof(*words->p));
	words->p[words->n++] = word;
	return PN_OK;
}

void
pn_hv_write_word(struct pn_wide_buf *out, const struct pn_hv_word *word)
{
	pn_wide_add_text(out, word->before);
	if (word->kind == PN_HV_QUOTED)
		pn_wide_add_quoted(out, word->text);
	else
		pn_wide_add_text(out, word->text);
	pn_wide_add_text(out, word->after);
}

void
pn_hv_write_words(struct pn_wide_buf *out, const struct pn_hv_words *words)
{
	for (size_t i = 0; i < words->n; i++)
		pn_hv_write_word(out, &words->p[i]);
}

struct pn_wide
pn_hv_word_value(struct pn_hv *r, const struct pn_hv_word *word)
{
	struct pn_wide_buf buf = { .arena = r->scratch };

	if (word->before.n > 0)
		pn_wide_add(&buf, ' ');
	pn_wide_add_text(&buf, word->value);
	if (word->after.n > 0)
		pn_wide_add(&buf, ' ');
	return pn_wide_of(&buf);
}

/* A special that is a word of its own. */
static struct pn_hv_word
sign(struct pn_hv *r, enum pn_hv_kind kind)
{
	struct pn_hv_word word = { .kind = kind };

	r->pos++;
	word.text = word.value = pn_hv_since(r, r->pos - 1);
	return word;
}

void
pn_hv_pairs_text(struct pn_hv *r, char end1, char end2, struct pn_wide_buf *out)
{
	bool escaped = false;

	for (; !pn_hv_done(r) && !pn_hv_at_class(r, PN_HV_BLANK); r->pos++) {
		uint32_t c = pn_hv_at(r);

		if (c == '\\' && !escaped) {
			escaped = true;
			continue;
		}
		if (!escaped && (c == (unsigned char)end1 || c == (unsigned char)end2))
			break;
		escaped = false;
		pn_wide_add(out, c);
	}
}

static bool
is_escaped_in_comment(uint32_t c)
{
	return c == '(' || c == ')' || c == '\\';
}

/* Written in place: what must be escaped makes the rest move up. */
static void
comment_text(struct pn_hv *r, struct pn_wide_buf *out)
{
	size_t from = out->n, end, escapes = 0;

	pn_hv_pairs_text(r, '(', ')', out);
	end = out->n;
	for (size_t i = from; i < end; i++)
		escapes += is_escaped_in_comment(out->p[i]);
	for (size_t i = 0; i < escapes; i++)
		pn_wide_add(out, '\\');
	for (size_t to = out->n; to > end;) {
		out->p[--to] = out->p[--end];
		if (is_escaped_in_comment(out->p[to]))
			out->p[--to] = '\\';
	}
}

static void
white_space(struct pn_hv *r, struct pn_wide_buf *out)
{
	size_t from = r->pos;

	pn_hv_skip_space(r);
	pn_wide_add_text(out, (struct pn_wide){ r->text + from, r->pos - from });
}

/* Comments nest; one that is still open at the end is closed in the text. */
static enum pn_status
comment(struct pn_hv *r, struct pn_wide_buf *out)
{
	size_t depth = 0;

	do {
		if (pn_hv_at(r) == '(') {
			if (++depth > PN_HEADER_COMMENT_DEPTH_MAX)
				return PN_LIMIT;
			pn_wide_add(out, r->text[r->pos++]);
		} else if (pn_hv_at(r) == ')') {
			depth--;
			pn_wide_add(out, r->text[r->pos++]);
		} else if (pn_hv_at_class(r, PN_HV_BLANK))
			white_space(r, out);
		else
			comment_text(r, out);
	} while (depth > 0 && !pn_hv_done(r));
	while (depth-- > 0)
		pn_wide_add(out, ')');
	return PN_OK;
}

enum pn_status
pn_hv_cfws(struct pn_hv *r, struct pn_wide *out)
{
	struct pn_wide_buf buf = { .arena = r->scratch };
	size_t from = r->pos;

	if (pn_hv_at_class(r, PN_HV_BLANK))
		pn_hv_skip_space(r);
	if (!pn_hv_at_class(r, PN_HV_COMMENT)) {
		*out = pn_hv_since(r, from);
		return PN_OK;
	}
	r->pos = from;
	while (pn_hv_at_class(r, PN_HV_COMMENT)) {
		if (pn_hv_at(r) != '(')
			white_space(r, &buf);
		else if (comment(r, &buf) != PN_OK)
			return PN_LIMIT;
	}
	*out = pn_wide_of(&buf);
	return PN_OK;
}

/* The value of decoded text: white space that starts with a blank is one blank. */
static struct pn_wide
collapsed(struct pn_arena *arena, struct pn_wide text)
{
	struct pn_wide_buf buf = { .arena = arena };

	if (!pn_wide_has(text, PN_HV_BLANK))
		return text;
	for (size_t i = 0; i < text.n; i++) {
		if (!pn_hv_is(text.p[i], PN_HV_BLANK)) {
			pn_wide_add(&buf, text.p[i]);
			continue;
		}
		pn_wide_add(&buf, ' ');
		while (i + 1 < text.n && pn_is_text_space(text.p[i + 1]))
			i++;
	}
	return pn_wide_of(&buf);
}

static enum pn_status
encoded_word(struct pn_hv *r, struct pn_hv_word *out)
{
	enum pn_status st;
	bool malformed;

	if (!pn_hv_at_encoded_word(r))
		return PN_NOT_FOUND;
	st = pn_hv_encoded_word(r, &out->text, &malformed);
	if (st == PN_OK) {
		out->value = collapsed(r->scratch, out->text);
		out->hollow = out->text.n == 0;
	}
	return st;
}

/* Between the quotes, from the first quote to behind the last.  White space
 * between two encoded words goes, as it does outside of quotes. */
static struct pn_wide
quoted_content(struct pn_hv *r, bool *hollow)
{
	struct pn_wide_buf buf = { .arena = r->scratch };
	bool after_word = false;
	size_t gap = SIZE_MAX;

	r->pos++;
	*hollow = pn_hv_done(r);
	while (!pn_hv_done(r) && pn_hv_at(r) != '"') {
		struct pn_hv_word word;
		bool decoded = false;

		if (pn_hv_at_class(r, PN_HV_BLANK)) {
			gap = after_word ? buf.n : SIZE_MAX;
			after_word = false;
			white_space(r, &buf);
			continue;
		}
		if (encoded_word(r, &word) == PN_OK) {
			decoded = true;
			if (gap != SIZE_MAX)
				buf.n = gap;
			pn_wide_add_text(&buf, word.text);
		} else
			pn_hv_pairs_text(r, '"', '"', &buf);
		after_word = decoded;
		gap = SIZE_MAX;
	}
	if (!pn_hv_done(r))
		r->pos++;
	return pn_wide_of(&buf);
}

enum pn_status
pn_hv_quoted_string(struct pn_hv *r, struct pn_hv_word *out)
{
	enum pn_status st;

	*out = (struct pn_hv_word){ .kind = PN_HV_QUOTED };
	st = pn_hv_cfws(r, &out->before);
	if (st != PN_OK)
		return st;
	if (pn_hv_done(r))
		return PN_INVALID;
	if (pn_hv_at(r) != '"')
		return PN_NOT_FOUND;
	out->text = out->value = quoted_content(r, &out->hollow);
	return pn_hv_cfws(r, &out->after);
}

/* One or more characters outside the class. */
static bool
run(struct pn_hv *r, unsigned ends, struct pn_wide *out)
{
	size_t from = r->pos;

	while (!pn_hv_done(r) && !pn_hv_at_class(r, ends))
		r->pos++;
	*out = pn_hv_since(r, from);
	return out->n > 0;
}

enum pn_status
pn_hv_token(struct pn_hv *r, unsigned ends, struct pn_hv_word *out)
{
	enum pn_status st;

	*out = (struct pn_hv_word){ .kind = PN_HV_ATOM };
	st = pn_hv_cfws(r, &out->before);
	if (st != PN_OK)
		return st;
	if (!run(r, ends, &out->text))
		return PN_NOT_FOUND;
	out->value = out->text;
	return pn_hv_cfws(r, &out->after);
}

enum pn_status
pn_hv_atom(struct pn_hv *r, struct pn_hv_word *out)
{
	enum pn_status st;

	*out = (struct pn_hv_word){ .kind = PN_HV_ATOM };
	st = pn_hv_cfws(r, &out->before);
	if (st != PN_OK)
		return st;
	if (encoded_word(r, out) != PN_OK) {
		if (!run(r, PN_HV_ENDS_ATOM, &out->text))
			return PN_NOT_FOUND;
		out->value = out->text;
	}
	return pn_hv_cfws(r, &out->after);
}

enum pn_status
pn_hv_dot_atom_text(struct pn_hv *r, struct pn_wide *out)
{
	size_t from = r->pos;
	bool dot = true;

	while (!pn_hv_done(r) && (!pn_hv_at_class(r, PN_HV_ENDS_ATOM) || (pn_hv_at(r) == '.' && !dot))) {
		dot = pn_hv_at(r) == '.';
		r->pos++;
	}
	if (dot)
		return PN_NOT_FOUND;
	*out = pn_hv_since(r, from);
	return PN_OK;
}

enum pn_status
pn_hv_dot_atom(struct pn_hv *r, struct pn_hv_word *out)
{
	enum pn_status st;

	*out = (struct pn_hv_word){ .kind = PN_HV_ATOM };
	st = pn_hv_cfws(r, &out->before);
	if (st != PN_OK)
		return st;
	if (encoded_word(r, out) != PN_OK) {
		st = pn_hv_dot_atom_text(r, &out->text);
		if (st != PN_OK)
			return st;
		out->value = out->text;
	}
	return pn_hv_cfws(r, &out->after);
}

enum pn_status
pn_hv_word(struct pn_hv *r, struct pn_hv_word *out)
{
	struct pn_wide before;
	enum pn_status st = pn_hv_cfws(r, &before);

	if (st != PN_OK)
		return st;
	if (pn_hv_at(r) == '"')
		st = pn_hv_quoted_string(r, out);
	else if (pn_hv_done(r) || pn_hv_at_class(r, PN_HV_SPECIAL))
		return PN_NOT_FOUND;
	else
		st = pn_hv_atom(r, out);
	out->before = before;
	return st;
}

/* A word, or white space and comments without one. */
static enum pn_status
word_or_cfws(struct pn_hv *r, struct pn_hv_word *out)
{
	struct pn_hv_mark mark = pn_hv_mark(r);
	enum pn_status st = pn_hv_word(r, out);

	if (st != PN_NOT_FOUND)
		return st;
	pn_hv_rewind(r, mark);
	if (!pn_hv_at_class(r, PN_HV_COMMENT))
		return PN_NOT_FOUND;
	*out = (struct pn_hv_word){ .kind = PN_HV_CFWS };
	return pn_hv_cfws(r, &out->before);
}

enum pn_status
pn_hv_phrase(struct pn_hv *r, struct pn_hv_words *out)
{
	enum pn_status st = PN_OK;

	if (pn_hv_done(r))
		return PN_INVALID;
	while (st == PN_OK && !pn_hv_done(r) && !pn_hv_at_class(r, PN_HV_ENDS_PHRASE)) {
		struct pn_hv_word word;

		if (pn_hv_at(r) == '.')
			word = sign(r, PN_HV_DOT);
		else
			st = word_or_cfws(r, &word);
		if (st == PN_OK)
			st = pn_hv_add_word(r, out, word);
	}
	return st;
}

/* The conditions under which Python reads one element too many at the ends. */
static bool
reads_too_far(const struct pn_hv_words *words)
{
	return words->n == 0
	    || (words->n == 1 && words->p[0].kind == PN_HV_CFWS);
}

enum pn_status
pn_hv_obs_local_part(struct pn_hv *r, struct pn_hv_words *out)
{
	enum pn_status st = PN_OK;

	*out = (struct pn_hv_words){ 0 };
	while (st == PN_OK && !pn_hv_done(r)
	    && (pn_hv_at(r) == '\\' || !pn_hv_at_class(r, PN_HV_ENDS_PHRASE))) {
		struct pn_hv_word word;

		if (pn_hv_at(r) == '.')
			word = sign(r, PN_HV_DOT);
		else if (pn_hv_at(r) == '\\')
			word = sign(r, PN_HV_SIGN);
		else
			st = word_or_cfws(r, &word);
		if (st == PN_OK)
			st = pn_hv_add_word(r, out, word);
	}
	return st == PN_OK && reads_too_far(out) ? PN_INVALID : st;
}

enum pn_status
pn_hv_junk(struct pn_hv *r, uint32_t end1, uint32_t end2, struct pn_wide_buf *out)
{
	struct pn_hv_words words = { 0 };

	while (!pn_hv_done(r) && pn_hv_at(r) != end1 && pn_hv_at(r) != end2) {
		enum pn_status st;

		if (pn_hv_at_class(r, PN_HV_ENDS_PHRASE)) {
			if (out != NULL)
				pn_wide_add(out, pn_hv_at(r));
			r->pos++;
			continue;
		}
		words.n = 0;
		st = pn_hv_phrase(r, &words);
		if (st != PN_OK)
			return st;
		if (out != NULL)
			pn_hv_write_words(out, &words);
	}
	return PN_OK;
}
