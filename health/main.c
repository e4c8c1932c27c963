/* postern-health - how the relays are; see postern-health(8). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sysexits.h>
#include <unistd.h>

#include "follow.h"
#include "learn.h"
#include "postern/clock.h"
#include "postern/daemon.h"
#include "postern/log.h"
#include "probe.h"

enum {
	LOOK_MS = 250, /* between two looks at a file */
	READS = 64, /* until signals and time are looked at again */
	COMPLAIN_SECONDS = 60,
};

static const struct pn_program program = {
	.name = "postern-health",
	.synopsis = "[-c FILE] [-v]",
	.purpose = "Learns how the relays are, from Postfix's log and by trying them.",
	.options = "  -c FILE    the configuration (" PN_CONFIG_DEFAULT_PATH ")\n"
		   "  -v         log more\n"
		   "  --help     this text\n"
		   "  --version  the version\n"
		   "It stays in the foreground.  SIGUSR1 (or SIGHUP) reads the configuration again; SIGTERM "
		   "stops it.\n",
};

struct daemon {
	const struct pn_daemon_options *options;
	struct shared *shared;
	struct pn_store *store; /* NULL: cannot be opened yet */
	struct learn *learn; /* while there is a store */
	struct follow *follow; /* NULL: no log is read */
	struct probes *probes;
	int lock; /* -1: not taken */
	int signals;
	bool more; /* there may be lines already */
	int64_t ticked; /* seconds */
	char complaint[sizeof(((struct pn_error *)0)->text)];
	int64_t complained;
};

/* The same trouble is not told more than once a minute. */
static void
complain(struct daemon *d, const struct pn_error *err)
{
	int64_t now = pn_clock_mono_us() / 1000000;

	if (strcmp(d->complaint, err->text) == 0 && now - d->complained < COMPLAIN_SECONDS)
		return;
	memcpy(d->complaint, err->text, sizeof(d->complaint));
	d->complained = now;
	pn_log(PN_LOG_ERROR, "%s", err->text);
}

/* -- configuration -------------------------------------------------------------------------- */

static void
set_level(const struct daemon *d)
{
	pn_log_set_level(d->options->verbose || d->shared->config->log_debug ? PN_LOG_DEBUG : PN_LOG_INFO);
}

static void
follow_log(struct daemon *d)
{
	const struct pn_config *config = d->shared->config;

	follow_free(d->follow);
	d->follow = config->mail_log.n == 0 ? NULL : follow_new(config->mail_log, config->state_directory);
}

/* Two that read the same log would take each failure for two. */
static enum pn_status
take_lock(struct daemon *d, struct pn_error *err)
{
	const struct pn_config *config = d->shared->config;
	char path[4096];

	(void)snprintf(path, sizeof(path), PN_STR_FMT "/health.lock", PN_STR_ARG(config->state_directory));
	if (d->lock < 0)
		d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock < 0)
		return pn_fail(err, PN_TEMPFAIL, "cannot open %s: %s", path, strerror(errno));
	if (flock(d->lock, LOCK_EX | LOCK_NB) != 0)
		return pn_fail(err, PN_TEMPFAIL, "another postern-health runs for this state directory");
	return PN_OK;
}

static void
open_store(struct daemon *d)
{
	struct pn_error err = { "" };

	if (d->store == NULL) {
		if (take_lock(d, &err) != PN_OK
		    || pn_store_open(&d->shared->config->store, &d->store, &err) != PN_OK) {
			complain(d, &err);
			return;
		}
		follow_log(d);
	}
	if (d->learn == NULL)
		d->learn = learn_new(d->shared->config, d->store);
}

static void
reload(struct daemon *d)
{
	struct pn_config *config = pn_daemon_config_again(d->options->config);
	const struct pn_config *old = d->shared->config;
	struct pn_error err = { "" };
	bool other_log;

	if (config == NULL) {
		pn_log(PN_LOG_ERROR, "the new configuration is not used; the old one stays");
		return;
	}
	if (!pn_str_eq(old->state_directory, config->state_directory)) {
		pn_log(PN_LOG_ERROR,
		    "state_directory has changed: restart this program; the old configuration stays");
		pn_config_free(config);
		return;
	}
	if (d->learn != NULL && learn_flush(d->learn, &err) != PN_OK)
		complain(d, &err);
	learn_free(d->learn);
	d->learn = NULL;
	other_log = !pn_str_eq(old->mail_log, config->mail_log);
	shared_release(d->shared);
	d->shared = shared_new(config);
	probes_follow(d->probes, d->shared);
	if (other_log && d->store != NULL)
		follow_log(d);
	open_store(d);
	set_level(d);
	pn_log(PN_LOG_INFO, "reloaded relays=%zu", config->relays.n);
}

