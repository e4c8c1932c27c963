"""Mail that comes in is verified: what is told of it, and what becomes of it."""

import socket
import threading
import time

from checked import *

SPF = [
	("pass", "plain.test", GOOD, ["spf=pass", "dkim=none", "dmarc=none"]),
	("fail", "plain.test", BAD, ["spf=fail", "dkim=none", "dmarc=none"]),
	("softfail", "soft.test", BAD, ["spf=softfail", "dkim=none", "dmarc=none"]),
	("neutral", "neutral.test", BAD, ["spf=neutral", "dkim=none", "dmarc=none"]),
	("none", "nothing.test", BAD, ["spf=none", "dkim=none", "dmarc=none"]),
	("permerror", "twice.test", BAD, ["spf=permerror", "dkim=none", "dmarc=none"]),
	("temperror", "broken.test", BAD, ["spf=temperror", "dkim=none", "dmarc=temperror"]),
	("DMARC passes", "reject.test", GOOD, ["spf=pass", "dkim=none", "dmarc=pass"]),
	("DMARC fails", "reject.test", BAD, ["spf=fail", "dkim=none", "dmarc=fail"]),
]


def test_spf_and_dmarc(ctx):
	with Checked(ctx) as g:
		for name, domain, source, want in SPF:
			assert g.results(g.from_(domain, source)) == want, name


def test_envelope_and_header(ctx):
	"""SPF is of the envelope, DMARC of the header; of the null sender the HELO name is asked for."""
	with Checked(ctx) as g:
		assert g.results(g.from_("reject.test", BAD, sender="x@evil.test")) == ["spf=pass", "dkim=none", "dmarc=fail"]
		bounce = g.from_("reject.test", GOOD, sender="", helo="host.reject.test")
		assert g.results(bounce) == ["spf=pass", "dkim=none", "dmarc=pass"]
		assert "smtp.helo=host.reject.test" in g.arrived(bounce).headers(AR)[0]
		assert g.results(g.from_("reject.test", BAD, sender="", helo="host.reject.test"))[0] == "spf=fail"
		assert g.results(g.from_("strict.test", sender="x@sub.strict.test"))[2] == "dmarc=fail"


def test_signatures(ctx):
	"""Every canonicalisation and both algorithms; and what we do to a mail breaks none of them."""
	keys = [Key(ctx, "rsa"), Key(ctx, "ed25519")]
	records = {k.kind: k.record.encode() for k in keys}
	odd = " odd\tsubject \n\t with folds "
	body = "Zeile  mit Leerzeichen \t\n\n.\n..zwei\n\xe4\xf6 \n" + "x" * 990 + "\n\n\n"
	with Checked(ctx, more_zone="".join(k.line() for k in keys)) as g:
		for canon in CANONS:
			for key in keys:
				plain = mail("sales", "Ann  <ann@reject.test>", subject=odd, body=body, extra="X-Long: " + "word " * 30)
				signed = key.sign(plain.encode("latin-1"), canon=canon)
				r = g.from_("reject.test", BAD, message=signed, mail_params=["BODY=8BITMIME"])
				t = g.arrived(r)
				assert told(t) == ["spf=fail", "dkim=pass", "dmarc=pass"], (canon, key.kind, t.headers(AR))
				assert dkim.verify(t.message, dnsfunc=lambda name, timeout=5: records[key.kind]), (canon, t.message)
				bad = signed.replace(b"zwei", b"drei")
				assert g.results(g.from_("reject.test", BAD, message=bad))[1:] == ["dkim=fail", "dmarc=fail"], canon


def test_where_a_value_begins(ctx):
	"""The bytes behind the colon are signed by "simple", whatever they are."""
	key = Key(ctx, "ed25519")
	with Checked(ctx, more_zone=key.line()) as g:
		for subject in ("Subject:x", "Subject:  x", "Subject:\tx", "Subject:\n x", "subJECT:x\n\ty ", "Subject:", "Subject: "):
			signed = key.sign("From:ann@reject.test\nTo:sales@acme.example\n%s\n\nx\n" % subject, canon="simple/simple")
			t = g.arrived(g.from_("reject.test", BAD, message=signed))
			assert told(t)[1] == "dkim=pass", (subject, t.headers(AR))
			assert dkim.verify(t.message, dnsfunc=lambda name, timeout=5: key.record.encode()), (subject, t.message)


