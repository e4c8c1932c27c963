#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../signer/answer.h"
#include "postern/config.h"
#include "postern/key_service.h"

enum { ARENA_LIMIT = 1024 * 1024 };

#define HASH "0123456789 bcdef0123456789\0bcdef"	/* bytes as they are, of 32 */

/* -- requests ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	struct pn_str text;
	enum pn_status st;
	const char *key, *domain, *selector, *published;
	bool sign;
} requests[] = {
	{ "public", { "public k acme.example s", 23 }, PN_OK, "k", "acme.example", "s", "", false },
	{ "sign", { "sign k d s QUJD " HASH, 48 }, PN_OK, "k", "d", "s", "QUJD", true },
	{ "sign, short hash", { "sign k d s QUJD " HASH, 47 }, PN_INVALID, "", "", "", "", false },
	{ "sign, long hash", { "sign k d s QUJD " HASH "x", 49 }, PN_INVALID, "", "", "", "", false },
	{ "sign, no key", { "sign k d s  " HASH, 44 }, PN_INVALID, "", "", "", "", false },
	{ "sign, no hash", { "sign k d s QUJD", 15 }, PN_INVALID, "", "", "", "", false },
	{ "public, no selector", { "public k d", 10 }, PN_INVALID, "", "", "", "", false },
	{ "public, more", { "public k d s x", 14 }, PN_INVALID, "", "", "", "", false },
	{ "public, a blank more", { "public k d s ", 13 }, PN_INVALID, "", "", "", "", false },
	{ "no name", { "public  d s", 11 }, PN_INVALID, "", "", "", "", false },
	{ "another word", { "private k d s", 13 }, PN_INVALID, "", "", "", "", false },
	{ "in capitals", { "PUBLIC k d s", 12 }, PN_INVALID, "", "", "", "", false },
	{ "a NUL", { "public\0k d s", 12 }, PN_INVALID, "", "", "", "", false },
	{ "nothing", { "", 0 }, PN_INVALID, "", "", "", "", false },
};

static void
test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(requests); i++) {
		struct pn_key_request r = { .hash = PN_STR_EMPTY };

		if (pn_key_request_parse(requests[i].text, &r, NULL) != requests[i].st
		    || !pn_str_eq(r.name, pn_str_c(requests[i].key)) || !pn_str_eq(r.domain, pn_str_c(requests[i].domain))
		    || !pn_str_eq(r.selector, pn_str_c(requests[i].selector))
		    || !pn_str_eq(r.published, pn_str_c(requests[i].published))
		    || !pn_str_eq(r.hash, requests[i].sign ? pn_str_n(HASH, 32) : PN_STR_EMPTY))
			fail_msg("%s", requests[i].name);
	}
}

/* -- answers ------------------------------------------------------------------------------- */

static void
test_answers(void **state)
{
	static const enum pn_status back[] = { [PN_OK] = PN_OK, [PN_NOT_FOUND] = PN_NOT_FOUND,
		[PN_INVALID] = PN_INVALID, [PN_TEMPFAIL] = PN_TEMPFAIL, [PN_LIMIT] = PN_TEMPFAIL };
	static const struct pn_str none[] = { { "", 0 }, { "OK", 2 }, { "OKAY x", 6 }, { "ok x", 4 }, { " OK x", 5 } };
	struct pn_error why = { "because" };

	(void)state;
	for (enum pn_status st = PN_OK; st <= PN_LIMIT; st++) {
		struct pn_str value = PN_STR_EMPTY;
		struct pn_error err = { "" };
		struct pn_buf out;

		pn_buf_init(&out, PN_KEY_ANSWER_MAX);
		pn_key_answer_write(st, pn_str_n(HASH, 32), &why, &out);
		assert_int_equal(pn_key_answer_parse(pn_buf_str(&out), &value, &err), back[st]);
		if (st == PN_OK)
			assert_true(pn_str_eq(value, pn_str_n(HASH, 32)));
		else
			assert_string_equal(err.text, "postern-signer: because");
		pn_buf_done(&out);
	}
	for (size_t i = 0; i < PN_COUNT(none); i++) {
		struct pn_str value = PN_STR_EMPTY;

		assert_int_equal(pn_key_answer_parse(none[i], &value, NULL), PN_TEMPFAIL);
		assert_int_equal(value.n, 0);
	}
}

