"""Our verdicts beside those of libopendkim without our guards, on mails that python3-dkim canonicalises."""

import base64
import collections
import hashlib
import itertools
import random
import re
import subprocess
import time

import dkim.crypto
import nacl.signing
from dkim.canonicalization import CanonicalizationPolicy

from lab import *
from test_dkim_interop import BLANKS, NAMES, body, field, read, write

DOMAIN = "example.org"
MAILS = 5000
GAPS = [b"", b"", b" ", b"\t", b"  ", b"\r\n ", b"\r\n\t", b" \r\n  "]

# Where the library passes and we do not.  Nowhere is it the other way round.
STRICTER = {
	"rsa-sha1 (RFC 8301)": "policy reason=rsa-sha1 is not accepted",
	"l=": "policy reason=signs a part of the body only",
	"t=y": "policy reason=the key is only tested",
	"no tag list as RFC 6376 has it": "neutral reason=syntax error",
	"more than base64 in b= or bh=": "neutral reason=b= or bh= is no signature",
	"q= without dns/txt": "neutral reason=unknown query method",
	"a CR that ends no line of the body": "neutral reason=the body has a CR",
	"CR, VT or FF in a field": "neutral reason=a header field has",
	"over signatures that do not count": "neutral reason=signs signatures that are not verified",
}


class Signer:
	"""Keys, their zone, and signatures with any tags in any layout."""

	def __init__(self, ctx):
		self.zone = ctx.tmp + "/zone"
		pem = subprocess.run(["openssl", "genrsa", "-traditional", "1024"], check=True, capture_output=True).stdout
		public = subprocess.run(["openssl", "rsa", "-pubout", "-outform", "DER"], input=pem, check=True,
		    capture_output=True).stdout
		self.rsa, self.ed25519 = dkim.crypto.parse_pem_private_key(pem), nacl.signing.SigningKey.generate()
		p = {"rsa": public, "ed25519": bytes(self.ed25519.verify_key)}
		with open(self.zone, "w") as zone:
			for kind, key in p.items():
				for name, record in (("good", "p="), ("tested", "t=y; p="), ("strict", "t=s; p="), ("sha1", "h=sha1; p="),
				    ("web", "s=web; p=")):
					zone.write('%s-%s._domainkey.%s TXT "v=DKIM1; k=%s; %s%s"\n'
					    % (name, kind, DOMAIN, kind, record, base64.b64encode(key).decode()))
			zone.write('revoked._domainkey.%s TXT "v=DKIM1; p="\n' % DOMAIN)
			zone.write('odd._domainkey.%s TXT "v=DKIM1; p=QUJDRA=="\n' % DOMAIN)
			zone.write('slow._domainkey.%s TIMEOUT\n' % DOMAIN)

	def crypt(self, algorithm, data):
		if algorithm.startswith(b"ed25519"):
			return self.ed25519.sign(hashlib.sha256(data).digest()).signature
		return dkim.crypto.RSASSA_PKCS1_v1_5_sign(getattr(hashlib, algorithm[4:].decode())(data), self.rsa)

	def signed(self, rng, mail, tags):
		"""The mail with a signature of these tags, shuffled and folded anyhow."""
		head, text = mail.split(b"\r\n\r\n", 1)
		fields = [(f + b"\r\n").split(b":", 1) for f in re.split(rb"\r\n(?![ \t])", head)]
		canon = CanonicalizationPolicy.from_c_value(tags.get(b"c"))
		text = canon.canonicalize_body(text)
		if b"l" in tags:
			text = text[:int(tags[b"l"])]
		digest = hashlib.sha1 if tags[b"a"] == b"rsa-sha1" else hashlib.sha256
		before, after = self.layout(rng, {**tags, b"bh": base64.b64encode(digest(text).digest())})
		wanted = re.sub(rb"\s", b"", tags[b"h"]).lower().split(b":")
		covered = b"".join(b"%s:%s" % tuple(f) for f in canon.canonicalize_headers(select(fields, wanted)))
		own = canon.canonicalize_headers([[b"DKIM-Signature", before + after + b"\r\n"]])[0]
		value = base64.b64encode(self.crypt(tags[b"a"], covered + b"%s:%s" % (own[0], own[1].removesuffix(b"\r\n"))))
		return b"DKIM-Signature:" + before + folded(rng, value) + after + b"\r\n" + mail

	@staticmethod
	def layout(rng, tags):
		"""What stands before and after the value of b=."""
		words = [n + rng.choice(GAPS) + b"=" + rng.choice(GAPS) + (folded(rng, v) if n in (b"bh", b"h") else v)
		    + rng.choice(GAPS) for n, v in tags.items()]
		rng.shuffle(words)
		words.insert(rng.randrange(len(words) + 1), (b"b" if rng.random() < 0.98 else b"b ") + b"=\0")
		text = rng.choice(GAPS) + b";".join(rng.choice(GAPS) + w for w in words) + rng.choice([b"", b"", b";", b"; "])
		return text.rstrip(b" \t\r\n").split(b"\0")


