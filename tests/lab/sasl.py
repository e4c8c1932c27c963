"""An authentication server that speaks as much of Dovecot's auth protocol as smtpd(8) asks for (PLAIN, LOGIN)."""

import base64

from base import Server


class SaslServer(Server):
	"""users: user -> password."""

	def __init__(self, users, listen=None):
		self.users = dict(users)
		super().__init__(listen)

	def serve(self, sock, peer):
		f = sock.makefile("rwb", buffering=0)
		f.write(b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\n"
		    b"COOKIE\t00112233445566778899aabbccddeeff\nDONE\n")
		logins = {}
		for line in f:
			word = line.decode().rstrip("\n").split("\t")
			if word[0] == "AUTH":
				ident, mechanism = word[1], word[2]
				first = next((w[5:] for w in word if w.startswith("resp=")), None)
				logins[ident] = [mechanism]
				if mechanism == "LOGIN" or first is None:
					f.write(b"CONT\t%s\t%s\n" % (ident.encode(), base64.b64encode(b"Username:")
					    if mechanism == "LOGIN" else b""))
				else:
					self._answer(f, ident, logins.pop(ident), first)
			elif word[0] == "CONT":
				ident, text = word[1], word[2] if len(word) > 2 else ""
				if logins[ident][0] == "LOGIN" and len(logins[ident]) == 1:
					logins[ident].append(base64.b64decode(text).decode())
					f.write(b"CONT\t%s\t%s\n" % (ident.encode(), base64.b64encode(b"Password:")))
				else:
					self._answer(f, ident, logins.pop(ident), text)

	def _answer(self, f, ident, login, text):
		secret = base64.b64decode(text).decode()
		user, password = (login[1], secret) if login[0] == "LOGIN" else secret.split("\0")[1:3]
		ok = self.users.get(user) == password
		f.write(("%s\t%s\tuser=%s\n" % ("OK" if ok else "FAIL", ident, user)).encode())
