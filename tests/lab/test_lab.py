"""The lab tries itself: no program of ours takes part."""

import base64
import os
import signal
import smtplib
import ssl
import time

from lab import *
from mapserver import MapServer
from relay import HANG, Authority, Relay

MESSAGE = """\
From: Ann <ann@sender.test>
To: Sales <sales@company.test>
Subject: Hello
Message-ID: <1@sender.test>
Date: Mon, 1 Jan 2024 00:00:00 +0000

Body
.a line with a dot
"""


def relay(sink, milters=(), **options):
	"""A gateway for company.test that hands everything to the sink."""
	main = {"relay_domains": "company.test", "relay_transport": "smtp:" + sink.nexthop}
	if milters:
		main["smtpd_milters"] = ", ".join("{ %s, default_action=tempfail }" % m.endpoint for m in milters)
	main.update(options.pop("main", {}))
	return Postfix(main=main, **options)


def test_starts_quickly():
	with Postfix() as pf:
		began = time.monotonic()
		pf.start()
		with Client(pf.address(), ehlo=False) as c:
			took = time.monotonic() - began
			assert c.banner.code == 220
	assert took < 1.5, took		# 0.1 s on a quiet machine


def test_message_arrives_as_it_was():
	with Sink() as sink, relay(sink).start() as pf, Client(pf.address()) as c:
		assert "SMTPUTF8" in c.extensions and "DSN" in c.extensions
		r = c.send_mail("ann@sender.test", ["sales@company.test", "who@foreign.test"], MESSAGE,
		    mail_params=["RET=HDRS", "ENVID=abc"], rcpt_params=["NOTIFY=FAILURE", "ORCPT=rfc822;x@y.test"])
		assert r.code == 250 and r.queue_id
		assert (r.rcpts[1].code, r.rcpts[1].enhanced) == (454, "4.7.1"), r
		t = sink.wait_one()
		assert (t.sender, t.recipients) == ("ann@sender.test", ["sales@company.test"])
		assert t.sender_params["ENVID"] == "abc" and t.sender_params["RET"] == "HDRS"
		assert t.rcpts[0].params == {"NOTIFY": "FAILURE", "ORCPT": "rfc822;x@y.test"}
		assert t.body == b"Body\r\n.a line with a dot\r\n"
		assert t.header("subject") == "Hello" and t.header("nothing") is None
		pf.wait_log(r.queue_id + ": removed")
		pf.wait_queue_empty()


def test_pipelining_bdat_and_rset():
	with Sink() as sink, relay(sink).start() as pf, Client(pf.address()) as c:
		replies = c.pipeline(["MAIL FROM:<a@s.test>", "RCPT TO:<one@company.test>", "RCPT TO:<two@other.test>",
		    "DATA"])
		assert [r.code for r in replies] == [250, 250, 454, 354]
		c.send_content(MESSAGE)
		assert c.reply().code == 250
		c.mail("b@s.test")
		c.rcpt("three@company.test")
		assert c.bdat(MESSAGE.replace("\n", "\r\n")[:40]).code == 250
		assert c.bdat(MESSAGE.replace("\n", "\r\n")[40:], last=True).code == 250
		c.mail("c@s.test")
		assert c.rset().code == 250
		assert c.data(MESSAGE)[0].code == 503
		assert c.cmd("NONSENSE").code == 500
		assert c.quit().code == 221
		got = {t.sender: t.recipients for t in sink.wait(2)}
		assert got == {"a@s.test": ["one@company.test"], "b@s.test": ["three@company.test"]}


def test_bdat_to_the_sink():
	with Sink() as sink, Client(sink.address) as c:
		r = c.send_mail("a@s.test", "b@t.test", MESSAGE, bdat=True)
		assert r.code == 250 and sink.wait_one().message == MESSAGE.replace("\n", "\r\n").encode()


def test_client_dies_in_the_middle():
	with Sink() as sink, relay(sink).start() as pf:
		c = Client(pf.address())
		c.mail("a@s.test")
		c.rcpt("b@company.test")
		assert c.cmd("DATA").code == 354
		c.send("Subject: half\r\n\r\nhal")
		c.abort()
		pf.wait_log("lost connection after DATA|Connection reset by peer")
		assert not sink.transactions


def refuse(stage, answer):
	return lambda s, transaction, arg: answer if s == stage else None


