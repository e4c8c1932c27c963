/* resolve - asks the DNS through pn_resolver.
 *
 *   resolve [-f FORWARDER] ... [-a TRUST_ANCHOR] [-t MILLISECONDS] [-n COUNT] NAME TYPE ...
 *
 * Before that, COUNT different names below silent.example are asked for, and their answers not waited for.
 *
 * One line for each question: the status, with "nxdomain" and "secure" where they hold, and the records
 * (addresses as hexadecimal digits; of a text over 60 bytes only its length), sorted but for MX; or the
 * error. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/resolver.h"

enum { FORWARDERS_MAX = 8 };

static enum pn_dns_type
type_of(const char *text)
{
	static const enum pn_dns_type types[] = {
		PN_DNS_A, PN_DNS_NS, PN_DNS_PTR, PN_DNS_MX, PN_DNS_TXT, PN_DNS_AAAA,
	};

	for (size_t i = 0; i < PN_COUNT(types); i++)
		if (strcmp(text, pn_dns_type_name(types[i])) == 0)
			return types[i];
	(void)fprintf(stderr, "resolve: unknown type %s\n", text);
	exit(2);
}

static int
by_text(const void *a, const void *b)
{
	return pn_str_cmp(*(const struct pn_str *)a, *(const struct pn_str *)b);
}

static void
print_record(const struct pn_dns_answer *answer, size_t i, enum pn_dns_type type)
{
	struct pn_str record = answer->records.v[i];

	if (answer->preferences != NULL)
		printf(" %u:" PN_STR_FMT, answer->preferences[i], PN_STR_ARG(record));
	else if (type == PN_DNS_A || type == PN_DNS_AAAA) {
		(void)putchar(' ');
		for (size_t k = 0; k < record.n; k++)
			printf("%02x", (unsigned)(unsigned char)record.p[k]);
	} else if (record.n > 60)
		printf(" (%zu bytes)", record.n);
	else
		printf(" \"" PN_STR_FMT "\"", PN_STR_ARG(record));
}

static void
ask(const struct pn_dns *dns, const char *name, enum pn_dns_type type)
{
	struct pn_arena *arena = pn_arena_new(1024 * 1024);
	struct pn_dns_answer answer = { .nxdomain = false };
	struct pn_error err = { "" };
	enum pn_status st = dns->query(dns->ctx, pn_str_c(name), type, arena, &answer, &err);

	printf("%s%s%s", pn_status_name(st), answer.nxdomain ? " nxdomain" : "",
	    answer.secure ? " secure" : "");
	if (st == PN_OK && type != PN_DNS_MX)
		qsort(answer.records.v, answer.records.n, sizeof(*answer.records.v), by_text);
	for (size_t i = 0; st == PN_OK && i < answer.records.n; i++)
		print_record(&answer, i, type);
	if (st != PN_OK && st != PN_NOT_FOUND)
		printf(": %s", err.text);
	(void)putchar('\n');
	(void)fflush(stdout);
	pn_arena_free(arena);
}

static void
ask_in_passing(const struct pn_dns *dns, size_t count)
{
	struct pn_arena *arena = pn_arena_new(1024 * 1024);
	struct pn_dns_answer answer;
	struct pn_error err;

	for (size_t i = 0; i < count; i++) {
		struct pn_str name = pn_arena_printf(arena, "n%zu.z%zu.silent.example", i, i % 50);

		(void)!dns->query_until(dns->ctx, name, PN_DNS_A, pn_clock_mono_us(), arena, &answer, &err);
	}
	pn_arena_free(arena);
}

int
main(int argc, char **argv)
{
	struct pn_str forwarders[FORWARDERS_MAX];
	struct pn_resolver_options options = { .forwarders.v = forwarders };
	struct pn_resolver *resolver;
	struct pn_error err;
	struct pn_dns dns;
	size_t passing = 0;
	int option;

	while ((option = getopt(argc, argv, "f:a:t:n:")) != -1) {
		if (option == 'f' && options.forwarders.n < FORWARDERS_MAX)
			forwarders[options.forwarders.n++] = pn_str_c(optarg);
		else if (option == 'a')
			options.trust_anchor = pn_str_c(optarg);
		else if (option == 't')
			options.timeout_ms = (unsigned)strtoul(optarg, NULL, 10);
		else if (option == 'n')
			passing = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (pn_resolver_open(&options, &resolver, &err) != PN_OK) {
		(void)fprintf(stderr, "resolve: %s\n", err.text);
		return 1;
	}
	dns = pn_resolver_port(resolver);
	ask_in_passing(&dns, passing);
	for (; optind + 1 < argc; optind += 2)
		ask(&dns, argv[optind], type_of(argv[optind + 1]));
	pn_resolver_close(resolver);
	return 0;
}
