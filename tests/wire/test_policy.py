"""postern-policy on its socket: what it answers, and what it bears."""

import os
import signal
import socket
import threading
import time

from lab import *

CONF = """\
state_directory = "%(state)s"
map_socket = "unix:%(socket)s"
policy_socket = ""
dmarc = off
socket_group = ""
socket_mode = 0600
gateway "main" {
	target = "redirect to acme.odoo.test"
}
domain "mixed.test" {
	unknown = pass
	human = "joe@mixed.test"
}
domain "bücher.test" {
	unknown = pass
}
domain "ours.test" {
	unknown = hand_over
}
alias "sales@mixed.test" {
	model = crm.lead
}
alias "jörg@mixed.test" {
	model = crm.lead
}
alias "sales@bücher.test" {
	model = crm.lead
}
%(more)s
"""

ALIAS = 'alias "%s@mixed.test" { model = crm.lead }\n'


class Daemon(PolicyProcess):
	"""The daemon with a configuration of its own in the test's folder."""

	def __init__(self, ctx, more="", state=True, **options):
		self.folder = ctx.tmp
		self.socket = ctx.tmp + "/map.sock"
		self.state = ctx.tmp + "/state"
		if state:
			os.makedirs(self.state, exist_ok=True)
		self.write(more)
		super().__init__(ctx.program("postern-policy"), ctx.tmp + "/postern.conf", [self.socket], **options)

	def write(self, more="", text=None):
		with open(self.folder + "/postern.conf", "w", encoding="utf-8") as f:
			f.write(text or CONF % {"state": self.state, "socket": self.socket, "more": more})

	def grown_by(self, before):
		"""Bytes of memory since then; a sanitizer keeps what was freed, so there it says nothing."""
		with open(self.binary, "rb") as f:
			binary = f.read()
		return 0 if b"__asan_init" in binary or b"__tsan_init" in binary else self.memory() - before

	def client(self, **options):
		return SocketmapClient(self.socket, **options)

	def ask(self, key, name="recipient"):
		with self.client() as c:
			return c.lookup(name, key)


def netstring(text):
	data = text if isinstance(text, bytes) else text.encode()
	return b"%d:%s," % (len(data), data)


ANSWERS = [
	("alias", "sales@mixed.test", "OK"),
	("upper case comes back as it was", "Sales@MIXED.test", "OK"),
	("person", "joe@mixed.test", "NOTFOUND"),
	("catchall", "catchall@mixed.test", "OK"),
	("bounce", "bounce@mixed.test", "OK"),
	("notifications", "notifications@mixed.test", "OK"),
	("postmaster goes to the human", "postmaster@mixed.test", "OK"),
	("plus tag", "sales+x@mixed.test", "NOTFOUND"),
	("unknown, handed over", "whoever@ours.test", "OK"),
	("quoted, handed over", '"x y"@ours.test', "OK"),
	("foreign", "sales@else.test", "NOTFOUND"),
	("UTF-8 local part, handed over", "JÖRG@ours.test", "OK"),
	("an accent that Odoo has removed from the alias", "jorg@mixed.test", "OK"),
	("and that it does not remove from an address", "jörg@mixed.test", "NOTFOUND"),
	("U-label", "Sales@BÜCHER.test", "OK"),
	("A-label", "sales@xn--bcher-kva.test", "OK"),
	("U-label, unknown", "joe@bücher.test", "NOTFOUND"),
	("local part alone", "sales", "NOTFOUND"),
	("domain alone", "@mixed.test", "NOTFOUND"),
	("empty", "", "NOTFOUND"),
	("null sender", "<>", "NOTFOUND"),
	("brackets", "<sales@mixed.test>", "NOTFOUND"),
	("would read as two addresses", "a,evil@else.test,b@ours.test", "NOTFOUND"),
	("would read as two addresses in a quote that ends", '"a",evil@ours.test', "NOTFOUND"),
	("would read as a comment", "a(b)@ours.test", "NOTFOUND"),
	("two @", "a@b@ours.test", "NOTFOUND"),
	("route", "@else.test:whoever@ours.test", "NOTFOUND"),
	("blank", "x y@ours.test", "NOTFOUND"),
	("line break", "x\ny@ours.test", "NOTFOUND"),
	("NUL", "sales\0x@mixed.test", "NOTFOUND"),
	("2 kB", "a" * 2038 + "@ours.test", "OK"),
	("more than 2 kB", "a" * 2039 + "@ours.test", "NOTFOUND"),
	("broken UTF-8", b"\xff\xfe@ours.test", "OK"),
]


