#include "postern/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static pthread_once_t offset_once = PTHREAD_ONCE_INIT;
static int64_t offset_seconds;

static void
read_offset(void)
{
	const char *text = getenv("POSTERN_CLOCK_OFFSET");

	if (text != NULL)
		offset_seconds = strtoll(text, NULL, 10);
}

static int64_t
read_us(clockid_t which)
{
	struct timespec now;

	(void)clock_gettime(which, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
pn_clock_now_ms(void)
{
	(void)pthread_once(&offset_once, read_offset);
	return read_us(CLOCK_REALTIME) / 1000 + offset_seconds * 1000;
}

int64_t
pn_clock_now(void)
{
	return pn_clock_now_ms() / 1000;
}

int64_t
pn_clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}
