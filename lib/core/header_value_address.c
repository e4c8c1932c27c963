/* Address lists: RFC 5322 section 3.4, obsolete forms (4.4) and junk included,
 * and the normal form in which Python writes them. */
#include "header_value_internal.h"

struct mailbox {
	struct pn_hv_words name;
	struct pn_hv_words local;
	struct pn_hv_words domain;
	bool obsolete;	/* local was read word by word */
	bool poisoned;	/* see pn_hv_domain() */
};

/* A literal that ends with the header poisons the parse tree. */
static enum pn_status
domain_literal(struct pn_hv *r, struct pn_hv_word *out, bool *poisoned)
{
	struct pn_wide_buf buf = { .arena = r->scratch };
	size_t from;

	pn_wide_add(&buf, '[');
	r->pos++;
	*poisoned = pn_hv_done(r);
	if (*poisoned)
		return PN_OK;
	from = r->pos;
	if (pn_hv_at_class(r, PN_HV_BLANK))
		pn_hv_skip_space(r);
	if (pn_hv_done(r))
		return PN_INVALID;
	pn_wide_add_text(&buf, pn_hv_since(r, from));
	pn_hv_pairs_text(r, '[', ']', &buf);
	from = r->pos;
	if (pn_hv_at_class(r, PN_HV_BLANK))
		pn_hv_skip_space(r);
	*poisoned = pn_hv_done(r);
	if (*poisoned)
		return PN_OK;
	if (pn_hv_at(r) != ']')
		return PN_NOT_FOUND;
	pn_wide_add_text(&buf, pn_hv_since(r, from));
	pn_wide_add(&buf, ']');
	r->pos++;
	*out = (struct pn_hv_word){ .kind = PN_HV_ATOM, .text = pn_wide_of(&buf), .value = pn_wide_of(&buf) };
	return pn_hv_cfws(r, &out->after);
}

/* What follows the first atom of a domain when it is not a dot-atom. */
static enum pn_status
more_labels(struct pn_hv *r, struct pn_hv_words *out)
{
	while (pn_hv_at(r) == '.') {
		struct pn_hv_word dot = { .kind = PN_HV_DOT }, atom;
		enum pn_status st;

		r->pos++;
		dot.text = dot.value = pn_hv_since(r, r->pos - 1);
		st = pn_hv_atom(r, &atom);
		if (st == PN_OK)
			st = pn_hv_add_word(r, out, dot);
		if (st == PN_OK)
			st = pn_hv_add_word(r, out, atom);
		if (st != PN_OK)
			return st;
	}
	return PN_OK;
}

enum pn_status
pn_hv_domain(struct pn_hv *r, struct pn_hv_words *out, bool *poisoned)
{
	struct pn_hv_word word = { .kind = PN_HV_ATOM };
	struct pn_hv_mark mark;
	struct pn_wide before;
	enum pn_status st;
	bool literal;

	*out = (struct pn_hv_words){ 0 };
	*poisoned = false;
	if (pn_hv_done(r))
		return PN_INVALID;
	st = pn_hv_cfws(r, &before);
	if (st != PN_OK)
		return st;
	if (pn_hv_done(r))
		return PN_NOT_FOUND;
	literal = pn_hv_at(r) == '[';
	mark = pn_hv_mark(r);
	st = literal ? domain_literal(r, &word, poisoned) : pn_hv_dot_atom(r, &word);
	if (st == PN_NOT_FOUND && !literal) {
		pn_hv_rewind(r, mark);
		st = pn_hv_atom(r, &word);
	}
	if (st == PN_OK && !literal && pn_hv_at(r) == '@')
		st = PN_NOT_FOUND;
	if (st != PN_OK)
		return st;
	word.before = before;
	st = pn_hv_add_word(r, out, word);
	return st == PN_OK && !literal ? more_labels(r, out) : st;
}

