#include "postern/health.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR, WORDS_READ = 2048, CLOCK_SLACK_MS = 60 * SECOND };

/* -- the state -------------------------------------------------------------------- */

bool
pn_health_is_closed(const struct pn_health *health, int64_t now_ms)
{
	if (health->closed_until_ms == PN_HEALTH_UNTIL_OPENED)
		return true;
	/* closed by a clock that stood ahead: that time means nothing */
	return now_ms < health->closed_until_ms && health->last_failure_ms <= now_ms + CLOCK_SLACK_MS;
}

static bool
is_held(const struct pn_health *health)
{
	return health->closed_by_provider || health->closed_until_ms == PN_HEALTH_UNTIL_OPENED;
}

static void
note_reason(struct pn_health *health, struct pn_str text)
{
	size_t n = text.n < sizeof(health->reason) ? text.n : sizeof(health->reason) - 1;

	for (size_t i = 0; i < n; i++)
		health->reason[i] = text.p[i] >= ' ' && text.p[i] < 0x7f ? text.p[i] : '?';
	health->reason[n] = '\0';
}

static void
note_success(struct pn_health *health, int64_t now_ms)
{
	health->last_success_ms = now_ms;
	if (is_held(health) && pn_health_is_closed(health, now_ms))
		return;
	health->failures = 0;
	health->pauses = 0;
	health->closed_until_ms = 0;
	health->closed_by_provider = false;
}

static void
note_failure(struct pn_health *health, int64_t now_ms)
{
	bool half_open = health->closed_until_ms != 0 && !health->closed_by_provider;
	int64_t pause = PN_HEALTH_PAUSE_MIN;

	if (health->failures < UINT32_MAX)
		health->failures++;
	if (pn_health_is_closed(health, now_ms))
		return;
	health->closed_by_provider = false;
	health->closed_until_ms = 0;
	if (!half_open && health->failures < PN_HEALTH_FAILURES)
		return;
	for (uint32_t i = 0; i < health->pauses && pause < PN_HEALTH_PAUSE_MAX; i++)
		pause *= 2;
	if (pause > PN_HEALTH_PAUSE_MAX)
		pause = PN_HEALTH_PAUSE_MAX;
	if (health->pauses < UINT32_MAX)
		health->pauses++;
	health->closed_until_ms = now_ms + pause * SECOND;
}

/* It spoke, so it is not ill: what failed before no longer counts. */
static void
note_limit(struct pn_health *health, struct pn_str text, int64_t now_ms)
{
	uint64_t window = HOUR;

	(void)pn_health_is_limit(text, &window);
	health->failures = 0;
	health->closed_by_provider = true;
	if (health->closed_until_ms < now_ms + (int64_t)window)
		health->closed_until_ms = now_ms + (int64_t)window;
}

void
pn_health_note(struct pn_health *health, enum pn_health_event event, struct pn_str text, int64_t now_ms)
{
	if (event == PN_HEALTH_SUCCESS) {
		note_success(health, now_ms);
		return;
	}
	health->last_failure_ms = now_ms;
	note_reason(health, text);
	if (event == PN_HEALTH_LIMIT)
		note_limit(health, text, now_ms);
	else
		note_failure(health, now_ms);
}

/* -- the words of providers --------------------------------------------------------- */

struct words {
	struct pn_str one, other;	/* both are in the text; "" is in every text */
	uint64_t window_ms;
};
#define WORDS(one, other, window) { { one, sizeof(one) - 1 }, { other, sizeof(other) - 1 }, window }

