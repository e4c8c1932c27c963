/* maps.h - the tables that Postfix asks for by name.
 *
 * A lookup answers PN_OK and the value; PN_NOT_FOUND; PN_INVALID: asking again
 * is useless; PN_TEMPFAIL, PN_LIMIT: Postfix shall try later.  Where something
 * could not be found out the answer is never PN_NOT_FOUND: mail would leave by
 * another way, or without its password.
 */
#ifndef POLICY_MAPS_H
#define POLICY_MAPS_H

#include "service.h"

struct map_request {
	struct service *service;
	struct pn_str name;		/* as asked for: "sasl-gmail2" */
	struct pn_str key;
	struct pn_buf *value;
};

typedef enum pn_status map_lookup(const struct map_request *request, struct pn_error *err);

struct map {
	map_lookup *lookup;
	bool secret;			/* for Postfix alone; never logged */
};

/* NULL: there is no map of this name. */
const struct map *map_find(struct pn_str name);

/* Known addresses stand for themselves. */
map_lookup map_recipient;
/* "user:password" for "[host]:port"; sasl-NAME: of this relay only. */
map_lookup map_sasl;
/* The TLS level for "[host]:port"; tls-NAME: of this relay only. */
map_lookup map_tls;
/* The same for mail that waits: each answer is one recipient that is counted, and
 * there is none while the relay is closed; wait-NAME: of this relay only. */
map_lookup map_wait;
/* "transport:nexthop" for an envelope sender, now. */
map_lookup map_route;

#endif
