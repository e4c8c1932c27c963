#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/recipient.h"

#define S PN_STR

/* -- a small world: one gateway per policy ----------------------------------- */

enum { HAND_OVER, PASS, REJECT, LIMITED, GATEWAYS };

static struct pn_str limited_allowed[] = { S("elsewhere.test") };
static struct pn_gateway gateways[GATEWAYS];

#define DOMAIN(text, a, policy, person, g) \
	{ \
		.name = S(text), .ascii = S(a), .bounce = S("bounce@" text), .catchall = S("catchall@" text), \
		.default_from = S("notifications@" text), .unknown = policy, .human = S(person), \
		.gateway = &gateways[g], \
	}

/* Ordered by .ascii. */
static const struct pn_domain domains[] = {
	DOMAIN("Capital.test", "capital.test", PN_UNKNOWN_HAND_OVER, "", LIMITED),
	DOMAIN("custom.test", "custom.test", PN_UNKNOWN_HAND_OVER, "boss@people.test", HAND_OVER),
	DOMAIN("limited.test", "limited.test", PN_UNKNOWN_HAND_OVER, "", LIMITED),
	DOMAIN("mixed.test", "mixed.test", PN_UNKNOWN_PASS, "", PASS),
	DOMAIN("strict.test", "strict.test", PN_UNKNOWN_REJECT, "", REJECT),
	DOMAIN("b\xc3\xbc" "cher.test", "xn--bcher-kva.test", PN_UNKNOWN_PASS, "", PASS),
};

static struct pn_domain pass_domains[2], limited_domains[2];

static const struct pn_directory directory = {
	.gateways = gateways, .gateway_count = GATEWAYS, .domains = domains,
	    .domain_count = PN_COUNT(domains),
};

static const struct {
	size_t gateway;
	struct pn_alias alias;
} aliases[] = {
	{ HAND_OVER, { .local = S("sales"), .full = S("sales@custom.test"), .model = S("crm.lead") } },
	{ HAND_OVER, { .local = S("abuse"), .full = S("abuse@custom.test"), .model = S("helpdesk.ticket") } },
	{ HAND_OVER, { .local = S("bounce"), .full = S("bounce@custom.test"), .model = S("crm.lead") } },
	{ HAND_OVER, { .local = S("any"), .full = S("any"), .model = S("project.task"),
	    .incoming_local = true } },
	{ PASS, { .local = S("sales"), .full = S("sales@mixed.test"), .model = S("crm.lead") } },
	{ PASS, { .local = S("buch"), .full = S("buch@b\xc3\xbc" "cher.test"), .model = S("crm.lead") } },
	{ PASS, { .local = S("a-label"), .full = S("a-label@xn--bcher-kva.test"), .model = S("crm.lead") } },
	{ PASS, { .local = S("stra\xc3\x9f" "e"), .full = S("stra\xc3\x9f" "e@mixed.test"),
	    .model = S("m") } },
	{ PASS, { .local = S("\"q\""), .full = S("\"q\"@mixed.test"), .model = S("m"),
	    .incoming_local = true } },
	{ PASS, { .local = S("a@b"), .full = S("a@b@mixed.test"), .model = S("m"), .incoming_local = true } },
	{ LIMITED, { .local = S("any"), .full = S("any@limited.test"), .model = S("m"),
	    .incoming_local = true } },
	{ LIMITED, { .local = S("typed"), .full = S("typed@Capital.test"), .model = S("m") } },
};

static const struct {
	size_t gateway;
	struct pn_str address, successor;
} retired[] = {
	{ HAND_OVER, S("old@custom.test"), S("sales@custom.test") },
	{ PASS, S("old@mixed.test"), S("sales@mixed.test") },
	{ PASS, S("\"r\"@mixed.test"), S("sales@mixed.test") },
	{ REJECT, S("old@strict.test"), S("new@strict.test") },
};

struct world {
	bool complete;
	bool down;
	size_t asked;
	size_t gateway;
};

static enum pn_status
look(struct world *world, struct pn_str key, bool by_local, struct pn_arena *arena, struct pn_aliases *out)
{
	struct pn_alias *row = PN_ARENA_NEW(arena, struct pn_alias);

	world->asked++;
	if (world->down)
		return PN_TEMPFAIL;
	for (size_t i = 0; i < PN_COUNT(aliases); i++) {
		const struct pn_alias *a = &aliases[i].alias;

		if (aliases[i].gateway != world->gateway)
			continue;
		if (by_local ? a->incoming_local && pn_str_eq(a->local, key) : pn_str_eq(a->full, key)) {
			*row = *a;
			*out = (struct pn_aliases){ row, 1 };
			return PN_OK;
		}
	}
	return PN_NOT_FOUND;
}

