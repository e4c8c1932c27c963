/* Logging in (RFC 4954), and keeping what it needs out of every text. */
#include "smtp.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>

enum { SHARED_MIN = 8 };		/* bytes in common with a secret that no other text has by chance */

/* -- secrets -------------------------------------------------------------------------- */

static struct smtp_secret
new_secret(size_t n)
{
	struct smtp_secret secret = { OPENSSL_malloc(n + 1), n };

	if (secret.p == NULL)
		pn_out_of_memory();
	return secret;
}

void
smtp_secret_free(struct smtp_secret *secret)
{
	OPENSSL_clear_free(secret->p, secret->n + 1);
	*secret = (struct smtp_secret){ NULL, 0 };
}

/* Written once, at its full size: no half of it stays behind in freed memory. */
struct smtp_secret
smtp_secret_printf(const char *format, ...)
{
	struct smtp_secret secret;
	va_list args, again;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, args);
	secret = new_secret(n < 0 ? 0 : (size_t)n);
	(void)vsnprintf(secret.p, secret.n + 1, format, again);
	va_end(again);
	va_end(args);
	return secret;
}

struct smtp_secret
smtp_base64(struct pn_str in)
{
	struct smtp_secret out = new_secret((in.n + 2) / 3 * 4);

	(void)EVP_EncodeBlock((unsigned char *)out.p, (const unsigned char *)in.p, (int)in.n);
	return out;
}

static size_t
common(struct pn_str a, struct pn_str b)
{
	size_t n = 0;

	while (n < a.n && n < b.n && a.p[n] == b.p[n])
		n++;
	return n;
}

/* How many bytes at the head of the text stand somewhere in the secret: enough of them, or 0. */
static size_t
shared(struct pn_str text, struct pn_str secret)
{
	size_t most = 0, least = secret.n < SHARED_MIN ? secret.n : SHARED_MIN;

	for (size_t i = 0; i < secret.n; i++) {
		size_t n = common(text, pn_str_from(secret, i));

		most = n > most ? n : most;
	}
	return most >= least ? most : 0;
}

struct pn_str
smtp_redact(struct pn_str text, const struct pn_str *secrets, size_t n, struct pn_arena *arena)
{
	/* a secret of one byte becomes three */
	char *p = pn_arena_alloc(arena, 3 * text.n + 1);
	size_t used = 0;

	while (text.n > 0) {
		size_t hidden = 0;

		for (size_t i = 0; i < n; i++) {
			size_t here = shared(text, secrets[i]);

			hidden = here > hidden ? here : hidden;
		}
		if (hidden > 0) {
			memcpy(p + used, "***", 3);
			used += 3;
		} else {
			p[used++] = text.p[0];
			hidden = 1;
		}
		text = pn_str_from(text, hidden);
	}
	return pn_str_n(p, used);
}

/* -- mechanisms ----------------------------------------------------------------------- */

unsigned
smtp_auth_choose(unsigned offers, enum pn_login login)
{
	static const unsigned by_password[] = { PN_SMTP_PLAIN, PN_SMTP_LOGIN };
	static const unsigned by_token[] = { PN_SMTP_XOAUTH2, PN_SMTP_OAUTHBEARER };
	const unsigned *order = login == PN_LOGIN_OAUTH ? by_token : by_password;

	return (offers & order[0]) != 0 ? order[0] : offers & order[1];
}

const char *
smtp_auth_name(unsigned mechanism)
{
	switch (mechanism) {
	case PN_SMTP_PLAIN: return "PLAIN";
	case PN_SMTP_LOGIN: return "LOGIN";
	case PN_SMTP_XOAUTH2: return "XOAUTH2";
	default: return "OAUTHBEARER";
	}
}

/* A saslname (RFC 5801 section 4): "=" and "," have another meaning there. */
static void
add_saslname(struct pn_buf *out, struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] == '=' || name.p[i] == ',')
			pn_buf_add_c(out, name.p[i] == '=' ? "=3D" : "=2C");
		else
			pn_buf_add_char(out, name.p[i]);
}

