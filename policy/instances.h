/* instances.h - what was asked at RCPT, for the question at DATA.
 *
 * The policy request at DATA does not name the recipients; those at RCPT do, one
 * by one, and carry the same `instance`.  A message with a recipient that stays
 * here must get no FILTER.  Bounded: the oldest instances are forgotten.
 */
#ifndef POLICY_INSTANCES_H
#define POLICY_INSTANCES_H

#include "postern/str.h"

struct instances;

struct instances *instances_new(size_t most);
void instances_free(struct instances *instances);	/* NULL is fine */

/* One recipient of the message.  now: seconds. */
void instances_add(struct instances *instances, struct pn_str instance, bool stays_here, int64_t now);

struct instance_facts {
	uint64_t recipients;	/* that leave */
	uint64_t here;		/* that stay */
};
/* Nothing is known: all zero. */
struct instance_facts instances_get(const struct instances *instances, struct pn_str instance);

#endif
