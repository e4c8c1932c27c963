/* mime_tree.c - the structure of a message (RFC 2046), as Python's feedparser
 * finds it.
 *
 * Every open part has a frame.  The innermost one takes the line, unless the
 * line is a boundary of some container further out, or a blank line within a
 * delivery report: then the innermost part is over and the line is offered to
 * the next one.  What looks odd here (two boundaries in a row are one, a
 * closing boundary in the preamble leaves no parts) is what that parser does. */
#include "mime_private.h"

enum match { NO_MATCH, SEPARATOR, CLOSE, UNSURE };

static struct pn_mime_frame *
top(struct pn_mime *mime)
{
	return &mime->stack[mime->depth - 1];
}

/* A line that may be a boundary: the same question is asked for every open container. */
struct candidate {
	const char *p;		/* behind the "--" */
	size_t n;		/* without blanks at the end */
	bool closes;		/* it ends in "--": perhaps not part of the boundary */
	bool open;		/* not the whole line */
};

static bool
is_candidate(struct pn_str text, bool open, struct candidate *out)
{
	if (text.n < 2 || text.p[0] != '-' || text.p[1] != '-')
		return false;
	text = pn_str_from(text, 2);
	while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t'))
		text.n--;
	*out = (struct candidate){ text.p, text.n, pn_str_ends(text, PN_STR("--")), open };
	return true;
}

static enum match
match_boundary(const struct pn_mime *mime, const struct pn_mime_frame *frame,
    const struct candidate *line)
{
	size_t n = frame->boundary_n;
	bool closes = line->closes && line->n == n + 2;

	if (frame->unmatchable || (line->n != n && !closes))
		return NO_MATCH;
	if (n > 0 && memcmp(line->p, mime->boundaries.p + frame->boundary, n) != 0)
		return NO_MATCH;
	return line->open ? UNSURE : closes ? CLOSE : SEPARATOR;
}

static enum match
match_own(struct pn_mime *mime, struct pn_str text, bool open)
{
	struct candidate line;

	return is_candidate(text, open, &line) ? match_boundary(mime, top(mime), &line) : NO_MATCH;
}

/* Does the line end the innermost part? */
static bool
stops(struct pn_mime *mime, struct pn_str text, bool open)
{
	bool blank = text.n == 0 && !open;
	struct candidate line;
	bool dashes = is_candidate(text, open, &line);

	if (!dashes && !(blank && mime->blank_ends > 0))
		return false;
	for (size_t i = mime->depth - 1; i-- > 0; ) {
		const struct pn_mime_frame *frame = &mime->stack[i];

		if (frame->state == PN_MIME_BLOCK && blank)
			return true;
		if (frame->state != PN_MIME_IN_PART || !dashes)
			continue;
		switch (match_boundary(mime, frame, &line)) {
		case SEPARATOR:
		case CLOSE:
			return true;
		case UNSURE:
			pn_mime_give_up(mime);
			return false;
		case NO_MATCH:
			break;
		}
	}
	return false;
}

/* What a part has from the container it is in. */
static void
inherit(struct pn_mime *mime, struct pn_mime_frame *parent, struct pn_mime_frame *frame)
{
	frame->in_digest = parent->digest;
	frame->in_multipart = parent->in_multipart || parent->state == PN_MIME_IN_PART;
	frame->keeps_folds = parent->keeps_folds;
	frame->printed = parent->printed || (parent->prints && parent->blocks <= 1);
	if (frame->printed && !parent->printed)
		mime->text_seen_before = mime->text_seen;
	frame->sink = parent->child_sink;
	parent->child_sink = PN_MIME_SINK_NONE;
}

