/* What OpenSSL offers libopendkim: the keys of DKIM, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "../../lib/auth/dkim_crypto.h"
#include "postern/str.h"

/* Takes the key; what is left of it under the other context. */
static EVP_PKEY *
decode(EVP_PKEY *pkey)
{
	unsigned char *der = NULL;
	const unsigned char *at;
	OSSL_LIB_CTX *before;
	EVP_PKEY *again;
	int n = i2d_PUBKEY(pkey, &der);

	assert_true(n > 0);
	at = der;
	before = OSSL_LIB_CTX_set0_default(dkim_crypto());
	again = d2i_PUBKEY(NULL, &at, n);
	(void)OSSL_LIB_CTX_set0_default(before);
	OPENSSL_free(der);
	EVP_PKEY_free(pkey);
	return again;
}

static void
test_keys(void **state)
{
	EVP_PKEY *rsa = decode(EVP_RSA_gen(1024)), *curve;

	(void)state;
	/* or it gets slow, and nothing says so */
	assert_non_null(dkim_crypto());
	assert_int_equal(EVP_PKEY_get_bits(rsa), 1024);
	EVP_PKEY_free(rsa);
	curve = decode(EVP_EC_gen("P-256"));
	assert_null(curve);
	/* and elsewhere all is as before */
	curve = EVP_EC_gen("P-256");
	assert_non_null(curve);
	EVP_PKEY_free(curve);
}

/* Which needs SHA-512, too. */
static void
test_ed25519(void **state)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), *public;
	const unsigned char text[] = "what is signed";
	unsigned char signature[64], bytes[32];
	size_t n = sizeof(signature), m = sizeof(bytes);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	OSSL_LIB_CTX *before;

	(void)state;
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(ctx, signature, &n, text, sizeof(text)), 1);
	assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, bytes, &m), 1);
	EVP_MD_CTX_free(ctx);
	before = OSSL_LIB_CTX_set0_default(dkim_crypto());
	public = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, m);
	ctx = EVP_MD_CTX_new();
	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, public), 1);
	assert_int_equal(EVP_DigestVerify(ctx, signature, n, text, sizeof(text)), 1);
	signature[0] ^= 1;
	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, public), 1);
	assert_int_not_equal(EVP_DigestVerify(ctx, signature, n, text, sizeof(text)), 1);
	EVP_MD_CTX_free(ctx);
	(void)OSSL_LIB_CTX_set0_default(before);
	EVP_PKEY_free(public);
	EVP_PKEY_free(pkey);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ed25519),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
