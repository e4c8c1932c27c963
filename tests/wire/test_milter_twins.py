"""The same Message-ID again: never two accepted within a lease, never one lost."""

import itertools
import time

from lab import *
from milterlab import *

TWIN = "451 4.7.1 a mail with this Message-ID was taken a moment ago, try again later"


def _answers(sessions, message):
	"""The same mail on all of them at once: kinds of the answers."""
	results = at_once(*[lambda c=c: c.deliver(message) for c in sessions])
	return [taken(r) or text_of(r.eom) for r in results]


@cases(("one process", False), ("two processes", True))
def test_two_at_once(ctx, two):
	with Gate(ctx, gateway=UNCOUNTED) as a:
		b = Gate(ctx, name="other", gateway=UNCOUNTED) if two else a
		with b, a.client() as one, b.client() as other:
			for _ in range(200):
				message = mail()
				assert sorted(_answers([one, other], message), key=str) == [TWIN, True]
				assert _answers([other], message) == [TWIN]
			lines = a.lines("verdict=accept") + (b.lines("verdict=accept") if two else [])
			assert len(lines) == 200, len(lines)


def test_ten_at_once(ctx):
	with Gate(ctx, gateway=UNCOUNTED) as g:
		sessions = [g.client() for _ in range(10)]
		for _ in range(20):
			answers = _answers(sessions, mail())
			assert answers.count(True) == 1 and answers.count(TWIN) == 9, answers
		for c in sessions:
			c.close()


# --- every order of what can happen to the first mail, and when it comes again.
# Each returns True if the mail was decided on and accepted, False if it cannot have been, None if that is a race.

def _accepted(gate, c, message):
	return taken(c.deliver(message))


def _answer_unread(gate, c, message):
	"""Postfix, or its client, is gone when the answer comes: it may have kept the mail or not."""
	_to_the_end(c, message)
	c.packet("E")
	wait_until(lambda: gate.lines("verdict=accept"), 5, "the end of the message was not handled")
	return True


def _gone_at_once(gate, c, message):
	_to_the_end(c, message)
	c.packet("E")
	return None


def _aborted(gate, c, message):
	_to_the_end(c, message)
	c.abort()
	return False


def _lost(gate, c, message):
	_to_the_end(c, message)
	return False


def _to_the_end(c, message):
	c.begin()
	c.content(message)


FIRST = {"accepted": _accepted, "answer not read": _answer_unread, "gone before the answer": _gone_at_once,
    "aborted": _aborted, "lost before the end": _lost}
LEASE = 1


@cases(*(("%s%s, %s" % (first, ", milter killed" if kill else "", when), FIRST[first], kill, when)
    for first, kill, when in itertools.product(FIRST, [False, True], ["within the lease", "after the lease"])))
def test_order(ctx, first, kill, when):
	message = mail()
	with Gate(ctx, gateway="twin_lease = %ds" % LEASE) as gate:
		began = time.monotonic()
		with gate.client() as c:
			accepted = first(gate, c, message)
			ended = time.monotonic()
			if kill:
				gate.kill()
		if kill:
			gate.start()
		if when == "after the lease":
			time.sleep(max(0, ended + LEASE + 0.1 - time.monotonic()))
		r = gate.deliver(message)
		asked = time.monotonic()
		if accepted is False or when == "after the lease":
			# it was not taken, or so long ago that only Odoo can say: it must not be lost
			assert taken(r), r
		elif accepted and asked - began < LEASE:
			assert text_of(r.eom) == TWIN, r
		else:
			assert taken(r) or text_of(r.eom) == TWIN, r
		if taken(r):
			return
		# who keeps trying gets through, but nobody within the lease
		wait_until(lambda: taken(gate.deliver(message)), LEASE + 5, "the mail never gets through")
		assert time.monotonic() - began >= LEASE, "accepted again within the lease"


