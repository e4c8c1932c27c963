/* A mail behind the line that the DNS answers for its key: however the body comes in pieces, the verdicts
 * are the same; they say nothing that the mail could forge, and have a reason unless they are a pass. */
#include <stdlib.h>

#include "postern/dkim.h"
#include "postern/fields.h"

static enum pn_status
answer(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
    struct pn_dns_answer *out,
    struct pn_error *err)
{
	struct pn_strs_builder records = { .arena = arena };

	if (type != PN_DNS_TXT || name.n > 253)
		abort();
	(void)err;
	pn_strs_add(&records, *(const struct pn_str *)ctx);
	*out = (struct pn_dns_answer){ .records = records.list, .ttl = 300 };
	return PN_OK;
}

static struct pn_dkim_signatures
verify(struct pn_fields fields, struct pn_str body, size_t step, struct pn_str *record,
    struct pn_arena *arena)
{
	const struct pn_dkim_policy policy = { .clock_drift = 300 };
	struct pn_dkim_verifier *verifier = pn_dkim_verifier_new(&policy);
	struct pn_dkim_check *check = pn_dkim_check_new(verifier, fields, PN_STR("example.org"),
	    1800000000, arena);
	const struct pn_dns dns = { .ctx = record, .query = answer };
	struct pn_dkim_signatures found;

	for (; body.n > 0; body = pn_str_from(body, step))
		pn_dkim_check_body(check, pn_str_head(body, step));
	found = pn_dkim_check_end(check, &dns);
	pn_dkim_check_free(check);
	pn_dkim_verifier_free(verifier);
	return found;
}

static void
check_one(const struct pn_dkim_signature *a, const struct pn_dkim_signature *b)
{
	if (a->result != b->result || !pn_str_eq(a->reason, b->reason) || a->result == PN_DKIM_NONE
	    || (a->reason.n == 0) != (a->result == PN_DKIM_PASS))
		abort();
	for (size_t i = 0; i < a->domain.n + a->selector.n; i++) {
		char c = i < a->domain.n ? a->domain.p[i] : a->selector.p[i - a->domain.n];

		if (!pn_is_alnum(c) && c != '-' && c != '_' && c != '.')
			abort();
	}
	for (size_t i = 0; i < a->identity.n; i++)
		if (a->identity.p[i] <= ' ' || a->identity.p[i] > '~')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_arena *arena = pn_arena_new(16 * 1024 * 1024);
	struct pn_str mail = pn_str_n((const char *)data, size), record, body;
	struct pn_dkim_signatures whole, pieces;
	struct pn_fields fields;

	if (pn_str_split(&mail, '\n', &record) && mail.p != NULL
	    && pn_fields_split(mail, arena, &fields, &body) == PN_OK) {
		whole = verify(fields, body, body.n + 1, &record, arena);
		pieces = verify(fields, body, 3, &record, arena);
		if (whole.n != pieces.n || whole.n > PN_DKIM_LISTED)
			abort();
		for (size_t i = 0; i < whole.n; i++)
			check_one(&whole.v[i], &pieces.v[i]);
	}
	pn_arena_free(arena);
	return 0;
}
