/* health.h - is a relay well?  What is learned from its failures, as a pure rule.
 *
 *   well ──failures in a row──▶ down ──pause over──▶ half open ──one success──▶ well
 *                                ▲                       │
 *                                └── one failure, twice the pause
 *
 * What fails or succeeds while it is down was on its way before: a failure makes
 * no pause longer, a success ends it.
 *
 * A provider's own "limit exceeded" takes it down at once, until the window it
 * names opens, and is no sign of illness: the next pause is not longer, and a
 * relay behind it is well, not half open.  No success opens it before: a login
 * works all the same.  Nor does one open what the operator closed.
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_HEALTH_H
#define POSTERN_HEALTH_H

#include "postern/relay.h"

enum {
	PN_HEALTH_FAILURES = 3,		/* in a row, until a relay is taken out */
	PN_HEALTH_PAUSE_MIN = 60,	/* seconds */
	PN_HEALTH_PAUSE_MAX = 3600,
};

#define PN_HEALTH_UNTIL_OPENED INT64_MAX	/* closed_until_ms: by the operator */

struct pn_health {
	uint32_t failures;		/* in a row */
	uint32_t pauses;		/* so far: the next is longer */
	int64_t closed_until_ms;	/* 0: not closed */
	bool closed_by_provider;	/* it said that a limit is exceeded */
	int64_t last_success_ms, last_failure_ms;
	char reason[256];		/* of the last failure, NUL-terminated, printable */
};

enum pn_health_event {
	PN_HEALTH_SUCCESS,		/* it took a mail, or a probe's login */
	PN_HEALTH_NO_CONNECTION,
	PN_HEALTH_NO_TLS,
	PN_HEALTH_NO_LOGIN,
	PN_HEALTH_NO_SERVICE,		/* 421, 4xx greeting, timeout */
	PN_HEALTH_LIMIT,		/* "daily limit exceeded": pn_health_is_limit() */
};

/* What the event makes of it.  text: the server's words; a limit that names no
 * window lasts an hour. */
void pn_health_note(struct pn_health *health, enum pn_health_event event, struct pn_str text, int64_t now_ms);

bool pn_health_is_closed(const struct pn_health *health, int64_t now_ms);

/* Does a reply (or a log line's text after status=...) tell of a sending limit,
 * and how long does it last?  *window_ms: a minute, an hour, a day, as its words say;
 * untouched when it does not.  A full mailbox of the recipient is no such limit.
 * Knows the words of Gmail, Microsoft 365, SES and SendGrid, and common ones of others. */
bool pn_health_is_limit(struct pn_str text, uint64_t *window_ms);

#endif
