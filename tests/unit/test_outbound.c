/* Mail that leaves, from the header to the list of changes, with a real store. */
#include "gate_tool.h"
#include "postern/departure.h"

/* -- relays ------------------------------------------------------------------------- */

static const struct pn_relay table[] = {
	{ .name = S("ceo"), .index = 0, .host = S("ceo.relay.test"), .port = 587, .security = PN_SECURITY_STARTTLS,
	    .from_filter = S("ceo@acme.test"), .active = true },
	{ .name = S("first"), .index = 1, .host = S("one.relay.test"), .port = 587, .security = PN_SECURITY_STARTTLS,
	    .from_filter = S("acme.test"), .active = true, .limits = { { 2, 86400000, false } }, .limit_count = 1 },
	{ .name = S("second"), .index = 2, .host = S("two.relay.test"), .port = 465, .security = PN_SECURITY_SSL_STRICT,
	    .from_filter = S("acme.test,beta.test"), .active = true, .limits = { { 2, 86400000, false } },
	    .limit_count = 1 },
	{ .name = S("mass"), .index = 3, .host = S("mass.relay.test"), .port = 587, .security = PN_SECURITY_STARTTLS,
	    .from_filter = S("news.test"), .active = true, .mass_mailing = true },
	{ .name = S("done"), .index = 4, .host = S("done.relay.test"), .port = 25, .gateway = S("done"),
	    .active = true },
};

static int
setup(void **state)
{
	struct gate_world *w;
	int failed = gate_setup(state);

	w = *state;
	w->config.relays = (struct pn_relays){ table, PN_COUNT(table) };
	w->config.rewrite = true;
	w->outbound = w->authenticated = true;
	return failed;
}

/* -- one mail ------------------------------------------------------------------------ */

struct row {
	const char *name;
	const char *sender;		/* MAIL FROM */
	const char *from;		/* lines of the header */
	const char *to;			/* those with ! stay on this host */
	const char *relay;		/* NULL: none */
	enum pn_outbound_answer answer;
	const char *route;
	const char *new_from;		/* NULL: stays */
	const char *new_sender;		/* NULL: stays */
};

static void
decide(struct gate_world *w, const struct row *row, const char *message_id, bool may_refuse)
{
	struct pn_gate_mail mail = { .smtp = may_refuse, .outbound = true, .authenticated = w->authenticated, .takes_relay = true,
		.user = w->user,
		.sender = pn_str_c(row->sender), .null_sender = row->sender[0] == '\0', .dry_run = w->dry_run,
		.now_ms = w->now_ms };
	struct pn_str text, body;

	pn_arena_reset(w->arena);
	text = pn_arena_printf(w->arena, "%sMessage-Id: %s\r\n\r\nhello\r\n", row->from, message_id);
	assert_int_equal(pn_fields_split(text, w->arena, &mail.fields, &body), PN_OK);
	mail.rcpt_count = gate_rcpts(w, row->to);
	mail.rcpts = w->rcpts;
	for (size_t i = 0; i < mail.rcpt_count; i++)
		w->rcpts[i].leaves = w->rcpts[i].who.domain == NULL && w->rcpts[i].raw.p[0] != '!';
	pn_gate_decide(&w->gate, &mail, w->arena, &w->result);
}

static const struct pn_edit *
find_edit(const struct gate_world *w, enum pn_edit_kind kind, struct pn_str name)
{
	for (size_t i = 0; i < w->result.closing.edit_count; i++)
		if (w->result.closing.edits[i].kind == kind && pn_str_eq_nocase(w->result.closing.edits[i].name, name))
			return &w->result.closing.edits[i];
	return NULL;
}

static void
assert_text(const char *name, const char *what, const struct pn_edit *edit, const char *want)
{
	if (want == NULL ? edit != NULL : edit == NULL || !pn_str_eq(edit->text, pn_str_c(want)))
		fail_msg("%s: %s is \"" PN_STR_FMT "\", not \"%s\"", name, what,
		    PN_STR_ARG(edit == NULL ? PN_STR("(as it was)") : edit->text), want == NULL ? "(as it was)" : want);
}

