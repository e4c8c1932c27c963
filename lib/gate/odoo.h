/* odoo.h - shared inside lib/gate: the store as the core's facts about Odoo. */
#ifndef POSTERN_LIB_GATE_ODOO_H
#define POSTERN_LIB_GATE_ODOO_H

#include "postern/gate.h"

struct odoo_facts {
	struct pn_store *store;
	struct pn_str gateway;
	struct pn_arena *arena;
	bool threads_complete;
	struct pn_error err;
	struct pn_odoo odoo;	/* .ctx is this: do not copy */
};

void odoo_facts_init(struct odoo_facts *facts, struct pn_store *store, const struct pn_gateway *gateway,
    const struct pn_facts *directory);

#endif
