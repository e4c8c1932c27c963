/* The decision where facts are missing; with all facts the conformance cases decide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/buf.h"
#include "postern/fields.h"
#include "postern/route.h"

#define S PN_STR

static const struct pn_domain domain = {
	.name = S("acme.test"), .ascii = S("acme.test"), .bounce = S("bounce@acme.test"),
	    .catchall = S("catchall@acme.test"),
	.default_from = S("notifications@acme.test"),
};
static const struct pn_gateway gateway = { .name = S("acme"), .domains = &domain, .domain_count = 1 };

static const struct pn_alias aliases[] = {
	{ .id = 1, .local = S("sales"), .full = S("sales@acme.test"), .model = S("crm.lead") },
	{ .id = 2, .local = S("tasks"), .full = S("tasks@acme.test"), .model = S("project.task") },
	{ .id = 3, .local = S("members"), .full = S("members@acme.test"), .model = S("crm.lead"),
	    .contact = PN_CONTACT_PARTNERS },
	{ .id = 4, .local = S("group"), .full = S("group@acme.test"), .model = S("crm.lead"),
	    .contact = PN_CONTACT_FOLLOWERS, .force_thread_id = 7 },
	{ .id = 5, .local = S("nobody"), .full = S("nobody@acme.test"), .model = S("crm.lead"),
	    .contact = PN_CONTACT_FOLLOWERS },
	{ .id = 6, .local = S("staff"), .full = S("staff@acme.test"), .model = S("crm.lead"),
	    .contact = PN_CONTACT_EMPLOYEES },
	{ .id = 7, .local = S("gone"), .full = S("gone@acme.test"), .model = S("crm.lead"),
	    .force_thread_id = 9 },
	{ .id = 8, .local = S("unlisted"), .full = S("unlisted@acme.test"), .model = S("x.unlisted"),
	    .force_thread_id = 9 },
	{ .id = 9, .local = S("none"), .full = S("none@acme.test"), .model = S("project.task"),
	    .contact = PN_CONTACT_FOLLOWERS },
};

struct facts {
	bool down;
	struct pn_alias *many;		/* answers for any left part */
};

static enum pn_status
find(struct facts *facts, struct pn_str key, bool local, struct pn_arena *arena, struct pn_aliases *out)
{
	if (facts->down)
		return PN_TEMPFAIL;
	if (facts->many != NULL && local) {
		struct pn_alias *one = PN_ARENA_NEW(arena, struct pn_alias);

		*one = (struct pn_alias){ .local = key, .full = key, .model = S("crm.lead"), .incoming_local = true };
		*out = (struct pn_aliases){ one, 1 };
		return PN_OK;
	}
	for (size_t i = 0; i < PN_COUNT(aliases) && !local; i++)
		if (pn_str_eq(aliases[i].full, key)) {
			*out = (struct pn_aliases){ &aliases[i], 1 };
			return PN_OK;
		}
	return PN_NOT_FOUND;
}

static enum pn_status
by_full(void *ctx, struct pn_str address, struct pn_arena *arena, struct pn_aliases *out)
{
	return find(ctx, address, false, arena, out);
}

static enum pn_status
by_local(void *ctx, struct pn_str local, struct pn_arena *arena, struct pn_aliases *out)
{
	return find(ctx, local, true, arena, out);
}

/* -- Odoo: what is asked tells the answer ------------------------------------------- */

static enum pn_known
newest(struct pn_odoo *odoo, struct pn_strs ids, struct pn_arena *arena, struct pn_stored *out)
{
	(void)arena;
	for (size_t i = ids.n; i-- > 0;) {
		if (pn_str_eq(ids.v[i], S("<down@x>")))
			odoo->trouble = true;
		if (!pn_str_ends(ids.v[i], S("@odoo>")))
			continue;
		*out = (struct pn_stored){ .model = S("crm.lead"), .record_known = true, .thread = ids.v[i] };
		if (pn_str_eq(ids.v[i], S("<new@odoo>")))
			out->record_known = false;
		else
			out->res_id = pn_str_eq(ids.v[i], S("<gone@odoo>")) ? 9 : 7;
		if (pn_str_eq(ids.v[i], S("<private@odoo>")))
			*out = (struct pn_stored){ .model = PN_STR_EMPTY, .record_known = true, .thread = ids.v[i] };
		out->others_unknown = pn_str_eq(ids.v[0], S("<maybe@x>"));
		return PN_YES;
	}
	return ids.n > 0 && pn_str_eq(ids.v[0], S("<maybe@x>")) ? PN_UNKNOWN : PN_NO;
}