/* The text of the word, read again as a sequence of words and dots together
 * with what follows: decoded encoded words become part of the address. */
static enum pn_status
reread_local_part(struct pn_hv *r, const struct pn_hv_word *word, struct pn_hv_words *out)
{
	struct pn_wide_buf buf = { .arena = r->scratch };
	enum pn_status st;

	pn_hv_write_word(&buf, word);
	st = pn_hv_push_back(r, pn_wide_of(&buf));
	return st == PN_OK ? pn_hv_obs_local_part(r, out) : st;
}

static enum pn_status
local_part(struct pn_hv *r, struct mailbox *m)
{
	struct pn_hv_word word;
	struct pn_hv_mark mark;
	struct pn_wide before;
	enum pn_status st;

	if (pn_hv_done(r))
		return PN_INVALID;
	st = pn_hv_cfws(r, &before);
	if (st != PN_OK)
		return st;
	if (pn_hv_done(r))
		return PN_NOT_FOUND;
	mark = pn_hv_mark(r);
	st = pn_hv_dot_atom(r, &word);
	if (st == PN_NOT_FOUND) {
		pn_hv_rewind(r, mark);
		st = pn_hv_word(r, &word);
	}
	if (st == PN_NOT_FOUND) {
		pn_hv_rewind(r, mark);
		if (pn_hv_at(r) != '\\' && pn_hv_at_class(r, PN_HV_ENDS_PHRASE))
			return PN_NOT_FOUND;
		word = (struct pn_hv_word){ .kind = PN_HV_NOTHING };
		st = PN_OK;
	}
	if (st != PN_OK)
		return st;
	word.before = before;
	m->local = (struct pn_hv_words){ 0 };
	m->obsolete = !pn_hv_done(r) && (pn_hv_at(r) == '\\' || !pn_hv_at_class(r, PN_HV_ENDS_PHRASE));
	return m->obsolete ? reread_local_part(r, &word, &m->local) : pn_hv_add_word(r, &m->local, word);
}

static enum pn_status
addr_spec(struct pn_hv *r, struct mailbox *m)
{
	enum pn_status st = local_part(r, m);

	m->domain = (struct pn_hv_words){ 0 };
	if (st != PN_OK || pn_hv_at(r) != '@')
		return st;
	r->pos++;
	return pn_hv_domain(r, &m->domain, &m->poisoned);
}

/* "@a,@b:" before the address. */
static enum pn_status
read_obs_route(struct pn_hv *r)
{
	struct pn_hv_words domain;
	struct pn_wide gap;
	enum pn_status st = PN_OK;
	bool poisoned;

	while (st == PN_OK && pn_hv_at(r) == ',') {
		r->pos++;
		st = pn_hv_cfws(r, &gap);
	}
	if (st != PN_OK)
		return st;
	if (pn_hv_at(r) != '@')
		return PN_NOT_FOUND;
	r->pos++;
	st = pn_hv_domain(r, &domain, &poisoned);
	while (st == PN_OK && pn_hv_at(r) == ',') {
		r->pos++;
		if (pn_hv_done(r))
			return PN_NOT_FOUND;
		st = pn_hv_cfws(r, &gap);
		if (st == PN_OK && pn_hv_done(r))
			return PN_INVALID;
		if (st == PN_OK && pn_hv_at(r) == '@') {
			r->pos++;
			pn_arena_reset(r->scratch);
			st = pn_hv_domain(r, &domain, &poisoned);
		}
	}
	if (st != PN_OK)
		return st;
	if (pn_hv_at(r) != ':')
		return PN_NOT_FOUND;
	r->pos++;
	return PN_OK;
}

/* It says nothing and is dropped, and so is the memory for it.  Nothing in it
 * can be pushed back, so that nothing is left to undo. */
