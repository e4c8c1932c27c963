/* dns.h - questions to the DNS, as a port.
 *
 * SPF, DKIM and DMARC ask through it; behind it are pn_resolver (libunbound), an
 * in-process zone in tests and suites, or a budget that counts.  A call may block
 * until its own deadline, never longer.
 */
#ifndef POSTERN_DNS_H
#define POSTERN_DNS_H

#include "postern/arena.h"
#include "postern/error.h"
#include "postern/str_list.h"

enum pn_dns_type {
	PN_DNS_A = 1,
	PN_DNS_NS = 2,
	PN_DNS_PTR = 12,
	PN_DNS_MX = 15,
	PN_DNS_TXT = 16,
	PN_DNS_AAAA = 28,
};

struct pn_dns_answer {
	/* A: 4 bytes; AAAA: 16 bytes; TXT: its strings joined, any byte; MX, PTR, NS:
	 * name without the last dot, as it came.  MX ordered by preference.  In the arena. */
	struct pn_strs records;
	const uint16_t *preferences;	/* MX: one per record */
	bool nxdomain;			/* with PN_NOT_FOUND: the name does not exist at all */
	bool secure;			/* DNSSEC-validated */
	bool alias;			/* with PN_OK: the name is a CNAME */
	uint32_t ttl;			/* seconds */
};

/* A question gives
 *
 * PN_OK         at least one record (CNAMEs followed)
 * PN_NOT_FOUND  NXDOMAIN or no record of this type; *out says which, and for how long
 * PN_INVALID    no name that can be asked for (empty label, over 63 or 253 bytes): nobody was asked
 * PN_TEMPFAIL   time-out, SERVFAIL, bogus; err says which
 * PN_LIMIT      the message's budget of questions or time is used up; TEMPFAIL to whoever asks
 *
 * A name may hold any byte, but dots separate its labels; case does not matter, nor one last dot. */
struct pn_dns {
	void *ctx;
	enum pn_status (*query)(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
	    struct pn_dns_answer *out, struct pn_error *err);
	/* The same, waiting no longer than until `deadline` (pn_clock_mono_us()).  NULL where there is
	 * nothing to wait for. */
	enum pn_status (*query_until)(void *ctx, struct pn_str name, enum pn_dns_type type, int64_t deadline,
	    struct pn_arena *arena, struct pn_dns_answer *out, struct pn_error *err);
};

/* "A", "TXT", ... */
const char *pn_dns_type_name(enum pn_dns_type type);

/* Without its last dot, if it can be asked for at all: labels of 1 to 63 bytes, 253 together. */
PN_CHECK bool pn_dns_name(struct pn_str name, struct pn_str *out);

/* What one message may ask: a port that counts, in front of another.  One thread at a time. */
struct pn_dns_budget {
	struct pn_dns below;
	unsigned questions_left;
	int64_t deadline;	/* pn_clock_mono_us() */
	unsigned questions, voids;	/* asked so far; with PN_NOT_FOUND */
};

void pn_dns_budget_init(struct pn_dns_budget *budget, struct pn_dns below, unsigned questions,
    int64_t deadline);
/* Valid as long as the budget stays where it is. */
struct pn_dns pn_dns_budget_port(struct pn_dns_budget *budget);

#endif
