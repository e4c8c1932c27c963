"""postern-policy and relays: the policy delegation protocol, the maps of passwords and TLS levels, and their secrets."""

import os
import re
import signal
import socket
import subprocess
import threading
import time

from lab import *
from milterlab import Full, Lock

CONF = """\
state_directory = "%(state)s"
map_socket = "unix:%(map)s"
policy_socket = "unix:%(policy)s"
policy_tcp = "127.0.0.1:%(port)d"
socket_group = ""
socket_mode = 0666
hostname = "mx.lab.test"
mail_log = ""
%(top)s
gateway "acme" { target = "redirect to acme.odoo.test"  complete = yes }
domain "acme.test" { gateway = "acme"  unknown = pass }
alias "sales@acme.test" { model = crm.lead }
%(relays)s
"""

FIRST = """
relay "first" { host = "one.relay.test"  port = 587  security = starttls  from_filter = {"acme.test"}  %s }
"""
RELAYS = FIRST + """
relay "users" { host = "two.relay.test"  port = 465  security = ssl_strict  from_filter = {"users.test"}
	sasl_users = {"jo", "jö"}  user = "odoo@acme.test"  password_file = "users.secret" }
relay "north" { host = "shared.relay.test"  port = 587  security = starttls_strict  from_filter = {"north.test"}
	user = "north"  password_file = "north.secret" }
relay "south" { host = "shared.relay.test"  port = 587  security = starttls  from_filter = {"south.test"}
	user = "south"  password_file = "south.secret" }
relay "bare" { host = "127.0.0.1"  port = 25  security = none  from_filter = {"plain.test"} }
relay "six" { host = "::1"  port = 2525  security = none  from_filter = {"six.test"} }
"""
SECRETS = {"users": "pa:ss w\\ord=ü", "north": "n0rth-hush", "south": "s0uth-hush"}

ROUTE, WAIT = "FILTER postern-starttls:[one.relay.test]:587", "FILTER postern-wait-starttls:[one.relay.test]:587"
USERS = "FILTER postern-smtps:[two.relay.test]:465"
TROUBLE = "451 4.3.0 cannot choose a relay now, try again later"


class Daemon(PolicyProcess):
	def __init__(self, ctx, top="", relays=RELAYS, limits="", args=("-v",), state=True, **options):
		self.ctx, self.port = ctx, free_port()
		self.map, self.policy, self.state = (ctx.tmp + "/" + n for n in ("map.sock", "policy.sock", "state"))
		if state:
			os.mkdir(self.state)
			os.chmod(self.state, 0o777)
		for name, secret in SECRETS.items():
			self.secret(name, secret)
		self.write(top, relays, limits)
		super().__init__(ctx.program("postern-policy"), ctx.tmp + "/postern.conf", [self.map, self.policy], args=args,
		    **options)

	def secret(self, name, text, mode=0o600):
		path = "%s/%s.secret" % (self.ctx.tmp, name)
		with open(path, "w", encoding="utf-8") as f:
			f.write(text + "\n")
		os.chmod(path, mode)

	def write(self, top="", relays=RELAYS, limits=""):
		with open(self.ctx.tmp + "/postern.conf", "w", encoding="utf-8") as f:
			f.write(CONF % dict(self.__dict__, top=top, relays=relays % limits))

	def client(self, **options):
		return PolicyClient(self.policy, **options)

	def ask(self, **attributes):
		with self.client() as c:
			return ask(c, **attributes)

	def look_up(self, name, key):
		with SocketmapClient(self.map) as c:
			return c.lookup(name, key)

	def again(self, clock):
		"""Restarts it, that many seconds ahead."""
		self.env["POSTERN_CLOCK_OFFSET"] = str(clock)
		return self.restart()

	def tell_health(self, relay, event, words="no answer"):
		run(self.ctx.program("tests/wire/relay_health"), self.state, relay, event, words, check=0)

	def is_sanitized(self):
		with open(self.binary, "rb") as f:
			binary = f.read()
		return b"__asan_init" in binary or b"__tsan_init" in binary


USUAL = {"protocol_state": "DATA", "protocol_name": "ESMTP", "policy_context": "submission", "recipient_count": 1,
	"client_address": "127.0.0.1", "sasl_username": "odoo", "sender": "jo@acme.test", "size": 0}


def ask(c, **attributes):
	return c.request(**dict(USUAL, **attributes))


# --- answers

