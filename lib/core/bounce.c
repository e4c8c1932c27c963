/* Bounces: what is one, and what it tells (odoo-behaviour 4). */
#include "decide.h"

#include "postern/address.h"
#include "postern/references.h"

static enum pn_known
newest(struct decider *d, struct pn_strs ids, struct pn_stored *out)
{
	struct pn_odoo *odoo = d->q->odoo;

	if (ids.n == 0)
		return PN_NO;
	return odoo->newest == NULL ? PN_UNKNOWN : odoo->newest(odoo, ids, d->arena, out);
}

/* _get_parent_message: the whole In-Reply-To first, else the last ids of References. */
void
decide_parent(struct decider *d)
{
	const struct pn_message *m = d->q->message;
	struct pn_str whole = m->in_reply_to;
	struct pn_strs one = { &whole, whole.n > 0 ? 1 : 0 };
	enum pn_known known = newest(d, one, &d->out->parent);

	if (known != PN_YES)
		known = newest(d, pn_strs_last(m->reference_ids, PN_REFERENCES_USED), &d->out->parent);
	d->out->has_parent = known == PN_YES;
}

static bool
from_mailer_daemon(struct decider *d)
{
	struct pn_mailboxes boxes;

	return pn_address_split(d->q->message->email_from, d->arena, &boxes) == PN_OK && boxes.n > 0
	    && pn_str_eq(pn_text_lower(pn_address_local(boxes.v[0].addr), d->arena), PN_STR("mailer-daemon"));
}

bool
decide_is_bounce(struct decider *d)
{
	for (size_t i = 0; i < d->to_normal.n; i++)
		if (pn_gateway_bounce(d->q->gateway, d->to_normal.v[i]) != NULL)
			return true;
	return from_mailer_daemon(d)
	    || pn_str_eq(d->q->message->mime.top_type, PN_STR("multipart/report"));
}

static void
add_ids(struct pn_strs_builder *ids, struct pn_str text)
{
	struct pn_strs found;

	if (pn_references_ids(text, ids->arena, &found) != PN_OK)
		return;
	for (size_t i = 0; i < found.n; i++)
		pn_strs_add(ids, found.v[i]);
}

/* The message that bounced: by the ids of the embedded mail; else the parent. */
static void
find_bounced_message(struct decider *d, struct pn_bounced *b)
{
	const struct pn_message *m = d->q->message;
	struct pn_strs_builder ids = { .arena = d->arena };

	if (!m->mime.has_embedded)
		return;
	add_ids(&ids, m->mime.embedded_message_id_text);
	add_ids(&ids, m->mime.embedded_ms_id_text);
	b->has_message = newest(d, ids.list, &b->message) == PN_YES;
	if (!b->has_message) {
		add_ids(&ids, m->in_reply_to);
		add_ids(&ids, m->references);
		b->has_message = d->out->has_parent;
		b->message = d->out->parent;
	}
	b->message_ids = ids.list;
}

void
decide_read_bounce(struct decider *d)
{
	struct pn_bounced *b = &d->out->bounced;
	const struct pn_mime_result *mime = &d->q->message->mime;
	struct pn_odoo *odoo = d->q->odoo;
	enum pn_known known = PN_NO;

	b->found = true;
	b->email = PN_STR_EMPTY;
	if (mime->has_dsn
	    && pn_address_normalize(mime->final_recipient, true, d->arena, &b->email) != PN_OK)
		b->email = PN_STR_EMPTY;
	if (b->email.n > 0 && odoo->partners != NULL)
		known = odoo->partners(odoo, b->email, false, d->arena, &b->partners);
	if (known != PN_YES)
		b->partners.n = 0;
	find_bounced_message(d, b);
	/* nobody told who it was, but only one was written to */
	if (b->has_message && b->partners.n == 0 && b->message.sole_notified != 0) {
		struct pn_partner *one = PN_ARENA_NEW(d->arena, struct pn_partner);

		one->id = b->message.sole_notified;
		b->partners = (struct pn_partners){ one, 1 };
		b->email = b->message.sole_notified_email;
	}
	decide_step(d, "bounce: recipient <" PN_STR_FMT "> of %s message", PN_STR_ARG(b->email),
	    b->has_message ? "a known" : "an unknown");
}
