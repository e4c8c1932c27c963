/* How a message is cut into chunks must not matter; the parser must not crash
 * on anything. */
#include <assert.h>
#include <string.h>

#include "postern/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk(struct pn_mime *mime, struct pn_str mail, size_t chunk, struct pn_arena *arena,
    struct pn_mime_result *out)
{
	pn_mime_reset(mime);
	for (; mail.n > 0; mail = pn_str_from(mail, chunk))
		pn_mime_raw(mime, pn_str_head(mail, chunk));
	pn_mime_end(mime, arena, out);
}

static void
same(const struct pn_mime_result *a, const struct pn_mime_result *b)
{
	assert(a->unreadable_as_mail == b->unreadable_as_mail);
	assert(a->unreadable_as_bounce == b->unreadable_as_bounce);
	assert(a->limit_hit == b->limit_hit);
	assert(a->has_dsn == b->has_dsn);
	assert(a->has_embedded == b->has_embedded);
	assert(a->embedded_known == b->embedded_known);
	assert(pn_str_eq(a->top_type, b->top_type));
	assert(pn_str_eq(a->final_recipient, b->final_recipient));
	assert(pn_str_eq(a->embedded_message_id_text, b->embedded_message_id_text));
	assert(pn_str_eq(a->embedded_ms_id_text, b->embedded_ms_id_text));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_mime *mime = pn_mime_new();
	struct pn_arena *arena = pn_arena_new((size_t)1 << 24);
	struct pn_str mail = { (const char *)data, size };
	struct pn_mime_result whole, bytes, some;

	walk(mime, mail, size + 1, arena, &whole);
	walk(mime, mail, 1, arena, &bytes);
	walk(mime, mail, 5, arena, &some);
	same(&whole, &bytes);
	same(&whole, &some);
	/* What is unreadable of a bounce is unreadable, or its structure is broken. */
	if (whole.unreadable_as_mail == PN_NO && whole.unreadable_as_bounce == PN_YES)
		assert(whole.has_embedded || whole.has_dsn);
	pn_mime_free(mime);
	pn_arena_free(arena);
	return 0;
}
