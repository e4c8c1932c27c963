#include "postern/message.h"

#include "postern/address.h"
#include "postern/header_value.h"
#include "postern/references.h"

/* qsort() of duplicates and repeated splitting are the only superlinear steps;
 * the arena's limit bounds both. */

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
	*out = pn_strs_join(values.list, separator, arena);
	return PN_OK;
}

/* The addresses of the named fields.  Odoo formats what it found, joins it and
 * splits it again in every later step, so we do; only Cc may name one twice. */
static enum pn_status
listed(struct pn_fields fields, const struct pn_strs *names, bool keep_twins, struct pn_arena *arena,
    struct pn_strs *out, struct pn_str *failed)
{
	struct pn_strs_builder formatted = { .arena = arena }, addresses = { .arena = arena };
	struct pn_mailboxes boxes;
	struct pn_str text, one;
	enum pn_status st;

	for (size_t i = 0; i < names->n; i++) {
		*failed = names->v[i];
		st = pn_message_value(fields, names->v[i], PN_STR(","), arena, &text);
		if (st == PN_OK)
			st = pn_address_split(text, arena, &boxes);
		for (size_t j = 0; st == PN_OK && j < boxes.n; j++) {
			st = pn_address_format(boxes.v[j], false, arena, &one);
			if (st == PN_OK)
				pn_strs_add(&formatted, one);
		}
		if (st != PN_OK)
			return st;
	}
	if (!keep_twins)
		formatted.list = pn_strs_unique(formatted.list, arena);
	st = pn_address_split(pn_strs_join(formatted.list, PN_STR(","), arena), arena, &boxes);
	if (st != PN_OK)
		return st;
	for (size_t i = 0; i < boxes.n; i++)
		pn_strs_add(&addresses, boxes.v[i].addr);
	*out = addresses.list;
	return pn_arena_exhausted(arena) ? PN_LIMIT : PN_OK;
}

/* email_from and sender. */
static enum pn_status
read_from(struct pn_fields fields, struct pn_arena *arena, struct pn_message *m)
{
	struct pn_mailboxes boxes;
	enum pn_status st = pn_message_value(fields, PN_STR("From"), PN_STR(","), arena, &m->email_from);

	if (st != PN_OK)
		return st;
	st = pn_address_split(m->email_from, arena, &boxes);
	if (st == PN_OK && boxes.n > 0)
		st = pn_address_format(boxes.v[0], false, arena, &m->email_from);
	if (st != PN_OK)
		return st;
	m->sender = PN_STR_EMPTY;
	st = pn_address_normalize(m->email_from, true, arena, &m->sender);
	return st == PN_NOT_FOUND ? PN_OK : st;
}

static enum pn_status
read_recipients(struct pn_fields fields, struct pn_arena *arena, struct pn_message *m, struct pn_str *failed)
{
	struct pn_str all[] = { PN_STR("Delivered-To"), PN_STR("To"), PN_STR("Cc"), PN_STR("Resent-To"),
		PN_STR("Resent-Cc") };
	struct pn_strs to = { all, 2 }, cc = { all + 2, 1 }, every = { all, PN_COUNT(all) };
	enum pn_status st = listed(fields, &to, false, arena, &m->to, failed);

	if (st == PN_OK)
		st = listed(fields, &cc, true, arena, &m->cc, failed);
	if (st == PN_OK)
		st = listed(fields, &every, false, arena, &m->recipients, failed);
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
read_subject(struct pn_fields fields, struct pn_arena *arena)
{
	struct pn_str ignored;

	for (size_t i = 0; i < fields.n; i++)
		if (pn_str_eq_nocase(fields.v[i].name, PN_STR("Subject")))
			return pn_header_value(fields.v[i].name, fields.v[i].raw, arena, &ignored);
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
	struct pn_str failed = PN_STR("Subject");
	enum pn_status st = read_subject(fields, arena);

	if (st == PN_OK) {
		failed = PN_STR("Message-Id");
		st = read_message_id(fields, arena, &m);
	}
	if (st == PN_OK) {
		failed = PN_STR("From");
		st = read_from(fields, arena, &m);
	}
	if (st == PN_OK)
		st = read_recipients(fields, arena, &m, &failed);
	if (st == PN_OK)
		st = read_references(fields, arena, &m, &failed);
	if (st != PN_OK)
		return pn_fail(err, st, PN_STR_FMT " %s", PN_STR_ARG(failed),
		    st == PN_LIMIT ? "asks for more than one message may" : "cannot be read by Odoo");
	*out = m;
	return PN_OK;
}
