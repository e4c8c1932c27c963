"""What every part of the lab needs: cleaning up, ports, temporary folders, waiting.

Whatever the lab starts (processes, threads with sockets, folders) is a Resource.  Resources are closed
in reverse order by `with`, by close(), by the interpreter's exit, or on SIGTERM, SIGINT and SIGHUP;
if the lab itself is killed with SIGKILL, a small watcher process cleans up in its place.
"""

import atexit
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PORT_FIRST, PORT_LAST = 20000, 32000	# below the ephemeral range: no outgoing connection sits there

_libc = ctypes.CDLL(None, use_errno=True)
_live = []
_live_lock = threading.Lock()
_reserved = {}


class LabError(AssertionError):
	"""Something did not come about: counts as a failure of the test."""


class Resource:
	"""Something to be closed; subclasses call _opened() once there is something to close."""

	closed = True

	def _opened(self):
		self.closed = False
		self._owner = os.getpid()
		_install_handlers()
		with _live_lock:
			_live.append(self)

	def close(self):
		"""Idempotent.  In a forked child of the owner it does nothing: the thing is not the child's."""
		with _live_lock:
			if self in _live:
				_live.remove(self)
			if self.closed or self._owner != os.getpid():
				return
			self.closed = True
		self._close()

	def _close(self):
		raise NotImplementedError

	def __enter__(self):
		return self

	def __exit__(self, exc_type, exc, tb):
		try:
			self.close()
		except Exception as e:
			if exc_type is None:
				raise
			note("while closing %s: %s" % (type(self).__name__, e))		# the first error is the one to show


def close_all():
	"""Closes everything this process opened, the newest first; returns the errors met on the way."""
	errors = []
	while True:
		with _live_lock:
			mine = [r for r in _live if r._owner == os.getpid()]
		if not mine:
			_watcher.stop()
			return errors
		try:
			mine[-1].close()
		except Exception as e:		# the rest must still be closed
			errors.append(e)


def forget_inherited():
	"""In a forked child: what the parent opened stays the parent's."""
	_live.clear()


class _Watcher:
	"""A shell that knows our process groups and folders, and ends them when our end of its pipe is closed.

	(PR_SET_PDEATHSIG would be simpler, but the kernel forgets it when a process changes its user, as master does.)
	"""

	SCRIPT = """\
groups= folders=
while read -r verb arg; do
	case $verb in
	group) groups="$groups $arg ";;
	-group) groups="${groups%% $arg *}${groups#* $arg }";;
	folder) folders="$folders $arg ";;
	-folder) folders="${folders%% $arg *}${folders#* $arg }";;
	esac
done
for g in $groups; do kill -KILL -$g; done 2>/dev/null
[ -z "$folders" ] || { sleep 0.2; rm -rf $folders; }
"""

	def __init__(self):
		self.shell = self.owner = None

	def tell(self, verb, arg):
		with _live_lock:
			if self.owner != os.getpid():
				self.owner = os.getpid()
				self.shell = subprocess.Popen(["/bin/sh", "-c", self.SCRIPT], stdin=subprocess.PIPE, cwd="/",
				    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
			self.shell.stdin.write(("%s %s\n" % (verb, arg)).encode())
			self.shell.stdin.flush()

	def stop(self):
		if self.owner == os.getpid():
			self.owner = None
			self.shell.stdin.close()
			self.shell.wait()


_watcher = _Watcher()


def start_group(argv, **options):
	"""Popen with a process group of its own, which the watcher knows until end_group()."""
	process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, **options)
	_watcher.tell("group", process.pid)
	return process


def end_group(process):
	"""SIGKILL for whatever is left of the group; returns the leader's exit status."""
	try:
		os.killpg(process.pid, signal.SIGKILL)
	except ProcessLookupError:
		pass
	status = process.wait()
	_watcher.tell("-group", process.pid)
	return status


atexit.register(close_all)


def _on_signal(signum, _frame):
	# SystemExit unwinds the main thread through every `with`; atexit closes the rest.
	raise SystemExit(128 + signum)


def _install_handlers():
	if threading.current_thread() is not threading.main_thread():
		return
	for s in (signal.SIGTERM, signal.SIGHUP):
		if signal.getsignal(s) == signal.SIG_DFL:
			signal.signal(s, _on_signal)


def prctl(option, value):
	if _libc.prctl(option, value, 0, 0, 0) != 0:
		raise OSError(ctypes.get_errno(), "prctl")


def free_port():
	"""A port of 127.0.0.1 nobody listens on, given out once in the life of this process.

	An abstract unix socket reserves it against other lab processes on the machine.
	"""
	for _ in range(1000):
		port = random.SystemRandom().randrange(PORT_FIRST, PORT_LAST)
		if port in _reserved:
			continue
		mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
		try:
			mark.bind("\0postern-lab-port-%d" % port)
			probe.bind(("127.0.0.1", port))		# no SO_REUSEADDR: old connections count as well
		except OSError:
			mark.close()
			continue
		finally:
			probe.close()
		_reserved[port] = mark
		return port
	raise LabError("no free port")


def is_listening(port):
	"""Asks the kernel's table, so that the service never sees a connection."""
	want = ":%04X" % port
	with open("/proc/net/tcp") as f:
		return any(line.split()[1].endswith(want) and line.split()[3] == "0A" for line in f)


