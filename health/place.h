/* place.h - how far a log was read: noted in a file, and found again.
 *
 * An inode is used again, and a file may have been emptied and filled: so the
 * last bytes before the offset are remembered, too, by a hash.
 */
#ifndef HEALTH_PLACE_H
#define HEALTH_PLACE_H

#include <sys/types.h>

#include "postern/str.h"

struct place {
	dev_t device;
	ino_t inode; /* 0: of no file */
	uint64_t offset;
	uint64_t mark; /* of the bytes before it */
	int64_t time; /* of the journal: seconds */
};

/* False: there is none that can be read. */
bool place_load(const char *path, struct place *out);
/* False: errno says why. */
bool place_save(const char *path, const struct place *place);

/* Sets .mark from the file. */
void place_mark(struct place *place, int fd);

/* Opens the file it is in: `log`, or one beside it whose name begins so (mail.log.1,
 * mail.log-20260302).  -1: it is nowhere, or holds something else there. */
int place_find(const struct place *place, const char *log);

#endif