static enum pn_known
record(struct pn_odoo *odoo, struct pn_str model, uint64_t id, struct pn_arena *arena, struct pn_record *out)
{
	static const uint64_t followers[] = { 3 };

	(void)odoo;
	(void)model;
	(void)arena;
	*out = (struct pn_record){ .followers = followers, .follower_count = 1, .followers_known = PN_YES };
	return id == 9 ? PN_NO : PN_YES;
}

static enum pn_known
partners(struct pn_odoo *odoo, struct pn_str email, bool literal, struct pn_arena *arena,
    struct pn_partners *out)
{
	struct pn_partner *one = PN_ARENA_NEW(arena, struct pn_partner);

	(void)odoo;
	(void)literal;
	one->id = pn_str_eq(email, S("follower@x.test")) ? 3 : 4;
	*out = (struct pn_partners){ one, 1 };
	return pn_str_eq(email, S("stranger@x.test")) ? PN_NO : PN_YES;
}

enum { NO_THREADS = 1, NO_RECORDS = 2, NO_PARTNERS = 4, COMPLETE = 8, ALL = COMPLETE, NOTHING = 7 };

static enum pn_status
decide(const char *mail, unsigned known, struct facts *facts, struct pn_arena *arena, struct pn_decision *out,
    struct pn_error *err)
{
	struct pn_mime_result mime = { .top_type = S("text/plain"), .unreadable_as_mail = PN_NO,
	    .unreadable_as_bounce = PN_NO };
	struct pn_odoo odoo = {
		.newest = known & NO_THREADS ? NULL : newest, .record = known & NO_RECORDS ? NULL : record,
		.partners = known & NO_PARTNERS ? NULL : partners,
	};
	struct pn_message message;
	struct pn_route_question question = {
		.gateway = &gateway, .models = &pn_models_odoo19, .aliases = { facts, by_full, by_local },
		.aliases_complete = known & COMPLETE, .odoo = &odoo, .message = &message, .explain = true,
	};
	struct pn_fields fields;
	struct pn_str body;

	assert_int_equal(pn_fields_split(pn_str_c(mail), arena, &fields, &body), PN_OK);
	assert_int_equal(pn_message_parse(fields, &mime, false, arena, &message, err), PN_OK);
	return pn_route_decide(&question, arena, out, err);
}

#define TO(to) "From: joe@x.test\nTo: " to "\n\n"
#define REF(to, id) "From: joe@x.test\nTo: " to "\nReferences: " id "\n\n"
#define BY(from, to) "From: " from "\nTo: " to "\n\n"

