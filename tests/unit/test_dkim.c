#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <stdlib.h>

#include <cmocka.h>

#include "postern/clock.h"
#include "postern/dkim.h"
#include "postern/dkim_sign.h"
#include "postern/dns_zone.h"
#include "postern/fields.h"

enum { ARENA_LIMIT = 64 * 1024 * 1024, NOW = 1800000000, MAX_SIGNERS = 12 };

static const char mail_text[] = "From: Ann <ann@example.org>\r\nTo:joe@example.net\r\n"
    "Subject:  an\r\n\toffer \r\n\r\nHello  Joe \r\n\r\n bye\t\r\n\r\n";

/* Keys are expensive: one of each for all tests. */
static struct pn_dkim_key *rsa, *small, *ed25519;

static int
make_keys(void **state)
{
	(void)state;
	return pn_dkim_key_generate(PN_DKIM_RSA, 2048, &rsa, NULL) != PN_OK
	    || pn_dkim_key_generate(PN_DKIM_RSA, 1024, &small, NULL) != PN_OK
	    || pn_dkim_key_generate(PN_DKIM_ED25519, 0, &ed25519, NULL) != PN_OK;
}

static int
free_keys(void **state)
{
	(void)state;
	pn_dkim_key_free(rsa);
	pn_dkim_key_free(small);
	pn_dkim_key_free(ed25519);
	return 0;
}

struct world {
	struct pn_arena *arena;
	struct pn_dns_zone *zone;
	struct pn_dkim_policy policy;
	struct pn_dkim_verifier *verifier;	/* test_threads */
	struct pn_fields fields;
	struct pn_str body;
	size_t questions;
	struct pn_str from;
	size_t step;			/* bytes of body at once */
	bool dates_change, simple_body;	/* for sign() */
};

static void
publish(struct world *w, const char *domain, const char *selector, struct pn_str record)
{
	struct pn_error err;

	if (pn_dns_zone_add(w->zone, pn_arena_printf(w->arena, "%s._domainkey.%s TXT \"" PN_STR_FMT "\"",
	    selector,
	    domain, PN_STR_ARG(record)), &err) != PN_OK)
		fail_msg("%s", err.text);
}

static void
set_mail(struct world *w, struct pn_str text)
{
	assert_int_equal(pn_fields_split(text, w->arena, &w->fields, &w->body), PN_OK);
}

static void
start(struct world *w)
{
	*w = (struct world){ .arena = pn_arena_new(ARENA_LIMIT), .zone = pn_dns_zone_new(),
		.policy = { .clock_drift = 300 }, .from = PN_STR("example.org"), .step = 7 };
	set_mail(w, pn_str_c(mail_text));
	publish(w, "example.org", "rsa", pn_dkim_key_record(rsa, w->arena));
	publish(w, "example.org", "small", pn_dkim_key_record(small, w->arena));
	publish(w, "example.org", "ed", pn_dkim_key_record(ed25519, w->arena));
}

static void
finish(struct world *w)
{
	pn_dns_zone_free(w->zone);
	pn_arena_free(w->arena);
}

static enum pn_status
count_query(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
    struct pn_dns_answer *out, struct pn_error *err)
{
	struct world *w = ctx;
	struct pn_dns port = pn_dns_zone_port(w->zone);

	w->questions++;
	return port.query(port.ctx, name, type, arena, out, err);
}

static struct pn_dkim_signatures
verify(struct world *w)
{
	struct pn_dkim_verifier *verifier = pn_dkim_verifier_new(&w->policy);
	struct pn_dkim_check *check = pn_dkim_check_new(verifier, w->fields, w->from, NOW, w->arena);
	const struct pn_dns dns = { .ctx = w, .query = count_query };
	struct pn_dkim_signatures found;

	for (struct pn_str rest = w->body; rest.n > 0; rest = pn_str_from(rest, w->step))
		pn_dkim_check_body(check, pn_str_head(rest, w->step));
	found = pn_dkim_check_end(check, &dns);
	pn_dkim_check_free(check);
	pn_dkim_verifier_free(verifier);
	return found;
}

static void
add_field(struct world *w, struct pn_field field)
{
	struct pn_field *v = PN_ARENA_ARRAY(w->arena, struct pn_field, w->fields.n + 1);

	v[0] = field;
	memcpy(v + 1, w->fields.v, w->fields.n * sizeof(*v));
	w->fields = (struct pn_fields){ v, w->fields.n + 1 };
}

static void
add_signature(struct world *w, const char *raw)
{
	add_field(w, (struct pn_field){ PN_STR("DKIM-Signature"), pn_str_c(raw) });
}

static void
sign(struct world *w, const struct pn_dkim_key *key, const char *domain, const char *selector)
{
	const struct pn_dkim_signing how = { .relaxed_header = true, .relaxed_body = !w->simple_body, .now = NOW,
		.dates_change = w->dates_change };
	const struct pn_dkim_signer signer = { pn_str_c(domain), pn_str_c(selector), PN_STR_EMPTY, key };
	struct pn_dkim_body *body = pn_dkim_body_new(!w->simple_body);
	unsigned char hash[PN_DKIM_HASH_SIZE];
	struct pn_field out;
	struct pn_error err;

	pn_dkim_body_add(body, w->body);
	pn_dkim_body_end(body, hash);
	pn_dkim_body_free(body);
	if (pn_dkim_sign(w->fields, hash, &signer, 1, &how, w->arena, &out, &err) != PN_OK)
		fail_msg("%s", err.text);
	add_field(w, out);
}

