"""Many sessions at once: none stalls another, and there is a bound to what they cost."""

import os
import resource
import signal
import socket
import threading
import time

import miltwire
from lab import *
from milterlab import *


def many_files():
	soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
	resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# --- the pool trap: libmilter's workers that wait, and sessions that wait for a worker


@timeout(90)
def test_mails_behind_a_lock_do_not_queue(ctx):
	"""30 mails come at one moment, while somebody takes the lock for half a second, again and again: all of them
	wait together for the first gap.  The pool alone gives several to one worker, which does one in each gap: 1.0 to
	1.5 s where this takes 0.5 s."""
	with Gate(ctx) as g:
		times = []
		for attempt in range(3):
			with _Waiting(g, 30, attempt) as waiting, Lock(ctx, g, hold_ms=500, gap_ms=15, times=60):
				waiting.send()
				times.append(waiting.end())
		note("seconds: %s" % times)
		assert max(times) < (2.5 if g.sanitized else 0.95), times


@timeout(90)
def test_a_held_lock_stalls_nobody_else(ctx):
	"""100 sessions that only ask about recipients, at the same moment as 30 mails whose end has to wait 2 s."""
	with Gate(ctx) as g:
		others = [g.client(timeout=60) for _ in range(100)]
		with _Waiting(g, 30, 0) as waiting, Lock(ctx, g, hold_ms=2000):
			slowest = waiting.send(others)
			note("slowest: %.3f" % slowest)
			assert slowest < (1.5 if g.sanitized else 0.5), "a recipient waited %.2f s for others' lock" % slowest
			waiting.end()
		for c in others:
			c.close()


@timeout(120)
def test_mails_that_wait_for_the_lock_hold_no_reader(ctx):
	"""There are 1,024 places for readers; 1,060 ends of a message that wait must not fill them."""
	many_files()
	with Gate(ctx, top="max_sessions = 5000", gateway=UNCOUNTED) as g:
		sessions = [g.client(timeout=100) for _ in range(1060)]
		for c in sessions:
			c.begin()
			c.content()
		with g.client(timeout=60) as other, Lock(ctx, g, hold_ms=3000 if g.sanitized else 2000):
			for c in sessions:
				c.packet("E")
			time.sleep(1)
			for _ in range(20):
				assert other.begin().code == 250, g.lines("rcpt=")
				other.abort()
		answers = [text_of(c.verdict()) for c in sessions]
		assert answers == ["continue"] * 1060, set(answers)
		for c in sessions:
			c.close()


class _Waiting:
	"""Sessions that send a whole mail in one go, as fast as a client can; its end has to wait for the lock."""

	def __init__(self, gate, n, salt):
		self.gate, self.salt = gate, salt
		# on one processor the pool gives out all work before a worker wakes
		for thread in os.listdir("/proc/%d/task" % gate.pid):
			try:
				os.sched_setaffinity(int(thread), {min(os.sched_getaffinity(0))})
			except ProcessLookupError:
				pass		# a worker that has just ended
		self.sessions = [gate.client(timeout=60) for _ in range(n)]

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		for c in self.sessions:
			c.close()

	def send(self, others=()):
		"""All of it, and a sender and a recipient for each of the others, at one moment: the milter sleeps until
		everything is there.  Returns how long the others wait for their answers."""
		os.kill(self.gate.pid, signal.SIGSTOP)
		for i, c in enumerate(self.sessions):
			sender = "u%d.%d@x.test" % (i, self.salt)
			head, body = split_message(mail(sender=sender))
			c.raw(miltwire.packet("M", b"<%s>\0" % sender.encode()) + miltwire.packet("R", b"<sales@company.test>\0")
			    + b"".join(miltwire.packet("L", miltwire.strings(*field)) for field in head)
			    + miltwire.packet("N") + miltwire.packet("B", body) + miltwire.packet("E"))
		for c in others:
			c.raw(miltwire.packet("M", b"<ann@x.test>\0") + miltwire.packet("R", b"<sales@company.test>\0"))
		self.sent = time.monotonic()
		os.kill(self.gate.pid, signal.SIGCONT)
		for c in others:
			assert [c.verdict().kind for _ in "MR"] == ["continue"] * 2
		return time.monotonic() - self.sent

	def end(self):
		"""Seconds until the last answer."""
		for c in self.sessions:
			assert [c.verdict().kind for _ in "MR"] == ["continue"] * 2
			assert c.verdict().added == ["sales@odoo.test"]
		return time.monotonic() - self.sent


