#include "postern/from_identity.h"

#include "postern/address.h"
#include "postern/header_value.h"
#include "postern/idn.h"

struct finder {
	struct pn_arena *arena;
	struct pn_strs_builder domains;
	bool more;
	size_t strict;		/* addresses that the strict reader took */
	size_t bytes;		/* of the fields read so far */
	const char *why;	/* the first thing that is wrong */
};

static void
object(struct finder *finder, const char *why)
{
	if (finder->why == NULL)
		finder->why = why;
}

/* -- domains, as any reader may see them -------------------------------------------------- */

static bool
is_domain_char(char c)
{
	return pn_is_alnum(c) || c == '-' || c == '_' || c == '.' || (unsigned char)c >= 0x80;
}

static struct pn_str
domain_at(struct pn_str s)
{
	size_t n = 0;

	while (n < s.n && is_domain_char(s.p[n]))
		n++;
	return pn_str_head(s, n);
}

/* false: no domain. */
static bool
note(struct finder *finder, struct pn_str domain)
{
	struct pn_str ascii;

	if (finder->more)
		return true;
	if (pn_domain_to_ascii(domain, finder->arena, &ascii) != PN_OK)
		return false;
	if (pn_strs_has(finder->domains.list, ascii))
		return true;
	if (finder->domains.list.n == PN_FROM_DOMAINS_MAX)
		finder->more = true;
	else
		pn_strs_add(&finder->domains, ascii);
	return true;
}

static struct pn_str
skip_space(struct pn_str s)
{
	while (s.n > 0 && pn_is_space(s.p[0]))
		s = pn_str_from(s, 1);
	return s;
}

/* What stands behind each @, wherever that is. */
static void
note_each_at(struct finder *finder, struct pn_str s)
{
	for (size_t at; (at = pn_str_find(s, '@')) != PN_STR_NONE;) {
		s = pn_str_from(s, at + 1);
		(void)note(finder, domain_at(skip_space(s)));
	}
}

/* A reader that takes whatever looks like <a@b>, in quotes, comments and decoded words too. */
static void
note_angles(struct finder *finder, struct pn_str s)
{
	for (size_t at; (at = pn_str_find(s, '<')) != PN_STR_NONE;) {
		struct pn_str inside;

		s = pn_str_from(s, at + 1);
		inside = pn_str_head(s, pn_str_find(s, '>'));
		s = pn_str_from(s, inside.n);
		note_each_at(finder, inside);
	}
}

/* The length of a quoted string at the head of s; 0 when it has no end. */
static size_t
quoted_length(struct pn_str s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '"')
			return i + 1;
		i += s.p[i] == '\\';
	}
	return 0;
}

/* A reader that knows quoted names, and nothing else. */
static void
note_unquoted(struct finder *finder, struct pn_str s)
{
	bool quotes = true;

	while (s.n > 0) {
		size_t n = 0, quoted;
		struct pn_str behind;

		while (n < s.n && (s.p[n] != '"' || !quotes))
			n++;
		note_each_at(finder, pn_str_head(s, n));
		s = pn_str_from(s, n);
		if (s.n == 0)
			return;
		/* an @ before the quote has its domain behind it */
		quoted = quoted_length(s);
		quotes = quoted > 0;
		if (!quotes)
			continue;
		behind = skip_space(pn_str_from(s, quoted));
		if (behind.n > 0 && (behind.p[0] == '@' || behind.p[0] == '.'))
			note_each_at(finder, pn_str_head(s, quoted));
		s = pn_str_from(s, quoted);
	}
}

/* -- the one strict reader ------------------------------------------------------------------ */

/* Takes a comment off *s; nothing in it nests but comments. */
static bool
skip_comment(struct pn_str *s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (s->p[i] == '(')
			depth++;
		else if (s->p[i] == ')' && --depth == 0) {
			*s = pn_str_from(*s, i + 1);
			return true;
		}
		i += s->p[i] == '\\';
	}
	return false;
}