static const struct {
	const char *name, *mail;
	unsigned known;
	enum pn_rule rule;
	unsigned doubts;
	size_t routes;
} rows[] = {
	{ "alias", TO("sales@acme.test"), ALL, PN_RULE_ALIAS, 0, 1 },
	{ "alias, nothing else known", TO("sales@acme.test"), NOTHING, PN_RULE_ALIAS, 0, 1 },
	{ "two models, theirs in order", TO("tasks@acme.test, sales@acme.test"), ALL, PN_RULE_ALIAS, 0, 2 },
	{ "no alias", TO("what@acme.test"), ALL, PN_RULE_NONE, 0, 0 },
	{ "perhaps an alias", TO("what@acme.test"), 0, PN_RULE_NONE, PN_DOUBT_ALIAS, 0 },
	{ "a stranger is none", TO("what@else.test"), ALL, PN_RULE_NONE, 0, 0 },
	{ "a stranger, perhaps by the left part", TO("what@else.test"), 0, PN_RULE_NONE, PN_DOUBT_ALIAS, 0 },
	{ "the catchall is none", TO("catchall@acme.test"), 0, PN_RULE_CATCHALL_DIRECT, 0, 0 },
	{ "catchall, perhaps beside an alias", TO("catchall@acme.test, what@acme.test"), 0,
	    PN_RULE_CATCHALL_MIXED, PN_DOUBT_ALIAS, 0 },
	{ "reply", REF("catchall@acme.test", "<7@odoo>"), ALL, PN_RULE_REPLY, 0, 1 },
	{ "not Odoo's", REF("catchall@acme.test", "<1@x>"), ALL, PN_RULE_CATCHALL_DIRECT, 0, 0 },
	{ "perhaps Odoo's", REF("catchall@acme.test", "<maybe@x>"), ALL, PN_RULE_CATCHALL_DIRECT,
	    PN_DOUBT_THREAD, 0 },
	{ "no thread is known", REF("catchall@acme.test", "<7@odoo>"), ALL | NO_THREADS,
	    PN_RULE_CATCHALL_DIRECT, PN_DOUBT_THREAD, 0 },
	{ "new threads refer to nothing", REF("catchall@acme.test", "<reply_to@odoo>"), ALL | NO_THREADS,
	    PN_RULE_CATCHALL_DIRECT, 0, 0 },
	{ "perhaps a reply, to an alias", REF("sales@acme.test", "<maybe@x>"), ALL, PN_RULE_ALIAS,
	    PN_DOUBT_THREAD, 1 },
	{ "reply, but another id may be newer", REF("catchall@acme.test", "<maybe@x> <7@odoo>"), ALL, PN_RULE_REPLY,
	    PN_DOUBT_THREAD, 1 },
	{ "a private discussion is no record", REF("catchall@acme.test", "<private@odoo>"), ALL,
	    PN_RULE_CATCHALL_DIRECT, 0, 0 },
	{ "a private discussion, another id may be newer", REF("catchall@acme.test", "<maybe@x> <private@odoo>"), ALL,
	    PN_RULE_CATCHALL_DIRECT, PN_DOUBT_THREAD, 0 },
	{ "followers of nothing, of another model", REF("none@acme.test", "<7@odoo>"), COMPLETE, PN_RULE_ALIAS_INVALID, 0,
	    0 },
	{ "the same, another id may be newer", REF("none@acme.test", "<maybe@x> <7@odoo>"), COMPLETE,
	    PN_RULE_ALIAS_INVALID, PN_DOUBT_THREAD, 0 },
	{ "forward", REF("tasks@acme.test", "<7@odoo>"), ALL, PN_RULE_ALIAS, 0, 1 },
	{ "the record is not known yet", REF("catchall@acme.test", "<new@odoo>"), ALL, PN_RULE_REPLY, 0, 1 },
	{ "it may be forwarded all the same", REF("tasks@acme.test", "<new@odoo>"), ALL, PN_RULE_ALIAS, 0,
	    1 },
	{ "whether the record is there", REF("catchall@acme.test", "<7@odoo>"), ALL | NO_RECORDS,
	    PN_RULE_REPLY, PN_DOUBT_RECORD, 1 },
	{ "the record is gone", REF("catchall@acme.test", "<gone@odoo>"), ALL, PN_RULE_REPLY, 0, 1 },
	{ "and an alias asks for its company", REF("sales@acme.test", "<gone@odoo>"), ALL, PN_RULE_ROUTING, 0,
	    0 },
	{ "a forced record is gone", TO("gone@acme.test"), ALL, PN_RULE_ROUTING, 0, 0 },
	{ "of a model nobody knows", TO("unlisted@acme.test"), ALL, PN_RULE_ALIAS, 0, 1 },
	{ "partner", BY("joe@x.test", "members@acme.test"), ALL, PN_RULE_ALIAS, 0, 1 },
	{ "no partner", BY("stranger@x.test", "members@acme.test"), ALL, PN_RULE_ALIAS_SECURITY, 0, 0 },
	{ "one of Odoo's own addresses", BY("sales@acme.test", "members@acme.test"), ALL,
	    PN_RULE_ALIAS_SECURITY, 0, 0 },
	{ "partners are not known", BY("stranger@x.test", "members@acme.test"), ALL | NO_PARTNERS,
	    PN_RULE_ALIAS, PN_DOUBT_PARTNER, 1 },
	{ "no partner, perhaps another alias", BY("stranger@x.test", "members@acme.test, what@acme.test"), 0,
	    PN_RULE_ALIAS_SECURITY, PN_DOUBT_ALIAS, 0 },
	{ "no partner, all are known aliases", BY("stranger@x.test", "members@acme.test, catchall@acme.test"),
	    0, PN_RULE_ALIAS_SECURITY, 0, 0 },
	{ "follower", BY("follower@x.test", "group@acme.test"), ALL, PN_RULE_ALIAS, 0, 1 },
	{ "no follower", BY("joe@x.test", "group@acme.test"), ALL, PN_RULE_ALIAS_SECURITY, 0, 0 },
	{ "followers are not known", BY("joe@x.test", "group@acme.test"), ALL | NO_RECORDS, PN_RULE_ALIAS,
	    PN_DOUBT_PARTNER | PN_DOUBT_RECORD, 1 },
	{ "followers of nothing", BY("follower@x.test", "nobody@acme.test"), NOTHING | COMPLETE,
	    PN_RULE_ALIAS_INVALID, 0, 0 },
	{ "employees are never known", BY("joe@x.test", "staff@acme.test"), ALL, PN_RULE_ALIAS,
	    PN_DOUBT_PARTNER, 1 },
	{ "bounce", TO("bounce@acme.test"), NOTHING, PN_RULE_IS_BOUNCE, 0, 0 },
	{ "answer to a notice", REF("sales@acme.test", "<1-loop-detection-bounce-email@x>"), NOTHING,
	    PN_RULE_LOOP_HEADERS, 0, 0 },
};

