#include "dmarc_tree.h"

/* The one DMARC record among the TXT records of a name; several are none. */
static void
take_record(struct pn_strs texts, enum pn_dmarc_mode mode, struct dmarc_entry *entry)
{
	struct pn_dmarc_record record;

	entry->status = PN_NOT_FOUND;
	for (size_t i = 0; i < texts.n; i++) {
		if (pn_dmarc_record_parse(texts.v[i], mode, &record) != PN_OK)
			continue;
		entry->several = entry->status == PN_OK;
		if (entry->several) {
			entry->status = PN_NOT_FOUND;
			return;
		}
		entry->status = PN_OK;
		entry->record = record;
	}
}

static void
ask(struct dmarc_lookups *lookups, struct dmarc_entry *entry)
{
	struct pn_str name = pn_arena_printf(lookups->arena, "_dmarc." PN_STR_FMT, PN_STR_ARG(entry->domain));
	struct pn_dns_answer answer = { 0 };
	struct pn_error err;

	lookups->queries++;
	switch (lookups->dns->query(lookups->dns->ctx, name, PN_DNS_TXT, lookups->arena, &answer, &err)) {
	case PN_OK:
		take_record(answer.records, lookups->mode, entry);
		break;
	case PN_NOT_FOUND:
		entry->status = PN_NOT_FOUND;
		entry->nxdomain = answer.nxdomain;
		break;
	case PN_INVALID:
		/* too long with the prefix: nobody can have published anything there */
		lookups->queries--;
		entry->status = PN_NOT_FOUND;
		entry->nxdomain = true;
		break;
	case PN_TEMPFAIL:
	case PN_LIMIT:
		entry->status = PN_TEMPFAIL;
		break;
	}
	if (pn_arena_exhausted(lookups->arena))
		entry->status = PN_TEMPFAIL;
}

const struct dmarc_entry *
dmarc_lookup(struct dmarc_lookups *lookups, struct pn_str domain)
{
	struct dmarc_entry *entry;

	for (entry = lookups->entries; entry != NULL; entry = entry->next)
		if (pn_str_eq(entry->domain, domain))
			return entry;
	entry = PN_ARENA_NEW(lookups->arena, struct dmarc_entry);
	entry->domain = domain;
	ask(lookups, entry);
	entry->next = lookups->entries;
	lookups->entries = entry;
	return entry;
}

enum pn_status
dmarc_exists(struct dmarc_lookups *lookups, struct pn_str domain, bool *exists)
{
	struct pn_dns_answer answer = { 0 };
	enum pn_status status;
	struct pn_error err;

	/* what has something below it exists */
	if (!dmarc_lookup(lookups, domain)->nxdomain) {
		*exists = true;
		return PN_OK;
	}
	lookups->queries++;
	status = lookups->dns->query(lookups->dns->ctx, domain, PN_DNS_A, lookups->arena, &answer, &err);
	if (status == PN_TEMPFAIL || status == PN_LIMIT)
		return PN_TEMPFAIL;
	*exists = status == PN_OK || (status == PN_NOT_FOUND && !answer.nxdomain);
	return PN_OK;
}

static size_t
count_labels(struct pn_str domain)
{
	size_t n = 1;

	for (size_t i = 0; i < domain.n; i++)
		n += domain.p[i] == '.';
	return n;
}

/* The last n labels. */
static struct pn_str
last_labels(struct pn_str domain, size_t n)
{
	for (size_t labels = count_labels(domain); labels > n; labels--)
		domain = pn_str_from(domain, pn_str_find(domain, '.') + 1);
	return domain;
}

/* Domains from the longest to the shortest; the walk ends with psd=y and psd=n. */
enum pn_status
dmarc_walk(struct dmarc_lookups *lookups, struct pn_str domain, struct dmarc_walk *out)
{
	struct dmarc_walk found = { domain, NULL };
	size_t labels = count_labels(domain);

	for (size_t x = labels; x > 0; x = x == labels && x > DMARC_WALK_MAX ? DMARC_WALK_MAX - 1 : x - 1) {
		const struct dmarc_entry *entry = dmarc_lookup(lookups, last_labels(domain, x));

		if (entry->status == PN_TEMPFAIL)
			return PN_TEMPFAIL;
		if (entry->status != PN_OK)
			continue;
		if (entry->record.psd == 'y') {
			/* one label below, if there is one; its own record goes before that of the suffix */
			struct pn_str below = last_labels(domain, x + 1);

			if (found.record == NULL || !pn_str_eq(found.record->domain, below))
				found.record = entry;
			found.organisational = below;
			break;
		}
		found.record = entry;
		found.organisational = entry->domain;
		if (entry->record.psd != 'u')
			break;
	}
	*out = found;
	return PN_OK;
}
