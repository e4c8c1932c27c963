"""Our own programs under test: started, waited for, stopped, and searched for sanitizer reports."""

import os
import re
import signal
import socket
import stat
import subprocess
import time

import base
from base import LabError, Resource, TempDir, wait_until

SANITIZER = re.compile(r"(ERROR|WARNING): \w*Sanitizer|SUMMARY: \w*Sanitizer|runtime error:|"
    r"Assertion .* failed|Sanitizer: CHECK failed")
SANITIZER_ENV = {
	"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=97",
	"UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=97",
	"TSAN_OPTIONS": "halt_on_error=0:exitcode=97:second_deadlock_stack=1:atexit_sleep_ms=100",
}


class Program(Resource):
	"""A program in the foreground.  sockets: paths that must accept connections before start() returns.

	stderr goes to a file (.stderr_path, .stderr()).  stop() asks with SIGTERM, after `patience` seconds kills,
	and fails the test on a sanitizer report, on a death before it was asked to stop, on an exit status not in
	`exits` and on the need to kill.
	"""

	def __init__(self, binary, args=(), sockets=(), env=None, cwd=None, stderr_path=None, patience=15, exits=(0,),
	    user=None, start=True):
		self.binary = os.path.abspath(binary)
		if not os.access(self.binary, os.X_OK):
			raise LabError("%s is not there: build it first" % binary)
		self.args, self.sockets, self.cwd = list(args), list(sockets), cwd
		self.env, self.patience, self.exits, self.user = dict(env or {}), patience, exits, user
		self._tmp = None if stderr_path else TempDir("pnprog.")
		self.stderr_path = stderr_path or self._tmp.path + "/" + os.path.basename(binary) + ".stderr"
		self.process = None
		self._opened()
		if start:
			self.start()

	@property
	def pid(self):
		return self.process.pid

	def start(self):
		env = dict(os.environ)
		for name, value in SANITIZER_ENV.items():
			env[name] = value + (":" + env[name] if env.get(name) else "")
		env.update(self.env)
		self.began, self.told = time.monotonic(), len(self.stderr())
		with open(self.stderr_path, "ab") as err:
			self.process = base.start_group([self.binary] + self.args, stdout=err, stderr=err, cwd=self.cwd, env=env,
			    **({"user": self.user, "extra_groups": ["postfix"]} if self.user else {}))
		wait_until(self._is_up, 20, lambda: "%s does not open %s\n%s" % (self.binary, self.sockets, self.stderr()))
		return self

	def _is_up(self):
		code = self.process.poll()
		if code is not None:
			base.end_group(self.process)
			self.process = None		# nothing to stop: close() must not report it again
			raise LabError("%s ended with %s\n%s" % (self.binary, code, self.stderr()))
		return all(socket_listens(p) for p in self.sockets) and self._is_open()

	def _is_open(self):
		"""A socket is bound as 0600 and given its group and mode right after: Postfix may only then come in."""
		return (all(stat.S_IMODE(os.stat(p).st_mode) != 0o600 for p in self.sockets) or "started" in self.stderr()[self.told:]
		    or time.monotonic() - self.began > 1)

	def stderr(self):
		try:
			with open(self.stderr_path, encoding="utf-8", errors="surrogateescape") as f:
				return f.read()
		except FileNotFoundError:
			return ""

	def wait_stderr(self, regex, timeout=10, count=1):
		"""Waits until the regex was found `count` times; returns the last match."""
		def found():
			hits = list(re.finditer(regex, self.stderr()))
			return hits[-1] if len(hits) >= count else None
		return wait_until(found, timeout, lambda: "no /%s/ in the output of %s:\n%s"
		    % (regex, self.binary, self.stderr()[-3000:]))

	def signal(self, sig):
		self.process.send_signal(sig)

	def memory(self):
		"""Resident memory in bytes, now."""
		with open("/proc/%d/status" % self.pid) as f:
			return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024

	def open_files(self):
		return len(os.listdir("/proc/%d/fd" % self.pid))

	def kill(self):
		"""SIGKILL, on purpose: a crash as the test wants it."""
		base.end_group(self.process)
		self.process = None
		self.assert_clean()

	def stop(self):
		if self.process is None:
			return
		died = self.process.poll() is not None
		killed = False
		if not died:
			self.process.send_signal(signal.SIGTERM)
			killed = not self._wait_for_end(time.monotonic() + self.patience)
		code = base.end_group(self.process)
		self.process = None
		self.assert_clean()
		if died:
			raise LabError("%s died by itself with %s\n%s" % (self.binary, code, self.stderr()[-3000:]))
		if killed:
			raise LabError("%s does not stop at SIGTERM\n%s" % (self.binary, self.stderr()[-3000:]))
		if code not in self.exits:
			raise LabError("%s: exit status %d\n%s" % (self.binary, code, self.stderr()[-3000:]))

	def _wait_for_end(self, deadline):
		while time.monotonic() < deadline:
			try:
				self.process.wait(0.05)
				return True
			except subprocess.TimeoutExpired:
				self._nudge()
		return False

	def _nudge(self):
		"""For programs that sleep over a signal."""

	def restart(self):
		self.stop()
		return self.start()

	def assert_clean(self):
		"""No sanitizer has complained so far."""
		hit = SANITIZER.search(self.stderr())
		if hit:
			text = self.stderr()
			raise LabError("%s:\n%s" % (self.binary, text[max(0, hit.start() - 200):hit.start() + 4000]))

	def _close(self):
		try:
			self.stop()
		finally:
			base.save_log(self.stderr_path, os.path.basename(self.binary) + ".stderr")
			if self._tmp:
				self._tmp.close()


