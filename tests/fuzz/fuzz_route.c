/* Any bytes as a mail: split, walked, parsed and decided with a world in memory.
 *
 * The first byte says what is known of Odoo; the second cuts the mail into
 * pieces.  However it is cut, it is the same mail. */
#include <assert.h>
#include <stdint.h>

#include "postern/fields.h"
#include "postern/loop.h"
#include "postern/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define S PN_STR

enum { ARENA_LIMIT = 64 << 20 };

static const struct pn_alias aliases[] = {
	{ .id = 1, .local = S("sales"), .full = S("sales@a.test"), .model = S("crm.lead") },
	{ .id = 2, .local = S("group"), .full = S("group@a.test"), .model = S("crm.lead"),
	    .contact = PN_CONTACT_FOLLOWERS,
	    .force_thread_id = 7 },
	{ .id = 3, .local = S("any"), .full = S("any@a.test"), .model = S("helpdesk.ticket"),
	    .incoming_local = true,
	    .contact = PN_CONTACT_PARTNERS },
	{ .id = 4, .local = S("bad"), .full = S("bad@a.test"), .model = S("mail.none"),
	    .contact = PN_CONTACT_FOLLOWERS },
	{ .id = 5, .local = S("gone"), .full = S("gone@a.test"), .model = S("crm.lead"),
	    .force_thread_id = 9 },
};
static const struct pn_domain domain = {
	.name = S("a.test"), .ascii = S("a.test"), .bounce = S("bounce@a.test"),
	    .catchall = S("catchall@a.test"),
	.default_from = S("notifications@a.test"),
};
static const struct pn_gateway gateway = {
	.name = S("a"), .target = PN_TARGET_DOMAIN, .target_value = S("o.test"), .domains = &domain,
	    .domain_count = 1,
	.loop_automatic = PN_LOOP_REFUSE,
};

static enum pn_status
find(bool by_local, struct pn_str key, struct pn_aliases *out)
{
	for (size_t i = 0; i < PN_COUNT(aliases); i++)
		if (by_local ? aliases[i].incoming_local && pn_str_eq(aliases[i].local, key)
		    : pn_str_eq(aliases[i].full, key)) {
			*out = (struct pn_aliases){ &aliases[i], 1 };
			return PN_OK;
		}
	return PN_NOT_FOUND;
}

static enum pn_status
by_full(void *ctx, struct pn_str address, struct pn_arena *arena, struct pn_aliases *out)
{
	(void)ctx;
	(void)arena;
	return find(false, address, out);
}

static enum pn_status
by_local(void *ctx, struct pn_str local, struct pn_arena *arena, struct pn_aliases *out)
{
	(void)ctx;
	(void)arena;
	return find(true, local, out);
}

/* -- Odoo: ids and addresses tell what they stand for ------------------------------- */

static enum pn_known
newest(struct pn_odoo *odoo, struct pn_strs ids, struct pn_arena *arena, struct pn_stored *out)
{
	(void)odoo;
	(void)arena;
	for (size_t i = ids.n; i-- > 0;) {
		if (!pn_str_contains(ids.v[i], S("@odoo")))
			continue;
		*out = (struct pn_stored){
			.id = i + 1, .model = pn_str_contains(ids.v[i], S("private")) ? S("") : S("crm.lead"),
			.res_id = ids.v[i].n % 12, .record_known = ids.v[i].n % 12 != 0, .thread = ids.v[i],
			.sole_notified = ids.v[i].n % 3, .sole_notified_email = S("Bob <bob@x.test>"),
		};
		return PN_YES;
	}
	return PN_NO;
}

static enum pn_known
duplicate(struct pn_odoo *odoo, struct pn_str message_id)
{
	(void)odoo;
	return pn_known(pn_str_contains(message_id, S("seen")));
}

static enum pn_known
record(struct pn_odoo *odoo, struct pn_str model, uint64_t id, struct pn_arena *arena, struct pn_record *out)
{
	static const uint64_t followers[] = { 3, 5 };

	(void)odoo;
	(void)model;
	(void)arena;
	*out = (struct pn_record){ .followers = followers, .follower_count = 2, .followers_known = PN_YES };
	return id == 9 ? PN_NO : id == 8 ? PN_UNKNOWN : PN_YES;
}

static enum pn_known
partners(struct pn_odoo *odoo, struct pn_str email, bool literal, struct pn_arena *arena,
    struct pn_partners *out)
{
	struct pn_partner *v = PN_ARENA_ARRAY(arena, struct pn_partner, 2);

	(void)odoo;
	v[0] = (struct pn_partner){ 3, PN_USER_NONE, 0 };
	v[1] = (struct pn_partner){ 4, PN_USER_INTERNAL, 1 };
	*out = (struct pn_partners){ v, email.n % 3 };
	return literal || email.n % 3 == 0 ? PN_NO : PN_YES;
}

