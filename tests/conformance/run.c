/* run.c - decides a file of conformance cases with the core that the milter runs.
 *
 *     run CASES.jsonl
 *
 * models.json and worlds.json are read from the folder of the cases.  Lists
 * what differs, ends with "NAME: N passed, M failed"; exit 1 if any failed.
 */
#include <jansson.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "postern/fields.h"
#include "postern/header_value.h"
#include "postern/loop.h"
#include "mail_server.h"
#include "tools.h"
#include "world.h"

enum { ARENA_LIMIT = 256 << 20 };

struct run {
	json_t *models, *worlds;
	struct pn_arena *arena;
};

/* -- reading a case ------------------------------------------------------------------- */

static int
hex(char c)
{
	return pn_is_digit(c) ? c - '0' : pn_to_lower(c) >= 'a' && pn_to_lower(c) <= 'f'
	    ? pn_to_lower(c) - 'a' + 10 : -1;
}

/* Python writes a byte that is not UTF-8 as the lone surrogate \udcXX, which
 * JSON proper forbids: it travels as U+F7XX and becomes the byte again below. */
static void
hide_surrogates(char *line)
{
	for (char *p = line; (p = strstr(p, "\\udc")) != NULL; p += 4) {
		bool low_half = p - line >= 6 && p[-6] == '\\' && p[-5] == 'u' && pn_to_lower(p[-4]) == 'd'
		    && hex(p[-3]) >= 8 && hex(p[-3]) < 12;

		if (!low_half && hex(p[4]) >= 8 && hex(p[5]) >= 0)
			memcpy(p + 2, "f7", 2);
	}
}

/* U+F780..U+F7FF (ef 9e 80 .. ef 9f bf) are the bytes again. */
static struct pn_str
raw_bytes(struct pn_str text, struct pn_arena *arena)
{
	unsigned char *out = pn_arena_alloc(arena, text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == 0xef && i + 2 < text.n && ((unsigned char)text.p[i + 1] & 0xfe) == 0x9e) {
			out[n++] = (unsigned char)(((text.p[i + 1] & 3) << 6) | (text.p[i + 2] & 0x3f));
			i += 2;
		} else {
			out[n++] = c;
		}
	}
	return pn_str_n((const char *)out, n);
}

static struct pn_str
mail_of(const json_t *item, struct pn_arena *arena)
{
	struct pn_str coded = world_str(item, "mail_b64");
	unsigned char *out = pn_arena_alloc(arena, coded.n + 4);
	int length;

	if (coded.n == 0)
		return raw_bytes(world_str(item, "mail"), arena);
	length = EVP_DecodeBlock(out, (const unsigned char *)coded.p, (int)coded.n);
	for (size_t i = coded.n; length > 0 && i > 0 && coded.p[i - 1] == '='; i--)
		length--;
	return pn_str_n((const char *)out, length < 0 ? 0 : (size_t)length);
}

static struct pn_mime_result
walk(struct pn_str mail, struct pn_arena *arena)
{
	struct pn_mime *mime = pn_mime_new();
	struct pn_mime_result result;

	pn_mime_raw(mime, mail);
	pn_mime_end(mime, arena, &result);
	pn_mime_free(mime);
	return result;
}

/* -- deciding --------------------------------------------------------------------------- */

struct answer {
	json_t *config;			/* its strings are borrowed by the rest */
	struct pn_message message;
	bool readable;
	bool no_message_id;		/* Odoo invents one */
	struct pn_decision decision;
};

static void
check_loops(struct world *w, struct answer *a, struct pn_arena *arena)
{
	struct pn_loop_windows windows = pn_loop_windows(&w->gateway, &w->models, &a->message, &a->decision,
	    arena);
	uint64_t threshold = w->threshold < 0 ? 0 : (uint64_t)w->threshold;

	for (size_t i = 0; i < windows.n; i++) {
		uint64_t count = world_count(w, &windows.v[i], &a->message, &a->decision);

		if (pn_loop_full(&windows.v[i], count, threshold)) {
			pn_loop_fire(&a->decision, &windows.v[i], arena);
			return;
		}
	}
}

