"""Small milters for tests: to stand before or behind ours, and to try the lab itself.

A filter is a subclass of Filter; one object serves one connection, what they share is in `self.milter` (the
server).  Each callback returns a verdict: "continue", "accept", "discard", "reject", "tempfail", or a reply text
("451 4.7.1 later").  on_eom() may first fill self.actions, in the form of miltwire.parse_action().
"""

import struct
import threading

import miltwire
from base import Server, to_bytes, to_text


class Filter:
	"""The events of one connection; as it stands it lets everything pass."""

	wants_actions = miltwire.ALL_ACTIONS
	skips = miltwire.NOUNKNOWN

	def __init__(self, milter):
		self.milter = milter
		self.actions = []
		self.macros = {}
		self.reset()

	def reset(self):
		"""Before each message, and after an abort."""
		self.sender, self.sender_args = None, []
		self.rcpts = []			# (address with <>, [arguments])
		self.headers = []		# (name, value)
		self.body = b""

	def on_connect(self, host, family, port, address):
		return "continue"

	def on_helo(self, name):
		return "continue"

	def on_mail(self, sender, args):
		return "continue"

	def on_rcpt(self, rcpt, args):
		return "continue"

	def on_data(self):
		return "continue"

	def on_header(self, name, value):
		return "continue"

	def on_eoh(self):
		return "continue"

	def on_body(self, chunk):
		return "continue"

	def on_unknown(self, line):
		return "continue"

	def on_eom(self):
		return "continue"


class Milter(Server):
	"""A milter server: Milter(path or None, FilterClass).  .events has every event of every connection, in order:
	(connection number, name, arguments, macros sent with it)."""

	def __init__(self, listen=None, filter_class=Filter, group="postfix", **options):
		self.filter_class = filter_class
		self.options = options
		self.events = []
		self.shared = {}		# for filters: what is known over all connections
		self.shared_lock = threading.Lock()
		self._count = 0
		super().__init__(listen, group=group)

	@property
	def endpoint(self):
		"""For smtpd_milters: works unchrooted."""
		return "unix:" + self.path if self.path else "inet:127.0.0.1:%d" % self.port

	def named(self, name):
		"""The arguments of all events of that name."""
		return [e[2] for e in list(self.events) if e[1] == name]

	def serve(self, sock, peer):
		with self._lock:
			self._count += 1
			number = self._count
		_Conversation(self, sock, number).run()


class _Conversation:
	def __init__(self, milter, sock, number):
		self.milter, self.sock, self.number = milter, sock, number
		self.filter = milter.filter_class(milter)
		self.steps = 0
		self.pending = {}

	def run(self):
		reader = miltwire.Reader(self.sock)
		while True:
			letter, data = reader.packet()
			if letter == "Q":
				self._note("close", ())
				return
			if letter == "O":
				self._negotiate(data)
			elif letter == "D":
				self._macros(data)
			elif letter in "AK":
				self._note("abort" if letter == "A" else "quit_nc", ())
				self.filter.reset()
			else:
				self._event(letter, data)

	def _note(self, name, args):
		self.milter.events.append((self.number, name, args, dict(self.pending)))
		self.pending = {}

	def _negotiate(self, data):
		_, actions, steps = struct.unpack(">III", data[:12])
		self.steps = self.filter.skips & steps
		self.sock.sendall(miltwire.packet("O", struct.pack(">III", 6, self.filter.wants_actions & actions, self.steps)))

	def _macros(self, data):
		words = [to_text(w) for w in miltwire.split_strings(data[1:])]
		self.pending = dict(zip(words[::2], words[1::2]))
		self.filter.macros.update(self.pending)

	def _event(self, letter, data):
		name, _, no_reply = miltwire.EVENTS[letter]
		args = getattr(self, "_read_" + name, lambda d: ())(data)
		self._note(name, args)
		if name == "body" or (name == "eom" and data):
			self.filter.body += data
		if name == "mail":
			self.filter.reset()
			self.filter.sender, self.filter.sender_args = args
		elif name == "header":
			self.filter.headers.append(args)
		verdict = getattr(self.filter, "on_" + name)(*args)
		if name == "rcpt" and verdict == "continue":
			self.filter.rcpts.append(args)
		if not self.steps & no_reply:
			self._answer(verdict)

	def _answer(self, verdict):
		out = b"".join(miltwire.build_action(a) for a in self.filter.actions)
		self.filter.actions = []
		self.sock.sendall(out + miltwire.build_verdict(verdict))

	def _read_connect(self, data):
		host, _, rest = data.partition(b"\0")
		family = chr(rest[0]) if rest else "U"
		port = struct.unpack(">H", rest[1:3])[0] if family in "46L" else 0
		return to_text(host), family, port, to_text(rest[3:].rstrip(b"\0"))

	def _read_helo(self, data):
		return (to_text(data.rstrip(b"\0")),)

	def _read_mail(self, data):
		words = [to_text(w) for w in miltwire.split_strings(data)]
		return words[0], words[1:]

	_read_rcpt = _read_mail

	def _read_header(self, data):
		name, value = miltwire.split_strings(data)[:2]
		return to_text(name), to_text(value)

	def _read_body(self, data):
		return (data,)

	def _read_unknown(self, data):
		return (to_text(data.rstrip(b"\0")),)


class Greylist(Filter):
	"""451 at the end of the first `times` messages of each (sender, recipients), then everything passes."""

	def on_eom(self):
		key = (self.sender, tuple(r for r, _ in self.rcpts))
		with self.milter.shared_lock:
			seen = self.milter.shared.get(key, 0)
			self.milter.shared[key] = seen + 1
		return "451 4.7.1 greylisted" if seen < self.milter.options.get("times", 1) else "continue"


class AddHeader(Filter):
	"""Adds the header given as header=(name, value)."""

	def on_eom(self):
		self.actions.append(("addheader",) + tuple(self.milter.options["header"]))
		return "continue"


class Redirect(Filter):
	"""Each recipient of `redirect` (a dict without <>) becomes its target; ESMTP arguments are kept."""

	def on_eom(self):
		for rcpt, args in self.rcpts:
			target = self.milter.options["redirect"].get(rcpt.strip("<>"))
			if target:
				self.actions.append(("delrcpt", rcpt))
				self.actions.append(("addrcpt_par", "<%s>" % target, to_bytes(" ".join(args))))
		return "continue"
