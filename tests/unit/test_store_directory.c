/* The directory: tables by difference, renames, looks and walks. */
#include "store_tool.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "postern/clock.h"

static const struct pn_str main_gateway = { "main", 4 };

/* "id local domain model flags": a row as short text. */
static struct pn_alias_row
row(uint64_t id, const char *local, const char *domain, bool incoming_local)
{
	struct pn_alias_row r = { .gateway = main_gateway };
	static char full[64][64];	/* rows of one test live together */
	static unsigned next;
	char *text = full[next++ % 64];

	(void)snprintf(text, sizeof(full[0]), "%s%s%s", local, domain[0] == '\0' ? "" : "@", domain);
	r.alias = (struct pn_alias){ .id = id, .local = pn_str_c(local), .full = pn_str_c(text),
		.model = PN_STR("crm.lead"), .contact = PN_CONTACT_PARTNERS, .incoming_local = incoming_local,
		.parent_model = PN_STR("") };
	return r;
}

static struct pn_directory_changes
apply(struct tool *tool, enum pn_source source, const char *gateway, const struct pn_alias_row *rows,
    size_t n)
{
	struct pn_directory_changes changes = { 99, 99, 99 };

	tool_must(tool, pn_directory_apply(tool->store, source, pn_str_c(gateway), rows, n, &changes,
	    &tool->err));
	return changes;
}

static void
assert_changes(struct pn_directory_changes got, uint64_t added, uint64_t changed, uint64_t removed)
{
	assert_int_equal(got.added, added);
	assert_int_equal(got.changed, changed);
	assert_int_equal(got.removed, removed);
}

/* The model of the alias with this full name; "" = there is none. */
static struct pn_str
model_of(struct tool *tool, const char *gateway, const char *address)
{
	struct pn_directory_view *view;
	struct pn_alias_source source;
	struct pn_aliases found = { NULL, 0 };
	enum pn_status st;

	tool_must(tool, pn_directory_open(tool->store, &view, &tool->err));
	source = pn_directory_aliases(view, pn_str_c(gateway), tool->arena);
	st = source.by_full(source.ctx, pn_str_c(address), tool->arena, &found);
	pn_directory_close(view);
	if (st == PN_NOT_FOUND)
		return PN_STR_EMPTY;
	tool_must(tool, st);
	assert_int_equal(found.n, 1);
	assert_str(found.v[0].full, address);
	return found.v[0].model;
}

static size_t
count_local(struct tool *tool, const char *local)
{
	struct pn_directory_view *view;
	struct pn_alias_source source;
	struct pn_aliases found = { NULL, 0 };
	enum pn_status st;

	tool_must(tool, pn_directory_open(tool->store, &view, &tool->err));
	source = pn_directory_aliases(view, main_gateway, tool->arena);
	st = source.by_local(source.ctx, pn_str_c(local), tool->arena, &found);
	pn_directory_close(view);
	assert_int_equal(st, found.n > 0 ? PN_OK : PN_NOT_FOUND);
	for (size_t i = 0; i < found.n; i++)
		assert_str(found.v[i].local, local);
	return found.n;
}

/* What the address was retired in favour of; "" = it was not. */
static struct pn_str
successor_of(struct tool *tool, const char *address)
{
	struct pn_directory_view *view;
	struct pn_retired row;
	enum pn_status st;

	tool_must(tool, pn_directory_open(tool->store, &view, &tool->err));
	st = pn_directory_retired(view, main_gateway, pn_str_c(address), tool->arena, &row, &tool->err);
	pn_directory_close(view);
	if (st == PN_NOT_FOUND)
		return PN_STR_EMPTY;
	tool_must(tool, st);
	assert_int_equal(row.gateway.n, main_gateway.n);
	return row.successor;
}

static uint64_t
generation(struct tool *tool)
{
	struct pn_directory_view *view;
	uint64_t got;

	tool_must(tool, pn_directory_open(tool->store, &view, &tool->err));
	got = pn_directory_generation(view);
	pn_directory_close(view);
	assert_int_equal(got, tool_usage(tool).generation);
	return got;
}

/* -- apply -- */

