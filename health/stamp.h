/* stamp.h - how old is a line of the log?
 *
 * Knows "Nov  5 17:28:41" in the local time zone, which lacks the year, and
 * ISO 8601 with its zone. */
#ifndef HEALTH_STAMP_H
#define HEALTH_STAMP_H

#include "postern/str.h"

/* Seconds before now, at least 0; 0 as well for what cannot be read. */
int64_t stamp_age(struct pn_str stamp, int64_t now);

#endif
