/* The input is what the DNS has of a domain: SPF, DMARC and key records, names of MX and PTR, a line each.
 * Whatever it says, the records to publish are such records, those of DMARC without a fault, and what they are
 * tried out with leaves no trace. */
#include <stdlib.h>

#include "../../cli/doctor.h"
#include "postern/dmarc.h"

enum { LINES = 6 };

static enum pn_status
query(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena, struct pn_dns_answer *out,
    struct pn_error *err)
{
	const struct pn_str *lines = ctx;
	struct pn_strs_builder records = { .arena = arena };
	static const uint16_t preferences[2];
	size_t from = pn_str_starts_nocase(name, PN_STR("_dmarc.")) ? 2 : type == PN_DNS_TXT ? 0 : 4;

	if (!pn_dns_name(name, &name))
		return pn_fail(err, PN_INVALID, "no name");
	for (size_t i = from; i < from + 2; i++)
		if (pn_str_starts(lines[i], PN_STR("!")))
			return pn_fail(err, PN_TEMPFAIL, "failed");
		else if (type == PN_DNS_A || type == PN_DNS_AAAA)
			pn_strs_add(&records, pn_str_n("ABCDEFGHIJKLMNOP", type == PN_DNS_A ? 4 : 16));
		else if (lines[i].n > 0)
			pn_strs_add(&records, pn_arena_dup(arena, lines[i]));
	*out = (struct pn_dns_answer) { .records = records.list, .preferences = preferences, .ttl = 300 };
	return records.list.n > 0 ? PN_OK : pn_fail(err, PN_NOT_FOUND, "nothing");
}

static bool
is_record(struct pn_str text, enum pn_dmarc_mode mode)
{
	struct pn_dmarc_record record;

	if (pn_dmarc_record_parse(text, mode, &record) == PN_OK)
		return record.usable && record.faults == 0;
	return pn_str_starts(text, PN_STR("v=spf1"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pn_psl *psl;
	struct pn_relay relay = { .name = PN_STR("r"),
		.host = PN_STR("smtp.relay.example"),
		.active = true,
		.from_filter = PN_STR("acme.example") };
	struct pn_domain managed = { .name = PN_STR("acme.example"),
		.ascii = PN_STR("acme.example"),
		.bounce = PN_STR("bounce@acme.example"),
		.default_from = PN_STR("n@acme.example") };
	struct pn_gateway gateway = { .name = PN_STR("main"), .domains = &managed, .domain_count = 1 };
	struct pn_config config = { .relays = { &relay, 1 },
		.rewrite = true,
		.directory = {
		    .gateways = &gateway, .gateway_count = 1, .domains = &managed, .domain_count = 1 } };
	struct pn_str lines[LINES], rest = pn_str_n((const char *)data, size),
				    domain = PN_STR("acme.example");
	struct doctor d = { .config = &config,
		.hostname = PN_STR("mx.acme.example"),
		.dns = { .ctx = lines, .query = query },
		.arena = pn_arena_new(64 * 1024 * 1024) };

	if (psl == NULL && pn_psl_load(NULL, &psl, NULL) != PN_OK)
		abort();
	managed.gateway = &gateway;
	d.psl = psl;
	for (size_t i = 0; i < LINES; i++)
		if (!pn_str_split(&rest, '\n', &lines[i]))
			lines[i] = PN_STR_EMPTY;
	config.auth.mode = size % 2 == 0 ? PN_DMARC_PSL : PN_DMARC_TREE;
	doctor_run(&d, (struct pn_strs) { &domain, 1 });
	for (size_t i = 0; i < d.plan_count; i++)
		if (!is_record(d.plan[i].text, PN_DMARC_PSL) || !is_record(d.plan[i].text, PN_DMARC_TREE))
			abort();
	for (size_t i = 0; i < d.n; i++)
		if (d.v[i].text.n == 0)
			abort();
	if (d.verdict_count != d.route_count || d.plan_count > 8)
		abort();
	pn_arena_free(d.arena);
	return 0;
}