@cases(("MAIL", "mail", 450), ("RCPT", "rcpt", 450), ("DATA", "data", 451), ("end", "eom", 452))
def test_sink_defers(stage, code):
	with Sink(hook=refuse(stage, "%d 4.3.0 not now" % code)) as sink, relay(sink).start() as pf:
		assert send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE).code == 250
		pf.wait_log(r"status=deferred .*%d 4\.3\.0 not now" % code)
		assert pf.wait_queue(1)[0]["sender"] == "a@s.test" and not sink.messages
		sink.hook = None
		pf.flush()
		assert sink.wait_one().recipients == ["b@company.test"]
		pf.wait_queue_empty()


def test_sink_hangs_up():
	with Sink(hook=refuse("data", DROP)) as sink, relay(sink).start() as pf:
		send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE)
		pf.wait_log("status=deferred .*lost connection")


def test_sink_without_extensions():
	with Sink(extensions=()) as sink, relay(sink).start() as pf:
		r = send_mail(pf.address(), "a@s.test", "b\u00fcro@company.test", "From: a@s.test\n\nx\n",
		    mail_params=["SMTPUTF8"])
		assert r.code == 250
		pf.wait_log("status=bounced .*SMTPUTF8 is required")


def test_lmtp_over_a_unix_socket():
	def answer(stage, t, arg):
		return "450 4.2.0 busy" if stage == "eom" and arg.address.startswith("busy") else None
	with Postfix(main={"relay_domains": "company.test"}) as pf:
		path = pf.queue_dir + "/private/odoo"
		with Sink(path, protocol="lmtp", hook=answer, group="postfix") as sink:
			pf.main["relay_transport"] = "lmtp:unix:private/odoo"
			pf.start()
			send_mail(pf.address(), "a@s.test", ["ok@company.test", "busy@company.test"], MESSAGE)
			pf.wait_log("to=<ok@company.test>.*status=sent")
			pf.wait_log("to=<busy@company.test>.*status=deferred.*450 4.2.0 busy")
			t = sink.wait_one()
			assert t.rcpt("ok@company.test").final == "250 2.0.0 ok"
			assert t.rcpt("busy@company.test").final == "450 4.2.0 busy"


def test_lmtp_client():
	def answer(stage, t, arg):
		return "550 5.2.2 full" if stage == "eom" and arg.address == "full@t.test" else None
	with Sink(protocol="lmtp", hook=answer) as sink, Client(sink.address, lmtp=True) as c:
		r = c.send_mail("a@s.test", ["full@t.test", "ok@t.test"], MESSAGE)
		assert [x.code for x in r.ends] == [550, 250] and sink.wait_one().reply == "250 2.0.0 ok"


def test_submission_with_a_password():
	with Sink() as sink, Postfix(main={"relayhost": sink.nexthop}, sasl={"odoo": "secret"},
	    services={"smtp": {}, "submission": SUBMISSION}).start() as pf:
		with Client(pf.address("submission")) as c:
			assert c.auth_plain("odoo", "wrong").code == 535
			assert c.mail("a@s.test").code == 250 and c.rcpt("b@far.test").code == 554
		with Client(pf.address("submission")) as c:
			assert c.auth_plain("odoo", "secret").code == 235
			assert c.send_mail("a@s.test", "b@far.test", MESSAGE).code == 250
		assert sink.wait_one().recipients == ["b@far.test"]
		assert send_mail(pf.address("smtp"), "a@s.test", "b@far.test", MESSAGE).code == 454


def test_relay_that_wants_a_password():
	users = {"odoo": "secret"}
	with Sink(users=users) as sink, Postfix(main={"relay_domains": "company.test",
	    "relay_transport": "smtp:" + sink.nexthop, "smtp_sasl_auth_enable": "yes",
	    "smtp_sasl_security_options": "noanonymous", "smtp_sasl_mechanism_filter": "plain",
	    "smtp_sasl_password_maps": "inline:{ {%s = odoo:secret} }" % sink.nexthop}).start() as pf:
		send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE)
		assert sink.wait_one().auth == "odoo"


def test_sendmail():
	with Sink() as sink, Postfix(main={"relayhost": sink.nexthop}).start() as pf:
		pf.sendmail(["-f", "root@lab.test", "far@away.test"], "Subject: by hand\n\nx\n")
		t = sink.wait_one()
		assert (t.sender, t.recipients, t.header("Subject")) == ("root@lab.test", ["far@away.test"], "by hand")
		pf.wait_queue_empty()
		assert pf.sendmail(["-bp"], "").stdout.startswith(b"Mail queue is empty")


