#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/relay.h"

#define S PN_STR
#define N S("notifications@acme.example")

static struct pn_str shop_users[] = { S("shop"), S("erp") };

enum { ACME, CEO, NOTIFY, OPEN, NEWS, OTHER, ANN, GONE, BETA, BOTH, MINE };
static const struct pn_relay all[] = {
	[ACME] = { .name = S("acme"), .from_filter = S("acme.example"), .active = true },
	[CEO] = { .name = S("ceo"), .from_filter = S("X <ceo@acme.example> , Boss@ACME.example"),
	    .active = true },
	[NOTIFY] = { .name = S("notify"), .from_filter = S("notifications@acme.example"), .active = true },
	[OPEN] = { .name = S("open"), .from_filter = S(""), .active = true },
	[NEWS] = { .name = S("news"), .from_filter = S("news.example"), .active = true,
	    .mass_mailing = true },
	[OTHER] = { .name = S("other"), .from_filter = S("other.example"), .active = true,
	    .sasl_users = { shop_users, 2 } },
	[ANN] = { .name = S("ann"), .from_filter = S("ann@acme.example"), .active = true, .owner = S("ann") },
	[GONE] = { .name = S("gone"), .from_filter = S("gone.example"), .active = false },
	[BETA] = { .name = S("beta"), .from_filter = S("acme.example"), .gateway = S("beta"),
	    .active = true },
	[BOTH] = { .name = S("both"), .from_filter = S("acme.example,joe@acme.example"), .active = true },
	[MINE] = { .name = S("mine"), .from_filter = S("x.example"), .active = true, .mass_mailing = true,
	    .owner = S("ann") },
};

/* "acme open" as a table. */
static struct pn_relays
relays_of(const char *names, struct pn_arena *arena)
{
	struct pn_relay *v = PN_ARENA_ARRAY(arena, struct pn_relay, PN_COUNT(all));
	struct pn_str rest = pn_str_c(names), name;
	size_t n = 0;

	while (rest.n > 0 && pn_str_split(&rest, ' ', &name)) {
		const struct pn_relay *relay = pn_relay_named((struct pn_relays){ all, PN_COUNT(all) }, name);

		assert_non_null(relay);
		v[n] = *relay;
		v[n].index = n;
		n++;
	}
	return (struct pn_relays){ v, n };
}

/* Relays that are not open: "acme" spent, "acme:7" spent until 7, "!acme" down. */
static enum pn_status
ask(void *ctx, const struct pn_relay *relay, uint64_t recipients, struct pn_arena *arena,
    struct pn_relay_status *out, struct pn_error *err)
{
	struct pn_str rest = pn_str_c(ctx), word;

	(void)recipients;
	(void)arena;
	*out = (struct pn_relay_status){ .state = PN_RELAY_OPEN };
	while (pn_str_split(&rest, ' ', &word)) {
		bool down = pn_str_starts(word, S("!"));
		struct pn_str bare = pn_str_from(word, down);
		struct pn_str name = pn_str_head(bare, pn_str_find(bare, ':'));
		uint64_t until = 0;

		if (pn_str_eq(word, S("?")))
			return pn_fail(err, PN_TEMPFAIL, "no state");
		if (!pn_str_eq(name, relay->name))
			continue;
		if (pn_str_find(word, ':') != PN_STR_NONE)
			assert_true(pn_str_to_u64(pn_str_from(word, pn_str_find(word, ':') + 1), 99, &until));
		*out = (struct pn_relay_status){
			.state = down ? PN_RELAY_DOWN : PN_RELAY_SPENT, .until_ms = (int64_t)until,
		};
	}
	return PN_OK;
}

/* -- the first ------------------------------------------------------------------ */

