/* Decisions: `name value unit` a line.  bench_core [FOLDER]: for the state.
 *
 * First the core alone, with facts in memory: a message is read from its bytes
 * and decided.  Then the gate over the store, with a small and a large
 * directory: a recipient at RCPT, and a whole mail with all it asks of LMDB. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/fields.h"
#include "postern/gate.h"

enum {
	ROUND_US = 300000, ROUNDS = 5, ARENA_LIMIT = 64 << 20,
	SMALL = 1000, LARGE = 1000000,
};

/* -- the world -------------------------------------------------------------------------- */

static struct pn_gateway gateway;

static struct pn_domain domain = {
	.name = { "acme.example", 12 }, .ascii = { "acme.example", 12 },
	.bounce = { "bounce@acme.example", 19 }, .catchall = { "catchall@acme.example", 21 },
	.default_from = { "", 0 }, .human = { "", 0 }, .write_to = { "", 0 },
	.unknown = PN_UNKNOWN_HAND_OVER, .gateway = &gateway,
};

static struct pn_gateway gateway = {
	.name = { "main", 4 }, .target = PN_TARGET_DOMAIN, .target_value = { "odoo.example", 12 },
	.bounce_target = { "", 0 }, .domains = &domain, .domain_count = 1, .complete = true, .stale_after = 3600,
	.loop_minutes = 120, .loop_threshold = 20, .twin_lease = 60,
};

static const struct pn_alias sales = {
	.local = { "sales", 5 }, .full = { "sales@acme.example", 18 }, .model = { "crm.lead", 8 },
	.parent_model = { "", 0 },
};

static enum pn_status
by_full(void *ctx, struct pn_str address, struct pn_arena *arena, struct pn_aliases *out)
{
	(void)ctx;
	(void)arena;
	if (!pn_str_eq(address, sales.full))
		return PN_NOT_FOUND;
	*out = (struct pn_aliases){ &sales, 1 };
	return PN_OK;
}

static enum pn_status
by_local(void *ctx, struct pn_str local, struct pn_arena *arena, struct pn_aliases *out)
{
	(void)ctx;
	(void)local;
	(void)arena;
	(void)out;
	return PN_NOT_FOUND;
}

/* Every message that is asked for belongs to one lead. */
static enum pn_known
newest(struct pn_odoo *odoo, struct pn_strs ids, struct pn_arena *arena, struct pn_stored *out)
{
	(void)odoo;
	(void)arena;
	if (ids.n == 0)
		return PN_NO;
	*out = (struct pn_stored){ .model = PN_STR("crm.lead"), .res_id = 42, .record_known = true };
	return PN_YES;
}

static enum pn_known
duplicate(struct pn_odoo *odoo, struct pn_str message_id)
{
	(void)odoo;
	(void)message_id;
	return PN_NO;
}

/* -- the core alone ------------------------------------------------------------------------ */

#define LEAD_ID "<163524819364312.1763640000.123456789012345-openerp-42-crm.lead@odoo.acme.example>"
#define TRACE "Received: from client.sender.example (client.sender.example [192.0.2.7])\r\n" \
	"\tby mx.acme.example (Postfix) with ESMTPS id 4Zq1xY3Jk2z9vNm\r\n" \
	"\tfor <sales@acme.example>; Mon, 6 Jul 2026 10:00:00 +0000 (UTC)\r\n" \
	"Date: Mon, 6 Jul 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
#define LINE "abcdefghijklmnopqrstuvw abcdefghijklmnopqrstuvw abcdefghijklmnopqrstuvw 1\r\n"
#define BODY LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE

