"""Verifying and signing through the same Postfix: Postern beside opendkim, opendmarc and policyd-spf, and rspamd.

One nsd answers for all of them.  opendmarc and policyd-spf know no other resolver than that of /etc/resolv.conf, and
opendkim none at a loopback address: so all runs in namespaces of its own, where that file names ours.
"""
import base64
import collections
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))

from base import Resource  # noqa: E402
from lab import MilterProcess, Postfix, Program, Sink, TempDir, wait_until  # noqa: E402

SIZES = (1500, 48000)		# of the body
SESSIONS = 10
# mails a second, about: for runs of equal length
RATES = {"none": 900, "eom": 600, "trio": 200, "rspamd": 400, "filter": 500, "postern": 500, "signer": 500, "opendkim": 300}
VERIFIERS = ("none", "eom", "trio", "rspamd", "filter", "postern")
SIGNERS = ("none", "opendkim", "postern", "signer")
OWN, FOREIGN = "sales@acme.example", "sales@elsewhere.example"
SENDER = "d0.sign.example"
DNS = "192.0.2.53"
WARM = 20			# domains whose records are in the caches
ALL = "192.0.2.255/32"		# a network nobody comes from: no client is taken for one of the house

POSTERN = """\
state_directory = "%(dir)s/state"
milter_socket = "unix:%(socket)s"
map_socket = "unix:%(dir)s/map.sock"
policy_socket = ""
socket_group = "postfix"
hostname = "mx.acme.example"
max_sessions = 5000
dns_servers = {"%(dns)s"}
gateway "acme" {
	target = "redirect to odoo.example"
	complete = yes
}
domain "acme.example" {}
alias "sales@acme.example" { model = crm.lead }
"""

SIGN = """\
dmarc = off
leaving_transports = {"discard", "probe"}
sign_key_table = "%(dir)s/keys"
sign_table = "refile:%(dir)s/signing"
"""
SIGNER = 'signer_socket = "unix:%(dir)s/signer.sock"\n'

OPENDKIM = """\
Socket local:%(socket)s
UMask 000
Nameservers %(dns)s
Syslog yes
"""
OPENDKIM_VERIFY = """\
Mode v
InternalHosts %(dir)s/nobody
AuthservID mx.acme.example
"""
OPENDKIM_SIGN = """\
Mode s
RequireSafeKeys no
Canonicalization relaxed/relaxed
OversignHeaders From
KeyTable file:%(dir)s/keys
SigningTable refile:%(dir)s/signing
"""
OPENDMARC = """\
Socket local:%(socket)s
UMask 000
AuthservID mx.acme.example
TrustedAuthservIDs mx.acme.example
IgnoreHosts %(dir)s/nobody
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
Syslog true
"""
POLICYD = """\
debugLevel = 1
TestOnly = 1
HELO_reject = No_Check
Mail_From_reject = Fail
PermError_reject = False
TempError_Defer = False
skip_addresses = %(nobody)s
Header_Type = AR
Authserv_Id = mx.acme.example
"""
RSPAMD = """\
options {
	filters = "dkim"
	check_local = true
	local_addrs = []
	dns { nameserver = ["%(dns)s"] }
	pidfile = "%(dir)s/rspamd.pid"
	cache_file = "%(dir)s/rspamd.cache"
	hs_cache_dir = "%(dir)s/"
	tempdir = "%(dir)s"
	url_tld = "%(dir)s/suffixes"
}
lang_detection { languages = "%(dir)s/none" } # or it guesses the language, too
logging { type = console, level = notice, log_format = "$symbols" }
modules {
	path = "/usr/share/rspamd/plugins/spf.lua"
	path = "/usr/share/rspamd/plugins/dmarc.lua"
	path = "/usr/share/rspamd/plugins/milter_headers.lua"
}
spf { enabled = true }
dkim { enabled = true }
dmarc { enabled = true }
milter_headers {
	use = ["authentication-results"]
	skip_local = false
	remove_upstream_spam_flag = false
}
worker "rspamd_proxy" {
	bind_socket = "%(socket)s mode=0666"
	count = %(cores)d
	milter = true
	upstream "local" { default = true, self_scan = true }
}
"""

