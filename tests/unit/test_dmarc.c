#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <glob.h>

#include "../suites/dmarc_cases.h"

enum { ARENA_LIMIT = 64 * 1024 * 1024, CASES_AT_LEAST = 300 };

static struct pn_psl *psl;

static int
load(void **state)
{
	struct pn_error err;

	(void)state;
	return pn_psl_load(NULL, &psl, &err) == PN_OK ? 0 : -1;
}

static int
unload(void **state)
{
	(void)state;
	pn_psl_free(psl);
	return 0;
}

static void
test_cases(void **state)
{
	unsigned passed = 0, failed = 0;
	glob_t files;

	(void)state;
	assert_int_equal(glob("tests/data/dmarc/*.cases", 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++)
		dmarc_cases_run(files.gl_pathv[i], psl, &passed, &failed);
	globfree(&files);
	assert_int_equal(failed, 0);
	assert_true(passed >= CASES_AT_LEAST);
}

/* What the cases cannot show, since it decides nothing. */
static const struct {
	const char *name, *text;
	enum pn_dmarc_mode mode;
	struct pn_dmarc_record want;
} records[] = {
	{ "defaults", "v=DMARC1; p=none", PN_DMARC_TREE,
	    { .usable = true, .p = PN_DMARC_NONE, .psd = 'u', .pct = 100 } },
	{ "all tags", "v=DMARC1; p=none; sp=quarantine; np=reject; adkim=s; aspf=s; t=y; psd=n; "
	    "rua=mailto:a@b.c; ruf=x:y", PN_DMARC_TREE,
	    { .usable = true, .p = PN_DMARC_NONE, .sp = PN_DMARC_QUARANTINE, .np = PN_DMARC_REJECT,
	    .strict_dkim = true, .strict_spf = true, .testing = true, .psd = 'n', .pct = 100,
	    .rua = { "mailto:a@b.c", 12 }, .ruf = { "x:y", 3 } } },
	{ "those of the other RFC", "v=DMARC1; p=none; np=reject; t=y; psd=n; pct=7", PN_DMARC_PSL,
	    { .usable = true, .p = PN_DMARC_NONE, .psd = 'u', .pct = 7 } },
	{ "pct is of the other RFC", "v=DMARC1; p=none; pct=7", PN_DMARC_TREE,
	    { .usable = true, .p = PN_DMARC_NONE, .psd = 'u', .pct = 100 } },
	{ "pct=0", "v=DMARC1; p=none; pct=0", PN_DMARC_PSL,
	    { .usable = true, .p = PN_DMARC_NONE, .psd = 'u' } },
	{ "faults are counted", "v=DMARC1; p=none; adkim=x; aspf=r; aspf=r; pct=200; trash; rua=a:b; rua=a:b",
	    PN_DMARC_PSL, { .usable = true, .p = PN_DMARC_NONE, .psd = 'u', .pct = 100, .faults = 5 } },
	{ "bad policies are one fault", "v=DMARC1; p=x; sp=y; rua=mailto:a@b.c", PN_DMARC_TREE,
	    { .usable = true, .p = PN_DMARC_NONE, .psd = 'u', .pct = 100,
	    .rua = { "mailto:a@b.c", 12 }, .faults = 1 } },
	{ "unusable", "v=DMARC1; p=x", PN_DMARC_TREE,
	    { .p = PN_DMARC_NONE, .psd = 'u', .pct = 100, .faults = 1 } },
};

static void
test_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(records); i++) {
		const struct pn_dmarc_record *want = &records[i].want;
		struct pn_dmarc_record got;

		assert_int_equal(pn_dmarc_record_parse(pn_str_c(records[i].text), records[i].mode, &got),
		    PN_OK);
		if (got.usable != want->usable || got.p != want->p || got.sp != want->sp || got.np != want->np
		    || got.strict_dkim != want->strict_dkim || got.strict_spf != want->strict_spf
		    || got.testing != want->testing || got.psd != want->psd || got.pct != want->pct
		    || !pn_str_eq(got.rua, want->rua) || !pn_str_eq(got.ruf, want->ruf)
		    || got.faults != want->faults)
			fail_msg("%s", records[i].name);
	}
}

static void
test_large_records(void **state)
{
	static const char *const pieces[] = { ";", "x=1;", "p=reject;", "=", " ", "\t;", "rua=mailto:", "," };
	enum { SIZE = 64 * 1024 };
	char *text = malloc(SIZE);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < PN_COUNT(pieces); i++) {
		struct pn_str head = PN_STR("v=DMARC1; p=quarantine;"), piece = pn_str_c(pieces[i]);
		struct pn_dmarc_record record;
		size_t n = head.n;

		memcpy(text, head.p, n);
		for (; n + piece.n <= SIZE; n += piece.n)
			memcpy(text + n, piece.p, piece.n);
		assert_int_equal(pn_dmarc_record_parse(pn_str_n(text, n), PN_DMARC_TREE, &record), PN_OK);
		assert_int_equal(record.p, i == 2 ? PN_DMARC_NONE : PN_DMARC_QUARANTINE);
		assert_int_equal(record.usable, i != 2);
	}
	free(text);
}

