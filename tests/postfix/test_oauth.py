"""Relays that take tokens: the token endpoint, postern-broker, postern-policy, Postfix with the SASL plugin, and a mail
server that asks the endpoint whether the token is good.
"""

import os
import signal
import time

from lab import *
from tokens import TokenServer

TOP = """\
state_directory = "%(state)s"
map_socket = "unix:%(map)s"
policy_socket = ""
socket_group = "postfix"
mail_log = "%(log)s"
probe_interval = 0
state_map_size = 256M
directory_map_size = 256M
"""
RELAY = """
relay "%(name)s" {
	host = localhost
	port = %(port)d
	security = starttls_strict
	ca_file = "%(ca)s"
	user = "%(name)s@acme.example"
	authentication = oauth
	oauth_token_url = "%(url)s"
	oauth_client_id = app
	oauth_refresh_token_file = "%(refresh)s"
}
"""
# As docs/oauth.md has it.
TRANSPORT = """\
postern-%(name)s unix - - n - - smtp
  -o syslog_name=postfix/postern-%(name)s
  -o smtp_sasl_auth_enable=yes
  -o smtp_sasl_security_options=noanonymous
  -o smtp_sasl_tls_security_options=noanonymous
  -o smtp_sasl_mechanism_filter=xoauth2,oauthbearer
  -o send_cyrus_sasl_authzid=yes
  -o smtp_sasl_password_maps=socketmap:unix:postern/map.sock:sasl-%(name)s
  -o smtp_tls_policy_maps=socketmap:unix:postern/map.sock:tls-%(name)s
  -o smtp_tls_security_level=encrypt
  -o smtp_tls_CAfile=%(ca)s"""
BODY = "From: x@acme.example\nSubject: x\n\nx\n"


