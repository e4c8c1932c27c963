/* Which From leaves by which relay, under which senders: the core's own answers, all relays open. */
#include "doctor.h"

#include "postern/address.h"

/* Mail of a domain that is not managed is sent by a record of the first one's. */
static const struct pn_domain *
owner_of(const struct doctor *d, struct pn_str domain)
{
	const struct pn_directory *directory = &d->config->directory;
	const struct pn_domain *found = pn_directory_domain(directory, domain);

	if (found == NULL && directory->gateway_count > 0 && directory->gateways[0].domain_count > 0)
		found = &directory->gateways[0].domains[0];
	return found;
}

/* Those of one domain stand together. */
static bool
is_known(const struct doctor *d, const struct doctor_route *route)
{
	for (size_t i = d->route_count; i > 0 && pn_str_eq(d->routes[i - 1].domain, route->domain); i--) {
		const struct doctor_route *r = &d->routes[i - 1];

		if (r->relay == route->relay && pn_str_eq(r->from, route->from)
		    && pn_str_eq(r->author, route->author) && pn_str_eq(r->envelope, route->envelope))
			return true;
	}
	return false;
}

/* A mail that Odoo could not send has no route. */
static void
add_route(struct doctor *d, const struct pn_relay *relay, bool keep, struct pn_str sender, struct pn_str from,
    const struct pn_domain *owner)
{
	struct pn_sender_question question = { .sender = sender,
		.header_from = from,
		.notification = owner == NULL ? PN_STR_EMPTY : owner->default_from,
		.bounce = owner == NULL ? PN_STR_EMPTY : owner->bounce,
		.from_filter = relay->from_filter };
	struct pn_sender as = { .header_from = from, .envelope = owner == NULL ? from : owner->bounce };
	struct doctor_route route = { .relay = relay, .from = from };

	if (!keep && pn_sender_decide(&question, d->arena, &as, NULL) != PN_OK)
		return;
	if (pn_address_normalize(as.header_from, true, d->arena, &route.author) != PN_OK)
		return;
	route.domain = doctor_domain_of(from, d->arena);
	route.author_domain = doctor_domain_of(route.author, d->arena);
	route.envelope = as.envelope;
	route.envelope_domain = doctor_domain_of(as.envelope, d->arena);
	if (is_known(d, &route))
		return;
	d->routes = pn_arena_grow(
	    d->arena, d->routes, d->route_count, &d->route_cap, d->route_count + 1, sizeof(*d->routes));
	d->routes[d->route_count++] = route;
}

static void
add_candidates(struct doctor *d, struct pn_str from, bool mass, struct pn_str user)
{
	const struct pn_config *config = d->config;
	const struct pn_domain *owner = owner_of(d, doctor_domain_of(from, d->arena));
	struct pn_relay_request request = {
		.question = { .relays = config->relays,
		    .gateway = owner == NULL ? PN_STR_EMPTY : owner->gateway->name,
		    .email_from = from,
		    .notification = owner == NULL ? PN_STR_EMPTY : owner->default_from,
		    .user = user },
		.recipients = 1,
		.mass_mailing = mass,
		.rewrite = config->rewrite,
		.states = pn_relay_all_open
	};
	struct pn_relay_choice choice = { .n = 0 };

	if (config->relays.n == 0)
		add_route(d, &d->this_host, true, from, from, owner);
	else if (pn_relay_choose(&request, d->arena, &choice, NULL) == PN_OK)
		for (size_t i = 0; i < choice.n; i++)
			add_route(d, choice.v[i].relay,
			    !config->rewrite || choice.v[i].step == PN_RELAY_FORCED, choice.v[i].sender, from,
			    owner);
}

/* Personal relays carry what their owners send. */
static void
add_from(struct doctor *d, struct pn_str from)
{
	const struct pn_relays relays = d->config->relays;

	add_candidates(d, from, false, PN_STR_EMPTY);
	add_candidates(d, from, true, PN_STR_EMPTY);
	for (size_t i = 0; d->config->personal_relays && i < relays.n; i++)
		if (relays.v[i].owner.n > 0)
			add_candidates(d, from, false, relays.v[i].owner);
}

/* An entry that is an address is a From of its own; is the domain named as a whole? */
static bool
add_entries(struct doctor *d, struct pn_str filter, struct pn_str domain)
{
	bool whole = false;
	struct pn_str entry, address;

	while (pn_from_filter_next(&filter, &entry))
		if (!pn_str_eq(doctor_domain_of(entry, d->arena), domain))
			continue;
		else if (pn_str_find(entry, '@') == PN_STR_NONE)
			whole = true;
		else if (pn_address_normalize(entry, true, d->arena, &address) == PN_OK)
			add_from(d, address);
	return whole;
}

void
doctor_find_routes(struct doctor *d, struct pn_strs domains)
{
	const struct pn_relays relays = d->config->relays;

	d->this_host = (struct pn_relay) { .name = PN_STR("this host"),
		.host = d->hostname,
		.gateway = PN_STR_EMPTY,
		.from_filter = PN_STR_EMPTY };
	for (size_t i = 0; i < domains.n; i++) {
		bool whole = pn_directory_domain(&d->config->directory, domains.v[i]) != NULL;
		size_t before = d->route_count;

		for (size_t j = 0; j < relays.n; j++)
			whole = add_entries(d, relays.v[j].from_filter, domains.v[i]) || whole;
		if (whole || d->route_count == before)
			add_from(
			    d, pn_arena_printf(d->arena, "someone@" PN_STR_FMT, PN_STR_ARG(domains.v[i])));
	}
}

bool
doctor_is_envelope(const struct doctor *d, struct pn_str domain)
{
	for (size_t i = 0; i < d->route_count; i++)
		if (pn_str_eq(d->routes[i].envelope_domain, domain))
			return true;
	return false;
}
