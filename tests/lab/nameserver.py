"""NSD with zones of our own."""

import os

from base import free_port, is_listening, wait_until
from programs import Program

CONF = """\
server:
	ip-address: 127.0.0.1@%(port)d
	username: ""
	chroot: ""
	database: ""
	zonesdir: "%(folder)s"
	pidfile: "%(folder)s/nsd.pid"
	xfrdfile: "%(folder)s/xfrd.state"
	zonelistfile: "%(folder)s/zone.list"
	server-count: 1
	rrl-ratelimit: 0
remote-control:
	control-enable: no
"""

ZONE = "zone:\n\tname: %s\n\tzonefile: %s\n"

HEAD = """\
$ORIGIN %(name)s.
$TTL 300
@ SOA ns root 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
"""


def txt(name, text):
	"""A line of a zone; a TXT record is made of strings of at most 255 bytes."""
	strings = [text[i:i + 255].replace("\\", "\\\\").replace('"', '\\"') for i in range(0, len(text), 255)]
	return "%s TXT %s\n" % (name, " ".join('"%s"' % s for s in strings))


class NameServer(Program):
	"""It serves these zones, a dict of names and texts, on 127.0.0.1; `address` is for dns_servers."""

	def __init__(self, folder, zones):
		self.port, self.folder, self.zones = free_port(), folder, dict(zones)
		self.address = "127.0.0.1@%d" % self.port
		os.makedirs(folder)
		self.write(self.zones)
		super().__init__("/usr/sbin/nsd", ["-d", "-c", folder + "/nsd.conf"])
		self._wait()

	def write(self, zones, port=None, conf="nsd.conf"):
		with open(self.folder + "/" + conf, "w", encoding="ascii") as f:
			f.write(CONF % {"port": port or self.port, "folder": self.folder})
			for name, text in zones.items():
				f.write(ZONE % (name, name))
				with open(self.folder + "/" + name, "w", encoding="ascii") as zone:
					zone.write(text)

	def _wait(self):
		wait_until(lambda: is_listening(self.port), 10, lambda: "nsd does not listen\n" + self.stderr())

	def serve(self, zones):
		"""Other zones from now on."""
		self.zones.update(zones)
		self.write(self.zones)
		self.restart()
		self._wait()
