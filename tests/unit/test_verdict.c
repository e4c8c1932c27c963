#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/verdict.h"

#define S PN_STR

static const struct pn_domain domains[] = {
	{ .name = S("acme.test"), .ascii = S("acme.test"), .bounce = S("bounce@acme.test"),
	    .catchall = S("catchall@acme.test") },
	{ .name = S("beta.test"), .ascii = S("beta.test"), .bounce = S("bounce@beta.test"),
	    .catchall = S("all@beta.test"), .write_to = S("info@beta.test"), .human = S("boss@beta.test") },
	{ .name = S("gamma.test"), .ascii = S("gamma.test"), .bounce = S("bounce@gamma.test"),
	    .catchall = S("catchall@gamma.test"), .human = S("boss@gamma.test") },
};

static const struct pn_alias partners = {
	.full = S("partners@acme.test"), .model = S("crm.lead"), .contact = PN_CONTACT_PARTNERS,
};
static const struct pn_alias followers = {
	.full = S("group@acme.test"), .model = S("crm.lead"), .contact = PN_CONTACT_FOLLOWERS,
};

static const struct pn_notice security[] = { { PN_NOTICE_ALIAS_SECURITY, &partners,
    "error_partners_no_partner" } };
static const struct pn_notice not_following[] = {
	{ PN_NOTICE_ALIAS_SECURITY, &followers, "error_follower_not_following" },
};
static const struct pn_notice invalid[] = { { PN_NOTICE_ALIAS_INVALID, &followers,
    "config_follower_no_record" } };
static const struct pn_notice both[] = {
	{ PN_NOTICE_ALIAS_INVALID, &followers, "config_follower_no_record" },
	{ PN_NOTICE_ALIAS_SECURITY, &partners, "error_partners_no_partner" },
};

/* -- the table of answers: every row, facts known and not known ------------------- */

struct row {
	const char *name;
	enum pn_outcome outcome;
	enum pn_rule rule;
	unsigned doubts;
	const struct pn_notice *notices;
	size_t notice_count;
	/* expected */
	enum pn_action action;
	const char *code, *xcode;	/* NULL: no reply */
	const char *says;		/* part of the reason */
	enum pn_rule told;		/* rule of the verdict; 0 = the same */
	bool unreadable_reject;
};

#define NOTICES(v) .notices = v, .notice_count = PN_COUNT(v)
#define ACCEPT(text) .action = PN_ACTION_ACCEPT, .says = text
#define HAND_OVER(text) .action = PN_ACTION_HAND_OVER, .says = text
#define REFUSE(c, x, text) .action = PN_ACTION_REFUSE, .code = c, .xcode = x, .says = text
#define DEFER(c, x, text) .action = PN_ACTION_DEFER, .code = c, .xcode = x, .says = text
#define DISCARD(text) .action = PN_ACTION_DISCARD, .says = text