static enum pn_status
by_full(void *ctx, struct pn_str address, struct pn_arena *arena, struct pn_aliases *out)
{
	return look(ctx, address, false, arena, out);
}

static enum pn_status
by_local(void *ctx, struct pn_str local, struct pn_arena *arena, struct pn_aliases *out)
{
	return look(ctx, local, true, arena, out);
}

static struct pn_alias_source
aliases_of(void *ctx, const struct pn_gateway *gateway)
{
	((struct world *)ctx)->gateway = (size_t)(gateway - gateways);
	return (struct pn_alias_source){ ctx, by_full, by_local };
}

static enum pn_status
retired_of(void *ctx, const struct pn_gateway *gateway, struct pn_str address, struct pn_arena *arena,
    struct pn_str *successor)
{
	(void)arena;
	if (((struct world *)ctx)->down)
		return PN_TEMPFAIL;
	for (size_t i = 0; i < PN_COUNT(retired); i++)
		if (&gateways[retired[i].gateway] == gateway && pn_str_eq(retired[i].address, address)) {
			*successor = retired[i].successor;
			return PN_OK;
		}
	return PN_NOT_FOUND;
}

static bool
is_complete(void *ctx, const struct pn_gateway *gateway)
{
	(void)gateway;
	return ((struct world *)ctx)->complete;
}

static enum pn_status
classify(struct world *world, struct pn_str address, struct pn_arena *arena, struct pn_rcpt *out)
{
	struct pn_recipient_facts facts = { world, aliases_of, retired_of, is_complete };
	struct pn_error err;

	return pn_recipient_classify(&directory, &facts, address, arena, out, &err);
}

static int
setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < GATEWAYS; i++) {
		gateways[i].name = S("g");
		gateways[i].index = i;
	}
	gateways[HAND_OVER].domains = &domains[1];
	gateways[HAND_OVER].domain_count = 1;
	pass_domains[0] = domains[3];
	pass_domains[1] = domains[5];
	gateways[PASS].domains = pass_domains;
	gateways[PASS].domain_count = PN_COUNT(pass_domains);
	gateways[REJECT].domains = &domains[4];
	gateways[REJECT].domain_count = 1;
	limited_domains[0] = domains[2];
	limited_domains[1] = domains[0];
	gateways[LIMITED].domains = limited_domains;
	gateways[LIMITED].domain_count = PN_COUNT(limited_domains);
	gateways[LIMITED].allowed_domains = (struct pn_strs){ limited_allowed, PN_COUNT(limited_allowed) };
	return 0;
}

/* -- who is what -------------------------------------------------------------- */

enum { OURS = PN_RCPT_OURS, GO_ON = PN_RCPT_PASS, NO = PN_RCPT_REJECT };