def test_several_signatures(ctx):
	"""A broken one beside a good one, one that cannot be asked for, one of another domain."""
	key = Key(ctx, "ed25519")
	with Checked(ctx, more_zone=key.line() + key.line("evil")) as g:
		good = key.sign(mail("sales", "ann@reject.test"))
		broken = key.sign(good, selector="gone")
		lost = key.sign(broken, "broken.example")
		mixed = key.sign(lost, "evil.test")
		assert g.results(g.from_("reject.test", BAD, message=mixed)) == ["spf=fail", "dkim=pass", "dkim=temperror",
		    "dkim=permerror", "dkim=pass", "dmarc=pass"]


def test_bdat_and_size(ctx):
	"""A large body, in chunks too; several mails over one connection, one of them left in its middle."""
	key = Key(ctx)
	with Checked(ctx, more_zone=key.line()) as g:
		big = key.sign(mail("sales", "ann@reject.test", body="0123456789 abcdef\n" * 200000))
		with Client(g.pf.address(), source=BAD) as c:
			for bdat in (True, False):
				r = c.send_mail("ann@reject.test", ["sales@acme.example"], big, bdat=bdat)
				assert r.code == 250 and g.results(r) == ["spf=fail", "dkim=pass", "dmarc=pass"]
			r = c.send_mail("ann@reject.test", ["sales@acme.example"], mail("sales", "ann@reject.test"))
			assert g.results(r) == ["spf=fail", "dkim=none", "dmarc=fail"]
			c.mail("ann@reject.test"), c.rcpt("sales@acme.example"), c.cmd("DATA")
			c.send(crlf(big)[:1000000])
			c.abort()
		assert g.results(g.from_("reject.test"))[2] == "dmarc=pass"


def test_smtputf8(ctx):
	with Checked(ctx, more_zone=txt("xn--bcher-kva", "v=spf1 ip4:%s -all" % GOOD)
	    + txt("_dmarc.xn--bcher-kva", "v=DMARC1; p=reject")) as g:
		r = g.from_("bücher.test", sender="jö@bücher.test", message=mail("sales", "Jö <jö@bücher.test>"),
		    mail_params=["SMTPUTF8"])
		assert g.results(r) == ["spf=pass", "dkim=none", "dmarc=pass"]
		assert "header.from=xn--bcher-kva.test" in g.arrived(r).headers(AR)[0]


# --- the field

def test_forged_fields(ctx):
	"""Those of our name go, however they are spelled; other programs' stay in their order."""
	forged = ["%s: " + SERV_ID + "; dmarc=pass", "%s: (x) " + SERV_ID + " 1; dmarc=pass",
	    "%s:\n\t" + SERV_ID + "\n ; dmarc=pass", "%s:" + SERV_ID.upper() + "; dmarc=pass", '%s: "' + SERV_ID + '"; dmarc=pass',
	    "%s: postern.mx. lab.test; dmarc=pass", "%s: (a(b)c)" + SERV_ID + ".; dmarc=pass"]
	others = ["one.test; spf=fail", "two.test; dkim=pass header.d=two.test", "x" + SERV_ID + "; spf=none"]
	extra = ""
	for i, line in enumerate(forged):
		extra += line % (AR, AR.lower(), "AUTHENTICATION-results")[i % 3] + "\n"
		if i < len(others):
			extra += "%s: %s\n" % (AR, others[i])
	with Checked(ctx) as g:
		t = g.arrived(g.from_("reject.test", BAD, message=mail("sales", "ann@reject.test", extra=extra)))
		assert told(t)[2] == "dmarc=fail"
		assert t.headers(AR)[1:] == others, t.header_text


