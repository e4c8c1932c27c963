/* header_value_internal.h - what the header_value*.c files share.
 *
 * A value is read as characters (struct pn_wide), one element each, because an
 * address may have to be read a second time after its encoded words have been
 * decoded.  Nothing that a reader returns points into the value itself.
 *
 * The functions named pn_hv_<construct> read one construct of RFC 5322 or RFC
 * 2045 at the reader's position.
 *   PN_OK         read; the position is behind it
 *   PN_NOT_FOUND  it is not there; the position is anywhere: pn_hv_rewind()
 *   PN_INVALID    Python raises something that no caller catches
 *   PN_LIMIT      too deep or too long
 */
#ifndef POSTERN_HEADER_VALUE_INTERNAL_H
#define POSTERN_HEADER_VALUE_INTERNAL_H

#include "postern/charset.h"
#include "postern/header_value.h"
#include "postern/unicode.h"

/* Classes of characters; those beyond ASCII have none. */
enum {
	PN_HV_BLANK = 1,		/* blank, tab */
	PN_HV_COMMENT = 2,		/* what opens CFWS: the blanks and "(" */
	PN_HV_SPECIAL = 4,		/* RFC 5322 section 3.2.3 */
	PN_HV_ENDS_ATOM = 8,
	PN_HV_ENDS_PHRASE = 16,
	PN_HV_ENDS_TOKEN = 32,		/* RFC 2045 section 5.1 */
	PN_HV_ENDS_ATTRIBUTE = 64,	/* RFC 2231 section 7 */
	PN_HV_ENDS_EXTENDED = 128,	/* the same, "%" excepted */
};
extern const unsigned char pn_hv_classes[128];

static inline bool
pn_hv_is(uint32_t c, unsigned classes)
{
	return c < 128 && (pn_hv_classes[c] & classes) != 0;
}

/* Text being built, in an arena. */
struct pn_wide_buf {
	struct pn_arena *arena;
	uint32_t *p;
	size_t n;
	size_t cap;
};

static inline struct pn_wide
pn_wide_of(const struct pn_wide_buf *buf)
{
	return (struct pn_wide){ buf->p, buf->n };
}

void pn_wide_add(struct pn_wide_buf *buf, uint32_t c);
void pn_wide_add_text(struct pn_wide_buf *buf, struct pn_wide text);
void pn_wide_add_c(struct pn_wide_buf *buf, const char *text);
/* In quotes, with quotes and backslashes escaped. */
void pn_wide_add_quoted(struct pn_wide_buf *buf, struct pn_wide text);
bool pn_wide_has(struct pn_wide text, unsigned classes);
bool pn_wide_has_char(struct pn_wide text, uint32_t c);
struct pn_wide pn_wide_copy(struct pn_arena *arena, const uint32_t *p, size_t n);

/* Escaped bytes are put back and read as UTF-8; what is not becomes U+FFFD.
 * PN_INVALID: a surrogate that stands for no byte. */
PN_CHECK enum pn_status pn_wide_to_utf8(struct pn_wide text, struct pn_arena *arena,
    struct pn_str *out);
/* The same for bytes; s itself when it is ASCII. */
struct pn_str pn_hv_replace_broken_utf8(struct pn_str s, struct pn_arena *arena);

/* A value being read. */
struct pn_hv {
	struct pn_arena *keep;		/* lives as long as the reader */
	struct pn_arena *scratch;	/* forgotten between two addresses */
	uint32_t *text;
	size_t pos;
	size_t end;
	size_t close_from, close_at;	/* no "?=" starts in [close_from, close_at) */
	struct pn_hv_undo *undo;	/* in scratch */
	size_t undo_n;
	size_t undo_cap;
};

struct pn_hv_mark {
	size_t pos;
	size_t undo_n;
};

/* No character. */
#define PN_HV_END UINT32_MAX

static inline uint32_t
pn_hv_at(const struct pn_hv *r)
{
	return r->pos < r->end ? r->text[r->pos] : PN_HV_END;
}

/* At a character of these classes? */
static inline bool
pn_hv_at_class(const struct pn_hv *r, unsigned classes)
{
	return pn_hv_is(pn_hv_at(r), classes);
}

static inline bool
pn_hv_done(const struct pn_hv *r)
{
	return r->pos >= r->end;
}

static inline bool
pn_hv_at_encoded_word(const struct pn_hv *r)
{
	return r->end - r->pos >= 2 && r->text[r->pos] == '=' && r->text[r->pos + 1] == '?';
}

/* A reader of its own for text that came out of another one. */
struct pn_hv pn_hv_inner(const struct pn_hv *r, struct pn_wide text);

struct pn_hv_mark pn_hv_mark(const struct pn_hv *r);
void pn_hv_rewind(struct pn_hv *r, struct pn_hv_mark mark);

/* Puts text before the position, to be read instead of what was just read.
 * Undone by rewinding to an earlier mark. */
PN_CHECK enum pn_status pn_hv_push_back(struct pn_hv *r, struct pn_wide text);

/* Done with everything read so far: empties scratch. */
void pn_hv_forget(struct pn_hv *r);

