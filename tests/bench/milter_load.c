/* The milter protocol without Postfix:
 *
 *   milter_load SOCKET RECIPIENT rate SESSIONS MAILS [BYTES]   as fast as they go
 *   milter_load SOCKET RECIPIENT idle SESSIONS     opens sessions, says "idle",
 *                                                  holds them until stdin ends
 *
 * Obeys what the milter negotiates: steps it does not want are left out, and
 * answers it does not give are not waited for.  Each mail has a Message-ID and
 * a sender of its own, and BYTES of body.  Prints `name value unit` lines. */
#include <arpa/inet.h>
#include <libmilter/mfdef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "load.h"
#include "postern/buf.h"

enum { OUTPUT = 65536, INPUT = 16384, CHUNK = 32 * 1024, BODY = 1500, OFFER_ACTIONS = 0x1ff, OFFER_STEPS = 0x1fffff };

/* The stages of a session in order, and which flags leave out the stage or its answer. */
enum stage { NEGOTIATE, CONNECT, HELO, MAIL, RCPT, DATA, HEADER, EOH, CONTENT, END };

static const struct { uint32_t no_stage, no_answer; } flags[] = {
	[NEGOTIATE] = { 0, 0 },
	[CONNECT] = { SMFIP_NOCONNECT, SMFIP_NR_CONN },
	[HELO] = { SMFIP_NOHELO, SMFIP_NR_HELO },
	[MAIL] = { SMFIP_NOMAIL, SMFIP_NR_MAIL },
	[RCPT] = { SMFIP_NORCPT, SMFIP_NR_RCPT },
	[DATA] = { SMFIP_NODATA, SMFIP_NR_DATA },
	[HEADER] = { SMFIP_NOHDRS, SMFIP_NR_HDR },
	[EOH] = { SMFIP_NOEOH, SMFIP_NR_EOH },
	[CONTENT] = { SMFIP_NOBODY, SMFIP_NR_BODY },
	[END] = { 0, 0 },
};

struct session {
	int fd;
	enum stage stage;	/* whose answer is waited for */
	size_t header;		/* the next one to send */
	unsigned long number;
	uint32_t steps;
	char in[INPUT];
	size_t in_n;
	struct pn_buf out;
	int64_t began_us;
	bool idle;
};

static struct load {
	const char *path, *rcpt;
	size_t mails, begun, done, opened;
	bool hold;
	struct spans whole;
	size_t body_bytes;
	char body[CHUNK];
	int poll;
} load;

static _Noreturn void
fail(const char *what, const char *detail)
{
	(void)fprintf(stderr, "milter_load: %s: %s\n", what, detail);
	exit(1);
}

/* -- packets ------------------------------------------------------------------------------ */

static void
flush(struct session *s)
{
	struct pn_str out = pn_buf_str(&s->out);

	if (out.n > 0 && write(s->fd, out.p, out.n) != (ssize_t)out.n)
		fail("cannot write", "to the milter");
	pn_buf_reset(&s->out);
}

static void
put(struct session *s, char command, const void *data, size_t n)
{
	uint32_t length = htonl((uint32_t)n + 1);

	pn_buf_add(&s->out, pn_str_n((const char *)&length, sizeof(length)));
	pn_buf_add_char(&s->out, command);
	pn_buf_add(&s->out, pn_str_n(data, n));
}

/* The parts of a text that are apart by "|" become strings with a NUL behind. */
static void
put_text(struct session *s, char command, const char *text)
{
	char data[1024];
	size_t n = strlen(text);

	memcpy(data, text, n + 1);
	for (size_t i = 0; i < n; i++)
		if (data[i] == '|')
			data[i] = '\0';
	put(s, command, data, n + 1);
}

