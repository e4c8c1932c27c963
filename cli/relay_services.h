/* relay_services.h - the services of master.cf by which mail leaves for the relays.
 *
 * One for each kind of TLS and each relay that needs its own, and for each of
 * them one that waits.  `postern postfix-conf` prints them, `postern check`
 * compares them with the live ones.
 */
#ifndef POSTERN_CLI_RELAY_SERVICES_H
#define POSTERN_CLI_RELAY_SERVICES_H

#include "postern/config.h"

struct relay_service {
	struct pn_str name;		/* "postern-starttls", "postern-wait-gmail2" */
	const struct pn_relay *relay;	/* the first that it serves */
	bool waiting;
	uint64_t most;			/* recipients at once; 0: no limit */
};

struct relay_services {
	struct relay_service *v;
	size_t n;
};

/* Of the active relays; those that wait come last. */
struct relay_services relay_services(struct pn_relays relays, struct pn_arena *arena);

/* Its lines of master.cf, as in postfix-conf/master.cf.  map_socket: as Postfix names it. */
struct pn_str relay_service_text(const struct relay_service *service, struct pn_str map_socket,
    struct pn_arena *arena);

/* Takes the next "  -o name=value" or "-o { name = value }" out of *text. */
bool relay_service_option(struct pn_str *text, struct pn_str *name, struct pn_str *value);

#endif
