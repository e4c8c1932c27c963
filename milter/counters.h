/* counters.h - how often what happened; flushed to the store once a second.
 * Thread-safe. */
#ifndef POSTERN_MILTER_COUNTERS_H
#define POSTERN_MILTER_COUNTERS_H

#include "postern/gate.h"

enum counter {
	COUNT_MAILS,		/* ends of messages */
	COUNT_OUTBOUND,
	COUNT_LEARNED,		/* threads */
	COUNT_RCPT_OURS,
	COUNT_RCPT_REFUSED,
	COUNT_RCPT_TROUBLE,
	COUNT_STORE_ERRORS,
	COUNT_MISCONFIGURED,	/* aliases that could not take a mail, though others could */
	COUNT_ACTION_ERRORS,	/* libmilter refused a change */
	COUNT_LAST
};

void count(enum counter which, unsigned long n);
void count_verdict(const struct pn_verdict *verdict);

/* Adds what happened since the last call to the store. */
enum pn_status counters_flush(struct pn_store *store, struct pn_error *err);

#endif
