/* charset_internal.h - what charset.c and its generated table share. */
#ifndef POSTERN_CHARSET_INTERNAL_H
#define POSTERN_CHARSET_INTERNAL_H

#include "postern/charset.h"

enum {
	PN_CHARSET_NAME_MAX = 31,
	PN_CHARSET_NONE = 0xfffe,	/* no character for this byte */
};

enum pn_charset_kind {
	PN_CHARSET_ASCII,
	PN_CHARSET_ASCII_ONLY,	/* ASCII is decoded, other bytes are not */
	PN_CHARSET_LATIN1,
	PN_CHARSET_TABLE,
	PN_CHARSET_UNDEFINED,	/* Python's "undefined": always raises */
	PN_CHARSET_UTF8,
	PN_CHARSET_UTF8_SIG,	/* a leading byte order mark is dropped */
	PN_CHARSET_UTF7,
	PN_CHARSET_UTF16,	/* little-endian unless a byte order mark says so */
	PN_CHARSET_UTF16_LE,
	PN_CHARSET_UTF16_BE,
	PN_CHARSET_UTF32,
	PN_CHARSET_UTF32_LE,
	PN_CHARSET_UTF32_BE,
	PN_CHARSET_PAIRS,	/* gbk, big5, euc-kr: one or two bytes */
	PN_CHARSET_GB18030,	/* and four */
	PN_CHARSET_EUC_JP,
	PN_CHARSET_SHIFT_JIS,
	PN_CHARSET_ISO2022,
	PN_CHARSET_HZ,
};

struct pn_charset {
	const char *name;
	bool alias;
	enum pn_charset_kind kind;
	unsigned table;		/* of pn_charset_tables, for PN_CHARSET_TABLE */
};

extern const struct pn_charset pn_charsets[];
extern const size_t pn_charset_count;
extern const uint16_t pn_charset_tables[][256];

#endif