def select(fields, wanted):
	"""RFC 6376 section 5.4.2: the last first, each once, names that are not there are empty."""
	left, taken = list(fields), []
	for name in wanted:
		at = next((i for i in reversed(range(len(left))) if left[i][0].rstrip(b" \t").lower() == name), None)
		if at is not None:
			taken.append(left.pop(at))
	return taken


def folded(rng, value):
	pieces = [value]
	for _ in range(rng.choice([0, 0, 1, 3])):
		cut = rng.randrange(len(pieces[-1]) + 1)
		pieces[-1:] = [pieces[-1][:cut] + (rng.choice(GAPS) if 0 < cut < len(pieces[-1]) else b""), pieces[-1][cut:]]
	return b"".join(pieces)


def make_tags(rng, kind, now):
	def maybe(share, name, *values):
		if rng.random() < share:
			tags[name] = rng.choice(values)
	d = DOMAIN.encode()
	names = [b"From"] + [rng.choice(NAMES + [b"X-Absent", b"from", b"TO"]) for _ in range(rng.randrange(9))]
	rng.shuffle(names)
	tags = {b"v": b"1", b"a": kind.encode() + b"-sha256", b"d": d, b"h": b":".join(names),
	    b"s": b"good-" + kind.encode()}
	maybe(0.9, b"c", b"simple", b"relaxed", b"simple/simple", b"simple/relaxed", b"relaxed/simple", b"relaxed/relaxed")
	maybe(0.5, b"t", b"%d" % (now - 100), b"1111111111")
	maybe(0.3, b"x", b"%d" % (now + 9999), b"999999999999")
	maybe(0.4, b"i", b"@" + d, b"joe@" + d, b"@mail." + d, b"j=3Doe@" + d, b"@EXAMPLE.org")
	maybe(0.2, b"q", b"dns/txt", b"other:dns/txt")
	maybe(0.2, b"z", b"From:a@b.test|Subject:=20x")
	maybe(0.2, b"x_note", b"", b"a b")
	maybe(0.1, b"h", tags[b"h"] + b":DKIM-Signature", b"dkim-signature:From")
	# and what is not to count
	maybe(0.04, b"a", b"rsa-sha1" if kind == "rsa" else tags[b"a"])
	maybe(0.06, b"l", b"0", b"1", b"7", b"60", b"00004", b"99999")
	maybe(0.03, b"t", b"%d" % (now + 9000), b"%d" % (now + 10000), b"now", b"1")
	maybe(0.03, b"x", b"%d" % (now - 9000), b"0", b"soon")
	maybe(0.04, b"i", b"@bad" + d, b"joe", b"@org", b"joe@other.test")
	maybe(0.01, b"q", b"other")
	maybe(0.01, b"x-note", b"x")
	maybe(0.08, b"s", *[b"%s-%s" % (s, kind.encode()) for s in (b"tested", b"strict", b"sha1", b"web")], b"revoked",
	    b"odd", b"slow", b"nobody", b"good-rsa", b"good-ed25519")
	return tags


