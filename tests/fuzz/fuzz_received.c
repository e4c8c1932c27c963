/* Any text as a Received field. */
#include <assert.h>
#include <stdint.h>

#include "postern/authenticate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first two comments tell all: what stands behind them, another server's words or a
 * forger's, changes nothing. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_str text = { (const char *)data, size }, rest = text, helo = PN_STR_EMPTY, comment;
	unsigned char client[16], again[16];

	if (pn_received_client(text, client, &helo) != PN_OK)
		return 0;
	assert(pn_str_contains(text, helo));
	assert(pn_str_split(&rest, ')', &comment));
	(void)pn_str_split(&rest, ')', &comment);
	text = pn_str_head(text, (size_t)(comment.p + comment.n + 1 - text.p));
	assert(pn_received_client(text, again, &helo) == PN_OK);
	assert(memcmp(client, again, sizeof(client)) == 0);
	return 0;
}
