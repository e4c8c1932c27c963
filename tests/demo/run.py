#!/usr/bin/python3
"""make run: the gateway of the demo in the foreground, to try by hand; ^C ends it."""
import os
import signal
import sys
import time

from gateway_site import Site


def follow(site, shown):
	"""Prints what the milter and the receiving servers have seen since the last call."""
	lines = site.milter.stderr().splitlines()
	for line in lines[shown["log"]:]:
		print(line)
	shown["log"] = len(lines)
	for name, sink in (("Odoo", site.odoo), ("mailbox", site.people), ("outside", site.outside)):
		for t in sink.messages[shown[name]:]:
			print("%s received: to %s from <%s>" % (name, ", ".join(t.recipients), t.sender))
		shown[name] = len(sink.messages)
	sys.stdout.flush()


def main():
	build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
	signal.signal(signal.SIGTERM, signal.default_int_handler)
	with Site(build) as site:
		site.start()
		host, port = site.address()
		print("listening on %s port %d (port 25), %d (submission); for example:\n" % (host, port, site.address("submission")[1]))
		print("    swaks --server %s:%d --from ann@customer.example --to sales@acme.example" % (host, port))
		print("    swaks --server %s:%d --from ann@customer.example --to catchall@acme.example" % (host, port))
		print("    %s/postern -c %s stats\n" % (build, site.conf))
		print("aliases: sales@ support@; catchall@ bounce@; a person: joe@ (all at acme.example).  ^C ends it.\n", flush=True)
		shown = {"log": 0, "Odoo": 0, "mailbox": 0, "outside": 0}
		try:
			while True:
				follow(site, shown)
				time.sleep(0.2)
		except KeyboardInterrupt:
			pass
	return 0


if __name__ == "__main__":
	sys.exit(main())
