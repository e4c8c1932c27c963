/* housekeeping.h - what happens beside the mail: once a second the state is
 * synced, counters are flushed and a little of what has expired is removed;
 * SIGUSR1 reads the configuration again. */
#ifndef POSTERN_MILTER_HOUSEKEEPING_H
#define POSTERN_MILTER_HOUSEKEEPING_H

#include "postern/str.h"

/* To be called first, before any thread: libmilter takes SIGHUP, SIGTERM and
 * SIGINT for itself, all others must be blocked. */
void housekeeping_block_signals(void);

/* Starts both threads. */
bool housekeeping_start(void);

#endif
