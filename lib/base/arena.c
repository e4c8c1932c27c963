#include "postern/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "postern/error.h"

enum { BLOCK_SIZE = 16 * 1024, ALIGN = alignof(max_align_t) };

struct block {
	struct block *next;
	size_t size;
	size_t used;
	alignas(max_align_t) char data[];
};

struct pn_arena {
	struct block *blocks;	/* the newest first */
	size_t limit;
	size_t total;
};

struct pn_arena *
pn_arena_new(size_t limit)
{
	struct pn_arena *arena = calloc(1, sizeof(*arena));

	if (arena == NULL)
		pn_out_of_memory();
	arena->limit = limit;
	return arena;
}

void
pn_arena_reset(struct pn_arena *arena)
{
	struct block *block = arena->blocks, *next;

	for (; block != NULL; block = next) {
		next = block->next;
#ifndef PN_SAN
		if (next == NULL && block->size == BLOCK_SIZE) {
			block->used = 0;
			break;
		}
#endif
		free(block);
	}
	arena->blocks = block;
	arena->total = 0;
}

void
pn_arena_free(struct pn_arena *arena)
{
	if (arena == NULL)
		return;
	pn_arena_reset(arena);
	free(arena->blocks);
	free(arena);
}

bool
pn_arena_exhausted(const struct pn_arena *arena)
{
	return arena->total > arena->limit;
}

static struct block *
add_block(struct pn_arena *arena, size_t size)
{
	struct block *block = malloc(sizeof(*block) + size);

	if (block == NULL)
		pn_out_of_memory();
	block->size = size;
	block->used = 0;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *
pn_arena_alloc(struct pn_arena *arena, size_t size)
{
	struct block *block = arena->blocks;
	size_t need;
	void *p;

	if (size > SIZE_MAX / 2)
		pn_out_of_memory();
	need = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	arena->total += need;
#ifdef PN_SAN
	block = add_block(arena, size);
	need = size;
#else
	if (block == NULL || block->size - block->used < need)
		block = add_block(arena, need > BLOCK_SIZE ? need : BLOCK_SIZE);
#endif
	p = block->data + block->used;
	block->used += need;
	if (size > 0)
		memset(p, 0, size);
	return p;
}

void *
pn_arena_alloc_array(struct pn_arena *arena, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		pn_out_of_memory();
	return pn_arena_alloc(arena, bytes);
}

void *
pn_arena_grow(struct pn_arena *arena, void *old, size_t have, size_t *cap, size_t need, size_t size)
{
	size_t wanted = *cap < 8 ? 8 : *cap;
	void *p;

	if (need <= *cap)
		return old;
	while (wanted < need)
		wanted *= 2;
	p = pn_arena_alloc_array(arena, wanted, size);
	if (have > 0)
		memcpy(p, old, have * size);
	*cap = wanted;
	return p;
}

struct pn_str
pn_arena_dup(struct pn_arena *arena, struct pn_str s)
{
	char *p = pn_arena_alloc(arena, s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return pn_str_n(p, s.n);
}

const char *
pn_arena_cstr(struct pn_arena *arena, struct pn_str s)
{
	return pn_arena_dup(arena, s).p;
}

struct pn_str
pn_arena_lower(struct pn_arena *arena, struct pn_str s)
{
	char *p = pn_arena_alloc(arena, s.n + 1);

	for (size_t i = 0; i < s.n; i++)
		p[i] = pn_to_lower(s.p[i]);
	return pn_str_n(p, s.n);
}

struct pn_str
pn_arena_printf(struct pn_arena *arena, const char *format, ...)
{
	va_list args;
	char *p;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0)
		return PN_STR_EMPTY;
	p = pn_arena_alloc(arena, (size_t)n + 1);
	va_start(args, format);
	n = vsnprintf(p, (size_t)n + 1, format, args);
	va_end(args);
	return pn_str_n(p, (size_t)n);
}
