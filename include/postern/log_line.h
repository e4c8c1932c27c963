/* log_line.h - what a line of Postfix's log tells of a relay.
 *
 * Of the lines of smtp(8) two kinds tell something: what became of a recipient
 * ("QUEUEID: to=<...>, relay=host[address]:port, ..., status=sent (...)"), and what
 * went wrong on the way, which smtp(8) writes before it goes on to the next relay
 * of its list.  The second kind often names no queue id or no port; what belongs
 * to one delivery has the process id in common, and the recipients come last.
 *
 * A line holds bytes of strangers: recipients, and whatever a relay answers.
 * What a recipient is called is never taken for a relay's words.
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_LOG_LINE_H
#define POSTERN_LOG_LINE_H

#include "postern/health.h"

enum { PN_LOG_LINE_MAX = 8192 }; /* bytes; a longer one tells nothing */

enum pn_log_status {
	PN_LOG_TROUBLE, /* on the way: this host did not take it */
	PN_LOG_SENT,
	PN_LOG_BOUNCED,
	PN_LOG_DEFERRED,
};

/* Everything is borrowed from the line. */
struct pn_log_line {
	enum pn_log_status status;
	struct pn_str time; /* as it stands: "Nov  5 17:28:41", "2026-11-05T17:28:41.5+01:00" */
	struct pn_str transport; /* last part of syslog_name: "postern-starttls" */
	uint32_t pid;
	struct pn_str queue_id; /* "" = not told */
	struct pn_str recipient; /* without <>; "" for PN_LOG_TROUBLE */
	struct pn_str host; /* whom it talked to; "" = nobody, or not told */
	uint16_t port; /* 0: not told */
	bool failed; /* the relay has: .event and .text say how */
	enum pn_health_event event;
	struct pn_str text; /* the words for people */
};

/* False: it is of another program, or tells nothing of a relay.  A recipient's own
 * trouble, such as 550 for an unknown user, is no failure of the relay. */
bool pn_log_line_parse(struct pn_str line, struct pn_log_line *out);

#endif
