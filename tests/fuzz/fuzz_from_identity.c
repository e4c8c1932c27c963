/* Any text as one From field, or as two. */
#include <assert.h>
#include <stdint.h>

#include "postern/from_identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_str text = { (const char *)data, size };
	struct pn_field fields[] = { { PN_STR("From"), text },
	    { PN_STR("From"), pn_str_from(text, pn_str_find(text, '\n')) } };
	struct pn_arena *arena = pn_arena_new(64 * 1024 * 1024);
	struct pn_from_identity identity;

	for (size_t n = 1; n <= PN_COUNT(fields); n++) {
		if (pn_from_identity((struct pn_fields){ fields, n }, arena, &identity) != PN_OK)
			continue;
		assert(identity.one == (identity.why == NULL));
		assert(!identity.one || (n == 1 && identity.domains.n == 1 && !identity.more));
		assert(identity.domains.n <= PN_FROM_DOMAINS_MAX);
		assert(!identity.one || (memchr(text.p, '@', text.n) != NULL && memchr(text.p, '\0',
		    text.n) == NULL));
	}
	pn_arena_free(arena);
	return 0;
}
