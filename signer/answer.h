/* answer.h - one question of key_service.h, and its answer.  Any number of threads at once. */
#ifndef SIGNER_ANSWER_H
#define SIGNER_ANSWER_H

#include "postern/signer.h"

/* The arena is used up to its reset by the caller. */
void answer(struct pn_signer *signer, struct pn_str request, struct pn_arena *arena, struct pn_buf *out);

#endif
