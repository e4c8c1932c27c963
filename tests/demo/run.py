#!/usr/bin/python3
"""make run: the gateway of the demo in the foreground, to try by hand; ^C ends it."""
import os
import signal
import sys
import time

from gateway_site import ODOO, Site


def follow(site, shown):
	"""Prints what the milter and the receiving servers have seen since the last call."""
	lines = site.milter.stderr().splitlines()
	for line in lines[shown["log"]:]:
		print(line)
	shown["log"] = len(lines)
	sinks = {"Odoo": site.odoo, "mailbox": site.people, **{"relay " + n: r for n, r in site.relays.items()}}
	for name, sink in sinks.items():
		for t in sink.messages[shown.get(name, 0):]:
			print("%s received: to %s from <%s>, From: %s" % (name, ", ".join(t.recipients), t.sender, t.header("From")))
		shown[name] = len(sink.messages)
	sys.stdout.flush()


def main():
	build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
	signal.signal(signal.SIGTERM, signal.default_int_handler)
	with Site(build) as site:
		site.start()
		host, port = site.address()
		submission = site.address("submission")[1]
		print("listening on %s port %d (port 25), %d (submission); for example:\n" % (host, port, submission))
		print("    swaks --server %s:%d --from ann@customer.example --to sales@acme.example" % (host, port))
		print("    swaks --server %s:%d --from ann@customer.example --to catchall@acme.example" % (host, port))
		print("    swaks --server %s:%d -au %s -ap %s --from bounce@acme.example --h-From bob@acme.example "
		    "--to ann@customer.example" % (host, submission, *ODOO))
		print("    %s/postern -c %s stats" % (build, site.conf))
		print("    %s/postern -c %s relays\n" % (build, site.conf))
		print("aliases: sales@ support@; catchall@ bounce@; a person: joe@ (all at acme.example); relays: %s.  ^C ends it.\n"
		    % ", ".join(site.relays), flush=True)
		shown = {"log": 0}
		try:
			while True:
				follow(site, shown)
				time.sleep(0.2)
		except KeyboardInterrupt:
			pass
	return 0


if __name__ == "__main__":
	sys.exit(main())
