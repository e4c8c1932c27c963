/* program.h - what the daemons and the command have in common with the system.
 *
 * Unix sockets that are never stolen and never left behind, systemd's two
 * small protocols, limits, and usage texts of one shape.
 *
 * Not thread-safe: called from main() before threads start (binding a socket
 * changes the umask for a moment) and after they have ended.
 */
#ifndef POSTERN_PROGRAM_H
#define POSTERN_PROGRAM_H

#include <stdio.h>

#include "postern/error.h"

#define PN_VERSION "0.1"

/* -- usage ------------------------------------------------------------------ */

struct pn_program {
	const char *name;	/* "postern-policy" */
	const char *synopsis;	/* "[-c FILE] [-v]" */
	const char *purpose;	/* one sentence */
	const char *options;	/* lines of "  -c FILE   what it does\n" */
};

void pn_program_help(const struct pn_program *program, FILE *to);
void pn_program_version(const struct pn_program *program, FILE *to);
/* "NAME: text" and the usage line on stderr; returns EX_USAGE. */
int pn_program_misuse(const struct pn_program *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* -- unix sockets ------------------------------------------------------------ */

#define PN_SOCKET_PATH_SIZE 108	/* of sun_path, with its NUL */

struct pn_socket {
	char path[PN_SOCKET_PATH_SIZE];	/* "" = not ours to remove (fd:N) */
	int lock;			/* holds PATH.lock; -1 = none */
};

/* The path of "unix:/path" or "/path".  PN_INVALID: not absolute, too long for
 * a socket, or with a NUL. */
PN_CHECK enum pn_status pn_socket_path(struct pn_str address, char path[PN_SOCKET_PATH_SIZE],
    struct pn_error *err);

/* Before somebody binds the path: makes its folder when only the last one is
 * missing (0750, of `group`, so that Postfix may enter it; "" = leave it),
 * takes PATH.lock, and removes a socket that nobody listens on.
 *
 * PN_OK        the path is free, and this process holds the lock
 * PN_INVALID   a bad address, an unknown group, or something there that is no socket
 * PN_TEMPFAIL  another process serves it, or the system refuses */
PN_CHECK enum pn_status pn_socket_prepare(struct pn_socket *out, struct pn_str address, struct pn_str group,
    struct pn_error *err);

/* After the path was bound: group ("" = leave it) and mode.  Whoever binds does
 * so under umask 0177, so that nobody gets in before. */
PN_CHECK enum pn_status pn_socket_finish(const struct pn_socket *bound, struct pn_str group, unsigned mode,
    struct pn_error *err);

/* All of it, and listening: *fd is non-blocking and closed on exec.  "fd:N" is
 * a listening socket that systemd has opened (LISTEN_FDS, sd_listen_fds(3)).
 * Status as pn_socket_prepare. */
PN_CHECK enum pn_status pn_socket_listen(struct pn_socket *out, struct pn_str address, struct pn_str group,
    unsigned mode, int *fd, struct pn_error *err);

/* Removes the socket and its lock; the listening descriptor is the caller's. */
void pn_socket_done(struct pn_socket *bound);	/* may be repeated */

/* -- the system --------------------------------------------------------------- */

/* sd_notify(3): "READY=1", "STOPPING=1", ...  Without a supervisor it does nothing. */
void pn_notify(const char *state);

/* SIGTERM, SIGINT, SIGHUP and SIGUSR1 make what this returns readable, and do nothing else; SIGPIPE does nothing
 * at all.  Before there are threads.  -1: the system refuses. */
int pn_signals_open(void);

enum pn_signal {
	PN_SIGNAL_NONE,
	PN_SIGNAL_RELOAD,		/* SIGHUP, SIGUSR1 */
	PN_SIGNAL_STOP,			/* SIGTERM, SIGINT */
};
/* The next one of those that came, without waiting. */
enum pn_signal pn_signals_next(int signals);

/* Room for `want` open files, as far as the hard limit goes; returns what it is now. */
uint64_t pn_raise_open_files(uint64_t want);

#endif