static void
apply_is_a_difference(void **state)
{
	struct tool *tool = *state;
	struct pn_alias_row rows[] = { row(1, "sales", "x.org", true), row(2, "jobs", "x.org", false),
		row(3, "info", "x.org", false) };
	uint64_t before = generation(tool);

	assert_changes(apply(tool, PN_SOURCE_SYNC, "", rows, 3), 3, 0, 0);
	assert_int_equal(generation(tool), before + 1);
	assert_changes(apply(tool, PN_SOURCE_SYNC, "", rows, 3), 0, 0, 0);
	assert_int_equal(generation(tool), before + 1);
	rows[1].alias.model = PN_STR("hr.applicant");
	assert_changes(apply(tool, PN_SOURCE_SYNC, "main", rows, 2), 0, 1, 1);
	assert_int_equal(generation(tool), before + 2);
	assert_str(model_of(tool, "main", "jobs@x.org"), "hr.applicant");
	assert_str(model_of(tool, "main", "sales@x.org"), "crm.lead");
	assert_str(model_of(tool, "main", "info@x.org"), "");
	assert_str(model_of(tool, "main", "Jobs@x.org"), "");
	assert_str(model_of(tool, "other", "jobs@x.org"), "");
	assert_int_equal(tool_usage(tool).aliases, 2);
	assert_changes(apply(tool, PN_SOURCE_SYNC, "", NULL, 0), 0, 0, 2);
	assert_int_equal(tool_usage(tool).aliases, 0);
}

static void
one_gateway_leaves_the_others(void **state)
{
	struct tool *tool = *state;
	struct pn_alias_row rows[] = { row(1, "a", "x.org", false), row(1, "a", "x.org", false),
		row(1, "a", "x.org", false) };

	rows[1].gateway = PN_STR("main2");
	rows[2].gateway = PN_STR("ma");
	assert_changes(apply(tool, PN_SOURCE_SYNC, "", rows, 3), 3, 0, 0);
	assert_changes(apply(tool, PN_SOURCE_SYNC, "main", NULL, 0), 0, 0, 1);
	assert_str(model_of(tool, "main", "a@x.org"), "");
	assert_str(model_of(tool, "main2", "a@x.org"), "crm.lead");
	assert_str(model_of(tool, "ma", "a@x.org"), "crm.lead");
}

static void
config_goes_before_sync(void **state)
{
	struct tool *tool = *state;
	struct pn_alias_row synced = row(1, "sales", "x.org", true), config = row(0, "sales", "x.org", true);

	config.alias.model = PN_STR("helpdesk.ticket");
	assert_changes(apply(tool, PN_SOURCE_SYNC, "", &synced, 1), 1, 0, 0);
	assert_changes(apply(tool, PN_SOURCE_CONFIG, "", &config, 1), 1, 0, 0);
	assert_str(model_of(tool, "main", "sales@x.org"), "helpdesk.ticket");
	assert_int_equal(count_local(tool, "sales"), 1);
	config.alias.incoming_local = false;		/* and hides the other's local part */
	assert_changes(apply(tool, PN_SOURCE_CONFIG, "", &config, 1), 0, 1, 0);
	assert_int_equal(count_local(tool, "sales"), 0);
	assert_changes(apply(tool, PN_SOURCE_CONFIG, "", NULL, 0), 0, 0, 1);
	assert_str(model_of(tool, "main", "sales@x.org"), "crm.lead");
	assert_int_equal(count_local(tool, "sales"), 1);
}

static void
local_parts_follow_their_aliases(void **state)
{
	struct tool *tool = *state;
	struct pn_alias_row rows[] = { row(1, "sales", "x.org", true), row(2, "sales", "y.org", true),
		row(3, "sales", "z.org", false), row(4, "sales2", "x.org", true), row(5, "bare", "", true) };

	(void)apply(tool, PN_SOURCE_SYNC, "", rows, 5);
	assert_int_equal(count_local(tool, "sales"), 2);
	assert_int_equal(count_local(tool, "sale"), 0);
	assert_int_equal(count_local(tool, ""), 0);
	assert_int_equal(count_local(tool, "bare"), 1);
	rows[0].alias.incoming_local = false;
	rows[2].alias.incoming_local = true;
	(void)apply(tool, PN_SOURCE_SYNC, "", rows, 3);
	assert_int_equal(count_local(tool, "sales"), 2);
	assert_int_equal(count_local(tool, "sales2"), 0);
	assert_int_equal(count_local(tool, "bare"), 0);
}

