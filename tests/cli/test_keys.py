"""postern keys: keys made, published in a real name server, read by opendkim-testkey, rotated."""

import json
import os
import stat
import subprocess
import threading

from lab import *
from nameserver import HEAD, NameServer

CONF = """\
state_directory = "%(dir)s/state"
dns_servers = {"%(dns)s"}
dns_timeout = 2
sign_table = "%(kind)s%(dir)s/signing.table"
sign_key_table = "%(dir)s/key.table"
%(more)s
gateway "main" { target = "redirect to acme.odoo.example" }
domain "acme.example" { gateway = main }
"""
ACME = HEAD % {"name": "acme.example"}
DAY = 86400


class Site:
	def __init__(self, ctx, dns="127.0.0.1@1", kind="refile:", more=""):
		self.ctx, self.dir, self.keys = ctx, ctx.tmp, ctx.tmp + "/keys"
		with open(ctx.tmp + "/postern.conf", "w", encoding="utf-8") as f:
			f.write(CONF % {"dir": ctx.tmp, "dns": dns, "kind": kind, "more": more})

	def __call__(self, verb, *args, code=0, later=0):
		r = run(self.ctx.program("postern"), "-c", self.dir + "/postern.conf", "keys", verb, *args, "--directory", self.keys,
		    env={"POSTERN_CLOCK_OFFSET": str(later)})
		assert r.returncode == code, (verb, args, r.returncode, r.stdout, r.stderr)
		return r

	def json(self, *args, **options):
		return json.loads(self(*args, "--json", **options).stdout)

	def read(self, name):
		with open(self.dir + "/" + name, encoding="utf-8") as f:
			return f.read()

	def put(self, name, text):
		with open(self.dir + "/" + name, "w", encoding="utf-8") as f:
			f.write(text)


def published(*records):
	return {"acme.example": ACME + "".join(r["zone"] + "\n" for r in records)}


def testkey(ctx, ns, key, code=0):
	"""What OpenDKIM says of the key in the DNS and the file."""
	with open(ctx.tmp + "/unbound.conf", "w") as f:
		f.write('server:\n\tdo-not-query-localhost: no\nstub-zone:\n\tname: "acme.example"\n\tstub-addr: %s\n' % ns.address)
	with open(ctx.tmp + "/opendkim.conf", "w") as f:
		f.write("ResolverConfiguration %s/unbound.conf\n" % ctx.tmp)
	r = subprocess.run(["/usr/sbin/opendkim-testkey", "-x", ctx.tmp + "/opendkim.conf", "-d", key["domain"], "-s",
	    key["selector"], "-k", key["file"], "-vvv"], capture_output=True, text=True, timeout=30)
	assert r.returncode == code, (r.returncode, r.stdout, r.stderr)
	return r.stdout + r.stderr


# --- make, show, list

def test_make(ctx):
	site = Site(ctx)
	[key] = site.json("make", "Acme.Example", "--selector", "s1")
	assert key["file"] == site.keys + "/acme.example/s1.rsa" and key["bits"] == 2048 and key["signs"], key
	assert stat.S_IMODE(os.stat(key["file"]).st_mode) == 0o600
	assert stat.S_IMODE(os.stat(os.path.dirname(key["file"])).st_mode) == 0o700
	assert site.read("key.table") == "s1._domainkey.acme.example acme.example:s1:%s\n" % key["file"]
	assert site.read("signing.table") == "*@acme.example s1._domainkey.acme.example\n"
	assert key["name"] == "s1._domainkey.acme.example" and key["host"] == "s1._domainkey"
	assert key["text"].startswith("v=DKIM1; k=rsa; p=MII")
	assert key["strings"].replace('" "', "").strip('"') == key["text"]
	assert max(map(len, key["strings"].strip('"').split('" "'))) <= 255
	assert sorted(os.listdir(site.dir + "/keys/acme.example")) == ["s1.rsa"]


def test_with_a_signer(ctx):
	"""Two daemons read the tables then, postern-signer first."""
	both = "reload postern-signer, then postern-milter ("
	with NameServer(ctx.tmp + "/ns", published()) as ns:
		site = Site(ctx, ns.address, more='signer_socket = "unix:%s/signer.sock"\n' % ctx.tmp)
		assert both in site("make", "acme.example", "--selector", "old").stderr
		[old] = site.json("show", "acme.example")
		ns.serve(published(old))
		new = site.json("rotate", "acme.example", code=1)["keys"][0]["new"]
		ns.serve(published(old, new))
		site("rotate", "acme.example")
		assert both in site("rotate", "acme.example", later=200).stdout
		assert both in site("rotate", "acme.example", later=8 * DAY).stdout


