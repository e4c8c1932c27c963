"""The milter protocol: what is negotiated, and peers that do not keep to it."""

import os
import random
import struct
import time

import miltwire
from lab import *
from milterlab import *

ACTIONS = miltwire.ADDHDRS | miltwire.ADDRCPT | miltwire.DELRCPT | miltwire.CHGHDRS | miltwire.QUARANTINE \
    | miltwire.CHGFROM | miltwire.ADDRCPT_PAR | miltwire.SETSYMLIST
STEPS = miltwire.NR_HELO | miltwire.NOUNKNOWN | miltwire.NODATA | miltwire.NR_CONN | miltwire.NR_HDR | miltwire.NR_EOH \
    | miltwire.NR_BODY | miltwire.HDR_LEADSPC
MACROS = {"connect": ["{daemon_name}"], "helo": [], "mail": ["{auth_authen}", "{mail_mailer}"], "rcpt": ["{rcpt_addr}", "{rcpt_mailer}", "{rcpt_host}"], "data": [],
    "eoh": [], "eom": ["i"]}

# --- negotiation


def test_exactly_what_is_needed(ctx):
	with Gate(ctx) as g, MilterClient(g.path) as c:
		assert (c.version, c.actions, c.steps) == (6, ACTIONS, STEPS), (c.version, hex(c.actions), hex(c.steps))
		assert c.macro_lists == MACROS, c.macro_lists


@cases(("as Postfix", {}, True), ("no macro lists", {"actions": 0xff}, False), ("a later version", {"version": 7,
    "actions": 0xffffffff, "steps": 0xffffffff}, True), ("version 3", {"version": 3, "steps": 0xff}, True),
    ("version 6, no steps", {"steps": 0}, True), ("no leading blanks", {"steps": miltwire.ALL_STEPS
    & ~miltwire.HDR_LEADSPC}, True), ("version 2", {"version": 2, "actions": 0x3f, "steps": 0x7f}, False),
    ("version 1", {"version": 1, "actions": 0xf, "steps": 0x1f}, False), ("version 0", {"version": 0}, False),
    ("no recipient parameters", {"actions": 0x1ff & ~miltwire.ADDRCPT_PAR}, False),
    ("no quarantine", {"actions": 0x1ff & ~miltwire.QUARANTINE}, False), ("nothing", {"actions": 0, "steps": 0}, False))
def test_offers(ctx, offer, good):
	"""Enough: it works with what there is.  Too little: it says so at once, instead of failing with a mail later."""
	with Gate(ctx) as g:
		if good:
			with g.client(**offer) as c:
				r = c.deliver()
				assert taken(r), r
				blank = " " if c.steps & miltwire.HDR_LEADSPC else ""
				assert r.eom.headers("X-Postern-Stamp") == [blank + "mx.lab.test/acme"]
			return
		with MilterClient(g.path, negotiate=False, timeout=10) as c:
			try:
				c.negotiate(**offer)
				raise AssertionError("negotiated")
			except EOFError:
				pass
		if offer.get("version", 6) >= 2:
			g.wait_stderr("error: the mail server does not offer what is needed")
		assert taken(g.deliver())


def test_the_queue_id_and_the_login_arrive(ctx):
	"""An MTA sends no macro that was not asked for."""
	with Gate(ctx) as g, g.client() as c:
		r = c.deliver(queue_id="4Q1D", mail_macros={"{auth_authen}": "odoo"})
		assert taken(r)
		assert len(g.lines("qid=4Q1D ")) == 1
		for stage in MACROS:
			assert stage in c.macro_lists, stage


# --- peers that are no Postfix

