/* str_list.h - an array of borrowed strings, passed by value.
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_STR_LIST_H
#define POSTERN_STR_LIST_H

#include "postern/arena.h"

struct pn_strs {
	struct pn_str *v;
	size_t n;
};

/* A list that is being built in an arena. */
struct pn_strs_builder {
	struct pn_arena *arena;
	struct pn_strs list;
	size_t cap;
};

static inline void
pn_strs_add(struct pn_strs_builder *builder, struct pn_str s)
{
	builder->list.v = pn_arena_grow(builder->arena, builder->list.v, builder->list.n, &builder->cap,
	    builder->list.n + 1, sizeof(*builder->list.v));
	builder->list.v[builder->list.n++] = s;
}

/* Exact comparison. */
static inline bool
pn_strs_has(struct pn_strs list, struct pn_str s)
{
	for (size_t i = 0; i < list.n; i++)
		if (pn_str_eq(list.v[i], s))
			return true;
	return false;
}

/* Each string once, where it stood first; n log n, so that long lists from
 * outside cost little. */
struct pn_strs pn_strs_unique(struct pn_strs list, struct pn_arena *arena);

/* All of them with `separator` between. */
struct pn_str pn_strs_join(struct pn_strs list, struct pn_str separator, struct pn_arena *arena);

#endif
