"""The way out as `postern postfix-conf` prints it: each kind of relay, and what still passes when it is closed."""

import re
import subprocess

from lab import *
from outbound import *
from relay import Authority, Relay


def kinds(ca):
	"""A relay of each kind; two accounts at one host and port are told apart by password or by certificate."""
	def certified(name):
		path = ca.certificate(name)
		return ["authentication = certificate", 'certificate_file = "%s"' % path, 'key_file = "%s"' % path]

	certificate = ca.certificate("localhost")
	shared = Relay("starttls", certificate, users={"four": "secret4", "five": "secret5"})
	trusting = Relay("starttls", certificate, client_ca=ca.file, client_required=True)
	accounts = {
		"submission": Account(server=Relay("starttls", certificate, users={"one": "secret1"}),
		    security="starttls_strict", login="one:secret1"),
		"implicit": Account(server=Relay("ssl", certificate, users={"two": "secret2"}), security="ssl_strict",
		    login="two:secret2"),
		"local": Account(login="three:secret3"),
		"sales": Account(server=shared, security="starttls_strict", login="four:secret4"),
		"support": Account(server=shared, security="starttls", login="five:secret5"),
		"north": Account(*certified("north.test"), server=trusting, security="starttls_strict"),
		"south": Account(*certified("south.test"), server=trusting, security="starttls_strict"),
	}
	for name, account in accounts.items():
		account.lines.append('from_filter = {"%s.example"}' % name)
	return accounts


# name -> (login, certificate of ours, TLS)
EXPECTED = {
	"submission": ("one", None, True), "implicit": ("two", None, True), "local": ("three", None, False),
	"sales": ("four", None, True), "support": ("five", None, True),
	"north": (None, "north.test", True), "south": (None, "south.test", True),
}


def one(*lines, **server):
	"""A single plain relay, for acme.example."""
	return {"main": Account('from_filter = {"acme.example"}', *lines, login="one:secret",
	    server=Relay(users={"one": "secret"}, **server))}


def test_every_mail_leaves_by_its_relay(ctx):
	ca = Authority(ctx.tmp)
	with Outbound(ctx, kinds(ca), ca.file) as g:
		got = {}
		for name in g.accounts:
			t = g.leaves("ann@%s.example" % name)[1]
			assert not t.headers("X-Postern-Relay") and t.sender == "ann@%s.example" % name
			got[name] = (t.auth, getattr(t, "subject", None), bool(t.tls))
		assert got == EXPECTED, got
		assert len(re.findall("milter-header-filter", g.pf.log())) == len(g.accounts)
		g.idle()
		assert not g.world.messages


def test_postfix_finds_nothing_to_complain_of(ctx):
	ca = Authority(ctx.tmp)
	with Outbound(ctx, kinds(ca), ca.file) as g:
		for option in ("-n", "-M", "-P"):
			r = subprocess.run(["postconf", "-c", g.pf.etc, option], capture_output=True, check=True, text=True)
			assert r.stdout and r.stderr == "", r.stderr
		assert "warning" not in g.pf.log()
		r = subprocess.run(["postfix", "-c", g.pf.etc, "check"], capture_output=True, check=True, text=True)
		assert r.stdout + r.stderr == "", r
		r = run(ctx.program("postern"), "-c", g.conf, "check", "--postfix-config", g.pf.etc)
		wrong = [line for line in r.stdout.splitlines() if " relays " in line and not line.startswith("ok")]
		assert not wrong, wrong


def test_the_rest_passes_while_the_way_out_is_closed(ctx):
	"""postern-policy is stopped: redirects and bounces go their way, Odoo's own mail is taken and waits."""
	with Outbound(ctx, one()) as g:
		g.policy.stop()
		g.accepted("sales")
		g.accepted("help", sender="<>")
		r = g.as_odoo()
		assert r.code == 250, r
		# a bounce of this host's own: what Odoo's side refuses goes back to its sender
		g.odoo.hook = lambda stage, t, arg: "550 5.1.1 no" if stage == "rcpt" else None
		assert g.send("sales").code == 250
		bounce = g.world.wait_one()
		assert bounce.sender == "" and bounce.recipients == ["ann@sender.test"]
		g.pf.wait_log(r.queue_id + ".*status=deferred")
		assert not g["main"].messages
		g.policy.start()
		g.pf.flush()
		assert g["main"].wait_one().auth == "one"


