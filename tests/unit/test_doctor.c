#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../cli/doctor.h"
#include "postern/dkim_key.h"
#include "postern/dns_zone.h"

enum { ARENA_LIMIT = 64 * 1024 * 1024, FOUND_SIZE = 64 * 1024 };

/* -- a host: configuration, keys, zone -- */

static const char base_config[] = "state_directory = \"/nonexistent\"\n"
				  "gateway \"main\" { target = \"redirect to acme.odoo.example\" }\n"
				  "domain \"acme.example\" { gateway = main }\n";

#define RELAY(name, host, filter)                                                                            \
	"relay \"" name "\" { host = \"" host "\" from_filter = {" filter "} security = starttls }\n"

/* What the cases share: this host, its MX, one relay, a provider and the keys' owner. */
static const char *const base_zone[] = {
	"mx.acme.example A 192.0.2.1",
	"1.2.0.192.in-addr.arpa PTR mx.acme.example",
	"acme.example MX 10 mx.acme.example",
	"smtp.relay.example A 198.51.100.7",
	"_spf.google.com TXT \"v=spf1 include:_netblocks.google.com ~all\"",
	"_netblocks.google.com TXT \"v=spf1 ip4:203.0.113.0/24 ~all\"",
	"amazonses.com TXT \"v=spf1 ip4:203.0.114.0/24 -all\"",
};

struct host {
	struct pn_arena *arena;
	struct pn_dns_zone *zone;
	struct pn_psl *psl;
	struct pn_key_ring *ring;
	struct doctor d;
	struct pn_config *config;
};

static enum pn_status
no_files(const char *path, struct pn_arena *arena, struct pn_str *out, struct pn_error *err)
{
	(void)arena;
	(void)out;
	return pn_fail(err, PN_NOT_FOUND, "%s: not there", path);
}

static struct pn_config *
load_config(const char *more)
{
	char path[] = "/tmp/test-doctor-XXXXXX";
	int fd = mkstemp(path);
	struct pn_config_report report;
	struct pn_config *config = NULL;

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "%s%s", base_config, more) > 0);
	(void)close(fd);
	pn_config_report_init(&report);
	if (pn_config_load(path, &config, &report) != PN_OK)
		fail_msg("%s", pn_buf_c(&report.text));
	pn_config_report_done(&report);
	(void)unlink(path);
	return config;
}

static void
add_line(struct pn_dns_zone *zone, const char *line)
{
	struct pn_error err = { "" };

	if (pn_dns_zone_add(zone, pn_str_c(line), &err) != PN_OK)
		fail_msg("%s: %s", line, err.text);
}

static void
host_open(struct host *h, const char *config)
{
	h->arena = pn_arena_new(ARENA_LIMIT);
	h->zone = pn_dns_zone_new();
	for (size_t i = 0; i < PN_COUNT(base_zone); i++)
		add_line(h->zone, base_zone[i]);
	assert_int_equal(pn_psl_load(NULL, &h->psl, NULL), PN_OK);
	h->ring = pn_key_ring_new(no_files);
	h->config = load_config(config);
	h->d = (struct doctor) { .config = h->config,
		.dns = pn_dns_zone_port(h->zone),
		.psl = h->psl,
		.hostname = PN_STR("mx.acme.example"),
		.ring = h->ring,
		.arena = h->arena,
		.now = 1800000000 };
}

static void
host_close(struct host *h)
{
	pn_config_free(h->config);
	pn_key_ring_free(h->ring);
	pn_psl_free(h->psl);
	pn_dns_zone_free(h->zone);
	pn_arena_free(h->arena);
}

/* "level about: text | remedy | name = record" of each finding but those that are ok, the verdicts behind. */
static void
write_found(const struct host *h, char *out)
{
	size_t n = 1;

	memcpy(out, "\n", 2);
	for (size_t i = 0; i < h->d.n; i++) {
		const struct doctor_finding *f = &h->d.v[i];

		if (f->level != DOCTOR_OK)
			n += (size_t)snprintf(out + n, FOUND_SIZE - n,
			    "%s %s " PN_STR_FMT ": " PN_STR_FMT " | " PN_STR_FMT " | " PN_STR_FMT
			    " = " PN_STR_FMT "\n",
			    doctor_level_name(f->level), f->about, PN_STR_ARG(f->domain), PN_STR_ARG(f->text),
			    PN_STR_ARG(f->remedy), PN_STR_ARG(f->name), PN_STR_ARG(f->record));
		assert_true(n < FOUND_SIZE);
	}
	for (size_t i = 0; i < h->d.verdict_count; i++) {
		const struct doctor_verdict *v = &h->d.verdicts[i];

		n += (size_t)snprintf(out + n, FOUND_SIZE - n,
		    "%s verdict " PN_STR_FMT " by " PN_STR_FMT " as " PN_STR_FMT " <" PN_STR_FMT
		    ">: spf %s%s dkim %s dmarc %s %s then %s | " PN_STR_FMT "\n",
		    doctor_level_name(v->level), PN_STR_ARG(v->route->from),
		    PN_STR_ARG(v->route->relay->name), PN_STR_ARG(v->route->author),
		    PN_STR_ARG(v->route->envelope), pn_spf_result_name(v->now.spf),
		    v->now.spf_aligned ? " aligned" : "", v->now.dkim_aligned ? "aligned" : "no",
		    pn_dmarc_result_name(v->now.dmarc), pn_dmarc_policy_name(v->now.disposition),
		    pn_dmarc_result_name(v->then.dmarc), PN_STR_ARG(v->remedy));
		assert_true(n < FOUND_SIZE);
	}
}

/* -- keys -- */

enum { KEYS = 4 };

/* $N in a case stands for the record of key N, @N for its file. */
static const struct {
	enum pn_dkim_key_type type;
	unsigned bits;
} key_kinds[KEYS] = { { PN_DKIM_RSA, 2048 }, { PN_DKIM_RSA, 1024 }, { PN_DKIM_ED25519, 0 },
	{ PN_DKIM_RSA, 2048 } };

static char key_paths[KEYS][60];
static char key_records[KEYS][1024];