static void
expect(const char *name, const struct pn_dkim_signature *got, enum pn_dkim_result result, const char *reason)
{
	if (got->result != result || !pn_str_contains(got->reason, pn_str_c(reason)))
		fail_msg("%s: got %s (" PN_STR_FMT ")", name, pn_dkim_result_name(got->result),
		    PN_STR_ARG(got->reason));
	if ((got->reason.n == 0) != (result == PN_DKIM_PASS))
		fail_msg("%s: a reason for all but a pass", name);
}

/* -- what is decided before anybody is asked -- */

#define B64 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define REST "bh=" B64 "; b=" B64
#define HEAD "v=1; a=rsa-sha256; d=example.org; s=rsa; "
#define H "h=From:To; "

#define X61 "1234567890123456789012345678901234567890123456789012345678901"
#define X244 X61 X61 X61 X61		/* with "@example.org" 256 bytes */

static const struct {
	const char *name, *raw;
	enum pn_dkim_result result;
	const char *reason;
	size_t questions;
} syntax[] = {
	{ "good", HEAD H REST, PN_DKIM_FAIL, "header", 1 },
	{ "blanks and folds everywhere",
	    " v = 1 ;\r\n\ta=rsa-sha256; d=example.org;s = rsa;h=From :\r\n To ;bh=" B64
	    ";b=" B64 "; ", PN_DKIM_FAIL, "", 1 },
	{ "unknown tag", HEAD H REST "; foo_1=bar", PN_DKIM_FAIL, "", 1 },
	{ "upper case domain", "v=1; a=rsa-sha256; d=EXAMPLE.org; s=rsa; " H REST, PN_DKIM_FAIL, "", 1 },
	{ "empty", "", PN_DKIM_NEUTRAL, "syntax", 0 },
	{ "only a semicolon", ";", PN_DKIM_NEUTRAL, "syntax", 0 },
	{ "no equals", HEAD H REST "; t", PN_DKIM_NEUTRAL, "syntax", 0 },
	{ "tag twice", HEAD "d=evil.test; " H REST, PN_DKIM_NEUTRAL, "syntax", 0 },
	{ "empty tag", HEAD ";" H REST, PN_DKIM_NEUTRAL, "syntax", 0 },
	{ "upper case tag", HEAD "L=7; " H REST, PN_DKIM_NEUTRAL, "syntax", 0 },
	{ "upper case tag twice", HEAD "D=evil.test; " H REST, PN_DKIM_NEUTRAL, "syntax", 0 },
	{ "tag name", HEAD "!cd=x; " H REST, PN_DKIM_NEUTRAL, "syntax", 0 },
	{ "8-bit", HEAD "z=\xc3\xbc; " H REST, PN_DKIM_NEUTRAL, "syntax", 0 },
	{ "control character", HEAD "z=\x01; " H REST, PN_DKIM_NEUTRAL, "syntax", 0 },
	{ "no version", "a=rsa-sha256; d=example.org; s=rsa; " H REST, PN_DKIM_NEUTRAL, "missing", 0 },
	{ "version 2", "v=2; a=rsa-sha256; d=example.org; s=rsa; " H REST, PN_DKIM_NEUTRAL, "version", 0 },
	{ "no h", HEAD REST, PN_DKIM_NEUTRAL, "missing", 0 },
	{ "empty b", HEAD H "bh=" B64 "; b=", PN_DKIM_NEUTRAL, "missing", 0 },
	{ "no domain", "v=1; a=rsa-sha256; s=rsa; " H REST, PN_DKIM_NEUTRAL, "missing", 0 },
	{ "domain with a blank", "v=1; a=rsa-sha256; d=ex/ample; s=rsa; " H REST, PN_DKIM_NEUTRAL,
	    "host name", 0 },
	{ "domain forging a result", "v=1; a=rsa-sha256; d=x.org(spf=pass); s=rsa; " H REST, PN_DKIM_NEUTRAL,
	    "host name", 0 },
	{ "selector with an empty label", "v=1; a=rsa-sha256; d=example.org; s=a..b; " H REST,
	    PN_DKIM_NEUTRAL,
	    "host name", 0 },
	{ "trailing dot", "v=1; a=rsa-sha256; d=example.org.; s=rsa; " H REST, PN_DKIM_NEUTRAL,
	    "host name", 0 },
	{ "identity", HEAD "i=joe@mail.example.org; " H REST, PN_DKIM_FAIL, "", 1 },
	{ "identity elsewhere", HEAD "i=@evil.test; " H REST, PN_DKIM_NEUTRAL, "outside", 0 },
	{ "identity only looks below", HEAD "i=@badexample.org; " H REST, PN_DKIM_NEUTRAL, "outside", 0 },
	{ "identity above", HEAD "i=@org; " H REST, PN_DKIM_NEUTRAL, "outside", 0 },
	{ "identity without @", HEAD "i=example.org; " H REST, PN_DKIM_NEUTRAL, "identity", 0 },
	{ "identity quoted", HEAD "i=j=3Doe@example.org; " H REST, PN_DKIM_FAIL, "", 1 },
	{ "identity quoted wrong", HEAD "i=j=x@example.org; " H REST, PN_DKIM_NEUTRAL, "identity", 0 },
	{ "identity with two @", HEAD "i=\"a@b\"@example.org; " H REST, PN_DKIM_NEUTRAL, "identity", 0 },
	{ "identity of 256 bytes", HEAD "i=" X244 "@example.org; " H REST, PN_DKIM_FAIL, "", 1 },
	{ "identity of 257 bytes", HEAD "i=x" X244 "@example.org; " H REST, PN_DKIM_NEUTRAL, "identity", 0 },
	{ "a blank before b's =", HEAD H "bh=" B64 "; b =" B64, PN_DKIM_NEUTRAL, "b=", 0 },
	{ "a tag that ends in b", HEAD H "xb=1; bh=" B64 "; b=" B64, PN_DKIM_NEUTRAL, "b=", 0 },
	{ "a tag with b within", HEAD H "xbx=1; bh =" B64 "; b= " B64, PN_DKIM_FAIL, "", 1 },
	{ "t= of last century", HEAD "t=999999999; " H REST, PN_DKIM_NEUTRAL, "t=", 0 },
	{ "identity ends in =", HEAD "i=@example.org=; " H REST, PN_DKIM_NEUTRAL, "identity", 0 },
	{ "From not signed", HEAD "h=To:Subject; " REST, PN_DKIM_NEUTRAL, "From", 0 },
	{ "From as a part of a name", HEAD "h=Resent-From:X-From; " REST, PN_DKIM_NEUTRAL, "From", 0 },
	{ "h with a hole", HEAD "h=From::To; " REST, PN_DKIM_NEUTRAL, "h=", 0 },
	{ "canonicalisation", HEAD "c=relaxed; " H REST, PN_DKIM_FAIL, "", 1 },
	{ "unknown canonicalisation", HEAD "c=nowsp; " H REST, PN_DKIM_NEUTRAL, "canonical", 0 },
	{ "unknown for the body", HEAD "c=simple/nowsp; " H REST, PN_DKIM_NEUTRAL, "canonical", 0 },
	{ "three of them", HEAD "c=simple/simple/simple; " H REST, PN_DKIM_NEUTRAL, "canonical", 0 },
	{ "query", HEAD "q=foo:dns/txt; " H REST, PN_DKIM_FAIL, "", 1 },
	{ "unknown query", HEAD "q=http; " H REST, PN_DKIM_NEUTRAL, "query", 0 },
	{ "rsa-sha1", "v=1; a=rsa-sha1; d=example.org; s=rsa; " H "bh=AAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=" B64,
	    PN_DKIM_POLICY, "sha1", 0 },
	{ "unknown algorithm", "v=1; a=rsa-sha512; d=example.org; s=rsa; " H REST, PN_DKIM_NEUTRAL,
	    "algorithm", 0 },
	{ "l=", HEAD "l=7; " H REST, PN_DKIM_POLICY, "l=", 0 },
	{ "l=0", HEAD "l=0; " H REST, PN_DKIM_POLICY, "l=", 0 },
	{ "l= of no number", HEAD "l=-1; " H REST, PN_DKIM_NEUTRAL, "l=", 0 },
	{ "b no base64", HEAD H "bh=" B64 "; b=****", PN_DKIM_NEUTRAL, "b=", 0 },
	{ "b cut", HEAD H "bh=" B64 "; b=AAAAA", PN_DKIM_NEUTRAL, "b=", 0 },
	{ "bh of another hash", HEAD H "bh=AAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=" B64, PN_DKIM_NEUTRAL, "bh=", 0 },
	{ "expired", HEAD "t=1700000000; x=1799999700; " H REST, PN_DKIM_POLICY, "expired", 0 },
	{ "expired within the tolerance", HEAD "x=1799999701; " H REST, PN_DKIM_FAIL, "", 1 },
	{ "not yet expired", HEAD "x=999999999999; " H REST, PN_DKIM_FAIL, "", 1 },
	{ "ahead within the tolerance", HEAD "t=1800000300; " H REST, PN_DKIM_FAIL, "", 1 },
	{ "from the future", HEAD "t=1800000301; " H REST, PN_DKIM_POLICY, "future", 0 },
	{ "x before t", HEAD "t=1800000000; x=1800000000; " H REST, PN_DKIM_NEUTRAL, "x=", 0 },
	{ "t no number", HEAD "t=-1; " H REST, PN_DKIM_NEUTRAL, "t=", 0 },
	{ "x of 13 digits", HEAD "x=9999999999999; " H REST, PN_DKIM_NEUTRAL, "x=", 0 },
};

