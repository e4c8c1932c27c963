#include "postern/sender.h"

#include "postern/address.h"
#include "postern/address_list.h"
#include "postern/buf.h"
#include "postern/unicode.h"

/* -- rule 13 ----------------------------------------------------------------------- */

static enum pn_status
is_address(struct pn_str text, struct pn_str address, struct pn_arena *arena, bool *out)
{
	struct pn_str normal = PN_STR_EMPTY;
	enum pn_status st = pn_address_normalize(text, true, arena, &normal);

	*out = st == PN_OK && pn_str_eq(normal, address);
	return st == PN_NOT_FOUND ? PN_OK : st;
}

/* Rule 13.1.  A mail without From gets the plain notification address. */
static enum pn_status
encapsulate(const struct pn_sender_question *q, struct pn_arena *arena, struct pn_str *from)
{
	struct pn_str notification;
	bool is_sender, is_from;
	enum pn_status st = pn_address_normalize(q->notification, true, arena, &notification);

	if (st != PN_OK)
		return st == PN_NOT_FOUND ? PN_OK : st;
	st = is_address(*from, notification, arena, &is_sender);
	if (st == PN_OK)
		st = is_address(q->header_from, notification, arena, &is_from);
	if (st == PN_OK && is_sender && !is_from && q->header_from.n > 0)
		st = pn_address_encapsulate(q->header_from, notification, arena, from);
	return st;
}

static bool
is_envelope(struct pn_str address)
{
	for (size_t i = 0; i < address.n; i++)
		if ((unsigned char)address.p[i] <= ' ' || address.p[i] == 0x7f || address.p[i] == '<'
		    || address.p[i] == '>')
			return false;
	return address.n <= PN_ENVELOPE_MAX;
}

/* Rules 13.2 and 13.3. */
static enum pn_status
choose_envelope(const struct pn_sender_question *q, struct pn_str from, struct pn_arena *arena,
    struct pn_str *envelope, struct pn_error *err)
{
	struct pn_str bounce = q->bounce.n > 0 ? q->bounce : q->header_from, text;
	struct pn_strs found;
	bool match;
	enum pn_status st = pn_from_filter_match(bounce, q->from_filter, arena, &match);

	if (st != PN_OK)
		return st;
	text = match ? bounce : from;
	st = pn_address_extract_smtp(text, arena, &found);
	if (st != PN_OK)
		return st;
	if (found.n == 0 || !is_envelope(found.v[found.n - 1]))
		return pn_fail(err, PN_NOT_FOUND,
		    "no address that can be an envelope sender in \"" PN_STR_FMT "\"",
		    PN_STR_ARG(pn_str_head(text, 200)));
	*envelope = found.v[found.n - 1];
	return PN_OK;
}

enum pn_status
pn_sender_decide(const struct pn_sender_question *question, struct pn_arena *arena, struct pn_sender *out,
    struct pn_error *err)
{
	struct pn_str from = question->sender.n > 0 ? question->sender : question->header_from, envelope;
	enum pn_status st = encapsulate(question, arena, &from);

	if (st == PN_OK)
		st = choose_envelope(question, from, arena, &envelope, err);
	if (st == PN_OK && pn_arena_exhausted(arena))
		st = PN_LIMIT;
	if (st == PN_LIMIT)
		return pn_fail(err, PN_LIMIT, "the From asks for too much memory");
	if (st == PN_OK)
		*out = (struct pn_sender){ from, !pn_str_eq(from, question->header_from), envelope };
	return st;
}

/* -- writing it ------------------------------------------------------------------------ */

struct first {
	struct pn_arena *arena;
	struct pn_mailbox box;
};

static bool
first_mailbox(void *ctx, struct pn_str name, struct pn_str addr)
{
	struct first *to = ctx;

	to->box = (struct pn_mailbox){ pn_arena_dup(to->arena, name), pn_arena_dup(to->arena, addr) };
	return false;
}

static bool
is_plain(struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < ' ' || (unsigned char)name.p[i] >= 0x7f)
			return false;
	/* what looks like an encoded word would be decoded */
	return name.n <= 60 && !pn_str_contains(name, PN_STR("=?"));
}

