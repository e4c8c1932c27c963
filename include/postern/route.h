/* route.h - what Odoo will do with a mail (message_process, odoo-behaviour 3).
 *
 * The heart of Postern: one gateway's facts and a mail in, Odoo's decision out.
 * Each gateway decides alone.  What is not known is taken in favour of the mail
 * and noted as a doubt; verdict.h never refuses because of a doubt.
 *
 * Pure.  Facts come through ports because each question depends on the last
 * answer.  Everything returned lives in the arena.
 */
#ifndef POSTERN_ROUTE_H
#define POSTERN_ROUTE_H

#include "postern/directory.h"
#include "postern/message.h"

/* -- facts ------------------------------------------------------------------- */

/* A stored mail.message. */
struct pn_stored {
	uint64_t id;			/* mail.message id, or 0 */
	struct pn_str model;		/* "" = a private discussion */
	uint64_t res_id;		/* 0 = none, or not known: see record_known */
	bool record_known;		/* false: its record is not known yet (learned inbound) */
	struct pn_str thread;		/* names the thread while the record is not known */
	bool others_unknown;		/* some of the ids are not known: theirs may be newer */
	bool internal;			/* subtype is internal and not an auto_comment */
	uint64_t sole_notified;		/* the one notified partner, 0 = none or several */
	struct pn_str sole_notified_email;	/* its email as stored */
};

struct pn_record {
	uint64_t company;		/* 0: none */
	const uint64_t *followers;	/* partner ids */
	size_t follower_count;
	enum pn_known followers_known;
};

enum pn_user { PN_USER_NONE, PN_USER_PORTAL, PN_USER_INTERNAL };

struct pn_partner {
	uint64_t id;
	enum pn_user user;
	uint64_t company;		/* 0: none */
};

struct pn_partners {
	const struct pn_partner *v;
	size_t n;
};

/* What of Odoo's database is known.  A NULL function means: not known.
 * Functions answer YES (and fill out), NO, or UNKNOWN; in trouble they set
 * *trouble and answer UNKNOWN.  Results live as long as the arena. */
struct pn_odoo {
	void *ctx;
	bool trouble;			/* a fact could not be had now: the decision is void */
	/* the newest stored message with one of these ids (rule 5.1) */
	enum pn_known (*newest)(struct pn_odoo *odoo, struct pn_strs ids, struct pn_arena *arena,
	    struct pn_stored *out);
	/* is this Message-ID stored in Odoo already? */
	enum pn_known (*duplicate)(struct pn_odoo *odoo, struct pn_str message_id);
	enum pn_known (*record)(struct pn_odoo *odoo, struct pn_str model, uint64_t id,
	    struct pn_arena *arena, struct pn_record *out);
	/* active partners by email_normalized, or by the literal email text; by id */
	enum pn_known (*partners)(struct pn_odoo *odoo, struct pn_str email, bool literal,
	    struct pn_arena *arena, struct pn_partners *out);
};

struct pn_route_question {
	const struct pn_gateway *gateway;
	const struct pn_models *models;
	struct pn_alias_source aliases;
	bool aliases_complete;		/* what is not in the table does not exist */
	struct pn_odoo *odoo;
	const struct pn_message *message;
	/* the caller's fallback (rule 8); "" and 0 in the milter */
	struct pn_str fallback_model;
	uint64_t fallback_thread_id;
	bool explain;			/* fill pn_decision.steps */
};

/* -- the decision -------------------------------------------------------------- */

enum pn_outcome {
	PN_ROUTED,
	PN_BOUNCED,		/* Odoo would answer with a notice */
	PN_BOUNCE_HANDLED,
	PN_LOOP_DETECTED,
	PN_DROPPED,
	PN_NO_ROUTE,
	PN_ERROR,		/* Odoo would fail on it */
};

/* The stable rule ids: the same word in the log, X-Postern-Route, explain and
 * as decided_by of the conformance cases. */
