/* mime_private.h - what the mime*.c files share.
 *
 *   mime.c          the public functions and the answers
 *   mime_part.c     what one part means for Odoo
 *   mime_tree.c     structure: lines to parts, the stack of open containers
 *   mime_headers.c  the header block of a part
 *   mime_line.c     bytes to lines
 *   mime_content.c  transfer encodings of text
 *   mime_param.c    the texts of Content-Type and Content-Disposition
 *   mime_charset.c  the charsets that Python knows
 */
#ifndef POSTERN_MIME_PRIVATE_H
#define POSTERN_MIME_PRIVATE_H

#include "postern/buf.h"
#include "postern/mime.h"

enum {
	PN_MIME_DEPTH_MAX = 100,	/* open containers */
	PN_MIME_BOUNDARY_MAX = 2000,
	PN_MIME_LINE_MAX = 4096,	/* kept of a line to find out what it is */
	PN_MIME_VALUE_MAX = 65536,	/* a header value that is read */
};

/* -- charsets ------------------------------------------------------------- */

enum pn_mime_charset {
	PN_MIME_CHARSET_NONE,	/* no text encoding: decoding fails unless there is no text */
	PN_MIME_CHARSET_NUL,	/* a NUL in the name: fails even then */
	PN_MIME_CHARSET_RAISES,	/* a codec that fails on any text (idna, undefined) */
	PN_MIME_CHARSET_ODD,	/* one that fails on some texts (punycode) */
	PN_MIME_CHARSET_ASCII,
	PN_MIME_CHARSET_UTF8,
	PN_MIME_CHARSET_LATIN1,
	PN_MIME_CHARSET_SUPERSET,	/* bytes below 128 are ASCII */
	PN_MIME_CHARSET_OTHER,
};

enum pn_mime_charset pn_mime_charset(struct pn_str name);

/* -- header texts --------------------------------------------------------- */

enum pn_mime_found {
	PN_MIME_ABSENT,
	PN_MIME_FOUND,
	PN_MIME_ODD,	/* RFC 2231 pieces that the header's own parser left: not evaluated */
};

/* Python's get_content_type() of a header that is there. */
struct pn_str pn_mime_type(struct pn_str text, struct pn_arena *arena);

/* Python's get_param(): the value, unquoted once. */
enum pn_mime_found pn_mime_param(struct pn_str text, struct pn_str name,
    struct pn_arena *arena, struct pn_str *value);

/* email.utils.unquote() */
struct pn_str pn_mime_unquote(struct pn_str s, struct pn_arena *arena);

struct pn_str pn_mime_rstrip(struct pn_str s);

/* Would str.splitlines() cut it, given that text follows? */
bool pn_mime_breaks_line(struct pn_str s);

/* -- the content of a text part -------------------------------------------- */

enum pn_mime_cte { PN_MIME_CTE_RAW, PN_MIME_CTE_QP, PN_MIME_CTE_BASE64, PN_MIME_CTE_UU };

enum pn_mime_eol { PN_MIME_EOL_NONE, PN_MIME_EOL_LF, PN_MIME_EOL_CR, PN_MIME_EOL_CRLF };

struct pn_mime_content {
	enum pn_mime_cte cte;
	enum pn_mime_charset charset;
	struct pn_mime *reader;	/* gets the decoded text as UTF-8; may be NULL */
	unsigned char qp;	/* state of the quoted-printable decoder */
	char hex;
	uint32_t bits;		/* of the base64 decoder */
	unsigned quad;
	unsigned pads;
	bool padded;		/* what follows counts for nothing */
	size_t letters;
	enum pn_mime_eol eol;	/* the last line end: may belong to the boundary */
	bool any;		/* there is text */
	bool visible;		/* ... and not only blanks */
	bool unclear;		/* ... perhaps: there are bytes this does not understand */
	bool odd;		/* the reader did not get all of it as it should be */
};

void pn_mime_content_start(struct pn_mime_content *content, enum pn_mime_cte cte,
    enum pn_mime_charset charset, struct pn_mime *reader);
void pn_mime_content_text(struct pn_mime_content *content, struct pn_str text);
void pn_mime_content_eol(struct pn_mime_content *content, enum pn_mime_eol eol);
/* strip_eol: the last line end belongs to a boundary. */
void pn_mime_content_end(struct pn_mime_content *content, bool strip_eol);

/* -- structure -------------------------------------------------------------- */

enum pn_mime_state {
	PN_MIME_HEADERS,
	PN_MIME_LEAF,
	PN_MIME_DROP,		/* a multipart that cannot be split, or what follows its end */
	PN_MIME_PREAMBLE,
	PN_MIME_SEPARATORS,	/* behind a boundary: several of them are one */
	PN_MIME_IN_PART,
	PN_MIME_BETWEEN,	/* a part is over: a boundary must come */
	PN_MIME_MESSAGE,	/* over when its one part is */
	PN_MIME_BLOCK,		/* of a delivery report: a blank line ends it */
	PN_MIME_AFTER_BLOCK,
	PN_MIME_NEXT_BLOCK,
};

enum pn_mime_sink {
	PN_MIME_SINK_NONE,
	PN_MIME_SINK_EMBEDDED,	/* the mail in the first message/rfc822 */
	PN_MIME_SINK_REPORT,	/* the first part of the first multipart/report */
	PN_MIME_SINK_DSN,	/* the second block of the first delivery report */
};

