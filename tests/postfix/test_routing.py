"""What becomes of a mail: each kind of the inbound gateway through a real Postfix, as the sender and Odoo see it."""

import json
import threading

from gateway import *
from lab import *

LATE = "7201"		# seconds: past the window of two hours

MORE = """
alias "board@acme.example" { model = hr.job  contact = followers  gateway = "acme" }
alias "5%%off@acme.example" { model = hr.job  contact = followers  gateway = "acme" }
alias "broken@acme.example" { model = x.silent  gateway = "acme" }
model "x.silent" { accepts_mail = no }
""".replace("%%", "%")

BOUNCE = """\
From: MAILER-DAEMON@mx.customer.test (Mail Delivery System)
To: bounce@acme.example
Subject: Undelivered Mail Returned to Sender
Message-ID: <dsn-1@mx.customer.test>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="B"

--B
Content-Type: text/plain

Sorry.

--B
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.customer.test

Final-Recipient: rfc822; gone@customer.test
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 nobody of that name

--B
Content-Type: message/rfc822

From: sales@acme.example
To: gone@customer.test
Message-ID: <offer-7@acme.example>

An offer.
--B--
"""


# name, RCPT, To, further headers, gateway keys; what comes: code, status, rule, recipients at Odoo's side
@cases(
	("alias", ["sales"], ["sales"], "", (250, "2.0.0"), "alias", ["sales"]),
	("several aliases", ["sales", "help"], ["sales", "help"], "", (250, "2.0.0"), "alias", ["sales", "help"]),
	("upper case", ["SALES@ACME.Example"], ["SALES@ACME.Example"], "", (250, "2.0.0"), "alias", ["SALES"]),
	("copied", ["help"], ["bob@elsewhere.test"], "Cc: help@acme.example", (250, "2.0.0"), "alias", ["help"]),
	("tag", ["sales+x"], ["sales+x"], "", (550, "5.1.1"), "none", []),
	("unknown", ["nobody"], ["nobody"], "", (550, "5.1.1"), "none", []),
	("catchall", ["catchall"], ["catchall"], "", (550, "5.7.1"), "catchall_direct", []),
	("catchall and unknown", ["catchall", "nobody"], ["catchall", "nobody"], "", (550, "5.7.1"),
	    "catchall_mixed", []),
	("catchall and alias", ["catchall", "sales"], ["catchall", "sales"], "", (250, "2.0.0"), "alias",
	    ["catchall", "sales"]),
	("misconfigured alias", ["board"], ["board"], "", (451, "4.3.5"), "alias_invalid", []),
	("per cent sign in the answer", ["catchall"], ["5%off", "catchall"], "", (451, "4.3.5"), "alias_invalid", []),
	("misconfigured and good", ["board", "sales"], ["board", "sales"], "", (250, "2.0.0"), "alias",
	    ["board", "sales"]),
	("model takes no mail", ["broken"], ["broken"], "", (451, "4.3.5"), "route_check", []),
	("bounce address, no report", ["bounce"], ["bounce"], "", (250, "2.0.0"), "is_bounce", ["bounce"]),
)
def test_one_mail(ctx, rcpts, to, extra, expected, rule, arrives):
	with Gateway(ctx, more=MORE) as g:
		r = g.send(rcpts, mail(to, extra=extra))
		assert answer(r) == expected, r
		g.idle()
		got = [(m.sender, sorted(m.recipients)) for m in g.odoo.messages]
		# The envelope sender is kept; what goes to one place goes in one transaction.
		assert got == ([("ann@sender.test", sorted("%s@%s" % (a, TARGET) for a in arrives))] if arrives else []), got
		assert not g.world.transactions, g.world.transactions
		assert "rule=%s " % rule in g.line("qid="), g.line("qid=")
		if arrives:
			m = g.odoo.messages[0]
			assert m.header("X-Postern-Route").startswith("gateway=acme rule=%s action=accept" % rule)
			assert m.header("X-Postern-Stamp") == "mx.lab.test/acme" and not m.headers("Delivered-To")
		if "5%off" in to:
			assert "<5%off@acme.example>" in r.final.text, r


