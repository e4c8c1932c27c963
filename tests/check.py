#!/usr/bin/python3
"""make check: runs all tests of a build, shows one line for each part and the sum at the end.

	check.py BUILD [PART ...]

A part is a program whose last line is "N passed, M failed", or a cmocka program.  Its output is shown only when
something failed.  A part that runs no test has failed.
"""
import glob
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = sys.executable
JOBS = str(2 * (os.cpu_count() or 1))	# these tests mostly wait


def unit_parts(build):
	for path in sorted(glob.glob(build + "/tests/unit/test_*")):
		if os.access(path, os.X_OK) and "." not in os.path.basename(path):
			yield "unit " + os.path.basename(path)[5:], [path]


def conformance_parts(build):
	here = ROOT + "/tests/conformance/"
	for kind in ("route", "sanitize_alias", "tools", "mail_server"):
		yield "conformance " + kind, [build + "/tests/conformance/run", here + kind + ".jsonl"]
	for kind, tool in (("header", "header_tool"), ("address", "address_tool"), ("mime", "mime_tool"), ("from", "from_tool"), ("route", "run"),
			("server", "run")):
		yield "differential " + kind, [PYTHON, here + "diff_%s.py" % kind, build + "/tests/conformance/" + tool]


def suite_parts(build):
	yield "suite spf", [PYTHON, ROOT + "/tests/suites/spf.py", build + "/tests/suites/spf"]
	yield "suite dmarc", [build + "/tests/suites/dmarc", *sorted(glob.glob(ROOT + "/tests/data/dmarc/*.cases"))]


def fuzz_parts(build):
	for path in sorted(glob.glob(ROOT + "/tests/fuzz/fuzz_*.c")):
		name = os.path.basename(path)[5:-2]
		corpus = sorted(glob.glob(ROOT + "/tests/fuzz/corpus/%s/*" % name))
		yield "corpus " + name, [build + "/tests/fuzz/replay_" + name, *corpus]


def lab_parts(build):
	for folder in ("lab", "wire", "cli", "postfix"):
		files = sorted(glob.glob(ROOT + "/tests/%s/test_*.py" % folder))
		yield folder, [PYTHON, ROOT + "/tests/lab/runner.py", "-j", JOBS, "--build", build, *files]


def source_parts(build):
	yield "pure core", [ROOT + "/scripts/check-pure", build]


def parts(build):
	for group in (source_parts, unit_parts, conformance_parts, suite_parts, fuzz_parts, lab_parts):
		yield from group(build)


def result(output, status):
	"""(passed, failed) of a part, from the last line that says so."""
	found = re.findall(r"(\d+) passed, (\d+) failed", output)
	if found:
		passed, failed = map(int, found[-1])
	else:
		# cmocka: one line each for what passed and what failed
		passed = sum(map(int, re.findall(r"^\[  PASSED  \] (\d+) test", output, re.M)))
		failed = sum(map(int, re.findall(r"^\[  FAILED  \].*?(\d+) test\(s\)", output, re.M)))
	if status != 0 and failed == 0:
		failed = 1
	if status == 0 and passed == 0:
		failed = max(failed, 1)
	return passed, failed


def run(name, command):
	started = time.monotonic()
	done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
		cwd=ROOT, check=False)
	output = done.stdout.decode("utf-8", "replace")
	passed, failed = result(output, done.returncode)
	if failed:
		first = re.search(r"^FAIL ", output, re.M)
		print(output[first.start():][:20000] if first else output[-20000:])
	print("%-4s %-28s %5d passed, %d failed  %5.1f s" % ("FAIL" if failed else "ok", name, passed, failed,
		time.monotonic() - started), flush=True)
	return passed, failed


def main():
	build = os.path.abspath(sys.argv[1])
	wanted = sys.argv[2:]
	total = [0, 0]
	for name, command in parts(build):
		if wanted and not any(w in name for w in wanted):
			continue
		passed, failed = run(name, command)
		total[0] += passed
		total[1] += failed
	print("%d passed, %d failed" % tuple(total))
	return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
	sys.exit(main())
