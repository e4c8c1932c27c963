#include "dmarc_tree.h"

#include "postern/idn.h"

/* One author domain being evaluated. */
struct evaluation {
	const struct pn_dmarc_question *question;
	struct dmarc_lookups *lookups;
	const struct dmarc_entry *found;	/* the record that applies */
	const struct pn_str *domains;		/* of the identifiers, as A-labels; "" = none */
	enum pn_dmarc_alignment *alignments;
	bool passed;		/* an identifier that passed is aligned */
	bool in_doubt;		/* one that may be is not known */
	bool walked;		/* organisational is the end of a walk */
	struct pn_dmarc *out;
};

const char *
pn_dmarc_result_name(enum pn_dmarc_result result)
{
	static const char *const names[] = { "none", "pass", "fail", "temperror", "permerror" };

	return names[result];
}

const char *
pn_dmarc_policy_name(enum pn_dmarc_policy policy)
{
	static const char *const names[] = { "", "none", "quarantine", "reject" };

	return names[policy];
}

static struct pn_dmarc
nothing_to_say(struct pn_str author, const enum pn_dmarc_alignment *alignments)
{
	return (struct pn_dmarc){ .disposition = PN_DMARC_NONE, .author = author,
	    .policy_domain = PN_STR_EMPTY, .organisational = author, .alignments = alignments };
}

static void
end(struct pn_dmarc *out, enum pn_dmarc_result result, const char *reason)
{
	out->result = result;
	out->reason = reason;
}

/* -- the record ------------------------------------------------------------------------ */

/* RFC 7489 section 6.6.3 */
static enum pn_status
discover_psl(struct evaluation *e)
{
	struct pn_str author = e->out->author, org = pn_psl_organisational(e->question->psl, author);

	if (org.n == 0)
		org = author;	/* a public suffix stands alone */
	e->out->organisational = org;
	e->found = dmarc_lookup(e->lookups, author);
	if (e->found->status == PN_NOT_FOUND && !e->found->several && !pn_str_eq(org, author))
		e->found = dmarc_lookup(e->lookups, org);
	return e->found->status;
}

static enum pn_status
walk_author(struct evaluation *e, struct dmarc_walk *walk)
{
	enum pn_status status = dmarc_walk(e->lookups, e->out->author, walk);

	e->walked = status == PN_OK;
	if (status == PN_OK)
		e->out->organisational = walk->organisational;
	return status;
}

/* RFC 9989 section 4.10.1 */
static enum pn_status
discover_tree(struct evaluation *e)
{
	struct dmarc_walk walk;
	enum pn_status status;

	e->found = dmarc_lookup(e->lookups, e->out->author);
	if (e->found->status != PN_NOT_FOUND)
		return e->found->status;
	status = walk_author(e, &walk);
	if (status != PN_OK)
		return status;
	e->found = walk.record;
	return walk.record == NULL ? PN_NOT_FOUND : PN_OK;
}

/* -- alignment ------------------------------------------------------------------------- */

static void
set_alignment(struct evaluation *e, size_t i, enum pn_dmarc_alignment alignment)
{
	e->alignments[i] = alignment;
	if (alignment == PN_DMARC_UNASKED || (alignment != PN_DMARC_UNALIGNED
	    && e->question->identifiers[i].unsure))
		e->in_doubt = true;
	else if (alignment != PN_DMARC_UNALIGNED)
		e->passed = true;
}

static bool
wants_strict(const struct evaluation *e, size_t i)
{
	return e->question->identifiers[i].dkim ? e->found->record.strict_dkim : e->found->record.strict_spf;
}

static bool
is_at_or_below(struct pn_str domain, struct pn_str top)
{
	return pn_str_ends(domain, top)
	    && (domain.n == top.n || domain.p[domain.n - top.n - 1] == '.');
}

static struct pn_str
top_label(struct pn_str domain)
{
	size_t dot = pn_str_find_last(domain, '.');

	return dot == PN_STR_NONE ? domain : pn_str_from(domain, dot + 1);
}

