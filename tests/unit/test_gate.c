/* The whole end-of-message path over a real store. */
#include "gate_tool.h"

#include <lmdb.h>
#include <sys/wait.h>
#include <unistd.h>

static void
expect(struct gate_world *w, const char *name, const char *answer, const char *rule)
{
	if (strcmp(gate_answer(w), answer) != 0 || strcmp(gate_rule(w), rule) != 0)
		fail_msg("%s: %s by %s, not %s by %s", name, gate_answer(w), gate_rule(w), answer, rule);
}

/* -- what is answered --------------------------------------------------------------- */

#define FROM "From: jane@people.test\r\n"
#define BODY "Subject: x\r\n\r\nhello\r\n"
#define ID "Message-Id: <1@people.test>\r\n"
#define DSN "From: MAILER-DAEMON@mx.test\r\nTo: bounce@acme.test\r\nContent-Type: multipart/report; boundary=b\r\n\r\n" \
	"--b\r\n\r\nfailed\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n" \
	"Final-Recipient: rfc822; bob@people.test\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 no\r\n\r\n--b\r\n" \
	"Content-Type: message/rfc822\r\n\r\nMessage-Id: <out@acme.test>\r\n\r\nx\r\n--b--\r\n"

struct row {
	const char *name, *to, *mail, *answer, *rule;
	const char *added;		/* recipients; NULL: do not look */
	const char *delivered_to;
};

static const struct row rows[] = {
	{ "alias", "<sales@acme.test>", FROM "To: sales@acme.test\r\n" BODY, "accept", "alias",
	    "sales@acme.odoo.test", "" },
	{ "upper case", "<SALES@Acme.Test>", FROM "To: SALES@Acme.Test\r\n" BODY, "accept", "alias",
	    "SALES@acme.odoo.test", "" },
	{ "several", "sales@acme.test support@acme.test", FROM
	    "To: sales@acme.test\r\nCc: support@acme.test\r\n" BODY, "accept", "alias",
	    "sales@acme.odoo.test support@acme.odoo.test", "" },
	{ "Bcc", "sales@acme.test", FROM "To: x@people.test\r\n" BODY, "accept", "alias",
	    "sales@acme.odoo.test", "sales@acme.test" },
	{ "Bcc at a target on this host", "sales@keep.test", FROM "To: x@people.test\r\n" BODY, "accept",
	    "alias", "", "" },
	{ "beside a mailbox nothing is told", "sales@acme.test joe@people.test", FROM BODY, "accept", "none",
	    NULL, "" },
	{ "one address for all", "sales@done.test", FROM "To: sales@done.test\r\n" BODY, "accept", "alias",
	    "inbox@done.odoo.test", "" },
	{ "unknown address, learned table", "nobody@acme.test", FROM "To: nobody@acme.test\r\n" BODY,
	    "accept", "unknown_address", "nobody@acme.odoo.test", "" },
	{ "unknown address, complete table", "nobody@done.test", FROM "To: nobody@done.test\r\n" BODY,
	    "550 5.1.1", "none", "", "" },
	{ "perhaps a reply, complete table", "nobody@done.test",
	    FROM "To: nobody@done.test\r\nReferences: <who@knows.test>\r\n" BODY, "accept", "none", NULL,
	    "" },
	{ "subaddress", "sales+x@done.test", FROM "To: sales+x@done.test\r\n" BODY, "550 5.1.1", "none", "",
	    "" },
	{ "catchall", "catchall@acme.test", FROM "To: catchall@acme.test\r\n" BODY, "550 5.7.1",
	    "catchall_direct", "", "" },
	{ "catchall, perhaps a reply", "catchall@acme.test",
	    FROM "To: catchall@acme.test\r\nIn-Reply-To: <who@knows.test>\r\n" BODY, "accept",
	    "catchall_direct", "catchall@acme.odoo.test", "" },
	{ "catchall beside an alias", "catchall@acme.test sales@acme.test",
	    FROM "To: catchall@acme.test, sales@acme.test\r\n" BODY, "accept", "alias", NULL, "" },
	{ "catchall beside an unknown address", "catchall@done.test x@done.test",
	    FROM "To: catchall@done.test, x@done.test\r\n" BODY, "550 5.7.1", "catchall_mixed", "", "" },
	{ "catchall beside a mailbox", "catchall@acme.test joe@people.test", FROM
	    "To: catchall@acme.test, joe@people.test\r\n" BODY, "accept", "catchall_mixed", NULL, "" },
	{ "misconfigured", "group@done.test", FROM "To: group@done.test\r\n" BODY, "451 4.3.5",
	    "alias_invalid", "", "" },
	{ "misconfigured, another routes", "group@acme.test sales@acme.test", FROM
	    "To: group@acme.test, sales@acme.test\r\n" BODY, "accept", "alias", NULL, "" },
	{ "misconfigured, another may route", "group@acme.test new@acme.test", FROM
	    "To: group@acme.test, new@acme.test\r\n" BODY, "accept", "alias_invalid", NULL, "" },
	{ "who may write is not known", "members@acme.test", FROM "To: members@acme.test\r\n" BODY, "accept",
	    "alias", "members@acme.odoo.test", "" },
	{ "record is not known", "lead-11@acme.test", FROM "To: lead-11@acme.test\r\n" BODY, "accept",
	    "alias", "lead-11@acme.odoo.test", "" },
	{ "report", "bounce@acme.test", DSN, "accept", "is_bounce", "bounce@acme.odoo.test", "" },
	{ "answer to a loop notice", "sales@acme.test",
	    FROM "To: sales@acme.test\r\nReferences: <1-loop-detection-bounce-email@acme.test>\r\n" BODY,
	    "discard", "loop_headers", "", "" },
	{ "the same beside a mailbox", "sales@acme.test joe@people.test",
	    FROM "To: sales@acme.test\r\nReferences: <1-loop-detection-bounce-email@acme.test>\r\n" BODY,
	    "accept", "loop_headers", "", "" },
	{ "unreadable", "sales@acme.test", FROM "To: sales@\r\n" BODY, "accept", "parse",
	    "sales@acme.odoo.test", "" },
	{ "unreadable body", "sales@acme.test", FROM
	    "To: sales@acme.test\r\nContent-Type: font/woff\r\n" BODY, "accept", "parse",
	    "sales@acme.odoo.test", "" },
	{ "no header at all", "sales@acme.test", "\r\n", "accept", "alias", "sales@acme.odoo.test",
	    "sales@acme.test" },
	{ "our stamp", "sales@acme.test", FROM "X-Postern-Stamp: mx.test/acme\r\nTo: "
	    "sales@acme.test\r\n" BODY, "554 5.4.6", "stamp", "", "" },
	{ "a stamp for another gateway", "sales@acme.test", FROM
	    "X-Postern-Stamp: mx.test/done\r\nTo: sales@acme.test\r\n" BODY, "accept", "alias",
	    "sales@acme.odoo.test", "" },
	{ "role", "postmaster@acme.test", FROM "To: postmaster@acme.test\r\n" BODY, "accept", "",
	    "boss@people.test", "" },
	{ "nothing of ours", "joe@people.test", FROM "To: joe@people.test\r\n" BODY, "accept", "", "", "" },
};

