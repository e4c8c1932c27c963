#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <ftw.h>
#include <unistd.h>

#include "postern/facts.h"

#define S PN_STR

enum { NOW = 1700000000, STALE_AFTER = 3600 };

static char folder[] = "/tmp/pn-facts.XXXXXX";
static struct pn_store *store;
static struct pn_gateway gateway = { .name = S("main"), .stale_after = STALE_AFTER };
static const struct pn_domain domain = {
	.name = S("custom.test"), .ascii = S("custom.test"), .bounce = S("bounce@custom.test"),
	.catchall = S("catchall@custom.test"), .default_from = S("notifications@custom.test"),
	.unknown = PN_UNKNOWN_REJECT, .human = S(""), .gateway = &gateway,
};
static const struct pn_directory directory = {
	.gateways = &gateway, .gateway_count = 1, .domains = &domain, .domain_count = 1,
};

static int
setup(void **state)
{
	static const struct pn_alias_row rows[] = {
		{ S("main"), { .local = S("sales"), .full = S("sales@custom.test"),
		    .model = S("crm.lead") } },
		{ S("main"), { .local = S("jobs"), .full = S("jobs@custom.test"), .model = S("hr.applicant"),
		    .incoming_local = true } },
		{ S("other"), { .local = S("theirs"), .full = S("theirs@custom.test"),
		    .model = S("crm.lead") } },
	};
	static const struct pn_retired old = { S("main"), S("old@custom.test"), S("sales@custom.test"), NOW };
	struct pn_store_options options = { .path = folder, .directory_map_size = 1 << 24,
	    .state_map_size = 1 << 24 };
	struct pn_directory_changes changes;
	struct pn_error err = { "" };

	(void)state;
	gateway.domains = &domain;
	gateway.domain_count = 1;
	if (mkdtemp(folder) == NULL || pn_store_open(&options, &store, &err) != PN_OK
	    || pn_directory_apply(store, PN_SOURCE_CONFIG, S(""), rows, PN_COUNT(rows), &changes,
	    &err) != PN_OK
	    || pn_retired_put(store, &old, &err) != PN_OK) {
		print_error("%s\n", err.text);
		return -1;
	}
	return 0;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

static int
teardown(void **state)
{
	(void)state;
	pn_store_close(store);
	return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Its fingerprint is that of a store nobody has filled: 0. */
static const struct pn_config configuration;

static void
classify_at(int64_t now, struct pn_str address, struct pn_rcpt *out, struct pn_arena *arena)
{
	struct pn_facts facts;
	struct pn_error err = { "" };

	assert_int_equal(pn_facts_open(&facts, &(struct pn_gate){ .config = &configuration, .store = store }, arena, now, &err), PN_OK);
	assert_int_equal(pn_recipient_classify(&directory, &facts.recipient, address, arena, out, &err),
	    PN_OK);
	pn_facts_close(&facts);
	pn_facts_close(&facts);
}

static const struct {
	const char *name;
	struct pn_str address;
	enum pn_rcpt_kind kind;
	struct pn_str detail;
} rows[] = {
	{ "full name", S("Sales@custom.test"), PN_RCPT_ALIAS, S("crm.lead") },
	{ "incoming_local", S("jobs@custom.test"), PN_RCPT_ALIAS, S("hr.applicant") },
	{ "of another gateway", S("theirs@custom.test"), PN_RCPT_UNKNOWN, S("") },
	{ "retired", S("OLD@custom.test"), PN_RCPT_RETIRED, S("sales@custom.test") },
	{ "unknown", S("nobody@custom.test"), PN_RCPT_UNKNOWN, S("") },
};

static void
test_addresses_from_the_store(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 20);
		struct pn_rcpt rcpt;

		classify_at(NOW, rows[i].address, &rcpt, arena);
		if (rcpt.kind != rows[i].kind
		    || !pn_str_eq(rcpt.kind == PN_RCPT_RETIRED ? rcpt.successor : rcpt.model, rows[i].detail))
			fail_msg("%s: %s", rows[i].name, pn_rcpt_kind_name(rcpt.kind));
		pn_arena_free(arena);
	}
}

/* The address a left part is looked up under need not exist. */
static void
test_left_part_through_the_store(void **state)
{
	static const struct pn_domain second = { .name = S("second.test"), .ascii = S("second.test"),
	    .bounce = S(""),
		.catchall = S(""), .default_from = S(""), .human = S(""), .gateway = &gateway };
	static const struct pn_directory two = { .gateways = &gateway, .gateway_count = 1, .domains = &second,
		.domain_count = 1 };
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_facts facts;
	struct pn_rcpt rcpt;

	(void)state;
	assert_int_equal(pn_facts_open(&facts, &(struct pn_gate){ .config = &configuration, .store = store }, arena, NOW, NULL), PN_OK);
	assert_int_equal(pn_recipient_classify(&two, &facts.recipient, S("jobs@second.test"), arena, &rcpt,
	    NULL), PN_OK);
	assert_int_equal(rcpt.kind, PN_RCPT_ALIAS);
	assert_true(pn_str_eq(rcpt.alias, S("jobs")));
	assert_int_equal(pn_recipient_classify(&two, &facts.recipient, S("sales@second.test"), arena, &rcpt,
	    NULL),
	    PN_OK);
	assert_int_equal(rcpt.kind, PN_RCPT_UNKNOWN);
	pn_facts_close(&facts);
	pn_arena_free(arena);
}

