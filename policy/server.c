#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "postern/clock.h"
#include "postern/log.h"
#include "postern/program.h"

enum { INPUT_MAX = 16384, ANSWER_MAX = 32768, SECOND = 1000000, FRESH = SECOND };

const struct server_limits server_default_limits = {
	.max = 512, .output_max = 65536, .request_seconds = 10, .write_seconds = 30, .idle_seconds = 300,
};

struct connection {
	struct server *server;
	const struct protocol *protocol;
	struct bufferevent *bev;
	void *session;
	int64_t served;		/* when it was accepted, or its last request answered */
	int64_t began;		/* a request has begun and is not complete; 0: none */
	bool blocked;		/* reads nothing until its answers are taken */
	bool ending;		/* asks no more; goes when its answers are taken */
	TAILQ_ENTRY(connection) entry;
};

enum { SIGNALS = 4, PORTS_MAX = 4 };
static const int signal_numbers[SIGNALS] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

struct port {
	struct server *server;
	const struct protocol *protocol;
	struct evconnlistener *listener;
};

struct server {
	struct service *service;
	const struct server_limits *limits;
	struct event_base *base;
	struct port ports[PORTS_MAX];
	size_t port_count;
	struct event *tick;
	struct event *signals[SIGNALS];
	TAILQ_HEAD(, connection) connections;	/* ordered by .served */
	size_t count;
	bool paused;		/* accepts nobody */
	struct pn_buf answer;
};

/* -- connections --------------------------------------------------------------- */

/* Is there room for one more?  Somebody who has just come has not had time to
 * ask, so only who was quiet for a while can be sent away for it. */
static bool
has_room(const struct server *server)
{
	const struct connection *oldest = TAILQ_FIRST(&server->connections);

	return server->count < server->limits->max || oldest == NULL
	    || pn_clock_mono_us() - oldest->served >= FRESH;
}

static void
resume_accepting(struct server *server)
{
	if (!server->paused || !has_room(server))
		return;
	server->paused = false;
	for (size_t i = 0; i < server->port_count; i++)
		(void)evconnlistener_enable(server->ports[i].listener);
}

static void
pause_accepting(struct server *server)
{
	server->paused = true;
	for (size_t i = 0; i < server->port_count; i++)
		(void)evconnlistener_disable(server->ports[i].listener);
}

static void
drop(struct connection *connection)
{
	struct server *server = connection->server;

	TAILQ_REMOVE(&server->connections, connection, entry);
	server->count--;
	connection->protocol->close(connection->session);
	bufferevent_free(connection->bev);
	free(connection);
}

/* The order of the list is that of .served: the head is who has been quiet longest. */
static void
note_served(struct connection *connection)
{
	struct server *server = connection->server;

	connection->served = pn_clock_mono_us();
	connection->began = 0;
	TAILQ_REMOVE(&server->connections, connection, entry);
	TAILQ_INSERT_TAIL(&server->connections, connection, entry);
}

/* Answers what stands in one stretch of input.  False: hang up. */
static bool
answer_stretch(struct connection *connection, struct pn_str in)
{
	struct server *server = connection->server;
	struct evbuffer *output = bufferevent_get_output(connection->bev);
	enum pn_status st = PN_OK;
	size_t all = in.n;

	while (st == PN_OK && evbuffer_get_length(output) < server->limits->output_max) {
		pn_buf_reset(&server->answer);
		st = connection->protocol->step(connection->session, &in, &server->answer);
		if (st != PN_OK)
			break;
		if (pn_buf_failed(&server->answer)
		    || evbuffer_add(output, server->answer.p, server->answer.n) != 0)
			return false;
		note_served(connection);
	}
	(void)evbuffer_drain(bufferevent_get_input(connection->bev), all - in.n);
	return st == PN_OK || st == PN_NOT_FOUND;
}

/* Everything that has arrived, as far as the answers are taken. */
static void
serve(struct connection *connection)
{
	struct server *server = connection->server;
	struct evbuffer *input = bufferevent_get_input(connection->bev);
	struct evbuffer *output = bufferevent_get_output(connection->bev);
	bool full;
	size_t n;

	while (!(full = evbuffer_get_length(output) >= server->limits->output_max)
	    && (n = evbuffer_get_contiguous_space(input)) > 0) {
		const unsigned char *bytes = evbuffer_pullup(input, (ev_ssize_t)n);

		if (!answer_stretch(connection, pn_str_n((const char *)bytes, n))) {
			drop(connection);
			resume_accepting(server);
			return;
		}
	}
	if (full && !connection->blocked)
		(void)bufferevent_disable(connection->bev, EV_READ);
	else if (!full && connection->blocked)
		(void)bufferevent_enable(connection->bev, EV_READ);
	connection->blocked = full;
	if (full || !connection->protocol->is_partial(connection->session))
		connection->began = 0;
	else if (connection->began == 0)
		connection->began = pn_clock_mono_us();
}

static void
on_read(struct bufferevent *bev, void *ctx)
{
	(void)bev;
	serve(ctx);
}

static void
on_written(struct bufferevent *bev, void *ctx)
{
	struct connection *connection = ctx;

	if (connection->blocked)
		serve(connection);
	else if (connection->ending && evbuffer_get_length(bufferevent_get_output(bev)) == 0) {
		struct server *server = connection->server;

		drop(connection);
		resume_accepting(server);
	}
}

/* End of file, an error, or a client that takes no answers.  Who has only shut
 * down its sending side still gets what it asked for. */
static void
on_event(struct bufferevent *bev, short what, void *ctx)
{
	struct connection *connection = ctx;
	struct server *server = connection->server;

	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) == 0)
		return;
	if ((what & BEV_EVENT_EOF) != 0 && evbuffer_get_length(bufferevent_get_output(bev)) > 0) {
		connection->ending = true;
		bufferevent_setwatermark(bev, EV_WRITE, 0, 0);
		return;
	}
	drop(connection);
	resume_accepting(server);
}

