#include "postern/gate.h"

#include "depart.h"
#include "odoo.h"
#include "sign.h"

/* One mail on its way. */
struct passage {
	const struct pn_gate *gate;
	const struct pn_gate_mail *mail;
	struct pn_arena *arena;
	struct pn_gate_result *out;
	struct pn_transaction transaction;
	struct pn_facts facts;
	struct pn_str trouble;		/* the facts cannot be had: why */
	enum pn_status parsed;
};

enum pn_status
pn_gate_recipient(const struct pn_gate *gate, struct pn_str address, int64_t now, struct pn_arena *arena,
    struct pn_rcpt *out, struct pn_error *err)
{
	struct pn_facts facts;
	enum pn_status st = pn_facts_open(&facts, gate, arena, now, err);

	if (st != PN_OK)
		return st;
	st = pn_recipient_classify(&gate->config->directory, &facts.recipient, address, arena, out, err);
	/* an alias that is missing in rows of another configuration must not pass as a person's address */
	if (st == PN_OK && facts.other_configuration && out->domain != NULL && out->answer == PN_RCPT_PASS)
		st = pn_fail(err, PN_TEMPFAIL, "another program has read another version of the configuration: "
		    "reload postern-milter and postern-policy");
	pn_facts_close(&facts);
	return st;
}

enum pn_status
pn_gate_apply(const struct pn_gate *gate, int64_t now, struct pn_directory_changes *changes,
    struct pn_error *err)
{
	const struct pn_config *config = gate->config;
	struct pn_directory_changes ignored;
	/* first of all: from here on others know that what they miss proves nothing */
	enum pn_status st = pn_directory_set_fingerprint(gate->store, config->fingerprint, err);

	if (st == PN_OK)
		st = pn_directory_apply(gate->store, PN_SOURCE_CONFIG, PN_STR_EMPTY, config->aliases,
		    config->alias_count, changes == NULL ? &ignored : changes, err);
	for (size_t i = 0; st == PN_OK && i < config->directory.domain_count; i++) {
		const struct pn_domain *d = &config->directory.domains[i];

		st = pn_directory_remember_domain(gate->store, d->gateway->name, d->name, d->bounce, d->catchall, now, err);
	}
	return st;
}

/* -- reading the mail ------------------------------------------------------------------ */

static void
parse(struct passage *p, struct pn_fields fields)
{
	struct pn_error err = { "" };

	if (p->mail->over_limit) {
		p->parsed = PN_LIMIT;
		return;
	}
	p->parsed = pn_message_parse(fields, &p->mail->mime, p->mail->null_sender, p->arena, &p->out->message, &err);
	p->out->parsed = p->parsed == PN_OK;
	if (p->parsed == PN_INVALID)
		p->out->unreadable = pn_arena_dup(p->arena, pn_str_c(err.text));
}

/* The mail as this gateway's Odoo will see it: with the Delivered-To we add, or
 * that pipe(8) or local(8) adds for a target on this host. */
static void
parse_as_delivered(struct passage *p, struct pn_gate_part *part)
{
	struct pn_fields fields;

	part->delivered_to = pn_delivered_to(&p->transaction, part->gateway, &p->out->message, p->arena);
	if (part->delivered_to.n == 0)
		return;
	fields.n = part->delivered_to.n + p->mail->fields.n;
	fields.v = PN_ARENA_ARRAY(p->arena, struct pn_field, fields.n);
	for (size_t i = 0; i < part->delivered_to.n; i++)
		fields.v[i] = (struct pn_field){ PN_STR("Delivered-To"), part->delivered_to.v[i] };
	if (p->mail->fields.n > 0)
		memcpy(fields.v + part->delivered_to.n, p->mail->fields.v, p->mail->fields.n * sizeof(*fields.v));
	parse(p, fields);
}

/* -- one gateway --------------------------------------------------------------------------- */

