/* log.h - what the programs tell the operator.
 *
 * One line per event, key=value, on stderr (with "<3>".."<7>" in front where a
 * journal reads it) or to syslog.  Only programs log; lib/ returns text.
 * Values from mail are escaped here and nowhere else.
 *
 * Thread-safe after pn_log_open().
 */
#ifndef POSTERN_LOG_H
#define POSTERN_LOG_H

#include "postern/buf.h"

enum pn_log_level {
	PN_LOG_ERROR,	/* someone must act */
	PN_LOG_WARN,	/* we coped */
	PN_LOG_INFO,	/* the one line per message */
	PN_LOG_DEBUG,
};

enum pn_log_target { PN_LOG_STDERR, PN_LOG_SYSLOG };

/* program: static text, shown as "postern-milter[pid]". */
void pn_log_open(const char *program, enum pn_log_target target, enum pn_log_level most);
void pn_log_set_level(enum pn_log_level most);

void pn_log(enum pn_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void pn_log_line(enum pn_log_level level, struct pn_str line);
/* A line of the log for each line of the text, such as the findings of a
 * configuration; empty ones are left out. */
void pn_log_lines(enum pn_log_level level, struct pn_str text);

/* Adds ` key=value` (` key=<value>` for addresses) to a line.  Blanks, quotes,
 * "=", control characters and bytes that are not UTF-8 are written as \xNN;
 * at most 256 bytes of the value are shown. */
void pn_log_key(struct pn_buf *line, const char *key, struct pn_str value);
/* The same for sentences of our own that may quote mail: key="...", with blanks. */
void pn_log_key_text(struct pn_buf *line, const char *key, struct pn_str text);
void pn_log_key_address(struct pn_buf *line, const char *key, struct pn_str address);

#endif