static void
check(struct gate_world *w, const struct row *row)
{
	const struct pn_outbound *out = &w->result.outbound;

	if (out->answer != row->answer || (row->relay == NULL) != (out->relay == NULL)
	    || (out->relay != NULL && !pn_str_eq(out->relay->name, pn_str_c(row->relay))))
		fail_msg("%s: %s by " PN_STR_FMT ", " PN_STR_FMT, row->name, pn_outbound_answer_name(out->answer),
		    PN_STR_ARG(out->relay == NULL ? PN_STR("nobody") : out->relay->name), PN_STR_ARG(out->reason));
	assert_text(row->name, "the route", find_edit(w, PN_EDIT_ADD_HEADER, S("X-Postern-Relay")), row->route);
	assert_text(row->name, "the From", find_edit(w, PN_EDIT_CHANGE_HEADER, S("From")), row->new_from);
	assert_text(row->name, "the sender", find_edit(w, PN_EDIT_CHANGE_SENDER, S("")), row->new_sender);
	if (row->route != NULL)
		assert_non_null(find_edit(w, PN_EDIT_DELETE_HEADER, S("X-Postern-Relay")));
}

#define B "bounce@acme.test"
#define ROUTE_1 "postern-starttls:[one.relay.test]:587"

static const struct row rows[] = {
	{ "a domain's relay", B, "From: Jo <jo@acme.test>\r\n", "x@else.test", "first", PN_OUTBOUND_ROUTE, ROUTE_1,
	    NULL, NULL },
	{ "an address before its domain", B, "From: ceo@acme.test\r\n", "x@else.test", "ceo", PN_OUTBOUND_ROUTE,
	    "postern-starttls:[ceo.relay.test]:587, [one.relay.test]:587", NULL, "ceo@acme.test" },
	{ "a strange From is encapsulated", B, "From: Jo <jo@else.test>\r\n", "x@else.test", "first",
	    PN_OUTBOUND_ROUTE, ROUTE_1, "\"Jo\" <notifications@acme.test>", NULL },
	{ "its name is encoded", B, "From: =?utf-8?q?J=C3=B6?= <jo@else.test>\r\n", "x@else.test", "first",
	    PN_OUTBOUND_ROUTE, ROUTE_1, "=?utf-8?q?J=C3=B6?=\n <notifications@acme.test>", NULL },
	{ "no From at all", B, "", "x@else.test", "first", PN_OUTBOUND_ROUTE, ROUTE_1, NULL, NULL },
	{ "Return-Path tells whose mail it is", "jo@else.test", "Return-Path: <" B ">\r\nFrom: jo@else.test\r\n",
	    "x@else.test", "first", PN_OUTBOUND_ROUTE, ROUTE_1, "\"jo\" <notifications@acme.test>", B },
	{ "a null sender stays null", "", "From: jo@acme.test\r\n", "x@else.test", "first", PN_OUTBOUND_ROUTE, ROUTE_1,
	    NULL, NULL },
	{ "a relay without filter", "bounce@done.test", "From: jo@done.test\r\n", "x@else.test", "done",
	    PN_OUTBOUND_ROUTE, "postern-plain:[done.relay.test]:25", "\"jo\" <notifications@done.test>", NULL },
	{ "mass mailing", B, "From: news@news.test\r\nList-Unsubscribe: <https://x.test/>\r\nPrecedence: list\r\n",
	    "x@else.test", "mass", PN_OUTBOUND_ROUTE, "postern-starttls:[mass.relay.test]:587", NULL, "news@news.test" },
	{ "beside somebody here: no FILTER", B, "From: jo@acme.test\r\n", "x@else.test !root@here.test",
	    "first", PN_OUTBOUND_ROUTE, NULL, NULL, NULL },
	{ "beside an alias of ours", B, "From: jo@acme.test\r\n", "x@else.test sales@acme.test", "first",
	    PN_OUTBOUND_ROUTE, NULL, NULL, NULL },
};