def test_a_model_that_takes_no_mail_beside_a_good_alias(ctx):
	"""Alone it is told to wait; beside one that routes, Odoo is handed all of it."""
	with Gateway(ctx, more=MORE) as g:
		m = g.accepted(["broken", "sales"], mail(["broken", "sales"]))
		assert sorted(m.recipients) == ["broken@" + TARGET, "sales@" + TARGET]
		assert m.header("X-Postern-Route").startswith("gateway=acme rule=route_check action=hand_over")
		assert answer(g.send("broken")) == (451, "4.3.5")


def test_misconfigured_aliases_are_counted(ctx):
	"""Odoo would mark them; who reads the counters learns it from there."""
	with Gateway(ctx, more=MORE) as g:
		for to in (["board"], ["board", "sales"], ["sales"]):
			g.send(to, mail(to))
		def counted():
			done = run(ctx.program("postern"), "-c", g.conf, "stats", "--json", check=0)
			return json.loads(done.stdout)["counters"]
		wait_until(lambda: counted().get("mails") == 3, 5, counted)
		assert counted().get("alias_misconfigured") == 2, counted()


def test_catchall_refusal_says_where_to_write(ctx):
	with Gateway(ctx, domain='human = "office@elsewhere.test"') as g:
		assert "write to <office@elsewhere.test>" in g.send("catchall").final.text


def test_bcc_is_shown_to_odoo(ctx):
	"""Odoo does not see the envelope: an alias that no header names gets a Delivered-To, above everything else."""
	with Gateway(ctx) as g:
		m = g.accepted("help", mail("sales"))
		assert m.recipients == ["help@" + TARGET]
		assert m.message.startswith(b"Delivered-To: help@acme.example\r\n"), m.header_text
		assert "route=project.task:new" in g.line("delivered_to=<help@acme.example>")
		m = g.accepted(["sales", "help"], mail("undisclosed-recipients:;"))
		assert sorted(m.headers("Delivered-To")) == ["help@acme.example", "sales@acme.example"]
		# A copied alias must not become a To.
		m = g.accepted("help", mail("bob@elsewhere.test", extra="Cc: Help <HELP@acme.example>"))
		assert not m.headers("Delivered-To")


def test_bcc_is_not_shown_to_others(ctx):
	"""joe would read it."""
	with Gateway(ctx, MIXED) as g:
		assert g.send(["help", "joe"], mail(["sales", "joe"])).code == 250
		for sink in (g.odoo, g.people):
			assert not sink.wait_one().headers("Delivered-To")


@cases(("people", "joe", MIXED, ""), ("another gateway", "shop@beta.example", OWN, BETA))
def test_routes_are_not_shown_to_others(ctx, other, domains, more):
	"""They would learn of records that are none of their business; Odoo can do without."""
	with Gateway(ctx, domains, more=more) as g:
		assert g.send(["sales", other], mail(["sales", other])).code == 250
		g.idle()
		for m in g.odoo.messages + g.people.messages:
			assert "gateway=acme rule=alias action=accept" in m.headers("X-Postern-Route"), m.header_text
			assert b"crm.lead" not in m.message
		assert "route=crm.lead:new" in g.accepted("sales").header("X-Postern-Route")


def test_bcc_is_not_shown_to_another_gateway(ctx):
	with Gateway(ctx, more=BETA) as g:
		assert not g.accepted(["help", "shop@beta.example"], mail("sales")).headers("Delivered-To")


def test_alias_table_not_complete_refuses_nothing(ctx):
	with Gateway(ctx, gateway="complete = no") as g:
		m = g.accepted("nobody")
		assert m.recipients == ["nobody@" + TARGET]
		assert "rule=unknown_address action=hand_over" in m.header("X-Postern-Route")
		# Perhaps a reply: only Odoo knows all its messages.
		m = g.accepted("catchall", mail("catchall", extra="References: <who-knows@acme.example>"))
		assert m.recipients == ["catchall@" + TARGET]


