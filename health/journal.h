/* journal.h - the mail facility of the systemd journal, as lines, by journalctl(1).
 *
 * A process of its own reads the journal and writes lines like those of a log
 * file into a pipe; when it ends it is started again.
 */
#ifndef HEALTH_JOURNAL_H
#define HEALTH_JOURNAL_H

#include "postern/error.h"

struct journal;

/* since: seconds; 0: from now on. */
struct journal *journal_new(int64_t since);
void journal_free(struct journal *journal); /* NULL is fine */

/* *fd is non-blocking, and the journal's.
 * PN_OK, PN_TEMPFAIL: it cannot be started, or not so soon again. */
PN_CHECK enum pn_status journal_open(struct journal *journal, int *fd, struct pn_error *err);
/* The pipe is at its end.  PN_TEMPFAIL: err says how the process ended. */
PN_CHECK enum pn_status journal_ended(struct journal *journal, struct pn_error *err);

#endif