static void
what_is_not_known_is_a_doubt(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct facts facts = { .down = false };
		struct pn_error err = { "" };
		struct pn_decision d;

		assert_int_equal(decide(rows[i].mail, rows[i].known, &facts, arena, &d, &err), PN_OK);
		if (d.rule != rows[i].rule || d.doubts != rows[i].doubts)
			fail_msg("%s: %s, not known: " PN_STR_FMT, rows[i].name, pn_rule_name(d.rule),
			    PN_STR_ARG(pn_doubts_text(d.doubts, arena)));
		assert_int_equal(d.route_count, rows[i].routes);
		/* explain says something, and last how it ended */
		assert_true(d.steps.n > 0 && pn_str_starts(d.steps.v[d.steps.n - 1], S("decided: ")));
		pn_arena_free(arena);
	}
}

static void
trouble_voids_the_decision(void **state)
{
	static const struct { const char *mail; bool down; } table[] = {
		{ TO("sales@acme.test"), true }, { REF("catchall@acme.test", "<down@x>"), false },
		{ BY("sales@acme.test", "what@acme.test"), true },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(table); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct facts facts = { .down = table[i].down };
		struct pn_error err = { "" };
		struct pn_decision d;

		assert_int_equal(decide(table[i].mail, ALL, &facts, arena, &d, &err), PN_TEMPFAIL);
		assert_non_null(strstr(err.text, "acme"));
		pn_arena_free(arena);
	}
}

static void
routes_have_a_bound(void **state)
{
	static const unsigned counts[] = { 1000, 1001 };

	(void)state;
	for (size_t i = 0; i < PN_COUNT(counts); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 26);
		struct pn_alias one;
		struct facts facts = { .many = &one };
		struct pn_error err = { "" };
		struct pn_decision d;
		struct pn_buf mail;

		pn_buf_init(&mail, 1 << 20);
		pn_buf_add_c(&mail, "From: joe@x.test\nTo: z@x.test");
		for (unsigned j = 1; j < counts[i]; j++)
			pn_buf_addf(&mail, ",u%u@x.test", j);
		pn_buf_add_c(&mail, "\n\n");
		if (counts[i] <= 1000) {
			assert_int_equal(decide(pn_arena_cstr(arena, pn_buf_str(&mail)), ALL, &facts, arena,
			    &d, &err), PN_OK);
			assert_int_equal(d.route_count, counts[i]);
		} else {
			assert_int_equal(decide(pn_arena_cstr(arena, pn_buf_str(&mail)), ALL, &facts, arena,
			    &d, &err), PN_LIMIT);
		}
		pn_buf_done(&mail);
		pn_arena_free(arena);
	}
}

static void
routes_come_in_odoos_order(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct facts facts = { .down = false };
	struct pn_error err = { "" };
	struct pn_decision d;

	(void)state;
	assert_int_equal(decide(TO("unlisted@acme.test, tasks@acme.test, sales@acme.test, members@acme.test"),
	    ALL, &facts, arena, &d, &err), PN_OK);
	assert_int_equal(d.route_count, 4);
	/* by label: "Lead", "Task", and a model without one by its name; then by alias */
	assert_int_equal(d.routes[0].alias->id, 3);
	assert_int_equal(d.routes[1].alias->id, 1);
	assert_int_equal(d.routes[2].alias->id, 2);
	assert_int_equal(d.routes[3].alias->id, 8);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_known_is_a_doubt),
		cmocka_unit_test(trouble_voids_the_decision),
		cmocka_unit_test(routes_have_a_bound),
		cmocka_unit_test(routes_come_in_odoos_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
