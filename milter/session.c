#include "session.h"

#include <stdlib.h>

#include "postern/clock.h"

enum {
	ARENA_LIMIT = 24 << 20,		/* what the headers of one mail may become while they are read */
	SENDER_MAX = 2048,
	NOTED_MAX = 8192,		/* of a field that is kept though there are too many */
};

struct session *
session_new(void)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		pn_out_of_memory();
	return s;
}

void
session_end(struct session *s)
{
	snapshot_release(s->snapshot);
	s->snapshot = NULL;
	/* an idle connection keeps no buffers */
	pn_mime_free(s->mime);
	s->mime = NULL;
	pn_auth_check_free(s->auth);
	s->auth = NULL;
	pn_dkim_body_free(s->body);
	s->body = NULL;
	pn_arena_free(s->arena);
	s->arena = NULL;
	s->mail = (struct pn_gate_mail){ .rcpt_count = 0 };
	s->rcpts = NULL;
	s->rcpt_cap = s->field_cap = s->ours = s->header_bytes = s->own_headers = 0;
}

void
session_free(struct session *s)
{
	if (s == NULL)
		return;
	session_end(s);
	free(s);
}

void
session_begin(struct session *s, struct pn_str sender, bool smtp, struct pn_str user)
{
	const struct pn_config *config;

	session_end(s);
	s->snapshot = snapshot_take();
	config = snapshot_gate(s->snapshot)->config;
	s->arena = pn_arena_new(ARENA_LIMIT);
	s->sender = pn_arena_dup(s->arena, pn_str_head(sender, SENDER_MAX));
	s->started_us = pn_clock_mono_us();
	s->mail.sender = pn_recipient_bare(s->sender);
	s->mail.smtp = smtp;
	s->mail.user = pn_arena_dup(s->arena, pn_str_head(user, SENDER_MAX));
	s->mail.authenticated = user.n > 0;
	s->mail.null_sender = sender.n == 0 || pn_str_eq(sender, PN_STR("<>"));
	/* Postfix's own bounces come as if by sendmail(1): no relay is charged, and no From changed, for them */
	s->mail.takes_relay = smtp ? s->relay_daemon : !s->mail.null_sender;
	/* what comes from our own clients is not asked for proof */
	s->mail.outbound = smtp ? user.n > 0 || s->outbound_daemon || s->trusted_network : config->outbound_sendmail;
	s->mail.proof.proven = s->mail.outbound || !smtp ? PN_YES : PN_UNKNOWN;
	s->verifies = smtp && !s->mail.outbound && config->auth.use != PN_DMARC_OFF;
}

/* -- recipients ------------------------------------------------------------------------ */

static struct pn_str
parameter(char **argv, struct pn_str name, struct pn_arena *arena)
{
	for (size_t i = 1; argv[i] != NULL; i++) {
		struct pn_str arg = pn_str_c(argv[i]);

		if (pn_str_starts_nocase(arg, name))
			return pn_arena_dup(arena, pn_str_from(arg, name.n));
	}
	return PN_STR_EMPTY;
}

/* The later kind comes back in its own transaction: with mixed = separate that
 * of another gateway, or of people; always postmaster's beside others of ours,
 * as an answer to those must not hit it, and its presence not soften theirs. */
static bool
is_other_kind(const struct session *s, const struct pn_rcpt *who)
{
	const struct pn_rcpt *first;

	for (size_t i = 0; i < s->mail.rcpt_count && who->answer == PN_RCPT_OURS; i++)
		if (s->rcpts[i].who.answer == PN_RCPT_OURS
		    && (s->rcpts[i].who.kind == PN_RCPT_ROLE) != (who->kind == PN_RCPT_ROLE))
			return true;
	if (snapshot_gate(s->snapshot)->config->mixed != PN_MIXED_SEPARATE || s->mail.rcpt_count == 0)
		return false;
	first = &s->rcpts[0].who;
	return first->answer != who->answer
	    || (who->answer == PN_RCPT_OURS && first->gateway != who->gateway);
}

