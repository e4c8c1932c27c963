"""The way out: which relay takes which mail, logged in as whom, and why."""
import os
import re
import subprocess

from base import wait_until

CUSTOMER = "ann@customer.example"
BOUNCE = "bounce@acme.example"
DAY = 86400


class Row:
	"""One mail that Odoo sends, and what must become of it.

	relay    who must take it; None: it must wait in the queue
	answer   as the milter's log has it: "route" or "wait", the relay that was chosen, the step
	arrives  From as it must arrive, as it was sent if not given; sender: envelope sender as it must arrive
	"""

	def __init__(self, title, frm, relay, answer, extra="", arrives=None, sender=BOUNCE):
		self.title, self.frm, self.relay, self.answer, self.extra = title, frm, relay, answer, extra
		self.arrives, self.sender = arrives or frm, sender
		self.ident = "<%s@odoo.acme.example>" % re.sub(r"\W+", "-", title)

	def mail(self):
		return "From: %s\nTo: %s\nSubject: %s\nMessage-ID: %s\n%s\nHello.\n" % (self.frm, CUSTOMER, self.title, self.ident,
		    self.extra)


BOB = "Bob <bob@acme.example>"
NEWS = ("News <news@news.acme.example>", "List-Unsubscribe: <https://acme.example/u>\n")
FIRST_DAY = [
	Row("a From of the domain", BOB, "transactional", "route transactional from_domain"),
	Row("an address with its own relay", "Billing <billing@acme.example>", "billing", "route billing from_address"),
	Row("a mass mailing", NEWS[0], "newsletter", "route newsletter from_domain", NEWS[1],
		sender="news@news.acme.example"),
	Row("a From that no relay may carry", "Eve <eve@partner.example>", "transactional",
		"route transactional notification_domain", arrives='"Eve" <notifications@acme.example>'),
	Row("its relay is spent, the next one", "Sales <sales@acme.example>", "billing", "route billing from_domain"),
]
WAITING = Row("all that may carry it are spent", NEWS[0], None, "wait newsletter from_domain", NEWS[1])
RELEASED = Row(WAITING.title, NEWS[0], "newsletter", WAITING.answer, sender="news@news.acme.example")
ASKED = Row("one more", BOB, "billing", "route billing from_domain")
DOWN = Row("its relay is down, Postfix goes on", BOB, "standby", "route transactional from_domain")


class Outbound:
	def __init__(self, site):
		self.site, self.rows, self.failed = site, 0, 0

	def show_all(self):
		print("\n     %-34s %s\n" % ("mail that leaves",
		    "SMTP answer / who takes it: login, TLS, From, envelope sender / why"))
		for row in FIRST_DAY:
			self.row(row)
		waiting = self.row(WAITING)
		self.command("explain", r"relay billing: from_domain", self.file(ASKED), "--outbound", "--from", BOUNCE, "--to",
		    CUSTOMER)
		self.command("relays", r"(?m)^transactional .* spent .* 3/3 day")
		print("     a day later\n")
		self.site.restart(DAY)
		self.site.postfix.flush()
		self.judge(RELEASED, "250 the day before", waiting)
		self.site.relays["transactional"].close_port()
		self.row(DOWN)
		print()

	def row(self, row):
		"""The queue id of the mail that was sent."""
		result = self.site.send(BOUNCE, [CUSTOMER], row.mail(), "submission")
		self.judge(row, "%d %s" % (result.code, result.final.text), result.queue_id)
		return result.queue_id

	def judge(self, row, answer, queue_id):
		log = next((l for l in reversed(self.site.milter.stderr().splitlines()) if row.ident in l), "")
		decided = " ".join(re.findall(r" (?:outbound|relay|step)=(\S+)", log))
		reason = re.search(r' outbound_reason="((?:[^"\\]|\\.)*)"', log)
		who, t = self.taken(queue_id) if row.relay else (None, self.put_off(queue_id))
		ok = answer.startswith("250") and who == row.relay and decided == row.answer
		if t is not None and who is not None:
			ok = ok and (t.auth, t.header("From"), t.sender) == (who + "@acme.example", row.arrives, row.sender)
			ok = ok and bool(t.tls) == (who != "newsletter")
		self.rows += 1
		self.failed += not ok
		print("%-4s %-34s %s" % ("ok" if ok else "FAIL", row.title, answer))
		print("     %-34s %s" % ("", "waits in the queue" if who is None else "%s: as %s, %s, From %s, from <%s>"
		    % (who, t.auth, t.tls or "no TLS", t.header("From"), t.sender)))
		print("     %-34s %s%s" % ("", decided, ": " + reason.group(1) if reason else ""), flush=True)

	def taken(self, queue_id):
		"""(name, transaction) of the relay that took the mail."""
		mark = re.compile(r"\bid %s\b" % queue_id)

		def found():
			return [(name, t) for name, relay in self.site.relays.items() for t in relay.messages
			    if mark.search(t.header_text)]
		return wait_until(found, 10, lambda: "%s did not leave:\n%s" % (queue_id, self.site.postfix.log()[-2000:]))[0]

	def put_off(self, queue_id):
		self.site.postfix.wait_log(r"%s: .*status=deferred" % queue_id)

	def file(self, row):
		path = os.path.join(self.site.dir, "mail.eml")
		with open(path, "w", encoding="utf-8") as f:
			f.write(row.mail())
		return path

	def command(self, name, wanted, *args):
		"""Runs `postern` and shows what it says; somewhere it must match."""
		shown = ["mail.eml" if a.startswith("/") else a for a in args]
		done = subprocess.run([os.path.join(self.site.build, "postern"), "-c", self.site.conf, name, *args],
		    capture_output=True, text=True, timeout=20)
		print("\n     $ postern %s\n" % " ".join([name, *shown]))
		print("".join("     %s\n" % line for line in done.stdout.rstrip().splitlines()), flush=True)
		ok = done.returncode == 0 and re.search(wanted, done.stdout) is not None
		self.rows += 1
		self.failed += not ok
		if not ok:
			print("FAIL exit status %d, or not: %s\n%s" % (done.returncode, wanted, done.stderr))
