/* alias_name.h - the form in which Odoo stores the name of an alias.
 *
 * Pure; safe from any thread.
 */
#ifndef POSTERN_ALIAS_NAME_H
#define POSTERN_ALIAS_NAME_H

#include "postern/arena.h"
#include "postern/error.h"

/* _sanitize_alias_name (Odoo rule 6.1).  Applied to alias names, bounce and
 * catchall names and to default_from; is_email keeps what follows the first @
 * (lower-cased only), as for default_from.
 *
 * PN_OK         *out, in the arena
 * PN_NOT_FOUND  nothing is left: no name */
PN_CHECK enum pn_status pn_alias_name_sanitize(struct pn_str name, bool is_email, struct pn_arena *arena,
    struct pn_str *out);

/* A dot-atom of RFC 5322 section 3.2.3: what Odoo demands of alias names and of
 * alias domain names. */
bool pn_is_dot_atom(struct pn_str text);

#endif