/* -- the loop --------------------------------------------------------------------------------- */

static void
read_log(struct daemon *d)
{
	struct pn_error err = { "" };
	enum pn_status st = PN_OK;

	d->more = false;
	if (d->follow == NULL || d->learn == NULL)
		return;
	for (int i = 0; i < READS && st == PN_OK && (i == 0 || d->more); i++)
		st = follow_read(d->follow, learn_line, d->learn, &d->more, &err);
	if (st != PN_OK)
		complain(d, &err);
}

/* What was learned is written before it is noted as read. */
static enum pn_status
tidy(struct daemon *d, struct pn_error *err)
{
	enum pn_status st = learn_flush(d->learn, err);

	if (st == PN_OK && d->follow != NULL)
		st = follow_note(d->follow, err);
	return st;
}

static void
tick(struct daemon *d)
{
	int64_t now = pn_clock_mono_us() / 1000000;
	struct pn_error err = { "" };

	if (now == d->ticked)
		return;
	d->ticked = now;
	open_store(d);
	if (d->store == NULL)
		return;
	if (tidy(d, &err) != PN_OK || probes_tick(d->probes, d->store, &err) != PN_OK)
		complain(d, &err);
}

/* False: it is to stop. */
static bool
take_signals(struct daemon *d)
{
	enum pn_signal signal;

	while ((signal = pn_signals_next(d->signals)) != PN_SIGNAL_NONE) {
		if (signal == PN_SIGNAL_STOP)
			return false;
		pn_notify("RELOADING=1");
		reload(d);
		pn_notify("READY=1");
	}
	return true;
}

static void
serve(struct daemon *d)
{
	while (take_signals(d)) {
		struct pollfd fds[] = { { .fd = d->signals, .events = POLLIN },
			{ .fd = -1, .events = POLLIN } };

		read_log(d);
		tick(d);
		if (d->follow != NULL)
			fds[1].fd = follow_fd(d->follow);
		(void)poll(fds, PN_COUNT(fds), d->more ? 0 : LOOK_MS);
	}
}

static void
finish(struct daemon *d)
{
	struct pn_error err = { "" };
	bool idle;

	pn_notify("STOPPING=1");
	read_log(d);
	if (d->learn != NULL && tidy(d, &err) != PN_OK)
		complain(d, &err);
	follow_free(d->follow);
	learn_free(d->learn);
	idle = probes_free(d->probes);
	pn_store_close(d->store);
	pn_log(PN_LOG_INFO, "stopped");
	if (!idle)
		_exit(EX_OK); /* a thread that waits for a relay still looks at its configuration */
	shared_release(d->shared);
}

/* -- start --------------------------------------------------------------------------------------- */

int
main(int argc, char **argv)
{
	struct pn_daemon_options options;
	struct daemon d = { .options = &options, .lock = -1 };
	struct pn_config *config;
	int code;

	if (!pn_daemon_options(&program, argc, argv, &options, &code))
		return code;
	config = pn_daemon_config(&program, options.config);
	if (config == NULL)
		return EX_CONFIG;
	pn_log_open(program.name, config->log_syslog ? PN_LOG_SYSLOG : PN_LOG_STDERR, PN_LOG_INFO);
	pn_daemon_keep_secrets();
	d.shared = shared_new(config);
	d.signals = pn_signals_open();
	if (d.signals < 0) {
		pn_log(PN_LOG_ERROR, "no signals can be waited for");
		return EX_OSERR;
	}
	set_level(&d);
	d.probes = probes_new();
	probes_follow(d.probes, d.shared);
	open_store(&d);
	pn_log(PN_LOG_INFO, "started version=" PN_VERSION " relays=%zu", config->relays.n);
	pn_notify("READY=1");
	serve(&d);
	finish(&d);
	return EX_OK;
}