class MilterProcess(Program):
	"""postern-milter -c CONF; path is the socket it listens on (see Postfix.socket_path)."""

	def __init__(self, binary, conf, path=None, args=(), **options):
		self.conf, self.path = conf, path
		super().__init__(binary, ["-c", conf, *args], [path] if path else [], **options)

	def _nudge(self):
		# libmilter looks for its end only between two connections, or every 5 s.
		if self.path:
			_accepts(self.path)


class PolicyProcess(Program):
	"""postern-policy -c CONF; sockets are all the paths it listens on."""

	def __init__(self, binary, conf, sockets=(), args=(), **options):
		super().__init__(binary, ["-c", conf, *args], sockets, **options)
		self.conf = conf


def socket_listens(path):
	"""Somebody listens on the unix socket: asked of the kernel's table where possible, without a connection."""
	try:
		if not stat.S_ISSOCK(os.stat(path).st_mode):
			return False
	except OSError:
		return False
	with open("/proc/net/unix") as f:
		for line in f:
			words = line.split(None, 7)
			if len(words) == 8 and words[7].rstrip("\n") == path and int(words[3], 16) & 0x10000:
				return True
	return _accepts(path)


def _accepts(path):
	# Bound under another name (relative, or renamed after bind): only a connection tells.
	with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
		try:
			s.connect(path)
			return True
		except OSError:
			return False


def run(binary, *args, data=None, timeout=60, check=None, env=None):
	"""Runs a command to its end; output as text.  check: the exit status it must have."""
	full = dict(os.environ, **SANITIZER_ENV)
	full.update(env or {})
	started = time.monotonic()
	done = subprocess.run([binary, *args], input=None if data is None else base.to_bytes(data), capture_output=True,
	    timeout=timeout, env=full, **({"stdin": subprocess.DEVNULL} if data is None else {}))
	done.seconds = time.monotonic() - started
	done.stdout, done.stderr = base.to_text(done.stdout), base.to_text(done.stderr)
	if SANITIZER.search(done.stderr):
		raise LabError("%s:\n%s" % (binary, done.stderr[:4000]))
	if check is not None and done.returncode != check:
		raise LabError("%s %s: exit status %d\n%s%s" % (binary, " ".join(args), done.returncode, done.stdout, done.stderr))
	return done
