/* learn.h - what the lines of Postfix's log mean for the relays.
 *
 * Who took a mail corrects the quotas (pn_quota_delivered), what fails or succeeds is
 * learned of a relay's health (pn_health_learn): at most once a second and relay, in a
 * batch that says the same.
 *
 * What smtp(8) says on the way of a delivery waits for its end, which the process
 * id tells: a relay that takes the mail at its second address has not failed, and
 * what is said twice is one failure.
 *
 * One thread.
 */
#ifndef HEALTH_LEARN_H
#define HEALTH_LEARN_H

#include "postern/config.h"

struct learn;

/* config and store must outlive it. */
struct learn *learn_new(const struct pn_config *config, struct pn_store *store);
void learn_free(struct learn *learn); /* NULL is fine */

/* One line of the log.  What is older than a day says nothing any more; of health,
 * than ten minutes.
 * PN_OK, PN_TEMPFAIL: the store cannot be written now, the line is to be told again. */
PN_CHECK enum pn_status learn_line(void *learn, struct pn_str line, struct pn_error *err);

/* Writes what was gathered. */
PN_CHECK enum pn_status learn_flush(struct learn *learn, struct pn_error *err);

/* An OAuth relay refused the login: postern-broker is told, as its token may be revoked. */
void learn_refused_login(const struct pn_config *config, const struct pn_relay *relay);

/* A line of the log for the operator, when a relay was opened or closed. */
void learn_report(struct pn_store *store, struct pn_str relay);

#endif