static const struct sample {
	const char *name;
	struct pn_str text;
	enum pn_outcome outcome;
} samples[] = {
	{ "decide_alias", PN_STR(TRACE
		"From: Ann Example <ann@sender.example>\r\nTo: Sales <sales@acme.example>\r\n"
		"Subject: An offer for twelve chairs and one table\r\nMessage-ID: <1@sender.example>\r\n"
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" BODY), PN_ROUTED },
	{ "decide_reply", PN_STR(TRACE
		"From: Ann Example <ann@sender.example>\r\nTo: Acme <catchall@acme.example>\r\n"
		"Subject: Re: An offer\r\nMessage-ID: <2@sender.example>\r\nIn-Reply-To: " LEAD_ID "\r\nReferences: " LEAD_ID
		"\r\nContent-Type: multipart/alternative; boundary=\"b1\"\r\n\r\n--b1\r\n"
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" BODY
		"--b1\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" BODY
		"--b1--\r\n"), PN_ROUTED },
	{ "decide_dsn", PN_STR(TRACE
		"From: MAILER-DAEMON@mx.sender.example (Mail Delivery System)\r\nTo: bounce@acme.example\r\n"
		"Subject: Undelivered Mail Returned to Sender\r\nMessage-ID: <3@mx.sender.example>\r\n"
		"Auto-Submitted: auto-replied\r\n"
		"Content-Type: multipart/report; report-type=delivery-status; boundary=\"b2\"\r\n\r\n--b2\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n\r\nThe mail could not be delivered.\r\n\r\n--b2\r\n"
		"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.sender.example\r\n\r\n"
		"Final-Recipient: rfc822; ann@sender.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
		"Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n--b2\r\nContent-Type: text/rfc822-headers\r\n\r\n"
		"From: Bob <bob@acme.example>\r\nTo: ann@sender.example\r\nMessage-ID: " LEAD_ID "\r\n\r\n--b2--\r\n"),
		PN_BOUNCE_HANDLED },
};

static void
read_message(const struct sample *sample, struct pn_mime *mime, struct pn_arena *arena, struct pn_fields *fields,
    struct pn_mime_result *result)
{
	struct pn_str body;

	if (pn_fields_split(sample->text, arena, fields, &body) != PN_OK)
		exit(1);
	pn_mime_reset(mime);
	for (size_t i = 0; i < fields->n; i++)
		pn_mime_header(mime, fields->v[i].name, fields->v[i].raw);
	pn_mime_end_of_headers(mime);
	pn_mime_body(mime, body);
	pn_mime_end(mime, arena, result);
}

static void
decide(const struct sample *sample, struct pn_mime *mime, struct pn_arena *arena)
{
	struct pn_odoo odoo = { .newest = newest, .duplicate = duplicate };
	struct pn_mime_result result;
	struct pn_message message;
	struct pn_fields fields;
	struct pn_decision decision;
	struct pn_verdict verdict;
	struct pn_route_question question = { .gateway = &gateway, .models = &pn_models_odoo19, .aliases_complete = true,
		.aliases = { NULL, by_full, by_local }, .odoo = &odoo, .message = &message };

	read_message(sample, mime, arena, &fields, &result);
	if (pn_message_parse(fields, &result, false, arena, &message, NULL) != PN_OK
	    || pn_route_decide(&question, arena, &decision, NULL) != PN_OK || decision.outcome != sample->outcome) {
		(void)fprintf(stderr, "bench_core: %s: another decision than it should be\n", sample->name);
		exit(1);
	}
	verdict = pn_verdict(&gateway, &message, &decision, arena);
	(void)pn_loop_windows(&gateway, &pn_models_odoo19, &message, &decision, arena);
	if (verdict.action != PN_ACTION_ACCEPT)
		exit(1);
}

/* -- timing ------------------------------------------------------------------------------- */

struct work {
	void (*once)(void *ctx, struct pn_arena *arena, unsigned *seed);
	void *ctx;
	double us;		/* of the best round, as others use the machine too */
};

static double
time_round(const struct work *work, struct pn_arena *arena, unsigned seed)
{
	int64_t start = pn_clock_mono_us(), us;
	unsigned n = 0;

	do {
		for (int j = 0; j < 64; j++) {
			work->once(work->ctx, arena, &seed);
			pn_arena_reset(arena);
		}
		n += 64;
		us = pn_clock_mono_us() - start;
	} while (us < ROUND_US);
	return (double)us / n;
}

/* Rounds of all of them by turns. */
static void
time_works(struct work *works, size_t n)
{
	struct pn_arena *arena = pn_arena_new(ARENA_LIMIT);

	for (unsigned i = 0; i < ROUNDS; i++)
		for (size_t w = 0; w < n; w++) {
			double us = time_round(&works[w], arena, i + 1);

			if (i == 0 || us < works[w].us)
				works[w].us = us;
		}
	pn_arena_free(arena);
}

struct core_work {
	const struct sample *sample;
	struct pn_mime *mime;
};

static void
core_once(void *ctx, struct pn_arena *arena, unsigned *seed)
{
	const struct core_work *work = ctx;

	(void)seed;
	decide(work->sample, work->mime, arena);
}

static void
bench_core(void)
{
	struct core_work ctx[PN_COUNT(samples)];
	struct work works[PN_COUNT(samples)];

	for (size_t i = 0; i < PN_COUNT(samples); i++) {
		ctx[i] = (struct core_work){ &samples[i], pn_mime_new() };
		works[i] = (struct work){ core_once, &ctx[i], 0 };
	}
	time_works(works, PN_COUNT(works));
	for (size_t i = 0; i < PN_COUNT(samples); i++) {
		(void)printf("%s %.0f mails/s\n", samples[i].name, 1e6 / works[i].us);
		pn_mime_free(ctx[i].mime);
	}
}

/* -- over the store ------------------------------------------------------------------------------ */

struct gate_work {
	struct pn_gate gate;
	unsigned aliases;
	struct pn_mime *mime;
};

static void
must(enum pn_status st, const struct pn_error *err)
{
	if (st == PN_OK)
		return;
	(void)fprintf(stderr, "bench_core: %s\n", err->text);
	exit(1);
}

static struct pn_str
any_address(const struct gate_work *work, struct pn_arena *arena, unsigned *seed)
{
	return pn_arena_printf(arena, "user%u@acme.example", (unsigned)rand_r(seed) % work->aliases);
}

static void
classify(const struct gate_work *work, struct pn_str address, struct pn_arena *arena, struct pn_rcpt *rcpt)
{
	struct pn_error err = { "" };

	must(pn_gate_recipient(&work->gate, address, pn_clock_now(), arena, rcpt, &err), &err);
	if (rcpt->kind != PN_RCPT_ALIAS)
		must(pn_fail(&err, PN_NOT_FOUND, PN_STR_FMT " is no alias", PN_STR_ARG(address)), &err);
}

static void
rcpt_once(void *ctx, struct pn_arena *arena, unsigned *seed)
{
	struct pn_rcpt rcpt;

	classify(ctx, any_address(ctx, arena, seed), arena, &rcpt);
}

/* A mail to one alias, but for what would be written. */
static void
mail_once(void *ctx, struct pn_arena *arena, unsigned *seed)
{
	struct gate_work *work = ctx;
	struct pn_str address = any_address(work, arena, seed);
	struct pn_envelope_rcpt rcpt = { .raw = address, .notify = PN_STR_EMPTY, .orcpt = PN_STR_EMPTY };
	struct pn_gate_mail mail = { .rcpts = &rcpt, .rcpt_count = 1, .smtp = true, .dry_run = true,
		.now_ms = pn_clock_now_ms() };
	struct pn_gate_result result;

	classify(work, address, arena, &rcpt.who);
	read_message(&samples[0], work->mime, arena, &mail.fields, &mail.mime);
	for (size_t i = 0; i < mail.fields.n; i++)
		if (pn_str_eq(mail.fields.v[i].name, PN_STR("To")))
			mail.fields.v[i].raw = address;
	pn_gate_decide(&work->gate, &mail, arena, &result);
	if (result.closing.action != PN_ACTION_ACCEPT)
		exit(1);
}

static void
apply(struct pn_store *store, unsigned n)
{
	struct pn_arena *arena = pn_arena_new(SIZE_MAX);
	struct pn_alias_row *rows = PN_ARENA_ARRAY(arena, struct pn_alias_row, n);
	struct pn_error err = { "" };

	for (unsigned i = 0; i < n; i++)
		rows[i] = (struct pn_alias_row){ gateway.name, { .local = pn_arena_printf(arena, "user%u", i),
		    .full = pn_arena_printf(arena, "user%u@acme.example", i), .model = PN_STR("crm.lead"),
		    .parent_model = PN_STR_EMPTY } };
	must(pn_directory_apply(store, PN_SOURCE_CONFIG, gateway.name, rows, n, NULL, &err), &err);
	pn_arena_free(arena);
}

/* A state directory of its own for each size. */
struct site {
	char path[200];
	struct pn_store *store;
};

static void
site_open(struct site *site, const char *folder, unsigned aliases)
{
	struct pn_store_options options = { .path = site->path };
	struct pn_error err = { "" };

	(void)snprintf(site->path, sizeof(site->path), "%s/postern-bench-XXXXXX", folder);
	if (mkdtemp(site->path) == NULL) {
		perror(site->path);
		exit(1);
	}
	must(pn_store_open(&options, &site->store, &err), &err);
	apply(site->store, aliases);
}

static void
site_close(struct site *site)
{
	static const char *const names[] = { "directory/data.mdb", "directory/lock.mdb", "directory",
		"state/data.mdb", "state/lock.mdb", "state/boot", "state", "" };

	pn_store_close(site->store);
	for (size_t i = 0; i < PN_COUNT(names); i++) {
		char name[512];

		(void)snprintf(name, sizeof(name), "%s/%s", site->path, names[i]);
		if (unlink(name) != 0)
			(void)rmdir(name);
	}
}

static void
bench_gate(const char *folder)
{
	static const unsigned sizes[] = { SMALL, LARGE };
	struct pn_config config = { .hostname = PN_STR("mx.acme.example"),
		.directory = { &gateway, 1, &domain, 1, pn_models_odoo19 } };
	struct site sites[PN_COUNT(sizes)];
	struct gate_work ctx[PN_COUNT(sizes)];
	struct work works[2 * PN_COUNT(sizes)];

	for (size_t i = 0; i < PN_COUNT(sizes); i++) {
		site_open(&sites[i], folder, sizes[i]);
		ctx[i] = (struct gate_work){ { .config = &config, .store = sites[i].store }, sizes[i], pn_mime_new() };
		works[i] = (struct work){ rcpt_once, &ctx[i], 0 };
		works[PN_COUNT(sizes) + i] = (struct work){ mail_once, &ctx[i], 0 };
	}
	time_works(works, PN_COUNT(works));
	for (size_t i = 0; i < PN_COUNT(works); i++)
		(void)printf("%s_%u %.0f /s\n", i < PN_COUNT(sizes) ? "gate_rcpt" : "gate_mail",
		    sizes[i % PN_COUNT(sizes)], 1e6 / works[i].us);
	(void)printf("gate_rcpt_ratio %.2f x\n", works[1].us / works[0].us);
	(void)printf("gate_mail_ratio %.2f x\n", works[3].us / works[2].us);
	for (size_t i = 0; i < PN_COUNT(sizes); i++) {
		pn_mime_free(ctx[i].mime);
		site_close(&sites[i]);
	}
}

int
main(int argc, char **argv)
{
	bench_core();
	bench_gate(argc > 1 ? argv[1] : "/tmp");
	return 0;
}
