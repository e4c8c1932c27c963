/* departure.h - the changes to a mail that leaves.
 *
 * In this order: From and envelope sender as decided, fields that never leave
 * are taken out, and the route is given to Postfix as a header that is added
 * and deleted at once (milter_header_checks sees it; nobody else does).
 *
 * Pure; results in the arena.
 */
#ifndef POSTERN_DEPARTURE_H
#define POSTERN_DEPARTURE_H

#include "postern/sender.h"
#include "postern/verdict.h"

struct pn_departure {
	struct pn_fields fields;	/* of the mail as it came */
	struct pn_str sender;		/* MAIL FROM as it came, without <> */
	struct pn_sender as;		/* what it leaves with */
	struct pn_str route;		/* "" = none is given */
};

/* Fields to take out of one mail: no honest mail has that many, and the mail server
 * suffers from each that is deleted. */
enum { PN_DEPARTURE_DELETIONS_MAX = 100 };
bool pn_departure_floods(struct pn_fields fields);

/* Puts the changes behind those in *closing.
 * PN_OK
 * PN_LIMIT    arena exhausted
 * PN_INVALID  the From cannot be written */
PN_CHECK enum pn_status pn_departure_edit(const struct pn_departure *departure, struct pn_arena *arena,
    struct pn_closing *closing);

#endif
