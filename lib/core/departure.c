#include "postern/departure.h"

static const struct pn_str relay_header = { "X-Postern-Relay", 15 };

struct editor {
	struct pn_arena *arena;
	struct pn_closing *closing;
	size_t cap;
};

static void
edit(struct editor *e, struct pn_edit edit)
{
	struct pn_closing *c = e->closing;

	c->edits = pn_arena_grow(e->arena, c->edits, c->edit_count, &e->cap, c->edit_count + 1, sizeof(*c->edits));
	c->edits[c->edit_count++] = edit;
}

static uint32_t
count_fields(struct pn_fields fields, struct pn_str name)
{
	uint32_t n = 0;

	for (size_t i = 0; i < fields.n; i++)
		n += pn_str_eq_nocase(fields.v[i].name, name);
	return n;
}

/* The last one first: each removal renumbers those behind it. */
static void
delete_fields(struct editor *e, struct pn_str name, uint32_t from, uint32_t to)
{
	for (; to >= from; to--)
		edit(e, (struct pn_edit){ .kind = PN_EDIT_DELETE_HEADER, .name = name, .index = to });
}

/* One From, whatever there was. */
static enum pn_status
rewrite_from(struct editor *e, const struct pn_departure *d)
{
	struct pn_str name = PN_STR("From"), text;
	uint32_t there = count_fields(d->fields, name);
	struct pn_error ignored;
	enum pn_status st;

	if (!d->as.rewritten)
		return PN_OK;
	st = pn_sender_field(d->as.header_from, e->arena, &text, &ignored);
	if (st != PN_OK)
		return st;
	delete_fields(e, name, 2, there);
	edit(e, (struct pn_edit){ .kind = there > 0 ? PN_EDIT_CHANGE_HEADER : PN_EDIT_ADD_HEADER, .name = name,
	    .text = text, .index = 1 });
	return PN_OK;
}

static void
strip(struct editor *e, struct pn_fields fields)
{
	for (size_t i = 0; i < fields.n; i++) {
		struct pn_str name = fields.v[i].name;
		struct pn_fields before = { fields.v, i };

		/* our own names were dealt with when the transaction was closed */
		if (pn_never_leaves(name) && !pn_is_own_header(name) && count_fields(before, name) == 0)
			delete_fields(e, name, 1, count_fields(fields, name));
	}
}

bool
pn_departure_floods(struct pn_fields fields)
{
	size_t n = 0;

	for (size_t i = 0; i < fields.n; i++)
		n += pn_never_leaves(fields.v[i].name) || pn_str_eq_nocase(fields.v[i].name, PN_STR("From"));
	return n > PN_DEPARTURE_DELETIONS_MAX;
}

enum pn_status
pn_departure_edit(const struct pn_departure *d, struct pn_arena *arena, struct pn_closing *closing)
{
	struct editor e = { .arena = arena, .closing = closing, .cap = closing->edit_count };
	enum pn_status st = rewrite_from(&e, d);

	if (st != PN_OK)
		return st;
	if (!pn_str_eq(d->as.envelope, d->sender))
		edit(&e, (struct pn_edit){ .kind = PN_EDIT_CHANGE_SENDER, .text = d->as.envelope });
	strip(&e, d->fields);
	if (d->route.n > 0) {
		edit(&e, (struct pn_edit){ .kind = PN_EDIT_ADD_HEADER, .name = relay_header, .text = d->route });
		edit(&e, (struct pn_edit){ .kind = PN_EDIT_DELETE_HEADER, .name = relay_header, .index = 1 });
	}
	return PN_OK;
}
