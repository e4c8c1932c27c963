#include "postern/message.h"

#include <stdlib.h>

#include "postern/address.h"
#include "postern/header_value.h"
#include "postern/references.h"

/* Sorting of duplicates is the only superlinear step; the arena's limit bounds
 * it.  What is needed only on the way to a result is in an arena of its own:
 * an address of four bytes takes ten times as much while it is being read. */

enum pn_status
pn_message_value(struct pn_fields fields, struct pn_str name, struct pn_str separator,
    struct pn_arena *arena, struct pn_str *out)
{
	struct pn_strs_builder values = { .arena = arena };

	for (size_t i = 0; i < fields.n; i++) {
		struct pn_str value;
		enum pn_status st;

		if (!pn_str_eq_nocase(fields.v[i].name, name))
			continue;
		st = pn_header_value(fields.v[i].name, fields.v[i].raw, arena, &value);
		if (st != PN_OK)
			return st;
		if (value.n > 0)
			pn_strs_add(&values, value);
		if (pn_arena_exhausted(arena))
			return PN_LIMIT;
	}
	*out = values.list.n == 1 ? values.list.v[0] : pn_strs_join(values.list, separator, arena);
	return PN_OK;
}

/* email_from and sender. */
static enum pn_status
read_from(struct pn_fields fields, struct pn_arena *work, struct pn_arena *arena, struct pn_message *m)
{
	struct pn_mailboxes boxes;
	enum pn_status st = pn_message_value(fields, PN_STR("From"), PN_STR(","), work, &m->email_from);

	if (st == PN_OK)
		st = pn_address_split(m->email_from, work, &boxes);
	if (st == PN_OK && boxes.n > 0)
		st = pn_address_format(boxes.v[0], false, work, &m->email_from);
	if (st != PN_OK)
		return st;
	m->email_from = pn_arena_dup(arena, m->email_from);
	m->sender = PN_STR_EMPTY;
	st = pn_address_normalize(m->email_from, true, work, &m->sender);
	if (st == PN_OK)
		m->sender = pn_arena_dup(arena, m->sender);
	return st == PN_NOT_FOUND ? PN_OK : st;
}

/* The mailboxes of all address fields: formatted, and the address of each. */
struct recipients {
	struct pn_strs_builder formatted;
	struct pn_strs_builder addresses;
	bool plain;	/* reading them formatted gives the same addresses again */
};

static bool
is_plain_local(char c)
{
	return pn_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL);
}

static bool
is_plain_domain(char c)
{
	return pn_is_alnum(c) || c == '.' || c == '-' || c == '_';
}

static bool
is_plain(struct pn_mailbox box)
{
	struct pn_str local = pn_address_local(box.addr), domain = pn_address_after_local(box.addr);
	bool plain = local.n > 0 && domain.n > 0 && pn_str_find(box.name, '\r') == PN_STR_NONE;

	for (size_t i = 0; plain && i < local.n; i++)
		plain = is_plain_local(local.p[i]);
	for (size_t i = 0; plain && i < domain.n; i++)
		plain = is_plain_domain(domain.p[i]);
	return plain;
}

static enum pn_status
add_field(struct pn_fields fields, struct pn_str name, struct pn_arena *work, struct recipients *to)
{
	struct pn_arena *arena = to->formatted.arena;
	struct pn_mailboxes boxes;
	struct pn_str text;
	enum pn_status st = pn_message_value(fields, name, PN_STR(","), work, &text);

	if (st == PN_OK)
		st = pn_address_split(text, work, &boxes);
	for (size_t i = 0; st == PN_OK && i < boxes.n; i++) {
		struct pn_mailbox box = boxes.v[i];

		to->plain = to->plain && is_plain(box);
		box.addr = pn_arena_dup(arena, box.addr);
		st = pn_address_format(box, false, arena, &text);
		pn_strs_add(&to->formatted, text);
		pn_strs_add(&to->addresses, box.addr);
		if (pn_arena_exhausted(arena))
			st = PN_LIMIT;
	}
	pn_arena_reset(work);
	return st;
}

static int
by_text(const void *a, const void *b)
{
	const struct pn_str *x = *(const struct pn_str *const *)a, *y = *(const struct pn_str *const *)b;
	int order = pn_str_cmp(*x, *y);

	return order != 0 ? order : (x > y) - (x < y);
}

/* Which of the list stand there for the first time. */
static const bool *
first_ones(struct pn_strs list, struct pn_arena *work, struct pn_arena *arena)
{
	const struct pn_str **sorted = PN_ARENA_ARRAY(work, const struct pn_str *, list.n);
	bool *first = PN_ARENA_ARRAY(arena, bool, list.n);

	for (size_t i = 0; i < list.n; i++)
		sorted[i] = &list.v[i];
	if (list.n > 1)
		qsort(sorted, list.n, sizeof(const struct pn_str *), by_text);
	for (size_t i = 0; i < list.n; i++)
		first[sorted[i] - list.v] = i == 0 || !pn_str_eq(*sorted[i - 1], *sorted[i]);
	pn_arena_reset(work);
	return first;
}

