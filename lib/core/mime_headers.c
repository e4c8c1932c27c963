/* mime_headers.c - the header block of one part, as Python's feedparser reads
 * it: only the few fields that decide something are kept. */
#include "mime_private.h"
#include "postern/header_value.h"

bool
pn_mime_is_header_name(struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ':')
			return false;
	return true;
}

/* PN_UNKNOWN: the line is longer than what is here of it, and so is its name. */
enum pn_known
pn_mime_is_header_line(struct pn_str text, bool open)
{
	size_t colon;

	if (text.n == 0)
		return PN_NO;
	if (text.p[0] == ' ' || text.p[0] == '\t' || pn_str_starts(text, PN_STR("From ")))
		return PN_YES;
	colon = pn_str_find(text, ':');
	if (!pn_mime_is_header_name(pn_str_head(text, colon)))
		return PN_NO;
	return colon != PN_STR_NONE ? PN_YES : open ? PN_UNKNOWN : PN_NO;
}

void
pn_mime_headers_start(struct pn_mime *mime)
{
	struct pn_mime_headers *headers = &mime->headers;

	pn_arena_reset(mime->scratch);
	headers->reading = headers->wanted = headers->has_from_line = false;
	headers->lines = headers->count = 0;
	memset(&headers->type, 0, sizeof(headers->type));
	headers->disposition = headers->cte = headers->type;
}

/* Where the value of this field goes; NULL when nobody wants it. */
static struct pn_buf *
sink_of(struct pn_mime *mime, struct pn_str name)
{
	static const struct pn_str message_id = PN_STR("message-id");
	static const struct pn_str ms_id = PN_STR("x-microsoft-original-message-id");
	enum pn_mime_sink sink = mime->stack[mime->depth - 1].sink;
	struct pn_mime_ids *ids = sink == PN_MIME_SINK_EMBEDDED ? &mime->embedded : &mime->report;

	if (sink == PN_MIME_SINK_NONE)
		return NULL;
	if (sink == PN_MIME_SINK_DSN)
		return pn_str_eq_nocase(name, PN_STR("final-recipient")) ? &mime->final_recipient :
		    pn_str_eq_nocase(name, PN_STR("action")) ? &mime->action :
		    pn_str_eq_nocase(name, PN_STR("status")) ? &mime->status :
		    pn_str_eq_nocase(name, PN_STR("diagnostic-code")) ? &mime->diagnostic : NULL;
	return pn_str_eq_nocase(name, message_id) ? &ids->message_id :
	    pn_str_eq_nocase(name, ms_id) ? &ids->ms_id : NULL;
}

/* Only the first field of a name counts, as Message.get() has it. */
static struct pn_mime_slot *
slot_of(struct pn_mime *mime, struct pn_str name)
{
	struct pn_mime_headers *headers = &mime->headers;
	struct pn_mime_slot *slot =
	    pn_str_eq_nocase(name, PN_STR("content-type")) ? &headers->type :
	    pn_str_eq_nocase(name, PN_STR("content-disposition")) ? &headers->disposition :
	    pn_str_eq_nocase(name, PN_STR("content-transfer-encoding")) ? &headers->cte : NULL;

	return slot == NULL || slot->present ? NULL : slot;
}

static bool
is_read(struct pn_mime *mime, struct pn_str name)
{
	return slot_of(mime, name) != NULL || sink_of(mime, name) != NULL;
}

static void
mark_invalid(struct pn_mime *mime, const struct pn_buf *sink)
{
	switch (mime->stack[mime->depth - 1].sink) {
	case PN_MIME_SINK_EMBEDDED:
		mime->embedded.invalid = true;
		break;
	case PN_MIME_SINK_REPORT:
		mime->report.invalid = true;
		break;
	case PN_MIME_SINK_DSN:
		/* The others of that block are read for people only. */
		mime->dsn_invalid |= sink == &mime->final_recipient;
		break;
	case PN_MIME_SINK_NONE:
		break;
	}
}

