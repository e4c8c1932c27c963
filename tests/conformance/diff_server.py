#!/usr/bin/python3
"""Random mails, servers and domains through the choice of a server, in C and in the model.

	diff_server.py RUN [--count N] [--seed N] [--show N]

RUN is the conformance runner.  What the model does not know (recipients, personal limits) is left to the cases.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import model  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CHUNK = 5000

DOMAINS = ["acme.example", "beta.example", "other.example", "sub.acme.example", "ACME.example", "äcme.example", "xn--cme-pla.example",
	"example", "nowhere.example", "acme.example."]
LOCALS = ["joe", "ceo", "Ceo", "notifications", "bounce", "x.y", "jörg", "JÖRG", '"quoted"', '"a@b"', '"a b"', "ann", "bounce+1-crm.lead"]
NAMES = ['"CEO"', "Joe", '"Joe, X"', "Jörg", "=?utf-8?q?J=C3=B6rg?=", "", "Odd Name", '"say \\"hi\\""', '"<x@y.example>"', '"a@b"', "(c)"]
SHAPES = ["%s <%s>", "%s <%s>", "%s <%s>", "%s %s", "%s<%s", "%s <%s> (c)", "<%s%s>", "g:%s %s;", "%s <%s"]
MARKS = list("@@,,<>()\"\\;:. ") + ["@@", " @", "a", "b", "ü", "É", "acme.example", "joe@acme.example", "smtp:", "=?utf-8?q?=C3=BC?="]


class Case:
	def __init__(self, seed, number):
		self.rnd = random.Random("%s/%s" % (seed, number))
		self.number = number

	def maybe(self, chance, value, otherwise=None):
		return value() if self.rnd.random() < chance else otherwise

	def address(self):
		shape = self.rnd.choice(["%s@%s"] * 20 + ["%s@\u00a0%s"])
		return shape % (self.rnd.choice(LOCALS), self.rnd.choice(DOMAINS))

	def soup(self):
		return "".join(self.rnd.choice(MARKS) for _ in range(self.rnd.randint(0, 8)))

	def email_from(self):
		shape = self.rnd.random()
		if shape < 0.35:
			return self.address()
		if shape < 0.7:
			return self.rnd.choice(SHAPES) % (self.rnd.choice(NAMES), self.address())
		if shape < 0.78:
			return ", ".join(self.address() for _ in range(2))
		# Python reads a header that begins with a blank differently when it comes as text, not bytes
		return self.soup().lstrip(" ") if shape < 0.98 else ""

	def entry(self):
		return self.rnd.choice([self.address, self.address, lambda: self.rnd.choice(DOMAINS), lambda: self.rnd.choice(DOMAINS),
			lambda: "X <%s>" % self.address(), self.soup, lambda: "", lambda: "*@acme.example", lambda: "@acme.example"])()

	def filter(self):
		blanks = self.rnd.choice(["%s", "%s", " %s ", "%s\u00a0"])
		return ",".join(blanks % self.entry() for _ in range(self.rnd.choice([1, 1, 1, 2, 3])))

	def server(self, number):
		row = {"id": number, "sequence": self.rnd.randint(1, 4), "active": self.rnd.random() < 0.9}
		if self.rnd.random() < 0.8:
			row["from_filter"] = self.filter()
		if self.rnd.random() < 0.15:
			row["owner"] = self.rnd.choice([2, 7])
		return row

	def domain(self, number):
		row = {"id": number, "name": self.rnd.choice(["acme.example", "beta.example", "other.example"]),
			"bounce_alias": self.rnd.choice(["bounce", "b-%d" % number]), "catchall_alias": "catchall"}
		row["default_from"] = self.rnd.choice(["notifications", "notifications", "", "hello@other.example", "Ceo", "jörg"])
		return row

	def make(self):
		rnd = self.rnd
		servers = [self.server(i) for i in range(1, rnd.randint(0, 6) + 1)]
		domains = [self.domain(i) for i in range(1, rnd.randint(0, 2) + 1)]
		cli, params = {}, {}
		for key, value in (("from_filter", self.filter), ("email_from", self.email_from)):
			if rnd.random() < 0.3:
				cli[key] = value()
		if rnd.random() < 0.2:
			params["mail.default.from_filter"] = self.filter()
		if rnd.random() < 0.1:
			params["mail.disable_personal_mail_servers"] = "1"
		case = {"op": "mail_server", "id": "server-%d" % self.number, "email_from": self.email_from(),
			"alias_domain": rnd.choice([None, 1, 2]), "config": {"alias_domains": domains, "servers": servers, "cli": cli, "params": params}}
		path = rnd.choice(["queue", "queue", "direct", "find"])
		if path != "queue":
			case["path"] = path
		if rnd.random() < 0.4:
			case["user"] = rnd.choice([2, 7])
		if rnd.random() < 0.3:
			case["headers"] = {"Return-Path": rnd.choice([self.email_from, self.address, lambda: ""])()}
		common = [s for s in servers if not s.get("owner")]
		if path != "find" and common and rnd.random() < 0.1:
			case["mail_server"] = rnd.choice(common)["id"]
		return case


class Warnings:
	"""Notes whether the model's search fell back, as Odoo logs it."""
	def __init__(self):
		self.search, self.any = model.find_server, False
		model.find_server = self

	def __call__(self, servers, sender, notif, default_filter):
		norm = model.normalize(sender or "")
		if norm and model.domain_of(norm) is None:
			raise ValueError("for Odoo no domain equals a filter that is no domain; for Postern it equals none")
		nobody = {"id": "nobody"}
		hit, _sender = self.search(servers + [nobody], sender, notif, default_filter)
		if any(not s.get("owner") for s in servers):
			self.any = self.any or hit is nobody
		elif hit is nobody:
			self.any = self.any or not (model.matches_filter(sender, default_filter)
				or (notif and model.matches_filter(notif, default_filter)))
		return self.search(servers, sender, notif, default_filter)


