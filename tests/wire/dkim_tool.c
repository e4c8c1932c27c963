/* dkim_tool - signs and verifies mails in files, and makes keys.
 *
 *   dkim_tool key rsa|ed25519 FILE                      makes a key, prints its record
 *   dkim_tool sign C FILE... -- KEY DOMAIN SELECTOR [KEY DOMAIN SELECTOR]
 *                                                       writes FILE.signed; C: relaxed/simple ...
 *   dkim_tool opendkim C rsa|ed25519 KEYTEXT DOMAIN SELECTOR FILE...
 *                                                       the same by libopendkim; KEYTEXT: a file as it
 * wants it
 *   dkim_tool verify ZONE FILE...                       one line for each signature
 *   dkim_tool speed KEY SECONDS                         signatures in a second, mails of 10 kB */
#include <opendkim/dkim.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "postern/clock.h"
#include "postern/dkim.h"
#include "postern/dkim_sign.h"
#include "postern/dns_zone.h"
#include "postern/fields.h"
#include "slurp.h"

enum { ARENA_LIMIT = 256 * 1024 * 1024 };

static void
die(const char *what, const struct pn_error *err)
{
	(void)fprintf(stderr, "dkim_tool: %s: %s\n", what, err->text);
	exit(1);
}

static struct pn_dkim_key *
read_key(const char *path, struct pn_arena *arena)
{
	struct pn_dkim_key *key = NULL;
	struct pn_error err;

	if (pn_dkim_key_parse(slurp(path, arena), &key, &err) != PN_OK)
		die(path, &err);
	return key;
}

static int
make_key(char **argv)
{
	enum pn_dkim_key_type type = argv[0][0] == 'r' ? PN_DKIM_RSA : PN_DKIM_ED25519;
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_dkim_key *key = NULL;
	struct pn_error err;

	if (pn_dkim_key_generate(type, 2048, &key, &err) != PN_OK
	    || pn_dkim_key_write(key, argv[1], &err) != PN_OK)
		die(argv[1], &err);
	(void)printf(PN_STR_FMT "\n", PN_STR_ARG(pn_dkim_key_record(key, arena)));
	pn_dkim_key_free(key);
	pn_arena_free(arena);
	return 0;
}

static void
sign_file(const char *path, const struct pn_dkim_signer *signers, size_t n, const struct pn_dkim_signing *how)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_str mail = slurp(path, arena), text, name = pn_arena_printf(arena, "%s.signed", path);
	struct pn_dkim_body *hash = pn_dkim_body_new(how->relaxed_body);
	unsigned char digest[PN_DKIM_HASH_SIZE];
	struct pn_field signatures[4];
	struct pn_fields fields;
	struct pn_error err;
	FILE *f;

	if (pn_fields_split(mail, arena, &fields, &text) != PN_OK)
		exit(1);
	/* in pieces of odd sizes */
	for (size_t size = 1; text.n > 0; size = size * 3 + 1) {
		struct pn_str piece = pn_str_head(text, size);

		pn_dkim_body_add(hash, piece);
		text = pn_str_from(text, piece.n);
	}
	pn_dkim_body_end(hash, digest);
	pn_dkim_body_free(hash);
	if (pn_dkim_sign(fields, digest, signers, n, how, arena, signatures, &err) != PN_OK)
		die(path, &err);
	f = fopen(name.p, "wb");
	if (f == NULL)
		exit(1);
	for (size_t i = 0; i < n; i++) {
		(void)fprintf(f, "DKIM-Signature:");
		for (size_t k = 0; k < signatures[i].raw.n; k++)
			(void)fprintf(f, signatures[i].raw.p[k] == '\n' ? "\r\n" : "%c",
			    signatures[i].raw.p[k]);
		(void)fprintf(f, "\r\n");
	}
	(void)fwrite(mail.p, 1, mail.n, f);
	(void)fclose(f);
	pn_arena_free(arena);
}

