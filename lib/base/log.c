#include "postern/log.h"

#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192, VALUE_MAX = 256 };

static const char *log_program = "postern";
static enum pn_log_target log_target = PN_LOG_STDERR;
static bool log_journal;
static pid_t log_pid;
static atomic_int log_most = PN_LOG_INFO;

static int
syslog_priority(enum pn_log_level level)
{
	switch (level) {
	case PN_LOG_ERROR: return LOG_ERR;
	case PN_LOG_WARN: return LOG_WARNING;
	case PN_LOG_INFO: return LOG_INFO;
	case PN_LOG_DEBUG: return LOG_DEBUG;
	}
	return LOG_ERR;
}

void
pn_log_open(const char *program, enum pn_log_target target, enum pn_log_level most)
{
	log_program = program;
	log_target = target;
	log_journal = getenv("JOURNAL_STREAM") != NULL;
	log_pid = getpid();
	atomic_store(&log_most, (int)most);
	if (target == PN_LOG_SYSLOG)
		openlog(program, LOG_PID | LOG_NDELAY, LOG_MAIL);
}

void
pn_log_set_level(enum pn_log_level most)
{
	atomic_store(&log_most, (int)most);
}

/* At most LINE_MAX_BYTES. */
static size_t
format_line(char *out, enum pn_log_level level, struct pn_str line)
{
	size_t size = LINE_MAX_BYTES;
	int n;

	line = pn_str_head(line, size - 128);
	if (log_journal)
		n = snprintf(out, size, "<%d>", syslog_priority(level));
	else
		n = snprintf(out, size, "%s[%ld]: %s", log_program, (long)log_pid,
		    level == PN_LOG_ERROR ? "error: " : level == PN_LOG_WARN ? "warning: " : "");
	memcpy(out + n, line.p, line.n);
	out[(size_t)n + line.n] = '\n';
	return (size_t)n + line.n + 1;
}

static void
write_out(const char *out, size_t n)
{
	if (n > 0 && write(STDERR_FILENO, out, n) < 0)
		return;
}

static bool
is_shown(enum pn_log_level level)
{
	return (int)level <= atomic_load(&log_most);
}

void
pn_log_line(enum pn_log_level level, struct pn_str line)
{
	char out[LINE_MAX_BYTES];

	if (!is_shown(level))
		return;
	if (log_target == PN_LOG_SYSLOG)
		syslog(syslog_priority(level), "%.*s", (int)line.n, line.p);
	else
		/* One write per line, so that lines of several threads never mix. */
		write_out(out, format_line(out, level, line));
}

/* As many in one write as a pipe takes without mixing them with another's. */
void
pn_log_lines(enum pn_log_level level, struct pn_str text)
{
	char out[PIPE_BUF + LINE_MAX_BYTES];
	struct pn_str line;
	size_t used = 0;

	while (pn_str_split(&text, '\n', &line)) {
		size_t n;

		if (line.n == 0)
			continue;
		if (log_target == PN_LOG_SYSLOG || !is_shown(level)) {
			pn_log_line(level, line);
			continue;
		}
		n = format_line(out + used, level, line);
		if (used + n > PIPE_BUF) {
			write_out(out, used);
			write_out(out + used, n);
			n = used = 0;
		}
		used += n;
	}
	write_out(out, used);
}

void
pn_log(enum pn_log_level level, const char *format, ...)
{
	char text[LINE_MAX_BYTES - 128];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n > 0)
		pn_log_line(level, pn_str_n(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
}

/* How many bytes the UTF-8 character at the head of s has; 0: it is none. */
static size_t
utf8_length(struct pn_str s)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3
	    : c >= 0xf0 && c < 0xf5 ? 4 : 0;

	if (n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return 0;
	/* C1 controls are no text */
	return n == 2 && c == 0xc2 && (unsigned char)s.p[1] < 0xa0 ? 0 : n;
}

/* How many bytes at the head of s can stand as they are. */
static size_t
plain_length(struct pn_str s, const char *special)
{
	size_t at = 0;

	while (at < s.n) {
		char c = s.p[at];
		size_t n = 1;

		if (!pn_is_alnum(c)) {
			n = utf8_length(pn_str_from(s, at));
			if (n == 0 || (n == 1 && (c < ' ' || c == 0x7f || strchr(special, c) != NULL)))
				break;
		}
		at += n;
	}
	return at;
}

/* `special` are the characters that would end or confuse the value. */
static void
add_escaped(struct pn_buf *line, struct pn_str value, const char *special)
{
	bool cut = value.n > VALUE_MAX;

	value = pn_str_head(value, VALUE_MAX);
	while (value.n > 0) {
		size_t n = plain_length(value, special);

		pn_buf_add(line, pn_str_head(value, n));
		value = pn_str_from(value, n);
		if (value.n == 0)
			break;
		pn_buf_addf(line, "\\x%02x", (unsigned)(unsigned char)value.p[0]);
		value = pn_str_from(value, 1);
	}
	if (cut)
		pn_buf_add_c(line, "...");
}

static void
add_key(struct pn_buf *line, const char *key)
{
	if (line->n > 0)
		pn_buf_add_char(line, ' ');
	pn_buf_add_c(line, key);
	pn_buf_add_char(line, '=');
}

void
pn_log_key(struct pn_buf *line, const char *key, struct pn_str value)
{
	add_key(line, key);
	add_escaped(line, value, " \"=\\<>");
}

void
pn_log_key_text(struct pn_buf *line, const char *key, struct pn_str text)
{
	add_key(line, key);
	pn_buf_add_char(line, '"');
	add_escaped(line, text, "\"\\");
	pn_buf_add_char(line, '"');
}

void
pn_log_key_address(struct pn_buf *line, const char *key, struct pn_str address)
{
	if (address.n >= 2 && address.p[0] == '<' && address.p[address.n - 1] == '>')
		address = pn_str_n(address.p + 1, address.n - 2);
	add_key(line, key);
	pn_buf_add_char(line, '<');
	add_escaped(line, address, " \"=\\<>");
	pn_buf_add_char(line, '>');
}