/* -- accepting ------------------------------------------------------------------ */

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int size, void *ctx)
{
	const struct port *port = ctx;
	struct server *server = port->server;
	struct connection *c = calloc(1, sizeof(*c));
	struct timeval write_limit = { .tv_sec = (time_t)server->limits->write_seconds };

	(void)listener, (void)address, (void)size;
	if (c == NULL)
		pn_out_of_memory();
	if (server->count >= server->limits->max && has_room(server))
		drop(TAILQ_FIRST(&server->connections));
	c->server = server;
	c->protocol = port->protocol;
	c->served = pn_clock_mono_us();
	c->bev = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (c->bev == NULL)
		pn_out_of_memory();
	c->session = c->protocol->open(server->service, fd);
	TAILQ_INSERT_TAIL(&server->connections, c, entry);
	server->count++;
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, INPUT_MAX);
	bufferevent_setwatermark(c->bev, EV_WRITE, server->limits->output_max / 4, 0);
	(void)bufferevent_set_timeouts(c->bev, NULL, &write_limit);
	(void)bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	if (!has_room(server))
		pause_accepting(server);
}

/* No descriptors, no memory: asking at once would be a busy loop. */
static void
on_accept_error(struct evconnlistener *listener, void *ctx)
{
	const struct port *port = ctx;
	char text[128];

	(void)listener;
	pn_log(PN_LOG_ERROR, "cannot accept a connection: %s",
	    strerror_r(EVUTIL_SOCKET_ERROR(), text, sizeof(text)));
	pause_accepting(port->server);
}

/* -- time and signals ------------------------------------------------------------- */

static bool
is_overdue(const struct connection *c, const struct server_limits *limits, int64_t now)
{
	if (c->began != 0 && !c->blocked && now - c->began > (int64_t)limits->request_seconds * SECOND)
		return true;
	return !c->blocked && now - c->served > (int64_t)limits->idle_seconds * SECOND;
}

static void
on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct server *server = ctx;
	struct connection *c = TAILQ_FIRST(&server->connections);
	int64_t now = pn_clock_mono_us();

	(void)fd, (void)what;
	while (c != NULL) {
		struct connection *next = TAILQ_NEXT(c, entry);

		if (is_overdue(c, server->limits, now))
			drop(c);
		c = next;
	}
	service_tick(server->service);
	resume_accepting(server);
}

static void
on_signal(evutil_socket_t number, short what, void *ctx)
{
	struct server *server = ctx;

	(void)what;
	if (number == SIGHUP || number == SIGUSR1) {
		service_reload(server->service);
		return;
	}
	pn_notify("STOPPING=1");
	(void)event_base_loopbreak(server->base);
}

static void
mask_signals(int how)
{
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < SIGNALS; i++)
		(void)sigaddset(&set, signal_numbers[i]);
	(void)sigprocmask(how, &set, NULL);
}

void
server_hold_signals(void)
{
	mask_signals(SIG_BLOCK);
}

/* -- life -------------------------------------------------------------------------- */

static bool
open_port(struct server *server, const struct server_port *from)
{
	struct port *port = &server->ports[server->port_count];

	*port = (struct port){ .server = server, .protocol = from->protocol };
	port->listener = evconnlistener_new(server->base, on_accept, port,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, from->fd);
	if (port->listener == NULL)
		return false;
	evconnlistener_set_error_cb(port->listener, on_accept_error);
	server->port_count++;
	return true;
}

static bool
open_events(struct server *server, const struct server_port *ports, size_t n)
{
	struct timeval second = { .tv_sec = 1 };

	server->base = event_base_new();
	if (server->base == NULL)
		return false;
	for (size_t i = 0; i < SIGNALS; i++) {
		server->signals[i] = evsignal_new(server->base, signal_numbers[i], on_signal, server);
		if (server->signals[i] == NULL || event_add(server->signals[i], NULL) != 0)
			return false;
	}
	server->tick = event_new(server->base, -1, EV_PERSIST, on_tick, server);
	if (server->tick == NULL || event_add(server->tick, &second) != 0)
		return false;
	for (size_t i = 0; i < n && i < PORTS_MAX; i++)
		if (!open_port(server, &ports[i]))
			return false;
	return true;
}

static void
close_events(struct server *server)
{
	while (!TAILQ_EMPTY(&server->connections))
		drop(TAILQ_FIRST(&server->connections));
	for (size_t i = 0; i < server->port_count; i++)
		evconnlistener_free(server->ports[i].listener);
	if (server->tick != NULL)
		event_free(server->tick);
	for (size_t i = 0; i < SIGNALS; i++)
		if (server->signals[i] != NULL)
			event_free(server->signals[i]);
	if (server->base != NULL)
		event_base_free(server->base);
}

enum pn_status
server_run(struct service *service, const struct server_port *ports, size_t n,
    const struct server_limits *limits, void (*started)(void), struct pn_error *err)
{
	struct server server = { .service = service, .limits = limits };
	bool ok;

	TAILQ_INIT(&server.connections);
	pn_buf_init(&server.answer, ANSWER_MAX);
	(void)signal(SIGPIPE, SIG_IGN);
	ok = open_events(&server, ports, n);
	if (ok) {
		mask_signals(SIG_UNBLOCK);
		started();
		ok = event_base_dispatch(server.base) >= 0;
	}
	close_events(&server);
	pn_buf_done(&server.answer);
	return ok ? PN_OK : pn_fail(err, PN_TEMPFAIL, "the event loop cannot run");
}
