/* daemon.h - how the daemons begin: their options, their configuration, their secrets.
 *
 * Not thread-safe, where nothing else is said: called from main() before threads start.
 */
#ifndef POSTERN_DAEMON_H
#define POSTERN_DAEMON_H

#include "postern/config.h"
#include "postern/program.h"

struct pn_daemon_options {
	const char *config;	/* -c */
	bool verbose;		/* -v */
	bool once;		/* --once, where the program's options have it */
};

/* False: *code is what to exit with (sysexits.h); the answer has been printed. */
bool pn_daemon_options(const struct pn_program *program, int argc, char **argv, struct pn_daemon_options *out,
    int *code);

/* The configuration; its findings go to whoever started us, on stderr, as they are.
 * NULL: it cannot be used. */
struct pn_config *pn_daemon_config(const struct pn_program *program, const char *path);

/* The same for a daemon that has its log: the findings go there.  Thread-safe. */
struct pn_config *pn_daemon_config_again(const char *path);

/* Passwords pass through this process: no core dump, and nobody reads its memory. */
void pn_daemon_keep_secrets(void);

#endif
