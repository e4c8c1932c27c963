"""Outbound mail through submission: which relay takes it, under which sender, and what it carries."""

import email
import email.header
import time

from outbound import *

JO = "Jo <jo@acme.example>"
ENCAPSULATED = '"Jo" <notifications@acme.example>'


def header_from(t):
	"""The From as a reader sees it."""
	values = email.message_from_string(t.header_text).get_all("From")
	assert len(values) == 1, values
	return str(email.header.make_header(email.header.decode_header(" ".join(values[0].split()))))


# Postfix gives a local client's mail a From, and takes out Bcc and Return-Path by itself.
AS_IT_CAME = {"local_header_rewrite_clients": "", "message_drop_headers": ""}


# --- whose From leaves by which relay

STEPS = [
	("1a: the address", ["ceo@acme.example", "acme.example"], "Ceo <ceo@acme.example>", 0, None, "ceo@acme.example"),
	("1a comes before 1b", ["acme.example", "ceo@acme.example"], "CEO@acme.example", 1, None, "CEO@acme.example"),
	("1b: the domain", ["beta.example", "acme.example"], JO, 1, None, BOUNCE),
	("1b: of several entries", ["beta.example", "gamma.example, acme.example"], JO, 1, None, BOUNCE),
	("no subdomains", ["acme.example", "sub.acme.example"], "Jo <jo@a.sub.acme.example>", 0, ENCAPSULATED, BOUNCE),
	("2a: the notification address", ["acme.example", NOTIFICATIONS], "Jo <jo@else.test>", 1, ENCAPSULATED,
	    NOTIFICATIONS),
	("2b: its domain", ["beta.example", "acme.example"], "Jo <jo@else.test>", 1, ENCAPSULATED, BOUNCE),
	("3: no filter", ["beta.example", None], "Jo <jo@else.test>", 1, ENCAPSULATED, BOUNCE),
	("3: no filter, ours", ["beta.example", None], JO, 1, ENCAPSULATED, BOUNCE),
	("4: any", ["beta.example", "gamma.example"], "Jo <jo@else.test>", 0, ENCAPSULATED, NOTIFICATIONS),
]


@cases(*STEPS)
def test_steps(ctx, filters, frm, which, new_from, envelope):
	accounts = {"r%d" % i: of(*(f.split(", ") if f else ())) for i, f in enumerate(filters)}
	with Outbound(ctx, accounts) as g:
		name, t = g.leaves(frm)
		assert (name, t.sender) == ("r%d" % which, envelope), (name, t.sender)
		assert header_from(t) == (new_from or frm), t.header("From")
		g.idle()
		assert sum(len(a.server.messages) for a in accounts.values()) == 1 and not g.world.messages


LONG = "Zoë " + "Ünïcødé Næme " * 40

FROMS = [
	("an encoded name stays", "=?utf-8?q?J=C3=B6?= <jo@acme.example>", "acme", "Jö <jo@acme.example>"),
	("an encoded name goes along", "=?utf-8?q?J=C3=B6?= <jo@else.test>", "acme", "Jö <notifications@acme.example>"),
	("raw UTF-8 in a name", "Jö <jo@else.test>", "acme", "Jö <notifications@acme.example>"),
	("no name", "jo@else.test", "acme", '"jo" <notifications@acme.example>'),
	("a quoted name", '"Last, \\"Jo\\"" <jo@else.test>', "acme", '"Last, \\"Jo\\"" <notifications@acme.example>'),
	("a long one", LONG.strip() + " <jo@else.test>", "acme", LONG.strip() + " <notifications@acme.example>"),
	("nothing in it", "", "acme", NOTIFICATIONS),
	("no From", None, "acme", NOTIFICATIONS),
	("several addresses", "Jo <jo@beta.example>, ann@beta.example", "acme", None),
	("a group", "friends: jo@beta.example;", "beta", None),
	("no address", "Jo", "acme", None),
	("a domain in Unicode", "Jo <jo@bücher.example>", "acme", ENCAPSULATED),
	("its filter in Unicode", "Jo <jo@müller.example>", "beta", None),
]


def test_froms(ctx):
	wrong = []
	accounts = {"acme": of("acme.example"), "beta": of("beta.example", "müller.example")}
	with Outbound(ctx, accounts, main=AS_IT_CAME) as g:
		for name, frm, want, new in FROMS:
			relay, t = g.leaves(frm)
			if relay != want or new is not None and header_from(t) != new:
				wrong.append((name, relay, t.sender, t.headers("From")))
			if len(t.headers("From")) != 1 or any(len(line) > 998 for line in t.message.split(b"\r\n")):
				wrong.append((name, "the header", t.headers("From")))
	assert not wrong, wrong


