#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/health.h"

#define S PN_STR

enum { M = 60, H = 60 * M, D = 24 * H };

/* -- the words of providers -------------------------------------------------------- */

static const struct {
	const char *name, *text;
	uint64_t seconds;	/* 0: no limit of ours */
} words[] = {
	{ "Gmail, daily",
	    "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail 550-5.4.5 sending "
	    "limits go to 550 5.4.5 https://support.google.com/a/answer/166852", D },
	{ "Gmail relay, daily", "550 5.4.5 Daily SMTP relay sending limit exceeded for user.", D },
	{ "Gmail relay, customer", "550 5.7.1 Daily SMTP relay limit exceeded for customer.", D },
	{ "Gmail, logins", "454 4.7.0 Too many login attempts, please try again later.", H },
	{ "Gmail, slow down", "421 4.7.0 Try again later, closing connection. (EHLO)", M },
	{ "in Postfix's log",
	    "host smtp.gmail.com[142.250.1.1] said: 421-4.7.0 Try again later, closing connection. "
	    "421 4.7.0 https://support.google.com/ (in reply to MAIL FROM command)", M },
	{ "Microsoft, trial tenant",
	    "550 5.7.232 Your message can't be sent because your trial tenant has exceeded its "
	    "daily limit for sending email to external recipients (tenant external recipient rate limit)",
	    D },
	{ "Microsoft, tenant",
	    "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for "
	    "sending email to external recipients", D },
	{ "Microsoft, threshold", "550 5.7.705 Access denied, tenant has exceeded threshold.", D },
	{ "Microsoft, connections", "432 4.3.2 Concurrent connections limit exceeded. Visit "
	    "https://aka.ms/concurrent_sending for more information.", M },
	{ "Microsoft, threads", "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", M },
	{ "Microsoft, quota",
	    "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to "
	    "process message due to a permanent exception with message The message can't be submitted "
	    "because the sender's submission quota was exceeded.", D },
	{ "Microsoft, recipients",
	    "550 5.1.90 Your message can't be sent because you've reached your daily limit for "
	    "message recipients", D },
	{ "Exchange, rate",
	    "421 4.4.2 Message submission rate for this client has exceeded the configured limit", M },
	{ "SES, daily", "454 Throttling failure: Daily message quota exceeded.", D },
	{ "SES, rate", "454 Throttling failure: Maximum sending rate exceeded.", M },
	{ "SendGrid, credits", "451 Authentication failed: Maximum credits exceeded", D },
	{ "SendGrid, hour", "452 Too many recipients received this hour", H },
	{ "hourly", "550 5.7.1 Hourly sending limit reached", H },
	{ "per hour", "450 4.7.1 account limited to 100 messages per hour, limit reached", H },
	{ "per day", "550 you have reached the limit of 300 messages per day", D },
	{ "rate limit", "450 4.7.1 Rate limit exceeded", M },

	{ "a full mailbox", "552 5.2.2 <x@y.example>: Recipient address rejected: Mailbox quota exceeded",
	    0 },
	{ "a full mailbox, soft", "452 4.2.2 The recipient's inbox is out of storage space and inactive", 0 },
	{ "over quota", "552 5.2.2 user is over quota, daily limit", 0 },
	{ "a recipient's own limit",
	    "450 4.2.1 The user you are trying to contact is receiving mail too quickly", 0 },
	{ "a recipient's hourly limit",
	    "550 5.2.121 The recipient's per hour message receive limit from specific sender "
	    "exceeded", 0 },
	{ "a large mail", "552 5.3.4 Message size exceeds fixed limit", 0 },
	{ "many recipients", "452 4.5.3 Error: too many recipients", 0 },
	{ "a wrong password", "535 5.7.8 Username and Password not accepted", 0 },
	{ "greylisting", "450 4.7.0 Greylisted, try again later", 0 },
	{ "an unknown user", "550 5.1.1 no such user", 0 },
	{ "a code inside of another", "550 15.1.90 x", 0 },
	{ "a code that goes on", "550 5.7.2330 x", 0 },
	{ "a login that is locked", "454 4.7.0 Temporary authentication failure", 0 },
	{ "a daily greeting", "220 smtp.daily.example ESMTP", 0 },
	{ "nothing", "", 0 },
};

static void
limits_by_their_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(words); i++) {
		uint64_t window = 7;
		bool limit = pn_health_is_limit(pn_str_c(words[i].text), &window);

		if (limit != (words[i].seconds > 0) || window != (limit ? words[i].seconds * 1000 : 7))
			fail_msg("%s: %d, %llu", words[i].name, limit, (unsigned long long)window);
	}
}

static void
limits_of_somebody_else(void **state)
{
	static const char *const words_of_others[] = { "4.2.1", "4.2.2", "5.2.1", "5.2.2", "5.2.3", "5.3.4",
	    "5.2.121",
	    "5.2.122", "Mailbox", "inbox", "over quota", "OverQuota", "recipient's", "receiving",
	    "message size",
	    "Greylist" };
	uint64_t window;

	(void)state;
	for (size_t i = 0; i < PN_COUNT(words_of_others); i++) {
		struct pn_arena *arena = pn_arena_new(1 << 16);

		if (pn_health_is_limit(pn_arena_printf(arena, "450 %s rate limit", words_of_others[i]),
		    &window))
			fail_msg("%s", words_of_others[i]);
		pn_arena_free(arena);
	}
}

static void
long_texts_are_read_to_a_bound(void **state)
{
	size_t n = 1 << 20;
	char *text = malloc(n);
	uint64_t window;

	(void)state;
	assert_non_null(text);
	memset(text, '5', n);
	assert_false(pn_health_is_limit(pn_str_n(text, n), &window));
	memcpy(text, "\0\xff rate limit ", 14);
	assert_true(pn_health_is_limit(pn_str_n(text, n), &window));
	free(text);
}

