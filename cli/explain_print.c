/* What there is to tell about a mail, for people and for programs. */
#include "explain.h"
#include "postern/log.h"

enum { LINE_MAX_BYTES = 4000, LABEL_WIDTH = 11 };

/* -- words that both have ------------------------------------------------------------- */

static struct pn_str
route_target(const struct pn_route *route, struct pn_arena *arena)
{
	if (route->thread_unknown)
		return PN_STR("?");
	if (route->thread_id == 0)
		return PN_STR("new");
	return pn_arena_printf(arena, "%llu", (unsigned long long)route->thread_id);
}

static struct pn_str
verdict_line(const struct explain *e, const struct explain_part *part)
{
	const struct pn_gate_part *p = part->part;
	struct pn_buf line;
	struct pn_str out;

	pn_buf_init(&line, LINE_MAX_BYTES);
	pn_log_key(&line, "gateway", p->gateway->name);
	pn_buf_addf(
	    &line, " verdict=%s rule=%s", pn_action_name(p->verdict.action), pn_rule_name(p->verdict.rule));
	if (p->verdict.action != p->decided.action)
		pn_buf_addf(&line, " alone=%s", pn_action_name(p->decided.action));
	for (size_t i = 0; p->has_decision && i < p->decision.route_count; i++) {
		const struct pn_route *route = &p->decision.routes[i];

		pn_log_key(&line, "route", route->model);
		pn_buf_addf(&line, ":" PN_STR_FMT, PN_STR_ARG(route_target(route, e->arena)));
	}
	out = pn_arena_dup(e->arena, pn_str_trim(pn_buf_str(&line)));
	pn_buf_done(&line);
	return out;
}

static const char *
edit_name(enum pn_edit_kind kind)
{
	switch (kind) {
	case PN_EDIT_DELETE_RCPT: return "delete_recipient";
	case PN_EDIT_ADD_RCPT: return "add_recipient";
	case PN_EDIT_INSERT_HEADER: return "insert_header";
	case PN_EDIT_ADD_HEADER: return "add_header";
	case PN_EDIT_CHANGE_HEADER: return "change_header";
	case PN_EDIT_DELETE_HEADER: return "delete_header";
	case PN_EDIT_CHANGE_SENDER: return "change_sender";
	case PN_EDIT_QUARANTINE: return "hold";
	}
	return "?";
}

static struct pn_str
reply_text(const struct pn_reply *reply, struct pn_arena *arena)
{
	return pn_arena_printf(
	    arena, "%s %s " PN_STR_FMT, reply->code, reply->xcode, PN_STR_ARG(reply->text));
}

static struct pn_str
answer_of(const struct explain *e)
{
	const struct pn_closing *closing = &e->result.closing;

	if (e->mail.rcpt_count == 0)
		return PN_STR("no recipient was accepted: the message is never sent");
	switch (closing->action) {
	case PN_ACTION_REFUSE:
	case PN_ACTION_DEFER:
		return reply_text(&closing->reply, e->arena);
	case PN_ACTION_DISCARD:
		return PN_STR("250, and thrown away");
	case PN_ACTION_HOLD:
		return PN_STR("250, into the hold queue");
	case PN_ACTION_ACCEPT:
	case PN_ACTION_HAND_OVER:
		break;
	}
	return PN_STR("250");
}

static struct pn_str
window_model(const struct pn_window_key *window)
{
	return window->model.n > 0 ? window->model : PN_STR("unknown address");
}

/* -- for people ----------------------------------------------------------------------- */

void
explain_line(const struct explain *e, const char *label, struct pn_str text)
{
	(void)printf("%-*s " PN_STR_FMT "\n", LABEL_WIDTH, label, PN_STR_ARG(text_shown(text, e->arena)));
}

static void
print_mail(const struct explain *e)
{
	const struct pn_message *m = &e->result.message;

	if (e->cli->scratch[0] != '\0')
		explain_line(e, "state", PN_STR("none yet: the configuration alone"));
	explain_line(e, "sender",
	    pn_arena_printf(e->arena, "<" PN_STR_FMT ">%s%s", PN_STR_ARG(e->sender),
		e->mail.outbound ? ", may send for our domains" : "",
		e->mail.smtp ? "" : ", through sendmail(1)"));
	if (!e->result.parsed)
		return;
	explain_line(e, "from", m->email_from);
	explain_line(e, "message-id", m->message_id);
	if (m->automatic)
		explain_line(e, "automatic", PN_STR("yes: written by a program"));
}

