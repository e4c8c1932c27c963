/* Authentication-Results: the strict reader, and the one that trusts nobody. */
#include "postern/auth_results.h"

#include "postern/header_value.h"
#include "postern/idn.h"

/* -- the strict reader ----------------------------------------------------------------------- */

/* Comments and folding white space off *s; false for a comment without an end. */
static bool
skip_cfws(struct pn_str *s)
{
	size_t depth = 0, i = 0;

	for (; i < s->n && (depth > 0 || s->p[i] == '(' || pn_is_space(s->p[i])); i++) {
		if (s->p[i] == '(')
			depth++;
		else if (s->p[i] == ')')
			depth--;
		else if (s->p[i] == '\\' && depth > 0)
			i++;
	}
	if (depth > 0)
		return false;
	*s = pn_str_from(*s, i);
	return true;
}

static bool
take_char(struct pn_str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = pn_str_from(*s, 1);
	return true;
}

/* A word of letters, digits and hyphens: method, result, type, property. */
static bool
take_keyword(struct pn_str *s, struct pn_str *out)
{
	size_t n = 0;

	while (n < s->n && (pn_is_alnum(s->p[n]) || s->p[n] == '-' || s->p[n] == '_'))
		n++;
	*out = pn_str_head(*s, n);
	*s = pn_str_from(*s, n);
	return n > 0;
}

/* What ends a value that is not in quotes. */
static bool
is_value_char(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f && memchr("();\",\\", c, 6) == NULL;
}

/* The length of a value at the head of s: text in quotes, words, or both together ("a b"@c.example);
 * 0 for none, or one whose quotes do not end.  *escapes: it is not just its bytes. */
static size_t
value_length(struct pn_str s, bool *escapes)
{
	bool quoted = false;
	size_t i = 0;

	*escapes = false;
	for (; i < s.n && (quoted || s.p[i] == '"' || is_value_char(s.p[i])); i++) {
		if (s.p[i] == '"') {
			quoted = !quoted;
			*escapes = true;
		} else if (s.p[i] == '\\') {
			i++;
		}
	}
	return quoted || i > s.n ? 0 : i;
}

static struct pn_str
unquote(struct pn_str s, struct pn_arena *arena)
{
	char *text = pn_arena_alloc(arena, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\r' || s.p[i] == '\n')
			continue;
		i += s.p[i] == '\\';
		text[n++] = s.p[i];
	}
	return pn_str_n(text, n);
}

static bool
take_value(struct pn_str *s, struct pn_arena *arena, struct pn_str *out)
{
	bool escapes;
	size_t n = value_length(*s, &escapes);

	*out = escapes ? unquote(pn_str_head(*s, n), arena) : pn_str_head(*s, n);
	*s = pn_str_from(*s, n);
	return n > 0;
}

/* CFWS, "=", CFWS, value */
static bool
take_assigned(struct pn_str *s, struct pn_arena *arena, struct pn_str *out)
{
	return skip_cfws(s) && take_char(s, '=') && skip_cfws(s) && take_value(s, arena, out);
}

/* "/1" behind a method or an authserv-id that has a version; only version 1 is known. */
static bool
take_version(struct pn_str *s)
{
	struct pn_str version;

	return skip_cfws(s) && take_keyword(s, &version) && pn_str_eq(version, PN_STR("1")) && skip_cfws(s);
}

/* "reason=..." or "type.name=..." */
static enum pn_status
take_property(struct pn_str *s, struct pn_arena *arena, struct pn_auth_result *result)
{
	struct pn_auth_property property;

	if (!take_keyword(s, &property.type) || !skip_cfws(s))
		return PN_INVALID;
	if (s->n > 0 && s->p[0] == '=' && pn_str_eq_nocase(property.type, PN_STR("reason")))
		return take_assigned(s, arena, &result->reason) ? PN_OK : PN_INVALID;
	if (!take_char(s, '.') || !skip_cfws(s) || !take_keyword(s, &property.name)
	    || !take_assigned(s, arena, &property.value))
		return PN_INVALID;
	if (result->n == PN_AUTH_PROPERTIES_MAX)
		return PN_LIMIT;
	result->properties[result->n++] = property;
	return PN_OK;
}

