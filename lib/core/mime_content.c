/* mime_content.c - decodes the text of a part (quoted-printable, base64), far
 * enough to say whether there is any and whether one can see it; and for the
 * headers of a bounced mail that are sent as text. */
#include "mime_private.h"

enum { QP_TEXT, QP_EQUALS, QP_HEX, QP_TO_LF };

static const char replacement[] = "\xef\xbf\xbd";

void
pn_mime_content_start(struct pn_mime_content *content, enum pn_mime_cte cte,
    enum pn_mime_charset charset, struct pn_mime *reader)
{
	memset(content, 0, sizeof(*content));
	content->cte = cte;
	content->charset = charset;
	content->reader = reader;
}

/* bytes.decode(charset, "replace") as UTF-8, where the charset is one of the simple ones. */
static void
hand_on(struct pn_mime_content *content, struct pn_str text)
{
	while (text.n > 0) {
		size_t n = 0;
		unsigned char c;
		char latin1[2];

		while (n < text.n && ((unsigned char)text.p[n] < 0x80 ||
		    content->charset == PN_MIME_CHARSET_UTF8))
			n++;
		pn_mime_feed(content->reader, pn_str_head(text, n));
		text = pn_str_from(text, n);
		if (text.n == 0)
			return;
		c = (unsigned char)text.p[0];
		latin1[0] = (char)(0xc0 | c >> 6);
		latin1[1] = (char)(0x80 | (c & 0x3f));
		pn_mime_feed(content->reader, content->charset == PN_MIME_CHARSET_LATIN1 ?
		    pn_str_n(latin1, 2) : pn_str_n(replacement, 3));
		if (content->charset == PN_MIME_CHARSET_SUPERSET)
			content->odd = true;
		text = pn_str_from(text, 1);
	}
}

/* Its bytes are not read here. */
static bool
is_odd(enum pn_mime_charset charset)
{
	return charset == PN_MIME_CHARSET_OTHER || charset == PN_MIME_CHARSET_ODD;
}

/* Decoded bytes. */
static void
emit(struct pn_mime_content *content, struct pn_str text)
{
	if (text.n == 0)
		return;
	content->any = true;
	if (is_odd(content->charset))
		content->unclear = content->odd = true;
	else if (content->reader != NULL)
		hand_on(content, text);
	for (size_t i = 0; i < text.n && !content->visible; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (is_odd(content->charset))
			break;
		if (c >= 0x80 && content->charset != PN_MIME_CHARSET_ASCII)
			content->unclear = true;	/* perhaps a blank */
		else if (!pn_is_space((char)c) && !(c >= 0x1c && c <= 0x1f))
			content->visible = true;
	}
}

static int
hex_value(char c)
{
	return pn_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	    c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* binascii.a2b_qp(), a byte at a time. */
static void
quoted_printable(struct pn_mime_content *content, char c)
{
	char two[2] = { '=', c };

	switch (content->qp) {
	case QP_TO_LF:
		content->qp = c == '\n' ? QP_TEXT : QP_TO_LF;
		return;
	case QP_EQUALS:
		content->qp = QP_TEXT;
		if (c == '\n')
			return;
		if (c == '\r')
			content->qp = QP_TO_LF;
		else if (c == '=')
			emit(content, PN_STR("="));
		else if (hex_value(c) >= 0) {
			content->qp = QP_HEX;
			content->hex = c;
		} else
			emit(content, pn_str_n(two, 2));
		return;
	case QP_HEX:
		content->qp = QP_TEXT;
		if (hex_value(c) >= 0) {
			two[0] = (char)(hex_value(content->hex) * 16 + hex_value(c));
			emit(content, pn_str_n(two, 1));
			return;
		}
		two[1] = content->hex;
		emit(content, pn_str_n(two, 2));
		break;
	default:
		break;
	}
	if (c == '=')
		content->qp = QP_EQUALS;
	else
		emit(content, pn_str_n(&c, 1));
}

static int
base64_value(char c)
{
	return pn_is_upper(c) ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 :
	    pn_is_digit(c) ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* binascii.a2b_base64(), lenient: strange bytes count for nothing. */
static void
base64(struct pn_mime_content *content, char c)
{
	int value = base64_value(c);
	char byte;

	if (value >= 0)
		content->letters++;
	if (content->padded)
		return;
	if (c == '=')
		content->padded = content->quad >= 2 && content->quad + ++content->pads >= 4;
	if (value < 0)
		return;
	content->pads = 0;
	content->bits = (content->bits << 6 | (uint32_t)value) & 0xffffff;
	if (content->quad++ > 0) {
		byte = (char)(content->bits >> (6 - 2 * (content->quad - 1)));
		emit(content, pn_str_n(&byte, 1));
	}
	content->quad %= 4;
}

static void
decode(struct pn_mime_content *content, struct pn_str text)
{
	switch (content->cte) {
	case PN_MIME_CTE_RAW:
		emit(content, text);
		break;
	case PN_MIME_CTE_QP:
		for (size_t i = 0; i < text.n; i++)
			quoted_printable(content, text.p[i]);
		break;
	case PN_MIME_CTE_BASE64:
		for (size_t i = 0; i < text.n; i++)
			base64(content, text.p[i]);
		break;
	case PN_MIME_CTE_UU:
		content->unclear = content->odd = content->odd || text.n > 0;
		break;
	}
}

static void
decode_eol(struct pn_mime_content *content)
{
	static const struct pn_str eols[] = {
		[PN_MIME_EOL_NONE] = { "", 0 },
		[PN_MIME_EOL_LF] = { "\n", 1 },
		[PN_MIME_EOL_CR] = { "\r", 1 },
		[PN_MIME_EOL_CRLF] = { "\r\n", 2 },
	};

	decode(content, eols[content->eol]);
	content->eol = PN_MIME_EOL_NONE;
}

void
pn_mime_content_text(struct pn_mime_content *content, struct pn_str text)
{
	decode_eol(content);
	decode(content, text);
}

void
pn_mime_content_eol(struct pn_mime_content *content, enum pn_mime_eol eol)
{
	content->eol = eol;
}

void
pn_mime_content_end(struct pn_mime_content *content, bool strip_eol)
{
	char equals_hex[2] = { '=', content->hex };

	if (!strip_eol)
		decode_eol(content);
	if (content->cte == PN_MIME_CTE_QP && content->qp == QP_HEX)
		emit(content, pn_str_n(equals_hex, 2));
	/* Base64 that no padding can mend is handed over as it came. */
	if (content->cte == PN_MIME_CTE_BASE64 && content->letters > 0) {
		content->any = true;
		if (content->quad == 1 && !content->padded)
			content->unclear = content->odd = true;
	}
}