static int
make_keys(void **state)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);

	(void)state;
	for (size_t i = 0; i < KEYS; i++) {
		struct pn_dkim_key *key;
		struct pn_str record;

		(void)snprintf(
		    key_paths[i], sizeof(key_paths[i]), "/tmp/test-doctor-%d-%zu.key", (int)getpid(), i);
		if (pn_dkim_key_generate(key_kinds[i].type, key_kinds[i].bits, &key, NULL) != PN_OK
		    || pn_dkim_key_write(key, key_paths[i], NULL) != PN_OK)
			return -1;
		record = pn_dkim_key_record(key, arena);
		(void)snprintf(key_records[i], sizeof(key_records[i]), PN_STR_FMT, PN_STR_ARG(record));
		pn_dkim_key_free(key);
	}
	pn_arena_free(arena);
	return 0;
}

static int
remove_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < KEYS; i++)
		(void)unlink(key_paths[i]);
	return 0;
}

static const char *
filled_in(struct pn_arena *arena, const char *text)
{
	struct pn_str out = PN_STR_EMPTY;

	for (; *text != '\0'; text++) {
		size_t key = (text[0] == '$' || text[0] == '@') && pn_is_digit(text[1])
		    ? (size_t)(text[1] - '0')
		    : KEYS;

		if (key == KEYS)
			out = pn_arena_printf(arena, PN_STR_FMT "%c", PN_STR_ARG(out), *text);
		else
			out = pn_arena_printf(arena, PN_STR_FMT "%s", PN_STR_ARG(out),
			    *text == '$' ? key_records[key] : key_paths[key]);
		text += key != KEYS;
	}
	return out.p;
}

/* -- zones and what is found in them -- */

enum { LINES_MAX = 20, WORDS_MAX = 8 };

#define ONE_RELAY RELAY("r", "smtp.relay.example", "\"acme.example\"")
#define GMAIL RELAY("g", "smtp.gmail.com", "\"acme.example\"")
#define BETA "domain \"beta.example\" { gateway = main }\n"
#define SES RELAY("s", "email-smtp.eu-west-1.amazonaws.com", "\"acme.example\"")
#define SPF "acme.example TXT \"v=spf1 a:smtp.relay.example ~all\""
#define DMARC "_dmarc.acme.example TXT \"v=DMARC1; p=reject; rua=mailto:d@acme.example\""
#define V "verdict someone@acme.example by "
#define EIGHT                                                                                                \
	"include:1.example include:2.example include:3.example include:4.example include:5.example "         \
	"include:6.example include:7.example include:8.example"
#define EIGHT_RECORDS                                                                                        \
	"1.example TXT \"v=spf1 -all\"", "2.example TXT \"v=spf1 -all\"", "3.example TXT \"v=spf1 -all\"",   \
	    "4.example TXT \"v=spf1 -all\"", "5.example TXT \"v=spf1 -all\"",                                \
	    "6.example TXT \"v=spf1 -all\"", "7.example TXT \"v=spf1 -all\"", "8.example TXT \"v=spf1 -all\""