/* Walks only where the answer can be yes: the identifier has to be in the author's organisation. */
static enum pn_dmarc_alignment
relaxed_by_tree(struct evaluation *e, struct pn_str domain)
{
	struct dmarc_walk walk;

	if (!pn_str_eq(top_label(domain), top_label(e->out->author)))
		return PN_DMARC_UNALIGNED;
	if (!e->walked && walk_author(e, &walk) != PN_OK)
		return PN_DMARC_UNASKED;
	if (!is_at_or_below(domain, e->out->organisational))
		return PN_DMARC_UNALIGNED;
	if (dmarc_walk(e->lookups, domain, &walk) != PN_OK)
		return PN_DMARC_UNASKED;
	return pn_str_eq(walk.organisational, e->out->organisational) ? PN_DMARC_RELAXED : PN_DMARC_UNALIGNED;
}

static enum pn_dmarc_alignment
relaxed(struct evaluation *e, struct pn_str domain)
{
	if (e->question->mode == PN_DMARC_TREE)
		return relaxed_by_tree(e, domain);
	return pn_str_eq(pn_psl_organisational(e->question->psl, domain), e->out->organisational)
	    ? PN_DMARC_RELAXED : PN_DMARC_UNALIGNED;
}

/* The same domain first: most mails need no more than that. */
static void
align(struct evaluation *e)
{
	for (size_t i = 0; i < e->question->identifier_count; i++)
		if (e->domains[i].n > 0 && pn_str_eq(e->domains[i], e->out->author))
			set_alignment(e, i, PN_DMARC_STRICT);
	for (size_t i = 0; i < e->question->identifier_count; i++) {
		if (e->domains[i].n == 0 || e->alignments[i] == PN_DMARC_STRICT || wants_strict(e, i))
			continue;
		if (e->passed && e->question->mode == PN_DMARC_TREE)
			e->alignments[i] = PN_DMARC_UNASKED;
		else
			set_alignment(e, i, relaxed(e, e->domains[i]));
	}
}

/* -- the policy -------------------------------------------------------------------------- */

static enum pn_status
choose_policy(struct evaluation *e)
{
	const struct pn_dmarc_record *record = &e->found->record;
	struct pn_dmarc *out = e->out;
	bool exists = true;

	out->policy = record->p;
	if (pn_str_eq(out->author, out->policy_domain))
		return PN_OK;
	if (record->sp != PN_DMARC_UNSET)
		out->policy = record->sp;
	if (record->np == PN_DMARC_UNSET || record->np == out->policy || e->passed)
		return PN_OK;
	if (dmarc_exists(e->lookups, out->author, &exists) != PN_OK)
		return PN_TEMPFAIL;
	if (!exists)
		out->policy = record->np;
	return PN_OK;
}

static enum pn_dmarc_policy
milder(enum pn_dmarc_policy policy)
{
	return policy == PN_DMARC_REJECT ? PN_DMARC_QUARANTINE : PN_DMARC_NONE;
}

static void
refuse(struct evaluation *e)
{
	const struct pn_dmarc_record *record = &e->found->record;
	struct pn_dmarc *out = e->out;

	end(out, PN_DMARC_FAIL, "no aligned identifier passed");
	out->disposition = out->policy;
	if (out->policy != PN_DMARC_NONE
	    && (e->question->mode == PN_DMARC_TREE ? record->testing : e->question->roll >= record->pct)) {
		out->disposition = milder(out->policy);
		out->reason = record->testing ? "no aligned identifier passed; the domain is testing (t=y)"
		    : "no aligned identifier passed; not among the mails of pct=";
	}
}

