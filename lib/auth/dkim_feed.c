#include "dkim_feed.h"

#include "dkim_canon.h"

enum {
	FIELDS_MAX = 2000,
	FIELDS_SIZE = 1024 * 1024,
};

/* -- the header -- */

/* The library verifies what stands before a NUL only, and takes the others for blanks. */
static bool
is_odd(struct pn_str raw)
{
	for (size_t i = 0; i < raw.n; i++)
		if (raw.p[i] == '\0' || raw.p[i] == '\v' || raw.p[i] == '\f'
		    || (raw.p[i] == '\r' && (i + 1 == raw.n || raw.p[i + 1] != '\n')))
			return true;
	return false;
}

const char *
dkim_feed_refuses(struct pn_fields fields)
{
	size_t size = 0;

	if (fields.n > FIELDS_MAX)
		return "too many header fields";
	for (size_t i = 0; i < fields.n; i++) {
		size += fields.v[i].name.n + fields.v[i].raw.n + 3;
		if (is_odd(fields.v[i].raw))
			return "a header field has a NUL, VT or FF, or a CR that ends no line";
	}
	return size > FIELDS_SIZE ? "the header is too large" : NULL;
}

void
dkim_feed_init(struct dkim_feed *feed, DKIM *dkim)
{
	*feed = (struct dkim_feed){ .dkim = dkim };
	pn_buf_init(&feed->field, 2 * FIELDS_SIZE);
}

static bool
is_field_name(struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~')
			return false;
	return name.n > 0;
}

static void
give_field(struct dkim_feed *feed, const struct pn_field *field)
{
	pn_buf_reset(&feed->field);
	pn_dkim_canon_field(field, false, &feed->field);
	(void)dkim_header(feed->dkim, (u_char *)feed->field.p, feed->field.n - 2);
}

void
dkim_feed_field(struct dkim_feed *feed, const struct pn_field *field)
{
	if (is_field_name(field->name))
		give_field(feed, field);
}

/* The library writes behind its table of fields when h= names all of them and one more.  No h= can name the
 * last one here. */
bool
dkim_feed_eoh(struct dkim_feed *feed)
{
	give_field(feed, &(struct pn_field){ PN_STR("x y"), PN_STR_EMPTY });
	pn_buf_done(&feed->field);
	return dkim_eoh(feed->dkim) == DKIM_STAT_OK;
}

/* -- the body -- */

static void
give_body(struct dkim_feed *feed, struct pn_str piece)
{
	if (piece.n > 0)
		(void)dkim_body(feed->dkim, (u_char *)(uintptr_t)piece.p, piece.n);
}

/* The text of a line, or what came of it: up to its LF, if that is there. */
static void
look_at(struct dkim_feed *feed, struct pn_str text)
{
	size_t cr = pn_str_find(text, '\r');

	if (text.n == 0)
		return;
	feed->bare_cr = feed->bare_cr || feed->cr || (cr != PN_STR_NONE && cr + 1 < text.n);
	feed->cr = text.p[text.n - 1] == '\r';
	feed->line = true;
}

void
dkim_feed_body(struct dkim_feed *feed, struct pn_str chunk)
{
	struct pn_str rest = chunk;
	size_t lf;

	while ((lf = pn_str_find(rest, '\n')) != PN_STR_NONE) {
		look_at(feed, pn_str_head(rest, lf));
		rest = pn_str_from(rest, lf + 1);
		if (!feed->cr) {
			give_body(feed, pn_str_head(chunk, chunk.n - rest.n - 1));
			give_body(feed, PN_STR("\r\n"));
			chunk = rest;
		}
		feed->line = feed->cr = false;
	}
	look_at(feed, rest);
	give_body(feed, chunk);
}

bool
dkim_feed_has_bare_cr(const struct dkim_feed *feed)
{
	return feed->bare_cr || feed->cr;
}

/* The last line has an end, too, or the library gives the mail up. */
void
dkim_feed_eom(struct dkim_feed *feed)
{
	if (feed->line)
		give_body(feed, PN_STR("\r\n"));
	(void)dkim_eom(feed->dkim, NULL);
}
