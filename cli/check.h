/* check.h - findings, and who looks for them. */
#ifndef POSTERN_CLI_CHECK_H
#define POSTERN_CLI_CHECK_H

#include "postfix.h"

enum level { LEVEL_OK, LEVEL_WARNING, LEVEL_ERROR };

struct finding {
	enum level level;
	const char *about;		/* "config", "state", "aliases", "sockets", "postfix", "relays" */
	struct pn_str text, remedy;	/* remedy "" where nothing is to do */
};

struct check {
	struct cli *cli;
	struct pn_arena *arena;
	struct finding *v;
	size_t n, cap;
	size_t count[LEVEL_ERROR + 1];
	struct postfix postfix;
	bool policy_runs;
	uid_t policy_user;		/* who runs postern-policy */
};

/* remedy: "" or what to do. */
void finding(struct check *check, enum level level, const char *about, struct pn_str remedy,
    const char *format, ...) __attribute__((format(printf, 5, 6)));
#define NO_REMEDY PN_STR_EMPTY

/* check_state.c: the state directory, its aliases and what was counted. */
void check_state(struct check *check);
/* check_sockets.c: are they there, may Postfix use them, do they answer? */
void check_sockets(struct check *check);
/* check_postfix.c: milters, transports, services. */
void check_postfix(struct check *check);
/* check_domains.c: does Postfix accept what is ours, and only that? */
void check_domains(struct check *check);

/* check_relays.c: the way out, where there are relays. */
void check_relays(struct check *check);
/* check_secrets.c: may postern-policy read the passwords of the relays, and can Postfix log in? */
void check_secrets(struct check *check);

/* Is this word of a list of tables "socketmap:...:NAME" of ours? */
bool check_is_own_map(const struct check *check, struct pn_str word, struct pn_str name);
/* Is this the socket of the configuration, as a daemon of Postfix sees it? */
bool check_is_own_socket(const struct check *check, struct pn_str address, struct pn_str own, bool chroot);

#endif
