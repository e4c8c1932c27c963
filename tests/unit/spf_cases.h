/* Files of SPF cases, as tests/data/spf has them.  Words are those of dns_zone.h:
 *
 *     zone                     a new, empty DNS
 *     NAME TYPE DATA           a record of it
 *     check WHAT CLIENT HELO SENDER RESULT [KEY=VALUE ...]
 *
 * Keys: exp (the explanation), reason (a part of it), lookups, voids, term, domain. */
#ifndef SPF_CASES_H
#define SPF_CASES_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "postern/dns_zone.h"
#include "postern/spf.h"

struct spf_cases {
	const char *path;
	unsigned line, passed, failed;
	struct pn_dns_zone *zone;
	struct pn_arena *arena;
};

static void
spf_cases_complain(struct spf_cases *cases, struct pn_str what, struct pn_str got)
{
	cases->failed++;
	printf("%s:%u: " PN_STR_FMT ": " PN_STR_FMT "\n", cases->path, cases->line, PN_STR_ARG(what),
	    PN_STR_ARG(got));
}

static bool
spf_cases_client(const char *text, unsigned char out[16])
{
	memset(out, 0, 16);
	if (inet_pton(AF_INET6, text, out) == 1)
		return true;
	out[10] = out[11] = 0xff;
	return inet_pton(AF_INET, text, out + 12) == 1;
}

/* Is it what KEY=VALUE wants?  *got is what it is. */
static bool
spf_cases_agrees(struct spf_cases *cases, struct pn_str want, const struct pn_spf_answer *answer,
    struct pn_str *got)
{
	struct pn_str key;

	(void)pn_str_split(&want, '=', &key);
	if (pn_str_eq(key, PN_STR("reason"))) {
		*got = answer->reason;
		return pn_str_contains(*got, want);
	}
	if (pn_str_eq(key, PN_STR("exp")))
		*got = answer->explanation;
	else if (pn_str_eq(key, PN_STR("term")))
		*got = answer->term;
	else if (pn_str_eq(key, PN_STR("domain")))
		*got = answer->domain;
	else
		*got = pn_arena_printf(cases->arena, "%u",
		    pn_str_eq(key, PN_STR("voids")) ? answer->voids : answer->lookups);
	return pn_str_eq(*got, want);
}

static void
spf_cases_check(struct spf_cases *cases, struct pn_strs words)
{
	struct pn_dns dns = pn_dns_zone_port(cases->zone);
	struct pn_spf_question question = { .helo = words.v[3], .sender = words.v[4], .now = 1700000000,
		.receiver = PN_STR("gate.example.net"), .explain = true };
	struct pn_spf_answer answer;
	unsigned failed = cases->failed;
	struct pn_str got;

	if (!spf_cases_client(pn_arena_cstr(cases->arena, words.v[2]), question.client)) {
		spf_cases_complain(cases, words.v[1], PN_STR("no client address"));
		return;
	}
	pn_spf_check(&question, &dns, cases->arena, &answer);
	got = pn_str_c(pn_spf_result_name(answer.result));
	if (!pn_str_eq(got, words.v[5]))
		spf_cases_complain(cases, words.v[1],
		    pn_arena_printf(cases->arena, PN_STR_FMT ", not " PN_STR_FMT ": " PN_STR_FMT,
			PN_STR_ARG(got), PN_STR_ARG(words.v[5]), PN_STR_ARG(answer.reason)));
	for (size_t i = 6; i < words.n; i++)
		if (!spf_cases_agrees(cases, words.v[i], &answer, &got))
			spf_cases_complain(cases, words.v[1],
			    pn_arena_printf(cases->arena, "wants " PN_STR_FMT ", got \"" PN_STR_FMT "\"",
				PN_STR_ARG(words.v[i]), PN_STR_ARG(got)));
	cases->passed += cases->failed == failed;
}

static void
spf_cases_line(struct spf_cases *cases, struct pn_str line)
{
	struct pn_error err = { "" };
	struct pn_strs words;

	cases->line++;
	if (pn_dns_zone_words(line, cases->arena, &words) != PN_OK)
		spf_cases_complain(cases, line, PN_STR("cannot be read"));
	else if (words.n == 1 && pn_str_eq(words.v[0], PN_STR("zone"))) {
		pn_dns_zone_free(cases->zone);
		cases->zone = pn_dns_zone_new();
	} else if (words.n >= 6 && pn_str_eq(words.v[0], PN_STR("check")))
		spf_cases_check(cases, words);
	else if (pn_dns_zone_add(cases->zone, line, &err) != PN_OK)
		spf_cases_complain(cases, line, pn_str_c(err.text));
}

/* Runs a file; says what fails. */
static void
spf_cases_run(const char *path, unsigned *passed, unsigned *failed)
{
	struct spf_cases cases = { .path = path, .zone = pn_dns_zone_new() };
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (file == NULL)
		perror(path);
	while (file != NULL && (n = getline(&line, &size, file)) >= 0) {
		cases.arena = pn_arena_new(8 * 1024 * 1024);
		spf_cases_line(&cases, pn_str_n(line, (size_t)n));
		pn_arena_free(cases.arena);
	}
	if (file != NULL)
		(void)fclose(file);
	free(line);
	pn_dns_zone_free(cases.zone);
	*passed += cases.passed;
	*failed += cases.failed + (cases.passed == 0);
}

#endif
