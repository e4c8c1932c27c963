/* The same bytes at once and in pieces give the same frames, none longer than
 * the maximum, and each frame written again is what stood in the input. */
#include <stdlib.h>

#include "postern/netstring.h"

enum { MAX = 300 };

struct outcome {
	struct pn_buf frames;
	enum pn_status end;
};

static void
feed(struct pn_str in, size_t step, struct outcome *out)
{
	struct pn_netstring netstring;
	struct pn_str content;

	pn_netstring_init(&netstring, MAX);
	pn_buf_init(&out->frames, in.n + 64);
	out->end = PN_NOT_FOUND;
	while (in.n > 0 && out->end == PN_NOT_FOUND) {
		struct pn_str piece = pn_str_head(in, step);

		in = pn_str_from(in, piece.n);
		while ((out->end = pn_netstring_push(&netstring, &piece, &content)) == PN_OK) {
			if (content.n > MAX)
				abort();
			pn_netstring_add(&out->frames, content);
		}
	}
	pn_netstring_done(&netstring);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_str in;
	struct outcome whole, pieces;

	if (size < 1)
		return 0;
	in = pn_str_n((const char *)data + 1, size - 1);
	feed(in, in.n + 1, &whole);
	feed(in, data[0] % 16 + 1, &pieces);
	if (whole.end != pieces.end || !pn_str_eq(pn_buf_str(&whole.frames), pn_buf_str(&pieces.frames)))
		abort();
	if (pn_buf_failed(&whole.frames) || !pn_str_starts(in, pn_buf_str(&whole.frames)))
		abort();
	pn_buf_done(&whole.frames);
	pn_buf_done(&pieces.frames);
	return 0;
}