static const struct row rows[] = {
	{ "reply", PN_ROUTED, PN_RULE_REPLY, ACCEPT("routed") },
	{ "alias", PN_ROUTED, PN_RULE_ALIAS, ACCEPT("routed") },
	{ "fallback", PN_ROUTED, PN_RULE_FALLBACK, ACCEPT("routed") },
	{ "alias, some refuse", PN_ROUTED, PN_RULE_ALIAS, NOTICES(both), ACCEPT("routed") },
	{ "alias, partner not known", PN_ROUTED, PN_RULE_ALIAS, PN_DOUBT_PARTNER,
	    ACCEPT("not known: partner") },
	{ "reply, record not known", PN_ROUTED, PN_RULE_REPLY, PN_DOUBT_RECORD, ACCEPT("not known: record") },
	{ "bounce", PN_BOUNCE_HANDLED, PN_RULE_IS_BOUNCE, ACCEPT("a bounce") },
	{ "catchall direct", PN_BOUNCED, PN_RULE_CATCHALL_DIRECT, REFUSE("550", "5.7.1",
	    "only takes replies") },
	{ "catchall mixed", PN_BOUNCED, PN_RULE_CATCHALL_MIXED, REFUSE("550", "5.7.1",
	    "only takes replies") },
	{ "catchall direct, thread not known", PN_BOUNCED, PN_RULE_CATCHALL_DIRECT, PN_DOUBT_THREAD,
	    HAND_OVER("perhaps a reply; not known: thread") },
	{ "catchall mixed, thread not known", PN_BOUNCED, PN_RULE_CATCHALL_MIXED, PN_DOUBT_THREAD,
	    HAND_OVER("perhaps a reply") },
	{ "catchall mixed, alias not known", PN_BOUNCED, PN_RULE_CATCHALL_MIXED, PN_DOUBT_ALIAS,
	    HAND_OVER("unknown address; not known: alias") },
	{ "catchall direct, aliases do not matter", PN_BOUNCED, PN_RULE_CATCHALL_DIRECT, PN_DOUBT_ALIAS,
	    REFUSE("550", "5.7.1", "only takes replies") },
	{ "sender refused", PN_BOUNCED, PN_RULE_ALIAS_SECURITY, NOTICES(security),
	    REFUSE("550", "5.7.1", "<partners@acme.test> only takes mail from known contacts") },
	{ "sender does not follow", PN_BOUNCED, PN_RULE_ALIAS_SECURITY, NOTICES(not_following),
	    REFUSE("550", "5.7.1", "<group@acme.test> only takes mail from followers") },
	{ "sender refused, thread not known", PN_BOUNCED, PN_RULE_ALIAS_SECURITY, PN_DOUBT_THREAD,
	    NOTICES(security), HAND_OVER("not known: thread") },
	{ "sender refused, another alias not known", PN_BOUNCED, PN_RULE_ALIAS_SECURITY, PN_DOUBT_ALIAS,
	    NOTICES(security), HAND_OVER("not known: alias") },
	{ "misconfigured", PN_BOUNCED, PN_RULE_ALIAS_INVALID, NOTICES(invalid),
	    DEFER("451", "4.3.5", "<group@acme.test> is misconfigured") },
	{ "misconfigured beside a refusal", PN_BOUNCED, PN_RULE_ALIAS_SECURITY, NOTICES(both),
	    DEFER("451", "4.3.5", "<group@acme.test> is misconfigured") },
	{ "misconfigured, thread not known", PN_BOUNCED, PN_RULE_ALIAS_INVALID, PN_DOUBT_THREAD,
	    NOTICES(invalid), HAND_OVER("not known: thread") },
	{ "misconfigured, another routes", PN_ROUTED, PN_RULE_ALIAS, NOTICES(invalid), ACCEPT("routed") },
	{ "model takes no mail", PN_ERROR, PN_RULE_ROUTE_CHECK, DEFER("451", "4.3.5", "takes no mail") },
	{ "model takes no mail, thread not known", PN_ERROR, PN_RULE_ROUTE_CHECK, PN_DOUBT_THREAD,
	    HAND_OVER("probably fail") },
	{ "answer to a loop notice", PN_DROPPED, PN_RULE_LOOP_HEADERS, DISCARD("answer to a loop notice") },
	{ "duplicate", PN_DROPPED, PN_RULE_DUPLICATE, DISCARD("Message-ID already") },
	{ "no route", PN_NO_ROUTE, PN_RULE_NONE, REFUSE("550", "5.1.1", "no such address") },
	{ "no route, alias not known", PN_NO_ROUTE, PN_RULE_NONE, PN_DOUBT_ALIAS,
	    HAND_OVER("not known: alias"), .told = PN_RULE_UNKNOWN },
	{ "no route, thread not known", PN_NO_ROUTE, PN_RULE_NONE, PN_DOUBT_THREAD,
	    HAND_OVER("not known: thread") },
	{ "no route, both not known", PN_NO_ROUTE, PN_RULE_NONE, PN_DOUBT_THREAD | PN_DOUBT_ALIAS,
	    HAND_OVER("not known: thread,alias"), .told = PN_RULE_UNKNOWN },
	{ "unreadable", PN_ERROR, PN_RULE_PARSE, HAND_OVER("probably fail to read") },
	{ "unreadable, declared", PN_ERROR, PN_RULE_PARSE, REFUSE("550", "5.6.0", "cannot be read"),
	    .unreadable_reject = true },
	{ "record is gone", PN_ERROR, PN_RULE_ROUTING, HAND_OVER("probably fail on it") },
	{ "record is gone, declared", PN_ERROR, PN_RULE_ROUTING, HAND_OVER("probably fail on it"),
	    .unreadable_reject = true },
	{ "unusable parameters", PN_ERROR, PN_RULE_PROCESSING, HAND_OVER("probably fail on it") },
};

