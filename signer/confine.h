/* confine.h - the cage of a process that has private keys: no network, no other programs, nothing written.
 *
 * A list of what is refused (seccomp(2), with EPERM) rather than of what is allowed: a libc or a sanitizer that
 * does something new still works.  For good, for every thread there is, and what it starts.
 */
#ifndef SIGNER_CONFINE_H
#define SIGNER_CONFINE_H

#include "postern/error.h"

/* After this no socket can be made, connected or bound, no program run, no other process looked at, and no file
 * opened for writing, made or renamed.  What is open stays so: the log, the listening socket.
 * PN_TEMPFAIL: the kernel does not do it. */
PN_CHECK enum pn_status confine(struct pn_error *err);

#endif
