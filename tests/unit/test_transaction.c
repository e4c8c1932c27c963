#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/verdict.h"

#define S PN_STR

/* -- two gateways and a mailbox -------------------------------------------------- */

enum { ACME, BETA, KEEP, ONE, GATEWAYS };

static struct pn_domain domains[GATEWAYS] = {
	{ .name = S("acme.test"), .bounce = S("bounce@acme.test"), .catchall = S("catchall@acme.test") },
	{ .name = S("beta.test"), .bounce = S("bounce-b@beta.test"), .catchall = S("all@beta.test") },
	{ .name = S("keep.test"), .bounce = S("bounce@keep.test"), .catchall = S("catchall@keep.test") },
	{ .name = S("one.test"), .bounce = S("bounce@one.test"), .catchall = S("catchall@one.test") },
};

static const struct pn_gateway gateways[GATEWAYS] = {
	{ .name = S("acme"), .target = PN_TARGET_DOMAIN, .target_value = S("acme.odoo.test"),
	    .domains = &domains[ACME], .domain_count = 1 },
	{ .name = S("beta"), .target = PN_TARGET_DOMAIN, .target_value = S("beta.odoo.test"),
	    .domains = &domains[BETA], .domain_count = 1, .bounce_target = S("returns@beta.odoo.test") },
	{ .name = S("keep"), .target = PN_TARGET_KEEP, .domains = &domains[KEEP], .domain_count = 1 },
	{ .name = S("one"), .target = PN_TARGET_ADDRESS, .target_value = S("catchall@one.odoo.test"),
	    .domains = &domains[ONE], .domain_count = 1 },
};

/* An envelope recipient in few words: "a sales@acme.test NOTIFY=SUCCESS"; AS=
 * what the mail server takes it for. */
static struct pn_envelope_rcpt
rcpt(const char *text)
{
	struct pn_str rest = pn_str_c(text), kind, word;
	struct pn_envelope_rcpt out = { .who = { .answer = PN_RCPT_OURS, .kind = PN_RCPT_ALIAS } };

	assert_true(pn_str_split(&rest, ' ', &kind));
	assert_true(pn_str_split(&rest, ' ', &out.raw));
	switch (kind.p[0]) {
	case 'a': out.who.gateway = &gateways[ACME]; break;
	case 'b': out.who.gateway = &gateways[BETA]; break;
	case 'k': out.who.gateway = &gateways[KEEP]; break;
	case '1': out.who.gateway = &gateways[ONE]; break;
	case 'p': out.who = (struct pn_rcpt){ .answer = PN_RCPT_PASS, .kind = PN_RCPT_FOREIGN }; break;
	case 'r': out.who.gateway = &gateways[ACME]; out.who.kind = PN_RCPT_ROLE; break;
	case 'h': out.who.gateway = &gateways[ACME]; out.who.kind = PN_RCPT_ROLE;
		out.who.human = S("boss@people.test"); break;
	case 'K': out.who.gateway = &gateways[KEEP]; out.who.kind = PN_RCPT_RETIRED;
		out.who.successor = S("new@keep.test"); break;
	case 'o': out.who.gateway = &gateways[ACME]; out.who.kind = PN_RCPT_RETIRED;
		out.who.successor = S("new@acme.test"); break;
	default: fail_msg("no such kind of recipient: %s", text);
	}
	while (rest.n > 0 && pn_str_split(&rest, ' ', &word)) {
		if (pn_str_starts(word, S("NOTIFY=")))
			out.notify = pn_str_from(word, 7);
		else if (pn_str_starts(word, S("AS=")))
			out.address = pn_str_from(word, 3);
		else
			out.orcpt = pn_str_from(word, 6);
	}
	return out;
}

static size_t
rcpts(const char *text, struct pn_envelope_rcpt *out, char *copy)
{
	size_t n = 0;

	strncpy(copy, text, 1000);
	for (char *at = copy; at != NULL && at[0] != '\0'; n++) {
		char *end = strstr(at, "; ");

		if (end != NULL)
			*end = '\0';
		out[n] = rcpt(at);
		at = end == NULL ? NULL : end + 2;
	}
	return n;
}

