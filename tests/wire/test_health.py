"""postern-health: a log that the test writes, and relays that it tries."""

import json
import os
import shutil
import time

from lab import *
from relay import HANG, Authority, Relay

USER, PASSWORD = "odoo@acme.test", "correct horse"
CONF = """\
state_directory = "%(dir)s/state"
mail_log = "%(log)s"
probe_interval = %(interval)s
hostname = "mx.lab.test"
gateway "main" { target = "redirect to acme.odoo.test" }
domain "acme.test" { gateway = "main" }
%(relays)s
"""
RELAY = 'relay "%s" { host = "localhost"  port = %d  security = %s  limits = {"500/day"} %s }\n'
LIMIT = "550 5.4.5 Daily user sending limit exceeded"


class Site:
	"""The daemon with its folder, its log and relays: name -> port (which need not be open)."""

	def __init__(self, ctx, ports, interval="0", security="none", more="", log=None, env=None):
		self.ctx, self.dir = ctx, ctx.tmp
		self.ports, self.interval, self.security, self.more = ports, interval, security, more
		self.log = log or ctx.tmp + "/mail.log"
		self.env = env or {}
		self.process = None
		self.ids = 0
		os.mkdir(self.dir + "/state")
		if not log:
			self.write("")
		self.configure()

	def configure(self, **changes):
		parts = dict({"dir": self.dir, "log": self.log, "interval": self.interval, "relays": "".join(
		    RELAY % (n, p, self.security, self.more) for n, p in self.ports.items())}, **changes)
		with open(self.dir + "/postern.conf", "w") as f:
			f.write(CONF % parts)

	def __enter__(self):
		return self if self.process else self.start()

	def __exit__(self, *exc):
		if self.process:
			self.process.close()

	def start(self, offset=0):
		env = dict(self.env, POSTERN_CLOCK_OFFSET=str(offset))
		self.offset = offset
		self.process = Program(self.ctx.program("postern-health"), ["-c", self.dir + "/postern.conf", "-v"], env=env)
		self.process.wait_stderr("started version")
		return self

	def stop(self):
		self.process.close()
		self.process = None

	def restart(self, offset=None):
		self.stop()
		return self.start(self.offset if offset is None else offset)

	# --- the log

	def write(self, text, path=None):
		with open(path or self.log, "a", encoding="latin-1") as f:
			f.write(text)

	def line(self, text, pid=100, transport="postern-plain", ago=0):
		return "%s mx postfix/%s/smtp[%d]: %s\n" % (
		    time.strftime("%b %e %H:%M:%S", time.localtime(time.time() - ago)), transport, pid, text)

	def say(self, text, **options):
		self.write(self.line(text, **options))

	def outcome(self, name, status="sent (250 2.0.0 ok)", rcpt="r1@far.test", qid=None):
		self.ids += 1
		relay = "localhost[127.0.0.1]:%d" % self.ports[name] if name else "none"
		return "%s: to=<%s>, relay=%s, delay=0.06, delays=0.02/0.04/0.01/0, dsn=2.0.0, status=%s" % (
		    qid or "%08X" % (0x10000000 + self.ids), rcpt, relay, status)

	def sent(self, name, n=1, **options):
		self.write("".join(self.line(self.outcome(name, **options)) for _ in range(n)))

	def refused(self, name):
		"""As smtp(8) tells it of the only relay of a list."""
		text = "connect to localhost[127.0.0.1]:%d: Connection refused" % self.ports[name]
		self.say(text)
		self.say(self.outcome(None, "deferred (%s)" % text))

	# --- what is known

	def run(self, *args, code=0):
		done = run(self.ctx.program("postern"), "-c", self.dir + "/postern.conf", "relays", *args,
		    env={"POSTERN_CLOCK_OFFSET": str(self.offset)})
		assert done.returncode == code, (args, done.stdout, done.stderr)
		return done.stdout

	def relay(self, name="one"):
		return next(r for r in json.loads(self.run("--json")) if r["name"] == name)

	def used(self, name="one"):
		return int(self.relay(name)["used"].split("/")[0])

	def wait(self, name="one", timeout=10, **wanted):
		def there():
			now = self.relay(name)
			return all(now[k] == v for k, v in wanted.items())
		wait_until(there, timeout, lambda: "%r, not %r\n%s" % (self.relay(name), wanted, self.process.stderr()))
		return self.relay(name)

	def wait_used(self, n, name="one", timeout=10):
		wait_until(lambda: self.used(name) == n, timeout, lambda: "%r, not %d\n%s" % (self.relay(name), n,
		    self.process.stderr()))

	def settle(self):
		"""What was written so far has been learned: only then it is noted as read."""
		def read():
			try:
				with open(self.dir + "/state/mail_log.place") as f:
					return int(f.read().split()[2]) == os.path.getsize(self.log)
			except FileNotFoundError:
				return False
		wait_until(read, 10, lambda: "the log is not read to its end\n" + self.process.stderr())