static struct pn_verdict
judge(struct passage *p, struct pn_gate_part *part)
{
	struct odoo_facts facts;
	struct pn_route_question question = {
		.gateway = part->gateway,
		.models = &p->gate->config->directory.models,
		.message = &p->out->message,
		.explain = p->mail->dry_run,
	};
	struct pn_error err = { "" };

	if (p->trouble.n > 0)
		return pn_verdict_trouble(part->gateway, p->trouble);
	if (pn_stamped(p->mail->fields, p->gate->config->hostname, part->gateway))
		return pn_verdict_stamp(part->gateway);
	if (p->parsed == PN_OK)
		parse_as_delivered(p, part);
	if (p->parsed == PN_LIMIT)
		return pn_verdict_hand_over(part->gateway, PN_RULE_LIMIT, PN_STR("more than is read of one message"));
	part->has_decision = true;
	if (p->parsed == PN_INVALID) {
		part->decision = pn_route_unreadable();
		return pn_verdict(part->gateway, NULL, &part->decision, p->arena);
	}
	odoo_facts_init(&facts, p->gate->store, part->gateway, &p->facts);
	question.aliases = p->facts.recipient.aliases(p->facts.recipient.ctx, part->gateway);
	question.aliases_complete = pn_facts_complete(&p->facts, part->gateway, PN_TABLE_ALIASES);
	question.odoo = &facts.odoo;
	switch (pn_route_decide(&question, p->arena, &part->decision, &err)) {
	case PN_OK:
		return pn_verdict(part->gateway, &p->out->message, &part->decision, p->arena);
	case PN_LIMIT:
		part->has_decision = false;
		return pn_verdict_hand_over(part->gateway, PN_RULE_LIMIT, PN_STR("more than is read of one message"));
	case PN_NOT_FOUND:
	case PN_INVALID:
	case PN_TEMPFAIL:
		break;
	}
	part->has_decision = false;
	return pn_verdict_trouble(part->gateway,
	    pn_arena_dup(p->arena, pn_str_c(facts.err.text[0] != '\0' ? facts.err.text : err.text)));
}

/* -- admission ---------------------------------------------------------------------------------- */

/* A mail that was not read, or cannot be, counts for its envelope sender. */
static struct pn_loop_windows
unread_window(struct passage *p, const struct pn_gateway *gateway)
{
	struct pn_loop_windows windows = { PN_ARENA_NEW(p->arena, struct pn_loop_window), 1 };
	struct pn_str sender = pn_arena_lower(p->arena, p->mail->sender);

	windows.v[0] = (struct pn_loop_window){ .model = PN_STR_EMPTY, .thread = PN_STR("unread") };
	if (p->mail->null_sender || pn_strs_has(gateway->allowed_senders, sender))
		windows.n = 0;
	return windows;
}

static struct pn_window_key *
window_keys(struct passage *p, const struct pn_gate_part *part)
{
	struct pn_window_key *keys = PN_ARENA_ARRAY(p->arena, struct pn_window_key, part->windows.n);
	const struct pn_message *m = &p->out->message;
	struct pn_str sender = m->sender.n > 0 ? m->sender : m->email_from;

	if (p->parsed != PN_OK)
		sender = pn_arena_lower(p->arena, p->mail->sender);

	for (size_t i = 0; i < part->windows.n; i++) {
		const struct pn_loop_window *w = &part->windows.v[i];

		keys[i] = (struct pn_window_key){
			.model = w->model,
			.record = w->record != 0 ? pn_arena_printf(p->arena, "%llu", (unsigned long long)w->record) : w->thread,
			.sender = sender,
		};
	}
	return keys;
}

/* An accepted inbound mail is answered by others too: its model is known. */
static bool
inbound_thread(const struct pn_message *m, const struct pn_decision *decision, struct pn_thread *thread)
{
	if (decision->outcome != PN_ROUTED || m->message_id.n == 0)
		return false;
	*thread = (struct pn_thread){
		.message_id = m->message_id,
		.model = decision->routes[0].model,
		.res_id = decision->routes[0].thread_id,
		.origin = PN_THREAD_INBOUND,
	};
	return true;
}

/* The twin rule is for inbound mail: Odoo itself sends one transaction per
 * partner under one Message-ID, and does not come back after a 4xx. */
static bool
has_twins(const struct passage *p, const struct pn_gateway *gateway)
{
	return !p->mail->outbound && !pn_transaction_mixed(&p->transaction, gateway);
}

