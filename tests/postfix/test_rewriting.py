"""What is changed in a mail, and what is not: envelope and headers as they arrive behind Postfix."""

import time

from gateway import *
from lab import *

NEIGHBOUR = "127.0.0.2"		# in mynetworks: may write to anybody


def envelope(m):
	return sorted(m.recipients)


# --- recipients

@cases(
	("upper case, domain too", ["Sales@Acme.EXAMPLE"], ["Sales@" + TARGET]),
	("the same twice", ["sales", "sales"], ["sales@" + TARGET]),
	("the same in two spellings", ["sales", "SALES"], ["sales@" + TARGET]),
	("brackets left out", ["sales@acme.example"], ["sales@" + TARGET]),
	("quoted local part", ['"two words"@acme.example'], ['"two words"@' + TARGET]),
	("needlessly quoted", ['"sales"@acme.example'], ["sales@" + TARGET]),
	("source route", ["@relay.test:sales@acme.example"], ["sales@" + TARGET]),
	("the target is in the envelope, too", ["sales", "sales@" + TARGET], ["sales@" + TARGET]),
	("a stranger beside it", ["sales", "bob@elsewhere.test"], ["sales@" + TARGET]),
)
def test_one_recipient_becomes_one(ctx, rcpts, arrives):
	"""Delivered once, and not a second time under its own name."""
	with Gateway(ctx, gateway="complete = no") as g:
		r = g.send(rcpts, mail("sales"), source=NEIGHBOUR)
		assert r.code == 250, r
		g.arrived(r)
		g.idle()
		assert [m.recipients for m in g.odoo.messages] == [arrives], g.odoo.messages
		foreign = [a for a in rcpts if "elsewhere" in a]
		assert [m.recipients for m in g.world.messages] == ([foreign] if foreign else [])


def to_spelling(g, spelling, source=None):
	"""A mail for RCPT TO:<spelling>; the answers to RCPT and to the end of the mail (None where it was not reached)."""
	with Client(g.pf.address(), source=source) as c:
		c.mail("ann@sender.test")
		rcpt = c.cmd("RCPT TO:<%s>" % spelling)
		return rcpt, c.data(mail("sales"))[1] if rcpt.code == 250 else None


SPELLINGS = ("sales%acme.example", "acme.example!sales", "Foo <sales@acme.example>", "sales@acme .example",
    "sales@(x)acme.example", "sales@acme.example (x)", '"sales@acme.example"', '"sales"@acme.example', "Sales%ACME.example")


@cases(*((a, a, None) for a in SPELLINGS), ("no domain", "sales", NEIGHBOUR))
def test_a_spelling_that_postfix_rewrites(ctx, spelling, source):
	"""It routes what it makes of an address, and deletes what the client wrote: one copy, at the target."""
	with Gateway(ctx, main={"myorigin": DOMAIN}) as g:
		rcpt, end = to_spelling(g, spelling, source)
		assert rcpt.code == 250 and end.code == 250, (rcpt, end)
		g.idle()
		assert [[a.lower() for a in m.recipients] for m in g.odoo.messages] == [["sales@" + TARGET]], g.odoo.messages
		assert not g.world.transactions and "rule=alias " in g.line("qid=")


def test_spellings_of_one_address_are_one_recipient(ctx):
	with Gateway(ctx) as g, Client(g.pf.address()) as c:
		c.mail("ann@sender.test")
		for spelling in ("sales%acme.example", "sales@acme.example", "acme.example!sales", "SALES@acme .example"):
			assert c.cmd("RCPT TO:<%s>" % spelling).code == 250
		assert c.data(mail("sales"))[1].code == 250
		g.idle()
		assert [m.recipients for m in g.odoo.messages] == [["sales@" + TARGET]] and not g.world.transactions