ONE = {"one": 2001, "two": 2002, "mark": 2999}


# --- health

def test_three_failures_close_a_relay_and_a_success_opens_it(ctx):
	with Site(ctx, ONE) as s:
		for _ in range(2):
			s.refused("one")
		s.settle()
		assert s.relay()["state"] == "open" and "Connection refused" in s.relay()["reason"]
		s.refused("one")
		closed = s.wait(state="down")
		assert 50 < seconds_until(closed["until"]) <= 61, closed
		s.process.wait_stderr('relay=one state=down seconds=\\d+ reason="connect to ')
		s.sent("one")
		assert s.wait(state="open")["reason"] == ""
		s.process.wait_stderr("relay=one state=open")


def seconds_until(text):
	return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - time.time()


def test_pauses_grow_until_a_success(ctx):
	with Site(ctx, ONE) as s:
		for _ in range(3):
			s.refused("one")
		s.wait(state="down")
		offset = 0
		for pause in (60, 120, 240):
			until = seconds_until(s.relay()["until"]) - offset
			assert pause - 15 < until <= pause + 1, (pause, until)
			offset += pause + 1
			s.restart(offset)
			assert s.relay()["state"] == "open"
			s.refused("one")		# half open: one is enough
			s.wait(state="down")
		s.restart(offset + 500)
		s.sent("one")
		s.settle()
		s.refused("one")
		s.settle()
		assert s.relay()["state"] == "open"


def test_a_limit_closes_until_the_window_opens(ctx):
	with Site(ctx, ONE) as s:
		s.say('localhost[127.0.0.1]:2001: replacing server reply "%s" with "450 4.4.5 5.4.5 Daily"' % LIMIT)
		s.say(s.outcome("two"))
		closed = s.wait(state="spent")
		assert 86300 < seconds_until(closed["until"]) <= 86401 and "Daily user" in closed["reason"]
		s.sent("one")
		s.settle()
		assert s.relay()["state"] == "spent", "a success opens nothing that the provider closed"
		s.restart(86401)
		assert s.relay()["state"] == "open"


@cases(
	("login", "SASL authentication failed; server localhost[127.0.0.1] said: 535 5.7.8 wrong"),
	("greeting", "host localhost[127.0.0.1] refused to talk to me: 421 4.3.2 busy"),
	("silence", "conversation with localhost[127.0.0.1] timed out while receiving the initial server greeting"),
	("no TLS", "TLS is required, but was not offered by host localhost[127.0.0.1]"))
