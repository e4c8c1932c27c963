/* dkim_library - what libopendkim makes of signatures without guards and without a policy of ours.
 *
 *   dkim_library ZONE FILE...                           one line for each signature: "FILE pass", or why not
 *
 * It gets keys by dkim_set_key_lookup, from the lines of ZONE. */
#include <opendkim/dkim.h>
#include <stdio.h>
#include <stdlib.h>

#include "postern/dns_zone.h"
#include "postern/fields.h"
#include "slurp.h"

enum { ARENA_LIMIT = 256 * 1024 * 1024, DRIFT = 300, RSA_MIN = 1024 };

struct mail {
	const struct pn_dns *dns;
	struct pn_arena *arena;
};

static DKIM_CBSTAT
on_key(DKIM *dkim, DKIM_SIGINFO *sig, u_char *buf, size_t size)
{
	const struct mail *mail = dkim_get_user_context(dkim);
	struct pn_str name = pn_arena_printf(mail->arena, "%s._domainkey.%s", (char *)dkim_sig_getselector(sig),
	    (char *)dkim_sig_getdomain(sig));
	struct pn_dns_answer answer;
	struct pn_error err;
	enum pn_status st = mail->dns->query(mail->dns->ctx, name, PN_DNS_TXT, mail->arena, &answer, &err);

	if (st != PN_OK)
		return st == PN_NOT_FOUND ? DKIM_CBSTAT_NOTFOUND : DKIM_CBSTAT_TRYAGAIN;
	if (answer.records.n != 1 || answer.records.v[0].n >= size)
		return DKIM_CBSTAT_ERROR;
	memcpy(buf, answer.records.v[0].p, answer.records.v[0].n);
	buf[answer.records.v[0].n] = '\0';
	return DKIM_CBSTAT_CONTINUE;
}

static DKIM_LIB *
library(void)
{
	DKIM_LIB *lib = dkim_init(NULL, NULL);
	unsigned flags = DKIM_LIBFLAGS_DELAYSIGPROC | DKIM_LIBFLAGS_BADSIGHANDLES, bits = RSA_MIN;
	uint64_t drift = DRIFT;

	if (lib == NULL || dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof(flags)) != DKIM_STAT_OK
	    || dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_CLOCKDRIFT, &drift, sizeof(drift)) != DKIM_STAT_OK
	    || dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_MINKEYBITS, &bits, sizeof(bits)) != DKIM_STAT_OK
	    || dkim_set_key_lookup(lib, on_key) != DKIM_STAT_OK)
		exit(1);
	return lib;
}

static void
feed_fields(DKIM *dkim, struct pn_fields fields, struct pn_arena *arena)
{
	for (size_t i = 0; i < fields.n; i++) {
		struct pn_str text = pn_arena_printf(arena, PN_STR_FMT ":" PN_STR_FMT,
		    PN_STR_ARG(fields.v[i].name), PN_STR_ARG(fields.v[i].raw));

		(void)dkim_header(dkim, (u_char *)(uintptr_t)text.p, text.n);
	}
	/* or it writes behind its table when h= names all fields and one more */
	(void)dkim_header(dkim, (u_char *)(uintptr_t)"x y:", 4);
}

static void
print_signatures(const char *path, DKIM *dkim)
{
	DKIM_SIGINFO **sigs;
	int n;

	if (dkim_getsiglist(dkim, &sigs, &n) != DKIM_STAT_OK)
		return;
	for (int i = 0; i < n; i++) {
		int error = dkim_sig_geterror(sigs[i]);
		const char *text = dkim_sig_geterrorstr(error);

		if (DKIM_SIG_CHECK(sigs[i]) && error == DKIM_SIGERROR_OK)
			text = "pass";
		(void)printf("%s %s\n", path, text == NULL ? "none" : text);
	}
}

static void
verify(DKIM_LIB *lib, const char *path, const struct pn_dns *dns)
{
	struct mail mail = { .dns = dns, .arena = pn_arena_new(ARENA_LIMIT) };
	struct pn_fields fields;
	struct pn_str body;
	DKIM_STAT stat;
	DKIM *dkim = dkim_verify(lib, (const unsigned char *)"-", NULL, &stat);

	if (dkim == NULL || pn_fields_split(slurp(path, mail.arena), mail.arena, &fields, &body) != PN_OK)
		exit(1);
	(void)dkim_set_user_context(dkim, &mail);
	feed_fields(dkim, fields, mail.arena);
	(void)dkim_eoh(dkim);
	if (body.n > 0)
		(void)dkim_body(dkim, (u_char *)(uintptr_t)body.p, body.n);
	(void)dkim_eom(dkim, NULL);
	print_signatures(path, dkim);
	(void)dkim_free(dkim);
	pn_arena_free(mail.arena);
}

int
main(int argc, char **argv)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_dns_zone *zone = pn_dns_zone_new();
	struct pn_dns dns = pn_dns_zone_port(zone);
	DKIM_LIB *lib = library();
	struct pn_str text, line;
	struct pn_error err;

	if (argc < 3)
		return 64;
	text = slurp(argv[1], arena);
	while (pn_str_split(&text, '\n', &line))
		if (pn_dns_zone_add(zone, line, &err) != PN_OK) {
			(void)fprintf(stderr, "dkim_library: %s: %s\n", argv[1], err.text);
			return 1;
		}
	for (int i = 2; i < argc; i++)
		verify(lib, argv[i], &dns);
	dkim_close(lib);
	pn_dns_zone_free(zone);
	pn_arena_free(arena);
	return 0;
}
