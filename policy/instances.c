#include "instances.h"

#include <stdlib.h>

#include "postern/error.h"

enum { NAME_MAX_BYTES = 64, FORGOTTEN_AFTER = 3600 };

/* A ring of slots, found through a table of chains: both are as long as the most
 * that is remembered. */
struct slot {
	char name[NAME_MAX_BYTES];
	uint32_t n;		/* bytes of the name; 0: free */
	uint32_t next;		/* in its chain, + 1; 0: the last */
	int64_t seen;
	struct instance_facts facts;
};

struct instances {
	size_t most;
	size_t oldest;		/* the slot to be used next */
	struct slot *slots;
	uint32_t *chains;	/* first slot + 1 */
};

struct instances *
instances_new(size_t most)
{
	struct instances *v = calloc(1, sizeof(*v));

	if (v == NULL || (v->slots = calloc(most, sizeof(*v->slots))) == NULL
	    || (v->chains = calloc(most, sizeof(*v->chains))) == NULL)
		pn_out_of_memory();
	v->most = most;
	return v;
}

void
instances_free(struct instances *v)
{
	if (v == NULL)
		return;
	free(v->slots);
	free(v->chains);
	free(v);
}

/* FNV-1a: the names are Postfix's own. */
static uint32_t *
chain_of(const struct instances *v, struct pn_str name)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < name.n; i++)
		hash = (hash ^ (unsigned char)name.p[i]) * 1099511628211u;
	return &v->chains[hash % v->most];
}

static struct slot *
find(const struct instances *v, struct pn_str name)
{
	for (uint32_t i = *chain_of(v, name); i != 0; i = v->slots[i - 1].next)
		if (pn_str_eq(pn_str_n(v->slots[i - 1].name, v->slots[i - 1].n), name))
			return &v->slots[i - 1];
	return NULL;
}

static void
unlink_slot(struct instances *v, struct slot *slot)
{
	uint32_t number = (uint32_t)(slot - v->slots) + 1;
	uint32_t *at = chain_of(v, pn_str_n(slot->name, slot->n));

	while (*at != number)
		at = &v->slots[*at - 1].next;
	*at = slot->next;
}

static struct slot *
add(struct instances *v, struct pn_str name)
{
	struct slot *slot = &v->slots[v->oldest];
	uint32_t *chain = chain_of(v, name);

	if (slot->n > 0)
		unlink_slot(v, slot);
	*slot = (struct slot){ .n = (uint32_t)name.n };
	memcpy(slot->name, name.p, name.n);
	slot->next = *chain;
	*chain = (uint32_t)v->oldest + 1;
	v->oldest = (v->oldest + 1) % v->most;
	return slot;
}

void
instances_add(struct instances *v, struct pn_str name, bool stays_here, int64_t now)
{
	struct slot *slot;

	if (name.n == 0 || name.n > NAME_MAX_BYTES)
		return;
	slot = find(v, name);
	if (slot == NULL)
		slot = add(v, name);
	if (now - slot->seen > FORGOTTEN_AFTER)
		slot->facts = (struct instance_facts){ 0 };
	slot->seen = now;
	if (stays_here)
		slot->facts.here++;
	else
		slot->facts.recipients++;
}

struct instance_facts
instances_get(const struct instances *v, struct pn_str name)
{
	const struct slot *slot = name.n == 0 || name.n > NAME_MAX_BYTES ? NULL : find(v, name);

	return slot == NULL ? (struct instance_facts){ 0 } : slot->facts;
}
