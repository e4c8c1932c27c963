/* SMTP load: smtp_load PORT RECIPIENT SESSIONS MAILS [MAILS-PER-CONNECTION]
 *
 * Sends MAILS mails of 2 kB to 127.0.0.1 over SESSIONS connections at once, as
 * a sending server does: MAIL, RCPT and DATA in one packet (RFC 2920), several
 * mails per connection.  Each mail has a Message-ID and a sender of its own,
 * so that no loop window fills.  Prints `name value unit` lines; fails on the
 * first answer that is not the expected one. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum { INPUT = 4096, OUTPUT = 8192, BODY = 1500 };

/* What is waited for. */
enum step { GREETING, HELLO, MAIL, RCPT, DATA, END, BYE };

struct session {
	int fd;
	enum step step;
	char in[INPUT];
	size_t in_n;
	size_t sent;		/* mails on this connection */
	int64_t began_us, dot_us;
};

static struct load {
	struct sockaddr_in server;
	const char *rcpt;
	size_t mails, per_connection;
	size_t begun, done;
	unsigned run;
	struct spans eom, whole;
	char body[BODY + 1];
	int poll;
} load;

static _Noreturn void
fail(const char *what, const char *detail)
{
	(void)fprintf(stderr, "smtp_load: %s: %s\n", what, detail);
	exit(1);
}

static void
put(const struct session *s, const char *text, size_t n)
{
	if (write(s->fd, text, n) != (ssize_t)n)
		fail("cannot write", text);
}

static void
open_session(struct session *s)
{
	struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = s } };
	int on = 1;

	*s = (struct session){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .step = GREETING };
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(s->fd, (const struct sockaddr *)&load.server, sizeof(load.server)) != 0
	    || epoll_ctl(load.poll, EPOLL_CTL_ADD, s->fd, &event) != 0)
		fail("cannot connect", "is Postfix there?");
}

static void
send_envelope(struct session *s)
{
	char out[OUTPUT];
	int n;

	if (load.begun == load.mails || s->sent == load.per_connection) {
		put(s, "QUIT\r\n", 6);
		s->step = BYE;
		return;
	}
	load.begun++;
	s->sent++;
	s->began_us = pn_clock_mono_us();
	n = snprintf(out, sizeof(out), "MAIL FROM:<u%x.%zu@sender.example>\r\nRCPT TO:<%s>\r\nDATA\r\n", load.run,
	    load.begun, load.rcpt);
	put(s, out, (size_t)n);
	s->step = MAIL;
}

static void
send_message(struct session *s)
{
	char out[OUTPUT];
	/* begun may have grown since the envelope: the time makes the id unique */
	int64_t now = pn_clock_mono_us();
	int n = snprintf(out, sizeof(out),
	    "Received: from client.sender.example (client.sender.example [192.0.2.7])\r\n"
	    "\tby out.sender.example (Postfix) with ESMTPS id 4Zq1xY3Jk2z9vNm\r\n"
	    "\tfor <%s>; Mon, 6 Jul 2026 10:00:00 +0000 (UTC)\r\n"
	    "From: Ann Example <u%x.%d.%lld@sender.example>\r\n"
	    "To: Sales <%s>\r\n"
	    "Subject: An offer for twelve chairs and one table\r\n"
	    "Date: Mon, 6 Jul 2026 10:00:00 +0000\r\n"
	    "Message-ID: <%x.%d.%lld@sender.example>\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=utf-8\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n"
	    "User-Agent: Mail\r\n"
	    "\r\n%s.\r\n",
	    load.rcpt, load.run, s->fd, (long long)now, load.rcpt, load.run, s->fd, (long long)now, load.body);

	s->dot_us = pn_clock_mono_us();
	put(s, out, (size_t)n);
	s->step = END;
}

/* The last line of one reply. */
static void
answer(struct session *s, const char *line)
{
	static const char *const expected[] = { "220", "250", "250", "250", "354", "250", "221" };

	if (strncmp(line, expected[s->step], 3) != 0)
		fail("unexpected answer", line);
	switch (s->step) {
	case GREETING:
		put(s, "EHLO client.example\r\n", 21);
		s->step = HELLO;
		break;
	case MAIL:
	case RCPT:
		s->step++;
		break;
	case DATA:
		send_message(s);
		break;
	case END:
		spans_add(&load.eom, s->dot_us);
		spans_add(&load.whole, s->began_us);
		load.done++;
		send_envelope(s);
		break;
	case HELLO:
		send_envelope(s);
		break;
	case BYE:
		(void)close(s->fd);
		s->fd = -1;
		break;
	}
}

static void
read_answers(struct session *s)
{
	ssize_t got = read(s->fd, s->in + s->in_n, sizeof(s->in) - 1 - s->in_n);
	char *line = s->in, *end;

	if (got <= 0)
		fail("the connection", "was closed");
	s->in_n += (size_t)got;
	s->in[s->in_n] = '\0';
	while (s->fd >= 0 && (end = strchr(line, '\n')) != NULL) {
		*end = '\0';
		if (end - line > 3 && line[3] != '-')
			answer(s, line);
		line = end + 1;
	}
	s->in_n -= (size_t)(line - s->in);
	memmove(s->in, line, s->in_n);
}

static void
run(struct session *sessions, size_t n)
{
	struct epoll_event events[64];

	for (size_t i = 0; i < n; i++)
		open_session(&sessions[i]);
	while (load.done < load.mails) {
		int ready = epoll_wait(load.poll, events, 64, 60000);

		if (ready <= 0)
			fail("no answer", "for a minute");
		for (int i = 0; i < ready; i++) {
			struct session *s = events[i].data.ptr;

			read_answers(s);
			if (s->fd < 0 && load.begun < load.mails)
				open_session(s);
		}
	}
}

int
main(int argc, char **argv)
{
	size_t sessions = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	struct session *all = calloc(sessions + 1, sizeof(*all));
	int64_t began;

	load.mails = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
	if (all == NULL || sessions == 0 || load.mails == 0)
		fail("usage", "smtp_load PORT RECIPIENT SESSIONS MAILS [MAILS-PER-CONNECTION]");
	load.per_connection = argc > 5 ? strtoul(argv[5], NULL, 10) : 20;
	load.server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) },
		.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)) };
	load.rcpt = argv[2];
	load.run = (unsigned)getpid();
	load.poll = epoll_create1(EPOLL_CLOEXEC);
	load.eom = spans_new(load.mails);
	load.whole = spans_new(load.mails);
	for (size_t i = 0; i < BODY; i++)
		load.body[i] = i % 75 == 73 ? '\r' : i % 75 == 74 ? '\n' : (char)('a' + i % 23);
	began = pn_clock_mono_us();
	run(all, sessions < load.mails ? sessions : load.mails);
	(void)printf("rate %.1f mails/s\n", (double)load.mails * 1e6 / (double)(pn_clock_mono_us() - began));
	spans_print(&load.eom, "end");
	spans_print(&load.whole, "whole");
	return 0;
}
