/* One SMTP transaction, several gateways, one reply. */
#include "postern/verdict.h"

#include "postern/address.h"

enum { ROUTE_HEADER_MAX = 900 };

static const struct pn_str relay_header = { "X-Postern-Relay", 15 };
static const struct pn_str route_header = { "X-Postern-Route", 15 };
static const struct pn_str stamp_header = { "X-Postern-Stamp", 15 };

bool
pn_is_own_header(struct pn_str name)
{
	return pn_str_eq_nocase(name, relay_header) || pn_str_eq_nocase(name, route_header)
	    || pn_str_eq_nocase(name, stamp_header);
}

struct pn_closing
pn_closing_flood(void)
{
	return (struct pn_closing){ .action = PN_ACTION_REFUSE,
		.reply = { "550", "5.6.0", PN_STR("too many header fields under our names") } };
}

/* A role address (postmaster) goes its own way, whatever its gateway decides. */
static bool
belongs_to(const struct pn_envelope_rcpt *rcpt, const struct pn_gateway *gateway)
{
	return rcpt->who.answer == PN_RCPT_OURS && rcpt->who.kind != PN_RCPT_ROLE
	    && rcpt->who.gateway == gateway;
}

bool
pn_transaction_mixed(const struct pn_transaction *t, const struct pn_gateway *gateway)
{
	for (size_t i = 0; i < t->rcpt_count; i++)
		if (!belongs_to(&t->rcpts[i], gateway))
			return true;
	return false;
}

struct pn_verdict
pn_verdict_soften(const struct pn_transaction *t, struct pn_verdict v)
{
	bool mixed = pn_transaction_mixed(t, v.gateway);

	if (v.action == PN_ACTION_HOLD && mixed)
		v.action = PN_ACTION_HAND_OVER;
	if (v.action != PN_ACTION_REFUSE && v.action != PN_ACTION_DEFER)
		return v;
	if (t->smtp && (!mixed || v.rule == PN_RULE_TROUBLE))
		return v;
	if (v.rule == PN_RULE_STAMP
	    || (v.automatic && (v.rule == PN_RULE_LOOP_NEW || v.rule == PN_RULE_LOOP_UPDATE)))
		v.action = PN_ACTION_DISCARD;
	else
		v.action = PN_ACTION_HAND_OVER;
	return v;
}

/* -- where recipients go --------------------------------------------------------------- */

static struct pn_str
bounce_address(const struct pn_gateway *gateway, struct pn_arena *arena)
{
	struct pn_str local = pn_address_local(gateway->domains[0].bounce), host = gateway->target_value;

	if (gateway->bounce_target.n > 0)
		return gateway->bounce_target;
	if (gateway->target == PN_TARGET_ADDRESS)
		host = pn_str_from(host, pn_str_find_last(host, '@') + 1);
	return pn_arena_printf(arena, PN_STR_FMT "@" PN_STR_FMT, PN_STR_ARG(local), PN_STR_ARG(host));
}

static struct pn_str
address_of(const struct pn_envelope_rcpt *rcpt)
{
	return rcpt->address.n > 0 ? rcpt->address : pn_recipient_bare(rcpt->raw);
}

struct pn_str
pn_target_for(const struct pn_envelope_rcpt *rcpt, bool to_bounce, struct pn_arena *arena)
{
	const struct pn_gateway *gateway = rcpt->who.gateway;
	struct pn_str address = address_of(rcpt), local;

	if (rcpt->who.kind == PN_RCPT_ROLE && rcpt->who.human.n > 0)
		return rcpt->who.human;
	if (gateway->target == PN_TARGET_KEEP)
		return rcpt->who.kind == PN_RCPT_RETIRED ? rcpt->who.successor : address;
	if (to_bounce)
		return bounce_address(gateway, arena);
	if (gateway->target == PN_TARGET_ADDRESS)
		return gateway->target_value;
	if (rcpt->who.kind == PN_RCPT_RETIRED)
		address = rcpt->who.successor;
	local = pn_str_head(address, pn_str_find_last(address, '@'));
	return pn_arena_printf(arena, PN_STR_FMT "@" PN_STR_FMT, PN_STR_ARG(local), PN_STR_ARG(gateway->target_value));
}

/* -- NOTIFY and ORCPT (RFC 3461) ---------------------------------------------------------- */