static struct smtp_secret
bearer_message(const struct pn_relay *relay, struct pn_str secret)
{
	struct smtp_secret message;
	struct pn_buf name;

	pn_buf_init(&name, 3 * relay->user.n);
	add_saslname(&name, relay->user);
	message = smtp_secret_printf("n,a=%s,\1host=" PN_STR_FMT "\1port=%u\1auth=Bearer " PN_STR_FMT "\1\1",
	    pn_buf_c(&name), PN_STR_ARG(relay->host), (unsigned)relay->port, PN_STR_ARG(secret));
	pn_buf_done(&name);
	return message;
}

struct smtp_secret
smtp_auth_message(unsigned mechanism, const struct pn_relay *relay, struct pn_str secret)
{
	switch (mechanism) {
	case PN_SMTP_PLAIN:
		return smtp_secret_printf("%c" PN_STR_FMT "%c" PN_STR_FMT, 0, PN_STR_ARG(relay->user), 0,
		    PN_STR_ARG(secret));
	case PN_SMTP_XOAUTH2:
		return smtp_secret_printf("user=" PN_STR_FMT "\1auth=Bearer " PN_STR_FMT "\1\1",
		    PN_STR_ARG(relay->user), PN_STR_ARG(secret));
	case PN_SMTP_OAUTHBEARER:
		return bearer_message(relay, secret);
	default:
		return smtp_secret_printf(PN_STR_FMT, PN_STR_ARG(secret));
	}
}

/* -- the conversation ----------------------------------------------------------------- */

/* "before<base64>" as one line; its base64 stays in s->sent, so that no later reply shows it. */
static bool
send_secret(struct smtp *s, const char *before, struct smtp_secret message)
{
	struct smtp_secret line;
	bool sent;

	s->sent = smtp_base64(pn_str_n(message.p, message.n));
	smtp_secret_free(&message);
	line = smtp_secret_printf("%s%s\r\n", before, s->sent.p);
	sent = smtp_send(s, pn_str_n(line.p, line.n)) && smtp_receive(s);
	smtp_secret_free(&line);
	return sent;
}

static bool
by_login(struct smtp *s)
{
	const struct pn_smtp_plan *plan = s->plan;
	struct smtp_secret user = smtp_base64(plan->relay->user);
	bool asked = smtp_command(s, "AUTH LOGIN") && smtp_expect(s, 334, 334)
	    && smtp_command(s, "%s", user.p) && smtp_expect(s, 334, 334);

	smtp_secret_free(&user);
	return asked && send_secret(s, "", smtp_auth_message(PN_SMTP_LOGIN, plan->relay, plan->secret))
	    && smtp_expect(s, 235, 235);
}

static bool
by_message(struct smtp *s, unsigned mechanism)
{
	const char *before = pn_arena_printf(s->arena, "AUTH %s ", smtp_auth_name(mechanism)).p;

	if (!send_secret(s, before, smtp_auth_message(mechanism, s->plan->relay, s->plan->secret)))
		return false;
	/* a refused token: its reason is a challenge, which must be answered (RFC 7628 section 3.2.3) */
	if (s->reply.code == 334 && mechanism != PN_SMTP_PLAIN
	    && !smtp_command(s, "%s", mechanism == PN_SMTP_OAUTHBEARER ? "AQ==" : ""))
		return false;
	return smtp_expect(s, 235, 235);
}

bool
smtp_login(struct smtp *s)
{
	const struct pn_relay *relay = s->plan->relay;
	unsigned mechanism = smtp_auth_choose(s->offers, relay->login);

	if (mechanism == 0)
		return smtp_fail(s, PN_SMTP_CAUSE_NO_MECHANISM, "the server offers neither %s",
		    relay->login == PN_LOGIN_OAUTH ? "XOAUTH2 nor OAUTHBEARER" : "AUTH PLAIN nor LOGIN");
	return mechanism == PN_SMTP_LOGIN ? by_login(s) : by_message(s, mechanism);
}