def test_forged_name_with_a_blank(ctx):
	"""Postfix takes "Name :" for the same name."""
	extra = "%s : %s; dmarc=pass\n%s\t: %s; dmarc=pass" % (AR, SERV_ID, AR, SERV_ID)
	with Checked(ctx) as g:
		t = g.arrived(g.from_("reject.test", BAD, message=mail("sales", "ann@reject.test", extra=extra)))
		assert t.header_text.count(SERV_ID) == 1, t.header_text


def test_a_flood_of_forged_fields(ctx):
	with Checked(ctx) as g:
		def flood(n):
			extra = "%s: %s; dmarc=pass\n" % (AR, SERV_ID) * n
			return g.from_("reject.test", message=mail("sales", "ann@reject.test", extra=extra))
		assert g.results(flood(20))[2] == "dmarc=pass"
		assert answer(flood(21)) == (550, "5.6.0")
		started = time.monotonic()
		assert answer(flood(3000)) == (550, "5.6.0")
		assert time.monotonic() - started < 5


def test_values_forge_nothing(ctx):
	with Checked(ctx) as g:
		for sender in ('"x; dmarc=pass header.from=reject.test"@evil.test', '"a\\"; dmarc=pass;"@evil.test'):
			assert g.results(g.from_("reject.test", BAD, sender=sender)) == ["spf=pass", "dkim=none", "dmarc=fail"]
		r = g.from_("reject.test", BAD, sender="", helo="x;dmarc=pass")
		assert g.results(r) == ["spf=none", "dkim=none", "dmarc=fail"]


def test_more_header_than_is_read(ctx):
	"""Nobody knows its author; forged fields go all the same, and what wants proof is closed."""
	padding = "".join("X-%d: %s\n" % (i, "x" * 900) for i in range(320))
	forged = "%s: %s; dmarc=pass\n" % (AR, SERV_ID)
	message = mail("sales", "ann@reject.test", extra=forged + padding + forged)
	members = message.replace("To: sales@", "To: members@")
	with Checked(ctx, more=MEMBERS) as g:
		assert g.results(g.from_("reject.test", message=message)) == ["spf=pass", "dmarc=none"]
		assert g.from_("reject.test", to="members", message=members).code == 250
		g.reload(gateway=g.parts["gateway"] + "\n\trequire_dmarc = contacts")
		assert answer(g.from_("reject.test", to="members", message=members)) == (550, "5.7.1")
		g.dmarc = "enforce"
		g.reload(gateway=g.parts["gateway"].replace("require_dmarc = contacts", ""))
		assert answer(g.from_("reject.test", message=message)) == (550, "5.7.1")


def test_more_header_than_is_read_from_our_own(ctx):
	"""What is not verified is not believed either."""
	padding = "".join("X-%d: %s\n" % (i, "x" * 900) for i in range(320))
	forged = "%s: %s; dmarc=pass header.from=reject.test\n" % (AR, SERV_ID)
	message = mail("sales", "jo@acme.example", extra=forged + padding + forged)
	with Checked(ctx, submission=True) as g:
		assert not g.arrived(g.submit(["sales@acme.example"], message)).headers(AR)


# --- what becomes of it

MEMBERS = 'alias "members@acme.example" { model = crm.lead  gateway = "acme"  contact = partners }\n' \
    'alias "pay@acme.example" { model = crm.lead  gateway = "acme"  require_dmarc = yes }\n'


