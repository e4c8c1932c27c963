#include "line.h"

#include "counters.h"
#include "postern/clock.h"
#include "postern/log.h"

enum { LINE_LIMIT = 4000, SHOWN_RCPTS = 8, SHOWN_ROUTES = 8, SHOWN_SIGNATURES = 4 };

void
line_refused(const struct session *s, const char *reason)
{
	struct pn_buf line;

	pn_buf_init(&line, LINE_LIMIT);
	pn_buf_add_c(&line, "mail=defer rule=limit");
	pn_log_key_address(&line, "from", s->sender);
	pn_log_key_text(&line, "reason", pn_str_c(reason));
	pn_log_line(PN_LOG_WARN, pn_buf_str(&line));
	pn_buf_done(&line);
}

void
line_rcpt(const struct session *s, struct pn_str address, enum session_rcpt answer, const struct pn_error *err)
{
	struct pn_buf line;
	enum pn_log_level level = PN_LOG_INFO;

	switch (answer) {
	case RCPT_ACCEPTED:
		return;
	case RCPT_REFUSED:
		count(COUNT_RCPT_REFUSED, 1);
		break;
	case RCPT_TROUBLE:
		level = PN_LOG_ERROR;
		count(COUNT_RCPT_TROUBLE, 1);
		break;
	case RCPT_LATER:
	case RCPT_TOO_MANY:
		count(COUNT_RCPT_TROUBLE, 1);
		break;
	}
	pn_buf_init(&line, LINE_LIMIT);
	pn_buf_addf(&line, "rcpt=%s", answer == RCPT_REFUSED ? "refuse rule=unknown_address" : answer == RCPT_TROUBLE
	    ? "defer rule=trouble" : answer == RCPT_LATER ? "defer rule=separate" : "defer rule=limit");
	pn_log_key_address(&line, "from", s->sender);
	pn_log_key_address(&line, "to", address);
	if (err->text[0] != '\0')
		pn_log_key_text(&line, "reason", pn_str_c(err->text));
	pn_log_line(level, pn_buf_str(&line));
	pn_buf_done(&line);
}

static void
add_routes(struct pn_buf *line, const struct pn_decision *decision)
{
	for (size_t i = 0; i < decision->route_count && i < SHOWN_ROUTES; i++) {
		const struct pn_route *route = &decision->routes[i];

		pn_log_key(line, "route", route->model);
		if (route->thread_unknown)
			pn_buf_add_c(line, ":?");
		else if (route->thread_id != 0)
			pn_buf_addf(line, ":%llu", (unsigned long long)route->thread_id);
		else
			pn_buf_add_c(line, ":new");
	}
}

static void
add_part(struct pn_buf *line, const struct pn_gate_part *part)
{
	pn_log_key(line, "gateway", part->gateway->name);
	pn_buf_addf(line, " verdict=%s rule=%s", pn_action_name(part->verdict.action), pn_rule_name(part->verdict.rule));
	if (part->verdict.action != part->decided.action)
		pn_buf_addf(line, " alone=%s", pn_action_name(part->decided.action));
	if (part->has_decision)
		add_routes(line, &part->decision);
	if (part->delivered_to.n > 0)
		pn_log_key_address(line, "delivered_to", part->delivered_to.v[0]);
	if (part->verdict.action != PN_ACTION_ACCEPT || (part->has_decision && part->decision.doubts != 0))
		pn_log_key_text(line, "reason", part->verdict.reason);
	count_verdict(&part->verdict);
	for (size_t i = 0; part->has_decision && i < part->decision.notice_count; i++)
		count(COUNT_MISCONFIGURED, part->decision.notices[i].kind == PN_NOTICE_ALIAS_INVALID);
}

static void
add_authentication(struct pn_buf *line, const struct pn_authentication *auth)
{
	pn_buf_addf(line, " spf=%s", pn_spf_result_name(auth->spf.result));
	for (size_t i = 0; i < auth->dkim.n && i < SHOWN_SIGNATURES; i++) {
		pn_buf_addf(line, " dkim=%s", pn_dkim_result_name(auth->dkim.v[i].result));
		pn_log_key(line, "d", auth->dkim.v[i].domain);
	}
	pn_buf_addf(line, " dmarc=%s", pn_dmarc_result_name(auth->dmarc.result));
	if (auth->dmarc.author.n > 0)
		pn_log_key(line, "author", auth->dmarc.author);
	if (auth->reused.n > 0)
		pn_log_key(line, "results_of", auth->reused);
	if (auth->client_unknown)
		pn_buf_add_c(line, " client=unknown");
}

