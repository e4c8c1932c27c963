/* arena.h - memory that lives as long as one message, request or command.
 *
 * Nothing in an arena is freed alone, but for large arrays that have grown.  Allocation never fails: out of memory
 * ends the process (the supervisor restarts it, Postfix defers the mail).  An
 * arena has a limit for what one message may ask; past it the arena goes on
 * serving but is *exhausted*, and whoever works through outside data asks
 * pn_arena_exhausted() between items and gives up with PN_LIMIT.
 *
 * With SAN=1 each allocation is a malloc of its own, so that the sanitizers
 * see every overrun and every use after reset.
 *
 * Not thread-safe: one arena belongs to one session at a time.
 */
#ifndef POSTERN_ARENA_H
#define POSTERN_ARENA_H

#include "postern/str.h"

struct pn_arena;

/* limit: bytes that one user may ask before the arena counts as exhausted. */
struct pn_arena *pn_arena_new(size_t limit);
/* Empty, with the limit of the other: for what is needed only on the way to a result. */
struct pn_arena *pn_arena_new_like(const struct pn_arena *arena);
void pn_arena_free(struct pn_arena *arena);	/* NULL is fine */

/* Forgets everything; keeps one block for the next user. */
void pn_arena_reset(struct pn_arena *arena);

bool pn_arena_exhausted(const struct pn_arena *arena);

/* Zeroed, aligned for any type. */
void *pn_arena_alloc(struct pn_arena *arena, size_t size);
#define PN_ARENA_NEW(arena, type) ((type *)pn_arena_alloc((arena), sizeof(type)))
#define PN_ARENA_ARRAY(arena, type, n) ((type *)pn_arena_alloc_array((arena), (n), sizeof(type)))
void *pn_arena_alloc_array(struct pn_arena *arena, size_t n, size_t size);

/* Doubles an array in the arena: returns room for at least `need` elements,
 * with the old `have` copied.  *cap is the capacity in elements.  Nothing may
 * point into the old array any longer: a large one is given back. */
void *pn_arena_grow(struct pn_arena *arena, void *old, size_t have, size_t *cap,
    size_t need, size_t size);

/* A copy, followed by a NUL that its length does not count. */
struct pn_str pn_arena_dup(struct pn_arena *arena, struct pn_str s);
/* The same without the pn_str: for C interfaces.  Bytes after a NUL in s are lost to them. */
const char *pn_arena_cstr(struct pn_arena *arena, struct pn_str s);
struct pn_str pn_arena_lower(struct pn_arena *arena, struct pn_str s);	/* A-Z only */
/* The parts, one behind the other. */
struct pn_str pn_arena_join(struct pn_arena *arena, const struct pn_str *parts, size_t n);
struct pn_str pn_arena_printf(struct pn_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
