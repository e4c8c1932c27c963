/* mime_tool.c - answers for diff_mime.py: what does pn_mime say of a message?
 *
 * stdin: for each message 4 bytes length (big-endian), 1 byte that chooses how
 * it is fed, then the message.  stdout: one line each, fields split by tabs,
 * texts in hex. */
#include <stdio.h>
#include <stdlib.h>

#include "postern/mime.h"

enum { MESSAGE_MAX = 64 << 20 };

static uint32_t
next_random(uint32_t *state)
{
	*state = *state * 1103515245u + 12345u;
	return *state >> 16;
}

/* Chunks of 1 to 7, 100 or all bytes, by how. */
static void
feed(struct pn_mime *mime, struct pn_str text, unsigned how, bool raw)
{
	uint32_t state = how;

	while (text.n > 0) {
		size_t n = how % 4 == 0 ? text.n : how % 4 == 1 ? 1 :
		    1 + next_random(&state) % (how % 4 == 2 ? 7 : 100);
		struct pn_str chunk = pn_str_head(text, n);

		if (raw)
			pn_mime_raw(mime, chunk);
		else if (pn_mime_wants_body(mime))
			pn_mime_body(mime, chunk);
		text = pn_str_from(text, chunk.n);
	}
}

static size_t
line_length(struct pn_str s, size_t *eol)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != '\r' && s.p[n] != '\n')
		n++;
	*eol = n == s.n ? 0 : s.p[n] == '\r' && n + 1 < s.n && s.p[n + 1] == '\n' ? 2 : 1;
	return n;
}

/* As a milter gets it: header by header.  False: not a clean header block. */
static bool
feed_split(struct pn_mime *mime, struct pn_str text, unsigned how)
{
	while (text.n > 0) {
		size_t eol, n = line_length(text, &eol), colon, value;
		struct pn_str line = pn_str_head(text, n);

		if (n == 0)
			break;
		colon = pn_str_find(line, ':');
		if (colon == PN_STR_NONE || colon == 0 || line.p[0] == ' ' || line.p[0] == '\t' ||
		    pn_str_starts(line, PN_STR("From ")))
			return false;
		for (size_t i = 0; i < colon; i++)
			if (line.p[i] <= ' ' || line.p[i] > '~')
				return false;
		value = n + eol;
		while (value < text.n && (text.p[value] == ' ' || text.p[value] == '\t'))
			value += line_length(pn_str_from(text, value), &eol) + eol;
		pn_mime_header(mime, pn_str_head(line, colon),
		    pn_str_n(text.p + colon + 1, value - eol - colon - 1));
		text = pn_str_from(text, value);
	}
	if (text.n > 0) {
		size_t eol;

		line_length(text, &eol);
		text = pn_str_from(text, eol);
	}
	pn_mime_end_of_headers(mime);
	feed(mime, text, how, false);
	return true;
}

static void
print_hex(struct pn_str s)
{
	putchar('\t');
	for (size_t i = 0; i < s.n; i++)
		printf("%02x", (unsigned char)s.p[i]);
}

static void
print(const struct pn_mime_result *result)
{
	printf("%d\t%d\t%d\t%d\t%d\t%d", result->unreadable_as_mail, result->unreadable_as_bounce,
	    result->limit_hit, result->has_dsn, result->has_embedded, result->embedded_known);
	print_hex(result->top_type);
	print_hex(result->final_recipient);
	print_hex(result->embedded_message_id_text);
	print_hex(result->embedded_ms_id_text);
	putchar('\n');
}

int
main(void)
{
	struct pn_mime *mime = pn_mime_new();
	struct pn_arena *arena = pn_arena_new(MESSAGE_MAX);
	unsigned char head[5];
	struct pn_mime_result result;

	while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
		size_t n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
		char *message = n > MESSAGE_MAX ? NULL : malloc(n + 1);
		struct pn_str text = { message, n };

		if (message == NULL || fread(message, 1, n, stdin) != n)
			return 1;
		pn_mime_reset(mime);
		if (head[4] < 128 || !feed_split(mime, text, head[4])) {
			pn_mime_reset(mime);
			feed(mime, text, head[4], true);
		}
		pn_mime_end(mime, arena, &result);
		print(&result);
		fflush(stdout);
		pn_arena_reset(arena);
		free(message);
	}
	pn_mime_free(mime);
	pn_arena_free(arena);
	return 0;
}