class Site:
	"""accounts: names of relays, all at one mail server.  Mail from NAME@acme.example leaves by relay NAME."""

	def __init__(self, ctx, accounts=("one", "two"), mechanisms=None, broker=True, **options):
		self.ctx, self.accounts = ctx, accounts
		self.ca = Authority(ctx.tmp)
		certificate = self.ca.certificate("localhost")
		self.tokens = TokenServer(certificate, {"refresh-" + n: n + "@acme.example" for n in accounts}, **options)
		self.relay = Relay("starttls", certificate, tokens=self.tokens.good,
		    mechanisms=mechanisms or ["PLAIN", "XOAUTH2", "OAUTHBEARER"])
		self.pf = Postfix(master=[TRANSPORT % {"name": n, "ca": self.ca.file} for n in accounts])
		self._write()
		self._settings()
		self.broker = self.policy = None
		if broker:
			self.start_broker()
			wait_until(lambda: self.broker.stderr().count("fetched") == len(accounts), 20, "the tokens")
		self.policy = PolicyProcess(ctx.program("postern-policy"), self.conf, [self.pf.socket_path("map.sock")])
		self.pf.start()

	def _write(self):
		self.state, self.conf = self.ctx.tmp + "/state", self.ctx.tmp + "/postern.conf"
		os.mkdir(self.state)
		text = TOP % {"state": self.state, "map": self.pf.socket_path("map.sock"), "log": self.pf.maillog}
		for name in self.accounts:
			refresh = self.write_refresh_token(name, "refresh-" + name)
			text += RELAY % {"name": name, "port": self.relay.port, "ca": self.ca.file, "url": self.tokens.url,
			    "refresh": refresh}
		with open(self.conf, "w") as f:
			f.write(text)

	def write_refresh_token(self, name, text):
		path = "%s/%s.refresh" % (self.ctx.tmp, name)
		with open(path, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
			f.write(text)
		return path

	def _settings(self):
		plugins = os.path.dirname(self.ctx.program("libpostern_oauth.so"))
		self.pf.main.update({
			"mynetworks": "127.0.0.0/8", "relay_domains": "far.test", "relay_transport": "discard:",
			"smtpd_data_restrictions": "check_sender_access inline:{ %s }" % ", ".join(
			    "{%s@acme.example = FILTER postern-%s:%s}" % (n, n, self.relay.nexthop) for n in self.accounts),
			# where make install would put it, and the others
			"import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C SASL_PATH=%s:%s" % (plugins,
			    "/usr/lib/x86_64-linux-gnu/sasl2:/usr/lib/aarch64-linux-gnu/sasl2:/usr/lib/sasl2"),
		})

	def start_broker(self):
		self.broker = Program(self.ctx.program("postern-broker"), ["-c", self.conf],
		    env={"SSL_CERT_FILE": self.ca.file})

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		for part in (self.pf, self.policy, self.broker, self.relay, self.tokens):
			if part is not None:
				part.close()

	def send(self, name="one"):
		r = send_mail(self.pf.address(), name + "@acme.example", ["bob@far.test"], BODY)
		assert r.code == 250, r
		return r.queue_id

	def sent(self, name="one"):
		self.pf.wait_log(self.send(name) + ".*relay=localhost.*status=sent")

	def deferred(self, text, name="one"):
		self.pf.wait_log(self.send(name) + ".*status=deferred .*" + text)


@cases(("XOAUTH2", "XOAUTH2"), ("OAUTHBEARER", "OAUTHBEARER"))
def test_login(ctx, mechanism):
	with Site(ctx, mechanisms=["PLAIN", "LOGIN", mechanism]) as s:
		s.sent("one")
		s.sent("two")
		assert [(l.mechanism, l.user, l.ok) for l in s.relay.logins] == [
		    (mechanism, n + "@acme.example", True) for n in ("one", "two")]
		assert all(t.tls for t in s.relay.messages)
		assert "ya29" not in s.pf.log() + s.policy.stderr() + s.broker.stderr()


def test_tokens_expire_and_mail_goes_on(ctx):
	with Site(ctx, lifetime=8) as s:
		end = time.monotonic() + 14
		while time.monotonic() < end:
			s.sent()
			time.sleep(0.2)
		assert all(l.ok for l in s.relay.logins)
		assert len({l.secret for l in s.relay.logins}) >= 3


@cases(("XOAUTH2", "XOAUTH2"), ("OAUTHBEARER", "OAUTHBEARER"))
def test_revoked_token(ctx, mechanism):
	"""The mail server refuses it in its own words, the mail waits, and leaves after a new login."""
	with Site(ctx, mechanisms=[mechanism]) as s:
		s.sent()
		s.tokens.revoke("one@acme.example")
		s.deferred("said: 535 5.7.8 wrong user or password", "one")
		s.sent("two")
		s.broker.signal(signal.SIGUSR1)
		s.broker.wait_stderr("problem relay=one .*log in again")
		s.deferred("535", "one")
		s.tokens.logins["again"] = "one@acme.example"
		s.write_refresh_token("one", "again")
		s.broker.signal(signal.SIGUSR1)
		s.broker.wait_stderr("fetched relay=one", count=2)
		s.pf.flush()
		s.pf.wait_queue_empty()
		assert "status=bounced" not in s.pf.log()


def test_token_refused_before_its_end(ctx):
	"""postern-health reads of the 535, postern-broker fetches another token, and the mail leaves."""
	with Site(ctx) as s, Program(ctx.program("postern-health"), ["-c", s.conf]) as health:
		health.wait_stderr("started")
		s.sent()
		s.tokens.revoke("one@acme.example", login=False)
		s.deferred("said: 535 5.7.8 wrong user or password", "one")
		s.broker.wait_stderr("refused relay=one .*another one is fetched", timeout=20)
		s.broker.wait_stderr("fetched relay=one", count=2)
		s.pf.flush()
		s.pf.wait_queue_empty()
		assert s.broker.stderr().count("fetched relay=two") == 1
		assert not [n for n in os.listdir(s.state + "/tokens") if n.startswith(".")]


def test_no_token_mail_waits(ctx):
	"""The broker has not run yet; then it is gone while a token ends.  Nothing is tried without one."""
	with Site(ctx, broker=False, lifetime=2) as s:
		s.deferred("")
		s.policy.wait_stderr("no token yet; is postern-broker running")
		assert not s.relay.logins
		s.start_broker()
		s.broker.wait_stderr("fetched relay=one")
		s.pf.flush()
		s.pf.wait_queue_empty()
		s.broker.close()
		time.sleep(2)
		s.deferred("")
		s.policy.wait_stderr("the token has expired; is postern-broker running")
		assert all(l.ok for l in s.relay.logins)
		s.start_broker()
		s.broker.wait_stderr("fetched relay=one")
		s.pf.flush()
		s.pf.wait_queue_empty()
		assert len(s.relay.messages) == 2 and "status=bounced" not in s.pf.log()


@timeout(120)
def test_fifty_accounts(ctx):
	names = ["box%d" % i for i in range(50)]
	with Site(ctx, names) as s:
		started = time.monotonic()
		for name in names:
			s.send(name)
		s.relay.wait(50, timeout=60)
		note("50 mails in %.1f s" % (time.monotonic() - started))
		assert sorted((m.sender, m.auth) for m in s.relay.messages) == sorted(
		    (n + "@acme.example", n + "@acme.example") for n in names)
		assert all(l.ok for l in s.relay.logins)


def test_other_logins_are_left_alone(ctx):
	"""With the plugin there, a password is still a password, whatever else the server offers and prefers."""
	with Site(ctx) as s, Relay(users={"odoo": "secret"}, mechanisms=["XOAUTH2", "OAUTHBEARER", "PLAIN"]) as other:
		s.pf.stop()
		s.pf.main.update({"relay_transport": "smtp:" + other.nexthop, "smtp_sasl_auth_enable": "yes",
		    "smtp_sasl_security_options": "noanonymous", "smtp_sasl_password_maps": "static:odoo:secret"})
		s.pf.start()
		assert send_mail(s.pf.address(), "somebody@acme.example", ["bob@far.test"], BODY).code == 250
		assert other.wait_one().auth == "odoo"
		assert [l.mechanism for l in other.logins] == ["PLAIN"]
