/* May this sender write to this record, and as whom? (odoo-behaviour 5.3, 6.4, 6.5, 11) */
#include "decide.h"

#include "postern/address.h"

/* -- who is it? -------------------------------------------------------------- */

/* Does an alias with alias_incoming_local stand for this address too? */
static bool
any_domain_counts(const struct pn_gateway *gateway, struct pn_str address)
{
	return gateway->allowed_domains.n == 0 || decide_local_counts(gateway, address);
}

/* One of Odoo's own addresses never has an author. */
static bool
own_address(struct decider *d, struct pn_str address)
{
	const struct pn_route_question *q = d->q;
	struct pn_aliases found;
	enum pn_status st;

	if (pn_str_find(address, '@') == PN_STR_NONE)
		return false;
	if (pn_gateway_bounce(q->gateway, address) != NULL || pn_gateway_catchall(q->gateway, address) != NULL
	    || pn_gateway_default_from(q->gateway, address) != NULL)
		return true;
	st = q->aliases.by_full(q->aliases.ctx, address, d->arena, &found);
	if (st == PN_NOT_FOUND) {
		st = q->aliases.by_local(q->aliases.ctx, pn_address_local(address), d->arena, &found);
		if (st == PN_OK && !any_domain_counts(q->gateway, address))
			st = PN_NOT_FOUND;
	}
	d->trouble = d->trouble || (st != PN_OK && st != PN_NOT_FOUND);
	return st == PN_OK;
}

static bool
follows(const struct pn_record *record, uint64_t partner)
{
	for (size_t i = 0; record != NULL && i < record->follower_count; i++)
		if (record->followers[i] == partner)
			return true;
	return false;
}

/* The order of candidates: followers of the record, internal users, portal
 * users, the record's company, none, the lowest id. */
static bool
better(const struct pn_partner *a, const struct pn_partner *b, const struct pn_record *record)
{
	uint64_t company = record == NULL ? 0 : record->company;
	int pairs[][2] = {
		{ follows(record, a->id), follows(record, b->id) },
		{ a->user == PN_USER_INTERNAL, b->user == PN_USER_INTERNAL },
		{ a->user != PN_USER_NONE, b->user != PN_USER_NONE },
		{ a->company == company, b->company == company },
		{ a->company == 0, b->company == 0 },
	};

	for (size_t i = 0; i < PN_COUNT(pairs); i++)
		if (pairs[i][0] != pairs[i][1])
			return pairs[i][0] > pairs[i][1];
	return false;
}

/* _partner_find_from_emails for the From.  *out: partner id, 0 = nobody. */
static enum pn_known
find_partner(struct decider *d, const struct pn_record *record, bool users_only, uint64_t *out)
{
	struct pn_odoo *odoo = d->q->odoo;
	struct pn_str text = d->q->message->email_from, key = PN_STR_EMPTY, loose;
	struct pn_mailboxes boxes;
	struct pn_partners hits;
	const struct pn_partner *best = NULL;
	enum pn_known known;

	*out = 0;
	if (odoo->partners == NULL)
		return PN_UNKNOWN;
	if (pn_address_split(text, d->arena, &boxes) != PN_OK)
		return PN_UNKNOWN;
	if (boxes.n > 0 && pn_address_normalize(boxes.v[0].addr, false, d->arena, &key) != PN_OK)
		key = boxes.v[0].addr;
	if (key.n > 0) {
		if (pn_address_normalize(text, false, d->arena, &loose) != PN_OK)
			loose = text;
		if (own_address(d, loose))
			return PN_NO;
		known = odoo->partners(odoo, key, false, d->arena, &hits);
	} else {
		text = pn_text_strip(text);
		if (text.n == 0)
			return PN_NO;
		known = odoo->partners(odoo, text, true, d->arena, &hits);
	}
	if (known != PN_YES)
		return known;
	for (size_t i = 0; i < hits.n; i++) {
		if (users_only && hits.v[i].user == PN_USER_NONE)
			continue;
		if (best == NULL || better(&hits.v[i], best, record))
			best = &hits.v[i];
	}
	if (best != NULL)
		*out = best->id;
	return best == NULL ? PN_NO : PN_YES;
}

/* The record, if it is known to exist; *known says how well. */
static const struct pn_record *
record_of(struct decider *d, struct pn_str model, uint64_t id, enum pn_known *known)
{
	struct pn_odoo *odoo = d->q->odoo;
	struct pn_record *record = PN_ARENA_NEW(d->arena, struct pn_record);

	*known = PN_NO;
	if (model.n == 0 || id == 0)
		return NULL;
	*known = odoo->record == NULL ? PN_UNKNOWN : odoo->record(odoo, model, id, d->arena, record);
	return *known == PN_YES ? record : NULL;
}

uint64_t
decide_user(struct decider *d, const struct pn_alias *alias)
{
	enum pn_known known;
	uint64_t user;

	/* a From of several addresses is nobody */
	if (d->q->message->sender.n == 0)
		return 0;
	(void)find_partner(d, alias == NULL ? NULL : record_of(d, alias->parent_model, alias->parent_id, &known),
	    true, &user);
	return user;
}

void
decide_final_author(struct decider *d)
{
	const struct pn_route *first = &d->out->routes[0];
	enum pn_known known;

	d->out->final_author = d->out->author;
	if (d->out->author == 0)
		(void)find_partner(d, record_of(d, first->model, first->thread_id, &known), false,
		    &d->out->final_author);
}