static const struct {
	const char *name;
	struct pn_str address;
	enum pn_rcpt_kind kind;
	int answer;			/* while the table is complete */
	int learned;			/* and while it is not */
	struct pn_str normal;		/* .address; "" = do not look */
	struct pn_str detail;		/* alias, successor or human, by kind */
} rows[] = {
	{ "alias", S("sales@custom.test"), PN_RCPT_ALIAS, OURS, OURS, S("sales@custom.test"),
	    S("sales@custom.test") },
	{ "angle brackets", S("<sales@custom.test>"), PN_RCPT_ALIAS, OURS, OURS, S("sales@custom.test"),
	    S("sales@custom.test") },
	{ "upper case", S("SALES@CUSTOM.TEST"), PN_RCPT_ALIAS, OURS, OURS, S("sales@custom.test"),
	    S("sales@custom.test") },
	{ "trailing dot", S("sales@custom.test."), PN_RCPT_ALIAS, OURS, OURS, S("sales@custom.test"),
	    S("sales@custom.test") },
	{ "plus tag is another address", S("sales+x@custom.test"), PN_RCPT_UNKNOWN, OURS, OURS, S(""),
	    S("") },
	{ "sub-domain is another domain", S("sales@a.custom.test"), PN_RCPT_FOREIGN, GO_ON, GO_ON,
	    S("sales@a.custom.test"), S("") },
	{ "source route", S("<@a.test,@b.test:sales@custom.test>"), PN_RCPT_ALIAS, OURS, OURS,
	    S("sales@custom.test"), S("sales@custom.test") },
	{ "source route over a literal", S("@[IPv6:::1],@b.test:sales@custom.test"), PN_RCPT_ALIAS, OURS,
	    OURS,
	    S("sales@custom.test"), S("sales@custom.test") },
	{ "source route to a foreigner", S("<@custom.test:joe@else.test>"), PN_RCPT_FOREIGN, GO_ON, GO_ON,
	    S("joe@else.test"), S("") },
	{ "percent hack is a local part", S("sales%custom.test@else.test"), PN_RCPT_FOREIGN, GO_ON, GO_ON,
	    S(""), S("") },
	{ "bounce before an alias of that name", S("Bounce@custom.test"), PN_RCPT_BOUNCE, OURS, OURS,
	    S("bounce@custom.test"), S("") },
	{ "bounce with a tag is none", S("bounce+1@custom.test"), PN_RCPT_UNKNOWN, OURS, OURS, S(""), S("") },
	{ "catchall", S("catchall@mixed.test"), PN_RCPT_CATCHALL, OURS, OURS, S(""), S("") },
	{ "catchall of a strict domain", S("catchall@strict.test"), PN_RCPT_CATCHALL, OURS, OURS, S(""),
	    S("") },
	{ "catchall by its U-label", S("catchall@B\xc3\x9c" "CHER.test"), PN_RCPT_CATCHALL, OURS, OURS,
	    S("catchall@xn--bcher-kva.test"), S("") },
	{ "default from", S("notifications@custom.test"), PN_RCPT_DEFAULT_FROM, OURS, OURS, S(""), S("") },
	{ "left part, own domain", S("any@custom.test"), PN_RCPT_ALIAS, OURS, OURS, S(""), S("any") },
	{ "left part, of another gateway", S("any@mixed.test"), PN_RCPT_UNKNOWN, GO_ON, GO_ON, S(""), S("") },
	{ "left part of an alias that does not allow it", S("buch@mixed.test"), PN_RCPT_UNKNOWN, GO_ON, GO_ON,
	    S(""), S("") },
	{ "retired", S("OLD@custom.test"), PN_RCPT_RETIRED, OURS, OURS, S("old@custom.test"),
	    S("sales@custom.test") },
	{ "retired in a mixed domain", S("old@mixed.test"), PN_RCPT_RETIRED, OURS, OURS, S(""),
	    S("sales@mixed.test") },
	{ "retired in a strict domain", S("old@strict.test"), PN_RCPT_RETIRED, OURS, OURS, S(""),
	    S("new@strict.test") },
	{ "unknown, hand over", S("nobody@custom.test"), PN_RCPT_UNKNOWN, OURS, OURS, S(""), S("") },
	{ "unknown, pass", S("joe@mixed.test"), PN_RCPT_UNKNOWN, GO_ON, GO_ON, S(""), S("") },
	{ "unknown, reject", S("nobody@strict.test"), PN_RCPT_UNKNOWN, NO, OURS, S(""), S("") },
	{ "foreign", S("joe@else.test"), PN_RCPT_FOREIGN, GO_ON, GO_ON, S("joe@else.test"), S("") },
	{ "domain literal", S("joe@[192.0.2.1]"), PN_RCPT_FOREIGN, GO_ON, GO_ON, S(""), S("") },
	{ "postmaster, somebody configured", S("PostMaster@custom.test"), PN_RCPT_ROLE, OURS, OURS, S(""),
	    S("boss@people.test") },
	{ "abuse is an alias", S("Abuse@custom.test"), PN_RCPT_ALIAS, OURS, OURS, S(""),
	    S("abuse@custom.test") },
	{ "postmaster of a mixed domain", S("postmaster@mixed.test"), PN_RCPT_ROLE, GO_ON, GO_ON, S(""),
	    S("") },
	{ "postmaster of a strict domain", S("postmaster@strict.test"), PN_RCPT_ROLE, OURS, OURS, S(""),
	    S("") },
	{ "abuse of a strict domain", S("ABUSE@strict.test"), PN_RCPT_ROLE, OURS, OURS, S(""), S("") },
	{ "quoted postmaster", S("\"Postmaster\"@strict.test"), PN_RCPT_ROLE, OURS, OURS, S(""), S("") },
	{ "bare postmaster", S("<Postmaster>"), PN_RCPT_FOREIGN, GO_ON, GO_ON, S("postmaster"), S("") },
	{ "postmaster of a foreigner", S("postmaster@else.test"), PN_RCPT_FOREIGN, GO_ON, GO_ON, S(""),
	    S("") },
	{ "quoted alias never matches", S("\"sales\"@custom.test"), PN_RCPT_UNKNOWN, OURS, OURS, S(""),
	    S("") },
	{ "quoted catchall never matches", S("\"catchall\"@mixed.test"), PN_RCPT_UNKNOWN, GO_ON, GO_ON, S(""),
	    S("") },
	{ "quoted, though a table has it", S("\"q\"@mixed.test"), PN_RCPT_UNKNOWN, GO_ON, GO_ON, S(""),
	    S("") },
	{ "two @, though a table has it", S("a@b@mixed.test"), PN_RCPT_UNKNOWN, GO_ON, GO_ON, S(""), S("") },
	{ "quoted, though a table of retired ones has it", S("\"r\"@mixed.test"), PN_RCPT_UNKNOWN, GO_ON,
	    GO_ON,
	    S(""), S("") },
	{ "quoted with a blank", S("\"x y\"@custom.test"), PN_RCPT_UNKNOWN, OURS, OURS,
	    S("\"x y\"@custom.test"), S("") },
	{ "quoted @", S("\"sales@custom.test\"@else.test"), PN_RCPT_FOREIGN, GO_ON, GO_ON, S(""), S("") },
	{ "@ without its quotes", S("any@x@custom.test"), PN_RCPT_UNKNOWN, OURS, OURS, S(""), S("") },
	{ "NUL does not end a name", S("sales\0x@custom.test"), PN_RCPT_UNKNOWN, OURS, OURS,
	    S("sales\0x@custom.test"),
	    S("") },
	{ "broken UTF-8", S("sales\xff@custom.test"), PN_RCPT_UNKNOWN, OURS, OURS, S(""), S("") },
	{ "SMTPUTF8 local part in capitals", S("STRA\xe1\xba\x9e" "E@mixed.test"), PN_RCPT_ALIAS, OURS, OURS,
	    S(""),
	    S("stra\xc3\x9f" "e@mixed.test") },
	{ "U-label asked, U-label stored", S("buch@b\xc3\xbc" "cher.test"), PN_RCPT_ALIAS, OURS, OURS,
	    S("buch@xn--bcher-kva.test"), S("buch@b\xc3\xbc" "cher.test") },
	{ "A-label asked, U-label stored", S("buch@XN--bcher-kva.test"), PN_RCPT_ALIAS, OURS, OURS, S(""),
	    S("buch@b\xc3\xbc" "cher.test") },
	{ "U-label asked, A-label stored", S("a-label@b\xc3\xbc" "cher.test"), PN_RCPT_ALIAS, OURS, OURS,
	    S(""),
	    S("a-label@xn--bcher-kva.test") },
	{ "left part, restricted, own domain", S("any@limited.test"), PN_RCPT_ALIAS, OURS, OURS, S(""),
	    S("any@limited.test") },
	{ "left part, restricted, domain typed in capitals", S("any@capital.test"), PN_RCPT_UNKNOWN, OURS,
	    OURS,
	    S(""), S("") },
	{ "full name of a domain typed in capitals", S("typed@capital.test"), PN_RCPT_UNKNOWN, OURS, OURS,
	    S(""), S("") },
};

