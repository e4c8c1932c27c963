/* spf - runs files of SPF cases (tests/unit/spf_cases.h).
 *
 *     spf FILE.cases ... */
#include "../unit/spf_cases.h"

int
main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0;

	for (int i = 1; i < argc; i++)
		spf_cases_run(argv[i], &passed, &failed);
	printf("spf: %u passed, %u failed\n", passed, failed);
	return failed == 0 && passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