static bool
is_word_char(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f && memchr("()<>@,;:\"\\", c, 10) == NULL;
}

/* A local part, or a word of a name, off *s. */
static bool
skip_word(struct pn_str *s)
{
	size_t n = 0;

	if (s->n > 0 && s->p[0] == '"')
		n = quoted_length(*s);
	else
		while (n < s->n && is_word_char(s->p[n]))
			n++;
	*s = pn_str_from(*s, n);
	return n > 0;
}

/* "@domain" off *s. */
static bool
take_domain(struct finder *finder, struct pn_str *s)
{
	struct pn_str domain;

	if (s->n == 0 || s->p[0] != '@')
		return false;
	domain = domain_at(pn_str_from(*s, 1));
	*s = pn_str_from(*s, domain.n + 1);
	return domain.n > 0 && domain.p[domain.n - 1] != '.' && note(finder, domain);
}

/* "<a@b>" off *s. */
static bool
take_angle(struct finder *finder, struct pn_str *s)
{
	*s = skip_space(pn_str_from(*s, 1));
	if (!skip_word(s) || !take_domain(finder, s))
		return false;
	*s = skip_space(*s);
	if (s->n == 0 || s->p[0] != '>')
		return false;
	*s = pn_str_from(*s, 1);
	return true;
}

/* What has been seen of one element of the list. */
struct element {
	unsigned words, addresses, angles;
	bool behind;	/* something stands behind the angle address */
	bool at;	/* an @ that belongs to no address */
	bool quoted_at;	/* one in quotes */
	bool bracket;	/* a square one */
};

/* An encoded word stands alone (RFC 2047 section 5).  Inside of another it is an address to whoever decodes
 * first: ceo=?utf-8?q?=40b.example?= */
static bool
has_encoded_part(struct pn_str word)
{
	if (word.n > 4 && pn_str_starts(word, PN_STR("=?")) && pn_str_ends(word, PN_STR("?=")))
		word = pn_str_n(word.p + 2, word.n - 4);
	return pn_str_contains(word, PN_STR("=?"));
}

static const char *
note_word(struct element *element, struct pn_str word)
{
	element->words++;
	if (word.p[0] == '"') {
		element->quoted_at = element->quoted_at || pn_str_find(word, '@') != PN_STR_NONE;
		return NULL;
	}
	element->bracket = element->bracket || pn_str_find(word, '[') != PN_STR_NONE
	    || pn_str_find(word, ']') != PN_STR_NONE;
	return has_encoded_part(word) ? "an encoded word inside of another" : NULL;
}

/* One word, address or sign; what is wrong with it, or NULL. */
static const char *
take_token(struct finder *finder, struct pn_str *s, struct element *element)
{
	struct pn_str word = *s;
	const char *why;
	char c = s->p[0];

	if (c == '(')
		return skip_comment(s) ? NULL : "a comment without an end";
	element->behind = element->behind || element->angles > 0;
	if (c == '<') {
		element->angles++;
		return take_angle(finder, s) ? NULL : "no address in <>";
	}
	if (c == ':' || c == ';')
		return "a group";
	if (c == '@') {
		element->at = true;
		*s = pn_str_from(*s, 1);
		return NULL;
	}
	if (!skip_word(s))
		return c == '"' ? "a quote without an end" : "a character that has no place there";
	why = note_word(element, pn_str_head(word, word.n - s->n));
	if (why != NULL || s->n == 0 || s->p[0] != '@')
		return why;
	element->addresses++;
	return take_domain(finder, s) ? NULL : "no domain behind an @";
}

static const char *
judge(struct finder *finder, const struct element *element)
{
	finder->strict += element->angles > 0 || element->addresses > 0;
	if (element->behind)
		return "something stands behind an address";
	/* Python takes what is in quotes before a bracket for the address */
	if (element->quoted_at && element->bracket)
		return "a bracket beside an address in quotes";
	if (element->addresses == 0 && element->angles == 0)
		return "no address before or behind a comma";
	if (element->angles == 0 && (element->at || (element->addresses > 0 && element->words > 1)))
		return "something stands beside an address";
	return NULL;
}