static void
mails_are_answered(void **state)
{
	struct gate_world *w = *state;

	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		const struct row *row = &rows[i];

		gate_deliver(w, row->to, row->mail);
		expect(w, row->name, row->answer, row->rule);
		if (row->added != NULL && !pn_str_eq(gate_added(w, PN_EDIT_ADD_RCPT, NULL),
		    pn_str_c(row->added)))
			fail_msg("%s: to " PN_STR_FMT, row->name, PN_STR_ARG(gate_added(w, PN_EDIT_ADD_RCPT,
			    NULL)));
		if (!pn_str_eq(gate_added(w, PN_EDIT_INSERT_HEADER, "Delivered-To"),
		    pn_str_c(row->delivered_to)))
			fail_msg("%s: Delivered-To", row->name);
	}
}

static void
tenants_decide_alone(void **state)
{
	struct gate_world *w = *state;

	/* refused by one, routed by the other: softened, and each goes its way */
	gate_deliver(w, "sales@acme.test nobody@done.test", FROM
	    "To: sales@acme.test, nobody@done.test\r\n" BODY);
	assert_string_equal(gate_answer(w), "accept");
	assert_int_equal(w->result.part_count, 2);
	assert_int_equal(w->result.parts[0].verdict.rule, PN_RULE_ALIAS);
	assert_int_equal(w->result.parts[1].decided.action, PN_ACTION_REFUSE);
	assert_int_equal(w->result.parts[1].verdict.action, PN_ACTION_HAND_OVER);
	assert_true(pn_str_eq(gate_added(w, PN_EDIT_ADD_RCPT, NULL),
	    S("sales@acme.odoo.test inbox@done.odoo.test")));
	/* an address in a header steers nothing to its tenant */
	gate_deliver(w, "sales@acme.test", FROM "To: sales@acme.test, sales@done.test\r\n" BODY);
	assert_int_equal(w->result.part_count, 1);
	assert_true(pn_str_eq(gate_added(w, PN_EDIT_ADD_RCPT, NULL), S("sales@acme.odoo.test")));
}

static void
what_cannot_be_refused_is_handed_over(void **state)
{
	struct gate_world *w = *state;

	w->not_smtp = true;
	gate_deliver(w, "nobody@done.test", FROM "To: nobody@done.test\r\n" BODY);
	expect(w, "sendmail", "accept", "none");
	w->not_smtp = false;
	w->over_limit = true;
	gate_deliver(w, "nobody@done.test", FROM "To: nobody@done.test\r\n" BODY);
	expect(w, "over the limit", "accept", "limit");
}

static void
retired_addresses_reach_their_successor(void **state)
{
	struct gate_world *w = *state;
	struct pn_retired old = { S("done"), S("vertrieb@done.test"), S("sales@done.test"), NOW_MS / 1000 };

	tool_must(w->tool, pn_retired_put(w->tool->store, &old, &w->tool->err));
	gate_deliver(w, "vertrieb@done.test", FROM "To: vertrieb@done.test\r\n" BODY);
	expect(w, "retired", "accept", "alias");
	assert_true(pn_str_eq(gate_added(w, PN_EDIT_INSERT_HEADER, "Delivered-To"), S("sales@done.test")));
	/* the old catchall is one still */
	w->domains[DONE].catchall = S("all@done.test");
	tool_must(w->tool, pn_gate_apply(&w->gate, NOW_MS / 1000, NULL, &w->tool->err));
	gate_deliver(w, "catchall@done.test", FROM "To: catchall@done.test\r\nIn-Reply-To: "
	    "<who@knows.test>\r\n" BODY);
	expect(w, "old catchall, a reply", "accept", "catchall_mixed");
	gate_deliver(w, "catchall@done.test", FROM "To: catchall@done.test\r\n" BODY);
	expect(w, "old catchall", "550 5.7.1", "catchall_mixed");
}

