/* The data of DNS records, as they are on the wire (RFC 1035 section 3.3). */
#ifndef DNS_RDATA_H
#define DNS_RDATA_H

#include "postern/dns.h"

/* Records that cannot be read, and names no host has (a dot, blank, control or 8-bit byte in a label), are
 * left out.  Sets only the records and preferences of *out. */
void dns_rdata_read(enum pn_dns_type type, struct pn_strs rdata, struct pn_arena *arena,
    struct pn_dns_answer *out);

#endif