ANSWERS = [
	("by the envelope sender", {}, ROUTE),
	("at the end of the message", {"protocol_state": "END-OF-MESSAGE", "size": 5000}, ROUTE),
	("a login of a relay's", {"sasl_username": "jo"}, USERS),
	("it is not ASCII", {"sasl_username": "jö"}, USERS),
	("another's login", {"sasl_username": "Jo"}, ROUTE),
	("a sender that no relay may carry: nothing can be rewritten here", {"sender": "x@else.test"}, "DUNNO"),
	("no sender", {"sender": ""}, "DUNNO"),
	("no address", {"sender": "jo"}, "DUNNO"),
	("a quoted one", {"sender": '"a b"@north.test'}, "FILTER postern-north:[shared.relay.test]:587"),
	("upper case", {"sender": "JO@SOUTH.TEST"}, "FILTER postern-south:[shared.relay.test]:587"),
	("an IPv4 address", {"sender": "jo@plain.test"}, "FILTER postern-plain:[127.0.0.1]:25"),
	("an IPv6 address", {"sender": "jo@six.test"}, "FILTER postern-plain:[::1]:2525"),
	("a UTF-8 sender", {"sender": "jö@acme.test"}, ROUTE),
	("broken UTF-8", {"sender": "j\udcff@acme.test"}, ROUTE),
	("= in a value", {"sender": "a=b@acme.test"}, ROUTE),
	("no number of recipients", {"recipient_count": ""}, ROUTE),
	("none", {"recipient_count": 0}, ROUTE),
	("an endless number", {"recipient_count": "9" * 30}, ROUTE),
	("another context", {"policy_context": "smtp"}, "DUNNO"),
	("none", {"policy_context": ""}, "DUNNO"),
	("another kind of request", {"request": "junk"}, "DUNNO"),
	("CONNECT", {"protocol_state": "CONNECT"}, "DUNNO"),
	("EHLO", {"protocol_state": "EHLO"}, "DUNNO"),
	("MAIL", {"protocol_state": "MAIL"}, "DUNNO"),
	("RCPT", {"protocol_state": "RCPT", "recipient": "c@customer.test"}, "DUNNO"),
	("VRFY", {"protocol_state": "VRFY"}, "DUNNO"),
	("ETRN", {"protocol_state": "ETRN"}, "DUNNO"),
	("no state", {"protocol_state": ""}, "DUNNO"),
	("fields that nobody knows", {"x_new": "1", "": "2", "a b": "c"}, ROUTE),
]


def test_answers(ctx):
	with Daemon(ctx) as d:
		for address in (d.policy, ("127.0.0.1", d.port)):
			with PolicyClient(address) as c:
				wrong = [(name, got) for name, attributes, want in ANSWERS for got in [ask(c, **attributes)] if got != want]
				assert not wrong, wrong


def test_passwords_are_not_spoken_of_on_tcp(ctx):
	with Daemon(ctx) as d, SocketmapClient(("127.0.0.1", d.port), timeout=15) as c:
		c.raw("27:sasl [two.relay.test]:465,\n\n")
		c.sock.shutdown(socket.SHUT_WR)
		assert c.file.read() == b"action=DUNNO\n\n"


def test_no_relays_no_opinion(ctx):
	with Daemon(ctx, relays="%s") as d:
		assert d.ask() == "DUNNO"
		assert d.look_up("route", "jo@acme.test") == ("NOTFOUND", "")


@cases(("queue", "", WAIT), ("refuse", "when_spent = refuse", r"450 4\.7\.1 relay first: 2 recipients in 24 h are used up "
    r"until \d{4}-\d\d-\d\d \d\d:\d\d UTC"))
def test_spent(ctx, top, answer):
	with Daemon(ctx, top, limits='limits = {"2/day"}') as d:
		assert [d.ask(queue_id="A%d" % i) for i in range(2)] == [ROUTE] * 2
		got = d.ask(queue_id="A9")
		assert got == answer or re.fullmatch(answer, got), got
		d.again(86400 + 60)
		assert d.ask(queue_id="A9") == ROUTE


def test_too_many_recipients(ctx):
	with Daemon(ctx, "when_spent = refuse", limits='limits = {"5/message"}') as d:
		assert d.ask(recipient_count=5) == ROUTE
		assert d.ask(recipient_count=6).startswith("550 5.5.3 too many recipients")


def test_nobody_may_carry_it(ctx):
	with Daemon(ctx, "rewrite = no") as d:
		assert d.ask(sender="x@else.test") == "550 5.7.1 no relay may carry this From"
		assert d.ask() == ROUTE


