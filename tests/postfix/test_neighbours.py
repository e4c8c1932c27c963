"""Postern beside others: milters before and behind it, content filters, sendmail(1), submission, a relay host."""

import re
import subprocess
import threading
import time

import postfix
from gateway import *
from lab import *


# --- a milter that greylists

@cases(("before ours", "before"), ("behind ours", "behind"))
def test_greylisting_loses_nothing_and_counts_once(ctx, where):
	"""The client comes back after 451; with a threshold of 2 a mail that counted twice would stop the next one."""
	with Milter(None, Greylist, times=2) as grey:
		with Gateway(ctx, gateway="twin_lease = 1s\n\tmail.gateway.loop.threshold = 2", **{where: [grey]}) as g:
			for n in range(2):
				message = mail("sales", ident="<grey%d@sender.test>" % n)
				with grey.shared_lock:
					grey.shared.clear()
				codes = [g.send("sales", message).code]
				while codes[-1] != 250 and len(codes) < 100:
					time.sleep(0.1)
					codes.append(g.send("sales", message).code)
				assert set(codes) == {451, 250}, codes
			got = [m.header("Message-ID") for m in g.odoo.wait(2)]
			assert sorted(got) == ["<grey0@sender.test>", "<grey1@sender.test>"], got
			# Behind ours, the second attempt fell into the lease of the first; that was 451 as well.
			assert ("rule=twin" in g.milter.stderr()) == (where == "behind")
			with grey.shared_lock:
				grey.shared.clear()
			codes = [g.send("sales", mail("sales", ident="<third@sender.test>")).code for _ in range(3)]
			assert codes == [451] * 3 and g.line("rule=loop_new")
			g.idle()
			assert len(g.odoo.messages) == 2


def test_milter_behind_ours_refuses_for_good(ctx):
	"""It sees what we changed, and its word stands."""
	class Refuse(Filter):
		def on_eom(self):
			return "550 5.7.1 spam" if "spam" in dict(self.headers)["Subject"] else "continue"

	with Milter(None, Refuse) as spam, Gateway(ctx, behind=[spam]) as g:
		assert answer(g.send("sales", mail("sales", subject="spam"))) == (550, "5.7.1")
		assert g.accepted("sales", mail("sales", subject="good")).recipients == ["sales@" + TARGET]
		assert [v.strip() for n, v in spam.named("header") if n == "X-Postern-Stamp"] == ["mx.lab.test/acme"] * 2


def test_milters_on_both_sides_keep_their_headers(ctx):
	with Milter(None, AddHeader, header=("X-First", "1")) as first, \
	    Milter(None, AddHeader, header=("X-Last", "2")) as last:
		with Gateway(ctx, before=[first], behind=[last]) as g:
			m = g.accepted(["sales", "help"], mail(["sales", "help"]))
			assert m.header("X-First") == "1" and m.header("X-Last") == "2" and m.header("X-Postern-Stamp")
			assert len(m.recipients) == 2


# --- a content filter that gives mail back

class Filtered(Gateway):
	"""content_filter, and the re-injection service of the fragment master.cf."""

	def __init__(self, ctx, content_filter, **options):
		self.filter = content_filter
		super().__init__(ctx, services={"reinject": master_cf(ctx)["127.0.0.1:10026"][1]}, start=False, **options)
		content_filter.target = self.pf.address("reinject")
		self.pf.main["content_filter"] = "smtp:" + content_filter.nexthop

	def __exit__(self, *exc):
		super().__exit__(*exc)
		self.filter.close()


