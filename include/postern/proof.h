/* proof.h - what authentication makes of a verdict.
 *
 * Who wrote a mail is proven by DMARC or not.  A gateway or an alias may ask for
 * proof; and where the operator enforces DMARC, a domain that wants unproven mail
 * refused is obeyed.  What the DNS did not tell is "not known", and never leads to
 * a 5xx.
 *
 * Pure.
 */
#ifndef POSTERN_PROOF_H
#define POSTERN_PROOF_H

#include "postern/verdict.h"

/* WAIT: the author is in doubt, and the DNS did not tell what its domains want. */
enum pn_unproven { PN_UNPROVEN_ACCEPT, PN_UNPROVEN_WAIT, PN_UNPROVEN_HOLD, PN_UNPROVEN_REFUSE };

struct pn_proof {
	bool asked;			/* a recipient is an alias that asks for proof */
	bool checked;			/* false: nothing was verified */
	enum pn_known proven;		/* DMARC pass; not known: the DNS did not tell */
	bool never_refuse;		/* the client could not be found out */
	/* by the author's domain, as far as the operator obeys it; of what is not known: at worst */
	enum pn_unproven wanted;
	bool defer;			/* what is needed and not known: 451, else handed over */
	struct pn_str author;		/* domain, for texts; "" = none */
};

/* Only a verdict that lets the mail pass can change; after pn_verdict_soften(), as a recipient more must not
 * open what is closed.  decision: NULL where there is none. */
struct pn_verdict pn_verdict_prove(struct pn_verdict verdict, const struct pn_decision *decision,
    const struct pn_proof *proof, struct pn_arena *arena);

#endif
