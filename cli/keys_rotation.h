/* keys_rotation.h - how far the rotation of a domain's keys is, in a file beside them. */
#ifndef POSTERN_CLI_KEYS_ROTATION_H
#define POSTERN_CLI_KEYS_ROTATION_H

#include "keys.h"

enum { ROTATION_TTL_MAX = 86400 };

struct pair {
	struct pn_str old, new; /* names in the key table */
	struct pn_str selector; /* of the new one */
	enum pn_dkim_key_type type;
	uint64_t bits;
};

enum phase { PHASE_NONE, PHASE_PUBLISH, PHASE_WAIT, PHASE_RETIRE };
const char *rotation_phase_name(enum phase phase);
struct rotation {
	struct keys *k;
	enum phase phase;
	uint64_t since; /* when the phase began */
	uint64_t ttl; /* how long "there is no such record" may be remembered elsewhere; 0 = not seen */
	struct pair pairs[PN_SIGNING_KEYS];
	size_t n;
	struct pn_dns dns;
};

/* PN_OK, PN_TEMPFAIL */
PN_CHECK enum pn_status rotation_write(const struct rotation *r, struct pn_error *err);
/* PN_OK, PN_NOT_FOUND: none is under way, PN_INVALID: no such file of ours, PN_TEMPFAIL */
PN_CHECK enum pn_status rotation_read(struct rotation *r, struct pn_error *err);
void rotation_remove(const struct rotation *r);

#endif
