#include "sign.h"

#include "postern/address.h"

/* -- the header as it will be -------------------------------------------------------- */

struct header {
	struct pn_arena *arena;
	struct pn_fields fields;
};

static size_t
find_field(const struct header *h, struct pn_str name, uint32_t index)
{
	for (size_t i = 0; i < h->fields.n; i++)
		if (pn_str_eq_nocase(h->fields.v[i].name, name) && --index == 0)
			return i;
	return h->fields.n;
}

static struct pn_field
field_of(const struct header *h, const struct pn_edit *edit)
{
	return (struct pn_field){ edit->name, pn_arena_printf(h->arena, " " PN_STR_FMT, PN_STR_ARG(edit->text)) };
}

static void
make(struct header *h, const struct pn_edit *edit)
{
	size_t at = find_field(h, edit->name, edit->index);

	switch (edit->kind) {
	case PN_EDIT_ADD_HEADER:
		h->fields.v[h->fields.n++] = field_of(h, edit);
		break;
	case PN_EDIT_INSERT_HEADER:
		memmove(h->fields.v + 1, h->fields.v, h->fields.n++ * sizeof(*h->fields.v));
		h->fields.v[0] = field_of(h, edit);
		break;
	case PN_EDIT_CHANGE_HEADER:
		if (at < h->fields.n)
			h->fields.v[at] = field_of(h, edit);
		break;
	case PN_EDIT_DELETE_HEADER:
		if (at < h->fields.n)
			memmove(h->fields.v + at, h->fields.v + at + 1, (--h->fields.n - at) * sizeof(*h->fields.v));
		break;
	case PN_EDIT_DELETE_RCPT:
	case PN_EDIT_ADD_RCPT:
	case PN_EDIT_CHANGE_SENDER:
	case PN_EDIT_QUARANTINE:
		break;
	}
}

static struct pn_fields
as_it_leaves(const struct pn_gate_mail *mail, const struct pn_closing *closing, struct pn_arena *arena)
{
	struct header h = { .arena = arena };

	h.fields.v = PN_ARENA_ARRAY(arena, struct pn_field, mail->fields.n + closing->edit_count);
	h.fields.n = mail->fields.n;
	if (mail->fields.n > 0)
		memcpy(h.fields.v, mail->fields.v, mail->fields.n * sizeof(*h.fields.v));
	for (size_t i = 0; i < closing->edit_count; i++)
		make(&h, &closing->edits[i]);
	return h.fields;
}

/* -- the signatures --------------------------------------------------------------------- */

struct author {
	struct pn_str address, domain;	/* the domain in both as A-labels, which tables and DNS have */
};

/* A From in doubt is nobody's: a signature would vouch for whomever a reader sees. */
static bool
author_of(struct pn_fields fields, struct pn_arena *arena, struct author *author)
{
	struct pn_from_identity from;
	struct pn_str text, address;
	size_t at;

	if (pn_from_identity(fields, arena, &from) != PN_OK || !from.one
	    || pn_message_value(fields, PN_STR("From"), PN_STR(", "), arena, &text) != PN_OK
	    || pn_address_normalize(text, true, arena, &address) != PN_OK)
		return false;
	at = pn_str_find_last(address, '@') + 1;
	if (pn_domain_to_ascii(pn_str_from(address, at), arena, &author->domain) != PN_OK)
		return false;
	author->address = pn_arena_printf(arena, PN_STR_FMT PN_STR_FMT, PN_STR_ARG(pn_str_head(address, at)),
	    PN_STR_ARG(author->domain));
	return true;
}

static void
insert(struct pn_gate_result *out, const struct pn_signed *done, struct pn_arena *arena)
{
	struct pn_closing *c = &out->closing;
	struct pn_edit *edits = PN_ARENA_ARRAY(arena, struct pn_edit, c->edit_count + done->n);

	if (c->edit_count > 0)
		memcpy(edits, c->edits, c->edit_count * sizeof(*edits));
	for (size_t i = done->n; i-- > 0;)
		edits[c->edit_count++] = (struct pn_edit){ .kind = PN_EDIT_INSERT_HEADER, .name = done->fields[i].name,
		    .text = pn_str_from(done->fields[i].raw, 1) };
	c->edits = edits;
}

/* Does anybody get it who is none of ours? */
static bool
goes_out(const struct pn_gate_mail *mail)
{
	for (size_t i = 0; i < mail->rcpt_count; i++)
		if (mail->rcpts[i].who.domain == NULL)
			return true;
	return false;
}

/* The gateway of a domain, or of the nearest one above it, whose keys sign for it, too. */
static const struct pn_gateway *
gateway_of(const struct pn_directory *directory, struct pn_str domain)
{
	const struct pn_domain *found = NULL;

	while (found == NULL && domain.n > 0) {
		size_t dot = pn_str_find(domain, '.');

		found = pn_directory_domain(directory, domain);
		domain = pn_str_from(domain, dot == PN_STR_NONE ? domain.n : dot + 1);
	}
	return found == NULL ? NULL : found->gateway;
}

/* A login, and a mail whose sender tells its gateway, sign for no other gateway. */
static bool
may_sign(const struct pn_gate *gate, const struct pn_gate_mail *mail, const struct pn_gate_result *out,
    const struct author *author)
{
	const struct pn_gateway *sender = pn_outbound_gateway_of_login(gate->config, mail->user);
	const struct pn_gateway *owner = gateway_of(&gate->config->directory, author->domain);

	if (sender == NULL && out->departed)
		sender = out->outbound.gateway;
	return owner == NULL || sender == NULL || owner == sender;
}

/* Does a relay write its own Date and Message-ID?  Each counts that may carry the mail; of a mail that is left to
 * the map `route` all do. */
static bool
dates_change(const struct pn_gate *gate, const struct pn_gate_result *out)
{
	const struct pn_relay_choice *choice = &out->outbound.choice;
	struct pn_relays all = gate->config->relays;
	bool change = false;

	for (size_t i = 0; i < choice->n; i++)
		change = change || choice->v[i].relay->dates_change;
	for (size_t i = 0; out->outbound.live && i < all.n; i++)
		change = change || all.v[i].dates_change;
	return change;
}

void
sign(const struct pn_gate *gate, const struct pn_gate_mail *mail, struct pn_arena *arena,
    struct pn_gate_result *out)
{
	struct pn_error err = { "" };
	struct pn_fields fields;
	struct pn_signed done;
	struct author author;
	enum pn_status st;

	if (gate->signer == NULL || mail->body_hash == NULL || !goes_out(mail) || mail->over_limit || !mail->takes_relay
	    || (out->closing.action != PN_ACTION_ACCEPT && out->closing.action != PN_ACTION_HOLD))
		return;
	fields = as_it_leaves(mail, &out->closing, arena);
	if (!author_of(fields, arena, &author))
		return;
	if (mail->body_longest > PN_DKIM_LINE_MAX) {
		out->not_signed = PN_STR("a line of its body is too long: it would be split on its way");
		return;
	}
	if (!may_sign(gate, mail, out, &author)) {
		out->not_signed = PN_STR("its author is of another gateway than its sender");
		return;
	}
	st = pn_signer_sign(gate->signer, fields, mail->body_hash, author.address, dates_change(gate, out),
	    mail->now_ms / 1000, arena, &done, &err);
	if (st == PN_NOT_FOUND)
		return;
	if (st == PN_OK) {
		insert(out, &done, arena);
		out->signed_by = done.domains;
		out->not_signed = done.refused;
	} else
		out->not_signed = pn_arena_dup(arena, pn_str_c(err.text));
}
