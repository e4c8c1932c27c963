"""What the outbound side relies on in Postfix itself: failover, credentials, TLS levels, routes.

No program of ours takes part: a lookup in one of the maps here is a question that postern-policy will answer.  A list
of nexthops behind one transport is tried from left to right within one delivery request.
"""

import re

from lab import *
from mapserver import MapServer
from relay import DROP, HANG, Authority, Relay

SENDER, MESSAGE = "a@s.test", "From: a@s.test\nSubject: x\n\nx\n"
LATER = MapServer.TEMP
USERS = {"odoo": "secret"}
SASL = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous",
	"smtp_sasl_mechanism_filter": "plain, login"}
NO_CACHE = "-o smtp_connection_cache_on_demand=no -o smtp_connection_cache_destinations="


def site(*relays, main=None, options="", files=None, processes="-"):
	"""Sends everything by the transport `out` to this list of relays, as a policy service's FILTER does."""
	settings = {"relay_domains": "far.test", "default_transport": "discard:", "relay_transport": "discard:",
	    "mynetworks": "127.0.0.0/8"}
	if relays:
		settings["smtpd_data_restrictions"] = "check_sender_access inline:{ {%s = FILTER out:%s} }" % (
		    SENDER, ", ".join(r.nexthop for r in relays))
	return Postfix(main=dict(settings, **(main or {})),
	    master=["out unix - - n - %s smtp %s" % (processes, options)], files=files)


def send(pf, n=1):
	"""One mail to r1@, r2@ ...; returns when each recipient has been tried."""
	tried = " to=<r.*status="
	before = len(re.findall(tried, pf.log()))
	r = send_mail(pf.address(), SENDER, ["r%d@far.test" % (i + 1) for i in range(n)], MESSAGE)
	assert r.code == 250, r
	pf.wait_log(tried, count=before + n)


def asked(maps, name, *relays):
	"""The questions to one map, as the relays' letters."""
	letters = {r.nexthop: "ab"[i] for i, r in enumerate(relays)}
	text = " ".join(letters.get(key, key) for key in maps.keys(name))
	# where /etc/hosts has ::1 for localhost too, that name has the same IPv4 address twice, and both are tried
	return re.sub(r"(localhost \w)( \1)+", r"\1", text)


def logged(line, relay):
	"""A pattern: ID is the queue id, HOST the relay without its port, PORT its port."""
	return line.replace("ID:", r"smtp\[\d+\]: [0-9A-F]+:").replace("HOST", r"localhost\[127\.0\.0\.1\]").replace(
	    "PORT", str(relay.port))


# --- the list of relays

@cases(
	("greeting 421", {"connect": "421 4.3.2 busy"}, r"ID: host HOST refused to talk to me: 421"),
	("greeting 554", {"connect": "554 5.7.1 go away"}, r"ID: host HOST refused to talk to me: 554"),
	("closes", {"connect": DROP}, r"ID: lost connection with HOST while receiving the initial"),
	("hangs at the greeting", {"connect": HANG}, r"ID: conversation with HOST timed out while receiving the initial"),
	("EHLO 421", {"helo": "421 4.3.2 busy"}, r"ID: host HOST refused to talk to me: 421"),
	("AUTH 454", {"auth": "454 4.7.0 failure"}, r"ID: SASL authentication failed; server HOST said: 454"),
	("AUTH 535", {"auth": "535 5.7.8 wrong"}, r"ID: SASL authentication failed; server HOST said: 535"),
	("AUTH 534", {"auth": "534 5.7.9 app"}, r"ID: SASL authentication failed; server HOST said: 534"),
	("MAIL 450", {"mail": "450 4.2.0 no"}, r"ID: host HOST said: 450 .*in reply to MAIL FROM"),
	("RCPT 450", {"rcpt": "450 4.2.0 no"}, r"ID: host HOST said: 450 .*in reply to RCPT TO"),
	("DATA 451", {"data": "451 4.3.0 no"}, r"ID: host HOST said: 451 .*in reply to DATA"),
	("end 452", {"eom": "452 4.3.1 no"}, r"ID: host HOST said: 452 .*in reply to end of DATA"),
	("cut at MAIL", {"mail": DROP}, r"ID: lost connection with HOST while sending MAIL FROM"),
	("cut at the end", {"eom": DROP}, r"ID: lost connection with HOST .*message may be sent more than once"),
	("hangs at the end", {"eom": HANG}, r"ID: conversation with HOST timed out .*message may be sent more than once"),
	("MAIL 550", {"mail": "550 5.1.0 no"}, "status=bounced"),
	("RCPT 550", {"rcpt": "550 5.1.1 no"}, "status=bounced"),
	("DATA 550", {"data": "550 5.3.0 no"}, "status=bounced"),
	("end 550", {"eom": "550 5.4.5 Daily user sending limit exceeded"}, "status=bounced"),
	("MAIL 530", {"mail": "530 5.7.0 authentication required"}, "status=bounced"))