def test_make_keeps_what_is_in_the_tables(ctx):
	site = Site(ctx, kind="")
	site.put("key.table", "# mine\nold old.example:x:/nonexistent")
	site.put("signing.table", "old.example old\n")
	os.chmod(site.dir + "/key.table", 0o640)
	site("make", "acme.example", "--selector", "s1", "--type", "ed25519")
	assert site.read("key.table").splitlines()[:2] == ["# mine", "old old.example:x:/nonexistent"]
	assert len(site.read("key.table").splitlines()) == 3
	assert site.read("signing.table") == "old.example old\nacme.example s1._domainkey.acme.example\n"
	assert stat.S_IMODE(os.stat(site.dir + "/key.table").st_mode) == 0o640
	assert {f for f in os.listdir(site.dir) if "table" in f} == {"key.table", "signing.table"}, os.listdir(site.dir)


def test_make_both(ctx):
	site = Site(ctx, more="sign_all = yes")
	rsa, ed = site.json("make", "acme.example", "--type", "both", "--bits", "3072")
	assert (rsa["type"], rsa["bits"], ed["type"]) == ("rsa", 3072, "ed25519")
	assert ed["selector"] == rsa["selector"] + "-ed25519"
	assert {row["selector"] for row in site.json("list")} == {rsa["selector"], ed["selector"]}


def test_make_is_generate_too(ctx):
	site = Site(ctx)
	assert site.json("generate", "acme.example", "--selector", "s1") == site.json("show", "acme.example")


@cases(
	("another one behind it", "refile:", "", "*@acme.example %(s1)s\n*@acme.example %(s2)s\n", ["s1"]),
	("every line signs", "refile:", "sign_all = yes", "*@acme.example %(s1)s\n*@acme.example %(s2)s\n", ["s1", "s2"]),
	("one author before all", "refile:", "", "ceo@acme.example %(s2)s\n*@acme.example %(s1)s\n", ["s1", "s2"]),
	("one author behind all", "refile:", "", "*@acme.example %(s1)s\nceo@acme.example %(s2)s\n", ["s1"]),
	("domains below", "refile:", "", "*@acme.example %(s1)s\n*@*.acme.example %(s2)s\n", ["s1", "s2"]),
	("anybody", "refile:", "", "* %(s2)s\n", ["s2"]),
	("one author, whatever his domain", "refile:", "", "ceo@* %(s2)s\n", ["s2"]),
	("a domain", "", "", "acme.example %(s1)s\nacme.example %(s2)s\n", ["s1"]),
	("an author and his domain", "", "", "acme.example %(s1)s\nceo@acme.example %(s2)s\n", ["s1", "s2"]),
	("above and all", "", "", "acme.example %(s1)s\n.acme.example %(s2)s\n", ["s1", "s2"]),
	("all behind the domain", "", "", "acme.example %(s1)s\nceo@.acme.example %(s2)s\n* %(s2)s\n", ["s1", "s2"]),
	("a line without a key", "", "", "acme.example gone\nacme.example %(s1)s\n", []),
)
def test_which_key_signs(ctx, kind, more, signing, signs):
	"""The one that the milter takes, which is not every one that the signing table names."""
	with NameServer(ctx.tmp + "/ns", published()) as ns:
		site = Site(ctx, ns.address, kind=kind, more=more)
		made = {s: site.json("make", "acme.example", "--selector", s, "--type", "ed25519")[0] for s in ("s1", "s2")}
		site.put("signing.table", signing % {s: key["name"] for s, key in made.items()})
		assert sorted(row["selector"] for row in site.json("list") if row["signs"] == "yes") == signs
		assert sorted(row["selector"] for row in site.json("check", code=1) if row["signs"] == "yes") == signs
		assert sorted(key["selector"] for key in site.json("show", "acme.example") if key["signs"]) == signs
		text = site("show", "acme.example").stdout
		assert text.count(", signs\n") == len(signs), text


def test_a_second_key_is_made_and_does_not_sign(ctx):
	site = Site(ctx)
	assert site.json("make", "acme.example", "--selector", "s1")[0]["signs"]
	r = site("make", "acme.example", "--selector", "s2")
	assert "only the first key of a domain signs" in r.stderr and ", signs" not in r.stdout, (r.stdout, r.stderr)


