#include "report.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 256 * 1024, SHOWN = 60, KEY_MAX = 40 };

void
pn_config_report_init(struct pn_config_report *report)
{
	*report = (struct pn_config_report){ .errors = 0 };
	pn_buf_init(&report->text, TEXT_MAX);
}

void
pn_config_report_done(struct pn_config_report *report)
{
	pn_buf_done(&report->text);
}

static void
add(struct pn_buf *out, struct pn_place place, struct pn_str key, const char *kind, const char *format,
    va_list args)
{
	char text[1024];

	(void)vsnprintf(text, sizeof(text), format, args);
	if (place.line > 0)
		pn_buf_addf(out, "%s:%u: ", place.file, place.line);
	else
		pn_buf_addf(out, "%s: ", place.file);
	pn_buf_add_c(out, kind);
	if (key.n > 0)
		pn_buf_addf(out, PN_STR_FMT ": ", PN_STR_ARG(pn_str_head(key, KEY_MAX)));
	pn_buf_addf(out, "%s\n", text);
}

void
pn_report_error(struct pn_config_report *report, struct pn_place place, struct pn_str key,
    const char *format, ...)
{
	va_list args;

	if (report->errors++ >= PN_REPORT_MOST)
		return;
	va_start(args, format);
	add(&report->text, place, key, "", format, args);
	va_end(args);
}

void
pn_report_warning(struct pn_config_report *report, struct pn_place place, struct pn_str key,
    const char *format, ...)
{
	va_list args;

	if (report->warnings++ >= PN_REPORT_MOST)
		return;
	va_start(args, format);
	add(&report->text, place, key, "warning: ", format, args);
	va_end(args);
}

void
pn_report_finish(struct pn_config_report *report)
{
	if (report->errors > PN_REPORT_MOST)
		pn_buf_addf(&report->text, "and %zu more errors\n", report->errors - PN_REPORT_MOST);
	if (report->warnings > PN_REPORT_MOST)
		pn_buf_addf(&report->text, "and %zu more warnings\n", report->warnings - PN_REPORT_MOST);
}

const char *
pn_show(struct pn_str text, struct pn_arena *arena)
{
	struct pn_str head = pn_str_head(text, SHOWN);
	struct pn_buf out;
	const char *shown;

	pn_buf_init(&out, 8 * SHOWN);
	pn_buf_add_char(&out, '"');
	for (size_t i = 0; i < head.n; i++) {
		unsigned char c = (unsigned char)head.p[i];

		if (c < 0x20 || c == 0x7f)
			pn_buf_addf(&out, "\\x%02x", c);
		else
			pn_buf_add_char(&out, head.p[i]);
	}
	pn_buf_add_c(&out, text.n > head.n ? "...\"" : "\"");
	shown = pn_arena_cstr(arena, pn_buf_str(&out));
	pn_buf_done(&out);
	return shown;
}
