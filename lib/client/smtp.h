/* smtp.h - one conversation with a relay, inside lib/client.
 *
 * A function that fails has put the cause and a text into s->result. */
#ifndef POSTERN_LIB_CLIENT_SMTP_H
#define POSTERN_LIB_CLIENT_SMTP_H

#include <openssl/ssl.h>

#include "postern/smtp_client.h"
#include "postern/smtp_reply.h"

enum { SMTP_READ_SIZE = 4096 };

/* Bytes that are wiped when they are freed. */
struct smtp_secret {
	char *p;
	size_t n;
};

struct smtp_lookup;

struct smtp {
	const struct pn_smtp_plan *plan;
	struct pn_arena *arena;
	struct smtp_lookup *lookup;
	int fd;
	BIO_METHOD *method;
	SSL_CTX *context;
	SSL *ssl;
	bool wants_certificate;		/* of ours, we have none, and no reply has come since */
	int64_t deadline_us, end_us;	/* of the step, of all */
	char in[SMTP_READ_SIZE];
	size_t at, have;		/* in[at] to in[have - 1] are read but not used */
	struct pn_smtp_reply reply;
	unsigned offers;
	struct smtp_secret sent;	/* of password or token over the wire: base64 */
	struct pn_smtp_result result;	/* of this step */
};

/* Returns false, for `return smtp_fail(...)`. */
bool smtp_fail(struct smtp *s, enum pn_smtp_cause cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* -- smtp_wire.c ------------------------------------------------------------------------ */

bool smtp_resolve(struct smtp *s);
bool smtp_connect(struct smtp *s);
/* Until the socket is ready for poll(2)'s events or the deadline is over. */
bool smtp_wait(struct smtp *s, short events);
bool smtp_send(struct smtp *s, struct pn_str bytes);
/* One complete reply, in s->reply. */
bool smtp_receive(struct smtp *s);
void smtp_close(struct smtp *s);

/* -- smtp_tls.c ------------------------------------------------------------------------- */

bool smtp_tls(struct smtp *s);
/* What an operation of OpenSSL that returned n waits for (POLLIN, POLLOUT), or 0 after a failure. */
short smtp_tls_wants(const struct smtp *s, int n);
bool smtp_tls_fail(struct smtp *s);
void smtp_tls_done(struct smtp *s);

/* -- smtp_auth.c ------------------------------------------------------------------------ */

/* The mechanism for this login among those that are offered (PN_SMTP_PLAIN, ...), or 0. */
unsigned smtp_auth_choose(unsigned offers, enum pn_login login);
const char *smtp_auth_name(unsigned mechanism);
/* What is sent with it, before base64: RFC 4616, RFC 7628, Google's XOAUTH2.
 * PN_SMTP_LOGIN: the password alone. */
struct smtp_secret smtp_auth_message(unsigned mechanism, const struct pn_relay *relay, struct pn_str secret);
struct smtp_secret smtp_base64(struct pn_str in);
struct smtp_secret smtp_secret_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void smtp_secret_free(struct smtp_secret *secret);	/* may be repeated */
/* The text with "***" for whatever it has in common with a secret: eight bytes
 * or more, or all of a shorter one. */
struct pn_str smtp_redact(struct pn_str text, const struct pn_str *secrets, size_t n, struct pn_arena *arena);

bool smtp_login(struct smtp *s);

/* -- smtp_client.c ---------------------------------------------------------------------- */

/* Sends a line and takes the reply; true: its code is in s->reply. */
bool smtp_command(struct smtp *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The reply as the step's result: true when its code is between least and most. */
bool smtp_expect(struct smtp *s, unsigned least, unsigned most);

#endif
