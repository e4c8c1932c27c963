/* tools.h - the address helpers behind the cases of kind `tools` and `sanitize_alias`. */
#ifndef TESTS_CONFORMANCE_TOOLS_H
#define TESTS_CONFORMANCE_TOOLS_H

#include <jansson.h>

/* The answer in the form of a case's `expect`: {"value": ...} or {"error": ...}.
 * The caller owns it.  NULL: no such function, or an argument it cannot have. */
json_t *pn_tools_call(const char *fn, json_t *arg);

/* {"name": ...} for a case {"name": ..., "is_email": ...}. */
json_t *pn_sanitize_call(json_t *sanitize_case);

#endif
