#include "connection.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { INPUT_MAX = 16384, ANSWER_MAX = 32768 };

struct connection *
connection_new(struct event_base *base, int fd, struct service *service, const struct protocol *protocol,
    event_callback_fn on_readable, event_callback_fn on_writable)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (c == NULL)
		pn_out_of_memory();
	c->protocol = protocol;
	c->fd = fd;
	c->session = protocol->open(service, fd);
	pn_buf_init(&c->input, INPUT_MAX);
	pn_buf_init(&c->answer, ANSWER_MAX);
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
	if (c->readable == NULL || c->writable == NULL || event_add(c->readable, NULL) != 0)
		pn_out_of_memory();
	return c;
}

void
connection_free(struct connection *c)
{
	c->protocol->close(c->session);
	event_free(c->readable);
	event_free(c->writable);
	(void)close(c->fd);
	pn_buf_done(&c->input);
	pn_buf_done(&c->answer);
	free(c);
}

static bool
may_come_again(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

/* What was read and not looked at is left to the next turns. */
static void
keep_input(struct connection *c, struct pn_str rest)
{
	if (rest.n == 0)
		pn_buf_reset(&c->input);
	else if (c->input.n == 0)
		pn_buf_add(&c->input, rest);
	c->taken = c->input.n - rest.n;
}

enum pn_status
connection_receive(struct connection *c, int64_t now)
{
	struct pn_str in = pn_str_from(pn_buf_str(&c->input), c->taken);
	char bytes[INPUT_MAX];
	enum pn_status st;

	if (in.n == 0) {
		ssize_t n = read(c->fd, bytes, sizeof(bytes));

		if (n <= 0)
			return may_come_again(n) ? PN_NOT_FOUND : PN_TEMPFAIL;
		in = pn_str_n(bytes, (size_t)n);
	}
	st = c->protocol->next(c->session, &in, &c->request);
	keep_input(c, in);
	if (st == PN_OK || !c->protocol->is_partial(c->session))
		c->began = 0;
	else if (c->began == 0)
		c->began = now;
	return st;
}

void
connection_answer(struct connection *c)
{
	pn_buf_reset(&c->answer);
	c->protocol->answer(c->session, c->request, &c->answer);
}

static void
wait_for(struct event *wanted, struct event *other)
{
	(void)event_del(other);
	(void)event_add(wanted, NULL);
}

enum pn_status
connection_deliver(struct connection *c, int64_t now)
{
	bool was_blocked = c->blocked != 0;
	ssize_t n;

	if (pn_buf_failed(&c->answer))
		return PN_LIMIT;
	n = write(c->fd, c->answer.p + c->sent, c->answer.n - c->sent);
	if (n < 0 && !may_come_again(n))
		return PN_TEMPFAIL;
	c->sent += n > 0 ? (size_t)n : 0;
	if (c->sent < c->answer.n) {
		if (!was_blocked)
			wait_for(c->writable, c->readable);
		if (!was_blocked || n > 0)
			c->blocked = now;
		return PN_NOT_FOUND;
	}
	if (was_blocked)
		wait_for(c->readable, c->writable);
	c->blocked = 0;
	c->sent = 0;
	return PN_OK;
}