static void
add_envelope(struct pn_buf *line, const struct session *s)
{
	pn_log_key_address(line, "from", s->sender);
	for (size_t i = 0; i < s->mail.rcpt_count && i < SHOWN_RCPTS; i++)
		pn_log_key_address(line, "to", s->mail.rcpts[i].raw);
	if (s->mail.rcpt_count > SHOWN_RCPTS)
		pn_buf_addf(line, " recipients=%zu", s->mail.rcpt_count);
}

static void
add_targets(struct pn_buf *line, const struct pn_closing *closing)
{
	size_t shown = 0;

	for (size_t i = 0; i < closing->edit_count && shown < SHOWN_RCPTS; i++)
		if (closing->edits[i].kind == PN_EDIT_ADD_RCPT) {
			pn_log_key_address(line, "redirect", closing->edits[i].text);
			shown++;
		}
}

/* A mail that no gateway decided about. */
static void
add_alone(struct pn_buf *line, const struct session *s, const struct pn_gate_result *result)
{
	if (result->closing.action == PN_ACTION_REFUSE || result->closing.action == PN_ACTION_DEFER) {
		pn_buf_addf(line, " verdict=%s rule=%s", pn_action_name(result->closing.action),
		    pn_rule_name(!result->departed ? PN_RULE_LIMIT : result->outbound.trouble ? PN_RULE_TROUBLE : PN_RULE_RELAY));
		pn_log_key_text(line, "reason", result->closing.reply.text);
	} else if (s->ours > 0) {
		pn_buf_addf(line, " verdict=accept rule=%s", pn_rule_name(PN_RULE_ROLE));
	} else {
		pn_buf_addf(line, " verdict=%s", s->mail.outbound ? "outbound" : "pass");
	}
}

/* By which relay it leaves, and why. */
static void
add_outbound(struct pn_buf *line, const struct session *s, const struct pn_outbound *out)
{
	pn_buf_addf(line, " outbound=%s", pn_outbound_answer_name(out->answer));
	if (out->relay != NULL) {
		pn_log_key(line, "relay", out->relay->name);
		pn_buf_addf(line, " step=%s", pn_relay_step_name(out->step));
	}
	if (out->live)
		pn_buf_add_c(line, " live=yes");
	if (out->sender.rewritten)
		pn_log_key_text(line, "new_from", out->sender.header_from);
	if (!pn_str_eq(out->sender.envelope, s->mail.sender))
		pn_log_key_address(line, "new_sender", out->sender.envelope);
	if (out->counted_before)
		pn_buf_add_c(line, " again=yes");
	if (out->answer != PN_OUTBOUND_ROUTE && out->reason.n > 0)
		pn_log_key_text(line, "outbound_reason", out->reason);
}

void
line_mail(const struct session *s, const struct pn_gate_result *result, bool failed)
{
	struct pn_buf line;
	bool ours = result->part_count > 0;

	count(COUNT_MAILS, 1);
	count(COUNT_RCPT_OURS, s->ours);
	count(COUNT_LEARNED, result->learned);
	if (s->mail.outbound)
		count(COUNT_OUTBOUND, 1);
	if (result->learn_error.n > 0)
		count(COUNT_STORE_ERRORS, 1);
	pn_buf_init(&line, LINE_LIMIT);
	pn_log_key(&line, "qid", s->mail.queue_id.n > 0 ? s->mail.queue_id : PN_STR("-"));
	if (!ours)
		add_alone(&line, s, result);
	for (size_t i = 0; i < result->part_count; i++)
		add_part(&line, &result->parts[i]);
	add_envelope(&line, s);
	if (result->parsed && result->message.message_id.n > 0)
		pn_log_key_address(&line, "message-id", result->message.message_id);
	add_targets(&line, &result->closing);
	if (result->departed)
		add_outbound(&line, s, &result->outbound);
	if (result->signed_by.n > 0)
		pn_log_key(&line, "signed", result->signed_by);
	if (result->not_signed.n > 0)
		pn_log_key_text(&line, "not_signed", result->not_signed);
	if (s->mail.auth != NULL)
		add_authentication(&line, s->mail.auth);
	if (result->unreadable.n > 0)
		pn_log_key_text(&line, "unreadable", result->unreadable);
	if (result->learned > 0)
		pn_buf_addf(&line, " learned=%zu", result->learned);
	if (result->learn_error.n > 0)
		pn_log_key_text(&line, "not_stored", result->learn_error);
	if (failed)
		pn_buf_add_c(&line, " failed=changes");
	pn_buf_addf(&line, " ms=%lld", (long long)(pn_clock_mono_us() - s->started_us) / 1000);
	pn_log_line(failed || result->learn_error.n > 0 ? PN_LOG_ERROR : PN_LOG_INFO, pn_buf_str(&line));
	pn_buf_done(&line);
}
