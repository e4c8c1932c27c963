"""Clients for the two small protocols of Postfix that our policy service speaks."""

import socket

from base import LabError, Resource, to_bytes, to_text


class _Stream(Resource):
	def __init__(self, address, timeout=20):
		family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
		self.sock = socket.socket(family, socket.SOCK_STREAM)
		self.sock.settimeout(timeout)
		try:
			self.sock.connect(address)
		except OSError:
			self.sock.close()
			raise
		self.file = self.sock.makefile("rb")
		self._opened()

	def raw(self, data):
		self.sock.sendall(to_bytes(data))

	def at_end(self):
		"""True if the server closes the connection (waits for it up to the timeout)."""
		try:
			return self.file.read(1) == b""
		except ConnectionError:
			return True

	def _close(self):
		self.file.close()
		self.sock.close()


class PolicyClient(_Stream):
	"""request(name=value ...) -> the text of `action=`."""

	def request(self, **attributes):
		attributes.setdefault("request", "smtpd_access_policy")
		self.raw("".join("%s=%s\n" % kv for kv in attributes.items()) + "\n")
		return self.reply()

	def reply(self):
		answer = {}
		for line in self.file:
			if line == b"\n":
				if "action" not in answer:
					raise LabError("no action in %r" % answer)
				return answer["action"]
			key, _, value = to_text(line.rstrip(b"\n")).partition("=")
			answer[key] = value
		raise EOFError("the policy service closed the connection")


class SocketmapClient(_Stream):
	"""lookup("recipient", "a@b") -> (status, text), as ("OK", "a@b") or ("NOTFOUND", "")."""

	def lookup(self, name, key):
		request = to_bytes(name) + b" " + to_bytes(key)
		self.raw(b"%d:%s," % (len(request), request))
		return self.reply()

	def reply(self):
		digits = b""
		while True:
			c = self.file.read(1)
			if c == b":":
				break
			if not c.isdigit() or len(digits) > 9:
				raise EOFError("no netstring: %r" % (digits + c))
			digits += c
		data = self.file.read(int(digits) + 1)
		if data[-1:] != b",":
			raise LabError("netstring without its comma: %r" % data)
		status, _, text = to_text(data[:-1]).partition(" ")
		return status, text
