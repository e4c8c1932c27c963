/* token.h - OAuth access tokens, as postern-broker leaves them in the state directory.
 *
 * One file for each relay, tokens/NAME: the second until which the token is good (since
 * 1970 UTC), and on the next line the token.  Thread-safe.
 */
#ifndef POSTERN_TOKEN_H
#define POSTERN_TOKEN_H

#include "postern/config.h"

struct pn_token {
	struct pn_str text;		/* in the arena; whoever asked wipes it */
	int64_t expires;		/* seconds */
};

/* The file is checked as pn_config_secret() does.
 *
 * PN_OK         *out, good for at least one more second
 * PN_NOT_FOUND  the broker has not fetched one yet
 * PN_INVALID    refused; err says why and what to do
 * PN_TEMPFAIL   it could not be read, or has expired */
PN_CHECK enum pn_status pn_token_read(struct pn_str state_directory, struct pn_str relay, int64_t now,
    struct pn_arena *arena, struct pn_token *out, struct pn_error *err);

/* A mail server has refused the token before its end: postern-health notes it (as tokens/.NAME.refused),
 * postern-broker takes the note away and fetches another one.
 *
 * PN_OK         noted; or there is no folder, so no broker has ever run
 * PN_TEMPFAIL   the system refuses */
PN_CHECK enum pn_status pn_token_note_refusal(struct pn_str state_directory, struct pn_str relay,
    struct pn_error *err);
bool pn_token_take_refusal(struct pn_str state_directory, struct pn_str relay);

#endif