static enum pn_status
take_result(struct pn_str *s, struct pn_arena *arena, struct pn_auth_result *result)
{
	enum pn_status status = PN_OK;

	*result = (struct pn_auth_result){ .reason = PN_STR_EMPTY,
	    .properties = PN_ARENA_ARRAY(arena, struct pn_auth_property, PN_AUTH_PROPERTIES_MAX) };
	if (!take_keyword(s, &result->method) || !skip_cfws(s) || (take_char(s, '/') && !take_version(s))
	    || !take_char(s, '=') || !skip_cfws(s) || !take_keyword(s, &result->result))
		return PN_INVALID;
	while (status == PN_OK && skip_cfws(s) && s->n > 0 && s->p[0] != ';')
		status = take_property(s, arena, result);
	return status != PN_OK || skip_cfws(s) ? status : PN_INVALID;
}

/* "authserv-id [version]" */
static bool
take_head(struct pn_str *s, struct pn_arena *arena, struct pn_str *authserv_id)
{
	if (!skip_cfws(s) || !take_value(s, arena, authserv_id) || !skip_cfws(s))
		return false;
	return s->n == 0 || s->p[0] == ';' || take_version(s);
}

/* "none" and nothing else */
static bool
is_no_result(struct pn_str s)
{
	struct pn_str word;

	return take_keyword(&s, &word) && pn_str_eq_nocase(word, PN_STR("none")) && skip_cfws(&s) && s.n == 0;
}

enum pn_status
pn_auth_results_parse(struct pn_str raw, struct pn_arena *arena, struct pn_auth_results *out)
{
	struct pn_auth_results found = { 0 };
	enum pn_status status = PN_OK;

	if (raw.n > PN_AUTH_RESULTS_BYTES_MAX)
		return PN_LIMIT;
	if (memchr(raw.p, '\0', raw.n) != NULL || !take_head(&raw, arena, &found.authserv_id) || raw.n == 0)
		return PN_INVALID;
	found.v = PN_ARENA_ARRAY(arena, struct pn_auth_result, PN_AUTH_RESULTS_MAX);
	while (status == PN_OK && raw.n > 0) {
		if (!take_char(&raw, ';') || !skip_cfws(&raw))
			return PN_INVALID;
		if (found.n == 0 ? is_no_result(raw) : raw.n == 0)
			break;
		if (found.n == PN_AUTH_RESULTS_MAX || pn_arena_exhausted(arena))
			return PN_LIMIT;
		status = take_result(&raw, arena, &found.v[found.n++]);
	}
	if (status == PN_OK)
		*out = found;
	return status;
}

/* -- the reader that trusts nobody -------------------------------------------------------------- */

/* More than any honest name before the first ";" takes: somebody is hiding something. */
enum { HEAD_MAX = 4096, FOREIGN_WORDS_MAX = 8 };

/* What stands before the first ";" that is in no comment and in no quotes. */
static struct pn_str
head_of(struct pn_str raw)
{
	bool quoted = false;
	size_t depth = 0;

	for (size_t i = 0; i < raw.n && i <= HEAD_MAX; i++) {
		char c = raw.p[i];

		if (c == '\\')
			i++;
		else if (c == '"' && depth == 0)
			quoted = !quoted;
		else if (c == '(' && !quoted)
			depth++;
		else if (c == ')' && !quoted && depth > 0)
			depth--;
		else if (c == ';' && !quoted && depth == 0)
			return pn_str_head(raw, i);
	}
	return raw;
}

static struct pn_str
without_comments(struct pn_str s, struct pn_arena *arena)
{
	char *text = pn_arena_alloc(arena, s.n + 1);
	size_t n = 0, depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		depth += s.p[i] == '(';
		if (depth == 0)
			text[n++] = s.p[i];
		else if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == ')')
			depth--;
	}
	return pn_str_n(text, n);
}

static bool
is_name_char(char c)
{
	return pn_is_alnum(c) || c == '-' || c == '_' || c == '.' || (unsigned char)c >= 0x80;
}

/* What a careless reader drops from the middle of a name. */
static bool
is_dropped(char c)
{
	return (unsigned char)c <= ' ' || c == 0x7f || c == '"' || c == '\\';
}

/* Does the name stand at the head of s, as a whole? */
static bool
begins_with_name(struct pn_str s, struct pn_str name)
{
	size_t at = 0;

	for (size_t i = 0; i < name.n; i++) {
		while (i > 0 && at < s.n && is_dropped(s.p[at]) && s.p[at] != name.p[i])
			at++;
		if (at == s.n || pn_to_lower(s.p[at]) != pn_to_lower(name.p[i]))
			return false;
		at++;
	}
	if (at < s.n && s.p[at] == '.')
		at++;
	return at == s.n || !is_name_char(s.p[at]);
}