def test_no_name_writes_a_header(ctx):
	with Outbound(ctx, {"acme": of("acme.example")}) as g:
		for name in ("=?utf-8?q?a=0D=0ABcc=3A_x=40y.test?=", "=?utf-8?b?%s?=" % "YQpCY2M6IHhAeS50ZXN0", '"a\\\r\n b"'):
			_, t = g.leaves(name + " <jo@else.test>")
			assert not t.headers("Bcc") and len(t.headers("From")) == 1, t.header_text
			assert header_from(t).rstrip(">").endswith(NOTIFICATIONS)


def test_two_froms_become_one(ctx):
	with Outbound(ctx, {"acme": of("acme.example"), "beta": of("beta.example")}) as g:
		_, t = g.leaves("Jo <jo@else.test>", extra="From: ann@beta.example")
		assert len(t.headers("From")) == 1 and t.header("From").endswith("<notifications@acme.example>"), t.headers("From")


def test_without_rewriting(ctx):
	"""1a, 1b and an empty filter may choose; else 550, and nothing is counted."""
	with Outbound(ctx, {"acme": of("acme.example", lines='limits = {"1/day"}')}, top="rewrite = no") as g:
		assert answer(g.as_odoo("Jo <jo@else.test>")) == (550, "5.7.1")
		name, t = g.leaves(JO)
		assert (name, t.header("From"), t.sender) == ("acme", JO, BOUNCE)


def test_without_rewriting_nor_filter(ctx):
	with Outbound(ctx, {"any": of()}, top="rewrite = no") as g:
		name, t = g.leaves("Jo <jo@else.test>", sender="jo@else.test")
		assert (t.header("From"), t.sender) == ("Jo <jo@else.test>", "jo@else.test")


def test_the_domain_of_the_mail(ctx):
	"""Two gateways: the envelope sender, then Return-Path, then the From tell whose notification address is used."""
	with Outbound(ctx, {"both": of("acme.example", "beta.example")}, more=BETA, main=AS_IT_CAME) as g:
		def sent_as(**options):
			_, t = g.leaves("Jo <jo@else.test>", **options)
			return t.header("From"), t.sender
		acme, beta = (ENCAPSULATED, BOUNCE), ('"Jo" <notifications@beta.example>', "bounce@beta.example")
		assert sent_as() == acme
		assert sent_as(sender="bounce@beta.example") == beta
		assert sent_as(extra="Return-Path: <bounce@beta.example>") == acme
		assert sent_as(sender="jo@else.test", extra="Return-Path: <bounce@beta.example>") == beta
		_, t = g.leaves("Jo <jo@beta.example>", sender="jo@else.test")
		assert t.header("From") == "Jo <jo@beta.example>"


def test_relays_of_one_gateway_only(ctx):
	with Outbound(ctx, {"a": of(lines='gateway = "acme"'), "b": of(lines='gateway = "beta"')}, more=BETA) as g:
		assert g.leaves(JO)[0] == "a"
		assert g.leaves("jo@beta.example", sender="bounce@beta.example")[0] == "b"


# --- what leaves

def test_fields_that_never_leave(ctx):
	forged = "X-Postern-Relay: postern-plain:[evil.test]:25\nX-POSTERN-RELAY: postern-plain:[evil.test]:26\n"
	extra = forged + "Bcc: secret@x.test\nbcc: two@x.test\nReturn-Path: <bounce@acme.example>\nX-Postern-Route: x\n" \
	    "X-Odoo-Objects: crm.lead-1\nX-Forge-To: y@x.test\nResent-Bcc: z@x.test"
	with Outbound(ctx, {"acme": of("acme.example")}, main=AS_IT_CAME) as g:
		_, t = g.leaves(JO, extra=extra)
		for name in ("Bcc", "Return-Path", "X-Postern-Relay", "X-Postern-Route", "X-Forge-To", "Resent-Bcc"):
			assert not t.headers(name), (name, t.header_text)
		assert t.header("X-Odoo-Objects") == "crm.lead-1" and t.header("To") == CUSTOMER
		assert "evil" not in g.pf.log()


def test_odd_spellings_of_them(ctx):
	extra = "X-Postern-Relay : postern-plain:[evil.test]:25\nBcc : x@y.test\nReturn-Path\t: <%s>\nFrom : x@y.test" % BOUNCE
	with Outbound(ctx, {"acme": of("acme.example")}, main=AS_IT_CAME) as g:
		for frm in (JO, "Jo <jo@else.test>"):
			_, t = g.leaves(frm, extra=extra)
			assert not re.search(r"(?mi)^(x-postern|bcc|return-path)", t.header_text), t.header_text
			assert len(re.findall(r"(?mi)^from", t.header_text)) == 1, t.header_text


