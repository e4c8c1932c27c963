/* doctor.h - what is wrong with the DNS of the domains we send for, and the record to publish.
 *
 * The judgement alone: it asks through the DNS port, reads private keys through the
 * key ring, and prints nothing.  What the DNS cannot say is DOCTOR_UNKNOWN, never
 * wrong.  Records to publish are kept as a plan; the verdicts of receivers are found
 * twice, with the DNS as it is and with the plan in front of it.
 */
#ifndef POSTERN_CLI_DOCTOR_H
#define POSTERN_CLI_DOCTOR_H

#include "postern/config.h"
#include "postern/key_ring.h"
#include "postern/key_table.h"
#include "postern/spf.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_UNKNOWN, DOCTOR_ERROR };
const char *doctor_level_name(enum doctor_level level);

struct doctor_finding {
	enum doctor_level level;
	const char *about; /* "domain", "spf", "dkim", "dmarc", "mx", "reverse" */
	struct pn_str domain;
	struct pn_str text, remedy; /* remedy "" where nothing is to do */
	struct pn_str name, record; /* a TXT record to publish; "" = none */
};

/* A From that leaves by a relay, as Odoo's rules 12 and 13 have it. */
struct doctor_route {
	const struct pn_relay *relay;
	struct pn_str from; /* asked about: an address of the domain, or one that a filter names */
	struct pn_str domain; /* of it, A-labels */
	struct pn_str author; /* address that the From shows when it leaves */
	struct pn_str author_domain;
	struct pn_str envelope;
	struct pn_str envelope_domain;
};

/* What a receiver makes of such a mail. */
struct doctor_outcome {
	enum pn_spf_result spf;
	enum pn_dmarc_result dmarc;
	enum pn_dmarc_policy disposition;
	bool spf_aligned, dkim_aligned; /* passed; without a record, as under one without aspf= and adkim= */
	bool envelope_aligned; /* whatever SPF says */
	bool dkim_unsure; /* the DNS cannot say whether a signature would verify */
	struct pn_str spf_why, dkim_why;
	const char *dmarc_why;
};

struct doctor_verdict {
	const struct doctor_route *route;
	enum doctor_level level;
	struct doctor_outcome now, then; /* as it is; with the plan published */
	struct pn_str remedy;
};

struct doctor_record {
	struct pn_str name, text;
};

struct doctor {
	/* set by the caller */
	const struct pn_config *config;
	struct pn_dns dns;
	const struct pn_psl *psl;
	struct pn_str hostname; /* of this host, A-labels */
	struct pn_key_table keys;
	struct pn_signing_table signing;
	struct pn_key_ring *ring;
	struct pn_arena *arena;
	int64_t now;
	void (*progress)(struct pn_str domain, const char *what); /* may be NULL */
	/* results */
	struct doctor_finding *v;
	size_t n, cap;
	struct doctor_route *routes;
	size_t route_count, route_cap;
	struct doctor_verdict *verdicts;
	size_t verdict_count;
	struct doctor_record *plan;
	size_t plan_count, plan_cap;
	struct pn_strs_builder hosts; /* whose reverse names were looked at */
	struct pn_relay this_host; /* the way out where there is no relay */
};

/* The domains of the configuration: managed ones, those of filters, those with keys. */
struct pn_strs doctor_domains(struct doctor *d);
/* All checks; domains: A-labels. */
void doctor_run(struct doctor *d, struct pn_strs domains);
/* The worst of what was found. */
enum doctor_level doctor_worst(const struct doctor *d);

/* -- between the files ---------------------------------------------------------------- */

/* Adds a finding; valid until the next one is added. */
struct doctor_finding *
doctor_find(struct doctor *d, enum doctor_level level, const char *about, struct pn_str domain,
    struct pn_str remedy, const char *format, ...) __attribute__((format(printf, 6, 7)));
#define NO_REMEDY PN_STR_EMPTY
/* Puts the record into the finding and into the plan. */
void doctor_publish(struct doctor *d, struct doctor_finding *finding, struct pn_str name, struct pn_str text);
/* The DNS as it would be with the plan. */
struct pn_dns doctor_planned(struct doctor *d);

/* PN_OK, PN_NOT_FOUND or PN_TEMPFAIL (found as DOCTOR_UNKNOWN): a name that cannot be asked for is not there.
 */
PN_CHECK enum pn_status doctor_ask(struct doctor *d, struct pn_str name, enum pn_dns_type type,
    struct pn_dns_answer *out, struct pn_error *err);
/* A and AAAA together, 16 bytes each.  As above. */
PN_CHECK enum pn_status
doctor_host_addresses(struct doctor *d, struct pn_str host, struct pn_strs *out, struct pn_error *err);
/* 16 bytes as text. */
struct pn_str doctor_address_text(struct pn_str address, struct pn_arena *arena);
/* The domain of an address, or a domain, as A-labels; "" = none. */
struct pn_str doctor_domain_of(struct pn_str address, struct pn_arena *arena);

/* doctor_routes.c */
void doctor_find_routes(struct doctor *d, struct pn_strs domains);
/* Does mail leave with an envelope sender of it? */
bool doctor_is_envelope(const struct doctor *d, struct pn_str domain);

/* doctor_provider.c: a provider of relays by the relay's host. */
struct doctor_provider {
	const char *name;
	const char *host; /* ends so */
	const char *include; /* its SPF record */
	const char *selector; /* where it usually has its own keys for a customer's domain; NULL: anywhere */
	bool own_envelope; /* replaces the envelope sender, until a domain of ours is set there */
};
const struct doctor_provider *doctor_provider_of(const struct pn_relay *relay);
/* What lets it send, for an SPF record. */
struct pn_str doctor_relay_term(const struct pn_relay *relay, struct pn_arena *arena);
/* Addresses it sends from (of a provider one), 16 bytes each.
 * PN_OK, PN_NOT_FOUND, PN_TEMPFAIL */
PN_CHECK enum pn_status doctor_relay_addresses(
    struct doctor *d, const struct pn_relay *relay, struct pn_strs *out, struct pn_error *err);

/* doctor_spf.c */
void doctor_spf(struct doctor *d, struct pn_str domain);
/* SPF of a mail from the relay: the first answer that is no pass, of all its addresses. */
struct pn_spf_answer doctor_relay_spf(
    struct doctor *d, const struct pn_dns *dns, const struct pn_relay *relay, struct pn_str sender);
/* doctor_dkim.c */
void doctor_dkim(struct doctor *d, struct pn_str domain);
/* doctor_dmarc.c */
void doctor_dmarc(struct doctor *d, struct pn_str domain);
/* doctor_mx.c */
void doctor_mx(struct doctor *d, struct pn_str domain);
void doctor_reverse(struct doctor *d, struct pn_str host);
/* doctor_verdict.c */
void doctor_judge(struct doctor *d);

#endif
