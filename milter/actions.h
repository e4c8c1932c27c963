/* actions.h - what was decided, as libmilter calls.  The one place where an
 * answer becomes an sfsistat. */
#ifndef POSTERN_MILTER_ACTIONS_H
#define POSTERN_MILTER_ACTIONS_H

#include "session.h"

/* The answer to RCPT TO. */
sfsistat action_rcpt(SMFICTX *ctx, enum session_rcpt answer);

/* Makes the changes and answers the end of the message. */
sfsistat action_close(SMFICTX *ctx, const struct session *session, const struct pn_closing *closing);

/* 451 with a text of ours; for sendmail(1) the mail passes as it is. */
sfsistat action_trouble(SMFICTX *ctx, const char *text);

#endif
