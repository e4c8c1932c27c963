#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "postern/authenticate.h"
#include "postern/clock.h"
#include "postern/dkim_sign.h"
#include "postern/dns_zone.h"
#include "postern/fields.h"

#define S PN_STR
#define NOW 1700000000

static const char *const zone_lines[] = {
	"good.test     TXT \"v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all\"",
	"_dmarc.good.test TXT \"v=DMARC1; p=reject\"",
	"quarantine.test TXT \"v=spf1 ip4:192.0.2.1 -all\"",
	"_dmarc.quarantine.test TXT \"v=DMARC1; p=quarantine\"",
	"none.test     TXT \"v=spf1 ip4:192.0.2.1 -all\"",
	"_dmarc.none.test TXT \"v=DMARC1; p=none\"",
	"plain.test    TXT \"v=spf1 ip4:192.0.2.1 ip4:192.0.2.66 -all\"",
	"host.good.test TXT \"v=spf1 ip4:192.0.2.1 -all\"",
	"hidden.test   TXT \"v=spf1 ip4:192.0.2.1 -all\"",
	"_dmarc.hidden.test TIMEOUT",
	"slow.test     TIMEOUT",
	"_dmarc.slow.test TXT \"v=DMARC1; p=reject\"",
	"slownone.test TIMEOUT",
	"_dmarc.slownone.test TXT \"v=DMARC1; p=none\"",
	"heavy.test    TXT \"v=spf1 a:h0.heavy.test a:h1.heavy.test mx:h2.heavy.test mx:h3.heavy.test -all\"",
	"h0.heavy.test A 203.0.113.9",
	"h1.heavy.test A 203.0.113.9",
	"h2.heavy.test MX 1 h0.heavy.test",
	"h2.heavy.test MX 2 h1.heavy.test",
	"h2.heavy.test MX 3 h4.heavy.test",
	"h3.heavy.test MX 1 h5.heavy.test",
	"h4.heavy.test A 203.0.113.9",
	"h5.heavy.test A 203.0.113.9",
	"evil.test     TXT \"v=spf1 ip4:192.0.2.66 -all\"",
	"_dmarc.evil.test TXT \"v=DMARC1; p=none\"",
};

struct world {
	struct pn_dns_zone *zone;
	struct pn_dkim_key *key;
	struct pn_authenticator *authenticator;
	struct pn_auth_config config;
	struct pn_network relays[2], forwarders[1];
	struct pn_str trusted[2];
	struct pn_arena *arena;
	struct pn_authentication auth;
	struct pn_proof proof;
};

static struct pn_network
network(const char *address, unsigned prefix)
{
	struct pn_network n = { .prefix = prefix };

	assert_int_equal(inet_pton(AF_INET6, address, n.address), 1);
	return n;
}

static void
zone_add(struct pn_dns_zone *zone, struct pn_str line)
{
	struct pn_error err = { "" };

	if (pn_dns_zone_add(zone, line, &err) != PN_OK)
		fail_msg("%s", err.text);
}

static void
defaults(struct world *w)
{
	w->config = (struct pn_auth_config){ .use = PN_DMARC_ENFORCE, .quarantine = PN_QUARANTINE_HOLD,
		.trouble = PN_AUTH_TROUBLE_DEFER, .authserv_id = S("postern.mx.test"), .dkim_min_bits = 1024,
		.dns_timeout = 5, .dns_budget = 10, .dns_questions = 100 };
}

static int
setup(void **state)
{
	struct world *w = test_calloc(1, sizeof(*w));
	struct pn_error err = { "" };

	w->arena = pn_arena_new(64 << 20);
	w->zone = pn_dns_zone_new();
	for (size_t i = 0; i < PN_COUNT(zone_lines); i++)
		zone_add(w->zone, pn_str_c(zone_lines[i]));
	if (pn_dkim_key_generate(PN_DKIM_ED25519, 0, &w->key, &err) != PN_OK)
		fail_msg("%s", err.text);
	for (const char *const *d = (const char *const []){ "good.test", "plain.test", NULL }; *d != NULL; d++)
		zone_add(w->zone, pn_arena_printf(w->arena, "s._domainkey.%s TXT \"" PN_STR_FMT "\"", *d,
		    PN_STR_ARG(pn_dkim_key_record(w->key, w->arena))));
	defaults(w);
	w->relays[0] = network("::ffff:198.51.100.0", 120);
	w->relays[1] = network("2001:db8:ff::", 48);
	w->forwarders[0] = network("::ffff:203.0.113.7", 128);
	if (pn_authenticator_open_with(&w->config, pn_dns_zone_port(w->zone), &w->authenticator, &err) != PN_OK)
		fail_msg("%s", err.text);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	pn_authenticator_close(w->authenticator);
	pn_dkim_key_free(w->key);
	pn_dns_zone_free(w->zone);
	pn_arena_free(w->arena);
	test_free(w);
	return 0;
}