/* -- the same mail ------------------------------------------------------------------- */

static struct pn_mime_result
walk(struct pn_str mail, size_t chunk, struct pn_arena *arena)
{
	struct pn_mime *mime = pn_mime_new();
	struct pn_mime_result result;

	for (; mail.n > 0; mail = pn_str_from(mail, chunk))
		pn_mime_raw(mime, pn_str_head(mail, chunk));
	pn_mime_end(mime, arena, &result);
	pn_mime_free(mime);
	return result;
}

static void
same_walk(const struct pn_mime_result *a, const struct pn_mime_result *b)
{
	assert(pn_str_eq(a->top_type, b->top_type) && a->unreadable_as_mail == b->unreadable_as_mail
	    && a->unreadable_as_bounce == b->unreadable_as_bounce && a->limit_hit == b->limit_hit);
	if (a->limit_hit)
		return;
	assert(a->has_dsn == b->has_dsn && a->has_embedded == b->has_embedded
	    && a->embedded_known == b->embedded_known);
	if (a->has_dsn)
		assert(pn_str_eq(a->final_recipient, b->final_recipient) && pn_str_eq(a->status, b->status));
	if (a->has_embedded)
		assert(pn_str_eq(a->embedded_message_id_text, b->embedded_message_id_text)
		    && pn_str_eq(a->embedded_ms_id_text, b->embedded_ms_id_text));
}

static void
check_message(const struct pn_message *m)
{
	assert(m->answered_ids.n <= PN_REFERENCES_USED);
	for (size_t i = 0; i < m->recipients.n; i++)
		assert(pn_str_find(m->recipients.v[i], '@') != PN_STR_NONE);
	assert(m->sender.n == 0 || pn_str_find(m->sender, '@') != PN_STR_NONE);
}

static void
check_decision(const struct pn_decision *d, const struct pn_message *m, bool complete, struct pn_arena *arena)
{
	struct pn_loop_windows windows = pn_loop_windows(&gateway, &pn_models_odoo19, m, d, arena);
	struct pn_verdict v = pn_verdict(&gateway, m, d, arena);

	assert((d->outcome == PN_ROUTED) == (d->route_count > 0));
	assert((d->outcome != PN_BOUNCED) || d->notice_count > 0);
	assert((d->outcome == PN_BOUNCE_HANDLED) <= d->bounced.found);
	for (size_t i = 0; i < d->route_count; i++)
		assert(d->routes[i].model.n > 0);
	for (size_t i = 0; i < windows.n; i++)
		assert(pn_loop_full(&windows.v[i], UINT64_MAX, 20) && !pn_loop_full(&windows.v[i], 19, 20));
	if (v.action == PN_ACTION_REFUSE || v.action == PN_ACTION_DEFER)
		assert(!(d->doubts & PN_DOUBT_THREAD));
	if (complete)
		assert(!(d->doubts & (PN_DOUBT_ALIAS | PN_DOUBT_THREAD)));
	assert(v.reason.n > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_arena *arena;
	struct pn_str mail, body;
	struct pn_fields fields;
	struct pn_message message;
	struct pn_decision decision;
	struct pn_mime_result mime, again;
	struct pn_error err = { "" };
	struct pn_odoo odoo = { .trouble = false };
	struct pn_route_question question = {
		.gateway = &gateway, .models = &pn_models_odoo19, .aliases = { NULL, by_full, by_local },
		    .odoo = &odoo,
		.message = &message,
	};

	if (size < 2)
		return 0;
	arena = pn_arena_new(ARENA_LIMIT);
	mail = pn_str_n((const char *)data + 2, size - 2);
	question.aliases_complete = data[0] & 1;
	question.explain = data[0] & 2;
	odoo.newest = data[0] & 4 ? NULL : newest;
	odoo.duplicate = data[0] & 8 ? NULL : duplicate;
	odoo.record = data[0] & 16 ? NULL : record;
	odoo.partners = data[0] & 32 ? NULL : partners;
	question.fallback_model = data[0] & 64 ? S("crm.lead") : S("");
	mime = walk(mail, mail.n, arena);
	again = walk(mail, 1 + data[1] % 50, arena);
	same_walk(&mime, &again);
	if (pn_fields_split(mail, arena, &fields, &body) == PN_OK
	    && pn_message_parse(fields, &mime, false, arena, &message, &err) == PN_OK) {
		check_message(&message);
		if (pn_route_decide(&question, arena, &decision, &err) == PN_OK)
			check_decision(&decision, &message, (data[0] & 5) == 1, arena);
	}
	pn_arena_free(arena);
	return 0;
}
