"""How many mails of one sender are taken, over all sessions, processes and restarts."""

import threading

from lab import *
from milterlab import *

PERSON = "451 4.7.1 too many mails from this sender in a short time, looks like a loop"
AUTOMATIC = "550 5.4.6 too many mails from this sender in a short time, looks like a loop"
HOURS = 3600


def _answers(c, n, sender="ann@x.test", to="sales@company.test", **options):
	"""The answers to n mails of a sender, each with a Message-ID of its own; True: taken."""
	out = []
	for _ in range(n):
		r = c.deliver(mail(sender=sender, to=to, **options), to)
		out.append(True if taken(r) else text_of(r.final))
	return out


def test_twenty(ctx):
	with Gate(ctx) as g, g.client() as c:
		assert _answers(c, 22) == [True] * 20 + [PERSON] * 2
		assert _answers(c, 1, sender="bob@x.test") == [True]
		assert _answers(c, 1, sender="ANN@X.test") == [PERSON], "the case of an address is no difference"
		assert _answers(c, 1, to="help@company.test") == [True], "another model is another window"
		lines = g.lines("rule=loop_new")
		assert len(lines) == 3 and all('verdict=defer' in line and 'reason="too many' in line for line in lines), lines


@cases(("Auto-Submitted", b"Auto-Submitted: auto-replied\r\n", True), ("not auto-submitted", b"Auto-Submitted: no\r\n", False),
    ("Precedence bulk", b"Precedence: bulk\r\n", True), ("Precedence list", b"Precedence: list\r\n", True),
    ("suppress", b"X-Auto-Response-Suppress: OOF, AutoReply\r\n", True), ("mailing list", b"List-Id: <a.b.test>\r\n", True),
    ("a person", b"", False))
def test_the_answer_depends_on_the_writer(ctx, more, automatic):
	with Gate(ctx, gateway="mail.gateway.loop.threshold = 2") as g, g.client() as c:
		assert _answers(c, 4, more=more) == [True] * 2 + [AUTOMATIC if automatic else PERSON] * 2


def test_null_sender_is_automatic(ctx):
	with Gate(ctx, gateway="mail.gateway.loop.threshold = 1") as g, g.client() as c:
		assert taken(c.deliver(mail()))
		assert text_of(c.deliver(mail(), sender="").eom) == AUTOMATIC


@cases(("defer", "defer", PERSON), ("refuse", "refuse", AUTOMATIC), ("discard", "discard", "discard"), ("hold", "hold", "hold"))
def test_configured_answers(ctx, answer, expected):
	with Gate(ctx, gateway="mail.gateway.loop.threshold = 1\n\tloop_person = " + answer) as g, g.client() as c:
		assert taken(c.deliver())
		v = c.deliver().eom
		if expected == "hold":
			assert v.kind == "continue" and [a[0] for a in v.named("quarantine")] == ["quarantine"], v
			assert v.added == ["sales@odoo.test"], "what an operator releases goes to Odoo"
		else:
			assert text_of(v) == expected, v
		line = g.lines()[-1]
		assert "verdict=%s rule=loop_new" % answer in line and 'reason="' in line, line


def test_automatic_mail_loses_only_our_recipients(ctx):
	with Gate(ctx, gateway="mail.gateway.loop.threshold = 1") as g, g.client() as c:
		assert taken(c.deliver())
		r = c.deliver(mail(more=b"Auto-Submitted: auto-generated\r\n"), ["joe@else.test", "sales@company.test"])
		assert r.eom.kind == "continue" and gone(r.eom) == ["sales@company.test"] and not r.eom.added, r
		r = c.deliver(mail(), ["joe@else.test", "sales@company.test"])
		assert r.eom.kind == "continue" and r.eom.added == ["sales@odoo.test"], "a person's is handed over: %r" % r


def test_two_processes_count_together(ctx):
	with Gate(ctx) as a, Gate(ctx, name="other") as b, a.client() as one, b.client() as two:
		got = []
		for i in range(24):
			got += _answers([one, two][i % 2], 1)
		assert got == [True] * 20 + [PERSON] * 4, got


