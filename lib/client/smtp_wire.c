/* Names, sockets and deadlines. */
#include "smtp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "postern/clock.h"

enum { ADDRESSES_MAX = 8, HOST_SIZE = 256 };

/* -- the name ------------------------------------------------------------------------- */

/* getaddrinfo(3) knows no deadline: it runs in a thread that may outlive whoever
 * asked.  The last of the two frees the question. */
struct smtp_lookup {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	unsigned users;
	bool done;
	int error;
	struct addrinfo *found;
	char host[HOST_SIZE], port[8];
};

static void
leave(struct smtp_lookup *lookup)
{
	unsigned users;

	(void)pthread_mutex_lock(&lookup->lock);
	users = --lookup->users;
	(void)pthread_mutex_unlock(&lookup->lock);
	if (users > 0)
		return;
	if (lookup->found != NULL)
		freeaddrinfo(lookup->found);
	(void)pthread_cond_destroy(&lookup->answered);
	(void)pthread_mutex_destroy(&lookup->lock);
	free(lookup);
}

static void *
look_up(void *arg)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct smtp_lookup *lookup = arg;
	struct addrinfo *found = NULL;
	int error = getaddrinfo(lookup->host, lookup->port, &hints, &found);

	(void)pthread_mutex_lock(&lookup->lock);
	lookup->error = error;
	lookup->found = error == 0 ? found : NULL;
	lookup->done = true;
	(void)pthread_cond_signal(&lookup->answered);
	(void)pthread_mutex_unlock(&lookup->lock);
	leave(lookup);
	return NULL;
}

static struct smtp_lookup *
new_lookup(const struct pn_relay *relay)
{
	struct smtp_lookup *lookup = calloc(1, sizeof(*lookup));
	pthread_condattr_t monotonic;

	if (lookup == NULL)
		pn_out_of_memory();
	lookup->users = 1;
	(void)pthread_mutex_init(&lookup->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&lookup->answered, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	(void)snprintf(lookup->host, sizeof(lookup->host), PN_STR_FMT, PN_STR_ARG(relay->host));
	(void)snprintf(lookup->port, sizeof(lookup->port), "%u", (unsigned)relay->port);
	return lookup;
}

/* The program's signals are not for this thread. */
static bool
start_lookup(struct smtp_lookup *lookup)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all;
	bool started;

	(void)sigfillset(&all);
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setsigmask_np(&attributes, &all);
	lookup->users = 2;
	started = pthread_create(&thread, &attributes, look_up, lookup) == 0;
	if (!started)
		lookup->users = 1;
	(void)pthread_attr_destroy(&attributes);
	return started;
}

static bool
await_lookup(struct smtp_lookup *lookup, int64_t deadline_us)
{
	const struct timespec until = { deadline_us / 1000000, deadline_us % 1000000 * 1000 };
	bool done;

	(void)pthread_mutex_lock(&lookup->lock);
	while (!lookup->done)
		if (pthread_cond_timedwait(&lookup->answered, &lookup->lock, &until) == ETIMEDOUT)
			break;
	done = lookup->done;
	(void)pthread_mutex_unlock(&lookup->lock);
	return done;
}

static struct pn_str
shown(const struct smtp *s, const struct addrinfo *address)
{
	char host[NI_MAXHOST];

	if (getnameinfo(address->ai_addr, address->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST)
	    != 0)
		return PN_STR("?");
	return pn_arena_dup(s->arena, pn_str_c(host));
}

bool
smtp_resolve(struct smtp *s)
{
	struct pn_strs_builder addresses = { .arena = s->arena };

	s->lookup = new_lookup(s->plan->relay);
	if (!start_lookup(s->lookup))
		return smtp_fail(s, PN_SMTP_CAUSE_OWN_FILE, "no thread can be started to look the name up");
	if (!await_lookup(s->lookup, s->deadline_us))
		return smtp_fail(s, PN_SMTP_CAUSE_NO_NAME, "no answer from the DNS in time");
	if (s->lookup->error != 0)
		return smtp_fail(s, PN_SMTP_CAUSE_NO_NAME, "%s: %s", s->lookup->host,
		    gai_strerror(s->lookup->error));
	for (const struct addrinfo *a = s->lookup->found; a != NULL && addresses.list.n < ADDRESSES_MAX;
	     a = a->ai_next)
		pn_strs_add(&addresses, shown(s, a));
	s->result.text = pn_strs_join(addresses.list, PN_STR(", "), s->arena);
	return true;
}

/* -- the socket ----------------------------------------------------------------------- */

static bool
wait_until(int fd, short events, int64_t deadline_us)
{
	struct pollfd socket = { .fd = fd, .events = events };
	int64_t left;

	while ((left = deadline_us - pn_clock_mono_us()) > 0) {
		int n = poll(&socket, 1, (int)((left + 999) / 1000));

		if (n > 0 || (n < 0 && errno != EINTR))
			return true;	/* what is wrong with it the next operation tells */
	}
	return false;
}

