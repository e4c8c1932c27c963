#!/usr/bin/python3
"""make bench: what Postern costs, side by side with less.  bench.py BUILD OUTPUT [--quick] [--rounds N] [--auth]

All variants of one round run on the same Postfix, one after the other, and are compared within their round: what else
the machine does at that time hits them alike.  The page is written anew each time.
"""
import argparse
import datetime
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lab"))
sys.path.insert(0, HERE)

import auth  # noqa: E402
import auth_page  # noqa: E402
import page  # noqa: E402
import policy  # noqa: E402
from base import children_of  # noqa: E402
from cpu import cpu_us, run_time_us  # noqa: E402
from lab import MilterClient, MilterProcess, Postfix, Program, TempDir, wait_until  # noqa: E402

RCPT = "sales@acme.example"
VARIANTS = ["none", "eom", "all", "redirect", "postern"]	# what stands in smtpd_milters
MAILS = {1: 400, 10: 1200, 100: 1500}	# sessions: mails in one run
QUICK = {1: 100, 10: 250, 100: 300}
TABLE = 100000		# aliases of the table that is reloaded

CONF = """\
state_directory = "%(dir)s/state"
milter_socket = "unix:%(socket)s"
map_socket = "unix:%(dir)s/map.sock"
policy_socket = ""
dmarc = off
socket_group = "%(group)s"
hostname = "mx.acme.example"
max_sessions = 5000
gateway "acme" {
	target = "redirect to odoo.example"
	complete = yes
}
domain "acme.example" {
	unknown = reject
}
alias "sales@acme.example" {
	model = crm.lead
}
"""

MAIN = {
	"relay_domains": "acme.example",
	"relay_transport": "discard:",
	"default_transport": "discard:",
	"in_flow_delay": "0",			# or cleanup waits for the queue manager now and then
	"default_process_limit": "300",
	"max_idle": "600s",			# processes of one round serve the next
	"max_use": "100000",
	"milter_default_action": "tempfail",
	"smtpd_client_message_rate_limit": "0",
}


def read_values(text):
	"""`name value unit` lines as a dict."""
	return {words[0]: float(words[1]) for words in map(str.split, text.splitlines()) if len(words) >= 2}


def run(*argv):
	"""A program of ours to its end; what it printed."""
	done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=600)
	if done.returncode != 0:
		raise SystemExit("%s: exit %d: %s" % (os.path.basename(str(argv[0])), done.returncode, done.stderr[-500:]))
	return read_values(done.stdout)