/* Only those, the list itself made shorter. */
static struct pn_strs
chosen(struct pn_strs list, const bool *which)
{
	struct pn_strs out = { list.v, 0 };

	for (size_t i = 0; i < list.n; i++)
		if (which[i])
			out.v[out.n++] = list.v[i];
	return out;
}

static struct pn_strs
slice(struct pn_strs list, size_t from, size_t to)
{
	/* an empty list has no array to count from */
	return list.v == NULL ? list : (struct pn_strs){ list.v + from, to - from };
}

static struct pn_strs
copy(struct pn_strs list, struct pn_arena *arena)
{
	struct pn_str text = pn_strs_join(list, PN_STR_EMPTY, arena);
	struct pn_strs out = { PN_ARENA_ARRAY(arena, struct pn_str, list.n), list.n };

	for (size_t i = 0; i < list.n; i++) {
		out.v[i] = pn_str_head(text, list.v[i].n);
		text = pn_str_from(text, list.v[i].n);
	}
	return out;
}

/* The addresses in what was formatted, joined. */
static enum pn_status
split_again(struct pn_strs formatted, struct pn_arena *work, struct pn_arena *arena, struct pn_strs *out)
{
	struct pn_mailboxes boxes;
	struct pn_str text = pn_strs_join(formatted, PN_STR(","), work);
	enum pn_status st = pn_address_split(text, work, &boxes);

	if (st == PN_OK) {
		struct pn_strs addresses = { PN_ARENA_ARRAY(work, struct pn_str, boxes.n), boxes.n };

		for (size_t i = 0; i < boxes.n; i++)
			addresses.v[i] = boxes.v[i].addr;
		*out = copy(addresses, arena);
	}
	pn_arena_reset(work);
	return st;
}

static enum pn_status
settle(const struct recipients *all, struct pn_strs list, struct pn_arena *work, struct pn_arena *arena,
    struct pn_strs *out)
{
	if (!all->plain)
		return split_again(list, work, arena, out);
	*out = copy(list, arena);
	return PN_OK;
}

/* Odoo formats what it found, joins it and splits it again in every later step;
 * so do we where that could make a difference.  Only Cc may name one twice. */
static enum pn_status
combine(const struct recipients *all, size_t cc_from, size_t cc_to, struct pn_arena *work,
    struct pn_arena *arena, struct pn_message *m)
{
	struct pn_strs formatted = all->formatted.list, list = all->plain ? all->addresses.list : formatted;
	const bool *first = first_ones(formatted, work, all->formatted.arena);
	enum pn_status st = settle(all, slice(list, cc_from, cc_to), work, arena, &m->cc);
	size_t to = 0;

	for (size_t i = 0; i < cc_from; i++)
		to += first[i];
	list = chosen(list, first);
	if (st == PN_OK)
		st = settle(all, list, work, arena, &m->recipients);
	return st == PN_OK ? settle(all, slice(list, 0, to), work, arena, &m->to) : st;
}

static enum pn_status
read_recipients(struct pn_fields fields, struct pn_arena *work, struct pn_arena *arena, struct pn_message *m,
    struct pn_str *failed)
{
	static const struct pn_str names[] = { { "Delivered-To", 12 }, { "To", 2 }, { "Cc", 2 }, { "Resent-To", 9 },
		{ "Resent-Cc", 9 } };
	struct recipients all = { .plain = true };
	size_t end[PN_COUNT(names)];
	enum pn_status st = PN_OK;

	all.formatted.arena = all.addresses.arena = pn_arena_new_like(arena);
	for (size_t i = 0; st == PN_OK && i < PN_COUNT(names); i++) {
		*failed = names[i];
		st = add_field(fields, names[i], work, &all);
		end[i] = all.formatted.list.n;
	}
	if (st == PN_OK) {
		*failed = names[1];
		st = combine(&all, end[1], end[2], work, arena, m);
	}
	if (st == PN_OK && (pn_arena_exhausted(arena) || pn_arena_exhausted(all.formatted.arena)))
		st = PN_LIMIT;
	pn_arena_free(all.formatted.arena);
	return st;
}

/* Rule 5.1: References if it has any text, otherwise In-Reply-To; ids with
 * "reply_to" in them start a new thread; the last 32 count. */