static struct pn_str
written(const struct pn_closing *c, struct pn_arena *arena)
{
	struct pn_strs_builder out = { .arena = arena };

	for (size_t i = 0; i < c->edit_count; i++) {
		const struct pn_edit *e = &c->edits[i];

		switch (e->kind) {
		case PN_EDIT_DELETE_RCPT:
			pn_strs_add(&out, pn_arena_printf(arena, "-" PN_STR_FMT, PN_STR_ARG(e->text)));
			break;
		case PN_EDIT_ADD_RCPT:
			pn_strs_add(&out, pn_arena_printf(arena, "+" PN_STR_FMT "%s" PN_STR_FMT,
			    PN_STR_ARG(e->text), e->args.n > 0 ? " " : "", PN_STR_ARG(e->args)));
			break;
		case PN_EDIT_DELETE_HEADER:
			pn_strs_add(&out, pn_arena_printf(arena, "~" PN_STR_FMT "/%u", PN_STR_ARG(e->name),
			    (unsigned)e->index));
			break;
		case PN_EDIT_ADD_HEADER:
			/* its text is the business of another test */
			pn_strs_add(&out, pn_arena_printf(arena, "^" PN_STR_FMT, PN_STR_ARG(e->name)));
			break;
		case PN_EDIT_INSERT_HEADER:
		case PN_EDIT_CHANGE_HEADER:
		case PN_EDIT_CHANGE_SENDER:
			/* of mail that leaves: test_outbound.c */
			fail_msg("no transaction makes such a change");
			break;
		case PN_EDIT_QUARANTINE:
			pn_strs_add(&out, S("hold"));
			break;
		}
	}
	return pn_strs_join(out.list, S("; "), arena);
}

/* The ORCPT that every moved recipient gets when the client gave none. */
#define O(address) " ORCPT=rfc822;" address
#define OURS "^X-Postern-Route; ^X-Postern-Stamp"

/* -- recipients ---------------------------------------------------------------------- */

struct move {
	const char *name;
	const char *rcpts;
	const char *actions;	/* one letter per gateway: a accept, b bounce, h hand over, d discard,
	    H hold */
	enum pn_action closing;
	const char *edits;
};

