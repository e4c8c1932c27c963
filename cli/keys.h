/* keys.h - what the subcommands of postern keys share. */
#ifndef POSTERN_CLI_KEYS_H
#define POSTERN_CLI_KEYS_H

#include "dns_text.h"
#include "key_files.h"

struct keys {
	struct cli *cli;
	struct pn_arena *arena;
	struct pn_str directory; /* of private keys */
	struct pn_str selector; /* asked for; "" = by the date */
	struct pn_str type; /* "rsa", "ed25519", "both" */
	struct pn_str server; /* DNS */
	uint64_t bits, keep_days;
	uint64_t after_days; /* a rotation begins when a key is that old; 0 = whatever its age */
	bool only_continue; /* none begins */
	bool print;
	struct pn_str domain; /* A-labels; "" = all (list) */
	struct key_files files;
	int lock; /* of the directory; -1 = none */
};

/* "SELECTOR._domainkey.DOMAIN" */
struct pn_str keys_name(const struct keys *k, struct pn_str selector);
/* The file of a selector's key. */
const char *keys_path(const struct keys *k, struct pn_str selector, enum pn_dkim_key_type type);
/* The date, or the date and a letter: in no table yet and not in `taken`. */
struct pn_str keys_free_selector(const struct keys *k, struct pn_strs taken);

/* Is it in a table, or is there such a file? */
bool keys_has_selector(const struct keys *k, struct pn_str selector);

/* The folder of keys, for the daemons' eyes only; one that is there stays as it is. */
PN_CHECK enum pn_status keys_make_folder(const struct keys *k, const char *path, struct pn_error *err);
/* Makes the private key; one that is there stays (PN_INVALID).  Status as pn_dkim_key_write(). */
PN_CHECK enum pn_status keys_make_file(const struct keys *k, struct pn_str selector,
    enum pn_dkim_key_type type, unsigned bits, struct pn_error *err);
/* The lines for the two tables. */
struct pn_str keys_table_line(const struct keys *k, struct pn_str selector, enum pn_dkim_key_type type);
struct pn_str
keys_signing_line(const struct keys *k, struct pn_str author, struct pn_str name, struct pn_str identity);

/* "reload postern-milter (...)": who reads keys and tables, the signer first. */
const char *keys_reload(const struct keys *k);

/* The row of a name; NULL: there is none. */
const struct pn_key_entry *keys_entry(const struct keys *k, struct pn_str name);
/* Is any author's mail signed with it?  With sign_all off a line behind another one may never be used. */
bool keys_signs(const struct keys *k, const struct pn_key_entry *key);

/* What to publish for a key. */
void keys_print_record(const struct keys *k, const struct pn_key_entry *entry, const struct pn_dkim_key *key);
json_t *
keys_record_json(const struct keys *k, const struct pn_key_entry *entry, const struct pn_dkim_key *key);
/* Reads the tables again, after they were changed.  EX_OK, or said. */
int keys_reread(struct keys *k);

/* The subcommands. */
int keys_make(struct keys *k);
int keys_show(struct keys *k);
int keys_check(struct keys *k);
int keys_list(struct keys *k);
int keys_rotate(struct keys *k);

/* keys_rotation.c: "publish", "wait", "retire": how far the rotation of the domain is; "" = none. */
struct pn_str keys_rotation(const struct keys *k, struct pn_str domain);

#endif
