/* poke.h - keeps a blocked callback from stalling other sessions.
 *
 * Debian's libmilter has a pool of workers that starts no new one while it
 * believes one to be idle; sessions given to a worker that blocks wait until
 * it is done.  Each new connection makes the pool look again.  So while a
 * callback blocks, a watcher connects to our own socket and hangs up.
 */
#ifndef POSTERN_MILTER_POKE_H
#define POSTERN_MILTER_POKE_H

#include "postern/str.h"

/* Around everything that may wait: the store's locks now, DNS later. */
void poke_enter(void);
void poke_leave(void);
int poke_running(void);		/* callbacks inside */

/* Starts the watcher.  path: of the unix socket. */
bool poke_start(const char *path);

#endif
