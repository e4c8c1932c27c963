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
	uint32_t ttl;			/* seconds */
};

/* PN_OK         at least one record (CNAMEs followed)
 * PN_NOT_FOUND  NXDOMAIN or no record of this type
 * PN_INVALID    no name that can be asked for (empty label, over 63 or 253 bytes): nobody was asked
 * PN_TEMPFAIL   time-out, SERVFAIL, bogus; err says which
 * PN_LIMIT      the message's budget of questions or time is used up; TEMPFAIL to whoever asks */
struct pn_dns {
	void *ctx;
	enum pn_status (*query)(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
	    struct pn_dns_answer *out, struct pn_error *err);
};

#endif