def test_unknown_address_is_refused_at_rcpt_where_that_is_wanted(ctx):
	with Gateway(ctx, domain="unknown = reject") as g:
		with Client(g.pf.address()) as c:
			c.mail("ann@sender.test")
			asked = ("nobody", "sales", "sales+x", "catchall", "bounce", "notifications")
			got = [c.rcpt(addr(a)) for a in asked]
			assert [r.code for r in got] == [550, 250, 550, 250, 250, 250], got
			assert got[0].enhanced == "5.1.1"
			# Never refused, but in a transaction of their own.
			got = [c.rcpt(addr(a)) for a in ("postmaster", "abuse")]
			assert [(r.code, r.enhanced) for r in got] == [(452, "4.5.3")] * 2, got
			assert c.data(mail("sales"))[1].code == 250
			c.mail("ann@sender.test")
			assert [c.rcpt(addr(a)).code for a in ("postmaster", "abuse", "sales")] == [250, 250, 452]
		assert g.line("rcpt=refuse").endswith("rule=unknown_address from=<ann@sender.test> to=<sales+x@acme.example>")


def test_postmaster_and_abuse_go_to_a_person(ctx):
	domain = 'unknown = reject\n\thuman = "office@elsewhere.test"'
	with Gateway(ctx, domain=domain, gateway="mail.gateway.loop.threshold = 1") as g:
		for local in ("postmaster", "Abuse", "POSTMASTER"):
			assert g.send(local).code == 250
		assert [m.recipients for m in g.world.wait(3)] == [["office@elsewhere.test"]] * 3
		# Beside an alias: whoever comes later is told to come again, alone.
		r = g.send(["postmaster", "sales"], mail(["postmaster", "sales"]))
		assert [x.code for x in r.rcpts] == [250, 452] and r.code == 250, r
		assert g.world.wait(4)[3].recipients == ["office@elsewhere.test"]
		assert g.send("sales", mail(["postmaster", "sales"])).code == 250
		assert g.odoo.wait_one().recipients == ["sales@" + TARGET]


# --- replies

NOTIFICATION = """\
From: "Mitchell Admin" <notifications@acme.example>
To: customer@customer.test
Reply-To: catchall@acme.example
Subject: Your request
Message-ID: <1783000000.12-openerp-42-crm.lead@odoo>
References: <1782999999.11-openerp-42-crm.lead@odoo>
X-Odoo-Objects: crm.lead-42

We are on it.
"""


ID = "<1783000000.12-openerp-42-crm.lead@odoo>"


def reply_to(ident, to="catchall"):
	return mail(to, frm="customer@customer.test",
	    extra="In-Reply-To: %s\nReferences: <old@customer.test> %s" % (ident, ident))


@cases(
	("logged in", "smtp-auth", {"smtp-auth": {"smtpd_sasl_auth_enable": "yes"}}),
	("submission service", "submission", {}),
	("its network", "smtp", {}),
)
def test_reply_to_what_left_just_before(ctx, way, services):
	"""Without a look into Odoo's database: the notification itself was seen leaving."""
	top = 'outbound_networks = {"127.0.0.2"}' if way == "smtp" else ""
	with Gateway(ctx, submission=True, services=services, top=top) as g:
		if way == "smtp":
			r = g.send("customer@customer.test", NOTIFICATION, sender="bounce@acme.example", source="127.0.0.2")
		else:
			r = g.submit(["customer@customer.test"], NOTIFICATION, service=way)
		assert r.code == 250, r
		assert g.world.wait_one().recipients == ["customer@customer.test"]
		assert "verdict=outbound" in g.line("learned=2")
		for ident in (ID, "<1782999999.11-openerp-42-crm.lead@odoo>"):
			m = g.accepted("catchall", reply_to(ident), sender="customer@customer.test")
			assert m.recipients == ["catchall@" + TARGET] and m.sender == "customer@customer.test"
			assert "rule=reply action=accept route=crm.lead:42" in m.header("X-Postern-Route")
		# Survives the process, however it ends.
		g.restart_milter(kill=True)
		m = g.accepted("catchall", reply_to(ID), sender="customer@customer.test")
		assert "rule=reply" in m.header("X-Postern-Route")


