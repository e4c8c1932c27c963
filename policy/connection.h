/* connection.h - one client: its bytes in, one request at a time, its answer out.
 *
 * It is read from, answered and written to, in turns: what it sends meanwhile
 * stays in the kernel, and nothing more is read until its answer is taken.
 */
#ifndef POLICY_CONNECTION_H
#define POLICY_CONNECTION_H

#include <sys/queue.h>

#include <event2/event.h>

#include "protocol.h"

struct server;

struct connection {
	struct server *server;
	const struct protocol *protocol;
	void *session;
	int fd;
	struct event *readable, *writable;	/* one of them is being waited for */
	struct pn_buf input;	/* read, but the session has not seen it from `taken` on */
	size_t taken;
	struct pn_str request;	/* of this turn; the session's */
	struct pn_buf answer;	/* written up to `sent` */
	size_t sent;
	int64_t served;		/* when it was accepted, or its last request answered */
	int64_t began;		/* a request has begun and is not complete; 0: none */
	int64_t blocked;	/* since when it takes no more of its answer; 0: it does */
	bool queued;		/* among those that are ready */
	TAILQ_ENTRY(connection) entry, ready;	/* the server's */
};

/* Takes over the descriptor, which does not block.  Both callbacks get the connection. */
struct connection *connection_new(struct event_base *base, int fd, struct service *service,
    const struct protocol *protocol, event_callback_fn on_readable, event_callback_fn on_writable);
void connection_free(struct connection *connection);

/* Reads once at most.  PN_OK: there is a request; PN_NOT_FOUND: it waits for more;
 * else it is to be dropped: gone, or not of this protocol. */
PN_CHECK enum pn_status connection_receive(struct connection *connection, int64_t now);

/* Answers its request, in place of an answer that was not sent. */
void connection_answer(struct connection *connection);

/* Writes once.  PN_OK: all of the answer is taken; PN_NOT_FOUND: it waits for the
 * client; else it is to be dropped.  now: microseconds. */
PN_CHECK enum pn_status connection_deliver(struct connection *connection, int64_t now);

#endif
