#include "load.h"

#include <stdlib.h>

#include "postern/address.h"
#include "postern/alias_name.h"
#include "postern/nearest.h"

enum { GATEWAYS_MAX = 10000, NAME_MAX_BYTES = 64 };

/* It stands in headers and in keys of the store. */
static bool
is_gateway_name(struct pn_str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!pn_is_alnum(name.p[i]) && memchr("-_.", name.p[i], 3) == NULL)
			return false;
	return name.n > 0 && name.n <= NAME_MAX_BYTES;
}

static void
load_target(struct pn_loader *l, const struct pn_conf_section *section, struct pn_str text,
    struct pn_gateway *g)
{
	struct pn_place place = pn_section_place(section, "target");
	struct pn_str to = pn_str_trim(pn_str_from(text, 11));
	const char *why = "has a domain that cannot be; write one like acme.odoo.example";
	bool good;

	g->target = PN_TARGET_KEEP;
	if (pn_str_eq(text, PN_STR("keep")) || text.n == 0)
		return;
	if (!pn_str_starts(text, PN_STR("redirect to "))) {
		pn_report_error(l->report, place, PN_STR("target"),
		    "%s is not known; write \"redirect to ADDRESS\", \"redirect to DOMAIN\" or keep",
		    pn_show(text, l->arena));
		return;
	}
	g->target = pn_str_find(to, '@') != PN_STR_NONE ? PN_TARGET_ADDRESS : PN_TARGET_DOMAIN;
	good = g->target == PN_TARGET_ADDRESS ? pn_conf_address(to, l->arena, &g->target_value, &why)
	    : pn_conf_domain(to, l->arena, &g->target_value);
	if (!good)
		pn_report_error(l->report, place, PN_STR("target"), "%s %s", pn_show(to, l->arena), why);
}

/* An optional address in place. */
static void
load_address(struct pn_loader *l, const struct pn_conf_section *section, const char *key,
    struct pn_str *field)
{
	const char *why;

	if (field->n > 0 && !pn_conf_address(*field, l->arena, field, &why))
		pn_report_error(l->report, pn_section_place(section, key), pn_str_c(key), "%s %s",
		    pn_show(*field, l->arena), why);
}

/* Odoo rule 6.2: "a.example, b.example" as Odoo has it, or a list. */
static void
load_allowed_domains(struct pn_loader *l, const struct pn_conf_section *section, struct pn_strs from,
    struct pn_strs *out)
{
	struct pn_strs all = { NULL, 0 };
	struct pn_str clean, one;
	size_t cap = 0;

	for (size_t i = 0; i < from.n; i++) {
		if (pn_allowed_domains_sanitize(from.v[i], l->arena, &clean) != PN_OK) {
			pn_report_error(l->report, pn_section_place(section, "mail.catchall.domain.allowed"),
			    PN_STR("mail.catchall.domain.allowed"),
			    "%s names no domain; write one or remove the key", pn_show(from.v[i], l->arena));
			continue;
		}
		while (pn_str_split(&clean, ',', &one)) {
			all.v = pn_arena_grow(l->arena, all.v, all.n, &cap, all.n + 1, sizeof(*all.v));
			all.v[all.n++] = one;
		}
	}
	*out = all;
}

static struct pn_gateway
load_gateway(struct pn_loader *l, const struct pn_conf_section *section,
    const struct pn_draft_gateway *defaults)
{
	struct pn_draft_gateway draft = *defaults;

	pn_section_apply(l, section, &pn_key_tables[PN_KEYS_GATEWAY], &draft);
	draft.row.name = section->title;
	if (!is_gateway_name(section->title))
		pn_report_error(l->report, section->place, PN_STR("gateway"),
		    "%s is no name; use at most %d letters, digits, - _ and .",
		    pn_show(section->title, l->arena), NAME_MAX_BYTES);
	load_target(l, section, draft.target, &draft.row);
	load_address(l, section, "bounce_target", &draft.row.bounce_target);
	/* Odoo rule 9.2: compared with the normalised sender */
	pn_load_addresses(l, section, "mail.gateway.allowed", &draft.row.allowed_senders);
	load_allowed_domains(l, section, draft.allowed_domains, &draft.row.allowed_domains);
	if (draft.row.require_dmarc != PN_REQUIRE_DMARC_NO && l->config->auth.use == PN_DMARC_OFF)
		pn_report_error(l->report, pn_section_place(section, "require_dmarc"), PN_STR("require_dmarc"),
		    "nothing can pass while dmarc = off; set dmarc = mark");
	draft.row.unreadable_reject = draft.unreadable == PN_CONF_REJECT;
	return draft.row;
}