static struct pn_gateway
gateway(void)
{
	return (struct pn_gateway){
		.name = S("acme"), .domains = domains, .domain_count = PN_COUNT(domains),
		.loop_person = PN_LOOP_DEFER, .loop_automatic = PN_LOOP_REFUSE,
	};
}

static void
expect_reply(const char *name, const struct pn_verdict *v, const char *code, const char *xcode)
{
	bool refusing = v->action == PN_ACTION_REFUSE || v->action == PN_ACTION_DEFER;

	assert_int_equal(refusing, code != NULL);
	if (code == NULL)
		return;
	if (strcmp(v->reply.code, code) != 0 || strcmp(v->reply.xcode, xcode) != 0)
		fail_msg("%s: %s %s, not %s %s", name, v->reply.code, v->reply.xcode, code, xcode);
	assert_int_equal(code[0], v->action == PN_ACTION_DEFER ? '4' : '5');
	assert_true(v->reply.text.n > 0 && v->reply.text.n < 400);
}

static void
every_row_of_the_table(void **state)
{
	struct pn_str to = S("x@catch.test");
	struct pn_message message = { .to = { &to, 1 } };

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		const struct row *row = &rows[i];
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_gateway g = gateway();
		struct pn_decision d = {
			.outcome = row->outcome, .rule = row->rule, .doubts = row->doubts,
			.notices = (struct pn_notice *)(uintptr_t)row->notices,
			    .notice_count = row->notice_count,
		};
		struct pn_verdict v;

		g.unreadable_reject = row->unreadable_reject;
		v = pn_verdict(&g, &message, &d, arena);
		if (v.action != row->action)
			fail_msg("%s: %s, not %s", row->name, pn_action_name(v.action),
			    pn_action_name(row->action));
		if (!pn_str_contains(v.reason, pn_str_c(row->says)))
			fail_msg("%s: says \"" PN_STR_FMT "\"", row->name, PN_STR_ARG(v.reason));
		if (v.rule != (row->told != PN_RULE_NONE ? row->told : row->rule))
			fail_msg("%s: rule %s", row->name, pn_rule_name(v.rule));
		expect_reply(row->name, &v, row->code, row->xcode);
		assert_int_equal(v.to_bounce, row->outcome == PN_BOUNCE_HANDLED);
		assert_ptr_equal(v.decision, &d);
		assert_ptr_equal(v.gateway, &g);
		assert_int_equal(pn_verdict_admits(&v), row->action == PN_ACTION_ACCEPT
		    || row->action == PN_ACTION_HAND_OVER);
		pn_arena_free(arena);
	}
}

/* -- which address to use ------------------------------------------------------------ */

static void
catchall_names_an_address(void **state)
{
	static const struct {
		const char *to;
		const char *says;
	} asked[] = {
		{ "catchall@acme.test", "<catchall@acme.test> only takes replies to mail you received; "
		    "please write to the " "address of the person" },
		{ "all@beta.test", "<all@beta.test> only takes replies to mail you received; please write "
		    "to <info@beta.test>" },
		{ "ALL@Beta.test", "please write to <info@beta.test> instead" },
		{ "catchall@gamma.test", "please write to <boss@gamma.test> instead" },
		{ "someone@else.test", "<catchall@acme.test> only takes replies" },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(asked); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_gateway g = gateway();
		struct pn_str to = pn_str_c(asked[i].to);
		struct pn_message message = { .to = { &to, 1 } };
		struct pn_decision d = { .outcome = PN_BOUNCED, .rule = PN_RULE_CATCHALL_DIRECT };
		struct pn_verdict v = pn_verdict(&g, &message, &d, arena);

		if (!pn_str_contains(v.reply.text, pn_str_c(asked[i].says)))
			fail_msg("%s: " PN_STR_FMT, asked[i].to, PN_STR_ARG(v.reply.text));
		pn_arena_free(arena);
	}
}

/* -- loops ------------------------------------------------------------------------------ */

