/* spf.h - may this client send for this domain? (RFC 7208)
 *
 * An evaluator of our own (docs/decisions/0009-spf-own-evaluator.md), pure but for
 * the DNS port.  Its limits are those of the RFC: 10 terms that ask the DNS, 2 void
 * answers (of what the domain wrote: PTR answers are the client's, and not counted),
 * 10 MX hosts, 10 names of a client.  Names, senders and records are hostile: what is
 * built from them has a maximum.
 *
 * Any number of threads, if the port allows it.
 */
#ifndef POSTERN_SPF_H
#define POSTERN_SPF_H

#include "postern/dns.h"

enum pn_spf_result {
	PN_SPF_NONE,
	PN_SPF_NEUTRAL,
	PN_SPF_PASS,
	PN_SPF_FAIL,
	PN_SPF_SOFTFAIL,
	PN_SPF_TEMPERROR,	/* asking later may help */
	PN_SPF_PERMERROR,	/* the domain must mend its record */
};

/* "none", "neutral", ... as RFC 8601 writes them */
const char *pn_spf_result_name(enum pn_spf_result result);

struct pn_spf_question {
	unsigned char client[16];	/* IPv4 as IPv4-mapped */
	struct pn_str helo;
	struct pn_str sender;		/* MAIL FROM; empty: postmaster of the HELO name is asked about */
	struct pn_str receiver;		/* our name, for %{r}; empty: "unknown" */
	int64_t now;			/* seconds, for %{t} */
	bool explain;			/* fetch what exp= names: one more question to the DNS */
};

struct pn_spf_answer {
	enum pn_spf_result result;
	struct pn_str domain;	/* that was asked about, as A-labels; empty when there is none */
	struct pn_str term;	/* that decided, as it stands in the record (253 bytes of it); empty: none did */
	struct pn_str reason;	/* for people: printable ASCII */
	/* With fail, if asked for: words of the sender's domain, to be shown as such or not at all,
	 * and in an SMTP reply only if they are printable.  Empty when there are none. */
	struct pn_str explanation;
	bool explanation_is_printable;	/* ASCII without controls */
	unsigned lookups, voids;	/* counted towards the limits */
};

/* check_host() of RFC 7208 section 4.  *out is in the arena; there is always an answer. */
void pn_spf_check(const struct pn_spf_question *question, const struct pn_dns *dns, struct pn_arena *arena,
    struct pn_spf_answer *out);

#endif
