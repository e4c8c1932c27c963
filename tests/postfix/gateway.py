"""What the tests of the inbound gateway share: a Postfix with the fragments that users install (postfix-conf/),
postern-milter, postern-policy where it is wanted, and a server for each place that mail may arrive at.
"""

import itertools
import os
import re
import shutil

from lab import *

DOMAIN, TARGET = "acme.example", "acme.odoo.example"
OWN, MIXED = "main.cf.own-domains", "main.cf.mixed-domains"

CONF = """\
state_directory = "%(state)s"
milter_socket = "unix:%(milter)s"
map_socket = "unix:%(map)s"
policy_socket = ""
dmarc = off
hostname = "mx.lab.test"
%(top)s
gateway "acme" {
	%(gateway)s
}
domain "acme.example" {
	gateway = "acme"
	%(domain)s
}
alias "sales@acme.example" { model = crm.lead  gateway = "acme" }
alias "help@acme.example" { model = project.task  gateway = "acme" }
%(more)s
"""

# A second gateway, for `more`.
BETA = """
gateway "beta" { target = "redirect to beta.odoo.example"  complete = yes }
domain "beta.example" { gateway = "beta" }
alias "shop@beta.example" { model = sale.order  gateway = "beta" }
"""

_ids = itertools.count(1)


def addr(local):
	"""acme.example's address; one with a domain stays as it is."""
	return local if "@" in local else "%s@%s" % (local, DOMAIN)


def mail(to="sales", frm="Ann <ann@sender.test>", ident=None, extra="", body="Hello.\n", subject="hello"):
	"""A message; `to` is a local part of ours or an address, or several in a list.  extra: more header lines."""
	ident = ident or "<%d.%d@sender.test>" % (next(_ids), os.getpid())
	names = [to] if isinstance(to, str) else to
	if extra and not extra.endswith("\n"):
		extra += "\n"
	return "From: %s\nTo: %s\nSubject: %s\nMessage-ID: %s\nDate: Mon, 6 Jul 2026 10:00:00 +0000\n%s\n%s" % (
	    frm, ", ".join(addr(a) for a in names), subject, ident, extra, body)


def fragment(ctx, name):
	"""The settings of a fragment, as main.cf takes them."""
	with open(ctx.path("postfix-conf", name), encoding="utf-8") as f:
		return parse_main_cf(f.read())


def master_cf(ctx):
	"""The services of the fragment master.cf: name -> (line, {option: value})."""
	services, name = {}, None
	with open(ctx.path("postfix-conf", "master.cf"), encoding="utf-8") as f:
		for line in f:
			if not line.strip() or line.startswith("#"):
				continue
			if not line[0].isspace():
				name = line.split()[0]
				services[name] = (" ".join(line.split()), {})
				continue
			option = re.fullmatch(r"\s+-o \{?\s*(\w+)\s*=\s*(.*?)\s*\}?\s*", line.rstrip("\n"))
			services[name][1][option.group(1)] = option.group(2)
	return services