static const struct {
	const char *name;
	bool declared;
	int64_t now;
	bool aliases, threads;	/* complete */
} ages[] = {
	{ "just synced", false, NOW, true, false },
	{ "a second before it is stale", false, NOW + STALE_AFTER - 1, true, false },
	{ "stale", false, NOW + STALE_AFTER, false, false },
	{ "long ago", false, NOW + 10 * STALE_AFTER, false, false },
	{ "the clock was put back", false, NOW - 1, false, false },
	{ "declared and stale", true, NOW + STALE_AFTER, true, false },
};

static void
test_complete(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_facts facts;
	struct pn_rcpt rcpt;

	(void)state;
	classify_at(NOW, S("nobody@custom.test"), &rcpt, arena);
	assert_int_equal(rcpt.answer, PN_RCPT_OURS);	/* never synced: not known */
	assert_int_equal(pn_directory_synced(store, S("main"), PN_TABLE_ALIASES, NOW, NULL), PN_OK);
	for (size_t i = 0; i < PN_COUNT(ages); i++) {
		gateway.complete = ages[i].declared;
		assert_int_equal(pn_facts_open(&facts, &(struct pn_gate){ .config = &configuration, .store = store }, arena, ages[i].now, NULL), PN_OK);
		if (pn_facts_complete(&facts, &gateway, PN_TABLE_ALIASES) != ages[i].aliases
		    || pn_facts_complete(&facts, &gateway, PN_TABLE_THREADS) != ages[i].threads)
			fail_msg("%s", ages[i].name);
		pn_facts_close(&facts);
		classify_at(ages[i].now, S("nobody@custom.test"), &rcpt, arena);
		if (rcpt.answer != (ages[i].aliases ? PN_RCPT_REJECT : PN_RCPT_OURS))
			fail_msg("%s: answer %d", ages[i].name, (int)rcpt.answer);
	}
	gateway.complete = false;
	pn_arena_free(arena);
}

/* -- two versions of the configuration ------------------------------------------------ */

static void
test_another_configuration_proves_nothing(void **state)
{
	struct pn_arena *arena = pn_arena_new(1 << 20);
	struct pn_config theirs = { .fingerprint = 8 }, ours = { .fingerprint = 9 };
	struct pn_facts facts;
	struct pn_rcpt rcpt;

	(void)state;
	gateway.complete = true;
	assert_int_equal(pn_directory_synced(store, S("main"), PN_TABLE_THREADS, NOW, NULL), PN_OK);
	for (unsigned i = 0; i < 3; i++) {
		bool same = i == 2;

		/* first nobody has told, then another program, then we */
		if (i > 0)
			assert_int_equal(pn_directory_set_fingerprint(store, i == 1 ? theirs.fingerprint
			    : ours.fingerprint, NULL), PN_OK);
		assert_int_equal(pn_facts_open(&facts, &(struct pn_gate){ .config = &ours, .store = store }, arena, NOW, NULL), PN_OK);
		assert_int_equal(facts.other_configuration, !same);
		assert_int_equal(pn_facts_complete(&facts, &gateway, PN_TABLE_ALIASES), same);
		assert_int_equal(pn_facts_complete(&facts, &gateway, PN_TABLE_THREADS), same);
		assert_int_equal(pn_recipient_classify(&directory, &facts.recipient, S("nobody@custom.test"), arena,
		    &rcpt, NULL), PN_OK);
		assert_int_equal(rcpt.answer, same ? PN_RCPT_REJECT : PN_RCPT_OURS);
		/* what is there is there */
		assert_int_equal(pn_recipient_classify(&directory, &facts.recipient, S("sales@custom.test"), arena,
		    &rcpt, NULL), PN_OK);
		assert_int_equal(rcpt.kind, PN_RCPT_ALIAS);
		pn_facts_close(&facts);
	}
	assert_int_equal(pn_directory_set_fingerprint(store, configuration.fingerprint, NULL), PN_OK);
	gateway.complete = false;
	pn_arena_free(arena);
}

static void
test_what_makes_another_configuration(void **state)
{
	struct pn_gateway gateways[] = { gateway, { .name = S("second") } };
	struct pn_domain changed = domain;
	struct pn_directory d = directory;
	uint64_t before = pn_directory_fingerprint(&directory), seen[5];

	(void)state;
	d.domains = &changed;
	assert_int_equal(pn_directory_fingerprint(&d), before);
	changed.name = S("other.test");
	seen[0] = pn_directory_fingerprint(&d);
	changed = domain;
	changed.bounce = S("returns@custom.test");
	seen[1] = pn_directory_fingerprint(&d);
	changed = domain;
	changed.catchall = S("all@custom.test");
	seen[2] = pn_directory_fingerprint(&d);
	changed = domain;
	changed.gateway = &gateways[1];
	seen[3] = pn_directory_fingerprint(&d);
	changed = domain;
	d.gateways = gateways;
	d.gateway_count = 2;
	seen[4] = pn_directory_fingerprint(&d);
	for (size_t i = 0; i < PN_COUNT(seen); i++) {
		assert_true(seen[i] != before && seen[i] != 0);
		for (size_t j = 0; j < i; j++)
			assert_true(seen[i] != seen[j]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_from_the_store),
		cmocka_unit_test(test_left_part_through_the_store),
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_another_configuration_proves_nothing),
		cmocka_unit_test(test_what_makes_another_configuration),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
