/* cli.h - what the commands of postern share.
 *
 * A command is a row of the table in commands.c and one function in
 * cmd_<name>.c.  It returns an exit code of sysexits(3); 1 is an answer of its
 * own ("not there", "something is wrong").  What it found goes to stdout, what
 * went wrong and how far it is to stderr.
 */
#ifndef POSTERN_CLI_H
#define POSTERN_CLI_H

#include <jansson.h>
#include <pthread.h>
#include <sysexits.h>

#include "postern/gate.h"
#include "postern/program.h"

enum { EXIT_ANSWER_NO = 1 };

struct cli;

struct command {
	const char *name;
	const char *purpose;		/* one line, as in the list of commands */
	const char *synopsis;		/* what follows the name */
	const char *details;		/* sentences and options for --help */
	int (*run)(struct cli *cli);
};
extern const struct command cli_commands[];
extern const size_t cli_command_count;

struct cli {
	const struct command *command;
	const char *config_path;
	bool json;
	bool verbose;
	bool help;			/* asked for with --help */
	struct pn_arena *arena;		/* of the whole run */
	struct pn_strs args;		/* without the common options */
	struct pn_config *config;	/* after cli_load() */
	struct pn_store *store;		/* after cli_open() and cli_look() */
	char scratch[256];		/* folder of a state made up for cli_look(); "" = none */
	int64_t started_us, shown_us;	/* for progress */
	bool shown;
	pthread_t ticker;
	int ticker_end;			/* an eventfd that ends it; 0: there is none */
};

int cmd_aliases(struct cli *cli);
int cmd_bounces(struct cli *cli);
int cmd_check(struct cli *cli);
int cmd_config(struct cli *cli);
int cmd_doctor(struct cli *cli);
int cmd_explain(struct cli *cli);
int cmd_help(struct cli *cli);
int cmd_keys(struct cli *cli);
int cmd_loops(struct cli *cli);
int cmd_postfix_conf(struct cli *cli);
int cmd_relays(struct cli *cli);
int cmd_retire(struct cli *cli);
int cmd_stats(struct cli *cli);
int cmd_test_relay(struct cli *cli);
int cmd_threads(struct cli *cli);

/* -- arguments (options.c) ------------------------------------------------------------ */

/* One option of a command; exactly one of the pointers is set. */
struct option_row {
	const char *name;		/* "--limit" */
	bool *flag;
	struct pn_str *text;
	uint64_t *number;
	struct pn_strs_builder *list;	/* may be given several times */
};

/* Takes the options out of cli->args; what stays are the operands, between
 * `least` and `most`.  EX_OK, or what to exit with: the text is out already. */
int options_take(struct cli *cli, const struct option_row *rows, size_t n, size_t least, size_t most);
/* The common options in argv: -c, --json, -v, --help, --version.  The rest is
 * left in cli->args, the command first.  Status as above; -1: go on. */
int options_common(struct cli *cli, int argc, char **argv);

/* "postern: text", the usage line, EX_USAGE. */
int cli_misuse(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "postern: text", and the exit code that the status has. */
int cli_fail(enum pn_status st, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_exit_code(enum pn_status st);

const struct command *command_find(struct pn_str name);
/* The nearest name, or NULL. */
const char *command_nearest(struct pn_str name);
void command_help(const struct command *command);

/* -- configuration and state (cli.c) -------------------------------------------------- */

/* EX_OK, or EX_CONFIG with the report on stderr.  May be repeated. */
int cli_load(struct cli *cli);
/* ... and the state, for writing: it is made where there is none yet. */
int cli_open(struct cli *cli);
/* ... and the state, for looking.  Where there is none yet, one is made up from
 * the configuration, which scratch[0] tells. */
int cli_look(struct cli *cli);
void cli_done(struct cli *cli);

/* Is there a state directory with something in it? */
bool cli_has_state(const struct pn_config *config);

/* The gateway of that name ("" = any, *out is NULL).  EX_OK or EX_USAGE, said. */
int cli_gateway(const struct cli *cli, struct pn_str name, const struct pn_gateway **out);
/* The gateway that an address belongs to.  EX_OK or EX_USAGE, said. */
int cli_gateway_of(struct cli *cli, struct pn_str address, const struct pn_gateway **out);

/* How the aliases in the state differ from those of the configuration. */
struct drift {
	size_t missing, changed, surplus;
};
PN_CHECK enum pn_status cli_drift(struct cli *cli, struct drift *out, struct pn_error *err);

/* The domains that mail is redirected to, A-labels, each once. */
struct pn_strs cli_target_domains(const struct pn_config *config, struct pn_arena *arena);

/* -- output (output.c) ---------------------------------------------------------------- */

/* Text from outside as it may be shown on a terminal: controls and bytes that
 * are not UTF-8 become \xNN. */
struct pn_str text_shown(struct pn_str text, struct pn_arena *arena);
/* "2026-03-01 14:02:11" in local time, "-" for 0. */
struct pn_str time_shown(int64_t seconds, struct pn_arena *arena);

json_t *json_text(struct pn_str text);		/* bytes that are not UTF-8 become U+FFFD */
json_t *json_number(uint64_t number);
json_t *json_time(int64_t seconds);		/* RFC 3339 in UTC; null for 0 */
json_t *json_list(struct pn_strs list);
/* Prints the value and a line end, and releases it. */
void json_print(json_t *value);

enum { COLUMNS_MAX = 10 };

struct column {
	const char *key;	/* in JSON; the title is the same without underscores */
	bool right;		/* numbers */
};

/* Rows as an aligned table, or as an array of objects with --json.  The widths
 * come from the first rows, so that a long table flows. */
struct rows {
	const struct cli *cli;
	const struct column *columns;
	size_t n;
	struct pn_arena *arena;
	struct pn_str *cells;		/* held back until the widths are known */
	size_t cell_count, cell_cap;
	size_t widths[COLUMNS_MAX];
	bool widths_known;
	json_t *object;
	size_t at;			/* column of the next cell */
	size_t count;			/* rows so far */
};

void rows_begin(struct rows *rows, const struct cli *cli, const struct column *columns, size_t n);
void rows_text(struct rows *rows, struct pn_str text);
void rows_number(struct rows *rows, uint64_t number);
void rows_time(struct rows *rows, int64_t seconds);
void rows_end(struct rows *rows);

/* Something that may take longer than a second has come this far; shown only
 * then, and only on a terminal or with -v. */
void progress(struct cli *cli, const char *what, uint64_t n);
/* The same for one long call: a thread says "what, 3 s" until progress_done(). */
void progress_begin(struct cli *cli, const char *what);
void progress_done(struct cli *cli);

#endif
