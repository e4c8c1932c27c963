"""docs/performance.md from what bench.py measured: aims beside values, and what is missed by how much and why."""
from statistics import median

import auth_page

TITLES = {
	"none": "no milter",
	"eom": "milter that does nothing",
	"all": "milter that does nothing, all callbacks",
	"redirect": "milter that only redirects",
	"postern": "Postern, routing and redirecting",
}
ASKED = {
	"null": "service that answers DUNNO", "postern": "Postern, relays without limits",
	"postern counting": "Postern, relays with limits", "postfwd": "postfwd", "postfwd counting": "postfwd with a rate",
}

# Said only where the aim is missed.
WHY = {
	"throughput": """What Postern costs beyond the milter that only redirects is, in this order: reading
  header and body and the decision, the two headers that cleanup(8) puts into the queue file, and the one
  transaction of the state that takes the lease, counts in the loop window and learns the thread (a dozen
  pages of 4 kB copied into the page cache; no disk is waited for).""",
	"p50": """Most of what is added to a mail without any milter is Postfix's own: three round trips (MAIL,
  RCPT, end of message), the message passed over the socket, the recipients changed in the queue file.  The
  milter that only redirects pays for them as well.""",
	"p99": """The slowest mails of one session are those that met another process on the same cores, or a
  commit of the file system's journal.""",
	"mail": "See the look-up.",
	"lookup": """Finding one of a million at random takes longer than one of a thousand: LMDB's tree is one
  level higher, and 100 MB of rows are in no processor's cache, a thousand rows are.  The row above has what that
  means for a mail.""",
	"live": "Reading and checking the table takes that long; mail goes on with the old one meanwhile.",
	"idle": "libmilter keeps a context and buffers for each connection; Postern's part is a few hundred bytes.",
	"flat": """Pages of the state file that are mapped count as resident; the process's own memory does not
  grow.""",
	"large": "No body is kept; what remains is the allocator's.",
	"policy": """An answer of the other is one read and one write.  Postern reads some thirty attributes and the sender,
  looks how each relay is, builds the route and logs a line.""",
	"policy_count": """What is ready at once is counted in one transaction of the state, and no disk is waited for; but each
  mail touches a page of 4 kB of its own in the table of traces.""",
	"policy_p99": "With many connections at once waiting is for those that came before: see the rate.",
}

HOW = """\
A mail of 2 kB to one alias, 20 mails per connection, `discard:` behind, unix sockets; median (smallest-largest)
of %d rounds.  All variants of a round run one after the other on the same Postfix, in turning order; ratios
are taken within the round.  The milter that does nothing and the one that only redirects negotiate as Postern
does: replies at MAIL, RCPT and the end of the message only.  CPU is what Postfix and the milter used for one
mail, from its arrival to its delivery.
"""

POLICY = """\
Requests of Postfix's policy protocol at DATA, each for a mail of its own and answered by a relay's FILTER; each
connection has one on its way.  The load generator uses the same processors.  Variants take turns as above.  postfwd is
its single process for all connections, with one rule by the sender's domain; it is asked fewer times.  Postern logs
each answer, the others none.
"""

CROWD = """\
Latency with that many sessions is the time spent waiting for the processors: sessions divided by throughput.
"""

BUSY = """\
Other work ran at the same time: the ratios are fair, as the variants of a round stood beside each other;
absolute numbers are too low."""


def spread(values, form="%.2f"):
	"""median (min-max)"""
	return "%s (%s-%s)" % tuple(form % v for v in (median(values), min(values), max(values)))


def count(sessions):
	return "%d session%s" % (sessions, "s" * (sessions > 1))


def table(head, rows):
	lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
	return "\n".join(lines + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]) + "\n"


def ratios(rounds, variant, base):
	return [a["rate"] / b["rate"] for a, b in zip(rounds[variant], rounds[base])]


def added(rounds, variant, base, what):
	"""Milliseconds more than the base, round by round."""
	return [a[what] - b[what] for a, b in zip(rounds[variant], rounds[base])]


