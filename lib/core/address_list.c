#include "postern/address_list.h"

#include "postern/buf.h"
#include "postern/unicode.h"

/* Words with a blank between them; a word may be empty. */
struct words {
	struct pn_buf text;
	size_t n;
	size_t first;	/* bytes of the first word */
};

/* A walk over the text.  The three buffers hold the pieces of the address at
 * hand, taken apart and unquoted. */
struct list {
	struct pn_str text;
	size_t pos;
	struct words phrase;
	struct words comments;
	struct pn_buf spec;
	pn_address_pair_fn *fn;
	void *ctx;
	bool found;	/* the piece at hand gave a pair already */
	bool stopped;
};

enum { END = -1 };

static int
peek(const struct list *list)
{
	return list->pos < list->text.n ? (unsigned char)list->text.p[list->pos] : END;
}

static bool
is_blank(int c)
{
	return c == ' ' || c == '\t';
}

static bool
is_line_end(int c)
{
	return c == '\r' || c == '\n';
}

static bool
ends_phrase(int c)
{
	switch (c) {
	case '(': case ')': case '<': case '>': case '@': case ',': case ':': case ';':
	case '"': case '[': case ']': case ' ': case '\t': case '\r': case '\n':
		return true;
	default:
		return false;
	}
}

/* RFC 2822 lets old phrases have dots; atoms end there. */
static bool
ends_atom(int c)
{
	return c == '.' || ends_phrase(c);
}

static void
words_reset(struct words *words)
{
	pn_buf_reset(&words->text);
	words->n = words->first = 0;
}

static struct pn_buf *
word_begin(struct words *words)
{
	if (words->n++ > 0)
		pn_buf_add_char(&words->text, ' ');
	return &words->text;
}

static void
word_end(struct words *words)
{
	if (words->n == 1)
		words->first = words->text.n;
}

/* The text from the delimiter at hand to `end` or a CR, without backslashes.
 * Nested ones (comments) lose their delimiters and become part of it. */
static void
take_delimited(struct list *list, char end, bool nested, bool escape, struct pn_buf *out)
{
	size_t depth = 1;

	list->pos++;
	while (list->pos < list->text.n && depth > 0) {
		char c = list->text.p[list->pos++];

		if (c == end || c == '\r') {
			depth--;
			continue;
		}
		if (nested && c == '(') {
			depth++;
			continue;
		}
		if (c == '\\') {
			if (list->pos == list->text.n)
				break;
			c = list->text.p[list->pos++];
		}
		if (escape && (c == '"' || c == '\\'))
			pn_buf_add_char(out, '\\');
		pn_buf_add_char(out, c);
	}
}

static void
take_comment(struct list *list)
{
	take_delimited(list, ')', true, false, word_begin(&list->comments));
	word_end(&list->comments);
}

static void
take_until(struct list *list, bool (*ends)(int c), struct pn_buf *out)
{
	size_t start = list->pos;

	while (list->pos < list->text.n && !ends(peek(list)))
		list->pos++;
	pn_buf_add(out, pn_str_n(list->text.p + start, list->pos - start));
}

/* Over white space and comments; blanks are kept in `blanks` unless NULL. */
static void
skip(struct list *list, struct pn_buf *blanks)
{
	for (;; list->pos++) {
		int c = peek(list);

		while (c == '(') {
			take_comment(list);
			c = peek(list);
		}
		if (!is_blank(c) && !is_line_end(c))
			return;
		if (blanks != NULL && is_blank(c))
			pn_buf_add_char(blanks, (char)c);
	}
}

/* The words before an address. */
static void
take_phrase(struct list *list)
{
	for (;;) {
		int c = peek(list);

		if (is_blank(c) || is_line_end(c)) {
			list->pos++;
		} else if (c == '(') {
			take_comment(list);
		} else if (c == '"') {
			take_delimited(list, '"', false, false, word_begin(&list->phrase));
			word_end(&list->phrase);
		} else if (c == END || ends_phrase(c)) {
			return;
		} else {
			take_until(list, ends_phrase, word_begin(&list->phrase));
			word_end(&list->phrase);
		}
	}
}

/* Returns false at a second @: "a@evil.example@good.example" has no domain. */
static bool
take_domain(struct list *list, struct pn_buf *out)
{
	for (;;) {
		int c = peek(list);

		if (is_blank(c)) {
			list->pos++;
		} else if (c == '(') {
			take_comment(list);
		} else if (c == '[') {
			pn_buf_add_char(out, '[');
			take_delimited(list, ']', false, false, out);
			pn_buf_add_char(out, ']');
		} else if (c == '.') {
			list->pos++;
			pn_buf_add_char(out, '.');
		} else if (c == '@') {
			return false;
		} else if (c == END || ends_atom(c)) {
			return true;
		} else {
			take_until(list, ends_atom, out);
		}
	}
}

static void
cut(struct pn_buf *buf, size_t n)
{
	if (n < buf->n) {
		buf->n = n;
		buf->p[n] = '\0';
	}
}

