#include "world.h"

#include <stdlib.h>
#include <unictype.h>
#include <unistr.h>

#include "postern/address.h"
#include "postern/alias_name.h"

struct pn_str
world_str(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_string(value))
		return PN_STR_EMPTY;
	return pn_str_n(json_string_value(value), json_string_length(value));
}

uint64_t
world_number(const json_t *object, const char *key, uint64_t otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? (uint64_t)json_integer_value(value) : otherwise;
}

bool
world_truth(const json_t *object, const char *key, bool otherwise)
{
	const json_t *value = json_object_get(object, key);

	if (value == NULL)
		return otherwise;
	return json_is_true(value) || (json_is_integer(value) && json_integer_value(value) != 0)
	    || (json_is_string(value) && json_string_length(value) > 0);
}

static json_t *
merged(const json_t *config, const json_t *worlds)
{
	const json_t *base = json_object_get(worlds, json_string_value(json_object_get(config, "world")));
	json_t *out = base == NULL ? json_object() : json_deep_copy(base), *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)config, key, value)
		json_object_set(out, key, value);
	return out;
}

/* -- models ------------------------------------------------------------------------- */

static struct pn_model
model_of(struct pn_str name, const json_t *row)
{
	return (struct pn_model){
		.name = name,
		.label = world_str(row, "name"),
		.exists = world_truth(row, "exists", false),
		.is_mail_thread = world_truth(row, "is_mail_thread", false),
		.message_new = world_truth(row, "message_new", false),
		.message_update = world_truth(row, "message_update", false),
		.blacklist = world_truth(row, "blacklist", false),
		.has_company = json_is_string(json_object_get(row, "company_field")),
		.primary_email = world_str(row, "primary_email"),
	};
}

static int
by_name(const void *a, const void *b)
{
	return pn_str_cmp(((const struct pn_model *)a)->name, ((const struct pn_model *)b)->name);
}

/* A case names every model there is: others are known not to exist. */
static void
read_models(struct world *w, const json_t *models, const char *extra)
{
	size_t n = 0, cap = json_object_size(models) + 1;
	json_t *messages = json_object_get(w->config, "messages"), *row;
	struct pn_model *v;
	const char *key;
	size_t i;

	cap += json_array_size(messages) + json_array_size(json_object_get(w->config, "aliases"));
	v = PN_ARENA_ARRAY(w->arena, struct pn_model, cap);
	json_object_foreach((json_t *)(uintptr_t)models, key, row)
		v[n++] = model_of(pn_str_c(key), row);
	qsort(v, n, sizeof(*v), by_name);
	w->models = (struct pn_models){ v, n };
	json_array_foreach(messages, i, row)
		if (world_str(row, "model").n > 0 && pn_model_find(&w->models, world_str(row,
		    "model")) == NULL)
			v[n++] = model_of(world_str(row, "model"), NULL);
	if (extra != NULL && pn_model_find(&w->models, pn_str_c(extra)) == NULL)
		v[n++] = model_of(pn_str_c(extra), NULL);
	qsort(v, n, sizeof(*v), by_name);
	w->models.n = n;
}

/* -- domains and aliases ---------------------------------------------------------------- */

static struct pn_str
sanitised(struct world *w, const json_t *row, const char *key, const char *otherwise, bool is_email)
{
	const json_t *value = json_object_get(row, key);
	struct pn_str text = value == NULL ? pn_str_c(otherwise) : world_str(row, key), out;

	return pn_alias_name_sanitize(text, is_email, w->arena, &out) == PN_OK ? out : PN_STR_EMPTY;
}

static struct pn_str
at_domain(struct world *w, struct pn_str local, struct pn_str domain)
{
	return pn_arena_printf(w->arena, PN_STR_FMT "@" PN_STR_FMT, PN_STR_ARG(local), PN_STR_ARG(domain));
}

