/* dkim_feed.h - a mail, given to libopendkim as it can take it.
 *
 * Internal to lib/auth.  What the library cannot take stays away from it: docs/decisions/0012.  One thread at
 * a time.
 */
#ifndef LIB_AUTH_DKIM_FEED_H
#define LIB_AUTH_DKIM_FEED_H

#include <opendkim/dkim.h>

#include "postern/buf.h"
#include "postern/message.h"

struct dkim_feed {
	DKIM *dkim;
	struct pn_buf field;
	bool line;		/* the body's last line has no end yet */
	bool cr;		/* its last byte is a CR */
	bool bare_cr;		/* there was a CR that ends no line */
};

/* NULL, or why nothing over such fields can be verified. */
const char *dkim_feed_refuses(struct pn_fields fields);

void dkim_feed_init(struct dkim_feed *feed, DKIM *dkim);

/* In the order of the mail. */
void dkim_feed_field(struct dkim_feed *feed, const struct pn_field *field);
PN_CHECK bool dkim_feed_eoh(struct dkim_feed *feed);

/* In pieces of any size.  A LF alone ends a line, too. */
void dkim_feed_body(struct dkim_feed *feed, struct pn_str chunk);

/* Behind the last piece: is there a CR that ends no line?  The library loses it. */
bool dkim_feed_has_bare_cr(const struct dkim_feed *feed);

void dkim_feed_eom(struct dkim_feed *feed);

#endif
