/* nearest.h - "did you mean ...?" for mistyped names.
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_NEAREST_H
#define POSTERN_NEAREST_H

#include "postern/str.h"

/* The one of the words that `name` was probably meant to be: it begins like it,
 * or few letters are wrong.  NULL: none is near. */
const char *pn_nearest(struct pn_str name, const char *const *words, size_t n);

#endif