def test_noop_milter_sees_everything():
	with Sink() as sink, Milter() as milter, relay(sink, [milter]).start() as pf:
		with Client(pf.address()) as c:
			assert c.send_mail("a@s.test", "b@company.test", MESSAGE).code == 250
			c.mail("second@s.test")
			c.rset()
			c.quit()
		sink.wait_one()
		wait_until(lambda: milter.named("close"), 5, "close")
		names = [e[1] for e in milter.events]
		for name in "connect helo mail rcpt data header eoh body eom abort close".split():
			assert name in names, name
		assert milter.named("mail") == [("<a@s.test>", []), ("<second@s.test>", [])]
		mail = next(e for e in milter.events if e[1] == "rcpt")
		assert mail[3]["{rcpt_addr}"] == "b@company.test" and "i" not in mail[3]


def test_milter_over_tcp_and_down():
	with Sink() as sink, Milter() as milter, relay(sink, [milter]).start() as pf:
		assert send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE).code == 250
		milter.close()
		assert send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE).mail.code == 451


def test_redirecting_milter():
	with Sink() as sink, Postfix(main={"relay_domains": "company.test", "default_transport": "smtp:" + sink.nexthop,
	    "smtpd_milters": "unix:postern/milter.sock"}) as pf:
		with Milter(pf.socket_path("milter.sock"), Redirect,
		    redirect={"sales@company.test": "catchall@db.odoo.test"}):
			pf.start()
			send_mail(pf.address(), "a@s.test", "sales@company.test", MESSAGE,
			    rcpt_params=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;sales@company.test"])
			t = sink.wait_one()
			assert t.recipients == ["catchall@db.odoo.test"]
			assert t.rcpts[0].params == {"NOTIFY": "SUCCESS,FAILURE", "ORCPT": "rfc822;sales@company.test"}


def test_chrooted_smtpd_finds_the_socket():
	with Sink() as sink, Postfix(main={"relay_domains": "company.test", "relay_transport": "smtp:" + sink.nexthop,
	    "smtpd_milters": "unix:postern/milter.sock"}, services={"smtp": {"chroot": True}}) as pf:
		with Milter(pf.socket_path("milter.sock"), AddHeader, header=("X-Seen", "yes")):
			pf.start()
			assert send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE).code == 250
			assert sink.wait_one().header("X-Seen") == "yes"


def test_greylisting_before_and_behind():
	with Sink() as sink, Milter(None, Greylist, times=2) as grey, \
	    Milter(None, AddHeader, header=("X-Lab", "here")) as other, \
	    relay(sink, [grey, other]).start() as pf:
		codes = [send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE).code for _ in range(3)]
		assert codes == [451, 451, 250]
		assert sink.wait_one().header("X-Lab") == "here"
		# Postfix asks in order and stops at the first refusal.
		assert len(grey.named("eom")) == 3 and len(other.named("eom")) == 1


def test_content_filter():
	with Sink() as sink, relay(sink, services={"smtp": {}, "reinject": REINJECT}) as pf, \
	    ContentFilter(pf.address("reinject"), change=lambda m: b"X-Filtered: yes\r\n" + m) as cf:
		pf.main["content_filter"] = "smtp:" + cf.nexthop
		pf.start()
		assert send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE).code == 250
		t = sink.wait_one()
		assert t.header("X-Filtered") == "yes" and t.recipients == ["b@company.test"]
		assert len(t.headers("Received")) == 2
		pf.wait_log("relay=.*status=sent.*queued as", count=1)


class Strict(Filter):
	"""Refuses at each stage what its name says; does all actions at the end."""

	def on_rcpt(self, rcpt, args):
		return {"<no@t.test>": "550 5.1.1 nobody", "<later@t.test>": "tempfail"}.get(rcpt, "continue")

	def on_eom(self):
		self.actions += [("progress",), ("addrcpt", "<new@t.test>"), ("addrcpt_par", "<par@t.test>", "NOTIFY=NEVER"),
		    ("delrcpt", "<old@t.test>"), ("addheader", "X-A", " 1"), ("insheader", 0, "X-B", " 2"),
		    ("chgheader", 1, "X-C", ""), ("chgfrom", "<f@t.test>", "RET=FULL"), ("quarantine", "why")]
		return "continue" if self.body == b"Body\r\n.a line with a dot\r\n" else "reject"


