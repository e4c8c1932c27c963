/* keys.h - the table of all keys: the only place where a setting is written down.
 *
 * From a row come loading, range check, `postern config -n|-d`, the sample file
 * and the key part of postern.conf(5).  A new setting is one row in keys.c.
 * Internal to lib/config; constant.
 */
#ifndef LIB_CONFIG_KEYS_H
#define LIB_CONFIG_KEYS_H

#include "postern/log.h"
#include "report.h"

enum pn_key_type {
	PN_KEY_TEXT,		/* struct pn_str; min, max: bytes */
	PN_KEY_LIST,		/* struct pn_strs; min, max: entries */
	PN_KEY_BOOL,		/* bool: yes or no */
	PN_KEY_NUMBER,		/* uint64_t */
	PN_KEY_SIZE,		/* uint64_t bytes: 64k, 1M, 16G */
	PN_KEY_TIME,		/* uint64_t seconds: 60, 60s, 5m, 1h, 7d, 2w */
	PN_KEY_MODE,		/* uint64_t, octal */
	PN_KEY_CHOICE,		/* an enum; words in the order of its values */
};

struct pn_key {
	const char *name;
	enum pn_key_type type;
	size_t offset;		/* of the field in the draft below */
	const char *standard;	/* as a file would say it; NULL: must be set */
	uint64_t min, max;
	const char *words;	/* of a choice: "defer refuse hold" */
	const char *help;	/* one sentence, without its full stop */
	const char *example;	/* for the sample file; NULL: the default */
};

enum pn_key_section {
	PN_KEYS_GLOBAL,
	PN_KEYS_GATEWAY,
	PN_KEYS_DOMAIN,
	PN_KEYS_ALIAS,
	PN_KEYS_RELAY,
	PN_KEYS_MODEL,
	PN_KEYS_SECTIONS,	/* how many there are */
};

struct pn_key_table {
	const char *section;	/* "" outside sections */
	const char *title;	/* the one of the sample file */
	const char *title_name;	/* what it is, for the manual */
	const char *help;
	const struct pn_key *v;
	size_t n;
	bool optional;		/* commented out in the sample file */
};

extern const struct pn_key_table pn_key_tables[PN_KEYS_SECTIONS];

/* What the keys of a section are loaded into, before they are checked against
 * each other. */
struct pn_draft_global {
	struct pn_config config;
	enum pn_log_target log;
	struct pn_strs networks, trusted_relays, forwarders;
	enum pn_canonicalization { PN_RELAXED_RELAXED, PN_RELAXED_SIMPLE, PN_SIMPLE_RELAXED, PN_SIMPLE_SIMPLE } canonicalization;
	struct pn_personal {
		uint64_t minutes, minutes_outlook;
		bool disabled;
	} personal;
};

enum pn_conf_unreadable { PN_CONF_HAND_OVER, PN_CONF_REJECT };

struct pn_draft_gateway {
	struct pn_gateway row;
	enum pn_conf_unreadable unreadable;
	struct pn_str target;
	struct pn_strs allowed_domains;
};

struct pn_draft_domain {
	struct pn_domain row;
	struct pn_str gateway;
	struct pn_str bounce, catchall, default_from;
	uint64_t sequence;
};

struct pn_draft_alias {
	struct pn_alias_row row;
	struct pn_place place;
};

struct pn_draft_relay {
	struct pn_relay row;
	unsigned preset;	/* of pn_presets */
	uint64_t port;
	struct pn_strs from_filter, limits;
};

struct pn_draft_model {
	struct pn_model row;
	bool accepts, creates, updates;
};

/* NULL: there is no such key. */
const struct pn_key *pn_key_find(const struct pn_key_table *table, struct pn_str name);

/* Writes the values into the field of the draft.  PN_INVALID: err says what is
 * wrong and what to write. */
PN_CHECK enum pn_status pn_key_set(const struct pn_key *key, struct pn_strs values, bool in_braces,
    bool append, void *draft, struct pn_arena *arena, struct pn_error *err);

/* Sets every key of the table to its default; those without one stay as they are. */
void pn_keys_defaults(const struct pn_key_table *table, void *draft, struct pn_arena *arena);

/* Reports a key that is not in the table, with the likeliest remedy. */
void pn_key_unknown(const struct pn_key_table *table, struct pn_place place, struct pn_str name,
    struct pn_arena *arena, struct pn_config_report *report);

/* "64k", "5m", "0660": a number as a file would say it. */
void pn_key_format(struct pn_buf *out, enum pn_key_type type, uint64_t value);

#endif
