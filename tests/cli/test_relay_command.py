"""postern test-relay, against servers that do what providers do."""

import fcntl
import json
import os
import pty
import re
import socket
import subprocess
import termios
import threading

from lab import *
from relay import DROP, HANG, Authority, Relay

USER, PASSWORD = "odoo@acme.test", "correct-horse-battery"

CONF = """\
state_directory = "%(dir)s/state"
hostname = "gate.test"
gateway "main" { target = "redirect to acme.odoo.test" }
domain "acme.test" { gateway = main }
relay "one" {
	host = "localhost"
	port = %(port)d
	security = %(security)s
	ca_file = "%(dir)s/ca.pem"
%(more)s
}
"""
LOGIN = 'user = "%s"\npassword_file = "%%s/password"\n' % USER
FILTER = 'from_filter = {"acme.test"}\n'
OAUTH = 'authentication = oauth\nuser = "%s"\noauth_token_url = "https://x.test/"\noauth_client_id = "x"\n' \
    'oauth_client_secret_file = "/nowhere"\n' % USER


class Site:
	"""A configuration with one relay, a certificate authority and a password file."""

	def __init__(self, ctx):
		self.ctx, self.dir = ctx, ctx.tmp
		self.authority = Authority(ctx.tmp)
		os.symlink(self.authority.file, ctx.tmp + "/ca.pem")
		self.put("password", PASSWORD + "\n")

	def put(self, name, text, mode=0o600):
		path = "%s/%s" % (self.dir, name)
		os.makedirs(os.path.dirname(path), exist_ok=True)
		with open(path, "w") as f:
			f.write(text)
		os.chmod(path, mode)

	def relay(self, security="starttls", name="localhost", expired=False, **options):
		options.setdefault("users", {USER: PASSWORD})
		certificate = None if security == "plain" else self.authority.certificate(name, expired)
		return Relay(security, certificate, **options)

	def configure(self, port, security, more=LOGIN + FILTER):
		with open(self.dir + "/postern.conf", "w") as f:
			f.write(CONF % {"dir": self.dir, "port": port, "security": security,
			    "more": more.replace("%s", self.dir)})

	def run(self, *args, code):
		done = run(self.ctx.program("postern"), "-c", self.dir + "/postern.conf", "test-relay", *args)
		assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
		return done

	def test(self, relay, security="starttls_strict", *args, more=LOGIN + FILTER, code=0):
		self.configure(relay.port, security, more)
		return self.run("one", *args, code=code)

	def json(self, relay, security="starttls_strict", *args, more=LOGIN + FILTER, code=0):
		return json.loads(self.test(relay, security, *args, "--json", more=more, code=code).stdout)[0]


def names(result):
	return [s["step"] for s in result["steps"]]


START = ["resolve", "connect"]
MAIL = ["mail", "rcpt", "data"]


# --- all is well

@cases(
	("STARTTLS, checked", "starttls", "starttls_strict", ["greeting", "ehlo", "starttls", "tls", "ehlo", "login"]),
	("STARTTLS", "starttls", "starttls", ["greeting", "ehlo", "starttls", "tls", "ehlo", "login"]),
	("TLS, checked", "ssl", "ssl_strict", ["tls", "greeting", "ehlo", "login"]),
	("TLS", "ssl", "ssl", ["tls", "greeting", "ehlo", "login"]),
	("in the clear", "plain", "none", ["greeting", "ehlo", "login"]),
)
def test_goes_as_far_as_data(ctx, theirs, ours, steps):
	s = Site(ctx)
	with s.relay(theirs) as relay:
		result = s.json(relay, ours)
		assert names(result) == START + steps + MAIL, result
		assert result["failure"] == "fine" and result["remedy"] == "" and all(x["ok"] for x in result["steps"])
		assert [(x.user, x.secret, x.ok) for x in relay.logins] == [(USER, PASSWORD, True)]
		assert relay.commands[-1][1] == "DATA" and not relay.messages
		assert (relay.transactions[0].tls is None) == (ours == "none")
		assert relay.transactions[0].helo == "gate.test"


