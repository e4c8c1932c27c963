"""DKIM with other implementations: ours read by python3-dkim and libopendkim, theirs by us."""

import base64
import os
import random
import subprocess

import dkim

from lab import *

CANONS = ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"]
DOMAIN = "example.org"


class Keys:
	"""An RSA and an Ed25519 key, and the zone that publishes them."""

	def __init__(self, ctx):
		self.tool = ctx.program("tests/wire/dkim_tool")
		self.zone = ctx.tmp + "/zone"
		self.path, self.record = {}, {}
		with open(self.zone, "w") as zone:
			for kind in ("rsa", "ed25519"):
				self.path[kind] = ctx.tmp + "/" + kind + ".pem"
				self.record[kind] = self.run("key", kind, self.path[kind]).strip()
				zone.write('%s._domainkey.%s TXT "%s"\n' % (kind, DOMAIN, self.record[kind]))

	def run(self, *args, **environment):
		return subprocess.run([self.tool, *args], check=True, capture_output=True, text=True,
		    env=dict(os.environ, **environment)).stdout

	def sign(self, canon, files, kinds=("rsa", "ed25519")):
		self.run("sign", canon, *files, "--", *[x for k in kinds for x in (self.path[k], DOMAIN, k)])

	def verify(self, files):
		"""{file: [result of each signature]}"""
		results = {f: [] for f in files}
		for line in self.run("verify", self.zone, *files).splitlines():
			results[line.split(" ")[0]].append(line.split(" ", 4)[4].strip())
		return results

	def dns(self, name, timeout=5):
		return self.record[name.decode().split(".")[0]].encode()

	def python_key(self, kind):
		"""As python3-dkim takes it: PEM, or the base64 of the 32 bytes."""
		with open(self.path[kind], "rb") as f:
			pem = f.read()
		if kind == "rsa":
			return pem
		return base64.b64encode(base64.b64decode(b"".join(pem.splitlines()[1:-1]))[-32:])


def write(ctx, mails, end=""):
	files = []
	for i, mail in enumerate(mails):
		files.append("%s/%d%s" % (ctx.tmp, i, end))
		with open(files[-1], "wb") as f:
			f.write(mail)
	return files


def read(path):
	with open(path, "rb") as f:
		return f.read()


BLANKS = [b"", b" ", b"  ", b"\t", b" \t "]
WORDS = [b"word", b"a", b"=", b";:", "grün".encode(), b"\xff\xfe", b"x" * 90, b".", b"=20", b"b=1; bh=2"]


def text(rng, gaps, words=8):
	return b"".join(rng.choice(gaps) + rng.choice(WORDS) for _ in range(rng.randrange(1, words)))


def field(rng, name):
	folds = [b" ", b"  ", b"\t", b"\r\n ", b"\r\n\t", b" \r\n  ", b"\t\r\n\t"]
	first = rng.choice(BLANKS + [b"\r\n "])
	return name + b":" + first + text(rng, folds).lstrip(b"\r\n\t ") + rng.choice(BLANKS) + b"\r\n"


def body(rng, breaks=b"\r\n"):
	lines = [rng.choice([b"", b"", b" ", b"\t \t", rng.choice(BLANKS) + text(rng, BLANKS) + rng.choice(BLANKS)])
	    for _ in range(rng.randrange(0, 12))]
	whole = b"".join(line + b"\r\n" for line in lines)
	end = rng.randrange(4)
	if end == 0:
		return whole + b"\r\n" * rng.randrange(5)
	if end == 1:
		return whole + b"no line end"
	if end == 2:
		return whole.replace(b"\r\n", b"\n")
	return whole


NAMES = [b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Cc", b"Reply-To", b"Content-Type", b"List-Id",
    b"sUBJECT", b"X-Other", b"Received", b"References", b"MIME-Version"]


def mail(rng):
	names = [b"From"] + [rng.choice(NAMES[1:]) for _ in range(rng.randrange(0, 12))]
	rng.shuffle(names)
	return b"".join(field(rng, n) for n in names) + b"\r\n" + body(rng)


@timeout(240)
@cases(*[(c, c) for c in CANONS])
def test_ours_is_read_by_others(ctx, canon):
	keys, rng = Keys(ctx), random.Random("ours " + canon)
	mails = [mail(rng) for _ in range(700)]
	files = write(ctx, mails)
	keys.sign(canon, files)
	signed = [f + ".signed" for f in files]
	for path, results in keys.verify(signed).items():
		assert results == ["pass", "pass"], (results, read(path))
	for path in signed:
		for i in range(2):
			assert dkim.DKIM(read(path)).verify(idx=i, dnsfunc=keys.dns), (i, read(path))


