/* A policy service to compare with: null_policy unix:PATH|PORT
 *
 * Answers DUNNO to every request, and looks for nothing but its end: the least
 * that a policy service on libevent can cost. */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

static void
on_read(struct bufferevent *bev, void *ctx)
{
	struct evbuffer *input = bufferevent_get_input(bev);
	struct evbuffer_ptr end;

	(void)ctx;
	while ((end = evbuffer_search(input, "\n\n", 2, NULL)).pos >= 0) {
		(void)evbuffer_drain(input, (size_t)end.pos + 2);
		(void)bufferevent_write(bev, "action=DUNNO\n\n", 14);
	}
}

static void
on_event(struct bufferevent *bev, short what, void *ctx)
{
	(void)what;
	(void)ctx;
	bufferevent_free(bev);
}

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int size, void *ctx)
{
	struct bufferevent *bev = bufferevent_socket_new(ctx, fd, BEV_OPT_CLOSE_ON_FREE);

	(void)listener;
	(void)address;
	(void)size;
	if (bev == NULL)
		abort();
	bufferevent_setcb(bev, on_read, NULL, on_event, NULL);
	(void)bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void
on_term(evutil_socket_t number, short what, void *ctx)
{
	(void)number;
	(void)what;
	(void)event_base_loopbreak(ctx);
}

static struct evconnlistener *
listen_at(struct event_base *base, const char *where)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)strtoul(where, NULL, 10)) };
	bool is_unix = strncmp(where, "unix:", 5) == 0;

	if (is_unix)
		(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", where + 5);
	return evconnlistener_new_bind(base, on_accept, base,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 512,
	    is_unix ? (const struct sockaddr *)&un : (const struct sockaddr *)&in,
	    is_unix ? (int)sizeof(un) : (int)sizeof(in));
}

int
main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	struct evconnlistener *listener = argc != 2 || base == NULL ? NULL : listen_at(base, argv[1]);
	struct event *term = listener == NULL ? NULL : evsignal_new(base, SIGTERM, on_term, base);

	if (term == NULL || event_add(term, NULL) != 0)
		return EX_UNAVAILABLE;
	(void)event_base_dispatch(base);
	event_free(term);
	evconnlistener_free(listener);
	event_base_free(base);
	return EX_OK;
}
