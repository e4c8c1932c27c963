#include "postern/loop.h"

#include "postern/address.h"

enum { UNKNOWN_ADDRESSES_COUNTED = 16 };

struct builder {
	struct pn_arena *arena;
	struct pn_loop_windows windows;
	size_t cap;
};

static void
add(struct builder *b, struct pn_loop_window window)
{
	b->windows.v = pn_arena_grow(b->arena, b->windows.v, b->windows.n, &b->cap, b->windows.n + 1,
	    sizeof(*b->windows.v));
	b->windows.v[b->windows.n++] = window;
}

static bool
has_record(const struct builder *b, const struct pn_route *route)
{
	for (size_t i = 0; i < b->windows.n; i++) {
		const struct pn_loop_window *w = &b->windows.v[i];

		if (w->update && pn_str_eq(w->model, route->model) && w->record == route->thread_id
		    && pn_str_eq(w->thread, route->thread))
			return true;
	}
	return false;
}

static bool
on_record(const struct pn_route *route)
{
	return route->thread_id != 0 || route->thread_unknown;
}

/* One model: new records first, then each record written to. */
static void
add_model(struct builder *b, const struct pn_models *models, const struct pn_decision *decision, struct pn_str name)
{
	const struct pn_model *model = pn_model_find(models, name);
	bool creates = false;

	for (size_t i = 0; i < decision->route_count; i++) {
		const struct pn_route *route = &decision->routes[i];

		creates = creates || (pn_str_eq(route->model, name) && !on_record(route) && route->counts_as_new
		    && route->alias != NULL);
	}
	/* a listed model without a primary email field is never limited */
	if (creates && (model == NULL || model->primary_email.n > 0))
		add(b, (struct pn_loop_window){ .model = name, .listed = model, .thread = PN_STR_EMPTY });
	for (size_t i = 0; i < decision->route_count; i++) {
		const struct pn_route *route = &decision->routes[i];

		if (pn_str_eq(route->model, name) && on_record(route) && !has_record(b, route))
			add(b, (struct pn_loop_window){ .model = name, .listed = model, .record = route->thread_id,
			    .thread = route->thread_unknown ? route->thread : PN_STR_EMPTY, .update = true });
	}
}

/* What is handed over because nobody told us its alias counts per address. */
static void
add_unknown(struct builder *b, const struct pn_gateway *gateway, const struct pn_message *message)
{
	for (size_t i = 0; i < message->recipients.n && b->windows.n < UNKNOWN_ADDRESSES_COUNTED; i++) {
		struct pn_str address = pn_text_lower(message->recipients.v[i], b->arena);

		for (size_t j = 0; j < gateway->domain_count; j++)
			if (pn_str_eq(pn_address_after_local(address), gateway->domains[j].name)
			    && pn_gateway_catchall(gateway, address) == NULL)
				add(b, (struct pn_loop_window){ .model = PN_STR_EMPTY, .thread = address });
	}
}

struct pn_loop_windows
pn_loop_windows(const struct pn_gateway *gateway, const struct pn_models *models,
    const struct pn_message *message, const struct pn_decision *decision, struct pn_arena *arena)
{
	struct builder b = { .arena = arena };

	if (message->email_from.n == 0)
		return b.windows;
	if (pn_strs_has(gateway->allowed_senders, message->sender))
		return b.windows;
	if (decision->outcome == PN_NO_ROUTE && (decision->doubts & PN_DOUBT_ALIAS))
		add_unknown(&b, gateway, message);
	if (decision->outcome != PN_ROUTED)
		return b.windows;
	for (size_t i = 0; i < decision->route_count; i++) {
		bool seen = false;

		for (size_t j = 0; j < i; j++)
			seen = seen || pn_str_eq(decision->routes[j].model, decision->routes[i].model);
		if (!seen)
			add_model(&b, models, decision, decision->routes[i].model);
	}
	return b.windows;
}

bool
pn_loop_full(const struct pn_loop_window *window, uint64_t count, uint64_t threshold)
{
	/* Odoo finds no row to compare when a record has no mail yet */
	if (window->update && count == 0)
		return false;
	return count >= threshold;
}

void
pn_loop_fire(struct pn_decision *decision, const struct pn_loop_window *window, struct pn_arena *arena)
{
	struct pn_notice *notices = PN_ARENA_ARRAY(arena, struct pn_notice, decision->notice_count + 1);

	for (size_t i = 0; i < decision->notice_count; i++)
		notices[i] = decision->notices[i];
	notices[decision->notice_count++] = (struct pn_notice){ .kind = PN_NOTICE_LOOP };
	decision->notices = notices;
	decision->outcome = PN_LOOP_DETECTED;
	decision->rule = window->update ? PN_RULE_LOOP_UPDATE : PN_RULE_LOOP_NEW;
}
