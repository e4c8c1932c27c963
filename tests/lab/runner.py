"""Runs the test functions of the given files, each in a process of its own, and looks behind it afterwards.

    /usr/bin/python3 tests/lab/runner.py [-j N] [-k REGEX] [--build DIR] FILE...

A test is a function test_*; it passes if it returns None.  It may take `ctx` (see Context) as first parameter.
There is no way to skip one: a missing program, an import error, a file without tests, a name given twice and a
filter that matches nothing are failures.  A test that leaves a process or a file behind fails, too.
"""

import argparse
import ast
import faulthandler
import importlib.util
import inspect
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
if HERE not in sys.path:
	sys.path.insert(0, HERE)

import base

DEFAULT_TIMEOUT = 60
LOG_LINES = 40		# of each log, shown when a test fails


def timeout(seconds):
	"""Decorator: another limit than DEFAULT_TIMEOUT."""
	def mark(function):
		function.lab_timeout = seconds
		return function
	return mark


def cases(*rows):
	"""Decorator: one test per row.  A row is (name, argument, ...)."""
	def mark(function):
		function.lab_cases = rows
		return function
	return mark


class Context:
	"""What a test may ask of its surroundings."""

	def __init__(self, build, tmp):
		self.repo = os.path.dirname(os.path.dirname(HERE))
		self.build = build
		self.tmp = tmp			# an empty folder, removed afterwards

	def program(self, name):
		"""The path of a program we built."""
		path = os.path.join(self.build, name)
		if not os.access(path, os.X_OK):
			raise base.LabError("%s is not built" % path)
		return path

	def program_for_others(self, name):
		"""The same where other users can run it too, whoever owns the checkout."""
		path = os.path.join(self.tmp, name)
		if not os.path.exists(path):
			shutil.copy(self.program(name), path)
			os.chmod(path, 0o755)
		return path

	def path(self, *parts):
		"""A file of the repository."""
		return os.path.join(self.repo, *parts)


class Test:
	def __init__(self, name, function, args=()):
		self.name, self.function, self.args = name, function, args
		self.timeout = getattr(function, "lab_timeout", DEFAULT_TIMEOUT)

	def call(self, ctx):
		names = list(inspect.signature(self.function).parameters)
		args = ((ctx,) if names[:1] == ["ctx"] else ()) + tuple(self.args)
		if self.function(*args) is not None:
			raise base.LabError("the test returned something: a test asserts")


# --- finding the tests

def load(path):
	"""The tests of one file.  What is wrong with the file becomes a test that fails with that reason."""
	stem = os.path.splitext(os.path.basename(path))[0]
	try:
		module = _import(stem, path)
		_check_names(path)
		tests = [t for name, f in vars(module).items() if name.startswith("test_") and inspect.isfunction(f)
		    and f.__module__ == module.__name__ for t in _tests_of(stem, name, f)]
		if not tests:
			raise base.LabError("no test in " + path)
		return tests
	except (Exception, SystemExit) as e:
		return [Test(stem, _failing("".join(traceback.format_exception(e))))]


def _failing(text):
	def fail():
		raise base.LabError(text)
	return fail


def _import(stem, path):
	spec = importlib.util.spec_from_file_location("labtest_" + stem, path)
	module = importlib.util.module_from_spec(spec)
	sys.modules[spec.name] = module
	sys.path.insert(0, os.path.dirname(os.path.abspath(path)))	# a test may have helpers beside it
	try:
		spec.loader.exec_module(module)
	finally:
		sys.path.pop(0)
	return module


