"""What the log says, and mail that did not come by SMTP."""

import re

from lab import *
from milterlab import *

KEY = re.compile(r'(?:^| )([a-z_-]+)=("(?:[^"\\]|\\x..)*"|<[^ "<>]*>(?::[^ ]*)?|[^ "<>]*)')


def _one(g):
	"""The one line since the last call, taken apart: [(key, value)]."""
	lines = g.lines()
	new, g.seen = lines[getattr(g, "seen", 0):], len(lines)
	assert len(new) == 1, new
	rest = KEY.sub("", re.sub(r"^(error|warning): ", "", new[0]))
	# " rcpt=refuse rule=..." has no blanks outside quotes: nothing may be left over
	assert rest.strip() == "", (rest, new[0])
	return KEY.findall(new[0])


def _values(line, key):
	return [v for k, v in line if k == key]


# name, message, recipients, how, verdict, rule
MAILS = [
	("routed", mail(), "sales@company.test", {}, "accept", "alias"),
	("catchall", mail(to="catchall@company.test"), "catchall@company.test", {}, "refuse", "catchall_direct"),
	("not ours", mail(to="joe@else.test"), "joe@else.test", {}, "pass", None),
	("outbound", mail(sender="sales@company.test", to="joe@far.test"), "joe@far.test",
	    {"mail_macros": {"{auth_authen}": "odoo"}}, "outbound", None),
	("stamped", mail(more=b"X-Postern-Stamp: mx.lab.test/acme\r\n"), "sales@company.test", {}, "refuse", "stamp"),
	("stamped, beside others", mail(more=b"X-Postern-Stamp: mx.lab.test/acme\r\n"), ["sales@company.test", "joe@else.test"], {},
	    "discard", "stamp"),
	("over the limit", mail(more=b"X: " + b"x" * 1100000 + b"\r\n"), "sales@company.test", {}, "hand_over", "limit"),
	("postmaster", mail(to="postmaster@company.test"), "postmaster@company.test", {}, "accept", "role_address"),
	("Bcc", mail(to="joe@else.test"), "sales@company.test", {}, "accept", "alias"),
]


@cases(*MAILS)
def test_one_line_for_each_mail(ctx, message, recipients, how, verdict, rule):
	with Gate(ctx) as g, g.client() as c:
		r = c.deliver(message, recipients, **how)
		assert r.eom is not None
		line = _one(g)
		assert _values(line, "qid") == ["4ABCDEF01"] and _values(line, "verdict") == [verdict], line
		assert _values(line, "rule") == ([rule] if rule else []), line
		assert len(_values(line, "from")) == 1 and len(_values(line, "to")) == (1 if isinstance(recipients, str) else 2), line
		# what was not simply taken has its reason
		if verdict in ("refuse", "defer", "discard", "hand_over"):
			assert len(_values(line, "reason")) == 1 and len(_values(line, "reason")[0]) > 10, line
		# and what was changed says so
		assert _values(line, "redirect") == ["<%s>" % a for a in r.eom.added][:8], line
		assert re.fullmatch(r"\d+", _values(line, "ms")[0])


def test_one_line_for_each_refused_recipient(ctx):
	with Gate(ctx, domain="unknown = reject", top="recipient_limit = 1") as g, g.client() as c:
		c.begin(recipients=["nobody@company.test"])
		line = _one(g)
		assert line[:2] == [("rcpt", "refuse"), ("rule", "unknown_address")], line
		assert _values(line, "to") == ["<nobody@company.test>"] and _values(line, "from") == ["<ann@x.test>"], line
		c.rcpt("sales@company.test")
		c.rcpt("help@company.test")
		line = _one(g)
		assert line[:2] == [("rcpt", "defer"), ("rule", "limit")], line


HOSTILE = [
	("line feed", "a\nb"), ("forged line", "x\npostern-milter[1]: qid=9 verdict=accept"), ("carriage return", "a\rb"),
	("escape sequence", "a\x1b[2J\x1b]0;x\x07b"), ("quote", 'a"b" verdict="accept'), ("equals", "a verdict=accept rule=alias b"),
	("backslash", "a\\x0ab"), ("angle brackets", "a> verdict=accept to=<b"), ("delete", "a\x7fb"),
	("C1 control", "a\u009b2Jb"), ("not UTF-8", "a\udcff\udc80b"), ("half a character", "\udcc3"),
	("percent", "%s%n%p%99999d"), ("64 kB", "x" * 65536), ("8-bit", "äöü\u202eabc"),
]


@cases(*HOSTILE)
def test_hostile_values_stay_values(ctx, text):
	"""In each place that reaches the log: one line, whose keys are ours, of bounded length, without control characters."""
	folded = text.replace("\n", "\n ").replace("\r", "\r ")
	with Gate(ctx, domain="unknown = reject") as g:
		for recipient in ["sales@company.test", '"' + text + '"@company.test', text]:
			with g.client() as c:
				r = c.deliver(mail(id="<%s@x.test>" % folded, sender='"%s" <%s@x.test>' % (folded, folded), to=folded),
				    [recipient, "joe@else.test"], sender='"%s"@x.test' % text, queue_id="4Q" + text[:100])
				lines = g.lines()
				new, g.seen = lines[getattr(g, "seen", 0):], len(lines)
				assert 1 <= len(new) <= 2 and len(new) == 1 + (r.rcpts[0].code != 250), new
				for line in new:
					assert len(line) < 4100
					assert all(ch >= " " and not "\x7f" <= ch < "\xa0" and not "\ud800" <= ch <= "\udfff" for ch in line), line
					_is_ours(line)
		# no line beside those
		assert len([line for line in g.stderr().splitlines() if not line.startswith("postern-milter[%d]: " % g.pid)]) == 0


