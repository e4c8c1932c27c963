/* postern-signer - signs for postern-milter, which then needs no private key. */
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sysexits.h>
#include <unistd.h>

#include "confine.h"
#include "postern/daemon.h"
#include "postern/log.h"
#include "serve.h"

enum {
	SOCKET_MODE = 0660,
	OWN_FILES = 64,		/* descriptors besides clients */
	PAUSE_MS = 50,		/* while there is no room */
};

static const struct pn_program program = {
	.name = "postern-signer",
	.synopsis = "[-c FILE] [-v]",
	.purpose = "Keeps the private keys of DKIM, and signs for postern-milter.",
	.options =
	    "  -c FILE    the configuration (" PN_CONFIG_DEFAULT_PATH ")\n"
	    "  -v         log every request\n"
	    "  --help     this text\n"
	    "  --version  the version\n"
	    "It stays in the foreground.  SIGUSR1 (or SIGHUP) reads the configuration and the keys again;\n"
	    "SIGTERM stops it.\n",
};

struct daemon {
	const struct pn_daemon_options *options;
	struct pn_config *config;
	struct server *server;
	struct pn_socket bound;
	int listener, signals;
};

static void
set_level(const struct daemon *d)
{
	pn_log_set_level(d->options->verbose || d->config->log_debug ? PN_LOG_DEBUG : PN_LOG_INFO);
}

/* -- the keys -- */

static enum pn_status
open_keys(const struct pn_config *config, struct pn_signer **out, struct pn_error *err)
{
	if (config->sign.socket.n == 0)
		return pn_fail(err, PN_INVALID, "signer_socket is not set: nobody could ask");
	if (config->sign.signing_table.n == 0)
		return pn_fail(err, PN_INVALID, "sign_table is not set: there is nothing to sign");
	return pn_signer_open(&config->sign, NULL, NULL, out, err);
}

static void
reload(struct daemon *d)
{
	struct pn_config *config = pn_daemon_config_again(d->options->config);
	struct pn_signer *signer = NULL;
	struct pn_error err = { "" };

	if (config == NULL || open_keys(config, &signer, &err) != PN_OK) {
		if (err.text[0] != '\0')
			pn_log(PN_LOG_ERROR, "%s", err.text);
		pn_log(PN_LOG_ERROR, "the keys that were read before stay");
		pn_config_free(config);
		return;
	}
	if (!pn_str_eq(config->sign.socket, d->config->sign.socket))
		pn_log(PN_LOG_WARN, "signer_socket has changed: it counts from the next start");
	server_follow(d->server, signer);
	pn_config_free(d->config);
	d->config = config;
	set_level(d);
	pn_log(PN_LOG_INFO, "reloaded");
}

/* -- life -- */

/* False: it is to stop. */
static bool
take_signals(struct daemon *d)
{
	enum pn_signal signal;

	while ((signal = pn_signals_next(d->signals)) != PN_SIGNAL_NONE) {
		if (signal == PN_SIGNAL_STOP)
			return false;
		reload(d);
	}
	return true;
}

static void
serve(struct daemon *d)
{
	bool room = true;

	while (take_signals(d)) {
		struct pollfd fds[] = { { .fd = d->signals, .events = POLLIN },
			{ .fd = server_fd(d->server), .events = POLLIN },
			{ .fd = room ? d->listener : -1, .events = POLLIN } };

		(void)poll(fds, PN_COUNT(fds), room ? -1 : PAUSE_MS);
		room = server_accept(d->server, d->listener);
	}
}

/* postern-milter's group may come in, where there is one: not Postfix, as with the other sockets. */
static enum pn_status
open_socket(struct daemon *d, struct pn_error *err)
{
	struct pn_str group = getgrnam("postern") == NULL ? PN_STR_EMPTY : PN_STR("postern");

	return pn_socket_listen(&d->bound, d->config->sign.socket, group, SOCKET_MODE, &d->listener, err);
}

/* What to exit with, if not to serve. */
static int
start(struct daemon *d, struct pn_error *err)
{
	struct pn_signer *signer;
	enum pn_status st;

	if (open_keys(d->config, &signer, err) != PN_OK)
		return EX_CONFIG;
	d->server = server_new(signer);
	st = open_socket(d, err);
	if (st != PN_OK)
		return st == PN_INVALID ? EX_CONFIG : EX_UNAVAILABLE;
	pn_notify("READY=1");	/* by a socket, and soon there are none; nobody is answered before */
	return confine(err) == PN_OK ? EX_OK : EX_OSERR;
}

static void
close_all(struct daemon *d)
{
	if (d->server != NULL)
		server_free(d->server);
	pn_socket_done(&d->bound);
	pn_config_free(d->config);
	if (d->listener >= 0)
		(void)close(d->listener);
	(void)close(d->signals);
}

static int
run(struct daemon *d)
{
	struct pn_error err = { "" };
	int code = start(d, &err);

	if (code == EX_OK) {
		pn_log(PN_LOG_INFO, "started version=" PN_VERSION);
		serve(d);
	}
	close_all(d);
	if (code == EX_OK)
		pn_log(PN_LOG_INFO, "stopped");
	else
		pn_log(PN_LOG_ERROR, "%s", err.text);
	return code;
}

int
main(int argc, char **argv)
{
	struct pn_daemon_options options;
	struct daemon d = { .options = &options, .listener = -1, .bound = { .lock = -1 } };
	int code;

	if (!pn_daemon_options(&program, argc, argv, &options, &code))
		return code;
	pn_daemon_keep_secrets();
	d.config = pn_daemon_config(&program, options.config);
	if (d.config == NULL)
		return EX_CONFIG;
	pn_log_open(program.name, d.config->log_syslog ? PN_LOG_SYSLOG : PN_LOG_STDERR, PN_LOG_INFO);
	set_level(&d);
	d.signals = pn_signals_open();
	if (d.signals < 0) {
		pn_log(PN_LOG_ERROR, "no signals can be waited for");
		return EX_OSERR;
	}
	if (pn_raise_open_files(CLIENTS_MAX + OWN_FILES) < CLIENTS_MAX + OWN_FILES)
		pn_log(PN_LOG_WARN, "too few open files are allowed for %d clients", CLIENTS_MAX);
	return run(&d);
}
