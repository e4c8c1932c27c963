/* Any text as References. */
#include <assert.h>
#include <stdint.h>

#include "postern/references.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_arena *arena = pn_arena_new(16 * 1024 * 1024);
	struct pn_strs ids;

	if (pn_references_ids(pn_str_n((const char *)data, size), arena, &ids) == PN_OK)
		for (size_t i = 0; i < ids.n; i++) {
			struct pn_str id = ids.v[i];

			assert(id.n >= 2 && id.p[0] == '<' && id.p[id.n - 1] == '>');
			assert(pn_str_find_last(id, '<') == 0 && pn_str_find(id, '>') == id.n - 1);
			assert(pn_str_find(id, ' ') == PN_STR_NONE && pn_str_find(id, '\n') == PN_STR_NONE);
		}
	pn_arena_free(arena);
	return 0;
}
