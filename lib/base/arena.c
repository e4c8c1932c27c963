#include "postern/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "postern/error.h"

/* What is larger than LARGE has a block of its own: it can be given back when it
 * is grown, and from calloc() its unused end costs no memory.  The first block comes
 * with the arena: most live for one field, and malloc() has such small ones at hand. */
enum { FIRST_SIZE = 960, BLOCK_SIZE = 16 * 1024, LARGE = BLOCK_SIZE / 4, ALIGN = alignof(max_align_t) };

struct block {
	struct block *next;
	size_t size;
	size_t used;
	alignas(max_align_t) char data[];
};

struct pn_arena {
	struct block *blocks;	/* the newest first */
	struct block *large;
	size_t limit;
	size_t total;
	struct block first;	/* with FIRST_SIZE bytes behind it */
};

struct pn_arena *
pn_arena_new(size_t limit)
{
	struct pn_arena *arena = malloc(sizeof(*arena) + FIRST_SIZE);

	if (arena == NULL)
		pn_out_of_memory();
	arena->blocks = &arena->first;
	arena->large = NULL;
	arena->limit = limit;
	arena->total = 0;
	arena->first.next = NULL;
	arena->first.size = FIRST_SIZE;
	arena->first.used = 0;
	return arena;
}

struct pn_arena *
pn_arena_new_like(const struct pn_arena *arena)
{
	return pn_arena_new(arena->limit);
}

static void
free_blocks(struct block *block)
{
	for (struct block *next; block != NULL; block = next) {
		next = block->next;
		free(block);
	}
}

void
pn_arena_reset(struct pn_arena *arena)
{
	struct block *block = arena->blocks, *next;

	free_blocks(arena->large);
	arena->large = NULL;
	for (; block != &arena->first; block = next) {
		next = block->next;
#ifndef PN_SAN
		if (next == &arena->first)
			break;
#endif
		free(block);
	}
	block->used = 0;
	arena->blocks = block;
	arena->total = 0;
}

void
pn_arena_free(struct pn_arena *arena)
{
	if (arena == NULL)
		return;
	pn_arena_reset(arena);
	if (arena->blocks != &arena->first)
		free(arena->blocks);
	free(arena);
}

bool
pn_arena_exhausted(const struct pn_arena *arena)
{
	return arena->total > arena->limit;
}

static struct block *
add_block(struct block **list, void *memory, size_t size)
{
	struct block *block = memory;

	if (block == NULL)
		pn_out_of_memory();
	block->size = size;
	block->used = 0;
	block->next = *list;
	*list = block;
	return block;
}

static size_t
round_up(size_t n, size_t align)
{
	return (n + align - 1) & ~(align - 1);
}

/* Whether it is zeroed depends on where it comes from. */
static void *
take(struct pn_arena *arena, size_t size, size_t align, bool *zeroed)
{
	struct block *block = arena->blocks;
	size_t at;

	if (size > SIZE_MAX / 2)
		pn_out_of_memory();
	arena->total += round_up(size, align);
	*zeroed = size > LARGE;
	if (size > LARGE)
		return add_block(&arena->large, calloc(1, sizeof(*block) + size), size)->data;
#ifdef PN_SAN
	(void)align;
	block = add_block(&arena->blocks, malloc(sizeof(*block) + size), size);
	at = 0;
#else
	at = round_up(block->used, align);
	if (at > block->size || block->size - at < size) {
		block = add_block(&arena->blocks, malloc(sizeof(*block) + BLOCK_SIZE), BLOCK_SIZE);
		at = 0;
	}
#endif
	block->used = at + size;
	return block->data + at;
}

void *
pn_arena_alloc(struct pn_arena *arena, size_t size)
{
	bool zeroed;
	void *p = take(arena, size, ALIGN, &zeroed);

	if (!zeroed && size > 0)
		memset(p, 0, size);
	return p;
}

/* Room for n characters and the NUL behind them. */
static char *
take_text(struct pn_arena *arena, size_t n)
{
	bool zeroed;
	char *p;

	if (n == SIZE_MAX)
		pn_out_of_memory();
	p = take(arena, n + 1, 1, &zeroed);
	p[n] = '\0';
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

/* Large blocks are few: they double when they grow. */
static void
give_back(struct pn_arena *arena, const void *data)
{
	for (struct block **link = &arena->large, *block; (block = *link) != NULL; link = &block->next)
		if (block->data == data) {
			arena->total -= round_up(block->size, ALIGN);
			*link = block->next;
			free(block);
			return;
		}
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
	if (*cap * size > LARGE)
		give_back(arena, old);
	*cap = wanted;
	return p;
}

struct pn_str
pn_arena_dup(struct pn_arena *arena, struct pn_str s)
{
	char *p = take_text(arena, s.n);

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
	char *p = take_text(arena, s.n);

	for (size_t i = 0; i < s.n; i++)
		p[i] = pn_to_lower(s.p[i]);
	return pn_str_n(p, s.n);
}

struct pn_str
pn_arena_join(struct pn_arena *arena, const struct pn_str *parts, size_t n)
{
	size_t size = 0, used = 0;
	char *p;

	for (size_t i = 0; i < n; i++)
		size += parts[i].n;
	p = take_text(arena, size);
	for (size_t i = 0; i < n; i++)
		if (parts[i].n > 0) {
			memcpy(p + used, parts[i].p, parts[i].n);
			used += parts[i].n;
		}
	return pn_str_n(p, used);
}

/* Formatted once where it is short, as most is. */
struct pn_str
pn_arena_printf(struct pn_arena *arena, const char *format, ...)
{
	char text[256], *p;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0)
		return PN_STR_EMPTY;
	if ((size_t)n < sizeof(text))
		return pn_arena_dup(arena, pn_str_n(text, (size_t)n));
	p = take_text(arena, (size_t)n);
	va_start(args, format);
	n = vsnprintf(p, (size_t)n + 1, format, args);
	va_end(args);
	return pn_str_n(p, (size_t)n);
}
