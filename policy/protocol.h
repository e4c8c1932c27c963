/* protocol.h - how a connection's bytes become answers.
 *
 * A listener speaks one protocol; the server knows connections, limits and
 * buffers, the protocol knows frames and questions.  Answers are given inline:
 * nothing here may block.
 */
#ifndef POLICY_PROTOCOL_H
#define POLICY_PROTOCOL_H

#include "service.h"

struct protocol {
	const char *name;
	/* A session, one per connection.  fd: to see who is at its other end. */
	void *(*open)(struct service *service, int fd);
	void (*close)(void *session);
	/* Takes bytes off *in up to the end of one request.  PN_OK: *request is there
	 * until the next call; PN_NOT_FOUND: *in is used up; PN_INVALID or PN_LIMIT:
	 * this is not our protocol, hang up. */
	enum pn_status (*next)(void *session, struct pn_str *in, struct pn_str *request);
	/* Appends its answer.  Asked twice when the first answer could not be given. */
	void (*answer)(void *session, struct pn_str request, struct pn_buf *out);
	bool (*is_partial)(const void *session);	/* a request has begun */
};

/* Postfix's socketmap_table(5): "NAME KEY" -> "OK value", "NOTFOUND ", ... */
extern const struct protocol protocol_socketmap;
/* Postfix's SMTPD_POLICY_README: lines "name=value", an empty one -> "action=..." */
extern const struct protocol protocol_policy;

#endif