static const struct move moves[] = {
	{ "one alias", "a <sales@acme.test>", "a", PN_ACTION_ACCEPT,
	    "+sales@acme.odoo.test" O("sales@acme.test") "; -<sales@acme.test>; " OURS },
	{ "without brackets", "a sales@acme.test", "a", PN_ACTION_ACCEPT,
	    "+sales@acme.odoo.test" O("sales@acme.test") "; -sales@acme.test; " OURS },
	{ "additions before deletions", "a a@acme.test; a b@acme.test", "h", PN_ACTION_ACCEPT,
	    "+a@acme.odoo.test" O("a@acme.test") "; +b@acme.odoo.test" O("b@acme.test")
	    "; -a@acme.test; -b@acme.test; " OURS },
	{ "upper case stays in the deletion", "a <SALES@Acme.test>", "a", PN_ACTION_ACCEPT,
	    "+SALES@acme.odoo.test" O("SALES@Acme.test") "; -<SALES@Acme.test>; " OURS },
	{ "the same twice", "a <sales@acme.test>; a <sales@acme.test>", "a", PN_ACTION_ACCEPT,
	    "+sales@acme.odoo.test" O("sales@acme.test") "; -<sales@acme.test>; " OURS },
	{ "what the client wrote is deleted, what it is taken for redirected",
	    "a sales%acme.test AS=sales@acme.test", "a", PN_ACTION_ACCEPT,
	    "+sales@acme.odoo.test" O("sales%acme.test") "; -sales%acme.test; " OURS },
	{ "two spellings", "a acme.test!sales AS=sales@acme.test; a <sales@acme.test>", "a", PN_ACTION_ACCEPT,
	    "+sales@acme.odoo.test" O("acme.test!sales") "; -acme.test!sales; -<sales@acme.test>; " OURS },
	{ "a spelling that is kept", "k sales%keep.test AS=sales@keep.test", "a", PN_ACTION_ACCEPT,
	    "^X-Postern-Route" },
	{ "the same in another case", "a <sales@acme.test>; a <Sales@acme.test>", "a", PN_ACTION_ACCEPT,
	    "+sales@acme.odoo.test" O("sales@acme.test") "; -<sales@acme.test>; -<Sales@acme.test>; " OURS },
	{ "all to one address", "1 <a@one.test>; 1 <b@one.test>", "a", PN_ACTION_ACCEPT,
	    "+catchall@one.odoo.test" O("a@one.test") "; -<a@one.test>; -<b@one.test>; " OURS },
	{ "bounce", "a <bounce@acme.test>", "b", PN_ACTION_ACCEPT,
	    "+bounce@acme.odoo.test" O("bounce@acme.test") "; -<bounce@acme.test>; " OURS },
	{ "bounce to an alias", "a <sales@acme.test>; a <x@acme.test>", "b", PN_ACTION_ACCEPT,
	    "+bounce@acme.odoo.test" O("sales@acme.test") "; -<sales@acme.test>; -<x@acme.test>; " OURS },
	{ "bounce at the target of an address", "1 <bounce@one.test>", "b", PN_ACTION_ACCEPT,
	    "+bounce@one.odoo.test" O("bounce@one.test") "; -<bounce@one.test>; " OURS },
	{ "configured bounce target", "b <x@beta.test>", "b", PN_ACTION_ACCEPT,
	    "+returns@beta.odoo.test" O("x@beta.test") "; -<x@beta.test>; " OURS },
	{ "keep", "k <sales@keep.test>; k <x@keep.test>", "a", PN_ACTION_ACCEPT, "^X-Postern-Route" },
	{ "keep, retired", "K <old@keep.test>; k <x@keep.test>", "a", PN_ACTION_ACCEPT,
	    "+new@keep.test" O("old@keep.test") "; -<old@keep.test>; ^X-Postern-Route" },
	{ "keep, retired beside its successor", "K <old@keep.test>; k <NEW@keep.test>", "a", PN_ACTION_ACCEPT,
	    "-<old@keep.test>; ^X-Postern-Route" },
	{ "keep a bounce", "k <bounce@keep.test>", "b", PN_ACTION_ACCEPT, "^X-Postern-Route" },
	{ "retired", "o <old@acme.test>", "a", PN_ACTION_ACCEPT,
	    "+new@acme.odoo.test" O("old@acme.test") "; -<old@acme.test>; " OURS },
	{ "retired beside its successor", "o <old@acme.test>; a <new@acme.test>", "a", PN_ACTION_ACCEPT,
	    "+new@acme.odoo.test" O("old@acme.test") "; -<old@acme.test>; -<new@acme.test>; " OURS },
	{ "beside a mailbox", "a <sales@acme.test>; p <joe@acme.test>", "a", PN_ACTION_ACCEPT,
	    "+sales@acme.odoo.test" O("sales@acme.test") "; -<sales@acme.test>; " OURS },
	{ "target is there already", "a <sales@acme.test>; p <Sales@acme.odoo.test>", "a", PN_ACTION_ACCEPT,
	    "-<sales@acme.test>; " OURS },
	{ "two gateways", "a <sales@acme.test>; b <info@beta.test>", "ah", PN_ACTION_ACCEPT,
	    "+sales@acme.odoo.test" O("sales@acme.test") "; +info@beta.odoo.test" O("info@beta.test")
	    "; -<sales@acme.test>; -<info@beta.test>; " OURS "; " OURS },
	{ "one is discarded", "a <sales@acme.test>; b <info@beta.test>", "da", PN_ACTION_ACCEPT,
	    "+info@beta.odoo.test" O("info@beta.test") "; -<sales@acme.test>; -<info@beta.test>; " OURS },
	{ "ours is discarded, a mailbox stays", "a <sales@acme.test>; p <joe@acme.test>", "d",
	    PN_ACTION_ACCEPT, "-<sales@acme.test>" },
	{ "all is discarded", "a <sales@acme.test>; a <x@acme.test>", "d", PN_ACTION_DISCARD, "" },
	{ "all of both is discarded", "a <sales@acme.test>; b <x@beta.test>", "dd", PN_ACTION_DISCARD, "" },
	{ "held", "a <sales@acme.test>", "H", PN_ACTION_HOLD,
	    "+sales@acme.odoo.test" O("sales@acme.test") "; -<sales@acme.test>; " OURS "; hold" },
	{ "role with a person", "h <postmaster@acme.test>", "", PN_ACTION_ACCEPT,
	    "+boss@people.test" O("postmaster@acme.test") "; -<postmaster@acme.test>" },
	{ "role without one", "r <abuse@acme.test>", "", PN_ACTION_ACCEPT,
	    "+abuse@acme.odoo.test" O("abuse@acme.test") "; -<abuse@acme.test>" },
	{ "role outlives a discard", "a <sales@acme.test>; h <postmaster@acme.test>", "d", PN_ACTION_ACCEPT,
	    "+boss@people.test" O("postmaster@acme.test") "; -<sales@acme.test>; -<postmaster@acme.test>" },
	{ "bounces do not catch roles", "a <x@acme.test>; r <abuse@acme.test>", "b", PN_ACTION_ACCEPT,
	    "+bounce@acme.odoo.test" O("x@acme.test") "; +abuse@acme.odoo.test" O("abuse@acme.test")
	    "; -<x@acme.test>; -<abuse@acme.test>; " OURS },
	{ "not ours at all", "p <joe@acme.test>", "", PN_ACTION_ACCEPT, "" },
	{ "quoted local part", "a <\"a b\"@acme.test>", "a", PN_ACTION_ACCEPT, NULL },
	/* NOTIFY and ORCPT */
	{ "NOTIFY and ORCPT kept", "a <s@acme.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@x.test", "a",
	    PN_ACTION_ACCEPT, "+s@acme.odoo.test NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@x.test; "
	    "-<s@acme.test>; " OURS },
	{ "NEVER kept", "a <s@acme.test> NOTIFY=NEVER", "a", PN_ACTION_ACCEPT,
	    "+s@acme.odoo.test NOTIFY=NEVER" O("s@acme.test") "; -<s@acme.test>; " OURS },
	{ "lower case", "a <s@acme.test> NOTIFY=delay", "a", PN_ACTION_ACCEPT,
	    "+s@acme.odoo.test NOTIFY=DELAY" O("s@acme.test") "; -<s@acme.test>; " OURS },
	{ "union", "1 <a@one.test> NOTIFY=SUCCESS ORCPT=rfc822;1@x; 1 <b@one.test> NOTIFY=DELAY "
	    "ORCPT=rfc822;2@x", "a", PN_ACTION_ACCEPT,
	    "+catchall@one.odoo.test NOTIFY=SUCCESS,DELAY ORCPT=rfc822;1@x; -<a@one.test>; -<b@one.test>; "
	    "" OURS },
	{ "union with NEVER", "1 <a@one.test> NOTIFY=NEVER; 1 <b@one.test> NOTIFY=FAILURE", "a",
	    PN_ACTION_ACCEPT, "+catchall@one.odoo.test NOTIFY=FAILURE" O("a@one.test")
	    "; -<a@one.test>; -<b@one.test>; " OURS },
	{ "NEVER twice", "1 <a@one.test> NOTIFY=NEVER; 1 <b@one.test> NOTIFY=NEVER", "a", PN_ACTION_ACCEPT,
	    "+catchall@one.odoo.test NOTIFY=NEVER" O("a@one.test") "; -<a@one.test>; -<b@one.test>; " OURS },
	{ "SUCCESS with nothing asked", "1 <a@one.test> NOTIFY=SUCCESS; 1 <b@one.test>", "a",
	    PN_ACTION_ACCEPT, "+catchall@one.odoo.test NOTIFY=SUCCESS,FAILURE,DELAY" O("a@one.test")
	    "; -<a@one.test>; -<b@one.test>; " OURS },
	{ "NEVER with nothing asked", "1 <a@one.test>; 1 <b@one.test> NOTIFY=NEVER", "a", PN_ACTION_ACCEPT,
	    "+catchall@one.odoo.test NOTIFY=FAILURE,DELAY" O("a@one.test")
	    "; -<a@one.test>; -<b@one.test>; " OURS },
	{ "nothing asked twice", "1 <a@one.test>; 1 <b@one.test>", "a", PN_ACTION_ACCEPT,
	    "+catchall@one.odoo.test" O("a@one.test") "; -<a@one.test>; -<b@one.test>; " OURS },
	{ "xtext", "a <a+b=c@acme.test>", "a", PN_ACTION_ACCEPT,
	    "+a+b=c@acme.odoo.test" O("a+2Bb+3Dc@acme.test") "; -<a+b=c@acme.test>; " OURS },
	{ "no ORCPT beyond ASCII", "a <b\xc3\xbcro@acme.test>", "a", PN_ACTION_ACCEPT,
	    "+b\xc3\xbcro@acme.odoo.test; -<b\xc3\xbcro@acme.test>; " OURS },
};