def test_obedience(ctx):
	"""dmarc = off, mark and enforce, over one running milter."""
	with Checked(ctx, dmarc="off") as g:
		with Client(g.pf.address(), source=BAD) as early:
			assert not g.arrived(g.from_("reject.test", BAD)).headers(AR)
			g.dmarc = "mark"
			g.reload()
			for domain in ("none.test", "quarantine.test", "reject.test"):
				assert g.results(g.from_(domain, BAD))[2] == "dmarc=fail"
			# a session from before
			r = early.send_mail("ann@reject.test", ["sales@acme.example"], mail("sales", "ann@reject.test"))
			assert g.results(r) == ["spf=fail", "dkim=none", "dmarc=fail"]
		g.dmarc = "enforce"
		g.reload(top="dmarc_quarantine = mark")
		assert answer(g.from_("reject.test", BAD)) == (550, "5.7.1")
		assert "reject.test" in g.from_("reject.test", BAD).final.text
		for domain in ("none.test", "quarantine.test"):
			assert g.results(g.from_(domain, BAD))[2] == "dmarc=fail"
		for domain in ("reject.test", "quarantine.test"):
			assert g.results(g.from_(domain))[2] == "dmarc=pass"
		g.reload(top="dmarc_quarantine = refuse")
		assert answer(g.from_("quarantine.test", BAD)) == (550, "5.7.1")
		g.reload(top="dmarc_quarantine = hold")
		r = g.from_("quarantine.test", BAD)
		assert r.code == 250
		assert [m for m in g.pf.queue() if m["queue_id"] == r.queue_id][0]["queue_name"] == "hold"
		g.pf.postsuper("-d", r.queue_id)


def test_exempt(ctx):
	listed = mail("sales", "ann@reject.test", extra="List-Id: <l.test>")
	with Checked(ctx, dmarc="enforce", top='dmarc_forwarders = {"%s"}' % FORWARDER) as g:
		assert g.results(g.from_("reject.test", FORWARDER))[2] == "dmarc=fail"
		assert answer(g.from_("reject.test", BAD, message=listed)) == (550, "5.7.1")
		g.reload(top="dmarc_exempt_lists = yes")
		assert g.results(g.from_("reject.test", BAD, message=listed))[2] == "dmarc=fail"
		assert answer(g.from_("reject.test", BAD)) == (550, "5.7.1")


def test_our_own_are_not_asked(ctx):
	"""Who has logged in, and sendmail(1)."""
	with Checked(ctx, dmarc="enforce", gateway="require_dmarc = all", submission=True) as g:
		assert answer(g.from_("reject.test", BAD)) == (550, "5.7.1")
		t = g.arrived(g.submit(["sales@acme.example"], mail("sales", "jo@reject.test")))
		assert not t.headers(AR)
		g.odoo.clear()
		g.pf.sendmail(["-f", "x@reject.test", "sales@acme.example"], mail("sales", "jo@reject.test"))
		assert not g.odoo.wait_one().headers(AR)


def test_who_may_write(ctx):
	"""A spoofed partner does not write to an alias for partners, by whatever way."""
	with Checked(ctx, gateway="require_dmarc = contacts", more=MEMBERS + BETA) as g:
		def spoof(to, message=None, **options):
			return answer(g.from_("reject.test", BAD, to=to, message=message, **options))
		assert g.from_("reject.test", to="members").code == 250
		assert g.from_("reject.test", BAD).code == 250
		assert spoof("members") == (550, "5.7.1")
		assert spoof("MEMBERS@Acme.Example") == (550, "5.7.1")
		assert spoof(["sales", "members"]) == (550, "5.7.1")
		# only the header names it
		assert spoof("sales", mail(["sales", "members"], "ann@reject.test")) == (550, "5.7.1")
		# beside another gateway's recipient
		assert spoof(["members", "shop@beta.example"]) == (550, "5.7.1")
		assert spoof("pay") == (550, "5.7.1")
		# the author has no record at all, or there is none
		assert answer(g.from_("plain.test", to="members")) == (550, "5.7.1")
		assert answer(g.from_("plain.test", to="members", message=mail("members", ""))) == (550, "5.7.1")
		g.idle()
		assert not [m for m in g.odoo.messages if m.header("To").startswith("members") and "dmarc=pass" not in m.header(AR)]


