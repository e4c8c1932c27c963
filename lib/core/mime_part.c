/* mime_part.c - what one part of a message means for Odoo: can it be decoded,
 * and is it one of those that tell about a bounce (Odoo rules 2.1, 4.2). */
#include "mime_private.h"
#include "postern/header_value.h"
#include "postern/unicode.h"

enum { FOLD_WIDTH = 78 };

static bool
is(struct pn_str type, const char *name)
{
	return pn_str_eq(type, pn_str_c(name));
}

/* The part that is read now makes Odoo fail: `yes` surely, else perhaps.  Of a
 * bounce only the parts up to the first text are read. */
static void
fatal(struct pn_mime *mime, struct pn_mime_verdict verdict)
{
	mime->mail.yes |= verdict.yes;
	mime->mail.perhaps |= verdict.perhaps;
	if (mime->text_seen == PN_NO)
		mime->bounce.yes |= verdict.yes;
	if (mime->text_seen != PN_YES)
		mime->bounce.perhaps |= verdict.yes || verdict.perhaps;
	if (mime->mail.yes && mime->bounce.yes)
		mime->over = true;
}

static const struct pn_mime_verdict surely = { .yes = true }, perhaps = { .perhaps = true },
    harmless = { .yes = false };

/* The part that is printed is read before those in it. */
static void
fatal_print(struct pn_mime *mime, struct pn_mime_verdict verdict)
{
	enum pn_known text_seen = mime->text_seen;

	mime->text_seen = mime->text_seen_before;
	fatal(mime, verdict);
	mime->text_seen = text_seen;
}

static enum pn_mime_found
type_param(struct pn_mime *mime, const char *name, struct pn_str *value)
{
	if (!mime->headers.type.present)
		return PN_MIME_ABSENT;
	return pn_mime_param(mime->headers.type.text, pn_str_c(name), mime->scratch, value);
}

/* get_boundary(), kept on the stack of boundaries. */
static enum pn_mime_found
take_boundary(struct pn_mime *mime, struct pn_mime_frame *frame)
{
	struct pn_str boundary, charset;
	enum pn_mime_found found = type_param(mime, "boundary", &boundary);

	frame->has_charset = type_param(mime, "charset", &charset) != PN_MIME_ABSENT;
	if (found != PN_MIME_FOUND)
		return found;
	boundary = pn_mime_rstrip(pn_mime_unquote(boundary, mime->scratch));
	if (boundary.n > PN_MIME_BOUNDARY_MAX)
		return PN_MIME_ODD;
	/* Python compares characters of the header with bytes of the body. */
	frame->unmatchable = !pn_str_is_ascii(boundary);
	frame->boundary = mime->boundaries.n;
	frame->boundary_n = boundary.n;
	pn_buf_add(&mime->boundaries, boundary);
	return found;
}

static void
begin_multipart(struct pn_mime *mime, struct pn_mime_frame *frame)
{
	switch (take_boundary(mime, frame)) {
	case PN_MIME_ODD:
		pn_mime_give_up(mime);
		break;
	case PN_MIME_ABSENT:
		frame->state = PN_MIME_DROP;
		frame->watches = frame->printed;
		pn_mime_part_unsplit(mime, frame);
		break;
	case PN_MIME_FOUND:
		frame->state = PN_MIME_PREAMBLE;
		frame->watches = frame->printed;
		/* Printing makes one up and writes the header anew. */
		if (frame->printed && frame->boundary_n == 0)
			fatal_print(mime, perhaps);
		if (mime->headers.cte.invalid)
			pn_mime_parse_failed(mime);
		break;
	}
}

/* Printing decodes the text of what could not be split, as ASCII if it does
 * not say otherwise, and cannot encode what that makes of other bytes. */
void
pn_mime_part_unsplit(struct pn_mime *mime, const struct pn_mime_frame *frame)
{
	mime->report_unsplit |= frame->is_report;
	if (frame->watches && frame->eight_bit)
		fatal_print(mime, frame->has_charset ? perhaps : surely);
}

/* Is there a line that Python folds anew when it prints the header? */
static bool
is_folded(struct pn_str name, struct pn_str raw)
{
	size_t n = name.n + 2;	/* with the colon and a blank */

	for (size_t i = 0; i < raw.n && n <= FOLD_WIDTH; i++) {
		char c = raw.p[i];

		n = (c >= '\n' && c <= '\r') || (c >= 0x1c && c <= 0x1e) ? 0 : n + 1;
	}
	return n > FOLD_WIDTH;
}

