/* key_table.h - OpenDKIM's KeyTable and SigningTable: which keys sign for which author.
 *
 * The files are read as they are (opendkim.conf(5)): # begins a comment anywhere, a line is a key,
 * blanks, a value.
 *
 *	KeyTable	name	domain:selector:/path/of/key	(or the key itself in base64)
 *	SigningTable	author	name[:identity]
 *
 * In a "refile:" SigningTable the author is a pattern in which * stands for any text, and the order of lines
 * counts.  In a "file:" one it is asked for as user@host, host, then user@.above and .above of each
 * domain above the host, user@*, and *.  A name or domain of "%" is the author's domain, and so is each %
 * in an identity; in a path % is the domain of the signature.
 *
 * Pure.  Tables are immutable once parsed: any number of threads may ask.
 */
#ifndef POSTERN_KEY_TABLE_H
#define POSTERN_KEY_TABLE_H

#include "postern/arena.h"
#include "postern/error.h"

struct pn_key_entry {
	struct pn_str name, domain, selector;
	struct pn_str key;		/* a path if pn_key_is_path(); else the key itself */
	size_t line;
};

struct pn_key_table {
	struct pn_key_entry *v;		/* by name, the first line of equal ones first */
	size_t n;
};

struct pn_signing_entry {
	struct pn_str author;		/* lower case */
	struct pn_str key_name;
	struct pn_str identity;		/* "" = none */
	size_t line;
};

struct pn_signing_table {
	struct pn_signing_entry *v;	/* patterns: by line; else by author */
	size_t n;
	bool patterns;
};

/* The text must outlive the table, and so must the arena.
 * PN_OK       *out
 * PN_INVALID  err says which line is none
 * PN_LIMIT    arena exhausted */
PN_CHECK enum pn_status pn_key_table_parse(struct pn_str text, struct pn_arena *arena,
    struct pn_key_table *out, struct pn_error *err);
PN_CHECK enum pn_status pn_signing_table_parse(struct pn_str text, bool patterns, struct pn_arena *arena,
    struct pn_signing_table *out, struct pn_error *err);

struct pn_signing_key {
	struct pn_str name;			/* in the KeyTable */
	struct pn_str domain, selector;		/* d=, s= */
	struct pn_str identity;			/* i=; "" = none, also when it were outside of d= */
	struct pn_str key;			/* as in pn_key_entry */
};

enum { PN_SIGNING_KEYS = 8 };			/* for one mail */

/* The keys for one author's address.  all: every line that matches (OpenDKIM's MultipleSignatures), else one.
 * PN_OK         *out, *n: at least one
 * PN_NOT_FOUND  no line matches
 * PN_INVALID    no address, or a line names a key that is not in the KeyTable, or no host name; err says */
PN_CHECK enum pn_status pn_signing_find(const struct pn_signing_table *signing,
    const struct pn_key_table *keys, struct pn_str address, bool all, struct pn_arena *arena, struct pn_signing_key out[PN_SIGNING_KEYS],
    size_t *n, struct pn_error *err);

/* The key of a name, as it signs for that domain; without an identity.
 * PN_OK         *out
 * PN_NOT_FOUND  no such name, or it is of another domain
 * PN_INVALID    no host name, or the path is too long; err says */
PN_CHECK enum pn_status pn_key_table_find(const struct pn_key_table *keys, struct pn_str name, struct pn_str domain,
    struct pn_arena *arena, struct pn_signing_key *out, struct pn_error *err);

/* Does it begin with "/", "./" or "../"? */
bool pn_key_is_path(struct pn_str key);

#endif