def test_reply_to_a_private_message_and_to_another(ctx):
	"""The one that is known belongs to no record; the other may, and only Odoo knows."""
	private = NOTIFICATION.replace("42-crm.lead", "private").replace("X-Odoo-Objects: crm.lead-42\n", "")
	with Gateway(ctx, submission=True) as g:
		assert g.submit(["customer@customer.test"], private).code == 250
		g.line("learned=")
		known = ID.replace("42-crm.lead", "private")
		assert answer(g.send("catchall", mail("catchall", extra="References: " + known))) == (550, "5.7.1")
		m = g.accepted("catchall", mail("catchall", extra="References: %s <who-knows@odoo>" % known))
		assert "rule=catchall_direct action=hand_over" in m.header("X-Postern-Route")


def test_a_stranger_teaches_nothing(ctx):
	"""Whoever writes X-Odoo-Objects from outside does not make a thread."""
	with Gateway(ctx) as g:
		assert g.send("sales", NOTIFICATION).code == 250
		m = g.accepted("catchall", reply_to("<1782999999.11-openerp-42-crm.lead@odoo>"))
		assert "route=" not in m.header("X-Postern-Route") and "action=hand_over" in m.header("X-Postern-Route")


def test_forward_to_an_alias_of_another_model(ctx):
	with Gateway(ctx, submission=True) as g:
		assert g.submit(["customer@customer.test"], NOTIFICATION).code == 250
		m = g.accepted("help", reply_to(ID, "help"))
		assert "rule=alias action=accept route=project.task:new alias=help@" in m.header("X-Postern-Route")
		m = g.accepted("sales", reply_to(ID, "sales"))
		assert "rule=reply action=accept route=crm.lead:42" in m.header("X-Postern-Route")


def test_answer_to_an_accepted_mail_is_a_reply(ctx):
	"""Others answer it, too: its model is known, its record not yet."""
	with Gateway(ctx) as g:
		g.accepted("sales", mail(["sales", "bob@customer.test"], ident="<first@sender.test>"))
		m = g.accepted("catchall", reply_to("<first@sender.test>"), sender="bob@customer.test")
		assert "rule=reply action=accept route=crm.lead:?" in m.header("X-Postern-Route")


# --- people in the same domain

def test_mixed_domain(ctx):
	with Gateway(ctx, MIXED) as g:
		with Client(g.pf.address()) as c:
			c.mail("ann@sender.test")
			got = [c.rcpt(addr(a)) for a in ("sales", "joe", "nobody", "Help", "catchall")]
			ok, unknown = (250, "2.1.5"), (550, "5.1.1")
			assert [(r.code, r.enhanced) for r in got] == [ok, ok, unknown, ok, ok], got
			assert c.data(mail(["sales", "joe", "nobody", "help", "catchall"]))[1].code == 250
		assert sorted(g.odoo.wait_one().recipients) == [a + "@" + TARGET for a in ("Help", "catchall", "sales")]
		assert g.people.wait_one().recipients == ["joe@acme.example"]
		g.idle()
		assert not g.world.transactions
		g.policy.stop()
		with Client(g.pf.address()) as c:
			c.mail("ann@sender.test")
			assert [c.rcpt(addr(a)).code for a in ("sales", "joe", "nobody")] == [451] * 3


def test_mixed_domain_catchall_beside_a_person(ctx):
	"""A refusal would hit joe: Odoo is handed its part and decides."""
	with Gateway(ctx, MIXED) as g:
		assert g.send(["catchall", "joe"], mail(["catchall", "joe"])).code == 250
		assert g.odoo.wait_one().recipients == ["catchall@" + TARGET]
		assert g.people.wait_one().recipients == ["joe@acme.example"]
		assert "verdict=hand_over rule=catchall_mixed alone=refuse" in g.line("qid=")
		r = g.send("catchall", mail("catchall"))
		assert answer(r) == (550, "5.7.1"), r


def test_mixed_domain_table_of_the_site_names_the_target(ctx):
	"""team@ is expanded after the milter: it leads to mary, and to Odoo under the target's name."""
	with Gateway(ctx, MIXED) as g:
		assert g.send("team", mail("team")).code == 250
		assert g.people.wait_one().recipients == ["mary@acme.example"]
		assert g.odoo.wait_one().recipients == ["sales@" + TARGET]