static enum pn_status
obs_route(struct pn_hv *r)
{
	struct pn_arena *scratch = r->scratch;
	enum pn_status st;

	r->scratch = pn_arena_new_like(scratch);
	st = read_obs_route(r);
	pn_arena_free(r->scratch);
	r->scratch = scratch;
	return st;
}

static enum pn_status
angle_addr(struct pn_hv *r, struct mailbox *m)
{
	struct pn_hv_mark mark;
	struct pn_wide gap;
	enum pn_status st = pn_hv_cfws(r, &gap);

	if (st != PN_OK)
		return st;
	if (pn_hv_at(r) != '<')
		return PN_NOT_FOUND;
	r->pos++;
	if (pn_hv_done(r))
		return PN_INVALID;
	if (pn_hv_at(r) == '>') {
		r->pos++;
		return PN_OK;
	}
	mark = pn_hv_mark(r);
	st = addr_spec(r, m);
	if (st == PN_NOT_FOUND) {
		pn_hv_rewind(r, mark);
		st = pn_hv_cfws(r, &gap);
		if (st == PN_OK)
			st = obs_route(r);
		if (st == PN_OK)
			st = addr_spec(r, m);
	}
	if (st != PN_OK)
		return st;
	if (pn_hv_at(r) == '>')
		r->pos++;
	return pn_hv_cfws(r, &gap);
}

static enum pn_status
name_addr(struct pn_hv *r, struct mailbox *m)
{
	struct pn_wide before;
	enum pn_status st = pn_hv_cfws(r, &before);

	if (st != PN_OK)
		return st;
	if (pn_hv_done(r))
		return PN_NOT_FOUND;
	if (pn_hv_at(r) != '<') {
		if (pn_hv_at_class(r, PN_HV_ENDS_PHRASE))
			return PN_NOT_FOUND;
		st = pn_hv_phrase(r, &m->name);
		if (st != PN_OK)
			return st;
		if (pn_hv_done(r))
			return PN_NOT_FOUND;
		if (before.n > 0) {
			/* Python writes the blank into the first word; a dot cannot take it. */
			if (m->name.p[0].kind == PN_HV_DOT)
				return PN_INVALID;
			m->name.p[0].before = before;
		}
	}
	return angle_addr(r, m);
}

/* Back to where the attempt began: nothing was in scratch there. */
static void
start_again(struct pn_hv *r, struct pn_hv_mark mark)
{
	pn_hv_rewind(r, mark);
	pn_hv_forget(r);
}

/* With an empty scratch. */
static enum pn_status
mailbox(struct pn_hv *r, struct mailbox *m)
{
	struct pn_hv_mark mark = pn_hv_mark(r);
	enum pn_status st;

	*m = (struct mailbox){ 0 };
	st = name_addr(r, m);
	if (st == PN_NOT_FOUND) {
		start_again(r, mark);
		*m = (struct mailbox){ 0 };
		st = addr_spec(r, m);
	}
	return st == PN_OK && m->poisoned ? PN_INVALID : st;
}

/* The words as a value, without what surrounds them.  PN_INVALID: Python looks
 * for white space at an end where a dot or nothing is. */
static enum pn_status
display_name(struct pn_hv *r, const struct pn_hv_words *words, struct pn_wide_buf *out)
{
	size_t first = 0, last = words->n;

	if (words->n == 0)
		return PN_OK;
	if (words->p[0].kind == PN_HV_CFWS)
		first++;
	if (first == last || words->p[0].kind == PN_HV_DOT || words->p[last - 1].kind == PN_HV_DOT)
		return PN_INVALID;
	if (words->p[last - 1].kind == PN_HV_CFWS)
		last--;
	for (size_t i = first; i < last; i++) {
		struct pn_hv_word word = words->p[i];

		if (i == 0)
			word.before.n = 0;
		if (i + 1 == words->n)
			word.after.n = 0;
		pn_wide_add_text(out, pn_hv_word_value(r, &word));
	}
	return PN_OK;
}

