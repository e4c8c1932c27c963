"""The resolver asks a real authoritative server: NSD with zones of our own."""

import glob
import os
import socket
import subprocess
import threading
import time

from lab import *
from nameserver import HEAD, NameServer

ONE = HEAD % {"name": "one.example"} + """\
www A 192.0.2.1
www A 192.0.2.2
www AAAA 2001:db8::1
mail MX 20 second
mail MX 10 first
null MX 0 .
txt TXT "v=spf1 " "-all"
chain CNAME link1
link1 CNAME link2
link2 CNAME link3
link3 CNAME www
across CNAME www.two.example.
lost CNAME gone
loop CNAME pool
pool CNAME loop
a.b.deep A 192.0.2.3
odd\\032name A 192.0.2.4
""" + "".join('many TXT "record %d %s"\n' % (i, "x" * 100) for i in range(59))

# What libunbound would answer by itself.
OWN = {
	"company.test": HEAD % {"name": "company.test"} + "www A 192.0.2.10\n",
	"10.in-addr.arpa": HEAD % {"name": "10.in-addr.arpa"} + "7.0.0 PTR www.company.test.\n",
}
TWO = HEAD % {"name": "two.example"} + "www A 192.0.2.9\n"


def resolve(ctx, forwarders, *questions, args=()):
	"""The lines of tests/wire/resolve for (name, type), ..."""
	argv = [word for f in forwarders for word in ("-f", f)] + list(args)
	done = run(ctx.program("tests/wire/resolve"), *argv, *(word for q in questions for word in q), check=0)
	return done.stdout.splitlines()


ANSWERS = [
	("www.one.example", "A", "ok c0000201 c0000202"),
	("WWW.One.Example.", "A", "ok c0000201 c0000202"),
	("www.one.example", "AAAA", "ok 20010db8000000000000000000000001"),
	("mail.one.example", "MX", "ok 10:first.one.example 20:second.one.example"),
	("null.one.example", "MX", "ok 0:"),
	("txt.one.example", "TXT", 'ok "v=spf1 -all"'),
	("one.example", "NS", 'ok "ns.one.example"'),
	("chain.one.example", "A", "ok c0000201 c0000202"),
	("across.one.example", "A", "ok c0000209"),
	("lost.one.example", "A", "not found nxdomain"),
	("gone.one.example", "A", "not found nxdomain"),
	("txt.one.example", "A", "not found"),
	("deep.one.example", "A", "not found"),
	("www.three.example", "A", "temporary failure: SERVFAIL"),
	("a..one.example", "A", "invalid: no name that can be asked for"),
	("odd name.one.example", "A", "ok c0000204"),
	("www.company.test", "A", "ok c000020a"),
	("gone.company.test", "A", "not found nxdomain"),
	("7.0.0.10.in-addr.arpa", "PTR", 'ok "www.company.test"'),
	("many.one.example", "TXT", "ok" + " (109 bytes)" * 10 + " (110 bytes)" * 49),
]


def test_answers(ctx):
	with NameServer(ctx.tmp + "/ns", {"one.example": ONE, "two.example": TWO, **OWN}) as ns:
		lines = resolve(ctx, [ns.address], *(row[:2] for row in ANSWERS))
	got = [" ".join(sorted(line.split(" (")[1:])) if "bytes" in line else line for line in lines]
	want = [" ".join(sorted(row[2].split(" (")[1:])) if "bytes" in row[2] else row[2] for row in ANSWERS]
	for row, g, w in zip(ANSWERS, got, want):
		assert g == w, "%s %s: %r, not %r" % (row[0], row[1], g, w)
	assert len(got) == len(want)


def test_cname_loop(ctx):
	with NameServer(ctx.tmp + "/ns", {"one.example": ONE}) as ns:
		[line] = resolve(ctx, [ns.address], ("loop.one.example", "A"))
	assert line.startswith("temporary failure") or line == "not found", line


def test_lame_server(ctx):
	"""One that does not know the zone is passed over; alone it is a failure."""
	with NameServer(ctx.tmp + "/lame", {"two.example": TWO}) as lame, \
	    NameServer(ctx.tmp + "/ns", {"one.example": ONE}) as ns:
		for _ in range(5):
			assert resolve(ctx, [lame.address, ns.address], ("www.one.example", "A")) == ["ok c0000201 c0000202"]
		assert resolve(ctx, [lame.address], ("www.one.example", "A")) == ["temporary failure: SERVFAIL"]