enum { NOTIFY_NONE = 0, NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

static unsigned
notify_bits(struct pn_str text)
{
	static const struct { struct pn_str word; unsigned bit; } words[] = {
		{ { "NEVER", 5 }, NOTIFY_NEVER }, { { "SUCCESS", 7 }, NOTIFY_SUCCESS },
		{ { "FAILURE", 7 }, NOTIFY_FAILURE }, { { "DELAY", 5 }, NOTIFY_DELAY },
	};
	unsigned bits = NOTIFY_NONE;
	struct pn_str word;

	while (text.n > 0 && pn_str_split(&text, ',', &word))
		for (size_t i = 0; i < PN_COUNT(words); i++)
			if (pn_str_eq_nocase(word, words[i].word))
				bits |= words[i].bit;
	return bits;
}

/* Of merged recipients each gets what it asked for.  Nothing asked means
 * failure and delay (RFC 3461 section 4.1). */
static unsigned
notify_union(unsigned a, unsigned b)
{
	if (a == b)
		return a;
	if (a == NOTIFY_NONE)
		a = NOTIFY_FAILURE | NOTIFY_DELAY;
	if (b == NOTIFY_NONE)
		b = NOTIFY_FAILURE | NOTIFY_DELAY;
	a = (a | b) & ~(unsigned)NOTIFY_NEVER;
	return a == 0 ? NOTIFY_NEVER : a;
}

static struct pn_str
notify_text(unsigned bits, struct pn_arena *arena)
{
	struct pn_strs_builder words = { .arena = arena };

	if (bits & NOTIFY_NEVER)
		return PN_STR("NOTIFY=NEVER");
	if (bits & NOTIFY_SUCCESS)
		pn_strs_add(&words, PN_STR("SUCCESS"));
	if (bits & NOTIFY_FAILURE)
		pn_strs_add(&words, PN_STR("FAILURE"));
	if (bits & NOTIFY_DELAY)
		pn_strs_add(&words, PN_STR("DELAY"));
	if (words.list.n == 0)
		return PN_STR_EMPTY;
	return pn_arena_printf(arena, "NOTIFY=" PN_STR_FMT,
	    PN_STR_ARG(pn_strs_join(words.list, PN_STR(","), arena)));
}

/* What the client called the recipient; xtext (RFC 3461 section 4).  An address
 * that is not ASCII has no form that every target understands: none then. */
static struct pn_str
orcpt_of(const struct pn_envelope_rcpt *rcpt, struct pn_arena *arena)
{
	struct pn_str address = pn_recipient_bare(rcpt->raw), prefix = PN_STR("rfc822;");
	size_t n = prefix.n;
	char *p;

	if (rcpt->orcpt.n > 0)
		return rcpt->orcpt;
	p = pn_arena_alloc(arena, prefix.n + 3 * address.n + 1);
	memcpy(p, prefix.p, prefix.n);
	for (size_t i = 0; i < address.n; i++) {
		unsigned char c = (unsigned char)address.p[i];

		if (c >= 0x7f)
			return PN_STR_EMPTY;
		if (c > ' ' && c != '+' && c != '=') {
			p[n++] = (char)c;
		} else {
			p[n++] = '+';
			p[n++] = "0123456789ABCDEF"[c >> 4];
			p[n++] = "0123456789ABCDEF"[c & 15];
		}
	}
	return pn_str_n(p, n);
}

/* -- the list of changes ---------------------------------------------------------------------- */

struct destination {
	struct pn_str address;
	unsigned notify;
	struct pn_str orcpt;
};

struct closer {
	const struct pn_transaction *t;
	struct pn_arena *arena;
	struct destination *to;
	size_t to_count, to_cap;
	struct pn_closing out;
	size_t edit_cap;
	size_t staying;		/* recipients that stay or were added */
};

static void
edit(struct closer *c, struct pn_edit e)
{
	c->out.edits = pn_arena_grow(c->arena, c->out.edits, c->out.edit_count, &c->edit_cap,
	    c->out.edit_count + 1, sizeof(*c->out.edits));
	c->out.edits[c->out.edit_count++] = e;
}

static const struct pn_verdict *
verdict_of(const struct pn_envelope_rcpt *rcpt, const struct pn_verdict *verdicts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (belongs_to(rcpt, verdicts[i].gateway))
			return &verdicts[i];
	return NULL;
}

/* Does this recipient leave the envelope?  *target: what replaces it, "" = nothing. */
static bool
leaves(const struct pn_envelope_rcpt *rcpt, const struct pn_verdict *verdict, struct pn_arena *arena,
    struct pn_str *target)
{
	*target = PN_STR_EMPTY;
	if (rcpt->who.answer != PN_RCPT_OURS)
		return false;
	if (rcpt->who.kind != PN_RCPT_ROLE) {
		if (verdict == NULL)
			return false;
		if (verdict->action == PN_ACTION_DISCARD)
			return true;
	}
	*target = pn_target_for(rcpt, verdict != NULL && verdict->to_bounce, arena);
	return !pn_str_eq(*target, address_of(rcpt));
}

static void
add_destination(struct closer *c, const struct pn_envelope_rcpt *rcpt, struct pn_str target)
{
	struct destination *d = NULL;
	unsigned bits = notify_bits(rcpt->notify);

	for (size_t i = 0; i < c->to_count && d == NULL; i++)
		if (pn_str_eq_nocase(c->to[i].address, target))
			d = &c->to[i];
	if (d != NULL) {
		d->notify = notify_union(d->notify, bits);
		return;
	}
	c->to = pn_arena_grow(c->arena, c->to, c->to_count, &c->to_cap, c->to_count + 1, sizeof(*c->to));
	c->to[c->to_count++] = (struct destination){
		.address = target, .notify = bits, .orcpt = orcpt_of(rcpt, c->arena),
	};
}

static bool
stays(const struct closer *c, const struct pn_verdict *verdicts, size_t n, struct pn_str address)
{
	struct pn_str ignored;

	for (size_t i = 0; i < c->t->rcpt_count; i++)
		if (pn_str_eq_nocase(address_of(&c->t->rcpts[i]), address)
		    && !leaves(&c->t->rcpts[i], verdict_of(&c->t->rcpts[i], verdicts, n), c->arena, &ignored))
			return true;
	return false;
}

/* Additions come before deletions, so that no moment is without a recipient;
 * an address that is there already is not added (it would get two copies). */
static void
edit_recipients(struct closer *c, const struct pn_verdict *verdicts, size_t n)
{
	struct pn_strs_builder deleted = { .arena = c->arena };
	struct pn_str target;

	for (size_t i = 0; i < c->t->rcpt_count; i++) {
		const struct pn_envelope_rcpt *rcpt = &c->t->rcpts[i];

		if (!leaves(rcpt, verdict_of(rcpt, verdicts, n), c->arena, &target)) {
			c->staying++;
			continue;
		}
		pn_strs_add(&deleted, rcpt->raw);
		if (target.n > 0)
			add_destination(c, rcpt, target);
	}
	for (size_t i = 0; i < c->to_count; i++) {
		struct pn_strs_builder args = { .arena = c->arena };
		struct pn_str notify = notify_text(c->to[i].notify, c->arena);

		c->staying++;
		if (stays(c, verdicts, n, c->to[i].address))
			continue;
		if (notify.n > 0)
			pn_strs_add(&args, notify);
		if (c->to[i].orcpt.n > 0)
			pn_strs_add(&args, pn_arena_printf(c->arena, "ORCPT=" PN_STR_FMT, PN_STR_ARG(c->to[i].orcpt)));
		edit(c, (struct pn_edit){ .kind = PN_EDIT_ADD_RCPT, .text = c->to[i].address,
		    .args = pn_strs_join(args.list, PN_STR(" "), c->arena) });
	}
	deleted.list = pn_strs_unique(deleted.list, c->arena);
	for (size_t i = 0; i < deleted.list.n; i++)
		edit(c, (struct pn_edit){ .kind = PN_EDIT_DELETE_RCPT, .text = deleted.list.v[i] });
}

/* Whatever arrived under our names is removed, the last one first: each
 * removal renumbers those behind it. */
static void
remove_own_headers(struct closer *c)
{
	const struct pn_str *const names[] = { &relay_header, &route_header, &stamp_header };

	for (size_t i = 0; i < PN_COUNT(names); i++) {
		uint32_t count = 0;

		for (size_t j = 0; j < c->t->fields.n; j++)
			count += pn_str_eq_nocase(c->t->fields.v[j].name, *names[i]);
		for (; count > 0; count--)
			edit(c, (struct pn_edit){ .kind = PN_EDIT_DELETE_HEADER, .name = *names[i], .index = count });
	}
}

static struct pn_str
one_route(const struct pn_route *route, struct pn_arena *arena)
{
	struct pn_str record = PN_STR("new"), alias = PN_STR_EMPTY;

	if (route->thread_unknown)
		record = PN_STR("?");
	else if (route->thread_id != 0)
		record = pn_arena_printf(arena, "%llu", (unsigned long long)route->thread_id);
	if (route->alias != NULL)
		alias = pn_arena_printf(arena, " alias=" PN_STR_FMT, PN_STR_ARG(route->alias->full));
	return pn_arena_printf(arena, "\n\troute=" PN_STR_FMT ":" PN_STR_FMT PN_STR_FMT, PN_STR_ARG(route->model),
	    PN_STR_ARG(record), PN_STR_ARG(alias));
}

/* Routes are shown to the gateway's own readers only: in a mixed transaction
 * others would learn of its records. */
static struct pn_str
route_text(const struct pn_transaction *t, const struct pn_verdict *v, struct pn_arena *arena)
{
	const struct pn_decision *decision = pn_transaction_mixed(t, v->gateway) ? NULL : v->decision;
	struct pn_strs_builder parts = { .arena = arena };
	size_t bytes = 0;

	pn_strs_add(&parts, pn_arena_printf(arena, "gateway=" PN_STR_FMT " rule=%s action=%s",
	    PN_STR_ARG(v->gateway->name), pn_rule_name(v->rule), pn_action_name(v->action)));
	for (size_t i = 0; decision != NULL && i < decision->route_count; i++) {
		struct pn_str route = one_route(&decision->routes[i], arena);

		bytes += route.n;
		if (bytes > ROUTE_HEADER_MAX) {
			pn_strs_add(&parts, pn_arena_printf(arena, "\n\tmore=%zu", decision->route_count - i));
			break;
		}
		pn_strs_add(&parts, route);
	}
	return pn_strs_join(parts.list, PN_STR_EMPTY, arena);
}

/* At the end: the queue file is written once more for what is put in front. */
static void
add_own_headers(struct closer *c, const struct pn_verdict *verdicts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct pn_gateway *gateway = verdicts[i].gateway;

		if (verdicts[i].action == PN_ACTION_DISCARD)
			continue;
		edit(c, (struct pn_edit){ .kind = PN_EDIT_ADD_HEADER, .name = route_header,
		    .text = route_text(c->t, &verdicts[i], c->arena) });
		/* what stays on this host may pass here again behind a content filter */
		if (gateway->target != PN_TARGET_KEEP)
			edit(c, (struct pn_edit){ .kind = PN_EDIT_ADD_HEADER, .name = stamp_header,
			    .text = pn_arena_printf(c->arena, PN_STR_FMT "/" PN_STR_FMT, PN_STR_ARG(c->t->hostname),
			    PN_STR_ARG(gateway->name)) });
	}
}