static void
bad_rows_change_nothing(void **state)
{
	struct tool *tool = *state;
	static char text[600];
	struct pn_alias_row good = row(1, "a", "x.org", false);
	struct { const char *name; const char *gateway; struct pn_alias_row rows[2]; size_t n; } cases[] = {
		{ "twice the same", "", { good, good }, 2 },
		{ "empty name", "", { good, good }, 2 },
		{ "too long", "", { good, good }, 2 },
		{ "a NUL", "", { good, good }, 2 },
		{ "no gateway", "", { good, good }, 2 },
		{ "another gateway", "other", { good }, 1 },
		{ "long model", "", { good, good }, 2 },
		{ "no such contact", "", { good, good }, 2 },
	};
	struct pn_directory_changes changes;

	memset(text, 'x', sizeof(text) - 1);
	cases[1].rows[1].alias.full = PN_STR_EMPTY;
	cases[2].rows[1].alias.full = pn_str_c(text);
	cases[3].rows[1].alias.full = PN_STR("b\0c@x.org");
	cases[4].rows[1].gateway = PN_STR_EMPTY;
	cases[6].rows[1].alias.full = PN_STR("b@x.org");
	cases[6].rows[1].alias.model = pn_str_c(text);
	cases[7].rows[1].alias.full = PN_STR("b@x.org");
	cases[7].rows[1].alias.contact = (enum pn_contact)9;
	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		enum pn_status st = pn_directory_apply(tool->store, PN_SOURCE_SYNC,
		    pn_str_c(cases[i].gateway),
		    cases[i].rows, cases[i].n, &changes, &tool->err);

		if (st != PN_INVALID)
			fail_msg("%s: %s", cases[i].name, pn_status_name(st));
		assert_true(strlen(tool->err.text) > 0);
	}
	assert_int_equal(tool_usage(tool).aliases, 0);
	assert_int_equal(tool_usage(tool).generation, 0);
	assert_str(model_of(tool, "main", text), "");
}

/* A reader sees one table for as long as its view is open. */
static void
views_are_consistent(void **state)
{
	struct tool *tool = *state;
	struct pn_alias_row rows[] = { row(1, "a", "x.org", false), row(2, "b", "x.org", false) };
	struct pn_directory_view *view;
	struct pn_alias_source source;
	struct pn_aliases found;

	(void)apply(tool, PN_SOURCE_SYNC, "", rows, 1);
	tool_must(tool, pn_directory_open(tool->store, &view, &tool->err));
	source = pn_directory_aliases(view, main_gateway, tool->arena);
	(void)apply(tool, PN_SOURCE_SYNC, "", rows + 1, 1);
	assert_int_equal(source.by_full(source.ctx, PN_STR("a@x.org"), tool->arena, &found), PN_OK);
	assert_int_equal(source.by_full(source.ctx, PN_STR("b@x.org"), tool->arena, &found), PN_NOT_FOUND);
	assert_int_equal(pn_directory_generation(view), 1);
	pn_directory_close(view);
	assert_str(model_of(tool, "main", "a@x.org"), "");
	assert_str(model_of(tool, "main", "b@x.org"), "crm.lead");
}

/* -- renames -- */

static void
a_rename_retires(void **state)
{
	struct tool *tool = *state;
	struct pn_alias_row old[] = { row(1, "sales", "x.org", false), row(0, "noid", "x.org", false),
		row(3, "jobs", "x.org", false), row(4, "swap", "x.org", false), row(5, "pans", "x.org",
		    false) };
	struct pn_alias_row new[] = { row(1, "vente", "x.org", false), row(0, "sansid", "x.org", false),
		row(5, "swap", "x.org", false), row(4, "pans", "x.org", false) };
	int64_t before = pn_clock_now();
	struct pn_directory_view *view;
	struct pn_retired got;

	(void)apply(tool, PN_SOURCE_SYNC, "", old, 5);
	assert_changes(apply(tool, PN_SOURCE_SYNC, "", new, 4), 2, 2, 3);
	assert_str(successor_of(tool, "sales@x.org"), "vente@x.org");
	assert_str(successor_of(tool, "Sales@X.org"), "vente@x.org");
	assert_str(successor_of(tool, "noid@x.org"), "");	/* nothing says what became of it */
	assert_str(successor_of(tool, "jobs@x.org"), "");	/* removed, not renamed */
	assert_str(successor_of(tool, "swap@x.org"), "");	/* in use by the other one */
	assert_int_equal(tool_usage(tool).retired, 1);
	tool_must(tool, pn_directory_open(tool->store, &view, &tool->err));
	assert_int_equal(pn_directory_retired(view, main_gateway, PN_STR("sales@x.org"), tool->arena, &got,
	    &tool->err), PN_OK);
	assert_true(got.since >= before && got.since <= pn_clock_now());
	assert_str(got.address, "sales@x.org");
	pn_directory_close(view);
}

