"""Outbound mail when relays are spent, down or refuse: who takes it then, what waits, and when it leaves."""

import json
from concurrent.futures import ThreadPoolExecutor

from outbound import *

JO = "Jo <jo@acme.example>"
ONE, TWO = "limits = {\"1/day\"}", "limits = {\"2/day\"}"


def pair(first=ONE, second=ONE):
	return {"a": of("acme.example", lines=first), "b": of("acme.example", lines=second)}


# --- spent

def test_spent_gives_way_then_waits_then_leaves(ctx):
	with Outbound(ctx, pair()) as g:
		assert [g.leaves(JO)[0] for _ in range(2)] == ["a", "b"]
		r = g.as_odoo(JO)
		assert r.code == 250 and "postern-wait-plain/smtp" in g.waits(r)
		g.deliver()
		g.pf.wait_log("%s.*status=deferred" % r.queue_id, count=2)
		assert len(g["a"].messages) == len(g["b"].messages) == 1
		g.restart(clock=DAY + 60)
		g.deliver()
		assert g.took(r)[0] == "a"
		# it was counted when it left
		assert g.leaves(JO)[0] == "b"
		g.waits(g.as_odoo(JO))
		g.restart(clock=2 * DAY + 120)
		g.deliver()
		g.idle()
		assert len(g["a"].messages) + len(g["b"].messages) == 5


def test_waits_for_whichever_opens_first(ctx):
	with Outbound(ctx, pair()) as g:
		assert [g.leaves(JO)[0] for _ in range(2)] == ["a", "b"]
		late = [g.as_odoo(JO) for _ in range(2)]
		for r in late:
			g.waits(r)
		g.restart(clock=DAY + 60)
		g.deliver()
		assert {g.took(r)[0] for r in late} == {"a", "b"}


def test_well_before_the_window_opens(ctx):
	"""It waits for a's limit, and leaves by b, which only was down."""
	with Outbound(ctx, pair(second="")) as g:
		g.tell_health("b", "limit", "5.4.5 monthly limit exceeded")
		assert g.leaves(JO)[0] == "a"
		r = g.as_odoo(JO)
		g.waits(r)
		g.tell_health("b", "well")
		g.deliver()
		assert g.took(r)[0] == "b"


def test_refused_with_the_time(ctx):
	with Outbound(ctx, pair(), top="when_spent = refuse") as g:
		g.leaves(JO), g.leaves(JO)
		r = g.as_odoo(JO)
		assert answer(r) == (450, "4.7.1") and re.search(r"relay a: 1 recipients in 24 h are used up until 20\d\d-\d\d-\d\d "
		    r"\d\d:\d\d UTC", r.final.text), r
		g.restart(clock=DAY + 60)
		assert g.leaves(JO)[0] == "a"


def test_counts_outlive_a_restart(ctx):
	with Outbound(ctx, pair()) as g:
		assert g.leaves(JO)[0] == "a"
		g.milter.kill()
		g.restart_milter() if g.milter.process else g.milter.start()
		assert g.leaves(JO)[0] == "b"


def test_the_same_mail_is_counted_once(ctx):
	"""One Message-ID, sender and set of recipients; Odoo sends a transaction for each partner."""
	with Outbound(ctx, pair()) as g:
		for _ in range(3):
			assert g.leaves(JO, ident="<same@acme.example>")[0] == "a"
		assert g.leaves(JO, ident="<same@acme.example>", to="d@customer.test")[0] == "b"
		g.waits(g.as_odoo(JO, ident="<same@acme.example>", to="e@customer.test"))


def test_what_a_later_milter_puts_off_is_counted_once(ctx):
	with Milter(ctx.tmp + "/grey.sock", Greylist) as grey, Outbound(ctx, pair(), start=False) as g:
		g.pf.main["smtpd_milters"] += ", unix:" + ctx.tmp + "/grey.sock"
		g.start()
		assert g.as_odoo(JO, ident="<1@acme.example>").code // 100 == 4
		assert g.leaves(JO, ident="<1@acme.example>")[0] == "a"


