#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "postern/log_line.h"

/* Lines of Postfix 3.7. */

#define PLAIN "Nov 20 17:28:41 mx postfix/postern-plain/smtp[18125]: "
#define TLS "Nov 20 17:28:41 mx postfix/postern-starttls/smtp[18125]: "
#define NUMBERS ", delay=0.06, delays=0.02/0.04/0.01/0, "
#define TO_R1 "1B670A78459: to=<r1@far.test>, relay=localhost[127.0.0.1]:28155" NUMBERS
#define GMAIL "Daily user sending limit exceeded. For more information on Gmail"

enum { NOTHING = -1, WELL = -1 };

static const struct {
	const char *name, *line;
	int status;		/* NOTHING, or enum pn_log_status */
	const char *queue_id, *recipient, *host;
	unsigned port;
	int event;		/* WELL, or enum pn_health_event */
} lines[] = {
	{ "sent", PLAIN TO_R1 "dsn=2.0.0, status=sent (250 2.0.0 ok)",
	    PN_LOG_SENT, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },
	{ "sent over a connection that was kept",
	    PLAIN "4dCwrB2lBdz1WnR: to=<r1@far.test>, orig_to=<ann>, relay=smtp.gmail.com[142.250.1.1]:587, "
		"conn_use=2" NUMBERS "dsn=2.0.0, status=sent (250 2.0.0 OK  1700000000 x - gsmtp)",
	    PN_LOG_SENT, "4dCwrB2lBdz1WnR", "r1@far.test", "smtp.gmail.com", 587, WELL },
	{ "IPv6",
	    PLAIN "1B670A78459: to=<r1@far.test>, relay=2001:db8::1[2001:db8::1]:25" NUMBERS
		"dsn=2.0.0, status=sent (250 ok)",
	    PN_LOG_SENT, "1B670A78459", "r1@far.test", "2001:db8::1", 25, WELL },
	{ "rsyslog's time",
	    "2026-11-20T17:28:41.123456+01:00 mx postfix/postern-plain/smtp[18125]: " TO_R1
		"dsn=2.0.0, status=sent (250 2.0.0 ok)",
	    PN_LOG_SENT, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },
	{ "a day of one digit",
	    "Nov  2 17:28:41 mx postfix/postern-plain/smtp[18125]: " TO_R1 "dsn=2.0.0, status=sent (250 2.0.0 ok)",
	    PN_LOG_SENT, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },
	{ "quoted local part",
	    PLAIN "80065A7856A: to=<\"a b\"@far.test>, relay=localhost[127.0.0.1]:27603" NUMBERS
		"dsn=2.0.0, status=sent (250 2.0.0 ok)",
	    PN_LOG_SENT, "80065A7856A", "\"a b\"@far.test", "localhost", 27603, WELL },
	{ "a recipient that looks like the rest of the line",
	    PLAIN "80065A7856A: to=<\"x>, relay=evil[1.2.3.4]:25, dsn=2.0.0, status=sent (\\\"\"@far.test>, "
		"relay=localhost[127.0.0.1]:27603" NUMBERS
		"dsn=5.1.1, status=bounced (host localhost[127.0.0.1] said: 550 5.1.1 no such user (in reply to "
		"RCPT TO command))",
	    PN_LOG_BOUNCED, "80065A7856A",
	    "\"x>, relay=evil[1.2.3.4]:25, dsn=2.0.0, status=sent (\\\"\"@far.test", "localhost", 27603, WELL },
	{ "a reply that looks like the rest of a line",
	    PLAIN TO_R1 "dsn=4.2.0, status=deferred (host localhost[127.0.0.1] said: 450 4.2.0 >, "
		"relay=evil[1.2.3.4]:25, status=sent (250 ok (in reply to RCPT TO command))",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },

	/* what is the recipient's */
	{ "unknown user",
	    PLAIN TO_R1 "dsn=5.1.1, status=bounced (host localhost[127.0.0.1] said: 550 5.1.1 no such user (in "
		"reply to RCPT TO command))",
	    PN_LOG_BOUNCED, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },
	{ "later",
	    PLAIN TO_R1 "dsn=4.2.0, status=deferred (host localhost[127.0.0.1] said: 450 4.2.0 no (in reply to "
		"RCPT TO command))",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },
	{ "an address that says daily limit",
	    PLAIN TO_R1 "dsn=5.1.1, status=bounced (host localhost[127.0.0.1] said: 550 5.1.1 "
		"<daily-limit@far.test>: unknown (in reply to RCPT TO command))",
	    PN_LOG_BOUNCED, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },
	{ "one without brackets",
	    PLAIN TO_R1 "dsn=5.1.1, status=bounced (host localhost[127.0.0.1] said: 550 5.1.1 "
		"daily-limit@far.test: unknown (in reply to RCPT TO command))",
	    PN_LOG_BOUNCED, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },
	{ "one with blanks",
	    PLAIN TO_R1 "dsn=5.1.1, status=bounced (host localhost[127.0.0.1] said: 550 5.1.1 "
		"<\"a daily limit x\"@far.test>: unknown (in reply to RCPT TO command))",
	    PN_LOG_BOUNCED, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },
	{ "a domain that says daily limit",
	    PLAIN TO_R1 "dsn=5.1.2, status=bounced (host localhost[127.0.0.1] said: 550 5.1.2 "
		"daily-limit.example: no such domain (in reply to RCPT TO command))",
	    PN_LOG_BOUNCED, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },
	{ "one in brackets, with a full stop and a code in it",
	    PLAIN TO_R1 "dsn=5.1.2, status=bounced (host localhost[127.0.0.1] said: 550 5.1.2 no such domain "
		"(Daily.5.4.5.Quota2.example.). (in reply to RCPT TO command))",
	    PN_LOG_BOUNCED, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },
	{ "a domain beside a limit",
	    PLAIN TO_R1 "dsn=4.4.5, status=deferred (host localhost[127.0.0.1] said: 450 4.4.5 acme.example: daily "
		"quota exceeded (in reply to RCPT TO command))",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_LIMIT },
	{ "a word with dots that is no domain",
	    PLAIN TO_R1 "dsn=5.2.0, status=bounced (host localhost[127.0.0.1] said: 554 5.2.0 "
		"STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed (in reply to end of DATA "
		"command))",
	    PN_LOG_BOUNCED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_LIMIT },
	{ "a code that is no domain",
	    PLAIN TO_R1 "dsn=5.4.5, status=bounced (host localhost[127.0.0.1] said: 550-5.4.5 Daily user sending "
		"550 limit. (in reply to end of DATA command))",
	    PN_LOG_BOUNCED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_LIMIT },
	{ "later, while others are tried", PLAIN "1E46FA7849B: host localhost[127.0.0.1] said: 450 4.2.0 no (in "
	    "reply to RCPT TO command)", PN_LOG_TROUBLE, "1E46FA7849B", "", "localhost", 0, WELL },
	{ "our own map said later, others are tried",
	    PLAIN "99C0BA76D1D: local data error while talking to localhost[127.0.0.1]",
	    PN_LOG_TROUBLE, "99C0BA76D1D", "", "localhost", 0, WELL },
	{ "our own map said later",
	    PLAIN TO_R1 "dsn=4.3.0, status=deferred (local data error while talking to localhost[127.0.0.1])",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, WELL },
	{ "our own map said later, of all relays",
	    PLAIN "20B56A78CF9: to=<r1@far.test>, relay=none" NUMBERS
		"dsn=4.7.5, status=deferred (client TLS configuration problem)",
	    PN_LOG_DEFERRED, "20B56A78CF9", "r1@far.test", "", 0, WELL },

	/* what is the relay's: the last one of a list */
	{ "refuses connections",
	    PLAIN "DDAFCA78497: to=<r1@far.test>, relay=none" NUMBERS
		"dsn=4.4.1, status=deferred (connect to localhost[127.0.0.1]:21670: Connection refused)",
	    PN_LOG_DEFERRED, "DDAFCA78497", "r1@far.test", "localhost", 21670, PN_HEALTH_NO_CONNECTION },
	{ "has no address",
	    PLAIN "4B4B0A7856B: to=<r1@far.test>, relay=none" NUMBERS
		"dsn=5.4.4, status=bounced (unable to look up host nosuch.invalid: Name or service not known)",
	    PN_LOG_BOUNCED, "4B4B0A7856B", "r1@far.test", "nosuch.invalid", 0, PN_HEALTH_NO_CONNECTION },
	{ "has no address in the DNS",
	    PLAIN "4B4B0A7856B: to=<r1@far.test>, relay=none" NUMBERS
		"dsn=5.4.4, status=bounced (Host or domain name not found. Name service error for "
		"name=nosuch.invalid type=A: Host not found)",
	    PN_LOG_BOUNCED, "4B4B0A7856B", "r1@far.test", "nosuch.invalid", 0, PN_HEALTH_NO_CONNECTION },
	{ "greets with 421",
	    PLAIN TO_R1 "dsn=4.3.2, status=deferred (host localhost[127.0.0.1] refused to talk to me: 421 4.3.2 "
		"busy)",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_NO_SERVICE },
	{ "says nothing",
	    PLAIN TO_R1 "dsn=4.4.2, status=deferred (conversation with localhost[127.0.0.1] timed out while "
		"receiving the initial server greeting)",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_NO_SERVICE },
	{ "hangs up",
	    PLAIN TO_R1 "dsn=4.4.2, status=deferred (lost connection with localhost[127.0.0.1] while sending end "
		"of data -- message may be sent more than once)",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_NO_SERVICE },
	{ "ends the session",
	    PLAIN TO_R1 "dsn=4.3.2, status=deferred (host localhost[127.0.0.1] said: 421 4.3.2 closing (in reply "
		"to MAIL FROM command))",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_NO_SERVICE },
	{ "wants a login",
	    PLAIN TO_R1 "dsn=5.7.0, status=bounced (host localhost[127.0.0.1] said: 530 5.7.0 authentication "
		"required (in reply to MAIL FROM command))",
	    PN_LOG_BOUNCED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_NO_LOGIN },
	{ "wants TLS",
	    PLAIN TO_R1 "dsn=5.7.0, status=bounced (host localhost[127.0.0.1] said: 530 5.7.0 Must issue a STARTTLS "
		"command first (in reply to MAIL FROM command))",
	    PN_LOG_BOUNCED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_NO_TLS },
	{ "does not know the password",
	    PLAIN TO_R1 "dsn=4.7.8, status=deferred (SASL authentication failed; server localhost[127.0.0.1] "
		"said: 535 5.7.8 wrong)",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_NO_LOGIN },
	{ "had too many logins",
	    PLAIN TO_R1 "dsn=4.7.0, status=deferred (SASL authentication failed; server localhost[127.0.0.1] "
		"said: 454 4.7.0 Too many login attempts, please try again later)",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_LIMIT },
	{ "offers no TLS",
	    TLS TO_R1 "dsn=4.7.4, status=deferred (TLS is required, but was not offered by host "
		"localhost[127.0.0.1])",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_NO_TLS },
	{ "refuses TLS",
	    TLS TO_R1 "dsn=4.7.0, status=deferred (TLS is required, but host localhost[127.0.0.1] refused to start "
		"TLS: 454 4.7.0 no)",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_NO_TLS },
	{ "has a bad certificate", TLS TO_R1 "dsn=4.7.5, status=deferred (Server certificate not verified)",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_NO_TLS },
	{ "breaks the handshake", TLS TO_R1 "dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_NO_TLS },
	{ "used up, its 5xx made 4xx",
	    PLAIN TO_R1 "dsn=4.4.5, status=deferred (host localhost[127.0.0.1] said: 450-4.4.5 5.4.5 " GMAIL
		" 450-4.4.5 5.4.5 sending limits go to 450 4.4.5 5.4.5  https://support.google.com/a/answer/166852 "
		"x - gsmtp (in reply to RCPT TO command))",
	    PN_LOG_DEFERRED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_LIMIT },
	{ "used up, its 5xx left alone",
	    PLAIN TO_R1 "dsn=5.4.5, status=bounced (host localhost[127.0.0.1] said: 550 5.4.5 " GMAIL
		" (in reply to end of DATA command))",
	    PN_LOG_BOUNCED, "1B670A78459", "r1@far.test", "localhost", 28155, PN_HEALTH_LIMIT },

	/* the same of one that is not the last */
	{ "refuses connections, others are tried",
	    PLAIN "connect to localhost[127.0.0.1]:21670: Connection refused",
	    PN_LOG_TROUBLE, "", "", "localhost", 21670, PN_HEALTH_NO_CONNECTION },
	{ "greets with 421, others are tried",
	    PLAIN "1B670A78459: host localhost[127.0.0.1] refused to talk to me: 421 4.3.2 busy",
	    PN_LOG_TROUBLE, "1B670A78459", "", "localhost", 0, PN_HEALTH_NO_SERVICE },
	{ "hangs up, others are tried",
	    PLAIN "9F30BA78448: lost connection with localhost[127.0.0.1] while receiving the initial server "
		"greeting",
	    PN_LOG_TROUBLE, "9F30BA78448", "", "localhost", 0, PN_HEALTH_NO_SERVICE },
	{ "says nothing, others are tried",
	    PLAIN "00035A7843F: conversation with localhost[127.0.0.1] timed out while receiving the initial "
		"server greeting",
	    PN_LOG_TROUBLE, "00035A7843F", "", "localhost", 0, PN_HEALTH_NO_SERVICE },
	{ "does not know the password, others are tried",
	    PLAIN "5B206A78423: SASL authentication failed; server localhost[127.0.0.1] said: 535 5.7.8 wrong",
	    PN_LOG_TROUBLE, "5B206A78423", "", "localhost", 0, PN_HEALTH_NO_LOGIN },
	{ "slow down, others are tried",
	    PLAIN "8456DA7849F: host localhost[127.0.0.1] said: 421 4.7.0 Try again later, closing connection (in "
		"reply to MAIL FROM command)",
	    PN_LOG_TROUBLE, "8456DA7849F", "", "localhost", 0, PN_HEALTH_LIMIT },
	{ "offers no TLS, others are tried",
	    TLS "157D4A78C82: TLS is required, but was not offered by host localhost[127.0.0.1]",
	    PN_LOG_TROUBLE, "157D4A78C82", "", "localhost", 0, PN_HEALTH_NO_TLS },
	{ "wrong name",
	    TLS "server certificate verification failed for localhost[127.0.0.1]:30907: num=62:hostname mismatch",
	    PN_LOG_TROUBLE, "", "", "localhost", 30907, PN_HEALTH_NO_TLS },
	{ "self-signed",
	    TLS "certificate verification failed for localhost[127.0.0.1]:29491: self-signed certificate",
	    PN_LOG_TROUBLE, "", "", "localhost", 29491, PN_HEALTH_NO_TLS },
	{ "handshake", TLS "SSL_connect error to localhost[127.0.0.1]:21939: lost connection",
	    PN_LOG_TROUBLE, "", "", "localhost", 21939, PN_HEALTH_NO_TLS },
	{ "certificate, of nobody", TLS "DBBD5A78C9E: Server certificate not verified",
	    PN_LOG_TROUBLE, "DBBD5A78C9E", "", "", 0, PN_HEALTH_NO_TLS },
	{ "used up, others are tried",
	    PLAIN "localhost[127.0.0.1]:30329: replacing server reply \"550-5.4.5 " GMAIL "\" with \"450-4.4.5 5.4.5 "
		GMAIL "\"",
	    PN_LOG_TROUBLE, "", "", "localhost", 30329, PN_HEALTH_LIMIT },

	{ "a reply that was replaced for another reason",
	    PLAIN "localhost[127.0.0.1]:30329: replacing server reply \"550 5.1.1 no\" with \"450 5.1.1 no\"",
	    PN_LOG_TROUBLE, "", "", "localhost", 30329, WELL },

	/* what tells nothing */
	{ "another program",
	    "Nov 20 17:28:41 mx postfix/smtp/smtpd[18121]: 1B670A78459: filter: DATA from localhost[127.0.0.1]",
	    NOTHING, "", "", "", 0, WELL },
	{ "the queue manager's pause",
	    "Nov 20 17:28:41 mx postfix/error[18121]: 1B670A78459: to=<r1@far.test>, relay=none" NUMBERS
		"dsn=4.4.1, status=deferred (delivery temporarily suspended: connect to localhost[127.0.0.1]:21670: "
		"Connection refused)",
	    NOTHING, "", "", "", 0, WELL },
	{ "a warning", PLAIN "warning: DDAF6A78C94: smtp_sasl_password_maps lookup error",
	    NOTHING, "", "", "", 0, WELL },
	{ "a verification", PLAIN TO_R1 "dsn=2.0.0, status=deliverable (250 ok)", NOTHING, "", "", "", 0, WELL },
	{ "cut off", PLAIN "1B670A78459: to=<r1@far.test>, relay=localhost[127.0.0.1]:28155, delay=0.06",
	    NOTHING, "", "", "", 0, WELL },
	{ "no end of the address", PLAIN "1B670A78459: to=<\"r1@far.test>, relay=x[1.1.1.1]:25, status=sent (ok)",
	    NOTHING, "", "", "", 0, WELL },
	{ "no number", "Nov 20 17:28:41 mx postfix/postern-plain/smtp[-1]: connect to x[1.1.1.1]:25: no",
	    NOTHING, "", "", "", 0, WELL },
	{ "a port that is none", PLAIN "connect to x[1.1.1.1]:65536: no", NOTHING, "", "", "", 0, WELL },
	{ "no time", "postfix/postern-plain/smtp[1]: connect to x[1.1.1.1]:25: no", NOTHING, "", "", "", 0, WELL },
	{ "no words", "Nov 20 17:28:41 mx postfix/postern-plain/smtp[1]:", NOTHING, "", "", "", 0, WELL },
	{ "nothing", "", NOTHING, "", "", "", 0, WELL },
	{ "blanks", "                                              ", NOTHING, "", "", "", 0, WELL },
};

static void
expect(const char *name, const char *what, struct pn_str got, const char *wanted)
{
	if (!pn_str_eq(got, pn_str_c(wanted)))
		fail_msg("%s: %s is \"" PN_STR_FMT "\"", name, what, PN_STR_ARG(got));
}

static void
lines_of_postfix(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(lines); i++) {
		struct pn_log_line line;
		const char *name = lines[i].name;
		bool told = pn_log_line_parse(pn_str_c(lines[i].line), &line);

		if (told != (lines[i].status != NOTHING))
			fail_msg("%s: %d", name, told);
		if (!told)
			continue;
		if ((int)line.status != lines[i].status || line.pid != 18125 || line.port != lines[i].port)
			fail_msg("%s: status %d, pid %u, port %u", name, (int)line.status, line.pid, line.port);
		if (line.failed ? (int)line.event != lines[i].event : lines[i].event != WELL)
			fail_msg("%s: failed %d, event %d", name, line.failed, (int)line.event);
		expect(name, "queue id", line.queue_id, lines[i].queue_id);
		expect(name, "recipient", line.recipient, lines[i].recipient);
		expect(name, "host", line.host, lines[i].host);
	}
}

