/* Whatever a token endpoint answers: a token that is taken fits its file, on one line, and ends some day. */
#include <stdlib.h>

#include "../../broker/answer.h"

static void
check_token(struct pn_str token)
{
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] > '~')
			abort();
	if (token.n > ANSWER_TOKEN_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const long statuses[] = { 200, 400, 401, 404, 429, 503, 302, 0 };
	struct pn_arena *arena;
	struct pn_error err = { "" };
	struct answer answer;

	if (size < 1)
		return 0;
	arena = pn_arena_new(1 << 20);
	if (answer_read(statuses[data[0] % 8], pn_str_n((const char *)data + 1, size - 1), arena, &answer,
	    &err)
	    == PN_OK) {
		check_token(answer.token);
		check_token(answer.refresh);
		if (answer.token.n == 0 || answer.lifetime < 1 || answer.lifetime > ANSWER_LIFETIME_MAX)
			abort();
	} else if (err.text[0] == '\0')
		abort();
	pn_arena_free(arena);
	return 0;
}
