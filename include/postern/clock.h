/* clock.h - the time, for programs only: lib/core is always told it.
 *
 * Seconds and milliseconds since 1970 UTC.  POSTERN_CLOCK_OFFSET in the
 * environment (seconds, read once) shifts both, so that tests can cross a
 * window without sleeping.  Thread-safe.
 */
#ifndef POSTERN_CLOCK_H
#define POSTERN_CLOCK_H

#include <stdint.h>

int64_t pn_clock_now(void);	/* seconds */
int64_t pn_clock_now_ms(void);	/* milliseconds */
int64_t pn_clock_mono_us(void);	/* microseconds, for durations only */

#endif