def test_one_mail_is_counted_once(ctx):
	with Daemon(ctx, limits='limits = {"2/day"}') as d:
		first = {"queue_id": "4XYZ", "instance": "1.2.3"}
		for state in ("DATA", "DATA", "END-OF-MESSAGE"):
			assert d.ask(protocol_state=state, **first) == ROUTE
		# Postfix uses queue ids again: another instance is another mail
		assert d.ask(queue_id="4XYZ", instance="7.8.9") == ROUTE
		assert d.ask(queue_id="4ABC", instance="4.5.6") == WAIT
		assert d.ask(queue_id="4XYZ", instance="7.8.9") == ROUTE


# --- recipients that stay

def recipients(c, instance, *addresses):
	for address in addresses:
		assert ask(c, protocol_state="RCPT", instance=instance, recipient=address, recipient_count=0) == "DUNNO"


def test_who_stays_here_gets_no_filter(ctx):
	with Daemon(ctx, 'local_domains = {"people.test", "localhost"}') as d, d.client() as c:
		recipients(c, "1.1", "c@customer.test", "d@customer.test")
		recipients(c, "1.2", "c@customer.test", "sales@acme.test")
		recipients(c, "1.3", "bob@acme.test")
		for i, local in enumerate(("ann@people.test", "ann@PEOPLE.test", "root@mx.lab.test", "root@localhost", "root")):
			recipients(c, "2.%d" % i, local, "c@customer.test")
			assert ask(c, instance="2.%d" % i, recipient_count=2) == "DUNNO", local
		assert ask(c, instance="1.1", recipient_count=2) == ROUTE
		assert ask(c, instance="1.2", recipient_count=2) == "DUNNO"
		assert ask(c, instance="1.3") == "DUNNO"
		# another connection, as Postfix makes one for each context
		assert d.ask(instance="1.2", recipient_count=2) == "DUNNO"
		assert d.ask(instance="1.4") == ROUTE


def test_recipients_that_were_not_seen(ctx):
	"""The service came back in mid-session: a single recipient is named at DATA, of several one may be ours."""
	with Daemon(ctx) as d, d.client() as c:
		assert ask(c, instance="3.1", recipient="sales@acme.test", recipient_count=1) == "DUNNO"
		assert ask(c, instance="3.2", recipient="c@customer.test", recipient_count=1) == ROUTE
		recipients(c, "3.3", "c@customer.test")
		assert ask(c, instance="3.3", recipient_count=2) == "DUNNO"
		assert ask(c, instance="3.3", recipient_count=1) == ROUTE


def test_only_who_leaves_is_counted(ctx):
	with Daemon(ctx, limits='limits = {"3/day"}') as d, d.client() as c:
		recipients(c, "1.1", "sales@acme.test", "info@acme.test")
		assert ask(c, instance="1.1", queue_id="A", recipient_count=2) == "DUNNO"
		recipients(c, "1.2", "sales@acme.test", "c@customer.test", "d@customer.test")
		# the map `route` leads it: counted as it is delivered
		assert ask(c, instance="1.2", queue_id="B", recipient_count=3) == "DUNNO"
		assert ask(c, queue_id="C", recipient_count=2) == ROUTE
		assert ask(c, queue_id="D", recipient_count=1) == ROUTE
		assert ask(c, queue_id="E", recipient_count=1) == WAIT


def test_mail_for_ours_is_not_refused(ctx):
	"""An answer at DATA is for all recipients."""
	with Daemon(ctx, "when_spent = refuse", limits='limits = {"1/day"}') as d, d.client() as c:
		assert ask(c, queue_id="A") == ROUTE
		recipients(c, "1.2", "sales@acme.test", "c@customer.test")
		assert ask(c, instance="1.2", queue_id="B", recipient_count=2) == "DUNNO"
		assert ask(c, queue_id="C").startswith("450 ")


def test_more_instances_than_are_remembered(ctx):
	"""The oldest are forgotten; memory does not grow."""
	with Daemon(ctx, args=()) as d, d.client() as c:
		def note_many(first, n):
			block = "".join("request=smtpd_access_policy\nprotocol_state=RCPT\npolicy_context=submission\n"
			    "instance=%x.%x\nrecipient=sales@acme.test\n\n" % (i, i * 7919) for i in range(first, first + n))
			writer = threading.Thread(target=c.raw, args=(block,))
			writer.start()
			assert all(c.reply() == "DUNNO" for _ in range(n))
			writer.join()
		note_many(0, 20000)
		before = d.memory()
		note_many(20000, 20000)
		assert d.is_sanitized() or d.memory() - before < 2 << 20
		assert ask(c, instance="%x.%x" % (39999, 39999 * 7919)) == "DUNNO"
		assert ask(c, instance="0.0") == ROUTE


# --- groups