# --- bounces and notices

def test_bounce_goes_to_the_bounce_address(ctx):
	with Gateway(ctx) as g:
		m = g.accepted("bounce", BOUNCE, sender="")
		assert m.sender == "" and m.recipients == ["bounce@" + TARGET]
		assert "rule=is_bounce action=accept" in m.header("X-Postern-Route")
		# Also one that comes to an alias, because somebody answered the From.
		m = g.accepted("sales", BOUNCE.replace("dsn-1", "dsn-2"), sender="")
		assert m.recipients == ["bounce@" + TARGET]
		stored = open(g.state + "/state/data.mdb", "rb").read()
		assert b"gone@customer.test" in stored and b"nobody of that name" in stored


@cases(("a bounce", "bounce", "", 1), ("automatic mail", "sales", "", 1), ("a person's mail", "sales", "ann@sender.test", 2))
def test_a_target_that_refuses(ctx, to, sender, mails):
	"""Postfix tells the sender, where there is one; a mail without one comes to its end: no loop, no backscatter."""
	with Gateway(ctx) as g:
		g.odoo.hook = lambda stage, transaction, arg: "550 5.1.1 unknown here" if stage == "rcpt" else None
		r = g.send(to, BOUNCE if to == "bounce" else mail(to), sender=sender)
		assert r.code == 250, r
		g.pf.wait_log(r.queue_id + ": .*status=bounced")
		g.pf.wait_log(r.queue_id + ": removed")
		if mails > 1:
			g.pf.wait_log("to=<ann@sender.test>")
		else:
			g.pf.wait_queue(0)
		assert len(set(re.findall(r"qmgr\[\d+\]: (\w+): from=", g.pf.log()))) == mails, g.pf.log()
		assert len(g.odoo.transactions) == 1 and g.people.transactions == []


def test_answer_to_a_loop_notice_is_thrown_away_with_a_line(ctx):
	notice = "References: <123.45-loop-detection-bounce-email@acme.example>"
	with Gateway(ctx, MIXED) as g:
		r = g.send("sales", mail("sales", extra=notice))
		assert r.code == 250, r
		line = g.line("qid=")
		assert "verdict=discard rule=loop_headers" in line and "reason=" in line
		g.pf.wait_log("milter-discard: END-OF-MESSAGE")
		# Beside people only ours go.
		assert g.send(["joe", "sales"], mail(["joe", "sales"], extra=notice)).code == 250
		assert g.people.wait_one().recipients == ["joe@acme.example"]
		g.line("verdict=discard rule=loop_headers", count=2)
		g.idle()
		assert not g.odoo.transactions


# --- twins

def together(g, message, n=2):
	"""The same mail on n connections at once: the replies to the end of the message."""
	clients = [Client(g.pf.address()) for _ in range(n)]
	replies = []
	try:
		for c in clients:
			assert c.mail("ann@sender.test").ok and c.rcpt("sales@acme.example").ok and c.cmd("DATA").code == 354
		threads = [threading.Thread(target=lambda c=c: (c.send_content(message), replies.append(c.reply())))
		    for c in clients]
		for t in threads:
			t.start()
		for t in threads:
			t.join()
	finally:
		for c in clients:
			c.close()
	return replies


def test_twins(ctx):
	message = mail("sales", ident="<twin@sender.test>")
	with Gateway(ctx) as g:
		replies = together(g, message, 4)
		assert sorted(r.code for r in replies) == [250, 451, 451, 451], replies
		assert {r.enhanced for r in replies} == {"2.0.0", "4.7.1"}
		g.restart_milter(kill=True)
		assert g.send("sales", message).code == 451
		assert "rule=twin" in g.line("qid=", count=5)
		# Past the lease nobody knows whether Odoo has it: Odoo drops it itself.
		g.restart_milter(clock=61)
		assert g.send("sales", message).code == 250
		assert len(g.odoo.wait(2)) == 2


def test_twins_without_message_id_are_two_mails(ctx):
	with Gateway(ctx) as g:
		message = "From: ann@sender.test\nTo: sales@acme.example\nSubject: x\n\nx\n"
		assert [r.code for r in together(g, message)] == [250, 250]


