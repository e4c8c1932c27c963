"""postern-signer: asked by postern-milter, and by whoever else finds its socket."""

import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import dkim

from lab import *
from milterlab import *

DOMAIN, CONFIG, UNAVAILABLE = "company.test", 78, 69
HASH = b"0123456789abcdef 123456789abcde\0"
BOTH = ["ed25519", "rsa"]
TOP = 'sign_table = "refile:%(dir)s/signing"\nsign_key_table = "%(dir)s/keys"\nsign_all = yes\nsign_check_published = no\n' \
    'signer_socket = "unix:%(dir)s/signer/sock"\n'


class Site:
	"""Keys, tables, one configuration for both daemons; `with` runs the signer, unless start is false."""

	def __init__(self, ctx, user=None, start=True, table=None, gate=True):
		self.ctx, self.dir, self.user = ctx, ctx.tmp, user
		self.path = self.dir + "/signer/sock"
		self.records, self.signer, self.gate = {}, None, None
		for kind in BOTH:
			self.make_key(kind)
		self.write("keys", table or "".join("%s-key %s:%s:%s/%s.pem\n" % (k, DOMAIN, k, self.dir, k) for k in BOTH))
		self.write("signing", "*@%s rsa-key\n*@%s ed25519-key\n" % (DOMAIN, DOMAIN))
		os.mkdir(self.dir + "/signer")
		self.conf = self.dir + "/milter.conf"
		if gate:
			self.gate = Gate(ctx, top=TOP % {"dir": self.dir})
		else:
			self.write("milter.conf", TOP % {"dir": self.dir})
		if user:
			self.hand_over()
		if start:
			self.start()

	def hand_over(self):
		os.chmod(self.dir, 0o755)
		for name in ("signer", "rsa.pem", "ed25519.pem"):
			shutil.chown("%s/%s" % (self.dir, name), self.user)

	def write(self, name, text):
		with open("%s/%s" % (self.dir, name), "w", encoding="ascii") as f:
			f.write(text)

	def make_key(self, kind, name=None):
		path = "%s/%s.pem" % (self.dir, name or kind)
		if os.path.exists(path):
			os.unlink(path)
		done = run(self.ctx.program("tests/wire/dkim_tool"), "key", kind, path, check=0)
		self.records[name or kind] = done.stdout.strip()

	def start(self, **options):
		program = self.ctx.program_for_others("postern-signer") if self.user else self.ctx.program("postern-signer")
		self.signer = Program(program, ["-c", self.conf, "-v"], [self.path], user=self.user, **options)
		self.signer.wait_stderr("started")
		return self.signer

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		for daemon in (self.gate, self.signer):
			if daemon is not None:
				daemon.close()

	def reload(self, *daemons):
		for daemon in daemons:
			seen = daemon.stderr().count("\n")
			daemon.signal(signal.SIGUSR1)
			wait_until(lambda: re.search(r"reloaded|: configuration |stay", "\n".join(daemon.stderr().split("\n")[seen:])), 10,
			    lambda: "no reload:\n" + daemon.stderr())

	def send(self):
		"""One mail of the house: (text with its signatures, line of the log)."""
		message = mail(sender="Jo <jo@%s>" % DOMAIN, to="joe@far.test")
		with self.gate.client() as c:
			r = c.deliver(message, "joe@far.test", sender="bounce@" + DOMAIN, mail_macros={"{auth_authen}": "odoo"})
		assert r.eom.passes, r
		for value in reversed(r.eom.headers("DKIM-Signature")):
			message = ("DKIM-Signature: " + value.replace("\r\n", "\n").replace("\n", "\r\n") + "\r\n").encode() + message
		return message, self.gate.lines()[-1]

	def signed(self):
		"""Sends one; the selectors whose signatures python3-dkim verifies: all of them."""
		message, line = self.send()
		selectors = re.findall(rb"\bs=([\w.-]+);", message)
		def record(name, timeout=5):
			return self.records[name.decode().split(".")[0]].encode()
		for i in range(len(selectors)):
			assert dkim.DKIM(message).verify(idx=i, dnsfunc=record), message
		return sorted(s.decode() for s in selectors), line


