#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "postern/authenticate.h"

static const struct {
	const char *name, *raw, *client, *helo;		/* client NULL: not sure */
} rows[] = {
	{ "Postfix", " from mail.sender.test (mail.sender.test [192.0.2.1])\n\tby mx2.acme.example (Postfix) with ESMTPS id 4X "
	    "for <a@b.c>;\n\tMon, 6 Jul 2026 10:00:00 +0000 (UTC)", "192.0.2.1", "mail.sender.test" },
	{ "Postfix, no name", " from a.test (unknown [192.0.2.1])\n\tby mx2", "192.0.2.1", "a.test" },
	{ "Postfix, folded", " from a.test\r\n\t(a.test [192.0.2.1])", "192.0.2.1", "a.test" },
	{ "Postfix, IPv6", " from a.test (a.test [IPv6:2001:db8::1])", "2001:db8::1", "a.test" },
	{ "Postfix, TLS told", " from a.test (a.test [192.0.2.1]) (using TLSv1.3 with cipher X (256/256 bits))",
	    "192.0.2.1", "a.test" },
	{ "Postfix, a literal as HELO", " from [192.0.2.9] (unknown [192.0.2.1])", "192.0.2.1", "[192.0.2.9]" },
	{ "Postfix, its own IPv6", " from a.test (localhost [IPv6:::1])", "::1", "a.test" },
	{ "sendmail", " from a.test (a.test [192.0.2.1])\n\tby mx2 (8.15.2/8.15.2) with ESMTP", "192.0.2.1", "a.test" },
	{ "sendmail, no name", " from a.test ([192.0.2.1])", "192.0.2.1", "a.test" },
	{ "sendmail, nested comment", " from a.test (b.test [192.0.2.1] (may be forged))", "192.0.2.1", "a.test" },
	{ "sendmail, ident", " from a.test (IDENT:joe@b.test [192.0.2.1])", "192.0.2.1", "a.test" },
	{ "Exim", " from b.test ([192.0.2.1] helo=a.test)\n\tby mx2 with esmtps (Exim 4.96)", "192.0.2.1", "a.test" },
	{ "Exim, same name", " from a.test ([192.0.2.1])\n\tby mx2 with esmtp", "192.0.2.1", "a.test" },
	{ "Exim, port", " from a.test ([192.0.2.1]:4711 helo=b.test)", "192.0.2.1", "b.test" },
	{ "Exim, no name", " from [192.0.2.1] (helo=a.test)", "192.0.2.1", "a.test" },
	{ "Exim, no name, port", " from [192.0.2.1] (port=4711 helo=a.test)", "192.0.2.1", "a.test" },
	{ "Exim, HELO is a literal", " from [192.0.2.1] (helo=[192.0.2.9])", "192.0.2.1", "[192.0.2.9]" },
	{ "Exim, HELO is a literal, named", " from b.test ([192.0.2.1] helo=[192.0.2.9])", "192.0.2.1", "[192.0.2.9]" },
	{ "Exim, HELO is a literal, port", " from b.test ([192.0.2.1]:4711 helo=[192.0.2.9])", "192.0.2.1", "[192.0.2.9]" },
	{ "Exim, HELO is a literal, ident", " from [192.0.2.1] (helo=[192.0.2.9] ident=x)", "192.0.2.1", "[192.0.2.9]" },
	{ "Exim, HELO ends the comment", " from b.test ([192.0.2.1] helo=x) ([192.0.2.9])", "192.0.2.1", "x" },
	{ "Exim, IPv6", " from [2001:db8::1] (helo=a.test)", "2001:db8::1", "a.test" },
	{ "Exchange", " from a.test (192.0.2.1) by b.test (10.0.0.1) with Microsoft SMTP Server (version=TLS1_2)",
	    "192.0.2.1", "a.test" },
	{ "Exchange, IPv6", " from a.test (2001:db8::1) by b.test", "2001:db8::1", "a.test" },
	{ "qmail", " from a.test (192.0.2.1)\n  by mx2 with SMTP; 6 Jul 2026", "192.0.2.1", "a.test" },
	{ "qmail, another HELO", " from unknown (HELO a.test) (192.0.2.1)\n  by mx2 with SMTP", "192.0.2.1", "a.test" },
	{ "qmail, HELO is an address", " from unknown (HELO 192.0.2.9) (192.0.2.1)", "192.0.2.1", "192.0.2.9" },
	{ "qmail, HELO is a literal", " from unknown (HELO [192.0.2.9]) (192.0.2.1)", "192.0.2.1", "[192.0.2.9]" },
	{ "Gmail", " from mail-ej1-f41.google.com (mail-ej1-f41.google.com. [209.85.218.41])\n        by mx.google.com with "
	    "ESMTPS id x", "209.85.218.41", "mail-ej1-f41.google.com" },
	{ "upper case", " FROM a.test (a.test [IPV6:2001:DB8::1])", "2001:db8::1", "a.test" },
	{ "mapped IPv4", " from a.test (a.test [::ffff:192.0.2.1])", "192.0.2.1", "a.test" },

	{ "Gmail inside", " by 2002:a05:6402:35ce:b0:5d0:c697:1f02 with SMTP id z14; Mon, 6 Jul 2026", NULL, NULL },
	{ "a user's", " by mx2 (Postfix, from userid 33)\n\tid 4X; Mon, 6 Jul 2026", NULL, NULL },
	{ "fetchmail", " from pop.test [192.0.2.1]\n\tby localhost with POP3 (fetchmail-6.4.2)", NULL, NULL },
	{ "nothing", "", NULL, NULL },
	{ "from only", " from", NULL, NULL },
	{ "no comment", " from a.test by b.test", NULL, NULL },
	{ "no name but a comment", " from (a.test [192.0.2.1])", NULL, NULL },
	{ "no end", " from a.test (a.test [192.0.2.1]", NULL, NULL },
	{ "no bracket", " from a.test (a.test [192.0.2.1)", NULL, NULL },
	{ "no address", " from a.test (a.test [unknown])", NULL, NULL },
	{ "a part of one", " from a.test (a.test [192.0.2])", NULL, NULL },
	{ "empty comment", " from a.test ()", NULL, NULL },
	{ "empty literal", " from a.test ([])", NULL, NULL },

	{ "forged: HELO closes a comment", " from ([192.0.2.9]) (unknown [192.0.2.1])", NULL, NULL },
	{ "forged: HELO closes one that is none", " from [192.0.2.9]) (unknown [192.0.2.1])", NULL, NULL },
	{ "forged: HELO with a comment", " from a(b[192.0.2.9]) (unknown [192.0.2.1])", NULL, NULL },
	{ "forged: sendmail, a name like Exim's words", " from [192.0.2.9] (helo=b.test [192.0.2.1])", NULL, NULL },
	{ "forged: the same as port", " from [192.0.2.9] (port=b.test [192.0.2.1])", NULL, NULL },
	{ "forged: behind Exim's literal", " from b.test ([192.0.2.9] ident=x [192.0.2.1])", NULL, NULL },
	{ "forged: as its port", " from b.test ([192.0.2.9]:[192.0.2.1])", NULL, NULL },
	{ "forged: HELO of two words", " from b.test (HELO a 192.0.2.9) (192.0.2.1)", NULL, NULL },
	{ "HELO, and a literal", " from b.test (HELO a.test) ([192.0.2.1])", NULL, NULL },
	{ "HELO, and a login", " from b.test (HELO a.test) (x@192.0.2.1)", NULL, NULL },
	{ "HELO, and nothing", " from b.test (HELO a.test)", NULL, NULL },
	{ "no HELO", " from b.test (HELO ) (192.0.2.1)", NULL, NULL },
	{ "forged: reverse name is a literal", " from a.test ([192.0.2.9] [192.0.2.1] (may be forged))", NULL, NULL },
	{ "forged: reverse name begins with one", " from a.test ([192.0.2.9].b.test)", NULL, NULL },
	{ "forged: reverse name ends with one", " from a.test (b[192.0.2.9] [192.0.2.1])", NULL, NULL },
	{ "forged: ident with blanks", " from a.test (IDENT:x [192.0.2.9] y@b.test [192.0.2.1])", NULL, NULL },
	{ "forged: words before", " from a.test (HELO x [192.0.2.9])", NULL, NULL },
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		unsigned char client[16];
		struct pn_str helo = PN_STR("untouched");
		char text[INET6_ADDRSTRLEN];
		enum pn_status st = pn_received_client(pn_str_c(rows[i].raw), client, &helo);

		if (rows[i].client == NULL) {
			if (st != PN_INVALID || !pn_str_eq(helo, PN_STR("untouched")))
				fail_msg("%s: taken as " PN_STR_FMT, rows[i].name, PN_STR_ARG(helo));
			continue;
		}
		if (st != PN_OK)
			fail_msg("%s: not taken", rows[i].name);
		assert_non_null(inet_ntop(AF_INET6, client, text, sizeof(text)));
		if (strncmp(text, "::ffff:", 7) == 0)
			memmove(text, text + 7, strlen(text + 7) + 1);
		if (strcmp(text, rows[i].client) != 0 || !pn_str_eq(helo, pn_str_c(rows[i].helo)))
			fail_msg("%s: %s, " PN_STR_FMT, rows[i].name, text, PN_STR_ARG(helo));
	}
}

/* What is behind the limit is not read, and nothing takes longer for being long. */
static void
test_long(void **state)
{
	static const char *const pieces[] = { "(", "[", "]", "([", " from a (", "x", " ", "helo=" };
	enum { SIZE = 1 << 20 };
	char *text = malloc(SIZE);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < PN_COUNT(pieces); i++) {
		struct pn_str piece = pn_str_c(pieces[i]), head = PN_STR(" from a ("), helo;
		unsigned char client[16];
		size_t n = head.n;

		memcpy(text, head.p, n);
		for (; n + piece.n <= SIZE; n += piece.n)
			memcpy(text + n, piece.p, piece.n);
		memcpy(text + n - 12, "[192.0.2.9])", 12);
		assert_int_equal(pn_received_client(pn_str_n(text, n), client, &helo), PN_INVALID);
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