/* A dot-atom at a domain with a dot: what no mail server takes for another
 * address. */
static bool
is_plain(struct pn_str address)
{
	size_t at = pn_str_find_last(address, '@');

	if (at == PN_STR_NONE || at == 0 || pn_str_find(pn_str_from(address, at), '.') == PN_STR_NONE)
		return false;
	for (size_t i = 0; i < address.n; i++) {
		char c = address.p[i];

		if ((unsigned char)c < 0x80 && !pn_is_alnum(c) && i != at
		    && pn_str_find(i < at ? PN_STR("#$&'*+-/=?^_`{|}~.") : PN_STR("-.[]:_"), c) == PN_STR_NONE)
			return false;
	}
	return true;
}

/* Nobody has such an address (RFC 5321 section 4.1.2), and handed on as another
 * one, or in a Delivered-To, it might read as two lines. */
static bool
has_control(struct pn_str address)
{
	for (size_t i = 0; i < address.n; i++)
		if ((unsigned char)address.p[i] < ' ' || address.p[i] == 0x7f)
			return true;
	return false;
}

static enum session_rcpt
classify(struct session *s, struct pn_str raw, struct pn_rcpt *who, struct pn_error *err)
{
	const struct pn_gate *gate = snapshot_gate(s->snapshot);

	switch (pn_gate_recipient(gate, raw, pn_clock_now(), s->arena, who, err)) {
	case PN_OK:
		break;
	case PN_INVALID:
	case PN_NOT_FOUND:
		/* no address of a domain of ours: Postfix judges it */
		*who = (struct pn_rcpt){ .kind = PN_RCPT_FOREIGN, .answer = PN_RCPT_PASS, .address = raw };
		break;
	case PN_TEMPFAIL:
	case PN_LIMIT:
		return RCPT_TROUBLE;
	}
	if (who->answer == PN_RCPT_OURS && has_control(raw)) {
		if (s->mail.smtp)
			return RCPT_REFUSED;
		who->answer = PN_RCPT_PASS;
	}
	if (who->answer == PN_RCPT_REJECT) {
		if (s->mail.smtp)
			return RCPT_REFUSED;
		/* sendmail(1) cannot be refused: Odoo says no */
		who->answer = PN_RCPT_OURS;
	}
	if (s->mail.smtp && is_other_kind(s, who))
		return RCPT_LATER;
	if (who->answer == PN_RCPT_OURS && s->mail.smtp && s->ours >= gate->config->recipient_limit)
		return RCPT_TOO_MANY;
	return RCPT_ACCEPTED;
}

/* Postfix routes what it made of the address ("sales%ours", "ours!sales", quotes
 * and comments included), and deletes what the client wrote, case and all. */
static enum session_rcpt
classify_as_taken(struct session *s, struct pn_str taken_for, struct pn_envelope_rcpt *rcpt, struct pn_error *err)
{
	if (taken_for.n > 0 && !is_plain(rcpt->raw) && !pn_str_eq_nocase(taken_for, rcpt->raw))
		rcpt->address = pn_arena_dup(s->arena, taken_for);
	return classify(s, rcpt->address.n > 0 ? rcpt->address : rcpt->raw, &rcpt->who, err);
}

/* Does it leave this host by a way that is ours to choose?  A next hop of smtp that is
 * not the recipient's domain was chosen by the operator (transport_maps).  What
 * sendmail(1) brings has no macros: then the domain must tell. */