def test_the_first_of_a_list_fails(ctx, text):
	"""Without a port in the line the transport must tell which relay it was."""
	with Site(ctx, {"one": 2001, "mark": 2001}, security="none") as s:
		s.ports["mark"] = 2999
		s.configure(relays=RELAY % ("one", 2001, "none", "") + RELAY % ("mark", 2999, "starttls", ""))
		s.process.signal(10)
		s.process.wait_stderr("reloaded relays=2")
		for i in range(3):
			s.say("1B670A7845%d: %s" % (i, text), pid=200 + i)
			s.write(s.line(s.outcome("mark", qid="1B670A7845%d" % i), pid=200 + i, transport="postern-plain"))
		s.wait(state="down")


def test_what_is_no_failure(ctx):
	with Site(ctx, ONE) as s:
		for i in range(5):
			s.say(s.outcome("one", "bounced (host localhost[127.0.0.1] said: 550 5.1.1 no such user (in reply to "
			    "RCPT TO command))"))
			s.say(s.outcome("one", "deferred (host localhost[127.0.0.1] said: 450 4.2.0 <daily-limit@x.test>: later "
			    "(in reply to RCPT TO command))"))
			# its second address took the mail
			s.say("connect to localhost[::1]:2001: Network is unreachable", pid=300 + i)
			s.write(s.line(s.outcome("one"), pid=300 + i))
			s.write(s.line(s.outcome("two"), pid=300 + i))
			# another port, another transport, another program
			s.say("connect to localhost[127.0.0.1]:2003: Connection refused")
			s.say("connect to localhost[127.0.0.1]:2001: Connection refused", transport="postern-smtps")
			s.write("Nov 20 10:00:00 mx postfix/error[5]: A1: to=<x@y.test>, relay=none, status=deferred (delivery "
			    "temporarily suspended: connect to localhost[127.0.0.1]:2001: Connection refused)\n")
			# of yesterday
			s.say("connect to localhost[127.0.0.1]:2001: Connection refused", pid=400 + i, ago=3600)
			s.write(s.line(s.outcome("two"), pid=400 + i))
		s.settle()
		now = s.relay()
		assert now["state"] == "open" and now["last_failure"] is None, now


def test_all_recipients_of_one_delivery_are_one_failure(ctx):
	with Site(ctx, ONE) as s:
		for i in range(50):
			s.say(s.outcome("one", "deferred (SASL authentication failed; server localhost[127.0.0.1] said: 535 no)",
			    rcpt="r%d@far.test" % i, qid="1B670A78459"))
		s.settle()
		assert s.relay()["state"] == "open" and "535 no" in s.relay()["reason"]


def test_a_success_between_failures(ctx):
	with Site(ctx, ONE) as s:
		text = "deferred (connect to localhost[127.0.0.1]:2001: Connection refused)"
		failed = [s.line(s.outcome(None, text), pid=i) for i in range(4)]
		s.write("".join(failed[:2]) + s.line(s.outcome("one")) + "".join(failed[2:]))
		s.settle()
		assert s.relay()["state"] == "open" and "refused" in s.relay()["reason"]


def test_who_it_was_is_not_guessed(ctx):
	"""Two relays at one host, by one transport, and a line without a port."""
	with Site(ctx, ONE) as s:
		for i in range(5):
			s.say("1B670A7845%d: host localhost[127.0.0.1] refused to talk to me: 421 4.3.2 busy" % i, pid=i)
			s.say(s.outcome("two"), pid=i)
		s.settle()
		assert [s.relay(name)["last_failure"] for name in ONE] == [None] * 3


@cases(("an hour ago", 3600, "open"), ("now", 0, "down"))
def test_the_time_in_a_line(ctx, ago, state):
	"""As rsyslog writes it, in another zone."""
	with Site(ctx, ONE) as s:
		stamp = time.strftime("%Y-%m-%dT%H:%M:%S.123456+02:00", time.gmtime(time.time() + 7200 - ago))
		for i in range(3):
			s.write(stamp + s.line(s.outcome(None, "deferred (connect to localhost[127.0.0.1]:2001: no)"), pid=i)[15:])
		s.settle()
		assert s.relay()["state"] == state


# --- quotas

