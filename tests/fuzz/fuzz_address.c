/* Any text as an address header, a domain, an alias name and a relay filter. */
#include <assert.h>
#include <stdint.h>

#include "postern/address.h"
#include "postern/alias_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_split(struct pn_str text, struct pn_arena *arena)
{
	struct pn_mailboxes found;
	struct pn_strs formatted, envelope;
	struct pn_str first, again;

	if (pn_address_split(text, arena, &found) != PN_OK
	    || pn_address_split_and_format(text, arena, &formatted) != PN_OK
	    || pn_address_extract_smtp(text, arena, &envelope) != PN_OK)
		return;
	assert(formatted.n == found.n);
	for (size_t i = 0; i < found.n; i++)
		assert(pn_str_find(found.v[i].addr, '@') != PN_STR_NONE && found.v[i].addr.n <= 2 * text.n);
	for (size_t i = 0; i < envelope.n; i++)
		assert(pn_str_find(envelope.v[i], '@') != PN_STR_NONE);
	if (pn_address_normalize(text, false, arena, &first) == PN_OK) {
		again = pn_address_lower(first, arena);
		assert(found.n > 0 && pn_str_eq(first, again));
	}
	if (found.n == 1 && pn_address_domain(text, arena, &first) == PN_OK)
		assert(pn_str_find(first, '@') == PN_STR_NONE);
}

static void
check_forms(struct pn_str text, struct pn_arena *arena)
{
	struct pn_str out, again, lower = pn_text_lower(text, arena);

	assert(pn_str_eq(lower, pn_text_lower(lower, arena)));
	assert(pn_text_strip(text).n <= text.n);
	if (pn_domain_to_ascii(text, arena, &out) == PN_OK) {
		assert(pn_str_is_ascii(out) && out.n > 0 && out.n <= 253);
		assert(pn_domain_to_ascii(out, arena, &again) == PN_OK && pn_str_eq(out, again));
	}
	if (pn_domain_encode(text, arena, &out) == PN_OK)
		assert(pn_str_is_ascii(out) && out.n <= 254);
	if (pn_alias_name_sanitize(text, false, arena, &out) == PN_OK) {
		assert(pn_is_dot_atom(out));
		assert(pn_alias_name_sanitize(out, false, arena, &again) == PN_OK && pn_str_eq(out, again));
	}
	(void)!pn_alias_name_sanitize(text, true, arena, &out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_arena *arena = pn_arena_new(16 * 1024 * 1024);
	struct pn_str text = pn_str_n((const char *)data, size), half = pn_str_head(text, size / 2), out;
	bool match;

	check_split(text, arena);
	check_forms(text, arena);
	(void)!pn_address_encapsulate(half, text, arena, &out);
	(void)!pn_from_filter_match(half, pn_str_from(text, half.n), arena, &match);
	(void)!pn_allowed_domains_sanitize(text, arena, &out);
	(void)!pn_address_format((struct pn_mailbox){ half, text }, true, arena, &out);
	pn_arena_free(arena);
	return 0;
}
