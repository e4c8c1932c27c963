#include "spf_internal.h"

#include <arpa/inet.h>

enum { RECORD_MAX = 65535 };

/* -- networks -- */

/* Takes "/24" (or "//64", by `slashes`) off the end of *s, if it is there. */
static bool
take_bits(struct pn_str *s, struct pn_str slashes, uint64_t max, unsigned *bits)
{
	size_t at = s->n;
	struct pn_str digits;
	uint64_t value;

	while (at > 0 && pn_is_digit(s->p[at - 1]))
		at--;
	digits = pn_str_from(*s, at);
	if (digits.n == 0 || !pn_str_ends(pn_str_head(*s, at), slashes))
		return true;
	if (!pn_str_to_u64(digits, max, &value) || (digits.n > 1 && digits.p[0] == '0'))
		return false;
	s->n = at - slashes.n;
	*bits = (unsigned)value;
	return true;
}

static bool
parse_ip(struct pn_str s, int family, unsigned char *out)
{
	char text[INET6_ADDRSTRLEN];

	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, out) == 1;
}

static const char *
parse_network(struct pn_str rest, struct spf_term *term)
{
	bool is_ip4 = term->kind == SPF_IP4;
	unsigned *bits = is_ip4 ? &term->bits4 : &term->bits6;

	if (rest.n == 0 || rest.p[0] != ':')
		return "an address is missing";
	rest = pn_str_from(rest, 1);
	if (!take_bits(&rest, PN_STR("/"), is_ip4 ? 32 : 128, bits))
		return "no prefix length that can be";
	if (is_ip4)
		term->network[10] = term->network[11] = 0xff;
	if (!parse_ip(rest, is_ip4 ? AF_INET : AF_INET6, term->network + (is_ip4 ? 12 : 0)))
		return is_ip4 ? "no IPv4 address" : "no IPv6 address";
	return NULL;
}

/* -- mechanisms -- */

static const char *
parse_domain(struct pn_str rest, bool optional, struct spf_term *term)
{
	if (rest.n == 0 && optional)
		return NULL;
	if (rest.n == 0 || rest.p[0] != ':')
		return "a domain is missing";
	term->domain = pn_str_from(rest, 1);
	return spf_domain_is_valid(term->domain) ? NULL : "no domain that can be";
}

static const char *
parse_argument(struct pn_str rest, struct spf_term *term)
{
	switch (term->kind) {
	case SPF_ALL:
		return rest.n == 0 ? NULL : "\"all\" stands alone";
	case SPF_A:
	case SPF_MX:
		if (!take_bits(&rest, PN_STR("//"), 128, &term->bits6)
		    || !take_bits(&rest, PN_STR("/"), 32, &term->bits4))
			return "no prefix length that can be";
		return parse_domain(rest, true, term);
	case SPF_PTR:
		return parse_domain(rest, true, term);
	case SPF_INCLUDE:
	case SPF_EXISTS:
		return parse_domain(rest, false, term);
	case SPF_IP4:
	case SPF_IP6:
		return parse_network(rest, term);
	case SPF_REDIRECT:
	case SPF_EXP:
	case SPF_OTHER:
		break;
	}
	return "no mechanism";
}

static enum pn_spf_result
take_qualifier(struct pn_str *text)
{
	static const struct {
		char c;
		enum pn_spf_result result;
	} qualifiers[] = {
		{ '+', PN_SPF_PASS }, { '-', PN_SPF_FAIL }, { '~', PN_SPF_SOFTFAIL }, { '?', PN_SPF_NEUTRAL },
	};

	for (size_t i = 0; i < PN_COUNT(qualifiers) && text->n > 0; i++)
		if (text->p[0] == qualifiers[i].c) {
			*text = pn_str_from(*text, 1);
			return qualifiers[i].result;
		}
	return PN_SPF_PASS;
}

