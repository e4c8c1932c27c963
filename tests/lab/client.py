"""A raw SMTP client: sends exactly what it is told, returns every reply as it came."""

import base64
import socket
import struct

from base import LabError, Resource, crlf, to_bytes, to_text


class Reply:
	"""code is an int; raw the bytes as they came; text the lines without code, joined by newlines."""

	def __init__(self, raw):
		self.raw = bytes(raw)
		lines = self.raw.split(b"\r\n")[:-1]
		self.code = int(lines[-1][:3])
		self.lines = [to_text(line[4:]) for line in lines]
		self.text = "\n".join(self.lines)

	@property
	def ok(self):
		return 200 <= self.code < 400

	@property
	def enhanced(self):
		"""The enhanced status code, "5.1.1", or an empty string."""
		first = self.text.split(" ", 1)[0]
		parts = first.split(".")
		return first if len(parts) == 3 and all(p.isdigit() for p in parts) else ""

	def __repr__(self):
		return "<%d %s>" % (self.code, self.text.replace("\n", " | "))

	__str__ = __repr__


class Result:
	"""What one mail got: the replies of each stage.  final is the one that decided.  With LMTP `ends` has one
	reply per accepted recipient, and `end` is the last of them."""

	def __init__(self, mail, rcpts, data=None, end=None):
		self.mail, self.rcpts, self.data = mail, rcpts, data
		self.ends = end if isinstance(end, list) else [end] if end else []
		self.end = end = self.ends[-1] if self.ends else None
		self.final = end or data or next((r for r in rcpts if not r.ok), None) or mail

	@property
	def code(self):
		return self.final.code

	@property
	def queue_id(self):
		words = self.end.text.split() if self.end and self.end.code == 250 else []
		return words[-1] if "queued" in words else None

	def __repr__(self):
		return "Result(mail=%s, rcpts=%s, data=%s, end=%s)" % (self.mail, self.rcpts, self.data, self.end)


