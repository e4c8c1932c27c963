#include "dns_rdata.h"

#include <stdlib.h>

#include "postern/buf.h"

enum { NAME_MAX_BYTES = 253, LABEL_MAX = 63 };

static bool
add_label(struct pn_buf *buf, struct pn_str label)
{
	for (size_t i = 0; i < label.n; i++)
		if (label.p[i] <= ' ' || label.p[i] >= 0x7f || label.p[i] == '.')
			return false;
	if (buf->n > 0)
		pn_buf_add_char(buf, '.');
	pn_buf_add(buf, label);
	return true;
}

/* An uncompressed name that ends with the data; the root is "". */
static bool
read_name(struct pn_str data, struct pn_arena *arena, struct pn_str *out)
{
	struct pn_buf buf;
	bool good = true;
	size_t n = 0;

	pn_buf_init(&buf, NAME_MAX_BYTES);
	while (good && data.n > 0 && (n = (unsigned char)data.p[0]) > 0) {
		good = n <= LABEL_MAX && n < data.n && add_label(&buf, pn_str_n(data.p + 1, n));
		data = pn_str_from(data, n + 1);
	}
	good = good && data.n == 1 && !pn_buf_failed(&buf);
	if (good)
		*out = pn_arena_dup(arena, pn_buf_str(&buf));
	pn_buf_done(&buf);
	return good;
}

/* Strings with their lengths, joined without anything between. */
static bool
read_text(struct pn_str data, struct pn_arena *arena, struct pn_str *out)
{
	char *text = pn_arena_alloc(arena, data.n + 1);
	size_t total = 0;

	while (data.n > 0) {
		size_t n = (unsigned char)data.p[0];

		if (n >= data.n)
			return false;
		memcpy(text + total, data.p + 1, n);
		total += n;
		data = pn_str_from(data, n + 1);
	}
	*out = pn_str_n(text, total);
	return true;
}

struct record {
	struct pn_str text;
	uint16_t preference;
	size_t at;
};

static bool
read_record(enum pn_dns_type type, struct pn_str data, struct pn_arena *arena, struct record *out)
{
	switch (type) {
	case PN_DNS_A:
	case PN_DNS_AAAA:
		out->text = pn_arena_dup(arena, data);
		return data.n == (type == PN_DNS_A ? 4 : 16);
	case PN_DNS_TXT:
		return read_text(data, arena, &out->text);
	case PN_DNS_MX:
		if (data.n < 2)
			return false;
		out->preference = (uint16_t)((unsigned char)data.p[0] << 8 | (unsigned char)data.p[1]);
		return read_name(pn_str_from(data, 2), arena, &out->text);
	case PN_DNS_NS:
	case PN_DNS_PTR:
		return read_name(data, arena, &out->text);
	}
	return false;
}

static int
by_preference(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	return x->preference != y->preference
	    ? (x->preference > y->preference) - (x->preference < y->preference)
	    : (x->at > y->at) - (x->at < y->at);
}

void
dns_rdata_read(enum pn_dns_type type, struct pn_strs rdata, struct pn_arena *arena, struct pn_dns_answer *out)
{
	struct record *records = PN_ARENA_ARRAY(arena, struct record, rdata.n + 1);
	struct pn_str *texts = PN_ARENA_ARRAY(arena, struct pn_str, rdata.n + 1);
	uint16_t *preferences = PN_ARENA_ARRAY(arena, uint16_t, rdata.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < rdata.n; i++) {
		records[n].at = i;
		n += read_record(type, rdata.v[i], arena, &records[n]);
	}
	qsort(records, n, sizeof(*records), by_preference);
	for (size_t i = 0; i < n; i++) {
		texts[i] = records[i].text;
		preferences[i] = records[i].preference;
	}
	out->records = (struct pn_strs){ texts, n };
	out->preferences = type == PN_DNS_MX ? preferences : NULL;
}
