/* mime_charset.c - what Python's bytes.decode(charset, "replace") does to a
 * text, as far as reading mail asks: does it fail, are ASCII bytes themselves. */
#include "charset_internal.h"
#include "mime_private.h"

static bool
keeps_ascii(const uint16_t table[256])
{
	for (unsigned i = 0; i < 128; i++)
		if (table[i] != i)
			return false;
	return true;
}

enum pn_mime_charset
pn_mime_charset(struct pn_str name)
{
	const struct pn_charset *charset = pn_charset_find(name);

	if (pn_str_find(name, '\0') != PN_STR_NONE)
		return PN_MIME_CHARSET_NUL;
	if (charset == NULL)
		return PN_MIME_CHARSET_NONE;
	switch (charset->kind) {
	case PN_CHARSET_ASCII:
		return PN_MIME_CHARSET_ASCII;
	case PN_CHARSET_UTF8:
		return PN_MIME_CHARSET_UTF8;
	case PN_CHARSET_LATIN1:
		return PN_MIME_CHARSET_LATIN1;
	case PN_CHARSET_TABLE:
		return keeps_ascii(pn_charset_tables[charset->table]) ?
		    PN_MIME_CHARSET_SUPERSET : PN_MIME_CHARSET_OTHER;
	case PN_CHARSET_PAIRS:
	case PN_CHARSET_GB18030:
	case PN_CHARSET_EUC_JP:
		return PN_MIME_CHARSET_SUPERSET;
	case PN_CHARSET_UNDEFINED:
		return PN_MIME_CHARSET_RAISES;
	case PN_CHARSET_ASCII_ONLY:
		/* Two of them refuse to replace what they cannot decode. */
		return strcmp(charset->name, "idna") == 0 ? PN_MIME_CHARSET_RAISES :
		    strcmp(charset->name, "punycode") == 0 ? PN_MIME_CHARSET_ODD : PN_MIME_CHARSET_OTHER;
	case PN_CHARSET_UTF8_SIG:
	case PN_CHARSET_UTF7:
	case PN_CHARSET_UTF16:
	case PN_CHARSET_UTF16_LE:
	case PN_CHARSET_UTF16_BE:
	case PN_CHARSET_UTF32:
	case PN_CHARSET_UTF32_LE:
	case PN_CHARSET_UTF32_BE:
	case PN_CHARSET_SHIFT_JIS:
	case PN_CHARSET_ISO2022:
	case PN_CHARSET_HZ:
		break;
	}
	return PN_MIME_CHARSET_OTHER;
}
