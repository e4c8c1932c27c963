#include "shared.h"

#include <pthread.h>
#include <stdlib.h>
#include <sysexits.h>

#include "postern/clock.h"
#include "postern/daemon.h"
#include "postern/key_client.h"
#include "postern/log.h"

struct snapshot {
	struct pn_gate gate;
	struct pn_config *config;
	unsigned users;		/* under current_lock; the current one has one of its own */
};

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static struct snapshot *current;
static bool settling;		/* the directory is changing under the current one */
static struct pn_store *store;
static struct pn_authenticator *authenticator;	/* set once, under current_lock */
static const char *config_path;
static bool always_debug;	/* -v */

struct pn_store *
state_store(void)
{
	return store;
}

struct pn_authenticator *
state_authenticator(void)
{
	struct pn_authenticator *a;

	(void)pthread_mutex_lock(&current_lock);
	a = authenticator;
	(void)pthread_mutex_unlock(&current_lock);
	return a;
}

/* Its resolver has threads of its own, so it is opened when it is wanted first. */
static enum pn_status
open_authenticator(const struct pn_config *config)
{
	struct pn_authenticator *fresh;
	struct pn_error err = { "" };
	enum pn_status st;

	bool wanted = config->auth.use != PN_DMARC_OFF || (config->sign.signing_table.n > 0
	    && config->sign.check_published);

	if (!wanted || state_authenticator() != NULL)
		return PN_OK;
	st = pn_authenticator_open(&config->auth, &fresh, &err);
	if (st != PN_OK) {
		pn_log(PN_LOG_ERROR, "%s", err.text);
		return st;
	}
	(void)pthread_mutex_lock(&current_lock);
	authenticator = fresh;
	(void)pthread_mutex_unlock(&current_lock);
	return PN_OK;
}

static enum pn_status
open_signer(const struct pn_config *config, struct pn_signer **signer)
{
	struct pn_authenticator *a = state_authenticator();
	bool there = config->sign.socket.n > 0;
	struct pn_key_service service;
	struct pn_dns dns;
	struct pn_error err = { "" };
	enum pn_status st = PN_OK;

	if (a != NULL)
		dns = pn_authenticator_dns(a);
	if (there)
		st = pn_key_client_open(config->sign.socket, &service, &err);
	if (st == PN_OK)
		st = pn_signer_open(&config->sign, a == NULL ? NULL : &dns, there ? &service : NULL, signer, &err);
	if (st != PN_OK)
		pn_log(PN_LOG_ERROR, "%s", err.text);
	return st;
}

const struct pn_gate *
snapshot_gate(const struct snapshot *snapshot)
{
	return &snapshot->gate;
}

struct snapshot *
snapshot_take(void)
{
	struct snapshot *taken;

	(void)pthread_mutex_lock(&current_lock);
	taken = current;
	taken->users++;
	(void)pthread_mutex_unlock(&current_lock);
	return taken;
}

void
snapshot_release(struct snapshot *snapshot)
{
	bool last;

	if (snapshot == NULL)
		return;
	(void)pthread_mutex_lock(&current_lock);
	last = --snapshot->users == 0;
	(void)pthread_mutex_unlock(&current_lock);
	if (last) {
		pn_signer_close(snapshot->gate.signer);
		pn_config_free(snapshot->config);
		free(snapshot);
	}
}

bool
snapshot_is_current(const struct snapshot *snapshot)
{
	bool is_current;

	(void)pthread_mutex_lock(&current_lock);
	is_current = snapshot == current && !settling;
	(void)pthread_mutex_unlock(&current_lock);
	return is_current;
}

static void
set_settling(bool value)
{
	(void)pthread_mutex_lock(&current_lock);
	settling = value;
	(void)pthread_mutex_unlock(&current_lock);
}