/* The text from `from` to the position. */
struct pn_wide pn_hv_since(const struct pn_hv *r, size_t from);

/* Where the next "?=" at or behind `from` starts, or r->end. */
size_t pn_hv_find_close(struct pn_hv *r, size_t from);

/* Skips all of what Python's str.lstrip() would. */
void pn_hv_skip_space(struct pn_hv *r);

/* RFC 2047 section 2.  *text is what it says.  On PN_NOT_FOUND the position is
 * unchanged, and *malformed tells whether something like one is there. */
PN_CHECK enum pn_status pn_hv_encoded_word(struct pn_hv *r, struct pn_wide *text, bool *malformed);

enum pn_hv_kind {
	PN_HV_NOTHING,
	PN_HV_ATOM,	/* also an encoded word, a dot-atom, a domain literal, a token */
	PN_HV_QUOTED,
	PN_HV_DOT,
	PN_HV_CFWS,	/* standing alone: in `before` */
	PN_HV_SIGN,	/* any other special */
};

/* before and after: white space and comments; empty when there are none.
 * text: as it would be written; value: what it means (for quoted strings both
 * are the unquoted content). */
struct pn_hv_word {
	enum pn_hv_kind kind;
	struct pn_wide before;
	struct pn_wide text;
	struct pn_wide value;
	struct pn_wide after;
	bool hollow;	/* an encoded word or a quoted string without any token */
};

struct pn_hv_words {
	struct pn_hv_word *p;
	size_t n;
	size_t cap;
};

PN_CHECK enum pn_status pn_hv_add_word(struct pn_hv *r, struct pn_hv_words *words,
    struct pn_hv_word word);

/* As written, and as value with a blank for each CFWS. */
void pn_hv_write_word(struct pn_wide_buf *out, const struct pn_hv_word *word);
void pn_hv_write_words(struct pn_wide_buf *out, const struct pn_hv_words *words);
struct pn_wide pn_hv_word_value(struct pn_hv *r, const struct pn_hv_word *word);

/* White space and comments; *out is the text with comments in normal form.
 * Empty when there is none. */
PN_CHECK enum pn_status pn_hv_cfws(struct pn_hv *r, struct pn_wide *out);
PN_CHECK enum pn_status pn_hv_quoted_string(struct pn_hv *r, struct pn_hv_word *out);
PN_CHECK enum pn_status pn_hv_atom(struct pn_hv *r, struct pn_hv_word *out);
PN_CHECK enum pn_status pn_hv_dot_atom_text(struct pn_hv *r, struct pn_wide *out);
PN_CHECK enum pn_status pn_hv_dot_atom(struct pn_hv *r, struct pn_hv_word *out);
PN_CHECK enum pn_status pn_hv_word(struct pn_hv *r, struct pn_hv_word *out);
PN_CHECK enum pn_status pn_hv_phrase(struct pn_hv *r, struct pn_hv_words *out);
/* Text up to a blank or one of the two ends, quoted pairs resolved. */
void pn_hv_pairs_text(struct pn_hv *r, char end1, char end2, struct pn_wide_buf *out);
/* CFWS, characters outside the class, CFWS. */
PN_CHECK enum pn_status pn_hv_token(struct pn_hv *r, unsigned ends, struct pn_hv_word *out);

PN_CHECK enum pn_status pn_hv_obs_local_part(struct pn_hv *r, struct pn_hv_words *out);
/* *poisoned: Python has put an object into its tree that makes it raise as
 * soon as it looks through the tree for defects. */
PN_CHECK enum pn_status pn_hv_domain(struct pn_hv *r, struct pn_hv_words *out, bool *poisoned);
/* Reads specials and phrases up to a character `end1` or `end2` (PN_HV_END: all);
 * out (may be NULL) gets them as written. */
PN_CHECK enum pn_status pn_hv_junk(struct pn_hv *r, uint32_t end1, uint32_t end2, struct pn_wide_buf *out);

/* Whole values. */
PN_CHECK enum pn_status pn_hv_address_list(struct pn_hv *r, struct pn_wide_buf *out);
PN_CHECK enum pn_status pn_hv_unstructured(struct pn_hv *r, struct pn_wide_buf *out);
PN_CHECK enum pn_status pn_hv_message_id(struct pn_hv *r, struct pn_wide_buf *out);
PN_CHECK enum pn_status pn_hv_mime_version(struct pn_hv *r, struct pn_wide_buf *out);
PN_CHECK enum pn_status pn_hv_content_type(struct pn_hv *r, struct pn_wide_buf *out);
PN_CHECK enum pn_status pn_hv_disposition(struct pn_hv *r, struct pn_wide_buf *out);
PN_CHECK enum pn_status pn_hv_transfer_encoding(struct pn_hv *r, struct pn_wide_buf *out);
PN_CHECK enum pn_status pn_hv_date(struct pn_hv *r, struct pn_wide_buf *out);
/* " name=value; ..." of the parameters behind the first ";". */
PN_CHECK enum pn_status pn_hv_parameters(struct pn_hv *r, struct pn_wide_buf *out);

#endif