bool
smtp_wait(struct smtp *s, short events)
{
	if (wait_until(s->fd, events, s->deadline_us))
		return true;
	return smtp_fail(s, PN_SMTP_CAUSE_TIMEOUT, "no answer in time");
}

/* 0, or what errno would be. */
static int
connect_to(struct smtp *s, const struct addrinfo *address, int64_t deadline_us)
{
	socklen_t size = sizeof(int);
	int yes = 1, error = 0;

	s->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return errno;
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (connect(s->fd, address->ai_addr, address->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		error = errno;
	else if (!wait_until(s->fd, POLLOUT, deadline_us))
		error = ETIMEDOUT;
	else if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	if (error != 0) {
		(void)close(s->fd);
		s->fd = -1;
	}
	return error;
}

static enum pn_smtp_cause
cause_of(int error)
{
	switch (error) {
	case ECONNREFUSED: return PN_SMTP_CAUSE_NOBODY_LISTENS;
	case ETIMEDOUT: return PN_SMTP_CAUSE_TIMEOUT;
	default: return PN_SMTP_CAUSE_UNREACHABLE;
	}
}

/* Each address has its share of the time that is left. */
bool
smtp_connect(struct smtp *s)
{
	struct pn_strs_builder errors = { .arena = s->arena };
	size_t left = 0;
	int error = 0;

	for (const struct addrinfo *a = s->lookup->found; a != NULL && left < ADDRESSES_MAX; a = a->ai_next)
		left++;
	for (const struct addrinfo *a = s->lookup->found; a != NULL && left > 0; a = a->ai_next, left--) {
		int64_t now = pn_clock_mono_us();
		struct pn_str where = shown(s, a);

		error = connect_to(s, a, now + (s->deadline_us - now) / (int64_t)left);
		if (error == 0) {
			s->result.text = pn_arena_printf(s->arena, PN_STR_FMT " port %u", PN_STR_ARG(where),
			    (unsigned)s->plan->relay->port);
			return true;
		}
		pn_strs_add(&errors, pn_arena_printf(s->arena, PN_STR_FMT " port %u: %s", PN_STR_ARG(where),
		    (unsigned)s->plan->relay->port, strerrordesc_np(error)));
	}
	return smtp_fail(s, cause_of(error), PN_STR_FMT,
	    PN_STR_ARG(pn_strs_join(errors.list, PN_STR("; "), s->arena)));
}

/* -- bytes ---------------------------------------------------------------------------- */

static bool
closed(struct smtp *s, ssize_t n)
{
	return smtp_fail(s, PN_SMTP_CAUSE_CLOSED, "the server closed the connection%s%s", n < 0 ? ": " : "",
	    n < 0 ? strerrordesc_np(errno) : "");
}

/* One attempt.  Bytes moved, or 0 and *wants; 0 without wants is a failure that was told. */
static size_t
attempt(struct smtp *s, char *to, const char *from, size_t n, short *wants)
{
	ssize_t done;

	*wants = 0;
	if (s->ssl != NULL) {
		ERR_clear_error();
		done = to != NULL ? SSL_read(s->ssl, to, (int)n) : SSL_write(s->ssl, from, (int)n);
		if (done > 0)
			return (size_t)done;
		*wants = smtp_tls_wants(s, (int)done);
		if (*wants == 0)
			(void)smtp_tls_fail(s);
		return 0;
	}
	done = to != NULL ? recv(s->fd, to, n, 0) : send(s->fd, from, n, MSG_NOSIGNAL);
	if (done > 0)
		return (size_t)done;
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		*wants = to != NULL ? POLLIN : POLLOUT;
	else
		(void)closed(s, done);
	return 0;
}

bool
smtp_send(struct smtp *s, struct pn_str bytes)
{
	while (bytes.n > 0) {
		short wants;
		size_t n = attempt(s, NULL, bytes.p, bytes.n, &wants);

		if (n == 0 && (wants == 0 || !smtp_wait(s, wants)))
			return false;
		bytes = pn_str_from(bytes, n);
	}
	return true;
}

static bool
fill(struct smtp *s)
{
	short wants;

	s->at = 0;
	while ((s->have = attempt(s, s->in, NULL, sizeof(s->in), &wants)) == 0)
		if (wants == 0 || !smtp_wait(s, wants))
			return false;
	return true;
}

bool
smtp_receive(struct smtp *s)
{
	enum pn_status st = PN_NOT_FOUND;

	while (st == PN_NOT_FOUND) {
		struct pn_str in;

		if (s->at == s->have && !fill(s))
			return false;
		in = pn_str_n(s->in + s->at, s->have - s->at);
		st = pn_smtp_reply_push(&s->reply, &in);
		s->at = s->have - in.n;
	}
	s->wants_certificate = false;
	if (st == PN_OK)
		return true;
	return smtp_fail(s, PN_SMTP_CAUSE_NOT_SMTP, "%s",
	    st == PN_LIMIT ? "its reply is too long" : "what it says is not SMTP");
}

void
smtp_close(struct smtp *s)
{
	smtp_tls_done(s);
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
	if (s->lookup != NULL)
		leave(s->lookup);
	s->lookup = NULL;
}