static void
leaves_by_the_relay_of_its_from(void **state)
{
	struct gate_world *w = *state;

	w->dry_run = true;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		decide(w, &rows[i], "<1@acme.test>", true);
		assert_true(w->result.departed);
		check(w, &rows[i]);
	}
}

/* -- quotas ------------------------------------------------------------------------------ */

static const struct row acme = { "acme", B, "From: jo@acme.test\r\n", "x@else.test", NULL, PN_OUTBOUND_ROUTE, NULL,
	NULL, NULL };

static const char *
relay_of(struct gate_world *w, const char *message_id)
{
	decide(w, &acme, message_id, true);
	return w->result.outbound.relay == NULL ? "none" : pn_arena_cstr(w->arena, w->result.outbound.relay->name);
}

static void
a_spent_relay_gives_way(void **state)
{
	struct gate_world *w = *state;

	assert_string_equal(relay_of(w, "<1@a>"), "first");
	assert_string_equal(relay_of(w, "<1@a>"), "first");
	assert_true(w->result.outbound.counted_before);
	assert_string_equal(relay_of(w, "<2@a>"), "first");
	assert_string_equal(relay_of(w, "<3@a>"), "second");
	assert_string_equal(relay_of(w, "<4@a>"), "second");
	/* the same mail again finds its place */
	assert_string_equal(relay_of(w, "<2@a>"), "first");
	/* nobody is left: it waits for whichever opens first, and no one list can name both */
	assert_string_equal(relay_of(w, "<5@a>"), "first");
	assert_int_equal(w->result.outbound.answer, PN_OUTBOUND_WAIT);
	assert_true(w->result.outbound.live);
	w->config.relays.n = 2;
	assert_string_equal(relay_of(w, "<5@a>"), "first");
	assert_int_equal(w->result.outbound.answer, PN_OUTBOUND_WAIT);
	assert_text("waiting", "the route", find_edit(w, PN_EDIT_ADD_HEADER, S("X-Postern-Relay")),
	    "postern-wait-starttls:[one.relay.test]:587");
	w->now_ms += 86400000;
	assert_string_equal(relay_of(w, "<5@a>"), "first");
	assert_int_equal(w->result.outbound.answer, PN_OUTBOUND_ROUTE);
}

static void
who_has_a_queue_is_refused(void **state)
{
	struct gate_world *w = *state;

	w->config.when_spent = PN_WHEN_SPENT_REFUSE;
	for (int i = 0; i < 4; i++)
		(void)relay_of(w, (const char *[]){ "<1@a>", "<2@a>", "<3@a>", "<4@a>" }[i]);
	decide(w, &acme, "<5@a>", true);
	assert_int_equal(w->result.closing.action, PN_ACTION_DEFER);
	assert_string_equal(w->result.closing.reply.code, "450");
	assert_true(pn_str_contains(w->result.closing.reply.text, S("until 2023-11-15 22:14 UTC")));
	/* sendmail(1) cannot be told */
	decide(w, &acme, "<5@a>", false);
	assert_int_equal(w->result.outbound.answer, PN_OUTBOUND_WAIT);
}

static void
without_rewriting_nobody_carries_a_strange_from(void **state)
{
	struct gate_world *w = *state;
	struct row row = rows[2];

	w->config.rewrite = false;
	decide(w, &row, "<1@a>", true);
	assert_int_equal(w->result.closing.action, PN_ACTION_REFUSE);
	assert_string_equal(w->result.closing.reply.code, "550");
	assert_string_equal(w->result.closing.reply.xcode, "5.7.1");
	assert_string_equal(relay_of(w, "<2@a>"), "first");
}

