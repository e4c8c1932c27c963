"""What `make install` installs: programs, their pages, and what systemd is given."""

import glob
import grp
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess

from lab import *

PREFIX = "/usr/local"
CONF = """\
state_directory = "%(dir)s/state"
milter_socket = "unix:%(dir)s/sockets/milter.sock"
map_socket = "unix:%(dir)s/sockets/map.sock"
policy_socket = "unix:%(dir)s/sockets/policy.sock"
mail_log = "%(dir)s/mail.log"
state_map_size = 256M
directory_map_size = 256M
gateway "online" { target = "redirect to acme.odoo.test" }
domain "acme.test" { gateway = online }
"""
SIGNER = """\
signer_socket = "unix:%(dir)s/sockets/signer.sock"
sign_table = "%(dir)s/signing.table"
sign_key_table = "%(dir)s/key.table"
sign_check_published = no
"""
SOCKETS = {"postern-milter": ["milter.sock"], "postern-policy": ["map.sock", "policy.sock"], "postern-signer": ["signer.sock"]}


def installed(ctx):
	"""A folder with all of it, under PREFIX as users have it."""
	root = ctx.tmp + "/root"
	env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
	subprocess.run(["make", "-s", "-C", ctx.repo, "-o", "all", "BUILD=" + ctx.build, "PREFIX=" + PREFIX,
	    "DESTDIR=" + root, "install"], check=True, env=env, stdin=subprocess.DEVNULL)
	return root


def text_of(path):
	with open(path, encoding="utf-8") as f:
		return f.read()


def units(folder):
	"""{name of the program: the text of its unit, with what all have in common}"""
	common = text_of(folder + "/postern-.service.d/10-common.conf")
	return {os.path.basename(p)[:-8]: common + text_of(p) for p in glob.glob(folder + "/*.service")}


def setting(unit, key):
	"""The last one counts."""
	return re.findall(r"^%s=(.*)$" % key, unit, re.M)[-1]


@timeout(120)
def test_every_program_has_a_page_and_every_daemon_a_unit(ctx):
	root = installed(ctx)
	daemons = set(os.listdir(root + PREFIX + "/sbin"))
	assert os.listdir(root + PREFIX + "/bin") == ["postern"] and {"postern-milter", "postern-policy"} <= daemons
	assert {"postern.1", "postern.conf.5"} <= set(os.listdir(root + PREFIX + "/share/man/man1")
	    + os.listdir(root + PREFIX + "/share/man/man5"))
	pages = set(os.listdir(root + PREFIX + "/share/man/man8"))
	assert pages == {d + ".8" for d in daemons}, (pages, daemons)
	there = units(root + PREFIX + "/lib/systemd/system")
	assert {name: setting(unit, "ExecStart") for name, unit in there.items()} == {
	    d: "%s/sbin/%s" % (PREFIX, d) for d in daemons}


@timeout(120)
def test_units_are_sound(ctx):
	"""As systemd reads them.  Their programs are where they will be only later."""
	root = installed(ctx)
	folder = root + PREFIX + "/lib/systemd/system"
	names = sorted(glob.glob(folder + "/*.service"))
	for name in names:
		text = text_of(name)
		with open(name, "w", encoding="utf-8") as f:
			f.write(text.replace("ExecStart=", "ExecStart=" + root))
	r = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True,
	    env=dict(os.environ, SYSTEMD_UNIT_PATH=folder + ":"))
	assert r.returncode == 0 and r.stdout + r.stderr == "", r
	r = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", *names],
	    capture_output=True, text=True, env=dict(os.environ, SYSTEMD_UNIT_PATH=folder + ":"))
	assert r.returncode == 0, r.stdout


def test_what_daemons_write_to_is_writable(ctx):
	"""The folders of the default configuration: each in the unit, and made by systemd-tmpfiles."""
	defaults = run(ctx.program("postern"), "config", "-d", check=0).stdout
	value = lambda key: re.search(r"^%s = (?:unix:)?(\S+)$" % key, defaults, re.M).group(1)
	needs = {"postern-milter": [os.path.dirname(value("milter_socket"))],
	    "postern-policy": [os.path.dirname(value(k)) for k in ("map_socket", "policy_socket")]}
	made = re.findall(r"^d (\S+)", text_of(ctx.path("systemd/tmpfiles.d/postern.conf")), re.M)
	assert value("state_directory") in made
	for name, unit in units(ctx.path("systemd")).items():
		if setting(unit, "User") == "postern":
			assert "/var/lib/" + setting(unit, "StateDirectory") == value("state_directory"), name
		for folder in needs.get(name, []):
			assert "-" + folder in setting(unit, "ReadWritePaths").split() and folder in made, (name, folder)


