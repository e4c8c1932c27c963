/* answer.h - what a token endpoint answered (RFC 6749 sections 5.1 and 5.2).
 *
 * Pure; the answer is from outside: bounded, and nothing in it is trusted to be text.
 */
#ifndef BROKER_ANSWER_H
#define BROKER_ANSWER_H

#include "postern/arena.h"
#include "postern/error.h"

enum {
	ANSWER_MAX = 64 * 1024,		/* bytes of the body */
	ANSWER_TOKEN_MAX = 4000,	/* bytes of a token: its file is read as a secret, which has 4096 */
	ANSWER_LIFETIME_UNSAID = 600,	/* seconds, where the server does not say */
	ANSWER_LIFETIME_MAX = 30 * 86400,
};

struct answer {
	struct pn_str token;		/* in the arena: printable ASCII, no blanks; whoever asked wipes it */
	struct pn_str refresh;		/* the refresh token from now on; "" = as before */
	uint64_t lifetime;		/* seconds, at least 1 */
};

/* status: of HTTP.
 *
 * PN_OK       *out
 * PN_INVALID  the server refuses, and will again until the operator acts; err says what to do
 * PN_TEMPFAIL the server is busy, in trouble, or answered something else */
PN_CHECK enum pn_status answer_read(long status, struct pn_str body, struct pn_arena *arena,
    struct answer *out, struct pn_error *err);

#endif
