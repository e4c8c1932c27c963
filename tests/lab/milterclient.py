"""The other end of the milter protocol: speaks to a milter as Postfix does, or as no sane MTA would."""

import socket
import struct

import miltwire
from base import LabError, Resource, crlf, to_bytes, to_text


class Verdict:
	"""One answer.  kind: continue, accept, discard, reject, tempfail, replycode, skip, none (no answer is
	expected at this stage), unsent (the milter did not ask for this event).  code and text of a replycode;
	actions: what an end of message did before, as tuples of miltwire.parse_action()."""

	def __init__(self, kind, data=b"", actions=()):
		self.kind, self.actions = kind, list(actions)
		self.text = to_text(data.rstrip(b"\0"))
		self.code = int(self.text[:3]) if kind == "replycode" else {"reject": 550, "tempfail": 451}.get(kind, 250)

	@property
	def passes(self):
		"""Postfix would go on (or take the mail)."""
		return self.kind in ("continue", "accept", "discard", "skip", "none", "unsent")

	def named(self, *names):
		return [a for a in self.actions if a[0] in names]

	@property
	def added(self):
		"""Addresses added, in order, as text."""
		return [to_text(a[1]) for a in self.named("addrcpt", "addrcpt_par")]

	@property
	def deleted(self):
		return [to_text(a[1]) for a in self.named("delrcpt")]

	def headers(self, name):
		"""Values of the headers added or inserted under that name, as they went over the wire."""
		return [to_text(a[-1]) for a in self.named("addheader", "insheader")
		    if to_text(a[-2]).lower() == name.lower()]

	def __repr__(self):
		return "<%s%s%s>" % (self.kind, " " + self.text if self.text else "",
		    " %r" % self.actions if self.actions else "")


class MailResult:
	"""What one mail got.  final is the verdict that ended it."""

	def __init__(self):
		self.stages = {}		# stage -> Verdict (the last of that stage)
		self.rcpts = []			# one per recipient, in order
		self.final = None

	@property
	def eom(self):
		return self.stages.get("eom")

	def __repr__(self):
		return "MailResult(rcpts=%r, final=%r)" % (self.rcpts, self.final)