static struct pn_str
detail(const struct pn_rcpt *rcpt)
{
	return rcpt->kind == PN_RCPT_ALIAS ? rcpt->alias : rcpt->kind == PN_RCPT_RETIRED ? rcpt->successor
	    : rcpt->human;
}

static void
check_row(size_t i, bool complete)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct world world = { .complete = complete };
	struct pn_rcpt rcpt;
	enum pn_status st = classify(&world, rows[i].address, arena, &rcpt);

	if (st != PN_OK)
		fail_msg("%s: %s", rows[i].name, pn_status_name(st));
	if (rcpt.kind != rows[i].kind || (int)rcpt.answer != (complete ? rows[i].answer : rows[i].learned))
		fail_msg("%s (%s): %s, answer %d", rows[i].name, complete ? "complete" : "learned",
		    pn_rcpt_kind_name(rcpt.kind), (int)rcpt.answer);
	if (rows[i].normal.n > 0 && !pn_str_eq(rcpt.address, rows[i].normal))
		fail_msg("%s: address " PN_STR_FMT, rows[i].name, PN_STR_ARG(rcpt.address));
	if (!pn_str_eq(detail(&rcpt), rows[i].detail))
		fail_msg("%s: \"" PN_STR_FMT "\"", rows[i].name, PN_STR_ARG(detail(&rcpt)));
	if ((rcpt.domain == NULL) != (rcpt.kind == PN_RCPT_FOREIGN) || (rcpt.domain != NULL
	    && rcpt.gateway != rcpt.domain->gateway) || (rcpt.kind == PN_RCPT_ALIAS) != (rcpt.model.n > 0))
		fail_msg("%s: domain, gateway or model", rows[i].name);
	if (rcpt.kind == PN_RCPT_FOREIGN && world.asked > 0)
		fail_msg("%s: the directory was asked about a foreigner", rows[i].name);
	pn_arena_free(arena);
}

