/* mime_line.c - cuts chunks of a message into lines.
 *
 * CRLF, LF and CR end a line each, whatever the neighbours use.  A line that
 * lies within one chunk is handed on without copying; where nobody reads the
 * lines, whole chunks are searched for "-" at the start of a line only. */
#include "mime_private.h"

enum { WINDOW = 256 };

static void
finish_line(struct pn_mime *mime, enum pn_mime_eol eol)
{
	struct pn_mime_lines *lines = &mime->lines;

	lines->cr = false;
	if (lines->skipping) {
		lines->skipping = false;
		return;
	}
	if (!lines->open)
		pn_mime_line(mime, pn_buf_str(&lines->held), false);
	pn_mime_line_end(mime, eol);
	pn_buf_reset(&lines->held);
	lines->open = false;
}

static void
add_text(struct pn_mime *mime, struct pn_str text)
{
	struct pn_mime_lines *lines = &mime->lines;
	struct pn_str first;

	if (!lines->open) {
		first = pn_str_head(text, PN_MIME_LINE_MAX - lines->held.n);
		pn_buf_add(&lines->held, first);
		text = pn_str_from(text, first.n);
		if (text.n == 0)
			return;
		lines->open = true;
		pn_mime_line(mime, pn_buf_str(&lines->held), true);
	}
	pn_mime_line_more(mime, text);
}

/* Returns what is left from the first line on that starts with "-". */
static struct pn_str
skip(struct pn_mime *mime, struct pn_str chunk)
{
	struct pn_mime_lines *lines = &mime->lines;
	const char *end = chunk.p + chunk.n, *p = chunk.p;

	if (!lines->skipping && *p == '-')
		return chunk;
	while ((p = memchr(p, '-', (size_t)(end - p))) != NULL) {
		if (p > chunk.p && (p[-1] == '\n' || p[-1] == '\r')) {
			lines->skipping = false;
			return pn_str_n(p, (size_t)(end - p));
		}
		while (p < end && *p == '-')
			p++;
	}
	lines->cr = end[-1] == '\r';
	lines->skipping = end[-1] != '\n';
	return pn_str_n(end, 0);
}

/* Looks at a little of the chunk at a time: where all lines end in CR, none
 * may cost a search for LF to the chunk's end. */
static size_t
find_eol(struct pn_str s)
{
	for (size_t at = 0; at < s.n; at += WINDOW) {
		size_t n = s.n - at < WINDOW ? s.n - at : WINDOW;
		const char *lf = memchr(s.p + at, '\n', n);
		const char *cr = memchr(s.p + at, '\r', lf == NULL ? n : (size_t)(lf - s.p) - at);

		if (cr != NULL || lf != NULL)
			return (size_t)((cr != NULL ? cr : lf) - s.p);
	}
	return s.n;
}

/* Takes one line, or what there is of it. */
static struct pn_str
take_line(struct pn_mime *mime, struct pn_str chunk)
{
	struct pn_mime_lines *lines = &mime->lines;
	size_t n = find_eol(chunk);
	struct pn_str text = pn_str_head(chunk, n), rest = pn_str_from(chunk, n + 1);
	enum pn_mime_eol eol = PN_MIME_EOL_LF;

	if (n < chunk.n && chunk.p[n] == '\r') {
		if (rest.n > 0 && rest.p[0] == '\n')
			rest = pn_str_from(rest, 1);
		else if (rest.n > 0)
			eol = PN_MIME_EOL_CR;
		else
			lines->cr = true;
		if (eol != PN_MIME_EOL_CR)
			eol = PN_MIME_EOL_CRLF;
	}
	if (n < chunk.n && !lines->cr && lines->held.n == 0 && text.n <= PN_MIME_LINE_MAX) {
		pn_mime_line(mime, text, false);
		pn_mime_line_end(mime, eol);
		return rest;
	}
	add_text(mime, text);
	if (n < chunk.n && !lines->cr)
		finish_line(mime, eol);
	return rest;
}

void
pn_mime_feed(struct pn_mime *mime, struct pn_str chunk)
{
	struct pn_mime_lines *lines = &mime->lines;

	while (chunk.n > 0 && !mime->over) {
		if (lines->cr) {
			bool lf = chunk.p[0] == '\n';

			finish_line(mime, lf ? PN_MIME_EOL_CRLF : PN_MIME_EOL_CR);
			chunk = pn_str_from(chunk, lf);
		} else if (lines->skipping || (lines->held.n == 0 && pn_mime_skips(mime))) {
			struct pn_str rest = skip(mime, chunk);

			/* A "-" at the start of a line: this line is looked at. */
			chunk = rest.n > 0 ? take_line(mime, rest) : rest;
		} else
			chunk = take_line(mime, chunk);
	}
}

void
pn_mime_feed_end(struct pn_mime *mime)
{
	struct pn_mime_lines *lines = &mime->lines;

	if (mime->over)
		return;
	if (lines->cr)
		finish_line(mime, PN_MIME_EOL_CR);
	else if (lines->held.n > 0)
		finish_line(mime, PN_MIME_EOL_NONE);
}
