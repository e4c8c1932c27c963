#include "dkim_public_key.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "dkim_tags.h"

EVP_PKEY *
dkim_public_key_decode(const struct pn_dkim_record *record, struct pn_arena *arena)
{
	const unsigned char *at;
	struct pn_str bytes;
	EVP_PKEY *pkey;

	if (pn_dkim_base64(record->key, arena, &bytes) != PN_OK)
		return NULL;
	at = (const unsigned char *)bytes.p;
	pkey = record->type == PN_DKIM_RSA ? d2i_PUBKEY(NULL, &at, (long)bytes.n)
	    : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, at, bytes.n);
	if (pkey != NULL && record->type == PN_DKIM_RSA && EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA) {
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	ERR_clear_error();
	return pkey;
}

static bool
verify_rsa(EVP_PKEY *pkey, struct pn_str hash, struct pn_str signature)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	bool ok = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1
	    && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1
	    && EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1
	    && EVP_PKEY_verify(ctx, (const unsigned char *)signature.p, signature.n, (const unsigned char *)hash.p,
	    hash.n) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

/* RFC 8463 section 3: what is signed is the hash. */
static bool
verify_ed25519(EVP_PKEY *pkey, struct pn_str hash, struct pn_str signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1
	    && EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n, (const unsigned char *)hash.p,
	    hash.n) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

bool
dkim_public_key_verify(EVP_PKEY *pkey, enum pn_dkim_key_type type, struct pn_str hash, struct pn_str signature)
{
	bool genuine = (type == PN_DKIM_RSA ? verify_rsa : verify_ed25519)(pkey, hash, signature);

	ERR_clear_error();
	return genuine;
}