def test_lines_for_people(ctx):
	s = Site(ctx)
	with s.relay() as relay:
		lines = s.test(relay).stdout.splitlines()
		assert lines[0] == "one: localhost port %d, from notifications@acme.test to notifications@acme.test" % relay.port
		assert [l.split()[:2] for l in lines[1:]] == [["ok", n] for n in START + ["greeting", "ehlo", "starttls", "tls",
		    "ehlo", "login"] + MAIL], lines
		assert lines[-1].endswith(" ms  354 go on") and " / AUTH PLAIN LOGIN" in lines[7]
		assert "certificate for localhost from Lab CA" in lines[6]


@cases(
	("PLAIN", {"mechanisms": ["LOGIN", "PLAIN"]}, LOGIN, "PLAIN"),
	("LOGIN", {"mechanisms": ["LOGIN"]}, LOGIN, "LOGIN"),
	("XOAUTH2", {"tokens": True}, OAUTH, "XOAUTH2"),
	("OAUTHBEARER", {"tokens": True, "mechanisms": ["OAUTHBEARER"]}, OAUTH, "OAUTHBEARER"),
)
def test_mechanisms(ctx, options, more, mechanism):
	s = Site(ctx)
	s.put("state/tokens/one", "99999999999\nya29." + "x" * 1500 + "\n")
	options = dict(options)
	if options.get("tokens"):
		options["tokens"] = lambda user, token: (user, token) == (USER, "ya29." + "x" * 1500)
		options["users"] = None
	with s.relay(**options) as relay:
		assert s.json(relay, more=more + FILTER)["failure"] == "fine"
		assert [(x.mechanism, x.ok) for x in relay.logins] == [(mechanism, True)]


def test_without_user_there_is_no_login(ctx):
	s = Site(ctx)
	with s.relay(users=None) as relay:
		assert "login" not in names(s.json(relay, more=FILTER))
		assert len(relay.transactions) == 1


def test_no_login(ctx):
	s = Site(ctx)
	os.unlink(s.dir + "/password")
	with s.relay() as relay:
		result = s.json(relay, "starttls_strict", "--no-login")
		assert names(result)[-2:] == ["ehlo", "quit"], result
		assert not relay.logins and relay.commands[-1][1] == "QUIT"


def test_by_certificate(ctx):
	s = Site(ctx)
	path = s.authority.certificate("odoo.acme.test")
	more = 'authentication = certificate\ncertificate_file = "%s"\nkey_file = "%s"\n' % (path, path) + FILTER
	with s.relay(users=None, client_ca=s.authority.file, client_required=True) as relay:
		assert s.json(relay, more=more)["failure"] == "fine"
		assert relay.transactions[0].subject == "odoo.acme.test"
		result = s.json(relay, more=FILTER, code=1)
		assert result["failure"] == "no_tls" and "certificate of ours" in result["remedy"], result


@cases(
	("first address", 'from_filter = {"acme.test", "Ann <ann@b.test>", "bob@b.test"}', [], "ann@b.test", "ann@b.test"),
	("notification address", 'from_filter = {"other.test", "ACME.test"}', [], "notifications@acme.test", "notifications@acme.test"),
	("noreply", 'from_filter = {"b.test"}', [], "noreply@b.test", "noreply@b.test"),
	("no filter", "", [], "notifications@acme.test", "notifications@acme.test"),
	("given", FILTER, ["--from", "x@y.test", "--to", "z@w.test"], "x@y.test", "z@w.test"),
	("only the recipient", FILTER, ["--to", "z@w.test"], "notifications@acme.test", "z@w.test"),
	("IDN", FILTER, ["--from", "x@bücher.test"], "x@xn--bcher-kva.test", "x@xn--bcher-kva.test"),
)
def test_addresses(ctx, more, args, sender, recipient):
	s = Site(ctx)
	with s.relay("plain", users=None) as relay:
		result = s.json(relay, "none", *args, more=more)
		assert (result["from"], result["to"]) == (sender, recipient), result
		assert (relay.transactions[0].sender, relay.transactions[0].recipients) == (sender, [recipient])


# --- what fails, and what to do