static void
test_syntax(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(syntax); i++) {
		struct pn_dkim_signatures got;
		struct world w;

		start(&w);
		add_signature(&w, syntax[i].raw);
		got = verify(&w);
		assert_int_equal(got.n, 1);
		expect(syntax[i].name, &got.v[0], syntax[i].result, syntax[i].reason);
		if (w.questions != syntax[i].questions)
			fail_msg("%s: %zu questions", syntax[i].name, w.questions);
		finish(&w);
	}
}

/* -- the key record; KEY stands for the key -- */

#define LONG_LINE "                                                                "
#define LONG "x" LONG_LINE LONG_LINE LONG_LINE LONG_LINE "x"

static const struct {
	const char *name, *record;
	enum pn_dkim_result result;
	const char *reason;
} records[] = {
	{ "usual", "v=DKIM1; k=rsa; p=KEY", PN_DKIM_PASS, "" },
	{ "key alone", "p=KEY", PN_DKIM_PASS, "" },
	{ "blanks and a last semicolon", " v = DKIM1 ; h = sha1 : sha256 ; s = email ; n=note; p = KEY ; ",
	    PN_DKIM_PASS, "" },
	{ "any service", "v=DKIM1; s=*; p=KEY", PN_DKIM_PASS, "" },
	{ "flags of others", "v=DKIM1; t=x:s; p=KEY", PN_DKIM_PASS, "" },
	{ "tested", "v=DKIM1; t=y; p=KEY", PN_DKIM_POLICY, "t=y" },
	{ "revoked", "v=DKIM1; k=rsa; p=", PN_DKIM_PERMERROR, "revoked" },
	{ "without key", "v=DKIM1; k=rsa", PN_DKIM_PERMERROR, "p=" },
	{ "another version", "v=DKIM2; p=KEY", PN_DKIM_PERMERROR, "no key" },
	{ "version not first", "k=rsa; v=DKIM1; p=KEY", PN_DKIM_PERMERROR, "v=" },
	{ "key twice", "v=DKIM1; p=KEY; p=KEY", PN_DKIM_PERMERROR, "syntax" },
	{ "no tags", "hello", PN_DKIM_PERMERROR, "syntax" },
	{ "SPF at its place", "v=spf1 -all", PN_DKIM_PERMERROR, "no key" },
	{ "another type", "v=DKIM1; k=ed25519; p=KEY", PN_DKIM_PERMERROR, "another type" },
	{ "unknown type", "v=DKIM1; k=dsa; p=KEY", PN_DKIM_PERMERROR, "k=dsa" },
	{ "sha1 only", "v=DKIM1; h=sha1; p=KEY", PN_DKIM_PERMERROR, "sha256" },
	{ "not for mail", "v=DKIM1; s=tlsrpt; p=KEY", PN_DKIM_PERMERROR, "mail" },
	{ "no base64", "v=DKIM1; p=a*b", PN_DKIM_PERMERROR, "base64" },
	{ "no key in it", "v=DKIM1; p=QUJDRA==", PN_DKIM_PERMERROR, "cannot be used" },
	{ "a key on the curve P-256", "v=DKIM1; p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEggkXiLYQyDphGH1c9mQRc2hb0A4JrIBW4MY6"
	    "H+UfOee6mWZMmVAjxIL4hReYftQ//i6YrGh/9WlPuvJM8BKscw==", PN_DKIM_PERMERROR, "cannot be used" },
	{ "notes longer than the library takes", "v=DKIM1; n=" LONG LONG LONG LONG "; p=KEY", PN_DKIM_PASS, "" },
};

