/* child.h - what a small program prints, bounded in size and in time. */
#ifndef POSTERN_CLI_CHILD_H
#define POSTERN_CLI_CHILD_H

#include "cli.h"

struct child_output {
	int code;		/* its exit status */
	struct pn_str out, err;	/* in cli->arena */
};

/* argv[0] is looked for in PATH, then in /usr/sbin (where Postfix is, though
 * not in everybody's PATH).
 * PN_OK         it ran to its end, whatever its exit status
 * PN_NOT_FOUND  there is no such program
 * PN_TEMPFAIL   it did not end in time, or could not be started
 * PN_LIMIT      it printed too much */
PN_CHECK enum pn_status child_run(struct cli *cli, const char *const *argv, struct child_output *out,
    struct pn_error *err);

#endif