/* What the configuration still lists is in use, whatever Odoo renamed. */
static void
a_rename_beside_the_configuration(void **state)
{
	struct tool *tool = *state;
	struct pn_alias_row config = row(0, "sales", "x.org", false), old = row(1, "sales", "x.org", false),
	    new = row(1, "vente", "x.org", false);

	(void)apply(tool, PN_SOURCE_CONFIG, "", &config, 1);
	(void)apply(tool, PN_SOURCE_SYNC, "", &old, 1);
	(void)apply(tool, PN_SOURCE_SYNC, "", &new, 1);
	assert_str(successor_of(tool, "sales@x.org"), "");
	assert_int_equal(tool_usage(tool).retired, 0);
}

static void
renames_form_chains_and_no_circles(void **state)
{
	struct tool *tool = *state;
	const char *names[] = { "a", "b", "c", "b", "a" };
	const char *wanted[][3] = {	/* successors of a, b, c after each step */
		{ "", "", "" },
		{ "b@x.org", "", "" },
		{ "c@x.org", "c@x.org", "" },
		{ "b@x.org", "", "b@x.org" },
		{ "", "a@x.org", "a@x.org" },
	};

	for (size_t i = 0; i < PN_COUNT(names); i++) {
		struct pn_alias_row r = row(1, names[i], "x.org", false);

		(void)apply(tool, PN_SOURCE_SYNC, "", &r, 1);
		assert_str(successor_of(tool, "a@x.org"), wanted[i][0]);
		assert_str(successor_of(tool, "b@x.org"), wanted[i][1]);
		assert_str(successor_of(tool, "c@x.org"), wanted[i][2]);
	}
}

static void
domains_remember_their_addresses(void **state)
{
	struct tool *tool = *state;
	const struct { const char *name, *bounce, *catchall; } steps[] = {
		{ "first", "bounce@x.org", "catchall@x.org" },
		{ "same again", "bounce@x.org", "catchall@x.org" },
		{ "bounce renamed", "returns@X.org", "catchall@x.org" },
		{ "swapped", "catchall@x.org", "returns@x.org" },
		{ "back", "bounce@x.org", "catchall@x.org" },
	};
	const struct { uint64_t generation; const char *bounce, *catchall, *returns; } wanted[] = {
		{ 0, "", "", "" },
		{ 0, "", "", "" },
		{ 1, "returns@x.org", "", "" },
		{ 1, "returns@x.org", "", "" },
		{ 2, "", "", "catchall@x.org" },
	};

	for (size_t i = 0; i < PN_COUNT(steps); i++) {
		tool_must(tool, pn_directory_remember_domain(tool->store, main_gateway, PN_STR("X.org"),
		    pn_str_c(steps[i].bounce), pn_str_c(steps[i].catchall), 1000 + (int64_t)i, &tool->err));
		print_message("    %s\n", steps[i].name);
		assert_int_equal(generation(tool), wanted[i].generation);
		assert_str(successor_of(tool, "bounce@x.org"), wanted[i].bounce);
		assert_str(successor_of(tool, "catchall@x.org"), wanted[i].catchall);
		assert_str(successor_of(tool, "returns@x.org"), wanted[i].returns);
	}
	assert_int_equal(pn_directory_remember_domain(tool->store, PN_STR(""), PN_STR("x.org"),
	    PN_STR("b@x.org"),
	    PN_STR("c@x.org"), 1, &tool->err), PN_INVALID);
}