def is_envelope(address):
	"""Postern asks more of an envelope sender than Odoo's pattern does."""
	return address and len(address.encode()) <= 320 and not any(c <= " " or c in "<>\x7f" for c in address)


def expect(case, warnings):
	warnings.any = False
	found = model.predict_server(case)
	if found is None:
		return {"state": "exception", "sent": []}
	if case.get("path") == "find":
		return {"server": found[0], "smtp_from": found[1] or None}
	if not is_envelope(found[1]):
		return {"state": "exception", "failure_type": "mail_from_invalid", "sent": []}
	if found[2] == "None":
		raise ValueError("Odoo asks for a From")
	out = {"state": "sent", "sent": [dict(zip(("server", "smtp_from", "header_from"), found))]}
	if warnings.any:
		out["fallback_warning"] = True
	return out


class Runner:
	def __init__(self, run):
		self.run = os.path.abspath(run)
		self.folder = tempfile.mkdtemp(prefix="diff_server.")
		for name in ("models.json", "worlds.json"):
			shutil.copy(os.path.join(HERE, name), self.folder)

	def close(self):
		shutil.rmtree(self.folder)

	def ask(self, cases):
		"""{id: [what differs]}"""
		path = os.path.join(self.folder, "cases.jsonl")
		with open(path, "w", encoding="utf-8") as fh:
			fh.writelines(json.dumps(c) + "\n" for c in cases)
		done = subprocess.run([self.run, path], capture_output=True, check=False)
		lines = done.stdout.decode("utf-8", "replace").splitlines()
		if done.returncode not in (0, 1) or not lines or not lines[-1].startswith("cases: "):
			raise SystemExit("the runner ended with %d\n%s" % (done.returncode, done.stderr.decode("utf-8", "replace")[-3000:]))
		out = {}
		for line in lines[:-1]:
			name, _blank, rest = line.partition(" ")
			out.setdefault(name, []).append(rest)
		return out


def main():
	parser = argparse.ArgumentParser()
	parser.add_argument("run")
	parser.add_argument("--count", type=int, default=3000)
	parser.add_argument("--seed", type=int, default=1)
	parser.add_argument("--show", type=int, default=5)
	args = parser.parse_args()
	runner, warnings = Runner(args.run), Warnings()
	passed = failed = unknown = 0
	for start in range(0, args.count, CHUNK):
		cases = []
		for number in range(start, min(start + CHUNK, args.count)):
			case = Case(args.seed, number).make()
			try:
				case["expect"] = expect(case, warnings)
				cases.append(case)
			except Exception:  # noqa: BLE001  the model cannot be asked this
				unknown += 1
		found = runner.ask(cases)
		for case in (c for c in cases if c["id"] in found):
			failed += 1
			if failed <= args.show:
				print(json.dumps({k: v for k, v in case.items() if k != "expect"}, ensure_ascii=False), *found[case["id"]], sep="\n   ")
		passed += len(cases) - sum(c["id"] in found for c in cases)
	runner.close()
	print("the model has no answer: %d" % unknown)
	print("diff_server: %d passed, %d failed" % (passed, failed))
	return failed > 0


if __name__ == "__main__":
	sys.exit(main())
