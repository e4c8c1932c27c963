#include "postern/authenticate.h"

#include <stdlib.h>

#include "postern/clock.h"

enum {
	TRUSTED_HOPS_MAX = 20,
	HELO_MAX = 255,
	IDENTIFIERS_MAX = PN_DKIM_CHECKED + 1,
	/* of the budget, in hundredths; DMARC has the rest: four authors of nine questions each */
	SPF_SHARE = 40,
	DKIM_SHARE = 20,
};

struct pn_authenticator {
	struct pn_dkim_verifier *verifier;
	struct pn_psl *psl;
	struct pn_resolver *resolver;	/* NULL: the DNS is the caller's */
	struct pn_dns dns;
};

struct pn_auth_check {
	struct pn_authenticator *authenticator;
	const struct pn_auth_config *config;
	struct pn_auth_mail mail;
	struct pn_arena *arena;
	struct pn_dkim_check *dkim;
	bool spf_told, dkim_told;	/* by an earlier filter */
	struct pn_authentication out;
};

/* -- once in a process ------------------------------------------------------------- */

enum pn_status
pn_authenticator_open_with(const struct pn_auth_config *config, struct pn_dns dns, struct pn_authenticator **out,
    struct pn_error *err)
{
	struct pn_dkim_policy policy = { .min_rsa_bits = (unsigned)config->dkim_min_bits,
		.accept_testing = config->dkim_accept_testing };
	struct pn_authenticator *a = calloc(1, sizeof(*a));
	enum pn_status st;

	if (a == NULL)
		pn_out_of_memory();
	st = pn_psl_load(config->public_suffix_list.n > 0 ? config->public_suffix_list.p : NULL, &a->psl, err);
	if (st != PN_OK) {
		free(a);
		return st;
	}
	a->verifier = pn_dkim_verifier_new(&policy);
	a->dns = dns;
	*out = a;
	return PN_OK;
}

enum pn_status
pn_authenticator_open(const struct pn_auth_config *config, struct pn_authenticator **out, struct pn_error *err)
{
	struct pn_resolver_options options = {
		.forwarders = config->dns_servers,
		.trust_anchor = config->dns_trust_anchor,
		.timeout_ms = (unsigned)config->dns_timeout * 1000,
	};
	struct pn_resolver *resolver;
	enum pn_status st = pn_resolver_open(&options, &resolver, err);

	if (st != PN_OK)
		return st;
	st = pn_authenticator_open_with(config, pn_resolver_port(resolver), out, err);
	if (st != PN_OK)
		pn_resolver_close(resolver);
	else
		(*out)->resolver = resolver;
	return st;
}

void
pn_authenticator_close(struct pn_authenticator *a)
{
	if (a == NULL)
		return;
	pn_resolver_close(a->resolver);
	pn_dkim_verifier_free(a->verifier);
	pn_psl_free(a->psl);
	free(a);
}

struct pn_dns
pn_authenticator_dns(const struct pn_authenticator *a)
{
	return a->dns;
}

/* -- who sent it ---------------------------------------------------------------------- */

static bool
is_loopback(const unsigned char client[16])
{
	static const unsigned char v4[13] = { [10] = 0xff, [11] = 0xff, [12] = 127 }, v6[16] = { [15] = 1 };

	return memcmp(client, v4, sizeof(v4)) == 0 || memcmp(client, v6, sizeof(v6)) == 0;
}

/* Behind trusted relays: the first client that is none of them, as the topmost
 * Received fields tell, which those relays have written.  One that has its mail from
 * itself does not say who brought it. */
static void
find_client(struct pn_auth_check *c)
{
	static const unsigned char nobody[16];
	size_t hops = 0;

	c->out.client_unknown = memcmp(c->mail.client, nobody, sizeof(nobody)) == 0;
	if (!pn_networks_have(c->config->trusted_relays, c->mail.client))
		return;
	c->out.relayed = c->out.client_unknown = true;
	for (size_t i = 0; i < c->mail.fields.n && hops < TRUSTED_HOPS_MAX; i++) {
		unsigned char client[16];
		struct pn_str helo;

		if (!pn_str_eq_nocase(c->mail.fields.v[i].name, PN_STR("Received")))
			continue;
		hops++;
		if (pn_received_client(c->mail.fields.v[i].raw, client, &helo) != PN_OK)
			return;
		if (pn_networks_have(c->config->trusted_relays, client))
			continue;
		if (is_loopback(client))
			return;
		memcpy(c->mail.client, client, sizeof(client));
		c->mail.helo = pn_str_head(helo, HELO_MAX);
		c->out.client_unknown = false;
		return;
	}
}

