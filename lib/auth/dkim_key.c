#include "postern/dkim_key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <unistd.h>

#include "dkim_key_internal.h"
#include "dkim_tags.h"

enum { SECRET_MAX = 16384 };

const char *
pn_dkim_key_type_name(enum pn_dkim_key_type type)
{
	return type == PN_DKIM_RSA ? "rsa" : "ed25519";
}

enum pn_dkim_key_type
pn_dkim_key_type(const struct pn_dkim_key *key)
{
	return key->type;
}

unsigned
pn_dkim_key_bits(const struct pn_dkim_key *key)
{
	return (unsigned)EVP_PKEY_get_bits(key->pkey);
}

void
pn_dkim_key_free(struct pn_dkim_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);	/* OpenSSL cleanses it */
	free(key->published);
	free(key->name);
	free(key);
}

/* p=: SubjectPublicKeyInfo for RSA, as everybody does; the 32 bytes themselves for Ed25519 (RFC 8463
 * section 4). */
static char *
public_base64(EVP_PKEY *pkey)
{
	unsigned char raw[32], *der = NULL;
	size_t n = sizeof(raw);
	bool rsa = EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA;
	int length = rsa ? i2d_PUBKEY(pkey, &der) : EVP_PKEY_get_raw_public_key(pkey, raw, &n) == 1 ? (int)n : -1;
	char *text = length > 0 ? malloc((size_t)(length + 2) / 3 * 4 + 1) : NULL;

	if (text == NULL)
		pn_out_of_memory();
	(void)EVP_EncodeBlock((unsigned char *)text, rsa ? der : raw, length);
	OPENSSL_free(der);
	return text;
}

/* Takes the key over, or frees it. */
static enum pn_status
adopt(EVP_PKEY *pkey, struct pn_dkim_key **out, struct pn_error *err)
{
	int id = EVP_PKEY_get_base_id(pkey), bits = EVP_PKEY_get_bits(pkey);
	struct pn_dkim_key *key;

	if (id != EVP_PKEY_RSA && id != EVP_PKEY_ED25519) {
		EVP_PKEY_free(pkey);
		return pn_fail(err, PN_INVALID, "neither an RSA nor an Ed25519 key");
	}
	if (id == EVP_PKEY_RSA && (bits < PN_DKIM_RSA_MIN || bits > PN_DKIM_RSA_MAX)) {
		EVP_PKEY_free(pkey);
		return pn_fail(err, PN_INVALID, "an RSA key of %d bits; %d to %d are good for DKIM", bits,
		    PN_DKIM_RSA_MIN, PN_DKIM_RSA_MAX);
	}
	key = calloc(1, sizeof(*key));
	if (key == NULL)
		pn_out_of_memory();
	key->pkey = pkey;
	key->type = id == EVP_PKEY_RSA ? PN_DKIM_RSA : PN_DKIM_ED25519;
	key->published = public_base64(pkey);
	*out = key;
	return PN_OK;
}

/* A key with a password is none for a daemon; without this OpenSSL would ask on the terminal. */
static int
no_password(char *buf, int size, int writing, void *ctx)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)ctx;
	return 0;
}

static EVP_PKEY *
decode_pem(struct pn_str text)
{
	BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
	EVP_PKEY *pkey;

	if (bio == NULL)
		pn_out_of_memory();
	pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	return pkey;
}

/* Base64 of DER, blanks allowed anywhere. */
static EVP_PKEY *
decode_der(struct pn_str text)
{
	struct pn_arena *arena = pn_arena_new(2 * SECRET_MAX);
	char *packed = pn_arena_alloc(arena, text.n + 1);
	struct pn_str der = PN_STR_EMPTY;
	EVP_PKEY *pkey = NULL;
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		if (!pn_is_space(text.p[i]))
			packed[n++] = text.p[i];
	if (pn_dkim_base64(pn_str_n(packed, n), arena, &der) == PN_OK) {
		const unsigned char *at = (const unsigned char *)der.p;

		pkey = d2i_AutoPrivateKey(NULL, &at, (long)der.n);
	}
	OPENSSL_cleanse(packed, n);
	if (der.n > 0)
		OPENSSL_cleanse((void *)(uintptr_t)der.p, der.n);
	pn_arena_free(arena);
	return pkey;
}

