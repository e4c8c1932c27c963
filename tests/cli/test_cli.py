"""The command postern, really run: what it prints, what it changes, and what it exits with."""

import ctypes
import glob
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess

from lab import *

CONF = """\
state_directory = "%(dir)s/state"
milter_socket = "unix:%(dir)s/milter.sock"
map_socket = "unix:%(dir)s/map.sock"
policy_socket = ""
dmarc = off
socket_group = ""
state_map_size = 256M
directory_map_size = 256M
%(globals)s
gateway "online" {
	target = "redirect to acme.odoo.test"
	complete = yes
	mail.gateway.loop.threshold = 5
	logins = {"odoo"}
}
gateway "second" {
	target = "redirect to inbox@other.odoo.test"
	logins = {"other"}
}
domain "acme.test" {
	gateway = online
	human = "joe@people.test"
	unknown = reject
}
domain "beta.test" {
	gateway = second
}
alias "sales@acme.test" { model = crm.lead }
alias "jobs@acme.test" { model = hr.applicant }
alias "info@beta.test" { model = crm.lead }
%(more)s
"""

MAIL = "From: Ann <ann@x.test>\nTo: %(to)s\nMessage-ID: <1@x.test>\nSubject: hello\n%(more)s\nBody\n"

DSN = """\
From: MAILER-DAEMON@x.test
To: bounce@acme.test
Message-ID: <dsn@x.test>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

It did not work.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; x.test

Final-Recipient: rfc822; gone@x.test
Action: failed
Status: 5.1.1

--b--
"""

# Every page of the manual has them, in this order.
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]


class Site:
	"""A configuration and a state of its own."""

	def __init__(self, ctx, more="", globals=""):
		self.ctx, self.dir = ctx, ctx.tmp
		self.conf = ctx.tmp + "/postern.conf"
		self.state = ctx.tmp + "/state"
		os.makedirs(self.state, exist_ok=True)
		self.configure(more, globals)

	def configure(self, more="", globals=""):
		with open(self.conf, "w", encoding="utf-8") as f:
			f.write(CONF % {"dir": self.dir, "more": more, "globals": globals})

	def __call__(self, *args, code=0, **options):
		r = run(self.ctx.program("postern"), "-c", self.conf, *args, **options)
		assert r.returncode == code, (args, r.returncode, r.stdout, r.stderr)
		return r

	def json(self, *args, code=0, **options):
		return json.loads(self(*args, "--json", code=code, **options).stdout)

	def seed(self, *args):
		run(self.ctx.program("tests/cli/seed"), self.state, *map(str, args), check=0)

	def mail(self, text, name="mail.eml"):
		path = self.dir + "/" + name
		with open(path, "wb") as f:
			f.write(text if isinstance(text, bytes) else text.encode())
		return path

	def explain(self, text, *to, sender="ann@x.test", options=()):
		args = [a for t in to for a in ("--to", t)]
		return self.json("explain", self.mail(text), "--from", sender, *args, *options)


def rows(text):
	"""A table as lists of words, without the title."""
	return [line.split() for line in text.splitlines()[1:]]


# --- the frame: help, options, exit codes

@cases(
	("no command", [], 64, "which command"),
	("unknown command", ["alises"], 64, 'is it "aliases"'),
	("a beginning of a name", ["explai"], 64, 'is it "explain"'),
	("nothing like it", ["zzzzzzzz"], 64, 'no command "zzzzzzzz"'),
	("controls are not echoed", ["\x1b[31m"], 64, "\\x1b[31m"),
	("unknown option", ["stats", "--wrong"], 64, "no option --wrong"),
	("option without value", ["threads", "--limit"], 64, "--limit needs a value"),
	("option with a bad number", ["threads", "--limit", "x"], 64, "takes a number"),
	("a flag with a value", ["stats", "--prometheus=1"], 64, "takes no value"),
	("too many operands", ["stats", "x"], 64, "too many operands: x"),
	("missing operand", ["explain", "--from", "a@b", "--to", "c@d"], 64, "operand is missing"),
	("explain without a sender", ["explain", "-", "--to", "c@d"], 64, "--from and --to"),
	("explain without a file", ["explain", "/nonexistent", "--from", "a@b", "--to", "c@d"], 66, "No such file"),
	("explain a folder", ["explain", "/", "--from", "a@b", "--to", "c@d"], 66, "Is a directory"),
	("unknown gateway", ["threads", "wrong"], 64, "there are: online, second"),
	("unknown word behind aliases", ["aliases", "drop"], 64, 'no "drop" here'),
	("find needs an address", ["aliases", "find"], 64, "which address"),
	("clear needs a sender", ["loops", "clear"], 64, "a sender, or --all"),
	("clear of one and all", ["loops", "clear", "a@b", "--all"], 64, "a sender, or --all"),
	("retire needs two", ["retire", "a@acme.test"], 64, "OLD and NEW"),
	("retire of a foreign domain", ["retire", "a@foreign.test", "sales@acme.test"], 64, "not configured"),
	("retire of no address", ["retire", "a", "sales@acme.test"], 64, "no address"),
	("retire of an alias", ["retire", "jobs@acme.test", "sales@acme.test"], 65, "is the address of an alias"),
	("help of an unknown command", ["help", "wrong"], 64, 'no command "wrong"'),
)
def test_misuse(ctx, args, code, text):
	s = Site(ctx)
	s("aliases", "apply")
	r = s(*args, code=code)
	assert text in r.stderr and r.stderr.startswith("postern: ") and r.stdout == "", (r.stdout, r.stderr)


def commands(ctx):
	text = run(ctx.program("postern"), "help", check=0).stdout
	found = re.findall(r"^  (\S+)\s{2,}\S", text, re.M)
	assert len(found) >= 11 and found == sorted(found), found
	return found


def test_every_command_has_help(ctx):
	for name in commands(ctx):
		r = run(ctx.program("postern"), name, "--help", check=0)
		assert r.stdout.startswith("usage: postern %s" % name) and r.stderr == "", r.stdout
		assert run(ctx.program("postern"), "help", name, check=0).stdout == r.stdout or name == "help"
	assert "usage:" in run(ctx.program("postern"), "--help", check=0).stdout
	assert run(ctx.program("postern"), "--version", check=0).stdout.startswith("postern ")


def test_config_option_before_and_behind(ctx):
	s = Site(ctx)
	before = s("aliases", "find", "sales@acme.test").stdout
	behind = run(ctx.program("postern"), "aliases", "-c", s.conf, "find", "sales@acme.test", check=0).stdout
	joined = run(ctx.program("postern"), "aliases", "find", "sales@acme.test", "--config=" + s.conf, check=0).stdout
	assert before == behind == joined


@cases(("missing", None), ("broken", "gatewy x"), ("unknown key", "colour = red\n"))
def test_a_bad_configuration_is_78(ctx, text):
	conf = ctx.tmp + "/bad.conf"
	if text is not None:
		with open(conf, "w") as f:
			f.write(text)
	for command in (["stats"], ["aliases"], ["config"], ["explain", "-", "--from", "a@b", "--to", "c@d"],
	    ["postfix-conf"], ["loops", "list"]):
		r = run(ctx.program("postern"), "-c", conf, *command, data="x", check=78)
		assert "bad.conf" in r.stderr, r.stderr


def test_full_disk_and_closed_pipe(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	command = [ctx.program("postern"), "-c", s.conf, "aliases", "list"]
	with open("/dev/full", "w") as full:
		r = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
	assert r.returncode == 74 and "No space left" in r.stderr, (r.returncode, r.stderr)
	reader, writer = os.pipe()
	os.close(reader)
	r = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, restore_signals=False)
	os.close(writer)
	assert r.stderr == "" and r.returncode in (0, -13), (r.returncode, r.stderr)


# --- config

def test_config(ctx):
	s = Site(ctx)
	text = s("config", "-n").stdout
	assert 'gateway "online" {' in text and "mail.gateway.loop.threshold = 5" in text
	assert s("config").stdout == text
	defaults = s("config", "-d").stdout
	assert "state_directory = /var/lib/postern" in defaults and "twin_lease = 60s" in defaults
	with open(ctx.path("postfix-conf/postern.conf.sample")) as f:
		assert s("config", "--sample").stdout == f.read()
	s("config", "-n", "-d", code=64)


# --- aliases

