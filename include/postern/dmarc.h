/* dmarc.h - does a mail come from the domain its From shows, and what does that domain want done if not?
 *
 * Two ways to find the organisational domain: RFC 7489 with the Public Suffix List, and the
 * DNS tree walk of RFC 9989 (sections 4.10.1, 4.10.2).  The result is advice: what is done with
 * it, for whom, and where not (trusted relays, lists), is the caller's.
 *
 * No clock, no random numbers, no I/O but through the port of dns.h.  Safe from any thread.
 */
#ifndef POSTERN_DMARC_H
#define POSTERN_DMARC_H

#include "postern/dns.h"
#include "postern/from_identity.h"
#include "postern/psl.h"

/* From the mildest to the strictest. */
enum pn_dmarc_policy {
	PN_DMARC_UNSET,		/* no such tag */
	PN_DMARC_NONE,
	PN_DMARC_QUARANTINE,
	PN_DMARC_REJECT,
};

enum pn_dmarc_mode {
	PN_DMARC_PSL,		/* RFC 7489: at most two questions; pct= */
	PN_DMARC_TREE,		/* RFC 9989: at most eight questions for a walk; psd=, np=, t= */
};

struct pn_dmarc_record {
	bool usable;		/* false: no valid policy and nobody to report to: DMARC is not applied */
	enum pn_dmarc_policy p, sp, np;
	bool strict_dkim, strict_spf;
	bool testing;		/* t=y */
	char psd;		/* 'y', 'n' or 'u' */
	uint8_t pct;		/* 0-100 */
	struct pn_str rua, ruf;	/* as they stand; "" = none */
	size_t faults;		/* tags with a value that is discarded, or that occur twice */
};

/* One TXT record (RFC 7489 section 6.4, RFC 9989 section 4.8).  Unknown tags are ignored, values
 * that are none give the default, and so does a tag that occurs twice.  A policy that is none
 * counts as p=none if there is an address to report to, and makes the record unusable
 * otherwise (RFC 7489 section 6.6.3).  The order of tags behind v= does not matter, and a record
 * without p= is p=none under RFC 9989.  Tags of the other RFC are ignored.
 *
 * PN_OK         *out, borrowing from text
 * PN_NOT_FOUND  it does not begin with v=DMARC1: no DMARC record */
PN_CHECK enum pn_status pn_dmarc_record_parse(struct pn_str text, enum pn_dmarc_mode mode,
    struct pn_dmarc_record *out);

/* A domain that SPF or DKIM vouches for. */
struct pn_dmarc_identifier {
	struct pn_str domain;	/* DKIM: d=; SPF: of MAIL FROM, or the HELO name for <>.  Any form */
	bool dkim;
	bool unsure;		/* its check ended in temperror: it may yet pass */
};

struct pn_dmarc_question {
	enum pn_dmarc_mode mode;
	const struct pn_psl *psl;		/* PN_DMARC_PSL only */
	const struct pn_dns *dns;
	struct pn_from_identity from;
	const struct pn_dmarc_identifier *identifiers;	/* passed or unsure; SPF first costs least */
	size_t identifier_count;
	unsigned roll;				/* 0-99, at random: which mails a pct= takes */
};

enum pn_dmarc_result {
	PN_DMARC_RESULT_NONE,	/* no record, or no author domain */
	PN_DMARC_PASS,
	PN_DMARC_FAIL,
	PN_DMARC_TEMPERROR,
	PN_DMARC_PERMERROR,	/* a record that cannot be applied, or too many author domains */
};

enum pn_dmarc_alignment {
	PN_DMARC_UNALIGNED,
	PN_DMARC_RELAXED,	/* same organisational domain */
	PN_DMARC_STRICT,	/* same domain */
	PN_DMARC_UNASKED,	/* nothing depended on it any more, or the DNS did not tell */
};

struct pn_dmarc {
	enum pn_dmarc_result result;
	enum pn_dmarc_policy disposition;	/* after pct= or t=; PN_DMARC_NONE but for a fail */
	enum pn_dmarc_policy policy;		/* for this author, before that; PN_DMARC_UNSET = no record */
	enum pn_dmarc_policy p, sp, np;		/* of the record */
	struct pn_str author;			/* "" = none; of several: the one whose answer this is */
	struct pn_str policy_domain;		/* where the record is; "" = none */
	/* Of the author; the author itself where nobody had to ask. */
	struct pn_str organisational;
	const enum pn_dmarc_alignment *alignments;	/* one per identifier */
	unsigned queries;			/* questions to the DNS, over all authors */
	const char *reason;			/* for people; static */
};

/* One author domain: pass, if an identifier that passed is aligned with it.  Several, or a From in
 * doubt: each domain is evaluated, and the strictest answer among them is the answer
 * (RFC 7489 section 6.6.1): by its disposition, then temperror, fail, permerror, none; never a pass.
 *
 * An answer always; the arena exhausted is a temperror. */
void pn_dmarc_evaluate(const struct pn_dmarc_question *question, struct pn_arena *arena,
    struct pn_dmarc *out);

const char *pn_dmarc_result_name(enum pn_dmarc_result result);	/* as RFC 8601 writes it */
const char *pn_dmarc_policy_name(enum pn_dmarc_policy policy);	/* "none", ...; "" = unset */

#endif