def test_failover_moves_the_count(ctx):
	"""Nobody counted these mails, so the log does; what it says twice it counts once."""
	with Site(ctx, ONE) as s:
		s.sent("one", qid="AAAA1111")
		s.sent("one", qid="AAAA1111")
		s.sent("one", qid="AAAA1111", rcpt="r2@far.test")
		s.sent("two", qid="BBBB2222")
		s.wait_used(2)
		s.wait_used(1, "two")


WAIT = {"transport": "postern-wait-plain"}


class Waiting(Site):
	"""And postern-policy, whose map `wait` counts as Postfix asks it."""

	def configure(self, **changes):
		super().configure(**changes)
		self.write('map_socket = "unix:%s/map.sock"\npolicy_socket = "unix:%s/policy.sock"\n' % (self.dir, self.dir),
		    self.dir + "/postern.conf")

	def start(self, offset=0):
		self.policy = PolicyProcess(self.ctx.program("postern-policy"), self.dir + "/postern.conf",
		    [self.dir + "/map.sock", self.dir + "/policy.sock"])
		return super().start(offset)

	def __exit__(self, *exc):
		self.policy.close()
		super().__exit__(*exc)

	def ask(self, *names):
		with SocketmapClient(self.dir + "/map.sock") as c:
			for name in names:
				assert c.lookup("wait", "[localhost]:%d" % self.ports[name])[0] == "OK"


def refusal(port, host="127.0.0.1"):
	return "connect to localhost[%s]:%d: Connection refused" % (host, port)


DEFERRED = "deferred (host localhost[127.0.0.1] said: 450 4.2.0 later (in reply to RCPT TO command))"
NO_LOGIN = "deferred (SASL authentication failed; server localhost[127.0.0.1] said: 535 5.7.8 wrong)"
NO_MAP = "deferred (client TLS configuration problem)"
# what is asked for, the trouble on the way, who is named in the end, how it ended, what is counted then for one and two
ATTEMPTS = [
	("sent", ["one"], [], "one", "sent (250 ok)", 1, 0),
	("put off", ["one"], [], "one", DEFERRED, 0, 0),
	("bounced", ["one"], [], "one", "bounced (host localhost[127.0.0.1] said: 550 5.1.1 no)", 0, 0),
	("no login", ["one"], [], "one", NO_LOGIN, 0, 0),
	("refused", ["one"], [refusal(2001)], None, "deferred (%s)" % refusal(2001), 0, 0),
	("two addresses refuse", ["one"], [refusal(2001, "::1"), refusal(2001)], None, "deferred (%s)" % refusal(2001), 0, 0),
	("the second address takes it", ["one"], [refusal(2001, "::1")], "one", "sent (250 ok)", 1, 0),
	("the second of the list takes it", ["one", "two"], [refusal(2001)], "two", "sent (250 ok)", 0, 1),
	("the second puts it off", ["one", "two"], [refusal(2001)], "two", DEFERRED, 0, 0),
	("both refuse", ["one", "two"], [refusal(2001), refusal(2002)], None, "deferred (%s)" % refusal(2002), 0, 0),
	("the second is closed", ["one"], [refusal(2001)], None, NO_MAP, 0, 0),
	("all are closed", [], [], None, NO_MAP, 3, 3),
]


@cases(*ATTEMPTS)
def test_waiting_mail_is_counted_as_it_is_delivered(ctx, asked, trouble, name, status, one, two):
	"""The map counted what it was asked for; what stays is who took it."""
	with Waiting(ctx, ONE) as s:
		if not asked:
			s.ask(*["one", "two"] * 3)
		s.ask(*asked)
		for text in trouble:
			s.say(text, **WAIT)
		s.write(s.line(s.outcome(name, status), **WAIT))
		s.settle()
		assert (s.used(), s.used("two")) == (one, two), s.process.stderr()