NSD = """\
server:
	ip-address: %(dns)s@53
	username: ""
	zonesdir: "%(dir)s"
	database: ""
	pidfile: "%(dir)s/nsd.pid"
	xfrdfile: "%(dir)s/xfrd.state"
	zonelistfile: "%(dir)s/zone.list"
	server-count: 1
	rrl-ratelimit: 0
	minimal-responses: yes
remote-control:
	control-enable: no
"""
HEAD = "$ORIGIN %s.\n$TTL 86400\n@ SOA ns root 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"

MAIN = {
	"relay_domains": "acme.example elsewhere.example",
	"relay_transport": "discard:",
	"default_transport": "discard:",
	"in_flow_delay": "0",
	"default_process_limit": "300",
	"max_idle": "600s",
	"max_use": "100000",
	"milter_default_action": "tempfail",
	"smtpd_client_message_rate_limit": "0",
}
SUBMISSION = {"mynetworks": "127.0.0.0/8", "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "milter_macro_daemon_name": "ORIGINATING"}


def say(text):
	print("  BENCH %s" % text, file=sys.stderr, flush=True)


def run(*argv):
	"""A program of ours to its end; `name value unit` lines as a dict."""
	done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=600)
	if done.returncode != 0:
		raise SystemExit("%s: exit %d: %s" % (os.path.basename(str(argv[0])), done.returncode, done.stderr[-500:]))
	return {name: float(value) for name, value, *_ in map(str.split, done.stdout.splitlines())}


# -- the names -----------------------------------------------------------------------------------

def write(path, text):
	with open(path, "w", encoding="ascii") as f:
		f.write(text)
	return path


class Names:
	"""A key, and the zones warm.example, cold.example and sign.example with the domains d0, d1 and so on."""

	def __init__(self, folder, cold):
		self.dir = folder
		self.key = folder + "/bench.pem"
		with open(self.key, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
			f.write(subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, check=True).stdout)
		public = subprocess.run(["openssl", "rsa", "-in", self.key, "-pubout", "-outform", "DER"], capture_output=True,
		    check=True).stdout
		record = "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()
		self.record = 'TXT "%s" "%s"\n' % (record[:250], record[250:])
		zones = {"warm.example": self.domains(WARM), "cold.example": self.domains(cold),
		    "sign.example": self.domains(1)}
		for name, text in zones.items():
			write("%s/%s" % (folder, name), HEAD % name + text)
		write(folder + "/nsd.conf", NSD % {"dns": DNS, "dir": folder}
		    + "".join("zone:\n\tname: %s\n\tzonefile: %s\n" % (z, z) for z in zones))
		self.server = Program("/usr/sbin/nsd", ["-d", "-c", folder + "/nsd.conf"])
		wait_until(lambda: b"DMARC" in subprocess.run(["drill", "@" + DNS, "TXT", "_dmarc.d0.warm.example"],
		    capture_output=True).stdout, 30, "nsd")

	def domains(self, n):
		return '_spf TXT "v=spf1 ip4:198.51.100.0/24 ip4:127.0.0.0/8 -all"\n' + "".join(
		    'd%d TXT "v=spf1 include:_spf -all"\n'.replace("_spf", "_spf.warm.example") % i
		    + '_dmarc.d%d TXT "v=DMARC1; p=reject; rua=mailto:dmarc@d%d.warm.example"\n' % (i, i)
		    + "bench._domainkey.d%d %s" % (i, self.record) for i in range(n))


# -- the contestants --------------------------------------------------------------------------------