def test_a_spelling_of_an_unknown_address(ctx):
	with Gateway(ctx, domain="unknown = reject", main={"myorigin": DOMAIN}) as g:
		for spelling in ("nobody%acme.example", "acme.example!nobody", "Foo <nobody@acme.example>", '"nobody@acme.example"'):
			rcpt, _ = to_spelling(g, spelling)
			assert (rcpt.code, rcpt.enhanced) == (550, "5.1.1"), (spelling, rcpt)


@cases(("per cent", "sales%acme.example"), ("blank", "sales@acme .example"), ("quoted", '"sales@acme.example"'))
def test_a_spelling_in_a_mixed_domain(ctx, spelling):
	with Gateway(ctx, MIXED) as g:
		rcpt, end = to_spelling(g, spelling)
		assert rcpt.code == 250 and end.code == 250, (rcpt, end)
		g.idle()
		assert [m.recipients for m in g.odoo.messages] == [["sales@" + TARGET]] and not g.people.transactions
		# A person's stays the person's.
		rcpt, end = to_spelling(g, spelling.replace("sales", "joe"))
		assert rcpt.code == 250 and end.code == 250, (rcpt, end)
		g.idle()
		assert [m.recipients for m in g.people.messages] == [["joe@acme.example"]] and len(g.odoo.messages) == 1


def test_redirect_to_one_address_merges(ctx):
	with Gateway(ctx, target="redirect to inbox@" + TARGET) as g:
		m = g.accepted(["sales", "help", "Sales"], mail(["sales", "help"]))
		assert m.recipients == ["inbox@" + TARGET]
		# A bounce still goes to where Odoo takes bounces.
		m = g.accepted("bounce", mail("bounce"))
		assert m.recipients == ["bounce@" + TARGET]
		g.reload(gateway='target = "redirect to inbox@%s"\n\tbounce_target = "returns@%s"' % (TARGET, TARGET))
		assert g.accepted("bounce", mail("bounce")).recipients == ["returns@" + TARGET]


def test_target_that_is_a_virtual_alias_is_expanded(ctx):
	table = "inline:{ {sales@%s = sales@%s, copy@elsewhere.test} }" % (TARGET, TARGET)
	with Gateway(ctx, main={"virtual_alias_maps": table}) as g:
		assert g.accepted("sales").recipients == ["sales@" + TARGET]
		assert g.world.wait_one().recipients == ["copy@elsewhere.test"]


def test_never_without_a_recipient(ctx):
	"""Postfix would say 250 and forget a mail whose recipients are all deleted; ours is discarded with a log line."""
	with Gateway(ctx) as g:
		r = g.send(["sales", "help"], mail(["sales", "help"],
		    extra="References: <1-loop-detection-bounce-email@acme.example>"))
		assert r.code == 250
		g.pf.wait_log(r.queue_id + ": milter-discard: END-OF-MESSAGE")
		assert "qid=%s " % r.queue_id in g.line("verdict=discard rule=loop_headers")


# --- delivery status notification (RFC 3461)

def status_params(ctx, target, rcpts):
	"""NOTIFY and ORCPT of each recipient that arrives; rcpts: [(address, parameters)]."""
	with Gateway(ctx, target=target) as g:
		with Client(g.pf.address()) as c:
			assert c.mail("ann@sender.test", "RET=HDRS", "ENVID=e+2B1").ok
			for address, params in rcpts:
				assert c.rcpt(addr(address), *params).ok
			assert c.data(mail([a for a, _ in rcpts]))[1].code == 250
		g.idle()
		m = g.odoo.wait_one()
		assert m.sender == "ann@sender.test"
		assert m.sender_params.get("RET") == "HDRS" and m.sender_params.get("ENVID") == "e+2B1"
		return {r.address.split("@")[0]: (sorted((r.params.get("NOTIFY") or "").split(",")), r.params.get("ORCPT"))
		    for r in m.rcpts}