static void
print_rcpt(const struct explain *e, const struct explain_rcpt *rcpt)
{
	const struct pn_rcpt *who = &rcpt->who;
	struct pn_buf text;

	pn_buf_init(&text, LINE_MAX_BYTES);
	pn_buf_addf(
	    &text, PN_STR_FMT ": %s", PN_STR_ARG(pn_str_head(rcpt->raw, 400)), pn_rcpt_kind_name(who->kind));
	if (who->gateway != NULL)
		pn_buf_addf(&text, " of gateway " PN_STR_FMT, PN_STR_ARG(who->gateway->name));
	if (who->model.n > 0)
		pn_buf_addf(&text, ", model " PN_STR_FMT, PN_STR_ARG(who->model));
	if (who->successor.n > 0)
		pn_buf_addf(&text, ", now " PN_STR_FMT, PN_STR_ARG(who->successor));
	if (rcpt->reply.code != NULL)
		pn_buf_addf(&text, "; " PN_STR_FMT, PN_STR_ARG(reply_text(&rcpt->reply, e->arena)));
	else
		pn_buf_add_c(&text,
		    who->answer == PN_RCPT_OURS ? "; accepted" : "; not ours, Postfix goes on with it");
	explain_line(e, "recipient", pn_buf_str(&text));
	pn_buf_done(&text);
}

static struct pn_str
table_text(const struct explain *e, const char *name, bool complete, bool declared, int64_t synced)
{
	struct pn_str when = time_shown(synced, e->arena);

	if (complete && declared)
		return pn_arena_printf(e->arena, "%s: all are known (complete = yes)", name);
	if (complete)
		return pn_arena_printf(
		    e->arena, "%s: all are known (synchronised " PN_STR_FMT ")", name, PN_STR_ARG(when));
	if (synced > 0)
		return pn_arena_printf(e->arena,
		    "%s: what is not among them is not known (synchronised too long ago, " PN_STR_FMT ")",
		    name, PN_STR_ARG(when));
	return pn_arena_printf(e->arena, "%s: what is not among them is not known", name);
}

static void
print_window(const struct explain *e, const struct pn_gate_part *part, size_t i)
{
	const struct pn_window_key *w = &part->window_keys[i];
	uint64_t count = part->window_fill[i];

	explain_line(e, "  counts", pn_arena_printf(e->arena, PN_STR_FMT " in " PN_STR_FMT " %s" PN_STR_FMT
	    ": %llu of %llu in %llu minutes%s", PN_STR_ARG(w->sender), PN_STR_ARG(window_model(w)),
	    w->record.n > 0 ? "" : "(new records)", PN_STR_ARG(w->record), (unsigned long long)count,
	    (unsigned long long)part->threshold, (unsigned long long)part->gateway->loop_minutes,
	    count >= part->threshold ? ", full" : ""));
}

static void
print_part(const struct explain *e, const struct explain_part *part)
{
	const struct pn_gate_part *p = part->part;

	explain_line(e, "gateway", p->gateway->name);
	explain_line(e, "  facts",
	    table_text(e, "aliases", part->aliases_complete, p->gateway->complete, part->aliases_synced));
	explain_line(e, "", table_text(e, "messages", part->threads_complete, false, part->threads_synced));
	for (size_t i = 0; p->has_decision && i < p->decision.steps.n; i++)
		explain_line(e, i == 0 ? "  asked" : "", p->decision.steps.v[i]);
	if (p->has_decision && p->decision.doubts != 0)
		explain_line(e, "  not known", pn_doubts_text(p->decision.doubts, e->arena));
	for (size_t i = 0; i < p->windows.n; i++)
		print_window(e, p, i);
	explain_line(e, "  verdict", verdict_line(e, part));
	explain_line(e, "  reason", p->verdict.reason);
}