@timeout(120)
def test_exact_when_all_come_at_once(ctx):
	with Gate(ctx) as a, Gate(ctx, name="other") as b:
		for sender in ("u1@x.test", "u2@x.test", "u3@x.test"):
			sessions = [g.client(timeout=60) for g in (a, b) for _ in range(10)]
			got = sum(at_once(*[lambda c=c: _answers(c, 5, sender=sender) for c in sessions]), [])
			assert got.count(True) == 20 and got.count(PERSON) == 80, got
			for c in sessions:
				c.close()


@timeout(120)
def test_killed_between(ctx):
	with Gate(ctx, gateway="mail.gateway.loop.threshold = 10") as g:
		got = []
		for _ in range(6):
			with g.client() as c:
				got += _answers(c, 2)
				g.kill()
			g.start()
		assert got == [True] * 10 + [PERSON] * 2, got


def test_the_window_moves(ctx):
	"""120 minutes: at a restart the clock is set ahead."""
	with Gate(ctx) as g:
		def at(seconds, n):
			g.stop()
			g.env["POSTERN_CLOCK_OFFSET"] = str(seconds)
			g.start()
			with g.client() as c:
				return _answers(c, n)
		assert at(0, 12) == [True] * 12
		assert at(1 * HOURS, 9) == [True] * 8 + [PERSON]
		assert at(2 * HOURS - 60, 1) == [PERSON]
		# the first 12 have left the window, the 8 are still in it
		assert at(2 * HOURS + 60, 13) == [True] * 12 + [PERSON]
		assert at(3 * HOURS + 60, 9) == [True] * 8 + [PERSON]
		assert at(100 * HOURS, 21) == [True] * 20 + [PERSON]


def test_allowed_senders(ctx):
	with Gate(ctx, gateway='mail.gateway.allowed = {"monitoring@x.test"}') as g, g.client() as c:
		assert _answers(c, 30, sender="Monitoring <monitoring@x.test>") == [True] * 30
		assert _answers(c, 21) == [True] * 20 + [PERSON]


def test_the_same_mail_is_counted_once(ctx):
	"""A milter behind ours refused it, or Postfix lost it: the client comes back with it."""
	with Gate(ctx, gateway="twin_lease = 0") as g, g.client() as c:
		message = mail()
		for _ in range(30):
			assert taken(c.deliver(message))
		assert _answers(c, 20) == [True] * 19 + [PERSON]
		assert taken(c.deliver(message)), "it had been taken before"


def test_refused_mail_is_not_counted(ctx):
	with Gate(ctx) as g, g.client() as c:
		for _ in range(25):
			assert c.deliver(mail(to="catchall@company.test"), "catchall@company.test").eom.code == 550
		assert _answers(c, 21) == [True] * 20 + [PERSON]


def test_aborted_mail_is_not_counted(ctx):
	with Gate(ctx) as g, g.client() as c:
		for _ in range(25):
			c.begin()
			c.content()
			c.abort()
		assert _answers(c, 21) == [True] * 20 + [PERSON]


def test_postmaster_is_never_counted(ctx):
	with Gate(ctx, domain='human = "joe@people.test"') as g, g.client() as c:
		for role in ("postmaster@company.test", "abuse@company.test"):
			for _ in range(30):
				r = c.deliver(mail(to=role), role)
				assert taken(r) and r.eom.added == ["joe@people.test"], r
		assert _answers(c, 21) == [True] * 20 + [PERSON]


def test_replies_count_per_record(ctx):
	def leaves(c, record):
		message = mail(id="<5-openerp-%d-crm.lead@company.test>" % record, sender="sales@company.test", to="ann@x.test",
		    more=b"X-Odoo-Objects: crm.lead-%d\r\n" % record)
		assert c.deliver(message, "ann@x.test", sender="bounce@company.test", mail_macros={"{auth_authen}": "odoo"}).eom.passes
	def reply(c, record):
		r = c.deliver(mail(to="catchall@company.test",
		    more=b"In-Reply-To: <5-openerp-%d-crm.lead@company.test>\r\n" % record), "catchall@company.test")
		return True if taken(r) else text_of(r.eom)
	with Gate(ctx, gateway="mail.gateway.loop.threshold = 3") as g, g.client() as c:
		leaves(c, 7)
		leaves(c, 8)
		assert [reply(c, 7) for _ in range(5)] == [True] * 3 + [PERSON] * 2
		assert [reply(c, 8) for _ in range(4)] == [True] * 3 + [PERSON]
		assert _answers(c, 1) == [True], "new records have a window of their own"
		assert len(g.lines("verdict=defer rule=loop_update")) == 3


