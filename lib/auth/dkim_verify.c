#include <opendkim/dkim.h>
#include <stdlib.h>

#include "dkim_canon.h"
#include "dkim_public_keys.h"
#include "dkim_signature.h"
#include "dkim_tags.h"
#include "postern/dkim_key.h"
#include "postern/dkim_sign.h"

enum {
	FIELDS_MAX = 2000,
	FIELDS_SIZE = 1024 * 1024,
	SIGNATURE_SIZE = 32 * 1024,	/* libopendkim gives the whole mail up at 64 kB */
	KEY_SIZE = 1000,
	REASON_SIZE = 200,
};

/* The library has a clock of its own; ours has decided already.  More than t= would wrap around. */
static const uint64_t any_time = 1000000000;

struct pn_dkim_verifier {
	DKIM_LIB *lib;
	struct dkim_public_keys *keys;
	struct pn_dkim_policy policy;
};

/* A signature the library knows of. */
struct candidate {
	struct pn_dkim_signature *signature;
	const struct pn_dkim_claim *claim;
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
	struct pn_dkim_signatures list;
	struct pn_dkim_claim *claims;	/* of each of them */
	struct candidate known[PN_DKIM_CHECKED];
	size_t known_n;
	struct pn_dkim_body *bodies[2];	/* simple, relaxed; NULL: no signature wants it */
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
	for (size_t i = 0; i < check->known_n; i++) {
		check->known[i].sig = sigs[i];
		if (check->known[i].signature->result != PN_DKIM_NONE)
			dkim_sig_ignore(sigs[i]);
	}
	return DKIM_CBSTAT_CONTINUE;
}

/* It canonicalises and hashes the header; keys are asked for and decoded here, where they are kept. */
static DKIM_CBSTAT
on_key(DKIM *dkim, DKIM_SIGINFO *sig, u_char *buf, size_t size)
{
	(void)dkim;
	(void)sig;
	(void)buf;
	(void)size;
	return DKIM_CBSTAT_ERROR;
}

