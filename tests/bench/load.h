/* load.h - what the load generators share: time spans and how they are shown. */
#ifndef POSTERN_BENCH_LOAD_H
#define POSTERN_BENCH_LOAD_H

#include <stdio.h>
#include <stdlib.h>

#include "postern/clock.h"

struct spans {
	int64_t *us;
	size_t n;
};

static inline struct spans
spans_new(size_t most)
{
	struct spans s = { calloc(most, sizeof(int64_t)), 0 };

	if (s.us == NULL)
		abort();
	return s;
}

static inline void
spans_add(struct spans *s, int64_t since_us)
{
	s->us[s->n++] = pn_clock_mono_us() - since_us;
}

static inline int
spans_compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* "NAME_p50 1.234 ms" and so on; sorts. */
static inline void
spans_print(struct spans *s, const char *name)
{
	static const struct { const char *name; size_t permille; } shown[] = {
		{ "p50", 500 }, { "p99", 990 }, { "max", 1000 },
	};

	qsort(s->us, s->n, sizeof(*s->us), spans_compare);
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		size_t at = s->n * shown[i].permille / 1000;

		(void)printf("%s_%s %.3f ms\n", name, shown[i].name,
		    s->n == 0 ? 0.0 : (double)s->us[at < s->n ? at : s->n - 1] / 1000);
	}
}

#endif
