/* auth_results.h - Authentication-Results fields (RFC 8601): ours is written, forged ones of our name are
 * found, those of an earlier filter that is trusted are read.
 *
 * Time and memory are linear in the length of a field; no recursion.  Pure; safe from any thread.
 */
#ifndef POSTERN_AUTH_RESULTS_H
#define POSTERN_AUTH_RESULTS_H

#include "postern/dmarc.h"

enum {
	PN_AUTH_RESULTS_MAX = 64,		/* results in one field */
	PN_AUTH_PROPERTIES_MAX = 16,		/* properties of one result */
	PN_AUTH_RESULTS_BYTES_MAX = 64 * 1024,	/* of one field that is read */
};

/* "smtp.mailfrom=value" */
struct pn_auth_property {
	struct pn_str type;
	struct pn_str name;
	struct pn_str value;	/* without quotes and escapes */
};

/* "method=result reason=... type.name=value ..." */
struct pn_auth_result {
	struct pn_str method;
	struct pn_str result;
	struct pn_str reason;	/* "" = none */
	struct pn_auth_property *properties;
	size_t n;
};

struct pn_auth_results {
	struct pn_str authserv_id;
	struct pn_auth_result *v;
	size_t n;		/* 0: "none" */
};

/* -- writing ------------------------------------------------------------------------------ */

/* Begins an empty list with room for PN_AUTH_RESULTS_MAX; more are left out. */
void pn_auth_results_begin(struct pn_auth_results *results, struct pn_str authserv_id,
    struct pn_arena *arena);

/* Adds "method=result"; the properties go to the result that was added last.  One
 * with an empty value is left out.  All text is borrowed.  method, type and name are our own words. */
void pn_auth_results_add(struct pn_auth_results *results, struct pn_str method, struct pn_str result,
    struct pn_str reason, struct pn_arena *arena);
void pn_auth_results_property(struct pn_auth_results *results, struct pn_str type, struct pn_str name,
    struct pn_str value);

/* "spf=", with smtp.mailfrom, or smtp.helo for the null sender. */
void pn_auth_results_add_spf(struct pn_auth_results *results, struct pn_str result, struct pn_str mail_from,
    struct pn_str helo, struct pn_arena *arena);

/* "dkim=" of one signature; b: its b=, of which eight bytes tell signatures apart (RFC 6008).  A result that
 * has no d= (none) leaves all of them out. */
void pn_auth_results_add_dkim(struct pn_auth_results *results, struct pn_str result, struct pn_str reason,
    struct pn_str d, struct pn_str i, struct pn_str a, struct pn_str s, struct pn_str b,
    struct pn_arena *arena);

/* "dmarc=" with header.from and policy.dmarc (what is left to do), as RFC 9989 section 9.1
 * registers them, and policy.domain, policy.published: where a record was and what it asks for
 * this author. */
void pn_auth_results_add_dmarc(struct pn_auth_results *results, const struct pn_dmarc *dmarc,
    struct pn_arena *arena);

/* The value of the field, without a blank before it, as smfi_insheader() takes it: folded with LF and
 * a tab, below 78 columns where no value is longer.  Whatever a value holds stays inside
 * its quotes; controls and bytes that are not ASCII become "?". */
struct pn_str pn_auth_results_write(const struct pn_auth_results *results, struct pn_arena *arena);

/* -- reading -------------------------------------------------------------------------------- */

/* By the grammar of RFC 8601 section 2.2, and values as they are written in the wild
 * ("header.b=ab/c", "smtp.mailfrom=<>").
 *
 * PN_OK       *out, in the arena
 * PN_INVALID  not such a field, or a version other than 1
 * PN_LIMIT    more than the limits above, or the arena is exhausted */
PN_CHECK enum pn_status pn_auth_results_parse(struct pn_str raw, struct pn_arena *arena,
    struct pn_auth_results *out);

/* Could anybody take this field for one of authserv_id?  Comments, folds, quotes, case, version,
 * encoded words and other spellings of a domain are looked through, and so is whatever stands
 * before the first ";". */
bool pn_auth_results_claims(struct pn_str raw, struct pn_str authserv_id, struct pn_arena *arena);

/* Which fields named Authentication-Results claim to be ours: their numbers among the fields of that name,
 * from 1 as smfi_chgheader() counts, the last one first: the others keep theirs
 * while these are deleted one after the other.
 *
 * PN_OK     *indexes and *n, in the arena
 * PN_LIMIT  arena exhausted */
PN_CHECK enum pn_status pn_auth_results_forged(struct pn_fields fields, struct pn_str authserv_id,
    struct pn_arena *arena, size_t **indexes, size_t *n);

/* What a trusted filter before us found: the first field that claims its authserv_id, read strictly, and what
 * those that follow it at once tell of further methods (each of its programs writes one).  The filter must
 * itself remove what others sent under its name.
 *
 * PN_OK         *out
 * PN_NOT_FOUND  no such field
 * PN_INVALID    it is no plain field of this name; those below it are not looked at
 * PN_LIMIT */
PN_CHECK enum pn_status pn_auth_results_trusted(struct pn_fields fields, struct pn_str authserv_id,
    struct pn_arena *arena, struct pn_auth_results *out);

#endif
