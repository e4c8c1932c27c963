/* Does a mechanism match? (RFC 7208 section 5) */
#include "spf_internal.h"

enum { VOIDS_MAX = 2, HOSTS_MAX = 10 };

static bool
shares_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned rest = bits % 8;

	return memcmp(a, b, bits / 8) == 0 && (rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0);
}

/* The client's address as a record of its family has it. */
static const unsigned char *
client_bytes(const struct spf *spf)
{
	return spf->q->client + (spf->is_ip4 ? 12 : 0);
}

static bool
has_client(const struct spf *spf, struct pn_strs addresses, const struct spf_term *term)
{
	size_t size = spf->is_ip4 ? 4 : 16;

	for (size_t i = 0; i < addresses.n; i++)
		if (addresses.v[i].n == size && shares_bits((const unsigned char *)addresses.v[i].p,
		    client_bytes(spf), spf->is_ip4 ? term->bits4 : term->bits6))
			return true;
	return false;
}

/* -- questions -- */

/* SPF_MATCH: there are records.  Nothing can be asked for names that cannot be: they do not exist. */
static enum spf_match
ask(struct spf *spf, struct pn_str name, enum pn_dns_type type, struct pn_strs *records)
{
	struct pn_dns_answer answer;
	struct pn_error err = { "" };

	*records = (struct pn_strs){ NULL, 0 };
	switch (spf->dns->query(spf->dns->ctx, name, type, spf->arena, &answer, &err)) {
	case PN_OK:
		*records = answer.records;
		return SPF_MATCH;
	case PN_NOT_FOUND:
		if (++spf->voids <= VOIDS_MAX)
			return SPF_NO_MATCH;
		spf_explain_error(spf, "too many names that do not exist, the last was", name);
		return SPF_PERMERROR;
	case PN_INVALID:
		return SPF_NO_MATCH;
	case PN_TEMPFAIL:
	case PN_LIMIT:
		break;
	}
	spf_explain_failure(spf, &err, type, name);
	return SPF_TEMPERROR;
}

static enum pn_dns_type
address_type(const struct spf *spf)
{
	return spf->is_ip4 ? PN_DNS_A : PN_DNS_AAAA;
}

static enum spf_match
match_host(struct spf *spf, struct pn_str name, const struct spf_term *term)
{
	struct pn_strs addresses;
	enum spf_match found = ask(spf, name, address_type(spf), &addresses);

	return found == SPF_MATCH && !has_client(spf, addresses, term) ? SPF_NO_MATCH : found;
}

static enum spf_match
match_mx(struct spf *spf, struct pn_str name, const struct spf_term *term)
{
	struct pn_strs hosts;
	enum spf_match found = ask(spf, name, PN_DNS_MX, &hosts);

	if (found != SPF_MATCH)
		return found;
	if (hosts.n > HOSTS_MAX) {
		spf_explain_error(spf, "more than 10 MX hosts of", name);
		return SPF_PERMERROR;
	}
	found = SPF_NO_MATCH;
	for (size_t i = 0; i < hosts.n && found == SPF_NO_MATCH; i++)
		found = match_host(spf, hosts.v[i], term);
	return found;
}

static enum spf_match
match_exists(struct spf *spf, struct pn_str name)
{
	struct pn_strs addresses;

	return ask(spf, name, PN_DNS_A, &addresses);
}

/* -- names of the client -- */

/* Its void and failed answers are the client's doing, not the domain's. */
static bool
ask_quietly(struct spf *spf, struct pn_str name, enum pn_dns_type type, struct pn_strs *records)
{
	struct pn_dns_answer answer;

	if (spf->dns->query(spf->dns->ctx, name, type, spf->arena, &answer, NULL) != PN_OK)
		return false;
	*records = answer.records;
	return true;
}

static struct pn_str
reverse_name(struct spf *spf)
{
	struct pn_buf buf;
	struct pn_str name;

	pn_buf_init(&buf, SPF_TEXT_MAX);
	spf_macro_expand(spf, PN_STR("%{ir}.%{v}.arpa"), SPF_IN_DOMAIN, &buf);
	name = pn_arena_dup(spf->arena, pn_buf_str(&buf));
	pn_buf_done(&buf);
	return name;
}