static const struct {
	const char *name, *config;
	const char *zone[LINES_MAX];
	const char *wanted[WORDS_MAX]; /* each is found */
	const char *unwanted[WORDS_MAX]; /* none is */
	enum doctor_level worst;
} cases[] = {
	{ "all well but for DKIM", ONE_RELAY, { SPF, DMARC },
	    { "warning dkim acme.example: mail of this domain is not signed here | postern keys make "
	      "acme.example",
		"warning " V "r as someone@acme.example <bounce@acme.example>: spf pass aligned dkim no "
			     "dmarc pass none then pass" },
	    { "spf acme", "dmarc acme", "mx acme", "reverse" }, DOCTOR_WARNING },

	/* SPF */
	{ "no SPF record", ONE_RELAY, { DMARC },
	    { "error spf acme.example: there is no SPF record, and mail leaves",
		"acme.example = v=spf1 a:smtp.relay.example ~all\n",
		"error " V "r as someone@acme.example <bounce@acme.example>: spf none dkim no dmarc fail "
			   "reject then pass" },
	    { NULL }, DOCTOR_ERROR },
	{ "several SPF records are merged", ONE_RELAY GMAIL,
	    { "acme.example TXT \"v=spf1 mx -all\"",
		"acme.example TXT \"v=spf1 a:smtp.relay.example mx redirect=x.example\"",
		"x.example TXT \"v=spf1 -all\"", DMARC },
	    { "there are 2 SPF records", "replace them all by one",
		"= v=spf1 mx a:smtp.relay.example include:x.example include:_spf.google.com -all\n" },
	    { NULL }, DOCTOR_ERROR },
	{ "the term that is wrong goes", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 a:smtp.relay.example ip4:192.0.2.300 ipv4:192.0.2.9 mx -all\"",
		DMARC },
	    { "permerror): \"ip4:192.0.2.300\" of acme.example: no IPv4 address",
		"= v=spf1 a:smtp.relay.example mx -all\n" },
	    { NULL }, DOCTOR_ERROR },
	{ "a record that is included is wrong", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 include:x.example a:smtp.relay.example ~all\"",
		"x.example TXT \"v=spf1 foo\"", DMARC },
	    { "\"foo\" of x.example: no mechanism", "tell its owner" }, { "acme.example = v=spf1" },
	    DOCTOR_ERROR },
	{ "a relay is forgotten", GMAIL, { "acme.example TXT \"v=spf1 mx -all\"", DMARC },
	    { "error spf acme.example: relay g sends as bounce@acme.example and may not: fail, 203.0.113.0",
		"acme.example = v=spf1 mx include:_spf.google.com -all\n",
		"spf fail dkim no dmarc fail reject then pass" },
	    { NULL }, DOCTOR_ERROR },
	{ "each relay counts", ONE_RELAY GMAIL,
	    { "acme.example TXT \"v=spf1 include:_spf.google.com ~all\"", DMARC },
	    { "relay r sends as", "= v=spf1 include:_spf.google.com a:smtp.relay.example ~all\n" },
	    { "relay g sends" }, DOCTOR_ERROR },
	{ "a relay by its address", RELAY("r", "198.51.100.9", "\"acme.example\""),
	    { "acme.example TXT \"v=spf1 mx ~all\"", DMARC }, { "= v=spf1 mx ip4:198.51.100.9 ~all\n" },
	    { NULL }, DOCTOR_ERROR },
	{ "a relay by its address over IPv6", RELAY("r", "2001:db8::25", "\"acme.example\""),
	    { "acme.example TXT \"v=spf1 mx ~all\"", DMARC }, { "= v=spf1 mx ip6:2001:db8::25 ~all\n" },
	    { NULL }, DOCTOR_ERROR },
	{ "every address of a relay counts", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 ip4:198.51.100.7 ~all\"", DMARC,
		"smtp.relay.example A 198.51.100.8" },
	    { "may not: softfail, 198.51.100.8" }, { NULL }, DOCTOR_ERROR },
	{ "+all", ONE_RELAY, { "acme.example TXT \"v=spf1 all\"", DMARC },
	    { "error spf acme.example: +all lets the whole world send as acme.example",
		"= v=spf1 a:smtp.relay.example ~all\n" },
	    { NULL }, DOCTOR_ERROR },
	{ "?all", ONE_RELAY, { "acme.example TXT \"v=spf1 a:smtp.relay.example ?all\"", DMARC },
	    { "warning spf acme.example: ?all", "= v=spf1 a:smtp.relay.example ~all\n" }, { NULL },
	    DOCTOR_WARNING },
	{ "no all", ONE_RELAY, { "acme.example TXT \"v=spf1 a:smtp.relay.example\"", DMARC },
	    { "does not end in ~all or -all", "= v=spf1 a:smtp.relay.example ~all\n" }, { NULL },
	    DOCTOR_WARNING },
	{ "redirect= ends it too", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 redirect=x.example\"",
		"x.example TXT \"v=spf1 a:smtp.relay.example -all\"", DMARC },
	    { "spf pass aligned" }, { "spf acme.example" }, DOCTOR_WARNING },
	{ "ptr", ONE_RELAY, { "acme.example TXT \"v=spf1 a:smtp.relay.example ptr ~all\"", DMARC },
	    { "warning spf acme.example: ptr is slow" }, { NULL }, DOCTOR_WARNING },
	{ "the record is where it mends something", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 a:smtp.relay.example ptr ?all\"", DMARC },
	    { "?all says nothing about who may not send |  | acme.example = v=spf1 a:smtp.relay.example ptr "
	      "~all\n",
		"ptr is slow" },
	    { NULL }, DOCTOR_WARNING },
	{ "too many look-ups", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 include:x.example a:smtp.relay.example a mx include:y.example "
	      "?all\"",
		"x.example TXT \"v=spf1 a a a a a -all\"", "x.example A 192.0.2.9",
		"y.example TXT \"v=spf1 mx a -all\"", "y.example A 192.0.2.9", "y.example MX 1 x.example",
		"acme.example A 192.0.2.9", DMARC },
	    { "more than 10 terms that ask the DNS", "(11 of 10 look-ups, 0 of 2 void",
		"include:x.example 6, a:smtp.relay.example 1, a 1, mx 1, include:y.example 3" },
	    { "acme.example = v=spf1", "is missing" }, DOCTOR_ERROR },
	{ "too many look-ups, and a relay is forgotten", ONE_RELAY GMAIL,
	    { "acme.example TXT \"v=spf1 " EIGHT " mx a a:smtp.relay.example -all\"", EIGHT_RECORDS,
		"acme.example A 192.0.2.9", DMARC },
	    { "error spf acme.example: relay g sends as bounce@acme.example, and no term lets it: "
	      "include:_spf.google.com is missing",
		"error " V "r as someone@acme.example <bounce@acme.example>: spf permerror dkim no dmarc "
			   "fail reject then fail | mend the SPF record of acme.example (see above), or sign "
			   "with DKIM" },
	    { "relay r sends", "acme.example = v=spf1" }, DOCTOR_ERROR },
	{ "almost too many look-ups", "",
	    { "acme.example TXT \"v=spf1 ip4:192.0.2.1 " EIGHT " a:gone.example -all\"", EIGHT_RECORDS,
		DMARC },
	    { "warning spf acme.example: there is hardly room for another service: v=spf1 ip4:192.0.2.1",
		"(9 of 10 look-ups, 1 of 2 void) | look-ups by term: include:1.example 1" },
	    { "\nerror" }, DOCTOR_WARNING },
	{ "there is room", "",
	    { "acme.example TXT \"v=spf1 ip4:192.0.2.1 " EIGHT " -all\"", EIGHT_RECORDS, DMARC },
	    { NULL }, { "spf acme" }, DOCTOR_WARNING },
	{ "too many voids", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 a:smtp.relay.example a:x1.example a:x2.example a:x3.example ~all\"",
		DMARC },
	    { "error spf acme.example: receivers cannot use the SPF record (permerror): too many names that do "
	      "not exist, the last was x3.example (4 of 10 look-ups, 3 of 2 void) |  |",
		"warning spf acme.example: \"a:x1.example\": no address at that name", "\"a:x2.example\":",
		"\"a:x3.example\": no address at that name: it lets nobody in, and counts as void |  | "
		"acme.example = v=spf1 a:smtp.relay.example ~all\n" },
	    { NULL }, DOCTOR_ERROR },
	{ "too many voids in what is included", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 a:smtp.relay.example include:x.example ~all\"",
		"x.example TXT \"v=spf1 a:x1.example a:x2.example a:x3.example -all\"", DMARC },
	    { "the names that do not exist are in records that are included" },
	    { "\"include:x.example\":", " = v=spf1" }, DOCTOR_ERROR },
	{ "terms that let nobody in", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 a:smtp.relay.example -exists:x1.example ?mx:nomx.example/24 "
	      "exists:%{ir}.x.example a:six.example mx ~all\"",
		"nomx.example MX 5 gone.example", "six.example AAAA 2001:db8::6", DMARC },
	    { "warning spf acme.example: \"-exists:x1.example\": no address",
		"warning spf acme.example: \"?mx:nomx.example/24\": no mail host at that name",
		"acme.example = v=spf1 a:smtp.relay.example exists:%{ir}.x.example a:six.example mx ~all\n" },
	    { "\"a:six.example\":", "\"mx\":" }, DOCTOR_ERROR },
	{ "terms that may let somebody in stay", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 a:smtp.relay.example a:x.example mx:x.example include:x.example "
	      "exists:x.example ~all\"",
		"x.example TIMEOUT", DMARC },
	    { "unknown spf acme.example: time-out: A of x.example (2 of 10 look-ups, 0 of 2 void" },
	    { "warning spf", " = v=spf1" }, DOCTOR_UNKNOWN },
	{ "an include without a record", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 include:x.example a:smtp.relay.example -all\"",
		"x.example TXT \"hello\"", DMARC },
	    { "(permerror): included, but without a record: x.example (1 of 10 look-ups, 0 of 2 void) |  |",
		"\"include:x.example\": no SPF record at that name: receivers cannot use what includes it |  | "
		"acme.example = v=spf1 a:smtp.relay.example -all\n",
		"dmarc fail reject then pass | publish the records above" },
	    { NULL }, DOCTOR_ERROR },
	{ "redirect= to a name without a record", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 redirect=x.example\"", DMARC },
	    { "\"redirect=x.example\": no SPF record", "= v=spf1 a:smtp.relay.example ~all\n" }, { NULL },
	    DOCTOR_ERROR },
	{ "two terms without a blank between them", ONE_RELAY GMAIL,
	    { "acme.example TXT \"v=spf1 a:smtp.relay.exampleinclude:_spf.google.com -all\"", DMARC },
	    { "\"a:smtp.relay.exampleinclude:_spf.google.com\": no name is like that: is a blank missing",
		"= v=spf1 a:smtp.relay.example include:_spf.google.com -all\n" },
	    { NULL }, DOCTOR_ERROR },
	{ "what looks like a record", ONE_RELAY,
	    { "acme.example TXT \"v=spf1; a:smtp.relay.example -all\"",
		"acme.example TXT \"see v=spf\"", DMARC },
	    { "warning spf acme.example: this looks like an SPF record, and receivers do not see one in it: "
	      "v=spf1; a:smtp.relay.example -all | take it out: a record begins with v=spf1 and a blank",
		"there is no SPF record", "= v=spf1 a:smtp.relay.example ~all\n" },
	    { "see v=spf" }, DOCTOR_ERROR },
	{ "several records with a term that goes", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 mx -all\"", "acme.example TXT \"v=spf1 a:gone.example -all\"", DMARC },
	    { "\"a:gone.example\": no address",
		"replace them all by one | acme.example = v=spf1 mx a:smtp.relay.example -all\n" },
	    { NULL }, DOCTOR_ERROR },
	{ "too many voids over IPv6 only", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 a:smtp.relay.example a:x.example a:mx.acme.example a:y.example "
	      "~all\"",
		"x.example A 192.0.2.9", "y.example A 192.0.2.9", DMARC },
	    { "warning spf acme.example: permerror for mail over IPv6",
		"(4 of 10 look-ups, 0 of 2 void, 3 over IPv6) | write ip4: for the hosts" },
	    { "error spf", " = v=spf1" }, DOCTOR_WARNING },
	{ "SPF: the DNS cannot say", ONE_RELAY, { "acme.example SERVFAIL TXT", DMARC },
	    { "unknown spf acme.example: TXT of acme.example: SERVFAIL",
		"unknown " V
		"r as someone@acme.example <bounce@acme.example>: spf temperror dkim no dmarc temperror" },
	    { "\nerror", "no SPF record" }, DOCTOR_UNKNOWN },
	{ "a relay whose address is not known", RELAY("r", "gone.example", "\"acme.example\""),
	    { SPF, DMARC, "gone.example TIMEOUT" },
	    { "unknown spf acme.example: relay r: A of gone.example: time-out" }, { "\nerror" },
	    DOCTOR_UNKNOWN },

	{ "a relay that has no address", RELAY("r", "gone.example", "\"acme.example\"") GMAIL,
	    { "acme.example TXT \"v=spf1 mx ~all\"", DMARC },
	    { "error spf acme.example: relay r: gone.example has no address | mend its host",
		"acme.example = v=spf1 mx include:_spf.google.com ~all\n" },
	    { "unknown" }, DOCTOR_ERROR },
	{ "a relay that may be covered or not is named", RELAY("r", "gone.example", "\"acme.example\""),
	    { "acme.example TXT \"v=spf1 +all\"", "gone.example TIMEOUT", DMARC },
	    { "acme.example = v=spf1 a:gone.example ~all\n" }, { NULL }, DOCTOR_ERROR },

	/* DMARC */
	{ "no DMARC record", ONE_RELAY, { SPF },
	    { "warning dmarc acme.example: there is no DMARC record",
		"_dmarc.acme.example = v=DMARC1; p=none; rua=mailto:postmaster@acme.example\n",
		"spf pass aligned dkim no dmarc none none then pass | publish the records above" },
	    { NULL }, DOCTOR_WARNING },
	{ "no DMARC record, and none would pass",
	    RELAY("r", "smtp.relay.example", "\"acme.example\", \"other.example\""),
	    { SPF, DMARC, "other.example MX 5 mx.acme.example" },
	    { "warning verdict someone@other.example by r as someone@other.example <bounce@acme.example>: spf "
	      "pass dkim no dmarc none none then fail | sign with a key of the From's domain, or send with" },
	    { NULL }, DOCTOR_WARNING },
	{ "several DMARC records", ONE_RELAY, { SPF, DMARC, "_dmarc.acme.example TXT \"v=DMARC1; p=none\"" },
	    { "error dmarc acme.example: there are 2 DMARC records: receivers use none of them | replace them all "
	      "by this | _dmarc.acme.example = v=DMARC1; p=reject; rua=mailto:d@acme.example\n" },
	    { NULL }, DOCTOR_ERROR },
	{ "several DMARC records in another order", ONE_RELAY,
	    { SPF, "_dmarc.acme.example TXT \"v=DMARC1; p=none; rua=mailto:x@acme.example\"",
		"_dmarc.acme.example TXT \"v=DMARC1; p=none; rua=mailto:d@acme.example\"",
		"_dmarc.acme.example TXT \"v=DMARC1; p=quarantine\"" },
	    { "there are 3 DMARC records",
		"| _dmarc.acme.example = v=DMARC1; p=quarantine; rua=mailto:d@acme.example\n" },
	    { NULL }, DOCTOR_ERROR },
	{ "what looks like a DMARC record", ONE_RELAY,
	    { SPF, "_dmarc.acme.example TXT \"p=reject; v=dmarc1; rua=mailto:d@acme.example\"",
		"_dmarc.acme.example TXT \"hello\"" },
	    { "warning dmarc acme.example: this looks like a DMARC record, and receivers do not see one in it: "
	      "p=reject; v=dmarc1; rua=mailto:d@acme.example | take it out",
		"there is no DMARC record", "= v=DMARC1; p=reject; rua=mailto:d@acme.example\n" },
	    { "hello" }, DOCTOR_WARNING },
	{ "a policy that is none", ONE_RELAY, { SPF, "_dmarc.acme.example TXT \"v=DMARC1; p=refuse\"" },
	    { "error dmarc acme.example: the record has no valid policy" }, { NULL }, DOCTOR_ERROR },
	{ "a tag that is wrong", ONE_RELAY,
	    { SPF,
		"_dmarc.acme.example TXT \"v=DMARC1; p=reject; adkim=strict; rua=mailto:d@acme.example\"" },
	    { "receivers can use: adkim=strict", "= v=DMARC1; p=reject; rua=mailto:d@acme.example\n" },
	    { NULL }, DOCTOR_ERROR },
	{ "a tag twice", ONE_RELAY,
	    { SPF,
		"_dmarc.acme.example TXT \"v=DMARC1; p=reject; aspf=s; aspf=r; rua=mailto:d@acme.example\"" },
	    { "a tag occurs twice" }, { NULL }, DOCTOR_ERROR },
	{ "weak policies", ONE_RELAY,
	    { SPF, "_dmarc.acme.example TXT \"v=DMARC1; p=quarantine; sp=none; np=none; pct=20; t=y\"" },
	    { "sp=none leaves", "np=none leaves", "pct=20", "t=y", "no rua=" }, { "p=none: forged" },
	    DOCTOR_WARNING },
	{ "p=none and psd=y", ONE_RELAY,
	    { SPF, "_dmarc.acme.example TXT \"v=DMARC1; p=none; psd=y; rua=mailto:d@acme.example\"" },
	    { "p=none: forged", "error dmarc acme.example: psd=y" }, { NULL }, DOCTOR_ERROR },
	{ "reports elsewhere without consent", ONE_RELAY,
	    { SPF,
		"_dmarc.acme.example TXT \"v=DMARC1; p=reject; "
		"rua=mailto:a@sub.acme.example,mailto:b@reports.example!10m\"" },
	    { "b@reports.example, and reports.example has not agreed",
		"acme.example._report._dmarc.reports.example = v=DMARC1" },
	    { "a@sub" }, DOCTOR_WARNING },
	{ "reports that go nowhere", ONE_RELAY,
	    { SPF,
		"_dmarc.acme.example TXT \"v=DMARC1; p=reject; rua=mailto:a@acme.example, b@acme.example!10m, "
		"mailto:,mailto:c@..,https://x.example/,mailto:d@acme.example!many; "
		"ruf=mailto:e@acme.example mailto:f@acme.example\"" },
	    { "warning dmarc acme.example: rua=b@acme.example!10m: nobody can send reports there | ",
		"rua=mailto:: nobody", "rua=mailto:c@..: nobody", "rua=https://x.example/: receivers use mailto only",
		"d@acme.example!many: nobody",
		"ruf=mailto:e@acme.example mailto:f@acme.example: nobody can send reports there |  | "
		"_dmarc.acme.example = v=DMARC1; p=reject; "
		"rua=mailto:a@acme.example,mailto:b@acme.example!10m,mailto:d@acme.example; "
		"ruf=mailto:e@acme.example,mailto:f@acme.example\n" },
	    { "rua=mailto:a@acme.example: nobody", "agreed" }, DOCTOR_WARNING },
	{ "no report goes anywhere", ONE_RELAY,
	    { SPF, "_dmarc.acme.example TXT \"v=DMARC1; p=reject; rua=mailto:\"" },
	    { "rua=mailto:: nobody can send reports there |  | _dmarc.acme.example = v=DMARC1; p=reject; "
	      "rua=mailto:postmaster@acme.example\n" },
	    { "no rua=" }, DOCTOR_WARNING },
	{ "both kinds of reports elsewhere", ONE_RELAY,
	    { SPF,
		"_dmarc.acme.example TXT \"v=DMARC1; p=reject; rua=mailto:b@reports.example; "
		"ruf=mailto:c@reports.example\"" },
	    { "b@reports.example, and reports.example has not agreed" }, { "c@reports.example, and" },
	    DOCTOR_WARNING },
	{ "a record that is no consent", ONE_RELAY,
	    { SPF, "_dmarc.acme.example TXT \"v=DMARC1; p=reject; rua=mailto:b@reports.example\"",
		"acme.example._report._dmarc.reports.example TXT \"hello\"" },
	    { "warning dmarc acme.example: reports are to go to b@reports.example, and reports.example has not "
	      "agreed" },
	    { NULL }, DOCTOR_WARNING },
	{ "reports elsewhere with consent", ONE_RELAY,
	    { SPF, "_dmarc.acme.example TXT \"v=DMARC1; p=reject; rua=mailto:b@reports.example\"",
		"acme.example._report._dmarc.reports.example TXT \"v=DMARC1\"" },
	    { "dmarc pass" }, { "dmarc acme" }, DOCTOR_WARNING },
	{ "strict alignment that our envelope has not",
	    RELAY("r", "smtp.relay.example", "\"acme.example\", \"news.acme.example\""),
	    { SPF, DMARC,
		"_dmarc.news.acme.example TXT \"v=DMARC1; p=quarantine; aspf=s; rua=mailto:d@acme.example\"",
		"news.acme.example MX 1 mx.acme.example" },
	    { "error verdict someone@news.acme.example by r as someone@news.acme.example "
	      "<bounce@acme.example>: spf pass dkim no dmarc "
	      "fail quarantine",
		V "r as someone@acme.example <bounce@acme.example>: spf pass aligned dkim no dmarc pass" },
	    { NULL }, DOCTOR_ERROR },
	{ "the record above applies",
	    RELAY("r", "smtp.relay.example", "\"acme.example\", \"news.acme.example\""),
	    { SPF, DMARC, "news.acme.example A 192.0.2.9" },
	    { "verdict someone@news.acme.example by r as someone@news.acme.example <bounce@acme.example>: "
	      "spf pass aligned" },
	    { "dmarc news", "mx news" }, DOCTOR_WARNING },
	{ "what no longer matters is aligned all the same",
	    "dmarc_method = rfc9989\n" RELAY("g", "smtp.gmail.com", "\"acme.example\", \"news.acme.example\""),
	    { "acme.example TXT \"v=spf1 include:_spf.google.com ~all\"", DMARC,
		"google._domainkey.news.acme.example TXT \"v=DKIM1; k=rsa; p=QUJD\"" },
	    { "ok verdict someone@news.acme.example by g as someone@news.acme.example <bounce@acme.example>: "
	      "spf pass aligned dkim aligned dmarc pass" },
	    { NULL }, DOCTOR_WARNING },
	{ "DMARC: the DNS cannot say", ONE_RELAY, { SPF, "_dmarc.acme.example TIMEOUT" },
	    { "unknown dmarc acme.example", "unknown " V "r" }, { "\nerror", "no DMARC" }, DOCTOR_UNKNOWN },

	/* relays */
	{ "a From that no filter covers", RELAY("r", "smtp.relay.example", "\"notifications@acme.example\""),
	    { SPF, DMARC },
	    { "verdict notifications@acme.example by r as notifications@acme.example "
	      "<notifications@acme.example>",
		NULL },
	    { NULL }, DOCTOR_WARNING },
	{ "a domain and an address of it",
	    RELAY("r", "smtp.relay.example", "\"b@news.acme.example\", \"news.acme.example\""),
	    { SPF, DMARC, "www.news.acme.example A 192.0.2.9" },
	    { "verdict b@news.acme.example by r", "verdict someone@news.acme.example by r" },
	    { NULL }, DOCTOR_ERROR },
	{ "no room for the relay that is missing", ONE_RELAY,
	    { "acme.example TXT \"v=spf1 a mx include:1.example include:2.example include:3.example "
	      "include:4.example include:5.example include:6.example include:7.example include:8.example -all\"",
		"acme.example A 192.0.2.1", "1.example TXT \"v=spf1 -all\"", "2.example TXT \"v=spf1 -all\"",
		"3.example TXT \"v=spf1 -all\"", "4.example TXT \"v=spf1 -all\"",
		"5.example TXT \"v=spf1 -all\"", "6.example TXT \"v=spf1 -all\"",
		"7.example TXT \"v=spf1 -all\"", "8.example TXT \"v=spf1 -all\"", DMARC },
	    { "may not: fail", "(10 of 10 look-ups, 0 of 2 void", "look-ups by term: a 1, mx 1, include:1.example 1",
		"a:smtp.relay.example 1; take out" },
	    { " = v=spf1" }, DOCTOR_ERROR },
	{ "a provider that replaces the envelope sender", SES,
	    { "acme.example TXT \"v=spf1 include:amazonses.com ~all\"", DMARC },
	    { "unknown " V "s as someone@acme.example <bounce@acme.example>: spf pass dkim no dmarc temperror none "
	      "then temperror | Amazon SES replaces the envelope sender by its own: sign with DKIM, or set a "
	      "return path in acme.example there" },
	    { "aligned" }, DOCTOR_UNKNOWN },
	{ "a provider's own key", GMAIL,
	    { "acme.example TXT \"v=spf1 include:_spf.google.com ~all\"", DMARC,
		"google._domainkey.acme.example TXT \"v=DKIM1; k=rsa; p=QUJD\"" },
	    { "ok " V
	      "g as someone@acme.example <bounce@acme.example>: spf pass aligned dkim aligned dmarc pass" },
	    { NULL }, DOCTOR_WARNING },
	{ "no relay: this host sends", "", { "acme.example TXT \"v=spf1 mx -all\"", DMARC },
	    { V "this host as someone@acme.example <bounce@acme.example>: spf pass aligned" }, { NULL },
	    DOCTOR_WARNING },

	{ "a domain that does not exist", RELAY("r", "smtp.relay.example", "\"acme.example\", \"acmee.example\""),
	    { SPF, DMARC },
	    { "error domain acmee.example: there is no such domain in the DNS | mend its name", V "r" },
	    { "spf acmee", "dkim acmee", "dmarc acmee", "mx acmee", "someone@acmee" }, DOCTOR_ERROR },
	{ "a domain that may exist", RELAY("r", "smtp.relay.example", "\"acme.example\", \"beta.example\""),
	    { SPF, DMARC, "beta.example TIMEOUT" }, { "unknown spf beta", "unknown mx beta" },
	    { "error domain" }, DOCTOR_UNKNOWN },

	/* MX and reverse names */
	{ "one of the MX is here", ONE_RELAY,
	    { SPF, DMARC, "acme.example MX 5 mx.other.example", "mx.other.example A 198.51.100.99",
		"99.100.51.198.in-addr.arpa PTR mx.other.example" },
	    { NULL }, { "mx acme", "reverse" }, DOCTOR_WARNING },
	{ "here by an address", ONE_RELAY BETA,
	    { SPF, DMARC, "beta.example MX 5 in.beta.example", "in.beta.example A 192.0.2.1" }, { NULL },
	    { "mx beta" }, DOCTOR_ERROR },
	{ "mail goes elsewhere", ONE_RELAY BETA, { SPF, DMARC, "beta.example MX 5 smtp.relay.example" },
	    { "warning mx beta.example: mail goes to smtp.relay.example and not to this host "
	      "(mx.acme.example)" },
	    { NULL }, DOCTOR_ERROR },
	{ "mail goes we do not know where", ONE_RELAY BETA,
	    { SPF, DMARC, "beta.example MX 5 in.beta.example", "in.beta.example SERVFAIL" },
	    { "unknown mx beta.example: A of in.beta.example: SERVFAIL" }, { "not to this host" },
	    DOCTOR_ERROR },
	{ "a null MX", ONE_RELAY BETA, { SPF, DMARC, "beta.example MX 0 ." },
	    { "error mx beta.example: a null MX" }, { NULL }, DOCTOR_ERROR },
	{ "no MX but an address", ONE_RELAY BETA, { SPF, DMARC, "beta.example A 192.0.2.1" },
	    { "warning mx beta.example: there is no MX" }, { NULL }, DOCTOR_ERROR },
	{ "no MX", ONE_RELAY BETA, { SPF, DMARC, "www.beta.example A 192.0.2.9" },
	    { "error mx beta.example", "publish: beta.example. IN MX 10 mx.acme.example." }, { NULL },
	    DOCTOR_ERROR },
	{ "an MX without address", ONE_RELAY, { SPF, DMARC, "acme.example MX 5 gone.example" },
	    { "error mx acme.example: MX gone.example has no address" }, { NULL }, DOCTOR_ERROR },
	{ "an MX that is an alias", ONE_RELAY,
	    { SPF, DMARC, "acme.example MX 5 in.acme.example", "in.acme.example CNAME mx.acme.example" },
	    { "warning mx acme.example: MX in.acme.example is an alias (CNAME)" },
	    { "MX mx.acme.example is" }, DOCTOR_WARNING },
	{ "no reverse name", ONE_RELAY,
	    { SPF, DMARC, "acme.example MX 5 mx2.acme.example", "mx2.acme.example A 192.0.2.22" },
	    { "warning reverse mx2.acme.example: 192.0.2.22 has no reverse name" }, { NULL },
	    DOCTOR_WARNING },
	{ "a reverse name that lies", ONE_RELAY,
	    { SPF, DMARC, "mx.acme.example A 192.0.2.23", "23.2.0.192.in-addr.arpa PTR www.other.example",
		"www.other.example A 192.0.2.99" },
	    { "the reverse name of 192.0.2.23 is www.other.example, which does not lead back" }, { NULL },
	    DOCTOR_WARNING },
	{ "IPv6 has reverse names too", ONE_RELAY,
	    { SPF, DMARC, "mx.acme.example AAAA 2001:db8::1",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR "
		"mx.acme.example" },
	    { NULL }, { "reverse" }, DOCTOR_WARNING },
	{ "the DNS cannot say the reverse name", ONE_RELAY,
	    { SPF, DMARC, "mx.acme.example A 192.0.2.24", "24.2.0.192.in-addr.arpa SERVFAIL" },
	    { "unknown reverse mx.acme.example" }, { "no reverse name" }, DOCTOR_UNKNOWN },
};

