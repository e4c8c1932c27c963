#include "header_value_internal.h"

typedef enum pn_status read_value(struct pn_hv *r, struct pn_wide_buf *out);

static const struct {
	const char *name;
	read_value *read;
} kinds[] = {
	{ "bcc", pn_hv_address_list },
	{ "cc", pn_hv_address_list },
	{ "content-disposition", pn_hv_disposition },
	{ "content-transfer-encoding", pn_hv_transfer_encoding },
	{ "content-type", pn_hv_content_type },
	{ "date", pn_hv_date },
	{ "from", pn_hv_address_list },
	{ "message-id", pn_hv_message_id },
	{ "mime-version", pn_hv_mime_version },
	{ "orig-date", pn_hv_date },
	{ "reply-to", pn_hv_address_list },
	{ "resent-bcc", pn_hv_address_list },
	{ "resent-cc", pn_hv_address_list },
	{ "resent-date", pn_hv_date },
	{ "resent-from", pn_hv_address_list },
	{ "resent-sender", pn_hv_address_list },
	{ "resent-to", pn_hv_address_list },
	{ "sender", pn_hv_address_list },
	{ "to", pn_hv_address_list },
};

/* Does text hold something like an encoded word: =?charset?q?...?= */
static bool
has_encoded_word(struct pn_hv *r, size_t end)
{
	for (size_t i = r->pos; i + 1 < end; i++) {
		size_t mark = i + 2;

		if (r->text[i] != '=' || r->text[i + 1] != '?')
			continue;
		while (mark < end && r->text[mark] != '?')
			mark++;
		if (end - mark < 3)
			return false;
		if (r->text[mark + 1] < 128 && r->text[mark + 1] != 0
		    && strchr("qQbB", (int)r->text[mark + 1]) != NULL && r->text[mark + 2] == '?') {
			size_t close = pn_hv_find_close(r, mark + 3);

			return close < end && end - close >= 2;
		}
		i = mark - 2;	/* "?=?": the next may start right here */
	}
	return false;
}

/* A run without blanks; one that holds an encoded word ends where that may start. */
static void
plain_text(struct pn_hv *r, bool malformed, size_t *run_end, struct pn_wide_buf *out)
{
	size_t from = r->pos, end = *run_end;

	if (end <= r->pos) {
		end = r->pos;
		while (end < r->end && !pn_hv_is(r->text[end], PN_HV_BLANK))
			end++;
		*run_end = end;
	}
	if (!malformed && has_encoded_word(r, end))
		do
			r->pos++;
		while (!pn_hv_at_encoded_word(r));
	else
		r->pos = end;
	pn_wide_add_text(out, (struct pn_wide){ r->text + from, r->pos - from });
}

/* Text with encoded words; white space between two of them goes (RFC 2047
 * section 6.2). */
enum pn_status
pn_hv_unstructured(struct pn_hv *r, struct pn_wide_buf *out)
{
	enum { OTHER, WORD, WORD_AND_GAP } before = OTHER;
	size_t gap = 0, run_end = 0;

	while (!pn_hv_done(r)) {
		bool malformed = false;
		struct pn_wide text;

		if (pn_hv_at_class(r, PN_HV_BLANK)) {
			size_t from = r->pos;

			gap = out->n;
			pn_hv_skip_space(r);
			pn_wide_add_text(out, (struct pn_wide){ r->text + from, r->pos - from });
			before = before == WORD ? WORD_AND_GAP : OTHER;
		} else if (pn_hv_at_encoded_word(r) && pn_hv_encoded_word(r, &text, &malformed) == PN_OK) {
			if (before == WORD_AND_GAP)
				out->n = gap;
			pn_wide_add_text(out, text);
			pn_hv_forget(r);
			before = WORD;
		} else {
			plain_text(r, malformed, &run_end, out);
			before = OTHER;
		}
	}
	return PN_OK;
}

/* What stands to the right of the "@" in an id. */
static enum pn_status
id_right(struct pn_hv *r, struct pn_wide_buf *out)
{
	struct pn_hv_mark mark = pn_hv_mark(r);
	struct pn_wide_buf literal = { .arena = r->scratch };
	struct pn_hv_words words;
	struct pn_wide text;
	bool poisoned;
	enum pn_status st = pn_hv_dot_atom_text(r, &text);

	if (st == PN_OK) {
		pn_wide_add_text(out, text);
		return PN_OK;
	}
	pn_hv_rewind(r, mark);
	if (pn_hv_at(r) == '[') {
		r->pos++;
		if (pn_hv_done(r) || pn_hv_at_class(r, PN_HV_BLANK))
			return PN_INVALID;
		pn_wide_add(&literal, '[');
		pn_hv_pairs_text(r, '[', ']', &literal);
		if (pn_hv_at(r) == ']') {
			r->pos++;
			pn_wide_add(&literal, ']');
			pn_wide_add_text(out, pn_wide_of(&literal));
			return PN_OK;
		}
		pn_hv_rewind(r, mark);
	}
	st = pn_hv_domain(r, &words, &poisoned);
	if (st == PN_OK && poisoned)
		return PN_INVALID;
	if (st == PN_OK)
		pn_hv_write_words(out, &words);
	return st;
}

