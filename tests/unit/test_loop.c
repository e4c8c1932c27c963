#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/loop.h"

#define S PN_STR

static const struct pn_model models[] = {
	{ .name = S("crm.lead"), .exists = true, .blacklist = true, .primary_email = S("email_from") },
	{ .name = S("mail.quiet"), .exists = true, .primary_email = S("") },
	{ .name = S("project.task"), .exists = true, .primary_email = S("email_from") },
};
static const struct pn_models listed = { models, PN_COUNT(models) };
static const struct pn_alias alias = { .full = S("sales@acme.test") };
static struct pn_str allowed[] = { S("monitor@people.test") };
static const struct pn_domain domain = { .name = S("acme.test"), .catchall = S("catchall@acme.test") };
static const struct pn_gateway gateway = {
	.name = S("acme"), .domains = &domain, .domain_count = 1, .allowed_senders = { allowed, 1 },
};

#define NEW(m) { .model = S(m), .counts_as_new = true, .alias = &alias }
#define RECORD(m, id) { .model = S(m), .thread_id = id, .alias = &alias }
#define FALLBACK(m) { .model = S(m) }
#define REPLY_GONE(m) { .model = S(m), .counts_as_new = true }
#define UNKNOWN_RECORD(m, t) { .model = S(m), .thread_unknown = true, .thread = S(t), .alias = &alias }

static const struct {
	const char *name;
	const char *from, *sender;
	struct pn_route routes[4];
	size_t n;
	const char *windows;		/* model, model:record, model:<thread> */
} rows[] = {
	{ "a new record", "j@x", "j@x", { NEW("crm.lead") }, 1, "crm.lead" },
	{ "two aliases of one model", "j@x", "j@x", { NEW("crm.lead"), NEW("crm.lead") }, 2, "crm.lead" },
	{ "two models", "j@x", "j@x", { NEW("project.task"), NEW("crm.lead") }, 2, "project.task crm.lead" },
	{ "a record", "j@x", "j@x", { RECORD("crm.lead", 7) }, 1, "crm.lead:7" },
	{ "the same record twice", "j@x", "j@x", { RECORD("crm.lead", 7), RECORD("crm.lead", 7) }, 2,
	    "crm.lead:7" },
	{ "two records", "j@x", "j@x", { RECORD("crm.lead", 7), RECORD("crm.lead", 8) }, 2,
	    "crm.lead:7 crm.lead:8" },
	{ "new ones before records", "j@x", "j@x", { RECORD("crm.lead", 7), NEW("crm.lead") }, 2,
	    "crm.lead crm.lead:7" },
	{ "equal ids of two models", "j@x", "j@x", { RECORD("crm.lead", 7), RECORD("project.task", 7) }, 2,
	    "crm.lead:7 project.task:7" },
	{ "a model without primary email", "j@x", "j@x", { NEW("mail.quiet") }, 1, "" },
	{ "its records are counted", "j@x", "j@x", { RECORD("mail.quiet", 3) }, 1, "mail.quiet:3" },
	{ "a model that is not listed", "j@x", "j@x", { NEW("x.own") }, 1, "x.own" },
	{ "fallback", "j@x", "j@x", { FALLBACK("crm.lead") }, 1, "" },
	{ "reply to a record that is gone", "j@x", "j@x", { REPLY_GONE("crm.lead") }, 1, "" },
	{ "reply, record not known", "j@x", "j@x", { UNKNOWN_RECORD("crm.lead", "<1@x>") }, 1,
	    "crm.lead:<1@x>" },
	{ "allowed sender", "M <monitor@people.test>", "monitor@people.test", { NEW("crm.lead") }, 1, "" },
	{ "no From", "", "", { NEW("crm.lead") }, 1, "" },
	{ "a From that is no address", "Jane", "", { NEW("crm.lead") }, 1, "crm.lead" },
	{ "nothing routed", "j@x", "j@x", { { .model = S("") } }, 0, "" },
};

static struct pn_str
told(struct pn_loop_windows windows, struct pn_arena *arena)
{
	struct pn_strs_builder out = { .arena = arena };

	for (size_t i = 0; i < windows.n; i++) {
		const struct pn_loop_window *w = &windows.v[i];

		assert_int_equal(w->update, w->record != 0 || w->thread.n > 0);
		pn_strs_add(&out, w->record != 0 ? pn_arena_printf(arena, PN_STR_FMT ":%u",
		    PN_STR_ARG(w->model), (unsigned)w->record) : pn_arena_printf(arena, PN_STR_FMT
		    "%s" PN_STR_FMT, PN_STR_ARG(w->model), w->thread.n > 0 ? ":" : "",
		    PN_STR_ARG(w->thread)));
	}
	return pn_strs_join(out.list, S(" "), arena);
}

