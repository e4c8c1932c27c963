#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "dkim_key_internal.h"
#include "dkim_public_key.h"

enum { ARENA_LIMIT = 64 * 1024 };

/* -- a key of ours -- */

static bool
sign_rsa(EVP_PKEY *pkey, const unsigned char *hash, unsigned char *out, size_t *n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	bool ok = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1
	    && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1
	    && EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1
	    && EVP_PKEY_sign(ctx, out, n, hash, PN_DKIM_HASH_SIZE) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

/* RFC 8463 section 3: what is signed is the hash. */
static bool
sign_ed25519(EVP_PKEY *pkey, const unsigned char *hash, unsigned char *out, size_t *n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1
	    && EVP_DigestSign(ctx, out, n, hash, PN_DKIM_HASH_SIZE) == 1;

	EVP_MD_CTX_free(ctx);
	return ok;
}

static enum pn_status
sign_here(const struct pn_dkim_key *key, const unsigned char *hash, unsigned char *out, size_t *n,
    struct pn_error *err)
{
	*n = PN_DKIM_SIGNATURE_SIZE;
	if ((key->type == PN_DKIM_RSA ? sign_rsa : sign_ed25519)(key->pkey, hash, out, n))
		return PN_OK;
	ERR_clear_error();
	return pn_fail(err, PN_TEMPFAIL, "OpenSSL does not sign");
}

/* -- a key of another process -- */

/* value: in the answer. */
static enum pn_status
ask(const struct pn_key_service *service, struct pn_str request, struct pn_buf *answer, struct pn_str *value,
    struct pn_error *err)
{
	enum pn_status st;

	pn_buf_init(answer, PN_KEY_ANSWER_MAX);
	st = service->ask(service->ctx, request, answer, err);
	return st == PN_OK ? pn_key_answer_parse(pn_buf_str(answer), value, err) : st;
}

/* Not every answer is taken: a signature that fails is worse than none. */
static enum pn_status
sign_there(const struct pn_dkim_key *key, const unsigned char *hash, unsigned char *out, size_t *n,
    struct pn_error *err)
{
	struct pn_buf request, answer;
	struct pn_str value;
	enum pn_status st;

	pn_buf_init(&request, PN_KEY_REQUEST_MAX);
	pn_buf_addf(&request, "sign %s %s ", key->name, key->published);
	pn_buf_add(&request, pn_str_n((const char *)hash, PN_DKIM_HASH_SIZE));
	st = ask(key->service, pn_buf_str(&request), &answer, &value, err);
	if (st == PN_OK && (value.n > PN_DKIM_SIGNATURE_SIZE || !dkim_public_key_verify(key->pkey, key->type,
	    pn_str_n((const char *)hash, PN_DKIM_HASH_SIZE), value)))
		st = pn_fail(err, PN_TEMPFAIL, "postern-signer: that is no signature");
	if (st == PN_OK) {
		memcpy(out, value.p, value.n);
		*n = value.n;
	}
	pn_buf_done(&request);
	pn_buf_done(&answer);
	return st;
}

static struct pn_dkim_key *
key_there(const struct pn_key_service *service, struct pn_str name, const struct pn_dkim_record *record,
    EVP_PKEY *pkey)
{
	struct pn_dkim_key *key = calloc(1, sizeof(*key));

	if (key == NULL || (key->name = strndup(name.p, name.n)) == NULL
	    || (key->published = strndup(record->key.p, record->key.n)) == NULL)
		pn_out_of_memory();
	key->pkey = pkey;
	key->service = service;
	key->type = record->type;
	return key;
}

enum pn_status
pn_dkim_key_ask(const struct pn_key_service *service, struct pn_str name, struct pn_dkim_key **out,
    struct pn_error *err)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_str request = pn_arena_printf(arena, "public " PN_STR_FMT, PN_STR_ARG(name)), value;
	struct pn_dkim_record record;
	EVP_PKEY *pkey = NULL;
	struct pn_buf answer;
	enum pn_status st = ask(service, request, &answer, &value, err);

	if (st == PN_OK && (pn_dkim_record_parse(value, arena, &record, err) != PN_OK
	    || (pkey = dkim_public_key_decode(&record, arena)) == NULL))
		st = pn_fail(err, PN_TEMPFAIL, "postern-signer: that is no record of a key");
	if (st == PN_OK)
		*out = key_there(service, name, &record, pkey);
	pn_buf_done(&answer);
	pn_arena_free(arena);
	return st;
}

enum pn_status
pn_dkim_key_sign(const struct pn_dkim_key *key, const unsigned char hash[PN_DKIM_HASH_SIZE],
    unsigned char out[PN_DKIM_SIGNATURE_SIZE], size_t *n, struct pn_error *err)
{
	return (key->service == NULL ? sign_here : sign_there)(key, hash, out, n, err);
}