# name, how the server is, security here, step, failure, words, remedy
@cases(
	("wrong password", {"users": {USER: "other"}}, "starttls_strict", "login", "no_login", "wrong user or password",
	    "user or password is wrong"),
	("app password", {"answers": {"auth": ["534 5.7.9 Application-specific password required. For more information, go to",
	    "534 5.7.9 https://support.google.com/mail/?p=InvalidSecondFactor x - gsmtp"]}}, "starttls_strict", "login", "no_login",
	    "Application-specific", "app password"),
	("Gmail's wrong password", {"answers": {"auth": ["535 5.7.8 Username and Password not accepted. For more information, go to",
	    "535 5.7.8 https://support.google.com/mail/?p=BadCredentials x - gsmtp"]}}, "starttls_strict", "login", "no_login",
	    "BadCredentials", "app password"),
	("Microsoft without passwords", {"answers": {"auth": "535 5.7.139 Authentication unsuccessful, basic authentication is "
	    "disabled."}}, "starttls_strict", "login", "no_login", "5.7.139", "authentication = oauth"),
	("login not possible now", {"answers": {"auth": "454 4.7.0 Temporary authentication failure"}}, "starttls_strict", "login",
	    "no_login", "Temporary", "later"),
	("no mechanism", {"mechanisms": ["CRAM-MD5"]}, "starttls_strict", "login", "no_login", "neither AUTH PLAIN nor LOGIN", "port"),
	("certificate for another name", {"name": "other.test"}, "starttls_strict", "tls", "no_tls", "certificate for other.test",
	    "security = starttls (or ssl) accepts it unchecked"),
	("expired certificate", {"expired": True}, "starttls_strict", "tls", "no_tls", "expired", "accepts it unchecked"),
	("STARTTLS not offered", {"security": "plain"}, "starttls", "starttls", "no_tls", "does not offer", "465"),
	("STARTTLS refused", {"answers": {"starttls": "454 4.7.0 TLS not available"}}, "starttls", "starttls", "no_tls", "not available",
	    "later"),
	("TLS breaks off", {"answers": {"handshake": DROP}}, "starttls", "tls", "no_tls", "closed", "TLS 1.2"),
	("TLS at a port that begins in the clear", {}, "ssl", "tls", "no_tls", "does not speak TLS", "belong together"),
	("no TLS at a port that begins with it", {"security": "ssl"}, "starttls", "greeting", "no_service", "no answer in time",
	    "belong together"),
	("greeting 554", {"answers": {"connect": "554 5.7.1 your address is listed"}}, "starttls", "greeting", "no_service", "listed",
	    "blocked"),
	("greeting 421", {"answers": {"connect": "421 4.3.2 overloaded"}}, "starttls", "greeting", "no_service", "overloaded", "later"),
	("silence", {"answers": {"connect": HANG}}, "starttls", "greeting", "no_service", "no answer in time", "slow"),
	("closed at once", {"answers": {"connect": DROP}}, "starttls", "greeting", "no_service", "closed", "provider"),
	("no SMTP", {"answers": {"connect": "HTTP/1.1 400 Bad Request"}}, "starttls", "greeting", "no_service", "not SMTP", "host and port"),
	("an endless greeting", {"answers": {"connect": ["220 " + "x" * 500] * 40}}, "starttls", "greeting", "no_service", "too long",
	    "host and port"),
	("421 at MAIL", {"answers": {"mail": "421 4.7.0 closing"}}, "starttls", "mail", "no_service", "closing", "later"),
	("sender refused", {"answers": {"mail": "550 5.7.60 not allowed to send as this sender"}}, "starttls", "mail", "refused_sender",
	    "5.7.60", "from_filter"),
	("sender not verified", {"answers": {"mail": "554 Message rejected: Email address is not verified."}}, "starttls", "mail",
	    "refused_sender", "not verified", "verify"),
	("sender refused at RCPT", {"answers": {"rcpt": "553 5.7.1 <a@b>: Sender address rejected: not owned by user"}}, "starttls",
	    "rcpt", "refused_sender", "not owned", "from_filter"),
	("recipient refused", {"answers": {"rcpt": "550 5.1.1 no such mailbox"}}, "starttls", "rcpt", "refused_recipient", "mailbox",
	    "--to"),
	("limit", {"answers": {"mail": "550 5.4.5 Daily user sending limit exceeded."}}, "starttls", "mail", "limited", "5.4.5",
	    "limits"),
	("DATA refused", {"answers": {"data": "554 5.5.1 no"}}, "starttls", "data", "no_service", "5.5.1", "provider"),
)
def test_failures(ctx, options, ours, step, failure, words, remedy):
	s = Site(ctx)
	with s.relay(**options) as relay:
		result = s.json(relay, ours, "--timeout", "1", code=1)
		assert (names(result)[-1], result["failure"]) == (step, failure), result
		assert words in " ".join(result["steps"][-1]["text"]) and remedy in result["remedy"], result
		assert [x["ok"] for x in result["steps"]] == [True] * (len(result["steps"]) - 1) + [False]
		assert not relay.messages