static void
make_current(struct pn_config *config, struct pn_signer *signer)
{
	struct snapshot *fresh = calloc(1, sizeof(*fresh)), *old;

	if (fresh == NULL)
		pn_out_of_memory();
	*fresh = (struct snapshot){ .gate = { config, store, signer }, .config = config, .users = 1 };
	(void)pthread_mutex_lock(&current_lock);
	old = current;
	current = fresh;
	(void)pthread_mutex_unlock(&current_lock);
	snapshot_release(old);
}

static enum pn_status
apply(struct pn_config *config)
{
	struct pn_gate gate = { .config = config, .store = store };
	struct pn_directory_changes changes = { 0, 0, 0 };
	struct pn_error err = { "" };
	enum pn_status st = pn_gate_apply(&gate, pn_clock_now(), &changes, &err);

	if (st != PN_OK)
		pn_log(PN_LOG_ERROR, "%s", err.text);
	else
		pn_log(PN_LOG_INFO, "configuration %s: %zu gateways, %zu domains, %zu aliases "
		    "(%llu added, %llu changed, %llu removed)", config_path, config->directory.gateway_count,
		    config->directory.domain_count, config->alias_count, (unsigned long long)changes.added,
		    (unsigned long long)changes.changed, (unsigned long long)changes.removed);
	return st;
}

int
state_open(const char *path, bool debug)
{
	struct pn_config *config;
	struct pn_signer *signer;
	struct pn_error err = { "" };
	enum pn_status st;

	config_path = path;
	always_debug = debug;
	config = pn_daemon_config_again(path);
	if (config == NULL)
		return EX_CONFIG;
	pn_log_open("postern-milter", config->log_syslog ? PN_LOG_SYSLOG : PN_LOG_STDERR,
	    config->log_debug || debug ? PN_LOG_DEBUG : PN_LOG_INFO);
	if (pn_store_open(&config->store, &store, &err) != PN_OK) {
		pn_log(PN_LOG_ERROR, "%s", err.text);
		pn_config_free(config);
		return EX_UNAVAILABLE;
	}
	st = open_authenticator(config);
	if (st != PN_OK || open_signer(config, &signer) != PN_OK) {
		pn_config_free(config);
		return st == PN_TEMPFAIL ? EX_UNAVAILABLE : EX_CONFIG;
	}
	if (apply(config) != PN_OK) {
		pn_signer_close(signer);
		pn_config_free(config);
		return EX_UNAVAILABLE;
	}
	make_current(config, signer);
	return EX_OK;
}

/* What a running milter does not follow is said once, key by key. */
static void
warn_of_start_only(const struct pn_config *fresh)
{
	struct pn_buf keys;
	struct pn_str rest, key;

	pn_buf_init(&keys, 4096);
	pn_config_start_only_changes(current->config, fresh, &keys);
	rest = pn_buf_str(&keys);
	while (rest.n > 0 && pn_str_split(&rest, '\n', &key))
		/* those are postern-policy's */
		if (key.n > 0 && !pn_str_eq(key, PN_STR("map_socket")) && !pn_str_starts(key, PN_STR("policy_")))
			pn_log(PN_LOG_WARN, PN_STR_FMT " has changed: it counts from the next start", PN_STR_ARG(key));
	pn_buf_done(&keys);
}

static void
do_not_use(struct pn_config *config)
{
	pn_log(PN_LOG_ERROR, "configuration %s is not used: the one before stays", config_path);
	pn_config_free(config);
}

void
state_reload(void)
{
	struct pn_config *config = pn_daemon_config_again(config_path);
	struct pn_signer *signer;

	if (config == NULL || open_authenticator(config) != PN_OK || open_signer(config, &signer) != PN_OK) {
		do_not_use(config);
		return;
	}
	set_settling(true);
	if (apply(config) != PN_OK) {
		set_settling(false);
		pn_signer_close(signer);
		do_not_use(config);
		return;
	}
	warn_of_start_only(config);
	if (!always_debug)
		pn_log_set_level(config->log_debug ? PN_LOG_DEBUG : PN_LOG_INFO);
	make_current(config, signer);
	set_settling(false);
}