static void
expect(const struct host *h, const char *name, const char *const *wanted, const char *const *unwanted,
    enum doctor_level worst, const char *found)
{
	size_t planned = 0;

	/* what is tried out does not stay in the plan; a consent is somebody else's to publish */
	for (size_t i = 0; i < h->d.n; i++)
		planned += h->d.v[i].record.n > 0 && !pn_str_contains(h->d.v[i].name, PN_STR("._report."));
	assert_int_equal(planned, h->d.plan_count);
	for (size_t j = 0; j < WORDS_MAX && wanted[j] != NULL; j++)
		if (strstr(found, filled_in(h->arena, wanted[j])) == NULL)
			fail_msg("%s: no \"%s\" in%s", name, wanted[j], found);
	for (size_t j = 0; j < WORDS_MAX && unwanted[j] != NULL; j++)
		if (strstr(found, unwanted[j]) != NULL)
			fail_msg("%s: \"%s\" in%s", name, unwanted[j], found);
	if (doctor_worst(&h->d) != worst)
		fail_msg("%s: %s%s", name, doctor_level_name(doctor_worst(&h->d)), found);
}

static void
test_zones(void **state)
{
	char *found = malloc(FOUND_SIZE);

	(void)state;
	for (size_t i = 0; i < PN_COUNT(cases); i++) {
		struct host h;

		host_open(&h, cases[i].config);
		for (size_t j = 0; j < LINES_MAX && cases[i].zone[j] != NULL; j++)
			add_line(h.zone, cases[i].zone[j]);
		doctor_run(&h.d, doctor_domains(&h.d));
		write_found(&h, found);
		expect(&h, cases[i].name, cases[i].wanted, cases[i].unwanted, cases[i].worst, found);
		host_close(&h);
	}
	free(found);
}