def test_submission_asks_for_no_route(ctx):
	"""Without a trivial-rewrite of its own it would: the reason why the fragment has one."""
	with Outbound(ctx, one(), submission=()) as g:
		g.policy.stop()
		assert answer(g.as_odoo()) == (451, "4.3.0")


def test_mail_without_a_relay_waits(ctx):
	"""Taken, not told 450: nobody sends it again."""
	with Outbound(ctx, one()) as g:
		r = g.send("c@customer.test", mail("c@customer.test", "x@foreign.test"), sender="x@foreign.test", source="127.0.0.2")
		assert r.code == 250, r
		g.pf.wait_log("postern-none/lmtp.*%s.*status=deferred" % r.queue_id)
		assert not g["main"].sessions and not g.world.messages


def test_a_spent_relay_keeps_mail_waiting(ctx):
	"""The second mail of the day waits until the limit is raised, and leaves with its relay's login."""
	with Outbound(ctx, one('limits = {"1/day"}')) as g:
		first, second = g.as_odoo(extra="X-Number: 1"), g.as_odoo(extra="X-Number: 2")
		assert first.code == second.code == 250
		assert g["main"].wait_one().header("X-Number") == "1"
		g.pf.wait_log("postern-wait-plain/smtp.*%s.*dsn=4.7.5, status=deferred" % second.queue_id)
		g.write_conf(more=g.parts["more"].replace("1/day", "2/day"))
		g.policy.restart()
		g.pf.flush()
		t = g["main"].wait(2)[1]
		assert (t.header("X-Number"), t.auth) == ("2", "one")


def test_waiting_mail_is_counted_by_recipient(ctx):
	"""Ten recipients, three a day: three of them are served, in deliveries of one."""
	with Outbound(ctx, one('limits = {"3/day"}')) as g:
		r = g.as_odoo(to=["c%d@customer.test" % i for i in range(10)])
		assert r.code == 250, r
		g.pf.wait_log(r.queue_id + ".*status=deferred", count=7)
		assert [len(t.recipients) for t in g["main"].wait(3)] == [1, 1, 1]


QUOTA = ["550-5.4.5 Daily user sending limit exceeded. For more information on Gmail",
	"550 5.4.5  https://support.google.com/a/answer/166852 x1 - gsmtp"]


@cases(("a limit", QUOTA, "dsn=4.4.5, status=deferred"), ("nobody there", "550 5.1.1 no such user", "status=bounced"))
def test_a_providers_limit_does_not_bounce_mail(ctx, reply, line):
	with Outbound(ctx, one(answers={"eom": reply})) as g:
		r = g.as_odoo()
		assert r.code == 250
		g.pf.wait_log(r.queue_id + ".*" + line)


def test_without_a_milter_the_client_is_told_later(ctx):
	"""postern-policy alone chooses: while it is away nothing is taken that would leave by no relay."""
	with Outbound(ctx, one(), submission=WITH_POLICY, milter=False) as g:
		assert g.as_odoo(sender="jo@acme.example").code == 250
		assert g["main"].wait_one().auth == "one"
		g.policy.stop()
		assert answer(g.as_odoo(sender="jo@acme.example")) == (451, "4.3.0")


# --- beside a content filter, as docs/relays.md has it

def from_page(ctx):
	"""The listener's settings in the page."""
	with open(ctx.path("docs/relays.md"), encoding="utf-8") as f:
		text = f.read()
	block = text[text.index("    127.0.0.1:10028"):text.index("and in postern.conf")]
	return dict(re.findall(r"-o (?:\{ )?(\w+) ?= ?(.*?)(?: \})?$", block, re.M)), \
	    "\n".join(re.findall(r"^    ((?:outbound|relay)_daemons = .*)$", text, re.M))


def test_content_filter(ctx):
	"""The mail is filtered once, and leaves by its relay."""
	listener, top = from_page(ctx)
	with ContentFilter(None, change=lambda m: b"X-Scanned: yes\r\n" + m) as content_filter, \
	    Outbound(ctx, one('limits = {"10/day"}'), top=top, services={"reinject": listener}, start=False) as g:
		g.pf.services["submission"]["content_filter"] = "smtp:" + content_filter.nexthop
		content_filter.target = g.pf.address("reinject")
		g.start()
		assert g.as_odoo().code == 250
		t = g["main"].wait_one()
		assert t.auth == "one" and t.headers("X-Scanned") == ["yes"] and len(content_filter.messages) == 1
		assert len(re.findall("relay=main", g.milter.stderr())) == 1


