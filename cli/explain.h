/* explain.h - one mail through the gate, and what there is to tell about it. */
#ifndef POSTERN_CLI_EXPLAIN_H
#define POSTERN_CLI_EXPLAIN_H

#include "cli.h"

/* One --to: what RCPT is told. */
struct explain_rcpt {
	struct pn_str raw;
	struct pn_rcpt who;
	struct pn_reply reply;		/* code NULL: accepted */
};

struct explain_part {
	struct pn_gate_part *part;
	bool aliases_complete, threads_complete;
	int64_t aliases_synced, threads_synced;
};

struct explain {
	struct cli *cli;
	struct pn_arena *arena;		/* with the limit that the milter has */
	struct pn_gate gate;
	struct pn_gate_mail mail;
	struct pn_str sender;
	struct pn_str client, helo;	/* "" = not given: who sent it is not looked at */
	struct pn_authentication auth;
	struct explain_rcpt *rcpts;
	size_t rcpt_count;
	struct pn_gate_result result;
	struct explain_part *parts;	/* result.part_count */
	bool drift;			/* the directory does not follow the configuration */
};

/* "label   text", as all that is printed. */
void explain_line(const struct explain *e, const char *label, struct pn_str text);

void explain_print_outbound(const struct explain *e);
json_t *explain_outbound_json(const struct explain *e);	/* null: nobody gets it through a relay */

void explain_print(const struct explain *e);
json_t *explain_json(const struct explain *e);

#endif