static const struct {
	const char *name, *relays, *from, *notification, *user;
	const char *want;		/* the first: relay step sender, and ! for a warning; "" = none */
} finds[] = {
	{ "1a: the address", "acme ceo", "\"CEO\" <CEO@acme.example>", "n@x.example", "",
	    "ceo from_address \"CEO\" <CEO@acme.example>" },
	{ "1a: an entry with a name, in another case", "ceo", "boss@acme.example", "", "",
	    "ceo from_address boss@acme.example" },
	{ "1a before 1b, whatever the order", "acme open ceo", "ceo@acme.example", "", "",
	    "ceo from_address ceo@acme.example" },
	{ "1b: the domain", "open acme", "joe@ACME.example", "n@x.example", "",
	    "acme from_domain joe@ACME.example" },
	{ "no subdomains", "acme other", "joe@sub.acme.example", "", "", "acme any joe@sub.acme.example !" },
	{ "2a: the notification address", "acme notify open", "joe@x.example", "notifications@acme.example", "",
	    "notify notification_address notifications@acme.example" },
	{ "2b: its domain", "open acme", "joe@x.example", "notifications@acme.example", "",
	    "acme notification_domain notifications@acme.example" },
	{ "3: no filter", "other open", "joe@x.example", "n@y.example", "", "open no_filter n@y.example" },
	{ "3: without a notification address", "other open", "joe@x.example", "", "",
	    "open no_filter joe@x.example" },
	{ "4: any", "other acme", "joe@x.example", "n@y.example", "", "other any n@y.example !" },
	{ "several addresses: not by From", "acme open", "a@acme.example, b@acme.example", "", "",
	    "open no_filter a@acme.example, b@acme.example" },
	{ "no From", "acme open", "", "n@acme.example", "", "acme notification_domain n@acme.example" },
	{ "nothing known of the mail", "acme open", "", "", "", "open no_filter " },
	{ "archived", "gone acme", "joe@gone.example", "", "", "acme any joe@gone.example !" },
	{ "personal, of the user", "acme ann", "ann@acme.example", "", "ann",
	    "ann from_address ann@acme.example" },
	{ "personal, of another", "acme ann", "ann@acme.example", "", "bob",
	    "acme from_domain ann@acme.example" },
	{ "personal is no last resort", "ann", "joe@x.example", "", "ann", "" },
	{ "personal is nobody's notification server", "ann open", "joe@x.example", "ann@acme.example", "ann",
	    "open no_filter ann@acme.example" },
};

static void
finds_as_odoo(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(finds); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct pn_relay_request request = {
			.question = {
				.relays = relays_of(finds[i].relays, arena),
				.email_from = pn_str_c(finds[i].from),
				.notification = pn_str_c(finds[i].notification),
				.user = pn_str_c(finds[i].user),
			},
			.rewrite = true,
			.states = { (void *)(uintptr_t)"", ask },
		};
		struct pn_relay_choice choice;
		struct pn_str have = PN_STR_EMPTY;

		assert_int_equal(pn_relay_choose(&request, arena, &choice, NULL), PN_OK);
		if (choice.n > 0)
			have = pn_arena_printf(arena, PN_STR_FMT " %s " PN_STR_FMT "%s", PN_STR_ARG(choice.v[0].relay->name),
			    pn_relay_step_name(choice.v[0].step), PN_STR_ARG(choice.v[0].sender), choice.warning ? " !" : "");
		if (!pn_str_eq(have, pn_str_c(finds[i].want)))
			fail_msg("%s: " PN_STR_FMT, finds[i].name, PN_STR_ARG(have));
		pn_arena_free(arena);
	}
}

static void
filters_are_read_as_odoo_does(void **state)
{
	static const struct {
		const char *filter;
		bool by_domain;
	} rows[] = {
		{ "acme.example", true }, { " acme.example ", true }, { ",acme.example", true },
		{ "x.example,ACME.example", true }, { "a@x.example, acme.example", true },
		{ "@acme.example", false }, { "*@acme.example", false }, { "*.acme.example", false },
		{ ".acme.example", false }, { "example", false }, { "acme.example.", false },
		{ "acme.example;x.example", false }, { " ", false }, { ",", false },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct pn_relay relay = { .name = S("r"), .active = true,
		    .from_filter = pn_str_c(rows[i].filter) };
		struct pn_relay_request request = {
			.question = { .relays = { &relay, 1 }, .email_from = S("joe@acme.example") },
			.rewrite = true, .states = { (void *)(uintptr_t)"", ask },
		};
		struct pn_relay_choice choice;

		assert_int_equal(pn_relay_choose(&request, arena, &choice, NULL), PN_OK);
		assert_int_equal(choice.n, 1);
		if (choice.v[0].step != (rows[i].by_domain ? PN_RELAY_FROM_DOMAIN : PN_RELAY_ANY))
			fail_msg("\"%s\": %s", rows[i].filter, pn_relay_step_name(choice.v[0].step));
		pn_arena_free(arena);
	}
}

/* -- all of them --------------------------------------------------------------------- */

enum { MASS = 1, NO_REWRITE = 2, BY_LOGIN = 4 };

