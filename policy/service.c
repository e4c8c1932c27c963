#include "service.h"

#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>

#include "postern/clock.h"
#include "postern/daemon.h"
#include "postern/gate.h"
#include "postern/log.h"
#include "postern/quota.h"

enum { ARENA_LIMIT = 1 << 20, COMPLAIN_AGAIN = 60, INSTANCES_MAX = 16384 };
enum { LINE_MAX_BYTES = 4096, LINES_MAX = 1 << 20 };

/* What else a configuration says. */
static void
follow(struct service *service)
{
	const struct passwd *user = getpwnam(pn_arena_cstr(service->config->arena, service->config->postfix_user));

	service->postfix = user == NULL ? (uid_t)-1 : user->pw_uid;
	service->debug = service->verbose || service->config->log_debug;
	pn_log_set_level(service->debug ? PN_LOG_DEBUG : PN_LOG_INFO);
}

void
service_init(struct service *service, const char *path, struct pn_config *config, bool verbose)
{
	*service = (struct service){ .path = path, .config = config, .arena = pn_arena_new(ARENA_LIMIT),
		.verbose = verbose, .instances = instances_new(INSTANCES_MAX) };
	pn_buf_init(&service->line, LINE_MAX_BYTES);
	pn_buf_init(&service->lines, LINES_MAX);
	follow(service);
	service_tick(service);
}

void
service_done(struct service *service)
{
	pn_store_close(service->store);
	pn_config_free(service->pending);
	pn_config_free(service->config);
	pn_arena_free(service->arena);
	instances_free(service->instances);
	pn_buf_done(&service->line);
	pn_buf_done(&service->lines);
	*service = (struct service){ 0 };
}

void
service_complain(struct service *service, const char *text)
{
	int64_t now = pn_clock_now();

	if (service->together) {
		service->trouble = true;
		return;
	}
	if (strcmp(service->complaint, text) == 0 && now - service->complained < COMPLAIN_AGAIN)
		return;
	(void)snprintf(service->complaint, sizeof(service->complaint), "%s", text);
	service->complained = now;
	pn_log(PN_LOG_ERROR, "%s", text);
}

/* -- groups ------------------------------------------------------------------- */

void
service_begin(struct service *service)
{
	service->together = true;
	service->trouble = service->again = false;
	if (service->ready)
		pn_quota_group_begin(service->store);
}

bool
service_end(struct service *service)
{
	bool ok = !service->trouble;

	if (service->ready)
		ok = pn_quota_group_end(service->store, ok, NULL) == PN_OK && ok;
	if (ok)
		pn_log_lines(PN_LOG_INFO, pn_buf_str(&service->lines));
	pn_buf_reset(&service->lines);
	service->together = false;
	service->again = !ok;
	return ok;
}

void
service_log(struct service *service, struct pn_str line)
{
	if (!service->together) {
		pn_log_line(PN_LOG_INFO, line);
		return;
	}
	pn_buf_add(&service->lines, line);
	pn_buf_add_char(&service->lines, '\n');
}

void
service_trouble(struct service *service, struct pn_str line)
{
	if (service->together)
		service->trouble = true;
	else
		pn_log_line(PN_LOG_ERROR, line);
}

/* -- the store ---------------------------------------------------------------- */

/* One store per path: opening the same file twice in a process is forbidden, so
 * changed sizes count from the next start. */
static enum pn_status
apply(struct service *service, const struct pn_config *config, struct pn_error *err)
{
	bool same = service->store != NULL
	    && pn_str_eq(service->config->state_directory, config->state_directory);
	struct pn_store *store = service->store;
	enum pn_status st = PN_OK;

	if (!same)
		st = pn_store_open(&config->store, &store, err);
	if (st != PN_OK)
		return st;
	/* by diff: whichever program comes second changes nothing */
	st = pn_gate_apply(&(struct pn_gate){ .config = config, .store = store }, pn_clock_now(), NULL, err);
	if (same)
		return st;
	if (st != PN_OK) {
		pn_store_close(store);
		return st;
	}
	pn_store_close(service->store);
	service->store = store;
	return PN_OK;
}

static void
log_ready(struct service *service, const char *what)
{
	struct pn_buf line;

	pn_buf_init(&line, 4096);
	pn_buf_add_c(&line, what);
	pn_log_key(&line, "config", pn_str_c(service->path));
	pn_log_key(&line, "state", service->config->state_directory);
	pn_buf_addf(&line, " gateways=%zu domains=%zu aliases=%zu", service->config->directory.gateway_count,
	    service->config->directory.domain_count, service->config->alias_count);
	pn_log_line(PN_LOG_INFO, pn_buf_str(&line));
	pn_buf_done(&line);
	service->complaint[0] = '\0';
}