@cases(("put off", "host localhost[127.0.0.1] said: 450 4.2.0 later (in reply to RCPT TO command)"),
    ("no password", "local data error while talking to localhost[127.0.0.1]"),
    ("no login", "SASL authentication failed; server localhost[127.0.0.1] said: 535 5.7.8 wrong"))
def test_the_first_of_the_list_has_a_host_of_its_own(ctx, text):
	"""Without a port in the line its host must tell who it was."""
	with Waiting(ctx, {"one": 2001}) as s:
		s.ask("one")
		s.say("1B670A78459: " + text, **WAIT)
		s.say("1B670A78459: to=<r1@far.test>, relay=two.test[127.0.0.2]:2001, delay=0.06, delays=0.02/0.04/0.01/0, "
		    "dsn=2.0.0, status=sent (250 ok)", **WAIT)
		s.settle()
		assert s.used() == 0


def test_a_host_without_address_was_not_asked_for(ctx):
	with Waiting(ctx, {"one": 2001}) as s:
		s.ask("one")
		s.write(s.line(s.outcome(None, "bounced (unable to look up host localhost: Name or service not known)"), **WAIT))
		s.settle()
		assert s.used() == 1


def test_each_attempt_is_given_back_once(ctx):
	"""By one process, of one mail, in one second; read again it is the same."""
	with Waiting(ctx, ONE) as s:
		s.ask(*["one"] * 9)
		for i in range(3):
			s.say(refusal(2001), **WAIT)
			s.write(s.line(s.outcome(None, "deferred (%s)" % refusal(2001), rcpt="r%d@far.test" % i, qid="AAAA1111"), **WAIT))
		s.settle()
		assert s.used() == 6
		s.stop()
		os.remove(s.dir + "/state/mail_log.place")
		with open(s.log) as f:
			again = f.read()
		super(Waiting, s).start()
		s.write(again)
		s.settle()
		assert s.used() == 6


def test_what_has_a_name_is_not_given_back(ctx):
	"""Nor is what failed an attempt by a service that does not wait."""
	with Waiting(ctx, ONE) as s:
		s.sent("one", qid="AAAA1111")
		s.wait_used(1)
		s.write(s.line(s.outcome("one", DEFERRED), **WAIT))
		s.settle()
		assert s.used() == 1
		s.ask("one")
		s.say(s.outcome("one", DEFERRED))
		s.refused("one")
		s.settle()
		assert s.used() == 2


# --- following

def test_starts_at_the_end_and_misses_nothing_later(ctx):
	s = Site(ctx, ONE)
	s.sent("one", 5)
	with s.start():
		s.sent("one", 2)
		s.wait_used(2)
		s.stop()
		s.sent("one", 3)			# while it is away
		s.start()
		s.wait_used(5)


def test_partial_lines(ctx):
	with Site(ctx, ONE) as s:
		text = s.line(s.outcome("one"))
		s.write(text[:50])
		time.sleep(0.6)
		s.write(text[50:-1])
		time.sleep(0.6)
		assert s.used() == 0
		s.restart()
		s.write("\n")
		s.wait_used(1)


def test_rotation(ctx):
	with Site(ctx, ONE) as s:
		s.sent("one")
		s.wait_used(1)
		os.rename(s.log, s.log + ".1")
		s.write(s.line(s.outcome("one")), s.log + ".1")	# the writer still has the old one
		s.wait_used(2)
		s.sent("one")
		s.wait_used(3)
		# while it is away, with what it had not read yet
		s.stop()
		s.sent("one", 2)
		os.rename(s.log, s.log + "-20260302")
		s.sent("one", 3)
		s.start()
		s.wait_used(8)


def test_truncation(ctx):
	with Site(ctx, ONE) as s:
		s.sent("one", 3)
		s.wait_used(3)
		shutil.copy(s.log, s.log + ".1")
		os.truncate(s.log, 0)
		wait_until(lambda: s.process.open_files() > 0 and not time.sleep(0.6), 5, "a look")
		s.sent("one")
		s.wait_used(4)
		s.stop()
		os.truncate(s.log, 0)
		s.sent("one", 20)			# longer than before: only its content tells
		s.start()
		s.wait_used(24)