static void
what_is_counted(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_message message = { .email_from = pn_str_c(rows[i].from),
		    .sender = pn_str_c(rows[i].sender) };
		struct pn_decision d = {
			.outcome = rows[i].n > 0 ? PN_ROUTED : PN_NO_ROUTE, .route_count = rows[i].n,
			.routes = (struct pn_route *)(uintptr_t)rows[i].routes,
		};
		struct pn_str got = told(pn_loop_windows(&gateway, &listed, &message, &d, arena), arena);

		if (!pn_str_eq(got, pn_str_c(rows[i].windows)))
			fail_msg("%s: \"" PN_STR_FMT "\"", rows[i].name, PN_STR_ARG(got));
		pn_arena_free(arena);
	}
}

static void
unknown_addresses_are_counted_each(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_str to[40] = { S("New@acme.test"), S("catchall@acme.test"), S("x@people.test"),
	    S("b@acme.test") };
	struct pn_message message = { .email_from = S("j@x"), .sender = S("j@x"), .recipients = { to, 4 } };
	struct pn_decision d = { .outcome = PN_NO_ROUTE, .doubts = PN_DOUBT_ALIAS };
	struct pn_loop_windows windows = pn_loop_windows(&gateway, &listed, &message, &d, arena);

	(void)state;
	assert_int_equal(windows.n, 2);
	assert_true(pn_str_eq(windows.v[0].thread, S("new@acme.test")));
	assert_true(pn_str_eq(windows.v[1].thread, S("b@acme.test")));
	assert_int_equal(windows.v[0].model.n, 0);
	/* known not to exist: it is refused, not counted */
	d.doubts = 0;
	assert_int_equal(pn_loop_windows(&gateway, &listed, &message, &d, arena).n, 0);
	/* a mail to very many writes to a bounded number of windows */
	d.doubts = PN_DOUBT_ALIAS;
	for (unsigned i = 0; i < PN_COUNT(to); i++)
		to[i] = pn_arena_printf(arena, "u%u@acme.test", i);
	message.recipients.n = PN_COUNT(to);
	assert_int_equal(pn_loop_windows(&gateway, &listed, &message, &d, arena).n, 16);
	pn_arena_free(arena);
}

static const struct {
	const char *name;
	bool automatic;
	const char *answered;	/* "": none */
	struct pn_route route;
	const char *window;
} unknown_records[] = {
	{ "automatic: one window for all", true, "<1@x> <2@x>", UNKNOWN_RECORD("crm.lead", "<2@x>"), "crm.lead:?" },
	{ "automatic, another thread", true, "<3@x>", UNKNOWN_RECORD("crm.lead", "<3@x>"), "crm.lead:?" },
	{ "automatic, another model", true, "<3@x>", UNKNOWN_RECORD("project.task", "<3@x>"), "project.task:?" },
	{ "automatic, a known record", true, "<3@x>", RECORD("crm.lead", 7), "crm.lead:7" },
	{ "a person: what began the conversation", false, "<1@x> <2@x>", UNKNOWN_RECORD("crm.lead", "<2@x>"),
	    "crm.lead:<1@x>" },
	{ "a person, one reference", false, "<2@x>", UNKNOWN_RECORD("crm.lead", "<2@x>"), "crm.lead:<2@x>" },
};

static struct pn_strs
words(const char *text, struct pn_arena *arena)
{
	struct pn_strs_builder out = { .arena = arena };
	struct pn_str rest = pn_str_c(text), word;

	while (rest.n > 0 && pn_str_split(&rest, ' ', &word))
		pn_strs_add(&out, word);
	return out.list;
}

