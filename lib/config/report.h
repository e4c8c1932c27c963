/* report.h - findings about the configuration, and where they were found.
 *
 * Internal to lib/config.  One report belongs to one thread.
 */
#ifndef LIB_CONFIG_REPORT_H
#define LIB_CONFIG_REPORT_H

#include "postern/arena.h"
#include "postern/config.h"

/* How many findings of a kind are spelled out; the rest is only counted. */
enum { PN_REPORT_MOST = 100 };

/* A line of a file; line 0 is the file as a whole. */
struct pn_place {
	const char *file;	/* in the arena of the configuration */
	unsigned line;
};

/* Adds "FILE:LINE: key: text".  key "" leaves that part out.  The text ends with
 * what to do about it. */
void pn_report_error(struct pn_config_report *report, struct pn_place place, struct pn_str key,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
void pn_report_warning(struct pn_config_report *report, struct pn_place place, struct pn_str key,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Adds "and N more" where findings were only counted. */
void pn_report_finish(struct pn_config_report *report);

/* Is the next error still spelled out?  If not, thinking up a remedy is a waste. */
static inline bool
pn_report_has_room(const struct pn_config_report *report)
{
	return report->errors < PN_REPORT_MOST;
}

/* Text from a file as it may be shown: quoted, control characters escaped, cut
 * at 60 bytes.  In the arena. */
const char *pn_show(struct pn_str text, struct pn_arena *arena);

#endif
