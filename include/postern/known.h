/* known.h - the three answers: no, yes, and "not known".
 *
 * "No" and "yes" are certain and may lead to a refusal.  "Not known" never
 * does: whoever gets it hands the mail to Odoo, which decides.
 */
#ifndef POSTERN_KNOWN_H
#define POSTERN_KNOWN_H

#include <stdbool.h>

enum pn_known {
	PN_UNKNOWN,
	PN_NO,
	PN_YES,
};

static inline enum pn_known
pn_known(bool yes)
{
	return yes ? PN_YES : PN_NO;
}

#endif