class Bench:
	def __init__(self, build, quick, rounds):
		self.build, self.quick, self.rounds = os.path.abspath(build), quick, rounds
		self.mails = QUICK if quick else MAILS

	def tool(self, name):
		return os.path.join(self.build, "tests", "bench", name)

	def say(self, text):
		print("  BENCH %s" % text, flush=True)

	def postern(self, folder, socket, group=""):
		os.makedirs(folder + "/state")
		os.makedirs(folder + "/aliases.d")
		with open(folder + "/postern.conf", "w", encoding="utf-8") as f:
			f.write(CONF % {"dir": folder, "socket": socket, "group": group})
		return MilterProcess(self.build + "/postern-milter", folder + "/postern.conf", socket)

	# --- through Postfix

	def through_postfix(self):
		"""{sessions: {variant: [values of each round]}}"""
		services = {v: {} if v == "none" else {"smtpd_milters": "unix:postern/%s.sock" % v} for v in VARIANTS}
		with TempDir("pnbench.") as folder, Postfix(main=MAIN, services=services) as pf:
			self.milters = {mode: self.null(mode, pf.socket_path(mode + ".sock"), open_to_all=True)
			    for mode in ("eom", "all", "redirect")}
			self.milters["postern"] = self.postern(folder.path + "/pf", pf.socket_path("postern.sock"), "postfix")
			pf.start()
			results = {n: {v: [] for v in VARIANTS} for n in self.mails}
			for v in VARIANTS:	# processes started, files mapped
				self.one_run(pf, v, max(self.mails), 300)
			for i in range(self.rounds):
				self.say("round %d of %d" % (i + 1, self.rounds))
				for sessions, mails in self.mails.items():
					for v in VARIANTS[i % len(VARIANTS):] + VARIANTS[:i % len(VARIANTS)]:
						results[sessions][v].append(self.one_run(pf, v, sessions, mails))
			for program in self.milters.values():
				program.close()
			return results

	def null(self, mode, socket, open_to_all=False):
		program = Program(self.tool("null_milter"), [mode, socket], [socket])
		if open_to_all:
			os.chmod(socket, 0o666)
		return program

	def one_run(self, pf, variant, sessions, mails):
		before = self.cpu(pf, variant)
		values = run(self.tool("smtp_load"), pf.ports[variant], RCPT, sessions, mails)
		wait_until(lambda: self.is_idle(pf), 60, "an empty queue")
		values["cpu"] = (self.cpu(pf, variant) - before) / mails
		return values

	def cpu(self, pf, variant):
		"""Microseconds that Postfix and the milter in question have used so far."""
		milters = {v: p.pid for v, p in self.milters.items()}
		# of those that have ended master knows; the others tell themselves, in nanoseconds
		return cpu_us(pf.process.pid, True) + sum(run_time_us(p) for p in children_of(pf.process.pid)) \
		    + (cpu_us(milters[variant]) if variant in milters else 0)

	@staticmethod
	def is_idle(pf):
		return not any(files for name in ("incoming", "active")
		    for _, _, files in os.walk(os.path.join(pf.queue_dir, name)))

	# --- the milter alone

	def alone(self):
		"""{"postern"|"redirect": {sessions: values}} in interleaved rounds; microseconds of CPU per mail as `cpu`."""
		mails = 2000 if self.quick else 10000
		results = {"postern": {}, "redirect": {}}
		with TempDir("pnbench.") as folder:
			programs = {"postern": self.postern(folder.path + "/one", folder.path + "/postern.sock"),
			    "redirect": self.null("redirect", folder.path + "/redirect.sock")}
			for _ in range(2 if self.quick else 3):
				for sessions in self.mails:
					for name, program in programs.items():
						before = cpu_us(program.pid)
						values = run(self.tool("milter_load"), program.sockets[0], RCPT, "rate", sessions, mails)
						values["cpu"] = (cpu_us(program.pid) - before) / mails
						results[name].setdefault(sessions, []).append(values)
			for program in programs.values():
				program.close()
		return results

	def memory(self):
		"""Resident megabytes: {"start", "1k", "end", "large", "idle"}, each with "anon" and "all"."""
		many = 10000 if self.quick else 100000
		result = {"many": many}
		with TempDir("pnbench.") as folder:
			socket = folder.path + "/postern.sock"
			milter = self.postern(folder.path + "/memory", socket)
			result["start"] = resident(milter.pid)
			run(self.tool("milter_load"), socket, RCPT, "rate", 10, 1000)
			result["1k"] = resident(milter.pid)
			run(self.tool("milter_load"), socket, RCPT, "rate", 10, many)
			result["end"] = resident(milter.pid)
			run(self.tool("milter_load"), socket, RCPT, "rate", 10, 20, 30 << 20)
			result["large"] = resident(milter.pid)
			milter.close()
			socket = folder.path + "/idle.sock"
			milter = self.postern(folder.path + "/idle", socket)
			with subprocess.Popen([self.tool("milter_load"), socket, RCPT, "idle", "1000"], stdin=subprocess.PIPE,
			    stdout=subprocess.PIPE) as load:
				if load.stdout.readline() != b"idle\n":
					raise SystemExit("milter_load: no 1,000 idle connections")
				result["idle"] = resident(milter.pid)
				load.stdin.close()
			milter.close()
		return result

	# --- a change of the directory

	def reload_time(self):
		"""Seconds until an alias that was added to a large table is accepted at RCPT."""
		with TempDir("pnbench.") as folder:
			socket = folder.path + "/postern.sock"
			milter = self.postern(folder.path + "/reload", socket)
			took = []
			for i in range(3):
				self.write_table(folder.path + "/table", i)
				os.replace(folder.path + "/table", folder.path + "/reload/aliases.d/table")
				began = time.monotonic()
				milter.signal(10)
				wait_until(lambda: self.is_known(socket, "new%d@acme.example" % i), 30, "the new alias")
				took.append(time.monotonic() - began)
			milter.close()
		return {"load": took[0], "change": statistics.median(took[1:])}

	@staticmethod
	def write_table(path, newest):
		with open(path, "w", encoding="utf-8") as f:
			f.writelines("user%d@acme.example crm.lead\n" % i for i in range(TABLE))
			f.writelines("new%d@acme.example crm.lead\n" % i for i in range(newest + 1))

	@staticmethod
	def is_known(socket, address):
		with MilterClient(socket) as c:
			c.open_session()
			c.mail("ann@sender.example", macros={"{mail_mailer}": "smtp"})
			return c.rcpt(address).kind == "continue"

	# --- all of it

	def authentication(self):
		return auth.measure(self.build, self.rounds, 0.3 if self.quick else 1)

	def measure(self):
		result = {"load_before": os.getloadavg()[0], "quick": self.quick, "rounds": self.rounds, "mails": self.mails}
		self.say("the core and the directory")
		result["core"] = run(self.tool("bench_core"))
		self.say("the store")
		result["store"] = run(self.tool("bench_store"))
		self.say("a changed alias")
		result["reload"] = self.reload_time()
		result["table"] = TABLE
		self.say("memory")
		result["memory"] = self.memory()
		self.say("the milter alone")
		result["alone"] = self.alone()
		self.say("the policy service")
		result["policy"] = policy.measure(self.build, run, self.rounds, 5000 if self.quick else 30000)
		self.say("authentication")
		result["auth"] = self.authentication()
		result["postfix"] = self.through_postfix()
		result["load_after"] = os.getloadavg()[0]
		return result


