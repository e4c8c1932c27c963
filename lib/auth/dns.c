#include "postern/dns.h"

#include "postern/clock.h"

enum { LABEL_MAX = 63, NAME_MAX_BYTES = 253 };

const char *
pn_dns_type_name(enum pn_dns_type type)
{
	switch (type) {
	case PN_DNS_A: return "A";
	case PN_DNS_NS: return "NS";
	case PN_DNS_PTR: return "PTR";
	case PN_DNS_MX: return "MX";
	case PN_DNS_TXT: return "TXT";
	case PN_DNS_AAAA: return "AAAA";
	}
	return "?";
}

bool
pn_dns_name(struct pn_str name, struct pn_str *out)
{
	struct pn_str rest, label;

	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n == 0 || name.n > NAME_MAX_BYTES)
		return false;
	rest = name;
	while (pn_str_split(&rest, '.', &label))
		if (label.n == 0 || label.n > LABEL_MAX)
			return false;
	*out = name;
	return true;
}

static enum pn_status
budget_query_until(void *ctx, struct pn_str name, enum pn_dns_type type, int64_t deadline,
    struct pn_arena *arena, struct pn_dns_answer *out, struct pn_error *err)
{
	struct pn_dns_budget *budget = ctx;
	const struct pn_dns *below = &budget->below;
	enum pn_status st;

	if (!pn_dns_name(name, &name))
		return pn_fail(err, PN_INVALID, "no name that can be asked for");
	if (budget->questions_left == 0)
		return pn_fail(err, PN_LIMIT, "too many DNS questions for one message");
	if (deadline > budget->deadline)
		deadline = budget->deadline;
	if (pn_clock_mono_us() >= deadline)
		return pn_fail(err, PN_LIMIT, "the time for DNS questions is used up");
	budget->questions_left--;
	budget->questions++;
	st = below->query_until == NULL ? below->query(below->ctx, name, type, arena, out, err)
	    : below->query_until(below->ctx, name, type, deadline, arena, out, err);
	if (st == PN_NOT_FOUND)
		budget->voids++;
	return st;
}

static enum pn_status
budget_query(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
    struct pn_dns_answer *out, struct pn_error *err)
{
	return budget_query_until(ctx, name, type, INT64_MAX, arena, out, err);
}

void
pn_dns_budget_init(struct pn_dns_budget *budget, struct pn_dns below, unsigned questions, int64_t deadline)
{
	*budget = (struct pn_dns_budget){ .below = below, .questions_left = questions, .deadline = deadline };
}

struct pn_dns
pn_dns_budget_port(struct pn_dns_budget *budget)
{
	return (struct pn_dns){ .ctx = budget, .query = budget_query, .query_until = budget_query_until };
}