static bool
is_structured(struct pn_str name)
{
	static const char *const names[] = { "to", "cc", "bcc", "from", "reply-to", "sender", "resent-to",
		"resent-cc", "resent-bcc", "resent-from", "resent-sender", "mime-version",
		"content-type", "content-disposition", "content-transfer-encoding" };

	for (size_t i = 0; i < PN_COUNT(names); i++)
		if (pn_str_eq_nocase(name, pn_str_c(names[i])))
			return true;
	return false;
}

/* A long header is parsed to be folded, which raises where reading it does.
 * The folding itself raises on some oddities: those are not told apart. */
void
pn_mime_part_printed_header(struct pn_mime *mime, struct pn_str name, struct pn_str raw)
{
	struct pn_str text;
	enum pn_status st;

	if (mime->stack[mime->depth - 1].keeps_folds || !is_folded(name, raw))
		return;
	st = raw.n < PN_MIME_VALUE_MAX ? pn_header_value(name, raw, mime->scratch, &text) : PN_LIMIT;
	if (st == PN_INVALID)
		fatal_print(mime, surely);
	else if (st != PN_OK || is_structured(name) || !pn_str_is_ascii(raw) ||
	    pn_str_contains(raw, PN_STR("=?")))
		fatal_print(mime, perhaps);
}

/* Is this one of the parts that a bounce is read from?  The first of each kind counts. */
static void
choose(struct pn_mime *mime, struct pn_mime_frame *frame, struct pn_str type)
{
	bool message = is(type, "message/rfc822");

	if (!mime->has_embedded && (message || is(type, "text/rfc822-headers"))) {
		mime->has_embedded = true;
		mime->embedded_empty = mime->headers.count == 0;
		if (message)
			frame->child_sink = PN_MIME_SINK_EMBEDDED;
		else
			mime->reads_content = true;
	} else if (!mime->has_report && is(type, "multipart/report")) {
		mime->has_report = true;
		frame->is_report = true;
		frame->child_sink = PN_MIME_SINK_REPORT;
	} else if (!mime->has_dsn_part && is(type, "message/delivery-status")) {
		mime->has_dsn_part = true;
		frame->is_dsn = true;
	}
}

static enum pn_mime_cte
transfer_encoding(struct pn_mime *mime)
{
	static const struct {
		const char *name;
		enum pn_mime_cte cte;
	} names[] = {
		{ "quoted-printable", PN_MIME_CTE_QP }, { "base64", PN_MIME_CTE_BASE64 },
		{ "x-uuencode", PN_MIME_CTE_UU }, { "uuencode", PN_MIME_CTE_UU },
		{ "uue", PN_MIME_CTE_UU }, { "x-uue", PN_MIME_CTE_UU },
	};

	for (size_t i = 0; mime->headers.cte.present && i < PN_COUNT(names); i++)
		if (pn_str_eq_nocase(mime->headers.cte.text, pn_str_c(names[i].name)))
			return names[i].cte;
	return PN_MIME_CTE_RAW;
}

/* The charset of a text by its Content-Type; absent is ASCII. */
static enum pn_mime_charset
charset_of(struct pn_mime *mime)
{
	struct pn_str name;

	switch (type_param(mime, "charset", &name)) {
	case PN_MIME_ABSENT:
		return PN_MIME_CHARSET_ASCII;
	case PN_MIME_ODD:
		fatal(mime, perhaps);
		return PN_MIME_CHARSET_ODD;
	case PN_MIME_FOUND:
		break;
	}
	return pn_mime_charset(name);
}

/* Fatal as soon as there is any text. */
static struct pn_mime_verdict
fatal_with_text(enum pn_mime_charset charset)
{
	return charset == PN_MIME_CHARSET_NONE || charset == PN_MIME_CHARSET_RAISES ? surely :
	    charset == PN_MIME_CHARSET_ODD ? perhaps : harmless;
}

static bool
is_open(struct pn_mime_verdict verdict)
{
	return verdict.yes || verdict.perhaps;
}

static void
begin_text(struct pn_mime *mime, enum pn_mime_charset charset)
{
	mime->if_any = fatal_with_text(charset);
	if (charset == PN_MIME_CHARSET_NUL)
		fatal(mime, surely);
	mime->reads_content = is_open(mime->if_any) ||
	    (mime->is_html && mime->counts != PN_NO && mime->text_seen != PN_YES);
	pn_mime_content_start(&mime->content, transfer_encoding(mime), charset, NULL);
}

/* Reads this text as the headers of a mail.  Odoo does so before it makes up a
 * charset for parts without one. */
