/* broker.h - fetches the tokens of all accounts, and each again before it ends.
 *
 * One thread; up to BROKER_PARALLEL requests at once.  A request that is on its way is waited for, at a
 * reload and at the end as well: its answer may hold the only copy of a new refresh token.
 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "postern/config.h"

enum { BROKER_PARALLEL = 8 };

/* Takes over config; path is where a reload reads it again.  signals: of pn_signals_open().  once: fetch each
 * token once, and return.
 *
 * PN_OK        SIGTERM or SIGINT; with once: all tokens are there
 * PN_INVALID   once: the operator must act
 * PN_TEMPFAIL  once: some could not be fetched now; or: not started, err says why */
PN_CHECK enum pn_status broker_run(const char *path, struct pn_config *config, int signals, bool once,
    struct pn_error *err);

#endif
