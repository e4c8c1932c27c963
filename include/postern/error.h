/* error.h - the five answers a fallible function gives, and a text for people.
 *
 * Library code never logs: it returns a status and fills the caller's
 * pn_error.  What a status means to the outside (SMFIS_*, a policy action, an
 * exit code) is decided in one switch per program, without `default`.
 */
#ifndef POSTERN_ERROR_H
#define POSTERN_ERROR_H

#include "postern/str.h"

enum pn_status {
	PN_OK,
	PN_NOT_FOUND,	/* an answer: it is not there */
	PN_INVALID,	/* asking again is useless */
	PN_TEMPFAIL,	/* cannot say now: asking again may help */
	PN_LIMIT,	/* one message or request asked for too much */
};

struct pn_error {
	char text[512];
};

/* "ok", "not found", ... */
const char *pn_status_name(enum pn_status status);

/* Writes the text (err may be NULL) and returns the status, so that failing is
 * one statement: return pn_fail(err, PN_INVALID, "no domain in ..."). */
enum pn_status pn_fail(struct pn_error *err, enum pn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the text on the way up. */
enum pn_status pn_fail_in(struct pn_error *err, enum pn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Out of memory: says so on stderr and ends the process. */
_Noreturn void pn_out_of_memory(void);

#endif
