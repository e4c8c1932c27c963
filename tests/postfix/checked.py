"""What the tests of authentication share: a gateway that verifies, a name server with zones of our own, and keys that
python3-dkim signs with.
"""

import base64
import re
import subprocess

import dkim

from gateway import *
from lab import *
from nameserver import HEAD, NameServer, txt

GOOD, BAD, RELAY, FORWARDER = "127.0.0.10", "127.0.0.66", "127.0.0.20", "127.0.0.30"
GOOD_BEHIND, BAD_BEHIND = "192.0.2.10", "192.0.2.66"	# of those, as a trusted relay tells it
SERV_ID = "postern.mx.lab.test"
AR = "Authentication-Results"
CANONS = ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"]

# Who sends from GOOD, and what is wanted of mail that does not; nobody serves broken.example.
RECORDS = "".join(txt(name, text) for name, text in [
	("reject", "v=spf1 ip4:%s ip4:%s -all" % (GOOD, GOOD_BEHIND)), ("_dmarc.reject", "v=DMARC1; p=reject"),
	("quarantine", "v=spf1 ip4:%s -all" % GOOD), ("_dmarc.quarantine", "v=DMARC1; p=quarantine"),
	("none", "v=spf1 ip4:%s -all" % GOOD), ("_dmarc.none", "v=DMARC1; p=none"),
	("soft", "v=spf1 ip4:%s ~all" % GOOD), ("plain", "v=spf1 ip4:%s -all" % GOOD),
	("neutral", "v=spf1 ?all"), ("twice", "v=spf1 -all"), ("twice", "v=spf1 +all"),
	("broken", "v=spf1 include:broken.example -all"), ("_dmarc.broken", "v=DMARC1; p=reject"),
	("evil", "v=spf1 ip4:%s -all" % BAD), ("_dmarc.evil", "v=DMARC1; p=none"),
	("host.reject", "v=spf1 ip4:%s -all" % GOOD),
	("strict", "v=spf1 ip4:%s -all" % GOOD), ("_dmarc.strict", "v=DMARC1; p=reject; aspf=s; adkim=s"),
	("sub.strict", "v=spf1 ip4:%s -all" % GOOD)])


def zone(more=""):
	return {"test": HEAD % {"name": "test"} + RECORDS + more}


class Key:
	"""A private key in a file, and its record."""

	def __init__(self, ctx, kind="rsa", name=None):
		self.kind, self.path = kind, "%s/%s.pem" % (ctx.tmp, name or kind)
		self.record = subprocess.run([ctx.program("tests/wire/dkim_tool"), "key", kind, self.path], check=True,
		    capture_output=True, text=True).stdout.strip()

	def line(self, domain="reject", selector=None):
		"""For a zone; domain: below test."""
		return txt("%s._domainkey.%s" % (selector or self.kind, domain), self.record)

	def sign(self, message, domain="reject.test", canon="relaxed/relaxed", selector=None, headers=(b"from", b"to", b"subject")):
		"""The mail with a signature by python3-dkim above it."""
		message = crlf(message)
		with open(self.path, "rb") as f:
			key = f.read()
		if self.kind == "ed25519":
			key = base64.b64encode(base64.b64decode(b"".join(key.splitlines()[1:-1]))[-32:])
		return dkim.sign(message, (selector or self.kind).encode(), domain.encode(), key,
		    canonicalize=tuple(c.encode() for c in canon.split("/")), include_headers=list(headers),
		    signature_algorithm=b"rsa-sha256" if self.kind == "rsa" else b"ed25519-sha256") + message


class Checked(Gateway):
	"""A gateway that verifies.  dmarc, zones and what is in `top` may change: .dmarc, .reload()"""

	def __init__(self, ctx, dmarc="mark", more_zone="", gateway="", **options):
		self.dmarc = dmarc
		self.ns = NameServer(ctx.tmp + "/ns", zone(more_zone))
		self.dns = 'dns_servers = {"%s"}\n' % self.ns.address
		# one mail after another of the same sender and Message-ID
		super().__init__(ctx, gateway="twin_lease = 0s\n\tmail.gateway.loop.threshold = 1000\n\t" + gateway, **options)

	def write_conf(self, **parts):
		super().write_conf(**parts)
		with open(self.conf, encoding="utf-8") as f:
			text = f.read()
		assert "dmarc = off\n" in text
		with open(self.conf, "w", encoding="utf-8") as f:
			f.write(text.replace("dmarc = off\n", "dmarc = %s\n%s" % (self.dmarc, self.dns)))

	def __exit__(self, *exc):
		super().__exit__(*exc)
		self.ns.close()

	def from_(self, domain, source=GOOD, to="sales", message=None, sender=None, **options):
		"""One mail from that domain, by header and envelope; the Result."""
		who = "ann@%s" % domain
		return self.send(to, mail(to, who) if message is None else message, sender=who if sender is None else sender,
		    source=source, **options)

	def results(self, result, sink=None):
		"""{method: result} as our field tells them, which stands above all that came; several dkim are a list."""
		return told(self.arrived(result, sink))


def told(t):
	assert len([h for h in t.headers(AR) if h.startswith(SERV_ID)]) == 1, t.header_text
	names = re.findall(r"^([\w-]+):", t.header_text, re.M)
	above = names[:names.index(AR)]
	assert set(above) <= {"Received", "X-Postern-Route", "X-Postern-Stamp", "Delivered-To", "Return-Path"}, t.header_text
	mine = t.headers(AR)[0]
	assert mine.startswith(SERV_ID + ";"), mine
	# values in quotes are somebody's words
	return re.findall(r"; (\w+=\w+)", re.sub(r'"(\\.|[^"\\])*"', '""', mine))
