"""An OAuth token endpoint (RFC 6749) over TLS, and what a mail server asks it: is this token good?"""

import itertools
import json
import ssl
import threading
import time
from urllib.parse import parse_qsl

from base import Server

__all__ = ["TokenServer"]


class TokenServer(Server):
	"""logins    refresh token -> user; whoever has it gets access tokens of that user
	apps      client id -> secret; by client credentials they get tokens that are good for any user
	lifetime  seconds of an access token
	rotate    a refresh token is good once: the answer has the next one
	answer    None, or a function (form) that returns None or (status, body text or object, {header: value})
	pause     seconds before each answer

	Every attribute may be changed while it runs.  requests: the forms that came; together: the most at once.
	"""

	def __init__(self, certificate, logins=None, apps=None, lifetime=3600, rotate=False, answer=None, pause=0):
		self.certificate, self.lifetime, self.rotate = certificate, lifetime, rotate
		self.logins, self.apps = dict(logins or {}), dict(apps or {})
		self.answer, self.pause = answer, pause
		self.requests, self.tls_failures, self.together = [], [], 0
		self._tokens = {}		# token -> (user, end)
		self._numbers, self._now = itertools.count(1), 0
		self._state, self._closing = threading.Lock(), threading.Event()
		super().__init__()

	@property
	def url(self):
		return "https://localhost:%d/token" % self.port

	def good(self, user, token):
		"""What a mail server asks."""
		owner, end = self._tokens.get(token, (None, 0))
		return owner in (user, "*") and time.monotonic() < end

	def revoke(self, user, login=True):
		"""The account's owner withdraws what he has allowed; or, login=False, the tokens alone end."""
		with self._state:
			if login:
				self.logins = {r: u for r, u in self.logins.items() if u != user}
			self._tokens = {t: row for t, row in self._tokens.items() if row[0] != user}

	def _close(self):
		self._closing.set()
		super()._close()

	def serve(self, sock, peer):
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		context.load_cert_chain(self.certificate)
		try:
			with context.wrap_socket(sock, server_side=True) as tls, tls.makefile("rb") as f:
				self._serve_request(tls, f)
		except ssl.SSLError as e:
			self.tls_failures.append(str(e))

	def _serve_request(self, tls, f):
		line, length = f.readline().decode(), 0
		if not line:
			raise EOFError		# it did not like our certificate
		while (header := f.readline().decode().strip()):
			if header.lower().startswith("content-length:"):
				length = int(header.split(":")[1])
		form = dict(parse_qsl(f.read(length).decode(), strict_parsing=True))
		with self._state:
			self.requests.append(form)
			self._now += 1
			self.together = max(self.together, self._now)
		try:
			self._closing.wait(self.pause)
			status, body, headers = self._answer(line, form)
		finally:
			with self._state:
				self._now -= 1
		text = (body if isinstance(body, str) else json.dumps(body)).encode()
		headers = dict({"Content-Type": "application/json", "Content-Length": len(text), "Connection": "close"}, **headers)
		tls.sendall(("HTTP/1.1 %d X\r\n" % status + "".join("%s: %s\r\n" % h for h in headers.items()) + "\r\n").encode() + text)

	def _answer(self, line, form):
		special = self.answer(form) if self.answer else None
		if special is not None:
			return special
		assert line.startswith("POST /token "), line
		with self._state:
			if form["grant_type"] == "client_credentials":
				if self.apps.get(form["client_id"]) != form.get("client_secret"):
					return 401, {"error": "invalid_client"}, {}
				return 200, self._token("*"), {}
			user = self.logins.get(form["refresh_token"])
			if user is None:
				return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, {}
			body = self._token(user)
			if self.rotate:
				del self.logins[form["refresh_token"]]
				body["refresh_token"] = "refresh-%d" % next(self._numbers)
				self.logins[body["refresh_token"]] = user
			return 200, body, {}

	def _token(self, user):
		token = "ya29.%d-%s" % (next(self._numbers), "secret" * 8)
		self._tokens[token] = (user, time.monotonic() + self.lifetime)
		return {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}