static void
begin_reader(struct pn_mime *mime)
{
	enum pn_mime_charset charset = charset_of(mime);

	if (mime->reader == NULL)
		mime->reader = pn_mime_new();
	pn_mime_reset(mime->reader);
	mime->reader->is_reader = true;
	mime->reader->stack[0].sink = PN_MIME_SINK_EMBEDDED;
	mime->crash.yes |= charset == PN_MIME_CHARSET_NUL || mime->headers.cte.invalid;
	mime->crash_if_any = fatal_with_text(charset);
	mime->reads_content = true;
	pn_mime_content_start(&mime->content, transfer_encoding(mime), charset, mime->reader);
}

/* Types whose content is bytes: nothing in them needs decoding. */
static bool
is_binary(struct pn_str type)
{
	static const char *const names[] = { "audio/", "image/", "video/", "application/" };

	for (size_t i = 0; i < PN_COUNT(names); i++)
		if (pn_str_starts(type, pn_str_c(names[i])))
			return true;
	return false;
}

/* Odoo gives a text part without charset the charset utf-8: Python writes the
 * header anew and reads it again, which may fail or yield something else. */
static void
begin_text_without_charset(struct pn_mime *mime)
{
	struct pn_mime_slot *slot = &mime->headers.type;
	struct pn_buf raw;
	struct pn_str text = PN_STR_EMPTY, type;
	enum pn_status st = PN_INVALID;

	if (!slot->present) {
		begin_text(mime, PN_MIME_CHARSET_UTF8);
		return;
	}
	pn_buf_init(&raw, PN_MIME_VALUE_MAX * 4);
	pn_buf_add(&raw, slot->text);
	pn_buf_add_c(&raw, slot->text.n > 0 ? "; charset=\"utf-8\"" : "charset=\"utf-8\"");
	if (!pn_mime_breaks_line(slot->text))
		st = pn_buf_failed(&raw) ? PN_LIMIT : pn_header_value(PN_STR("Content-Type"),
		    pn_buf_str(&raw), mime->scratch, &text);
	pn_buf_done(&raw);
	if (st != PN_OK) {
		fatal(mime, st == PN_INVALID ? surely : perhaps);
		begin_text(mime, PN_MIME_CHARSET_UTF8);
		return;
	}
	slot->text = text;
	type = pn_mime_type(text, mime->scratch);
	if (pn_str_starts(type, PN_STR("text/"))) {
		begin_text(mime, charset_of(mime));
		return;
	}
	if (!is_binary(type))
		fatal(mime, surely);
	begin_text(mime, PN_MIME_CHARSET_UTF8);
}

/* A file name or "attachment": not the text of the mail. */
static enum pn_known
counts_as_text(struct pn_mime *mime)
{
	const struct pn_mime_slot *disposition = &mime->headers.disposition;
	struct pn_str name;
	enum pn_mime_found found = PN_MIME_ABSENT;

	if (disposition->present) {
		if (pn_str_starts(pn_text_strip(disposition->text), PN_STR("attachment")))
			return PN_NO;
		found = pn_mime_param(disposition->text, PN_STR("filename"), mime->scratch, &name);
	}
	if (found == PN_MIME_ABSENT)
		found = type_param(mime, "name", &name);
	if (found == PN_MIME_ODD) {
		fatal(mime, perhaps);
		return PN_UNKNOWN;
	}
	return pn_known(found == PN_MIME_ABSENT ||
	    pn_text_is_blank(pn_mime_unquote(name, mime->scratch)));
}

static void
begin_text_part(struct pn_mime *mime, struct pn_str type, bool is_top)
{
	struct pn_str charset = PN_STR_EMPTY;
	struct pn_mime_content content;
	bool reader = mime->reads_content;

	mime->is_plain = is(type, "text/plain");
	mime->is_html = is(type, "text/html");
	mime->counts = is_top ? PN_NO : counts_as_text(mime);
	if (mime->headers.cte.invalid)
		fatal(mime, surely);
	if (reader)
		begin_reader(mime);
	content = mime->content;
	if (is_top || type_param(mime, "charset", &charset) == PN_MIME_ODD || charset.n > 0)
		begin_text(mime, charset_of(mime));
	else
		begin_text_without_charset(mime);
	if (reader) {
		mime->content = content;
		mime->reads_content = true;
	}
}

