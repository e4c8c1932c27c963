#include "stamp.h"

#include <stdio.h>
#include <time.h>

enum { AHEAD_SECONDS = 86400 };

/* strptime(3) with a format for all of the text, which is ended by a NUL; what is
 * left of it, or NULL. */
static const char *
read_with(const char *format, const char *text, struct tm *out)
{
	*out = (struct tm) { .tm_isdst = -1 };
	return strptime(text, format, out);
}

/* ".123456+01:00", "+0100", "Z" */
static int64_t
zone_seconds(const char *rest)
{
	struct tm zone;

	if (*rest == '.')
		for (rest++; pn_is_digit(*rest); rest++)
			;
	return read_with("%z", rest, &zone) == NULL ? 0 : zone.tm_gmtoff;
}

int64_t
stamp_age(struct pn_str stamp, int64_t now)
{
	time_t clock = (time_t)now, at;
	const char *rest;
	struct tm tm, today;
	char text[64];

	(void)snprintf(text, sizeof(text), PN_STR_FMT, PN_STR_ARG(pn_str_head(stamp, sizeof(text) - 1)));
	if ((rest = read_with("%Y-%m-%dT%H:%M:%S", text, &tm)) != NULL)
		at = timegm(&tm) - zone_seconds(rest);
	else if (read_with("%b %d %H:%M:%S", text, &tm) != NULL && localtime_r(&clock, &today) != NULL) {
		struct tm last = tm;

		tm.tm_year = today.tm_year;
		last.tm_year = today.tm_year - 1;
		at = mktime(&tm);
		if (at > clock + AHEAD_SECONDS) /* of December, in January */
			at = mktime(&last);
	} else
		return 0;
	return at < clock ? clock - at : 0;
}