@timeout(90)
def test_no_file_left(ctx):
	"""More connections than it may have files: who is in is served, and the others once somebody leaves.  Until then
	libmilter's listener asks again and again, for one processor's time."""
	with Gate(ctx, gateway=UNCOUNTED) as g:
		inside = [g.client(timeout=30) for _ in range(5)]
		full = g.open_files() + 3
		resource.prlimit(g.pid, resource.RLIMIT_NOFILE, (full, full))
		crowd = [knock(g) for _ in range(40)]
		wait_until(lambda: g.open_files() == full, 10, "no file is left")
		began, busy = time.monotonic(), processor_seconds(g.pid)
		for _ in range(3):
			for c in inside:
				assert taken(c.deliver())
			time.sleep(0.3)
		note("processor: %.2f of %.2f s" % (processor_seconds(g.pid) - busy, time.monotonic() - began))
		assert len(g.stderr()) < 100000
		for c in crowd + inside:
			c.close()
		wait_until(lambda: g.open_files() < full, 10, "they are closed")
		with g.client(timeout=30) as c:
			assert taken(c.deliver())


def knock(gate):
	s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
	s.connect(gate.path)
	return s


def processor_seconds(pid):
	with open("/proc/%d/stat" % pid, encoding="ascii") as f:
		fields = f.read().rpartition(")")[2].split()
	return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_many_sessions_back_to_back(ctx):
	with Gate(ctx) as g:
		slowest = []
		def session(n):
			with g.client(timeout=60) as c:
				for i in range(20):
					began = time.monotonic()
					sender = "u%d.%d@x.test" % (n, i)
					r = c.deliver(mail(sender=sender), sender=sender)
					slowest.append(time.monotonic() - began)
					assert taken(r), r
		at_once(*[lambda n=n: session(n) for n in range(100)])
		assert len(slowest) == 2000
		assert len(g.lines("verdict=accept rule=alias")) == 2000
		# the pool alone let one of them wait for the whole run
		assert max(slowest) < (20 if g.sanitized else 5), max(slowest)
		wait_until(lambda: g.open_files() < 30, 10, lambda: "%d files are open" % g.open_files())


def test_idle_connections_are_cheap(ctx):
	many_files()
	with Gate(ctx) as g:
		clients = [g.client(timeout=60) for _ in range(1000)]
		if not g.sanitized:
			assert g.memory() <= 50 << 20, "1,000 new connections: %d bytes" % g.memory()
		for i, c in enumerate(clients):
			if i % 5 == 0:
				assert taken(c.deliver(mail(sender="u%d@x.test" % i, body=b"x" * 20000)))
			else:
				c.begin()
				c.abort()
		if not g.sanitized:
			assert g.memory() <= 50 << 20, "1,000 used connections: %d bytes" % g.memory()
		for c in clients:
			c.close()
		wait_until(lambda: g.open_files() < 30, 20, lambda: "%d files are open" % g.open_files())
		assert taken(g.deliver())


def test_max_sessions(ctx):
	"""Those who came later are told to come back, those who are there go on."""
	with Gate(ctx, top="max_sessions = 5") as g:
		early = [g.client() for _ in range(5)]
		for c in early:
			assert taken(c.deliver())
		late = [g.client() for _ in range(3)]
		for c in late:
			v = c.mail("ann@x.test", macros=c.SMTP)
			assert text_of(v) == "451 4.3.0 too many sessions, try again later", v
		for c in early:
			assert taken(c.deliver())
		# sendmail(1) has nobody to come back
		assert taken(late[0].deliver(smtp=False))
		late[0].close()
		early[0].close()
		early[1].close()
		wait_until(lambda: taken(late[1].deliver()), 5, "no room after two have gone")
		for c in early + late:
			c.close()
		wait_until(lambda: taken(g.deliver()), 5, "no room after all have gone")
