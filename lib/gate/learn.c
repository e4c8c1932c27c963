/* What a mail that leaves teaches (odoo-behaviour 16). */
#include "postern/gate.h"

#include "postern/address.h"
#include "postern/references.h"

enum { MODEL_NAME_MAX = 128 };

/* The gateway that this From belongs to. */
static const struct pn_gateway *
gateway_of(const struct pn_directory *directory, struct pn_str sender, struct pn_arena *arena)
{
	size_t at = pn_str_find_last(sender, '@');
	const struct pn_domain *domain;
	struct pn_str ascii;

	if (at == PN_STR_NONE)
		return NULL;
	if (pn_domain_to_ascii(pn_str_from(sender, at + 1), arena, &ascii) == PN_OK
	    && (domain = pn_directory_domain(directory, ascii)) != NULL)
		return domain->gateway;
	for (size_t i = 0; i < directory->gateway_count; i++)
		if (pn_gateway_default_from(&directory->gateways[i], sender) != NULL)
			return &directory->gateways[i];
	return NULL;
}

struct object {
	struct pn_str model;
	uint64_t id;
};

/* As Odoo names models: what goes into a log or a header later is harmless. */
static bool
is_model(struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!pn_is_alnum(name.p[i]) && name.p[i] != '.' && name.p[i] != '_')
			return false;
	return name.n > 0 && name.n <= MODEL_NAME_MAX;
}

/* "crm.lead-42": X-Odoo-Objects; tasks have their project behind a comma. */
static bool
object_of_header(struct pn_str text, struct object *out)
{
	size_t dash;

	text = pn_str_trim(pn_str_head(text, pn_str_find(text, ',')));
	dash = pn_str_find_last(text, '-');
	if (dash == PN_STR_NONE || dash == 0)
		return false;
	out->model = pn_str_head(text, dash);
	return is_model(out->model) && pn_str_to_u64(pn_str_from(text, dash + 1), INT64_MAX, &out->id) && out->id > 0;
}

/* "<...-openerp-42-crm.lead@host>", "<...-openerp-private@host>" */
static bool
object_of_id(struct pn_str id, struct object *out)
{
	static const struct pn_str mark = { "-openerp-", 9 };
	size_t at = pn_str_find_str(id, mark), dash;
	struct pn_str rest;

	if (at == PN_STR_NONE)
		return false;
	rest = pn_str_from(id, at + mark.n);
	rest = pn_str_head(rest, pn_str_find(rest, '@'));
	if (pn_str_eq(rest, PN_STR("private"))) {
		*out = (struct object){ PN_STR_EMPTY, 0 };
		return true;
	}
	dash = pn_str_find(rest, '-');
	if (dash == PN_STR_NONE || !pn_str_to_u64(pn_str_head(rest, dash), INT64_MAX, &out->id) || out->id == 0)
		return false;
	out->model = pn_str_from(rest, dash + 1);
	return is_model(out->model);
}

/* Ids that Odoo never looks up: mailings that want new threads, loop notices. */
static bool
is_thread_id(struct pn_str id)
{
	return id.n > 2 && !pn_str_contains(id, PN_STR("reply_to"))
	    && !pn_str_contains(id, PN_STR("loop-detection-bounce-email"));
}

enum pn_status
pn_gate_outbound_threads(const struct pn_directory *directory, struct pn_fields fields,
    const struct pn_message *message, struct pn_arena *arena, const struct pn_gateway **gateway,
    struct pn_thread **threads, size_t *n)
{
	struct pn_str header, id = message->message_id;
	struct pn_strs refs = pn_strs_last(message->reference_ids, PN_REFERENCES_USED);
	struct object object;
	bool marked;

	*n = 0;
	*gateway = gateway_of(directory, message->sender, arena);
	if (*gateway == NULL || pn_message_value(fields, PN_STR("X-Odoo-Objects"), PN_STR(","), arena, &header) != PN_OK)
		return PN_NOT_FOUND;
	marked = object_of_header(header, &object);
	if (!marked && !object_of_id(id, &object))
		return PN_NOT_FOUND;
	*threads = PN_ARENA_ARRAY(arena, struct pn_thread, refs.n + 1);
	/* Odoo names earlier messages of the same record, oldest first, then its own id */
	for (size_t i = 0; marked && i < refs.n; i++)
		if (is_thread_id(refs.v[i]) && !pn_str_eq(refs.v[i], id))
			(*threads)[(*n)++] = (struct pn_thread){ .message_id = refs.v[i], .model = object.model,
			    .res_id = object.id, .origin = PN_THREAD_OUTBOUND };
	if (is_thread_id(id))
		(*threads)[(*n)++] = (struct pn_thread){ .message_id = id, .model = object.model,
		    .res_id = object.id, .origin = PN_THREAD_OUTBOUND };
	return *n > 0 ? PN_OK : PN_NOT_FOUND;
}
