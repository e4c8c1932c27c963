/* line.h - what the log says of a mail: one line each. */
#ifndef POSTERN_MILTER_LINE_H
#define POSTERN_MILTER_LINE_H

#include "session.h"

/* A mail that was told to come later before it had recipients. */
void line_refused(const struct session *session, const char *reason);

/* A recipient that was not accepted; others are in the mail's line. */
void line_rcpt(const struct session *session, struct pn_str address, enum session_rcpt answer,
    const struct pn_error *err);

/* The end of a message.  failed: the mail server did not take the changes. */
void line_mail(const struct session *session, const struct pn_gate_result *result, bool failed);

#endif
