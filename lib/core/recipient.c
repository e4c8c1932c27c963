#include "postern/recipient.h"

#include "postern/idn.h"
#include "postern/unicode.h"

/* One address of a managed domain while it is being classified. */
struct question {
	const struct pn_recipient_facts *facts;
	const struct pn_domain *domain;
	struct pn_str local;		/* lower-cased */
	struct pn_str domains[2];	/* as Odoo stored it (lower-cased), and as A-labels */
	struct pn_str full[2];		/* local@ each of them */
	size_t spellings;		/* 1 where both are the same */
	struct pn_arena *arena;
	struct pn_error *err;
};

const char *
pn_rcpt_kind_name(enum pn_rcpt_kind kind)
{
	switch (kind) {
	case PN_RCPT_FOREIGN: return "foreign";
	case PN_RCPT_BOUNCE: return "bounce";
	case PN_RCPT_CATCHALL: return "catchall";
	case PN_RCPT_DEFAULT_FROM: return "default_from";
	case PN_RCPT_ALIAS: return "alias";
	case PN_RCPT_RETIRED: return "retired";
	case PN_RCPT_ROLE: return "role";
	case PN_RCPT_UNKNOWN: return "unknown";
	}
	return "?";
}

/* Without <> and without a source route: "@a,@b:c@d" is c@d (RFC 5321 section
 * 4.1.2, appendix C), which is also where Postfix delivers it.  A colon inside
 * brackets belongs to a domain literal. */
struct pn_str
pn_recipient_bare(struct pn_str address)
{
	bool literal = false;

	if (address.n >= 2 && address.p[0] == '<' && address.p[address.n - 1] == '>')
		address = pn_str_n(address.p + 1, address.n - 2);
	if (address.n == 0 || address.p[0] != '@')
		return address;
	for (size_t i = 0; i < address.n; i++) {
		if (address.p[i] == '[' || address.p[i] == ']')
			literal = address.p[i] == '[';
		else if (address.p[i] == ':' && !literal)
			return pn_str_from(address, i + 1);
	}
	return address;
}

static bool
is_role(struct pn_str local)
{
	if (local.n > 2 && local.p[0] == '"' && local.p[local.n - 1] == '"')
		local = pn_str_n(local.p + 1, local.n - 2);	/* "postmaster"@ is the same mailbox */
	return pn_str_eq_nocase(local, PN_STR("postmaster")) || pn_str_eq_nocase(local, PN_STR("abuse"));
}

/* A quoted local part never matches (Odoo rule 6.2), and a second @ can only be
 * one that lost its quotes. */
static bool
can_match(struct pn_str local)
{
	return pn_str_find(local, '"') == PN_STR_NONE && pn_str_find(local, '\\') == PN_STR_NONE
	    && pn_str_find(local, '@') == PN_STR_NONE;
}

/* Copied byte by byte: a NUL in the local part must not end it. */
static struct pn_str
join(struct pn_str local, struct pn_str domain, struct pn_arena *arena)
{
	size_t n = local.n + 1 + domain.n;
	char *p = pn_arena_alloc(arena, n);

	memcpy(p, local.p, local.n);
	p[local.n] = '@';
	memcpy(p + local.n + 1, domain.p, domain.n);
	return pn_str_n(p, n);
}

static struct question
new_question(const struct pn_recipient_facts *facts, const struct pn_domain *domain, struct pn_str local,
    struct pn_arena *arena, struct pn_error *err)
{
	struct question q = { .facts = facts, .domain = domain, .local = local, .arena = arena, .err = err };

	q.domains[0] = pn_text_lower(domain->name, arena);
	q.domains[1] = domain->ascii;
	q.spellings = pn_str_eq(q.domains[0], q.domains[1]) ? 1 : 2;
	for (size_t i = 0; i < q.spellings; i++)
		q.full[i] = join(local, q.domains[i], arena);
	return q;
}

/* What a port may answer, as what it means here.  A key that the store cannot
 * hold is in no table. */
static enum pn_status
port_status(const struct question *q, enum pn_status st, const char *what)
{
	switch (st) {
	case PN_OK:
		return PN_OK;
	case PN_NOT_FOUND:
	case PN_INVALID:
		return PN_NOT_FOUND;
	case PN_TEMPFAIL:
	case PN_LIMIT:
		break;
	}
	return pn_fail(q->err, PN_TEMPFAIL, "the %s of gateway \"" PN_STR_FMT "\" cannot be read now", what,
	    PN_STR_ARG(q->domain->gateway->name));
}

/* The addresses that every alias domain has.  Compared as Odoo does, exactly. */
static bool
find_special(const struct question *q, enum pn_rcpt_kind *kind)
{
	const struct pn_gateway *gateway = q->domain->gateway;

	for (size_t i = 0; i < q->spellings; i++) {
		if (pn_gateway_bounce(gateway, q->full[i]) != NULL)
			*kind = PN_RCPT_BOUNCE;
		else if (pn_gateway_catchall(gateway, q->full[i]) != NULL)
			*kind = PN_RCPT_CATCHALL;
		else if (pn_gateway_default_from(gateway, q->full[i]) != NULL)
			*kind = PN_RCPT_DEFAULT_FROM;
		else
			continue;
		return true;
	}
	return false;
}

