"""postern-broker and a token endpoint."""

import grp
import os
import pwd
import re
import shutil
import signal
import time

from lab import *
from tokens import TokenServer

CONF = 'state_directory = "%s"\n'
RELAY = """\
relay "%(name)s" {
	host = localhost
	port = 587
	user = "%(name)s@acme.example"
	authentication = oauth
	oauth_token_url = "%(url)s"
	oauth_client_id = "%(client)s"
	%(more)s
}
"""


class Site:
	"""A folder with a configuration, secrets and state, and the token server."""

	def __init__(self, ctx, name="localhost", expired=False, **options):
		self.ctx = ctx
		self.ca = Authority(ctx.tmp)
		self.server = TokenServer(self.ca.certificate(name, expired=expired), **options)
		self.conf, self.state = ctx.tmp + "/postern.conf", ctx.tmp + "/state"
		self.relays = ""
		os.mkdir(self.state)
		os.mkdir(ctx.tmp + "/secrets")
		self.write()

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		self.server.close()

	def write(self, more=""):
		with open(self.conf, "w") as f:
			f.write(CONF % self.state + self.relays + more)

	def secret(self, name, text, user=None):
		path = "%s/secrets/%s" % (self.ctx.tmp, name)
		with open(path, "w") as f:
			f.write(text + "\n")
		os.chmod(path, 0o600)
		if user:
			shutil.chown(path, user)
		return path

	def add(self, name, refresh=None, client="app", secret=None, more=""):
		"""A relay; with a refresh token it is known to the server, too."""
		if refresh:
			self.server.logins[refresh] = name + "@acme.example"
			more += '\n\toauth_refresh_token_file = "%s"' % self.secret(name, refresh)
		if secret:
			more += '\n\toauth_client_secret_file = "%s"' % self.secret(client + ".client", secret)
		self.relays += RELAY % {"name": name, "url": self.server.url, "client": client, "more": more}
		self.write()

	@property
	def env(self):
		return {"SSL_CERT_FILE": self.ca.file}

	def once(self, check=None):
		return run(self.ctx.program("postern-broker"), "-c", self.conf, "--once", env=self.env, check=check)

	def daemon(self, **options):
		program = self.ctx.program_for_others if options.get("user") else self.ctx.program
		return Program(program("postern-broker"), ["-c", self.conf], env=self.env, **options)

	def file(self, name):
		return "%s/tokens/%s" % (self.state, name)

	def token(self, name):
		"""The token if Postfix would be given it."""
		try:
			with open(self.file(name)) as f:
				end, token = f.read().splitlines()
		except FileNotFoundError:
			return None
		return token if int(end) > time.time() else None

	def is_good(self, name):
		token = self.token(name)
		return token is not None and self.server.good(name + "@acme.example", token)

	def refresh_token(self, name):
		with open("%s/secrets/%s" % (self.ctx.tmp, name)) as f:
			return f.read().strip()


# --- one round

def test_tokens_are_fetched(ctx):
	with Site(ctx) as s:
		s.add("gmail", refresh="1//r+f=r&sh %", secret="geheim&x=y", more='oauth_scope = "https://mail.google.com/"')
		s.add("other", refresh="r2")
		done = s.once(check=0)
		assert s.is_good("gmail") and s.is_good("other")
		forms = sorted(s.server.requests, key=len, reverse=True)
		assert forms == [
			{"grant_type": "refresh_token", "client_id": "app", "client_secret": "geheim&x=y",
			    "refresh_token": "1//r+f=r&sh %", "scope": "https://mail.google.com/"},
			{"grant_type": "refresh_token", "client_id": "app", "refresh_token": "r2"}], forms
		assert os.stat(s.file("gmail")).st_mode & 0o777 == 0o600
		assert os.stat(s.state + "/tokens").st_mode & 0o777 == 0o750
		assert sorted(os.listdir(s.state + "/tokens")) == ["gmail", "other"]
		for secret in "geheim", "1//r", "ya29":
			assert secret not in done.stdout + done.stderr


def test_client_credentials_serve_many_mailboxes(ctx):
	with Site(ctx, apps={"app": "geheim", "app2": "geheim2"}) as s:
		for i in range(5):
			s.add("box%d" % i, secret="geheim")
		s.add("another", client="app2", secret="geheim2")
		s.once(check=0)
		assert all(s.is_good(n) for n in ["box0", "box4", "another"])
		assert s.token("box0") == s.token("box4") != s.token("another")
		assert [f["grant_type"] for f in s.server.requests] == ["client_credentials"] * 2


def hang_up(form):
	raise ConnectionAbortedError


