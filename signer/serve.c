#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "answer.h"
#include "postern/clock.h"
#include "postern/config.h"
#include "postern/key_service.h"
#include "postern/log.h"
#include "postern/netstring.h"

enum {
	SECOND = 1000000,
	REQUEST_TIME = 5 * SECOND,
	IDLE_TIME = 300 * SECOND,
	WRITE_SECONDS = 5,
	ARENA_LIMIT = 256 * 1024,
	STACK_SIZE = 512 * 1024,
	FRAME = 16,		/* what a netstring adds */
};

/* The main thread's, but for .quiet and .ended. */
struct client {
	struct server *server;
	pthread_t thread;
	int fd;				/* -1: nobody */
	_Atomic int64_t quiet;		/* since when it asks for nothing; INT64_MAX: it is being answered */
	atomic_bool ended;		/* the thread is to be joined */
};

struct server {
	pthread_rwlock_t keys;
	struct pn_signer *signer;	/* under keys */
	int ended;			/* an eventfd(2): a thread is to be joined */
	size_t n;
	struct client clients[CLIENTS_MAX];
};

/* -- one client, in its thread -- */

struct session {
	struct client *client;
	struct pn_netstring frame;
	struct pn_str in;		/* what has come and is not looked at yet */
	struct pn_arena *arena;
	struct pn_buf answer, out;
	char bytes[PN_KEY_REQUEST_MAX];
};

/* More bytes, before the deadline. */
static bool
receive(struct session *s, int64_t deadline)
{
	ssize_t n = -1;

	do {
		struct pollfd wait = { .fd = s->client->fd, .events = POLLIN };
		int64_t left = (deadline - pn_clock_mono_us() + 999) / 1000;

		if (left <= 0)
			return false;
		if (poll(&wait, 1, (int)left) > 0)
			n = recv(s->client->fd, s->bytes, sizeof(s->bytes), MSG_DONTWAIT);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n > 0)
		s->in = pn_str_n(s->bytes, (size_t)n);
	return n > 0;
}

static bool
next_request(struct session *s, struct pn_str *request)
{
	int64_t now = pn_clock_mono_us(), deadline = now + IDLE_TIME;
	bool partial = false;
	enum pn_status st;

	atomic_store(&s->client->quiet, now);
	while ((st = pn_netstring_push(&s->frame, &s->in, request)) == PN_NOT_FOUND) {
		if (!partial && pn_netstring_is_partial(&s->frame)) {
			partial = true;
			deadline = pn_clock_mono_us() + REQUEST_TIME;
		}
		if (!receive(s, deadline))
			return false;
	}
	atomic_store(&s->client->quiet, INT64_MAX);
	return st == PN_OK;
}

static bool
answer_request(struct session *s, struct pn_str request)
{
	struct server *server = s->client->server;

	pn_arena_reset(s->arena);
	pn_buf_reset(&s->answer);
	pn_buf_reset(&s->out);
	(void)pthread_rwlock_rdlock(&server->keys);
	answer(server->signer, request, s->arena, &s->answer);
	(void)pthread_rwlock_unlock(&server->keys);
	pn_netstring_add(&s->out, pn_buf_str(&s->answer));
	return !pn_buf_failed(&s->answer)
	    && send(s->client->fd, s->out.p, s->out.n, MSG_NOSIGNAL) == (ssize_t)s->out.n;
}

static void
leave(struct client *client)
{
	(void)shutdown(client->fd, SHUT_RDWR);
	atomic_store(&client->ended, true);
	(void)eventfd_write(client->server->ended, 1);
}

static void *
serve(void *data)
{
	struct session *s = calloc(1, sizeof(*s));
	struct client *client = data;
	struct pn_str request;

	if (s == NULL)
		pn_out_of_memory();
	s->client = client;
	s->arena = pn_arena_new(ARENA_LIMIT);
	pn_netstring_init(&s->frame, PN_KEY_REQUEST_MAX);
	pn_buf_init(&s->answer, PN_KEY_ANSWER_MAX);
	pn_buf_init(&s->out, PN_KEY_ANSWER_MAX + FRAME);
	while (next_request(s, &request) && answer_request(s, request))
		continue;
	pn_netstring_done(&s->frame);
	pn_buf_done(&s->answer);
	pn_buf_done(&s->out);
	pn_arena_free(s->arena);
	free(s);
	leave(client);
	return NULL;
}