def test_answers(ctx):
	wrong = []
	with Daemon(ctx) as d, d.client() as c:
		for name, key, status in ANSWERS:
			text = "" if status != "OK" else key if isinstance(key, str) else key.decode("utf-8", "surrogateescape")
			got = c.lookup("recipient", key)
			if got != (status, text):
				wrong.append((name, got))
	assert not wrong, wrong


def test_other_maps_are_refused_for_good(ctx):
	with Daemon(ctx) as d, d.client() as c:
		for name in ("nosuchmap", "", "Recipient", "recipients"):
			assert c.lookup(name, "sales@mixed.test") == ("PERM", "there is no map of this name"), name
		c.raw(netstring(b""))
		assert c.reply()[0] == "PERM"
		c.raw(netstring(b"recipient"))
		assert c.reply() == ("NOTFOUND", "")
		assert c.lookup("recipient", "sales@mixed.test")[0] == "OK"


@cases(("http", b"GET / HTTP/1.0\r\n\r\n"), ("huge length", b"99999999999999:"), ("too long", b"10241:recipient "),
    ("leading zero", b"026:recipient sales@mixed.test,"), ("no comma", b"26:recipient sales@mixed.test;"),
    ("zeros", b"\0" * 100000), ("negative", b"-1:"), ("colons", b":" * 1000))
def test_garbage_ends_the_connection(ctx, data):
	with Daemon(ctx) as d, d.client() as good, d.client(timeout=5) as bad:
		try:
			bad.raw(data)
		except ConnectionError:
			pass
		assert bad.at_end()
		assert good.lookup("recipient", "sales@mixed.test")[0] == "OK"


def test_byte_by_byte(ctx):
	with Daemon(ctx) as d, d.client() as c:
		for byte in netstring("recipient sales@mixed.test") + netstring("recipient joe@mixed.test"):
			c.raw(bytes([byte]))
		assert c.reply() == ("OK", "sales@mixed.test")
		assert c.reply() == ("NOTFOUND", "")


def test_pipelined_in_order(ctx):
	with Daemon(ctx) as d, d.client() as c:
		keys = ["k%d@%s.test" % (i, "mixed" if i % 3 else "ours") for i in range(1000)]
		c.raw(b"".join(netstring("recipient " + k) for k in keys))
		for i, k in enumerate(keys):
			assert c.reply() == (("NOTFOUND", "") if i % 3 else ("OK", k)), k


def test_who_stops_sending_still_gets_answers(ctx):
	with Daemon(ctx) as d, d.client() as c:
		c.raw(netstring("recipient sales@mixed.test") * 500)
		c.sock.shutdown(socket.SHUT_WR)
		for _ in range(500):
			assert c.reply()[0] == "OK"
		assert c.at_end()


def test_a_slow_request_is_cut_off(ctx):
	with Daemon(ctx) as d, d.client() as good, d.client(timeout=20) as slow:
		began = time.monotonic()
		slow.raw(b"26:recip")
		worst = 0
		ended = threading.Event()
		def wait():
			assert slow.at_end()
			ended.set()
		t = threading.Thread(target=wait)
		t.start()
		while not ended.is_set() and time.monotonic() - began < 18:
			at = time.monotonic()
			assert good.lookup("recipient", "sales@mixed.test")[0] == "OK"
			worst = max(worst, time.monotonic() - at)
			if time.monotonic() - began < 8:
				try:
					slow.raw(b"x" if time.monotonic() - began < 1 else b"")
				except ConnectionError:
					pass
			time.sleep(0.05)
		t.join()
		took = time.monotonic() - began
		assert 9 < took < 15, took
		assert worst < 1, worst


