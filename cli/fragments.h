/* fragments.h - the files of postfix-conf/, built into the command.
 *
 * One text for whoever reads the folder, for the tests and for `postern
 * postfix-conf`, which fills in the names of the configuration at hand.
 */
#ifndef POSTERN_CLI_FRAGMENTS_H
#define POSTERN_CLI_FRAGMENTS_H

#include "postern/arena.h"

struct pn_str fragment_milter(void);
struct pn_str fragment_own_domains(void);
struct pn_str fragment_mixed_domains(void);
struct pn_str fragment_redirect(void);
struct pn_str fragment_outbound(void);
struct pn_str fragment_master(void);
struct pn_str fragment_reply_filter(void);

struct fragment_change {
	struct pn_str from, to;
};

/* At each place the first change that fits; everything else as it is. */
struct pn_str fragment_fill(struct pn_str text, const struct fragment_change *changes, size_t n,
    struct pn_arena *arena);

#endif