static const struct {
	const char *domain, *want;
} organisations[] = {
	{ "example.com", "example.com" }, { "a.b.example.com", "example.com" }, { "com", "" }, { "co.uk",
	    "" },
	{ "a.co.uk", "a.co.uk" }, { "github.io", "" }, { "x.foo.github.io", "foo.github.io" }, { "b.ck", "" },
	{ "a.b.ck", "a.b.ck" }, { "www.ck", "www.ck" }, { "kawasaki.jp", "" }, { "b.kawasaki.jp", "" },
	{ "city.kawasaki.jp", "city.kawasaki.jp" }, { "xn--55qx5d.cn", "" }, { "b.a.xn--55qx5d.cn",
	    "a.xn--55qx5d.cn" },
	{ "localhost", "" }, { "", "" },
};

static void
test_psl(void **state)
{
	static const char *const files[] = { "/usr/share/publicsuffix/public_suffix_list.dat",
	    "/usr/share/publicsuffix/public_suffix_list.dafsa", NULL };

	(void)state;
	for (size_t f = 0; f < PN_COUNT(files); f++) {
		struct pn_error err = { "" };
		struct pn_psl *list;

		if (pn_psl_load(files[f], &list, &err) != PN_OK)
			fail_msg("%s", err.text);
		for (size_t i = 0; i < PN_COUNT(organisations); i++)
			if (!pn_str_eq(pn_psl_organisational(list, pn_str_c(organisations[i].domain)),
				pn_str_c(organisations[i].want)))
				fail_msg("%s: %s", files[f], organisations[i].domain);
		pn_psl_free(list);
	}
	pn_psl_free(NULL);
}

/* Any text is a list to libpsl. */
static void
test_no_psl(void **state)
{
	struct pn_error err;
	struct pn_psl *list;

	(void)state;
	assert_int_equal(pn_psl_load("/etc/passwd", &list, &err), PN_INVALID);
	assert_int_equal(pn_psl_load("/nonexistent", &list, &err), PN_INVALID);
	assert_non_null(strstr(err.text, "/nonexistent"));
}

/* A question over the message's budget is an answer that did not come; a name too long for its prefix is
 * none. */
static enum pn_status
refuse(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
    struct pn_dns_answer *out,
    struct pn_error *err)
{
	(void)name, (void)type, (void)arena, (void)out;
	return pn_fail(err, *(enum pn_status *)ctx, "no");
}

static void
test_refused_questions(void **state)
{
	static const struct {
		enum pn_status status;
		enum pn_dmarc_mode mode;
		enum pn_dmarc_result want;
		unsigned queries;
	} rows[] = {
		{ PN_LIMIT, PN_DMARC_PSL, PN_DMARC_TEMPERROR, 1 },
		{ PN_LIMIT, PN_DMARC_TREE, PN_DMARC_TEMPERROR, 1 },
		{ PN_INVALID, PN_DMARC_PSL, PN_DMARC_RESULT_NONE, 0 },
		{ PN_INVALID, PN_DMARC_TREE, PN_DMARC_RESULT_NONE, 0 },
	};
	struct pn_str author = PN_STR("a.example.com");

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		enum pn_status status = rows[i].status;
		struct pn_dns dns = { .ctx = &status, .query = refuse };
		struct pn_dmarc_question question = { .mode = rows[i].mode, .psl = psl, .dns = &dns,
		    .from = { .one = true, .domains = { &author, 1 } } };
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_dmarc dmarc;

		pn_dmarc_evaluate(&question, arena, &dmarc);
		assert_int_equal(dmarc.result, rows[i].want);
		assert_int_equal(dmarc.queries, rows[i].queries);
		pn_arena_free(arena);
	}
}

/* Nobody's patience ends: more than the arena holds is a temperror. */
static void
test_exhausted(void **state)
{
	struct pn_dns_zone *zone = pn_dns_zone_new();
	struct pn_arena *arena = pn_arena_new(64);
	struct pn_str author = PN_STR("example.com");
	struct pn_error err;
	struct pn_dns dns;
	struct pn_dmarc dmarc;

	(void)state;
	assert_int_equal(pn_dns_zone_add(zone, PN_STR("_dmarc.example.com TXT \"v=DMARC1; p=reject\""), &err),
	    PN_OK);
	dns = pn_dns_zone_port(zone);
	pn_dmarc_evaluate(&(struct pn_dmarc_question){ .mode = PN_DMARC_TREE, .dns = &dns,
	    .from = { .one = true, .domains = { &author, 1 } } }, arena, &dmarc);
	assert_int_equal(dmarc.result, PN_DMARC_TEMPERROR);
	assert_int_equal(dmarc.disposition, PN_DMARC_NONE);
	pn_arena_free(arena);
	pn_dns_zone_free(zone);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_large_records),
		cmocka_unit_test(test_psl),
		cmocka_unit_test(test_no_psl),
		cmocka_unit_test(test_refused_questions),
		cmocka_unit_test(test_exhausted),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
