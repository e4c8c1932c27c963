/* from_tool - pn_from_identity() for scripts.
 *
 * Reads one From field a line, in hex, and answers each with its author domain, or
 * "-" where there is not one beyond doubt.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "postern/from_identity.h"

static void
answer(struct pn_arena *arena, const char *line)
{
	long n;
	unsigned char *raw = OPENSSL_hexstr2buf(line, &n);
	struct pn_field from = { PN_STR("From"), PN_STR_EMPTY };
	struct pn_from_identity identity;

	if (raw != NULL)
		from.raw = pn_str_n((const char *)raw, (size_t)n);
	if (pn_from_identity((struct pn_fields){ &from, 1 }, arena, &identity) == PN_OK && identity.one)
		printf(PN_STR_FMT "\n", PN_STR_ARG(identity.domains.v[0]));
	else
		puts("-");
	OPENSSL_free(raw);
}

int
main(void)
{
	struct pn_arena *arena = pn_arena_new(64u << 20);
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		line[n - (line[n - 1] == '\n')] = '\0';
		answer(arena, line);
		pn_arena_reset(arena);
	}
	free(line);
	pn_arena_free(arena);
	return fflush(stdout) == 0 ? 0 : 1;
}
