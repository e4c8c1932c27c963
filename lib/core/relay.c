#include "postern/relay.h"

#include "postern/address.h"
#include "postern/unicode.h"

/* What the entries of a filter are compared with.  Odoo compares "no value" with
 * "no value" as well; p is NULL then. */
struct wanted {
	struct pn_str address;
	struct pn_str domain;
};

struct search {
	const struct pn_relay_question *q;
	struct pn_arena *arena;
	struct wanted from;
	struct wanted notification;
	bool keep_from;			/* steps that replace the From are not open */
	bool may_force;			/* without a filter that matches, the From stays as it is (rule 15) */
	bool mass_only;
	bool mass_apart;		/* relays for mass mailing only by 1a and 1b */
};

const char *
pn_relay_step_name(enum pn_relay_step step)
{
	static const char *const names[] = {
		[PN_RELAY_FROM_ADDRESS] = "from_address",
		[PN_RELAY_FROM_DOMAIN] = "from_domain",
		[PN_RELAY_NOTIFICATION_ADDRESS] = "notification_address",
		[PN_RELAY_NOTIFICATION_DOMAIN] = "notification_domain",
		[PN_RELAY_NO_FILTER] = "no_filter",
		[PN_RELAY_ANY] = "any",
		[PN_RELAY_FORCED] = "forced",
		[PN_RELAY_USER] = "user",
	};

	return names[step];
}

const struct pn_relay *
pn_relay_named(struct pn_relays relays, struct pn_str name)
{
	for (size_t i = 0; i < relays.n; i++)
		if (pn_str_eq(relays.v[i].name, name))
			return &relays.v[i];
	return NULL;
}

/* -- one relay, one step -------------------------------------------------------- */

static enum pn_status
or_none(enum pn_status st, struct pn_str *out)
{
	if (st == PN_NOT_FOUND)
		*out = pn_str_n(NULL, 0);
	return st == PN_NOT_FOUND ? PN_OK : st;
}

static struct pn_str
address_of(struct pn_str entry, struct pn_arena *arena)
{
	struct pn_str out;

	return pn_address_normalize(entry, true, arena, &out) == PN_OK ? out : pn_str_n(NULL, 0);
}

static struct pn_str
domain_of(struct pn_str entry, struct pn_arena *arena)
{
	if (entry.n == 0 || pn_str_find(entry, '@') != PN_STR_NONE)
		return pn_str_n(NULL, 0);
	return pn_text_lower(entry, arena);
}

static bool
same(struct pn_str a, struct pn_str b)
{
	return (a.p == NULL) == (b.p == NULL) && pn_str_eq(a, b);
}

struct pn_from_filter
pn_relay_read_filter(struct pn_str from_filter, struct pn_arena *arena)
{
	struct pn_filter_entry *v = NULL;
	struct pn_str entry;
	size_t n = 0, cap = 0;

	if (from_filter.n == 0)
		return (struct pn_from_filter){ .n = 0 };
	while (pn_str_split(&from_filter, ',', &entry)) {
		entry = pn_text_strip(entry);
		v = pn_arena_grow(arena, v, n, &cap, n + 1, sizeof(*v));
		v[n++] = (struct pn_filter_entry){ address_of(entry, arena), domain_of(entry, arena) };
	}
	return (struct pn_from_filter){ v, n };
}

static bool
covers(const struct pn_relay *relay, struct pn_str wanted, bool by_domain, struct pn_arena *arena)
{
	struct pn_from_filter filter = relay->filter.v != NULL ? relay->filter
	    : pn_relay_read_filter(relay->from_filter, arena);

	for (size_t i = 0; i < filter.n; i++)
		if (same(by_domain ? filter.v[i].domain : filter.v[i].address, wanted))
			return true;
	return false;
}

static bool
is_usable(const struct search *s, const struct pn_relay *relay)
{
	const struct pn_relay_question *q = s->q;

	return relay->active && (relay->owner.n == 0 || pn_str_eq(relay->owner, q->user))
	    && (relay->gateway.n == 0 || pn_str_eq(relay->gateway, q->gateway))
	    && (!s->mass_only || relay->mass_mailing);
}