class Asker:
	"""Speaks netstrings with the signer."""

	def __init__(self, path, timeout=10):
		self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		self.sock.settimeout(timeout)
		self.sock.connect(path)
		self.rest = b""

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		self.sock.close()

	def send(self, data):
		self.sock.sendall(data)

	def answer(self):
		"""None: it has hung up."""
		while not (m := re.match(rb"(\d+):", self.rest)) or len(self.rest) < m.end() + int(m.group(1)) + 1:
			try:
				data = self.sock.recv(65536)
			except ConnectionResetError:
				return None
			if not data:
				return None
			self.rest += data
		end = m.end() + int(m.group(1))
		text, self.rest = self.rest[m.end():end], self.rest[end + 1:]
		return text

	def ask(self, *words):
		text = b" ".join(w if isinstance(w, bytes) else w.encode() for w in words)
		self.send(b"%d:%s," % (len(text), text))
		return self.answer()


def p(record):
	return re.search(r"p=(\S+)", record).group(1)


def verifies(ctx, name, signature):
	"""openssl says so of an RSA signature of HASH."""
	with open(ctx.tmp + "/signature", "wb") as f:
		f.write(signature)
	return subprocess.run(["openssl", "pkeyutl", "-verify", "-inkey", "%s/%s.pem" % (ctx.tmp, name), "-sigfile", ctx.tmp + "/signature",
	    "-pkeyopt", "digest:sha256"], input=HASH, capture_output=True).returncode == 0


# --- mail

def test_signs(ctx):
	"""With both keys, which the milter has not read: it could not."""
	with Site(ctx) as s:
		s.reload(s.gate)
		assert s.signed()[0] == BOTH
		def often():
			return [s.signed()[0] for _ in range(10)]
		assert sum(at_once(*[often] * 8), []) == [BOTH] * 80
		assert s.signer.stderr().count(" public=") == 2, s.signer.stderr()


def test_comes_and_goes(ctx):
	"""The milter starts without it; while it is away mail leaves unsigned, and says so; then all is well again."""
	with Site(ctx, start=False) as s:
		def unsigned():
			selectors, line = s.signed()
			return selectors == [] and 'not_signed="' in line and "postern-signer" in line
		assert unsigned()
		s.start()
		assert s.signed()[0] == BOTH
		for _ in range(3):
			s.signer.kill()
			assert unsigned()
			s.start()
			assert s.signed()[0] == BOTH
		s.signer.restart()
		assert s.signed()[0] == BOTH
		s.signer.stop()
		assert unsigned() and not os.path.exists(s.path)


def test_killed_amid_mail(ctx):
	"""Whatever happens to it, each mail is answered, and what is signed is signed well."""
	with Site(ctx) as s:
		stop = threading.Event()
		def kill():
			for _ in range(5):
				time.sleep(0.3)
				s.signer.kill()
				s.start()
			stop.set()
		def send():
			seen = []
			while not stop.is_set():
				seen.append(s.signed()[0])
			return seen
		outcomes = [selectors for one in at_once(kill, send, send)[1:] for selectors in one]
		assert BOTH in outcomes and all(o in ([], BOTH, ["rsa"], ["ed25519"]) for o in outcomes), outcomes
		assert wait_until(lambda: s.signed()[0] == BOTH, 5, "signatures")


def test_hangs(ctx):
	"""A mail waits 2 seconds, and the next ones do not; a signer that comes back is used."""
	with Site(ctx) as s:
		assert s.signed()[0] == BOTH
		s.signer.signal(signal.SIGSTOP)
		started = time.monotonic()
		assert "does not answer" in s.send()[1]
		first = time.monotonic() - started
		started = time.monotonic()
		assert "a moment ago" in s.send()[1]
		assert 1.9 < first < 4 and time.monotonic() - started < 1, first
		s.signer.signal(signal.SIGCONT)
		wait_until(lambda: s.signed()[0] == BOTH, 5, "signatures")