/* -- threads -------------------------------------------------------------------------- */

static void
send(struct gate_world *w, const char *mail)
{
	w->outbound = w->authenticated = true;
	gate_deliver(w, "jane@people.test", mail);
	assert_string_equal(gate_answer(w), "accept");
	w->outbound = w->authenticated = false;
}

static void
reply(struct gate_world *w, const char *id)
{
	char mail[512];

	(void)snprintf(mail, sizeof(mail), FROM "To: catchall@acme.test\r\nReferences: %s\r\n" BODY, id);
	gate_deliver(w, "catchall@acme.test", mail);
}

#define OUT "From: Acme <notifications@acme.test>\r\nTo: jane@people.test\r\n"

static void
outbound_mail_teaches_threads(void **state)
{
	static const struct {
		const char *name, *mail, *asked, *rule, *model;
		uint64_t record;
		size_t learned;
	} table[] = {
		{ "its own id", OUT "Message-Id: <o1@acme.test>\r\nX-Odoo-Objects: crm.lead-42\r\n" BODY,
		    "<o1@acme.test>", "reply", "crm.lead", 42, 1 },
		{ "earlier ones", OUT "Message-Id: <o2@acme.test>\r\nReferences: <e1@people.test> "
		    "<e2@people.test>\r\n" "X-Odoo-Objects: crm.lead-43\r\n" BODY, "<e1@people.test>",
		    "reply", "crm.lead", 43, 3 },
		{ "a task and its project", OUT "Message-Id: <o3@acme.test>\r\nX-Odoo-Objects: "
		    "project.task-7, project.project-1\r\n" BODY, "<o3@acme.test>", "reply", "project.task",
		    7, 1 },
		{ "without the header, by its form", OUT
		    "Message-Id: <1.2-openerp-9-crm.lead@acme.test>\r\n" BODY,
		    "<1.2-openerp-9-crm.lead@acme.test>", "reply", "crm.lead", 9, 1 },
		{ "another spelling of From", "From: joe@ACME.test\r\nMessage-Id: "
		    "<o4@acme.test>\r\nX-Odoo-Objects: crm.lead-44\r\n" BODY, "<o4@acme.test>", "reply",
		    "crm.lead", 44, 1 },
		{ "mailing that wants new threads", OUT
		    "Message-Id: <1.2-openerp-reply_to@acme.test>\r\nX-Odoo-Objects: crm.lead-45\r\n" BODY,
		    "<x1@acme.test>", "catchall_direct", NULL, 0, 0 },
		{ "written by a person", OUT "Message-Id: <o5@acme.test>\r\n" BODY, "<o5@acme.test>",
		    "catchall_direct", NULL, 0, 0 },
		{ "somebody else's From", "From: joe@people.test\r\nMessage-Id: "
		    "<o6@acme.test>\r\nX-Odoo-Objects: crm.lead-46\r\n" BODY, "<o6@acme.test>",
		    "catchall_direct", NULL, 0, 0 },
		{ "another tenant's From", "From: joe@done.test\r\nMessage-Id: "
		    "<o7@acme.test>\r\nX-Odoo-Objects: crm.lead-47\r\n" BODY, "<o7@acme.test>",
		    "catchall_direct", NULL, 0, 1 },
		{ "no model", OUT "Message-Id: <o8@acme.test>\r\nX-Odoo-Objects: crm lead-48\r\n" BODY,
		    "<o8@acme.test>", "catchall_direct", NULL, 0, 0 },
		{ "a line break for a model", OUT "Message-Id: <o9@acme.test>\r\nX-Odoo-Objects: "
		    "=?utf-8?q?a=0AX=3A_b=2D3?=\r\n" BODY, "<o9@acme.test>", "catchall_direct", NULL, 0, 0 },
		{ "no record", OUT "Message-Id: <o10@acme.test>\r\nX-Odoo-Objects: crm.lead-0\r\n" BODY,
		    "<o10@acme.test>", "catchall_direct", NULL, 0, 0 },
		{ "stamped: it came from outside", OUT
		    "Message-Id: <o11@acme.test>\r\nX-Postern-Stamp: mx.test/acme\r\n"
		    "X-Odoo-Objects: crm.lead-49\r\n" BODY, "<o11@acme.test>", "catchall_direct", NULL, 0,
		    0 },
	};
	struct gate_world *w = *state;

	for (size_t i = 0; i < PN_COUNT(table); i++) {
		const struct pn_decision *d;

		send(w, table[i].mail);
		if (w->result.learned != table[i].learned)
			fail_msg("%s: %zu learned", table[i].name, w->result.learned);
		reply(w, table[i].asked);
		expect(w, table[i].name, "accept", table[i].rule);
		d = &w->result.parts[0].decision;
		if (table[i].model == NULL)
			continue;
		assert_int_equal(d->route_count, 1);
		assert_str(d->routes[0].model, table[i].model);
		assert_int_equal(d->routes[0].thread_id, table[i].record);
	}
}

static void
unauthenticated_with_a_past_is_not_outbound(void **state)
{
	struct gate_world *w = *state;

	w->outbound = true;
	gate_deliver(w, "jane@people.test", "Received: from x by y\r\n" OUT
	    "Message-Id: <r1@acme.test>\r\nX-Odoo-Objects: crm.lead-1\r\n" BODY);
	assert_int_equal(w->result.learned, 0);
	gate_deliver(w, "jane@people.test", OUT "Message-Id: <r2@acme.test>\r\nX-Odoo-Objects: "
	    "crm.lead-1\r\n" BODY);
	assert_int_equal(w->result.learned, 1);
	w->outbound = false;
	gate_deliver(w, "jane@people.test", OUT "Message-Id: <r3@acme.test>\r\nX-Odoo-Objects: "
	    "crm.lead-1\r\n" BODY);
	assert_int_equal(w->result.learned, 0);
}

