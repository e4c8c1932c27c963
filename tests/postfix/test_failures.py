"""When something is missing, slow, full or broken: 451, never 550, and no mail is lost."""

import os
import resource
import signal
import subprocess
import time

from gateway import *
from lab import *

LATER = 451


@cases(("beside", False), ("chrooted", True))
def test_milter_not_running(ctx, chroot):
	with Gateway(ctx, chroot=chroot) as g:
		g.accepted("sales")
		g.milter.stop()
		r = g.send("sales")
		assert r.code == LATER and r.final.enhanced == "4.7.1", r
		g.milter.start()
		g.accepted("sales")


def test_milter_restarted_in_a_session(ctx):
	"""The session has lost its milter: it is told 451 to its end; the client's next session is well."""
	with Gateway(ctx) as g, Client(g.pf.address()) as c:
		assert c.send_mail("ann@sender.test", "sales@acme.example", mail("sales")).code == 250
		g.milter.restart()
		for _ in range(3):
			assert c.send_mail("ann@sender.test", "sales@acme.example", mail("sales")).code == LATER
		g.accepted("sales")
		assert len(g.odoo.messages) == 2


@cases(("at RCPT", "rcpt"), ("after DATA", "data"))
def test_milter_killed_in_a_mail(ctx, stage):
	message = mail("sales", ident="<killed@sender.test>")
	with Gateway(ctx) as g:
		with Client(g.pf.address()) as c:
			c.mail("ann@sender.test")
			if stage == "rcpt":
				g.milter.kill()
				assert c.rcpt("sales@acme.example").code == LATER
			else:
				assert c.rcpt("sales@acme.example").ok and c.cmd("DATA").code == 354
				g.milter.kill()
				c.send_content(message)
				assert c.reply().code == LATER
		g.milter.start()
		# It was not taken: no twin, no count.
		g.accepted("sales", message)


def test_milter_that_hangs(ctx):
	"""A time-out is 451 as well (here two seconds instead of twenty); the others are not concerned afterwards."""
	with Gateway(ctx) as g:
		limits = g.pf.main["smtpd_milters"]
		g.pf.main["smtpd_milters"] = limits.replace("=5s", "=2s").replace("=20s", "=2s").replace("=60s", "=2s")
		assert limits.count("s,") == 3 and g.pf.main["smtpd_milters"].count("=2s") == 3
		g.pf.restart()
		with Client(g.pf.address()) as c:
			assert c.mail("ann@sender.test").ok and c.rcpt("sales@acme.example").ok
			g.milter.signal(signal.SIGSTOP)
			assert c.data(mail("sales"))[1].code == LATER
		assert g.send("sales").code == LATER
		g.milter.signal(signal.SIGCONT)
		g.accepted("help")


def test_connection_lost_at_the_end_of_the_message(ctx):
	"""The client never sees our 250 and comes back: at worst after the lease."""
	message = mail("sales", ident="<lost@sender.test>")
	with Gateway(ctx, gateway="twin_lease = 1s\n\tmail.gateway.loop.threshold = 1") as g:
		c = Client(g.pf.address())
		c.mail("ann@sender.test")
		c.rcpt("sales@acme.example")
		c.cmd("DATA")
		c.send_content(message)
		c.abort()
		g.line("verdict=accept")
		wait_until(lambda: g.send("sales", message).code == 250, 5, "the lease to end")
		# Counted once, however often it came; another mail is one too many.
		assert g.send("sales").code == LATER
		assert "rule=loop_new" in g.line("rule=loop_new")


# --- the state

def test_state_is_gone(ctx):
	"""Not to be had at the start: the milter waits for its supervisor, Postfix says 451."""
	with Gateway(ctx, domain="unknown = reject") as g:
		g.milter.stop()
		os.rename(g.state, g.state + ".away")
		r = subprocess.run([ctx.program("postern-milter"), "-c", g.conf], capture_output=True, timeout=20)
		assert r.returncode == 69 and b"state" in r.stderr, r
		assert g.send("sales").code == LATER
		os.rename(g.state + ".away", g.state)
		g.milter.start()
		g.accepted("sales")


def test_state_removed_under_its_feet(ctx):
	"""What is open stays usable; nobody is refused for it."""
	with Gateway(ctx, domain="unknown = reject") as g:
		g.accepted("sales")
		os.rename(g.state, g.state + ".away")
		assert g.send("sales").code in (250, LATER)
		os.rename(g.state + ".away", g.state)
		g.accepted("help")