def test_a_crash_counts_nothing_twice(ctx):
	with Site(ctx, ONE) as s:
		for i in range(5):
			s.sent("one", 10)
			s.wait_used(10 * (i + 1))
			s.process.kill()
			s.process.start()
			s.process.wait_stderr("started", count=i + 2)
		s.settle()
		assert s.used() == 50


def test_garbage(ctx):
	with Site(ctx, ONE) as s:
		with open("/dev/urandom", "rb") as f:
			noise = f.read(300000)
		s.write(noise.decode("latin-1") + "\n" + "x" * 500000 + "\n" + "\0" * 1000 + "\n")
		s.write("Nov 20 10:00:00 mx postfix/postern-plain/smtp[1]: A1: to=<" * 3000 + "\n")
		s.sent("one")
		s.wait_used(1)
		s.settle()
		s.write("x" * 65536 + s.line(s.outcome("one")))		# the end of a line that is too long
		s.sent("one")
		s.wait_used(2)


def test_a_log_that_comes_later(ctx):
	s = Site(ctx, ONE)
	os.remove(s.log)
	with s.start():
		s.process.wait_stderr("cannot read .*mail.log")
		s.sent("one")
		s.wait_used(1)


def test_the_journal(ctx):
	"""journalctl is a script here: what it is asked, and what it says."""
	os.mkdir(ctx.tmp + "/bin")
	with open(ctx.tmp + "/bin/journalctl", "w") as f:
		f.write('#!/bin/sh\necho "$@" >> %s/asked\nexec tail -n +1 -f %s/lines\n' % (ctx.tmp, ctx.tmp))
	os.chmod(ctx.tmp + "/bin/journalctl", 0o755)
	s = Site(ctx, ONE, log="journal", env={"PATH": ctx.tmp + "/bin:" + os.environ["PATH"]})
	line = s.line(s.outcome("one"))
	stamp = time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime())
	s.write(stamp + line[15:], ctx.tmp + "/lines")
	with s.start():
		s.wait_used(1)
		s.write(stamp + s.line(s.outcome("one"))[15:], ctx.tmp + "/lines")
		s.wait_used(2)
		s.restart()
		wait_until(lambda: len(open(ctx.tmp + "/asked").readlines()) == 2, 5, "asked twice")
		first, second = open(ctx.tmp + "/asked").read().splitlines()
		assert "--lines=0" in first and "--since=@" in second and "--facility=mail" in first, (first, second)
		wait_until(lambda: s.used() == 2, 5, "nothing counted twice")


# --- probes

def test_a_closed_relay_is_logged_in_to_when_its_pause_is_over(ctx):
	with Relay(users={USER: PASSWORD}) as relay:
		s = probed(ctx, relay)
		with s.start():
			for _ in range(3):
				s.refused("one")
			s.wait(state="down")
			assert not relay.logins
			s.restart(61)
			s.wait(reason="")
			assert [x.ok for x in relay.logins] == [True]
			# open ones are connected to, without a login
			sessions = relay.sessions
			wait_until(lambda: relay.sessions > sessions + 1, 15, "a probe")
			assert len(relay.logins) == 1


def probed(ctx, relay, interval="1s"):
	with open(ctx.tmp + "/password", "w") as f:
		f.write(PASSWORD)
	os.chmod(ctx.tmp + "/password", 0o600)
	return Site(ctx, {"one": relay.port}, interval,
	    more='from_filter = {"acme.test"} user = "%s" password_file = "%s/password"' % (USER, ctx.tmp))


