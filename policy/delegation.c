/* Postfix's policy delegation protocol (SMTPD_POLICY_README): at DATA the relay is
 * chosen; at RCPT it is noted who stays here. */
#include <stdlib.h>

#include "postern/clock.h"
#include "postern/log.h"
#include "postern/outbound.h"
#include "protocol.h"

/* Postfix sends some 30 attributes; a recipient or a certificate's subject may be long. */
enum { LINE_MAX_BYTES = 8192, REQUEST_MAX = 32768 };

struct session {
	struct service *service;
	struct pn_buf request;		/* its lines so far */
	size_t line;			/* where the last one begins */
};

/* -- one request --------------------------------------------------------------------- */

struct request {
	struct pn_str kind, state, sender, recipient, recipient_count, user, queue_id, instance, context;
};

static void
read_attribute(struct request *r, struct pn_str name, struct pn_str value)
{
	const struct {
		struct pn_str name;
		struct pn_str *value;
	} known[] = {
		{ PN_STR("request"), &r->kind }, { PN_STR("protocol_state"), &r->state },
		{ PN_STR("sender"), &r->sender }, { PN_STR("recipient"), &r->recipient },
		{ PN_STR("recipient_count"), &r->recipient_count }, { PN_STR("sasl_username"), &r->user },
		{ PN_STR("queue_id"), &r->queue_id }, { PN_STR("instance"), &r->instance },
		{ PN_STR("policy_context"), &r->context },
	};

	for (size_t i = 0; i < PN_COUNT(known); i++)
		if (pn_str_eq(known[i].name, name))
			*known[i].value = value;
}

static struct request
read_request(struct pn_str text)
{
	struct request r = { .kind = PN_STR_EMPTY };
	struct pn_str line;

	while (pn_str_split(&text, '\n', &line)) {
		size_t at = pn_str_find(line, '=');

		if (at != PN_STR_NONE)
			read_attribute(&r, pn_str_head(line, at), pn_str_from(line, at + 1));
	}
	return r;
}

/* -- answers ---------------------------------------------------------------------------- */

static bool
is_asked_for(const struct service *service, const struct request *r)
{
	return pn_str_eq(r->kind, PN_STR("smtpd_access_policy"))
	    && pn_strs_has(service->config->policy_contexts, r->context);
}

/* Postfix cannot be told about one recipient only, so a message with one that
 * stays here gets no FILTER: the map `route` decides about the others. */
static void
note_recipient(struct service *service, const struct request *r)
{
	struct pn_error err = { "" };
	struct pn_rcpt rcpt;
	enum pn_status st = service_classify(service, r->recipient, &rcpt, &err);

	instances_add(service->instances, r->instance, st == PN_TEMPFAIL || st == PN_LIMIT
	    || (st == PN_OK && rcpt.domain != NULL)
	    || pn_outbound_is_local(service->config, r->recipient, service->arena), pn_clock_now());
}

static void
decide(struct service *service, const struct request *r, struct pn_outbound *out)
{
	struct pn_gate gate = { .config = service->config, .store = service->store };
	struct instance_facts facts = instances_get(service->instances, r->instance);
	struct pn_outbound_mail mail = {
		.email_from = r->sender,
		.sender = r->sender,
		.user = r->user,
		.queue_id = r->queue_id,
		.instance = r->instance,
		.by_login = true,
		.mixed = facts.here > 0,
		.may_refuse = true,
		.now_ms = pn_clock_now_ms(),
	};

	/* one recipient at least: a request that does not say is not free of charge */
	if (!pn_str_to_u64(r->recipient_count, 1000000, &mail.recipient_count) || mail.recipient_count == 0)
		mail.recipient_count = 1;
	if (facts.here > 0 && facts.recipients > 0)
		mail.recipient_count = facts.recipients;
	if (facts.here > 0 && facts.recipients == 0)
		*out = (struct pn_outbound){ .answer = PN_OUTBOUND_DEFAULT, .reason = PN_STR("nobody leaves") };
	else
		pn_outbound_decide(&gate, &mail, service->arena, out);
}

/* What an answer is on the wire: the only place. */
static void
write_action(const struct pn_outbound *out, struct pn_buf *action)
{
	switch (out->answer) {
	case PN_OUTBOUND_ROUTE:
	case PN_OUTBOUND_WAIT:
		if (out->route.n > 0) {
			pn_buf_add_c(action, "FILTER ");
			pn_buf_add(action, out->route);
			return;
		}
		break;
	case PN_OUTBOUND_DEFER:
	case PN_OUTBOUND_REFUSE:
		pn_buf_addf(action, "%s %s " PN_STR_FMT, out->reply.code, out->reply.xcode, PN_STR_ARG(out->reply.text));
		return;
	case PN_OUTBOUND_DEFAULT:
		break;
	}
	pn_buf_add_c(action, "DUNNO");
}

