#include "postern/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *
pn_status_name(enum pn_status status)
{
	switch (status) {
	case PN_OK: return "ok";
	case PN_NOT_FOUND: return "not found";
	case PN_INVALID: return "invalid";
	case PN_TEMPFAIL: return "temporary failure";
	case PN_LIMIT: return "limit exceeded";
	}
	return "?";
}

enum pn_status
pn_fail(struct pn_error *err, enum pn_status status, const char *format, ...)
{
	va_list args;

	if (err == NULL)
		return status;
	va_start(args, format);
	(void)vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return status;
}

enum pn_status
pn_fail_in(struct pn_error *err, enum pn_status status, const char *format, ...)
{
	struct pn_error inner;
	va_list args;
	int n;

	if (err == NULL)
		return status;
	inner = *err;
	va_start(args, format);
	n = vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(err->text))
		(void)snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %.*s",
		    (int)(sizeof(err->text) - (size_t)n), inner.text);
	return status;
}

void
pn_out_of_memory(void)
{
	static const char text[] = "postern: out of memory\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		abort();
	abort();
}