def aims(r):
	"""(aim, measured, met?, by how much it is missed, key of the reason)"""
	single, memory = r["postfix"][1], r["memory"]
	against = {n: ratios(rounds, "postern", "redirect") for n, rounds in r["postfix"].items()}
	every = [x for values in against.values() for x in values]
	p50 = median(added(single, "postern", "none", "whole_p50"))
	p99 = median(added(single, "postern", "none", "whole_p99"))
	p50_redirect = median(added(single, "postern", "redirect", "whole_p50"))
	p99_redirect = median(added(single, "postern", "redirect", "whole_p99"))
	mail, rcpt = r["core"]["gate_mail_ratio"], r["core"]["gate_rcpt_ratio"]
	live, idle = r["reload"]["change"], memory["idle"]["all"]
	growth = memory["end"]["anon"] - memory["1k"]["anon"]
	large = memory["large"]["anon"] - memory["end"]["anon"]
	return policy_aims(r["policy"]) + auth_page.aims(r["auth"]) + [
		("throughput of Postfix with Postern: at least 0.95 of a milter that only redirects",
		    "%.3f over all rounds (%s)" % (median(every),
		    ", ".join("%.2f with %s" % (median(v), count(n)) for n, v in against.items())),
		    median(every) >= 0.95, "%.3f" % (0.95 - median(every)), "throughput"),
		("added latency p50 < 1 ms", "%.2f ms more than no milter, %.2f ms more than one that only redirects"
		    % (p50, p50_redirect), p50 < 1, "%.2f ms" % (p50 - 1), "p50"),
		("added latency p99 < 5 ms", "%.2f ms more than no milter, %.2f ms more than one that only redirects"
		    % (p99, p99_redirect), p99 < 5, "%.2f ms" % (p99 - 5), "p99"),
		("1,000 → 1,000,000 aliases: resolving costs < 1.3 times as much",
		    "%.2f: RCPT and decision of a mail" % mail, mail < 1.3, "%.2f" % (mail - 1.3), "mail"),
		("the same, of the look-up at RCPT alone", "%.2f (%.1f µs, then %.1f µs)" % (rcpt,
		    1e6 / r["core"]["gate_rcpt_1000"], 1e6 / r["core"]["gate_rcpt_1000000"]),
		    rcpt < 1.3, "%.2f" % (rcpt - 1.3), "lookup"),
		("a changed alias is live in < 1 s without a restart",
		    "%.2f s after the signal, in a table of %s" % (live, format(r["table"], ",")),
		    live < 1, "%.2f s" % (live - 1), "live"),
		("1,000 idle connections ≤ 50 MB", "%.0f MB" % idle, idle <= 50, "%.0f MB" % (idle - 50), "idle"),
		("memory flat over many messages", "%+.1f MB of its own from the 1,000th to the %sth"
		    % (growth, format(memory["many"], ",")), growth < 5, "%.1f MB" % (growth - 5), "flat"),
		("memory independent of the message's size", "%+.1f MB after 20 mails of 30 MB" % large, large < 5,
		    "%.1f MB" % (large - 5), "large"),
	]


def policy_ratios(policy, variant, what):
	"""{connections: median of its share in what the service that answers DUNNO has}, over both kinds of socket."""
	return {n: median(a[what] / b[what] for way in policy for a, b in zip(policy[way][n][variant], policy[way][n]["null"]))
	    for n in policy["unix"]}


def policy_aims(policy):
	rows = []
	for what, aim, bound, sign in (("rate", "policy answers, %s: at least %.1f of a service that answers DUNNO", 0.8, 1),
	    ("answer_p99", "policy answers, %s: p99 at most %.1f times that of a service that answers DUNNO", 1.5, -1)):
		for variant in ("postern", "postern counting"):
			values = policy_ratios(policy, variant, what)
			worst = min(values.values(), key=lambda x: sign * x)
			key = "policy_p99" if sign < 0 else "policy_count" if "counting" in variant else "policy"
			rows.append((aim % (ASKED[variant].partition(", ")[2], bound),
			    ", ".join("%.2f with %s" % (v, n) for n, v in values.items()) + " connections",
			    sign * (worst - bound) >= 0, "%.2f" % abs(worst - bound), key))
	return rows


def policy_table(policy):
	rows = []
	for way, by_count in policy.items():
		for n, variants in by_count.items():
			for variant in [v for v in ASKED if v in variants]:
				values, null = variants[variant], variants["null"]
				rows.append((way, n, ASKED[variant], spread([v["rate"] for v in values], "%.0f"),
				    "%.2f" % median(a["rate"] / b["rate"] for a, b in zip(values, null)),
				    "%.3f / %.3f" % tuple(median(v[w] for v in values) for w in ("answer_p50", "answer_p99")),
				    "%.1f" % median(v["cpu"] for v in values)))
	return table(("socket", "connections", "service", "answers/s", "of DUNNO", "p50 / p99 ms", "CPU µs an answer"), rows)


def postfix_table(rounds):
	rows = []
	for variant, values in rounds.items():
		rows.append((TITLES[variant],
		    spread([v["rate"] for v in values], "%.0f"), spread(ratios(rounds, variant, "none")),
		    spread(ratios(rounds, variant, "redirect")) if variant in ("redirect", "postern") else "",
		    "%.0f" % median(v["cpu"] for v in values),
		    "%.2f / %.2f" % tuple(median(v[w] for v in values) for w in ("end_p50", "end_p99")),
		    "%.2f / %.2f" % tuple(median(v[w] for v in values) for w in ("whole_p50", "whole_p99")),
		    "%+.2f / %+.2f" % tuple(median(added(rounds, variant, "none", w)) for w in ("whole_p50", "whole_p99"))))
	return table(("in smtpd_milters", "mails/s", "of no milter", "of one that only redirects",
	    "CPU µs a mail", "final dot to reply, p50 / p99 ms", "whole transaction", "added to no milter"), rows)


