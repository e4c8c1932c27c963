/* gate_tool.h - a configuration of three gateways over a store of its own. */
#ifndef POSTERN_TESTS_GATE_TOOL_H
#define POSTERN_TESTS_GATE_TOOL_H

#include "store_tool.h"

#include "postern/fields.h"
#include "postern/gate.h"

#define S PN_STR
#define NOW_MS ((int64_t)1700000000 * 1000)

/* ACME learns what exists, DONE knows all its addresses, KEEP stays on this host. */
enum { ACME, DONE, KEEP, GATEWAYS };

struct gate_world {
	struct tool *tool;
	struct pn_gateway gateways[GATEWAYS];
	struct pn_domain domains[GATEWAYS];
	struct pn_config config;
	struct pn_gate gate;
	struct pn_arena *arena;		/* of the last mail */
	struct pn_gate_result result;
	struct pn_envelope_rcpt rcpts[16];
	int64_t now_ms;
	struct pn_str user;
	bool outbound, authenticated, null_sender, dry_run, over_limit, not_smtp;
};

static const struct pn_alias_row gate_aliases[] = {
	{ S("acme"), { .id = 1, .local = S("sales"), .full = S("sales@acme.test"), .model = S("crm.lead") } },
	{ S("acme"), { .id = 2, .local = S("support"), .full = S("support@acme.test"),
	    .model = S("helpdesk.ticket") } },
	{ S("acme"), { .id = 3, .local = S("group"), .full = S("group@acme.test"), .model = S("crm.lead"),
	    .contact = PN_CONTACT_FOLLOWERS } },
	{ S("acme"), { .id = 4, .local = S("members"), .full = S("members@acme.test"), .model = S("crm.lead"),
	    .contact = PN_CONTACT_PARTNERS } },
	{ S("acme"), { .id = 5, .local = S("lead-11"), .full = S("lead-11@acme.test"), .model = S("crm.lead"),
	    .force_thread_id = 11 } },
	{ S("done"), { .id = 1, .local = S("sales"), .full = S("sales@done.test"), .model = S("crm.lead") } },
	{ S("done"), { .id = 2, .local = S("group"), .full = S("group@done.test"), .model = S("crm.lead"),
	    .contact = PN_CONTACT_FOLLOWERS } },
	{ S("keep"), { .id = 1, .local = S("sales"), .full = S("sales@keep.test"), .model = S("crm.lead") } },
};

static inline struct pn_gateway
gate_gateway(struct gate_world *w, struct pn_str name, size_t index)
{
	return (struct pn_gateway){
		.name = name, .index = index, .domains = &w->domains[index], .domain_count = 1,
		    .stale_after = 3600,
		.loop_minutes = 120, .loop_threshold = 20, .loop_person = PN_LOOP_DEFER,
		    .loop_automatic = PN_LOOP_REFUSE,
		.twin_lease = 60,
	};
}

static inline void
gate_config(struct gate_world *w)
{
	static const char *const names[] = { "acme", "done", "keep" };
	static struct pn_str allowed[] = { S("monitor@people.test") };

	for (size_t i = 0; i < GATEWAYS; i++) {
		struct pn_arena *arena = w->tool->arena;
		struct pn_str domain = pn_arena_printf(arena, "%s.test", names[i]);

		w->gateways[i] = gate_gateway(w, pn_str_c(names[i]), i);
		w->domains[i] = (struct pn_domain){
			.name = domain, .ascii = domain, .gateway = &w->gateways[i],
			.bounce = pn_arena_printf(arena, "bounce@%s.test", names[i]),
			.catchall = pn_arena_printf(arena, "catchall@%s.test", names[i]),
			.default_from = pn_arena_printf(arena, "notifications@%s.test", names[i]),
		};
	}
	w->domains[ACME].human = S("boss@people.test");
	w->gateways[ACME].target_value = S("acme.odoo.test");
	w->gateways[ACME].target = PN_TARGET_DOMAIN;
	w->gateways[DONE].target_value = S("inbox@done.odoo.test");
	w->gateways[DONE].target = PN_TARGET_ADDRESS;
	w->gateways[KEEP].target = PN_TARGET_KEEP;
	w->gateways[DONE].complete = w->gateways[KEEP].complete = true;
	w->gateways[ACME].allowed_senders = (struct pn_strs){ allowed, 1 };
	w->config = (struct pn_config){
		.hostname = S("mx.test"),
		.directory = {
			.gateways = w->gateways, .gateway_count = GATEWAYS, .domains = w->domains,
			    .domain_count = GATEWAYS,
			.models = pn_models_odoo19,
		},
		.aliases = gate_aliases, .alias_count = PN_COUNT(gate_aliases), .recipient_limit = 1000,
	};
}

