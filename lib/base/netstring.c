#include "postern/netstring.h"

enum { MAX_DIGITS = 9 };

void
pn_netstring_init(struct pn_netstring *netstring, size_t max)
{
	*netstring = (struct pn_netstring){ .state = PN_NETSTRING_LENGTH };
	pn_buf_init(&netstring->content, max);
}

void
pn_netstring_done(struct pn_netstring *netstring)
{
	pn_buf_done(&netstring->content);
}

bool
pn_netstring_is_partial(const struct pn_netstring *netstring)
{
	return netstring->state == PN_NETSTRING_CONTENT
	    || (netstring->state == PN_NETSTRING_LENGTH && netstring->digits > 0);
}

static enum pn_status
broken(struct pn_netstring *netstring, enum pn_status st)
{
	netstring->state = PN_NETSTRING_BROKEN;
	return st;
}

static enum pn_status
push_length(struct pn_netstring *netstring, struct pn_str *in)
{
	while (in->n > 0) {
		char c = in->p[0];

		*in = pn_str_from(*in, 1);
		if (c == ':' && netstring->digits > 0) {
			netstring->state = PN_NETSTRING_CONTENT;
			return PN_OK;
		}
		/* One spelling per length: "05:" is none. */
		if (!pn_is_digit(c) || (netstring->digits > 0 && netstring->length == 0))
			return broken(netstring, PN_INVALID);
		netstring->length = netstring->length * 10 + (size_t)(c - '0');
		if (++netstring->digits > MAX_DIGITS || netstring->length > netstring->content.max)
			return broken(netstring, PN_LIMIT);
	}
	return PN_NOT_FOUND;
}

static enum pn_status
push_content(struct pn_netstring *netstring, struct pn_str *in)
{
	size_t missing = netstring->length - netstring->content.n;
	struct pn_str part = pn_str_head(*in, missing);

	pn_buf_add(&netstring->content, part);
	*in = pn_str_from(*in, part.n);
	if (in->n == 0)
		return PN_NOT_FOUND;
	if (in->p[0] != ',')
		return broken(netstring, PN_INVALID);
	*in = pn_str_from(*in, 1);
	return PN_OK;
}

enum pn_status
pn_netstring_push(struct pn_netstring *netstring, struct pn_str *in, struct pn_str *content)
{
	enum pn_status st;

	if (netstring->state == PN_NETSTRING_BROKEN)
		return PN_INVALID;
	if (netstring->state == PN_NETSTRING_DONE) {
		netstring->state = PN_NETSTRING_LENGTH;
		netstring->digits = 0;
		netstring->length = 0;
		pn_buf_reset(&netstring->content);
	}
	if (netstring->state == PN_NETSTRING_LENGTH) {
		st = push_length(netstring, in);
		if (st != PN_OK)
			return st;
	}
	st = push_content(netstring, in);
	if (st != PN_OK)
		return st;
	netstring->state = PN_NETSTRING_DONE;
	*content = pn_buf_str(&netstring->content);
	return PN_OK;
}

void
pn_netstring_add(struct pn_buf *out, struct pn_str content)
{
	pn_buf_addf(out, "%zu:", content.n);
	pn_buf_add(out, content);
	pn_buf_add_char(out, ',');
}
