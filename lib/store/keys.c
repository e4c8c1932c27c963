#include "internal.h"

void
pn_key_init(struct pn_key *key)
{
	key->n = 0;
	key->bad = false;
}

void
pn_key_add(struct pn_key *key, struct pn_str bytes)
{
	if (bytes.n > sizeof(key->b) - key->n) {
		key->bad = true;
		return;
	}
	if (bytes.n > 0)
		memcpy(key->b + key->n, bytes.p, bytes.n);
	key->n += bytes.n;
}

void
pn_key_add_byte(struct pn_key *key, unsigned char byte)
{
	pn_key_add(key, pn_str_n((const char *)&byte, 1));
}

void
pn_key_add_u64(struct pn_key *key, uint64_t value)
{
	char bytes[PN_U64_BYTES];

	pn_u64_put(bytes, value);
	pn_key_add(key, pn_str_n(bytes, sizeof(bytes)));
}

static void
refuse_nul(struct pn_key *key, struct pn_str part)
{
	if (pn_str_find(part, '\0') != PN_STR_NONE)
		key->bad = true;
}

void
pn_key_add_part(struct pn_key *key, struct pn_str part)
{
	refuse_nul(key, part);
	pn_key_add(key, part);
	pn_key_add_byte(key, 0);
}

void
pn_key_add_lower(struct pn_key *key, struct pn_str text)
{
	size_t from = key->n;

	refuse_nul(key, text);
	pn_key_add(key, text);
	for (size_t i = from; i < key->n; i++)
		key->b[i] = pn_to_lower(key->b[i]);
}

void
pn_alias_key(struct pn_key *key, enum pn_source source, struct pn_str gateway, struct pn_str full)
{
	pn_key_init(key);
	pn_key_add_byte(key, (unsigned char)source);
	pn_key_add_part(key, gateway);
	refuse_nul(key, full);
	pn_key_add(key, full);
}

void
pn_local_key(struct pn_key *key, enum pn_source source, struct pn_str gateway, struct pn_str local,
    struct pn_str full)
{
	pn_key_init(key);
	pn_key_add_byte(key, (unsigned char)source);
	pn_key_add_part(key, gateway);
	pn_key_add_part(key, local);
	refuse_nul(key, full);
	pn_key_add(key, full);
}

void
pn_retired_key(struct pn_key *key, struct pn_str gateway, struct pn_str address)
{
	pn_key_init(key);
	pn_key_add_part(key, gateway);
	pn_key_add_lower(key, address);
}

bool
pn_key_split(struct pn_str key, struct pn_str *gateway, struct pn_str *rest)
{
	*rest = key;
	return pn_str_split(rest, '\0', gateway) && gateway->n < key.n;
}

struct pn_hash
pn_hash_with(const EVP_MD *md, const struct pn_str *parts, size_t n)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct pn_hash hash;
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1;

	for (size_t i = 0; ok && i < n; i++) {
		char length[PN_U64_BYTES];

		pn_u64_put(length, parts[i].n);
		ok = EVP_DigestUpdate(ctx, length, sizeof(length)) == 1
		    && EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
	}
	/* Hashing bytes in memory fails for want of memory only. */
	if (!ok || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
		pn_out_of_memory();
	EVP_MD_CTX_free(ctx);
	memcpy(hash.b, digest, sizeof(hash.b));
	return hash;
}

struct pn_hash
pn_hash_parts(struct pn_store *store, const struct pn_str *parts, size_t n)
{
	return pn_hash_with(store->sha256, parts, n);
}

struct pn_hash
pn_hash_message(struct pn_store *store, struct pn_str gateway, struct pn_str message_id)
{
	const struct pn_str parts[] = { gateway, message_id };

	return pn_hash_parts(store, parts, PN_COUNT(parts));
}
