#include <opendkim/dkim.h>
#include <stdio.h>
#include <stdlib.h>

#include "dkim_crypto.h"
#include "dkim_feed.h"
#include "dkim_signature.h"
#include "postern/dkim.h"
#include "postern/dkim_key.h"

enum {
	SIGNATURE_SIZE = 32 * 1024,	/* libopendkim gives the whole mail up at 64 kB */
	KEY_SIZE = 1000,
	REASON_SIZE = 200,
};

struct pn_dkim_verifier {
	DKIM_LIB *lib;
	struct pn_dkim_policy policy;
};

/* A signature the library knows of. */
struct candidate {
	struct pn_dkim_signature *signature;
	DKIM_SIGINFO *sig;
	bool asked;			/* for the record */
	enum pn_status found;
	struct pn_dkim_record record;
	struct pn_error why;
};

struct pn_dkim_check {
	const struct pn_dkim_verifier *verifier;
	struct pn_arena *arena;
	struct pn_str from;		/* the author's domain */
	DKIM *dkim;			/* NULL: nothing to verify */
	struct dkim_feed feed;
	struct pn_dkim_signatures list;
	size_t *others;			/* of each of them: how many it signs */
	struct candidate known[PN_DKIM_CHECKED];
	size_t known_n;
};

const char *
pn_dkim_result_name(enum pn_dkim_result result)
{
	static const char *const names[] = {
		[PN_DKIM_NONE] = "none",
		[PN_DKIM_PASS] = "pass",
		[PN_DKIM_FAIL] = "fail",
		[PN_DKIM_POLICY] = "policy",
		[PN_DKIM_NEUTRAL] = "neutral",
		[PN_DKIM_TEMPERROR] = "temperror",
		[PN_DKIM_PERMERROR] = "permerror",
	};

	return names[result];
}

static void
decide(struct pn_dkim_signature *signature, enum pn_dkim_result result, struct pn_str reason)
{
	signature->result = result;
	signature->reason = reason;
}

/* All about which nothing is decided yet. */
static void
decide_rest(struct pn_dkim_check *check, enum pn_dkim_result result, struct pn_str reason)
{
	for (size_t i = 0; i < check->list.n; i++)
		if (check->list.v[i].result == PN_DKIM_NONE)
			decide(&check->list.v[i], result, reason);
}

/* -- what the library asks -- */

static DKIM_CBSTAT
on_prescreen(DKIM *dkim, DKIM_SIGINFO **sigs, int nsigs)
{
	struct pn_dkim_check *check = dkim_get_user_context(dkim);

	if (nsigs < 0 || (size_t)nsigs != check->known_n)
		return DKIM_CBSTAT_ERROR;
	for (size_t i = 0; i < check->known_n; i++)
		check->known[i].sig = sigs[i];
	return DKIM_CBSTAT_CONTINUE;
}

/* What the library needs of a record that was judged already.  A key of KEY_SIZE bytes fits. */
static DKIM_CBSTAT
on_key(DKIM *dkim, DKIM_SIGINFO *sig, u_char *buf, size_t size)
{
	const struct pn_dkim_check *check = dkim_get_user_context(dkim);
	const struct pn_dkim_record *record;
	int n;

	for (size_t i = 0; i < check->known_n; i++) {
		if (check->known[i].sig != sig || check->known[i].found != PN_OK)
			continue;
		record = &check->known[i].record;
		n = snprintf((char *)buf, size, "k=%s; %sp=" PN_STR_FMT, pn_dkim_key_type_name(record->type),
		    record->strict_identity ? "t=s; " : "", PN_STR_ARG(record->key));
		return n > 0 && (size_t)n < size ? DKIM_CBSTAT_CONTINUE : DKIM_CBSTAT_ERROR;
	}
	return DKIM_CBSTAT_NOTFOUND;
}