/* The mail with a signature of that domain above it. */
static struct pn_str
sign(struct world *w, struct pn_str mail, const char *domain)
{
	struct pn_dkim_signer signer = { .domain = pn_str_c(domain), .selector = S("s"), .key = w->key };
	struct pn_dkim_signing how = { .relaxed_header = true, .relaxed_body = true, .now = NOW };
	struct pn_dkim_body *body = pn_dkim_body_new(true);
	unsigned char hash[PN_DKIM_HASH_SIZE];
	struct pn_error err = { "" };
	struct pn_fields fields;
	struct pn_field out;
	struct pn_str rest;

	assert_int_equal(pn_fields_split(mail, w->arena, &fields, &rest), PN_OK);
	pn_dkim_body_add(body, rest);
	pn_dkim_body_end(body, hash);
	pn_dkim_body_free(body);
	if (pn_dkim_sign(fields, hash, &signer, 1, &how, w->arena, &out, &err) != PN_OK)
		fail_msg("%s", err.text);
	return pn_arena_printf(w->arena, PN_STR_FMT ":" PN_STR_FMT "\r\n" PN_STR_FMT, PN_STR_ARG(out.name),
	    PN_STR_ARG(out.raw), PN_STR_ARG(mail));
}

/* client: "" = not known.  What came of it is in w->auth and w->proof. */
static void
authenticate(struct world *w, const char *client, const char *helo, const char *sender, struct pn_str text)
{
	struct pn_auth_mail mail = { .helo = pn_str_c(helo), .sender = pn_str_c(sender), .receiver = S("mx.test"),
		.now = NOW };
	struct pn_auth_check *check;
	struct pn_str body;

	if (client[0] != '\0')
		assert_int_equal(inet_pton(AF_INET6, pn_arena_cstr(w->arena, pn_arena_printf(w->arena, "%s%s",
		    strchr(client, ':') == NULL ? "::ffff:" : "", client)), mail.client), 1);
	assert_int_equal(pn_fields_split(text, w->arena, &mail.fields, &body), PN_OK);
	check = pn_auth_check_new(w->authenticator, &w->config, &mail, w->arena);
	if (pn_auth_check_wants_body(check))
		pn_auth_check_body(check, body);
	pn_auth_check_end(check, &w->auth);
	pn_auth_check_free(check);
	w->proof = pn_authentication_proof(&w->auth, &w->config);
}

static const char *
proof_text(const struct pn_proof *p)
{
	if (p->proven == PN_YES)
		return "proven";
	if (p->never_refuse)
		return "never";
	switch (p->wanted) {
	case PN_UNPROVEN_ACCEPT: return p->proven == PN_UNKNOWN ? "unknown" : "accept";
	case PN_UNPROVEN_WAIT: return "in doubt";
	case PN_UNPROVEN_HOLD: return "hold";
	case PN_UNPROVEN_REFUSE: return p->proven == PN_UNKNOWN ? "wait" : "refuse";
	}
	return "?";
}

static void
expect(struct world *w, const char *name, const char *results, const char *proof)
{
	struct pn_strs_builder got = { .arena = w->arena };
	struct pn_auth_results read;
	struct pn_str text;

	assert_int_equal(pn_auth_results_parse(w->auth.header, w->arena, &read), PN_OK);
	assert_true(pn_str_eq(read.authserv_id, w->config.authserv_id));
	for (size_t i = 0; i < read.n; i++)
		pn_strs_add(&got, pn_arena_printf(w->arena, PN_STR_FMT "=" PN_STR_FMT, PN_STR_ARG(read.v[i].method),
		    PN_STR_ARG(read.v[i].result)));
	text = pn_strs_join(got.list, S(" "), w->arena);
	if (!pn_str_eq(text, pn_str_c(results)))
		fail_msg("%s: " PN_STR_FMT ", not %s", name, PN_STR_ARG(text), results);
	if (strcmp(proof_text(&w->proof), proof) != 0)
		fail_msg("%s: %s, not %s", name, proof_text(&w->proof), proof);
}

static struct pn_str
mail(struct world *w, const char *from, const char *above)
{
	return pn_arena_printf(w->arena, "%sFrom: %s\r\nTo: a@b.test\r\n\r\nHello.\r\n", above, from);
}

