/* Postfix's policy delegation protocol (SMTPD_POLICY_README): at DATA the relay is
 * chosen; at RCPT it is noted who stays here. */
#include <stddef.h>
#include <stdlib.h>

#include "postern/clock.h"
#include "postern/log.h"
#include "postern/outbound.h"
#include "protocol.h"

/* Postfix sends some 30 attributes; a recipient or a certificate's subject may be long. */
enum { LINE_MAX_BYTES = 8192, REQUEST_MAX = 32768 };

struct session {
	struct service *service;
	struct pn_buf request;
	size_t line;			/* bytes of its last line so far */
	bool complete;			/* the next byte begins another */
};

/* -- one request --------------------------------------------------------------------- */

struct request {
	struct pn_str kind, state, sender, recipient, recipient_count, user, queue_id, instance, context;
};

#define ATTRIBUTE(name, field) { { name, sizeof(name) - 1 }, offsetof(struct request, field) }

static void
read_attribute(struct request *r, struct pn_str name, struct pn_str value)
{
	static const struct {
		struct pn_str name;
		size_t at;
	} known[] = {
		ATTRIBUTE("request", kind), ATTRIBUTE("protocol_state", state), ATTRIBUTE("sender", sender),
		ATTRIBUTE("recipient", recipient), ATTRIBUTE("recipient_count", recipient_count),
		ATTRIBUTE("sasl_username", user), ATTRIBUTE("queue_id", queue_id),
		ATTRIBUTE("instance", instance), ATTRIBUTE("policy_context", context),
	};

	for (size_t i = 0; i < PN_COUNT(known); i++)
		if (pn_str_eq(known[i].name, name))
			*(struct pn_str *)((char *)r + known[i].at) = value;
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
static bool
stays_here(struct service *service, struct pn_str recipient)
{
	struct pn_error err = { "" };
	struct pn_rcpt rcpt;
	enum pn_status st = service_classify(service, recipient, &rcpt, &err);

	return st == PN_TEMPFAIL || st == PN_LIMIT || (st == PN_OK && rcpt.domain != NULL)
	    || pn_outbound_is_local(service->config, recipient, service->arena);
}

static void
note_recipient(struct service *service, const struct request *r)
{
	if (!service->again)	/* else it is noted */
		instances_add(service->instances, r->instance, stays_here(service, r->recipient), pn_clock_now());
}

/* What was noted at RCPT.  After a restart that is nothing, or the last recipients only:
 * a single one is named at DATA too, and of many that were not all seen one may stay. */
static struct instance_facts
recall(struct service *service, const struct request *r, uint64_t recipient_count)
{
	struct instance_facts facts = instances_get(service->instances, r->instance);
	uint64_t seen = facts.recipients + facts.here;

	if (seen == 0 && recipient_count == 1 && r->recipient.n > 0) {
		facts.here = stays_here(service, r->recipient);
		facts.recipients = !facts.here;
	} else if (seen > 0 && seen < recipient_count) {
		facts.here += facts.here == 0;
		facts.recipients = recipient_count - facts.here;
	}
	return facts;
}

static void
decide(struct service *service, const struct request *r, struct pn_outbound *out)
{
	struct pn_gate gate = { .config = service->config, .store = service->store };
	struct instance_facts facts;
	struct pn_outbound_mail mail = {
		.email_from = r->sender,
		.sender = r->sender,
		.user = r->user,
		.queue_id = r->queue_id,
		.instance = r->instance,
		.by_login = true,
		.may_refuse = true,
		.now_ms = pn_clock_now_ms(),
	};

	/* one recipient at least: a request that does not say is not free of charge */
	if (!pn_str_to_u64(r->recipient_count, 1000000, &mail.recipient_count) || mail.recipient_count == 0)
		mail.recipient_count = 1;
	facts = recall(service, r, mail.recipient_count);
	mail.mixed = facts.here > 0;
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
log_choice(struct service *service, const struct request *r, const struct pn_outbound *out,
    struct pn_str action)
{
	struct pn_buf *line = &service->line;

	pn_buf_reset(line);
	pn_log_key(line, "policy", pn_str_c(pn_outbound_answer_name(out->answer)));
	pn_log_key(line, "qid", r->queue_id.n > 0 ? r->queue_id : PN_STR("-"));
	if (out->relay != NULL) {
		pn_log_key(line, "relay", out->relay->name);
		pn_log_key(line, "step", pn_str_c(pn_relay_step_name(out->step)));
	}
	pn_log_key_address(line, "from", r->sender);
	if (r->user.n > 0)
		pn_log_key(line, "user", r->user);
	pn_log_key_text(line, "reason", out->reason);
	if (out->answer == PN_OUTBOUND_DEFER || out->answer == PN_OUTBOUND_REFUSE)
		pn_log_key_text(line, "action", action);
	if (out->trouble)
		service_trouble(service, pn_buf_str(line));
	else
		service_log(service, pn_buf_str(line));
}

static void
choose(struct service *service, const struct request *r, struct pn_buf *out)
{
	size_t action = out->n;
	struct pn_outbound decided;

	decide(service, r, &decided);
	write_action(&decided, out);
	log_choice(service, r, &decided, pn_str_from(pn_buf_str(out), action));
}

static void
answer(void *ctx, struct pn_str text, struct pn_buf *out)
{
	struct session *session = ctx;
	struct service *service = session->service;
	struct request r = read_request(text);
	struct pn_error err = { "" };

	pn_arena_reset(service->arena);
	pn_buf_add_c(out, "action=");
	if (!is_asked_for(service, &r)) {
		pn_buf_add_c(out, "DUNNO");
	} else if (pn_str_eq(r.state, PN_STR("RCPT"))) {
		note_recipient(service, &r);
		pn_buf_add_c(out, "DUNNO");
	} else if (service->config->relays.n == 0
	    || (!pn_str_eq(r.state, PN_STR("DATA")) && !pn_str_eq(r.state, PN_STR("END-OF-MESSAGE")))) {
		pn_buf_add_c(out, "DUNNO");
	} else if (service_store(service, &err) != PN_OK) {
		pn_buf_add_c(out, "451 4.3.0 cannot choose a relay now, try again later");
	} else {
		choose(service, &r, out);
	}
	pn_buf_add_c(out, "\n\n");
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

/* PN_OK: so many bytes of the input end the request, by an empty line. */
static enum pn_status
find_end(struct session *session, struct pn_str in, size_t *n)
{
	for (*n = 0; *n < in.n;) {
		size_t end = pn_str_find(pn_str_from(in, *n), '\n');
		bool whole = end != PN_STR_NONE;

		session->line += whole ? end : in.n - *n;
		*n = whole ? *n + end + 1 : in.n;
		if (session->line > LINE_MAX_BYTES)
			return PN_LIMIT;
		if (whole && session->line == 0)
			return PN_OK;
		if (whole)
			session->line = 0;
	}
	return PN_NOT_FOUND;
}

static enum pn_status
next(void *ctx, struct pn_str *in, struct pn_str *request)
{
	struct session *session = ctx;
	enum pn_status st;
	size_t n;

	if (session->complete) {
		pn_buf_reset(&session->request);
		session->complete = false;
	}
	st = find_end(session, *in, &n);
	pn_buf_add(&session->request, pn_str_head(*in, n));
	*in = pn_str_from(*in, n);
	if (pn_buf_failed(&session->request))
		return PN_LIMIT;
	if (st != PN_OK)
		return st;
	session->complete = true;
	*request = pn_buf_str(&session->request);
	/* nothing before the empty line: not a request */
	return request->n > 1 ? PN_OK : PN_INVALID;
}

static bool
is_partial(const void *ctx)
{
	const struct session *session = ctx;

	return session->request.n > 0 && !session->complete;
}

const struct protocol protocol_policy = { "policy", open_session, close_session, next, answer, is_partial };