/* -- the state ------------------------------------------------------------------------ */

/* Events by a letter, with the seconds that pass before it: s success, f failure,
 * l limit of a minute, h a limit without a window, o the operator closes. */
static const struct {
	const char *name, *events;
	int64_t closed_for;	/* seconds from the last event on; 0: open */
	uint32_t failures, pauses;
} stories[] = {
	{ "nothing", "", 0, 0, 0 },
	{ "two failures", "1f 1f", 0, 2, 0 },
	{ "three failures", "1f 1f 1f", 60, 3, 1 },
	{ "a success between", "1f 1f 1s 1f 1f", 0, 2, 0 },
	{ "failures while it is down lengthen nothing", "1f 1f 1f 10f 10f", 40, 5, 1 },
	{ "half open", "1f 1f 1f 60s", 0, 0, 0 },
	{ "half open and failing: twice the pause", "1f 1f 1f 60f", 120, 4, 2 },
	{ "and again", "1f 1f 1f 60f 120f", 240, 5, 3 },
	{ "at most an hour", "1f 1f 1f 60f 120f 240f 480f 960f 1920f 3600f", 3600, 10, 8 },
	{ "well again: from the beginning", "1f 1f 1f 60f 120s 1f 1f 1f", 60, 3, 1 },
	{ "a success while it is down", "1f 1f 1f 10s", 0, 0, 0 },
	{ "a limit at once", "1l", 60, 0, 0 },
	{ "a limit without a window", "1h", 3600, 0, 0 },
	{ "no success opens it before", "1l 10s", 50, 0, 0 },
	{ "its window over", "1l 60s", 0, 0, 0 },
	{ "behind a limit it is not half open", "1l 60f", 0, 1, 0 },
	{ "a failure inside of it", "1l 10f", 50, 1, 0 },
	{ "the longer window stays", "1h 60l", 3540, 0, 0 },
	{ "a longer window replaces", "1l 10h", 3600, 0, 0 },
	{ "a limit makes the next pause no longer", "1f 1f 1f 60l 60f 1f 1f", 120, 3, 2 },
	{ "closed by the operator", "o 1s 1000000s 1f", PN_HEALTH_UNTIL_OPENED, 1, 0 },
	{ "a limit does not open it", "o 1l 100s", PN_HEALTH_UNTIL_OPENED, 0, 0 },
};

static int64_t
play(struct pn_health *health, struct pn_str events)
{
	int64_t now = 1000000000;
	struct pn_str word;

	while (events.n > 0 && pn_str_split(&events, ' ', &word)) {
		char what = word.p[word.n - 1];
		uint64_t seconds = 0;

		if (word.n > 1)
			assert_true(pn_str_to_u64(pn_str_head(word, word.n - 1), 1u << 30, &seconds));
		now += (int64_t)seconds * 1000;
		if (what == 'o')
			health->closed_until_ms = PN_HEALTH_UNTIL_OPENED;
		else if (what == 's')
			pn_health_note(health, PN_HEALTH_SUCCESS, S(""), now);
		else if (what == 'f')
			pn_health_note(health, PN_HEALTH_NO_CONNECTION, S("refused"), now);
		else
			pn_health_note(health, PN_HEALTH_LIMIT, what == 'l' ? S("rate limit") : S("limit"),
			    now);
	}
	return now;
}

static void
how_it_opens_and_closes(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(stories); i++) {
		struct pn_health h = { .failures = 0 };
		int64_t now = play(&h, pn_str_c(stories[i].events)), left = 0;

		if (pn_health_is_closed(&h, now))
			left = h.closed_until_ms == PN_HEALTH_UNTIL_OPENED ? PN_HEALTH_UNTIL_OPENED
			    : (h.closed_until_ms - now) / 1000;
		if (left != stories[i].closed_for || h.failures != stories[i].failures
		    || h.pauses != stories[i].pauses)
			fail_msg("%s: %lld s, %u failures, %u pauses", stories[i].name, (long long)left,
			    h.failures, h.pauses);
	}
}

static void
every_failure_counts(void **state)
{
	(void)state;
	for (enum pn_health_event e = PN_HEALTH_NO_CONNECTION; e <= PN_HEALTH_NO_SERVICE; e++) {
		struct pn_health h = { .failures = PN_HEALTH_FAILURES - 1 };

		pn_health_note(&h, e, S("x"), 5);
		assert_true(pn_health_is_closed(&h, 5));
		assert_false(h.closed_by_provider);
		assert_int_equal(h.last_failure_ms, 5);
	}
}

static void
reasons_are_printable(void **state)
{
	struct pn_health h = { .failures = 0 };
	char text[600];

	(void)state;
	pn_health_note(&h, PN_HEALTH_NO_LOGIN, S("535 a\r\n\0b\xff"), 1);
	assert_string_equal(h.reason, "535 a???b?");
	memset(text, 'x', sizeof(text));
	pn_health_note(&h, PN_HEALTH_NO_LOGIN, pn_str_n(text, sizeof(text)), 1);
	assert_int_equal(strlen(h.reason), sizeof(h.reason) - 1);
	pn_health_note(&h, PN_HEALTH_SUCCESS, S("250 ok"), 2);
	assert_int_equal(strlen(h.reason), sizeof(h.reason) - 1);
	assert_int_equal(h.last_success_ms, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_by_their_words),
		cmocka_unit_test(limits_of_somebody_else),
		cmocka_unit_test(long_texts_are_read_to_a_bound),
		cmocka_unit_test(how_it_opens_and_closes),
		cmocka_unit_test(every_failure_counts),
		cmocka_unit_test(reasons_are_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