static void
judge(struct evaluation *e)
{
	const struct pn_dmarc_record *record = &e->found->record;
	struct pn_dmarc *out = e->out;
	enum pn_status status;

	out->policy_domain = e->found->domain;
	if (!record->usable) {
		end(out, PN_DMARC_PERMERROR, "the record has no valid policy");
		return;
	}
	out->p = record->p;
	out->sp = record->sp;
	out->np = record->np;
	align(e);
	status = choose_policy(e);
	if (e->passed)
		end(out, PN_DMARC_PASS, "an aligned identifier passed");
	else if (e->in_doubt)
		end(out, PN_DMARC_TEMPERROR, "an identifier that may be aligned could not be checked");
	else if (status != PN_OK)
		end(out, PN_DMARC_TEMPERROR, "the DNS does not tell whether the domain exists");
	else
		refuse(e);
}

static void
evaluate(const struct pn_dmarc_question *question, const struct pn_str *domains,
    struct dmarc_lookups *lookups, struct pn_str author, struct pn_dmarc *out)
{
	struct evaluation e = { .question = question, .lookups = lookups, .domains = domains, .out = out };
	enum pn_status status;

	e.alignments = PN_ARENA_ARRAY(lookups->arena, enum pn_dmarc_alignment, question->identifier_count);
	*out = nothing_to_say(author, e.alignments);
	status = question->mode == PN_DMARC_PSL ? discover_psl(&e) : discover_tree(&e);
	if (status == PN_OK)
		judge(&e);
	else if (status == PN_TEMPFAIL)
		end(out, PN_DMARC_TEMPERROR, "the DNS does not tell whether there is a record");
	else
		end(out, PN_DMARC_RESULT_NONE, "no record");
}

/* -- one author or several ---------------------------------------------------------------- */

/* What protects the author more; behind a temperror any policy may hide. */
static bool
is_stricter(const struct pn_dmarc *a, const struct pn_dmarc *b)
{
	static const unsigned char weight[] = { [PN_DMARC_RESULT_NONE] = 0, [PN_DMARC_PASS] = 1,
	    [PN_DMARC_PERMERROR] = 2, [PN_DMARC_FAIL] = 3, [PN_DMARC_TEMPERROR] = 4 };

	return a->disposition != b->disposition ? a->disposition > b->disposition
	    : weight[a->result] > weight[b->result];
}

static void
evaluate_all(const struct pn_dmarc_question *question, const struct pn_str *domains,
    struct dmarc_lookups *lookups, struct pn_dmarc *out)
{
	const struct pn_from_identity *from = &question->from;

	for (size_t i = 0; i < from->domains.n; i++) {
		struct pn_dmarc one;

		evaluate(question, domains, lookups, from->domains.v[i], &one);
		if (i == 0 || is_stricter(&one, out))
			*out = one;
	}
	if (from->more && out->result != PN_DMARC_FAIL)
		end(out, PN_DMARC_PERMERROR, "too many author domains");
	else if (out->result == PN_DMARC_PASS)
		end(out, PN_DMARC_RESULT_NONE, from->why);
}

void
pn_dmarc_evaluate(const struct pn_dmarc_question *question, struct pn_arena *arena, struct pn_dmarc *out)
{
	struct dmarc_lookups lookups = { .dns = question->dns, .mode = question->mode, .arena = arena };
	size_t n = question->identifier_count;
	struct pn_str *domains = PN_ARENA_ARRAY(arena, struct pn_str, n);

	for (size_t i = 0; i < n; i++)
		if (pn_domain_to_ascii(question->identifiers[i].domain, arena, &domains[i]) != PN_OK)
			domains[i] = PN_STR_EMPTY;
	if (question->from.domains.n == 0) {
		*out = nothing_to_say(PN_STR_EMPTY, PN_ARENA_ARRAY(arena, enum pn_dmarc_alignment, n));
		out->reason = "no author domain";
	} else if (question->from.one) {
		evaluate(question, domains, &lookups, question->from.domains.v[0], out);
	} else {
		evaluate_all(question, domains, &lookups, out);
	}
	out->queries = lookups.queries;
}