@timeout(120)
def test_users_and_folders(ctx):
	"""systemd-sysusers and systemd-tmpfiles do what README says, in a root of their own."""
	root = installed(ctx)
	shutil.chown(root + "/etc/postern/postern.conf", "nobody")
	for command in ["systemd-sysusers", "--root=" + root], ["systemd-tmpfiles", "--create", "--root=" + root, "postern.conf"]:
		r = subprocess.run(command, capture_output=True, text=True)
		assert r.returncode == 0, (command, r.stderr)
	users = {row[0]: row for row in (line.split(":") for line in text_of(root + "/etc/passwd").splitlines())}
	groups = {row[0]: row for row in (line.split(":") for line in text_of(root + "/etc/group").splitlines())}
	assert users["postern"][5:] == ["/var/lib/postern", "/usr/sbin/nologin"], users["postern"]
	assert "postern" in groups["postfix"][3].split(",")
	for path, owner, group, mode in (("/var/lib/postern", "postern", "postern", 0o2770),
	    ("/var/spool/postfix/postern", "postern", "postfix", 0o2750), ("/etc/postern/postern.conf", "root", "postern", 0o640)):
		st = os.stat(root + path)
		assert stat.S_IMODE(st.st_mode) == mode, (path, oct(st.st_mode))
		assert str(st.st_uid) == (users[owner][2] if owner != "root" else "0") and str(st.st_gid) == groups[group][2], path


# --- as a service

def _lines(to, wanted):
	"""What is told to systemd, up to the line that is wanted."""
	said = []
	while wanted not in said:
		said += to.recv(4096).decode().splitlines()
	return said


def _write(path, text, user=None, mode=0o644):
	with open(path, "w") as f:
		f.write(text)
	os.chmod(path, mode)
	shutil.chown(path, user or "root")


def _site(folder, name):
	"""Configuration, state and sockets, for the user nobody."""
	_write(folder + "/postern.conf", (CONF + (SIGNER if name == "postern-signer" else "")) % {"dir": folder})
	_write(folder + "/mail.log", "")
	_write(folder + "/signing.table", "acme.test key\n")
	_write(folder + "/key.table", "key acme.test:one:%s/key.private\n" % folder)
	key = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, text=True, check=True).stdout
	_write(folder + "/key.private", key, "nobody", 0o600)
	for part, group, mode in ("state", "nogroup", 0o2770), ("sockets", "postfix", 0o2750):
		os.mkdir(folder + "/" + part)
		shutil.chown(folder + "/" + part, "nobody", group)
		os.chmod(folder + "/" + part, mode)


@cases(*((name, name) for name in ("postern-milter", "postern-policy", "postern-health", "postern-broker", "postern-signer")))
def test_without_privileges(ctx, name):
	"""As its unit starts it, as far as that goes without systemd: its user, umask and exit codes; no capabilities."""
	unit = units(ctx.path("systemd"))[name]
	os.chmod(ctx.tmp, 0o755)
	_site(ctx.tmp, name)
	to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	to.settimeout(20)
	to.bind(ctx.tmp + "/notify")
	os.chmod(ctx.tmp + "/notify", 0o666)
	command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=%d" % grp.getgrnam("postfix").gr_gid,
	    "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "sh", "-c", "umask %s; ulimit -c %s; exec \"$@\""
	    % (setting(unit, "UMask"), setting(unit, "LimitCORE")), "sh", ctx.program_for_others(name)]
	with to, Program("/usr/bin/env", [*command, "-c", ctx.tmp + "/postern.conf"], env={"NOTIFY_SOCKET": ctx.tmp + "/notify"}) as p:
		_lines(to, "READY=1")
		with open("/proc/%d/status" % p.pid) as f:
			status = f.read()
		assert re.search(r"^CapEff:\t0+$", status, re.M) and "NoNewPrivs:\t1" in status
		assert "\t%d\t" % pwd.getpwnam("nobody").pw_uid in re.search(r"^Uid:.*$", status, re.M).group(0)
		p.signal(getattr(signal, "SIG" + re.search(r"^ExecReload=/bin/kill -(\S+)", unit, re.M).group(1)))
		p.wait_stderr("reloaded|configuration .*", count=1 if name != "postern-milter" else 2)
		paths = sorted(glob.glob(ctx.tmp + "/sockets/*.sock"))
		assert [os.path.basename(path) for path in paths] == SOCKETS.get(name, []), paths
		for st in map(os.stat, paths):
			assert stat.S_IMODE(st.st_mode) == 0o660 and st.st_gid == grp.getgrnam("postfix").gr_gid, paths
		p.stop()
		if name != "postern-signer":		# which has no sockets any more to say it by
			_lines(to, "STOPPING=1")