def test_recipients_are_counted(ctx):
	many = ["c%d@customer.test" % i for i in range(10)]
	with Outbound(ctx, {"a": of("acme.example", lines='limits = {"10/day"}')}) as g:
		assert len(g.leaves(JO, to=many[:7])[1].recipients) == 7
		r = g.as_odoo(JO, to=many[:4])
		assert "relay=a " in g.line(r.queue_id + ".*outbound=wait")
		# the waiting service serves who still fits, one by one
		g.pf.wait_log(r.queue_id + ".*status=sent", count=3)
		g.pf.wait_log(r.queue_id + ".*status=deferred")
		assert [len(t.recipients) for t in g["a"].wait(4)] == [7, 1, 1, 1]


def test_a_crowd_in_one_mail(ctx):
	many = ["c%d@customer.test" % i for i in range(900)]
	with Outbound(ctx, {"a": of("acme.example", lines='limits = {"1000/day"}')}) as g:
		assert g.as_odoo(JO, to=many).code == 250
		g.idle()
		assert sorted(sum((t.recipients for t in g["a"].messages), [])) == sorted(many)
		assert "outbound=wait" in g.line(g.as_odoo(JO, to=many[:101]).queue_id)


def test_many_at_once_are_counted_exactly(ctx):
	accounts = {"a": of("acme.example", lines='limits = {"7/day"}'), "b": of("acme.example", lines='limits = {"11/day"}')}
	with Outbound(ctx, accounts) as g, ThreadPoolExecutor(8) as pool:
		results = list(pool.map(lambda i: g.as_odoo(JO), range(24)))
		assert all(r.code == 250 for r in results)
		g.pf.wait_log("status=sent", count=18)
		g.pf.wait_log("status=deferred", count=6)
		assert [len(g[name].messages) for name in "ab"] == [7, 11]


def test_too_many_for_one_message(ctx):
	many = ["c%d@customer.test" % i for i in range(3)]
	with Outbound(ctx, pair('limits = {"2/message"}', 'limits = {"3/message"}')) as g:
		assert g.leaves(JO, to=many)[0] == "b"
		assert g.leaves(JO, to=many[:2])[0] == "a"


def test_too_many_for_every_relay(ctx):
	many = ["c%d@customer.test" % i for i in range(3)]
	accounts = {"a": of("acme.example", lines='limits = {"2/message"}')}
	with Outbound(ctx, accounts) as g:
		assert g.as_odoo(JO, to=many).code == 250
		assert sorted(sum((t.recipients for t in g["a"].wait(3)), [])) == many
		g.reload(top='mail_log = ""\nwhen_spent = refuse')
		assert answer(g.as_odoo(JO, to=many)) == (550, "5.5.3")


def test_mixed_mail_waits_for_the_customer_only(ctx):
	with Outbound(ctx, {"a": of("acme.example", lines=ONE)}) as g:
		g.leaves(JO)
		r = g.as_odoo(JO, ["sales@acme.example", CUSTOMER])
		assert g.arrived(r).recipients == ["sales@" + TARGET]
		assert "postern-wait-plain" in g.waits(r)
		g.restart(clock=DAY + 60)
		g.deliver()
		assert g["a"].wait(2)[1].recipients == [CUSTOMER]


# --- milter and policy service together

def test_both_hooks_count_one_mail_once(ctx):
	with Outbound(ctx, pair(TWO, ONE), submission=WITH_MILTER + WITH_POLICY) as g:
		assert [g.leaves(JO)[0] for _ in range(3)] == ["a", "a", "b"]
		assert g.pf.log().count("triggers FILTER") == 3


def test_the_header_wins_and_moves_the_count(ctx):
	"""By the envelope it would be a's: the milter, which sees the From, takes it to b, and a keeps its place."""
	accounts = {"a": of("acme.example", lines=ONE), "b": of("beta.example", lines=ONE)}
	with Outbound(ctx, accounts, submission=WITH_MILTER + WITH_POLICY) as g:
		assert g.leaves("jo@beta.example")[0] == "b"
		assert g.leaves(JO)[0] == "a"
		g.waits(g.as_odoo("jo@beta.example"))


def test_policy_alone(ctx):
	"""By login, then by envelope sender; what is spent is told at DATA."""
	accounts = {"byuser": of("x.example", lines='sasl_users = {"jo"}; ' + ONE), "a": of("acme.example", lines=ONE)}
	with Outbound(ctx, accounts, submission=WITH_POLICY, milter=False, users={"jo": "pw"}, top="when_spent = refuse") as g:
		assert g.leaves(JO, user="jo")[0] == "byuser"
		assert g.leaves(JO)[0] == "a"
		for user, name in (("jo", "byuser"), ("odoo", "a")):
			r = g.as_odoo(JO, user=user)
			assert answer(r) == (450, "4.7.1") and r.end is None and "relay %s:" % name in r.final.text, r


