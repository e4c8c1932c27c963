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

/* The address is taken from the first comment only, and only if nothing in it could
 * be another one: its HELO name is the client's own words. */
enum pn_status
pn_received_client(struct pn_str raw, unsigned char client[16], struct pn_str *helo)
{
	struct pn_str text = skip_blanks(pn_str_head(raw, FIELD_MAX)), comment;
	size_t end = 0, open, close;

	if (!pn_str_starts_nocase(text, PN_STR("from")) || text.n < 5 || !pn_is_space(text.p[4]))
		return PN_INVALID;
	text = skip_blanks(pn_str_from(text, 4));
	while (end < text.n && !pn_is_space(text.p[end]))
		end++;
	*helo = pn_str_head(text, end);
	text = skip_blanks(pn_str_from(text, end));
	if (helo->n == 0 || helo->p[0] == '(' || text.n == 0 || text.p[0] != '(')
		return PN_INVALID;
	close = pn_str_find(text, ')');
	if (close == PN_STR_NONE)
		return PN_INVALID;
	comment = pn_str_n(text.p + 1, close - 1);
	open = pn_str_find(comment, '[');
	close = pn_str_find(comment, ']');
	if (open == PN_STR_NONE || close == PN_STR_NONE || close < open || pn_str_find(comment, '(') != PN_STR_NONE
	    || pn_str_find_last(comment, '[') != open || pn_str_find_last(comment, ']') != close)
		return PN_INVALID;
	return parse_address(pn_str_n(comment.p + open + 1, close - open - 1), client) ? PN_OK : PN_INVALID;
}