/* One of blanks only is there for Odoo, but empty. */
static bool
lacks_message_id(struct pn_fields fields, struct pn_arena *arena)
{
	struct pn_str value;

	for (size_t i = 0; i < fields.n; i++)
		if (pn_str_eq_nocase(fields.v[i].name, PN_STR("Message-Id")))
			return pn_header_value(fields.v[i].name, fields.v[i].raw, arena, &value) == PN_OK
			    && value.n == 0;
	return true;
}

static enum pn_status
decide(struct run *run, const json_t *item, struct answer *a, struct pn_error *err)
{
	struct pn_arena *arena = run->arena;
	struct pn_str mail = mail_of(item, arena), body;
	const char *fallback = json_string_value(json_object_get(item, "fallback_model"));
	struct world *w = world_new(json_object_get(item, "config"), run->models, run->worlds, fallback,
	    arena);
	struct pn_mime_result mime = walk(mail, arena);
	struct pn_fields fields;
	struct pn_route_question question = {
		.gateway = &w->gateway,
		.models = &w->models,
		.aliases = world_aliases(w),
		.aliases_complete = true,
		.odoo = &w->odoo,
		.message = &a->message,
		.fallback_model = pn_str_c(fallback),
		.fallback_thread_id = (uint64_t)json_integer_value(json_object_get(item,
		    "fallback_thread_id")),
	};
	enum pn_status st = pn_fields_split(mail, arena, &fields, &body);

	a->config = w->config;
	if (st == PN_OK)
		st = pn_message_parse(fields, &mime, false, arena, &a->message, err);
	a->readable = st == PN_OK;
	a->no_message_id = lacks_message_id(fields, arena);
	if (st == PN_INVALID) {
		a->decision = pn_route_unreadable();
		return PN_OK;
	}
	if (st == PN_OK)
		st = pn_route_decide(&question, arena, &a->decision, err);
	if (st == PN_OK && a->decision.outcome == PN_ROUTED)
		check_loops(w, a, arena);
	return st;
}

/* -- the answer as JSON -------------------------------------------------------------------- */

static json_t *
text(struct pn_str s)
{
	json_t *out = json_stringn(s.p, s.n);

	return out != NULL ? out : json_string("?");
}

static json_t *
id_or_null(uint64_t id)
{
	return id == 0 ? json_null() : json_integer((json_int_t)id);
}

static int
by_bytes(const void *a, const void *b)
{
	return pn_str_cmp(*(const struct pn_str *)a, *(const struct pn_str *)b);
}

static json_t *
texts(struct pn_strs list, bool sorted)
{
	json_t *out = json_array();

	if (sorted && list.n > 1)
		qsort(list.v, list.n, sizeof(*list.v), by_bytes);
	for (size_t i = 0; i < list.n; i++)
		json_array_append_new(out, text(list.v[i]));
	return out;
}

static json_t *
routes_json(const struct pn_decision *d)
{
	json_t *out = json_array();

	for (size_t i = 0; i < d->route_count; i++) {
		const struct pn_route *r = &d->routes[i];

		json_array_append_new(out, json_pack("{s:o, s:o, s:o, s:o}", "model", text(r->model),
		    "thread_id",
		    id_or_null(r->thread_id), "alias", id_or_null(r->alias == NULL ? 0 : r->alias->id),
		    "user",
		    id_or_null(r->user)));
	}
	return out;
}

static json_t *
notices_json(const struct pn_decision *d)
{
	static const char *const kinds[] = { "catchall", "alias_security", "alias_invalid", "loop" };
	json_t *out = json_array();

	for (size_t i = 0; i < d->notice_count; i++)
		json_array_append_new(out, json_pack("{s:s, s:o, s:s?}", "kind", kinds[d->notices[i].kind],
		    "alias",
		    id_or_null(d->notices[i].alias == NULL ? 0 : d->notices[i].alias->id), "error",
		    d->notices[i].error));
	return out;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(json_string_value(*(json_t *const *)a), json_string_value(*(json_t *const *)b));
}

