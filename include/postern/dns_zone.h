/* dns_zone.h - a DNS of a few lines of text, for tests, suites and trying out.
 *
 * A line is words as in a zone file (RFC 1035 section 5.1): separated by blanks,
 * quoted where they hold blanks, \DDD and \X for any byte; # begins a comment.
 *
 *     example.org  A        192.0.2.1
 *     example.org  MX       10 mail.example.org
 *     example.org  TXT      "v=spf1 mx" " -all"         strings are joined
 *     www.example.org CNAME example.org
 *     slow.example.org TIMEOUT                          any type that has no record here
 *     odd.example.org SERVFAIL TXT                      this type only
 *
 * Names exist when they have a record or a name below them has one.  Answers are
 * not secure and live for 300 seconds.  Once filled, any number of threads may ask.
 */
#ifndef POSTERN_DNS_ZONE_H
#define POSTERN_DNS_ZONE_H

#include "postern/dns.h"

struct pn_dns_zone;

struct pn_dns_zone *pn_dns_zone_new(void);
void pn_dns_zone_free(struct pn_dns_zone *zone);	/* NULL is fine */

/* One line; empty ones and comments add nothing.  PN_INVALID: err says what is wrong with it. */
PN_CHECK enum pn_status pn_dns_zone_add(struct pn_dns_zone *zone, struct pn_str line, struct pn_error *err);

/* The words of such a line, in the arena.  PN_INVALID: an open quote or a bad escape. */
PN_CHECK enum pn_status pn_dns_zone_words(struct pn_str line, struct pn_arena *arena, struct pn_strs *out);

/* Valid as long as the zone. */
struct pn_dns pn_dns_zone_port(struct pn_dns_zone *zone);

#endif
