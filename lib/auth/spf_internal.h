/* What the files of the SPF evaluator share: grammar, macros, evaluation. */
#ifndef SPF_INTERNAL_H
#define SPF_INTERNAL_H

#include "postern/buf.h"
#include "postern/spf.h"

/* -- spf_term.c: the grammar (RFC 7208 section 12) -- */

enum spf_kind {
	SPF_ALL,
	SPF_INCLUDE,
	SPF_A,
	SPF_MX,
	SPF_PTR,
	SPF_IP4,
	SPF_IP6,
	SPF_EXISTS,
	SPF_REDIRECT,
	SPF_EXP,
	SPF_OTHER,	/* a modifier nobody knows */
};

struct spf_term {
	enum spf_kind kind;
	struct pn_str text;		/* all of it */
	enum pn_spf_result result;	/* of a mechanism that matches */
	struct pn_str domain;		/* domain-spec; p is NULL when there is none */
	unsigned char network[16];	/* ip4 (mapped), ip6 */
	unsigned bits4, bits6;		/* of what a network has in common */
};

struct spf_record {
	struct pn_str terms;
	struct pn_str redirect, exp;	/* domain-spec; p is NULL when there is none */
};

bool spf_is_record(struct pn_str text);
/* All of it is read, whatever matches later.  NULL, or what is wrong; *culprit is the term. */
const char *spf_parse(struct pn_str text, struct spf_record *out, struct pn_str *culprit);
/* The next one of a record that was parsed. */
bool spf_next_term(struct pn_str *terms, struct spf_term *out);

/* -- spf_macro.c: macro-strings (section 7) -- */

enum spf_macro_use { SPF_IN_DOMAIN, SPF_IN_MODIFIER, SPF_IN_EXPLANATION };

/* A stretch of plain text, or one macro. */
struct spf_piece {
	struct pn_str text;	/* what a piece without a letter stands for */
	char letter;		/* lower case; 0: text */
	bool is_macro;
	bool escape;		/* for URLs */
	bool reverse;
	uint64_t keep;		/* parts from the right */
	struct pn_str delimiters;
};

bool spf_macro_next(struct pn_str *rest, enum spf_macro_use use, struct spf_piece *out);
bool spf_macro_is_valid(struct pn_str text, enum spf_macro_use use);
bool spf_domain_is_valid(struct pn_str text);

/* -- spf.c, spf_match.c: evaluation -- */

struct spf {
	const struct pn_spf_question *q;
	const struct pn_dns *dns;
	struct pn_arena *arena;		/* for the way to the answer */
	bool is_ip4;
	struct pn_str sender, local, sender_domain;
	struct pn_str domain;		/* the current one, %{d} */
	struct pn_str exp;		/* of the record that decided */
	bool names_known;
	struct pn_strs names;		/* of the client, validated */
	unsigned lookups, voids;
	struct pn_str term, reason;
};

enum { SPF_TEXT_MAX = 16 * 1024 };

/* Appends to out, which may fail when it grows too long.  The text is valid. */
void spf_macro_expand(struct spf *spf, struct pn_str text, enum spf_macro_use use, struct pn_buf *out);
/* The name that a domain-spec stands for (the current domain without one), cut at the left to 253 bytes.
 * PN_LIMIT: far too long; the reason is set. */
enum pn_status spf_target(struct spf *spf, struct pn_str domain_spec, struct pn_str *out);

enum spf_match { SPF_NO_MATCH, SPF_MATCH, SPF_TEMPERROR, SPF_PERMERROR };

enum spf_match spf_match(struct spf *spf, const struct spf_term *term);
/* Host names of the client that lead back to it (section 5.5). */
struct pn_strs spf_names(struct spf *spf);
/* spf_match.c needs it for include */
enum pn_spf_result spf_check_host(struct spf *spf, struct pn_str domain);
/* False: one more than the limit allows. */
bool spf_count_lookup(struct spf *spf);
/* The reason given in the end is the last one set. */
void spf_explain_error(struct spf *spf, const char *why, struct pn_str about);
void spf_explain_failure(struct spf *spf, const struct pn_error *err, enum pn_dns_type type, struct pn_str name);

#endif