static const char *
parse_mechanism(struct pn_str text, struct spf_term *term)
{
	static const struct {
		struct pn_str name;
		enum spf_kind kind;
	} mechanisms[] = {
		{ PN_STR("all"), SPF_ALL }, { PN_STR("include"), SPF_INCLUDE }, { PN_STR("a"), SPF_A },
		{ PN_STR("mx"), SPF_MX }, { PN_STR("ptr"), SPF_PTR }, { PN_STR("ip4"), SPF_IP4 },
		{ PN_STR("ip6"), SPF_IP6 }, { PN_STR("exists"), SPF_EXISTS },
	};
	size_t n = 0;

	term->result = take_qualifier(&text);
	while (n < text.n && pn_is_alnum(text.p[n]))
		n++;
	for (size_t i = 0; i < PN_COUNT(mechanisms); i++)
		if (pn_str_eq_nocase(pn_str_head(text, n), mechanisms[i].name)) {
			term->kind = mechanisms[i].kind;
			return parse_argument(pn_str_from(text, n), term);
		}
	return "no mechanism";
}

/* -- modifiers -- */

static bool
is_modifier_name(struct pn_str s)
{
	if (s.n == 0 || !pn_is_alpha(s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!pn_is_alnum(s.p[i]) && memchr("-_.", s.p[i], 3) == NULL)
			return false;
	return true;
}

static const char *
parse_modifier(struct pn_str name, struct pn_str value, struct spf_term *term)
{
	term->kind = pn_str_eq_nocase(name, PN_STR("redirect")) ? SPF_REDIRECT
	    : pn_str_eq_nocase(name, PN_STR("exp")) ? SPF_EXP : SPF_OTHER;
	term->domain = value;
	if (term->kind == SPF_OTHER)
		return spf_macro_is_valid(value, SPF_IN_MODIFIER) ? NULL : "no macro that can be";
	return spf_domain_is_valid(value) ? NULL : "no domain that can be";
}

/* -- records -- */

static const char *
parse_term(struct pn_str text, struct spf_term *out)
{
	size_t equals = pn_str_find(text, '=');
	const char *why;

	*out = (struct spf_term){ .text = text, .bits4 = 32, .bits6 = 128 };
	if (equals != PN_STR_NONE && is_modifier_name(pn_str_head(text, equals)))
		why = parse_modifier(pn_str_head(text, equals), pn_str_from(text, equals + 1), out);
	else
		why = parse_mechanism(text, out);
	return why;
}

static bool
next_word(struct pn_str *rest, struct pn_str *word)
{
	do
		if (!pn_str_split(rest, ' ', word))
			return false;
	while (word->n == 0);
	return true;
}

bool
spf_next_term(struct pn_str *terms, struct spf_term *out)
{
	struct pn_str word;

	return next_word(terms, &word) && parse_term(word, out) == NULL;
}

static const struct pn_str version = PN_STR("v=spf1");

bool
spf_is_record(struct pn_str text)
{
	return pn_str_starts_nocase(text, version) && (text.n == version.n || text.p[version.n] == ' ');
}

static const char *
keep_modifier(const struct spf_term *term, struct pn_str *once)
{
	if (once->p != NULL)
		return "given twice";
	*once = term->domain;
	return NULL;
}

const char *
spf_parse(struct pn_str text, struct spf_record *out, struct pn_str *culprit)
{
	struct pn_str rest = pn_str_from(text, version.n);
	const char *why = NULL;

	*out = (struct spf_record){ .terms = rest };
	*culprit = PN_STR_EMPTY;
	if (text.n > RECORD_MAX)
		return "the record is too long";
	while (why == NULL && next_word(&rest, culprit)) {
		struct spf_term term;

		why = parse_term(*culprit, &term);
		if (why == NULL && term.kind == SPF_REDIRECT)
			why = keep_modifier(&term, &out->redirect);
		else if (why == NULL && term.kind == SPF_EXP)
			why = keep_modifier(&term, &out->exp);
	}
	return why;
}