static void
a_login_teaches_its_own_gateway_only(void **state)
{
	struct gate_world *w = *state;
	struct pn_str acme = S("odoo-acme"), done = S("odoo-done");

	w->outbound = w->authenticated = true;
	w->gateways[ACME].logins = (struct pn_strs){ &acme, 1 };
	w->gateways[DONE].logins = (struct pn_strs){ &done, 1 };
	w->user = done;
	gate_deliver(w, "jane@people.test", OUT "Message-Id: <l1@acme.test>\r\nX-Odoo-Objects: crm.lead-1\r\n" BODY);
	assert_int_equal(w->result.learned, 0);
	w->user = acme;
	gate_deliver(w, "jane@people.test", OUT "Message-Id: <l2@acme.test>\r\nX-Odoo-Objects: crm.lead-1\r\n" BODY);
	assert_int_equal(w->result.learned, 1);
	w->user = S("somebody");
	gate_deliver(w, "jane@people.test", OUT "Message-Id: <l3@acme.test>\r\nX-Odoo-Objects: crm.lead-1\r\n" BODY);
	assert_int_equal(w->result.learned, 1);
}

static void
accepted_mail_teaches_its_model(void **state)
{
	struct gate_world *w = *state;
	const struct pn_route *route;

	gate_deliver(w, "sales@acme.test", FROM "To: sales@acme.test\r\nMessage-Id: "
	    "<in1@people.test>\r\n" BODY);
	assert_string_equal(gate_answer(w), "accept");
	reply(w, "<in1@people.test>");
	expect(w, "its model is known, not its record", "accept", "reply");
	route = &w->result.parts[0].decision.routes[0];
	assert_str(route->model, "crm.lead");
	assert_true(route->thread_unknown);
	/* another alias takes it over: a forward */
	gate_deliver(w, "support@acme.test", FROM "To: support@acme.test\r\nReferences: "
	    "<in1@people.test>\r\n" BODY);
	expect(w, "forward", "accept", "alias");
	/* what was refused teaches nothing */
	gate_deliver(w, "nobody@done.test", FROM "To: nobody@done.test\r\nMessage-Id: "
	    "<in2@people.test>\r\n" BODY);
	reply(w, "<in2@people.test>");
	expect(w, "refused", "accept", "catchall_direct");
	assert_int_equal(tool_usage(w->tool).threads, 1);
}

static void
an_unknown_id_beside_a_known_one_is_a_doubt(void **state)
{
	static const struct { const char *name, *to, *references, *learned, *synced, *rule; } table[] = {
		{ "private", "catchall@done.test", "<p@done>", "550 5.7.1", "550 5.7.1", "catchall_direct" },
		{ "private, before another", "catchall@done.test", "<p@done> <who@knows>", "accept", "550 5.7.1",
		    "catchall_direct" },
		{ "private, behind another", "catchall@done.test", "<who@knows> <p@done>", "accept", "550 5.7.1",
		    "catchall_direct" },
		{ "two that are known", "catchall@done.test", "<p@done> <p2@done>", "550 5.7.1", "550 5.7.1",
		    "catchall_direct" },
		{ "misconfigured, forwarded", "group@done.test", "<t@done>", "451 4.3.5", "451 4.3.5", "alias_invalid" },
		{ "misconfigured, perhaps a reply", "group@done.test", "<t@done> <who@knows>", "accept", "451 4.3.5",
		    "alias_invalid" },
		{ "a reply all the same", "catchall@done.test", "<t@done> <who@knows>", "accept", "accept", "reply" },
	};
	const struct pn_thread threads[] = {
		{ .message_id = S("<p@done>"), .model = S(""), .origin = PN_THREAD_OUTBOUND },
		{ .message_id = S("<p2@done>"), .model = S(""), .origin = PN_THREAD_OUTBOUND },
		{ .message_id = S("<t@done>"), .model = S("project.task"), .res_id = 7, .origin = PN_THREAD_OUTBOUND },
	};
	struct gate_world *w = *state;
	char mail[512];

	tool_must(w->tool, pn_thread_learn(w->tool->store, S("done"), threads, PN_COUNT(threads), NOW_MS / 1000,
	    &w->tool->err));
	/* learned first, then read from Odoo in full */
	for (unsigned synced = 0; synced < 2; synced++) {
		for (size_t i = 0; i < PN_COUNT(table); i++) {
			(void)snprintf(mail, sizeof(mail), FROM "To: %s\r\nReferences: %s\r\n" BODY, table[i].to,
			    table[i].references);
			gate_deliver(w, table[i].to, mail);
			expect(w, table[i].name, synced ? table[i].synced : table[i].learned, table[i].rule);
		}
		tool_must(w->tool, pn_directory_synced(w->tool->store, S("done"), PN_TABLE_THREADS, NOW_MS / 1000,
		    &w->tool->err));
	}
}

