/* config.h - /etc/postern/postern.conf, conf.d/ and aliases.d/.
 *
 * One typed table of keys (lib/config/keys.c) is the only place where a
 * setting is written down: loading, range checks, `postern config -n|-d`, the
 * sample file and postern.conf(5) come from it.  The syntax is libConfuse's, the
 * reader our own (lib/config/syntax.h says why).
 *
 * Of conf.d/ the files *.conf are read, of aliases.d/ all but hidden ones and
 * what editors and packages leave behind (*~, #*, *.bak, *.dpkg-*, *.rpm*), in
 * name order.  Relative names in them are relative to the main file.
 *
 * Thread-safe: there is no global state.  A loaded pn_config is immutable; any
 * number of threads may read it.
 */
#ifndef POSTERN_CONFIG_H
#define POSTERN_CONFIG_H

#include <sys/types.h>

#include "postern/auth_config.h"
#include "postern/buf.h"
#include "postern/relay.h"
#include "postern/sender.h"
#include "postern/store.h"

#define PN_CONFIG_DEFAULT_PATH "/etc/postern/postern.conf"

/* What becomes of a mail while no relay that may carry it is open. */
enum pn_when_spent {
	PN_WHEN_SPENT_QUEUE,		/* Postfix keeps it and asks again */
	PN_WHEN_SPENT_REFUSE,		/* 450 with the time: for clients that have a queue */
};

struct pn_config {
	struct pn_str path;
	/* programs */
	struct pn_str state_directory;
	struct pn_str milter_socket;	/* "unix:/path" */
	struct pn_str map_socket;	/* "unix:/path" */
	struct pn_str policy_socket;	/* "unix:/path" */
	struct pn_str policy_tcp;	/* "127.0.0.1:PORT", "[::1]:PORT"; "" = none */
	struct pn_str socket_group;
	uint64_t socket_mode;
	struct pn_str hostname;		/* of the stamp */
	bool log_syslog;
	bool log_debug;
	uint64_t max_sessions;
	/* what is outbound */
	struct pn_strs outbound_daemons;
	struct pn_networks outbound_networks;
	bool outbound_sendmail;
	struct pn_strs relay_daemons;
	struct pn_strs leaving_transports;
	struct pn_strs local_domains;
	struct pn_strs policy_contexts;	/* policy_context of requests that are answered */
	struct pn_auth_config auth;	/* who sent what comes in */
	struct pn_sign_config sign;	/* what goes out */
	/* which way it leaves */
	struct pn_relays relays;
	struct pn_str default_from_filter;	/* Odoo's parameter: what may be sent without a relay */
	bool personal_relays;		/* relays with an owner are used */
	struct pn_mass_marks mass;	/* senders normalised */
	enum pn_when_spent when_spent;
	bool rewrite;			/* From may be encapsulated */
	bool live_routes;
	struct pn_str mail_log;		/* a path, "journal" or "" */
	uint64_t probe_interval;	/* seconds; 0 = never */
	struct pn_str postfix_user;
	/* rules of the whole host */
	enum pn_mixed mixed;
	/* limits of one message */
	uint64_t header_limit;		/* bytes of all headers together */
	uint64_t recipient_limit;	/* envelope recipients of ours */
	/* state */
	struct pn_store_options store;	/* .path is state_directory */
	/* the rest */
	struct pn_directory directory;
	const struct pn_alias_row *aliases;	/* alias sections and alias tables */
	size_t alias_count;
	uint64_t fingerprint;		/* of .directory: never 0 */
	struct pn_arena *arena;		/* owns everything above */
};

/* All findings at once, one per line: "FILE:LINE: key: what is wrong; remedy". */
struct pn_config_report {
	struct pn_buf text;
	size_t errors;
	size_t warnings;
};
void pn_config_report_init(struct pn_config_report *report);
void pn_config_report_done(struct pn_config_report *report);

/* PN_OK       *out is the configuration; the report may hold warnings
 * PN_INVALID  the report says everything that is wrong
 * PN_TEMPFAIL a file could not be read (the report says which) */
PN_CHECK enum pn_status pn_config_load(const char *path, struct pn_config **out,
    struct pn_config_report *report);
void pn_config_free(struct pn_config *config);	/* NULL is fine */

/* The keys that differ and that a program which runs already does not follow, or
 * not in full (of max_sessions: the open files it asks the system for): one name
 * per line, in the order of the key table.  Who follows one of them all the same
 * leaves it out. */
void pn_config_start_only_changes(const struct pn_config *old, const struct pn_config *fresh,
    struct pn_buf *out);

/* What is known of a provider of relays, as the keys of a relay take it; a key that
 * the relay sets itself counts before it. */
struct pn_preset {
	const char *name;
	const char *host;
	bool own_host;			/* host only shows the form: the relay must set it */
	const char *port;
	const char *other_ports;	/* where that one is blocked: "465 2525" */
	const char *security;
	const char *authentication;
	const char *limits;		/* "500/day, 100/message"; "" = none */
	const char *login;		/* what logging in needs: sentences */
	bool dates_change;		/* it replaces Date and Message-ID */
};
extern const struct pn_preset pn_presets[];
extern const size_t pn_preset_count;

/* "key = value" lines in the syntax of the file: as postconf -n (what the files
 * set) and -d (defaults; path is not looked at).
 *
 * PN_OK       out
 * PN_INVALID  what could be read is in out, the report says what could not
 * PN_TEMPFAIL a file could not be read
 * PN_LIMIT    out is too small */
enum pn_config_print { PN_CONFIG_SET, PN_CONFIG_DEFAULTS };
PN_CHECK enum pn_status pn_config_print(const char *path, enum pn_config_print what,
    struct pn_buf *out, struct pn_config_report *report);

/* Is it the group `postern`, which may read secrets? */
bool pn_config_is_our_group(gid_t gid);

/* Is it root, the user of this process, or one that our programs run as: `postern`, `postern-signer`? */
bool pn_config_is_our_user(uid_t uid);

/* The generated texts: the sample file and the key part of postern.conf(5), in
 * mdoc with one .Ss per section. */
void pn_config_sample(struct pn_buf *out);
void pn_config_manual(struct pn_buf *out);

/* Reads a secret from a file: a regular file, not readable by group or others
 * (except readable by group `postern`), owned by one of our users, at
 * most 4 kB.  Line ends at its end do not count.
 *
 * PN_OK        *out, in the arena
 * PN_NOT_FOUND there is no such file
 * PN_INVALID   refused; err says why and what to do
 * PN_TEMPFAIL  it could not be read */
PN_CHECK enum pn_status pn_config_secret(const char *path, struct pn_arena *arena,
    struct pn_str *out, struct pn_error *err);

#endif