def test_content_filter(ctx):
	"""Decided once, in the first session; the filter is given what Odoo will get."""
	with Filtered(ctx, ContentFilter(None, change=lambda m: b"X-Scanned: yes\r\n" + m),
	    gateway="mail.gateway.loop.threshold = 1") as g:
		g.start()
		assert g.send(["Sales", "help"], mail("sales"), rcpt_params=["NOTIFY=FAILURE"]).code == 250
		m = g.odoo.wait_one()
		assert sorted(m.recipients) == ["Sales@" + TARGET, "help@" + TARGET] and m.sender == "ann@sender.test"
		assert m.header("X-Scanned") == "yes" and m.headers("X-Postern-Stamp") == ["mx.lab.test/acme"]
		assert m.headers("Delivered-To") == ["help@acme.example"] and m.rcpts[0].params["NOTIFY"] == "FAILURE"
		assert answer(g.send("nobody")) == (550, "5.1.1")
		g.idle()
		assert len(g.filter.messages) == 1 and len(g.milter.stderr().split("verdict=")) == 3


def test_content_filter_with_target_keep(ctx):
	"""The recipients are still ours when the mail comes back: it is neither a loop nor a twin."""
	g = Filtered(ctx, ContentFilter(None), target="keep")
	with g, Sink(g.pf.socket_path("odoo.sock"), protocol="lmtp", group="postfix") as lmtp:
		g.pf.main["relay_transport"] = "lmtp:unix:postern/odoo.sock"
		g.start()
		assert g.send("sales", mail("sales")).code == 250
		assert lmtp.wait_one().recipients == ["sales@acme.example"]
		g.idle()
		assert len(g.milter.stderr().split("verdict=")) == 2


def test_content_filter_in_a_mixed_domain(ctx):
	with Filtered(ctx, ContentFilter(None), domains=MIXED) as g:
		g.start()
		assert g.send(["sales", "joe"], mail(["sales", "joe"])).code == 250
		assert g.odoo.wait_one().recipients == ["sales@" + TARGET]
		assert g.people.wait_one().recipients == ["joe@acme.example"]


# --- the fragments themselves

@cases(("own domains", OWN), ("mixed domains", MIXED))
def test_postfix_knows_every_setting(ctx, domains):
	"""postconf warns about a name that is misspelt or that nothing uses."""
	with Gateway(ctx, domains, submission=True) as g:
		for option in ("-n", "-M", "-P"):
			r = subprocess.run(["postconf", "-c", g.pf.etc, option], capture_output=True, check=True, text=True)
			assert r.stdout and "warning" not in r.stderr, r.stderr


# --- sendmail(1)

def local(g, rcpts, message, sender="root@mx.lab.test"):
	g.pf.sendmail(["-f", sender, *[addr(a) for a in rcpts]], message)


def test_sendmail_is_never_refused(ctx):
	"""A refusal there would be tried again every second, or bounce: Odoo says no instead."""
	with Gateway(ctx, domain="unknown = reject", gateway="mail.gateway.loop.threshold = 1") as g:
		local(g, ["sales", "nobody"], mail(["sales", "nobody"]))
		assert sorted(g.odoo.wait(1)[0].recipients) == ["nobody@" + TARGET, "sales@" + TARGET]
		local(g, ["catchall"], mail("catchall", "bob@sender.test"))
		assert g.odoo.wait(2)[1].recipients == ["catchall@" + TARGET]
		assert "verdict=hand_over rule=catchall_direct alone=refuse" in g.line("alone=refuse")
		message = mail("sales", "cyn@sender.test", ident="<again@sender.test>")
		local(g, ["sales"], message)
		local(g, ["sales"], message)
		local(g, ["sales"], mail("sales", "cyn@sender.test"))
		g.odoo.wait(5)
		g.idle()
		assert "milter-reject" not in g.pf.log() and "can't reject" not in g.pf.log()


def test_sendmail_with_a_flood_of_our_headers(ctx):
	"""It cannot be told no: the first twenty go, the others stay as they are."""
	with Gateway(ctx) as g:
		local(g, ["sales"], mail("sales", extra="".join("X-Postern-Stamp: forged %d\n" % i for i in range(25))))
		m = g.odoo.wait_one()
		assert m.recipients == ["sales@" + TARGET]
		assert m.headers("X-Postern-Stamp") == ["forged %d" % i for i in range(20, 25)] + ["mx.lab.test/acme"]
		assert "verdict=accept rule=alias" in g.line("qid=")