def test_rotated(ctx):
	"""Another name, selector and file: the signer first, then the milter."""
	with Site(ctx) as s:
		assert s.signed()[0] == BOTH
		s.make_key("rsa", "next")
		s.write("keys", "rsa-key %s:rsa:%s/rsa.pem\nnext-key %s:next:%s/next.pem\n" % (DOMAIN, s.dir, DOMAIN, s.dir))
		s.write("signing", "*@%s next-key\n" % DOMAIN)
		s.reload(s.signer)
		selectors, line = s.signed()
		assert selectors == ["rsa"] and 'not_signed="company.test/ed25519: ' in line and "no such key" in line
		s.reload(s.gate)
		assert s.signed()[0] == ["next"]


def test_milter_first(ctx):
	with Site(ctx) as s:
		s.make_key("rsa", "next")
		s.write("keys", "next-key %s:next:%s/next.pem\n" % (DOMAIN, s.dir))
		s.write("signing", "*@%s next-key\n" % DOMAIN)
		s.reload(s.gate)
		selectors, line = s.signed()
		assert selectors == [] and "no such key" in line and "reload it" in line
		s.reload(s.signer)
		assert s.signed()[0] == ["next"]


def test_same_name_another_key(ctx):
	"""It does not sign as the old one; not even with the right algorithm."""
	with Site(ctx) as s:
		assert s.signed()[0] == BOTH
		s.make_key("rsa")
		s.reload(s.signer)
		selectors, line = s.signed()
		assert selectors == ["ed25519"] and 'not_signed="company.test/rsa: ' in line and "reload postern-milter" in line
		s.reload(s.gate)
		assert s.signed()[0] == BOTH


def test_bad_reload(ctx):
	"""What was read before stays."""
	with Site(ctx) as s:
		s.write("keys", "rsa-key %s:rsa:%s/nowhere.pem\n" % (DOMAIN, s.dir))
		s.reload(s.signer)
		assert re.search(r"error: .*keys:1: .*nowhere\.pem", s.signer.stderr())
		assert s.signed()[0] == BOTH


# --- whoever asks

def test_questions(ctx):
	with Site(ctx, gate=False) as s, Asker(s.path) as a:
		for kind in BOTH:
			assert a.ask("public", kind + "-key", DOMAIN, kind) == b"OK " + s.records[kind].encode()
		good = ["rsa-key", DOMAIN, "rsa", p(s.records["rsa"]), HASH]
		signature = a.ask("sign", *good)
		assert signature.startswith(b"OK ") and verifies(ctx, "rsa", signature[3:])
		assert len(a.ask("sign", "ed25519-key", DOMAIN, "ed25519", p(s.records["ed25519"]), HASH)) == 3 + 64
		for i, wrong in enumerate(["x-key", "other.test", "x", p(s.records["ed25519"])]):
			assert a.ask("sign", *good[:i], wrong, *good[i + 1:]).startswith(b"NOTFOUND "), wrong
		for words in (("public", s.dir + "/rsa.pem", DOMAIN, "rsa"), ("public", "../keys", DOMAIN, "rsa")):
			assert a.ask(*words).startswith(b"NOTFOUND "), words
		for words in (("", ), ("sign", ), ("public", "rsa-key"), ("sign", *good[:4]), ("sign", *good[:4], HASH + b"x"), ("read", "x", "y", "z"),
		    (b"\0" * 4000, )):
			assert a.ask(*words).startswith(b"PERM "), words
		assert a.ask("sign", *good) == signature


HOSTILE = [
	("too long", b"4097:"), ("very long", b"999999999:"), ("no digits", b"x:"), ("zeros", b"007:public,"), ("no comma", b"3:abcx"),
	("negative", b"-1:"), ("http", b"GET / HTTP/1.1\r\n\r\n"), ("bytes", bytes(range(256))),
]