static void
put_header(struct session *s)
{
	static const char *const headers[] = {
		"Received| from client.sender.example (client.sender.example [192.0.2.7])\n"
		    "\tby out.sender.example (Postfix) with ESMTPS id 4Zq1xY3Jk2z9vNm; Mon, 6 Jul 2026 10:00:00 +0000",
		"From| Ann Example <u%s@sender.example>",
		"To| Sales <%s>",
		"Subject| An offer for twelve chairs and one table",
		"Date| Mon, 6 Jul 2026 10:00:00 +0000",
		"Message-ID| <%s@sender.example>",
		"MIME-Version| 1.0",
		"Content-Type| text/plain; charset=utf-8",
		"Content-Transfer-Encoding| 8bit",
		"User-Agent| Mail",
	};
	const char *form = headers[s->header], *hole = strstr(form, "%s");
	char text[1024], id[64];

	(void)snprintf(id, sizeof(id), "%d.%lu", (int)getpid(), s->number);
	(void)snprintf(text, sizeof(text), "%.*s%s%s", hole == NULL ? (int)strlen(form) : (int)(hole - form), form,
	    hole == NULL ? "" : form[0] == 'T' ? load.rcpt : id, hole == NULL ? "" : hole + 2);
	put_text(s, SMFIC_HEADER, text);
	s->header = s->header + 1 < PN_COUNT(headers) ? s->header + 1 : 0;
}

/* Only the last piece stays in the buffer. */
static void
put_body(struct session *s)
{
	size_t left = load.body_bytes;

	for (; left > CHUNK; left -= CHUNK) {
		put(s, SMFIC_BODY, load.body, CHUNK);
		flush(s);
	}
	put(s, SMFIC_BODY, load.body, left);
}

static void
put_stage(struct session *s, enum stage stage)
{
	static const uint32_t offer[] = { 6, OFFER_ACTIONS, OFFER_STEPS };
	uint32_t words[3];
	char text[512];

	switch (stage) {
	case NEGOTIATE:
		for (size_t i = 0; i < PN_COUNT(words); i++)
			words[i] = htonl(offer[i]);
		put(s, SMFIC_OPTNEG, words, sizeof(words));
		break;
	case CONNECT:
		put(s, SMFIC_CONNECT, "client.sender.example\0004\004\322192.0.2.7\0", 35);
		break;
	case HELO:
		put_text(s, SMFIC_HELO, "client.sender.example");
		break;
	case MAIL:
		s->number = load.begun;
		s->began_us = pn_clock_mono_us();
		(void)snprintf(text, sizeof(text), "Mi|4Zq1xY3Jk2z9vNm|{mail_mailer}|smtp|{mail_addr}|u%lu@sender.example",
		    s->number);
		put_text(s, SMFIC_MACRO, text);
		(void)snprintf(text, sizeof(text), "<u%lu@sender.example>", s->number);
		put_text(s, SMFIC_MAIL, text);
		break;
	case RCPT:
		(void)snprintf(text, sizeof(text), "<%s>", load.rcpt);
		put_text(s, SMFIC_RCPT, text);
		break;
	case DATA:
		put(s, SMFIC_DATA, "", 0);
		break;
	case HEADER:
		put_header(s);
		break;
	case EOH:
		put(s, SMFIC_EOH, "", 0);
		break;
	case CONTENT:
		put_body(s);
		break;
	case END:
		put(s, SMFIC_BODYEOB, "", 0);
		break;
	}
}

/* -- a session -------------------------------------------------------------------------------- */

static enum stage
next_stage(const struct session *s)
{
	if (s->stage == END)
		return MAIL;
	return s->stage == HEADER && s->header > 0 ? HEADER : s->stage + 1;
}

/* Sends all up to the next stage that is answered; false: there is no more to do. */
static bool
go_on(struct session *s)
{
	for (;;) {
		s->stage = next_stage(s);
		if (s->stage == MAIL && (load.hold || load.begun == load.mails)) {
			flush(s);
			return false;
		}
		if (s->stage == MAIL)
			load.begun++;
		if (s->steps & flags[s->stage].no_stage) {
			s->header = 0;
			continue;
		}
		put_stage(s, s->stage);
		if (!(s->steps & flags[s->stage].no_answer)) {
			flush(s);
			return true;
		}
	}
}

