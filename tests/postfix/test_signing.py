"""What leaves by submission is signed, and others can verify it."""

import os
import re
import socket
import subprocess
import time

from checked import *
from outbound import *

JO = "Jo <jo@acme.example>"
VERIFY = """\
ns=$(awk '$1 == "nameserver" { print $2; exit }' /etc/resolv.conf)
ns=${ns:-127.0.0.1}
ip link set lo up && { ip addr add "$ns" dev lo 2> /dev/null || true; } || exit 2
sed -i "s/127\\.0\\.0\\.1@53/$ns@53/" "$1" && /usr/sbin/nsd -c "$1" || exit 2
shift
for i in 1 2 3 4 5 6 7 8 9 10; do
	opendkim-testmsg < "$1" && break
	sleep 0.2
done
for file; do opendkim-testmsg < "$file" || { echo "$file"; exit 1; }; done
"""


class Signing(Outbound):
	"""Signs by these tables, KEYS in a path is the folder with the keys; keys: selector -> Key of acme.example, published
	unless `published` names others."""

	def __init__(self, ctx, signing="*@acme.example rsa\n*@acme.example ed25519\n", key_table=None, keys=None, published=None,
	    canon="relaxed/relaxed", kind="refile:", top="", accounts=None, **options):
		self.keys = keys or {k: Key(ctx, k) for k in ("rsa", "ed25519")}
		published = self.keys if published is None else published
		self.ns = NameServer(ctx.tmp + "/ns", {"acme.example": HEAD % {"name": "acme.example"} + "".join(
		    txt(name + "._domainkey", key.record) for name, key in published.items())})
		if key_table is None:
			key_table = "".join("%s acme.example:%s:%s\n" % (name, name, key.path) for name, key in self.keys.items())
		self.tables = {"signing.table": signing, "key.table": key_table.replace("KEYS", ctx.tmp)}
		for name, text in self.tables.items():
			with open("%s/%s" % (ctx.tmp, name), "w", encoding="ascii") as f:
				f.write(text)
		self.sign = 'sign_table = "%s%s/signing.table"\nsign_key_table = "%s/key.table"\nsign_all = yes\ndns_servers = {"%s"}\n' % (
		    kind, ctx.tmp, ctx.tmp, self.ns.address)
		self.canon = canon
		super().__init__(ctx, accounts or {"acme": of("acme.example")}, top=top, **options)

	def write_conf(self, **parts):
		super().write_conf(**parts)
		with open(self.conf, encoding="utf-8") as f:
			text = f.read()
		with open(self.conf, "w", encoding="utf-8") as f:
			f.write(self.sign + "sign_canonicalization = %s\n" % self.canon + text)

	def __exit__(self, *exc):
		super().__exit__(*exc)
		self.ns.close()

	def record(self, name, timeout=5):
		"""As python3-dkim asks for it."""
		return self.keys[name.decode().split(".")[0]].record.encode()

	def verified(self, t):
		"""All signatures verify: their (d=, s=) in order."""
		found = signatures(t)
		for i in range(len(found)):
			assert dkim.DKIM(t.message).verify(idx=i, dnsfunc=self.record), (i, t.message)
		return found


def signatures(t):
	return [(re.search(r"\bd=([\w.-]+)", h).group(1), re.search(r"\bs=([\w.-]+)", h).group(1))
	    for h in t.headers("DKIM-Signature")]


BOTH = [("acme.example", "ed25519"), ("acme.example", "rsa")]
ODD = mail(CUSTOMER, "Jö  <jo@acme.example>", subject=" odd\tsubject \n\t with folds ", extra="X-Long: " + "word " * 30
    + "\nBcc: secret@x.test\nReturn-Path: <x@acme.example>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8",
    body="Zwei  Wörter \t\n\n.\n..\n" + "x" * 900 + "\n\n\n")


@cases(*[(c, c) for c in CANONS])
def test_both_algorithms(ctx, canon):
	"""As Odoo sends, with an odd header and body, and with a From that is rewritten on the way."""
	with Signing(ctx, canon=canon) as g:
		assert sorted(g.verified(g.leaves(JO)[1])) == BOTH
		r = g.submit(CUSTOMER, ODD, mail_params=["BODY=8BITMIME"])
		t = g.took(r)[1]
		assert sorted(g.verified(t)) == BOTH and not t.headers("Bcc") and not t.headers("Return-Path")
		assert all("c=" + canon in h for h in t.headers("DKIM-Signature"))
		assert 'signed="acme.example/' in g.line(r.queue_id) or "signed=acme.example/" in g.line(r.queue_id)
		_, t = g.leaves("Jo <jo@else.test>")
		assert sorted(g.verified(t)) == BOTH and t.header("From") == '"Jo" <notifications@acme.example>'
		big = g.submit(CUSTOMER, mail(CUSTOMER, JO, body="0123456789 \n" * 200000))
		assert sorted(g.verified(g.took(big)[1])) == BOTH