static void
read_domains(struct world *w)
{
	json_t *rows = json_object_get(w->config, "alias_domains"), *row;
	struct pn_domain *v = PN_ARENA_ARRAY(w->arena, struct pn_domain, json_array_size(rows));
	size_t i;

	json_array_foreach(rows, i, row) {
		struct pn_str name = world_str(row, "name");
		struct pn_str from = sanitised(w, row, "default_from", "notifications", true);

		v[i] = (struct pn_domain){
			.name = name,
			.ascii = name,
			.bounce = at_domain(w, sanitised(w, row, "bounce_alias", "bounce", false), name),
			.catchall = at_domain(w, sanitised(w, row, "catchall_alias", "catchall", false),
			    name),
			.default_from = from.n == 0 || pn_str_find(from, '@') != PN_STR_NONE ? from
			    : at_domain(w, from, name),
			.gateway = &w->gateway,
		};
	}
	w->gateway.domains = v;
	w->gateway.domain_count = json_array_size(rows);
}

const struct pn_domain *
world_domain(const struct world *w, uint64_t id)
{
	json_t *rows = json_object_get(w->config, "alias_domains"), *row;
	size_t i;

	json_array_foreach(rows, i, row)
		if (world_number(row, "id", i + 1) == id)
			return &w->gateway.domains[i];
	return NULL;
}

static struct pn_str
domain_name(struct world *w, const json_t *id)
{
	const struct pn_domain *domain = world_domain(w, (uint64_t)json_integer_value(id));

	return domain == NULL ? PN_STR_EMPTY : domain->name;
}

static enum pn_contact
contact_of(const json_t *row)
{
	struct pn_str name = world_str(row, "contact");

	return pn_str_eq(name, PN_STR("partners")) ? PN_CONTACT_PARTNERS
	    : pn_str_eq(name, PN_STR("followers")) ? PN_CONTACT_FOLLOWERS
	    : pn_str_eq(name, PN_STR("employees")) ? PN_CONTACT_EMPLOYEES : PN_CONTACT_EVERYONE;
}

static void
read_aliases(struct world *w)
{
	json_t *rows = json_object_get(w->config, "aliases"), *row;
	size_t i;

	w->alias_count = json_array_size(rows);
	w->aliases = PN_ARENA_ARRAY(w->arena, struct pn_alias, w->alias_count);
	json_array_foreach(rows, i, row) {
		struct pn_str domain = domain_name(w, json_object_get(row, "domain"));
		struct pn_str local = sanitised(w, row, "name", "", false);

		w->aliases[i] = (struct pn_alias){
			.id = world_number(row, "id", i + 1),
			.local = local,
			.full = domain.n > 0 ? at_domain(w, local, domain) : local,
			.model = world_str(row, "model"),
			.contact = contact_of(row),
			.incoming_local = world_truth(row, "incoming_local", false),
			.force_thread_id = world_number(row, "force_thread_id", 0),
			.parent_model = world_str(row, "parent_model"),
			.parent_id = world_number(row, "parent_id", 0),
		};
	}
}

/* Python's int(): blanks around, a sign, underscores between digits of any script. */
static bool
python_int(struct pn_str text, int64_t *out)
{
	const uint8_t *p, *end;
	bool negative, digit = false;
	int64_t value = 0;

	text = pn_text_strip(text);
	negative = text.n > 0 && text.p[0] == '-';
	if (text.n > 0 && (text.p[0] == '-' || text.p[0] == '+'))
		text = pn_str_from(text, 1);
	p = (const uint8_t *)text.p;
	end = p + text.n;
	while (p < end) {
		ucs4_t c;
		int step = u8_mbtoucr(&c, p, (size_t)(end - p)), n = step < 0 ? -1 : uc_decimal_value(c);

		if (n < 0 && (c != '_' || !digit || p + 1 == end))
			return false;
		if (n >= 0 && value < INT64_MAX / 100)
			value = value * 10 + n;
		digit = n >= 0;
		p += step;
	}
	*out = negative ? -value : value;
	return digit;
}