/* Lease and loop windows: the last word on a mail that may pass. */
static struct pn_verdict
admit(struct passage *p, struct pn_gate_part *part, struct pn_verdict verdict)
{
	const struct pn_gateway *gateway = part->gateway;
	struct pn_thread thread;
	struct pn_admission admission = {
		.gateway = gateway->name,
		.lease_ms = has_twins(p, gateway) ? gateway->twin_lease * 1000 : 0,
		.window_ms = gateway->loop_minutes * 60 * 1000,
		.now_ms = p->mail->now_ms,
	};
	struct pn_error err = { "" };
	enum pn_admitted admitted = PN_ADMITTED;
	size_t which = 0;

	if (p->parsed == PN_OK && part->has_decision)
		part->windows = pn_loop_windows(gateway, &p->gate->config->directory.models, &p->out->message,
		    &part->decision, p->arena);
	else
		part->windows = unread_window(p, gateway);
	admission.message_id = p->out->message.message_id;
	admission.sender = p->out->message.sender;
	part->window_keys = window_keys(p, part);
	/* of several windows the first is the strictest */
	part->threshold = part->windows.n == 0 ? 0 : pn_loop_limit(&part->windows.v[0], gateway->loop_threshold);
	admission.windows = part->window_keys;
	admission.window_count = part->windows.n;
	admission.threshold = part->threshold;
	if (p->parsed == PN_OK && part->has_decision && inbound_thread(&p->out->message, &part->decision, &thread))
		admission.learn = &thread;
	if (p->mail->dry_run) {
		admission.look_only = true;
		admission.fill = part->window_fill = PN_ARENA_ARRAY(p->arena, uint64_t, part->windows.n);
	}
	if (pn_store_admit(p->gate->store, &admission, &admitted, &which, &err) != PN_OK)
		return pn_verdict_trouble(gateway, pn_arena_dup(p->arena, pn_str_c(err.text)));
	switch (admitted) {
	case PN_ADMITTED:
		break;
	case PN_ADMITTED_TWIN:
		return pn_verdict_twin(gateway, &part->decision);
	case PN_ADMITTED_LOOP:
		pn_loop_fire(&part->decision, &part->windows.v[which], p->arena);
		return pn_verdict(gateway, &p->out->message, &part->decision, p->arena);
	}
	return verdict;
}

static void
note_bounce(struct passage *p, const struct pn_gate_part *part)
{
	const struct pn_bounced *b = &part->decision.bounced;
	const struct pn_mime_result *mime = &p->out->message.mime;
	struct pn_bounce_event event = {
		.gateway = part->gateway->name,
		.recipient = b->email,
		.message_id = b->message_ids.n > 0 ? b->message_ids.v[0] : PN_STR_EMPTY,
		.status = mime->has_dsn ? mime->status : PN_STR_EMPTY,
		.reason = mime->has_dsn ? mime->diagnostic : PN_STR_EMPTY,
		.model = b->has_message ? b->message.model : PN_STR_EMPTY,
		.res_id = b->has_message ? b->message.res_id : 0,
		.time = p->mail->now_ms / 1000,
	};
	struct pn_error err = { "" };

	/* the mail goes to Odoo, which counts bounces itself: a lost event is no lost mail */
	if (!p->mail->dry_run && pn_bounce_add(p->gate->store, &event, &err) != PN_OK)
		p->out->learn_error = pn_arena_dup(p->arena, pn_str_c(err.text));
}

/* -- all gateways ----------------------------------------------------------------------------------- */

static void
find_gateways(struct passage *p)
{
	struct pn_gate_result *out = p->out;

	out->parts = PN_ARENA_ARRAY(p->arena, struct pn_gate_part, p->mail->rcpt_count);
	for (size_t i = 0; i < p->mail->rcpt_count; i++) {
		const struct pn_rcpt *who = &p->mail->rcpts[i].who;
		bool seen = who->answer != PN_RCPT_OURS || who->kind == PN_RCPT_ROLE;

		for (size_t j = 0; j < out->part_count && !seen; j++)
			seen = out->parts[j].gateway == who->gateway;
		if (!seen)
			out->parts[out->part_count++].gateway = who->gateway;
	}
}

