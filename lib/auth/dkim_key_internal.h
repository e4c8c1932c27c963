/* dkim_key_internal.h - the inside of a private key, for who signs.  Internal to lib/auth. */
#ifndef LIB_AUTH_DKIM_KEY_INTERNAL_H
#define LIB_AUTH_DKIM_KEY_INTERNAL_H

#include <openssl/evp.h>

#include "postern/dkim_key.h"

struct pn_dkim_key {
	EVP_PKEY *pkey;			/* where another process has it: the public half */
	enum pn_dkim_key_type type;
	char *published;		/* p= of its record; of malloc(): OpenSSL takes long to write it */
	const struct pn_key_service *service;	/* of the other process, and its name there; else NULL */
	char *name;
};

#endif