def test_policy_alone_lets_ours_stay(ctx):
	"""No FILTER where somebody of ours gets it too: the map `route` finds the relay."""
	with Outbound(ctx, {"a": of("acme.example")}, submission=WITH_POLICY, milter=False,
	    main={"transport_maps": "inline:{ {acme.example = discard:} }"}) as g:
		r = g.as_odoo(JO, ["sales@acme.example", CUSTOMER])
		assert g.took(r)[1].recipients == [CUSTOMER]
		assert "triggers FILTER" not in g.pf.log()
		g.pf.wait_log(r.queue_id + ": to=<sales@acme.example>.*status=sent .acme.example")


def test_policy_back_in_mid_session(ctx):
	"""Whom it did not see at RCPT might be ours: no FILTER."""
	with Outbound(ctx, {"a": of("acme.example")}, submission=WITH_POLICY, milter=False,
	    main={"transport_maps": "inline:{ {acme.example = discard:} }"}) as g:
		for before, after in ((["sales@acme.example"], []), (["sales@acme.example"], [CUSTOMER])):
			with Client(g.pf.address("submission")) as c:
				assert c.auth_plain("odoo", g.pf.sasl.users["odoo"]).code == 235
				assert c.cmd("MAIL FROM:<%s>" % BOUNCE).code == 250
				assert all(c.cmd("RCPT TO:<%s>" % r).code == 250 for r in before)
				g.policy.restart()
				assert all(c.cmd("RCPT TO:<%s>" % r).code == 250 for r in after)
				_, r = c.data(mail(CUSTOMER, JO))
			g.pf.wait_log(r.text.split()[-1] + ": to=<sales@acme.example>.*status=sent .acme.example")
			assert not after or g["a"].wait_one().recipients == [CUSTOMER]
		assert "triggers FILTER" not in g.pf.log()


# --- relays in trouble

ANSWERS = [
	("421 greeting", "connect", "421 4.3.2 not now"),
	("554 greeting", "connect", "554 5.7.1 no"),
	("login refused", "auth", "535 5.7.8 wrong"),
	("450 at MAIL", "mail", "450 4.2.0 later"),
	("450 at RCPT", "rcpt", "450 4.2.0 later"),
	("451 at DATA", "data", "451 4.3.0 later"),
	("452 at the end", "eom", "452 4.3.1 full"),
	("cut at MAIL", "mail", DROP),
	("cut at the end", "eom", DROP),
	("a limit in words", "mail", "550 5.4.5 Daily user sending limit exceeded"),
	("a limit at the end", "eom", ["550-5.4.5 Daily user sending limit exceeded. More at", "550 5.4.5  https://x.test"]),
]


@cases(*ANSWERS)
def test_the_next_of_the_list(ctx, stage, reply):
	accounts = {"a": of("acme.example", login="one:p1"), "b": of("acme.example", login="two:p2")}
	accounts["a"].server.answers = {stage: reply}
	with Outbound(ctx, accounts) as g:
		name, t = g.leaves(JO)
		assert (name, t.auth) == ("b", "two")
		g.idle()
		assert not g["a"].messages and {l.user for l in g["a"].logins} <= {"one"}


def test_a_closed_port(ctx):
	with Outbound(ctx, pair("", "")) as g:
		g["a"].close_port()
		assert g.leaves(JO)[0] == "b"
		g["b"].close_port()
		r = g.as_odoo(JO)
		assert r.code == 250
		g.waits(r)
		g["a"].open_port(), g["b"].open_port()
		g.deliver()
		assert g.took(r)[0] == "a"