def test_sendmail_while_the_milter_is_down(ctx):
	"""It waits in maildrop and is redirected when the milter is back."""
	with Gateway(ctx) as g:
		g.milter.stop()
		local(g, ["sales"], mail("sales"))
		g.pf.wait_log("(milter|Milter).*(reject|connect)|milter-reject")
		assert not g.odoo.transactions
		g.milter.start()
		wait_until(lambda: (g.pf.flush(), g.odoo.messages)[1], 30, "the mail to be delivered")
		assert g.odoo.wait_one().recipients == ["sales@" + TARGET]


@cases(("host says it is outbound", "yes"), ("host says nothing", "no"))
def test_sendmail_outbound(ctx, outbound):
	notification = mail("c@customer.test", "x@acme.example", "<n@acme.example>", "X-Odoo-Objects: crm.lead-4")
	with Gateway(ctx, top="outbound_sendmail = " + outbound) as g:
		local(g, ["c@customer.test"], notification, "bounce@acme.example")
		assert g.world.wait_one().recipients == ["c@customer.test"]
		m = g.accepted("catchall", mail("catchall", extra="In-Reply-To: <n@acme.example>"))
		assert ("route=crm.lead:4" in m.header("X-Postern-Route")) == (outbound == "yes"), m.header_text


@cases(("own domains", OWN), ("mixed domains", MIXED))
def test_bounces_of_our_own_reach_odoo(ctx, domains):
	"""Postfix's report on what Odoo sent is a bounce for Odoo: neither waiting here nor refused by the mailboxes."""
	def gone(stage, transaction, arg):
		return "550 5.1.1 gone" if stage == "rcpt" else None

	with Gateway(ctx, domains, submission=True) as g:
		g.world.hook = gone
		assert g.submit(["gone@far.test"], mail("gone@far.test", frm="sales@acme.example")).code == 250
		m = g.odoo.wait_one()
		assert m.recipients == ["bounce@" + TARGET] and m.sender == "" and "rule=is_bounce" in g.line("from=<>")
		g.idle()
		assert not g.people.transactions


def test_bounces_of_our_own_to_others(ctx):
	"""They pass our milter unharmed; what it would do to a stranger's mail is not done to them."""
	with Gateway(ctx, odoo=Sink(hook=lambda stage, tr, arg: "550 5.1.1 gone" if stage == "rcpt" else None)) as g:
		assert g.send("sales").code == 250
		report = g.world.wait_one()
		assert report.sender == "" and report.recipients == ["ann@sender.test"]
		# Postfix's report to an address of ours is a bounce for Odoo, not refused and not lost.
		assert g.send("help", sender="nobody@acme.example").code == 250
		g.pf.wait_log("sender non-delivery notification", count=2)
		g.line("verdict=pass from=<> to=<ann@sender.test>")
		assert "redirect=<bounce@%s>" % TARGET in g.line("rule=is_bounce from=<> to=<nobody@acme.example>")


# --- submission

def test_submission_to_our_own_domain_is_inbound(ctx):
	"""Recipients of managed domains get the inbound decision first, from an authenticated client too."""
	with Gateway(ctx, submission=True) as g:
		with Client(g.pf.address("submission")) as c:
			assert c.mail("joe@acme.example").ok and c.rcpt("sales@acme.example").code == 554
			assert c.rset().ok and c.auth_plain("odoo", "secret").code == 235
			for to, expected in (
			    (["sales"], (250, "2.0.0")),
			    (["nobody"], (550, "5.1.1")),
			    (["catchall"], (550, "5.7.1")),
			    (["help", "bob@elsewhere.test"], (250, "2.0.0")),
			    (["bob@elsewhere.test"], (250, "2.0.0"))):
				r = c.send_mail("joe@acme.example", [addr(a) for a in to], mail(to, "joe@acme.example"))
				assert answer(r) == expected, (to, r)
		assert sorted(m.recipients for m in g.odoo.wait(2)) == [["help@" + TARGET], ["sales@" + TARGET]]
		assert [m.recipients for m in g.world.wait(2)] == [["bob@elsewhere.test"]] * 2
		g.idle()