struct pn_dkim_verifier *
pn_dkim_verifier_new(const struct pn_dkim_policy *policy)
{
	struct pn_dkim_verifier *verifier = calloc(1, sizeof(*verifier));
	unsigned flags = DKIM_LIBFLAGS_DELAYSIGPROC | DKIM_LIBFLAGS_BADSIGHANDLES, any_size = 0;
	uint64_t drift = any_time;

	if (verifier == NULL || (verifier->lib = dkim_init(NULL, NULL)) == NULL)
		pn_out_of_memory();
	verifier->keys = dkim_public_keys_new();
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
	dkim_public_keys_free(verifier->keys);
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
	check->claims = PN_ARENA_ARRAY(check->arena, struct pn_dkim_claim, n);
	for (size_t i = 0; check->list.n < n; i++) {
		struct pn_dkim_signature *signature = &check->list.v[check->list.n];

		if (!is_signature(&fields.v[i]))
			continue;
		pn_dkim_signature_read(pn_str_head(fields.v[i].raw, SIGNATURE_SIZE), limits, check->arena,
		    signature, &check->claims[check->list.n]);
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

/* NULL, or why no signature over such fields can be verified. */
static const char *
judge_fields(struct pn_fields fields)
{
	size_t size = 0;

	if (fields.n > FIELDS_MAX)
		return "too many header fields";
	for (size_t i = 0; i < fields.n; i++) {
		size += fields.v[i].name.n + fields.v[i].raw.n + 3;
		/* the library would verify what stands before it only */
		if (pn_str_find(fields.v[i].raw, '\0') != PN_STR_NONE)
			return "a header field has a NUL";
	}
	return size > FIELDS_SIZE ? "the header is too large" : NULL;
}

static bool
is_field_name(struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~')
			return false;
	return name.n > 0;
}

static void
feed_field(struct pn_dkim_check *check, const struct pn_field *field, struct pn_buf *buf)
{
	pn_buf_reset(buf);
	pn_dkim_canon_field(field, false, buf);
	(void)dkim_header(check->dkim, (u_char *)buf->p, buf->n - 2);
}

/* Signatures that are not well formed stay away from the library, which reads beyond them; and when there are
 * many, all that are not verified, for each of which it would hash.  A signature over such a field fails. */
static bool
is_fit(const struct pn_dkim_check *check, const struct pn_dkim_signature *signature)
{
	bool few = check->list.n + check->list.unlisted <= PN_DKIM_CHECKED;

	return signature->result == PN_DKIM_NONE || (few && signature->result == PN_DKIM_POLICY);
}

static void
feed_fields(struct pn_dkim_check *check, struct pn_fields fields)
{
	struct pn_buf buf;
	size_t at = 0;

	pn_buf_init(&buf, 2 * FIELDS_SIZE);
	for (size_t i = 0; i < fields.n; i++) {
		if (is_signature(&fields.v[i])) {
			if (at == check->list.n || !is_fit(check, &check->list.v[at++]))
				continue;
			check->known[check->known_n].signature = &check->list.v[at - 1];
			check->known[check->known_n++].claim = &check->claims[at - 1];
		}
		if (is_field_name(fields.v[i].name))
			feed_field(check, &fields.v[i], &buf);
	}
	/* The library writes behind its table of fields when h= names all of them and one more.  No h= can
	 * name this one. */
	feed_field(check, &(struct pn_field){ PN_STR("x y"), PN_STR_EMPTY }, &buf);
	pn_buf_done(&buf);
}

static bool
is_open(const struct pn_dkim_check *check)
{
	for (size_t i = 0; i < check->list.n; i++)
		if (check->list.v[i].result == PN_DKIM_NONE)
			return true;
	return false;
}

static void
prepare_bodies(struct pn_dkim_check *check)
{
	for (size_t i = 0; i < check->known_n; i++) {
		bool relaxed = check->known[i].claim->relaxed_body;

		if (check->known[i].signature->result == PN_DKIM_NONE && check->bodies[relaxed] == NULL)
			check->bodies[relaxed] = pn_dkim_body_new(relaxed);
	}
}

struct pn_dkim_check *
pn_dkim_check_new(struct pn_dkim_verifier *verifier, struct pn_fields fields, struct pn_str from, int64_t now,
    struct pn_arena *arena)
{
	struct pn_dkim_check *check = PN_ARENA_NEW(arena, struct pn_dkim_check);
	const struct pn_dkim_limits limits = { .now = now, .drift = verifier->policy.clock_drift };
	const char *trouble = judge_fields(fields);
	DKIM_STAT stat;

	check->verifier = verifier;
	check->arena = arena;
	check->from = from;
	read_signatures(check, fields, &limits);
	if (trouble != NULL)
		decide_rest(check, PN_DKIM_NEUTRAL, pn_str_c(trouble));
	choose(check, from);
	if (!is_open(check))
		return check;
	check->dkim = dkim_verify(verifier->lib, (const unsigned char *)"-", NULL, &stat);
	if (check->dkim == NULL)
		pn_out_of_memory();
	(void)dkim_set_user_context(check->dkim, check);
	feed_fields(check, fields);
	if (dkim_eoh(check->dkim) != DKIM_STAT_OK)
		decide_rest(check, PN_DKIM_NEUTRAL, PN_STR("the header cannot be processed"));
	prepare_bodies(check);
	return check;
}

void
pn_dkim_check_free(struct pn_dkim_check *check)
{
	if (check == NULL)
		return;
	if (check->dkim != NULL)
		(void)dkim_free(check->dkim);
	pn_dkim_body_free(check->bodies[false]);
	pn_dkim_body_free(check->bodies[true]);
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
	for (size_t i = 0; i < PN_COUNT(check->bodies); i++)
		if (check->bodies[i] != NULL)
			pn_dkim_body_add(check->bodies[i], chunk);
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

/* May it be verified with this key? */
static void
judge_record(struct pn_dkim_check *check, struct candidate *c)
{
	struct pn_dkim_signature *signature = c->signature;
	struct pn_str type = pn_str_c(pn_dkim_key_type_name(c->record.type));

	signature->testing = c->found == PN_OK && c->record.testing;
	if (c->found != PN_OK)
		decide(signature, c->found == PN_TEMPFAIL ? PN_DKIM_TEMPERROR : PN_DKIM_PERMERROR,
		    pn_arena_dup(check->arena, pn_str_head(pn_str_c(c->why.text), REASON_SIZE)));
	else if (c->record.key.n == 0)
		decide(signature, PN_DKIM_PERMERROR, PN_STR("the key is revoked"));
	else if (c->record.key.n > KEY_SIZE)
		decide(signature, PN_DKIM_PERMERROR, PN_STR("the key is too large"));
	else if (!pn_str_starts(signature->algorithm, type))
		decide(signature, PN_DKIM_PERMERROR, PN_STR("the key is of another type"));
	else if (c->record.strict_identity
	    && !pn_str_eq_nocase(pn_dkim_identity_domain(signature), signature->domain))
		decide(signature, PN_DKIM_PERMERROR, PN_STR("the key is not for subdomains (t=s)"));
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
judge_hashes(struct pn_dkim_check *check, struct candidate *c, struct pn_str header, struct pn_str body)
{
	struct pn_dkim_signature *signature = c->signature;
	enum pn_status st = dkim_public_keys_verify(check->verifier->keys, &c->record, header, c->claim->signature,
	    check->arena, &signature->key_bits);

	if (st == PN_NOT_FOUND)
		decide(signature, PN_DKIM_PERMERROR, PN_STR("the key cannot be used"));
	else if (st != PN_OK)
		decide(signature, PN_DKIM_FAIL, PN_STR("the header was changed, or the key is another one"));
	else if (!pn_str_eq(c->claim->body_hash, body))
		decide(signature, PN_DKIM_FAIL, PN_STR("the body was changed"));
	else if (c->record.type == PN_DKIM_RSA && signature->key_bits < check->verifier->policy.min_rsa_bits)
		decide(signature, PN_DKIM_POLICY, pn_arena_printf(check->arena,
		    "an RSA key of %u bits is too small", signature->key_bits));
	else
		decide(signature, PN_DKIM_PASS, PN_STR_EMPTY);
}

/* Of a signature with an error of its own there are no hashes. */
static void
judge(struct pn_dkim_check *check, struct candidate *c, const struct pn_str *bodies)
{
	int error = dkim_sig_geterror(c->sig);
	const char *text = dkim_sig_geterrorstr(error);
	void *header, *body;		/* of the body it has seen nothing */
	size_t header_n, body_n;

	if (error != DKIM_SIGERROR_UNKNOWN
	    || dkim_sig_gethashes(c->sig, &header, &header_n, &body, &body_n) != DKIM_STAT_OK)
		decide(c->signature, PN_DKIM_NEUTRAL,
		    pn_str_c(error != DKIM_SIGERROR_UNKNOWN && text != NULL ? text : "cannot be verified"));
	else
		judge_hashes(check, c, pn_str_n(header, header_n), bodies[c->claim->relaxed_body]);
}

struct pn_dkim_signatures
pn_dkim_check_end(struct pn_dkim_check *check, const struct pn_dns *dns)
{
	unsigned char hashes[2][PN_DKIM_HASH_SIZE];
	struct pn_str bodies[2];

	if (!is_open(check))
		return check->list;
	find_records(check, dns);
	/* the library only ends its hashes */
	for (size_t i = 0; i < check->known_n; i++)
		dkim_sig_ignore(check->known[i].sig);
	(void)dkim_eom(check->dkim, NULL);
	for (size_t i = 0; i < PN_COUNT(bodies); i++) {
		bodies[i] = pn_str_n((const char *)hashes[i], PN_DKIM_HASH_SIZE);
		if (check->bodies[i] != NULL)
			pn_dkim_body_end(check->bodies[i], hashes[i]);
	}
	for (size_t i = 0; i < check->known_n; i++)
		if (check->known[i].signature->result == PN_DKIM_NONE)
			judge(check, &check->known[i], bodies);
	return check->list;
}