def test_nobody_else_takes_it(ctx):
	"""A fallback in main.cf is for other mail."""
	with Outbound(ctx, {"a": of("acme.example", lines=ONE), "b": of("beta.example")}, start=False) as g:
		g.pf.main["smtp_fallback_relay"] = g.world.nexthop
		g["b"].close_port()
		g.start()
		assert "postern-plain" in g.waits(g.as_odoo("jo@beta.example"))
		g.leaves(JO)
		assert "postern-wait-plain" in g.waits(g.as_odoo(JO))
		g["a"].close_port()
		g.restart(clock=DAY + 60)
		g.deliver()
		g.pf.wait_log("postern-wait-plain.*status=deferred .connect to")
		assert not g.world.transactions


@cases(("another host's certificate", "starttls_strict", lambda ca: ca.certificate("other.test"), {}),
    ("an unknown authority", "ssl_strict", lambda ca: ca.self_signed("localhost"), {}),
    ("an old one", "starttls_strict", lambda ca: ca.certificate("localhost", expired=True), {}),
    ("STARTTLS refused", "starttls", lambda ca: ca.certificate("localhost"), {"starttls": "454 4.7.0 no TLS now"}),
    ("handshake cut", "ssl", lambda ca: ca.certificate("localhost"), {"handshake": DROP}))
def test_tls_trouble(ctx, security, certificate, answers):
	"""No login is sent where the level is not reached; the next of the same kind takes it."""
	ca = Authority(ctx.tmp)
	kind = security.split("_")[0]
	def account(user, certificate, answers):
		server = Relay(kind, certificate, users={user: "pw"}, answers=answers)
		return of("acme.example", security=security, login=user + ":pw", server=server)
	accounts = {"a": account("one", certificate(ca), answers), "b": account("two", ca.certificate("localhost"), {})}
	with Outbound(ctx, accounts, ca.file) as g:
		name, t = g.leaves(JO)
		assert (name, t.auth, bool(t.tls)) == ("b", "two", True)
		assert not g["a"].logins and not g["a"].transactions


def test_the_bounce_of_our_own_mail_comes_back(ctx):
	"""A relay says 550: the notice is Odoo's, by the gate, though every relay is closed."""
	accounts = {"a": of("acme.example", lines=ONE)}
	accounts["a"].server.answers = {"rcpt": "550 5.1.1 no such user"}
	with Outbound(ctx, accounts, main={"internal_mail_filter_classes": "bounce"}) as g:
		r = g.as_odoo(JO)
		g.pf.wait_log(r.queue_id + ".*status=bounced")
		notice = g.odoo.wait_one()
		assert notice.sender == "" and notice.recipients == ["bounce@" + TARGET]
		assert b"550 5.1.1 no such user" in notice.message and not notice.headers("X-Postern-Relay")


def test_a_bounce_leaves_while_all_is_closed(ctx):
	accounts = {"a": of("acme.example", lines=ONE)}
	with Outbound(ctx, accounts) as g:
		g.leaves(JO)
		g.odoo.hook = lambda stage, t, arg: "550 5.1.1 no" if stage == "rcpt" else None
		assert g.send("sales").code == 250
		notice = g.world.wait_one()
		assert notice.sender == "" and notice.recipients == ["ann@sender.test"]
		assert len(g["a"].messages) == 1


def test_a_bounce_takes_no_relay(ctx):
	"""Also where Postfix shows its own bounces to the milter and what sendmail(1) brings is outbound."""
	with Outbound(ctx, {"a": of("acme.example")}, top="outbound_sendmail = yes",
	    main={"internal_mail_filter_classes": "bounce"}) as g:
		g.odoo.hook = lambda stage, t, arg: "550 5.1.1 no" if stage == "rcpt" else None
		assert g.send("sales").code == 250
		notice = g.world.wait_one()
		assert notice.sender == "" and "MAILER-DAEMON@mx.lab.test" in notice.header("From")
		g.idle()
		assert not g["a"].sessions


# --- other ways after all

def switch_off(g, name):
	"""The operator takes a relay out: postern-policy reads it again."""
	g.accounts[name].lines.append("active = no")
	g.write_conf(more=g.sections())
	before = len(re.findall("reloaded", g.policy.stderr()))
	g.policy.signal(10)
	g.policy.wait_stderr("reloaded", count=before + 1)


def kinds(ctx):
	ca = Authority(ctx.tmp)
	certificate = ca.certificate("localhost")
	return ca, {
		"a": of("acme.example", security="starttls", server=Relay("starttls", certificate)),
		"b": of("acme.example", security="ssl", server=Relay("ssl", certificate)),
	}


