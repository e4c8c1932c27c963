/* follow.h - the lines of a log as they are written, each once.
 *
 * A file is followed over rotation by renaming (what is left of the old one
 * comes first) and over truncation; "journal" is read through journalctl(1).
 * How far it was read stands in the state directory, so that a restart misses
 * nothing: of a file by inode and offset, also when it was renamed meanwhile; of
 * the journal by time, so that the last lines may come again.  Without such a
 * place it begins at the end.
 *
 * One thread.
 */
#ifndef HEALTH_FOLLOW_H
#define HEALTH_FOLLOW_H

#include "postern/error.h"

struct follow;

/* log: a path, or "journal"; opened when it can be.  Both are copied. */
struct follow *follow_new(struct pn_str log, struct pn_str state_directory);
/* Notes the place; NULL is fine. */
void follow_free(struct follow *follow);

/* Takes a line: PN_OK, or it is to be told again. */
typedef enum pn_status follow_take(void *ctx, struct pn_str line, struct pn_error *err);

/* Hands over lines, without their ends, that are complete; *more: there may be others
 * already.  A line that is not taken is handed over again next time.
 * PN_OK, PN_TEMPFAIL: the log cannot be read, or a line was not taken. */
PN_CHECK enum pn_status
follow_read(struct follow *follow, follow_take *take, void *ctx, bool *more, struct pn_error *err);

/* Notes how far it was read, if that has changed. */
PN_CHECK enum pn_status follow_note(struct follow *follow, struct pn_error *err);

/* Readable when there are lines; -1: look from time to time. */
int follow_fd(const struct follow *follow);

#endif