/* -- results together ----------------------------------------------------------------- */

static const struct {
	const char *name, *client, *helo, *sender, *from, *signer, *results, *proof;
} rows[] = {
	{ "SPF aligned", "192.0.2.1", "h.test", "a@good.test", "a@good.test", NULL, "spf=pass dkim=none dmarc=pass",
	    "proven" },
	{ "SPF aligned, IPv6", "2001:db8::1", "h.test", "a@good.test", "a@good.test", NULL,
	    "spf=pass dkim=none dmarc=pass", "proven" },
	{ "SPF fails", "192.0.2.66", "h.test", "a@good.test", "a@good.test", NULL, "spf=fail dkim=none dmarc=fail",
	    "refuse" },
	{ "DKIM saves", "192.0.2.66", "h.test", "a@good.test", "a@good.test", "good.test",
	    "spf=fail dkim=pass dmarc=pass", "proven" },
	{ "DKIM of another", "192.0.2.66", "h.test", "a@plain.test", "a@good.test", "plain.test",
	    "spf=pass dkim=pass dmarc=fail", "refuse" },
	{ "SPF of another", "192.0.2.66", "h.test", "a@evil.test", "a@good.test", NULL, "spf=pass dkim=none dmarc=fail",
	    "refuse" },
	{ "HELO of a bounce", "192.0.2.1", "host.good.test", "", "a@good.test", NULL, "spf=pass dkim=none dmarc=pass",
	    "proven" },
	{ "no HELO, no sender", "192.0.2.1", "", "", "a@good.test", NULL, "spf=none dkim=none dmarc=fail", "refuse" },
	{ "HELO with odd bytes", "192.0.2.1", "a;\"\\\r\n =dmarc=pass\x80\xff", "", "a@good.test", NULL,
	    "spf=none dkim=none dmarc=fail", "refuse" },
	{ "no record", "192.0.2.66", "h.test", "a@plain.test", "a@plain.test", NULL, "spf=pass dkim=none dmarc=none",
	    "accept" },
	{ "quarantine", "192.0.2.66", "h.test", "", "a@quarantine.test", NULL, "spf=none dkim=none dmarc=fail", "hold" },
	{ "policy none", "192.0.2.66", "h.test", "", "a@none.test", NULL, "spf=none dkim=none dmarc=fail", "accept" },
	{ "no policy to be had", "192.0.2.66", "h.test", "", "a@hidden.test", NULL, "spf=none dkim=none dmarc=temperror",
	    "wait" },
	{ "SPF may yet pass", "192.0.2.66", "h.test", "a@slow.test", "a@slow.test", NULL,
	    "spf=temperror dkim=none dmarc=temperror", "wait" },
	{ "it may, but nothing hangs on it", "192.0.2.66", "h.test", "a@slownone.test", "a@slownone.test", NULL,
	    "spf=temperror dkim=none dmarc=temperror", "unknown" },
	{ "client not known", "", "h.test", "a@good.test", "a@good.test", NULL, "spf=none dkim=none dmarc=fail", "never" },
	{ "client not known, DKIM", "", "h.test", "a@good.test", "a@good.test", "good.test",
	    "spf=none dkim=pass dmarc=pass", "proven" },
	{ "two authors", "192.0.2.1", "h.test", "a@good.test", "a@good.test, b@evil.test", "good.test",
	    "spf=pass dkim=pass dmarc=fail", "accept" },
	{ "two authors, one is protected", "192.0.2.66", "h.test", "a@evil.test", "a@evil.test, b@good.test", NULL,
	    "spf=pass dkim=none dmarc=fail", "refuse" },
	{ "the protected one is too far behind", "192.0.2.66", "h.test", "a@evil.test",
	    "a@evil.test, a@1.test, a@2.test, a@3.test, b@good.test", NULL, "spf=pass dkim=none dmarc=permerror", "refuse" },
	{ "and the DNS fails for another", "192.0.2.66", "h.test", "a@evil.test",
	    "a@hidden.test, a@1.test, a@2.test, a@3.test, b@good.test", NULL,
	    "spf=pass dkim=none dmarc=permerror", "refuse" },
	{ "the DNS fails, the author is in doubt", "192.0.2.66", "h.test", "a@evil.test", "a@hidden.test, b@plain.test", NULL,
	    "spf=pass dkim=none dmarc=temperror", "in doubt" },
	{ "the DNS fails for one author", "192.0.2.66", "h.test", "a@evil.test", "a@hidden.test, b@good.test",
	    NULL, "spf=pass dkim=none dmarc=fail", "refuse" },
};