struct pn_dkim_verifier *
pn_dkim_verifier_new(const struct pn_dkim_policy *policy)
{
	struct pn_dkim_verifier *verifier = calloc(1, sizeof(*verifier));
	unsigned flags = DKIM_LIBFLAGS_DELAYSIGPROC | DKIM_LIBFLAGS_BADSIGHANDLES, any_size = 0;
	uint64_t drift = PN_DKIM_FIRST_TIME;

	if (verifier == NULL || (verifier->lib = dkim_init(NULL, NULL)) == NULL)
		pn_out_of_memory();
	verifier->policy = *policy;
	if (verifier->policy.min_rsa_bits == 0)
		verifier->policy.min_rsa_bits = PN_DKIM_RSA_MIN;
	(void)dkim_options(verifier->lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof(flags));
	(void)dkim_options(verifier->lib, DKIM_OP_SETOPT, DKIM_OPTS_CLOCKDRIFT, &drift, sizeof(drift));
	(void)dkim_options(verifier->lib, DKIM_OP_SETOPT, DKIM_OPTS_MINKEYBITS, &any_size, sizeof(any_size));
	(void)dkim_set_prescreen(verifier->lib, on_prescreen);
	(void)dkim_set_key_lookup(verifier->lib, on_key);
	return verifier;
}

void
pn_dkim_verifier_free(struct pn_dkim_verifier *verifier)
{
	if (verifier == NULL)
		return;
	dkim_close(verifier->lib);
	free(verifier);
}

/* -- the headers -- */

static bool
is_signature(const struct pn_field *field)
{
	return pn_str_eq_nocase(field->name, PN_STR("DKIM-Signature"));
}

static void
read_signatures(struct pn_dkim_check *check, struct pn_fields fields, const struct pn_dkim_limits *limits)
{
	size_t n = 0;

	for (size_t i = 0; i < fields.n; i++)
		n += is_signature(&fields.v[i]);
	check->list.unlisted = n > PN_DKIM_LISTED ? n - PN_DKIM_LISTED : 0;
	n -= check->list.unlisted;
	check->list.v = PN_ARENA_ARRAY(check->arena, struct pn_dkim_signature, n);
	check->others = PN_ARENA_ARRAY(check->arena, size_t, n);
	for (size_t i = 0; check->list.n < n; i++) {
		struct pn_dkim_signature *signature = &check->list.v[check->list.n];

		if (!is_signature(&fields.v[i]))
			continue;
		pn_dkim_signature_read(pn_str_head(fields.v[i].raw, SIGNATURE_SIZE), limits, check->arena, signature,
		    &check->others[check->list.n]);
		if (fields.v[i].raw.n > SIGNATURE_SIZE)
			decide(signature, PN_DKIM_NEUTRAL, PN_STR("the field is too large"));
		check->list.n++;
	}
}

/* 2: the author's own domain; 1: above or below it; 0: another one. */
static int
nearness(const struct pn_dkim_signature *signature, struct pn_str from)
{
	if (pn_str_eq_nocase(signature->domain, from))
		return 2;
	return pn_dkim_is_below(signature->domain, from) || pn_dkim_is_below(from, signature->domain);
}

static void
choose(struct pn_dkim_check *check, struct pn_str from)
{
	size_t chosen = 0;

	for (int near = 2; near >= 0; near--)
		for (size_t i = 0; i < check->list.n; i++) {
			struct pn_dkim_signature *signature = &check->list.v[i];

			if (signature->result != PN_DKIM_NONE || nearness(signature, from) != near)
				continue;
			if (++chosen > PN_DKIM_CHECKED)
				decide(signature, PN_DKIM_POLICY, PN_STR("too many signatures"));
		}
}

/* Those about which something is decided stay away from the library: it reads beyond what is not well formed, and
 * hashes the body for each l=.  A signature over them, or over more than there are, cannot be verified then. */
static void
judge_others(struct pn_dkim_check *check)
{
	bool away = check->list.unlisted > 0;

	for (size_t i = 0; i < check->list.n; i++)
		away = away || check->list.v[i].result != PN_DKIM_NONE || check->others[i] >= check->list.n;
	for (size_t i = 0; i < check->list.n && away; i++)
		if (check->list.v[i].result == PN_DKIM_NONE && check->others[i] > 0)
			decide(&check->list.v[i], PN_DKIM_NEUTRAL, PN_STR("signs signatures that are not verified"));
}

