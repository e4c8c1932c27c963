/* world.h - an Odoo database in memory, as a conformance case describes it. */
#ifndef POSTERN_TESTS_WORLD_H
#define POSTERN_TESTS_WORLD_H

#include <jansson.h>

#include "postern/loop.h"

struct world {
	struct pn_arena *arena;
	json_t *config;			/* merged with the named world */
	struct pn_gateway gateway;
	struct pn_models models;
	struct pn_alias *aliases;
	size_t alias_count;
	struct pn_odoo odoo;		/* .ctx is this world */
	int64_t minutes, threshold;
};

/* models, worlds: the contents of models.json and worlds.json.  extra_model:
 * the caller's fallback model, or NULL.  The arena owns everything. */
struct world *world_new(const json_t *config, const json_t *models, const json_t *worlds,
    const char *extra_model, struct pn_arena *arena);

struct pn_alias_source world_aliases(struct world *world);

/* What Odoo's database would count in this window (rule 9.2). */
uint64_t world_count(struct world *world, const struct pn_loop_window *window,
    const struct pn_message *message, const struct pn_decision *decision);

/* A value of a row; "" and `otherwise` where there is none. */
struct pn_str world_str(const json_t *object, const char *key);
uint64_t world_number(const json_t *object, const char *key, uint64_t otherwise);
bool world_truth(const json_t *object, const char *key, bool otherwise);

/* The alias domain with this id; NULL: none. */
const struct pn_domain *world_domain(const struct world *world, uint64_t id);

#endif