static bool
takes(const struct search *s, const struct pn_relay *relay, enum pn_relay_step step)
{
	bool named = step == PN_RELAY_FROM_ADDRESS || step == PN_RELAY_FROM_DOMAIN || step == PN_RELAY_USER;

	if (!is_usable(s, relay))
		return false;
	if (!named && (relay->owner.n > 0 || (s->mass_apart && relay->mass_mailing)))
		return false;
	switch (step) {
	case PN_RELAY_FROM_ADDRESS:
		return s->from.address.n > 0 && covers(relay, s->from.address, false, s->arena);
	case PN_RELAY_FROM_DOMAIN:
		return s->from.address.n > 0 && covers(relay, s->from.domain, true, s->arena);
	case PN_RELAY_NOTIFICATION_ADDRESS:
		return s->notification.address.n > 0
		    && covers(relay, s->notification.address, false, s->arena);
	case PN_RELAY_NOTIFICATION_DOMAIN:
		return s->notification.address.n > 0 && covers(relay, s->notification.domain, true, s->arena);
	case PN_RELAY_NO_FILTER:
		return relay->from_filter.n == 0;
	case PN_RELAY_ANY:
	case PN_RELAY_FORCED:
		return true;
	case PN_RELAY_USER:
		return s->q->user.n > 0 && pn_strs_has(relay->sasl_users, s->q->user);
	}
	return false;
}

static struct pn_str
sender_of(const struct search *s, enum pn_relay_step step)
{
	bool keep = s->keep_from || step == PN_RELAY_FROM_ADDRESS || step == PN_RELAY_FROM_DOMAIN
	    || step == PN_RELAY_USER;

	return keep || s->q->notification.n == 0 ? s->q->email_from : s->q->notification;
}

/* N is compared as it is configured; only its domain is read from it. */
static enum pn_status
begin(struct search *s, const struct pn_relay_question *question, struct pn_arena *arena)
{
	enum pn_status st;

	*s = (struct search){ .q = question, .arena = arena, .notification.address = question->notification };
	st = or_none(pn_address_normalize(question->email_from, true, arena, &s->from.address),
	    &s->from.address);
	if (st == PN_OK)
		st = or_none(pn_address_domain(s->from.address, arena, &s->from.domain), &s->from.domain);
	if (st == PN_OK)
		st = or_none(pn_address_domain(question->notification, arena, &s->notification.domain),
		    &s->notification.domain);
	return st;
}

/* -- the choice --------------------------------------------------------------------- */

static enum pn_status
is_open(void *ctx, const struct pn_relay *relay, uint64_t recipients, struct pn_arena *arena,
    struct pn_relay_status *out, struct pn_error *err)
{
	(void)ctx;
	(void)relay;
	(void)recipients;
	(void)arena;
	(void)err;
	*out = (struct pn_relay_status){ .state = PN_RELAY_OPEN };
	return PN_OK;
}

const struct pn_relay_states pn_relay_all_open = { NULL, is_open };

static bool
is_listed(const struct pn_relay_choice *choice, const struct pn_relay *relay)
{
	for (size_t i = 0; i < choice->n; i++)
		if (choice->v[i].relay == relay)
			return true;
	return false;
}

static void
collect(const struct search *s, enum pn_relay_step step, struct pn_relay_choice *choice)
{
	for (size_t i = 0; i < s->q->relays.n; i++) {
		const struct pn_relay *relay = &s->q->relays.v[i];

		if (!is_listed(choice, relay) && takes(s, relay, step))
			choice->v[choice->n++] = (struct pn_relay_candidate){
				.relay = relay, .step = step, .sender = sender_of(s, step),
			};
	}
}

static bool
has_mass_relay(const struct search *s)
{
	for (size_t i = 0; i < s->q->relays.n; i++) {
		const struct pn_relay *relay = &s->q->relays.v[i];

		if (relay->mass_mailing && relay->owner.n == 0 && is_usable(s, relay))
			return true;
	}
	return false;
}

static void
collect_groups(const struct search *s, bool by_login, struct pn_relay_choice *choice)
{
	if (by_login)
		collect(s, PN_RELAY_USER, choice);
	if (choice->n > 0)
		return;
	collect(s, PN_RELAY_FROM_ADDRESS, choice);
	collect(s, PN_RELAY_FROM_DOMAIN, choice);
	if (choice->n == 0 && !s->keep_from) {
		collect(s, PN_RELAY_NOTIFICATION_ADDRESS, choice);
		collect(s, PN_RELAY_NOTIFICATION_DOMAIN, choice);
	}
	collect(s, PN_RELAY_NO_FILTER, choice);
	if (choice->n == 0 && s->mass_only) {
		if (s->may_force)
			collect(s, PN_RELAY_FORCED, choice);
	} else if (choice->n == 0 && !s->keep_from) {
		collect(s, PN_RELAY_ANY, choice);
		choice->warning = choice->n > 0;
	}
}

