"""postern-health beside a real Postfix: its log tells who took a mail and how the relays are."""

import json
import os

from lab import *
from relay import Relay

CONF = """\
state_directory = "%(state)s"
map_socket = "unix:%(sockets)s/map.sock"
policy_socket = "unix:%(sockets)s/policy.sock"
mail_log = "%(log)s"
probe_interval = 0
hostname = "mx.lab.test"
gateway "main" { target = "redirect to acme.odoo.test" }
domain "acme.test" { gateway = "main" }
%(relays)s
"""
RELAY = 'relay "%s" { host = "localhost"  port = %d  security = none  from_filter = {"acme.test"}  priority = %d ' \
    'limits = {"500/day"} }\n'
POLICY = "check_policy_service { unix:postern/policy.sock, policy_context=submission }"
SENDER, MESSAGE = "ann@acme.test", "From: ann@acme.test\nSubject: x\n\nx\n"


class Site:
	"""Postfix, which asks postern-policy at DATA; two relays; postern-health, which reads Postfix's log."""

	def __init__(self, ctx):
		self.ctx = ctx
		self.one, self.two = Relay(), Relay()
		with open(ctx.path("postfix-conf", "reply_filter")) as f:
			reply_filter = f.read()
		self.pf = Postfix(main={"relay_domains": "far.test", "mynetworks": "127.0.0.0/8",
		    "smtpd_data_restrictions": POLICY},
		    master=["postern-%splain unix - - n - - smtp -o syslog_name=postfix/postern-%splain "
		    "-o smtp_reply_filter=regexp:$config_directory/reply_filter" % (w, w) for w in ("", "wait-")],
		    files={"reply_filter": reply_filter})
		os.mkdir(ctx.tmp + "/state")
		self.conf = ctx.tmp + "/postern.conf"
		sockets = os.path.dirname(self.pf.socket_path("x"))
		with open(self.conf, "w") as f:
			f.write(CONF % {"state": ctx.tmp + "/state", "sockets": sockets, "log": self.pf.maillog,
			    "relays": RELAY % ("one", self.one.port, 1) + RELAY % ("two", self.two.port, 2)})
		self.policy = PolicyProcess(ctx.program("postern-policy"), self.conf,
		    [sockets + "/map.sock", sockets + "/policy.sock"])
		self.policy.wait_stderr("ready ")
		self.health = Program(ctx.program("postern-health"), ["-c", self.conf])
		self.pf.start()

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		for part in (self.health, self.policy, self.pf, self.one, self.two):
			part.close()

	def send(self, n=1):
		before = len([l for l in self.pf.log().splitlines() if " to=<r" in l and "status=" in l])
		r = send_mail(self.pf.address(), SENDER, ["r%d@far.test" % (i + 1) for i in range(n)], MESSAGE)
		assert r.code == 250, r
		self.pf.wait_log(" to=<r.*status=", count=before + n)

	def relay(self, name):
		done = run(self.ctx.program("postern"), "-c", self.conf, "relays", "--json", check=0)
		return next(r for r in json.loads(done.stdout) if r["name"] == name)

	def wait(self, name, **wanted):
		def there():
			now = self.relay(name)
			return all(now[k] == v for k, v in wanted.items())
		wait_until(there, 10, lambda: "%r, not %r\n%s" % (self.relay(name), wanted, self.health.stderr()))


def test_who_took_it_is_charged(ctx):
	with Site(ctx) as s:
		s.send(3)
		s.wait("one", used="3/500 day", state="open")
		s.one.answers["connect"] = "421 4.3.2 busy"
		s.send(2)				# charged for one, taken by two
		s.wait("two", used="2/500 day")
		s.wait("one", used="3/500 day")
		s.one.answers.clear()
		s.one.answers["rcpt"] = lambda t, rcpt: "550 5.1.1 no such user" if rcpt.address.startswith("r2") else None
		s.send(3)				# one of them is given back
		s.wait("one", used="5/500 day", state="open")


def test_a_relay_that_fails_is_left_out_and_comes_back(ctx):
	with Site(ctx) as s:
		s.one.close_port()
		for _ in range(3):
			s.send()
		s.wait("one", state="down", used="0/500 day")
		assert "Connection refused" in s.relay("one")["reason"]
		s.one.open_port()
		s.send()
		assert not s.one.transactions and len(s.two.messages) == 4
		run(s.ctx.program("postern"), "-c", s.conf, "relays", "--open", "one", check=0)
		s.send()
		assert len(s.one.messages) == 1


def test_a_daily_limit_closes_it(ctx):
	with Site(ctx) as s:
		s.one.answers["eom"] = "550 5.4.5 Daily user sending limit exceeded"
		s.send()
		s.wait("one", state="spent", used="0/500 day")
		s.wait("two", used="1/500 day")
		s.send()
		# twice where localhost has ::1 in /etc/hosts as well: both addresses are 127.0.0.1 then
		assert len(s.one.transactions) in (1, 2) and len(s.two.messages) == 2
