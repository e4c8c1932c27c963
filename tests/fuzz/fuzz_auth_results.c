/* Any text as an Authentication-Results field, and any text as a value in one of ours. */
#include <assert.h>
#include <stdint.h>

#include "postern/auth_results.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_same(const struct pn_auth_results *a, const struct pn_auth_results *b)
{
	if (!pn_str_eq(a->authserv_id, b->authserv_id) || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct pn_auth_result *x = &a->v[i], *y = &b->v[i];

		if (!pn_str_eq(x->method, y->method) || !pn_str_eq(x->result, y->result)
		    || !pn_str_eq(x->reason, y->reason) || x->n != y->n)
			return false;
		for (size_t k = 0; k < x->n; k++)
			if (!pn_str_eq(x->properties[k].type, y->properties[k].type)
			    || !pn_str_eq(x->properties[k].name, y->properties[k].name)
			    || !pn_str_eq(x->properties[k].value, y->properties[k].value))
				return false;
	}
	return true;
}

/* What is read is written, and read the same (once it is plain ASCII of our lengths). */
static void
round_trip(struct pn_str text, struct pn_arena *arena)
{
	struct pn_auth_results first, second, third;

	if (pn_auth_results_parse(text, arena, &first) != PN_OK)
		return;
	assert(pn_auth_results_claims(text, first.authserv_id, arena) || first.authserv_id.n == 0
	    || !pn_str_is_ascii(first.authserv_id) || pn_str_find(first.authserv_id, ' ') != PN_STR_NONE);
	assert(pn_auth_results_parse(pn_auth_results_write(&first, arena), arena, &second) == PN_OK);
	assert(second.n == first.n);
	assert(pn_auth_results_parse(pn_auth_results_write(&second, arena), arena, &third) == PN_OK);
	assert(is_same(&second, &third));
}

/* Whatever MAIL FROM, d= and i= hold: one result of SPF that failed, one of DKIM, and none else. */
static void
forge(struct pn_str text, struct pn_arena *arena)
{
	struct pn_auth_results ours, read;

	pn_auth_results_begin(&ours, PN_STR("postern.test"), arena);
	pn_auth_results_add_spf(&ours, PN_STR("fail"), text, text, arena);
	pn_auth_results_add_dkim(&ours, PN_STR("fail"), text, text, text, text, text, text, arena);
	assert(pn_auth_results_parse(pn_auth_results_write(&ours, arena), arena, &read) == PN_OK);
	assert(read.n == 2 && pn_str_eq(read.authserv_id, PN_STR("postern.test")));
	assert(pn_str_eq(read.v[0].method, PN_STR("spf")) && pn_str_eq(read.v[0].result, PN_STR("fail")));
	assert(pn_str_eq(read.v[1].method, PN_STR("dkim")) && pn_str_eq(read.v[1].result, PN_STR("fail")));
	assert(read.v[0].n <= 1 && read.v[1].n == (text.n > 0 ? 5 : 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_str text = { (const char *)data, size };
	struct pn_arena *arena = pn_arena_new(64 * 1024 * 1024);
	struct pn_field field = { PN_STR("Authentication-Results"), text };
	size_t *indexes, n;

	round_trip(text, arena);
	forge(text, arena);
	assert(pn_auth_results_forged((struct pn_fields){ &field, 1 }, PN_STR("postern.test"), arena,
	    &indexes, &n) == PN_OK);
	assert(n <= 1 && (n == 0 || indexes[0] == 1));
	pn_arena_free(arena);
	return 0;
}
