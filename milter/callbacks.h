/* callbacks.h - the libmilter callbacks, and the helpers that keep one session
 * from stalling another. */
#ifndef POSTERN_MILTER_CALLBACKS_H
#define POSTERN_MILTER_CALLBACKS_H

#include "session.h"

extern struct smfiDesc callbacks;


#endif
