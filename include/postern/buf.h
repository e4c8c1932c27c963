/* buf.h - text being built, with a maximum it can never pass.
 *
 * Appending past the maximum sets the sticky `failed` flag and drops the text;
 * the caller asks pn_buf_failed() once, at the end.  Out of memory ends the
 * process.  Not thread-safe.
 */
#ifndef POSTERN_BUF_H
#define POSTERN_BUF_H

#include "postern/str.h"

struct pn_buf {
	char *p;	/* NUL-terminated whenever it is not NULL */
	size_t n;
	size_t cap;
	size_t max;
	bool failed;
};

/* max: bytes of text, the closing NUL not counted. */
void pn_buf_init(struct pn_buf *buf, size_t max);
void pn_buf_done(struct pn_buf *buf);	/* may be repeated */
void pn_buf_reset(struct pn_buf *buf);	/* empty and not failed; keeps the memory */

void pn_buf_add(struct pn_buf *buf, struct pn_str s);
void pn_buf_add_c(struct pn_buf *buf, const char *text);
void pn_buf_add_char(struct pn_buf *buf, char c);
void pn_buf_addf(struct pn_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline bool
pn_buf_failed(const struct pn_buf *buf)
{
	return buf->failed;
}

/* Borrowed until the next change. */
static inline struct pn_str
pn_buf_str(const struct pn_buf *buf)
{
	return buf->p == NULL ? PN_STR_EMPTY : pn_str_n(buf->p, buf->n);
}

/* The same as a C string. */
static inline const char *
pn_buf_c(const struct pn_buf *buf)
{
	return buf->p == NULL ? "" : buf->p;
}

#endif