@cases(
	("revoked", {"logins": {}}, 78, "log in again.*invalid_grant Token has been expired or revoked"),
	("client unknown", {"answer": lambda f: (401, {"error": "invalid_client"}, {})}, 78, "oauth_client_id"),
	("wrong address", {"answer": lambda f: (404, "<html>", {})}, 78, "oauth_token_url"),
	("down", {"answer": lambda f: (503, "busy", {})}, 69, "answers 503"),
	("too many requests", {"answer": lambda f: (429, "busy", {})}, 69, "answers 429"),
	("no JSON", {"answer": lambda f: (200, "<html>", {})}, 69, "holds no token"),
	("larger than 64 kB", {"answer": lambda f: (200, "x" * 70000, {})}, 69, "longer than 65536 bytes"),
	("redirect", {"answer": lambda f: (307, "", {"Location": "/token2"})}, 69, "answers 307"),
	("hangs up", {"answer": hang_up}, 69, "no token, mail waits"),
	("certificate of another", {"name": "other.test"}, 69, "certificate"),
	("expired certificate", {"expired": True}, 69, "certificate has expired"))
def test_failures(ctx, options, code, text):
	with Site(ctx, **{k: v for k, v in options.items() if k in ("name", "expired", "answer")}) as s:
		s.add("bad", refresh="refresh-secret")
		s.server.logins = options.get("logins", s.server.logins)
		done = s.once(check=code)
		lines = [line for line in done.stderr.splitlines() if "problem relay=bad" in line]
		assert len(lines) == 1 and re.search(text, lines[0]), done.stderr
		assert "refresh-secret" not in done.stderr
		assert s.token("bad") is None
		assert len(s.server.requests) == (0 if "name" in options or "expired" in options else 1)


@cases(
	("no file", lambda p: os.unlink(p), 78, "No such file"),
	("readable by all", lambda p: os.chmod(p, 0o644), 78, "chmod 0600"),
	("empty", lambda p: open(p, "w").close(), 78, "is empty"))
def test_bad_secrets(ctx, spoil, code, text):
	with Site(ctx) as s:
		s.add("bad", refresh="r1")
		s.add("good", refresh="r2")
		spoil(ctx.tmp + "/secrets/bad")
		done = s.once(check=code)
		assert text in done.stderr and "oauth_refresh_token_file" in done.stderr, done.stderr
		assert s.is_good("good") and len(s.server.requests) == 1


def test_arguments(ctx):
	broker = ctx.program("postern-broker")
	run(broker, "--help", check=0)
	run(broker, "--version", check=0)
	run(broker, "--nonsense", check=64)
	run(broker, "-c", check=64)
	run(broker, "more", check=64)
	run(broker, "-c", "/nonexistent", check=78)
	with Site(ctx) as s:
		s.once(check=0)		# no relay at all
		s.add("bad", more="")	# no secret
		assert "oauth needs a secret" in s.once(check=78).stderr


def test_one_broker_at_a_time(ctx):
	with Site(ctx) as s:
		with s.daemon() as d:
			d.wait_stderr("started")
			assert "another postern-broker" in s.once(check=69).stderr
		s.once(check=0)


def test_root_leaves_nothing_that_the_daemon_cannot_replace(ctx):
	with Site(ctx) as s:
		s.add("gmail", refresh="r")
		for path in ctx.tmp, s.ca.file, s.conf, ctx.tmp + "/secrets":
			os.chmod(path, 0o755)
		shutil.chown(s.state, "nobody", "nogroup")
		s.once(check=0)
		for path in s.state + "/tokens", s.file("gmail"):
			st = os.stat(path)
			assert (pwd.getpwuid(st.st_uid).pw_name, grp.getgrgid(st.st_gid).gr_name) == ("nobody", "nogroup"), path
		first = s.token("gmail")
		shutil.chown(ctx.tmp + "/secrets/gmail", "nobody")
		with s.daemon(user="nobody"):
			wait_until(lambda: s.is_good("gmail") and s.token("gmail") != first, 5, "a token of its own")


# --- the daemon

def test_refreshed_ahead(ctx):
	"""For two lifetimes there is at no time a token that does not work."""
	with Site(ctx, lifetime=8) as s:
		s.add("gmail", refresh="r")
		with s.daemon():
			wait_until(lambda: s.is_good("gmail"), 5, "the first token")
			end, tokens = time.monotonic() + 16, set()
			while time.monotonic() < end:
				assert s.is_good("gmail")
				tokens.add(s.token("gmail"))
				time.sleep(0.05)
		assert len(tokens) == 3, tokens


def test_rotation(ctx):
	with Site(ctx, lifetime=1, rotate=True) as s:
		s.add("gmail", refresh="first")
		with s.daemon() as d:
			wait_until(lambda: len(s.server.requests) >= 4, 10, "four requests")
		used = [f["refresh_token"] for f in s.server.requests]
		assert used[0] == "first" and len(set(used)) == len(used)
		assert s.refresh_token("gmail") in s.server.logins
		assert os.stat(ctx.tmp + "/secrets/gmail").st_mode & 0o777 == 0o600
		assert sorted(os.listdir(ctx.tmp + "/secrets")) == ["gmail"]
		assert "problem" not in d.stderr()