static int
sign_files(char **argv)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_dkim_signing how = { .now = pn_clock_now() };
	struct pn_str canon = pn_str_c(argv[0]);
	struct pn_dkim_signer signers[4];
	size_t files = 1, n = 0;

	how.relaxed_header = pn_str_starts(canon, PN_STR("relaxed/"));
	how.relaxed_body = pn_str_ends(canon, PN_STR("/relaxed"));
	while (argv[files] != NULL && strcmp(argv[files], "--") != 0)
		files++;
	for (char **key = argv + files + 1; n < 4 && key[0] != NULL; key += 3)
		signers[n++] = (struct pn_dkim_signer){ .key = read_key(key[0], arena),
			.domain = pn_str_c(key[1]), .selector = pn_str_c(key[2]) };
	for (size_t i = 1; i < files; i++)
		sign_file(argv[i], signers, n, &how);
	for (size_t i = 0; i < n; i++)
		pn_dkim_key_free((struct pn_dkim_key *)(uintptr_t)signers[i].key);
	pn_arena_free(arena);
	return 0;
}

static void
theirs(DKIM *dkim, const char *path)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_str mail = slurp(path, arena), name = pn_arena_printf(arena, "%s.signed", path), body;
	struct pn_fields fields;
	u_char *text;
	size_t n;
	FILE *f = fopen(name.p, "wb");

	if (f == NULL || pn_fields_split(mail, arena, &fields, &body) != PN_OK)
		exit(1);
	for (size_t i = 0; i < fields.n; i++) {
		struct pn_str field = pn_arena_printf(arena, PN_STR_FMT ":" PN_STR_FMT,
		    PN_STR_ARG(fields.v[i].name), PN_STR_ARG(fields.v[i].raw));

		(void)dkim_header(dkim, (u_char *)(uintptr_t)field.p, field.n);
	}
	if (dkim_eoh(dkim) != DKIM_STAT_OK
	    || (body.n > 0 && dkim_body(dkim, (u_char *)(uintptr_t)body.p, body.n) != DKIM_STAT_OK)
	    || dkim_eom(dkim, NULL) != DKIM_STAT_OK || dkim_getsighdr_d(dkim, 16, &text,
	    &n) != DKIM_STAT_OK) {
		(void)fprintf(stderr, "libopendkim does not sign %s\n", path);
		exit(1);
	}
	(void)fprintf(f, "DKIM-Signature: %.*s\r\n", (int)n, (char *)text);
	(void)fwrite(mail.p, 1, mail.n, f);
	(void)fclose(f);
	pn_arena_free(arena);
}

static int
sign_theirs(char **argv)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_str canon = pn_str_c(argv[0]), key = slurp(argv[2], arena);
	bool rsa = strcmp(argv[1], "rsa") == 0;
	DKIM_LIB *lib = dkim_init(NULL, NULL);
	DKIM_STAT stat;

	for (char **path = argv + 5; *path != NULL; path++) {
		DKIM *dkim = dkim_sign(lib, (u_char *)*path, NULL,
		    (u_char *)(uintptr_t)pn_arena_cstr(arena, key), (u_char *)argv[4], (u_char *)argv[3],
		    pn_str_starts(canon, PN_STR("relaxed/")), pn_str_ends(canon, PN_STR("/relaxed")),
		    rsa ? DKIM_SIGN_RSASHA256 : DKIM_SIGN_ED25519SHA256, -1, &stat);

		if (dkim == NULL)
			return 1;
		theirs(dkim, *path);
		(void)dkim_free(dkim);
	}
	dkim_close(lib);
	pn_arena_free(arena);
	return 0;
}

static void
verify_file(const char *path, struct pn_dkim_verifier *verifier, const struct pn_dns *dns)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_dkim_signatures found;
	struct pn_dkim_check *check;
	struct pn_fields fields;
	struct pn_str body;

	if (pn_fields_split(slurp(path, arena), arena, &fields, &body) != PN_OK)
		exit(1);
	check = pn_dkim_check_new(verifier, fields, PN_STR_EMPTY, pn_clock_now(), arena);
	for (size_t size = 1; body.n > 0; size = size * 3 + 1) {
		struct pn_str piece = pn_str_head(body, size);

		pn_dkim_check_body(check, piece);
		body = pn_str_from(body, piece.n);
	}
	found = pn_dkim_check_end(check, dns);
	for (size_t i = 0; i < found.n; i++)
		(void)printf("%s d=" PN_STR_FMT " s=" PN_STR_FMT " a=" PN_STR_FMT " %s %s" PN_STR_FMT "\n",
		    path,
		    PN_STR_ARG(found.v[i].domain), PN_STR_ARG(found.v[i].selector),
		    PN_STR_ARG(found.v[i].algorithm), pn_dkim_result_name(found.v[i].result),
		    found.v[i].reason.n > 0 ? "reason=" : "", PN_STR_ARG(found.v[i].reason));
	pn_dkim_check_free(check);
	pn_arena_free(arena);
}