static void
what_odoo_has_is_dropped(void **state)
{
	struct gate_world *w = *state;
	struct pn_thread threads[] = {
		{ .message_id = S("<known@x>"), .model = S("crm.lead"), .res_id = 1,
		    .origin = PN_THREAD_SYNCED },
		{ .message_id = S("<sent@x>"), .model = S("crm.lead"), .res_id = 1,
		    .origin = PN_THREAD_OUTBOUND },
		{ .message_id = S("<passed@x>"), .model = S("crm.lead"), .res_id = 0,
		    .origin = PN_THREAD_INBOUND },
	};

	tool_must(w->tool, pn_thread_learn(w->tool->store, S("acme"), threads, 3, NOW_MS / 1000,
	    &w->tool->err));
	gate_deliver(w, "sales@acme.test", FROM "To: sales@acme.test\r\nMessage-Id: <known@x>\r\n" BODY);
	expect(w, "synced", "discard", "duplicate_message_id");
	gate_deliver(w, "sales@acme.test joe@people.test", FROM
	    "To: sales@acme.test\r\nMessage-Id: <known@x>\r\n" BODY);
	expect(w, "synced, beside a mailbox", "accept", "duplicate_message_id");
	gate_deliver(w, "sales@acme.test", FROM "To: sales@acme.test\r\nMessage-Id: <sent@x>\r\n" BODY);
	expect(w, "our word for it is not enough", "accept", "alias");
	gate_deliver(w, "sales@acme.test", FROM "To: sales@acme.test\r\nMessage-Id: <passed@x>\r\n" BODY);
	expect(w, "nor is our own accept", "accept", "alias");
}

/* -- twins ----------------------------------------------------------------------------- */

#define TWIN FROM "To: sales@acme.test\r\n" ID BODY

static void
twins_wait_for_the_lease(void **state)
{
	static const struct { const char *name; int64_t after; const char *to, *answer, *rule; } table[] = {
		{ "the first", 0, "sales@acme.test", "accept", "alias" },
		{ "at once", 0, "sales@acme.test", "451 4.7.1", "twin" },
		{ "to others of ours", 10000, "sales@acme.test support@acme.test", "451 4.7.1", "twin" },
		{ "just before the end", 59999, "sales@acme.test", "451 4.7.1", "twin" },
		{ "beside a mailbox the mixed rule wins", 59999, "sales@acme.test joe@people.test", "accept",
		    "alias" },
		{ "another gateway", 59999, "sales@done.test", "accept", "alias" },
		{ "behind the lease", 60000, "sales@acme.test", "accept", "alias" },
		{ "and its own lease", 119999, "sales@acme.test", "451 4.7.1", "twin" },
	};
	struct gate_world *w = *state;

	for (size_t i = 0; i < PN_COUNT(table); i++) {
		w->now_ms = NOW_MS + table[i].after;
		gate_deliver(w, table[i].to, FROM "To: sales@acme.test, support@acme.test, "
		    "sales@done.test\r\n" ID BODY);
		expect(w, table[i].name, table[i].answer, table[i].rule);
	}
	/* a mail without Message-ID has no twin */
	for (size_t i = 0; i < 3; i++) {
		gate_deliver(w, "sales@acme.test", FROM "To: sales@acme.test\r\n" BODY);
		expect(w, "no Message-ID", "accept", "alias");
	}
}

static void
looking_takes_no_lease(void **state)
{
	struct gate_world *w = *state;

	w->dry_run = true;
	gate_deliver(w, "sales@acme.test", TWIN);
	expect(w, "explain", "accept", "alias");
	w->dry_run = false;
	gate_deliver(w, "sales@acme.test", TWIN);
	expect(w, "the mail itself", "accept", "alias");
	assert_int_equal(tool_usage(w->tool).leases, 1);
}

/* What may happen to an attempt that reaches us. */
enum fate { KEPT, REFUSED_BEHIND, CRASH_BEFORE, CRASH_AFTER, FATES };

/* A client that comes back until it is told 250. */
struct client {
	enum fate fates[2];		/* of its first attempts; KEPT from then on */
	int64_t pauses[2];		/* before the next attempt */
	size_t attempts;
	int64_t at;
	bool done;
};

struct story {
	struct gate_world *w;
	const char *mail;
	int64_t passed[64];		/* when we let it pass */
	size_t passed_n;
	size_t kept;
};

static void
attempt(struct story *story, struct client *c)
{
	enum fate fate = c->attempts < PN_COUNT(c->fates) ? c->fates[c->attempts] : KEPT;
	int64_t pause = c->attempts < PN_COUNT(c->pauses) ? c->pauses[c->attempts] : 61000;
	bool passed = false;

	c->attempts++;
	if (fate != CRASH_BEFORE) {
		story->w->now_ms = c->at;
		gate_deliver(story->w, "sales@acme.test", story->mail);
		passed = story->w->result.closing.action == PN_ACTION_ACCEPT;
		/* a mail is let through or comes back: never a 5xx, never thrown away */
		if (!passed && strcmp(gate_answer(story->w), "451 4.7.1") != 0)
			fail_msg("lost: %s", gate_answer(story->w));
		if (passed)
			story->passed[story->passed_n++] = c->at;
	}
	c->done = passed && fate == KEPT;
	story->kept += c->done;
	c->at += pause;
}

static void
tell(struct gate_world *w, struct client a, struct client b, const char *mail)
{
	struct story story = { .w = w, .mail = mail };

	while (!a.done || !b.done) {
		attempt(&story, b.done || (!a.done && a.at <= b.at) ? &a : &b);
		assert_true(a.attempts + b.attempts < 20);
	}
	assert_int_equal(story.kept, 2);
	for (size_t i = 1; i < story.passed_n; i++)
		assert_true(story.passed[i] - story.passed[i - 1] >= 60000);
}

