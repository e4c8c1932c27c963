"""A provider's SMTP server: real TLS, real logins, and trouble at any stage."""

import base64
import errno
import itertools
import json
import socket
import ssl
import subprocess
import threading
from collections import namedtuple

from base import to_bytes, to_text
from sink import DROP, HANG, Session, Sink

__all__ = ["DROP", "HANG", "Authority", "Login", "Relay"]

Login = namedtuple("Login", "session mechanism user secret ok tls")


class Authority:
	"""A certificate authority in a folder.  Every file is PEM: certificate first, then its key."""

	def __init__(self, folder):
		self.folder = folder
		self._numbers = itertools.count(1)
		self.file = self.self_signed("Lab CA")		# what a client must trust

	def self_signed(self, name):
		path = self._path()
		self._openssl("req", "-x509", *self._key(path), "-subj", "/CN=" + name, "-addext",
		    "subjectAltName=" + _alternative(name), "-days", "2", "-out", path)
		return self._with_key(path)

	def certificate(self, name, expired=False):
		"""For a server or a client of that name, signed by us."""
		path = self._path()
		self._openssl("req", *self._key(path), "-subj", "/CN=" + name, "-addext",
		    "subjectAltName=" + _alternative(name), "-out", path + ".csr")
		self._openssl("x509", "-req", "-in", path + ".csr", "-CA", self.file, "-CAkey", self.file,
		    "-copy_extensions", "copy", "-days", "-1" if expired else "2", "-out", path)
		return self._with_key(path)

	def _path(self):
		return "%s/cert%d.pem" % (self.folder, next(self._numbers))

	def _key(self, path):
		return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path + ".key"

	def _with_key(self, path):
		with open(path, "a") as f, open(path + ".key") as key:
			f.write(key.read())
		return path

	def _openssl(self, *args):
		subprocess.run(["openssl", *args], check=True, capture_output=True)


def _alternative(name):
	return ("IP:" if name.replace(".", "").isdigit() else "DNS:") + name.replace(" ", "-")


class Relay(Sink):
	"""security      "plain", "starttls" or "ssl" (implicit TLS); the last two need a certificate
	certificate   a PEM file, see Authority
	client_ca     PEM file: clients are asked for a certificate of this authority; client_required: it must come
	users         user -> password; tokens: function (user, token) -> bool.  With either, mail needs a login
	mechanisms    what EHLO offers (after STARTTLS, as providers do); PLAIN LOGIN for users, XOAUTH2 OAUTHBEARER
	              for tokens if not given
	answers       stage -> what Sink's hook may return, or a function (transaction, arg) that returns it.  Stages
	              are Sink's, and "starttls" (the command) and "handshake" (what is sent in place of it)

	Every attribute may be changed while it runs; sessions look when they come to the stage.
	"""

	def __init__(self, security="plain", certificate=None, client_ca=None, client_required=False, users=None,
	    tokens=None, mechanisms=None, answers=None, host="localhost", **sink_options):
		self.security, self.certificate = security, certificate
		self.client_ca, self.client_required = client_ca, client_required
		self.tokens, self.host = tokens, host
		usual = (("PLAIN", "LOGIN") if users else ()) + (("XOAUTH2", "OAUTHBEARER") if tokens else ())
		self.mechanisms = usual if mechanisms is None else tuple(mechanisms)
		self.answers = dict(answers or {})
		self.logins = []		# every attempt; ok: the secret was right, whatever `answers` made of it
		self.tls_failures = []		# what the handshakes died of, as text
		self.sessions = 0		# connections that came as far as the greeting
		super().__init__(users=users, hook=self._trouble, name="relay.test", **sink_options)

	@property
	def nexthop(self):
		return "[%s]:%d" % (self.host, self.port)

	@property
	def wants_login(self):
		return bool(self.users or self.tokens)

	def close_port(self):
		"""From now on connections are refused; those that are open stay."""
		self._listener.shutdown(socket.SHUT_RDWR)
		self._acceptor.join(5)
		self._listener.close()

	def open_port(self):
		self._listener = socket.create_server(("127.0.0.1", self.port), backlog=200)
		self._acceptor = threading.Thread(target=self._accept, daemon=True)
		self._acceptor.start()

	def serve(self, sock, peer):
		session = _RelaySession(self, sock, peer)
		try:
			session.run()
		except OSError as e:
			# ENOTCONN: reset before the handshake began.
			if not isinstance(e, ssl.SSLError) and e.errno != errno.ENOTCONN:
				raise
			self.tls_failures.append(str(e))
		finally:
			with self._lock:
				self.connections.discard(session.sock)
			session.file.close()
			session.sock.close()

	def _trouble(self, stage, transaction, arg):
		answer = self.answers.get(stage)
		return answer(transaction, arg) if callable(answer) else answer


