#!/usr/bin/python3
"""make demo: real mail through a private Postfix with Postern.  Exit 0 only if every row is as it must be."""
import os
import re
import sys
import threading
import time

from gateway_site import HERE, Site
from outbound import Outbound

ANN = "ann@customer.example"
ROBIN = "robin@flood.example"


class Row:
	"""One mail: what is sent, and what must become of it.

	answer   start of the SMTP answer, or a set of them for mails sent at the same moment
	to       recipients that must arrive at the application, at a mailbox or outside; none: nothing may arrive
	rule     as the log has it; "-" when Postfix answers by itself
	"""

	def __init__(self, title, mail, rcpts, answer, to=(), rule="-", sender=ANN, service="smtp", header=None):
		self.title, self.mail, self.rcpts, self.sender, self.service = title, mail, rcpts, sender, service
		self.answer, self.to, self.rule, self.header = answer, sorted(to), rule, header


ROWS = [
	Row("alias", "alias", ["sales@acme.example"], "250", ["sales@acme.odoo.example"], "alias"),
	Row("several aliases at once", "several-aliases", ["sales@acme.example", "support@acme.example"], "250",
		["sales@acme.odoo.example", "support@acme.odoo.example"], "alias"),
	Row("alias in Bcc", "bcc-alias", ["sales@acme.example"], "250", ["sales@acme.odoo.example"], "alias",
		header=("Delivered-To", "sales@acme.example")),
	Row("upper case", "upper-case", ["SALES@ACME.EXAMPLE"], "250", ["SALES@acme.odoo.example"], "alias"),
	Row("sales+x@ (unknown, as in Odoo)", "plus-tag", ["sales+chairs@acme.example"], "550 5.1.1"),
	Row("notification that leaves", "notification", [ANN], "250", [ANN], "outbound", "bounce@acme.example",
		"submission"),
	Row("reply to it, to the catchall", "reply", ["catchall@acme.example"], "250", ["catchall@acme.odoo.example"],
		"reply"),
	Row("forward to another model's alias", "forward", ["support@acme.example"], "250",
		["support@acme.odoo.example"], "alias"),
	Row("catchall written to directly", "catchall-direct", ["catchall@acme.example"], "550 5.7.1",
		rule="catchall_direct"),
	Row("catchall mixed with others", "catchall-mixed", ["catchall@acme.example"], "550 5.7.1",
		rule="catchall_mixed"),
	Row("unknown address", "unknown", ["nobody@acme.example"], "550 5.1.1"),
	Row("mailbox of a person", "human", ["joe@acme.example"], "250", ["joe@acme.example"], "pass"),
	Row("delivery report", "dsn", ["bounce@acme.example"], "250", ["bounce@acme.odoo.example"], "is_bounce", ""),
	Row("answer to a loop notice", "loop-notice-answer", ["catchall@acme.example"], "250", [], "loop_headers"),
]


def read_mail(name):
	with open(os.path.join(HERE, "mails", name + ".eml"), "rb") as file:
		return file.read()


def answer_of(result):
	"""The reply that decided: of the first stage that was refused, else the last."""
	replies = [r for r in [result.mail, *result.rcpts, result.data, result.end] if r is not None]
	refused = [r for r in replies if r.code >= 400]
	reply = refused[0] if refused else replies[-1]
	return "%d %s" % (reply.code, " ".join(reply.text.split()))