class AtOnce:
	"""Requests that the daemon finds ready at the same time, each on a connection of its own."""

	def __init__(self, d, requests):
		self.d, self.requests = d, requests

	def __enter__(self):
		self.clients = [self.d.client() for _ in self.requests]
		for c in self.clients:	# it is in the daemon's loop
			assert ask(c, protocol_state="CONNECT") == "DUNNO"
		self.d.signal(signal.SIGSTOP)
		for c, attributes in zip(self.clients, self.requests):
			attributes = dict(USUAL, request="smtpd_access_policy", **attributes)
			c.raw("".join("%s=%s\n" % kv for kv in attributes.items()) + "\n")
		return self

	def answers(self):
		self.d.signal(signal.SIGCONT)
		return [c.reply() for c in self.clients]

	def __exit__(self, *exc):
		self.d.signal(signal.SIGCONT)
		for c in self.clients:
			c.close()


def logged(d, queue_id):
	return re.findall(r"policy=(\S+) qid=%s " % queue_id, d.stderr())


def test_at_once_each_gets_its_own_answer(ctx):
	others = [("jo@north.test", "FILTER postern-north:[shared.relay.test]:587"), ("jo@else.test", "DUNNO"),
	    ("jo@plain.test", "FILTER postern-plain:[127.0.0.1]:25"), ("jo@six.test", "FILTER postern-plain:[::1]:2525")]
	with Daemon(ctx, args=(), limits='limits = {"5/day"}') as d:
		# more than are decided in one transaction, and one mail twice
		requests = [{"sender": others[i % 4][0], "queue_id": "O%d" % i} for i in range(40)]
		requests += [{"queue_id": "L%d" % (i % 30), "instance": "1.%d" % (i % 30)} for i in range(31)]
		with AtOnce(d, requests) as group:
			got = group.answers()
		assert got[:40] == [others[i % 4][1] for i in range(40)]
		assert set(got[40:]) == {ROUTE, WAIT} and got[40] == got[70]
		assert sum(a == ROUTE for a in got[40:70]) == 5
		for i in range(40):
			assert len(logged(d, "O%d" % i)) == 1, i
		assert [len(logged(d, "L%d" % i)) for i in range(30)] == [2] + [1] * 29
		d.restart()
		assert d.ask(queue_id="L99") == WAIT


def test_at_once_with_a_full_state(ctx):
	"""Each gets the answer that it would get alone, is logged once, and its recipients are noted once."""
	with Daemon(ctx, "state_map_size = 16M", args=(), limits='limits = {"1000/day", "3/message"}') as d:
		assert d.ask(queue_id="A") == ROUTE
		requests = [{"queue_id": "F%d" % i} for i in range(5)] + [{"queue_id": "U%d" % i, "sasl_username": "jo"} for i in range(5)]
		requests += [{"protocol_state": "RCPT", "instance": "7.7", "recipient": r} for r in ("sales@acme.test",
		    "c@customer.test", "d@customer.test")]
		with Full(ctx, d), AtOnce(d, requests) as group:
			assert group.answers() == [TROUBLE] * 5 + [USERS] * 5 + ["DUNNO"] * 3
			assert [logged(d, q % i) for q in ("F%d", "U%d") for i in range(5)] == [["defer"]] * 5 + [["route"]] * 5
		wait_until(lambda: d.ask(queue_id="Z") == ROUTE, 10, "it does not recover")
		# two of them leave: noted twice they would be too many for one message
		assert d.ask(instance="7.7", queue_id="M", recipient_count=3) == "DUNNO"
		d.wait_stderr('policy=route qid=M ')


@timeout(120)
def test_what_was_answered_survives_kill_9(ctx):
	with Daemon(ctx, args=(), limits='limits = {"1000000/day"}') as d:
		answered = []
		for turn in range(5):
			clients = [d.client() for _ in range(20)]
			def work(i, c):
				for n in range(100000):
					try:
						if ask(c, queue_id="K%d.%d.%d" % (turn, i, n)) != ROUTE:
							return
					except (EOFError, OSError):
						return
					answered.append(n)
			threads = [threading.Thread(target=work, args=(i, c)) for i, c in enumerate(clients)]
			for t in threads:
				t.start()
			wait_until(lambda: len(answered) > 300 * (turn + 1), 20, "no answers")
			d.kill()
			for t in threads:
				t.join()
			for c in clients:
				c.close()
			asked = len(answered) + 20 * (turn + 1)	# of each connection one was on its way
			d.start()
			d.wait_stderr("ready ")
		shown = run(ctx.program("postern"), "-c", ctx.tmp + "/postern.conf", "relays", check=0).stdout
		used = int(re.search(r"(\d+)/1000000 day", shown).group(1))
		assert len(answered) <= used <= asked, (len(answered), used, asked)