def test_first_relay_fails(answers, line):
	"""The list goes on, and the log says why; or the mail is bounced at once.  Most lines do not give the port."""
	with Relay(users=USERS, answers=answers) as a, Relay(users=USERS) as b, \
	    site(a, b, main=dict(SASL, smtp_sasl_password_maps="static:odoo:secret", smtp_helo_timeout="1s",
	    smtp_data_done_timeout="1s")).start() as pf:
		send(pf)
		pf.wait_log(logged(line, a))
		assert not a.messages
		if "bounced" in line:
			assert not b.transactions
		else:
			assert b.wait_one().auth == "odoo"
			pf.wait_queue_empty()


def test_first_relay_refuses_connections():
	with Relay() as a, Relay() as b, site(a, b).start() as pf:
		a.close_port()
		send(pf)
		b.wait_one()
		pf.wait_log(logged("smtp.*: connect to HOST:PORT: Connection refused", a))
		a.open_port()
		send(pf)
		a.wait_one()


def test_first_relay_without_tls():
	with TempDir() as d:
		ca = Authority(d.path)
		with Relay() as a, Relay("starttls", ca.certificate("localhost")) as b, \
		    site(a, b, options="-o smtp_tls_security_level=secure", main={"smtp_tls_CAfile": ca.file,
		    "smtp_tls_secure_cert_match": "nexthop"}).start() as pf:
			send(pf)
			assert b.wait_one().tls and not a.transactions
			pf.wait_log(logged("ID: TLS is required, but was not offered by host HOST", a))


@cases(
	("wrong name", lambda ca: ca.certificate("other.test"), {}, "verification failed for HOST:PORT: .*mismatch"),
	("expired", lambda ca: ca.certificate("localhost", expired=True), {}, "failed for HOST:PORT: certificate has expired"),
	("self-signed", lambda ca: ca.self_signed("localhost"), {}, "verification failed for HOST:PORT: .*self-signed"),
	("handshake broken", lambda ca: ca.certificate("localhost"), {"handshake": "none"}, "SSL_connect error to HOST:PORT"),
	("STARTTLS refused", lambda ca: ca.certificate("localhost"), {"starttls": "454 4.7.0 no"}, "ID: .*HOST.*454 4.7.0"))
def test_first_relay_has_bad_tls(certificate, answers, line):
	with TempDir() as d:
		ca = Authority(d.path)
		with Relay("starttls", certificate(ca), answers=answers) as a, \
		    Relay("starttls", ca.certificate("localhost")) as b, \
		    site(a, b, options="-o smtp_tls_security_level=secure -o smtp_tls_secure_cert_match=nexthop",
		    main={"smtp_tls_CAfile": ca.file}).start() as pf:
			send(pf)
			assert b.wait_one().tls and not a.transactions
			pf.wait_log(logged(line, a))


def test_each_recipient_fails_over_alone():
	with Relay() as a, Relay() as b, site(a, b).start() as pf:
		a.answers["rcpt"] = lambda t, rcpt: "450 4.2.0 no" if rcpt.address.startswith("r2") else None
		send(pf, 2)
		assert (a.wait_one().recipients, b.wait_one().recipients) == (["r1@far.test"], ["r2@far.test"])


# --- credentials

