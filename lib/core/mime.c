#include "mime_private.h"
#include "postern/unicode.h"

#define SCRATCH_LIMIT ((size_t)16 << 20)	/* what the headers of one part may ask for */

static void
ids_init(struct pn_mime_ids *ids)
{
	pn_buf_init(&ids->message_id, PN_MIME_VALUE_MAX);
	pn_buf_init(&ids->ms_id, PN_MIME_VALUE_MAX);
}

static void
ids_done(struct pn_mime_ids *ids)
{
	pn_buf_done(&ids->message_id);
	pn_buf_done(&ids->ms_id);
}

static void
ids_reset(struct pn_mime_ids *ids)
{
	pn_buf_reset(&ids->message_id);
	pn_buf_reset(&ids->ms_id);
	ids->invalid = false;
}

struct pn_mime *
pn_mime_new(void)
{
	struct pn_arena *home = pn_arena_new(sizeof(struct pn_mime));
	struct pn_mime *mime = PN_ARENA_NEW(home, struct pn_mime);

	mime->home = home;
	mime->scratch = pn_arena_new(SCRATCH_LIMIT);
	pn_buf_init(&mime->lines.held, PN_MIME_LINE_MAX);
	pn_buf_init(&mime->boundaries, (size_t)PN_MIME_DEPTH_MAX * PN_MIME_BOUNDARY_MAX);
	pn_buf_init(&mime->headers.name, PN_MIME_LINE_MAX);
	pn_buf_init(&mime->headers.value, PN_MIME_VALUE_MAX);
	pn_buf_init(&mime->headers.from_line, PN_MIME_LINE_MAX);
	pn_buf_init(&mime->top_type, PN_MIME_VALUE_MAX * 4);
	pn_buf_init(&mime->final_recipient, PN_MIME_VALUE_MAX);
	pn_buf_init(&mime->action, PN_MIME_VALUE_MAX);
	pn_buf_init(&mime->status, PN_MIME_VALUE_MAX);
	pn_buf_init(&mime->diagnostic, PN_MIME_VALUE_MAX);
	ids_init(&mime->embedded);
	ids_init(&mime->report);
	pn_mime_reset(mime);
	return mime;
}

void
pn_mime_free(struct pn_mime *mime)
{
	if (mime == NULL)
		return;
	pn_mime_free(mime->reader);
	pn_arena_free(mime->scratch);
	pn_buf_done(&mime->lines.held);
	pn_buf_done(&mime->boundaries);
	pn_buf_done(&mime->headers.name);
	pn_buf_done(&mime->headers.value);
	pn_buf_done(&mime->headers.from_line);
	pn_buf_done(&mime->top_type);
	pn_buf_done(&mime->final_recipient);
	pn_buf_done(&mime->action);
	pn_buf_done(&mime->status);
	pn_buf_done(&mime->diagnostic);
	ids_done(&mime->embedded);
	ids_done(&mime->report);
	pn_arena_free(mime->home);
}

void
pn_mime_reset(struct pn_mime *mime)
{
	mime->is_reader = mime->top_done = mime->over = mime->limit = false;
	mime->lines.open = mime->lines.cr = mime->lines.skipping = false;
	mime->in_leaf_line = mime->reads_content = mime->parse_failed = false;
	mime->depth = mime->blank_ends = 0;
	mime->mail = mime->bounce = mime->crash = (struct pn_mime_verdict){ .yes = false };
	mime->text_seen = PN_NO;
	mime->has_embedded = mime->embedded_empty = mime->embedded_odd = false;
	mime->has_report = mime->report_unsplit = false;
	mime->has_dsn_part = mime->has_dsn = mime->dsn_invalid = false;
	pn_buf_reset(&mime->lines.held);
	pn_buf_reset(&mime->boundaries);
	pn_buf_reset(&mime->top_type);
	pn_buf_reset(&mime->final_recipient);
	pn_buf_reset(&mime->action);
	pn_buf_reset(&mime->status);
	pn_buf_reset(&mime->diagnostic);
	ids_reset(&mime->embedded);
	ids_reset(&mime->report);
	pn_mime_tree_start(mime);
}

void
pn_mime_give_up(struct pn_mime *mime)
{
	mime->limit = true;
	mime->over = true;
}