def test_a_key_named_by_its_domain_signs(ctx):
	"""OpenDKIM's "%", which a rotation cannot write over."""
	site = Site(ctx)
	[key] = site.json("make", "acme.example", "--selector", "s1")
	site.put("key.table", "acme.example acme.example:s1:%s\n" % key["file"])
	site.put("signing.table", "* %\n")
	assert [row["signs"] for row in site.json("list")] == ["yes"]
	assert "%" in site("rotate", "acme.example", code=65).stderr
	assert site.json("rotate", "--continue", "acme.example")["phase"] == "none"


def test_make_without_tables(ctx):
	site = Site(ctx)
	r = site("make", "acme.example", "--selector", "s1", "--print")
	assert "s1._domainkey.acme.example acme.example:s1:%s/acme.example/s1.rsa" % site.keys in r.stderr, r.stderr
	assert "*@acme.example s1._domainkey.acme.example" in r.stderr, r.stderr
	assert not os.path.exists(site.dir + "/key.table") and not os.path.exists(site.dir + "/signing.table")


def test_a_key_does_not_sign_before_it_is_published(ctx):
	"""Where the signer does not look, make leaves the signing table alone."""
	site = Site(ctx, more="sign_check_published = no")
	r = site("make", "acme.example", "--selector", "s1")
	assert not os.path.exists(site.dir + "/signing.table") and "*@acme.example s1._domainkey" in r.stderr, r.stderr


def test_make_never_replaces_a_key(ctx):
	site = Site(ctx)
	[key] = site.json("make", "acme.example", "--selector", "s1")
	before = open(key["file"]).read()
	assert "already" in site("make", "acme.example", "--selector", "s1", code=65).stderr
	assert open(key["file"]).read() == before and len(site.read("key.table").splitlines()) == 1
	[next_key] = site.json("make", "acme.example")
	[third] = site.json("make", "acme.example")
	assert third["selector"] == next_key["selector"] + "-2", (next_key, third)


def test_two_at_once(ctx):
	"""No line is lost: who comes second waits for his turn, or is told so."""
	site = Site(ctx)
	done = []
	def make(name):
		r = run(ctx.program("postern"), "-c", site.dir + "/postern.conf", "keys", "make", "acme.example", "--selector", name,
		    "--directory", site.keys, "--bits", "4096")
		done.append((name, r.returncode))
	threads = [threading.Thread(target=make, args=("s%d" % i,)) for i in range(4)]
	for t in threads:
		t.start()
	for t in threads:
		t.join()
	made = sorted(name for name, code in done if code == 0)
	assert made and {code for _, code in done} <= {0, 69}, done
	assert sorted(line.split(":")[1] for line in site.read("key.table").splitlines()) == made, done


def test_show(ctx):
	site = Site(ctx)
	[key] = site.json("make", "acme.example", "--selector", "s1")
	text = site("show", "acme.example").stdout
	for words in (key["zone"], "name:  s1._domainkey\n", "value: %s\n" % key["text"], "value: %s\n" % key["strings"]):
		assert words in text, (words, text)
	assert site.json("show", "acme.example") == [key]
	assert "PRIVATE" not in text
	assert "postern keys make other.example" in site("show", "other.example", code=1).stderr


def test_the_name_in_a_panel(ctx):
	"""Its zone may be that of a domain above, as far up as there is a domain that somebody has."""
	site = Site(ctx)
	for domain, words in (("a.news.acme.test", "or, in a panel of the zone acme.test: s1._domainkey.a.news\n"),
	    ("news.acme.co.uk", "or, in a panel of the zone acme.co.uk: s1._domainkey.news\n")):
		text = site("make", domain, "--selector", "s1", "--type", "ed25519").stdout
		assert "name:  s1._domainkey\n       %svalue: v=DKIM1" % words in text, text
	for domain in ("acme.test", "acme.co.uk"):
		text = site("make", domain, "--selector", "s1", "--type", "ed25519").stdout
		assert "name:  s1._domainkey\nvalue: v=DKIM1" in text, text


