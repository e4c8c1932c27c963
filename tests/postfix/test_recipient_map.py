"""A mixed domain: people have mailboxes in it, Odoo has aliases, and Postfix alone tells who does not exist.

The socketmap stands in virtual_alias_maps and answers a known address with itself, so Postfix takes it for known.
"""

import os

from lab import *

CONF = """\
state_directory = "%s"
map_socket = "unix:%s"
policy_socket = ""
dmarc = off
socket_group = "postfix"
gateway "main" {
	target = "redirect to acme.odoo.test"
}
domain "mixed.test" {
	unknown = pass
	human = "joe@mixed.test"
}
alias "sales@mixed.test" {
	model = crm.lead
}
domain "bücher.test" {
	unknown = pass
}
alias "sales@bücher.test" {
	model = crm.lead
}
"""

MESSAGE = "From: ann@sender.test\nTo: somebody\nSubject: hello\nMessage-ID: <1@sender.test>\n\nBody\n"


class Mixed:
	"""Postfix with the mailboxes of joe and mary in mixed.test, the daemon, and where all its mail arrives."""

	def __init__(self, ctx, chroot=False, **main):
		self.sink = Sink()
		self.pf = Postfix(services={"smtp": {"chroot": chroot}}, main=dict({
			# The default is $virtual_alias_maps: trivial-rewrite would ask the daemon for every domain there is.
			"virtual_alias_domains": "",
			"virtual_mailbox_domains": "mixed.test, bücher.test, xn--bcher-kva.test",
			"virtual_mailbox_maps": "inline:{ joe@mixed.test=joe, mary@mixed.test=mary, jürgen@mixed.test=jürgen }",
			"virtual_transport": "smtp:" + self.sink.nexthop,
			"virtual_alias_maps": "inline:{ team@mixed.test=mary@mixed.test }, socketmap:unix:postern/map.sock:recipient",
		}, **main))
		os.mkdir(ctx.tmp + "/state")
		conf = ctx.tmp + "/postern.conf"
		path = self.pf.socket_path("map.sock")
		with open(conf, "w", encoding="utf-8") as f:
			f.write(CONF % (ctx.tmp + "/state", path))
		self.daemon = PolicyProcess(ctx.program("postern-policy"), conf, [path])
		self.pf.start()

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		for part in (self.daemon, self.pf, self.sink):
			part.close()

	def rcpt(self, *addresses, mail_params=()):
		"""(code, enhanced code) for each address in one session."""
		with Client(self.pf.address()) as c:
			assert c.mail("ann@sender.test", *mail_params).code == 250
			replies = [c.rcpt(a) for a in addresses]
			note(repr(replies))
			return [(r.code, r.enhanced) for r in replies]


OK, UNKNOWN, LATER = (250, "2.1.5"), (550, "5.1.1"), (451, "4.3.0")


@cases(("beside", False), ("chrooted", True))
def test_aliases_and_people_pass_nobody_does_not(ctx, chroot):
	with Mixed(ctx, chroot) as m:
		got = m.rcpt("sales@mixed.test", "joe@mixed.test", "nobody@mixed.test", "team@mixed.test")
		assert got == [OK, OK, UNKNOWN, OK], got


def test_mail_to_an_alias_keeps_its_address(ctx):
	with Mixed(ctx) as m:
		r = send_mail(m.pf.address(), "ann@sender.test", ["Sales@Mixed.test", "joe@mixed.test"], MESSAGE)
		assert r.code == 250, r
		m.pf.wait_queue_empty()
		got = sorted(a for t in m.sink.wait(1) for a in t.recipients)
		assert got == ["Sales@Mixed.test", "joe@mixed.test"], got


def test_upper_case_and_special_addresses(ctx):
	with Mixed(ctx) as m:
		got = m.rcpt("SALES@MIXED.TEST", "Catchall@mixed.test", "bounce@mixed.test", "postmaster@mixed.test",
		    "notifications@mixed.test")
		assert got == [OK] * 5, got
		got = m.rcpt('"sales x"@mixed.test', '"a,b"@mixed.test', "sales.x@mixed.test", "sal@mixed.test")
		assert got == [UNKNOWN] * 4, got


def test_smtputf8_address(ctx):
	with Mixed(ctx, smtputf8_enable="yes") as m:
		got = m.rcpt("sales@bücher.test", "SALES@xn--bcher-kva.test", "Sales@BÜCHER.test", "jürgen@mixed.test",
		    "jörg@mixed.test", "joe@bücher.test", mail_params=["SMTPUTF8"])
		assert got == [OK, OK, OK, OK, UNKNOWN, UNKNOWN], got


def test_a_tag_does_not_make_an_alias(ctx):
	"""Postfix would look a table of fixed keys up without the tag, too; it must not do so here: Odoo does not know it."""
	with Mixed(ctx, recipient_delimiter="+") as m:
		got = m.rcpt("sales+x@mixed.test", "joe+x@mixed.test")
		assert got == [UNKNOWN, OK], got


def test_daemon_down_is_later_never_unknown(ctx):
	with Mixed(ctx) as m:
		assert m.rcpt("sales@mixed.test") == [OK]
		m.daemon.stop()
		got = m.rcpt("sales@mixed.test", "joe@mixed.test", "nobody@mixed.test")
		assert got == [LATER] * 3, got
		m.daemon.start()
		got = m.rcpt("sales@mixed.test", "joe@mixed.test", "nobody@mixed.test")
		assert got == [OK, OK, UNKNOWN], got


def test_restart_within_a_session(ctx):
	with Mixed(ctx) as m, Client(m.pf.address()) as c:
		assert c.mail("ann@sender.test").code == 250
		assert c.rcpt("sales@mixed.test").code == 250
		m.daemon.restart()
		assert c.rcpt("sales@mixed.test").code == 250
		assert c.rcpt("nobody@mixed.test").code == 550
		m.daemon.kill()
		m.daemon.start()
		assert c.rcpt("catchall@mixed.test").code == 250
		assert c.rcpt("no-one@mixed.test").code == 550


def test_state_unreadable_is_later(ctx):
	with Mixed(ctx) as m:
		m.daemon.stop()
		os.rename(ctx.tmp + "/state", ctx.tmp + "/gone")
		m.daemon.start()
		got = m.rcpt("sales@mixed.test", "nobody@mixed.test")
		assert got == [LATER, LATER], got
		os.rename(ctx.tmp + "/gone", ctx.tmp + "/state")
		m.daemon.wait_stderr("ready ", count=2)
		got = m.rcpt("sales@mixed.test", "nobody@mixed.test")
		assert got == [OK, UNKNOWN], got


def test_mail_in_the_queue_survives_the_daemon(ctx):
	"""Local mail is expanded by cleanup(8), which also asks; it waits, it does not bounce."""
	with Mixed(ctx) as m:
		m.daemon.stop()
		m.pf.sendmail(["-f", "ann@sender.test", "sales@mixed.test"], MESSAGE)
		m.pf.wait_log("(virtual_alias_maps|virtual alias|socketmap).*(map lookup problem|temporary|error|connect)")
		m.daemon.start()
		wait_until(lambda: (m.pf.flush(), m.sink.transactions)[1], 40, "the mail to be delivered")
		assert m.sink.wait_one().recipients == ["sales@mixed.test"]