def resident(pid):
	with open("/proc/%d/status" % pid, encoding="utf-8") as f:
		text = f.read()
	kib = {name: int(value) for name, value in re.findall(r"^(VmRSS|RssAnon):\s+(\d+) kB", text, re.M)}
	return {"all": kib["VmRSS"] / 1024, "anon": kib["RssAnon"] / 1024}


def machine():
	def first(pattern, path):
		with open(path, encoding="utf-8") as f:
			hit = re.search(pattern, f.read(), re.M)
		return hit.group(1).strip() if hit else "?"

	def output(*argv):
		done = subprocess.run(argv, capture_output=True, text=True)
		return done.stdout.strip() if done.returncode == 0 else "?"

	def package(name):
		return output("dpkg-query", "-W", "-f", "${Version}", name)
	return {
		"Date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
		"CPU": "%s, %d cores" % (first(r"^model name\s*:\s*(.*)$", "/proc/cpuinfo"), os.cpu_count()),
		"Memory": "%.0f GB" % (int(first(r"^MemTotal:\s*(\d+)", "/proc/meminfo")) / 1e6),
		"Kernel": "%s %s" % (platform.system(), platform.release()),
		"System": first(r'^PRETTY_NAME="(.*)"', "/etc/os-release"),
		"Postfix": output("postconf", "-h", "mail_version"),
		"libmilter, LMDB": "%s, %s" % (package("libmilter1.0.1"), package("liblmdb0")),
		"libevent, postfwd": "%s, %s" % (package("libevent-core-2.1-7"), package("postfwd")),
		"opendkim, opendmarc, policyd-spf, rspamd": "%s, %s, %s, %s" % tuple(map(package, ("opendkim", "opendmarc",
		    "postfix-policyd-spf-python", "rspamd"))),
		"Compiler": output("gcc", "-dumpfullversion"),
		"File system of queue and state": output("df", "--output=fstype", tempfile.gettempdir()).split()[-1],
	}


def main():
	options = argparse.ArgumentParser(description="measures, and writes the page")
	options.add_argument("build")
	options.add_argument("output")
	options.add_argument("--quick", action="store_true", help="a minute: to see that it works")
	options.add_argument("--rounds", type=int, default=None, help="7 unless told otherwise, 2 with --quick")
	options.add_argument("--auth", action="store_true", help="only authentication; the page stays as it is")
	options = options.parse_args()
	began = time.monotonic()
	bench = Bench(options.build, options.quick, options.rounds or (2 if options.quick else 7))
	if options.auth:
		result = bench.authentication()
		print("\n".join([*page.aims_part(auth_page.aims(result)), *auth_page.part(result)]))
		return
	result = bench.measure()
	result["machine"] = machine()
	result["minutes"] = (time.monotonic() - began) / 60
	text = page.write(result)
	with open(options.output, "w", encoding="utf-8") as f:
		f.write(text)
	print(text)


if __name__ == "__main__":
	main()