def alone_table(alone):
	rows = []
	for sessions in next(iter(alone.values())):
		for name in alone:
			values = alone[name][sessions]
			rows.append((sessions, TITLES[name], spread([v["rate"] for v in values], "%.0f"),
			    "%.3f / %.3f" % tuple(median(v[w] for v in values) for w in ("whole_p50", "whole_p99")),
			    "%.0f" % median(v["cpu"] for v in values)))
	return table(("sessions", "milter", "mails/s", "p50 / p99 ms", "CPU µs a mail"), rows)


def per_second(value):
	return "%s/s" % format(round(value), ",")


def core_rows(core, store):
	names = {"decide_alias": "decisions, core alone: mail to an alias, 2 kB", "decide_reply": "reply, two parts",
	    "decide_dsn": "delivery report",
	    "gate_rcpt_1000": "recipient at RCPT, 1,000 aliases", "gate_rcpt_1000000": "the same, 1,000,000",
	    "gate_mail_1000": "RCPT and whole mail over the store, 1,000 aliases",
	    "gate_mail_1000000": "the same, 1,000,000"}
	rows = [(title, per_second(core[key])) for key, title in names.items()]
	names = {"lookup_1000": "alias look-ups in the directory, 1,000", "lookup_1000000": "the same, 1,000,000",
	    "window_updates_1_thread": "loop windows counted, 1 thread", "window_updates_8_threads": "the same, 8 threads",
	    "admit_lease_window_thread": "mails admitted: lease, window and thread in one transaction",
	    "charge_new": "mails charged to a relay with two limits", "charge_again": "the same mails once more",
	    "charge_unlimited": "mails charged to a relay without limits"}
	rows += [(title, per_second(store[key])) for key, title in names.items()]
	return rows + [
		("1,000,000 aliases written to an empty directory, on disk", "%.1f s" % (store["apply_1000000"] / 1000)),
		("1,000 changes in 1,000,000 aliases, on disk", "%.1f s" % (store["apply_1000_changes_of_1000000"] / 1000)),
	]


def memory_rows(memory):
	names = {"start": "started", "1k": "after 1,000 messages",
	    "end": "after %s more" % format(memory["many"], ","),
	    "large": "after 20 more of 30 MB", "idle": "another, with 1,000 idle connections"}
	return [(title, "%.1f" % memory[key]["all"], "%.1f" % memory[key]["anon"]) for key, title in names.items()]


def postfix_part(r):
	parts = ["## Through Postfix\n", HOW % r["rounds"]]
	for sessions, rounds in r["postfix"].items():
		parts += ["### %s, %d mails a run\n" % (count(sessions), r["mails"][sessions]), postfix_table(rounds)]
	return parts + [CROWD]


def aims_part(rows):
	parts = ["## Aims\n", table(("aim", "measured", ""), [(aim, measured, "met" if ok else "**missed by %s**" % by)
	    for aim, measured, ok, by, _ in rows])]
	missed = ["* *%s*: by %s.\n  %s" % (aim, by, {**WHY, **auth_page.WHY}[key]) for aim, _, ok, by, key in rows if not ok]
	return parts + (["Where one is missed:\n", "\n".join(missed) + "\n"] if missed else [])


def write(r):
	changed = r["reload"]
	return "\n".join([
		"# Performance\n",
		"Made by `make bench`%s; written anew by each run.\n" % (
		    " in its quick form: too short to trust" if r["quick"] else ""),
		"## The machine\n", table(("", ""), list(r["machine"].items())),
		"Load average %.1f when it began and %.1f when it ended, after %.0f minutes.  %s\n" % (r["load_before"],
		    r["load_after"], r["minutes"], BUSY if r["load_before"] > 1 else "Nothing else ran."),
		*aims_part(aims(r)), *postfix_part(r),
		"## The milter without Postfix\n",
		"A load generator that speaks the protocol; it uses the same processors.\n", alone_table(r["alone"]),
		"## The policy service\n", POLICY, policy_table(r["policy"]),
		*auth_page.part(r["auth"]),
		"## The core and the state\n", table(("", ""), core_rows(r["core"], r["store"])),
		"Best of five rounds on one thread, unless it says otherwise.\n",
		"## A changed table\n", table(("", ""), [
		    ("a table of %s aliases read for the first time, until it is live" % format(r["table"], ","),
		    "%.2f s" % changed["load"]),
		    ("one alias added to it, until it is live", "%.2f s" % changed["change"])]),
		"## Memory\n", table(("", "resident, MB", "of these its own, MB"), memory_rows(r["memory"])),
		"The rest of what is resident are mapped pages of the state; the kernel takes them back at need.\n",
	])
