"""The process: start, stop, reload, sockets, and a state directory in trouble."""

import grp
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time

import base
from lab import *
from milterlab import *

UNAVAILABLE, CONFIG = 69, 78		# sysexits.h
TROUBLE = "451 4.3.0 cannot decide about this mail now, try again later"


def _ended(gate, seconds):
	"""The exit status of a process that stops by itself, without anybody knocking at its socket."""
	code = gate.process.wait(seconds)
	base.end_group(gate.process)
	gate.process = None
	gate.assert_clean()
	return code


def _reload(gate):
	n = gate.stderr().count(": configuration ")
	gate.signal(signal.SIGUSR1)
	wait_until(lambda: gate.stderr().count(": configuration ") > n, 10, "no reload")


# --- reload

def test_reload_amid_a_conversation(ctx):
	"""The mail keeps what it began with, the next one has the new."""
	with Gate(ctx) as g, g.client() as c, g.client() as idle:
		c.begin()
		c.header("From", " ann@x.test")
		refused = g.client()
		refused.begin(recipients=["catchall@company.test"])
		refused.content(mail(to="catchall@company.test"))
		text = open(g.conf, encoding="utf-8").read().replace("redirect to odoo.test", "redirect to new.test") \
		    .replace("help@company.test", "other@company.test")
		g.rewrite(text=text)
		_reload(g)
		c.header("To", " sales@company.test")
		c.eoh()
		c.body(b"hello\r\n")
		v = c.eom()
		assert v.added == ["sales@odoo.test"] and v.headers("X-Postern-Stamp") == [" mx.lab.test/acme"], v
		# a refusal of what is no longer true is none
		assert text_of(refused.eom()) == TROUBLE
		assert "alone=refuse" in g.lines()[-1] and 'reason="the configuration has changed' in g.lines()[-1], g.lines()[-1]
		refused.close()
		for session in (c, idle):
			r = session.deliver()
			assert r.eom.added == ["sales@new.test"] and r.eom.headers("X-Postern-Stamp") == [" mx.lab.test/acme"], r


def test_a_changed_alias_is_live(ctx):
	with Gate(ctx, domain="unknown = reject") as g, g.client() as c:
		assert c.deliver(recipients="new@company.test").final.code == 550
		g.rewrite(more='alias "new@company.test" { model = crm.lead }')
		_reload(g)
		assert taken(c.deliver(mail(to="new@company.test"), "new@company.test"))


@cases(("no such key", "nonsense = 1"), ("no brace", 'gateway "x" {'), ("garbage", "\0\xff{{{"))
def test_broken_configuration_keeps_the_old(ctx, text):
	with Gate(ctx) as g, g.client() as c:
		g.rewrite(text=text)
		g.signal(signal.SIGUSR1)
		g.wait_stderr("error: configuration .* is not used: the one before stays")
		assert taken(c.deliver()) and taken(g.deliver())
		os.unlink(g.conf)
		g.signal(signal.SIGUSR1)
		g.wait_stderr("is not used: the one before stays", count=2)
		assert taken(c.deliver())


@timeout(120)
def test_100_reloads_under_load(ctx):
	with Gate(ctx, gateway=UNCOUNTED, more="\n".join('alias "a%d@company.test" { model = crm.lead }'
	    % i for i in range(300))) as g:
		def reload(n):
			for _ in range(n):
				_reload(g)
		stop = []
		def session():
			with g.client(timeout=60) as c:
				n = 0
				while not stop or n <= 10:
					assert taken(c.deliver())
					n += 1
				return n
		def load(n):
			reload(n)
			stop.append(1)
		at_once(lambda: load(20), *[session] * 4)
		memory, files = g.memory(), g.open_files()
		stop.clear()
		mails = at_once(lambda: load(100), *[session] * 4)
		assert min(mails[1:]) > 10, mails
		if not g.sanitized:
			# a configuration of 300 aliases is about 100 kB: a hundred of them would show
			assert g.memory() - memory < 4 << 20, (memory, g.memory())
		assert g.open_files() <= files + 2
		assert len(g.lines("failed=")) == 0


