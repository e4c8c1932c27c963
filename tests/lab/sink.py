"""A receiving SMTP or LMTP server that keeps everything it is told: Odoo's side, and every other host."""

import base64
import email
import email.policy
import itertools
import threading
import time

from base import LabError, Server, to_bytes, to_text

DEFAULT_EXTENSIONS = ("PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES")
DROP = object()		# a hook's answer: close the connection without a reply
HANG = object()		# a hook's answer: say nothing more, until the peer is tired of it


class Path:
	"""An envelope address and its ESMTP parameters (upper-case keyword -> value, or None without one)."""

	def __init__(self, arg):
		arg = arg.strip()
		if arg.startswith("<"):
			self.address, _, rest = _close_angle(arg)
		else:
			self.address, _, rest = arg.partition(" ")
		self.args = rest.split()
		self.final = None		# LMTP: the answer for this recipient at the end of the message
		self.params = {}
		for word in self.args:
			key, eq, value = word.partition("=")
			self.params[key.upper()] = value if eq else None
		self.reply = None

	def __repr__(self):
		return "<%s>%s" % (self.address, "".join(" " + a for a in self.args))


def _close_angle(arg):
	# A quoted local part may hold ">".
	quoted = escaped = False
	for i, c in enumerate(arg):
		if escaped:
			escaped = False
		elif c == "\\" and quoted:
			escaped = True
		elif c == '"':
			quoted = not quoted
		elif c == ">" and not quoted:
			return arg[1:i], ">", arg[i + 1:]
	return arg[1:], "", ""


class Transaction:
	"""One mail as far as it got.  accepted: the end of the message was answered 250 (LMTP: for anybody)."""

	def __init__(self, session, mail):
		self.session = session		# a number, to see what came over one connection
		self.mail = mail
		self.rcpts = []			# Path objects, refused ones too: see .reply
		self.message = b""
		self.accepted = False
		self.reply = None
		self.time = time.time()

	client = helo = auth = None
	tls = subject = None		# Relay: the TLS version, the name in the client's certificate

	@property
	def sender(self):
		return self.mail.address

	@property
	def sender_params(self):
		return self.mail.params

	@property
	def recipients(self):
		"""The addresses that were accepted, in order."""
		return [r.address for r in self.rcpts if r.reply[:1] == "2"]

	def rcpt(self, address):
		"""The Path of one recipient, to look at its parameters."""
		for r in self.rcpts:
			if r.address == address:
				return r
		raise LabError("no recipient %s in %r" % (address, self.rcpts))

	@property
	def header_text(self):
		return to_text(self.message.replace(b"\r\n", b"\n").partition(b"\n\n")[0]) + "\n"

	@property
	def body(self):
		return self.message.partition(b"\r\n\r\n")[2]

	@property
	def parsed(self):
		return email.message_from_bytes(self.message, policy=email.policy.compat32)

	def header(self, name):
		"""The first header of that name, unfolded, or None."""
		values = self.headers(name)
		return values[0] if values else None

	def headers(self, name):
		return [" ".join(str(v).split()) for v in self.parsed.get_all(name, [])]

	def __repr__(self):
		return "<%s -> %s, %d bytes, %s>" % (self.mail, self.rcpts, len(self.message),
		    "accepted" if self.accepted else self.reply or "unfinished")