static struct pn_verdict
prove(const struct passage *p, const struct pn_gate_part *part, struct pn_verdict verdict)
{
	struct pn_proof proof = p->mail->proof;

	for (size_t i = 0; i < p->mail->rcpt_count; i++)
		proof.asked = proof.asked || (p->mail->rcpts[i].who.gateway == part->gateway
		    && p->mail->rcpts[i].who.asks_proof);
	verdict = pn_verdict_prove(verdict, part->has_decision ? &part->decision : NULL, &proof, p->arena);
	/* sendmail(1) can be told nothing: somebody must look at it */
	if (!p->mail->smtp && verdict.rule == PN_RULE_DMARC
	    && (verdict.action == PN_ACTION_REFUSE || verdict.action == PN_ACTION_DEFER))
		verdict.action = PN_ACTION_HOLD;
	return verdict;
}

static void
decide_parts(struct passage *p)
{
	struct pn_gate_result *out = p->out;
	struct pn_error err = { "" };
	bool refused = false;

	if (pn_facts_open(&p->facts, p->gate, p->arena, p->mail->now_ms / 1000, &err) != PN_OK)
		p->trouble = pn_arena_dup(p->arena, pn_str_c(err.text));
	for (size_t i = 0; i < out->part_count; i++) {
		struct pn_gate_part *part = &out->parts[i];

		struct pn_verdict alone = judge(p, part);

		part->decided = prove(p, part, alone);
		part->verdict = prove(p, part, pn_verdict_soften(&p->transaction, alone));
		refused = refused || part->verdict.action == PN_ACTION_REFUSE || part->verdict.action == PN_ACTION_DEFER;
	}
	/* admission may wait for other writers: no reader's slot is held meanwhile */
	pn_facts_close(&p->facts);
	/* a mail that is refused as a whole takes no lease and is not counted */
	for (size_t i = 0; i < out->part_count && !refused; i++) {
		struct pn_gate_part *part = &out->parts[i];

		if (!pn_verdict_admits(&part->verdict))
			continue;
		part->decided = admit(p, part, part->decided);
		part->verdict = pn_verdict_soften(&p->transaction, part->decided);
		/* a twin comes again: it is noted then */
		if (part->has_decision && part->decision.outcome == PN_BOUNCE_HANDLED
		    && pn_verdict_admits(&part->verdict))
			note_bounce(p, part);
	}
}

/* The Delivered-To fields stand above everything else. */
static void
add_delivered_to(struct passage *p)
{
	struct pn_gate_result *out = p->out;
	struct pn_edit *edits;
	size_t n = 0;

	if (out->part_count != 1 || out->parts[0].delivered_to.n == 0 || out->closing.edit_count == 0
	    || out->parts[0].gateway->target == PN_TARGET_KEEP)
		return;
	edits = PN_ARENA_ARRAY(p->arena, struct pn_edit, out->closing.edit_count + out->parts[0].delivered_to.n);
	memcpy(edits, out->closing.edits, out->closing.edit_count * sizeof(*edits));
	n = out->closing.edit_count;
	for (size_t i = 0; i < out->parts[0].delivered_to.n; i++)
		edits[n++] = (struct pn_edit){ .kind = PN_EDIT_INSERT_HEADER, .name = PN_STR("Delivered-To"),
		    .text = out->parts[0].delivered_to.v[i] };
	out->closing.edits = edits;
	out->closing.edit_count = n;
}

static void
learn(struct passage *p)
{
	const struct pn_gateway *bound = pn_outbound_gateway_of_login(p->gate->config, p->mail->user), *gateway;
	struct pn_thread *threads;
	struct pn_error err = { "" };
	size_t n;

	if (p->parsed != PN_OK || pn_gate_outbound_threads(&p->gate->config->directory, p->mail->fields,
	    &p->out->message, p->arena, &gateway, &threads, &n) != PN_OK)
		return;
	/* a login of one gateway teaches no other, whatever From it writes */
	if (bound != NULL && bound != gateway)
		return;
	p->out->learned = n;
	/* what is not learned is "not known" later, and handed over: the mail passes */
	if (!p->mail->dry_run && pn_thread_learn(p->gate->store, gateway->name, threads, n,
	    p->mail->now_ms / 1000, &err) != PN_OK)
		p->out->learn_error = pn_arena_dup(p->arena, pn_str_c(err.text));
}