static void
parts_of_the_head(void **state)
{
	static const struct {
		const char *line, *time, *transport;
	} heads[] = {
		{ PLAIN, "Nov 20 17:28:41", "postern-plain" },
		{ "Nov  2 17:28:41 mx postfix/postern-a/smtp[7]: ", "Nov  2 17:28:41", "postern-a" },
		{ "2026-11-20T17:28:41.1+01:00 mx postfix-out/postern-wait-smtps/smtp[7]: ",
		    "2026-11-20T17:28:41.1+01:00", "postern-wait-smtps" },
		{ "2026-11-20T17:28:41.1+01:00 mx postfix/smtp[7]: ", "2026-11-20T17:28:41.1+01:00", "postfix" },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(heads); i++) {
		struct pn_log_line line;
		struct pn_arena *arena = pn_arena_new(1 << 16);

		assert_true(pn_log_line_parse(pn_arena_printf(arena, "%sconnect to x[::1]:25: no", heads[i].line),
		    &line));
		expect(heads[i].line, "time", line.time, heads[i].time);
		expect(heads[i].line, "transport", line.transport, heads[i].transport);
		pn_arena_free(arena);
	}
}

static void
long_lines_tell_nothing(void **state)
{
	size_t n = strlen(PLAIN "connect to x[::1]:25: ");
	char *line = malloc(PN_LOG_LINE_MAX + 1);
	struct pn_log_line out;

	(void)state;
	assert_non_null(line);
	memset(line, 'x', PN_LOG_LINE_MAX + 1);
	memcpy(line, PLAIN "connect to x[::1]:25: ", n);
	assert_true(pn_log_line_parse(pn_str_n(line, PN_LOG_LINE_MAX), &out));
	assert_false(pn_log_line_parse(pn_str_n(line, PN_LOG_LINE_MAX + 1), &out));
	free(line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_postfix),
		cmocka_unit_test(parts_of_the_head),
		cmocka_unit_test(long_lines_tell_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