static struct pn_verdict
verdict_of(char letter, const struct pn_gateway *gateway)
{
	struct pn_verdict v = { .rule = PN_RULE_ALIAS, .gateway = gateway };

	v.action = letter == 'a' || letter == 'b' ? PN_ACTION_ACCEPT : letter == 'h' ? PN_ACTION_HAND_OVER
	    : letter == 'd' ? PN_ACTION_DISCARD : PN_ACTION_HOLD;
	v.to_bounce = letter == 'b';
	return v;
}

/* One verdict per gateway, in the order of their first recipients. */
static size_t
verdicts_of(const struct move *m, const struct pn_transaction *t, struct pn_verdict *out)
{
	size_t n = 0;

	for (size_t i = 0; i < t->rcpt_count; i++) {
		const struct pn_rcpt *who = &t->rcpts[i].who;
		bool seen = who->answer != PN_RCPT_OURS || who->kind == PN_RCPT_ROLE;

		for (size_t j = 0; j < n; j++)
			seen = seen || out[j].gateway == who->gateway;
		if (!seen) {
			out[n] = verdict_of(m->actions[n], who->gateway);
			n++;
		}
	}
	assert_int_equal(n, strlen(m->actions));
	return n;
}

static void
recipients_move(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(moves); i++) {
		const struct move *m = &moves[i];
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_envelope_rcpt list[8];
		char copy[1024] = "";
		struct pn_transaction t = { .rcpts = list, .smtp = true, .hostname = S("mx.test") };
		struct pn_verdict verdicts[8];
		struct pn_closing closing;
		struct pn_str got;
		size_t n;

		if (m->edits == NULL) {
			list[0] = (struct pn_envelope_rcpt){ .raw = S("<\"a b\"@acme.test>"),
			    .who = { .answer = PN_RCPT_OURS, .kind = PN_RCPT_ALIAS,
			    .gateway = &gateways[ACME] } };
			t.rcpt_count = 1;
		} else {
			t.rcpt_count = rcpts(m->rcpts, list, copy);
		}
		n = verdicts_of(m, &t, verdicts);
		closing = pn_transaction_close(&t, verdicts, n, arena);
		got = written(&closing, arena);
		if (closing.action != m->closing)
			fail_msg("%s: %s", m->name, pn_action_name(closing.action));
		if (!pn_str_eq(got, m->edits != NULL ? pn_str_c(m->edits)
		    : S("+\"a b\"@acme.odoo.test ORCPT=rfc822;\"a+20b\"@acme.test; -<\"a b\"@acme.test>; "
		    "" OURS)))
			fail_msg("%s:\n   got " PN_STR_FMT "\n  want %s", m->name, PN_STR_ARG(got), m->edits);
		pn_arena_free(arena);
	}
}

