/* account.h - the logins whose tokens are fetched, and when each is due.
 *
 * Relays with the same keys are one account: its token is fetched once and kept under each of their names.
 * Times are milliseconds of one clock that never goes back.
 *
 * Pure, but for the arena.
 */
#ifndef BROKER_ACCOUNT_H
#define BROKER_ACCOUNT_H

#include "postern/buf.h"
#include "postern/relay.h"

struct fetch;

struct account {
	const struct pn_relay *relay;	/* the first one */
	struct pn_strs names;		/* of all */
	int64_t due_ms;
	int64_t ends_ms;		/* the token's; 0: there is none yet */
	unsigned failures;		/* since the last success */
	struct fetch *fetch;		/* the request that is on its way; NULL: none */
	struct pn_buf unsaved;		/* a refresh token that its file could not take */
	char complaint[sizeof(((struct pn_error *)0)->text)];	/* logged last; "" after a success */
	int64_t complained_ms;
	int64_t refused_ms;		/* when a token was fetched because the last one was refused; 0: never */
};

struct accounts {
	struct account *v;
	size_t n;
};

/* Of the active relays with authentication = oauth; all are due.  Lives as long as relays and arena. */
struct accounts accounts_of(struct pn_relays relays, struct pn_arena *arena);
void accounts_done(struct accounts *accounts);

/* One that is due and not held up by another: a refresh token is never used by two requests at once.
 * NULL: none. */
struct account *accounts_due(const struct accounts *accounts, int64_t now_ms);
/* When the next one is due, of those without a request on its way; INT64_MAX: none. */
int64_t accounts_next_ms(const struct accounts *accounts);

/* A token for so many seconds: the next one is fetched at 80 % of them. */
void account_succeeded(struct account *account, uint64_t lifetime, int64_t now_ms);
/* The pause after a failure doubles each time.  TEMPFAIL: from 5 s to 5 minutes, INVALID (only the
 * operator can help): from 5 minutes to an hour; at least retry_after_ms, as the server asked for,
 * if that is no more than an hour. */
void account_failed(struct account *account, enum pn_status st, int64_t retry_after_ms, int64_t now_ms);
/* A mail server does not take the token: the next one is due at once, but not twice within 5 minutes, as
 * another token may not help.  False: nothing changes, since it is due anyway, or fetching fails just now. */
bool account_refused(struct account *account, int64_t now_ms);
/* Is this text to be logged?  Not the same one again within an hour. */
bool account_complains(struct account *account, const char *text, int64_t now_ms);

#endif