static bool
is_list_mail(struct pn_fields fields)
{
	for (size_t i = 0; i < fields.n; i++)
		if (pn_str_eq_nocase(fields.v[i].name, PN_STR("List-Id"))
		    || pn_str_eq_nocase(fields.v[i].name, PN_STR("List-Post")))
			return true;
	return false;
}

/* An answer that will be needed is then on its way while the body comes in: of each step one, as whoever
 * writes the mail chooses what is asked. */
static void
ask_early(const struct pn_auth_check *c)
{
	struct pn_resolver *resolver = c->authenticator->resolver;
	size_t at = pn_str_find_last(c->mail.sender, '@');
	struct pn_strs keys;

	if (resolver == NULL)
		return;
	keys = pn_dkim_check_keys(c->dkim);
	for (size_t i = 0; i < keys.n; i++)
		pn_resolver_start(resolver, keys.v[i], PN_DNS_TXT);
	if (!c->out.client_unknown && at != PN_STR_NONE)
		pn_resolver_start(resolver, pn_str_from(c->mail.sender, at + 1), PN_DNS_TXT);
	if (c->out.from.domains.n > 0)
		pn_resolver_start(resolver, pn_arena_printf(c->arena, "_dmarc." PN_STR_FMT,
		    PN_STR_ARG(c->out.from.domains.v[0])), PN_DNS_TXT);
}

struct pn_auth_check *
pn_auth_check_new(struct pn_authenticator *authenticator, const struct pn_auth_config *config,
    const struct pn_auth_mail *mail, struct pn_arena *arena)
{
	struct pn_auth_check *c = PN_ARENA_NEW(arena, struct pn_auth_check);

	*c = (struct pn_auth_check){ .authenticator = authenticator, .config = config, .mail = *mail, .arena = arena };
	find_client(c);
	c->out.exempt = c->out.relayed || pn_networks_have(config->forwarders, mail->client)
	    || (config->exempt_lists && is_list_mail(mail->fields));
	if (mail->cut || pn_from_identity(mail->fields, arena, &c->out.from) != PN_OK)
		c->out.from = (struct pn_from_identity){ .more = true, .why = "a header that is too large" };
	c->dkim = pn_dkim_check_new(authenticator->verifier, mail->cut ? (struct pn_fields){ .n = 0 } : mail->fields,
	    c->out.from.domains.n > 0 ? c->out.from.domains.v[0] : PN_STR_EMPTY, mail->now, arena);
	ask_early(c);
	return c;
}

bool
pn_auth_check_wants_body(const struct pn_auth_check *c)
{
	return pn_dkim_check_wants_body(c->dkim);
}

void
pn_auth_check_body(struct pn_auth_check *c, struct pn_str chunk)
{
	pn_dkim_check_body(c->dkim, chunk);
}

void
pn_auth_check_free(struct pn_auth_check *c)
{
	if (c != NULL)
		pn_dkim_check_free(c->dkim);
}

/* -- an earlier filter's results ---------------------------------------------------------- */

static struct pn_str
property(const struct pn_auth_result *r, struct pn_str type, struct pn_str name)
{
	for (size_t i = 0; i < r->n; i++)
		if (pn_str_eq_nocase(r->properties[i].type, type) && pn_str_eq_nocase(r->properties[i].name, name))
			return r->properties[i].value;
	return PN_STR_EMPTY;
}

static struct pn_str
host_of(struct pn_str address)
{
	size_t at = pn_str_find_last(address, '@');

	return at == PN_STR_NONE ? address : pn_str_from(address, at + 1);
}

/* Of a sender and of a HELO name, the sender's counts.  Ours then tells what was asked there. */
static void
take_spf(struct pn_auth_check *c, const struct pn_auth_result *r)
{
	struct pn_str from = property(r, PN_STR("smtp"), PN_STR("mailfrom"));

	if (pn_str_eq(from, PN_STR("<>")))
		from = PN_STR_EMPTY;
	if (c->spf_told && from.n == 0)
		return;
	c->spf_told = true;
	c->out.spf.result = PN_SPF_NONE;
	for (enum pn_spf_result i = PN_SPF_NONE; i <= PN_SPF_PERMERROR; i++)
		if (pn_str_eq_nocase(r->result, pn_str_c(pn_spf_result_name(i))))
			c->out.spf.result = i;
	c->mail.sender = from;
	c->mail.helo = property(r, PN_STR("smtp"), PN_STR("helo"));
	c->out.spf.domain = from.n > 0 ? host_of(from) : c->mail.helo;
}

