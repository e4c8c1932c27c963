/* key_ring.h - private keys by the path that a KeyTable gives, each read and decoded once; or keys that another
 * process has, each asked for once.
 *
 * Decoding a key costs more than signing with it.  A path may depend on the author ("%"), so keys are
 * read when they are first needed; who wants to see them all at start asks for them then.  A changed key
 * is seen by a new ring. Thread-safe; nobody waits for a key that another thread reads or asks for.
 */
#ifndef POSTERN_KEY_RING_H
#define POSTERN_KEY_RING_H

#include "postern/dkim_key.h"

enum { PN_KEY_RING_MAX = 10000 };	/* keys */

/* How the file is read: pn_config_secret(), which looks at its owner and mode. */
typedef enum pn_status pn_key_ring_read(const char *path, struct pn_arena *arena, struct pn_str *out,
    struct pn_error *err);

struct pn_key_ring;

struct pn_key_ring *pn_key_ring_new(pn_key_ring_read *read);
struct pn_key_ring *pn_key_ring_of_service(const struct pn_key_service *service);	/* must outlive it */
void pn_key_ring_free(struct pn_key_ring *ring);	/* NULL is fine */

/* key: as in struct pn_signing_key, a path or the key itself; of a service: the name of pn_dkim_key_ask(),
 * and its status.
 * PN_OK         *out, as long as the ring
 * PN_NOT_FOUND  there is no such file
 * PN_INVALID    no private key for DKIM, or others may use the file
 * PN_TEMPFAIL   it cannot be read
 * PN_LIMIT      too many keys; a failure is not remembered and is tried again */
PN_CHECK enum pn_status pn_key_ring_get(struct pn_key_ring *ring, struct pn_str key,
    const struct pn_dkim_key **out, struct pn_error *err);

#endif