void
pn_mime_headers_one(struct pn_mime *mime, struct pn_str name, struct pn_str raw)
{
	struct pn_mime_slot *slot = slot_of(mime, name);
	struct pn_buf *sink = sink_of(mime, name);
	struct pn_str text = PN_STR_EMPTY;
	enum pn_status st;

	if (slot == NULL && sink == NULL)
		return;
	st = raw.n > PN_MIME_VALUE_MAX ? PN_LIMIT : pn_header_value(name, raw, mime->scratch, &text);
	if (st != PN_OK && st != PN_INVALID) {
		pn_mime_give_up(mime);
		return;
	}
	if (slot != NULL)
		*slot = (struct pn_mime_slot){ .present = true, .invalid = st != PN_OK, .text = text };
	if (sink == NULL)
		return;
	if (st != PN_OK)
		mark_invalid(mime, sink);
	else if (text.n > 0) {
		if (sink->n > 0)
			pn_buf_add_char(sink, ' ');
		pn_buf_add(sink, text);
		if (pn_buf_failed(sink))
			pn_mime_give_up(mime);
	}
}

/* The header being read is complete. */
static void
flush(struct pn_mime *mime)
{
	struct pn_mime_headers *headers = &mime->headers;

	if (!headers->reading)
		return;
	headers->reading = false;
	headers->count++;
	if (!headers->wanted)
		return;
	if (mime->stack[mime->depth - 1].printed)
		pn_mime_part_printed_header(mime, pn_buf_str(&headers->name), pn_buf_str(&headers->value));
	if (pn_buf_failed(&headers->value) && is_read(mime, pn_buf_str(&headers->name)))
		pn_mime_give_up(mime);
	else
		pn_mime_headers_one(mime, pn_buf_str(&headers->name), pn_buf_str(&headers->value));
}

static void
start_header(struct pn_mime *mime, struct pn_str text)
{
	struct pn_mime_headers *headers = &mime->headers;
	size_t colon = pn_str_find(text, ':');
	struct pn_str name = pn_str_head(text, colon);

	if (colon == 0)
		return;		/* a header without a name counts for nothing */
	headers->reading = true;
	headers->wanted = is_read(mime, name) || mime->stack[mime->depth - 1].printed;
	if (!headers->wanted)
		return;
	pn_buf_reset(&headers->name);
	pn_buf_add(&headers->name, name);
	text = pn_str_from(text, colon + 1);
	while (text.n > 0 && (text.p[0] == ' ' || text.p[0] == '\t'))
		text = pn_str_from(text, 1);
	pn_buf_reset(&headers->value);
	pn_buf_add(&headers->value, text);
}

void
pn_mime_headers_line(struct pn_mime *mime, struct pn_str text)
{
	struct pn_mime_headers *headers = &mime->headers;

	headers->has_from_line = false;	/* it was not the last line, so it is dropped */
	headers->lines++;
	if (text.p[0] == ' ' || text.p[0] == '\t') {
		if (headers->reading && headers->wanted) {
			pn_buf_add_char(&headers->value, '\n');
			pn_buf_add(&headers->value, text);
		}
		return;
	}
	flush(mime);
	if (!pn_str_starts(text, PN_STR("From "))) {
		start_header(mime, text);
	} else if (headers->lines > 1) {
		headers->has_from_line = true;
		pn_buf_reset(&headers->from_line);
		pn_buf_add(&headers->from_line, text);
	}
}

void
pn_mime_headers_more(struct pn_mime *mime, struct pn_str text)
{
	struct pn_mime_headers *headers = &mime->headers;

	if (headers->has_from_line)
		pn_buf_add(&headers->from_line, text);
	else if (headers->reading && headers->wanted)
		pn_buf_add(&headers->value, text);
}

void
pn_mime_headers_end(struct pn_mime *mime)
{
	flush(mime);
}