static void
read_parameter(struct world *w, const char *key, int64_t otherwise, int64_t *out)
{
	const json_t *params = json_object_get(w->config, "params"), *value = json_object_get(params, key);
	struct pn_str text = world_str(params, key);

	*out = otherwise;
	if (json_is_integer(value) && json_integer_value(value) != 0)
		*out = json_integer_value(value);
	else if (text.n > 0 && !python_int(text, out))
		w->gateway.loop_unusable = true;
}

static void
read_parameters(struct world *w)
{
	const json_t *params = json_object_get(w->config, "params");
	struct pn_str text = world_str(params, "mail.catchall.domain.allowed"), entry;
	struct pn_strs_builder allowed = { .arena = w->arena };
	json_t *rows = json_object_get(w->config, "allowed"), *row;
	struct pn_strs_builder senders = { .arena = w->arena };
	size_t i;

	read_parameter(w, "mail.gateway.loop.minutes", 120, &w->minutes);
	read_parameter(w, "mail.gateway.loop.threshold", 20, &w->threshold);
	while (text.n > 0 && pn_str_split(&text, ',', &entry)) {
		entry = pn_text_lower(pn_text_strip(entry), w->arena);
		if (entry.n > 0)
			pn_strs_add(&allowed, entry);
	}
	w->gateway.allowed_domains = allowed.list;
	/* an entry without an address equals a sender without one */
	json_array_foreach(rows, i, row) {
		if (pn_address_normalize(pn_str_c(json_string_value(row)), true, w->arena, &entry) != PN_OK)
			entry = PN_STR_EMPTY;
		pn_strs_add(&senders, entry);
	}
	w->gateway.allowed_senders = senders.list;
}

/* -- ports -------------------------------------------------------------------------------- */

static enum pn_status
select_aliases(struct world *w, bool local, struct pn_str key, struct pn_arena *arena, struct pn_aliases *out)
{
	struct pn_alias *v = PN_ARENA_ARRAY(arena, struct pn_alias, w->alias_count);
	size_t n = 0;

	for (size_t i = 0; i < w->alias_count; i++)
		if (local ? w->aliases[i].incoming_local && pn_str_eq(w->aliases[i].local, key)
		    : pn_str_eq(w->aliases[i].full, key))
			v[n++] = w->aliases[i];
	*out = (struct pn_aliases){ v, n };
	return n > 0 ? PN_OK : PN_NOT_FOUND;
}

static enum pn_status
by_full(void *ctx, struct pn_str address, struct pn_arena *arena, struct pn_aliases *out)
{
	return select_aliases(ctx, false, address, arena, out);
}

static enum pn_status
by_local(void *ctx, struct pn_str local, struct pn_arena *arena, struct pn_aliases *out)
{
	return select_aliases(ctx, true, local, arena, out);
}

struct pn_alias_source
world_aliases(struct world *world)
{
	return (struct pn_alias_source){ .ctx = world, .by_full = by_full, .by_local = by_local };
}

static const json_t *
partner_by_id(struct world *w, uint64_t id)
{
	json_t *rows = json_object_get(w->config, "partners"), *row;
	size_t i;

	json_array_foreach(rows, i, row)
		if (world_number(row, "id", 0) == id)
			return row;
	return NULL;
}

/* The one notified partner that exists, or none. */
static uint64_t
sole_notified(struct world *w, const json_t *message)
{
	json_t *rows = json_object_get(message, "notified"), *row;
	uint64_t found = 0;
	size_t i;

	json_array_foreach(rows, i, row) {
		uint64_t id = (uint64_t)json_integer_value(row);

		if (partner_by_id(w, id) == NULL || id == found)
			continue;
		if (found != 0)
			return 0;
		found = id;
	}
	return found;
}

