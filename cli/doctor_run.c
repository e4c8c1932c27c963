/* The checks one after the other, and what they share. */
#include "doctor.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

#include "postern/address.h"

const char *
doctor_level_name(enum doctor_level level)
{
	static const char *const names[] = { "ok", "warning", "unknown", "error" };

	return names[level];
}

struct doctor_finding *
doctor_find(struct doctor *d, enum doctor_level level, const char *about, struct pn_str domain,
    struct pn_str remedy, const char *format, ...)
{
	char text[2048];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	d->v = pn_arena_grow(d->arena, d->v, d->n, &d->cap, d->n + 1, sizeof(*d->v));
	d->v[d->n] = (struct doctor_finding) { .level = level,
		.about = about,
		.domain = domain,
		.text = pn_arena_dup(
		    d->arena, pn_str_head(pn_str_n(text, n < 0 ? 0 : (size_t)n), sizeof(text) - 1)),
		.remedy = remedy,
		.name = PN_STR_EMPTY,
		.record = PN_STR_EMPTY };
	return &d->v[d->n++];
}

/* -- the plan ------------------------------------------------------------------------------ */

void
doctor_publish(struct doctor *d, struct doctor_finding *finding, struct pn_str name, struct pn_str text)
{
	finding->name = name;
	finding->record = text;
	d->plan = pn_arena_grow(
	    d->arena, d->plan, d->plan_count, &d->plan_cap, d->plan_count + 1, sizeof(*d->plan));
	d->plan[d->plan_count++] = (struct doctor_record) { name, text };
}

static enum pn_status
planned_query(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena,
    struct pn_dns_answer *out, struct pn_error *err)
{
	const struct doctor *d = ctx;
	struct pn_strs_builder records = { .arena = arena };

	for (size_t i = d->plan_count; type == PN_DNS_TXT && i > 0 && records.list.n == 0; i--)
		if (pn_str_eq_nocase(d->plan[i - 1].name, name))
			pn_strs_add(&records, d->plan[i - 1].text);
	if (records.list.n == 0)
		return d->dns.query(d->dns.ctx, name, type, arena, out, err);
	*out = (struct pn_dns_answer) { .records = records.list };
	return PN_OK;
}

struct pn_dns
doctor_planned(struct doctor *d)
{
	return (struct pn_dns) { .ctx = d, .query = planned_query };
}

/* -- names and addresses --------------------------------------------------------------------- */

enum pn_status
doctor_ask(struct doctor *d, struct pn_str name, enum pn_dns_type type, struct pn_dns_answer *out,
    struct pn_error *err)
{
	switch (d->dns.query(d->dns.ctx, name, type, d->arena, out, err)) {
	case PN_OK: return PN_OK;
	case PN_NOT_FOUND:
	case PN_INVALID: return PN_NOT_FOUND;
	case PN_TEMPFAIL:
	case PN_LIMIT: break;
	}
	return pn_fail_in(err, PN_TEMPFAIL, "%s of " PN_STR_FMT, pn_dns_type_name(type),
	    PN_STR_ARG(pn_str_head(name, 253)));
}

static struct pn_str
mapped(struct pn_str record, struct pn_arena *arena)
{
	unsigned char address[16] = { [10] = 0xff, [11] = 0xff };

	memcpy(address + 16 - record.n, record.p, record.n);
	return pn_arena_dup(arena, pn_str_n((const char *)address, 16));
}

enum pn_status
doctor_host_addresses(struct doctor *d, struct pn_str host, struct pn_strs *out, struct pn_error *err)
{
	static const enum pn_dns_type types[] = { PN_DNS_A, PN_DNS_AAAA };
	struct pn_strs_builder list = { .arena = d->arena };
	struct pn_dns_answer answer;

	for (size_t i = 0; i < PN_COUNT(types); i++) {
		enum pn_status st = doctor_ask(d, host, types[i], &answer, err);

		if (st == PN_TEMPFAIL)
			return st;
		for (size_t j = 0; st == PN_OK && j < answer.records.n; j++)
			pn_strs_add(&list, mapped(answer.records.v[j], d->arena));
	}
	if (list.list.n == 0)
		return pn_fail(
		    err, PN_NOT_FOUND, PN_STR_FMT " has no address", PN_STR_ARG(pn_str_head(host, 253)));
	*out = list.list;
	return PN_OK;
}