static void
test_rows(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < PN_COUNT(rows); i++) {
		struct pn_str text = mail(w, rows[i].from, "");

		if (rows[i].signer != NULL)
			text = sign(w, text, rows[i].signer);
		authenticate(w, rows[i].client, rows[i].helo, rows[i].sender, text);
		expect(w, rows[i].name, rows[i].results, rows[i].proof);
	}
}

/* -- what the operator says --------------------------------------------------------------- */

static void
test_obedience(void **state)
{
	static const struct {
		const char *name;
		enum pn_dmarc_use use;
		enum pn_quarantine quarantine;
		bool lists;
		const char *client, *from, *above, *proof;
	} cases[] = {
		{ "mark", PN_DMARC_MARK, PN_QUARANTINE_REFUSE, false, "192.0.2.66", "a@good.test", "", "accept" },
		{ "mark, more authors than are read", PN_DMARC_MARK, PN_QUARANTINE_REFUSE, false, "192.0.2.66",
		    "a@1.test, a@2.test, a@3.test, a@4.test, a@good.test", "", "accept" },
		{ "mark, the DNS fails", PN_DMARC_MARK, PN_QUARANTINE_REFUSE, false, "192.0.2.66", "a@hidden.test", "",
		    "unknown" },
		{ "enforce", PN_DMARC_ENFORCE, PN_QUARANTINE_MARK, false, "192.0.2.66", "a@good.test", "", "refuse" },
		{ "quarantine is told only", PN_DMARC_ENFORCE, PN_QUARANTINE_MARK, false, "192.0.2.66", "a@quarantine.test",
		    "", "accept" },
		{ "quarantine is held", PN_DMARC_ENFORCE, PN_QUARANTINE_HOLD, false, "192.0.2.66", "a@quarantine.test", "",
		    "hold" },
		{ "quarantine is refused", PN_DMARC_ENFORCE, PN_QUARANTINE_REFUSE, false, "192.0.2.66", "a@quarantine.test",
		    "", "refuse" },
		{ "a forwarder", PN_DMARC_ENFORCE, PN_QUARANTINE_HOLD, false, "203.0.113.7", "a@good.test", "", "accept" },
		{ "a list, exempt", PN_DMARC_ENFORCE, PN_QUARANTINE_HOLD, true, "192.0.2.66", "a@good.test",
		    "List-Id: <x>\r\n", "accept" },
		{ "a list, exempt, by its post", PN_DMARC_ENFORCE, PN_QUARANTINE_HOLD, true, "192.0.2.66", "a@good.test",
		    "list-post: <x>\r\n", "accept" },
		{ "a list, not exempt", PN_DMARC_ENFORCE, PN_QUARANTINE_HOLD, false, "192.0.2.66", "a@good.test",
		    "List-Id: <x>\r\n", "refuse" },
		{ "no list", PN_DMARC_ENFORCE, PN_QUARANTINE_HOLD, true, "192.0.2.66", "a@good.test",
		    "List-Unsubscribe: <x>\r\n", "refuse" },
	};
	struct world *w = *state;

	w->config.forwarders = (struct pn_networks){ w->forwarders, 1 };
	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		w->config.use = cases[i].use;
		w->config.quarantine = cases[i].quarantine;
		w->config.exempt_lists = cases[i].lists;
		authenticate(w, cases[i].client, "h.test", "", mail(w, cases[i].from, cases[i].above));
		if (strcmp(proof_text(&w->proof), cases[i].proof) != 0)
			fail_msg("%s: %s, not %s", cases[i].name, proof_text(&w->proof), cases[i].proof);
	}
	defaults(w);
}

/* -- behind trusted relays ------------------------------------------------------------------- */

#define HOP(helo, address) "Received: from " helo " (x.test [" address "])\r\n\tby mx2.test; Mon, 6 Jul 2026\r\n"

