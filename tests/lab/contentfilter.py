"""A content filter as sites have it: takes mail by SMTP and gives it back to Postfix on another port."""

from client import Client
from sink import Sink


class ContentFilter(Sink):
	"""While the sender waits, the mail is handed on with the same envelope; the sender gets the next hop's reply.

	target is (host, port) of the re-injection service; change(message) may edit the bytes in between.
	"""

	def __init__(self, target, change=None, listen=None, **options):
		self.target, self.change = target, change
		super().__init__(listen, hook=self._pass_on, name="filter.test", **options)

	def _pass_on(self, stage, transaction, arg):
		if stage != "eom":
			return None
		message = transaction.message if self.change is None else self.change(transaction.message)
		with Client(self.target, helo="filter.test") as c:
			mail = c.mail(transaction.sender, *transaction.mail.args)
			if not mail.ok:
				return _relay(mail)
			for r in transaction.rcpts:
				reply = c.rcpt(r.address, *r.args)
				if not reply.ok:
					return _relay(reply)
			data, end = c.data(message)
			return _relay(end or data)


def _relay(reply):
	return [line.decode("utf-8", "surrogateescape") for line in reply.raw.split(b"\r\n")[:-1]]
