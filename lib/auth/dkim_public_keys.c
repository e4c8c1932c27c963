#include "dkim_public_keys.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>

#include "dkim_tags.h"

/* -- one key -- */

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

/* -- many -- */

enum { PLACES = 1024 };

struct key {
	unsigned refs;			/* its place, whoever verifies with it; under the lock */
	EVP_PKEY *pkey;
	enum pn_dkim_key_type type;
	size_t n;
	char text[];			/* p= */
};

struct dkim_public_keys {
	pthread_mutex_t lock;
	struct key *places[PLACES];	/* each key has one */
};

struct dkim_public_keys *
dkim_public_keys_new(void)
{
	struct dkim_public_keys *keys = calloc(1, sizeof(*keys));

	if (keys == NULL || pthread_mutex_init(&keys->lock, NULL) != 0)
		pn_out_of_memory();
	return keys;
}

static void
release(struct key *key)
{
	if (key == NULL || --key->refs > 0)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

void
dkim_public_keys_free(struct dkim_public_keys *keys)
{
	if (keys == NULL)
		return;
	for (size_t i = 0; i < PLACES; i++)
		release(keys->places[i]);
	(void)pthread_mutex_destroy(&keys->lock);
	free(keys);
}

/* FNV-1a. */
static struct key **
place_of(struct dkim_public_keys *keys, struct pn_str text)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < text.n; i++)
		hash = (hash ^ (unsigned char)text.p[i]) * 16777619u;
	return &keys->places[hash % PLACES];
}

static struct key *
new_key(const struct pn_dkim_record *record, struct pn_arena *arena)
{
	EVP_PKEY *pkey = dkim_public_key_decode(record, arena);
	struct key *key;

	if (pkey == NULL)
		return NULL;
	key = malloc(sizeof(*key) + record->key.n);
	if (key == NULL)
		pn_out_of_memory();
	*key = (struct key){ .refs = 2, .pkey = pkey, .type = record->type, .n = record->key.n };
	memcpy(key->text, record->key.p, record->key.n);
	return key;
}

/* To be released; NULL: it cannot be used. */
static struct key *
find(struct dkim_public_keys *keys, const struct pn_dkim_record *record, struct pn_arena *arena)
{
	struct key **place = place_of(keys, record->key), *key;

	(void)pthread_mutex_lock(&keys->lock);
	key = *place;
	if (key != NULL && key->type == record->type && pn_str_eq(pn_str_n(key->text, key->n), record->key))
		key->refs++;
	else
		key = NULL;
	(void)pthread_mutex_unlock(&keys->lock);
	if (key != NULL || (key = new_key(record, arena)) == NULL)
		return key;
	(void)pthread_mutex_lock(&keys->lock);
	release(*place);
	*place = key;
	(void)pthread_mutex_unlock(&keys->lock);
	return key;
}

enum pn_status
dkim_public_keys_verify(struct dkim_public_keys *keys, const struct pn_dkim_record *record, struct pn_str hash,
    struct pn_str signature, struct pn_arena *arena, unsigned *bits)
{
	struct key *key = find(keys, record, arena);
	bool rsa = record->type == PN_DKIM_RSA, genuine;

	*bits = 0;
	if (key == NULL)
		return PN_NOT_FOUND;
	genuine = dkim_public_key_verify(key->pkey, record->type, hash, signature);
	if (rsa)
		*bits = (unsigned)EVP_PKEY_get_bits(key->pkey);
	(void)pthread_mutex_lock(&keys->lock);
	release(key);
	(void)pthread_mutex_unlock(&keys->lock);
	return genuine ? PN_OK : PN_INVALID;
}