static bool
feed_fields(struct pn_dkim_check *check, struct pn_fields fields)
{
	size_t at = 0;

	dkim_feed_init(&check->feed, check->dkim);
	for (size_t i = 0; i < fields.n; i++) {
		if (is_signature(&fields.v[i])) {
			if (at == check->list.n || check->list.v[at++].result != PN_DKIM_NONE)
				continue;
			check->known[check->known_n++].signature = &check->list.v[at - 1];
		}
		dkim_feed_field(&check->feed, &fields.v[i]);
	}
	return dkim_feed_eoh(&check->feed);
}

static bool
is_open(const struct pn_dkim_check *check)
{
	for (size_t i = 0; i < check->list.n; i++)
		if (check->list.v[i].result == PN_DKIM_NONE)
			return true;
	return false;
}

struct pn_dkim_check *
pn_dkim_check_new(struct pn_dkim_verifier *verifier, struct pn_fields fields, struct pn_str from, int64_t now,
    struct pn_arena *arena)
{
	struct pn_dkim_check *check = PN_ARENA_NEW(arena, struct pn_dkim_check);
	const struct pn_dkim_limits limits = { .now = now, .drift = verifier->policy.clock_drift };
	const char *trouble = dkim_feed_refuses(fields);
	DKIM_STAT stat;

	check->verifier = verifier;
	check->arena = arena;
	check->from = from;
	read_signatures(check, fields, &limits);
	if (trouble != NULL)
		decide_rest(check, PN_DKIM_NEUTRAL, pn_str_c(trouble));
	choose(check, from);
	judge_others(check);
	if (!is_open(check))
		return check;
	check->dkim = dkim_verify(verifier->lib, (const unsigned char *)"-", NULL, &stat);
	if (check->dkim == NULL)
		pn_out_of_memory();
	(void)dkim_set_user_context(check->dkim, check);
	if (!feed_fields(check, fields))
		decide_rest(check, PN_DKIM_NEUTRAL, PN_STR("the header cannot be processed"));
	return check;
}

void
pn_dkim_check_free(struct pn_dkim_check *check)
{
	if (check != NULL && check->dkim != NULL)
		(void)dkim_free(check->dkim);
}

/* -- the body -- */

bool
pn_dkim_check_wants_body(const struct pn_dkim_check *check)
{
	return is_open(check);
}

void
pn_dkim_check_body(struct pn_dkim_check *check, struct pn_str chunk)
{
	if (is_open(check))
		dkim_feed_body(&check->feed, chunk);
}

/* -- the keys -- */

struct pn_strs
pn_dkim_check_keys(const struct pn_dkim_check *check)
{
	struct pn_strs_builder names = { .arena = check->arena };

	for (size_t i = 0; i < check->known_n; i++)
		if (check->known[i].signature->result == PN_DKIM_NONE
		    && nearness(check->known[i].signature, check->from) > 0)
			pn_strs_add(&names, pn_arena_printf(check->arena, PN_STR_FMT "._domainkey." PN_STR_FMT,
			    PN_STR_ARG(check->known[i].signature->selector),
			    PN_STR_ARG(check->known[i].signature->domain)));
	return names.list;
}

static bool
same_key(const struct pn_dkim_signature *a, const struct pn_dkim_signature *b)
{
	return pn_str_eq(a->domain, b->domain) && pn_str_eq_nocase(a->selector, b->selector);
}

/* Asked once for each key. */
static void
find_record(struct pn_dkim_check *check, struct candidate *c, const struct pn_dns *dns)
{
	for (const struct candidate *earlier = check->known; earlier < c; earlier++)
		if (earlier->asked && same_key(earlier->signature, c->signature)) {
			c->asked = true;
			c->found = earlier->found;
			c->record = earlier->record;
			c->why = earlier->why;
			return;
		}
	c->asked = true;
	c->found = pn_dkim_record_find(dns, c->signature->domain, c->signature->selector, check->arena,
	    &c->record, &c->why);
}