static const struct {
	const char *name, *client, *sender, *above, *results, *proof;
} relayed[] = {
	{ "not trusted", "192.0.2.66", "a@good.test", HOP("h.test", "192.0.2.1"), "spf=fail dkim=none dmarc=fail",
	    "refuse" },
	{ "one", "198.51.100.1", "a@good.test", HOP("h.test", "192.0.2.1"), "spf=pass dkim=none dmarc=pass", "proven" },
	{ "two", "198.51.100.1", "a@good.test", HOP("r.test", "IPv6:2001:db8:ff::1") HOP("h.test", "192.0.2.1"),
	    "spf=pass dkim=none dmarc=pass", "proven" },
	{ "its HELO", "198.51.100.1", "", HOP("host.good.test", "192.0.2.1"), "spf=pass dkim=none dmarc=pass", "proven" },
	{ "exempt", "198.51.100.1", "a@good.test", HOP("h.test", "192.0.2.66"), "spf=fail dkim=none dmarc=fail",
	    "accept" },
	{ "a forged one below", "198.51.100.1", "a@good.test", HOP("h.test", "192.0.2.66") HOP("h.test", "192.0.2.1"),
	    "spf=fail dkim=none dmarc=fail", "accept" },
	{ "a forged one below that names a relay", "198.51.100.1", "a@good.test",
	    HOP("h.test", "192.0.2.66") HOP("r.test", "198.51.100.2") HOP("h.test", "192.0.2.1"),
	    "spf=fail dkim=none dmarc=fail", "accept" },
	{ "not parsed", "198.51.100.1", "a@good.test", "Received: by mx2.test\r\n" HOP("h.test", "192.0.2.1"),
	    "spf=none dkim=none dmarc=fail", "never" },
	{ "none there", "198.51.100.1", "a@good.test", "", "spf=none dkim=none dmarc=fail", "never" },
	{ "relays only", "198.51.100.1", "a@good.test", HOP("r.test", "198.51.100.2"), "spf=none dkim=none dmarc=fail",
	    "never" },
	{ "through a filter of its own", "198.51.100.1", "a@good.test",
	    HOP("localhost", "127.0.0.1") HOP("h.test", "192.0.2.1"), "spf=none dkim=none dmarc=fail", "never" },
	{ "through a filter of its own, IPv6", "198.51.100.1", "a@good.test",
	    HOP("localhost", "IPv6:::1") HOP("h.test", "192.0.2.1"), "spf=none dkim=none dmarc=fail", "never" },
};

static void
test_relays(void **state)
{
	struct world *w = *state;

	w->config.trusted_relays = (struct pn_networks){ w->relays, 2 };
	for (size_t i = 0; i < PN_COUNT(relayed); i++) {
		authenticate(w, relayed[i].client, "relay.test", relayed[i].sender, mail(w, "a@good.test", relayed[i].above));
		expect(w, relayed[i].name, relayed[i].results, relayed[i].proof);
	}
	defaults(w);
}

static void
test_many_hops(void **state)
{
	struct world *w = *state;
	struct pn_str hops = PN_STR_EMPTY;

	w->config.trusted_relays = (struct pn_networks){ w->relays, 2 };
	for (int i = 0; i < 100; i++)
		hops = pn_arena_printf(w->arena, PN_STR_FMT "%s", PN_STR_ARG(hops), HOP("r.test", "198.51.100.2"));
	authenticate(w, "198.51.100.1", "r.test", "a@good.test", mail(w, "a@good.test",
	    pn_arena_cstr(w->arena, pn_arena_printf(w->arena, PN_STR_FMT "%s", PN_STR_ARG(hops), HOP("h.test", "192.0.2.1")))));
	expect(w, "many", "spf=none dkim=none dmarc=fail", "never");
	defaults(w);
}

/* -- results of an earlier filter --------------------------------------------------------------- */

#define AR "Authentication-Results: "

