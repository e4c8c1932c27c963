/* str.h - borrowed bytes: a pointer and a length, passed by value.
 *
 * Never owns, never ends in NUL by promise, may hold any byte.  Text from the
 * network is always a pn_str: its length comes before its content.
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_STR_H
#define POSTERN_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct pn_str {
	const char *p;
	size_t n;
};

/* The result of a fallible function must be looked at. */
#define PN_CHECK __attribute__((warn_unused_result))

/* A literal as pn_str; usable in static initialisers. */
#define PN_STR(literal) ((struct pn_str){ "" literal, sizeof(literal) - 1 })
#define PN_STR_EMPTY ((struct pn_str){ "", 0 })

/* printf("%.*s"): "name=" PN_STR_FMT, PN_STR_ARG(s) */
#define PN_STR_FMT "%.*s"
#define PN_STR_ARG(s) (int)(s).n, (s).p

#define PN_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline struct pn_str
pn_str_n(const char *p, size_t n)
{
	return (struct pn_str){ p, n };
}

/* Only for text of our own that is known to end in NUL; NULL gives "". */
static inline struct pn_str
pn_str_c(const char *text)
{
	return text == NULL ? PN_STR_EMPTY : (struct pn_str){ text, strlen(text) };
}

static inline bool
pn_str_eq(struct pn_str a, struct pn_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* The rest of s from its byte `from` on; `from` beyond the end gives "". */
static inline struct pn_str
pn_str_from(struct pn_str s, size_t from)
{
	return from >= s.n ? pn_str_n(s.p + s.n, 0) : pn_str_n(s.p + from, s.n - from);
}

/* The first n bytes of s, or all of it. */
static inline struct pn_str
pn_str_head(struct pn_str s, size_t n)
{
	return pn_str_n(s.p, n < s.n ? n : s.n);
}

/* Case differs for A-Z only: header names, domains in A-label form, keywords. */
bool pn_str_eq_nocase(struct pn_str a, struct pn_str b);
bool pn_str_starts(struct pn_str s, struct pn_str prefix);
bool pn_str_starts_nocase(struct pn_str s, struct pn_str prefix);
bool pn_str_ends(struct pn_str s, struct pn_str suffix);
bool pn_str_contains(struct pn_str s, struct pn_str needle);
bool pn_str_is_ascii(struct pn_str s);

/* <0, 0, >0 by bytes, the shorter first: a total order for sorting. */
int pn_str_cmp(struct pn_str a, struct pn_str b);

#define PN_STR_NONE ((size_t)-1)
/* Where the first / last c (or the first needle) is; PN_STR_NONE when nowhere. */
size_t pn_str_find(struct pn_str s, char c);
size_t pn_str_find_last(struct pn_str s, char c);
size_t pn_str_find_str(struct pn_str s, struct pn_str needle);

/* Without blanks, tabs, CR, LF, VT and FF at both ends. */
struct pn_str pn_str_trim(struct pn_str s);

/* Takes the text before the first `c` off the front of *rest (and the c with
 * it).  Returns false when *rest was already used up: p is NULL then. */
bool pn_str_split(struct pn_str *rest, char c, struct pn_str *field);

/* A decimal number without sign, blanks or leading text, at most max. */
PN_CHECK bool pn_str_to_u64(struct pn_str s, uint64_t max, uint64_t *out);

/* ASCII classes that no locale changes. */
static inline bool pn_is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool pn_is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static inline bool pn_is_alpha(char c) { return pn_is_upper(c) || (c >= 'a' && c <= 'z'); }
static inline bool pn_is_alnum(char c) { return pn_is_alpha(c) || pn_is_digit(c); }
static inline bool pn_is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static inline char pn_to_lower(char c) { return pn_is_upper(c) ? (char)(c + 32) : c; }

#endif