/* -- may he? ------------------------------------------------------------------- */

void
decide_add_route(struct decider *d, const struct pn_route *route)
{
	struct pn_decision *out = d->out;

	out->routes = pn_arena_grow(d->arena, out->routes, out->route_count, &d->route_cap,
	    out->route_count + 1, sizeof(*out->routes));
	out->routes[out->route_count++] = *route;
}

void
decide_add_notice(struct decider *d, enum pn_notice_kind kind, const struct pn_alias *alias,
    const char *error)
{
	struct pn_decision *out = d->out;

	out->notices = pn_arena_grow(d->arena, out->notices, out->notice_count, &d->notice_cap,
	    out->notice_count + 1, sizeof(*out->notices));
	out->notices[out->notice_count++] = (struct pn_notice){ kind, alias, error };
}

static enum check
refuse(struct decider *d, enum pn_notice_kind kind, const struct pn_alias *alias, const char *error)
{
	decide_step(d, "contact policy of " PN_STR_FMT ": %s", PN_STR_ARG(alias->full), error);
	decide_add_notice(d, kind, alias, error);
	return CHECK_STOP;
}

static enum check
doubt_partner(struct decider *d, const struct pn_alias *alias)
{
	d->out->doubts |= PN_DOUBT_PARTNER;
	decide_step(d, "contact policy of " PN_STR_FMT ": who may write is not known here", PN_STR_ARG(alias->full));
	return CHECK_ROUTE;
}

static enum check
check_followers(struct decider *d, const struct pn_route *route, enum pn_known author_known)
{
	const struct pn_alias *alias = route->alias;
	bool on_record = route->thread_id != 0 || route->thread_unknown;
	const struct pn_record *record;
	enum pn_known known;

	if (!on_record && (alias->parent_model.n == 0 || alias->parent_id == 0))
		return refuse(d, PN_NOTICE_ALIAS_INVALID, alias, "config_follower_no_record");
	record = on_record ? record_of(d, route->model, route->thread_id, &known)
	    : record_of(d, alias->parent_model, alias->parent_id, &known);
	if (author_known == PN_NO)
		return refuse(d, PN_NOTICE_ALIAS_SECURITY, alias, "error_follower_not_following");
	if (author_known == PN_UNKNOWN || known == PN_UNKNOWN || route->thread_unknown
	    || (record != NULL && record->followers_known == PN_UNKNOWN))
		return doubt_partner(d, alias);
	if (!follows(record, d->out->author))
		return refuse(d, PN_NOTICE_ALIAS_SECURITY, alias, "error_follower_not_following");
	return CHECK_ROUTE;
}

/* _alias_get_error */
static enum check
check_policy(struct decider *d, const struct pn_route *route, enum pn_known author_known)
{
	switch (route->alias->contact) {
	case PN_CONTACT_EVERYONE:
		return CHECK_ROUTE;
	case PN_CONTACT_FOLLOWERS:
		return check_followers(d, route, author_known);
	case PN_CONTACT_PARTNERS:
		if (author_known == PN_NO)
			return refuse(d, PN_NOTICE_ALIAS_SECURITY, route->alias, "error_partners_no_partner");
		return author_known == PN_UNKNOWN ? doubt_partner(d, route->alias) : CHECK_ROUTE;
	case PN_CONTACT_EMPLOYEES:
		return doubt_partner(d, route->alias);
	}
	return CHECK_ROUTE;
}

/* The author, looked for once, near the record the mail is about. */
static enum pn_known
find_author(struct decider *d, const struct pn_route *route, uint64_t asked_thread)
{
	const struct pn_alias *alias = route->alias;
	const struct pn_record *record;
	enum pn_known known;

	if (d->out->author != 0)
		return PN_YES;
	record = asked_thread != 0 ? record_of(d, route->model, asked_thread, &known)
	    : record_of(d, alias->parent_model, alias->parent_id, &known);
	return find_partner(d, record, false, &d->out->author);
}

enum check
decide_check(struct decider *d, struct pn_route *route, bool raising)
{
	const struct pn_model *model = pn_model_find(d->q->models, route->model);
	uint64_t asked_thread = route->thread_id;
	bool deleted = false;
	enum pn_known known;

	if (model != NULL && !model->exists)
		return raising ? CHECK_UNAVAILABLE : CHECK_SKIP;
	if (route->thread_id != 0) {
		(void)record_of(d, route->model, route->thread_id, &known);
		deleted = known == PN_NO;
		if (known == PN_UNKNOWN)
			d->out->doubts |= PN_DOUBT_RECORD;
	}
	if (deleted || (model != NULL && !model->message_update)) {
		route->thread_id = 0;
		route->thread_unknown = false;
	}
	if (route->thread_id == 0 && !route->thread_unknown && model != NULL && !model->message_new)
		return raising ? CHECK_UNAVAILABLE : CHECK_SKIP;
	if (route->alias == NULL)
		return CHECK_ROUTE;
	if (d->out->author == 0 && deleted && (model == NULL || model->has_company))
		return model == NULL ? CHECK_ROUTE : CHECK_MISSING;
	return check_policy(d, route, find_author(d, route, asked_thread));
}