# --- trouble

def test_no_state_is_451(ctx):
	"""Never DUNNO, which lets the mail go by another way; what is not asked for needs no state."""
	with Daemon(ctx, state=False) as d:
		for attributes in ({}, {"sasl_username": "jo"}, {"protocol_state": "END-OF-MESSAGE"}, {"sender": ""}):
			assert d.ask(**attributes) == TROUBLE
		assert d.ask(policy_context="smtp") == d.ask(protocol_state="RCPT", recipient="x@y.test") == "DUNNO"
		for name, key in (("sasl", "[two.relay.test]:465"), ("wait", "[one.relay.test]:587"), ("route", "jo@acme.test")):
			assert d.look_up(name, key)[0] == "TEMP", name
		os.mkdir(d.state)
		d.wait_stderr("ready ")
		assert d.ask() == ROUTE


def test_a_full_state_is_451(ctx):
	"""What cannot be counted does not leave; where there is no limit, nothing has to be."""
	with Daemon(ctx, "state_map_size = 16M", limits='limits = {"1000/day"}') as d, d.client() as c:
		assert ask(c, queue_id="A") == ROUTE
		with Full(ctx, d):
			assert {ask(c, queue_id="Q%d" % i) for i in range(5)} == {TROUBLE}
			assert d.look_up("wait", "[one.relay.test]:587")[0] == "TEMP"
			assert ask(c, sasl_username="jo") == USERS
			assert re.search("error: policy=.* is full", d.stderr()), d.stderr()
		wait_until(lambda: ask(c, queue_id="Z") == ROUTE, 10, "it does not recover")


def test_a_locked_state_is_waited_for(ctx):
	with Daemon(ctx) as d, d.client() as c:
		assert ask(c, queue_id="A") == ROUTE
		with Lock(ctx, d, 500):
			assert ask(c, queue_id="B") == ROUTE


def test_a_damaged_state_is_451(ctx):
	with Daemon(ctx) as d:
		assert d.ask() == ROUTE
		d.stop()
		for name in ("data.mdb", "lock.mdb"):
			for folder in ("state", "directory"):
				path = "%s/%s/%s" % (d.state, folder, name)
				assert os.path.exists(path), os.listdir(d.state)
				with open(path, "r+b") as f:
					f.write(b"\xff" * 8192)
		d.start()
		assert d.ask().startswith("451 4.3.0 ")
		assert d.look_up("wait", "[one.relay.test]:587")[0] == "TEMP"


def test_restart_in_mid_session(ctx):
	with Daemon(ctx, limits='limits = {"2/day"}') as d, d.client() as idle, d.client() as half:
		assert ask(idle, queue_id="A") == ROUTE
		half.raw("request=smtpd_access_policy\nprotocol_sta")
		d.restart()
		assert idle.at_end() and half.at_end()
		assert [d.ask(queue_id=q) for q in "ABC"] == [ROUTE, ROUTE, WAIT]


def test_reload_in_mid_session(ctx):
	with Daemon(ctx) as d, d.client() as c:
		assert ask(c) == ROUTE
		c.raw("request=smtpd_access_policy\nprotocol_state=DATA\npolicy_context=submission\n")
		d.write(relays=FIRST.replace("one.relay", "new.relay"))
		d.signal(signal.SIGUSR1)
		d.wait_stderr("reloaded ")
		c.raw("sender=jo@acme.test\n\n")
		assert c.reply() == ROUTE.replace("one.relay", "new.relay")
		# mail on its way to the relay of before waits, and does not leave without its password
		assert d.look_up("sasl", "[two.relay.test]:465")[0] == "TEMP"
		assert d.look_up("tls", "[one.relay.test]:587")[0] == "TEMP"


# --- bytes

REQUEST = b"request=smtpd_access_policy\nprotocol_state=DATA\npolicy_context=submission\nsender=%s\n\n"


def test_pipelined_in_order(ctx):
	senders = ["jo@acme.test", "jo@north.test", "jo@plain.test"]
	want = [ROUTE, "FILTER postern-north:[shared.relay.test]:587", "FILTER postern-plain:[127.0.0.1]:25"]
	with Daemon(ctx, args=()) as d, d.client() as c:
		c.raw(b"".join(REQUEST % senders[i % 3].encode() for i in range(600)))
		for i in range(600):
			assert c.reply() == want[i % 3], i


def test_byte_by_byte(ctx):
	with Daemon(ctx) as d, d.client() as c:
		for byte in REQUEST % b"jo@acme.test" * 2:
			c.raw(bytes([byte]))
		assert (c.reply(), c.reply()) == (ROUTE, ROUTE)


