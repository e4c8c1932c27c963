#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "postern/proof.h"

/* What a gateway asks (require_dmarc), and where the mail goes. */
enum { NO = PN_REQUIRE_DMARC_NO, CONTACTS = PN_REQUIRE_DMARC_CONTACTS, ALL = PN_REQUIRE_DMARC_ALL };
enum to {
	OPEN,			/* an alias that everybody may write to */
	PARTNERS,		/* one for partners */
	PROVEN,			/* an open one that asks for proof itself */
	OPEN_AND_PARTNERS,
	REPLY,			/* a route without an alias */
	UNKNOWN,		/* no route, handed over */
	BROKEN,			/* Odoo would fail on it, handed over */
	UNREAD,			/* no decision */
};

static const struct row {
	const char *name;
	unsigned require;
	enum to to;
	struct pn_proof proof;
	const char *answer;		/* "" = as it was */
} rows[] = {
	{ "proven", ALL, PARTNERS, { .checked = true, .proven = PN_YES, .wanted = PN_UNPROVEN_REFUSE }, "" },
	{ "of our own clients", ALL, PARTNERS, { .proven = PN_YES }, "" },

	{ "nobody asks", NO, PARTNERS, { .checked = true, .proven = PN_NO }, "" },
	{ "contacts, an open alias", CONTACTS, OPEN, { .checked = true, .proven = PN_NO }, "" },
	{ "contacts, partners", CONTACTS, PARTNERS, { .checked = true, .proven = PN_NO }, "550 5.7.1" },
	{ "contacts, one of two", CONTACTS, OPEN_AND_PARTNERS, { .checked = true, .proven = PN_NO }, "550 5.7.1" },
	{ "contacts, a reply", CONTACTS, REPLY, { .checked = true, .proven = PN_NO }, "" },
	{ "contacts, unknown address", CONTACTS, UNKNOWN, { .checked = true, .proven = PN_NO }, "" },
	{ "contacts, not understood", CONTACTS, BROKEN, { .checked = true, .proven = PN_NO }, "550 5.7.1" },
	{ "contacts, not read", CONTACTS, UNREAD, { .checked = true, .proven = PN_NO }, "550 5.7.1" },
	{ "all, an open alias", ALL, OPEN, { .checked = true, .proven = PN_NO }, "550 5.7.1" },
	{ "all, unknown address", ALL, UNKNOWN, { .checked = true, .proven = PN_NO }, "550 5.7.1" },
	{ "all, not read", ALL, UNREAD, { .checked = true, .proven = PN_NO }, "550 5.7.1" },
	{ "an alias asks", NO, PROVEN, { .checked = true, .proven = PN_NO }, "550 5.7.1" },
	{ "no gateway asks, not read", NO, UNREAD, { .checked = true, .proven = PN_NO }, "" },

	{ "asked, not known", ALL, OPEN, { .checked = true }, "" },
	{ "asked, not known, waits", ALL, OPEN, { .checked = true, .defer = true }, "451 4.7.0" },
	{ "asked, not checked", ALL, OPEN, { .proven = PN_NO }, "" },
	{ "asked, not checked, waits", ALL, OPEN, { .proven = PN_NO, .defer = true }, "451 4.7.0" },
	{ "asked, client not known", ALL, OPEN, { .checked = true, .proven = PN_NO, .never_refuse = true,
	    .wanted = PN_UNPROVEN_REFUSE }, "" },
	{ "asked, client not known, DNS either", ALL, OPEN, { .checked = true, .defer = true, .never_refuse = true }, "" },
	{ "not asked, not known", NO, OPEN, { .checked = true, .defer = true }, "" },
	{ "not asked, not checked", NO, OPEN, { .defer = true }, "" },

	{ "wanted", NO, OPEN, { .checked = true, .proven = PN_NO, .wanted = PN_UNPROVEN_REFUSE }, "550 5.7.1" },
	{ "wanted, unknown address", NO, UNKNOWN, { .checked = true, .proven = PN_NO, .wanted = PN_UNPROVEN_REFUSE },
	    "550 5.7.1" },
	{ "wanted, not read", NO, UNREAD, { .checked = true, .proven = PN_NO, .wanted = PN_UNPROVEN_REFUSE }, "550 5.7.1" },
	{ "quarantine", NO, OPEN, { .checked = true, .proven = PN_NO, .wanted = PN_UNPROVEN_HOLD }, "hold" },
	{ "quarantine, and asked", ALL, OPEN, { .checked = true, .proven = PN_NO, .wanted = PN_UNPROVEN_HOLD },
	    "550 5.7.1" },
	{ "perhaps wanted", NO, OPEN, { .checked = true, .wanted = PN_UNPROVEN_REFUSE }, "" },
	{ "perhaps wanted, waits", NO, OPEN, { .checked = true, .wanted = PN_UNPROVEN_REFUSE, .defer = true }, "451 4.7.0" },
};