static struct pn_stored
stored_of(struct world *w, const json_t *row)
{
	uint64_t notified = sole_notified(w, row);

	return (struct pn_stored){
		.id = world_number(row, "id", 0),
		.model = world_str(row, "model"),
		.res_id = world_number(row, "res_id", 0),
		.record_known = true,
		.internal = pn_str_eq(world_str(row, "subtype"), PN_STR("note"))
		    && !pn_str_eq(world_str(row, "type"), PN_STR("auto_comment")),
		.sole_notified = notified,
		.sole_notified_email = notified == 0 ? PN_STR_EMPTY : world_str(partner_by_id(w, notified),
		    "email"),
	};
}

static enum pn_known
newest(struct pn_odoo *odoo, struct pn_strs ids, struct pn_arena *arena, struct pn_stored *out)
{
	struct world *w = odoo->ctx;
	json_t *rows = json_object_get(w->config, "messages");

	(void)arena;
	for (size_t i = json_array_size(rows); i-- > 0;) {
		const json_t *row = json_array_get(rows, i);
		struct pn_str id = world_str(row, "message_id");

		if (id.n > 0 && pn_strs_has(ids, id)) {
			*out = stored_of(w, row);
			return PN_YES;
		}
	}
	return PN_NO;
}

static enum pn_known
duplicate(struct pn_odoo *odoo, struct pn_str message_id)
{
	struct pn_strs one = { &message_id, 1 };
	struct pn_stored ignored;

	return newest(odoo, one, NULL, &ignored);
}

static enum pn_known
record(struct pn_odoo *odoo, struct pn_str model, uint64_t id, struct pn_arena *arena, struct pn_record *out)
{
	struct world *w = odoo->ctx;
	json_t *rows = json_object_get(w->config, "records"), *row, *follower;
	size_t i, j;

	json_array_foreach(rows, i, row) {
		json_t *followers = json_object_get(row, "followers");
		uint64_t *v;

		if (world_number(row, "id", 0) != id || !pn_str_eq(world_str(row, "model"), model))
			continue;
		v = PN_ARENA_ARRAY(arena, uint64_t, json_array_size(followers));
		json_array_foreach(followers, j, follower)
			v[j] = (uint64_t)json_integer_value(follower);
		*out = (struct pn_record){ world_number(row, "company", 0), v, json_array_size(followers),
		    PN_YES };
		return PN_YES;
	}
	return PN_NO;
}

static enum pn_user
user_of(const json_t *row)
{
	const json_t *user = json_object_get(row, "user");

	if (user == NULL || json_is_false(user) || json_is_null(user))
		return PN_USER_NONE;
	return json_is_true(user) ? PN_USER_INTERNAL : PN_USER_PORTAL;
}

static enum pn_known
partners(struct pn_odoo *odoo, struct pn_str email, bool literal, struct pn_arena *arena,
    struct pn_partners *out)
{
	struct world *w = odoo->ctx;
	json_t *rows = json_object_get(w->config, "partners"), *row;
	struct pn_partner *v = PN_ARENA_ARRAY(arena, struct pn_partner, json_array_size(rows));
	size_t n = 0, i;

	json_array_foreach(rows, i, row) {
		struct pn_str text = world_str(row, "email");

		if (!world_truth(row, "active", true))
			continue;
		if (!literal && pn_address_normalize(text, false, arena, &text) != PN_OK)
			continue;
		if (pn_str_eq(text, email))
			v[n++] = (struct pn_partner){ world_number(row, "id", 0), user_of(row),
			    world_number(row,
			    "company", 0) };
	}
	*out = (struct pn_partners){ v, n };
	return n > 0 ? PN_YES : PN_NO;
}

/* -- counting ---------------------------------------------------------------------------------- */

/* One character of the text. */
static size_t
step(struct pn_str text)
{
	int n = u8_mblen((const uint8_t *)text.p, text.n);

	return n > 0 ? (size_t)n : 1;
}