/* Nothing that stands beside it, or that is too long, opens a way round. */
static void
no_way_round(void **state)
{
	struct gate_world *w = *state;
	struct row row = rows[2];
	char sender[400];

	/* a bounce address that cannot be one: the From is changed all the same */
	(void)snprintf(sender, sizeof(sender), "%0350d@acme.test", 0);
	row.sender = sender;
	decide(w, &row, "<1@a>", true);
	assert_text("a long sender", "the From", find_edit(w, PN_EDIT_CHANGE_HEADER, S("From")), row.new_from);
	assert_text("a long sender", "the sender", find_edit(w, PN_EDIT_CHANGE_SENDER, S("")), "notifications@acme.test");
	/* Return-Path of another gateway than the sender's */
	row = rows[2];
	row.from = "Return-Path: <bounce@done.test>\r\nFrom: jo@else.test\r\n";
	decide(w, &row, "<2@a>", true);
	assert_string_equal(w->result.outbound.gateway->name.p, "acme");
	w->config.rewrite = false;
	row = rows[2];
	row.to = "x@else.test sales@acme.test";
	decide(w, &row, "<3@a>", true);
	assert_int_equal(w->result.closing.action, PN_ACTION_REFUSE);
	row = rows[8];
	row.from = "From: jo@else.test\r\nList-Unsubscribe: <https://x.test/>\r\nPrecedence: list\r\n";
	decide(w, &row, "<4@a>", true);
	assert_int_equal(w->result.closing.action, PN_ACTION_REFUSE);
}

static void
a_login_is_bound_to_its_gateway(void **state)
{
	struct gate_world *w = *state;
	static struct pn_str logins[] = { S("odoo-acme") };
	struct row row = { "done's From", "bounce@done.test", "From: jo@done.test\r\n", "x@else.test", NULL,
		PN_OUTBOUND_ROUTE, NULL, NULL, NULL };

	decide(w, &row, "<1@a>", true);
	assert_string_equal(w->result.outbound.relay->name.p, "done");
	w->gateways[ACME].logins = (struct pn_strs){ logins, 1 };
	w->user = S("odoo-acme");
	decide(w, &row, "<2@a>", true);
	assert_string_equal(w->result.outbound.relay->name.p, "first");
	assert_text("bound", "the From", find_edit(w, PN_EDIT_CHANGE_HEADER, S("From")), "\"jo\" <notifications@acme.test>");
	/* to SASL's data bases it is often the same name */
	w->user = S("Odoo-ACME");
	decide(w, &row, "<2@a>", true);
	assert_string_equal(w->result.outbound.relay->name.p, "first");
	/* the null sender of nobody's mail opens nobody's relay */
	row.sender = "";
	row.from = "From: ceo@bank.test\r\n";
	w->user = PN_STR_EMPTY;
	w->config.relays = (struct pn_relays){ table + 4, 1 };
	decide(w, &row, "<3@a>", true);
	assert_int_equal(w->result.outbound.answer, PN_OUTBOUND_DEFAULT);
}

/* Postfix sends to each recipient once. */
static void
a_recipient_named_twice_is_one(void **state)
{
	struct gate_world *w = *state;
	struct row row = acme;

	row.to = "x@else.test x@else.test x@else.test";
	decide(w, &row, "<1@a>", true);
	assert_string_equal(w->result.outbound.relay->name.p, "first");
	assert_string_equal(relay_of(w, "<2@a>"), "first");
	assert_string_equal(relay_of(w, "<3@a>"), "second");
}

/* Rule 12, step 5: which From may stay is told by Odoo's parameter. */
static void
without_a_relay_the_default_filter_counts(void **state)
{
	struct gate_world *w = *state;
	struct row strange = { "a strange From", B, "From: Jo <jo@else.test>\r\n", "x@else.test", NULL, PN_OUTBOUND_DEFAULT,
		NULL, NULL, NULL }, own = strange;

	own.from = acme.from;
	own.name = "an own From";
	w->config.relays.n = 0;
	decide(w, &strange, "<1@a>", true);
	check(w, &strange);
	w->config.default_from_filter = S("acme.test");
	strange.new_from = "\"Jo\" <notifications@acme.test>";
	decide(w, &strange, "<1@a>", true);
	check(w, &strange);
	decide(w, &own, "<1@a>", true);
	check(w, &own);
}

