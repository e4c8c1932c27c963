#!/usr/bin/python3
"""make suite-spf: runs a suite in the openspf format on our evaluator.

	spf.py TOOL [SUITE.yml]

Without SUITE the one for RFC 7208 is taken from Debian's package of pyspf.  A test passes with its preferred
result, the first where several are given, and with its explanation.  The suite becomes a file of cases for TOOL.
"""
import glob
import gzip
import os
import shutil
import subprocess
import sys
import tempfile

import yaml

INSTALLED = "/usr/share/doc/python3-spf/rfc7208-tests.yml.gz"


def debian_suite(folder):
	"""The suite in the binary package python3-spf, installed or fetched; None when it cannot be had."""
	path = INSTALLED
	if not os.path.exists(path) and shutil.which("apt-get"):
		subprocess.run(["apt-get", "download", "-qq", "python3-spf"], cwd=folder, check=False,
			stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		for package in glob.glob(folder + "/*.deb"):
			subprocess.run(["dpkg-deb", "-x", package, folder], check=False)
		path = folder + INSTALLED
	if not os.path.exists(path):
		return None
	with gzip.open(path, "rb") as f:
		return f.read()


def word(value):
	"""A word of a case; characters of the suite are bytes."""
	text = str(value)
	data = text.encode("latin-1") if all(ord(c) < 256 for c in text) else text.encode()
	return '"%s"' % "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else "\\%03d" % b for b in data)


def record(name, kind, value):
	values = value if isinstance(value, list) else [value]
	return " ".join([word(name), kind, *map(word, values)])


def zone(data):
	yield "zone"
	for name, entries in data.items():
		types = {t for e in entries if isinstance(e, dict) for t in e}
		for entry in entries:
			if not isinstance(entry, dict):
				yield "%s %s" % (word(name), entry)
				continue
			for kind, value in entry.items():
				# The obsolete type SPF stands for TXT, where there is no TXT.
				if kind == "SPF" and "TXT" not in types:
					yield record(name, "TXT", value)
				elif kind != "SPF" and value != "NONE":
					yield record(name, kind, value)


def check(name, test):
	result = test["result"][0] if isinstance(test["result"], list) else test["result"]
	line = ["check"] + [word(w) for w in (name, test["host"], test["helo"], test["mailfrom"], result)]
	if "explanation" in test:
		line.append(word("exp=" + ("" if test["explanation"] == "DEFAULT" else test["explanation"])))
	return " ".join(line)


def main():
	tool, suite = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
	with tempfile.TemporaryDirectory() as folder:
		if suite:
			with open(suite, "rb") as f:
				text = f.read()
		else:
			text = debian_suite(folder)
		if text is None:
			print("suite-spf: apt cannot fetch python3-spf, which holds the suite; give one by SUITE=FILE.yml")
			return 2
		cases = folder + "/suite.cases"
		with open(cases, "w", encoding="ascii") as f:
			# Every scalar is text: an address is no number.
			for section in filter(None, yaml.load_all(text, Loader=yaml.BaseLoader)):
				f.writelines(line + "\n" for line in zone(section["zonedata"]))
				f.writelines(check(name, test) + "\n" for name, test in section["tests"].items())
		return subprocess.run([tool, cases], check=False).returncode


if __name__ == "__main__":
	sys.exit(main())