static void
log_choice(const struct request *r, const struct pn_outbound *out, struct pn_str action)
{
	struct pn_buf line;

	pn_buf_init(&line, 4096);
	pn_log_key(&line, "policy", pn_str_c(pn_outbound_answer_name(out->answer)));
	pn_log_key(&line, "qid", r->queue_id.n > 0 ? r->queue_id : PN_STR("-"));
	if (out->relay != NULL) {
		pn_log_key(&line, "relay", out->relay->name);
		pn_log_key(&line, "step", pn_str_c(pn_relay_step_name(out->step)));
	}
	pn_log_key_address(&line, "from", r->sender);
	if (r->user.n > 0)
		pn_log_key(&line, "user", r->user);
	pn_log_key_text(&line, "reason", out->reason);
	if (out->answer == PN_OUTBOUND_DEFER || out->answer == PN_OUTBOUND_REFUSE)
		pn_log_key_text(&line, "action", action);
	pn_log_line(out->trouble ? PN_LOG_ERROR : PN_LOG_INFO, pn_buf_str(&line));
	pn_buf_done(&line);
}

static void
answer_request(struct service *service, struct pn_str text, struct pn_buf *out)
{
	struct request r = read_request(text);
	struct pn_error err = { "" };
	struct pn_outbound decided;
	struct pn_buf action;

	pn_arena_reset(service->arena);
	pn_buf_init(&action, 4096);
	if (!is_asked_for(service, &r)) {
		pn_buf_add_c(&action, "DUNNO");
	} else if (pn_str_eq(r.state, PN_STR("RCPT"))) {
		note_recipient(service, &r);
		pn_buf_add_c(&action, "DUNNO");
	} else if (service->config->relays.n == 0
	    || (!pn_str_eq(r.state, PN_STR("DATA")) && !pn_str_eq(r.state, PN_STR("END-OF-MESSAGE")))) {
		pn_buf_add_c(&action, "DUNNO");
	} else if (service_store(service, &err) != PN_OK) {
		pn_buf_add_c(&action, "451 4.3.0 cannot choose a relay now, try again later");
	} else {
		decide(service, &r, &decided);
		write_action(&decided, &action);
		log_choice(&r, &decided, pn_buf_str(&action));
	}
	pn_buf_add_c(out, "action=");
	pn_buf_add(out, pn_buf_str(&action));
	pn_buf_add_c(out, "\n\n");
	pn_buf_done(&action);
}

/* -- the protocol ---------------------------------------------------------------------------- */

static void *
open_session(struct service *service, int fd)
{
	struct session *session = calloc(1, sizeof(*session));

	(void)fd;
	if (session == NULL)
		pn_out_of_memory();
	session->service = service;
	pn_buf_init(&session->request, REQUEST_MAX);
	return session;
}

static void
close_session(void *ctx)
{
	struct session *session = ctx;

	pn_buf_done(&session->request);
	free(session);
}

/* Bytes up to the end of a line.  PN_OK: it was the empty one. */
static enum pn_status
take_line(struct session *session, struct pn_str *in)
{
	size_t end = pn_str_find(*in, '\n');
	size_t n = end == PN_STR_NONE ? in->n : end + 1;
	bool empty;

	pn_buf_add(&session->request, pn_str_head(*in, n));
	*in = pn_str_from(*in, n);
	if (pn_buf_failed(&session->request) || session->request.n - session->line > LINE_MAX_BYTES)
		return PN_LIMIT;
	if (end == PN_STR_NONE)
		return PN_NOT_FOUND;
	empty = session->request.n - session->line == 1;
	session->line = session->request.n;
	return empty ? PN_OK : PN_NOT_FOUND;
}

static enum pn_status
step(void *ctx, struct pn_str *in, struct pn_buf *out)
{
	struct session *session = ctx;
	enum pn_status st = PN_NOT_FOUND;

	while (st == PN_NOT_FOUND && in->n > 0)
		st = take_line(session, in);
	if (st != PN_OK)
		return st;
	/* nothing before the empty line: not a request */
	if (session->request.n == 1)
		return PN_INVALID;
	answer_request(session->service, pn_buf_str(&session->request), out);
	pn_buf_reset(&session->request);
	session->line = 0;
	return PN_OK;
}

static bool
is_partial(const void *ctx)
{
	const struct session *session = ctx;

	return session->request.n > 0;
}

const struct protocol protocol_policy = { "policy", open_session, close_session, step, is_partial };