def test_a_requeued_mail_is_live(ctx):
	"""postsuper -r drops the FILTER; the map has the relay of now."""
	ca, accounts = kinds(ctx)
	with Outbound(ctx, accounts, ca.file) as g:
		g["a"].close_port()
		r = g.as_odoo(JO)
		g.waits(r)
		switch_off(g, "a")
		g.deliver()
		g.pf.wait_log(r.queue_id + ".*status=deferred", count=2)
		g.pf.wait_queue(1)
		g.pf.postsuper("-r", "ALL")
		t = g["b"].wait_one()
		assert t.sender == BOUNCE and t.recipients == [CUSTOMER] and not t.headers("X-Postern-Relay")
		g["a"].open_port()


def test_live_routes_go_on_to_another_kind_of_tls(ctx):
	"""No FILTER where the map says the same: once a relay is known to be down, the retry goes elsewhere."""
	ca, accounts = kinds(ctx)
	with Outbound(ctx, accounts, ca.file, top="live_routes = yes") as g:
		g["a"].close_port()
		r = g.as_odoo(JO)
		assert "live=yes" in g.line(r.queue_id) and "postern-starttls" in g.waits(r)
		g.tell_health("a", "down")
		# qmgr(8) keeps an answer for up to half a minute
		wait_until(lambda: (g.deliver(), g["b"].messages)[1], 50, "the retry does not ask again")
		assert g.took(r)[0] == "b" and g.leaves(JO)[0] == "b"
		g["a"].open_port()


# --- known to be down

def test_down_waits_and_leaves_when_it_is_well(ctx):
	with Outbound(ctx, {"a": of("acme.example", login="one:p1")}) as g:
		g.tell_health("a", "down", "connection refused")
		r = g.as_odoo(JO)
		assert "outbound=wait" in g.line(r.queue_id) and "connection refused" in g.line(r.queue_id)
		assert "postern-wait-plain" in g.waits(r)
		assert not g["a"].sessions
		g.tell_health("a", "well")
		g.deliver()
		assert g.took(r)[1].auth == "one"


def test_a_providers_limit_keeps_what_is_on_its_way(ctx):
	"""It was chosen before the provider had enough: it has no password now, and waits."""
	with Outbound(ctx, {"a": of("acme.example", login="one:p1")}) as g:
		g["a"].answers = {"mail": "451 4.3.0 later"}
		r = g.as_odoo(JO)
		g.waits(r)
		g.tell_health("a", "limit", "5.4.5 daily limit exceeded")
		g["a"].answers = {}
		g.deliver()
		g.pf.wait_log(r.queue_id + ".*status=deferred", count=2)
		assert not g["a"].messages
		g.restart(clock=DAY + 60)
		g.deliver()
		assert g.took(r)[1].auth == "one"


# --- what waits, where Postfix's log is read

class Followed(Outbound):
	"""And postern-health, which reads Postfix's log."""

	def write_conf(self, **parts):
		super().write_conf(**parts)
		with open(self.conf, encoding="utf-8") as f:
			text = f.read().replace('mail_log = ""', 'mail_log = "%s"\nprobe_interval = 0' % self.pf.maillog)
		with open(self.conf, "w", encoding="utf-8") as f:
			f.write(text)

	def start(self):
		super().start()
		self.health = Program(self.ctx.program("postern-health"), ["-c", self.conf])
		self.health.wait_stderr("started")
		return self

	def __exit__(self, *exc):
		self.health.close()
		super().__exit__(*exc)

	def down_and_well(self, *names, to=(CUSTOMER,)):
		"""A mail that waited for these relays, which are well again."""
		for name in names:
			self.tell_health(name, "down")
		r = self.as_odoo(JO, list(to))
		assert "outbound=wait" in self.line(r.queue_id)
		self.pf.wait_log(r.queue_id + ".*status=deferred", count=len(to))
		for name in names:
			self.tell_health(name, "well")
		return r

	def used(self):
		rows = run(self.ctx.program("postern"), "-c", self.conf, "relays", "--json", check=0).stdout
		return [int(row["used"].split("/")[0]) for row in json.loads(rows)]

	def has_read(self):
		"""The log, to its end."""
		try:
			with open(self.state + "/mail_log.place") as f:
				return int(f.read().split()[2]) == os.path.getsize(self.pf.maillog)
		except FileNotFoundError:
			return False

	def counts(self, *wanted):
		wait_until(self.has_read, 10, "postern-health has not read the log")
		assert self.used() == list(wanted), self.used()