@cases(("a name of 40 kB", "ü" * 20000, "", 250), ("blanks", "a " * 20000, "", 250),
    ("encoded", "=?utf-8?q?%s?=" % ("=C3=BC" * 8000), "", 250),
    ("a few Froms", "Jo", "From: x@y.test\n" * 50, 250), ("many", "Jo", "From: x@y.test\n" * 3000, 550),
    ("many Bcc", "Jo", "Bcc: x@y.test\n" * 3000, 550), ("many of ours", "Jo", "X-Postern-Relay: x\n" * 3000, 550))
def test_hostile_headers(ctx, name, extra, code):
	"""Bounded: cut, or refused; and soon."""
	with Outbound(ctx, {"acme": of("acme.example")}, main=AS_IT_CAME) as g:
		g.leaves(JO)
		began = time.monotonic()
		r = g.as_odoo(name + " <jo@else.test>", extra=extra)
		assert r.code == code and time.monotonic() - began < 2, (r, time.monotonic() - began)
		if code == 250:
			_, t = g.took(r)
			assert header_from(t).endswith("<notifications@acme.example>")
			assert max(len(line) for line in t.message.split(b"\r\n")) < 200


def test_a_stranger_chooses_nothing(ctx):
	"""A forged header from outside is no FILTER, and their mail has no relay."""
	with Outbound(ctx, {"acme": of("acme.example")}) as g:
		t = g.accepted("sales", mail(extra="X-Postern-Relay: %s" % "postern-plain:" + g["acme"].nexthop))
		assert not t.headers("X-Postern-Relay") and t.header("From") == "Ann <ann@sender.test>"
		assert g.send(CUSTOMER).code == 554
		g.idle()
		assert not g["acme"].sessions


def test_a_neighbour_is_not_outbound(ctx):
	"""From mynetworks, not logged in: its mail is untouched; the live map has no relay for a sender of others."""
	with Outbound(ctx, {"acme": of("acme.example")}) as g:
		r = g.send(CUSTOMER, mail(CUSTOMER, JO), source="127.0.0.2")
		g.waits(r)
		assert not g["acme"].sessions
		listed = g.send(CUSTOMER, mail(CUSTOMER, JO), sender=BOUNCE, source="127.0.0.2")
		assert g.took(listed)[0] == "acme"


def test_outbound_networks(ctx):
	with Outbound(ctx, {"acme": of("acme.example")}, top='outbound_networks = {"127.0.0.2/32"}') as g:
		r = g.send(CUSTOMER, mail(CUSTOMER, "Jo <jo@else.test>"), source="127.0.0.2")
		_, t = g.took(r)
		assert t.header("From") == ENCAPSULATED
		# it came to another host first: forwarded, not ours
		r = g.send(CUSTOMER, mail(CUSTOMER, JO, extra="Received: from a.test by b.test; Mon, 6 Jul 2026 10:00:00 +0000"),
		    source="127.0.0.2")
		g.waits(r)


def test_null_sender_stays_null(ctx):
	with Outbound(ctx, {"acme": of("acme.example")}) as g:
		_, t = g.leaves(JO, sender="")
		assert t.sender == "" and t.header("From") == JO
		_, t = g.leaves("MAILER-DAEMON@else.test", sender="")
		assert t.sender == "" and t.header("From").endswith("<notifications@acme.example>")


def test_utf8_sender(ctx):
	with Outbound(ctx, {"acme": of("acme.example")}) as g:
		_, t = g.leaves("Jö <jö@acme.example>", sender="jö@acme.example", mail_params=["SMTPUTF8"])
		assert header_from(t) == "Jö <jö@acme.example>" and t.sender == "jö@acme.example"
		assert "SMTPUTF8" in t.sender_params
		_, t = g.leaves("Jö <jö@else.test>", sender="jö@else.test", mail_params=["SMTPUTF8"])
		assert header_from(t) == "Jö <notifications@acme.example>" and t.sender == NOTIFICATIONS


def test_a_header_too_long_to_be_read(ctx):
	"""Its From cannot be judged, nor what must not leave taken out; sendmail(1) can be told nothing."""
	extra = "".join("X-Long-%d: %s\n" % (i, "x" * 900) for i in range(100))
	with Outbound(ctx, {"acme": of("acme.example"), "beta": of("beta.example")}, top="header_limit = 64k") as g:
		r = g.as_odoo("Jo <jo@beta.example>", extra=extra)
		assert r.code == 552 and "5.3.4" in r.end.text, r


