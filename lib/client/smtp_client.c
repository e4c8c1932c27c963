/* The steps, and what their failures mean. */
#include "smtp.h"

#include <stdarg.h>
#include <stdio.h>

#include "postern/clock.h"
#include "postern/health.h"

enum { COMMAND_MAX = 1024 };

/* -- names ---------------------------------------------------------------------------- */

const char *
pn_smtp_step_name(enum pn_smtp_step step)
{
	switch (step) {
	case PN_SMTP_STEP_RESOLVE: return "resolve";
	case PN_SMTP_STEP_CONNECT: return "connect";
	case PN_SMTP_STEP_GREETING: return "greeting";
	case PN_SMTP_STEP_EHLO: return "ehlo";
	case PN_SMTP_STEP_STARTTLS: return "starttls";
	case PN_SMTP_STEP_TLS: return "tls";
	case PN_SMTP_STEP_LOGIN: return "login";
	case PN_SMTP_STEP_MAIL: return "mail";
	case PN_SMTP_STEP_RCPT: return "rcpt";
	case PN_SMTP_STEP_DATA: return "data";
	case PN_SMTP_STEP_QUIT: return "quit";
	}
	return "?";
}

const char *
pn_smtp_failure_name(enum pn_smtp_failure failure)
{
	switch (failure) {
	case PN_SMTP_FINE: return "fine";
	case PN_SMTP_NO_CONNECTION: return "no_connection";
	case PN_SMTP_NO_TLS: return "no_tls";
	case PN_SMTP_NO_LOGIN: return "no_login";
	case PN_SMTP_LIMITED: return "limited";
	case PN_SMTP_REFUSED_SENDER: return "refused_sender";
	case PN_SMTP_REFUSED_RECIPIENT: return "refused_recipient";
	case PN_SMTP_NO_SERVICE: return "no_service";
	case PN_SMTP_UNUSABLE: return "unusable";
	}
	return "?";
}

/* -- what a failure is ------------------------------------------------------------------ */

/* Some servers hold a refusal of the sender back until RCPT. */
static bool
is_about_sender(const struct smtp *s)
{
	struct pn_str text = pn_arena_lower(s->arena, s->result.text);

	return pn_str_contains(text, PN_STR("sender")) || pn_str_contains(text, PN_STR("from address"))
	    || pn_str_contains(text, PN_STR("not verified"));
}

static enum pn_smtp_failure
failure_of_step(const struct smtp *s)
{
	switch (s->result.step) {
	case PN_SMTP_STEP_RESOLVE:
	case PN_SMTP_STEP_CONNECT:
		return PN_SMTP_NO_CONNECTION;
	case PN_SMTP_STEP_STARTTLS:
	case PN_SMTP_STEP_TLS:
		return PN_SMTP_NO_TLS;
	case PN_SMTP_STEP_LOGIN:
		return PN_SMTP_NO_LOGIN;
	case PN_SMTP_STEP_MAIL:
		return PN_SMTP_REFUSED_SENDER;
	case PN_SMTP_STEP_RCPT:
		return is_about_sender(s) ? PN_SMTP_REFUSED_SENDER : PN_SMTP_REFUSED_RECIPIENT;
	case PN_SMTP_STEP_GREETING:
	case PN_SMTP_STEP_EHLO:
	case PN_SMTP_STEP_DATA:
	case PN_SMTP_STEP_QUIT:
		break;
	}
	return PN_SMTP_NO_SERVICE;
}

static enum pn_smtp_failure
failure_of_reply(const struct smtp *s)
{
	struct pn_str whole =
	    pn_arena_printf(s->arena, "%u " PN_STR_FMT, s->result.code, PN_STR_ARG(s->result.text));
	uint64_t window_ms;

	if (pn_health_is_limit(whole, &window_ms))
		return PN_SMTP_LIMITED;
	if (s->result.code == 421)
		return PN_SMTP_NO_SERVICE;
	if (s->result.code == 530)	/* RFC 3207, RFC 4954 */
		return pn_str_contains(whole, PN_STR("STARTTLS")) ? PN_SMTP_NO_TLS : PN_SMTP_NO_LOGIN;
	return failure_of_step(s);
}