static int
verify_files(char **argv)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	const struct pn_dkim_policy policy = { .clock_drift = 300 };
	struct pn_dkim_verifier *verifier = pn_dkim_verifier_new(&policy);
	struct pn_dns_zone *zone = pn_dns_zone_new();
	struct pn_str text = slurp(argv[0], arena), line;
	struct pn_dns dns = pn_dns_zone_port(zone);
	struct pn_error err;

	while (pn_str_split(&text, '\n', &line))
		if (pn_dns_zone_add(zone, line, &err) != PN_OK)
			die(argv[0], &err);
	for (char **path = argv + 1; *path != NULL; path++)
		verify_file(*path, verifier, &dns);
	pn_dns_zone_free(zone);
	pn_dkim_verifier_free(verifier);
	pn_arena_free(arena);
	return 0;
}

/* Of this process, as openssl speed counts: others may be busy beside us. */
static double
cpu_time(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const struct pn_field sample[] = {
	{ { "From", 4 }, { " Ann <ann@example.org>", 22 } },
	{ { "To", 2 }, { " joe@example.net", 16 } },
	{ { "Subject", 7 }, { " Offer", 6 } },
	{ { "Date", 4 }, { " Fri, 20 Nov 2026 10:00:00 +0000", 32 } },
	{ { "Message-ID", 10 }, { " <1@example.org>", 16 } },
	{ { "MIME-Version", 12 }, { " 1.0", 4 } },
	{ { "Content-Type", 12 }, { " text/plain; charset=utf-8", 26 } },
};

static double
sign_for(double seconds, const struct pn_dkim_signer *signer)
{
	const struct pn_fields fields = { (struct pn_field *)(uintptr_t)sample, PN_COUNT(sample) };
	const struct pn_dkim_signing how = { true, true, .now = 1 };
	const struct pn_str line = PN_STR("a line of a mail as people write them, of usual length\r\n");
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	double end = cpu_time() + seconds;
	unsigned char digest[PN_DKIM_HASH_SIZE];
	struct pn_field out;
	double n = 0;

	for (; cpu_time() < end; n++) {
		struct pn_dkim_body *body = pn_dkim_body_new(true);

		for (int i = 0; i < 180; i++)
			pn_dkim_body_add(body, line);
		pn_dkim_body_end(body, digest);
		pn_dkim_body_free(body);
		if (pn_dkim_sign(fields, digest, signer, 1, &how, arena, &out, NULL) != PN_OK)
			abort();
		pn_arena_reset(arena);
	}
	pn_arena_free(arena);
	return n / seconds;
}

static int
measure(char **argv)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
	struct pn_dkim_key *key = read_key(argv[0], arena);
	struct pn_dkim_signer signer = { PN_STR("example.org"), PN_STR("s"), PN_STR_EMPTY, key };

	(void)printf("%.0f signatures/s, mails of 10 kB\n", sign_for(strtod(argv[1], NULL), &signer));
	pn_dkim_key_free(key);
	pn_arena_free(arena);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "key") == 0)
		return make_key(argv + 2);
	if (argc > 6 && strcmp(argv[1], "sign") == 0)
		return sign_files(argv + 2);
	if (argc > 7 && strcmp(argv[1], "opendkim") == 0)
		return sign_theirs(argv + 2);
	if (argc > 3 && strcmp(argv[1], "verify") == 0)
		return verify_files(argv + 2);
	if (argc == 4 && strcmp(argv[1], "speed") == 0)
		return measure(argv + 2);
	return 64;
}