# --- the table of replies says the same as Postern itself

def limit_words(ctx):
	"""Words of pn_health_is_limit(): those that tell of a limit, by pairs, and those that tell of another's."""
	with open(ctx.path("lib/core/health.c"), encoding="utf-8") as f:
		text = f.read()
	pairs = re.findall(r'WORDS\("([^"]+)", "([^"]*)"', text)
	others = re.findall(r'\{ "([^"]+)", \d+ \}', text[text.index("others[]"):text.index("is_of_code")])
	assert len(pairs) > 20 and len(others) > 10
	return pairs, others


def test_replies_are_limits_to_both(ctx):
	pairs, others = limit_words(ctx)
	texts = []
	for one, other in pairs:
		for words in ((one, other), (other, one)):
			for rest in ["", "x" + one, *others]:
				texts += ["5.7.1 sorry, %s and %s %s" % (*words, rest), "%s: %s, %s" % (rest, *words)]
		texts += [one, "1" + one, one + "1", "." + one, one.upper(), one + ".", other or "nothing"]
	texts += ["5.1.1 no such user", "5.7.1 spam", "5.4.6 loop", *others]
	table = ctx.path("postfix-conf/reply_filter")
	with open(table, encoding="utf-8") as f:
		own = sorted(set(re.findall("[a-z][a-z ]{3,}", "".join(line for line in f if line[0] in "/i"))))
	texts += ["5.7.1 %s, %s" % (a, b) for a in own for b in own]
	texts = sorted(set(t.strip() for t in texts if t.strip()))
	truth = run(ctx.program("tests/cli/is_limit"), data="".join(t + "\n" for t in texts), check=0).stdout.split()
	assert len(truth) == len(texts)
	for code in ("550 ", "554-", "450 "):
		hits = subprocess.run(["postmap", "-q", "-", "regexp:" + table], input="".join(code + t + "\n" for t in texts), text=True,
		    capture_output=True)
		assert hits.stderr == "", hits.stderr
		found = dict(line.split("\t", 1) for line in hits.stdout.splitlines())
		for text, limit in zip(texts, truth):
			changed = found.get(code + text)
			wanted = "4%s4.4.5 %s" % (code[1:], text) if limit == "yes" and code[0] == "5" else None
			# the table counts this code alone: the last line of a reply may hold nothing else
			if changed != wanted and not (wanted is None and re.search(r"(^|[^0-9.])5\.4\.5([^0-9]|$)", text)):
				raise AssertionError((code + text, changed, wanted))
	assert "yes" in truth and "no" in truth


@cases(("an address", "<%s.%s@evil.test>"), ("a quoted string", '<"%s %s"@evil.test>'), ("a domain", "<x@%s-%s.test>"),
    ("a domain alone", "%s-%s.test"), ("one in a sentence", "the domain (%s.x.%s.test.),"),
    ("the other word outside", "<%s@evil.test> %s"))
def test_an_address_is_no_limit(ctx, form):
	"""Whom a relay does not know is told so at once, whatever the address is; a limit in other words is one."""
	table = "regexp:" + ctx.path("postfix-conf/reply_filter")
	rest = ": Recipient address rejected: "
	def lookup(text):
		return run("postmap", "-q", text, table, check=None).stdout
	for one, other in limit_words(ctx)[0]:
		if '"' not in form:
			one, other = one.replace(" ", "-"), other if form.endswith("%s") else other.replace(" ", "-")
		if other or not form.endswith("%s"):
			assert lookup("550 5.1.1 " + form % (one, other) + rest + "User unknown") == "", (one, other)
	for sender in ("jo@acme.test", "sender@acme.test", "rate@acme.test"):
		assert lookup("554 5.7.1 <%s>: Sender address rejected: daily limit exceeded" % sender).startswith("454 4.4.5 5.7.1 <")
	for name in ("acme.test", "daily-acme.test", "limits.test", "mx1.tenant.test"):
		assert lookup("554 5.7.1 %s: daily limit exceeded" % name) == "454 4.4.5 5.7.1 %s: daily limit exceeded\n" % name
	assert lookup("550 5.1.2 daily-limit.example: no such domain") == ""
