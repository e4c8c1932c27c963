/* sign.h - the last step of a mail that leaves: it is signed as it leaves. */
#ifndef GATE_SIGN_H
#define GATE_SIGN_H

#include "postern/gate.h"

void sign(const struct pn_gate *gate, const struct pn_gate_mail *mail, struct pn_arena *arena,
    struct pn_gate_result *out);

#endif