def test_libopendkim_verifies(ctx):
	"""opendkim-testmsg, which asks port 53 of the host's name server: in a network of its own, where that is ours."""
	with Signing(ctx) as g:
		files = []
		for frm in (JO, "Jo <jo@else.test>"):
			message = g.leaves(frm)[1].message
			first, second = re.findall(rb"^DKIM-Signature:.*?\r\n(?![ \t])", message, re.M | re.S)
			for i, one in enumerate((first, second)):
				files.append("%s/%d.eml" % (ctx.tmp, len(files)))
				with open(files[-1], "wb") as f:
					f.write(message.replace(one, b""))
		g.ns.write(g.ns.zones, port=53, conf="port53.conf")
		def verify(*paths):
			return subprocess.run(["unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", VERIFY, "sh",
			    g.ns.folder + "/port53.conf", *paths], capture_output=True, text=True, timeout=50)
		done = verify(*files)
		assert done.returncode == 0, (done.stdout, done.stderr)
		with open(files[0], "rb") as f:
			message = f.read()
		with open(ctx.tmp + "/bad.eml", "wb") as f:
			f.write(message.replace(b"Hello.", b"Hallo."))
		done = verify(files[0], ctx.tmp + "/bad.eml")
		assert done.returncode == 1 and "bad.eml" in done.stdout, (done.stdout, done.stderr)


def test_nothing_can_be_added(ctx):
	"""Oversigned: one From, To, Subject more, and it is no longer ours."""
	with Signing(ctx) as g:
		_, t = g.leaves(JO)
		for line in (b"From: x@evil.test\r\n", b"To: x@evil.test\r\n", b"Subject: pay\r\n", b"Reply-To: x@evil.test\r\n",
		    b"Cc: x@evil.test\r\n"):
			for i in range(2):
				assert not dkim.DKIM(line + t.message).verify(idx=i, dnsfunc=g.record), line
		assert " l=" not in t.header("DKIM-Signature")


SES = ("ses", "preset = amazon-ses")


@cases(("the relay", {SES: "acme.example"}, "", True),
    ("the next relay", {("main", ""): "acme.example", SES: "acme.example"}, "", True),
    ("a relay of others", {("main", ""): "acme.example", SES: "else.example"}, "", False),
    ("the map may know it", {("main", ""): "acme.example", SES: "else.example"}, "live_routes = yes", True))
def test_relay_that_replaces_dates(ctx, relays, top, replaced):
	"""Amazon SES writes Date and Message-ID anew: the signature stands, and covers the rest."""
	accounts = {name: of(*filters.split(), lines=lines) for (name, lines), filters in relays.items()}
	with Signing(ctx, accounts=accounts, top=top) as g:
		_, t = g.leaves(JO)
		assert sorted(g.verified(t)) == BOTH and t.header("Date") and t.header("Message-ID")
		anew, n = re.subn(rb"^(Date|Message-ID):.*\r\n", rb"\1: anew\r\n", t.message, flags=re.M | re.I)
		assert n == 2
		for i in range(2):
			assert dkim.DKIM(anew).verify(idx=i, dnsfunc=g.record) == replaced
			assert not dkim.DKIM(b"Subject: pay\r\n" + anew).verify(idx=i, dnsfunc=g.record)


def test_what_is_not_ours_is_not_signed(ctx):
	"""Strangers, neighbours, other authors, authors in doubt."""
	with Signing(ctx, accounts={"any": of()}, top="rewrite = no") as g:
		assert not g.accepted("sales", mail("sales", JO), sender="jo@acme.example").headers("DKIM-Signature")
		r = g.send("sales", mail("sales", JO), sender=BOUNCE, source="127.0.0.2")
		assert not g.arrived(r).headers("DKIM-Signature")
		for frm in ("Jo <jo@else.test>", "jo@sub.acme.example", "jo@acme.example, x@else.test", "x@else.test, jo@acme.example",
		    '"jo@acme.example" <x@else.test>', '"<x@else.test>" <jo@acme.example>', "x@acme.example.else.test"):
			r = g.as_odoo(frm)
			if r.code == 250:
				assert not g.took(r)[1].headers("DKIM-Signature"), frm
		assert sorted(g.verified(g.leaves(JO)[1])) == BOTH
		assert sorted(g.verified(g.leaves(JO, sender="")[1])) == BOTH


