/* depart.h - the outbound part of one mail's passage: the relay is chosen, and
 * the changes are put behind those of the transaction. */
#ifndef GATE_DEPART_H
#define GATE_DEPART_H

#include "postern/gate.h"

void depart(const struct pn_gate *gate, const struct pn_gate_mail *mail, struct pn_arena *arena,
    struct pn_gate_result *out);

#endif