def test_password_map_in_trouble_goes_on():
	"""TEMP for a relay leaves it out; it does not stop the list."""
	with Relay(users=USERS) as a, Relay(users=USERS) as b, \
	    MapServer(lambda name, key: {a.nexthop: LATER, b.nexthop: "odoo:secret"}.get(key)) as maps, \
	    site(a, b, main=dict(SASL, smtp_sasl_password_maps=maps.table("sasl"))).start() as pf:
		send(pf)
		assert b.wait_one().auth == "odoo" and not a.logins
		assert asked(maps, "sasl", a, b) == "localhost a localhost b"


def test_password_map_in_trouble_for_the_last_one():
	with Relay(users=USERS) as a, MapServer(lambda name, key: state.get(key)) as maps, \
	    site(a, main=dict(SASL, smtp_sasl_password_maps=maps.table("sasl"))).start() as pf:
		state = {a.nexthop: LATER}
		send(pf)
		pf.wait_log("status=deferred .*local data error")
		state[a.nexthop] = "odoo:secret"
		pf.wait_queue(1)
		pf.flush()
		assert a.wait_one().auth == "odoo"


def test_password_unknown_bounces():
	with Relay(users=USERS) as a, Relay() as b, MapServer(lambda name, key: None) as maps, \
	    site(a, b, main=dict(SASL, smtp_sasl_password_maps=maps.table("sasl"))).start() as pf:
		send(pf)
		pf.wait_log("dsn=5.7.0, status=bounced .*530")
		assert not b.transactions


def test_relay_without_auth_is_not_asked_for():
	"""So the password map cannot keep mail from such a relay."""
	with Relay() as a, MapServer(lambda name, key: LATER) as maps, \
	    site(a, main=dict(SASL, smtp_sasl_password_maps=maps.table("sasl"))).start() as pf:
		send(pf)
		assert a.wait_one() and not maps.lookups


def test_client_certificate_of_a_transport():
	with TempDir() as d:
		ca = Authority(d.path)
		with Relay("starttls", ca.certificate("localhost"), client_ca=ca.file, client_required=True, users=USERS) as a, \
		    site(a, main=dict(SASL, smtp_sasl_password_maps="static:odoo:secret", smtp_tls_CAfile=ca.file,
		    smtp_sasl_tls_security_options="noanonymous"), options="-o smtp_tls_security_level=secure"
		    " -o smtp_tls_secure_cert_match=nexthop -o smtp_tls_cert_file=" + ca.certificate("odoo.test")).start() as pf:
			send(pf)
			t = a.wait_one()
			assert (t.auth, t.subject, t.tls) == ("odoo", "odoo.test", "TLSv1.3")


# --- the TLS level: asked before each attempt, so it can hold mail back and count it

@cases(
	("may", "-o smtp_tls_security_level=may"),
	("none", "-o smtp_tls_security_level=none"),
	("encrypt", "-o smtp_tls_security_level=encrypt"),
	("implicit TLS", "-o smtp_tls_wrappermode=yes -o smtp_tls_security_level=encrypt"))
def test_tls_map_in_trouble(options):
	with Relay() as a, Relay() as b, MapServer(lambda name, key: LATER) as maps, \
	    site(a, b, options=options, main={"smtp_tls_policy_maps": maps.table("tls")}).start() as pf:
		send(pf)
		pf.wait_log("relay=none,.*dsn=4.7.5, status=deferred .client TLS configuration problem")
		assert asked(maps, "tls", a, b) == "a b"
		assert not a.sessions and not b.sessions


@cases(
	("encrypt", "starttls", "", "encrypt", True),
	("none", "starttls", "", "none", False),
	("the transport's", "starttls", "", None, False),
	("implicit TLS", "ssl", "-o smtp_tls_wrappermode=yes", "encrypt", True),
	("a relay without TLS", "plain", "", "none", False))
def test_tls_map_gives_the_level(security, options, level, tls):
	with TempDir() as d, Relay(security, Authority(d.path).self_signed("localhost")) as a, \
	    MapServer(lambda name, key: level) as maps, \
	    site(a, options="-o smtp_tls_security_level=none " + options,
	    main={"smtp_tls_policy_maps": maps.table("tls")}).start() as pf:
		send(pf)
		assert bool(a.wait_one().tls) == tls and asked(maps, "tls", a) == "a"


