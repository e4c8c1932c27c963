/* dkim_public_key.h - a public key, decoded: what another process signs for us is verified with it.
 *
 * Internal to lib/auth.  Thread-safe.
 */
#ifndef LIB_AUTH_DKIM_PUBLIC_KEY_H
#define LIB_AUTH_DKIM_PUBLIC_KEY_H

#include <openssl/evp.h>

#include "postern/dkim_key.h"

/* To be freed; NULL: p= is no key of its k=. */
EVP_PKEY *dkim_public_key_decode(const struct pn_dkim_record *record, struct pn_arena *arena);

/* Is this the signature of the key's owner under this SHA-256 hash? */
bool dkim_public_key_verify(EVP_PKEY *pkey, enum pn_dkim_key_type type, struct pn_str hash, struct pn_str signature);

#endif
