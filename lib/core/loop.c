#include "postern/loop.h"

#include "postern/address.h"

enum { UNKNOWN_ADDRESSES_COUNTED = 16 };

struct builder {
	struct pn_arena *arena;
	const struct pn_message *message;
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

/* What stands for a record that is not known yet.  Automatic mail is counted
 * over all of them: each answer of a robot may name another message.  A
 * person's is counted by the message that the conversation began with. */
static struct pn_str
thread_of(const struct builder *b, const struct pn_route *route)
{
	const struct pn_message *m = b->message;

	if (!route->thread_unknown)
		return PN_STR_EMPTY;
	if (m->automatic)
		return PN_STR("?");
	return m->answered_ids.n > 0 ? m->answered_ids.v[0] : route->thread;
}

static bool
has_record(const struct builder *b, const struct pn_route *route)
{
	struct pn_str thread = thread_of(b, route);

	for (size_t i = 0; i < b->windows.n; i++) {
		const struct pn_loop_window *w = &b->windows.v[i];

		if (w->update && pn_str_eq(w->model, route->model) && w->record == route->thread_id
		    && pn_str_eq(w->thread, thread))
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
			    .thread = thread_of(b, route), .update = true });
	}
}

/* Does this mail go to Odoo because it was not known what it is? */
static bool
is_handed_over(const struct pn_decision *decision)
{
	return (decision->outcome == PN_NO_ROUTE && (decision->doubts & PN_DOUBT_ALIAS))
	    || (decision->outcome == PN_BOUNCED && (decision->doubts & (PN_DOUBT_ALIAS | PN_DOUBT_THREAD)));
}

static bool
is_at_domain_of(const struct pn_gateway *gateway, struct pn_str address)
{
	for (size_t i = 0; i < gateway->domain_count; i++)
		if (pn_str_eq(pn_address_after_local(address), gateway->domains[i].name))
			return true;
	return false;
}

/* What is handed over counts per address.  A person answers many records by way
 * of the catchall; only automatic mail is counted there. */
static void
add_unknown(struct builder *b, const struct pn_gateway *gateway)
{
	const struct pn_message *m = b->message;

	for (size_t i = 0; i < m->recipients.n && b->windows.n < UNKNOWN_ADDRESSES_COUNTED; i++) {
		struct pn_str address = pn_text_lower(m->recipients.v[i], b->arena);

		if (is_at_domain_of(gateway, address)
		    && (m->automatic || pn_gateway_catchall(gateway, address) == NULL))
			add(b, (struct pn_loop_window){ .model = PN_STR_EMPTY, .thread = address });
	}
}

struct pn_loop_windows
pn_loop_windows(const struct pn_gateway *gateway, const struct pn_models *models,
    const struct pn_message *message, const struct pn_decision *decision, struct pn_arena *arena)
{
	struct builder b = { .arena = arena, .message = message };

	if (message->email_from.n == 0)
		return b.windows;
	if (pn_strs_has(gateway->allowed_senders, message->sender))
		return b.windows;
	if (is_handed_over(decision))
		add_unknown(&b, gateway);
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

uint64_t
pn_loop_limit(const struct pn_loop_window *window, uint64_t threshold)
{
	/* Odoo finds no row to compare when a record has no mail yet */
	return window->update && threshold == 0 ? 1 : threshold;
}

bool
pn_loop_full(const struct pn_loop_window *window, uint64_t count, uint64_t threshold)
{
	return count >= pn_loop_limit(window, threshold);
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