PACKETS = [
	("empty packet", struct.pack(">I", 0)),
	("zeros", b"\0" * 1000),
	("an SMTP client", b"EHLO x.test\r\n" * 100),
	("an HTTP client", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	("4 GB announced", struct.pack(">I", 0xffffffff) + b"O" + b"x" * 100000),
	("2 GB announced", struct.pack(">I", 0x7fffffff) + b"L" + b"x" * 100000),
	("half a length", b"\0\0"),
	("half a packet", struct.pack(">I", 100) + b"O"),
	("negotiation cut off", miltwire.packet("O", b"\0\0\0\6")),
	("negotiation too long", miltwire.packet("O", struct.pack(">III", 6, 0x1ff, 0x1fffff) + b"x" * 60000)),
	("macros first", miltwire.packet("D", b"Ci\0x\0")),
	("macros without values", miltwire.packet("D", b"M") + miltwire.packet("D", b"Mi") + miltwire.packet("D", b"")),
	("quit first", miltwire.packet("Q")),
	("abort first", miltwire.packet("A") * 50),
	("all letters", b"".join(miltwire.packet(chr(c)) for c in range(256))),
	("random", random.Random(1).randbytes(50000)),
]


@cases(*PACKETS)
def test_garbage_before_negotiation(ctx, data):
	_garbage(ctx, data, False)


@cases(*PACKETS)
def test_garbage_after_negotiation(ctx, data):
	_garbage(ctx, data, True)


def _garbage(ctx, data, opened):
	with Gate(ctx) as g, g.client() as good:
		for _ in range(3):
			with g.client(opened=opened, negotiate=opened, timeout=2) as bad:
				try:
					bad.raw(data)
				except ConnectionError:
					pass
				assert taken(good.deliver())
		assert taken(g.deliver())
		wait_until(lambda: g.open_files() < 30, 10, lambda: "%d files are open" % g.open_files())


COMMANDS = {"C": b"client.test\x004\0\x19192.0.2.1\0", "M": b"<ann@x.test>\0", "R": b"<sales@company.test>\0",
    "L": b"From\0 ann@x.test\0", "N": b"", "B": b"body\r\n", "E": b"", "A": b"", "D": b"Mi\0x\0", "H": b"x\0", "K": b"",
    "T": b"", "U": b"VRFY\0"}


@cases(("recipient first", "R"), ("end first", "E"), ("header first", "L"), ("body first", "B"), ("end without recipient", "ME"),
    ("header after the end", "MRLNBEL"), ("recipient after the end", "MRLNBER"), ("body before the header ends", "MRLBE"),
    ("header after its end", "MRLNLBE"), ("connect twice", "CMC"), ("two senders", "MM"), ("sender amid the header", "MRLM"),
    ("no end of header", "MRLE"), ("recipient after the header", "MRLR"), ("aborts", "AMAMRAMRLAMRLNAMRLNBAA"),
    ("new connection on the old one", "MRKM"), ("data command", "MRTLN"), ("unknown command", "MRU"))
def test_wrong_order(ctx, letters):
	"""No crash, nothing accepted that was not sent, and others do not notice; libmilter itself may not answer."""
	with Gate(ctx) as g, g.client() as good:
		with g.client(timeout=2) as bad:
			for letter in letters:
				try:
					bad.packet(letter, COMMANDS[letter])
				except ConnectionError:
					break
			assert taken(good.deliver())
		assert taken(g.deliver())


def test_random_order(ctx):
	rng = random.Random(7)
	letters = list(COMMANDS)
	with Gate(ctx) as g, g.client() as good:
		for _ in range(150):
			with g.client(timeout=2) as bad:
				try:
					bad.raw(b"".join(miltwire.packet(letter, COMMANDS[letter] if rng.random() < 0.9 else rng.randbytes(9))
					    for letter in rng.choices(letters, weights=[1, 9, 9, 9, 5, 5, 5, 2, 3, 1, 1, 1, 1], k=30)))
				except ConnectionError:
					pass
		assert taken(good.deliver())
		wait_until(lambda: g.open_files() < 30, 10, lambda: "%d files are open" % g.open_files())


@cases(("mail without an argument", "M", b""), ("mail without an end", "M", b"<ann@x.test>"), ("mail empty", "M", b"\0"),
    ("rcpt without an argument", "R", b""), ("rcpt empty", "R", b"\0"), ("rcpt without an end", "R", b"<sales@company.test>"),
    ("1,000 arguments", "R", b"<sales@company.test>\0" + b"X=Y\0" * 1000), ("header without value", "L", b"From\0"),
    ("header without an end", "L", b"From\0 ann"), ("header empty", "L", b""), ("header of nothing", "L", b"\0\0"),
    ("three strings", "L", b"From\0 ann\0 bob\0"))
def test_broken_arguments(ctx, letter, data):
	with Gate(ctx) as g, g.client(timeout=2) as bad, g.client() as good:
		bad.obey = False
		before = {"M": "", "R": "M", "L": "MR"}[letter]
		try:
			for b in before:
				assert bad.event(b, COMMANDS[b]).kind == "continue"
			bad.packet(letter, data)
		except (ConnectionError, EOFError):
			pass
		assert taken(good.deliver())


def test_a_packet_over_the_limit_ends_only_its_own_session(ctx):
	with Gate(ctx) as g, g.client(timeout=5) as bad, g.client() as good:
		bad.begin()
		try:
			bad.header("X-Big", b" " + b"x" * (2 << 20))
			bad.eoh()
			bad.eom()
			raise AssertionError("taken")
		except (ConnectionError, EOFError):
			pass
		assert taken(good.deliver())


# --- connections that end

STAGES = ["opened", "mail", "rcpt", "header", "half a header", "eoh", "body", "half a body"]


def _up_to(c, stage):
	at = STAGES.index(stage)
	if at >= 1:
		c.mail("ann@x.test", macros=c.SMTP)
	if at >= 2:
		c.rcpt("sales@company.test")
	if at >= 3:
		c.header("From", " ann@x.test")
		c.header("To", " sales@company.test")
	if at == 4:
		c.raw(miltwire.packet("L", b"Subject\0 hello\0")[:9])
	if at >= 5:
		c.eoh()
	if at >= 6:
		c.body(b"hello\r\n")
	if at == 7:
		c.raw(miltwire.packet("B", b"hello again\r\n")[:9])


@cases(*((s, s) for s in STAGES))
def test_abrupt_close(ctx, stage):
	with Gate(ctx) as g:
		for _ in range(20):
			with g.client() as c:
				_up_to(c, stage)
		wait_until(lambda: g.open_files() < 20, 10, lambda: "%d files are open" % g.open_files())
		assert taken(g.deliver())
		assert len(g.lines()) == 1, g.lines()


@cases(*((s, s) for s in STAGES if not s.startswith("half")))
def test_abort(ctx, stage):
	"""RSET, or a mail that another milter refused; the next one on the connection knows nothing of it."""
	with Gate(ctx) as g, g.client() as c:
		for _ in range(20):
			_up_to(c, stage)
			c.abort()
		r = c.deliver(mail(to="help@company.test", sender="bob@x.test"), "help@company.test", sender="bob@x.test")
		assert taken(r) and r.eom.added == ["help@odoo.test"] and gone(r.eom) == ["help@company.test"], r
		line, = g.lines()
		assert "from=<bob@x.test> to=<help@company.test> message-id" in line and "project.task:new" in line, line


# --- many mails


def test_a_thousand_mails_on_one_connection(ctx):
	with Gate(ctx) as g, g.client() as c:
		aliases = ["sales", "help"]
		def some(n):
			for i in range(n):
				to = aliases[i % 2] + "@company.test"
				r = c.deliver(mail(to=to, sender="u%d@x.test" % i, body=b"x" * 3000 + b"\r\n"), to)
				assert taken(r) and r.eom.added == [aliases[i % 2] + "@odoo.test"], r
				if i % 7 == 0:
					c.begin()
					c.abort()
		some(300)
		memory, files = g.memory(), g.open_files()
		some(1000)
		assert len(g.lines("verdict=accept")) == 1300
		grown = g.memory() - memory
		assert g.open_files() <= files + 2, (g.open_files(), files)
		# what remains is the state's own pages, mapped as they are touched
		if not g.sanitized:
			assert grown < 2 << 20, grown


def test_connections_that_end_leave_nothing(ctx):
	with Gate(ctx) as g:
		def some(n):
			for i in range(n):
				with g.client() as c:
					c.begin(sender="u%d@x.test" % i)
					c.header("X-Big", " " + "x" * 20000)
					if i % 3 == 1:
						c.mail("ann@x.test", macros=c.SMTP)
					if i % 3 == 2:
						c.abort()
		some(200)
		memory = g.memory()
		some(1000)
		wait_until(lambda: g.open_files() < 20, 10, lambda: "%d files are open" % g.open_files())
		if not g.sanitized:
			assert g.memory() - memory < 4 << 20, g.memory() - memory


def test_refused_recipients_between(ctx):
	with Gate(ctx, domain="unknown = reject") as g, g.client() as c:
		for _ in range(5):
			r = c.deliver(recipients=["nobody@company.test", "sales@company.test", "who@company.test", "x@else.test"])
			assert [v.code for v in r.rcpts] == [550, 250, 550, 250], r.rcpts
			assert r.rcpts[0].text == "550 5.1.1 no such address"
			assert r.eom.added == ["sales@odoo.test"] and gone(r.eom) == ["sales@company.test"], r
			r = c.deliver(recipients=["nobody@company.test"])
			assert r.final.code == 550 and r.eom is None
		assert len(g.lines("^qid=")) == 5 and len(g.lines("^rcpt=refuse")) == 15
