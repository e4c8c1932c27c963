/* check.h - findings, and who looks for them. */
#ifndef POSTERN_CLI_CHECK_H
#define POSTERN_CLI_CHECK_H

#include "postern/key_table.h"
#include "postfix.h"

enum level { LEVEL_OK, LEVEL_WARNING, LEVEL_ERROR };

struct finding {
	enum level level;
	const char *about;		/* "config", "state", "aliases", "sockets", "signing", "postfix", "relays" */
	struct pn_str text, remedy;	/* remedy "" where nothing is to do */
};

struct check {
	struct cli *cli;
	struct pn_arena *arena;
	struct finding *v;
	size_t n, cap;
	size_t count[LEVEL_ERROR + 1];
	struct postfix postfix;
	bool policy_runs, milter_runs;
	uid_t policy_user, milter_user;	/* who runs them */
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
/* check_signing.c: the keys that sign, and who may read them. */
void check_signing(struct check *check);

/* Acts in a process of its own, which becomes that user where root asks; its status and text. */
typedef enum pn_status check_act(const struct check *check, const void *about, struct pn_error *err);
PN_CHECK enum pn_status check_as_user(const struct check *check, uid_t user, check_act *act, const void *about,
    struct pn_error *err);

/* The KeyTable; empty where there is none that can be read. */
struct pn_key_table check_keys(const struct check *check);

/* Is this word of a list of tables "socketmap:...:NAME" of ours? */
bool check_is_own_map(const struct check *check, struct pn_str word, struct pn_str name);
/* Is this the socket of the configuration, as a daemon of Postfix sees it? */
bool check_is_own_socket(const struct check *check, struct pn_str address, struct pn_str own, bool chroot);

#endif
