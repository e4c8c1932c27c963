/* postfix.h - Postfix's configuration, as postconf(1) and postmap(1) tell it. */
#ifndef POSTERN_CLI_POSTFIX_H
#define POSTERN_CLI_POSTFIX_H

#include "cli.h"

struct postfix_setting {
	struct pn_str name;
	struct pn_str value;		/* with $name expanded */
};

struct postfix_settings {
	struct postfix_setting *v;
	size_t n, cap;
};

/* A line of master.cf. */
struct postfix_service {
	struct pn_str name, type;	/* "127.0.0.1:10026", "inet" */
	struct pn_str command;		/* "smtpd" */
	bool chroot;
};

struct postfix {
	struct cli *cli;
	const char *config;		/* folder of main.cf; NULL = Postfix's own choice */
	struct postfix_settings main;	/* all parameters */
	struct postfix_settings set;	/* those that main.cf sets */
	struct postfix_settings own;	/* of services: "name/type/parameter" */
	struct postfix_service *services;
	size_t service_count, service_cap;
	struct pn_str complaints;	/* postconf's own warnings */
};

/* PN_OK, PN_NOT_FOUND (no Postfix here), PN_TEMPFAIL, PN_LIMIT or PN_INVALID (postconf
 * refuses; the text is its own). */
PN_CHECK enum pn_status postfix_read(struct postfix *postfix, struct cli *cli, const char *config,
    struct pn_error *err);

/* "" where it is empty or unknown. */
struct pn_str postfix_get(const struct postfix *postfix, const char *name);
bool postfix_is_set(const struct postfix *postfix, const char *name);
/* As the service has it: its own -o, else main.cf's.  own may be NULL. */
struct pn_str postfix_service_get(const struct postfix *postfix, const struct postfix_service *service,
    const char *name, bool *own);
const struct postfix_service *postfix_service(const struct postfix *postfix, struct pn_str name);

/* Words between blanks and commas; { ... } is one word, and keeps its braces. */
struct pn_strs postfix_words(struct pn_str value, struct pn_arena *arena);
/* The inside of { ... }, or the text itself. */
struct pn_str postfix_unbraced(struct pn_str word);

/* The first answer of the tables in `maps` to the key.
 * PN_OK, PN_NOT_FOUND, or PN_TEMPFAIL: a table could not be asked. */
PN_CHECK enum pn_status postfix_lookup(const struct postfix *postfix, struct pn_str maps, struct pn_str key,
    struct pn_str *value);
/* Is the domain in a list such as relay_domains? */
enum pn_known postfix_list_has(const struct postfix *postfix, struct pn_str list, struct pn_str domain);

/* "/var/spool/postfix/postern/x.sock" of "unix:postern/x.sock"; "" where it is no unix socket. */
struct pn_str postfix_socket_path(const struct postfix *postfix, struct pn_str address, bool chroot);
/* Do both names lead to the same file? */
bool postfix_same_file(struct pn_str a, struct pn_str b, struct pn_arena *arena);

#endif
