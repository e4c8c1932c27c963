"""The policy service beside one that does nothing and beside postfwd, in interleaved rounds."""
import os
import signal
import subprocess

from base import Resource
from cpu import run_time_us
from lab import PolicyProcess, Program, TempDir, free_port, wait_until

CONNECTIONS = (1, 100, 500)
POSTFWD = "/usr/sbin/postfwd1"	# one process for all connections; postfwd2 has one for each
ROUTE = "FILTER postern-starttls:[smtp.relay.example]:587"

CONF = """\
state_directory = "%(dir)s/state"
milter_socket = "unix:%(dir)s/milter.sock"
map_socket = "unix:%(dir)s/map.sock"
policy_socket = "unix:%(dir)s/policy.sock"
policy_tcp = "127.0.0.1:%(port)d"
socket_group = ""
hostname = "mx.acme.example"
domain "acme.example" {}
gateway "acme" { target = "redirect to odoo.example" }
relay "first" {
	host = "smtp.relay.example"
	security = starttls
	from_filter = {"acme.example", "acme.org"}
	%(limits)s
}
relay "second" {
	host = "smtp.other.example"
	security = starttls
	from_filter = {"news.acme.example"}
	%(limits)s
}
"""
LIMITS = 'limits = {"900000000/day", "900000000/minute"}'

RULES = {	# postfwd's: relay by the domain of the sender, not counted and counted
	"postfwd": "id=relay; protocol_state=DATA; sender=~@acme\\.example$; action=%s\n" % ROUTE,
	"postfwd counting": "id=count; protocol_state=DATA; action=rate(sasl_username/900000000/86400/"
	    "450 4.7.1 used up)\nid=relay; protocol_state=DATA; sender=~@acme\\.example$; action=%s\n" % ROUTE,
}


class Postfwd(Resource):
	"""It puts itself into the background."""

	def __init__(self, folder, port, rules):
		self.pid_file = "%s/%d.pid" % (folder, port)
		with open("%s/%d.cf" % (folder, port), "w", encoding="utf-8") as f:
			f.write(rules)
		self._opened()
		subprocess.run([POSTFWD, "--daemon", "--perfmon", "--nodns", "--interface", "127.0.0.1", "--port", str(port),
		    "--file", f.name, "--user", "nobody", "--group", "nogroup", "--pidfile", self.pid_file], check=True,
		    capture_output=True, timeout=30)
		wait_until(lambda: os.path.exists(self.pid_file) and open(self.pid_file).read().strip(), 10, "postfwd")
		self.pid = int(open(self.pid_file).read())

	def _close(self):
		os.kill(self.pid, signal.SIGTERM)
		wait_until(lambda: not os.path.exists("/proc/%d" % self.pid), 10, "the end of postfwd")


class Contest:
	"""One service of each kind, all of them up from start to end."""

	def __init__(self, build, folder):
		self.load = os.path.join(build, "tests", "bench", "policy_load")
		self.ways, self.programs = {}, []	# (variant, "unix"|"tcp") -> (where, first words of the answer, program)
		null = os.path.join(build, "tests", "bench", "null_policy")
		for way, where in (("unix", "unix:%s/null.sock" % folder), ("tcp", str(free_port()))):
			self.add(Program(null, [where]), "null", "DUNNO", **{way: where})
		for variant, limits in (("postern", ""), ("postern counting", LIMITS)):
			self.postern(build, os.path.join(folder, variant.replace(" ", "-")), variant, limits)
		for variant, rules in RULES.items():
			port = free_port()
			self.add(Postfwd(folder, port, rules), variant, ROUTE, tcp=str(port))

	def postern(self, build, folder, variant, limits):
		values = {"dir": folder, "port": free_port(), "limits": limits}
		os.makedirs(folder + "/state")
		with open(folder + "/postern.conf", "w", encoding="utf-8") as f:
			f.write(CONF % values)
		program = PolicyProcess(build + "/postern-policy", folder + "/postern.conf", [folder + "/policy.sock"])
		self.add(program, variant, ROUTE, unix="unix:%s/policy.sock" % folder, tcp=str(values["port"]))

	def add(self, program, variant, answer, **ways):
		self.programs.append(program)
		for way, where in ways.items():
			self.ways[variant, way] = (where, answer, program)

	def close(self):
		for program in reversed(self.programs):
			program.close()


def measure(build, run, rounds, requests):
	"""{way: {connections: {variant: [values of each round]}}}; postfwd gets fewer requests, it is slower by far."""
	results = {way: {n: {} for n in CONNECTIONS} for way in ("unix", "tcp")}
	with TempDir("pnbench.") as folder:
		os.chmod(folder.path, 0o755)
		contest = Contest(build, folder.path)
		turns = list(contest.ways.items())
		for i in range(rounds):
			for n in CONNECTIONS:
				for (variant, way), (where, answer, program) in turns[i % len(turns):] + turns[:i % len(turns)]:
					asked = requests if variant not in RULES else max(requests // 50, 2 * n)
					before = run_time_us(program.pid)
					values = run(contest.load, where, answer, n, asked)
					values["cpu"] = (run_time_us(program.pid) - before) / asked
					results[way][n].setdefault(variant, []).append(values)
		contest.close()
	return results