def test_no_login_where_one_is_wanted(ctx):
	s = Site(ctx)
	with s.relay() as relay:
		result = s.json(relay, more=FILTER, code=1)
		assert result["failure"] == "no_login" and "set user and password_file" in result["remedy"], result


def test_refused_token(ctx):
	"""The reason comes as a challenge; the reply behind it counts."""
	s = Site(ctx)
	s.put("state/tokens/one", "99999999999\nya29.token\n")
	for mechanism in "XOAUTH2", "OAUTHBEARER":
		with s.relay(users=None, tokens=lambda user, token: False, mechanisms=[mechanism]) as relay:
			result = s.json(relay, more=OAUTH + FILTER, code=1)
			assert result["failure"] == "no_login" and result["steps"][-1]["code"] == 535, result
			assert "token is refused" in result["remedy"]


def test_self_signed(ctx):
	s = Site(ctx)
	with Relay("ssl", s.authority.self_signed("localhost"), users={USER: PASSWORD}) as relay:
		result = s.json(relay, "ssl_strict", code=1)
		assert result["failure"] == "no_tls" and "ca_file" in result["remedy"], result
		assert not relay.logins
		unchecked = s.json(relay, "ssl")
		assert unchecked["failure"] == "fine" and "not checked: self" in unchecked["steps"][2]["text"][0], unchecked


def test_name_and_port(ctx):
	s = Site(ctx)
	with s.relay() as relay:
		relay.close_port()
		result = s.json(relay, code=1)
		assert result["failure"] == "no_connection" and "Connection refused" in result["steps"][-1]["text"][0], result
		assert "nothing listens there" in result["remedy"]
	s.configure(587, "starttls_strict", LOGIN + FILTER)
	with open(s.dir + "/postern.conf") as f:
		conf = f.read().replace('"localhost"', '"nowhere.invalid"')
	s.put("postern.conf", conf)
	result = json.loads(s.run("one", "--json", "--timeout", "2", code=1).stdout)[0]
	assert names(result) == ["resolve"] and "host" in result["remedy"], result


def test_full_backlog_is_a_blocked_port(ctx):
	"""A listener that takes no more connections is as silent as a firewall."""
	s = Site(ctx)
	with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
		callers = []
		for _ in range(4):
			caller = socket.socket()
			caller.setblocking(False)
			caller.connect_ex(full.getsockname())
			callers.append(caller)
		s.configure(full.getsockname()[1], "starttls_strict")
		result = json.loads(s.run("one", "--json", "--timeout", "1", code=1).stdout)[0]
		for caller in callers:
			caller.close()
	assert names(result) == START and result["failure"] == "no_connection", result
	assert "blocked on the way: try port 465" in result["remedy"]


@cases(
	("no CA file", 'ca_file = "/nonexistent/ca.pem"', "/nonexistent/ca.pem: "),
	("no certificate", 'certificate_file = "/nonexistent/c.pem"\nkey_file = "/nonexistent/k.pem"', "/nonexistent/c.pem: "),
	("the key of another one", 'certificate_file = "%s/ca.pem"\nkey_file = "%s/other.pem"', "other.pem: key values mismatch"),
)
def test_files_of_ours(ctx, more, words):
	s = Site(ctx)
	os.symlink(s.authority.certificate("other.test"), s.dir + "/other.pem")
	with s.relay() as relay:
		result = s.json(relay, more=more + "\n" + LOGIN + FILTER, code=1)
		assert (names(result)[-1], result["failure"]) == ("tls", "unusable"), result
		assert words in result["steps"][-1]["text"][0] and "unknown" not in result["steps"][-1]["text"][0], result


def test_nobody_is_asked_for_a_passphrase(ctx):
	"""Not even on a terminal, where OpenSSL would."""
	s = Site(ctx)
	path = s.authority.certificate("other.test")
	subprocess.run(["openssl", "ec", "-in", path, "-aes256", "-passout", "pass:x", "-out", s.dir + "/locked.pem"],
	    check=True, capture_output=True)
	terminal, ours = pty.openpty()
	with s.relay() as relay:
		s.configure(relay.port, "starttls_strict",
		    'certificate_file = "%s"\nkey_file = "%s/locked.pem"\n' % (path, s.dir) + FILTER)
		done = subprocess.run([ctx.program("postern"), "-c", s.dir + "/postern.conf", "test-relay", "one"], stdin=ours,
		    capture_output=True, text=True, timeout=10, start_new_session=True,
		    preexec_fn=lambda: fcntl.ioctl(ours, termios.TIOCSCTTY, 0))
	os.close(ours)
	os.close(terminal)
	assert done.returncode == 1 and "locked.pem" in done.stdout, (done.stdout, done.stderr)