static void
open_session(struct session *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = s } };

	*s = (struct session){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .stage = NEGOTIATE };
	pn_buf_init(&s->out, OUTPUT);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", load.path);
	if (s->fd < 0 || connect(s->fd, (const struct sockaddr *)&address, sizeof(address)) != 0
	    || epoll_ctl(load.poll, EPOLL_CTL_ADD, s->fd, &event) != 0)
		fail("cannot connect to", load.path);
	put_stage(s, NEGOTIATE);
	flush(s);
}

/* False when the session has come to its end. */
static bool
answer(struct session *s, char command, const char *data, size_t n)
{
	uint32_t steps;

	switch (command) {
	case SMFIR_ADDRCPT:
	case SMFIR_ADDRCPT_PAR:
	case SMFIR_DELRCPT:
	case SMFIR_ADDHEADER:
	case SMFIR_INSHEADER:
	case SMFIR_CHGHEADER:
	case SMFIR_PROGRESS:
		return true;	/* the answer comes behind it */
	case SMFIC_OPTNEG:
		if (n < 12)
			fail("negotiation", "too short");
		memcpy(&steps, data + 8, sizeof(steps));
		s->steps = ntohl(steps);
		break;
	case SMFIR_CONTINUE:
	case SMFIR_ACCEPT:
		break;
	case SMFIR_REPLYCODE:
		fail("refused", data);
	default:
		fail("unexpected answer", (const char[]){ command, '\0' });
	}
	if (s->stage == END) {
		spans_add(&load.whole, s->began_us);
		load.done++;
	}
	return go_on(s);
}

static bool
read_answers(struct session *s)
{
	ssize_t got = read(s->fd, s->in + s->in_n, sizeof(s->in) - s->in_n);
	size_t at = 0;
	bool more = true;

	if (got <= 0)
		fail("the milter", "hung up");
	s->in_n += (size_t)got;
	while (s->in_n - at >= 5) {
		uint32_t n;

		memcpy(&n, s->in + at, sizeof(n));
		n = ntohl(n);
		if (n == 0 || n > sizeof(s->in) - 4)
			fail("packet", "of an impossible length");
		if (s->in_n - at < n + 4)
			break;
		more = answer(s, s->in[at + 4], s->in + at + 5, n - 1);
		at += n + 4;
	}
	memmove(s->in, s->in + at, s->in_n - at);
	s->in_n -= at;
	return more;
}

static void
run(size_t sessions)
{
	struct epoll_event events[64];
	size_t idle = 0;

	while (idle < sessions) {
		int ready = epoll_wait(load.poll, events, 64, 60000);

		if (ready <= 0)
			fail("no answer", "for a minute");
		for (int i = 0; i < ready; i++) {
			struct session *s = events[i].data.ptr;

			if (!read_answers(s) && !s->idle) {
				s->idle = true;
				idle++;
			}
		}
	}
}

int
main(int argc, char **argv)
{
	size_t sessions = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
	struct session *all = calloc(sessions + 1, sizeof(*all));
	struct rlimit files;
	int64_t began;

	load.hold = argc == 5 && strcmp(argv[3], "idle") == 0;
	if (all == NULL || sessions == 0 || (!load.hold && argc < 6))
		fail("usage", "milter_load SOCKET RECIPIENT rate SESSIONS MAILS [BYTES] | idle SESSIONS");
	load.path = argv[1];
	load.rcpt = argv[2];
	load.mails = load.hold ? 0 : strtoul(argv[5], NULL, 10);
	load.body_bytes = argc > 6 ? strtoul(argv[6], NULL, 10) : BODY;
	load.poll = epoll_create1(EPOLL_CLOEXEC);
	load.whole = spans_new(load.mails + 1);
	memset(load.body, 'x', sizeof(load.body));
	for (size_t i = 73; i + 1 < sizeof(load.body); i += 75)
		memcpy(load.body + i, "\r\n", 2);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	began = pn_clock_mono_us();
	for (size_t i = 0; i < sessions; i++)
		open_session(&all[i]);
	run(sessions);
	if (load.hold) {
		(void)printf("idle\n");
		(void)fflush(stdout);
		(void)getchar();
		return 0;
	}
	(void)printf("rate %.0f mails/s\n", (double)load.done * 1e6 / (double)(pn_clock_mono_us() - began));
	spans_print(&load.whole, "whole");
	return 0;
}
