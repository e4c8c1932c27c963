/* slurp.h - a whole file, for tools of tests. */
#ifndef TESTS_WIRE_SLURP_H
#define TESTS_WIRE_SLURP_H

#include <stdio.h>
#include <stdlib.h>

#include "postern/arena.h"

static struct pn_str
slurp(const char *path, struct pn_arena *arena)
{
	FILE *f = fopen(path, "rb");
	size_t n = 0, cap = 0, got;
	char *p = NULL;

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	do {
		p = pn_arena_grow(arena, p, n, &cap, n + 65536, 1);
		got = fread(p + n, 1, 65536, f);
		n += got;
	} while (got > 0);
	(void)fclose(f);
	return pn_str_n(p, n);
}

#endif