def _check_names(path):
	with open(path, encoding="utf-8") as f:
		names = [n.name for n in ast.parse(f.read()).body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
	twice = {n for n in names if names.count(n) > 1}
	if twice:
		raise base.LabError("defined twice, the first would never run: " + ", ".join(sorted(twice)))


def _tests_of(stem, name, function):
	if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
		raise base.LabError("%s is a coroutine or generator: it would not run" % name)
	rows = getattr(function, "lab_cases", None)
	if rows is None:
		return [Test("%s.%s" % (stem, name), function)]
	if not rows or len({r[0] for r in rows}) != len(rows):
		raise base.LabError("%s: no rows, or two of one name" % name)
	return [Test("%s.%s[%s]" % (stem, name, row[0]), function, row[1:]) for row in rows]


# --- one test: a supervisor process, and below it the process that runs the function

def _run_child(test, root, build):
	"""In the test's own process; never returns."""
	out = os.open(root + "/output", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
	os.dup2(out, 1)
	os.dup2(out, 2)
	sys.stdout = open(1, "w", buffering=1, closefd=False, errors="backslashreplace")
	sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")
	# SIG_DFL first: lab installs its own handler only where nobody else has one.
	signal.signal(signal.SIGTERM, signal.SIG_DFL)
	signal.signal(signal.SIGINT, signal.default_int_handler)
	base.prctl(base.PR_SET_PDEATHSIG, signal.SIGKILL)
	base.prctl(base.PR_SET_CHILD_SUBREAPER, 0)
	base.forget_inherited()
	base._install_handlers()
	os.environ["TMPDIR"] = tempfile.tempdir = root + "/tmp"
	os.environ["LAB_LOGS"] = root + "/logs"
	os.mkdir(root + "/tmp/t")
	os.chmod(root + "/tmp/t", 0o755)
	faulthandler.dump_traceback_later(test.timeout)		# where it hangs, into the output
	reason = None
	try:
		test.call(Context(build, root + "/tmp/t"))
	except BaseException as e:
		reason = _reason(e)
		traceback.print_exception(e)
	for e in base.close_all():
		traceback.print_exception(e)
		reason = reason or _reason(e)
	faulthandler.cancel_dump_traceback_later()
	shutil.rmtree(root + "/tmp/t", ignore_errors=True)
	with open(root + "/result", "w") as f:
		json.dump({"reason": reason}, f)
	sys.stdout.flush()
	os._exit(0)


def _reason(e):
	lines = str(e).strip().splitlines()
	return ("%s: %s" % (type(e).__name__, lines[0]) if lines else type(e).__name__)[:300]


class Supervisor:
	"""In the supervisor's process: orphans of the test become its children, so it sees what was left running."""

	def __init__(self, test, build):
		self.test, self.build = test, build
		self.root = tempfile.mkdtemp(prefix="pnt.")
		self.stopped = False
		os.chmod(self.root, 0o755)
		for name in ("tmp", "logs"):
			os.mkdir(self.root + "/" + name)
			os.chmod(self.root + "/" + name, 0o755)

	def run(self):
		"""Returns the report of the test as a dict."""
		signal.signal(signal.SIGTERM, self._on_signal)
		signal.signal(signal.SIGINT, self._on_signal)
		base.prctl(base.PR_SET_CHILD_SUBREAPER, 1)
		base.prctl(base.PR_SET_PDEATHSIG, signal.SIGTERM)
		started = time.monotonic()
		self.child = os.fork()
		if self.child == 0:
			_run_child(self.test, self.root, self.build)
		reason = self._wait(started + self.test.timeout)
		seconds = time.monotonic() - started
		reason = reason or self._verdict()
		left = self._leftovers()
		report = {"name": self.test.name, "seconds": seconds, "reason": reason or left, "text": ""}
		if report["reason"]:
			report["text"] = self._logs()
		shutil.rmtree(self.root, ignore_errors=True)
		return report

	def _on_signal(self, signum, frame):
		self.stopped = True

	def _wait(self, deadline):
		while time.monotonic() < deadline and not self.stopped:
			if self._ended():
				return None
			time.sleep(0.01)
		reason = "interrupted" if self.stopped else "timeout after %g s" % self.test.timeout
		os.kill(self.child, signal.SIGTERM)
		for _ in range(500):
			if self._ended():
				return reason
			time.sleep(0.01)
		os.kill(self.child, signal.SIGKILL)
		while not self._ended():
			time.sleep(0.01)
		return reason + ", and had to be killed"

	def _ended(self):
		"""Reaps; true once the test's own process is gone."""
		while True:
			try:
				pid, status = os.waitpid(-1, os.WNOHANG)
			except ChildProcessError:
				return True
			if pid == 0:
				return self.child is None
			if pid == self.child:
				self.child, self.status = None, status
				return True

	def _verdict(self):
		try:
			with open(self.root + "/result") as f:
				return json.load(f)["reason"]
		except (OSError, ValueError):
			return "the test's process ended without a result, status %d" % self.status

	def _leftovers(self):
		"""What is still running or lying about; kills it."""
		commands = []
		for attempt in range(40):
			self._ended()
			pids = base.children_of(os.getpid())
			if not pids:
				break
			commands = [base.command_of(p) for p in pids]
			# What was killed just now may need a moment to be gone.
			if attempt >= 20:
				for p in pids:
					_kill(p)
			time.sleep(0.02)
		else:
			commands = commands or ["?"]
		killed = attempt >= 20
		files = os.listdir(self.root + "/tmp")
		if killed:
			return "left running: " + "; ".join(commands)
		return "left behind: " + " ".join(files) if files else None

	def _logs(self):
		parts = [_tail(self.root + "/output", 120)]
		folder = self.root + "/logs"
		for name in sorted(os.listdir(folder)):
			parts.append("--- %s\n%s" % (name, _tail(folder + "/" + name, LOG_LINES)))
		return "\n".join(p for p in parts if p)


def _kill(pid):
	try:
		os.kill(pid, signal.SIGKILL)
	except ProcessLookupError:
		pass


def _tail(path, lines):
	try:
		with open(path, encoding="utf-8", errors="replace") as f:
			return "\n".join(f.read().splitlines()[-lines:])
	except OSError:
		return ""


# --- all tests

class Runner:
	def __init__(self, tests, jobs, build):
		self.waiting, self.jobs, self.build = list(tests), jobs, build
		self.running = {}		# supervisor's pid -> (test, read end of its pipe)
		self.passed = self.failed = 0
		self.stop = False

	def run(self):
		for s in (signal.SIGINT, signal.SIGTERM):
			signal.signal(s, self._on_signal)
		while self.running or (self.waiting and not self.stop):
			while self.waiting and len(self.running) < self.jobs and not self.stop:
				self._start(self.waiting.pop(0))
			self._collect()
		for test in self.waiting:
			self._show({"name": test.name, "seconds": 0, "reason": "interrupted before its start", "text": ""})
		print("%d passed, %d failed" % (self.passed, self.failed))
		return 1 if self.failed or not self.passed else 0

	def _on_signal(self, signum, frame):
		self.stop = True
		for pid in self.running:
			os.kill(pid, signal.SIGTERM)

	def _start(self, test):
		read, write = os.pipe()
		pid = os.fork()
		if pid == 0:
			os.setpgid(0, 0)	# a Ctrl-C is for the runner, which passes it on in good order
			os.close(read)
			try:
				report = json.dumps(Supervisor(test, self.build).run()).encode()
			except BaseException as e:
				report = json.dumps({"name": test.name, "seconds": 0, "reason": "supervisor: %r" % e,
				    "text": traceback.format_exc()}).encode()
			try:
				with open(write, "wb") as f:
					f.write(report)
			finally:
				os._exit(0)	# also when the runner is gone: this process must not become a second one
		os.close(write)
		self.running[pid] = (test, read)

	def _collect(self):
		try:
			pid, _ = os.waitpid(-1, os.WNOHANG)
		except ChildProcessError:
			pid = 0
		if pid not in self.running:
			# Nobody is done yet; a report longer than a pipe holds must be read before its writer can end.
			time.sleep(0.01)
			self._drain()
			return
		test, read = self.running.pop(pid)
		data = self._data.pop(read, b"") + _read_all(read)
		os.close(read)
		self._show(json.loads(data) if data else {"name": test.name, "seconds": 0,
		    "reason": "its supervisor died", "text": ""})

	_data = {}

	def _drain(self):
		for _, read in self.running.values():
			os.set_blocking(read, False)
			self._data[read] = self._data.get(read, b"") + _read_all(read)

	def _show(self, report):
		if report["reason"] is None:
			self.passed += 1
			print("ok   %s %.2fs" % (report["name"], report["seconds"]), flush=True)
			return
		self.failed += 1
		print("FAIL %s %.2fs" % (report["name"], report["seconds"]))
		print("     " + report["reason"])
		for line in report["text"].splitlines():
			print("     | " + line)
		sys.stdout.flush()


def _read_all(fd):
	data = b""
	while True:
		try:
			part = os.read(fd, 65536)
		except BlockingIOError:
			return data
		if not part:
			return data
		data += part


def main(argv=None):
	parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
	parser.add_argument("files", nargs="+")
	parser.add_argument("-j", "--jobs", type=int, default=1)
	parser.add_argument("-k", "--only", default="", help="only tests whose name matches this expression")
	parser.add_argument("--build", default=os.environ.get("BUILD", "build"), help="where our programs are")
	parser.add_argument("--list", action="store_true", help="print the names, run nothing")
	args = parser.parse_args(argv)
	tests = [t for path in args.files for t in load(path) if re.search(args.only, t.name)]
	if not tests:
		print("no test matches %r" % args.only)
		print("0 passed, 1 failed")
		return 1
	if args.list:
		print("\n".join(t.name for t in tests))
		return 0
	sys.stdout.reconfigure(errors="backslashreplace")
	return Runner(tests, max(1, args.jobs), os.path.abspath(args.build)).run()


if __name__ == "__main__":
	sys.modules["runner"] = sys.modules["__main__"]		# tests import the decorators from here
	sys.exit(main())
