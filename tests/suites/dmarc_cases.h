/* dmarc_cases.h - runs a file of DMARC cases (tests/data/dmarc/README.md). */
#ifndef POSTERN_TESTS_DMARC_CASES_H
#define POSTERN_TESTS_DMARC_CASES_H

#include <stdio.h>
#include <stdlib.h>

#include "postern/dmarc.h"
#include "postern/dns_zone.h"

enum {
	CASES_ARENA = 256 << 20, CASES_BYTES_MAX = 16 << 20, CASE_IDENTIFIERS = 16, CASE_FROMS = 8,
	CASE_COLUMNS = 6,	/* mode, result, disposition, policy domain, organisational domain,
	    questions */
};

struct dmarc_case {
	const char *path;
	const struct pn_psl *psl;
	struct pn_str name;
	struct pn_dns_zone *zone;
	struct pn_strs_builder common;		/* zone lines of the whole file */
	struct pn_field from[CASE_FROMS];
	size_t from_count;
	struct pn_dmarc_identifier identifiers[CASE_IDENTIFIERS];
	size_t identifier_count;
	unsigned roll, line, passed, failed;
};

static inline struct pn_str
case_join(struct pn_str text, struct pn_str more, struct pn_arena *arena)
{
	return pn_arena_printf(arena, PN_STR_FMT "%s" PN_STR_FMT, PN_STR_ARG(text), text.n > 0 ? " " : "",
	    PN_STR_ARG(more.n > 0 ? more : PN_STR("-")));
}

static inline struct pn_str
case_answer(const struct pn_dmarc *dmarc, size_t identifiers, struct pn_arena *arena)
{
	static const char *const alignments[] = { "unaligned", "relaxed", "strict", "unasked" };
	struct pn_str text = pn_str_c(pn_dmarc_result_name(dmarc->result));

	text = case_join(text, pn_str_c(pn_dmarc_policy_name(dmarc->disposition)), arena);
	text = case_join(text, dmarc->policy_domain, arena);
	text = case_join(text, dmarc->organisational, arena);
	text = case_join(text, pn_arena_printf(arena, "%u", dmarc->queries), arena);
	for (size_t i = 0; i < identifiers; i++)
		text = case_join(text, pn_str_c(alignments[dmarc->alignments[i]]), arena);
	return text;
}

static inline void
case_check(struct dmarc_case *c, enum pn_dmarc_mode mode, struct pn_strs want, struct pn_arena *arena)
{
	struct pn_dns dns = pn_dns_zone_port(c->zone);
	struct pn_dmarc_question question = { .mode = mode, .psl = c->psl, .dns = &dns,
	    .identifiers = c->identifiers, .identifier_count = c->identifier_count, .roll = c->roll };
	struct pn_str wanted = pn_strs_join(want, PN_STR(" "), arena), got = PN_STR("PN_LIMIT");
	struct pn_dmarc dmarc;

	if (pn_from_identity((struct pn_fields){ c->from, c->from_count }, arena, &question.from) == PN_OK) {
		pn_dmarc_evaluate(&question, arena, &dmarc);
		got = case_answer(&dmarc, c->identifier_count, arena);
	}
	if (pn_str_eq(got, wanted)) {
		c->passed++;
		return;
	}
	c->failed++;
	printf("%s:%u: " PN_STR_FMT " (%s)\n  want " PN_STR_FMT "\n  got  " PN_STR_FMT "\n", c->path, c->line,
	    PN_STR_ARG(c->name), mode == PN_DMARC_PSL ? "psl" : "tree", PN_STR_ARG(wanted), PN_STR_ARG(got));
}

static inline bool
case_zone(struct dmarc_case *c, struct pn_str line)
{
	struct pn_error err;

	if (pn_dns_zone_add(c->zone, line, &err) == PN_OK)
		return true;
	printf("%s:%u: %s\n", c->path, c->line, err.text);
	return false;
}

static inline bool
case_begin(struct dmarc_case *c, struct pn_str name)
{
	bool good = true;

	c->name = name;
	c->from_count = c->identifier_count = c->roll = 0;
	pn_dns_zone_free(c->zone);
	c->zone = pn_dns_zone_new();
	for (size_t i = 0; i < c->common.list.n; i++)
		good = case_zone(c, c->common.list.v[i]) && good;
	return good;
}