static bool
may_match_by_local(const struct question *q)
{
	for (size_t i = 0; i < q->spellings; i++)
		if (pn_gateway_local_counts(q->domain->gateway, q->domains[i]))
			return true;
	return false;
}

static enum pn_status
find_alias(const struct question *q, struct pn_rcpt *out)
{
	struct pn_alias_source source = q->facts->aliases(q->facts->ctx, q->domain->gateway);
	struct pn_aliases found = { 0 };
	enum pn_status st = PN_NOT_FOUND;
	bool by_full = true;

	for (size_t i = 0; i < q->spellings && st == PN_NOT_FOUND; i++)
		st = port_status(q, source.by_full(source.ctx, q->full[i], q->arena, &found), "alias table");
	if (st == PN_NOT_FOUND && may_match_by_local(q)) {
		by_full = false;
		st = port_status(q, source.by_local(source.ctx, q->local, q->arena, &found), "alias table");
	}
	if (st != PN_OK)
		return st;
	if (found.n == 0)
		return PN_NOT_FOUND;
	out->kind = PN_RCPT_ALIAS;
	out->alias = by_full ? found.v[0].full : found.v[0].local;
	out->model = found.v[0].model;
	for (size_t i = 0; i < found.n; i++)
		out->asks_proof = out->asks_proof || pn_alias_asks_proof(q->domain->gateway, &found.v[i]);
	return PN_OK;
}

static enum pn_status
find_retired(const struct question *q, struct pn_rcpt *out)
{
	enum pn_status st = PN_NOT_FOUND;

	for (size_t i = 0; i < q->spellings && st == PN_NOT_FOUND; i++)
		st = port_status(q, q->facts->retired(q->facts->ctx, q->domain->gateway, q->full[i], q->arena,
		    &out->successor), "table of retired addresses");
	if (st == PN_OK)
		out->kind = PN_RCPT_RETIRED;
	return st;
}

/* Odoo's answer is unknown only in the sense of this domain's policy. */
static enum pn_rcpt_answer
answer_unknown(const struct question *q, bool may_reject)
{
	switch (q->domain->unknown) {
	case PN_UNKNOWN_PASS:
		return PN_RCPT_PASS;
	case PN_UNKNOWN_REJECT:
		if (may_reject && q->facts->complete(q->facts->ctx, q->domain->gateway))
			return PN_RCPT_REJECT;
		return PN_RCPT_OURS;
	case PN_UNKNOWN_HAND_OVER:
		break;
	}
	return PN_RCPT_OURS;
}

/* bounce | catchall | default_from | alias | role | retired | unknown */
static enum pn_status
classify(const struct question *q, struct pn_rcpt *out)
{
	bool matches = can_match(q->local);
	enum pn_status st = PN_NOT_FOUND;

	out->answer = PN_RCPT_OURS;
	if (matches && find_special(q, &out->kind))
		return PN_OK;
	if (matches)
		st = find_alias(q, out);
	if (st == PN_NOT_FOUND && is_role(q->local)) {
		out->kind = PN_RCPT_ROLE;
		out->human = q->domain->human;
		if (out->human.n == 0)
			out->answer = answer_unknown(q, false);
		return PN_OK;
	}
	if (st == PN_NOT_FOUND && matches)
		st = find_retired(q, out);
	if (st != PN_NOT_FOUND)
		return st;
	out->kind = PN_RCPT_UNKNOWN;
	out->answer = answer_unknown(q, true);
	return PN_OK;
}

static enum pn_status
fail_no_address(struct pn_error *err, struct pn_str address)
{
	address = pn_str_head(address, 200);
	return pn_fail(err, PN_INVALID, "\"" PN_STR_FMT "\" is no address", PN_STR_ARG(address));
}

enum pn_status
pn_recipient_classify(const struct pn_directory *directory, const struct pn_recipient_facts *facts,
    struct pn_str address, struct pn_arena *arena, struct pn_rcpt *out, struct pn_error *err)
{
	struct pn_str bare = pn_recipient_bare(address), local, ascii;
	size_t at = pn_str_find_last(bare, '@');
	struct pn_rcpt rcpt = { .kind = PN_RCPT_FOREIGN, .answer = PN_RCPT_PASS, .alias = PN_STR_EMPTY,
		.model = PN_STR_EMPTY, .successor = PN_STR_EMPTY, .human = PN_STR_EMPTY };
	struct question q;
	enum pn_status st;

	if (at == PN_STR_NONE && pn_str_eq_nocase(bare, PN_STR("postmaster"))) {
		rcpt.address = pn_arena_lower(arena, bare);
		*out = rcpt;
		return PN_OK;
	}
	if (at == PN_STR_NONE || at == 0
	    || pn_domain_to_ascii(pn_str_from(bare, at + 1), arena, &ascii) != PN_OK)
		return fail_no_address(err, address);
	local = pn_text_lower(pn_str_head(bare, at), arena);
	rcpt.address = join(local, ascii, arena);
	rcpt.domain = pn_directory_domain(directory, ascii);
	if (rcpt.domain != NULL) {
		rcpt.gateway = rcpt.domain->gateway;
		q = new_question(facts, rcpt.domain, local, arena, err);
		st = classify(&q, &rcpt);
		if (st != PN_OK)
			return st;
	}
	*out = rcpt;
	return PN_OK;
}