@timeout(120)
def test_no_mail_is_refused_by_half_a_reload(ctx):
	"""The gateway gets another name, again and again: for a moment its aliases are the other one's."""
	with Gate(ctx, gateway=UNCOUNTED, domain="unknown = reject") as g:
		one = CONF % g.texts
		stop, answers = [], []
		def session():
			with g.client(timeout=60) as c:
				while not stop:
					r = c.deliver()
					answers.append("taken" if taken(r) else r.final.code)
		def reload():
			for i in range(40):
				g.rewrite(text=one if i % 2 else one.replace("acme", "renamed"))
				_reload(g)
			stop.append(1)
		at_once(reload, *[session] * 4)
		assert set(answers) <= {"taken", 451}, set(answers)
		assert answers.count("taken") > len(answers) / 2, answers


# --- two programs that have read different versions of the files

def _map_says(policy, *addresses):
	with SocketmapClient(policy.sockets[0]) as c:
		return [c.lookup("recipient", a)[0] for a in addresses]


def test_another_program_has_another_configuration(ctx):
	"""A gateway has got another name: its aliases seem to be gone for the one that has not read that.  What is
	missing proves nothing until both have the same."""
	with Gate(ctx, domain="unknown = reject") as g, Gate(ctx, name="other", domain="unknown = reject", start=False) as other:
		assert [text_of(g.deliver(recipients=a).final)[:9] for a in ("sales@company.test", "no@company.test")] \
		    == ["continue", "550 5.1.1"]
		new = (CONF % other.texts).replace("acme", "renamed")
		other.rewrite(text=new)
		other.start()
		for to in ("sales@company.test", "no@company.test"):
			r = g.deliver(mail(to=to), to)
			assert taken(r) and "verdict=hand_over rule=unknown_address" in g.lines()[-1], (r, g.lines()[-1])
		assert taken(other.deliver()) and "verdict=accept" in other.lines()[-1]
		# The other way round: this one starts again with the old.
		g.restart()
		assert taken(g.deliver()) and "verdict=accept" in g.lines()[-1]
		for to in ("sales@company.test", "no@company.test"):
			r = other.deliver(mail(to=to), to)
			assert taken(r) and "verdict=hand_over rule=unknown_address" in other.lines()[-1], (r, other.lines()[-1])
		g.rewrite(text=(CONF % g.texts).replace("acme", "renamed"))
		_reload(g)
		for gate in (g, other):
			assert taken(gate.deliver()) and "verdict=accept" in gate.lines()[-1]
			assert gate.deliver(recipients="no@company.test").final.code == 550


def test_the_map_and_another_configuration(ctx):
	with Gate(ctx, domain="unknown = pass") as g, PolicyProcess(ctx.program("postern-policy"), g.conf,
	    [g.path + ".map"]) as policy:
		asked = ("sales@company.test", "joe@company.test", "catchall@company.test", "joe@else.test")
		assert _map_says(policy, *asked) == ["OK", "NOTFOUND", "OK", "NOTFOUND"]
		g.rewrite(text=(CONF % g.texts).replace("acme", "renamed"))
		_reload(g)
		assert _map_says(policy, *asked) == ["TEMP", "TEMP", "OK", "NOTFOUND"]
		policy.signal(signal.SIGUSR1)
		wait_until(lambda: _map_says(policy, *asked) == ["OK", "NOTFOUND", "OK", "NOTFOUND"], 10, "not the same again")
		# Only the other aliases: nobody has to read anything.
		g.rewrite(text=(CONF % g.texts).replace("acme", "renamed").replace("help@", "joe@"))
		done = run(ctx.program("postern"), "-c", g.conf, "aliases", "apply")
		assert done.returncode == 0, done
		wait_until(lambda: _map_says(policy, *asked)[1] == "OK", 5, "the new alias is not known")
		assert _map_says(policy, "sales@company.test", "help@company.test") == ["OK", "NOTFOUND"]