/* Words joined as a value; white space around dots and at the ends goes. */
static enum pn_status
local_value(const struct mailbox *m, struct pn_wide_buf *out)
{
	bool dot = true, gap = false;

	if (m->local.n == 1 && !m->obsolete && m->local.p[0].hollow)
		return PN_INVALID;
	for (size_t i = 0; i < m->local.n; i++) {
		const struct pn_hv_word *word = &m->local.p[i];

		if (word->kind == PN_HV_CFWS)
			continue;
		if (gap && word->kind != PN_HV_DOT)
			pn_wide_add(out, ' ');
		if (word->before.n > 0 && !dot)
			pn_wide_add(out, ' ');
		pn_wide_add_text(out, word->value);
		dot = word->kind == PN_HV_DOT;
		gap = word->after.n > 0;
	}
	return PN_OK;
}

/* Without any white space, also inside of atoms. */
static void
domain_value(const struct pn_hv_words *domain, struct pn_wide_buf *out)
{
	for (size_t i = 0; i < domain->n; i++)
		for (size_t j = 0; j < domain->p[i].value.n; j++)
			if (!pn_is_text_space(domain->p[i].value.p[j]))
				pn_wide_add(out, domain->p[i].value.p[j]);
}

static bool
has_line_end(const struct pn_wide_buf *buf)
{
	return pn_wide_has_char(pn_wide_of(buf), '\n') || pn_wide_has_char(pn_wide_of(buf), '\r');
}

static bool
needs_quotes(struct pn_wide local)
{
	for (size_t i = 0; i < local.n; i++)
		if (pn_hv_is(local.p[i], PN_HV_ENDS_ATOM) && local.p[i] != '.')
			return true;
	return false;
}

static void
write_name(struct pn_wide_buf *out, struct pn_wide name)
{
	if (pn_wide_has(name, PN_HV_SPECIAL))
		pn_wide_add_quoted(out, name);
	else
		pn_wide_add_text(out, name);
}

static void
write_addr_spec(struct pn_wide_buf *out, struct pn_wide local, struct pn_wide domain)
{
	if (needs_quotes(local))
		pn_wide_add_quoted(out, local);
	else
		pn_wide_add_text(out, local);
	if (domain.n > 0) {
		pn_wide_add(out, '@');
		pn_wide_add_text(out, domain);
	}
}

static enum pn_status
write_mailbox(struct pn_hv *r, const struct mailbox *m, struct pn_wide_buf *out)
{
	struct pn_wide_buf name = { .arena = r->scratch }, local = name, domain = name;
	enum pn_status st = display_name(r, &m->name, &name);

	if (st == PN_OK)
		st = local_value(m, &local);
	if (st != PN_OK)
		return st;
	domain_value(&m->domain, &domain);
	if (has_line_end(&name) || has_line_end(&local))
		return PN_INVALID;
	if (name.n > 0) {
		write_name(out, pn_wide_of(&name));
		pn_wide_add_c(out, " <");
		write_addr_spec(out, pn_wide_of(&local), pn_wide_of(&domain));
		pn_wide_add(out, '>');
	} else if (local.n == 0 && domain.n == 0)
		pn_wide_add_c(out, "<>");
	else
		write_addr_spec(out, pn_wide_of(&local), pn_wide_of(&domain));
	return PN_OK;
}

static void
separate(struct pn_wide_buf *out, bool *any)
{
	if (*any)
		pn_wide_add_c(out, ", ");
	*any = true;
}

/* Something that is no address stands here: up to the comma (or `end`) it
 * counts as an empty one.  White space alone counts as nothing. */
static enum pn_status
not_an_address(struct pn_hv *r, uint32_t end, struct pn_wide_buf *out, bool *any)
{
	struct pn_wide gap;
	enum pn_status st = pn_hv_cfws(r, &gap);

	if (st != PN_OK || pn_hv_done(r) || pn_hv_at(r) == ',' || pn_hv_at(r) == end)
		return st;
	separate(out, any);
	pn_wide_add_c(out, "<>");
	return pn_hv_junk(r, ',', end, NULL);
}