@cases(
	("no domain", ["make"], "needs a domain"),
	("a path", ["make", "../etc"], "is no domain"),
	("a path in the selector", ["make", "acme.example", "--selector", "../s"], "is no selector"),
	("no such type", ["make", "acme.example", "--type", "dsa"], "--type"),
	("too few bits", ["make", "acme.example", "--bits", "512"], "--bits"),
	("no such verb", ["forge", "acme.example"], "forge"),
	("too old a key", ["rotate", "acme.example", "--after", "4000"], "--after takes days"),
	("two reasons", ["rotate", "acme.example", "--after", "180", "--continue"], "one of the two"),
)
def test_misuse(ctx, args, words):
	r = Site(ctx)(*args, code=64)
	assert words in r.stderr, r.stderr


# --- check

def test_check_agrees_with_opendkim(ctx):
	with NameServer(ctx.tmp + "/ns", published()) as ns:
		site = Site(ctx, ns.address)
		[key] = site.json("make", "acme.example", "--selector", "s1")
		[other] = site.json("make", "acme.example", "--selector", "s2")
		assert [row["published"] for row in site.json("check", "acme.example", code=1)] == ["no", "no"]
		ns.serve(published(key, other))
		assert [row["published"] for row in site.json("check", "acme.example")] == ["yes", "yes"]
		assert "key OK" in testkey(ctx, ns, key) and "key OK" in testkey(ctx, ns, other)
		ns.serve(published(key, dict(other, zone=key["zone"].replace("s1.", "s2."))))
		assert [row["finding"] for row in site.json("check", code=1)] == ["published", "the published key is another one"]
		assert "do not match" in testkey(ctx, ns, other, code=65)
		ns.stop()
		assert {row["published"] for row in site.json("check", "acme.example", code=75)} == {"unknown"}


# --- rotate

def test_rotation(ctx):
	with NameServer(ctx.tmp + "/ns", published()) as ns:
		site = Site(ctx, ns.address)
		[old] = site.json("make", "acme.example", "--selector", "old")
		ns.serve(published(old))
		signing = site.read("signing.table")

		# publish: told what, as often as it is asked
		first = site.json("rotate", "acme.example", "--selector", "new", code=1)
		assert first["phase"] == "publish" and first["keys"][0]["new"]["selector"] == "new", first
		assert site.json("rotate", "acme.example", code=1) == first
		new = first["keys"][0]["new"]
		assert not new["signs"] and site.read("signing.table") == signing
		assert new["zone"] in site("rotate", "acme.example", code=1).stdout

		# wait: as long as others may remember that there was none (the zone's negative TTL is a minute)
		ns.serve(published(old, new))
		assert site.json("rotate", "acme.example")["phase"] == "wait"
		assert site.json("rotate", "acme.example", later=50)["phase"] == "wait"
		assert site.read("signing.table") == signing

		# a record that vanished again is not switched to
		ns.serve(published(old))
		assert site.json("rotate", "acme.example", later=70, code=1)["phase"] == "publish"
		assert site.read("signing.table") == signing
		ns.serve(published(old, new))
		assert site.json("rotate", "acme.example", later=70)["phase"] == "wait"

		# switch
		assert site.json("rotate", "acme.example", later=200)["phase"] == "retire"
		assert site.read("signing.table") == "*@acme.example new._domainkey.acme.example\n"
		assert "key OK" in testkey(ctx, ns, new)
		assert [(row["selector"], row["signs"], row["rotation"]) for row in site.json("list")] \
		    == [("new", "yes", "retire"), ("old", "no", "retire")]

		# retire
		assert site.json("rotate", "acme.example", later=6 * DAY)["phase"] == "retire"
		assert os.path.exists(old["file"])
		r = site("rotate", "acme.example", later=8 * DAY)
		assert "take this out of the DNS, after the reload: old._domainkey.acme.example\n" in r.stdout, r.stdout
		assert "\nnext: reload postern-milter (" in r.stdout, r.stdout
		assert not os.path.exists(old["file"]) and os.path.exists(new["file"])
		assert site.read("key.table") == "new._domainkey.acme.example acme.example:new:%s\n" % new["file"]
		assert sorted(os.listdir(site.keys + "/acme.example")) == ["new.rsa"]
		ns.serve(published(new))
		assert [row["published"] for row in site.json("check")] == ["yes"]