static enum pn_smtp_failure
failure_of(const struct smtp *s)
{
	switch (s->result.cause) {
	case PN_SMTP_CAUSE_NONE:
		return PN_SMTP_FINE;
	case PN_SMTP_CAUSE_REPLY:
		return failure_of_reply(s);
	case PN_SMTP_CAUSE_NO_NAME:
	case PN_SMTP_CAUSE_NOBODY_LISTENS:
	case PN_SMTP_CAUSE_UNREACHABLE:
		return PN_SMTP_NO_CONNECTION;
	case PN_SMTP_CAUSE_TIMEOUT:
	case PN_SMTP_CAUSE_CLOSED:
		return s->result.step == PN_SMTP_STEP_CONNECT ? PN_SMTP_NO_CONNECTION
		    : s->result.step == PN_SMTP_STEP_TLS      ? PN_SMTP_NO_TLS
							      : PN_SMTP_NO_SERVICE;
	case PN_SMTP_CAUSE_NOT_SMTP:
		return PN_SMTP_NO_SERVICE;
	case PN_SMTP_CAUSE_NO_STARTTLS:
	case PN_SMTP_CAUSE_INJECTED:
	case PN_SMTP_CAUSE_NOT_TLS:
	case PN_SMTP_CAUSE_HANDSHAKE:
	case PN_SMTP_CAUSE_EXPIRED:
	case PN_SMTP_CAUSE_WRONG_NAME:
	case PN_SMTP_CAUSE_ISSUER:
	case PN_SMTP_CAUSE_CERTIFICATE:
		return PN_SMTP_NO_TLS;
	case PN_SMTP_CAUSE_NO_MECHANISM:
		return PN_SMTP_NO_LOGIN;
	case PN_SMTP_CAUSE_OWN_FILE:
	case PN_SMTP_CAUSE_OWN_ADDRESS:
		break;
	}
	return PN_SMTP_UNUSABLE;
}

bool
smtp_fail(struct smtp *s, enum pn_smtp_cause cause, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	s->result.cause = cause;
	s->result.code = 0;
	s->result.text = pn_arena_dup(s->arena, pn_str_c(text));
	return false;
}

/* -- commands and replies --------------------------------------------------------------- */

bool
smtp_command(struct smtp *s, const char *format, ...)
{
	struct pn_buf line;
	va_list args;
	char text[COMMAND_MAX];
	bool answered;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text))
		return smtp_fail(s, PN_SMTP_CAUSE_OWN_ADDRESS, "too long for a line of SMTP");
	pn_buf_init(&line, COMMAND_MAX + 2);
	pn_buf_addf(&line, "%s\r\n", text);
	answered = smtp_send(s, pn_buf_str(&line)) && smtp_receive(s);
	pn_buf_done(&line);
	return answered;
}

/* The server's words without the secrets that it may have been sent. */
static struct pn_str
words(const struct smtp *s)
{
	const struct pn_str secrets[] = { pn_str_n(s->sent.p, s->sent.n), s->plan->secret };

	if (s->sent.n == 0)
		return pn_arena_dup(s->arena, pn_buf_str(&s->reply.text));
	return smtp_redact(pn_buf_str(&s->reply.text), secrets, PN_COUNT(secrets), s->arena);
}

bool
smtp_expect(struct smtp *s, unsigned least, unsigned most)
{
	s->result.code = s->reply.code;
	s->result.text = words(s);
	if (s->reply.code >= least && s->reply.code <= most)
		return true;
	s->result.cause = PN_SMTP_CAUSE_REPLY;
	return false;
}

/* -- steps ------------------------------------------------------------------------------ */

static bool
greeting(struct smtp *s)
{
	return smtp_receive(s) && smtp_expect(s, 220, 220);
}

/* An address as it may stand in <>: nothing that ends it, and no 8-bit text
 * without SMTPUTF8. */
static bool
is_carried(struct pn_str address)
{
	for (size_t i = 0; i < address.n; i++)
		if (address.p[i] <= ' ' || address.p[i] >= 127 || address.p[i] == '<' || address.p[i] == '>')
			return false;
	return address.n > 0;
}

static bool
ehlo(struct smtp *s)
{
	if (!is_carried(s->plan->helo))
		return smtp_fail(s, PN_SMTP_CAUSE_OWN_ADDRESS, "\"" PN_STR_FMT "\" is no name of a host",
		    PN_STR_ARG(s->plan->helo));
	if (!smtp_command(s, "EHLO " PN_STR_FMT, PN_STR_ARG(s->plan->helo)) || !smtp_expect(s, 250, 250))
		return false;
	s->offers = pn_smtp_offers(pn_buf_str(&s->reply.text));
	return true;
}

/* What follows the 220 in the clear was put there by somebody who wants it to be
 * taken for what comes after the handshake. */