/* As the cases have them: numbers as text, in the order of the text. */
static json_t *
partners_json(struct pn_partners partners, struct pn_arena *arena)
{
	json_t *out = json_array(), **v = PN_ARENA_ARRAY(arena, json_t *, partners.n + 1);

	for (size_t i = 0; i < partners.n; i++)
		v[i] = json_sprintf("%llu", (unsigned long long)partners.v[i].id);
	if (partners.n > 1)
		qsort(v, partners.n, sizeof(*v), by_text);
	for (size_t i = 0; i < partners.n; i++)
		json_array_append_new(out, v[i]);
	return out;
}

static json_t *
parsed_json(const struct answer *a, struct pn_arena *arena)
{
	const struct pn_message *m = &a->message;
	const struct pn_decision *d = &a->decision;
	struct pn_str id = a->no_message_id ? PN_STR("<GENERATED@localhost>") : m->message_id;
	json_t *out = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "message_id", text(id), "email_from",
	    text(m->email_from), "to", texts(m->to, true), "cc", texts(m->cc, true), "recipients",
	    texts(m->recipients, true), "references", text(m->references), "in_reply_to",
	    text(m->in_reply_to));

	json_object_set_new(out, "parent_message", id_or_null(d->has_parent ? d->parent.id : 0));
	json_object_set_new(out, "is_internal", json_boolean(d->has_parent && d->parent.internal));
	json_object_set_new(out, "is_bounce", json_boolean(d->bounced.found));
	if (d->bounced.found) {
		json_object_set_new(out, "bounced_email", d->bounced.email.n > 0 ? text(d->bounced.email)
		    : json_null());
		json_object_set_new(out, "bounced_partners", partners_json(d->bounced.partners, arena));
		json_object_set_new(out, "bounced_msg_ids", texts(d->bounced.message_ids, false));
		json_object_set_new(out, "bounced_message", id_or_null(d->bounced.has_message
		    ? d->bounced.message.id : 0));
	}
	return out;
}

/* -- comparing --------------------------------------------------------------------------------- */

struct report {
	const char *id;
	bool failed;
};

static void
compare(struct report *r, const char *what, json_t *want, json_t *have)
{
	if (!json_equal(want, have)) {
		char *a = json_dumps(want, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
		char *b = json_dumps(have, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);

		printf("%s %s: want %s, have %s\n", r->id, what, a == NULL ? "nothing" : a, b == NULL
		    ? "nothing" : b);
		free(a);
		free(b);
		r->failed = true;
	}
	json_decref(have);
}

/* The rows of want, with only these keys, absent ones as null. */
static json_t *
only(const json_t *rows, const char *const *keys)
{
	json_t *out = json_array(), *row;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
		json_t *copy = json_object();

		for (size_t k = 0; keys[k] != NULL; k++) {
			json_t *value = json_object_get(row, keys[k]);

			json_object_set_new(copy, keys[k], value == NULL ? json_null() : json_incref(value));
		}
		json_array_append_new(out, copy);
	}
	return out;
}

static void
compare_parsed(struct report *r, const json_t *want, const struct answer *a, struct pn_arena *arena)
{
	json_t *have = parsed_json(a, arena), *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)want, key, value) {
		json_t *got = json_object_get(have, key);

		compare(r, key, value, got == NULL ? json_null() : json_incref(got));
	}
	json_decref(have);
}

/* An author that is not known at that point is left out of the answer. */
static void
compare_author(struct report *r, json_t *want, uint64_t author)
{
	json_t *none = json_null();

	compare(r, "author", want == NULL ? none : want, id_or_null(author));
	json_decref(none);
}

