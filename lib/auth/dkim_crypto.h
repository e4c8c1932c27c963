/* dkim_crypto.h - OpenSSL for libopendkim.
 *
 * Internal to lib/auth.  The library decodes the key for each mail, and OpenSSL 3 goes through all
 * decoders and all kinds of keys that it has for that: most of the time.  Here it has those of DKIM only.
 */
#ifndef LIB_AUTH_DKIM_CRYPTO_H
#define LIB_AUTH_DKIM_CRYPTO_H

#include <openssl/crypto.h>

/* For OSSL_LIB_CTX_set0_default(), around calls that verify.  It lives as long as the process.  NULL where it
 * cannot be had: then that function changes nothing. */
OSSL_LIB_CTX *dkim_crypto(void);

#endif