/* -- one reply for all ----------------------------------------------------------------- */

static void
a_refusal_ends_it(void **state)
{
	static const struct { enum pn_action action; const char *code; } refusals[] = {
		{ PN_ACTION_REFUSE, "550" }, { PN_ACTION_DEFER, "451" },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(refusals); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_envelope_rcpt list[] = { rcpt("a <sales@acme.test>"), rcpt("b <x@beta.test>") };
		struct pn_transaction t = { .rcpts = list, .rcpt_count = 2, .smtp = true };
		struct pn_verdict verdicts[] = {
			{ .action = PN_ACTION_ACCEPT, .gateway = &gateways[ACME] },
			{ .action = refusals[i].action, .gateway = &gateways[BETA],
			    .reply = { refusals[i].code, "5.7.1", S("no") } },
		};
		struct pn_closing closing = pn_transaction_close(&t, verdicts, 2, arena);

		assert_int_equal(closing.action, refusals[i].action);
		assert_string_equal(closing.reply.code, refusals[i].code);
		assert_int_equal(closing.edit_count, 0);
		pn_arena_free(arena);
	}
}

struct soft {
	const char *name;
	const char *rcpts;
	bool smtp, automatic;
	enum pn_action action;
	enum pn_rule rule;
	enum pn_action softened;
};

#define ALONE "a <sales@acme.test>; a <x@acme.test>"
#define PEOPLE "a <sales@acme.test>; p <joe@acme.test>"
#define TENANTS "a <sales@acme.test>; b <x@beta.test>"
#define ROLE "a <sales@acme.test>; r <postmaster@acme.test>"
#define SMTP .smtp = true

