#include "mail_server.h"

#include <stdlib.h>

#include "postern/address.h"
#include "postern/header_value.h"
#include "postern/relay.h"
#include "postern/sender.h"
#include "world.h"

/* One mail that Odoo sends. */
struct found {
	const struct pn_relay *relay;	/* NULL: step 5 */
	struct pn_str sender;
};

struct posting {
	const json_t *item;
	struct world *w;
	struct pn_arena *arena;
	const json_t *params, *cli;
	const struct pn_domain *company, *record;	/* NULL: without alias domain */
	struct pn_relay *servers;			/* active or not, in order; each with its row */
	size_t server_count;
	bool queue, direct;				/* else a bare search */
	struct pn_str from;				/* as it is when the server is chosen */
	struct found found;
	bool warning;
};

/* -- what Odoo knows ---------------------------------------------------------------------- */

static struct pn_str
id_text(uint64_t id, struct pn_arena *arena)
{
	return id == 0 ? PN_STR_EMPTY : pn_arena_printf(arena, "%llu", (unsigned long long)id);
}

static int
in_order(const void *a, const void *b)
{
	const struct pn_relay *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* index is the id.  An order that Odoo leaves open is by id. */
static void
read_servers(struct posting *p)
{
	json_t *rows = json_object_get(p->w->config, "servers"), *row;
	uint64_t minutes = strtoull(pn_arena_cstr(p->arena, world_str(p->params,
	    "mail.server.personal.limit.minutes")), NULL, 10);
	size_t i;

	p->server_count = json_array_size(rows);
	p->servers = PN_ARENA_ARRAY(p->arena, struct pn_relay, p->server_count);
	json_array_foreach(rows, i, row) {
		uint64_t id = world_number(row, "id", i + 1);
		struct pn_str host = world_str(row, "host");

		p->servers[i] = (struct pn_relay){
			.name = id_text(id, p->arena),
			.index = id,
			.host = host.n > 0 ? host : pn_arena_printf(p->arena, "s%zu.smtp.example", i + 1),
			.port = (uint16_t)world_number(row, "port", 25),
			.from_filter = world_str(row, "from_filter"),
			.priority = world_number(row, "sequence", 10),
			.active = world_truth(row, "active", true),
			.owner = id_text(world_number(row, "owner", 0), p->arena),
			.limits = { { minutes == 0 ? 30 : minutes, 60000, true } },
			.limit_count = 1,
		};
	}
	qsort(p->servers, p->server_count, sizeof(*p->servers), in_order);
}

/* Without rows, company 1 has the alias domain 1. */
static const struct pn_domain *
company_domain(const struct posting *p)
{
	uint64_t id = world_number(p->item, "company", 1);
	json_t *rows = json_object_get(p->w->config, "companies"), *row;
	size_t i;

	json_array_foreach(rows, i, row)
		if (world_number(row, "id", 0) == id)
			return world_domain(p->w, world_number(row, "alias_domain", 0));
	return id == 1 ? world_domain(p->w, 1) : NULL;
}

static struct pn_str
company_notification(const struct posting *p)
{
	struct pn_str from = p->company != NULL ? p->company->default_from : PN_STR_EMPTY, normal;

	if (from.n == 0)
		from = world_str(p->cli, "email_from");
	return pn_address_normalize(from, true, p->arena, &normal) == PN_OK ? normal : PN_STR_EMPTY;
}

static struct pn_str
notification(const struct posting *p)
{
	return p->record != NULL && p->record->default_from.n > 0 ? p->record->default_from
	    : company_notification(p);
}

static struct pn_str
default_filter(const struct posting *p)
{
	struct pn_str filter = world_str(p->params, "mail.default.from_filter");

	return filter.n > 0 ? filter : world_str(p->cli, "from_filter");
}

/* Rule 13's B; the From stands for "none". */
static struct pn_str
bounce(const struct posting *p)
{
	struct pn_str own = world_str(json_object_get(p->item, "headers"), "Return-Path");
	struct pn_str record = p->record != NULL ? p->record->bounce : PN_STR_EMPTY;
	struct pn_str company = p->company != NULL ? p->company->bounce : PN_STR_EMPTY;
	struct pn_str order[] = { p->queue ? own : record, p->queue ? record : own, company,
	    world_str(p->cli, "email_from") };

	for (size_t i = 0; i < PN_COUNT(order); i++)
		if (order[i].n > 0)
			return order[i];
	return PN_STR_EMPTY;
}

/* In a header that Python builds from text, the non-breaking blanks of a domain
 * vanish; in one that it reads from bytes, which pn_header_value() does, they stay. */
static struct pn_str
without_blanks_in_domains(struct pn_str from, struct pn_arena *arena)
{
	char *p = pn_arena_alloc(arena, from.n + 1);
	bool in_domain = false;
	size_t n = 0;

	for (size_t i = 0; i < from.n; i++) {
		in_domain = from.p[i] == '@' || (in_domain && memchr("<>,;:()\"\\", from.p[i], 9) == NULL);
		if (in_domain && pn_str_starts(pn_str_from(from, i), PN_STR("\xc2\xa0")))
			i++;
		else
			p[n++] = from.p[i];
	}
	return pn_str_n(p, n);
}

/* A From as it reads back once it is a header.  What no header can be stays as it is. */
static struct pn_str
as_header(struct pn_str from, struct pn_arena *arena)
{
	struct pn_str out;

	from = without_blanks_in_domains(from, arena);
	if (pn_str_find(from, '\n') != PN_STR_NONE || pn_str_find(from, '\r') != PN_STR_NONE
	    || pn_header_value(PN_STR("From"), from, arena, &out) != PN_OK)
		return from;
	return out;
}

/* The queue writes the first address of the From in its own form, mail sent directly is a header already. */
static struct pn_str
from_at_choice(const struct posting *p)
{
	struct pn_str from = world_str(p->item, "email_from"), out;
	struct pn_mailboxes boxes;

	if (p->direct)
		return as_header(from, p->arena);
	if (!p->queue || pn_address_split(from, p->arena, &boxes) != PN_OK || boxes.n == 0)
		return from;
	boxes.v[0].addr = pn_address_lower(boxes.v[0].addr, p->arena);
	return pn_address_format(boxes.v[0], false, p->arena, &out) == PN_OK ? out : from;
}

/* -- the choice ------------------------------------------------------------------------------- */

static void
find(struct posting *p, struct pn_str from, struct pn_str notify, struct pn_str user)
{
	struct pn_relay_request request = {
		.question = {
			.relays = { p->servers, p->server_count },
			.email_from = from,
			.notification = notify,
			.user = user,
		},
		.recipients = 1,
		.rewrite = true,
		.states = pn_relay_all_open,	/* Odoo knows no other state */
	};
	struct pn_relay_choice choice;

	p->found = (struct found){ .relay = NULL };
	if (pn_relay_choose(&request, p->arena, &choice, NULL) != PN_OK)
		abort();
	if (choice.n > 0)
		p->found = (struct found){ choice.v[0].relay, choice.v[0].sender };
	else if (pn_relay_default_sender(&request.question, default_filter(p), p->arena, &p->found.sender,
	    &choice.warning) != PN_OK)
		abort();
	p->warning = p->warning || choice.warning;
}

/* Without a server record the connection searches again (rule 12). */
static void
choose(struct posting *p)
{
	bool personal = p->queue && !world_truth(p->params, "mail.disable_personal_mail_servers", false);

	find(p, p->from, notification(p), personal ? id_text(world_number(p->item, "user", 0), p->arena)
	    : PN_STR_EMPTY);
	if (p->queue && p->found.relay == NULL)
		find(p, p->found.sender, company_notification(p), PN_STR_EMPTY);
}

/* -- the recipients (rule 13.4) ---------------------------------------------------------------- */

static void
add_recipients(struct pn_str text, struct pn_strs_builder *to, bool *any)
{
	struct pn_mailboxes boxes;

	if (pn_address_split(text, to->arena, &boxes) != PN_OK)
		abort();
	for (size_t i = 0; i < boxes.n; i++) {
		struct pn_str address = pn_address_lower(boxes.v[i].addr, to->arena);
		struct pn_strs usable;

		*any = true;
		if (pn_address_extract_smtp(address, to->arena, &usable) == PN_OK
		    && pn_strs_has(usable, address))
			pn_strs_add(to, address);
	}
}

/* A text, or a list of texts. */
static void
add_field(const json_t *item, const char *key, struct pn_strs_builder *to, bool *any)
{
	json_t *list = json_object_get(item, key), *row;
	size_t i;

	add_recipients(world_str(item, key), to, any);
	json_array_foreach(list, i, row)
		add_recipients(pn_str_c(json_string_value(row)), to, any);
}

static struct pn_str
partner_email(const struct posting *p, uint64_t id)
{
	json_t *rows = json_object_get(p->w->config, "partners"), *row;
	size_t i;

	json_array_foreach(rows, i, row)
		if (world_number(row, "id", 0) == id)
			return world_str(row, "email");
	return PN_STR_EMPTY;
}

/* -- the answer ----------------------------------------------------------------------------------- */

static json_t *
text(struct pn_str s)
{
	json_t *out = json_stringn(s.p, s.n);

	return out != NULL ? out : json_string("?");
}

static json_t *
failure(const char *state, const char *type)
{
	return json_pack("{s:s, s:s?, s:[]}", "state", state, "failure_type", type, "sent");
}

static json_t *
server_id(const struct pn_relay *server)
{
	return server == NULL ? json_null() : json_integer((json_int_t)server->index);
}

static json_t *
sent_json(const struct posting *p, const struct pn_sender *sender, struct pn_strs recipients)
{
	const struct pn_relay *server = p->found.relay;
	struct pn_str host = server != NULL ? server->host : world_str(p->cli, "smtp_server");
	uint64_t port = server != NULL ? server->port : world_number(p->cli, "smtp_port", 25);
	json_t *list = json_array();

	for (size_t i = 0; i < recipients.n; i++)
		json_array_append_new(list, text(recipients.v[i]));
	return json_pack("{s:o, s:o, s:I, s:o, s:o, s:o}", "server", server_id(server), "host",
	    host.n > 0 ? text(host) : json_string("localhost"), "port", (json_int_t)port, "smtp_from",
	    text(sender->envelope), "rcpt", list, "header_from",
	    text(as_header(sender->header_from, p->arena)));
}

/* One transaction for email_to, and one for each partner. */
static const char *
send_once(const struct posting *p, const struct pn_sender *sender, json_t *sent)
{
	json_t *partners = json_object_get(p->item, "recipients"), *row;
	struct pn_strs_builder to = { .arena = p->arena };
	struct pn_str fallback = PN_STR("dest@customer.example");
	bool any = false;
	size_t i;

	if (json_object_get(p->item, "email_to") != NULL)
		add_field(p->item, "email_to", &to, &any);
	else if (json_array_size(partners) == 0)
		add_recipients(fallback, &to, &any);
	if (any || json_array_size(partners) == 0) {
		add_field(p->item, "email_cc", &to, &any);
		add_field(p->item, "email_bcc", &to, &any);
		if (to.list.n == 0)
			return any ? "mail_email_invalid" : "mail_email_missing";
		json_array_append_new(sent, sent_json(p, sender, to.list));
	}
	json_array_foreach(partners, i, row) {
		struct pn_strs_builder one = { .arena = p->arena };

		add_recipients(partner_email(p, (uint64_t)json_integer_value(row)), &one, &any);
		json_array_append_new(sent, sent_json(p, sender, one.list));
	}
	return NULL;
}

/* How many of `count` mails leave in this minute (rule 14). */
static uint64_t
allowed_now(const struct posting *p, uint64_t count)
{
	const struct pn_relay *server = p->found.relay;
	json_t *rows = json_object_get(p->w->config, "servers"), *row;
	size_t i;

	if (server == NULL || server->owner.n == 0)
		return count;
	json_array_foreach(rows, i, row) {
		uint64_t used = world_number(row, "limit_count", 0), most = server->limits[0].most;

		if (world_number(row, "id", i + 1) == server->index)
			return used >= most ? 0 : most - used < count ? most - used : count;
	}
	return count;
}

static json_t *
send_all(const struct posting *p, const struct pn_sender *sender)
{
	uint64_t count = world_number(p->item, "count", 1), now = allowed_now(p, count);
	json_t *sent = json_array(), *out;

	for (uint64_t i = 0; i < now; i++) {
		const char *type = send_once(p, sender, sent);

		if (type != NULL) {
			json_decref(sent);
			return failure("exception", type);
		}
	}
	out = json_pack("{s:s, s:o}", "state", now == count ? "sent" : "outgoing", "sent", sent);
	if (now < count)
		json_object_set_new(out, "delayed", json_integer((json_int_t)(count - now)));
	if (p->warning)
		json_object_set_new(out, "fallback_warning", json_true());
	return out;
}

static json_t *
deliver(const struct posting *p)
{
	struct pn_sender_question question = {
		.sender = p->found.sender,
		.header_from = as_header(p->from.n > 0 ? p->from : notification(p), p->arena),
		.notification = notification(p),
		.bounce = bounce(p),
		.from_filter = p->found.relay != NULL ? p->found.relay->from_filter : default_filter(p),
	};
	struct pn_sender sender;

	if (pn_sender_decide(&question, p->arena, &sender, NULL) != PN_OK)
		return failure("exception", "mail_from_invalid");
	return send_all(p, &sender);
}

/* A server that the mail names: its from_filter does not matter, and From stays. */
static json_t *
forced(struct posting *p, uint64_t id)
{
	const struct pn_relay *server = pn_relay_named((struct pn_relays){ p->servers, p->server_count },
	    id_text(id, p->arena));

	if (server != NULL && server->owner.n > 0
	    && !pn_str_eq(server->owner, id_text(world_number(p->item, "user", 0), p->arena)))
		return failure("error", NULL);
	if (server == NULL || !server->active)
		return failure("exception", NULL);
	p->found = (struct found){ server, p->from };
	return deliver(p);
}

static json_t *
answer(struct posting *p)
{
	uint64_t id = world_number(p->item, "mail_server", 0);

	if (id != 0)
		return forced(p, id);
	choose(p);
	if (!p->queue && !p->direct)
		return json_pack("{s:o, s:o}", "server", server_id(p->found.relay), "smtp_from",
		    p->found.sender.n > 0 ? text(p->found.sender) : json_null());
	return deliver(p);
}

json_t *
mail_server_answer(const json_t *item, const json_t *models, const json_t *worlds, struct pn_arena *arena)
{
	struct world *w = world_new(json_object_get(item, "config"), models, worlds, NULL, arena);
	struct pn_str path = world_str(item, "path");
	struct posting p = {
		.item = item, .w = w, .arena = arena,
		.params = json_object_get(w->config, "params"),
		.cli = json_object_get(w->config, "cli"),
		.record = world_domain(w, world_number(item, "alias_domain", 0)),
		.queue = path.n == 0 || pn_str_eq(path, PN_STR("queue")),
		.direct = pn_str_eq(path, PN_STR("direct")),
	};
	json_t *out;

	p.company = company_domain(&p);
	p.from = from_at_choice(&p);
	read_servers(&p);
	out = answer(&p);
	json_decref(w->config);
	return out;
}