/* The same domain in another spelling: U-labels, full-width letters, other dots. */
static bool
is_same_domain(struct pn_str word, struct pn_str name, struct pn_arena *arena)
{
	struct pn_str a, b;

	return pn_domain_to_ascii(word, arena, &a) == PN_OK && pn_domain_to_ascii(name, arena, &b) == PN_OK
	    && pn_str_eq(a, b);
}

static bool
mentions(struct pn_str s, struct pn_str name, struct pn_arena *arena)
{
	unsigned foreign = 0;

	for (size_t i = 0, n; i < s.n; i += n > 0 ? n : 1) {
		struct pn_str rest = pn_str_from(s, i);

		if (begins_with_name(rest, name))
			return true;
		for (n = 0; n < rest.n && is_name_char(rest.p[n]); n++)
			;
		rest = pn_str_head(rest, n);
		if (!pn_str_is_ascii(rest) && (++foreign > FOREIGN_WORDS_MAX || is_same_domain(rest, name,
		    arena)))
			return true;
	}
	return false;
}

bool
pn_auth_results_claims(struct pn_str raw, struct pn_str authserv_id, struct pn_arena *arena)
{
	struct pn_str head = head_of(raw), decoded;

	if (head.n > HEAD_MAX)
		return true;
	if (mentions(head, authserv_id, arena) || mentions(without_comments(head, arena), authserv_id, arena))
		return true;
	return pn_header_value(PN_STR("Subject"), head, arena, &decoded) == PN_OK
	    && (mentions(decoded, authserv_id, arena)
		|| mentions(without_comments(decoded, arena), authserv_id, arena));
}

static bool
is_auth_results(const struct pn_field *field)
{
	return pn_str_eq_nocase(pn_str_trim(field->name), PN_STR("Authentication-Results"));
}

enum pn_status
pn_auth_results_forged(struct pn_fields fields, struct pn_str authserv_id, struct pn_arena *arena,
    size_t **indexes, size_t *n)
{
	size_t number = 0, count = 0, *list;

	for (size_t i = 0; i < fields.n; i++)
		number += is_auth_results(&fields.v[i]);
	list = PN_ARENA_ARRAY(arena, size_t, number + 1);
	for (size_t i = fields.n; i-- > 0 && !pn_arena_exhausted(arena);) {
		if (!is_auth_results(&fields.v[i]))
			continue;
		if (pn_auth_results_claims(fields.v[i].raw, authserv_id, arena))
			list[count++] = number;
		number--;
	}
	if (pn_arena_exhausted(arena))
		return PN_LIMIT;
	*indexes = list;
	*n = count;
	return PN_OK;
}

static bool
tells(const struct pn_auth_results *results, size_t n, struct pn_str method)
{
	for (size_t i = 0; i < n; i++)
		if (pn_str_eq_nocase(results->v[i].method, method))
			return true;
	return false;
}

/* What a field tells of methods that no field above it has told of. */
static void
add_told(struct pn_auth_results *all, const struct pn_auth_results *more)
{
	size_t above = all->n;

	for (size_t i = 0; i < more->n && all->n < PN_AUTH_RESULTS_MAX; i++)
		if (!tells(all, above, more->v[i].method))
			all->v[all->n++] = more->v[i];
}

/* The field at fields.v[i], if it is of that filter. */
static enum pn_status
read_trusted(struct pn_fields fields, size_t i, struct pn_str authserv_id, struct pn_arena *arena,
    struct pn_auth_results *out)
{
	enum pn_status status;

	if (!is_auth_results(&fields.v[i]) || !pn_auth_results_claims(fields.v[i].raw, authserv_id, arena))
		return PN_NOT_FOUND;
	status = pn_auth_results_parse(fields.v[i].raw, arena, out);
	return status == PN_OK && !pn_str_eq_nocase(out->authserv_id, authserv_id) ? PN_INVALID : status;
}

enum pn_status
pn_auth_results_trusted(struct pn_fields fields, struct pn_str authserv_id, struct pn_arena *arena,
    struct pn_auth_results *out)
{
	enum pn_status status = PN_NOT_FOUND;
	struct pn_auth_results all, more;
	size_t i = 0;

	while (i < fields.n && status == PN_NOT_FOUND)
		status = read_trusted(fields, i++, authserv_id, arena, &all);
	if (status != PN_OK)
		return status;
	while (i < fields.n && read_trusted(fields, i++, authserv_id, arena, &more) == PN_OK)
		add_told(&all, &more);
	*out = all;
	return PN_OK;
}