static struct pn_str
with_key(struct world *w, const char *record)
{
	struct pn_str p = pn_dkim_key_record(rsa, w->arena), text = pn_str_c(record), out = PN_STR_EMPTY;
	size_t at;

	p = pn_str_from(p, pn_str_find_str(p, PN_STR("p=")) + 2);
	while ((at = pn_str_find_str(text, PN_STR("KEY"))) != PN_STR_NONE) {
		out = pn_arena_printf(w->arena, PN_STR_FMT PN_STR_FMT PN_STR_FMT, PN_STR_ARG(out),
		    PN_STR_ARG(pn_str_head(text, at)), PN_STR_ARG(p));
		text = pn_str_from(text, at + 3);
	}
	return pn_arena_printf(w->arena, PN_STR_FMT PN_STR_FMT, PN_STR_ARG(out), PN_STR_ARG(text));
}

static void
test_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(records); i++) {
		struct pn_dkim_signatures got;
		struct world w;

		start(&w);
		publish(&w, "example.org", "own", with_key(&w, records[i].record));
		sign(&w, rsa, "example.org", "own");
		got = verify(&w);
		expect(records[i].name, &got.v[0], records[i].result, records[i].reason);
		finish(&w);
	}
}

static void
test_several_records(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	publish(&w, "example.org", "own", PN_STR("v=spf1 -all"));
	publish(&w, "example.org", "own", with_key(&w, "v=DKIM1; p=KEY"));
	sign(&w, rsa, "example.org", "own");
	expect("another kind beside it", &verify(&w).v[0], PN_DKIM_PASS, "");
	publish(&w, "example.org", "own", with_key(&w, "v=DKIM1; k=rsa; p=KEY"));
	expect("two keys", &verify(&w).v[0], PN_DKIM_PERMERROR, "several");
	finish(&w);
}

static void
test_own_policy(void **state)
{
	struct pn_dkim_signatures got;
	struct world w;

	(void)state;
	start(&w);
	publish(&w, "example.org", "tested", with_key(&w, "v=DKIM1; t=y; p=KEY"));
	sign(&w, rsa, "example.org", "tested");
	sign(&w, small, "example.org", "small");
	got = verify(&w);
	expect("1024 bits", &got.v[0], PN_DKIM_PASS, "");
	assert_int_equal(got.v[0].key_bits, 1024);
	assert_true(got.v[1].testing);
	w.policy.min_rsa_bits = 2048;
	w.policy.accept_testing = true;
	got = verify(&w);
	expect("1024 bits are too few", &got.v[0], PN_DKIM_POLICY, "1024");
	expect("tested and accepted", &got.v[1], PN_DKIM_PASS, "");
	assert_true(got.v[1].testing);
	finish(&w);
}

/* t=s is about i=, which our signer writes when asked. */
static void
test_strict_identity(void **state)
{
	static const struct {
		const char *name, *identity;
		enum pn_dkim_result result;
	} rows[] = {
		{ "itself", "joe@example.org", PN_DKIM_PASS },
		{ "below", "@mail.example.org", PN_DKIM_PERMERROR },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		const struct pn_dkim_signing how = { .relaxed_header = true, .now = NOW, .lifetime = 3600 };
		struct pn_dkim_signer signer = { PN_STR("example.org"), PN_STR("own"),
		    pn_str_c(rows[i].identity), rsa };
		struct pn_dkim_body *body = pn_dkim_body_new(false);
		unsigned char hash[PN_DKIM_HASH_SIZE];
		struct pn_field out;
		struct world w;

		start(&w);
		publish(&w, "example.org", "own", with_key(&w, "v=DKIM1; t=s; p=KEY"));
		pn_dkim_body_add(body, w.body);
		pn_dkim_body_end(body, hash);
		pn_dkim_body_free(body);
		assert_int_equal(pn_dkim_sign(w.fields, hash, &signer, 1, &how, w.arena, &out, NULL), PN_OK);
		assert_true(pn_str_contains(out.raw, PN_STR(" x=1800003600;")));
		add_field(&w, out);
		expect(rows[i].name, &verify(&w).v[0], rows[i].result,
		    rows[i].result == PN_DKIM_PASS ? "" : "subdomains");
		finish(&w);
	}
}

