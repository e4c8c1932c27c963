/* What the resolver remembers: answers, and questions that are on their way.
 *
 * Bounded in entries and bytes; what was longest not asked for goes first.  Found by
 * comparing, not by hashing: names are chosen by strangers.  Not thread-safe: the
 * resolver has the lock.  Times are those of pn_clock_mono_us(). */
#ifndef DNS_CACHE_H
#define DNS_CACHE_H

#include <pthread.h>
#include <sys/queue.h>

#include "postern/dns.h"

struct dns_entry {
	TAILQ_ENTRY(dns_entry) age;
	unsigned refs;		/* the cache, whoever asks, whoever waits */
	enum pn_dns_type type;
	struct pn_str name;	/* lower case */
	void *owner;
	pthread_cond_t landed_now;
	bool landed;		/* from then on nothing below changes */
	int64_t expires;
	enum pn_status status;	/* PN_OK, PN_NOT_FOUND, PN_TEMPFAIL */
	bool nxdomain, secure, alias;
	char why[120];
	struct pn_str rdata;	/* each with two bytes of length before it; of malloc() */
};

struct dns_cache {
	void *tree;
	TAILQ_HEAD(dns_entries, dns_entry) by_age;	/* landed, the newest first */
	size_t entries, bytes, entries_max, bytes_max;
	size_t flying, flying_max;
};

void dns_cache_init(struct dns_cache *cache, size_t entries_max, size_t bytes_max, size_t flying_max);
/* Nobody may hold an entry any more. */
void dns_cache_done(struct dns_cache *cache);

/* The entry for a question, held for the caller.  *is_new: nobody has asked yet, the caller must, and
 * holds it a second time for dns_cache_land().  NULL: too many questions are on their way. */
struct dns_entry *dns_cache_take(struct dns_cache *cache, struct pn_str name, enum pn_dns_type type,
    int64_t now, bool *is_new);
/* The answer has come; its fields but `landed` are set.  Lets go of what the asker held. */
void dns_cache_land(struct dns_cache *cache, struct dns_entry *entry);
void dns_cache_release(struct dns_entry *entry);

#endif