class Client(Resource):
	"""One connection.  address is (host, port) or the path of a unix socket (LMTP).

	source is the local address: against lab's Postfix 127.0.0.1 is a stranger, 127.0.0.2 belongs to mynetworks.
	"""

	def __init__(self, address, source=None, timeout=20, helo="client.test", ehlo=True, lmtp=False):
		if isinstance(address, str):
			self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
			self.sock.settimeout(timeout)
			self.sock.connect(address)
		else:
			self.sock = socket.create_connection(address, timeout, source and (source, 0))
			self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		self._opened()
		self._buffer = b""
		self.lmtp = lmtp
		self._takers = 0
		self.extensions = {}
		self.banner = self.reply()
		if ehlo and self.banner.ok:
			self.ehlo(helo)

	# --- bytes

	def send(self, data):
		"""Exactly these bytes."""
		self.sock.sendall(to_bytes(data))

	def readline(self):
		while b"\n" not in self._buffer:
			more = self.sock.recv(65536)
			if not more:
				raise ConnectionResetError("the server closed the connection" +
				    (" after %r" % self._buffer if self._buffer else ""))
			self._buffer += more
		line, _, self._buffer = self._buffer.partition(b"\n")
		return line + b"\n"

	def reply(self):
		raw = b""
		while True:
			line = self.readline()
			raw += line
			if not line[:3].isdigit() or not line.endswith(b"\r\n"):
				raise LabError("not an SMTP reply: %r" % raw)
			if line[3:4] != b"-":
				return Reply(raw)

	def replies(self, n):
		return [self.reply() for _ in range(n)]

	def at_end(self):
		"""True if the server closed the connection (waits for it up to the timeout)."""
		try:
			return not self._buffer and self.sock.recv(1) == b""
		except ConnectionError:
			return True

	# --- commands

	def cmd(self, line):
		self.send(to_bytes(line) + b"\r\n")
		return self.reply()

	def pipeline(self, lines):
		"""All lines in one segment; the replies in order.  A line may be bytes that end in CRLF (BDAT data)."""
		block = b"".join(l if isinstance(l, bytes) else to_bytes(l) + b"\r\n" for l in lines)
		self.send(block)
		return self.replies(len(lines))

	def ehlo(self, name="client.test"):
		r = self.cmd(("LHLO " if self.lmtp else "EHLO ") + name)
		self.extensions = {}
		for line in r.lines[1:]:
			word, _, rest = line.partition(" ")
			self.extensions[word.upper()] = rest
		return r

	def helo(self, name="client.test"):
		return self.cmd("HELO " + name)

	def mail(self, sender, *params):
		self._takers = 0
		return self.cmd(_path(b"MAIL FROM:", sender, params))

	def rcpt(self, recipient, *params):
		r = self.cmd(_path(b"RCPT TO:", recipient, params))
		self._takers += r.ok
		return r

	def rset(self):
		return self.cmd("RSET")

	def quit(self):
		r = self.cmd("QUIT")
		self.close()
		return r

	def data(self, message, raw=False):
		"""DATA and the message.  raw: no dot is doubled and no line end mended; the final dot is still added.

		Returns (reply to DATA, reply at the end or None); with LMTP the second is a list, one reply for each
		recipient that rcpt() saw accepted.
		"""
		first = self.cmd("DATA")
		if first.code != 354:
			return first, None
		self.send_content(message, raw)
		return first, self.replies(self._takers) if self.lmtp else self.reply()

	def send_content(self, message, raw=False):
		body = to_bytes(message) if raw else dot_stuff(crlf(message))
		if not body.endswith(b"\r\n"):
			body += b"\r\n"
		self.send(body + b".\r\n")

	def bdat(self, chunk, last=False):
		"""One chunk, as it is (no line end mended)."""
		chunk = to_bytes(chunk)
		self.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if last else b"") + chunk)
		return self.reply()

	def auth_plain(self, user, password):
		token = base64.b64encode(b"\0" + to_bytes(user) + b"\0" + to_bytes(password))
		return self.cmd(b"AUTH PLAIN " + token)

	def xclient(self, **attributes):
		"""Needs smtpd_authorized_xclient_hosts; afterwards the session starts anew."""
		r = self.cmd("XCLIENT " + " ".join("%s=%s" % kv for kv in attributes.items()))
		if r.code == 220:
			self.ehlo()
		return r

	def send_mail(self, sender, recipients, message, mail_params=(), rcpt_params=(), bdat=False):
		"""One whole mail, stage by stage; stops with RSET when nobody is left to send to."""
		if isinstance(recipients, (str, bytes)):
			recipients = [recipients]
		mail = self.mail(sender, *mail_params)
		rcpts = [self.rcpt(r, *rcpt_params) for r in recipients] if mail.ok else []
		if not any(r.ok for r in rcpts):
			if mail.ok:
				self.rset()
			return Result(mail, rcpts)
		if bdat:
			return Result(mail, rcpts, None, self.bdat(crlf(message), last=True))
		return Result(mail, rcpts, *self.data(message))

	# --- ends

	def abort(self):
		"""The connection is reset (RST), as if the client had died."""
		if self.sock.family == socket.AF_INET:
			self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		self.close()

	def _close(self):
		self.sock.close()


def dot_stuff(body):
	if body.startswith(b"."):
		body = b"." + body
	return body.replace(b"\r\n.", b"\r\n..")


def _path(command, address, params):
	address = to_bytes(address)
	if not address.startswith(b"<"):
		address = b"<" + address + b">"
	return b" ".join([command + address] + [to_bytes(p) for p in params])


def send_mail(address, sender, recipients, message, **options):
	"""One mail on a connection of its own; returns its Result."""
	client_options = {k: options.pop(k) for k in ("source", "helo", "timeout", "lmtp") if k in options}
	with Client(address, **client_options) as c:
		result = c.send_mail(sender, recipients, message, **options)
		c.send(b"QUIT\r\n")
		return result