static void
a_live_route_is_left_to_the_map(void **state)
{
	struct gate_world *w = *state;
	struct pn_error err = { "" };
	struct pn_str route;

	w->config.live_routes = true;
	decide(w, &acme, "<1@a>", true);
	assert_true(w->result.outbound.live);
	assert_null(find_edit(w, PN_EDIT_ADD_HEADER, S("X-Postern-Relay")));
	assert_int_equal(pn_outbound_route(&w->gate, S(B), w->now_ms, w->arena, &route, &err), PN_OK);
	/* it is counted when it is delivered */
	assert_true(pn_str_eq(route, S("postern-wait-starttls:[one.relay.test]:587")));
	decide(w, &rows[1], "<2@a>", true);
	assert_true(w->result.outbound.live);
	/* the map knows the envelope only */
	decide(w, &rows[6], "<3@a>", true);
	assert_false(w->result.outbound.live);
}

static void
what_never_leaves(void **state)
{
	struct gate_world *w = *state;
	struct row row = acme;

	row.from = "Bcc: a@b.test\r\nFrom: jo@acme.test\r\nBCC: c@d.test\r\nReturn-Path: <" B ">\r\nX-Postern-Relay: evil\r\n";
	decide(w, &row, "<1@a>", true);
	assert_int_equal(find_edit(w, PN_EDIT_DELETE_HEADER, S("bcc"))->index, 2);
	assert_non_null(find_edit(w, PN_EDIT_DELETE_HEADER, S("return-path")));
	/* the one that came is gone before ours is added, so ours is the first */
	assert_int_equal(w->result.closing.edits[w->result.closing.edit_count - 1].index, 1);
	assert_int_equal(w->result.closing.edits[0].kind, PN_EDIT_DELETE_HEADER);
}

static void
too_many_fields_are_refused(void **state)
{
	struct gate_world *w = *state;
	struct row row = acme;
	char text[8192] = "From: jo@acme.test\r\n";

	for (int i = 0; i <= PN_DEPARTURE_DELETIONS_MAX; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "Bcc: a@b.test\r\n");
	row.from = text;
	decide(w, &row, "<1@a>", true);
	assert_int_equal(w->result.closing.action, PN_ACTION_REFUSE);
}

static void
only_what_is_ours_leaves(void **state)
{
	struct gate_world *w = *state;
	struct row row = acme;

	/* our own stamp: it came from the gate; but who has logged in gets round nothing by it */
	row.from = "From: jo@acme.test\r\nX-Postern-Stamp: mx.test/acme\r\n";
	decide(w, &row, "<1@a>", true);
	assert_true(w->result.departed);
	w->authenticated = false;
	decide(w, &row, "<1@a>", true);
	assert_false(w->result.departed);
	/* no relay of its gateway: Postfix's own way */
	w->config.relays.n = 0;
	decide(w, &acme, "<1@a>", true);
	assert_int_equal(w->result.outbound.answer, PN_OUTBOUND_DEFAULT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, gate_teardown)
		T(leaves_by_the_relay_of_its_from),
		T(a_spent_relay_gives_way),
		T(who_has_a_queue_is_refused),
		T(without_rewriting_nobody_carries_a_strange_from),
		T(no_way_round),
		T(a_login_is_bound_to_its_gateway),
		T(a_recipient_named_twice_is_one),
		T(without_a_relay_the_default_filter_counts),
		T(a_live_route_is_left_to_the_map),
		T(what_never_leaves),
		T(too_many_fields_are_refused),
		T(only_what_is_ours_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