/* What others wrote under our name is removed, also where nothing was verified; ours
 * is written first. */
static void
tell_results(struct passage *p)
{
	const struct pn_authentication *auth = p->mail->auth;
	struct pn_closing *c = &p->out->closing;
	struct pn_str name = PN_STR("Authentication-Results");
	struct pn_edit *edits;
	size_t *forged = auth == NULL ? NULL : auth->forged, n = auth == NULL ? 0 : auth->forged_count;

	if (auth == NULL && pn_auth_results_forged(p->mail->fields, p->gate->config->auth.authserv_id, p->arena,
	    &forged, &n) != PN_OK)
		n = 0;
	if (n == 0 && auth == NULL)
		return;
	edits = PN_ARENA_ARRAY(p->arena, struct pn_edit, c->edit_count + n + 1);
	if (c->edit_count > 0)
		memcpy(edits, c->edits, c->edit_count * sizeof(*edits));
	for (size_t i = 0; i < n; i++)
		edits[c->edit_count++] = (struct pn_edit){ .kind = PN_EDIT_DELETE_HEADER, .name = name,
		    .index = (uint32_t)forged[i] };
	if (auth != NULL && auth->header.n > 0)
		edits[c->edit_count++] = (struct pn_edit){ .kind = PN_EDIT_INSERT_HEADER, .name = name, .text = auth->header };
	c->edits = edits;
}

/* A client that has logged in does not get round the choice of a relay by what it
 * writes into its header. */
static void
send_away(struct passage *p)
{
	bool ours = pn_gate_is_outbound(p->gate->config, p->mail);

	if (ours)
		learn(p);
	if (ours || (p->mail->outbound && p->mail->authenticated))
		depart(p->gate, p->mail, p->arena, p->out);
	if (ours)
		sign(p->gate, p->mail, p->arena, p->out);
}

static void
close_transaction(struct passage *p)
{
	struct pn_gate_result *out = p->out;
	struct pn_verdict *verdicts = PN_ARENA_ARRAY(p->arena, struct pn_verdict, out->part_count);

	for (size_t i = 0; i < out->part_count; i++)
		verdicts[i] = out->parts[i].verdict;
	out->closing = pn_transaction_close(&p->transaction, verdicts, out->part_count, p->arena);
	if (out->closing.action == PN_ACTION_ACCEPT || out->closing.action == PN_ACTION_HOLD) {
		add_delivered_to(p);
		tell_results(p);
		send_away(p);
	}
}

void
pn_gate_decide(const struct pn_gate *gate, const struct pn_gate_mail *mail, struct pn_arena *arena,
    struct pn_gate_result *out)
{
	struct passage p = {
		.gate = gate,
		.mail = mail,
		.arena = arena,
		.out = out,
		.transaction = {
			.rcpts = mail->rcpts,
			.rcpt_count = mail->rcpt_count,
			.mixed = gate->config->mixed,
			.smtp = mail->smtp,
			.hostname = gate->config->hostname,
			.fields = mail->fields,
		},
	};

	*out = (struct pn_gate_result){ .part_count = 0 };
	if (mail->smtp && (mail->own_header_flood || (mail->auth != NULL && mail->auth->forged_count > PN_OWN_HEADERS_MAX))) {
		out->closing = pn_closing_flood();
		return;
	}
	if (mail->smtp && mail->auth != NULL && mail->auth->header.n == 0) {
		/* what others wrote under our name could not all be found */
		out->closing = (struct pn_closing){ .action = PN_ACTION_DEFER,
			.reply = { "451", "4.3.0", PN_STR("too much header to be checked") } };
		return;
	}
	find_gateways(&p);
	if (out->part_count > 0 || mail->outbound)
		parse(&p, mail->fields);
	if (out->part_count > 0)
		decide_parts(&p);
	close_transaction(&p);
}
