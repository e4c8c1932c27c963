/* MX and reverse names: does mail come here, and is this host who it says? */
#include "doctor.h"

#include <stdio.h>

enum { HOSTS_MAX = 10, ADDRESSES_MAX = 16, NAMES_MAX = 10 };

/* -- reverse names ------------------------------------------------------------------------------------- */

static struct pn_str
reverse_name(struct pn_str address, struct pn_arena *arena)
{
	struct pn_str text = doctor_address_text(address, arena);
	const unsigned char *p = (const unsigned char *)address.p;
	char name[16 * 4 + 1];

	if (pn_str_find(text, ':') == PN_STR_NONE)
		return pn_arena_printf(arena, "%u.%u.%u.%u.in-addr.arpa", p[15], p[14], p[13], p[12]);
	for (size_t i = 0; i < 16; i++)
		(void)snprintf(name + 4 * i, 5, "%x.%x.", p[15 - i] & 15U, p[15 - i] >> 4);
	return pn_arena_printf(arena, "%sip6.arpa", name);
}

/* PN_OK: one of the names leads back. */
static enum pn_status
confirm(struct doctor *d, struct pn_strs names, struct pn_str address, struct pn_error *err)
{
	enum pn_status result = PN_NOT_FOUND;
	struct pn_strs found;

	for (size_t i = 0; i < names.n && i < NAMES_MAX; i++) {
		enum pn_status st = doctor_host_addresses(d, names.v[i], &found, err);

		if (st == PN_OK && pn_strs_has(found, address))
			return PN_OK;
		if (st == PN_TEMPFAIL)
			result = st;
	}
	return result;
}

static void
judge_address(struct doctor *d, struct pn_str host, struct pn_str address)
{
	struct pn_str shown = doctor_address_text(address, d->arena);
	struct pn_dns_answer answer;
	struct pn_error err = { "" };
	enum pn_status st = doctor_ask(d, reverse_name(address, d->arena), PN_DNS_PTR, &answer, &err);
	struct pn_str remedy = pn_arena_printf(d->arena,
	    "have whoever gave you the address set its reverse name to " PN_STR_FMT, PN_STR_ARG(host));
	bool named = st == PN_OK;

	if (named)
		st = confirm(d, answer.records, address, &err);
	if (st == PN_OK)
		doctor_find(d, DOCTOR_OK, "reverse", host, NO_REMEDY,
		    PN_STR_FMT " is " PN_STR_FMT ", and that leads back", PN_STR_ARG(shown),
		    PN_STR_ARG(pn_str_head(answer.records.v[0], 253)));
	else if (st == PN_TEMPFAIL)
		doctor_find(d, DOCTOR_UNKNOWN, "reverse", host, NO_REMEDY, "%s", err.text);
	else if (named)
		doctor_find(d, DOCTOR_WARNING, "reverse", host, remedy,
		    "the reverse name of " PN_STR_FMT " is " PN_STR_FMT ", which does not lead back to it",
		    PN_STR_ARG(shown), PN_STR_ARG(pn_str_head(answer.records.v[0], 253)));
	else
		doctor_find(d, DOCTOR_WARNING, "reverse", host, remedy,
		    PN_STR_FMT " has no reverse name: many receivers refuse mail from it", PN_STR_ARG(shown));
}

void
doctor_reverse(struct doctor *d, struct pn_str host)
{
	struct pn_strs addresses;
	struct pn_error err = { "" };
	enum pn_status st;

	if (pn_strs_has(d->hosts.list, host))
		return;
	pn_strs_add(&d->hosts, host);
	st = doctor_host_addresses(d, host, &addresses, &err);
	if (st == PN_TEMPFAIL)
		doctor_find(d, DOCTOR_UNKNOWN, "reverse", host, NO_REMEDY, "%s", err.text);
	else if (st != PN_OK)
		doctor_find(d, DOCTOR_WARNING, "reverse", host,
		    PN_STR("publish an A record for it, or set hostname to the name that the DNS has"), "%s",
		    err.text);
	for (size_t i = 0; st == PN_OK && i < addresses.n && i < ADDRESSES_MAX; i++)
		judge_address(d, host, addresses.v[i]);
}

/* -- MX -------------------------------------------------------------------------------------------------- */

/* Is one of them an address of this host? */
static bool
is_here(struct doctor *d, struct pn_strs addresses)
{
	struct pn_strs ours;

	if (doctor_host_addresses(d, d->hostname, &ours, NULL) != PN_OK)
		return false;
	for (size_t i = 0; i < ours.n; i++)
		if (pn_strs_has(addresses, ours.v[i]))
			return true;
	return false;
}