static void
records_nobody_knows_yet(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(unknown_records); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_route route = unknown_records[i].route;
		struct pn_message message = { .email_from = S("j@x"), .sender = S("j@x"),
		    .automatic = unknown_records[i].automatic,
		    .answered_ids = words(unknown_records[i].answered, arena) };
		struct pn_decision d = { .outcome = PN_ROUTED, .routes = &route, .route_count = 1 };
		struct pn_str got = told(pn_loop_windows(&gateway, &listed, &message, &d, arena), arena);

		if (!pn_str_eq(got, pn_str_c(unknown_records[i].window)))
			fail_msg("%s: \"" PN_STR_FMT "\"", unknown_records[i].name, PN_STR_ARG(got));
		pn_arena_free(arena);
	}
}

static void
only_automatic_mail_is_counted_at_the_catchall(void **state)
{
	static const struct {
		const char *name;
		enum pn_outcome outcome;
		unsigned doubts;
		bool automatic;
		size_t windows;
	} table[] = {
		{ "a person, perhaps a reply", PN_BOUNCED, PN_DOUBT_THREAD, false, 0 },
		{ "automatic, perhaps a reply", PN_BOUNCED, PN_DOUBT_THREAD, true, 1 },
		{ "automatic, perhaps an alias", PN_BOUNCED, PN_DOUBT_ALIAS, true, 1 },
		{ "automatic, perhaps an alias, no route", PN_NO_ROUTE, PN_DOUBT_ALIAS, true, 1 },
		{ "automatic, refused for sure", PN_BOUNCED, 0, true, 0 },
		{ "automatic, it depends on who writes", PN_BOUNCED, PN_DOUBT_PARTNER, true, 0 },
	};
	struct pn_str to[] = { S("Catchall@acme.test"), S("x@people.test") };

	(void)state;
	for (size_t i = 0; i < PN_COUNT(table); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);
		struct pn_message message = { .email_from = S("j@x"), .sender = S("j@x"), .recipients = { to, 2 },
		    .automatic = table[i].automatic };
		struct pn_decision d = { .outcome = table[i].outcome, .doubts = table[i].doubts };
		struct pn_loop_windows got = pn_loop_windows(&gateway, &listed, &message, &d, arena);

		if (got.n != table[i].windows || (got.n > 0 && !pn_str_eq(got.v[0].thread, S("catchall@acme.test"))))
			fail_msg("%s: %zu windows", table[i].name, got.n);
		pn_arena_free(arena);
	}
}

static void
thresholds(void **state)
{
	static const struct { bool update; uint64_t count, threshold; bool full; } table[] = {
		{ false, 19, 20, false }, { false, 20, 20, true }, { false, 21, 20, true }, { false, 0, 1,
		    false },
		{ false, 0, 0, true }, { true, 19, 20, false }, { true, 20, 20, true }, { true, 0, 0, false },
		    { true, 1, 0, true },
		{ true, 1, 1, true },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(table); i++) {
		struct pn_loop_window w = { .update = table[i].update };

		if (pn_loop_full(&w, table[i].count, table[i].threshold) != table[i].full)
			fail_msg("%u of %u", (unsigned)table[i].count, (unsigned)table[i].threshold);
	}
}

static void
firing_keeps_what_was_decided(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 16);
	struct pn_notice refused = { PN_NOTICE_ALIAS_SECURITY, &alias, "error_partners_no_partner" };
	struct pn_route route = NEW("crm.lead");
	struct pn_decision d = { .outcome = PN_ROUTED, .rule = PN_RULE_ALIAS, .notices = &refused,
	    .notice_count = 1,
		.routes = &route, .route_count = 1 };
	struct pn_loop_window w = { .model = S("crm.lead") };

	(void)state;
	pn_loop_fire(&d, &w, arena);
	assert_int_equal(d.outcome, PN_LOOP_DETECTED);
	assert_int_equal(d.rule, PN_RULE_LOOP_NEW);
	assert_int_equal(d.notice_count, 2);
	assert_int_equal(d.notices[0].kind, PN_NOTICE_ALIAS_SECURITY);
	assert_int_equal(d.notices[1].kind, PN_NOTICE_LOOP);
	assert_int_equal(d.route_count, 1);
	w.update = true;
	pn_loop_fire(&d, &w, arena);
	assert_int_equal(d.rule, PN_RULE_LOOP_UPDATE);
	pn_arena_free(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_counted),
		cmocka_unit_test(unknown_addresses_are_counted_each),
		cmocka_unit_test(records_nobody_knows_yet),
		cmocka_unit_test(only_automatic_mail_is_counted_at_the_catchall),
		cmocka_unit_test(thresholds),
		cmocka_unit_test(firing_keeps_what_was_decided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
