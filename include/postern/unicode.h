/* unicode.h - the few Unicode questions that Python's str answers in Odoo.
 *
 * Text is UTF-8.  Bytes that are not UTF-8 are never an error: they count as
 * letters of nothing and pass through unchanged.  The tables are those of
 * Unicode 14, like the ones of the Python that Odoo runs on.
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_UNICODE_H
#define POSTERN_UNICODE_H

#include "postern/arena.h"

/* What stands for a byte that is not UTF-8. */
#define PN_NO_CHARACTER 0xfffdu

/* The first character of s (not empty) and how many bytes it has.  A byte that
 * is not UTF-8 is PN_NO_CHARACTER with one byte. */
size_t pn_utf8_next(struct pn_str s, uint32_t *character);

/* Writes the character, at most 4 bytes, and returns how many. */
size_t pn_utf8_put(char *p, uint32_t character);

/* str.lower(): full mapping, final sigma by its neighbours, no locale.  The
 * result is in the arena, or the text itself where nothing changes. */
struct pn_str pn_text_lower(struct pn_str text, struct pn_arena *arena);

/* str.isspace() of one character. */
bool pn_is_text_space(uint32_t character);

/* str.strip(): borrowed from text. */
struct pn_str pn_text_strip(struct pn_str text);

/* Nothing but white space, or nothing at all. */
bool pn_text_is_blank(struct pn_str text);

/* What \w matches in a regular expression. */
bool pn_is_word(uint32_t character);

/* NFKD without combining marks: "É" is "E", "ﬁ" is "fi", "½" is "1⁄2". */
struct pn_str pn_text_without_marks(struct pn_str text, struct pn_arena *arena);

#endif