def test_who_does_not_read_is_not_read(ctx):
	"""Answers that nobody takes are kept to a bound, and all of them arrive once they are taken."""
	request = netstring("recipient sales@mixed.test")
	with Daemon(ctx) as d, d.client() as good, d.client() as deaf:
		before = d.memory()
		deaf.sock.settimeout(1)
		sent = 0
		block = request * 1000
		try:
			while sent < 64 << 20:
				sent += deaf.sock.send(block[sent % len(request):])
		except TimeoutError:
			pass
		assert sent < 8 << 20, sent
		assert d.grown_by(before) < 4 << 20, d.grown_by(before)
		assert good.lookup("recipient", "sales@mixed.test")[0] == "OK"
		deaf.sock.settimeout(20)
		for _ in range(sent // len(request)):
			assert deaf.reply()[0] == "OK"


@timeout(120)
def test_600_connections(ctx):
	with Daemon(ctx) as d:
		silent = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(600)]
		for s in silent:
			s.settimeout(10)
			s.connect(d.socket)
		for _ in range(5):
			at = time.monotonic()
			assert d.ask("sales@mixed.test")[0] == "OK"
			assert time.monotonic() - at < 4
		assert d.open_files() < 512 + 64, d.open_files()
		# The ones that came last are still served, and so is who asks all the time.
		with d.client() as busy:
			for s in silent[-100:]:
				s.sendall(netstring("recipient sales@mixed.test"))
				assert s.recv(100).startswith(b"19:OK "), "a fresh connection was dropped"
				assert busy.lookup("recipient", "sales@mixed.test")[0] == "OK"
		for s in silent:
			s.close()
		wait_until(lambda: d.open_files() < 40, 10, lambda: "connections stay open: %d" % d.open_files())


class Load:
	"""Somebody who asks all the time; every answer is kept."""

	def __init__(self, daemon, key):
		self.daemon, self.key = daemon, key
		self.answers, self.error, self.worst = [], None, 0
		self._stop = False
		self._thread = threading.Thread(target=self._run)

	def __enter__(self):
		self._thread.start()
		return self

	def __exit__(self, *exc):
		self._stop = True
		self._thread.join()

	def _run(self):
		try:
			with self.daemon.client() as c:
				while not self._stop:
					at = time.monotonic()
					self.answers.append(c.lookup("recipient", self.key)[0])
					self.worst = max(self.worst, time.monotonic() - at)
		except Exception as e:
			self.error = e


def test_reload_under_load(ctx):
	with Daemon(ctx) as d, Load(d, "sales@mixed.test") as load:
		for i, sig in enumerate((signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP)):
			name = "new%d" % i
			assert d.ask(name + "@mixed.test")[0] == "NOTFOUND"
			d.write(ALIAS % name)
			d.signal(sig)
			d.wait_stderr("reloaded ", count=i + 1)
			assert d.ask(name + "@mixed.test")[0] == "OK"
		# An alias that is no longer configured is retired or gone, the others are still there.
		assert d.ask("sales@mixed.test")[0] == "OK"
		answered = len(load.answers)
		wait_until(lambda: load.error or len(load.answers) > answered + 100, 10, "the load to go on")
	assert load.error is None and set(load.answers) == {"OK"}, (load.error, set(load.answers))
	assert load.worst < 2, load.worst


def test_a_reload_tells_what_counts_from_the_next_start(ctx):
	"""Each key once, and only those that this daemon uses."""
	with Daemon(ctx) as d:
		for count in (1, 2):
			d.write("socket_mode = 0640\nlog = syslog\nstate_map_size = 64M\nmax_sessions = 5\nheader_limit = 1M\n")
			d.signal(signal.SIGHUP)
			d.wait_stderr("reloaded ", count=count)
		told = [line.split("warning: ")[1] for line in d.stderr().splitlines() if "next start" in line]
		assert told == [key + " has changed: it counts from the next start"
		    for key in ("socket_mode", "log", "state_map_size")], told


def test_a_bad_configuration_is_not_taken(ctx):
	with Daemon(ctx, more=ALIAS % "info") as d:
		d.write(text='gateway "main" {\n  taget = keep\n}\n')
		d.signal(signal.SIGHUP)
		d.wait_stderr("the old one stays")
		assert "taget" in d.stderr()
		assert d.ask("info@mixed.test")[0] == "OK"
		os.unlink(d.folder + "/postern.conf")
		d.signal(signal.SIGHUP)
		d.wait_stderr("the old one stays", count=2)
		assert d.ask("info@mixed.test")[0] == "OK"
		d.write(ALIAS % "other")
		d.signal(signal.SIGUSR1)
		d.wait_stderr("reloaded ")
		assert d.ask("other@mixed.test")[0] == "OK"