enum pn_status
pn_dkim_key_parse(struct pn_str text, struct pn_dkim_key **out, struct pn_error *err)
{
	EVP_PKEY *pkey;

	if (text.n > SECRET_MAX)
		return pn_fail(err, PN_INVALID, "larger than any private key");
	pkey = pn_str_contains(text, PN_STR("-----BEGIN")) ? decode_pem(text) : decode_der(text);
	if (pkey == NULL)
		return pn_fail(err, PN_INVALID, "no private key without a password in PEM");
	return adopt(pkey, out, err);
}

enum pn_status
pn_dkim_key_generate(enum pn_dkim_key_type type, unsigned bits, struct pn_dkim_key **out,
    struct pn_error *err)
{
	EVP_PKEY *pkey;

	if (type == PN_DKIM_RSA && (bits < PN_DKIM_RSA_MIN || bits > PN_DKIM_RSA_MAX))
		return pn_fail(err, PN_INVALID, "RSA keys for DKIM have %d to %d bits", PN_DKIM_RSA_MIN,
		    PN_DKIM_RSA_MAX);
	pkey = type == PN_DKIM_RSA ? EVP_RSA_gen(bits) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (pkey == NULL)
		return pn_fail(err, PN_TEMPFAIL, "OpenSSL cannot make a key now");
	return adopt(pkey, out, err);
}

/* -- the file -- */

static enum pn_status
write_all(int fd, const char *p, size_t n, const char *path, struct pn_error *err)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return pn_fail(err, PN_TEMPFAIL, "%s: %s", path, strerrordesc_np(errno));
		p += done;
		n -= (size_t)done;
	}
	if (fsync(fd) != 0)
		return pn_fail(err, PN_TEMPFAIL, "%s: %s", path, strerrordesc_np(errno));
	return PN_OK;
}

/* Under a name of its own first; link() never replaces a key that is there. */
static enum pn_status
write_file(struct pn_str pem, const char *path, struct pn_error *err)
{
	struct pn_arena *arena = pn_arena_new(SECRET_MAX);
	char *temporary = pn_arena_alloc(arena, strlen(path) + sizeof(".XXXXXX"));
	enum pn_status st = PN_OK;
	int fd;

	memcpy(temporary, path, strlen(path));
	memcpy(temporary + strlen(path), ".XXXXXX", sizeof(".XXXXXX"));
	fd = mkostemp(temporary, O_CLOEXEC);	/* mode 0600 */
	if (fd < 0)
		st = pn_fail(err, PN_TEMPFAIL, "%s: %s", path, strerrordesc_np(errno));
	if (st == PN_OK) {
		st = write_all(fd, pem.p, pem.n, path, err);
		(void)close(fd);
		if (st == PN_OK && link(temporary, path) != 0)
			st = pn_fail(err, errno == EEXIST ? PN_INVALID : PN_TEMPFAIL, "%s: %s", path,
			    strerrordesc_np(errno));
		(void)unlink(temporary);
	}
	pn_arena_free(arena);
	return st;
}

enum pn_status
pn_dkim_key_write(const struct pn_dkim_key *key, const char *path, struct pn_error *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	enum pn_status st;
	char *p = NULL;
	long n;

	if (bio == NULL || PEM_write_bio_PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) != 1)
		pn_out_of_memory();
	n = BIO_get_mem_data(bio, &p);
	st = write_file(pn_str_n(p, (size_t)n), path, err);
	BIO_free(bio);
	return st;
}

/* -- the public half -- */

struct pn_str
pn_dkim_key_published(const struct pn_dkim_key *key)
{
	return pn_str_c(key->published);
}

struct pn_str
pn_dkim_key_record(const struct pn_dkim_key *key, struct pn_arena *arena)
{
	return pn_arena_printf(arena, "v=DKIM1; k=%s; p=%s", pn_dkim_key_type_name(key->type), key->published);
}

enum pn_known
pn_dkim_key_matches(const struct pn_dkim_key *key, struct pn_str domain, struct pn_str selector,
    const struct pn_dns *dns, struct pn_arena *arena, struct pn_error *err)
{
	struct pn_dkim_record record;
	enum pn_status st = pn_dkim_record_find(dns, domain, selector, arena, &record, err);

	if (st == PN_TEMPFAIL)
		return PN_UNKNOWN;
	if (st != PN_OK)
		return PN_NO;
	if (record.key.n == 0)
		(void)pn_fail(err, PN_INVALID, "the published key is revoked (p= is empty)");
	else if (record.type != key->type || !pn_str_eq(record.key, pn_str_c(key->published)))
		(void)pn_fail(err, PN_INVALID, "the published key is another one");
	else
		return PN_YES;
	return PN_NO;
}
