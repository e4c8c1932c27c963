#include "postern/directory.h"

const struct pn_model *
pn_model_find(const struct pn_models *models, struct pn_str name)
{
	size_t from = 0, to = models->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = pn_str_cmp(name, models->v[middle].name);

		if (order == 0)
			return &models->v[middle];
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return NULL;
}

const struct pn_domain *
pn_directory_domain(const struct pn_directory *directory, struct pn_str ascii)
{
	size_t from = 0, to = directory->domain_count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = pn_str_cmp(ascii, directory->domains[middle].ascii);

		if (order == 0)
			return &directory->domains[middle];
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return NULL;
}

const struct pn_gateway *
pn_directory_gateway(const struct pn_directory *directory, struct pn_str name)
{
	for (size_t i = 0; i < directory->gateway_count; i++)
		if (pn_str_eq(directory->gateways[i].name, name))
			return &directory->gateways[i];
	return NULL;
}

/* An address that is not set is "" and matches nothing, not even "". */
static bool
is_address(struct pn_str set, struct pn_str address)
{
	return set.n > 0 && pn_str_eq(set, address);
}

const struct pn_domain *
pn_gateway_bounce(const struct pn_gateway *gateway, struct pn_str address)
{
	for (size_t i = 0; i < gateway->domain_count; i++)
		if (is_address(gateway->domains[i].bounce, address))
			return &gateway->domains[i];
	return NULL;
}

const struct pn_domain *
pn_gateway_catchall(const struct pn_gateway *gateway, struct pn_str address)
{
	for (size_t i = 0; i < gateway->domain_count; i++)
		if (is_address(gateway->domains[i].catchall, address))
			return &gateway->domains[i];
	return NULL;
}

const struct pn_domain *
pn_gateway_default_from(const struct pn_gateway *gateway, struct pn_str address)
{
	for (size_t i = 0; i < gateway->domain_count; i++)
		if (is_address(gateway->domains[i].default_from, address))
			return &gateway->domains[i];
	return NULL;
}

bool
pn_alias_asks_proof(const struct pn_gateway *gateway, const struct pn_alias *alias)
{
	return alias->require_dmarc || gateway->require_dmarc == PN_REQUIRE_DMARC_ALL
	    || (gateway->require_dmarc == PN_REQUIRE_DMARC_CONTACTS && alias->contact != PN_CONTACT_EVERYONE);
}

bool
pn_gateway_local_counts(const struct pn_gateway *gateway, struct pn_str domain)
{
	if (gateway->allowed_domains.n == 0 || pn_strs_has(gateway->allowed_domains, domain))
		return true;
	for (size_t i = 0; i < gateway->domain_count; i++)
		if (pn_str_eq(gateway->domains[i].name, domain))
			return true;
	return false;
}

/* FNV-1a, 64 bits; a NUL ends each text. */
static uint64_t
mix(uint64_t hash, struct pn_str text)
{
	for (size_t i = 0; i <= text.n; i++) {
		hash ^= i < text.n ? (unsigned char)text.p[i] : 0;
		hash *= 0x100000001b3;
	}
	return hash;
}

uint64_t
pn_directory_fingerprint(const struct pn_directory *directory)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < directory->gateway_count; i++)
		hash = mix(hash, directory->gateways[i].name);
	for (size_t i = 0; i < directory->domain_count; i++) {
		const struct pn_domain *d = &directory->domains[i];

		hash = mix(hash, d->name);
		hash = mix(hash, d->gateway->name);
		hash = mix(hash, d->bounce);
		hash = mix(hash, d->catchall);
	}
	return hash == 0 ? 1 : hash;
}