def test_a_mixed_domain_and_another_configuration(ctx):
	"""An alias that seems to be gone must not pass as a person's address."""
	with Gate(ctx, domain="unknown = pass") as g, Gate(ctx, name="other", domain="unknown = pass", start=False) as other:
		other.rewrite(text=(CONF % other.texts).replace("acme", "renamed"))
		other.start()
		assert text_of(g.deliver().final).startswith("451 4.3.0"), g.lines()
		assert "another version of the configuration" in g.lines("rcpt=defer")[-1]
		assert g.deliver(recipients="joe@else.test").final.code == 250
		g.rewrite(text=(CONF % g.texts).replace("acme", "renamed"))
		_reload(g)
		assert taken(g.deliver()) and not g.deliver(recipients="joe@company.test").eom.added


def test_a_change_of_aliases_is_no_other_configuration(ctx):
	with Gate(ctx, domain="unknown = reject") as g:
		with open(g.conf, encoding="utf-8") as f:
			text = f.read()
		g.rewrite(text=text.replace("help@", "new@"))
		done = run(ctx.program("postern"), "-c", g.conf, "aliases", "apply")
		assert done.returncode == 0, done
		got = [g.deliver(recipients=a + "@company.test").final.code for a in ("new", "sales", "no")]
		assert got == [250, 250, 550], got


# --- signals

def _sessions_at_work(g):
	"""Sessions in every state."""
	sessions = [g.client(opened=i % 4 > 0) for i in range(20)]
	for i, c in enumerate(sessions):
		if i % 4 >= 2:
			c.begin(sender="u%d@x.test" % i)
		if i % 4 == 3:
			c.content(mail(sender="u%d@x.test" % i))
	return sessions


@cases(("SIGTERM", signal.SIGTERM), ("SIGINT", signal.SIGINT), ("SIGHUP", signal.SIGHUP))
def test_stop_while_sessions_run(ctx, sig):
	"""SIGHUP stops it as well: libmilter's doing; a reload is SIGUSR1."""
	with Gate(ctx) as g:
		sessions = _sessions_at_work(g)
		began = time.monotonic()
		g.signal(sig)
		assert _ended(g, 6) == 0
		assert time.monotonic() - began < 6
		assert g.stderr().endswith(": stopped\n"), g.stderr()[-300:]
		assert not os.path.exists(g.path) and not os.path.exists(g.path + ".lock")
		for c in sessions:
			assert c.at_end()
			c.close()
		g.start()
		assert taken(g.deliver())


def test_stop_waits_for_a_mail_that_is_being_decided(ctx):
	with Gate(ctx) as g:
		c = g.client()
		message = mail()
		c.begin()
		c.content(message)
		with Lock(ctx, g, hold_ms=1000):
			c.packet("E")
			time.sleep(0.2)
			g.signal(signal.SIGTERM)
			assert _ended(g, 8) == 0
		c.close()
		g.start()
		r = g.deliver(message)
		# whatever became of the answer: the mail is not lost, and a decision that was made is known
		assert taken(r) or r.eom.code == 451, r


def test_stopped_as_soon_as_started(ctx):
	with Gate(ctx) as g:
		for i in range(15):
			time.sleep(i * 0.001)
			g.restart()


def test_stop_while_sessions_end(ctx):
	"""libmilter's pool destroys a mutex that others hold then; whoever waits for it waits for ever."""
	with Gate(ctx) as g:
		for i in range(8):
			sessions = [g.client() for _ in range(20)]
			at_once(*[lambda c=c: c.deliver(mail()) for c in sessions])
			if i % 2 == 0:
				g.signal(signal.SIGTERM)
			for c in sessions:
				c.close()
			if i % 2 == 1:
				g.signal(signal.SIGTERM)
			assert _ended(g, 8) == 0
			g.start()


@cases(("SIGUSR2", signal.SIGUSR2), ("SIGPIPE", signal.SIGPIPE))
def test_signals_that_mean_nothing(ctx, sig):
	with Gate(ctx) as g:
		for _ in range(10):
			g.signal(sig)
		assert taken(g.deliver())


# --- start