static inline bool
case_identifier(struct dmarc_case *c, struct pn_strs words)
{
	bool unsure = words.n == 3 && pn_str_eq(words.v[2], PN_STR("unsure"));

	if ((words.n != 2 && !unsure) || c->identifier_count == CASE_IDENTIFIERS)
		return false;
	c->identifiers[c->identifier_count++] = (struct pn_dmarc_identifier){ .domain = words.v[1],
	    .dkim = pn_str_eq(words.v[0], PN_STR("dkim")), .unsure = unsure };
	return true;
}

/* A line that is no record. */
static inline bool
case_words(struct dmarc_case *c, struct pn_strs words, struct pn_arena *arena)
{
	struct pn_strs want = { words.v + 1, words.n - 1 };
	struct pn_str key = words.v[0];
	uint64_t roll;

	if (pn_str_eq(key, PN_STR("from")) && words.n == 2 && c->from_count < CASE_FROMS) {
		c->from[c->from_count++] = (struct pn_field){ PN_STR("From"), words.v[1] };
		return true;
	}
	if (pn_str_eq(key, PN_STR("spf")) || pn_str_eq(key, PN_STR("dkim")))
		return case_identifier(c, words);
	if (pn_str_eq(key, PN_STR("roll")) && words.n == 2 && pn_str_to_u64(words.v[1], 99, &roll)) {
		c->roll = (unsigned)roll;
		return true;
	}
	if (words.n < CASE_COLUMNS)
		return false;
	if (pn_str_eq(key, PN_STR("psl")) || pn_str_eq(key, PN_STR("both")))
		case_check(c, PN_DMARC_PSL, want, arena);
	if (pn_str_eq(key, PN_STR("tree")) || pn_str_eq(key, PN_STR("both")))
		case_check(c, PN_DMARC_TREE, want, arena);
	return pn_str_eq(key, PN_STR("psl")) || pn_str_eq(key, PN_STR("tree")) || pn_str_eq(key,
	    PN_STR("both"));
}

static inline bool
case_line(struct dmarc_case *c, struct pn_str line, struct pn_arena *arena)
{
	struct pn_strs words;

	if (line.n == 0 || line.p[0] == '#')
		return true;
	if (pn_str_starts(line, PN_STR("common "))) {
		pn_strs_add(&c->common, pn_str_from(line, 7));
		return true;
	}
	if (pn_str_starts(line, PN_STR("case ")))
		return case_begin(c, pn_str_from(line, 5));
	if (c->zone == NULL)
		return false;
	if (pn_str_starts(line, PN_STR("zone ")))
		return case_zone(c, pn_str_from(line, 5));
	return pn_dns_zone_words(line, arena, &words) == PN_OK && words.n > 0 && case_words(c, words, arena);
}

/* Adds to *passed and *failed; a file that cannot be read and a line that says nothing have failed. */
static inline void
dmarc_cases_run(const char *path, const struct pn_psl *psl, unsigned *passed, unsigned *failed)
{
	struct pn_arena *arena = pn_arena_new(CASES_ARENA);
	struct dmarc_case c = { .path = path, .psl = psl, .common = { .arena = arena } };
	char *text = pn_arena_alloc(arena, CASES_BYTES_MAX);
	FILE *file = fopen(path, "rb");
	struct pn_str rest = { text, 0 }, line;

	if (file == NULL) {
		perror(path);
		c.failed++;
	} else {
		rest.n = fread(text, 1, CASES_BYTES_MAX, file);
		(void)fclose(file);
	}
	while (pn_str_split(&rest, '\n', &line)) {
		c.line++;
		if (!case_line(&c, pn_str_trim(line), arena)) {
			printf("%s:%u: not a line of cases: " PN_STR_FMT "\n", path, c.line,
			    PN_STR_ARG(line));
			c.failed++;
		}
	}
	*passed += c.passed;
	*failed += c.failed;
	pn_dns_zone_free(c.zone);
	pn_arena_free(arena);
}

#endif
