"""SPF: a second opinion on random records and zones, from Debian's pyspf."""

import random
import warnings

from lab import *

with warnings.catch_warnings():
	warnings.simplefilter("ignore")
	import spf

ROUNDS, CHECKS = 400, 4
HOSTS = ["h%d.example" % i for i in range(6)]
DOMAINS = ["d%d.example" % i for i in range(5)]
WRONG = ["ip4:192.0.2", "ip4:192.0.2.1/33", "ip6:1::2::3", "all:x", "a:", "foo", "include", "redirect=", "x=%{y}"]
CLIENTS = ["192.0.2.1", "192.0.2.130", "198.51.100.7", "2001:db8::1", "2001:db8:0:1::7", "::ffff:192.0.2.1"]


class World:
	"""A zone: name -> [(type, value)].  TIMEOUT stands for every type that is not there."""

	def __init__(self, rng):
		self.rng = rng
		self.records = {}
		for host in HOSTS[:5]:		# the last one does not exist
			for _ in range(rng.randrange(3)):
				self.add(host, "A", rng.choice(["192.0.2.1", "192.0.2.129", "198.51.100.7"]))
			for _ in range(rng.randrange(2)):
				self.add(host, "AAAA", rng.choice(["2001:db8::1", "2001:db8:0:1::7"]))
			for i in range(rng.choice([0, 0, 1, 2, 11])):
				self.add(host, "MX", (10 * i, rng.choice(HOSTS)))
		if rng.random() < 0.1:
			self.add(rng.choice(HOSTS), "TIMEOUT", "")
		for name in ("1.2.0.192.in-addr.arpa", "7.100.51.198.in-addr.arpa"):
			for host in rng.sample(HOSTS, rng.randrange(3)):
				self.add(name, "PTR", host)
		for domain in DOMAINS[:4]:
			self.add(domain, "TXT", self.record())
			if rng.random() < 0.05:
				self.add(domain, "TXT", self.record())
			if rng.random() < 0.5:
				self.add(domain, "A", "192.0.2.1")
			if rng.random() < 0.3:
				self.add(domain, "MX", (5, rng.choice(HOSTS)))

	def add(self, name, kind, value):
		self.records.setdefault(name, []).append((kind, value))

	def name(self):
		return self.rng.choice(HOSTS * 3 + DOMAINS + ["%{d}", "%{h}", "%{l}.example", "%{l1r-}.%{d2}", "%{o}.",
		    "%{d1r}.example", "%{v}.%{ir}.example", "%{x}.example", "host", "a..example", "h1.example.", "h1.123",
		    "%{dr}", "%%.h1.example"])

	def cidr(self):
		return self.rng.choice([""] * 6 + ["/24", "/31", "/0", "//64", "//0", "/25//48", "/33", "//129", "/024",
		    "/24/64", "/"])

	def term(self):
		r = self.rng
		sign = r.choice(["", "", "", "-", "~", "?", "+"])
		return r.choice([
			lambda: sign + "ip4:" + r.choice(["192.0.2.1", "192.0.2.128/25", "198.51.100.0/24", "203.0.113.9"]),
			lambda: sign + "ip6:" + r.choice(["2001:db8::/64", "2001:db8::1", "2001:db8:ffff::/48", "::ffff:0:0/96"]),
			lambda: sign + "a:" + self.name() + self.cidr(),
			lambda: sign + r.choice(["a", "mx", "ptr"]) + r.choice(["", "", self.cidr()]),
			lambda: sign + "mx:" + r.choice(HOSTS) + self.cidr(),
			lambda: sign + "exists:" + self.name(),
			lambda: sign + "include:" + r.choice(DOMAINS),
			lambda: sign + "include:" + r.choice(DOMAINS[:4]),
			lambda: "redirect=" + r.choice(DOMAINS),
			lambda: "x-y=" + r.choice(["", "%{d}", "z:/", "%{l1r+}"]),
			lambda: r.choice(WRONG) if r.random() < 0.2 else sign + "a",
		])()

	def record(self):
		terms = [self.term() for _ in range(self.rng.choice([1, 2, 3, 4, 6, 12]))]
		if self.rng.random() < 0.7:
			terms.append(self.rng.choice(["-all", "~all", "?all", "+all"]))
		return "v=spf1 " + " ".join(terms)

	def lines(self):
		yield "zone"
		for name, entries in self.records.items():
			for kind, value in entries:
				data = "%d %s" % value if kind == "MX" else '"%s"' % value if kind == "TXT" else value
				yield "%s %s %s" % (name, kind, data)

	def lookup(self, name, qtype, strict=True, timeout=20, level=0):
		"""In place of spf.DNSLookup."""
		name = name.rstrip(".").lower()
		if not all(0 < len(label) < 64 for label in name.split(".")):
			raise spf.TempError("no name")
		entries = self.records.get(name, [])
		found = [value for kind, value in entries if kind == qtype]
		if not found and any(kind == "TIMEOUT" for kind, _ in entries):
			raise spf.TempError("time-out")
		return [((name, qtype), (v.encode(),) if qtype == "TXT" else v) for v in found]


# Where pyspf differs: section 6 allows other modifiers any number of times; an include of itself is an error only
# when it is evaluated; a name of the client that fails is passed over (5.5), and its void answers are no fault of the
# domain; we do not ask for MX hosts behind one that matches.
STRICTER = ("include has trivial recursion", "x-y= MUST appear at most once")
DIFFERENT = {"Void lookup limit": ("ptr", "mx"), "time-out": ("ptr", "mx")}


def theirs(world, client, helo, sender):
	"""pyspf's result, or None where it may differ."""
	spf.DNSLookup = world.lookup
	result, _, why = spf.query(i=client, s=sender, h=helo, strict=True, timeout=0, querytime=0).check()
	texts = " ".join(value for entries in world.records.values() for kind, value in entries if kind == "TXT")
	if any(words in why for words in STRICTER):
		return None
	if any(words in why and any(term in texts for term in terms) for words, terms in DIFFERENT.items()):
		return None
	return result


def test_against_pyspf(ctx):
	rng = random.Random(7208)
	lines, want = [], 0
	for _ in range(ROUNDS):
		world = World(rng)
		lines += world.lines()
		for _ in range(CHECKS):
			client, helo = rng.choice(CLIENTS), rng.choice(HOSTS + DOMAINS)
			sender = rng.choice(["h1", "ann-h2", "h3"]) + "@" + rng.choice(DOMAINS)
			result = theirs(world, client, helo, sender)
			if result is not None:
				lines.append("check c%d %s %s %s %s" % (want, client, helo, sender, result))
				want += 1
	path = ctx.tmp + "/random.cases"
	with open(path, "w", encoding="ascii") as f:
		f.writelines(line + "\n" for line in lines)
	done = run(ctx.program("tests/suites/spf"), path)
	note(done.stdout[-20000:])
	assert want > 0.8 * ROUNDS * CHECKS
	assert done.returncode == 0 and "spf: %d passed, 0 failed" % want in done.stdout