def test_notify_and_orcpt_are_kept(ctx):
	got = status_params(ctx, "redirect to " + TARGET, [
		("sales", ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first+2Bx@else.test"]),
		("help", ["NOTIFY=NEVER"]),
		("catchall", []),
	])
	assert got == {
		"sales": (["FAILURE", "SUCCESS"], "rfc822;first+2Bx@else.test"),
		"help": (["NEVER"], "rfc822;help@acme.example"),
		"catchall": ([""], "rfc822;catchall@acme.example"),
	}, got


@cases(
	("union", ["NOTIFY=SUCCESS"], ["NOTIFY=DELAY"], ["DELAY", "SUCCESS"]),
	("never and failure", ["NOTIFY=NEVER"], ["NOTIFY=FAILURE"], ["FAILURE"]),
	("never twice", ["NOTIFY=NEVER"], ["NOTIFY=NEVER"], ["NEVER"]),
	("one says nothing", ["NOTIFY=SUCCESS"], [], ["DELAY", "FAILURE", "SUCCESS"]),
	("nobody says anything", [], [], [""]),
)
def test_notify_of_merged_recipients(ctx, first, second, notify):
	got = status_params(ctx, "redirect to inbox@" + TARGET,
	    [("sales", first + ["ORCPT=rfc822;one@else.test"]), ("help", second + ["ORCPT=rfc822;two@else.test"])])
	assert got == {"inbox": (notify, "rfc822;one@else.test")}, got


def test_success_report_names_what_the_sender_wrote(ctx):
	"""The target does not do DSN: Postfix reports, and says the address it was given."""
	plain = Sink(extensions=("PIPELINING", "8BITMIME"))
	with Gateway(ctx, odoo=plain) as g:
		g.accepted("sales", rcpt_params=["NOTIFY=SUCCESS"])
		report = g.world.wait_one()
		assert report.sender == "" and report.recipients == ["ann@sender.test"]
		assert b"Original-Recipient: rfc822;sales@acme.example" in report.message


# --- headers

def test_where_our_headers_stand(ctx):
	"""What tells the way of a mail on top, what explains it at the end."""
	with Gateway(ctx) as g:
		m = g.accepted("help", mail("sales"))
		names = [l.split(":")[0] for l in m.header_text.splitlines() if l[:1] not in " \t"]
		assert names == ["Delivered-To", "Received", "From", "To", "Subject", "Message-ID", "Date",
		    "X-Postern-Route", "X-Postern-Stamp"], names


FORGED = "".join("%s: %s\n" % (n, v) for n, v in (
	("X-Postern-Relay", "smtp:[evil.test]"), ("X-Postern-Route", "gateway=acme rule=reply"),
	("x-postern-route", "again"), ("X-Postern-Stamp", "other.host/acme"), ("X-POSTERN-STAMP", "mx.lab.test/other"),
	("X-Postern-Relay", "folded\n\tand more"), ("X-Kept", "x-postern"),
))


def test_forged_headers_of_ours_are_removed(ctx):
	with Gateway(ctx, MIXED) as g:
		m = g.accepted("sales", mail("sales", extra=FORGED))
		assert m.headers("X-Postern-Stamp") == ["mx.lab.test/acme"] and len(m.headers("X-Postern-Route")) == 1
		assert not m.headers("X-Postern-Relay") and m.header("X-Kept") == "x-postern" and b"evil" not in m.message
		# Also from mail that is nobody's of ours: X-Postern-Relay is a signal.
		assert g.send("joe", mail("joe", extra=FORGED)).code == 250
		m = g.people.wait_one()
		assert b"-postern-" not in m.message.lower() and m.header("X-Kept") == "x-postern", m.header_text


def own_headers(n):
	names = ("X-Postern-Stamp", "X-Postern-Route", "x-postern-relay")
	return "".join("%s: forged %d\n" % (names[i % 3], i) for i in range(n))


@cases(("ours", "sales"), ("not ours", "bob@elsewhere.test"))
def test_more_headers_of_ours_than_are_removed(ctx, to):
	"""Each deletion costs Postfix's cleanup a walk through the headers: more than twenty, and the mail is refused."""
	with Gateway(ctx) as g:
		r = g.send(to, mail(to, extra=own_headers(20)), source=NEIGHBOUR)
		assert r.code == 250, r
		m = g.arrived(r, g.odoo if to == "sales" else g.world)
		assert b"forged" not in m.message and len(m.headers("X-Postern-Stamp")) == (to == "sales")
		r = g.send(to, mail(to, extra=own_headers(21)), source=NEIGHBOUR)
		assert answer(r) == (550, "5.6.0"), r
		assert "verdict=refuse rule=limit" in g.line("qid=", count=2) and 'reason="' in g.line("verdict=refuse")
		began = time.monotonic()
		r = g.send(to, mail(to, extra=own_headers(16000)), source=NEIGHBOUR)
		assert answer(r) == (550, "5.6.0"), r
		assert time.monotonic() - began < 1
		assert g.send("help").code == 250


@cases(
	("ours", "mx.lab.test/acme", 554),
	("ours in capitals", "MX.LAB.TEST/acme", 554),
	("another host", "mx2.lab.test/acme", 250),
	("another gateway", "mx.lab.test/beta", 250),
)
def test_stamp(ctx, stamp, code):
	with Gateway(ctx) as g:
		r = g.send("sales", mail("sales", extra="X-Postern-Stamp: " + stamp))
		assert r.code == code, r
		if code == 554:
			assert r.end.enhanced == "5.4.6" and "rule=stamp" in g.line("qid=")


def test_mail_that_comes_back_is_stopped(ctx):
	"""The target sends it back to us: refused there, not round and round."""
	with Gateway(ctx) as g:
		m = g.accepted("sales")
		r = g.send("sales", m.message)
		assert answer(r) == (554, "5.4.6"), r


# DKIM's simple canonicalisation knows every blank: what was there is the same afterwards.
ODD_HEADERS = (b"From:  Ann   <ann@sender.test>\r\nTO:sales@acme.example\r\nSubject:\t two\r\n"
    b" \t folds  \r\n\there\r\nX-Empty:\r\nX-Blank: \r\nX-Trail: end \t\r\n"
    b"X-8bit: caf\xc3\xa9 \xe9\r\nMessage-Id:<odd.%d@sender.test>\r\n"
    b"X-Postern-Relay: a\r\nX-Long: " + b"x" * 900 + b"\r\nDate: Mon, 6 Jul 2026 10:00:00 +0000\r\n")


@cases(("one message", 1, False), ("several in one session", 3, False), ("BDAT", 1, True))
def test_bytes_are_not_changed(ctx, times, bdat):
	with Gateway(ctx) as g, Client(g.pf.address()) as c:
		for i in range(times):
			message = ODD_HEADERS % i + b"\r\n.dot\r\n\r\n  body \r\nca\xe9\r\n"
			r = c.send_mail("ann@sender.test", "sales@acme.example", message, bdat=bdat,
			    mail_params=["BODY=8BITMIME"])
			assert r.code == 250, r
			got = g.arrived(r).message
			header, _, body = got[got.index(b"From:  Ann"):].partition(b"\r\nX-Postern-Route: gateway=acme ")
			ours, _, body = body.partition(b"\r\nX-Postern-Stamp: mx.lab.test/acme\r\n\r\n")
			assert header + b"\r\n\r\n" + body == message.replace(b"X-Postern-Relay: a\r\n", b""), got
			assert not re.search(rb"\n[^\t]", ours), got


# --- encodings

def test_bdat_in_pieces(ctx):
	with Gateway(ctx) as g, Client(g.pf.address()) as c:
		message = crlf(mail("sales", body="line\n" * 30000))
		assert c.mail("ann@sender.test").ok and c.rcpt("sales@acme.example").ok
		for at in range(0, len(message), 50000):
			r = c.bdat(message[at:at + 50000], last=at + 50000 >= len(message))
			assert r.code == 250, r
		assert g.odoo.wait_one().body == message.partition(b"\r\n\r\n")[2]
		# A refusal at the end, and the session goes on.
		r = c.send_mail("ann@sender.test", "catchall@acme.example", mail("catchall"), bdat=True)
		assert answer(r) == (550, "5.7.1"), r
		assert c.send_mail("ann@sender.test", "help@acme.example", mail("help"), bdat=True).code == 250


def test_8bitmime_to_a_target_of_7_bits(ctx):
	with Gateway(ctx, odoo=Sink(extensions=("PIPELINING",))) as g:
		text = "Grüße aus Köln\n"
		m = g.accepted("sales", mail("sales", body=text,
		    extra="MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit"),
		    mail_params=["BODY=8BITMIME"])
		assert all(b < 128 for b in m.message), m.message
		assert m.parsed.get_payload(decode=True).decode().replace("\r\n", "\n") == text


def test_smtputf8_to_a_target_that_can(ctx):
	with Gateway(ctx, gateway="complete = no") as g:
		with Client(g.pf.address()) as c:
			r = c.send_mail("jürgen@sender.test", ["sales@acme.example", "büro@acme.example"],
			    mail(["sales", "büro"], "Jürgen <jürgen@sender.test>"), mail_params=["SMTPUTF8", "BODY=8BITMIME"],
			    rcpt_params=["NOTIFY=FAILURE"])
		assert r.code == 250, r
		m = g.arrived(r)
		assert m.sender == "jürgen@sender.test" and envelope(m) == ["büro@" + TARGET, "sales@" + TARGET]
		assert "SMTPUTF8" in m.sender_params and m.rcpt("büro@" + TARGET).params["NOTIFY"] == "FAILURE"


def test_smtputf8_to_a_target_that_cannot(ctx):
	"""Postfix says so: a plain sender gets a report, nothing is sent in a wrong form."""
	with Gateway(ctx, odoo=Sink(extensions=("PIPELINING", "8BITMIME", "DSN")), gateway="complete = no") as g:
		assert g.send("büro", mail("büro"), mail_params=["SMTPUTF8"]).code == 250
		g.pf.wait_log("status=bounced .SMTPUTF8 is required")
		report = g.world.wait_one()
		assert report.sender == "" and report.recipients == ["ann@sender.test"] and b"5.6.7" in report.message
		# A sender who needs it can only be told in the same way.
		r = g.send("sales", mail("sales"), sender="jürgen@sender.test", mail_params=["SMTPUTF8"])
		assert r.code == 250, r
		report = g.world.wait(2)[1]
		assert report.recipients == ["jürgen@sender.test"] and "SMTPUTF8" in report.sender_params
		# A mail that does not need it passes, also when the client said SMTPUTF8.
		assert g.accepted("sales", mail("sales"), mail_params=["SMTPUTF8"]).recipients == ["sales@" + TARGET]


# --- several gateways, people beside them

def test_two_gateways_in_one_mail(ctx):
	with Gateway(ctx, more=BETA) as g:
		r = g.send(["sales", "shop@beta.example"], mail(["sales", "shop@beta.example"]))
		assert r.code == 250, r
		g.idle()
		got = sorted(a for m in g.odoo.messages for a in m.recipients)
		assert got == ["sales@" + TARGET, "shop@beta.odoo.example"], got
		m = g.odoo.messages[0]
		assert sorted(m.headers("X-Postern-Stamp")) == ["mx.lab.test/acme", "mx.lab.test/beta"]
		assert sorted(h.split()[0] for h in m.headers("X-Postern-Route")) == ["gateway=acme", "gateway=beta"]
		assert not m.headers("Delivered-To")


def test_headers_never_name_a_recipient(ctx):
	"""Tenant A's mail cannot be steered to tenant B."""
	with Gateway(ctx, more=BETA) as g:
		m = g.accepted("sales", mail(["sales", "shop@beta.example"], extra="Delivered-To: shop@beta.example"))
		assert m.recipients == ["sales@" + TARGET] and len(m.headers("X-Postern-Route")) == 1


@cases(("hand over", "hand_over"), ("separate", "separate"))
def test_mixed_transactions(ctx, mixed):
	with Gateway(ctx, more=BETA, top="mixed = " + mixed) as g:
		with Client(g.pf.address(), source=NEIGHBOUR) as c:
			c.mail("ann@sender.test")
			got = [c.rcpt(addr(a)) for a in ("sales", "help", "shop@beta.example", "bob@elsewhere.test", "catchall")]
			later = (452, "4.5.3") if mixed == "separate" else (250, "2.1.5")
			assert [(r.code, r.enhanced) for r in got] == [(250, "2.1.5")] * 2 + [later] * 2 + [(250, "2.1.5")], got
			assert c.data(mail(["sales", "help", "shop@beta.example", "catchall"]))[1].code == 250
			# A client that gets 452 comes back with the rest.
			for a in ("shop@beta.example", "bob@elsewhere.test"):
				if mixed == "separate":
					assert c.send_mail("ann@sender.test", a, mail(a)).code == 250
		g.idle()
		assert sorted(a for m in g.odoo.messages for a in m.recipients) == [
		    "catchall@" + TARGET, "help@" + TARGET, "sales@" + TARGET, "shop@beta.odoo.example"]
		assert [m.recipients for m in g.world.messages] == [["bob@elsewhere.test"]]


def test_refusal_of_one_gateway_beside_another(ctx):
	with Gateway(ctx, more=BETA) as g:
		r = g.send(["nobody", "shop@beta.example"], mail(["nobody", "shop@beta.example"]))
		assert r.code == 250, r
		g.idle()
		got = sorted(a for m in g.odoo.messages for a in m.recipients)
		assert got == ["nobody@" + TARGET, "shop@beta.odoo.example"], got
		assert "gateway=acme verdict=hand_over" in g.line("alone=refuse")
		g.reload(top="mixed = separate")
		assert g.send("nobody").code == 550


# --- retired addresses

def test_a_renamed_alias_goes_on_working(ctx):
	old = 'alias "deals@acme.example" { model = crm.lead  id = 7  gateway = "acme" }'
	with Gateway(ctx, more=old) as g:
		assert g.accepted("deals").recipients == ["deals@" + TARGET]
		g.reload(more=old.replace("deals@", "offers@"))
		m = g.accepted("deals")
		assert m.recipients == ["offers@" + TARGET]
		assert m.headers("Delivered-To") == ["offers@acme.example"]
		assert "rule=alias action=accept route=crm.lead:new alias=offers@" in m.header("X-Postern-Route")
		assert g.accepted("offers").recipients == ["offers@" + TARGET]


def test_a_renamed_catchall_and_bounce_go_on_working(ctx):
	with Gateway(ctx, submission=True) as g:
		notification = mail("c@customer.test", "x@acme.example", "<n-openerp-4-crm.lead@o>",
		    "X-Odoo-Objects: crm.lead-4")
		assert g.submit(["c@customer.test"], notification).code == 250
		g.reload(domain='catchall_alias = "reply"\n\tbounce_alias = "returns"')
		m = g.accepted("catchall", mail("catchall", extra="In-Reply-To: <n-openerp-4-crm.lead@o>"))
		assert m.recipients == ["reply@" + TARGET] and "rule=reply" in m.header("X-Postern-Route")
		m = g.accepted("bounce", mail("bounce"))
		assert m.recipients == ["returns@" + TARGET], m
		assert "rule=is_bounce" in m.header("X-Postern-Route")


# --- target keep: a transport of Postfix takes the mail to Odoo

def test_keep_with_lmtp(ctx):
	g = Gateway(ctx, target="keep", start=False)
	with g, Sink(g.pf.socket_path("odoo.sock"), protocol="lmtp", group="postfix") as lmtp:
		g.pf.main["relay_transport"] = "lmtp:unix:postern/odoo.sock"
		g.start()
		assert g.send(["Sales", "help"], mail("sales"), rcpt_params=["NOTIFY=FAILURE"]).code == 250
		m = lmtp.wait_one()
		assert sorted(m.recipients) == ["Sales@acme.example", "help@acme.example"]
		assert m.rcpt("help@acme.example").params["NOTIFY"] == "FAILURE"
		# No Delivered-To (pipe and local would take it for a loop), no stamp (it may pass here again).
		assert not m.headers("Delivered-To") and not m.headers("X-Postern-Stamp")
		assert m.header("X-Postern-Route").startswith("gateway=acme rule=alias")
		assert g.send("catchall", mail("catchall")).code == 550
		g.idle()
		assert not g.odoo.transactions


def test_keep_and_a_retired_address(ctx):
	"""The transport would not know the old name: the successor takes its place."""
	old = 'alias "deals@acme.example" { model = crm.lead  id = 7  gateway = "acme" }'
	g = Gateway(ctx, target="keep", more=old, start=False)
	with g, Sink(g.pf.socket_path("odoo.sock"), protocol="lmtp", group="postfix") as lmtp:
		g.pf.main["relay_transport"] = "lmtp:unix:postern/odoo.sock"
		g.start()
		g.reload(more=old.replace("deals@", "offers@"))
		for to, arrives in (("deals", ["offers"]), (["deals", "offers", "sales"], ["offers", "sales"])):
			assert g.send(to, mail(to)).code == 250
			g.idle()
			m = lmtp.messages[-1]
			assert sorted(m.recipients) == [addr(a) for a in arrives], m
			assert "rule=alias " in m.header("X-Postern-Route") and not m.headers("Delivered-To")
		assert len(lmtp.messages) == 2 and not g.world.transactions


def test_keep_with_a_pipe(ctx):
	g = Gateway(ctx, target="keep", start=False)
	with g:
		out = ctx.tmp + "/piped"
		os.mkdir(out)
		os.chmod(out, 0o777)
		g.pf.main["relay_transport"] = "odoo"
		g.pf.main["odoo_destination_recipient_limit"] = "1"
		g.pf.master.append("odoo unix - n n - - pipe flags=DR user=nobody argv=/bin/sh -c cat>%s/${recipient}" % out)
		g.start()
		assert g.send(["sales", "help"], mail("sales")).code == 250
		g.idle()
		assert sorted(os.listdir(out)) == ["help@acme.example", "sales@acme.example"], g.pf.log()
		with open(out + "/help@acme.example") as f:
			text = f.read()
		assert "\nDelivered-To: help@acme.example\n" in text and "X-Postern-Route: gateway=acme" in text, text


# --- bad input through a real Postfix

@cases(
	("10,000 references", mail("sales", extra="References:" + "".join("\n <r%d@x.test>" % i for i in range(10000)))),
	("ten Froms", mail("sales", extra="".join("From: f%d@x.test\n" % i for i in range(9)))),
	("no From", "To: sales@acme.example\nSubject: x\n\nx\n"),
	("empty", "\n"),
	("no body", "Subject: x\n"),
	("NUL and bare CR", b"To: sales@acme.example\r\nSubject: a\0b\rc\r\n\r\nx\0y\rz\r\n"),
	("broken UTF-8", b"To: sales@acme.example\r\nSubject: \xff\xfe\xc3\r\nFrom: \xe9@x.test\r\n\r\n\xff\r\n"),
	("one long line", "To: sales@acme.example\nX-Long: %s\n\nx\n" % ("y" * 1000000)),
	("100,000 recipients in To", mail(["sales"] + ["u%d@x.test" % i for i in range(100000)])),
	("nested deep", mail("sales", extra="MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b0",
	    body="".join("--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (i, i + 1) for i in range(1000)))),
)
def test_bad_input_is_answered_in_time(ctx, message):
	with Gateway(ctx, gateway="complete = no") as g:
		started = os.times().elapsed
		r = g.send("sales", message)
		assert os.times().elapsed - started < 10
		assert r.code in (250, 550, 552, 554), r
		if r.code == 250:
			g.arrived(r)
		# The next one is none the worse for it.
		g.accepted("help")
