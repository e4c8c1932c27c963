#include "postern/fields.h"

/* The line at the head of *rest with its line end, taken off. */
static struct pn_str
next_line(struct pn_str *rest)
{
	struct pn_str line;
	size_t n = 0;

	while (n < rest->n && rest->p[n] != '\n' && rest->p[n] != '\r')
		n++;
	if (n + 1 < rest->n && rest->p[n] == '\r' && rest->p[n + 1] == '\n')
		n++;
	line = pn_str_head(*rest, n + 1);
	*rest = pn_str_from(*rest, n + 1);
	return line;
}

static struct pn_str
without_end(struct pn_str line)
{
	while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	return line;
}

static bool
is_fold(struct pn_str line)
{
	return line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
}

static bool
is_mbox_line(struct pn_str line)
{
	return pn_str_starts(line, PN_STR("From "));
}

/* Visible ASCII without a colon, then a colon. */
static size_t
name_length(struct pn_str line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
		n++;
	return n < line.n && line.p[n] == ':' ? n : PN_STR_NONE;
}

struct splitter {
	struct pn_arena *arena;
	struct pn_fields fields;
	size_t cap;
	bool open;		/* the last field may be folded on */
};

static void
add_line(struct splitter *s, struct pn_str line)
{
	size_t name = name_length(line);
	struct pn_field *last = s->fields.n > 0 ? &s->fields.v[s->fields.n - 1] : NULL;

	if (is_fold(line)) {
		if (s->open)
			last->raw.n = (size_t)(line.p + line.n - last->raw.p);
		return;
	}
	s->open = false;
	if (name == PN_STR_NONE || name == 0)
		return;
	s->fields.v = pn_arena_grow(s->arena, s->fields.v, s->fields.n, &s->cap, s->fields.n + 1,
	    sizeof(*s->fields.v));
	s->fields.v[s->fields.n++] = (struct pn_field){ pn_str_head(line, name), pn_str_from(line, name + 1) };
	s->open = true;
}

enum pn_status
pn_fields_split(struct pn_str text, struct pn_arena *arena, struct pn_fields *fields, struct pn_str *body)
{
	struct splitter s = { .arena = arena };
	struct pn_str rest = text, line = PN_STR_EMPTY, at = text, last = text;
	size_t lines = 0;

	while (rest.n > 0) {
		at = rest;
		line = next_line(&rest);
		if (!is_mbox_line(line) && !is_fold(line) && name_length(line) == PN_STR_NONE) {
			if (without_end(line).n > 0)
				rest = at;
			break;
		}
		last = at;
		add_line(&s, line);
		lines++;
		at = rest;
	}
	/* a "From " line that ends the headers is the first line of the body */
	if (lines > 1 && is_mbox_line(last))
		rest = last;
	for (size_t i = 0; i < s.fields.n; i++)
		s.fields.v[i].raw = without_end(s.fields.v[i].raw);
	*fields = s.fields;
	*body = rest;
	return pn_arena_exhausted(arena) ? PN_LIMIT : PN_OK;
}