def test_who_may_write_in_a_mixed_domain(ctx):
	with Checked(ctx, gateway="require_dmarc = contacts", more=MEMBERS, domains=MIXED) as g:
		assert answer(g.from_("reject.test", BAD, to=["joe", "members"])) == (550, "5.7.1")
		assert answer(g.from_("reject.test", BAD, to=["members", "joe"])) == (550, "5.7.1")
		r = g.from_("reject.test", to=["members", "joe"])
		assert g.results(r)[2] == g.results(r, g.people)[2] == "dmarc=pass"
		assert g.results(g.from_("reject.test", BAD, to=["joe"]), g.people)[2] == "dmarc=fail"


def test_all_of_a_gateway(ctx):
	with Checked(ctx, gateway="require_dmarc = all", more=BETA) as g:
		assert answer(g.from_("plain.test")) == (550, "5.7.1")
		assert answer(g.from_("plain.test", to=["sales", "shop@beta.example"])) == (550, "5.7.1")
		assert g.from_("plain.test", to="shop@beta.example").code == 250
		assert g.results(g.from_("reject.test"))[2] == "dmarc=pass"


def test_enforced_for_all_recipients(ctx):
	"""A recipient more opens nothing."""
	with Checked(ctx, dmarc="enforce", more=BETA, domains=MIXED) as g:
		for to in (["sales", "shop@beta.example"], ["sales", "joe"], ["joe", "sales"]):
			assert answer(g.from_("reject.test", BAD, to=to)) == (550, "5.7.1"), to
		r = g.from_("quarantine.test", BAD, to=["sales", "joe"])
		assert [m for m in g.pf.queue() if m["queue_id"] == r.queue_id][0]["queue_name"] == "hold"
		g.pf.postsuper("-d", r.queue_id)


# --- behind other hosts

def hop(address, helo="h.test"):
	return "Received: from %s (x.test [%s])\n\tby mx2.test (Postfix) with ESMTP id 1; Mon, 6 Jul 2026 10:00:00 +0000\n" % (
	    helo, address)


def test_trusted_relays(ctx):
	with Checked(ctx, dmarc="enforce", gateway="require_dmarc = all", top='trusted_relays = {"%s"}' % RELAY) as g:
		def relayed(above, source=RELAY):
			return g.from_("reject.test", source, message=above + mail("sales", "ann@reject.test"))
		assert g.results(relayed(hop(GOOD_BEHIND))) == ["spf=pass", "dkim=none", "dmarc=pass"]
		assert g.results(relayed(hop(RELAY) + hop(GOOD_BEHIND)))[2] == "dmarc=pass"
		assert answer(relayed(hop(BAD_BEHIND))) == (550, "5.7.1")
		assert answer(relayed(hop(BAD_BEHIND) + hop(GOOD_BEHIND))) == (550, "5.7.1")
		for odd in ("", "Received: by mx2.test; x\n" + hop(GOOD_BEHIND), hop("::1"), hop(GOOD_BEHIND, "([%s])" % BAD_BEHIND)):
			r = relayed(odd)
			assert g.results(r) == ["spf=none", "dkim=none", "dmarc=fail"], odd
			assert "client=unknown" in g.line(r.queue_id), odd
		# not from there
		assert answer(relayed(hop(GOOD_BEHIND), BAD)) == (550, "5.7.1")
		g.reload(gateway=g.parts["gateway"].replace("require_dmarc = all", ""))
		assert g.results(relayed(hop(BAD_BEHIND)))[2] == "dmarc=fail"
		assert answer(relayed(hop(GOOD_BEHIND), BAD)) == (550, "5.7.1")


