/* shared.h - what all conversations share: the store and the current
 * configuration.
 *
 * A snapshot is counted: a mail keeps the one it began with, a reload swaps
 * the current one, the last user frees the old one.  Thread-safe.
 */
#ifndef POSTERN_MILTER_SHARED_H
#define POSTERN_MILTER_SHARED_H

#include "postern/gate.h"

struct snapshot;

/* Reads the configuration and opens the store; the texts are logged.  debug: log
 * everything, whatever the configuration says.  Returns an exit code of
 * sysexits.h, 0 when all is well. */
int state_open(const char *config_path, bool debug);

/* Reads the configuration again; a bad one is logged and the old one stays. */
void state_reload(void);

struct snapshot *snapshot_take(void);
void snapshot_release(struct snapshot *snapshot);	/* NULL is fine */
const struct pn_gate *snapshot_gate(const struct snapshot *snapshot);

/* False once a reload has begun: the directory may be that of another
 * configuration, so what is not found in it may be there all the same. */
bool snapshot_is_current(const struct snapshot *snapshot);

struct pn_store *state_store(void);

/* NULL: nothing is verified.  Lives as long as the process. */
struct pn_authenticator *state_authenticator(void);

#endif