# --- who else gets it

MAILBOXES = {"mydestination": "here.example", "local_recipient_maps": "", "local_transport": "discard:"}


def test_aliases_of_ours_beside_customers(ctx):
	"""Ours are redirected, the others leave by the live map; nobody's routing is overridden."""
	with Outbound(ctx, {"acme": of("acme.example")}) as g:
		r = g.as_odoo(JO, ["sales@acme.example", CUSTOMER, "d@customer.test"])
		assert r.code == 250, r
		name, t = g.took(r)
		assert name == "acme" and sorted(t.recipients) == [CUSTOMER, "d@customer.test"]
		inside = g.arrived(r)
		assert inside.recipients == ["sales@" + TARGET] and inside.sender == BOUNCE
		assert not t.headers("X-Postern-Relay") and not inside.headers("X-Postern-Relay")
		g.pf.wait_queue_empty()


def test_ours_alone_need_no_relay(ctx):
	with Outbound(ctx, {"acme": of("acme.example", lines='limits = {"1/day"}')}) as g:
		for _ in range(2):
			assert g.arrived(g.as_odoo(JO, "sales@acme.example")).recipients == ["sales@" + TARGET]
		assert g.leaves(JO)[0] == "acme"


def test_local_mailboxes_stay(ctx):
	with Outbound(ctx, {"acme": of("acme.example")}, main=MAILBOXES) as g:
		r = g.as_odoo(JO, ["ann@here.example", CUSTOMER])
		_, t = g.took(r)
		assert t.recipients == [CUSTOMER]
		g.pf.wait_log(r.queue_id + ": to=<ann@here.example>, relay=none.*status=sent .here.example")


def test_people_in_a_mixed_domain(ctx):
	with Outbound(ctx, {"acme": of("acme.example")}, domains=MIXED) as g:
		r = g.as_odoo(JO, ["joe@acme.example", "sales@acme.example", CUSTOMER])
		assert r.code == 250, r
		assert g.took(r)[1].recipients == [CUSTOMER]
		assert g.arrived(r).recipients == ["sales@" + TARGET]
		assert g.arrived(r, g.people).recipients == ["joe@acme.example"]


def test_a_route_of_the_operators_stays(ctx):
	"""Not by a transport that leaves: what transport_maps say holds, beside a relay for the others."""
	with Sink() as branch, Outbound(ctx, {"acme": of("acme.example")}, start=False) as g:
		g.pf.master.append("branch unix - - n - - smtp")
		g.pf.main["transport_maps"] = "inline:{ {branch.example = branch:%s} }, " % branch.nexthop \
		    + g.pf.main["transport_maps"]
		g.start()
		r = g.as_odoo(JO, ["x@branch.example", CUSTOMER])
		assert g.arrived(r, branch).recipients == ["x@branch.example"] and g.took(r)[1].recipients == [CUSTOMER]
		r = g.as_odoo(JO, ["x@branch.example"])
		g.arrived(r, branch)
		assert "outbound=" not in g.line(r.queue_id)


# --- other ways in

def test_sendmail(ctx):
	accounts = {"acme": of("acme.example")}
	with Outbound(ctx, accounts, top="outbound_sendmail = yes") as g:
		g.pf.sendmail(["-f", "www@mx.lab.test", CUSTOMER], mail(CUSTOMER, "Web <www@mx.lab.test>", extra="Bcc: x@y.test"))
		t = g["acme"].wait_one()
		assert t.header("From") == '"Web" <notifications@acme.example>' and t.sender == NOTIFICATIONS and not t.headers("Bcc")


def test_sendmail_is_not_outbound_by_itself(ctx):
	with Outbound(ctx, {"acme": of("acme.example")}) as g:
		g.pf.sendmail(["-f", "www@mx.lab.test", CUSTOMER], mail(CUSTOMER, "Web <www@mx.lab.test>"))
		g.pf.wait_log("postern-none/lmtp.*status=deferred")
		assert not g["acme"].sessions


def test_sendmail_is_not_refused(ctx):
	"""What submission is told, sendmail(1) cannot be: it waits."""
	with Outbound(ctx, {"acme": of("acme.example", lines='limits = {"1/day"}')},
	    top="outbound_sendmail = yes\nwhen_spent = refuse") as g:
		for i in range(2):
			g.pf.sendmail(["-f", BOUNCE, CUSTOMER], mail(CUSTOMER, JO))
		g["acme"].wait_one()
		g.pf.wait_log("postern-wait-plain/smtp.*status=deferred")


