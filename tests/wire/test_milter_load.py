"""Many sessions at once: none stalls another, and there is a bound to what they cost."""

import os
import resource
import subprocess
import threading
import time

import miltwire
from lab import *
from milterlab import *

HERE = os.path.dirname(os.path.abspath(__file__))


class Lock:
	"""Somebody who keeps the writer's lock of the state: every end of message waits."""

	def __init__(self, ctx, gate, hold_ms, gap_ms=50, times=1):
		program = str(ctx.tmp) + "/hold_lock"
		if not os.path.exists(program):
			subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-o", program, HERE + "/hold_lock.c", "-llmdb"], check=True)
		self.process = subprocess.Popen([program, gate.state + "/state", str(hold_ms), str(gap_ms), str(times)],
		    stdout=subprocess.PIPE)
		assert self.process.stdout.readline() == b"held\n"

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		self.process.kill()
		self.process.wait()
		self.process.stdout.close()


def many_files():
	soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
	resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# --- the pool trap: libmilter's workers that wait, and sessions that wait for a worker


@timeout(90)
def test_mails_behind_a_lock_do_not_queue(ctx):
	"""30 ends of messages at once, while somebody takes the lock for half a second, again and again: all of them
	wait together for the first gap.  The pool alone starts a few in each gap, which took it up to 7.5 s."""
	with Gate(ctx) as g:
		times = []
		for attempt in range(3):
			with _Waiting(g, 30, attempt) as waiting, Lock(ctx, g, hold_ms=500, gap_ms=100, times=20):
				times.append(waiting.end())
		note("seconds: %s" % times)
		assert max(times) < (2.5 if g.sanitized else 1.3), times


@timeout(90)
def test_a_held_lock_stalls_nobody_else(ctx):
	"""100 sessions that only ask about recipients, one after the other with pauses between, while 30 mails wait."""
	with Gate(ctx) as g:
		others = [g.client(timeout=60) for _ in range(100)]
		with _Waiting(g, 30, 0) as waiting, Lock(ctx, g, hold_ms=2000):
			waiting.send()
			began = time.monotonic()
			slowest, asked = 0, 0
			while time.monotonic() - began < 1.7:
				time.sleep(0.05)
				slowest = max(slowest, _ask(others[asked % 100:asked % 100 + 5]))
				asked += 5
			slowest = max(slowest, _ask(others)) if time.monotonic() - began < 1.8 else slowest
			note("slowest: %.3f" % slowest)
			assert slowest < (1.5 if g.sanitized else 0.5), "a recipient waited %.2f s for others' lock" % slowest
			assert asked >= 25, asked
			waiting.end()
		for c in others:
			c.close()


class _Waiting:
	"""Sessions that have sent all but the end of their message."""

	def __init__(self, gate, n, salt):
		self.sent = None
		self.sessions = [gate.client(timeout=60) for _ in range(n)]
		for i, c in enumerate(self.sessions):
			sender = "u%d.%d@x.test" % (i, salt)
			c.begin(sender=sender)
			c.content(mail(sender=sender))

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		for c in self.sessions:
			c.close()

	def send(self):
		self.sent = time.monotonic()
		for c in self.sessions:
			c.packet("E")

	def end(self):
		"""Seconds until the last answer."""
		if self.sent is None:
			self.send()
		for c in self.sessions:
			assert c.verdict().added == ["sales@odoo.test"]
		return time.monotonic() - self.sent


def _ask(sessions):
	"""MAIL and RCPT on all of them at once; how long until the last answer is there."""
	began = time.monotonic()
	for c in sessions:
		c.raw(miltwire.packet("M", b"<ann@x.test>\0") + miltwire.packet("R", b"<sales@company.test>\0"))
	for c in sessions:
		assert c.verdict().kind == "continue"
		assert c.verdict().kind == "continue"
	took = time.monotonic() - began
	for c in sessions:
		c.abort()
	return took


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
