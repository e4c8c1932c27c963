/* directory.h - what is configured: gateways, their domains, aliases, models.
 *
 * A gateway is one application behind Postfix, usually one Odoo database.  Its
 * domains are Odoo's mail.alias.domain rows, its aliases mail.alias rows.
 * Gateways and domains are few and live in an immutable snapshot; aliases are
 * many and are asked for through a port (struct pn_alias_source).
 *
 * Pure.  A snapshot is immutable after it was built: any number of threads.
 */
#ifndef POSTERN_DIRECTORY_H
#define POSTERN_DIRECTORY_H

#include "postern/arena.h"
#include "postern/error.h"
#include "postern/known.h"
#include "postern/str_list.h"

/* -- models (odoo-behaviour 4.3, 9.2) -------------------------------------- */

/* What a program without Odoo must know of a model. */
struct pn_model {
	struct pn_str name;		/* "crm.lead" */
	struct pn_str label;		/* its display name: orders routes (rule 6.3) */
	bool exists;
	bool is_mail_thread;
	bool message_new;		/* a mail may create a record */
	bool message_update;		/* a mail may be added to a record */
	bool blacklist;			/* senders counted by equality, else by substring */
	bool has_company;		/* a deleted record makes the author lookup fail (5.3) */
	struct pn_str primary_email;	/* the field senders are counted on; "" = never limited */
};

struct pn_models {
	const struct pn_model *v;
	size_t n;
};

/* Odoo 19's standard mail-enabled models, ordered by name; static. */
extern const struct pn_models pn_models_odoo19;

/* NULL: not listed, so nothing is known: it accepts mail and is never "misconfigured". */
const struct pn_model *pn_model_find(const struct pn_models *models, struct pn_str name);

/* -- aliases (rules 6.1-6.4) ------------------------------------------------ */

enum pn_contact {
	PN_CONTACT_EVERYONE,
	PN_CONTACT_PARTNERS,
	PN_CONTACT_FOLLOWERS,
	PN_CONTACT_EMPLOYEES,
};

struct pn_alias {
	uint64_t id;			/* Odoo's, or 0 */
	struct pn_str local;		/* alias_name as stored */
	struct pn_str full;		/* alias_full_name: local@domain, or just local */
	struct pn_str model;
	enum pn_contact contact;
	bool incoming_local;		/* alias_incoming_local: any domain will do */
	uint64_t force_thread_id;	/* 0: none */
	bool require_dmarc;		/* Postern's: only mail that passes DMARC */
	struct pn_str parent_model;	/* the owner record; "" and 0: none */
	uint64_t parent_id;
};

struct pn_aliases {
	const struct pn_alias *v;
	size_t n;
};

/* Where the aliases of one gateway are: LMDB in the programs, an array in
 * tests.  Both calls return borrowed rows that live as long as the arena.
 * PN_OK (at least one row), PN_NOT_FOUND, or PN_TEMPFAIL (cannot say now). */
struct pn_alias_source {
	void *ctx;
	/* alias_full_name equals `address` (lower-cased, has an @) */
	enum pn_status (*by_full)(void *ctx, struct pn_str address, struct pn_arena *arena,
	    struct pn_aliases *out);
	/* aliases with incoming_local whose alias_name equals `local` */
	enum pn_status (*by_local)(void *ctx, struct pn_str local, struct pn_arena *arena,
	    struct pn_aliases *out);
};

/* -- domains and gateways --------------------------------------------------- */

enum pn_unknown_policy {
	PN_UNKNOWN_HAND_OVER,	/* redirected like an alias whose model is not known */
	PN_UNKNOWN_PASS,	/* the domain has human mailboxes too: not ours */
	PN_UNKNOWN_REJECT,	/* 550 5.1.1 while the alias table is complete */
};

struct pn_gateway;

/* A row of mail.alias.domain. */
struct pn_domain {
	struct pn_str name;		/* as typed, for comparing as Odoo does */
	struct pn_str ascii;		/* A-labels, lower case: for comparing envelope addresses */
	struct pn_str bounce;		/* bounce_alias@name */
	struct pn_str catchall;		/* catchall_alias@name */
	struct pn_str default_from;	/* notifications@name; "" = none */
	enum pn_unknown_policy unknown;
	struct pn_str human;		/* takes postmaster@ and abuse@; "" = none */
	struct pn_str write_to;		/* whom to name when the catchall was written to; "" = nobody */
	const struct pn_gateway *gateway;
};

