"""Messages that no decent program writes: each has a clear answer, in bounded time and memory."""

import os
import time

from lab import *
from milterlab import *

CPU_SECONDS = 2			# for one message
CPU_SECONDS_SANITIZED = 15
MEMORY = 100 << 20		# what the milter may have grown by afterwards; the allocator keeps what was freed


def cpu_seconds(pid):
	with open("/proc/%d/stat" % pid) as f:
		fields = f.read().rpartition(")")[2].split()
	return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watched(Gate):
	"""Measures what one message costs."""

	def deliver(self, *args, **options):
		memory, cpu = self.memory(), cpu_seconds(self.pid)
		with self.client(timeout=60) as c:
			r = c.deliver(*args, **options)
		cpu = cpu_seconds(self.pid) - cpu
		assert cpu < (CPU_SECONDS_SANITIZED if self.sanitized else CPU_SECONDS), "%.2f s of processor time" % cpu
		if not self.sanitized:
			assert self.memory() - memory < MEMORY, "%d bytes grown" % (self.memory() - memory)
		self.assert_clean()
		return r


def _gate(ctx, **options):
	options.setdefault("top", "header_limit = 1M")
	return Watched(ctx, gateway=UNCOUNTED, **options)


def head(text, body=b"hello\r\n"):
	return b"From: ann@x.test\r\nTo: sales@company.test\r\nMIME-Version: 1.0\r\n" + text + b"\r\n" + body