/* RFC 5321 section 5.1 */
static bool
is_alias(struct doctor *d, struct pn_str host)
{
	struct pn_dns_answer answer;

	return (doctor_ask(d, host, PN_DNS_A, &answer, NULL) == PN_OK
		   || doctor_ask(d, host, PN_DNS_AAAA, &answer, NULL) == PN_OK)
	    && answer.alias;
}

static void
judge_hosts(struct doctor *d, struct pn_str domain, struct pn_strs hosts, bool managed)
{
	bool here = false, unknown = false;

	for (size_t i = 0; i < hosts.n && i < HOSTS_MAX; i++) {
		struct pn_str host = pn_arena_lower(d->arena, pn_str_head(hosts.v[i], 253));
		struct pn_strs addresses;
		struct pn_error err = { "" };
		enum pn_status st = doctor_host_addresses(d, host, &addresses, &err);

		unknown = unknown || st == PN_TEMPFAIL;
		if (st == PN_TEMPFAIL)
			doctor_find(d, DOCTOR_UNKNOWN, "mx", domain, NO_REMEDY, "%s", err.text);
		else if (st != PN_OK)
			doctor_find(d, DOCTOR_ERROR, "mx", domain,
			    PN_STR("an MX must be a host name that has an A or AAAA record"), "MX %s",
			    err.text);
		else {
			if (is_alias(d, host))
				doctor_find(d, DOCTOR_WARNING, "mx", domain,
				    PN_STR("let the MX name the host itself"),
				    "MX " PN_STR_FMT " is an alias (CNAME), which the standard forbids: some "
				    "senders do not deliver to it",
				    PN_STR_ARG(host));
			here = here || is_here(d, addresses);
			doctor_reverse(d, host);
		}
	}
	if (here || !managed)
		doctor_find(d, DOCTOR_OK, "mx", domain, NO_REMEDY, "MX " PN_STR_FMT "%s",
		    PN_STR_ARG(pn_str_head(pn_strs_join(hosts, PN_STR(", "), d->arena), 1000)),
		    here ? ", this host among them" : "");
	else if (!unknown)
		doctor_find(d, DOCTOR_WARNING, "mx", domain,
		    PN_STR("in order if that server hands it on to this one, or if this host has another "
			   "name outside"),
		    "mail goes to " PN_STR_FMT " and not to this host (" PN_STR_FMT ")",
		    PN_STR_ARG(pn_str_head(pn_strs_join(hosts, PN_STR(", "), d->arena), 1000)),
		    PN_STR_ARG(d->hostname));
}

static void
judge_no_mx(struct doctor *d, struct pn_str domain, bool managed)
{
	struct pn_strs addresses;
	struct pn_error err = { "" };
	enum pn_status st = doctor_host_addresses(d, domain, &addresses, &err);

	if (st == PN_TEMPFAIL)
		doctor_find(d, DOCTOR_UNKNOWN, "mx", domain, NO_REMEDY, "%s", err.text);
	else if (st == PN_OK || (!managed && !doctor_is_envelope(d, domain)))
		doctor_find(d, st == PN_OK && managed ? DOCTOR_WARNING : DOCTOR_OK, "mx", domain, NO_REMEDY,
		    st == PN_OK ? "there is no MX: mail goes to the domain's own address" : "there is no MX");
	else
		doctor_find(d, DOCTOR_ERROR, "mx", domain,
		    pn_arena_printf(d->arena, "publish: " PN_STR_FMT ". IN MX 10 " PN_STR_FMT ".",
			PN_STR_ARG(domain), PN_STR_ARG(d->hostname)),
		    "there is no MX and no address: neither answers nor bounces can come back");
}

/* RFC 7505 section 4.2 */
static void
judge_null_mx(struct doctor *d, struct pn_str domain, bool managed)
{
	bool sends = managed || doctor_is_envelope(d, domain);

	doctor_find(d,
	    managed     ? DOCTOR_ERROR
		: sends ? DOCTOR_WARNING
			: DOCTOR_OK,
	    "mx", domain, NO_REMEDY, "a null MX: the domain takes no mail%s",
	    sends ? ", and receivers may refuse its senders" : "");
}

void
doctor_mx(struct doctor *d, struct pn_str domain)
{
	bool managed = pn_directory_domain(&d->config->directory, domain) != NULL;
	struct pn_dns_answer answer;
	struct pn_error err = { "" };
	enum pn_status st = doctor_ask(d, domain, PN_DNS_MX, &answer, &err);

	if (st == PN_TEMPFAIL)
		doctor_find(d, DOCTOR_UNKNOWN, "mx", domain, NO_REMEDY, "%s", err.text);
	else if (st != PN_OK)
		judge_no_mx(d, domain, managed);
	else if (answer.records.n == 1 && answer.records.v[0].n == 0)
		judge_null_mx(d, domain, managed);
	else
		judge_hosts(d, domain, answer.records, managed);
}