@cases(
	("its certificate", "127.0.0.1", "fine"),
	("the certificate of a name", "localhost", "no_tls"),
)
def test_an_address_instead_of_a_name(ctx, name, failure):
	s = Site(ctx)
	with s.relay(name=name) as relay:
		s.configure(relay.port, "starttls_strict")
		with open(s.dir + "/postern.conf") as f:
			conf = f.read().replace('"localhost"', '"127.0.0.1"')
		s.put("postern.conf", conf)
		assert json.loads(s.run("one", "--json", code=failure != "fine").stdout)[0]["failure"] == failure


# --- secrets

@cases(
	("missing", None, 0, "No such file"),
	("readable by all", PASSWORD, 0o644, "chmod 0600"),
	("empty", "\n", 0o600, "is empty"),
)
def test_password_file(ctx, text, mode, words):
	s = Site(ctx)
	os.unlink(s.dir + "/password")
	if text is not None:
		s.put("password", text, mode)
	with s.relay() as relay:
		result = s.json(relay, code=1)
		assert result["failure"] == "no_secret" and words in result["remedy"] and not result["steps"], result
		assert words in s.test(relay, code=1).stdout
		assert relay.sessions == 0


@cases(
	("none yet", None, "postern-broker"),
	("expired", "1\nya29.token\n", "expired"),
)
def test_token_file(ctx, text, words):
	s = Site(ctx)
	if text is not None:
		s.put("state/tokens/one", text)
	with s.relay(users=None, tokens=lambda user, token: True) as relay:
		result = s.json(relay, more=OAUTH + FILTER, code=1)
		assert result["failure"] == "no_secret" and words in result["remedy"], result


def test_an_echoed_password_is_not_shown(ctx):
	s = Site(ctx)
	seen = []

	def echo(transaction, arg):
		line = relay.commands[-1][1]
		seen.append(line)
		return ["535 5.7.8 you sent " + line, "535 5.7.8 which is " + PASSWORD]

	with s.relay(answers={"auth": echo}) as relay:
		out = s.test(relay, code=1)
		encoded = seen[0].split()[-1]
		for secret in PASSWORD, encoded, encoded[:20], encoded[-20:]:
			assert secret not in out.stdout + out.stderr, out.stdout
		assert "you sent AUTH PLAIN *** / 5.7.8 which is ***" in out.stdout, out.stdout


def test_controls_of_the_server_are_shown_as_text(ctx):
	s = Site(ctx)
	with s.relay(answers={"mail": b"550 \x1b[2Jno\r\xff"}) as relay:
		assert "550 \\x1b[2Jno\\x0d\\xff" in s.test(relay, code=1).stdout


# --- somebody on the way

def test_bytes_behind_starttls_are_refused(ctx):
	"""What somebody on the way adds to the 220 must not be taken for an answer inside TLS (CVE-2011-0411)."""
	s = Site(ctx)
	with s.relay(answers={"starttls": b"220 2.0.0 go on\r\n250 injected"}) as relay:
		result = s.json(relay, code=1)
		assert (names(result)[-1], result["failure"]) == ("starttls", "no_tls"), result
		assert "before TLS has begun" in result["steps"][-1]["text"][0] and not relay.logins


def test_a_server_that_goes_on_in_the_clear(ctx):
	s = Site(ctx)
	with s.relay(answers={"handshake": "250 hello"}) as relay:
		result = s.json(relay, code=1)
		# it depends on whether both its packets are there when we look
		assert names(result)[-1] in ("starttls", "tls") and result["failure"] == "no_tls", result
		assert not relay.logins