def change(rng, mail):
	"""One byte, one field or one blank is another."""
	how, at = rng.randrange(6), rng.randrange(len(mail))
	if how == 0:
		end = mail.index(b"\r\n", mail.index(b"bh"))	# most of it is the signature
		at = rng.randrange(16, max(17, end))
	if how <= 1:
		byte = rng.choice([b"", b"", b";", b" ", b"x", b"=", b":", b"A", b"\xff", b"\r", b"\v", b"\f"])
		return mail[:at] + byte + mail[at + rng.randrange(2):]
	if how == 2:
		return field(rng, rng.choice(NAMES)) + mail
	if how == 4:
		at = rng.randrange(mail.index(b"\r\n\r\n") + 4, len(mail) + 1)
		return mail[:at] + b"\r" + mail[at:]
	if how == 3:
		return mail.replace(b" ", b"  ", 1) if rng.random() < 0.5 else mail.replace(b"\r\n\t", b"\r\n ", 1)
	return mail + rng.choice([b"\r\n", b"\r\n\r\n", b"more\r\n", b" \r\n"])


def make_mail(rng):
	names = [b"From"] + [rng.choice(NAMES[1:]) for _ in range(rng.randrange(9))]
	rng.shuffle(names)
	text = body(rng).replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\n", b"\r\n")
	return b"".join(field(rng, n) for n in names) + b"\r\n" + text


def verdicts(*argv):
	"""{file: [verdict of each signature]}"""
	results = collections.defaultdict(list)
	for line in subprocess.run(argv, check=True, capture_output=True, text=True, errors="replace").stdout.splitlines():
		results[line.split(" ", 1)[0]].append(line.split(" ", 1)[1])
	return results


def as_it_arrives(mail):
	"""Postfix ends each line, and the last one, with CRLF."""
	mail = re.sub(rb"(?<!\r)\n", b"\r\n", mail)
	return mail if mail.endswith(b"\r\n") else mail + b"\r\n"


def is_harmless(mail):
	"""The library reads behind an i= that ends within a quoted byte."""
	return not re.search(rb"i\s*=[^;]*=[^;]?\s*(;|$)", mail.split(b"\r\n\r\n")[0])


def generate(signer, rng):
	while True:
		m, now = make_mail(rng), int(time.time())
		for _ in range(rng.choice([1, 1, 1, 2, 3])):
			m = signer.signed(rng, m, make_tags(rng, rng.choice(["rsa", "ed25519"]), now))
		if rng.random() < 0.5:
			m = change(rng, m)
		if is_harmless(m):
			yield as_it_arrives(m)


@timeout(240)
def test_same_verdicts(ctx):
	signer, rng = Signer(ctx), random.Random("library")
	files = write(ctx, itertools.islice(generate(signer, rng), MAILS))
	ours = verdicts(ctx.program("tests/wire/dkim_tool"), "verify", signer.zone, *files)
	theirs = verdicts(ctx.program("tests/wire/dkim_library"), signer.zone, *files)
	counts = collections.Counter()
	for f in files:
		assert len(ours[f]) == len(theirs[f]), read(f)
		for line, other in zip(ours[f], theirs[f]):
			verdict = line.split(" ", 3)[3].strip()		# behind d=, s= and a=
			if (verdict == "pass") == (other == "pass"):
				counts[verdict.split(" ")[0]] += 1
				continue
			why = [name for name, text in STRICTER.items() if other == "pass" and verdict.startswith(text)]
			assert why, (verdict, other, read(f))
			counts[why[0]] += 1
	note(", ".join("%s: %d" % pair for pair in counts.items()))
	assert set(counts) == set(STRICTER) | {"pass", "fail", "policy", "neutral", "permerror", "temperror"}, counts
	assert counts["pass"] > MAILS / 2 and counts["fail"] > MAILS / 10, counts