/* -- both sides, without a wire -------------------------------------------------------------- */

struct world {
	char folder[32];
	struct pn_arena *arena;
	struct pn_sign_config config;
	struct pn_signer *there;	/* has the keys */
	struct pn_signer *here;		/* asks for them */
	struct pn_dkim_key *rsa, *ed25519;
	unsigned asked, closed;
	struct pn_str instead;		/* of the answer; p NULL: the true one */
	bool away;
};

static const char *
path(struct world *w, const char *name)
{
	return pn_arena_printf(w->arena, "%s/%s", w->folder, name).p;
}

static void
write_text(struct world *w, const char *name, struct pn_str text)
{
	FILE *f = fopen(path(w, name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
}

static enum pn_status
ask(void *ctx, struct pn_str request, struct pn_buf *out, struct pn_error *err)
{
	struct world *w = ctx;
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);

	w->asked++;
	if (w->away) {
		pn_arena_free(arena);
		return pn_fail(err, PN_TEMPFAIL, "away");
	}
	if (w->instead.p != NULL)
		pn_buf_add(out, w->instead);
	else
		answer(w->there, request, arena, out);
	pn_arena_free(arena);
	return PN_OK;
}

static void
close_service(void *ctx)
{
	((struct world *)ctx)->closed++;
}

static void
open_there(struct world *w)
{
	struct pn_error err = { "" };

	pn_signer_close(w->there);
	if (pn_signer_open(&w->config, NULL, NULL, &w->there, &err) != PN_OK)
		fail_msg("%s", err.text);
}

static int
make(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct pn_key_service service = { ask, close_service, w };
	struct pn_error err = { "" };

	assert_non_null(w);
	*state = w;
	(void)snprintf(w->folder, sizeof(w->folder), "/tmp/postern-keys-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	w->arena = pn_arena_new(ARENA_LIMIT);
	assert_int_equal(pn_dkim_key_generate(PN_DKIM_RSA, 1024, &w->rsa, NULL), PN_OK);
	assert_int_equal(pn_dkim_key_write(w->rsa, path(w, "rsa"), NULL), PN_OK);
	assert_int_equal(pn_dkim_key_generate(PN_DKIM_ED25519, 0, &w->ed25519, NULL), PN_OK);
	assert_int_equal(pn_dkim_key_write(w->ed25519, path(w, "acme.example"), NULL), PN_OK);
	write_text(w, "keys", pn_arena_printf(w->arena, "r acme.example:r:%s/rsa\ne %%:e:%s/%%\n", w->folder, w->folder));
	write_text(w, "signing", PN_STR("*@* r\n*@* e\n"));
	w->config = (struct pn_sign_config){ .key_table = pn_str_c(path(w, "keys")), .all = true,
		.signing_table = pn_arena_printf(w->arena, "refile:%s/signing", w->folder), .relaxed_header = true,
		.relaxed_body = true, .read_key = pn_config_secret, .socket = PN_STR("unix:/x") };
	open_there(w);
	if (pn_signer_open(&w->config, NULL, &service, &w->here, &err) != PN_OK)
		fail_msg("%s", err.text);
	return 0;
}

static int
unmake(void **state)
{
	static const char *const names[] = { "rsa", "acme.example", "keys", "signing" };
	struct world *w = *state;

	pn_signer_close(w->here);
	assert_int_equal(w->closed, 1);
	pn_signer_close(w->there);
	pn_dkim_key_free(w->rsa);
	pn_dkim_key_free(w->ed25519);
	for (size_t i = 0; i < PN_COUNT(names); i++)
		(void)remove(path(w, names[i]));
	assert_int_equal(remove(w->folder), 0);
	pn_arena_free(w->arena);
	free(w);
	return 0;
}

static enum pn_status
sign_by(struct world *w, struct pn_signer *signer, struct pn_signed *out, struct pn_error *err)
{
	static const struct pn_field from = { { "From", 4 }, { " a@acme.example", 15 } };
	const unsigned char body[PN_DKIM_HASH_SIZE] = { 1 };

	return pn_signer_sign(signer, (struct pn_fields){ (struct pn_field *)(uintptr_t)&from, 1 }, body,
	    PN_STR("a@acme.example"), false, 1000000000, w->arena, out, err);
}

/* Neither signature has anything random: byte for byte it is what the keys' owner would write. */
static void
test_same_signatures(void **state)
{
	struct world *w = *state;
	struct pn_signed here, there;
	struct pn_error err = { "" };

	assert_int_equal(w->asked, 0);
	assert_int_equal(sign_by(w, w->here, &here, &err), PN_OK);
	assert_int_equal(w->asked, 4);
	assert_int_equal(sign_by(w, w->there, &there, &err), PN_OK);
	assert_int_equal(here.n, 2);
	assert_int_equal(there.n, 2);
	assert_int_equal(here.refused.n, 0);
	for (size_t i = 0; i < 2; i++)
		assert_true(pn_str_eq(here.fields[i].raw, there.fields[i].raw));
	assert_true(pn_str_eq(here.domains, PN_STR("acme.example/r, acme.example/e")));
	/* the public halves are known by now */
	assert_int_equal(sign_by(w, w->here, &here, &err), PN_OK);
	assert_int_equal(w->asked, 6);
}

static void
expect_unsigned(struct world *w, const char *why)
{
	struct pn_signed done;
	struct pn_error err = { "" };

	assert_int_equal(sign_by(w, w->here, &done, &err), PN_OK);
	assert_int_equal(done.n, 0);
	assert_int_equal(done.domains.n, 0);
	if (!pn_str_eq(done.refused, pn_str_c(why)))
		fail_msg(PN_STR_FMT, PN_STR_ARG(done.refused));
}

static void
test_away(void **state)
{
	struct world *w = *state;
	struct pn_signed done;
	struct pn_error err = { "" };

	w->away = true;
	assert_int_equal(sign_by(w, w->here, &done, &err), PN_OK);
	assert_int_equal(done.n, 0);
	assert_true(pn_str_eq(done.refused, PN_STR("away")));
	w->away = false;
	assert_int_equal(sign_by(w, w->here, &done, &err), PN_OK);
	assert_int_equal(done.n, 2);
	w->away = true;
	expect_unsigned(w, "acme.example/r: away");
}

/* A key that was replaced does not sign as the one before. */
static void
test_replaced(void **state)
{
	struct world *w = *state;
	struct pn_signed done;
	struct pn_error err = { "" };
	struct pn_dkim_key *other;

	assert_int_equal(sign_by(w, w->here, &done, &err), PN_OK);
	assert_int_equal(remove(path(w, "rsa")), 0);
	assert_int_equal(pn_dkim_key_generate(PN_DKIM_RSA, 1024, &other, NULL), PN_OK);
	assert_int_equal(pn_dkim_key_write(other, path(w, "rsa"), NULL), PN_OK);
	pn_dkim_key_free(other);
	assert_int_equal(sign_by(w, w->here, &done, &err), PN_OK);
	open_there(w);
	assert_int_equal(sign_by(w, w->here, &done, &err), PN_OK);
	assert_true(pn_str_contains(done.refused, PN_STR("reload postern-milter")));
	/* the other one does */
	assert_int_equal(done.n, 1);
	assert_true(pn_str_eq(done.domains, PN_STR("acme.example/e")));
	assert_true(pn_str_contains(done.fields[0].raw, PN_STR("a=ed25519-sha256")));
}

#define NO_SIGNATURE "acme.example/r: postern-signer: that is no signature"

/* Whatever comes in place of an answer: no signature, and no key. */
static void
test_odd_answers(void **state)
{
	static const struct pn_str rows[] = { { "", 0 }, { "OK ", 3 }, { "OK x", 4 }, { "NOTFOUND x", 10 }, { "PERM x", 6 },
		{ "TEMP x", 6 }, { "OK v=DKIM1; k=rsa; p=", 21 }, { "OK v=DKIM1; k=dsa; p=QUJD", 25 },
		{ "OK v=DKIM1; k=rsa; p=Q\0JD", 25 }, { "OK v=DKIM1; k=rsa; p=QUJD", 25 },
		{ "OK v=DKIM1; k=ed25519; p=QUJD", 29 } };
	static char large[PN_DKIM_SIGNATURE_SIZE + 4] = "OK ";
	char other[PN_DKIM_SIGNATURE_SIZE + 3] = "OK ";
	const unsigned char hash[PN_DKIM_HASH_SIZE] = { 1 };
	size_t n;
	struct world *w = *state;
	struct pn_signed done;
	struct pn_error err = { "" };

	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		w->instead = rows[i];
		assert_int_equal(sign_by(w, w->here, &done, &err), PN_OK);
		assert_int_equal(done.n, 0);
	}
	w->instead.p = NULL;
	assert_int_equal(sign_by(w, w->here, &done, &err), PN_OK);
	w->instead = PN_STR("OK ");
	expect_unsigned(w, NO_SIGNATURE);
	w->instead = pn_str_n(large, sizeof(large));
	expect_unsigned(w, NO_SIGNATURE);
	w->instead = pn_str_n(large, 3 + 1024 / 8);
	expect_unsigned(w, NO_SIGNATURE);
	/* the key's own, of another mail */
	assert_int_equal(pn_dkim_key_sign(w->rsa, hash, (unsigned char *)other + 3, &n, &err), PN_OK);
	w->instead = pn_str_n(other, 3 + n);
	expect_unsigned(w, NO_SIGNATURE);
}

static const struct {
	const char *name, *key, *domain, *selector;
	enum pn_status st;
} lines[] = {
	{ "as it stands there", "r", "acme.example", "r", PN_OK },
	{ "another domain", "r", "else.example", "r", PN_NOT_FOUND },
	{ "another selector", "r", "acme.example", "e", PN_NOT_FOUND },
	{ "no such name", "x", "acme.example", "r", PN_NOT_FOUND },
	{ "the name is no path", "/etc/passwd", "acme.example", "r", PN_NOT_FOUND },
	{ "any domain", "e", "acme.example", "e", PN_OK },
	{ "any domain, and no file", "e", "else.example", "e", PN_NOT_FOUND },
	{ "a domain that leads elsewhere", "e", "../acme.example", "e", PN_INVALID },
	{ "a domain of %", "e", "%", "e", PN_INVALID },
	{ "no domain", "e", "", "e", PN_INVALID },
};

static void
test_lines(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < PN_COUNT(lines); i++) {
		const struct pn_dkim_key *key = NULL;
		struct pn_error err = { "" };

		if (pn_signer_key(w->there, pn_str_c(lines[i].key), pn_str_c(lines[i].domain), pn_str_c(lines[i].selector),
		    w->arena, &key, &err) != lines[i].st || (key != NULL) != (lines[i].st == PN_OK))
			fail_msg("%s: %s", lines[i].name, err.text);
	}
}

/* Everybody who signs reads the table: with a signer of its own no key stands in it. */
static void
test_key_in_the_table(void **state)
{
	struct world *w = *state;
	struct pn_signer *signer = NULL;
	struct pn_error err = { "" };

	write_text(w, "keys", PN_STR("\nr acme.example:r:QUJD\n"));
	assert_int_equal(pn_signer_open(&w->config, NULL, NULL, &signer, &err), PN_INVALID);
	assert_non_null(strstr(err.text, "keys:2: the key itself"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_answers),
		cmocka_unit_test_setup_teardown(test_same_signatures, make, unmake),
		cmocka_unit_test_setup_teardown(test_away, make, unmake),
		cmocka_unit_test_setup_teardown(test_replaced, make, unmake),
		cmocka_unit_test_setup_teardown(test_odd_answers, make, unmake),
		cmocka_unit_test_setup_teardown(test_lines, make, unmake),
		cmocka_unit_test_setup_teardown(test_key_in_the_table, make, unmake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