/* The part before the @, into spec.  Blanks between its words stay, the piece
 * of white space before a dot or before the end does not. */
static void
take_local(struct list *list)
{
	struct pn_buf *out = &list->spec;
	size_t last = 0;	/* where the last piece starts */
	bool blank = false;	/* it is nothing but white space */

	for (int c; (c = peek(list)) != END;) {
		size_t end;

		if (c != '"' && ends_atom(c)) {
			if (blank)
				cut(out, last);
			blank = false;
			if (c != '.')
				return;
			list->pos++;
			pn_buf_add_char(out, '.');
			skip(list, NULL);
			continue;
		}
		last = out->n;
		if (c == '"') {
			pn_buf_add_char(out, '"');
			take_delimited(list, '"', false, true, out);
			pn_buf_add_char(out, '"');
			blank = false;
		} else {
			take_until(list, ends_atom, out);
			blank = pn_text_is_blank(pn_str_from(pn_buf_str(out), last));
		}
		end = out->n;
		skip(list, out);
		if (out->n > end) {
			last = end;
			blank = true;
		}
	}
}

static void
take_spec(struct list *list)
{
	struct pn_buf *out = &list->spec;
	size_t local;

	pn_buf_reset(out);
	skip(list, NULL);
	take_local(list);
	if (peek(list) != '@')
		return;
	list->pos++;
	pn_buf_add_char(out, '@');
	local = out->n;
	skip(list, NULL);
	if (!take_domain(list, out) || out->n == local)
		pn_buf_reset(out);
}

/* <@relay,@relay:local@domain>: RFC 822 routes are skipped. */
static void
take_route(struct list *list)
{
	bool hop = false;

	list->pos++;
	skip(list, NULL);
	for (int c; (c = peek(list)) != END; skip(list, NULL)) {
		if (hop) {
			(void)take_domain(list, &list->spec);
			hop = false;
		} else if (c == '>') {
			list->pos++;
			break;
		} else if (c == '@') {
			list->pos++;
			hop = true;
		} else if (c == ':') {
			list->pos++;
		} else {
			take_spec(list);
			list->pos++;	/* the > or whatever stands in its place */
			return;
		}
	}
	pn_buf_reset(&list->spec);
}

static void
give(struct list *list, struct pn_str name, struct pn_str addr)
{
	list->found = true;
	if (!list->stopped)
		list->stopped = !list->fn(list->ctx, name, addr);
}

static void
give_routed(struct list *list)
{
	struct pn_buf *name = &list->phrase.text;

	take_route(list);
	if (list->comments.n > 0) {
		pn_buf_add_c(name, " (");
		pn_buf_add(name, pn_buf_str(&list->comments.text));
		pn_buf_add_char(name, ')');
	}
	give(list, pn_buf_str(name), pn_buf_str(&list->spec));
}

/* The piece at hand.  Returns true when it opens a group. */
static bool
take_address(struct list *list)
{
	size_t start;
	int c;

	words_reset(&list->phrase);
	words_reset(&list->comments);
	skip(list, NULL);
	start = list->pos;
	take_phrase(list);
	skip(list, NULL);
	c = peek(list);
	if (c == ':') {
		list->pos++;
		return true;
	}
	if (c == '<') {
		give_routed(list);
	} else if (c == '@') {
		/* Once more from the start; comments then count twice. */
		list->pos = start;
		take_spec(list);
		give(list, pn_buf_str(&list->comments.text), pn_buf_str(&list->spec));
	} else if (list->phrase.n > 0) {
		give(list, pn_buf_str(&list->comments.text),
		    pn_str_head(pn_buf_str(&list->phrase.text), list->phrase.first));
	} else if (c != END) {
		list->pos++;
	}
	return false;
}

static void
skip_comma(struct list *list)
{
	skip(list, NULL);
	if (peek(list) == ',')
		list->pos++;
}

/* One piece between commas, a group with all its members. */
static void
take_piece(struct list *list)
{
	size_t groups = 0;	/* open ones */

	list->found = false;
	do {
		if (groups > 0) {
			skip(list, NULL);
			if (peek(list) == ';' || peek(list) == END) {
				list->pos += peek(list) == ';';
				groups--;
				skip_comma(list);
				continue;
			}
		}
		if (take_address(list))
			groups++;
		else
			skip_comma(list);
	} while (groups > 0 && !list->stopped);
	if (!list->found)
		give(list, PN_STR_EMPTY, PN_STR_EMPTY);
}

void
pn_address_list_each(struct pn_str text, pn_address_pair_fn *fn, void *ctx)
{
	struct list list = { .text = text, .fn = fn, .ctx = ctx };
	/* No piece grows past twice its source: comments are read twice, quotes escaped. */
	size_t max = 4 * text.n + 64;

	pn_buf_init(&list.phrase.text, max);
	pn_buf_init(&list.comments.text, max);
	pn_buf_init(&list.spec, max);
	while (list.pos < text.n && !list.stopped)
		take_piece(&list);
	pn_buf_done(&list.phrase.text);
	pn_buf_done(&list.comments.text);
	pn_buf_done(&list.spec);
}