/* -- one beside another -- */

static void
test_neighbours(void **state)
{
	struct pn_dkim_signatures got;
	struct world w;

	(void)state;
	start(&w);
	assert_int_equal(pn_dns_zone_add(w.zone, PN_STR("slow._domainkey.example.org TIMEOUT"), NULL), PN_OK);
	sign(&w, rsa, "example.org", "slow");
	sign(&w, rsa, "example.org", "rsa");
	sign(&w, rsa, "example.org", "nobody");
	sign(&w, ed25519, "example.org", "ed");
	add_signature(&w, HEAD H REST);
	add_signature(&w, "garbage");
	sign(&w, rsa, "example.org", "rsa");
	got = verify(&w);
	assert_int_equal(got.n, 7);
	expect("first good", &got.v[0], PN_DKIM_PASS, "");
	expect("garbage", &got.v[1], PN_DKIM_NEUTRAL, "syntax");
	expect("broken", &got.v[2], PN_DKIM_FAIL, "header");
	expect("ed25519", &got.v[3], PN_DKIM_PASS, "");
	expect("no key", &got.v[4], PN_DKIM_PERMERROR, "no key at nobody._domainkey.example.org");
	expect("second good", &got.v[5], PN_DKIM_PASS, "");
	expect("slow", &got.v[6], PN_DKIM_TEMPERROR, "");
	/* the key of three signatures was asked for once */
	assert_int_equal(w.questions, 4);
	assert_true(pn_str_eq(got.v[3].algorithm, PN_STR("ed25519-sha256")));
	assert_int_equal(got.v[3].key_bits, 0);
	assert_int_equal(got.v[0].key_bits, 2048);
	assert_int_equal(got.v[0].b.n, 8);
	finish(&w);
}

/* Eight are verified, the author's own first, wherever they stand. */
static void
test_many(void **state)
{
	size_t passed = 0, policy = 0;
	struct pn_dkim_signatures got;
	struct world w;

	(void)state;
	start(&w);
	publish(&w, "list.test", "rsa", pn_dkim_key_record(rsa, w.arena));
	publish(&w, "mail.example.org", "rsa", pn_dkim_key_record(rsa, w.arena));
	sign(&w, rsa, "mail.example.org", "rsa");
	sign(&w, rsa, "example.org", "rsa");
	for (size_t i = 0; i < 9; i++)
		sign(&w, rsa, "list.test", "rsa");
	got = verify(&w);
	assert_int_equal(got.n, 11);
	expect("the author's", &got.v[9], PN_DKIM_PASS, "");
	expect("below the author's", &got.v[10], PN_DKIM_PASS, "");
	for (size_t i = 0; i < got.n; i++) {
		passed += got.v[i].result == PN_DKIM_PASS;
		policy += got.v[i].result == PN_DKIM_POLICY;
	}
	assert_int_equal(passed, 8);
	assert_int_equal(policy, 3);
	assert_int_equal(w.questions, 3);
	for (size_t i = 0; i < 1000; i++)
		add_signature(&w, HEAD "l=0; " H REST);
	got = verify(&w);
	assert_int_equal(got.n, PN_DKIM_LISTED);
	assert_int_equal(got.unlisted, 1011 - PN_DKIM_LISTED);
	finish(&w);
}

#define TO "To:To:To:To:To:To:To:To:To:To:"

/* A signature over others is verified when they are, too: libopendkim sees no more than these. */
static void
test_signed_signatures(void **state)
{
	static const struct {
		const char *name, *h, *second;
		enum pn_dkim_result result;
	} rows[] = {
		{ "not signed", "h=From; ", HEAD "l=7; " H REST, PN_DKIM_FAIL },
		{ "verified", "h=From:dkim-signature; ", HEAD H REST, PN_DKIM_FAIL },
		{ "no tag list", "h=From:dkim-signature; ", "v=1; junk", PN_DKIM_NEUTRAL },
		{ "not accepted", "h=From:dkim-signature; ", HEAD "l=7; " H REST, PN_DKIM_NEUTRAL },
		{ "one more than there are", "h=From:DKIM-Signature:DKIM-Signature; ", HEAD H REST, PN_DKIM_NEUTRAL },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct world w;

		start(&w);
		add_signature(&w, rows[i].second);
		add_signature(&w, pn_arena_printf(w.arena, HEAD "%s" REST, rows[i].h).p);
		expect(rows[i].name, &verify(&w).v[0], rows[i].result, "");
		finish(&w);
	}
}

/* libopendkim writes behind its table when all fields are named, and one more. */
static void
test_all_fields_named(void **state)
{
	(void)state;
	for (size_t more = 0; more < 40; more++) {
		struct world w;

		start(&w);
		set_mail(&w, PN_STR("From: a@example.org\r\n\r\n"));
		for (size_t i = 0; i < more; i++)
			add_field(&w, (struct pn_field){ PN_STR("To"), PN_STR(" x") });
		add_signature(&w, HEAD "h=From:" TO TO TO TO "From; " REST);
		expect("named", &verify(&w).v[0], PN_DKIM_FAIL, "");
		w.fields.v[0].raw = PN_STR(HEAD "h=From:DKIM-Signature:" TO TO TO TO "From; " REST);
		expect("and itself", &verify(&w).v[0], PN_DKIM_NEUTRAL, "signs signatures");
		finish(&w);
	}
}