class Demo:
	def __init__(self, site):
		self.site = site
		self.sinks = (site.odoo, site.people, *site.relays.values())
		self.seen = {sink: 0 for sink in self.sinks}
		self.failed = 0

	def arrivals(self, expected):
		"""[(recipients, sender, transaction)] since the last call; waits for what is expected, and for the queue to be empty."""
		deadline = time.monotonic() + 15
		self.site.postfix.wait_queue_empty()
		while True:
			new = [t for sink in self.sinks for t in sink.messages[self.seen[sink]:]]
			if sum(len(t.recipients) for t in new) >= expected or time.monotonic() > deadline:
				break
			time.sleep(0.01)
		for sink in self.sinks:
			self.seen[sink] = len(sink.messages)
		return new

	def log_line(self, message_id, queue_id=None):
		"""The milter's line about a mail; one for a person is not read, so it is known by its queue id only."""
		marks = ["message-id=<%s>" % message_id] + (["qid=%s " % queue_id] if queue_id else [])
		lines = [l for l in self.site.milter.stderr().splitlines() if any(m in l for m in marks)]
		return lines[-1] if lines else ""

	def send(self, row, mail=None):
		return self.site.send(row.sender, row.rcpts, mail or read_mail(row.mail), row.service)

	def show(self, title, answer, arrived, rule, reason, ok):
		self.failed += not ok
		print("%-4s %-34s %s" % ("ok" if ok else "FAIL", title, answer))
		print("     %-34s %s" % ("", arrived or "nothing arrives"))
		print("     %-34s rule %s%s" % ("", rule, ": " + reason if reason else ""), flush=True)

	def judge(self, row, result, new):
		"""Compares and prints one row."""
		got = sorted(r for t in new for r in t.recipients)
		senders = sorted({t.sender for t in new})
		answer = answer_of(result)
		message_id = re.search(rb"^Message-ID: <(.*)>", read_mail(row.mail), re.M | re.I).group(1).decode()
		line = self.log_line(message_id, result.queue_id)
		rule = (re.search(r" rule=(\S+)", line) or re.search(r" verdict=(\S+)", line))
		rule = rule.group(1) if rule else "-"
		reason = re.search(r' reason="((?:[^"\\]|\\.)*)"', line)
		ok = answer.startswith(row.answer) and got == row.to and rule == row.rule
		ok = ok and all(s == row.sender for s in senders)
		if row.header:
			ok = ok and all(row.header[1] in t.headers(row.header[0]) for t in new)
		self.show(row.title, answer, self.arrived(new), rule if rule != "-" else "none, Postfix answers",
			reason.group(1) if reason else "", ok)

	@staticmethod
	def arrived(new):
		return "; ".join("to %s, from <%s>" % (", ".join(t.recipients), t.sender) for t in new)

	def row(self, row):
		result = self.send(row)
		self.judge(row, result, self.arrivals(len(row.to)))

	def twins(self):
		"""One Message-ID for two aliases, on two connections at the same moment: one copy now, the other told to wait."""
		rows = [Row("", "twin", [a], "") for a in ("sales@acme.example", "support@acme.example")]
		answers, ready = [], threading.Barrier(2)

		def deliver(row):
			ready.wait()
			answers.append(answer_of(self.send(row)))
		threads = [threading.Thread(target=deliver, args=(row,)) for row in rows]
		for thread in threads:
			thread.start()
		for thread in threads:
			thread.join()
		new = self.arrivals(1)
		answers.sort()
		ok = len(new) == 1 and answers[0].startswith("250") and answers[1].startswith("451 4.7.1")
		self.show("one Message-ID, two connections", " | ".join(answers), self.arrived(new), "alias | twin", "", ok)

	def flood(self):
		"""21 mails of one sender within the window."""
		row = Row("", "flood", ["sales@acme.example"], "", sender=ROBIN)
		text = read_mail("flood").decode()
		answers = [answer_of(self.send(row, (text % (i, i)).encode())) for i in range(1, 22)]
		new = self.arrivals(20)
		line = self.log_line("flood-21@flood.example")
		ok = all(a.startswith("250") for a in answers[:20]) and answers[20].startswith("451 4.7.1")
		ok = ok and len(new) == 20 and " rule=loop_new " in line
		self.show("21 mails of one sender", "20 x 250, then " + answers[20], "%d arrive" % len(new), "loop_new", "", ok)


def main():
	build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
	with Site(build) as site:
		site.start()
		demo = Demo(site)
		print("\n     %-34s %s\n" % ("mail", "SMTP answer / who gets it, envelope sender / rule and reason"))
		for row in ROWS:
			demo.row(row)
		demo.twins()
		demo.flood()
		outbound = Outbound(site)
		outbound.show_all()
		rows, failed = len(ROWS) + 2 + outbound.rows, demo.failed + outbound.failed
		print("demo: %d passed, %d failed" % (rows - failed, failed))
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