static const struct {
	const char *name, *relays, *from, *user;
	unsigned how;
	const char *closed;
	/* name:step..., * the chosen, ~ the first that opens, % From replaced; ! warning */
	const char *want;
} choices[] = {
	{ "1a, 1b, then without filter", "open acme ceo other", "ceo@acme.example", "", 0, "",
	    "ceo:from_address* acme:from_domain open:no_filter%" },
	{ "spent: the next of the group", "open acme ceo", "ceo@acme.example", "", 0, "ceo",
	    "ceo:from_address acme:from_domain* open:no_filter%" },
	{ "down: likewise", "open acme ceo", "ceo@acme.example", "", 0, "!ceo acme",
	    "ceo:from_address acme:from_domain open:no_filter*%" },
	{ "never one that may not carry it", "acme other notify", "joe@acme.example", "", 0, "acme",
	    "acme:from_domain~" },
	{ "2a, 2b, then without filter", "open acme notify other", "joe@x.example", "", 0, "",
	    "notify:notification_address*% acme:notification_domain% open:no_filter%" },
	{ "twice in a filter, once a candidate", "both", "joe@acme.example", "", 0, "",
	    "both:from_address*" },
	{ "without filter only", "other open", "joe@x.example", "", 0, "", "open:no_filter*%" },
	{ "any, in order", "other ceo", "joe@x.example", "", 0, "other", "other:any% ceo:any*% !" },
	{ "no relay", "", "joe@x.example", "", 0, "", "" },
	{ "equal relays in their order", "acme acme", "joe@acme.example", "", 0, "",
	    "acme:from_domain* acme:from_domain" },
	{ "all closed: the first that opens", "acme ceo", "ceo@acme.example", "", 0, "ceo:9 !acme:7",
	    "ceo:from_address acme:from_domain~" },
	{ "all closed: a known time before none", "acme ceo", "ceo@acme.example", "", 0, "ceo !acme:7",
	    "ceo:from_address acme:from_domain~" },
	{ "all closed at once: the first", "acme ceo", "ceo@acme.example", "", 0, "ceo:7 acme:7",
	    "ceo:from_address~ acme:from_domain" },
	{ "From stays: by From", "open acme", "joe@acme.example", "", NO_REWRITE, "",
	    "acme:from_domain* open:no_filter" },
	{ "From stays: without filter", "acme open", "joe@x.example", "", NO_REWRITE, "", "open:no_filter*" },
	{ "From stays: nobody", "acme notify", "joe@x.example", "", NO_REWRITE, "", "" },
	{ "ordinary mail by a mass relay's filter", "news acme", "joe@news.example", "", 0, "",
	    "news:from_domain*" },
	{ "ordinary mail by no other way", "news", "joe@x.example", "", 0, "", "" },
	{ "mass mailing only by mass relays", "acme open news", "joe@acme.example", "", MASS, "",
	    "news:forced*" },
	{ "mass mailing by a filter", "acme news", "joe@news.example", "", MASS, "", "news:from_domain*" },
	{ "a spent mass relay spends no other", "acme open news", "joe@acme.example", "", MASS, "news",
	    "news:forced~" },
	{ "mass mailing without mass relay", "acme open", "joe@acme.example", "", MASS, "",
	    "acme:from_domain* open:no_filter%" },
	{ "mass mailing, and a mass relay that is personal", "mine acme", "joe@acme.example", "ann", MASS, "",
	    "acme:from_domain*" },
	{ "personal", "acme ann open", "ann@acme.example", "ann", 0, "",
	    "ann:from_address* acme:from_domain open:no_filter%" },
	{ "personal, of another", "ann open", "ann@acme.example", "bob", 0, "", "open:no_filter*%" },
	{ "by login", "acme other open", "joe@acme.example", "erp", BY_LOGIN, "", "other:user*" },
	{ "a login without a relay", "acme other", "joe@acme.example", "ann", BY_LOGIN, "",
	    "acme:from_domain*" },
	{ "a login does not matter in the milter", "acme other", "joe@acme.example", "erp", 0, "",
	    "acme:from_domain*" },
	{ "archived", "gone acme", "joe@gone.example", "", NO_REWRITE, "", "" },
	{ "a From that cannot be read again has no domain", "acme ceo", "x.example@\"(;@acme.example)", "",
	    NO_REWRITE,
	    "", "" },
};

static struct pn_str
told(const struct pn_relay_choice *c, struct pn_str from, struct pn_arena *arena)
{
	struct pn_strs_builder out = { .arena = arena };

	for (size_t i = 0; i < c->n; i++) {
		const struct pn_relay_candidate *one = &c->v[i];
		const char *mark = i == c->chosen ? "*" : c->chosen == c->n && i == c->opens_first ? "~" : "";

		pn_strs_add(&out, pn_arena_printf(arena, PN_STR_FMT ":%s%s%s", PN_STR_ARG(one->relay->name),
		    pn_relay_step_name(one->step), mark, pn_str_eq(one->sender, from) ? "" : "%"));
		assert_true(pn_str_eq(one->sender, from) || pn_str_eq(one->sender, N));
	}
	if (c->warning)
		pn_strs_add(&out, S("!"));
	return pn_strs_join(out.list, S(" "), arena);
}