@cases(("unreadable", 0o000), ("read-only", 0o555))
def test_state_permissions(ctx, mode):
	"""The daemon runs as a user of its own, as installed."""
	with Gateway(ctx, user="nobody", domain="unknown = reject") as g:
		g.accepted("sales")
		g.milter.stop()
		for folder in ("state", "directory"):
			for name in os.listdir(g.state + "/" + folder):
				os.chmod("%s/%s/%s" % (g.state, folder, name), mode & 0o444)
			os.chmod("%s/%s" % (g.state, folder), mode)
		r = subprocess.run([ctx.program_for_others("postern-milter"), "-c", g.conf], capture_output=True, timeout=20,
		    user="nobody", extra_groups=["postfix"])
		assert r.returncode == 69 and g.state.encode() in r.stderr, r
		assert g.send("sales").code == LATER
		for folder in ("state", "directory"):
			os.chmod("%s/%s" % (g.state, folder), 0o755)
			for name in os.listdir(g.state + "/" + folder):
				os.chmod("%s/%s/%s" % (g.state, folder, name), 0o644)
		g.milter.start()
		g.accepted("sales")


def test_state_full(ctx):
	"""The map of the state is full: nothing can be counted, so nothing is taken; our own mail still leaves."""
	def notification(i):
		return mail("c@customer.test", "x@acme.example", "<%d.openerp@acme.example>" % i,
		    "X-Odoo-Objects: crm.lead-%d\nReferences:" % (i + 1)
		    + "".join("\n <%d.%d.%s@acme.example>" % (i, j, "x" * 850) for j in range(30)))

	with Gateway(ctx, top='state_map_size = "16M"\noutbound_networks = {"127.0.0.2"}') as g:
		g.pf.main["default_transport"] = "discard:"
		g.pf.restart()
		g.accepted("sales")
		with Client(g.pf.address(), source="127.0.0.2") as c:
			for i in range(2000):
				r = c.send_mail("bounce@acme.example", "c@customer.test", notification(i))
				assert r.code == 250, r
				if i % 20 == 0 and "not_stored=" in g.milter.stderr():
					break
		assert "not_stored=" in g.milter.stderr()
		# The last free corners fill up as well.
		codes = []
		while len(codes) < 300 and (LATER, "4.3.0") not in codes:
			ident = "<%d.%s@sender.test>" % (len(codes), "y" * 850)
			codes.append(answer(g.send("sales", mail("sales", ident=ident, frm="b%d@sender.test" % len(codes)))))
		assert set(codes) <= {(250, "2.0.0"), (LATER, "4.3.0")} and len(codes) < 300, codes[-5:]
		assert "rule=trouble" in g.line("verdict=defer")
		# What needs no count is answered as ever.
		assert answer(g.send("catchall", mail("catchall"))) == (550, "5.7.1")


def test_disk_full(ctx):
	"""A limit on the size of files stands for a full disk: 451 while it lasts, never 550."""
	with Gateway(ctx, start=False) as g:
		# The limit comes as an error, as a full disk does, not as a signal.
		script = ctx.tmp + "/milter"
		with open(script, "w") as f:
			f.write('#!/bin/sh\ntrap "" XFSZ\nexec %s "$@"\n' % ctx.program("postern-milter"))
		os.chmod(script, 0o755)
		g.milter = MilterProcess(script, g.conf, g.parts["milter"])
		g.pf.start()
		g.accepted("sales")
		unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
		size = os.path.getsize(g.state + "/state/data.mdb")
		resource.prlimit(g.milter.pid, resource.RLIMIT_FSIZE, (size, unlimited[1]))
		codes = []
		while len(codes) < 200 and LATER not in codes:
			ident = "<%s%d@sender.test>" % ("y" * 700, len(codes))
			codes.append(g.send("sales", mail("sales", ident=ident, frm="b%d@sender.test" % len(codes))).code)
		assert set(codes) <= {250, LATER} and codes[-1] == LATER, codes
		assert "rule=trouble" in g.line("verdict=defer")
		resource.prlimit(g.milter.pid, resource.RLIMIT_FSIZE, unlimited)
		g.accepted("sales")


# --- the configuration

