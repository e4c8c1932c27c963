#include <stdlib.h>

#include "maps.h"
#include "postern/log.h"
#include "postern/netstring.h"
#include "protocol.h"

enum { REQUEST_MAX = 10240 };

struct session {
	struct service *service;
	bool postfix;			/* the client runs as Postfix, or as root */
	struct pn_netstring frame;
	struct pn_buf answer;
};

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

static enum pn_status
look_up(const struct session *session, const struct map *map, const struct map_request *request,
    struct pn_error *err)
{
	enum pn_status st;

	/* The name is the client's: it goes to the log, escaped, not back. */
	if (map == NULL)
		return pn_fail(err, PN_INVALID, "there is no map of this name");
	if (map->secret && !session->postfix)
		return pn_fail(err, PN_INVALID, "this map is for Postfix alone");
	st = map->lookup(request, err);
	return pn_buf_failed(request->value) ? pn_fail(err, PN_LIMIT, "the answer is too long") : st;
}

static void
answer(void *ctx, struct pn_str text, struct pn_buf *out)
{
	struct session *session = ctx;
	struct map_request request = { .service = session->service, .key = text };
	struct pn_error err = { "not available" };
	const struct map *map;
	struct pn_buf value;
	enum pn_status st;

	(void)pn_str_split(&request.key, ' ', &request.name);
	map = map_find(request.name);
	pn_buf_init(&value, REQUEST_MAX);
	request.value = &value;
	pn_arena_reset(session->service->arena);
	pn_buf_reset(&session->answer);
	st = look_up(session, map, &request, &err);
	write_answer(st, pn_buf_str(&value), &err, &session->answer);
	if (session->service->debug)
		log_lookup(request.name, request.key, map != NULL && map->secret && st == PN_OK
		    ? PN_STR("OK") : pn_buf_str(&session->answer));
	pn_netstring_add(out, pn_buf_str(&session->answer));
	pn_buf_done(&value);
}

static void *
open_session(struct service *service, int fd)
{
	struct session *session = calloc(1, sizeof(*session));

	if (session == NULL)
		pn_out_of_memory();
	session->service = service;
	session->postfix = service_is_postfix(service, fd);
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
next(void *ctx, struct pn_str *in, struct pn_str *request)
{
	struct session *session = ctx;

	return pn_netstring_push(&session->frame, in, request);
}

static bool
is_partial(const void *ctx)
{
	const struct session *session = ctx;

	return pn_netstring_is_partial(&session->frame);
}

const struct protocol protocol_socketmap = { "socketmap", open_session, close_session, next, answer,
    is_partial };