struct pn_strs
spf_names(struct spf *spf)
{
	static const struct spf_term exactly = { .bits4 = 32, .bits6 = 128 };
	struct pn_strs_builder valid = { .arena = spf->arena };
	struct pn_strs names, addresses;

	if (!spf->names_known && ask_quietly(spf, reverse_name(spf), PN_DNS_PTR, &names))
		for (size_t i = 0; i < names.n && i < HOSTS_MAX; i++)
			if (ask_quietly(spf, names.v[i], address_type(spf), &addresses)
			    && has_client(spf, addresses, &exactly))
				pn_strs_add(&valid, names.v[i]);
	if (!spf->names_known)
		spf->names = valid.list;
	spf->names_known = true;
	return spf->names;
}

static enum spf_match
match_ptr(struct spf *spf, struct pn_str domain)
{
	struct pn_strs names = spf_names(spf);

	for (size_t i = 0; i < names.n; i++) {
		struct pn_str name = names.v[i];
		size_t more = name.n > domain.n ? name.n - domain.n : 0;

		if (pn_str_eq_nocase(pn_str_from(name, more), domain)
		    && (more == 0 || name.p[more - 1] == '.'))
			return SPF_MATCH;
	}
	return SPF_NO_MATCH;
}

/* -- include -- */

/* Goes no deeper than the terms that are counted: each include is one of them. */
static enum spf_match
match_include(struct spf *spf, struct pn_str name)
{
	struct pn_str domain = spf->domain;
	enum pn_spf_result result = spf_check_host(spf, name);

	spf->domain = domain;
	switch (result) {
	case PN_SPF_PASS:
		return SPF_MATCH;
	case PN_SPF_FAIL:
	case PN_SPF_SOFTFAIL:
	case PN_SPF_NEUTRAL:
		return SPF_NO_MATCH;
	case PN_SPF_TEMPERROR:
		return SPF_TEMPERROR;
	case PN_SPF_NONE:
		spf_explain_error(spf, "included, but without a record:", name);
		return SPF_PERMERROR;
	case PN_SPF_PERMERROR:
		break;
	}
	return SPF_PERMERROR;
}

/* -- all of them -- */

static enum spf_match
match_by_dns(struct spf *spf, const struct spf_term *term)
{
	struct pn_str name;

	if (!spf_count_lookup(spf))
		return SPF_PERMERROR;
	if (spf_target(spf, term->domain, &name) != PN_OK)
		return SPF_PERMERROR;
	if (pn_arena_exhausted(spf->arena)) {
		spf_explain_error(spf, "too much memory needed for", spf->domain);
		return SPF_TEMPERROR;
	}
	switch (term->kind) {
	case SPF_INCLUDE: return match_include(spf, name);
	case SPF_A: return match_host(spf, name, term);
	case SPF_MX: return match_mx(spf, name, term);
	case SPF_PTR: return match_ptr(spf, name);
	case SPF_EXISTS: return match_exists(spf, name);
	case SPF_ALL:
	case SPF_IP4:
	case SPF_IP6:
	case SPF_REDIRECT:
	case SPF_EXP:
	case SPF_OTHER:
		break;
	}
	return SPF_NO_MATCH;
}

enum spf_match
spf_match(struct spf *spf, const struct spf_term *term)
{
	switch (term->kind) {
	case SPF_ALL:
		return SPF_MATCH;
	case SPF_IP4:
		return spf->is_ip4 && shares_bits(term->network, spf->q->client, 96 + term->bits4) ? SPF_MATCH
		    : SPF_NO_MATCH;
	case SPF_IP6:
		return !spf->is_ip4 && shares_bits(term->network, spf->q->client, term->bits6) ? SPF_MATCH
		    : SPF_NO_MATCH;
	case SPF_REDIRECT:
	case SPF_EXP:
	case SPF_OTHER:
		return SPF_NO_MATCH;
	case SPF_INCLUDE:
	case SPF_A:
	case SPF_MX:
	case SPF_PTR:
	case SPF_EXISTS:
		break;
	}
	return match_by_dns(spf, term);
}
