/* server.h - connections, and what one client may ask of us.
 *
 * One thread, one libevent loop.  Nobody can hold up anybody else: a request
 * is answered inline in microseconds, and in one turn of the loop each client
 * gets one answer.  Requests that are ready at the same time are decided in one
 * transaction of the state, and answered when it is written.
 *
 *   connections   at most `max`; past it the one that has asked for nothing
 *                 for the longest time (a second at least) makes room, and
 *                 until there is one, new ones wait in the kernel's queue
 *   a request     must be complete within `request_seconds` of its first byte
 *   answers       while one is not taken, no more requests are read; a client
 *                 that takes nothing for `write_seconds` is gone
 *   idle          closed after `idle_seconds`
 */
#ifndef POLICY_SERVER_H
#define POLICY_SERVER_H

#include "protocol.h"

struct server_limits {
	size_t max;
	unsigned request_seconds;
	unsigned write_seconds;
	unsigned idle_seconds;
};

extern const struct server_limits server_default_limits;

/* A listening socket, non-blocking, and what is spoken on it. */
struct server_port {
	const struct protocol *protocol;
	int fd;
};

/* Serves until SIGTERM or SIGINT; SIGHUP and SIGUSR1 reload the configuration.
 * The sockets are closed at the end.  started() is called when the loop runs.
 * PN_OK, or PN_TEMPFAIL: libevent refuses.
 * server_hold_signals() comes first, before anybody can see a socket: what is
 * sent from then on is held until the loop can answer it. */
void server_hold_signals(void);
PN_CHECK enum pn_status server_run(struct service *service, const struct server_port *ports, size_t n,
    const struct server_limits *limits, void (*started)(void), struct pn_error *err);

#endif