static bool
collect_retired(void *ctx, const struct pn_retired *r)
{
	char *text = ctx;

	(void)sprintf(text + strlen(text), PN_STR_FMT ":" PN_STR_FMT ">" PN_STR_FMT "@%d ",
	    PN_STR_ARG(r->gateway),
	    PN_STR_ARG(r->address), PN_STR_ARG(r->successor), (int)r->since);
	return true;
}

static void
the_operator_retires(void **state)
{
	struct tool *tool = *state;
	struct pn_alias_row alias = row(1, "live", "x.org", false);
	struct pn_retired r = { main_gateway, PN_STR("Old@x.org"), PN_STR("new@x.org"), 5 };
	const struct { const char *name, *gateway, *address, *successor; } bad[] = {
		{ "no gateway", "", "a@x.org", "b@x.org" },
		{ "no address", "main", "a", "b@x.org" },
		{ "no successor", "main", "a@x.org", "" },
		{ "itself", "main", "a@x.org", "A@x.org" },
		{ "an alias", "main", "live@x.org", "b@x.org" },
	};
	char text[256] = "";

	(void)apply(tool, PN_SOURCE_SYNC, "", &alias, 1);
	tool_must(tool, pn_retired_put(tool->store, &r, &tool->err));
	assert_int_equal(generation(tool), 2);
	tool_must(tool, pn_retired_put(tool->store, &r, &tool->err));
	assert_int_equal(generation(tool), 2);
	for (size_t i = 0; i < PN_COUNT(bad); i++) {
		struct pn_retired b = { pn_str_c(bad[i].gateway), pn_str_c(bad[i].address),
			pn_str_c(bad[i].successor), 5 };

		if (pn_retired_put(tool->store, &b, &tool->err) != PN_INVALID)
			fail_msg("%s", bad[i].name);
	}
	tool_must(tool, pn_directory_each_retired(tool->store, collect_retired, text, &tool->err));
	assert_string_equal(text, "main:old@x.org>new@x.org@5 ");
	tool_must(tool, pn_retired_remove(tool->store, main_gateway, PN_STR("OLD@x.org"), &tool->err));
	assert_int_equal(pn_retired_remove(tool->store, main_gateway, PN_STR("old@x.org"), &tool->err),
	    PN_NOT_FOUND);
	assert_str(successor_of(tool, "old@x.org"), "");
	assert_int_equal(generation(tool), 3);
}

/* -- notes and walks -- */

static void
synced_times(void **state)
{
	struct tool *tool = *state;
	struct pn_directory_view *view;

	tool_must(tool, pn_directory_synced(tool->store, main_gateway, PN_TABLE_THREADS, 77, &tool->err));
	tool_must(tool, pn_directory_open(tool->store, &view, &tool->err));
	assert_int_equal(pn_directory_synced_at(view, main_gateway, PN_TABLE_THREADS), 77);
	assert_int_equal(pn_directory_synced_at(view, main_gateway, PN_TABLE_ALIASES), 0);
	assert_int_equal(pn_directory_synced_at(view, PN_STR("other"), PN_TABLE_THREADS), 0);
	pn_directory_close(view);
	assert_int_equal(pn_directory_synced(tool->store, PN_STR(""), PN_TABLE_THREADS, 77, &tool->err),
	    PN_INVALID);
}

struct walk {
	size_t n, stop_at, config;
	char last[64];
	bool ordered;
};

static bool
walk_alias(void *ctx, const struct pn_alias_row *r, enum pn_source source)
{
	struct walk *walk = ctx;

	if (source == PN_SOURCE_CONFIG)
		walk->config++;
	else if (pn_str_cmp(pn_str_c(walk->last), r->alias.full) >= 0)
		walk->ordered = false;
	(void)snprintf(walk->last, sizeof(walk->last), PN_STR_FMT, PN_STR_ARG(r->alias.full));
	return ++walk->n != walk->stop_at;
}

