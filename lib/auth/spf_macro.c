#include "spf_internal.h"

#include <arpa/inet.h>

enum { NAME_MAX_BYTES = 253 };

/* -- syntax -- */

static bool
is_literal(char c, enum spf_macro_use use)
{
	return (c > ' ' && c < 0x7f && c != '%') || (c == ' ' && use == SPF_IN_EXPLANATION);
}

/* "%%", "%_", "%-" */
static bool
take_stand_in(char c, struct pn_str *text)
{
	*text = c == '%' ? PN_STR("%") : c == '_' ? PN_STR(" ") : c == '-' ? PN_STR("%20") : PN_STR_EMPTY;
	return text->n > 0;
}

/* How many parts are kept; more digits than fit keep all of them. */
static bool
take_keep(struct pn_str *inner, uint64_t *keep)
{
	size_t n = 0;

	*keep = UINT64_MAX;
	while (n < inner->n && pn_is_digit(inner->p[n]))
		n++;
	if (n > 0 && !pn_str_to_u64(pn_str_head(*inner, n), UINT64_MAX, keep))
		*keep = UINT64_MAX;
	*inner = pn_str_from(*inner, n);
	return *keep > 0;
}

/* Between "%{" and "}". */
static bool
parse_braces(struct pn_str inner, enum spf_macro_use use, struct spf_piece *out)
{
	static const char letters[] = "slodiphvcrt";
	size_t known = use == SPF_IN_DOMAIN ? 8 : 11;

	if (inner.n == 0)
		return false;
	out->letter = pn_to_lower(inner.p[0]);
	out->escape = pn_is_upper(inner.p[0]);
	if (memchr(letters, out->letter, known) == NULL)
		return false;
	inner = pn_str_from(inner, 1);
	if (!take_keep(&inner, &out->keep))
		return false;
	out->reverse = inner.n > 0 && pn_to_lower(inner.p[0]) == 'r';
	out->delimiters = pn_str_from(inner, out->reverse ? 1 : 0);
	for (size_t i = 0; i < out->delimiters.n; i++)
		if (memchr(".-+,/_=", out->delimiters.p[i], 7) == NULL)
			return false;
	if (out->delimiters.n == 0)
		out->delimiters = PN_STR(".");
	return true;
}

bool
spf_macro_next(struct pn_str *rest, enum spf_macro_use use, struct spf_piece *out)
{
	struct pn_str s = *rest;
	size_t n = 0;

	*out = (struct spf_piece){ .is_macro = s.n > 0 && s.p[0] == '%' };
	if (out->is_macro && s.n > 1 && s.p[1] == '{') {
		n = pn_str_find(s, '}');
		if (n == PN_STR_NONE || !parse_braces(pn_str_n(s.p + 2, n - 2), use, out))
			return false;
		n++;
	} else if (out->is_macro) {
		if (s.n < 2 || !take_stand_in(s.p[1], &out->text))
			return false;
		n = 2;
	} else {
		while (n < s.n && is_literal(s.p[n], use))
			n++;
		if (n == 0 || (n < s.n && s.p[n] != '%'))
			return false;
		out->text = pn_str_head(s, n);
	}
	*rest = pn_str_from(s, n);
	return true;
}

bool
spf_macro_is_valid(struct pn_str text, enum spf_macro_use use)
{
	struct spf_piece piece;

	while (text.n > 0)
		if (!spf_macro_next(&text, use, &piece))
			return false;
	return true;
}

/* Letters, digits and inner hyphens, and not digits only. */
static bool
is_top_label(struct pn_str s)
{
	bool only_digits = true;

	if (s.n == 0 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!pn_is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
		only_digits = only_digits && pn_is_digit(s.p[i]);
	}
	return !only_digits;
}

bool
spf_domain_is_valid(struct pn_str text)
{
	struct spf_piece last = { .is_macro = false };
	struct pn_str end;
	size_t dot;

	while (text.n > 0)
		if (!spf_macro_next(&text, SPF_IN_DOMAIN, &last))
			return false;
	if (last.is_macro)
		return true;
	end = last.text;
	if (pn_str_ends(end, PN_STR(".")))
		end.n--;
	dot = pn_str_find_last(end, '.');
	return dot != PN_STR_NONE && is_top_label(pn_str_from(end, dot + 1));
}

/* -- values -- */

/* "192.0.2.1"; for IPv6 nibbles with dots between. */
static struct pn_str
dotted_client(struct spf *spf)
{
	static const char hex[] = "0123456789ABCDEF";
	const unsigned char *ip = spf->q->client;
	char text[64];

	if (spf->is_ip4)
		return pn_arena_printf(spf->arena, "%u.%u.%u.%u", ip[12], ip[13], ip[14], ip[15]);
	for (size_t i = 0; i < 16; i++) {
		text[4 * i] = hex[ip[i] >> 4];
		text[4 * i + 2] = hex[ip[i] & 15];
		text[4 * i + 1] = text[4 * i + 3] = '.';
	}
	return pn_arena_dup(spf->arena, pn_str_n(text, sizeof(text) - 1));
}

