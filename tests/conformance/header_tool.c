/* header_tool - pn_header_value() for scripts.
 *
 * Reads lines "NAME<tab>BASE64" (the raw value) and answers each with
 * "OK<tab>BASE64", "INVALID" or "LIMIT".
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "postern/header_value.h"

static struct pn_str
from_base64(struct pn_arena *arena, struct pn_str text)
{
	unsigned char *out = pn_arena_alloc(arena, text.n + 1);
	int n = EVP_DecodeBlock(out, (const unsigned char *)text.p, (int)text.n);

	for (size_t i = text.n; n > 0 && i > 0 && text.p[i - 1] == '='; i--)
		n--;
	return pn_str_n((const char *)out, n < 0 ? 0 : (size_t)n);
}

static void
answer(struct pn_arena *arena, struct pn_str line)
{
	struct pn_str name, out;

	pn_str_split(&line, '\t', &name);
	switch (pn_header_value(name, from_base64(arena, line), arena, &out)) {
	case PN_OK: {
		char *text = pn_arena_alloc(arena, out.n * 2 + 8);

		EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)out.p, (int)out.n);
		printf("OK\t%s\n", text);
		break;
	}
	case PN_LIMIT:
		puts("LIMIT");
		break;
	case PN_INVALID:
	case PN_NOT_FOUND:
	case PN_TEMPFAIL:
		puts("INVALID");
	}
}

int
main(void)
{
	struct pn_arena *arena = pn_arena_new(64u << 20);
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		answer(arena, pn_str_n(line, line[n - 1] == '\n' ? (size_t)n - 1 : (size_t)n));
		pn_arena_reset(arena);
		fflush(stdout);
	}
	free(line);
	pn_arena_free(arena);
	return 0;
}