struct pn_closing
pn_transaction_close(const struct pn_transaction *t, const struct pn_verdict *verdicts, size_t n,
    struct pn_arena *arena)
{
	struct closer c = { .t = t, .arena = arena, .out = { .action = PN_ACTION_ACCEPT } };
	struct pn_str held = PN_STR_EMPTY;

	for (size_t i = 0; i < n; i++) {
		if (verdicts[i].action == PN_ACTION_REFUSE || verdicts[i].action == PN_ACTION_DEFER) {
			c.out.action = verdicts[i].action;
			c.out.reply = verdicts[i].reply;
			return c.out;
		}
		if (verdicts[i].action == PN_ACTION_HOLD) {
			c.out.action = PN_ACTION_HOLD;
			held = verdicts[i].rule == PN_RULE_DMARC ? PN_STR("fails DMARC") : PN_STR("looks like a mail loop");
		}
	}
	edit_recipients(&c, verdicts, n);
	if (c.staying == 0) {
		/* deleting the last recipient would lose the mail without a trace */
		c.out = (struct pn_closing){ .action = PN_ACTION_DISCARD };
		return c.out;
	}
	remove_own_headers(&c);
	add_own_headers(&c, verdicts, n);
	if (c.out.action == PN_ACTION_HOLD)
		edit(&c, (struct pn_edit){ .kind = PN_EDIT_QUARANTINE, .text = held });
	return c.out;
}

