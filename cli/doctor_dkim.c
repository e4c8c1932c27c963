/* DKIM: is each key of ours published, and signed with? */
#include "doctor.h"

#include "postern/dkim_key.h"

enum { RSA_WANTED = 2048 };

static struct pn_str
how_to_replace(struct doctor *d, struct pn_str name)
{
	struct pn_dns_answer answer;

	return doctor_ask(d, name, PN_DNS_TXT, &answer, NULL) == PN_OK && answer.records.n > 1
	    ? PN_STR("replace them all by this")
	    : NO_REMEDY;
}

/* A key that signs must be published; another one may be on its way. */
static void
judge_match(struct doctor *d, struct pn_str domain, const struct pn_signing_key *key,
    const struct pn_dkim_key *private, bool signs)
{
	struct pn_str where = pn_arena_printf(
	    d->arena, PN_STR_FMT "._domainkey." PN_STR_FMT, PN_STR_ARG(key->selector), PN_STR_ARG(domain));
	struct pn_str ours = pn_dkim_key_record(private, d->arena), selector = key->selector;
	struct pn_error err = { "" };
	struct pn_dkim_record record;
	enum pn_known known = pn_dkim_key_matches(private, domain, selector, &d->dns, d->arena, &err);

	if (known == PN_UNKNOWN)
		doctor_find(d, DOCTOR_UNKNOWN, "dkim", domain, NO_REMEDY, "selector " PN_STR_FMT ": %s",
		    PN_STR_ARG(selector), err.text);
	else if (known == PN_NO)
		doctor_publish(d,
		    doctor_find(d, signs ? DOCTOR_ERROR : DOCTOR_WARNING, "dkim", domain,
			how_to_replace(d, where), "selector " PN_STR_FMT ": %s%s", PN_STR_ARG(selector),
			err.text, signs ? "" : "; no mail is signed with it yet"),
		    where, ours);
	else if (pn_dkim_record_find(&d->dns, domain, selector, d->arena, &record, NULL) == PN_OK
	    && record.testing)
		doctor_publish(d,
		    doctor_find(d, DOCTOR_WARNING, "dkim", domain, NO_REMEDY,
			"selector " PN_STR_FMT
			" says t=y (testing): receivers may treat its mail as unsigned",
			PN_STR_ARG(selector)),
		    where, ours);
	else if (pn_dkim_key_type(private) == PN_DKIM_RSA && pn_dkim_key_bits(private) < RSA_WANTED)
		doctor_find(d, DOCTOR_WARNING, "dkim", domain,
		    pn_arena_printf(d->arena, "postern keys rotate " PN_STR_FMT " makes one of %d",
			PN_STR_ARG(domain), RSA_WANTED),
		    "selector " PN_STR_FMT " is an RSA key of %u bits", PN_STR_ARG(selector),
		    pn_dkim_key_bits(private));
	else
		doctor_find(d, DOCTOR_OK, "dkim", domain, NO_REMEDY,
		    "selector " PN_STR_FMT " is published and is the private key's other half",
		    PN_STR_ARG(selector));
}

static void
judge_key(struct doctor *d, struct pn_str domain, const struct pn_signing_key *key, bool signs)
{
	const struct pn_dkim_key *private;
	struct pn_error err = { "" };

	if (pn_key_ring_get(d->ring, key->key, &private, &err) != PN_OK)
		doctor_find(d, DOCTOR_ERROR, "dkim", domain, PN_STR("mend sign_key_table"),
		    "the private key of selector " PN_STR_FMT " cannot be used: %s",
		    PN_STR_ARG(key->selector), err.text);
	else
		judge_match(d, domain, key, private, signs);
}

static bool
has_selector(const struct pn_signing_key *keys, size_t n, struct pn_str domain, struct pn_str selector)
{
	for (size_t i = 0; i < n; i++)
		if (pn_str_eq_nocase(keys[i].domain, domain) && pn_str_eq_nocase(keys[i].selector, selector))
			return true;
	return false;
}

static void
judge_unsigned(struct doctor *d, struct pn_str domain)
{
	for (size_t i = 0; i < d->route_count; i++)
		if (pn_str_eq(d->routes[i].author_domain, domain)) {
			doctor_find(d, DOCTOR_WARNING, "dkim", domain,
			    pn_arena_printf(d->arena,
				"postern keys make " PN_STR_FMT ", unless every relay signs for it",
				PN_STR_ARG(domain)),
			    "mail of this domain is not signed here");
			return;
		}
	doctor_find(d, DOCTOR_OK, "dkim", domain, NO_REMEDY, "no mail leaves with a From of this domain");
}

void
doctor_dkim(struct doctor *d, struct pn_str domain)
{
	struct pn_str author = pn_arena_printf(d->arena, "someone@" PN_STR_FMT, PN_STR_ARG(domain));
	struct pn_signing_key signing[PN_SIGNING_KEYS];
	struct pn_error err = { "" };
	size_t n = 0;
	enum pn_status st = pn_signing_find(&d->signing, &d->keys, author, true, d->arena, signing, &n, &err);

	if (st == PN_INVALID)
		doctor_find(d, DOCTOR_ERROR, "dkim", domain, NO_REMEDY, "%s", err.text);
	if (st == PN_NOT_FOUND)
		judge_unsigned(d, domain);
	/* keys of another domain are judged there */
	for (size_t i = 0; i < n; i++)
		if (pn_str_eq_nocase(signing[i].domain, domain))
			judge_key(d, domain, &signing[i], d->config->sign.all || i == 0);
		else
			doctor_find(d, DOCTOR_OK, "dkim", domain, NO_REMEDY,
			    "mail is signed with d=" PN_STR_FMT, PN_STR_ARG(signing[i].domain));
	for (size_t i = 0; i < d->keys.n; i++) {
		const struct pn_key_entry *entry = &d->keys.v[i];
		struct pn_signing_key key = {
			.domain = domain, .selector = entry->selector, .key = entry->key
		};

		if (pn_str_eq_nocase(entry->domain, domain)
		    && !has_selector(signing, n, domain, entry->selector))
			judge_key(d, domain, &key, false);
	}
}