static const struct {
	const char *name, *client, *above, *results, *proof, *told;
} earlier[] = {
	{ "SPF and DKIM", "192.0.2.66", AR "filter.test; spf=pass smtp.mailfrom=b@good.test; dkim=fail header.d=evil.test\r\n",
	    "spf=pass dkim=fail dmarc=pass", "proven", "smtp.mailfrom=b@good.test" },
	{ "a sender without a local part", "192.0.2.66", AR "filter.test; spf=pass smtp.mailfrom=good.test\r\n",
	    "spf=pass dkim=none dmarc=pass", "proven", "smtp.mailfrom=good.test" },
	{ "by HELO", "192.0.2.66", AR "filter.test; spf=pass smtp.helo=host.good.test\r\n", "spf=pass dkim=none dmarc=pass",
	    "proven", "smtp.helo=host.good.test" },
	{ "sender before HELO", "192.0.2.66",
	    AR "filter.test; spf=pass smtp.mailfrom=b@good.test; spf=fail smtp.helo=evil.test\r\n",
	    "spf=pass dkim=none dmarc=pass", "proven", "smtp.mailfrom=b@good.test" },
	{ "HELO before sender", "192.0.2.66",
	    AR "filter.test; spf=pass smtp.helo=good.test; spf=fail smtp.mailfrom=b@evil.test\r\n",
	    "spf=fail dkim=none dmarc=fail", "refuse", "smtp.mailfrom=b@evil.test" },
	{ "DKIM only", "192.0.2.66", AR "filter.test; dkim=pass header.d=Good.Test header.s=x\r\n",
	    "spf=fail dkim=pass dmarc=pass", "proven", "header.d=good.test" },
	{ "DKIM by its identity", "192.0.2.66", AR "filter.test; dkim=pass header.i=@good.test\r\n",
	    "spf=fail dkim=pass dmarc=pass", "proven", "header.d=good.test" },
	{ "its DMARC is not taken", "192.0.2.66",
	    AR "filter.test; spf=fail smtp.mailfrom=b@good.test; dmarc=pass\r\n",
	    "spf=fail dkim=none dmarc=fail", "refuse", "dmarc=fail" },
	{ "temporary", "192.0.2.66", AR "filter.test; spf=temperror smtp.mailfrom=b@good.test\r\n",
	    "spf=temperror dkim=none dmarc=temperror", "wait", "temperror" },
	{ "words that nobody knows", "192.0.2.66", AR "filter.test; spf=wonderful smtp.mailfrom=b@good.test; dkim=yes "
	    "header.d=good.test\r\n", "spf=none dkim=neutral dmarc=fail", "refuse", "neutral" },
	{ "the second filter", "192.0.2.66", AR "other.test; dkim=pass header.d=good.test\r\n",
	    "spf=fail dkim=pass dmarc=pass", "proven", "header.d=good.test" },
	{ "none", "192.0.2.66", AR "filter.test; none\r\n", "spf=fail dkim=none dmarc=fail", "refuse",
	    "smtp.mailfrom=a@good.test" },
	{ "not trusted", "192.0.2.66", AR "elsewhere.test; dkim=pass header.d=good.test\r\n",
	    "spf=fail dkim=none dmarc=fail", "refuse", "dkim=none" },
	{ "forged below", "192.0.2.66",
	    AR "filter.test; dkim=fail header.d=good.test\r\n" AR "filter.test; dkim=pass header.d=good.test\r\n",
	    "spf=fail dkim=fail dmarc=fail", "refuse", "dkim=fail" },
	{ "one field for each", "192.0.2.66",
	    AR "filter.test; spf=fail smtp.mailfrom=b@evil.test\r\n" AR
	       "filter.test; dkim=pass header.d=good.test\r\n",
	    "spf=fail dkim=pass dmarc=pass", "proven", "smtp.mailfrom=b@evil.test" },
	{ "two filters", "192.0.2.66",
	    AR "other.test; dkim=pass header.d=good.test\r\n" AR
	       "filter.test; spf=softfail smtp.mailfrom=b@good.test\r\n",
	    "spf=softfail dkim=pass dmarc=pass", "proven", "spf=softfail" },
	{ "the first filter counts", "192.0.2.66",
	    AR "other.test; dkim=pass header.d=good.test\r\n" AR
	       "filter.test; spf=fail smtp.mailfrom=b@good.test; dkim=none\r\n",
	    "spf=fail dkim=none dmarc=fail", "refuse", "dkim=none" },
	{ "forged farther below", "192.0.2.66",
	    AR "filter.test; spf=fail smtp.mailfrom=b@good.test\r\nReceived: from b.test\r\n" AR
	       "filter.test; dkim=pass header.d=good.test\r\n",
	    "spf=fail dkim=none dmarc=fail", "refuse", "dkim=none" },
	{ "one below that is not plain", "192.0.2.66",
	    AR "filter.test; spf=fail smtp.mailfrom=b@good.test\r\n" AR "filter.test; dkim=pass header\r\n" AR
	       "filter.test; dkim=pass header.d=good.test\r\n",
	    "spf=fail dkim=none dmarc=fail", "refuse", "dkim=none" },
	{ "forged in a comment", "192.0.2.66",
	    AR "(filter.test) elsewhere.test; dkim=pass header.d=good.test\r\n",
	    "spf=fail dkim=none dmarc=fail", "refuse", "dkim=none" },
	{ "forged in a value", "192.0.2.66",
	    AR "filter.test; spf=fail smtp.mailfrom=\"x; dkim=pass header.d=good.test\"@evil.test\r\n",
	    "spf=fail dkim=none dmarc=fail", "refuse", "dkim=none" },
};

static void
test_reuse(void **state)
{
	struct world *w = *state;

	w->trusted[0] = S("filter.test");
	w->trusted[1] = S("other.test");
	w->config.trust_authserv = (struct pn_strs){ w->trusted, 2 };
	for (size_t i = 0; i < PN_COUNT(earlier); i++) {
		authenticate(w, earlier[i].client, "h.test", "a@good.test", mail(w, "a@good.test", earlier[i].above));
		expect(w, earlier[i].name, earlier[i].results, earlier[i].proof);
		if (!pn_str_contains(w->auth.header, pn_str_c(earlier[i].told)))
			fail_msg("%s: " PN_STR_FMT, earlier[i].name, PN_STR_ARG(w->auth.header));
	}
	defaults(w);
}