static bool
starttls(struct smtp *s)
{
	if ((s->offers & PN_SMTP_STARTTLS) == 0)
		return smtp_fail(s, PN_SMTP_CAUSE_NO_STARTTLS, "the server does not offer STARTTLS");
	if (!smtp_command(s, "STARTTLS") || !smtp_expect(s, 220, 220))
		return false;
	if (s->at < s->have)
		return smtp_fail(s, PN_SMTP_CAUSE_INJECTED,
		    "something follows the answer to STARTTLS before TLS has begun");
	return true;
}

static bool
envelope(struct smtp *s, const char *command, struct pn_str address)
{
	if (!is_carried(address))
		return smtp_fail(s, PN_SMTP_CAUSE_OWN_ADDRESS, "\"" PN_STR_FMT "\" cannot be sent in SMTP",
		    PN_STR_ARG(address));
	return smtp_command(s, "%s:<" PN_STR_FMT ">", command, PN_STR_ARG(address))
	    && smtp_expect(s, 250, 259);
}

static bool
mail(struct smtp *s)
{
	return envelope(s, "MAIL FROM", s->plan->sender);
}

static bool
rcpt(struct smtp *s)
{
	return envelope(s, "RCPT TO", s->plan->recipient);
}

static bool
data(struct smtp *s)
{
	return smtp_command(s, "DATA") && smtp_expect(s, 354, 354);
}

static bool
quit(struct smtp *s)
{
	return smtp_command(s, "QUIT") && smtp_expect(s, 221, 221);
}

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool
step(struct smtp *s, enum pn_smtp_step which, bool (*run)(struct smtp *s))
{
	int64_t started = pn_clock_mono_us();

	s->result = (struct pn_smtp_result){ .step = which, .text = PN_STR_EMPTY };
	s->deadline_us = least(started + s->plan->step_ms * 1000, s->end_us);
	(void)run(s);
	s->result.failure = failure_of(s);
	s->result.ms = (pn_clock_mono_us() - started) / 1000;
	if (s->plan->report != NULL)
		s->plan->report(s->plan->ctx, &s->result);
	return s->result.failure == PN_SMTP_FINE;
}

static bool
meet(struct smtp *s)
{
	enum pn_security security = s->plan->relay->security;
	bool by_starttls = security == PN_SECURITY_STARTTLS || security == PN_SECURITY_STARTTLS_STRICT;

	return step(s, PN_SMTP_STEP_RESOLVE, smtp_resolve) && step(s, PN_SMTP_STEP_CONNECT, smtp_connect)
	    && (security == PN_SECURITY_NONE || by_starttls || step(s, PN_SMTP_STEP_TLS, smtp_tls))
	    && step(s, PN_SMTP_STEP_GREETING, greeting) && step(s, PN_SMTP_STEP_EHLO, ehlo)
	    && (!by_starttls
		|| (step(s, PN_SMTP_STEP_STARTTLS, starttls) && step(s, PN_SMTP_STEP_TLS, smtp_tls)
		    && step(s, PN_SMTP_STEP_EHLO, ehlo)));
}

static void
converse(struct smtp *s)
{
	const struct pn_smtp_plan *plan = s->plan;
	bool has_login = plan->relay->login != PN_LOGIN_CERTIFICATE && plan->relay->user.n > 0;

	if (!meet(s))
		return;
	if (plan->last >= PN_SMTP_STEP_LOGIN && has_login && !step(s, PN_SMTP_STEP_LOGIN, smtp_login))
		return;
	if (plan->last <= PN_SMTP_STEP_LOGIN)
		(void)step(s, PN_SMTP_STEP_QUIT, quit);
	else if (step(s, PN_SMTP_STEP_MAIL, mail) && step(s, PN_SMTP_STEP_RCPT, rcpt))
		(void)step(s, PN_SMTP_STEP_DATA, data);
}

/* Nobody waits for the answer.  Not after 354: what is sent then belongs to a mail. */
static void
leave(struct smtp *s)
{
	const struct pn_smtp_result result = s->result;

	if (result.cause == PN_SMTP_CAUSE_REPLY)
		(void)smtp_send(s, PN_STR("QUIT\r\n"));
	s->result = result;
}

enum pn_smtp_failure
pn_smtp_try(const struct pn_smtp_plan *plan, struct pn_arena *arena, struct pn_smtp_result *last)
{
	struct smtp s = { .plan = plan, .arena = arena, .fd = -1 };

	s.end_us = pn_clock_mono_us() + plan->total_ms * 1000;
	pn_smtp_reply_init(&s.reply);
	converse(&s);
	leave(&s);
	smtp_close(&s);
	pn_smtp_reply_done(&s.reply);
	smtp_secret_free(&s.sent);
	explicit_bzero(s.in, sizeof(s.in));
	if (last != NULL)
		*last = s.result;
	return s.result.failure;
}
