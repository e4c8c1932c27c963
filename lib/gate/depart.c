#include "depart.h"

#include "postern/address.h"
#include "postern/departure.h"

static struct pn_strs
leaving_recipients(const struct pn_gate_mail *mail, struct pn_arena *arena)
{
	struct pn_strs_builder leaving = { .arena = arena };

	for (size_t i = 0; i < mail->rcpt_count; i++)
		if (mail->rcpts[i].leaves)
			pn_strs_add(&leaving, pn_recipient_bare(mail->rcpts[i].raw));
	return leaving.list;
}

/* All From fields together, as they read back.  Of a header that was not read the
 * envelope sender must do; a From that cannot be read is no address. */
static struct pn_str
from_text(const struct pn_gate_mail *mail, struct pn_arena *arena)
{
	struct pn_str text;

	if (mail->over_limit)
		return mail->sender;
	return pn_message_value(mail->fields, PN_STR("From"), PN_STR(", "), arena, &text) == PN_OK ? text : PN_STR_EMPTY;
}

static struct pn_str
return_path(const struct pn_gate_mail *mail, struct pn_arena *arena)
{
	struct pn_str text, address;

	if (mail->over_limit || pn_message_value(mail->fields, PN_STR("Return-Path"), PN_STR(","), arena, &text) != PN_OK
	    || pn_address_normalize(text, true, arena, &address) != PN_OK)
		return PN_STR_EMPTY;
	return address;
}

static struct pn_str
message_id(const struct pn_gate_mail *mail, struct pn_arena *arena)
{
	struct pn_str text;

	if (mail->over_limit
	    || pn_message_value(mail->fields, PN_STR("Message-Id"), PN_STR(" "), arena, &text) != PN_OK)
		return PN_STR_EMPTY;
	return pn_str_trim(text);
}

static void
refuse(struct pn_closing *closing, const struct pn_outbound *outbound)
{
	*closing = (struct pn_closing){ .reply = outbound->reply,
		.action = outbound->answer == PN_OUTBOUND_REFUSE ? PN_ACTION_REFUSE : PN_ACTION_DEFER };
}

void
depart(const struct pn_gate *gate, const struct pn_gate_mail *mail, struct pn_arena *arena,
    struct pn_gate_result *out)
{
	struct pn_strs leaving = leaving_recipients(mail, arena), once = pn_strs_unique(leaving, arena);
	struct pn_outbound_mail question = {
		.email_from = from_text(mail, arena),
		.sender = mail->sender,
		.return_path = return_path(mail, arena),
		.message_id = message_id(mail, arena),
		.user = mail->user,
		.queue_id = mail->queue_id,
		.recipients = once,	/* Postfix sends to each one once */
		.recipient_count = once.n,
		.header = !mail->over_limit,
		.mixed = leaving.n < mail->rcpt_count,
		.may_refuse = mail->smtp,
		.dry_run = mail->dry_run,
		.now_ms = mail->now_ms,
	};
	struct pn_departure departure = { .fields = mail->fields, .sender = mail->sender };
	enum pn_status st;

	if (leaving.n == 0 || !mail->takes_relay)
		return;
	if (mail->smtp && mail->over_limit) {
		/* its From cannot be judged, nor what must not leave taken out */
		out->closing = (struct pn_closing){ .action = PN_ACTION_REFUSE,
			.reply = { "552", "5.3.4", PN_STR("the header is larger than header_limit") } };
		return;
	}
	if (mail->smtp && pn_departure_floods(mail->fields)) {
		out->closing = (struct pn_closing){ .action = PN_ACTION_REFUSE,
			.reply = { "550", "5.6.0", PN_STR("too many From, Bcc or Return-Path header fields") } };
		return;
	}
	question.mass_mailing = pn_is_mass_mailing(mail->fields, question.email_from, &gate->config->mass);
	pn_outbound_decide(gate, &question, arena, &out->outbound);
	out->departed = true;
	if (out->outbound.answer == PN_OUTBOUND_REFUSE || out->outbound.answer == PN_OUTBOUND_DEFER) {
		refuse(&out->closing, &out->outbound);
		return;
	}
	departure.as = out->outbound.sender;
	departure.route = out->outbound.route;
	st = pn_departure_edit(&departure, arena, &out->closing);
	if (st != PN_OK) {
		/* a From that cannot be written stays as it is: then there is nothing that can fail */
		departure.as = (struct pn_sender){ .envelope = mail->sender };
		st = pn_departure_edit(&departure, arena, &out->closing);
	}
	if (st != PN_OK)
		out->learn_error = PN_STR("the changes of outbound mail cannot be made");
}