# --- the null sender's route, a relay host

def null_route(ctx, odoo, **main):
	"""Postfix with the fragments word for word; mail for localhost goes to the port of its MX."""
	direct = Sink()
	settings = {}
	for name in (OWN, "main.cf.redirect"):
		settings.update(fragment(ctx, name))
	settings["transport_maps"] = settings["transport_maps"].replace("inline:{",
	    "inline:{ {odoo.test = postern-redirect:%s}" % odoo.nexthop)
	settings.update(main)
	line, options = master_cf(ctx)["postern-redirect"]
	options = dict(options, smtp_tcp_port=direct.port)
	pf = Postfix(main=settings, master=[line + "".join("\n -o { %s = %s }" % kv for kv in options.items())])
	return pf.start(), direct


def to_bob(pf):
	return send_mail(pf.address(), "ann@x.test", "bob@localhost", mail("bob@localhost"), source="127.0.0.2")


@cases(
	("everything else is kept back", {"default_transport": "retry:4.3.0 no way out"}, False),
	("a relay as default transport", {"default_transport": "smtp:RELAY"}, False),
	("a relay that asks for a password", {"default_transport": "smtp:RELAY", "smtp_sasl_auth_enable": "yes",
	    "smtp_sasl_security_options": "noanonymous",
	    "smtp_sasl_password_maps": "inline:{ {RELAY = me:secret} }"}, False),
	("relayhost, against the advice", {"relayhost": "RELAY"}, True),
)
def test_bounces_leave_by_themselves(ctx, main, by_relay):
	odoo = Sink(hook=lambda stage, tr, arg: "550 5.1.1 gone" if stage == "rcpt" else None)
	relay = Sink(users={"me": "secret"} if "smtp_sasl_auth_enable" in main else None)
	main = {k: v.replace("RELAY", relay.nexthop) for k, v in main.items()}
	pf, direct = null_route(ctx, odoo, **main)
	with odoo, relay, direct, pf:
		r = send_mail(pf.address(), "ann@localhost", "x@odoo.test", mail("x@odoo.test"), source="127.0.0.2")
		assert r.code == 250, r
		report = (relay if by_relay else direct).wait_one()
		assert report.sender == "" and report.recipients == ["ann@localhost"]
		assert "postern-redirect/smtp" in pf.wait_log("to=<ann@localhost>.*status=sent").string
		# A sender of his own takes the default route.
		if "retry" not in main.get("default_transport", ""):
			assert to_bob(pf).code == 250
			wait_until(lambda: [m for m in relay.messages if m.recipients == ["bob@localhost"]], 10, "bob's mail")
			assert not [m for m in direct.messages if m.recipients == ["bob@localhost"]]
			if relay.users:
				assert relay.messages[-1].auth == "me"
		else:
			assert to_bob(pf).code == 450


def test_redirected_mail_never_takes_the_relay(ctx):
	"""relayhost and passwords are set: the target's next hop is its own MX, without AUTH."""
	target, relay = Sink(users=None, extensions=("PIPELINING", "AUTH PLAIN")), Sink()
	with target, relay, Gateway(ctx, odoo=target) as g:
		passwords = "inline:{ {%s = me:secret} {%s = me:secret} }" % (relay.nexthop, target.nexthop)
		g.pf.main.update({"relayhost": relay.nexthop, "smtp_sasl_auth_enable": "yes",
		    "smtp_sasl_security_options": "noanonymous", "smtp_sasl_password_maps": passwords})
		g.pf.restart()
		m = g.accepted("sales")
		assert m.recipients == ["sales@" + TARGET] and m.auth is None
		assert not any("AUTH" in line for _, line in target.commands) and not relay.transactions