static void
chooses(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(choices); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct pn_relay_request request = {
			.question = {
				.relays = relays_of(choices[i].relays, arena),
				.email_from = pn_str_c(choices[i].from),
				.notification = N,
				.user = pn_str_c(choices[i].user),
			},
			.recipients = 1,
			.mass_mailing = choices[i].how & MASS,
			.rewrite = !(choices[i].how & NO_REWRITE),
			.by_login = choices[i].how & BY_LOGIN,
			.states = { (void *)(uintptr_t)choices[i].closed, ask },
		};
		struct pn_relay_choice choice;
		struct pn_str have;

		assert_int_equal(pn_relay_choose(&request, arena, &choice, NULL), PN_OK);
		have = told(&choice, request.question.email_from, arena);
		if (!pn_str_eq(have, pn_str_c(choices[i].want)))
			fail_msg("%s: " PN_STR_FMT, choices[i].name, PN_STR_ARG(have));
		assert_false(choice.limited_per_message);
		pn_arena_free(arena);
	}
}

static void
other_gateways_have_their_own(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_relay_request request = {
		.question = { .relays = relays_of("beta acme", arena), .gateway = S("acme"),
		    .email_from = S("joe@acme.example") },
		.states = { (void *)(uintptr_t)"", ask },
	};
	struct pn_relay_choice choice;

	(void)state;
	assert_int_equal(pn_relay_choose(&request, arena, &choice, NULL), PN_OK);
	assert_int_equal(choice.n, 1);
	assert_true(pn_str_eq(choice.v[0].relay->name, S("acme")));
	request.question.gateway = S("beta");
	assert_int_equal(pn_relay_choose(&request, arena, &choice, NULL), PN_OK);
	assert_int_equal(choice.n, 2);
	pn_arena_free(arena);
}

static void
limits_per_message(void **state)
{
	static const struct {
		const char *name;
		uint64_t first, second, recipients;	/* 0: no such limit */
		size_t chosen;
		bool limited;
	} rows[] = {
		{ "fits", 50, 0, 50, 0, false },
		{ "more than its day", 2000, 0, 1001, 1, false },
		{ "one too many", 50, 0, 51, 1, false },
		{ "too many for both", 50, 60, 61, 2, true },
		{ "no limit per message", 0, 0, 1000, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct pn_relay relays[2] = {
			{ .name = S("a"), .active = true,
			    .limits = { { 1000, 86400000, false }, { rows[i].first, 0, false } },
			    .limit_count = rows[i].first > 0 ? 2 : 1 },
			{ .name = S("b"), .active = true, .limits = { { rows[i].second, 0, false } },
			    .limit_count = rows[i].second > 0 },
		};
		struct pn_relay_request request = {
			.question = { .relays = { relays, 2 }, .email_from = S("joe@x.example") },
			.recipients = rows[i].recipients, .states = { (void *)(uintptr_t)"", ask },
		};
		struct pn_relay_choice choice;

		assert_int_equal(pn_relay_choose(&request, arena, &choice, NULL), PN_OK);
		if (choice.chosen != rows[i].chosen || choice.limited_per_message != rows[i].limited)
			fail_msg("%s: %zu", rows[i].name, choice.chosen);
		if (rows[i].chosen > 0) {
			assert_int_equal(choice.v[0].status.state, PN_RELAY_SPENT);
			assert_int_equal(choice.v[0].status.until_ms, 0);
			assert_true(choice.v[0].status.reason.n > 0);
		}
		/* one that is only spent opens, one that is too small does not */
		request.states.ctx = (void *)(uintptr_t)"b";
		assert_int_equal(pn_relay_choose(&request, arena, &choice, NULL), PN_OK);
		assert_int_equal(choice.opens_first, rows[i].chosen == 1);
		pn_arena_free(arena);
	}
}

static void
a_state_that_cannot_be_had(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_relay_request request = {
		.question = { .relays = relays_of("open", arena), .email_from = S("joe@x.example") },
		.states = { (void *)(uintptr_t)"?", ask },
	};
	struct pn_relay_choice choice;
	struct pn_error err = { "" };

	(void)state;
	assert_int_equal(pn_relay_choose(&request, arena, &choice, &err), PN_TEMPFAIL);
	assert_string_equal(err.text, "no state");
	pn_arena_free(arena);
}

static void
a_huge_from_ends_in_a_limit(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct pn_relay_request request = {
		.question = { .relays = relays_of("acme", arena) }, .states = { (void *)(uintptr_t)"", ask },
	};
	struct pn_relay_choice choice;
	char *text = malloc(1 << 20);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < 1 << 20; i++)
		text[i] = "a@b,"[i % 4];
	request.question.email_from = pn_str_n(text, 1 << 20);
	assert_int_equal(pn_relay_choose(&request, arena, &choice, NULL), PN_LIMIT);
	free(text);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_as_odoo),
		cmocka_unit_test(filters_are_read_as_odoo_does),
		cmocka_unit_test(chooses),
		cmocka_unit_test(other_gateways_have_their_own),
		cmocka_unit_test(limits_per_message),
		cmocka_unit_test(a_state_that_cannot_be_had),
		cmocka_unit_test(a_huge_from_ends_in_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