def test_reload_with_20_sessions_open(ctx):
	"""Each mail is decided by the configuration it began with, the next one by the new; no session is lost."""
	with Gateway(ctx) as g:
		clients = [Client(g.pf.address()) for _ in range(20)]
		for i, c in enumerate(clients):
			assert c.mail("ann%d@sender.test" % i).ok and c.rcpt("sales@acme.example").ok
			if i % 2:
				assert c.cmd("DATA").code == 354
		g.reload(more='alias "jobs@acme.example" { model = hr.applicant  gateway = "acme" }',
		    gateway='target = "redirect to inbox@%s"\n\tcomplete = yes' % TARGET)
		for i, c in enumerate(clients):
			message = mail("sales", frm="ann%d@sender.test" % i)
			if i % 2:
				c.send_content(message)
				assert c.reply().code == 250
			else:
				assert c.data(message)[1].code == 250
		for i, c in enumerate(clients):
			message = mail("jobs", frm="new%d@sender.test" % i)
			assert c.send_mail("ann@sender.test", "jobs@acme.example", message).code == 250
			c.close()
		g.odoo.wait(40)
		got = sorted(a for m in g.odoo.messages for a in m.recipients)
		assert got == ["inbox@" + TARGET] * 20 + ["sales@" + TARGET] * 20, got


@cases(
	("unknown key", 'comlete = yes', "complete"),
	("syntax", "}}}", "postern.conf"),
	("bad target", 'target = "redirect to nowhere at all"', "target"),
)
def test_bad_configuration_keeps_the_old(ctx, wrong, said):
	with Gateway(ctx) as g:
		g.reload(gateway=wrong)
		assert said in g.milter.stderr() and "not used" in g.line("the one before stays")
		g.accepted("sales")
		r = subprocess.run([ctx.program("postern-milter"), "-c", g.conf], capture_output=True, timeout=20)
		assert r.returncode == 78, r
		g.reload(gateway='target = "redirect to inbox@%s"' % TARGET)
		assert g.accepted("sales").recipients == ["inbox@" + TARGET]


def test_changed_directory_is_live_within_a_second(ctx):
	"""Another process of ours (here a second milter) changes the aliases: no restart, no signal."""
	with Gateway(ctx, domain="unknown = reject") as g:
		assert g.send("jobs").code == 550
		with Client(g.pf.address()) as c:
			assert c.mail("ann@sender.test").ok and c.rcpt("jobs@acme.example").code == 550
			other = ctx.tmp + "/other.conf"
			with open(other, "w") as f:
				f.write(CONF % dict(g.parts, milter=ctx.tmp + "/other.sock",
				    more='alias "jobs@acme.example" { model = hr.applicant  gateway = "acme" }'))
			with MilterProcess(ctx.program("postern-milter"), other, ctx.tmp + "/other.sock"):
				started = time.monotonic()
				wait_until(lambda: c.rcpt("jobs@acme.example").code == 250, 5, "the alias to be known")
				assert time.monotonic() - started < 1
				assert c.data(mail("jobs"))[1].code == 250
		assert g.odoo.wait_one().recipients == ["jobs@" + TARGET]


def test_map_daemon_down(ctx):
	"""A mixed domain asks postern-policy at RCPT: 451 for everybody while it is away."""
	with Gateway(ctx, MIXED) as g:
		assert g.send(["sales", "joe"], mail(["sales", "joe"])).code == 250
		g.idle()
		g.policy.kill()
		with Client(g.pf.address()) as c:
			c.mail("ann@sender.test")
			got = [c.rcpt(addr(a)) for a in ("sales", "joe", "nobody")]
			assert [r.code for r in got] == [LATER] * 3, got
		g.policy.start()
		assert g.send("nobody").code == 550
		assert g.send(["sales", "joe"], mail(["sales", "joe"])).code == 250
		assert len(g.people.wait(2)) == 2 and len(g.odoo.wait(2)) == 2


def test_too_many_sessions_are_told_later(ctx):
	with Gateway(ctx, top="max_sessions = 2") as g:
		clients = [Client(g.pf.address()) for _ in range(4)]
		codes = [c.mail("ann@sender.test").code for c in clients]
		for c in clients:
			c.close()
		assert codes == [250, 250, LATER, LATER], codes
		wait_until(lambda: g.send("sales").code == 250, 5, "the sessions to end")


def test_target_down_means_waiting(ctx):
	"""Accepted mail waits in Postfix's queue and arrives once."""
	g = Gateway(ctx, odoo=Sink(hook=lambda stage, tr, arg: "451 4.3.0 not now" if stage == "mail" and down else None))
	down = [True]
	with g:
		assert g.send("sales").code == 250
		g.pf.wait_log("status=deferred")
		assert not g.odoo.messages
		down.clear()
		g.pf.flush()
		assert g.odoo.wait_one().recipients == ["sales@" + TARGET]