def test_implicit_tls_needs_a_level():
	with TempDir() as d, Relay("ssl", Authority(d.path).self_signed("localhost")) as a, \
	    MapServer(lambda name, key: "none") as maps, \
	    site(a, options="-o smtp_tls_wrappermode=yes -o smtp_tls_security_level=encrypt",
	    main={"smtp_tls_policy_maps": maps.table("tls")}).start() as pf:
		send(pf)
		pf.wait_log("status=deferred")
		assert not a.sessions


def test_tls_map_in_trouble_goes_on():
	with Relay() as a, Relay() as b, MapServer(lambda name, key: LATER if key == a.nexthop else "may") as maps, \
	    site(a, b, main={"smtp_tls_policy_maps": maps.table("tls")}).start() as pf:
		send(pf, 3)
		assert b.wait_one().recipients == ["r1@far.test", "r2@far.test", "r3@far.test"]
		assert not a.sessions and asked(maps, "tls", a, b) == "a b"


@cases(("one process", ""), ("a process for each", "-o max_use=1"))
def test_tls_map_is_asked_for_each_request(options):
	"""Neither OK nor TEMP outlives the delivery request, even where one smtp(8) serves all of them."""
	answers = []
	with Relay() as a, MapServer(lambda name, key: answers[-1]) as maps, \
	    site(a, options="%s %s" % (NO_CACHE, options), processes="1",
	    main={"smtp_tls_policy_maps": maps.table("tls")}).start() as pf:
		for n, answer in enumerate(("none", LATER, "none"), 1):
			answers.append(answer)
			send(pf)
			assert len(maps.lookups) == n
		assert len(a.wait(2)) == 2
		pf.wait_queue(1)
		pids = set(re.findall(r"/smtp\[(\d+)\]: .*status=", pf.log()))
		assert len(pids) == (3 if options else 1), pids


@cases(("side by side", ""), ("one by one", "1"))
def test_tls_map_counts_recipients(concurrency):
	"""With a recipient limit of 1 each recipient is one question: three are let through, seven wait."""
	given = []
	def answer(name, key):
		given.append(key)
		return "none" if len(given) <= 3 else LATER
	main = {"out_destination_recipient_limit": "1"}
	if concurrency:
		main["out_destination_concurrency_limit"] = concurrency
	with Relay() as a, MapServer(answer) as maps, \
	    site(a, options=NO_CACHE, main=dict(main, smtp_tls_policy_maps=maps.table("tls"))).start() as pf:
		send(pf, 10)
		pf.wait_log("status=deferred", count=7)
		assert [len(t.recipients) for t in a.wait(3)] == [1, 1, 1] and len(maps.lookups) == 10


def test_recipient_limit_belongs_to_main_cf():
	"""qmgr(8) splits the mail and does not see what the transport has in master.cf."""
	with Relay() as a, MapServer(lambda name, key: "none") as maps, \
	    site(a, options=NO_CACHE + " -o out_destination_recipient_limit=1",
	    main={"smtp_tls_policy_maps": maps.table("tls")}).start() as pf:
		send(pf, 5)
		assert len(a.wait_one().recipients) == 5 and len(maps.lookups) == 1


def test_transports_have_maps_of_their_own():
	"""How two accounts at one host and port are told apart."""
	def answer(name, key):
		return {"tls-two": "none", "sasl-two": "two:secret"}.get(name, LATER)
	with Relay(users={"one": "secret", "two": "secret"}) as a, MapServer(answer) as maps, \
	    site(a, main=dict(SASL, smtp_tls_policy_maps=maps.table("tls"), smtp_sasl_password_maps=maps.table("sasl")),
	    options="-o smtp_tls_policy_maps=%s -o smtp_sasl_password_maps=%s" % (
	    maps.table("tls-two"), maps.table("sasl-two"))).start() as pf:
		send(pf)
		assert a.wait_one().auth == "two" and {name for name, key in maps.lookups} == {"tls-two", "sasl-two"}


