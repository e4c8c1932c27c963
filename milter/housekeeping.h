/* housekeeping.h - what happens beside the mail: once a second the state is
 * synced, counters are flushed and a little of what has expired is removed;
 * SIGUSR1 reads the configuration again. */
#ifndef POSTERN_MILTER_HOUSEKEEPING_H
#define POSTERN_MILTER_HOUSEKEEPING_H

#include "postern/str.h"

/* To be called first, before any thread.  libmilter waits for SIGHUP, SIGTERM
 * and SIGINT in a thread of its own, but blocks them only in those it starts. */
void housekeeping_block_signals(void);

/* Starts both threads. */
bool housekeeping_start(void);

#endif
