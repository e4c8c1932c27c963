#include "postern/str_list.h"

#include <stdlib.h>

struct place {
	struct pn_str s;
	size_t at;
	bool first;
};

static int
by_text(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = pn_str_cmp(x->s, y->s);

	return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

static int
by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

struct pn_strs
pn_strs_unique(struct pn_strs list, struct pn_arena *arena)
{
	struct place *places = PN_ARENA_ARRAY(arena, struct place, list.n);
	struct pn_strs out = { PN_ARENA_ARRAY(arena, struct pn_str, list.n), 0 };

	if (list.n == 0)
		return out;
	for (size_t i = 0; i < list.n; i++)
		places[i] = (struct place){ .s = list.v[i], .at = i };
	qsort(places, list.n, sizeof(*places), by_text);
	for (size_t i = 0; i < list.n; i++)
		places[i].first = i == 0 || !pn_str_eq(places[i - 1].s, places[i].s);
	qsort(places, list.n, sizeof(*places), by_place);
	for (size_t i = 0; i < list.n; i++)
		if (places[i].first)
			out.v[out.n++] = places[i].s;
	return out;
}

struct pn_str
pn_strs_join(struct pn_strs list, struct pn_str separator, struct pn_arena *arena)
{
	size_t n = list.n == 0 ? 0 : (list.n - 1) * separator.n, at = 0;
	char *p;

	for (size_t i = 0; i < list.n; i++)
		n += list.v[i].n;
	p = pn_arena_alloc(arena, n + 1);
	for (size_t i = 0; i < list.n; i++) {
		if (i > 0 && separator.n > 0) {
			memcpy(p + at, separator.p, separator.n);
			at += separator.n;
		}
		if (list.v[i].n > 0)
			memcpy(p + at, list.v[i].p, list.v[i].n);
		at += list.v[i].n;
	}
	return pn_str_n(p, n);
}