class Contest(Resource):
	"""Postfix with one service for each way, and their filters."""

	def __init__(self, build, names):
		self.names, self.programs, self.by_name, self.sent = names, [], {}, collections.Counter()
		self.load = os.path.join(build, "tests", "bench", "smtp_load")
		self.build, self.dir = build, names.dir
		write(self.dir + "/nobody", ALL + "\n")
		write(self.dir + "/policyd", POLICYD % {"nobody": ALL})
		write(self.dir + "/suffixes", "example\n")	# of the whole list it makes a table first, for half a minute
		write(self.dir + "/keys", "bench %s:bench:%s\n" % (SENDER, names.key))
		write(self.dir + "/signing", "*@%s bench\n" % SENDER)
		self.sink = Sink()
		self.postfix = Postfix(main=dict(MAIN, transport_maps="inline:{ {probe.example = probe:%s} }" % self.sink.nexthop),
		    services=self.services(), master=["probe unix - - n - - smtp",
		    "policyd-spf unix - n n - 0 spawn user=nobody argv=/usr/bin/policyd-spf %s/policyd" % self.dir])
		self._opened()
		self.postfix.main["relay_domains"] += " probe.example"
		self.start_filters()
		self.postfix.start()

	@staticmethod
	def services():
		def milters(*names):
			return {"smtpd_milters": ", ".join("unix:postern/%s.sock" % n for n in names)}
		postern = milters("postern")
		return {
			"none": {}, "eom": milters("eom"), "filter": postern, "postern": postern,
			"rspamd": milters("rspamd"),
			"trio": dict(milters("opendkim", "opendmarc"), smtpd_recipient_restrictions=
			    "check_policy_service unix:private/policyd-spf", smtpd_policy_service_max_ttl="600s"),
			"sign-none": SUBMISSION, "sign-opendkim": dict(SUBMISSION, **milters("opendkim-sign")),
			"sign-postern": dict(SUBMISSION, **milters("postern-sign")),
			"sign-signer": dict(SUBMISSION, **milters("signer-sign")),
		}

	def start_filters(self):
		socket = self.postfix.socket_path("eom.sock")
		self.programs.append(Program(self.build + "/tests/bench/null_milter", ["eom", socket], [socket]))
		os.chmod(socket, 0o666)
		verify, sign = OPENDKIM + OPENDKIM_VERIFY, OPENDKIM + OPENDKIM_SIGN
		self.program("/usr/sbin/opendkim", "opendkim", verify, "-f", "-x")
		self.program("/usr/sbin/opendkim", "opendkim-sign", sign, "-f", "-x")
		self.program("/usr/sbin/opendmarc", "opendmarc", OPENDMARC, "-f", "-c")
		self.program("/usr/bin/rspamd", "rspamd", RSPAMD, "-f", "-i", "-c")
		for name, text in (("postern", POSTERN), ("postern-sign", POSTERN + SIGN), ("signer-sign", POSTERN + SIGN + SIGNER)):
			os.makedirs("%s/%s/state" % (self.dir, name))
			self.by_name[name] = MilterProcess(self.build + "/postern-milter", self.config(name, text),
			    self.postfix.socket_path(name + ".sock"))
			self.programs.append(self.by_name[name])
		self.programs.append(Program(self.build + "/postern-signer", ["-c", self.dir + "/signer-sign.conf"],
		    [self.dir + "/signer-sign/signer.sock"]))

	def program(self, binary, name, text, *options):
		self.by_name[name] = Program(binary, [*options, self.config(name, text)],
		    [self.postfix.socket_path(name + ".sock")])
		self.programs.append(self.by_name[name])

	def config(self, name, text):
		folder = "%s/%s" % (self.dir, name) if text.startswith(POSTERN) else self.dir
		values = {"dir": folder, "socket": self.postfix.socket_path(name + ".sock"), "dns": DNS, "cores": os.cpu_count()}
		text = text.replace("%(dir)s/keys", self.dir + "/keys").replace("%(dir)s/signing", self.dir + "/signing")
		return write("%s/%s.conf" % (self.dir, name), text % values)

	def send(self, service, rcpt, mails, zone, first, domains, size=SIZES[0], sessions=SESSIONS):
		argv = ["-s", size, "-d", zone, "-f", first, "-n", domains]
		argv += ["-o"] if service.startswith("sign") else ["-k", self.names.key]
		values = run(self.load, *argv, self.postfix.ports[service], rcpt, sessions, mails)
		self.sent["postern" if service == "filter" else service] += mails
		wait_until(self.is_idle, 60, "an empty queue")
		return values

	def is_idle(self):
		return not any(files for name in ("incoming", "active")
		    for _, _, files in os.walk(os.path.join(self.postfix.queue_dir, name)))

	def probe(self, service, zone, *wanted):
		"""One mail of each size, and what it must have got on its way."""
		for size in SIZES:
			self.sink.clear()
			self.send(service, "x@probe.example", 1, zone, 0, 1, size, 1)
			text = self.sink.wait_one().message.decode()
			for regex in wanted:
				if not re.search(regex, text, re.S):
					raise SystemExit("bench: no /%s/ through %s:\n%s" % (regex, service, text[:3000]))

	def assert_judged(self):
		"""All mails that rspamd and Postern were measured with have passed all three, says their log."""
		for name, judged, passed in (("rspamd", "rspamd_task_write_log",
		    "DMARC_POLICY_ALLOW,R_DKIM_ALLOW,R_SPF_ALLOW"), ("postern", "qid=", "spf=pass dkim=pass .*dmarc=pass")):
			lines = [line for line in self.by_name[name].stderr().splitlines() if judged in line]
			bad = [line for line in lines if not re.search(passed, line)]
			if bad or len(lines) < self.sent[name]:
				raise SystemExit("bench: %s judged %d of %d mails, %d of them otherwise: %s" % (name, len(lines),
				    self.sent[name], len(bad), bad[:1]))

	def _close(self):
		for program in reversed(self.programs):
			program.close()
		self.postfix.close()
		self.sink.close()


