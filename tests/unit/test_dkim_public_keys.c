/* Decoded public keys: what verifies, what cannot be used, and that a kept key is never another one's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/rsa.h>

#include "../../lib/auth/dkim_key_internal.h"
#include "../../lib/auth/dkim_public_keys.h"

enum {
	CROWD = 3000,			/* more than are kept */
	THREADS = 4,
	SHARED = 8,
	ROUNDS = 200,
};

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
	struct dkim_public_keys *keys = dkim_public_keys_new();
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
		enum pn_status want;
		unsigned bits;
	} rows[] = {
		{ "RSA", &rsa.record, HASH, rsa.signature, PN_OK, 2048 },
		{ "RSA again, from what is kept", &rsa.record, HASH, rsa.signature, PN_OK, 2048 },
		{ "another hash", &rsa.record, OTHER, rsa.signature, PN_INVALID, 2048 },
		{ "a signature cut off", &rsa.record, HASH, pn_str_head(rsa.signature, 255), PN_INVALID, 2048 },
		{ "no signature", &rsa.record, HASH, PN_STR_EMPTY, PN_INVALID, 2048 },
		{ "another key", &small.record, HASH, rsa.signature, PN_INVALID, 1024 },
		{ "a small key", &small.record, HASH, small.signature, PN_OK, 1024 },
		{ "the text of a kept key under another type", &as_ed, HASH, rsa.signature, PN_NOT_FOUND, 0 },
		{ "Ed25519", &ed.record, HASH, ed.signature, PN_OK, 0 },
		{ "Ed25519 again", &ed.record, HASH, ed.signature, PN_OK, 0 },
		{ "Ed25519, another hash", &ed.record, OTHER, ed.signature, PN_INVALID, 0 },
		{ "an Ed25519 key as RSA", &as_rsa, HASH, ed.signature, PN_NOT_FOUND, 0 },
		{ "half a key", &cut, HASH, rsa.signature, PN_NOT_FOUND, 0 },
		{ "a key of another algorithm", &no_rsa, HASH, rsa.signature, PN_NOT_FOUND, 0 },
	};

	(void)state;
	as_ed.type = PN_DKIM_ED25519;
	as_rsa.type = PN_DKIM_RSA;
	cut.key = pn_str_head(cut.key, 200);
	no_rsa.key = curve;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		unsigned bits = 7;
		enum pn_status st = dkim_public_keys_verify(keys, rows[i].record, rows[i].hash, rows[i].signature, arena, &bits);

		if (st != rows[i].want || bits != rows[i].bits)
			fail_msg("%s: status %d, %u bits", rows[i].name, (int)st, bits);
	}
	pn_dkim_key_free(rsa.key);
	pn_dkim_key_free(small.key);
	pn_dkim_key_free(ed.key);
	dkim_public_keys_free(keys);
	pn_arena_free(arena);
}

/* Keys that share a place push each other out, and are never taken for each other. */
static void
test_crowd(void **state)
{
	struct dkim_public_keys *keys = dkim_public_keys_new();
	struct pn_arena *arena = pn_arena_new(64 << 20);
	struct pair *pairs = PN_ARENA_ARRAY(arena, struct pair, CROWD);
	unsigned bits;

	(void)state;
	for (size_t i = 0; i < CROWD; i++)
		pairs[i] = make(PN_DKIM_ED25519, 0, arena);
	for (size_t i = 0; i < 2 * CROWD; i++) {
		const struct pair *p = &pairs[i % CROWD], *next = &pairs[(i + 1) % CROWD];

		assert_int_equal(dkim_public_keys_verify(keys, &p->record, HASH, p->signature, arena, &bits), PN_OK);
		assert_int_equal(dkim_public_keys_verify(keys, &p->record, HASH, next->signature, arena, &bits), PN_INVALID);
	}
	for (size_t i = 0; i < CROWD; i++)
		pn_dkim_key_free(pairs[i].key);
	dkim_public_keys_free(keys);
	pn_arena_free(arena);
}

struct shared {
	struct dkim_public_keys *keys;
	struct pair pairs[SHARED];
};

static void *
verify_all(void *data)
{
	const struct shared *s = data;
	struct pn_arena *arena = pn_arena_new(1 << 20);
	uintptr_t failed = 0;
	unsigned bits;

	for (size_t i = 0; i < ROUNDS; i++) {
		const struct pair *p = &s->pairs[i % SHARED];

		failed += dkim_public_keys_verify(s->keys, &p->record, HASH, p->signature, arena, &bits) != PN_OK;
	}
	pn_arena_free(arena);
	return (void *)failed;
}

static void
test_threads(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct shared s = { .keys = dkim_public_keys_new() };
	pthread_t threads[THREADS];

	(void)state;
	for (size_t i = 0; i < SHARED; i++)
		s.pairs[i] = make(i % 2 == 0 ? PN_DKIM_RSA : PN_DKIM_ED25519, 1024, arena);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, verify_all, &s), 0);
	for (size_t i = 0; i < THREADS; i++) {
		void *failed = NULL;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	for (size_t i = 0; i < SHARED; i++)
		pn_dkim_key_free(s.pairs[i].key);
	dkim_public_keys_free(s.keys);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