def test_broken_configuration_at_start(ctx):
	with Gate(ctx, start=False) as g:
		g.rewrite(text="nonsense = 1\n")
		done = run(g.binary, "-c", g.conf)
		assert done.returncode == CONFIG and "nonsense" in done.stderr, (done.returncode, done.stderr)
		done = run(g.binary, "-c", g.conf + ".none")
		assert done.returncode == CONFIG and ".none" in done.stderr, (done.returncode, done.stderr)
		done = run(g.binary, "--nonsense")
		assert done.returncode == 64, done.returncode


def test_no_state_directory_at_start(ctx):
	with Gate(ctx, start=False) as g:
		os.rmdir(g.state)
		done = run(g.binary, "-c", g.conf)
		assert done.returncode == UNAVAILABLE and g.state in done.stderr, (done.returncode, done.stderr)


@cases(("cannot be read", "root", UNAVAILABLE, "cannot read /etc/resolv.conf"), ("is empty", "nobody", None, ""))
def test_resolv_conf_at_start(ctx, owner, code, text):
	"""Where it cannot be read the machine is wrong, not the configuration.  An empty one means this host."""
	with Gate(ctx, start=False) as g:
		g.rewrite(text=(CONF % g.texts).replace("dmarc = off", "dmarc = mark"))
		for path in g.folder, g.state:
			os.chmod(path, 0o777)
		with open(g.folder + "/resolv.conf", "w") as f:
			os.fchmod(f.fileno(), 0o600)
		shutil.chown(g.folder + "/resolv.conf", owner)
		# a changed root is no mount point, and its mounts cannot be made private: taken back by hand
		with open("/proc/self/mountinfo") as f:
			private = [] if any(line.split()[4] == "/" for line in f) else ["--propagation", "unchanged"]
		done = subprocess.run(["unshare", "--mount"] + private + ["sh", "-c",
		    'mount --bind "$0" /etc/resolv.conf || exit; timeout 2 "$@"; code=$?; umount /etc/resolv.conf; exit $code',
		    g.folder + "/resolv.conf", "setpriv", "--reuid=nobody", "--clear-groups",
		    ctx.program_for_others("postern-milter"), "-c", g.conf], capture_output=True, text=True)
		assert text in done.stderr and (done.returncode == code if code else "started" in done.stderr), done


# --- sockets

def test_a_live_socket_is_not_stolen(ctx):
	with Gate(ctx) as g, g.client() as c:
		done = run(g.binary, "-c", g.conf)
		assert done.returncode == UNAVAILABLE and "another process serves it already" in done.stderr, done.stderr
		assert taken(c.deliver()) and taken(g.deliver())


def test_a_socket_of_another_program_is_not_stolen(ctx):
	with Gate(ctx, start=False) as g, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
		other.bind(g.path)
		other.listen(5)
		done = run(g.binary, "-c", g.conf)
		assert done.returncode == UNAVAILABLE and "another process serves it already" in done.stderr, done.stderr
		assert stat.S_ISSOCK(os.stat(g.path).st_mode)
		other.accept()[0].close()


def test_a_stale_socket_is_removed(ctx):
	with Gate(ctx) as g:
		inode = os.stat(g.path).st_ino
		g.kill()
		assert os.stat(g.path).st_ino == inode, "it should be left behind"
		g.start()
		assert taken(g.deliver())


def test_a_file_in_its_place_stays(ctx):
	with Gate(ctx, start=False) as g:
		with open(g.path, "w") as f:
			f.write("precious")
		done = run(g.binary, "-c", g.conf)
		assert done.returncode == UNAVAILABLE and "is no socket" in done.stderr, done.stderr
		with open(g.path) as f:
			assert f.read() == "precious"


@cases(("as it is", "", "", 0o660, None), ("closed", "socket_mode = 0600", "", 0o600, None),
    ("for a group", 'socket_mode = 0660\nsocket_group = "postfix"', "", 0o660, "postfix"))