def test_twins_of_two_gateways_are_two_mails(ctx):
	with Gateway(ctx, more=BETA) as g:
		message = mail(["sales", "shop@beta.example"], ident="<one@sender.test>")
		assert g.send("sales", message).code == 250
		assert g.send("shop@beta.example", message).code == 250
		assert g.send("shop@beta.example", message).code == 451


# --- loops

@cases(
	("person", "", "ann@sender.test", (451, "4.7.1"), "defer"),
	("automatic", "Auto-Submitted: auto-generated", "ann@sender.test", (550, "5.4.6"), "refuse"),
	("list", "List-Id: <l.sender.test>", "ann@sender.test", (550, "5.4.6"), "refuse"),
	("null sender", "", "", (550, "5.4.6"), "refuse"),
)
def test_the_21st_mail_of_one_sender(ctx, extra, sender, expected, verdict):
	"""20 in two hours, over all connections, whatever happens to the process."""
	with Gateway(ctx) as g:
		for i in range(20):
			if i in (7, 14):
				g.restart_milter(kill=i == 7)
			with Client(g.pf.address()) as c:
				assert c.send_mail(sender, "sales@acme.example", mail("sales", extra=extra)).code == 250, i
		r = g.send("sales", mail("sales", extra=extra), sender=sender)
		assert answer(r) == expected, r
		assert "verdict=%s rule=loop_new" % verdict in g.line("rule=loop_new")
		g.restart_milter(kill=True)
		assert answer(g.send("sales", mail("sales", extra=extra), sender=sender)) == expected
		# Another model and another sender are counted for themselves.
		assert g.send("help", mail("help", extra=extra), sender=sender).code == 250
		assert g.send("sales", mail("sales", "bob@sender.test", extra=extra), sender=sender).code == 250
		g.restart_milter(clock=LATE)
		assert g.send("sales", mail("sales", extra=extra), sender=sender).code == 250


@cases(
	("person held", "loop_person = hold", "", 250),
	("person discarded", "loop_person = discard", "", 250),
	("person refused", "loop_person = refuse", "", 550),
	("automatic held", "loop_automatic = hold", "Precedence: bulk", 250),
	("automatic discarded", "loop_automatic = discard", "Precedence: bulk", 250),
	("automatic deferred", "loop_automatic = defer", "Precedence: bulk", 451),
)
def test_answers_to_a_loop(ctx, key, extra, code):
	what = key.split()[-1]
	with Gateway(ctx, gateway="mail.gateway.loop.threshold = 1\n\t" + key) as g:
		g.accepted("sales", mail("sales", extra=extra))
		r = g.send("sales", mail("sales", extra=extra))
		assert r.code == code, r
		assert "verdict=%s rule=loop_new" % what in g.line("rule=loop_new")
		if what == "hold":
			held = g.pf.wait_queue(1)[0]
			assert held["queue_name"] == "hold" and held["recipients"][0]["address"] == "sales@" + TARGET
			g.pf.postsuper("-H", "ALL")
			g.pf.flush()
			assert len(g.odoo.wait(2)) == 2
		else:
			if what == "discard":
				g.pf.wait_log("milter-discard: END-OF-MESSAGE")
			g.idle()
			assert len(g.odoo.messages) == 1


def test_loop_of_an_automatic_mail_beside_a_person(ctx):
	"""joe gets it, Odoo does not."""
	with Gateway(ctx, MIXED, gateway="mail.gateway.loop.threshold = 1") as g:
		g.accepted("sales", mail("sales", extra="Precedence: bulk"))
		assert g.send(["sales", "joe"], mail(["sales", "joe"], extra="Precedence: bulk")).code == 250
		assert g.people.wait_one().recipients == ["joe@acme.example"]
		assert "verdict=discard rule=loop_new alone=refuse" in g.line("rule=loop_new")
		g.idle()
		assert len(g.odoo.messages) == 1


def test_allowed_sender_never_loops(ctx):
	with Gateway(ctx, gateway='mail.gateway.loop.threshold = 1\n\tmail.gateway.allowed = {"ann@sender.test"}') as g:
		for _ in range(3):
			g.accepted("sales")
