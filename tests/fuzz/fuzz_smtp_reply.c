/* The same bytes at once and in pieces give the same replies and the same end,
 * no text is over its limit, and a reply written again is read as it was. */
#include <stdlib.h>

#include "postern/smtp_reply.h"

struct outcome {
	struct pn_buf written;
	enum pn_status end;
	unsigned offers;
};

static void
write_reply(const struct pn_smtp_reply *reply, struct pn_buf *out)
{
	struct pn_str rest = pn_buf_str(&reply->text), line;

	while (pn_str_split(&rest, '\n', &line)) {
		pn_buf_addf(out, "%u%c", reply->code, rest.p == NULL ? ' ' : '-');
		pn_buf_add(out, line);
		pn_buf_add_c(out, "\r\n");
	}
}

static void
feed(struct pn_str in, size_t step, struct outcome *out)
{
	struct pn_smtp_reply reply;

	pn_smtp_reply_init(&reply);
	pn_buf_init(&out->written, 3 * in.n + 64);
	out->end = PN_NOT_FOUND;
	out->offers = 0;
	while (in.n > 0 && out->end == PN_NOT_FOUND) {
		struct pn_str piece = pn_str_head(in, step);

		in = pn_str_from(in, piece.n);
		while ((out->end = pn_smtp_reply_push(&reply, &piece)) == PN_OK) {
			if (reply.code < 200 || reply.code > 599 || reply.text.n > PN_SMTP_TEXT_MAX)
				abort();
			out->offers |= pn_smtp_offers(pn_buf_str(&reply.text));
			write_reply(&reply, &out->written);
		}
	}
	if (pn_buf_failed(&out->written))
		abort();
	pn_smtp_reply_done(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, pieces, again;
	struct pn_str in;

	if (size < 1)
		return 0;
	in = pn_str_n((const char *)data + 1, size - 1);
	feed(in, in.n + 1, &whole);
	feed(in, data[0] % 16 + 1, &pieces);
	if (whole.end != pieces.end || whole.offers != pieces.offers
	    || !pn_str_eq(pn_buf_str(&whole.written), pn_buf_str(&pieces.written)))
		abort();
	feed(pn_buf_str(&whole.written), in.n + 1, &again);
	if (again.offers != whole.offers
	    || !pn_str_eq(pn_buf_str(&again.written), pn_buf_str(&whole.written)))
		abort();
	pn_buf_done(&whole.written);
	pn_buf_done(&pieces.written);
	pn_buf_done(&again.written);
	return 0;
}