struct pn_mime_frame {
	enum pn_mime_state state;
	enum pn_mime_sink sink;	/* who reads this part's headers */
	enum pn_mime_sink child_sink;	/* ... and those of its next part */
	bool digest;		/* its parts without a type are message/rfc822 */
	bool in_digest;
	bool in_multipart;	/* some container above is a multipart */
	bool is_report;		/* the multipart/report that counts */
	bool is_dsn;		/* the delivery report that counts */
	bool prints;		/* Python prints its first part, to read it (message/partial ...) */
	bool printed;		/* part of what is printed */
	bool keeps_folds;	/* ... within multipart/signed: the headers as they came */
	bool watches;		/* printing fails if there are bytes above 127 in its lines */
	bool eight_bit;		/* ... and there are */
	bool has_charset;	/* ... but it names a charset */
	unsigned blocks;
	size_t boundary;	/* where it starts in the stack of boundaries */
	size_t boundary_n;
	bool unmatchable;	/* its boundary is not ASCII: no line equals it for Python */
};

struct pn_mime_lines {
	struct pn_buf held;	/* the start of a line that is not complete */
	bool open;		/* that start was handed on already */
	bool cr;		/* the last byte was a CR: an LF may belong to it */
	bool skipping;		/* within a line that nobody reads */
};

struct pn_mime_slot {
	bool present;
	bool invalid;		/* Python raises when it is asked for */
	struct pn_str text;	/* in the scratch arena */
};

struct pn_mime_headers {
	struct pn_buf name;	/* of the header being read */
	struct pn_buf value;
	bool reading;		/* continuation lines belong to a header */
	bool wanted;		/* ... whose value is kept */
	size_t lines;
	size_t count;		/* headers, as len(message) counts them */
	struct pn_buf from_line;	/* "From ..." as the last line so far */
	bool has_from_line;
	struct pn_mime_slot type, disposition, cte;
};

struct pn_mime_ids {
	struct pn_buf message_id;
	struct pn_buf ms_id;
	bool invalid;		/* Python raises when it reads them */
};

/* "Is it fatal?": certain, or perhaps. */
struct pn_mime_verdict {
	bool yes;
	bool perhaps;
};

struct pn_mime {
	struct pn_arena *home;	/* this struct */
	struct pn_arena *scratch;	/* the headers of one part */
	struct pn_mime *reader;	/* reads a text/rfc822-headers part; made when needed */
	bool is_reader;		/* this is such a one: collects ids, judges nothing */
	bool top_done;		/* the top's headers are complete */
	bool over;		/* nothing can change an answer any more */
	bool limit;

	struct pn_mime_lines lines;
	struct pn_mime_frame stack[PN_MIME_DEPTH_MAX];
	size_t depth;
	bool in_leaf_line;	/* the line being read is text of a leaf */
	size_t blank_ends;	/* frames that a blank line ends a part of */
	struct pn_buf boundaries;
	struct pn_mime_headers headers;

	/* the leaf being read */
	struct pn_mime_content content;
	bool reads_content;
	struct pn_mime_verdict if_any, crash_if_any;	/* fatal as soon as there is text */
	enum pn_known counts;	/* not an attachment: may be the text of a bounce */
	bool is_plain, is_html;

	/* answers */
	struct pn_buf top_type;
	bool parse_failed;
	struct pn_mime_verdict mail, bounce, crash;
	enum pn_known text_seen;	/* of a bounce only the first text is decoded */
	enum pn_known text_seen_before;	/* ... before the part that is printed */
	bool has_embedded;
	bool embedded_empty;	/* it has no header line: counts as absent */
	bool embedded_odd;	/* it is in an encoding that is not read here */
	bool has_report;
	bool report_unsplit;
	bool has_dsn_part;
	bool has_dsn;
	bool dsn_invalid;
	struct pn_mime_ids embedded, report;
	struct pn_buf final_recipient, action, status, diagnostic;
};

/* mime.c */
void pn_mime_give_up(struct pn_mime *mime);	/* a limit */
void pn_mime_parse_failed(struct pn_mime *mime);	/* Python raises */

/* mime_line.c: cuts chunks into calls of the next three. */
void pn_mime_feed(struct pn_mime *mime, struct pn_str chunk);
void pn_mime_feed_end(struct pn_mime *mime);

/* mime_tree.c.  A line starts (open: only its start is here); more of it; its end. */
void pn_mime_line(struct pn_mime *mime, struct pn_str text, bool open);
void pn_mime_line_more(struct pn_mime *mime, struct pn_str text);
void pn_mime_line_end(struct pn_mime *mime, enum pn_mime_eol eol);
void pn_mime_tree_start(struct pn_mime *mime);
void pn_mime_tree_headers_end(struct pn_mime *mime);
void pn_mime_tree_end(struct pn_mime *mime);
/* Lines that do not start with "-" may pass unseen. */
bool pn_mime_skips(const struct pn_mime *mime);

/* mime_headers.c */
enum pn_known pn_mime_is_header_line(struct pn_str text, bool open);
bool pn_mime_is_header_name(struct pn_str name);
void pn_mime_headers_start(struct pn_mime *mime);
void pn_mime_headers_line(struct pn_mime *mime, struct pn_str text);
void pn_mime_headers_more(struct pn_mime *mime, struct pn_str text);
void pn_mime_headers_one(struct pn_mime *mime, struct pn_str name, struct pn_str raw);
void pn_mime_headers_end(struct pn_mime *mime);

/* mime_part.c.  begin sets the frame's next state; the others end a leaf and
 * say that a multipart has no parts. */
void pn_mime_part_begin(struct pn_mime *mime, struct pn_mime_frame *frame);
void pn_mime_part_text(struct pn_mime *mime, struct pn_str text);
void pn_mime_part_end(struct pn_mime *mime, const struct pn_mime_frame *frame);
void pn_mime_part_unsplit(struct pn_mime *mime, const struct pn_mime_frame *frame);
void pn_mime_part_printed_header(struct pn_mime *mime, struct pn_str name, struct pn_str raw);

#endif
