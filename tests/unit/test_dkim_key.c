/* Private keys as they are read and written, and what the DNS says of their other halves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "postern/dkim_key.h"
#include "postern/dns_zone.h"

enum { ARENA_LIMIT = 1024 * 1024 };

enum form { PKCS8, PKCS1, WITH_PASSWORD, DER };

/* Takes the key. */
static struct pn_str
encode(EVP_PKEY *pkey, enum form form, struct pn_arena *arena)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct pn_str text;
	char *p;
	long n;

	if (form == PKCS1 || form == DER)
		assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, pkey, NULL, NULL, 0, NULL,
		    NULL), 1);
	else
		assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey,
		    form == WITH_PASSWORD ? EVP_aes_128_cbc() : NULL,
		    "x", form == WITH_PASSWORD, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &p);
	text = pn_arena_dup(arena, pn_str_n(p, (size_t)n));
	/* without the lines around it, as in a KeyTable */
	if (form == DER) {
		text = pn_str_from(text, pn_str_find(text, '\n') + 1);
		text.n = pn_str_find(text, '-');
	}
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	return text;
}

static void
test_key_parse(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	const struct {
		const char *name;
		struct pn_str text;
		enum pn_status st;
	} rows[] = {
		{ "PKCS#8", encode(EVP_RSA_gen(1024), PKCS8, arena), PN_OK },
		{ "PKCS#1", encode(EVP_RSA_gen(1024), PKCS1, arena), PN_OK },
		{ "base64 of DER", encode(EVP_RSA_gen(1024), DER, arena), PN_OK },
		{ "Ed25519", encode(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), PKCS8, arena), PN_OK },
		{ "with a password", encode(EVP_RSA_gen(1024), WITH_PASSWORD, arena), PN_INVALID },
		{ "elliptic curve", encode(EVP_EC_gen("P-256"), PKCS8, arena), PN_INVALID },
		{ "512 bits", encode(EVP_RSA_gen(512), PKCS8, arena), PN_INVALID },
		{ "nothing", PN_STR(""), PN_INVALID },
		{ "no key", PN_STR("hello"), PN_INVALID },
		{ "base64 of no key", PN_STR("QUJD"), PN_INVALID },
		{ "cut", PN_STR("-----BEGIN PRIVATE KEY-----\nMIIE"), PN_INVALID },
		{ "larger than any", pn_str_n(pn_arena_alloc(arena, 100000), 100000), PN_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_dkim_key *key = NULL;
		struct pn_error err = { "" };

		if (pn_dkim_key_parse(rows[i].text, &key, &err) != rows[i].st)
			fail_msg("%s: %s", rows[i].name, err.text);
		assert_int_equal(key != NULL, rows[i].st == PN_OK);
		assert_int_equal(err.text[0] == '\0', rows[i].st == PN_OK);
		pn_dkim_key_free(key);
	}
	pn_arena_free(arena);
}

static struct pn_dkim_key *
generate(enum pn_dkim_key_type type)
{
	struct pn_dkim_key *key = NULL;

	assert_int_equal(pn_dkim_key_generate(type, 1024, &key, NULL), PN_OK);
	return key;
}

static void
test_key_file(void **state)
{
	char folder[] = "/tmp/postern-dkim-XXXXXX", path[64], text[4096];
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_dkim_key *rsa = generate(PN_DKIM_RSA), *ed25519 = generate(PN_DKIM_ED25519), *again = NULL;
	struct pn_error err;
	struct stat st;
	size_t n;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/key", folder);
	assert_int_equal(pn_dkim_key_write(rsa, path, &err), PN_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(pn_dkim_key_write(ed25519, path, &err), PN_INVALID);
	f = fopen(path, "r");
	n = fread(text, 1, sizeof(text), f);
	(void)fclose(f);
	assert_int_equal(pn_dkim_key_parse(pn_str_n(text, n), &again, &err), PN_OK);
	assert_true(pn_str_eq(pn_dkim_key_record(again, arena), pn_dkim_key_record(rsa, arena)));
	assert_int_equal(unlink(path), 0);
	/* nothing else is left there */
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(pn_dkim_key_write(ed25519, path, &err), PN_TEMPFAIL);
	pn_dkim_key_free(again);
	pn_dkim_key_free(rsa);
	pn_dkim_key_free(ed25519);
	pn_arena_free(arena);
}

static void
publish(struct pn_dns_zone *zone, const char *selector, struct pn_str record, struct pn_arena *arena)
{
	struct pn_error err;

	if (pn_dns_zone_add(zone, pn_arena_printf(arena, "%s._domainkey.example.org TXT \"" PN_STR_FMT "\"", selector,
	    PN_STR_ARG(record)), &err) != PN_OK)
		fail_msg("%s", err.text);
}

static void
test_published(void **state)
{
	struct pn_dkim_key *rsa = generate(PN_DKIM_RSA), *ed25519 = generate(PN_DKIM_ED25519), *other = generate(PN_DKIM_RSA);
	const struct {
		const struct pn_dkim_key *key;
		const char *selector;
		enum pn_known want;
		const char *why;
	} rows[] = {
		{ rsa, "rsa", PN_YES, "" },
		{ ed25519, "ed", PN_YES, "" },
		{ other, "rsa", PN_NO, "" },
		{ rsa, "ed", PN_NO, "" },
		{ rsa, "gone", PN_NO, "revoked" },
		{ rsa, "none", PN_NO, "no key at none._domainkey.example.org" },
		{ rsa, "slow", PN_UNKNOWN, "" },
	};
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_dns_zone *zone = pn_dns_zone_new();
	const struct pn_dns dns = pn_dns_zone_port(zone);

	(void)state;
	publish(zone, "rsa", pn_dkim_key_record(rsa, arena), arena);
	publish(zone, "ed", pn_dkim_key_record(ed25519, arena), arena);
	publish(zone, "gone", PN_STR("v=DKIM1; p="), arena);
	assert_int_equal(pn_dns_zone_add(zone, PN_STR("slow._domainkey.example.org SERVFAIL"), NULL), PN_OK);
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_error err = { "" };

		if (pn_dkim_key_matches(rows[i].key, PN_STR("example.org"), pn_str_c(rows[i].selector), &dns, arena, &err)
		    != rows[i].want || strstr(err.text, rows[i].why) == NULL)
			fail_msg("row %zu: %s", i, err.text);
	}
	pn_dns_zone_free(zone);
	pn_arena_free(arena);
	pn_dkim_key_free(rsa);
	pn_dkim_key_free(ed25519);
	pn_dkim_key_free(other);
}

/* Strings of at most 255 bytes, which joined are the record. */
static void
test_zone_line(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_dkim_key *key = NULL;
	struct pn_str line;

	(void)state;
	assert_int_equal(pn_dkim_key_generate(PN_DKIM_RSA, 2048, &key, NULL), PN_OK);
	line = pn_dkim_zone_line(PN_STR("example.com"), PN_STR("s1"), pn_dkim_key_record(key, arena), arena);
	assert_true(pn_str_starts(line, PN_STR("s1._domainkey.example.com. IN TXT ( \"v=DKIM1; k=rsa; p=")));
	assert_true(pn_str_ends(line, PN_STR("\" )")));
	assert_int_equal(pn_str_find_str(line, PN_STR("\"\n\t\"")),
	    sizeof("s1._domainkey.example.com. IN TXT ( \"") - 1 + 255);
	pn_dkim_key_free(key);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_parse),
		cmocka_unit_test(test_key_file),
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_zone_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
