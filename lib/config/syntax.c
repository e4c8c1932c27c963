#include "syntax.h"

#include <unistr.h>

enum token {
	END,		/* of the text */
	WORD,		/* a word or a string */
	OPEN, CLOSE,
	ASSIGN, APPEND,
	COMMA,
	BAD,		/* was reported; the reader stands at the end of the line */
};

struct reader {
	struct pn_str text;
	size_t at;
	unsigned line;
	struct pn_str word;	/* of the last WORD */
	const char *file;
	struct pn_conf_tree *tree;
	size_t section;		/* index of the one we are in; 0: none */
	struct pn_arena *arena;
	struct pn_config_report *report;
};

void
pn_conf_tree_init(struct pn_conf_tree *tree, struct pn_arena *arena)
{
	*tree = (struct pn_conf_tree){ .n = 1 };
	tree->sections = pn_arena_grow(arena, NULL, 0, &tree->cap, 1, sizeof(*tree->sections));
	tree->sections[0] = (struct pn_conf_section){ .kind = PN_STR_EMPTY };
}

struct pn_str
pn_conf_skip_bom(struct pn_str text)
{
	return pn_str_starts(text, PN_STR("\xef\xbb\xbf")) ? pn_str_from(text, 3) : text;
}

static unsigned
line_of(struct pn_str text, size_t at)
{
	unsigned line = 1;

	for (size_t i = 0; i < at; i++)
		line += text.p[i] == '\n';
	return line;
}

bool
pn_conf_is_text(struct pn_str text, const char *file, struct pn_config_report *report)
{
	const uint8_t *bad = u8_check((const uint8_t *)text.p, text.n);
	size_t nul = pn_str_find(text, '\0');

	if (bad != NULL) {
		size_t at = (size_t)(bad - (const uint8_t *)text.p);

		pn_report_error(report, (struct pn_place){ file, line_of(text, at) }, PN_STR_EMPTY,
		    "the byte \\x%02x is not UTF-8; save the file as UTF-8", *bad);
	}
	if (nul != PN_STR_NONE)
		pn_report_error(report, (struct pn_place){ file, line_of(text, nul) }, PN_STR_EMPTY,
		    "a NUL byte stands here; save the file as plain UTF-8 text");
	return bad == NULL && nul == PN_STR_NONE;
}

/* -- tokens ------------------------------------------------------------------ */

static struct pn_place
here(const struct reader *r)
{
	return (struct pn_place){ r->file, r->line };
}

static char
peek(const struct reader *r, size_t ahead)
{
	return r->at + ahead < r->text.n ? r->text.p[r->at + ahead] : '\0';
}

static void
skip_line(struct reader *r)
{
	size_t n = pn_str_find(pn_str_from(r->text, r->at), '\n');

	r->at = n == PN_STR_NONE ? r->text.n : r->at + n;
}

static enum token
bad(struct reader *r, const char *what)
{
	pn_report_error(r->report, here(r), PN_STR_EMPTY, "%s", what);
	skip_line(r);
	return BAD;
}

static bool
skip_long_comment(struct reader *r)
{
	struct pn_str rest = pn_str_from(r->text, r->at);
	struct pn_place begin = here(r);

	for (size_t i = 2; i + 1 < rest.n; i++) {
		if (rest.p[i] == '*' && rest.p[i + 1] == '/') {
			r->at += i + 2;
			return true;
		}
		r->line += rest.p[i] == '\n';
	}
	pn_report_error(r->report, begin, PN_STR_EMPTY, "the comment that begins here has no end; add */");
	r->at = r->text.n;
	return false;
}

static bool
skip_blanks(struct reader *r)
{
	while (r->at < r->text.n) {
		char c = peek(r, 0);

		if (c == '#' || (c == '/' && peek(r, 1) == '/')) {
			skip_line(r);
		} else if (c == '/' && peek(r, 1) == '*') {
			if (!skip_long_comment(r))
				return false;
		} else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			r->line += c == '\n';
			r->at++;
		} else
			return true;
	}
	return true;
}

static bool
is_word_char(char c)
{
	unsigned char u = (unsigned char)c;

	return u > 0x20 && u != 0x7f && memchr("#\"'={}()+,*", c, 11) == NULL;
}

static enum token
read_word(struct reader *r)
{
	size_t start = r->at;

	while (r->at < r->text.n && is_word_char(r->text.p[r->at]))
		r->at++;
	r->word = pn_str_n(r->text.p + start, r->at - start);
	if (peek(r, 0) == '{' && pn_str_ends(r->word, PN_STR("$")))
		return bad(r,
		    "${...} is not replaced here; write the value itself, or put it in single quotes");
	if (peek(r, 0) == '*' || (peek(r, 0) == '+' && peek(r, 1) != '='))
		return bad(r, "a value with + or * needs quotes; write it as \"...\"");
	return WORD;
}

