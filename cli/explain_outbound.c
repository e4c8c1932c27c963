/* The outbound part of `postern explain`: every relay that may carry the mail. */
#include "explain.h"

static const char *
state_name(enum pn_relay_state state)
{
	switch (state) {
	case PN_RELAY_OPEN:
		return "open";
	case PN_RELAY_SPENT:
		return "spent";
	case PN_RELAY_DOWN:
		return "down";
	}
	return "?";
}

static void
print_candidates(const struct explain *e, const struct pn_relay_choice *choice)
{
	for (size_t i = 0; i < choice->n; i++) {
		const struct pn_relay_candidate *c = &choice->v[i];
		struct pn_str because = c->status.reason.n == 0 ? PN_STR_EMPTY
		    : pn_arena_printf(e->arena, ": " PN_STR_FMT, PN_STR_ARG(c->status.reason));

		explain_line(e, i == 0 ? "may carry" : "", pn_arena_printf(e->arena,
		    "%zu. " PN_STR_FMT " (%s), %s" PN_STR_FMT "%s", i + 1, PN_STR_ARG(c->relay->name),
		    pn_relay_step_name(c->step), state_name(c->status.state), PN_STR_ARG(because),
		    i == choice->chosen ? "  <- chosen" : ""));
	}
	if (choice->warning)
		explain_line(e, "note", PN_STR("no filter matches this From: Odoo would take any server, too"));
}

void
explain_print_outbound(const struct explain *e)
{
	const struct pn_outbound *out = &e->result.outbound;

	if (!e->result.departed)
		return;
	explain_line(e, "notifies as", out->notification.n > 0 ? out->notification : PN_STR("none"));
	print_candidates(e, &out->choice);
	explain_line(e, "outbound", pn_arena_printf(e->arena, "%s%s" PN_STR_FMT "%s" PN_STR_FMT,
	    pn_outbound_answer_name(out->answer), out->relay == NULL ? "" : ", relay ",
	    PN_STR_ARG(out->relay == NULL ? PN_STR_EMPTY : out->relay->name), out->reason.n > 0 ? ": " : "",
	    PN_STR_ARG(out->reason)));
	if (out->sender.rewritten)
		explain_line(e, "new From", out->sender.header_from);
	if (!pn_str_eq(out->sender.envelope, e->sender))
		explain_line(e, "new sender", pn_arena_printf(e->arena, "<" PN_STR_FMT ">", PN_STR_ARG(out->sender.envelope)));
	if (out->route.n > 0)
		explain_line(e, "route", out->route);
	else if (out->live)
		explain_line(e, "route", PN_STR("left to the map route, which is asked at each retry"));
}

json_t *
explain_outbound_json(const struct explain *e)
{
	const struct pn_outbound *out = &e->result.outbound;
	json_t *candidates;

	if (!e->result.departed)
		return json_null();
	candidates = json_array();
	for (size_t i = 0; i < out->choice.n; i++) {
		const struct pn_relay_candidate *c = &out->choice.v[i];

		(void)json_array_append_new(candidates, json_pack("{s:o, s:s, s:s, s:o, s:o, s:b}",
		    "relay", json_text(c->relay->name), "step", pn_relay_step_name(c->step),
		    "state", state_name(c->status.state), "reason", json_text(c->status.reason),
		    "until", json_number((uint64_t)c->status.until_ms / 1000), "chosen", i == out->choice.chosen));
	}
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "answer", pn_outbound_answer_name(out->answer),
	    "relay", out->relay == NULL ? json_null() : json_text(out->relay->name), "candidates", candidates,
	    "notification", json_text(out->notification), "from", json_text(out->sender.header_from),
	    "sender", json_text(out->sender.envelope), "rewritten", out->sender.rewritten,
	    "route", json_text(out->route), "reason", json_text(out->reason));
}
