#include "postern/key_ring.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>

#include "postern/key_table.h"

enum { ARENA_LIMIT = 64 * 1024 };

struct entry {
	struct pn_str name;
	struct pn_dkim_key *key;
};

struct pn_key_ring {
	pn_key_ring_read *read;
	const struct pn_key_service *service;	/* or NULL */
	pthread_mutex_t lock;
	struct entry *v;		/* by name */
	size_t n, cap;
};

struct pn_key_ring *
pn_key_ring_new(pn_key_ring_read *read)
{
	struct pn_key_ring *ring = calloc(1, sizeof(*ring));

	if (ring == NULL || pthread_mutex_init(&ring->lock, NULL) != 0)
		pn_out_of_memory();
	ring->read = read;
	return ring;
}

struct pn_key_ring *
pn_key_ring_of_service(const struct pn_key_service *service)
{
	struct pn_key_ring *ring = pn_key_ring_new(NULL);

	ring->service = service;
	return ring;
}

static void
cleanse(struct pn_str secret)
{
	OPENSSL_cleanse((void *)(uintptr_t)secret.p, secret.n);
}

void
pn_key_ring_free(struct pn_key_ring *ring)
{
	if (ring == NULL)
		return;
	for (size_t i = 0; i < ring->n; i++) {
		pn_dkim_key_free(ring->v[i].key);
		cleanse(ring->v[i].name);
		free((void *)(uintptr_t)ring->v[i].name.p);
	}
	free(ring->v);
	(void)pthread_mutex_destroy(&ring->lock);
	free(ring);
}

/* Where it is, or belongs. */
static size_t
find(const struct pn_key_ring *ring, struct pn_str name)
{
	size_t low = 0, high = ring->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (pn_str_cmp(ring->v[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
insert(struct pn_key_ring *ring, size_t at, struct pn_str name, struct pn_dkim_key *key)
{
	char *copy = malloc(name.n + 1);

	if (ring->n == ring->cap) {
		ring->cap = ring->cap == 0 ? 16 : 2 * ring->cap;
		ring->v = realloc(ring->v, ring->cap * sizeof(*ring->v));
	}
	if (copy == NULL || ring->v == NULL)
		pn_out_of_memory();
	memcpy(copy, name.p, name.n);
	memmove(ring->v + at + 1, ring->v + at, (ring->n - at) * sizeof(*ring->v));
	ring->v[at] = (struct entry){ pn_str_n(copy, name.n), key };
	ring->n++;
}

static enum pn_status
load(const struct pn_key_ring *ring, struct pn_str key, struct pn_dkim_key **out, struct pn_error *err)
{
	struct pn_arena *arena;
	struct pn_str text;
	enum pn_status st;

	if (ring->service != NULL)
		return pn_dkim_key_ask(ring->service, key, out, err);
	if (!pn_key_is_path(key))
		return pn_dkim_key_parse(key, out, err);
	if (pn_str_find(key, '\0') != PN_STR_NONE)
		return pn_fail(err, PN_INVALID, "a path with a NUL");
	arena = pn_arena_new(ARENA_LIMIT);
	st = ring->read(pn_arena_cstr(arena, key), arena, &text, err);
	if (st == PN_OK) {
		st = pn_dkim_key_parse(text, out, err);
		if (st != PN_OK)
			(void)pn_fail_in(err, st, PN_STR_FMT, PN_STR_ARG(pn_str_head(key, 200)));
		cleanse(text);
	}
	pn_arena_free(arena);
	return st;
}

static struct pn_dkim_key *
look_up(struct pn_key_ring *ring, struct pn_str name)
{
	size_t at = find(ring, name);

	return at < ring->n && pn_str_eq(ring->v[at].name, name) ? ring->v[at].key : NULL;
}

/* The key, or the one that another thread has kept meanwhile. */
static enum pn_status
keep(struct pn_key_ring *ring, struct pn_str name, struct pn_dkim_key *fresh, const struct pn_dkim_key **out,
    struct pn_error *err)
{
	struct pn_dkim_key *kept = look_up(ring, name);

	if (kept == NULL && ring->n < PN_KEY_RING_MAX) {
		insert(ring, find(ring, name), name, fresh);
		*out = fresh;
		return PN_OK;
	}
	pn_dkim_key_free(fresh);
	if (kept == NULL)
		return pn_fail(err, PN_LIMIT, "more than %d keys", PN_KEY_RING_MAX);
	*out = kept;
	return PN_OK;
}

enum pn_status
pn_key_ring_get(struct pn_key_ring *ring, struct pn_str key, const struct pn_dkim_key **out,
    struct pn_error *err)
{
	struct pn_dkim_key *found;
	enum pn_status st;

	(void)pthread_mutex_lock(&ring->lock);
	found = look_up(ring, key);
	(void)pthread_mutex_unlock(&ring->lock);
	if (found != NULL) {
		*out = found;
		return PN_OK;
	}
	st = load(ring, key, &found, err);
	if (st != PN_OK)
		return st;
	(void)pthread_mutex_lock(&ring->lock);
	st = keep(ring, key, found, out, err);
	(void)pthread_mutex_unlock(&ring->lock);
	return st;
}