static bool
octal(struct pn_str s, size_t *i, char *out)
{
	unsigned value = 0;
	size_t end = *i + 3;

	for (; *i < s.n && *i < end && s.p[*i] >= '0' && s.p[*i] <= '7'; ++*i)
		value = value * 8 + (unsigned)(s.p[*i] - '0');
	*out = (char)value;
	return value > 0 && value < 256;
}

static int
hex_digit(char c)
{
	c = pn_to_lower(c);
	return pn_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
hexadecimal(struct pn_str s, size_t *i, char *out)
{
	unsigned value = 0;
	size_t end = *i + 2;

	for (; *i < s.n && *i < end && hex_digit(s.p[*i]) >= 0; ++*i)
		value = value * 16 + (unsigned)hex_digit(s.p[*i]);
	*out = (char)value;
	return value > 0;
}

/* One backslash sequence of a double-quoted string, *i behind the backslash.
 * Writes at most one byte; false: there is no such sequence. */
static bool
unescape(struct pn_str s, size_t *i, char **to)
{
	static const char names[] = "nrtbfave", bytes[] = "\n\r\t\b\f\a\v\033";
	const char *name;
	char c = s.p[*i];

	if (c >= '0' && c <= '7')
		return octal(s, i, (*to)++);
	++*i;
	if (c == 'x' && *i < s.n && hex_digit(s.p[*i]) >= 0)
		return hexadecimal(s, i, (*to)++);
	if (c == '\n')
		return true;
	name = memchr(names, c, sizeof(names) - 1);
	*(*to)++ = name == NULL ? c : bytes[name - names];
	return c != '8' && c != '9';
}

/* The text between the quotes with its backslashes worked off.  \xff must not
 * bring in what the file itself may not hold. */
static bool
unquote(struct reader *r, struct pn_str s, char quote)
{
	char *copy = pn_arena_alloc(r->arena, s.n + 1), *to = copy;
	size_t i = 0;

	while (i < s.n) {
		if (s.p[i] != '\\' || i + 1 == s.n) {
			*to++ = s.p[i++];
			continue;
		}
		i++;
		if (quote == '"') {
			if (!unescape(s, &i, &to))
				return false;
		} else if (s.p[i] == '\n') {
			i++;
		} else {
			if (s.p[i] != '\\' && s.p[i] != '\'')
				*to++ = '\\';
			*to++ = s.p[i++];
		}
	}
	r->word = pn_str_n(copy, (size_t)(to - copy));
	return u8_check((const uint8_t *)copy, r->word.n) == NULL;
}

static enum token
read_string(struct reader *r)
{
	char quote = peek(r, 0);
	size_t start = ++r->at;
	bool escapes = false;
	unsigned lines = 0;

	for (; r->at < r->text.n && peek(r, 0) != quote; r->at++) {
		if (peek(r, 0) == '\n')
			return bad(r, "the string is not closed on its line; add the missing quote");
		if (quote == '"' && peek(r, 0) == '$' && peek(r, 1) == '{')
			return bad(r, "${...} is not replaced here; write the value itself, or \\${");
		if (peek(r, 0) != '\\')
			continue;
		escapes = true;
		r->at++;
		lines += peek(r, 0) == '\n';
	}
	if (r->at >= r->text.n) {
		r->at = r->text.n;
		return bad(r, "the string is not closed on its line; add the missing quote");
	}
	r->word = pn_str_n(r->text.p + start, r->at - start);
	if (escapes && !unquote(r, r->word, quote))
		return bad(r, "not a backslash sequence; write \\\\ for a backslash itself");
	r->line += lines;
	r->at++;
	return WORD;
}

static enum token
next(struct reader *r)
{
	static const char marks[] = "{}=,";
	static const enum token tokens[] = { OPEN, CLOSE, ASSIGN, COMMA };
	const char *mark;
	char c;

	if (!skip_blanks(r) || r->at >= r->text.n)
		return END;
	c = peek(r, 0);
	mark = memchr(marks, c, sizeof(marks) - 1);
	if (mark != NULL) {
		r->at++;
		return tokens[mark - marks];
	}
	if (c == '+' && peek(r, 1) == '=') {
		r->at += 2;
		return APPEND;
	}
	if (c == '"' || c == '\'')
		return read_string(r);
	if (is_word_char(c))
		return read_word(r);
	if (c == '(' || c == ')')
		return bad(r, "there are no functions here; more files go into conf.d/ beside this one");
	if (c == '+' || c == '*')
		return bad(r, "a value with + or * needs quotes; write it as \"...\"");
	return bad(r, "a control character stands here; remove it");
}

/* -- statements --------------------------------------------------------------- */

static void
syntax_error(struct reader *r, unsigned line, struct pn_str key, const char *what)
{
	pn_report_error(r->report, (struct pn_place){ r->file, line }, key, "%s", what);
}

static void
add_key(struct reader *r, struct pn_conf_key key)
{
	struct pn_conf_section *s = &r->tree->sections[r->section];

	s->keys = pn_arena_grow(r->arena, s->keys, s->key_count, &s->key_cap, s->key_count + 1,
	    sizeof(*s->keys));
	s->keys[s->key_count++] = key;
}

static void
open_section(struct reader *r, unsigned line, struct pn_str kind, struct pn_str title, bool has_title)
{
	struct pn_conf_tree *tree = r->tree;

	if (r->section != 0)
		pn_report_error(r->report, (struct pn_place){ r->file, line }, kind,
		    "sections do not nest; close the section of line %u with } first",
		    tree->sections[r->section].place.line);
	tree->sections = pn_arena_grow(r->arena, tree->sections, tree->n, &tree->cap, tree->n + 1,
	    sizeof(*tree->sections));
	tree->sections[tree->n] = (struct pn_conf_section){ .place = { r->file, line }, .kind = kind,
		.title = title, .has_title = has_title };
	r->section = tree->n++;
}

/* The values up to the closing brace; false: reported. */
static bool
read_list(struct reader *r, struct pn_conf_key *key)
{
	size_t cap = 0;

	key->list = true;
	for (;;) {
		enum token t = next(r);

		if (t == CLOSE)
			return true;
		if (t == WORD) {
			key->values.v = pn_arena_grow(r->arena, key->values.v, key->values.n, &cap,
			    key->values.n + 1, sizeof(*key->values.v));
			key->values.v[key->values.n++] = r->word;
			t = next(r);
			if (t == CLOSE)
				return true;
			if (t == COMMA)
				continue;
		}
		if (t != BAD)
			syntax_error(r, key->place.line, key->name,
			    "the list is broken; write it as {\"a\", \"b\"}");
		skip_line(r);
		return false;
	}
}

static void
read_value(struct reader *r, struct pn_conf_key key)
{
	struct reader before;
	enum token t;

	(void)skip_blanks(r);
	before = *r;
	/* "key =" with its value forgotten must not swallow the next key */
	t = r->line == key.place.line ? next(r) : END;
	if (t == OPEN) {
		if (read_list(r, &key))
			add_key(r, key);
	} else if (t == WORD) {
		key.values.v = pn_arena_alloc(r->arena, sizeof(*key.values.v));
		key.values.v[0] = r->word;
		key.values.n = 1;
		add_key(r, key);
	} else if (t != BAD) {
		syntax_error(r, key.place.line, key.name, "has no value; write one behind the =");
		*r = before;
	}
}

/* A statement that began with this word. */
static void
read_statement(struct reader *r)
{
	struct pn_str name = r->word;
	unsigned line = r->line;
	struct reader before, behind;
	enum token t;

	(void)skip_blanks(r);
	before = *r;
	t = next(r);
	if (t == ASSIGN || t == APPEND) {
		read_value(r, (struct pn_conf_key){ .place = { r->file, line }, .name = name,
			.append = t == APPEND });
		return;
	}
	if (t == OPEN) {
		open_section(r, line, name, PN_STR_EMPTY, false);
		return;
	}
	if (t == BAD)
		return;
	behind = *r;
	if (t == WORD && next(r) == OPEN) {
		open_section(r, line, name, behind.word, true);
		return;
	}
	syntax_error(r, line, name,
	    "neither a key nor a section; write key = value or section \"name\" { ... }");
	/* what stands on the next line may be good again */
	*r = t == WORD && before.line == line ? behind : before;
	if (t == COMMA)
		skip_line(r);
}

void
pn_conf_read(struct pn_conf_tree *tree, struct pn_str text, const char *file, struct pn_arena *arena,
    struct pn_config_report *report)
{
	struct reader r = { .text = pn_conf_skip_bom(text), .line = 1, .file = file, .tree = tree,
		.arena = arena, .report = report };
	enum token t;

	if (!pn_conf_is_text(text, file, report))
		return;
	while ((t = next(&r)) != END) {
		if (t == WORD) {
			read_statement(&r);
		} else if (t == CLOSE && r.section != 0) {
			r.section = 0;
		} else if (t == CLOSE) {
			syntax_error(&r, r.line, PN_STR_EMPTY, "} closes nothing; remove it");
		} else if (t != BAD) {
			syntax_error(&r, r.line, PN_STR_EMPTY, "a key or a section must begin here");
			skip_line(&r);
		}
	}
	if (r.section != 0) {
		const struct pn_conf_section *open = &tree->sections[r.section];

		pn_report_error(report, open->place, open->kind, "the section is not closed; add }");
	}
}

void
pn_conf_quote(struct pn_buf *out, struct pn_str value, bool always)
{
	bool word = !always && value.n > 0 && !pn_str_starts(value, PN_STR("//")) &&
	    !pn_str_starts(value, PN_STR("/*")) && !pn_str_ends(value, PN_STR("$"));

	for (size_t i = 0; i < value.n && word; i++)
		word = is_word_char(value.p[i]);
	if (word) {
		pn_buf_add(out, value);
		return;
	}
	pn_buf_add_char(out, '"');
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (c == '"' || c == '\\' || c == '$')
			pn_buf_addf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			pn_buf_addf(out, "\\%03o", c);
		else
			pn_buf_add_char(out, value.p[i]);
	}
	pn_buf_add_char(out, '"');
}
