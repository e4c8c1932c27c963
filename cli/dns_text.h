/* dns_text.h - the DNS for commands, and TXT records as people publish them. */
#ifndef POSTERN_CLI_DNS_TEXT_H
#define POSTERN_CLI_DNS_TEXT_H

#include "cli.h"
#include "postern/resolver.h"

/* Opens a resolver: the server ("" = dns_servers of the configuration).  EX_OK, or what to exit with: said.
 */
int dns_open(struct cli *cli, struct pn_str server, struct pn_resolver **out);

/* The name of this host as the configuration or the system has it, A-labels. */
struct pn_str dns_hostname(struct cli *cli);

/* "..." "..." of at most 255 bytes each, as a zone file has it. */
struct pn_str txt_strings(struct pn_str text, struct pn_str separator, struct pn_arena *arena);
/* name. IN TXT ( "..." ) */
struct pn_str txt_zone_line(struct pn_str name, struct pn_str text, struct pn_arena *arena);

#endif