enum pn_target {
	PN_TARGET_ADDRESS,	/* redirect to ADDRESS */
	PN_TARGET_DOMAIN,	/* redirect to DOMAIN, same local part */
	PN_TARGET_KEEP,		/* address unchanged: a transport takes it from here */
};

/* How a loop is answered (docs/answers.md). */
enum pn_loop_answer {
	PN_LOOP_DEFER,		/* 451 4.7.1 */
	PN_LOOP_REFUSE,		/* 550 5.4.6 */
	PN_LOOP_HOLD,		/* accepted, into Postfix's hold queue */
	PN_LOOP_DISCARD,	/* 250, thrown away with a log line */
};

enum pn_mixed {
	PN_MIXED_HAND_OVER,	/* ours go to Odoo where a refusal would hit others */
	PN_MIXED_SEPARATE,	/* the later kind is told 452 at RCPT */
};

/* Whose mail must pass DMARC, whatever its domain asks for. */
enum pn_require_dmarc {
	PN_REQUIRE_DMARC_NO,		/* nobody's, but for aliases that say so */
	PN_REQUIRE_DMARC_CONTACTS,	/* to aliases that not everybody may write to */
	PN_REQUIRE_DMARC_ALL,
};

struct pn_gateway {
	struct pn_str name;
	size_t index;			/* in its snapshot */
	enum pn_target target;
	struct pn_str target_value;	/* the ADDRESS or DOMAIN; "" for keep */
	struct pn_str bounce_target;	/* where handled bounces go; "" = derived, see pn_target_for() */
	const struct pn_domain *domains;/* of this gateway, in sequence order */
	size_t domain_count;
	bool complete;			/* the operator declares the alias table complete */
	uint64_t stale_after;		/* seconds a synced table counts as complete */
	uint64_t loop_minutes;		/* mail.gateway.loop.minutes */
	uint64_t loop_threshold;	/* mail.gateway.loop.threshold */
	bool loop_unusable;		/* a synced loop parameter is no number: Odoo fails on every routed mail */
	enum pn_loop_answer loop_person;
	enum pn_loop_answer loop_automatic;
	bool unreadable_reject;		/* 550 5.6.0 for what Odoo would fail on */
	uint64_t twin_lease;		/* seconds */
	enum pn_require_dmarc require_dmarc;
	struct pn_strs logins;		/* SASL logins that send for this gateway and no other */
	struct pn_strs allowed_senders;	/* mail.gateway.allowed, normalised */
	struct pn_strs allowed_domains;	/* mail.catchall.domain.allowed, without the alias domains; may be empty */
};

/* Everything the operator configured about inbound mail. */
struct pn_directory {
	const struct pn_gateway *gateways;
	size_t gateway_count;
	const struct pn_domain *domains;	/* all, ordered by .ascii for searching */
	size_t domain_count;
	struct pn_models models;		/* built-in ones and the operator's */
};

/* The managed domain of an envelope address's domain part; NULL: not ours.
 * ascii: A-labels, lower case (pn_domain_to_ascii). */
const struct pn_domain *pn_directory_domain(const struct pn_directory *directory, struct pn_str ascii);
const struct pn_gateway *pn_directory_gateway(const struct pn_directory *directory, struct pn_str name);

/* Tells one structure from another: its gateways, their domains and special
 * addresses, not their aliases.  Never 0. */
uint64_t pn_directory_fingerprint(const struct pn_directory *directory);

/* Must mail to this alias pass DMARC: by itself, or because not everybody may write to it? */
bool pn_alias_asks_proof(const struct pn_gateway *gateway, const struct pn_alias *alias);

/* Rule 6.2: do left parts at this domain count?  When mail.catchall.domain.allowed
 * is set, only at those domains and at the alias domains.  Compared exactly. */
bool pn_gateway_local_counts(const struct pn_gateway *gateway, struct pn_str domain);

/* The gateway's domain whose bounce / catchall / default_from address this is
 * (exact comparison, as Odoo's); NULL: none. */
const struct pn_domain *pn_gateway_bounce(const struct pn_gateway *gateway, struct pn_str address);
const struct pn_domain *pn_gateway_catchall(const struct pn_gateway *gateway, struct pn_str address);
const struct pn_domain *pn_gateway_default_from(const struct pn_gateway *gateway, struct pn_str address);

#endif
