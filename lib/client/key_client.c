#include "postern/key_client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/netstring.h"
#include "postern/program.h"

enum {
	IDLE_MAX = 64,			/* connections that are kept */
	PATIENCE = 2 * 1000 * 1000,	/* microseconds, for all of one question */
	HOLD_OFF = 1000 * 1000,		/* after that was in vain */
	FRAME = 16,			/* what a netstring adds */
};

struct client {
	char path[PN_SOCKET_PATH_SIZE];
	pthread_mutex_t lock;
	int idle[IDLE_MAX];
	size_t n;
	int64_t hold_off;		/* until then nobody waits */
};

/* -- connections that are kept -- */

/* -1: there is none. */
static int
take_idle(struct client *c)
{
	int fd = -1;

	(void)pthread_mutex_lock(&c->lock);
	if (c->n > 0)
		fd = c->idle[--c->n];
	(void)pthread_mutex_unlock(&c->lock);
	return fd;
}

static void
put_idle(struct client *c, int fd)
{
	(void)pthread_mutex_lock(&c->lock);
	if (c->n < IDLE_MAX) {
		c->idle[c->n++] = fd;
		fd = -1;
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (fd >= 0)
		(void)close(fd);
}

static bool
is_held_off(struct client *c)
{
	bool held;

	(void)pthread_mutex_lock(&c->lock);
	held = pn_clock_mono_us() < c->hold_off;
	(void)pthread_mutex_unlock(&c->lock);
	return held;
}

static void
hold_off(struct client *c)
{
	(void)pthread_mutex_lock(&c->lock);
	c->hold_off = pn_clock_mono_us() + HOLD_OFF;
	(void)pthread_mutex_unlock(&c->lock);
}

/* -- one question -- */

static enum pn_status
fail(const struct client *c, const char *why, struct pn_error *err)
{
	return pn_fail(err, PN_TEMPFAIL, "postern-signer at %s: %s", c->path, why);
}

/* Waits no longer in connect(), and in each send(). */
static enum pn_status
connect_to(const struct client *c, int64_t deadline, int *out, struct pn_error *err)
{
	int64_t left = deadline - pn_clock_mono_us();
	struct timeval patience = { left / 1000000, left % 1000000 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (left <= 0)
		return fail(c, "does not answer", err);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(c, strerrordesc_np(errno), err);
	memcpy(address.sun_path, c->path, sizeof(address.sun_path));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) == 0) {
		*out = fd;
		return PN_OK;
	}
	(void)fail(c, strerrordesc_np(errno), err);
	(void)close(fd);
	return PN_TEMPFAIL;
}

/* PN_NOT_FOUND: the other side has closed it. */
static enum pn_status
receive(const struct client *c, int fd, int64_t deadline, struct pn_netstring *frame, struct pn_str *answer,
    struct pn_error *err)
{
	enum pn_status st = PN_NOT_FOUND;
	char bytes[PN_KEY_ANSWER_MAX];

	while (st == PN_NOT_FOUND) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		int64_t left = (deadline - pn_clock_mono_us() + 999) / 1000;
		int ready = left > 0 ? poll(&wait, 1, (int)left) : 0;
		ssize_t n = ready > 0 ? recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) : -1;
		struct pn_str in = { bytes, n > 0 ? (size_t)n : 0 };

		if (ready == 0)
			return fail(c, "does not answer", err);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0) {
			(void)fail(c, "closes the connection; its log says why", err);
			return PN_NOT_FOUND;
		}
		st = pn_netstring_push(frame, &in, answer);
		if (in.n > 0 && st == PN_OK)
			st = PN_INVALID;
	}
	return st == PN_OK ? PN_OK : fail(c, "what answers there is no postern-signer", err);
}

static enum pn_status
exchange(const struct client *c, int fd, struct pn_str request, int64_t deadline, struct pn_buf *answer,
    struct pn_error *err)
{
	struct pn_netstring frame;
	struct pn_str text;
	enum pn_status st;

	if (send(fd, request.p, request.n, MSG_NOSIGNAL) != (ssize_t)request.n) {
		(void)fail(c, "takes no question", err);
		return PN_NOT_FOUND;
	}
	pn_netstring_init(&frame, PN_KEY_ANSWER_MAX);
	st = receive(c, fd, deadline, &frame, &text, err);
	if (st == PN_OK) {
		pn_buf_reset(answer);
		pn_buf_add(answer, text);
	}
	pn_netstring_done(&frame);
	return st;
}

static enum pn_status
try_one(struct client *c, int fd, struct pn_str request, int64_t deadline, struct pn_buf *answer,
    struct pn_error *err)
{
	enum pn_status st = exchange(c, fd, request, deadline, answer, err);

	if (st == PN_OK)
		put_idle(c, fd);
	else
		(void)close(fd);
	return st;
}

/* A signature may be asked for twice. */
static enum pn_status
ask_framed(struct client *c, struct pn_str request, int64_t deadline, struct pn_buf *answer, struct pn_error *err)
{
	enum pn_status st = PN_NOT_FOUND;
	int fd = take_idle(c);

	if (fd >= 0)
		st = try_one(c, fd, request, deadline, answer, err);
	if (st != PN_NOT_FOUND)
		return st;
	st = connect_to(c, deadline, &fd, err);
	if (st == PN_OK)
		st = try_one(c, fd, request, deadline, answer, err);
	return st == PN_NOT_FOUND ? PN_TEMPFAIL : st;
}

static enum pn_status
ask(void *ctx, struct pn_str request, struct pn_buf *answer, struct pn_error *err)
{
	int64_t deadline = pn_clock_mono_us() + PATIENCE;
	struct client *c = ctx;
	struct pn_buf framed;
	enum pn_status st;

	if (is_held_off(c))
		return fail(c, "did not answer a moment ago", err);
	pn_buf_init(&framed, PN_KEY_REQUEST_MAX + FRAME);
	pn_netstring_add(&framed, request);
	st = pn_buf_failed(&framed) || request.n == 0 ? fail(c, "the name of a key is too long", err)
	    : ask_framed(c, pn_buf_str(&framed), deadline, answer, err);
	pn_buf_done(&framed);
	if (st != PN_OK && pn_clock_mono_us() >= deadline)
		hold_off(c);
	return st;
}

/* -- life -- */

static void
close_client(void *ctx)
{
	struct client *c = ctx;

	while (c->n > 0)
		(void)close(c->idle[--c->n]);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

enum pn_status
pn_key_client_open(struct pn_str address, struct pn_key_service *out, struct pn_error *err)
{
	struct client *c = calloc(1, sizeof(*c));
	enum pn_status st;

	if (c == NULL || pthread_mutex_init(&c->lock, NULL) != 0)
		pn_out_of_memory();
	st = pn_socket_path(address, c->path, err);
	if (st == PN_OK)
		*out = (struct pn_key_service){ .ask = ask, .close = close_client, .ctx = c };
	else
		close_client(c);
	return st;
}
