#include "postern/idn.h"

#include <idn2.h>
#include <unictype.h>

#include "postern/buf.h"
#include "postern/unicode.h"

enum { LABEL_MAX = 63, DOMAIN_MAX = 253 };

/* Before anything expensive: a character that is not ASCII costs at least one
 * byte of its A-label, so 4 * 253 bytes of UTF-8 hold every possible domain. */
enum { TEXT_MAX = 4 * DOMAIN_MAX + 4 };

static bool
is_plain(struct pn_str domain)
{
	for (size_t i = 0; i < domain.n; i++) {
		unsigned char c = (unsigned char)domain.p[i];

		if (c <= ' ' || c >= 0x7f || memchr("@<>\",;:()\\", c, 10) != NULL)
			return false;
	}
	return true;
}

static bool
labels_fit(struct pn_str domain)
{
	struct pn_str label;

	if (domain.n == 0 || domain.n > DOMAIN_MAX)
		return false;
	while (pn_str_split(&domain, '.', &label))
		if (label.n == 0 || label.n > LABEL_MAX)
			return false;
	return true;
}

static bool
is_literal(struct pn_str domain)
{
	return domain.n > 2 && domain.n <= DOMAIN_MAX && domain.p[0] == '[' && domain.p[domain.n - 1] == ']'
	    && pn_str_is_ascii(domain);
}

enum pn_status
pn_domain_to_ascii(struct pn_str domain, struct pn_arena *arena, struct pn_str *out)
{
	struct pn_str ascii = domain;
	char *labels = NULL;

	if (is_literal(domain)) {
		*out = pn_arena_lower(arena, domain);
		return PN_OK;
	}
	if (domain.n > TEXT_MAX)
		return PN_INVALID;
	if (!pn_str_is_ascii(domain)) {
		if (memchr(domain.p, '\0', domain.n) != NULL
		    || idn2_to_ascii_8z(pn_arena_cstr(arena, domain), &labels, IDN2_NONTRANSITIONAL)
			!= IDN2_OK)
			return PN_INVALID;
		ascii = pn_arena_dup(arena, pn_str_c(labels));
		idn2_free(labels);
	}
	if (ascii.n > 0 && ascii.p[ascii.n - 1] == '.')
		ascii.n--;
	if (!labels_fit(ascii) || !is_plain(ascii))
		return PN_INVALID;
	*out = pn_arena_lower(arena, ascii);
	return PN_OK;
}

/* Letters, digits and hyphens, where hyphens may be. */
static bool
is_ldh(struct pn_str label)
{
	if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	if (label.n >= 4 && label.p[2] == '-' && label.p[3] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++)
		if (!pn_is_alnum(label.p[i]) && label.p[i] != '-')
			return false;
	return true;
}

/* An A-label of the text is kept as it is, if it is a good one. */
static bool
is_a_label(struct pn_str label, struct pn_arena *arena)
{
	uint8_t *insert = NULL;
	bool good;

	if (label.n > LABEL_MAX || !pn_str_starts_nocase(label, PN_STR("xn--")))
		return false;
	good = idn2_register_u8(NULL, (const uint8_t *)pn_arena_lower(arena, label).p, &insert, 0) == IDN2_OK;
	idn2_free(insert);
	return good;
}

/* Two rules of RFC 5893 section 2 that libidn2 takes too lightly: what a label
 * with letters from right to left ends with (3, 6), and that it has one kind
 * of digits (4). */
static bool
is_good_bidi(struct pn_str label)
{
	int first = -1, last = -1;
	bool bidi = false, arabic = false, european = false;

	while (label.n > 0) {
		uint32_t c;
		int class;

		label = pn_str_from(label, pn_utf8_next(label, &c));
		class = uc_bidi_category(c);
		if (first < 0)
			first = class;
		if (class != UC_BIDI_NSM)
			last = class;
		arabic = arabic || class == UC_BIDI_AN;
		european = european || class == UC_BIDI_EN;
		bidi = bidi || class == UC_BIDI_R || class == UC_BIDI_AL || class == UC_BIDI_AN;
	}
	if (!bidi)
		return true;
	if (first == UC_BIDI_L)
		return last == UC_BIDI_L || last == UC_BIDI_EN;
	return !(arabic && european) && (last == UC_BIDI_R || last == UC_BIDI_AL || last == UC_BIDI_AN
	    || last == UC_BIDI_EN);
}

static bool
add_label(struct pn_buf *out, struct pn_str label, struct pn_arena *arena)
{
	uint8_t *insert = NULL;
	bool good;

	if (memchr(label.p, '\0', label.n) != NULL)
		return false;
	if (pn_str_is_ascii(label)) {
		if (!is_ldh(label) && !is_a_label(label, arena))
			return false;
		pn_buf_add(out, label);
		return true;
	}
	if (label.n > 4 * LABEL_MAX || !is_good_bidi(label))
		return false;
	good = idn2_register_u8((const uint8_t *)pn_arena_cstr(arena, label), NULL, &insert, 0) == IDN2_OK;
	if (good)
		pn_buf_add_c(out, (const char *)insert);
	idn2_free(insert);
	return good;
}

/* The label at the head of *rest; *dot says whether a dot of any kind follows. */
static struct pn_str
next_label(struct pn_str *rest, bool *dot)
{
	for (size_t at = 0, n; at < rest->n; at += n) {
		uint32_t c;

		n = pn_utf8_next(pn_str_from(*rest, at), &c);
		if (c == '.' || c == 0x3002 || c == 0xff0e || c == 0xff61) {
			struct pn_str label = pn_str_head(*rest, at);

			*rest = pn_str_from(*rest, at + n);
			*dot = true;
			return label;
		}
	}
	*dot = false;
	return *rest;
}

enum pn_status
pn_domain_encode(struct pn_str domain, struct pn_arena *arena, struct pn_str *out)
{
	struct pn_buf buf;
	bool dot = true, good = domain.n > 0 && domain.n <= TEXT_MAX;

	pn_buf_init(&buf, DOMAIN_MAX + 1);
	while (good && dot && domain.n > 0) {
		struct pn_str label = next_label(&domain, &dot);

		good = label.n > 0 && add_label(&buf, label, arena);
		if (good && dot)
			pn_buf_add_char(&buf, '.');
	}
	good = good && !pn_buf_failed(&buf) && (dot || buf.n <= DOMAIN_MAX);
	if (good)
		*out = pn_arena_dup(arena, pn_buf_str(&buf));
	pn_buf_done(&buf);
	return good ? PN_OK : PN_INVALID;
}
