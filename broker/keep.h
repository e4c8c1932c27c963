/* keep.h - where tokens are kept: STATE/tokens, one file for each relay (postern/token.h).
 *
 * The folder is locked while it is open, so that one broker is at work: a refresh token that
 * two use at once may be lost.  Files appear under their names when they are whole and on disk.
 */
#ifndef BROKER_KEEP_H
#define BROKER_KEEP_H

#include "postern/error.h"

struct keep {
	int folder;
};

/* Makes the folder (0750) where it is missing.  Run by root, folder and files are the owner's of the
 * state directory.
 *
 * PN_OK
 * PN_TEMPFAIL  another broker is at work, or the system refuses */
PN_CHECK enum pn_status keep_open(struct keep *out, struct pn_str state_directory, struct pn_error *err);
void keep_close(struct keep *keep);

/* relay: a name of the configuration, which is one of a file, too; expires: seconds since 1970.  The file
 * is readable by the group postern where it belongs to it, else by its owner alone.
 *
 * PN_OK or PN_TEMPFAIL. */
PN_CHECK enum pn_status keep_token(const struct keep *keep, struct pn_str relay, struct pn_str token,
    int64_t expires, struct pn_error *err);

/* Another secret takes the place of the one in the file, with its owner and group as far as that is allowed.
 *
 * PN_OK or PN_TEMPFAIL. */
PN_CHECK enum pn_status keep_secret(const char *path, struct pn_str secret, struct pn_error *err);

#endif