/* ilike %pattern%: "%" any run, "_" any character; both texts are lower-cased. */
static bool
like(struct pn_str pattern, struct pn_str text)
{
	for (size_t start = 0; start <= text.n; start++) {
		struct pn_str p = pattern, t = pn_str_from(text, start);

		while (p.n > 0 && p.p[0] != '%' && t.n > 0 && (p.p[0] == '_' || p.p[0] == t.p[0])) {
			t = pn_str_from(t, p.p[0] == '_' ? step(t) : 1);
			p = pn_str_from(p, 1);
		}
		if (p.n == 0 || (p.p[0] == '%' && like(pn_str_from(p, 1), t)))
			return true;
	}
	return false;
}

static bool
same_sender(struct world *w, const struct pn_model *model, struct pn_str stored, struct pn_str sender)
{
	struct pn_str normal;

	if (model->blacklist) {
		if (pn_address_normalize(stored, false, w->arena, &normal) != PN_OK)
			return sender.n == 0;
		return pn_str_eq(normal, sender);
	}
	/* an unusable sender turns into an empty pattern */
	return sender.n == 0 || (stored.n > 0 && like(pn_text_lower(sender, w->arena), pn_text_lower(stored,
	    w->arena)));
}

static uint64_t
count_new(struct world *w, const struct pn_loop_window *window, struct pn_str sender)
{
	json_t *rows = json_object_get(w->config, "records"), *row;
	uint64_t count = 0;
	size_t i;

	json_array_foreach(rows, i, row)
		if (pn_str_eq(world_str(row, "model"), window->model) && w->minutes >= 0
		    && same_sender(w, window->listed, world_str(row, "email"), sender))
			count++;
	rows = json_object_get(w->config, "history");
	json_array_foreach(rows, i, row)
		if (pn_str_eq(world_str(row, "model"), window->model) && world_number(row, "res_id", 0) == 0
		    && !world_truth(row, "archived", false) && (int64_t)world_number(row, "age_minutes",
		    1) <= w->minutes
		    && same_sender(w, window->listed, world_str(row, "email_from"), sender))
			count += world_number(row, "count", 1);
	return count;
}

static uint64_t
count_updates(struct world *w, const struct pn_loop_window *window, const struct pn_message *message,
    uint64_t author)
{
	json_t *rows = json_object_get(w->config, "history"), *row;
	uint64_t count = 0;
	size_t i;

	json_array_foreach(rows, i, row) {
		struct pn_str from = world_str(row, "email_from"), type = world_str(row, "type");

		if (!pn_str_eq(world_str(row, "model"), window->model) || world_number(row, "res_id",
		    0) != window->record
		    || (type.n > 0 && !pn_str_eq(type, PN_STR("email")))
		    || (int64_t)world_number(row, "age_minutes", 1) > w->minutes)
			continue;
		if (author != 0 ? world_number(row, "author", 0) == author
		    : pn_str_eq(from, message->email_from) || (message->sender.n > 0 && pn_str_eq(from,
		    message->sender)))
			count += world_number(row, "count", 1);
	}
	return count;
}

uint64_t
world_count(struct world *world, const struct pn_loop_window *window, const struct pn_message *message,
    const struct pn_decision *decision)
{
	return window->update ? count_updates(world, window, message, decision->author)
	    : count_new(world, window, message->sender);
}

struct world *
world_new(const json_t *config, const json_t *models, const json_t *worlds, const char *extra_model,
    struct pn_arena *arena)
{
	struct world *w = PN_ARENA_NEW(arena, struct world);

	w->arena = arena;
	w->config = merged(config, worlds);
	w->gateway.name = PN_STR("case");
	read_models(w, models, extra_model);
	read_domains(w);
	read_aliases(w);
	read_parameters(w);
	w->odoo = (struct pn_odoo){
		.ctx = w, .newest = newest, .duplicate = duplicate, .record = record, .partners = partners,
	};
	return w;
}
