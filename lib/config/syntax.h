/* syntax.h - the syntax of postern.conf: text in, sections of keys and values out.
 *
 * The syntax is libConfuse's: `key = value`, `key = {a, b}`, `key += {c}`,
 * `section "title" { ... }`, comments by #, // and slash-star, words or strings in
 * single or double quotes with the usual backslashes.  The reader is our own,
 * because libConfuse 3.3 cannot do what an operator needs here: it stops at the
 * first error, miscounts lines after each comment, takes an unclosed section
 * for a good one, silently replaces a section by a later one of the same title,
 * and puts the environment into values.  A unit test reads the same texts with
 * libConfuse and compares.
 *
 * Stricter than libConfuse: a value begins on the line of its =, a string ends on
 * the line where it begins (a backslash at the end of a line goes on), text is UTF-8 without control
 * characters, `${` outside single quotes is refused instead of expanded, there
 * are no functions (no include), and sections do not nest.  More lenient: comments
 * may stand anywhere.
 *
 * Linear in the length of the text, no recursion, no global state.
 */
#ifndef LIB_CONFIG_SYNTAX_H
#define LIB_CONFIG_SYNTAX_H

#include "report.h"

struct pn_conf_key {
	struct pn_place place;
	struct pn_str name;
	struct pn_strs values;
	bool list;		/* written in braces */
	bool append;		/* += */
};

struct pn_conf_section {
	struct pn_place place;
	struct pn_str kind;	/* "gateway"; "" for what stands outside sections */
	struct pn_str title;
	bool has_title;
	struct pn_conf_key *keys;
	size_t key_count, key_cap;
};

/* What all files say, in the order they were read.  sections[0] is what stands
 * outside sections. */
struct pn_conf_tree {
	struct pn_conf_section *sections;
	size_t n, cap;
};

void pn_conf_tree_init(struct pn_conf_tree *tree, struct pn_arena *arena);

/* Adds one file to the tree.  What is wrong is reported and left out; reading
 * goes on behind it.  Values are borrowed from the text. */
void pn_conf_read(struct pn_conf_tree *tree, struct pn_str text, const char *file,
    struct pn_arena *arena, struct pn_config_report *report);

/* Complains about the first byte that is not UTF-8 and about NUL. */
bool pn_conf_is_text(struct pn_str text, const char *file, struct pn_config_report *report);

/* Without the byte order mark that some editors write. */
struct pn_str pn_conf_skip_bom(struct pn_str text);

/* Writes one value so that the reader gives it back; with quotes where they are
 * needed, or always. */
void pn_conf_quote(struct pn_buf *out, struct pn_str value, bool always);

#endif