static struct client
client(unsigned number, int64_t at)
{
	static const int64_t pauses[] = { 10000, 65000 };

	return (struct client){
		.fates = { number % FATES, number / FATES % FATES },
		.pauses = { pauses[number / FATES / FATES % 2], pauses[number / FATES / FATES / 2 % 2] },
		.at = at,
	};
}

/* Two deliveries of one message: every order of what can happen to their first
 * two attempts, with retries within and behind the lease. */
static void
no_order_loses_a_mail(void **state)
{
	static const int64_t starts[] = { 0, 5000, 62000 };
	struct gate_world *w = *state;
	unsigned stories = 0;
	char mail[256];

	w->gateways[ACME].loop_threshold = 1000000;
	for (unsigned i = 0; i < FATES * FATES * 4; i++)
		for (unsigned j = 0; j < FATES * FATES * 4; j++)
			for (size_t k = 0; k < PN_COUNT(starts); k++) {
				(void)snprintf(mail, sizeof(mail),
				    "From: p%u@x.test\r\nTo: sales@acme.test\r\n"
				    "Message-Id: <%u@x>\r\n\r\n", stories % 100, stories);
				tell(w, client(i, NOW_MS), client(j, NOW_MS + starts[k]), mail);
				stories++;
			}
	assert_int_equal(stories, 64 * 64 * 3);
}

/* -- loops ----------------------------------------------------------------------------------- */

static void
many(struct gate_world *w, unsigned n, const char *from, const char *to, const char *extra)
{
	static unsigned number;
	char mail[512];

	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(mail, sizeof(mail), "From: %s\r\nTo: %s\r\nMessage-Id: <m%u@x>\r\n%s\r\nx\r\n",
		    from, to, number++, extra);
		gate_deliver(w, to, mail);
		if (i + 1 < n)
			expect(w, "below the threshold", "accept",
			    pn_rule_name(w->result.parts[0].verdict.rule));
	}
}

static void
the_mail_behind_the_threshold_is_a_loop(void **state)
{
	struct gate_world *w = *state;

	many(w, 20, "jane@people.test", "sales@acme.test", "");
	expect(w, "20", "accept", "alias");
	many(w, 1, "Jane <JANE@people.test>", "sales@acme.test", "");
	expect(w, "21", "451 4.7.1", "loop_new");
	assert_int_equal(w->result.parts[0].decision.outcome, PN_LOOP_DETECTED);
	many(w, 1, "jane@people.test", "sales@acme.test", "Auto-Submitted: auto-replied\r\n");
	expect(w, "automatic", "550 5.4.6", "loop_new");
	many(w, 1, "jane@people.test", "support@acme.test", "");
	expect(w, "another model", "accept", "alias");
	many(w, 1, "joe@people.test", "sales@acme.test", "");
	expect(w, "another sender", "accept", "alias");
	many(w, 1, "jane@people.test", "sales@done.test", "");
	expect(w, "another gateway", "accept", "alias");
	many(w, 1, "jane@people.test", "lead-11@acme.test", "");
	expect(w, "on a record", "accept", "alias");
	w->now_ms = NOW_MS + 120 * 60 * 1000 - 1;
	many(w, 1, "jane@people.test", "sales@acme.test", "");
	expect(w, "just before the end of the window", "451 4.7.1", "loop_new");
	w->now_ms += 1;
	many(w, 1, "jane@people.test", "sales@acme.test", "");
	expect(w, "behind the window", "accept", "alias");
}

static void
records_and_unknown_addresses_are_counted(void **state)
{
	struct gate_world *w = *state;

	many(w, 20, "jane@people.test", "lead-11@acme.test", "");
	expect(w, "20 on a record", "accept", "alias");
	many(w, 1, "jane@people.test", "lead-11@acme.test", "");
	expect(w, "21 on a record", "451 4.7.1", "loop_update");
	many(w, 20, "jane@people.test", "new@acme.test", "");
	expect(w, "20 to an unknown address", "accept", "unknown_address");
	many(w, 1, "jane@people.test", "new@acme.test", "");
	assert_string_equal(gate_answer(w), "451 4.7.1");
	many(w, 1, "jane@people.test", "newer@acme.test", "");
	expect(w, "another unknown address", "accept", "unknown_address");
}

static void
some_are_never_counted(void **state)
{
	struct gate_world *w = *state;

	many(w, 30, "Monitoring <Monitor@People.test>", "sales@acme.test", "");
	expect(w, "allowed", "accept", "alias");
	/* a refused mail is not counted, nor is one that comes again */
	for (int i = 0; i < 30; i++)
		gate_deliver(w, "nobody@done.test", FROM "To: nobody@done.test\r\n" ID BODY);
	for (int i = 0; i < 30; i++) {
		gate_deliver(w, "postmaster@acme.test",
		    "From: kim@people.test\r\nTo: postmaster@acme.test\r\n" BODY);
		expect(w, "a role", "accept", "");
	}
	assert_int_equal(tool_usage(w->tool).windows, 0);
	for (int i = 0; i < 30; i++) {
		w->now_ms += 61000;
		gate_deliver(w, "sales@acme.test", "From: lee@people.test\r\nTo: "
		    "sales@acme.test\r\n" ID BODY);
		expect(w, "the same mail", "accept", "alias");
	}
}