@cases(("refuses", None), ("421", {"connect": "421 4.3.2 busy"}), ("450 at RCPT", {"rcpt": "450 4.2.0 no"}))
def test_tls_map_is_asked_for_each_attempt(answers):
	"""What is counted at the question is the attempt: a relay that then fails has been asked for as well."""
	with Relay(answers=answers) as a, Relay() as b, MapServer(lambda name, key: "may") as maps, \
	    site(a, b, options=NO_CACHE, main={"smtp_tls_policy_maps": maps.table("tls"),
	    "out_destination_recipient_limit": "1"}).start() as pf:
		if answers is None:
			a.close_port()
		send(pf, 3)
		b.wait(3)
		assert sorted(asked(maps, "tls", a, b).split()) == list("aaabbb")


@cases(("cached", "", True), ("cache off", NO_CACHE, False))
def test_reused_connection_asks_nothing(options, fewer):
	"""Why a transport that counts must switch the connection cache off."""
	with Relay() as a, MapServer(lambda name, key: "may") as maps, \
	    site(a, options=options, main={"smtp_tls_policy_maps": maps.table("tls"),
	    "out_destination_recipient_limit": "1", "out_destination_concurrency_limit": "1",
	    "smtp_connection_cache_destinations": "static:all"}).start() as pf:
		send(pf, 5)
		assert len(a.wait(5)) == 5
		assert len(maps.lookups) < 5 if fewer else len(maps.lookups) == 5


# --- a quota that is spent, told with 5xx

QUOTA = "550 5.4.5 Daily user sending limit exceeded"
GMAIL = ["550-5.4.5 Daily user sending limit exceeded. For more information on Gmail",
	"550-5.4.5 sending limits go to", "550 5.4.5  https://support.google.com/a/answer/166852 x1 - gsmtp"]
BY_CODE = "/^5([0-9][0-9][ -])5(\\.4\\.5 .*)/ 4${1}4$2\n"
BY_WORDS = "/^5([0-9][0-9][ -])5(\\.[0-9]+\\.[0-9]+ .*sending limit exceeded.*)/ 4${1}4$2\n"


@cases(
	("MAIL", "mail", QUOTA, BY_WORDS, True),
	("RCPT", "rcpt", QUOTA, BY_WORDS, True),
	("DATA", "data", QUOTA, BY_WORDS, True),
	("end", "eom", QUOTA, BY_WORDS, True),
	("another 550", "rcpt", "550 5.1.1 no such user", BY_WORDS, False),
	("lines, the code", "eom", GMAIL, BY_CODE, True),
	("lines at RCPT, the code", "rcpt", GMAIL, BY_CODE, True),
	("lines, words in the first", "eom", GMAIL, BY_WORDS, False),
	("lines, words in the last", "eom", ["550-5.4.5 Sorry", QUOTA], BY_WORDS, True))
def test_reply_filter(stage, reply, rule, mended):
	"""smtp_reply_filter sees each line by itself, and the last line decides."""
	main = {"smtp_reply_filter": "regexp:$config_directory/replies"}
	with Relay(answers={stage: reply}) as a, Relay() as b:
		with site(a, b, main=main, files={"replies": rule}).start() as pf:
			send(pf)
			if mended:
				b.wait_one()
				pf.wait_log(logged('HOST:PORT: replacing server reply "550.* with "450', a))
			else:
				pf.wait_log("status=bounced")
				assert not b.transactions
		with site(a, main=main, files={"replies": rule}).start() as pf:
			send(pf)
			pf.wait_log("dsn=4.4.5, status=deferred" if mended else "status=bounced")


# --- live routes

def routed(maps, own=None, **main):
	"""Routes by sender as the map says; own.test is delivered by relay_transport."""
	settings = {"mynetworks": "127.0.0.0/8", "sender_dependent_default_transport_maps": maps.table("route"),
	    "default_transport": "discard:"}
	if own:
		settings.update(relay_domains="own.test", relay_transport="smtp:" + own.nexthop)
	return Postfix(main=dict(settings, **main))


@cases(
	("retry", "retry:4.7.1 the limit is reached", 450, "4.7.1"),
	("error", "error:5.7.1 not with this sender", 550, "5.7.1"),
	("trouble", LATER, 451, "4.3.0"))