def test_who_stops_sending_still_gets_answers(ctx):
	with Daemon(ctx, args=()) as d, d.client() as c:
		c.raw(REQUEST % b"jo@acme.test" * 300)
		c.sock.shutdown(socket.SHUT_WR)
		assert [c.reply() for _ in range(300)] == [ROUTE] * 300 and c.at_end()


@cases(("nothing but a line's end", b"\n"), ("a long line", b"a=" + b"x" * 9000 + b"\n\n"), ("no line's end", b"x" * 100000),
    ("an endless request", b"a=b\n" * 10000), ("endless names", b"sender=x@y.test\n" * 3000), ("zeros", b"\0" * 100000),
    ("socketmap", b"27:sasl [two.relay.test]:465," * 2000))
def test_garbage_ends_the_connection(ctx, data):
	with Daemon(ctx) as d, d.client() as good, d.client(timeout=5) as bad:
		try:
			bad.raw(data)
		except ConnectionError:
			pass
		assert bad.at_end()
		assert ask(good) == ROUTE


@cases(("NUL in a value", b"sender=jo\0@acme.test"), ("NUL in a name", b"sen\0der=jo@acme.test"),
    ("no =", b"sender"), ("only =", b"="), ("twice", b"sender=x@north.test"),
    ("control characters", b"sender=\x1b[2J@acme.test"),
    ("a long sender", b"sender=" + b"a" * 8000 + b"@acme.test"), ("an attack", b"sender=x\raction=OK\r\r@acme.test"),
    ("many @", b"sender=" + b"@" * 8000), ("many quotes", b"sender=" + b'"' * 8000 + b"@acme.test"),
    ("nested comments", b"sender=" + b"(" * 4000 + b"@acme.test"))
def test_odd_attributes(ctx, line):
	"""One answer, which is one of ours, and the next request is a new one."""
	with Daemon(ctx) as d, d.client() as c:
		at = time.monotonic()
		c.raw(REQUEST.replace(b"sender=%s", line))
		answer = c.reply()
		assert re.fullmatch(r"FILTER postern-[a-z-]+:\[[a-z0-9.:]+\]:\d+|DUNNO", answer), answer
		assert ask(c) == ROUTE and time.monotonic() - at < 2
		assert "\x1b" not in d.stderr() and "\r" not in d.stderr() and "\0" not in d.stderr()


def test_crlf_is_no_request(ctx):
	"""Not Postfix's: it hears nothing, and is sent away after ten seconds."""
	with Daemon(ctx) as d, d.client(timeout=20) as c:
		c.raw((REQUEST % b"jo@acme.test").replace(b"\n", b"\r\n"))
		began = time.monotonic()
		assert c.at_end() and 8 < time.monotonic() - began < 15


# --- crowds

@timeout(120)
def test_500_connections(ctx):
	with Daemon(ctx, args=()) as d:
		crowd = [d.client() for _ in range(500)]
		for i, c in enumerate(crowd):
			c.raw(REQUEST % (b"jo@acme.test" if i % 2 else b"jo@plain.test"))
		for i, c in enumerate(crowd):
			assert c.reply() == (ROUTE if i % 2 else "FILTER postern-plain:[127.0.0.1]:25"), i
		assert d.ask() == ROUTE
		for c in crowd:
			c.close()
		wait_until(lambda: d.open_files() < 40, 10, lambda: "connections stay open: %d" % d.open_files())


@timeout(60)
def test_slow_clients_hold_up_nobody(ctx):
	with Daemon(ctx, args=()) as d, d.client() as good:
		slow = [d.client(timeout=20) for _ in range(50)]
		for c in slow:
			c.raw("request=smtpd_access_policy\n")
		began, worst = time.monotonic(), 0
		while time.monotonic() - began < 8:
			for c in slow:
				c.raw("a=b\n")
			at = time.monotonic()
			assert ask(good) == ROUTE
			worst = max(worst, time.monotonic() - at)
			time.sleep(0.2)
		assert worst < 1, worst
		assert all(c.at_end() for c in slow) and time.monotonic() - began < 15
		for c in slow:
			c.close()


