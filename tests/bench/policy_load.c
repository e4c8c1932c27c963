/* Asks a policy service as smtpd(8) does at DATA, as fast as it answers:
 *
 *   policy_load unix:PATH|PORT ANSWER CONNECTIONS REQUESTS
 *
 * Each connection has one request on its way, each request is for a mail of
 * its own.  Ends with an error when an answer does not begin with ANSWER.
 * Prints `name value unit` lines. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "load.h"

/* What Postfix 3.7 sends. */
#define REQUEST \
	"request=smtpd_access_policy\nprotocol_state=DATA\nprotocol_name=ESMTP\nclient_address=192.0.2.7\n" \
	"client_name=odoo.acme.example\nclient_port=51234\nreverse_client_name=odoo.acme.example\n" \
	"server_address=192.0.2.1\nserver_port=587\nhelo_name=odoo.acme.example\n" \
	"sender=ann.%lu@acme.example\nrecipient=someone@customer.example\nrecipient_count=1\n" \
	"queue_id=%s\ninstance=%s.0\nsize=0\netrn_domain=\nstress=\n" \
	"sasl_method=PLAIN\nsasl_username=odoo\nsasl_sender=\nccert_subject=\nccert_issuer=\n" \
	"ccert_fingerprint=\nccert_pubkey_fingerprint=\nencryption_protocol=TLSv1.3\n" \
	"encryption_cipher=TLS_AES_256_GCM_SHA384\nencryption_keysize=256\npolicy_context=submission\n\n"

enum { SENDERS = 50, ANSWER_MAX = 1024 };

struct connection {
	int fd;
	int64_t asked_us;
	char in[ANSWER_MAX];
	size_t n;
};

static struct load {
	const char *where, *wanted;
	size_t requests, begun, done;
	int64_t began_us;
	struct spans spans;
	int poll;
} load;

static _Noreturn void
fail(const char *what, const char *detail)
{
	(void)fprintf(stderr, "policy_load: %s: %s\n", what, detail);
	exit(1);
}

static int
dial(const char *where)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)strtoul(where, NULL, 10)) };
	bool is_unix = strncmp(where, "unix:", 5) == 0;
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (is_unix)
		(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", where + 5);
	else
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fd < 0 || connect(fd, is_unix ? (const struct sockaddr *)&un : (const struct sockaddr *)&in,
	    is_unix ? sizeof(un) : sizeof(in)) != 0)
		fail("cannot connect to", where);
	return fd;
}

static void
ask(struct connection *c)
{
	char text[2048], id[64];
	int n;

	if (load.begun == load.requests)
		return;
	/* ids of another run are other mails */
	(void)snprintf(id, sizeof(id), "%llX%zX", (unsigned long long)load.began_us, load.begun);
	n = snprintf(text, sizeof(text), REQUEST, (unsigned long)(load.begun % SENDERS), id, id);
	load.begun++;
	c->asked_us = pn_clock_mono_us();
	if (write(c->fd, text, (size_t)n) != n)
		fail("cannot write to", load.where);
}

static void
answer(struct connection *c)
{
	ssize_t got = read(c->fd, c->in + c->n, sizeof(c->in) - c->n);
	size_t wanted = strlen(load.wanted);

	if (got <= 0)
		fail("the service", "hung up");
	c->n += (size_t)got;
	if (c->n < 2 || memcmp(c->in + c->n - 2, "\n\n", 2) != 0)
		return;
	if (c->n < wanted + 7 || memcmp(c->in, "action=", 7) != 0 || memcmp(c->in + 7, load.wanted, wanted) != 0) {
		c->in[c->n - 2] = '\0';
		fail("another answer", c->in);
	}
	spans_add(&load.spans, c->asked_us);
	load.done++;
	c->n = 0;
	ask(c);
}

static void
open_all(struct connection *all, size_t n)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	load.poll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < n; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = &all[i] } };

		all[i].fd = dial(load.where);
		if (epoll_ctl(load.poll, EPOLL_CTL_ADD, all[i].fd, &event) != 0)
			fail("epoll_ctl", load.where);
	}
}

static void
run(struct connection *all, size_t n)
{
	struct epoll_event events[64];

	for (size_t i = 0; i < n; i++)
		ask(&all[i]);
	while (load.done < load.requests) {
		int ready = epoll_wait(load.poll, events, 64, 60000);

		if (ready <= 0)
			fail("no answer", "for a minute");
		for (int i = 0; i < ready; i++)
			answer(events[i].data.ptr);
	}
}

int
main(int argc, char **argv)
{
	size_t connections = argc == 5 ? strtoul(argv[3], NULL, 10) : 0;
	struct connection *all = calloc(connections + 1, sizeof(*all));

	if (all == NULL || connections == 0)
		fail("usage", "policy_load unix:PATH|PORT ANSWER CONNECTIONS REQUESTS");
	load.where = argv[1];
	load.wanted = argv[2];
	load.requests = strtoul(argv[4], NULL, 10);
	load.spans = spans_new(load.requests + 1);
	open_all(all, connections);
	load.began_us = pn_clock_mono_us();
	run(all, connections);
	(void)printf("rate %.0f answers/s\n",
	    (double)load.done * 1e6 / (double)(pn_clock_mono_us() - load.began_us));
	spans_print(&load.spans, "answer");
	free(load.spans.us);
	free(all);
	return 0;
}