def test_no_store_is_no_answer(ctx):
	"""Never NOTFOUND for what a table would have to say; what needs no table is answered."""
	with Daemon(ctx, state=False) as d, d.client() as c:
		for key in ("sales@mixed.test", "joe@mixed.test", "whoever@ours.test"):
			assert c.lookup("recipient", key)[0] == "TEMP", key
		assert c.lookup("recipient", "catchall@mixed.test")[0] == "OK"
		assert c.lookup("recipient", "joe@else.test")[0] == "NOTFOUND"
		time.sleep(2.5)
		complaints = d.stderr().count("error: ")
		assert complaints <= 2, d.stderr()
		os.mkdir(d.state)
		wait_until(lambda: c.lookup("recipient", "sales@mixed.test")[0] == "OK", 5, "the store to be opened")
		assert c.lookup("recipient", "joe@mixed.test")[0] == "NOTFOUND"
		assert "ready " in d.stderr()


def test_a_new_state_directory_without_restart(ctx):
	"""The new configuration waits until its store is there; the old one answers meanwhile."""
	with Daemon(ctx, more=ALIAS % "old") as d:
		d.state = ctx.tmp + "/elsewhere"
		d.write(ALIAS % "new")
		d.signal(signal.SIGHUP)
		d.wait_stderr("error: ")
		assert (d.ask("old@mixed.test")[0], d.ask("new@mixed.test")[0]) == ("OK", "NOTFOUND")
		os.mkdir(d.state)
		wait_until(lambda: d.ask("new@mixed.test")[0] == "OK", 5, "the new store to be used")
		assert d.ask("old@mixed.test")[0] == "NOTFOUND"


def test_a_second_one_does_not_steal_the_socket(ctx):
	with Daemon(ctx) as d:
		second = run(d.binary, "-c", d.conf)
		assert second.returncode == 69, second
		assert "another process serves it" in second.stderr
		assert d.ask("sales@mixed.test")[0] == "OK"
	assert not os.path.exists(d.socket) and not os.path.exists(d.socket + ".lock")


def test_starts_over_what_a_crash_left(ctx):
	with Daemon(ctx) as d:
		d.kill()
		assert os.path.exists(d.socket)
		d.start()
		assert d.ask("sales@mixed.test")[0] == "OK"


def test_stops_with_connections_open(ctx):
	with Daemon(ctx) as d:
		open_ones = [d.client() for _ in range(20)]
		open_ones[0].raw(b"26:recip")
		began = time.monotonic()
		d.stop()
		assert time.monotonic() - began < 5
		assert "started " in d.stderr() and d.stderr().rstrip().endswith("stopped")
		for c in open_ones:
			c.close()


def test_clients_that_vanish_leave_nothing(ctx):
	with Daemon(ctx) as d:
		d.ask("sales@mixed.test")
		files, memory = d.open_files(), d.memory()
		for i in range(2000):
			with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
				s.connect(d.socket)
				s.sendall((netstring("recipient sales@mixed.test") * 20)[:i % 600])
		wait_until(lambda: d.open_files() <= files, 10, "descriptors to be given back")
		assert d.grown_by(memory) < 4 << 20, d.grown_by(memory)


@cases(("help", ["--help"], 0, "usage: postern-policy"), ("version", ["--version"], 0, "postern-policy "))
def test_told(ctx, args, code, text):
	done = run(ctx.program("postern-policy"), *args)
	assert done.returncode == code and done.stdout.startswith(text), done


@cases(("unknown option", ["-x"], 64), ("unknown long option", ["--frobnicate"], 64), ("no value", ["-c"], 64),
    ("argument", ["start"], 64), ("no such file", ["-c", "/nonexistent/postern.conf"], 78))
def test_exit_codes(ctx, args, code):
	done = run(ctx.program("postern-policy"), *args)
	assert done.returncode == code and done.stderr, done


def test_a_bad_configuration_is_not_started(ctx):
	with open(ctx.tmp + "/postern.conf", "w") as f:
		f.write('taget = 1\ngateway "main" {\n}\n')
	done = run(ctx.program("postern-policy"), "-c", ctx.tmp + "/postern.conf")
	assert done.returncode == 78, done
	assert "taget" in done.stderr and "target" in done.stderr, "all findings at once: " + done.stderr


def test_a_socket_that_cannot_be(ctx):
	os.mkdir(ctx.tmp + "/state")
	with open(ctx.tmp + "/map.sock", "w") as f:
		f.write("somebody's file")
	with open(ctx.tmp + "/postern.conf", "w", encoding="utf-8") as f:
		f.write(CONF % {"state": ctx.tmp + "/state", "socket": ctx.tmp + "/map.sock", "more": ""})
	done = run(ctx.program("postern-policy"), "-c", ctx.tmp + "/postern.conf")
	assert done.returncode == 78 and "no socket" in done.stderr, done
	assert open(ctx.tmp + "/map.sock").read() == "somebody's file"