static bool
leaves(const struct session *s, const struct pn_envelope_rcpt *rcpt, struct next_hop hop)
{
	const struct pn_config *config = snapshot_gate(s->snapshot)->config;
	struct pn_str address = rcpt->address.n > 0 ? rcpt->address : rcpt->raw;
	size_t at = pn_str_find_last(address, '@');

	if (rcpt->who.domain != NULL || at == PN_STR_NONE)
		return false;
	if (pn_str_starts(hop.transport, PN_STR("postern-")))
		return !pn_str_eq(hop.transport, PN_STR("postern-redirect"));
	if (hop.transport.n > 0)
		return pn_strs_has(config->leaving_transports, hop.transport)
		    && (!pn_str_eq(hop.transport, PN_STR("smtp")) || pn_str_eq_nocase(hop.host, pn_str_from(address, at + 1)));
	return !s->mail.smtp && !pn_outbound_is_local(config, address, s->arena);
}

enum session_rcpt
session_rcpt(struct session *s, char **argv, struct pn_str taken_for, struct next_hop hop,
    struct pn_error *err)
{
	/* without a source route: Postfix drops it, and would not find what is to be deleted */
	struct pn_envelope_rcpt rcpt = { .raw = pn_arena_dup(s->arena, pn_recipient_bare(pn_str_c(argv[0]))) };
	enum session_rcpt answer = classify_as_taken(s, taken_for, &rcpt, err);

	if (answer == RCPT_REFUSED && !snapshot_is_current(s->snapshot))
		answer = RCPT_TROUBLE;
	if (answer == RCPT_TROUBLE && !s->mail.smtp) {
		/* nor deferred: it goes on as it is, to the transport that waits */
		rcpt.who = (struct pn_rcpt){ .kind = PN_RCPT_FOREIGN, .answer = PN_RCPT_PASS };
		answer = RCPT_ACCEPTED;
	}
	if (answer != RCPT_ACCEPTED)
		return answer;
	rcpt.leaves = leaves(s, &rcpt, hop);
	rcpt.notify = parameter(argv, PN_STR("NOTIFY="), s->arena);
	rcpt.orcpt = parameter(argv, PN_STR("ORCPT="), s->arena);
	s->rcpts = pn_arena_grow(s->arena, s->rcpts, s->mail.rcpt_count, &s->rcpt_cap, s->mail.rcpt_count + 1,
	    sizeof(*s->rcpts));
	s->rcpts[s->mail.rcpt_count++] = rcpt;
	s->mail.rcpts = s->rcpts;
	s->ours += rcpt.who.answer == PN_RCPT_OURS;
	return RCPT_ACCEPTED;
}

/* -- the message ---------------------------------------------------------------------------- */

/* Nobody asks about a mail that is not ours, not from us and not to be verified. */
static bool
is_read(const struct session *s)
{
	return s->ours > 0 || s->mail.outbound || s->verifies;
}

void
session_header(struct session *s, struct pn_str name, struct pn_str raw)
{
	bool own = pn_is_own_header(name);
	struct pn_field field;

	s->header_bytes += name.n + raw.n + 3;
	if (s->header_bytes > snapshot_gate(s->snapshot)->config->header_limit)
		s->mail.over_limit = true;
	own = own || (s->mail.over_limit && is_read(s) && pn_str_eq_nocase(name, PN_STR("Authentication-Results")));
	/* fields of ours are noted even past the limit: they are taken out */
	if (own && ++s->own_headers > PN_OWN_HEADERS_MAX) {
		s->mail.own_header_flood = true;
		return;
	}
	if (!own && (s->mail.over_limit || !is_read(s)))
		return;
	field = (struct pn_field){ pn_arena_dup(s->arena, name),
		pn_arena_dup(s->arena, pn_str_head(raw, s->mail.over_limit ? NOTED_MAX : raw.n)) };
	s->mail.fields.v = pn_arena_grow(s->arena, s->mail.fields.v, s->mail.fields.n, &s->field_cap,
	    s->mail.fields.n + 1, sizeof(field));
	s->mail.fields.v[s->mail.fields.n++] = field;
	if (s->mail.over_limit || s->ours == 0)
		return;
	if (s->mime == NULL)
		s->mime = pn_mime_new();
	pn_mime_header(s->mime, field.name, field.raw);
}

