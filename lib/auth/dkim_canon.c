#include "dkim_canon.h"

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

static struct pn_str
without_line_end(struct pn_str raw)
{
	while (raw.n > 0 && (raw.p[raw.n - 1] == '\n' || raw.p[raw.n - 1] == '\r'))
		raw.n--;
	return raw;
}

/* Line by line: a LF alone becomes a CRLF. */
static void
add_simple(struct pn_str raw, struct pn_buf *out)
{
	size_t lf;

	while ((lf = pn_str_find(raw, '\n')) != PN_STR_NONE) {
		pn_buf_add(out, pn_str_head(raw, lf));
		pn_buf_add(out, lf > 0 && raw.p[lf - 1] == '\r' ? PN_STR("\n") : PN_STR("\r\n"));
		raw = pn_str_from(raw, lf + 1);
	}
	pn_buf_add(out, raw);
}

/* One blank for each run of blanks and folds, none at the ends. */
static void
add_relaxed(struct pn_str raw, struct pn_buf *out)
{
	bool any = false, blank = false;

	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (c == '\n' || (c == '\r' && i + 1 < raw.n && raw.p[i + 1] == '\n'))
			continue;
		if (is_wsp(c)) {
			blank = any;
			continue;
		}
		if (blank)
			pn_buf_add_char(out, ' ');
		pn_buf_add_char(out, c);
		any = true;
		blank = false;
	}
}

void
pn_dkim_canon_field(const struct pn_field *field, bool relaxed, struct pn_buf *out)
{
	struct pn_str raw = without_line_end(field->raw);

	for (size_t i = 0; i < field->name.n; i++)
		pn_buf_add_char(out, relaxed ? pn_to_lower(field->name.p[i]) : field->name.p[i]);
	pn_buf_add_char(out, ':');
	if (relaxed)
		add_relaxed(raw, out);
	else
		add_simple(raw, out);
	pn_buf_add(out, PN_STR("\r\n"));
}
