/* postern explain - the same way through the gate as the milter's, nothing changed. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "explain.h"
#include "postern/clock.h"
#include "postern/fields.h"

enum {
	MAIL_MAX = 256 << 20,		/* Postfix takes 10 MB unless told otherwise */
	ARENA_LIMIT = 64 << 20,		/* the milter's for the headers of one mail */
	READ_STEP = 64 << 10,
};

/* -- reading the mail ----------------------------------------------------------------- */

static int
read_all(int fd, const char *name, struct pn_buf *out)
{
	char chunk[READ_STEP];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			(void)fprintf(stderr, "postern: %s: %s\n", name, strerror(errno));
			return EX_NOINPUT;
		}
		pn_buf_add(out, pn_str_n(chunk, (size_t)n));
		if (pn_buf_failed(out))
			return cli_fail(PN_LIMIT, "%s: larger than %d MB", name, MAIL_MAX >> 20);
	}
	return EX_OK;
}

static int
read_mail(const char *name, struct pn_buf *out)
{
	bool standard = strcmp(name, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	int code;

	if (fd < 0) {
		(void)fprintf(stderr, "postern: %s: %s\n", name, strerror(errno));
		return EX_NOINPUT;
	}
	code = read_all(fd, standard ? "standard input" : name, out);
	if (!standard)
		(void)close(fd);
	return code;
}

/* -- who sent it ---------------------------------------------------------------------- */

static bool
parse_client(struct pn_str text, unsigned char client[16])
{
	struct pn_str helo;
	char field[128];
	int n = snprintf(field, sizeof(field), "from x ([" PN_STR_FMT "])", PN_STR_ARG(pn_str_head(text, 64)));

	return pn_received_client(pn_str_n(field, (size_t)n), client, &helo) == PN_OK;
}

/* The DNS is asked, as the milter does. */
static int
authenticate(struct explain *e, struct pn_str body)
{
	const struct pn_config *config = e->gate.config;
	struct pn_auth_mail mail = { .helo = e->helo, .sender = e->sender, .receiver = config->hostname,
		.fields = e->mail.fields, .now = e->mail.now_ms / 1000 };
	struct pn_authenticator *authenticator;
	struct pn_error err = { "" };
	struct pn_auth_check *check;
	enum pn_status st;

	e->mail.proof.proven = e->mail.outbound ? PN_YES : PN_UNKNOWN;
	if (e->client.n == 0 || e->mail.outbound || e->mail.over_limit || config->auth.use == PN_DMARC_OFF)
		return EX_OK;
	if (!parse_client(e->client, mail.client))
		return cli_misuse(e->cli, "--client: no IP address");
	st = pn_authenticator_open(&config->auth, &authenticator, &err);
	if (st != PN_OK)
		return cli_fail(st, "%s", err.text);
	check = pn_auth_check_new(authenticator, &config->auth, &mail, e->arena);
	pn_auth_check_body(check, body);
	pn_auth_check_end(check, &e->auth);
	pn_auth_check_free(check);
	pn_authenticator_close(authenticator);
	e->mail.auth = &e->auth;
	e->mail.proof = pn_authentication_proof(&e->auth, &config->auth);
	return EX_OK;
}

/* -- the mail ------------------------------------------------------------------------- */

/* As Postfix hands it to the milter: fields first, then the body. */
static int
parse_mail(struct explain *e, struct pn_str text)
{
	struct pn_mime *mime;
	struct pn_str body;
	uint64_t bytes = 0;
	int code;

	if (pn_fields_split(text, e->arena, &e->mail.fields, &body) != PN_OK)
		e->mail.over_limit = true;
	for (size_t i = 0; i < e->mail.fields.n; i++)
		bytes += e->mail.fields.v[i].name.n + e->mail.fields.v[i].raw.n + 3;
	if (bytes > e->gate.config->header_limit)
		e->mail.over_limit = true;
	if (e->mail.over_limit)
		return EX_OK;
	code = authenticate(e, body);
	if (code != EX_OK)
		return code;
	mime = pn_mime_new();
	for (size_t i = 0; i < e->mail.fields.n; i++)
		pn_mime_header(mime, e->mail.fields.v[i].name, e->mail.fields.v[i].raw);
	pn_mime_end_of_headers(mime);
	if (pn_mime_wants_body(mime))
		pn_mime_body(mime, body);
	pn_mime_end(mime, e->arena, &e->mail.mime);
	pn_mime_free(mime);
	return EX_OK;
}

/* -- RCPT ----------------------------------------------------------------------------- */

static bool
is_other_kind(const struct explain *e, const struct pn_rcpt *first, const struct pn_rcpt *who)
{
	if (e->gate.config->mixed != PN_MIXED_SEPARATE || first == NULL)
		return false;
	return first->answer != who->answer
	    || (who->answer == PN_RCPT_OURS && first->gateway != who->gateway);
}

/* The order of tests is the milter's. */
static void
classify(struct explain *e, struct explain_rcpt *rcpt, const struct pn_rcpt *first, uint64_t ours)
{
	struct pn_error err = { "" };

	switch (pn_gate_recipient(&e->gate, rcpt->raw, e->mail.now_ms / 1000, e->arena, &rcpt->who, &err)) {
	case PN_OK:
		break;
	case PN_INVALID:
	case PN_NOT_FOUND:
		rcpt->who = (struct pn_rcpt) {
			.kind = PN_RCPT_FOREIGN, .answer = PN_RCPT_PASS, .address = rcpt->raw
		};
		break;
	case PN_TEMPFAIL:
	case PN_LIMIT:
		rcpt->who = (struct pn_rcpt) {
			.kind = PN_RCPT_FOREIGN, .answer = PN_RCPT_PASS, .address = rcpt->raw
		};
		rcpt->reply = (struct pn_reply){ "451", "4.3.0", pn_arena_dup(e->arena, pn_str_c(err.text)) };
		return;
	}
	if (rcpt->who.answer == PN_RCPT_REJECT && e->mail.smtp)
		rcpt->reply = (struct pn_reply){ "550", "5.1.1", PN_STR("no such address") };
	else if (rcpt->who.answer == PN_RCPT_REJECT)
		rcpt->who.answer = PN_RCPT_OURS;
	else if (e->mail.smtp && is_other_kind(e, first, &rcpt->who))
		rcpt->reply = (struct pn_reply){ "452", "4.5.3",
			PN_STR("please send to this address in a transaction of its own") };
	else if (rcpt->who.answer == PN_RCPT_OURS && ours >= e->gate.config->recipient_limit)
		rcpt->reply = (struct pn_reply){ "452", "4.5.3", PN_STR("too many recipients") };
}

static struct pn_str
without_brackets(struct pn_str address)
{
	if (address.n >= 2 && address.p[0] == '<' && address.p[address.n - 1] == '>')
		return pn_str_n(address.p + 1, address.n - 2);
	return address;
}

static void
take_recipients(struct explain *e, struct pn_strs to)
{
	struct pn_envelope_rcpt *accepted = PN_ARENA_ARRAY(e->arena, struct pn_envelope_rcpt, to.n);
	uint64_t ours = 0;
	size_t n = 0;

	e->rcpts = PN_ARENA_ARRAY(e->arena, struct explain_rcpt, to.n);
	e->rcpt_count = to.n;
	for (size_t i = 0; i < to.n; i++) {
		struct explain_rcpt *rcpt = &e->rcpts[i];

		rcpt->raw = without_brackets(to.v[i]);
		classify(e, rcpt, n > 0 ? &accepted[0].who : NULL, ours);
		if (rcpt->reply.code != NULL)
			continue;
		ours += rcpt->who.answer == PN_RCPT_OURS;
		accepted[n++] = (struct pn_envelope_rcpt){ .raw = rcpt->raw, .who = rcpt->who,
			.leaves = rcpt->who.domain == NULL };
	}
	e->mail.rcpts = accepted;
	e->mail.rcpt_count = n;
}

/* -- facts ---------------------------------------------------------------------------- */

static void
look_at_facts(struct explain *e)
{
	struct pn_error err = { "" };
	struct pn_facts facts;

	e->parts = PN_ARENA_ARRAY(e->arena, struct explain_part, e->result.part_count);
	for (size_t i = 0; i < e->result.part_count; i++)
		e->parts[i].part = &e->result.parts[i];
	if (pn_facts_open(&facts, &e->gate, e->arena, e->mail.now_ms / 1000, &err) != PN_OK)
		return;
	for (size_t i = 0; i < e->result.part_count; i++) {
		const struct pn_gateway *gateway = e->result.parts[i].gateway;
		struct explain_part *part = &e->parts[i];

		part->aliases_complete = pn_facts_complete(&facts, gateway, PN_TABLE_ALIASES);
		part->threads_complete = pn_facts_complete(&facts, gateway, PN_TABLE_THREADS);
		part->aliases_synced = pn_directory_synced_at(facts.view, gateway->name, PN_TABLE_ALIASES);
		part->threads_synced = pn_directory_synced_at(facts.view, gateway->name, PN_TABLE_THREADS);
	}
	pn_facts_close(&facts);
}

static void
look_at_drift(struct explain *e)
{
	struct pn_error err = { "" };
	struct drift drift;

	e->drift =
	    cli_drift(e->cli, &drift, &err) == PN_OK && drift.missing + drift.changed + drift.surplus > 0;
	if (e->drift)
		(void)fprintf(stderr,
		    "postern: warning: the directory does not follow the configuration; reload "
		    "postern-milter or run: postern aliases apply\n");
}

/* -- all of it ------------------------------------------------------------------------ */

static int
explain(struct explain *e, const char *file, struct pn_strs to)
{
	struct pn_buf text;
	int code;

	pn_buf_init(&text, MAIL_MAX);
	code = read_mail(file, &text);
	if (code == EX_OK)
		code = parse_mail(e, pn_buf_str(&text));
	if (code == EX_OK) {
		take_recipients(e, to);
		pn_gate_decide(&e->gate, &e->mail, e->arena, &e->result);
		look_at_facts(e);
		look_at_drift(e);
		if (e->cli->json)
			json_print(explain_json(e));
		else
			explain_print(e);
	}
	pn_buf_done(&text);
	return code;
}

int
cmd_explain(struct cli *cli)
{
	struct pn_strs_builder to = { .arena = cli->arena };
	struct pn_str from = pn_str_n(NULL, 0), user = PN_STR_EMPTY;
	bool outbound = false, by_sendmail = false;
	struct explain e = { .cli = cli, .helo = PN_STR_EMPTY };
	const struct option_row options[] = {
		{ .name = "--from", .text = &from },
		{ .name = "--to", .list = &to },
		{ .name = "--outbound", .flag = &outbound },
		{ .name = "--user", .text = &user },
		{ .name = "--client", .text = &e.client },
		{ .name = "--helo", .text = &e.helo },
		{ .name = "--sendmail", .flag = &by_sendmail },
	};
	int code = options_take(cli, options, PN_COUNT(options), 1, 1);

	if (code == EX_OK && (from.p == NULL || to.list.n == 0))
		return cli_misuse(cli, "--from and --to are needed: who wrote to whom");
	if (code == EX_OK)
		code = cli_look(cli);
	if (code != EX_OK)
		return code;
	e.arena = pn_arena_new(ARENA_LIMIT);
	e.gate = (struct pn_gate){ .config = cli->config, .store = cli->store };
	e.sender = without_brackets(from);
	outbound = outbound || user.n > 0;
	e.mail = (struct pn_gate_mail){
		.sender = e.sender,
		.user = user,
		.takes_relay = true,
		.null_sender = e.sender.n == 0,
		.smtp = !by_sendmail,
		.outbound = outbound || (by_sendmail && cli->config->outbound_sendmail),
		.authenticated = outbound,
		.dry_run = true,
		.now_ms = pn_clock_now_ms(),
	};
	code = explain(&e, pn_arena_cstr(cli->arena, cli->args.v[0]), to.list);
	pn_arena_free(e.arena);
	return code;
}