/* A folded header on one line. */
static struct pn_str
unfolded(struct pn_str text, struct pn_arena *arena)
{
	char *p = pn_arena_alloc(arena, text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\r' && text.p[i] != '\n')
			p[n++] = (char)(text.p[i] == '\t' ? ' ' : text.p[i]);
	return pn_str_n(p, n);
}

static void
print_edit(const struct explain *e, const struct pn_edit *edit)
{
	switch (edit->kind) {
	case PN_EDIT_ADD_RCPT:
		explain_line(e, "change",
		    pn_arena_printf(e->arena, "add recipient <" PN_STR_FMT ">%s" PN_STR_FMT,
			PN_STR_ARG(edit->text), edit->args.n > 0 ? " " : "", PN_STR_ARG(edit->args)));
		break;
	case PN_EDIT_DELETE_RCPT:
		explain_line(e, "change", pn_arena_printf(e->arena, "delete recipient <" PN_STR_FMT ">",
		    PN_STR_ARG(edit->text)));
		break;
	case PN_EDIT_INSERT_HEADER:
		explain_line(e, "change", pn_arena_printf(e->arena, "insert header " PN_STR_FMT ": " PN_STR_FMT,
		    PN_STR_ARG(edit->name), PN_STR_ARG(unfolded(edit->text, e->arena))));
		break;
	case PN_EDIT_ADD_HEADER:
		explain_line(e, "change", pn_arena_printf(e->arena, "add header " PN_STR_FMT ": " PN_STR_FMT,
		    PN_STR_ARG(edit->name), PN_STR_ARG(unfolded(edit->text, e->arena))));
		break;
	case PN_EDIT_CHANGE_HEADER:
		explain_line(e, "change", pn_arena_printf(e->arena, "change header " PN_STR_FMT " to " PN_STR_FMT,
		    PN_STR_ARG(edit->name), PN_STR_ARG(unfolded(edit->text, e->arena))));
		break;
	case PN_EDIT_CHANGE_SENDER:
		explain_line(e, "change", pn_arena_printf(e->arena, "change sender to <" PN_STR_FMT ">",
		    PN_STR_ARG(edit->text)));
		break;
	case PN_EDIT_DELETE_HEADER:
		explain_line(e, "change",
		    pn_arena_printf(
			e->arena, "delete header " PN_STR_FMT " (%u)", PN_STR_ARG(edit->name), edit->index));
		break;
	case PN_EDIT_QUARANTINE:
		explain_line(e, "change", PN_STR("into the hold queue"));
		break;
	}
}

static void
print_authentication(const struct explain *e)
{
	const struct pn_authentication *a = &e->auth;

	if (e->mail.auth == NULL) {
		if (!e->mail.outbound && e->gate.config->auth.use != PN_DMARC_OFF && e->client.n == 0)
			explain_line(e, "dmarc", PN_STR("not looked at, nor SPF and DKIM: no --client says who sent it, "
			    "so no proof is asked for"));
		return;
	}
	explain_line(e, "spf", pn_arena_printf(e->arena, "%s: " PN_STR_FMT, pn_spf_result_name(a->spf.result),
	    PN_STR_ARG(a->spf.reason)));
	for (size_t i = 0; i < a->dkim.n; i++)
		explain_line(e, "dkim", pn_arena_printf(e->arena, "%s, " PN_STR_FMT " (" PN_STR_FMT ")%s" PN_STR_FMT,
		    pn_dkim_result_name(a->dkim.v[i].result), PN_STR_ARG(a->dkim.v[i].domain),
		    PN_STR_ARG(a->dkim.v[i].selector), a->dkim.v[i].reason.n > 0 ? ": " : "",
		    PN_STR_ARG(a->dkim.v[i].reason)));
	explain_line(e, "dmarc", pn_arena_printf(e->arena, "%s: %s", pn_dmarc_result_name(a->dmarc.result),
	    a->dmarc.reason == NULL ? "" : a->dmarc.reason));
	if (a->client_unknown)
		explain_line(e, "client", PN_STR("not known: the Received field of the trusted relay cannot be read"));
}

void
explain_print(const struct explain *e)
{
	print_mail(e);
	print_authentication(e);
	for (size_t i = 0; i < e->rcpt_count; i++)
		print_rcpt(e, &e->rcpts[i]);
	if (e->result.unreadable.n > 0)
		explain_line(e, "unreadable", e->result.unreadable);
	for (size_t i = 0; i < e->result.part_count; i++)
		print_part(e, &e->parts[i]);
	explain_print_outbound(e);
	explain_line(e, "answer", answer_of(e));
	for (size_t i = 0; i < e->result.closing.edit_count; i++)
		print_edit(e, &e->result.closing.edits[i]);
	if (e->result.learned > 0)
		explain_line(e, "learns",
		    pn_arena_printf(
			e->arena, "%zu messages that replies will be recognised by", e->result.learned));
}

/* -- for programs --------------------------------------------------------------------- */

static json_t *
rcpt_json(const struct explain *e, const struct explain_rcpt *rcpt)
{
	json_t *object = json_pack("{s:o, s:s, s:b}", "address", json_text(rcpt->raw), "kind",
	    pn_rcpt_kind_name(rcpt->who.kind), "ours", rcpt->who.answer == PN_RCPT_OURS);

	if (rcpt->who.gateway != NULL)
		(void)json_object_set_new(object, "gateway", json_text(rcpt->who.gateway->name));
	if (rcpt->who.model.n > 0)
		(void)json_object_set_new(object, "model", json_text(rcpt->who.model));
	if (rcpt->who.successor.n > 0)
		(void)json_object_set_new(object, "successor", json_text(rcpt->who.successor));
	if (rcpt->reply.code != NULL)
		(void)json_object_set_new(object, "refused", json_text(reply_text(&rcpt->reply, e->arena)));
	return object;
}

static json_t *
routes_json(const struct pn_decision *decision)
{
	json_t *array = json_array();

	for (size_t i = 0; i < decision->route_count; i++) {
		const struct pn_route *route = &decision->routes[i];
		json_t *object = json_pack("{s:o, s:b}", "model", json_text(route->model), "new",
		    !route->thread_unknown && route->thread_id == 0);

		if (route->thread_id != 0)
			(void)json_object_set_new(object, "record", json_number(route->thread_id));
		if (route->alias != NULL)
			(void)json_object_set_new(object, "alias", json_text(route->alias->full));
		(void)json_array_append_new(array, object);
	}
	return array;
}

static json_t *
windows_json(const struct pn_gate_part *part)
{
	json_t *array = json_array();

	for (size_t i = 0; i < part->windows.n; i++) {
		const struct pn_window_key *w = &part->window_keys[i];
		uint64_t count = part->window_fill[i];

		(void)json_array_append_new(array,
		    json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "model", json_text(w->model),
			"record", json_text(w->record), "sender", json_text(w->sender), "count",
			json_number(count), "threshold", json_number(part->threshold), "minutes",
			json_number(part->gateway->loop_minutes), "full", count >= part->threshold));
	}
	return array;
}