static void
test_unfit_fields(void **state)
{
	static const struct pn_str odd[] = { { "a\0b", 3 }, { "a\vb", 3 }, { "a\f", 2 }, { "a\rb", 3 }, { "a\r", 2 },
		{ "a\r\r\n b", 6 } };
	struct pn_field many[2001] = { { PN_STR_EMPTY, PN_STR_EMPTY } };
	struct world w;

	(void)state;
	start(&w);
	sign(&w, rsa, "example.org", "rsa");
	add_field(&w, (struct pn_field){ PN_STR("bad name"), PN_STR(" x") });
	add_field(&w, (struct pn_field){ PN_STR_EMPTY, PN_STR_EMPTY });
	expect("odd names are nobody's", &verify(&w).v[0], PN_DKIM_PASS, "");
	add_field(&w, (struct pn_field){ PN_STR("X"), PN_STR_EMPTY });
	for (size_t i = 0; i < PN_COUNT(odd); i++) {
		w.fields.v[0].raw = odd[i];
		expect("an odd byte", &verify(&w).v[0], PN_DKIM_NEUTRAL, "NUL");
	}
	w.fields.v[0].raw = PN_STR(" a\r\n b\n\tc");
	expect("folds", &verify(&w).v[0], PN_DKIM_PASS, "");
	finish(&w);

	start(&w);
	sign(&w, rsa, "example.org", "rsa");
	add_field(&w, (struct pn_field){ PN_STR("X"), pn_str_n(pn_arena_alloc(w.arena, 1), 1) });
	w.fields.v[0].raw = pn_str_n(memset(pn_arena_alloc(w.arena, 500000), 'x', 500000), 500000);
	expect("large but not signed", &verify(&w).v[0], PN_DKIM_PASS, "");
	w.fields.v[0].name = PN_STR("Subject");
	expect("large", &verify(&w).v[0], PN_DKIM_FAIL, "");
	w.fields.v[0].raw = pn_str_n(memset(pn_arena_alloc(w.arena, 1100000), 'x', 1100000), 1100000);
	expect("too large", &verify(&w).v[0], PN_DKIM_NEUTRAL, "too large");
	add_field(&w, (struct pn_field){ PN_STR("DKIM-Signature"), w.fields.v[0].raw });
	expect("a signature of a megabyte", &verify(&w).v[0], PN_DKIM_NEUTRAL, "");
	memcpy(many, w.fields.v + 2, sizeof(*many));
	for (size_t i = 1; i < PN_COUNT(many); i++)
		many[i] = (struct pn_field){ PN_STR("Received"), PN_STR(" x") };
	w.fields = (struct pn_fields){ many, PN_COUNT(many) };
	expect("too many", &verify(&w).v[0], PN_DKIM_NEUTRAL, "too many header fields");
	finish(&w);
}

/* One verifier for all threads. */
static void *
verify_often(void *ctx)
{
	const struct world *shared = ctx;
	const struct pn_dns dns = pn_dns_zone_port(shared->zone);
	bool ok = true;

	for (int i = 0; i < 50; i++) {
		struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);
		struct pn_dkim_check *check = pn_dkim_check_new(shared->verifier, shared->fields, shared->from, NOW,
		    arena);
		struct pn_dkim_signatures got;

		pn_dkim_check_body(check, shared->body);
		got = pn_dkim_check_end(check, &dns);
		ok = ok && got.n == 2 && got.v[0].result == PN_DKIM_PASS && got.v[1].result == PN_DKIM_PASS;
		pn_dkim_check_free(check);
		pn_arena_free(arena);
	}
	return ok ? ctx : NULL;
}

static void
test_threads(void **state)
{
	pthread_t threads[4];
	struct world w;
	void *result;

	(void)state;
	start(&w);
	sign(&w, rsa, "example.org", "rsa");
	sign(&w, ed25519, "example.org", "ed");
	w.verifier = pn_dkim_verifier_new(&w.policy);
	for (size_t i = 0; i < PN_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &w), 0);
	for (size_t i = 0; i < PN_COUNT(threads); i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, &w);
	}
	pn_dkim_verifier_free(w.verifier);
	finish(&w);
}

/* The worst that the limits let pass: time grows with their product, and that is bounded. */
static void
test_cost(void **state)
{
	char names[3 * 256];
	int64_t before;
	struct world w;

	(void)state;
	start(&w);
	for (size_t i = 0; i < 254; i++)
		memcpy(names + 3 * i, "X-:", 3);
	memcpy(names + 3 * 254, "To", 3);
	for (size_t i = 0; i < 1900; i++)
		add_field(&w, (struct pn_field){ PN_STR("Received"), PN_STR(" from here\r\n\tto there") });
	for (size_t i = 0; i < 80; i++)
		add_signature(&w, pn_arena_printf(w.arena, HEAD "c=relaxed/relaxed; h=From:%s; " REST, names).p);
	w.body = pn_str_n(memset(pn_arena_alloc(w.arena, 1000000), ' ', 1000000), 1000000);
	w.step = 65535;
	before = pn_clock_mono_us();
	expect("last", &verify(&w).v[PN_DKIM_LISTED - 1], PN_DKIM_POLICY, "too many");
	before = pn_clock_mono_us() - before;
	assert_true(before < 3000000);
	finish(&w);
}

static void
test_unsigned(void **state)
{
	struct pn_dkim_signatures got;
	struct world w;

	(void)state;
	start(&w);
	got = verify(&w);
	assert_int_equal(got.n, 0);
	assert_int_equal(w.questions, 0);
	finish(&w);
}