def test_a_wrong_password_keeps_it_closed(ctx):
	with Relay(users={USER: "another"}) as relay:
		s = probed(ctx, relay)
		with s.start():
			for _ in range(3):
				s.refused("one")
			s.wait(state="down")
			s.restart(61)
			s.process.wait_stderr('relay=one state=down seconds=1[12]\\d reason="probe: login: ')
			assert "wrong user" in s.relay()["reason"] and PASSWORD not in s.process.stderr()


def test_probes_alone_find_a_dead_relay(ctx):
	with Relay(users={USER: PASSWORD}) as relay:
		relay.close_port()
		s = probed(ctx, relay)
		with s.start():
			s.wait(state="down", timeout=20)
			assert s.relay()["reason"].startswith("probe: connect: ")


def test_what_the_operator_closed_is_left_alone(ctx):
	with Relay(users={USER: PASSWORD}) as relay:
		s = probed(ctx, relay)
		with s.start():
			wait_until(lambda: relay.sessions > 0, 10, "a probe")
			s.run("--close", "one")
			time.sleep(1.5)			# what was on its way
			sessions = relay.sessions
			s.sent("one")
			time.sleep(3)
			assert relay.sessions == sessions and s.relay()["state"] == "closed"
			s.run("--open", "one")
			wait_until(lambda: relay.sessions > sessions, 10, "a probe")


def test_a_relay_that_hangs_holds_nobody_up(ctx):
	with Relay(users={USER: PASSWORD}, answers={"connect": HANG}) as relay:
		s = probed(ctx, relay)
		s.ports["mark"] = 2999
		s.configure()
		with s.start():
			wait_until(lambda: relay.sessions > 0, 10, "a probe")
			s.sent("mark")
			s.wait_used(1, "mark", timeout=3)
			began = time.monotonic()
			s.stop()
			assert time.monotonic() - began < 3


# --- life

def test_one_at_a_time(ctx):
	with Site(ctx, ONE) as s:
		with Program(ctx.program("postern-health"), ["-c", s.dir + "/postern.conf"]) as second:
			second.wait_stderr("another postern-health runs")
			s.refused("one")
			s.refused("one")
			s.settle()
			assert s.relay()["state"] == "open"
			s.stop()
			s.sent("one")
			s.offset = 0
			second.wait_stderr("started")
			wait_until(lambda: s.used() == 1, 10, "the second takes over")
			s.process = None


def test_reload(ctx):
	with Site(ctx, ONE) as s:
		s.configure(relays="relay {")
		s.process.signal(10)
		s.process.wait_stderr("the old one stays")
		s.ports["three"] = 2003
		s.configure()
		s.process.signal(1)
		s.process.wait_stderr("reloaded relays=4")
		s.sent("three")
		s.wait_used(1, "three")


@cases(("a bad configuration", ["-c", "/nowhere"], 78), ("an unknown option", ["-x"], 64), ("help", ["--help"], 0),
    ("version", ["--version"], 0))
def test_exit_status(ctx, args, code):
	assert run(ctx.program("postern-health"), *args).returncode == code


@timeout(120)
def test_a_busy_log_costs_little(ctx):
	"""20,000 deliveries: each is looked at, few are written."""
	with Site(ctx, ONE) as s:
		lines = "".join(s.line(s.outcome("one", rcpt="r%d@far.test" % (i % 7))) for i in range(20000))
		began = cpu(s.process.pid)
		s.write(lines)
		s.write(s.line(s.outcome("two")))
		s.wait_used(1, "two", timeout=100)
		note("20,000 lines nobody counted before: %.2f s of processor time" % (cpu(s.process.pid) - began))
		assert s.used() == 20000
		began = cpu(s.process.pid)
		s.write(lines)
		s.write(s.line(s.outcome("two")))
		s.wait_used(2, "two", timeout=100)
		took = cpu(s.process.pid) - began
		note("the same again: %.2f s" % took)
		assert s.used() == 20000


def cpu(pid):
	with open("/proc/%d/stat" % pid) as f:
		fields = f.read().rsplit(")", 1)[1].split()
	return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