/* -- what Odoo must see ---------------------------------------------------------------------- */

struct pn_strs
pn_delivered_to(const struct pn_transaction *t, const struct pn_gateway *gateway,
    const struct pn_message *message, struct pn_arena *arena)
{
	struct pn_strs_builder seen = { .arena = arena }, out = { .arena = arena };

	if (pn_transaction_mixed(t, gateway))
		return out.list;
	for (size_t i = 0; i < message->recipients.n; i++)
		pn_strs_add(&seen, pn_text_lower(message->recipients.v[i], arena));
	for (size_t i = 0; i < t->rcpt_count; i++) {
		struct pn_str address = pn_text_lower(address_of(&t->rcpts[i]), arena);

		/* "sales@acme.example." is the alias for us, for Odoo it is none */
		if (pn_str_ends(address, PN_STR(".")))
			address.n--;
		if (t->rcpts[i].who.kind == PN_RCPT_RETIRED)
			address = t->rcpts[i].who.successor;
		if (!pn_strs_has(seen.list, address) && !pn_strs_has(out.list, address))
			pn_strs_add(&out, address);
	}
	return out.list;
}

bool
pn_stamped(struct pn_fields fields, struct pn_str hostname, const struct pn_gateway *gateway)
{
	for (size_t i = 0; i < fields.n; i++) {
		struct pn_str value = pn_str_trim(fields.v[i].raw);
		size_t slash = pn_str_find(value, '/');

		if (pn_str_eq_nocase(fields.v[i].name, stamp_header) && slash != PN_STR_NONE
		    && pn_str_eq_nocase(pn_str_head(value, slash), hostname)
		    && pn_str_eq(pn_str_from(value, slash + 1), gateway->name))
			return true;
	}
	return false;
}
