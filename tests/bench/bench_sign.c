/* bench_sign KEY-TABLE SIGNING-TABLE AUTHOR SECONDS THREADS [SIGNER-SOCKET]: mails of 2 kB hashed and signed, all that the
 * milter does for a signature but the protocol.  Beside it: `openssl speed rsa2048`. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "postern/clock.h"
#include "postern/config.h"
#include "postern/key_client.h"
#include "postern/signer.h"

enum { BODY = 1500, THREADS_MAX = 64, ARENA_LIMIT = 1 << 20 };

struct load {
	struct pn_signer *signer;
	struct pn_str author;
	char body[BODY];
	int64_t until;
	atomic_ulong mails;
};

static _Noreturn void
fail(const char *text)
{
	(void)fprintf(stderr, "bench_sign: %s\n", text);
	exit(1);
}

static void
sign_one(const struct load *load, struct pn_arena *arena)
{
	struct pn_field fields[] = {
		{ PN_STR("Received"), PN_STR(" from client.signer.example (client.signer.example [192.0.2.7])\n"
		    "\tby out.signer.example (Postfix) with ESMTPS id 4Zq1xY3Jk2z9vNm") },
		{ PN_STR("From"), pn_arena_printf(arena, " Ann Example <" PN_STR_FMT ">", PN_STR_ARG(load->author)) },
		{ PN_STR("To"), PN_STR(" Sales <sales@elsewhere.example>") },
		{ PN_STR("Subject"), PN_STR(" An offer for twelve chairs and one table") },
		{ PN_STR("Date"), PN_STR(" Mon, 6 Jul 2026 10:00:00 +0000") },
		{ PN_STR("Message-ID"), PN_STR(" <20260706100000.1234@signer.example>") },
		{ PN_STR("MIME-Version"), PN_STR(" 1.0") },
		{ PN_STR("Content-Type"), PN_STR(" text/plain; charset=utf-8") },
		{ PN_STR("Content-Transfer-Encoding"), PN_STR(" 8bit") },
	};
	struct pn_dkim_body *body = pn_dkim_body_new(true);
	unsigned char hash[PN_DKIM_HASH_SIZE];
	struct pn_error err = { "nothing was signed" };
	struct pn_signed done;

	pn_dkim_body_add(body, pn_str_n(load->body, BODY));
	pn_dkim_body_end(body, hash);
	pn_dkim_body_free(body);
	if (pn_signer_sign(load->signer, (struct pn_fields){ fields, PN_COUNT(fields) }, hash, load->author,
	    false, pn_clock_now(), arena, &done, &err) != PN_OK || done.n != 1)
		fail(err.text);
}

static void *
work(void *data)
{
	struct load *load = data;

	while (pn_clock_mono_us() < load->until) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);

		sign_one(load, arena);
		pn_arena_free(arena);
		(void)atomic_fetch_add(&load->mails, 1);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	struct pn_sign_config config = { .relaxed_header = true, .relaxed_body = true, .read_key = pn_config_secret };
	struct load load = { .until = 0 };
	struct pn_key_service service;
	struct pn_error err = { "" };
	pthread_t threads[THREADS_MAX];
	double seconds;
	size_t n;

	if (argc < 6 || argc > 7 || (n = strtoul(argv[5], NULL, 10)) == 0 || n > THREADS_MAX)
		fail("usage: bench_sign KEY-TABLE SIGNING-TABLE AUTHOR SECONDS THREADS [SIGNER-SOCKET]");
	config.key_table = pn_str_c(argv[1]);
	config.signing_table = pn_str_c(argv[2]);
	load.author = pn_str_c(argv[3]);
	seconds = strtod(argv[4], NULL);
	for (size_t i = 0; i < BODY; i++)
		load.body[i] = i % 75 == 73 ? '\r' : i % 75 == 74 ? '\n' : (char)('a' + i % 23);
	if ((argc == 7 && pn_key_client_open(pn_str_c(argv[6]), &service, &err) != PN_OK)
	    || pn_signer_open(&config, NULL, argc == 7 ? &service : NULL, &load.signer, &err) != PN_OK)
		fail(err.text);
	load.until = pn_clock_mono_us() + (int64_t)(seconds * 1e6);
	for (size_t i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, work, &load) != 0)
			fail("no thread");
	for (size_t i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
	(void)printf("rate %.1f signatures/s\n", (double)atomic_load(&load.mails) / seconds);
	pn_signer_close(load.signer);
	return 0;
}