/* A filter in front is believed only where the mail comes from there. */
static void
test_reuse_behind_relays(void **state)
{
	const char *above = AR "filter.test; dkim=pass header.d=good.test\r\n" HOP("h.test", "192.0.2.66");
	struct world *w = *state;

	w->trusted[0] = S("filter.test");
	w->config.trust_authserv = (struct pn_strs){ w->trusted, 1 };
	w->config.trusted_relays = (struct pn_networks){ w->relays, 2 };
	authenticate(w, "198.51.100.1", "r.test", "a@good.test", mail(w, "a@good.test", above));
	expect(w, "from the relay", "spf=fail dkim=pass dmarc=pass", "proven");
	authenticate(w, "192.0.2.66", "r.test", "a@good.test", mail(w, "a@good.test", above));
	expect(w, "past it", "spf=fail dkim=none dmarc=fail", "refuse");
	defaults(w);
}

/* -- ours -------------------------------------------------------------------------------------- */

static void
test_forged(void **state)
{
	struct world *w = *state;

	authenticate(w, "192.0.2.1", "h.test", "a@good.test", mail(w, "a@good.test",
	    AR "postern.mx.test; dmarc=pass\r\n"
	    AR "elsewhere.test; spf=fail\r\n"
	    "authentication-results:\r\n\tPostern.MX.test (x) 1; dmarc=pass\r\n"
	    "X-Other: " AR "\r\n"
	    AR "(a (b)) \"postern.mx.test\"; none\r\n"));
	assert_int_equal(w->auth.forged_count, 3);
	assert_int_equal(w->auth.forged[0], 4);
	assert_int_equal(w->auth.forged[1], 3);
	assert_int_equal(w->auth.forged[2], 1);
}

/* Where forged ones cannot be looked for, nothing is told. */
static void
test_forged_unknown(void **state)
{
	struct world *w = *state, small = *w;
	struct pn_str above = S(AR "postern.mx.test; dmarc=pass\r\n" AR "=?utf-8?q?x?= =?utf-8?q?y?=; none\r\n");

	for (int i = 0; i < 10; i++)
		above = pn_arena_printf(w->arena, PN_STR_FMT PN_STR_FMT, PN_STR_ARG(above), PN_STR_ARG(above));
	small.arena = pn_arena_new(160 * 1024);
	authenticate(&small, "192.0.2.1", "h.test", "a@good.test", mail(w, "a@good.test", pn_arena_cstr(w->arena, above)));
	assert_true(pn_arena_exhausted(small.arena));
	assert_int_equal(small.auth.header.n, 0);
	assert_int_equal(small.auth.forged_count, 0);
	pn_arena_free(small.arena);
}

/* Of a header that is too large nobody knows the author. */
static void
test_cut(void **state)
{
	struct world *w = *state;
	struct pn_field fields[] = { { S("From"), S(" a@good.test") },
		{ S("Authentication-Results"), S(" postern.mx.test; dmarc=pass") } };
	struct pn_auth_mail m = { .helo = S("h.test"), .sender = S("a@good.test"), .receiver = S("mx.test"),
		.fields = { fields, 2 }, .cut = true, .now = NOW };
	struct pn_auth_check *check;

	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", m.client), 1);
	check = pn_auth_check_new(w->authenticator, &w->config, &m, w->arena);
	assert_false(pn_auth_check_wants_body(check));
	pn_auth_check_end(check, &w->auth);
	pn_auth_check_free(check);
	w->proof = pn_authentication_proof(&w->auth, &w->config);
	expect(w, "cut", "spf=pass dmarc=none", "refuse");
	assert_int_equal(w->auth.forged_count, 1);
	w->config.use = PN_DMARC_MARK;
	w->proof = pn_authentication_proof(&w->auth, &w->config);
	expect(w, "cut, mark", "spf=pass dmarc=none", "accept");
	defaults(w);
}

/* -- the budget ------------------------------------------------------------------------------------ */

static enum pn_status
never(void *ctx, struct pn_str name, enum pn_dns_type type, int64_t deadline, struct pn_arena *arena,
    struct pn_dns_answer *out, struct pn_error *err)
{
	struct timespec pause = { .tv_nsec = 20000000 };