def test_milter_client_against_milter():
	with Milter(None, Strict) as milter, MilterClient(milter.address) as c:
		assert (c.version, c.actions) == (6, 0x1ff) and c.steps == 0x100
		assert c.open_session(client_addr="192.0.2.1").kind == "continue"
		r = c.send_mail("<a@s.test>", ["old@t.test", "no@t.test", "later@t.test"], MESSAGE, rcpt_args=["ORCPT=x"],
		    chunk=7)
		assert [v.code for v in r.rcpts] == [250, 550, 451] and r.rcpts[1].text == "550 5.1.1 nobody"
		assert r.final.kind == "continue", r
		assert r.eom.added == ["<new@t.test>", "<par@t.test>"] and r.eom.deleted == ["<old@t.test>"]
		assert r.eom.named("addrcpt_par")[0][2] == b"NOTIFY=NEVER"
		assert r.eom.headers("x-a") == [" 1"] and r.eom.headers("X-B") == [" 2"]
		assert r.eom.named("chgheader", "chgfrom", "quarantine") == [("chgheader", 1, b"X-C", b""),
		    ("chgfrom", b"<f@t.test>", b"RET=FULL"), ("quarantine", b"why")]
		assert milter.named("connect") == [("client.test", "4", 12345, "192.0.2.1")]
		assert ("Subject", "Hello") in milter.named("header")
		rcpts = [e[3] for e in milter.events if e[1] == "rcpt"]
		assert "i" not in rcpts[0] and rcpts[1]["i"] == "4ABCDEF01"
		r = c.send_mail("<a@s.test>", ["no@t.test"], MESSAGE)		# nobody is left
		assert r.final.code == 550 and r.eom is None
		c.abort()
		c.quit()


def test_milter_client_with_unanswered_stages():
	import miltwire
	class Quiet(Strict):
		skips = miltwire.NR_HDR | miltwire.NR_EOH | miltwire.NR_BODY | miltwire.NODATA | miltwire.HDR_LEADSPC
	with Milter(None, Quiet) as milter, MilterClient(milter.address) as c:
		c.open_session()
		r = c.send_mail("a@s.test", "b@t.test", MESSAGE)
		assert r.stages["body"].kind == "none" and r.stages["data"].kind == "unsent"
		assert r.final.kind == "continue" and not milter.named("data")
		assert ("Subject", " Hello") in milter.named("header")


def test_milter_client_garbage():
	with Milter() as milter:
		with MilterClient(milter.address, negotiate=False) as c:
			c.raw(b"\xff\xff\xff\xffX")
			assert c.at_end()
		try:
			milter.close()
		except LabError:
			return
	raise AssertionError("an error in a helper must be seen")


def test_postmap_postconf_reload():
	with Sink() as sink, Postfix(main={"relay_domains": "company.test",
	    "transport_maps": "lmdb:$config_directory/transport"}) as pf:
		pf.files["transport"] = "company.test smtp:%s\n" % sink.nexthop
		pf.write_config()
		pf.postmap("lmdb:transport")
		pf.start()
		assert pf.postconf("-h", "relay_domains").strip() == "company.test"
		send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE)
		sink.wait_one()
		pf.reload(relay_domains="other.test")
		assert send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE).code == 454


def test_restart_keeps_the_queue():
	with Sink(hook=refuse("mail", "421 4.3.0 closed")) as sink, relay(sink).start() as pf:
		send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE)
		pf.wait_log("status=deferred")
		pf.restart()
		sink.hook = None
		pf.flush()
		sink.wait_one()


def test_main_cf_fragment():
	assert parse_main_cf("# c\na = 1\nb = {\n  # no\n x,\n\ty }\n\na=2\n") == {"a": "2", "b": "{\n x,\n y }"}


# --- providers

def provider(relay, ca=None, client=None):
	"""An smtplib client of the relay, over TLS if it has a certificate."""
	if relay.security == "plain":
		return smtplib.SMTP("127.0.0.1", relay.port, timeout=10)
	context = ssl.create_default_context(cafile=ca.file)
	if client:
		context.load_cert_chain(client)
	if relay.security == "ssl":
		return smtplib.SMTP_SSL("localhost", relay.port, timeout=10, context=context)
	smtp = smtplib.SMTP("localhost", relay.port, timeout=10)
	try:
		smtp.starttls(context=context)
	except Exception:
		smtp.close()
		raise
	return smtp