static void
take_pending(struct service *service)
{
	struct pn_error err = { "" };

	if (apply(service, service->pending, &err) != PN_OK) {
		service_complain(service, err.text);
		return;
	}
	pn_config_free(service->config);
	service->config = service->pending;
	service->pending = NULL;
	service->ready = true;
	follow(service);
	log_ready(service, "reloaded");
}

void
service_tick(struct service *service)
{
	struct pn_error err = { "" };

	if (service->pending != NULL)
		take_pending(service);
	if (service->ready)
		return;
	if (apply(service, service->config, &err) == PN_OK) {
		service->ready = true;
		log_ready(service, "ready");
	} else
		service_complain(service, err.text);
}

/* Those that this daemon uses.  With another state directory comes another store,
 * and that is opened as the configuration says. */
static bool
counts_at_start(struct pn_str key, bool same_store)
{
	static const struct pn_str always[] = {
		{ "map_socket", 10 }, { "policy_socket", 13 }, { "policy_tcp", 10 }, { "socket_group", 12 },
		{ "socket_mode", 11 }, { "log", 3 },
	};

	for (size_t i = 0; i < PN_COUNT(always); i++)
		if (pn_str_eq(key, always[i]))
			return true;
	return same_store && pn_str_ends(key, PN_STR("_map_size"));
}

static void
warn_of_start_only(const struct pn_config *old, const struct pn_config *fresh)
{
	bool same_store = pn_str_eq(old->state_directory, fresh->state_directory);
	struct pn_str rest, key;
	struct pn_buf changed;

	pn_buf_init(&changed, 4096);
	pn_config_start_only_changes(old, fresh, &changed);
	rest = pn_buf_str(&changed);
	while (pn_str_split(&rest, '\n', &key))
		if (counts_at_start(key, same_store))
			pn_log(PN_LOG_WARN, PN_STR_FMT " has changed: it counts from the next start",
			    PN_STR_ARG(key));
	pn_buf_done(&changed);
}

void
service_reload(struct service *service)
{
	struct pn_config *config = pn_daemon_config_again(service->path);

	if (config == NULL) {
		pn_log(PN_LOG_ERROR, "the new configuration is not used; the old one stays");
		return;
	}
	warn_of_start_only(service->pending != NULL ? service->pending : service->config, config);
	pn_config_free(service->pending);
	service->pending = config;
	take_pending(service);
}

/* -- questions ---------------------------------------------------------------- */

enum pn_status
service_store(struct service *service, struct pn_error *err)
{
	return service->ready ? PN_OK : pn_fail(err, PN_TEMPFAIL, "the state cannot be read yet");
}

bool
service_is_postfix(const struct service *service, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && size == sizeof(peer)
	    && (peer.uid == 0 || peer.uid == service->postfix);
}

/* The ports while there is no store: nothing can be said, neither yes nor no. */
static enum pn_status
no_aliases(void *ctx, struct pn_str key, struct pn_arena *arena, struct pn_aliases *out)
{
	(void)ctx, (void)key, (void)arena, (void)out;
	return PN_TEMPFAIL;
}

static struct pn_alias_source
no_alias_source(void *ctx, const struct pn_gateway *gateway)
{
	(void)gateway;
	return (struct pn_alias_source){ ctx, no_aliases, no_aliases };
}

static enum pn_status
no_retired(void *ctx, const struct pn_gateway *gateway, struct pn_str address, struct pn_arena *arena,
    struct pn_str *successor)
{
	(void)ctx, (void)gateway, (void)address, (void)arena, (void)successor;
	return PN_TEMPFAIL;
}

static bool
never_complete(void *ctx, const struct pn_gateway *gateway)
{
	(void)ctx, (void)gateway;
	return false;
}

enum pn_status
service_classify(struct service *service, struct pn_str address, struct pn_rcpt *out, struct pn_error *err)
{
	static const struct pn_recipient_facts nothing = {
		NULL, no_alias_source, no_retired, never_complete,
	};
	struct pn_gate gate = { .config = service->config, .store = service->store };
	enum pn_status st = PN_TEMPFAIL;

	if (service->ready)
		st = pn_gate_recipient(&gate, address, pn_clock_now(), service->arena, out, err);
	if (st == PN_TEMPFAIL) {
		if (service->ready)
			service_complain(service, err->text);
		/* what needs no table has its answer all the same */
		st = pn_recipient_classify(&service->config->directory, &nothing, address, service->arena, out, err);
		if (st == PN_TEMPFAIL)
			return st;
	}
	if (st == PN_OK && pn_arena_exhausted(service->arena))
		st = pn_fail(err, PN_LIMIT, "the answer needs too much memory");
	if (st == PN_LIMIT)
		service_complain(service, err->text);
	return st;
}