static void
a_loop_spares_the_others(void **state)
{
	struct gate_world *w = *state;

	many(w, 20, "jane@people.test", "sales@acme.test", "");
	gate_deliver(w, "sales@acme.test joe@people.test", FROM
	    "To: sales@acme.test\r\nPrecedence: bulk\r\n" ID BODY);
	expect(w, "automatic beside a mailbox", "accept", "loop_new");
	assert_int_equal(w->result.parts[0].verdict.action, PN_ACTION_DISCARD);
	assert_true(pn_str_eq(gate_added(w, PN_EDIT_DELETE_RCPT, NULL), S("sales@acme.test")));
	assert_int_equal(gate_added(w, PN_EDIT_ADD_RCPT, NULL).n, 0);
	gate_deliver(w, "sales@acme.test joe@people.test", FROM "To: sales@acme.test\r\n" ID BODY);
	expect(w, "a person's beside a mailbox", "accept", "loop_new");
	assert_int_equal(w->result.parts[0].verdict.action, PN_ACTION_HAND_OVER);
	w->gateways[ACME].loop_person = PN_LOOP_HOLD;
	gate_deliver(w, "sales@acme.test", FROM "To: sales@acme.test\r\nMessage-Id: <h@x>\r\n" BODY);
	expect(w, "held", "hold", "loop_new");
	assert_true(gate_added(w, PN_EDIT_QUARANTINE, NULL).n > 0);
}

/* -- bounces ------------------------------------------------------------------------------------ */

static bool
note(void *ctx, const struct pn_bounce_event *event)
{
	unsigned *seen = ctx;

	assert_str(event->recipient, "bob@people.test");
	assert_str(event->message_id, "<out@acme.test>");
	assert_str(event->status, "5.1.1");
	assert_str(event->model, "crm.lead");
	assert_int_equal(event->res_id, 42);
	(*seen)++;
	return true;
}

static void
bounces_are_noted_once(void **state)
{
	struct gate_world *w = *state;
	unsigned seen = 0;

	send(w, OUT "Message-Id: <out@acme.test>\r\nX-Odoo-Objects: crm.lead-42\r\n" BODY);
	gate_deliver(w, "bounce@acme.test", "Message-Id: <dsn@x>\r\n" DSN);
	expect(w, "bounce", "accept", "is_bounce");
	gate_deliver(w, "bounce@acme.test", "Message-Id: <dsn@x>\r\n" DSN);
	expect(w, "its twin", "451 4.7.1", "twin");
	tool_must(w->tool, pn_bounce_each(w->tool->store, S("acme"), note, &seen, &w->tool->err));
	assert_int_equal(seen, 1);
}

/* -- trouble --------------------------------------------------------------------------------------- */

/* Another process takes every slot for readers of the directory, until it is
 * told to go.  Returns the pipe's end to close. */