/* Odoo's walk over the parts, one step: containers are no part of it. */
static void
judge(struct pn_mime *mime, struct pn_str type, bool is_top)
{
	bool text = pn_str_starts(type, PN_STR("text/"));

	if (pn_str_starts(type, PN_STR("multipart/")))
		return;
	/* Of a top that is text, only the text is asked for. */
	if (mime->headers.disposition.invalid && !(is_top && text))
		fatal(mime, surely);
	if (text)
		begin_text_part(mime, type, is_top);
	else if (pn_str_starts(type, PN_STR("message/")))
		return;
	else if (mime->headers.cte.invalid || (!is_binary(type) &&
	    !is(type, "binary/octet-stream") && !is(type, "*/*")))
		fatal(mime, surely);	/* those two Odoo takes for application/octet-stream */
}

void
pn_mime_part_begin(struct pn_mime *mime, struct pn_mime_frame *frame)
{
	bool is_top = mime->depth == 1;
	struct pn_str type = PN_STR("text/plain");

	if (mime->headers.type.invalid) {
		pn_mime_parse_failed(mime);
		return;
	}
	if (mime->headers.type.present)
		type = pn_mime_type(mime->headers.type.text, mime->scratch);
	else if (frame->in_digest)
		type = PN_STR("message/rfc822");
	if (is_top) {
		pn_buf_reset(&mime->top_type);
		pn_buf_add(&mime->top_type, type);
	}
	frame->state = PN_MIME_LEAF;
	frame->digest = is(type, "multipart/digest");
	frame->keeps_folds |= is(type, "multipart/signed");
	mime->is_plain = mime->is_html = mime->reads_content = false;
	mime->if_any = mime->crash_if_any = harmless;
	if (!mime->is_reader) {
		choose(mime, frame, type);
		judge(mime, type, is_top);
		frame->prints = pn_str_starts(type, PN_STR("message/")) &&
		    !is(type, "message/rfc822") && !is(type, "message/external-body");
	}
	if (is(type, "message/delivery-status"))
		frame->state = PN_MIME_BLOCK;
	else if (pn_str_starts(type, PN_STR("message/")))
		frame->state = PN_MIME_MESSAGE;
	else if (pn_str_starts(type, PN_STR("multipart/")))
		begin_multipart(mime, frame);
}

/* Is there text that cannot be decoded? */
static void
check_text(struct pn_mime *mime)
{
	const struct pn_mime_content *content = &mime->content;
	bool any = content->any || content->unclear;

	if (any && is_open(mime->if_any))
		fatal(mime, content->any ? mime->if_any : perhaps);
	if (any && is_open(mime->crash_if_any)) {
		mime->crash.yes |= content->any && mime->crash_if_any.yes;
		mime->crash.perhaps = true;
	}
	if (any)
		mime->if_any = mime->crash_if_any = harmless;
}

void
pn_mime_part_text(struct pn_mime *mime, struct pn_str text)
{
	if (!mime->reads_content)
		return;
	pn_mime_content_text(&mime->content, text);
	if (mime->content.any)
		check_text(mime);
	/* Once it is clear that there is text, the rest need not be looked at. */
	mime->reads_content = mime->content.reader != NULL || is_open(mime->if_any) ||
	    (mime->is_html && !mime->content.visible);
}

/* The headers of a bounced mail, sent as text. */
static void
end_reader(struct pn_mime *mime)
{
	struct pn_mime *reader = mime->reader;

	pn_mime_feed_end(reader);
	pn_mime_tree_end(reader);
	mime->embedded_odd = mime->content.odd || reader->limit;
	if (mime->embedded_odd) {
		mime->crash.perhaps = true;
		return;
	}
	mime->crash.yes |= reader->parse_failed;
	mime->embedded.invalid = reader->embedded.invalid;
	pn_buf_add(&mime->embedded.message_id, pn_buf_str(&reader->embedded.message_id));
	pn_buf_add(&mime->embedded.ms_id, pn_buf_str(&reader->embedded.ms_id));
}

/* Was this the text that a bounce is read for? */
static enum pn_known
is_text(const struct pn_mime *mime)
{
	enum pn_known visible = mime->content.visible ? PN_YES :
	    mime->content.unclear ? PN_UNKNOWN : PN_NO;

	if (mime->counts == PN_NO || (!mime->is_plain && !mime->is_html))
		return PN_NO;
	if (mime->is_html && visible != PN_YES)
		return visible;
	return mime->counts;
}

void
pn_mime_part_end(struct pn_mime *mime, const struct pn_mime_frame *frame)
{
	enum pn_known text;

	if (mime->reads_content) {
		pn_mime_content_end(&mime->content, frame->in_multipart);
		check_text(mime);
		if (mime->content.reader != NULL)
			end_reader(mime);
	}
	mime->reads_content = false;
	text = is_text(mime);
	if (text == PN_YES || (text == PN_UNKNOWN && mime->text_seen == PN_NO))
		mime->text_seen = text;
}