static json_t *
doubts_json(unsigned doubts, struct pn_arena *arena)
{
	struct pn_str rest = pn_doubts_text(doubts, arena), word;
	json_t *array = json_array();

	while (rest.n > 0 && pn_str_split(&rest, ',', &word))
		(void)json_array_append_new(array, json_text(word));
	return array;
}

static json_t *
part_json(const struct explain *e, const struct explain_part *part)
{
	const struct pn_gate_part *p = part->part;
	json_t *object = json_pack("{s:o, s:{s:b, s:b}, s:s, s:s, s:o, s:o, s:o, s:o}",
	    "gateway", json_text(p->gateway->name),
	    "complete", "aliases", part->aliases_complete, "threads", part->threads_complete,
	    "verdict", pn_action_name(p->verdict.action), "rule", pn_rule_name(p->verdict.rule),
	    "reason", json_text(p->verdict.reason), "line", json_text(verdict_line(e, part)),
	    "windows", windows_json(p), "delivered_to", json_list(p->delivered_to));

	if (!p->has_decision)
		return object;
	(void)json_object_set_new(object, "outcome", json_string(pn_outcome_name(p->decision.outcome)));
	(void)json_object_set_new(object, "routes", routes_json(&p->decision));
	(void)json_object_set_new(object, "steps", json_list(p->decision.steps));
	(void)json_object_set_new(object, "not_known", doubts_json(p->decision.doubts, e->arena));
	return object;
}

static json_t *
edit_json(const struct pn_edit *edit)
{
	json_t *object = json_pack("{s:s}", "change", edit_name(edit->kind));

	if (edit->name.n > 0)
		(void)json_object_set_new(object, "name", json_text(edit->name));
	if (edit->text.n > 0)
		(void)json_object_set_new(object, "text", json_text(edit->text));
	if (edit->args.n > 0)
		(void)json_object_set_new(object, "args", json_text(edit->args));
	return object;
}

/* null: not looked at. */
static json_t *
authentication_json(const struct explain *e)
{
	if (e->mail.auth == NULL)
		return json_null();
	return json_pack("{s:s, s:s}", "spf", pn_spf_result_name(e->auth.spf.result), "dmarc",
	    pn_dmarc_result_name(e->auth.dmarc.result));
}

json_t *
explain_json(const struct explain *e)
{
	json_t *recipients = json_array(), *gateways = json_array(), *changes = json_array();
	const char *action = e->mail.rcpt_count == 0 ? "none" : pn_action_name(e->result.closing.action);

	for (size_t i = 0; i < e->rcpt_count; i++)
		(void)json_array_append_new(recipients, rcpt_json(e, &e->rcpts[i]));
	for (size_t i = 0; i < e->result.part_count; i++)
		(void)json_array_append_new(gateways, part_json(e, &e->parts[i]));
	for (size_t i = 0; i < e->result.closing.edit_count; i++)
		(void)json_array_append_new(changes, edit_json(&e->result.closing.edits[i]));
	return json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "state",
	    e->cli->scratch[0] != '\0' ? "none" : "live", "drift", e->drift, "sender", json_text(e->sender),
	    "from", json_text(e->result.message.email_from), "message_id",
	    json_text(e->result.message.message_id), "unreadable", json_text(e->result.unreadable),
	    "automatic", e->result.message.automatic, "authentication", authentication_json(e), "recipients", recipients, "gateways", gateways,
	    "action", action, "answer", json_text(answer_of(e)), "changes", changes, "learned",
	    json_number(e->result.learned), "outbound", explain_outbound_json(e));
}
