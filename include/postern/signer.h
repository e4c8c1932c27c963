/* signer.h - the keys of this host, and which mail is signed with which.
 *
 * OpenDKIM's KeyTable and SigningTable as files; keys are decoded once.  A mail is
 * signed with the keys of its author, and never with one that the world would not
 * verify: the published key must be the other half.
 *
 * The keys are files, or another process has them: then no private key is in this one, and a mail that it does not
 * sign in time is not signed.
 *
 * Thread-safe; a changed file counts for the next signer.
 */
#ifndef POSTERN_SIGNER_H
#define POSTERN_SIGNER_H

#include "postern/auth_config.h"
#include "postern/dkim_sign.h"
#include "postern/key_ring.h"
#include "postern/key_table.h"

struct pn_signer;

/* dns: to see what is published; NULL does not look.  service: the process that has the keys, which is asked
 * for each when it is first needed; it is taken over, and closed also when this fails.  NULL: keys are files, and
 * every one that has a path without "%" is read now.
 * PN_OK         *out; NULL where no SigningTable is configured
 * PN_INVALID    a table or a key is wrong; err names file and line
 * PN_TEMPFAIL   a file cannot be read */
PN_CHECK enum pn_status pn_signer_open(const struct pn_sign_config *config, const struct pn_dns *dns,
    const struct pn_key_service *service, struct pn_signer **out, struct pn_error *err);
void pn_signer_close(struct pn_signer *signer);	/* NULL is fine */

/* How the body is to be hashed for it: pn_dkim_body_new(). */
bool pn_signer_relaxed_body(const struct pn_signer *signer);

/* The key of a line of the KeyTable, for who signs for others.
 * PN_OK         *out, as long as the signer
 * PN_NOT_FOUND  the table has no such line for that domain and selector
 * PN_INVALID, PN_TEMPFAIL, PN_LIMIT  it cannot be had: pn_key_ring_get() */
PN_CHECK enum pn_status pn_signer_key(struct pn_signer *signer, struct pn_str name, struct pn_str domain,
    struct pn_str selector, struct pn_arena *arena, const struct pn_dkim_key **out, struct pn_error *err);

struct pn_signed {
	struct pn_field *fields;	/* to be put above all others, the last one first */
	size_t n;
	struct pn_str domains;		/* "acme.example/s1, ..." for the log */
	struct pn_str refused;		/* why a key did not sign; "" = all did */
};

/* fields: as they leave.  from: the author's address.  dates_change: as in struct pn_dkim_signing.
 * PN_OK         *out, in the arena; n may be 0, .refused says why then
 * PN_NOT_FOUND  the tables have no key for this author
 * PN_INVALID, PN_LIMIT  as pn_dkim_sign(): it leaves unsigned */
PN_CHECK enum pn_status pn_signer_sign(struct pn_signer *signer, struct pn_fields fields,
    const unsigned char body[PN_DKIM_HASH_SIZE], struct pn_str from, bool dates_change, int64_t now,
    struct pn_arena *arena, struct pn_signed *out, struct pn_error *err);

#endif
