/* dkim_key.h - keys of DKIM: private ones, and what the DNS says of the public ones (RFC 6376 section 3.6,
 * RFC 8301, RFC 8463).
 *
 * A key is decoded once and then only read: any number of threads may sign with it.  Secret bytes are
 * cleansed when they are no longer needed.
 */
#ifndef POSTERN_DKIM_KEY_H
#define POSTERN_DKIM_KEY_H

#include "postern/dns.h"
#include "postern/key_service.h"
#include "postern/known.h"

enum pn_dkim_key_type {
	PN_DKIM_RSA,
	PN_DKIM_ED25519,
};
const char *pn_dkim_key_type_name(enum pn_dkim_key_type type);	/* as in k=: "rsa", "ed25519" */

struct pn_dkim_key;

/* -- private keys -- */

enum { PN_DKIM_RSA_MIN = 1024, PN_DKIM_RSA_MAX = 8192 };	/* bits */

/* PEM (PKCS#1 or PKCS#8, never with a password), or the same DER in base64 without the lines around it, as
 * OpenDKIM's KeyTable may hold it.
 * PN_OK       *out, to be freed
 * PN_INVALID  no private key, or none that DKIM knows, or an RSA key outside of the limits above */
PN_CHECK enum pn_status pn_dkim_key_parse(struct pn_str text, struct pn_dkim_key **out, struct pn_error *err);

/* bits: of RSA; ignored for Ed25519.  PN_INVALID: outside of the limits; PN_TEMPFAIL: no randomness. */
PN_CHECK enum pn_status pn_dkim_key_generate(enum pn_dkim_key_type type, unsigned bits,
    struct pn_dkim_key **out, struct pn_error *err);

/* PEM (PKCS#8) in a new file of mode 0600, on the disk when this returns.  There is never half a key under
 * that name.  PN_INVALID: the name is taken; PN_TEMPFAIL: it cannot be written. */
PN_CHECK enum pn_status pn_dkim_key_write(const struct pn_dkim_key *key, const char *path,
    struct pn_error *err);

void pn_dkim_key_free(struct pn_dkim_key *key);		/* NULL is fine */

enum pn_dkim_key_type pn_dkim_key_type(const struct pn_dkim_key *key);
unsigned pn_dkim_key_bits(const struct pn_dkim_key *key);

/* A key that another process has: its public half is asked for now, each signature later.
 * name: "NAME DOMAIN SELECTOR" as in key_service.h; the service must outlive the key.
 * PN_OK         *out, to be freed; it cannot be written
 * PN_NOT_FOUND  the other process knows no such key
 * PN_INVALID    it has no usable one; PN_TEMPFAIL: it does not answer, or cannot tell now */
PN_CHECK enum pn_status pn_dkim_key_ask(const struct pn_key_service *service, struct pn_str name,
    struct pn_dkim_key **out, struct pn_error *err);

/* -- signing -- */

enum { PN_DKIM_HASH_SIZE = 32, PN_DKIM_SIGNATURE_SIZE = PN_DKIM_RSA_MAX / 8 };	/* bytes; SHA-256 */

/* PN_OK: the signature of the hash, of *n bytes.  PN_TEMPFAIL: OpenSSL does not sign; of a key that another
 * process has also what pn_dkim_key_ask() says, and what comes is verified with the public half. */
PN_CHECK enum pn_status pn_dkim_key_sign(const struct pn_dkim_key *key, const unsigned char hash[PN_DKIM_HASH_SIZE],
    unsigned char out[PN_DKIM_SIGNATURE_SIZE], size_t *n, struct pn_error *err);

/* -- what is published -- */

/* p= of its record, as long as the key. */
struct pn_str pn_dkim_key_published(const struct pn_dkim_key *key);

/* "v=DKIM1; k=rsa; p=..." in the arena. */
struct pn_str pn_dkim_key_record(const struct pn_dkim_key *key, struct pn_arena *arena);

/* A record as a line of a BIND zone, in strings of at most 255 bytes:
 *	selector._domainkey.example.org. IN TXT ( "v=DKIM1; k=rsa; p=..."
 *		"..." )
 */
struct pn_str pn_dkim_zone_line(struct pn_str domain, struct pn_str selector, struct pn_str record,
    struct pn_arena *arena);

struct pn_dkim_record {
	enum pn_dkim_key_type type;
	struct pn_str key;	/* p= without white space; "" = revoked */
	bool testing;		/* t=y */
	bool strict_identity;	/* t=s: i= must be of d= itself */
};

/* One TXT record, strictly: v=DKIM1 first if there is one, no tag twice, a type, hash and service that are
 * ours, and base64.  Unknown tags are ignored.
 * PN_OK         *out, in the arena
 * PN_NOT_FOUND  it begins with another v=: no key record
 * PN_INVALID    err says why it is none to verify with */
PN_CHECK enum pn_status pn_dkim_record_parse(struct pn_str text, struct pn_arena *arena,
    struct pn_dkim_record *out, struct pn_error *err);

/* The record at selector._domainkey.domain.
 * PN_OK         *out
 * PN_NOT_FOUND  there is none
 * PN_INVALID    no usable one, or several
 * PN_TEMPFAIL   the DNS cannot say; PN_LIMIT from the port is this too */
PN_CHECK enum pn_status pn_dkim_record_find(const struct pn_dns *dns, struct pn_str domain,
    struct pn_str selector, struct pn_arena *arena, struct pn_dkim_record *out, struct pn_error *err);

/* Is the key at that place of the DNS this key's other half?  No: another one, none, a revoked or unusable
 * one; err says which.  Not known: the DNS cannot say.  May be cached for as long as a record lives. */
enum pn_known pn_dkim_key_matches(const struct pn_dkim_key *key, struct pn_str domain, struct pn_str selector,
    const struct pn_dns *dns, struct pn_arena *arena, struct pn_error *err);

#endif