def bearer(mechanism, user, token):
	if mechanism == "XOAUTH2":
		return "user=%s\1auth=Bearer %s\1\1" % (user, token)
	return "n,a=%s,\1host=h\1auth=Bearer %s\1\1" % (user, token)


@cases(("plain", "plain"), ("STARTTLS", "starttls"), ("implicit TLS", "ssl"))
def test_relay_login(ctx, security):
	ca = Authority(ctx.tmp)
	with Relay(security, ca.certificate("localhost"), users={"odoo": "secret"}) as relay:
		with provider(relay, ca) as smtp:
			smtp.login("odoo", "secret")
			smtp.sendmail("a@s.test", ["b@t.test"], MESSAGE)
		t = relay.wait_one()
		assert (t.auth, t.subject, bool(t.tls)) == ("odoo", None, security != "plain")
		assert [(l.mechanism, l.user, l.secret, l.ok) for l in relay.logins] == [("PLAIN", "odoo", "secret", True)]
		with provider(relay, ca) as smtp:
			smtp.ehlo()
			assert smtp.docmd("MAIL FROM:<a@s.test>")[0] == 530
		if security == "starttls":
			with smtplib.SMTP("localhost", relay.port, timeout=10) as smtp:
				smtp.ehlo()
				assert not smtp.has_extn("auth") and smtp.docmd("AUTH PLAIN AG9kb28Ac2VjcmV0")[0] == 538
		relay.answers["connect"] = "554 5.7.1 go away"
		try:
			provider(relay, ca)
		except smtplib.SMTPConnectError as e:
			assert e.smtp_code == 554
			return
		raise AssertionError("greeted")


@cases(
	("PLAIN", "AUTH PLAIN " + base64.b64encode(b"\0odoo\0secret").decode(), (), 235),
	("PLAIN in two", "AUTH PLAIN", ("\0odoo\0secret",), 235),
	("LOGIN", "AUTH LOGIN", ("odoo", "secret"), 235),
	("LOGIN with the user", "AUTH login b2Rvbw==", ("secret",), 235),
	("wrong password", "AUTH LOGIN", ("odoo", "Secret"), 535),
	("not base64", "AUTH PLAIN ?", (), 501),
	("cancelled", "AUTH LOGIN", (b"*",), 501),
	("incomplete", "AUTH PLAIN b2Rvbw==", (), 501),
	("not offered", "AUTH XOAUTH2 b2Rvbw==", (), 504))
def test_relay_auth_dialogue(first, rest, code):
	with Relay(users={"odoo": "secret"}) as relay, Client(relay.address) as c:
		assert c.extensions["AUTH"] == "PLAIN LOGIN"
		reply = c.cmd(first)
		for text in rest:
			assert reply.code == 334, reply
			reply = c.cmd(text if isinstance(text, bytes) else base64.b64encode(text.encode()))
		assert reply.code == code, reply
		assert [l.ok for l in relay.logins] == ([code == 235] if code in (235, 535) else [])


@cases(("XOAUTH2", "XOAUTH2"), ("OAUTHBEARER", "OAUTHBEARER"))
def test_relay_tokens(mechanism):
	with Relay(tokens=lambda user, token: (user, token) == ("odoo@t.test", "t0k")) as relay:
		for token, code in (("old", 535), ("t0k", 235)):
			with Client(relay.address) as c:
				text = base64.b64encode(bearer(mechanism, "odoo@t.test", token).encode()).decode()
				reply = c.cmd("AUTH %s %s" % (mechanism, text))
				if code == 535:
					assert reply.code == 334 and b'"401"' in base64.b64decode(reply.text)
					reply = c.cmd(b"AQ==")
				assert reply.code == code, reply
				assert c.send_mail("a@s.test", "b@t.test", MESSAGE).code == (250 if code == 235 else 530)
		assert [(l.secret, l.ok) for l in relay.logins] == [("old", False), ("t0k", True)]
		assert relay.wait_one().auth == "odoo@t.test"


@cases(
	("right", lambda ca: ca.certificate("localhost"), None),
	("wrong name", lambda ca: ca.certificate("mail.test"), "Hostname mismatch"),
	("address only", lambda ca: ca.certificate("127.0.0.1"), "Hostname mismatch"),
	("expired", lambda ca: ca.certificate("localhost", expired=True), "certificate has expired"),
	("self-signed", lambda ca: ca.self_signed("localhost"), "self-signed certificate"))