static void
add_character(struct pn_str bytes, struct pn_buf *out)
{
	for (size_t i = 0; i < bytes.n; i++)
		if (pn_is_alnum(bytes.p[i]))
			pn_buf_add_char(out, bytes.p[i]);
		else if (bytes.p[i] == ' ')
			pn_buf_add_char(out, '_');
		else
			pn_buf_addf(out, "=%02X", (unsigned)(unsigned char)bytes.p[i]);
}

/* RFC 2047 sections 2, 4.2 and 5: characters are whole in their word, and between
 * two words a fold vanishes. */
static void
add_words(struct pn_str name, struct pn_buf *out)
{
	enum { WORD_MAX = 75, END = 2, CHARACTER_MAX = 12 };

	while (name.n > 0) {
		size_t begin = out->n;

		pn_buf_add_c(out, "=?utf-8?q?");
		do {
			uint32_t character;
			size_t n = pn_utf8_next(name, &character);

			add_character(pn_str_head(name, n), out);
			name = pn_str_from(name, n);
		} while (name.n > 0 && out->n - begin + CHARACTER_MAX + END <= WORD_MAX);
		pn_buf_add_c(out, "?=\n ");
	}
}

enum pn_status
pn_sender_field(struct pn_str header_from, struct pn_arena *arena, struct pn_str *out, struct pn_error *err)
{
	struct first first = { .arena = arena };
	struct pn_mailbox *box = &first.box;
	struct pn_buf field;
	struct pn_str text;
	bool plain;

	pn_address_list_each(header_from, first_mailbox, &first);
	plain = is_plain(box->name);
	box->name = pn_str_head(box->name, PN_SENDER_NAME_MAX);
	text = box->name;
	if (!plain)
		box->name = PN_STR_EMPTY;
	if (pn_str_find(box->addr, '@') == PN_STR_NONE || !is_envelope(box->addr)
	    || pn_address_format(*box, true, arena, &box->addr) != PN_OK)
		return pn_fail(err, PN_INVALID, "no address for a From in \"" PN_STR_FMT "\"",
		    PN_STR_ARG(pn_str_head(header_from, 200)));
	pn_buf_init(&field, 8 * PN_SENDER_NAME_MAX);
	if (!plain)
		add_words(text, &field);
	pn_buf_addf(&field, plain ? PN_STR_FMT : "<" PN_STR_FMT ">", PN_STR_ARG(box->addr));
	*out = pn_arena_dup(arena, pn_buf_str(&field));
	pn_buf_done(&field);
	return pn_arena_exhausted(arena) ? PN_LIMIT : PN_OK;
}

/* -- marks and signals ------------------------------------------------------------------- */

/* "Name", or "Name: value". */
static bool
has_field(struct pn_fields fields, struct pn_str mark)
{
	bool any = pn_str_find(mark, ':') == PN_STR_NONE;
	struct pn_str value = mark, name;

	(void)pn_str_split(&value, ':', &name);
	for (size_t i = 0; i < fields.n; i++)
		if (pn_str_eq_nocase(fields.v[i].name, pn_str_trim(name))
		    && (any || pn_str_eq_nocase(pn_str_trim(fields.v[i].raw), pn_str_trim(value))))
			return true;
	return false;
}

bool
pn_is_mass_mailing(struct pn_fields fields, struct pn_str from, const struct pn_mass_marks *marks)
{
	/* a discussion group (rule 16) has both marks, too, and whoever wrote in its From */
	if (has_field(fields, PN_STR("List-Unsubscribe")) && has_field(fields, PN_STR("Precedence"))
	    && !has_field(fields, PN_STR("List-Post")) && !has_field(fields, PN_STR("List-Id")))
		return true;
	for (size_t i = 0; i < marks->headers.n; i++)
		if (has_field(fields, marks->headers.v[i]))
			return true;
	return from.n > 0 && pn_strs_has(marks->senders, from);
}

bool
pn_never_leaves(struct pn_str name)
{
	static const struct pn_str names[] = {
		{ "Return-Path", 11 }, { "Bcc", 3 }, { "Resent-Bcc", 10 }, { "X-Forge-To", 10 },
		{ "X-Msg-To-Add", 12 }, { "X-Msg-To-Consolidate", 20 },
	};

	for (size_t i = 0; i < PN_COUNT(names); i++)
		if (pn_str_eq_nocase(names[i], name))
			return true;
	return pn_str_starts_nocase(name, PN_STR("X-Postern-"));
}