static const struct soft softs[] = {
	{ "alone", ALONE, SMTP, .action = PN_ACTION_REFUSE, .rule = PN_RULE_NONE,
	    .softened = PN_ACTION_REFUSE },
	{ "alone, deferred", ALONE, SMTP, .action = PN_ACTION_DEFER, .rule = PN_RULE_TWIN,
	    .softened = PN_ACTION_DEFER },
	{ "people", PEOPLE, SMTP, .action = PN_ACTION_REFUSE, .rule = PN_RULE_CATCHALL_DIRECT,
	    .softened = PN_ACTION_HAND_OVER },
	{ "another tenant", TENANTS, SMTP, .action = PN_ACTION_REFUSE, .rule = PN_RULE_NONE,
	    .softened = PN_ACTION_HAND_OVER },
	{ "postmaster", ROLE, SMTP, .action = PN_ACTION_REFUSE, .rule = PN_RULE_NONE,
	    .softened = PN_ACTION_HAND_OVER },
	{ "people, deferred", PEOPLE, SMTP, .action = PN_ACTION_DEFER, .rule = PN_RULE_ALIAS_INVALID,
	    .softened = PN_ACTION_HAND_OVER },
	{ "people, twin", PEOPLE, SMTP, .action = PN_ACTION_DEFER, .rule = PN_RULE_TWIN,
	    .softened = PN_ACTION_HAND_OVER },
	{ "trouble hits all", PEOPLE, SMTP, .action = PN_ACTION_DEFER, .rule = PN_RULE_TROUBLE,
	    .softened = PN_ACTION_DEFER },
	{ "people, loop of a person", PEOPLE, SMTP, .action = PN_ACTION_DEFER, .rule = PN_RULE_LOOP_NEW,
	    .softened = PN_ACTION_HAND_OVER },
	{ "people, automatic loop", PEOPLE, SMTP, .automatic = true, .action = PN_ACTION_REFUSE,
	    .rule = PN_RULE_LOOP_NEW, .softened = PN_ACTION_DISCARD },
	{ "tenants, automatic loop", TENANTS, SMTP, .automatic = true, .action = PN_ACTION_REFUSE,
	    .rule = PN_RULE_LOOP_UPDATE, .softened = PN_ACTION_DISCARD },
	{ "people, automatic, no loop", PEOPLE, SMTP, .automatic = true, .action = PN_ACTION_REFUSE,
	    .rule = PN_RULE_NONE, .softened = PN_ACTION_HAND_OVER },
	{ "alone, automatic loop", ALONE, SMTP, .automatic = true, .action = PN_ACTION_REFUSE,
	    .rule = PN_RULE_LOOP_NEW, .softened = PN_ACTION_REFUSE },
	{ "stamp alone", ALONE, SMTP, .action = PN_ACTION_REFUSE, .rule = PN_RULE_STAMP,
	    .softened = PN_ACTION_REFUSE },
	{ "stamp beside people", PEOPLE, SMTP, .action = PN_ACTION_REFUSE, .rule = PN_RULE_STAMP,
	    .softened = PN_ACTION_DISCARD },
	{ "hold alone", ALONE, SMTP, .action = PN_ACTION_HOLD, .rule = PN_RULE_LOOP_NEW,
	    .softened = PN_ACTION_HOLD },
	{ "hold beside people", PEOPLE, SMTP, .action = PN_ACTION_HOLD, .rule = PN_RULE_LOOP_NEW,
	    .softened = PN_ACTION_HAND_OVER },
	{ "accepted", PEOPLE, SMTP, .action = PN_ACTION_ACCEPT, .rule = PN_RULE_ALIAS,
	    .softened = PN_ACTION_ACCEPT },
	{ "discarded", PEOPLE, SMTP, .action = PN_ACTION_DISCARD, .rule = PN_RULE_LOOP_HEADERS,
	    .softened = PN_ACTION_DISCARD },
	/* sendmail(1): nobody is there to hear a refusal */
	{ "no SMTP", ALONE, .action = PN_ACTION_REFUSE, .rule = PN_RULE_NONE,
	    .softened = PN_ACTION_HAND_OVER },
	{ "no SMTP, deferred", ALONE, .action = PN_ACTION_DEFER, .rule = PN_RULE_TWIN,
	    .softened = PN_ACTION_HAND_OVER },
	{ "no SMTP, trouble", ALONE, .action = PN_ACTION_DEFER, .rule = PN_RULE_TROUBLE,
	    .softened = PN_ACTION_HAND_OVER },
	{ "no SMTP, stamp", ALONE, .action = PN_ACTION_REFUSE, .rule = PN_RULE_STAMP,
	    .softened = PN_ACTION_DISCARD },
	{ "no SMTP, automatic loop", ALONE, .automatic = true, .action = PN_ACTION_REFUSE,
	    .rule = PN_RULE_LOOP_UPDATE, .softened = PN_ACTION_DISCARD },
	{ "no SMTP, hold", ALONE, .action = PN_ACTION_HOLD, .rule = PN_RULE_LOOP_NEW,
	    .softened = PN_ACTION_HOLD },
};

static void
refusals_hit_only_whom_they_concern(void **state)
{
	static const enum pn_mixed both[] = { PN_MIXED_HAND_OVER, PN_MIXED_SEPARATE };

	(void)state;
	for (size_t i = 0; i < 2 * PN_COUNT(softs); i++) {
		const struct soft *s = &softs[i / 2];
		struct pn_envelope_rcpt list[8];
		char copy[1024] = "";
		struct pn_transaction t = { .rcpts = list, .smtp = s->smtp, .mixed = both[i % 2] };
		struct pn_verdict v = {
			.action = s->action, .rule = s->rule, .automatic = s->automatic,
			    .gateway = &gateways[ACME],
			.reply = { "550", "5.7.1", S("no") },
		};

		t.rcpt_count = rcpts(s->rcpts, list, copy);
		v = pn_verdict_soften(&t, v);
		if (v.action != s->softened)
			fail_msg("%s: %s, not %s", s->name, pn_action_name(v.action),
			    pn_action_name(s->softened));
		assert_int_equal(v.rule, s->rule);
	}
}

static void
what_is_mixed(void **state)
{
	static const struct { const char *rcpts; bool for_acme; } table[] = {
		{ ALONE, false }, { PEOPLE, true }, { TENANTS, true }, { ROLE, true },
		{ "p <joe@acme.test>", true }, { "o <old@acme.test>; a <x@acme.test>", false },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(table); i++) {
		struct pn_envelope_rcpt list[8];
		char copy[1024] = "";
		struct pn_transaction t = { .rcpts = list };

		t.rcpt_count = rcpts(table[i].rcpts, list, copy);
		assert_int_equal(pn_transaction_mixed(&t, &gateways[ACME]), table[i].for_acme);
	}
}