static void
test_kinds_and_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		check_row(i, true);
		check_row(i, false);
	}
}

static const struct {
	const char *name;
	struct pn_str address;
} no_addresses[] = {
	{ "null sender", S("<>") },
	{ "nothing", S("") },
	{ "no domain", S("sales") },
	{ "no local part", S("@custom.test") },
	{ "route that leads nowhere", S("<@custom.test>") },
	{ "empty domain", S("sales@") },
	{ "blank in the domain", S("sales@custom .test") },
	{ "empty label", S("sales@custom..test") },
	{ "NUL in the domain", S("sales@custom.test\0.else.test") },
	{ "quote that swallows the domain", S("\"sales@custom.test\"") },
	{ "broken UTF-8 in the domain", S("sales@\xff.test") },
};

static void
test_no_address(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(no_addresses); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct world world = { .complete = true };
		struct pn_rcpt rcpt;
		enum pn_status st = classify(&world, no_addresses[i].address, arena, &rcpt);

		if (st != PN_INVALID)
			fail_msg("%s: %s", no_addresses[i].name, pn_status_name(st));
		pn_arena_free(arena);
	}
}

static void
test_unreadable_directory_is_no_answer(void **state)
{
	static const struct pn_str asked[] = { S("sales@custom.test"), S("nobody@strict.test"),
	    S("joe@mixed.test"),
		S("postmaster@custom.test"), S("old@custom.test") };
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct world world = { .complete = true, .down = true };
	struct pn_rcpt rcpt;

	(void)state;
	for (size_t i = 0; i < PN_COUNT(asked); i++)
		assert_int_equal(classify(&world, asked[i], arena, &rcpt), PN_TEMPFAIL);
	/* What needs no table is still known. */
	assert_int_equal(classify(&world, S("bounce@custom.test"), arena, &rcpt), PN_OK);
	assert_int_equal(classify(&world, S("joe@else.test"), arena, &rcpt), PN_OK);
	pn_arena_free(arena);
}

static void
test_error_text_has_the_gateway(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct world world = { .down = true };
	struct pn_recipient_facts facts = { &world, aliases_of, retired_of, is_complete };
	struct pn_error err = { "" };
	struct pn_rcpt rcpt;

	(void)state;
	assert_int_equal(pn_recipient_classify(&directory, &facts, S("sales@custom.test"), arena, &rcpt,
	    &err),
	    PN_TEMPFAIL);
	assert_string_equal(err.text, "the alias table of gateway \"g\" cannot be read now");
	pn_arena_free(arena);
}

static void
test_long_addresses_end(void **state)
{
	enum { LONG = 1 << 20 };
	static const struct pn_str tails[] = { S("@custom.test"), S("@a:"), S(""), S("@a.custom.test") };
	char *text = malloc(LONG + 32);
	static const char fills[] = { 'a', '@', '"', ':', '[', '.', (char)0xff };

	(void)state;
	for (size_t f = 0; f < sizeof(fills); f++)
		for (size_t t = 0; t < PN_COUNT(tails); t++) {
			struct pn_arena *arena = pn_arena_new(LONG);
			struct world world = { .complete = true };
			struct pn_rcpt rcpt = { 0 };
			enum pn_status st;

			memset(text, fills[f], LONG);
			memcpy(text + LONG, tails[t].p, tails[t].n);
			st = classify(&world, pn_str_n(text, LONG + tails[t].n), arena, &rcpt);
			assert_true(st == PN_INVALID || (st == PN_OK && rcpt.kind != PN_RCPT_ALIAS));
			pn_arena_free(arena);
		}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds_and_answers),
		cmocka_unit_test(test_no_address),
		cmocka_unit_test(test_unreadable_directory_is_no_answer),
		cmocka_unit_test(test_error_text_has_the_gateway),
		cmocka_unit_test(test_long_addresses_end),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