def test_behind_a_content_filter(ctx):
	"""FILTER would go past it: the relay is chosen where the filter gives the mail back."""
	back = {"content_filter": "", "milter_macro_daemon_name": "REINJECT", "mynetworks": "127.0.0.0/8",
	    "smtpd_relay_restrictions": "permit_mynetworks, reject", "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
	    "receive_override_options": "no_unknown_recipient_checks"}
	with Outbound(ctx, {"acme": of("acme.example", lines='limits = {"3/day"}')}, services={"back": back}, start=False,
	    top='relay_daemons = {"REINJECT"}\noutbound_daemons = {"ORIGINATING", "REINJECT"}') as g:
		with ContentFilter(g.pf.address("back")) as scanner:
			g.pf.services["submission"]["content_filter"] = "smtp:" + scanner.nexthop
			g.start()
			r = g.as_odoo("Jo <jo@else.test>")
			assert r.code == 250
			t = g["acme"].wait_one()
			assert len(scanner.messages) == 1 and not scanner.messages[0].headers("X-Postern-Relay")
			assert t.header("From") == ENCAPSULATED and t.sender == BOUNCE and not t.headers("X-Postern-Relay")
			assert "outbound=" not in g.line(r.queue_id)


# --- kinds of mail

MASS = "List-Unsubscribe: <https://acme.example/u>\nPrecedence: list"


def test_mass_mailing_has_its_relay(ctx):
	accounts = {"acme": of("acme.example", lines='limits = {"1/day"}'),
	    "mass": of("news.example", lines='mass_mailing = yes; limits = {"2/day"}')}
	with Outbound(ctx, accounts, top='mass_mailing_senders = {"promo@acme.example"}') as g:
		assert g.leaves(JO)[0] == "acme"
		name, t = g.leaves(JO, extra=MASS)
		assert (name, t.header("From")) == ("mass", JO)
		assert g.leaves("promo@acme.example")[0] == "mass"
		# spent: it waits for that one and takes nobody else's place
		r = g.as_odoo(JO, extra=MASS)
		assert "relay=mass " in g.line(r.queue_id + ".*outbound=wait")
		g.waits(r)


def test_personal_relays(ctx):
	"""Only for mail of their owner, from the owner's address."""
	accounts = {"acme": of("acme.example"),
	    "jos": of("jo@acme.example", lines='owner = "jo"; priority = 1', login="jo:geheim")}
	with Outbound(ctx, accounts, users={"jo": "pw"}) as g:
		assert g.leaves(JO, user="jo")[0] == "jos"
		assert g["jos"].messages[0].auth == "jo"
		assert g.leaves(JO)[0] == "acme"
		assert g.leaves("ann@acme.example", user="jo")[0] == "acme"


def test_passwords_go_to_their_relay_only(ctx):
	ca = Authority(ctx.tmp)
	certificate = ca.certificate("localhost")
	def server(security, *users):
		return Relay(security, certificate, users=dict(users))
	shared = server("starttls", ("three", "p3"), ("four", "p4"))
	accounts = {
		"a": of("a.example", security="starttls_strict", login="one:p1", server=server("starttls", ("one", "p1"))),
		"b": of("b.example", security="ssl_strict", login="two:p2", server=server("ssl", ("two", "p2"))),
		"c": of("c.example", security="starttls", login="three:p3", server=shared),
		"d": of("d.example", security="starttls_strict", login="four:p4", server=shared),
		"e": of("e.example"),
		"f": of("f.example", login="five:p:5 \\ü"),
	}
	with Outbound(ctx, accounts, ca.file) as g:
		for name in accounts:
			t = g.leaves("jo@%s.example" % name)[1]
			assert (t.auth or "") == accounts[name].user and bool(t.tls) == (name < "e")
		g.idle()
		for server in {id(a.server): a.server for a in accounts.values()}.values():
			mine = {(a.user, a.password) for a in accounts.values() if a.server is server and a.user}
			assert {(l.user, l.secret) for l in server.logins} == mine and all(l.ok for l in server.logins)
		assert not g.world.transactions
		spoken = g.policy.stderr() + g.milter.stderr() + g.pf.log()
		assert "map=sasl key=<[localhost]:%d> answer=OK\n" % g["a"].port in spoken
		assert not [p for p in ("p:5", "p1", "p2", "p3", "p4") if re.search(r"\b%s\b" % p, spoken)]
