/* decide.h - shared inside lib/core: one decision while it is being made. */
#ifndef POSTERN_LIB_CORE_DECIDE_H
#define POSTERN_LIB_CORE_DECIDE_H

#include "postern/route.h"

struct decider {
	const struct pn_route_question *q;
	struct pn_arena *arena;
	struct pn_decision *out;
	/* rule 6.2 compares lower-cased addresses, rules 4.1 and 7 normalised ones */
	struct pn_strs recipients;	/* lower */
	struct pn_strs to;		/* lower */
	struct pn_strs to_normal;	/* normalised, or as it stands */
	size_t route_cap, notice_cap;
	struct pn_strs_builder steps;
	bool trouble;			/* the alias source cannot say now */
	bool limit;			/* more aliases than one message may address */
};

/* Explain: one line per rule asked. */
void decide_step(struct decider *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* -- bounce.c: rules 2 (parent), 4.1, 4.2 -- */
void decide_parent(struct decider *d);
bool decide_is_bounce(struct decider *d);
void decide_read_bounce(struct decider *d);

/* -- contact.c: rules 5.3, 6.4, 6.5, 11 -- */
enum check {
	CHECK_ROUTE,		/* accepted */
	CHECK_SKIP,		/* the model takes no mail: the next step decides */
	CHECK_STOP,		/* refused, a notice was noted */
	CHECK_UNAVAILABLE,	/* Odoo raises: no such mailbox */
	CHECK_MISSING,		/* Odoo raises: the record is missing */
};
/* _routing_check_route.  route: model and thread in, thread out. */
enum check decide_check(struct decider *d, struct pn_route *route, bool raising);
/* Rule 11: replies and fallback routes get their author after the loop check. */
void decide_final_author(struct decider *d);
/* _mail_find_user_for_gateway */
uint64_t decide_user(struct decider *d, const struct pn_alias *alias);

void decide_add_route(struct decider *d, const struct pn_route *route);
void decide_add_notice(struct decider *d, enum pn_notice_kind kind, const struct pn_alias *alias,
    const char *error);

/* -- match.c: rules 6.2, 6.3 -- */
struct pn_aliases decide_match(struct decider *d, struct pn_strs addresses);
bool decide_alias_has(const struct pn_alias *alias, struct pn_str address);
/* Is the left part of this address one that counts (mail.catchall.domain.allowed)? */
bool decide_local_counts(const struct pn_gateway *gateway, struct pn_str address);

#endif