def test_cron_goes_on_and_begins_nothing(ctx):
	"""What runs every day must not ask for another record whenever the last rotation is done."""
	with NameServer(ctx.tmp + "/ns", published()) as ns:
		site = Site(ctx, ns.address)
		[old] = site.json("make", "acme.example", "--selector", "old")
		ns.serve(published(old))
		daily = ["rotate", "--continue", "acme.example"]
		tables = site.read("key.table"), site.read("signing.table")
		assert site(*daily).stdout == "acme.example: nothing to do\n"
		assert site.json(*daily) == {"domain": "acme.example", "phase": "none", "until": None, "keys": []}
		assert (site.read("key.table"), site.read("signing.table")) == tables
		assert os.listdir(site.keys + "/acme.example") == ["old.rsa"]

		# begun by hand: 1 as long as somebody must publish, 0 when nothing but a reload is to be done
		new = site.json("rotate", "acme.example", "--selector", "new", code=1)["keys"][0]["new"]
		assert new["zone"] in site(*daily, code=1).stdout
		ns.serve(published(old, new))
		assert site.json(*daily)["phase"] == "wait"
		switched = site(*daily, later=DAY).stdout
		assert "next: reload postern-milter (systemctl reload postern-milter, or SIGUSR1): the old key signs until then" \
		    in switched, switched
		assert "take this out" not in switched
		for day in range(2, 8):
			r = site(*daily, later=day * DAY)
			assert "the old record may go after" in r.stdout and "reload postern-milter (" in r.stdout, r.stdout
			assert "take this out" not in r.stdout
		assert "take this out of the DNS, after the reload" in site(*daily, later=8 * DAY + 60).stdout
		for day in (9, 30, 400):
			assert site(*daily, later=day * DAY).stdout == "acme.example: nothing to do\n"
		assert os.listdir(site.keys + "/acme.example") == ["new.rsa"]


def test_rotation_by_age(ctx):
	with NameServer(ctx.tmp + "/ns", published()) as ns:
		site = Site(ctx, ns.address, more="sign_all = yes")
		rsa, ed = site.json("make", "acme.example", "--selector", "old", "--type", "both")
		ns.serve(published(rsa, ed))
		made = int(os.stat(rsa["file"]).st_mtime)
		os.utime(ed["file"], (made + 90 * DAY, made + 90 * DAY))	# the oldest one counts
		yearly = ["rotate", "--after", "180", "acme.example"]
		assert "nothing to do before " in site(*yearly, later=179 * DAY).stdout
		none = site.json(*yearly, later=179 * DAY)
		assert none["phase"] == "none" and none["until"] is not None, none
		site.json(*yearly, later=180 * DAY + 60, code=1)

		# what is under way goes on, however old the keys are
		pairs = site.json(*yearly, code=1)["keys"]
		assert len(pairs) == 2
		ns.serve(published(rsa, ed, *(p["new"] for p in pairs)))
		assert site.json(*yearly)["phase"] == "wait"
		assert site.json(*yearly, later=4000)["phase"] == "retire"
		assert site.json(*yearly, later=8 * DAY)["phase"] == "done"
		assert site.json(*yearly, later=179 * DAY)["phase"] == "none"
		assert site.json(*yearly, later=181 * DAY, code=1)["phase"] == "publish"


def test_the_age_of_a_key_that_has_no_file(ctx):
	site = Site(ctx)
	[key] = site.json("make", "acme.example", "--selector", "s1")
	with open(key["file"], encoding="ascii") as f:
		inside = "".join(line.strip() for line in f if not line.startswith("-"))
	site.put("key.table", "s1._domainkey.acme.example acme.example:s1:%s\n" % inside)
	r = site("rotate", "--after", "180", "acme.example", code=65)
	assert "its age is not known" in r.stderr and inside not in r.stdout + r.stderr, r.stderr
	site.put("key.table", "s1._domainkey.acme.example acme.example:s1:/nonexistent/s1\n")
	assert "/nonexistent/s1: No such file" in site("rotate", "--after", "180", "acme.example", code=69).stderr


def test_rotation_leaves_a_key_that_does_not_sign(ctx):
	"""With sign_all off the second key of a domain gets no follower, and stays where it is."""
	with NameServer(ctx.tmp + "/ns", published()) as ns:
		site = Site(ctx, ns.address)
		[first] = site.json("make", "acme.example", "--selector", "first")
		[second] = site.json("make", "acme.example", "--selector", "second")
		[pair] = site.json("rotate", "acme.example", "--selector", "next", code=1)["keys"]
		assert pair["old"] == first["name"]
		ns.serve(published(first, second, pair["new"]))
		site("rotate", "acme.example")
		site("rotate", "acme.example", later=4000)
		assert site.read("signing.table").split() == ["*@acme.example", pair["new"]["name"], "*@acme.example", second["name"]]
		site("rotate", "acme.example", later=8 * DAY)
		assert {row["selector"]: row["signs"] for row in site.json("list")} == {"next": "yes", "second": "no"}


