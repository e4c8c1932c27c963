/* relay_remedy.h - what to do about a relay that cannot be used. */
#ifndef POSTERN_CLI_RELAY_REMEDY_H
#define POSTERN_CLI_RELAY_REMEDY_H

#include "postern/smtp_client.h"

/* "" where there is nothing to say, as for a step that is done. */
const char *
relay_remedy(const struct pn_relay *relay, const struct pn_smtp_result *result, struct pn_arena *arena);

#endif
