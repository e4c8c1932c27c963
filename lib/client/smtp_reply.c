#include "postern/smtp_reply.h"

void
pn_smtp_reply_init(struct pn_smtp_reply *reply)
{
	*reply = (struct pn_smtp_reply){ .code = 0 };
	pn_buf_init(&reply->text, PN_SMTP_TEXT_MAX);
	pn_buf_init(&reply->line, PN_SMTP_LINE_MAX);
}

/* A server may echo what it was sent, a password too. */
static void
wipe(struct pn_buf *buf)
{
	if (buf->p != NULL)
		explicit_bzero(buf->p, buf->cap);
	pn_buf_done(buf);
}

void
pn_smtp_reply_done(struct pn_smtp_reply *reply)
{
	wipe(&reply->text);
	wipe(&reply->line);
}

bool
pn_smtp_reply_is_partial(const struct pn_smtp_reply *reply)
{
	return !reply->complete && (reply->lines > 0 || reply->line.n > 0);
}

/* "250 text", "250-text" or "250": the code, or 0. */
static unsigned
read_code(struct pn_str line)
{
	uint64_t code;

	if (!pn_str_to_u64(pn_str_head(line, 3), 599, &code) || code < 200)
		return 0;
	return line.n < 3 || (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-') ? 0 : (unsigned)code;
}

static enum pn_status
end_line(struct pn_smtp_reply *reply)
{
	struct pn_str line = pn_buf_str(&reply->line);
	unsigned code;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	code = read_code(line);
	if (code == 0 || (reply->lines > 0 && code != reply->code))
		return PN_INVALID;
	reply->code = code;
	if (reply->lines++ > 0)
		pn_buf_add_char(&reply->text, '\n');
	pn_buf_add(&reply->text, pn_str_from(line, 4));
	reply->complete = line.n == 3 || line.p[3] == ' ';
	pn_buf_reset(&reply->line);
	if (pn_buf_failed(&reply->text))
		return PN_LIMIT;
	return reply->complete ? PN_OK : PN_NOT_FOUND;
}

static enum pn_status
push_lines(struct pn_smtp_reply *reply, struct pn_str *in)
{
	enum pn_status st = PN_NOT_FOUND;

	while (in->n > 0 && st == PN_NOT_FOUND) {
		size_t end = pn_str_find(*in, '\n');

		pn_buf_add(&reply->line, pn_str_head(*in, end));
		if (pn_buf_failed(&reply->line))
			return PN_LIMIT;
		*in = pn_str_from(*in, end == PN_STR_NONE ? in->n : end + 1);
		if (end != PN_STR_NONE)
			st = end_line(reply);
	}
	return st;
}

enum pn_status
pn_smtp_reply_push(struct pn_smtp_reply *reply, struct pn_str *in)
{
	enum pn_status st;

	if (reply->broken)
		return PN_INVALID;
	if (reply->complete) {
		reply->complete = false;
		reply->code = 0;
		reply->lines = 0;
		pn_buf_reset(&reply->text);
	}
	st = push_lines(reply, in);
	reply->broken = st == PN_INVALID || st == PN_LIMIT;
	return st;
}

/* -- EHLO ----------------------------------------------------------------------------- */

static const struct {
	struct pn_str word;
	unsigned offer;
} mechanisms[] = {
	{ { "PLAIN", 5 }, PN_SMTP_PLAIN },
	{ { "LOGIN", 5 }, PN_SMTP_LOGIN },
	{ { "XOAUTH2", 7 }, PN_SMTP_XOAUTH2 },
	{ { "OAUTHBEARER", 11 }, PN_SMTP_OAUTHBEARER },
};

static unsigned
read_mechanisms(struct pn_str words)
{
	unsigned offers = 0;
	struct pn_str word;

	while (pn_str_split(&words, ' ', &word))
		for (size_t i = 0; i < PN_COUNT(mechanisms); i++)
			if (pn_str_eq_nocase(word, mechanisms[i].word))
				offers |= mechanisms[i].offer;
	return offers;
}

unsigned
pn_smtp_offers(struct pn_str text)
{
	unsigned offers = 0;
	struct pn_str line;

	(void)pn_str_split(&text, '\n', &line);
	while (pn_str_split(&text, '\n', &line)) {
		line = pn_str_trim(line);
		if (pn_str_eq_nocase(line, PN_STR("STARTTLS")))
			offers |= PN_SMTP_STARTTLS;
		else if (pn_str_starts_nocase(line, PN_STR("AUTH "))
		    || pn_str_starts_nocase(line, PN_STR("AUTH=")))
			offers |= read_mechanisms(pn_str_from(line, 5));
	}
	return offers;
}