void
pn_load_gateways(struct pn_loader *l)
{
	bool *twice = PN_ARENA_ARRAY(l->arena, bool, l->tree.n);
	struct pn_draft_gateway defaults = { .target = PN_STR_EMPTY };
	size_t wanted, n = 0;
	struct pn_named *names = pn_sections_of(l, "gateway", &wanted);

	pn_names_unique(l, names, wanted, "gateway", twice);
	pn_keys_defaults(&pn_key_tables[PN_KEYS_GATEWAY], &defaults, l->arena);
	l->gateways = PN_ARENA_ARRAY(l->arena, struct pn_gateway, wanted);
	l->gateway_places = PN_ARENA_ARRAY(l->arena, struct pn_place, wanted);
	for (size_t i = 1; i < l->tree.n && n < GATEWAYS_MAX; i++) {
		const struct pn_conf_section *s = &l->tree.sections[i];

		if (twice[i] || !pn_str_eq(s->kind, PN_STR("gateway")) || s->title.n == 0)
			continue;
		l->gateways[n] = load_gateway(l, s, &defaults);
		l->gateways[n].index = n;
		l->gateway_places[n++] = s->place;
	}
	if (wanted > GATEWAYS_MAX)
		pn_report_error(l->report, (struct pn_place){ l->path, 0 }, PN_STR("gateway"),
		    "%zu gateways are too many; at most %d fit on a host", wanted, GATEWAYS_MAX);
	l->gateway_count = n;
	l->config->directory.gateways = l->gateways;
	l->config->directory.gateway_count = n;
	if (wanted == 0)
		pn_report_warning(l->report, (struct pn_place){ l->path, 0 }, PN_STR_EMPTY,
		    "there is no gateway, all mail passes untouched; add a section gateway \"main\" { ... }");
}

static const char *
nearest_gateway(const struct pn_loader *l, struct pn_str name)
{
	const char *words[100];
	size_t n = l->gateway_count < PN_COUNT(words) ? l->gateway_count : PN_COUNT(words);

	for (size_t i = 0; i < n; i++)
		words[i] = pn_arena_cstr(l->arena, l->gateways[i].name);
	return pn_report_has_room(l->report) ? pn_nearest(name, words, n) : NULL;
}

const struct pn_gateway *
pn_gateway_wanted(struct pn_loader *l, struct pn_str name, struct pn_place place)
{
	const struct pn_gateway *found = name.n == 0 && l->gateway_count == 1 ? &l->gateways[0]
	    : pn_directory_gateway(&l->config->directory, name);
	const char *nearest;

	if (found != NULL)
		return found;
	if (name.n == 0 && l->gateway_count > 0) {
		pn_report_error(l->report, place, PN_STR("gateway"),
		    "there are %zu gateways; say which one with gateway = NAME", l->gateway_count);
		return NULL;
	}
	nearest = nearest_gateway(l, name);
	if (nearest != NULL)
		pn_report_error(l->report, place, PN_STR("gateway"),
		    "there is no gateway %s; did you mean %s?", pn_show(name, l->arena), nearest);
	else
		pn_report_error(l->report, place, PN_STR("gateway"),
		    "there is no gateway %s; add a section gateway \"%s\" { ... }", pn_show(name, l->arena),
		    name.n == 0 ? "main" : "NAME");
	return NULL;
}

/* -- mail that would stay here ----------------------------------------------------- */

static bool
is_ours(const struct pn_loader *l, struct pn_str target)
{
	size_t at = pn_str_find_last(target, '@');
	struct pn_str domain = at == PN_STR_NONE ? target : pn_str_from(target, at + 1);

	return pn_directory_domain(&l->config->directory, domain) != NULL;
}

/* A recipient that we add passes no milter again: in a domain of ours it would
 * meet Postfix instead of Odoo, or come back for ever. */
static void
check_target(struct pn_loader *l, struct pn_place place, struct pn_str key, struct pn_str target)
{
	if (is_ours(l, target))
		pn_report_error(l->report, place, key,
		    "the domain of %s is one of ours, and what is redirected there is not redirected again; "
		    "name the domain that Odoo itself has", pn_show(target, l->arena));
}

void
pn_check_targets(struct pn_loader *l)
{
	for (size_t i = 0; i < l->gateway_count; i++) {
		const struct pn_gateway *g = &l->gateways[i];
		struct pn_place place = l->gateway_places[i];

		check_target(l, place, PN_STR("target"), g->target_value);
		check_target(l, place, PN_STR("bounce_target"), g->bounce_target);
		if (g->domain_count == 0)
			pn_report_warning(l->report, place, PN_STR("gateway"),
			    "%s has no domain, so no mail goes there; add a section domain \"...\" { "
			    "gateway = " PN_STR_FMT " }", pn_show(g->name, l->arena), PN_STR_ARG(g->name));
	}
}