class Gateway:
	"""Everything runs after start(); until then .pf and .conf may be changed.

	odoo      the server behind postern-redirect       people   mailboxes of a mixed domain
	world     everything that leaves by the default route
	gateway, domain, top, more: lines of postern.conf; before, behind: milters beside ours
	"""

	def __init__(self, ctx, domains=OWN, gateway="", domain="", top="", more="", main=None, services=None,
	    submission=False, chroot=False, policy=None, before=(), behind=(), sasl=None, odoo=None, env=None, user=None,
	    target="redirect to " + TARGET, start=True):
		self.ctx, self.env, self.user = ctx, env or {}, user
		self.odoo, self.world, self.people = odoo or Sink(), Sink(), Sink()
		self.mixed = domains == MIXED
		self.with_policy = self.mixed if policy is None else policy
		fixed = master_cf(ctx)
		services = dict({"smtp": {"chroot": chroot}}, **(services or {}))
		if submission:
			services["submission"] = dict(fixed["submission"][1], chroot=chroot)
		self.pf = Postfix(services=services, sasl={"odoo": "secret"} if sasl or submission else None)
		self._postfix_settings(domains, fixed, before, behind, main or {})
		self.state = ctx.tmp + "/state"
		os.mkdir(self.state)
		if user:
			shutil.chown(self.state, user)
			self.pf.give_sockets_to(user)
		self.parts = dict(gateway="\n\t".join(filter(None, ['target = "%s"' % target,
		    "" if "complete" in gateway else "complete = yes", gateway])), domain=domain, top=top,
		    more=more, state=self.state, milter=self.pf.socket_path("milter.sock"),
		    map=self.pf.socket_path("map.sock"))
		if self.mixed:
			self.parts["domain"] += "\n\tunknown = pass"
		self.conf = ctx.tmp + "/postern.conf"
		self.milter = self.policy = None
		self.write_conf()
		if start:
			self.start()

	def _postfix_settings(self, domains, fixed, before, behind, main):
		settings = self.pf.main
		settings.update(fragment(self.ctx, domains))
		settings.update(fragment(self.ctx, "main.cf.redirect"))
		settings.update(fragment(self.ctx, "main.cf.milter"))
		to_odoo = "postern-redirect:" + self.odoo.nexthop
		settings["transport_maps"] = settings["transport_maps"].replace("{%s = postern-redirect:}" % TARGET,
		    "{%s = %s} {beta.odoo.example = %s}" % (TARGET, to_odoo, to_odoo))
		assert self.odoo.nexthop in settings["transport_maps"]
		settings["default_transport"] = "smtp:" + self.world.nexthop
		# Nothing can be looked up here: what has no sender leaves for the world, too.
		no_sender = "inline:{ {<> = postern-redirect:%s} }" % self.world.nexthop
		settings["sender_dependent_default_transport_maps"] = no_sender
		if domains == MIXED:
			settings["virtual_mailbox_maps"] = "inline:{ joe@acme.example=joe, mary@acme.example=mary }"
			settings["virtual_alias_maps"] = settings["virtual_alias_maps"].replace("hash:/etc/postfix/virtual",
			    "inline:{ {team@acme.example = mary@acme.example, sales@acme.odoo.example} }")
			settings["virtual_transport"] = "smtp:" + self.people.nexthop
		else:
			settings["relay_domains"] += ", beta.example"
		ours = settings["smtpd_milters"]
		settings["smtpd_milters"] = ", ".join([m.endpoint for m in before] + [ours] + [m.endpoint for m in behind])
		settings.update(main)
		line, options = fixed["postern-redirect"]
		self.pf.master.append(line + "".join("\n  -o { %s = %s }" % kv for kv in options.items()))

	def write_conf(self, **parts):
		"""Writes postern.conf, with other parts than before."""
		self.parts.update(parts)
		with open(self.conf, "w", encoding="utf-8") as f:
			f.write(CONF % self.parts)

	def reload(self, **parts):
		"""Another configuration, as the operator gives it: SIGUSR1.  Returns when it is in use or was refused."""
		self.write_conf(**parts)
		done = r"(configuration .*(aliases \(|not used))"
		before = len(re.findall(done, self.milter.stderr()))
		self.milter.signal(10)
		self.milter.wait_stderr(done, count=before + 1)

	def start_milter(self):
		if self.milter is not None and self.milter.process is None:
			self.milter.start()
			return
		program = self.ctx.program_for_others if self.user else self.ctx.program
		self.milter = MilterProcess(program("postern-milter"), self.conf, self.parts["milter"], env=self.env,
		    user=self.user)

	def start(self):
		self.start_milter()
		if self.with_policy:
			self.policy = PolicyProcess(self.ctx.program("postern-policy"), self.conf, [self.parts["map"]])
		self.pf.start()
		return self

	def restart_milter(self, kill=False, clock=None):
		"""clock: seconds that the new one is ahead."""
		if clock is not None:
			self.milter.env["POSTERN_CLOCK_OFFSET"] = str(clock)
		if kill:
			self.milter.kill()
			self.milter.start()
		else:
			self.milter.restart()

	def __enter__(self):
		return self

	def __exit__(self, exc_type, *exc):
		if exc_type is not None and self.milter is not None:
			note(self.milter.stderr()[-6000:])
		for part in (self.milter, self.policy, self.pf, self.odoo, self.world, self.people):
			if part is not None:
				part.close()

	# --- using it

	def send(self, to="sales", message=None, sender="ann@sender.test", service=None, **options):
		"""One mail to local parts or addresses; the Result."""
		to = [to] if isinstance(to, str) else to
		return send_mail(self.pf.address(service), sender, [addr(a) for a in to],
		    mail(to) if message is None else message, **options)

	def accepted(self, *args, **options):
		"""Sends, must be told 250, and must arrive at Odoo's side: that transaction."""
		r = self.send(*args, **options)
		assert r.code == 250, r
		return self.arrived(r)

	def arrived(self, result, sink=None):
		"""The transaction in which that mail came to Odoo's side (or another): Received tells its queue id."""
		mark = re.compile(r"\bid %s\b" % result.queue_id)
		def found():
			return [m for m in (sink or self.odoo).messages if mark.search(m.header_text)]
		return wait_until(found, 10, lambda: "%s did not arrive: %r" % (result, (sink or self.odoo).transactions))[0]

	def submit(self, to, message, sender="bounce@acme.example", service="submission"):
		"""As Odoo sends: logged in on the submission service."""
		with Client(self.pf.address(service)) as c:
			assert c.auth_plain("odoo", "secret").code == 235
			r = c.send_mail(sender, to, message)
		return r

	def line(self, what, count=1):
		"""The milter's last log line that matches, once there are `count` of them."""
		return self.milter.wait_stderr(r".*%s.*" % what, count=count).group(0)

	def idle(self):
		"""Waits until Postfix has nothing left to do."""
		self.pf.wait_queue_empty()


def answer(result):
	"""(code, enhanced code) of the last word on a mail."""
	return result.final.code, result.final.enhanced