/* Only the author's keys are worth asking for before the mail is read. */
static void
test_keys_ahead(void **state)
{
	struct pn_dkim_verifier *verifier;
	struct pn_dkim_check *check;
	struct pn_strs keys;
	struct world w;

	(void)state;
	start(&w);
	sign(&w, rsa, "example.org", "rsa");
	sign(&w, rsa, "mail.example.org", "sub");
	sign(&w, rsa, "evil.test", "other");
	verifier = pn_dkim_verifier_new(&w.policy);
	check = pn_dkim_check_new(verifier, w.fields, w.from, NOW, w.arena);
	keys = pn_dkim_check_keys(check);
	assert_int_equal(keys.n, 2);
	assert_true(pn_strs_has(keys, PN_STR("rsa._domainkey.example.org")));
	assert_true(pn_strs_has(keys, PN_STR("sub._domainkey.mail.example.org")));
	pn_dkim_check_free(check);
	check = pn_dkim_check_new(verifier, w.fields, PN_STR_EMPTY, NOW, w.arena);
	assert_int_equal(pn_dkim_check_keys(check).n, 0);
	pn_dkim_check_free(check);
	pn_dkim_verifier_free(verifier);
	finish(&w);
}

/* -- bodies: what is signed in one piece is verified in pieces of any size -- */

static const struct {
	const char *name, *text;
} bodies[] = {
	{ "empty", "" },
	{ "one line end", "\r\n" },
	{ "line ends", "\r\n\r\n\r\n" },
	{ "blanks", " \t \r\n \r\n" },
	{ "no line end", "text" },
	{ "trailing empty lines", "text\r\n\r\n\r\n" },
	{ "leading empty lines", "\r\n\r\ntext\r\n" },
	{ "blanks at the end", "text \t\r\nmore  \r\n" },
	{ "blanks inside", "a  b\t\tc \t d\r\n" },
	{ "leading blanks", "  a\r\n\tb\r\n" },
	{ "bare LF", "a\nb\n\n" },
	{ "mixed line ends", "a\r\nb\nc\r\n" },
	{ "8-bit", "gr\xc3\xbc\xdf \xff\r\n" },
	{ "dots", ".\r\n..\r\n" },
};

static void
test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < PN_COUNT(bodies); i++)
		for (size_t step = 1; step < 6; step++) {
			struct world w;

			start(&w);
			w.body = pn_str_c(bodies[i].text);
			w.step = step;
			sign(&w, rsa, "example.org", "rsa");
			expect(bodies[i].name, &verify(&w).v[0], PN_DKIM_PASS, "");
			w.body = PN_STR("Text\r\n");
			expect(bodies[i].name, &verify(&w).v[0], PN_DKIM_FAIL, "body");
			finish(&w);
		}
}

/* Hashed by us and by libopendkim, in pieces of any size: the same. */
static void
test_random_bodies(void **state)
{
	static const struct pn_str pieces[] = { PN_STR(" "), PN_STR("\t"), PN_STR("\r\n"), PN_STR("\r\n"),
		PN_STR("\n"), PN_STR("a"), PN_STR("\0"), PN_STR("\xff"), PN_STR("some words") };
	unsigned seed = 4711;
	char text[200];

	(void)state;
	for (size_t i = 0; i < 2000; i++) {
		struct world w;
		size_t n = 0;

		start(&w);
		for (size_t k = (size_t)rand_r(&seed) % 16; k > 0; k--) {
			const struct pn_str *piece = &pieces[(size_t)rand_r(&seed) % PN_COUNT(pieces)];

			memcpy(text + n, piece->p, piece->n);
			n += piece->n;
		}
		w.body = pn_str_n(text, n);
		w.step = (size_t)rand_r(&seed) % 20 + 1;
		w.simple_body = i % 2 == 0;
		sign(&w, ed25519, "example.org", "ed");
		expect("random", &verify(&w).v[0], PN_DKIM_PASS, "");
		finish(&w);
	}
}

/* libopendkim loses a CR that ends no line: the mail could have got it later. */
static void
test_bare_cr(void **state)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{ "inside", "a\rb\r\n" },
		{ "at the start", "\ra\r\n" },
		{ "before a line end", "a\r\r\n" },
		{ "before an empty line", "a\r\n\r\r\n" },
		{ "at the end", "a\r\n\r" },
		{ "all there is", "\r" },
		{ "before a LF alone", "a\nb\r\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++)
		for (size_t step = 1; step < 6; step++) {
			struct world w;

			start(&w);
			w.body = pn_str_c(rows[i].text);
			w.step = step;
			sign(&w, rsa, "example.org", "rsa");
			expect(rows[i].name, &verify(&w).v[0], PN_DKIM_NEUTRAL, "CR");
			assert_int_equal(w.questions, 0);
			finish(&w);
		}
}

/* -- signing -- */

static void
test_signature_text(void **state)
{
	struct pn_str raw, rest, line;
	struct world w;

	(void)state;
	start(&w);
	sign(&w, rsa, "example.org", "rsa");
	raw = w.fields.v[0].raw;
	assert_true(pn_str_starts(raw,
	    PN_STR(" v=1; a=rsa-sha256; c=relaxed/relaxed;\n\td=example.org;\n\ts=rsa; "
	    "t=1800000000;\n\th=From:From:Reply-To:Subject:Subject:To:To:Cc;\n")));
	assert_false(pn_str_contains(raw, PN_STR(" l=")));
	for (rest = raw; pn_str_split(&rest, '\n', &line);)
		assert_true(line.n <= 78);
	finish(&w);
}

