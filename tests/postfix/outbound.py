"""What the tests of the way out share: a gateway whose Postfix is set up by what `postern postfix-conf` prints (the
fragments of postfix-conf/), with relays that are lab servers.
"""

import itertools
import os
import re

from gateway import *
from lab import *

# Submission as in the fragment master.cf, with its commented lines of these names.
WITH_MILTER = ("rewrite_service_name",)
WITH_POLICY = ("smtpd_recipient_restrictions", "smtpd_data_restrictions")

BOUNCE, NOTIFICATIONS = "bounce@acme.example", "notifications@acme.example"
CUSTOMER = "c@customer.test"
DAY = 86400

_numbers = itertools.count(1)


class Account:
	"""A section `relay` and the server behind it; other: another account's server.

	login is "user:password"; without `server` a plain one is started, which wants that login.
	"""

	def __init__(self, *lines, server=None, security="none", login="", other=None):
		user, _, self.password = login.partition(":")
		self.user, self.security, self.lines = user, security, list(lines)
		self.server = server or (other.server if other else Relay(users={user: self.password} if user else None))

	def section(self, name, folder):
		lines = ['host = "localhost"', "port = %d" % self.server.port, "security = " + self.security, *self.lines]
		if self.user:
			path = "%s/%s.password" % (folder, name)
			with open(path, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
				f.write(self.password + "\n")
			lines += ['user = "%s"' % self.user, 'password_file = "%s"' % path]
		return 'relay "%s" {\n\t%s\n}\n' % (name, "\n\t".join(lines))


def of(*filters, **options):
	"""An account for these From filters; more lines by `lines`, separated by ";"."""
	lines = [line.strip() for line in options.pop("lines", "").split(";") if line.strip()]
	if filters:
		lines.append("from_filter = {%s}" % ", ".join('"%s"' % f for f in filters))
	return Account(*lines, **options)


class Outbound(Gateway):
	"""accounts: name -> Account, listed in this order; priority is that order unless a line says otherwise.

	submission  commented lines of the fragment that count; users: more logins; milter: whether there is one
	"""

	def __init__(self, ctx, accounts, ca=None, top="", more="", submission=WITH_MILTER, milter=True, users=None,
	    start=True, **options):
		self.accounts, self.ca, self.has_milter = accounts, ca, milter
		super().__init__(ctx, policy=True, submission=True, start=False, top='mail_log = ""\n' + top, **options)
		self.pf.sasl.users.update(users or {})
		self.write_conf(more=more + self.sections())
		self._install(submission)
		if start:
			self.start()

	def sections(self):
		return "".join(a.section(name, self.ctx.tmp) for name, a in self.accounts.items())

	def write_conf(self, **parts):
		super().write_conf(**parts)
		with open(self.conf, encoding="utf-8") as f:
			text = f.read().replace('policy_socket = ""', 'policy_socket = "unix:%s"' % self.pf.socket_path("policy.sock"))
		with open(self.conf, "w", encoding="utf-8") as f:
			f.write(text)

	def _printed(self, part):
		return run(self.ctx.program("postern"), "-c", self.conf, "postfix-conf", part, "--postfix-config", self.pf.etc,
		    check=0).stdout

	def _install(self, submission):
		self.pf.write_config()
		main, master = self._printed("main"), self._printed("master")
		settings = parse_main_cf(main[main.index("# The way out"):])
		# Nothing can be looked up here: what has no sender leaves for the world.
		name = "sender_dependent_default_transport_maps"
		assert "postern-redirect:}" in settings[name]
		settings[name] = settings[name].replace("postern-redirect:}", "postern-redirect:%s}" % self.world.nexthop)
		given = {k: v for k, v in self.pf.main.items() if k in ("mydestination", "transport_maps")}
		self.pf.main.update(dict(settings, **given))
		master = "".join(line + "\n" for line in master[master.index("# The way out"):].splitlines()
		    if line and line[0] != "#")
		if self.ca:
			master = master.replace("/etc/ssl/certs/ca-certificates.crt", self.ca)
		self.pf.master.append(master)
		self.pf.files["reply_filter"] = self._printed("reply_filter")
		with open(self.ctx.path("postfix-conf/master.cf"), encoding="utf-8") as f:
			commented = dict(re.findall(r"^#  -o (?:\{ )?(\w+) ?= ?(.*?)(?: \})?$", f.read(), re.M))
		self.pf.services["submission"].update({line: commented[line] for line in submission})
		if not self.has_milter:
			self.pf.main.update(smtpd_milters="", non_smtpd_milters="")

	def start_milter(self):
		if self.has_milter:
			super().start_milter()

	def start(self):
		self.start_milter()
		self.policy = PolicyProcess(self.ctx.program("postern-policy"), self.conf,
		    [self.parts["map"], self.pf.socket_path("policy.sock")], args=["-v"], env=self.env)
		self.pf.start()
		return self

	def restart(self, clock=None):
		"""Both daemons anew; clock: seconds that they are ahead of now."""
		for daemon in filter(None, (self.milter, self.policy)):
			if clock is not None:
				daemon.env["POSTERN_CLOCK_OFFSET"] = str(clock)
			daemon.restart()

	def __exit__(self, *exc):
		if exc[0] is not None and self.policy is not None:
			note(self.policy.stderr()[-4000:])
		super().__exit__(*exc)
		for relay in {id(a.server): a.server for a in self.accounts.values()}.values():
			relay.close()

	# --- using it

	def __getitem__(self, name):
		"""The server of that account."""
		return self.accounts[name].server

	def submit(self, to, message, sender=BOUNCE, service="submission", user="odoo", mail_params=()):
		with Client(self.pf.address(service)) as c:
			assert c.auth_plain(user, self.pf.sasl.users[user]).code == 235
			return c.send_mail(sender, to, message, mail_params=mail_params)

	def as_odoo(self, frm="Jo <jo@acme.example>", to=CUSTOMER, sender=BOUNCE, extra="", ident=None, **options):
		"""Sends as Odoo does: logged in, envelope sender bounce@; the Result."""
		ident = ident or "<%d.openerp@acme.example>" % next(_numbers)
		message = mail(CUSTOMER, "x@x" if frm is None else frm, ident=ident, extra=extra)
		if frm is None:
			message = message.replace("From: x@x\n", "")
		return self.submit(to, message, sender, **options)

	def leaves(self, *args, **options):
		"""Such a mail, taken: (name of the account, transaction)."""
		r = self.as_odoo(*args, **options)
		assert r.code == 250, r
		return self.took(r)

	def took(self, result):
		"""Who took it: (name of the account, transaction)."""
		mark = re.compile(r"\bid %s\b" % result.queue_id)
		def found():
			return [(name, t) for name, a in self.accounts.items() for t in a.server.messages if mark.search(t.header_text)]
		return wait_until(found, 10, lambda: "%s did not leave:\n%s" % (result, self.pf.log()[-3000:]))[0]

	def waits(self, result):
		"""Asserts that it was put off; the log line."""
		return self.pf.wait_log(r".*%s: .*status=deferred.*" % result.queue_id).group(0)

	def tell_health(self, name, event, words="no answer"):
		"""As the follower of Postfix's log would: "down", "limit" or "well"."""
		run(self.ctx.program("tests/wire/relay_health"), self.state, name, event, words, check=0)

	def deliver(self):
		"""A new attempt for everything."""
		self.pf.flush()