static void
take_dkim(struct pn_auth_check *c, const struct pn_auth_result *r)
{
	struct pn_dkim_signature *s = &c->out.dkim.v[c->out.dkim.n++];

	*s = (struct pn_dkim_signature){
		.domain = pn_arena_lower(c->arena, property(r, PN_STR("header"), PN_STR("d"))),
		.selector = property(r, PN_STR("header"), PN_STR("s")),
		.identity = property(r, PN_STR("header"), PN_STR("i")),
		.algorithm = property(r, PN_STR("header"), PN_STR("a")),
		.b = property(r, PN_STR("header"), PN_STR("b")),
		.result = PN_DKIM_NEUTRAL,
	};
	/* one of the two is enough (RFC 8601 section 2.7.1), and i= is d= or below it */
	if (s->domain.n == 0)
		s->domain = pn_arena_lower(c->arena, host_of(s->identity));
	for (enum pn_dkim_result i = PN_DKIM_NONE; i <= PN_DKIM_PERMERROR; i++)
		if (pn_str_eq_nocase(r->result, pn_str_c(pn_dkim_result_name(i))))
			s->result = i;
}

/* SPF and DKIM, each of the first filter that is trusted and has told of it; DMARC is
 * evaluated here in any case. */
static void
reuse(struct pn_auth_check *c)
{
	/* who comes past the filter in front can write its name as well */
	if (c->config->trusted_relays.n > 0 && !c->out.relayed)
		return;
	for (size_t i = 0; i < c->config->trust_authserv.n; i++) {
		struct pn_str id = c->config->trust_authserv.v[i];
		bool spf = !c->spf_told, dkim = !c->dkim_told;
		struct pn_auth_results earlier;

		if (pn_auth_results_trusted(c->mail.fields, id, c->arena, &earlier) != PN_OK)
			continue;
		if (dkim)
			c->out.dkim.v = PN_ARENA_ARRAY(c->arena, struct pn_dkim_signature, earlier.n);
		for (size_t j = 0; j < earlier.n; j++) {
			if (spf && pn_str_eq_nocase(earlier.v[j].method, PN_STR("spf")))
				take_spf(c, &earlier.v[j]);
			else if (dkim && pn_str_eq_nocase(earlier.v[j].method, PN_STR("dkim")))
				take_dkim(c, &earlier.v[j]);
		}
		c->dkim_told = c->out.dkim.n > 0;
		if (c->out.reused.n == 0 && (c->spf_told || c->dkim_told))
			c->out.reused = id;
	}
}

/* -- the checks ------------------------------------------------------------------------------ */

static void
check_spf(struct pn_auth_check *c, const struct pn_dns *dns)
{
	struct pn_spf_question question = { .helo = c->mail.helo, .sender = c->mail.sender, .receiver = c->mail.receiver,
		.now = c->mail.now };

	if (c->out.client_unknown)
		return;
	memcpy(question.client, c->mail.client, sizeof(question.client));
	pn_spf_check(&question, dns, c->arena, &c->out.spf);
}

static void
check_dmarc(struct pn_auth_check *c, const struct pn_dns *dns)
{
	struct pn_dmarc_identifier v[IDENTIFIERS_MAX];
	struct pn_dmarc_question question = { .mode = c->config->mode, .psl = c->authenticator->psl, .dns = dns,
		.from = c->out.from, .identifiers = v, .roll = arc4random_uniform(100) };
	size_t n = 0;

	if (c->out.spf.domain.n > 0 && (c->out.spf.result == PN_SPF_PASS || c->out.spf.result == PN_SPF_TEMPERROR))
		v[n++] = (struct pn_dmarc_identifier){ c->out.spf.domain, false, c->out.spf.result == PN_SPF_TEMPERROR };
	for (size_t i = 0; i < c->out.dkim.n && n < IDENTIFIERS_MAX; i++) {
		const struct pn_dkim_signature *s = &c->out.dkim.v[i];

		if (s->domain.n > 0 && (s->result == PN_DKIM_PASS || s->result == PN_DKIM_TEMPERROR))
			v[n++] = (struct pn_dmarc_identifier){ s->domain, true, s->result == PN_DKIM_TEMPERROR };
	}
	question.identifier_count = n;
	pn_dmarc_evaluate(&question, c->arena, &c->out.dmarc);
}