static void
walks_see_every_row(void **state)
{
	enum { ROWS = 1000 };
	struct tool *tool = *state;
	struct pn_alias_row *rows = PN_ARENA_ARRAY(tool->arena, struct pn_alias_row, ROWS);
	struct pn_alias_row config;
	struct walk walk = { .ordered = true };

	for (size_t i = 0; i < ROWS; i++) {
		rows[i] = row(i + 1, "a", "x.org", false);
		rows[i].alias.full = pn_arena_printf(tool->arena, "a%zu@x.org", (i * 7919) % ROWS);
	}
	config = row(0, "zz", "x.org", false);
	(void)apply(tool, PN_SOURCE_SYNC, "", rows, ROWS);
	(void)apply(tool, PN_SOURCE_CONFIG, "", &config, 1);
	tool_must(tool, pn_directory_each_alias(tool->store, main_gateway, walk_alias, &walk, &tool->err));
	assert_int_equal(walk.n, ROWS + 1);
	assert_int_equal(walk.config, 1);
	walk = (struct walk){ .stop_at = 300 };
	tool_must(tool, pn_directory_each_alias(tool->store, PN_STR(""), walk_alias, &walk, &tool->err));
	assert_int_equal(walk.n, 300);
	walk = (struct walk){ .stop_at = 1 };	/* a stop in the first source stops it all */
	tool_must(tool, pn_directory_each_alias(tool->store, PN_STR(""), walk_alias, &walk, &tool->err));
	assert_int_equal(walk.n, 1);
	walk = (struct walk){ .n = 0 };
	tool_must(tool, pn_directory_each_alias(tool->store, PN_STR("mai"), walk_alias, &walk, &tool->err));
	assert_int_equal(walk.n, 0);
	tool_must(tool, pn_directory_apply(tool->store, PN_SOURCE_CONFIG, PN_STR(""), NULL, 0, NULL,
	    &tool->err));
	walk = (struct walk){ .ordered = true };
	tool_must(tool, pn_directory_each_alias(tool->store, main_gateway, walk_alias, &walk, &tool->err));
	assert_true(walk.ordered);
}

/* -- opening -- */

static void
everything_is_there_after_opening_again(void **state)
{
	struct tool *tool = *state;
	struct pn_alias_row rows[] = { row(1, "a", "x.org", true) };

	(void)apply(tool, PN_SOURCE_SYNC, "", rows, 1);
	tool_close(tool);
	tool_open(tool);
	assert_str(model_of(tool, "main", "a@x.org"), "crm.lead");
	assert_int_equal(count_local(tool, "a"), 1);
	assert_int_equal(generation(tool), 1);
}

static void
reading_only(void **state)
{
	struct tool *tool = tool_new();
	struct pn_alias_row rows[] = { row(1, "a", "x.org", true) };
	struct pn_directory_changes changes;

	(void)state;
	tool->options.read_only = true;
	tool->options.path = tool->path;
	assert_int_equal(pn_store_open(&tool->options, &tool->store, &tool->err), PN_TEMPFAIL);
	assert_non_null(strstr(tool->err.text, "no state yet"));
	tool->options.read_only = false;
	tool_open(tool);
	(void)apply(tool, PN_SOURCE_SYNC, "", rows, 1);
	tool_close(tool);
	tool->options.read_only = true;
	tool_open(tool);
	assert_str(model_of(tool, "main", "a@x.org"), "crm.lead");
	assert_int_equal(pn_directory_apply(tool->store, PN_SOURCE_SYNC, PN_STR(""), NULL, 0, &changes,
	    &tool->err),
	    PN_TEMPFAIL);
	assert_non_null(strstr(tool->err.text, "reading only"));
	tool_must(tool, pn_store_sync(tool->store, &tool->err));
	tool_free(tool);
}

static void
files_are_shared_with_the_group(void **state)
{
	struct tool *tool = tool_new();
	mode_t before = umask(077);
	char path[128];
	struct stat st;

	(void)state;
	tool_open(tool);
	(void)umask(before);
	(void)snprintf(path, sizeof(path), "%s/state/lock.mdb", tool->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	(void)snprintf(path, sizeof(path), "%s/directory", tool->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 02770);
	tool_free(tool);
}

static void
put_file(struct tool *tool, const char *name, const char *bytes, size_t n)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", tool->path, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, n, file), n);
	(void)fclose(file);
}