class _RelaySession(Session):
	def run(self):
		if self.sink.security == "ssl":
			self._start_tls()
		with self.sink._lock:
			self.sink.sessions += 1
		super().run()

	def _start_tls(self):
		answer = self._ask("handshake", "")
		if answer is not None:
			self._send(answer)
			raise ConnectionAbortedError
		self.file.close()
		with self.sink._lock:		# close() must find the socket that has the descriptor
			self.sink.connections.discard(self.sock)
			self.sock = self._context().wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
			self.sink.connections.add(self.sock)
		self.sock.do_handshake()
		self.file = self.sock.makefile("rb")
		self.tls = self.sock.version()
		certificate = self.sock.getpeercert()
		if certificate:
			self.subject = dict(pair for part in certificate["subject"] for pair in part)["commonName"]

	def _context(self):
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		context.load_cert_chain(self.sink.certificate)
		if self.sink.client_ca:
			context.load_verify_locations(self.sink.client_ca)
			context.verify_mode = ssl.CERT_REQUIRED if self.sink.client_required else ssl.CERT_OPTIONAL
		return context

	def _offers(self):
		if self._needs_tls():
			return ("STARTTLS",)
		return ("AUTH " + " ".join(self.sink.mechanisms),) if self.sink.mechanisms else ()

	def _needs_tls(self):
		return self.sink.security == "starttls" and not self.tls

	def _do_starttls(self, arg):
		if not self._needs_tls():
			self._send("502 5.5.1 no TLS here")
		elif self._say("starttls", "220 2.0.0 go on", arg)[:1] == "2":
			self._start_tls()
			self.helo = self.auth = self.tr = None

	def _do_auth(self, arg):
		mechanism, _, first = arg.partition(" ")
		mechanism = mechanism.upper()
		if self._needs_tls():
			self._send("538 5.7.11 encryption required")
			return
		if mechanism not in self.sink.mechanisms:
			self._send("504 5.5.4 mechanism not offered")
			return
		try:
			user, secret, ok = getattr(self, "_auth_" + mechanism.lower())(first)
		except (ValueError, LookupError):
			self._send("501 5.5.2 cannot read that")
			return
		self.sink.logins.append(Login(self.number, mechanism, user, secret, ok, self.tls))
		reply = self._say("auth", "235 2.7.0 ok" if ok else "535 5.7.8 wrong user or password", user)
		if reply[:1] == "2":
			self.auth = user

	def _auth_plain(self, first):
		user, password = self._response(first).split("\0")[1:3]
		return user, password, self._knows(user, password)

	def _auth_login(self, first):
		user = self._response(first, "Username:")
		password = self._challenge("Password:")
		return user, password, self._knows(user, password)

	def _auth_xoauth2(self, first):
		fields = dict(f.split("=", 1) for f in self._response(first).split("\1") if f)
		return self._bearer(fields["user"], fields["auth"])

	def _auth_oauthbearer(self, first):
		"""RFC 7628 section 3.1: n,a=USER,^Ahost=...^Aport=...^Aauth=Bearer TOKEN^A^A"""
		head, *fields = self._response(first).split("\1")
		user = head.split(",")[1][2:].replace("=2C", ",").replace("=3D", "=")
		return self._bearer(user, dict(f.split("=", 1) for f in fields if f)["auth"])

	def _bearer(self, user, credentials):
		scheme, _, token = credentials.partition(" ")
		ok = scheme.lower() == "bearer" and bool(self.sink.tokens(user, token))
		if not ok:	# the client must answer the description of the error before it gets its 535
			self._challenge(json.dumps({"status": "401", "schemes": "bearer", "scope": "https://mail.test/"}))
		return user, token, ok

	def _knows(self, user, password):
		return (self.sink.users or {}).get(user) == password

	def _response(self, first, prompt=""):
		return _decode(first) if first else self._challenge(prompt)

	def _challenge(self, text):
		self._send("334 " + base64.b64encode(to_bytes(text)).decode())
		line = self.file.readline()
		if not line:
			raise EOFError
		return _decode(to_text(line.strip()))


def _decode(text):
	if text == "=":		# an initial response that is empty (RFC 4954 section 4)
		return ""
	return to_text(base64.b64decode(text, validate=True))
