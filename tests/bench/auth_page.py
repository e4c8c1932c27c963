"""The part of docs/performance.md about authentication, from what auth.py measured."""
from statistics import median

import page

TITLES = {
	"none": "no milter", "eom": "milter that does nothing", "trio": "opendkim, opendmarc and policyd-spf",
	"opendkim": "opendkim", "rspamd": "rspamd, only these three",
	"filter": "Postern, verifying", "postern": "Postern, verifying, routing and redirecting",
	"signer": "the same, by postern-signer",
}
CASES = {"warm": "Verified, the DNS in the caches", "cold": "Verified, each mail from a domain of its own",
    "sign": "Signed"}
KILOBYTES = {1500: "2 kB", 48000: "49 kB"}

WHY = {
	"verify": """Postfix itself needs the greater part of the time: the milter that does nothing is the limit.
  Of what Postern needs with a large mail, a third is libopendkim's, which reads the body byte by byte.""",
	"sign": "What remains is the RSA operation itself: see the signatures a second.",
	"ceiling": "Hashing the body and the header, and writing the field, is not in the time that openssl measures.",
}

HOW = """\
The same Postfix, 10 sessions, unix sockets; median (smallest-largest) of %d rounds, variants in turning order, ratios
within the round.  Mails have one signature (RSA-2048, relaxed/relaxed), senders an SPF record with an include, and a
DMARC record; one nsd on this machine answers for all.  The three filters mark, and so does Postern (`dmarc = mark`);
policyd-spf does not look at HELO, as Postern does not.  rspamd is a milter that scans by itself, one process for each
core, with its modules for SPF, DKIM, DMARC and Authentication-Results and no other, and without guessing languages; by
their logs it and Postern found all three to pass for each measured mail.  "Verifying" is mail to a stranger's domain, as the three have
it; with "routing and redirecting" it is for an alias besides.  opendkim signs with the same key and tables.
"""

CEILING = """\
Mails of 2 kB hashed and signed by `bench_sign`, beside `openssl speed rsa2048`, in turn.
"""


def ratios(values, variant, base):
	return [a["rate"] / b["rate"] for a, b in zip(values[variant], values[base])]


def over(auth, what, variant, base):
	"""{size in words: median ratio of the variant to the base}"""
	return {KILOBYTES[size]: median(ratios(values, variant, base))
	    for kind, size, values in auth["postfix"] if kind == what}


def row(text, values, bound, key):
	worst = min(values.values())
	return (text, ", ".join("%.2f with %s" % (v, name) for name, v in values.items()), worst >= bound,
	    "%.2f" % (bound - worst), key)


def aims(auth):
	shares = {"%s thread%s" % (n, "s" * (n != "1")): median(a / b for a, b in values)
	    for n, values in auth["sign"].items()}
	return [
		row("SPF, DKIM and DMARC verified, warm cache: at least 2.2 times as fast as opendkim, opendmarc and policyd-spf",
		    over(auth, "warm", "filter", "trio"), 2.2, "verify"),
		row("the same: ahead of rspamd with only these three", over(auth, "warm", "filter", "rspamd"), 1.0, "verify"),
		row("signed: at least 1.5 times as fast as opendkim", over(auth, "sign", "postern", "opendkim"), 1.5, "sign"),
		row("the same by postern-signer", over(auth, "sign", "signer", "opendkim"), 1.5, "sign"),
		row("signatures per second: at least 0.8 of `openssl speed rsa2048`", shares, 0.8, "ceiling"),
	]


def case_table(what, values):
	base = "opendkim" if what == "sign" else "trio"
	titles = dict(TITLES, postern="Postern, signing") if what == "sign" else TITLES
	others = [base] if what == "sign" else [base, "rspamd"]
	rows = [(titles[v], page.spread([x["rate"] for x in runs], "%.0f"), page.spread(ratios(values, v, "none")),
	    *[page.spread(ratios(values, v, other)) for other in others],
	    "%.2f / %.2f" % tuple(median(x[w] for x in runs) for w in ("whole_p50", "whole_p99")))
	    for v, runs in values.items()]
	return page.table(("filters", "mails/s", "of no milter", *["of " + TITLES[other] for other in others],
	    "whole transaction, p50 / p99 ms"), rows)


def part(auth):
	parts = ["## Authentication\n", HOW % auth["rounds"]]
	for what, size, values in auth["postfix"]:
		parts += ["### %s, %s\n" % (CASES[what], KILOBYTES[size]), case_table(what, values)]
	rows = [(n, page.spread([a for a, _ in values], "%.0f"), page.spread([b for _, b in values], "%.0f"),
	    page.spread([a / b for a, b in values])) for n, values in auth["sign"].items()]
	return parts + ["### Signatures a second\n", CEILING,
	    page.table(("threads", "Postern", "openssl", "share"), rows)]