def test_mode_and_group(ctx, top, _, mode, group):
	with Gate(ctx, start=False) as g:
		text = (CONF % g.texts).replace('socket_group = ""\n', "" if group else 'socket_group = ""\n')
		g.rewrite(text=text + top + "\n")
		old = os.umask(0)		# the mode must not depend on it
		try:
			g.start()
		finally:
			os.umask(old)
		st = os.stat(g.path)
		assert stat.S_IMODE(st.st_mode) == mode, oct(st.st_mode)
		if group:
			assert st.st_gid == grp.getgrnam(group).gr_gid
		assert stat.S_IMODE(os.stat(g.path + ".lock").st_mode) == 0o600
		assert taken(g.deliver())


def test_no_such_group(ctx):
	with Gate(ctx, start=False) as g:
		g.rewrite(text=(CONF % g.texts).replace('socket_group = ""', 'socket_group = "nosuchgroup"'))
		done = run(g.binary, "-c", g.conf)
		assert done.returncode == UNAVAILABLE and "nosuchgroup" in done.stderr, done.stderr


# --- the state

@timeout(90)
def test_map_full(ctx):
	"""Nothing can be counted or remembered: mail is told to come later, and taken when there is room again."""
	with Gate(ctx, top="state_map_size = 16M") as g, g.client() as c:
		assert taken(c.deliver())
		message = mail()
		with Full(ctx, g):
			for _ in range(3):
				r = c.deliver(message)
				assert r.rcpts[0].code == 250 and text_of(r.eom) == TROUBLE, r
			line = g.lines()[-1]
			assert "verdict=defer rule=trouble" in line and "is full" in line and "raise state_map_size" in line, line
			g.wait_stderr("error: /[^ ]*/data.mdb is full")
			# what needs no state goes on; learning from what leaves is given up, not the mail
			r = c.deliver(mail(id="<7-openerp-7-crm.lead@company.test>", sender="sales@company.test", to="joe@far.test"),
			    "joe@far.test", mail_macros={"{auth_authen}": "odoo"})
			assert r.eom.passes and r.eom.kind != "discard", r
			assert c.deliver(mail(to="joe@else.test"), "joe@else.test").eom.kind == "continue"
		wait_until(lambda: taken(c.deliver(message)), 10, "it does not recover")
		assert text_of(c.deliver(message).eom).startswith("451 4.7.1"), "the lease was not taken"
		g.wait_stderr("warning: the state directory works again")
		assert len(re.findall("error: /[^ ]* is full", g.stderr())) == 1, "said once, not every second"


def test_state_directory_deleted(ctx):
	"""The files are still open: nothing is lost, and the log says what to do.  After a restart all is as new."""
	with Gate(ctx) as g, g.client() as c:
		message = mail()
		assert taken(c.deliver(message))
		subprocess.run(["rm", "-r", g.state], check=True)
		assert taken(c.deliver())
		assert text_of(c.deliver(message).eom).startswith("451 4.7.1"), "the lease is forgotten"
		g.wait_stderr("error: .*state directory .* was removed or replaced.*restart")
		os.mkdir(g.state)
		time.sleep(1.2)
		assert g.stderr().count("was removed or replaced") == 1, "said once, not every second"
		g.restart()
		assert taken(g.deliver())


def test_state_directory_of_somebody_else(ctx):
	with Gate(ctx) as g:
		g.stop()
		with open(g.state + "/state/data.mdb", "r+b") as f:
			f.write(b"\0" * 8192)
		done = run(g.binary, "-c", g.conf)
		assert done.returncode == UNAVAILABLE and "data.mdb" in done.stderr, (done.returncode, done.stderr)


def test_not_allowed_to_write(ctx):
	"""As a user who may read but not write the state: it does not start half."""
	with Gate(ctx) as g:
		g.stop()
		for folder, _, files in os.walk(g.state):
			os.chmod(folder, 0o755)
			for f in files:
				os.chmod(folder + "/" + f, 0o644)
		os.chmod(g.folder, 0o777)
		done = subprocess.run([ctx.program_for_others("postern-milter"), "-c", g.conf], user="nobody", group="nogroup", extra_groups=[], timeout=20,
		    capture_output=True, text=True)
		assert done.returncode == UNAVAILABLE, (done.returncode, done.stderr)
		assert g.state in done.stderr and "Permission denied" in done.stderr, done.stderr