def test_refresh_token_that_cannot_be_saved(ctx):
	"""The broker may not write into the folder: it goes on with what it remembers, and says what will be lost."""
	with Site(ctx, lifetime=1, rotate=True) as s:
		s.add("gmail", refresh="first")
		for path in ctx.tmp, s.ca.file, s.conf:
			os.chmod(path, 0o755)
		shutil.chown(s.state, "nobody")
		shutil.chown(ctx.tmp + "/secrets/gmail", "nobody")
		with s.daemon(user="nobody") as d:
			wait_until(lambda: len(s.server.requests) >= 3, 10, "three requests")
			wait_until(lambda: s.is_good("gmail"), 5, "a token")
			assert s.refresh_token("gmail") == "first"
			shutil.chown(ctx.tmp + "/secrets", "nobody")		# the remedy
			wait_until(lambda: s.refresh_token("gmail") in s.server.logins, 5, "the new refresh token in its file")
			d.wait_stderr("new refresh token is lost when postern-broker ends")
		assert os.stat(ctx.tmp + "/secrets/gmail").st_uid == pwd.getpwnam("nobody").pw_uid


def test_shared_refresh_token_is_used_by_one_at_a_time(ctx):
	"""Two scopes, one refresh token that is good once: the second request has the rotated one."""
	with Site(ctx, rotate=True, pause=0.2) as s:
		s.add("a", refresh="first", more='oauth_scope = "x"')
		s.relays += s.relays.replace('relay "a"', 'relay "b"').replace('"x"', '"y"')
		s.write()
		s.once(check=0)
		assert s.server.together == 1 and len(s.server.requests) == 2 and s.token("a") and s.token("b")


@timeout(90)
def test_trouble_passes(ctx):
	"""A provider that is down is asked again; the log says it once."""
	with Site(ctx, answer=lambda f: (503, "busy", {})) as s:
		s.add("gmail", refresh="r")
		with s.daemon() as d:
			wait_until(lambda: len(s.server.requests) == 2, 10, "the second request")
			assert s.token("gmail") is None
			s.server.answer = None
			wait_until(lambda: s.is_good("gmail"), 15, "the token")
			assert d.stderr().count("problem relay=gmail") == 1
			assert len(s.server.requests) == 3


def test_reload(ctx):
	"""After a new login, SIGUSR1; a relay more; a configuration with an error changes nothing."""
	with Site(ctx) as s:
		s.add("gmail", refresh="old")
		s.server.logins.clear()
		with s.daemon() as d:
			d.wait_stderr("log in again")
			s.server.logins["new"] = "gmail@acme.example"
			s.secret("gmail", "new")
			s.add("more", refresh="r2")
			d.signal(signal.SIGUSR1)
			wait_until(lambda: s.is_good("gmail") and s.is_good("more"), 5, "both tokens")
			s.write("nonsense = 1\n")
			d.signal(signal.SIGHUP)
			d.wait_stderr("the old one stays")
			s.write()
			os.unlink(s.file("gmail"))
			d.signal(signal.SIGUSR1)
			wait_until(lambda: s.is_good("gmail"), 5, "the token again")


def test_nothing_is_lost_at_the_end(ctx):
	"""SIGTERM while the answer with the new refresh token is on its way."""
	with Site(ctx, rotate=True, pause=1) as s:
		s.add("gmail", refresh="first")
		with s.daemon() as d:
			wait_until(lambda: s.server.requests, 5, "the request")
			d.stop()
		assert s.refresh_token("gmail") in s.server.logins and s.is_good("gmail")


def test_server_that_hangs_does_not_hold_up_the_end(ctx):
	with Site(ctx, pause=30) as s:
		s.add("gmail", refresh="r")
		s.server.answer = lambda f: (200, "", {})
		with s.daemon() as d:
			wait_until(lambda: s.server.requests, 5, "the request")
			started = time.monotonic()
			d.stop()
			assert time.monotonic() - started < 8
			d.wait_stderr("ended with 1 requests")


def test_many_accounts(ctx):
	with Site(ctx, pause=0.1) as s:
		for i in range(50):
			s.add("box%d" % i, refresh="r%d" % i)
		started = time.monotonic()
		with s.daemon() as d:
			wait_until(lambda: all(s.is_good("box%d" % i) for i in range(50)), 20, "all tokens")
			note("50 tokens in %.2f s, %d at once" % (time.monotonic() - started, s.server.together))
			assert len(s.server.requests) == 50 and 2 <= s.server.together <= 8
			assert len({s.token("box%d" % i) for i in range(50)}) == 50
			assert d.stderr().count("fetched relay=") == 50
