/* SMTP load: smtp_load [-o] [-s BODY-SIZE] [-d ZONE -f FIRST -n COUNT] [-k KEY] PORT RECIPIENT SESSIONS MAILS
 *
 * Sends MAILS mails to 127.0.0.1 over SESSIONS connections at once, as a
 * sending server does: MAIL, RCPT and DATA in one packet (RFC 2920), 20 mails
 * per connection.  Each mail has a Message-ID and a sender of its own, so that
 * no loop window fills.  With -d the senders are of COUNT domains, dFIRST.ZONE
 * and so on; with -k the mails are signed for them with that key, selector
 * "bench", before the first one is sent; with -o they have no Received field,
 * as from a client of the house.  Prints `name value unit` lines; fails on the
 * first answer that is not the expected one. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "load.h"
#include "postern/buf.h"
#include "postern/dkim_sign.h"

enum { INPUT = 4096, OUTPUT = 1024, BODY = 1500, PER_CONNECTION = 20, ARENA_LIMIT = 1 << 30 };

/* What is waited for. */
enum step { GREETING, HELLO, MAIL, RCPT, DATA, END, BYE };

struct session {
	int fd;
	enum step step;
	char in[INPUT];
	size_t in_n;
	size_t sent;		/* mails on this connection */
	size_t mail;		/* which one is under way */
	int64_t began_us, dot_us;
};