def test_relay_certificates(ctx, certificate, complaint):
	ca = Authority(ctx.tmp)
	for security in ("starttls", "ssl"):
		with Relay(security, certificate(ca)) as relay:
			try:
				with provider(relay, ca) as smtp:
					smtp.sendmail("a@s.test", ["b@t.test"], MESSAGE)
				assert complaint is None and relay.wait_one().tls == "TLSv1.3"
			except ssl.SSLCertVerificationError as e:
				assert complaint and complaint in str(e), e
				wait_until(lambda: relay.tls_failures, 5, "the client's complaint")


@cases(("none asked", False, False, True), ("asked, none", True, False, True), ("required, none", True, True, False))
def test_relay_without_client_certificate(ctx, asked, required, welcome):
	ca = Authority(ctx.tmp)
	with Relay("ssl", ca.certificate("localhost"), client_ca=ca.file if asked else None,
	    client_required=required) as relay:
		try:
			with provider(relay, ca) as smtp:
				smtp.sendmail("a@s.test", ["b@t.test"], MESSAGE)
			assert welcome and relay.wait_one().subject is None
		except (ssl.SSLError, ConnectionError, smtplib.SMTPServerDisconnected) as e:
			assert not welcome, e
			wait_until(lambda: relay.tls_failures, 5, "the relay's complaint")


def test_relay_with_client_certificate(ctx):
	ca = Authority(ctx.tmp)
	with Relay("starttls", ca.certificate("localhost"), client_ca=ca.file, client_required=True) as relay:
		with provider(relay, ca, ca.certificate("odoo.test")) as smtp:
			smtp.sendmail("a@s.test", ["b@t.test"], MESSAGE)
		assert relay.wait_one().subject == "odoo.test"


@cases(("cut", DROP), ("in clear", "500 what?"), ("hangs", HANG))
def test_relay_breaks_the_handshake(ctx, answer):
	ca = Authority(ctx.tmp)
	with Relay("ssl", ca.certificate("localhost"), answers={"handshake": answer}) as relay:
		context = ssl.create_default_context(cafile=ca.file)
		try:
			smtplib.SMTP_SSL("localhost", relay.port, timeout=0.5, context=context)
		except OSError as e:
			assert (answer is HANG) == isinstance(e, TimeoutError), e
			assert not relay.sessions
			return
	raise AssertionError("TLS all the same")


def test_relay_trouble_changes_while_it_runs():
	with Relay() as relay, Client(relay.address) as c:
		for stage, code in (("mail", 450), ("rcpt", 550), ("data", 451), ("eom", 552)):
			relay.answers = {stage: "%d 4.3.0 no" % code}
			assert c.send_mail("a@s.test", "b@t.test", MESSAGE).code == code
			c.rset()
		relay.answers = {"rcpt": lambda t, path: "550 5.1.1 no" if path.address.startswith("no") else None}
		r = c.send_mail("a@s.test", ["no@t.test", "b@t.test"], MESSAGE)
		assert [x.code for x in r.rcpts] == [550, 250] and relay.wait_one().recipients == ["b@t.test"]
		relay.answers = {"noop": DROP}
		c.send("NOOP\r\n")
		assert c.at_end()


def test_relay_port_closed_and_opened():
	with Relay() as relay:
		old = Client(relay.address)
		relay.close_port()
		try:
			Client(relay.address)
			raise AssertionError("not refused")
		except ConnectionRefusedError:
			pass
		assert old.cmd("NOOP").code == 250
		relay.open_port()
		with Client(relay.address) as c:
			assert c.cmd("NOOP").code == 250
		old.close()
		relay.close_port()


def test_map_server(ctx):
	def answer(name, key):
		return {"k": "a b", "later": MapServer.TEMP, "empty": ""}.get(key)
	for listen in (None, ctx.tmp + "/map.sock"):
		with MapServer(answer, listen) as maps, SocketmapClient(maps.address) as c:
			assert c.lookup("t", "k") == ("OK", "a b") and c.lookup("t", "empty") == ("OK", "")
			assert c.lookup("u", "no key") == ("NOTFOUND", "") and c.lookup("u", "later")[0] == "TEMP"
			assert maps.keys("u") == ["no key", "later"] and maps.wait("t", 2) == ["k", "empty"]