static struct pn_str
readable_client(struct spf *spf)
{
	char text[INET6_ADDRSTRLEN];

	if (spf->is_ip4)
		return dotted_client(spf);
	(void)inet_ntop(AF_INET6, spf->q->client, text, sizeof(text));
	return pn_arena_dup(spf->arena, pn_str_c(text));
}

static bool
is_below(struct pn_str name, struct pn_str domain)
{
	return name.n > domain.n && name.p[name.n - domain.n - 1] == '.'
	    && pn_str_eq_nocase(pn_str_from(name, name.n - domain.n), domain);
}

/* The name that is the domain, else one below it, else any (section 7.3). */
static struct pn_str
best_name(struct spf *spf)
{
	struct pn_strs names = spf_names(spf);
	struct pn_str best = names.n > 0 ? names.v[0] : PN_STR("unknown");
	bool below = false;

	for (size_t i = 0; i < names.n; i++) {
		if (pn_str_eq_nocase(names.v[i], spf->domain))
			return names.v[i];
		if (!below && is_below(names.v[i], spf->domain)) {
			below = true;
			best = names.v[i];
		}
	}
	return best;
}

static struct pn_str
macro_value(struct spf *spf, char letter)
{
	const struct pn_spf_question *q = spf->q;

	switch (letter) {
	case 's': return spf->sender;
	case 'l': return spf->local;
	case 'o': return spf->sender_domain;
	case 'd': return spf->domain;
	case 'i': return dotted_client(spf);
	case 'p': return best_name(spf);
	case 'h': return q->helo;
	case 'v': return spf->is_ip4 ? PN_STR("in-addr") : PN_STR("ip6");
	case 'c': return readable_client(spf);
	case 'r': return q->receiver.n > 0 ? q->receiver : PN_STR("unknown");
	default: return pn_arena_printf(spf->arena, "%lld", (long long)q->now);
	}
}

/* -- expansion -- */

static void
add_part(struct pn_buf *out, struct pn_str part, const struct spf_piece *piece)
{
	for (size_t i = 0; i < part.n; i++) {
		char c = part.p[i];

		if (!piece->escape || pn_is_alnum(c) || (c != '\0' && memchr("-._~", c, 4) != NULL))
			pn_buf_add_char(out, c);
		else
			pn_buf_addf(out, "%%%02X", (unsigned)(unsigned char)c);
	}
}

static bool
is_delimiter(const struct spf_piece *piece, char c)
{
	return memchr(piece->delimiters.p, c, piece->delimiters.n) != NULL;
}

/* The last `keep` parts of the value, in their order. */
static void
add_forward(struct pn_buf *out, struct pn_str value, const struct spf_piece *piece)
{
	size_t from = value.n, parts = 0, end;

	while (from > 0 && !(is_delimiter(piece, value.p[from - 1]) && ++parts >= piece->keep))
		from--;
	for (value = pn_str_from(value, from);; value = pn_str_from(value, end + 1)) {
		for (end = 0; end < value.n && !is_delimiter(piece, value.p[end]);)
			end++;
		add_part(out, pn_str_head(value, end), piece);
		if (end == value.n)
			break;
		pn_buf_add_char(out, '.');
	}
}

/* The first `keep` parts of the value, the last of them first: what is reversed is cut at its right. */
static void
add_reversed(struct pn_buf *out, struct pn_str value, const struct spf_piece *piece)
{
	size_t end = 0, parts = 0, from;

	while (end < value.n && !(is_delimiter(piece, value.p[end]) && ++parts >= piece->keep))
		end++;
	for (value = pn_str_head(value, end);; value = pn_str_head(value, from - 1)) {
		for (from = value.n; from > 0 && !is_delimiter(piece, value.p[from - 1]);)
			from--;
		add_part(out, pn_str_from(value, from), piece);
		if (from == 0)
			break;
		pn_buf_add_char(out, '.');
	}
}

void
spf_macro_expand(struct spf *spf, struct pn_str text, enum spf_macro_use use, struct pn_buf *out)
{
	struct spf_piece piece;

	while (text.n > 0 && !pn_buf_failed(out) && spf_macro_next(&text, use, &piece)) {
		if (piece.letter == 0)
			pn_buf_add(out, piece.text);
		else
			(piece.reverse ? add_reversed : add_forward)(out, macro_value(spf, piece.letter),
			    &piece);
	}
}

enum pn_status
spf_target(struct spf *spf, struct pn_str domain_spec, struct pn_str *out)
{
	struct pn_buf buf;
	struct pn_str name;
	bool failed;

	if (domain_spec.p == NULL) {
		*out = spf->domain;
		return PN_OK;
	}
	pn_buf_init(&buf, SPF_TEXT_MAX);
	spf_macro_expand(spf, domain_spec, SPF_IN_DOMAIN, &buf);
	name = pn_buf_str(&buf);
	if (pn_str_ends(name, PN_STR(".")))
		name.n--;
	while (name.n > NAME_MAX_BYTES && pn_str_find(name, '.') != PN_STR_NONE)
		name = pn_str_from(name, pn_str_find(name, '.') + 1);
	failed = pn_buf_failed(&buf);
	if (failed)
		spf_explain_error(spf, "macros that grow too long in", spf->domain);
	else
		*out = pn_arena_dup(spf->arena, name);
	pn_buf_done(&buf);
	return failed ? PN_LIMIT : PN_OK;
}
