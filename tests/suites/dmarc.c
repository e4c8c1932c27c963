/* dmarc.c - evaluates files of DMARC cases (tests/data/dmarc/README.md).
 *
 *     dmarc FILE ...
 *
 * Lists what differs, ends with "dmarc: N passed, M failed"; exit 1 if any failed.
 */
#include "dmarc_cases.h"

int
main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0;
	struct pn_psl *psl = NULL;
	struct pn_error err;

	if (pn_psl_load(NULL, &psl, &err) != PN_OK) {
		fprintf(stderr, "dmarc: %s\n", err.text);
		return EXIT_FAILURE;
	}
	for (int i = 1; i < argc; i++)
		dmarc_cases_run(argv[i], psl, &passed, &failed);
	pn_psl_free(psl);
	printf("dmarc: %u passed, %u failed\n", passed, failed);
	return failed == 0 && passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