static struct load {
	struct sockaddr_in server;
	const char *rcpt;
	const char *zone;	/* NULL: all senders are of sender.example */
	size_t first, domains;
	size_t mails;
	bool own;
	size_t begun, done;
	unsigned long long run;
	struct spans eom, whole;
	struct pn_arena *arena;
	struct pn_str *heads;	/* of each mail */
	struct pn_str body;
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

static struct pn_str
domain_of(size_t mail)
{
	if (load.zone == NULL)
		return PN_STR("sender.example");
	return pn_arena_printf(load.arena, "d%zu.%s", load.first + mail % load.domains, load.zone);
}

static void
send_envelope(struct session *s)
{
	char out[OUTPUT];
	struct pn_str domain;
	int n;

	if (load.begun == load.mails || s->sent == PER_CONNECTION) {
		put(s, "QUIT\r\n", 6);
		s->step = BYE;
		return;
	}
	s->mail = load.begun++;
	s->sent++;
	domain = domain_of(s->mail);
	s->began_us = pn_clock_mono_us();
	n = snprintf(out, sizeof(out), "MAIL FROM:<u%llx.%zu@" PN_STR_FMT ">\r\nRCPT TO:<%s>\r\nDATA\r\n", load.run,
	    s->mail, PN_STR_ARG(domain), load.rcpt);
	put(s, out, (size_t)n);
	s->step = MAIL;
}

static void
send_message(struct session *s)
{
	struct pn_str head = load.heads[s->mail];
	struct iovec parts[] = {
		{ (void *)(uintptr_t)head.p, head.n },
		{ (void *)(uintptr_t)load.body.p, load.body.n },
		{ (void *)(uintptr_t)".\r\n", 3 },
	};

	s->dot_us = pn_clock_mono_us();
	if (writev(s->fd, parts, 3) != (ssize_t)(head.n + load.body.n + 3))
		fail("cannot write", "a message");
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

/* -- the mails ------------------------------------------------------------------ */

static struct pn_dkim_key *
read_key(const char *path)
{
	char text[OUTPUT * 8];
	FILE *f = fopen(path, "rb");
	struct pn_dkim_key *key;
	struct pn_error err;

	if (f == NULL || pn_dkim_key_parse(pn_str_n(text, fread(text, 1, sizeof(text), f)), &key, &err) != PN_OK)
		fail("no key", path);
	(void)fclose(f);
	return key;
}

static void
add_field(struct pn_buf *head, const struct pn_field *field)
{
	pn_buf_addf(head, PN_STR_FMT ":", PN_STR_ARG(field->name));
	for (size_t i = 0; i < field->raw.n; i++) {
		if (field->raw.p[i] == '\n')
			pn_buf_add_char(head, '\r');
		pn_buf_add_char(head, field->raw.p[i]);
	}
	pn_buf_add(head, PN_STR("\r\n"));
}

static struct pn_str
make_head(size_t mail, const struct pn_dkim_key *key, const unsigned char *hash)
{
	struct pn_str domain = domain_of(mail), who = pn_arena_printf(load.arena, "u%llx.%zu@" PN_STR_FMT, load.run,
	    mail, PN_STR_ARG(domain));
	const struct pn_dkim_signer signer = { .domain = domain, .selector = PN_STR("bench"), .key = key };
	const struct pn_dkim_signing how = { .relaxed_header = true, .relaxed_body = true, .now = pn_clock_now() };
	struct pn_field fields[] = {
		{ PN_STR("Received"), pn_arena_printf(load.arena,
		    " from client.sender.example (client.sender.example [192.0.2.7])\n"
		    "\tby out.sender.example (Postfix) with ESMTPS id 4Zq1xY3Jk2z9vNm\n"
		    "\tfor <%s>; Mon, 6 Jul 2026 10:00:00 +0000 (UTC)", load.rcpt) },
		{ PN_STR("From"), pn_arena_printf(load.arena, " Ann Example <" PN_STR_FMT ">", PN_STR_ARG(who)) },
		{ PN_STR("To"), pn_arena_printf(load.arena, " Sales <%s>", load.rcpt) },
		{ PN_STR("Subject"), PN_STR(" An offer for twelve chairs and one table") },
		{ PN_STR("Date"), PN_STR(" Mon, 6 Jul 2026 10:00:00 +0000") },
		{ PN_STR("Message-ID"), pn_arena_printf(load.arena, " <" PN_STR_FMT ">", PN_STR_ARG(who)) },
		{ PN_STR("MIME-Version"), PN_STR(" 1.0") },
		{ PN_STR("Content-Type"), PN_STR(" text/plain; charset=utf-8") },
		{ PN_STR("Content-Transfer-Encoding"), PN_STR(" 8bit") },
		{ PN_STR("User-Agent"), PN_STR(" Mail") },
	};
	struct pn_field signature;
	struct pn_error err = { "" };
	struct pn_buf head;
	struct pn_str text;

	pn_buf_init(&head, OUTPUT * 8);
	if (key != NULL && pn_dkim_sign((struct pn_fields){ fields, PN_COUNT(fields) }, hash, &signer, 1, &how,
	    load.arena, &signature, &err) != PN_OK)
		fail("cannot sign", err.text);
	if (key != NULL)
		add_field(&head, &signature);
	for (size_t i = load.own; i < PN_COUNT(fields); i++)
		add_field(&head, &fields[i]);
	pn_buf_add(&head, PN_STR("\r\n"));
	text = pn_arena_dup(load.arena, pn_buf_str(&head));
	pn_buf_done(&head);
	return text;
}

static void
make_mails(size_t size, const char *key_file)
{
	struct pn_dkim_key *key = key_file == NULL ? NULL : read_key(key_file);
	struct pn_dkim_body *body = pn_dkim_body_new(true);
	unsigned char hash[PN_DKIM_HASH_SIZE];
	char *text = pn_arena_alloc(load.arena, size);

	size -= size % 75;
	for (size_t i = 0; i < size; i++)
		text[i] = i % 75 == 73 ? '\r' : i % 75 == 74 ? '\n' : (char)('a' + i % 23);
	load.body = pn_str_n(text, size);
	pn_dkim_body_add(body, load.body);
	pn_dkim_body_end(body, hash);
	load.heads = PN_ARENA_ARRAY(load.arena, struct pn_str, load.mails);
	for (size_t i = 0; i < load.mails; i++)
		load.heads[i] = make_head(i, key, hash);
	pn_dkim_body_free(body);
	pn_dkim_key_free(key);
}

static size_t
number(const char *text)
{
	return strtoul(text, NULL, 10);
}

int
main(int argc, char **argv)
{
	size_t size = BODY, sessions;
	const char *key = NULL;
	struct session *all;
	int64_t began;
	int option;

	load.domains = 1;
	while ((option = getopt(argc, argv, "os:d:f:n:k:")) != -1)
		switch (option) {
		case 'o': load.own = true; break;
		case 's': size = number(optarg); break;
		case 'd': load.zone = optarg; break;
		case 'f': load.first = number(optarg); break;
		case 'n': load.domains = number(optarg); break;
		case 'k': key = optarg; break;
		default: fail("usage", "see the head of its source");
		}
	argv += optind;
	if (argc - optind != 4 || load.domains == 0 || (sessions = number(argv[2])) == 0
	    || (load.mails = number(argv[3])) == 0 || (all = calloc(sessions, sizeof(*all))) == NULL)
		fail("usage", "see the head of its source");
	load.server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) },
		.sin_port = htons((uint16_t)number(argv[0])) };
	load.rcpt = argv[1];
	load.run = (unsigned long long)pn_clock_now_ms();
	load.arena = pn_arena_new(ARENA_LIMIT);
	make_mails(size, key);
	load.poll = epoll_create1(EPOLL_CLOEXEC);
	load.eom = spans_new(load.mails);
	load.whole = spans_new(load.mails);
	began = pn_clock_mono_us();
	run(all, sessions < load.mails ? sessions : load.mails);
	(void)printf("rate %.1f mails/s\n", (double)load.mails * 1e6 / (double)(pn_clock_mono_us() - began));
	spans_print(&load.eom, "end");
	spans_print(&load.whole, "whole");
	return 0;
}