@cases(*HOSTILE)
def test_no_netstrings(ctx, data):
	"""It hangs up, and serves others."""
	with Site(ctx, gate=False) as s, Asker(s.path) as a, Asker(s.path) as b:
		a.send(data)
		assert a.answer() is None
		assert b.ask("public", "rsa-key", DOMAIN, "rsa").startswith(b"OK ")


def test_slow(ctx):
	"""A request that does not end ends the connection; who reads no answers is gone too; nobody else waits."""
	with Site(ctx, gate=False) as s, Asker(s.path, 20) as slow, Asker(s.path) as deaf, Asker(s.path) as other:
		slow.send(b"30:pub")
		started = time.monotonic()
		deaf.sock.settimeout(0.5)
		try:
			while True:
				deaf.send(b"31:public rsa-key company.test rsa," * 100)
		except (TimeoutError, ConnectionError):
			pass
		assert other.ask("public", "rsa-key", DOMAIN, "rsa").startswith(b"OK ")
		for c in b"lic":
			time.sleep(0.5)
			slow.send(bytes([c]))
		assert slow.answer() is None
		assert 4 < time.monotonic() - started < 15
		wait_until(lambda: s.signer.open_files() < 12, 15, "the deaf one's end")


def test_many(ctx):
	"""200 at once, each answered; all gone afterwards."""
	with Site(ctx, gate=False) as s:
		before = s.signer.open_files()
		askers = [Asker(s.path, 60) for _ in range(200)]
		try:
			def half(part):
				for a in part:
					a.send(b"%d:%s," % ((n := len(t := b" ".join([b"sign", b"rsa-key", DOMAIN.encode(), b"rsa", p(s.records["rsa"]).encode(),
					    HASH]))), t))
				return [a.answer() for a in part]
			answers = sum(at_once(lambda: half(askers[::2]), lambda: half(askers[1::2])), [])
			assert len(answers) == 200 and len(set(answers)) == 1 and verifies(ctx, "rsa", answers[0][3:])
		finally:
			for a in askers:
				a.sock.close()
		wait_until(lambda: s.signer.open_files() == before, 10, "200 closed connections")


def test_full(ctx):
	"""Past its limit the one that has been quiet for the longest time makes room."""
	with Site(ctx, gate=False) as s:
		idle = [Asker(s.path) for _ in range(512)]
		try:
			time.sleep(1.2)
			for _ in range(3):
				with Asker(s.path) as a:
					assert a.ask("public", "rsa-key", DOMAIN, "rsa").startswith(b"OK ")
			gone = [i for i, a in enumerate(idle) if select.select([a.sock], [], [], 0)[0]]
			assert 0 < len(gone) <= 4 and gone[-1] < 256, gone
			assert idle[-1].ask("public", "rsa-key", DOMAIN, "rsa").startswith(b"OK ")
		finally:
			for a in idle:
				a.sock.close()


def test_strangers(ctx):
	"""Even if they get at the socket."""
	with Site(ctx, gate=False) as s:
		assert stat.S_IMODE(os.stat(s.path).st_mode) == 0o660
		for path in (s.dir, s.dir + "/signer"):
			os.chmod(path, 0o755)
		os.chmod(s.path, 0o666)
		script = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('%s'); s.sendall(b'31:public rsa-key company.test rsa,');" \
		    " print(len(s.recv(100)))" % s.path
		done = subprocess.run([sys.executable, "-c", script], user="nobody", group="nogroup", extra_groups=[], capture_output=True, text=True)
		assert done.stdout in ("0\n", "") and "public=" not in s.signer.stderr(), done
		assert "is sent away" in s.signer.stderr()


# --- the process

