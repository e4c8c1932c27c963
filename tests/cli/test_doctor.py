"""postern doctor, asking a real name server."""

import json
import socket

from lab import *
from nameserver import HEAD, NameServer, txt

CONF = """\
state_directory = "%(dir)s/state"
hostname = "mx.acme.example"
dns_servers = {"%(dns)s"}
dns_timeout = 2
sign_table = "refile:%(dir)s/signing.table"
sign_key_table = "%(dir)s/key.table"
gateway "main" { target = "redirect to acme.odoo.example" }
domain "acme.example" { gateway = main }
relay "transactional" { host = "smtp.relay.example" security = starttls from_filter = {"acme.example"} }
relay "google" { preset = gmail user = "odoo@acme.example" password_file = "/nonexistent" from_filter = {"ceo@acme.example"} }
"""

ACME = HEAD % {"name": "acme.example"} + "mx A 192.0.2.1\n"
OTHERS = {
	"relay.example": HEAD % {"name": "relay.example"} + "smtp A 198.51.100.7\nsmtp AAAA 2001:db8::7\n",
	"google.com": HEAD % {"name": "google.com"} + txt("_spf", "v=spf1 ip4:203.0.113.0/24 ~all"),
	"2.0.192.in-addr.arpa": HEAD % {"name": "2.0.192.in-addr.arpa"} + "1 PTR mx.acme.example.\n",
}
GOOD = "@ MX 10 mx\n" + txt("@", "v=spf1 a:smtp.relay.example include:_spf.google.com ~all") \
    + txt("_dmarc", "v=DMARC1; p=reject; rua=mailto:dmarc@acme.example")


class Site:
	def __init__(self, ctx, dns):
		self.ctx, self.dir, self.conf = ctx, ctx.tmp, ctx.tmp + "/postern.conf"
		with open(self.conf, "w", encoding="utf-8") as f:
			f.write(CONF % {"dir": ctx.tmp, "dns": dns})

	def __call__(self, *args, code):
		r = run(self.ctx.program("postern"), "-c", self.conf, *args)
		assert r.returncode == code, (args, r.returncode, r.stdout, r.stderr)
		return r

	def json(self, *args, code):
		return json.loads(self(*args, "--json", code=code).stdout)

	def make_key(self):
		return self.json("keys", "make", "acme.example", "--directory", self.dir + "/keys", code=0)[0]


def zones(more):
	return {"acme.example": ACME + more, **OTHERS}


def levels(out):
	"""{about: the worst level}"""
	order = ["ok", "warning", "unknown", "error"]
	worst = {}
	for f in out["findings"]:
		worst[f["about"]] = max(worst.get(f["about"], "ok"), f["level"], key=order.index)
	return worst


def test_what_it_says_to_publish_is_what_was_missing(ctx):
	"""An empty zone, the records that are proposed put into it, and all that is left is to be stricter."""
	with NameServer(ctx.tmp + "/ns", zones("")) as ns:
		site = Site(ctx, ns.address)
		key = site.make_key()
		before = site.json("doctor", code=2)
		assert levels(before) == {"spf": "error", "dkim": "error", "dmarc": "warning", "mx": "error", "reverse": "ok"}, before
		assert all(v["now"]["dmarc"] == "none" and v["published"]["dmarc"] == "pass" for v in before["verdicts"]), before
		assert {(v["relay"], v["from"], v["envelope"]) for v in before["verdicts"]} == {
		    ("transactional", "someone@acme.example", "bounce@acme.example"),
		    ("google", "ceo@acme.example", "ceo@acme.example"),
		    ("transactional", "ceo@acme.example", "bounce@acme.example")}, before["verdicts"]
		records = [f["publish"] for f in before["findings"] if f["publish"]]
		assert {p["name"].replace(key["selector"], "s") for p in records} \
		    == {"acme.example", "_dmarc.acme.example", "s._domainkey.acme.example"}, records
		# as lines of a zone file, word for word
		ns.serve(zones("@ MX 10 mx\n" + "".join(p["zone"] + "\n" for p in records)))
		after = site.json("doctor", code=1)
		assert levels(after) == {"spf": "ok", "dkim": "ok", "dmarc": "warning", "mx": "ok", "reverse": "ok"}, after
		assert [f["text"] for f in after["findings"] if f["level"] != "ok"] \
		    == ["p=none: forged mail is delivered like your own"], after
		assert all(v["level"] == "ok" and v["now"]["dmarc"] == "pass" and v["now"]["spf_aligned"] and v["now"]["dkim_aligned"]
		    for v in after["verdicts"]), after["verdicts"]


