"""A postern-milter with a configuration of its own, and mail as Postfix presents it; for tests/wire/test_milter_*.py."""

import itertools
import os
import re
import subprocess
import threading

from lab import *

CONF = """\
state_directory = "%(state)s"
milter_socket = "unix:%(socket)s"
map_socket = "unix:%(socket)s.map"
policy_socket = ""
dmarc = off
socket_group = ""
hostname = "mx.lab.test"
%(top)s
gateway "acme" {
	target = "redirect to odoo.test"
	%(gateway)s
}
domain "company.test" {
	%(domain)s
}
alias "sales@company.test" {
	model = crm.lead
}
alias "help@company.test" {
	model = project.task
}
%(more)s
"""

# for tests that send more than twenty mails of one sender
UNCOUNTED = 'mail.gateway.allowed = {"ann@x.test"}'
HERE = os.path.dirname(os.path.abspath(__file__))
_numbers = itertools.count(1)


class Gate(MilterProcess):
	"""The milter, in the test's folder.  Two of different name share the state directory.

	top, gateway, domain, more: text for the configuration; complete = yes unless told otherwise."""

	def __init__(self, ctx, name="milter", gateway="", domain="", top="", more="", complete=True, state=None,
	    conf_only=False, **options):
		self.folder = str(ctx.tmp)
		self.state = state or self.folder + "/state"
		os.makedirs(self.state, exist_ok=True)
		self.texts = {"state": self.state, "socket": "%s/%s.sock" % (self.folder, name), "top": top,
		    "gateway": gateway + ("\n\tcomplete = yes" if complete else ""), "domain": domain, "more": more}
		conf = "%s/%s.conf" % (self.folder, name)
		with open(conf, "w", encoding="utf-8") as f:
			f.write(CONF % self.texts)
		super().__init__(ctx.program("postern-milter"), conf, self.texts["socket"], **options)

	def rewrite(self, text=None, **texts):
		"""Another configuration, for the next reload."""
		self.texts.update(texts)
		with open(self.conf + ".new", "w", encoding="utf-8") as f:
			f.write(CONF % self.texts if text is None else text)
		os.replace(self.conf + ".new", self.conf)

	def client(self, opened=True, **options):
		c = Session(self.path, **options)
		if opened:
			c.open_session()
		return c

	def deliver(self, message=None, recipients="sales@company.test", **options):
		"""One mail on a connection of its own."""
		with self.client() as c:
			return c.deliver(message, recipients, **options)

	def lines(self, pattern="."):
		"""Log lines about mails and recipients that match; without the name of the program."""
		found = re.findall(r"^postern-milter\[\d+\]: (.*)$", self.stderr(), re.M)
		return [f for f in found if re.search(r"(^|: )(qid|rcpt|mail)=", f) and re.search(pattern, f)]

	@property
	def sanitized(self):
		"""Built with a sanitizer: it keeps what was freed, so memory says nothing there, and it is slow."""
		with open(self.binary, "rb") as f:
			text = f.read()
		return b"__asan_init" in text or b"__tsan_init" in text


class Session(MilterClient):
	"""Postfix's end of one connection."""

	SMTP = {"{mail_mailer}": "relay"}

	def deliver(self, message=None, recipients="sales@company.test", sender="ann@x.test", smtp=True, **options):
		macros = dict(self.SMTP if smtp else {}, **options.pop("mail_macros", {}))
		return self.send_mail(sender, recipients, mail() if message is None else message, mail_macros=macros, **options)

	def begin(self, sender="ann@x.test", recipients=("sales@company.test",), smtp=True):
		"""Up to DATA; returns the verdict of the last recipient."""
		verdict = self.mail(sender, macros=dict({"{mail_addr}": sender}, **(self.SMTP if smtp else {})))
		for r in recipients:
			verdict = self.rcpt(r, macros={"{rcpt_addr}": r})
		return verdict

	def content(self, message=None, chunk=65535):
		"""Header and body of a message, up to before its end."""
		head, body = split_message(mail() if message is None else message)
		for name, value in head:
			self.header(name, value)
		self.eoh()
		for at in range(0, len(body), chunk):
			self.body(body[at:at + chunk])


class Helper:
	"""A C program beside this file that does something to the state, from "said" until the end of `with`."""

	def __init__(self, ctx, name, said, *args):
		program = "%s/%s" % (ctx.tmp, name)
		if not os.path.exists(program):
			subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-o", program, HERE + "/%s.c" % name, "-llmdb"], check=True)
		self.process = subprocess.Popen([program, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
		if self.process.stdout.readline() != said:
			raise LabError(name + " does not work")

	def __enter__(self):
		return self

	def __exit__(self, *exc):
		self.process.stdin.close()
		self.process.stdout.close()
		if self.process.wait(60) != 0:
			raise LabError("a helper failed")


class Lock(Helper):
	"""Somebody who keeps the writer's lock of the state: every end of message waits."""

	def __init__(self, ctx, gate, hold_ms, gap_ms=50, times=1):
		super().__init__(ctx, "hold_lock", b"held\n", gate.state + "/state", hold_ms, gap_ms, times)

	def __exit__(self, *exc):
		self.process.kill()
		self.process.wait()
		self.process.stdin.close()
		self.process.stdout.close()


class Full(Helper):
	"""The state's file is full: somebody has written until there was no room, and removes it all at the end."""

	def __init__(self, ctx, gate):
		super().__init__(ctx, "fill_map", b"full\n", gate.state + "/state")


def fresh_id():
	return "<%d.%d@x.test>" % (os.getpid(), next(_numbers))


def mail(id=None, to="sales@company.test", sender="Ann <ann@x.test>", more=b"", body=b"hello\r\n"):
	"""A message; id None: one of its own, "": none."""
	id = fresh_id() if id is None else id
	head = "From: %s\r\nTo: %s\r\nSubject: hello\r\n" % (sender, to)
	if id:
		head += "Message-Id: %s\r\n" % id
	return head.encode("utf-8", "surrogateescape") + more + b"\r\n" + body


def at_once(*functions):
	"""Runs them in threads; their results in order, the first exception raised."""
	results = [None] * len(functions)
	def run(i):
		try:
			results[i] = functions[i]()
		except BaseException as e:
			results[i] = e
	threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(functions))]
	for t in threads:
		t.start()
	for t in threads:
		t.join(120)
	for r in results:
		if isinstance(r, BaseException):
			raise r
	return results


def taken(result):
	"""The mail was accepted and goes to Odoo."""
	eom = result.eom
	return eom is not None and eom.kind in ("continue", "accept") and len(eom.added) > 0


def gone(verdict):
	"""Recipients taken out, without the brackets that may be around them or not."""
	return [a[1:-1] if a[:1] == "<" and a[-1:] == ">" else a for a in verdict.deleted]


def text_of(verdict):
	return "%s %s" % (verdict.code, verdict.text[4:]) if verdict.kind == "replycode" else verdict.kind