@cases(("before its answer", True), ("after its answer", False))
@timeout(120)
def test_killed_again_and_again(ctx, before):
	"""What one process has answered the next one knows, wherever the first was."""
	with Gate(ctx) as g:
		for i in range(10):
			message = mail(sender="u%d@x.test" % i)
			c = g.client()
			_to_the_end(c, message)
			if before:
				c.packet("E")
				time.sleep(i * 0.0002)
			else:
				assert taken(_end(c))
			g.kill()
			accepted = not before or _answered(c)
			c.close()
			g.start()
			r = g.deliver(message)
			if accepted:
				assert text_of(r.eom) == TWIN, r
			else:
				assert taken(r) or text_of(r.eom) == TWIN, r


def _end(c):
	r = MailResult()
	r.stages["eom"] = r.final = c.eom()
	return r


def _answered(c):
	"""The answer was on its way when the milter was killed."""
	try:
		return c.verdict().kind == "continue"
	except (EOFError, ConnectionError):
		return False


# --- what is no twin

@cases(("no Message-ID", "", "", True), ("another Message-ID", "<a@x.test>", "<b@x.test>", True),
    ("other case", "<a@x.test>", "<A@x.test>", True), ("the same", "<a@x.test>", "<a@x.test>", False),
    ("the same, blanks around", "<a@x.test>", "  <a@x.test> ", False), ("the same, folded", "<a@x.test>", "\n <a@x.test>", False))
def test_what_is_the_same(ctx, one, other, good):
	with Gate(ctx) as g, g.client() as c:
		assert taken(c.deliver(mail(id=one)))
		assert taken(c.deliver(mail(id=other))) is good


def test_refused_mail_takes_no_lease(ctx):
	with Gate(ctx) as g, g.client() as c:
		message = mail(to="catchall@company.test")
		assert c.deliver(message, "catchall@company.test").eom.code == 550
		message = message.replace(b"catchall@", b"sales@")
		assert taken(c.deliver(message))
		assert text_of(c.deliver(message).eom) == TWIN


def test_no_lease(ctx):
	with Gate(ctx, gateway="twin_lease = 0") as g, g.client() as c:
		message = mail()
		assert taken(c.deliver(message)) and taken(c.deliver(message))


def test_gateways_do_not_share_leases(ctx):
	more = 'gateway "beta" { target = "redirect to beta.test"\n complete = yes }\n' \
	    'domain "beta.example" { gateway = "beta" }\nalias "sales@beta.example" { model = crm.lead }'
	with Gate(ctx, domain='gateway = "acme"', more=more) as g, g.client() as c:
		message = mail(to="sales@company.test, sales@beta.example")
		r = c.deliver(message, "sales@company.test")
		assert taken(r) and r.eom.added == ["sales@odoo.test"]
		r = c.deliver(message, "sales@beta.example")
		assert taken(r) and r.eom.added == ["sales@beta.test"]
		assert text_of(c.deliver(message, "sales@beta.example").eom) == TWIN


def test_outbound_is_no_twin(ctx):
	"""Odoo sends one transaction per partner under one Message-ID."""
	with Gate(ctx) as g, g.client() as c:
		message = mail(sender="sales@company.test", to="joe@far.test")
		for i in range(3):
			r = c.deliver(message, "joe%d@far.test" % i, sender="bounce@company.test", mail_macros={"{auth_authen}": "odoo"})
			assert r.eom.kind == "continue" and not r.eom.added, r
		assert len(g.lines("verdict=outbound")) == 3


@cases(("logged in", "mx.lab.test", {"mail_macros": {"{auth_authen}": "odoo"}}), ("its service", "ORIGINATING", {}))
def test_outbound_to_aliases_of_ours_is_no_twin(ctx, daemon, options):
	"""Nor when it stays in the house: Odoo would not come back after a 4xx."""
	with Gate(ctx) as g, g.client(opened=False) as c:
		c.open_session(daemon_name=daemon)
		message = mail(sender="joe@company.test", to="sales@company.test, help@company.test")
		for to in ("sales", "help", "sales"):
			r = c.deliver(message, to + "@company.test", sender="bounce@company.test", **options)
			assert taken(r) and r.eom.added == [to + "@odoo.test"], r
	with Gate(ctx, name="inbound") as g, g.client() as c:
		assert taken(c.deliver(message)), "it took no lease"
		assert text_of(c.deliver(message, "help@company.test").eom) == TWIN