static void
loops_are_answered_as_configured(void **state)
{
	static const struct {
		const char *name;
		enum pn_loop_answer person, automatic;
		bool is_automatic;
		enum pn_action action;
		const char *code, *xcode;
	} loops[] = {
		{ "person", PN_LOOP_DEFER, PN_LOOP_REFUSE, false, PN_ACTION_DEFER, "451", "4.7.1" },
		{ "automatic", PN_LOOP_DEFER, PN_LOOP_REFUSE, true, PN_ACTION_REFUSE, "550", "5.4.6" },
		{ "person refused", PN_LOOP_REFUSE, PN_LOOP_DEFER, false, PN_ACTION_REFUSE, "550", "5.4.6" },
		{ "automatic deferred", PN_LOOP_REFUSE, PN_LOOP_DEFER, true, PN_ACTION_DEFER, "451",
		    "4.7.1" },
		{ "person held", PN_LOOP_HOLD, PN_LOOP_REFUSE, false, PN_ACTION_HOLD, NULL, NULL },
		{ "automatic discarded", PN_LOOP_HOLD, PN_LOOP_DISCARD, true, PN_ACTION_DISCARD, NULL, NULL },
	};
	static const enum pn_rule rules[] = { PN_RULE_LOOP_NEW, PN_RULE_LOOP_UPDATE };

	(void)state;
	for (size_t i = 0; i < 2 * PN_COUNT(loops); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_gateway g = gateway();
		struct pn_message message = { .automatic = loops[i / 2].is_automatic };
		struct pn_decision d = { .outcome = PN_LOOP_DETECTED, .rule = rules[i % 2] };
		struct pn_verdict v;

		g.loop_person = loops[i / 2].person;
		g.loop_automatic = loops[i / 2].automatic;
		v = pn_verdict(&g, &message, &d, arena);
		if (v.action != loops[i / 2].action)
			fail_msg("%s: %s", loops[i / 2].name, pn_action_name(v.action));
		expect_reply(loops[i / 2].name, &v, loops[i / 2].code, loops[i / 2].xcode);
		assert_int_equal(v.automatic, loops[i / 2].is_automatic);
		assert_int_equal(v.rule, rules[i % 2]);
		assert_true(v.reason.n > 0);
		assert_false(pn_verdict_admits(&v));
		pn_arena_free(arena);
	}
}

/* -- what happens outside the decision ---------------------------------------------------- */

static void
ready_answers(void **state)
{
	struct pn_gateway g = gateway();
	struct pn_decision d = { .outcome = PN_ROUTED };
	struct pn_verdict v = pn_verdict_twin(&g, &d);

	(void)state;
	assert_int_equal(v.rule, PN_RULE_TWIN);
	expect_reply("twin", &v, "451", "4.7.1");
	v = pn_verdict_trouble(&g, S("disk full"));
	assert_int_equal(v.rule, PN_RULE_TROUBLE);
	expect_reply("trouble", &v, "451", "4.3.0");
	assert_true(pn_str_eq(v.reason, S("disk full")));
	/* what ails us is not told to the world */
	assert_false(pn_str_contains(v.reply.text, S("disk")));
	v = pn_verdict_stamp(&g);
	assert_int_equal(v.rule, PN_RULE_STAMP);
	expect_reply("stamp", &v, "554", "5.4.6");
	v = pn_verdict_hand_over(&g, PN_RULE_LIMIT, S("too much"));
	assert_int_equal(v.rule, PN_RULE_LIMIT);
	assert_int_equal(v.action, PN_ACTION_HAND_OVER);
	assert_true(pn_verdict_admits(&v));
}

static void
unread_mail_has_no_message(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct pn_gateway g = gateway();
	struct pn_decision d = pn_route_unreadable();
	struct pn_verdict v = pn_verdict(&g, NULL, &d, arena);

	(void)state;
	assert_int_equal(v.action, PN_ACTION_HAND_OVER);
	assert_int_equal(v.rule, PN_RULE_PARSE);
	assert_false(v.automatic);
	pn_arena_free(arena);
}

static void
names_of_doubts(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);

	(void)state;
	assert_int_equal(pn_doubts_text(0, arena).n, 0);
	assert_true(pn_str_eq(pn_doubts_text(PN_DOUBT_THREAD | PN_DOUBT_ALIAS | PN_DOUBT_PARTNER | PN_DOUBT_RECORD
	    | PN_DOUBT_READABLE, arena), S("thread,alias,partner,record,readable")));
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_the_table),
		cmocka_unit_test(catchall_names_an_address),
		cmocka_unit_test(loops_are_answered_as_configured),
		cmocka_unit_test(ready_answers),
		cmocka_unit_test(unread_mail_has_no_message),
		cmocka_unit_test(names_of_doubts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