enum pn_rule {
	PN_RULE_NONE,			/* none: no rule matched */
	PN_RULE_REPLY,
	PN_RULE_ALIAS,
	PN_RULE_FALLBACK,
	PN_RULE_CATCHALL_DIRECT,
	PN_RULE_CATCHALL_MIXED,
	PN_RULE_ALIAS_SECURITY,
	PN_RULE_ALIAS_INVALID,
	PN_RULE_LOOP_NEW,
	PN_RULE_LOOP_UPDATE,
	PN_RULE_DUPLICATE,		/* duplicate_message_id */
	PN_RULE_LOOP_HEADERS,
	PN_RULE_IS_BOUNCE,
	PN_RULE_PARSE,
	PN_RULE_ROUTE_CHECK,
	PN_RULE_ROUTING,
	PN_RULE_PROCESSING,
	/* Postern's own */
	PN_RULE_UNKNOWN,		/* unknown_address: handed over */
	PN_RULE_ROLE,			/* postmaster, abuse */
	PN_RULE_STAMP,			/* our own stamp: a loop through us */
	PN_RULE_TWIN,
	PN_RULE_DMARC,			/* the author is not proven */
	PN_RULE_RELAY,			/* outbound: no relay takes it, or none now */
	PN_RULE_LIMIT,			/* more than one message may ask */
	PN_RULE_TROUBLE,		/* could not find out now */
};
const char *pn_rule_name(enum pn_rule rule);
const char *pn_outcome_name(enum pn_outcome outcome);

/* Why a decision may differ from Odoo's: what was not known. */
enum pn_doubt {
	PN_DOUBT_THREAD = 1 << 0,	/* it refers to messages we do not know */
	PN_DOUBT_ALIAS = 1 << 1,	/* an address may be an alias we do not know */
	PN_DOUBT_PARTNER = 1 << 2,	/* who may write is not known */
	PN_DOUBT_RECORD = 1 << 3,	/* whether the record exists is not known */
	PN_DOUBT_READABLE = 1 << 4,	/* whether Odoo can read it is not known */
};

/* "thread,alias" */
struct pn_str pn_doubts_text(unsigned doubts, struct pn_arena *arena);

struct pn_route {
	struct pn_str model;
	uint64_t thread_id;		/* 0: a new record */
	bool thread_unknown;		/* a reply to `thread` whose record is not known */
	struct pn_str thread;
	bool counts_as_new;		/* rule 9.2: its thread id is 0, not None */
	const struct pn_alias *alias;	/* NULL: none */
	uint64_t user;			/* partner id of the user, 0: the gateway's own */
};

enum pn_notice_kind { PN_NOTICE_CATCHALL, PN_NOTICE_ALIAS_SECURITY, PN_NOTICE_ALIAS_INVALID, PN_NOTICE_LOOP };

/* A mail Odoo would send back (section 10). */
struct pn_notice {
	enum pn_notice_kind kind;
	const struct pn_alias *alias;
	const char *error;		/* Odoo's error code, or NULL */
};

/* Bounce extraction (rule 4.2). */
struct pn_bounced {
	bool found;			/* the mail is a bounce */
	struct pn_str email;		/* "" = not told */
	struct pn_partners partners;
	struct pn_strs message_ids;
	bool has_message;
	struct pn_stored message;	/* the affected message */
};

struct pn_decision {
	enum pn_outcome outcome;
	enum pn_rule rule;
	unsigned doubts;		/* enum pn_doubt */
	struct pn_route *routes;
	size_t route_count;
	struct pn_notice *notices;
	size_t notice_count;
	uint64_t author;		/* partner id when loops are counted; 0 = none, or not looked for yet */
	bool others_matched;		/* route_check: other aliases matched beside the one that fails */
	uint64_t final_author;		/* as stored with the mail: also of replies and fallbacks (rule 11) */
	bool has_parent;
	struct pn_stored parent;	/* rule 2, independent of routing */
	struct pn_bounced bounced;
	struct pn_strs steps;		/* explain: each rule asked, with its answer */
};

/* All of message_process but the counting of loops, which loop.h adds.
 * PN_OK, PN_TEMPFAIL (a fact could not be had now), PN_LIMIT (arena). */
PN_CHECK enum pn_status pn_route_decide(const struct pn_route_question *question,
    struct pn_arena *arena, struct pn_decision *out, struct pn_error *err);

/* What Odoo does with a mail its parser gives up on (rule 2.1). */
struct pn_decision pn_route_unreadable(void);

/* The gateway's aliases that match one of these addresses (lower-cased), in
 * Odoo's order (rules 6.2, 6.3), each once.
 * PN_OK (maybe none), PN_TEMPFAIL, or PN_LIMIT: more than 1000. */
PN_CHECK enum pn_status pn_route_match(const struct pn_route_question *question,
    struct pn_strs addresses, struct pn_arena *arena, struct pn_aliases *out);

#endif