static enum pn_status
answered(struct pn_message *m, struct pn_arena *arena)
{
	struct pn_strs ids = m->references.n > 0 ? m->reference_ids : m->in_reply_to_ids;
	struct pn_strs_builder kept = { .arena = arena };

	for (size_t i = 0; i < ids.n; i++)
		if (!pn_str_contains(ids.v[i], PN_STR("reply_to")))
			pn_strs_add(&kept, ids.v[i]);
	m->answered_ids = pn_strs_last(kept.list, PN_REFERENCES_USED);
	return PN_OK;
}

static enum pn_status
read_references(struct pn_fields fields, struct pn_arena *arena, struct pn_message *m, struct pn_str *failed)
{
	enum pn_status st;

	*failed = PN_STR("References");
	st = pn_message_value(fields, *failed, PN_STR(" "), arena, &m->references);
	if (st == PN_OK)
		st = pn_references_ids(m->references, arena, &m->reference_ids);
	if (st != PN_OK)
		return st;
	*failed = PN_STR("In-Reply-To");
	st = pn_message_value(fields, *failed, PN_STR(" "), arena, &m->in_reply_to);
	if (st != PN_OK)
		return st;
	m->in_reply_to = pn_text_strip(m->in_reply_to);
	st = pn_references_ids(m->in_reply_to, arena, &m->in_reply_to_ids);
	return st == PN_OK ? answered(m, arena) : st;
}

static enum pn_status
read_message_id(struct pn_fields fields, struct pn_arena *arena, struct pn_message *m)
{
	m->message_id = PN_STR_EMPTY;
	for (size_t i = 0; i < fields.n; i++) {
		enum pn_status st;

		if (!pn_str_eq_nocase(fields.v[i].name, PN_STR("Message-Id")))
			continue;
		st = pn_header_value(fields.v[i].name, fields.v[i].raw, arena, &m->message_id);
		m->message_id = pn_text_strip(m->message_id);
		return st;
	}
	return PN_OK;
}

/* Odoo reads the first Subject too; only whether it can be read matters here. */
static enum pn_status
read_subject(struct pn_fields fields, struct pn_arena *work)
{
	struct pn_str ignored;

	for (size_t i = 0; i < fields.n; i++)
		if (pn_str_eq_nocase(fields.v[i].name, PN_STR("Subject")))
			return pn_header_value(fields.v[i].name, fields.v[i].raw, work, &ignored);
	return PN_OK;
}

bool
pn_message_automatic(struct pn_fields fields, bool null_sender)
{
	static const struct pn_str precedences[] = { { "bulk", 4 }, { "junk", 4 }, { "list", 4 } };

	for (size_t i = 0; i < fields.n; i++) {
		struct pn_str name = fields.v[i].name, value = pn_str_trim(fields.v[i].raw);

		if (pn_str_eq_nocase(name, PN_STR("Auto-Submitted")) && !pn_str_starts_nocase(value, PN_STR("no")))
			return true;
		if (pn_str_eq_nocase(name, PN_STR("X-Auto-Response-Suppress")) || pn_str_starts_nocase(name, PN_STR("List-")))
			return true;
		for (size_t j = 0; pn_str_eq_nocase(name, PN_STR("Precedence")) && j < PN_COUNT(precedences); j++)
			if (pn_str_eq_nocase(value, precedences[j]))
				return true;
	}
	return null_sender;
}

enum pn_known
pn_message_unreadable(const struct pn_message *message, bool is_bounce)
{
	return is_bounce ? message->mime.unreadable_as_bounce : message->mime.unreadable_as_mail;
}

enum pn_status
pn_message_parse(struct pn_fields fields, const struct pn_mime_result *mime, bool null_sender,
    struct pn_arena *arena, struct pn_message *out, struct pn_error *err)
{
	struct pn_message m = { .mime = *mime, .automatic = pn_message_automatic(fields, null_sender) };
	struct pn_arena *work = pn_arena_new_like(arena);
	struct pn_str failed = PN_STR("Subject");
	enum pn_status st = read_subject(fields, work);

	if (st == PN_OK) {
		failed = PN_STR("Message-Id");
		st = read_message_id(fields, arena, &m);
	}
	if (st == PN_OK) {
		failed = PN_STR("From");
		st = read_from(fields, work, arena, &m);
	}
	pn_arena_reset(work);
	if (st == PN_OK)
		st = read_recipients(fields, work, arena, &m, &failed);
	pn_arena_free(work);
	if (st == PN_OK)
		st = read_references(fields, arena, &m, &failed);
	if (st != PN_OK)
		return pn_fail(err, st, PN_STR_FMT " %s", PN_STR_ARG(failed),
		    st == PN_LIMIT ? "asks for more than one message may" : "cannot be read by Odoo");
	*out = m;
	return PN_OK;
}
