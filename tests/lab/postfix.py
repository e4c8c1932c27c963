"""A private, real Postfix in a folder of its own, started in a few hundredths of a second.

master(8) runs directly, without postfix(1); main.cf and master.cf get an old time stamp, because every Postfix
daemon waits while its main.cf looks as if somebody were still writing it.  Root is needed.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import base
from base import LabError, Resource, TempDir, wait_until
from sasl import SaslServer

DAEMONS = "/usr/lib/postfix/sbin"

MAIN = {
	"compatibility_level": "3.6",
	"command_directory": "/usr/sbin",
	"daemon_directory": DAEMONS,
	"mail_owner": "postfix",
	"setgid_group": "postdrop",
	"inet_interfaces": "127.0.0.1",
	"inet_protocols": "ipv4",
	"myhostname": "mx.lab.test",
	"mydestination": "",
	# A client at 127.0.0.1 is a stranger, one at 127.0.0.2 is a neighbour.
	"mynetworks": "127.0.0.2/32",
	"local_recipient_maps": "",
	"alias_maps": "",
	"alias_database": "",
	"smtp_dns_support_level": "disabled",
	"smtp_host_lookup": "native",
	"smtpd_error_sleep_time": "0s",
	"smtpd_client_connection_count_limit": "0",
}

MASTER = """\
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
"""


def parse_main_cf(text):
	"""The settings of a main.cf text as a dict: to try the fragments that users install, word for word."""
	settings, last = {}, None
	for line in text.splitlines():
		if not line.strip() or line.lstrip().startswith("#"):
			continue
		if line[0] in " \t" and last:
			settings[last] += "\n " + line.strip()
		else:
			last, _, value = (part.strip() for part in line.partition("="))
			settings[last] = value
	return settings


class Postfix(Resource):
	"""One instance.  Nothing runs before start(); until then .main, .master, .files and .services may be changed.

	main      dict of main.cf settings on top of MAIN; $config_directory is the folder of `files`
	master    list of master.cf lines (or texts of several lines), after the default services
	files     name -> text, written into the configuration folder before the start
	services  name -> dict of `-o` settings, one smtpd each on a port of its own (see .ports); a key "chroot"
	          with a true value runs it chrooted.  The first one is what Client(pf.address()) talks to.
	sasl      user -> password: starts a small dovecot-like authentication server; a service takes part if it
	          has smtpd_sasl_auth_enable=yes (see SUBMISSION)
	"""

	def __init__(self, main=None, master=(), files=None, services=None, sasl=None):
		self.main = dict(MAIN, **(main or {}))
		self.master = list(master)
		self.files = dict(files or {})
		self.services = dict(services or {"smtp": {}})
		self.ports = {name: base.free_port() for name in self.services}
		self.process = None
		self.expect_problems = False	# else close() fails on a "fatal:" or "panic:" in the log
		self._tmp = TempDir("pnpf.")
		self.dir = self._tmp.path
		self.etc = self.dir + "/etc"
		self.queue_dir = self.dir + "/queue"
		self.maillog = self.dir + "/maillog"
		self._make_folders()
		self._opened()
		self.sasl = SaslServer(sasl) if sasl is not None else None

	# --- files

	def _make_folders(self):
		def folder(path, mode, user="root", group="root"):
			os.mkdir(self.dir + "/" + path)
			shutil.chown(self.dir + "/" + path, user, group)
			os.chmod(self.dir + "/" + path, mode)
		folder("etc", 0o755)
		folder("queue", 0o755)
		for name in "active bounce corrupt defer deferred flush hold incoming private saved trace".split():
			folder("queue/" + name, 0o700, "postfix")
		folder("queue/maildrop", 0o1730, "postfix", "postdrop")
		folder("queue/public", 0o2710, "postfix", "postdrop")
		folder("queue/pid", 0o755)
		folder("data", 0o700, "postfix")
		# Where our daemons put their sockets: Postfix may enter, and a socket made by root gets its group.
		folder("queue/postern", 0o2750, "root", "postfix")

	def socket_path(self, name):
		"""Where a daemon must listen so that Postfix finds it as unix:postern/NAME."""
		return "%s/postern/%s" % (self.queue_dir, name)

	def give_sockets_to(self, user):
		"""Lets a daemon that runs as that user put its sockets there."""
		shutil.chown(self.queue_dir + "/postern", user)

	def write_file(self, name, text):
		"""A file in the configuration folder ($config_directory/NAME); returns its path."""
		path = self.etc + "/" + name
		with open(path, "wb") as f:
			f.write(base.to_bytes(text))
		old = time.time() - 60
		os.utime(path, (old, old))
		return path

	def write_config(self):
		main = dict(self.main, queue_directory=self.queue_dir, data_directory=self.dir + "/data",
		    maillog_file=self.maillog, maillog_file_prefixes=self.dir)
		if self.sasl:
			main.setdefault("smtpd_sasl_type", "dovecot")
			main.setdefault("smtpd_sasl_path", "inet:127.0.0.1:%d" % self.sasl.port)
		for name, text in self.files.items():
			self.write_file(name, text)
		lines = [self._service_line(name) for name in self.services]
		self.write_file("main.cf", "".join("%s = %s\n" % kv for kv in main.items()))
		self.write_file("master.cf", "\n".join(lines) + "\n" + MASTER + "".join(l + "\n" for l in self.master))

	def _service_line(self, name):
		options = dict(self.services[name])
		chroot = "y" if options.pop("chroot", False) else "n"
		line = "127.0.0.1:%d inet n - %s - - smtpd -o syslog_name=postfix/%s" % (self.ports[name], chroot, name)
		return line + "".join("\n  -o { %s = %s }" % kv for kv in options.items())

	# --- life

	def start(self):
		self.write_config()
		self.process = base.start_group([DAEMONS + "/master", "-c", self.etc], stdout=subprocess.DEVNULL,
		    stderr=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
		wait_until(self._is_up, 10, lambda: "Postfix does not start\n" + self.log()[-2000:])
		return self

	def _is_up(self):
		if self.process.poll() is not None:
			raise LabError("master ended with %s\n%s" % (self.process.returncode, self.log()[-2000:]))
		return all(base.is_listening(p) for p in self.ports.values())

	def stop(self):
		"""Kills the whole instance at once; the queue stays, start() takes it up again."""
		if self.process is None:
			return
		base.end_group(self.process)
		self.process = None
		# Commands of pipe(8) have a session of their own, but start in our queue folder.
		wait_until(lambda: not self._kill_strays(), 5, "processes that do not die")

	def _kill_strays(self):
		# Our own children may work there too (a milter that went to its socket): they have their own end.
		spared = set(base.children_of(os.getpid())) | {os.getpid()}
		strays = []
		for name in os.listdir("/proc"):
			try:
				if name.isdigit() and int(name) not in spared \
				    and os.readlink("/proc/%s/cwd" % name).startswith(self.dir + "/"):
					strays.append(int(name))
			except OSError:
				pass
		for pid in strays:
			try:
				os.kill(pid, signal.SIGKILL)
			except ProcessLookupError:
				pass
		return strays

	def restart(self):
		self.stop()
		return self.start()

	def reload(self, **main):
		"""Changed settings, as after `postfix reload`: new processes see them, running sessions do not."""
		self.main.update(main)
		self.write_config()
		before = self.log().count(": reload -- version")
		old = set(base.children_of(self.process.pid))
		os.kill(self.process.pid, signal.SIGHUP)
		wait_until(lambda: self.log().count(": reload -- version") > before, 5, "reload")
		# An idle daemon of before may still take one connection; one in a session stays as long as that lasts.
		deadline = time.monotonic() + 1
		while old & set(base.children_of(self.process.pid)) and time.monotonic() < deadline:
			time.sleep(0.01)

	def _close(self):
		try:
			self.stop()
			problems = self.problems()
		finally:
			base.save_log(self.maillog, "maillog")
			if self.sasl:
				self.sasl.close()
			self._tmp.close()
		if problems and not self.expect_problems:
			raise LabError("Postfix complains (set .expect_problems where that is wanted):\n" + "\n".join(problems))

	# --- using it

	def address(self, service=None):
		return ("127.0.0.1", self.ports[service or next(iter(self.services))])

	def log(self):
		try:
			with open(self.maillog, encoding="utf-8", errors="surrogateescape") as f:
				return f.read()
		except FileNotFoundError:
			return ""

	def wait_log(self, regex, timeout=10, count=1):
		"""Waits until the regex was found `count` times in the log; returns the match objects' last one."""
		pattern = re.compile(regex)
		def found():
			hits = list(pattern.finditer(self.log()))
			return hits[-1] if len(hits) >= count else None
		return wait_until(found, timeout, lambda: "no /%s/ in the log:\n%s" % (regex, self.log()[-3000:]))

	def problems(self):
		"""Log lines that say an instance is misconfigured or a daemon died."""
		bad = re.compile(r": (fatal|panic): |bad command startup|killed by signal")
		return [line for line in self.log().splitlines() if bad.search(line)]

	def _tool(self, *argv, data=None, check=True):
		run = subprocess.run(argv, input=data, capture_output=True, timeout=30,
		    env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MAIL_CONFIG": self.etc})
		if check and run.returncode != 0:
			raise LabError("%s: exit %d: %s" % (" ".join(argv), run.returncode, run.stderr.decode(errors="replace")))
		return run

	def queue(self):
		"""What is in the queue: one dict per message (queue_name, queue_id, sender, recipients ...).

		A message on its way from one queue to another may be missing or seen twice: wait_queue(n) waits for a count.
		"""
		out = self._tool("postqueue", "-c", self.etc, "-j").stdout
		return [json.loads(line) for line in out.splitlines() if line.strip()]

	def wait_queue_empty(self, timeout=10):
		self.wait_queue(0, timeout)

	def wait_queue(self, n, timeout=10):
		"""Waits until n messages are in the queue, seen so twice; returns them."""
		def settled():
			first, second = self.queue(), self.queue()
			return (second,) if len(first) == len(second) == n else None
		return wait_until(settled, timeout, lambda: "not %d in the queue: %r\n%s"
		    % (n, self.queue(), self.log()[-3000:]))[0]

	def flush(self):
		"""A delivery attempt for everything deferred, now."""
		# "status=deferred" is logged a moment before the file is back in the deferred queue, where flush looks.
		deadline = time.monotonic() + 1
		while any(m["queue_name"] == "active" for m in self.queue()) and time.monotonic() < deadline:
			time.sleep(0.01)
		self._tool("postqueue", "-c", self.etc, "-f")

	def postsuper(self, *args):
		return self._tool("postsuper", "-c", self.etc, *args)

	def postmap(self, table):
		"""Builds an indexed file in the configuration folder: postmap("lmdb:transport")."""
		kind, _, name = table.partition(":")
		self._tool("postmap", "-c", self.etc, "%s:%s/%s" % (kind, self.etc, name))

	def postconf(self, *args):
		return self._tool("postconf", "-c", self.etc, *args).stdout.decode()

	def sendmail(self, args, message, check=True):
		"""sendmail(1) with a message on its standard input: the way of local mail, through maildrop and pickup."""
		return self._tool("/usr/sbin/sendmail", "-C", self.etc, *args, data=base.to_bytes(message), check=check)


# Settings of a submission-like service: only who has logged in, marked as outbound for the milter.
SUBMISSION = {
	"smtpd_sasl_auth_enable": "yes",
	"milter_macro_daemon_name": "ORIGINATING",
	"smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
}

# Where a content filter gives the mail back: no filter, no milter, only from this machine.
REINJECT = {
	"content_filter": "",
	"smtpd_milters": "",
	"mynetworks": "127.0.0.0/8",
	"smtpd_relay_restrictions": "permit_mynetworks, reject",
	"receive_override_options": "no_unknown_recipient_checks, no_header_body_checks, no_milters",
}