def test_all_well(ctx):
	with NameServer(ctx.tmp + "/ns", zones(GOOD)) as ns:
		site = Site(ctx, ns.address)
		key = site.make_key()
		ns.serve(zones(GOOD + key["zone"] + "\n"))
		r = site("doctor", code=0)
		assert "0 errors, 0 warnings, 0 not known" in r.stdout, r.stdout
		assert "include:_spf.google.com ~all (2 of 10 look-ups, 0 of 2 void)\n" in r.stdout, r.stdout
		assert "someone@acme.example by transactional: DMARC pass" in r.stdout, r.stdout
		for line in ("acme.example: SPF", "acme.example: DKIM", "acme.example: DMARC", "acme.example: MX",
		    "mx.acme.example: reverse name", "all domains: what a receiver would say"):
			assert "postern: " + line + "\n" in r.stderr, (line, r.stderr)


def test_text_has_the_record_to_publish(ctx):
	with NameServer(ctx.tmp + "/ns", zones(GOOD.replace("~all", "+all"))) as ns:
		r = Site(ctx, ns.address)("doctor", code=2)
	assert "error    spf     +all lets the whole world send as acme.example" in r.stdout, r.stdout
	assert 'acme.example. IN TXT ( "v=spf1 a:smtp.relay.example include:_spf.google.com ~all" )' in r.stdout, r.stdout


def test_other_domains_and_servers_by_option(ctx):
	other = HEAD % {"name": "other.example"} + "@ MX 1 mx.acme.example.\n" + txt("@", "v=spf1 -all")
	with NameServer(ctx.tmp + "/ns", {**zones(GOOD), "other.example": other}) as ns:
		site = Site(ctx, "127.0.0.1@1")
		out = site.json("doctor", "--dns", ns.address, "Other.Example.", code=1)
		ns.serve(zones(GOOD.split("_dmarc")[0]))
		undone = site.json("doctor", "--dns", ns.address, "other.example", code=1)
	assert {f["domain"] for f in out["findings"]} == {"other.example", "mx.acme.example"}, out
	# no filter has it, so it leaves inside the notification address of the domain that has one
	assert [v["header_from"] for v in out["verdicts"]] == ["notifications@acme.example"], out["verdicts"]
	assert [v["remedy"] for v in undone["verdicts"]] == ["postern doctor acme.example says which DMARC record to publish"]


def test_a_name_that_is_mistyped(ctx):
	with NameServer(ctx.tmp + "/ns", {**zones(GOOD), "example": HEAD % {"name": "example"}}) as ns:
		out = Site(ctx, ns.address).json("doctor", "acmee.example", code=2)
	assert [(f["about"], f["level"], f["text"]) for f in out["findings"] if f["domain"] == "acmee.example"] \
	    == [("domain", "error", "there is no such domain in the DNS")], out
	assert out["verdicts"] == [], out


def test_a_dns_that_is_silent_is_no_fault_of_the_domain(ctx):
	with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
		silent.bind(("127.0.0.1", 0))
		site = Site(ctx, "127.0.0.1@%d" % silent.getsockname()[1])
		out = site.json("doctor", code=75)
	assert {f["level"] for f in out["findings"]} == {"unknown", "warning"}, out
	assert [f["text"] for f in out["findings"] if f["level"] == "warning"] == ["mail of this domain is not signed here"], out
	assert {v["level"] for v in out["verdicts"]} == {"unknown"}, out
	assert not any(f["publish"] for f in out["findings"]), out


def test_records_cannot_write_to_the_terminal(ctx):
	evil = '@ TXT "v=spf1 exists:\\027[31m.example -all"\n'
	with NameServer(ctx.tmp + "/ns", zones(evil)) as ns:
		r = Site(ctx, ns.address)("doctor", code=2)
	assert "\x1b" not in r.stdout + r.stderr, r.stdout


@cases(
	("no domain", ["doctor", "a b"], 64, '"a b" is no domain'),
	("an empty label", ["doctor", "a..example"], 64, "is no domain"),
	("no server", ["doctor", "--dns", "nobody", "acme.example"], 65, "nobody"),
)
def test_misuse(ctx, args, code, words):
	assert words in Site(ctx, "127.0.0.1@1")(*args, code=code).stderr