/* The members of a group, up to its ";" or the end.  There is no way back from
 * here, so each member may forget the one before. */
static enum pn_status
members(struct pn_hv *r, struct pn_wide_buf *out)
{
	enum pn_status st = PN_OK;
	bool any = false;

	while (st == PN_OK && !pn_hv_done(r) && pn_hv_at(r) != ';') {
		struct pn_hv_mark mark;
		struct mailbox m;

		pn_hv_forget(r);
		mark = pn_hv_mark(r);
		st = mailbox(r, &m);
		if (st == PN_NOT_FOUND) {
			start_again(r, mark);
			st = not_an_address(r, ';', out, &any);
		} else if (st == PN_OK) {
			separate(out, &any);
			st = write_mailbox(r, &m, out);
			if (st == PN_OK)
				st = pn_hv_junk(r, ',', ';', NULL);
		}
		if (pn_hv_at(r) == ',')
			r->pos++;
	}
	return st;
}

/* "name: a@b, c@d;".  PN_NOT_FOUND: no colon behind a phrase. */
static enum pn_status
group(struct pn_hv *r, struct pn_wide_buf *out)
{
	struct pn_wide_buf name = { .arena = r->scratch };
	struct pn_hv_words words = { 0 };
	struct pn_wide gap;
	enum pn_status st = pn_hv_phrase(r, &words);
	size_t start;

	if (st == PN_OK && pn_hv_at(r) != ':')
		st = PN_NOT_FOUND;
	if (st == PN_OK)
		st = display_name(r, &words, &name);
	if (st != PN_OK)
		return st;
	write_name(out, pn_wide_of(&name));
	pn_wide_add(out, ':');
	r->pos++;
	if (pn_hv_at(r) == ';') {
		r->pos++;
		pn_wide_add(out, ';');
		return PN_OK;
	}
	pn_wide_add(out, ' ');
	start = out->n;
	st = pn_hv_cfws(r, &gap);
	if (st == PN_OK)
		st = members(r, out);
	if (out->n == start)
		out->n--;
	pn_wide_add(out, ';');
	if (st != PN_OK || pn_hv_done(r))
		return st;
	r->pos++;
	return pn_hv_cfws(r, &gap);
}

/* A group or a mailbox, and whatever stands between it and the comma: behind a
 * mailbox that is ignored, behind a group Python raises. */
static enum pn_status
address(struct pn_hv *r, struct pn_wide_buf *out)
{
	struct pn_hv_mark mark = pn_hv_mark(r);
	enum pn_status st = group(r, out);
	struct mailbox m;

	if (st == PN_OK && !pn_hv_done(r) && pn_hv_at(r) != ',')
		return PN_INVALID;
	if (st != PN_NOT_FOUND)
		return st;
	start_again(r, mark);
	st = mailbox(r, &m);
	if (st == PN_OK)
		st = write_mailbox(r, &m, out);
	return st == PN_OK ? pn_hv_junk(r, ',', ',', NULL) : st;
}

enum pn_status
pn_hv_address_list(struct pn_hv *r, struct pn_wide_buf *out)
{
	enum pn_status st = PN_OK;
	bool any = false;

	while (st == PN_OK && !pn_hv_done(r)) {
		size_t written = out->n;
		bool first = !any;
		struct pn_hv_mark mark;

		pn_hv_forget(r);
		mark = pn_hv_mark(r);
		separate(out, &any);
		st = address(r, out);
		if (st == PN_NOT_FOUND) {
			out->n = written;
			any = !first;
			start_again(r, mark);
			st = not_an_address(r, ',', out, &any);
		}
		if (pn_hv_at(r) == ',')
			r->pos++;
	}
	return st;
}