class MilterClient(Resource):
	"""One connection.  address: unix socket path or (host, port).  After negotiate() it obeys the flags agreed
	on, as Postfix does, unless obey is set to False."""

	def __init__(self, address, timeout=20, negotiate=True, **offer):
		family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
		self.sock = socket.socket(family, socket.SOCK_STREAM)
		self.sock.settimeout(timeout)
		try:
			self.sock.connect(address)
			if family == socket.AF_INET:
				self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		except OSError:
			self.sock.close()
			raise
		self._opened()
		self.reader = miltwire.Reader(self.sock)
		self.version = self.actions = self.steps = 0
		self.macro_lists = {}
		self.obey = True
		if negotiate:
			self.negotiate(**offer)

	# --- bytes

	def raw(self, data):
		self.sock.sendall(data)

	def packet(self, command, data=b""):
		self.raw(miltwire.packet(command, data))

	def read(self):
		"""(letter, data) of the next packet; EOFError when the milter has closed."""
		return self.reader.packet()

	def at_end(self):
		"""True if the milter closes the connection (waits for it up to the timeout)."""
		try:
			return not self.reader.buffer and self.sock.recv(1) == b""
		except ConnectionError:
			return True

	# --- the stages

	def negotiate(self, version=6, actions=miltwire.ALL_ACTIONS, steps=miltwire.ALL_STEPS):
		"""Sends the offer, takes the answer apart: .version, .actions, .steps, .macro_lists (stage -> names)."""
		self.packet("O", struct.pack(">III", version, actions, steps))
		letter, data = self.read()
		if letter != "O":
			raise LabError("the milter answers the negotiation with %r %r" % (letter, data))
		self.version, self.actions, self.steps = struct.unpack(">III", data[:12])
		data = data[12:]
		while len(data) > 4:
			stage = struct.unpack(">I", data[:4])[0]
			names, _, data = data[4:].partition(b"\0")
			self.macro_lists[miltwire.MACRO_STAGES[stage]] = to_text(names).split()
		return self

	def macros(self, letter, values):
		"""Macros for the command that follows; names as Postfix sends them: {"i": ..., "{auth_authen}": ...}."""
		words = [to_bytes(w) for kv in values.items() for w in kv]
		self.packet("D", letter.encode() + miltwire.strings(*words))

	def event(self, letter, data=b"", macros=None):
		"""Sends one event and waits for its verdict, unless the flags say otherwise."""
		name, no_event, no_reply = miltwire.EVENTS[letter]
		if self.obey and self.steps & no_event:
			return Verdict("unsent")
		if macros:
			self.macros(letter, macros)
		self.packet(letter, data)
		if self.obey and self.steps & no_reply:
			return Verdict("none")
		return self.verdict()

	def verdict(self):
		"""Reads up to the next verdict, collecting actions."""
		actions = []
		while True:
			letter, data = self.read()
			action = miltwire.parse_action(letter, data)
			if action:
				actions.append(action)
			elif letter in miltwire.VERDICTS:
				return Verdict("replycode" if letter == "y" else miltwire.VERDICTS[letter], data, actions)
			else:
				raise LabError("unknown answer of the milter: %r %r" % (letter, data))

	def connect(self, host="client.test", address="192.0.2.1", port=12345, family="4", macros=None):
		data = to_bytes(host) + b"\0" + family.encode()
		if family in "46L":
			data += struct.pack(">H", port) + to_bytes(address) + b"\0"
		return self.event("C", data, macros)

	def helo(self, name="client.test", macros=None):
		return self.event("H", miltwire.strings(to_bytes(name)), macros)

	def mail(self, sender, *args, macros=None):
		return self.event("M", miltwire.strings(_angle(sender), *map(to_bytes, args)), macros)

	def rcpt(self, recipient, *args, macros=None):
		"""With {rcpt_addr}, as Postfix sends it with each recipient, unless macros are given."""
		if macros is None:
			macros = {"{rcpt_addr}": to_bytes(recipient).strip(b"<>").lower()}
		return self.event("R", miltwire.strings(_angle(recipient), *map(to_bytes, args)), macros)

	def data(self, macros=None):
		return self.event("T", b"", macros)

	def header(self, name, value, macros=None):
		"""value as Postfix sends it with HDR_LEADSPC: with the space after the colon, folds as LF."""
		return self.event("L", miltwire.strings(to_bytes(name), to_bytes(value)), macros)

	def eoh(self, macros=None):
		return self.event("N", b"", macros)

	def body(self, chunk, macros=None):
		return self.event("B", to_bytes(chunk), macros)

	def eom(self, chunk=b"", macros=None):
		return self.event("E", to_bytes(chunk), macros)

	def unknown(self, line, macros=None):
		return self.event("U", miltwire.strings(to_bytes(line)), macros)

	def abort(self):
		"""The message is over; no answer is expected."""
		self.packet("A")

	def quit(self):
		self.packet("Q")
		self.close()

	def reset(self):
		"""Closes with RST where the family has that: the MTA has died."""
		if self.sock.family == socket.AF_INET:
			self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		self.close()

	def _close(self):
		self.sock.close()

	# --- whole mails

	def open_session(self, host="client.test", address="192.0.2.1", helo="client.test", daemon="mx.lab.test", **macros):
		"""CONNECT and HELO with the macros Postfix sends by default."""
		common = {"j": daemon, "{daemon_name}": daemon, "{daemon_addr}": "127.0.0.1", "v": "Postfix 3.7.11",
		    "_": "%s [%s]" % (host, address)}
		common.update({k if len(k) == 1 else "{%s}" % k: v for k, v in macros.items()})
		verdict = self.connect(host, address, macros=common)
		return self.helo(helo) if verdict.passes else verdict

	def send_mail(self, sender, recipients, message, queue_id="4ABCDEF01", mail_args=(), rcpt_args=(),
	    mail_macros=None, rcpt_macros=None, chunk=65535):
		"""One mail as Postfix presents it: `i` is not there at MAIL and the first RCPT, header folds are LF, the
		body comes in chunks.  Refused recipients are left out; nobody left or a final verdict ends it with ABORT."""
		r = MailResult()
		def stage(name, verdict):
			r.stages[name] = r.final = verdict
			return verdict.kind in ("continue", "skip", "none", "unsent")
		def give_up():
			self.abort()
			return r
		if not stage("mail", self.mail(sender, *mail_args, macros=dict({"{mail_addr}": sender.strip("<>")},
		    **(mail_macros or {})))):
			return give_up()
		ids = {}
		for rcpt in [recipients] if isinstance(recipients, str) else recipients:
			v = self.rcpt(rcpt, *rcpt_args, macros=dict({"{rcpt_addr}": rcpt.strip("<>").lower()}, **ids,
			    **(rcpt_macros or {})))
			r.rcpts.append(v)
			r.stages["rcpt"] = r.final = v
			if v.kind in ("accept", "discard"):
				return r
			if v.passes:
				ids = {"i": queue_id}
		if not ids or not stage("data", self.data(macros=ids)):
			return give_up()
		return self._content(r, stage, give_up, message, ids, chunk)

	def _content(self, r, stage, give_up, message, ids, chunk):
		head, body = split_message(message)
		for name, value in head:
			if not self.steps & miltwire.HDR_LEADSPC and value.startswith(b" "):
				value = value[1:]
			if not stage("header", self.header(name, value)):
				return give_up() if not r.final.passes else r
		if not stage("eoh", self.eoh(macros=ids)):
			return give_up() if not r.final.passes else r
		for at in range(0, len(body), chunk):
			v = self.body(body[at:at + chunk])
			if v.kind == "skip":
				break
			if not stage("body", v):
				return give_up() if not v.passes else r
		stage("eom", self.eom(macros=ids))
		return r


def split_message(message):
	"""([(name, value)], body) as a milter sees them: values with leading space and LF folds, body with CRLF."""
	head, blank, body = crlf(message).partition(b"\r\n\r\n")
	fields = []
	for line in head.split(b"\r\n"):
		if line[:1] in (b" ", b"\t") and fields:
			fields[-1][1] += b"\n" + line
		elif b":" in line:
			name, _, value = line.partition(b":")
			fields.append([name, value])
	return [(n, v) for n, v in fields], body


def _angle(address):
	address = to_bytes(address)
	return address if address.startswith(b"<") else b"<" + address + b">"