static bool
is_too_many(const struct pn_relay *relay, uint64_t recipients, uint64_t *most)
{
	bool found = false;

	for (size_t i = 0; i < relay->limit_count; i++)
		if (relay->limits[i].most < recipients
		    && (!found || relay->limits[i].most < *most)) {
			*most = relay->limits[i].most;
			found = true;
		}
	return found;
}

static bool
opens_before(const struct pn_relay_candidate *a, const struct pn_relay_candidate *b)
{
	int64_t x = a->status.until_ms, y = b->status.until_ms;

	if (a->too_many != b->too_many)
		return b->too_many;
	return x > 0 && (y <= 0 || x < y);
}

void
pn_relay_choice_settle(struct pn_relay_choice *choice)
{
	choice->chosen = choice->n;
	choice->opens_first = 0;
	for (size_t i = choice->n; i-- > 0;)
		if (choice->v[i].status.state == PN_RELAY_OPEN)
			choice->chosen = i;
	for (size_t i = 1; i < choice->n; i++)
		if (opens_before(&choice->v[i], &choice->v[choice->opens_first]))
			choice->opens_first = i;
}

static enum pn_status
ask_states(const struct pn_relay_request *request, struct pn_arena *arena, struct pn_relay_choice *choice,
    struct pn_error *err)
{
	size_t limited = 0;

	for (size_t i = 0; i < choice->n; i++) {
		struct pn_relay_candidate *c = &choice->v[i];
		uint64_t most = 0;
		enum pn_status st;

		if (is_too_many(c->relay, request->recipients, &most)) {
			limited++;
			c->too_many = true;
			c->status = (struct pn_relay_status){ PN_RELAY_SPENT, 0, pn_arena_printf(arena,
			    "%llu recipients in one mail, at most %llu are taken",
			    (unsigned long long)request->recipients, (unsigned long long)most) };
			continue;
		}
		st = request->states.ask(request->states.ctx, c->relay, request->recipients, arena,
		    &c->status, err);
		if (st != PN_OK)
			return st;
	}
	choice->limited_per_message = choice->n > 0 && limited == choice->n;
	pn_relay_choice_settle(choice);
	return PN_OK;
}

enum pn_status
pn_relay_choose(const struct pn_relay_request *request, struct pn_arena *arena, struct pn_relay_choice *out,
    struct pn_error *err)
{
	struct pn_relay_choice choice = { .v = PN_ARENA_ARRAY(arena, struct pn_relay_candidate,
	    request->question.relays.n) };
	struct search s;
	enum pn_status st = begin(&s, &request->question, arena);

	/* a From that Odoo itself cannot read a second time matches no domain here */
	if (st == PN_OK && s.from.domain.p == NULL)
		s.from.domain = PN_STR_EMPTY;
	if (st == PN_OK) {
		s.mass_only = request->mass_mailing && has_mass_relay(&s);
		s.mass_apart = !s.mass_only;
		s.keep_from = !request->rewrite || s.mass_only;
		s.may_force = request->rewrite;
		collect_groups(&s, request->by_login, &choice);
		st = ask_states(request, arena, &choice, err);
	}
	if (st == PN_OK && pn_arena_exhausted(arena))
		st = pn_fail(err, PN_LIMIT, "no memory left to choose a relay");
	if (st == PN_OK)
		*out = choice;
	return st;
}

enum pn_status
pn_relay_default_sender(const struct pn_relay_question *q, struct pn_str default_filter, struct pn_arena *arena,
    struct pn_str *sender, bool *warning)
{
	bool from = false, notification = false;
	enum pn_status st = pn_from_filter_match(q->email_from, default_filter, arena, &from);

	if (st == PN_OK && q->notification.n > 0)
		st = pn_from_filter_match(q->notification, default_filter, arena, &notification);
	*sender = from || q->notification.n == 0 ? q->email_from : q->notification;
	*warning = !from && !notification;
	return st;
}
