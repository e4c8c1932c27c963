/* dkim_public_keys.h - public keys, decoded: OpenSSL takes longer to read one than to verify with it.
 *
 * Internal to lib/auth.  Thread-safe.  Holds a fixed number of keys; the key of a stranger can push another one
 * out, and costs no more than that one's reading anew.
 */
#ifndef LIB_AUTH_DKIM_PUBLIC_KEYS_H
#define LIB_AUTH_DKIM_PUBLIC_KEYS_H

#include <openssl/evp.h>

#include "postern/dkim_key.h"

/* -- one key -- */

/* To be freed; NULL: p= is no key of its k=. */
EVP_PKEY *dkim_public_key_decode(const struct pn_dkim_record *record, struct pn_arena *arena);

/* Is this the signature of the key's owner under this SHA-256 hash? */
bool dkim_public_key_verify(EVP_PKEY *pkey, enum pn_dkim_key_type type, struct pn_str hash, struct pn_str signature);

/* -- many -- */

struct dkim_public_keys;

struct dkim_public_keys *dkim_public_keys_new(void);
void dkim_public_keys_free(struct dkim_public_keys *keys);	/* NULL is fine */

/* The same by the record, whose key is decoded once.
 *
 * PN_OK         yes
 * PN_INVALID    no
 * PN_NOT_FOUND  the key cannot be used
 *
 * *bits: of an RSA key that was used, else 0. */
PN_CHECK enum pn_status dkim_public_keys_verify(struct dkim_public_keys *keys, const struct pn_dkim_record *record,
    struct pn_str hash, struct pn_str signature, struct pn_arena *arena, unsigned *bits);

#endif
