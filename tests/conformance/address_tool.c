/* address_tool - one question per line in, one answer per line out.
 *
 *     {"fn": "email_split", "arg": "A <a@b.example>"}    {"value": [["A", "a@b.example"]]}
 *     {"op": "sanitize_alias", "name": "Sales"}          {"name": "sales"}
 *
 * diff_address.py asks it what it asked Python.  With --check FILE... it
 * answers the cases of those files instead and compares with `expect`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"

enum { READ_FLAGS = JSON_ALLOW_NUL | JSON_DECODE_ANY };

static json_t *
call(json_t *question)
{
	const char *op = json_string_value(json_object_get(question, "op"));
	const char *fn = json_string_value(json_object_get(question, "fn"));

	if (op != NULL && strcmp(op, "sanitize_alias") == 0)
		return pn_sanitize_call(question);
	return fn == NULL ? NULL : pn_tools_call(fn, json_object_get(question, "arg"));
}

static int
answer_lines(void)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		json_t *question = json_loadb(line, (size_t)n, READ_FLAGS, NULL);
		json_t *result = question == NULL ? NULL : call(question);

		if (result == NULL)
			result = json_pack("{s:s}", "error", "no such question");
		json_dumpf(result, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
		putchar('\n');
		json_decref(result);
		json_decref(question);
	}
	free(line);
	return fflush(stdout) == 0 ? 0 : 1;
}

/* Functions that are not here are somebody else's and do not count. */
static int
check_case(json_t *question)
{
	json_t *expect = json_object_get(question, "expect"), *result = call(question);
	int failed;

	if (result == NULL)
		return -1;
	failed = json_object_get(expect, "error") != NULL ? json_object_get(result, "error") == NULL
	    : !json_equal(expect, result);
	if (failed) {
		char *text = json_dumps(result, JSON_COMPACT);

		printf("%s: got %s\n", json_string_value(json_object_get(question, "id")), text);
		free(text);
	}
	json_decref(result);
	return failed;
}

static int
check_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	int count[2] = { 0, 0 };
	ssize_t n;

	if (file == NULL) {
		perror(path);
		return 1;
	}
	while ((n = getline(&line, &cap, file)) > 0) {
		json_t *question = json_loadb(line, (size_t)n, READ_FLAGS, NULL);
		int failed = question == NULL ? 1 : check_case(question);

		if (failed >= 0)
			count[failed]++;
		json_decref(question);
	}
	free(line);
	fclose(file);
	printf("%s: %d passed, %d failed\n", path, count[0], count[1]);
	return count[1] > 0;
}

int
main(int argc, char **argv)
{
	int status = 0;

	if (argc < 3 || strcmp(argv[1], "--check") != 0)
		return answer_lines();
	for (int i = 2; i < argc; i++)
		status |= check_file(argv[i]);
	return status;
}