@cases(("greylisted", lambda r: r.answers.update(rcpt="450 4.2.0 later"), lambda r: r.answers.clear()),
    ("busy", lambda r: r.answers.update(connect="421 4.3.2 busy"), lambda r: r.answers.clear()),
    ("cut", lambda r: r.answers.update(data=DROP), lambda r: r.answers.clear()),
    ("refused", lambda r: r.close_port(), lambda r: r.open_port()))
def test_what_waits_in_vain_costs_nothing(ctx, break_it, mend_it):
	"""Three attempts fail, and two recipients fit into the limit of two."""
	to = ["c@customer.test", "d@customer.test"]
	with Followed(ctx, {"a": of("acme.example", lines=TWO)}) as g:
		r = g.down_and_well("a", to=to)
		break_it(g["a"])
		for i in range(1, 4):
			g.deliver()
			g.pf.wait_log(r.queue_id + ".*status=", count=2 + 2 * i)
			g.counts(0)
			g.tell_health("a", "well")
		mend_it(g["a"])
		g.deliver()
		assert sorted(t.recipients[0] for t in g["a"].wait(2)) == to
		g.counts(2)


def test_a_login_refused_while_it_waits(ctx):
	with Followed(ctx, {"a": of("acme.example", lines=ONE, login="one:p1")}) as g:
		r = g.down_and_well("a")
		g["a"].users["one"] = "another"
		g.deliver()
		g.pf.wait_log(r.queue_id + ".*status=deferred .SASL authentication failed")
		g.counts(0)
		g["a"].users["one"] = "p1"
		g.deliver()
		assert g.took(r)[1].auth == "one"


def test_waiting_mail_is_counted_once_and_for_who_took_it(ctx):
	with Followed(ctx, pair(TWO, TWO)) as g:
		r = g.down_and_well("a", "b")
		g["a"].close_port()
		g.deliver()
		assert g.took(r)[0] == "b"
		g.counts(0, 1)
		g["a"].open_port()
		assert g.leaves(JO)[0] == "a"
		g.counts(1, 1)


# --- our own daemons away

def test_milter_away(ctx):
	"""451 at once, nothing leaves by another way."""
	with Outbound(ctx, pair()) as g:
		g.milter.stop()
		with Client(g.pf.address("submission")) as c:
			assert (c.auth_plain("odoo", "secret").code, c.mail(BOUNCE).code) == (454, 451)
		g.milter.start()
		assert g.leaves(JO)[0] == "a"


def test_policy_away(ctx):
	"""Taken, and it waits for its password; what comes in goes on."""
	with Outbound(ctx, {"a": of("acme.example", login="one:p1")}) as g:
		g.policy.stop()
		r = g.as_odoo(JO)
		assert r.code == 250
		g.waits(r)
		g.accepted("sales")
		g.policy.start()
		g.deliver()
		assert g.took(r)[1].auth == "one"


def test_a_relay_taken_out(ctx):
	"""What is on its way to it waits; it is neither bounced for want of a password nor sent without one."""
	accounts = {"a": of("acme.example", login="one:p1"), "b": of("b.example")}
	accounts["a"].server.answers = {"rcpt": "450 4.2.0 later"}
	with Outbound(ctx, accounts) as g:
		r = g.as_odoo(JO)
		g.waits(r)
		switch_off(g, "a")
		g["a"].answers = {}
		before = len(g["a"].logins)
		g.deliver()
		g.pf.wait_log(r.queue_id + ".*status=deferred", count=2)
		assert len(g["a"].logins) == before > 0 and not g["a"].messages


def test_no_password_file(ctx):
	"""The mail waits and nobody is asked without a login."""
	with Outbound(ctx, {"a": of("acme.example", login="one:p1")}) as g:
		path = ctx.tmp + "/a.password"
		os.rename(path, path + ".away")
		r = g.as_odoo(JO)
		g.waits(r)
		assert not g["a"].logins and not g["a"].transactions
		g.policy.wait_stderr("a.password")
		os.rename(path + ".away", path)
		g.deliver()
		assert g.took(r)[1].auth == "one"
