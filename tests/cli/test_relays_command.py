"""postern relays: what it shows, and what the operator may change."""

import json
import os
import time

from lab import *

CONF = """\
state_directory = "%(dir)s/state"
hostname = "mx.lab.test"
gateway "main" { target = "redirect to acme.odoo.test" }
domain "acme.test" { gateway = "main" }
relay "late" { host = "late.test"  priority = 2  limits = {"100/message"} }
relay "first" { host = "2001:db8::1"  port = 465  security = ssl_strict  priority = 1  limits = {"3/day", "9/minute"} }
relay "off" { host = "off.test"  active = no  priority = 3 }
"""


class Site:
	def __init__(self, ctx):
		self.ctx, self.dir = ctx, ctx.tmp
		os.mkdir(ctx.tmp + "/state")
		with open(ctx.tmp + "/postern.conf", "w") as f:
			f.write(CONF % {"dir": ctx.tmp})

	def run(self, *args, code=0, offset=0):
		done = run(self.ctx.program("postern"), "-c", self.dir + "/postern.conf", "relays", *args,
		    env={"POSTERN_CLOCK_OFFSET": str(offset), "TZ": "UTC"})
		assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
		return done

	def rows(self, **options):
		return json.loads(self.run("--json", **options).stdout)

	def first(self, **options):
		return self.rows(**options)[0]

	def charge(self, n):
		"""As postern-health counts mail that nobody counted."""
		log = self.dir + "/mail.log"
		with open(self.dir + "/health.conf", "w") as f:
			f.write(CONF % {"dir": self.dir} + 'mail_log = "%s"\nprobe_interval = 0\n' % log)
		open(log, "a").close()
		with Program(self.ctx.program("postern-health"), ["-c", self.dir + "/health.conf"]) as health:
			health.wait_stderr("started")
			with open(log, "a") as f:
				for i in range(n):
					f.write("%s mx postfix/postern-smtps/smtp[1]: A1B2C3%d: to=<a@x.test>, relay=2001:db8::1[2001:db8::1]:465, "
					    "delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 ok)\n" % (time.strftime("%b %e %H:%M:%S"), i))
			wait_until(lambda: self.first()["used"].startswith("%d/" % n), 10, "charges")


def test_in_order_and_as_a_table(ctx):
	s = Site(ctx)
	s.charge(1)
	rows = s.rows()
	assert [(r["name"], r["address"], r["security"], r["state"], r["used"]) for r in rows] == [
		("first", "[2001:db8::1]:465", "ssl_strict", "open", "1/3 day, 1/9 minute"),
		("late", "late.test:587", "starttls_strict", "open", ""), ("off", "off.test:587", "starttls_strict", "inactive", "")]
	assert rows[0]["until"] is None and rows[1]["last_success"] is None
	lines = s.run().stdout.splitlines()
	assert lines[0].split()[:4] == ["NAME", "ADDRESS", "SECURITY", "STATE"] and len(lines) == 4


def test_spent_until_the_window_opens(ctx):
	s = Site(ctx)
	s.charge(3)
	row = s.first()
	assert row["state"] == "spent" and row["used"] == "3/3 day, 3/9 minute"
	opens = time.mktime(time.strptime(row["until"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - time.time()
	assert 86300 < opens <= 86401, row
	assert s.first(offset=100)["used"] == "3/3 day, 0/9 minute"
	assert s.first(offset=86402)["state"] == "open"
	s.run("--reset", "first")
	assert s.first()["used"] == "0/3 day, 0/9 minute" and s.first()["state"] == "open"


def test_open_and_close(ctx):
	s = Site(ctx)
	s.run("--close", "first")
	assert (s.first()["state"], s.first()["until"], s.first()["reason"]) == ("closed", None, "closed by the operator")
	assert s.first(offset=86400 * 365)["state"] == "closed"
	s.run("--open", "first")
	assert (s.first()["state"], s.first()["reason"]) == ("open", "")


@cases(("seconds", "90", 90), ("with a unit", "90s", 90), ("minutes", "30m", 1800), ("hours", "2h", 7200),
    ("days", "7d", 7 * 86400))
def test_closed_for_a_time(ctx, period, seconds):
	s = Site(ctx)
	s.run("--close", "late", "--for", period)
	assert s.rows(offset=seconds - 10)[1]["state"] == "closed"
	assert s.rows(offset=seconds + 10)[1]["state"] == "open"


def test_presets(ctx):
	presets = json.loads(Site(ctx).run("--presets", "--json").stdout)
	assert [p["preset"] for p in presets][:3] == ["custom", "gmail", "microsoft365"]
	assert presets[1]["host"] == "smtp.gmail.com" and "app password" in presets[1]["login"]


@cases(
	("a relay that is none", ["--open", "nobody"], 'no relay "nobody"'),
	("two wishes", ["--open", "late", "--close", "late"], "at a time"),
	("--for alone", ["--for", "2h"], "--for goes with --close"),
	("--for with --open", ["--open", "late", "--for", "2h"], "--for goes with --close"),
	("a time that is none", ["--close", "late", "--for", "soon"], "--for goes with --close"),
	("no time", ["--close", "late", "--for", "0"], "--for goes with --close"),
	("a unit alone", ["--close", "late", "--for", "h"], "--for goes with --close"),
	("operands", ["late"], "too many"))
def test_misuse(ctx, args, text):
	assert text in Site(ctx).run(*args, code=64).stderr
