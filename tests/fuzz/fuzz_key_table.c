/* "KeyTable NUL SigningTable NUL author": what is found is in the tables, and with its domain put in it
 * cannot lead out of a folder or forge a tag. */
#include <stdlib.h>

#include "postern/key_table.h"

static void
check_keys(const struct pn_key_table *keys, const struct pn_signing_key *found, struct pn_str author)
{
	bool known = false;

	for (size_t i = 0; i < keys->n && !known; i++) {
		bool own = pn_str_eq(keys->v[i].domain, PN_STR("%"));

		known = pn_str_eq(keys->v[i].selector, found->selector)
		    && (pn_str_eq(keys->v[i].domain, found->domain)
		    || (own && pn_str_eq_nocase(found->domain, pn_str_from(author,
		    author.n - found->domain.n))));
	}
	if (!known || found->key.n == 0)
		abort();
	for (size_t i = 0; i < found->domain.n; i++)
		if (found->domain.p[i] == '/' || found->domain.p[i] == ';' || found->domain.p[i] <= ' ')
			abort();
	if (pn_str_contains(found->domain, PN_STR("..")))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_arena *arena = pn_arena_new(1024 * 1024);
	struct pn_str rest = pn_str_n((const char *)data, size), key_text, signing_text, author;
	struct pn_signing_key found[PN_SIGNING_KEYS];
	struct pn_signing_table signing;
	struct pn_key_table keys;
	size_t n = 0;

	if (!pn_str_split(&rest, '\0', &key_text) || !pn_str_split(&rest, '\0', &signing_text)
	    || !pn_str_split(&rest, '\0', &author) || pn_key_table_parse(key_text, arena, &keys,
	    NULL) != PN_OK) {
		pn_arena_free(arena);
		return 0;
	}
	for (unsigned way = 0; way < 4; way++) {
		if (pn_signing_table_parse(signing_text, way & 1, arena, &signing, NULL) != PN_OK
		    || pn_signing_find(&signing, &keys, author, way & 2, arena, found, &n, NULL) != PN_OK)
			continue;
		if (n == 0 || n > (way & 2 ? (size_t)PN_SIGNING_KEYS : 1))
			abort();
		for (size_t i = 0; i < n; i++)
			check_keys(&keys, &found[i], author);
	}
	pn_arena_free(arena);
	return 0;
}
