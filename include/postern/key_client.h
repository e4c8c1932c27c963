/* key_client.h - postern-signer, as others ask it: key_service.h over its unix socket.
 *
 * A connection is kept for the next question; one that the other side has closed meanwhile is replaced once.
 * Nobody waits longer than 2 seconds; and where one has waited in vain, the next second nobody waits at all.
 * Thread-safe.
 */
#ifndef POSTERN_KEY_CLIENT_H
#define POSTERN_KEY_CLIENT_H

#include "postern/key_service.h"
#include "postern/str.h"

/* address: "unix:/path".  Nobody is asked yet.
 * PN_OK       *out, to be closed
 * PN_INVALID  no path of a socket */
PN_CHECK enum pn_status pn_key_client_open(struct pn_str address, struct pn_key_service *out, struct pn_error *err);

#endif