/* -- headers ------------------------------------------------------------------------------ */

static void
own_headers_have_three_names(void **state)
{
	static const struct { struct pn_str name; bool own; } table[] = {
		{ S("X-Postern-Relay"), true }, { S("X-Postern-Route"), true }, { S("X-Postern-Stamp"), true },
		{ S("x-postern-STAMP"), true }, { S("X-Postern-Other"), false }, { S("X-Postern-"), false },
		{ S("X-Postern-Stamps"), false }, { S("X-Postern-Stamp "), false }, { S(""), false },
	};
	struct pn_closing closing = pn_closing_flood();

	(void)state;
	for (size_t i = 0; i < PN_COUNT(table); i++)
		if (pn_is_own_header(table[i].name) != table[i].own)
			fail_msg("\"" PN_STR_FMT "\"", PN_STR_ARG(table[i].name));
	assert_int_equal(closing.action, PN_ACTION_REFUSE);
	assert_string_equal(closing.reply.code, "550");
	assert_string_equal(closing.reply.xcode, "5.6.0");
	assert_int_equal(closing.edit_count, 0);
}

static void
own_headers_go_highest_index_first(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct pn_field fields[] = {
		{ S("X-Postern-Stamp"), S(" a/b") }, { S("Subject"), S(" x") }, { S("x-postern-route"),
		    S(" forged") },
		{ S("X-POSTERN-STAMP"), S(" c/d") }, { S("X-Postern-Relay"), S(" smtp:[evil]") },
		    { S("X-Postern-Other"), S("") },
		{ S("X-Postern-Stamp"), S("") },
	};
	struct pn_envelope_rcpt list[] = { rcpt("p <joe@acme.test>") };
	struct pn_transaction t = { .rcpts = list, .rcpt_count = 1, .smtp = true, .fields = { fields,
	    PN_COUNT(fields) } };
	struct pn_closing closing = pn_transaction_close(&t, NULL, 0, arena);
	struct pn_str got = written(&closing, arena);

	(void)state;
	assert_true(pn_str_eq(got, S("~X-Postern-Relay/1; ~X-Postern-Route/1; ~X-Postern-Stamp/3; "
	    "~X-Postern-Stamp/2; " "~X-Postern-Stamp/1")));
	pn_arena_free(arena);
}

static const struct pn_edit *
added(const struct pn_closing *closing, struct pn_str name)
{
	for (size_t i = 0; i < closing->edit_count; i++)
		if (closing->edits[i].kind == PN_EDIT_ADD_HEADER && pn_str_eq(closing->edits[i].name,
		    name))
			return &closing->edits[i];
	return NULL;
}

static void
route_header_names_rule_and_routes(void **state)
{
	static const struct pn_alias alias = { .full = S("sales@acme.test") };
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_route routes[100] = {
		{ .model = S("crm.lead"), .alias = &alias }, { .model = S("project.task"), .thread_id = 42 },
		{ .model = S("mail.x"), .thread_unknown = true, .thread = S("<x@y>") },
	};
	struct pn_decision decision = { .routes = routes, .route_count = 3 };
	struct pn_envelope_rcpt list[] = { rcpt("a <sales@acme.test>") };
	struct pn_transaction t = { .rcpts = list, .rcpt_count = 1, .smtp = true, .hostname = S("mx.test") };
	struct pn_verdict v = { .action = PN_ACTION_ACCEPT, .rule = PN_RULE_ALIAS, .gateway = &gateways[ACME],
		.decision = &decision };
	struct pn_closing closing = pn_transaction_close(&t, &v, 1, arena);
	const struct pn_edit *route = added(&closing, S("X-Postern-Route"));

	(void)state;
	assert_true(pn_str_eq(route->text, S("gateway=acme rule=alias action=accept\n\troute=crm.lead:new "
	    "alias=sales@acme.test\n\troute=project.task:42\n\troute=mail.x:?")));
	assert_true(pn_str_eq(added(&closing, S("X-Postern-Stamp"))->text, S("mx.test/acme")));
	/* beside others: they would learn of its records */
	for (size_t i = 0; i < 3; i++) {
		struct pn_envelope_rcpt two[] = { list[0], rcpt(i == 0 ? "p <joe@acme.test>" : i == 1
		    ? "b <x@beta.test>" : "r <postmaster@acme.test>") };
		struct pn_transaction mixed = { .rcpts = two, .rcpt_count = 2, .smtp = true, .hostname = S("mx.test") };

		closing = pn_transaction_close(&mixed, &v, 1, arena);
		assert_true(pn_str_eq(added(&closing, S("X-Postern-Route"))->text,
		    S("gateway=acme rule=alias action=accept")));
	}
	/* however many routes: the header has an end, and no line of it is empty */
	for (size_t i = 0; i < PN_COUNT(routes); i++)
		routes[i] = (struct pn_route){ .model = S("crm.lead"), .alias = &alias };
	decision.route_count = PN_COUNT(routes);
	closing = pn_transaction_close(&t, &v, 1, arena);
	route = added(&closing, S("X-Postern-Route"));
	assert_true(route->text.n > 100 && route->text.n <= 998);
	assert_false(pn_str_contains(route->text, S("\n\t\n")));
	assert_false(pn_str_ends(route->text, S("\t")) || pn_str_ends(route->text, S("\n")));
	pn_arena_free(arena);
}