def test_aliases(ctx):
	s = Site(ctx)
	# nothing applied yet: the configuration answers, and nothing is left behind
	os.mkdir(ctx.tmp + "/scratch")
	r = s("aliases", env={"TMPDIR": ctx.tmp + "/scratch"})
	assert "no state" in r.stderr and len(rows(r.stdout)) == 3
	assert not os.listdir(s.state) and not os.listdir(ctx.tmp + "/scratch")
	assert "TMPDIR" in s("aliases", code=69, env={"TMPDIR": ctx.tmp + "/nowhere"}).stderr
	assert s("aliases", "apply").stdout == "aliases: 3 added, 0 changed, 0 removed\n"
	assert s.json("aliases", "apply") == {"added": 0, "changed": 0, "removed": 0}
	listed = s.json("aliases", "list")
	assert [a["address"] for a in listed] == ["jobs@acme.test", "sales@acme.test", "info@beta.test"], listed
	assert listed[1] == {"gateway": "online", "address": "sales@acme.test", "model": "crm.lead",
	    "contact": "everyone", "record": 0, "owner": "", "any_domain": "no", "source": "config"}, listed[1]
	assert [a["address"] for a in s.json("aliases", "list", "second")] == ["info@beta.test"]
	s.configure(more='alias "new@acme.test" { model = crm.lead contact = followers parent_model = crm.team parent_id = 3 }')
	assert s("aliases", "apply").stdout == "aliases: 1 added, 0 changed, 0 removed\n"
	table = rows(s("aliases", "list", "online").stdout)
	assert ["online", "new@acme.test", "crm.lead", "followers", "0", "crm.team", "3", "no", "config"] in table, table


def test_a_long_table_flows(ctx):
	s = Site(ctx, more="".join('alias "a%04d@acme.test" { model = crm.lead }\n' % i for i in range(1200)))
	s("aliases", "apply")
	lines = s("aliases", "list", "online").stdout.splitlines()
	assert len(lines) == 1203 and len({line.index("crm.lead") for line in lines[1:] if "crm.lead" in line}) == 1
	assert len(s.json("aliases", "list", "online")) == 1202


@cases(
	("alias", "sales@acme.test", 0, {"kind": "alias", "answer": "ours", "gateway": "online", "model": "crm.lead"}),
	("upper case", "SALES@Acme.TEST", 0, {"kind": "alias", "address": "sales@acme.test"}),
	("catchall", "catchall@acme.test", 0, {"kind": "catchall"}),
	("bounce", "bounce@beta.test", 0, {"kind": "bounce", "gateway": "second"}),
	("role", "postmaster@acme.test", 0, {"kind": "role", "human": "joe@people.test"}),
	("unknown, refused", "nobody@acme.test", 1, {"kind": "unknown", "answer": "reject"}),
	("unknown, handed over", "nobody@beta.test", 0, {"kind": "unknown", "answer": "ours"}),
	("foreign", "a@foreign.test", 1, {"kind": "foreign", "answer": "pass"}),
	("retired", "old@acme.test", 0, {"kind": "retired", "successor": "sales@acme.test"}),
)
def test_find(ctx, address, code, expected):
	s = Site(ctx)
	s("aliases", "apply")
	s("retire", "old@acme.test", "sales@acme.test")
	found = s.json("aliases", "find", address, code=code)
	assert expected.items() <= found.items(), found
	text = s("aliases", "find", address, code=code).stdout
	assert all(re.search(r"^%s +%s$" % (k, re.escape(v)), text, re.M) for k, v in found.items()), text


def test_find_no_address(ctx):
	assert Site(ctx)("aliases", "find", "a@b@", code=65).stderr.startswith("postern: ")


# --- threads, bounces, loops, retire, stats