def test_silent_server(ctx):
	"""Nobody waits longer than the time given; a second server helps."""
	with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
		silent.bind(("127.0.0.1", 0))
		address = "127.0.0.1@%d" % silent.getsockname()[1]
		started = time.monotonic()
		lines = resolve(ctx, [address], ("www.one.example", "A"), ("one.example", "MX"), args=("-t", "300"))
		assert lines == ["temporary failure: time-out"] * 2
		assert 0.6 <= time.monotonic() - started < 5
		with NameServer(ctx.tmp + "/ns", {"one.example": ONE}) as ns:
			assert resolve(ctx, [address, ns.address], ("www.one.example", "A"), args=("-t", "20000")) \
			    == ["ok c0000201 c0000202"]


class HalfDeaf(threading.Thread):
	"""A name server that answers for one.example only: the address 192.0.2.1."""

	def __enter__(self):
		self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
		self.socket.bind(("127.0.0.1", 0))
		self.address = "127.0.0.1@%d" % self.socket.getsockname()[1]
		self.start()
		return self

	def __exit__(self, *exc):
		self.socket.sendto(b"", self.socket.getsockname())
		self.join()
		self.socket.close()

	def run(self):
		while query := self.socket.recvfrom(4096):
			data, client = query
			if not data:
				return
			end = data.find(b"\3one\7example\0")
			if end > 0:
				self.socket.sendto(data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + data[12:end + 17]
				    + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1", client)


@cases(("as many as hundreds of mails have", 1500, "ok c0000201"), ("nearly all", 3900, "ok c0000201"),
    ("too many", 4100, "temporary failure: too many DNS questions at once"))
def test_names_that_nobody_answers(ctx, count, answer):
	"""Questions are under way for long after who asked has left: the others are answered all the same."""
	with HalfDeaf() as server:
		assert resolve(ctx, [server.address], ("www.one.example", "A"), args=("-n", str(count))) == [answer]


def test_no_server(ctx):
	[line] = resolve(ctx, ["127.0.0.1@%d" % free_port()], ("www.one.example", "A"), args=("-t", "2000"))
	assert line.startswith("temporary failure: "), line


def sign(folder, zone):
	"""A signed zone, and the file with the key it is trusted by."""
	os.makedirs(folder)
	with open(folder + "/zone", "w", encoding="ascii") as f:
		f.write(zone)
	key = subprocess.run(["ldns-keygen", "-a", "ECDSAP256SHA256", "-k", "one.example"], cwd=folder, check=True,
	    capture_output=True, text=True).stdout.strip()
	subprocess.run(["ldns-signzone", "-o", "one.example", "zone", key], cwd=folder, check=True, capture_output=True)
	with open(folder + "/zone.signed", encoding="ascii") as f:
		return f.read(), glob.glob(folder + "/*.key")[0]


def test_dnssec(ctx):
	"""What is signed is secure; what was changed afterwards is not believed."""
	signed, anchor = sign(ctx.tmp + "/sign", ONE)
	changed = signed.replace("2001:db8::1", "2001:db8::bad")
	assert changed != signed
	questions = (("mail.one.example", "MX"), ("gone.one.example", "A"), ("www.one.example", "AAAA"))
	with NameServer(ctx.tmp + "/ns", {"one.example": signed}) as ns, \
	    NameServer(ctx.tmp + "/changed", {"one.example": changed}) as bad:
		good = resolve(ctx, [ns.address], *questions, args=("-a", anchor))
		plain = resolve(ctx, [ns.address], *questions)
		lies = resolve(ctx, [bad.address], *questions, args=("-a", anchor))
	assert good == ["ok secure 10:first.one.example 20:second.one.example", "not found nxdomain secure",
	    "ok secure 20010db8000000000000000000000001"], good
	assert plain == [line.replace(" secure", "") for line in good], plain
	assert lies[:2] == good[:2], lies
	assert lies[2].startswith("temporary failure: bogus: "), lies