def test_map_server_in_the_queue_folder():
	with Sink() as sink, Postfix() as pf, MapServer(lambda name, key: "smtp:" + sink.nexthop,
	    pf.socket_path("map.sock")) as maps:
		pf.main.update(relay_domains="company.test", transport_maps=maps.table("routes"))
		pf.start()
		assert send_mail(pf.address(), "a@s.test", "b@company.test", MESSAGE).code == 250
		sink.wait_one()
		assert set(maps.keys("routes")) == {"*", "a@s.test", "b@company.test"}


# --- nothing may be left behind

def lab_traces(tmp):
	return [n for n in os.listdir(tmp) if n.startswith("pn")]


def processes_below(folder):
	found = []
	for pid in filter(str.isdigit, os.listdir("/proc")):
		try:
			with open("/proc/%s/cmdline" % pid, "rb") as f, open("/proc/%s/environ" % pid, "rb") as e:
				if folder.encode() in f.read() + e.read() or os.readlink("/proc/%s/cwd" % pid).startswith(folder):
					found.append(pid)
		except OSError:
			pass
	return found


DEMO = """\
import os, signal, sys, time
sys.path.insert(0, {lab!r})
from lab import *
sink = Sink()
pf = Postfix(main={{"relay_domains": "company.test", "relay_transport": "hang:"}},
    master=["hang unix - n n - - pipe user=nobody argv=/bin/sleep 600"]).start()
send_mail(pf.address(), "a@s.test", "b@company.test", "Subject: x\\n\\nx\\n")
pf.wait_log("qmgr.*queue active")
time.sleep(0.2)		# pipe(8) has started its command
print(pf.dir, flush=True)
{end}
"""


@cases(
	("return", "pass", None, 0),
	("exception", "raise KeyError", None, 1),
	("exit", "sys.exit(3)", None, 3),
	("SIGTERM", "time.sleep(60)", 15, 143),
	("SIGINT", "time.sleep(60)", 2, 130),
	("SIGHUP", "time.sleep(60)", 1, 129))
