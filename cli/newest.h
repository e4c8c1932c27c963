/* newest.h - the newest so many of very many rows, in bounded memory.
 *
 * Rows come in any order and leave newest first.  Twice as many as wanted are
 * held; then the older half goes.  A row's text is copied.
 */
#ifndef POSTERN_CLI_NEWEST_H
#define POSTERN_CLI_NEWEST_H

#include "postern/arena.h"

struct newest_row {
	uint64_t order;			/* the largest is the newest */
	struct pn_str tie;		/* decides between equals */
	void *value;
};

struct newest {
	size_t most;			/* 0 = all */
	struct pn_arena *arena;		/* of the rows held now */
	struct newest_row *v;
	size_t n, cap;
	void *(*copy)(struct pn_arena *arena, const void *value);
};

void
newest_init(struct newest *newest, size_t most, void *(*copy)(struct pn_arena *arena, const void *value));
void newest_done(struct newest *newest);
void newest_add(struct newest *newest, uint64_t order, struct pn_str tie, const void *value);
/* Sorts and cuts: then v[0] to v[n - 1] are the answer. */
void newest_finish(struct newest *newest);

#endif