/* May it be verified with this key?  What the library would not mind. */
static void
judge_record(struct pn_dkim_check *check, struct candidate *c)
{
	struct pn_dkim_signature *signature = c->signature;

	signature->testing = c->found == PN_OK && c->record.testing;
	if (c->found != PN_OK)
		decide(signature, c->found == PN_TEMPFAIL ? PN_DKIM_TEMPERROR : PN_DKIM_PERMERROR,
		    pn_arena_dup(check->arena, pn_str_head(pn_str_c(c->why.text), REASON_SIZE)));
	else if (c->record.key.n > KEY_SIZE)
		decide(signature, PN_DKIM_PERMERROR, PN_STR("the key is too large"));
	else if (!pn_str_starts(signature->algorithm, pn_str_c(pn_dkim_key_type_name(c->record.type))))
		decide(signature, PN_DKIM_PERMERROR, PN_STR("the key is of another type"));
	else if (c->record.testing && !check->verifier->policy.accept_testing)
		decide(signature, PN_DKIM_POLICY, PN_STR("the key is only tested (t=y)"));
}

/* The author's own first: others may use up the time. */
static void
find_records(struct pn_dkim_check *check, const struct pn_dns *dns)
{
	for (int near = 2; near >= 0; near--)
		for (size_t i = 0; i < check->known_n; i++) {
			struct candidate *c = &check->known[i];

			if (c->signature->result != PN_DKIM_NONE || nearness(c->signature, check->from) != near)
				continue;
			find_record(check, c, dns);
			judge_record(check, c);
		}
}

/* -- what came of it -- */

static void
judge_key(struct pn_dkim_check *check, struct pn_dkim_signature *signature)
{
	bool rsa = pn_str_starts(signature->algorithm, PN_STR("rsa"));

	if (rsa && signature->key_bits < check->verifier->policy.min_rsa_bits)
		decide(signature, PN_DKIM_POLICY, pn_arena_printf(check->arena,
		    "an RSA key of %u bits is too small", signature->key_bits));
	else
		decide(signature, PN_DKIM_PASS, PN_STR_EMPTY);
}

/* The library's verdict; what it passes must have a large enough key. */
static void
judge(struct pn_dkim_check *check, struct candidate *c)
{
	struct pn_dkim_signature *signature = c->signature;
	int error = dkim_sig_geterror(c->sig), bh = dkim_sig_getbh(c->sig);
	const char *text = dkim_sig_geterrorstr(error);

	(void)dkim_sig_getkeysize(c->sig, &signature->key_bits);
	if (error == DKIM_SIGERROR_OK && DKIM_SIG_CHECK(c->sig))
		judge_key(check, signature);
	else if (error == DKIM_SIGERROR_BADSIG && bh == DKIM_SIGBH_MISMATCH)
		decide(signature, PN_DKIM_FAIL, PN_STR("the body was changed"));
	else if (error == DKIM_SIGERROR_BADSIG)
		decide(signature, PN_DKIM_FAIL, PN_STR("the header was changed, or the key is another one"));
	else if (error == DKIM_SIGERROR_KEYREVOKED)
		decide(signature, PN_DKIM_PERMERROR, PN_STR("the key is revoked"));
	else if (error == DKIM_SIGERROR_KEYDECODE)
		decide(signature, PN_DKIM_PERMERROR, PN_STR("the key cannot be used"));
	else if (error == DKIM_SIGERROR_SUBDOMAIN)
		decide(signature, PN_DKIM_PERMERROR, PN_STR("the key is not for subdomains (t=s)"));
	else
		decide(signature, PN_DKIM_NEUTRAL, pn_str_c(text != NULL ? text : "cannot be verified"));
}

struct pn_dkim_signatures
pn_dkim_check_end(struct pn_dkim_check *check, const struct pn_dns *dns)
{
	OSSL_LIB_CTX *before;

	if (!is_open(check))
		return check->list;
	if (dkim_feed_has_bare_cr(&check->feed))
		decide_rest(check, PN_DKIM_NEUTRAL, PN_STR("the body has a CR that ends no line"));
	find_records(check, dns);
	for (size_t i = 0; i < check->known_n; i++)
		if (check->known[i].signature->result != PN_DKIM_NONE)
			dkim_sig_ignore(check->known[i].sig);
	before = OSSL_LIB_CTX_set0_default(dkim_crypto());
	dkim_feed_eom(&check->feed);
	(void)OSSL_LIB_CTX_set0_default(before);
	for (size_t i = 0; i < check->known_n; i++)
		if (check->known[i].signature->result == PN_DKIM_NONE)
			judge(check, &check->known[i]);
	return check->list;
}
