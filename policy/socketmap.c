#include <stdlib.h>

#include "postern/log.h"
#include "postern/netstring.h"
#include "protocol.h"

/* Postfix asks for whatever somebody wrote as a recipient; an address that
 * anybody knows is far below KEY_MAX. */
enum { REQUEST_MAX = 10240, KEY_MAX = 2048 };

struct session {
	struct service *service;
	struct pn_netstring frame;
	struct pn_buf answer;
};

/* -- the maps ----------------------------------------------------------------- */

/* PN_OK: *value; PN_NOT_FOUND; PN_INVALID: asking again is useless;
 * PN_TEMPFAIL, PN_LIMIT: Postfix shall try later. */
typedef enum pn_status map_lookup(struct service *service, struct pn_str key, struct pn_buf *value,
    struct pn_error *err);

/* A value of virtual_alias_maps is a list of addresses: a key that Postfix would
 * read as anything but itself is never given back. */
static bool
reads_as_itself(struct pn_str key)
{
	bool quoted = key.n > 0 && key.p[0] == '"', escaped = false;
	size_t i = quoted ? 1 : 0, ats = 0;

	for (; i < key.n && quoted; i++) {
		unsigned char c = (unsigned char)key.p[i];

		if (c < ' ' || c == 0x7f)
			return false;
		if (c == '"' && !escaped)
			quoted = false;
		escaped = c == '\\' && !escaped;
	}
	/* After a quoted string there is nothing but the domain. */
	if (quoted || (i > 1 && (i >= key.n || key.p[i] != '@')))
		return false;
	for (; i < key.n; i++) {
		unsigned char c = (unsigned char)key.p[i];

		if (c <= ' ' || c == 0x7f || memchr("\"\\,;:<>()[]", c, 11) != NULL)
			return false;
		if (c == '@')
			ats++;
	}
	return ats == 1;
}

/* Known addresses stand for themselves, so that Postfix accepts them beside the
 * people of a mixed domain.  It also asks for "local" and "@domain": a whole
 * address is the only thing that can be known. */
static enum pn_status
lookup_recipient(struct service *service, struct pn_str key, struct pn_buf *value, struct pn_error *err)
{
	struct pn_rcpt rcpt;
	enum pn_status st;

	if (key.n > KEY_MAX || !reads_as_itself(key))
		return PN_NOT_FOUND;
	st = service_classify(service, key, &rcpt, err);
	if (st == PN_INVALID || (st == PN_OK && rcpt.answer != PN_RCPT_OURS))
		return PN_NOT_FOUND;
	if (st == PN_OK)
		pn_buf_add(value, key);
	return st;
}

static const struct {
	struct pn_str name;
	map_lookup *lookup;
} maps[] = {
	{ PN_STR("recipient"), lookup_recipient },
};

static map_lookup *
find_map(struct pn_str name)
{
	for (size_t i = 0; i < PN_COUNT(maps); i++)
		if (pn_str_eq(maps[i].name, name))
			return maps[i].lookup;
	return NULL;
}

/* -- the protocol -------------------------------------------------------------- */

static void
log_lookup(struct pn_str name, struct pn_str key, struct pn_str answer)
{
	struct pn_buf line;

	pn_buf_init(&line, 8192);
	pn_log_key(&line, "map", name);
	pn_log_key_address(&line, "key", key);
	pn_log_key(&line, "answer", answer);
	pn_log_line(PN_LOG_DEBUG, pn_buf_str(&line));
	pn_buf_done(&line);
}

/* What a status is on the wire: the only place. */
static void
write_answer(enum pn_status st, struct pn_str value, const struct pn_error *err, struct pn_buf *answer)
{
	switch (st) {
	case PN_OK:
		pn_buf_add_c(answer, "OK ");
		pn_buf_add(answer, value);
		break;
	case PN_NOT_FOUND:
		pn_buf_add_c(answer, "NOTFOUND ");
		break;
	case PN_INVALID:
		pn_buf_addf(answer, "PERM %s", err->text);
		break;
	case PN_TEMPFAIL:
	case PN_LIMIT:
		pn_buf_addf(answer, "TEMP %s", err->text);
		break;
	}
}

static void
answer_request(struct session *session, struct pn_str request)
{
	struct pn_error err = { "not available" };
	struct pn_str key = request, name;
	struct pn_buf value;
	map_lookup *lookup;
	enum pn_status st;

	(void)pn_str_split(&key, ' ', &name);
	pn_buf_init(&value, REQUEST_MAX);
	pn_buf_reset(&session->answer);
	lookup = find_map(name);
	/* The name is the client's: it goes to the log, escaped, not back. */
	st = lookup == NULL ? pn_fail(&err, PN_INVALID, "there is no map of this name")
	    : lookup(session->service, key, &value, &err);
	if (pn_buf_failed(&value))
		st = pn_fail(&err, PN_LIMIT, "the answer is too long");
	write_answer(st, pn_buf_str(&value), &err, &session->answer);
	if (session->service->debug)
		log_lookup(name, key, pn_buf_str(&session->answer));
	pn_buf_done(&value);
}

static void *
open_session(struct service *service)
{
	struct session *session = calloc(1, sizeof(*session));

	if (session == NULL)
		pn_out_of_memory();
	session->service = service;
	pn_netstring_init(&session->frame, REQUEST_MAX);
	pn_buf_init(&session->answer, 2 * REQUEST_MAX);
	return session;
}

static void
close_session(void *ctx)
{
	struct session *session = ctx;

	pn_netstring_done(&session->frame);
	pn_buf_done(&session->answer);
	free(session);
}

static enum pn_status
step(void *ctx, struct pn_str *in, struct pn_buf *out)
{
	struct session *session = ctx;
	struct pn_str request;
	enum pn_status st = pn_netstring_push(&session->frame, in, &request);

	if (st != PN_OK)
		return st;
	answer_request(session, request);
	pn_netstring_add(out, pn_buf_str(&session->answer));
	return PN_OK;
}

static bool
is_partial(const void *ctx)
{
	const struct session *session = ctx;

	return pn_netstring_is_partial(&session->frame);
}

const struct protocol protocol_socketmap = { "socketmap", open_session, close_session, step, is_partial };