def test_an_author_in_his_own_letters(ctx):
	"""Tables and DNS have the A-label, whatever the From has."""
	domain = "xn--bcher-kva.example"
	with Signing(ctx, signing="*@%s rsa\n" % domain, key_table="rsa %s:rsa:KEYS/rsa.pem\n" % domain, keys={"rsa": Key(ctx, "rsa")},
	    accounts={"any": of(domain, "bücher.example")}, top="sign_check_published = no") as g:
		for frm in ("Jo <jo@%s>" % domain, "Jo <jo@bücher.example>"):
			r = g.submit([CUSTOMER], mail(CUSTOMER, frm), mail_params=["BODY=8BITMIME", "SMTPUTF8"])
			assert g.verified(g.took(r)[1]) == [(domain, "rsa")], frm


def test_no_key_of_another_gateway(ctx):
	"""Nor for a domain below one of its domains: the signature would be its."""
	more = 'gateway "beta" { target = "redirect to beta.odoo.example" }\ndomain "beta.example" { gateway = "beta" }\n'
	with Signing(ctx, signing="*@acme.example rsa\n*@*beta.example beta\n", keys={"rsa": Key(ctx, "rsa")},
	    key_table="rsa acme.example:rsa:KEYS/rsa.pem\nbeta beta.example:rsa:KEYS/rsa.pem\n", more=more,
	    accounts={"any": of("acme.example", "beta.example", "sub.beta.example")}, top="sign_check_published = no",
	    gateway='logins = {"odoo"}') as g:
		assert g.verified(g.leaves(JO)[1]) == [("acme.example", "rsa")]
		for frm in ("jo@beta.example", "jo@sub.beta.example"):
			r = g.submit([CUSTOMER], mail(CUSTOMER, frm))
			assert ("beta.example", "rsa") not in signatures(g.took(r)[1]), frm
			assert " signed=beta" not in g.line(r.queue_id), frm


def test_what_is_forwarded_is_not_signed(ctx):
	"""From a network of ours, but another host had it first."""
	with Signing(ctx, top='outbound_networks = {"127.0.0.2/32"}') as g:
		def line(extra):
			message = mail(CUSTOMER, JO, extra=extra)
			return g.line(g.send(CUSTOMER, message, sender=BOUNCE, source="127.0.0.2").queue_id)
		assert " signed=" in line("")
		assert " signed=" not in line("Received: from a.test by b.test; Mon, 6 Jul 2026 10:00:00 +0000")


def test_sendmail(ctx):
	with Signing(ctx, top="outbound_sendmail = yes") as g:
		g.pf.sendmail(["-f", BOUNCE, CUSTOMER], mail(CUSTOMER, JO, extra="Bcc: x@y.test"))
		assert sorted(g.verified(g["acme"].wait_one())) == BOTH
		g["acme"].clear()
		g.reload(top="outbound_sendmail = no")
		g.pf.sendmail(["-f", BOUNCE, CUSTOMER], mail(CUSTOMER, JO))
		assert not g["acme"].wait_one().headers("DKIM-Signature")


def test_another_key_is_published(ctx):
	"""Not signed, and said so; the good one of two signs alone."""
	keys = {k: Key(ctx, k) for k in ("rsa", "ed25519")}
	other = Key(ctx, "rsa", "other")
	with Signing(ctx, keys=keys, published={"rsa": other, "ed25519": keys["ed25519"]}) as g:
		r = g.as_odoo(JO)
		assert g.verified(g.took(r)[1]) == [("acme.example", "ed25519")]
		assert re.search("not_signed=.*(rsa|another)", g.line(r.queue_id))
		g.sign = g.sign.replace("sign_all = yes", "sign_all = yes\nsign_check_published = no")
		g.reload()
		assert sorted(signatures(g.leaves(JO)[1])) == BOTH


def test_nothing_is_published(ctx):
	with Signing(ctx, published={}) as g:
		r = g.as_odoo(JO)
		assert not g.took(r)[1].headers("DKIM-Signature") and "not_signed=" in g.line(r.queue_id)


def test_the_dns_is_down(ctx):
	"""That is no reason not to sign."""
	with Signing(ctx, top="dns_timeout = 1s\ndns_budget = 1s") as g:
		g.ns.stop()
		assert sorted(g.verified(g.leaves(JO)[1])) == BOTH


def test_the_dns_is_silent(ctx):
	"""The keys of one mail share their time."""
	with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, Signing(ctx, start=False) as g:
		silent.bind(("127.0.0.1", 0))
		g.sign = g.sign.replace(g.ns.address, "127.0.0.1@%d" % silent.getsockname()[1])
		g.write_conf()
		g.start()
		started = time.monotonic()
		assert sorted(g.verified(g.leaves(JO)[1])) == BOTH
		assert time.monotonic() - started < 5