static inline int
gate_setup(void **state)
{
	struct gate_world *w = test_calloc(1, sizeof(*w));

	w->tool = tool_new();
	tool_open(w->tool);
	gate_config(w);
	w->gate = (struct pn_gate){ .config = &w->config, .store = w->tool->store };
	w->arena = pn_arena_new(64 << 20);
	w->now_ms = NOW_MS;
	tool_must(w->tool, pn_gate_apply(&w->gate, NOW_MS / 1000, NULL, &w->tool->err));
	*state = w;
	return 0;
}

static inline int
gate_teardown(void **state)
{
	struct gate_world *w = *state;

	pn_arena_free(w->arena);
	tool_free(w->tool);
	test_free(w);
	return 0;
}

/* RCPT as the milter asks it.  to: addresses separated by blanks. */
static inline size_t
gate_rcpts(struct gate_world *w, const char *to)
{
	struct pn_str rest = pn_arena_dup(w->arena, pn_str_c(to)), word;
	size_t n = 0;

	while (rest.n > 0 && pn_str_split(&rest, ' ', &word)) {
		struct pn_error err = { "" };

		assert_true(n < PN_COUNT(w->rcpts));
		w->rcpts[n] = (struct pn_envelope_rcpt){ .raw = word };
		if (pn_gate_recipient(&w->gate, word, w->now_ms / 1000, w->arena, &w->rcpts[n].who,
		    &err) != PN_OK)
			w->rcpts[n].who = (struct pn_rcpt){ .answer = PN_RCPT_PASS };
		n++;
	}
	return n;
}

static inline struct pn_mime_result
gate_mime(struct gate_world *w, struct pn_str text)
{
	struct pn_mime *mime = pn_mime_new();
	struct pn_mime_result result;

	pn_mime_raw(mime, text);
	pn_mime_end(mime, w->arena, &result);
	pn_mime_free(mime);
	return result;
}

/* One transaction; the answer is in w->result until the next one. */
static inline const struct pn_closing *
gate_deliver(struct gate_world *w, const char *to, const char *mail)
{
	struct pn_str text, body;
	struct pn_gate_mail m = {
		.rcpts = w->rcpts, .smtp = !w->not_smtp, .outbound = w->outbound,
		    .authenticated = w->authenticated, .user = w->user,
		.null_sender = w->null_sender, .dry_run = w->dry_run, .over_limit = w->over_limit,
		    .now_ms = w->now_ms,
	};

	pn_arena_reset(w->arena);
	text = pn_arena_dup(w->arena, pn_str_c(mail));
	m.rcpt_count = gate_rcpts(w, to);
	m.mime = gate_mime(w, text);
	assert_int_equal(pn_fields_split(text, w->arena, &m.fields, &body), PN_OK);
	pn_gate_decide(&w->gate, &m, w->arena, &w->result);
	return &w->result.closing;
}

/* "accept", "550 5.1.1", ... */
static inline const char *
gate_answer(struct gate_world *w)
{
	const struct pn_closing *c = &w->result.closing;

	if (c->action == PN_ACTION_REFUSE || c->action == PN_ACTION_DEFER)
		return pn_arena_cstr(w->arena, pn_arena_printf(w->arena, "%s %s", c->reply.code,
		    c->reply.xcode));
	return pn_action_name(c->action);
}

static inline const char *
gate_rule(struct gate_world *w)
{
	return w->result.part_count == 0 ? "" : pn_rule_name(w->result.parts[0].verdict.rule);
}

/* The recipients that are added and the Delivered-To fields, in order. */
static inline struct pn_str
gate_added(struct gate_world *w, enum pn_edit_kind kind, const char *name)
{
	struct pn_strs_builder out = { .arena = w->arena };

	for (size_t i = 0; i < w->result.closing.edit_count; i++) {
		const struct pn_edit *e = &w->result.closing.edits[i];

		if (e->kind == kind && (name == NULL || pn_str_eq(e->name, pn_str_c(name))))
			pn_strs_add(&out, e->text);
	}
	return pn_strs_join(out.list, S(" "), w->arena);
}

#endif
