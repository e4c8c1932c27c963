#include "postern/references.h"

static bool
is_fold(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The id without blanks; itself when it has none, as nearly always. */
static struct pn_str
unfold(struct pn_str id, struct pn_arena *arena)
{
	size_t used = 0;
	char *p;

	while (used < id.n && !is_fold(id.p[used]))
		used++;
	if (used == id.n)
		return id;
	p = pn_arena_alloc(arena, id.n + 1);
	for (size_t i = used = 0; i < id.n; i++)
		if (!is_fold(id.p[i]))
			p[used++] = id.p[i];
	return pn_str_n(p, used);
}

enum pn_status
pn_references_ids(struct pn_str text, struct pn_arena *arena, struct pn_strs *out)
{
	struct pn_strs list = { NULL, 0 };
	size_t open = PN_STR_NONE, cap = 0;

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '<')
			open = i;
		if (text.p[i] != '>' || open == PN_STR_NONE)
			continue;
		if (i > open + 1) {
			list.v = pn_arena_grow(arena, list.v, list.n, &cap, list.n + 1, sizeof(*list.v));
			list.v[list.n++] = unfold(pn_str_n(text.p + open, i + 1 - open), arena);
			if (pn_arena_exhausted(arena))
				return PN_LIMIT;
		}
		open = PN_STR_NONE;
	}
	*out = list;
	return PN_OK;
}