def test_results_of_an_earlier_filter(ctx):
	"""A milter before us; what others wrote under its name is its own to remove."""
	message = mail("sales", "ann@reject.test", extra="%s: elsewhere.test; dkim=pass header.d=none.test" % AR)
	with Checked(ctx, dmarc="enforce", top='trust_authserv = {"filter.test"}') as g:
		told_before = "%s: filter.test; spf=fail smtp.mailfrom=x@evil.test; dkim=pass header.d=reject.test\n" % AR
		r = g.from_("reject.test", BAD, message=told_before + message)
		assert g.results(r) == ["spf=fail", "dkim=pass", "dmarc=pass"]
		t = g.arrived(r)
		assert "smtp.mailfrom=x@evil.test" in t.headers(AR)[0] and len(t.headers(AR)) == 3
		assert "results_of=filter.test" in g.line(r.queue_id)
		assert answer(g.from_("reject.test", BAD, message=message)) == (550, "5.7.1")
		g.reload(top='trust_authserv = {"filter.test"}\ntrusted_relays = {"%s"}' % RELAY)
		assert answer(g.from_("reject.test", BAD, message=told_before + message)) == (550, "5.7.1")
		assert g.results(g.from_("reject.test", RELAY, message=told_before + hop(BAD_BEHIND) + message))[2] == "dmarc=pass"


def test_a_milter_before_us(ctx):
	header = (AR, "filter.test; spf=fail smtp.mailfrom=x@evil.test; dkim=pass header.d=reject.test")
	with Milter(None, AddHeader, header=header) as first, Checked(ctx, dmarc="enforce", before=[first],
	    top='trust_authserv = {"filter.test"}') as g:
		assert g.results(g.from_("reject.test", BAD)) == ["spf=fail", "dkim=pass", "dmarc=pass"]


def test_client_not_known(ctx):
	"""Nobody is refused for that; no SMTP client of Postfix looks like this, so the milter is told directly."""
	with Checked(ctx, dmarc="enforce", gateway="require_dmarc = all") as g:
		def told_by(family):
			c = MilterClient(g.parts["milter"])
			c.connect("unknown", BAD, family=family)
			c.helo("h.test")
			c.mail("ann@reject.test", macros={"{mail_mailer}": "smtp"})
			c.rcpt("sales@acme.example")
			for name, value in (("From", " ann@reject.test"), ("To", " sales@acme.example")):
				c.header(name, value)
			c.eoh()
			verdict = c.eom(macros={"i": "1"})
			c.close()
			return verdict
		verdict = told_by("U")
		assert verdict.kind in ("accept", "continue"), verdict
		assert "spf=none" in verdict.headers(AR)[0] and "dmarc=fail" in verdict.headers(AR)[0], verdict.headers(AR)
		verdict = told_by("4")
		assert verdict.code == 550, verdict


# --- attacks that are put together from what each part takes for valid