TABLES = [
	("refile, first match only", "refile:", "jo@acme.example rsa\n*@acme.example ed25519\n", None, "no", ["rsa"]),
	("refile, all matches", "refile:", "jo@* rsa\n*@acme.example ed25519\n", None, "yes", ["rsa", "ed25519"]),
	("file, domain", "file:", "acme.example rsa\n", None, "yes", ["rsa"]),
	("file, address", "", "jo@acme.example ed25519\nacme.example rsa\n", None, "no", ["ed25519"]),
	("the author's domain", "refile:", "*@acme.example all\n", "all %:rsa:KEYS/rsa.pem\n", "yes", ["rsa"]),
	("a path by domain", "refile:", "*@acme.example all\n", "all %:rsa:KEYS/%/rsa.pem\n", "yes", ["rsa"]),
	("comments", "refile:", "# all\n\n*@acme.example rsa # this\n", "# keys\nrsa acme.example:rsa:KEYS/rsa.pem\n", "yes", ["rsa"]),
	("nobody", "refile:", "*@else.test rsa\n", None, "yes", []),
]


@cases(*TABLES)
def test_tables(ctx, kind, signing, key_table, every, want):
	keys = {k: Key(ctx, k) for k in ("rsa", "ed25519")}
	os.mkdir(ctx.tmp + "/acme.example")
	os.link(keys["rsa"].path, ctx.tmp + "/acme.example/rsa.pem")
	with Signing(ctx, keys=keys, kind=kind, signing=signing, key_table=key_table, start=False) as g:
		g.sign = g.sign.replace("sign_all = yes", "sign_all = " + every)
		if kind == "file:":
			g.sign = g.sign.replace('sign_key_table = "', 'sign_key_table = "file:')
		g.write_conf()
		g.start()
		assert sorted(s for _, s in g.verified(g.leaves(JO)[1])) == sorted(want)


BAD_SETUPS = [
	("others may read the key", lambda g: os.chmod(g.keys["rsa"].path, 0o644), r"rsa\.pem.*chmod"),
	("the key is not there", lambda g: os.unlink(g.keys["rsa"].path), r"key\.table:1.*rsa\.pem"),
	("it is no key", lambda g: os.truncate(g.keys["rsa"].path, 100), r"rsa\.pem"),
	("no table", lambda g: os.unlink(g.ctx.tmp + "/signing.table"), r"signing\.table"),
	("a line that is none", lambda g: append(g, "key.table", "what\n"), r"key\.table:.*3"),
]


def append(g, name, text):
	with open("%s/%s" % (g.ctx.tmp, name), "a", encoding="ascii") as f:
		f.write(text)


@cases(*BAD_SETUPS)
def test_not_started(ctx, spoil, text):
	"""With a word on what to do; and a reload keeps what was good."""
	with Signing(ctx, start=False) as g:
		g.start()
		spoil(g)
		g.reload()
		assert re.search(text, g.milter.stderr()), g.milter.stderr()
		assert sorted(g.verified(g.leaves(JO)[1])) == BOTH
		g.milter.stop()
		try:
			g.milter.start()
		except LabError as e:
			assert re.search(text, str(e)) and "ended with 78" in str(e), e
		else:
			assert False, "started"


def test_by_the_signer(ctx):
	"""The keys are gone when the milter starts: postern-signer has read them.  Without it mail leaves all the same."""
	with Signing(ctx, start=False) as g:
		g.sign += 'signer_socket = "unix:%s/signer.sock"\n' % ctx.tmp
		g.write_conf()
		with Program(ctx.program("postern-signer"), ["-c", g.conf], [ctx.tmp + "/signer.sock"]):
			for key in g.keys.values():
				os.unlink(key.path)
			g.start()
			assert sorted(g.verified(g.leaves(JO)[1])) == BOTH
			_, t = g.leaves("Jo <jo@else.test>")
			assert sorted(g.verified(t)) == BOTH and t.header("From") == '"Jo" <notifications@acme.example>'
		r = g.as_odoo(JO)
		assert not g.took(r)[1].headers("DKIM-Signature") and re.search("not_signed=.*postern-signer at", g.line(r.queue_id))


def test_a_new_key(ctx):
	"""Another selector: publish, switch, reload."""
	with Signing(ctx, signing="*@acme.example old\n", keys={"old": Key(ctx, "rsa", "old"), "new": Key(ctx, "rsa", "new")}) as g:
		assert g.verified(g.leaves(JO)[1]) == [("acme.example", "old")]
		with open(ctx.tmp + "/signing.table", "w", encoding="ascii") as f:
			f.write("*@acme.example new\n")
		assert g.verified(g.leaves(JO)[1]) == [("acme.example", "old")]
		g.reload()
		assert g.verified(g.leaves(JO)[1]) == [("acme.example", "new")]