static void
push(struct pn_mime *mime)
{
	struct pn_mime_frame *parent, *frame;

	if (mime->depth == PN_MIME_DEPTH_MAX) {
		pn_mime_give_up(mime);
		return;
	}
	frame = &mime->stack[mime->depth++];
	memset(frame, 0, sizeof(*frame));
	frame->boundary = mime->boundaries.n;
	if (mime->depth > 1) {
		parent = frame - 1;
		if (parent->state == PN_MIME_BLOCK && ++parent->blocks == 2 && parent->is_dsn) {
			parent->child_sink = PN_MIME_SINK_DSN;
			mime->has_dsn = true;
		}
		inherit(mime, parent, frame);
	}
	pn_mime_headers_start(mime);
}

static void
shorten(struct pn_buf *buf, size_t n)
{
	buf->n = n;
	if (buf->p != NULL)
		buf->p[n] = '\0';
}

static void
pop(struct pn_mime *mime)
{
	do {
		shorten(&mime->boundaries, top(mime)->boundary);
		if (--mime->depth == 0) {
			mime->over = true;
			return;
		}
	} while (top(mime)->state == PN_MIME_MESSAGE);
	if (top(mime)->state == PN_MIME_BLOCK) {
		top(mime)->state = PN_MIME_AFTER_BLOCK;
		mime->blank_ends--;
	} else
		top(mime)->state = PN_MIME_BETWEEN;
}

static void
open_block(struct pn_mime *mime)
{
	top(mime)->state = PN_MIME_BLOCK;
	mime->blank_ends++;
	push(mime);
}

static void
open_part(struct pn_mime *mime)
{
	top(mime)->state = PN_MIME_IN_PART;
	push(mime);
}

void
pn_mime_tree_headers_end(struct pn_mime *mime)
{
	struct pn_mime_frame *frame = top(mime);
	bool from_line = mime->headers.has_from_line;
	struct pn_str text;

	pn_mime_headers_end(mime);
	if (!mime->over)
		pn_mime_part_begin(mime, frame);
	if (mime->depth == 1)
		mime->top_done = true;
	text = pn_buf_str(&mime->headers.from_line);
	if (from_line && pn_buf_failed(&mime->headers.from_line))
		pn_mime_give_up(mime);
	if (mime->over)
		return;
	if (frame->state == PN_MIME_BLOCK)
		open_block(mime);
	else if (frame->state == PN_MIME_MESSAGE)
		push(mime);
	/* A "From " line at the end of the headers is the body's first line.  The
	 * text stays where it is: a part that starts with such a line drops it. */
	if (from_line && !mime->over) {
		pn_mime_line(mime, text, false);
		pn_mime_line_end(mime, PN_MIME_EOL_LF);
	}
}

/* The innermost part is over, or must make up its mind. */
static void
at_end(struct pn_mime *mime)
{
	struct pn_mime_frame *frame = top(mime);

	switch (frame->state) {
	case PN_MIME_HEADERS:
		pn_mime_tree_headers_end(mime);
		return;
	case PN_MIME_SEPARATORS:
		open_part(mime);
		return;
	case PN_MIME_AFTER_BLOCK:
		frame->state = PN_MIME_NEXT_BLOCK;
		return;
	case PN_MIME_LEAF:
		pn_mime_part_end(mime, frame);
		break;
	case PN_MIME_PREAMBLE:
		pn_mime_part_unsplit(mime, frame);
		break;
	case PN_MIME_DROP:
		if (frame->watches)
			pn_mime_part_unsplit(mime, frame);
		break;
	case PN_MIME_BETWEEN:
	case PN_MIME_NEXT_BLOCK:
	case PN_MIME_IN_PART:
	case PN_MIME_MESSAGE:
	case PN_MIME_BLOCK:
		break;
	}
	if (!mime->over)
		pop(mime);
}

/* A line within the headers; false when it is the first of the body. */
static bool
take_header(struct pn_mime *mime, struct pn_str text, bool open)
{
	switch (pn_mime_is_header_line(text, open)) {
	case PN_YES:
		pn_mime_headers_line(mime, text);
		return true;
	case PN_UNKNOWN:
		pn_mime_give_up(mime);
		return true;
	case PN_NO:
		break;
	}
	pn_mime_tree_headers_end(mime);
	return text.n == 0 && !open;
}

