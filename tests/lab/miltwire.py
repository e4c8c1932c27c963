"""The milter protocol, version 6, as bytes: packets, flags, replies and end-of-message actions."""

import struct

# What a filter may do (second word of the option negotiation).
ADDHDRS, CHGBODY, ADDRCPT, DELRCPT, CHGHDRS = 0x1, 0x2, 0x4, 0x8, 0x10
QUARANTINE, CHGFROM, ADDRCPT_PAR, SETSYMLIST = 0x20, 0x40, 0x80, 0x100
ALL_ACTIONS = 0x1ff

# Which events it does not want, and which it does not answer (third word).
NOCONNECT, NOHELO, NOMAIL, NORCPT, NOBODY, NOHDRS, NOEOH = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40
NR_HDR, NOUNKNOWN, NODATA, SKIP, RCPT_REJ = 0x80, 0x100, 0x200, 0x400, 0x800
NR_CONN, NR_HELO, NR_MAIL, NR_RCPT, NR_DATA, NR_UNKN = 0x1000, 0x2000, 0x4000, 0x8000, 0x10000, 0x20000
NR_EOH, NR_BODY, HDR_LEADSPC = 0x40000, 0x80000, 0x100000
ALL_STEPS = 0x1fffff

# Commands: name, the flag that suppresses them, the flag that suppresses their answer.
EVENTS = {
	"C": ("connect", NOCONNECT, NR_CONN), "H": ("helo", NOHELO, NR_HELO), "M": ("mail", NOMAIL, NR_MAIL),
	"R": ("rcpt", NORCPT, NR_RCPT), "T": ("data", NODATA, NR_DATA), "L": ("header", NOHDRS, NR_HDR),
	"N": ("eoh", NOEOH, NR_EOH), "B": ("body", NOBODY, NR_BODY), "U": ("unknown", NOUNKNOWN, NR_UNKN),
	"E": ("eom", 0, 0),
}
# Stages of the macro lists a filter may ask for.
MACRO_STAGES = ("connect", "helo", "mail", "rcpt", "data", "eom", "eoh")

VERDICTS = {"c": "continue", "a": "accept", "d": "discard", "r": "reject", "t": "tempfail", "y": "replycode",
	"s": "skip", "f": "connfail", "4": "shutdown"}


def packet(command, data=b""):
	return struct.pack(">I", len(data) + 1) + command.encode("latin-1") + data


def strings(*parts):
	return b"".join(p + b"\0" for p in parts)


def split_strings(data):
	return data.split(b"\0")[:-1]


class Reader:
	"""Packets from a socket; EOFError at the end of the stream."""

	def __init__(self, sock):
		self.sock = sock
		self.buffer = b""

	def exactly(self, n):
		while len(self.buffer) < n:
			more = self.sock.recv(max(65536, n - len(self.buffer)))
			if not more:
				raise EOFError("the peer closed the connection")
			self.buffer += more
		part, self.buffer = self.buffer[:n], self.buffer[n:]
		return part

	def packet(self):
		"""(command letter, data)"""
		n = struct.unpack(">I", self.exactly(4))[0]
		if not 1 <= n <= 1 << 26:
			raise ValueError("milter packet of %d bytes" % n)
		data = self.exactly(n)
		return chr(data[0]), data[1:]


def parse_action(letter, data):
	"""An end-of-message action as a tuple: ("addrcpt", b"x@y"), ("insheader", 0, b"Name", b"value") ..., or None."""
	if letter == "+":
		return ("addrcpt", data.rstrip(b"\0"))
	if letter == "2":
		words = split_strings(data)
		return ("addrcpt_par", words[0], words[1] if len(words) > 1 else b"")
	if letter == "-":
		return ("delrcpt", data.rstrip(b"\0"))
	if letter == "h":
		return ("addheader",) + tuple(split_strings(data))
	if letter in "im":
		return ("insheader" if letter == "i" else "chgheader", struct.unpack(">I", data[:4])[0]) \
		    + tuple(split_strings(data[4:]))
	if letter == "e":
		words = split_strings(data)
		return ("chgfrom", words[0], words[1] if len(words) > 1 else b"")
	if letter == "q":
		return ("quarantine", data.rstrip(b"\0"))
	if letter == "b":
		return ("replacebody", data)
	if letter == "p":
		return ("progress",)
	return None


def build_action(action):
	"""The packet of a tuple as parse_action() gives it; text is taken as UTF-8."""
	name, *args = action
	args = [a.encode() if isinstance(a, str) else a for a in args]
	if name in ("addrcpt", "delrcpt", "quarantine"):
		return packet({"addrcpt": "+", "delrcpt": "-", "quarantine": "q"}[name], strings(args[0]))
	if name in ("addrcpt_par", "chgfrom"):
		return packet("2" if name == "addrcpt_par" else "e", strings(*[a for a in args if a]))
	if name == "addheader":
		return packet("h", strings(*args))
	if name in ("insheader", "chgheader"):
		return packet("i" if name == "insheader" else "m", struct.pack(">I", args[0]) + strings(*args[1:]))
	if name == "replacebody":
		return packet("b", args[0])
	if name == "progress":
		return packet("p")
	raise ValueError(name)


def build_verdict(verdict):
	"""The packet of "continue", "reject" ... or of a reply text such as "451 4.7.1 later"."""
	if verdict[:1].isdigit():
		return packet("y", strings(verdict.encode()))
	letter = next(k for k, v in VERDICTS.items() if v == verdict)
	return packet(letter)