/* -- keys: what is made of them in a zone -- */

#define SELECTOR "s._domainkey.acme.example TXT "
#define SIGNED "*@acme.example k"

static const struct {
	const char *name, *config;
	const char *keys, *signing; /* @N: the file of key N */
	const char *zone[LINES_MAX];
	const char *wanted[WORDS_MAX];
	const char *unwanted[WORDS_MAX];
	enum doctor_level worst;
} key_cases[] = {
	{ "published", ONE_RELAY, "k acme.example:s:@0", SIGNED, { SPF, DMARC, SELECTOR "\"$0\"" },
	    { "ok " V
	      "r as someone@acme.example <bounce@acme.example>: spf pass aligned dkim aligned dmarc pass" },
	    { "dkim acme", "warning" }, DOCTOR_OK },
	{ "Ed25519", ONE_RELAY, "k acme.example:s:@2", SIGNED, { SPF, DMARC, SELECTOR "\"$2\"" },
	    { "dkim aligned" }, { "dkim acme" }, DOCTOR_OK },
	{ "missing", ONE_RELAY, "k acme.example:s:@0", SIGNED, { SPF, DMARC },
	    { "error dkim acme.example: selector s: no key at", "s._domainkey.acme.example = $0\n",
		"dkim no dmarc pass none then pass | publish the records above" },
	    { NULL }, DOCTOR_ERROR },
	{ "another one", ONE_RELAY, "k acme.example:s:@0", SIGNED, { SPF, DMARC, SELECTOR "\"$3\"" },
	    { "the published key is another one", "= $0\n" }, { NULL }, DOCTOR_ERROR },
	{ "revoked", ONE_RELAY, "k acme.example:s:@0", SIGNED, { SPF, DMARC, SELECTOR "\"v=DKIM1; p=\"" },
	    { "the published key is revoked", "= $0\n" }, { NULL }, DOCTOR_ERROR },
	{ "several", ONE_RELAY, "k acme.example:s:@0", SIGNED,
	    { SPF, DMARC, SELECTOR "\"$0\"", SELECTOR "\"$3\"" },
	    { "several key records | replace them all by this | ", "= $0\n",
		"dkim no dmarc pass none then pass | publish the records above" },
	    { NULL }, DOCTOR_ERROR },
	{ "testing", ONE_RELAY, "k acme.example:s:@0", SIGNED, { SPF, DMARC, SELECTOR "\"$0; t=y\"" },
	    { "warning dkim acme.example: selector s says t=y", "= $0\n" }, { NULL }, DOCTOR_WARNING },
	{ "too short", ONE_RELAY, "k acme.example:s:@1", SIGNED, { SPF, DMARC, SELECTOR "\"$1\"" },
	    { "is an RSA key of 1024 bits", "postern keys rotate acme.example" }, { NULL }, DOCTOR_WARNING },
	{ "the DNS cannot say", ONE_RELAY, "k acme.example:s:@0", SIGNED,
	    { SPF, DMARC, "s._domainkey.acme.example TIMEOUT" },
	    { "unknown dkim acme.example: selector s: time-out",
		"unknown " V
		"r as someone@acme.example <bounce@acme.example>: spf pass aligned dkim no dmarc pass" },
	    { "\nerror", " = v=DKIM1" }, DOCTOR_UNKNOWN },
	{ "no such file", ONE_RELAY, "k acme.example:s:/nonexistent", SIGNED,
	    { SPF, DMARC, SELECTOR "\"$0\"" },
	    { "error dkim acme.example: the private key of selector s cannot be used: /nonexistent" },
	    { NULL }, DOCTOR_ERROR },
	{ "no such name in the key table", ONE_RELAY, "", SIGNED, { SPF, DMARC },
	    { "error dkim acme.example: SigningTable, line 1" }, { NULL }, DOCTOR_ERROR },
	{ "not in use yet", ONE_RELAY, "k acme.example:s:@0\nn acme.example:n:@3", SIGNED,
	    { SPF, DMARC, SELECTOR "\"$0\"" },
	    { "warning dkim acme.example: selector n: no key at n._domainkey.acme.example; no mail is signed "
	      "with it yet",
		"n._domainkey.acme.example = $3\n" },
	    { "\nerror" }, DOCTOR_WARNING },
	{ "only the first signs", ONE_RELAY, "k acme.example:s:@0\nn acme.example:n:@3",
	    SIGNED "\n*@acme.example n", { SPF, DMARC, SELECTOR "\"$0\"" },
	    { "warning dkim acme.example: selector n" }, { "\nerror" }, DOCTOR_WARNING },
	{ "all sign", "sign_all = yes\n" ONE_RELAY, "k acme.example:s:@0\nn acme.example:n:@3",
	    SIGNED "\n*@acme.example n", { SPF, DMARC, SELECTOR "\"$0\"" },
	    { "error dkim acme.example: selector n", "dkim aligned" }, { NULL }, DOCTOR_ERROR },
	{ "one of two is enough", "sign_all = yes\n" ONE_RELAY, "k acme.example:s:@0\nn acme.example:n:@3",
	    SIGNED "\n*@acme.example n", { SPF, DMARC, "n._domainkey.acme.example TXT \"$3\"" },
	    { "error dkim acme.example: selector s", "dkim aligned" }, { NULL }, DOCTOR_ERROR },
	{ "of another domain", ONE_RELAY, "k other.example:s:@0", SIGNED,
	    { SPF, DMARC, "s._domainkey.other.example TXT \"$0\"" },
	    { "warning " V
	      "r as someone@acme.example <bounce@acme.example>: spf pass aligned dkim no dmarc pass" },
	    { NULL }, DOCTOR_WARNING },
	{ "DKIM alone carries it", GMAIL, "k acme.example:s:@0", SIGNED,
	    { "acme.example TXT \"v=spf1 mx ~all\"", DMARC, SELECTOR "\"$0\"" },
	    { "ok " V
	      "g as someone@acme.example <bounce@acme.example>: spf softfail dkim aligned dmarc pass" },
	    { NULL }, DOCTOR_ERROR },
	{ "a provider that replaces what our signatures leave out", SES, "k acme.example:s:@0", SIGNED,
	    { "acme.example TXT \"v=spf1 include:amazonses.com ~all\"", DMARC, SELECTOR "\"$0\"" },
	    { "ok " V "s as", "spf pass dkim aligned dmarc pass" }, { "have it sign" }, DOCTOR_OK },
	{ "what is published decides the verdict", GMAIL, "k acme.example:s:@0", SIGNED,
	    { "acme.example TXT \"v=spf1 mx ~all\"", DMARC },
	    { "error " V "g as someone@acme.example <bounce@acme.example>: spf softfail dkim no dmarc fail "
			 "reject then pass" },
	    { NULL }, DOCTOR_ERROR },
};

