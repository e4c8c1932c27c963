/* The first byte chooses the header, the rest is its value.  The result must be
 * UTF-8, and reading it must not depend on anything but the input. */
#include <stdlib.h>

#include <unistr.h>

#include "postern/header_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {
		"To", "Subject", "Message-ID", "Content-Type", "Content-Disposition",
		"Content-Transfer-Encoding", "MIME-Version", "Date",
	};
	struct pn_arena *arena = pn_arena_new(16u << 20);
	struct pn_str name, raw, first, second;

	if (size > 0) {
		name = pn_str_c(names[data[0] % PN_COUNT(names)]);
		raw = pn_str_n((const char *)data + 1, size - 1);
		if (pn_header_value(name, raw, arena, &first) == PN_OK) {
			if (u8_check((const uint8_t *)first.p, first.n) != NULL)
				abort();
			if (pn_header_value(name, raw, arena, &second) != PN_OK || !pn_str_eq(first, second))
				abort();
		}
	}
	pn_arena_free(arena);
	return 0;
}