static void
write_header(struct pn_auth_check *c)
{
	struct pn_auth_results results;

	pn_auth_results_begin(&results, c->config->authserv_id, c->arena);
	pn_auth_results_add_spf(&results, pn_str_c(pn_spf_result_name(c->out.spf.result)), c->mail.sender,
	    c->mail.helo, c->arena);
	for (size_t i = 0; i < c->out.dkim.n; i++) {
		const struct pn_dkim_signature *s = &c->out.dkim.v[i];

		pn_auth_results_add_dkim(&results, pn_str_c(pn_dkim_result_name(s->result)), s->reason, s->domain,
		    s->identity, s->algorithm, s->selector, s->b, c->arena);
	}
	if (c->out.dkim.n == 0 && !c->mail.cut)
		pn_auth_results_add(&results, PN_STR("dkim"), PN_STR("none"), PN_STR_EMPTY, c->arena);
	pn_auth_results_add_dmarc(&results, &c->out.dmarc, c->arena);
	c->out.header = pn_auth_results_write(&results, c->arena);
	/* beside forged ones ours would be worth nothing */
	if (pn_auth_results_forged(c->mail.fields, c->config->authserv_id, c->arena, &c->out.forged,
	    &c->out.forged_count) != PN_OK)
		c->out.header = PN_STR_EMPTY;
}

/* More of the budget, in hundredths, and what the steps before have left. */
static void
give(struct pn_dns_budget *budget, const struct pn_auth_config *config, unsigned share)
{
	budget->questions_left += (unsigned)config->dns_questions * share / 100;
	budget->deadline += (int64_t)config->dns_budget * 10000 * share;
}

/* Each step has a share of its own: what SPF and DKIM cost is chosen by the sender, who must not
 * be able to hide the author's policy that way. */
void
pn_auth_check_end(struct pn_auth_check *c, struct pn_authentication *out)
{
	struct pn_dns_budget budget;
	struct pn_dns dns;

	pn_dns_budget_init(&budget, c->authenticator->dns, 0, pn_clock_mono_us());
	dns = pn_dns_budget_port(&budget);
	reuse(c);
	give(&budget, c->config, SPF_SHARE);
	if (!c->spf_told)
		check_spf(c, &dns);
	give(&budget, c->config, DKIM_SHARE);
	if (!c->dkim_told)
		c->out.dkim = pn_dkim_check_end(c->dkim, &dns);
	give(&budget, c->config, 100 - SPF_SHARE - DKIM_SHARE);
	check_dmarc(c, &dns);
	write_header(c);
	*out = c->out;
}

/* -- for the decision ------------------------------------------------------------------------- */

/* A temporary error may hide any policy but one that is known to be none; more authors than
 * are read may hide a protected one.  An author in doubt is known not to be proven, and no error
 * that may pass is a reason to refuse for good. */
static enum pn_unproven
wanted(const struct pn_authentication *auth, const struct pn_auth_config *config)
{
	const struct pn_dmarc *dmarc = &auth->dmarc;

	if (config->use != PN_DMARC_ENFORCE || auth->exempt)
		return PN_UNPROVEN_ACCEPT;
	if (auth->from.more)
		return PN_UNPROVEN_REFUSE;
	if (dmarc->result == PN_DMARC_TEMPERROR)
		return dmarc->policy == PN_DMARC_NONE ? PN_UNPROVEN_ACCEPT
		    : auth->from.one ? PN_UNPROVEN_REFUSE : PN_UNPROVEN_WAIT;
	if (dmarc->result != PN_DMARC_FAIL)
		return PN_UNPROVEN_ACCEPT;
	switch (dmarc->disposition) {
	case PN_DMARC_UNSET:
	case PN_DMARC_NONE:
		break;
	case PN_DMARC_QUARANTINE:
		return config->quarantine == PN_QUARANTINE_REFUSE ? PN_UNPROVEN_REFUSE
		    : config->quarantine == PN_QUARANTINE_HOLD ? PN_UNPROVEN_HOLD : PN_UNPROVEN_ACCEPT;
	case PN_DMARC_REJECT:
		return PN_UNPROVEN_REFUSE;
	}
	return PN_UNPROVEN_ACCEPT;
}

struct pn_proof
pn_authentication_proof(const struct pn_authentication *auth, const struct pn_auth_config *config)
{
	return (struct pn_proof){
		.checked = true,
		.proven = auth->dmarc.result == PN_DMARC_PASS ? PN_YES
		    : auth->dmarc.result == PN_DMARC_TEMPERROR && auth->from.one ? PN_UNKNOWN : PN_NO,
		.never_refuse = auth->client_unknown,
		.wanted = wanted(auth, config),
		.defer = config->trouble == PN_AUTH_TROUBLE_DEFER,
		.author = auth->dmarc.author,
	};
}
