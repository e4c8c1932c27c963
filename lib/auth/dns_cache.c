#include "dns_cache.h"

#include <search.h>
#include <stdlib.h>
#include <time.h>

static int
by_question(const void *a, const void *b)
{
	const struct dns_entry *x = a, *y = b;

	return x->type != y->type ? (x->type > y->type) - (x->type < y->type) : pn_str_cmp(x->name, y->name);
}

/* What a node of the tree and malloc() need is counted in the round. */
static size_t
size_of(const struct dns_entry *entry)
{
	return sizeof(*entry) + entry->name.n + entry->rdata.n + 96;
}

static struct dns_entry *
new_entry(const struct dns_entry *question)
{
	struct dns_entry *entry = calloc(1, sizeof(*entry) + question->name.n);
	pthread_condattr_t attributes;
	char *name;

	if (entry == NULL)
		pn_out_of_memory();
	name = (char *)(entry + 1);
	memcpy(name, question->name.p, question->name.n);
	entry->type = question->type;
	entry->name = pn_str_n(name, question->name.n);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&entry->landed_now, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	return entry;
}

void
dns_cache_release(struct dns_entry *entry)
{
	if (--entry->refs > 0)
		return;
	(void)pthread_cond_destroy(&entry->landed_now);
	free((void *)(uintptr_t)entry->rdata.p);
	free(entry);
}

void
dns_cache_init(struct dns_cache *cache, size_t entries_max, size_t bytes_max, size_t flying_max)
{
	*cache = (struct dns_cache){ .entries_max = entries_max, .bytes_max = bytes_max,
		.flying_max = flying_max };
	TAILQ_INIT(&cache->by_age);
}

static void
release_node(void *node)
{
	struct dns_entry *entry = node;

	if (!entry->landed)
		entry->refs--;	/* the asker's, who will not hear of it any more */
	dns_cache_release(entry);
}

void
dns_cache_done(struct dns_cache *cache)
{
	tdestroy(cache->tree, release_node);
	cache->tree = NULL;
}

static void
forget(struct dns_cache *cache, struct dns_entry *entry)
{
	(void)tdelete(entry, &cache->tree, by_question);
	TAILQ_REMOVE(&cache->by_age, entry, age);
	cache->entries--;
	cache->bytes -= size_of(entry);
	dns_cache_release(entry);
}

static struct dns_entry *
find(struct dns_cache *cache, const struct dns_entry *question)
{
	struct dns_entry *const *node = tfind(question, &cache->tree, by_question);

	return node == NULL ? NULL : *node;
}

struct dns_entry *
dns_cache_take(struct dns_cache *cache, struct pn_str name, enum pn_dns_type type, int64_t now, bool *is_new)
{
	struct dns_entry question = { .type = type, .name = name }, *entry = find(cache, &question);

	if (entry != NULL && entry->landed && entry->expires <= now) {
		forget(cache, entry);
		entry = NULL;
	}
	*is_new = entry == NULL;
	if (entry == NULL) {
		if (cache->flying >= cache->flying_max)
			return NULL;
		entry = new_entry(&question);
		entry->refs = 2;	/* the cache, the asker */
		if (tsearch(entry, &cache->tree, by_question) == NULL)
			pn_out_of_memory();
		cache->flying++;
	} else if (entry->landed) {
		TAILQ_REMOVE(&cache->by_age, entry, age);
		TAILQ_INSERT_HEAD(&cache->by_age, entry, age);
	}
	entry->refs++;
	return entry;
}

void
dns_cache_land(struct dns_cache *cache, struct dns_entry *entry)
{
	entry->landed = true;
	cache->flying--;
	cache->entries++;
	cache->bytes += size_of(entry);
	TAILQ_INSERT_HEAD(&cache->by_age, entry, age);
	(void)pthread_cond_broadcast(&entry->landed_now);
	while (cache->entries > cache->entries_max || cache->bytes > cache->bytes_max)
		forget(cache, TAILQ_LAST(&cache->by_age, dns_entries));
	dns_cache_release(entry);
}