def test_route_that_refuses(answer, code, enhanced):
	"""At RCPT; mail to own domains is not concerned."""
	with Relay() as own, MapServer(lambda name, key: answer) as maps, routed(maps, own).start() as pf:
		r = send_mail(pf.address(), SENDER, "r@far.test", MESSAGE)
		assert (r.code, r.final.enhanced) == (code, enhanced), r
		assert send_mail(pf.address(), SENDER, "r@own.test", MESSAGE).code == 250
		own.wait_one()
		assert {key for key in maps.keys("route")} <= {SENDER, '"<>"'}


def test_route_is_a_list():
	with Relay(answers={"rcpt": "450 4.2.0 no"}) as a, Relay() as b, \
	    MapServer(lambda name, key: "smtp:%s, %s" % (a.nexthop, b.nexthop)) as maps, routed(maps).start() as pf:
		assert send_mail(pf.address(), SENDER, "r@far.test", MESSAGE).code == 250
		b.wait_one()


def test_route_is_asked_again_on_retry():
	"""qmgr(8) itself remembers an answer for half a minute, as long as it lives; the queue file holds none."""
	with Relay() as a, Relay() as b, MapServer(lambda name, key: "smtp:" + relay.nexthop) as maps, \
	    routed(maps).start() as pf:
		relay = a
		a.close_port()
		send(pf)
		pf.wait_queue(1)
		relay = b
		pf.flush()
		pf.wait_log("status=deferred", count=2)
		assert not b.sessions
		pf.restart()
		pf.wait_queue(1)
		pf.flush()
		b.wait_one()


def test_filter_is_frozen_until_requeued():
	with Relay() as a, Relay() as b, MapServer(lambda name, key: "smtp:" + b.nexthop) as maps, \
	    site(a, main={"relay_domains": "",
	    "sender_dependent_default_transport_maps": maps.table("route")}).start() as pf:
		a.close_port()
		send(pf)
		pf.restart()
		pf.wait_queue(1)
		pf.flush()
		pf.wait_log("status=deferred", count=2)
		assert not b.sessions
		pf.wait_queue(1)
		pf.postsuper("-r", "ALL")
		b.wait_one()


# --- the milter's choice

class Choose(Filter):
	"""Adds the signal and deletes it again; one of the client's own stays, at a lower index."""

	def on_eom(self):
		index = 1 + sum(name == "X-Choice" for name, _ in self.headers)
		self.actions += [("addheader", "X-Choice", self.milter.options["choice"]),
		    ("chgheader", index, "X-Choice", "")]
		return "continue"


@cases(
	("smtpd, regexp", False, False), ("smtpd, socketmap", False, True),
	("sendmail, regexp", True, False), ("sendmail, socketmap", True, True))
def test_choice_by_a_header_that_does_not_leave(local, socketmap):
	forged = "X-Choice: out:[127.0.0.1]:9\n" + MESSAGE
	with Relay() as a, Relay() as b, \
	    Milter(None, Choose, choice="out:%s, %s" % (a.nexthop, b.nexthop)) as milter, \
	    MapServer(lambda name, key: "FILTER " + key.partition(": ")[2]) as maps, site(main={
	    "smtpd_milters": milter.endpoint, "non_smtpd_milters": milter.endpoint,
	    "milter_header_checks": maps.table("choice") if socketmap else "regexp:$config_directory/choice"},
	    files={"choice": "/^X-Choice: *(out:.+)$/ FILTER $1\n"}).start() as pf:
		a.close_port()
		if local:
			pf.sendmail(["-f", SENDER, "r1@far.test"], forged)
		else:
			assert send_mail(pf.address(), SENDER, "r1@far.test", forged).code == 250
		assert b.wait_one().headers("X-Choice") == ["out:[127.0.0.1]:9"]
		if socketmap:
			assert maps.keys("choice") == ["X-Choice: out:%s, %s" % (a.nexthop, b.nexthop)]


def test_choice_map_in_trouble():
	with Milter(None, Choose, choice="out:[127.0.0.1]:9") as milter, MapServer(lambda name, key: LATER) as maps, \
	    site(main={"smtpd_milters": milter.endpoint, "milter_header_checks": maps.table("choice")}).start() as pf:
		assert send_mail(pf.address(), SENDER, "r1@far.test", MESSAGE).code == 451
		pf.wait_queue_empty()