/* What a relay adds where it is missing, or writes anew, breaks no signature; what a reader is shown does. */
static void
test_fields_of_relays(void **state)
{
	static const struct {
		const char *name, *before, *after;	/* fields above From */
		bool dates_change;
		enum pn_dkim_result result;
	} rows[] = {
		{ "Date added", "", "Date: now\r\n", false, PN_DKIM_PASS },
		{ "Message-ID added", "", "Message-ID: <x@y>\r\n", false, PN_DKIM_PASS },
		{ "MIME fields added", "", "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
		    "Content-Transfer-Encoding: 7bit\r\n", false, PN_DKIM_PASS },
		{ "Subject added", "", "Subject: x\r\n", false, PN_DKIM_FAIL },
		{ "To added", "", "To: x\r\n", false, PN_DKIM_FAIL },
		{ "Cc added", "", "Cc: x\r\n", false, PN_DKIM_FAIL },
		{ "Reply-To added", "", "Reply-To: x\r\n", false, PN_DKIM_FAIL },
		{ "From added", "", "From: x\r\n", false, PN_DKIM_FAIL },
		{ "a second Date", "Date: now\r\n", "Date: now\r\nDate: now\r\n", false, PN_DKIM_FAIL },
		{ "a second type", "Content-Type: a/b\r\n", "Content-Type: a/b\r\nContent-Type: a/b\r\n", false,
		    PN_DKIM_FAIL },
		{ "Date replaced", "Date: now\r\n", "Date: then\r\n", false, PN_DKIM_FAIL },
		{ "Message-ID replaced", "Message-ID: <x@y>\r\n", "Message-ID: <z@y>\r\n", false, PN_DKIM_FAIL },
		{ "both replaced by a relay that does", "Date: now\r\nMessage-ID: <x@y>\r\n",
		    "Message-ID: <z@y>\r\nDate: then\r\n", true, PN_DKIM_PASS },
		{ "Subject replaced by it", "Subject: a\r\n", "Subject: b\r\n", true, PN_DKIM_FAIL },
	};

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_dkim_signatures found;
		struct pn_field signature;
		struct world w;

		start(&w);
		set_mail(&w, pn_arena_printf(w.arena, "%sFrom: a@example.org\r\n\r\ntext\r\n", rows[i].before));
		w.dates_change = rows[i].dates_change;
		sign(&w, rsa, "example.org", "rsa");
		signature = w.fields.v[0];
		set_mail(&w, pn_arena_printf(w.arena, "%sFrom: a@example.org\r\n\r\ntext\r\n", rows[i].after));
		add_field(&w, signature);
		found = verify(&w);
		assert_int_equal(found.n, 1);
		expect(rows[i].name, &found.v[0], rows[i].result, "");
		finish(&w);
	}
}

#define S4 "Subject:\r\nSubject:\r\nSubject:\r\nSubject:\r\n"

#define X9 "xxxxxxxxx"
#define X90 X9 X9 X9 X9 X9 X9 X9 X9 X9 X9
#define X990 X90 X90 X90 X90 X90 X90 X90 X90 X90 X90 X90

static void
test_signing_refused(void **state)
{
	static const struct {
		const char *name, *domain, *selector, *identity, *text;
		enum pn_status st;
	} rows[] = {
		{ "no From", "example.org", "s", "", "To: x\r\n\r\n", PN_INVALID },
		{ "domain", "ex ample", "s", "", mail_text, PN_INVALID },
		{ "domain with a tag", "example.org; l=0", "s", "", mail_text, PN_INVALID },
		{ "selector", "example.org", "", "", mail_text, PN_INVALID },
		{ "identity elsewhere", "example.org", "s", "@evil.test", mail_text, PN_INVALID },
		{ "identity with a tag", "example.org", "s", "a;l=0@example.org", mail_text, PN_INVALID },
		{ "two at signs", "example.org", "s", "a@evil@example.org", mail_text, PN_INVALID },
		{ "17 Subjects", "example.org", "s", "", "From: x\r\n" S4 S4 S4 S4 "Subject:\r\n\r\n", PN_LIMIT },
		{ "16 Subjects", "example.org", "s", "", "From: x\r\n" S4 S4 S4 S4 "\r\n", PN_OK },
		{ "line of 998", "example.org", "s", "", "From: x\r\nSubject:" X990 "\r\n\tmore\r\n\r\n", PN_OK },
		{ "line of 999", "example.org", "s", "", "From: x\r\nSubject: " X990 "\r\n\r\n", PN_LIMIT },
		{ "line of 999, folded", "example.org", "s", "", "From: x\r\nTo:\r\n\t" X990 X9 "\r\n\r\n", PN_LIMIT },
		{ "line of 1005, not signed", "example.org", "s", "", "From: x\r\nX-A: " X990 X9 "\r\n\r\n", PN_OK },
		{ "good", "example.org", "s", "@mail.example.org", mail_text, PN_OK },
	};
	const struct pn_dkim_signing how = { .now = NOW };
	const unsigned char hash[PN_DKIM_HASH_SIZE] = { 0 };

	(void)state;
	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_dkim_signer signer = { pn_str_c(rows[i].domain), pn_str_c(rows[i].selector),
			pn_str_c(rows[i].identity), ed25519 };
		struct pn_field out = { PN_STR_EMPTY, PN_STR_EMPTY };
		struct world w;

		start(&w);
		set_mail(&w, pn_str_c(rows[i].text));
		if (pn_dkim_sign(w.fields, hash, &signer, 1, &how, w.arena, &out, NULL) != rows[i].st)
			fail_msg("%s", rows[i].name);
		assert_int_equal(out.raw.n > 0, rows[i].st == PN_OK);
		finish(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_several_records),
		cmocka_unit_test(test_own_policy),
		cmocka_unit_test(test_strict_identity),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_signed_signatures),
		cmocka_unit_test(test_all_fields_named),
		cmocka_unit_test(test_unfit_fields),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_random_bodies),
		cmocka_unit_test(test_bare_cr),
		cmocka_unit_test(test_keys_ahead),
		cmocka_unit_test(test_signature_text),
		cmocka_unit_test(test_fields_of_relays),
		cmocka_unit_test(test_signing_refused),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
