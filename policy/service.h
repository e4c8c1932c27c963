/* service.h - what the answers come from: a configuration and a store.
 *
 * The daemon starts without a store, too: then addresses that need no table
 * are answered, and whatever needs one gets "cannot say now" until the store
 * can be opened and knows this configuration's aliases.  A new configuration
 * takes the place of the old one only when all of that has succeeded.
 *
 * One thread.
 */
#ifndef POLICY_SERVICE_H
#define POLICY_SERVICE_H

#include <sys/types.h>

#include "instances.h"
#include "postern/config.h"
#include "postern/facts.h"

struct service {
	const char *path;		/* of the configuration */
	struct pn_config *config;	/* in use */
	struct pn_config *pending;	/* loaded, but its store cannot be had yet; NULL: none */
	struct pn_store *store;		/* NULL: not open */
	bool ready;			/* the store holds what config says */
	bool verbose;			/* -v: as if `debug` were set */
	bool debug;			/* each question is logged */
	uid_t postfix;			/* who may have passwords; (uid_t)-1: nobody of that name */
	struct pn_arena *arena;		/* of one request: reset before each */
	struct instances *instances;	/* messages on their way, of the policy protocol */
	bool together;			/* between service_begin() and service_end() */
	bool trouble;			/* one of the group met with it */
	bool again;			/* the group came to nothing: each is answered alone */
	struct pn_buf line;		/* for one that is being written */
	struct pn_buf lines;		/* to be logged when the group's answers hold */
	char complaint[sizeof(((struct pn_error *)0)->text)];	/* logged last */
	int64_t complained;		/* seconds; the same text is not logged again for a minute */
};

/* Takes over config. */
void service_init(struct service *service, const char *path, struct pn_config *config, bool verbose);
void service_done(struct service *service);

/* Once a second: opens the store and applies what is not applied yet. */
void service_tick(struct service *service);

/* Reads the configuration again.  A bad one is logged, and the old one stays. */
void service_reload(struct service *service);

/* PN_OK: service->store can be asked; PN_TEMPFAIL: not yet. */
PN_CHECK enum pn_status service_store(struct service *service, struct pn_error *err);

/* Does the other end of a unix socket run as Postfix or as root? */
bool service_is_postfix(const struct service *service, int fd);

/* Whose is this address?  As pn_recipient_classify(); *out lives until the next
 * question. */
PN_CHECK enum pn_status service_classify(struct service *service, struct pn_str address,
    struct pn_rcpt *out, struct pn_error *err);

/* The requests answered between these two are a group: one transaction of the
 * state for them all.  False: it came to nothing, and nothing is counted or logged;
 * each is to be answered again, alone, and that is its answer.  What can be asked
 * of a group is what pn_quota_group_begin() says. */
void service_begin(struct service *service);
PN_CHECK bool service_end(struct service *service);

/* The line of an answer.  service_trouble(): of one for which somebody must act;
 * in a group that is found out alone. */
void service_log(struct service *service, struct pn_str line);
void service_trouble(struct service *service, struct pn_str line);

/* The same for a text that is no answer's; not the same one with every request. */
void service_complain(struct service *service, const char *text);

#endif