@timeout(240)
@cases(*[(c, c) for c in CANONS])
def test_theirs_is_read_by_us(ctx, canon):
	keys, rng = Keys(ctx), random.Random("theirs " + canon)
	signed = []
	for kind, algorithm, count in (("rsa", b"rsa-sha256", 60), ("ed25519", b"ed25519-sha256", 300)):
		for _ in range(count):
			m = mail(rng).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
			signature = dkim.sign(m, kind.encode(), DOMAIN.encode(), keys.python_key(kind),
			    canonicalize=tuple(c.encode() for c in canon.split("/")), signature_algorithm=algorithm,
			    include_headers=[b"from", b"from", b"subject", b"to", b"date"])
			signed.append(signature + m)
	for path, results in keys.verify(write(ctx, signed)).items():
		assert results == ["pass"], (results, read(path))


@timeout(240)
@cases(*[(c, c) for c in CANONS])
def test_libopendkim_is_read_by_us(ctx, canon):
	keys, rng = Keys(ctx), random.Random("libopendkim " + canon)
	for kind in ("rsa", "ed25519"):
		mails = []
		for _ in range(200):
			m = mail(rng).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
			m = m[6:] if m.startswith(b"From:\r\n") else m
			mails.append(b"From: ann@example.org\r\n" + m.removesuffix(b"no line end"))
		files = write(ctx, mails, "." + kind)
		# its signing with Ed25519 leaks
		keys.run("opendkim", canon, kind, keys.path[kind], DOMAIN, kind, *files, ASAN_OPTIONS="detect_leaks=0")
		passed = 0
		for path, results in keys.verify([f + ".signed" for f in files]).items():
			assert (results == ["pass"]) == dkim.verify(read(path), dnsfunc=keys.dns), (results, read(path))
			passed += results == ["pass"]
		# with simple it folds a short b= otherwise than it has hashed it
		assert passed == 200 or (kind == "ed25519" and canon.startswith("simple")), passed


def test_opendkim_testmsg_signs_with_sha1_only(ctx):
	"""Debian's: what it signs has not counted since RFC 8301."""
	keys = Keys(ctx)
	signed = subprocess.run(["/usr/sbin/opendkim-testmsg", "-C", "-d", DOMAIN, "-s", "rsa", "-k", keys.path["rsa"]],
	    input=b"Date: today\r\nFrom: <a@example.org>\r\n\r\nhello\r\n", check=True, capture_output=True).stdout
	files = write(ctx, [signed])
	assert b"a=rsa-sha1" in signed and keys.verify(files)[files[0]][0].startswith("policy")


@cases(
    ("body", b"offer", b"0ffer"), ("line appended", b"offer\r\n", b"offer\r\nmore\r\n"),
    ("subject", b"\r\nSubject: ", b"\r\nSubject: Re: "), ("missing Date", b"\r\nDate: today", b""),
    ("second From", b"\r\nFrom:", b"\r\nFrom: <m@x.test>\r\nFrom:"),
    ("second Subject", b"\r\nSubject:", b"\r\nSubject: you win\r\nSubject:"),
    ("Cc added", b"\r\nTo:", b"\r\nCc: all@x.test\r\nTo:"), ("selector", b"s=rsa", b"s=ed25519"),
)
def test_change_is_seen(ctx, old, new):
	keys = Keys(ctx)
	m = b"From: <a@example.org>\r\nTo: <b@x.test>\r\nSubject: Hello\r\nDate: today\r\n\r\nour offer\r\n"
	for canon in CANONS:
		files = write(ctx, [m], canon.replace("/", "-"))
		keys.sign(canon, files)
		signed = read(files[0] + ".signed")
		changed = write(ctx, [signed.replace(old, new)], ".changed")
		assert signed.count(old) > 0
		assert keys.verify([files[0] + ".signed"])[files[0] + ".signed"] == ["pass", "pass"]
		results = keys.verify(changed)[changed[0]]
		if old.startswith(b"s="):
			results = results[:1]
		for result in results:
			assert result.startswith(("fail", "permerror")), result


def test_bare_cr_is_text(ctx):
	"""libopendkim loses it: what we sign is what RFC 6376 says."""
	keys = Keys(ctx)
	files = write(ctx, [b"From: <a@example.org>\r\n\r\na\rb \r c\r\n"])
	for canon in CANONS:
		keys.sign(canon, files)
		assert dkim.verify(read(files[0] + ".signed"), dnsfunc=keys.dns), canon


def test_speed(ctx):
	"""A signature costs little more than RSA itself: the key is decoded once."""
	keys = Keys(ctx)
	ours = float(keys.run("speed", keys.path["rsa"], "1").split()[0])
	raw = subprocess.run(["openssl", "speed", "-seconds", "1", "rsa2048"], check=True, capture_output=True,
	    text=True).stdout
	share = ours / float(raw.split()[-2])
	note("%.2f of openssl speed rsa2048" % share)
	with open(keys.tool, "rb") as f:
		sanitized = b"__asan_init" in (data := f.read()) or b"__tsan_init" in data
	assert share > (0.2 if sanitized else 0.6), share
