/* Content-Type, Content-Disposition, Content-Transfer-Encoding and MIME-Version, RFC 2045 section 5. */
#include "header_value_internal.h"

enum { INT_DIGITS_MAX = 4300 };	/* longer numbers make Python's int() raise */

/* A token, as written.  Not there: *found is false and the position unchanged. */
static enum pn_status
write_token(struct pn_hv *r, struct pn_wide_buf *out, bool *found)
{
	struct pn_hv_mark mark = pn_hv_mark(r);
	struct pn_hv_word word;
	enum pn_status st = pn_hv_token(r, PN_HV_ENDS_TOKEN, &word);

	*found = st == PN_OK;
	if (st == PN_OK)
		pn_hv_write_word(out, &word);
	else if (st == PN_NOT_FOUND) {
		pn_hv_rewind(r, mark);
		st = PN_OK;
	}
	return st;
}

/* Whatever stands before the first ";", then the parameters. */
static enum pn_status
junk_and_parameters(struct pn_hv *r, struct pn_wide_buf *out)
{
	enum pn_status st = pn_hv_junk(r, ';', ';', out);

	if (st != PN_OK || pn_hv_done(r))
		return st;
	pn_wide_add(out, ';');
	r->pos++;
	return pn_hv_parameters(r, out);
}

enum pn_status
pn_hv_content_type(struct pn_hv *r, struct pn_wide_buf *out)
{
	bool found = false;
	enum pn_status st = write_token(r, out, &found);

	if (st == PN_OK && found && pn_hv_at(r) == '/') {
		pn_wide_add(out, '/');
		r->pos++;
		st = write_token(r, out, &found);
	}
	return st == PN_OK ? junk_and_parameters(r, out) : st;
}

enum pn_status
pn_hv_disposition(struct pn_hv *r, struct pn_wide_buf *out)
{
	bool found;
	enum pn_status st = write_token(r, out, &found);

	return st == PN_OK ? junk_and_parameters(r, out) : st;
}

enum pn_status
pn_hv_transfer_encoding(struct pn_hv *r, struct pn_wide_buf *out)
{
	bool found;
	enum pn_status st = write_token(r, out, &found);

	return st == PN_OK ? pn_hv_junk(r, PN_HV_END, PN_HV_END, out) : st;
}

static enum pn_status
write_cfws(struct pn_hv *r, struct pn_wide_buf *out)
{
	struct pn_wide gap;
	enum pn_status st = pn_hv_cfws(r, &gap);

	if (st == PN_OK)
		pn_wide_add_text(out, gap);
	return st;
}

/* The text up to CFWS or the end character, which Python turns into a number if it looks like one. */
static enum pn_status
write_number(struct pn_hv *r, uint32_t end, struct pn_wide_buf *out)
{
	size_t from = r->pos;
	bool number = true;

	for (; !pn_hv_done(r) && pn_hv_at(r) != end && !pn_hv_at_class(r, PN_HV_COMMENT); r->pos++) {
		number = number && pn_hv_at(r) < 128 && pn_is_digit((char)pn_hv_at(r));
		pn_wide_add(out, pn_hv_at(r));
	}
	if (number && r->pos - from > INT_DIGITS_MAX)
		return PN_INVALID;
	return write_cfws(r, out);
}

enum pn_status
pn_hv_mime_version(struct pn_hv *r, struct pn_wide_buf *out)
{
	enum pn_status st = write_cfws(r, out);

	if (st == PN_OK)
		st = write_number(r, '.', out);
	if (st == PN_OK && pn_hv_at(r) == '.') {
		pn_wide_add(out, '.');
		r->pos++;
		st = write_cfws(r, out);
		if (st == PN_OK)
			st = write_number(r, PN_HV_END, out);
	}
	for (; st == PN_OK && !pn_hv_done(r); r->pos++)
		pn_wide_add(out, pn_hv_at(r));
	return st;
}