struct pn_str
doctor_address_text(struct pn_str address, struct pn_arena *arena)
{
	static const char prefix[12] = { [10] = (char)0xff, [11] = (char)0xff };
	bool is_ip4 = memcmp(address.p, prefix, sizeof(prefix)) == 0;
	char text[INET6_ADDRSTRLEN];

	(void)inet_ntop(is_ip4 ? AF_INET : AF_INET6, address.p + (is_ip4 ? 12 : 0), text, sizeof(text));
	return pn_arena_dup(arena, pn_str_c(text));
}

struct pn_str
doctor_domain_of(struct pn_str address, struct pn_arena *arena)
{
	struct pn_str ascii;

	if (pn_str_find(address, '@') != PN_STR_NONE && pn_address_domain(address, arena, &address) != PN_OK)
		return PN_STR_EMPTY;
	return pn_domain_to_ascii(address, arena, &ascii) == PN_OK ? ascii : PN_STR_EMPTY;
}

/* -- all of it ---------------------------------------------------------------------------------- */

static void
add_domain(struct pn_strs_builder *list, struct pn_str text)
{
	struct pn_str domain = doctor_domain_of(text, list->arena);

	if (domain.n > 0)
		pn_strs_add(list, domain);
}

struct pn_strs
doctor_domains(struct doctor *d)
{
	const struct pn_config *config = d->config;
	struct pn_strs_builder list = { .arena = d->arena };
	struct pn_str rest, entry;

	for (size_t i = 0; i < config->directory.domain_count; i++)
		pn_strs_add(&list, config->directory.domains[i].ascii);
	for (size_t i = 0; i < config->relays.n; i++)
		for (rest = config->relays.v[i].from_filter; pn_from_filter_next(&rest, &entry);)
			add_domain(&list, entry);
	for (size_t i = 0; i < d->keys.n; i++)
		if (!pn_str_eq(d->keys.v[i].domain, PN_STR("%")))
			add_domain(&list, d->keys.v[i].domain);
	return pn_strs_unique(list.list, d->arena);
}

static const struct check {
	const char *what;
	void (*run)(struct doctor *d, struct pn_str domain);
} checks[] = {
	{ "SPF", doctor_spf },
	{ "DKIM", doctor_dkim },
	{ "DMARC", doctor_dmarc },
	{ "MX", doctor_mx },
};

static void
tell(const struct doctor *d, struct pn_str domain, const char *what)
{
	if (d->progress != NULL)
		d->progress(domain, what);
}

/* Those that exist; of another, nothing else is worth saying. */
static struct pn_strs
existing(struct doctor *d, struct pn_strs domains)
{
	struct pn_strs_builder list = { .arena = d->arena };

	for (size_t i = 0; i < domains.n; i++) {
		struct pn_dns_answer answer = { .ttl = 0 };

		if (doctor_ask(d, domains.v[i], PN_DNS_TXT, &answer, NULL) == PN_NOT_FOUND && answer.nxdomain)
			doctor_find(d, DOCTOR_ERROR, "domain", domains.v[i],
			    PN_STR(
				"mend its name in the configuration, or have it registered: many receivers "
				"refuse its senders"),
			    "there is no such domain in the DNS");
		else
			pn_strs_add(&list, domains.v[i]);
	}
	return list.list;
}

void
doctor_run(struct doctor *d, struct pn_strs domains)
{
	d->hosts.arena = d->arena;
	domains = existing(d, domains);
	doctor_find_routes(d, domains);
	for (size_t i = 0; i < domains.n; i++)
		for (size_t j = 0; j < PN_COUNT(checks); j++) {
			tell(d, domains.v[i], checks[j].what);
			checks[j].run(d, domains.v[i]);
		}
	tell(d, d->hostname, "reverse name");
	doctor_reverse(d, d->hostname);
	tell(d, PN_STR("all domains"), "what a receiver would say");
	doctor_judge(d);
}

enum doctor_level
doctor_worst(const struct doctor *d)
{
	enum doctor_level worst = DOCTOR_OK;

	for (size_t i = 0; i < d->n; i++)
		worst = d->v[i].level > worst ? d->v[i].level : worst;
	for (size_t i = 0; i < d->verdict_count; i++)
		worst = d->verdicts[i].level > worst ? d->verdicts[i].level : worst;
	return worst;
}
