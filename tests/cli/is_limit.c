/* Says of each line of stdin whether pn_health_is_limit() takes it for a sending limit. */
#include <stdio.h>
#include <stdlib.h>

#include "postern/health.h"

int
main(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while ((n = getline(&line, &size, stdin)) > 0) {
		uint64_t window;

		(void)puts(
		    pn_health_is_limit(pn_str_trim(pn_str_n(line, (size_t)n)), &window) ? "yes" : "no");
	}
	free(line);
	return 0;
}
