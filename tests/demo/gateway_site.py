"""A whole gateway in a folder of its own: Postfix, postern-milter, postern-policy and the servers around them.

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
from lab import MilterProcess, PolicyProcess, Postfix, Sink, parse_main_cf  # noqa: E402

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
dmarc = off
hostname = "mx.acme.example"
"""


def sample_configuration():
	text = open(SAMPLE, encoding="utf-8").read()
	for old, new in SETTINGS.items():
		if old not in text:
			raise SystemExit("%s: the line \"%s\" is not there any more" % (SAMPLE, old))
		text = text.replace(old, new, 1)
	return text


def fragment(name):
	return parse_main_cf(open(os.path.join(ROOT, "postfix-conf", name), encoding="utf-8").read())


class Site(Resource):
	"""odoo, people, outside: the servers behind.  Postfix listens as "smtp" (port 25) and "submission" (587)."""

	def __init__(self, build):
		self.folder = TempDir("postern-demo.")
		self.dir = self.folder.path
		self.odoo = Sink(name="acme.odoo.example")
		self.people = Sink(name="mailboxes", protocol="lmtp")
		self.outside = Sink(name="mx.customer.example")
		self.postfix = Postfix(services={"smtp": {}, "submission": {"milter_macro_daemon_name": "ORIGINATING"}})
		self.build = build
		self._opened()
		self._configure_postfix()
		self._configure_postern()

	def _configure_postfix(self):
		pf = self.postfix
		for name in ("main.cf.milter", "main.cf.mixed-domains", "main.cf.redirect"):
			pf.main.update(fragment(name))
		pf.main.update({
			"myhostname": "mx.acme.example",
			"virtual_alias_maps": "socketmap:unix:postern/map.sock:recipient",
			"virtual_mailbox_maps": "inline:{ joe@acme.example=joe }",
			"virtual_transport": "lmtp:inet:" + self.people.nexthop.replace("[", "").replace("]", ""),
			"transport_maps": "inline:{ { acme.odoo.example = postern-redirect:%s } }" % self.odoo.nexthop,
			"default_transport": "smtp:" + self.outside.nexthop,
		})
		master = open(os.path.join(ROOT, "postfix-conf", "master.cf"), encoding="utf-8").read()
		pf.master.append(re.search(r"^postern-redirect .*(?:\n[ \t].*)*", master, re.M).group(0))

	def _configure_postern(self):
		os.mkdir(self.dir + "/conf.d")
		os.mkdir(self.dir + "/aliases.d")
		os.mkdir(self.dir + "/state")
		self.conf = self.dir + "/postern.conf"
		self._write("postern.conf", sample_configuration())
		self._write("conf.d/demo.conf", DEMO_CONF.format(dir=self.dir, queue=self.postfix.queue_dir))
		self._write("aliases.d/demo", ALIASES)

	def _write(self, name, text):
		with open(os.path.join(self.dir, name), "w", encoding="utf-8") as file:
			file.write(text)

	def start(self):
		self.milter = MilterProcess(self.build + "/postern-milter", self.conf, self.postfix.socket_path("milter.sock"))
		self.policy = PolicyProcess(self.build + "/postern-policy", self.conf, [self.postfix.socket_path("map.sock")])
		self.postfix.start()
		return self

	def address(self, service="smtp"):
		return self.postfix.address(service)

	def _close(self):
		for part in (self.postfix, getattr(self, "policy", None), getattr(self, "milter", None), self.odoo,
				self.people, self.outside, self.folder):
			if part is not None:
				part.close()
