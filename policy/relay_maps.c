/* Credentials, TLS levels and routes of the configured relays. */
#include "maps.h"
#include "postern/clock.h"
#include "postern/outbound.h"
#include "postern/token.h"

/* -- whose key ---------------------------------------------------------------------- */

/* "NAME" of "sasl-NAME"; "" where the map is that of every relay without a
 * transport of its own. */
static struct pn_str
own_relay(struct pn_str map)
{
	size_t dash = pn_str_find(map, '-');

	return dash == PN_STR_NONE ? PN_STR_EMPTY : pn_str_from(map, dash + 1);
}

/* PN_NOT_FOUND: not the next hop of a relay.  Postfix also asks for the bare host
 * name, and takes an answer to that for all its ports: there is none.
 * PN_TEMPFAIL: a relay that is no more, or has a transport of its own by now.  Mail
 * on its way there waits; it leaves neither without password nor uncounted. */
static enum pn_status
find_relay(const struct map_request *request, const struct pn_relay **out, struct pn_error *err)
{
	struct pn_relays relays = request->service->config->relays;
	struct pn_str name = own_relay(request->name);

	for (size_t i = 0; i < relays.n; i++) {
		const struct pn_relay *r = &relays.v[i];

		if (!r->active || (name.n > 0 ? !pn_str_eq(r->name, name) : r->own_transport))
			continue;
		if (pn_str_eq(pn_relay_nexthop(r, request->service->arena), request->key)) {
			*out = r;
			return PN_OK;
		}
	}
	if (!pn_str_starts(request->key, PN_STR("[")))
		return PN_NOT_FOUND;
	return pn_fail(err, PN_TEMPFAIL, "no relay has this address and this transport");
}

/* The operator is told of what only they can mend. */
static enum pn_status
trouble(const struct map_request *request, const struct pn_error *err)
{
	if (request->service->ready)
		service_complain(request->service, err->text);
	return PN_TEMPFAIL;
}

static enum pn_status
closed(const struct pn_relay *relay, const struct pn_relay_status *status, struct pn_error *err)
{
	return pn_fail(err, PN_TEMPFAIL, "relay " PN_STR_FMT " is closed: " PN_STR_FMT, PN_STR_ARG(relay->name),
	    PN_STR_ARG(status->reason));
}

/* Illness, and a provider that has had enough.  What we have counted ourselves
 * closes nothing here: mail that is counted may go. */
static enum pn_status
must_be_well(const struct map_request *request, const struct pn_relay *relay, struct pn_error *err)
{
	struct pn_health health;
	enum pn_status st = service_store(request->service, err);

	if (st == PN_OK)
		st = pn_health_get(request->service->store, relay->name, &health, err);
	if (st != PN_OK)
		return trouble(request, err);
	if (!pn_health_is_closed(&health, pn_clock_now_ms()))
		return PN_OK;
	return closed(relay, &(struct pn_relay_status){ .reason = pn_str_c(health.reason) }, err);
}

/* -- the maps ---------------------------------------------------------------------------- */

static enum pn_status
read_secret(const struct map_request *request, const struct pn_relay *relay, struct pn_str *secret,
    struct pn_error *err)
{
	struct pn_arena *arena = request->service->arena;
	struct pn_token token = { .expires = 0 };
	enum pn_status st;

	if (relay->login == PN_LOGIN_OAUTH) {
		st = pn_token_read(request->service->config->state_directory, relay->name, pn_clock_now(), arena,
		    &token, err);
		*secret = token.text;
	} else
		st = pn_config_secret(pn_arena_cstr(arena, relay->password_file), arena, secret, err);
	/* no password file, or a bad one: the mail waits */
	return st == PN_OK ? PN_OK : trouble(request, err);
}

enum pn_status
map_sasl(const struct map_request *request, struct pn_error *err)
{
	const struct pn_relay *relay;
	struct pn_str secret;
	enum pn_status st = find_relay(request, &relay, err);

	if (st == PN_OK && (relay->user.n == 0 || relay->login == PN_LOGIN_CERTIFICATE))
		return PN_NOT_FOUND;
	if (st == PN_OK)
		st = must_be_well(request, relay, err);
	if (st == PN_OK)
		st = read_secret(request, relay, &secret, err);
	if (st != PN_OK)
		return st;
	pn_buf_addf(request->value, PN_STR_FMT ":" PN_STR_FMT, PN_STR_ARG(relay->user), PN_STR_ARG(secret));
	return PN_OK;
}

static void
write_level(const struct pn_relay *relay, struct pn_buf *value)
{
	switch (relay->security) {
	case PN_SECURITY_NONE:
		pn_buf_add_c(value, "none");
		break;
	case PN_SECURITY_STARTTLS:
	case PN_SECURITY_SSL:
		pn_buf_add_c(value, "encrypt");
		break;
	case PN_SECURITY_STARTTLS_STRICT:
	case PN_SECURITY_SSL_STRICT:
		pn_buf_addf(value, "secure match=" PN_STR_FMT, PN_STR_ARG(relay->host));
		break;
	}
}

enum pn_status
map_tls(const struct map_request *request, struct pn_error *err)
{
	const struct pn_relay *relay;
	enum pn_status st = find_relay(request, &relay, err);

	/* of one without a password Postfix asks nothing else */
	if (st == PN_OK && (relay->user.n == 0 || relay->login == PN_LOGIN_CERTIFICATE))
		st = must_be_well(request, relay, err);
	if (st == PN_OK)
		write_level(relay, request->value);
	return st;
}

/* Asked once for each recipient: its transport takes one at a time and keeps nothing. */
enum pn_status
map_wait(const struct map_request *request, struct pn_error *err)
{
	struct pn_charge_result result;
	const struct pn_relay *relay;
	struct pn_charge charge;
	enum pn_status st = find_relay(request, &relay, err);

	if (st == PN_OK)
		st = must_be_well(request, relay, err);
	if (st != PN_OK)
		return st;
	charge = (struct pn_charge){ .relay = relay->name, .limits = relay->limits,
		.limit_count = relay->limit_count, .recipients = 1, .now_ms = pn_clock_now_ms() };
	st = pn_quota_charge(request->service->store, &charge, &result, err);
	if (st != PN_OK)
		return trouble(request, err);
	if (result.answer == PN_CHARGED_SPENT)
		return closed(relay, &(struct pn_relay_status){ .reason = PN_STR("its limits are used up") }, err);
	write_level(relay, request->value);
	return PN_OK;
}

enum pn_status
map_route(const struct map_request *request, struct pn_error *err)
{
	struct service *service = request->service;
	struct pn_gate gate = { .config = service->config, .store = service->store };
	struct pn_str route;
	enum pn_status st;

	/* bounces have their own way, in Postfix's own tables */
	if (request->key.n == 0 || pn_str_eq(request->key, PN_STR("<>")) || pn_str_eq(request->key, PN_STR("\"<>\"")) || service->config->relays.n == 0)
		return PN_NOT_FOUND;
	st = service_store(service, err);
	if (st == PN_OK)
		st = pn_outbound_route(&gate, request->key, pn_clock_now_ms(), service->arena, &route, err);
	if (st == PN_OK)
		pn_buf_add(request->value, route);
	return st == PN_OK || st == PN_NOT_FOUND ? st : trouble(request, err);
}