def test_tells_systemd(ctx):
	with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
		told.bind(ctx.tmp + "/notify")
		told.settimeout(10)
		with Site(ctx, gate=False, start=False) as s:
			s.start(env={"NOTIFY_SOCKET": ctx.tmp + "/notify"})
			assert told.recv(100) == b"READY=1"
			with Asker(s.path) as a:
				assert a.ask("public", "rsa-key", DOMAIN, "rsa").startswith(b"OK ")


def test_confined(ctx):
	"""No network, no new privileges, no core, nobody who looks into its memory."""
	with Site(ctx, user="nobody", gate=False) as s:
		s.signer.wait_stderr("started")
		def status():
			with open("/proc/%d/status" % s.signer.pid) as f:
				return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
		now = status()
		assert now["Seccomp"] == "2" and now["NoNewPrivs"] == "1" and now["Uid"].split()[0] == "65534", now
		with open("/proc/%d/limits" % s.signer.pid) as f:
			assert re.search(r"Max core file size +0 +0 ", f.read())
		with open(s.signer.binary, "rb") as f:
			sanitized = b"__asan_init" in (binary := f.read()) or b"__tsan_init" in binary
		# what is not dumpable is root's in /proc; a sanitizer must look at itself
		assert (os.stat("/proc/%d/environ" % s.signer.pid).st_uid == 0) != sanitized
		with Asker(s.path) as a:
			assert a.ask("public", "rsa-key", DOMAIN, "rsa").startswith(b"OK ")
			for task in os.listdir("/proc/%d/task" % s.signer.pid):
				with open("/proc/%d/task/%s/status" % (s.signer.pid, task)) as f:
					assert "Seccomp:\t2" in f.read(), task
		s.reload(s.signer)
		assert "reloaded" in s.signer.stderr()


def test_keys_that_the_milter_cannot_read(ctx):
	"""What it is for: the milter runs as another user than the one that may read keys."""
	with Site(ctx, user="nobody") as s:
		assert s.signed()[0] == BOTH
		for name in ("rsa.pem", "ed25519.pem"):
			os.unlink("%s/%s" % (s.dir, name))
		s.gate.restart()
		assert s.signed()[0] == BOTH


BAD_SETUPS = [
	("others may read the key", lambda s: os.chmod(s.dir + "/rsa.pem", 0o644), r"keys:2: .*rsa\.pem.*chmod", CONFIG),
	("the key is not there", lambda s: os.unlink(s.dir + "/rsa.pem"), r"keys:2: .*rsa\.pem", CONFIG),
	("it is no key", lambda s: os.truncate(s.dir + "/rsa.pem", 100), r"rsa\.pem", CONFIG),
	("a key in the table", lambda s: s.write("keys", "rsa-key %s:rsa:QUJD\n" % DOMAIN), r"keys:1: the key itself", CONFIG),
	("no table", lambda s: os.unlink(s.dir + "/signing"), r"signing", CONFIG),
	("no socket", lambda s: s.write("milter.conf", 'sign_table = "%s/signing"\nsign_key_table = "%s/keys"\n' % (s.dir, s.dir)),
	    "signer_socket is not set", CONFIG),
	("nothing to sign", lambda s: s.write("milter.conf", 'signer_socket = "unix:%s"\n' % s.path), "sign_table is not set", CONFIG),
	("something at its place", lambda s: s.write("signer/sock", ""), "no socket", CONFIG),
]


@cases(*BAD_SETUPS)
def test_not_started(ctx, spoil, text, code):
	with Site(ctx, start=False, gate=False) as s:
		spoil(s)
		done = run(ctx.program("postern-signer"), "-c", s.conf, check=code)
		assert re.search(text, done.stderr), done.stderr


def test_two(ctx):
	"""The second one finds the first, and leaves it alone."""
	with Site(ctx, gate=False) as s:
		done = run(ctx.program("postern-signer"), "-c", s.conf, check=UNAVAILABLE)
		assert "another process serves it" in done.stderr
		with Asker(s.path) as a:
			assert a.ask("public", "rsa-key", DOMAIN, "rsa").startswith(b"OK ")
