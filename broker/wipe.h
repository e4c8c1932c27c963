/* wipe.h - secrets leave no copy behind in freed memory. */
#ifndef BROKER_WIPE_H
#define BROKER_WIPE_H

#include "postern/buf.h"

static inline void
wipe_buf(struct pn_buf *buf)
{
	if (buf->p != NULL)
		explicit_bzero(buf->p, buf->cap);
	pn_buf_done(buf);
}

/* Of an arena: nobody else has it. */
static inline void
wipe_text(struct pn_str text)
{
	if (text.n > 0)
		explicit_bzero((void *)(uintptr_t)text.p, text.n);
}

#endif
