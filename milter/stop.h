/* stop.h - how the milter ends: by itself, not when libmilter returns.
 *
 * Debian's libmilter looks every 5 s whether it was told to stop, and may then never
 * return: its pool destroys a mutex under the threads that take it, and who waits
 * for that waits for ever.  So a thread looks for the order; callbacks that run may
 * finish, what is not yet on the disk is written, and the process is gone.
 */
#ifndef POSTERN_MILTER_STOP_H
#define POSTERN_MILTER_STOP_H

#include <stdbool.h>

#include "postern/daemon.h"

/* Was libmilter told to stop? */
bool stop_asked(void);

/* Starts the thread.  bound: our socket, removed at the end. */
bool stop_start(struct pn_socket *bound);

/* Ends the process; any thread may, the first one's code counts.  Waits up to 5 s for callbacks. */
_Noreturn void stop(struct pn_socket *bound, int code);

#endif