/* -- all of them, in the main thread -- */

/* Whoever has been quiet for the longest time goes; its thread sees the end of the connection. */
static void
make_room(struct server *server)
{
	struct client *oldest = &server->clients[0];

	for (size_t i = 1; i < CLIENTS_MAX; i++)
		if (atomic_load(&server->clients[i].quiet) < atomic_load(&oldest->quiet))
			oldest = &server->clients[i];
	if (atomic_load(&oldest->quiet) < pn_clock_mono_us() - SECOND)
		(void)shutdown(oldest->fd, SHUT_RDWR);
}

static struct client *
find_room(struct server *server)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (server->clients[i].fd < 0)
			return &server->clients[i];
	return NULL;
}

/* A thread that nobody has joined might still be in a library when the process ends. */
static void
see_off(struct client *client)
{
	(void)pthread_join(client->thread, NULL);
	(void)close(client->fd);
	client->fd = -1;
	client->server->n--;
}

static void
see_off_ended(struct server *server)
{
	eventfd_t times;

	(void)eventfd_read(server->ended, &times);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (server->clients[i].fd >= 0 && atomic_load(&server->clients[i].ended))
			see_off(&server->clients[i]);
}

static bool
start_thread(struct client *client)
{
	pthread_attr_t attributes;
	bool started;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
	started = pthread_create(&client->thread, &attributes, serve, client) == 0;
	(void)pthread_attr_destroy(&attributes);
	return started;
}

static bool
may_ask(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || size != sizeof(peer))
		return false;
	if (!pn_config_is_our_user(peer.uid))
		pn_log(PN_LOG_WARN, "process %d of user %u is sent away: signatures are for the user postern",
		    (int)peer.pid, (unsigned)peer.uid);
	return pn_config_is_our_user(peer.uid);
}

static bool
take(struct server *server, int fd)
{
	struct timeval patience = { .tv_sec = WRITE_SECONDS };
	struct client *client = find_room(server);

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	client->fd = fd;
	atomic_store(&client->quiet, pn_clock_mono_us());
	atomic_store(&client->ended, false);
	if (start_thread(client)) {
		server->n++;
		return true;
	}
	pn_log(PN_LOG_ERROR, "a client is sent away: the system gives no thread");
	client->fd = -1;
	return false;
}

bool
server_accept(struct server *server, int listener)
{
	see_off_ended(server);
	while (server->n < CLIENTS_MAX) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
		if (!may_ask(fd) || !take(server, fd))
			(void)close(fd);
	}
	make_room(server);
	return false;
}

int
server_fd(const struct server *server)
{
	return server->ended;
}

void
server_follow(struct server *server, struct pn_signer *signer)
{
	struct pn_signer *old;

	(void)pthread_rwlock_wrlock(&server->keys);
	old = server->signer;
	server->signer = signer;
	(void)pthread_rwlock_unlock(&server->keys);
	pn_signer_close(old);
}

struct server *
server_new(struct pn_signer *signer)
{
	struct server *server = calloc(1, sizeof(*server));
	pthread_rwlockattr_t attributes;

	if (server == NULL || pthread_rwlockattr_init(&attributes) != 0
	    || pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) != 0
	    || pthread_rwlock_init(&server->keys, &attributes) != 0
	    || (server->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		pn_out_of_memory();
	(void)pthread_rwlockattr_destroy(&attributes);
	server->signer = signer;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		server->clients[i] = (struct client){ .server = server, .fd = -1 };
	return server;
}

void
server_free(struct server *server)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (server->clients[i].fd >= 0)
			(void)shutdown(server->clients[i].fd, SHUT_RD);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (server->clients[i].fd >= 0)
			see_off(&server->clients[i]);
	pn_signer_close(server->signer);
	(void)pthread_rwlock_destroy(&server->keys);
	(void)close(server->ended);
	free(server);
}