def _is_ours(line):
	rest = KEY.sub("", re.sub(r"^(error|warning): ", "", line))
	assert rest.strip() == "", (rest, line)
	keys = [k for k, _ in KEY.findall(line)]
	assert set(keys) <= {"qid", "rcpt", "gateway", "verdict", "rule", "alone", "route", "delivered_to", "reason", "from", "to",
	    "recipients", "message-id", "redirect", "unreadable", "learned", "not_stored", "failed", "ms"}, keys
	for once in ("qid", "verdict", "rule", "from", "message-id", "ms"):
		assert keys.count(once) <= 1, (once, line)


def test_what_goes_into_headers_is_ours(ctx):
	"""A header that the milter adds has no text of the sender's that could end it."""
	with Gate(ctx, complete=False) as g, g.client() as c:
		for recipient in ["sales@company.test", '"a b"@company.test', "é@company.test", "x%n@company.test"]:
			r = c.deliver(mail(to="else@else.test"), recipient)
			assert taken(r), r
			added = [a[-2:] for a in r.eom.named("insheader") + r.eom.named("addheader")]
			assert added
			for name, value in added:
				assert re.fullmatch(rb"[A-Za-z-]+", name) and re.fullmatch(rb" [^\r\n\0]*(\n\t[^\r\n\0]*)*", value), (name, value)


# --- mail that was not sent by SMTP: nobody is there to be refused

SENDMAIL = [
	("alias", "sales@company.test", b"", ["sales@odoo.test"]),
	("unknown", "nobody@company.test", b"", ["nobody@odoo.test"]),
	("catchall", "catchall@company.test", b"", ["catchall@odoo.test"]),
	("stamped", "sales@company.test", b"X-Postern-Stamp: mx.lab.test/acme\r\n", None),
	("over the limit", "sales@company.test", b"X: " + b"x" * 1100000 + b"\r\n", ["sales@odoo.test"]),
	("not ours", "joe@else.test", b"", []),
]


@cases(*SENDMAIL)
def test_sendmail_is_never_refused(ctx, recipient, more, added):
	with Gate(ctx, domain="unknown = reject") as g, g.client() as c:
		r = c.deliver(mail(to=recipient, more=more), recipient, smtp=False)
		assert r.stages["mail"].kind == "continue" and [v.kind for v in r.rcpts] == ["continue"], r
		if added is None:
			# a loop through us: what would go round for ever ends here, with its reason
			assert r.eom.kind == "discard", r
			assert "verdict=discard rule=stamp" in g.lines()[0] and "reason=" in g.lines()[0], g.lines()
		else:
			assert r.eom.kind == "continue" and r.eom.added == added, r
		assert len(g.lines()) == 1


def test_sendmail_in_a_loop(ctx):
	with Gate(ctx, gateway="mail.gateway.loop.threshold = 2") as g, g.client() as c:
		for i in range(5):
			assert taken(c.deliver(smtp=False)), "a person's: Odoo decides"
		assert len(g.lines("verdict=hand_over rule=loop_new alone=defer")) == 3
		v = c.deliver(mail(more=b"Auto-Submitted: auto-generated\r\n"), smtp=False).eom
		assert v.kind == "discard", v
		assert "reason=" in g.lines()[-1]


def test_sendmail_twins_and_limits(ctx):
	with Gate(ctx, top="recipient_limit = 2") as g, g.client() as c:
		message = mail()
		for _ in range(3):
			assert taken(c.deliver(message, smtp=False))
		r = c.deliver(recipients=["u%d@company.test" % i for i in range(5)], smtp=False)
		assert all(v.kind == "continue" for v in r.rcpts) and r.eom.kind == "continue", r


def test_sendmail_while_the_state_is_unusable(ctx):
	"""A tempfail would have Postfix try again every second."""
	with Gate(ctx, top="state_map_size = 16M") as g, g.client() as c, Full(ctx, g):
		r = c.deliver(smtp=False)
		assert [v.kind for v in r.rcpts] == ["continue"] and r.eom.kind == "continue", r
		assert "verdict=hand_over rule=trouble" in g.lines()[0] and "is full" in g.lines()[0], g.lines()


def test_sendmail_with_a_hostile_recipient(ctx):
	with Gate(ctx) as g, g.client() as c:
		for recipient in ("a\rb@company.test", "", "@", "a" * 65536 + "@company.test"):
			r = c.deliver(recipients=recipient, smtp=False)
			assert [v.kind for v in r.rcpts] == ["continue"] and r.eom.kind == "continue", r