static void
open_tables(struct host *h, const char *keys, const char *signing)
{
	pn_key_ring_free(h->ring);
	h->ring = h->d.ring = pn_key_ring_new(pn_config_secret);
	assert_int_equal(
	    pn_key_table_parse(pn_str_c(filled_in(h->arena, keys)), h->arena, &h->d.keys, NULL), PN_OK);
	assert_int_equal(
	    pn_signing_table_parse(pn_str_c(signing), true, h->arena, &h->d.signing, NULL), PN_OK);
}

static void
test_keys(void **state)
{
	char *found = malloc(FOUND_SIZE);

	(void)state;
	for (size_t i = 0; i < PN_COUNT(key_cases); i++) {
		struct pn_str domain = PN_STR("acme.example");
		struct host h;

		host_open(&h, key_cases[i].config);
		open_tables(&h, key_cases[i].keys, key_cases[i].signing);
		for (size_t j = 0; j < LINES_MAX && key_cases[i].zone[j] != NULL; j++)
			add_line(h.zone, filled_in(h.arena, key_cases[i].zone[j]));
		doctor_run(&h.d, (struct pn_strs) { &domain, 1 });
		write_found(&h, found);
		expect(&h, key_cases[i].name, key_cases[i].wanted, key_cases[i].unwanted, key_cases[i].worst,
		    found);
		host_close(&h);
	}
	free(found);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zones),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, make_keys, remove_keys);
}