def repeated(name, text, size):
	return b"%s: %s\r\n" % (name, (text * (size // len(text) + 1))[:size])


NESTED = b"".join(b'Content-Type: multipart/%%s; boundary="b%d"\r\n\r\n--b%d\r\n' % (i, i) for i in range(1000))
CLOSED = b"Content-Type: text/plain\r\n\r\nx\r\n" + b"".join(b"--b%d--\r\n" % i for i in reversed(range(1000)))
LIST = ", ".join("u%d@x.test" % i for i in range(40000))
OURS = ", ".join("u%d@company.test" % i for i in range(40000))

# name, message, rule in the log
MESSAGES = [
	("a header of 102,400 bytes", mail(more=repeated(b"X-Big", b"x", 102393)), "alias"),
	("a header of 1 MB less a little", mail(more=repeated(b"X-Big", b"x", 1000000)), "alias"),
	("40,000 recipients in To", mail(to=LIST), None),
	("40,000 recipients of ours in To", mail(to=OURS), None),
	("100,000 recipients in To, 1 MB", mail(to=",".join("%d@x.te" % i for i in range(80000))), None),
	("100,000 recipients in To", mail(to=", ".join("u%d@x.test" % i for i in range(100000))), "limit"),
	("100,000 recipients in folded lines of Cc", mail(more=b"".join(b"Cc: " + b",\r\n ".join(b"u%d@x.test"
	    % (i * 100 + j) for j in range(100)) + b"\r\n" for i in range(600))), None),
	("10,000 references", mail(more=b"References: " + b"\r\n ".join(b"<%d@company.test>" % i for i in range(10000))
	    + b"\r\n"), "alias"),
	("35,000 references", mail(more=b"References: " + b" ".join(b"<%d@company.test>" % i for i in range(35000))
	    + b"\r\n"), "alias"),
	("10,000 headers of References", mail(more=b"References: <a@x.test>\r\n" * 10000), "alias"),
	("MIME nested 1,000 deep", b"From: ann@x.test\r\nTo: sales@company.test\r\n" + NESTED.replace(b"%s", b"mixed") + CLOSED,
	    None),
	("reports nested 1,000 deep", b"From: ann@x.test\r\nTo: sales@company.test\r\n" + NESTED.replace(b"%s", b"report")
	    + CLOSED, None),
	("messages nested 1,000 deep", head(b"Content-Type: multipart/report; boundary=a\r\n", b"--a\r\n"
	    + b"Content-Type: message/rfc822\r\n\r\n" * 1000 + b"x\r\n"), None),
	("100,000 parts", head(b"Content-Type: multipart/mixed; boundary=a\r\n", b"--a\r\n\r\nx\r\n" * 100000), None),
	("100,000 delivery reports", head(b"Content-Type: multipart/report; boundary=a\r\n",
	    b"--a\r\nContent-Type: message/delivery-status\r\n\r\nx: y\r\n" * 100000), None),
	("a body of boundaries that almost match", head(b"Content-Type: multipart/mixed; boundary=" + b"a" * 70 + b"\r\n",
	    (b"--" + b"a" * 69 + b"b\r\n") * 30000), None),
	("a body without line ends", head(b"Content-Type: multipart/report; boundary=a\r\n", b"-" * 3000000), None),
	("a body of line ends", head(b"Content-Type: multipart/report; boundary=a\r\n", b"\r\n" * 500000), None),
	("empty", b"", None),
	("no header", b"\r\nhello\r\n", None),
	("no body", b"From: ann@x.test\r\nTo: sales@company.test\r\n\r\n", "alias"),
	("no From", b"To: sales@company.test\r\n\r\nx\r\n", "alias"),
	("ten Froms", b"".join(b"From: u%d@x.test\r\n" % i for i in range(10)) + b"To: sales@company.test\r\n\r\n", "alias"),
	("ten Message-Ids", mail(more=b"".join(b"Message-Id: <%d.ten@x.test>\r\n" % i for i in range(10))), "alias"),
	("8-bit", mail(sender="Jörg <jörg@x.test>", to="Verkäufe <sales@company.test>"), "alias"),
	("broken UTF-8", mail(sender="\udcff\udcfe\udcf0( <a\udcff@x.test>", more=b"Subject: \xff\xc0\x80\r\n"), "alias"),
	("From of 64 kB", mail(sender="a" * 65536 + "@x.test"), None),
	("address of 64 kB", mail(to="a" * 65536 + "@company.test, sales@company.test"), None),
	("domain of 64 kB", mail(to="a@" + "a." * 32768 + "test, sales@company.test"), None),
	("display name of 64 kB", mail(to='"' + "a" * 65536 + '" <sales@company.test>'), None),
	("Message-Id of 64 kB", mail(id="<" + "a" * 65536 + "@x.test>"), None),
	("10,000 headers", mail(more=b"".join(b"X-%d: y\r\n" % i for i in range(10000))), "alias"),
	("100,000 headers", mail(more=b"X: y\r\n" * 100000), "alias"),
	("encoded words of 900 kB", mail(sender="=?utf-8?b?" + "YWFh" * 200000 + "?= <ann@x.test>"), None),
	("unknown character sets", mail(sender=" ".join("=?x-%d?q?a?=" % i for i in range(10000)) + " <ann@x.test>"), None),
]


@cases(*((name, message, rule) for name, message, rule in MESSAGES))
def test_message(ctx, message, rule):
	"""Taken or handed over, with one line in the log; the next mail is as if nothing had been."""
	with _gate(ctx) as g:
		r = g.deliver(message)
		assert taken(r) or r.eom.code in (451, 550), r
		line, = g.lines()
		assert rule is None or " rule=%s " % rule in line, line
		if " rule=limit " in line:
			assert "verdict=hand_over" in line and 'reason="' in line, line
		assert taken(g.deliver())


HOSTILE = ["(", "<", '"', "[", "=?", ",", ":", ";", "@", "\\", "((a)", "=?utf-8?q?a?= ", "=?utf-8?b?", "a,", "<a>", '"a" ',
    "\t", "a@b,", "a:b;", "=?=?", "%00", "*0*=", ";a=", "\n ", "<>", "<<>>", "\x01", "é"]
FIELDS = [b"From", b"To", b"Cc", b"Reply-To", b"References", b"In-Reply-To", b"Message-Id", b"Content-Type",
    b"Content-Disposition", b"Content-Transfer-Encoding", b"Return-Path", b"Date", b"Delivered-To", b"Auto-Submitted",
    b"Precedence", b"X-Odoo-Objects", b"Subject", b"List-Id"]


@cases(*((f.decode(), f) for f in FIELDS))
@timeout(120)
def test_one_pattern_over_and_over(ctx, name):
	"""100 kB of it in one header: what is quadratic would show."""
	with _gate(ctx) as g:
		for pattern in HOSTILE:
			message = b"To: sales@company.test\r\n" + repeated(name, pattern.encode(), 100000) + b"\r\nx\r\n"
			try:
				r = g.deliver(message)
			except AssertionError as e:
				raise AssertionError("%r: %s" % (pattern, e))
			assert taken(r) or r.eom.code in (250, 451, 550, 554), (pattern, r)
		assert len(g.lines()) == len(HOSTILE)


@cases(("NUL", b"\0"), ("CR", b"\r"), ("LF", b"\n"), ("CR LF", b"\r\n"), ("escape", b"\x1b[2J"), ("all bytes", bytes(range(256))))
def test_control_characters_everywhere(ctx, what):
	"""In each string of the protocol; libmilter reads them as C strings."""
	with _gate(ctx) as g, g.client() as good:
		for at in range(8):
			with g.client(timeout=10) as c:
				def bad(i, text):
					return text[:3] + what + text[3:] if i == at else text
				c.mail(bad(0, b"<ann@x.test>"), macros=c.SMTP)
				v = c.rcpt(bad(1, b"<sales@company.test>"))
				# no address has these; behind a NUL there is nothing
				refused = at == 1 and what != b"\0" and not what.startswith(b"\0")
				assert v.code == (550 if refused else 250), v
				c.rcpt("help@company.test")
				c.header(bad(2, b"From"), bad(3, b" ann@x.test"))
				c.header(bad(4, b"X-Postern-Stamp"), bad(5, b" x/y"))
				c.header("Message-Id", bad(6, b" <%d.ctl@x.test>" % at))
				c.eoh()
				c.body(bad(7, b"body\r\n"))
				r = c.eom()
				assert r.kind == "continue" and "help@odoo.test" in r.added, (at, r)
				for action in r.actions:
					# what we say: no bare CR, no NUL, a line feed only before a blank
					for text in action[1:]:
						if isinstance(text, bytes):
							assert b"\r" not in text and b"\0" not in text, action
							assert text.count(b"\n") == text.count(b"\n\t"), action
			assert taken(good.deliver()), at


@cases(("one byte", 1), ("two", 2), ("three", 3), ("seven", 7), ("of a line", 76), ("4 kB", 4096), ("as Postfix", 65535))
def test_body_in_pieces(ctx, size):
	"""The same decision, wherever the chunks are cut."""
	report = b"""From: mailer-daemon@x.test
To: bounce@company.test
Message-Id: <%d.pieces@x.test>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b

It did not work.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.x.test

Final-Recipient: rfc822; joe@far.test
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 no such user

--b
Content-Type: text/rfc822-headers

Message-Id: <1-openerp-7-crm.lead@company.test>

--b--
""" % size
	with Gate(ctx) as g:
		r = g.deliver(report, "bounce@company.test", sender="", chunk=size)
		assert r.eom.kind == "continue" and r.eom.added == ["bounce@odoo.test"], r
		line, = g.lines()
		assert " rule=is_bounce " in line, line


def test_body_cut_at_every_offset(ctx):
	body = b"--b\r\nContent-Type: message/delivery-status\r\n\r\na: b\r\n\r\nFinal-Recipient: rfc822; joe@far.test\r\n--b--\r\n"
	message = b"From: x@x.test\r\nTo: bounce@company.test\r\nContent-Type: multipart/report; boundary=b\r\n\r\n"
	with Gate(ctx) as g, g.client() as c:
		for at in range(len(body) + 1):
			c.begin(recipients=["bounce@company.test"])
			c.content(message)
			for part in (body[:at], body[at:]):
				if part:		# Postfix sends no empty ones, and libmilter takes none
					c.body(part)
			v = c.eom()
			assert v.added == ["bounce@odoo.test"], (at, v)
		assert len(g.lines("rule=is_bounce")) == len(body) + 1


# --- domains

@cases(("A-labels", "büro.example", "sales@xn--bro-hoa.example"), ("U-labels", "büro.example", "sales@BÜRO.example"),
    ("configured in capitals", "Office.Example", "sales@office.example"), ("as configured", "Office.Example",
    "sales@Office.Example"))
def test_domain_in_another_spelling(ctx, domain, address):
	"""While the table is not complete, what Odoo may know by another spelling is handed over, never 550."""
	more = 'domain "%s" { gateway = "acme" }\nalias "sales@%s" { model = crm.lead }' % (domain, domain)
	with Gate(ctx, complete=False, more=more) as g:
		for to in (address, address.replace("sales", "other")):
			r = g.deliver(mail(to=to), to)
			assert r.rcpts[0].code == 250 and taken(r), r
			assert "verdict=accept rule=alias" in g.lines()[-1] or "verdict=hand_over" in g.lines()[-1], g.lines()[-1]
			assert r.eom.added == [to.split("@")[0] + "@odoo.test"], r


# --- limits

def test_our_headers_go_even_past_the_limit(ctx):
	"""Over header_limit a mail is handed over unread; what arrived under our names is still removed."""
	for number, big in enumerate((repeated(b"X-Big", b"x", 1 << 20), repeated(b"X-Big", b"x", 65000) * 20)):
		with _gate(ctx, name="m%d" % number) as g:
			r = g.deliver(mail(more=b"X-Postern-Route: before\r\n" + big + b"X-Postern-Route: after\r\n"
			    b"x-postern-stamp: other/acme\r\nX-Postern-Relay: smtp:[192.0.2.1]\r\n"))
			assert taken(r) and r.eom.added == ["sales@odoo.test"], r
			gone = [(a[2].decode().lower(), a[1]) for a in r.eom.named("chgheader")]
			assert sorted(gone) == [("x-postern-relay", 1), ("x-postern-route", 1), ("x-postern-route", 2),
			    ("x-postern-stamp", 1)], r
			assert gone.index(("x-postern-route", 2)) < gone.index(("x-postern-route", 1)), gone
			assert all(a[3:] in ((), (b"",)) for a in r.eom.named("chgheader")), r
			line, = g.lines()
			assert "verdict=hand_over rule=limit" in line, line


@cases(("ours", "sales@company.test"), ("not ours", "joe@else.test"))
def test_a_flood_of_our_headers(ctx, to):
	"""Up to twenty are taken out, whatever they are called; more is no honest mail."""
	def own(n):
		names = (b"X-Postern-Stamp", b"x-postern-route", b"X-POSTERN-RELAY")
		return mail(to=to, more=b"".join(b"%s: forged\r\n" % names[i % 3] for i in range(n)))
	with _gate(ctx) as g:
		r = g.deliver(own(20), to)
		assert r.eom.kind == "continue" and len(r.eom.named("chgheader")) == 20, r
		for n in (21, 16000, 100000):
			r = g.deliver(own(n), to)
			assert text_of(r.eom) == "550 5.6.0 too many header fields under our names" and not r.eom.actions, r
		assert len(g.lines("verdict=refuse rule=limit")) == 3 and 'reason="too many' in g.lines()[-1], g.lines()[-1]
		# Others that begin as ours do are nobody's business.
		r = g.deliver(mail(to=to, more=b"X-Postern-Other: x\r\n" * 100), to)
		assert r.eom.kind == "continue" and not r.eom.named("chgheader"), r
		r = g.deliver(own(25), to, smtp=False)
		assert r.eom.kind == "continue" and len(r.eom.named("chgheader")) == 20, r


def test_header_limit(ctx):
	with _gate(ctx, top="header_limit = 64K") as g:
		assert taken(g.deliver(mail(more=repeated(b"X-Big", b"x", 60000))))
		assert taken(g.deliver(mail(more=repeated(b"X-Big", b"x", 66000))))
		assert [" rule=alias " in line for line in g.lines()] == [True, False], g.lines()
		assert len(g.lines("verdict=hand_over rule=limit")) == 1


def test_recipient_limit(ctx):
	"""Those over it are told to come later, the mail goes to the others."""
	with _gate(ctx, top="recipient_limit = 100") as g:
		r = g.deliver(recipients=["u%d@company.test" % i for i in range(150)] + ["x@else.test"])
		assert [v.code for v in r.rcpts] == [250] * 100 + [452] * 50 + [250], [v.code for v in r.rcpts]
		assert r.rcpts[100].text == "452 4.5.3 too many recipients", r.rcpts[100]
		assert r.eom.added == ["u%d@odoo.test" % i for i in range(100)], r.eom.added
		assert gone(r.eom) == ["u%d@company.test" % i for i in range(100)], r.eom


def test_thousands_of_recipients(ctx):
	with _gate(ctx) as g:
		r = g.deliver(recipients=["u%d@company.test" % i for i in range(3000)])
		assert [v.code for v in r.rcpts] == [250] * 1000 + [452] * 2000
		assert len(r.eom.added) == len(r.eom.deleted) == 1000
		r = g.deliver(recipients=["u%d@else.test" % i for i in range(3000)] + ["sales@company.test"])
		assert r.eom.added == ["sales@odoo.test"] and len(r.rcpts) == 3001, r.eom
		r = g.deliver(recipients=["sales@company.test"] * 900)
		assert r.eom.added == ["sales@odoo.test"] and gone(r.eom) == ["sales@company.test"], r.eom


@cases(("local part", "a" * 65536 + "@company.test"), ("domain", "a@" + "a." * 32768 + "test"),
    ("one label", "a@" + "a" * 65536), ("at signs", "@" * 65536), ("quotes", '"' * 65535 + "@company.test"),
    ("8-bit", "é" * 32768 + "@company.test"), ("half a MB", "a" * 500000 + "@company.test"))
def test_recipient_of_64_kB(ctx, address):
	with _gate(ctx) as g:
		r = g.deliver(recipients=[address, "sales@company.test"])
		assert r.rcpts[0].code in (250, 550) and r.rcpts[1].code == 250, r.rcpts
		assert "sales@odoo.test" in r.eom.added, str(r)[:500]
		assert max(len(line) for line in g.lines()) < 4100


def test_sender_of_64_kB(ctx):
	with _gate(ctx) as g:
		r = g.deliver(sender="a" * 65536 + "@x.test", mail_args=["BODY=8BITMIME"] + ["X=%d" % i for i in range(1000)])
		assert taken(r), r
