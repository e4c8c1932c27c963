#include "newest.h"

#include <stdlib.h>

enum { HELD_AT_LEAST = 1000 };

void
newest_init(struct newest *newest, size_t most, void *(*copy)(struct pn_arena *arena, const void *value))
{
	*newest = (struct newest){ .most = most, .arena = pn_arena_new(SIZE_MAX), .copy = copy };
}

void
newest_done(struct newest *newest)
{
	pn_arena_free(newest->arena);
	newest->arena = NULL;
}

static int
newest_first(const void *a, const void *b)
{
	const struct newest_row *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? 1 : -1;
	return pn_str_cmp(x->tie, y->tie);
}

/* What is kept moves to a new arena, or the old one would hold every row ever seen. */
static void
cut(struct newest *newest)
{
	struct newest old = *newest;

	qsort(newest->v, newest->n, sizeof(*newest->v), newest_first);
	newest_init(newest, old.most, old.copy);
	newest->v = pn_arena_grow(newest->arena, NULL, 0, &newest->cap, old.cap, sizeof(*newest->v));
	for (; newest->n < old.most && newest->n < old.n; newest->n++) {
		struct newest_row *row = &newest->v[newest->n];

		*row = old.v[newest->n];
		row->tie = pn_arena_dup(newest->arena, row->tie);
		row->value = newest->copy(newest->arena, row->value);
	}
	newest_done(&old);
}

void
newest_add(struct newest *newest, uint64_t order, struct pn_str tie, const void *value)
{
	size_t held = newest->most < HELD_AT_LEAST ? HELD_AT_LEAST : newest->most;

	if (newest->most > 0 && newest->n / 2 >= held)
		cut(newest);
	newest->v = pn_arena_grow(newest->arena, newest->v, newest->n, &newest->cap, newest->n + 1,
	    sizeof(*newest->v));
	newest->v[newest->n++] = (struct newest_row){ order, pn_arena_dup(newest->arena, tie),
		newest->copy(newest->arena, value) };
}

void
newest_finish(struct newest *newest)
{
	if (newest->n > 0)
		qsort(newest->v, newest->n, sizeof(*newest->v), newest_first);
	if (newest->most > 0 && newest->n > newest->most)
		newest->n = newest->most;
}
