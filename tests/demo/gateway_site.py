"""A whole gateway in a folder of its own: Postfix, postern-milter, postern-policy, the servers and relays around them.

Used by `make demo` and `make run`.  The configuration is the sample file and the Postfix settings are the fragments
that users install; only names, ports and paths are put in.
"""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "lab"))

from base import Resource, TempDir  # noqa: E402
from lab import (Authority, Client, MilterProcess, PolicyProcess, Postfix, Relay, Sink, parse_main_cf,  # noqa: E402
	send_mail)

SAMPLE = os.path.join(ROOT, "postfix-conf", "postern.conf.sample")
SETTINGS = {	# what is changed in the sample: comment in it -> setting
	'#complete = no': 'complete = yes',
	'#unknown = hand_over': 'unknown = pass',
	'#write_to = sales@acme.example': 'write_to = sales@acme.example',
}
ALIASES = """\
# address			model
support@acme.example		project.task
"""
DEMO_CONF = """\
state_directory = "{dir}/state"
milter_socket = "unix:{queue}/postern/milter.sock"
map_socket = "unix:{queue}/postern/map.sock"
policy_socket = ""
mail_log = ""
dmarc = off
hostname = "mx.acme.example"
"""

# Four accounts at servers of three kinds: name -> (security, the rest).
RELAYS = {
	"transactional": ("starttls_strict", 'from_filter = {"acme.example"}\n\tlimits = {"3/day"}'),
	"billing": ("ssl_strict", 'from_filter = {"billing@acme.example", "acme.example"}'),
	"newsletter": ("none", 'from_filter = {"news.acme.example"}\n\tlimits = {"1/day"}\n\tmass_mailing = yes'),
	"standby": ("starttls_strict", 'from_filter = {"acme.example"}'),
}
KINDS = {"starttls_strict": "starttls", "ssl_strict": "ssl", "none": "plain"}	# what the server is for that
RELAY_CONF = """\
relay "{name}" {{
	host = "localhost"
	port = {port}
	security = {security}
	user = "{name}@acme.example"
	password_file = "{dir}/{name}.password"
	{more}
}}
"""
ODOO = ("odoo", "secret")	# logs in on submission


def sample_configuration():
	text = open(SAMPLE, encoding="utf-8").read()
	for old, new in SETTINGS.items():
		if old not in text:
			raise SystemExit("%s: the line \"%s\" is not there any more" % (SAMPLE, old))
		text = text.replace(old, new, 1)
	return text


def fragment(name):
	with open(os.path.join(ROOT, "postfix-conf", name), encoding="utf-8") as file:
		return file.read()


def submission():
	"""The options of the submission service, with the line that relays ask for."""
	text = re.search(r"^submission .*\n(?:[ \t#].*\n)*", fragment("master.cf"), re.M).group(0)
	text = text.replace("#  -o rewrite_service_name", "  -o rewrite_service_name")
	return dict(re.findall(r"^  -o (?:\{ )?(\w+) ?= ?(.*?)(?: \})?$", text, re.M))


class Site(Resource):
	"""odoo, people: the servers behind; relays: name -> the server outside.  Postfix listens as "smtp" (port 25) and
	"submission" (587)."""

	def __init__(self, build):
		self.folder = TempDir("postern-demo.")
		self.dir = self.folder.path
		self.authority = Authority(self.dir)
		certificate = self.authority.certificate("localhost")
		self.odoo = Sink(name="acme.odoo.example")
		self.people = Sink(name="mailboxes", protocol="lmtp")
		self.relays = {name: Relay(KINDS[security], certificate, users={name + "@acme.example": "secret of " + name})
		    for name, (security, _) in RELAYS.items()}
		self.postfix = Postfix(services={"smtp": {}, "submission": submission()}, sasl=dict([ODOO]))
		self.build = build
		self._opened()
		self._configure_postfix()
		self._configure_postern()

	def _configure_postfix(self):
		pf = self.postfix
		for name in ("main.cf.milter", "main.cf.mixed-domains", "main.cf.redirect", "main.cf.outbound"):
			pf.main.update(parse_main_cf(fragment(name)))
		pf.main.update({
			"myhostname": "mx.acme.example",
			"virtual_alias_maps": "socketmap:unix:postern/map.sock:recipient",
			"virtual_mailbox_maps": "inline:{ joe@acme.example=joe }",
			"virtual_transport": "lmtp:inet:" + self.people.nexthop.replace("[", "").replace("]", ""),
			"transport_maps": "inline:{ { acme.odoo.example = postern-redirect:%s } }" % self.odoo.nexthop,
		})
		services = re.findall(r"^postern-.*(?:\n[ \t].*)*", fragment("master.cf"), re.M)
		pf.master += [s.replace("/etc/ssl/certs/ca-certificates.crt", self.authority.file) for s in services]
		pf.files["reply_filter"] = fragment("reply_filter")

	def _configure_postern(self):
		os.mkdir(self.dir + "/conf.d")
		os.mkdir(self.dir + "/aliases.d")
		os.mkdir(self.dir + "/state")
		self.conf = self.dir + "/postern.conf"
		self._write("postern.conf", sample_configuration())
		self._write("conf.d/demo.conf", DEMO_CONF.format(dir=self.dir, queue=self.postfix.queue_dir))
		self._write("aliases.d/demo", ALIASES)
		self._write("conf.d/relays.conf", "".join(RELAY_CONF.format(name=name, port=self.relays[name].port, dir=self.dir,
		    security=security, more=more) for name, (security, more) in RELAYS.items()))
		for name in RELAYS:
			self._write(name + ".password", "secret of %s\n" % name)

	def _write(self, name, text):
		with open(os.path.join(self.dir, name), "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, 0o600)) as file:
			file.write(text)

	def start(self):
		self.milter = MilterProcess(self.build + "/postern-milter", self.conf, self.postfix.socket_path("milter.sock"))
		self.policy = PolicyProcess(self.build + "/postern-policy", self.conf, [self.postfix.socket_path("map.sock")])
		self.postfix.start()
		return self

	def restart(self, seconds_ahead):
		"""Both daemons, with a clock that is ahead."""
		for daemon in (self.milter, self.policy):
			daemon.env["POSTERN_CLOCK_OFFSET"] = str(seconds_ahead)
			daemon.restart()

	def address(self, service="smtp"):
		return self.postfix.address(service)

	def send(self, sender, rcpts, mail, service="smtp"):
		"""As a stranger, or as Odoo, which logs in on submission."""
		if service == "smtp":
			return send_mail(self.address(), sender, rcpts, mail)
		with Client(self.address(service)) as client:
			client.auth_plain(*ODOO)
			return client.send_mail(sender, rcpts, mail)

	def _close(self):
		for part in (self.postfix, getattr(self, "policy", None), getattr(self, "milter", None), self.odoo,
				self.people, *self.relays.values(), self.folder):
			if part is not None:
				part.close()
