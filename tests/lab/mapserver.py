"""The server side of Postfix's socketmap protocol, for tables that a test answers itself."""

import threading

from base import LabError, Server, to_bytes, to_text, wait_until


class MapServer(Server):
	"""answer(name, key) returns a value, None (NOTFOUND) or a whole reply such as TEMP; it may change at any time.

	listen is None (a free TCP port) or the path of a unix socket in Postfix's queue directory.
	"""

	TEMP = "TEMP trouble in the lab"

	def __init__(self, answer, listen=None, group="postfix"):
		self.answer = answer
		self.lookups = []		# (name, key) in the order of arrival
		self._order = threading.Lock()
		super().__init__(listen, group=group)

	def table(self, name):
		"""As Postfix writes it.  For unix sockets: where a daemon in the queue directory finds it."""
		where = "unix:postern/" + self.path.rpartition("/")[2] if self.path else "inet:127.0.0.1:%d" % self.port
		return "socketmap:%s:%s" % (where, name)

	def keys(self, name):
		"""What one table was asked."""
		return [key for table, key in list(self.lookups) if table == name]

	def wait(self, name, n=1, timeout=10):
		"""Waits for n questions to one table; returns all of them."""
		wait_until(lambda: len(self.keys(name)) >= n, timeout, lambda: "%d of %s in %r" % (n, name, self.lookups))
		return self.keys(name)

	def serve(self, sock, peer):
		with sock.makefile("rb") as file:
			while True:
				name, _, key = to_text(_netstring(file)).partition(" ")
				with self._order:
					self.lookups.append((name, key))
					value = self.answer(name, key)
				if value is None:
					value = "NOTFOUND "
				elif value.split(" ")[0] not in ("TEMP", "TIMEOUT", "PERM"):
					value = "OK " + value
				reply = to_bytes(value)
				sock.sendall(b"%d:%s," % (len(reply), reply))


def _netstring(file):
	digits = b""
	while (c := file.read(1)) != b":":
		if not c:
			raise EOFError
		digits += c
	data = file.read(int(digits) + 1)
	if data[-1:] != b",":
		raise LabError("netstring without its comma: %r" % data)
	return data[:-1]