def test_who_does_not_read_is_not_read(ctx):
	request = REQUEST % b"jo@acme.test"
	with Daemon(ctx, args=()) as d, d.client() as good, d.client() as deaf:
		deaf.sock.settimeout(1)
		sent = 0
		try:
			while sent < 16 << 20:
				sent += deaf.sock.send((request * 200)[sent % len(request):])
		except TimeoutError:
			pass
		assert sent < 4 << 20, sent
		assert ask(good) == ROUTE
		deaf.sock.settimeout(20)
		for _ in range(sent // len(request)):
			assert deaf.reply() == ROUTE


# --- the maps

TWO, SHARED = "[two.relay.test]:465", "[shared.relay.test]:587"
GONE = ("TEMP", "no relay has this address and this transport")

MAPS = [
	("password", "sasl", TWO, ("OK", "odoo@acme.test:" + SECRETS["users"])),
	("of one of two", "sasl-north", SHARED, ("OK", "north:" + SECRETS["north"])),
	("of the other", "sasl-south", SHARED, ("OK", "south:" + SECRETS["south"])),
	("of neither", "sasl", SHARED, GONE),
	("another relay's own map", "sasl-users", SHARED, GONE),
	("no relay", "sasl-nobody", SHARED, GONE),
	("no login", "sasl", "[one.relay.test]:587", ("NOTFOUND", "")),
	("bare host", "sasl", "two.relay.test", ("NOTFOUND", "")),
	("bare host of two", "sasl-north", "shared.relay.test", ("NOTFOUND", "")),
	("without brackets", "sasl", "two.relay.test:465", ("NOTFOUND", "")),
	("another port", "sasl", "[two.relay.test]:587", GONE),
	("another host", "sasl", "[evil.test]:465", GONE),
	("upper case", "sasl", "[TWO.relay.test]:465", GONE),
	("a sender", "sasl", "jo@acme.test", ("NOTFOUND", "")),
	("empty", "sasl", "", ("NOTFOUND", "")),
	("no such map", "sasl-", SHARED, ("PERM", "there is no map of this name")),
	("no such map", "passwords", SHARED, ("PERM", "there is no map of this name")),
	("encrypted", "tls", "[one.relay.test]:587", ("OK", "encrypt")),
	("verified", "tls", TWO, ("OK", "secure match=two.relay.test")),
	("none", "tls", "[127.0.0.1]:25", ("OK", "none")),
	("IPv6", "tls", "[::1]:2525", ("OK", "none")),
	("one of two", "tls-north", SHARED, ("OK", "secure match=shared.relay.test")),
	("the other", "tls-south", SHARED, ("OK", "encrypt")),
	("neither", "tls", SHARED, GONE),
	("a recipient's domain", "tls", "customer.test", ("NOTFOUND", "")),
	("waiting", "wait", TWO, ("OK", "secure match=two.relay.test")),
	("waiting, its own", "wait-north", SHARED, ("OK", "secure match=shared.relay.test")),
	("waiting for nobody", "wait", SHARED, GONE),
	("route", "route", "jo@acme.test", ("OK", ROUTE[7:])),
	("route of others", "route", "x@else.test", ("OK", ROUTE[7:])),
	("route of nobody", "route", "", ("NOTFOUND", "")),
	("route of a bounce", "route", "<>", ("NOTFOUND", "")),
	("its own transport", "route", "jo@north.test", ("OK", "postern-north:[shared.relay.test]:587")),
]


def test_maps(ctx):
	with Daemon(ctx) as d, SocketmapClient(d.map) as c:
		wrong = [(name, key, got) for name, table, key, want in MAPS for got in [c.lookup(table, key)] if got != want]
		assert not wrong, wrong


def test_a_closed_relay_has_no_password(ctx):
	with Daemon(ctx) as d:
		for event, words in (("down", "connection refused"), ("limit", "5.4.5 daily limit exceeded")):
			d.tell_health("users", event, words)
			for name in ("sasl", "wait"):
				status, text = d.look_up(name, TWO)
				assert status == "TEMP" and text.startswith("relay users is closed: ") and words in text, text
			assert d.look_up("tls", TWO)[0] == "OK"
			assert d.ask(sasl_username="jo").startswith("FILTER postern-wait-smtps:")
			d.tell_health("users", "well")
			assert d.look_up("sasl", TWO)[0] == "OK" and d.ask(sasl_username="jo") == USERS


def test_what_is_counted_may_go(ctx):
	"""A relay that we have used up ourselves keeps its password."""
	with Daemon(ctx, relays=RELAYS.replace('sasl_users', 'limits = {"1/day"} sasl_users')) as d:
		assert [d.ask(sasl_username="jo", queue_id=q) for q in "AB"] == [USERS, USERS.replace("smtps", "wait-smtps")]
		assert d.look_up("sasl", TWO)[0] == "OK" and d.look_up("wait", TWO)[0] == "TEMP"


def test_waiting_counts_each_answer(ctx):
	with Daemon(ctx, limits='limits = {"2/day"}') as d, SocketmapClient(d.map) as c:
		assert [c.lookup("wait", "[one.relay.test]:587")[0] for _ in range(4)] == ["OK", "OK", "TEMP", "TEMP"]
		assert d.ask() == WAIT
		d.again(86400 + 60)
		assert d.look_up("wait", "[one.relay.test]:587")[0] == "OK"
		assert [d.ask(queue_id=q) for q in "AB"] == [ROUTE, WAIT]


@cases(("none", lambda path: os.unlink(path)), ("empty", lambda path: open(path, "w").close()),
    ("anybody may read it", lambda path: os.chmod(path, 0o644)),
    ("anybody may write it", lambda path: os.chmod(path, 0o602)),
    ("a folder", lambda path: (os.unlink(path), os.mkdir(path))),
    ("a pipe", lambda path: (os.unlink(path), os.mkfifo(path, 0o600))),
    ("somebody else's", lambda path: os.chown(path, 65534, 65534)))
def test_a_password_that_cannot_be_had(ctx, spoil):
	"""TEMP: without it the server would bounce the mail."""
	with Daemon(ctx) as d:
		spoil(ctx.tmp + "/users.secret")
		status, text = d.look_up("sasl", TWO)
		assert status == "TEMP" and "users.secret" in text, (status, text)
		d.wait_stderr("error: .*users.secret")
		assert d.look_up("sasl-north", SHARED) == ("OK", "north:" + SECRETS["north"])


AS_SOMEBODY = """
import os, socket, sys
os.setgroups([]); os.setgid(%d); os.setuid(%d)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
for request in sys.argv[2:]:
	s.sendall(b"%%d:%%s," %% (len(request), request.encode()))
	print(s.recv(4096).decode(), flush=True)
"""


@cases(("root", 0, 0, True), ("postfix", None, None, True), ("nobody", 65534, 65534, False), ("daemon", 1, 1, False))
def test_passwords_are_for_postfix(ctx, uid, gid, told):
	if uid is None:
		uid, gid = (int(run("/usr/bin/id", option, "postfix", check=0).stdout) for option in ("-u", "-g"))
	with Daemon(ctx) as d:
		os.chmod(ctx.tmp, 0o755)
		answers = run("/usr/bin/python3", "-c", AS_SOMEBODY % (gid, uid), d.map, "sasl " + TWO, "sasl-north " + SHARED,
		    "tls " + TWO, "recipient sales@acme.test", check=0).stdout
		assert ("ss w" in answers, "hush" in answers) == (told, told), answers
		assert answers.count("PERM this map is for Postfix alone") == (0 if told else 2)
		assert "OK secure match=two.relay.test" in answers and "OK sales@acme.test" in answers


def test_secrets_stay_secret(ctx):
	"""With every question logged, and whatever else there is to be seen of the process."""
	with Daemon(ctx) as d, d.client() as c:
		for name, table, key, want in MAPS:
			d.look_up(table, key)
		ask(c, sasl_username="jo")
		d.wait_stderr("policy=route")
		seen = d.stderr()
		for name in ("environ", "cmdline", "comm"):
			with open("/proc/%d/%s" % (d.pid, name), "rb") as f:
				seen += f.read().decode(errors="replace")
		assert "map=sasl key=<%s> answer=OK\n" % TWO in seen
		assert not [s for s in SECRETS.values() if s in seen or s[:6] in seen]
		with open("/proc/%d/limits" % d.pid) as f:
			assert re.search(r"Max core file size\s+0\s+0\s", f.read())


def test_nobody_reads_its_memory(ctx):
	"""Not dumpable: not even its own user may look into it."""
	with Daemon(ctx, state=False) as d:
		if d.is_sanitized():	# they need to look at themselves
			return
		d.stop()
	os.mkdir(ctx.tmp + "/other")
	program = ctx.program_for_others("postern-policy")
	for path in (ctx.tmp + "/other", ctx.tmp):
		os.chmod(path, 0o777)
	with open(ctx.tmp + "/other.conf", "w") as f:
		f.write(CONF % dict(state=ctx.tmp + "/other", map=ctx.tmp + "/m", policy=ctx.tmp + "/p", port=free_port(), top="",
		    relays=FIRST % ""))
	with PolicyProcess(program, ctx.tmp + "/other.conf", [ctx.tmp + "/m"], user="nobody") as d:
		assert os.stat("/proc/%d/mem" % d.pid).st_uid == 0 and os.stat("/proc/%d/environ" % d.pid).st_uid == 0
		look = subprocess.run(["/usr/bin/python3", "-c", "import os\nos.setuid(65534)\nopen('/proc/%d/mem', 'rb')" % d.pid],
		    capture_output=True, text=True)
		assert "PermissionError" in look.stderr, look.stderr