class Sink(Server):
	"""listen: None (a free port: .port), a port, or a unix socket's path.  protocol: "smtp" or "lmtp".

	hook(stage, transaction, arg) may answer any stage: None for the usual answer, a reply ("450 4.2.0 later"; a
	list of lines is sent as a multi-line reply), DROP or HANG.  Stages: connect, helo, auth, mail, rcpt, data, eom, rset, noop, quit.
	`arg` is the Path at mail and rcpt, for LMTP also at eom (asked once per recipient), else the text after the command.
	users (user -> password) makes it demand AUTH PLAIN.
	"""

	def __init__(self, listen=None, protocol="smtp", extensions=DEFAULT_EXTENSIONS, hook=None, name="sink.test",
	    users=None, **socket_options):
		self.protocol, self.extensions, self.hook, self.name = protocol, tuple(extensions), hook, name
		self.users = users
		self.transactions = []		# every MAIL, also what came to nothing
		self.commands = []		# (session, line) as received
		self._numbers = itertools.count(1)
		self._changed = threading.Condition()
		super().__init__(listen, **socket_options)

	@property
	def nexthop(self):
		"""As Postfix writes it: relayhost, transport_maps."""
		return "unix:" + self.path if self.path else "[127.0.0.1]:%d" % self.port

	@property
	def wants_login(self):
		return bool(self.users)

	@property
	def messages(self):
		"""The transactions that were accepted, in the order of their end."""
		with self._changed:
			return sorted((t for t in self.transactions if t.accepted), key=lambda t: t.ended)

	def wait(self, n=1, timeout=10):
		"""Waits for n accepted messages; returns all that are there (maybe more)."""
		with self._changed:
			enough = self._changed.wait_for(lambda: sum(t.accepted for t in self.transactions) >= n, timeout)
		if not enough:
			raise LabError("%d of %d messages after %g s: %r" % (len(self.messages), n, timeout, self.transactions))
		return self.messages

	def wait_one(self, timeout=10):
		"""Waits for the first message and takes it for the only one."""
		messages = self.wait(1, timeout)
		if len(messages) != 1:
			raise LabError("one message expected: %r" % messages)
		return messages[0]

	def clear(self):
		with self._changed:
			self.transactions.clear()
			self.commands.clear()

	def serve(self, sock, peer):
		Session(self, sock, peer).run()


