/* recipient.h - whose is an envelope recipient?
 *
 * Asked at RCPT by the milter and by Postfix itself through the socketmap
 * `recipient`; the same answer in both places.  Cheap and exact: a domain of
 * ours, then bounce | catchall | default_from | alias | retired | unknown.
 *
 * Pure: facts come through a port.
 */
#ifndef POSTERN_RECIPIENT_H
#define POSTERN_RECIPIENT_H

#include "postern/directory.h"

enum pn_rcpt_kind {
	PN_RCPT_FOREIGN,	/* no domain of ours */
	PN_RCPT_BOUNCE,
	PN_RCPT_CATCHALL,
	PN_RCPT_DEFAULT_FROM,
	PN_RCPT_ALIAS,		/* full name, or the left part where the alias allows it */
	PN_RCPT_RETIRED,	/* an address that was renamed; goes on working */
	PN_RCPT_ROLE,		/* postmaster, abuse: never refused nor counted */
	PN_RCPT_UNKNOWN,
};

/* What is done with it at RCPT. */
enum pn_rcpt_answer {
	PN_RCPT_OURS,		/* accepted; decided at the end of the message */
	PN_RCPT_PASS,		/* not ours: Postfix goes on with it */
	PN_RCPT_REJECT,		/* 550 5.1.1: known not to exist */
};

struct pn_rcpt {
	enum pn_rcpt_kind kind;
	enum pn_rcpt_answer answer;
	const struct pn_domain *domain;		/* NULL when foreign */
	const struct pn_gateway *gateway;	/* NULL when foreign */
	struct pn_str address;			/* lower-cased, without <>, domain as A-labels */
	struct pn_str alias;			/* PN_RCPT_ALIAS: alias_full_name or alias_name */
	struct pn_str model;			/* PN_RCPT_ALIAS: of the (first) alias */
	bool asks_proof;			/* PN_RCPT_ALIAS: one of the aliases asks that mail passes DMARC */
	struct pn_str successor;		/* PN_RCPT_RETIRED */
	struct pn_str human;			/* PN_RCPT_ROLE: who takes it; "" = nobody configured */
};

/* Where the directory's facts are. */
struct pn_recipient_facts {
	void *ctx;
	struct pn_alias_source (*aliases)(void *ctx, const struct pn_gateway *gateway);
	/* PN_OK: *successor (in arena), PN_NOT_FOUND, PN_TEMPFAIL */
	enum pn_status (*retired)(void *ctx, const struct pn_gateway *gateway, struct pn_str address,
	    struct pn_arena *arena, struct pn_str *successor);
	/* the alias table of the gateway is complete */
	bool (*complete)(void *ctx, const struct pn_gateway *gateway);
};

/* address: with or without <>, as in RCPT TO or a socketmap key.  A bare
 * <postmaster> is a role of no domain: foreign.
 * PN_OK        *out, in arena
 * PN_INVALID   no address: no local part, or a domain that is none
 * PN_TEMPFAIL  the directory cannot say now: 451, never 550 */
PN_CHECK enum pn_status pn_recipient_classify(const struct pn_directory *directory,
    const struct pn_recipient_facts *facts, struct pn_str address, struct pn_arena *arena,
    struct pn_rcpt *out, struct pn_error *err);

/* The address of a RCPT TO as Postfix keeps it: without <> and without a source
 * route, case as given. */
struct pn_str pn_recipient_bare(struct pn_str address);

/* "alias", "catchall", ... for logs and explain. */
const char *pn_rcpt_kind_name(enum pn_rcpt_kind kind);

#endif