static int
take_all_slots(const struct gate_world *w, pid_t *child)
{
	int ready[2], go[2];
	char path[128], byte;

	(void)snprintf(path, sizeof(path), "%s/directory", w->tool->path);
	assert_int_equal(pipe(ready) | pipe(go), 0);
	*child = fork();
	if (*child == 0) {
		MDB_env *env;
		MDB_txn *txn;

		(void)close(go[1]);
		if (mdb_env_create(&env) != 0 || mdb_env_open(env, path, MDB_NOTLS | MDB_RDONLY, 0) != 0)
			_exit(1);
		while (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0)
			;
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		_exit(read(go[0], &byte, 1) != 0);
	}
	(void)close(go[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	return go[1];
}

static void
what_cannot_be_found_out_is_deferred(void **state)
{
	struct gate_world *w = *state;
	int go, status;
	pid_t child;

	/* nothing can be looked up */
	pn_arena_reset(w->arena);
	gate_deliver(w, "sales@acme.test", TWIN);
	go = take_all_slots(w, &child);
	{
		struct pn_envelope_rcpt rcpts[] = {
			{ .raw = S("<sales@acme.test>"), .who = { .kind = PN_RCPT_ALIAS,
			    .answer = PN_RCPT_OURS, .gateway = &w->gateways[ACME],
			    .domain = &w->domains[ACME] } },
			{ .raw = S("<joe@people.test>"), .who = { .answer = PN_RCPT_PASS } },
		};
		struct pn_gate_mail mail = { .rcpts = rcpts, .smtp = true, .now_ms = NOW_MS };

		for (mail.rcpt_count = 1; mail.rcpt_count <= 2; mail.rcpt_count++) {
			pn_arena_reset(w->arena);
			mail.mime = gate_mime(w, S("\r\n"));
			pn_gate_decide(&w->gate, &mail, w->arena, &w->result);
			expect(w, "no look at the directory", "451 4.3.0", "trouble");
		}
		mail.rcpt_count = 1;
		mail.smtp = false;
		pn_gate_decide(&w->gate, &mail, w->arena, &w->result);
		expect(w, "nobody to tell", "accept", "trouble");
	}
	(void)close(go);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	tool_must(w->tool, pn_store_sweep(w->tool->store, NOW_MS / 1000, 1, &(size_t){ 0 }, &w->tool->err));
	w->now_ms += 61000;
	gate_deliver(w, "sales@acme.test", TWIN);
	expect(w, "mended", "accept", "alias");
}

static void
a_full_state_defers(void **state)
{
	struct gate_world *w = *state;
	char mail[2048];
	unsigned i = 0;

	tool_close(w->tool);
	w->tool->options.state_map_size = 1 << 20;
	tool_open(w->tool);
	w->gate.store = w->tool->store;
	do {
		(void)snprintf(mail, sizeof(mail), "From: p%u@x\r\nTo: sales@acme.test\r\nMessage-Id: "
		    "<%0900u@x>\r\n\r\n", i, i);
		gate_deliver(w, "sales@acme.test", mail);
	} while (w->result.closing.action == PN_ACTION_ACCEPT && ++i < 20000);
	expect(w, "map full", "451 4.3.0", "trouble");
	/* what needs no lease passes */
	gate_deliver(w, "joe@people.test", FROM BODY);
	expect(w, "not ours", "accept", "");
}

/* -- bad input ----------------------------------------------------------------------------------------- */

/* `piece` with %u for a number, n times. */
static void
repeated(struct pn_buf *buf, const char *head, const char *piece, unsigned n, const char *tail)
{
	pn_buf_reset(buf);
	pn_buf_add_c(buf, head);
	for (unsigned i = 0; i < n; i++) {
		const char *number = strstr(piece, "%u");

		if (number == NULL) {
			pn_buf_add_c(buf, piece);
			continue;
		}
		pn_buf_add(buf, pn_str_n(piece, (size_t)(number - piece)));
		pn_buf_addf(buf, "%u", i);
		pn_buf_add_c(buf, number + 2);
	}
	pn_buf_add_c(buf, tail);
}

static void
bad_input_ends_soon(void **state)
{
	static const struct { const char *name, *head, *piece; unsigned n; const char *tail; } table[] = {
		{ "100,000 recipients", FROM "To: ", "u%u@acme.test,", 100000, "\r\n\r\n" },
		{ "100,000 strangers", FROM "To: ", "u%u@x.test,", 100000, "\r\n\r\n" },
		{ "the same 100,000 times", FROM "Cc: ", "sales@acme.test,", 100000, "\r\n\r\n" },
		{ "10,000 References", FROM "To: sales@acme.test\r\nReferences:", " <%u@x.test>\r\n", 10000,
		    "\r\n" },
		{ "10,000 fields", FROM, "To: u%u@acme.test\r\n", 10000, "\r\n" },
		{ "a header of 1 MB", FROM "To: ", "aaaaaaaaaaaaaaaa", 65536, "\r\n\r\n" },
		{ "brackets", FROM "To: ", "(<", 50000, "\r\n\r\n" },
		{ "quotes", FROM "To: ", "\"\\", 50000, "\r\n\r\n" },
		{ "groups", FROM "To: ", "a:", 50000, "\r\n\r\n" },
		{ "blanks", FROM "To: x", " ", 500000, "y\r\n\r\n" },
		{ "at signs", FROM "To: ", "@", 100000, "\r\n\r\n" },
		{ "an address of 64 kB", FROM "To: ", "x", 65536, "@acme.test\r\n\r\n" },
		{ "encoded words", FROM "To: ", "=?utf-8?q?a?= ", 20000, "<sales@acme.test>\r\n\r\n" },
		{ "folds", FROM "To: ", "\r\n ", 100000, "sales@acme.test\r\n\r\n" },
		{ "nested parts", FROM "To: bounce@acme.test\r\n",
		    "Content-Type: multipart/report; boundary=b%u\r\n\r\n--b%u\r\n", 1000, "\r\n" },
		{ "nested mails", FROM "To: bounce@acme.test\r\n", "Content-Type: message/rfc822\r\n\r\n",
		    5000, "\r\n" },
		{ "parameters", FROM "Content-Type: text/plain", "; a*%u=b", 50000, "\r\n\r\n" },
		{ "our own headers", FROM, "X-Postern-Stamp: mx.test/x\r\n", 10000,
		    "To: sales@acme.test\r\n\r\n" },
		{ "ids without an end", FROM "References: ", "<a", 100000, "\r\n\r\n" },
		{ "line ends", FROM "To: ", "\r\n\n\r ", 50000, "\r\n\r\n" },
	};
	struct gate_world *w = *state;
	struct pn_buf buf;

	pn_buf_init(&buf, 8 << 20);
	for (size_t i = 0; i < PN_COUNT(table); i++) {
		repeated(&buf, table[i].head, table[i].piece, table[i].n, table[i].tail);
		pn_buf_add(&buf, pn_str_n("", 1));
		/* the process ends when one of them takes longer */
		(void)alarm(60);
		gate_deliver(w, "sales@acme.test", pn_buf_str(&buf).p);
		(void)alarm(0);
		if (gate_rule(w)[0] == '\0' || w->result.parts[0].verdict.reason.n == 0)
			fail_msg("%s: no answer", table[i].name);
	}
	pn_buf_done(&buf);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, gate_setup, gate_teardown)
	const struct CMUnitTest tests[] = {
		TEST(mails_are_answered),
		TEST(tenants_decide_alone),
		TEST(what_cannot_be_refused_is_handed_over),
		TEST(retired_addresses_reach_their_successor),
		TEST(outbound_mail_teaches_threads),
		TEST(unauthenticated_with_a_past_is_not_outbound),
		TEST(a_login_teaches_its_own_gateway_only),
		TEST(accepted_mail_teaches_its_model),
		TEST(an_unknown_id_beside_a_known_one_is_a_doubt),
		TEST(what_odoo_has_is_dropped),
		TEST(twins_wait_for_the_lease),
		TEST(looking_takes_no_lease),
		TEST(no_order_loses_a_mail),
		TEST(the_mail_behind_the_threshold_is_a_loop),
		TEST(records_and_unknown_addresses_are_counted),
		TEST(some_are_never_counted),
		TEST(a_loop_spares_the_others),
		TEST(bounces_are_noted_once),
		TEST(what_cannot_be_found_out_is_deferred),
		TEST(a_full_state_defers),
		TEST(bad_input_ends_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
