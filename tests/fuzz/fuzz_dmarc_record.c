/* Any TXT record as a DMARC record, under both RFCs; and as the answer to every question of an evaluation. */
#include <assert.h>
#include <stdint.h>

#include "postern/dmarc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WALK_MAX = 8, IDENTIFIERS = 2 };

static enum pn_status
answer(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
    struct pn_dns_answer *out,
    struct pn_error *err)
{
	struct pn_str *text = pn_arena_alloc(arena, sizeof(*text));

	(void)type, (void)err;
	/* not at each name the same */
	*text = pn_str_from(*(const struct pn_str *)ctx, name.n % 3);
	*out = (struct pn_dns_answer){ .records = { text, 1 } };
	return PN_OK;
}

static void
evaluate(struct pn_str text, struct pn_arena *arena)
{
	struct pn_str author = PN_STR("x.mail.example.com");
	const struct pn_dmarc_identifier identifiers[IDENTIFIERS] = {
		{ .domain = PN_STR("b.example.com") }, { .domain = PN_STR("a.b.c.d.e.f.g.com"),
		    .dkim = true } };
	struct pn_dns dns = { .ctx = &text, .query = answer };
	struct pn_dmarc dmarc;

	pn_dmarc_evaluate(&(struct pn_dmarc_question){ .mode = PN_DMARC_TREE, .dns = &dns,
	    .from = { .one = true, .domains = { &author, 1 } }, .identifiers = identifiers,
	    .identifier_count = IDENTIFIERS }, arena, &dmarc);
	assert(dmarc.queries <= WALK_MAX * (1 + IDENTIFIERS) + 1);
	assert(pn_str_ends(author, dmarc.organisational) && pn_str_ends(author, dmarc.policy_domain));
	assert(dmarc.disposition != PN_DMARC_UNSET
	    && (dmarc.disposition == PN_DMARC_NONE || dmarc.result == PN_DMARC_FAIL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_str text = { (const char *)data, size };
	struct pn_arena *arena = pn_arena_new(16 * 1024 * 1024);
	struct pn_dmarc_record record;

	for (int mode = PN_DMARC_PSL; mode <= PN_DMARC_TREE; mode++) {
		if (pn_dmarc_record_parse(text, (enum pn_dmarc_mode)mode, &record) != PN_OK)
			continue;
		assert(pn_str_contains(text, PN_STR("DMARC1")));
		assert(record.p != PN_DMARC_UNSET && record.pct <= 100);
		assert(record.psd == 'u' || (mode == PN_DMARC_TREE && (record.psd == 'y'
		    || record.psd == 'n')));
		assert(record.usable || record.p == PN_DMARC_NONE);
		assert(mode == PN_DMARC_PSL ? record.np == PN_DMARC_UNSET
		    && !record.testing : record.pct == 100);
	}
	evaluate(text, arena);
	pn_arena_free(arena);
	return 0;
}
