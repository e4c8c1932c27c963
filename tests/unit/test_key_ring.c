#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "postern/config.h"
#include "postern/dkim_sign.h"
#include "postern/key_ring.h"

enum { THREADS = 4, ROUNDS = 50, ARENA_LIMIT = 1024 * 1024 };

struct folder {
	char name[32], rsa[64], ed25519[64];
	struct pn_key_ring *ring;
};

static int
make(void **state)
{
	static struct folder folder;
	struct pn_dkim_key *key;

	(void)snprintf(folder.name, sizeof(folder.name), "/tmp/postern-ring-XXXXXX");
	assert_non_null(mkdtemp(folder.name));
	(void)snprintf(folder.rsa, sizeof(folder.rsa), "%s/rsa", folder.name);
	(void)snprintf(folder.ed25519, sizeof(folder.ed25519), "%s/ed25519", folder.name);
	assert_int_equal(pn_dkim_key_generate(PN_DKIM_RSA, 1024, &key, NULL), PN_OK);
	assert_int_equal(pn_dkim_key_write(key, folder.rsa, NULL), PN_OK);
	pn_dkim_key_free(key);
	assert_int_equal(pn_dkim_key_generate(PN_DKIM_ED25519, 0, &key, NULL), PN_OK);
	assert_int_equal(pn_dkim_key_write(key, folder.ed25519, NULL), PN_OK);
	pn_dkim_key_free(key);
	folder.ring = pn_key_ring_new(pn_config_secret);
	*state = &folder;
	return 0;
}

static int
unmake(void **state)
{
	struct folder *folder = *state;

	pn_key_ring_free(folder->ring);
	(void)unlink(folder->rsa);
	(void)unlink(folder->ed25519);
	return rmdir(folder->name);
}

static void
test_once(void **state)
{
	struct folder *folder = *state;
	const struct pn_dkim_key *a, *b, *c;
	struct pn_error err;

	assert_int_equal(pn_key_ring_get(folder->ring, pn_str_c(folder->rsa), &a, &err), PN_OK);
	assert_int_equal(pn_key_ring_get(folder->ring, pn_str_c(folder->ed25519), &b, &err), PN_OK);
	assert_int_equal(pn_dkim_key_type(a), PN_DKIM_RSA);
	assert_int_equal(pn_dkim_key_type(b), PN_DKIM_ED25519);
	/* the file is not looked at again */
	assert_int_equal(unlink(folder->rsa), 0);
	assert_int_equal(pn_key_ring_get(folder->ring, pn_str_c(folder->rsa), &c, &err), PN_OK);
	assert_ptr_equal(a, c);
}

static void
test_refused(void **state)
{
	struct folder *folder = *state;
	const struct pn_dkim_key *key = NULL;
	struct pn_error err;

	assert_int_equal(chmod(folder->ed25519, 0644), 0);
	assert_int_equal(pn_key_ring_get(folder->ring, pn_str_c(folder->ed25519), &key, &err), PN_INVALID);
	assert_non_null(strstr(err.text, "chmod 0600"));
	assert_int_equal(chmod(folder->ed25519, 0600), 0);
	assert_int_equal(pn_key_ring_get(folder->ring, PN_STR("/nowhere/key"), &key, &err), PN_NOT_FOUND);
	assert_int_equal(pn_key_ring_get(folder->ring, PN_STR("QUJD"), &key, &err), PN_INVALID);
	assert_int_equal(pn_key_ring_get(folder->ring, pn_str_n("/a\0b", 4), &key, &err), PN_INVALID);
	assert_null(key);
	/* a failure is not for ever */
	assert_int_equal(pn_key_ring_get(folder->ring, pn_str_c(folder->ed25519), &key, &err), PN_OK);
}

static void *
sign_often(void *ctx)
{
	const struct pn_dkim_signing how = { .relaxed_header = true, .now = 1 };
	struct pn_field from = { PN_STR("From"), PN_STR(" a@example.org") }, out[2];
	const unsigned char hash[PN_DKIM_HASH_SIZE] = { 0 };
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct folder *folder = ctx;
	bool ok = true;

	for (int i = 0; i < ROUNDS; i++) {
		struct pn_dkim_signer signers[2] = {
			{ PN_STR("example.org"), PN_STR("r"), PN_STR_EMPTY, NULL },
			{ PN_STR("example.org"), PN_STR("e"), PN_STR_EMPTY, NULL },
		};

		ok = ok && pn_key_ring_get(folder->ring, pn_str_c(folder->rsa), &signers[0].key,
		    NULL) == PN_OK
		    && pn_key_ring_get(folder->ring, pn_str_c(folder->ed25519), &signers[1].key,
		    NULL) == PN_OK
		    && pn_dkim_sign((struct pn_fields){ &from, 1 }, hash, signers, 2, &how, arena, out,
		    NULL) == PN_OK;
		pn_arena_reset(arena);
	}
	pn_arena_free(arena);
	return ok ? ctx : NULL;
}

static void
test_threads(void **state)
{
	pthread_t threads[THREADS];
	void *result;

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, sign_often, *state), 0);
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, *state);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_once, make, unmake),
		cmocka_unit_test_setup_teardown(test_refused, make, unmake),
		cmocka_unit_test_setup_teardown(test_threads, make, unmake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