def attacks(key):
	"""(name, MAIL FROM, HELO, message): each wants a reader to see victim reject.test, proven by evil.test."""
	def signed(lines, domain="evil.test"):
		return key.sign(lines + "To: sales@acme.example\nSubject: x\n\nHello.\n", domain, headers=(b"from", b"subject"))
	froms = [
		("two addresses", "From: <x@evil.test>, <ceo@reject.test>"),
		("a line separator", "From: \"ceo@reject.test\"\u2028]<x@evil.test>"),
		("a control of Latin-1", "From: \"ceo@reject.test\u0080\"]<x@evil.test>"),
		("half an encoded word", "From: ceo=?utf-8?b?QHJlamVjdC50ZXN0?=, x@evil.test"),
		("two addresses, turned", "From: <ceo@reject.test>, <x@evil.test>"),
		("two fields", "From: x@evil.test\nFrom: ceo@reject.test"),
		("two fields, turned", "From: ceo@reject.test\nFrom: x@evil.test"),
		("two spellings", "FROM: x@evil.test\nfrom: ceo@reject.test"),
		("a blank before the colon", "From : ceo@reject.test\nFrom: x@evil.test"),
		("a group", "From: ceo@reject.test:x@evil.test;"),
		("a name like an address", "From: ceo@reject.test <x@evil.test>"),
		("a quoted name like an address", 'From: "<ceo@reject.test>" <x@evil.test>'),
		("an encoded name like an address", "From: =?utf-8?b?PGNlb0ByZWplY3QudGVzdD4=?= <x@evil.test>"),
		("an encoded address", "From: =?utf-8?b?Y2VvQHJlamVjdC50ZXN0?=, x@evil.test"),
		("a comment", "From: (<ceo@reject.test>) x@evil.test"),
		("a comment between", "From: ceo@reject.test(x)@evil.test"),
		("a comment behind", "From: <ceo@reject.test> (x@evil.test)"),
		("two pairs of brackets", "From: <ceo@reject.test><x@evil.test>"),
		("brackets in brackets", "From: <<ceo@reject.test>x@evil.test>"),
		("a route", "From: <@reject.test,@x.test:x@evil.test>"),
		("a quoted local part", 'From: "ceo@reject.test,x"@evil.test'),
		("two ats", "From: ceo@reject.test@evil.test"),
		("folded", "From:\n ceo@reject.test\n ,x@evil.test"),
		("with a Sender", "Sender: x@evil.test\nFrom: ceo@reject.test"),
		("Resent", "Resent-From: x@evil.test\nFrom: ceo@reject.test"),
		("a domain like it", "From: ceo@reject.test.evil.test"),
		("a long line", "From: " + " " * 900 + "ceo@reject.test, x@evil.test"),
	]
	for name, lines in froms:
		yield name, "x@evil.test", "evil.test", signed(lines + "\n")
	victim = "From: ceo@reject.test\n"
	yield "HELO of another, a sender without domain", "ceo", "evil.test", signed(victim)
	yield "HELO of another, the null sender", "", "evil.test", signed(victim)
	yield "a sender of two", '"ceo@reject.test"@evil.test', "evil.test", signed(victim)
	yield "HELO like the victim", "x@evil.test", "reject.test", signed(victim)
	yield "a field above the signature", "x@evil.test", "evil.test", victim.encode().replace(b"\n", b"\r\n") + signed(
	    "From: x@evil.test\n")
	yield "d= with a tail", "x@evil.test", "evil.test", signed(victim).replace(b"d=evil.test", b"d=reject.test.evil.test")
	yield "d= of the victim", "x@evil.test", "evil.test", signed(victim).replace(b"d=evil.test", b"d=reject.test")
	yield "i= of the victim", "x@evil.test", "evil.test", signed(victim).replace(b"d=evil.test;", b"d=evil.test; i=ceo@reject.test;")
	yield "d= above all", "x@evil.test", "evil.test", signed(victim).replace(b"d=evil.test", b"d=test")
	yield "s= with a path", "x@evil.test", "evil.test", signed(victim).replace(
	    b"s=ed25519", b"s=ed25519._domainkey.evil.test.\x01")
	yield "a NUL", "x@evil.test", "evil.test", signed("From: ceo@reject.test\0@evil.test\n")


def test_composed_attacks(ctx):
	key = Key(ctx, "ed25519")
	with Checked(ctx, more_zone=key.line("evil"), gateway="require_dmarc = contacts", more=MEMBERS,
	    main={"message_reject_characters": "", "message_strip_characters": ""}) as g:
		passed = []
		for name, sender, helo, message in attacks(key):
			control = name == "a domain like it"	# a name of evil.test's own: proven, and nobody's else
			r = g.send(message=message, sender=sender, source=BAD, helo=helo)
			assert r.code in (250, 550), (name, r)
			if r.code == 250:
				ours = g.arrived(r).headers(AR)[0]
				# what readers see is the victim's, so a pass of evil.test is no better
				if ("dmarc=pass" in ours) != control:
					passed.append((name, ours))
			closed = g.send("members", message.replace(b"To: sales@", b"To: members@"), sender=sender, source=BAD, helo=helo)
			if (closed.code == 250) != control:
				passed.append((name, closed))
		assert not passed, passed


# --- the DNS fails