/* A line before the first part or between two of them. */
static void
take_boundary(struct pn_mime *mime, struct pn_str text, bool open)
{
	struct pn_mime_frame *frame = top(mime);

	switch (match_own(mime, text, open)) {
	case SEPARATOR:
		frame->state = PN_MIME_SEPARATORS;
		frame->watches = false;
		break;
	case CLOSE:
		if (frame->state == PN_MIME_PREAMBLE)
			pn_mime_part_unsplit(mime, frame);
		frame->state = PN_MIME_DROP;
		frame->watches = false;
		break;
	case UNSURE:
		pn_mime_give_up(mime);
		break;
	case NO_MATCH:
		if (frame->state == PN_MIME_BETWEEN)
			pn_mime_parse_failed(mime);
		break;
	}
}

/* Several boundaries in a row are one, a closing one among them too. */
static bool
take_separator(struct pn_mime *mime, struct pn_str text, bool open)
{
	switch (match_own(mime, text, open)) {
	case SEPARATOR:
	case CLOSE:
		return true;
	case UNSURE:
		pn_mime_give_up(mime);
		return true;
	case NO_MATCH:
		break;
	}
	open_part(mime);
	return false;
}

static void
watch(struct pn_mime_frame *frame, struct pn_str text)
{
	if (frame->watches)
		frame->eight_bit |= !pn_str_is_ascii(text);
}

/* Offers the line to the innermost part; false when it has to be offered again. */
static bool
take(struct pn_mime *mime, struct pn_str text, bool open)
{
	if (stops(mime, text, open)) {
		at_end(mime);
		return false;
	}
	switch (top(mime)->state) {
	case PN_MIME_HEADERS:
		return take_header(mime, text, open);
	case PN_MIME_LEAF:
		mime->in_leaf_line = true;
		pn_mime_part_text(mime, text);
		return true;
	case PN_MIME_PREAMBLE:
	case PN_MIME_BETWEEN:
		take_boundary(mime, text, open);
		watch(top(mime), text);
		return true;
	case PN_MIME_SEPARATORS:
		return take_separator(mime, text, open);
	case PN_MIME_AFTER_BLOCK:
		top(mime)->state = PN_MIME_NEXT_BLOCK;
		return true;
	case PN_MIME_NEXT_BLOCK:
		open_block(mime);
		return false;
	case PN_MIME_DROP:
		watch(top(mime), text);
		break;
	case PN_MIME_IN_PART:
	case PN_MIME_MESSAGE:
	case PN_MIME_BLOCK:
		break;
	}
	return true;
}

void
pn_mime_line(struct pn_mime *mime, struct pn_str text, bool open)
{
	while (!mime->over && !take(mime, text, open))
		;
}

void
pn_mime_line_more(struct pn_mime *mime, struct pn_str text)
{
	if (mime->over)
		return;
	if (top(mime)->state == PN_MIME_HEADERS)
		pn_mime_headers_more(mime, text);
	else if (mime->in_leaf_line)
		pn_mime_part_text(mime, text);
	else
		watch(top(mime), text);
}

void
pn_mime_line_end(struct pn_mime *mime, enum pn_mime_eol eol)
{
	if (!mime->over && mime->in_leaf_line && mime->reads_content)
		pn_mime_content_eol(&mime->content, eol);
	mime->in_leaf_line = false;
}

void
pn_mime_tree_start(struct pn_mime *mime)
{
	push(mime);
}

void
pn_mime_tree_end(struct pn_mime *mime)
{
	while (!mime->over)
		at_end(mime);
}

bool
pn_mime_skips(const struct pn_mime *mime)
{
	const struct pn_mime_frame *frame = &mime->stack[mime->depth - 1];

	if (mime->blank_ends > 0 || frame->watches)
		return false;
	return frame->state == PN_MIME_DROP || frame->state == PN_MIME_PREAMBLE ||
	    (frame->state == PN_MIME_LEAF && !mime->reads_content);
}