def test_a_key_that_is_named_again_is_not_retired(ctx):
	"""Nor is it said that its record may go."""
	with NameServer(ctx.tmp + "/ns", published()) as ns:
		site = Site(ctx, ns.address)
		[old] = site.json("make", "acme.example", "--selector", "old")
		new = site.json("rotate", "acme.example", code=1)["keys"][0]["new"]
		ns.serve(published(old, new))
		site("rotate", "acme.example")
		site("rotate", "acme.example", later=4000)
		site.put("signing.table", site.read("signing.table") + "*@acme.example %s\n" % old["name"])
		r = site("rotate", "acme.example", later=8 * DAY, code=65)
		assert "names old._domainkey.acme.example again" in r.stderr and "take this out" not in r.stdout, (r.stdout, r.stderr)
		assert os.path.exists(old["file"])


def test_rotation_of_both_kinds(ctx):
	with NameServer(ctx.tmp + "/ns", published()) as ns:
		site = Site(ctx, ns.address, kind="", more="sign_all = yes")
		site.json("make", "acme.example", "--selector", "a", "--type", "both")
		pairs = site.json("rotate", "acme.example", code=1)["keys"]
		assert sorted(p["new"]["type"] for p in pairs) == ["ed25519", "rsa"] and len({p["new"]["selector"] for p in pairs}) == 2
		ns.serve(published(*(p["new"] for p in pairs[:1])))
		assert site.json("rotate", "acme.example", code=1)["phase"] == "publish"	# one of two is not enough
		ns.serve(published(*(p["new"] for p in pairs)))
		site.json("rotate", "acme.example")
		assert site.json("rotate", "acme.example", later=4000)["phase"] == "retire"
		assert [line.split() for line in site.read("signing.table").splitlines()] \
		    == [["acme.example", p["new"]["name"]] for p in sorted(pairs, key=lambda p: p["new"]["type"], reverse=True)]


def test_rotation_is_continued_where_it_was_interrupted(ctx):
	with NameServer(ctx.tmp + "/ns", published()) as ns:
		site = Site(ctx, ns.address)
		site.json("make", "acme.example", "--selector", "old")
		table = site.read("key.table")
		new = site.json("rotate", "acme.example", "--selector", "new", code=1)["keys"][0]["new"]
		site.put("key.table", table)		# ended before the line was written
		assert site.json("rotate", "acme.example", code=1)["keys"][0]["new"]["text"] == new["text"]
		os.unlink(new["file"])			# ended before the key was written
		site.put("key.table", table)
		assert site.json("rotate", "acme.example", code=1)["keys"][0]["new"]["text"] != new["text"]


def test_rotation_leaves_a_key_that_is_not_ours(ctx):
	"""OpenDKIM's own key, in its own place."""
	with NameServer(ctx.tmp + "/ns", published()) as ns:
		site = Site(ctx, ns.address)
		[made] = site.json("make", "acme.example", "--selector", "old")
		os.rename(made["file"], site.dir + "/theirs.private")
		site.put("key.table", "mail acme.example:old:%s/theirs.private\n" % site.dir)
		site.put("signing.table", "*@acme.example mail\n")
		new = site.json("rotate", "acme.example", code=1)["keys"][0]["new"]
		ns.serve(published(new))
		site("rotate", "acme.example")
		site("rotate", "acme.example", later=4000)
		assert "left where it is" in site("rotate", "acme.example", later=8 * DAY).stderr
		assert os.path.exists(site.dir + "/theirs.private")


def test_rotation_when_the_dns_is_silent(ctx):
	site = Site(ctx)
	site.json("make", "acme.example", "--selector", "old")
	assert site.json("rotate", "acme.example", code=75)["phase"] == "publish"


def test_rotation_without_a_key(ctx):
	assert "postern keys make" in Site(ctx)("rotate", "acme.example", code=1).stderr


def test_a_spoiled_state_is_said_and_changes_nothing(ctx):
	site = Site(ctx)
	site.json("make", "acme.example", "--selector", "old")
	site.put("keys/acme.example/rotation", "phase nonsense\n\x00")
	before = site.read("key.table")
	assert "cannot be understood" in site("rotate", "acme.example", code=65).stderr
	assert site.read("key.table") == before