static void
stamps_count_for_the_same_host_and_gateway(void **state)
{
	static const struct { const char *value; bool ours; } table[] = {
		{ " mx.test/acme", true }, { " MX.Test/acme\r\n ", true }, { "mx.test/acme", true }, {
		    " mx.test/beta", false },
		{ " other.test/acme", false }, { " mx.test/acme/x", false }, { " mx.test", false }, { "",
		    false }, { "/acme", false },
		{ " mx.test/Acme", false },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(table); i++) {
		struct pn_field fields[] = {
			{ S("Subject"), S("mx.test/acme") }, { S("x-postern-stamp"),
			    pn_str_c(table[i].value) },
		};

		if (pn_stamped((struct pn_fields){ fields, 2 }, S("mx.test"),
		    &gateways[ACME]) != table[i].ours)
			fail_msg("stamp \"%s\"", table[i].value);
	}
}

/* -- Delivered-To ------------------------------------------------------------------------------ */

static void
delivered_to_names_whom_no_header_names(void **state)
{
	static const struct {
		const char *name, *rcpts, *named, *want;
	} table[] = {
		{ "named", "a <sales@acme.test>", "sales@acme.test", "" },
		{ "named in another case", "a <SALES@acme.test>", "Sales@ACME.test", "" },
		{ "Bcc", "a <Sales@Acme.test>", "other@x.test", "sales@acme.test" },
		{ "Bcc with a dot at its end", "a <sales@acme.test.>", "", "sales@acme.test" },
		{ "a dot at its end, named without", "a <sales@acme.test.>", "sales@acme.test", "" },
		{ "a dot at its end, and without", "a <sales@acme.test.>; a <sales@acme.test>", "", "sales@acme.test" },
		{ "no header at all", "a <sales@acme.test>", "", "sales@acme.test" },
		{ "two, one is named", "a <a@acme.test>; a <b@acme.test>", "a@acme.test", "b@acme.test" },
		{ "the same twice", "a <b@acme.test>; a <B@acme.test>", "", "b@acme.test" },
		{ "a spelling", "a sales%acme.test AS=sales@acme.test", "sales@acme.test", "" },
		{ "a spelling, Bcc", "a sales%acme.test AS=Sales@acme.test", "", "sales@acme.test" },
		{ "retired", "o <old@acme.test>", "old@acme.test", "new@acme.test" },
		{ "retired, successor is named", "o <old@acme.test>", "new@acme.test", "" },
		{ "mixed with people", PEOPLE, "", "" },
		{ "mixed with a tenant", TENANTS, "", "" },
		{ "mixed with a role", ROLE, "", "" },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(table); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_envelope_rcpt list[8];
		char copy[1024] = "";
		struct pn_transaction t = { .rcpts = list };
		struct pn_str named = pn_str_c(table[i].named);
		struct pn_message message = { .recipients = { &named, named.n > 0 ? 1 : 0 } };
		struct pn_str got;

		t.rcpt_count = rcpts(table[i].rcpts, list, copy);
		got = pn_strs_join(pn_delivered_to(&t, &gateways[ACME], &message, arena), S(", "), arena);
		if (!pn_str_eq(got, pn_str_c(table[i].want)))
			fail_msg("%s: " PN_STR_FMT, table[i].name, PN_STR_ARG(got));
		pn_arena_free(arena);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_move),
		cmocka_unit_test(a_refusal_ends_it),
		cmocka_unit_test(refusals_hit_only_whom_they_concern),
		cmocka_unit_test(what_is_mixed),
		cmocka_unit_test(own_headers_have_three_names),
		cmocka_unit_test(own_headers_go_highest_index_first),
		cmocka_unit_test(route_header_names_rule_and_routes),
		cmocka_unit_test(stamps_count_for_the_same_host_and_gateway),
		cmocka_unit_test(delivered_to_names_whom_no_header_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
