/* Any bytes as data of records: what is read is no longer than it was, and names can be asked for again.  And
 * any bytes as lines of a zone: what is taken can be asked for. */
#include <stdlib.h>

#include "../../lib/auth/dns_rdata.h"
#include "postern/dns_zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_records(enum pn_dns_type type, struct pn_str in, struct pn_arena *arena)
{
	struct pn_strs_builder rdata = { .arena = arena };
	struct pn_dns_answer answer;

	/* a byte of length before each */
	while (in.n > 0) {
		size_t n = (unsigned char)in.p[0];

		pn_strs_add(&rdata, pn_str_head(pn_str_from(in, 1), n));
		in = pn_str_from(in, n + 1);
	}
	dns_rdata_read(type, rdata.list, arena, &answer);
	if (answer.records.n > rdata.list.n)
		abort();
	for (size_t i = 0; i < answer.records.n; i++) {
		struct pn_str record = answer.records.v[i], name;
		bool is_name = type == PN_DNS_MX || type == PN_DNS_PTR || type == PN_DNS_NS;

		if (is_name && record.n > 0 && (!pn_dns_name(record, &name) || !pn_str_eq(record, name)))
			abort();
		if (type == PN_DNS_MX && i > 0 && answer.preferences[i - 1] > answer.preferences[i])
			abort();
	}
}

static void
read_zone(struct pn_str in, struct pn_arena *arena)
{
	struct pn_dns_zone *zone = pn_dns_zone_new();
	struct pn_dns dns = pn_dns_zone_port(zone);
	struct pn_str line;

	while (pn_str_split(&in, '\n', &line)) {
		struct pn_dns_answer answer;
		struct pn_strs words;
		struct pn_str name;

		if (pn_dns_zone_add(zone, line, NULL) != PN_OK)
			continue;
		if (pn_dns_zone_words(line, arena, &words) != PN_OK)
			abort();
		if (words.n == 0 || !pn_dns_name(words.v[0], &name))
			continue;
		if (pn_str_eq(words.v[1], PN_STR("TXT"))
		    && dns.query(dns.ctx, name, PN_DNS_TXT, arena, &answer, NULL) != PN_OK)
			abort();
	}
	pn_dns_zone_free(zone);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum pn_dns_type types[] = {
		PN_DNS_A, PN_DNS_NS, PN_DNS_PTR, PN_DNS_MX, PN_DNS_TXT, PN_DNS_AAAA,
	};
	struct pn_arena *arena = pn_arena_new(16 * 1024 * 1024);
	struct pn_str in = pn_str_n((const char *)data, size);

	if (size > 0 && data[0] % 8 < PN_COUNT(types))
		read_records(types[data[0] % 8], pn_str_from(in, 1), arena);
	else
		read_zone(pn_str_from(in, 1), arena);
	pn_arena_free(arena);
	return 0;
}
