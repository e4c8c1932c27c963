/* dmarc_tree.h - the records at _dmarc names, each asked for once per mail, and the walk over them. */
#ifndef POSTERN_DMARC_TREE_H
#define POSTERN_DMARC_TREE_H

#include "postern/dmarc.h"

enum { DMARC_WALK_MAX = 8 };	/* questions of one walk (RFC 9989 section 4.10) */

struct dmarc_entry {
	struct dmarc_entry *next;
	struct pn_str domain;
	enum pn_status status;		/* PN_OK; PN_NOT_FOUND; PN_TEMPFAIL */
	bool several;			/* PN_NOT_FOUND, because there is more than one record */
	bool nxdomain;			/* not even the name _dmarc.domain exists */
	struct pn_dmarc_record record;
};

/* What one evaluation has learned. */
struct dmarc_lookups {
	const struct pn_dns *dns;
	enum pn_dmarc_mode mode;
	struct pn_arena *arena;
	struct dmarc_entry *entries;
	unsigned queries;
};

const struct dmarc_entry *dmarc_lookup(struct dmarc_lookups *lookups, struct pn_str domain);

/* PN_OK         *exists: is there anything at this name or below (RFC 8020)?
 * PN_TEMPFAIL */
PN_CHECK enum pn_status dmarc_exists(struct dmarc_lookups *lookups, struct pn_str domain, bool *exists);

struct dmarc_walk {
	struct pn_str organisational;		/* part of the domain */
	/* The organisational domain's, else its public suffix's; NULL = none. */
	const struct dmarc_entry *record;
};

/* From the domain up to its top.
 *
 * PN_OK        *out
 * PN_TEMPFAIL  a name could not be asked for */
PN_CHECK enum pn_status dmarc_walk(struct dmarc_lookups *lookups, struct pn_str domain,
    struct dmarc_walk *out);

#endif