def test_servfail(ctx):
	"""What hangs on the answer waits, or is handed over as configured."""
	with Checked(ctx, dmarc="enforce", gateway="require_dmarc = contacts", more=MEMBERS) as g:
		assert answer(g.from_("broken.test", to="members")) == (451, "4.7.0")
		assert answer(g.from_("broken.test")) == (451, "4.7.0")
		assert g.results(g.from_("plain.test"))[2] == "dmarc=none"
		g.reload(top="auth_trouble = hand_over")
		assert g.results(g.from_("broken.test", to="members"))[2] == "dmarc=temperror"
		assert g.results(g.from_("broken.test"))[2] == "dmarc=temperror"
		g.dmarc = "mark"
		g.reload(top="auth_trouble = defer")
		assert g.results(g.from_("broken.test")) == ["spf=temperror", "dkim=none", "dmarc=temperror"]


@cases(("down", False), ("silent", True))
def test_no_resolver(ctx, silent):
	"""One budget for all questions, and every mail arrives."""
	with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
		s.bind(("127.0.0.1", 0 if silent else free_port()))
		port = s.getsockname()[1]
		if not silent:
			s.close()
		key = Key(ctx, "ed25519")
		signed = mail("sales", "ann@reject.test")
		for i in range(8):
			signed = key.sign(signed, "reject%d.test" % i)
		with Checked(ctx, top="dns_budget = 2s\ndns_timeout = 1s", start=False) as g:
			g.dns = 'dns_servers = {"127.0.0.1@%d"}\n' % port
			g.write_conf()
			g.start()
			started = time.monotonic()
			results = g.results(g.from_("reject.test", message=signed))
			assert time.monotonic() - started < 4
			assert results == ["spf=temperror"] + ["dkim=temperror"] * 8 + ["dmarc=temperror"]


def test_a_resolver_comes_back(ctx):
	with Checked(ctx, dmarc="enforce", top="dns_budget = 2s\ndns_timeout = 1s") as g:
		g.ns.stop()
		assert answer(g.from_("reject.test")) == (451, "4.7.0")
		g.ns.start()
		assert g.results(g.from_("strict.test"))[2] == "dmarc=pass"


class Liar:
	"""A server that answers each question by `answer(id, question)`, which gives bytes."""

	def __init__(self, answer):
		self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		self.s.bind(("127.0.0.1", 0))
		self.address = "127.0.0.1@%d" % self.s.getsockname()[1]
		self.answer, self.asked, self.closing = answer, 0, False
		self.thread = threading.Thread(target=self.run)
		self.thread.start()

	def run(self):
		while True:
			data, peer = self.s.recvfrom(4096)
			if self.closing:
				return
			self.asked += 1
			for packet in self.answer(data[:2], data[12:]):
				self.s.sendto(packet, peer)

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		self.closing = True
		with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
			s.sendto(b"end", ("127.0.0.1", int(self.address.partition("@")[2])))
		self.thread.join()
		self.s.close()


def test_a_lying_resolver(ctx):
	"""Answers to other questions, with other ids, cut in the middle, or of rubbish: temporary errors, nothing worse."""
	yes = bytes.fromhex("c00c00100001000000050017") + b"\x16v=spf1 ip4:127.0.0.0/8"
	question = b"\4evil\4test\0\0\20\0\1"
	def lie(ident, asked):
		other = bytes([ident[0] ^ 1, ident[1]])
		end = asked.index(b"\0") + 5
		head = b"\x81\x80\0\1\0\1\0\0\0\0"
		yield other + head + asked[:end] + yes
		yield ident + head + question + yes
		yield ident + head + asked[:end] + yes[:-5]
		yield ident + head + asked[:end] + b"\xc0\x0c" * 50
		yield ident + b"\xff" * 30
		yield ident
	with Liar(lie) as liar, Checked(ctx, top="dns_budget = 2s\ndns_timeout = 1s", start=False) as g:
		g.dns = 'dns_servers = {"%s"}\n' % liar.address
		g.write_conf()
		g.start()
		started = time.monotonic()
		assert g.results(g.from_("reject.test", BAD)) == ["spf=temperror", "dkim=none", "dmarc=temperror"]
		assert time.monotonic() - started < 5 and liar.asked
