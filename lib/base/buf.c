#include "postern/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "postern/error.h"

void
pn_buf_init(struct pn_buf *buf, size_t max)
{
	*buf = (struct pn_buf){ .max = max };
}

void
pn_buf_done(struct pn_buf *buf)
{
	free(buf->p);
	pn_buf_init(buf, buf->max);
}

void
pn_buf_reset(struct pn_buf *buf)
{
	buf->n = 0;
	buf->failed = false;
	if (buf->p != NULL)
		buf->p[0] = '\0';
}

/* Room for n more bytes and the NUL, or the sticky flag. */
static bool
reserve(struct pn_buf *buf, size_t n)
{
	size_t cap = buf->cap < 64 ? 64 : buf->cap;
	char *p;

	if (buf->failed || n > buf->max || buf->n > buf->max - n) {
		buf->failed = true;
		return false;
	}
	if (buf->n + n < buf->cap)
		return true;
	while (cap <= buf->n + n)
		cap *= 2;
	p = realloc(buf->p, cap);
	if (p == NULL)
		pn_out_of_memory();
	buf->p = p;
	buf->cap = cap;
	return true;
}

void
pn_buf_add(struct pn_buf *buf, struct pn_str s)
{
	if (!reserve(buf, s.n))
		return;
	if (s.n > 0)
		memcpy(buf->p + buf->n, s.p, s.n);
	buf->n += s.n;
	buf->p[buf->n] = '\0';
}

void
pn_buf_add_c(struct pn_buf *buf, const char *text)
{
	pn_buf_add(buf, pn_str_c(text));
}

void
pn_buf_add_char(struct pn_buf *buf, char c)
{
	if (!reserve(buf, 1))
		return;
	buf->p[buf->n++] = c;
	buf->p[buf->n] = '\0';
}

/* Formatted once where it is short, as most is. */
void
pn_buf_addf(struct pn_buf *buf, const char *format, ...)
{
	char text[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(text)) {
		pn_buf_add(buf, pn_str_n(text, (size_t)n));
		return;
	}
	if (n < 0 || !reserve(buf, (size_t)n))
		return;
	va_start(args, format);
	(void)vsnprintf(buf->p + buf->n, (size_t)n + 1, format, args);
	va_end(args);
	buf->n += (size_t)n;
}