def test_transport_entry_without_next_hop_goes_to_the_domain(ctx):
	"""As in the fragment: nothing behind the colon means the domain itself, whatever relayhost says."""
	relay = Sink()
	pf, direct = null_route(ctx, relay, relayhost=relay.nexthop,
	    transport_maps="inline:{ {localhost = postern-redirect:} }")
	with relay, direct, pf:
		assert to_bob(pf).code == 250
		assert direct.wait_one().recipients == ["bob@localhost"] and not relay.transactions


def test_mail_that_was_not_redirected_waits(ctx):
	"""The milter was switched off by mistake: nothing leaves, nothing comes back to the sender."""
	with Gateway(ctx, main={"smtpd_milters": "", "non_smtpd_milters": ""}) as g:
		assert g.send("sales").code == 250
		g.pf.wait_log("to=<sales@acme.example>.*status=deferred .connect to .*mail-was-not-redirected")
		wait_until(lambda: g.pf.wait_queue(1)[0]["queue_name"] == "deferred", 5, "not deferred")
		waiting = g.pf.wait_queue(1)[0]
		assert not g.odoo.transactions and not g.world.transactions
		# The way out that README names: hand it in anew.
		g.pf.reload(non_smtpd_milters=fragment(ctx, "main.cf.milter")["smtpd_milters"])
		content = subprocess.run(["postcat", "-c", g.pf.etc, "-bhq", waiting["queue_id"]],
		    capture_output=True, check=True)
		g.pf.sendmail(["-i", "-f", "ann@sender.test", "sales@acme.example"], content.stdout)
		g.pf.postsuper("-d", waiting["queue_id"])
		m = g.odoo.wait_one()
		assert m.recipients == ["sales@" + TARGET] and m.sender == "ann@sender.test" and m.body == b"Hello.\r\n"
		g.idle()


@timeout(90)
def test_everything_chrooted(ctx):
	"""As Debian runs Postfix: smtpd, cleanup, trivial-rewrite and the clients in the queue directory."""
	for name in ("pickup", "cleanup", "rewrite", "bounce", "defer", "smtp", "lmtp"):
		postfix.MASTER, n = re.subn(r"(?m)^(%s unix \S+ \S+) n" % name, r"\1 y", postfix.MASTER)
		assert n == 1, name
	with Gateway(ctx, MIXED, chroot=True) as g:
		assert g.send(["sales", "joe"], mail(["sales", "joe"])).code == 250
		local(g, ["help", "mary"], mail(["help", "mary"]))
		assert sorted(m.recipients for m in g.odoo.wait(2)) == [["help@" + TARGET], ["sales@" + TARGET]]
		assert sorted(m.recipients for m in g.people.wait(2)) == [["joe@acme.example"], ["mary@acme.example"]]
		assert answer(g.send("nobody")) == (550, "5.1.1")


# --- many messages in one session