def test_threads(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	s.seed("threads", "online", 3000)
	s.seed("thread", "second", "<in@x>", "crm.lead", 0, "inbound")
	assert len(rows(s("threads").stdout)) == 100
	newest = s.json("threads", "--limit", "2")
	assert [t["message_id"] for t in newest] == ["<in@x>", "<3000@odoo>"], newest
	assert newest[0]["origin"] == "inbound" and newest[1]["record"] == 3000
	assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", newest[0]["seen"])
	every = s.json("threads", "online", "--limit", "0")
	assert [t["record"] for t in every] == list(range(3000, 0, -1))
	assert s.json("threads", "--id", "17@odoo")[0]["record"] == 17
	assert s.json("threads", "--id", "<17@odoo>", "online")[0]["record"] == 17
	assert s.json("threads", "--id", "<17@odoo>", "second", code=1) == []
	s("threads", "--id", "<none@odoo>", code=1)


def test_bounces(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	assert s.json("bounces", "list") == []
	s.seed("bounce", "online", "gone@x.test", "5.1.1", "no such user")
	s.seed("bounce", "second", "full@x.test", "5.2.2", "mailbox \x1b[2J full")
	assert [b["recipient"] for b in s.json("bounces", "list")] == ["full@x.test", "gone@x.test"]
	assert [b["recipient"] for b in s.json("bounces", "list", "--limit", "1")] == ["full@x.test"]
	only = s.json("bounces", "list", "online")
	assert len(only) == 1 and only[0]["status"] == "5.1.1" and only[0]["reason"] == "no such user", only
	text = s("bounces", "list").stdout
	assert "\x1b" not in text and "mailbox \\x1b[2J full" in text, text
	s("bounces", code=64)


def test_loops(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	s.seed("count", "online", "ann@x.test", "crm.lead", "", 5)
	s.seed("count", "online", "bob@x.test", "crm.lead", "42", 2)
	s.seed("count", "second", "ann@x.test", "crm.lead", "", 1)
	listed = s.json("loops", "list")
	assert [(w["gateway"], w["sender"], w["record"], w["count"], w["full"]) for w in listed] == [
		("online", "ann@x.test", "new", 5, "yes"), ("online", "bob@x.test", "42", 2, "no"),
		("second", "ann@x.test", "new", 1, "no")], listed
	assert len(rows(s("loops", "list").stdout)) == 3
	assert [w["gateway"] for w in s.json("loops", "list", "ann@x.test", "--gateway", "second")] == ["second"]
	# an hour later they are still there, after three they are not counted
	later = s.json("loops", "list", env={"POSTERN_CLOCK_OFFSET": "10800"})
	assert [w["count"] for w in later] == [0, 0, 0] and later[0]["full"] == "no", later
	assert s.json("loops", "clear", "ann@x.test", "--gateway", "online") == {"cleared": 1}
	assert len(s.json("loops", "list")) == 2
	s("loops", "clear", "nobody@x.test", code=1)
	assert s("loops", "clear", "--all").stdout == "2 windows cleared\n"
	assert s.json("loops", "list") == []


def test_retire(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	assert s("retire", "Old@Acme.test", "sales@acme.test").stderr == ""
	assert "is no alias" in s("retire", "older@acme.test", "nothing@acme.test").stderr
	listed = s.json("retire", "--list")
	assert [(r["address"], r["successor"]) for r in listed] == [("old@acme.test", "sales@acme.test"),
	    ("older@acme.test", "nothing@acme.test")], listed
	s("retire", "--end", "old@acme.test")
	s("retire", "--end", "old@acme.test", code=1)
	assert len(s.json("retire", "--list")) == 1


def test_stats(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	s.seed("thread", "online", "<a@x>", "crm.lead", 1, "outbound")
	s.seed("counter", "mails", 7)
	s.seed("counter", "verdict_hand_over_loop_new", 3)
	s.seed("counter", "verdict_accept_alias", 4)
	stats = s.json("stats")
	assert stats["sizes"]["aliases"] == 3 and stats["sizes"]["threads"] == 1
	assert stats["counters"] == {"mails": 7, "verdict_hand_over_loop_new": 3, "verdict_accept_alias": 4}
	assert re.search(r"^mails +7$", s("stats").stdout, re.M)
	text = s("stats", "--prometheus").stdout
	assert 'postern_verdicts_total{action="hand_over",rule="loop_new"} 3\n' in text
	assert "postern_mails_total 7\n" in text and "postern_aliases 3\n" in text
	assert text.count("# TYPE postern_verdicts_total counter") == 1
	for line in text.splitlines():
		assert re.fullmatch(r"# (HELP|TYPE) \S+ .+|[a-z_]+(\{[a-z]+=\"[a-z_]+\",[a-z]+=\"[a-z_]+\"\})? \d+", line), line


def test_state_that_cannot_be_opened(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	with open(s.state + "/directory/data.mdb", "wb") as f:
		f.write(b"no such thing" * 1000)
	for command in (["stats"], ["aliases", "list"], ["loops", "list"], ["aliases", "apply"]):
		r = s(*command, code=69)
		assert "state/directory" in r.stderr, r.stderr
	report = s.json("check", "--no-postfix", code=1)
	assert [f for f in report["findings"] if f["level"] == "error" and f["about"] == "state" and f["remedy"]]


# --- explain

def redirects(answer):
	return [c["text"] for c in answer["changes"] if c["change"] == "add_recipient"]


def test_explain_alias(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	e = s.explain(MAIL % {"to": "sales@acme.test", "more": ""}, "sales@acme.test")
	part = e["gateways"][0]
	assert e["state"] == "live" and not e["drift"] and e["action"] == "accept" and e["answer"] == "250"
	assert (part["verdict"], part["rule"], part["outcome"]) == ("accept", "alias", "routed")
	assert part["line"] == "gateway=online verdict=accept rule=alias route=crm.lead:new"
	assert part["routes"] == [{"model": "crm.lead", "new": True, "alias": "sales@acme.test"}]
	assert redirects(e) == ["sales@acme.odoo.test"]
	assert {"change": "delete_recipient", "text": "sales@acme.test"} in e["changes"]
	assert part["windows"][0]["count"] == 0 and part["windows"][0]["threshold"] == 5
	assert part["steps"] and part["not_known"] == []
	text = s("explain", s.dir + "/mail.eml", "--from", "ann@x.test", "--to", "sales@acme.test").stdout
	assert "gateway=online verdict=accept rule=alias route=crm.lead:new\n" in text
	assert "change      add recipient <sales@acme.odoo.test>" in text and "0 of 5 in 120 minutes" in text, text
	# nothing was written
	assert s.json("stats")["sizes"]["windows"] == 0 and s.json("stats")["sizes"]["leases"] == 0


def test_explain_reply(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	mail = MAIL % {"to": "catchall@acme.test", "more": "In-Reply-To: <sent@acme>\n"}
	e = s.explain(mail, "catchall@acme.test")
	assert e["gateways"][0]["verdict"] == "hand_over" and e["gateways"][0]["not_known"] == ["thread"], e
	s.seed("thread", "online", "<sent@acme>", "crm.lead", 42, "outbound")
	e = s.explain(mail, "catchall@acme.test")
	part = e["gateways"][0]
	assert (part["verdict"], part["rule"]) == ("accept", "reply")
	assert part["routes"] == [{"model": "crm.lead", "record": 42, "new": False}], part
	assert redirects(e) == ["catchall@acme.odoo.test"]


@cases(
	("catchall", {"to": "catchall@acme.test"}, ["catchall@acme.test"], "refuse", "catchall_direct", "550 5.7.1"),
	("answer to a loop notice", {"to": "sales@acme.test",
	    "more": "In-Reply-To: <1-loop-detection-bounce-email@acme>\n"}, ["sales@acme.test"], "discard", "loop_headers",
	    "250, and thrown away"),
	("unknown where all is known", {"to": "catchall@acme.test, sales@acme.test"}, ["catchall@acme.test"], "accept",
	    "alias", "250"),
	("unknown, handed over", {"to": "nobody@beta.test"}, ["nobody@beta.test"], "hand_over", "unknown_address", "250"),
	("own stamp", {"to": "sales@acme.test", "more": "X-Postern-Stamp: gate.test/online\n"}, ["sales@acme.test"], "refuse",
	    "stamp", "554 5.4.6"),
	("unreadable", {"to": "sales@acme.test", "more": "Content-Type: text/plain; charset=no-such\n"}, ["sales@acme.test"],
	    "hand_over", "parse", "250"),
)
def test_explain_verdicts(ctx, mail, to, verdict, rule, answer):
	s = Site(ctx, globals='hostname = "gate.test"')
	s("aliases", "apply")
	e = s.explain(MAIL % dict({"more": ""}, **mail), *to)
	part = e["gateways"][0]
	assert (part["verdict"], part["rule"]) == (verdict, rule), part
	assert e["answer"].startswith(answer), e["answer"]
	if answer[0] in "45" or verdict == "discard":
		assert e["changes"] == []


@cases(
	("no client", "mark", [], None, "dmarc +not looked at, nor SPF and DKIM: no --client"),
	("a client", "mark", ["--client", "192.0.2.1"], {"spf": "temperror", "dmarc": "temperror"}, "spf +temperror"),
	("outbound", "mark", ["--outbound"], None, ""),
	("nobody wants to know", "off", [], None, ""))
def test_explain_says_whether_the_sender_was_looked_at(ctx, dmarc, options, expected, line):
	s = Site(ctx, globals='dns_servers = {"127.0.0.1@%d"}\ndns_timeout = 1s' % free_port())
	text = open(s.conf).read().replace("dmarc = off", "dmarc = " + dmarc)
	with open(s.conf, "w") as f:
		f.write(text)
	s("aliases", "apply")
	mail = MAIL % {"to": "sales@acme.test", "more": ""}
	assert s.explain(mail, "sales@acme.test", options=options)["authentication"] == expected
	told = s("explain", s.mail(mail), "--from", "ann@x.test", "--to", "sales@acme.test", *options).stdout
	found = re.search(r"^(spf|dkim|dmarc) .*$", told, re.M)
	assert re.match(line, found.group(0)) if line else found is None, told


def test_explain_unknown_recipient_is_refused_at_rcpt(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	e = s.explain(MAIL % {"to": "nobody@acme.test", "more": ""}, "nobody@acme.test")
	assert e["recipients"][0]["refused"] == "550 5.1.1 no such address" and e["action"] == "none"
	assert e["gateways"] == [] and "no recipient was accepted" in e["answer"]
	# sendmail(1) cannot be refused
	e = s.explain(MAIL % {"to": "nobody@acme.test", "more": ""}, "nobody@acme.test", options=["--sendmail"])
	assert "refused" not in e["recipients"][0] and redirects(e) == ["nobody@acme.odoo.test"], e


def test_explain_bounce(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	e = s.explain(DSN, "bounce@acme.test", sender="<>")
	part = e["gateways"][0]
	assert e["sender"] == "" and e["automatic"] and (part["verdict"], part["rule"]) == ("accept", "is_bounce")
	assert redirects(e) == ["bounce@acme.odoo.test"]
	assert s.json("bounces", "list") == []


def test_explain_several_gateways(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	e = s.explain(MAIL % {"to": "sales@acme.test, info@beta.test", "more": ""}, "sales@acme.test", "info@beta.test",
	    "joe@foreign.test")
	assert [(p["gateway"], p["rule"]) for p in e["gateways"]] == [("online", "alias"), ("second", "alias")]
	assert redirects(e) == ["sales@acme.odoo.test", "inbox@other.odoo.test"]
	assert [r["kind"] for r in e["recipients"]] == ["alias", "alias", "foreign"]


def test_explain_separate(ctx):
	s = Site(ctx, globals="mixed = separate")
	s("aliases", "apply")
	e = s.explain(MAIL % {"to": "sales@acme.test, info@beta.test", "more": ""}, "sales@acme.test", "info@beta.test")
	assert "refused" not in e["recipients"][0] and e["recipients"][1]["refused"].startswith("452 4.5.3")
	assert len(e["gateways"]) == 1


@cases(("as it is", "sales@acme.test"), ("with a dot at its end", "sales@acme.test."))
def test_explain_bcc(ctx, to):
	s = Site(ctx)
	s("aliases", "apply")
	e = s.explain(MAIL % {"to": "friends@x.test", "more": ""}, to)
	assert e["gateways"][0]["delivered_to"] == ["sales@acme.test"] and e["gateways"][0]["rule"] == "alias"
	assert {"change": "insert_header", "name": "Delivered-To", "text": "sales@acme.test"} in e["changes"]
	text = s("explain", s.dir + "/mail.eml", "--from", "ann@x.test", "--to", to).stdout
	assert "change      insert header Delivered-To: sales@acme.test\n" in text


def test_explain_full_window(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	mail = MAIL % {"to": "sales@acme.test", "more": ""}
	s.seed("count", "online", "ann@x.test", "crm.lead", "", 4)
	e = s.explain(mail, "sales@acme.test")
	assert e["gateways"][0]["verdict"] == "accept" and e["gateways"][0]["windows"][0]["count"] == 4
	s.seed("count", "online", "ann@x.test", "crm.lead", "", 1)
	e = s.explain(mail, "sales@acme.test")
	assert (e["gateways"][0]["verdict"], e["gateways"][0]["rule"]) == ("defer", "loop_new"), e["gateways"]
	assert e["answer"].startswith("451 4.7.1") and e["changes"] == [] and e["gateways"][0]["windows"][0]["full"]
	assert "5 of 5 in 120 minutes, full" in s("explain", s.dir + "/mail.eml", "--from", "ann@x.test", "--to",
	    "sales@acme.test").stdout


def test_explain_outbound(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	mail = "From: sales@acme.test\nTo: ann@x.test\nMessage-ID: <9-openerp-7-crm.lead@acme>\nX-Odoo-Objects: crm.lead-7\n\nx\n"
	e = s.explain(mail, "ann@x.test", sender="bounce@acme.test", options=["--outbound"])
	assert e["learned"] == 1 and e["gateways"] == [] and e["action"] == "accept"
	assert s.explain(mail, "ann@x.test", sender="bounce@acme.test")["learned"] == 0
	assert s.json("threads") == []


@cases(("unchanged", "bounce@acme.test", []), ("changed", "jo@else.test", ["<sales@acme.test>"]))
def test_explain_names_a_sender_that_is_new(ctx, sender, expected):
	s = Site(ctx, 'relay "r" { host = "r.example"  from_filter = {"acme.test"} }')
	path = s.mail("From: sales@acme.test\nTo: ann@x.test\nMessage-ID: <9@acme>\n\nx\n")
	told = s("explain", path, "--from", sender, "--to", "ann@x.test", "--outbound").stdout
	assert "outbound" in told and re.findall(r"new sender +(\S+)", told) == expected, told


def test_explain_without_state(ctx):
	s = Site(ctx)
	r = s("explain", s.mail(MAIL % {"to": "sales@acme.test", "more": ""}), "--from", "a@x.test", "--to", "sales@acme.test")
	assert "no state" in r.stderr and "rule=alias" in r.stdout and "the configuration alone" in r.stdout
	assert not os.listdir(s.state)


def test_explain_tells_of_drift(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	s.configure(more='alias "late@acme.test" { model = crm.lead }')
	e = s.explain(MAIL % {"to": "late@acme.test", "more": ""}, "late@acme.test")
	assert e["drift"] and e["recipients"][0]["kind"] == "unknown"


def test_explain_reads_standard_input_and_anything(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	args = ["explain", "-", "--from", "a@x.test", "--to", "sales@acme.test"]
	assert "rule=alias" in s(*args, data=MAIL % {"to": "sales@acme.test", "more": ""}).stdout
	for name, data in (("empty", b""), ("no header", b"just text"), ("binary", bytes(range(256)) * 400),
	    ("a header of a megabyte", b"X: " + b"x" * 1000000 + b"\n\nBody"), ("10,000 recipients",
	    b"To: " + b", ".join(b"u%d@x.test" % i for i in range(10000)) + b"\n\nBody"),
	    ("escapes", b"From: \x1b]0;x\x07 <a@x.test>\nMessage-ID: <\x1b[2J@x>\n\n")):
		r = s(*args, data=data)
		assert "verdict=" in r.stdout and "\x1b" not in r.stdout, (name, r.stdout)
		json.loads(s(*args, "--json", data=data).stdout)
	big = s(*args, data=b"X: " + b"x" * 2000000 + b"\n\nBody").stdout
	assert "rule=limit" in big, big


# --- check

def findings(report, level=None, about=None):
	return [f["text"] for f in report["findings"] if level in (None, f["level"]) and about in (None, f["about"])]


def has(report, level, text, remedy=""):
	found = [f for f in report["findings"] if f["level"] == level and text in f["text"] and remedy in f["remedy"]]
	assert found, "no %s with %r and %r in\n%s" % (level, text, remedy, json.dumps(report["findings"], indent=1))


def hasnt(report, text):
	assert not [f for f in report["findings"] if f["level"] != "ok" and text in f["text"]], report["findings"]


def test_check_bad_configuration(ctx):
	s = Site(ctx, more='alias "x@nowhere.test" { model = crm.lead }\ncolour = red')
	report = s.json("check", "--no-postfix", code=1)
	assert report["errors"] == len(findings(report, "error", "config")) >= 2, report


def test_check_state_and_aliases(ctx):
	s = Site(ctx)
	report = s.json("check", "--no-postfix", code=1)
	has(report, "warning", "there is no state yet", "start postern-milter")
	has(report, "error", "nobody listens at %s/milter.sock" % s.dir, "start postern-milter")
	has(report, "ok", "no domain needs it")
	s("aliases", "apply")
	hasnt(s.json("check", "--no-postfix", code=1), "does not follow")
	s.configure(more='alias "lost@acme.test" { model = crm.lead contact = followers }\n'
	    'alias "dead@acme.test" { model = x_no.mail }\nmodel "x_no.mail" { creates = no }\n')
	s.seed("alias", "second", "synced@beta.test", "crm.lead", 2)
	s.seed("counter", "verdict_defer_alias_invalid", 6)
	s.seed("counter", "store_errors", 2)
	report = s.json("check", "--no-postfix", code=1)
	has(report, "warning", "2 aliases are missing, 0 differ, 0 are too many", "postern aliases apply")
	has(report, "error", "lost@acme.test (crm.lead) of gateway online is misconfigured", "parent_model")
	has(report, "error", "dead@acme.test (x_no.mail)", "model that takes mail")
	has(report, "error", "synced@beta.test", "parent_model")
	has(report, "warning", "6 mails met a misconfigured alias")
	has(report, "warning", "2 times something could not be stored")
	shutil.rmtree(s.state)
	has(s.json("check", "--no-postfix", code=1), "error", "No such file", "install -d")


def test_check_damaged_state(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	hasnt(s.json("check", "--no-postfix", code=1), "damaged")
	with open(s.state + "/state/data.mdb.damaged", "w"):
		pass
	has(s.json("check", "--no-postfix", code=1), "warning", "a power cut damaged the state", "delete " + s.state + "/state/data.mdb.damaged")


@cases(
	("target", 'gateway "third" { target = "redirect to x@beta.test" }\ndomain "gamma.test" { gateway = third }\n',
	    'target: the domain of "x@beta.test" is one of ours'),
	("human", 'domain "gamma.test" {\n\tgateway = second\n\thuman = "joe@acme.test"\n}\n',
	    'human: "joe@acme.test" is in a domain of ours'),
)
def test_check_redirection_into_our_own_domains(ctx, more, text):
	has(Site(ctx, more=more).json("check", "--no-postfix", code=1), "error", text)


def test_check_permissions(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	os.chmod(s.state + "/state/data.mdb", 0o666)
	os.chmod(s.state, 0o777)
	report = s.json("check", "--no-postfix", code=1)
	has(report, "warning", "everybody may read it", "chmod o=")
	has(report, "error", "everybody may write there", "chmod o=")
	os.chmod(s.state, 0o770)
	os.chown(s.state + "/state/data.mdb", 0, 12345)
	has(s.json("check", "--no-postfix", code=1), "error", "another user or group made it", "chown")


def test_check_sockets_that_do_not_answer(ctx):
	s = Site(ctx)
	s("aliases", "apply")
	with open(s.dir + "/milter.sock", "w"):
		pass
	has(s.json("check", "--no-postfix", code=1), "error", "is no socket", "remove it")
	os.unlink(s.dir + "/milter.sock")
	with socket.socket(socket.AF_UNIX) as dead:
		dead.bind(s.dir + "/milter.sock")
	has(s.json("check", "--no-postfix", code=1), "error", "refused", "start postern-milter")


class Host:
	"""Both daemons and a Postfix that has what postern postfix-conf prints."""

	def __init__(self, ctx, mixed=False, fragments=True, relays="", services=None):
		self.ctx = ctx
		self.pf = Postfix(services=services)
		self.site = Site(ctx)
		os.chmod(ctx.tmp, 0o755)
		path = self.site.conf
		with open(path) as f:
			text = f.read()
		for name in ("milter", "map"):
			text = text.replace("unix:%s/%s.sock" % (ctx.tmp, name), "unix:" + self.pf.socket_path(name + ".sock"))
		text = text.replace('socket_group = ""', "socket_group = postfix")
		if mixed:
			text = text.replace("unknown = reject", "unknown = pass")
		with open(path, "w") as f:
			f.write('mail_log = ""\n' + re.sub("policy_socket = .*", 'policy_socket = "unix:%s"' % self.pf.socket_path("policy.sock"),
			    text) + relays)
		if mixed:
			self.pf.main.update({"virtual_mailbox_domains": "acme.test", "virtual_mailbox_maps": "inline:{joe@acme.test=joe}"})
		if fragments:
			self.pf.write_config()
			out = self.site("postfix-conf", "--postfix-config", self.pf.etc).stdout
			at = out.index("# Services for master.cf")
			self.pf.main.update(parse_main_cf(out[:at]))
			self.pf.master.append("".join(line + "\n" for line in out[at:].splitlines() if line and line[0] != "#"))
		self.milter = MilterProcess(ctx.program("postern-milter"), path, self.pf.socket_path("milter.sock"))
		self.policy = PolicyProcess(ctx.program("postern-policy"), path, [self.pf.socket_path("map.sock")])

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		for part in (self.policy, self.milter, self.pf):
			part.close()

	def check(self, code, **main):
		self.pf.main.update(main)
		self.pf.write_config()
		return self.site.json("check", "--postfix-config", self.pf.etc, code=code)


@cases(("all ours", False), ("people too", True))
def test_check_is_content_with_postfix_conf(ctx, mixed):
	"""What the one command prints, the other finds nothing wrong with."""
	with Host(ctx, mixed) as h:
		report = h.check(0)
		assert report["errors"] == report["warnings"] == 0, json.dumps(report["findings"], indent=1)
		has(report, "ok", "postern-milter answers")
		has(report, "ok", "postern-policy answers")
		has(report, "ok", "acme.odoo.test leaves by postern-redirect:")
		has(report, "ok", "other.odoo.test leaves by postern-redirect:")
		text = h.site("check", "--postfix-config", h.pf.etc).stdout
		assert text.endswith("0 errors, 0 warnings\n") and text.startswith("ok       config "), text


def test_postfix_conf_works_for_a_mail(ctx):
	with Host(ctx) as h, Sink() as odoo:
		# the lab has no MX records: the entries get a next hop
		h.pf.main["transport_maps"] = h.pf.main["transport_maps"].replace("redirect:}", "redirect:%s}" % odoo.nexthop)
		h.pf.start()
		r = send_mail(h.pf.address(), "ann@x.test", ["sales@acme.test"], MAIL % {"to": "sales@acme.test", "more": ""})
		assert r.code == 250, r
		assert odoo.wait_one().recipients == ["sales@acme.odoo.test"]
		e = h.site.explain(MAIL % {"to": "sales@acme.test", "more": ""}, "sales@acme.test")
		assert e["gateways"][0]["windows"][0]["count"] == 1, e["gateways"]
		assert h.site.json("threads")[0]["message_id"] == "<1@x.test>"


BROKEN = (
	("no milter", {"smtpd_milters": ""}, "error", "Postern is not among the milters", "as the last milter"),
	("inet", {"smtpd_milters": "inet:127.0.0.1:8891"}, "error", "never at inet:", "unix:postern/milter.sock"),
	("accept", {"smtpd_milters": "{ unix:postern/milter.sock, default_action=accept }"}, "error",
	    "passes unfiltered", "tempfail"),
	("main default action", {"smtpd_milters": "unix:postern/milter.sock", "milter_default_action": "reject"}, "warning",
	    "default_action of Postern is reject", "tempfail"),
	("not last", {"smtpd_milters": "unix:postern/milter.sock, inet:127.0.0.1:8891"}, "error", "is milter 1 of 2",
	    "put it last"),
	("not last after another", {"smtpd_milters": "inet:127.0.0.1:8891, { unix:postern/milter.sock, default_action=tempfail }, "
	    "inet:127.0.0.1:8892"}, "error", "is milter 2 of 3: a recipient that one behind it refuses", "put it last"),
	("sendmail", {"non_smtpd_milters": ""}, "warning", "handed to sendmail(1)", "$smtpd_milters"),
	("protocol", {"milter_protocol": "4"}, "error", "needs version 6", "milter_protocol = 6"),
	("soft bounce", {"soft_bounce": "yes"}, "warning", "soft_bounce", "no"),
	("not let in", {"relay_domains": "other.test"}, "error", "acme.test: Postfix does not take its mail", "relay_domains"),
	("list of recipients", {"relay_recipient_maps": "inline:{a@acme.test=x}"}, "error",
	    "lets Postfix refuse addresses", "unknown = pass"),
	("virtual alias domain", {"virtual_alias_domains": "acme.test"}, "error", "stands in virtual_alias_domains",
	    "move acme.test"),
	("no transport entry", {"transport_maps": "", "relayhost": "[relay.test]"}, "error",
	    "takes the route of your own outgoing mail", "acme.odoo.test postern-redirect:"),
	("other transport", {"transport_maps": "inline:{ {acme.odoo.test = smtp:[x]} }"}, "warning", "leaves by smtp:[x]", ""),
	("relay transport refuses", {"relay_transport": "retry:"}, "error", "smtpd refuses every recipient", "lmtp:"),
	("bounces are held", {"default_transport": "retry:4.3.0 wait", "sender_dependent_default_transport_maps": ""},
	    "warning", "own bounces", "<>"),
	("bounces to the relay", {"relayhost": "[relay.test]"}, "warning", "without its password", "relayhost ="),
	("own bounces pass by", {"internal_mail_filter_classes": ""}, "error", "does not reach Odoo", "= bounce"),
	("recipients are tried", {"smtpd_recipient_restrictions": "reject_unlisted_recipient, reject_unverified_recipient"},
	    "warning", "smtpd_recipient_restrictions: reject_unverified_recipient puts off mail", "check_recipient_access"),
	("no milters at all", {"receive_override_options": "no_milters"}, "error", "switches Postern off everywhere", ""),
)


@cases(*BROKEN)
def test_check_finds(ctx, main, level, text, remedy):
	with Host(ctx) as h:
		report = h.check(1 if level == "error" else 0, **main)
		has(report, level, text, remedy)


MIXED_BROKEN = (
	("no map", {"virtual_alias_maps": ""}, "error", "Postfix refuses aliases", "socketmap:unix:postern/map.sock:recipient"),
	("other map", {"virtual_alias_maps": "socketmap:unix:other/map.sock:recipient"}, "error", "Postfix refuses aliases", ""),
	("asked about every domain", {"virtual_alias_domains": "$virtual_alias_maps"}, "warning", "every domain there is", ""),
	("no mailboxes", {"virtual_mailbox_domains": ""}, "error", "does not take its mail", "virtual_mailbox_domains"),
	("recipients are tried", {"smtpd_relay_restrictions": "reject_unauth_destination reject_unverified_recipient"}, "warning",
	    "smtpd_relay_restrictions: reject_unverified_recipient puts off mail", "check_recipient_access"),
	("everybody is let in", {"virtual_mailbox_maps": ""}, "warning", "takes every address", "virtual_mailbox_maps"),
)


@cases(*MIXED_BROKEN)
def test_check_finds_in_mixed_domains(ctx, main, level, text, remedy):
	with Host(ctx, mixed=True) as h:
		has(h.check(1 if level == "error" else 0, **main), level, text, remedy)


def test_check_services(ctx):
	with Host(ctx) as h:
		h.pf.main["content_filter"] = "smtp:[127.0.0.1]:10025"
		h.pf.master += ["10.0.0.1:25 inet n - n - - smtpd -o smtpd_milters=",
		    "10.0.0.1:26 inet n - n - - smtpd -o receive_override_options=no_milters",
		    "127.0.0.1:10026 inet n - n - - smtpd -o content_filter=",
		    "10.0.0.1:27 inet n - y - - smtpd -o smtpd_milters=unix:%s" % h.pf.socket_path("milter.sock")]
		h.pf.master += ["10.0.0.1:28 inet n - n - - smtpd -o { smtpd_milters = { unix:postern/milter.sock, default_action=tempfail }, inet:127.0.0.1:8891 }",
		    "10.0.0.1:29 inet n - n - - smtpd -o { smtpd_milters = inet:127.0.0.1:8891, { unix:postern/milter.sock, default_action=tempfail } }"]
		report = h.check(1)
		has(report, "error", "10.0.0.1:28 inet: Postern is milter 1 of 2", "put it last")
		hasnt(report, "10.0.0.1:29")
		h.pf.master = h.pf.master[:-2]
		has(report, "error", "10.0.0.1:25 inet: smtpd_milters is empty")
		has(report, "error", "10.0.0.1:26 inet: no milter is asked")
		has(report, "error", "127.0.0.1:10026 inet: mail comes back here", "smtpd_milters=")
		has(report, "error", "this service is chrooted")
		h.pf.master[-2] += " -o smtpd_milters="
		hasnt(h.check(1), "10026")
		h.pf.master = [m for m in h.pf.master if "postern-redirect" not in m]
		has(h.check(1), "error", "no service postern-redirect", "postfix-conf")


# --- check, where there are relays

RELAYS = """
relay "main" { gateway = online host = "relay.test" port = 587 user = "odoo" password_file = "%(dir)s/secret" limits = {"50/message"} }
relay "north" { gateway = online host = "smtp.two.test" port = 465 security = ssl_strict user = "north" password_file = "%(dir)s/secret" }
relay "south" { gateway = online host = "smtp.two.test" port = 465 security = ssl_strict user = "south" password_file = "%(dir)s/secret" }
relay "gone" { host = "smtp.gone.test" port = 25 security = none active = no }
"""
SUBMISSION_OPTIONS = {"milter_macro_daemon_name": "ORIGINATING", "rewrite_service_name": "postern-rewrite"}


class RelayHost(Host):
	"""... with relays, whose passwords are in the file secret."""

	def __init__(self, ctx, relays=RELAYS, top="", submission=SUBMISSION_OPTIONS):
		self.secret = ctx.tmp + "/secret"
		with open(self.secret, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
			f.write("secret\n")
		super().__init__(ctx, relays=relays % {"dir": ctx.tmp} + top, services={"smtp": {}, "submission": submission})
		self.pf.files["reply_filter"] = self.site("postfix-conf", "reply_filter", "--postfix-config", self.pf.etc).stdout

	def without(self, text):
		"""master.cf with every line away, or every service, that has this text."""
		services = re.split(r"\n(?=\S)", self.pf.master[-1].rstrip("\n"))
		services = [v for v in services if not v.startswith(text + " ")]
		lines = [line for line in "\n".join(services).split("\n") if text not in line]
		self.pf.master[-1] = "\n".join(lines) + "\n"


def test_check_is_content_with_relays(ctx):
	with RelayHost(ctx) as h:
		report = h.check(0)
		assert report["errors"] == report["warnings"] == 0, json.dumps(report["findings"], indent=1)
		has(report, "ok", "6 services of master.cf were compared")
		has(report, "ok", "policy_socket: postern-policy answers")


WAY_OUT = (
	("no header checks", {"milter_header_checks": ""}, "error", "the milter's choice of a relay is not followed", "postfix-conf main"),
	("header checks without the value", {"milter_header_checks": "regexp:{ {/^X-Postern-Relay:/ FILTER smtp:} }"}, "error",
	    "the milter's choice of a relay is not followed", ""),
	("default transport", {"default_transport": "smtp"}, "warning", "no relay was chosen for leaves by it", "postern-none"),
	("retry", {"default_transport": "retry:4.3.0 later"}, "warning", "Odoo does not send such mail again", "postern-none"),
	("no route", {"sender_dependent_default_transport_maps": "inline:{ {<> = postern-redirect:} }"}, "error",
	    "map route is not among them", "postfix-conf main"),
	("bounces ask", {"sender_dependent_default_transport_maps":
	    "inline:{ {<> = postern-redirect:} }, socketmap:unix:postern/map.sock:route"}, "error", "this host's bounces ask", ""),
	("strangers ask", {"sender_dependent_default_transport_maps":
	    "regexp:{ {/<>/ postern-redirect:} }, socketmap:unix:postern/map.sock:route"}, "warning", "strangers ask", ""),
	("a domain of ours does not ask", {"sender_dependent_default_transport_maps":
	    "regexp:{ {/<>/ postern-redirect:}, {!/@other\\.test$$/ DUNNO} }, socketmap:unix:postern/map.sock:route"}, "error",
	    "mail from acme.test does not ask the map route", "postfix-conf main"),
	("recipients at once", {"postern-wait-starttls_destination_recipient_limit": "20"}, "error",
	    "postern-wait-starttls takes 20 recipients at once", "postern-wait-starttls_destination_recipient_limit = 1"),
	("limit of a message", {"postern-starttls_destination_recipient_limit": "60"}, "warning",
	    "a relay allows fewer in one message", "postern-starttls_destination_recipient_limit = 50"),
	("relayhost", {"relayhost": "[relay.test]"}, "warning", "without its password", "relayhost ="),
	("content filter", {"content_filter": "smtp:[127.0.0.1]:10025"}, "error", "such mail leaves unfiltered", "relay_daemons"),
)


@cases(*WAY_OUT)
def test_check_finds_on_the_way_out(ctx, main, level, text, remedy):
	with RelayHost(ctx) as h:
		has(h.check(1 if level == "error" else 0, **main), level, text, remedy)


SERVICES = (
	("no service", "postern-starttls", "error", "there is no service postern-starttls, by which mail leaves for relay main"),
	("no waiting service", "postern-wait-south", "error", "there is no service postern-wait-south"),
	("nobody waits", "postern-none", "error", "there is no service postern-none"),
	("no login", "smtp_sasl_auth_enable=yes", "error", "postern-starttls: smtp_sasl_auth_enable = no: it does not log in"),
	("no password", "map.sock:sasl-north", "error", "postern-north: smtp_sasl_password_maps = : Postern is not asked"),
	("no level", "map.sock:tls-north", "error", "postern-north: smtp_tls_policy_maps = : Postern is not asked"),
	("waits for nothing", "map.sock:wait-north", "error", "postern-wait-north: smtp_tls_policy_maps = "),
	("no TLS", "smtp_tls_security_level=encrypt", "error", "postern-starttls: smtp_tls_security_level = : a relay"),
	("no implicit TLS", "smtp_tls_wrappermode=yes", "error", "postern-north: smtp_tls_wrappermode = no"),
	("cache", "smtp_connection_cache_on_demand=no", "error", "postern-wait-starttls: smtp_connection_cache_on_demand = yes"),
	("passwords by sender", "nothing", "warning", "smtp_sender_dependent_authentication = yes"),
	("fallback", "smtp_fallback_relay=", "error", "postern-starttls: smtp_fallback_relay = [other.test]"),
	("reply filter", "smtp_reply_filter=", "warning", "postern-starttls: smtp_reply_filter = : a relay's"),
	("routes asked", "sender_dependent_default_transport_maps=", "warning", "postern-rewrite: clients are told 451"),
)


@cases(*SERVICES)
def test_check_finds_in_services(ctx, gone, level, text):
	with RelayHost(ctx) as h:
		h.pf.main["smtp_fallback_relay"] = "[other.test]"
		if gone == "nothing":
			h.pf.main["smtp_sender_dependent_authentication"] = "yes"
			gone = "smtp_sender_dependent_authentication="
		h.without(gone)
		has(h.check(1 if level == "error" else 0), level, text)


@cases(("another's", "/^4/ 400", "warning", "reply_filter: a relay's \"daily limit exceeded\" bounces mail"),
    ("missing", None, "error", "reply_filter: it cannot be read, and no relay gets any mail"))
def test_check_asks_the_reply_filter(ctx, table, level, text):
	with RelayHost(ctx) as h:
		del h.pf.files["reply_filter"]
		if table:
			h.pf.files["reply_filter"] = table + "\n"
		report = h.check(1 if level == "error" else 0)
		has(report, level, text, "postfix-conf reply_filter")
		assert len([f for f in report["findings"] if "smtp_reply_filter" in f["text"]]) == 1, report["findings"]


def test_check_asks_for_senders_in_filters(ctx):
	with RelayHost(ctx) as h:
		with open(h.site.conf, "a") as f:
			f.write('relay "late" { gateway = online host = "late.test" port = 25 security = none from_filter = {"late.test", "*.x.test"} }\n')
		report = h.check(1)
		has(report, "error", "mail from late.test does not ask the map route")
		hasnt(report, "x.test does not ask")


def test_check_reads_the_tables_that_sign(ctx):
	with RelayHost(ctx) as h:
		with open(h.site.conf, "a") as f:
			f.write('sign_table = "%s/signing"\nsign_key_table = "%s/keys"\n' % (ctx.tmp, ctx.tmp))
		report = h.check(1)
		has(report, "error", "postern-milter will not start", "postern keys make")
		assert report["errors"] == 1, report["findings"]


def test_check_asks_the_signer(ctx):
	"""Is it there, does it know the keys, and is it the only one that may read them?"""
	key, path = ctx.tmp + "/acme.pem", ctx.tmp + "/signer.sock"
	run(ctx.program("tests/wire/dkim_tool"), "key", "ed25519", key, check=0)
	for name, text in (("signing", "*@acme.test acme\n"), ("keys", "acme acme.test:s1:%s\n" % key)):
		with open("%s/%s" % (ctx.tmp, name), "w") as f:
			f.write(text)
	with RelayHost(ctx, top='sign_table = "refile:%s/signing"\nsign_key_table = "%s/keys"\nsign_check_published = no\n'
	    'signer_socket = "unix:%s"\n' % (ctx.tmp, ctx.tmp, path)) as h:
		report = h.check(1)
		has(report, "error", "signer_socket: nobody listens at " + path, "start postern-signer")
		has(report, "warning", "postern-milter may read %s itself" % key, "postern-signer alone")
		with Program(ctx.program("postern-signer"), ["-c", h.site.conf], [path]) as signer:
			report = h.check(0)
			has(report, "ok", "signer_socket: postern-signer answers at " + path)
			with open(ctx.tmp + "/keys", "w") as f:
				f.write("acme acme.test:s2:%s\n" % key)
			has(h.check(1), "error", "does not know the first key of sign_key_table", "log of postern-signer")
			signer.signal(signal.SIGUSR1)
			signer.wait_stderr("reloaded")
			has(h.check(0), "ok", "signer_socket: postern-signer answers")
			h.milter.stop()
			h.policy.stop()
			h.pf.give_sockets_to("nobody")
			os.chmod(ctx.tmp, 0o755)
			for folder, _, names in os.walk(h.site.state):
				for name in ["", *names]:
					shutil.chown(os.path.join(folder, name), "nobody")
			with MilterProcess(ctx.program_for_others("postern-milter"), h.site.conf, h.pf.socket_path("milter.sock"), user="nobody"):
				hasnt(h.check(1), "may read")		# 1: nobody asks for postern-policy
			os.unlink(key)
			report = h.check(1)
			has(report, "error", "postern-signer will not start: %s/keys:1" % ctx.tmp, "postern keys make")


def test_check_tells_tenants_apart(ctx):
	with RelayHost(ctx) as h:
		with open(h.site.conf) as f:
			text = f.read()
		with open(h.site.conf, "w") as f:
			f.write(text.replace('logins = {"other"}', "").replace('relay "main" { gateway = online', 'relay "main" {'))
		report = h.check(0)
		has(report, "warning", "relay main: it takes the mail of every gateway", "set gateway")
		has(report, "warning", "gateway second: whose mail it is", "set logins")
		assert report["warnings"] == 2, report["findings"]


def test_check_other_maps_and_stricter_levels(ctx):
	with RelayHost(ctx) as h:
		master = h.pf.master[-1]
		h.pf.master[-1] = master.replace(":sasl-south", ":sasl-north")
		has(h.check(1), "error", "postern-south: smtp_sasl_password_maps = socketmap:unix:postern/map.sock:sasl-north")
		h.pf.master[-1] = master.replace("security_level=encrypt", "security_level=secure").replace(
		    "unix:postern/map.sock", "unix:" + h.pf.socket_path("map.sock"))
		assert h.check(0)["warnings"] == 0


def test_check_where_mail_comes_in(ctx):
	with RelayHost(ctx, submission={}) as h:
		has(h.check(1), "error", "no listener takes outbound mail")
		h.pf.services["submission"]["smtpd_sasl_auth_enable"] = "yes"
		report = h.check(0)
		hasnt(report, "no listener takes outbound mail")
		has(report, "warning", "told 451 while postern-policy is away", "rewrite_service_name=postern-rewrite")


def test_check_relay_daemons(ctx):
	"""Beside a content filter relays are chosen where it gives mail back."""
	listener = "127.0.0.1:10027 inet n - n - - smtpd -o content_filter= -o milter_macro_daemon_name=%s " \
	    "-o rewrite_service_name=postern-rewrite"
	with RelayHost(ctx) as h:
		with open(h.site.conf) as f:
			text = f.read()
		with open(h.site.conf, "w") as f:
			f.write('relay_daemons = {"REINJECT"}\noutbound_daemons = {"ORIGINATING", "REINJECT"}\n' + text)
		h.milter.restart()
		h.pf.main["content_filter"] = "smtp:[127.0.0.1]:10025"
		has(h.check(1), "error", "relay_daemons: no listener has one of these names")
		h.pf.master.append(listener % "REINJECT")
		assert h.check(0)["warnings"] == 0
		h.pf.master[-1] = listener % "OTHER"
		has(h.check(1), "error", "mail comes back here from the content filter")


def test_check_secrets(ctx):
	with RelayHost(ctx) as h:
		os.chmod(h.secret, 0o644)
		has(h.check(1), "error", "relay main: its password cannot be had: %s: has mode 0644" % h.secret, "mail for this relay waits")
		os.unlink(h.secret)
		report = h.check(1)
		has(report, "error", "relay north: its password cannot be had: %s: No such file" % h.secret)
		hasnt(report, "relay gone")
		h.policy.stop()
		report = h.check(1)
		has(report, "error", "map_socket: nobody listens", "start postern-policy")
		has(report, "error", "policy_socket: nobody listens", "start postern-policy")


def test_check_secrets_as_the_user_of_the_daemon(ctx):
	"""root may read everything: whether postern-policy may is asked as its user."""
	with RelayHost(ctx) as h:
		h.policy.stop()
		h.pf.give_sockets_to("nobody")
		os.chmod(ctx.tmp, 0o755)
		h.milter.stop()
		for folder, _, names in os.walk(h.site.state):
			for name in ["", *names]:
				shutil.chown(os.path.join(folder, name), "nobody")
		with PolicyProcess(ctx.program_for_others("postern-policy"), h.site.conf, [h.pf.socket_path("map.sock")], user="nobody"):
			has(h.check(1), "error", "relay main: its password cannot be had: %s: Permission denied" % h.secret)
			shutil.chown(h.secret, "nobody")
			hasnt(h.check(1), "its password cannot be had")


def test_check_certificates(ctx):
	relay = """relay "cert" { host = "relay.test" authentication = certificate certificate_file = "%(dir)s/c.pem"
	key_file = "%(dir)s/k.pem" ca_file = "%(dir)s/ca.pem" }\n"""
	with RelayHost(ctx, relays=relay) as h:
		report = h.check(1)
		for key, name in (("certificate_file", "c.pem"), ("key_file", "k.pem"), ("ca_file", "ca.pem")):
			has(report, "error", "relay cert: %s: %s/%s: No such file" % (key, ctx.tmp, name))


def test_check_daemons_down_or_unreachable(ctx):
	with Host(ctx, mixed=True) as h:
		h.policy.stop()
		has(h.check(1), "error", "map_socket: nobody listens", "start postern-policy")
		os.chmod(h.pf.socket_path("milter.sock"), 0o600)
		has(h.check(1), "error", "the user postfix may not use %s" % h.pf.socket_path("milter.sock"), "socket_mode")
		os.chmod(h.pf.socket_path("milter.sock"), 0o660)
		os.chmod(os.path.dirname(h.pf.socket_path("milter.sock")), 0o700)
		has(h.check(1), "error", "the user postfix may not use %s" % os.path.dirname(h.pf.socket_path("milter.sock")))


def test_check_map_with_another_configuration(ctx):
	with Host(ctx, mixed=True) as h:
		with open(h.site.conf) as f:
			text = f.read()
		with open(h.site.conf, "w") as f:
			f.write(text.replace("unknown = pass", "unknown = pass\n\tcatchall_alias = everything"))
		has(h.check(1), "error", "runs with another configuration")


def test_check_postfix_broken_or_missing(ctx):
	s = Site(ctx)
	report = s.json("check", "--postfix-config", ctx.tmp + "/nowhere", code=1)
	assert findings(report, "error", "postfix"), report
	report = s.json("check", code=1, env={"PATH": "/nonexistent"})
	assert report["findings"]


def fake_postconf(ctx, script):
	"""A PATH on which postconf is this shell script."""
	os.mkdir(ctx.tmp + "/bin")
	with open(ctx.tmp + "/bin/postconf", "w") as f:
		f.write("#!/bin/sh\n" + script + "\n")
	os.chmod(ctx.tmp + "/bin/postconf", 0o755)
	return {"PATH": ctx.tmp + "/bin:" + os.environ["PATH"]}


def test_check_bears_a_postconf_that_never_ends(ctx):
	s = Site(ctx)
	report = s.json("check", code=1, env=fake_postconf(ctx, "exec yes 'a = b'"))
	has(report, "error", "postconf prints more than 4 MB")


def test_check_shows_what_postconf_complains_of(ctx):
	s = Site(ctx)
	report = s.json("check", code=1, env=fake_postconf(ctx, "echo 'postconf: fatal: bad \033[31m line' >&2; exit 1"))
	has(report, "error", "bad \x1b[31m line", "--postfix-config")
	assert "\\x1b[31m" in s("check", code=1, env={"PATH": ctx.tmp + "/bin:" + os.environ["PATH"]}).stdout


def test_progress(ctx):
	"""What takes longer than a second says so: with -v, or on a terminal."""
	s = Site(ctx)
	s("aliases", "apply")
	env = fake_postconf(ctx, "sleep 0.7; exec /usr/sbin/postconf \"$@\"")
	assert "asking Postfix" not in s("check", code=1, env=env).stderr
	assert "postern: asking Postfix\n" in s("check", "-v", code=1, env=env).stderr


def test_progress_in_one_long_call(ctx):
	"""Writing the directory is one transaction, which may have to wait for another's: it says so, and how long."""
	s = Site(ctx)
	s("aliases", "apply")
	s.configure('alias "new@acme.test" { model = crm.lead }')
	lmdb = ctypes.CDLL("liblmdb.so.0")
	env, txn = ctypes.c_void_p(), ctypes.c_void_p()
	assert lmdb.mdb_env_create(ctypes.byref(env)) == 0
	assert lmdb.mdb_env_open(env, (s.state + "/directory").encode(), 0, 0o600) == 0
	try:
		assert lmdb.mdb_txn_begin(env, None, 0, ctypes.byref(txn)) == 0
		with subprocess.Popen([ctx.program("postern"), "-v", "-c", s.conf, "aliases", "apply"], text=True,
				stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
			said = select.select([p.stderr], [], [], 20)[0]
			lmdb.mdb_txn_abort(txn)
			out, err = p.communicate(timeout=20)
	finally:
		lmdb.mdb_env_close(env)
	assert said and re.match(r"postern: writing the directory, [12] s\n", err), err
	assert (p.returncode, out) == (0, "aliases: 1 added, 0 changed, 0 removed\n")


# --- postfix-conf

def settings(text):
	"""main.cf as a dict, blanks made one."""
	return {k: " ".join(v.split()) for k, v in parse_main_cf(text).items()}


def test_postfix_conf_is_the_fragments(ctx):
	"""For the names the fragments use it prints their settings, word for word."""
	def fragment(name):
		with open(ctx.path("postfix-conf", name), encoding="utf-8") as f:
			return f.read()
	conf = ctx.tmp + "/example.conf"
	with open(conf, "w") as f:
		f.write('gateway "a" { target = "redirect to acme.odoo.example" }\ndomain "acme.example" { %s }\n' % "")
	ours = run(ctx.program("postern"), "-c", conf, "postfix-conf", "--no-postfix", "main", check=0).stdout
	wanted = settings("\n".join(fragment("main.cf." + n) for n in ("own-domains", "redirect", "milter")))
	assert settings(ours) == wanted, (settings(ours), wanted)
	with open(conf, "w") as f:
		f.write('gateway "a" { target = "redirect to acme.odoo.example" }\ndomain "acme.example" { unknown = pass }\n')
	mixed = settings(run(ctx.program("postern"), "-c", conf, "postfix-conf", "--no-postfix", "main", check=0).stdout)
	wanted = settings("\n".join(fragment("main.cf." + n) for n in ("mixed-domains", "redirect", "milter")))
	for own in ("virtual_mailbox_domains", "virtual_mailbox_maps"):
		assert own not in mixed
		del wanted[own]
	wanted["virtual_alias_maps"] = "socketmap:unix:postern/map.sock:recipient"
	assert mixed == wanted, (mixed, wanted)
	master = run(ctx.program("postern"), "-c", conf, "postfix-conf", "--no-postfix", "master", check=0).stdout
	services = [line.split()[0] for line in master.splitlines() if line and line[0] not in "# "]
	assert services == ["postern-redirect"] and fragment("master.cf").split("\n\n")[1].strip() in master


KINDS = """
relay "one" { host = "one.test" security = starttls_strict user = u password_file = "/x" }
relay "two" { host = "two.test" port = 465 security = ssl_strict user = u password_file = "/x" }
relay "three" { host = "localhost" port = 25 security = none }
"""


def relay_services(text):
	"""master.cf from the way out on: name -> lines."""
	text = text[text.index("# The way out"):]
	blocks = [b for b in text.split("\n\n") if "\n  -o " in b]
	lines = [[line for line in b.strip("\n").split("\n") if line[0] != "#"] for b in blocks]
	return {b[0].split()[0]: [" ".join(b[0].split()), *b[1:]] for b in lines}


def test_postfix_conf_of_relays_is_the_fragments(ctx):
	conf = ctx.tmp + "/example.conf"
	with open(conf, "w") as f:
		f.write('gateway "a" { target = "redirect to acme.odoo.example" }\ndomain "acme.example" { }\n' + KINDS)
	def printed(part):
		return run(ctx.program("postern"), "-c", conf, "postfix-conf", "--no-postfix", part, check=0).stdout
	def fragment(name):
		with open(ctx.path("postfix-conf", name), encoding="utf-8") as f:
			return f.read()
	main = printed("main")
	wanted = settings("\n".join(fragment("main.cf." + n) for n in ("own-domains", "redirect", "milter", "outbound")))
	assert settings(main) == wanted, (settings(main), wanted)
	set_here = re.findall(r"^(\w+) =", main, re.M)
	assert len(set_here) == len(set(set_here)), set_here
	assert relay_services(printed("master")) == relay_services(fragment("master.cf"))
	assert printed("reply_filter") == fragment("reply_filter")


def test_postfix_conf_has_what_the_relays_use(ctx):
	conf = ctx.tmp + "/example.conf"
	with open(conf, "w") as f:
		f.write('gateway "a" { target = keep }\ndomain "acme.example" { }\ndomain "bücher.example" { }\n'
		    'relay "first" { host = "h.test" user = a password_file = "/x" limits = {"40/message"} from_filter = {"x.test", "joe+x@y.test"} }\n'
		    'relay "second" { host = "h.test" user = b password_file = "/x" ca_file = "/ca.pem" certificate_file = "/c.pem" key_file = "/k.pem" }\n'
		    'relay "third" { host = "i.test" limits = {"30/message"} }\nrelay "fourth" { host = "j.test" limits = {"20/message"} }\n'
		    'relay "closed" { host = "k.test" security = ssl port = 465 active = no }\n')
	def printed(part):
		return run(ctx.program("postern"), "-c", conf, "postfix-conf", "--no-postfix", part, check=0).stdout
	services = relay_services(printed("master"))
	assert list(services) == ["postern-first", "postern-second", "postern-starttls", "postern-wait-first",
	    "postern-wait-second", "postern-wait-starttls", "postern-none", "postern-rewrite"], list(services)
	assert "postern-redirect  unix" in printed("master")
	first, second = (services["postern-wait-" + n] for n in ("first", "second"))
	assert "  -o smtp_sasl_password_maps=socketmap:unix:postern/map.sock:sasl-first" in first
	assert "  -o smtp_tls_policy_maps=socketmap:unix:postern/map.sock:wait-first" in first
	assert "  -o smtp_tls_policy_maps=socketmap:unix:postern/map.sock:tls-second" in services["postern-second"]
	for line in ("tls_CAfile = /ca.pem", "tls_cert_file = /c.pem", "tls_key_file = /k.pem"):
		assert "  -o { smtp_%s }" % line in second, second
	out = settings(printed("main"))
	assert {k: v for k, v in out.items() if "recipient_limit" in k} == {
	    "postern-first_destination_recipient_limit": "40", "postern-starttls_destination_recipient_limit": "20",
	    "postern-wait-first_destination_recipient_limit": "1", "postern-wait-second_destination_recipient_limit": "1",
	    "postern-wait-starttls_destination_recipient_limit": "1"}, out
	assert r"{!/(@acme\.example|@xn--bcher-kva\.example|@bücher\.example|@x\.test|^joe\+x@y\.test)$$/ DUNNO}" in \
	    out["sender_dependent_default_transport_maps"], out


def test_postfix_conf_keeps_other_header_checks(ctx):
	with RelayHost(ctx) as h:
		h.pf.main["milter_header_checks"] = "regexp:{ {/^X-Spam: (yes)$$/ REDIRECT $$1@x.test} }"
		h.pf.write_config()
		out = settings(h.site("postfix-conf", "--postfix-config", h.pf.etc, "main").stdout)
		assert out["milter_header_checks"].startswith(h.pf.main["milter_header_checks"] + ", regexp:{ {/^X-Postern"), out


def test_postfix_conf_keeps_what_is_there(ctx):
	s = Site(ctx)
	etc = ctx.tmp + "/etc"
	os.mkdir(etc)
	shutil.copy("/etc/postfix/master.cf.proto", etc + "/master.cf")
	with open(etc + "/main.cf", "w") as f:
		f.write("compatibility_level = 3.6\nqueue_directory = %s\nrelay_domains = old.test, acme.test\nrelayhost = [relay.test]:587\n"
		    "smtpd_milters = unix:opendkim/dkim.sock, { unix:milter.sock, default_action=accept }\n"
		    "transport_maps = inline:{ {x.test = lmtp:unix:private/x} }\n" % ctx.tmp)
	out = settings(s("postfix-conf", "--postfix-config", etc, "main").stdout)
	assert out["relay_domains"] == "old.test, acme.test, beta.test", out
	assert out["smtpd_milters"].startswith("unix:opendkim/dkim.sock, { unix:milter.sock, connect_timeout"), out
	assert "accept" not in out["smtpd_milters"] and out["relayhost"] == ""
	assert out["default_transport"] == "smtp:[relay.test]:587"
	assert out["transport_maps"] == "inline:{ {x.test = lmtp:unix:private/x} }, inline:{ {acme.odoo.test = " \
	    "postern-redirect:}, {other.odoo.test = postern-redirect:} }", out["transport_maps"]


def test_postfix_conf_keep(ctx):
	conf = ctx.tmp + "/keep.conf"
	with open(conf, "w") as f:
		f.write('gateway "a" { target = keep }\ndomain "acme.example" { }\n')
	out = settings(run(ctx.program("postern"), "-c", conf, "postfix-conf", "--no-postfix", "main", check=0).stdout)
	assert out["relay_domains"] == "acme.example" and "relay_transport" not in out and "transport_maps" not in out, out


# --- the manual

def test_the_page_about_relays_has_every_preset(ctx):
	with open(ctx.path("lib/config/presets.c"), encoding="utf-8") as f:
		presets = f.read().split("\n\t{ ")[1:]
	with open(ctx.path("docs/relays.md"), encoding="utf-8") as f:
		table = {row[0]: row[1:] for row in ([c.strip() for c in line.split("|")[1:-1]] for line in f if line[:2] == "| ")}
	assert len(presets) == len(table) - 1 >= 7
	for preset in presets:
		value = dict(re.findall(r'\.(\w+) = "?([^",]*(?:, \d[^",]*)*)', preset))
		host, ports, limits, _ = table[value["name"]]
		assert host == ("yours" if "own_host" in value else value["host"]) or host.startswith("yours,"), (value, host)
		assert ports == "%s, %s" % (value["port"], value["other_ports"]), (value, ports)
		assert limits == (value["limits"] or "none"), (value, limits)


def pages(ctx):
	return sorted(glob.glob(ctx.path("docs/man/*.[158]")))


def test_every_command_has_a_page(ctx):
	names = [os.path.basename(p) for p in pages(ctx)]
	for command in commands(ctx):
		assert "postern-%s.1" % command in names, command


def test_pages_are_sound(ctx):
	for page in pages(ctx):
		r = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
		# the texts of the table of keys are shared with the sample file, where a sentence goes on in its line
		wrong = [line for line in r.stdout.splitlines() if "new sentence, new line" not in line]
		assert not wrong and r.stderr == "", (wrong, r.stderr)
		with open(page, encoding="utf-8") as f:
			text = f.read()
		found = [w.strip('"') for w in re.findall(r"^\.Sh (.+)$", text, re.M)]
		assert [w for w in found if w in SECTIONS] == SECTIONS, (page, found)


def test_pages_name_every_option(ctx):
	for name in commands(ctx):
		with open(ctx.path("docs/man/postern-%s.1" % name), encoding="utf-8") as f:
			text = f.read().replace("\\-", "-")
		usage = run(ctx.program("postern"), "help", name, check=0).stdout.split("Everywhere:")[0]
		for option in re.findall(r"(?<![\w-])--?([a-z][a-z-]*)", usage):
			assert re.search(r"Fl (Fl )?-?%s\b" % re.escape(option), text), (name, option)


def test_pages_refer_to_pages_that_exist(ctx):
	own = {os.path.basename(p) for p in pages(ctx)}
	for page in pages(ctx):
		with open(page, encoding="utf-8") as f:
			for name, section in re.findall(r"^\.Xr (\S+) (\d)", f.read(), re.M):
				if name.startswith("postern"):
					assert "%s.%s" % (name, section) in own, (page, name)


def test_the_keys_in_the_manual_are_those_of_the_table(ctx):
	with open(ctx.path("docs/man/postern.conf.5"), encoding="utf-8") as f:
		assert Site(ctx)("config", "--manual").stdout in f.read()
