/* load.h - from the files of a configuration to a checked pn_config.
 *
 * Internal to lib/config; the tests and fuzzers use it to load from memory.
 */
#ifndef LIB_CONFIG_LOAD_H
#define LIB_CONFIG_LOAD_H

#include "files.h"
#include "keys.h"
#include "syntax.h"

/* Fills *config (whose arena is set) from the files.  Everything that is wrong
 * with them is reported.  path: what relative names are relative to.
 *
 * PN_OK       no errors
 * PN_INVALID  the report has some */
PN_CHECK enum pn_status pn_conf_load(struct pn_conf_files files, const char *path,
    struct pn_config *config, struct pn_config_report *report);

/* -- the steps; each reports and goes on ---------------------------------------- */

struct pn_loader {
	const char *path;
	struct pn_arena *arena;
	struct pn_config *config;
	struct pn_config_report *report;
	struct pn_conf_tree tree;
	/* gateways in the order of the files; names that are taken twice are left out */
	struct pn_gateway *gateways;
	struct pn_place *gateway_places;
	size_t gateway_count;
	struct pn_personal personal;	/* Odoo's parameters for personal servers */
	bool domains_missing;	/* some domain was left out: do not blame its aliases */
	struct pn_draft_alias *aliases;
	size_t alias_count, alias_cap;
};

/* Something that has a name which must not be taken twice. */
struct pn_named {
	struct pn_str name;
	struct pn_place place;
	size_t i;		/* the caller's index */
};

/* Sorts by name, earlier places first, and reports every name but the first of
 * its kind.  twice[i] is set for those; it may be NULL. */
void pn_names_unique(struct pn_loader *l, struct pn_named *v, size_t n, const char *what, bool *twice);

/* The sections of a kind that have a title; .i is their index in the tree. */
struct pn_named *pn_sections_of(struct pn_loader *l, const char *kind, size_t *count);

/* Which table describes the section; NULL: there is no such section. */
const struct pn_key_table *pn_section_table(struct pn_str kind);

/* Sets the keys of a section in the draft. */
void pn_section_apply(struct pn_loader *l, const struct pn_conf_section *section,
    const struct pn_key_table *table, void *draft);

/* Where the section sets this key, else where it begins. */
struct pn_place pn_section_place(const struct pn_conf_section *section, const char *key);

/* Finds what is written in a section: the gateway `name`, or the only one for "".
 * NULL: reported. */
const struct pn_gateway *pn_gateway_wanted(struct pn_loader *l, struct pn_str name, struct pn_place place);

/* Splits and checks "local@domain" as it may stand in an envelope: dot-atom,
 * domain in A-labels.  *out is in the arena; false: *why says what is wrong. */
bool pn_conf_address(struct pn_str text, struct pn_arena *arena, struct pn_str *out, const char **why);

/* Normalises the addresses of a list, in place; what is none is reported. */
void pn_load_addresses(struct pn_loader *l, const struct pn_conf_section *section, const char *key,
    struct pn_strs *list);

/* A domain in A-labels, lower case, of letters that a domain may have. */
bool pn_conf_domain(struct pn_str text, struct pn_arena *arena, struct pn_str *out);

/* "crm.lead": letters, digits, dots and underscores. */
bool pn_is_model_name(struct pn_str name);

void pn_load_globals(struct pn_loader *l);
void pn_load_models(struct pn_loader *l);
void pn_load_gateways(struct pn_loader *l);
void pn_load_domains(struct pn_loader *l);
void pn_check_targets(struct pn_loader *l);
void pn_load_relays(struct pn_loader *l);
void pn_load_alias_sections(struct pn_loader *l);
void pn_load_alias_table(struct pn_loader *l, const struct pn_conf_file *file);
void pn_finish_aliases(struct pn_loader *l);

/* Works out the address of an alias and checks it; then it is one of l->aliases. */
void pn_alias_add(struct pn_loader *l, struct pn_draft_alias draft, struct pn_str address);

#endif