def test_a_long_session(ctx):
	"""Aborts, refused recipients, RSET and BDAT between good mails: each good one arrives as itself."""
	with Gateway(ctx, domain="unknown = reject", more=BETA) as g, Client(g.pf.address(), timeout=30) as c:
		good = 0
		for round_ in range(8):
			assert c.mail("x%d@sender.test" % round_, "SMTPUTF8").ok
			if round_ & 1:
				assert c.rcpt("nobody@acme.example").code == 550
			if round_ & 2:
				assert c.rcpt("help@acme.example").ok
			if round_ & 4:
				assert c.bdat("From: a@b.test\r\nX-Postern-Stamp: x\r\n").code == (250 if round_ & 2 else 554)
			assert c.rset().ok
			assert c.mail("ann@sender.test").ok
			assert c.rcpt("nobody@acme.example").code == 550 and c.rcpt("sales@acme.example").ok
			assert c.rcpt("foreign@elsewhere.test").code == 554
			message = crlf(mail("sales", frm="p%d@sender.test" % round_))
			if round_ & 1:
				assert c.bdat(message[:100]).code == 250 and c.bdat(message[100:], last=True).code == 250
			else:
				assert c.data(message)[1].code == 250
			good += 1
			assert answer(c.send_mail("b@sender.test", "catchall@acme.example", mail("catchall"))) == (550, "5.7.1")
			assert c.send_mail("b@sender.test", "shop@beta.example", mail("shop@beta.example",
			    frm="p%d@sender.test" % round_), bdat=bool(round_ & 2)).code == 250
		# EHLO again is an abort, too.
		assert c.mail("y@sender.test").ok and c.rcpt("help@acme.example").ok
		c.ehlo()
		assert c.send_mail("ann@sender.test", "help@acme.example", mail("help")).code == 250
		g.odoo.wait(2 * good + 1)
		got = sorted(a for m in g.odoo.messages for a in m.recipients)
		assert got == ["help@" + TARGET] + ["sales@" + TARGET] * good + ["shop@beta.odoo.example"] * good, got


@cases(("after the greeting", 0), ("after MAIL", 1), ("after RCPT", 2), ("after DATA", 3), ("in the message", 4))
def test_clients_that_vanish(ctx, stage):
	with Gateway(ctx) as g:
		open_files = g.milter.open_files()
		for _ in range(20):
			c = Client(g.pf.address())
			if stage > 0:
				c.mail("ann@sender.test")
			if stage > 1:
				c.rcpt("sales@acme.example")
			if stage > 2:
				c.cmd("DATA")
			if stage > 3:
				c.send(crlf(mail("sales"))[:-10])
			c.abort()
		g.accepted("sales")
		wait_until(lambda: g.milter.open_files() <= open_files + 2, 10, "the sessions to be closed")
		assert len(g.odoo.messages) == 1


def test_no_session_stalls_another(ctx):
	"""50 sessions stand still in the middle of a mail; others are served at once."""
	with Gateway(ctx) as g:
		idle = [Client(g.pf.address()) for _ in range(50)]
		for c in idle:
			assert c.mail("ann@sender.test").ok and c.rcpt("sales@acme.example").ok
		times = []
		with Client(g.pf.address()) as c:
			for i in range(20):
				started = time.monotonic()
				message = mail("help", frm="q%d@sender.test" % i)
				assert c.send_mail("b@sender.test", "help@acme.example", message).code == 250
				times.append(time.monotonic() - started)
		assert sorted(times)[10] < 2, times
		for i, c in enumerate(idle):
			if i % 10 == 0:
				assert c.data(mail("sales", frm="r%d@sender.test" % i))[1].code == 250
			c.close()
		assert len(g.odoo.wait(25)) == 25


def test_parallel_sessions(ctx):
	"""200 mails over 10 connections at once: each arrives once."""
	failed = []

	def run(g, k):
		try:
			with Client(g.pf.address(), timeout=30) as c:
				for i in range(20):
					r = c.send_mail("ann@sender.test", ["sales@acme.example", "help@acme.example"],
					    mail(["sales", "help"], ident="<%d.%d@par.test>" % (k, i), frm="s%d.%d@sender.test" % (k, i)))
					assert r.code == 250, r
		except Exception as e:
			failed.append(e)

	with Gateway(ctx) as g:
		threads = [threading.Thread(target=run, args=(g, k)) for k in range(10)]
		for t in threads:
			t.start()
		for t in threads:
			t.join()
		assert not failed, failed
		got = sorted(m.header("Message-ID") for m in g.odoo.wait(200, timeout=30))
		assert got == sorted("<%d.%d@par.test>" % (k, i) for k in range(10) for i in range(20))