def test_slow_bytes_do_not_outlast_the_deadline(ctx):
	"""A server that always says a little more."""
	s = Site(ctx)
	with socket.create_server(("127.0.0.1", 0)) as listener:
		def drip():
			peer = listener.accept()[0]
			with peer:
				try:
					while True:
						peer.sendall(b"220-x\r\n")
						if stop.wait(0.1):
							return
				except OSError:
					pass

		stop = threading.Event()
		thread = threading.Thread(target=drip)
		thread.start()
		s.configure(listener.getsockname()[1], "starttls_strict")
		out = s.run("one", "--json", "--timeout", "1", code=1)
		stop.set()
		thread.join()
	assert json.loads(out.stdout)[0]["failure"] == "no_service" and out.seconds < 3, out.seconds


# --- the command

TWO = 'from_filter = {"acme.test"}\n}\nrelay "two" {\n\thost = "localhost"\n\tport = %d\n\tsecurity = none\n' \
    '\tactive = no\n\tfrom_filter = {"acme.test"}\n'


def test_several(ctx):
	s = Site(ctx)
	with s.relay("plain", users=None) as one, s.relay("plain", users=None, answers={"rcpt": "550 no"}) as two:
		s.configure(one.port, "none", TWO % two.port)
		assert [x["relay"] for x in json.loads(s.run("--all", "--json", code=0).stdout)] == ["one"]
		both = json.loads(s.run("two", "one", "--json", code=1).stdout)
		assert {x["relay"]: x["failure"] for x in both} == {"one": "fine", "two": "refused_recipient"}
		assert s.run("two", "--no-login", code=0).stdout.startswith("two: ")


@cases(
	("nothing", [], "names of relays or --all"),
	("both", ["one", "--all"], "names of relays or --all"),
	("unknown", ["wrong"], 'no relay "wrong"; there are: one'),
	("no address", ["one", "--from", "ann"], '"ann" is no address'),
	("no domain", ["one", "--to", "ann@"], '"ann@" is no address'),
	("no time", ["one", "--timeout", "0"], "1 to 600 seconds"),
)
def test_misuse(ctx, args, words):
	s = Site(ctx)
	s.configure(587, "starttls_strict")
	assert words in s.run(*args, code=64).stderr


def test_tells_that_it_waits(ctx):
	s = Site(ctx)
	with s.relay(answers={"connect": HANG}) as relay:
		assert "waiting for one, 1 s" in s.test(relay, "starttls", "-v", "--timeout", "2", code=1).stderr


def test_nobody_reads_its_memory(ctx):
	"""Not its own user either, nor a program that is handed core dumps, which asks for no limit of them."""
	s, program = Site(ctx), ctx.program_for_others("postern")
	with open(program, "rb") as f:
		binary = f.read()
	if b"__asan_init" in binary or b"__tsan_init" in binary:	# they need to look at themselves
		return
	os.chmod(s.dir, 0o755)
	os.chown(s.dir + "/password", 65534, 65534)
	with s.relay(answers={"connect": HANG}) as relay:
		s.configure(relay.port, "starttls")
		p = subprocess.Popen([program, "-c", s.dir + "/postern.conf", "test-relay", "one"], user=65534, group=65534, extra_groups=[],
		    stdout=subprocess.DEVNULL)
		try:
			wait_until(lambda: relay.sessions, 10, "it does not connect")
			assert os.stat("/proc/%d/mem" % p.pid).st_uid == 0
			with open("/proc/%d/limits" % p.pid) as f:
				assert re.search(r"Max core file size\s+0\s+0\s", f.read())
		finally:
			p.kill()
			p.wait()


def test_no_relay_is_configured(ctx):
	s = Site(ctx)
	s.put("postern.conf", 'gateway "main" { target = "redirect to x.test" }\ndomain "acme.test" { }\n')
	assert "no relay is configured" in s.run("--all", code=64).stderr


def test_a_filter_that_nothing_passes(ctx):
	s = Site(ctx)
	with s.relay() as relay:
		result = s.json(relay, more=LOGIN + "from_filter = {}\n", code=1)
		assert result["failure"] == "unusable" and "--from" in result["remedy"], result


@cases(
	("a line of its own", "x@y.test>\r\nRSET"),
	("a bracket", "x>@y.test"),
	("8-bit", "jörg@y.test"),
)
def test_addresses_that_smtp_cannot_carry(ctx, address):
	s = Site(ctx)
	with s.relay("plain", users=None) as relay:
		result = s.json(relay, "none", "--from", address, more=FILTER, code=1)
		assert (names(result)[-1], result["failure"]) == ("mail", "unusable"), result
		assert not relay.transactions