static void
begin_verification(struct session *s)
{
	const struct pn_config *config = snapshot_gate(s->snapshot)->config;
	struct pn_authenticator *authenticator = state_authenticator();
	struct pn_auth_mail mail = {
		.helo = pn_str_c(s->helo),
		.sender = s->mail.sender,
		.receiver = config->hostname,
		.fields = s->mail.fields,
		.cut = s->mail.over_limit,
		.now = pn_clock_now(),
	};

	if (authenticator == NULL)
		return;
	memcpy(mail.client, s->client, sizeof(mail.client));
	s->auth = pn_auth_check_new(authenticator, &config->auth, &mail, s->arena);
}

/* What a client of ours only passes on comes from outside. */
static void
look_at_origin(struct session *s)
{
	const struct pn_config *config = snapshot_gate(s->snapshot)->config;
	struct pn_gate_mail as_ours = s->mail;

	as_ours.outbound = true;
	if (s->mail.authenticated || s->mail.proof.proven != PN_YES || pn_gate_is_outbound(config, &as_ours))
		return;
	s->mail.outbound = false;
	s->mail.proof.proven = PN_UNKNOWN;
	s->verifies = s->mail.smtp && config->auth.use != PN_DMARC_OFF;
}

void
session_end_of_headers(struct session *s)
{
	struct pn_signer *signer = snapshot_gate(s->snapshot)->signer;

	look_at_origin(s);
	if (s->verifies)
		begin_verification(s);
	if (s->mail.outbound && s->mail.takes_relay && signer != NULL)
		s->body = pn_dkim_body_new(pn_signer_relaxed_body(signer));
	if (s->mime == NULL && s->ours > 0)
		s->mime = pn_mime_new();
	if (s->mime != NULL)
		pn_mime_end_of_headers(s->mime);
}

void
session_body(struct session *s, struct pn_str chunk)
{
	if (s->mime != NULL && pn_mime_wants_body(s->mime))
		pn_mime_body(s->mime, chunk);
	if (s->auth != NULL && pn_auth_check_wants_body(s->auth))
		pn_auth_check_body(s->auth, chunk);
	if (s->body != NULL)
		pn_dkim_body_add(s->body, chunk);
}

static void
end_verification(struct session *s)
{
	struct pn_authentication *auth = PN_ARENA_NEW(s->arena, struct pn_authentication);

	pn_auth_check_end(s->auth, auth);
	s->mail.auth = auth;
	s->mail.proof = pn_authentication_proof(auth, &snapshot_gate(s->snapshot)->config->auth);
}

/* Refused by a configuration that is no longer: the next attempt gets the answer of one. */
static void
ask_again(const struct session *s, struct pn_gate_result *result)
{
	if (result->closing.action != PN_ACTION_REFUSE || snapshot_is_current(s->snapshot))
		return;
	for (size_t i = 0; i < result->part_count; i++) {
		struct pn_gate_part *part = &result->parts[i];

		if (part->verdict.action != PN_ACTION_REFUSE)
			continue;
		part->verdict = pn_verdict_trouble(part->gateway, PN_STR("the configuration has changed meanwhile"));
		result->closing.action = part->verdict.action;
		result->closing.reply = part->verdict.reply;
	}
}

void
session_decide(struct session *s, struct pn_str queue_id, struct pn_gate_result *result)
{
	s->mail.queue_id = pn_arena_dup(s->arena, queue_id);
	if (s->mime != NULL)
		pn_mime_end(s->mime, s->arena, &s->mail.mime);
	if (s->auth != NULL)
		end_verification(s);
	if (s->body != NULL) {
		s->mail.body_longest = pn_dkim_body_longest(s->body);
		pn_dkim_body_end(s->body, s->body_hash);
		s->mail.body_hash = s->body_hash;
	}
	s->mail.now_ms = pn_clock_now_ms();
	pn_gate_decide(snapshot_gate(s->snapshot), &s->mail, s->arena, result);
	ask_again(s, result);
}