def test_threshold_zero(ctx):
	"""Stops every mail that creates a record."""
	with Gate(ctx, gateway="mail.gateway.loop.threshold = 0") as g, g.client() as c:
		assert _answers(c, 2) == [PERSON] * 2


# --- mail whose target is not known yet

AUTO = b"Auto-Submitted: auto-replied\r\n"


def _answer(c, refs, more=b"", to="catchall@company.test", id=None):
	"""What a mail that refers to these ids is told; True: taken."""
	if refs:
		more += b"References: " + " ".join(refs).encode() + b"\r\n"
	r = c.deliver(mail(id=id, to=to, more=more), to)
	return True if taken(r) else text_of(r.final)


def test_automatic_answers_to_what_is_not_known(ctx):
	"""A robot names another message each time; a person may answer many records by way of the catchall."""
	with Gate(ctx) as g, g.client() as c:
		assert [_answer(c, ["<p%d@odoo>" % i]) for i in range(30)] == [True] * 30
		assert [_answer(c, ["<u%d@odoo>" % i], AUTO) for i in range(22)] == [True] * 20 + [AUTOMATIC] * 2
		assert _answer(c, ["<p@odoo>"]) is True, "the person's are not counted with the robot's"
		assert len(g.lines("verdict=hand_over rule=catchall_direct")) == 51


@cases(("automatic", AUTO, AUTOMATIC), ("a person", b"", PERSON))
def test_a_chain_of_answers(ctx, more, expected):
	"""Each refers to the one before (a person's client: to the first as well), the record is known to Odoo alone."""
	with Gate(ctx) as g, g.client() as c:
		first = last = fresh_id()
		answers = [_answer(c, [], more, "sales@company.test", first)]
		for i in range(22):
			id = fresh_id()
			answers.append(_answer(c, [last] if more else [first, last], more, id=id))
			if answers[-1] is True:		# what is refused is not answered
				last = id
		assert answers == [True] * 21 + [expected] * 2, answers
		assert len(g.lines("rule=loop_update")) == 2
		# Another conversation of a person has a window of its own.
		other = fresh_id()
		assert _answer(c, [], b"", "help@company.test", other) is True
		assert _answer(c, [other]) is True


BIG = b"X-Big: " + b"x" * 70000 + b"\r\n"


@cases(("over the limit", mail(id="", more=BIG)), ("cannot be read", mail(id="", to="sales@")))
def test_unread_mail_counts_for_its_envelope_sender(ctx, message):
	options = dict(top="header_limit = 64K", gateway='mail.gateway.allowed = {"monitoring@x.test"}')
	with Gate(ctx, domain='human = "joe@people.test"', **options) as g, g.client() as c:
		def answers(n, sender, to="sales@company.test"):
			results = [c.deliver(message, to, sender=sender) for _ in range(n)]
			return [taken(r) or text_of(r.eom) for r in results]
		assert answers(22, "ann@x.test") == [True] * 20 + [PERSON] * 2
		assert answers(1, "ANN@X.test") == [PERSON]
		assert answers(1, "bob@x.test") == [True]
		assert answers(30, "Monitoring@x.test") == [True] * 30, "an allowed sender"
		assert answers(30, "ann@x.test", "postmaster@company.test") == [True] * 30, "postmaster"
		assert len(g.lines("verdict=defer rule=loop_new")) == 3, g.lines()[-1]


def test_postmaster_beside_an_alias_hides_no_loop(ctx):
	"""Whoever comes later is told to come in a transaction of its own; what is left is counted as ever."""
	with Gate(ctx, domain='human = "joe@people.test"') as g, g.client() as c:
		both = ["sales@company.test", "postmaster@company.test"]
		results = [c.deliver(recipients=both) for _ in range(21)]
		assert [text_of(r.rcpts[1])[:9] for r in results] == ["452 4.5.3"] * 21
		assert [taken(r) or text_of(r.eom) for r in results] == [True] * 20 + [PERSON]
		r = c.deliver(recipients=both[::-1])
		assert text_of(r.rcpts[1])[:9] == "452 4.5.3" and r.eom.added == ["joe@people.test"], r
		r = c.deliver(recipients="abuse@company.test")
		assert r.rcpts[0].code == 250 and r.eom.added == ["joe@people.test"], r