static void
compare_route(struct run *run, const json_t *item, const struct answer *a, struct report *r)
{
	static const char *const route_keys[] = { "model", "thread_id", "alias", "user", NULL };
	static const char *const notice_keys[] = { "kind", "alias", "error", NULL };
	json_t *expect = json_object_get(item, "expect"), *rows;
	const char *outcome = json_string_value(json_object_get(expect, "outcome"));
	const char *rule = json_string_value(json_object_get(expect, "decided_by"));
	bool error, creation;

	/* a record that cannot be created fails in Odoo's database, behind the
	 * routing: the routes that led there are what can be compared */
	creation = json_is_true(json_object_get(item, "process")) && outcome != NULL && strcmp(outcome,
	    "error") == 0
	    && rule != NULL && strcmp(rule, "processing") == 0 && a->decision.outcome == PN_ROUTED;
	error = a->decision.outcome == PN_ERROR;
	if (!creation) {
		compare(r, "outcome", json_object_get(expect, "outcome"),
		    json_string(pn_outcome_name(a->decision.outcome)));
		compare(r, "decided_by", json_object_get(expect, "decided_by"),
		    json_string(pn_rule_name(a->decision.rule)));
	}
	if (!error) {
		rows = only(json_object_get(expect, "routes"), route_keys);
		compare(r, "routes", rows, routes_json(&a->decision));
		json_decref(rows);
	}
	if (!error && !creation) {
		rows = only(json_object_get(expect, "bounces"), notice_keys);
		compare(r, "bounces", rows, notices_json(&a->decision));
		json_decref(rows);
	}
	if (a->decision.outcome == PN_ROUTED || a->decision.outcome == PN_LOOP_DETECTED)
		compare_author(r, json_object_get(expect, "author"),
		    a->decision.outcome == PN_ROUTED ? a->decision.final_author : a->decision.author);
	if (a->readable && a->decision.rule != PN_RULE_PARSE && json_object_get(expect, "parsed") != NULL)
		compare_parsed(r, json_object_get(expect, "parsed"), a, run->arena);
}

static void
run_route(struct run *run, const json_t *item, struct report *r)
{
	struct answer a = { .config = NULL };
	struct pn_error err = { "" };
	enum pn_status st = decide(run, item, &a, &err);

	if (st == PN_OK) {
		compare_route(run, item, &a, r);
		if (r->failed && a.decision.doubts != 0) {
			struct pn_str doubts = pn_doubts_text(a.decision.doubts, run->arena);

			printf("%s not known: " PN_STR_FMT "\n", r->id, PN_STR_ARG(doubts));
		}
	} else {
		printf("%s: %s: %s\n", r->id, pn_status_name(st), err.text);
		r->failed = true;
	}
	json_decref(a.config);
}

/* A raw header line, as Odoo sees its value. */
static json_t *
header_value(struct run *run, const json_t *item)
{
	struct pn_str value, body;
	struct pn_fields fields;

	if (pn_fields_split(raw_bytes(world_str(item, "arg"), run->arena), run->arena, &fields,
	    &body) != PN_OK
	    || fields.n == 0)
		return json_pack("{s:n}", "value");
	if (pn_header_value(fields.v[0].name, fields.v[0].raw, run->arena, &value) != PN_OK)
		return json_pack("{s:s}", "error", "unreadable");
	return json_pack("{s:o}", "value", text(value));
}

static void
run_tool(struct run *run, const json_t *item, struct report *r)
{
	json_t *expect = json_object_get(item, "expect"), *have;
	const char *fn = json_string_value(json_object_get(item, "fn"));

	if (fn != NULL && strcmp(fn, "header") == 0)
		have = header_value(run, item);
	else
		have = pn_tools_call(fn, json_object_get(item, "arg"));
	/* that it raises counts, not with which words */
	if (json_object_get(expect, "error") != NULL && json_object_get(have, "error") != NULL)
		json_object_set(have, "error", json_object_get(expect, "error"));
	compare(r, fn == NULL ? "?" : fn, expect, have);
}

static void
run_sanitize(json_t *item, struct report *r)
{
	compare(r, "name", json_object_get(item, "expect"), pn_sanitize_call(item));
}

/* The transactions, each with what is both in the case and in our answer. */
static void
compare_sent(struct report *r, json_t *want, json_t *have)
{
	json_t *row, *value;
	const char *key;
	size_t i;

	if (json_array_size(want) != json_array_size(have)) {
		printf("%s: %zu transactions, have %zu\n", r->id, json_array_size(want),
		    json_array_size(have));
		r->failed = true;
	}
	json_array_foreach(want, i, row)
		json_object_foreach(row, key, value) {
			json_t *got = json_object_get(json_array_get(have, i), key);

			if (got != NULL)
				compare(r, key, value, json_incref(got));
		}
}

