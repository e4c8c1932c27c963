/* probe.h - asks relays how they are, without sending mail.
 *
 * An open relay is connected to, encrypted with, and left, every probe_interval;
 * one with failures at least every minute.  Only what fails is learned of that: that a
 * relay answers does not say that it lets us in.  One that was down is logged in to as
 * soon as its pause is over, and that decides.  What the operator or the provider
 * closed is left alone.
 *
 * Each probe is a thread that touches nothing but the network, its configuration and
 * the relay's secret: one per relay at most and PROBES_MAX in all.  All calls are from
 * one thread.
 */
#ifndef HEALTH_PROBE_H
#define HEALTH_PROBE_H

#include "postern/config.h"

enum { PROBES_MAX = 16 };

/* A configuration that is freed by the last who uses it. */
struct shared {
	struct pn_config *config;
	unsigned users;
};
struct shared *shared_new(struct pn_config *config); /* takes it over; one user */
void shared_release(struct shared *shared); /* NULL is fine */

struct probes;

struct probes *probes_new(void);
/* False: some run still and cannot be ended; what they use was not freed. */
bool probes_free(struct probes *probes);

/* From now on those of this configuration. */
void probes_follow(struct probes *probes, struct shared *shared);

/* Begins what is due, and writes what those that ended have found; once a second.
 * PN_OK, PN_TEMPFAIL: the store cannot say now. */
PN_CHECK enum pn_status probes_tick(struct probes *probes, struct pn_store *store, struct pn_error *err);

#endif
