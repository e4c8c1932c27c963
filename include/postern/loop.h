/* loop.h - which mails of a sender are counted, and when it is too many
 * (_detect_loop_sender, odoo-behaviour 9.2).
 *
 * The core says what to count; the counting is done where the numbers are: in
 * the store's windows by the milter, in a case's history by the conformance
 * runner.
 *
 * Pure.
 */
#ifndef POSTERN_LOOP_H
#define POSTERN_LOOP_H

#include "postern/route.h"

struct pn_loop_window {
	struct pn_str model;
	const struct pn_model *listed;	/* NULL: the model is not listed */
	uint64_t record;		/* 0: new records of the model */
	struct pn_str thread;		/* instead of record, while that is not known */
	bool update;			/* counts messages on a record */
};

struct pn_loop_windows {
	struct pn_loop_window *v;	/* in the order Odoo asks */
	size_t n;
};

/* What to count for a routed mail; n = 0 when it is never limited: no From, an
 * allowed sender, a model without primary email, a record that is gone. */
struct pn_loop_windows pn_loop_windows(const struct pn_gateway *gateway, const struct pn_models *models,
    const struct pn_message *message, const struct pn_decision *decision, struct pn_arena *arena);

/* Mails that the window may hold.  A record that has no mail yet is never too
 * full for its first one, whatever the threshold. */
uint64_t pn_loop_limit(const struct pn_loop_window *window, uint64_t threshold);

/* `count` mails are in the window already: is this one too many? */
bool pn_loop_full(const struct pn_loop_window *window, uint64_t count, uint64_t threshold);

/* Turns a routed decision into a loop (rule loop_new or loop_update). */
void pn_loop_fire(struct pn_decision *decision, const struct pn_loop_window *window, struct pn_arena *arena);

#endif