/* Whatever is in the way is named, and never ends the process. */
static void
files_that_are_not_ours(void **state)
{
	static char noise[8192];
	struct tool *tool = tool_new();
	char from[128], to[128];

	(void)state;
	tool_open(tool);
	tool_close(tool);
	memset(noise, 'x', sizeof(noise));
	put_file(tool, "state/data.mdb", noise, sizeof(noise));
	assert_int_equal(pn_store_open(&tool->options, &tool->store, &tool->err), PN_TEMPFAIL);
	assert_non_null(strstr(tool->err.text, "state/data.mdb"));
	assert_non_null(strstr(tool->err.text, "move it away"));

	tool_unlink(tool, "state/data.mdb");		/* the other environment under its name */
	(void)snprintf(from, sizeof(from), "%s/directory/data.mdb", tool->path);
	(void)snprintf(to, sizeof(to), "%s/state/data.mdb", tool->path);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(pn_store_open(&tool->options, &tool->store, &tool->err), PN_TEMPFAIL);
	assert_non_null(strstr(tool->err.text, "not Postern's"));
	tool->options.path = "/nonexistent/postern";
	assert_int_equal(pn_store_open(&tool->options, &tool->store, &tool->err), PN_TEMPFAIL);
	assert_non_null(strstr(tool->err.text, "/nonexistent/postern"));
	tool_free(tool);
}

static void
a_file_cut_off(void **state)
{
	struct tool *tool = *state;
	struct pn_alias_row rows[400];
	char path[128];

	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		rows[i] = row(i + 1, "a", "x.org", false);
		rows[i].alias.full = pn_arena_printf(tool->arena, "address-%zu@example.org", i);
	}
	(void)apply(tool, PN_SOURCE_SYNC, "", rows, PN_COUNT(rows));
	tool_close(tool);
	(void)snprintf(path, sizeof(path), "%s/directory/data.mdb", tool->path);
	assert_int_equal(truncate(path, 3 * 4096), 0);
	assert_int_equal(pn_store_open(&tool->options, &tool->store, &tool->err), PN_TEMPFAIL);
	assert_non_null(strstr(tool->err.text, "damaged"));
	tool->store = NULL;
}

/* Another process's change is there for the next view, without any reload. */
static void
changes_of_another_process(void **state)
{
	struct tool *tool = tool_new();
	struct pn_alias_row rows[] = { row(1, "a", "x.org", true) };
	int go[2], status;
	pid_t child;

	(void)state;
	tool->options.path = tool->path;
	assert_int_equal(pipe(go), 0);
	child = fork();
	if (child == 0) {
		struct pn_store *store;
		char byte;

		if (read(go[0], &byte, 1) != 1 || pn_store_open(&tool->options, &store, NULL) != PN_OK
		    || pn_directory_apply(store, PN_SOURCE_SYNC, PN_STR(""), rows, 1, NULL, NULL) != PN_OK)
			_exit(1);
		pn_store_close(store);
		_exit(0);
	}
	tool_open(tool);
	assert_int_equal(generation(tool), 0);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(generation(tool), 1);
	assert_str(model_of(tool, "main", "a@x.org"), "crm.lead");
	(void)close(go[0]);
	(void)close(go[1]);
	tool_free(tool);
}

#define WITH_STORE(f) cmocka_unit_test_setup_teardown(f, tool_setup, tool_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(apply_is_a_difference),
		WITH_STORE(one_gateway_leaves_the_others),
		WITH_STORE(config_goes_before_sync),
		WITH_STORE(local_parts_follow_their_aliases),
		WITH_STORE(bad_rows_change_nothing),
		WITH_STORE(views_are_consistent),
		WITH_STORE(a_rename_retires),
		WITH_STORE(a_rename_beside_the_configuration),
		WITH_STORE(renames_form_chains_and_no_circles),
		WITH_STORE(domains_remember_their_addresses),
		WITH_STORE(the_operator_retires),
		WITH_STORE(synced_times),
		WITH_STORE(walks_see_every_row),
		WITH_STORE(everything_is_there_after_opening_again),
		WITH_STORE(a_file_cut_off),
		cmocka_unit_test(reading_only),
		cmocka_unit_test(files_are_shared_with_the_group),
		cmocka_unit_test(files_that_are_not_ours),
		cmocka_unit_test(changes_of_another_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