def test_nothing_is_left(ctx, end, sig, status):
	import subprocess
	script = ctx.tmp + "/demo.py"
	with open(script, "w") as f:
		f.write(DEMO.format(lab=ctx.path("tests/lab"), end=end))
	# a caller without a terminal may have left some of them ignored
	usual = lambda: [signal.signal(s, signal.SIG_DFL) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
	p = subprocess.Popen(["/usr/bin/python3", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
	    preexec_fn=usual)
	folder = p.stdout.readline().strip()
	assert folder
	if sig:
		assert processes_below(folder)
		p.send_signal(sig)
	p.wait(20)
	assert p.returncode % 256 in (status, (-sig if sig else 0) % 256), p.returncode
	assert not processes_below(folder)
	assert not os.path.exists(folder)
	p.stdout.close()


def test_killed_lab_leaves_nothing(ctx):
	import subprocess
	script = ctx.tmp + "/demo.py"
	with open(script, "w") as f:
		f.write(DEMO.format(lab=ctx.path("tests/lab"), end="time.sleep(60)").replace("relay_transport\": \"hang:",
		    "relay_transport\": \"discard:"))
	p = subprocess.Popen(["/usr/bin/python3", script], stdout=subprocess.PIPE, text=True)
	folder = p.stdout.readline().strip()
	p.kill()
	p.wait()
	p.stdout.close()
	wait_until(lambda: not processes_below(folder) and not os.path.exists(folder), 10, "Postfix outlives its lab")


BAD = """\
import os, subprocess, time
from lab import *
def test_good(): pass
def test_wrong(): assert 1 == 2, "one is two"
def test_returns(): return False
def test_exits(): os._exit(0)
def test_leaves_process(): subprocess.Popen(["sleep", "77"], start_new_session=True)
def test_leaves_file():
	import tempfile
	tempfile.mkdtemp()
@timeout(1)
def test_hangs(): time.sleep(50)
def test_shows_log():
	with Postfix().start() as pf, Client(pf.address()) as c:
		c.quit()
		pf.wait_log("disconnect")
		assert 0
def test_fatal():
	with Postfix(main={"smtpd_relay_restrictions": "permit"}).start() as pf:
		try:
			Client(pf.address(), timeout=0.5)
		except OSError:
			pass
		pf.wait_log("fatal:")
@cases(("a", 1), ("b", 2))
def test_rows(ctx, n): assert n == 1 and os.path.isdir(ctx.tmp)
"""


def test_runner_sees_what_is_wrong(ctx):
	def go(text, *args):
		path = ctx.tmp + "/test_bad.py"
		with open(path, "w") as f:
			f.write(text)
		return run("/usr/bin/python3", ctx.path("tests/lab/runner.py"), path, *args)
	r = go(BAD, "-j", "4")
	out = r.stdout
	assert r.returncode == 1 and out.endswith("2 passed, 9 failed\n"), out
	for text in ("ok   test_bad.test_good", "AssertionError: one is two", "a test asserts", "without a result",
	    "left running: sleep 77", "left behind: tmp", "timeout after 1 s", "| --- maillog", "disconnect from",
	    "Postfix complains", "FAIL test_bad.test_rows[b]", "ok   test_bad.test_rows[a]"):
		assert text in out, (text, out)
	for text, word in (("import nosuch\n", "No module named"), ("x = 1\n", "no test in"),
	    ("def test_a(): pass\ndef test_a(): pass\n", "defined twice"),
	    ("async def test_a(): pass\n", "would not run"), ("import sys\nsys.exit(0)\n", "SystemExit")):
		r = go(text)
		assert r.returncode == 1 and word in r.stdout and r.stdout.endswith("0 passed, 1 failed\n"), r.stdout
	assert go(BAD, "-k", "nothing_like_it").returncode == 1
	assert go(BAD, "-k", "test_good$").stdout.endswith("1 passed, 0 failed\n")


HANGS = """\
import time
from lab import *
def test_hangs():
	with Sink(), Postfix().start() as pf, Client(pf.address()):
		time.sleep(50)
def test_never_starts(): pass
"""


@cases(("SIGTERM", 15), ("SIGINT", 2), ("SIGKILL", 9))
def test_runner_is_killed(ctx, sig):
	import subprocess
	with open(ctx.tmp + "/test_hangs.py", "w") as f:
		f.write(HANGS)
	os.mkdir(ctx.tmp + "/t")
	os.chmod(ctx.tmp + "/t", 0o755)
	p = subprocess.Popen(["/usr/bin/python3", ctx.path("tests/lab/runner.py"), ctx.tmp + "/test_hangs.py"],
	    stdout=subprocess.PIPE, text=True, env=dict(os.environ, TMPDIR=ctx.tmp + "/t"))
	wait_until(lambda: processes_below(ctx.tmp + "/t/"), 10, "Postfix")
	time.sleep(0.2)
	p.send_signal(sig)
	out = p.communicate(timeout=20)[0]
	assert p.returncode == (-9 if sig == 9 else 1)
	assert sig == 9 or out.endswith("0 passed, 2 failed\n") and "interrupted before its start" in out, out
	wait_until(lambda: not processes_below(ctx.tmp + "/t/") and not os.listdir(ctx.tmp + "/t"), 10,
	    lambda: "left: %r %r" % (processes_below(ctx.tmp + "/t/"), os.listdir(ctx.tmp + "/t")))


def fake_program(ctx, name, text):
	path = ctx.tmp + "/" + name
	with open(path, "w") as f:
		f.write("#!/usr/bin/python3\nimport socket, sys, os, time, signal\n" + text)
	os.chmod(path, 0o755)
	return path


LISTEN = """\
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[2] + ".sock")
s.listen()
signal.signal(signal.SIGTERM, lambda *a: sys.exit(0))
"""


@cases(
	("good", LISTEN + "time.sleep(50)", None),
	("never listens", "sys.exit(2)", "ended with 2"),
	("report of a sanitizer", LISTEN + "sys.stderr.write('==1==ERROR: AddressSanitizer: x\\n'); time.sleep(50)",
	    "AddressSanitizer"),
	("dies", LISTEN + "time.sleep(0.3); os._exit(9)", "died by itself with 9"),
	("bad status", LISTEN.replace("exit(0)", "exit(5)") + "time.sleep(50)", "exit status 5"),
	("deaf", LISTEN + "signal.signal(15, signal.SIG_IGN); time.sleep(50)", "does not stop"))
def test_program_under_test(ctx, text, complaint):
	binary = fake_program(ctx, "daemon", text)
	try:
		p = MilterProcess(binary, ctx.tmp + "/conf", ctx.tmp + "/conf.sock", patience=0.5)
		time.sleep(0.5)
		p.close()
	except LabError as e:
		assert complaint and complaint in str(e), e
		return
	assert complaint is None