class Session:
	"""One connection; each _do_VERB answers one command, and ends the session by returning False."""

	tls = subject = None

	def __init__(self, sink, sock, peer):
		self.sink, self.sock = sink, sock
		self.number = next(sink._numbers)
		self.peer = peer
		self.file = sock.makefile("rb")
		self.tr = None
		self.helo = self.auth = None

	def run(self):
		with self.file:
			self._say("connect", "220 %s ready" % self.sink.name, "")
			while True:
				line = self.file.readline()
				if not line:
					return
				text = to_text(line.rstrip(b"\r\n"))
				self.sink.commands.append((self.number, text))
				verb, _, arg = text.partition(" ")
				if not self._command(verb.upper(), arg):
					return

	def _command(self, verb, arg):
		act = getattr(self, "_do_" + verb.lower(), None)
		if act is None:
			self._send("500 5.5.2 unknown command " + verb)
			return True
		return act(arg) is not False

	def _say(self, stage, usual, arg):
		"""Asks the hook, sends its answer or the usual one; returns what was sent (its first line)."""
		answer = self._ask(stage, arg)
		return self._send(usual if answer is None else answer)

	def _ask(self, stage, arg):
		answer = self.sink.hook(stage, self.tr, arg) if self.sink.hook else None
		if answer is HANG:
			while self.sock.recv(65536):
				pass
		if answer in (DROP, HANG):
			raise ConnectionAbortedError
		return answer

	def _send(self, reply):
		lines = [reply] if isinstance(reply, (str, bytes)) else list(reply)
		lines = [to_bytes(l) for l in lines]
		if len(lines) > 1:
			code = lines[-1][:3]
			lines = [code + b"-" + l[4:] for l in lines[:-1]] + [lines[-1]]
		self.sock.sendall(b"".join(l + b"\r\n" for l in lines))
		return to_text(lines[-1])

	def _hello(self, arg, extended):
		self.helo, self.tr = arg, None
		extensions = self.sink.extensions + self._offers() if extended else ()
		self._say("helo", ["250 " + x for x in (self.sink.name,) + extensions], arg)

	def _offers(self):
		return ("AUTH PLAIN",) if self.sink.users else ()

	def _do_helo(self, arg):
		self._hello(arg, False)

	def _do_ehlo(self, arg):
		self._hello(arg, True)

	_do_lhlo = _do_ehlo

	def _do_auth(self, arg):
		words = arg.split()
		if len(words) < 2:
			self._send("334 ")
			words.append(to_text(self.file.readline().strip()))
		user, password = base64.b64decode(words[1]).decode().split("\0")[1:3]
		ok = (self.sink.users or {}).get(user) == password
		reply = self._say("auth", "235 2.7.0 ok" if ok else "535 5.7.8 no", user)
		if reply[:1] == "2":
			self.auth = user

	def _do_mail(self, arg):
		if self.sink.wants_login and not self.auth:
			self._send("530 5.7.0 authentication required")
			return
		mail = Path(arg.partition(":")[2])
		self.tr = Transaction(self.number, mail)
		self.tr.client, self.tr.helo, self.tr.auth = self.peer, self.helo, self.auth
		self.tr.tls, self.tr.subject = self.tls, self.subject
		with self.sink._changed:
			self.sink.transactions.append(self.tr)
		mail.reply = self._say("mail", "250 2.1.0 ok", mail)
		if mail.reply[:1] != "2":
			self.tr.reply, self.tr = mail.reply, None

	def _do_rcpt(self, arg):
		if self.tr is None:
			self._send("503 5.5.1 MAIL first")
			return
		rcpt = Path(arg.partition(":")[2])
		rcpt.reply = ""
		self.tr.rcpts.append(rcpt)
		rcpt.reply = self._say("rcpt", "250 2.1.5 ok", rcpt)

	def _do_data(self, arg):
		if self.tr is None or not self.tr.recipients:
			self._send("503 5.5.1 no valid recipients" if self.tr else "503 5.5.1 MAIL first")
			return
		if self._say("data", "354 go on", arg)[:1] != "3":
			return
		chunks = []
		for line in self.file:
			if line == b".\r\n":
				break
			chunks.append(line[1:] if line.startswith(b".") else line)
		else:
			raise EOFError
		self.tr.message = b"".join(chunks)
		self._end()

	def _do_bdat(self, arg):
		size, _, last = arg.partition(" ")
		chunk = self.file.read(int(size))
		if len(chunk) != int(size):
			raise EOFError
		if self.tr is None or not self.tr.recipients:
			self._send("503 5.5.1 no valid recipients")
			return
		self.tr.message += chunk
		if last.strip().upper() == "LAST":
			self._end()
		else:
			self._send("250 2.0.0 %s bytes" % size)

	def _end(self):
		tr = self.tr
		takers = [r for r in tr.rcpts if r.reply[:1] == "2"] if self.sink.protocol == "lmtp" else [""]
		for arg in takers:
			self._answer_end(arg)
		self.tr = None

	def _answer_end(self, arg):
		tr = self.tr
		answer = self._ask("eom", arg)
		answer = "250 2.0.0 ok" if answer is None else answer
		# Recorded before the reply leaves: whoever has seen the reply finds the message here.
		last = to_bytes(answer if isinstance(answer, (str, bytes)) else answer[-1])
		with self.sink._changed:
			if arg:
				arg.final = to_text(last)
			tr.reply = to_text(last)
			tr.ended = time.monotonic()
			tr.accepted = tr.accepted or last[:1] == b"2"
			self.sink._changed.notify_all()
		self._send(answer)

	def _do_rset(self, arg):
		self.tr = None
		self._say("rset", "250 2.0.0 ok", arg)

	def _do_noop(self, arg):
		self._say("noop", "250 2.0.0 ok", arg)

	def _do_xforward(self, arg):
		self._send("250 2.0.0 ok")

	def _do_quit(self, arg):
		self._say("quit", "221 2.0.0 bye", arg)
		return False
