/* Any text as a Received field. */
#include <assert.h>
#include <stdint.h>

#include "postern/authenticate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An address that is taken stands in the text, as a word of its own or in brackets. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_str text = { (const char *)data, size }, helo = PN_STR_EMPTY;
	unsigned char client[16], again[16];

	if (pn_received_client(text, client, &helo) == PN_OK) {
		assert(pn_str_contains(text, helo));
		assert(pn_str_find(text, '(') < pn_str_find(text, ')'));
		/* what a server behind it writes takes nothing back */
		assert(pn_received_client(pn_str_head(text, pn_str_find(text, ')') + 1), again, &helo) == PN_OK);
		assert(memcmp(client, again, sizeof(client)) == 0);
	}
	return 0;
}