static const char *
read_strictly(struct finder *finder, struct pn_str s)
{
	struct element element = { 0 };
	const char *why = NULL;

	while (why == NULL && (s = skip_space(s)).n > 0) {
		if (s.p[0] != ',') {
			why = take_token(finder, &s, &element);
			continue;
		}
		why = judge(finder, &element);
		element = (struct element){ 0 };
		s = pn_str_from(s, 1);
	}
	return why != NULL ? why : judge(finder, &element);
}

/* Line ends only where a fold is, and nothing that cuts a text short. */
static bool
is_clean(struct pn_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n')
			continue;
		if (c == '\n' && i + 1 < s.n && (s.p[i + 1] == ' ' || s.p[i + 1] == '\t'))
			continue;
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* -- all of them ------------------------------------------------------------------------------ */

static void
read_field(struct finder *finder, struct pn_str raw)
{
	struct pn_str text = pn_str_head(raw, PN_FROM_BYTES_MAX - finder->bytes), decoded;
	const char *why;

	finder->bytes += text.n;
	if (!is_clean(text))
		object(finder, "a control character in From");
	why = read_strictly(finder, text);
	if (why != NULL)
		object(finder, why);
	note_unquoted(finder, text);
	note_angles(finder, text);
	if (pn_header_value(PN_STR("Subject"), text, finder->arena, &decoded) == PN_OK)
		note_angles(finder, decoded);
}

/* An address that Odoo sees must have a domain that can be told; any other could be anybody's. */
static void
note_as_odoo(struct finder *finder, struct pn_str addr)
{
	size_t at = pn_str_find_last(addr, '@');
	struct pn_str domain = at == PN_STR_NONE ? PN_STR_EMPTY : pn_str_from(addr, at + 1);

	note_each_at(finder, addr);
	if (domain_at(domain).n < domain.n || !note(finder, domain))
		object(finder, "an address without a domain, as Odoo reads it");
}

/* The application's own reading. */
static enum pn_status
read_as_odoo(struct finder *finder, struct pn_fields fields)
{
	struct pn_mailboxes boxes = { NULL, 0 };
	enum pn_status status;
	struct pn_str text;

	if (finder->bytes == PN_FROM_BYTES_MAX) {
		object(finder, "a From that is too long");
		return PN_OK;
	}
	status = pn_message_value(fields, PN_STR("From"), PN_STR(","), finder->arena, &text);
	if (status == PN_OK)
		status = pn_address_split(text, finder->arena, &boxes);
	if (status == PN_LIMIT && pn_arena_exhausted(finder->arena))
		return PN_LIMIT;
	if (status != PN_OK)
		object(finder, "a From field that Odoo cannot read");
	for (size_t i = 0; i < boxes.n; i++)
		note_as_odoo(finder, boxes.v[i].addr);
	return PN_OK;
}

enum pn_status
pn_from_identity(struct pn_fields fields, struct pn_arena *arena, struct pn_from_identity *out)
{
	struct finder finder = { .arena = arena, .domains = { .arena = arena } };
	size_t n = 0;

	for (size_t i = 0; i < fields.n; i++)
		if (pn_str_eq_nocase(pn_str_trim(fields.v[i].name), PN_STR("From"))) {
			if (n++ > 0)
				object(&finder, "more than one From field");
			read_field(&finder, fields.v[i].raw);
		}
	if (n == 0)
		object(&finder, "no From field");
	else if (read_as_odoo(&finder, fields) != PN_OK || pn_arena_exhausted(arena))
		return PN_LIMIT;
	if (finder.strict == 0 || finder.domains.list.n == 0)
		object(&finder, "no address in From");
	if (finder.domains.list.n > 1)
		object(&finder, "more than one author domain");
	*out = (struct pn_from_identity){ .one = finder.why == NULL, .more = finder.more,
	    .domains = finder.domains.list, .why = finder.why };
	return PN_OK;
}
