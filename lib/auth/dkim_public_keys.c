#include "dkim_public_keys.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>

#include "dkim_tags.h"

enum { SLOTS = 1024 };

struct slot {
	enum pn_dkim_key_type type;
	struct pn_str text;		/* p=, of malloc() */
	EVP_PKEY *pkey;			/* NULL: nothing here */
};

struct dkim_public_keys {
	pthread_mutex_t lock;
	struct slot slots[SLOTS];	/* each key has one place */
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
clear(struct slot *slot)
{
	EVP_PKEY_free(slot->pkey);
	free((void *)(uintptr_t)slot->text.p);
}

void
dkim_public_keys_free(struct dkim_public_keys *keys)
{
	if (keys == NULL)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		clear(&keys->slots[i]);
	(void)pthread_mutex_destroy(&keys->lock);
	free(keys);
}

/* FNV-1a. */
static struct slot *
place(struct dkim_public_keys *keys, struct pn_str text)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < text.n; i++)
		hash = (hash ^ (unsigned char)text.p[i]) * 16777619u;
	return &keys->slots[hash % SLOTS];
}

static EVP_PKEY *
decode(const struct pn_dkim_record *record, struct pn_arena *arena)
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
	return pkey;
}

static void
keep(struct slot *slot, const struct pn_dkim_record *record, EVP_PKEY *pkey)
{
	char *copy = malloc(record->key.n);

	if (copy == NULL || EVP_PKEY_up_ref(pkey) != 1)
		pn_out_of_memory();
	memcpy(copy, record->key.p, record->key.n);
	clear(slot);
	*slot = (struct slot){ record->type, pn_str_n(copy, record->key.n), pkey };
}

/* To be given back with EVP_PKEY_free(). */
static EVP_PKEY *
find(struct dkim_public_keys *keys, const struct pn_dkim_record *record, struct pn_arena *arena)
{
	struct slot *slot = place(keys, record->key);
	EVP_PKEY *pkey = NULL;

	(void)pthread_mutex_lock(&keys->lock);
	if (slot->pkey != NULL && slot->type == record->type && pn_str_eq(slot->text, record->key)
	    && EVP_PKEY_up_ref(slot->pkey) == 1)
		pkey = slot->pkey;
	(void)pthread_mutex_unlock(&keys->lock);
	if (pkey != NULL || (pkey = decode(record, arena)) == NULL)
		return pkey;
	(void)pthread_mutex_lock(&keys->lock);
	keep(slot, record, pkey);
	(void)pthread_mutex_unlock(&keys->lock);
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

enum pn_status
dkim_public_keys_verify(struct dkim_public_keys *keys, const struct pn_dkim_record *record, struct pn_str hash,
    struct pn_str signature, struct pn_arena *arena, unsigned *bits)
{
	EVP_PKEY *pkey = find(keys, record, arena);
	bool genuine = pkey != NULL
	    && (record->type == PN_DKIM_RSA ? verify_rsa : verify_ed25519)(pkey, hash, signature);

	*bits = pkey != NULL && record->type == PN_DKIM_RSA ? (unsigned)EVP_PKEY_get_bits(pkey) : 0;
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return genuine ? PN_OK : pkey == NULL ? PN_NOT_FOUND : PN_INVALID;
}
