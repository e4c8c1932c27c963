/* The input is a client, a sender, and a world: lines of TXT records and of answers, given in turn to
 * whatever is asked.  Whatever they say, the limits of RFC 7208 hold, and what is shown is printable. */
#include <stdlib.h>

#include "postern/spf.h"

enum { ANSWERS_MAX = 64 };

struct world {
	struct pn_str rest;	/* what was not yet answered; begins again at its end */
	struct pn_str all;
	unsigned questions;
};

static struct pn_str
next_line(struct world *world)
{
	struct pn_str line;

	if (world->rest.p == NULL || world->rest.n == 0)
		world->rest = world->all;
	(void)pn_str_split(&world->rest, '\n', &line);
	return line;
}

/* A line "!..." is a failure, "-..." nothing; else "|" stands between the records. */
static enum pn_status
query(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena, struct pn_dns_answer *out,
    struct pn_error *err)
{
	struct world *world = ctx;
	struct pn_strs_builder records = { .arena = arena };
	struct pn_str line, record;

	if (!pn_dns_name(name, &name))
		return pn_fail(err, PN_INVALID, "no name");
	world->questions++;
	line = next_line(world);
	*out = (struct pn_dns_answer){ .nxdomain = true };
	if (pn_str_starts(line, PN_STR("!")))
		return pn_fail(err, PN_TEMPFAIL, "failed");
	if (pn_str_starts(line, PN_STR("-")))
		return pn_fail(err, PN_NOT_FOUND, "nothing");
	while (records.list.n < ANSWERS_MAX && pn_str_split(&line, '|', &record))
		if (type != PN_DNS_A && type != PN_DNS_AAAA)
			pn_strs_add(&records, pn_arena_dup(arena, record));
		else if (record.n == (type == PN_DNS_A ? 4 : 16))
			pn_strs_add(&records, pn_arena_dup(arena, record));
	out->records = records.list;
	return records.list.n > 0 ? PN_OK : pn_fail(err, PN_NOT_FOUND, "nothing");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_arena *arena = pn_arena_new(16 * 1024 * 1024);
	struct world world = { .questions = 0 };
	struct pn_dns dns = { .ctx = &world, .query = query };
	struct pn_spf_question question = { .client = { [10] = 0xff, 0xff, 'A', 'B', 'C', 'D' },
		.explain = true };
	struct pn_spf_answer answer;
	struct pn_str rest = pn_str_n((const char *)data, size);

	if (size > 0 && (data[0] & 1) != 0)
		memcpy(question.client, "ABCDEFGHIJKLMNOP", sizeof(question.client));
	rest = pn_str_from(rest, 1);
	if (!pn_str_split(&rest, '\n', &question.sender) || !pn_str_split(&rest, '\n', &question.helo))
		question.helo = PN_STR("helo.test");
	world.all = rest.p == NULL ? PN_STR_EMPTY : rest;
	world.rest = world.all;
	pn_spf_check(&question, &dns, arena, &answer);
	if (answer.voids > 3 || answer.lookups > 11 || world.questions > 1 + 10 * 11 + 11 + 1)
		abort();
	if (answer.result == PN_SPF_PASS && answer.term.n == 0)
		abort();
	if (answer.explanation.n > 0 && answer.result != PN_SPF_FAIL)
		abort();
	for (size_t i = 0; i < answer.reason.n; i++)
		if (answer.reason.p[i] < ' ' || answer.reason.p[i] > '~')
			abort();
	pn_arena_free(arena);
	return 0;
}
