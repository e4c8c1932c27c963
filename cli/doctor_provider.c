/* Providers of relays: what SPF calls them, where they keep keys, where they send from. */
#include "doctor.h"

#include <arpa/inet.h>

enum { RECORDS_MAX = 12 }; /* of a provider, looked through for an address */

static const struct doctor_provider providers[] = {
	{ "Google", ".gmail.com", "_spf.google.com", "google", false },
	{ "Google", ".google.com", "_spf.google.com", "google", false },
	{ "Microsoft 365", ".office365.com", "spf.protection.outlook.com", "selector1", false },
	{ "Microsoft 365", ".outlook.com", "spf.protection.outlook.com", "selector1", false },
	{ "Amazon SES", ".amazonaws.com", "amazonses.com", NULL, true },
	{ "Mailjet", ".mailjet.com", "spf.mailjet.com", "mailjet", true },
	{ "Mailgun", ".mailgun.org", "mailgun.org", "k1", false },
	{ "SendGrid", ".sendgrid.net", "sendgrid.net", "s1", true },
};

const struct doctor_provider *
doctor_provider_of(const struct pn_relay *relay)
{
	for (size_t i = 0; i < PN_COUNT(providers); i++)
		if (pn_str_ends(relay->host, pn_str_c(providers[i].host)))
			return &providers[i];
	return NULL;
}

/* -- addresses ---------------------------------------------------------------------------- */

static bool
parse_address(struct pn_str text, unsigned char out[16])
{
	char buf[INET6_ADDRSTRLEN];

	if (text.n >= sizeof(buf))
		return false;
	memcpy(buf, text.p, text.n);
	buf[text.n] = '\0';
	memset(out, 0, 16);
	if (inet_pton(AF_INET6, buf, out) == 1)
		return true;
	out[10] = out[11] = 0xff;
	return inet_pton(AF_INET, buf, out + 12) == 1;
}

struct pn_str
doctor_relay_term(const struct pn_relay *relay, struct pn_arena *arena)
{
	const struct doctor_provider *provider = doctor_provider_of(relay);
	unsigned char address[16];

	if (provider != NULL)
		return pn_arena_printf(arena, "include:%s", provider->include);
	return pn_arena_printf(arena, "%s:" PN_STR_FMT,
	    !parse_address(relay->host, address)               ? "a"
		: pn_str_find(relay->host, ':') == PN_STR_NONE ? "ip4"
							       : "ip6",
	    PN_STR_ARG(relay->host));
}

/* -- where a provider sends from: the first network of its record ----------------------------- */

/* The address of "ip4:192.0.2.0/24", or the name of "include:x" and "redirect=x". */
static bool
read_word(struct pn_str word, unsigned char address[16], struct pn_strs_builder *names)
{
	if (pn_str_starts(word, PN_STR("+")))
		word = pn_str_from(word, 1);
	if (pn_str_starts_nocase(word, PN_STR("ip4:")) || pn_str_starts_nocase(word, PN_STR("ip6:"))) {
		word = pn_str_from(word, 4);
		return parse_address(pn_str_head(word, pn_str_find(word, '/')), address);
	}
	if ((pn_str_starts_nocase(word, PN_STR("include:"))
		|| pn_str_starts_nocase(word, PN_STR("redirect=")))
	    && pn_str_find(word, '%') == PN_STR_NONE && names->list.n < RECORDS_MAX)
		pn_strs_add(names, pn_str_from(word, pn_str_starts_nocase(word, PN_STR("i")) ? 8 : 9));
	return false;
}

static bool
read_record(struct pn_str text, unsigned char address[16], struct pn_strs_builder *names)
{
	struct pn_str word;

	if (!pn_str_starts_nocase(text, PN_STR("v=spf1 ")))
		return false;
	while (pn_str_split(&text, ' ', &word))
		if (read_word(word, address, names))
			return true;
	return false;
}

static enum pn_status
provider_address(struct doctor *d, const char *include, unsigned char address[16], struct pn_error *err)
{
	struct pn_strs_builder names = { .arena = d->arena };
	struct pn_dns_answer answer;

	pn_strs_add(&names, pn_str_c(include));
	for (size_t i = 0; i < names.list.n; i++) {
		enum pn_status st = doctor_ask(d, names.list.v[i], PN_DNS_TXT, &answer, err);

		if (st == PN_TEMPFAIL)
			return st;
		for (size_t j = 0; st == PN_OK && j < answer.records.n; j++)
			if (read_record(answer.records.v[j], address, &names))
				return PN_OK;
	}
	return pn_fail(err, PN_NOT_FOUND, "%s names no address", include);
}

enum pn_status
doctor_relay_addresses(
    struct doctor *d, const struct pn_relay *relay, struct pn_strs *out, struct pn_error *err)
{
	const struct doctor_provider *provider = doctor_provider_of(relay);
	struct pn_strs_builder list = { .arena = d->arena };
	unsigned char address[16];
	enum pn_status st = PN_OK;

	if (provider != NULL)
		st = provider_address(d, provider->include, address, err);
	else if (!parse_address(relay->host, address))
		return doctor_host_addresses(d, relay->host, out, err);
	if (st != PN_OK)
		return st;
	pn_strs_add(&list, pn_arena_dup(d->arena, pn_str_n((const char *)address, 16)));
	*out = list.list;
	return PN_OK;
}