static const struct pn_alias open_alias = { .full = { "sales@acme.test", 15 } },
	partners = { .full = { "members@acme.test", 17 }, .contact = PN_CONTACT_PARTNERS },
	proven = { .full = { "pay@acme.test", 13 }, .require_dmarc = true };

static const struct pn_decision *
decision_for(enum to to, struct pn_decision *d, struct pn_route routes[2])
{
	*d = (struct pn_decision){ .outcome = PN_ROUTED, .routes = routes, .route_count = 1 };
	routes[0] = (struct pn_route){ .alias = &open_alias };
	routes[1] = (struct pn_route){ .alias = &partners };
	switch (to) {
	case OPEN:
		return d;
	case PARTNERS:
		routes[0].alias = &partners;
		return d;
	case PROVEN:
		routes[0].alias = &proven;
		return d;
	case OPEN_AND_PARTNERS:
		d->route_count = 2;
		return d;
	case REPLY:
		routes[0].alias = NULL;
		return d;
	case UNKNOWN:
		*d = (struct pn_decision){ .outcome = PN_NO_ROUTE, .doubts = PN_DOUBT_ALIAS };
		return d;
	case BROKEN:
		*d = (struct pn_decision){ .outcome = PN_ERROR, .rule = PN_RULE_PARSE };
		return d;
	case UNREAD:
		break;
	}
	return NULL;
}

static const char *
answer_of(const struct pn_verdict *v, struct pn_arena *arena)
{
	if (v->action == PN_ACTION_REFUSE || v->action == PN_ACTION_DEFER)
		return pn_arena_cstr(arena, pn_arena_printf(arena, "%s %s", v->reply.code, v->reply.xcode));
	return v->action == PN_ACTION_HAND_OVER ? "" : pn_action_name(v->action);
}

static void
test_rows(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_gateway gateway = { .require_dmarc = (enum pn_require_dmarc)rows[i].require };
		struct pn_verdict before = { .action = PN_ACTION_HAND_OVER, .rule = PN_RULE_ALIAS, .gateway = &gateway }, after;
		struct pn_route routes[2];
		struct pn_decision d;

		after = pn_verdict_prove(before, decision_for(rows[i].to, &d, routes), &rows[i].proof, arena);
		if (strcmp(answer_of(&after, arena), rows[i].answer) != 0)
			fail_msg("%s: \"%s\", not \"%s\"", rows[i].name, answer_of(&after, arena), rows[i].answer);
		if (after.rule != (rows[i].answer[0] == '\0' ? PN_RULE_ALIAS : PN_RULE_DMARC))
			fail_msg("%s: rule %s", rows[i].name, pn_rule_name(after.rule));
	}
	pn_arena_free(arena);
}

/* What does not pass is not asked. */
static void
test_other_verdicts(void **state)
{
	static const enum pn_action actions[] = { PN_ACTION_REFUSE, PN_ACTION_DEFER, PN_ACTION_DISCARD, PN_ACTION_HOLD };
	const struct pn_proof proof = { .checked = true, .proven = PN_NO, .wanted = PN_UNPROVEN_REFUSE };
	const struct pn_gateway gateway = { .require_dmarc = PN_REQUIRE_DMARC_ALL };
	struct pn_arena *arena = pn_arena_new(1 << 20);

	(void)state;
	for (size_t i = 0; i < PN_COUNT(actions); i++) {
		struct pn_verdict before = { .action = actions[i], .rule = PN_RULE_TWIN, .gateway = &gateway };
		struct pn_verdict after = pn_verdict_prove(before, NULL, &proof, arena);

		assert_int_equal(after.action, before.action);
		assert_int_equal(after.rule, before.rule);
	}
	pn_arena_free(arena);
}

/* The author's domain is named, whatever it holds is the reply's to escape. */
static void
test_text(void **state)
{
	struct pn_proof proof = { .checked = true, .proven = PN_NO, .wanted = PN_UNPROVEN_REFUSE, .author = PN_STR("victim.test") };
	const struct pn_gateway gateway = { .require_dmarc = PN_REQUIRE_DMARC_NO };
	struct pn_verdict pass = { .action = PN_ACTION_ACCEPT, .gateway = &gateway };
	struct pn_arena *arena = pn_arena_new(1 << 20);

	(void)state;
	assert_true(pn_str_contains(pn_verdict_prove(pass, NULL, &proof, arena).reply.text, PN_STR("victim.test")));
	proof.author = PN_STR_EMPTY;
	assert_true(pn_str_contains(pn_verdict_prove(pass, NULL, &proof, arena).reply.text, PN_STR("no author")));
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_other_verdicts),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