void
pn_mime_parse_failed(struct pn_mime *mime)
{
	mime->parse_failed = true;
	mime->over = true;
}

void
pn_mime_header(struct pn_mime *mime, struct pn_str name, struct pn_str raw)
{
	if (mime->over)
		return;
	if (!mime->top_done && pn_mime_is_header_name(name)) {
		if (name.n > 0) {
			mime->headers.count++;
			pn_mime_headers_one(mime, name, raw);
		}
		return;
	}
	pn_mime_body(mime, name);
	pn_mime_body(mime, PN_STR(":"));
	pn_mime_body(mime, raw);
	pn_mime_body(mime, PN_STR("\n"));
}

void
pn_mime_end_of_headers(struct pn_mime *mime)
{
	if (!mime->top_done && !mime->over)
		pn_mime_tree_headers_end(mime);
	mime->top_done = true;
}

void
pn_mime_body(struct pn_mime *mime, struct pn_str chunk)
{
	pn_mime_end_of_headers(mime);
	pn_mime_feed(mime, chunk);
}

void
pn_mime_raw(struct pn_mime *mime, struct pn_str chunk)
{
	pn_mime_feed(mime, chunk);
}

bool
pn_mime_wants_body(const struct pn_mime *mime)
{
	const struct pn_mime_frame *top = &mime->stack[0];

	if (mime->over)
		return false;
	return !mime->top_done || mime->depth > 1 || mime->reads_content ||
	    (top->state != PN_MIME_LEAF && top->state != PN_MIME_DROP);
}

static enum pn_known
known(struct pn_mime_verdict verdict, bool limit)
{
	return verdict.yes ? PN_YES : verdict.perhaps || limit ? PN_UNKNOWN : PN_NO;
}

static struct pn_str
copy(const struct pn_buf *buf, struct pn_arena *arena)
{
	return pn_arena_dup(arena, pn_str_trim(pn_buf_str(buf)));
}

/* What is told of the mail that bounced (Odoo rule 4.2). */
static void
tell_embedded(struct pn_mime *mime, struct pn_arena *arena, struct pn_mime_result *out)
{
	bool embedded = mime->has_embedded && !mime->embedded_empty;
	const struct pn_mime_ids *ids = embedded ? &mime->embedded : &mime->report;

	out->has_embedded = embedded || mime->has_report;
	out->embedded_known = !(embedded && mime->embedded_odd);
	out->embedded_message_id_text = pn_arena_dup(arena, pn_buf_str(&ids->message_id));
	out->embedded_ms_id_text = pn_arena_dup(arena, pn_buf_str(&ids->ms_id));
	mime->crash.yes |= (out->has_embedded && ids->invalid) ||
	    (!embedded && mime->has_report && mime->report_unsplit);
}

static void
tell_dsn(struct pn_mime *mime, struct pn_arena *arena, struct pn_mime_result *out)
{
	struct pn_str final = pn_buf_str(&mime->final_recipient);
	size_t semicolon = pn_str_find(final, ';');

	out->has_dsn = mime->has_dsn;
	out->final_recipient = semicolon == PN_STR_NONE ? PN_STR_EMPTY :
	    pn_arena_dup(arena, pn_text_strip(pn_str_from(final, semicolon + 1)));
	out->action = copy(&mime->action, arena);
	out->status = copy(&mime->status, arena);
	out->diagnostic = copy(&mime->diagnostic, arena);
	mime->crash.yes |= mime->has_dsn && mime->dsn_invalid;
}

void
pn_mime_end(struct pn_mime *mime, struct pn_arena *arena, struct pn_mime_result *out)
{
	pn_mime_feed_end(mime);
	pn_mime_tree_end(mime);
	memset(out, 0, sizeof(*out));
	out->top_type = pn_arena_dup(arena, pn_buf_str(&mime->top_type));
	out->limit_hit = mime->limit;
	tell_embedded(mime, arena, out);
	tell_dsn(mime, arena, out);
	mime->mail.yes |= mime->parse_failed;
	mime->bounce.yes |= mime->parse_failed || mime->crash.yes;
	mime->bounce.perhaps |= mime->crash.perhaps;
	out->unreadable_as_mail = known(mime->mail, mime->limit);
	out->unreadable_as_bounce = known(mime->bounce, mime->limit);
}
