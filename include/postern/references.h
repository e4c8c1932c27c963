/* references.h - message ids in References and In-Reply-To.
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_REFERENCES_H
#define POSTERN_REFERENCES_H

#include "postern/arena.h"
#include "postern/error.h"
#include "postern/str_list.h"

/* unfold_references (Odoo rule 2, "Message ids in References"): every <...>
 * without inner angle brackets, in order, brackets included; blanks, tabs, CR
 * and LF inside are taken out.  An id is borrowed from the text, or in the
 * arena where something was taken out.
 *
 * PN_OK     *out, maybe empty
 * PN_LIMIT  arena exhausted */
PN_CHECK enum pn_status pn_references_ids(struct pn_str text, struct pn_arena *arena, struct pn_strs *out);

/* The last `most` of them: Odoo looks at 32 (Odoo rules 2, 5.1). */
static inline struct pn_strs
pn_strs_last(struct pn_strs list, size_t most)
{
	if (list.n > most)
		return (struct pn_strs){ list.v + (list.n - most), most };
	return list;
}

#endif
