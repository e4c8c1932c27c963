#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include <event2/listener.h>

#include "connection.h"
#include "postern/clock.h"
#include "postern/log.h"
#include "postern/program.h"

enum { SECOND = 1000000, FRESH = SECOND };

/* How many requests are decided in one look at the state: so many that its cost
 * does not count, so few that nobody waits for it, here or in the milter. */
enum { GROUP_MAX = 32 };

const struct server_limits server_default_limits = {
	.max = 512, .request_seconds = 10, .write_seconds = 30, .idle_seconds = 300,
};

enum { SIGNALS = 4, PORTS_MAX = 4 };
static const int signal_numbers[SIGNALS] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

struct port {
	struct server *server;
	const struct protocol *protocol;
	struct evconnlistener *listener;
};

TAILQ_HEAD(connections, connection);

struct server {
	struct service *service;
	const struct server_limits *limits;
	struct event_base *base;
	struct port ports[PORTS_MAX];
	size_t port_count;
	struct event *tick;
	struct event *signals[SIGNALS];
	struct connections connections;	/* ordered by .served */
	struct connections ready;	/* there is something to read; in order */
	size_t count, ready_count;
	bool paused;		/* accepts nobody */
	bool stopping;
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
enqueue(struct connection *c)
{
	if (c->queued)
		return;
	c->queued = true;
	TAILQ_INSERT_TAIL(&c->server->ready, c, ready);
	c->server->ready_count++;
}

static void
dequeue(struct connection *c)
{
	if (!c->queued)
		return;
	c->queued = false;
	TAILQ_REMOVE(&c->server->ready, c, ready);
	c->server->ready_count--;
}

static void
drop(struct connection *c)
{
	struct server *server = c->server;

	dequeue(c);
	TAILQ_REMOVE(&server->connections, c, entry);
	server->count--;
	connection_free(c);
}

static void
hang_up(struct connection *c)
{
	struct server *server = c->server;

	drop(c);
	resume_accepting(server);
}

/* The order of the list is that of .served: the head is who has been quiet longest. */
static void
note_served(struct connection *c, int64_t now)
{
	c->served = now;
	TAILQ_REMOVE(&c->server->connections, c, entry);
	TAILQ_INSERT_TAIL(&c->server->connections, c, entry);
}

/* -- one turn --------------------------------------------------------------------- */

/* True: there is a request to be answered. */
static bool
receive(struct connection *c, int64_t now)
{
	enum pn_status st = connection_receive(c, now);

	if (st != PN_OK && st != PN_NOT_FOUND)
		hang_up(c);
	return st == PN_OK;
}

static void
deliver(struct connection *c, int64_t now)
{
	enum pn_status st = connection_deliver(c, now);

	if (st != PN_OK && st != PN_NOT_FOUND)
		hang_up(c);
	else if (st == PN_OK && c->input.n > 0)
		enqueue(c);
}

static void
answer_all(struct connection **group, size_t n)
{
	for (size_t i = 0; i < n; i++)
		connection_answer(group[i]);
}

/* One request of each.  They are decided together; if that comes to nothing they
 * are decided again, each alone. */
static void
answer_group(struct server *server, size_t most)
{
	struct connection *group[GROUP_MAX];
	int64_t now = pn_clock_mono_us();
	size_t n = 0;

	for (size_t i = 0; i < most; i++) {
		struct connection *c = TAILQ_FIRST(&server->ready);

		dequeue(c);
		if (receive(c, now))
			group[n++] = c;
	}
	service_begin(server->service);
	answer_all(group, n);
	if (!service_end(server->service))
		answer_all(group, n);
	for (size_t i = 0; i < n; i++) {
		note_served(group[i], now);
		deliver(group[i], now);
	}
}

/* Who becomes ready by being answered has to wait for the next turn. */
static void
answer_ready(struct server *server)
{
	for (size_t left = server->ready_count; left > 0;) {
		size_t most = left < GROUP_MAX ? left : GROUP_MAX;

		answer_group(server, most);
		left -= most;
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	enqueue(ctx);
}

static void
on_writable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	deliver(ctx, pn_clock_mono_us());
}

/* -- accepting ------------------------------------------------------------------ */

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int size, void *ctx)
{
	const struct port *port = ctx;
	struct server *server = port->server;
	struct connection *c;

	(void)listener, (void)address, (void)size;
	if (server->count >= server->limits->max && has_room(server))
		drop(TAILQ_FIRST(&server->connections));
	c = connection_new(server->base, fd, server->service, port->protocol, on_readable, on_writable);
	c->server = server;
	c->served = pn_clock_mono_us();
	TAILQ_INSERT_TAIL(&server->connections, c, entry);
	server->count++;
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
	if (c->blocked != 0)
		return now - c->blocked > (int64_t)limits->write_seconds * SECOND;
	if (c->began != 0 && now - c->began > (int64_t)limits->request_seconds * SECOND)
		return true;
	return now - c->served > (int64_t)limits->idle_seconds * SECOND;
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
	server->stopping = true;
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

/* Until it is stopped, or libevent fails. */
static bool
serve(struct server *server)
{
	while (!server->stopping) {
		int flags = EVLOOP_ONCE | (server->ready_count > 0 ? EVLOOP_NONBLOCK : 0);

		if (event_base_loop(server->base, flags) < 0)
			return false;
		answer_ready(server);
	}
	return true;
}

enum pn_status
server_run(struct service *service, const struct server_port *ports, size_t n,
    const struct server_limits *limits, void (*started)(void), struct pn_error *err)
{
	struct server *server = calloc(1, sizeof(*server));
	bool ok;

	if (server == NULL)
		pn_out_of_memory();
	server->service = service;
	server->limits = limits;
	TAILQ_INIT(&server->connections);
	TAILQ_INIT(&server->ready);
	(void)signal(SIGPIPE, SIG_IGN);
	ok = open_events(server, ports, n);
	if (ok) {
		mask_signals(SIG_UNBLOCK);
		started();
		ok = serve(server);
	}
	close_events(server);
	free(server);
	return ok ? PN_OK : pn_fail(err, PN_TEMPFAIL, "the event loop cannot run");
}