# -- the runs -----------------------------------------------------------------------------------------

def turned(values, i):
	return values[i % len(values):] + values[:i % len(values)]


def mails_of(variant, size, seconds):
	return max(60, int(RATES[variant] * seconds * (0.6 if size > 10000 else 1)) // 10 * 10)


def through_postfix(contest, rounds, seconds):
	"""[(what, size, {variant: [values of each round]})]; what: "warm", "cold", "sign"."""
	results = [(what, size, {}) for what in ("warm", "cold", "sign") for size in SIZES]
	fresh = 0
	for service in ("trio", "rspamd", "filter"):
		contest.probe(service, "warm.example", "dkim=pass", "spf=pass", "dmarc=pass")
	for service in ("sign-opendkim", "sign-postern", "sign-signer"):
		contest.probe(service, "sign.example", "DKIM-Signature:.*d=" + SENDER)
	for i in range(-1, rounds):	# the first one starts processes and fills caches
		say("authentication, round %d of %d" % (i + 1, rounds) if i >= 0 else "authentication, warming up")
		for what, size, values in results:
			for variant in turned(SIGNERS if what == "sign" else VERIFIERS, i):
				mails = mails_of(variant, size, seconds)
				service, rcpt = ("sign-" + variant, FOREIGN) if what == "sign" \
				    else (variant, OWN if variant == "postern" else FOREIGN)
				first, domains = {"warm": (0, WARM), "cold": (fresh, mails), "sign": (0, 1)}[what]
				one = contest.send(service, rcpt, mails, what + ".example", first, domains, size)
				fresh += mails if what == "cold" else 0
				if i >= 0:
					values.setdefault(variant, []).append(one)
	contest.assert_judged()
	return results


def cold_mails(rounds, seconds):
	return (rounds + 1) * sum(mails_of(v, size, seconds) for v in VERIFIERS for size in SIZES)


def openssl_speed(threads, seconds):
	text = subprocess.run(["openssl", "speed", "-seconds", str(seconds), "-multi", str(threads), "rsa2048"],
	    capture_output=True, text=True, check=True).stdout
	return float(re.search(r"rsa 2048 bits\s+\S+\s+\S+\s+([\d.]+)", text).group(1))


def ceiling(names, build, rounds, seconds=1):
	"""{threads: [(signatures/s, openssl's)]}"""
	tool = os.path.join(build, "tests", "bench", "bench_sign")
	tables = names.dir + "/keys", "refile:" + names.dir + "/signing"
	return {threads: [(run(tool, *tables, "ann@" + SENDER, seconds, threads)["rate"], openssl_speed(threads, seconds))
	    for _ in range(rounds)] for threads in (1, 2)}


def measure_here(build, folder, rounds, seconds):
	names = Names(folder, cold_mails(rounds, seconds))
	with Contest(build, names) as contest:
		result = {"rounds": rounds, "postfix": through_postfix(contest, rounds, seconds)}
	say("signatures")
	result["sign"] = ceiling(names, build, min(rounds, 5))
	names.server.close()
	return result


NAMESPACE = 'ip link set lo up && ip address add %s/32 dev lo && mount --bind "$0" /etc/resolv.conf && exec "$@"' % DNS


def measure(build, rounds, seconds):
	"""seconds: about, of one run."""
	with TempDir("pnauth.") as folder:
		names = write(folder.path + "/resolv.conf", "nameserver %s\noptions edns0\n" % DNS)
		argv = ["unshare", "-n", "-m", "sh", "-c", NAMESPACE, names, sys.executable, __file__, build, folder.path,
		    str(rounds), str(seconds)]
		return json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)


if __name__ == "__main__":
	json.dump(measure_here(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])), sys.stdout)