	(void)ctx, (void)name, (void)type, (void)arena, (void)out;
	while (pn_clock_mono_us() < deadline)
		(void)nanosleep(&pause, NULL);
	return pn_fail(err, PN_TEMPFAIL, "time-out");
}

static enum pn_status
never_at_all(void *ctx, struct pn_str name, enum pn_dns_type type, struct pn_arena *arena, struct pn_dns_answer *out,
    struct pn_error *err)
{
	return never(ctx, name, type, pn_clock_mono_us() + 60000000, arena, out, err);
}

/* However many answers are missing: one budget. */
static void
test_time(void **state)
{
	struct pn_dns dns = { .query = never_at_all, .query_until = never };
	struct world *w = *state, slow = *w;
	struct pn_error err = { "" };
	struct pn_str text = mail(w, "a@good.test", "");
	int64_t started;

	for (int i = 0; i < 8; i++)
		text = sign(w, text, "good.test");
	slow.config.dns_budget = 1;
	assert_int_equal(pn_authenticator_open_with(&slow.config, dns, &slow.authenticator, &err), PN_OK);
	started = pn_clock_mono_us();
	authenticate(&slow, "192.0.2.1", "h.test", "a@good.test", text);
	assert_in_range(pn_clock_mono_us() - started, 900000, 1800000);
	expect(&slow, "slow", "spf=temperror dkim=temperror dkim=temperror dkim=temperror dkim=temperror dkim=temperror "
	    "dkim=temperror dkim=temperror dkim=temperror dmarc=temperror", "wait");
	pn_authenticator_close(slow.authenticator);
}

/* What the sender makes SPF ask takes nothing from the signatures, nor from the author's policy. */
static void
test_questions(void **state)
{
	static const struct {
		const char *name;
		unsigned questions;
		const char *from, *signer, *results, *proof;
	} cases[] = {
		{ "two for SPF", 5, "a@good.test", NULL, "spf=temperror dkim=none dmarc=fail", "refuse" },
		{ "all for SPF", 20, "a@good.test", NULL, "spf=temperror dkim=none dmarc=fail", "refuse" },
		{ "all for SPF, signed", 20, "a@good.test", "good.test", "spf=temperror dkim=pass dmarc=pass", "proven" },
		{ "all for SPF, by another", 20, "a@good.test", "plain.test", "spf=temperror dkim=pass dmarc=fail", "refuse" },
		{ "enough", 100, "a@good.test", NULL, "spf=fail dkim=none dmarc=fail", "refuse" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		struct pn_str text = mail(w, cases[i].from, "");

		w->config.dns_questions = cases[i].questions;
		if (cases[i].signer != NULL)
			text = sign(w, text, cases[i].signer);
		authenticate(w, "192.0.2.66", "h.test", "a@heavy.test", text);
		expect(w, cases[i].name, cases[i].results, cases[i].proof);
	}
	defaults(w);
}

/* The author's own key is asked for first: those of others may take all the time there is. */
static void
test_own_key_first(void **state)
{
	struct world *w = *state;
	struct pn_str text = mail(w, "a@good.test", "");

	text = sign(w, text, "good.test");
	for (int i = 0; i < 7; i++)
		text = sign(w, text, "plain.test");
	w->config.dns_questions = 5;
	authenticate(w, "192.0.2.66", "h.test", "a@heavy.test", text);
	assert_int_equal(w->auth.dkim.n, 8);
	assert_int_equal(w->auth.dkim.v[0].result, PN_DKIM_TEMPERROR);
	assert_int_equal(w->auth.dkim.v[7].result, PN_DKIM_PASS);
	assert_int_equal(w->proof.proven, PN_YES);
	defaults(w);
}

/* Left alone at any time. */
static void
test_abandoned(void **state)
{
	struct world *w = *state;
	struct pn_auth_mail m = { .helo = S("h.test"), .now = NOW };
	struct pn_auth_check *check;
	struct pn_str body;

	assert_int_equal(pn_fields_split(sign(w, mail(w, "a@good.test", ""), "good.test"), w->arena, &m.fields, &body),
	    PN_OK);
	pn_auth_check_free(NULL);
	check = pn_auth_check_new(w->authenticator, &w->config, &m, w->arena);
	pn_auth_check_free(check);
	check = pn_auth_check_new(w->authenticator, &w->config, &m, w->arena);
	pn_auth_check_body(check, pn_str_head(body, 3));
	pn_auth_check_free(check);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_obedience),
		cmocka_unit_test(test_relays),
		cmocka_unit_test(test_many_hops),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_reuse_behind_relays),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_forged_unknown),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_own_key_first),
		cmocka_unit_test(test_abandoned),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