class TempDir(Resource):
	"""A folder other users may enter (Postfix runs as postfix), short enough for a unix socket's name."""

	def __init__(self, prefix="pnlab."):
		self.path = tempfile.mkdtemp(prefix=prefix)
		os.chmod(self.path, 0o755)
		self._opened()
		_watcher.tell("folder", self.path)

	def _close(self):
		# A dying daemon may still write while the tree is being removed.
		for _ in range(20):
			shutil.rmtree(self.path, ignore_errors=True)
			if not os.path.exists(self.path):
				_watcher.tell("-folder", self.path)
				return
			time.sleep(0.02)
		raise LabError("cannot remove " + self.path)


def wait_until(condition, timeout, what):
	"""Polls until condition() is true and returns its value; `what` is a text or a function giving one."""
	deadline = time.monotonic() + timeout
	pause = 0.002
	while True:
		value = condition()
		if value:
			return value
		if time.monotonic() > deadline:
			raise LabError("timeout after %g s: %s" % (timeout, what() if callable(what) else what))
		time.sleep(pause)
		pause = min(pause * 1.5, 0.05)


def children_of(pid):
	"""Pids whose parent is pid, zombies left out."""
	found = []
	for name in os.listdir("/proc"):
		if not name.isdigit():
			continue
		try:
			with open("/proc/%s/stat" % name) as f:
				state, ppid = f.read().rpartition(")")[2].split()[:2]
		except OSError:
			continue
		if int(ppid) == pid and state != "Z":
			found.append(int(name))
	return found


def command_of(pid):
	try:
		with open("/proc/%d/cmdline" % pid, "rb") as f:
			return f.read().replace(b"\0", b" ").decode(errors="replace").strip() or "?"
	except OSError:
		return "?"


def to_bytes(text):
	"""SMTP and the milter protocol are bytes; tests may write text, which goes out as UTF-8."""
	return text if isinstance(text, (bytes, bytearray)) else str(text).encode("utf-8", "surrogateescape")


def to_text(data):
	return data.decode("utf-8", "surrogateescape")


def crlf(message):
	"""Every line end as CRLF; leaves what is CRLF already."""
	return to_bytes(message).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class Server(Resource):
	"""A listening socket, one thread per connection; subclasses write serve(sock, peer).

	listen is None (a free TCP port), a port, or the path of a unix socket.  Errors of serve() other than a
	lost connection are kept in .errors and raised by close(): a broken helper must not look like a pass.
	"""

	def __init__(self, listen=None, mode=0o660, group=None):
		self.errors = []
		self.connections = set()
		self._lock = threading.RLock()
		self.path = listen if isinstance(listen, str) else None
		if self.path:
			self.port = None
			self._listen_unix(mode, group)
		else:
			self.port = listen or free_port()
			self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
			self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
			self._listener.bind(("127.0.0.1", self.port))
		self._listener.listen(200)
		self._threads = set()
		self._stopping = False
		self._opened()
		self._acceptor = threading.Thread(target=self._accept, daemon=True)
		self._acceptor.start()

	def _listen_unix(self, mode, group):
		self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		if os.path.exists(self.path):
			os.unlink(self.path)
		self._listener.bind(self.path)
		if group is not None:
			shutil.chown(self.path, group=group)
		os.chmod(self.path, mode)

	@property
	def address(self):
		return self.path or ("127.0.0.1", self.port)

	def _accept(self):
		while True:
			try:
				sock, peer = self._listener.accept()
			except OSError:
				return
			with self._lock:
				if self._stopping:
					sock.close()
					return
				self.connections.add(sock)
				t = threading.Thread(target=self._run, args=(sock, peer), daemon=True)
				self._threads.add(t)
				t.start()

	def _run(self, sock, peer):
		if sock.family == socket.AF_INET:
			# Without it each answer after an answer waits 40 ms for the peer's delayed ACK.
			sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		try:
			self.serve(sock, peer)
		except (ConnectionError, TimeoutError, EOFError):
			pass
		except Exception as e:
			if not self._stopping:
				self.errors.append(e)
		finally:
			with self._lock:
				self.connections.discard(sock)
				self._threads.discard(threading.current_thread())
			sock.close()

	def serve(self, sock, peer):
		raise NotImplementedError

	def _close(self):
		with self._lock:
			self._stopping = True
			try:
				self._listener.shutdown(socket.SHUT_RDWR)	# wakes accept()
			except OSError:
				pass
			for sock in list(self.connections):
				try:
					sock.shutdown(socket.SHUT_RDWR)
				except OSError:
					pass
			threads = list(self._threads)
		self._acceptor.join(5)
		self._listener.close()
		for t in threads:
			t.join(5)
		if self.path and os.path.exists(self.path):
			os.unlink(self.path)
		if self.errors:
			raise LabError("%s: %r" % (type(self).__name__, self.errors[0])) from self.errors[0]


def save_log(path, name):
	"""Keeps a log for the runner, which shows it when the test fails (environment variable LAB_LOGS)."""
	folder = os.environ.get("LAB_LOGS")
	if not folder or not os.path.exists(path):
		return
	for n in range(1, 1000):
		target = "%s/%s%s" % (folder, name, "" if n == 1 else ".%d" % n)
		if not os.path.exists(target):
			shutil.copyfile(path, target)
			return


def note(text):
	"""Shown by the runner only when the test fails."""
	print(text, file=sys.stderr, flush=True)
