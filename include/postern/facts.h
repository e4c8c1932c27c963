/* facts.h - the store's directory as the facts the core asks for.
 *
 * Glue between pn_directory_view (LMDB) and the core's ports, used by every
 * program, so that they all know the same.  A pn_facts lives within one
 * callback or request, like the view it wraps; not thread-safe.
 */
#ifndef POSTERN_FACTS_H
#define POSTERN_FACTS_H

#include "postern/config.h"
#include "postern/recipient.h"
#include "postern/signer.h"

struct pn_facts {
	struct pn_directory_view *view;
	struct pn_arena *arena;
	int64_t now;			/* seconds */
	bool other_configuration;	/* the directory follows another version of the files than ours */
	struct pn_recipient_facts recipient;	/* .ctx is this pn_facts: do not copy */
};

/* A store, and the configuration that says how to read it. */
struct pn_gate {
	const struct pn_config *config;
	struct pn_store *store;
	struct pn_signer *signer;	/* NULL: nothing is signed */
};

/* Opens a view.  now: seconds.  PN_OK or PN_TEMPFAIL. */
PN_CHECK enum pn_status pn_facts_open(struct pn_facts *facts, const struct pn_gate *gate,
    struct pn_arena *arena, int64_t now, struct pn_error *err);
void pn_facts_close(struct pn_facts *facts);

/* Is the table complete: declared so, or synced and younger than stale_after?
 * Never while another program has put another configuration's rows there: what
 * is missing proves nothing then. */
bool pn_facts_complete(const struct pn_facts *facts, const struct pn_gateway *gateway, enum pn_table table);

#endif