/* The first that fits; lower case.  Digits are an enhanced status code (RFC 3463) and stand alone. */
static const struct words limits[] = {
	WORDS("5.1.90", "", DAY),			/* Microsoft: recipients of a mailbox */
	WORDS("5.7.232", "", DAY),			/* Microsoft: of a trial tenant */
	WORDS("5.7.233", "", DAY),			/* ... of a tenant */
	WORDS("5.7.236", "", DAY),			/* ... of an onmicrosoft.com domain */
	WORDS("5.7.705", "", DAY),			/* Microsoft: the tenant exceeded a threshold */
	WORDS("tenant", "exceeded", DAY),
	WORDS("submissionquotaexceeded", "", DAY),	/* Microsoft */
	WORDS("submission quota", "exceeded", DAY),
	WORDS("daily", "limit", DAY),			/* Gmail 5.4.5, Mailjet */
	WORDS("daily", "quota", DAY),			/* SES, Mailjet */
	WORDS("per day", "limit", DAY),
	WORDS("per day", "quota", DAY),
	WORDS("hourly", "limit", HOUR),			/* Mailjet */
	WORDS("hourly", "quota", HOUR),
	WORDS("per hour", "limit", HOUR),		/* Mailgun, while an account is new */
	WORDS("this hour", "too many", HOUR),		/* SendGrid */
	WORDS("maximum credits exceeded", "", DAY),	/* SendGrid */
	WORDS("sending quota", "", DAY),
	WORDS("too many login attempts", "", HOUR),	/* Gmail */
	WORDS("throttling failure", "", MINUTE),	/* SES: sending rate */
	WORDS("sending rate", "exceeded", MINUTE),
	WORDS("submission rate", "exceeded", MINUTE),	/* Exchange */
	WORDS("message rate", "sender", MINUTE),	/* Microsoft 4.5.127 */
	WORDS("concurrent connections", "", MINUTE),	/* Microsoft 4.3.2 */
	WORDS("too many concurrent", "", MINUTE),
	WORDS("thread limit exceeded", "", MINUTE),	/* Microsoft 4.3.2 */
	WORDS("per minute", "limit", MINUTE),
	WORDS("per second", "limit", MINUTE),
	WORDS("rate limit", "", MINUTE),
	WORDS("sending limit", "", DAY),
	WORDS("4.7.0", "try again later", MINUTE),	/* Gmail */
};

/* Limits of somebody else: of a recipient's mailbox, or of one mail. */
static const struct pn_str others[] = {
	{ "4.2.1", 5 }, { "4.2.2", 5 }, { "5.2.1", 5 }, { "5.2.2", 5 }, { "5.2.3", 5 }, { "5.3.4", 5 },
	{ "5.2.121", 7 }, { "5.2.122", 7 }, { "mailbox", 7 }, { "inbox", 5 }, { "over quota", 10 },
	{ "overquota", 9 }, { "recipient's", 11 }, { "receiving", 9 }, { "message size", 12 },
	{ "greylist", 8 },
};

static bool
is_of_code(char c)
{
	return pn_is_digit(c) || c == '.';
}

/* A code is not found inside of a longer one: 5.2.2 in 5.2.252. */
static bool
says(struct pn_str text, struct pn_str words)
{
	size_t from = 0, at;

	if (words.n == 0 || !pn_is_digit(words.p[0]))
		return pn_str_contains(text, words);
	while ((at = pn_str_find_str(pn_str_from(text, from), words)) != PN_STR_NONE) {
		at += from;
		from = at + words.n;
		if ((at == 0 || !is_of_code(text.p[at - 1]))
		    && (from == text.n || !pn_is_digit(text.p[from])))
			return true;
	}
	return false;
}

bool
pn_health_is_limit(struct pn_str text, uint64_t *window_ms)
{
	char lower[WORDS_READ];
	size_t n = text.n < sizeof(lower) ? text.n : sizeof(lower);

	for (size_t i = 0; i < n; i++)
		lower[i] = pn_to_lower(text.p[i]);
	text = pn_str_n(lower, n);
	for (size_t i = 0; i < PN_COUNT(others); i++)
		if (says(text, others[i]))
			return false;
	for (size_t i = 0; i < PN_COUNT(limits); i++)
		if (says(text, limits[i].one) && says(text, limits[i].other)) {
			*window_ms = limits[i].window_ms;
			return true;
		}
	return false;
}
