/* Who stood before a trusted relay, as its Received field says. */
#include <arpa/inet.h>
#include <string.h>

#include "postern/authenticate.h"

enum { FIELD_MAX = 8192, ADDRESS_MAX = 64 };

static bool
parse_address(struct pn_str text, unsigned char client[16])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	char copy[ADDRESS_MAX];

	if (pn_str_starts_nocase(text, PN_STR("IPv6:")))
		text = pn_str_from(text, 5);
	if (text.n == 0 || text.n >= sizeof(copy) || memchr(text.p, '\0', text.n) != NULL)
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	if (inet_pton(AF_INET6, copy, client) == 1)
		return true;
	memcpy(client, mapped, sizeof(mapped));
	return inet_pton(AF_INET, copy, client + sizeof(mapped)) == 1;
}

static struct pn_str
skip_blanks(struct pn_str text)
{
	while (text.n > 0 && pn_is_space(text.p[0]))
		text = pn_str_from(text, 1);
	return text;
}

static struct pn_str
take_word(struct pn_str *text)
{
	struct pn_str word;
	size_t n = 0;

	while (n < text->n && !pn_is_space(text->p[n]))
		n++;
	word = pn_str_head(*text, n);
	*text = skip_blanks(pn_str_from(*text, n));
	return word;
}

/* "[ADDRESS]", perhaps with ":PORT" */
static bool
parse_literal(struct pn_str text, unsigned char client[16])
{
	size_t end = pn_str_find(text, ']');

	if (end == PN_STR_NONE || text.p[0] != '[')
		return false;
	if (end + 1 < text.n && text.p[end + 1] != ':' && !pn_is_space(text.p[end + 1]))
		return false;
	return parse_address(pn_str_n(text.p + 1, end - 1), client);
}

/* Behind the address: its port, and words among which only a HELO name has a bracket. */
static bool
is_tail(struct pn_str text)
{
	while (text.n > 0) {
		struct pn_str word = take_word(&text);

		if (pn_str_find(word, '[') != PN_STR_NONE && !pn_str_starts(word, PN_STR("helo=")))
			return false;
	}
	return true;
}

/* What the server says of the client, up to the first ")". */
static bool
parse_comment(struct pn_str helo, struct pn_str comment, unsigned char client[16])
{
	size_t n = 0;

	while (n < comment.n && (pn_is_alnum(comment.p[n]) || memchr("._-:@", comment.p[n], 5) != NULL))
		n++;
	/* Exchange, qmail: (ADDRESS) */
	if (n == comment.n)
		return parse_address(comment, client);
	/* Exim, of a client that has no name: from [ADDRESS] (helo=NAME) */
	if (pn_str_starts(comment, PN_STR("helo=")) || pn_str_starts(comment, PN_STR("port=")))
		return is_tail(comment) && parse_literal(helo, client);
	/* Postfix, sendmail: (NAME [ADDRESS]), perhaps with "(may be forged)"; Exim: ([ADDRESS]:PORT helo=NAME) */
	comment = skip_blanks(pn_str_from(comment, n));
	return is_tail(pn_str_from(comment, 1)) && parse_literal(comment, client);
}

/* What stands in parentheses, off *text with the blanks behind it. */
static bool
take_comment(struct pn_str *text, struct pn_str *comment)
{
	size_t end = pn_str_find(*text, ')');

	if (end == PN_STR_NONE || text->p[0] != '(')
		return false;
	*comment = pn_str_n(text->p + 1, end - 1);
	*text = skip_blanks(pn_str_from(*text, end + 1));
	return true;
}

/* qmail tells of a HELO that is not the client's name: from NAME (HELO NAME) (ADDRESS) */
static bool
is_helo(struct pn_str comment, struct pn_str *helo)
{
	if (!pn_str_eq(take_word(&comment), PN_STR("HELO")))
		return false;
	*helo = take_word(&comment);
	return helo->n > 0 && comment.n == 0;
}

/* The address is taken from its own place in the first comment only, and only if nothing
 * before it could be another one: its HELO name is the client's own words. */
enum pn_status
pn_received_client(struct pn_str raw, unsigned char client[16], struct pn_str *helo)
{
	struct pn_str text = skip_blanks(pn_str_head(raw, FIELD_MAX)), name, comment;
	size_t at;

	if (!pn_str_eq_nocase(take_word(&text), PN_STR("from")))
		return PN_INVALID;
	name = take_word(&text);
	if (name.n == 0 || pn_str_find(name, '(') != PN_STR_NONE || pn_str_find(name, ')') != PN_STR_NONE
	    || !take_comment(&text, &comment))
		return PN_INVALID;
	if (is_helo(comment, &name) ? !take_comment(&text, &comment) || !parse_address(comment, client)
	    : !parse_comment(name, comment, client))
		return PN_INVALID;
	at = pn_str_find_str(comment, PN_STR("helo="));
	if (at != PN_STR_NONE) {
		comment = pn_str_from(comment, at + 5);
		name = take_word(&comment);
	}
	*helo = name;
	return PN_OK;
}
