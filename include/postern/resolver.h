/* resolver.h - the DNS itself, through libunbound.
 *
 * One per process.  Questions are asked asynchronously by a thread of libunbound;
 * answers are kept in a bounded cache of our own, with negative and failed ones, and
 * a question that is already on its way is not asked again.  Who waits leaves at its
 * own deadline; the answer is kept for the next one.
 *
 * Thread-safe.  It has threads of its own: open it after fork(), and close it when
 * nobody waits any more.
 */
#ifndef POSTERN_RESOLVER_H
#define POSTERN_RESOLVER_H

#include "postern/dns.h"

struct pn_resolver_options {
	/* "192.0.2.53", "127.0.0.1@5353", "system": those of /etc/resolv.conf; none: from the root servers down */
	struct pn_strs forwarders;
	/* File, as /usr/share/dns/root.key; empty: DNSSEC is not looked at.  Forwarders must hand on DNSSEC
	 * records then, or everything that is signed is bogus. */
	struct pn_str trust_anchor;
	unsigned timeout_ms;		/* of one question; 0: 5 s */
	size_t cache_entries, cache_bytes;	/* 0: 50,000; 64 MiB */
};

struct pn_resolver;

/* PN_INVALID: an option is wrong; PN_TEMPFAIL: the system refuses something.  err says which. */
PN_CHECK enum pn_status pn_resolver_open(const struct pn_resolver_options *options, struct pn_resolver **out,
    struct pn_error *err);
void pn_resolver_close(struct pn_resolver *resolver);	/* NULL is fine */

/* Valid as long as the resolver.  Bogus answers are PN_TEMPFAIL; failures are remembered for 30 s. */
struct pn_dns pn_resolver_port(struct pn_resolver *resolver);

/* Asks without waiting: an answer that will be needed later is then in the cache, or on its way.  Nothing is
 * asked when half of what may be on its way already is. */
void pn_resolver_start(struct pn_resolver *resolver, struct pn_str name, enum pn_dns_type type);

struct pn_resolver_counts {
	uint64_t asked, hits, joined;	/* sent out; from the cache; waited for another's question */
	size_t entries, bytes;		/* in the cache now */
};
struct pn_resolver_counts pn_resolver_count(struct pn_resolver *resolver);

#endif