/* RFC 5322 section 3.6.4, CFWS and obsolete forms included. */
static enum pn_status
msg_id(struct pn_hv *r, struct pn_wide_buf *out)
{
	struct pn_hv_words words;
	struct pn_hv_mark mark;
	struct pn_wide text;
	enum pn_status st = pn_hv_cfws(r, &text);

	if (st != PN_OK)
		return st;
	if (pn_hv_at(r) != '<')
		return PN_NOT_FOUND;
	pn_wide_add_text(out, text);
	pn_wide_add(out, '<');
	r->pos++;
	mark = pn_hv_mark(r);
	st = pn_hv_dot_atom_text(r, &text);
	if (st == PN_OK)
		pn_wide_add_text(out, text);
	else {
		pn_hv_rewind(r, mark);
		st = pn_hv_obs_local_part(r, &words);
		if (st != PN_OK)
			return st;
		pn_hv_write_words(out, &words);
	}
	if (pn_hv_at(r) != '@') {
		if (pn_hv_at(r) == '>')
			pn_wide_add(out, '>');
		return PN_OK;
	}
	pn_wide_add(out, '@');
	r->pos++;
	st = id_right(r, out);
	if (st != PN_OK)
		return st;
	pn_wide_add(out, '>');
	if (pn_hv_at(r) == '>')
		r->pos++;
	st = pn_hv_cfws(r, &text);
	pn_wide_add_text(out, text);
	return st;
}

enum pn_status
pn_hv_message_id(struct pn_hv *r, struct pn_wide_buf *out)
{
	struct pn_hv_mark mark = pn_hv_mark(r);
	enum pn_status st = msg_id(r, out);

	if (st != PN_NOT_FOUND)
		return st;
	pn_hv_rewind(r, mark);
	out->n = 0;
	return pn_hv_unstructured(r, out);
}

/* Blanks in front and all line ends go; bytes from 0x80 on are escaped.  In
 * front is room for text that is pushed back: at most twice what it replaces. */
static void
start(struct pn_hv *r, struct pn_str raw)
{
	size_t room = raw.n + 16;

	while (raw.n > 0 && (raw.p[0] == ' ' || raw.p[0] == '\t'))
		raw = pn_str_from(raw, 1);
	r->text = PN_ARENA_ARRAY(r->keep, uint32_t, room + raw.n);
	r->pos = r->end = room;
	r->close_from = SIZE_MAX;
	for (size_t i = 0; i < raw.n; i++) {
		unsigned char c = (unsigned char)raw.p[i];

		if (c != '\r' && c != '\n')
			r->text[r->end++] = c < 0x80 ? c : 0xdc00u + c;
	}
}

static read_value *
reader_of(struct pn_str name)
{
	for (size_t i = 0; i < PN_COUNT(kinds); i++)
		if (pn_str_eq_nocase(name, pn_str_c(kinds[i].name)))
			return kinds[i].read;
	return pn_hv_unstructured;
}

/* Could it hold an encoded word?  Folds do not count. */
static bool
has_word_start(struct pn_str raw)
{
	char before = '\0';

	for (size_t i = pn_str_find(raw, '='); i < raw.n; i++) {
		if (raw.p[i] == '\r' || raw.p[i] == '\n')
			continue;
		if (before == '=' && raw.p[i] == '?')
			return true;
		before = raw.p[i];
	}
	return false;
}

/* What pn_hv_unstructured() makes of text without encoded words. */
static struct pn_str
copy_plain(struct pn_str raw, struct pn_arena *arena)
{
	size_t used = 0;
	char *p;

	while (raw.n > 0 && (raw.p[0] == ' ' || raw.p[0] == '\t'))
		raw = pn_str_from(raw, 1);
	p = pn_arena_alloc(arena, raw.n + 1);
	for (size_t i = 0; i < raw.n; i++)
		if (raw.p[i] != '\r' && raw.p[i] != '\n')
			p[used++] = raw.p[i];
	return pn_hv_replace_broken_utf8(pn_str_n(p, used), arena);
}

static enum pn_status
read_parsed(read_value *read, struct pn_str raw, struct pn_arena *arena, struct pn_str *out)
{
	struct pn_hv r = { 0 };
	struct pn_wide_buf text;
	enum pn_status st;

	r.keep = pn_arena_new(SIZE_MAX);
	r.scratch = pn_arena_new(SIZE_MAX);
	text = (struct pn_wide_buf){ .arena = r.keep };
	start(&r, raw);
	st = read(&r, &text);
	pn_arena_free(r.scratch);
	if (st == PN_OK)
		st = pn_wide_to_utf8(pn_wide_of(&text), r.keep, out);
	if (st == PN_OK)
		*out = pn_arena_dup(arena, *out);
	pn_arena_free(r.keep);
	return st;
}

enum pn_status
pn_header_value(struct pn_str name, struct pn_str raw, struct pn_arena *arena, struct pn_str *out)
{
	read_value *read = reader_of(name);
	struct pn_str utf8;
	enum pn_status st = PN_OK;

	if (raw.n > PN_HEADER_VALUE_MAX)
		return PN_LIMIT;
	if (read == pn_hv_unstructured && !has_word_start(raw))
		utf8 = copy_plain(raw, arena);
	else
		st = read_parsed(read, raw, arena, &utf8);
	if (st == PN_OK && pn_arena_exhausted(arena))
		st = PN_LIMIT;
	if (st == PN_OK)
		*out = utf8;
	return st;
}
