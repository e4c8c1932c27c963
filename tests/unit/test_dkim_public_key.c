/* A decoded public key: what verifies, and what cannot be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/rsa.h>

#include "../../lib/auth/dkim_key_internal.h"
#include "../../lib/auth/dkim_public_key.h"

static const unsigned char hash_bytes[32] = { 1, 2, 3, 4, 5 }, other_bytes[32] = { 9 };
#define HASH pn_str_n((const char *)hash_bytes, sizeof(hash_bytes))
#define OTHER pn_str_n((const char *)other_bytes, sizeof(other_bytes))

struct pair {
	struct pn_dkim_key *key;
	struct pn_dkim_record record;
	struct pn_str signature;	/* under HASH */
};

static struct pn_str
sign(EVP_PKEY *pkey, bool rsa, struct pn_arena *arena)
{
	unsigned char *out = pn_arena_alloc(arena, 1024);
	EVP_PKEY_CTX *ctx = rsa ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t n = 1024;

	if (rsa) {
		assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()), 1);
		assert_int_equal(EVP_PKEY_sign(ctx, out, &n, hash_bytes, sizeof(hash_bytes)), 1);
	} else {
		assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, pkey), 1);
		assert_int_equal(EVP_DigestSign(md, out, &n, hash_bytes, sizeof(hash_bytes)), 1);
	}
	EVP_PKEY_CTX_free(ctx);
	EVP_MD_CTX_free(md);
	return pn_str_n((const char *)out, n);
}

static struct pair
make(enum pn_dkim_key_type type, unsigned bits, struct pn_arena *arena)
{
	struct pn_error err = { "" };
	struct pair p;

	assert_int_equal(pn_dkim_key_generate(type, bits, &p.key, &err), PN_OK);
	assert_int_equal(pn_dkim_record_parse(pn_dkim_key_record(p.key, arena), arena, &p.record, &err), PN_OK);
	p.signature = sign(p.key->pkey, type == PN_DKIM_RSA, arena);
	return p;
}

static void
test_verify(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pair rsa = make(PN_DKIM_RSA, 2048, arena), small = make(PN_DKIM_RSA, 1024, arena),
	    ed = make(PN_DKIM_ED25519, 0, arena);
	struct pn_dkim_record as_ed = rsa.record, as_rsa = ed.record, cut = rsa.record, no_rsa = rsa.record;
	/* a key on the curve P-256 */
	struct pn_str curve = PN_STR("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEggkXiLYQyDphGH1c9mQRc2hb0A4JrIBW4MY6"
	    "H+UfOee6mWZMmVAjxIL4hReYftQ//i6YrGh/9WlPuvJM8BKscw==");
	const struct {
		const char *name;
		const struct pn_dkim_record *record;
		struct pn_str hash, signature;
		bool usable, genuine;
	} rows[] = {
		{ "RSA", &rsa.record, HASH, rsa.signature, true, true },
		{ "another hash", &rsa.record, OTHER, rsa.signature, true, false },
		{ "a signature cut off", &rsa.record, HASH, pn_str_head(rsa.signature, 255), true, false },
		{ "no signature", &rsa.record, HASH, PN_STR_EMPTY, true, false },
		{ "another key", &small.record, HASH, rsa.signature, true, false },
		{ "a small key", &small.record, HASH, small.signature, true, true },
		{ "an RSA key as Ed25519", &as_ed, HASH, rsa.signature, false, false },
		{ "Ed25519", &ed.record, HASH, ed.signature, true, true },
		{ "Ed25519, another hash", &ed.record, OTHER, ed.signature, true, false },
		{ "an Ed25519 key as RSA", &as_rsa, HASH, ed.signature, false, false },
		{ "half a key", &cut, HASH, rsa.signature, false, false },
		{ "a key of another algorithm", &no_rsa, HASH, rsa.signature, false, false },
	};

	(void)state;
	as_ed.type = PN_DKIM_ED25519;
	as_rsa.type = PN_DKIM_RSA;
	cut.key = pn_str_head(cut.key, 200);
	no_rsa.key = curve;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		EVP_PKEY *pkey = dkim_public_key_decode(rows[i].record, arena);

		if ((pkey != NULL) != rows[i].usable || (pkey != NULL && rows[i].genuine
		    != dkim_public_key_verify(pkey, rows[i].record->type, rows[i].hash, rows[i].signature)))
			fail_msg("%s", rows[i].name);
		EVP_PKEY_free(pkey);
	}
	pn_dkim_key_free(rsa.key);
	pn_dkim_key_free(small.key);
	pn_dkim_key_free(ed.key);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