static void
run_server(struct run *run, const json_t *item, struct report *r)
{
	static const char *const keys[] = { "state", "failure_type", "delayed", "fallback_warning",
	    "server", "smtp_from" };
	json_t *expect = json_object_get(item, "expect"), *none = json_null();
	json_t *have = mail_server_answer(item, run->models, run->worlds, run->arena);

	for (size_t i = 0; i < PN_COUNT(keys); i++) {
		json_t *want = json_object_get(expect, keys[i]), *got = json_object_get(have, keys[i]);

		compare(r, keys[i], want == NULL ? none : want, got == NULL ? json_null() : json_incref(got));
	}
	compare_sent(r, json_object_get(expect, "sent"), json_object_get(have, "sent"));
	json_decref(have);
	json_decref(none);
}

static void
run_case(struct run *run, json_t *item, struct report *r)
{
	const char *op = json_string_value(json_object_get(item, "op"));

	if (op != NULL && strcmp(op, "route") == 0) {
		run_route(run, item, r);
	} else if (op != NULL && strcmp(op, "mail_server") == 0) {
		run_server(run, item, r);
	} else if (op != NULL && strcmp(op, "tools") == 0) {
		run_tool(run, item, r);
	} else if (op != NULL && strcmp(op, "sanitize_alias") == 0) {
		run_sanitize(item, r);
	} else {
		printf("%s: no cases of kind %s are run here\n", r->id, op == NULL ? "?" : op);
		r->failed = true;
	}
}

/* -- the file -------------------------------------------------------------------------------------- */

static json_t *
load_beside(const char *cases, const char *name)
{
	char *copy = strdup(cases), path[4096];
	json_error_t err;
	json_t *out;

	(void)snprintf(path, sizeof(path), "%s/%s", dirname(copy), name);
	free(copy);
	out = json_load_file(path, 0, &err);
	if (out == NULL) {
		fprintf(stderr, "%s:%d: %s\n", path, err.line, err.text);
		exit(EXIT_FAILURE);
	}
	return out;
}

static void
print_total(const char *path, unsigned long passed, unsigned long failed)
{
	char *copy = strdup(path), *name = basename(copy), *dot = strrchr(name, '.');

	if (dot != NULL)
		*dot = '\0';
	printf("%s: %lu passed, %lu failed\n", name, passed, failed);
	free(copy);
}

int
main(int argc, char **argv)
{
	struct run run = { .arena = pn_arena_new(ARENA_LIMIT) };
	unsigned long passed = 0, failed = 0, number = 0;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	FILE *file;

	if (argc != 2 || (file = fopen(argv[1], "r")) == NULL) {
		fprintf(stderr, "usage: run CASES.jsonl (a file that can be read)\n");
		return EXIT_FAILURE;
	}
	run.models = load_beside(argv[1], "models.json");
	run.worlds = load_beside(argv[1], "worlds.json");
	while ((n = getline(&line, &cap, file)) > 0) {
		json_error_t err;
		json_t *item;
		char where[32];
		struct report report;

		number++;
		if (pn_str_trim(pn_str_n(line, (size_t)n)).n == 0)
			continue;
		hide_surrogates(line);
		item = json_loadb(line, strlen(line), JSON_ALLOW_NUL, &err);
		(void)snprintf(where, sizeof(where), "line %lu", number);
		report = (struct report){ .id = json_string_value(json_object_get(item, "id")) };
		if (report.id == NULL)
			report.id = where;
		if (item == NULL) {
			printf("%s: %s\n", where, err.text);
			report.failed = true;
		} else {
			run_case(&run, item, &report);
		}
		if (report.failed)
			failed++;
		else
			passed++;
		json_decref(item);
		pn_arena_reset(run.arena);
	}
	free(line);
	(void)fclose(file);
	json_decref(run.models);
	json_decref(run.worlds);
	pn_arena_free(run.arena);
	print_total(argv[1], passed, failed);
	return failed == 0 && passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
